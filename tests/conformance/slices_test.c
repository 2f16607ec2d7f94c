/* conformance/slices_test.c - maps of more items than are on the board at once:
 * slices mean nothing to the caller. Slices are made small by the pool's own
 * parameter; one test has a map that is larger than a slice really is. */
#include "crewtest.h"

#include "api/pool_impl.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 1000 };
static const int64_t slices[] = {1, 7, 64, 333, 999, 1000, 1001};
enum { SLICES = sizeof slices / sizeof *slices };

static crew_pool *open_sliced(int workers, int64_t slice) {
    crew_pool *p = crewtest_open(workers);
    p->slice = slice;
    return p;
}

static int counted(crew_call *call) {
    int64_t n = *CREW_IN(call, int64_t);
    crewtest_add(CELL_ITEM + call->index, 1);
    if (call->out)
        *CREW_OUT(call, int64_t) = 3 * n + 1;
    return 0;
}

static void assert_ran(int64_t count, int64_t times) {
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(crewtest_get(CELL_ITEM + i), times);
        crewtest_set(CELL_ITEM + i, 0);
    }
}

/* ---- what is run -------------------------------------------------------- */

static void slices__of_any_size__every_item_runs_once_into_its_slot(void **state) {
    (void)state;
    int64_t in[COUNT], out[COUNT];
    for (int64_t i = 0; i < COUNT; i++)
        in[i] = 5 * i - 3;
    crew_pool *p = crewtest_open(3);
    for (int s = 0; s < SLICES; s++)
        for (int schedule = CREW_SCHED_AUTO; schedule <= CREW_SCHED_GUIDED; schedule++) {
            crew_map_opts opts = {.schedule = schedule, .chunk = s % 3};
            crew_error err;
            p->slice = slices[s];
            memset(out, 0, sizeof out);
            assert_ok(crew_map(p, counted, in, COUNT, out, &opts, &err), &err);
            assert_ran(COUNT, 1);
            for (int64_t i = 0; i < COUNT; i++)
                assert_int_equal(out[i], 3 * in[i] + 1);
        }
    crewtest_free(p);
}

static void slices__of_an_index_map__values_go_on_from_slice_to_slice(void **state) {
    (void)state;
    int64_t out[COUNT];
    crew_pool *p = open_sliced(2, 70);
    crew_map_opts opts = {.first = -40, .step = 3};
    crew_error err;
    assert_ok(crew_map_index(p, counted, COUNT, out, &opts, &err), &err);
    for (int64_t i = 0; i < COUNT; i++)
        assert_int_equal(out[i], 3 * (-40 + 3 * i) + 1);
    assert_ran(COUNT, 1);
    crewtest_free(p);
}

static int body(crew_call *call, int64_t lo, int64_t hi) {
    (void)call;
    for (int64_t i = lo; i < hi; i++)
        crewtest_add(CELL_ITEM + i, 1);
    return 0;
}

static int add_up(crew_call *call, int64_t lo, int64_t hi) {
    (void)call;
    crewtest_add(CELL_COUNT, (hi - lo) >> 40);
    return 0;
}

static void slices__of_a_loop__blocks_cover_the_range(void **state) {
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_error err;
    for (int s = 0; s < SLICES; s++) {
        crew_map_opts opts = {.chunk = 3};
        p->slice = slices[s];
        assert_ok(crew_for(p, body, COUNT, &opts, &err), &err);
        assert_ran(COUNT, 1);
    }
    /* 2^62 indices in 2^12 blocks. */
    crew_map_opts opts = {.chunk = 1ll << 50};
    p->slice = 100;
    assert_ok(crew_for(p, add_up, 1ll << 62, &opts, &err), &err);
    assert_int_equal(crewtest_get(CELL_COUNT), 1ll << 22);
    assert_code(crew_for(p, add_up, (1ll << 62) + 1, &opts, &err), CREW_EINVAL, &err);
    crewtest_free(p);
}

