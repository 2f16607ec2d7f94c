/* conformance/for_reduce_test.c - crew_for and crew_reduce. */
#include "crewtest.h"

#include <stdlib.h>
#include <string.h>

/* ---- crew_for ----------------------------------------------------------- */

struct tiling {
    int64_t count, most, bad; /* most: of a range, 0 any; bad: whose range fails, -1 none */
};

static int tile(crew_call *call, int64_t lo, int64_t hi) {
    const struct tiling *t = CREW_COMMON(call, struct tiling);
    if (lo < 0 || lo >= hi || hi > t->count)
        return crew_fail(call, 1, "[%d, %d) of %d", (int)lo, (int)hi, (int)t->count);
    if (t->most && hi - lo > t->most)
        return crew_fail(call, 2, "%d at once", (int)(hi - lo));
    for (int64_t i = lo; i < hi; i++)
        crewtest_add(CELL_ITEM + i, 1);
    if (t->bad >= lo && t->bad < hi) {
        crewtest_set(CELL_OWN, lo);
        return crew_fail(call, 3, "the range of %d", (int)t->bad);
    }
    return 0;
}

static void for__each_schedule_and_chunk__tiles_the_range(void **state) {
    static const int64_t counts[] = {0, 1, 2, 7, 1000, 100003}, chunks[] = {0, 1, 10, 1000000};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(3);
    for (int schedule = 0; schedule < 4; schedule++)
        for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
            for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
                struct tiling t = {counts[n], chunks[c], -1};
                crew_map_opts opts = {.chunk = chunks[c],
                                      .schedule = schedule,
                                      .common = &t,
                                      .common_size = sizeof t};
                assert_ok(crew_for(p, tile, t.count, &opts, &err), &err);
                for (int64_t i = 0; i < t.count; i++) {
                    if (crewtest_get(CELL_ITEM + i) != 1)
                        fail_msg("%ld ran %ld times", (long)i, (long)crewtest_get(CELL_ITEM + i));
                    crewtest_set(CELL_ITEM + i, 0);
                }
            }
    crewtest_free(p);
}

static void for__failing_range__is_named_by_its_first_index(void **state) {
    static const int64_t bad[] = {0, 500, 999};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (size_t b = 0; b < sizeof bad / sizeof *bad; b++)
        for (int on_error = CREW_STOP; on_error <= CREW_CONTINUE; on_error++) {
            struct tiling t = {1000, 10, bad[b]};
            crew_map_opts opts = {
                .chunk = 10, .common = &t, .common_size = sizeof t, .on_error = on_error};
            assert_code(crew_for(p, tile, t.count, &opts, &err), CREW_EFAILED, &err);
            assert_int_equal(err.item, crewtest_get(CELL_OWN));
            assert_in_range(err.item, bad[b] < 9 ? 0 : bad[b] - 9, bad[b]);
            assert_int_equal(err.task_code, 3);
        }
    crewtest_free(p);
}

/* Fails at each index that is 300 modulo 1000, from 300 on. */
static int fails_by_name(crew_call *call, int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; i++)
        if (i % 1000 == 300)
            return crew_fail_at(call, i, 7, "not %d", (int)i);
    return 0;
}

static int fails_without_name(crew_call *call, int64_t lo, int64_t hi) {
    return fails_by_name(call, lo, hi) ? crew_fail_at(call, hi + 5, 7, "somewhere") : 0;
}

static void check_lowest(crew_pool *p, int64_t count, const crew_map_opts *opts) {
    int64_t block = opts->chunk ? opts->chunk : 16; /* of 100000 */
    crew_error err;
    assert_code(crew_for(p, fails_by_name, count, opts, &err), CREW_EFAILED, &err);
    assert_int_equal(err.item, 300);
    assert_int_equal(err.task_code, 7);
    assert_text(err.text, "item 300 of 100000");
    assert_text(err.text, "not 300");
    assert_code(crew_for(p, fails_without_name, count, opts, &err), CREW_EFAILED, &err);
    assert_int_equal(err.item, 300 / block * block);
}

static void for__failing_indices__the_lowest_is_named_in_every_run(void **state) {
    static const int64_t chunks[] = {0, 1, 7, 450, 100000, 1000000};
    enum { COUNT = 100000 };
    (void)state;
    for (int workers = 1; workers <= 3; workers++) {
        crew_pool *p = crewtest_open(workers);
        for (int schedule = 0; schedule < 4; schedule++)
            for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++)
                for (int on_error = CREW_STOP; on_error <= CREW_CONTINUE; on_error++) {
                    crew_error first;
                    crew_map_opts opts = {.schedule = schedule,
                                          .chunk = chunks[c],
                                          .on_error = on_error,
                                          .errors = &first,
                                          .errors_cap = 1};
                    check_lowest(p, COUNT, &opts);
                    assert_int_equal(first.code, CREW_EFAILED);
                }
        crewtest_free(p);
    }
}

static void for__bad_requests__are_errors(void **state) {
    crew_error err;
    crew_map_opts opts = {.chunk = -5};
    (void)state;
    crew_pool *p = crewtest_open(2);
    assert_code(crew_for(p, NULL, 10, NULL, &err), CREW_EINVAL, &err);
    assert_code(crew_for(p, tile, -1, NULL, &err), CREW_EINVAL, &err);
    assert_code(crew_for(p, tile, 10, &opts, &err), CREW_EINVAL, &err);
    assert_code(crew_for(NULL, tile, 10, NULL, &err), CREW_EINVAL, &err);
    crewtest_free(p);
}

