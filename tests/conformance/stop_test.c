/* conformance/stop_test.c - programs that are stopped, by signals and by time limits: each
 * a helper of its own, since what is stopped stays so. */
#include "crewtest.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 2, COUNT = 10000 };
enum { STOPPED = CELL_COUNT + 1, AGAIN, CALLED };

static _Atomic bool ended; /* the helper has done its part */

static void nap(void) {
    const struct timespec ms = {0, 1000000};
    nanosleep(&ms, NULL);
}

/* Counts itself; 1 ms an item, so that all of them together take longer than any stop. */
static int slow_task(crew_call *call) {
    crewtest_add(CELL_ITEM + call->index, 1);
    crewtest_add(CELL_STARTED, 1);
    nap();
    if (call->out)
        *CREW_OUT(call, int64_t) = 3 * call->index;
    return 0;
}

static int slow_body(crew_call *call, int64_t lo, int64_t hi) {
    (void)call;
    for (int64_t i = lo; i < hi; i++)
        crewtest_add(CELL_ITEM + i, 1);
    crewtest_add(CELL_STARTED, 1);
    nap();
    return 0;
}

/* Tells who waits outside that the stop is seen; then lets pass what is gated. */
static void *opener(void *arg) {
    int why;
    (void)arg;
    while (!(why = crew_stopped())) {
        if (atomic_load(&ended)) /* crew_finalize forgets it */
            return NULL;
        crewtest_pause();
    }
    crewtest_set(STOPPED, why);
    crewtest_set(CELL_GATE, 1);
    return NULL;
}

static crew_pool *begin(void) {
    crew_error err;
    crew_pool_opts opts = crewtest_opts(WORKERS);
    crew_pool *p = crew_pool_open(&opts, &err);
    crewtest_check(p, "%s", err.text);
    return p;
}

/* Two programs after each other: what the first has done the second takes from the journal. */
static int journal_goes_on(void) {
    enum { ITEMS = 1000 };
    static int64_t out[ITEMS];
    crew_error err;
    crew_pool *p = begin();
    const crew_map_opts opts = {.journal = getenv("CREW_TEST_JOURNAL")};
    int rc = crew_map_index(p, slow_task, ITEMS, out, &opts, &err);
    if (crew_stopped()) {
        crewtest_check(rc == CREW_ESTOPPED, "%d %s", rc, err.text);
    } else {
        crewtest_check(rc == 0, "%d %s", rc, err.text);
        for (int i = 0; i < ITEMS; i++)
            crewtest_check(out[i] == 3 * i && crewtest_get(CELL_ITEM + i) == 1,
                           "item %d gave %ld, and ran %ld times", i, (long)out[i],
                           (long)crewtest_get(CELL_ITEM + i));
    }
    crew_pool_free(p);
    return crew_finalize();
}

/* What holds in every program that was stopped. */
static int end(crew_pool *p) {
    crew_error err;
    int64_t out[4];
    double from = crewtest_now();
    int rc = crew_map_index(p, slow_task, 4, out, NULL, &err);
    crewtest_check(rc == CREW_ESTOPPED && strstr(err.text, "stopped by"), "%d %s", rc, err.text);
    crew_future *f = crew_submit(p, slow_task, NULL, 0, NULL, &err);
    crewtest_check(!f && err.code == CREW_ESTOPPED, "%s", err.text);
    crew_iter *it = crew_imap(p, slow_task, crew_source_range(0, 5, 1), 8, NULL, &err);
    crewtest_check(!it && err.code == CREW_ESTOPPED, "%s", err.text);
    crew_pool_free(p);
    crewtest_set(STOPPED, crew_stopped());
    crewtest_check(crewtest_now() - from < 5, "the end took %g s", crewtest_now() - from);
    return crew_finalize();
}

