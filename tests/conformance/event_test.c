/* conformance/event_test.c - events between the workers of any backend. */
#include "crewtest.h"

#include <pthread.h>
#include <unistd.h>

enum { CELL_READY = CELL_OWN, CELL_PASSED, WAITERS = 4 };

static void event__set_and_cleared__waits_end_or_time_out(void **state) {
    crew_event e;
    (void)state;
    assert_int_equal(crew_event_create(&e), 0);
    assert_int_equal(crew_event_is_set(e), 0);
    double from = crewtest_now();
    assert_int_equal(crew_event_wait(e, 0), CREW_ETIMEDOUT);
    assert_within(from, 1);
    assert_text(crew_last_error()->text, "set the event");
    from = crewtest_now();
    assert_int_equal(crew_event_wait(e, 0.1), CREW_ETIMEDOUT);
    assert_true(crewtest_now() - from >= 0.099);
    assert_within(from, 5);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(crew_event_set(e), 0);
        assert_int_equal(crew_event_is_set(e), 1);
    }
    assert_int_equal(crew_event_wait(e, CREW_FOREVER), 0);
    assert_int_equal(crew_event_wait(e, 0), 0);
    assert_int_equal(crew_event_is_set(e), 1);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(crew_event_clear(e), 0);
        assert_int_equal(crew_event_is_set(e), 0);
    }
    assert_int_equal(crew_event_wait(e, 0), CREW_ETIMEDOUT);
    assert_int_equal(crew_event_destroy(e), 0);
}

static int set_it(crew_call *call) {
    return crew_event_set(*CREW_IN(call, crew_event)) == 0 ? 0 : 1;
}

static void event__set_by_a_worker__ends_the_wait_here(void **state) {
    crew_event e;
    crew_error err;
    (void)state;
    assert_int_equal(crew_event_create(&e), 0);
    crew_pool *p = crewtest_open(1);
    for (int i = 0; i < 100; i++) {
        crew_future *f = crew_submit(p, set_it, &e, sizeof e, NULL, &err);
        assert_non_null(f);
        assert_int_equal(crew_event_wait(e, 30), 0);
        assert_ok(crew_future_result(f, NULL, 0, 30, &err), &err);
        crew_future_free(f);
        assert_int_equal(crew_event_clear(e), 0);
    }
    crewtest_free(p);
    assert_int_equal(crew_event_destroy(e), 0);
}

static int wait_in_task(crew_call *call) {
    crewtest_add(CELL_READY, 1);
    if (crew_event_wait(*CREW_COMMON(call, crew_event), 30) != 0)
        return 1;
    crewtest_add(CELL_PASSED, 1);
    return 0;
}

static void event__many_workers_wait__one_set_releases_all(void **state) {
    crew_event e;
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC | CREWTEST_MANY);
    crewtest_set(CELL_READY, 0);
    crewtest_set(CELL_PASSED, 0);
    assert_int_equal(crew_event_create(&e), 0);
    crew_pool *p = crewtest_open(WAITERS);
    crew_map_opts opts = {.common = &e, .common_size = sizeof e, .chunk = 1};
    crew_job *job = crew_map_async(p, wait_in_task, NULL, 0, WAITERS, NULL, 0, &opts, &err);
    assert_non_null(job);
    assert_true(crewtest_reached(CELL_READY, WAITERS, 30));
    assert_int_equal(crewtest_get(CELL_PASSED), 0);
    assert_int_equal(crew_event_set(e), 0);
    assert_ok(crew_job_get(job, 30, &err), &err);
    assert_int_equal(crewtest_get(CELL_PASSED), WAITERS);
    crew_job_free(job);
    crewtest_free(p);
    assert_int_equal(crew_event_destroy(e), 0);
}

static void *wait_for_it(void *arg) {
    crewtest_set(CELL_READY, gettid());
    return (void *)(intptr_t)crew_event_wait(*(crew_event *)arg, 30);
}

/* Who sleeps is not there to see the flag while it is up. */
static void event__set_and_cleared_at_once__releases_those_who_waited(void **state) {
    crew_event e;
    pthread_t thread;
    void *rc;
    (void)state;
    assert_int_equal(crew_event_create(&e), 0);
    for (int i = 0; i < 200; i++) {
        crewtest_set(CELL_READY, 0);
        assert_int_equal(pthread_create(&thread, NULL, wait_for_it, &e), 0);
        CREWTEST_WAIT(crewtest_get(CELL_READY) &&
                          crewtest_state((pid_t)crewtest_get(CELL_READY)) == 'S', 30);
        double from = crewtest_now();
        assert_int_equal(crew_event_set(e), 0);
        assert_int_equal(crew_event_clear(e), 0);
        assert_int_equal(pthread_join(thread, &rc), 0);
        assert_int_equal((intptr_t)rc, 0);
        assert_within(from, 10);
    }
    assert_int_equal(crew_event_destroy(e), 0);
}

static void event__destroyed_under_a_waiter__the_waiter_hears_of_it(void **state) {
    crew_event e, next;
    pthread_t thread;
    void *rc;
    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(crew_event_create(&e), 0);
        assert_int_equal(pthread_create(&thread, NULL, wait_for_it, &e), 0);
        if (i % 2)
            crewtest_pause();
        assert_int_equal(crew_event_destroy(e), 0);
        assert_int_equal(crew_event_create(&next), 0);
        assert_int_equal(crew_event_set(next), 0); /* is none of theirs */
        assert_int_equal(pthread_join(thread, &rc), 0);
        assert_int_equal((intptr_t)rc, CREW_EINVAL);
        assert_int_equal(crew_event_destroy(next), 0);
    }
}

static void event__stale_handles__are_errors_in_a_sentence(void **state) {
    crew_event e, next, none = {0};
    (void)state;
    assert_int_equal(crew_event_create(NULL), CREW_EINVAL);
    assert_int_equal(crew_event_create(&e), 0);
    assert_int_equal(crew_event_destroy(e), 0);
    assert_int_equal(crew_event_destroy(e), CREW_EINVAL);
    assert_int_equal(crew_event_create(&next), 0);
    assert_int_equal(next.place, e.place);
    assert_int_equal(crew_event_set(e), CREW_EINVAL);
    assert_text(crew_last_error()->text, "no such event");
    assert_int_equal(crew_event_is_set(next), 0);
    assert_int_equal(crew_event_wait(e, 0), CREW_EINVAL);
    assert_int_equal(crew_event_clear(e), CREW_EINVAL);
    assert_int_equal(crew_event_is_set(e), CREW_EINVAL);
    assert_int_equal(crew_event_set(none), CREW_EINVAL);
    assert_int_equal(crew_event_destroy(next), 0);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(event__set_and_cleared__waits_end_or_time_out),
        CREWTEST(event__set_by_a_worker__ends_the_wait_here),
        CREWTEST(event__many_workers_wait__one_set_releases_all),
        CREWTEST(event__set_and_cleared_at_once__releases_those_who_waited),
        CREWTEST(event__destroyed_under_a_waiter__the_waiter_hears_of_it),
        CREWTEST(event__stale_handles__are_errors_in_a_sentence),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
