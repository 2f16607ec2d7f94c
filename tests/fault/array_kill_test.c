/* fault/array_kill_test.c - who makes, locks, slices, fills or destroys arrays is
 * killed. */
#include "crewtest.h"
#include "hammer.h"

#include "api/array_impl.h"
#include "api/objects.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { CELL_A = CELL_OWN, CELL_B, CELL_NEWS, SIZES = 4 };

/* Without a guard, in a granule; with one; so large that it is committed in pieces. */
static const int64_t sizes[SIZES] = {10, 4000, 40000, 100000};

static int hold_and_die(crew_call *call) {
    if (call->attempt == 1 && crew_array_lock(*CREW_IN(call, crew_array)) == 0)
        raise(SIGKILL);
    return 1;
}

static void lock__holder_killed__the_next_is_told_and_holds_it(void **state) {
    const int64_t n = 10;
    crew_array a, view;
    crew_error err;
    (void)state;
    assert_int_equal(crew_array_create(&a, CREW_I64, 1, &n, NULL), 0);
    assert_int_equal(crew_array_slice(&view, a, 0, 1, 5, 1), 0);
    crew_pool *p = crewtest_open(1);
    assert_code(crew_apply(p, hold_and_die, &view, sizeof view, NULL, 0, &err), CREW_EDIED, &err);
    double from = crewtest_now();
    assert_int_equal(crew_array_lock(a), CREW_OWNERDEAD);
    assert_within(from, 2);
    assert_int_equal(crew_array_unlock(a), 0);
    assert_int_equal(crew_array_lock(a), 0);
    assert_int_equal(crew_array_unlock(view), 0);
    crewtest_free(p);
    assert_int_equal(crew_array_destroy(view), 0);
    assert_int_equal(crew_array_destroy(a), 0);
}

static int wait_and_die(crew_call *call) {
    crewtest_add(CELL_STARTED, 1);
    crew_array_lock(*CREW_COMMON(call, crew_array));
    return 1;
}

static void lock__waiter_killed__nobody_else_is_stuck(void **state) {
    const int64_t n = 10;
    crew_array a;
    crew_error err;
    (void)state;
    assert_int_equal(crew_array_create(&a, CREW_I64, 1, &n, NULL), 0);
    crew_pool *p = crewtest_open(1);
    const crew_submit_opts opts = {.common = &a, .common_size = sizeof a};
    for (int round = 0; round < 5; round++) {
        assert_int_equal(crew_array_lock(a), 0);
        crewtest_set(CELL_STARTED, 0);
        crew_future *f = crew_submit(p, wait_and_die, NULL, 0, &opts, &err);
        assert_non_null(f);
        assert_true(crewtest_reached(CELL_STARTED, 1, 20));
        assert_int_equal(crew_future_kill(f), 1);
        assert_code(crew_future_result(f, NULL, 0, 20, &err), CREW_ECANCELLED, &err);
        crew_future_free(f);
        assert_int_equal(crew_array_unlock(a), 0);
    }
    assert_int_equal(crew_array_lock(a), 0);
    assert_int_equal(crew_array_unlock(a), 0);
    crewtest_free(p);
    assert_int_equal(crew_array_destroy(a), 0);
}

/* ---- kills anywhere -------------------------------------------------------- */

/* A and B are equal whenever nobody is inside; who is told of a death puts that
 * right. */
static int use_common(crew_array a) {
    int64_t *data = crew_array_data(a);
    int rc = crew_array_lock(a);
    if (rc < 0 || !data || (rc == 0 && data[0] != data[1]))
        return -1;
    if (rc == CREW_OWNERDEAD)
        crewtest_add(CELL_NEWS, 1);
    data[0]++;
    data[1] = data[0];
    return crew_array_unlock(a);
}

