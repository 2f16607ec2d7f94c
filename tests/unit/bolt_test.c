/* unit/bolt_test.c - bolts of cells that are used again: who means the object before
 * neither gets nor takes away what is the next one's. */
#include "crewtest.h"

#include "api/objects.h"
#include "share/dict.h"
#include "share/list.h"
#include "share/lock.h"
#include "share/pipe.h"
#include "share/queue.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static void *cell_of(uint64_t place) {
    return cw_share_here()->root.base + (place & (((uint64_t)1 << 48) - 1));
}

static crew_lock lock(void) {
    crew_lock l;
    assert_int_equal(crew_lock_create(&l), 0);
    return l;
}

/* In the cell of one that was destroyed. */
static crew_lock next_of(crew_lock before) {
    crew_lock l = lock();
    assert_int_equal(l.place, before.place);
    return l;
}

static struct cw_self *self(void) {
    struct cw_self *s = cw_self_get();
    assert_non_null(s);
    return s;
}

static void bolts__of_objects_that_are_gone__are_acquired_by_nobody(void **state) {
    crew_dict d;
    crew_list l;
    crew_queue q;
    crew_conn a, b;
    (void)state;
    crew_lock k = lock();
    assert_int_equal(crew_dict_create(&d), 0);
    assert_int_equal(crew_list_create(&l), 0);
    assert_int_equal(crew_queue_create(&q, 0, NULL), 0);
    assert_int_equal(crew_pipe_create(&a, &b, true), 0);
    struct cw_dict *dict = cell_of(d.place);
    struct cw_list *list = cell_of(l.place);
    struct cw_queue *queue = cell_of(q.place);
    struct cw_lock *held = cell_of(k.place);
    cw_bolt *bolt[] = {&dict->stripe[0].bolt, &dict->stripe[63].bolt, &list->bolt,
                       &queue->put, &queue->get, &held->bolt};
    const uint64_t check[] = {d.check, d.check, l.check, q.check, q.check, k.check};
    enum { BOLTS = sizeof bolt / sizeof *bolt };
    for (int i = 0; i < BOLTS; i++) {
        assert_int_equal(cw_bolt_acquire(self(), bolt[i], check[i], 0), 0);
        cw_bolt_release(self(), bolt[i], check[i]);
    }
    for (int again = 0; again < 2; again++) {
        assert_int_equal(crew_dict_destroy(d), 0);
        assert_int_equal(crew_list_destroy(l), 0);
        assert_int_equal(crew_queue_destroy(q), 0);
        assert_int_equal(crew_lock_destroy(k), 0);
        for (int i = 0; i < BOLTS; i++)
            assert_int_equal(cw_bolt_acquire(self(), bolt[i], check[i], CREW_FOREVER), CREW_EINVAL);
        k = next_of(k);
        assert_int_equal(crew_dict_create(&d), 0);
        assert_int_equal(crew_list_create(&l), 0);
        assert_int_equal(crew_queue_create(&q, 0, NULL), 0);
    }
    for (int i = 0; i < BOLTS; i++)
        assert_int_equal(cw_bolt_acquire(self(), bolt[i], check[i], CREW_FOREVER), CREW_EINVAL);
    assert_int_equal(crew_dict_destroy(d), 0);
    assert_int_equal(crew_list_destroy(l), 0);
    assert_int_equal(crew_queue_destroy(q), 0);
    assert_int_equal(crew_lock_destroy(k), 0);
    assert_int_equal(crew_conn_close(a), 0);
    assert_int_equal(crew_conn_close(b), 0);
}

static void *hold(void *l) {
    return (void *)(intptr_t)crew_lock_acquire(*(crew_lock *)l, 0);
}

/* A release that had found its lock, and comes to it after that was destroyed. */
static void release__that_comes_late__leaves_the_next_lock_to_its_holder(void **state) {
    pthread_t thread;
    void *rc;
    (void)state;
    crew_lock a = lock();
    struct cw_lock *cell = cell_of(a.place);
    assert_int_equal(crew_lock_acquire(a, 0), 0);
    assert_int_equal(crew_lock_destroy(a), 0);
    crew_lock b = next_of(a);
    assert_int_equal(pthread_create(&thread, NULL, hold, &b), 0);
    pthread_join(thread, &rc);
    assert_int_equal((intptr_t)rc, 0);
    assert_int_equal(cw_lock_release(self(), cell, a.check), CREW_EINVAL);
    cw_bolt_release(self(), &cell->bolt, a.check);
    assert_int_equal(crew_lock_acquire(b, 0), CREW_ETIMEDOUT);
    assert_int_equal(crew_lock_release(b), 0);
    assert_int_equal(crew_lock_destroy(b), 0);
}

