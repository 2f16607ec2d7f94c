/* mpi/remote.c - objects of one node used by workers of every node: what they do. */
#include "remote.h"

/* ---- locks, semaphores, values ------------------------------------------ */

static void enter(int64_t cell, int most) {
    if (crewtest_add(cell, 1) >= most)
        crewtest_set(CELL_WORST, 1);
}

/* Not atomic: only the lock makes it right. */
static void change(int64_t inside, int64_t sum) {
    enter(inside, 1);
    crewtest_set(sum, crewtest_get(sum) + 1);
    crewtest_add(inside, -1);
}

static int exclude(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    for (int i = 0; i < ROUNDS; i++) {
        TRY(crew_lock_acquire(a->lock, SOON));
        change(CELL_INSIDE, CELL_SUM);
        TRY(crew_lock_release(a->lock));
        TRY(crew_rlock_acquire(a->rlock, SOON));
        TRY(crew_rlock_acquire(a->rlock, 0));
        change(CELL_INSIDE_2, CELL_SUM_2);
        TRY(crew_rlock_release(a->rlock));
        TRY(crew_rlock_release(a->rlock));
    }
    WANT(crew_rlock_release(a->rlock), CREW_EPERM);
    return 0;
}

static void check_exclusion(crew_pool *p, struct all *a) {
    each(p, exclude, a, sizeof *a);
    assert_int_equal(crewtest_get(CELL_SUM), ROUNDS * crew_pool_workers(p));
    assert_int_equal(crewtest_get(CELL_SUM_2), ROUNDS * crew_pool_workers(p));
    assert_int_equal(crewtest_get(CELL_WORST), 0);
}

static void locks__workers_of_all_nodes__one_at_a_time(void **state) {
    (void)state;
    over_homes(check_exclusion);
}

static int take_permits(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    for (int i = 0; i < ROUNDS / 3; i++) {
        TRY(crew_sem_acquire(a->sem, SOON));
        enter(CELL_INSIDE, 2);
        crewtest_add(CELL_INSIDE, -1);
        TRY(crew_sem_release(a->sem));
    }
    return 0;
}

static void check_permits(crew_pool *p, struct all *a) {
    each(p, take_permits, a, sizeof *a);
    assert_int_equal(crewtest_get(CELL_WORST), 0);
    assert_int_equal(crew_sem_value(a->sem), 2);
    assert_int_equal(crew_sem_release(a->sem), CREW_EINVAL);
    assert_text(crew_last_error()->text, "all its permits");
}

static void sem__workers_of_all_nodes__no_more_inside_than_permits(void **state) {
    (void)state;
    over_homes(check_permits);
}

static int reckon(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    for (int i = 0; i < ROUNDS / 3; i++) {
        int64_t seen = crew_value_get_i64(a->whole);
        crew_value_add_i64(a->whole, 3);
        while (!crew_value_cas_i64(a->whole, &seen, seen - 1))
            WANT(crew_last_error()->code, 0);
        crew_value_add_f64(a->real, 0.5);
        TRY(crew_value_lock(a->whole));
        crewtest_set(CELL_SUM, crewtest_get(CELL_SUM) + 1);
        TRY(crew_value_unlock(a->whole));
    }
    WANT(crew_value_unlock(a->whole), CREW_EPERM);
    return 0;
}

static void check_values(crew_pool *p, struct all *a) {
    const int64_t n = (int64_t)(ROUNDS / 3) * crew_pool_workers(p);
    double expected = 1;
    each(p, reckon, a, sizeof *a);
    assert_int_equal(crew_value_get_i64(a->whole), 2 * n);
    assert_true(crew_value_get_f64(a->real) == 0.5 * (double)n);
    assert_int_equal(crewtest_get(CELL_SUM), n);
    assert_false(crew_value_cas_f64(a->real, &expected, 0));
    assert_true(expected == 0.5 * (double)n);
    assert_true(crew_value_cas_f64(a->real, &expected, 7));
    assert_int_equal(crew_value_set_i64(a->whole, -5), 0);
    assert_int_equal(crew_value_get_i64(a->whole), -5);
    assert_int_equal(crew_value_set_f64(a->real, 2.5), 0);
    assert_true(crew_value_add_f64(a->real, 1) == 2.5);
}