/* Statuses tell exactly what has run, and so does the sentence. */
static void check_map(int rc, const crew_error *err, const int *statuses, const int64_t *out,
                      const char *by) {
    char want[128], number[32];
    int64_t done = 0;
    for (int i = 0; i < COUNT; i++) {
        int64_t ran = crewtest_get(CELL_ITEM + i);
        crewtest_check(statuses[i] == 0 || statuses[i] == CREW_ESTOPPED, "item %d: %d", i,
                       statuses[i]);
        crewtest_check(statuses[i] != 0 || (ran == 1 && (!out || out[i] == 3 * i)),
                       "item %d ran %ld times", i, (long)ran);
        done += statuses[i] == 0;
    }
    if (done >= 1000)
        snprintf(number, sizeof number, "%ld,%03ld", (long)(done / 1000), (long)(done % 1000));
    else
        snprintf(number, sizeof number, "%ld", (long)done);
    snprintf(want, sizeof want, "stopped by %s after %s of 10,000 items", by, number);
    crewtest_check(rc == CREW_ESTOPPED && err->code == rc, "%d: %s", rc, err->text);
    crewtest_check(strcmp(err->text, want) == 0, "\"%s\", not \"%s\"", err->text, want);
    crewtest_check(done < COUNT, "all was done");
}

/* Nothing is lost of what has run, and with a grace that is not used up nothing of what has
 * begun. */
static int map_is_stopped(const char *by) {
    static int statuses[COUNT];
    static int64_t out[COUNT];
    crew_error err;
    crew_pool *p = begin();
    const crew_map_opts opts = {.statuses = statuses};
    int rc = crew_map_index(p, slow_task, COUNT, out, &opts, &err);
    check_map(rc, &err, statuses, out, by);
    for (int i = 0; i < COUNT; i++)
        crewtest_check(crewtest_get(CELL_ITEM + i) == (statuses[i] == 0), "item %d", i);
    crew_stats stats;
    crew_pool_stats(p, -1, &stats);
    crewtest_check(stats.restarts == 0, "%ld workers were lost", (long)stats.restarts);
    return end(p);
}

static int for_is_stopped(void) {
    static int statuses[COUNT];
    crew_error err;
    crew_pool *p = begin();
    const crew_map_opts opts = {.statuses = statuses, .chunk = 3};
    int rc = crew_for(p, slow_body, COUNT, &opts, &err);
    check_map(rc, &err, statuses, NULL, "SIGUSR1");
    return end(p);
}

static int async_is_stopped(void) {
    static int statuses[COUNT];
    static int64_t out[COUNT];
    crew_error err;
    crew_pool *p = begin();
    const crew_map_opts opts = {.statuses = statuses};
    crew_job *jobs[3];
    jobs[0] = crew_map_async(p, slow_task, NULL, 0, COUNT, out, sizeof *out, &opts, &err);
    for (int i = 1; i < 3; i++) /* behind it */
        jobs[i] = crew_map_async(p, slow_task, NULL, 0, COUNT, NULL, 0, NULL, &err);
    crewtest_check(jobs[0], "%s", err.text);
    check_map(crew_job_get(jobs[0], 20, &err), &err, statuses, out, "SIGUSR1");
    for (int i = 1; i < 3; i++) {
        crewtest_check(!jobs[i] || crew_job_get(jobs[i], 20, &err) == CREW_ESTOPPED, "job %d: %s",
                       i, err.text);
        crew_job_free(jobs[i]);
    }
    crew_job_free(jobs[0]);
    return end(p);
}

/* Items that never end by themselves: the grace, or a second signal, ends them. */
static int gated_is_ended(void) {
    static int statuses[WORKERS + 3];
    int64_t in[WORKERS + 3], out[WORKERS + 3];
    crew_error err;
    crew_pool *p = begin();
    const crew_map_opts opts = {.statuses = statuses, .chunk = 1};
    for (int i = 0; i < WORKERS + 3; i++)
        in[i] = CELL_GATE + 1;
    int rc = crew_map(p, crewtest_gated_task, in, WORKERS + 3, out, &opts, &err);
    crewtest_check(rc == CREW_ESTOPPED, "%d %s", rc, err.text);
    crewtest_check(strcmp(err.text, "stopped by SIGUSR1 after 0 of 5 items") == 0, "%s", err.text);
    for (int i = 0; i < WORKERS + 3; i++)
        crewtest_check(statuses[i] == CREW_ESTOPPED, "item %d: %d", i, statuses[i]);
    return end(p);
}