static int half(crew_call *call) {
    *CREW_OUT(call, double) = 0.1 * (double)*CREW_IN(call, int64_t);
    return 0;
}
static int add(void *into, const void *from) {
    *(double *)into += *(const double *)from;
    return 0;
}

static void slices__of_a_reduce__the_same_bits(void **state) {
    (void)state;
    crew_pool *p = crewtest_open(2);
    double whole = 0, cut = 0;
    crew_error err;
    assert_ok(crew_reduce(p, half, NULL, 0, 9999, &whole, sizeof whole, add, NULL, &err), &err);
    p->slice = 10;
    assert_ok(crew_reduce(p, half, NULL, 0, 9999, &cut, sizeof cut, add, NULL, &err), &err);
    assert_memory_equal(&whole, &cut, sizeof cut);
    crewtest_free(p);
}

/* ---- failures ----------------------------------------------------------- */

/* Fails where the item is 1 above a multiple of its common argument. */
static int picky(crew_call *call) {
    crewtest_add(CELL_ITEM + call->index, 1);
    int64_t every = *CREW_COMMON(call, int64_t);
    return *CREW_IN(call, int64_t) % every == 1 ? crew_fail(call, 7, "picky") : 0;
}

static void slices__item_fails_in_a_later_one__stop_means_the_same(void **state) {
    (void)state;
    for (int s = 0; s < SLICES; s++) {
        crew_pool *p = open_sliced(2, slices[s]);
        int statuses[COUNT];
        int64_t every = 600;
        crew_map_opts opts = {
            .common = &every, .common_size = sizeof every, .statuses = statuses, .first = 2};
        crew_error err;
        assert_code(crew_pool_map(p, picky, NULL, 0, COUNT, NULL, 0, &opts, &err), CREW_EFAILED,
                    &err);
        assert_int_equal(err.item, 599);
        assert_text(err.text, "item 599 of 1000");
        for (int64_t i = 0; i < COUNT; i++) {
            if (i <= 599)
                assert_int_equal(statuses[i], i < 599 ? 0 : CREW_EFAILED);
            /* No slice begins above the one that failed. */
            if (i < 599 || i >= (599 / slices[s] + 1) * slices[s])
                assert_int_equal(crewtest_get(CELL_ITEM + i), i < 599);
            if (i >= (599 / slices[s] + 1) * slices[s])
                assert_int_equal(statuses[i], CREW_ECANCELLED);
            crewtest_set(CELL_ITEM + i, 0);
        }
        assert_usable(p);
        crewtest_free(p);
    }
}

static void slices__items_fail_in_many__continue_tells_them_in_order(void **state) {
    (void)state;
    for (int s = 0; s < SLICES; s++) {
        crew_pool *p = open_sliced(2, slices[s]);
        int statuses[COUNT];
        crew_error errors[4], err;
        int64_t every = 100;
        crew_map_opts opts = {.common = &every,
                              .common_size = sizeof every,
                              .statuses = statuses,
                              .errors = errors,
                              .errors_cap = 4,
                              .on_error = CREW_CONTINUE};
        assert_code(crew_pool_map(p, picky, NULL, 0, COUNT, NULL, 0, &opts, &err), CREW_EFAILED,
                    &err);
        assert_text(err.text, "10 of 1000 items failed: item 1 of 1000");
        assert_ran(COUNT, 1);
        for (int64_t i = 0; i < COUNT; i++)
            assert_int_equal(statuses[i], i % 100 == 1 ? CREW_EFAILED : 0);
        for (int i = 0; i < 4; i++)
            assert_int_equal(errors[i].item, 100 * i + 1);
        crewtest_free(p);
    }
}

/* ---- deaths ------------------------------------------------------------- */

static int deadly(crew_call *call) {
    int64_t i = call->index;
    int64_t before = crewtest_add(CELL_ITEM + i, 1);
    if (i == 450 || i == 777 || (i == 901 && before == 0))
        raise(SIGKILL);
    *CREW_OUT(call, int64_t) = -i;
    return 0;
}

