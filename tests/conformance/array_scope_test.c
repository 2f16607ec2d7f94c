/* conformance/array_scope_test.c - arrays over named memory; scopes, on one node; what
 * CPython tests of its shared arrays. */
#include "crewtest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static crew_array made(int type, int64_t n, int scope) {
    const crew_array_opts opts = {.scope = scope};
    crew_array a;
    assert_ok(crew_array_create(&a, type, 1, &n, &opts), NULL);
    return a;
}

/* ---- over named memory ---------------------------------------------------- */

static int double_row(crew_call *call) {
    int64_t *row = crew_array_row(*CREW_COMMON(call, crew_array), call->index);
    if (!row)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    for (int i = 0; i < 4; i++)
        row[i] *= 2;
    return 0;
}

static void over__named_memory__is_that_memory_in_every_process(void **state) {
    const int64_t shape[2] = {50, 4};
    char name[64];
    crew_shm s;
    crew_array a, view;
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ONE_NODE);
    snprintf(name, sizeof name, "crewtest-over-%d", (int)getpid());
    crew_pool *p = crewtest_open(2);
    assert_int_equal(crew_shm_create(&s, name, 50 * 4 * sizeof(int64_t), NULL), 0);
    int64_t *memory = crew_shm_data(s);
    for (int i = 0; i < 200; i++)
        memory[i] = i;
    assert_ok(crew_array_create(&a, CREW_I64, 2, shape, &(crew_array_opts){.over = &s}), NULL);
    assert_ptr_equal(crew_array_data(a), memory);
    const crew_map_opts opts = {.common = &a, .common_size = sizeof a};
    assert_ok(crew_pool_map(p, double_row, NULL, 0, 50, NULL, 0, &opts, &err), &err);
    assert_ok(crew_array_slice(&view, a, 0, 10, 20, 1), NULL);
    assert_ptr_equal(crew_array_data(view), memory + 40);
    const crew_map_opts part = {.common = &view, .common_size = sizeof view};
    assert_ok(crew_pool_map(p, double_row, NULL, 0, 10, NULL, 0, &part, &err), &err);
    for (int i = 0; i < 200; i++)
        assert_int_equal(memory[i], i / 40 == 1 ? 4 * i : 2 * i);
    assert_int_equal(crew_array_lock(view), 0);
    assert_int_equal(crew_array_unlock(a), 0);
    assert_ok(crew_array_destroy(view), NULL);
    assert_ok(crew_array_destroy(a), NULL);
    assert_int_equal(memory[1], 2); /* it is not the array's */
    assert_ok(crew_array_create(&a, CREW_U8, 2, shape, &(crew_array_opts){.over = &s}), NULL);
    assert_int_equal(crew_shm_unlink(s), 0);
    assert_int_equal(crew_shm_close(s), 0);
    assert_null(crew_array_data(a)); /* its memory has gone */
    assert_int_equal(crew_last_error()->code, CREW_EINVAL);
    assert_ok(crew_array_destroy(a), NULL);
    crewtest_free(p);
}

static void over__memory_that_does_not_do__is_refused_in_a_sentence(void **state) {
    const int64_t n = 100;
    char name[64];
    crew_shm s, none = {0};
    crew_array a = {5, 6};
    (void)state;
    snprintf(name, sizeof name, "crewtest-small-%d", (int)getpid());
    assert_int_equal(crew_shm_create(&s, name, 799, NULL), 0);
    crew_array_opts opts = {.over = &s};
    assert_int_equal(crew_array_create(&a, CREW_F64, 1, &n, &opts), CREW_ETOOSMALL);
    assert_text(crew_last_error()->text, "800 bytes does not fit the 799 of the shared memory");
    assert_text(crew_last_error()->text, name);
    opts.scope = CREW_ARRAY_PARTITIONED;
    assert_int_equal(crew_array_create(&a, CREW_U8, 1, &n, &opts), CREW_ENOTSUP);
    assert_text(crew_last_error()->text, "CREW_ARRAY_NODE");
    opts = (crew_array_opts){.over = &none};
    assert_int_equal(crew_array_create(&a, CREW_U8, 1, &n, &opts), CREW_EINVAL);
    assert_int_equal(a.place, 5);
    assert_int_equal(crew_shm_unlink(s), 0);
    assert_int_equal(crew_shm_close(s), 0);
}

