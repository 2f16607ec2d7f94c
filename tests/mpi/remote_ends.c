/* mpi/remote_ends.c - objects of one node used by workers of every node: pipes, handles that
 * mean nothing, and what is left when threads and processes end. */
#include "remote.h"

#include "share/share.h"

#include <signal.h>
#include <unistd.h>

/* ---- pipes --------------------------------------------------------------- */

struct ends {
    crew_conn conn, other;
    int64_t node;
};

/* Answers each message with the same, until end-of-file. */
static int answer(crew_call *call) {
    struct ends e = *CREW_IN(call, struct ends);
    char buf[64];
    if (call->node != e.node || crewtest_add(CELL_READY, 1) != 0)
        return 0;
    for (;;) {
        ptrdiff_t size = crew_conn_recv(e.conn, buf, sizeof buf, SOON);
        if (size == CREW_ECLOSED)
            break;
        WANT(size > 0, 1);
        TRY(crew_conn_send(e.conn, buf, (size_t)size, SOON));
    }
    return fine(call, crew_conn_close(e.conn), "close");
}

static void *answer_beside(void *arg) {
    struct beside *b = arg;
    b->rc = crew_pool_each(b->p, b->fn, b->a, sizeof(struct ends), &b->err);
    return NULL;
}

static void pipe__manager_and_a_worker_of_each_node__talk(void **state) {
    crewtest_need(CREWTEST_ASYNC);
    (void)state;
    crew_pool *p = crewtest_open(WORKERS);
    for (int64_t node = 0; node < nodes(); node++) {
        struct ends e = {.node = node};
        struct beside b = {.p = p, .fn = answer, .a = (struct all *)(void *)&e};
        char buf[64];
        crewtest_set(CELL_READY, 0);
        assert_int_equal(crew_pipe_create(&e.conn, &e.other, true), 0);
        assert_int_equal(pthread_create(&b.thread, NULL, answer_beside, &b), 0);
        for (int i = 0; i < 20; i++) {
            int size = snprintf(buf, sizeof buf, "message %d", i);
            assert_int_equal(crew_conn_send(e.other, buf, (size_t)size, SOON), 0);
            bool ready = false;
            assert_int_equal(crew_conn_wait(&e.other, 1, &ready, SOON), 1);
            assert_int_equal(crew_conn_recv(e.other, buf, sizeof buf, 0), size);
        }
        assert_int_equal(crew_conn_close(e.other), 0);
        end_beside(&b);
    }
    crewtest_free(p);
}

/* The worker has no descriptor for it, and looks. */
static int wait_for_two(crew_call *call) {
    struct ends e = *CREW_IN(call, struct ends);
    char buf[8];
    crew_conn mine, theirs, both[2];
    bool ready[2] = {false, false};
    if (call->node != e.node || crewtest_add(CELL_READY, 1) != 0)
        return 0;
    TRY(crew_pipe_create(&mine, &theirs, true));
    both[0] = mine;
    both[1] = e.conn;
    WANT(crew_conn_wait(both, 2, ready, 0.02), CREW_ETIMEDOUT);
    crewtest_add(CELL_STARTED, 1);
    WANT(crew_conn_wait(both, 2, ready, SOON), 1);
    WANT(ready[0], 0);
    WANT(ready[1], 1);
    WANT(crew_conn_recv(e.conn, buf, sizeof buf, 0), 2);
    TRY(crew_conn_send(theirs, "y", 1, 0));
    WANT(crew_conn_wait(both, 2, ready, SOON), 1);
    WANT(ready[0], 1);
    if (call->node != 0) {
        WANT(crew_conn_fd(e.conn), CREW_ENOTSUP);
        WANT(strstr(crew_last_error()->text, "crew_conn_poll") != NULL, 1);
    }
    TRY(crew_conn_close(mine));
    TRY(crew_conn_close(theirs));
    return 0;
}

