/* conformance/edges_test.c - where one map, call or worker meets another: several
 * crew_pool_each at once, maps that wait for a place on the board, maps in maps, limits
 * from one map to the next, children that fail before their parent has ended, a pool
 * that was freed. */
#include "crewtest.h"

#include <pthread.h>

enum { SLOTS = 64, DEEPEST = 4 };

static crew_pool *pool;

static int nothing(crew_call *call) {
    (void)call;
    return 0;
}

/* ---- each --------------------------------------------------------------- */

static int count_here(crew_call *call) {
    crewtest_add(CELL_ITEM + *CREW_IN(call, int64_t) * 16 + call->worker, 1);
    return 0;
}

static void *each_again_and_again(void *arg) {
    int64_t which = (int64_t)(intptr_t)arg;
    for (int i = 0; i < 50; i++)
        if (crew_pool_each(pool, count_here, &which, sizeof which, NULL) < 0)
            return arg ? arg : &pool;
    return NULL;
}

static void each__from_four_threads_at_once__runs_on_every_worker_for_each(void **state) {
    enum { THREADS = 4 };
    pthread_t thread[THREADS];
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    pool = crewtest_open(3);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&thread[i], NULL, each_again_and_again, (void *)(intptr_t)i), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        assert_null(failed);
        for (int w = 0; w < crew_pool_workers(pool); w++)
            assert_int_equal(crewtest_get(CELL_ITEM + i * 16 + w), 50);
    }
    crewtest_free(pool);
}

/* ---- a full board ------------------------------------------------------- */

static int pass_gate(crew_call *call) {
    return crewtest_pass(call, CELL_GATE);
}

static void map__waiting_for_a_place__has_its_time_limit_and_can_be_cancelled(void **state) {
    crew_job *job[SLOTS], *late, *unwanted;
    crew_map_opts limited = {.timeout = 0.1};
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(1);
    for (int i = 0; i < SLOTS; i++)
        assert_non_null(job[i] = crew_map_async(p, pass_gate, NULL, 0, 1, NULL, 0, NULL, &err));
    late = crew_map_async(p, nothing, NULL, 0, 1, NULL, 0, &limited, &err);
    unwanted = crew_map_async(p, nothing, NULL, 0, 1, NULL, 0, NULL, &err);
    double from = crewtest_now();
    assert_code(crew_job_get(late, 10, &err), CREW_ETIMEDOUT, &err);
    assert_text(err.text, "time limit of 0.1 s");
    assert_int_equal(crew_job_cancel(unwanted), 0);
    assert_code(crew_job_get(unwanted, 10, &err), CREW_ECANCELLED, &err);
    assert_within(from, 5);
    crewtest_set(CELL_GATE, 1);
    for (int i = 0; i < SLOTS; i++) {
        assert_ok(crew_job_get(job[i], 10, &err), &err);
        crew_job_free(job[i]);
    }
    crew_job_free(late);
    crew_job_free(unwanted);
    assert_usable(p);
    crewtest_free(p);
}

static int map_further_in(crew_call *call) {
    int64_t left = *CREW_IN(call, int64_t) - 1;
    crew_error err;
    if (left == 0)
        return 0;
    int rc = crew_pool_map(pool, map_further_in, &left, sizeof left, 1, NULL, 0, NULL, &err);
    return rc < 0 ? crew_fail(call, 1, "%s", err.text) : 0;
}

static void map__in_maps_of_the_same_pool__goes_four_deep_and_no_further(void **state) {
    crew_error err;
    (void)state;
    if (crewtest_has(CREWTEST_PROCESSES))
        skip(); /* there a task has not got its pool */
    pool = crewtest_open(1); /* the depth is a worker's: another would start at its own */
    for (int64_t deep = 1; deep <= DEEPEST + 1; deep++) {
        int rc = crew_pool_map(pool, map_further_in, &deep, sizeof deep, 1, NULL, 0, NULL, &err);
        assert_code(rc, deep <= DEEPEST ? 0 : CREW_EFAILED, &err);
    }
    assert_text(err.text, "maps inside tasks of the same pool");
    assert_usable(pool);
    crewtest_free(pool);
}

/* ---- limits from one to the next ---------------------------------------- */

static int take_a_while(crew_call *call) {
    double end = crewtest_now() + 0.2;
    while (crewtest_now() < end)
        if (crew_cancelled(call))
            return 1;
    return 0;
}

/* Item 0 of one map after item 0 of another on the same worker: not one long item. */
static void limit__maps_in_a_row__each_item_has_its_own_time(void **state) {
    enum { MAPS = 12 }; /* longer than the limit, together */
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool_opts opts = crewtest_opts(1);
    opts.task_timeout = 2;
    crew_pool *p = crewtest_open_opts(&opts);
    crew_job *job[MAPS];
    for (int i = 0; i < MAPS; i++)
        job[i] = crew_map_async(p, take_a_while, NULL, 0, 1, NULL, 0, NULL, &err);
    for (int i = 0; i < MAPS; i++) {
        assert_ok(crew_job_get(job[i], 20, &err), &err);
        crew_job_free(job[i]);
    }
    crewtest_free(p);
}

