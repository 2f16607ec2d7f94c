/* Names of functions for messages: symbol tables, damaged files, the registry. */
#include "os/object.h"
#include "os/object_parts.h"
#include "support/plugin.h"

#include <errno.h>
#include <inttypes.h>
#include <link.h>
#include <stdio.h>
#include <sys/mman.h>

__attribute__((noinline)) static int sample_task(crew_call *call) {
    return call ? call->attempt + 1 : 17;
}

__attribute__((noinline)) static int plain(crew_call *call) {
    return call ? call->attempt + 2 : 18;
}

static int in_data = 3;

/* ---- names for messages --------------------------------------------------- */

static void describes(const void *address, const char *want) {
    char text[128];
    cw_fn_describe(as_fn(address), text, sizeof text);
    assert_string_equal(text, want);
}

static void describe__functions_of_all_kinds__have_their_names(void **state) {
    (void)state;
    describes((void *)(uintptr_t)sample_task, "sample"); /* "_task" dropped */
    describes((void *)(uintptr_t)plain, "plain");
    describes((char *)(uintptr_t)plain + 1, "plain"); /* inside it */
    struct plugin p = load(CREW_TEST_PLUGIN);
    describes((void *)(uintptr_t)p.square, "plugin_square");
    describes((void *)(uintptr_t)p.hidden, "negate"); /* static */
    dlclose(p.handle);
    char text[64];
    cw_fn_describe(as_fn(dlsym(RTLD_DEFAULT, "gnu_get_libc_version")), text, sizeof text);
    assert_non_null(strstr(text, "gnu_get_libc_version")); /* from .dynsym: libc is stripped */
}

static void describe__registered_task__has_the_registered_name(void **state) {
    (void)state;
    crew_task_info info = {sample_task, "factorize", 8, 8, -1, NULL};
    crew_task_register(&info);
    describes((void *)(uintptr_t)sample_task, "factorize");
    crew_task_unregister(&info);
    describes((void *)(uintptr_t)sample_task, "sample");
}

static void describe__no_symbol__gives_object_and_offset(void **state) {
    (void)state;
    describes(NULL, "NULL");
    describes((void *)16, "0x10");
    char text[128], want[128];
    cw_fn_describe(as_fn(&in_data), text, sizeof text);
    cw_fn_name name = name_of(sample_task);
    uintptr_t base = (uintptr_t)sample_task - (uintptr_t)name.offset;
    snprintf(want, sizeof want, "%s+0x%" PRIxPTR, program_invocation_short_name,
             (uintptr_t)&in_data - base);
    assert_string_equal(text, want);

    /* Stripped of its section headers, and then of the file itself. */
    size_t size;
    unsigned char *elf = read_file(CREW_TEST_PLUGIN, &size);
    ElfW(Ehdr) *head = (ElfW(Ehdr) *)elf;
    head->e_shoff = 0;
    head->e_shnum = 0;
    char path[64];
    temporary_path(path);
    write_file(path, elf, size);
    free(elf);
    struct plugin p = load(path);
    snprintf(want, sizeof want, "%s+0x%" PRIx64, strrchr(path, '/') + 1, name_of(p.square).offset);
    describes((void *)(uintptr_t)p.square, want);
    unlink(path);
    describes((void *)(uintptr_t)p.square, want);
    dlclose(p.handle);
}

static void describe__small_buffers__are_cut_and_terminated(void **state) {
    (void)state;
    char text[8];
    for (size_t cap = 1; cap <= sizeof text; cap++) {
        memset(text, '#', sizeof text);
        cw_fn_describe((cw_fn *)sample_task, text, cap);
        assert_int_equal(strnlen(text, cap), cap > 6 ? 6 : cap - 1);
        assert_memory_equal(text, "sample", cap > 6 ? 6 : cap - 1);
        for (size_t i = cap; i < sizeof text; i++)
            assert_int_equal(text[i], '#');
        cw_fn_describe(as_fn(&in_data), text, cap);
        assert_int_equal(strnlen(text, cap), cap - 1);
    }
    text[0] = '#';
    cw_fn_describe((cw_fn *)sample_task, text, 0);
    assert_int_equal(text[0], '#');
}

/* ---- damaged files -------------------------------------------------------- */

struct image {
    int fd;
    char path[64];
    unsigned char *bytes, *good;
    size_t size;
    uint64_t object, offset; /* of negate_task */
};

static struct image image_open(void) {
    struct image im;
    struct plugin p = load(CREW_TEST_PLUGIN);
    cw_fn_name name = name_of(p.hidden);
    dlclose(p.handle);
    im.object = name.object;
    im.offset = name.offset;
    im.good = read_file(CREW_TEST_PLUGIN, &im.size);
    im.bytes = malloc(im.size);
    assert_non_null(im.bytes);
    memcpy(im.bytes, im.good, im.size);
    im.fd = memfd_create("image", MFD_CLOEXEC);
    assert_true(im.fd >= 0);
    snprintf(im.path, sizeof im.path, "/proc/self/fd/%d", im.fd);
    return im;
}