static void pipe__own_and_another_nodes_end__are_waited_for_together(void **state) {
    crewtest_need(CREWTEST_ASYNC);
    (void)state;
    crew_pool *p = crewtest_open(WORKERS);
    for (int64_t node = 0; node < nodes(); node += 2) {
        struct ends e = {.node = node};
        struct beside b = {.p = p, .fn = wait_for_two, .a = (struct all *)(void *)&e};
        crewtest_set(CELL_READY, 0);
        crewtest_set(CELL_STARTED, 0);
        assert_int_equal(crew_pipe_create(&e.conn, &e.other, true), 0);
        assert_int_equal(pthread_create(&b.thread, NULL, answer_beside, &b), 0);
        assert_true(crewtest_reached(CELL_STARTED, 1, SOON));
        assert_int_equal(crew_conn_send(e.other, "hi", 2, SOON), 0);
        end_beside(&b);
        assert_int_equal(crew_conn_close(e.other), 0);
        crew_conn_close(e.conn); /* it may be gone: its owner was the worker */
    }
    crewtest_free(p);
}

/* ---- handles, threads ----------------------------------------------------- */

static int misuse(crew_call *call) {
    struct all a = *CREW_IN(call, struct all);
    crew_rlock other;
    crew_queue wrong = a.queue;
    memcpy(&other, &a.lock, sizeof other);
    WANT(crew_rlock_acquire(other, 0), CREW_EINVAL);
    WANT(strstr(crew_last_error()->text, "that of a lock") != NULL, 1);
    wrong.check += 2;
    WANT(crew_queue_put(wrong, "x", 1, 0), CREW_EINVAL);
    wrong.check = a.queue.check ^ (uint64_t)1 << 60;
    WANT(crew_queue_size(wrong), CREW_EINVAL);
    WANT(strstr(crew_last_error()->text, "another program") != NULL, 1);
    WANT(crew_queue_put(a.queue, NULL, 1, 0), CREW_EINVAL);
    WANT(crew_dict_get(a.dict, NULL, 1, NULL, 0, 0), CREW_EINVAL);
    WANT(crew_lock_release(a.lock), CREW_EINVAL);
    WANT(strstr(crew_last_error()->text, "nobody holds") != NULL, 1);
    if (call->node == (int)cw_handle_node(a.whole.check))
        return 0;
    WANT(crew_value_ptr(a.whole) == NULL, 1);
    WANT(crew_last_error()->code, CREW_ENOTSUP);
    WANT(strstr(crew_last_error()->text, "crew_value_get_i64") != NULL, 1);
    return 0;
}

static int use_after_the_end(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    WANT(crew_lock_acquire(a->lock, 0), CREW_EINVAL);
    WANT(strstr(crew_last_error()->text, "no such lock") != NULL, 1);
    WANT(crew_queue_put(a->back, "x", 1, 0), CREW_EINVAL);
    WANT(crew_value_get_i64(a->whole), 0);
    WANT(crew_last_error()->code, CREW_EINVAL);
    WANT(crew_queue_destroy(a->back), CREW_EINVAL);
    return 0;
}

static void handles__wrong_or_stale__are_errors_with_the_same_sentences(void **state) {
    (void)state;
    crew_pool *p = crewtest_open(WORKERS);
    for (int home = 0; home < nodes() && home < 2; home++) {
        struct all a = objects_of(p, home);
        each(p, misuse, &a, sizeof a);
        assert_int_equal(end_all(&a), 0);
        each(p, use_after_the_end, &a, sizeof a);
        assert_int_equal(crew_lock_destroy(a.lock), CREW_EINVAL);
    }
    crewtest_free(p);
}

