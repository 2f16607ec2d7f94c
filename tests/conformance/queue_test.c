/* conformance/queue_test.c - queues between the workers of any backend. */
#include "crewtest.h"

#include "share/share.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_SUM = CELL_OWN, CELL_GOT, CELL_WRONG, CELL_STOP };

/* Byte i of the message with this key. */
static unsigned char pattern(uint64_t key, size_t i) {
    return (unsigned char)((key * 31 + i) * 7);
}

static void fill(unsigned char *bytes, size_t size, uint64_t key) {
    for (size_t i = 0; i < size; i++)
        bytes[i] = pattern(key, i);
}

static bool filled(const unsigned char *bytes, size_t size, uint64_t key) {
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != pattern(key, i))
            return false;
    return true;
}

static int put_number(crew_queue q, int64_t n) {
    return crew_queue_put(q, &n, sizeof n, CREW_FOREVER);
}

/* The number, or a (negative) code. */
static int64_t get_number(crew_queue q, double timeout) {
    int64_t n;
    ptrdiff_t rc = crew_queue_get(q, &n, sizeof n, timeout);
    return rc < 0 ? rc : n;
}

static crew_queue make(int64_t max, bool eof) {
    crew_queue q;
    crew_queue_opts opts = {.eof = eof};
    if (crew_queue_create(&q, max, &opts) != 0)
        fail_msg("crew_queue_create: %s", crew_last_error()->text);
    return q;
}

static void end(crew_queue q) {
    assert_int_equal(crew_queue_destroy(q), 0);
}

static void run(crew_pool *p, crew_fn *task, crew_queue q) {
    crew_error err;
    assert_ok(crew_apply(p, task, &q, sizeof q, NULL, 0, &err), &err);
}

/* ---- what it does ---- */

static int echo(crew_call *call) {
    const crew_queue *q = CREW_IN(call, crew_queue);
    void *data;
    ptrdiff_t size;
    while ((size = crew_queue_get_alloc(q[0], &data, CREW_FOREVER)) > 0) {
        int rc = crew_queue_put(q[1], data, (size_t)size, CREW_FOREVER);
        free(data);
        if (rc < 0)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
    }
    return size < 0 ? crew_fail(call, 1, "%s", crew_last_error()->text) : 0;
}

static void queue__messages_of_any_size__arrive_as_they_were(void **state) {
    static const size_t sizes[] = {1,    2,    111,   112,   113,     128,          1000,
                                   4096, 8192, 32768, 32769, 1 << 17, (3 << 20) + 5};
    crew_queue q[2] = {make(0, false), make(0, false)};
    crew_error err;
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *bytes = malloc(sizes[i]);
        assert_non_null(bytes);
        fill(bytes, sizes[i], i);
        assert_int_equal(crew_queue_put(q[0], bytes, sizes[i], CREW_FOREVER), 0);
        free(bytes);
    }
    assert_int_equal(crew_queue_put(q[0], NULL, 0, CREW_FOREVER), 0);
    crew_pool *p = crewtest_open(1);
    assert_ok(crew_apply(p, echo, q, sizeof q, NULL, 0, &err), &err);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *data;
        assert_int_equal(crew_queue_get_alloc(q[1], &data, 0), sizes[i]);
        assert_true(filled(data, sizes[i], i));
        free(data);
    }
    assert_int_equal(crew_queue_empty(q[0]), 1);
    assert_int_equal(crew_queue_empty(q[1]), 1);
    crewtest_free(p);
    end(q[0]);
    end(q[1]);
}

static void queue__message_of_a_gibibyte__arrives(void **state) {
    const size_t size = (size_t)1 << 30;
    crew_queue q = make(1, false);
    (void)state;
    if (!crewtest_long()) {
        end(q);
        skip();
    }
    uint64_t *out = malloc(size), *in;
    assert_non_null(out);
    for (size_t i = 0; i < size / sizeof *out; i++)
        out[i] = i * 0x9e3779b97f4a7c15u;
    assert_int_equal(crew_queue_put(q, out, size, 0), 0);
    assert_int_equal(crew_queue_put(q, out, size, 0), CREW_ETIMEDOUT);
    assert_int_equal(crew_queue_get_alloc(q, (void **)&in, 0), size);
    assert_memory_equal(in, out, size);
    free(in);
    free(out);
    end(q);
}

