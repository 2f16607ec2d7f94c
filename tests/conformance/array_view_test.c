/* conformance/array_view_test.c - what arrays look like, slices of them, their lock. */
#include "crewtest.h"

#include <pthread.h>
#include <string.h>

static crew_array made(int type, int ndim, const int64_t *shape) {
    crew_array a;
    assert_ok(crew_array_create(&a, type, ndim, shape, NULL), NULL);
    return a;
}

/* What workers write is in it after crewtest_sum_up, wherever they are. */
static crew_array added_up(int type, int ndim, const int64_t *shape) {
    const crew_array_opts opts = {.scope = crewtest_scope()};
    crew_array a;
    assert_ok(crew_array_create(&a, type, ndim, shape, &opts), NULL);
    return a;
}

static crew_array sliced(crew_array a, int dim, int64_t from, int64_t to, int64_t step) {
    crew_array view;
    assert_ok(crew_array_slice(&view, a, dim, from, to, step), NULL);
    return view;
}

static void end(crew_array a) {
    assert_ok(crew_array_destroy(a), NULL);
}

static void array__of_three_dimensions__tells_what_it_looks_like(void **state) {
    const int64_t shape[3] = {4, 5, 6}, want[3] = {30, 6, 1};
    int64_t strides[3];
    (void)state;
    crew_array a = made(CREW_I16, 3, shape);
    assert_int_equal(crew_array_type(a), CREW_I16);
    assert_int_equal(crew_array_size(a), 120);
    assert_int_equal(crew_array_strides(a, strides, 3), 3);
    assert_memory_equal(strides, want, sizeof want);
    assert_int_equal(crew_array_strides(a, strides, 1), 3);
    assert_int_equal(crew_array_strides(a, NULL, 1), CREW_EINVAL);
    assert_true(crew_array_contiguous(a));
    end(a);
}

/* ---- one dimension, as Python has it -------------------------------------- */

/* The places that a[from:to:step] has, found by looking at each: i is one of them if
 * it can be reached from the first in steps and lies before the last. */
static int64_t places(int64_t n, int64_t from, int64_t to, int64_t step, int64_t *at) {
    int64_t count = 0;
    /* INT64_MIN is before the beginning, so no negative place from the end. */
    int64_t first = from < 0 && from >= -n ? from + n : from;
    int64_t last = to < 0 && to >= -n ? to + n : to;
    if (step > 0) {
        first = first < 0 ? 0 : first;
        for (int64_t i = first; i < n && i < last; i += step)
            at[count++] = i;
    } else {
        first = first >= n ? n - 1 : first;
        for (int64_t i = first; i >= 0 && i > last; i += step)
            at[count++] = i;
    }
    return count;
}

static void check_slice(crew_array a, int64_t n, int64_t from, int64_t to, int64_t step) {
    int64_t at[64], shape, stride, count = places(n, from, to, step, at);
    crew_array view = sliced(a, 0, from, to, step);
    const int32_t *data = crew_array_data(view);
    crew_array_shape(view, &shape, 1);
    crew_array_strides(view, &stride, 1);
    if (shape != count)
        fail_msg("[%ld:%ld:%ld] of %ld: %ld elements, not %ld", (long)from, (long)to, (long)step,
                 (long)n, (long)shape, (long)count);
    assert_int_equal(crew_array_size(view), count);
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(data[i * stride], at[i]);
        assert_int_equal(*(int32_t *)crew_array_row(view, i), at[i]);
    }
    assert_null(crew_array_row(view, count));
    end(view);
}

static void slice__of_each_kind__has_the_elements_that_pythons_has(void **state) {
    (void)state;
    static const int64_t ends[] = {INT64_MIN, -9, -8, -7, -2, -1, 0, 1, 3, 6, 7, 8, 9, INT64_MAX};
    static const int64_t steps[] = {INT64_MIN + 1, -8, -3, -2, -1, 1, 2, 3, 8, INT64_MAX};
    enum { ENDS = sizeof ends / sizeof *ends, STEPS = sizeof steps / sizeof *steps };
    for (int64_t n = 0; n <= 8; n += n == 0 ? 1 : 7) {
        crew_array a = made(CREW_I32, 1, &n);
        int32_t *data = crew_array_data(a);
        for (int32_t i = 0; i < n; i++)
            data[i] = i;
        for (int f = 0; f < ENDS; f++)
            for (int t = 0; t < ENDS; t++)
                for (int s = 0; s < STEPS; s++) {
                    if (steps[s] > 8 || steps[s] < -8) {
                        crew_array view = sliced(a, 0, ends[f], ends[t], steps[s]);
                        assert_true(crew_array_size(view) <= 1);
                        end(view);
                    } else {
                        check_slice(a, n, ends[f], ends[t], steps[s]);
                    }
                }
        end(a);
    }
}

