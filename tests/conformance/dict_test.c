/* conformance/dict_test.c - dictionaries between the workers of any backend. */
#include "crewtest.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "share/dict.h"

enum { CELL_SUM = CELL_OWN, CELL_WRONG, CELL_STOP };

/* What the session's objects take. Hands of threads and shelves are there. */
static uint64_t memory_used(void) {
    return cw_arena_used(&cw_share_here()->arena);
}

static crew_dict make(void) {
    crew_dict d;
    assert_int_equal(crew_dict_create(&d), 0);
    return d;
}

static void map_over(crew_pool *p, crew_fn *fn, int64_t count, crew_dict d) {
    crew_error err;
    crew_map_opts opts = {.common = &d, .common_size = sizeof d, .chunk = 1};
    assert_ok(crew_pool_map(p, fn, NULL, 0, count, NULL, 0, &opts, &err), &err);
}

static int32_t number_of(crew_dict d, const char *key) {
    int32_t n;
    assert_int_equal(crew_dict_get(d, key, strlen(key), &n, sizeof n, 0), sizeof n);
    return n;
}

static void set_number(crew_dict d, const char *key, int32_t n) {
    assert_int_equal(crew_dict_set(d, key, strlen(key), &n, sizeof n), 0);
}

/* ---- one key ---- */

static void dict__any_sizes__come_back_as_they_went_in(void **state) {
    static const size_t sizes[] = {0, 1, 7, 8, 9, 24, 25, 64, 5000, 40000, 3 << 20};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    char *bytes = malloc(3 << 20), *got = malloc(3 << 20);
    (void)state;
    assert_true(bytes && got);
    for (int i = 0; i < 3 << 20; i++)
        bytes[i] = (char)crewtest_mix((uint64_t)i);
    crew_dict d = make();
    for (int k = 0; k < SIZES; k++)
        for (int v = 0; v < SIZES; v++) /* each value in the place of the one before */
            assert_int_equal(crew_dict_set(d, bytes, sizes[k], bytes + 7 * v, sizes[v] / 2), 0);
    assert_int_equal(crew_dict_size(d), SIZES);
    for (int k = 0; k < SIZES; k++) {
        const size_t size = sizes[SIZES - 1] / 2;
        void *made = NULL;
        assert_int_equal(crew_dict_has(d, bytes, sizes[k]), size);
        assert_int_equal(crew_dict_get(d, bytes, sizes[k], got, size, 0), size);
        assert_memory_equal(got, bytes + 7 * (SIZES - 1), size);
        assert_int_equal(crew_dict_pop_alloc(d, bytes, sizes[k], &made, 0), size);
        assert_memory_equal(made, bytes + 7 * (SIZES - 1), size);
        free(made);
        assert_int_equal(crew_dict_has(d, bytes, sizes[k]), CREW_ENOENT);
        assert_int_equal(crew_dict_del(d, bytes, sizes[k]), CREW_ENOENT);
    }
    assert_int_equal(crew_dict_size(d), 0);
    assert_int_equal(crew_dict_destroy(d), 0);
    free(bytes);
    free(got);
}