static void queue__empty_message__is_one(void **state) {
    crew_queue q = make(0, false);
    void *data = &q;
    char buf[4];
    (void)state;
    assert_int_equal(crew_queue_put(q, NULL, 0, 0), 0);
    assert_int_equal(crew_queue_put(q, "", 0, 0), 0);
    assert_int_equal(crew_queue_put(q, NULL, 0, 0), 0);
    assert_int_equal(crew_queue_size(q), 3);
    assert_int_equal(crew_queue_get(q, buf, sizeof buf, 0), 0);
    assert_int_equal(crew_queue_get(q, NULL, 0, 0), 0);
    assert_int_equal(crew_queue_get_alloc(q, &data, 0), 0);
    assert_null(data);
    assert_int_equal(crew_queue_get(q, buf, sizeof buf, 0), CREW_ETIMEDOUT);
    end(q);
}

static void queue__buffer_too_small__leaves_the_message(void **state) {
    crew_queue q = make(0, false);
    char buf[300];
    (void)state;
    for (size_t size = 100; size <= 300; size += 200) {
        memset(buf, 7, size);
        assert_int_equal(crew_queue_put(q, buf, size, 0), 0);
        assert_int_equal(crew_queue_get(q, buf, size - 1, 0), CREW_ETOOSMALL);
        assert_text(crew_last_error()->text, size == 100 ? "100 bytes" : "300 bytes");
        assert_int_equal(crew_queue_get(q, NULL, 0, 0), CREW_ETOOSMALL);
        assert_int_equal(crew_queue_size(q), 1);
        assert_int_equal(crew_queue_get(q, buf, size, 0), size);
        assert_int_equal(crew_last_error()->code, 0);
    }
    end(q);
}

static void queue__bad_requests__are_errors_in_a_sentence(void **state) {
    crew_queue q, stale, none = {0};
    char byte = 0;
    (void)state;
    assert_int_equal(crew_queue_create(&q, -1, NULL), CREW_EINVAL);
    assert_text(crew_last_error()->text, "-1 messages");
    assert_int_equal(crew_queue_create(NULL, 0, NULL), CREW_EINVAL);
    q = make(0, false);
    assert_int_equal(crew_queue_put(q, NULL, 1, 0), CREW_EINVAL);
    assert_int_equal(crew_queue_put(q, &byte, SIZE_MAX, 0), CREW_EINVAL);
    assert_int_equal(crew_queue_get(q, NULL, 1, 0), CREW_EINVAL);
    assert_int_equal(crew_queue_get_alloc(q, NULL, 0), CREW_EINVAL);
    assert_int_equal(crew_queue_task_done(q), CREW_EINVAL);
    assert_text(crew_last_error()->text, "done already");
    assert_int_equal(crew_queue_size(none), CREW_EINVAL);
    assert_text(crew_last_error()->text, "empty");
    stale = q;
    end(q);
    q = make(0, false); /* in the same place */
    assert_int_equal(q.place, stale.place);
    assert_int_equal(put_number(q, 5), 0);
    void *data = &q;
    assert_int_equal(crew_queue_put(stale, &byte, 1, 0), CREW_EINVAL);
    assert_text(crew_last_error()->text, "no such queue");
    assert_int_equal(crew_queue_get(stale, &byte, 1, 0), CREW_EINVAL);
    assert_int_equal(crew_queue_get_alloc(stale, &data, 0), CREW_EINVAL);
    assert_null(data);
    assert_int_equal(crew_queue_size(stale), CREW_EINVAL);
    assert_int_equal(crew_queue_full(stale), CREW_EINVAL);
    assert_int_equal(crew_queue_empty(stale), CREW_EINVAL);
    assert_int_equal(crew_queue_task_done(stale), CREW_EINVAL);
    assert_int_equal(crew_queue_join(stale, 0), CREW_EINVAL);
    assert_int_equal(crew_queue_close(stale), CREW_EINVAL);
    assert_int_equal(crew_queue_produce(stale), CREW_EINVAL);
    assert_int_equal(crew_queue_leave(stale), CREW_EINVAL);
    assert_int_equal(crew_queue_destroy(stale), CREW_EINVAL);
    assert_int_equal(get_number(q, 0), 5);
    end(q);
}

