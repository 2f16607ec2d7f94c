/* fault/queue_step_test.c - a process dies after each step of a put, a get, and what
 * else changes a queue; another one buries it and goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/error.h"
#include "share/queue.h"
#include "step_kill.h"
#include "team/head.h"

enum { HALF = 1 << 28, SIZE = 1 << 29, LONG = 1000, LONGEST = 100000, N = CW_QUEUE_SLOTS };

static struct {
    cw_segment seg;
    cw_arena arena, arrays;
    cw_off commons;
    struct cw_share *share;
    struct cw_self *self;
    struct cw_queue *q;
    uint64_t place, check;
    char message[LONGEST];
} c;

/* A segment with a commons, and this process as its first party. */
static int build(void **state) {
    crew_error err;
    (void)state;
    bool good = cw_segment_create(&c.seg, SIZE, &err) == 0 &&
                cw_arena_create(&c.arena, &c.seg, CW_ARENA_START, HALF, &err) == 0 &&
                cw_arena_create(&c.arrays, &c.seg, HALF, SIZE, &err) == 0 &&
                cw_head_make(&c.seg, HALF, &err) == 0 &&
                cw_share_create(&c.arena, &c.commons, &err) == 0 &&
                cw_share_enter(&c.seg, CW_ARENA_START, c.commons, &err) == 0;
    c.share = good ? cw_share_here() : NULL;
    if (c.share && cw_party_join(c.share, &err) == 0)
        c.self = cw_self_make(c.share, &err);
    if (!c.self)
        print_error("%s\n", err.text);
    return c.self ? 0 : -1;
}

static int take_down(void **state) {
    (void)state;
    cw_party_part(c.share);
    cw_share_leave(false);
    cw_segment_destroy(&c.seg);
    return 0;
}

/* ---- what is done, here or by the child ---- */

/* Message n is as long as its number says. */
static size_t size_of(uint64_t n) {
    return n % 3 == 1 ? LONG : n % 3 == 2 && n % 100 == 95 ? LONGEST : 8;
}

static int put_message(struct cw_self *self, uint64_t n) {
    memcpy(c.message, &n, sizeof n);
    return cw_queue_put(self, c.q, c.check, c.message, size_of(n), 0, NULL);
}

/* Its number, or a code. */
static int64_t get_message(struct cw_self *self) {
    uint64_t n;
    size_t size;
    int rc = cw_queue_get(self, c.q, c.check, c.message, sizeof c.message, 0, &size);
    if (rc < 0)
        return rc;
    memcpy(&n, c.message, sizeof n);
    return size == size_of(n) ? (int64_t)n : CREW_EMISMATCH;
}

/* The child becomes a party. Not traced. */
static void join(void) {
    crew_error err;
    if (cw_share_enter(&c.seg, CW_ARENA_START, c.commons, &err) < 0 ||
        cw_party_join(cw_share_here(), &err) < 0 || !cw_self_make(cw_share_here(), &err))
        _exit(4);
}

static void put_one(void *number) {
    step_over();
    if (put_message(&cw_self_now, *(uint64_t *)number) < 0)
        _exit(3);
}

static void get_one(void *number) {
    (void)number;
    step_over();
    if (get_message(&cw_self_now) < 0)
        _exit(3);
}

static void close_it(void *number) {
    (void)number;
    step_over();
    if (cw_queue_close(&cw_self_now, c.q, c.check) < 0)
        _exit(3);
}

static void end_it(void *number) {
    (void)number;
    step_over();
    if (cw_queue_end(&cw_self_now, c.q, c.check) < 0 ||
        cw_object_end(cw_share_here(), CW_QUEUE, c.place, c.check) < 0)
        _exit(3);
}

/* ---- what is left ---- */

static void make_queue(uint64_t put, uint64_t taken) {
    struct cw_queue_opts opts = {.eof = true};
    crew_error err;
    assert_int_equal(
        cw_object_make(c.share, CW_QUEUE, cw_queue_init, &opts, &c.place, &c.check, &err), 0);
    c.q = cw_object(c.share, CW_QUEUE, c.place, c.check);
    assert_int_equal(cw_queue_produce(c.self, c.q, c.check, NULL), 0);
    /* Counters go on from one queue of the cell to the next: to the chunk's begin. */
    while (atomic_load(&c.q->tail) % N) {
        assert_int_equal(put_message(c.self, 0), 0);
        assert_int_equal(get_message(c.self), 0);
    }
    for (uint64_t n = 0; n < put; n++)
        assert_int_equal(put_message(c.self, n), 0);
    for (uint64_t n = 0; n < taken; n++)
        assert_int_equal(get_message(c.self), n);
}

static void end_queue(void) {
    assert_int_equal(cw_queue_end(c.self, c.q, c.check), 0);
    assert_int_equal(cw_object_end(c.share, CW_QUEUE, c.place, c.check), 0);
}

