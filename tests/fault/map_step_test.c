/* fault/map_step_test.c - a worker is killed after each step that it takes with a map and
 * with a submitted call: before the claim, between claim and
 * publication, in the item, between its result and its mark, after all. Whichever it was,
 * at most the one item it was at is lost; with one retry, none.
 *
 * The worker is traced while it works (see step_kill.h for what a step is); the pool
 * notices its death, replaces it and goes on as ever. */
#include "crewtest.h"
#include "fault/step_kill.h"

#include "api/job_impl.h"
#include "api/pool_impl.h"

#include <errno.h>

enum { COUNT = 5 };

struct work {
    const char *name;
    int least; /* losses without retries */
    /* Begins it and says what memory of it the worker will change. */
    void (*start)(struct work *w, struct step_watch *watch);
    bool (*ready)(struct work *w);
    /* Waits, looks at the results, frees. Returns how many items were lost. */
    int (*end)(struct work *w);
    crew_pool *pool;
    crew_job *job;
    crew_future *future;
    int retries;
    int64_t out[COUNT];
    int statuses[COUNT];
};

static int note_pid(crew_call *call) {
    crewtest_set(CELL_WORKER, gettid());
    (void)call;
    return 0;
}

static void ran(int64_t item) {
    crewtest_add(CELL_ITEM + item, 1);
}

/* Another result in each trial: a step that leaves memory as it was is none. */
static int64_t result_of(int64_t item) {
    return 3 * item + crewtest_get(CELL_OWN);
}

static int triple(crew_call *call) {
    int64_t result = result_of(call->index);
    ran(call->index);
    return crew_task_result(call, &result, sizeof result);
}

static void watch(struct step_watch *w, const void *at, size_t size) {
    w->areas[w->count++] = (struct watched){at, size};
}

/* ---- a map --------------------------------------------------------------- */

static void start_map(struct work *w, struct step_watch *to) {
    crew_map_opts opts = {.chunk = 2, .on_error = CREW_CONTINUE, .statuses = w->statuses};
    crew_error err;
    w->job = crew_map_async(w->pool, triple, NULL, 0, COUNT, w->out, sizeof *w->out, &opts, &err);
    if (!w->job)
        fail_msg("%s", err.text);
    struct cw_job *job = w->job->shared;
    watch(to, job, sizeof *job);
    watch(to, cw_ptr(&w->pool->maps.arena, job->marks), COUNT);
    watch(to, cw_ref_ptr(&w->pool->maps, job->out), sizeof w->out);
}

static bool map_is_ready(struct work *w) {
    return crew_job_ready(w->job);
}

static int end_map(struct work *w) {
    crew_error err;
    int lost = 0, rc = crew_job_get(w->job, 20, &err);
    for (int i = 0; i < COUNT; i++) {
        lost += w->statuses[i] != 0;
        if (w->statuses[i])
            assert_int_equal(w->statuses[i], CREW_EDIED);
        else
            assert_int_equal(w->out[i], result_of(i));
        /* What was not lost has run, and without retries not again. */
        int64_t runs = crewtest_get(CELL_ITEM + i);
        if (runs < (w->statuses[i] ? 0 : 1) || runs > 1 + w->retries)
            fail_msg("item %d, status %d, has run %ld times", i, w->statuses[i], (long)runs);
    }
    assert_code(rc, lost ? CREW_EFAILED : 0, &err);
    crew_job_free(w->job);
    return lost;
}

/* ---- a submitted call ---------------------------------------------------- */

static void start_call(struct work *w, struct step_watch *to) {
    crew_error err;
    w->future = crew_submit(w->pool, triple, NULL, 0, NULL, &err);
    if (!w->future)
        fail_msg("%s", err.text);
    watch(to, cw_task_at(&w->pool->maps, w->pool->team, 0), sizeof(struct cw_task));
    watch(to, cw_task_ring(&w->pool->maps, w->pool->team, cw_task_level(0)), sizeof(cw_ring));
}

static bool call_is_ready(struct work *w) {
    return crew_future_done(w->future);
}

static int end_call(struct work *w) {
    crew_error err;
    int64_t out = 0;
    int rc = crew_future_result(w->future, &out, sizeof out, 20, &err);
    assert_code(rc, rc ? CREW_EDIED : 0, &err);
    assert_int_equal(out, rc ? 0 : result_of(0));
    assert_in_range(crewtest_get(CELL_ITEM), rc ? 0 : 1, 1 + w->retries);
    crew_future_free(w->future);
    return rc != 0;
}