static void queue__handle_of_a_queue__travels_through_a_queue(void **state) {
    crew_queue outer = make(0, false), inner = make(0, false), got;
    (void)state;
    assert_int_equal(crew_queue_put(outer, &inner, sizeof inner, 0), 0);
    assert_int_equal(crew_queue_get(outer, &got, sizeof got, 0), sizeof got);
    assert_int_equal(put_number(got, 9), 0);
    assert_int_equal(get_number(inner, 0), 9);
    end(inner);
    end(outer);
}

/* ---- several putters and getters ---- */

enum { PUTTERS = 2, GETTERS = 2 };

static int64_t each(void) {
    return crewtest_calls(20000);
}

struct sent {
    int64_t putter, number;
    unsigned char rest[240];
};

static int putter_or_getter(crew_call *call) {
    crew_queue q = *CREW_COMMON(call, crew_queue);
    int64_t last[PUTTERS] = {0};
    struct sent m;
    if (call->index < PUTTERS) {
        for (int64_t n = 1; n <= each(); n++) {
            size_t size = 16 + (size_t)(crewtest_mix((uint64_t)n) % 16 ? n % 96 : n % 240);
            m.putter = call->index;
            m.number = n;
            fill(m.rest, size - 16, (uint64_t)n);
            if (crew_queue_put(q, &m, size, CREW_FOREVER) != 0)
                return crew_fail(call, 1, "%s", crew_last_error()->text);
        }
        return 0;
    }
    ptrdiff_t size;
    while ((size = crew_queue_get(q, &m, sizeof m, CREW_FOREVER)) > 0) {
        if (m.number <= last[m.putter] || !filled(m.rest, (size_t)size - 16, (uint64_t)m.number))
            return crew_fail(call, 1, "message %ld after %ld of %ld", (long)m.number,
                             (long)last[m.putter], (long)m.putter);
        last[m.putter] = m.number;
        crewtest_add(CELL_GOT, 1);
        crewtest_add(CELL_SUM, m.number);
    }
    return size == CREW_ECLOSED ? 0 : crew_fail(call, 1, "%s", crew_last_error()->text);
}

static void many_to_many(int64_t max) {
    crew_queue q = make(max, false);
    crew_error err;
    crew_map_opts opts = {.common = &q, .common_size = sizeof q, .chunk = 1};
    crewtest_set(CELL_GOT, 0);
    crewtest_set(CELL_SUM, 0);
    crew_pool *p = crewtest_open(PUTTERS + GETTERS);
    crew_job *job =
        crew_map_async(p, putter_or_getter, NULL, 0, PUTTERS + GETTERS, NULL, 0, &opts, &err);
    assert_non_null(job);
    assert_true(crewtest_reached(CELL_GOT, PUTTERS * each(), 50));
    assert_int_equal(crew_queue_close(q), 0);
    assert_ok(crew_job_get(job, 50, &err), &err);
    crew_job_free(job);
    assert_int_equal(crewtest_get(CELL_GOT), PUTTERS * each());
    assert_int_equal(crewtest_get(CELL_SUM), PUTTERS * each() * (each() + 1) / 2);
    assert_int_equal(crew_queue_size(q), 0);
    crewtest_free(p);
    end(q);
}

static void queue__putters_and_getters__each_message_once_in_its_putters_order(void **state) {
    (void)state;
    crewtest_need(CREWTEST_MANY | CREWTEST_ASYNC);
    many_to_many(0);
    many_to_many(1);
    many_to_many(100);
}

/* ---- memory ---- */

static void queue__that_was_long__gives_its_memory_back(void **state) {
    crew_queue q = make(0, false);
    char message[200] = {0};
    (void)state;
    uint64_t before = cw_arena_used(&cw_share_here()->arena);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(crew_queue_put(q, message, i % 2 ? 8 : sizeof message, 0), 0);
    assert_true(cw_arena_used(&cw_share_here()->arena) > before + 20000 * 128);
    for (int i = 0; i < 20000; i++)
        assert_true(crew_queue_get(q, message, sizeof message, 0) > 0);
    /* A chunk or two are kept. */
    assert_in_range(cw_arena_used(&cw_share_here()->arena), before, before + 32768);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(crew_queue_put(q, message, i % 2 ? 8 : sizeof message, 0), 0);
    end(q);
    assert_true(cw_arena_used(&cw_share_here()->arena) < before);
}

