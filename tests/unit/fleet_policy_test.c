/* The policy of leases, number by number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sched/fleet.h"

#include <limits.h>

enum { US = 1000, MS = 1000 * US, TRIP = 4 * US };

static struct cw_fleet_sums all;
static struct cw_fleet_node nodes[16];
static int64_t now;

/* Home (home_workers) and n nodes of `workers` each. */
static void fleet(int home_workers, int n, int workers) {
    now = 0;
    cw_fleet_sums_init(&all, 0, 0);
    cw_fleet_node_ready(&all, &nodes[0], true, home_workers, 0, now);
    for (int i = 1; i <= n; i++)
        cw_fleet_node_ready(&all, &nodes[i], false, workers, TRIP, now);
}

static int64_t size(int node, int64_t left) {
    int64_t n = cw_lease_size(&all, &nodes[0], &nodes[node], left, now);
    assert_true(n >= 0 && n <= left);
    return n;
}

static int64_t give(int node, int64_t left) {
    int64_t n = size(node, left);
    if (n > 0)
        cw_lease_given(&all, &nodes[node], n, now);
    return n;
}

/* It had a lease of so many and did them at so many ns an item and worker. */
static void work(int node, int64_t items, int64_t item_ns) {
    cw_lease_given(&all, &nodes[node], items, now);
    now += items * item_ns / nodes[node].workers;
    cw_lease_done(&all, &nodes[node], items, 1, now);
}

static void size__nothing_known__is_an_item_a_worker_twice(void **state) {
    (void)state;
    fleet(4, 2, 4);
    assert_int_equal(give(1, 1000), 4);
    assert_int_equal(give(1, 996), 4);
    assert_int_equal(give(1, 992), 0);
    assert_int_equal(give(2, 992), 4);
}

static void size__few_items__are_shared(void **state) {
    (void)state;
    fleet(2, 2, 2);
    assert_int_equal(give(1, 6), 2);
    assert_int_equal(give(1, 4), 0);
    assert_int_equal(give(2, 4), 2);
    assert_int_equal(give(2, 2), 0);
    fleet(2, 2, 2);
    assert_int_equal(give(1, 3), 1);
    assert_int_equal(give(1, 2), 0);
    assert_int_equal(give(2, 2), 1);
}

static void size__no_home_workers__last_item_is_given(void **state) {
    (void)state;
    fleet(0, 3, 2);
    for (int64_t left = 5; left > 0;) {
        int64_t before = left;
        for (int i = 1; i <= 3; i++)
            left -= give(i, left);
        assert_true(left < before);
    }
}

static void size__lost_node__is_none(void **state) {
    (void)state;
    fleet(2, 2, 2);
    assert_int_equal(give(1, 100), 2);
    assert_int_equal(give(1, 98), 2);
    assert_int_equal(cw_fleet_node_lost(&all, &nodes[1]), 4);
    assert_int_equal(size(1, 100), 0);
    assert_int_equal(all.items, 0);
    assert_int_equal(all.workers, 4);
    assert_int_equal(cw_fleet_node_lost(&all, &nodes[1]), 0); /* again: nothing changes */
    assert_int_equal(cw_fleet_node_lost(&all, &nodes[5]), 0); /* it was never ready */
    assert_int_equal(all.nodes, 1);
    assert_int_equal(all.workers, 4);
}

static void size__more_than_its_share__is_none(void **state) {
    (void)state;
    fleet(8, 9, 8);
    cw_lease_given(&all, &nodes[1], 3, now); /* and five workers idle */
    assert_int_equal(size(1, 1), 0);
}

static void sums__node_is_lost__are_as_without_it(void **state) {
    (void)state;
    fleet(2, 3, 4);
    work(1, 8, MS);
    work(2, 8, 2 * MS);
    const struct cw_fleet_sums before = all;
    cw_fleet_node_ready(&all, &nodes[4], false, 6, TRIP, now);
    work(4, 12, 3 * MS);
    cw_lease_given(&all, &nodes[4], 9, now);
    assert_int_equal(cw_fleet_node_lost(&all, &nodes[4]), 9);
    assert_int_equal(cw_fleet_node_lost(&all, &nodes[4]), 0);
    assert_int_equal(all.nodes, before.nodes);
    assert_int_equal(all.workers, before.workers);
    assert_int_equal(all.known, before.known);
    assert_int_equal(all.items, before.items);
    assert_int_equal(all.idle, before.idle);
    assert_int_equal(all.done, before.done + 12); /* that stays done */
    assert_true(all.speed > 0.999 * before.speed && all.speed < 1.001 * before.speed);
}

