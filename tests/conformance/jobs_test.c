/* conformance/jobs_test.c - more maps at once than the board has places for, and the
 * bar of a map. */
#include "crewtest.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PLACES = 64, JOBS = PLACES + 6 };

static crew_job *gated_map(crew_pool *p, double timeout) {
    static const int64_t gate[1] = {CELL_GATE};
    const crew_map_opts opts = {.timeout = timeout};
    crew_error err;
    crew_job *job = crew_map_async(p, crewtest_gated_task, gate, 8, 1, NULL, 0, &opts, &err);
    if (!job)
        fail_msg("%s", err.text);
    return job;
}

static void maps__more_than_there_are_places__wait_and_can_be_stopped(void **state) {
    enum { CANCELLED = PLACES + 1, LATE = PLACES + 3, LAST = JOBS - 1 };
    crew_job *jobs[JOBS];
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(1);
    for (int i = 0; i < JOBS; i++)
        jobs[i] = gated_map(p, i == LATE ? 0.05 : 0);
    /* From the middle and from the end of those that wait. */
    assert_ok(crew_job_cancel(jobs[CANCELLED]), NULL);
    assert_code(crew_job_get(jobs[CANCELLED], 20, &err), CREW_ECANCELLED, &err);
    assert_code(crew_job_get(jobs[LATE], 20, &err), CREW_ETIMEDOUT, &err);
    assert_ok(crew_job_cancel(jobs[LAST]), NULL);
    assert_code(crew_job_get(jobs[LAST], 20, &err), CREW_ECANCELLED, &err);
    assert_false(crew_job_ready(jobs[0]));
    crew_job *after = gated_map(p, 0); /* the queue's end is where it should be */
    crewtest_set(CELL_GATE, 1);
    for (int i = 0; i < JOBS; i++)
        if (i != CANCELLED && i != LATE && i != LAST)
            assert_ok(crew_job_get(jobs[i], 30, &err), &err);
    assert_ok(crew_job_get(after, 30, &err), &err);
    assert_int_equal(crewtest_get(CELL_STARTED), JOBS - 3 + 1);
    for (int i = 0; i < JOBS; i++)
        crew_job_free(jobs[i]);
    crew_job_free(after);
    crewtest_free(p);
}

static void maps__waiting_when_the_pool_is_terminated__end_cancelled(void **state) {
    crew_job *jobs[JOBS];
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(1);
    for (int i = 0; i < JOBS; i++)
        jobs[i] = gated_map(p, 0);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    crew_pool_terminate(p);
    for (int i = 0; i < JOBS; i++)
        assert_true(crew_job_get(jobs[i], 20, &err) < 0);
    assert_int_equal(crewtest_get(CELL_STARTED), 1);
    for (int i = 0; i < JOBS; i++)
        crew_job_free(jobs[i]);
    crewtest_free(p);
}

/* ---- the bar ------------------------------------------------------------ */

static int waits_at_a_third(crew_call *call) {
    return call->index != 20 || crewtest_reached(CELL_GATE, 1, 20) ? 0 : 1;
}

static int helper_bar(void) {
    dup2(STDOUT_FILENO, STDERR_FILENO);
    crew_pool_opts opts = crewtest_opts(1);
    opts.name = "sums";
    const crew_map_opts map = {.chunk = 1};
    crew_error err;
    crew_pool *p = crew_pool_open(&opts, &err);
    crewtest_check(p != NULL, "%s", err.text);
    int rc = crew_pool_map(p, waits_at_a_third, NULL, 0, 60, NULL, 0, &map, &err);
    crewtest_check(rc == 0, "%s", err.text);
    crew_pool_free(p);
    return crew_finalize();
}

/* Reads what is drawn until that is among it. */
static void await_text(int fd, const char *part) {
    char text[1 << 16] = "";
    size_t used = 0;
    struct pollfd drawn = {.fd = fd, .events = POLLIN};
    for (double from = crewtest_now(); !strstr(text, part);) {
        if (crewtest_now() - from > 20)
            fail_msg("there is no '%s' in '%s'", part, text);
        if (poll(&drawn, 1, 100) <= 0)
            continue;
        ssize_t n = read(fd, text + used, sizeof text - 1 - used);
        assert_true(n > 0);
        used += (size_t)n;
        text[used] = 0;
    }
}

static void progress__always__draws_a_bar_that_ends_full(void **state) {
    static const char *const always[] = {"CREW_PROGRESS=1", NULL},
                      *const never[] = {"CREW_PROGRESS=0", NULL};
    char *text;
    int drawn;
    (void)state;
    pid_t pid = crewtest_helper("bar", always, &drawn);
    await_text(drawn, "\rsums [");
    await_text(drawn, "33.3 % 20 of 60");
    crewtest_set(CELL_GATE, 1);
    text = crewtest_read_all(drawn, 30, NULL);
    assert_int_equal(crewtest_helper_wait(pid, 30), 0);
    assert_text(text, "[########################################] 100.0 % 60 of 60\n");
    free(text);
    int status = crewtest_helper_run("bar", never, 30, &text);
    assert_int_equal(status, 0);
    assert_string_equal(text, "");
    free(text);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return helper_bar();
    const struct CMUnitTest tests[] = {
        CREWTEST(maps__more_than_there_are_places__wait_and_can_be_stopped),
        CREWTEST(maps__waiting_when_the_pool_is_terminated__end_cancelled),
        CREWTEST(progress__always__draws_a_bar_that_ends_full),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