static void image_close(struct image *im) {
    close(im->fd);
    free(im->bytes);
    free(im->good);
}

/* Writes the first `size` bytes out and looks for the symbol. */
static bool image_symbol(struct image *im, size_t size, char *name, size_t cap) {
    assert_int_equal(ftruncate(im->fd, 0), 0);
    assert_int_equal(pwrite(im->fd, im->bytes, size, 0), (ssize_t)size);
    return cw_object_symbol(im->path, im->object, im->offset, name, cap);
}

static ElfW(Shdr) * image_section(struct image *im, uint32_t type) {
    ElfW(Ehdr) *head = (ElfW(Ehdr) *)im->bytes;
    ElfW(Shdr) *section = (ElfW(Shdr) *)(im->bytes + head->e_shoff);
    for (int i = 0; i < head->e_shnum; i++)
        if (section[i].sh_type == type)
            return &section[i];
    return NULL;
}

static void symbol__good_file__is_found(void **state) {
    (void)state;
    struct image im = image_open();
    char name[64];
    assert_true(image_symbol(&im, im.size, name, sizeof name));
    assert_string_equal(name, "negate_task");
    /* Another build of the same file does not lend its names. */
    assert_false(cw_object_symbol(im.path, im.object + 1, im.offset, name, sizeof name));
    /* A size too large ends with the file. */
    image_section(&im, SHT_SYMTAB)->sh_size = UINT64_MAX;
    assert_true(image_symbol(&im, im.size, name, sizeof name));
    assert_string_equal(name, "negate_task");
    image_close(&im);
}

static void symbol__particular_damage__is_not_found(void **state) {
    (void)state;
    struct image im = image_open();
    char name[64];
    ElfW(Ehdr) *head = (ElfW(Ehdr) *)im.bytes;
#define DAMAGED(...)                                                                               \
    do {                                                                                           \
        memcpy(im.bytes, im.good, im.size);                                                        \
        ElfW(Shdr) *symtab = image_section(&im, SHT_SYMTAB);                                       \
        assert_non_null(symtab);                                                                   \
        (void)symtab;                                                                              \
        __VA_ARGS__;                                                                               \
        assert_false(image_symbol(&im, im.size, name, sizeof name));                               \
    } while (0)
    DAMAGED(head->e_ident[0] = 0);
    DAMAGED(head->e_ident[EI_CLASS] ^= 3);
    DAMAGED(head->e_ident[EI_DATA] ^= 3);
    DAMAGED(head->e_shentsize++);
    DAMAGED(head->e_shoff = UINT64_MAX - 8);
    DAMAGED(head->e_shoff = im.size);
    DAMAGED(symtab->sh_link = UINT32_MAX);
    DAMAGED(symtab->sh_link = 0);
    DAMAGED(symtab->sh_entsize = 0);
    DAMAGED(symtab->sh_offset = UINT64_MAX);
    DAMAGED(symtab->sh_size = 0);
    ElfW(Shdr) *sections = (ElfW(Shdr) *)(im.bytes + head->e_shoff);
    DAMAGED(sections[symtab->sh_link].sh_offset = UINT64_MAX - 4);
    DAMAGED(sections[symtab->sh_link].sh_size = 1);
    /* More sections than there are, by the field for more than 65,279. */
    DAMAGED(head->e_shnum = 0; sections[0].sh_size = UINT32_MAX; symtab->sh_type = SHT_NULL);
#undef DAMAGED
    image_close(&im);
}

static void symbol__random_damage__neither_crashes_nor_runs_over(void **state) {
    (void)state;
    const char *given = getenv("CREW_TEST_SEED");
    uint64_t x = given ? strtoull(given, NULL, 0) : 1;
    printf("CREW_TEST_SEED=%" PRIu64 "\n", x);
    struct image im = image_open();
    ElfW(Ehdr) *head = (ElfW(Ehdr) *)im.good;
    size_t tables = (size_t)head->e_shoff, found = 0;
    for (int round = 0; round < 3000; round++) {
        memcpy(im.bytes, im.good, im.size);
        size_t size = im.size;
        for (int i = 0; i <= round % 8; i++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            uint64_t r = x >> 20;
            /* The header, the section headers, or anywhere. */
            size_t at = r % 3 == 0   ? r / 3 % sizeof *head
                        : r % 3 == 1 ? tables + r / 3 % (im.size - tables)
                                     : r / 3 % im.size;
            im.bytes[at] = x >> 13 & 1 ? (unsigned char)(x >> 40) : 0xff;
        }
        if (round % 5 == 0)
            size = (size_t)(x >> 20) % im.size;
        char name[16];
        memset(name, '#', sizeof name);
        if (image_symbol(&im, size, name, sizeof name - 1)) {
            found++;
            assert_in_range(strnlen(name, sizeof name), 1, sizeof name - 2);
        }
        assert_int_equal(name[sizeof name - 1], '#');
    }
    printf("%zu of 3000 damaged files still had the name\n", found);
    assert_in_range(found, 1, 2999); /* both kinds were met */
    image_close(&im);
}

