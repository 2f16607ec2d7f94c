/* conformance/sem_test.c - semaphores between the workers of any backend. */
#include "crewtest.h"

#include <pthread.h>
#include <string.h>

enum { CELL_INSIDE = CELL_OWN, CELL_WORST, CELL_TAKEN, CELL_STOP, ROUNDS = 1000 };

static int at_most_two(crew_call *call) {
    crew_sem s = *CREW_COMMON(call, crew_sem);
    for (int i = 0; i < ROUNDS; i++) {
        int rc = crew_sem_acquire(s, CREW_FOREVER);
        if (rc != 0)
            return crew_fail(call, 1, "acquire: %d %s", rc, crew_last_error()->text);
        if (crewtest_add(CELL_INSIDE, 1) >= 2)
            crewtest_set(CELL_WORST, 1);
        crewtest_add(CELL_TAKEN, 1);
        crewtest_add(CELL_INSIDE, -1);
        if ((rc = crew_sem_release(s)) != 0)
            return crew_fail(call, 1, "release: %d %s", rc, crew_last_error()->text);
    }
    return 0;
}

static void sem__many_workers__no_more_inside_than_permits(void **state) {
    crew_sem s;
    crew_error err;
    (void)state;
    crewtest_set(CELL_WORST, 0);
    crewtest_set(CELL_TAKEN, 0);
    assert_int_equal(crew_sem_create(&s, 2, 2), 0);
    crew_pool *p = crewtest_open(4);
    crew_map_opts opts = {.common = &s, .common_size = sizeof s};
    assert_ok(crew_pool_map(p, at_most_two, NULL, 0, 16, NULL, 0, &opts, &err), &err);
    assert_int_equal(crewtest_get(CELL_TAKEN), 16 * ROUNDS);
    assert_int_equal(crewtest_get(CELL_WORST), 0);
    assert_int_equal(crew_sem_value(s), 2);
    crewtest_free(p);
    assert_int_equal(crew_sem_destroy(s), 0);
}

/* Two, one, none left, and back. */
static void down_and_up(crew_sem s) {
    for (int64_t left = 2; left > 0; left--) {
        assert_int_equal(crew_sem_value(s), left);
        assert_int_equal(crew_sem_acquire(s, CREW_FOREVER), 0);
    }
    assert_int_equal(crew_sem_value(s), 0);
    assert_int_equal(crew_sem_acquire(s, 0), CREW_ETIMEDOUT);
    assert_text(crew_last_error()->text, "no permit");
    for (int64_t left = 1; left <= 2; left++) {
        assert_int_equal(crew_sem_release(s), 0);
        assert_int_equal(crew_sem_value(s), left);
    }
}

static void sem__unbounded__may_have_more_than_it_began_with(void **state) {
    crew_sem s;
    (void)state;
    assert_int_equal(crew_sem_create(&s, 2, 0), 0);
    down_and_up(s);
    assert_int_equal(crew_sem_release(s), 0);
    assert_int_equal(crew_sem_value(s), 3);
    assert_int_equal(crew_sem_release(s), 0);
    assert_int_equal(crew_sem_value(s), 4);
    assert_int_equal(crew_sem_destroy(s), 0);
}

static void sem__bounded__refuses_one_release_too_many(void **state) {
    crew_sem s;
    (void)state;
    assert_int_equal(crew_sem_create(&s, 2, 2), 0);
    down_and_up(s);
    assert_int_equal(crew_sem_release(s), CREW_EINVAL);
    assert_text(crew_last_error()->text, "all its permits");
    assert_int_equal(crew_sem_value(s), 2);
    assert_int_equal(crew_sem_destroy(s), 0);
    assert_int_equal(crew_sem_create(&s, 1, 3), 0);
    assert_int_equal(crew_sem_release(s), 0);
    assert_int_equal(crew_sem_release(s), 0);
    assert_int_equal(crew_sem_release(s), CREW_EINVAL);
    assert_int_equal(crew_sem_destroy(s), 0);
}

static void sem__no_permit__waits_as_long_as_it_was_told(void **state) {
    static const double times[] = {0, 0.05, 0.2};
    crew_sem s;
    (void)state;
    assert_int_equal(crew_sem_create(&s, 0, 0), 0);
    for (int i = 0; i < 3; i++) {
        double from = crewtest_now();
        assert_int_equal(crew_sem_acquire(s, times[i]), CREW_ETIMEDOUT);
        assert_true(crewtest_now() - from >= times[i] - 0.001);
        assert_within(from, 5);
    }
    assert_int_equal(crew_sem_destroy(s), 0);
}

static void sem__bad_requests__are_errors_in_a_sentence(void **state) {
    const int64_t most = ((int64_t)1 << 40) - 1;
    crew_sem s, next, none = {0};
    (void)state;
    assert_int_equal(crew_sem_create(&s, -1, 0), CREW_EINVAL);
    assert_text(crew_last_error()->text, "not -1");
    assert_int_equal(crew_sem_create(&s, most + 1, 0), CREW_EINVAL);
    assert_int_equal(crew_sem_create(&s, 3, 2), CREW_EINVAL);
    assert_text(crew_last_error()->text, "at most 2 permits");
    assert_int_equal(crew_sem_create(&s, 0, -1), CREW_EINVAL);
    assert_int_equal(crew_sem_create(NULL, 0, 0), CREW_EINVAL);
    assert_int_equal(crew_sem_create(&s, most, 0), 0);
    assert_int_equal(crew_sem_release(s), CREW_EINVAL);
    assert_int_equal(crew_sem_value(s), most);
    assert_int_equal(crew_sem_destroy(s), 0);
    assert_int_equal(crew_sem_destroy(s), CREW_EINVAL);
    assert_int_equal(crew_sem_create(&next, 5, INT64_MAX), 0); /* in the same place */
    assert_int_equal(next.place, s.place);
    assert_int_equal(crew_sem_acquire(s, 0), CREW_EINVAL);
    assert_text(crew_last_error()->text, "no such semaphore");
    assert_int_equal(crew_sem_release(s), CREW_EINVAL);
    assert_int_equal(crew_sem_value(s), CREW_EINVAL);
    assert_int_equal(crew_sem_value(next), 5);
    assert_int_equal(crew_sem_acquire(none, 0), CREW_EINVAL);
    assert_int_equal(crew_sem_destroy(next), 0);
}

