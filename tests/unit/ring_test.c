#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/plain.h"
#include "team/ring.h"

static cw_ring *make_ring(uint32_t log2_size) {
    cw_ring *ring = mmap(NULL, cw_ring_bytes(log2_size), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(ring != MAP_FAILED);
    cw_ring_init(ring, log2_size);
    return ring;
}

static void drop_ring(cw_ring *ring) {
    munmap(ring, cw_ring_bytes(ring->log2_size));
}

static void ring__of_each_size__fills_and_empties_in_order(void **state) {
    (void)state;
    for (uint32_t log2 = 0; log2 <= 10; log2++) {
        cw_ring *ring = make_ring(log2);
        uint32_t size = (uint32_t)1 << log2, value, in = 0, out = 0;
        for (int round = 0; round < 5; round++) {
            assert_true(cw_ring_empty(ring));
            assert_int_equal(cw_ring_size(ring), 0);
            assert_false(cw_ring_pop(ring, &value));
            for (uint32_t i = 0; i < size; i++)
                assert_true(cw_ring_push(ring, in++ * 2654435761U));
            assert_false(cw_ring_push(ring, 1));
            assert_int_equal(cw_ring_size(ring), size);
            assert_false(cw_ring_empty(ring));
            for (uint32_t i = 0; i < size; i++) {
                assert_true(cw_ring_pop(ring, &value));
                assert_int_equal(value, out++ * 2654435761U);
            }
        }
        drop_ring(ring);
    }
}

static void ring__any_value__comes_out_as_it_went_in(void **state) {
    (void)state;
    cw_ring *ring = make_ring(2);
    const uint32_t values[] = {0, 1, 0x7fffffff, 0x80000000, UINT32_MAX};
    for (int i = 0; i < 5; i++) {
        uint32_t value = 77;
        assert_true(cw_ring_push(ring, values[i]));
        assert_true(cw_ring_pop(ring, &value));
        assert_int_equal(value, values[i]);
    }
    drop_ring(ring);
}

/* 31 bits of turn come round after 2^31 turns, 64 bits of counter never. */
static void ring__turns_wrapping_round__goes_on(void **state) {
    (void)state;
    for (uint32_t log2 = 0; log2 <= 3; log2++) {
        cw_ring *ring = make_ring(log2);
        uint32_t size = (uint32_t)1 << log2, value;
        const uint32_t turn = 0x7fffffff - 3;
        ring->head = ring->tail = (uint64_t)turn << log2;
        for (uint32_t i = 0; i < size; i++)
            ring->slots[i] = (uint64_t)turn << 33;
        for (uint32_t i = 0, out = 0; i < 10 * size; i++) {
            assert_true(cw_ring_push(ring, i));
            if (i % size == size - 1) {
                assert_false(cw_ring_push(ring, i));
                while (cw_ring_pop(ring, &value))
                    assert_int_equal(value, out++);
                assert_int_equal(out, i + 1);
                assert_true(cw_ring_empty(ring));
            }
        }
        drop_ring(ring);
    }
}

/* What a pusher or popper leaves that dies between its two stores. */
static void ring__counters_lagging__are_moved_on_by_the_next(void **state) {
    (void)state;
    uint32_t value;
    for (int lag = 0; lag <= 4; lag++) {
        cw_ring *ring = make_ring(2);
        for (uint32_t i = 0; i < 4; i++)
            assert_true(cw_ring_push(ring, i));
        ring->tail = 4 - (uint64_t)lag;
        assert_false(cw_ring_empty(ring));
        if (lag < 4)
            assert_false(cw_ring_push(ring, 9));
        for (uint32_t i = 0; i < 4; i++) {
            assert_true(cw_ring_pop(ring, &value));
            assert_int_equal(value, i);
        }
        ring->head = 4 - (uint64_t)lag;
        assert_false(cw_ring_pop(ring, &value));
        assert_true(cw_ring_push(ring, 5));
        assert_true(cw_ring_pop(ring, &value));
        assert_int_equal(value, 5);
        drop_ring(ring);
    }
}

enum { THREADS = 3, EACH = 100000 };

struct shared {
    cw_ring *ring;
    _Atomic uint32_t popped, wrong;
    _Atomic uint8_t seen[THREADS * EACH];
    uint32_t payload[THREADS * EACH]; /* plain: the ring orders it */
};

struct end {
    struct shared *shared;
    uint32_t number;
};

static void *push_all(void *arg) {
    struct end *end = arg;
    for (uint32_t i = 0; i < EACH; i++) {
        uint32_t value = end->number * EACH + i;
        end->shared->payload[value] = value ^ 0x5a5a5a5a;
        while (!cw_ring_push(end->shared->ring, value))
            sched_yield();
    }
    return NULL;
}

static void *pop_all(void *arg) {
    struct end *end = arg;
    struct shared *s = end->shared;
    int64_t last[THREADS] = {-1, -1, -1};
    while (s->popped < THREADS * EACH) {
        uint32_t value;
        if (!cw_ring_pop(s->ring, &value)) {
            sched_yield();
            continue;
        }
        if (value >= THREADS * EACH || s->payload[value] != (value ^ 0x5a5a5a5a) ||
            s->seen[value]++ || (int64_t)value <= last[value / EACH])
            s->wrong = 1;
        else
            last[value / EACH] = value;
        s->popped++;
    }
    return NULL;
}

static void ring__pushed_and_popped_by_threads__passes_each_value_once(void **state) {
    (void)state;
    struct shared *s = calloc(1, sizeof *s);
    s->ring = make_ring(7);
    pthread_t threads[2 * THREADS];
    struct end ends[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        ends[i] = (struct end){s, i};
        assert_int_equal(pthread_create(&threads[i], NULL, push_all, &ends[i]), 0);
        assert_int_equal(pthread_create(&threads[THREADS + i], NULL, pop_all, &ends[i]), 0);
    }
    for (int i = 0; i < 2 * THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(s->wrong, 0);
    assert_int_equal(s->popped, THREADS * EACH);
    assert_true(cw_ring_empty(s->ring));
    drop_ring(s->ring);
    free(s);
}

/* Messages a second between forked processes: `ends` push and as many pop. */
static double rate(uint32_t ends, uint32_t messages) {
    cw_ring *ring = make_ring(10);
    double begin = now();
    for (uint32_t i = 0; i < 2 * ends; i++) {
        if (fork() != 0)
            continue;
        alarm(60);
        uint32_t value;
        for (uint32_t k = 0; k < messages / ends; k++)
            for (uint32_t tries = 1;
                 !(i < ends ? cw_ring_push(ring, k) : cw_ring_pop(ring, &value)); tries++)
                if (tries % 64 == 0)
                    sched_yield();
        _exit(0);
    }
    for (uint32_t i = 0; i < 2 * ends; i++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    double took = now() - begin;
    assert_true(cw_ring_empty(ring));
    drop_ring(ring);
    return messages / took;
}

static void ring__between_processes__passes_all_messages(void **state) {
    (void)state;
    print_message("1 to 1: %.1f M/s, 4 to 4: %.1f M/s\n", rate(1, 2000000) / 1e6,
                  rate(4, 2000000) / 1e6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring__of_each_size__fills_and_empties_in_order),
        cmocka_unit_test(ring__any_value__comes_out_as_it_went_in),
        cmocka_unit_test(ring__turns_wrapping_round__goes_on),
        cmocka_unit_test(ring__counters_lagging__are_moved_on_by_the_next),
        cmocka_unit_test(ring__pushed_and_popped_by_threads__passes_each_value_once),
        cmocka_unit_test(ring__between_processes__passes_all_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
