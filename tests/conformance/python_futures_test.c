/* conformance/python_futures_test.c - what CPython tests of concurrent.futures and
 * what no other test here shows: see docs/PYTHON-CASES.md. */
#include "crewtest.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int64_t square(int64_t n) {
    return n * n;
}
CREW_TASK(square, int64_t, int64_t)

static int fails(crew_call *call) {
    return crew_fail(call, 17, "no luck");
}

static crew_future *submit(crew_pool *p, crew_fn *fn, int64_t n) {
    crew_error err;
    crew_future *f = crew_submit(p, fn, &n, sizeof n, NULL, &err);
    if (!f)
        fail_msg("crew_submit: %s", err.text);
    return f;
}

static crew_future *gated(crew_pool *p, int gate) {
    return submit(p, crewtest_gated_task, CELL_GATE + gate);
}

static void open_gate(int gate) {
    crewtest_set(CELL_GATE + gate, 1);
}

static void free_all(crew_future **futures, size_t n) {
    for (size_t i = 0; i < n; i++)
        crew_future_free(futures[i]);
}

/* ---- callbacks ---------------------------------------------------------- */

enum { HEARD = 16 };

struct heard {
    _Atomic int calls;
    int codes[HEARD], order[HEARD];
    int64_t values[HEARD];
};

struct ear {
    struct heard *heard;
    int number;
};

static void hear(void *ctx, crew_future *f) {
    struct ear *ear = ctx;
    struct heard *h = ear->heard;
    int at = atomic_load(&h->calls); /* one thread calls */
    crew_error err;
    h->codes[at] = crew_future_result(f, NULL, 0, 0, &err);
    h->values[at] = -1;
    if (h->codes[at] == 0)
        crew_future_result(f, &h->values[at], sizeof h->values[at], 0, &err);
    h->order[at] = ear->number;
    atomic_store(&h->calls, at + 1);
}

static void then__success_failure_and_cancel__are_seen_by_each_callback(void **state) {
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(1);
    for (int late = 0; late <= 1; late++) {
        struct heard heard[3] = {0};
        crewtest_set(CELL_GATE, 0);
        crewtest_set(CELL_STARTED, 0);
        crew_future *holds = gated(p, 0), *f[3];
        assert_true(crewtest_reached(CELL_STARTED, 1, 20));
        f[0] = submit(p, square_task, 12);
        f[1] = submit(p, fails, 0);
        f[2] = submit(p, square_task, 1);
        struct ear ears[3][2];
        for (int stage = 0; stage < 2; stage++) {
            for (int i = 0; i < 3 && stage == late; i++)
                for (int k = 0; k < 2; k++) { /* several are all called, in order */
                    ears[i][k] = (struct ear){&heard[i], k};
                    assert_ok(crew_future_then(f[i], hear, &ears[i][k]), NULL);
                }
            if (stage == 1)
                break;
            assert_int_equal(crew_future_cancel(f[2]), 1);
            open_gate(0);
            for (int i = 0; i < 3; i++)
                crew_future_result(f[i], NULL, 0, 20, &err);
        }
        const int codes[3] = {0, CREW_EFAILED, CREW_ECANCELLED};
        for (int i = 0; i < 3; i++) {
            CREWTEST_WAIT(atomic_load(&heard[i].calls) == 2, 10);
            for (int k = 0; k < 2; k++) {
                assert_int_equal(heard[i].codes[k], codes[i]);
                assert_int_equal(heard[i].values[k], i == 0 ? 144 : -1);
                assert_int_equal(heard[i].order[k], k);
            }
        }
        crew_future_result(holds, NULL, 0, 20, &err);
        crew_future_free(holds);
        free_all(f, 3);
    }
    crewtest_free(p);
}

/* ---- states ------------------------------------------------------------- */

struct answers {
    bool done, running, cancelled;
    int result;
};

static void check_state(crew_future *f, const struct answers *want) {
    crew_error err;
    assert_int_equal(crew_future_done(f), want->done);
    assert_int_equal(crew_future_running(f), want->running);
    assert_int_equal(crew_future_cancelled(f), want->cancelled);
    assert_code(crew_future_result(f, NULL, 0, 0, &err), want->result, &err);
}

