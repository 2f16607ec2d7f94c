/* fault/memory_test.c - task_memory in a program that holds much memory itself, and
 * where there is no /proc to watch it in. */
#include "crewtest.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

enum { MIB = 1 << 20, COULD_NOT = 77 };

static char bss[1u << 30]; /* asked for, but not touched */

/* Grows by its item's MiB, keeps them, and if that is too much waits for its end. */
static int grow(crew_call *call) {
    int64_t want = *CREW_IN(call, int64_t);
    bss[0] = 1;
    for (int64_t have = 0; have < want; have++) {
        char *more = malloc(MIB);
        if (!more)
            return crew_fail(call, 1, "no memory after %d MiB", (int)have);
        memset(more, 1, MIB);
        __asm__ volatile("" ::"r"(more) : "memory");
    }
    return want > 100 ? crewtest_pass(call, CELL_GATE) : 0;
}

/* More at once than the supervisor could see coming. */
static int ask(crew_call *call) {
    void *volatile much = malloc((size_t)*CREW_IN(call, int64_t) * MIB);
    int rc = much ? 0 : crew_fail(call, 12, "refused");
    free(much);
    return rc;
}

static crew_pool_opts limited(void) {
    crew_pool_opts opts = crewtest_opts(2);
    opts.task_memory = (size_t)64 * MIB;
    return opts;
}

static void task_memory__program_with_much_memory__workers_start_and_are_limited(void **state) {
    int64_t in[4] = {10, 20, 160, 10};
    crew_error err;
    (void)state;
#ifdef CREWTEST_TSAN
    skip(); /* it needs much more memory for each byte */
#endif
    void *volatile heap = malloc(1u << 30); /* not touched either */
    crew_pool_opts opts = limited();
    crew_pool *p = crewtest_open_opts(&opts);
    assert_ok(crew_each(p, grow, in, 2, NULL, &err), &err);
    assert_code(crew_each(p, grow, in, 4, NULL, &err), CREW_ELIMIT, &err);
    assert_int_equal(err.item, 2);
    assert_usable(p);
    crewtest_free(p);
    free(heap);
}

static void task_memory__asked_for_at_once__is_refused_to_the_task(void **state) {
    int64_t some = 60, much = 8 << 10;
    crew_error err;
    (void)state;
#ifdef CREWTEST_SANITIZED
    skip(); /* what a sanitizer asks for itself would count */
#endif
    crew_pool_opts opts = limited();
    crew_pool *p = crewtest_open_opts(&opts);
    assert_ok(crew_apply(p, ask, &some, sizeof some, NULL, 0, &err), &err);
    assert_code(crew_apply(p, ask, &much, sizeof much, NULL, 0, &err), CREW_EFAILED, &err);
    assert_int_equal(err.task_code, 12);
    crewtest_free(p);
}

/* ---- without /proc ------------------------------------------------------- */

static int nothing(crew_call *call) {
    (void)call;
    return 0;
}

static int without_proc(void) {
    crew_error err;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/proc", "tmpfs", 0, NULL) != 0)
        return COULD_NOT;
    crew_pool_opts opts = limited();
    crew_pool *p = crew_pool_open(&opts, &err);
    crewtest_check(!p && err.code == CREW_ENOTSUP, "opened: %d %s", err.code, err.text);
    crewtest_check(strstr(err.text, "/proc"), "'%s'", err.text);
    opts.task_memory = 0;
    opts.start = CREW_START_FORK; /* no program can be found there to be spawned */
    p = crew_pool_open(&opts, &err);
    crewtest_check(p, "%s", err.text);
    crew_submit_opts submit = {.task_memory = MIB};
    crew_future *f = crew_submit(p, nothing, NULL, 0, &submit, &err);
    crewtest_check(!f && err.code == CREW_ENOTSUP, "submitted: %d %s", err.code, err.text);
    int rc = crew_pool_map(p, nothing, NULL, 0, 10, NULL, 0, NULL, &err);
    crewtest_check(rc == 0, "%s", err.text);
    crew_pool_free(p);
    int code = crew_finalize();
    umount2("/proc", MNT_DETACH); /* a sanitizer looks there at the end */
    return code;
}

static void task_memory__without_proc__is_refused(void **state) {
    (void)state;
    int status = crewtest_helper_run("without_proc", NULL, 20, NULL);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == COULD_NOT)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return without_proc();
    if (!crewtest_has(CREWTEST_PROCESSES))
        return crewtest_skip_all();
    const struct CMUnitTest tests[] = {
        CREWTEST(task_memory__program_with_much_memory__workers_start_and_are_limited),
        CREWTEST(task_memory__asked_for_at_once__is_refused_to_the_task),
        CREWTEST(task_memory__without_proc__is_refused),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
