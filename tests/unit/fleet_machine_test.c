/* The machine of leases, rule by rule: scripts of events and of the actions that they are
 * to bring, all of them and in this order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/fleet_machine.h"

#include <stdio.h>
#include <string.h>

enum event {
    READY,
    ADD,
    ADD_TAG,
    CLOSE,
    DONE,
    LOST,
    RETURNED,
    TAKE,
    HOME_DONE,
    IDLE,
    STOP,
    AT,
    TIME
};

struct step {
    enum event event;
    int64_t a, b, c;
    struct cw_fleet_action want[8];
    int wants;
};

#define WANT(...)                                                                                  \
    .want = {__VA_ARGS__},                                                                         \
    .wants = sizeof((struct cw_fleet_action[]){__VA_ARGS__}) / sizeof(struct cw_fleet_action)
#define NOTHING .wants = 0
#define LEASE(node, slot, lo, hi)                                                                  \
    { CW_FLEET_LEASE, node, slot, 0, lo, hi }
#define LEASE_TAG(node, slot, tag, lo, hi)                                                         \
    { CW_FLEET_LEASE, node, slot, tag, lo, hi }
#define ASK(node, slot, lo, hi)                                                                    \
    { CW_FLEET_ASK, node, slot, 0, lo, hi }
#define TELL(node, lo)                                                                             \
    { CW_FLEET_STOP, node, 0, 0, lo, lo }
#define DROP(lo, hi)                                                                               \
    { CW_FLEET_DROP, 0, 0, 0, lo, hi }
#define HOME                                                                                       \
    { CW_FLEET_HOME, 0, 0, 0, 0, 0 }
#define FINISH                                                                                     \
    { CW_FLEET_FINISH, 0, 0, 0, 0, 0 }

enum { US = 1000, MS = 1000 * US, TRIP = 4 * US };

static struct cw_fleet f;
static int64_t now;
static unsigned char marks[1000];

static bool gap(void *of, int64_t from, int64_t to, int64_t *lo, int64_t *hi) {
    const unsigned char *m = of;
    for (*lo = from; *lo < to && m[*lo]; ++*lo)
        ;
    for (*hi = *lo; *hi < to && !m[*hi]; ++*hi)
        ;
    return *lo < *hi;
}

static void happen(const struct step *s) {
    struct cw_range range;
    switch (s->event) {
    case READY:
        cw_fleet_ready(&f, (int)s->a, (int)s->b, TRIP, now);
        break;
    case ADD:
    case ADD_TAG:
        cw_fleet_add(&f, s->a, s->b, (int)s->c, now);
        break;
    case CLOSE:
        cw_fleet_close(&f, now);
        break;
    case DONE:
        cw_fleet_done(&f, (int)s->a, (int)s->b, s->c, now);
        break;
    case LOST:
        cw_fleet_lost(&f, (int)s->a, now);
        break;
    case RETURNED:
        cw_fleet_returned(&f, (int)s->a, (int)s->b, s->c, now);
        break;
    case TAKE:
        assert_true(cw_fleet_take(&f, s->a, now, &range));
        assert_int_equal(range.lo, s->b);
        assert_int_equal(range.hi, s->c);
        break;
    case HOME_DONE:
        cw_fleet_home_done(&f, s->a, now);
        break;
    case IDLE:
        cw_fleet_home_idle(&f, (int)s->a, now);
        break;
    case STOP:
        cw_fleet_stop(&f, s->a, now);
        break;
    case AT:
        now = s->a;
        break;
    case TIME:
        cw_fleet_time(&f, now);
        break;
    }
}

static bool same(const struct cw_fleet_action *a, const struct cw_fleet_action *b) {
    return a->what == b->what && a->node == b->node && a->slot == b->slot && a->tag == b->tag &&
           a->lo == b->lo && a->hi == b->hi;
}

static void show(char *text, size_t size, const struct cw_fleet_action *a) {
    static const char *const names[] = {"LEASE", "ASK", "STOP", "HOME", "DROP", "FINISH"};
    snprintf(text, size, "%s(node %d, slot %d, tag %d, %lld, %lld)", names[a->what], a->node,
             a->slot, a->tag, (long long)a->lo, (long long)a->hi);
}

/* After HOME its workers take; only then is the rest planned. */
static bool home_is_called(const struct step *s) {
    return s->wants > 0 && s->want[s->wants - 1].what == CW_FLEET_HOME;
}

