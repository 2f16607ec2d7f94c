/* mpi/remote_long.c - long messages in a queue of another node: they hold up nobody, and
 * whoever dies while they are on their way leaves nobody waiting. */
#include "remote.h"

#include <signal.h>
#include <unistd.h>

static size_t long_bytes(void) {
    return (size_t)(crewtest_long() ? 320 : 64) << 20;
}

/* Puts one into the manager's queue; its first and last bytes say which. */
static void put_long(const struct all *a, char which) {
    char *data = calloc(long_bytes(), 1);
    assert_non_null(data);
    data[0] = data[long_bytes() - 1] = which;
    assert_int_equal(crew_queue_put(a->back, data, long_bytes(), SOON), 0);
    free(data);
}

/* What came, or 0 and what was said instead. */
static char get_long(const struct all *a, int *code) {
    char *data = malloc(long_bytes()), which = 0;
    ptrdiff_t got = data ? crew_queue_get(a->back, data, long_bytes(), SOON) : CREW_ENOMEM;
    *code = got < 0 ? (int)got : 0;
    if (got == (ptrdiff_t)long_bytes() && data[0] == data[got - 1])
        which = data[0];
    free(data);
    return which;
}

/* ---- beside it ------------------------------------------------------------- */

/* Of the workers of the last node one gets it, another takes a lock again and again. */
static int get_or_lock(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    int64_t turn = call->node == a->node ? crewtest_add(CELL_READY, 1) : 2;
    int code;
    if (turn == 0) {
        while (crewtest_get(CELL_READY) < 2)
            crewtest_pause();
        crewtest_set(CELL_STARTED, 1);
        double from = crewtest_now();
        WANT(get_long(a, &code), 'x');
        crewtest_set(CELL_SUM_2, (int64_t)((crewtest_now() - from) * 1e6));
        crewtest_set(CELL_STARTED, 2);
    }
    while (turn == 1 && crewtest_get(CELL_STARTED) < 2) {
        double from = crewtest_now();
        TRY(crew_lock_acquire(a->lock, SOON));
        TRY(crew_lock_release(a->lock));
        int64_t us = (int64_t)((crewtest_now() - from) * 1e6);
        crewtest_add(CELL_SUM, crewtest_get(CELL_STARTED) == 1);
        if (us > crewtest_get(CELL_WORST))
            crewtest_set(CELL_WORST, us);
    }
    return 0;
}

static void long_message__on_its_way__others_of_its_node_are_answered(void **state) {
    crewtest_need(CREWTEST_MANY);
    (void)state;
    crew_pool *p = crewtest_open(WORKERS);
    struct all a = objects_of(p, 0);
    a.node = nodes() - 1;
    for (int64_t cell = CELL_SUM; cell <= CELL_VICTIM; cell++)
        crewtest_set(cell, 0);
    crewtest_set(CELL_STARTED, 0);
    put_long(&a, 'x');
    each(p, get_or_lock, &a, sizeof a);
    printf("%zu MiB in %.1f ms; meanwhile %lld locks, the slowest %.1f ms\n", long_bytes() >> 20,
           (double)crewtest_get(CELL_SUM_2) * 1e-3, (long long)crewtest_get(CELL_SUM),
           (double)crewtest_get(CELL_WORST) * 1e-3);
    assert_true(crewtest_get(CELL_SUM) >= 3);
    assert_int_equal(end_all(&a), 0);
    crewtest_free(p);
}

/* ---- deaths ---------------------------------------------------------------- */

static int get_or_hear(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    int code;
    if (call->node != a->node || crewtest_add(CELL_READY, 1) != 0)
        return 0;
    while (!is_served(a)) /* the one before was killed, too */
        WANT(crew_last_error()->code, CREW_EBROKEN);
    crewtest_set(CELL_STARTED, 1);
    if (get_long(a, &code) == 'y')
        return 0;
    WANT(code, CREW_EBROKEN);
    TRY(crew_lock_acquire(a->lock, SOON));
    TRY(crew_lock_release(a->lock));
    return 0;
}

/* At different moments: when it has taken the message, and later. */
static void long_answer__its_deputy_killed__comes_whole_or_is_an_error(void **state) {
    crewtest_need(CREWTEST_PROCESSES);
    (void)state;
    if (nodes() == 1)
        skip(); /* there are none */
    crew_pool *p = crewtest_open(WORKERS);
    struct all a = objects_of(p, 0);
    a.node = nodes() - 1;
    for (int i = 0; i < 4; i++) {
        struct beside b;
        crewtest_set(CELL_READY, 0);
        crewtest_set(CELL_STARTED, 0);
        begin_beside(&b, p, get_or_hear, &a);
        assert_true(crewtest_reached(CELL_STARTED, 1, SOON));
        put_long(&a, 'y');
        CREWTEST_WAIT(crew_queue_size(a.back) == 0, SOON);
        for (double until = crewtest_now() + 0.02 * i; crewtest_now() < until;)
            crewtest_pause();
        kill_deputies();
        end_beside(&b);
    }
    assert_int_equal(end_all(&a), 0);
    crewtest_free(p);
    remote_begin(); /* the manager's own was among them */
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(long_message__on_its_way__others_of_its_node_are_answered),
        CREWTEST(long_answer__its_deputy_killed__comes_whole_or_is_an_error),
    };
    return crewtest_end(cmocka_run_group_tests(tests, remote_setup, NULL));
}