/* ---- several dimensions, views of views ----------------------------------- */

static void slice__of_slices__is_a_view_of_the_array(void **state) {
    const int64_t shape[3] = {6, 7, 8};
    int64_t s[3], n[3];
    (void)state;
    crew_array a = made(CREW_F64, 3, shape);
    double *all = crew_array_data(a);
    for (int i = 0; i < 6 * 7 * 8; i++)
        all[i] = i;
    crew_array rows = sliced(a, 0, 1, 6, 2);                              /* 1 3 5 */
    crew_array columns = sliced(rows, 2, INT64_MAX, INT64_MIN, -3);       /* 7 4 1 */
    crew_array view = sliced(columns, 1, -5, -1, 1);                      /* 2 3 4 5 */
    end(rows); /* nothing hangs on what is in between */
    end(columns);
    assert_int_equal(crew_array_shape(view, n, 3), 3);
    crew_array_strides(view, s, 3);
    assert_int_equal(n[0] * 100 + n[1] * 10 + n[2], 343);
    assert_int_equal(crew_array_type(view), CREW_F64);
    assert_false(crew_array_contiguous(view));
    double *data = crew_array_data(view);
    double back[36];
    assert_ok(crew_array_get(view, 0, 36, back), NULL);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++)
            for (int k = 0; k < 3; k++) {
                double want = (1 + 2 * i) * 56 + (2 + j) * 8 + 7 - 3 * k;
                assert_true(data[i * s[0] + j * s[1] + k * s[2]] == want);
                assert_true(back[i * 12 + j * 3 + k] == want);
            }
    /* The first element of a row. */
    assert_ptr_equal(crew_array_row(view, 2), data + 2 * s[0]);
    end(a);
    assert_null(crew_array_data(view));
    assert_int_equal(crew_last_error()->code, CREW_EINVAL);
    assert_text(crew_last_error()->text, "a view of one that was destroyed");
    crew_array again;
    assert_int_equal(crew_array_slice(&again, view, 0, 0, 1, 1), CREW_EINVAL);
    end(view);
}

static void slice__that_cannot_be__is_refused_in_a_sentence(void **state) {
    const int64_t n = 10;
    crew_array view = {5, 6}, a = made(CREW_I8, 1, &n);
    (void)state;
    assert_int_equal(crew_array_slice(&view, a, 0, 0, 1, 0), CREW_EINVAL);
    assert_text(crew_last_error()->text, "step is 0");
    assert_int_equal(crew_array_slice(&view, a, 1, 0, 1, 1), CREW_EINVAL);
    assert_text(crew_last_error()->text, "dimension 1: there are 1");
    assert_int_equal(crew_array_slice(&view, a, -1, 0, 1, 1), CREW_EINVAL);
    assert_int_equal(crew_array_slice(NULL, a, 0, 0, 1, 1), CREW_EINVAL);
    assert_int_equal(view.place, 5);
    end(a);
}

/* Bit by bit what a walk by hand finds. */
static void get_put_add__on_views__are_row_by_row(void **state) {
    const int64_t shape[3] = {5, 4, 6};
    (void)state;
    for (int64_t round = 0; round < crewtest_many(300); round++) {
        crew_array a = made(CREW_I64, 3, shape), view = a;
        int64_t *all = crew_array_data(a), n[3], s[3], mine[120], index = 0;
        for (int i = 0; i < 120; i++)
            all[i] = i;
        for (int d = 0; d < 3; d++) {
            int64_t step = (int64_t)(crewtest_random() % 3) + 1;
            bool back = crewtest_random() % 2;
            int64_t from = (int64_t)(crewtest_random() % 3), to = shape[d];
            crew_array next = back ? sliced(view, d, INT64_MAX, from - 1 - shape[d], -step)
                                   : sliced(view, d, from, to, step);
            if (d > 0)
                end(view);
            view = next;
        }
        crew_array_shape(view, n, 3);
        crew_array_strides(view, s, 3);
        int64_t size = crew_array_size(view), *data = crew_array_data(view);
        int64_t first = (int64_t)(crewtest_random() % (uint64_t)(size + 1));
        int64_t count = (int64_t)(crewtest_random() % (uint64_t)(size - first + 1));
        for (int64_t i = 0; i < count; i++)
            mine[i] = 1000 + i;
        assert_ok(crew_array_put(view, first, count, mine), NULL);
        assert_ok(crew_array_add(view, first, count, mine), NULL);
        assert_ok(crew_array_get(view, first, count, mine), NULL);
        for (int64_t i = 0; i < n[0]; i++)
            for (int64_t j = 0; j < n[1]; j++)
                for (int64_t k = 0; k < n[2]; k++, index++) {
                    int64_t *at = &data[i * s[0] + j * s[1] + k * s[2]];
                    bool in = index >= first && index < first + count;
                    assert_int_equal(*at, in ? 2 * (1000 + index - first) : at - all);
                    if (in)
                        assert_int_equal(mine[index - first], *at);
                }
        end(view);
        end(a);
    }
}