static void play(const struct step *steps, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct cw_fleet_action got;
        char text[128], wanted[128];
        happen(&steps[i]);
        for (int k = 0; k < steps[i].wants; k++) {
            show(wanted, sizeof wanted, &steps[i].want[k]);
            if (!cw_fleet_next(&f, &got))
                fail_msg("step %zu: nothing instead of %s", i, wanted);
            show(text, sizeof text, &got);
            if (!same(&got, &steps[i].want[k]))
                fail_msg("step %zu: %s instead of %s", i, text, wanted);
        }
        if (home_is_called(&steps[i]))
            continue;
        if (cw_fleet_next(&f, &got)) {
            show(text, sizeof text, &got);
            fail_msg("step %zu: not wanted: %s", i, text);
        }
    }
}

static int begin(void **state) {
    (void)state;
    now = 0;
    return cw_fleet_init(&f, 4, 0, 0) ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    cw_fleet_free(&f);
    return 0;
}

#define PLAY(...)                                                                                  \
    do {                                                                                           \
        const struct step steps_[] = {__VA_ARGS__};                                                \
        play(steps_, sizeof steps_ / sizeof *steps_);                                              \
    } while (0)

static void start__nothing_known__one_item_a_worker_and_the_next_beforehand(void **state) {
    (void)state;
    PLAY({READY, 0, 2, 0, NOTHING}, {READY, 1, 2, 0, NOTHING}, {READY, 2, 3, 0, NOTHING},
         /* One for each before anybody has a second. */
         {ADD, 0, 100, 0,
          WANT(LEASE(1, 0, 0, 2), LEASE(2, 0, 2, 5), LEASE(1, 1, 5, 7), LEASE(2, 1, 7, 10))},
         /* A node that is ready later has its part at once. */
         {READY, 3, 1, 0, WANT(LEASE(3, 0, 10, 11), LEASE(3, 1, 11, 12))});
}

static void done__costs_known__the_next_before_the_last_is_done(void **state) {
    (void)state;
    PLAY({READY, 0, 2, 0, NOTHING}, {READY, 1, 2, 0, NOTHING},
         {ADD, 0, 100000, 0, WANT(LEASE(1, 0, 0, 2), LEASE(1, 1, 2, 4))},
         /* 1 ms an item. CW_LEASE_GROWTH times as many are trusted. */
         {AT, 1 * MS, 0, 0, NOTHING}, {DONE, 1, 0, 2, WANT(LEASE(1, 0, 4, 12))},
         {AT, 2 * MS, 0, 0, NOTHING}, {DONE, 1, 1, 2, WANT(LEASE(1, 1, 12, 28))},
         /* Later 50 of them are as long as a lease may last, and it has 60. */
         {AT, 6 * MS, 0, 0, NOTHING}, {DONE, 1, 0, 8, WANT(LEASE(1, 0, 28, 76))},
         {AT, 7 * MS, 0, 0, NOTHING}, {DONE, 1, 1, 2, NOTHING}, {AT, 14 * MS, 0, 0, NOTHING},
         {DONE, 1, 1, 14, WANT(LEASE(1, 1, 76, 126))});
}

static void end__rest_is_short__leases_shrink(void **state) {
    (void)state;
    PLAY({READY, 1, 2, 0, NOTHING}, {READY, 2, 2, 0, NOTHING},
         {ADD, 0, 4, 0, WANT(LEASE(1, 0, 0, 2), LEASE(2, 0, 2, 4))}, {AT, 1 * MS, 0, 0, NOTHING},
         {DONE, 1, 0, 2, NOTHING}, {DONE, 2, 0, 2, NOTHING},
         /* The rest is 16 ms: a quarter of that each, and as much beforehand. The turn is
          * the second node's. */
         {ADD, 4, 68, 0,
          WANT(LEASE(2, 0, 4, 12), LEASE(1, 0, 12, 20), LEASE(2, 1, 20, 28), LEASE(1, 1, 28, 36))},
         /* 12 ms, then 8 ms, of which node 1 already has what is right. */
         {AT, 5 * MS, 0, 0, NOTHING}, {DONE, 1, 0, 8, NOTHING}, {DONE, 2, 0, 8, NOTHING});
}

static void lost__its_items__go_to_others_lowest_first(void **state) {
    (void)state;
    PLAY({READY, 0, 1, 0, NOTHING}, {READY, 1, 2, 0, NOTHING}, {READY, 2, 2, 0, NOTHING},
         {ADD, 0, 1000, 0,
          WANT(LEASE(1, 0, 0, 2), LEASE(2, 0, 2, 4), LEASE(1, 1, 4, 6), LEASE(2, 1, 6, 8))},
         {LOST, 1, 0, 0, NOTHING}, {AT, 1 * MS, 0, 0, NOTHING},
         /* As many as a lease is to have; so each range is one. */
         {DONE, 2, 0, 2, WANT(LEASE(2, 0, 0, 2), LEASE(2, 2, 4, 6), LEASE(2, 3, 8, 16))},
         {TAKE, 5, 16, 21, NOTHING}, {LOST, 1, 0, 0, NOTHING}); /* again: nothing happens */
}

