/* conformance/handles_test.c - handles of every kind travel: in a task's item, in a
 * message of a queue, in a value of a dictionary; and a stale one is told from what
 * lies in its place by then. */
#include "crewtest.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* One of each. All handles have the same two words. */
struct all {
    crew_lock lock;
    crew_rlock rlock;
    crew_sem sem;
    crew_event event;
    crew_cond cond;
    crew_queue queue;
    crew_conn ours, theirs;
    crew_value value;
    crew_array array;
    crew_dict dict;
    crew_list list;
    crew_shm shm;
};

static const int64_t TEN = 10;

static void make(struct all *a) {
    char name[64];
    snprintf(name, sizeof name, "crewtest-handles-%d", (int)getpid());
    assert_int_equal(crew_lock_create(&a->lock), 0);
    assert_int_equal(crew_rlock_create(&a->rlock), 0);
    assert_int_equal(crew_sem_create(&a->sem, 0, 0), 0);
    assert_int_equal(crew_event_create(&a->event), 0);
    assert_int_equal(crew_cond_create(&a->cond, a->lock), 0);
    assert_int_equal(crew_queue_create(&a->queue, 0, NULL), 0);
    assert_int_equal(crew_pipe_create(&a->ours, &a->theirs, true), 0);
    assert_int_equal(crew_value_create(&a->value, CREW_I64), 0);
    assert_int_equal(crew_array_create(&a->array, CREW_I64, 1, &TEN, NULL), 0);
    assert_int_equal(crew_dict_create(&a->dict), 0);
    assert_int_equal(crew_list_create(&a->list), 0);
    assert_int_equal(crew_shm_create(&a->shm, name, 80, &(crew_shm_opts){.owned = true}), 0);
}

static void destroy(struct all *a) {
    crew_shm_unlink(a->shm);
    assert_int_equal(crew_shm_close(a->shm), 0);
    assert_int_equal(crew_list_destroy(a->list), 0);
    assert_int_equal(crew_dict_destroy(a->dict), 0);
    assert_int_equal(crew_array_destroy(a->array), 0);
    assert_int_equal(crew_value_destroy(a->value), 0);
    crew_conn_close(a->theirs);
    assert_int_equal(crew_conn_close(a->ours), 0);
    assert_int_equal(crew_queue_destroy(a->queue), 0);
    assert_int_equal(crew_cond_destroy(a->cond), 0);
    assert_int_equal(crew_event_destroy(a->event), 0);
    assert_int_equal(crew_sem_destroy(a->sem), 0);
    assert_int_equal(crew_rlock_destroy(a->rlock), 0);
    assert_int_equal(crew_lock_destroy(a->lock), 0);
}

/* Does something with each that its maker can see. 0, or which kind refused. */
static int use(const struct all *a, int64_t n) {
    int64_t *array = crew_array_data(a->array), *shm = crew_shm_data(a->shm);
    if (crew_lock_acquire(a->lock, 10) != 0)
        return 1;
    if (crew_cond_notify_all(a->cond) != 0)
        return 2;
    if (crew_lock_release(a->lock) != 0)
        return 3;
    if (crew_rlock_acquire(a->rlock, 10) != 0 || crew_rlock_release(a->rlock) != 0)
        return 4;
    if (crew_sem_release(a->sem) != 0)
        return 5;
    if (crew_event_set(a->event) != 0)
        return 6;
    if (crew_queue_put(a->queue, &n, sizeof n, 10) != 0)
        return 7;
    if (crew_conn_send(a->theirs, &n, sizeof n, 10) != 0)
        return 8;
    if (crew_value_set_i64(a->value, n) != 0)
        return 9;
    if (!array)
        return 10;
    array[3] = n;
    if (crew_dict_set(a->dict, "n", 1, &n, sizeof n) != 0)
        return 11;
    if (crew_list_append(a->list, &n, sizeof n) != 0)
        return 12;
    if (!shm)
        return 13;
    shm[3] = n;
    return 0;
}

static void seen(const struct all *a, int64_t n) {
    int64_t got = 0;
    assert_int_equal(crew_sem_acquire(a->sem, 0), 0);
    assert_int_equal(crew_event_is_set(a->event), 1);
    assert_int_equal(crew_event_clear(a->event), 0);
    assert_int_equal(crew_queue_get(a->queue, &got, sizeof got, 0), sizeof got);
    assert_int_equal(got, n);
    got = 0;
    assert_int_equal(crew_conn_recv(a->ours, &got, sizeof got, 10), sizeof got);
    assert_int_equal(got, n);
    assert_int_equal(crew_value_get_i64(a->value), n);
    assert_int_equal(((int64_t *)crew_array_data(a->array))[3], n);
    got = 0;
    assert_int_equal(crew_dict_pop(a->dict, "n", 1, &got, sizeof got, 0), sizeof got);
    assert_int_equal(got, n);
    got = 0;
    assert_int_equal(crew_list_pop(a->list, 0, &got, sizeof got), sizeof got);
    assert_int_equal(got, n);
    assert_int_equal(((int64_t *)crew_shm_data(a->shm))[3], n);
}

static int answer(crew_call *call, int which) {
    return which ? crew_fail(call, which, "%d: %s", which, crew_last_error()->text) : 0;
}

static int from_item(crew_call *call) {
    return answer(call, use(CREW_IN(call, struct all), 11));
}