/* What runs when the stop comes may end: the opener lets it. */
static int gated_has_grace(void) {
    static int statuses[COUNT];
    static int64_t in[COUNT], out[COUNT];
    crew_error err;
    crew_pool *p = begin();
    const crew_map_opts opts = {.statuses = statuses, .chunk = 1};
    for (int i = 0; i < COUNT; i++)
        in[i] = CELL_GATE;
    int rc = crew_map(p, crewtest_gated_task, in, COUNT, out, &opts, &err);
    int workers = crew_pool_workers(p);
    for (int i = 0; i < workers; i++)
        crewtest_check(statuses[i] == 0 && out[i] == CELL_GATE, "item %d: %d", i, statuses[i]);
    crewtest_check(rc == CREW_ESTOPPED, "%d %s", rc, err.text);
    /* Since crew_stopped has said so, nothing has begun. */
    crewtest_check(crewtest_get(CELL_STARTED) == workers, "%ld", (long)crewtest_get(CELL_STARTED));
    return end(p);
}

static int stream_is_stopped(bool unordered) {
    crew_error err;
    crew_pool *p = begin();
    const crew_map_opts opts = {.unordered = unordered, .window = 8};
    crew_iter *it = crew_imap(p, slow_task, crew_source_range(0, COUNT, 1), 8, &opts, &err);
    crewtest_check(it, "%s", err.text);
    int64_t value, given = 0;
    crew_item item;
    int rc;
    for (; (rc = crew_next(it, &value, &item, CREW_FOREVER, &err)) == 1; given++) {
        crewtest_check(value == 3 * item.index, "item %ld gave %ld", (long)item.index, (long)value);
        crewtest_check(unordered || item.index == given, "item %ld came", (long)item.index);
        crewtest_add(CELL_ITEM + item.index, 1 << 20);
    }
    crewtest_check(rc == CREW_ESTOPPED && strstr(err.text, "stopped by SIGUSR1 after "), "%d %s",
                   rc, err.text);
    crewtest_check(given < COUNT, "all came");
    crewtest_check(crew_next(it, &value, &item, CREW_FOREVER, &err) == 0, "%s", err.text);
    for (int i = 0; i < COUNT; i++) {
        int64_t cell = crewtest_get(CELL_ITEM + i);
        crewtest_check(cell == 0 || cell == (1 << 20) + 1, "item %d has run, but did not come", i);
    }
    crew_iter_free(it);
    return end(p);
}

static void called(void *ctx, crew_future *f) {
    (void)ctx;
    (void)f;
    crewtest_add(CALLED, 1);
}

/* Those that run are done, those that wait never begin; nobody waits for ever. */
static int futures_are_stopped(void) {
    enum { N = 300 };
    crew_future *f[N];
    crew_error err;
    crew_pool *p = begin();
    int64_t gate = CELL_GATE, late = CELL_GATE + 1, result;
    int begun = crew_pool_workers(p);
    for (int i = 0; i < N; i++) {
        f[i] = crew_submit(p, crewtest_gated_task, i < begun ? &gate : &late, sizeof gate, NULL,
                           &err);
        crewtest_check(f[i], "%s", err.text);
        crewtest_check(crew_future_then(f[i], called, NULL) == 0, "then");
        if (i == begun - 1)
            crewtest_check(crewtest_reached(CELL_STARTED, begun, 20), "they do not begin");
    }
    crewtest_set(AGAIN, 1); /* all are there: now */
    int n = crew_wait(f, N, CREW_WAIT_ALL, 20);
    crewtest_check(n == N, "%d are done", n);
    for (int i = 0; i < N; i++) {
        int rc = crew_future_result(f[i], &result, sizeof result, 0, &err);
        if (i < begun)
            crewtest_check(rc == 0, "future %d: %s", i, err.text);
        else
            crewtest_check(rc == CREW_ESTOPPED && strstr(err.text, "stopped by SIGUSR1"),
                           "future %d: %d %s", i, rc, err.text);
        crew_future_free(f[i]);
    }
    crewtest_check(crewtest_get(CELL_STARTED) == begun, "others began");
    crewtest_check(crewtest_reached(CALLED, N, 5), "%ld were told", (long)crewtest_get(CALLED));
    return end(p);
}

