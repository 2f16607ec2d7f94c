/* conformance/value_test.c - shared numbers of every type. */
#include "crewtest.h"

#include <math.h>
#include <string.h>

enum { ROUNDS = 1000, TASKS = 16 };

static crew_value make(int type) {
    crew_value v;
    assert_int_equal(crew_value_create(&v, type), 0);
    return v;
}

static void value__each_type__holds_its_range_and_wraps_around(void **state) {
    const struct {
        int type;
        int64_t least, most, beyond; /* beyond: most + 1, as it is seen */
    } types[] = {
        {CREW_I8, INT8_MIN, INT8_MAX, INT8_MIN},     {CREW_U8, 0, UINT8_MAX, 0},
        {CREW_I16, INT16_MIN, INT16_MAX, INT16_MIN}, {CREW_U16, 0, UINT16_MAX, 0},
        {CREW_I32, INT32_MIN, INT32_MAX, INT32_MIN}, {CREW_U32, 0, UINT32_MAX, 0},
        {CREW_I64, INT64_MIN, INT64_MAX, INT64_MIN}, {CREW_F64, -4503599627370496, 4503599627370496, 4503599627370497},
        {CREW_F32, -16777216, 8388608, 8388609},
    };
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        crew_value v = make(types[i].type);
        assert_int_equal(crew_value_get_i64(v), 0);
        assert_int_equal(crew_value_set_i64(v, types[i].least), 0);
        assert_int_equal(crew_value_get_i64(v), types[i].least);
        assert_int_equal(crew_value_set_i64(v, types[i].most), 0);
        assert_int_equal(crew_value_add_i64(v, 1), types[i].most);
        assert_int_equal(crew_value_get_i64(v), types[i].beyond);
        int64_t expected = types[i].beyond ^ 1; /* another one */
        assert_false(crew_value_cas_i64(v, &expected, 5));
        assert_int_equal(expected, types[i].beyond);
        assert_true(crew_value_cas_i64(v, &expected, 5));
        assert_true(crew_value_get_f64(v) == 5.0);
        assert_int_equal(crew_value_set_f64(v, 7.75), 0);
        assert_true(crew_value_get_f64(v) == (types[i].type >= CREW_F32 ? 7.75 : 7.0));
        assert_int_equal(crew_value_get_i64(v), 7);
        double x = crew_value_get_f64(v);
        assert_true(crew_value_cas_f64(v, &x, 9));
        assert_int_equal(crew_value_get_i64(v), 9);
        assert_true(crew_value_add_f64(v, 0.25) == 9.0);
        assert_int_equal(crew_value_destroy(v), 0);
    }
}

static void value__numbers_out_of_range__are_cut_off(void **state) {
    (void)state;
    crew_value v = make(CREW_I64), u = make(CREW_U64), f = make(CREW_F64);
    assert_int_equal(crew_value_set_f64(v, 1e300), 0);
    assert_int_equal(crew_value_get_i64(v), INT64_MAX);
    assert_int_equal(crew_value_set_f64(v, NAN), 0);
    assert_int_equal(crew_value_get_i64(v), 0);
    assert_int_equal(crew_value_set_f64(u, 0x1p63), 0);
    assert_true(crew_value_get_f64(u) == 0x1p63);
    assert_int_equal(crew_value_set_f64(f, -INFINITY), 0);
    assert_int_equal(crew_value_get_i64(f), INT64_MIN);
    assert_int_equal(crew_value_set_f64(f, NAN), 0);
    assert_true(isnan(crew_value_add_f64(f, 1)));
    assert_int_equal(crew_value_destroy(v), 0);
    assert_int_equal(crew_value_destroy(u), 0);
    assert_int_equal(crew_value_destroy(f), 0);
}

struct values {
    crew_value atomic, locked, real;
};

static int add_to_all(crew_call *call) {
    const struct values *v = CREW_COMMON(call, struct values);
    double *locked = crew_value_ptr(v->locked); /* NULL: the value is another node's */
    if (!locked && (call->node == 0 || crew_last_error()->code != CREW_ENOTSUP))
        return crew_fail(call, 3, "%s", crew_last_error()->text);
    for (int64_t i = 0, n = crewtest_calls(ROUNDS); i < n; i++) {
        crew_value_add_i64(v->atomic, 1);
        crew_value_add_f64(v->real, 0.5);
        if (crew_value_lock(v->locked) != 0 || crew_value_lock(v->locked) != 0)
            return 1;
        if (locked)
            *locked += 1;
        else
            crew_value_set_f64(v->locked, crew_value_get_f64(v->locked) + 1);
        if (crew_value_unlock(v->locked) != 0 || crew_value_unlock(v->locked) != 0)
            return 2;
    }
    return 0;
}

static void value__many_workers__no_change_is_lost(void **state) {
    crew_error err;
    (void)state;
    struct values v = {make(CREW_U16), make(CREW_F64), make(CREW_F32)};
    crew_pool *p = crewtest_open(4);
    crew_map_opts opts = {.common = &v, .common_size = sizeof v};
    assert_ok(crew_pool_map(p, add_to_all, NULL, 0, TASKS, NULL, 0, &opts, &err), &err);
    crewtest_free(p);
    const int64_t all = TASKS * crewtest_calls(ROUNDS);
    assert_int_equal(crew_value_get_i64(v.atomic), all);
    assert_true(crew_value_get_f64(v.locked) == (double)all);
    assert_true(crew_value_get_f64(v.real) == (double)all / 2);
    assert_int_equal(crew_value_destroy(v.atomic), 0);
    assert_int_equal(crew_value_destroy(v.locked), 0);
    assert_int_equal(crew_value_destroy(v.real), 0);
}

static void value__bad_requests__are_errors_in_a_sentence(void **state) {
    crew_value v, none = {0};
    (void)state;
    assert_int_equal(crew_value_create(&v, 0), CREW_EINVAL);
    assert_int_equal(crew_value_create(&v, CREW_F64 + 1), CREW_EINVAL);
    assert_int_equal(crew_value_create(NULL, CREW_I8), CREW_EINVAL);
    assert_null(crew_value_ptr(none));
    assert_text(crew_last_error()->text, "empty");
    v = make(CREW_I32);
    assert_int_equal(crew_value_unlock(v), CREW_EPERM);
    assert_int_equal(crew_value_destroy(v), 0);
    assert_int_equal(crew_value_lock(v), CREW_EINVAL);
    assert_int_equal(crew_value_set_i64(v, 1), CREW_EINVAL);
    assert_int_equal(crew_value_get_i64(v), 0);
    assert_int_equal(crew_last_error()->code, CREW_EINVAL);
    int64_t expected = 0;
    assert_false(crew_value_cas_i64(v, &expected, 1));
    assert_int_equal(crew_value_destroy(v), CREW_EINVAL);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(value__each_type__holds_its_range_and_wraps_around),
        CREWTEST(value__numbers_out_of_range__are_cut_off),
        CREWTEST(value__many_workers__no_change_is_lost),
        CREWTEST(value__bad_requests__are_errors_in_a_sentence),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