static void speed__node_becomes_slow__is_seen_with_as_many_items(void **state) {
    (void)state;
    fleet(0, 1, 1);
    work(1, 1000, US);
    work(1, 100, 100 * US);
    assert_true(nodes[1].speed < 2.1 / (100 * US));
}

static void again__nothing_there__is_after_a_trip_however_long_items_are(void **state) {
    (void)state;
    fleet(2, 1, 2);
    work(1, 10, 1000 * MS);
    cw_lease_home(&all, &nodes[0], 5, now);
    assert_int_equal(cw_lease_again(&nodes[0], &nodes[1], now), now + TRIP + 1);
}

static void reports__few_nodes_and_many__cost_a_hundredth_and_no_more(void **state) {
    (void)state;
    fleet(2, 2, 2);
    assert_int_equal(cw_fleet_report_ns(&all), MS);
    cw_fleet_sums_init(&all, 0, 5 * US);
    all.nodes = 100;
    assert_int_equal(cw_fleet_report_ns(&all), 10 * MS);
}

static void size__all_slots_taken__is_none(void **state) {
    (void)state;
    fleet(2, 1, 2);
    for (int i = 0; i < CW_LEASE_SLOTS; i++) {
        nodes[1].items = 0;
        assert_true(give(1, 1000) > 0);
    }
    assert_int_equal(size(1, 1000), 0);
}

static void size__measured__lasts_a_quarter_of_the_rest(void **state) {
    (void)state;
    fleet(4, 1, 4);
    work(1, 4000, 10 * US);
    /* 8 workers of 10 us an item need 5 ms for 4000. A quarter: 500 items of 4 workers. */
    assert_in_range(size(1, 4000), 499, 501);
}

static void size__long_map__lasts_the_most(void **state) {
    (void)state;
    fleet(4, 1, 4);
    work(1, 100000, 10 * US);
    assert_in_range(size(1, 1000000000), 9999, 10001); /* 25 ms */
    cw_lease_given(&all, &nodes[1], 10000, now);
    assert_true(give(1, 1000000000) > 0);     /* the next one, beforehand */
    assert_int_equal(size(1, 1000000000), 0); /* and no more */
}

static void size__little_seen__grows_so_far_only(void **state) {
    (void)state;
    fleet(4, 1, 4);
    work(1, 4, 1);
    now += MS; /* home stands still */
    assert_in_range(size(1, 1000000000), 16, 16);
}

static void size__short_rest__is_not_cut_below_what_messages_cost(void **state) {
    (void)state;
    fleet(4, 1, 4);
    work(1, 100000, 100);
    /* The rest of 2000 items of 100 ns takes 25 us; a quarter is less than two trips. */
    int64_t n = size(1, 2000);
    assert_in_range(n, 319, 321);
}

static void size__home_is_done_before_an_answer__is_none(void **state) {
    (void)state;
    fleet(4, 1, 4);
    work(1, 100000, 100);
    cw_lease_home(&all, &nodes[0], 100000, now);
    assert_int_equal(size(1, 100), 0);
    assert_true(size(1, 100000) > 0);
    now += 10 * TRIP; /* home has not moved since: it may be at something long */
    assert_true(size(1, 100) > 0);
}

/* Two items that never end are home's, as are two of node 1's: each began as it was claimed,
 * in no time. The last one must not wait for these. */
static void size__home_stands_still__idle_workers_get_what_is_left(void **state) {
    (void)state;
    fleet(2, 1, 2);
    now = 1;
    cw_lease_home(&all, &nodes[0], 2, now);
    now = 2 * TRIP;
    assert_int_equal(give(1, 2), 2);
    fleet(2, 1, 2);
    cw_lease_given(&all, &nodes[1], 1, now);
    now = 1;
    cw_lease_home(&all, &nodes[0], 2, now);
    assert_int_equal(size(1, 1), 0); /* home moves: it may be first */
    int64_t again = cw_lease_again(&nodes[0], &nodes[1], now);
    assert_in_range(again, TRIP, 2 * TRIP);
    now = again;
    assert_int_equal(give(1, 1), 1);
    assert_int_equal(size(1, 1), 0); /* nobody is idle any more */
    assert_true(cw_lease_again(&nodes[0], &nodes[1], now) == INT64_MAX);
    /* A slow node waits for as long as it would take. */
    fleet(2, 1, 2);
    work(1, 4, 1000 * MS);
    cw_lease_given(&all, &nodes[1], 1, now);
    cw_lease_home(&all, &nodes[0], 2000, now);
    now += 900 * MS;
    assert_int_equal(size(1, 1), 0);
    now += 101 * MS;
    assert_int_equal(size(1, 1), 1);
}

