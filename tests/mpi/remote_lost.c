/* mpi/remote_lost.c - a node is lost whose workers hold and wait for objects of others, and
 * whose own objects others wait for.
 *
 * CREW_TEST_LOSS says how node 1 is lost, as in lost.c: leader 1, kill or unplug. */
#include "remote.h"

#include "beside.h"

#include <unistd.h>

enum { RANKS = 2 }; /* of each node, where ranks are killed */

struct both {
    struct all mine, lost; /* objects of node 0, and of node 1 */
};

static void lose(void) {
    const char *loss = getenv("CREW_TEST_LOSS");
    if (!loss || strncmp(loss, "leader", 6) == 0) {
        assert_true(beside_kill_rank(RANKS));
        return;
    }
    char done[32];
    snprintf(done, sizeof done, "done.%s", loss);
    FILE *file = beside_open("ask", "w");
    assert_non_null(file);
    fprintf(file, "%s\n", loss);
    assert_int_equal(fclose(file), 0);
    CREWTEST_WAIT(beside_has(done), SOON);
}

/* ---- before and while it is lost ------------------------------------------ */

static int64_t next(crew_call *call) {
    return crewtest_add(CELL_WORKER + call->node, 1);
}

/* The first worker of node 1 holds, the second waits; neither comes back. */
static int be_lost(crew_call *call, const struct all *a) {
    char buf[8];
    if (next(call) == 0) {
        TRY(crew_lock_acquire(a->lock, SOON));
        TRY(crew_value_lock(a->whole));
        TRY(crew_queue_produce(a->queue));
        crewtest_add(CELL_READY, 1);
        crew_event_wait(a->event, CREW_FOREVER);
    } else {
        crewtest_add(CELL_READY, 1);
        crew_queue_get(a->back, buf, sizeof buf, CREW_FOREVER);
    }
    return 0;
}

static int meet_or_miss(crew_call *call) {
    const struct both *b = CREW_IN(call, struct both);
    if (call->node == 1)
        return be_lost(call, &b->mine);
    if (call->node == 2 && next(call) == 0) {
        crewtest_add(CELL_READY, 1);
        WANT(crew_event_wait(b->lost.event, 2 * SOON), CREW_EBROKEN);
        WANT(strstr(crew_last_error()->text, "was lost") != NULL, 1);
    }
    return 0;
}

static void *run_both(void *arg) {
    struct beside *b = arg;
    b->rc = crew_pool_each(b->p, b->fn, b->a, sizeof(struct both), &b->err);
    return NULL;
}

/* ---- a process there, with an end of a pipe ---------------------------------- */

struct given {
    crew_process p;
    crew_conn mine, its;
};

static int holds_an_end(crew_call *call) {
    char buf[8];
    crew_conn_send(*CREW_IN(call, crew_conn), "here", 4, SOON);
    crew_conn_recv(*CREW_IN(call, crew_conn), buf, sizeof buf, CREW_FOREVER);
    return 1;
}

static int start_with(struct given *g, crew_error *err) {
    const crew_process_opts opts = {.node = 1, .conns = &g->its, .nconns = 1};
    assert_int_equal(crew_pipe_create(&g->mine, &g->its, true), 0);
    return crew_process_start(&g->p, holds_an_end, &g->its, sizeof g->its, &opts, err);
}

static void give(struct given *g) {
    crew_error err;
    char buf[8];
    assert_ok(start_with(g, &err), &err);
    assert_int_equal(crew_conn_close(g->its), 0);
    assert_int_equal(crew_conn_recv(g->mine, buf, sizeof buf, SOON), 4);
}

/* The loss may be known by then, or not: nobody has taken the end. */
static void give_too_late(void) {
    struct given g;
    crew_error err;
    char buf[8];
    double from = crewtest_now();
    assert_code(start_with(&g, &err), CREW_EBROKEN, &err);
    assert_within(from, SOON);
    assert_text(err.text, "was lost");
    assert_int_equal(crew_conn_send(g.its, "mine", 4, 0), 0);
    assert_int_equal(crew_conn_recv(g.mine, buf, sizeof buf, 0), 4);
    assert_int_equal(crew_conn_close(g.its), 0);
    assert_int_equal(crew_conn_recv(g.mine, buf, sizeof buf, 0), CREW_ECLOSED);
    assert_int_equal(crew_conn_close(g.mine), 0);
}

