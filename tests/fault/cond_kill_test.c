/* fault/cond_kill_test.c - who waits for a condition, or notifies, is killed. */
#include "crewtest.h"
#include "hammer.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { CELL_PID = CELL_OWN, CELL_ITEMS, CELL_TAKEN, CELL_END, CELL_NEWS, CELL_TESTS };

struct scene {
    crew_lock lock;
    crew_cond cond, room;
    crew_sem sleeping;
};

static void open_scene(struct scene *s) {
    assert_int_equal(crew_lock_create(&s->lock), 0);
    assert_int_equal(crew_cond_create(&s->cond, s->lock), 0);
    assert_int_equal(crew_cond_create(&s->room, s->lock), 0);
    assert_int_equal(crew_sem_create(&s->sleeping, 0, 0), 0);
    crewtest_set(CELL_PID, 0);
}

static void close_scene(const struct scene *s) {
    assert_int_equal(crew_cond_destroy(s->cond), 0);
    assert_int_equal(crew_cond_destroy(s->room), 0);
    assert_int_equal(crew_lock_destroy(s->lock), 0);
    assert_int_equal(crew_sem_destroy(s->sleeping), 0);
}

/* As it was made: nobody waits, the lock is free, a notify reaches nobody. */
static void at_rest(const struct scene *s) {
    assert_true(crew_lock_acquire(s->lock, 5) >= 0);
    assert_int_equal(crew_cond_notify_all(s->cond), 0);
    assert_int_equal(crew_cond_wait(s->cond, 0.01), CREW_ETIMEDOUT);
    assert_int_equal(crew_lock_release(s->lock), 0);
}

static int sleeper(crew_call *call) {
    const struct scene *s = CREW_IN(call, struct scene);
    int rc = crew_lock_acquire(s->lock, 30);
    if (rc < 0)
        return crew_fail(call, 1, "%d", rc);
    crewtest_set(CELL_PID, getpid());
    crew_sem_release(s->sleeping);
    rc = crew_cond_wait(s->cond, 30);
    if (crew_lock_release(s->lock) != 0)
        return 2;
    return rc >= 0 ? 0 : crew_fail(call, 3, "%d", rc);
}

/* Waits in a worker; its process. */
static crew_future *begin_sleeper(crew_pool *p, const struct scene *s, pid_t *pid) {
    crew_error err;
    crew_future *f = crew_submit(p, sleeper, s, sizeof *s, NULL, &err);
    assert_non_null(f);
    assert_int_equal(crew_sem_acquire(s->sleeping, 30), 0);
    *pid = (pid_t)crewtest_get(CELL_PID);
    return f;
}

/* One notify, two waiters: the one who waits longest dies before or after it. */
static void killed_around_a_notify(bool before) {
    struct scene s;
    crew_error err;
    open_scene(&s);
    crew_pool *p = crewtest_open(2);
    for (int i = 0; i < 20; i++) {
        pid_t first, second;
        crew_future *f[2] = {begin_sleeper(p, &s, &first), begin_sleeper(p, &s, &second)};
        assert_true(crew_lock_acquire(s.lock, 30) >= 0);
        double from = crewtest_now();
        if (before)
            assert_int_equal(kill(first, SIGKILL), 0);
        assert_int_equal(crew_cond_notify(s.cond, 1), 0);
        if (!before)
            assert_int_equal(kill(first, SIGKILL), 0);
        if (i % 2) /* it is buried while the lock is held */
            assert_code(crew_future_result(f[0], NULL, 0, 30, &err), CREW_EDIED, &err);
        assert_int_equal(crew_lock_release(s.lock), 0);
        assert_ok(crew_future_result(f[1], NULL, 0, 20, &err), &err);
        assert_within(from, 10);
        assert_code(crew_future_result(f[0], NULL, 0, 30, &err), CREW_EDIED, &err);
        crew_future_free(f[0]);
        crew_future_free(f[1]);
        at_rest(&s);
    }
    crewtest_free(p);
    close_scene(&s);
}

static void cond__waiter_killed_before_a_notify__the_next_gets_it(void **state) {
    (void)state;
    killed_around_a_notify(true);
}

static void cond__waiter_killed_after_a_notify__the_next_gets_it(void **state) {
    (void)state;
    killed_around_a_notify(false);
}

static int take_lock_and_die(crew_call *call) {
    const struct scene *s = CREW_IN(call, struct scene);
    if (crew_lock_acquire(s->lock, 30) >= 0)
        raise(SIGKILL);
    return 1;
}

static int take_lock_notify_and_die(crew_call *call) {
    const struct scene *s = CREW_IN(call, struct scene);
    if (crew_lock_acquire(s->lock, 30) >= 0 && crew_cond_notify(s->cond, 1) == 0)
        raise(SIGKILL);
    return 1;
}

static bool never(void *ctx) {
    (void)ctx;
    crewtest_add(CELL_TESTS, 1);
    return false;
}

/* The lock's holder dies while this thread waits: that is told first, whatever else
 * the wait came to. */
static void lock_dies_during(crew_fn *fn, double timeout, bool with_test) {
    struct scene s;
    crew_error err;
    open_scene(&s);
    crewtest_set(CELL_TESTS, 0);
    crew_pool *p = crewtest_open(1);
    assert_int_equal(crew_lock_acquire(s.lock, 0), 0);
    crew_future *f = crew_submit(p, fn, &s, sizeof s, NULL, &err);
    assert_non_null(f);
    double from = crewtest_now();
    int rc = with_test ? crew_cond_wait_for(s.cond, never, NULL, timeout)
                       : crew_cond_wait(s.cond, timeout);
    assert_int_equal(rc, CREW_OWNERDEAD);
    assert_within(from, 10);
    assert_int_equal(crew_lock_acquire(s.lock, 0), CREW_ETIMEDOUT);
    assert_int_equal(crewtest_get(CELL_TESTS), with_test ? 1 : 0);
    assert_int_equal(crew_cond_wait(s.cond, 0), CREW_ETIMEDOUT);
    assert_int_equal(crew_lock_release(s.lock), 0);
    assert_code(crew_future_result(f, NULL, 0, 30, &err), CREW_EDIED, &err);
    crew_future_free(f);
    crewtest_free(p);
    close_scene(&s);
}

