/* fault/event_kill_test.c - who waits for an event, or sets it, is killed. */
#include "crewtest.h"
#include "hammer.h"

#include <signal.h>
#include <unistd.h>

enum { CELL_PID = CELL_OWN };

static int wait_for_it(crew_call *call) {
    crewtest_set(CELL_PID + call->worker, getpid());
    return crew_event_wait(*CREW_COMMON(call, crew_event), 30) == 0 ? 0 : 1;
}

static void event__waiter_killed__the_others_are_released(void **state) {
    crew_event e;
    crew_error err;
    (void)state;
    assert_int_equal(crew_event_create(&e), 0);
    crew_pool *p = crewtest_open(3);
    for (int w = 0; w < 3; w++)
        crewtest_set(CELL_PID + w, 0);
    int statuses[3];
    crew_map_opts opts = {.common = &e, .common_size = sizeof e, .chunk = 1,
                          .on_error = CREW_CONTINUE, .statuses = statuses};
    crew_job *job = crew_map_async(p, wait_for_it, NULL, 0, 3, NULL, 0, &opts, &err);
    assert_non_null(job);
    for (int w = 0; w < 3; w++)
        CREWTEST_WAIT(crewtest_get(CELL_PID + w), 30);
    double from = crewtest_now();
    assert_int_equal(kill((pid_t)crewtest_get(CELL_PID), SIGKILL), 0);
    assert_int_equal(crew_event_set(e), 0);
    assert_code(crew_job_get(job, 30, &err), CREW_EFAILED, &err);
    assert_within(from, 10);
    int dead = 0;
    for (int i = 0; i < 3; i++)
        dead += statuses[i] == CREW_EDIED;
    assert_int_equal(dead, 1);
    crew_job_free(job);
    crewtest_free(p);
    assert_int_equal(crew_event_destroy(e), 0);
}

static int die_before_setting(crew_call *call) {
    (void)call;
    raise(SIGKILL);
    return 0;
}

static void event__setter_dies__a_wait_with_a_limit_is_over_in_time(void **state) {
    crew_event e;
    crew_error err;
    (void)state;
    assert_int_equal(crew_event_create(&e), 0);
    crew_pool *p = crewtest_open(1);
    crew_future *f = crew_submit(p, die_before_setting, NULL, 0, NULL, &err);
    assert_non_null(f);
    double from = crewtest_now();
    assert_int_equal(crew_event_wait(e, 0.5), CREW_ETIMEDOUT);
    assert_true(crewtest_now() - from >= 0.499);
    assert_within(from, 5);
    assert_code(crew_future_result(f, NULL, 0, 30, &err), CREW_EDIED, &err);
    crew_future_free(f);
    crewtest_free(p);
    assert_int_equal(crew_event_destroy(e), 0);
}

/* A token goes round: each waits for its event, clears it, sets the next one's. A
 * replacement sets the next one's first, as the dead one may have held the token: so
 * there is always one, and every wait ends. */
struct ring {
    crew_event at[HAMMER_WORKERS];
};

static int hammer_ring(crew_call *call) {
    const struct ring *ring = CREW_COMMON(call, struct ring);
    crew_event mine = ring->at[call->index], next = ring->at[(call->index + 1) % HAMMER_WORKERS];
    int rc = crew_event_set(next);
    while (rc == 0 && hammer_on(call)) {
        rc = crew_event_wait(mine, CREW_FOREVER);
        rc = rc ? rc : crew_event_clear(mine);
        rc = rc ? rc : crew_event_set(next);
    }
    if (rc != 0)
        return crew_fail(call, 1, "%d %s", rc, crew_last_error()->text);
    return crew_event_set(next);
}

static void event__users_killed_anywhere__no_wake_up_is_lost(void **state) {
    struct ring ring;
    (void)state;
    for (int i = 0; i < HAMMER_WORKERS; i++)
        assert_int_equal(crew_event_create(&ring.at[i]), 0);
    const struct hammer h = {.task = hammer_ring, .common = &ring, .common_size = sizeof ring};
    hammer_run(&h);
    for (int i = 0; i < HAMMER_WORKERS; i++)
        assert_int_equal(crew_event_destroy(ring.at[i]), 0);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(event__waiter_killed__the_others_are_released),
        CREWTEST(event__setter_dies__a_wait_with_a_limit_is_over_in_time),
        CREWTEST(event__users_killed_anywhere__no_wake_up_is_lost),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