static int wait_until_gone(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    char buf[8];
    crewtest_add(CELL_READY, 1);
    switch (call->worker % 3) {
    case 0:
        WANT(crew_event_wait(a->event, SOON), CREW_EINVAL);
        break;
    case 1:
        WANT(crew_queue_get(a->back, buf, sizeof buf, SOON), CREW_EINVAL);
        break;
    default:
        WANT(crew_dict_get(a->dict, "k", 1, buf, sizeof buf, SOON), CREW_EINVAL);
    }
    return 0;
}

static void destroyed__while_other_nodes_wait__they_hear_of_it(void **state) {
    crewtest_need(CREWTEST_ASYNC);
    (void)state;
    crew_pool *p = crewtest_open(WORKERS);
    for (int home = 0; home < nodes() && home < 2; home++) {
        struct all a = objects_of(p, home);
        struct beside b;
        crewtest_set(CELL_READY, 0);
        begin_beside(&b, p, wait_until_gone, &a);
        assert_true(crewtest_reached(CELL_READY, crew_pool_workers(p), SOON));
        double from = crewtest_now();
        assert_int_equal(end_all(&a), 0);
        end_beside(&b);
        assert_within(from, SOON);
    }
    crewtest_free(p);
}

struct thread {
    pthread_t id;
    crew_rlock lock;
    int first, second;
};

static void *try_it(void *arg) {
    struct thread *t = arg;
    t->first = crew_rlock_acquire(t->lock, 0);
    t->second = crew_rlock_release(t->lock);
    return NULL;
}

/* Threads come and go; each is one of its own at the object's node, too. */
static int use_threads(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    for (int i = 0; i < 4; i++) {
        struct thread t[3];
        TRY(crew_rlock_acquire(a->rlock, SOON));
        for (int k = 0; k < 3; k++) {
            t[k].lock = a->rlock;
            TRY(pthread_create(&t[k].id, NULL, try_it, &t[k]));
        }
        for (int k = 0; k < 3; k++) {
            TRY(pthread_join(t[k].id, NULL));
            WANT(t[k].first, CREW_ETIMEDOUT);
            WANT(t[k].second, CREW_EPERM);
        }
        TRY(crew_rlock_release(a->rlock));
    }
    return 0;
}

static void check_threads(crew_pool *p, struct all *a) {
    each(p, use_threads, a, sizeof *a);
}

static void threads__of_workers_of_all_nodes__hold_for_themselves(void **state) {
    (void)state;
    over_homes(check_threads);
}

/* ---- deaths --------------------------------------------------------------- */

/* The first worker of that node holds or waits, and is killed; the others do nothing. */
static bool is_victim(const crew_call *call, const struct all *a) {
    if (call->node != a->node || crewtest_add(CELL_READY, 1) != 0)
        return false;
    crewtest_set(CELL_VICTIM, 0);
    return true;
}

static int die_holding(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    if (!is_victim(call, a))
        return 0;
    TRY(crew_lock_acquire(a->lock, SOON));
    TRY(crew_value_lock(a->whole));
    TRY(crew_queue_produce(a->queue));
    TRY(crew_rlock_acquire(a->rlock, SOON));
    TRY(crew_rlock_acquire(a->rlock, SOON));
    kill(getpid(), SIGKILL);
    return 0;
}

/* From another host nobody can kill it: its pid means somebody else there. */
static void *die_when_told(void *unused) {
    (void)unused;
    while (!crewtest_get(CELL_VICTIM))
        crewtest_pause();
    kill(getpid(), SIGKILL);
    return NULL;
}

static int die_waiting(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    pthread_t killer;
    if (!is_victim(call, a))
        return 0;
    if (pthread_create(&killer, NULL, die_when_told, NULL) != 0)
        return crew_fail(call, 1, "no thread");
    crewtest_add(CELL_STARTED, 1);
    switch (crewtest_get(CELL_SUM)) {
    case 0:
        crew_lock_acquire(a->lock, SOON);
        break;
    case 1:
        crew_queue_get(a->back, &a, 1, SOON);
        break;
    default:
        crew_barrier_wait(a->barrier, SOON);
    }
    return crew_fail(call, 1, "it was to be killed");
}

