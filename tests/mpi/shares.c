/* mpi/shares.c - nodes give back what they have not begun: one of three is, or becomes, a
 * great deal slower than the others, in the middle of its leases. By tests/mpi/under. */
#include "crewtest.h"

#include "api/home_impl.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CELL_FAST = CELL_OWN, /* items that the slow node has done before it is slow */
    CELL_DEATHS = CELL_OWN + 1,
    SLOW = 1,             /* the node */
    WORKERS = 6,
    COUNT = 6000,
    FAST_US = 100,
    SLOW_US = 50 * FAST_US,
    FAST_ITEMS = 300,
    MAPS = 10,
};
/* What the slow node has in its leases when it becomes slow takes it longer than that. */
static const double SOON = 20;

/* ---- tasks --------------------------------------------------------------- */

static void take_us(int64_t us) {
    struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    while (nanosleep(&t, &t) < 0)
        ;
}

static void take_its_time(const crew_call *call, int64_t item) {
    crewtest_add(CELL_ITEM + item, 1);
    bool slow = call->node == SLOW && crewtest_add(CELL_FAST, 1) >= FAST_ITEMS;
    take_us(slow ? SLOW_US : FAST_US);
}

static int triple(crew_call *call) {
    take_its_time(call, call->index);
    *CREW_OUT(call, int64_t) = 3 * *CREW_IN(call, int64_t);
    return 0;
}

/* Its result has a length of its own. */
static int repeat(crew_call *call) {
    char text[64];
    take_its_time(call, call->index);
    memset(text, 'a' + (int)(call->index % 26), sizeof text);
    return crew_task_result(call, text, (size_t)(call->index % (int64_t)sizeof text));
}

static int block(crew_call *call, int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; i++)
        crewtest_add(CELL_ITEM + i, 1);
    bool slow = call->node == SLOW && crewtest_add(CELL_FAST, 1) >= FAST_ITEMS;
    take_us(slow ? SLOW_US : FAST_US);
    return 0;
}

static int fails_late(crew_call *call) {
    int code = triple(call);
    return call->index >= COUNT / 2 ? crew_fail(call, 7, "item %ld", (long)call->index) : code;
}

/* One worker of each node dies of the first item that it has when that node is slow. */
static int mortal(crew_call *call) {
    take_its_time(call, call->index);
    if (crewtest_get(CELL_FAST) > FAST_ITEMS && call->attempt == 1 &&
        crewtest_add(CELL_DEATHS + call->node, 1) == 0)
        kill(getpid(), SIGKILL);
    *CREW_OUT(call, int64_t) = 3 * *CREW_IN(call, int64_t);
    return 0;
}

static int late_child(crew_call *call) {
    int64_t item = *CREW_IN(call, int64_t);
    take_us(10 * FAST_US);
    return item % 100 == 99 ? crew_fail(call, 9, "the child of %ld", (long)item) : 0;
}

/* Done before its child is, which may fail. */
static int parent(crew_call *call) {
    int code = triple(call);
    if (call->index % 10 == 9)
        code = crew_spawn(call, late_child, &call->index, sizeof call->index);
    return code;
}

/* ---- checks -------------------------------------------------------------- */

static void begin(void) {
    for (int i = 0; i < 8; i++)
        crewtest_set(CELL_FAST + i, 0);
    for (int64_t i = 0; i < COUNT; i++)
        crewtest_set(CELL_ITEM + i, 0);
}

static crew_pool *open_pool(void) {
    crew_pool_opts opts = crewtest_opts(WORKERS);
    opts.retries = 1;
    begin();
    return crewtest_open_opts(&opts);
}

/* For maps that go on until something was given back: on a machine that has other work
 * the slow node may happen to have nothing to give, but not map after map. */
static bool again(const crew_pool *p, int *maps) {
    if (p->home->returned > 0 || *maps == MAPS)
        return false;
    begin();
    ++*maps;
    return true;
}

static void assert_once(int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (crewtest_get(CELL_ITEM + i) != 1)
            fail_msg("item %ld ran %ld times", (long)i, (long)crewtest_get(CELL_ITEM + i));
}

/* The slow node has told what it had done, and given back. */
static void assert_shared(crew_pool *p) {
    print_message(
        "    %ld messages about ranges that ran on, %ld items given back, %ld done there\n",
        (long)p->home->parts, (long)p->home->returned, (long)crewtest_get(CELL_FAST));
    assert_true(p->home->parts > 0);
    assert_true(p->home->returned > 0);
}

/* ---- tests --------------------------------------------------------------- */

static int64_t in[COUNT], out[COUNT];
static int statuses[COUNT];
static const crew_map_opts all = {.on_error = CREW_CONTINUE, .statuses = statuses};

static void map__a_node_becomes_slow__others_take_over_and_each_item_runs_once(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = open_pool();
    for (int64_t i = 0; i < COUNT; i++)
        in[i] = i + 1;
    for (int maps = 0; again(p, &maps);) {
        double from = crewtest_now();
        assert_ok(crew_map(p, triple, in, COUNT, out, NULL, &err), &err);
        assert_within(from, SOON);
        assert_once(COUNT);
        for (int64_t i = 0; i < COUNT; i++)
            assert_int_equal(out[i], 3 * (i + 1));
    }
    assert_shared(p);
    crewtest_free(p);
}