/* ---- ends ---- */

static void queue__closed__puts_fail_and_gets_drain(void **state) {
    crew_queue q = make(2, false);
    int64_t n = 1;
    (void)state;
    assert_int_equal(put_number(q, 1), 0);
    assert_int_equal(put_number(q, 2), 0);
    assert_int_equal(crew_queue_close(q), 0);
    assert_int_equal(crew_queue_close(q), 0);
    assert_int_equal(crew_queue_put(q, &n, sizeof n, CREW_FOREVER), CREW_ECLOSED);
    assert_text(crew_last_error()->text, "closed");
    assert_int_equal(get_number(q, CREW_FOREVER), 1);
    assert_int_equal(crew_queue_put(q, &n, sizeof n, CREW_FOREVER), CREW_ECLOSED);
    assert_int_equal(get_number(q, CREW_FOREVER), 2);
    assert_int_equal(get_number(q, CREW_FOREVER), CREW_ECLOSED);
    assert_text(crew_last_error()->text, "closed");
    assert_int_equal(get_number(q, 0), CREW_ECLOSED);
    end(q);
}

enum { WAIT_GET, WAIT_PUT, WAIT_PUT_LONG, WAIT_JOIN, WAITS };
struct waiting {
    crew_queue q;
    int what;
    pthread_t thread;
};

static void *wait_for_it(void *arg) {
    static char message[1000];
    const struct waiting *w = arg;
    crewtest_add(CELL_STARTED, 1);
    int rc = w->what == WAIT_JOIN   ? crew_queue_join(w->q, CREW_FOREVER)
             : w->what == WAIT_GET ? (int)crew_queue_get(w->q, NULL, 0, CREW_FOREVER)
             : crew_queue_put(w->q, message, w->what == WAIT_PUT ? 8 : sizeof message, CREW_FOREVER);
    return (void *)(intptr_t)rc;
}

/* Some wait; then `stop` is called; all hear the code. */
static void stop_waiters(int (*stop)(crew_queue), int want, int what) {
    struct waiting w[3];
    void *rc;
    for (int i = 0; i < 50; i++) {
        crew_queue q = make(1, false);
        if (what != WAIT_GET)
            assert_int_equal(crew_queue_put(q, "x", 1, 0), 0);
        crewtest_set(CELL_STARTED, 0);
        for (int k = 0; k < 3; k++) {
            w[k] = (struct waiting){.q = q, .what = what};
            assert_int_equal(pthread_create(&w[k].thread, NULL, wait_for_it, &w[k]), 0);
        }
        assert_true(crewtest_reached(CELL_STARTED, i % 4, 10));
        if (i % 2)
            crewtest_pause();
        double from = crewtest_now();
        assert_int_equal(stop(q), 0);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(pthread_join(w[k].thread, &rc), 0);
            assert_int_equal((intptr_t)rc, want);
        }
        assert_within(from, 5);
        if (stop != crew_queue_destroy)
            end(q);
    }
}

static void queue__destroyed_under_waiters__they_hear_of_it(void **state) {
    (void)state;
    for (int what = 0; what < WAITS; what++)
        stop_waiters(crew_queue_destroy, CREW_EINVAL, what);
}

static void queue__closed_under_waiters__they_hear_of_it(void **state) {
    (void)state;
    for (int what = 0; what < WAIT_JOIN; what++)
        stop_waiters(crew_queue_close, CREW_ECLOSED, what);
}

static void *use_until_gone(void *arg) {
    const struct waiting *w = arg;
    char message[400] = {0};
    ptrdiff_t rc = 0;
    for (uint64_t i = 0; rc >= 0 || rc == CREW_ETIMEDOUT; i++)
        rc = w->what == WAIT_GET ? crew_queue_get(w->q, message, sizeof message, 0)
                                 : crew_queue_put(w->q, message, crewtest_mix(i) % 400, 0);
    return (void *)(intptr_t)rc;
}