/* ---- crew_reduce -------------------------------------------------------- */

static int noisy(crew_call *call) {
    uint64_t bits = crewtest_mix((uint64_t)*CREW_IN(call, int64_t));
    double value = (double)(int64_t)bits;
    for (int shift = (int)(bits % 60); shift > 0; shift--)
        value /= 2; /* 18 orders of magnitude: the order of additions shows */
    return crew_task_result(call, &value, sizeof value);
}

static int add(void *into, const void *from) {
    *(double *)into += *(const double *)from;
    return 0;
}

static double sum_on(const crew_pool_opts *opts, int64_t count, const crew_map_opts *map) {
    double sum = 0;
    crew_error err;
    crew_pool *p = crewtest_open_opts(opts);
    assert_ok(crew_reduce(p, noisy, NULL, 0, count, &sum, sizeof sum, add, map, &err), &err);
    crewtest_free(p);
    return sum;
}

static void reduce__any_worker_count_and_chunk__gives_the_same_bits(void **state) {
    static const int workers[] = {1, 2, 3, 7};
    static const int64_t counts[] = {1, 2, 3, 1000, 4097, 30011};
    crew_pool_opts serial = {.backend = CREW_SERIAL};
    (void)state;
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
        double want = sum_on(&serial, counts[n], NULL);
        for (size_t w = 0; w < 4; w++) {
            crew_pool_opts opts = crewtest_opts(workers[w]);
            crew_map_opts map = {.chunk = (int64_t)w * 13, .schedule = (int)w};
            double sum = sum_on(&opts, counts[n], &map);
            assert_memory_equal(&sum, &want, sizeof sum);
        }
    }
}

/* Maps x -> a x + b modulo a prime: their composition is associative and does
 * not commute, so that order and completeness both show. */
struct affine {
    uint64_t a, b;
};
static const uint64_t prime = 2147483647u;

static struct affine affine_of(uint64_t i) {
    struct affine f = {crewtest_mix(i) % prime, crewtest_mix(~i) % prime};
    return f;
}

static int make_affine(crew_call *call) {
    struct affine f = affine_of(*CREW_IN(call, uint64_t));
    return crew_task_result(call, &f, sizeof f);
}

static int compose(void *into, const void *from) {
    struct affine *first = into;
    const struct affine *then = from;
    first->b = (then->a * first->b + then->b) % prime;
    first->a = then->a * first->a % prime;
    return 0;
}

static void reduce__operation_that_does_not_commute__keeps_the_order(void **state) {
    static const int64_t counts[] = {1, 2, 3, 64, 65, 1000, 20000};
    uint64_t *in = malloc(20000 * sizeof *in);
    crew_error err;
    (void)state;
    assert_non_null(in);
    for (uint64_t i = 0; i < 20000; i++)
        in[i] = i * i;
    crew_pool *p = crewtest_open(3);
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
        struct affine want = {1, 0}, have = {9, 9};
        for (int64_t i = 0; i < counts[n]; i++) {
            struct affine f = affine_of(in[i]);
            compose(&want, &f);
        }
        assert_ok(crew_reduce(p, make_affine, in, sizeof *in, counts[n], &have, sizeof have,
                              compose, NULL, &err),
                  &err);
        assert_true(have.a == want.a && have.b == want.b);
    }
    crewtest_free(p);
    free(in);
}

static int fails_at_7(crew_call *call) {
    double one = 1;
    return call->index == 7 ? crew_fail(call, 5, "seven") : crew_task_result(call, &one, 8);
}

static int refuse(void *into, const void *from) {
    (void)into;
    (void)from;
    return 3;
}

static void reduce__empty_failing_and_bad__are_told_apart(void **state) {
    double result = 42;
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    assert_ok(crew_reduce(p, noisy, NULL, 0, 0, &result, 8, add, NULL, &err), &err);
    assert_true(result == 42);
    assert_code(crew_reduce(p, fails_at_7, NULL, 0, 100, &result, 8, add, NULL, &err), CREW_EFAILED,
                &err);
    assert_int_equal(err.item, 7);
    assert_int_equal(err.task_code, 5);
    assert_code(crew_reduce(p, noisy, NULL, 0, 100, &result, 8, refuse, NULL, &err), CREW_EFAILED,
                &err);
    assert_int_equal(err.task_code, 3);
    assert_code(crew_reduce(p, NULL, NULL, 0, 9, &result, 8, add, NULL, &err), CREW_EINVAL, &err);
    assert_code(crew_reduce(p, noisy, NULL, 0, 9, &result, 8, NULL, NULL, &err), CREW_EINVAL, &err);
    assert_code(crew_reduce(p, noisy, NULL, 0, 9, NULL, 8, add, NULL, &err), CREW_EINVAL, &err);
    assert_code(crew_reduce(p, noisy, NULL, 0, -1, &result, 8, add, NULL, &err), CREW_EINVAL, &err);
    assert_usable(p);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(for__each_schedule_and_chunk__tiles_the_range),
        CREWTEST(for__failing_range__is_named_by_its_first_index),
        CREWTEST(for__failing_indices__the_lowest_is_named_in_every_run),
        CREWTEST(for__bad_requests__are_errors),
        CREWTEST(reduce__any_worker_count_and_chunk__gives_the_same_bits),
        CREWTEST(reduce__operation_that_does_not_commute__keeps_the_order),
        CREWTEST(reduce__empty_failing_and_bad__are_told_apart),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
