/* conformance/array_test.c - arrays in shared memory: shapes, rows, what is refused,
 * handles that mean nothing any more; and what tasks see of them. */
#include "crewtest.h"

#include <string.h>

static const int types[] = {CREW_I8,  CREW_U8,  CREW_I16, CREW_U16, CREW_I32,
                            CREW_U32, CREW_I64, CREW_U64, CREW_F32, CREW_F64};
static const size_t sizes[] = {1, 1, 2, 2, 4, 4, 8, 8, 4, 8};
enum { TYPES = sizeof types / sizeof *types };

static void create__each_type_and_number_of_dimensions__is_zeroed_and_row_major(void **state) {
    const int64_t shape[CREW_ARRAY_DIMS] = {3, 2, 2, 1, 2, 3, 1, 2};
    (void)state;
    for (int t = 0; t < TYPES; t++)
        for (int ndim = 1; ndim <= CREW_ARRAY_DIMS; ndim++) {
            int64_t row = 1, told[CREW_ARRAY_DIMS] = {0};
            crew_array a;
            for (int i = 1; i < ndim; i++)
                row *= shape[i];
            assert_ok(crew_array_create(&a, types[t], ndim, shape, NULL), NULL);
            char *data = crew_array_data(a);
            assert_int_equal((uintptr_t)data % 64, 0);
            for (int64_t i = 0; i < 3 * row * (int64_t)sizes[t]; i++)
                assert_int_equal(data[i], 0);
            for (int64_t i = 0; i < 3; i++)
                assert_ptr_equal(crew_array_row(a, i), data + (size_t)(i * row) * sizes[t]);
            assert_int_equal(crew_array_shape(a, told, CREW_ARRAY_DIMS), ndim);
            assert_memory_equal(told, shape, (size_t)ndim * sizeof *told);
            assert_int_equal(crew_array_shape(a, NULL, 0), ndim);
            assert_ok(crew_array_destroy(a), NULL);
        }
}

