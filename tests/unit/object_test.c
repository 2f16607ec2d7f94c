/* Naming functions across processes: objects, identities, refusals, forks. */
#include "base/error.h"
#include "os/object.h"
#include "os/object_parts.h"
#include "support/plugin.h"

#include <inttypes.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { BOUND = 15 }; /* seconds: only a failure takes so long */

__attribute__((noinline)) static int sample_task(crew_call *call) {
    return call ? call->attempt + 1 : 17;
}

__attribute__((noinline)) static int plain(crew_call *call) {
    return call ? call->attempt + 2 : 18;
}

static int in_data = 3;
static const int in_constants = 4;

static int64_t call_with(crew_fn *fn, int64_t in) {
    int64_t out = 0;
    crew_call call = {.in = &in, .in_size = sizeof in, .out = &out, .out_size = sizeof out};
    assert_int_equal(fn(&call), 0);
    return out;
}

/* ---- find and resolve ----------------------------------------------------- */

static void find__static_function__resolves_to_itself(void **state) {
    (void)state;
    cw_fn_name name = name_of(sample_task), other = name_of(plain);
    assert_int_not_equal(name.object, 0);
    assert_int_equal(name.object, other.object);
    assert_int_not_equal(name.offset, other.offset);
    assert_ptr_equal(cw_fn_resolve(name), sample_task);
    assert_ptr_equal(cw_fn_resolve(other), plain);
    assert_int_equal(((crew_fn *)cw_fn_resolve(name))(NULL), 17);
}

static void find__function_of_a_library__is_another_object(void **state) {
    (void)state;
    cw_fn *fn = as_fn(dlsym(RTLD_DEFAULT, "gnu_get_libc_version"));
    assert_non_null(fn);
    cw_fn_name name;
    assert_int_equal(cw_fn_find(fn, NULL, &name, NULL), 0);
    assert_int_not_equal(name.object, name_of(sample_task).object);
    assert_ptr_equal(cw_fn_resolve(name), fn);
}

static void find__same_program_run_again__has_the_same_name(void **state) {
    (void)state;
    char program[4096] = "", command[4200];
    assert_true(readlink("/proc/self/exe", program, sizeof program - 1) > 0);
    snprintf(command, sizeof command, "'%s' --name", program);
    FILE *out = popen(command, "re");
    assert_non_null(out);
    cw_fn_name name = name_of(sample_task), there = {0, 0};
    assert_int_equal(fscanf(out, "%" SCNu64 " %" SCNu64, &there.object, &there.offset), 2);
    assert_int_equal(pclose(out), 0);
    assert_int_equal(there.object, name.object);
    assert_int_equal(there.offset, name.offset);
}

static void program__whatever_else_is_loaded__is_the_object_of_its_own_functions(void **state) {
    (void)state;
    assert_int_equal(cw_object_of_program(), name_of(sample_task).object);
    struct plugin p = load(CREW_TEST_PLUGIN);
    assert_int_equal(cw_object_of_program(), name_of(sample_task).object);
    assert_int_equal(dlclose(p.handle), 0);
}

static void find__plugin_loaded_later__is_in_the_new_set_only(void **state) {
    (void)state;
    cw_objects before, after;
    assert_int_equal(cw_objects_take(&before), 0);
    struct plugin p = load(CREW_TEST_PLUGIN);
    assert_int_equal(cw_objects_take(&after), 0);
    assert_int_equal(after.count, before.count + 1);

    cw_fn_name name, untouched = {5, 6};
    crew_error err;
    assert_int_equal(cw_fn_find((cw_fn *)p.square, &after, &name, &err), 0);
    assert_int_equal(cw_fn_find((cw_fn *)p.square, &before, &untouched, &err), CREW_EINVAL);
    assert_int_equal(err.code, CREW_EINVAL);
    assert_non_null(strstr(err.text, "loaded after the workers were started"));
    assert_non_null(strstr(err.text, "plugin_square"));
    assert_non_null(strstr(err.text, strrchr(CREW_TEST_PLUGIN, '/') + 1));
    assert_int_equal(untouched.object, 5); /* a failed call changes nothing */
    assert_int_equal(untouched.offset, 6);
    assert_int_equal(cw_fn_find((cw_fn *)sample_task, &before, &name, &err), 0);

    cw_objects none = {.ids = NULL};
    assert_int_equal(cw_fn_find((cw_fn *)sample_task, &none, &name, &err), CREW_EINVAL);
    cw_objects_free(&before);
    cw_objects_free(&after);
    cw_objects_free(&none);
    assert_int_equal(after.count, 0);
    assert_int_equal(dlclose(p.handle), 0);
}