static void *wait_for_it(void *arg) {
    return (void *)(intptr_t)crew_sem_acquire(*(crew_sem *)arg, CREW_FOREVER);
}

static void sem__destroyed_under_a_waiter__the_waiter_hears_of_it(void **state) {
    crew_sem s;
    pthread_t thread;
    void *rc;
    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(crew_sem_create(&s, 0, 0), 0);
        assert_int_equal(pthread_create(&thread, NULL, wait_for_it, &s), 0);
        if (i % 2)
            crewtest_pause();
        assert_int_equal(crew_sem_destroy(s), 0);
        assert_int_equal(pthread_join(thread, &rc), 0);
        assert_int_equal((intptr_t)rc, CREW_EINVAL);
    }
}

/* Polls and gives back with whatever handle it finds, which may be stale. */
static void *poll_old(void *arg) {
    const crew_sem *shared = arg;
    while (!crewtest_get(CELL_STOP)) {
        crew_sem s = {.place = __atomic_load_n(&shared->place, __ATOMIC_RELAXED),
                      .check = __atomic_load_n(&shared->check, __ATOMIC_RELAXED)};
        crew_sem_acquire(s, 0);
    }
    return NULL;
}

static void
sem__made_anew_in_the_same_place__loses_no_permit_to_users_of_the_old_one(void **state) {
    crew_sem s, shared;
    pthread_t thread;
    (void)state;
    assert_int_equal(crew_sem_create(&s, 1, 0), 0);
    shared = s;
    crewtest_set(CELL_STOP, 0);
    assert_int_equal(pthread_create(&thread, NULL, poll_old, &shared), 0);
    for (int64_t i = 0; i < crewtest_many(20000); i++) {
        assert_int_equal(crew_sem_destroy(s), 0);
        crew_sem old = s;
        assert_int_equal(crew_sem_create(&s, 1, 0), 0);
        assert_int_equal(s.place, old.place);
        for (int look = 0; look < 10; look++)
            assert_int_equal(crew_sem_value(s), 1);
        /* From now on it is theirs too. */
        __atomic_store_n(&shared.check, s.check, __ATOMIC_RELAXED);
    }
    crewtest_set(CELL_STOP, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(crew_sem_destroy(s), 0);
}

static int give(crew_call *call) {
    return crew_sem_release(*CREW_IN(call, crew_sem)) == 0 ? 0 : 1;
}

static void sem__given_by_a_worker__is_taken_here(void **state) {
    crew_sem s;
    crew_error err;
    (void)state;
    assert_int_equal(crew_sem_create(&s, 0, 0), 0);
    crew_pool *p = crewtest_open(2);
    for (int i = 0; i < 100; i++) {
        crew_future *f = crew_submit(p, give, &s, sizeof s, NULL, &err);
        assert_non_null(f);
        assert_int_equal(crew_sem_acquire(s, 30), 0);
        assert_ok(crew_future_result(f, NULL, 0, 30, &err), &err);
        crew_future_free(f);
    }
    assert_int_equal(crew_sem_value(s), 0);
    crewtest_free(p);
    assert_int_equal(crew_sem_destroy(s), 0);
}

struct pair {
    crew_sem ping, pong;
};

static int answer_each(crew_call *call) {
    struct pair pair = *CREW_IN(call, struct pair);
    for (int i = 0; i < ROUNDS; i++)
        if (crew_sem_acquire(pair.ping, 30) != 0 || crew_sem_release(pair.pong) != 0)
            return 1;
    return 0;
}

static void sem__to_and_fro__every_release_wakes_the_other(void **state) {
    struct pair pair;
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    assert_int_equal(crew_sem_create(&pair.ping, 0, 1), 0);
    assert_int_equal(crew_sem_create(&pair.pong, 0, 1), 0);
    crew_pool *p = crewtest_open(1);
    crew_future *f = crew_submit(p, answer_each, &pair, sizeof pair, NULL, &err);
    assert_non_null(f);
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(crew_sem_release(pair.ping), 0);
        assert_int_equal(crew_sem_acquire(pair.pong, 30), 0);
    }
    assert_ok(crew_future_result(f, NULL, 0, 30, &err), &err);
    crew_future_free(f);
    crewtest_free(p);
    assert_int_equal(crew_sem_destroy(pair.ping), 0);
    assert_int_equal(crew_sem_destroy(pair.pong), 0);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(sem__many_workers__no_more_inside_than_permits),
        CREWTEST(sem__unbounded__may_have_more_than_it_began_with),
        CREWTEST(sem__bounded__refuses_one_release_too_many),
        CREWTEST(sem__no_permit__waits_as_long_as_it_was_told),
        CREWTEST(sem__bad_requests__are_errors_in_a_sentence),
        CREWTEST(sem__destroyed_under_a_waiter__the_waiter_hears_of_it),
        CREWTEST(sem__made_anew_in_the_same_place__loses_no_permit_to_users_of_the_old_one),
        CREWTEST(sem__given_by_a_worker__is_taken_here),
        CREWTEST(sem__to_and_fro__every_release_wakes_the_other),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