/* An unrelated program. */
static int helper(const char *name) {
    const int64_t n = 32;
    crew_shm s;
    crew_array a;
    crewtest_check(crew_shm_attach(&s, name) == 0, "%s", crew_last_error()->text);
    const crew_array_opts opts = {.over = &s};
    crewtest_check(crew_array_create(&a, CREW_F32, 1, &n, &opts) == 0, "%s",
                   crew_last_error()->text);
    float *data = crew_array_data(a);
    crewtest_check(data, "%s", crew_last_error()->text);
    for (int i = 0; i < n; i++)
        data[i] += 0.5f;
    return crew_finalize();
}

static void over__memory_that_another_program_attached__is_the_same(void **state) {
    const int64_t n = 32;
    char name[64];
    char *text;
    crew_shm s;
    crew_array a;
    (void)state;
    crewtest_need_helpers();
    snprintf(name, sizeof name, "crewtest-alien-%d", (int)getpid());
    assert_int_equal(crew_shm_create(&s, name, 128, NULL), 0);
    assert_ok(crew_array_create(&a, CREW_F32, 1, &n, &(crew_array_opts){.over = &s}), NULL);
    float *data = crew_array_data(a);
    for (int i = 0; i < n; i++)
        data[i] = (float)i;
    int status = crewtest_helper_run(name, NULL, 30, &text);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("status %#x, said \"%s\"", status, text);
    free(text);
    for (int i = 0; i < n; i++)
        assert_true(data[i] == (float)i + 0.5f);
    assert_ok(crew_array_destroy(a), NULL);
    assert_int_equal(crew_shm_unlink(s), 0);
    assert_int_equal(crew_shm_close(s), 0);
}

/* ---- replicated ----------------------------------------------------------- */

static const int types[] = {CREW_I8,  CREW_U8,  CREW_I16, CREW_U16, CREW_I32,
                            CREW_U32, CREW_I64, CREW_U64, CREW_F32, CREW_F64};
enum { TYPES = sizeof types / sizeof *types };

/* As a number: what the element of that type is. */
static double element(int type, const void *at) {
    switch (type) {
    case CREW_I8:
        return *(const int8_t *)at;
    case CREW_U8:
        return *(const uint8_t *)at;
    case CREW_I16:
        return *(const int16_t *)at;
    case CREW_U16:
        return *(const uint16_t *)at;
    case CREW_I32:
        return *(const int32_t *)at;
    case CREW_U32:
        return *(const uint32_t *)at;
    case CREW_I64:
        return (double)*(const int64_t *)at;
    case CREW_U64:
        return (double)*(const uint64_t *)at;
    case CREW_F32:
        return (double)*(const float *)at;
    }
    return *(const double *)at;
}

static void reset__each_type_and_operation__is_the_identity(void **state) {
    static const double least[] = {INT8_MIN, 0, INT16_MIN, 0, INT32_MIN, 0, (double)INT64_MIN, 0,
                                   -INFINITY, -INFINITY};
    static const double most[] = {INT8_MAX,  UINT8_MAX,  INT16_MAX, UINT16_MAX,
                                  INT32_MAX, UINT32_MAX, (double)INT64_MAX, (double)UINT64_MAX,
                                  INFINITY,  INFINITY};
    (void)state;
    for (int t = 0; t < TYPES; t++) {
        crew_array a = made(types[t], 3, CREW_ARRAY_REPLICATED);
        const double want[] = {0, 0, 1, most[t], least[t]};
        for (int op = CREW_SUM; op <= CREW_MAX; op++) {
            assert_ok(crew_array_reset(a, op, NULL), NULL);
            for (int i = 0; i < 3; i++)
                assert_true(element(types[t], crew_array_row(a, i)) == want[op]);
            assert_ok(crew_array_reduce(a, op, NULL), NULL);
        }
        const int64_t seven[1] = {7};
        assert_ok(crew_array_reset(a, CREW_OWN, seven), NULL);
        assert_memory_equal(crew_array_row(a, 2), seven, 1);
        assert_ok(crew_array_destroy(a), NULL);
    }
}