static void bytes__a_node_becomes_slow__results_of_any_size_come_home_once(void **state) {
    crew_error err;
    static crew_bytes in[COUNT];
    (void)state;
    crew_pool *p = open_pool();
    for (int maps = 0; again(p, &maps);) {
        crew_results *r = crew_map_bytes(p, repeat, in, COUNT, NULL, &err);
        assert_non_null(r);
        for (int64_t i = 0; i < COUNT; i++) {
            size_t size;
            const char *text = crew_results_at(r, i, &size);
            assert_non_null(text);
            assert_int_equal(size, i % 64);
            for (size_t k = 0; k < size; k++)
                assert_int_equal(text[k], 'a' + i % 26);
        }
        crew_results_free(r);
        assert_once(COUNT);
    }
    assert_shared(p);
    crewtest_free(p);
}

static void for__a_node_becomes_slow__blocks_tile_the_range(void **state) {
    crew_error err;
    crew_map_opts opts = {.chunk = 2};
    (void)state;
    crew_pool *p = open_pool();
    for (int maps = 0; again(p, &maps);) {
        assert_ok(crew_for(p, block, COUNT - 1, &opts, &err), &err);
        assert_once(COUNT - 1);
    }
    assert_shared(p);
    crewtest_free(p);
}

static void stop__a_node_becomes_slow__the_lowest_failure_is_named(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = open_pool();
    assert_code(crew_map(p, fails_late, in, COUNT, out, NULL, &err), CREW_EFAILED, &err);
    assert_int_equal(err.item, COUNT / 2);
    assert_once(COUNT / 2);
    for (int64_t i = COUNT / 2; i < COUNT; i++)
        assert_true(crewtest_get(CELL_ITEM + i) <= 1);
    crewtest_free(p);
}

static void continue__a_node_becomes_slow__all_failures_are_named(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = open_pool();
    for (int maps = 0; again(p, &maps);) {
        assert_code(crew_map(p, fails_late, in, COUNT, out, &all, &err), CREW_EFAILED, &err);
        for (int64_t i = 0; i < COUNT; i++)
            assert_int_equal(statuses[i], i < COUNT / 2 ? 0 : CREW_EFAILED);
        assert_once(COUNT);
    }
    assert_shared(p);
    crewtest_free(p);
}

static void children__that_fail_after_their_item_was_done__count(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = open_pool();
    assert_code(crew_map(p, parent, in, COUNT, out, &all, &err), CREW_EFAILED, &err);
    for (int64_t i = 0; i < COUNT; i++)
        assert_int_equal(statuses[i], i % 100 == 99 ? CREW_EFAILED : 0);
    assert_once(COUNT);
    crewtest_free(p);
}

static void workers__die_while_their_node_is_slow__each_result_is_there(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = open_pool();
    for (int64_t i = 0; i < COUNT; i++)
        in[i] = i + 1;
    int64_t twice = 0;
    for (int maps = 0; twice == 0 && maps < MAPS; maps++) {
        begin();
        assert_ok(crew_map(p, mortal, in, COUNT, out, NULL, &err), &err);
        for (int64_t i = 0; i < COUNT; i++) {
            assert_int_equal(out[i], 3 * (i + 1));
            twice += crewtest_get(CELL_ITEM + i) - 1;
        }
    }
    assert_true(twice >= 1 && twice <= 3); /* those that died, and nothing else */
    crewtest_free(p);
}

/* After 2^32 of them, which short ones are within days. */
static void maps__their_numbers_begin_anew__other_nodes_know_each(void **state) {
    enum { FEW = FAST_ITEMS / 2 };
    crew_error err;
    (void)state;
    crew_pool *p = open_pool();
    pthread_mutex_lock(&p->lock);
    p->generation = UINT32_MAX;
    pthread_mutex_unlock(&p->lock);
    for (int map = 0; map < 3; map++) {
        begin();
        for (int64_t i = 0; i < FEW; i++)
            in[i] = i + map;
        assert_ok(crew_map(p, triple, in, FEW, out, NULL, &err), &err);
        assert_once(FEW);
        for (int64_t i = 0; i < FEW; i++)
            assert_int_equal(out[i], 3 * (i + map));
    }
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(maps__their_numbers_begin_anew__other_nodes_know_each),
        CREWTEST(map__a_node_becomes_slow__others_take_over_and_each_item_runs_once),
        CREWTEST(bytes__a_node_becomes_slow__results_of_any_size_come_home_once),
        CREWTEST(for__a_node_becomes_slow__blocks_tile_the_range),
        CREWTEST(stop__a_node_becomes_slow__the_lowest_failure_is_named),
        CREWTEST(continue__a_node_becomes_slow__all_failures_are_named),
        CREWTEST(children__that_fail_after_their_item_was_done__count),
        CREWTEST(workers__die_while_their_node_is_slow__each_result_is_there),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
