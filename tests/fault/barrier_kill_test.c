/* fault/barrier_kill_test.c - who waits at a barrier, or runs its action, is killed. */
#include "crewtest.h"
#include "hammer.h"

#include <signal.h>
#include <unistd.h>

enum { CELL_PID = CELL_OWN, CELL_ACTS = CELL_OWN + 4, CELL_MET, CELL_BROKEN, CELL_LATE };

static int wait_there(crew_call *call) {
    crewtest_set(CELL_PID + call->worker, getpid());
    int rc = crew_barrier_wait(*CREW_COMMON(call, crew_barrier), CREW_FOREVER);
    return rc == CREW_EBROKEN ? 0 : crew_fail(call, 1, "%d", rc);
}

/* Two workers and this thread of four parties; one of the workers dies. */
static void waiter_dies(double timeout) {
    crew_barrier b;
    crew_error err;
    int statuses[2];
    assert_int_equal(crew_barrier_create(&b, 4, NULL), 0);
    crew_pool *p = crewtest_open(2);
    crewtest_set(CELL_PID, 0);
    crew_map_opts opts = {.common = &b, .common_size = sizeof b, .chunk = 1,
                          .on_error = CREW_CONTINUE, .statuses = statuses};
    crew_job *job = crew_map_async(p, wait_there, NULL, 0, 2, NULL, 0, &opts, &err);
    assert_non_null(job);
    CREWTEST_WAIT(crew_barrier_n_waiting(b) == 2, 30);
    double from = crewtest_now();
    assert_int_equal(kill((pid_t)crewtest_get(CELL_PID), SIGKILL), 0);
    assert_int_equal(crew_barrier_wait(b, timeout), CREW_EBROKEN);
    assert_within(from, 3);
    assert_code(crew_job_get(job, 30, &err), CREW_EFAILED, &err);
    /* The other one heard of it too. */
    assert_int_equal(statuses[0] + statuses[1], CREW_EDIED);
    assert_int_equal(crew_barrier_broken(b), 1);
    assert_int_equal(crew_barrier_reset(b), 0);
    assert_int_equal(crew_barrier_broken(b), 0);
    crew_job_free(job);
    crewtest_free(p);
    assert_int_equal(crew_barrier_destroy(b), 0);
}

static void barrier__waiter_killed__it_breaks_for_the_others(void **state) {
    (void)state;
    waiter_dies(CREW_FOREVER);
    waiter_dies(30);
}

/* All parties have come, but one of them is dead, and known to be. */
static void known_to_be_dead(int parties, crew_fn *action) {
    crew_barrier b;
    crew_error err;
    int statuses[2] = {0};
    crewtest_set(CELL_ACTS, 0);
    assert_int_equal(crew_barrier_create(&b, parties, action), 0);
    crew_pool *p = crewtest_open(parties - 1);
    crewtest_set(CELL_PID, 0);
    crew_map_opts opts = {.common = &b, .common_size = sizeof b, .chunk = 1,
                          .on_error = CREW_CONTINUE, .statuses = statuses};
    crew_job *job = crew_map_async(p, wait_there, NULL, 0, parties - 1, NULL, 0, &opts, &err);
    assert_non_null(job);
    CREWTEST_WAIT(crew_barrier_n_waiting(b) == parties - 1, 30);
    pid_t pid = (pid_t)crewtest_get(CELL_PID);
    assert_int_equal(kill(pid, SIGKILL), 0);
    while (crewtest_state(pid))
        ; /* no pause, in which others may hear of it */
    double from = crewtest_now();
    assert_int_equal(crew_barrier_wait(b, CREW_FOREVER), CREW_EBROKEN);
    assert_code(crew_job_get(job, 30, &err), CREW_EFAILED, &err);
    assert_within(from, 3);
    assert_int_equal(statuses[0] + statuses[1], CREW_EDIED);
    assert_int_equal(crewtest_get(CELL_ACTS), 0);
    crew_job_free(job);
    crewtest_free(p);
    assert_int_equal(crew_barrier_destroy(b), 0);
}