static void find__plugin_unloaded_and_back__follows(void **state) {
    (void)state;
    struct plugin p = load(CREW_TEST_PLUGIN);
    cw_fn_name square = name_of(p.square), hidden = name_of(p.hidden);
    cw_fn *was = (cw_fn *)p.square;
    assert_int_equal(call_with((crew_fn *)cw_fn_resolve(square), 9), 81);
    assert_int_equal(call_with((crew_fn *)cw_fn_resolve(hidden), 9), -9);
    assert_int_equal(dlclose(p.handle), 0);

    assert_null(cw_fn_resolve(square));
    cw_fn_name name;
    crew_error err;
    assert_int_equal(cw_fn_find(was, NULL, &name, &err), CREW_EINVAL);

    p = load(CREW_TEST_PLUGIN);
    assert_ptr_equal(cw_fn_resolve(square), p.square);
    assert_int_equal(name_of(p.square).object, square.object);
    assert_int_equal(dlclose(p.handle), 0);
}

static void resolve__what_is_no_function__is_null(void **state) {
    (void)state;
    cw_fn_name name = name_of(sample_task);
    assert_null(cw_fn_resolve((cw_fn_name){0, name.offset}));
    assert_null(cw_fn_resolve((cw_fn_name){name.object + 1, name.offset}));
    const uint64_t far[] = {0, UINT64_MAX, (uint64_t)1 << 40, (uint64_t)INT64_MAX};
    for (size_t i = 0; i < sizeof far / sizeof *far; i++)
        assert_null(cw_fn_resolve((cw_fn_name){name.object, name.offset + (1 << 30) + far[i]}));
    uintptr_t base = (uintptr_t)sample_task - (uintptr_t)name.offset;
    assert_null(cw_fn_resolve((cw_fn_name){name.object, (uintptr_t)&in_data - base}));
}

/* ---- identities ----------------------------------------------------------- */

static ElfW(Phdr) * program_header(unsigned char *elf, int i) {
    ElfW(Ehdr) *head = (ElfW(Ehdr) *)elf;
    return i < head->e_phnum ? (ElfW(Phdr) *)(elf + head->e_phoff) + i : NULL;
}

/* Takes the notes, and with them the build-id, out of an object. */
static void hide_notes(unsigned char *elf) {
    ElfW(Phdr) * part;
    for (int i = 0; (part = program_header(elf, i)); i++)
        if (part->p_type == PT_NOTE)
            part->p_type = PT_NULL;
}

/* The bytes in the file that are loaded to an address of the object. */
static unsigned char *bytes_at(unsigned char *elf, uint64_t offset) {
    ElfW(Phdr) * part;
    for (int i = 0; (part = program_header(elf, i)); i++)
        if (part->p_type == PT_LOAD && offset >= part->p_vaddr &&
            offset - part->p_vaddr < part->p_filesz)
            return elf + part->p_offset + (offset - part->p_vaddr);
    fail_msg("nothing is loaded at 0x%" PRIx64, offset);
    return NULL;
}