static _Atomic int waiting;

static void *wait_long(void *l) {
    waiting = 1;
    return (void *)(intptr_t)crew_lock_acquire(*(crew_lock *)l, 30);
}

/* The next lock is there and held before the waiter can look. */
static void waiter__of_a_lock_that_becomes_another__is_told_soon(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        pthread_t thread;
        void *rc;
        crew_lock a = lock();
        waiting = 0;
        assert_int_equal(crew_lock_acquire(a, 0), 0);
        assert_int_equal(pthread_create(&thread, NULL, wait_long, &a), 0);
        const struct cw_lock *cell = cell_of(a.place);
        CREWTEST_WAIT(waiting && atomic_load(&cell->bolt.word) & CW_BOLT_WAITED, 10);
        assert_int_equal(crew_lock_destroy(a), 0);
        crew_lock b = next_of(a);
        assert_int_equal(crew_lock_acquire(b, 0), 0);
        double from = crewtest_now();
        pthread_join(thread, &rc);
        assert_within(from, 2);
        assert_int_equal((intptr_t)rc, CREW_EINVAL);
        assert_int_equal(crew_lock_acquire(b, 0), CREW_ETIMEDOUT);
        assert_int_equal(crew_lock_release(b), 0);
        assert_int_equal(crew_lock_destroy(b), 0);
    }
}

/* ---- a death ---- */

static int hold_and_stay(crew_call *call) {
    if (crew_lock_acquire(*CREW_IN(call, crew_lock), 0) != 0)
        return 1;
    crewtest_set(CELL_STARTED, 1);
    return crewtest_pass(call, CELL_GATE);
}

static int die(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err) {
    (void)share, (void)head, (void)arg, (void)err;
    raise(SIGKILL);
    return 0;
}

/* Cells are put in order again by whoever makes the next object. */
static int die_making(crew_call *call) {
    uint64_t place, check;
    (void)call;
    return cw_handle_make(CW_EVENT, die, NULL, &place, &check);
}

static void run(crew_process *p, crew_fn *fn, const void *arg, size_t size) {
    crew_error err;
    assert_ok(crew_process_start(p, fn, arg, size, NULL, &err), &err);
}

static void lock__destroyed_with_a_holder_that_is_killed__the_next_one_is_free(void **state) {
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crewtest_need_fork_beside_threads();
    for (int in_order = 0; in_order < 2; in_order++) {
        crew_process holder, maker;
        crew_lock a = lock();
        crewtest_set(CELL_STARTED, 0);
        crewtest_set(CELL_GATE, 0);
        run(&holder, hold_and_stay, &a, sizeof a);
        assert_true(crewtest_reached(CELL_STARTED, 1, 20));
        assert_int_equal(crew_lock_destroy(a), 0);
        if (!in_order) {
            run(&maker, die_making, NULL, 0);
            assert_int_equal(crew_process_join(maker, 20), 0);
            assert_int_equal(crew_process_close(maker), 0);
        }
        crew_lock b;
        assert_int_equal(crew_lock_create(&b), 0);
        assert_int_equal(crew_lock_acquire(b, 0), 0);
        assert_int_equal(crew_process_kill(holder), 0);
        assert_int_equal(crew_process_join(holder, 20), 0);
        cw_party_bury(cw_share_here());
        assert_int_equal(crew_lock_release(b), 0);
        assert_int_equal(crew_lock_acquire(b, 0), 0); /* nor told of a death */
        assert_int_equal(crew_lock_release(b), 0);
        assert_int_equal(crew_process_close(holder), 0);
        assert_int_equal(crew_lock_destroy(b), 0);
    }
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(bolts__of_objects_that_are_gone__are_acquired_by_nobody),
        CREWTEST(release__that_comes_late__leaves_the_next_lock_to_its_holder),
        CREWTEST(waiter__of_a_lock_that_becomes_another__is_told_soon),
        CREWTEST(lock__destroyed_with_a_holder_that_is_killed__the_next_one_is_free),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
