/* fault/sem_kill_test.c - who holds a permit, or waits for one, is killed. */
#include "crewtest.h"
#include "hammer.h"

#include <signal.h>
#include <unistd.h>

enum {
    CELL_PID = CELL_OWN,
    CELL_PAUSE,    /* the workers stop outside until it changes */
    CELL_LOST,     /* permits */
    CELL_PARKED = CELL_WORKER + 192, /* one a worker: the pause it has seen */
    PERMITS = 2
};

static int take_and_die(crew_call *call) {
    if (crew_sem_acquire(*CREW_IN(call, crew_sem), CREW_FOREVER) == 0)
        raise(SIGKILL);
    return 1;
}

static void sem__holder_killed__its_permit_is_gone(void **state) {
    crew_sem s;
    crew_error err;
    (void)state;
    assert_int_equal(crew_sem_create(&s, 1, 1), 0);
    crew_pool *p = crewtest_open(1);
    assert_code(crew_apply(p, take_and_die, &s, sizeof s, NULL, 0, &err), CREW_EDIED, &err);
    double from = crewtest_now();
    assert_int_equal(crew_sem_acquire(s, 0.2), CREW_ETIMEDOUT);
    assert_within(from, 5);
    assert_int_equal(crew_sem_value(s), 0);
    /* A survivor may give it back in the dead one's place. */
    assert_int_equal(crew_sem_release(s), 0);
    assert_int_equal(crew_sem_acquire(s, 5), 0);
    crewtest_free(p);
    assert_int_equal(crew_sem_destroy(s), 0);
}

static int wait_for_one(crew_call *call) {
    crewtest_set(CELL_PID, getpid());
    return crew_sem_acquire(*CREW_IN(call, crew_sem), 30) == 0 ? 0 : 1;
}

static void sem__waiter_killed__the_next_gets_the_permit(void **state) {
    crew_sem s;
    crew_error err;
    (void)state;
    assert_int_equal(crew_sem_create(&s, 0, 0), 0);
    crew_pool *p = crewtest_open(2);
    for (int i = 0; i < 20; i++) {
        crew_future *f[2];
        pid_t pid;
        crewtest_set(CELL_PID, 0);
        f[0] = crew_submit(p, wait_for_one, &s, sizeof s, NULL, &err);
        assert_non_null(f[0]);
        CREWTEST_WAIT((pid = (pid_t)crewtest_get(CELL_PID)) > 0, 30);
        f[1] = crew_submit(p, wait_for_one, &s, sizeof s, NULL, &err);
        assert_non_null(f[1]);
        CREWTEST_WAIT(crewtest_get(CELL_PID) != pid, 30);
        /* The one who dies may be the one who is woken. */
        double from = crewtest_now();
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(crew_sem_release(s), 0);
        assert_ok(crew_future_result(f[1], NULL, 0, 30, &err), &err);
        assert_within(from, 10);
        assert_code(crew_future_result(f[0], NULL, 0, 30, &err), CREW_EDIED, &err);
        assert_int_equal(crew_sem_value(s), 0);
        crew_future_free(f[0]);
        crew_future_free(f[1]);
    }
    crewtest_free(p);
    assert_int_equal(crew_sem_destroy(s), 0);
}

static int hammer_sem(crew_call *call) {
    crew_sem s = *CREW_COMMON(call, crew_sem);
    while (hammer_on(call)) {
        int64_t pause = crewtest_get(CELL_PAUSE);
        if (pause) {
            crewtest_set(CELL_PARKED + call->worker, pause);
            usleep(20);
            continue;
        }
        int rc = crew_sem_acquire(s, CREW_FOREVER);
        for (int i = 0; i < 1000; i++) /* as long as the rest of the round */
            __asm__ volatile("" : "+r"(i));
        if (rc != 0 || (rc = crew_sem_release(s)) != 0)
            return crew_fail(call, 1, "%d: %s", rc, crew_last_error()->text);
    }
    return 0;
}

/* With all workers outside it has its permits but the one that the dead worker may
 * have held: no more are lost, and there are never more. That one is given back. */
static void count_permits(void *ctx, int64_t kill) {
    crew_sem s = *(crew_sem *)ctx;
    crewtest_set(CELL_PAUSE, kill + 1);
    for (int w = 0; w < HAMMER_WORKERS; w++)
        CREWTEST_WAIT(crewtest_get(CELL_PARKED + w) == kill + 1, HAMMER_LIMIT_S);
    int64_t left = crew_sem_value(s);
    assert_in_range(left, PERMITS - 1, PERMITS);
    for (; left < PERMITS; left++) {
        assert_int_equal(crew_sem_release(s), 0);
        crewtest_add(CELL_LOST, 1);
    }
    crewtest_set(CELL_PAUSE, 0);
}

static void sem__users_killed_anywhere__lose_what_they_held_and_no_more(void **state) {
    crew_sem s;
    (void)state;
    crewtest_set(CELL_PAUSE, 0);
    crewtest_set(CELL_LOST, 0);
    for (int w = 0; w < HAMMER_WORKERS; w++)
        crewtest_set(CELL_PARKED + w, 0);
    assert_int_equal(crew_sem_create(&s, PERMITS, PERMITS), 0);
    const struct hammer h = {.task = hammer_sem,
                             .common = &s,
                             .common_size = sizeof s,
                             .kills = crewtest_many(crewtest_long() ? 20000 : 300),
                             .check = count_permits,
                             .ctx = &s};
    hammer_run(&h);
    print_message("%ld permits went with their holders\n", (long)crewtest_get(CELL_LOST));
    assert_int_equal(crew_sem_destroy(s), 0);
}

/* A token goes round: each waits for the one before it. What a worker takes it
 * gives at once, and a replacement gives one first, since the dead one may have held
 * it: so there is always one, and every wait ends. */
struct ring {
    crew_sem at[HAMMER_WORKERS];
};

static int hammer_ring(crew_call *call) {
    const struct ring *ring = CREW_COMMON(call, struct ring);
    crew_sem mine = ring->at[call->index], next = ring->at[(call->index + 1) % HAMMER_WORKERS];
    crew_sem_release(next);
    while (hammer_on(call)) {
        int rc = crew_sem_acquire(mine, CREW_FOREVER);
        if (rc != 0)
            return crew_fail(call, 1, "acquire: %d %s", rc, crew_last_error()->text);
        crew_sem_release(next); /* of a bounded one: a second token is dropped */
    }
    crew_sem_release(next);
    return 0;
}

static void sem__waiters_killed_anywhere__no_wake_up_is_lost(void **state) {
    struct ring ring;
    (void)state;
    for (int i = 0; i < HAMMER_WORKERS; i++)
        assert_int_equal(crew_sem_create(&ring.at[i], 0, 1), 0);
    const struct hammer h = {.task = hammer_ring, .common = &ring, .common_size = sizeof ring};
    hammer_run(&h);
    for (int i = 0; i < HAMMER_WORKERS; i++)
        assert_int_equal(crew_sem_destroy(ring.at[i]), 0);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(sem__holder_killed__its_permit_is_gone),
        CREWTEST(sem__waiter_killed__the_next_gets_the_permit),
        CREWTEST(sem__users_killed_anywhere__lose_what_they_held_and_no_more),
        CREWTEST(sem__waiters_killed_anywhere__no_wake_up_is_lost),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