static void create__what_cannot_be__is_refused_in_a_sentence(void **state) {
    const int64_t shape[2] = {3, 4}, negative[2] = {3, -1}, huge[2] = {INT64_MAX, INT64_MAX},
                  long_one[1] = {INT64_MAX}, large[1] = {(int64_t)1 << 50};
    const crew_array_opts unknown = {.scope = CREW_ARRAY_PARTITIONED + 1};
    const struct {
        int type, ndim;
        const int64_t *shape;
        const crew_array_opts *opts;
        int code;
        const char *says;
    } rows[] = {
        {0, 2, shape, NULL, CREW_EINVAL, "type 0"},
        {CREW_F64 + 1, 2, shape, NULL, CREW_EINVAL, "CREW_I8 to CREW_F64"},
        {CREW_I8, 0, shape, NULL, CREW_EINVAL, "ndim is 0"},
        {CREW_I8, CREW_ARRAY_DIMS + 1, shape, NULL, CREW_EINVAL, "ndim is 9"},
        {CREW_I8, 2, NULL, NULL, CREW_EINVAL, "shape is NULL"},
        {CREW_I8, 2, negative, NULL, CREW_EINVAL, "dimension 1 is -1"},
        {CREW_I8, 2, huge, NULL, CREW_EINVAL, "larger than memory"},
        {CREW_I64, 1, long_one, NULL, CREW_EINVAL, "larger than memory"},
        {CREW_I8, 1, large, NULL, CREW_ENOMEM, ""},
        {CREW_I8, 2, shape, &unknown, CREW_EINVAL, "scope 3"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        crew_array a = {.place = 5, .check = 6};
        int rc = crew_array_create(&a, rows[i].type, rows[i].ndim, rows[i].shape, rows[i].opts);
        assert_code(rc, rows[i].code, crew_last_error());
        assert_text(crew_last_error()->text, rows[i].says);
        assert_int_equal(a.place, 5); /* a failed call changes nothing */
    }
    assert_int_equal(crew_array_create(NULL, CREW_I8, 2, shape, NULL), CREW_EINVAL);
}

static void check_stale(crew_array a) {
    assert_null(crew_array_data(a));
    assert_int_equal(crew_last_error()->code, CREW_EINVAL);
    assert_null(crew_array_row(a, 0));
    assert_int_equal(crew_array_shape(a, NULL, 0), CREW_EINVAL);
    assert_int_equal(crew_array_strides(a, NULL, 0), CREW_EINVAL);
    assert_int_equal(crew_array_type(a), CREW_EINVAL);
    assert_int_equal(crew_array_size(a), CREW_EINVAL);
    assert_false(crew_array_contiguous(a));
    assert_int_equal(crew_array_lock(a), CREW_EINVAL);
    assert_int_equal(crew_array_unlock(a), CREW_EINVAL);
    assert_int_equal(crew_array_get(a, 0, 0, NULL), CREW_EINVAL);
    crew_array view = {5, 6};
    assert_int_equal(crew_array_slice(&view, a, 0, 0, 1, 1), CREW_EINVAL);
    assert_int_equal(view.place, 5);
    assert_int_equal(crew_array_destroy(a), CREW_EINVAL);
    assert_text(crew_last_error()->text, "array");
}

static void handle__that_means_nothing_any_more__is_refused(void **state) {
    const int64_t shape[1] = {100};
    crew_array a, b;
    (void)state;
    assert_ok(crew_array_create(&a, CREW_I64, 1, shape, NULL), NULL);
    assert_null(crew_array_row(a, -1));
    assert_null(crew_array_row(a, 100));
    assert_text(crew_last_error()->text, "row 100: there are 100");
    assert_ok(crew_array_destroy(a), NULL);
    check_stale(a);
    /* Another array in the same place is not it. */
    assert_ok(crew_array_create(&b, CREW_I64, 1, shape, NULL), NULL);
    check_stale(a);
    assert_non_null(crew_array_data(b));
    check_stale((crew_array){0});
    check_stale((crew_array){.place = b.place + 64, .check = b.check});
    check_stale((crew_array){.place = b.place, .check = b.check + 1});
    check_stale((crew_array){.place = UINT64_MAX - 63, .check = b.check});
    assert_ok(crew_array_destroy(b), NULL);
}

static void array__with_an_empty_dimension__has_no_rows(void **state) {
    const int64_t shape[2] = {0, 5};
    int64_t told[2] = {9, 9};
    crew_array a;
    (void)state;
    assert_ok(crew_array_create(&a, CREW_F32, 2, shape, NULL), NULL);
    assert_int_equal(crew_array_shape(a, told, 2), 2);
    assert_int_equal(told[0], 0);
    assert_int_equal(told[1], 5);
    assert_null(crew_array_row(a, 0));
    assert_ok(crew_array_destroy(a), NULL);
}

/* Adds its index to its row, and says what it sees of a stale handle. */
struct both {
    crew_array good, stale;
};

static int fill_row(crew_call *call) {
    const struct both *arrays = CREW_COMMON(call, struct both);
    int64_t *row = crew_array_row(arrays->good, call->index);
    if (!row)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    row[0] += call->index;
    row[1] += 1;
    return crew_array_data(arrays->stale) ? crew_fail(call, 2, "a stale handle has data") : 0;
}

static void tasks__given_a_handle__write_what_the_program_reads(void **state) {
    const int64_t shape[2] = {200, 2};
    struct both arrays;
    crew_error err;
    (void)state;
    assert_ok(crew_array_create(&arrays.stale, CREW_I64, 2, shape, NULL), NULL);
    assert_ok(crew_array_destroy(arrays.stale), NULL);
    crew_pool *p = crewtest_open(2);
    /* Made after the workers were. */
    const crew_array_opts scope = {.scope = crewtest_scope()};
    assert_ok(crew_array_create(&arrays.good, CREW_I64, 2, shape, &scope), NULL);
    const crew_map_opts opts = {.common = &arrays, .common_size = sizeof arrays};
    for (int round = 1; round <= 3; round++) {
        assert_ok(crew_pool_map(p, fill_row, NULL, 0, 200, NULL, 0, &opts, &err), &err);
        crewtest_sum_up(arrays.good);
        for (int64_t i = 0; i < 200; i++) {
            const int64_t *row = crew_array_row(arrays.good, i);
            assert_int_equal(row[0], i * round);
            assert_int_equal(row[1], round);
        }
    }
    crewtest_free(p);
    assert_ok(crew_array_destroy(arrays.good), NULL);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(create__each_type_and_number_of_dimensions__is_zeroed_and_row_major),
        CREWTEST(create__what_cannot_be__is_refused_in_a_sentence),
        CREWTEST(handle__that_means_nothing_any_more__is_refused),
        CREWTEST(array__with_an_empty_dimension__has_no_rows),
        CREWTEST(tasks__given_a_handle__write_what_the_program_reads),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
