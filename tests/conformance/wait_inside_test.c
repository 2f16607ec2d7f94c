/* conformance/wait_inside_test.c - calls from where they cannot work: what waits, in a
 * callback; what ends a pool, in a callback or in a task of that pool. Each is an error
 * in a sentence, and harms nothing. */
#include "crewtest.h"

#include <string.h>

enum { WAITS = 32 };

/* What a call came to, and what it left in crew_last_error. */
static struct {
    const char *name;
    int rc, code;
    char text[256];
} seen[WAITS];
static int count;

static void note(const char *name, int rc, const crew_error *err) {
    const crew_error *e = err ? err : crew_last_error();
    seen[count].name = name;
    seen[count].rc = rc;
    seen[count].code = e->code;
    memcpy(seen[count].text, e->text, sizeof e->text);
    count++;
}

static void check_refused(const char *why) {
    for (int i = 0; i < count; i++) {
        print_message("%s: %s\n", seen[i].name, seen[i].text);
        assert_int_equal(seen[i].rc, CREW_EINVAL);
        assert_int_equal(seen[i].code, CREW_EINVAL);
        assert_text(seen[i].text, why);
        assert_text(seen[i].text, "was called");
    }
}

static int number(crew_call *call) {
    return crew_task_result(call, &call->index, sizeof call->index);
}

static int body(crew_call *call, int64_t lo, int64_t hi) {
    (void)call;
    (void)lo;
    (void)hi;
    return 0;
}

static int add(void *into, const void *from) {
    *(int64_t *)into += *(const int64_t *)from;
    return 0;
}

static crew_pool *pool, *other;
static crew_future *gated;
static crew_job *gated_job;
static crew_iter *iter;

static void wait_for_futures(void) {
    crew_error err;
    note("crew_future_result", crew_future_result(gated, NULL, 0, CREW_FOREVER, &err), &err);
    note("crew_wait all", crew_wait(&gated, 1, CREW_WAIT_ALL, CREW_FOREVER), NULL);
    note("crew_wait first", crew_wait(&gated, 1, CREW_WAIT_FIRST, 5), NULL);
    crew_completed *c = crew_as_completed(&gated, 1);
    note("crew_completed_next", crew_completed_next(c, NULL, CREW_FOREVER), NULL);
    crew_completed_free(c);
    note("crew_apply", crew_apply(pool, number, NULL, 0, NULL, 0, &err), &err);
    note("crew_next", crew_next(iter, NULL, NULL, CREW_FOREVER, &err), &err);
    crew_iter_free(iter);
    note("crew_iter_free", crew_last_error()->code, NULL);
}

static void wait_for_maps(void) {
    crew_error err;
    int64_t sum = 0, out[4];
    crew_bytes in = {"x", 1};
    note("crew_map_index", crew_map_index(pool, number, 4, out, NULL, &err), &err);
    note("crew_for", crew_for(pool, body, 10, NULL, &err), &err);
    note("crew_reduce",
         crew_reduce(pool, number, NULL, 0, 10, &sum, sizeof sum, add, NULL, &err), &err);
    note("crew_pool_each", crew_pool_each(pool, number, NULL, 0, &err), &err);
    note("crew_map_bytes", crew_map_bytes(pool, number, &in, 1, NULL, &err) ? 0 : err.code, &err);
    note("crew_job_wait", crew_job_wait(gated_job, 5), NULL);
    note("crew_job_get", crew_job_get(gated_job, CREW_FOREVER, &err), &err);
    crew_job_free(gated_job);
    note("crew_job_free", crew_last_error()->code, NULL);
}

static void end_pools(void) {
    crew_error err;
    crew_pool_close(other);
    note("crew_pool_join", crew_pool_join(other, CREW_FOREVER, &err), &err);
    note("crew_pool_shutdown", crew_pool_shutdown(other, true, true), NULL);
    crew_pool_free(other);
    note("crew_pool_free", crew_last_error()->code, NULL);
    note("crew_finalize", crew_finalize(), NULL);
}

static void wait_for_everything(void *ctx, crew_future *f) {
    crew_error err;
    int64_t out = 0;
    (void)ctx;
    wait_for_futures();
    wait_for_maps();
    end_pools();
    /* What is there can be asked for, what is not is polled for; and more be asked of
     * the pool. */
    bool good = crew_future_result(f, &out, sizeof out, CREW_FOREVER, &err) == 0 &&
                crew_wait(&f, 1, CREW_WAIT_ALL, CREW_FOREVER) == 1 &&
                crew_future_result(gated, NULL, 0, 0, &err) == CREW_ETIMEDOUT &&
                crew_job_wait(gated_job, 0) == CREW_ETIMEDOUT &&
                crew_next(iter, NULL, NULL, 0, &err) == CREW_ETIMEDOUT;
    crew_future *more = crew_submit(pool, number, NULL, 0, NULL, &err);
    good = good && more;
    crew_future_free(more);
    crewtest_set(CELL_OWN, good ? 1 : 2);
}