static void identity__no_build_id__is_a_hash_of_the_code(void **state) {
    (void)state;
    struct plugin p = load(CREW_TEST_PLUGIN);
    cw_fn_name original = name_of(p.square), spare = name_of(p.spare);
    assert_int_equal(dlclose(p.handle), 0);

    size_t size;
    unsigned char *elf = read_file(CREW_TEST_PLUGIN, &size);
    char path[2][64], same[64];
    temporary_path(path[0]);
    temporary_path(path[1]);
    temporary_path(same);
    hide_notes(elf);
    write_file(path[0], elf, size);
    write_file(same, elf, size);
    *bytes_at(elf, spare.offset) ^= 0xff;
    write_file(path[1], elf, size);
    free(elf);

    struct plugin a = load(path[0]), b = load(path[1]), c = load(same);
    cw_fn_name name_a = name_of(a.square), name_b = name_of(b.square), name_c = name_of(c.square);
    assert_int_equal(name_a.offset, original.offset);
    assert_int_not_equal(name_a.object, original.object);
    assert_int_not_equal(name_a.object, name_b.object); /* one byte of code */
    assert_int_equal(name_a.object, name_c.object);     /* nothing but the file's name */
    assert_ptr_equal(cw_fn_resolve(name_b), b.square);
    assert_int_equal(call_with((crew_fn *)cw_fn_resolve(name_a), 5), 25);
    /* An object more or less leaves the others' hashes. */
    dlclose(a.handle);
    assert_int_equal(name_of(b.square).object, name_b.object);
    assert_ptr_equal(cw_fn_resolve(name_a), c.square);
    dlclose(b.handle);
    dlclose(c.handle);
    unlink(path[0]);
    unlink(path[1]);
    unlink(same);
}

static void identity__library_rebuilt_and_reloaded__changes(void **state) {
    (void)state;
    /* The second build most likely lands at the address of the first. */
    size_t size;
    unsigned char *elf = read_file(CREW_TEST_PLUGIN, &size);
    char path[64];
    temporary_path(path);
    struct plugin p = load(CREW_TEST_PLUGIN);
    uint64_t spare = name_of(p.spare).offset;
    dlclose(p.handle);
    uint64_t seen[8];
    hide_notes(elf);
    for (int build = 0; build < 8; build++) {
        *bytes_at(elf, spare) = (unsigned char)build;
        unlink(path);
        write_file(path, elf, size);
        p = load(path);
        seen[build] = name_of(p.square).object;
        for (int i = 0; i < build; i++)
            assert_int_not_equal(seen[i], seen[build]);
        dlclose(p.handle);
    }
    free(elf);
    unlink(path);
}

static size_t put_note(unsigned char *at, uint32_t namesz, uint32_t descsz, uint32_t type,
                       const char *name, const char *desc, size_t align) {
    uint32_t head[3] = {namesz, descsz, type};
    memcpy(at, head, sizeof head);
    size_t used = sizeof head;
    memcpy(at + used, name, strlen(name) + 1);
    used += (strlen(name) + 1 + align - 1) / align * align;
    memcpy(at + used, desc, strlen(desc));
    return used + (strlen(desc) + align - 1) / align * align;
}

static void build_id__notes_in_order_or_not__reads_what_is_there(void **state) {
    (void)state;
    for (size_t align = 4; align <= 8; align += 4) {
        unsigned char notes[256] = {0};
        size_t first = put_note(notes, 4, 5, 5, "GNU", "props", align);
        size_t all =
            first + put_note(notes + first, 4, 8, NT_GNU_BUILD_ID, "GNU", "abcdefgh", align);
        uint64_t id = cw_object_build_id(notes, all, align);
        assert_int_not_equal(id, 0);
        notes[all - 1] ^= 1;
        assert_int_not_equal(cw_object_build_id(notes, all, align), id);
        notes[all - 1] ^= 1;
        for (size_t cut = 0; cut < all; cut++) { /* exactly sized: a reader past it is seen */
            unsigned char *part = malloc(cut ? cut : 1);
            assert_non_null(part);
            memcpy(part, notes, cut);
            assert_int_equal(cw_object_build_id(part, cut, align), 0);
            free(part);
        }
    }
    unsigned char foreign[64] = {0};
    size_t size = put_note(foreign, 4, 8, NT_GNU_BUILD_ID, "Xen", "abcdefgh", 4);
    assert_int_equal(cw_object_build_id(foreign, size, 4), 0);
}