static void expect_a_death(struct beside *b) {
    assert_int_equal(pthread_join(b->thread, NULL), 0);
    assert_int_equal(b->rc, CREW_EDIED);
}

static void check_death_holding(crew_pool *p, struct all *a) {
    struct beside b;
    char buf[8];
    begin_beside(&b, p, die_holding, a);
    expect_a_death(&b);
    double from = crewtest_now();
    assert_int_equal(crew_lock_acquire(a->lock, SOON), CREW_OWNERDEAD);
    assert_int_equal(crew_rlock_acquire(a->rlock, SOON), CREW_OWNERDEAD);
    assert_int_equal(crew_value_lock(a->whole), CREW_OWNERDEAD);
    assert_int_equal(crew_queue_get(a->queue, buf, sizeof buf, SOON), CREW_ECLOSED);
    assert_within(from, 10);
    assert_int_equal(crew_lock_release(a->lock), 0);
    assert_int_equal(crew_rlock_release(a->rlock), 0);
    assert_int_equal(crew_value_unlock(a->whole), 0);
}

/* a->node as the third: everybody is far from somebody. */
static void over_victims(void (*test)(crew_pool *p, struct all *a)) {
    crew_pool *p = crewtest_open(WORKERS);
    for (int home = 0; home < nodes() && home < 2; home++)
        for (int64_t node = 0; node < nodes(); node++) {
            struct all a = objects_of(p, home);
            a.node = node;
            crewtest_set(CELL_READY, 0);
            crewtest_set(CELL_STARTED, 0);
            test(p, &a);
            if (end_all(&a) != 0)
                fail_msg("home %d: %s", home, crew_last_error()->text);
        }
    crewtest_free(p);
}

static void holder__killed_on_any_node__the_next_is_told(void **state) {
    crewtest_need(CREWTEST_PROCESSES);
    crewtest_may_take(180);
    (void)state;
    crewtest_set(CELL_SUM, 0);
    over_victims(check_death_holding);
}

static void kill_the_victim(void) {
    assert_true(crewtest_reached(CELL_STARTED, 1, SOON));
    crewtest_set(CELL_VICTIM, 1);
}

static void check_death_waiting(crew_pool *p, struct all *a) {
    struct beside b;
    int64_t n = 5;
    crewtest_set(CELL_SUM, 0);
    assert_int_equal(crew_lock_acquire(a->lock, SOON), 0);
    begin_beside(&b, p, die_waiting, a);
    kill_the_victim();
    expect_a_death(&b);
    assert_int_equal(crew_lock_release(a->lock), 0);
    /* It may have got it in its last moment. */
    assert_in_range(crew_lock_acquire(a->lock, SOON), 0, CREW_OWNERDEAD);
    assert_int_equal(crew_lock_release(a->lock), 0);
    crewtest_set(CELL_READY, 0);
    crewtest_set(CELL_STARTED, 0);
    crewtest_set(CELL_SUM, 2);
    begin_beside(&b, p, die_waiting, a);
    assert_true(crewtest_reached(CELL_STARTED, 1, SOON));
    CREWTEST_WAIT(crew_barrier_n_waiting(a->barrier) == 1, SOON);
    kill_the_victim();
    expect_a_death(&b);
    CREWTEST_WAIT(crew_barrier_broken(a->barrier) == 1, 10);
    assert_int_equal(crew_barrier_wait(a->barrier, SOON), CREW_EBROKEN);
    crewtest_set(CELL_READY, 0);
    crewtest_set(CELL_STARTED, 0);
    crewtest_set(CELL_SUM, 1);
    begin_beside(&b, p, die_waiting, a);
    kill_the_victim();
    expect_a_death(&b);
    /* What comes in its last moment may be its own. */
    CREWTEST_WAIT(crew_queue_put(a->back, &n, sizeof n, 0) == 0 &&
                      crew_queue_get(a->back, &n, sizeof n, 0.5) == sizeof n, 10);
}