static void dict__no_key_no_bytes_or_too_little_room__are_errors_in_a_sentence(void **state) {
    crew_dict d = make();
    void *made = &d;
    char buf[8];
    (void)state;
    assert_int_equal(crew_dict_get(d, "a", 1, buf, sizeof buf, 0), CREW_ENOENT);
    assert_text(crew_last_error()->text, "no such key");
    assert_int_equal(crew_dict_get_alloc(d, "a", 1, &made, 0), CREW_ENOENT);
    assert_null(made);
    assert_int_equal(crew_dict_set(d, "a", 1, "0123456789", 10), 0);
    assert_int_equal(crew_dict_get(d, "a", 1, buf, sizeof buf, 0), CREW_ETOOSMALL);
    assert_text(crew_last_error()->text, "10 bytes, the buffer room for 8");
    assert_int_equal(crew_dict_pop(d, "a", 1, buf, 0, 0), CREW_ETOOSMALL);
    assert_int_equal(crew_dict_has(d, "a", 1), 10); /* it stays */
    assert_int_equal(crew_last_error()->code, 0);
    assert_int_equal(crew_dict_add_i64(d, "a", 1, 1, NULL), CREW_EMISMATCH);
    assert_text(crew_last_error()->text, "8 bytes");
    assert_int_equal(crew_dict_set(d, NULL, 1, "", 0), CREW_EINVAL);
    assert_text(crew_last_error()->text, "key is NULL");
    assert_int_equal(crew_dict_set(d, "b", 1, NULL, 3), CREW_EINVAL);
    assert_text(crew_last_error()->text, "value is NULL");
    assert_int_equal(crew_dict_set(d, "b", (size_t)-1, NULL, 0), CREW_EINVAL);
    assert_int_equal(crew_dict_set(d, "b", 1, "", (size_t)1 << 60), CREW_ENOMEM);
    assert_int_equal(crew_dict_get(d, "a", 1, NULL, 3, 0), CREW_EINVAL);
    assert_int_equal(crew_dict_get_alloc(d, "a", 1, NULL, 0), CREW_EINVAL);
    assert_int_equal(crew_dict_each(d, NULL, NULL), CREW_EINVAL);
    assert_int_equal(crew_dict_create(NULL), CREW_EINVAL);
    assert_int_equal(crew_dict_size(d), 1);
    assert_int_equal(crew_dict_destroy(d), 0);
}

static void dict__compare_and_set__tells_absent_from_empty(void **state) {
    crew_dict d = make();
    (void)state;
    assert_int_equal(crew_dict_cas(d, "k", 1, "", 0, "x", 1), 0);
    assert_int_equal(crew_dict_cas(d, "k", 1, NULL, 0, NULL, 0), 1);
    assert_int_equal(crew_dict_size(d), 0);
    assert_int_equal(crew_dict_cas(d, "k", 1, NULL, 0, "", 0), 1);
    assert_int_equal(crew_dict_has(d, "k", 1), 0);
    assert_int_equal(crew_dict_cas(d, "k", 1, NULL, 0, "x", 1), 0);
    assert_int_equal(crew_dict_cas(d, "k", 1, "", 0, "12345678", 8), 1);
    assert_int_equal(crew_dict_cas(d, "k", 1, "12345679", 8, "87654321", 8), 0);
    assert_int_equal(crew_dict_cas(d, "k", 1, "12345678", 8, "87654321", 8), 1);
    assert_int_equal(crew_dict_cas(d, "k", 1, "12345678", 8, NULL, 0), 0);
    assert_int_equal(crew_dict_size(d), 1);
    assert_int_equal(crew_dict_cas(d, "k", 1, "87654321", 8, NULL, 0), 1);
    assert_int_equal(crew_dict_size(d), 0);
    assert_int_equal(crew_dict_destroy(d), 0);
}

/* ---- against a model ---- */

enum { MODEL = 300 };
struct model {
    bool there;
    uint64_t value;
    size_t size;
};

static void fill(char *bytes, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i < 8 ? value >> 8 * i : value + i);
}

static void check_one(crew_dict d, uint64_t key, const struct model *m) {
    char got[512], want[512];
    ptrdiff_t size = crew_dict_get(d, &key, sizeof key, got, sizeof got, 0);
    assert_int_equal(size, m->there ? (ptrdiff_t)m->size : CREW_ENOENT);
    fill(want, m->value, m->size);
    if (m->there)
        assert_memory_equal(got, want, m->size);
}

static int count_key(void *ctx, const void *key, size_t ksize, const void *val, size_t vsize) {
    struct model *model = ctx;
    uint64_t k;
    char want[512];
    if (ksize != sizeof k)
        return 1;
    memcpy(&k, key, sizeof k);
    fill(want, model[k].value, model[k].size);
    if (!model[k].there || model[k].size != vsize || memcmp(want, val, vsize) != 0)
        return 2;
    model[k].there = false;
    return 0;
}