static void future__in_each_state__answers_each_question(void **state) {
    static const struct answers waits = {false, false, false, CREW_ETIMEDOUT},
                                runs = {false, true, false, CREW_ETIMEDOUT},
                                is_cancelled = {true, false, true, CREW_ECANCELLED},
                                has_failed = {true, false, false, CREW_EFAILED},
                                is_good = {true, false, false, 0};
    crew_error err;
    int64_t out;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(1);
    crew_future *running = gated(p, 0);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    crew_future *cancelled = submit(p, square_task, 2), *failing = submit(p, fails, 0),
                *good = submit(p, square_task, 3);
    check_state(running, &runs);
    check_state(cancelled, &waits);
    check_state(failing, &waits);
    check_state(good, &waits);
    assert_int_equal(crew_future_cancel(running), 0); /* too late, and it stays as it is */
    check_state(running, &runs);
    assert_int_equal(crew_future_cancel(cancelled), 1);
    check_state(cancelled, &is_cancelled);
    assert_int_equal(crew_future_cancel(cancelled), 1); /* again */
    check_state(cancelled, &is_cancelled);
    open_gate(0);
    assert_code(crew_future_result(failing, NULL, 0, 20, &err), CREW_EFAILED, &err);
    assert_ok(crew_future_result(good, &out, sizeof out, 20, &err), &err);
    check_state(running, &is_good);
    check_state(failing, &has_failed);
    check_state(good, &is_good);
    assert_int_equal(crew_future_cancel(running), 0);
    assert_int_equal(crew_future_cancel(failing), 0);
    assert_int_equal(crew_future_cancel(good), 0);
    check_state(cancelled, &is_cancelled);
    check_state(failing, &has_failed);
    check_state(good, &is_good);
    assert_ok(crew_future_result(good, &out, sizeof out, 0, &err), &err);
    assert_int_equal(out, 9);
    crew_future *all[] = {running, cancelled, failing, good};
    free_all(all, 4);
    crewtest_free(p);
}

/* ---- threads that wait -------------------------------------------------- */

struct waiter {
    crew_future *future;
    _Atomic pid_t waits; /* its thread, as the system numbers it */
    int code;
    crew_error err;
    pthread_t thread;
};

static void *wait_for(void *arg) {
    struct waiter *w = arg;
    atomic_store(&w->waits, gettid());
    w->code = crew_future_result(w->future, NULL, 0, 30, &w->err);
    return NULL;
}

static void start_waiter(struct waiter *w, crew_future *f) {
    *w = (struct waiter){.future = f, .code = 1};
    assert_int_equal(pthread_create(&w->thread, NULL, wait_for, w), 0);
    CREWTEST_WAIT(atomic_load(&w->waits), 10);
}

static bool is_asleep(const struct waiter *w) {
    return crewtest_state(atomic_load(&w->waits)) == 'S';
}

static void result__waited_for_by_a_thread__wakes_it_with_whatever_comes(void **state) {
    struct waiter good, cancelled, failed;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(1);
    crew_future *f[3] = {gated(p, 0)};
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    f[1] = submit(p, square_task, 1);
    f[2] = submit(p, fails, 0);
    start_waiter(&good, f[0]);
    start_waiter(&cancelled, f[1]);
    start_waiter(&failed, f[2]);
    /* Past the spinning. */
    CREWTEST_WAIT(is_asleep(&good) && is_asleep(&cancelled) && is_asleep(&failed), 10);
    double from = crewtest_now();
    assert_int_equal(crew_future_cancel(f[1]), 1);
    pthread_join(cancelled.thread, NULL);
    assert_code(cancelled.code, CREW_ECANCELLED, &cancelled.err);
    open_gate(0);
    pthread_join(good.thread, NULL);
    assert_code(good.code, 0, &good.err);
    pthread_join(failed.thread, NULL);
    assert_code(failed.code, CREW_EFAILED, &failed.err);
    assert_int_equal(failed.err.task_code, 17);
    assert_within(from, 10);
    free_all(f, 3);
    crewtest_free(p);
}

/* ---- wait --------------------------------------------------------------- */

static void wait__same_future_twice__ends(void **state) {
    (void)state;
    crew_pool *p = crewtest_open(1);
    crew_future *f = submit(p, square_task, 2), *twice[] = {f, f};
    for (int until = CREW_WAIT_ALL; until <= CREW_WAIT_FIRST; until++)
        assert_in_range(crew_wait(twice, 2, until, 20), 1, 2);
    assert_int_equal(crew_wait(twice, 2, CREW_WAIT_ALL, 20), 2);
    crew_future_free(f);
    crewtest_free(p);
}