/* ---- killing ------------------------------------------------------------- */

static void apart(void) { /* no code of the worker's: nothing is stepped over but libc */
}

/* Steps the stopped worker on until step n, or until the work is done. True: killed. */
static bool step_until(struct work *w, struct step_watch *watched, pid_t pid, int n) {
    int status, steps = 0;
    bool own = false;
    double limit = crewtest_now() + 20;
    for (;;) {
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0)
            fail_msg("the worker cannot be stepped: %s", strerror(errno));
        pid_t got;
        while ((got = waitpid(pid, &status, __WALL | WNOHANG)) == 0) {
            if (w->ready(w)) { /* it sleeps, and would for ever */
                ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
                waitpid(pid, &status, __WALL);
                ptrace(PTRACE_DETACH, pid, NULL, NULL);
                return false;
            }
            if (crewtest_now() > limit)
                fail_msg("%s, step %d: the work is not done", w->name, steps);
        }
        assert_int_equal(got, pid);
        assert_true(WIFSTOPPED(status));
        if (WSTOPSIG(status) == SIGTRAP)
            step_out(pid, &status, &own);
        if (step_changed(watched) && ++steps == n) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, __WALL);
            return true;
        }
    }
}

/* One trial. False: the work was done before step n. */
static bool kill_at(struct work *w, int n, bool *traced) {
    struct step_watch watched = {0};
    static char shadow[8192];
    crew_error err;
    int status;
    assert_ok(crew_pool_each(w->pool, note_pid, NULL, 0, &err), &err);
    pid_t pid = (pid_t)crewtest_get(CELL_WORKER);
    assert_true(pid > 1 && pid != getpid());
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) != 0) {
        *traced = false;
        return false;
    }
    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
    assert_int_equal(waitpid(pid, &status, __WALL), pid);
    memset(w->out, 0, sizeof w->out);
    crewtest_set(CELL_OWN, n);
    for (int i = 0; i < COUNT; i++)
        crewtest_set(CELL_ITEM + i, 0);
    w->start(w, &watched);
    watch(&watched, cw_team_line(&w->pool->maps, w->pool->team, 0), sizeof(struct cw_line));
    size_t size = 0;
    for (int i = 0; i < watched.count; i++)
        size += watched.areas[i].size;
    assert_true(size <= sizeof shadow);
    watched.shadow = shadow;
    step_changed(&watched);
    return step_until(w, &watched, pid, n);
}

static void kill_at_each_step(struct work *w) {
    if (STEP_TOO_SLOW || strcmp(crewtest_backend(), "fork") != 0)
        skip();
    step_over = apart;
    crewtest_may_take(120);
    for (int retries = 0; retries < 2; retries++) {
        crew_pool_opts opts = crewtest_opts(1);
        opts.retries = w->retries = retries;
        w->pool = crewtest_open_opts(&opts);
        int losses = 0, n = 1;
        bool traced = true, killed = true;
        for (; killed; n++) {
            killed = kill_at(w, n, &traced);
            if (!traced) {
                crewtest_free(w->pool);
                skip(); /* nobody may be traced here */
            }
            int lost = w->end(w);
            if (lost > (killed && !retries))
                fail_msg("%s: killed after step %d: %d items are lost", w->name, n, lost);
            losses += lost;
        }
        print_message("%s, %d retries: %d kills, %d items lost\n", w->name, retries, n - 2, losses);
        assert_true(n > 5);
        assert_true(retries || losses >= w->least);
        crewtest_free(w->pool);
    }
}

static void map__worker_killed_after_each_step__loses_one_item_at_most(void **state) {
    static struct work w = {
        .name = "map", .least = COUNT, .start = start_map, .ready = map_is_ready, .end = end_map};
    (void)state;
    kill_at_each_step(&w);
}

static void submit__worker_killed_after_each_step__is_lost_or_done(void **state) {
    static struct work w = {
        .name = "submit", .least = 1, .start = start_call, .ready = call_is_ready, .end = end_call};
    (void)state;
    kill_at_each_step(&w);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(map__worker_killed_after_each_step__loses_one_item_at_most),
        CREWTEST(submit__worker_killed_after_each_step__is_lost_or_done),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