static int never(void *into, const void *from, int64_t n) {
    (void)into, (void)from, (void)n;
    return 1;
}

static int add_one(crew_call *call) {
    static const double ones[3] = {1, 1, 1};
    int rc = crew_array_add(*CREW_COMMON(call, crew_array), call->index % 5, 3, ones);
    return rc < 0 ? crew_fail(call, 1, "%s", crew_last_error()->text) : 0;
}

static void reduce__of_what_tasks_added__is_the_sum_again_and_again(void **state) {
    (void)state;
    crew_error err;
    crew_pool *p = crewtest_open(3);
    crew_array a = made(CREW_F64, 7, CREW_ARRAY_REPLICATED);
    const crew_map_opts opts = {.common = &a, .common_size = sizeof a};
    const double *sums = crew_array_data(a);
    for (int round = 1; round <= 3; round++) {
        assert_ok(crew_pool_map(p, add_one, NULL, 0, 5000, NULL, 0, &opts, &err), &err);
        assert_ok(crew_array_reduce(a, CREW_SUM, NULL), NULL);
        for (int i = 0; i < 7; i++)
            assert_true(sums[i] == round * 1000.0 * (i < 3 ? i + 1 : i > 4 ? 7 - i : 3));
    }
    assert_ok(crew_array_reset(a, CREW_OWN, &(double){3}), NULL);
    if (crewtest_has(CREWTEST_ONE_NODE)) { /* nothing to combine */
        assert_ok(crew_array_reduce(a, CREW_OWN, never), NULL);
        assert_true(sums[0] == 3);
    } else {
        assert_int_equal(crew_array_reduce(a, CREW_OWN, never), CREW_EFAILED);
    }
    crewtest_free(p);
    assert_ok(crew_array_destroy(a), NULL);
}

static int read_it(crew_call *call) {
    const int32_t *data = crew_array_data(*CREW_COMMON(call, crew_array));
    *CREW_OUT(call, int64_t) = data ? data[call->index] : -1;
    return 0;
}

static void bcast__what_the_caller_wrote__is_what_tasks_read(void **state) {
    (void)state;
    enum { N = 500 };
    int64_t out[N];
    crew_error err;
    crew_pool *p = crewtest_open(2);
    crew_array a = made(CREW_I32, N, CREW_ARRAY_REPLICATED), view;
    int32_t *data = crew_array_data(a);
    const crew_map_opts opts = {.common = &a, .common_size = sizeof a};
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++)
            data[i] = i + round;
        assert_ok(crew_array_bcast(a), NULL);
        assert_ok(crew_pool_map(p, read_it, NULL, 0, N, out, sizeof *out, &opts, &err), &err);
        for (int i = 0; i < N; i++)
            assert_int_equal(out[i], i + round);
    }
    assert_ok(crew_array_slice(&view, a, 0, 5, 9, 1), NULL);
    assert_ok(crew_array_bcast(view), NULL);
    assert_ok(crew_array_destroy(view), NULL);
    crewtest_free(p);
    assert_ok(crew_array_destroy(a), NULL);
}