static void wait__some_done_already__returns_at_once_and_counts_them(void **state) {
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(2);
    crew_future *slow = gated(p, 0);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    crew_future *good = submit(p, square_task, 2), *bad = submit(p, fails, 0);
    crew_future *both[] = {good, bad};
    assert_int_equal(crew_wait(both, 2, CREW_WAIT_ALL, 20), 2);
    crew_future *blocked = gated(p, 0); /* now both workers are held */
    assert_true(crewtest_reached(CELL_STARTED, 2, 20));
    crew_future *cancelled = submit(p, square_task, 3);
    assert_int_equal(crew_future_cancel(cancelled), 1);
    crew_future *first[] = {slow, good}, *error[] = {slow, good, bad};
    crew_future *counts[] = {slow, cancelled, blocked};
    double from = crewtest_now();
    assert_int_equal(crew_wait(first, 2, CREW_WAIT_FIRST, 20), 1);
    assert_int_equal(crew_wait(error, 3, CREW_WAIT_FIRST, 20), 2);
    assert_int_equal(crew_wait(error, 3, CREW_WAIT_FIRST_ERROR, 20), 2);
    assert_int_equal(crew_wait(counts, 3, CREW_WAIT_FIRST_ERROR, 20), 1);
    assert_within(from, 10);
    open_gate(0);
    crew_future *all[] = {slow, good, bad, blocked, cancelled};
    assert_int_equal(crew_wait(all, 5, CREW_WAIT_ALL, 20), 5);
    free_all(all, 5);
    crewtest_free(p);
}

static void wait__hundred_that_end_at_one_moment__loses_no_wake_up(void **state) {
    enum { COUNT = 100 };
    crew_future *f[COUNT];
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(4);
    for (int64_t round = 0; round < crewtest_many(30); round++) {
        crewtest_set(CELL_GATE, 0);
        for (int i = 0; i < COUNT; i++)
            f[i] = gated(p, 0);
        struct waiter w;
        start_waiter(&w, f[COUNT - 1]);
        open_gate(0);
        assert_int_equal(crew_wait(f, COUNT, CREW_WAIT_ALL, 30), COUNT);
        pthread_join(w.thread, NULL);
        assert_code(w.code, 0, &w.err);
        free_all(f, COUNT);
    }
    crewtest_free(p);
}

/* ---- as completed ------------------------------------------------------- */

static void as_completed__done_failed_cancelled_and_running__all_come_out_once(void **state) {
    int seen[5] = {0};
    crew_error err;
    size_t which;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(1);
    crew_future *f[5] = {submit(p, square_task, 1), submit(p, fails, 0)};
    assert_int_equal(crew_wait(f, 2, CREW_WAIT_ALL, 20), 2);
    f[2] = gated(p, 0);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    f[3] = submit(p, square_task, 2);
    f[4] = submit(p, square_task, 2);
    assert_int_equal(crew_future_cancel(f[3]), 1);
    crew_completed *c = crew_as_completed(f, 5);
    assert_non_null(c);
    for (int i = 0; i < 5; i++) {
        if (i == 3) { /* what was done before has come out */
            assert_int_equal(seen[0] + seen[1] + seen[3], 3);
            assert_code(crew_completed_next(c, &which, 0), CREW_ETIMEDOUT, NULL);
            assert_code(crew_completed_next(c, &which, 0.05), CREW_ETIMEDOUT, NULL);
            open_gate(0);
        }
        assert_int_equal(crew_completed_next(c, &which, 20), 1);
        assert_in_range(which, 0, 4);
        assert_int_equal(seen[which]++, 0);
        assert_true(crew_future_done(f[which]));
        crew_future_result(f[which], NULL, 0, 0, &err);
        crew_future_free(f[which]); /* it is not held any longer */
        f[which] = NULL;
    }
    assert_int_equal(crew_completed_next(c, &which, 20), 0);
    crew_completed_free(c);
    crewtest_free(p);
}

static void as_completed__same_future_in_several_places__comes_out_for_each(void **state) {
    int seen[3] = {0};
    size_t which;
    (void)state;
    crew_pool *p = crewtest_open(1);
    crew_future *f = submit(p, square_task, 2), *list[] = {f, f, f};
    crew_completed *c = crew_as_completed(list, 3);
    assert_non_null(c);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(crew_completed_next(c, &which, 20), 1);
        assert_in_range(which, 0, 2);
        assert_int_equal(seen[which]++, 0);
    }
    assert_int_equal(crew_completed_next(c, &which, 20), 0);
    crew_completed_free(c);
    crew_future_free(f);
    crewtest_free(p);
}