static void waiter__killed_on_any_node__is_forgotten(void **state) {
    crewtest_need(CREWTEST_PROCESSES);
    crewtest_may_take(180);
    (void)state;
    over_victims(check_death_waiting);
}

/* What is not to happen: who stands for it dies, and not it. */
static int lose_deputy(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    if (!is_victim(call, a))
        return 0;
    TRY(crew_lock_acquire(a->lock, SOON));
    crewtest_add(CELL_STARTED, 1);
    WANT(crew_barrier_wait(a->barrier, SOON), CREW_EBROKEN);
    WANT(strstr(crew_last_error()->text, "signal 9") != NULL, 1);
    WANT(crew_lock_acquire(a->lock, SOON), CREW_OWNERDEAD);
    TRY(crew_lock_release(a->lock));
    return 0;
}

static void deputy__killed__who_waits_hears_of_it_and_may_ask_again(void **state) {
    crewtest_need(CREWTEST_PROCESSES);
    (void)state;
    if (nodes() == 1)
        skip(); /* there are none */
    crew_pool *p = crewtest_open(WORKERS);
    struct all a = objects_of(p, 0);
    struct beside b;
    a.node = nodes() - 1;
    crewtest_set(CELL_READY, 0);
    crewtest_set(CELL_STARTED, 0);
    begin_beside(&b, p, lose_deputy, &a);
    assert_true(crewtest_reached(CELL_STARTED, 1, SOON));
    CREWTEST_WAIT(crew_barrier_n_waiting(a.barrier) == 1, SOON);
    assert_true(kill_deputies() > 0);
    end_beside(&b);
    assert_int_equal(end_all(&a), 0);
    crewtest_free(p);
    remote_begin(); /* the manager's own was among them */
}

/* ---- week after week -------------------------------------------------------- */

static void *take_once(void *arg) {
    const crew_lock *lock = arg;
    int rc = crew_lock_acquire(*lock, SOON);
    if (rc == 0)
        rc = crew_lock_release(*lock);
    return rc == 0 ? NULL : arg;
}

/* Its process ends after it. */
static int ask_and_end(crew_call *call) {
    crew_lock lock = CREW_IN(call, struct all)->lock;
    pthread_t thread;
    void *bad;
    TRY(pthread_create(&thread, NULL, take_once, &lock));
    WANT(take_once(&lock) == NULL, 1);
    TRY(pthread_join(thread, &bad));
    WANT(bad == NULL, 1);
    return 0;
}

/* What it asks for at some time is being killed. */
static void *die_soon(void *arg) {
    struct timespec t = {.tv_nsec = (int64_t)(intptr_t)arg};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
    kill(getpid(), SIGKILL);
    return NULL;
}

static int ask_and_die(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    uint64_t ns = crewtest_mix(crewtest_seed() + (uint64_t)crewtest_add(CELL_READY, 1)) % 4000000;
    static char buf[300000];
    pthread_t thread;
    TRY(pthread_create(&thread, NULL, die_soon, (void *)(intptr_t)ns));
    for (;;) {
        int rc = crew_lock_acquire(a->lock, SOON);
        WANT(rc == 0 || rc == CREW_OWNERDEAD, 1);
        TRY(crew_lock_release(a->lock));
        TRY(crew_queue_put(a->back, buf, call->worker % 2 ? sizeof buf : 20, SOON));
        WANT(crew_queue_get(a->back, buf, sizeof buf, SOON) > 0, 1);
    }
}

static int deputies_now(void) {
    pid_t pids[128];
    return deputies(pids, 128);
}

/* One after the other on all workers, which end after it or die in it. What they had asked
 * for, and who stood for them, must not stay. */