/* What would give other numbers on other numbers of nodes does not work on one. */
static void replicated__never_both__is_refused_in_a_sentence(void **state) {
    (void)state;
    crew_array a = made(CREW_I64, 4, CREW_ARRAY_REPLICATED), b, view;
    crew_array node = made(CREW_I64, 4, CREW_ARRAY_NODE);
    assert_int_equal(crew_array_bcast(node), CREW_EINVAL);
    assert_text(crew_last_error()->text, "CREW_ARRAY_REPLICATED");
    assert_int_equal(crew_array_reduce(node, CREW_SUM, NULL), CREW_EINVAL);
    assert_int_equal(crew_array_reset(node, CREW_SUM, NULL), CREW_EINVAL);
    assert_int_equal(crew_array_reduce(a, CREW_MAX, NULL), CREW_EINVAL); /* it began with zeros */
    assert_text(crew_last_error()->text, "another operation");
    assert_int_equal(crew_array_reduce(a, 0, NULL), CREW_EINVAL);
    assert_text(crew_last_error()->text, "operation 0");
    assert_int_equal(crew_array_reduce(a, CREW_OWN, NULL), CREW_EINVAL);
    assert_int_equal(crew_array_reduce(a, CREW_SUM, never), CREW_EINVAL);
    assert_int_equal(crew_array_reset(a, CREW_OWN, NULL), CREW_EINVAL);
    assert_ok(crew_array_reduce(a, CREW_SUM, NULL), NULL);
    assert_int_equal(crew_array_bcast(a), CREW_EINVAL);
    assert_text(crew_last_error()->text, "accumulator");
    b = made(CREW_I64, 4, CREW_ARRAY_REPLICATED);
    assert_ok(crew_array_bcast(b), NULL);
    assert_int_equal(crew_array_reduce(b, CREW_SUM, NULL), CREW_EINVAL);
    assert_text(crew_last_error()->text, "was broadcast");
    assert_ok(crew_array_reset(b, CREW_SUM, NULL), NULL);
    assert_ok(crew_array_reduce(b, CREW_SUM, NULL), NULL);
    assert_ok(crew_array_slice(&view, a, 0, 0, 2, 1), NULL);
    assert_int_equal(crew_array_reduce(view, CREW_SUM, NULL), CREW_EINVAL);
    assert_text(crew_last_error()->text, "view");
    assert_int_equal(crew_array_reset(view, CREW_SUM, NULL), CREW_EINVAL);
    assert_int_equal(crew_array_part(view, NULL, NULL), CREW_EINVAL);
    crew_array all[] = {view, a, b, node};
    for (int i = 0; i < 4; i++)
        assert_ok(crew_array_destroy(all[i]), NULL);
}

/* ---- partitioned ---------------------------------------------------------- */

/* Each task turns its piece around, and counts in the last element. */
static int turn_around(crew_call *call) {
    crew_array a = *CREW_COMMON(call, crew_array);
    int16_t mine[10], back[10];
    const int16_t one = 1;
    int rc = crew_array_get(a, call->index * 10, 10, mine);
    for (int i = 0; i < 10; i++)
        back[i] = mine[9 - i];
    if (rc == 0)
        rc = crew_array_put(a, call->index * 10, 10, back);
    if (rc == 0)
        rc = crew_array_add(a, 1000, 1, &one);
    return rc < 0 ? crew_fail(call, 1, "%s", crew_last_error()->text) : 0;
}

static void partitioned__get_put_and_add__reach_all_of_it(void **state) {
    (void)state;
    crew_error err;
    int64_t first = 5, rows = 5;
    int16_t numbers[1001];
    crew_pool *p = crewtest_open(2);
    crew_array a = made(CREW_I16, 1001, CREW_ARRAY_PARTITIONED);
    for (int16_t i = 0; i < 1001; i++)
        numbers[i] = i < 1000 ? i : 0;
    assert_ok(crew_array_put(a, 0, 1001, numbers), NULL);
    const crew_map_opts opts = {.common = &a, .common_size = sizeof a};
    assert_ok(crew_pool_map(p, turn_around, NULL, 0, 100, NULL, 0, &opts, &err), &err);
    assert_ok(crew_array_get(a, 0, 1001, numbers), NULL);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(numbers[i], i / 10 * 10 + 9 - i % 10);
    assert_int_equal(numbers[1000], 100);
    assert_ok(crew_array_part(a, &first, &rows), NULL);
    assert_int_equal(first, 0);
    if (crewtest_has(CREWTEST_ONE_NODE))
        assert_int_equal(rows, 1001);
    else
        assert_in_range(rows, 1, 1000);
    assert_memory_equal(crew_array_row(a, first), numbers, (size_t)rows * sizeof *numbers);
    crewtest_free(p);
    assert_ok(crew_array_destroy(a), NULL);
}