static void lost__marks_known__only_what_is_not_finished(void **state) {
    (void)state;
    memset(marks, 0, sizeof marks);
    memset(marks + 1, 1, 3);
    cw_fleet_know(&f, gap, marks);
    PLAY({READY, 0, 0, 0, NOTHING}, {READY, 1, 6, 0, NOTHING},
         {ADD, 0, 6, 0, WANT(LEASE(1, 0, 0, 6))}, {DONE, 1, 0, 3, NOTHING},
         {LOST, 1, 0, 0, NOTHING}, {TAKE, 9, 0, 1, NOTHING}, {TAKE, 9, 4, 6, NOTHING},
         {CLOSE, 0, 0, 0, NOTHING}, {HOME_DONE, 1, 0, 0, NOTHING},
         {HOME_DONE, 2, 0, 0, WANT(FINISH)});
}

static void lost__marks_not_known__only_leases_that_were_not_over(void **state) {
    (void)state;
    PLAY({READY, 0, 0, 0, NOTHING}, {READY, 1, 2, 0, NOTHING},
         {ADD, 0, 4, 0, WANT(LEASE(1, 0, 0, 2), LEASE(1, 1, 2, 4))}, {DONE, 1, 0, 2, NOTHING},
         {LOST, 1, 0, 0, NOTHING}, {TAKE, 9, 2, 4, NOTHING}, {CLOSE, 0, 0, 0, NOTHING},
         {HOME_DONE, 2, 0, 0, WANT(FINISH)});
}

/* Node 1, two workers, needs 1 ms for an item, and has [4, 12) and [12, 28). Home has all
 * the rest. */
static void one_has_more(void) {
    PLAY({READY, 0, 0, 0, NOTHING}, {READY, 1, 2, 0, NOTHING},
         {ADD, 0, 1000, 0, WANT(LEASE(1, 0, 0, 2), LEASE(1, 1, 2, 4))}, {AT, 1 * MS, 0, 0, NOTHING},
         {DONE, 1, 0, 2, WANT(LEASE(1, 0, 4, 12))}, {AT, 2 * MS, 0, 0, NOTHING},
         {DONE, 1, 1, 2, WANT(LEASE(1, 1, 12, 28))}, {TAKE, 1000, 28, 1000, NOTHING});
}

static void dry__newest_lease_of_the_slowest__is_asked_for_half(void **state) {
    (void)state;
    one_has_more();
    PLAY({READY, 2, 2, 0, WANT(ASK(1, 1, 16, 28))},
         {RETURNED, 1, 1, 16, WANT(LEASE(2, 0, 16, 19), LEASE(2, 1, 19, 22))});
}

static void dry__less_comes_back__the_older_lease_is_asked_next(void **state) {
    (void)state;
    one_has_more();
    PLAY({READY, 2, 2, 0, WANT(ASK(1, 1, 16, 28))},
         {RETURNED, 1, 1, 22, WANT(LEASE(2, 0, 22, 25), LEASE(2, 1, 25, 28))},
         {AT, 3500 * US, 0, 0, NOTHING}, {DONE, 2, 0, 3, NOTHING},
         /* One of its workers is idle, and takes a third. */
         {AT, 4 * MS, 0, 0, NOTHING}, {DONE, 2, 1, 2, WANT(ASK(1, 0, 6, 12))},
         /* It has nothing more to give: it is not asked again. */
         {RETURNED, 1, 0, 12, NOTHING}, {DONE, 2, 1, 1, NOTHING},
         /* What it gets later it may have to give. */
         {AT, 20 * MS, 0, 0, NOTHING}, {DONE, 1, 0, 8, NOTHING}, {DONE, 1, 1, 10, NOTHING},
         {LOST, 2, 0, 0, NOTHING},
         {ADD, 1000, 1100, 0, WANT(LEASE(1, 0, 1000, 1025), LEASE(1, 1, 1025, 1050))},
         {TAKE, 1000, 1050, 1100, NOTHING}, {READY, 2, 2, 0, WANT(ASK(1, 1, 1026, 1050))});
}

