/* conformance/stats_test.c - what crew_pool_stats counts. */
#include "crewtest.h"

#include <signal.h>
#include <unistd.h>

static crew_stats stats_of(crew_pool *p) {
    crew_stats s;
    assert_int_equal(crew_pool_stats(p, -1, &s), 0);
    return s;
}

/* Items are counted when a worker is through its claim, maybe after the map's end. */
static void expect(crew_pool *p, int64_t items, int64_t failures) {
    CREWTEST_WAIT(stats_of(p).items >= items, 10);
    assert_int_equal(stats_of(p).items, items);
    assert_int_equal(stats_of(p).failures, failures);
}

static int number(crew_call *call) {
    return crew_task_result(call, &call->index, sizeof call->index);
}

static int body(crew_call *call, int64_t lo, int64_t hi) {
    (void)call;
    return lo < hi ? 0 : 1;
}

static int add(void *into, const void *from) {
    *(int64_t *)into += *(const int64_t *)from;
    return 0;
}

static int family(crew_call *call) {
    for (int i = 0; i < 3; i++)
        if (crew_spawn(call, number, NULL, 0) < 0)
            return crew_fail(call, 1, "no child");
    return 0;
}

static void items__of_each_kind_of_work__are_its_calls(void **state) {
    int64_t out[100], sum = 0, want = 0;
    crew_bytes in[5] = {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}, {"e", 1}};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(3);
    expect(p, want, 0);
    assert_ok(crew_map_index(p, number, 100, out, NULL, &err), &err);
    expect(p, want += 100, 0);
    crew_map_opts chunked = {.chunk = 30};
    assert_ok(crew_for(p, body, 1000, &chunked, &err), &err);
    expect(p, want += 1000, 0);
    assert_ok(crew_reduce(p, number, NULL, 0, 9999, &sum, 8, add, NULL, &err), &err);
    expect(p, want += 9999, 0);
    assert_ok(crew_pool_each(p, number, NULL, 0, &err), &err);
    expect(p, want += crew_pool_workers(p), 0);
    crew_results *r = crew_map_bytes(p, number, in, 5, NULL, &err);
    crew_results_free(r);
    expect(p, want += 5, 0);
    assert_ok(crew_apply(p, family, NULL, 0, NULL, 0, &err), &err);
    expect(p, want += 4, 0);
    assert_ok(crew_pool_map(p, family, NULL, 0, 10, NULL, 0, NULL, &err), &err);
    expect(p, want += 40, 0);
    crew_iter *it = crew_imap(p, number, crew_source_range(0, 20, 1), 8, NULL, &err);
    while (crew_next(it, NULL, NULL, 10, &err) == 1)
        ;
    crew_iter_free(it);
    expect(p, want += 20, 0);
    crewtest_free(p);
}

static int fails_from_10(crew_call *call) {
    return call->index >= 10 ? crew_fail(call, 1, "from 10 on") : 0;
}

static int block_fails(crew_call *call, int64_t lo, int64_t hi) {
    (void)hi;
    return lo == 40 ? crew_fail(call, 1, "this one") : 0;
}

static int family_of_failures(crew_call *call) {
    for (int i = 0; i < 3; i++)
        if (crew_spawn(call, fails_from_10, NULL, 0) < 0)
            return crew_fail(call, 1, "no child");
    return 0;
}

static void failures__of_each_kind_of_work__are_the_calls_that_failed(void **state) {
    crew_map_opts on = {.on_error = CREW_CONTINUE, .chunk = 20}, stop = {.chunk = 1};
    crew_submit_opts tenth = {.index = 10};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    assert_code(crew_pool_map(p, fails_from_10, NULL, 0, 100, NULL, 0, &on, &err), CREW_EFAILED,
                &err);
    expect(p, 100, 90);
    assert_code(crew_for(p, block_fails, 100, &on, &err), CREW_EFAILED, &err);
    expect(p, 200, 91);
    /* One worker goes up one by one: what is above the failure never runs. */
    assert_code(crew_pool_map(p, fails_from_10, NULL, 0, 100, NULL, 0, &stop, &err), CREW_EFAILED,
                &err);
    expect(p, 211, 92);
    crew_future *f = crew_submit(p, family_of_failures, NULL, 0, &tenth, &err);
    assert_code(crew_future_result(f, NULL, 0, 10, &err), CREW_EFAILED, &err);
    crew_future_free(f);
    expect(p, 215, 95);
    crewtest_free(p);
}

static void cancelled__before_it_begins__does_not_count(void **state) {
    int64_t gate = CELL_GATE;
    crew_future *f[10];
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(1);
    for (int i = 0; i < 10; i++)
        f[i] = crew_submit(p, crewtest_gated_task, &gate, sizeof gate, NULL, &err);
    assert_true(crewtest_reached(CELL_STARTED, 1, 10));
    for (int i = 1; i < 10; i++)
        assert_int_equal(crew_future_cancel(f[i]), 1);
    crewtest_set(CELL_GATE, 1);
    assert_ok(crew_future_result(f[0], NULL, 0, 10, &err), &err);
    for (int i = 0; i < 10; i++)
        crew_future_free(f[i]);
    assert_ok(crew_apply(p, number, NULL, 0, NULL, 0, &err), &err);
    expect(p, 2, 0);
    crewtest_free(p);
}

/* ---- time --------------------------------------------------------------- */