static int add_of_each_type(crew_call *call) {
    const crew_array *arrays = CREW_COMMON(call, crew_array);
    static const double d = 0.5;
    static const float f = 0.5f;
    for (int t = 0; t < TYPES; t++) {
        const int64_t n = -1; /* little-endian or not: all bytes are the same */
        const void *one = types[t] == CREW_F64 ? &d : types[t] == CREW_F32 ? (const void *)&f : &n;
        if (crew_array_add(arrays[t], 0, 1, one) < 0)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
    }
    return 0;
}

static void add__each_type_by_many_workers__loses_nothing(void **state) {
    (void)state;
    crew_error err;
    crew_array arrays[TYPES];
    crew_pool *p = crewtest_open(3);
    for (int t = 0; t < TYPES; t++)
        arrays[t] = made(types[t], 1, crewtest_scope());
    const crew_map_opts opts = {.common = arrays, .common_size = sizeof arrays};
    assert_ok(crew_pool_map(p, add_of_each_type, NULL, 0, 10000, NULL, 0, &opts, &err), &err);
    static const double want[] = {-10000 + 39 * 256, 256 * 40 - 10000, -10000, 65536 - 10000,
                                  -10000, 4294967296.0 - 10000, -10000, 0, 5000, 5000};
    for (int t = 0; t < TYPES; t++) {
        crewtest_sum_up(arrays[t]);
        if (types[t] == CREW_U64)
            assert_true(*(uint64_t *)crew_array_data(arrays[t]) == (uint64_t)-10000);
        else
            assert_true(element(types[t], crew_array_data(arrays[t])) == want[t]);
        assert_ok(crew_array_destroy(arrays[t]), NULL);
    }
    crewtest_free(p);
}

/* ---- what CPython tests ---------------------------------------------------- */

/* Each element becomes the sum of all up to it. */
static int sum_up(crew_call *call) {
    crew_array a = *(const crew_array *)call->in;
    int32_t *seq = crew_array_data(a);
    if (!seq)
        return 1;
    for (int64_t i = 1; i < crew_array_size(a); i++)
        seq[i] += seq[i - 1];
    return 0;
}

static void run_process(crew_fn *fn, const void *arg, size_t size) {
    crew_process p;
    crew_error err;
    int code = -1;
    assert_ok(crew_process_start(&p, fn, arg, size, &(crew_process_opts){.daemon = true}, &err),
              &err);
    assert_int_equal(crew_process_join(p, 30), 0);
    assert_int_equal(crew_process_exitcode(p, &code), 0);
    assert_int_equal(code, 0);
    crew_process_close(p);
}

static void python_array__changed_by_slices_and_a_process__is_as_it_should_be(void **state) {
    (void)state;
    crewtest_need_fork();
    int32_t seq[10] = {680, 626, 934, 821, 150, 233, 548, 982, 714, 831};
    crew_array a = made(CREW_I32, 10, CREW_ARRAY_NODE), view;
    int32_t *data = memcpy(crew_array_data(a), seq, sizeof seq);
    assert_int_equal(crew_array_size(a), 10);
    assert_ok(crew_array_slice(&view, a, 0, 2, 7, 1), NULL);
    assert_int_equal(crew_array_size(view), 5);
    assert_memory_equal(crew_array_data(view), seq + 2, 5 * sizeof *seq);
    assert_ok(crew_array_destroy(view), NULL);
    assert_ok(crew_array_slice(&view, a, 0, 4, 8, 1), NULL);
    for (int32_t i = 0; i < 4; i++)
        seq[4 + i] = i + 1;
    assert_ok(crew_array_put(view, 0, 4, seq + 4), NULL);
    assert_memory_equal(data, seq, sizeof seq);
    for (int i = 1; i < 10; i++)
        seq[i] += seq[i - 1];
    run_process(sum_up, &a, sizeof a);
    assert_memory_equal(data, seq, sizeof seq);
    assert_ok(crew_array_destroy(view), NULL);
    assert_ok(crew_array_destroy(a), NULL);
}