/* A running future that nothing ends but the end of the grace. */
static int future_is_ended(void) {
    crew_error err;
    crew_pool *p = begin();
    int64_t gate = CELL_GATE + 1;
    crew_future *f = crew_submit(p, crewtest_gated_task, &gate, sizeof gate, NULL, &err);
    crewtest_check(f, "%s", err.text);
    int rc = crew_future_result(f, NULL, 0, 20, &err);
    crewtest_check(rc == CREW_ESTOPPED, "%d %s", rc, err.text);
    crew_future_free(f);
    return end(p);
}

/* A map in a pool of a task's own, and what it spawns, are part of that task. */
static int child(crew_call *call) {
    nap();
    crewtest_add(CALLED, 1);
    (void)call;
    return 0;
}

static int with_inner_pool(crew_call *call) {
    crew_error err;
    const crew_pool_opts opts = {.workers = 2, .backend = CREW_THREADS, .bind = CREW_BIND_NONE};
    crew_pool *p = crew_pool_open(&opts, &err);
    int64_t out[50];
    if (!p)
        return crew_fail(call, 1, "%s", err.text);
    crewtest_add(CELL_STARTED, 1);
    int rc = crewtest_pass(call, CELL_GATE);
    if (rc == 0 && crew_map_index(p, slow_task, 50, out, NULL, &err) < 0)
        rc = crew_fail(call, 2, "%s", err.text);
    crew_pool_free(p);
    for (int i = 0; rc == 0 && i < 20; i++)
        rc = crew_spawn(call, child, NULL, 0);
    return rc;
}

static int inner_map_goes_on(void) {
    static int statuses[COUNT];
    crew_error err;
    crew_pool *p = begin();
    const crew_map_opts opts = {.statuses = statuses, .chunk = 1};
    int rc = crew_pool_map(p, with_inner_pool, NULL, 0, COUNT, NULL, 0, &opts, &err), done = 0;
    crewtest_check(rc == CREW_ESTOPPED, "%d %s", rc, err.text);
    for (int i = 0; i < COUNT; i++) {
        crewtest_check(statuses[i] == 0 || statuses[i] == CREW_ESTOPPED, "item %d: %d %s", i,
                       statuses[i], err.text);
        done += statuses[i] == 0;
    }
    crewtest_check(done >= crew_pool_workers(p), "%d were done", done);
    crewtest_check(crewtest_get(CALLED) == 20 * done, "%ld children", (long)crewtest_get(CALLED));
    return end(p);
}

/* What was all done has not been stopped; what comes afterwards is. */
static int whole_map_succeeds(void) {
    int64_t in = CELL_GATE, out = 0;
    crew_error err;
    crew_pool *p = begin();
    int rc = crew_map(p, crewtest_gated_task, &in, 1, &out, NULL, &err);
    crewtest_check(rc == 0 && out == CELL_GATE, "%d %s", rc, err.text);
    crew_pool_free(p);
    crewtest_set(STOPPED, crew_stopped());
    int code = crew_finalize();
    crewtest_check(code == 0, "crew_finalize returned %d", code);
    return 85; /* as all others here */
}

static void note(int signal) {
    (void)signal;
    crewtest_add(CALLED, 1);
}

static int refusals(void) {
    crewtest_check(crew_stop_on(SIGKILL) == CREW_EINVAL, "SIGKILL");
    crewtest_check(strstr(crew_last_error()->text, "USR1, USR2"), "%s", crew_last_error()->text);
    crewtest_check(crew_stop_on(SIGSEGV) == CREW_EINVAL && crew_stop_on(SIGCHLD) == CREW_EINVAL &&
                       crew_stop_on(0) == CREW_EINVAL && crew_stop_on(65) == CREW_EINVAL,
                   "what is none is refused");
    crewtest_check(crew_stopped() == 0, "stopped");
    crew_finalize();
    return 85;
}

