/* conformance/cond_test.c - conditions between threads and workers of any backend. */
#include "crewtest.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum {
    CELL_STATE = CELL_OWN,
    CELL_ITEMS,
    CELL_TAKEN,
    CELL_ORDER,
    CELL_TESTS,
    THREADS = 3,
    WORKERS = 3,
    ITEMS = 2000
};

struct scene {
    crew_lock lock;
    crew_cond cond, other;
    crew_sem sleeping, woken;
    double timeout;
    int64_t number;
};

static void open_scene(struct scene *s) {
    memset(s, 0, sizeof *s);
    assert_int_equal(crew_lock_create(&s->lock), 0);
    assert_int_equal(crew_cond_create(&s->cond, s->lock), 0);
    assert_int_equal(crew_cond_create(&s->other, s->lock), 0);
    assert_int_equal(crew_sem_create(&s->sleeping, 0, 0), 0);
    assert_int_equal(crew_sem_create(&s->woken, 0, 0), 0);
    s->timeout = 30;
}

static void close_scene(const struct scene *s) {
    assert_int_equal(crew_cond_destroy(s->cond), 0);
    assert_int_equal(crew_cond_destroy(s->other), 0);
    assert_int_equal(crew_lock_destroy(s->lock), 0);
    assert_int_equal(crew_sem_destroy(s->sleeping), 0);
    assert_int_equal(crew_sem_destroy(s->woken), 0);
}

/* Who has said that it sleeps gives up the lock only in its wait: so it waits when
 * somebody else has the lock. What the wait returned. */
static int sleep_once(const struct scene *s) {
    if (crew_lock_acquire(s->lock, 30) != 0 || crew_sem_release(s->sleeping) != 0)
        return 1;
    int rc = crew_cond_wait(s->cond, s->timeout);
    if (crew_sem_release(s->woken) != 0 || crew_lock_release(s->lock) != 0)
        return 2;
    return rc;
}

static int sleeper_task(crew_call *call) {
    int rc = sleep_once(CREW_COMMON(call, struct scene));
    return rc ? crew_fail(call, 1, "%d", rc) : 0;
}

static void *sleeper_thread(void *scene) {
    return (void *)(intptr_t)sleep_once(scene);
}

/* Some threads of this process, and some workers where they run beside it. */
struct crowd {
    struct scene *scene;
    crew_pool *pool;
    crew_job *job;
    pthread_t thread[THREADS];
    int count;
};

static void begin_crowd(struct crowd *c, struct scene *s) {
    crew_error err;
    *c = (struct crowd){.scene = s, .count = THREADS};
    /* Before there are threads: see crewtest_need_fork_beside_threads. */
    if (crewtest_has(CREWTEST_ASYNC | CREWTEST_MANY)) {
        crew_map_opts opts = {.common = s, .common_size = sizeof *s, .chunk = 1,
                              .on_error = CREW_CONTINUE};
        c->pool = crewtest_open(WORKERS);
        c->job = crew_map_async(c->pool, sleeper_task, NULL, 0, WORKERS, NULL, 0, &opts, &err);
        assert_non_null(c->job);
        c->count += WORKERS;
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&c->thread[i], NULL, sleeper_thread, s), 0);
    for (int i = 0; i < c->count; i++)
        assert_int_equal(crew_sem_acquire(s->sleeping, 30), 0);
}

/* All waits returned rc. */
static void end_crowd(struct crowd *c, int rc) {
    crew_error err;
    void *got;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(c->thread[i], &got), 0);
        assert_int_equal((intptr_t)got, rc);
    }
    if (c->job) {
        assert_code(crew_job_get(c->job, 30, &err), rc ? CREW_EFAILED : 0, &err);
        crew_job_free(c->job);
        crewtest_free(c->pool);
    }
}

static void notify(const struct scene *s, int64_t n) {
    assert_int_equal(crew_lock_acquire(s->lock, 30), 0);
    assert_int_equal(crew_cond_notify(s->cond, n), 0);
    assert_int_equal(crew_lock_release(s->lock), 0);
}

static void woken_are(const struct scene *s, int64_t n) {
    CREWTEST_WAIT(crew_sem_value(s->woken) >= n, 30);
    for (int i = 0; i < 20; i++) {
        crewtest_pause();
        assert_int_equal(crew_sem_value(s->woken), n);
    }
}