static void value__workers_of_all_nodes__no_step_is_lost(void **state) {
    (void)state;
    over_homes(check_values);
}

/* ---- waiting for each other ---------------------------------------------- */

static int await_event(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    double from = crewtest_now();
    WANT(crew_event_wait(a->event, 0), CREW_ETIMEDOUT);
    WANT(crew_event_wait(a->event, 0.05), CREW_ETIMEDOUT);
    WANT(crewtest_now() - from >= 0.049, 1);
    WANT(strstr(crew_last_error()->text, "nobody has set") != NULL, 1);
    crewtest_add(CELL_READY, 1);
    TRY(crew_event_wait(a->event, SOON));
    WANT(crew_event_is_set(a->event), 1);
    return 0;
}

static void check_event(crew_pool *p, struct all *a) {
    struct beside b;
    begin_beside(&b, p, await_event, a);
    assert_true(crewtest_reached(CELL_READY, crew_pool_workers(p), SOON));
    assert_int_equal(crew_event_set(a->event), 0);
    end_beside(&b);
    assert_int_equal(crew_event_clear(a->event), 0);
    assert_int_equal(crew_event_is_set(a->event), 0);
}

static void event__waits_on_all_nodes__end_by_time_and_when_it_is_set(void **state) {
    (void)state;
    over_homes(check_event);
}

static int meet(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    for (int64_t i = 0; i < ROUNDS / 3; i++) {
        int index = crew_barrier_wait_index(a->barrier, SOON);
        if (index < 0)
            return fine(call, index, "crew_barrier_wait_index");
        crewtest_add(CELL_SUM, index);
        /* Its action has run in this round: all are there before any goes on. */
        if (crewtest_get(CELL_INSIDE) < i + 1)
            crewtest_set(CELL_WORST, 1);
    }
    return 0;
}

static void check_barrier(crew_pool *p, struct all *a) {
    assert_int_equal(crew_barrier_parties(a->barrier), WORKERS);
    each(p, meet, a, sizeof *a);
    assert_int_equal(crewtest_get(CELL_INSIDE), ROUNDS / 3);
    assert_int_equal(crewtest_get(CELL_SUM), ROUNDS / 3 * WORKERS * (WORKERS - 1) / 2);
    assert_int_equal(crewtest_get(CELL_WORST), 0);
    assert_int_equal(crew_barrier_n_waiting(a->barrier), 0);
    assert_int_equal(crew_barrier_wait(a->barrier, 0.05), CREW_ETIMEDOUT);
    assert_int_equal(crew_barrier_broken(a->barrier), 1);
    assert_int_equal(crew_barrier_wait(a->barrier, 1), CREW_EBROKEN);
    assert_int_equal(crew_barrier_reset(a->barrier), 0);
    assert_int_equal(crew_barrier_broken(a->barrier), 0);
}

static void barrier__parties_on_all_nodes__meet_round_after_round(void **state) {
    crewtest_need(CREWTEST_MANY);
    (void)state;
    over_homes(check_barrier);
}

static bool turned(void *ctx) {
    const struct all *a = ctx;
    return crew_value_get_i64(a->whole) > 0;
}

static int await_turn(crew_call *call) {
    struct all a = *CREW_IN(call, struct all);
    WANT(crew_cond_wait(a.cond, 0), CREW_EPERM);
    TRY(crew_lock_acquire(a.lock, SOON));
    WANT(crew_cond_wait(a.cond, 0.01), CREW_ETIMEDOUT);
    crewtest_add(CELL_READY, 1);
    TRY(crew_cond_wait_for(a.cond, turned, &a, SOON));
    crewtest_set(CELL_SUM, crewtest_get(CELL_SUM) + 1);
    return fine(call, crew_lock_release(a.lock), "release");
}

