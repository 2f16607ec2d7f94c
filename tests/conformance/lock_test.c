/* conformance/lock_test.c - lock and rlock between the workers of any backend. */
#include "crewtest.h"

#include "share/share.h"

#include <pthread.h>
#include <string.h>

enum { CELL_SUM = CELL_OWN, CELL_INSIDE, CELL_WORST, ROUNDS = 1000 };

/* Not atomic: only the lock makes it right. */
static void change(int64_t cell) {
    crewtest_set(cell, crewtest_get(cell) + 1);
}

static int with_lock(crew_call *call) {
    crew_lock l = *CREW_COMMON(call, crew_lock);
    for (int i = 0; i < ROUNDS; i++) {
        int rc = crew_lock_acquire(l, CREW_FOREVER);
        if (rc != 0)
            return crew_fail(call, 1, "acquire: %d %s", rc, crew_last_error()->text);
        if (crewtest_add(CELL_INSIDE, 1) != 0)
            crewtest_set(CELL_WORST, 1);
        change(CELL_SUM);
        crewtest_add(CELL_INSIDE, -1);
        if ((rc = crew_lock_release(l)) != 0)
            return crew_fail(call, 1, "release: %d %s", rc, crew_last_error()->text);
    }
    return 0;
}

static void lock__many_workers__one_at_a_time(void **state) {
    crew_lock l;
    crew_error err;
    (void)state;
    crewtest_set(CELL_SUM, 0);
    crewtest_set(CELL_WORST, 0);
    assert_int_equal(crew_lock_create(&l), 0);
    crew_pool *p = crewtest_open(4);
    crew_map_opts opts = {.common = &l, .common_size = sizeof l};
    assert_ok(crew_pool_map(p, with_lock, NULL, 0, 16, NULL, 0, &opts, &err), &err);
    assert_int_equal(crewtest_get(CELL_SUM), 16 * ROUNDS);
    assert_int_equal(crewtest_get(CELL_WORST), 0);
    crewtest_free(p);
    assert_int_equal(crew_lock_destroy(l), 0);
}

static void lock__held__others_time_out_and_any_thread_may_release(void **state) {
    crew_lock l;
    (void)state;
    assert_int_equal(crew_lock_create(&l), 0);
    assert_int_equal(crew_lock_acquire(l, CREW_FOREVER), 0);
    assert_int_equal(crew_lock_acquire(l, 0), CREW_ETIMEDOUT);
    double from = crewtest_now();
    assert_int_equal(crew_lock_acquire(l, 0.05), CREW_ETIMEDOUT);
    assert_true(crewtest_now() - from >= 0.049);
    assert_within(from, 5);
    assert_text(crew_last_error()->text, "holds");
    assert_int_equal(crew_lock_release(l), 0);
    assert_int_equal(crew_lock_release(l), CREW_EINVAL);
    assert_text(crew_last_error()->text, "nobody holds");
    assert_int_equal(crew_lock_destroy(l), 0);
}

static int release_it(crew_call *call) {
    return crew_lock_release(*CREW_IN(call, crew_lock)) == 0 ? 0 : 1;
}

static void lock__acquired_here__is_released_by_a_worker(void **state) {
    crew_lock l;
    crew_error err;
    (void)state;
    assert_int_equal(crew_lock_create(&l), 0);
    crew_pool *p = crewtest_open(1);
    assert_int_equal(crew_lock_acquire(l, CREW_FOREVER), 0);
    assert_ok(crew_apply(p, release_it, &l, sizeof l, NULL, 0, &err), &err);
    assert_int_equal(crew_lock_acquire(l, 0), 0);
    assert_int_equal(crew_lock_release(l), 0);
    crewtest_free(p);
    assert_int_equal(crew_lock_destroy(l), 0);
}