static void random_step(crew_dict d, struct model *model) {
    uint64_t r = crewtest_random(), key = r % MODEL;
    struct model *m = &model[key], next = {true, r, r >> 40 & 1 ? 8 : r >> 41 & 511};
    char bytes[512], is[512];
    int64_t before = 0, was;
    fill(bytes, next.value, next.size);
    fill(is, m->value, m->size);
    switch (r >> 20 & 7) {
    case 0:
        assert_int_equal(crew_dict_del(d, &key, sizeof key), m->there ? 0 : CREW_ENOENT);
        m->there = false;
        return;
    case 1:
        assert_int_equal(crew_dict_pop(d, &key, sizeof key, bytes, sizeof bytes, 0),
                         m->there ? (ptrdiff_t)m->size : CREW_ENOENT);
        m->there = false;
        return;
    case 2:
        assert_int_equal(crew_dict_cas(d, &key, sizeof key, m->there ? is : NULL,
                                       m->there ? m->size : 0, bytes, next.size),
                         1);
        *m = next;
        return;
    case 3:
        if (m->there && m->size != 8) {
            assert_int_equal(crew_dict_add_i64(d, &key, sizeof key, 5, NULL), CREW_EMISMATCH);
            return;
        }
        memcpy(&was, is, sizeof was);
        assert_int_equal(crew_dict_add_i64(d, &key, sizeof key, 5, &before), 0);
        assert_true(before == (m->there ? was : 0));
        *m = (struct model){true, (m->there ? m->value : 0) + 5, 8};
        return;
    default:
        assert_int_equal(crew_dict_set(d, &key, sizeof key, bytes, next.size), 0);
        *m = next;
    }
}

static void dict__random_calls__do_what_a_model_does(void **state) {
    struct model model[MODEL] = {0};
    struct cw_self *self;
    crew_dict d = make();
    (void)state;
    for (int64_t i = 0, n = crewtest_many(60000); i < n; i++) {
        random_step(d, model);
        check_one(d, i % MODEL, &model[i % MODEL]);
        if (i % 7000 == 6999) {
            assert_int_equal(crew_dict_clear(d), 0);
            memset(model, 0, sizeof model);
        }
    }
    int64_t there = 0;
    for (int i = 0; i < MODEL; i++)
        there += model[i].there;
    assert_int_equal(crew_dict_size(d), there);
    assert_int_equal(crew_dict_each(d, count_key, model), 0);
    for (int i = 0; i < MODEL; i++)
        assert_false(model[i].there);
    self = cw_self_if_any();
    assert_non_null(self);
    assert_null(cw_dict_check(self, cw_object(self->share, CW_DICT, d.place, d.check)));
    assert_int_equal(crew_dict_destroy(d), 0);
}

/* ---- several at once ---- */

enum { WORDS = 100, ROUNDS = 200 }; /* of crewtest_calls */

static int count_words(crew_call *call) {
    crew_dict d = *CREW_COMMON(call, crew_dict);
    char word[16];
    for (int64_t i = 0, n = crewtest_calls(ROUNDS) * WORDS; i < n; i++) {
        int size = snprintf(word, sizeof word, "word %d", (int)(i % WORDS));
        if (crew_dict_add_i64(d, word, (size_t)size, i % WORDS, NULL) != 0)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
    }
    return 0;
}

static void dict__words_counted_by_all__are_all_counted(void **state) {
    crew_dict d = make();
    (void)state;
    crew_pool *p = crewtest_open(4);
    map_over(p, count_words, 8, d);
    assert_int_equal(crew_dict_size(d), WORDS);
    for (int i = 0; i < WORDS; i++) {
        char word[16];
        int64_t n = 0;
        int size = snprintf(word, sizeof word, "word %d", i);
        assert_int_equal(crew_dict_get(d, word, (size_t)size, &n, sizeof n, 0), sizeof n);
        assert_int_equal(n, 8 * crewtest_calls(ROUNDS) * i);
    }
    crewtest_free(p);
    assert_int_equal(crew_dict_destroy(d), 0);
}

static int claim(crew_call *call) {
    crew_dict d = *CREW_COMMON(call, crew_dict);
    for (int64_t key = 0; key < 1000; key++) {
        int rc = crew_dict_cas(d, &key, sizeof key, NULL, 0, &call->index, sizeof call->index);
        if (rc < 0)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
        crewtest_add(CELL_SUM, rc);
    }
    return 0;
}

static int pop_all(crew_call *call) {
    crew_dict d = *CREW_COMMON(call, crew_dict);
    for (int64_t key = 0, got; key < 1000; key++) {
        ptrdiff_t rc = crew_dict_pop(d, &key, sizeof key, &got, sizeof got, 0);
        if (rc != sizeof got && rc != CREW_ENOENT)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
        crewtest_add(CELL_SUM, rc == sizeof got);
    }
    return 0;
}