static void python_array__made_again_after_use__is_zero(void **state) {
    (void)state;
    for (int round = 0; round < 10; round++) {
        crew_array a = made(CREW_I32, 10, CREW_ARRAY_NODE);
        int32_t *data = crew_array_data(a);
        for (int i = 0; i < 10; i++) {
            assert_int_equal(data[i], 0);
            data[i] = i;
        }
        assert_ok(crew_array_destroy(a), NULL);
    }
}

struct ctypes {
    crew_value x, y, z;
    crew_array numbers, text;
    bool locked;
};

static int double_all(crew_call *call) {
    const struct ctypes *c = call->in;
    if (c->locked && (crew_array_lock(c->numbers) != 0 || crew_value_lock(c->x) != 0))
        return 1;
    crew_value_set_i64(c->x, crew_value_get_i64(c->x) * 2);
    crew_value_set_f64(c->y, crew_value_get_f64(c->y) * 2);
    crew_value_set_i64(c->z, crew_value_get_i64(c->z) * 2);
    double *numbers = crew_array_data(c->numbers);
    for (int i = 0; i < 10; i++)
        numbers[i] *= 2;
    char *text = crew_array_data(c->text);
    memcpy(text + strlen(text), text, strlen(text));
    if (c->locked && (crew_array_unlock(c->numbers) != 0 || crew_value_unlock(c->x) != 0))
        return 2;
    return 0;
}

static void python_sharedctypes__doubled_by_a_process__with_and_without_locks(void **state) {
    (void)state;
    crewtest_need_fork();
    for (int locked = 0; locked < 2; locked++) {
        struct ctypes c = {.locked = locked};
        assert_int_equal(crew_value_create(&c.x, CREW_I32), 0);
        assert_int_equal(crew_value_create(&c.y, CREW_F64), 0);
        assert_int_equal(crew_value_create(&c.z, CREW_I64), 0);
        c.numbers = made(CREW_F64, 10, CREW_ARRAY_NODE);
        c.text = made(CREW_U8, 20, CREW_ARRAY_NODE);
        crew_value_set_i64(c.x, 7);
        crew_value_set_f64(c.y, 1.0 / 3);
        crew_value_set_i64(c.z, (int64_t)1 << 33);
        double *numbers = crew_array_data(c.numbers);
        for (int i = 0; i < 10; i++)
            numbers[i] = i;
        strcpy(crew_array_data(c.text), "hello");
        run_process(double_all, &c, sizeof c);
        assert_int_equal(crew_value_get_i64(c.x), 14);
        assert_true(crew_value_get_f64(c.y) == 2.0 / 3);
        assert_int_equal(crew_value_get_i64(c.z), (int64_t)1 << 34);
        for (int i = 0; i < 10; i++)
            assert_true(numbers[i] == 2 * i);
        assert_string_equal(crew_array_data(c.text), "hellohello");
        crew_value_destroy(c.x);
        crew_value_destroy(c.y);
        crew_value_destroy(c.z);
        assert_ok(crew_array_destroy(c.numbers), NULL);
        assert_ok(crew_array_destroy(c.text), NULL);
    }
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return helper(argv[1]);
    const struct CMUnitTest tests[] = {
        CREWTEST(over__named_memory__is_that_memory_in_every_process),
        CREWTEST(over__memory_that_does_not_do__is_refused_in_a_sentence),
        CREWTEST(over__memory_that_another_program_attached__is_the_same),
        CREWTEST(reset__each_type_and_operation__is_the_identity),
        CREWTEST(reduce__of_what_tasks_added__is_the_sum_again_and_again),
        CREWTEST(bcast__what_the_caller_wrote__is_what_tasks_read),
        CREWTEST(replicated__never_both__is_refused_in_a_sentence),
        CREWTEST(partitioned__get_put_and_add__reach_all_of_it),
        CREWTEST(add__each_type_by_many_workers__loses_nothing),
        CREWTEST(python_array__changed_by_slices_and_a_process__is_as_it_should_be),
        CREWTEST(python_array__made_again_after_use__is_zero),
        CREWTEST(python_sharedctypes__doubled_by_a_process__with_and_without_locks),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