static void get_put_add__outside__do_nothing(void **state) {
    const int64_t n = 10;
    int32_t mine[4] = {1, 2, 3, 4};
    crew_array a = made(CREW_I32, 1, &n);
    const int32_t *data = crew_array_data(a);
    (void)state;
    static const int64_t bad[][2] = {{-1, 2}, {7, 4}, {10, 1}, {11, 0}, {0, -1}, {INT64_MAX, 1},
                                     {1, INT64_MAX}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(crew_array_put(a, bad[i][0], bad[i][1], mine), CREW_EINVAL);
        assert_text(crew_last_error()->text, "the array has 10");
        assert_int_equal(crew_array_add(a, bad[i][0], bad[i][1], mine), CREW_EINVAL);
        assert_int_equal(crew_array_get(a, bad[i][0], bad[i][1], mine), CREW_EINVAL);
    }
    assert_int_equal(crew_array_put(a, 0, 1, NULL), CREW_EINVAL);
    assert_ok(crew_array_put(a, 10, 0, NULL), NULL);
    for (int i = 0; i < 10; i++)
        assert_int_equal(data[i], 0);
    end(a);
}

/* ---- in other processes --------------------------------------------------- */

static int write_view(crew_call *call) {
    crew_array view = *CREW_COMMON(call, crew_array), row;
    int64_t *data = crew_array_row(view, call->index), s[2];
    if (!data || crew_array_strides(view, s, 2) != 2)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    data[0] = call->index + 1;
    /* A view that is made here. */
    if (crew_array_slice(&row, view, 0, call->index, call->index + 1, 1) != 0)
        return crew_fail(call, 2, "%s", crew_last_error()->text);
    data = crew_array_data(row);
    data[s[1]] = -data[0];
    return crew_array_destroy(row);
}

static void view__in_tasks__is_the_same_memory(void **state) {
    const int64_t shape[2] = {40, 6};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_array a = added_up(CREW_I64, 2, shape), odd = sliced(a, 0, 1, INT64_MAX, 2);
    crew_array view = sliced(odd, 1, 2, 4, 1);
    const crew_map_opts opts = {.common = &view, .common_size = sizeof view};
    assert_ok(crew_pool_map(p, write_view, NULL, 0, 20, NULL, 0, &opts, &err), &err);
    crewtest_sum_up(a);
    const int64_t *all = crew_array_data(a);
    for (int64_t i = 0; i < 40; i++)
        for (int64_t j = 0; j < 6; j++) {
            int64_t n = i % 2 ? i / 2 + 1 : 0;
            assert_int_equal(all[i * 6 + j], j == 2 ? n : j == 3 ? -n : 0);
        }
    crewtest_free(p);
    end(odd);
    end(view);
    end(a);
}

/* Says whether items and results lie where the views do, in its process. To other nodes they
 * have travelled. */
static int is_in_place(crew_call *call) {
    const crew_array *views = CREW_COMMON(call, crew_array);
    const int64_t *in = crew_array_data(views[0]);
    int64_t *out = crew_array_data(views[1]);
    bool same = call->in == in + call->index && call->out == out + call->index;
    *CREW_OUT(call, int64_t) = *CREW_IN(call, int64_t) + 1;
    return same || call->node > 0 ? 0 : crew_fail(call, 1, "it was copied");
}