static void dict__claimed_and_popped_by_all__each_key_by_one(void **state) {
    crew_dict d = make();
    (void)state;
    crew_pool *p = crewtest_open(4);
    crewtest_set(CELL_SUM, 0);
    map_over(p, claim, 8, d);
    assert_int_equal(crewtest_get(CELL_SUM), 1000);
    assert_int_equal(crew_dict_size(d), 1000);
    map_over(p, pop_all, 8, d);
    assert_int_equal(crewtest_get(CELL_SUM), 2000);
    assert_int_equal(crew_dict_size(d), 0);
    crewtest_free(p);
    assert_int_equal(crew_dict_destroy(d), 0);
}

enum { WRITERS = 16 };

static int fill_part(crew_call *call) {
    crew_dict d = *CREW_COMMON(call, crew_dict);
    int64_t n = crewtest_get(CELL_SUM) / WRITERS;
    for (int64_t i = 0; i < n; i++) {
        uint64_t key = (uint64_t)(call->index * n + i), val[2] = {key, ~key};
        if (crew_dict_set(d, &key, sizeof key, val, sizeof val) != 0)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
    }
    return 0;
}

static int look(crew_call *call) {
    return crew_dict_size(*CREW_IN(call, crew_dict)) < 0;
}

/* All workers have hands then, and those of other nodes who stands for them here. */
static void let_all_look(crew_pool *p, crew_dict d) {
    crew_error err;
    assert_ok(crew_pool_each(p, look, &d, sizeof d, &err), &err);
}

static int add_up(void *ctx, const void *key, size_t ksize, const void *val, size_t vsize) {
    uint64_t k, v[2];
    if (ksize != sizeof k || vsize != sizeof v)
        return 1;
    memcpy(&k, key, sizeof k);
    memcpy(v, val, sizeof v);
    *(uint64_t *)ctx += k;
    return v[0] == k && v[1] == ~k && (uintptr_t)val % 16 == 0 ? 0 : 2;
}

static void dict__a_million_entries_by_several_writers__are_there_and_go(void **state) {
    (void)state;
    crewtest_may_take(120);
    crew_pool *p = crewtest_open(4);
    crew_dict none = make();
    let_all_look(p, none);
    assert_int_equal(crew_dict_destroy(none), 0);
    uint64_t used = memory_used();
    for (int round = 0; round < 2; round++) { /* cleared, and destroyed as it is */
        crew_dict d = make();
        int64_t n = crewtest_calls(round == 0 ? 1000000 : 100000) / WRITERS * WRITERS;
        uint64_t sum = 0, got[2];
        crewtest_set(CELL_SUM, n);
        map_over(p, fill_part, WRITERS, d);
        assert_int_equal(crew_dict_size(d), n);
        for (uint64_t key = 0; key < (uint64_t)n; key += 101)
            assert_int_equal(crew_dict_get(d, &key, sizeof key, got, sizeof got, 0), sizeof got);
        assert_int_equal(crew_dict_each(d, add_up, &sum), 0);
        assert_true(sum == (uint64_t)n * ((uint64_t)n - 1) / 2);
        if (round == 0) {
            assert_int_equal(crew_dict_clear(d), 0);
            assert_int_equal(crew_dict_size(d), 0);
            assert_true(memory_used() == used);
        }
        assert_int_equal(crew_dict_destroy(d), 0);
        assert_true(memory_used() == used);
    }
    crewtest_free(p);
}

/* ---- waiting ---- */

static void get__nobody_sets_the_key__the_time_is_over(void **state) {
    crew_dict d = make();
    char buf[8];
    (void)state;
    set_number(d, "another", 1);
    double from = crewtest_now();
    assert_int_equal(crew_dict_get(d, "key", 3, buf, sizeof buf, 0.05), CREW_ETIMEDOUT);
    assert_true(crewtest_now() - from >= 0.049);
    assert_within(from, 5);
    assert_text(crew_last_error()->text, "nobody has put");
    assert_int_equal(crew_dict_pop(d, "key", 3, buf, sizeof buf, 0.01), CREW_ETIMEDOUT);
    assert_int_equal(crew_dict_destroy(d), 0);
}

