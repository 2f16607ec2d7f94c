/* support/plugin.h - the plugin of plugin.c, and altered copies of its file. */
#ifndef CREWTEST_PLUGIN_H
#define CREWTEST_PLUGIN_H

#include "os/object.h"

#include <crew/task.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static inline cw_fn *as_fn(const void *address) {
    return (cw_fn *)(uintptr_t)address;
}

struct plugin {
    void *handle;
    crew_fn *square, *spare, *hidden;
};

static inline struct plugin load(const char *path) {
    struct plugin p = {.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
    if (!p.handle)
        fail_msg("%s", dlerror());
    p.square = (crew_fn *)(uintptr_t)dlsym(p.handle, "plugin_square_task");
    p.spare = (crew_fn *)(uintptr_t)dlsym(p.handle, "plugin_spare_task");
    crew_fn *(*hidden)(void) = (crew_fn * (*)(void))(uintptr_t)dlsym(p.handle, "plugin_hidden");
    assert_true(p.square && p.spare && hidden);
    p.hidden = hidden();
    return p;
}

static inline unsigned char *read_file(const char *path, size_t *size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    *size = (size_t)st.st_size;
    unsigned char *bytes = malloc(*size);
    assert_non_null(bytes);
    assert_int_equal(read(fd, bytes, *size), st.st_size);
    close(fd);
    return bytes;
}

static inline void write_file(const char *path, const unsigned char *bytes, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

static inline void temporary_path(char path[64]) {
    strcpy(path, "/tmp/crew-object-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
}

static inline cw_fn_name name_of(crew_fn *fn) {
    cw_fn_name name;
    crew_error err;
    if (cw_fn_find((cw_fn *)fn, NULL, &name, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(err.code, 0);
    return name;
}

#endif