static int count_act(crew_call *call) {
    (void)call;
    crewtest_add(CELL_ACTS, 1);
    return 0;
}

static void barrier__waiter_known_to_be_dead__nobody_passes(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        known_to_be_dead(2, NULL);
        known_to_be_dead(3, count_act);
    }
}

/* It was counted, and sleeps through the end of its round. */
static void barrier__waiter_killed_when_its_round_is_over__the_next_one_breaks(void **state) {
    crew_barrier b;
    crew_error err;
    (void)state;
    assert_int_equal(crew_barrier_create(&b, 2, NULL), 0);
    crew_pool *p = crewtest_open(1);
    crewtest_set(CELL_PID, 0);
    crew_map_opts opts = {.common = &b, .common_size = sizeof b};
    crew_job *job = crew_map_async(p, wait_there, NULL, 0, 1, NULL, 0, &opts, &err);
    assert_non_null(job);
    CREWTEST_WAIT(crew_barrier_n_waiting(b) == 1, 30);
    pid_t pid = (pid_t)crewtest_get(CELL_PID);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    CREWTEST_WAIT(crewtest_state(pid) == 'T', 30);
    assert_int_equal(crew_barrier_wait(b, 0), 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    double from = crewtest_now();
    assert_int_equal(crew_barrier_wait(b, CREW_FOREVER), CREW_EBROKEN);
    assert_within(from, 3);
    assert_code(crew_job_get(job, 30, &err), CREW_EDIED, &err);
    assert_int_equal(crew_barrier_reset(b), 0);
    assert_int_equal(crew_barrier_wait(b, 0.7), CREW_ETIMEDOUT); /* and is not broken again */
    crew_job_free(job);
    crewtest_free(p);
    assert_int_equal(crew_barrier_destroy(b), 0);
}

static int die_acting(crew_call *call) {
    (void)call;
    raise(SIGKILL);
    return 0;
}

/* The action waits for something else, with which its thread is marked then. */
static int die_waiting(crew_call *call) {
    crew_lock lock;
    crew_cond cond;
    if (crew_lock_create(&lock) != 0 || crew_cond_create(&cond, lock) != 0 ||
        crew_lock_acquire(lock, 0) != 0)
        return 1;
    crewtest_set(CELL_PID, getpid());
    return crew_fail(call, 2, "%d", crew_cond_wait(cond, 60));
}

static int come_last(crew_call *call) {
    crew_barrier b = *CREW_IN(call, crew_barrier);
    while (crew_barrier_n_waiting(b) < 1)
        crewtest_pause();
    return crew_barrier_wait(b, CREW_FOREVER) < 0;
}

static void actor_dies(crew_fn *action, double timeout) {
    crew_barrier b;
    crew_error err;
    assert_int_equal(crew_barrier_create(&b, 2, action), 0);
    crewtest_set(CELL_PID, 0);
    crew_pool *p = crewtest_open(2);
    crew_future *f = crew_submit(p, come_last, &b, sizeof b, NULL, &err);
    assert_non_null(f);
    double from = crewtest_now();
    assert_int_equal(crew_barrier_wait(b, timeout), CREW_EBROKEN);
    assert_within(from, 10);
    assert_code(crew_future_result(f, NULL, 0, 30, &err), CREW_EDIED, &err);
    crew_future_free(f);
    crewtest_free(p);
    assert_int_equal(crew_barrier_destroy(b), 0);
}

static int kill_actor(crew_call *call) {
    (void)call;
    double from = crewtest_now();
    pid_t pid;
    while (!(pid = (pid_t)crewtest_get(CELL_PID)) || crewtest_state(pid) != 'S') {
        if (crewtest_now() - from > 30)
            return 1;
        crewtest_pause();
    }
    return kill(pid, SIGKILL);
}

static void barrier__killed_in_the_action__it_breaks_for_the_others(void **state) {
    crew_error err;
    (void)state;
    actor_dies(die_acting, CREW_FOREVER);
    actor_dies(die_acting, 30);
    crewtest_set(CELL_PID, 0);
    crew_pool *p = crewtest_open(1);
    crew_future *f = crew_submit(p, kill_actor, NULL, 0, NULL, &err);
    assert_non_null(f);
    actor_dies(die_waiting, CREW_FOREVER);
    assert_ok(crew_future_result(f, NULL, 0, 30, &err), &err);
    crew_future_free(f);
    crewtest_free(p);
}

static void barrier__party_dies_elsewhere__a_wait_with_a_limit_is_over_in_time(void **state) {
    crew_barrier b;
    crew_error err;
    (void)state;
    assert_int_equal(crew_barrier_create(&b, 2, NULL), 0);
    crew_pool *p = crewtest_open(1);
    crew_future *f = crew_submit(p, die_acting, NULL, 0, NULL, &err);
    assert_non_null(f);
    double from = crewtest_now();
    assert_int_equal(crew_barrier_wait(b, 0.5), CREW_ETIMEDOUT);
    assert_true(crewtest_now() - from >= 0.499);
    assert_within(from, 5);
    assert_code(crew_future_result(f, NULL, 0, 30, &err), CREW_EDIED, &err);
    crew_future_free(f);
    crewtest_free(p);
    assert_int_equal(crew_barrier_destroy(b), 0);
}

/* Three parties; a death breaks the round, somebody mends it, the replacement comes.
 * Now and then one has no patience. */
static int hammer_rounds(crew_call *call) {
    crew_barrier b = *CREW_COMMON(call, crew_barrier);
    uint64_t chance = crewtest_mix((uint64_t)getpid());
    while (hammer_on(call)) {
        chance = crewtest_mix(chance);
        int rc = crew_barrier_wait(b, chance % 1000 ? CREW_FOREVER : 0.001);
        crewtest_add(rc == 0                ? CELL_MET
                     : rc == CREW_ETIMEDOUT ? CELL_LATE
                                            : CELL_BROKEN, 1);
        if (rc != 0 && rc != CREW_EBROKEN && rc != CREW_ETIMEDOUT)
            return crew_fail(call, 1, "wait: %d %s", rc, crew_last_error()->text);
        if (rc != 0 && crew_barrier_broken(b) == 1 && crew_barrier_reset(b) != 0)
            return crew_fail(call, 2, "reset: %s", crew_last_error()->text);
    }
    return crew_barrier_abort(b);
}

static void hammer(crew_fn *action) {
    crew_barrier b;
    for (int64_t cell = CELL_ACTS; cell <= CELL_LATE; cell++)
        crewtest_set(cell, 0);
    assert_int_equal(crew_barrier_create(&b, HAMMER_WORKERS, action), 0);
    const struct hammer h = {.task = hammer_rounds, .common = &b, .common_size = sizeof b};
    hammer_run(&h);
    print_message("%ld waits passed, %ld were broken, %ld too long\n", (long)crewtest_get(CELL_MET),
                  (long)crewtest_get(CELL_BROKEN), (long)crewtest_get(CELL_LATE));
    if (action) /* who was killed did not count that it has passed */
        assert_true(crewtest_get(CELL_MET) <= HAMMER_WORKERS * crewtest_get(CELL_ACTS));
    assert_int_equal(crew_barrier_destroy(b), 0);
}

static void barrier__parties_killed_anywhere__rounds_go_on(void **state) {
    (void)state;
    hammer(NULL);
}

static void barrier__parties_killed_anywhere__nobody_passes_without_the_action(void **state) {
    (void)state;
    hammer(count_act);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(barrier__waiter_killed__it_breaks_for_the_others),
        CREWTEST(barrier__waiter_known_to_be_dead__nobody_passes),
        CREWTEST(barrier__waiter_killed_when_its_round_is_over__the_next_one_breaks),
        CREWTEST(barrier__killed_in_the_action__it_breaks_for_the_others),
        CREWTEST(barrier__party_dies_elsewhere__a_wait_with_a_limit_is_over_in_time),
        CREWTEST(barrier__parties_killed_anywhere__rounds_go_on),
        CREWTEST(barrier__parties_killed_anywhere__nobody_passes_without_the_action),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