/* Passes a number round: takes it under its own name, puts it under the next. */
static int pass_on(crew_call *call) {
    crew_dict d = *CREW_COMMON(call, crew_dict);
    int64_t me = call->index, next = (me + 1) % 3, n;
    for (int i = 0; i < 300; i++) {
        if (crew_dict_pop(d, &me, sizeof me, &n, sizeof n, CREW_FOREVER) != sizeof n)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
        n++;
        if (crew_dict_set(d, &next, sizeof next, &n, sizeof n) != 0)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
    }
    return 0;
}

static void pop__waiting_in_a_ring__each_gets_its_key_when_it_comes(void **state) {
    crewtest_need(CREWTEST_ASYNC | CREWTEST_MANY);
    crew_dict d = make();
    crew_error err;
    int64_t first = 0, n = 0;
    (void)state;
    crew_pool *p = crewtest_open(3);
    crew_map_opts opts = {.common = &d, .common_size = sizeof d, .chunk = 1};
    crew_job *job = crew_map_async(p, pass_on, NULL, 0, 3, NULL, 0, &opts, &err);
    assert_non_null(job);
    assert_int_equal(crew_dict_set(d, &first, sizeof first, &n, sizeof n), 0);
    assert_ok(crew_job_get(job, 30, &err), &err);
    crew_job_free(job);
    assert_int_equal(crew_dict_pop(d, &first, sizeof first, &n, sizeof n, 0), sizeof n);
    assert_int_equal(n, 900);
    crewtest_free(p);
    assert_int_equal(crew_dict_destroy(d), 0);
}

static void *wait_for_key(void *arg) {
    char buf[8];
    return (void *)(intptr_t)crew_dict_get(*(crew_dict *)arg, "k", 1, buf, sizeof buf,
                                           CREW_FOREVER);
}

static void dict__destroyed_under_a_waiter__the_waiter_hears_of_it(void **state) {
    pthread_t thread;
    void *rc;
    (void)state;
    for (int i = 0; i < 100; i++) {
        crew_dict d = make();
        assert_int_equal(pthread_create(&thread, NULL, wait_for_key, &d), 0);
        if (i % 2)
            crewtest_pause();
        double from = crewtest_now();
        assert_int_equal(crew_dict_destroy(d), 0);
        assert_int_equal(pthread_join(thread, &rc), 0);
        assert_int_equal((intptr_t)rc, CREW_EINVAL);
        assert_within(from, 5);
    }
}

static int use_until_gone(crew_call *call) {
    crew_dict d = *CREW_COMMON(call, crew_dict);
    char bytes[100] = {0};
    for (int64_t i = 0;; i++) {
        int64_t key = i % 500;
        int rc = i % 3 ? crew_dict_set(d, &key, sizeof key, bytes, (size_t)(i % 100))
                       : crew_dict_del(d, &key, sizeof key);
        crewtest_add(CELL_SUM, 1);
        if (rc == CREW_EINVAL)
            return 0;
        if (rc < 0 && rc != CREW_ENOENT)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
    }
}

static void dict__destroyed_under_its_users__they_hear_of_it_and_nothing_is_left(void **state) {
    crewtest_need(CREWTEST_ASYNC);
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(3);
    for (int i = 0; i < 20; i++) {
        crew_dict d = make();
        let_all_look(p, d);
        crewtest_set(CELL_SUM, 0);
        crew_map_opts opts = {.common = &d, .common_size = sizeof d, .chunk = 1};
        uint64_t used = memory_used();
        crew_job *job = crew_map_async(p, use_until_gone, NULL, 0, 3, NULL, 0, &opts, &err);
        assert_non_null(job);
        assert_true(crewtest_reached(CELL_SUM, 1000, 30));
        assert_int_equal(crew_dict_destroy(d), 0);
        crew_dict next = make(); /* in the same place, while they find out */
        assert_ok(crew_job_get(job, 30, &err), &err);
        crew_job_free(job);
        assert_int_equal(next.place, d.place);
        assert_int_equal(crew_dict_size(next), 0);
        assert_int_equal(crew_dict_destroy(next), 0);
        CREWTEST_WAIT(memory_used() == used, 5);
    }
    crewtest_free(p);
}

/* ---- each ---- */