static void build_id__sizes_that_overflow__is_none(void **state) {
    (void)state;
    const uint32_t big[] = {0xffffffff, 0xfffffffc, 0x80000000, 0x7fffffff};
    for (size_t i = 0; i < sizeof big / sizeof *big; i++) {
        unsigned char notes[64] = {0};
        size_t size = put_note(notes, big[i], 8, NT_GNU_BUILD_ID, "GNU", "abcdefgh", 4);
        assert_int_equal(cw_object_build_id(notes, size, 4), 0);
        put_note(notes, 4, big[i], NT_GNU_BUILD_ID, "GNU", "abcdefgh", 4);
        assert_int_equal(cw_object_build_id(notes, size, 4), 0);
        put_note(notes, 4, big[i], 7, "GNU", "abcdefgh", 8);
        assert_int_equal(cw_object_build_id(notes, size, 8), 0);
    }
}

/* ---- refusals ------------------------------------------------------------- */

static void refused(const void *address, const char *why) {
    cw_fn_name name = {5, 6};
    crew_error err;
    assert_int_equal(cw_fn_find(as_fn(address), NULL, &name, &err), CREW_EINVAL);
    assert_int_equal(err.code, CREW_EINVAL);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
    if (strlen(err.text) + 1 >= sizeof err.text)
        fail_msg("\"%s\" is cut off", err.text);
    assert_int_equal(name.object, 5);
    assert_int_equal(cw_fn_find(as_fn(address), NULL, &name, NULL), CREW_EINVAL);
    assert_non_null(strstr(crew_last_error()->text, why));
}

static void find__null__is_refused(void **state) {
    (void)state;
    refused(NULL, "NULL");
}

static void find__stack__is_refused_as_a_nested_function(void **state) {
    (void)state;
    int here = 0;
    refused(&here, "nested function");
}

struct stack_try {
    crew_error err;
    int rc;
};

static void *find_on_own_stack(void *arg) {
    struct stack_try *try = arg;
    int here = 0;
    cw_fn_name name;
    try->rc = cw_fn_find(as_fn(&here), NULL, &name, &try->err);
    return NULL;
}

static void find__stack_of_another_thread__is_refused_as_a_nested_function(void **state) {
    (void)state;
    struct stack_try try;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, find_on_own_stack, &try), 0);
    pthread_join(thread, NULL);
    assert_int_equal(try.rc, CREW_EINVAL);
    assert_non_null(strstr(try.err.text, "nested function"));
}

static void find__heap__is_refused(void **state) {
    (void)state;
    char *small = malloc(16), *large = malloc(64 << 20);
    assert_true(small && large);
    refused(small, "heap");
    refused(large, "heap");
    free(small);
    free(large);
    long page = sysconf(_SC_PAGESIZE);
    void *code =
        mmap(NULL, (size_t)page, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code != MAP_FAILED) { /* a hardened system may not allow it */
        refused(code, "generated code");
        munmap(code, (size_t)page);
    }
}

static void find__data_of_the_program__is_refused(void **state) {
    (void)state;
    refused(&in_data, "is data of ");
    refused(&in_constants, "is data of ");
}

static void find__no_memory_there__is_refused(void **state) {
    (void)state;
    refused((void *)16, "no address of this program's memory");
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    munmap(page, 4096);
    refused(page, "no address of this program's memory");
}

static void find__file_that_is_only_mapped__is_refused(void **state) {
    (void)state;
    int fd = open(CREW_TEST_PLUGIN, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    assert_true(page != MAP_FAILED);
    refused((char *)page + 64, "not a loaded library");
    munmap(page, 4096);
    close(fd);
}

static void find__function_of_the_kernel__is_refused(void **state) {
    (void)state;
    uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
    if (!vdso)
        skip();
    refused((void *)(vdso + 256), "kernel");
}

/* ---- forks ---------------------------------------------------------------- */

/* A thread that is inside dl_iterate_phdr, and so holds the loader's lock, from
 * the last moment before a fork until after it. */
static _Atomic bool intrude;
static _Atomic int stage; /* 1: it may enter; 2: it is inside; 3: it may leave */

static int stay_inside(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)info;
    (void)size;
    (void)arg;
    atomic_store(&stage, 2);
    while (atomic_load(&stage) != 3)
        sched_yield();
    return 1;
}

