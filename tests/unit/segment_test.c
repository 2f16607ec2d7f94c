#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/segment.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

static const uint64_t MIB = 1 << 20;

/* Runs f in a child; what it returns. */
static int in_child(int (*f)(void)) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(f());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static uint64_t resident(const cw_segment *seg) {
    struct stat st;
    assert_int_equal(fstat(seg->fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void segment__created__costs_nothing_and_reads_zero(void **state) {
    (void)state;
    cw_segment seg;
    crew_error err;
    assert_int_equal(cw_segment_create(&seg, 0, &err), 0);
    assert_int_equal(err.code, 0);
    assert_true(seg.size >= 64 * MIB);
    assert_int_equal(resident(&seg), 0);
    assert_int_equal(seg.base[seg.size - 1], 0);
    assert_true(fcntl(seg.fd, F_GETFD) & FD_CLOEXEC);
    cw_segment_destroy(&seg);
    assert_null(seg.base);
}

static void segment__written_by_a_child__is_seen_by_the_parent(void **state) {
    (void)state;
    cw_segment seg;
    assert_int_equal(cw_segment_create(&seg, MIB, NULL), 0);
    assert_int_equal(seg.size, MIB);
    pid_t pid = fork();
    if (pid == 0) {
        seg.base[4711] = 42;
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(seg.base[4711], 42);
    cw_segment_destroy(&seg);
}

static void segment__attached_by_its_descriptor__is_the_same(void **state) {
    (void)state;
    cw_segment seg, other;
    crew_error err;
    assert_int_equal(cw_segment_create(&seg, MIB, NULL), 0);
    assert_int_equal(cw_segment_attach(&other, dup(seg.fd), &err), 0);
    assert_int_equal(other.size, seg.size);
    assert_true(other.base != seg.base);
    assert_true(fcntl(other.fd, F_GETFD) & FD_CLOEXEC);
    other.base[5] = 7;
    assert_int_equal(seg.base[5], 7);
    cw_segment_destroy(&other);
    cw_segment_destroy(&seg);
}

static void segment__attached_to_what_is_none__is_refused(void **state) {
    (void)state;
    cw_segment seg;
    crew_error err;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(cw_segment_attach(&seg, fds[0], &err), CREW_EINVAL);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1); /* taken all the same */
    close(fds[1]);
    assert_int_equal(cw_segment_attach(&seg, 999, &err), CREW_EINVAL);
    assert_null(seg.base);
}

static int under_a_small_address_space(void) {
    struct rlimit lim = {.rlim_cur = 1024 * MIB, .rlim_max = 1024 * MIB};
    if (setrlimit(RLIMIT_AS, &lim) != 0)
        return 1;
    cw_segment seg;
    if (cw_segment_create(&seg, 0, NULL) != 0)
        return 2;
    return seg.size <= 512 * MIB && seg.size >= 64 * MIB ? 0 : 3;
}

static int under_a_small_file_size(void) {
    struct rlimit lim = {.rlim_cur = 100 * MIB, .rlim_max = 100 * MIB};
    if (setrlimit(RLIMIT_FSIZE, &lim) != 0)
        return 1;
    cw_segment seg;
    if (cw_segment_create(&seg, 0, NULL) != 0)
        return 2;
    return seg.size <= 100 * MIB && strstr(seg.bound, "ulimit -f") ? 0 : 3;
}

static int under_no_address_space(void) {
    struct rlimit lim = {.rlim_cur = MIB, .rlim_max = MIB};
    if (setrlimit(RLIMIT_AS, &lim) != 0)
        return 1;
    cw_segment seg;
    crew_error err;
    if (cw_segment_create(&seg, 0, &err) != CREW_ENOMEM)
        return 2;
    return seg.base == NULL && strstr(err.text, "ulimit -v") ? 0 : 3;
}

static void segment__under_limits__is_smaller_or_says_so(void **state) {
    (void)state;
#ifndef SANITIZED
    assert_int_equal(in_child(under_a_small_address_space), 0);
    assert_int_equal(in_child(under_no_address_space), 0);
#else
    (void)under_a_small_address_space;
    (void)under_no_address_space;
#endif
    assert_int_equal(in_child(under_a_small_file_size), 0);
}

static void commit__of_a_range__makes_its_pages_real_and_keeps_contents(void **state) {
    (void)state;
    cw_segment seg;
    crew_error err;
    assert_int_equal(cw_segment_create(&seg, 8 * MIB, NULL), 0);
    seg.base[MIB + 5] = 9;
    assert_int_equal(cw_segment_commit(&seg, MIB + 1, 2 * MIB, &err), 0);
    assert_true(resident(&seg) >= 2 * MIB && resident(&seg) <= 2 * MIB + 65536 * 2);
    assert_int_equal(seg.base[MIB + 5], 9);
    assert_int_equal(cw_segment_commit(&seg, 0, 0, &err), 0);
    cw_segment_destroy(&seg);
}

static void assert_bytes(const char *at, uint64_t size, char want) {
    for (uint64_t i = 0; i < size; i += i % 4096 == 4095 ? 1 : 4095)
        assert_int_equal(at[i], want);
}

/* Large ranges may be made of huge pages: nobody must notice. */
static void commit__of_a_large_range__keeps_contents_and_gives_back_parts(void **state) {
    (void)state;
    cw_segment seg;
    crew_error err;
    const uint64_t from = 12345, size = 11 * MIB, part = 5 * MIB - 4096;
    assert_int_equal(cw_segment_create(&seg, 64 * MIB, NULL), 0);
    seg.base[from + 3 * MIB] = 'a';
    memset(seg.base + 6 * MIB, 'b', MIB / 2);
    assert_int_equal(cw_segment_commit(&seg, from, size, &err), 0);
    uint64_t all = resident(&seg);
    assert_in_range(all, size, size + 2 * 4096);
    assert_int_equal(seg.base[from + 3 * MIB], 'a');
    assert_bytes(seg.base + 6 * MIB, MIB / 2, 'b');
    assert_bytes(seg.base + 4 * MIB, 2 * MIB, 0);
    memset(seg.base + from, 'c', size);
    cw_segment_discard(&seg, part, 65536 + 4096);
    assert_bytes(seg.base + part, 65536 + 4096, 0);
    assert_bytes(seg.base + part - MIB, MIB, 'c');
    assert_bytes(seg.base + part + 65536 + 4096, MIB, 'c');
    cw_segment_discard(&seg, 0, seg.size);
    assert_int_equal(resident(&seg), 0);
    cw_segment_interleave(&seg, 0, MIB, true); /* a wish: harmless on one node */
    cw_segment_interleave(&seg, 0, MIB, false);
    assert_int_equal(cw_segment_commit(&seg, 0, MIB, &err), 0);
    cw_segment_destroy(&seg);
}

static void commit__of_too_much__is_refused_with_the_figures(void **state) {
    (void)state;
    cw_segment seg;
    crew_error err;
    assert_int_equal(cw_segment_create(&seg, 0, NULL), 0);
    if (seg.size > cw_memory_available() + 1024 * MIB) {
        assert_int_equal(cw_segment_commit(&seg, 0, seg.size, &err), CREW_ENOMEM);
        assert_non_null(strstr(err.text, "asked for"));
        assert_non_null(strstr(err.text, "available"));
        assert_int_equal(resident(&seg), 0);
    }
    assert_int_equal(cw_segment_commit(&seg, seg.size - 10, 11, &err), CREW_EINVAL);
    assert_int_equal(cw_segment_commit(&seg, seg.size + 1, 1, &err), CREW_EINVAL);
    assert_int_equal(cw_segment_commit(&seg, 4096, UINT64_MAX, &err), CREW_EINVAL);
    cw_segment_destroy(&seg);
}

static void discard__of_a_range__zeroes_whole_pages_and_spares_the_rest(void **state) {
    (void)state;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    cw_segment seg;
    assert_int_equal(cw_segment_create(&seg, MIB, NULL), 0);
    memset(seg.base, 1, 8 * page);
    cw_segment_discard(&seg, page + 1, 3 * page); /* whole: pages 2 and 3 */
    for (uint64_t i = 0; i < 8 * page; i++)
        assert_int_equal(seg.base[i], i / page == 2 || i / page == 3 ? 0 : 1);
    cw_segment_discard(&seg, 6 * page + 1, page - 2); /* none */
    assert_int_equal(seg.base[6 * page + 5], 1);
    cw_segment_destroy(&seg);
}

static void size_text__of_bytes__is_short(void **state) {
    (void)state;
    char buf[CW_SIZE_TEXT];
    assert_string_equal(cw_size_text(0, buf), "0 bytes");
    assert_string_equal(cw_size_text(65536, buf), "64 KiB");
    assert_string_equal(cw_size_text(3 * MIB / 2, buf), "1.5 MiB");
    assert_string_equal(cw_size_text(UINT64_MAX, buf), "16 EiB");
}

/* ---- the memory that is left, from made-up files ---- */

static char root[] = "/tmp/crew_memory_XXXXXX";

static void write_file(const char *path, const char *text) {
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = strchr(full + sizeof root, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int make_root(void **state) {
    (void)state;
    strcpy(root + sizeof root - 7, "XXXXXX");
    if (!mkdtemp(root))
        return 1;
    write_file("/proc/meminfo",
               "MemTotal:   8000000 kB\nMemFree: 1 kB\nMemAvailable:  4000000 kB\n");
    return 0;
}

static int remove_root(void **state) {
    (void)state;
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static void available__without_cgroups__is_what_the_machine_has(void **state) {
    (void)state;
    assert_int_equal(cw_memory_available_under(root), 4000000ULL * 1024);
    uint64_t here = cw_memory_available();
    assert_true(here > 0 && here < UINT64_MAX);
}

static void available__in_cgroup_v2__is_the_least_of_all_ancestors(void **state) {
    (void)state;
    write_file("/proc/self/cgroup", "0::/slice/job/step\n");
    write_file("/proc/self/mountinfo",
               "20 1 0:5 / /proc rw - proc proc rw\n"
               "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n");
    write_file("/sys/fs/cgroup/slice/job/step/memory.max", "max\n");
    write_file("/sys/fs/cgroup/slice/job/memory.max", "1000000000\n");
    write_file("/sys/fs/cgroup/slice/job/memory.current", "400000000\n");
    write_file("/sys/fs/cgroup/slice/job/memory.stat",
               "anon 1\nfile 9\ninactive_file 50000000\nactive_file 20000000\n");
    assert_int_equal(cw_memory_available_under(root), 660000000);
    write_file("/sys/fs/cgroup/slice/memory.max", "500000000\n");
    write_file("/sys/fs/cgroup/slice/memory.current", "499000000\n");
    assert_int_equal(cw_memory_available_under(root), 1000000);
    write_file("/sys/fs/cgroup/slice/memory.current", "600000000\n");
    assert_int_equal(cw_memory_available_under(root), 0);
}

static void available__in_cgroup_v1__is_the_least_of_all_ancestors(void **state) {
    (void)state;
    write_file("/proc/self/cgroup", "9:cpu,cpuacct:/x\n4:hugetlb,memory:/a/b\n0::/other\n");
    write_file("/proc/self/mountinfo",
               "32 31 0:29 / /cg/cpu rw - cgroup cgroup rw,cpu\n"
               "35 31 0:32 / /cg/memory rw - cgroup cgroup rw,hugetlb,memory\n");
    write_file("/cg/memory/memory.limit_in_bytes", "9223372036854771712\n");
    write_file("/cg/memory/a/memory.limit_in_bytes", "2000000000\n");
    write_file("/cg/memory/a/memory.usage_in_bytes", "1500000000\n");
    write_file("/cg/memory/a/memory.stat", "inactive_file 7\ntotal_inactive_file 100\n");
    assert_int_equal(cw_memory_available_under(root), 500000100);
    write_file("/cg/memory/a/b/memory.limit_in_bytes", "1000000\n");
    write_file("/cg/memory/a/b/memory.usage_in_bytes", "300000\n");
    assert_int_equal(cw_memory_available_under(root), 700000);
}

static void available__in_a_container__is_read_at_the_mount(void **state) {
    (void)state;
    write_file("/proc/self/cgroup", "4:memory:/docker/abc/inner\n");
    write_file("/proc/self/mountinfo",
               "35 31 0:32 /docker/abc /cg/memory rw - cgroup cgroup rw,memory\n");
    write_file("/cg/memory/memory.limit_in_bytes", "5000000\n");
    write_file("/cg/memory/memory.usage_in_bytes", "1000000\n");
    write_file("/cg/memory/inner/memory.limit_in_bytes", "3000000\n");
    write_file("/cg/memory/inner/memory.usage_in_bytes", "0\n");
    assert_int_equal(cw_memory_available_under(root), 3000000);
    write_file("/proc/self/cgroup", "4:memory:/elsewhere\n");
    assert_int_equal(cw_memory_available_under(root), 4000000);
    write_file("/proc/self/cgroup", "4:memory:/docker/abcdef\n");
    assert_int_equal(cw_memory_available_under(root), 4000000);
}

/* ---- memory of somebody else's ---- */

static void over__shared_memory__is_the_same_and_stays(void **state) {
    (void)state;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 2048 * page;
    char *theirs = mmap(NULL, size + 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                        -1, 0);
    cw_segment seg;
    crew_error err;
    assert_ptr_not_equal(theirs, MAP_FAILED);
    /* As MPI has it: not at the beginning of a page. */
    assert_int_equal(cw_segment_over(&seg, theirs + 200, size, &err), 0);
    assert_int_equal(seg.size, size);
    theirs[page + 5] = 'x';
    seg.base[size - 1] = 'y';
    assert_int_equal(seg.base[5], 'x');
    assert_int_equal(theirs[page + size - 1], 'y');
    munmap(theirs, size + 2 * page);
    assert_int_equal(seg.base[5], 'x');
    assert_int_equal(cw_segment_commit(&seg, 0, 1024 * page, &err), 0);
    unsigned char there[1024];
    assert_int_equal(mincore(seg.base, sizeof there * page, there), 0);
    for (size_t i = 0; i < sizeof there; i++)
        assert_true(there[i] & 1);
    cw_segment_discard(&seg, 0, 4 * MIB);
    assert_int_equal(seg.base[5], 0);
    cw_segment_destroy(&seg);
    assert_null(seg.base);
}

static void over__memory_that_is_not_shared__is_refused(void **state) {
    (void)state;
    char *theirs = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cw_segment seg;
    crew_error err;
    assert_ptr_not_equal(theirs, MAP_FAILED);
    assert_int_equal(cw_segment_over(&seg, theirs, MIB, &err), CREW_ENOMEM);
    munmap(theirs, 4 * MIB);
}

static void in_shm__more_than_it_has_free__is_refused_with_the_figures(void **state) {
    (void)state;
    uint64_t size;
    crew_error err;
    int rc = cw_segment_in_shm(0, &size, &err);
    if (rc < 0)
        skip(); /* /dev/shm is not to be had here, or full */
    assert_true(size >= 16 * MIB);
    if (cw_segment_in_shm(UINT64_C(256) << 40, &size, &err) == 0)
        skip(); /* a limit or a sanitizer makes it fit */
    assert_int_equal(err.code, CREW_ENOMEM);
    assert_non_null(strstr(err.text, "/dev/shm has "));
    assert_non_null(strstr(err.text, "set CREW_SEGMENT_SIZE"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(over__shared_memory__is_the_same_and_stays),
        cmocka_unit_test(over__memory_that_is_not_shared__is_refused),
        cmocka_unit_test(in_shm__more_than_it_has_free__is_refused_with_the_figures),
        cmocka_unit_test(segment__created__costs_nothing_and_reads_zero),
        cmocka_unit_test(segment__written_by_a_child__is_seen_by_the_parent),
        cmocka_unit_test(segment__attached_by_its_descriptor__is_the_same),
        cmocka_unit_test(segment__attached_to_what_is_none__is_refused),
        cmocka_unit_test(segment__under_limits__is_smaller_or_says_so),
        cmocka_unit_test(commit__of_a_range__makes_its_pages_real_and_keeps_contents),
        cmocka_unit_test(commit__of_a_large_range__keeps_contents_and_gives_back_parts),
        cmocka_unit_test(commit__of_too_much__is_refused_with_the_figures),
        cmocka_unit_test(discard__of_a_range__zeroes_whole_pages_and_spares_the_rest),
        cmocka_unit_test(size_text__of_bytes__is_short),
        cmocka_unit_test_setup_teardown(available__without_cgroups__is_what_the_machine_has,
                                        make_root, remove_root),
        cmocka_unit_test_setup_teardown(available__in_cgroup_v2__is_the_least_of_all_ancestors,
                                        make_root, remove_root),
        cmocka_unit_test_setup_teardown(available__in_cgroup_v1__is_the_least_of_all_ancestors,
                                        make_root, remove_root),
        cmocka_unit_test_setup_teardown(available__in_a_container__is_read_at_the_mount, make_root,
                                        remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