enum { ROW = 50 };

/* One number under all keys, one key after the other. */
static int write_rows(crew_call *call) {
    crew_dict d = *CREW_COMMON(call, crew_dict);
    for (int64_t n = 1; !crewtest_get(CELL_STOP); n++)
        for (int64_t key = 0; key < ROW; key++)
            if (crew_dict_set(d, &key, sizeof key, &n, sizeof n) != 0)
                return crew_fail(call, 1, "%s", crew_last_error()->text);
    return 0;
}

static int read_row(void *ctx, const void *key, size_t ksize, const void *val, size_t vsize) {
    int64_t k;
    if (ksize != sizeof k || vsize != sizeof k)
        return 1;
    memcpy(&k, key, sizeof k);
    memcpy((int64_t *)ctx + k, val, sizeof k);
    return 0;
}

static void each__while_others_write__shows_the_whole_dictionary_at_one_moment(void **state) {
    crewtest_need(CREWTEST_ASYNC);
    crew_dict d = make();
    crew_error err;
    (void)state;
    crewtest_set(CELL_STOP, 0);
    crew_pool *p = crewtest_open(1);
    crew_map_opts opts = {.common = &d, .common_size = sizeof d};
    crew_job *job = crew_map_async(p, write_rows, NULL, 0, 1, NULL, 0, &opts, &err);
    assert_non_null(job);
    bool wrong = false;
    int64_t moved = 0, last = 0, wanted = crewtest_has(CREWTEST_ONE_NODE) ? 300 : 30;
    double until = crewtest_now() + 30;
    while (!wrong && moved < wanted && crewtest_now() < until) {
        int64_t row[ROW] = {0};
        wrong = crew_dict_each(d, read_row, row) != 0;
        for (int k = 1; k < ROW; k++) /* the writer is somewhere in the row */
            wrong = wrong || row[k] > row[k - 1] || row[k] < row[0] - 1;
        moved += row[0] != last;
        last = row[0];
    }
    crewtest_set(CELL_STOP, 1);
    assert_ok(crew_job_get(job, 30, &err), &err);
    crew_job_free(job);
    assert_false(wrong);
    assert_int_equal(moved, wanted);
    crewtest_free(p);
    assert_int_equal(crew_dict_destroy(d), 0);
}

static int remove_this(void *ctx, const void *key, size_t ksize, const void *val, size_t vsize) {
    (void)val, (void)vsize;
    crew_dict d = *(crew_dict *)ctx;
    if (crew_dict_del(d, key, ksize) != 0)
        return -1;
    return crew_dict_size(d) == 3 ? 77 : 0;
}

static void each__its_function_uses_the_dictionary_and_stops__as_it_says(void **state) {
    crew_dict d = make();
    (void)state;
    for (int64_t key = 0; key < 10; key++)
        assert_int_equal(crew_dict_set(d, &key, sizeof key, NULL, 0), 0);
    assert_int_equal(crew_dict_each(d, remove_this, &d), 77);
    assert_int_equal(crew_dict_size(d), 3);
    assert_int_equal(crew_dict_destroy(d), 0);
}

/* ---- handles ---- */

static void dict__stale_handles__are_errors_in_a_sentence(void **state) {
    crew_dict d = make(), next, none = {0};
    crew_list other;
    (void)state;
    set_number(d, "k", 1);
    assert_int_equal(crew_dict_destroy(d), 0);
    assert_int_equal(crew_dict_destroy(d), CREW_EINVAL);
    next = make();
    assert_int_equal(next.place, d.place);
    assert_int_equal(crew_dict_size(next), 0);
    assert_int_equal(crew_dict_set(d, "k", 1, "v", 1), CREW_EINVAL);
    assert_text(crew_last_error()->text, "no such dictionary");
    assert_int_equal(crew_dict_del(d, "k", 1), CREW_EINVAL);
    assert_int_equal(crew_dict_has(d, "k", 1), CREW_EINVAL);
    assert_int_equal(crew_dict_cas(d, "k", 1, NULL, 0, "", 0), CREW_EINVAL);
    assert_int_equal(crew_dict_add_i64(d, "k", 1, 1, NULL), CREW_EINVAL);
    assert_int_equal(crew_dict_size(d), CREW_EINVAL);
    assert_int_equal(crew_dict_clear(d), CREW_EINVAL);
    assert_int_equal(crew_dict_each(d, add_up, NULL), CREW_EINVAL);
    assert_int_equal(crew_dict_size(next), 0);
    assert_int_equal(crew_dict_size(none), CREW_EINVAL);
    assert_text(crew_last_error()->text, "empty");
    memcpy(&other, &next, sizeof other);
    assert_int_equal(crew_list_size(other), CREW_EINVAL);
    assert_text(crew_last_error()->text, "handle is that of a dictionary");
    assert_int_equal(crew_dict_destroy(next), 0);
}