static void queue__destroyed_while_it_is_used__users_hear_of_it(void **state) {
    struct waiting w[4];
    void *rc;
    (void)state;
    for (int i = 0; i < 50; i++) {
        crew_queue q = make(0, false);
        for (int k = 0; k < 4; k++) {
            w[k] = (struct waiting){.q = q, .what = k % 2 ? WAIT_GET : WAIT_PUT};
            assert_int_equal(pthread_create(&w[k].thread, NULL, use_until_gone, &w[k]), 0);
        }
        CREWTEST_WAIT(crew_queue_size(q) > 100 * (i % 3), 10);
        assert_int_equal(crew_queue_destroy(q), 0);
        for (int k = 0; k < 4; k++) {
            assert_int_equal(pthread_join(w[k].thread, &rc), 0);
            assert_int_equal((intptr_t)rc, CREW_EINVAL);
        }
    }
}

static int put_three(crew_call *call) {
    crew_queue q = *CREW_IN(call, crew_queue);
    for (int64_t n = 1; n <= 3; n++)
        if (put_number(q, n) != 0)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
    return 0;
}

static void eof__last_producer_leaves__getters_hear_of_it_when_it_is_empty(void **state) {
    crew_queue q = make(0, true), plain = make(0, false);
    (void)state;
    assert_int_equal(get_number(q, 0), CREW_ETIMEDOUT); /* nobody has produced yet */
    assert_int_equal(crew_queue_produce(q), 0);
    assert_int_equal(crew_queue_produce(q), 0);
    assert_int_equal(get_number(q, 0.01), CREW_ETIMEDOUT);
    assert_int_equal(put_number(q, 4), 0);
    assert_int_equal(crew_queue_leave(q), 0);
    assert_int_equal(get_number(q, CREW_FOREVER), 4);
    assert_int_equal(get_number(q, CREW_FOREVER), CREW_ECLOSED);
    assert_int_equal(put_number(q, 5), 0); /* it is one again */
    assert_int_equal(get_number(q, CREW_FOREVER), 5);
    assert_int_equal(get_number(q, 0), CREW_ETIMEDOUT);
    assert_int_equal(crew_queue_leave(q), 0);
    assert_int_equal(get_number(q, CREW_FOREVER), CREW_ECLOSED);
    assert_int_equal(crew_queue_produce(plain), 0);
    assert_int_equal(crew_queue_leave(plain), 0);
    assert_int_equal(get_number(plain, 0), CREW_ETIMEDOUT);
    end(q);
    end(plain);
}

static void eof__workers_end_with_their_pool__getters_hear_of_it(void **state) {
    crew_queue q = make(0, true);
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crew_pool *p = crewtest_open(3);
    crew_queue in[24];
    for (int i = 0; i < 24; i++)
        in[i] = q;
    assert_ok(crew_pool_map(p, put_three, in, sizeof *in, 24, NULL, 0, NULL, &err), &err);
    for (int i = 0; i < 72; i++)
        assert_in_range(get_number(q, 0), 1, 3);
    assert_int_equal(get_number(q, 0.01), CREW_ETIMEDOUT); /* the workers are still there */
    crewtest_free(p);
    double from = crewtest_now();
    assert_int_equal(get_number(q, CREW_FOREVER), CREW_ECLOSED);
    assert_within(from, 5);
    end(q);
}

/* ---- what Python's tests show ---- */

static void waits_about(double from, double seconds) {
    double took = crewtest_now() - from;
    if (took < seconds - 0.001)
        fail_msg("it waited %g s, not %g", took, seconds);
    assert_within(from, seconds + 5);
}

static int put_at_once(crew_queue q) {
    int64_t n = 0;
    return crew_queue_put(q, &n, sizeof n, 0);
}

static int get_at_once(crew_queue q) {
    return (int)get_number(q, 0);
}

/* The quickest of three counts: the machine may pause in one. */
static void waits_not(crew_queue q, int (*at_once)(crew_queue q)) {
    double quickest = 1;
    for (int i = 0; i < 3; i++) {
        double from = crewtest_now();
        assert_int_equal(at_once(q), CREW_ETIMEDOUT);
        double took = crewtest_now() - from;
        quickest = took < quickest ? took : quickest;
    }
    assert_true(quickest < 0.1);
}

static int take_six(crew_call *call) {
    for (int64_t i = 0; i < 6; i++)
        if (get_number(*CREW_IN(call, crew_queue), CREW_FOREVER) != i)
            return 1;
    return 0;
}