static void cond__notify_one_after_another__wakes_one_each(void **state) {
    struct scene s;
    struct crowd c;
    (void)state;
    open_scene(&s);
    begin_crowd(&c, &s);
    woken_are(&s, 0);
    for (int i = 1; i <= c.count; i++) {
        notify(&s, 1);
        woken_are(&s, i);
    }
    end_crowd(&c, 0);
    close_scene(&s);
}

static void cond__notify_some__wakes_so_many_and_is_not_kept_for_later(void **state) {
    struct scene s;
    struct crowd c;
    (void)state;
    open_scene(&s);
    begin_crowd(&c, &s);
    notify(&s, 2);
    woken_are(&s, 2);
    notify(&s, 0);
    woken_are(&s, 2);
    notify(&s, c.count);
    woken_are(&s, c.count);
    notify(&s, 3);
    end_crowd(&c, 0);
    assert_int_equal(crew_lock_acquire(s.lock, 0), 0);
    assert_int_equal(crew_cond_notify_all(s.cond), 0);
    assert_int_equal(crew_cond_wait(s.cond, 0.05), CREW_ETIMEDOUT);
    assert_int_equal(crew_lock_release(s.lock), 0);
    close_scene(&s);
}

static void cond__notify_all__wakes_all_after_all_have_timed_out_once(void **state) {
    struct scene s;
    struct crowd c;
    (void)state;
    open_scene(&s);
    s.timeout = 0.2;
    begin_crowd(&c, &s);
    for (int i = 0; i < c.count; i++)
        assert_int_equal(crew_sem_acquire(s.woken, 30), 0);
    end_crowd(&c, CREW_ETIMEDOUT);
    s.timeout = 30;
    begin_crowd(&c, &s);
    woken_are(&s, 0);
    assert_int_equal(crew_lock_acquire(s.lock, 30), 0);
    /* Waits for the other condition are none of its business. */
    assert_int_equal(crew_cond_notify_all(s.other), 0);
    assert_int_equal(crew_sem_value(s.woken), 0);
    assert_int_equal(crew_cond_notify_all(s.cond), 0);
    assert_int_equal(crew_sem_value(s.woken), 0); /* they have no lock yet */
    assert_int_equal(crew_lock_release(s.lock), 0);
    woken_are(&s, c.count);
    end_crowd(&c, 0);
    close_scene(&s);
}

static void cond__wait_with_a_limit__is_over_in_time_and_has_the_lock(void **state) {
    static const double times[] = {0, 0.1, 0.3};
    struct scene s;
    (void)state;
    open_scene(&s);
    assert_int_equal(crew_lock_acquire(s.lock, 0), 0);
    for (int i = 0; i < 3; i++) {
        double from = crewtest_now();
        assert_int_equal(crew_cond_wait(s.cond, times[i]), CREW_ETIMEDOUT);
        assert_text(crew_last_error()->text, "no notify");
        assert_true(crewtest_now() - from >= times[i] - 0.001);
        assert_within(from, 5);
        assert_int_equal(crew_lock_acquire(s.lock, 0), CREW_ETIMEDOUT);
    }
    assert_int_equal(crew_lock_release(s.lock), 0);
    close_scene(&s);
}

static bool never(void *ctx) {
    (void)ctx;
    crewtest_add(CELL_TESTS, 1);
    return false;
}

static void cond__without_the_lock__everything_is_refused(void **state) {
    struct scene s;
    (void)state;
    open_scene(&s);
    crewtest_set(CELL_TESTS, 0);
    for (int held = 0; held < 2; held++) {
        assert_int_equal(crew_cond_wait(s.cond, 0), CREW_EPERM);
        assert_text(crew_last_error()->text, "does not hold");
        assert_int_equal(crew_cond_wait_for(s.cond, never, NULL, 0), CREW_EPERM);
        assert_int_equal(crew_cond_notify(s.cond, 1), CREW_EPERM);
        assert_int_equal(crew_cond_notify_all(s.cond), CREW_EPERM);
        if (held)
            break;
        /* By another thread it is not held by this one. */
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, sleeper_thread, &s), 0);
        assert_int_equal(crew_sem_acquire(s.sleeping, 30), 0);
        assert_int_equal(crew_cond_notify_all(s.cond), CREW_EPERM);
        notify(&s, 1);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    assert_int_equal(crewtest_get(CELL_TESTS), 0);
    close_scene(&s);
}