static void symbol__what_is_no_file__is_not_found(void **state) {
    (void)state;
    char name[16], path[64];
    assert_false(cw_object_symbol("/nonexistent/file", 1, 1, name, sizeof name));
    assert_false(cw_object_symbol("/tmp", 1, 1, name, sizeof name));
    assert_false(cw_object_symbol("/dev/null", 1, 1, name, sizeof name));
    temporary_path(path);
    assert_false(cw_object_symbol(path, 1, 1, name, sizeof name)); /* empty */
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(cw_object_symbol(path, 1, 1, name, sizeof name));
    unlink(path);
}

/* ---- the registry --------------------------------------------------------- */

static void registry__register_and_unregister__is_there_meanwhile(void **state) {
    (void)state;
    crew_task_info info = {sample_task, "sample", 8, 16, -1, NULL};
    assert_null(cw_fn_info((cw_fn *)sample_task));
    crew_task_register(&info);
    const crew_task_info *got = cw_fn_info((cw_fn *)sample_task);
    assert_ptr_equal(got, &info);
    assert_int_equal(got->out_size, 16);
    assert_null(cw_fn_info((cw_fn *)plain));
    assert_null(cw_fn_info(NULL));
    crew_task_unregister(&info);
    assert_null(cw_fn_info((cw_fn *)sample_task));
}

static void registry__registered_twice__is_there_once(void **state) {
    (void)state;
    crew_task_info info = {sample_task, "sample", 8, 16, -1, NULL};
    crew_task_register(&info);
    crew_task_register(&info);
    assert_null(cw_fn_info((cw_fn *)plain)); /* no circle */
    crew_task_unregister(&info);
    assert_null(cw_fn_info((cw_fn *)sample_task));
    crew_task_unregister(&info); /* changes nothing */
}

static void registry__two_of_one_function__the_later_counts(void **state) {
    (void)state;
    /* Linkers may fold functions of equal code into one. */
    crew_task_info first = {sample_task, "first", 8, 8, -1, NULL};
    crew_task_info second = {sample_task, "second", 8, 8, -1, NULL};
    crew_task_register(&first);
    crew_task_register(&second);
    assert_ptr_equal(cw_fn_info((cw_fn *)sample_task), &second);
    crew_task_unregister(&second);
    assert_ptr_equal(cw_fn_info((cw_fn *)sample_task), &first);
    crew_task_unregister(&first);
    assert_null(cw_fn_info((cw_fn *)sample_task));
}

static void registry__thousands__are_all_found(void **state) {
    (void)state;
    enum { TASKS = 5000 };
    crew_task_info *info = calloc(TASKS, sizeof *info);
    assert_non_null(info);
    for (int i = 0; i < TASKS; i++) {
        info[i].fn = (crew_fn *)(uintptr_t)(0x400000 + 32 * i);
        crew_task_register(&info[i]);
    }
    for (int i = 0; i < TASKS; i += 2)
        crew_task_unregister(&info[i]);
    for (int i = 0; i < TASKS; i++)
        assert_ptr_equal(cw_fn_info((cw_fn *)info[i].fn), i % 2 ? &info[i] : NULL);
    for (int i = 0; i < TASKS; i++)
        crew_task_unregister(&info[i]);
    for (int i = 0; i < TASKS; i++)
        assert_null(cw_fn_info((cw_fn *)info[i].fn));
    free(info);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describe__functions_of_all_kinds__have_their_names),
        cmocka_unit_test(describe__registered_task__has_the_registered_name),
        cmocka_unit_test(describe__no_symbol__gives_object_and_offset),
        cmocka_unit_test(describe__small_buffers__are_cut_and_terminated),
        cmocka_unit_test(symbol__good_file__is_found),
        cmocka_unit_test(symbol__particular_damage__is_not_found),
        cmocka_unit_test(symbol__random_damage__neither_crashes_nor_runs_over),
        cmocka_unit_test(symbol__what_is_no_file__is_not_found),
        cmocka_unit_test(registry__register_and_unregister__is_there_meanwhile),
        cmocka_unit_test(registry__registered_twice__is_there_once),
        cmocka_unit_test(registry__two_of_one_function__the_later_counts),
        cmocka_unit_test(registry__thousands__are_all_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