static void callback__that_waits__is_refused_and_harms_nothing(void **state) {
    int64_t gate = CELL_GATE;
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    count = 0;
    pool = crewtest_open(2);
    other = crewtest_open(1);
    gated = crew_submit(pool, crewtest_gated_task, &gate, sizeof gate, NULL, &err);
    gated_job = crew_map_async(other, crewtest_gated_task, &gate, 8, 1, NULL, 0, NULL, &err);
    iter = crew_imap(pool, crewtest_gated_task, crew_source_array(&gate, 8, 1), 8, NULL, &err);
    assert_true(gated && gated_job && iter);
    /* Both workers of the pool wait at the gate. */
    crew_pool *third = crewtest_open(1);
    crew_future *f = crew_submit(third, number, NULL, 0, NULL, &err);
    assert_int_equal(crew_future_then(f, wait_for_everything, NULL), 0);
    assert_true(crewtest_reached(CELL_OWN, 1, 20));
    check_refused("callback");
    assert_int_equal(crewtest_get(CELL_OWN), 1);
    crewtest_set(CELL_GATE, 1);
    assert_ok(crew_future_result(gated, NULL, 0, 20, &err), &err);
    assert_ok(crew_job_get(gated_job, 20, &err), &err);
    assert_int_equal(crew_next(iter, NULL, NULL, 20, &err), 1);
    assert_usable(pool);
    assert_usable(third);
    crew_iter_free(iter);
    crew_job_free(gated_job);
    crew_future_free(gated);
    crew_future_free(f);
    crewtest_free(third);
    assert_ok(crew_pool_join(other, 20, &err), &err);
    crewtest_free(other);
    crewtest_free(pool);
}

static void free_own_job(void *ctx, crew_job *job) {
    (void)ctx;
    crew_job_free(job);
    note("crew_job_free", crew_last_error()->code, NULL);
    crewtest_set(CELL_OWN, 1);
}

static void callback__that_frees_its_own_job__is_refused(void **state) {
    crew_map_opts opts = {.done = free_own_job};
    crew_error err;
    (void)state;
    count = 0;
    pool = crewtest_open(2);
    crew_job *job = crew_map_async(pool, number, NULL, 0, 10, NULL, 0, &opts, &err);
    assert_non_null(job);
    assert_ok(crew_job_get(job, 20, &err), &err);
    assert_int_equal(crewtest_get(CELL_OWN), 1);
    check_refused("callback");
    crew_job_free(job);
    crewtest_free(pool);
}

/* ---- in a task: where it runs in the manager ---------------------------- */

static int end_its_own_pool(crew_call *call) {
    crew_error err;
    note("crew_pool_join", crew_pool_join(pool, CREW_FOREVER, &err), &err);
    note("crew_pool_shutdown", crew_pool_shutdown(pool, true, false), NULL);
    crew_pool_free(pool);
    note("crew_pool_free", crew_last_error()->code, NULL);
    note("crew_finalize", crew_finalize(), NULL);
    (void)call;
    return 0;
}

/* Inside a task of another pool, inside one of this. */
static int end_it_from_further_in(crew_call *call) {
    crew_error err;
    crew_pool *inner = crew_pool_open(&(crew_pool_opts){.backend = CREW_SERIAL}, &err);
    if (!inner || crew_apply(inner, end_its_own_pool, NULL, 0, NULL, 0, &err) < 0)
        return crew_fail(call, 1, "%s", err.text);
    crew_pool_free(inner); /* another pool's end is no harm */
    return 0;
}

static void task__that_ends_its_own_pool__is_refused_and_harms_nothing(void **state) {
    crew_fn *ways[] = {end_its_own_pool, end_it_from_further_in};
    crew_error err;
    (void)state;
    if (crewtest_has(CREWTEST_PROCESSES))
        skip(); /* there the pool is another process's: misuse_test */
    for (int way = 0; way < 2; way++) {
        pool = crewtest_open(2);
        for (int map = 0; map < 2; map++) {
            count = 0;
            if (map)
                assert_ok(crew_pool_map(pool, ways[way], NULL, 0, 1, NULL, 0, NULL, &err), &err);
            else
                assert_ok(crew_apply(pool, ways[way], NULL, 0, NULL, 0, &err), &err);
            assert_int_equal(count, 4);
            check_refused("task");
            assert_usable(pool);
        }
        crewtest_free(pool);
    }
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(callback__that_waits__is_refused_and_harms_nothing),
        CREWTEST(callback__that_frees_its_own_job__is_refused),
        CREWTEST(task__that_ends_its_own_pool__is_refused_and_harms_nothing),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