static void count_signal(int signal) {
    (void)signal;
    crewtest_add(CELL_TESTS, 1);
}

static void cond__signal_during_a_wait__the_wait_goes_on(void **state) {
    struct sigaction count = {.sa_handler = count_signal}, before;
    struct scene s;
    pthread_t thread;
    void *rc;
    (void)state;
    open_scene(&s);
    crewtest_set(CELL_TESTS, 0);
    assert_int_equal(sigaction(SIGUSR2, &count, &before), 0);
    assert_int_equal(pthread_create(&thread, NULL, sleeper_thread, &s), 0);
    assert_int_equal(crew_sem_acquire(s.sleeping, 30), 0);
    assert_int_equal(crew_lock_acquire(s.lock, 30), 0);
    assert_int_equal(crew_lock_release(s.lock), 0);
    for (int i = 1; i <= 10; i++) {
        assert_int_equal(pthread_kill(thread, SIGUSR2), 0);
        assert_true(crewtest_reached(CELL_TESTS, i, 30));
    }
    woken_are(&s, 0);
    notify(&s, 1);
    assert_int_equal(pthread_join(thread, &rc), 0);
    assert_int_equal((intptr_t)rc, 0);
    assert_int_equal(sigaction(SIGUSR2, &before, NULL), 0);
    close_scene(&s);
}

static void *queue_up(void *scene) {
    struct scene *s = scene;
    if (crew_lock_acquire(s->lock, 30) != 0)
        return scene;
    int64_t number = s->number++;
    crew_sem_release(s->sleeping);
    int rc = crew_cond_wait(s->cond, 30);
    bool right = rc == 0 && crewtest_add(CELL_ORDER, 1) == number;
    crew_lock_release(s->lock);
    return right ? NULL : scene;
}

static void cond__notified_one_by_one__in_the_order_of_waiting(void **state) {
    struct scene s;
    pthread_t thread[8];
    void *wrong;
    (void)state;
    open_scene(&s);
    crewtest_set(CELL_ORDER, 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, queue_up, &s), 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(crew_sem_acquire(s.sleeping, 30), 0);
    for (int i = 0; i < 8; i++) {
        notify(&s, 1);
        assert_true(crewtest_reached(CELL_ORDER, i + 1, 30));
    }
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(thread[i], &wrong), 0);
        assert_null(wrong);
    }
    close_scene(&s);
}

static bool state_is(void *wanted) {
    crewtest_add(CELL_TESTS, 1);
    return crewtest_get(CELL_STATE) == *(int64_t *)wanted;
}

static int wait_for_four(crew_call *call) {
    const struct scene *s = CREW_IN(call, struct scene);
    int64_t four = 4;
    if (crew_lock_acquire(s->lock, 30) != 0)
        return 1;
    crewtest_set(CELL_STATE, 0);
    if (crew_cond_notify(s->cond, 1) != 0)
        return 2;
    double from = crewtest_now();
    int rc = crew_cond_wait_for(s->cond, state_is, &four, s->timeout);
    double took = crewtest_now() - from;
    if (crew_lock_release(s->lock) != 0)
        return 3;
    if (rc == CREW_ETIMEDOUT && took < s->timeout - 0.001)
        return 4;
    return rc == 0 ? 0 : crew_fail(call, 5, "%d", rc);
}

/* The worker waits until the state is 4; here it is counted up to `last`. */
static int count_up(struct scene *s, int64_t last) {
    crew_error err;
    int64_t zero = 0;
    crew_pool *p = crewtest_open(1);
    crewtest_set(CELL_STATE, -1);
    assert_int_equal(crew_lock_acquire(s->lock, 30), 0);
    crew_future *f = crew_submit(p, wait_for_four, s, sizeof *s, NULL, &err);
    assert_non_null(f);
    assert_int_equal(crew_cond_wait_for(s->cond, state_is, &zero, 30), 0);
    assert_int_equal(crewtest_get(CELL_STATE), 0);
    assert_int_equal(crew_lock_release(s->lock), 0);
    for (int64_t i = 0; i < last; i++) {
        crewtest_pause();
        assert_int_equal(crew_lock_acquire(s->lock, 30), 0);
        crewtest_add(CELL_STATE, 1);
        assert_int_equal(crew_cond_notify(s->cond, 1), 0);
        assert_int_equal(crew_lock_release(s->lock), 0);
    }
    int rc = crew_future_result(f, NULL, 0, 30, &err);
    if (rc < 0)
        assert_text(err.text, "-5"); /* CREW_ETIMEDOUT */
    crew_future_free(f);
    crewtest_free(p);
    return rc;
}

