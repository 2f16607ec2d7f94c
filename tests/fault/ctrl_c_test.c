/* fault/ctrl_c_test.c - what a terminal sends to the process group: Ctrl-C with
 * and without a handler in the program, Ctrl-Z and fg across a time limit. Each
 * program is a helper in a process group of its own. */
#include "crewtest.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void note_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

enum { COUNT = 20 };

/* What a busy machine makes of the tenth of a second that a task runs is to stay below. */
static const double LIMIT_S = 2.0, STOPPED_S = 2.5;

static int run_gated(double task_timeout) {
    int64_t in[COUNT], out[COUNT];
    crew_error err;
    crew_pool_opts opts = crewtest_opts(2);
    opts.task_timeout = task_timeout;
    crew_pool *p = crew_pool_open(&opts, &err);
    crewtest_check(p, "%s", err.text);
    for (int i = 0; i < COUNT; i++)
        in[i] = CELL_GATE;
    int rc = crew_map(p, crewtest_gated_task, in, COUNT, out, NULL, &err);
    crewtest_check(rc == 0, "%s", err.text);
    for (int i = 0; i < COUNT; i++)
        crewtest_check(out[i] == CELL_GATE, "item %d gave %ld", i, (long)out[i]);
    crew_pool_free(p);
    return crew_finalize();
}

/* The handler is there before or after the workers are. */
static int helper(const char *mode) {
    struct sigaction action = {.sa_handler = note_interrupt};
    bool handles = strcmp(mode, "handles") == 0;
    if (strcmp(mode, "stops") == 0)
        return run_gated(LIMIT_S);
    if (handles)
        sigaction(SIGINT, &action, NULL);
    int code = run_gated(0);
    return handles && interrupted ? 42 : code;
}

static pid_t start(const char *mode) {
    for (int cell = 0; cell < CELL_WORKER; cell++)
        crewtest_set(cell, 0);
    pid_t pid = crewtest_helper(mode, NULL, NULL);
    CREWTEST_WAIT(crewtest_get(CELL_STARTED) >= crewtest_workers(2), 20);
    return pid;
}

static void interrupt__no_handler__everything_ends_at_once(void **state) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    (void)state;
    int before = crewtest_family(NULL, 0);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        pid_t pid = start("waits");
        double from = crewtest_now();
        kill(-pid, signals[i]);
        int status = crewtest_helper_wait(pid, 5);
        assert_within(from, 2);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), signals[i]);
        CREWTEST_WAIT(crewtest_family(NULL, 0) <= before, 2);
    }
}

static void interrupt__handler_in_the_program__the_map_goes_on(void **state) {
    (void)state;
    int before = crewtest_family(NULL, 0);
    pid_t pid = start("handles");
    int64_t started = crewtest_get(CELL_STARTED);
    for (int i = 0; i < 3; i++)
        kill(-pid, SIGINT);
    crewtest_reached(CELL_GATE, 1, 0.1); /* time for a worker to die of it */
    assert_int_equal(crewtest_get(CELL_STARTED), started);
    crewtest_set(CELL_GATE, 1);
    int status = crewtest_helper_wait(pid, 10);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    assert_int_equal(crewtest_get(CELL_STARTED), COUNT); /* nothing ran twice */
    CREWTEST_WAIT(crewtest_family(NULL, 0) <= before, 2);
}

static void stopped_and_continued__across_a_time_limit__no_task_is_over_it(void **state) {
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    int before = crewtest_family(NULL, 0);
    static const int signals[] = {SIGTSTP, SIGSTOP}; /* the terminal's, and the other one */
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        pid_t pid = start("stops");
        kill(-pid, signals[i]);
        CREWTEST_WAIT(crewtest_state(pid) == 'T', 5);
        crewtest_reached(CELL_OWN, 1, STOPPED_S);
        kill(-pid, SIGCONT);
        crewtest_reached(CELL_OWN, 1, 0.1);
        crewtest_set(CELL_GATE, 1);
        int status = crewtest_helper_wait(pid, 10);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_int_equal(crewtest_get(CELL_STARTED), COUNT);
        CREWTEST_WAIT(crewtest_family(NULL, 0) <= before, 2);
    }
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return helper(argv[1]);
    const struct CMUnitTest tests[] = {
        CREWTEST(interrupt__no_handler__everything_ends_at_once),
        CREWTEST(interrupt__handler_in_the_program__the_map_goes_on),
        CREWTEST(stopped_and_continued__across_a_time_limit__no_task_is_over_it),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
