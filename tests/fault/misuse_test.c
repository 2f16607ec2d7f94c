/* fault/misuse_test.c - a pool in the wrong process: in a child that the
 * program forks, and in another pool's worker. An error, never a hang, and the
 * manager's pool is none the worse. */
#include "crewtest.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int64_t square(int64_t n) {
    return n * n;
}
CREW_TASK(square, int64_t, int64_t)

static int plain(crew_call *call) {
    (void)call;
    return 0;
}

static int64_t out[4];
static crew_pool *pool; /* the manager's, seen by its fork children */
static crew_future *future;
static crew_job *job;
static crew_iter *iter;

static bool is_error(int rc, const crew_error *err) {
    return rc < 0 && err->code == rc && strchr(err->text, ' ');
}

/* Each in a child of its own: 0 if it ended as it should. */
static bool use_map(void) {
    crew_error err;
    return is_error(crew_map_index(pool, square_task, 4, out, NULL, &err), &err);
}
static bool use_submit(void) {
    crew_error err;
    int64_t n = 1;
    return !crew_submit(pool, square_task, &n, sizeof n, NULL, &err) && is_error(err.code, &err);
}
static bool use_imap(void) {
    crew_error err;
    return !crew_imap(pool, square_task, crew_source_range(0, 4, 1), 8, NULL, &err) &&
           is_error(err.code, &err);
}
static bool use_bytes(void) {
    crew_error err;
    crew_bytes in[1] = {{"12345678", 8}};
    return !crew_map_bytes(pool, square_task, in, 1, NULL, &err) && is_error(err.code, &err);
}
static bool use_each(void) {
    crew_error err;
    return is_error(crew_pool_each(pool, plain, NULL, 0, &err), &err);
}
static bool use_future(void) {
    crew_error err;
    return is_error(crew_future_result(future, NULL, 0, CREW_FOREVER, &err), &err);
}
static bool use_wait(void) {
    return crew_wait(&future, 1, CREW_WAIT_ALL, CREW_FOREVER) < 0;
}
static bool use_job(void) {
    crew_error err;
    return is_error(crew_job_get(job, CREW_FOREVER, &err), &err);
}
static bool use_iter(void) {
    crew_error err;
    return is_error(crew_next(iter, NULL, NULL, CREW_FOREVER, &err), &err);
}
static bool use_join(void) {
    crew_error err;
    crew_pool_close(pool);
    return is_error(crew_pool_join(pool, CREW_FOREVER, &err), &err);
}
static bool use_shutdown(void) {
    return crew_pool_shutdown(pool, true, true) < 0;
}
static bool use_terminate(void) {
    crew_pool_terminate(pool);
    return true;
}
static bool use_free(void) {
    crew_future_free(future);
    crew_job_free(job);
    crew_iter_free(iter);
    crew_pool_free(pool);
    return true;
}
static bool use_finalize(void) {
    crew_finalize();
    return true;
}
static bool use_nothing(void) {
    return true;
}

static const struct use {
    const char *name;
    bool (*run)(void);
} uses[] = {
    {"map", use_map},     {"submit", use_submit},     {"imap", use_imap},
    {"bytes", use_bytes}, {"each", use_each},         {"future", use_future},
    {"wait", use_wait},   {"job", use_job},           {"iter", use_iter},
    {"join", use_join},   {"shutdown", use_shutdown}, {"terminate", use_terminate},
    {"free", use_free},   {"finalize", use_finalize}, {"nothing", use_nothing},
};

/* The child's exit handlers are the test's as well; they are to do no harm. */
static void in_a_child(const struct use *use) {
    print_message("%s in a fork child\n", use->name);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(20);
        bool good = use->run();
        if (strcmp(use->name, "nothing") == 0)
            exit(0);
        _exit(good ? 0 : 1);
    }
    double from = crewtest_now();
    int status = crewtest_helper_wait(pid, 15);
    assert_within(from, 5);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("wait status %x", (unsigned)status);
}

static void pool__used_in_a_fork_child__is_an_error_and_harms_nothing(void **state) {
    int64_t gate = CELL_GATE, four[4] = {CELL_GATE, CELL_GATE, CELL_GATE, CELL_GATE};
    crew_error err;
    (void)state;
    bool async = crewtest_has(CREWTEST_ASYNC);
    if (!async) /* nothing may wait at the gate for others to open it */
        crewtest_set(CELL_GATE, 1);
    pool = crewtest_open(2);
    future = crew_submit(pool, crewtest_gated_task, &gate, sizeof gate, NULL, &err);
    job = crew_map_async(pool, crewtest_gated_task, four, 8, 4, out, 8, NULL, &err);
    iter = crew_imap(pool, square_task, crew_source_range(0, 50, 1), 8, NULL, &err);
    assert_true(future && job && iter);
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
        in_a_child(&uses[i]);
    crewtest_set(CELL_GATE, 1);
    assert_ok(crew_future_result(future, NULL, 0, 20, &err), &err);
    assert_ok(crew_job_get(job, 20, &err), &err);
    for (int i = 0; i < 50; i++)
        assert_int_equal(crew_next(iter, NULL, NULL, 20, &err), 1);
    crew_iter_free(iter);
    crew_job_free(job);
    crew_future_free(future);
    assert_usable(pool);
    crewtest_free(pool);
    pool = NULL;
}

/* Under START_FORK a later pool's workers hold a copy of the pointer. */
static int use_the_managers(crew_call *call) {
    crew_error err;
    int64_t n = 2, got = 0;
    if (!pool)
        return crew_fail(call, 1, "no pointer");
    int rc = crew_map_index(pool, square_task, 4, out, NULL, &err);
    if (!is_error(rc, &err))
        return crew_fail(call, 2, "a map: %d", rc);
    rc = crew_apply(pool, square_task, &n, sizeof n, &got, sizeof got, &err);
    return is_error(rc, &err) ? 0 : crew_fail(call, 3, "apply: %d", rc);
}

static void pool__of_the_manager_used_in_a_worker__is_an_error(void **state) {
    crew_error err;
    (void)state;
    if (strcmp(crewtest_backend(), "fork") != 0)
        skip();
    pool = crewtest_open(1);
    crew_pool *other = crewtest_open(2);
    double from = crewtest_now();
    assert_ok(crew_pool_map(other, use_the_managers, NULL, 0, 4, NULL, 0, NULL, &err), &err);
    assert_within(from, 10);
    assert_usable(pool);
    crewtest_free(other);
    crewtest_free(pool);
    pool = NULL;
}

/* A child that the program forks may have pools of its own. */
static bool open_own(void) {
    crew_error err;
    crew_pool_opts opts = crewtest_opts(2);
    crew_pool *p = crew_pool_open(&opts, &err);
    if (!p) /* refused: in a sentence */
        return is_error(err.code, &err);
    int rc = crew_map_index(p, square_task, 4, out, NULL, &err);
    crew_pool_free(p);
    return rc == 0 && out[3] == 9;
}

static void pool__opened_in_a_fork_child__works_or_is_refused(void **state) {
    static const struct use own = {"opening one", open_own};
    (void)state;
    crew_pool *p = crewtest_open(2);
    in_a_child(&own);
    assert_usable(p);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(pool__used_in_a_fork_child__is_an_error_and_harms_nothing),
        CREWTEST(pool__of_the_manager_used_in_a_worker__is_an_error),
        CREWTEST(pool__opened_in_a_fork_child__works_or_is_refused),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