static void dry__lease_is_over_when_asked__is_no_harm(void **state) {
    (void)state;
    one_has_more();
    PLAY({READY, 2, 2, 0, WANT(ASK(1, 1, 16, 28))}, {AT, 10 * MS, 0, 0, NOTHING},
         {DONE, 1, 1, 16, NOTHING}, {RETURNED, 1, 1, 28, WANT(ASK(1, 0, 8, 12))},
         {RETURNED, 1, 0, 8, WANT(LEASE(2, 0, 8, 10))});
}

static void dry__asked_node_is_lost__all_goes_to_the_others(void **state) {
    (void)state;
    one_has_more();
    PLAY({READY, 2, 2, 0, WANT(ASK(1, 1, 16, 28))},
         /* Of node 2 nothing is known yet. */
         {LOST, 1, 0, 0, WANT(LEASE(2, 0, 4, 6), LEASE(2, 1, 6, 8))});
}

static void dry__home_becomes_idle__some_is_asked_for(void **state) {
    (void)state;
    PLAY({READY, 0, 2, 0, NOTHING}, {READY, 1, 2, 0, NOTHING},
         {ADD, 0, 1000, 0, WANT(LEASE(1, 0, 0, 2), LEASE(1, 1, 2, 4))},
         {TAKE, 1000, 4, 1000, NOTHING}, {IDLE, 2, 0, 0, WANT(ASK(1, 1, 2, 4))},
         {RETURNED, 1, 1, 2, WANT(HOME)}, {TAKE, 2, 2, 4, NOTHING}, {IDLE, 0, 0, 0, NOTHING});
}

static void dry__home_is__takes_before_anything_is_sent_away(void **state) {
    (void)state;
    one_has_more();
    PLAY({READY, 2, 2, 0, WANT(ASK(1, 1, 16, 28))}, {READY, 3, 2, 0, NOTHING},
         {IDLE, 2, 0, 0, NOTHING}, {RETURNED, 1, 1, 16, WANT(HOME)},
         {TAKE, 2, 16, 18, WANT(LEASE(2, 0, 18, 20), LEASE(3, 0, 20, 22))},
         {IDLE, 0, 0, 0, NOTHING});
}

static void stop__falls__nothing_behind_it_begins(void **state) {
    (void)state;
    PLAY({READY, 0, 0, 0, NOTHING}, {READY, 1, 2, 0, NOTHING}, {READY, 2, 2, 0, NOTHING},
         {ADD, 0, 100, 0,
          WANT(LEASE(1, 0, 0, 2), LEASE(2, 0, 2, 4), LEASE(1, 1, 4, 6), LEASE(2, 1, 6, 8))},
         {STOP, 5, 0, 0, WANT(DROP(8, 100), TELL(1, 5), TELL(2, 5))},
         {STOP, 50, 0, 0, NOTHING}, /* it only falls */
         {LOST, 2, 0, 0, WANT(DROP(6, 8))}, {AT, 1 * MS, 0, 0, NOTHING}, {CLOSE, 0, 0, 0, NOTHING},
         {DONE, 1, 0, 2, NOTHING},
         /* 4 was begun, 5 is not begun any more: for the machine both are finished. */
         {DONE, 1, 1, 2, WANT(LEASE(1, 0, 2, 4))}, {DONE, 1, 0, 2, WANT(FINISH)},
         {TIME, 0, 0, 0, NOTHING});
}

static void stop__nodes_with_nothing_behind_it__are_not_told(void **state) {
    (void)state;
    PLAY({READY, 0, 0, 0, NOTHING}, {READY, 1, 2, 0, NOTHING}, {READY, 2, 2, 0, NOTHING},
         {ADD, 0, 100, 0,
          WANT(LEASE(1, 0, 0, 2), LEASE(2, 0, 2, 4), LEASE(1, 1, 4, 6), LEASE(2, 1, 6, 8))},
         {STOP, 6, 0, 0, WANT(DROP(8, 100), TELL(2, 6))});
}

static void stop__many_ranges_wait__all_behind_it_are_dropped(void **state) {
    (void)state;
    PLAY({ADD_TAG, 50, 60, 0, NOTHING}, {ADD_TAG, 30, 40, 0, NOTHING},
         {ADD_TAG, 70, 80, 0, NOTHING}, {ADD_TAG, 10, 20, 0, NOTHING},
         {ADD_TAG, 90, 99, 0, NOTHING},
         {STOP, 35, 0, 0, WANT(DROP(35, 40), DROP(70, 80), DROP(50, 60), DROP(90, 99))},
         {TAKE, 100, 10, 20, NOTHING}, {TAKE, 100, 30, 35, NOTHING}, {CLOSE, 0, 0, 0, NOTHING},
         {HOME_DONE, 15, 0, 0, WANT(FINISH)});
}