static int take_50_ms(crew_call *call) {
    double end = crewtest_now() + 0.05;
    while (crewtest_now() < end)
        crewtest_pause();
    (void)call;
    return 0;
}

static void time__busy_and_idle__are_what_the_workers_were_there_for(void **state) {
    crew_error err;
    (void)state;
    double from = crewtest_now();
    crew_pool *p = crewtest_open(2);
    double opened = crewtest_now(), n = crew_pool_workers(p);
    while (crewtest_now() < opened + 0.1)
        crewtest_pause();
    crew_stats rest = stats_of(p);
    assert_true(rest.busy < 0.05);
    assert_true(rest.idle > 0.05 * n);
    for (int i = 0; i < 4; i++)
        assert_ok(crew_apply(p, take_50_ms, NULL, 0, NULL, 0, &err), &err);
    double before = crewtest_now();
    crew_stats work = stats_of(p);
    assert_true(work.busy >= 0.19);
    assert_true(work.idle >= rest.idle);
    assert_true(work.busy + work.idle <= (crewtest_now() - from) * n);
    assert_true(work.busy + work.idle >= (before - opened) * n - 0.01);
    crewtest_free(p);
}

static int take_no_time(crew_call *call) {
    (void)call;
    return 0;
}

/* Looked at while workers begin and end, as often as can be. */
static void time__looked_at_all_the_time__never_goes_back(void **state) {
    crew_error err;
    crew_stats last = {0};
    (void)state;
    double from = crewtest_now();
    crew_pool *p = crewtest_open(2);
    for (int i = 0; i < 60; i++) {
        crew_map_opts opts = {.chunk = 1};
        crew_job *job = crew_map_async(p, take_no_time, NULL, 0, 20, NULL, 0, &opts, &err);
        assert_non_null(job);
        for (int look = 0; look < 10; look++) {
            crew_stats s = stats_of(p);
            assert_true(s.busy >= last.busy && s.idle >= last.idle);
            assert_true(s.busy + s.idle <= (crewtest_now() - from) * crew_pool_workers(p) + 1e-6);
            last = s;
        }
        assert_int_equal(crew_job_wait(job, 10), 0);
        crew_job_free(job);
    }
    crewtest_free(p);
}

static void time__of_workers_that_are_replaced__adds_up(void **state) {
    crew_error err;
    crew_stats s = {0};
    (void)state;
    crew_pool_opts opts = crewtest_opts(1);
    opts.tasks_per_worker = 1;
    double from = crewtest_now();
    crew_pool *p = crewtest_open_opts(&opts);
    for (int i = 0; i < 4; i++) {
        crew_stats last = s;
        assert_ok(crew_apply(p, take_50_ms, NULL, 0, NULL, 0, &err), &err);
        s = stats_of(p);
        assert_true(s.busy >= last.busy && s.idle >= last.idle);
        assert_true(s.busy >= 0.049 * (i + 1));
        assert_true(s.busy + s.idle <= crewtest_now() - from);
    }
    expect(p, 4, 0);
    CREWTEST_WAIT(stats_of(p).restarts == 4, 10);
    crewtest_free(p);
}

/* ---- deaths ------------------------------------------------------------- */

static int dies_at_50(crew_call *call) {
    if (call->index == 50)
        kill(getpid(), SIGKILL);
    return 0;
}

static void death__of_an_item_and_a_task__is_a_failure_and_a_restart(void **state) {
    crew_map_opts opts = {.on_error = CREW_CONTINUE, .chunk = 100};
    crew_submit_opts fiftieth = {.index = 50};
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crew_pool *p = crewtest_open(1);
    assert_code(crew_pool_map(p, dies_at_50, NULL, 0, 100, NULL, 0, &opts, &err), CREW_EFAILED,
                &err);
    expect(p, 99, 1);
    assert_int_equal(stats_of(p).restarts, 1);
    crew_future *f = crew_submit(p, dies_at_50, NULL, 0, &fiftieth, &err);
    assert_code(crew_future_result(f, NULL, 0, 10, &err), CREW_EDIED, &err);
    crew_future_free(f);
    CREWTEST_WAIT(stats_of(p).restarts == 2, 10);
    expect(p, 99, 2);
    crewtest_free(p);
}

/* What is run again is no failure, unless it is given up. */
static void death__with_retries__counts_what_is_lost_for_good(void **state) {
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crew_pool_opts opts = crewtest_opts(1);
    opts.retries = 2;
    crew_pool *p = crewtest_open_opts(&opts);
    crew_map_opts map = {.on_error = CREW_CONTINUE, .chunk = 100};
    assert_code(crew_pool_map(p, dies_at_50, NULL, 0, 100, NULL, 0, &map, &err), CREW_EFAILED,
                &err);
    expect(p, 99, 1);
    assert_int_equal(stats_of(p).restarts, 3);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(items__of_each_kind_of_work__are_its_calls),
        CREWTEST(failures__of_each_kind_of_work__are_the_calls_that_failed),
        CREWTEST(cancelled__before_it_begins__does_not_count),
        CREWTEST(time__busy_and_idle__are_what_the_workers_were_there_for),
        CREWTEST(time__looked_at_all_the_time__never_goes_back),
        CREWTEST(time__of_workers_that_are_replaced__adds_up),
        CREWTEST(death__of_an_item_and_a_task__is_a_failure_and_a_restart),
        CREWTEST(death__with_retries__counts_what_is_lost_for_good),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