/* ---- maps in the executor's manner -------------------------------------- */

static int last_waits(crew_call *call) {
    int64_t n = *CREW_IN(call, int64_t);
    if (n == 4) {
        int code = crewtest_pass(call, CELL_GATE);
        if (code)
            return code;
    }
    return crew_task_result(call, &n, sizeof n);
}

static void imap__last_item_slow__gives_the_others_and_then_the_time_out(void **state) {
    crew_error err;
    int64_t out;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(2);
    crew_iter *it = crew_imap(p, last_waits, crew_source_range(0, 5, 1), 8, NULL, &err);
    assert_non_null(it);
    for (int64_t i = 0; i < 4; i++) {
        assert_int_equal(crew_next(it, &out, NULL, 20, &err), 1);
        assert_int_equal(out, i);
    }
    assert_code(crew_next(it, &out, NULL, 0.05, &err), CREW_ETIMEDOUT, &err);
    open_gate(0);
    assert_int_equal(crew_next(it, &out, NULL, 20, &err), 1);
    crew_iter_free(it);
    crewtest_free(p);
}

/* ---- no more workers than asked for ------------------------------------- */

static int note_most(crew_call *call) {
    int64_t inside = crewtest_add(CELL_OWN, 1) + 1;
    if (inside > crewtest_get(CELL_WORKER + call->worker))
        crewtest_set(CELL_WORKER + call->worker, inside);
    int code = crewtest_pass(call, CELL_GATE);
    crewtest_add(CELL_OWN, -1);
    crewtest_add(CELL_COUNT, 1);
    return code;
}

static void
saturation__fifteen_blocked_calls_a_worker__no_more_workers_than_asked_for(void **state) {
    enum { WORKERS = 3, COUNT = 15 * WORKERS };
    crew_future *f[COUNT];
    pid_t pids[64];
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(WORKERS);
    int family = crewtest_family(pids, 64);
    for (int i = 0; i < COUNT; i++)
        f[i] = submit(p, note_most, i);
    CREWTEST_WAIT(crewtest_get(CELL_OWN) == WORKERS, 20);
    assert_int_equal(crewtest_family(pids, 64), family);
    assert_int_equal(crew_pool_workers(p), WORKERS);
    open_gate(0);
    assert_int_equal(crew_wait(f, COUNT, CREW_WAIT_ALL, 30), COUNT);
    assert_int_equal(crewtest_get(CELL_COUNT), COUNT);
    for (int w = 0; w < 64; w++)
        assert_in_range(crewtest_get(CELL_WORKER + w), 0, WORKERS);
    free_all(f, COUNT);
    crewtest_free(p);
}

static void calls__one_after_another_and_overlapping__start_no_further_worker(void **state) {
    crew_error err;
    crew_stats stats;
    pid_t pids[64];
    int64_t out;
    (void)state;
    crew_pool *p = crewtest_open(3);
    int family = crewtest_family(pids, 64);
    for (int64_t i = 0; i < 50; i++) {
        assert_ok(crew_apply(p, square_task, &i, sizeof i, &out, sizeof out, &err), &err);
        crew_future *f[4];
        for (int k = 0; k < 4; k++)
            f[k] = submit(p, square_task, k);
        assert_int_equal(crew_wait(f, 4, CREW_WAIT_ALL, 20), 4);
        free_all(f, 4);
    }
    assert_int_equal(crewtest_family(pids, 64), family);
    assert_ok(crew_pool_stats(p, -1, &stats), NULL);
    assert_int_equal(stats.restarts, 0);
    assert_int_equal(stats.items, 250);
    crewtest_free(p);
}

/* ---- shutdown ----------------------------------------------------------- */

static void shutdown__more_calls_than_workers_waiting__all_finish(void **state) {
    enum { COUNT = 50 };
    crew_future *f[COUNT];
    crew_error err;
    (void)state;
    for (int wait = 0; wait <= 1; wait++) {
        crew_pool *p = crewtest_open(2);
        for (int64_t i = 0; i < COUNT; i++)
            f[i] = submit(p, square_task, i);
        double from = crewtest_now();
        assert_ok(crew_pool_shutdown(p, wait, false), NULL);
        assert_ok(crew_pool_join(p, 30, &err), &err);
        assert_within(from, 30);
        for (int64_t i = 0; i < COUNT; i++) {
            int64_t out;
            assert_ok(crew_future_result(f[i], &out, sizeof out, wait ? 0 : 20, &err), &err);
            assert_int_equal(out, i * i);
        }
        free_all(f, COUNT);
        crewtest_free(p);
    }
}