static void put__queue_of_six__is_full_and_then_emptied_by_a_worker(void **state) {
    crew_queue q = make(6, false);
    int64_t seven = 7;
    (void)state;
    crew_pool *p = crewtest_open(1);
    assert_int_equal(crew_queue_empty(q), 1);
    assert_int_equal(crew_queue_full(q), 0);
    for (int64_t i = 0; i < 6; i++)
        assert_int_equal(crew_queue_put(q, &i, sizeof i, i % 2 ? 0 : CREW_FOREVER), 0);
    assert_int_equal(crew_queue_empty(q), 0);
    assert_int_equal(crew_queue_full(q), 1);
    waits_not(q, put_at_once);
    assert_text(crew_last_error()->text, "no room");
    double from = crewtest_now();
    assert_int_equal(crew_queue_put(q, &seven, sizeof seven, 0.082), CREW_ETIMEDOUT);
    waits_about(from, 0.082);
    run(p, take_six, q);
    assert_int_equal(crew_queue_empty(q), 1);
    assert_int_equal(crew_queue_full(q), 0);
    crewtest_free(p);
    end(q);
}

static int put_two_to_five(crew_call *call) {
    for (int64_t i = 2; i <= 5; i++)
        if (put_number(*CREW_IN(call, crew_queue), i) != 0)
            return 1;
    return 0;
}

static void get__what_a_worker_has_put__is_there_and_then_time_runs_out(void **state) {
    crew_queue q = make(0, false);
    (void)state;
    crew_pool *p = crewtest_open(1);
    assert_int_equal(crew_queue_empty(q), 1);
    run(p, put_two_to_five, q);
    assert_int_equal(crew_queue_empty(q), 0);
    assert_int_equal(get_number(q, CREW_FOREVER), 2);
    assert_int_equal(get_number(q, CREW_FOREVER), 3);
    assert_int_equal(get_number(q, 1), 4);
    assert_int_equal(get_number(q, 0), 5);
    assert_int_equal(crew_queue_empty(q), 1);
    waits_not(q, get_at_once);
    assert_text(crew_last_error()->text, "no message");
    double from = crewtest_now();
    assert_int_equal(get_number(q, 0.2), CREW_ETIMEDOUT);
    waits_about(from, 0.2);
    crewtest_free(p);
    end(q);
}

static int put_ten(crew_call *call) {
    for (int64_t i = 10; i < 20; i++)
        if (put_number(*CREW_IN(call, crew_queue), i) != 0)
            return 1;
    return 0;
}

static void put__here_and_then_by_a_process_started_later__arrives_in_order(void **state) {
    crew_queue q = make(0, false);
    (void)state;
    for (int64_t i = 0; i < 10; i++)
        assert_int_equal(put_number(q, i), 0);
    crew_pool *p = crewtest_open(1);
    run(p, put_ten, q);
    crewtest_free(p); /* its end does not wait for getters */
    for (int64_t i = 0; i < 20; i++)
        assert_int_equal(get_number(q, 0), i);
    assert_int_equal(get_number(q, 0), CREW_ETIMEDOUT);
    end(q);
}

static void size__puts_and_gets__are_counted(void **state) {
    crew_queue q = make(0, false);
    (void)state;
    assert_int_equal(crew_queue_size(q), 0);
    assert_int_equal(put_number(q, 1), 0);
    assert_int_equal(crew_queue_size(q), 1);
    assert_int_equal(put_number(q, 5), 0);
    assert_int_equal(crew_queue_size(q), 2);
    assert_int_equal(crew_queue_full(q), 0);
    assert_int_equal(get_number(q, 0), 1);
    assert_int_equal(crew_queue_size(q), 1);
    assert_int_equal(get_number(q, 0), 5);
    assert_int_equal(crew_queue_size(q), 0);
    end(q);
}

static int work_until_pill(crew_call *call) {
    crew_queue q = *CREW_COMMON(call, crew_queue);
    int64_t n;
    ptrdiff_t size;
    while ((size = crew_queue_get(q, &n, sizeof n, CREW_FOREVER)) > 0) {
        crewtest_pause();
        crewtest_add(CELL_SUM, n);
        if (crew_queue_task_done(q) != 0)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
    }
    return size < 0;
}