static void check_given(const struct given *g) {
    char buf[8];
    double from = crewtest_now();
    assert_int_equal(crew_conn_recv(g->mine, buf, sizeof buf, SOON), CREW_ECLOSED);
    assert_within(from, 10);
    assert_int_equal(crew_conn_send(g->mine, "x", 1, 0), CREW_ECLOSED);
    assert_int_equal(crew_process_wait(g->p, SOON, NULL), CREW_EDIED);
    assert_text(crew_last_error()->text, "was lost with its node");
    assert_int_equal(crew_process_close(g->p), 0);
    assert_int_equal(crew_conn_close(g->mine), 0);
}

/* ---- afterwards ------------------------------------------------------------ */

static int ask_again(crew_call *call) {
    const struct both *b = CREW_IN(call, struct both);
    TRY(crew_lock_acquire(b->mine.lock, SOON));
    TRY(crew_lock_release(b->mine.lock));
    WANT(crew_lock_acquire(b->lost.lock, SOON), CREW_EBROKEN);
    return 0;
}

static void check_mine(struct all *a) {
    char buf[8];
    double from = crewtest_now();
    assert_int_equal(crew_lock_acquire(a->lock, SOON), CREW_OWNERDEAD);
    assert_int_equal(crew_value_lock(a->whole), CREW_OWNERDEAD);
    assert_int_equal(crew_queue_get(a->queue, buf, sizeof buf, SOON), CREW_ECLOSED);
    assert_within(from, SOON);
    assert_int_equal(crew_lock_release(a->lock), 0);
    assert_int_equal(crew_value_unlock(a->whole), 0);
    /* What comes in its last moment may be the waiter's. */
    CREWTEST_WAIT(crew_queue_put(a->back, "x", 1, 0) == 0 &&
                      crew_queue_get(a->back, buf, sizeof buf, 0.5) == 1, SOON);
}

static void node__lost_while_it_holds_waits_and_is_waited_for__all_go_on(void **state) {
    (void)state;
    crewtest_may_take(120);
    crew_error err;
    pid_t left[64];
    struct given given;
    crew_pool *p = crewtest_open(WORKERS);
    struct both b = {.mine = objects_of(p, 0), .lost = objects_of(p, 1)};
    struct beside tasks = {.p = p, .fn = meet_or_miss, .a = (struct all *)(void *)&b};
    for (int node = 0; node < 3; node++)
        crewtest_set(CELL_WORKER + node, 0);
    crewtest_set(CELL_READY, 0);
    assert_int_equal(crew_event_is_set(b.lost.event), 0);
    assert_int_equal(pthread_create(&tasks.thread, NULL, run_both, &tasks), 0);
    assert_true(crewtest_reached(CELL_READY, 3, SOON));
    give(&given);
    double from = crewtest_now();
    lose();
    give_too_late();
    assert_int_equal(crew_event_wait(b.lost.event, SOON), CREW_EBROKEN);
    assert_text(crew_last_error()->text, "was lost");
    assert_within(from, SOON);
    check_mine(&b.mine);
    check_given(&given);
    assert_int_equal(pthread_join(tasks.thread, NULL), 0);
    if (tasks.rc != CREW_EDIED)
        fail_msg("%d %s", tasks.rc, tasks.err.text);
    crewtest_free(p);
    p = crewtest_open(4);
    assert_ok(crew_pool_each(p, ask_again, &b, sizeof b, &err), &err);
    crewtest_free(p);
    CREWTEST_WAIT(deputies(left, 64) == 0, 10);
    assert_int_equal(end_all(&b.mine), 0);
    assert_int_equal(crew_lock_destroy(b.lost.lock), CREW_EBROKEN);
}

int main(int argc, char **argv) {
    beside_sign();
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(node__lost_while_it_holds_waits_and_is_waited_for__all_go_on)};
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
