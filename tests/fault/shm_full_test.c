/* fault/shm_full_test.c - a task fills /dev/shm: it is told, everybody else goes on.
 * In a mount namespace of its own, with a small /dev/shm; who may not make one skips. */
#include "crewtest.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COULD_NOT = 77, MIB = 1 << 20, BIG = 8 * MIB };

static bool is_small(void) {
    struct statvfs fs;
    return statvfs("/dev/shm", &fs) == 0 && fs.f_blocks * fs.f_frsize <= MIB;
}

/* Before anything of the library's is there: servers and spawned workers are to see
 * the same one. False: it could not be made. */
static bool make_small(void) {
    return is_small() ||
           (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
            mount("none", "/dev/shm", "tmpfs", 0, "size=1m") == 0 && is_small());
}

/* Writes until nothing more fits; the file stays. */
static int fill(crew_call *call) {
    static char block[1 << 16];
    if (!is_small())
        return crew_fail(call, 1, "this is the machine's");
    int fd = open("/dev/shm/full", O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return crew_fail(call, errno, "open: %s", strerror(errno));
    while (write(fd, block, sizeof block) > 0)
        ;
    int code = errno;
    close(fd);
    return crew_fail(call, code, "write: %s", strerror(code));
}

struct big {
    int64_t number[BIG / 8];
};

static int turn(crew_call *call) {
    const int64_t *in = call->in;
    int64_t *out = call->out;
    for (size_t i = 0; i < BIG / 8; i++)
        out[i] = ~in[i];
    return 0;
}

static int die_once(crew_call *call) {
    if (call->attempt == 1)
        _exit(3);
    return 0;
}

/* More through the pool than /dev/shm ever held; deaths; a further pool. */
static void work(crew_pool *p) {
    enum { COUNT = 4 };
    crew_error err;
    struct big *in = malloc(2 * COUNT * sizeof *in), *out = in + COUNT;
    crewtest_check(in, "no memory");
    for (size_t i = 0; i < COUNT * sizeof *in / 8; i++)
        ((int64_t *)in)[i] = (int64_t)i;
    int rc = crew_pool_map(p, turn, in, BIG, COUNT, out, BIG, NULL, &err);
    crewtest_check(rc == 0, "a map: %s", err.text);
    for (size_t i = 0; i < COUNT * sizeof *in / 8; i++)
        crewtest_check(((int64_t *)out)[i] == ~(int64_t)i, "word %zu is wrong", i);
    free(in);
    rc = crew_pool_map(p, die_once, NULL, 0, 3, NULL, 0, NULL, &err);
    crewtest_check(rc == 0, "workers that die: %s", err.text);
}

static int helper(void) {
    crew_error err;
    crew_pool_opts opts = crewtest_opts(2);
    opts.retries = 1;
    crew_pool *p = crew_pool_open(&opts, &err);
    crewtest_check(p, "%s", err.text);
    int rc = crew_apply(p, fill, NULL, 0, NULL, 0, &err);
    crewtest_check(rc == CREW_EFAILED && err.task_code == ENOSPC, "%d: %s", rc, err.text);
    work(p);
    crew_pool *other = crew_pool_open(&opts, &err);
    crewtest_check(other, "another pool: %s", err.text);
    work(other);
    crew_pool_free(other);
    crew_shm shm;
    rc = crew_shm_create(&shm, "crew-shm-full", 4 * MIB, NULL);
    crewtest_check(rc < 0 && strchr(crew_last_error()->text, ' '), "memory that is not there: %d",
                   rc);
    crewtest_check(access("/dev/shm/crew-shm-full", F_OK) != 0, "its name has stayed");
    work(p);
    crew_pool_free(p);
    return crew_finalize();
}

static void shm_full__filled_by_a_task__is_its_error_and_the_pools_go_on(void **state) {
    (void)state;
    double from = crewtest_now();
    int status = crewtest_helper_run("fills", NULL, 30, NULL);
    assert_within(from, 30);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == COULD_NOT)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv) {
    if (argc > 1 && !make_small())
        return COULD_NOT;
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return helper();
    if (!crewtest_has(CREWTEST_PROCESSES))
        return crewtest_skip_all();
    const struct CMUnitTest tests[] = {
        CREWTEST(shm_full__filled_by_a_task__is_its_error_and_the_pools_go_on),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
