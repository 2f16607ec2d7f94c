/* What waits in the machine of leases, under events by chance: it is taken from the lowest on,
 * with its own tag, given back from the end, and nothing of it is left behind a stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/fleet_machine.h"
#include "support/plain.h"

static struct cw_fleet f;

enum { ITEMS = 256 };
static int tags[ITEMS]; /* of those that wait; -1: it does not */

static int64_t lowest(void) {
    int64_t i = 0;
    while (i < ITEMS && tags[i] < 0)
        i++;
    return i;
}

static void add_some(uint64_t *s, int64_t stop) {
    int64_t lo = (int64_t)(draw(s) % ITEMS), hi = lo;
    int64_t most = lo + 1 + (int64_t)(draw(s) % 3);
    int tag = (int)(draw(s) % 3);
    while (hi < ITEMS && hi < most && tags[hi] < 0)
        hi++;
    for (int64_t i = lo; i < hi && i < stop; i++)
        tags[i] = tag;
    if (hi > lo)
        cw_fleet_add(&f, lo, hi, tag, 0);
}

static void surrender_one(uint64_t *s) {
    int64_t i = (int64_t)(draw(s) % ITEMS), last = i + 16;
    /* The end of what waits there. */
    while (i < last && i < ITEMS && (tags[i] < 0 || (i + 1 < ITEMS && tags[i + 1] >= 0)))
        i++;
    if (i == last || i >= ITEMS)
        return;
    assert_int_equal(cw_fleet_surrender(&f, tags[i] + 1, i, i + 1, 0), i + 1);
    assert_int_equal(cw_fleet_surrender(&f, tags[i], i, i + 1, 0), i);
    tags[i] = -1;
}

static void take_some(uint64_t *s) {
    struct cw_range r;
    int64_t first = lowest();
    assert_int_equal(cw_fleet_take(&f, 1 + (int64_t)(draw(s) % 3), 0, &r), first < ITEMS);
    if (first == ITEMS)
        return;
    assert_int_equal(r.lo, first);
    for (int64_t i = r.lo; i < r.hi; i++) {
        assert_int_equal(tags[i], r.tag);
        tags[i] = -1;
    }
}

static void waiting__added_taken_given_back_and_stopped__is_taken_from_the_lowest(void **state) {
    (void)state;
    const uint64_t seed = plain_seed();
    struct cw_fleet_action a;
    for (uint64_t round = 0; round < 300; round++) {
        uint64_t s = seed + round;
        int64_t stop = ITEMS;
        assert_true(cw_fleet_init(&f, 1, 0, 0));
        memset(tags, -1, sizeof tags);
        for (int n = 0; n < 200; n++) {
            uint64_t what = draw(&s) % 16;
            if (what < 8)
                add_some(&s, stop);
            else if (what < 11)
                surrender_one(&s);
            else if (what < 15)
                take_some(&s);
            else
                stop -= (int64_t)(draw(&s) % 20);
            cw_fleet_stop(&f, stop, 0);
            for (int64_t i = stop > 0 ? stop : 0; i < ITEMS; i++)
                tags[i] = -1;
            while (cw_fleet_next(&f, &a))
                assert_int_equal(a.what, CW_FLEET_DROP);
        }
        cw_fleet_free(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting__added_taken_given_back_and_stopped__is_taken_from_the_lowest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