static void slices__workers_die_in_later_ones__their_items_are_lost_alone(void **state) {
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    for (int s = 1; s < SLICES; s++) {
        crew_pool_opts o = crewtest_opts(2);
        o.retries = 1;
        crew_pool *p = crewtest_open_opts(&o);
        p->slice = slices[s];
        int statuses[COUNT];
        int64_t out[COUNT] = {0};
        crew_error errors[3], err;
        crew_map_opts opts = {
            .statuses = statuses, .errors = errors, .errors_cap = 3, .on_error = CREW_CONTINUE};
        assert_code(crew_map_index(p, deadly, COUNT, out, &opts, &err), CREW_EFAILED, &err);
        for (int64_t i = 0; i < COUNT; i++) {
            bool lost = i == 450 || i == 777;
            assert_int_equal(statuses[i], lost ? CREW_EDIED : 0);
            assert_int_equal(out[i], lost ? 0 : -i);
            crewtest_set(CELL_ITEM + i, 0);
        }
        assert_int_equal(errors[0].item, 450);
        assert_int_equal(errors[1].item, 777);
        assert_int_equal(errors[1].attempt, 2);
        assert_int_equal(errors[2].code, 0);
        crewtest_free(p);
    }
}

/* ---- stopped, and beside each other ------------------------------------- */

static int gate_at_500(crew_call *call) {
    crewtest_add(CELL_ITEM + call->index, 1);
    crewtest_add(CELL_STARTED, call->index == 500);
    while (call->index >= 500 && !crewtest_get(CELL_GATE) && !crew_cancelled(call))
        crewtest_pause();
    return 0;
}

static void slices__cancelled_in_a_later_one__the_rest_never_begins(void **state) {
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = open_sliced(2, 64);
    int statuses[COUNT];
    crew_map_opts opts = {.statuses = statuses};
    crew_error err;
    crew_job *j = crew_map_async(p, gate_at_500, NULL, 0, COUNT, NULL, 0, &opts, &err);
    assert_non_null(j);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    assert_ok(crew_job_cancel(j), NULL);
    crewtest_set(CELL_GATE, 1); /* threads look at it, too */
    assert_code(crew_job_get(j, 20, &err), CREW_ECANCELLED, &err);
    for (int64_t i = 0; i < COUNT; i++)
        if (i < 500 / 64 * 64 || i >= 512) {
            assert_int_equal(statuses[i], i < 500 ? 0 : CREW_ECANCELLED);
            assert_int_equal(crewtest_get(CELL_ITEM + i), i < 500);
        }
    crew_job_free(j);
    assert_usable(p);
    crewtest_free(p);
}

static void slices__over_the_time_limit__ends_in_a_later_one(void **state) {
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = open_sliced(2, 64);
    crew_map_opts opts = {.timeout = 0.3};
    crew_error err;
    assert_code(crew_pool_map(p, gate_at_500, NULL, 0, COUNT, NULL, 0, &opts, &err), CREW_ETIMEDOUT,
                &err);
    assert_text(err.text, "of 1000 items");
    crewtest_set(CELL_GATE, 1);
    assert_usable(p);
    crewtest_free(p);
}

static int plain(crew_call *call) {
    *CREW_OUT(call, int64_t) = *CREW_IN(call, int64_t) + 1;
    return 0;
}

static void count_done(void *ctx, crew_job *job) {
    (void)job;
    atomic_fetch_add((_Atomic int *)ctx, 1);
}

