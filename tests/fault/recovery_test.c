/* fault/recovery_test.c - what deaths leave behind and must not: results of an attempt
 * that died, attempts of crew_pool_each, children of a map that was stopped, streams
 * freed beside dying workers, failures whose keeper died. */
#include "crewtest.h"

#include "api/job_impl.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { CELL_DEATHS = CELL_GATE + 9, CELL_RAN };

static int reply_and_die(crew_call *call) {
    if (crewtest_add(CELL_DEATHS, 1) > 0)
        return 0; /* no answer */
    crew_reply(call, "of the first attempt", 20);
    kill(getpid(), SIGKILL);
    return 0;
}

static void bytes__of_an_attempt_that_died__are_no_result(void **state) {
    crew_bytes in = {"x", 1};
    crew_error err;
    size_t size = 99;
    (void)state;
    crew_pool_opts opts = crewtest_opts(1);
    opts.retries = 1;
    crew_pool *p = crewtest_open_opts(&opts);
    crew_results *r = crew_map_bytes(p, reply_and_die, &in, 1, NULL, &err);
    assert_non_null(r);
    assert_non_null(crew_results_at(r, 0, &size));
    assert_int_equal(size, 0);
    crew_results_free(r);
    crewtest_free(p);
}

static int die_until_third(crew_call *call) {
    crewtest_add(CELL_DEATHS, 1);
    crewtest_set(CELL_RAN, call->attempt);
    if (call->attempt < 3)
        kill(getpid(), SIGKILL);
    return 0;
}

static void each__deaths__are_attempts_like_any_items(void **state) {
    crew_error err;
    (void)state;
    for (int retries = 1; retries <= 2; retries++) {
        crewtest_set(CELL_DEATHS, 0);
        crew_pool_opts opts = crewtest_opts(1);
        opts.retries = retries;
        crew_pool *p = crewtest_open_opts(&opts);
        assert_code(crew_pool_each(p, die_until_third, NULL, 0, &err),
                    retries == 2 ? 0 : CREW_EDIED, &err);
        assert_int_equal(crewtest_get(CELL_DEATHS), retries + 1);
        assert_int_equal(crewtest_get(CELL_RAN), retries + 1);
        assert_int_equal(err.attempt, retries == 2 ? 0 : 2);
        crewtest_free(p);
    }
}

/* ---- stopped maps ------------------------------------------------------- */

static int ran(crew_call *call) {
    (void)call;
    crewtest_add(CELL_RAN, 1);
    return 0;
}

static int run_on(crew_call *call) {
    crewtest_add(CELL_STARTED, 1);
    return crewtest_pass(call, CELL_GATE);
}

/* Children of both kinds: one that runs, and many that wait behind it. */
static int spawn_and_end(crew_call *call) {
    for (int i = 0; i < 20; i++)
        if (crew_spawn(call, i ? ran : run_on, NULL, 0) < 0)
            return crew_fail(call, 1, "no child");
    return 0;
}

static void map__stopped_while_its_children_run__waits_for_none_and_runs_none(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    for (int round = 0; round < 5; round++) {
        crewtest_set(CELL_STARTED, 0);
        crew_job *job = crew_map_async(p, spawn_and_end, NULL, 0, 1, NULL, 0, NULL, &err);
        assert_non_null(job);
        assert_true(crewtest_reached(CELL_STARTED, 1, 10));
        double from = crewtest_now();
        assert_int_equal(crew_job_cancel(job), 0);
        crew_job_get(job, 10, &err);
        crew_job_free(job);
        assert_within(from, 5);
    }
    assert_usable(p);
    assert_int_equal(crewtest_get(CELL_RAN), 0);
    crewtest_free(p);
}

/* A cancel at any moment of a worker's way into the map: it is seen by one or sees. */
static void map__cancelled_at_any_moment__ends_although_its_item_would_not(void **state) {
    int64_t rounds = crewtest_many(300);
    crew_error err;
    (void)state;
    crewtest_may_take(200);
    crew_pool *p = crewtest_open(2);
    for (int64_t i = 0; i < rounds; i++) {
        crew_job *job = crew_map_async(p, run_on, NULL, 0, 2, NULL, 0, NULL, &err);
        assert_non_null(job);
        for (uint64_t n = crewtest_random() % (1u << crewtest_random() % 18); n > 0; n--)
            __asm__ volatile("" : "+r"(n));
        double from = crewtest_now();
        assert_int_equal(crew_job_cancel(job), 0);
        assert_code(crew_job_get(job, 10, &err), CREW_ECANCELLED, &err);
        assert_within(from, 5);
        crew_job_free(job);
    }
    crewtest_free(p);
}

/* ---- streams ------------------------------------------------------------ */

static int die_sometimes(crew_call *call) {
    if (crewtest_mix((uint64_t)call->index + (uint64_t)crewtest_add(CELL_DEATHS, 1)) % 40 == 0)
        kill(getpid(), SIGKILL);
    return crew_task_result(call, &call->index, sizeof call->index);
}

static void stream__freed_early_beside_dying_workers__ends_in_time(void **state) {
    int64_t rounds = crewtest_many(200);
    crew_error err;
    (void)state;
    crewtest_may_take(200);
    crew_pool_opts opts = crewtest_opts(3);
    opts.retries = 1000000;
    crew_pool *p = crewtest_open_opts(&opts);
    for (int64_t i = 0; i < rounds; i++) {
        crew_map_opts map = {.unordered = i % 3 != 0, .window = 1 + i % 30};
        crew_iter *it = crew_imap(p, die_sometimes, crew_source_range(0, 60, 1), 8, &map, &err);
        assert_non_null(it);
        double from = crewtest_now();
        for (int64_t n = i % 61; n > 0; n--)
            assert_int_equal(crew_next(it, NULL, NULL, 10, &err), 1);
        crew_iter_free(it);
        assert_within(from, 15);
    }
    assert_usable(p);
    crewtest_free(p);
}

/* ---- failures whose keeper died ----------------------------------------- */

static void failure__of_which_only_the_mark_is_left__is_reported(void **state) {
    int64_t out[10];
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    const struct cw_job_spec spec = {.kind = CW_JOB_ITEMS,
                                     .fn = (cw_fn *)ran,
                                     .count = 10,
                                     .out = out,
                                     .out_size = sizeof *out};
    crew_job *j = cw_job_make(p, &spec, &err);
    assert_non_null(j);
    unsigned char *marks = cw_ptr(&p->maps.arena, j->shared->marks);
    memset(marks, CW_MARK_DONE, 10);
    marks[3] = CW_MARK_ERROR - CREW_EDIED;
    cw_job_collect(p, j);
    assert_int_equal(j->result.code, CREW_EDIED);
    assert_int_equal(j->result.item, 3);
    assert_text(j->result.text, "item 3 of 10");
    cw_job_destroy(p, j);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (!crewtest_has(CREWTEST_PROCESSES))
        return crewtest_skip_all();
    const struct CMUnitTest tests[] = {
        CREWTEST(bytes__of_an_attempt_that_died__are_no_result),
        CREWTEST(each__deaths__are_attempts_like_any_items),
        CREWTEST(map__stopped_while_its_children_run__waits_for_none_and_runs_none),
        CREWTEST(map__cancelled_at_any_moment__ends_although_its_item_would_not),
        CREWTEST(stream__freed_early_beside_dying_workers__ends_in_time),
        CREWTEST(failure__of_which_only_the_mark_is_left__is_reported),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