static void cond__wait_for__ends_when_the_test_is_true_or_the_time_is_over(void **state) {
    struct scene s;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    open_scene(&s);
    assert_int_equal(count_up(&s, 4), 0);
    s.timeout = 0.2;
    assert_int_equal(count_up(&s, 3), CREW_EFAILED);
    close_scene(&s);
}

static void cond__wait_for_what_is_true__does_not_wait(void **state) {
    struct scene s;
    int64_t seven = 7;
    (void)state;
    open_scene(&s);
    crewtest_set(CELL_STATE, 7);
    crewtest_set(CELL_TESTS, 0);
    assert_int_equal(crew_lock_acquire(s.lock, 0), 0);
    assert_int_equal(crew_cond_wait_for(s.cond, state_is, &seven, 0), 0);
    assert_int_equal(crewtest_get(CELL_TESTS), 1);
    double from = crewtest_now();
    assert_int_equal(crew_cond_wait_for(s.cond, never, NULL, 0.1), CREW_ETIMEDOUT);
    assert_true(crewtest_now() - from >= 0.099);
    assert_int_equal(crew_cond_wait_for(s.cond, NULL, NULL, 0), CREW_EINVAL);
    assert_int_equal(crew_lock_release(s.lock), 0);
    close_scene(&s);
}

static void cond__destroyed_under_waiters__they_hear_of_it_and_hold_the_lock(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct scene s;
        struct crowd c;
        crew_cond next;
        open_scene(&s);
        begin_crowd(&c, &s);
        if (i % 2) /* they wait */
            assert_int_equal(crew_lock_acquire(s.lock, 30), 0);
        double from = crewtest_now();
        assert_int_equal(crew_cond_destroy(s.cond), 0);
        assert_int_equal(crew_cond_create(&next, s.lock), 0);
        if (i % 2) {
            assert_int_equal(crew_cond_notify_all(next), 0); /* is none of theirs */
            assert_int_equal(crew_lock_release(s.lock), 0);
        }
        end_crowd(&c, CREW_EINVAL);
        assert_within(from, 10);
        s.cond = next;
        close_scene(&s);
    }
}

static void *wait_without_a_lock(void *scene) {
    const struct scene *s = scene;
    if (crew_lock_acquire(s->lock, 30) != 0)
        return NULL;
    crew_sem_release(s->sleeping);
    return (void *)(intptr_t)crew_cond_wait(s->cond, CREW_FOREVER);
}

static void cond__lock_destroyed_under_a_waiter__the_waiter_hears_of_it(void **state) {
    struct scene s;
    pthread_t thread;
    void *rc;
    (void)state;
    open_scene(&s);
    assert_int_equal(pthread_create(&thread, NULL, wait_without_a_lock, &s), 0);
    assert_int_equal(crew_sem_acquire(s.sleeping, 30), 0);
    double from = crewtest_now();
    assert_int_equal(crew_lock_destroy(s.lock), 0);
    crew_lock next; /* in the same place, and held: none of the waiter's business */
    assert_int_equal(crew_lock_create(&next), 0);
    assert_int_equal(crew_lock_acquire(next, 30), 0);
    assert_int_equal(pthread_join(thread, &rc), 0);
    assert_int_equal((intptr_t)rc, CREW_ENOENT);
    assert_within(from, 5);
    assert_int_equal(crew_cond_wait(s.cond, 0), CREW_ENOENT);
    assert_text(crew_last_error()->text, "lock was destroyed");
    assert_int_equal(crew_cond_notify_all(s.cond), CREW_ENOENT);
    assert_int_equal(crew_lock_release(next), 0);
    s.lock = next;
    close_scene(&s);
}