static void lock__stale_handles__are_errors_in_a_sentence(void **state) {
    crew_lock l, next, none = {0};
    crew_rlock other;
    (void)state;
    assert_int_equal(crew_lock_create(&l), 0);
    assert_int_equal(crew_lock_destroy(l), 0);
    assert_int_equal(crew_lock_destroy(l), CREW_EINVAL);
    assert_int_equal(crew_lock_create(&next), 0); /* in the same place */
    assert_int_equal(next.place, l.place);
    assert_int_equal(crew_lock_acquire(l, 0), CREW_EINVAL);
    assert_text(crew_last_error()->text, "no such lock");
    assert_int_equal(crew_lock_acquire(next, 0), 0);
    assert_int_equal(crew_lock_release(l), CREW_EINVAL);
    assert_int_equal(crew_lock_release(next), 0);
    assert_int_equal(crew_lock_acquire(none, 0), CREW_EINVAL);
    assert_text(crew_last_error()->text, "empty");
    memcpy(&other, &next, sizeof other);
    assert_int_equal(crew_rlock_acquire(other, 0), CREW_EINVAL);
    assert_text(crew_last_error()->text, "handle is that of a lock");
    l = next;
    l.check ^= (uint64_t)1 << 60;
    assert_int_equal(crew_lock_acquire(l, 0), CREW_EINVAL);
    assert_text(crew_last_error()->text, "another program");
    assert_int_equal(crew_lock_create(NULL), CREW_EINVAL);
    assert_int_equal(crew_lock_destroy(next), 0);
}

static void *wait_for_it(void *arg) {
    int rc = crew_lock_acquire(*(crew_lock *)arg, CREW_FOREVER);
    return (void *)(intptr_t)rc;
}

static void lock__destroyed_under_a_waiter__the_waiter_hears_of_it(void **state) {
    crew_lock l;
    pthread_t thread;
    void *rc;
    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(crew_lock_create(&l), 0);
        assert_int_equal(crew_lock_acquire(l, CREW_FOREVER), 0);
        assert_int_equal(pthread_create(&thread, NULL, wait_for_it, &l), 0);
        if (i % 2)
            crewtest_pause();
        assert_int_equal(crew_lock_destroy(l), 0);
        assert_int_equal(pthread_join(thread, &rc), 0);
        assert_int_equal((intptr_t)rc, CREW_EINVAL);
    }
}

static void lock__destroyed_and_made_anew_and_held__the_waiter_hears_of_it(void **state) {
    crew_lock l, next;
    pthread_t thread;
    void *rc;
    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(crew_lock_create(&l), 0);
        assert_int_equal(crew_lock_acquire(l, CREW_FOREVER), 0);
        assert_int_equal(pthread_create(&thread, NULL, wait_for_it, &l), 0);
        if (i % 2)
            crewtest_pause();
        double from = crewtest_now();
        assert_int_equal(crew_lock_destroy(l), 0);
        assert_int_equal(crew_lock_create(&next), 0);
        assert_int_equal(next.place, l.place);
        assert_int_equal(crew_lock_acquire(next, 5), 0); /* who waits may hold it for a moment */
        assert_int_equal(pthread_join(thread, &rc), 0);
        assert_int_equal((intptr_t)rc, CREW_EINVAL);
        assert_within(from, 5);
        assert_int_equal(crew_lock_release(next), 0);
        assert_int_equal(crew_lock_destroy(next), 0);
    }
}

static int nested(crew_call *call) {
    crew_rlock l = *CREW_COMMON(call, crew_rlock);
    for (int i = 0; i < ROUNDS; i++) {
        for (int k = 0; k < 3; k++)
            if (crew_rlock_acquire(l, CREW_FOREVER) != 0)
                return 1;
        change(CELL_SUM);
        for (int k = 0; k < 3; k++)
            if (crew_rlock_release(l) != 0)
                return 2;
    }
    return 0;
}