static int from_queue(crew_call *call) {
    struct all a;
    if (crew_queue_get(*CREW_IN(call, crew_queue), &a, sizeof a, 10) != sizeof a)
        return answer(call, 20);
    return answer(call, use(&a, 12));
}

static int from_dict(crew_call *call) {
    struct all a;
    if (crew_dict_get(*CREW_IN(call, crew_dict), "all", 3, &a, sizeof a, 10) != sizeof a)
        return answer(call, 21);
    return answer(call, use(&a, 13));
}

static void handles__in_items_messages_and_values__mean_the_same_objects(void **state) {
    struct all a;
    crew_queue q;
    crew_dict d;
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    make(&a);
    assert_int_equal(crew_queue_create(&q, 10, NULL), 0);
    assert_int_equal(crew_dict_create(&d), 0);
    assert_ok(crew_apply(p, from_item, &a, sizeof a, NULL, 0, &err), &err);
    seen(&a, 11);
    assert_int_equal(crew_queue_put(q, &a, sizeof a, 0), 0);
    assert_ok(crew_apply(p, from_queue, &q, sizeof q, NULL, 0, &err), &err);
    seen(&a, 12);
    assert_int_equal(crew_dict_set(d, "all", 3, &a, sizeof a), 0);
    assert_ok(crew_apply(p, from_dict, &d, sizeof d, NULL, 0, &err), &err);
    seen(&a, 13);
    crewtest_free(p);
    assert_int_equal(crew_dict_destroy(d), 0);
    assert_int_equal(crew_queue_destroy(q), 0);
    destroy(&a);
}

/* Every call that takes one of these handles says CREW_EINVAL. */
static void all_refuse(const struct all *a) {
    char byte = 0;
    int64_t n = 0;
    assert_int_equal(crew_lock_acquire(a->lock, 0), CREW_EINVAL);
    assert_int_equal(crew_lock_release(a->lock), CREW_EINVAL);
    assert_int_equal(crew_rlock_acquire(a->rlock, 0), CREW_EINVAL);
    assert_int_equal(crew_rlock_release(a->rlock), CREW_EINVAL);
    assert_int_equal(crew_sem_acquire(a->sem, 0), CREW_EINVAL);
    assert_int_equal(crew_sem_release(a->sem), CREW_EINVAL);
    assert_int_equal(crew_event_set(a->event), CREW_EINVAL);
    assert_int_equal(crew_event_wait(a->event, 0), CREW_EINVAL);
    assert_int_equal(crew_cond_wait(a->cond, 0), CREW_EINVAL);
    assert_int_equal(crew_cond_notify(a->cond, 1), CREW_EINVAL);
    assert_int_equal(crew_queue_put(a->queue, &byte, 1, 0), CREW_EINVAL);
    assert_int_equal(crew_queue_get(a->queue, &byte, 1, 0), CREW_EINVAL);
    assert_int_equal(crew_queue_size(a->queue), CREW_EINVAL);
    assert_int_equal(crew_conn_send(a->ours, &byte, 1, 0), CREW_EINVAL);
    assert_int_equal(crew_conn_recv(a->ours, &byte, 1, 0), CREW_EINVAL);
    assert_int_equal(crew_conn_poll(a->ours, 0), CREW_EINVAL);
    assert_int_equal(crew_value_lock(a->value), CREW_EINVAL);
    assert_int_equal(crew_value_set_i64(a->value, 1), CREW_EINVAL);
    assert_null(crew_array_data(a->array));
    assert_int_equal(crew_array_shape(a->array, &n, 1), CREW_EINVAL);
    assert_int_equal(crew_dict_set(a->dict, "k", 1, &byte, 1), CREW_EINVAL);
    assert_int_equal(crew_dict_get(a->dict, "k", 1, &byte, 1, 0), CREW_EINVAL);
    assert_int_equal(crew_list_append(a->list, &byte, 1), CREW_EINVAL);
    assert_int_equal(crew_list_get(a->list, 0, &byte, 1), CREW_EINVAL);
    assert_null(crew_shm_data(a->shm));
}

static void handles__of_objects_destroyed__are_stale_also_when_their_place_is_taken(void **state) {
    struct all a, next;
    (void)state;
    make(&a);
    destroy(&a);
    all_refuse(&a);
    make(&next); /* in the same places */
    all_refuse(&a);
    assert_int_equal(use(&next, 5), 0);
    seen(&next, 5);
    destroy(&next);
}

/* Bytes that are no handle at all. */
static void handles__made_of_noise__are_refused(void **state) {
    struct all a;
    (void)state;
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof a; i++)
            ((unsigned char *)&a)[i] = (unsigned char)crewtest_random();
        all_refuse(&a);
        /* A kind and a place that are possible, the rest not. */
        struct all real;
        if (round % 50 == 0) {
            make(&real);
            a = real;
            for (size_t i = 0; i < sizeof a / sizeof(crew_lock); i++)
                ((crew_lock *)(void *)&a)[i].check ^= 2;
            all_refuse(&a);
            a = real;
            for (size_t i = 0; i < sizeof a / sizeof(crew_lock); i++)
                ((crew_lock *)(void *)&a)[i].place += 8;
            all_refuse(&a);
            destroy(&real);
        }
    }
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(handles__in_items_messages_and_values__mean_the_same_objects),
        CREWTEST(handles__of_objects_destroyed__are_stale_also_when_their_place_is_taken),
        CREWTEST(handles__made_of_noise__are_refused),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