static int follow(crew_call *call) {
    crew_dict outer = *CREW_IN(call, crew_dict), inner;
    crew_lock lock;
    int32_t n = 0;
    if (crew_dict_get(outer, "supplies", 8, &inner, sizeof inner, 0) != sizeof inner ||
        crew_dict_get(inner, "lock", 4, &lock, sizeof lock, 0) != sizeof lock ||
        crew_lock_acquire(lock, CREW_FOREVER) != 0 ||
        crew_dict_get(inner, "water", 5, &n, sizeof n, 0) != sizeof n)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    n -= 3;
    if (crew_dict_set(inner, "water", 5, &n, sizeof n) != 0 || crew_lock_release(lock) != 0)
        return crew_fail(call, 2, "%s", crew_last_error()->text);
    return 0;
}

/* test_dict_proxy_nested: what is under a key is the same object. */
static void dict__handles_as_values__lead_to_the_same_objects(void **state) {
    crew_dict pets = make(), supplies = make(), d = make(), got;
    crew_lock lock;
    crew_error err;
    (void)state;
    set_number(pets, "hamsters", 4);
    set_number(supplies, "water", 10);
    assert_int_equal(crew_lock_create(&lock), 0);
    assert_int_equal(crew_dict_set(supplies, "lock", 4, &lock, sizeof lock), 0);
    assert_int_equal(crew_dict_set(d, "pets", 4, &pets, sizeof pets), 0);
    assert_int_equal(crew_dict_set(d, "supplies", 8, &supplies, sizeof supplies), 0);
    assert_int_equal(crew_dict_get(d, "supplies", 8, &got, sizeof got, 0), sizeof got);
    set_number(got, "blankets", 5);
    assert_int_equal(number_of(supplies, "blankets"), 5);
    crew_pool *p = crewtest_open(1);
    assert_ok(crew_apply(p, follow, &d, sizeof d, NULL, 0, &err), &err);
    crewtest_free(p);
    assert_int_equal(number_of(supplies, "water"), 7);
    assert_int_equal(crew_dict_clear(d), 0);
    assert_int_equal(crew_dict_size(d), 0);
    assert_int_equal(number_of(supplies, "water"), 7);
    assert_int_equal(number_of(pets, "hamsters"), 4);
    assert_int_equal(crew_lock_destroy(lock), 0);
    assert_int_equal(crew_dict_destroy(pets), 0);
    assert_int_equal(crew_dict_destroy(supplies), 0);
    assert_int_equal(crew_dict_destroy(d), 0);
}

/* ---- as Python's ---- */

static void queue__in_a_dictionary_and_in_a_list__is_that_queue(void **state) {
    crew_dict d = make();
    crew_list l;
    crew_queue q, got;
    int32_t key = 0, n = 456;
    (void)state;
    assert_int_equal(crew_list_create(&l), 0);
    assert_int_equal(crew_queue_create(&q, 0, NULL), 0);
    assert_int_equal(crew_dict_set(d, &key, sizeof key, &q, sizeof q), 0);
    assert_int_equal(crew_list_append(l, &q, sizeof q), 0);
    assert_int_equal(crew_list_get(l, 0, &got, sizeof got), sizeof got);
    assert_int_equal(crew_queue_put(got, &n, sizeof n, 0), 0);
    assert_int_equal(crew_dict_get(d, &key, sizeof key, &got, sizeof got, 0), sizeof got);
    n = 0;
    assert_int_equal(crew_queue_get(got, &n, sizeof n, 0), sizeof n);
    assert_int_equal(n, 456);
    assert_int_equal(crew_queue_destroy(q), 0);
    assert_int_equal(crew_list_destroy(l), 0);
    assert_int_equal(crew_dict_destroy(d), 0);
}