static void cond__bad_requests__are_errors_in_a_sentence(void **state) {
    crew_lock lock, none = {0};
    crew_rlock rlock;
    crew_cond c, next;
    (void)state;
    assert_int_equal(crew_lock_create(&lock), 0);
    assert_int_equal(crew_cond_create(&c, none), CREW_EINVAL);
    assert_text(crew_last_error()->text, "empty");
    assert_int_equal(crew_rlock_create(&rlock), 0);
    memcpy(&none, &rlock, sizeof none);
    assert_int_equal(crew_cond_create(&c, none), CREW_EINVAL);
    assert_text(crew_last_error()->text, "rlock");
    assert_int_equal(crew_cond_create(NULL, lock), CREW_EINVAL);
    assert_int_equal(crew_cond_create(&c, lock), 0);
    assert_int_equal(crew_lock_acquire(lock, 0), 0);
    assert_int_equal(crew_cond_notify(c, -1), CREW_EINVAL);
    assert_int_equal(crew_cond_destroy(c), 0);
    assert_int_equal(crew_cond_destroy(c), CREW_EINVAL);
    assert_int_equal(crew_cond_create(&next, lock), 0);
    assert_int_equal(next.place, c.place);
    assert_int_equal(crew_cond_wait(c, 0), CREW_EINVAL);
    assert_text(crew_last_error()->text, "no such condition");
    assert_int_equal(crew_cond_notify(c, 1), CREW_EINVAL);
    assert_int_equal(crew_cond_wait(next, 0), CREW_ETIMEDOUT);
    assert_int_equal(crew_lock_release(lock), 0);
    assert_int_equal(crew_cond_destroy(next), 0);
    assert_int_equal(crew_rlock_destroy(rlock), 0);
    assert_int_equal(crew_lock_destroy(lock), 0);
}

/* cond: there is an item; other: there is room. Even indices make, odd ones take. */
static int make_and_take(crew_call *call) {
    const struct scene *s = CREW_COMMON(call, struct scene);
    bool makes = call->index % 2 == 0;
    for (int i = 0; i < ITEMS; i++) {
        if (crew_lock_acquire(s->lock, 30) != 0)
            return 1;
        while (crewtest_get(CELL_ITEMS) == (makes ? 2 : 0)) {
            int rc = crew_cond_wait(makes ? s->other : s->cond, 30);
            if (rc != 0)
                return crew_fail(call, 2, "wait: %d", rc);
        }
        crewtest_add(CELL_ITEMS, makes ? 1 : -1);
        crewtest_add(CELL_TAKEN, makes ? 0 : 1);
        if (crew_cond_notify(makes ? s->cond : s->other, 1) != 0 ||
            crew_lock_release(s->lock) != 0)
            return 3;
    }
    return 0;
}

static void cond__makers_and_takers__every_notify_counts(void **state) {
    struct scene s;
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC | CREWTEST_MANY);
    open_scene(&s);
    crewtest_set(CELL_ITEMS, 0);
    crewtest_set(CELL_TAKEN, 0);
    crew_pool *p = crewtest_open(4);
    crew_map_opts opts = {.common = &s, .common_size = sizeof s, .chunk = 1};
    assert_ok(crew_pool_map(p, make_and_take, NULL, 0, 4, NULL, 0, &opts, &err), &err);
    assert_int_equal(crewtest_get(CELL_ITEMS), 0);
    assert_int_equal(crewtest_get(CELL_TAKEN), 2 * ITEMS);
    crewtest_free(p);
    close_scene(&s);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(cond__notify_one_after_another__wakes_one_each),
        CREWTEST(cond__notify_some__wakes_so_many_and_is_not_kept_for_later),
        CREWTEST(cond__notify_all__wakes_all_after_all_have_timed_out_once),
        CREWTEST(cond__wait_with_a_limit__is_over_in_time_and_has_the_lock),
        CREWTEST(cond__without_the_lock__everything_is_refused),
        CREWTEST(cond__signal_during_a_wait__the_wait_goes_on),
        CREWTEST(cond__notified_one_by_one__in_the_order_of_waiting),
        CREWTEST(cond__wait_for__ends_when_the_test_is_true_or_the_time_is_over),
        CREWTEST(cond__wait_for_what_is_true__does_not_wait),
        CREWTEST(cond__destroyed_under_waiters__they_hear_of_it_and_hold_the_lock),
        CREWTEST(cond__lock_destroyed_under_a_waiter__the_waiter_hears_of_it),
        CREWTEST(cond__bad_requests__are_errors_in_a_sentence),
        CREWTEST(cond__makers_and_takers__every_notify_counts),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
