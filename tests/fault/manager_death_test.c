/* fault/manager_death_test.c - however the manager dies, none of its processes
 * is there two seconds later. The managers are helpers: this program again. */
#include "crewtest.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int busy(crew_call *call) {
    crewtest_set(CELL_WORKER + call->worker, getpid());
    crewtest_add(CELL_STARTED, 1);
    for (double end = crewtest_now() + 40; crewtest_now() < end;)
        __asm__ volatile("" : : : "memory");
    return crewtest_pass(call, CELL_GATE);
}

static int nested_busy(crew_call *call) {
    crew_error err;
    crew_pool *p = crewtest_open_here(1);
    int rc = crew_pool_map(p, busy, NULL, 0, 1, NULL, 0, NULL, &err);
    crew_pool_free(p);
    return rc ? crew_fail(call, 1, "%.200s", err.text) : 0;
}

/* ---- what managers do until they are killed ------------------------------ */

static void in_a_map(void) {
    crew_pool_map(crewtest_open_here(3), busy, NULL, 0, 100, NULL, 0, NULL, NULL);
}

static void with_futures(void) {
    crew_pool *p = crewtest_open_here(3);
    for (int i = 0; i < 1000; i++)
        crew_submit(p, busy, NULL, 0, NULL, NULL);
    crew_pool_shutdown(p, true, false);
}

static void idle(void) {
    crewtest_open_here(3);
    crewtest_add(CELL_STARTED, 3);
    crewtest_reached(CELL_GATE, 1, 40);
}

static void nested(void) {
    crew_pool_map(crewtest_open_here(3), nested_busy, NULL, 0, 3, NULL, 0, NULL, NULL);
}

static void several_pools(void) {
    crew_pool *a = crewtest_open_here(1), *b = crewtest_open_here(2);
    crew_map_async(a, busy, NULL, 0, 9, NULL, 0, NULL, NULL);
    crew_pool_map(b, busy, NULL, 0, 9, NULL, 0, NULL, NULL);
}

static void opening_and_closing(void) {
    crewtest_add(CELL_STARTED, 3);
    for (double end = crewtest_now() + 40; crewtest_now() < end;)
        crew_pool_free(crewtest_open_here(3));
}

/* These end by themselves, with work under way and without crew_finalize. */
static void aborts(void) {
    crew_map_async(crewtest_open_here(3), busy, NULL, 0, 9, NULL, 0, NULL, NULL);
    crewtest_reached(CELL_STARTED, 3, 20);
    signal(SIGABRT, SIG_DFL);
    abort();
}

static void exits(void) {
    crew_map_async(crewtest_open_here(3), busy, NULL, 0, 9, NULL, 0, NULL, NULL);
    crewtest_reached(CELL_STARTED, 3, 20);
    exit(7);
}

static void exits_at_once(void) {
    crew_map_async(crewtest_open_here(3), busy, NULL, 0, 9, NULL, 0, NULL, NULL);
    crewtest_reached(CELL_STARTED, 3, 20);
    _exit(7);
}

static const struct manager {
    const char *name;
    void (*run)(void);
    int rounds; /* killed after a random while: several times */
    bool by_itself;
} managers[] = {
    {"in_a_map", in_a_map, 3, false},
    {"with_futures", with_futures, 1, false},
    {"idle", idle, 1, false},
    {"nested", nested, 2, false},
    {"several_pools", several_pools, 1, false},
    {"opening_and_closing", opening_and_closing, 20, false},
    {"aborts", aborts, 1, true},
    {"exits", exits, 1, true},
    {"exits_at_once", exits_at_once, 1, true},
};

static int helper(const char *mode) {
    for (size_t i = 0; i < sizeof managers / sizeof *managers; i++)
        if (strcmp(managers[i].name, mode) == 0)
            managers[i].run();
    return 9; /* nobody has killed it */
}

/* ---- the tests ---------------------------------------------------------- */

static void end_one(const struct manager *m, int before) {
    for (int cell = 0; cell < CELL_WORKER; cell++)
        crewtest_set(cell, 0);
    pid_t pid = crewtest_helper(m->name, NULL, NULL);
    CREWTEST_WAIT(crewtest_get(CELL_STARTED) >= 3, 20);
    assert_true(m->by_itself || crewtest_family(NULL, 0) >= before + 1);
    if (!m->by_itself) {
        double moment = crewtest_now() + (double)(crewtest_random() % 1000) * 3e-5;
        while (crewtest_now() < moment)
            ;
        kill(pid, SIGKILL);
    }
    int status = crewtest_helper_wait(pid, 10);
    double from = crewtest_now();
    CREWTEST_WAIT(crewtest_family(NULL, 0) <= before, 4);
    assert_within(from, 2);
    if (!m->by_itself)
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    else if (WIFEXITED(status))
        assert_int_equal(WEXITSTATUS(status), 7);
    else
        assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void manager_dies__whatever_it_does__no_process_stays(void **state) {
    (void)state;
    crewtest_may_take(150);
    int before = crewtest_family(NULL, 0);
    for (size_t i = 0; i < sizeof managers / sizeof *managers; i++)
        for (int round = 0; round < managers[i].rounds; round++) {
            print_message("%s\n", managers[i].name);
            end_one(&managers[i], before);
        }
}

/* A worker that was stopped cannot notice by itself. */
static void manager_dies__with_a_stopped_worker__no_process_stays(void **state) {
    (void)state;
    int before = crewtest_family(NULL, 0);
    pid_t pid = crewtest_helper("in_a_map", NULL, NULL);
    CREWTEST_WAIT(crewtest_get(CELL_STARTED) >= 3, 20);
    for (int w = 0; w < 3; w++) {
        pid_t worker = (pid_t)crewtest_get(CELL_WORKER + w);
        assert_true(worker > 1 && worker != getpid() && worker != pid);
        kill(worker, SIGSTOP);
    }
    kill(pid, SIGKILL);
    crewtest_helper_wait(pid, 10);
    CREWTEST_WAIT(crewtest_family(NULL, 0) <= before, 2);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return helper(argv[1]);
    if (!crewtest_has(CREWTEST_PROCESSES))
        return crewtest_skip_all();
    const struct CMUnitTest tests[] = {
        CREWTEST(manager_dies__whatever_it_does__no_process_stays),
        CREWTEST(manager_dies__with_a_stopped_worker__no_process_stays),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