static void size__extreme_numbers__stay_in_bounds(void **state) {
    (void)state;
    const int64_t numbers[] = {1, 2, 1000, INT32_MAX, INT64_MAX / 4 + 1, INT64_MAX - 1};
    for (int a = 0; a < 6; a++)
        for (int b = 0; b < 6; b++)
            for (int c = 0; c < 6; c++) {
                fleet(2, 1, 2);
                cw_lease_given(&all, &nodes[1], numbers[a], now);
                now = numbers[b];
                cw_lease_done(&all, &nodes[1], numbers[a], 1, now);
                now = 0; /* a clock that jumps back */
                cw_lease_given(&all, &nodes[1], 1, now);
                cw_lease_done(&all, &nodes[1], 1, 1, now);
                assert_true(size(1, numbers[c]) >= 1);
            }
}

static void split__nobody_idle__is_none(void **state) {
    (void)state;
    struct cw_lease_split s;
    fleet(2, 2, 2);
    cw_lease_given(&all, &nodes[1], 100, now);
    cw_lease_given(&all, &nodes[2], 2, now);
    assert_false(cw_lease_split(&all, nodes, 3, 0, &s));
    assert_true(cw_lease_split(&all, nodes, 3, 1, &s));
    assert_int_equal(s.node, 1);
}

static void split__idle_node__takes_half_of_the_slowest(void **state) {
    (void)state;
    struct cw_lease_split s;
    fleet(2, 3, 2);
    for (int i = 1; i <= 3; i++)
        work(i, 1000, 10 * US);
    cw_lease_given(&all, &nodes[1], 500, now);
    cw_lease_given(&all, &nodes[2], 1000, now);
    assert_true(cw_lease_split(&all, nodes, 4, 0, &s));
    assert_int_equal(s.node, 2);
    assert_in_range(s.items, 499, 501);
    /* It was asked: the next in turn. */
    assert_true(cw_lease_split(&all, nodes, 4, 0, &s));
    assert_int_equal(s.node, 1);
    assert_false(cw_lease_split(&all, nodes, 4, 0, &s));
}

static void split__node_that_had_less__is_not_asked_again(void **state) {
    (void)state;
    struct cw_lease_split s;
    fleet(2, 2, 2);
    work(1, 1000, 10 * US);
    cw_lease_given(&all, &nodes[1], 100, now);
    assert_true(cw_lease_split(&all, nodes, 3, 0, &s));
    cw_lease_returned(&all, &nodes[1], 3, 0, true);
    assert_int_equal(nodes[1].items, 97);
    assert_false(cw_lease_split(&all, nodes, 3, 0, &s));
    cw_lease_given(&all, &nodes[1], 100, now);
    assert_true(cw_lease_split(&all, nodes, 3, 0, &s));
}

static void split__what_is_begun_or_soon_begun__stays(void **state) {
    (void)state;
    struct cw_lease_split s;
    fleet(2, 2, 2);
    work(1, 1000, 1 * US);
    cw_lease_given(&all, &nodes[1], 2, now);
    assert_false(cw_lease_split(&all, nodes, 3, 2, &s));
    cw_lease_given(&all, &nodes[1], 4, now); /* 2 us until they are begun */
    assert_false(cw_lease_split(&all, nodes, 3, 2, &s));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(size__nothing_known__is_an_item_a_worker_twice),
        cmocka_unit_test(size__few_items__are_shared),
        cmocka_unit_test(size__no_home_workers__last_item_is_given),
        cmocka_unit_test(size__lost_node__is_none),
        cmocka_unit_test(size__more_than_its_share__is_none),
        cmocka_unit_test(sums__node_is_lost__are_as_without_it),
        cmocka_unit_test(speed__node_becomes_slow__is_seen_with_as_many_items),
        cmocka_unit_test(again__nothing_there__is_after_a_trip_however_long_items_are),
        cmocka_unit_test(reports__few_nodes_and_many__cost_a_hundredth_and_no_more),
        cmocka_unit_test(size__all_slots_taken__is_none),
        cmocka_unit_test(size__measured__lasts_a_quarter_of_the_rest),
        cmocka_unit_test(size__long_map__lasts_the_most),
        cmocka_unit_test(size__little_seen__grows_so_far_only),
        cmocka_unit_test(size__short_rest__is_not_cut_below_what_messages_cost),
        cmocka_unit_test(size__home_is_done_before_an_answer__is_none),
        cmocka_unit_test(size__home_stands_still__idle_workers_get_what_is_left),
        cmocka_unit_test(size__extreme_numbers__stay_in_bounds),
        cmocka_unit_test(split__nobody_idle__is_none),
        cmocka_unit_test(split__idle_node__takes_half_of_the_slowest),
        cmocka_unit_test(split__node_that_had_less__is_not_asked_again),
        cmocka_unit_test(split__what_is_begun_or_soon_begun__stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