static void *intruder(void *arg) {
    while (atomic_load(&stage) != 1)
        sched_yield();
    dl_iterate_phdr(stay_inside, NULL);
    return arg;
}

/* Registered before the library's own handler, so it runs after it. */
static void just_before_fork(void) {
    if (!atomic_load(&intrude))
        return;
    atomic_store(&stage, 1);
    while (atomic_load(&stage) != 2)
        sched_yield();
}

static void wait_for(pid_t child) {
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status)
        fail_msg("the child ended with status 0x%x", (unsigned)status);
}

/* In a child: no cmocka there. */
static int check_names(const cw_fn_name *name, const struct plugin *p, const cw_fn_name *square) {
    cw_fn_name found;
    char text[64];
    if (cw_fn_find((cw_fn *)sample_task, NULL, &found, NULL) != 0)
        return 1;
    if (found.object != name->object || found.offset != name->offset)
        return 2;
    if (cw_fn_resolve(*name) != (cw_fn *)sample_task)
        return 3;
    if (cw_fn_resolve(*square) != (cw_fn *)p->square)
        return 4;
    cw_fn_describe((cw_fn *)plain, text, sizeof text);
    if (strcmp(text, "plain") != 0)
        return 5;
    return cw_fn_info((cw_fn *)plain) ? 6 : 0;
}

static void fork__other_thread_inside_the_loader__child_still_finds(void **state) {
    (void)state;
    struct plugin p = load(CREW_TEST_PLUGIN); /* not seen by the library before the fork */
    cw_fn_name name = name_of(sample_task), square = name_of(p.square);
    dlclose(p.handle);
    p = load(CREW_TEST_PLUGIN);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, intruder, NULL), 0);
    atomic_store(&intrude, true);
    pid_t child = fork();
    if (child == 0) {
        alarm(BOUND);
        atomic_store(&intrude, false);
        int code = check_names(&name, &p, &square);
        if (code)
            _exit(code);
        pid_t grandchild = fork(); /* a nursery's worker */
        if (grandchild == 0) {
            alarm(BOUND);
            _exit(check_names(&name, &p, &square));
        }
        int status;
        _exit(waitpid(grandchild, &status, 0) == grandchild && status == 0 ? 0 : 99);
    }
    atomic_store(&intrude, false);
    atomic_store(&stage, 3);
    pthread_join(thread, NULL);
    atomic_store(&stage, 0);
    assert_true(child > 0);
    wait_for(child);
    dlclose(p.handle);
}

static _Atomic bool stop;

static void *hammer(void *arg) {
    /* A function of its own for each thread; never called. */
    uintptr_t own = (uintptr_t)plain + (uintptr_t)arg, bad = 0;
    crew_task_info info = {(crew_fn *)own, "hammered", 0, 0, 0, NULL};
    while (!atomic_load(&stop)) {
        cw_fn_name name;
        bad += cw_fn_find((cw_fn *)sample_task, NULL, &name, NULL) != 0;
        bad += cw_fn_resolve(name) != (cw_fn *)sample_task;
        for (int i = 0; i < 10; i++) {
            crew_task_register(&info);
            bad += cw_fn_info((cw_fn *)own) != &info;
            crew_task_unregister(&info);
        }
    }
    return (void *)bad;
}