static int use_one(int64_t n, int64_t round) {
    crew_array a, view;
    int64_t last = 0;
    if (crew_array_create(&a, CREW_I64, 1, &n, NULL) != 0)
        return -2;
    int64_t *data = crew_array_data(a);
    if (data[0] || data[n - 1])
        return -3;
    data[0] = data[n - 1] = round;
    if (crew_array_lock(a) != 0 || crew_array_slice(&view, a, 0, INT64_MAX, INT64_MIN, -1) != 0)
        return -4;
    if (crew_array_get(view, 0, 1, &last) != 0 || last != round)
        return -5;
    bool first = round % 2; /* the array before its view */
    if (crew_array_destroy(first ? a : view) != 0 || crew_array_destroy(first ? view : a) != 0)
        return -6;
    return crew_array_data(a) || crew_array_destroy(view) != CREW_EINVAL ? -7 : 0;
}

static int hammer_arrays(crew_call *call) {
    crew_array common = *CREW_COMMON(call, crew_array);
    for (int64_t round = 1; hammer_on(call); round++) {
        int rc = 0;
        for (int i = 0; i < 30 && rc == 0; i++)
            rc = use_common(common);
        rc = rc ? rc : use_one(sizes[round % SIZES], round);
        if (rc)
            return crew_fail(call, 1, "%d: %s", rc, crew_last_error()->text);
    }
    return 0;
}

/* What arrays there are: how many, how many bytes their blocks take. */
static int64_t count_arrays(struct cw_share *share, uint64_t *bytes) {
    int64_t count = 0;
    *bytes = 0;
    for (uint32_t i = 0; i < cw_cells(share, CW_ARRAY); i++) {
        struct cw_array *array = (struct cw_array *)cw_cell(share, CW_ARRAY, i);
        if (!cw_head_live(&array->lock.head))
            continue;
        assert_false(cw_life_over(atomic_load(&array->life))); /* half destroyed */
        cw_off end = 0, block = atomic_load(&array->block);
        if (block) {
            assert_int_equal(
                cw_arena_block(&share->arrays, cw_ptr(&share->arrays, block), 1, &end), block);
            *bytes += end - block;
        }
        count++;
    }
    return count;
}

static void count_kill(void *ctx, int64_t kill) {
    *(int64_t *)ctx = kill + 1;
}

/* Nothing is held but what lies in arrays that are there; and of those each kill has
 * left two at most, an array and its view. */
static void arrays__users_killed_anywhere__nothing_is_lost_but_what_the_dead_had(void **state) {
    const int64_t n = 5000;
    crew_array common;
    uint64_t bytes;
    int64_t kills = 0;
    (void)state;
    assert_int_equal(crew_array_create(&common, CREW_I64, 1, &n, NULL), 0);
    struct cw_share *share = cw_share_here();
    int64_t before = count_arrays(share, &bytes);
    assert_int_equal(cw_arena_used(&share->arrays), bytes);
    const struct hammer h = {
        .task = hammer_arrays, .common = &common, .common_size = sizeof common,
        .check = count_kill, .ctx = &kills};
    crewtest_set(CELL_NEWS, 0);
    hammer_run(&h);
    cw_party_bury(share);
    int64_t now = count_arrays(share, &bytes);
    assert_int_equal(cw_arena_used(&share->arrays), bytes);
    print_message("%ld arrays and views are left, %ld times told of a death\n",
                  (long)(now - before), (long)crewtest_get(CELL_NEWS));
    assert_true(now - before <= 2 * kills);
    const int64_t *data = crew_array_data(common);
    assert_true(crew_array_lock(common) >= 0);
    assert_true(data[0] > 0);
    assert_int_equal(crew_array_unlock(common), 0);
    assert_int_equal(crew_array_destroy(common), 0);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(lock__holder_killed__the_next_is_told_and_holds_it),
        CREWTEST(lock__waiter_killed__nobody_else_is_stuck),
        CREWTEST(arrays__users_killed_anywhere__nothing_is_lost_but_what_the_dead_had),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