/* The messages from..to - 1 and no others, then a few more times round; in the end
 * all memory is back. */
static void check_queue(uint64_t from, uint64_t to, bool closed, uint64_t used) {
    for (uint64_t n = from; n < to; n++)
        assert_int_equal(get_message(c.self), n);
    assert_int_equal(get_message(c.self), closed ? CREW_ECLOSED : CREW_ETIMEDOUT);
    for (int round = 0; round < 2 && !closed; round++) {
        for (uint64_t n = 0; n < 3 * N; n++)
            assert_int_equal(put_message(c.self, n), 0);
        for (uint64_t n = 0; n < 3 * N; n++)
            assert_int_equal(get_message(c.self), n);
    }
    end_queue();
    assert_int_equal(cw_arena_used(&c.share->arena), used);
}

/* Kills the operation after each of its steps, on a queue to which so many were
 * put and so many taken from it. How many kills there were. */
static int kill_each_step(void (*operation)(void *), uint64_t put, uint64_t taken) {
    make_queue(0, 0); /* lays the shelves out */
    end_queue();
    uint64_t used = cw_arena_used(&c.share->arena);
    step_over = join;
    for (int n = 1;; n++) {
        make_queue(put, taken);
        uint64_t check = c.check, head = atomic_load(&c.q->head), tail = atomic_load(&c.q->tail);
        const struct cw_hand *hand = (struct cw_hand *)cw_cell(c.share, CW_HAND, 1);
        const struct watched areas[] = {{c.q, sizeof *c.q}, {hand->block, sizeof hand->block}};
        enum step_result result = step_kill(operation, &put, areas, 2, n);
        if (result == STEP_IMPOSSIBLE && n == 1)
            skip();
        assert_int_not_equal(result, STEP_IMPOSSIBLE);
        assert_int_equal(cw_party_bury(c.share), 1);
        uint64_t got = atomic_load(&c.q->head) - head, came = atomic_load(&c.q->tail) - tail;
        if (!cw_object_same(&c.q->cell, check)) { /* ended, or by the next one who makes one */
            make_queue(put, taken);
            got = came = 0;
        }
        assert_true(got + came <= (operation == end_it ? put : 1));
        check_queue(taken + got, put + came, atomic_load(&c.q->closed), used);
        if (result == STEP_OVER) {
            assert_true(operation == put_one ? came == 1 : operation == get_one ? got == 1 : true);
            return n - 1;
        }
    }
}

static void kill_all(void (*operation)(void *), const uint64_t (*queues)[2], int count,
                     int least) {
    int kills = 0;
    if (STEP_TOO_SLOW)
        skip();
    for (int i = 0; i < count; i++)
        kills += kill_each_step(operation, queues[i][0], queues[i][1]);
    print_message("%d kills\n", kills);
    assert_true(kills >= least * count);
}

static void put__killed_after_each_step__has_happened_or_not(void **state) {
    /* Short, long, with pages of its own; the first of a chunk, which is new, which
     * was left by getters, or one of several that they left. */
    static const uint64_t queues[][2] = {
        {0, 0},         {1, 0},         {2, 1},       {95, 0},         {N, 0},
        {2 * N, N + 1}, {2 * N, 2 * N}, {3 * N, N + 5}, {4 * N, 3 * N + 7},
    };
    (void)state;
    kill_all(put_one, queues, sizeof queues / sizeof *queues, 4);
}

static void get__killed_after_each_step__has_happened_or_not(void **state) {
    /* The same; the first message of a chunk, with and without chunks to give back. */
    static const uint64_t queues[][2] = {
        {1, 0}, {2, 1}, {3, 2}, {96, 95}, {N + 1, N}, {3 * N, N}, {3 * N, 2 * N}, {5 * N, 4 * N},
    };
    (void)state;
    kill_all(get_one, queues, sizeof queues / sizeof *queues, 4);
}

static void close__killed_after_each_step__has_happened_or_not(void **state) {
    static const uint64_t queues[][2] = {{2, 0}};
    (void)state;
    kill_all(close_it, queues, 1, 2);
}

static void end__killed_after_each_step__loses_no_memory(void **state) {
    static const uint64_t queues[][2] = {{0, 0}, {3, 1}, {N + 1, N - 2}};
    (void)state;
    kill_all(end_it, queues, sizeof queues / sizeof *queues, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put__killed_after_each_step__has_happened_or_not),
        cmocka_unit_test(get__killed_after_each_step__has_happened_or_not),
        cmocka_unit_test(close__killed_after_each_step__has_happened_or_not),
        cmocka_unit_test(end__killed_after_each_step__loses_no_memory),
    };
    return cmocka_run_group_tests(tests, build, take_down);
}