static int helper(const char *mode) {
    static const struct {
        const char *mode;
        int (*run)(void);
    } rows[] = {{"for", for_is_stopped},         {"async", async_is_stopped},
                {"ended", gated_is_ended},       {"grace", gated_has_grace},
                {"futures", futures_are_stopped}, {"future_ended", future_is_ended},
                {"inner", inner_map_goes_on},    {"whole", whole_map_succeeds},
                {"refusals", refusals},          {"journal", journal_goes_on}};
    pthread_t thread;
    bool watched = strcmp(mode, "refusals") != 0 && strcmp(mode, "journal") != 0;
    if (watched)
        pthread_create(&thread, NULL, opener, NULL);
    int code = -1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(mode, rows[i].mode) == 0)
            code = rows[i].run();
    if (strcmp(mode, "map") == 0)
        code = map_is_stopped("SIGUSR1");
    if (strcmp(mode, "limit") == 0)
        code = map_is_stopped("the program's time limit of 1 s");
    if (strcmp(mode, "batch") == 0)
        code = map_is_stopped("the time limit of the batch system");
    if (strcmp(mode, "stream") == 0 || strcmp(mode, "stream_any") == 0)
        code = stream_is_stopped(strcmp(mode, "stream_any") == 0);
    atomic_store(&ended, true);
    if (watched)
        pthread_join(thread, NULL);
    return code;
}

/* ---- the tests ----------------------------------------------------------- */

static pid_t start(const char *mode, const char *const *settings) {
    crewtest_need_helpers();
    for (int cell = 0; cell < CELL_ITEM + COUNT; cell++)
        crewtest_set(cell, 0);
    return crewtest_helper(mode, settings, NULL);
}

static void ends_stopped(pid_t pid, double seconds) {
    int status = crewtest_helper_wait(pid, seconds);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 85);
}

/* Signals it, as a launcher may do: all of its processes, several times. */
static void stopped_in_the_middle(const char *mode, int64_t started, bool all) {
    pid_t pid = start(mode, NULL);
    CREWTEST_WAIT(crewtest_get(CELL_STARTED) >= started, 20);
    for (int i = 0; i < (all ? 3 : 1); i++)
        kill(all ? -pid : pid, SIGUSR1);
    ends_stopped(pid, 20);
    assert_int_equal(crewtest_get(STOPPED), SIGUSR1);
}

static void map__signal__ends_with_how_far_it_got(void **state) {
    (void)state;
    stopped_in_the_middle("map", 50, false);
}

static void map__signal_to_all_processes__no_worker_is_lost(void **state) {
    (void)state;
    stopped_in_the_middle("map", 50, true);
}

static void map__signal_named_in_the_environment__stops_it(void **state) {
    static const char *const settings[] = {"CREW_STOP_SIGNAL=USR2,USR1", "CREW_TEST_NO_CALL=1",
                                           NULL};
    (void)state;
    pid_t pid = start("map", settings);
    CREWTEST_WAIT(crewtest_get(CELL_STARTED) >= 50, 20);
    kill(-pid, SIGUSR1);
    ends_stopped(pid, 20);
}

static void map__handler_of_the_programs_own__is_called_too(void **state) {
    static const char *const settings[] = {"CREW_TEST_HANDLER=1", NULL};
    (void)state;
    pid_t pid = start("map", settings);
    CREWTEST_WAIT(crewtest_get(CELL_STARTED) >= 50, 20);
    kill(pid, SIGUSR1);
    ends_stopped(pid, 20);
    assert_int_equal(crewtest_get(CALLED), 1);
}

static void map__time_limit__ends_it(void **state) {
    static const char *const settings[] = {"CREW_TIME_LIMIT=1", NULL};
    (void)state;
    double from = crewtest_now();
    ends_stopped(start("limit", settings), 20);
    assert_true(crewtest_now() - from >= 1);
}