static void check_cond(crew_pool *p, struct all *a) {
    struct beside b;
    crew_cond another; /* made from wherever its lock is */
    begin_beside(&b, p, await_turn, a);
    assert_true(crewtest_reached(CELL_READY, crew_pool_workers(p), SOON));
    assert_int_equal(crew_cond_notify(a->cond, 1), CREW_EPERM);
    assert_int_equal(crew_lock_acquire(a->lock, SOON), 0);
    assert_int_equal(crew_cond_wait_for(a->cond, turned, a, 0.02), CREW_ETIMEDOUT);
    assert_int_equal(crew_value_set_i64(a->whole, 1), 0);
    assert_int_equal(crew_cond_notify(a->cond, 1), 0);
    assert_int_equal(crew_cond_notify_all(a->cond), 0);
    assert_int_equal(crew_lock_release(a->lock), 0);
    end_beside(&b);
    assert_int_equal(crewtest_get(CELL_SUM), crew_pool_workers(p));
    assert_int_equal(crew_cond_create(&another, a->lock), 0);
    assert_int_equal(crew_lock_acquire(a->lock, SOON), 0);
    assert_int_equal(crew_cond_wait(another, 0), CREW_ETIMEDOUT);
    assert_int_equal(crew_lock_release(a->lock), 0);
    assert_int_equal(crew_cond_destroy(another), 0);
}

static void cond__waiters_on_all_nodes__are_notified_and_test_here(void **state) {
    crewtest_need(CREWTEST_MANY);
    (void)state;
    over_homes(check_cond);
}

/* ---- queues -------------------------------------------------------------- */

struct line {
    int64_t worker, i;
};

static int produce(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    TRY(crew_queue_produce(a->queue));
    crewtest_add(CELL_READY, 1);
    for (struct line l = {.worker = call->worker}; l.i < ROUNDS; l.i++)
        TRY(crew_queue_put(a->queue, &l, sizeof l, SOON));
    return fine(call, crew_queue_leave(a->queue), "leave");
}

static void check_queue(crew_pool *p, struct all *a) {
    int64_t next[WORKERS] = {0}, all = 0;
    struct line l;
    struct beside b;
    begin_beside(&b, p, produce, a);
    /* Else the first may have gone before the next has come. */
    assert_true(crewtest_reached(CELL_READY, crew_pool_workers(p), SOON));
    for (ptrdiff_t size; (size = crew_queue_get(a->queue, &l, sizeof l, SOON)) >= 0; all++) {
        assert_int_equal(size, sizeof l);
        assert_in_range(l.worker, 0, WORKERS - 1);
        assert_int_equal(l.i, next[l.worker]++);
        assert_true(crew_queue_size(a->queue) <= 4);
        assert_int_equal(crew_queue_task_done(a->queue), 0);
    }
    assert_int_equal(crew_last_error()->code, CREW_ECLOSED);
    assert_int_equal(all, (int64_t)ROUNDS * crew_pool_workers(p));
    end_beside(&b);
    assert_int_equal(crew_queue_join(a->queue, SOON), 0);
    assert_int_equal(crew_queue_task_done(a->queue), CREW_EINVAL);
}

static void queue__producers_on_all_nodes__each_in_order_and_the_end_is_heard(void **state) {
    crewtest_need(CREWTEST_MANY);
    (void)state;
    over_homes(check_queue);
}

static int consume(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    int64_t *n;
    ptrdiff_t size;
    while ((size = crew_queue_get_alloc(a->back, (void **)&n, SOON)) > 0) {
        WANT(size, sizeof *n);
        crewtest_add(CELL_SUM, *n);
        free(n);
    }
    WANT(size, CREW_ECLOSED);
    return 0;
}