static void shutdown__without_waiting__lets_everything_finish_and_ends_the_workers(void **state) {
    crew_future *f[6];
    crew_error err;
    pid_t pids[64];
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    int before = crewtest_family(pids, 64);
    crew_pool *p = crewtest_open(2);
    for (int i = 0; i < 6; i++)
        f[i] = gated(p, 0);
    assert_ok(crew_pool_shutdown(p, false, false), NULL);
    assert_false(crew_future_done(f[0])); /* it did not wait */
    open_gate(0);
    for (int i = 0; i < 6; i++)
        assert_ok(crew_future_result(f[i], NULL, 0, 20, &err), &err);
    free_all(f, 6);
    crewtest_free(p);
    CREWTEST_WAIT(crewtest_family(pids, 64) <= before, 5);
}

static void shutdown__without_waiting_and_one_call_a_worker__finishes_all_calls(void **state) {
    crew_future *f[5];
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    for (int workers = 1; workers <= 4; workers += 3) {
        crew_pool_opts opts = crewtest_opts(workers);
        opts.tasks_per_worker = 1;
        crew_pool *p = crewtest_open_opts(&opts);
        crewtest_set(CELL_GATE, 0);
        crewtest_set(CELL_STARTED, 0);
        for (int i = 0; i < 5; i++)
            f[i] = i == 1 ? submit(p, fails, 0) : gated(p, 0);
        assert_true(crewtest_reached(CELL_STARTED, 1, 20));
        assert_ok(crew_pool_shutdown(p, false, false), NULL);
        open_gate(0); /* from now on workers end that a closed pool must replace */
        for (int i = 0; i < 5; i++)
            assert_code(crew_future_result(f[i], NULL, 0, 30, &err), i == 1 ? CREW_EFAILED : 0,
                        &err);
        assert_ok(crew_pool_join(p, 30, &err), &err);
        free_all(f, 5);
        crewtest_free(p);
    }
}

static void shutdown__call_submitted_and_cancelled_just_before__ends(void **state) {
    crew_error err;
    (void)state;
    for (int64_t round = 0; round < crewtest_many(100); round++) {
        crew_pool *p = crewtest_open(1);
        crew_future *f = submit(p, square_task, 3);
        int cancelled = crew_future_cancel(f);
        assert_in_range(cancelled, 0, 1);
        assert_ok(crew_pool_shutdown(p, true, false), NULL);
        assert_code(crew_future_result(f, NULL, 0, 0, &err), cancelled ? CREW_ECANCELLED : 0, &err);
        crew_future_free(f);
        crewtest_free(p);
    }
}

/* ---- workers that go in the wrong moment -------------------------------- */

static int crash_when_let(crew_call *call) {
    crewtest_add(CELL_STARTED, 1);
    crewtest_pass(call, CELL_GATE);
    abort();
}

static void shutdown__then_a_worker_crashes__ends_and_says_so(void **state) {
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crew_pool *p = crewtest_open(2);
    crew_future *f = submit(p, crash_when_let, 0), *g = submit(p, square_task, 5);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    assert_ok(crew_pool_shutdown(p, false, false), NULL);
    open_gate(0);
    assert_ok(crew_pool_join(p, 30, &err), &err);
    assert_code(crew_future_result(f, NULL, 0, 0, &err), CREW_EDIED, &err);
    assert_int_equal(err.signal, SIGABRT);
    assert_ok(crew_future_result(g, NULL, 0, 0, &err), &err);
    crew_future_free(f);
    crew_future_free(g);
    crewtest_free(p);
}

enum { BIG = 1 << 20 };

static int reply_then_go(crew_call *call) { /* its item: how */
    static char answer[BIG];
    int64_t how = *CREW_IN(call, int64_t);
    crew_reply(call, answer, how < 2 ? 8 : sizeof answer);
    if (how % 2)
        _exit(0);
    abort();
}

static void reply__then_crash_or_exit__is_an_error_and_the_pool_goes_on(void **state) {
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crew_pool *p = crewtest_open(2);
    for (int how = 0; how < 4; how++) {
        crew_future *f = submit(p, reply_then_go, how);
        assert_code(crew_future_result(f, NULL, 0, 30, &err), CREW_EDIED, &err);
        assert_null(crew_future_data(f, NULL));
        crew_future_free(f);
        assert_usable(p);
    }
    crewtest_free(p);
}