static void view__that_is_contiguous__is_used_in_place_by_maps(void **state) {
    const int64_t shape[2] = {10, 2000};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_array a = made(CREW_I64, 2, shape);
    const crew_array views[2] = {sliced(a, 0, 3, 4, 1), sliced(a, 0, 7, 8, 1)};
    assert_true(crew_array_contiguous(views[0]));
    int64_t *in = crew_array_data(views[0]), *out = crew_array_data(views[1]);
    for (int64_t i = 0; i < 2000; i++)
        in[i] = i * 3;
    const crew_map_opts opts = {.common = views, .common_size = sizeof views};
    assert_ok(crew_pool_map(p, is_in_place, in, sizeof *in, 2000, out, sizeof *out, &opts, &err),
              &err);
    const int64_t *all = crew_array_data(a);
    for (int64_t i = 0; i < 10 * 2000; i++)
        assert_int_equal(all[i], i / 2000 == 3 ? i % 2000 * 3 : i / 2000 == 7 ? i % 2000 * 3 + 1 : 0);
    crewtest_free(p);
    end(views[0]);
    end(views[1]);
    end(a);
}

/* ---- the lock ------------------------------------------------------------- */

static void *try_from_another_thread(void *arg) {
    const crew_array *a = arg;
    static int rc;
    rc = crew_array_unlock(*a);
    return &rc;
}

static void lock__taken_again__is_given_back_as_often(void **state) {
    const int64_t n = 10;
    crew_array a = made(CREW_I8, 1, &n), view = sliced(a, 0, 2, 4, 1);
    pthread_t thread;
    void *rc;
    (void)state;
    assert_int_equal(crew_array_unlock(a), CREW_EPERM);
    assert_text(crew_last_error()->text, "does not hold");
    assert_int_equal(crew_array_lock(a), 0);
    assert_int_equal(crew_array_lock(view), 0); /* it is the same one */
    assert_int_equal(pthread_create(&thread, NULL, try_from_another_thread, &a), 0);
    pthread_join(thread, &rc);
    assert_int_equal(*(int *)rc, CREW_EPERM);
    assert_int_equal(crew_array_unlock(a), 0);
    assert_int_equal(crew_array_unlock(view), 0);
    assert_int_equal(crew_array_unlock(view), CREW_EPERM);
    end(view);
    end(a);
}

static void *lock_and_end(void *arg) {
    const crew_array *a = arg;
    static int rc;
    rc = crew_array_lock(*a);
    return &rc;
}

/* It stays taken, and nobody who comes later is taken for its holder. */
static void lock__its_thread_has_ended__is_nobody_elses(void **state) {
    const int64_t n = 10;
    crew_array a = made(CREW_I8, 1, &n);
    pthread_t thread;
    void *rc;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, lock_and_end, &a), 0);
    pthread_join(thread, &rc);
    assert_int_equal(*(int *)rc, 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(pthread_create(&thread, NULL, try_from_another_thread, &a), 0);
        pthread_join(thread, &rc);
        assert_int_equal(*(int *)rc, CREW_EPERM);
    }
    end(a);
}

static int count_up(crew_call *call) {
    crew_array a = *CREW_COMMON(call, crew_array);
    for (int i = 0; i < 100; i++) {
        int rc = crew_array_lock(a);
        int64_t *data = crew_array_data(a);
        if (rc != 0 || !data)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
        data[0]++;
        data[1] = data[0];
        if (crew_array_unlock(a) != 0)
            return crew_fail(call, 2, "%s", crew_last_error()->text);
    }
    return 0;
}

static void lock__many_workers__no_change_is_lost(void **state) {
    const int64_t n = 2;
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(3);
    crew_array a = added_up(CREW_I64, 1, &n);
    const crew_map_opts opts = {.common = &a, .common_size = sizeof a, .chunk = 1};
    assert_ok(crew_pool_map(p, count_up, NULL, 0, 60, NULL, 0, &opts, &err), &err);
    crewtest_sum_up(a);
    const int64_t *data = crew_array_data(a);
    assert_int_equal(data[0], 6000);
    assert_int_equal(data[1], 6000);
    crewtest_free(p);
    end(a);
}

/* ---- destroyed while others use it ---------------------------------------- */

static int wait_for_lock(crew_call *call) {
    crew_array a = *CREW_COMMON(call, crew_array);
    crewtest_add(CELL_STARTED, 1);
    int rc = crew_array_lock(a);
    if (rc == 0 && call->node > 0) /* of its node's array, which nobody holds */
        return 0;
    return rc == CREW_EINVAL ? 0 : crew_fail(call, 1, "lock gave %d", rc);
}

