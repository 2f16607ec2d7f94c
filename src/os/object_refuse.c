/* Why an address is no task: told from the memory map, when it is refused. */
#include "base/error.h"
#include "os/object_parts.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mapping {
    bool known, found; /* the map could be read; the address is in it */
    bool executable;
    char path[PATH_MAX]; /* "" is memory without a name */
};

static void find_mapping(uintptr_t address, struct mapping *m) {
    m->known = m->found = m->executable = false;
    m->path[0] = '\0';
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps)
        return;
    m->known = true;
    char *line = NULL;
    size_t cap = 0;
    while (!m->found && getline(&line, &cap, maps) > 0) {
        uintptr_t start, end;
        char mode[8];
        int path = 0;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s %*s %*s %*s %n", &start, &end, mode,
                   &path) < 3 ||
            address < start || address >= end)
            continue;
        m->found = true;
        m->executable = strchr(mode, 'x') != NULL;
        line[strcspn(line, "\n")] = '\0';
        if (path > 0 && strlen(line + path) < sizeof m->path)
            strcpy(m->path, line + path);
    }
    free(line);
    fclose(maps);
}

static bool on_my_stack(uintptr_t address) {
    pthread_attr_t attr;
    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return false;
    void *stack = NULL;
    size_t size = 0;
    int rc = pthread_attr_getstack(&attr, &stack, &size);
    pthread_attr_destroy(&attr);
    return rc == 0 && address >= (uintptr_t)stack && address - (uintptr_t)stack < size;
}

int cw_object_refuse(cw_fn *fn, crew_error *err) {
    uintptr_t address = (uintptr_t)fn;
    struct cw_object_place place;
    char title[80];
    cw_object_place(address, &place);
    if (place.object) {
        cw_object_title(place.path, title, sizeof title);
        return cw_error_set(err, CREW_EINVAL, 0,
                            "the task 0x%" PRIxPTR " is data of %s, not a function of it", address,
                            title);
    }
    struct mapping m;
    find_mapping(address, &m);
    if (on_my_stack(address) || !strncmp(m.path, "[stack", 6))
        return cw_error_set(err, CREW_EINVAL, 0,
                            "the task 0x%" PRIxPTR " lies on a stack: a nested function's pointer "
                            "is code on the stack that no other process has. Make it a function "
                            "of the file, and pass what it captured in the item or in common",
                            address);
    if (!m.known)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "the task 0x%" PRIxPTR
                            " is in no executable segment of the program or its libraries",
                            address);
    if (!m.found)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "the task 0x%" PRIxPTR " is no address of this program's memory (a "
                            "library that was unloaded, or a pointer never set?)",
                            address);
    if (!strcmp(m.path, "[vdso]") || !strcmp(m.path, "[vsyscall]"))
        return cw_error_set(err, CREW_EINVAL, 0, "the task 0x%" PRIxPTR " is the kernel's: %s",
                            address, m.path);
    if (m.path[0] == '/') {
        cw_object_title(m.path, title, sizeof title);
        return cw_error_set(err, CREW_EINVAL, 0,
                            "the task 0x%" PRIxPTR " lies in a mapping of %s, which is not a "
                            "loaded library",
                            address, title);
    }
    return cw_error_set(err, CREW_EINVAL, 0,
                        "the task 0x%" PRIxPTR " lies on the heap, in memory made at run time%s: "
                        "no other process has it. A task is a function of the program or of a "
                        "library",
                        address, m.executable ? " (generated code, or a nested function)" : "");
}