/* ---- children that fail early ------------------------------------------- */

static int fail_early(crew_call *call) {
    crewtest_add(CELL_STARTED, 1);
    return crew_fail(call, 6, "early");
}

/* Returns long after its child has failed, if another worker runs that. */
static int outlive_child(crew_call *call) {
    if (crew_spawn(call, fail_early, NULL, 0) < 0)
        return crew_fail(call, 1, "no child");
    crewtest_reached(CELL_STARTED, 1, 0.5);
    for (double end = crewtest_now() + 0.02; crewtest_now() < end;)
        crewtest_pause();
    int64_t out = 5;
    return call->out_size ? crew_task_result(call, &out, sizeof out) : 0;
}

static void child__failed_before_its_parent_ends__fails_it(void **state) {
    crew_bytes bytes = {"x", 1};
    crew_error err;
    int64_t out = 0;
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (int round = 0; round < 5; round++) {
        crewtest_set(CELL_STARTED, 0);
        assert_code(crew_map_index(p, outlive_child, 1, &out, NULL, &err), CREW_EFAILED, &err);
        assert_int_equal(err.task_code, 6);
        crewtest_set(CELL_STARTED, 0);
        assert_null(crew_map_bytes(p, outlive_child, &bytes, 1, NULL, &err));
        assert_int_equal(err.task_code, 6);
        crewtest_set(CELL_STARTED, 0);
        assert_code(crew_apply(p, outlive_child, NULL, 0, NULL, 0, &err), CREW_EFAILED, &err);
        assert_int_equal(err.task_code, 6);
    }
    crewtest_free(p);
}

/* ---- a pool that was freed ---------------------------------------------- */

/* Every call that takes a pool says what is wrong with it, while it is remembered. */
static void check_freed(crew_pool *p) {
    crew_error err;
    crew_stats stats;
    const crew_bytes bytes = {"x", 1};
    int64_t out = 0;
    assert_code(crew_map_index(p, nothing, 1, &out, NULL, &err), CREW_EINVAL, &err);
    assert_text(err.text, "freed");
    assert_null(crew_map_async(p, nothing, NULL, 0, 1, NULL, 0, NULL, &err));
    assert_text(err.text, "freed");
    assert_null(crew_map_bytes(p, nothing, &bytes, 1, NULL, &err));
    assert_text(err.text, "freed");
    assert_null(crew_submit(p, nothing, NULL, 0, NULL, &err));
    assert_text(err.text, "freed");
    assert_null(crew_imap(p, nothing, crew_source_range(0, 1, 1), 0, NULL, &err));
    assert_text(err.text, "freed");
    assert_code(crew_apply(p, nothing, NULL, 0, NULL, 0, &err), CREW_EINVAL, &err);
    assert_code(crew_pool_each(p, nothing, NULL, 0, &err), CREW_EINVAL, &err);
    assert_text(err.text, "freed");
    assert_code(crew_pool_join(p, 0, &err), CREW_EINVAL, &err);
    assert_text(err.text, "freed");
    assert_int_equal(crew_pool_workers(p), CREW_EINVAL);
    assert_int_equal(crew_pool_shutdown(p, true, true), CREW_EINVAL);
    assert_int_equal(crew_pool_fd(p), CREW_EINVAL);
    assert_int_equal(crew_pool_stats(p, -1, &stats), CREW_EINVAL);
    assert_text(crew_last_error()->text, "freed");
    crew_pool_close(p);
    crew_pool_terminate(p);
    crew_pool_free(p); /* once more: nothing happens */
}

static void pool__used_after_it_was_freed__is_an_error(void **state) {
    crew_pool *old[3];
    crew_error err;
    (void)state;
    for (int i = 0; i < 3; i++) {
        crew_pool_opts opts = crewtest_opts(1);
        old[i] = crew_pool_open(&opts, &err);
        if (!old[i])
            fail_msg("%s", err.text);
        crew_pool_free(old[i]);
        check_freed(old[i]);
    }
    crew_pool *p = crewtest_open(1); /* its record is none of theirs */
    for (int i = 0; i < 3; i++)
        check_freed(old[i]);
    assert_usable(p);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(each__from_four_threads_at_once__runs_on_every_worker_for_each),
        CREWTEST(map__waiting_for_a_place__has_its_time_limit_and_can_be_cancelled),
        CREWTEST(map__in_maps_of_the_same_pool__goes_four_deep_and_no_further),
        CREWTEST(limit__maps_in_a_row__each_item_has_its_own_time),
        CREWTEST(child__failed_before_its_parent_ends__fails_it),
        CREWTEST(pool__used_after_it_was_freed__is_an_error),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