static void destroy__while_others_wait_for_the_lock__they_are_told(void **state) {
    const int64_t n = 100;
    crew_error err;
    crewtest_need(CREWTEST_ASYNC);
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (int round = 0; round < 20; round++) {
        crew_array a = made(CREW_I64, 1, &n);
        assert_int_equal(crew_array_lock(a), 0);
        crewtest_set(CELL_STARTED, 0);
        const crew_submit_opts opts = {.common = &a, .common_size = sizeof a};
        crew_future *f[2];
        for (int i = 0; i < 2; i++)
            assert_non_null(f[i] = crew_submit(p, wait_for_lock, NULL, 0, &opts, &err));
        assert_true(crewtest_reached(CELL_STARTED, 2, 20));
        end(a);
        assert_int_equal(crew_array_unlock(a), CREW_EINVAL);
        for (int i = 0; i < 2; i++) {
            assert_ok(crew_future_result(f[i], NULL, 0, 20, &err), &err);
            crew_future_free(f[i]);
        }
    }
    crewtest_free(p);
}

enum { CELL_PLACE = CELL_OWN, CELL_CHECK, CELL_ROUNDS };

/* Whatever handle is there now: what it tells is that array's, or it is stale. */
static int use_what_is_there(crew_call *call) {
    while (!crewtest_get(CELL_GATE) && !crew_cancelled(call)) {
        crew_array a = {(uint64_t)crewtest_get(CELL_PLACE), (uint64_t)crewtest_get(CELL_CHECK)};
        crew_array view;
        int64_t shape[2];
        int rc = crew_array_shape(a, shape, 2);
        crewtest_add(CELL_ROUNDS, 1);
        if (rc == CREW_EINVAL)
            continue;
        if (rc != 2 || shape[1] != 3 || crew_array_type(a) == 0)
            return crew_fail(call, 1, "%d dimensions, the second %ld", rc, (long)shape[1]);
        if (crew_array_slice(&view, a, 0, 0, 1, 1) == 0) {
            /* A view is stale from when its array is destroyed. */
            int64_t size = crew_array_size(view);
            if (size != 3 && size != CREW_EINVAL)
                return crew_fail(call, 2, "%ld elements", (long)size);
            if (crew_array_destroy(view) != 0)
                return crew_fail(call, 3, "%s", crew_last_error()->text);
        }
        if (crew_array_lock(a) >= 0)
            crew_array_unlock(a);
    }
    return 0;
}

static void destroy__while_others_use_it__they_see_it_or_nothing(void **state) {
    crew_error err;
    crewtest_need(CREWTEST_ASYNC);
    (void)state;
    crew_pool *p = crewtest_open(2);
    const int64_t rounds = crewtest_many(5000);
    int64_t shape[2] = {1, 3};
    crew_array a = made(CREW_I32, 2, shape);
    crewtest_set(CELL_GATE, 0);
    crewtest_set(CELL_ROUNDS, 0);
    crew_future *f[2];
    for (int i = 0; i < 2; i++)
        assert_non_null(f[i] = crew_submit(p, use_what_is_there, NULL, 0, NULL, &err));
    for (int64_t round = 0; round < rounds || crewtest_get(CELL_ROUNDS) < 1000; round++) {
        crewtest_set(CELL_PLACE, (int64_t)a.place);
        crewtest_set(CELL_CHECK, (int64_t)a.check);
        end(a);
        shape[0] = 1 + round % 2 * 20000; /* with a guard and without */
        a = made(CREW_I32, 2, shape);
    }
    crewtest_set(CELL_GATE, 1);
    for (int i = 0; i < 2; i++) {
        assert_ok(crew_future_result(f[i], NULL, 0, 30, &err), &err);
        crew_future_free(f[i]);
    }
    end(a);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(array__of_three_dimensions__tells_what_it_looks_like),
        CREWTEST(slice__of_each_kind__has_the_elements_that_pythons_has),
        CREWTEST(slice__of_slices__is_a_view_of_the_array),
        CREWTEST(slice__that_cannot_be__is_refused_in_a_sentence),
        CREWTEST(get_put_add__on_views__are_row_by_row),
        CREWTEST(get_put_add__outside__do_nothing),
        CREWTEST(view__in_tasks__is_the_same_memory),
        CREWTEST(view__that_is_contiguous__is_used_in_place_by_maps),
        CREWTEST(lock__taken_again__is_given_back_as_often),
        CREWTEST(lock__its_thread_has_ended__is_nobody_elses),
        CREWTEST(lock__many_workers__no_change_is_lost),
        CREWTEST(destroy__while_others_wait_for_the_lock__they_are_told),
        CREWTEST(destroy__while_others_use_it__they_see_it_or_nothing),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