static void check_consumers(crew_pool *p, struct all *a) {
    struct beside b;
    int64_t sum = 0;
    begin_beside(&b, p, consume, a);
    for (int64_t i = 1; i <= ROUNDS * WORKERS; sum += i++)
        assert_int_equal(crew_queue_put(a->back, &i, sizeof i, SOON), 0);
    assert_int_equal(crew_queue_close(a->back), 0);
    end_beside(&b);
    assert_int_equal(crewtest_get(CELL_SUM), sum);
    assert_int_equal(crew_queue_empty(a->back), 1);
    assert_int_equal(crew_queue_put(a->back, "x", 1, 0), CREW_ECLOSED);
}

static void queue__consumers_on_all_nodes__each_message_once(void **state) {
    crewtest_need(CREWTEST_MANY);
    (void)state;
    over_homes(check_consumers);
}

static size_t large(void) {
    return (size_t)crewtest_many(64 << 20) + 13;
}

static void fill(unsigned char *data, int64_t key) {
    const size_t size = large();
    memset(data, (int)key, size);
    for (size_t i = 0; i < size; i += 997)
        data[i] = (unsigned char)(i >> 9);
}

static bool filled(const unsigned char *data, int64_t key) {
    const size_t size = large();
    for (size_t i = 0; i < size; i += 997)
        if (data[i] != (unsigned char)(i >> 9) || (i + 1 < size && data[i + 1] != key))
            return false;
    return true;
}

/* Of that node's first worker: takes one message, and gives it back with another key. */
static int carry(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    unsigned char *data;
    char small[8];
    if (call->node != a->node || crewtest_add(CELL_READY, 1) != 0)
        return 0;
    WANT(crew_queue_get(a->back, small, sizeof small, SOON), CREW_ETOOSMALL);
    WANT(crew_queue_get_alloc(a->back, (void **)&data, SOON), large());
    WANT(filled(data, 1), 1);
    fill(data, 2);
    TRY(crew_queue_put(a->back, data, large(), SOON));
    free(data);
    return 0;
}

static void check_large(crew_pool *p, struct all *a) {
    unsigned char *data = malloc(large());
    assert_non_null(data);
    a->node = nodes() - 1;
    fill(data, 1);
    assert_int_equal(crew_queue_put(a->back, data, large(), SOON), 0);
    each(p, carry, a, sizeof *a);
    memset(data, 0, large());
    assert_int_equal(crew_queue_get(a->back, data, large(), SOON), large());
    assert_true(filled(data, 2));
    free(data);
}

static void queue__message_of_64_mib__goes_to_another_node_and_comes_back(void **state) {
    (void)state;
    over_homes(check_large);
}

/* ---- dictionaries and lists ---------------------------------------------- */

static int count_pair(void *ctx, const void *key, size_t ksize, const void *val, size_t vsize) {
    int64_t n;
    if (ksize == 3 && memcmp(key, "sum", 3) == 0)
        return 0;
    if (vsize != sizeof n || (uintptr_t)val % 16)
        return -100;
    memcpy(&n, val, sizeof n);
    *(int64_t *)ctx += n;
    return 0;
}

static int keep(crew_call *call) {
    const struct all *a = CREW_IN(call, struct all);
    int64_t before, n = call->worker, got = -1, sum = 0;
    char key[16];
    int size = snprintf(key, sizeof key, "w%d", call->worker);
    TRY(crew_dict_set(a->dict, key, (size_t)size, &n, sizeof n));
    TRY(crew_dict_add_i64(a->dict, "sum", 3, n, &before));
    /* Its neighbour's, which may have to come first. */
    size = snprintf(key, sizeof key, "w%d", (int)((call->worker + 1) % a->workers));
    WANT(crew_dict_get(a->dict, key, (size_t)size, &got, sizeof got, SOON), sizeof got);
    WANT(got, (call->worker + 1) % a->workers);
    WANT(crew_dict_get(a->dict, key, (size_t)size, &got, 4, 0), CREW_ETOOSMALL);
    WANT(crew_dict_get(a->dict, "none", 4, &got, sizeof got, 0), CREW_ENOENT);
    WANT(crew_dict_has(a->dict, "none", 4), CREW_ENOENT);
    WANT(crew_dict_has(a->dict, key, (size_t)size), sizeof got);
    WANT(crew_dict_del(a->dict, "none", 4), CREW_ENOENT);
    WANT(crew_dict_cas(a->dict, "none", 4, "x", 1, "y", 1), 0);
    WANT(crew_dict_each(a->dict, count_pair, &sum), 0);
    TRY(crew_list_append(a->list, &n, sizeof n));
    return 0;
}