static void map__end_of_the_batch_job__ends_it_before(void **state) {
    char end[64];
    const char *const settings[] = {"CREW_TIME_LIMIT=batch", end, "CREW_STOP_MARGIN=58",
                                    "CREW_STOP_GRACE=5", NULL};
    (void)state;
    /* Of a minute, all but 2 s is margin; but never more than half. */
    snprintf(end, sizeof end, "SLURM_JOB_END_TIME=%ld", (long)time(NULL) + 4);
    double from = crewtest_now();
    ends_stopped(start("batch", settings), 20);
    assert_true(crewtest_now() - from >= 1);
}

static void not_stopped(long end, const char *journal, const char *limit) {
    char slurm[64];
    const char *const settings[] = {slurm, journal, limit, NULL};
    snprintf(slurm, sizeof slurm, "SLURM_JOB_END_TIME=%ld", end);
    int status = crewtest_helper_wait(start("journal", settings), 20);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Without CREW_TIME_LIMIT. */
static void map__end_of_the_batch_job__is_minded_where_there_is_a_journal(void **state) {
    char setting[64] = "CREW_JOURNAL=/tmp/crewtest-end-XXXXXX", end[64], path[96];
    char *folder = strchr(setting, '=') + 1;
    const char *const settings[] = {setting, end, "CREW_STOP_GRACE=5", NULL};
    (void)state;
    crewtest_need_fork(); /* once will do */
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/1", folder);
    snprintf(end, sizeof end, "SLURM_JOB_END_TIME=%ld", (long)time(NULL) + 4);
    ends_stopped(start("batch", settings), 20);
    assert_int_equal(unlink(path), 0);
    not_stopped((long)time(NULL) + 1, "CREW_TEST_NONE=", "CREW_TEST_NONE=");
    not_stopped((long)time(NULL) + 1, setting, "CREW_TIME_LIMIT=none");
    assert_int_equal(unlink(path), 0);
    not_stopped((long)time(NULL) - 1, setting, "CREW_TEST_NONE="); /* of an earlier job */
    assert_int_equal(unlink(path), 0);
    /* Maps that were refused because the program was stopped have left nothing. */
    assert_int_equal(rmdir(folder), 0);
}

static void for__signal__statuses_say_what_was_done(void **state) {
    (void)state;
    stopped_in_the_middle("for", 50, false);
}

static void async__signal__ends_those_that_wait_too(void **state) {
    (void)state;
    stopped_in_the_middle("async", 50, false);
}

static void items__longer_than_the_grace__are_ended(void **state) {
    static const char *const settings[] = {"CREW_STOP_GRACE=0.3", NULL};
    (void)state;
    pid_t pid = start("ended", settings);
    CREWTEST_WAIT(crewtest_get(CELL_STARTED) >= crewtest_workers(WORKERS), 20);
    double from = crewtest_now();
    kill(pid, SIGUSR1);
    ends_stopped(pid, 20);
    assert_true(crewtest_now() - from >= 0.3);
}

static void items__second_signal__are_ended_at_once(void **state) {
    static const char *const settings[] = {"CREW_STOP_GRACE=1:00:00", NULL};
    (void)state;
    pid_t pid = start("ended", settings);
    CREWTEST_WAIT(crewtest_get(CELL_STARTED) >= crewtest_workers(WORKERS), 20);
    kill(pid, SIGUSR1);
    CREWTEST_WAIT(crewtest_get(STOPPED), 20);
    double from = crewtest_now();
    while (crewtest_now() - from < 1.2) { /* what is sent sooner is the first one's echo */
        kill(pid, SIGUSR1);
        crewtest_pause();
    }
    ends_stopped(pid, 20);
}

static void items__that_run__have_the_grace(void **state) {
    (void)state;
    pid_t pid = start("grace", NULL);
    CREWTEST_WAIT(crewtest_get(CELL_STARTED) >= crewtest_workers(WORKERS), 20);
    kill(pid, SIGUSR1);
    ends_stopped(pid, 20);
}

static void stream__signal__gives_what_is_done(void **state) {
    (void)state;
    stopped_in_the_middle("stream", 50, false);
    stopped_in_the_middle("stream_any", 50, false);
}

static void futures__signal__running_ones_end_waiting_ones_never_begin(void **state) {
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    pid_t pid = start("futures", NULL);
    CREWTEST_WAIT(crewtest_get(AGAIN), 20);
    kill(pid, SIGUSR1);
    ends_stopped(pid, 20);
}

static void future__longer_than_the_grace__is_ended(void **state) {
    static const char *const settings[] = {"CREW_STOP_GRACE=0.3", NULL};
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    pid_t pid = start("future_ended", settings);
    CREWTEST_WAIT(crewtest_get(CELL_STARTED) >= 1, 20);
    kill(pid, SIGUSR1);
    ends_stopped(pid, 20);
}

static void inner_map__signal__belongs_to_what_runs(void **state) {
    (void)state;
    stopped_in_the_middle("inner", crewtest_workers(WORKERS), false);
}

static void map__all_done_in_the_grace__has_succeeded(void **state) {
    (void)state;
    stopped_in_the_middle("whole", 1, false);
}

static void map__with_a_journal__goes_on_in_the_next_program(void **state) {
    char path[64], setting[96];
    const char *const settings[] = {setting, NULL};
    (void)state;
    snprintf(path, sizeof path, "/tmp/crew-stop-%d", (int)getpid());
    snprintf(setting, sizeof setting, "CREW_TEST_JOURNAL=%s", path);
    unlink(path);
    pid_t pid = start("journal", settings);
    CREWTEST_WAIT(crewtest_get(CELL_STARTED) >= 200, 20);
    kill(pid, SIGUSR1);
    ends_stopped(pid, 20);
    int64_t first = crewtest_get(CELL_STARTED);
    int status = crewtest_helper_wait(crewtest_helper("journal", settings, NULL), 20);
    unlink(path);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(first < 1000);
    assert_int_equal(crewtest_get(CELL_STARTED), 1000);
}

static void stop_on__what_cannot_be_caught__is_refused(void **state) {
    (void)state;
    ends_stopped(start("refusals", NULL), 20);
}

int main(int argc, char **argv) {
    bool helps = argc > 1;
    if (helps && getenv("CREW_TEST_HANDLER"))
        signal(SIGUSR1, note);
    if (helps && !getenv("CREW_TEST_NO_CALL"))
        crew_stop_on(SIGUSR1);
    crewtest_begin(&argc, &argv);
    if (helps)
        return helper(argv[1]);
    const struct CMUnitTest tests[] = {
        CREWTEST(map__signal__ends_with_how_far_it_got),
        CREWTEST(map__signal_to_all_processes__no_worker_is_lost),
        CREWTEST(map__signal_named_in_the_environment__stops_it),
        CREWTEST(map__handler_of_the_programs_own__is_called_too),
        CREWTEST(map__time_limit__ends_it),
        CREWTEST(map__end_of_the_batch_job__ends_it_before),
        CREWTEST(map__end_of_the_batch_job__is_minded_where_there_is_a_journal),
        CREWTEST(for__signal__statuses_say_what_was_done),
        CREWTEST(async__signal__ends_those_that_wait_too),
        CREWTEST(items__longer_than_the_grace__are_ended),
        CREWTEST(items__second_signal__are_ended_at_once),
        CREWTEST(items__that_run__have_the_grace),
        CREWTEST(stream__signal__gives_what_is_done),
        CREWTEST(futures__signal__running_ones_end_waiting_ones_never_begin),
        CREWTEST(future__longer_than_the_grace__is_ended),
        CREWTEST(inner_map__signal__belongs_to_what_runs),
        CREWTEST(map__all_done_in_the_grace__has_succeeded),
        CREWTEST(map__with_a_journal__goes_on_in_the_next_program),
        CREWTEST(stop_on__what_cannot_be_caught__is_refused),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