static int crash_over_it(crew_call *call) {
    const char *in = call->in;
    if (call->in_size == BIG && in[BIG - 1] == 1)
        abort();
    return 1;
}

static void crash__over_items_larger_than_a_pipe__is_a_clean_error(void **state) {
    enum { COUNT = 6 };
    crew_future *f[COUNT];
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    char *big = calloc(1, BIG);
    assert_non_null(big);
    big[BIG - 1] = 1;
    crew_pool *p = crewtest_open(2);
    for (int i = 0; i < COUNT; i++) {
        f[i] = crew_submit(p, crash_over_it, big, BIG, NULL, &err);
        assert_non_null(f[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_code(crew_future_result(f[i], NULL, 0, 30, &err), CREW_EDIED, &err);
        assert_int_equal(err.signal, SIGABRT);
    }
    free_all(f, COUNT);
    free(big);
    assert_usable(p);
    crewtest_free(p);
}

/* ---- processes of a task's own ------------------------------------------ */

static int fork_and_wait(crew_call *call) {
    int64_t status = -1;
    int got = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit((int)*CREW_IN(call, int64_t));
    if (pid < 0 || waitpid(pid, &got, 0) != pid)
        return crew_fail(call, 1, "fork or wait");
    if (WIFEXITED(got))
        status = WEXITSTATUS(got);
    return crew_task_result(call, &status, sizeof status);
}

static void task__that_forks__waits_for_its_own_child(void **state) {
    crew_error err;
    int64_t codes[20];
    (void)state;
    crewtest_need_fork();
    crew_pool *p = crewtest_open(2);
    assert_ok(crew_map_index(p, fork_and_wait, 20, codes, NULL, &err), &err);
    for (int i = 0; i < 20; i++)
        assert_int_equal(codes[i], i);
    assert_usable(p);
    crewtest_free(p);
}

/* ---- more than anything holds ------------------------------------------- */

static void submit__more_than_a_ring_holds_while_nobody_works__never_blocks(void **state) {
    enum { COUNT = 140000 }; /* a ring holds 2^17 */
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crewtest_may_take(120);
    crew_future **f = calloc(COUNT, sizeof *f);
    assert_non_null(f);
    crew_pool *p = crewtest_open(1);
    crew_future *holds = gated(p, 0);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    for (int i = 0; i < COUNT; i++)
        f[i] = submit(p, square_task, i);
    assert_false(crew_future_done(f[0]));
    open_gate(0);
    for (int64_t i = 0; i < COUNT; i++) {
        int64_t out;
        assert_ok(crew_future_result(f[i], &out, sizeof out, 60, &err), &err);
        assert_int_equal(out, i * i);
    }
    free_all(f, COUNT);
    crew_future_free(holds);
    free(f);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(then__success_failure_and_cancel__are_seen_by_each_callback),
        CREWTEST(future__in_each_state__answers_each_question),
        CREWTEST(result__waited_for_by_a_thread__wakes_it_with_whatever_comes),
        CREWTEST(wait__same_future_twice__ends),
        CREWTEST(wait__some_done_already__returns_at_once_and_counts_them),
        CREWTEST(wait__hundred_that_end_at_one_moment__loses_no_wake_up),
        CREWTEST(as_completed__done_failed_cancelled_and_running__all_come_out_once),
        CREWTEST(as_completed__same_future_in_several_places__comes_out_for_each),
        CREWTEST(imap__last_item_slow__gives_the_others_and_then_the_time_out),
        CREWTEST(saturation__fifteen_blocked_calls_a_worker__no_more_workers_than_asked_for),
        CREWTEST(calls__one_after_another_and_overlapping__start_no_further_worker),
        CREWTEST(shutdown__more_calls_than_workers_waiting__all_finish),
        CREWTEST(shutdown__without_waiting__lets_everything_finish_and_ends_the_workers),
        CREWTEST(shutdown__without_waiting_and_one_call_a_worker__finishes_all_calls),
        CREWTEST(shutdown__call_submitted_and_cancelled_just_before__ends),
        CREWTEST(shutdown__then_a_worker_crashes__ends_and_says_so),
        CREWTEST(reply__then_crash_or_exit__is_an_error_and_the_pool_goes_on),
        CREWTEST(crash__over_items_larger_than_a_pipe__is_a_clean_error),
        CREWTEST(task__that_forks__waits_for_its_own_child),
        CREWTEST(submit__more_than_a_ring_holds_while_nobody_works__never_blocks),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