static void come_and_go(crew_fn *fn, int ends) {
    crewtest_may_take(crewtest_long() ? 300 : 60);
    int before = deputies_now();
    crew_pool *p =
        crewtest_open_opts(&(crew_pool_opts){.workers = WORKERS, .tasks_per_worker = 1});
    struct all a = objects_of(p, 0);
    const struct cw_share *share = cw_share_here();
    uint32_t cells = 0;
    crewtest_set(CELL_READY, 0);
    for (int i = 0, n = (int)crewtest_many(crewtest_long() ? 400 : 20); i < n + 5; i++) {
        crew_error err;
        int rc = crew_pool_each(p, fn, &a, sizeof a, &err);
        if (rc != ends)
            fail_msg("%d: %s", rc, err.text);
        if (i == 5)
            cells = cw_cells(share, CW_DESK);
    }
    assert_in_range(cw_cells(share, CW_DESK), 1, cells + 8 * WORKERS);
    assert_in_range(crew_lock_acquire(a.lock, SOON), 0, CREW_OWNERDEAD);
    assert_int_equal(crew_lock_release(a.lock), 0);
    assert_int_equal(end_all(&a), 0);
    crewtest_free(p);
    CREWTEST_WAIT(deputies_now() <= before, SOON);
}

static void processes__that_ask_and_end__leave_no_desks_and_no_deputies(void **state) {
    crewtest_need(CREWTEST_PROCESSES);
    (void)state;
    come_and_go(ask_and_end, 0);
}

static void processes__killed_while_they_ask__leave_no_desks_and_no_deputies(void **state) {
    crewtest_need(CREWTEST_PROCESSES);
    (void)state;
    come_and_go(ask_and_die, CREW_EDIED);
}

/* ---- how fast -------------------------------------------------------------- */

static int take_turns(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    int n = (int)crewtest_many(200);
    if (call->node != a->node || crewtest_add(CELL_READY, 1) != 0)
        return 0;
    double from = crewtest_now();
    for (int i = 0; i < n; i++) {
        TRY(crew_lock_acquire(a->lock, SOON));
        TRY(crew_lock_release(a->lock));
    }
    crewtest_set(CELL_SUM, (int64_t)((crewtest_now() - from) * 1e9 / (2 * n)));
    return 0;
}

static void lock__nobody_else_wants_it__a_call_from_each_node_takes(void **state) {
    (void)state;
    crew_pool *p = crewtest_open(WORKERS);
    struct all a = objects_of(p, 0);
    for (a.node = 0; a.node < nodes(); a.node++) {
        crewtest_set(CELL_READY, 0);
        crewtest_set(CELL_SUM, 0);
        each(p, take_turns, &a, sizeof a);
        printf("from node %d: %.1f us\n", (int)a.node, (double)crewtest_get(CELL_SUM) * 1e-3);
        assert_in_range(crewtest_get(CELL_SUM), 1, 1000000000);
    }
    assert_int_equal(end_all(&a), 0);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(pipe__manager_and_a_worker_of_each_node__talk),
        CREWTEST(pipe__own_and_another_nodes_end__are_waited_for_together),
        CREWTEST(handles__wrong_or_stale__are_errors_with_the_same_sentences),
        CREWTEST(destroyed__while_other_nodes_wait__they_hear_of_it),
        CREWTEST(threads__of_workers_of_all_nodes__hold_for_themselves),
        CREWTEST(holder__killed_on_any_node__the_next_is_told),
        CREWTEST(waiter__killed_on_any_node__is_forgotten),
        CREWTEST(deputy__killed__who_waits_hears_of_it_and_may_ask_again),
        CREWTEST(processes__that_ask_and_end__leave_no_desks_and_no_deputies),
        CREWTEST(processes__killed_while_they_ask__leave_no_desks_and_no_deputies),
        CREWTEST(lock__nobody_else_wants_it__a_call_from_each_node_takes),
    };
    return crewtest_end(cmocka_run_group_tests(tests, remote_setup, NULL));
}