static void fork__threads_busy_with_names__no_child_hangs(void **state) {
    (void)state;
    cw_fn_name name = name_of(sample_task);
    atomic_store(&stop, false);
    pthread_t thread[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, hammer, (void *)(uintptr_t)(i + 1)), 0);
    int bad = 0;
    for (int i = 0; i < 200 && bad == 0; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(BOUND);
            cw_fn_name found;
            crew_task_info info = {sample_task, "sample", 0, 0, 0, NULL};
            bool ok = cw_fn_find((cw_fn *)sample_task, NULL, &found, NULL) == 0 &&
                      found.offset == name.offset && cw_fn_resolve(name) == (cw_fn *)sample_task;
            crew_task_register(&info);
            ok = ok && cw_fn_info((cw_fn *)sample_task) == &info;
            _exit(ok && cw_fn_find((cw_fn *)plain, NULL, &found, NULL) == 0 ? 0 : 1);
        }
        int status = -1;
        bad += child < 0 || waitpid(child, &status, 0) != child || status != 0;
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++) {
        void *wrong;
        pthread_join(thread[i], &wrong);
        assert_null(wrong);
    }
    assert_int_equal(bad, 0);
}

static void fork__plugin_loaded_in_the_child__is_found_there(void **state) {
    (void)state;
    struct plugin p = load(CREW_TEST_PLUGIN);
    cw_fn_name square = name_of(p.square), name;
    dlclose(p.handle);
    cw_objects set;
    assert_int_equal(cw_objects_take(&set), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(BOUND);
        if (cw_fn_resolve(square))
            _exit(1);
        void *handle = dlopen(CREW_TEST_PLUGIN, RTLD_NOW | RTLD_LOCAL);
        cw_fn *fn = handle ? as_fn(dlsym(handle, "plugin_square_task")) : NULL;
        if (!fn || cw_fn_find(fn, NULL, &name, NULL) != 0 || name.object != square.object)
            _exit(2);
        if (cw_fn_resolve(square) != fn || cw_fn_find(fn, &set, &name, NULL) != CREW_EINVAL)
            _exit(3);
        cw_objects mine;
        if (cw_objects_take(&mine) != 0 || cw_fn_find(fn, &mine, &name, NULL) != 0)
            _exit(4);
        cw_objects_free(&mine);
        dlclose(handle);
        _exit(cw_fn_resolve(square) || cw_fn_find(fn, NULL, &name, NULL) == 0 ? 5 : 0);
    }
    wait_for(child);
    cw_objects_free(&set);
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "--name")) {
        cw_fn_name name;
        if (cw_fn_find((cw_fn *)sample_task, NULL, &name, NULL) != 0)
            return 1;
        printf("%" PRIu64 " %" PRIu64 "\n", name.object, name.offset);
        return 0;
    }
    if (pthread_atfork(just_before_fork, NULL, NULL) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(find__static_function__resolves_to_itself),
        cmocka_unit_test(find__function_of_a_library__is_another_object),
        cmocka_unit_test(find__same_program_run_again__has_the_same_name),
        cmocka_unit_test(program__whatever_else_is_loaded__is_the_object_of_its_own_functions),
        cmocka_unit_test(find__plugin_loaded_later__is_in_the_new_set_only),
        cmocka_unit_test(find__plugin_unloaded_and_back__follows),
        cmocka_unit_test(resolve__what_is_no_function__is_null),
        cmocka_unit_test(identity__no_build_id__is_a_hash_of_the_code),
        cmocka_unit_test(identity__library_rebuilt_and_reloaded__changes),
        cmocka_unit_test(build_id__notes_in_order_or_not__reads_what_is_there),
        cmocka_unit_test(build_id__sizes_that_overflow__is_none),
        cmocka_unit_test(find__null__is_refused),
        cmocka_unit_test(find__stack__is_refused_as_a_nested_function),
        cmocka_unit_test(find__stack_of_another_thread__is_refused_as_a_nested_function),
        cmocka_unit_test(find__heap__is_refused),
        cmocka_unit_test(find__data_of_the_program__is_refused),
        cmocka_unit_test(find__no_memory_there__is_refused),
        cmocka_unit_test(find__file_that_is_only_mapped__is_refused),
        cmocka_unit_test(find__function_of_the_kernel__is_refused),
        cmocka_unit_test(fork__other_thread_inside_the_loader__child_still_finds),
        cmocka_unit_test(fork__threads_busy_with_names__no_child_hangs),
        cmocka_unit_test(fork__plugin_loaded_in_the_child__is_found_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