static void stop__while_asked__what_comes_back_is_dropped(void **state) {
    (void)state;
    one_has_more();
    PLAY({READY, 2, 2, 0, WANT(ASK(1, 1, 16, 28))}, {STOP, 17, 0, 0, WANT(TELL(1, 17))},
         {RETURNED, 1, 1, 16, WANT(DROP(17, 28), LEASE(2, 0, 16, 17), ASK(1, 1, 12, 16))},
         {ADD, 1000, 1010, 0, WANT(DROP(1000, 1010))});
}

static void close__before_anything__finishes(void **state) {
    (void)state;
    PLAY({READY, 1, 2, 0, NOTHING}, {CLOSE, 0, 0, 0, WANT(FINISH)}, {CLOSE, 0, 0, 0, NOTHING});
}

static void stream__items_one_by_one__are_leased_together(void **state) {
    (void)state;
    PLAY({READY, 0, 2, 0, NOTHING}, {ADD, 0, 1, 0, NOTHING}, {ADD, 1, 2, 0, NOTHING},
         {ADD, 2, 3, 0, NOTHING}, {READY, 1, 4, 0, WANT(LEASE(1, 0, 0, 2))},
         {TAKE, 1, 2, 3, NOTHING}, {CLOSE, 0, 0, 0, NOTHING}, {DONE, 1, 0, 2, NOTHING},
         {HOME_DONE, 1, 0, 0, WANT(FINISH)});
}

static void home__moves_fast__keeps_the_rest_until_it_stops_moving(void **state) {
    (void)state;
    PLAY({READY, 0, 2, 0, NOTHING}, {ADD, 0, 1000, 0, NOTHING}, {TAKE, 900, 0, 900, NOTHING},
         {AT, 10 * US, 0, 0, NOTHING}, {HOME_DONE, 900, 0, 0, NOTHING},
         {READY, 1, 2, 0, NOTHING}); /* 90 items in a us, and 4 us to ask for them */
    assert_in_range(cw_fleet_wake_at(&f), 10 * US + TRIP, 10 * US + TRIP + 1);
    PLAY({AT, 10 * US + TRIP + 1, 0, 0, NOTHING}, {TIME, 0, 0, 0, WANT(LEASE(1, 0, 900, 950))});
    assert_true(cw_fleet_wake_at(&f) == INT64_MAX);
}

static void inner__leases_of_the_parent__stay_apart_and_are_given_back_from_the_end(void **state) {
    (void)state;
    PLAY({READY, 0, 0, 0, NOTHING}, {READY, 1, 4, 0, NOTHING},
         {ADD_TAG, 10, 12, 1, WANT(LEASE_TAG(1, 0, 1, 10, 12))},
         {ADD_TAG, 12, 40, 2, WANT(LEASE_TAG(1, 1, 2, 12, 16))});
    assert_int_equal(cw_fleet_surrender(&f, 1, 11, 12, now), 12); /* all is with node 1 */
    assert_int_equal(cw_fleet_surrender(&f, 2, 30, 40, now), 30);
    assert_int_equal(cw_fleet_surrender(&f, 2, 12, 30, now), 16);
    PLAY({CLOSE, 0, 0, 0, NOTHING}, {DONE, 1, 0, 2, NOTHING}, {DONE, 1, 1, 4, WANT(FINISH)});
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(start__nothing_known__one_item_a_worker_and_the_next_beforehand),
        TEST(done__costs_known__the_next_before_the_last_is_done),
        TEST(end__rest_is_short__leases_shrink),
        TEST(lost__its_items__go_to_others_lowest_first),
        TEST(lost__marks_known__only_what_is_not_finished),
        TEST(lost__marks_not_known__only_leases_that_were_not_over),
        TEST(dry__newest_lease_of_the_slowest__is_asked_for_half),
        TEST(dry__less_comes_back__the_older_lease_is_asked_next),
        TEST(dry__lease_is_over_when_asked__is_no_harm),
        TEST(dry__asked_node_is_lost__all_goes_to_the_others),
        TEST(dry__home_becomes_idle__some_is_asked_for),
        TEST(dry__home_is__takes_before_anything_is_sent_away),
        TEST(stop__falls__nothing_behind_it_begins),
        TEST(stop__nodes_with_nothing_behind_it__are_not_told),
        TEST(stop__many_ranges_wait__all_behind_it_are_dropped),
        TEST(stop__while_asked__what_comes_back_is_dropped),
        TEST(close__before_anything__finishes),
        TEST(stream__items_one_by_one__are_leased_together),
        TEST(home__moves_fast__keeps_the_rest_until_it_stops_moving),
        TEST(inner__leases_of_the_parent__stay_apart_and_are_given_back_from_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