static int add_up(void *ctx, int64_t place, const void *val, size_t size) {
    int64_t n;
    if (size != sizeof n)
        return -100;
    memcpy(&n, val, sizeof n);
    *(int64_t *)ctx += n + 0 * place;
    return 0;
}

static void check_dict_and_list(crew_pool *p, struct all *a) {
    int64_t n = crew_pool_workers(p), sum = 0, got, want = n * (n - 1) / 2;
    void *val;
    each(p, keep, a, sizeof *a);
    assert_int_equal(crew_dict_size(a->dict), n + 1);
    assert_int_equal(crew_dict_each(a->dict, count_pair, &sum), 0);
    assert_int_equal(sum, want);
    assert_int_equal(crew_dict_pop_alloc(a->dict, "sum", 3, &val, 0), sizeof got);
    memcpy(&got, val, sizeof got);
    free(val);
    assert_int_equal(got, want);
    assert_int_equal(crew_dict_cas(a->dict, "e", 1, NULL, 0, "", 0), 1);
    assert_int_equal(crew_dict_get(a->dict, "e", 1, NULL, 0, 0), 0);
    assert_int_equal(crew_dict_del(a->dict, "e", 1), 0);
    assert_int_equal(crew_dict_clear(a->dict), 0);
    assert_int_equal(crew_dict_size(a->dict), 0);
    sum = 0;
    assert_int_equal(crew_list_each(a->list, add_up, &sum), 0);
    assert_int_equal(sum, want);
    assert_int_equal(crew_list_insert(a->list, 0, "first", 5), 0);
    assert_int_equal(crew_list_set(a->list, -1, "last", 4), 0);
    assert_int_equal(crew_list_size(a->list), n + 1);
    assert_int_equal(crew_list_get_alloc(a->list, 0, &val), 5);
    assert_memory_equal(val, "first", 5);
    free(val);
    assert_int_equal(crew_list_pop(a->list, -1, &got, sizeof got), 4);
    assert_memory_equal(&got, "last", 4);
    assert_int_equal(crew_list_get(a->list, 1000, &got, sizeof got), CREW_ENOENT);
    assert_int_equal(crew_list_clear(a->list), 0);
    assert_int_equal(crew_list_pop(a->list, 0, &got, sizeof got), CREW_ENOENT);
}

static void dict_and_list__workers_of_all_nodes__see_each_others(void **state) {
    crewtest_need(CREWTEST_MANY);
    (void)state;
    over_homes(check_dict_and_list);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(locks__workers_of_all_nodes__one_at_a_time),
        CREWTEST(sem__workers_of_all_nodes__no_more_inside_than_permits),
        CREWTEST(value__workers_of_all_nodes__no_step_is_lost),
        CREWTEST(event__waits_on_all_nodes__end_by_time_and_when_it_is_set),
        CREWTEST(barrier__parties_on_all_nodes__meet_round_after_round),
        CREWTEST(cond__waiters_on_all_nodes__are_notified_and_test_here),
        CREWTEST(queue__producers_on_all_nodes__each_in_order_and_the_end_is_heard),
        CREWTEST(queue__consumers_on_all_nodes__each_message_once),
        CREWTEST(queue__message_of_64_mib__goes_to_another_node_and_comes_back),
        CREWTEST(dict_and_list__workers_of_all_nodes__see_each_others),
    };
    return crewtest_end(cmocka_run_group_tests(tests, remote_setup, NULL));
}