static int one_letter(void *ctx, const void *key, size_t ksize, const void *val, size_t vsize) {
    int32_t k;
    if (ksize != sizeof k || vsize != 1)
        return 1;
    memcpy(&k, key, sizeof k);
    if (k < 65 || k >= 70 || *(const char *)val != (char)k)
        return 2;
    ((int *)ctx)[k - 65]++;
    return 0;
}

static void dict__five_letters__are_its_keys_and_values(void **state) {
    crew_dict d = make();
    int seen[5] = {0};
    (void)state;
    for (int32_t i = 65; i < 70; i++)
        assert_int_equal(crew_dict_set(d, &i, sizeof i, &(char){(char)i}, 1), 0);
    assert_int_equal(crew_dict_each(d, one_letter, seen), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(crew_dict_destroy(d), 0);
}

static int clear_it(void *ctx, const void *key, size_t ksize, const void *val, size_t vsize) {
    int seen[5] = {0};
    crew_dict d = *(crew_dict *)ctx;
    if (crew_dict_clear(d) != 0 || crew_dict_size(d) != 0)
        return 3;
    return one_letter(seen, key, ksize, val, vsize);
}

/* test_dict_iter: there an error, here the copy is looked at to its end. */
static void each__cleared_in_the_middle__goes_on_over_its_copy(void **state) {
    crew_dict d = make();
    (void)state;
    for (int32_t i = 65; i < 70; i++)
        assert_int_equal(crew_dict_set(d, &i, sizeof i, &(char){(char)i}, 1), 0);
    assert_int_equal(crew_dict_each(d, clear_it, &d), 0);
    assert_int_equal(crew_dict_destroy(d), 0);
}

static void namespace__is_a_dictionary_of_names(void **state) {
    crew_dict n = make();
    char text[16] = "";
    (void)state;
    assert_int_equal(crew_dict_set(n, "name", 4, "Bob", 4), 0);
    assert_int_equal(crew_dict_set(n, "job", 3, "Builder", 8), 0);
    assert_int_equal(crew_dict_get(n, "name", 4, text, sizeof text, 0), 4);
    assert_string_equal(text, "Bob");
    assert_int_equal(crew_dict_get(n, "job", 3, text, sizeof text, 0), 8);
    assert_string_equal(text, "Builder");
    assert_int_equal(crew_dict_del(n, "job", 3), 0);
    assert_true(crew_dict_has(n, "name", 4) >= 0);
    assert_int_equal(crew_dict_has(n, "job", 3), CREW_ENOENT);
    assert_int_equal(crew_dict_destroy(n), 0);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(dict__any_sizes__come_back_as_they_went_in),
        CREWTEST(dict__no_key_no_bytes_or_too_little_room__are_errors_in_a_sentence),
        CREWTEST(dict__compare_and_set__tells_absent_from_empty),
        CREWTEST(dict__random_calls__do_what_a_model_does),
        CREWTEST(dict__words_counted_by_all__are_all_counted),
        CREWTEST(dict__claimed_and_popped_by_all__each_key_by_one),
        CREWTEST(dict__a_million_entries_by_several_writers__are_there_and_go),
        CREWTEST(get__nobody_sets_the_key__the_time_is_over),
        CREWTEST(pop__waiting_in_a_ring__each_gets_its_key_when_it_comes),
        CREWTEST(dict__destroyed_under_a_waiter__the_waiter_hears_of_it),
        CREWTEST(dict__destroyed_under_its_users__they_hear_of_it_and_nothing_is_left),
        CREWTEST(each__while_others_write__shows_the_whole_dictionary_at_one_moment),
        CREWTEST(each__its_function_uses_the_dictionary_and_stops__as_it_says),
        CREWTEST(dict__stale_handles__are_errors_in_a_sentence),
        CREWTEST(dict__handles_as_values__lead_to_the_same_objects),
        CREWTEST(queue__in_a_dictionary_and_in_a_list__is_that_queue),
        CREWTEST(dict__five_letters__are_its_keys_and_values),
        CREWTEST(each__cleared_in_the_middle__goes_on_over_its_copy),
        CREWTEST(namespace__is_a_dictionary_of_names),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