static void cond__lock_holder_dies__a_wait_ends_with_the_news(void **state) {
    (void)state;
    lock_dies_during(take_lock_and_die, 1, false); /* over, but that is not the news */
    lock_dies_during(take_lock_notify_and_die, CREW_FOREVER, false);
    lock_dies_during(take_lock_notify_and_die, CREW_FOREVER, true);
    lock_dies_during(take_lock_notify_and_die, 30, true);
}

static int die(crew_call *call) {
    (void)call;
    raise(SIGKILL);
    return 0;
}

static void cond__peer_dies_without_a_notify__a_wait_with_a_limit_is_over_in_time(void **state) {
    struct scene s;
    crew_error err;
    (void)state;
    open_scene(&s);
    crew_pool *p = crewtest_open(1);
    assert_int_equal(crew_lock_acquire(s.lock, 0), 0);
    crew_future *f = crew_submit(p, die, NULL, 0, NULL, &err);
    assert_non_null(f);
    double from = crewtest_now();
    assert_int_equal(crew_cond_wait(s.cond, 0.5), CREW_ETIMEDOUT);
    assert_true(crewtest_now() - from >= 0.499);
    assert_within(from, 5);
    assert_int_equal(crew_lock_release(s.lock), 0);
    assert_code(crew_future_result(f, NULL, 0, 30, &err), CREW_EDIED, &err);
    crew_future_free(f);
    crewtest_free(p);
    close_scene(&s);
}

/* One makes items, the others take them; there is room for one. Each change notifies
 * one, so a notify that is lost stops all of them. Who is told that a holder died
 * cannot know whether that one still had to notify: it notifies all. */
static bool told(const struct scene *s, int rc) {
    if (rc != CREW_OWNERDEAD)
        return rc == 0;
    crewtest_add(CELL_NEWS, 1);
    return crew_cond_notify_all(s->cond) == 0 && crew_cond_notify_all(s->room) == 0;
}

/* The replacement of a taker stands back until the others have gone on without it:
 * else it would take the item whose notify the dead one took with it. */
static bool others_go_on(const struct scene *s) {
    int64_t taken = crewtest_get(CELL_TAKEN);
    double from = crewtest_now();
    if (!told(s, crew_lock_acquire(s->lock, CREW_FOREVER)) || crew_lock_release(s->lock) != 0)
        return false;
    while (crewtest_get(CELL_TAKEN) < taken + 2 && !crewtest_get(CELL_END)) {
        if (crewtest_now() - from > HAMMER_LIMIT_S)
            return false;
        usleep(20);
    }
    return true;
}

static int hammer_items(crew_call *call) {
    const struct scene *s = CREW_COMMON(call, struct scene);
    bool makes = call->index == 0;
    if (call->attempt > 1 && !makes && !others_go_on(s))
        return crew_fail(call, 5, "the others do not go on");
    while (hammer_on(call)) {
        if (!told(s, crew_lock_acquire(s->lock, CREW_FOREVER)))
            return crew_fail(call, 1, "acquire: %s", crew_last_error()->text);
        while (crewtest_get(CELL_ITEMS) == (makes ? 1 : 0) && !crewtest_get(CELL_END))
            if (!told(s, crew_cond_wait(makes ? s->room : s->cond, CREW_FOREVER)))
                return crew_fail(call, 2, "wait: %s", crew_last_error()->text);
        if (!crewtest_get(CELL_END))
            crewtest_set(CELL_ITEMS, makes ? 1 : 0);
        if (!makes)
            crewtest_add(CELL_TAKEN, 1);
        if (crew_cond_notify(makes ? s->cond : s->room, 1) != 0 ||
            crew_lock_release(s->lock) != 0)
            return crew_fail(call, 3, "release: %s", crew_last_error()->text);
    }
    if (!told(s, crew_lock_acquire(s->lock, CREW_FOREVER)))
        return 4;
    crewtest_set(CELL_END, 1);
    crew_cond_notify_all(s->cond);
    crew_cond_notify_all(s->room);
    return crew_lock_release(s->lock);
}

static void cond__users_killed_anywhere__no_notify_is_lost(void **state) {
    struct scene s;
    (void)state;
    open_scene(&s);
    crewtest_set(CELL_ITEMS, 0);
    crewtest_set(CELL_END, 0);
    crewtest_set(CELL_NEWS, 0);
    const struct hammer h = {.task = hammer_items, .common = &s, .common_size = sizeof s};
    hammer_run(&h);
    print_message("told of %ld deaths\n", (long)crewtest_get(CELL_NEWS));
    at_rest(&s);
    close_scene(&s);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(cond__waiter_killed_before_a_notify__the_next_gets_it),
        CREWTEST(cond__waiter_killed_after_a_notify__the_next_gets_it),
        CREWTEST(cond__lock_holder_dies__a_wait_ends_with_the_news),
        CREWTEST(cond__peer_dies_without_a_notify__a_wait_with_a_limit_is_over_in_time),
        CREWTEST(cond__users_killed_anywhere__no_notify_is_lost),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
