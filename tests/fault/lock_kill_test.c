/* fault/lock_kill_test.c - who holds a lock, or waits for one, is killed. */
#include "crewtest.h"
#include "hammer.h"

#include <signal.h>
#include <unistd.h>

enum { CELL_A = CELL_OWN, CELL_B, CELL_NEWS, CELL_WRONG };

static int hold_and_die(crew_call *call) {
    if (call->attempt == 1) {
        if (crew_lock_acquire(*CREW_IN(call, crew_lock), CREW_FOREVER) == 0)
            raise(SIGKILL);
        return 1;
    }
    return 0;
}

static void lock__holder_killed__the_next_is_told_and_holds_it(void **state) {
    crew_lock l;
    crew_error err;
    (void)state;
    assert_int_equal(crew_lock_create(&l), 0);
    crew_pool *p = crewtest_open(1);
    assert_code(crew_apply(p, hold_and_die, &l, sizeof l, NULL, 0, &err), CREW_EDIED, &err);
    double from = crewtest_now();
    assert_int_equal(crew_lock_acquire(l, 5), CREW_OWNERDEAD);
    assert_within(from, 2);
    assert_int_equal(crew_lock_acquire(l, 0), CREW_ETIMEDOUT);
    assert_int_equal(crew_lock_release(l), 0);
    assert_int_equal(crew_lock_acquire(l, 0), 0);
    assert_int_equal(crew_lock_release(l), 0);
    crewtest_free(p);
    assert_int_equal(crew_lock_destroy(l), 0);
}

struct pair {
    crew_lock lock;
    crew_rlock rlock;
    crew_value value;
};

/* A and B are equal whenever nobody is inside; a death inside may leave them
 * unequal, and then the next one is told, and puts that right. */
static bool inside(int rc) {
    int64_t a = crewtest_get(CELL_A), b = crewtest_get(CELL_B);
    if (rc == CREW_OWNERDEAD)
        crewtest_add(CELL_NEWS, 1);
    else if (a != b)
        return false;
    crewtest_set(CELL_A, a + 1);
    crewtest_set(CELL_B, a + 1);
    return true;
}

static int hammer_lock(crew_call *call) {
    crew_lock l = CREW_COMMON(call, struct pair)->lock;
    while (hammer_on(call)) {
        int rc = crew_lock_acquire(l, CREW_FOREVER);
        if (rc < 0 || !inside(rc) || crew_lock_release(l) != 0)
            return crew_fail(call, 1, "acquire gave %d, a %ld, b %ld", rc,
                             (long)crewtest_get(CELL_A), (long)crewtest_get(CELL_B));
    }
    return 0;
}

static int hammer_rlock(crew_call *call) {
    crew_rlock l = CREW_COMMON(call, struct pair)->rlock;
    while (hammer_on(call)) {
        int rc = crew_rlock_acquire(l, CREW_FOREVER);
        if (rc < 0 || crew_rlock_acquire(l, 0) != 0 || !inside(rc) ||
            crew_rlock_release(l) != 0 || crew_rlock_release(l) != 0)
            return crew_fail(call, 1, "acquire gave %d", rc);
    }
    return 0;
}

static int hammer_value(crew_call *call) {
    crew_value v = CREW_COMMON(call, struct pair)->value;
    while (hammer_on(call)) {
        crew_value_add_i64(v, 1);
        int rc = crew_value_lock(v);
        if (rc < 0 || !inside(rc) || crew_value_unlock(v) != 0)
            return crew_fail(call, 1, "lock gave %d", rc);
    }
    return 0;
}

static void hammer(crew_fn *task, struct pair *pair) {
    crewtest_set(CELL_A, 0);
    crewtest_set(CELL_B, 0);
    crewtest_set(CELL_NEWS, 0);
    const struct hammer h = {.task = task, .common = pair, .common_size = sizeof *pair};
    hammer_run(&h);
    print_message("%ld times inside, %ld times told of a death\n", (long)crewtest_get(CELL_A),
                  (long)crewtest_get(CELL_NEWS));
}

static void lock__users_killed_anywhere__it_goes_from_hand_to_hand(void **state) {
    struct pair pair;
    (void)state;
    assert_int_equal(crew_lock_create(&pair.lock), 0);
    hammer(hammer_lock, &pair);
    assert_true(crew_lock_acquire(pair.lock, 5) >= 0);
    assert_int_equal(crew_lock_release(pair.lock), 0);
    assert_int_equal(crew_lock_destroy(pair.lock), 0);
}

static void rlock__users_killed_anywhere__it_goes_from_hand_to_hand(void **state) {
    struct pair pair;
    (void)state;
    assert_int_equal(crew_rlock_create(&pair.rlock), 0);
    hammer(hammer_rlock, &pair);
    assert_true(crew_rlock_acquire(pair.rlock, 5) >= 0);
    assert_int_equal(crew_rlock_release(pair.rlock), 0);
    assert_int_equal(crew_rlock_destroy(pair.rlock), 0);
}

static void value__users_killed_anywhere__its_lock_goes_from_hand_to_hand(void **state) {
    struct pair pair;
    (void)state;
    assert_int_equal(crew_value_create(&pair.value, CREW_I64), 0);
    hammer(hammer_value, &pair);
    assert_true(crew_value_get_i64(pair.value) >= crewtest_get(CELL_A));
    assert_true(crew_value_lock(pair.value) >= 0);
    assert_int_equal(crew_value_unlock(pair.value), 0);
    assert_int_equal(crew_value_destroy(pair.value), 0);
}

/* Makers and destroyers die too: no cell is lost, no handle means two. */
static int hammer_making(crew_call *call) {
    while (hammer_on(call)) {
        crew_lock l[8];
        for (int i = 0; i < 8; i++)
            if (crew_lock_create(&l[i]) != 0 || crew_lock_acquire(l[i], 0) != 0)
                return crew_fail(call, 1, "a new lock is not free: %s", crew_last_error()->text);
        for (int i = 0; i < 8; i++)
            if (crew_lock_destroy(l[i]) != 0 || crew_lock_destroy(l[i]) != CREW_EINVAL)
                return crew_fail(call, 1, "a lock was not destroyed once");
    }
    return 0;
}

static void locks__makers_killed_anywhere__making_goes_on(void **state) {
    (void)state;
    const struct hammer h = {.task = hammer_making};
    hammer_run(&h);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(lock__holder_killed__the_next_is_told_and_holds_it),
        CREWTEST(lock__users_killed_anywhere__it_goes_from_hand_to_hand),
        CREWTEST(rlock__users_killed_anywhere__it_goes_from_hand_to_hand),
        CREWTEST(value__users_killed_anywhere__its_lock_goes_from_hand_to_hand),
        CREWTEST(locks__makers_killed_anywhere__making_goes_on),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