static void rlock__acquired_again__is_released_as_often(void **state) {
    crew_rlock l;
    crew_error err;
    (void)state;
    crewtest_set(CELL_SUM, 0);
    assert_int_equal(crew_rlock_create(&l), 0);
    crew_pool *p = crewtest_open(4);
    crew_map_opts opts = {.common = &l, .common_size = sizeof l};
    assert_ok(crew_pool_map(p, nested, NULL, 0, 16, NULL, 0, &opts, &err), &err);
    assert_int_equal(crewtest_get(CELL_SUM), 16 * ROUNDS);
    crewtest_free(p);
    assert_int_equal(crew_rlock_release(l), CREW_EPERM);
    assert_text(crew_last_error()->text, "does not hold");
    assert_int_equal(crew_rlock_destroy(l), 0);
}

static void *try_rlock(void *arg) {
    crew_rlock l = *(crew_rlock *)arg;
    if (crew_rlock_acquire(l, 0) != CREW_ETIMEDOUT || crew_rlock_release(l) != CREW_EPERM)
        return arg;
    return NULL;
}

static void rlock__held_by_one_thread__is_not_anothers(void **state) {
    crew_rlock l;
    pthread_t thread;
    void *wrong;
    (void)state;
    assert_int_equal(crew_rlock_create(&l), 0);
    assert_int_equal(crew_rlock_acquire(l, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, try_rlock, &l), 0);
    assert_int_equal(pthread_join(thread, &wrong), 0);
    assert_null(wrong);
    assert_int_equal(crew_rlock_release(l), 0);
    assert_int_equal(crew_rlock_destroy(l), 0);
}

/* ---- threads and sessions ---- */

static void *hold_and_end(void *arg) {
    return crew_lock_acquire(*(crew_lock *)arg, CREW_FOREVER) < 0 ? arg : NULL;
}

/* Each thread that uses objects has a cell, which is used again when it has ended. */
static void lock__of_threads_that_end__their_cells_are_used_again(void **state) {
    enum { THREADS = 200 };
    crew_lock l;
    (void)state;
    assert_int_equal(crew_lock_create(&l), 0);
    uint32_t before = cw_cells(cw_share_here(), CW_HAND);
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        void *wrong;
        assert_int_equal(pthread_create(&thread, NULL, hold_and_end, &l), 0);
        pthread_join(thread, &wrong);
        assert_null(wrong);
        assert_int_equal(crew_lock_acquire(l, 0), CREW_ETIMEDOUT);
        if (i % 2) {
            assert_int_equal(crew_lock_release(l), 0);
            continue;
        }
        assert_int_equal(crew_lock_destroy(l), 0);
        assert_int_equal(crew_lock_create(&l), 0);
    }
    assert_true(cw_cells(cw_share_here(), CW_HAND) < before + 4);
    assert_int_equal(crew_lock_destroy(l), 0);
}

/* So that a handle of an earlier session never means something in a later one. */
static void sessions__of_one_program__have_their_own_numbers(void **state) {
    enum { SESSIONS = 700, NUMBERS = 1 << 16 };
    static bool seen[NUMBERS];
    (void)state;
    for (int i = 0; i < SESSIONS; i++) {
        crew_lock l;
        assert_int_equal(crew_lock_create(&l), 0);
        assert_false(seen[l.check >> 48]);
        seen[l.check >> 48] = true;
        crew_finalize();
        assert_int_equal(crew_lock_acquire(l, 0), CREW_EINVAL);
    }
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(lock__many_workers__one_at_a_time),
        CREWTEST(lock__held__others_time_out_and_any_thread_may_release),
        CREWTEST(lock__acquired_here__is_released_by_a_worker),
        CREWTEST(lock__stale_handles__are_errors_in_a_sentence),
        CREWTEST(lock__destroyed_under_a_waiter__the_waiter_hears_of_it),
        CREWTEST(lock__destroyed_and_made_anew_and_held__the_waiter_hears_of_it),
        CREWTEST(lock__of_threads_that_end__their_cells_are_used_again),
        CREWTEST(rlock__acquired_again__is_released_as_often),
        CREWTEST(rlock__held_by_one_thread__is_not_anothers),
        /* The last one: it ends what the harness has begun. */
        CREWTEST(sessions__of_one_program__have_their_own_numbers),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