static void slices__of_more_maps_than_places__all_end(void **state) {
    (void)state;
    enum { JOBS = 2 * CW_JOB_SLOTS, N = 50 };
    static int64_t out[JOBS][N];
    _Atomic int done = 0;
    crew_pool *p = open_sliced(2, 8);
    crew_job *jobs[JOBS];
    crew_map_opts opts = {.done = count_done, .ctx = &done};
    crew_error err;
    for (int k = 0; k < JOBS; k++) {
        jobs[k] = crew_map_async(p, plain, NULL, 0, N, out[k], sizeof(int64_t), &opts, &err);
        assert_non_null(jobs[k]);
    }
    for (int k = 0; k < JOBS; k++) {
        assert_ok(crew_job_get(jobs[k], 30, &err), &err);
        for (int64_t i = 0; i < N; i++)
            assert_int_equal(out[k][i], i + 1);
        crew_job_free(jobs[k]);
    }
    assert_int_equal(done, JOBS);
    crewtest_free(p);
}

static int child(crew_call *call) {
    (void)call;
    crewtest_add(CELL_COUNT, 1);
    return 0;
}
static int parent(crew_call *call) {
    return crew_spawn(call, child, NULL, 0);
}

static void slices__items_spawn__each_ends_with_its_children(void **state) {
    (void)state;
    crew_pool *p = open_sliced(2, 30);
    crew_error err;
    assert_ok(crew_pool_map(p, parent, NULL, 0, COUNT, NULL, 0, NULL, &err), &err);
    assert_int_equal(crewtest_get(CELL_COUNT), COUNT);
    crewtest_free(p);
}

/* ---- as large as it gets ------------------------------------------------- */

static int cheap(crew_call *call) {
    if (call->index % (1 << 20) == 0)
        crewtest_add(CELL_COUNT, *CREW_IN(call, int64_t));
    if (call->index == (1ll << 27) + 500 && crewtest_add(CELL_STARTED, 1) == 0 &&
        crewtest_get(CELL_OWN))
        raise(SIGKILL);
    return 0;
}

static void slices__more_items_than_one_holds__memory_is_bounded(void **state) {
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
#ifdef CREWTEST_TSAN
    skip(); /* it would remember 8 GiB about the marks */
#endif
    crewtest_may_take(300);
    const int64_t count = CW_SLICE + 1000;
    crewtest_set(CELL_OWN, crewtest_has(CREWTEST_PROCESSES));
    crew_pool_opts o = crewtest_opts(2);
    o.retries = crewtest_has(CREWTEST_PROCESSES);
    crew_pool *p = crewtest_open_opts(&o);
    uint64_t before = cw_arena_used(&p->maps.arena);
    crew_error err;
    crew_job *j = crew_map_async(p, cheap, NULL, 0, count, NULL, 0, NULL, &err);
    assert_non_null(j);
    while (!crew_job_ready(j)) {
        assert_true(cw_arena_used(&p->maps.arena) - before < CW_SLICE + (1 << 20));
        crew_job_wait(j, 0.05);
    }
    assert_ok(crew_job_get(j, 0, &err), &err);
    crew_job_free(j);
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i += 1 << 20)
        sum += i;
    assert_int_equal(crewtest_get(CELL_COUNT), sum);
    assert_int_equal(crewtest_get(CELL_STARTED), 1 + crewtest_get(CELL_OWN));
    assert_int_equal(cw_arena_used(&p->maps.arena), before);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(slices__of_any_size__every_item_runs_once_into_its_slot),
        CREWTEST(slices__of_an_index_map__values_go_on_from_slice_to_slice),
        CREWTEST(slices__of_a_loop__blocks_cover_the_range),
        CREWTEST(slices__of_a_reduce__the_same_bits),
        CREWTEST(slices__item_fails_in_a_later_one__stop_means_the_same),
        CREWTEST(slices__items_fail_in_many__continue_tells_them_in_order),
        CREWTEST(slices__workers_die_in_later_ones__their_items_are_lost_alone),
        CREWTEST(slices__cancelled_in_a_later_one__the_rest_never_begins),
        CREWTEST(slices__over_the_time_limit__ends_in_a_later_one),
        CREWTEST(slices__of_more_maps_than_places__all_end),
        CREWTEST(slices__items_spawn__each_ends_with_its_children),
        CREWTEST(slices__more_items_than_one_holds__memory_is_bounded),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