static void join__four_workers__waits_until_all_is_done(void **state) {
    crew_queue q = make(0, false);
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_MANY | CREWTEST_ASYNC);
    crewtest_set(CELL_SUM, 0);
    assert_int_equal(crew_queue_join(q, 0), 0); /* nothing was put */
    crew_pool *p = crewtest_open(4);
    crew_map_opts opts = {.common = &q, .common_size = sizeof q, .chunk = 1};
    for (int64_t i = 0; i < 10; i++)
        assert_int_equal(put_number(q, i), 0);
    assert_int_equal(crew_queue_join(q, 0.01), CREW_ETIMEDOUT);
    crew_job *job = crew_map_async(p, work_until_pill, NULL, 0, 4, NULL, 0, &opts, &err);
    assert_non_null(job);
    assert_int_equal(crew_queue_join(q, CREW_FOREVER), 0);
    assert_int_equal(crewtest_get(CELL_SUM), 45);
    for (int i = 0; i < 4; i++)
        assert_int_equal(crew_queue_put(q, NULL, 0, CREW_FOREVER), 0);
    assert_ok(crew_job_get(job, 20, &err), &err);
    crew_job_free(job);
    crewtest_free(p);
    end(q);
}

static void put__of_what_cannot_be_sent__is_an_error_there_and_takes_no_room(void **state) {
    crew_queue q = make(1, false);
    char byte = 1;
    (void)state;
    assert_int_equal(crew_queue_put(q, &byte, (size_t)1 << 60, CREW_FOREVER), CREW_ENOMEM);
    assert_int_equal(crew_queue_size(q), 0);
    assert_int_equal(crew_queue_put(q, &byte, 1, 0), 0);
    assert_int_equal(crew_queue_size(q), 1);
    assert_int_equal(crew_queue_get(q, &byte, 1, 5), 1);
    assert_int_equal(crew_queue_empty(q), 1);
    end(q);
}

static int put_whether_empty(crew_call *call) {
    crew_queue q = *CREW_IN(call, crew_queue);
    for (int i = 0; i < 2; i++)
        if (put_number(q, crew_queue_empty(q)) != 0)
            return 1;
    return 0;
}

static void empty__asked_by_a_worker_between_its_puts__is_right(void **state) {
    crew_queue q = make(0, false);
    (void)state;
    crew_pool *p = crewtest_open(1);
    assert_int_equal(crew_queue_empty(q), 1);
    run(p, put_whether_empty, q);
    assert_int_equal(crew_queue_empty(q), 0);
    assert_int_equal(get_number(q, 0), 1);
    assert_int_equal(get_number(q, 0), 0);
    assert_int_equal(crew_queue_empty(q), 1);
    crewtest_free(p);
    end(q);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(queue__messages_of_any_size__arrive_as_they_were),
        CREWTEST(queue__message_of_a_gibibyte__arrives),
        CREWTEST(queue__empty_message__is_one),
        CREWTEST(queue__buffer_too_small__leaves_the_message),
        CREWTEST(queue__bad_requests__are_errors_in_a_sentence),
        CREWTEST(queue__handle_of_a_queue__travels_through_a_queue),
        CREWTEST(queue__putters_and_getters__each_message_once_in_its_putters_order),
        CREWTEST(queue__that_was_long__gives_its_memory_back),
        CREWTEST(queue__closed__puts_fail_and_gets_drain),
        CREWTEST(queue__destroyed_under_waiters__they_hear_of_it),
        CREWTEST(queue__closed_under_waiters__they_hear_of_it),
        CREWTEST(queue__destroyed_while_it_is_used__users_hear_of_it),
        CREWTEST(eof__last_producer_leaves__getters_hear_of_it_when_it_is_empty),
        CREWTEST(eof__workers_end_with_their_pool__getters_hear_of_it),
        CREWTEST(put__queue_of_six__is_full_and_then_emptied_by_a_worker),
        CREWTEST(get__what_a_worker_has_put__is_there_and_then_time_runs_out),
        CREWTEST(put__here_and_then_by_a_process_started_later__arrives_in_order),
        CREWTEST(size__puts_and_gets__are_counted),
        CREWTEST(join__four_workers__waits_until_all_is_done),
        CREWTEST(put__of_what_cannot_be_sent__is_an_error_there_and_takes_no_room),
        CREWTEST(empty__asked_by_a_worker_between_its_puts__is_right),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
