/* conformance/guard_test.c - what lies behind arrays, and that nothing of it is in the
 * way of who may touch them; arrays made in tasks. */
#include "crewtest.h"

#include "api/session.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- sizes -------------------------------------------------------------- */

/* Fills bytes [0, size) with a value of the index. */
static int fill(crew_call *call) {
    const struct {
        crew_array array;
        int64_t size;
    } *c = call->common;
    unsigned char *data = crew_array_data(c->array);
    if (!data)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    int64_t share = c->size / 4 + 1, from = call->index * share;
    for (int64_t i = from; i < from + share && i < c->size; i++) {
        if (data[i])
            return crew_fail(call, 2, "byte %lld is %d", (long long)i, data[i]);
        data[i] = (unsigned char)(i % 251 + 1);
    }
    return 0;
}

static void try_size(crew_pool *p, int64_t size) {
    struct {
        crew_array array;
        int64_t size;
    } c = {.size = size};
    crew_error err;
    assert_int_equal(crew_array_create(&c.array, CREW_U8, 1, &size, NULL), 0);
    const unsigned char *data = crew_array_data(c.array);
    assert_int_equal((uintptr_t)data % 64, 0);
    crew_map_opts opts = {.common = &c, .common_size = sizeof c};
    assert_ok(crew_pool_map(p, fill, NULL, 0, 4, NULL, 0, &opts, &err), &err);
    if (crewtest_has(CREWTEST_ONE_NODE)) /* elsewhere some of it is in other nodes' copies */
        for (int64_t i = 0; i < size; i++)
            assert_int_equal(data[i], i % 251 + 1);
    assert_int_equal(crew_array_destroy(c.array), 0);
    assert_null(crew_array_data(c.array));
    assert_int_equal(crew_array_destroy(c.array), CREW_EINVAL);
}

static void array__of_any_size__is_zero_aligned_and_whole(void **state) {
    (void)state;
    static const int64_t sizes[] = {
        0,     1,     63,    64,    65,     4096,   32767,   32768,         61183,   61184,
        61248, 61249, 65344, 65536, 126784, 130000, 1 << 20, (3 << 20) + 7, 40 << 20};
    crew_pool *p = crewtest_open(2);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int again = 0; again < 2; again++)
            try_size(p, sizes[i]);
    crewtest_free(p);
}

/* What one array left behind, guards too, must not be in the way of the next. */
static void array__after_array_over_the_same_place__is_whole_everywhere(void **state) {
    (void)state;
    crew_pool *p = crewtest_open(3);
    uint64_t used = cw_arena_used(&cw_session_if_any()->arrays);
    int64_t rounds = crewtest_many(300);
    for (int64_t round = 0; round < rounds; round++) {
        uint64_t r = crewtest_random();
        int64_t limit = r % 3 == 0 ? 2000 : r % 3 == 1 ? 100000 : 1000000;
        try_size(p, (int64_t)(r >> 8) % limit);
    }
    assert_int_equal(cw_arena_used(&cw_session_if_any()->arrays), used);
    crewtest_free(p);
}

/* ---- written past ------------------------------------------------------- */

enum { ITEMS = 400, BAD = 123 };
struct victim {
    crew_array array;
    int64_t elements, past;
};

static int write_past(crew_call *call) {
    const struct victim *v = CREW_COMMON(call, struct victim);
    volatile int64_t *data = crew_array_data(v->array);
    if (call->index == BAD)
        for (int64_t i = 0; i <= v->past; i++)
            data[v->elements + i] = -1;
    data[call->index] = call->index + 1;
    return 0;
}

/* The items' elements are at `data`, NULL: in memory of the nodes they ran on; the results at
 * `out`, if any. */
static void check_victim(crew_pool *p, struct victim *v, crew_fn *fn, const int64_t *data,
                         int64_t *out) {
    int statuses[ITEMS];
    crew_error err;
    crew_map_opts opts = {
        .common = v, .common_size = sizeof *v, .statuses = statuses, .on_error = CREW_CONTINUE};
    int rc = crew_pool_map(p, fn, NULL, 0, ITEMS, out, out ? sizeof *out : 0, &opts, &err);
    assert_code(rc, CREW_EFAILED, &err);
    assert_text(err.text, "1 of 400 items failed: item 123");
    for (int64_t i = 0; i < ITEMS; i++) {
        assert_int_equal(statuses[i], i == BAD ? CREW_EDIED : 0);
        if (data && i != BAD)
            assert_int_equal(data[i], i + 1);
    }
    assert_usable(p);
}

static void array__written_past_in_a_task__costs_that_worker_only(void **state) {
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    /* One element past the end, and a run over all that could lie behind. */
    static const int64_t elements[] = {5000, 8192, 100000, 1 << 20};
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++)
        for (int run = 0; run < 2; run++) {
            crew_pool *p = crewtest_open(2);
            struct victim v = {.elements = (elements[i] + 7) / 8 * 8, .past = run ? 1 << 20 : 0};
            crew_array before, behind;
            assert_int_equal(crew_array_create(&before, CREW_I64, 1, &v.elements, NULL), 0);
            assert_int_equal(crew_array_create(&v.array, CREW_I64, 1, &v.elements, NULL), 0);
            assert_int_equal(crew_array_create(&behind, CREW_I64, 1, &v.elements, NULL), 0);
            const bool here = crewtest_has(CREWTEST_ONE_NODE);
            check_victim(p, &v, write_past, here ? crew_array_data(v.array) : NULL, NULL);
            const int64_t *data = crew_array_data(behind);
            for (int64_t k = 0; k < v.elements; k++)
                assert_int_equal(data[k], 0);
            crew_array_destroy(before);
            crew_array_destroy(v.array);
            crew_array_destroy(behind);
            crewtest_free(p);
        }
}

static int answer_past(crew_call *call) {
    volatile int64_t *out = call->out;
    if (call->index == BAD)
        out[ITEMS - BAD] = -1;
    *out = call->index + 1;
    return 0;
}

static void array__result_written_past_it__costs_that_worker_only(void **state) {
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crew_pool *p = crewtest_open(2);
    struct victim v = {.elements = 10000};
    assert_int_equal(crew_array_create(&v.array, CREW_I64, 1, &v.elements, NULL), 0);
    /* The map's results are the last elements. */
    int64_t *out = (int64_t *)crew_array_data(v.array) + v.elements - ITEMS;
    check_victim(p, &v, answer_past, out, out);
    crewtest_free(p);
    crew_array_destroy(v.array);
}

/* ---- made in tasks ------------------------------------------------------ */

struct one {
    crew_array array;
    int64_t node; /* whose copy of it has what the task wrote */
};

static int make_one(crew_call *call) {
    int64_t n = *CREW_IN(call, int64_t) * 20000 + 10;
    crew_array a;
    if (crew_array_create(&a, CREW_I32, 1, &n, NULL) < 0)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    int32_t *data = crew_array_data(a);
    data[0] = (int32_t)call->index;
    data[n - 1] = -(int32_t)call->index;
    *CREW_OUT(call, struct one) = (struct one){a, call->node};
    return 0;
}

static void array__made_in_a_task__is_there_for_all(void **state) {
    (void)state;
    enum { N = 20 };
    struct one made[N];
    crew_pool *p = crewtest_open(2);
    crew_error err;
    assert_ok(crew_map_index(p, make_one, N, made, NULL, &err), &err);
    crewtest_free(p);
    for (int64_t i = 0; i < N; i++) {
        int64_t n = i * 20000 + 10, have;
        const int32_t *data = crew_array_data(made[i].array);
        assert_non_null(data);
        assert_int_equal(crew_array_shape(made[i].array, &have, 1), 1);
        assert_int_equal(have, n);
        assert_int_equal(data[0], made[i].node ? 0 : i);
        assert_int_equal(data[n - 1], made[i].node ? 0 : -i);
        assert_int_equal(crew_array_destroy(made[i].array), 0);
    }
}

static int make_on_and_on(crew_call *call) {
    const int64_t n = 8 << 20;
    for (;;) {
        crew_array a;
        if (crew_array_create(&a, CREW_U8, 1, &n, NULL) < 0)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
        crewtest_add(CELL_COUNT, 1);
        crew_array_destroy(a);
    }
}

static void array__its_maker_is_killed__nothing_is_half_done(void **state) {
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crew_pool *p = crewtest_open(2);
    const int64_t n = 8 << 20;
    uint64_t used = cw_arena_used(&cw_session_if_any()->arrays);
    int64_t kills = crewtest_many(20), left = 0;
    for (int64_t k = 0; k < kills; k++) {
        crew_error err;
        crew_future *f = crew_submit(p, make_on_and_on, NULL, 0, NULL, &err);
        assert_non_null(f);
        int64_t before = crewtest_get(CELL_COUNT);
        CREWTEST_WAIT(crewtest_get(CELL_COUNT) > before + (int64_t)(crewtest_random() % 3), 30);
        assert_int_equal(crew_future_kill(f), 1);
        assert_code(crew_future_result(f, NULL, 0, 30, &err), CREW_ECANCELLED, &err);
        crew_future_free(f);
        crew_array a;
        assert_int_equal(crew_array_create(&a, CREW_U8, 1, &n, NULL), 0);
        memset(crew_array_data(a), 1, (size_t)n);
        assert_int_equal(crew_array_destroy(a), 0);
        left++;
    }
    /* One that was made and not destroyed yet is the program's; no more than that. */
    uint64_t now = cw_arena_used(&cw_session_if_any()->arrays);
    assert_true(now - used <= (uint64_t)left * ((uint64_t)n + CW_ARENA_GRANULE));
    crewtest_free(p);
}

/* ---- no room, bad requests ---------------------------------------------- */

static void array__too_large_for_the_machine__is_refused_with_the_figures(void **state) {
    (void)state;
    crew_pool *p = crewtest_open(2);
    uint64_t used = cw_arena_used(&cw_session_if_any()->arrays);
    int64_t n = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / 8 + 1;
    crew_array a;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(crew_array_create(&a, CREW_F64, 1, &n, NULL), CREW_ENOMEM);
        assert_text(crew_last_error()->text, "GiB of shared memory asked for, ");
        n *= 4;
    }
    assert_int_equal(cw_arena_used(&cw_session_if_any()->arrays), used);
    assert_usable(p);
    crewtest_free(p);
}

static void array__interleaved__is_an_array(void **state) {
    (void)state;
    const int64_t n = 3 << 20;
    crew_array_opts opts = {.interleave = true};
    crew_array a;
    assert_int_equal(crew_array_create(&a, CREW_F32, 1, &n, &opts), 0);
    memset(crew_array_data(a), 1, (size_t)n * 4);
    assert_int_equal(crew_array_destroy(a), 0);
}

static void refuse(int type, int ndim, const int64_t *shape, const crew_array_opts *opts, int code,
                   const char *text) {
    crew_array a = {1, 2};
    assert_int_equal(crew_array_create(&a, type, ndim, shape, opts), code);
    assert_int_equal(crew_last_error()->code, code);
    assert_text(crew_last_error()->text, text);
    assert_int_equal(a.place, 1); /* as it was */
}

static void array__of_a_bad_shape__is_refused_in_a_sentence(void **state) {
    (void)state;
    const int64_t one = 1, negative[] = {3, -1}, many[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    const int64_t over[] = {1ll << 40, 1ll << 40}, large = INT64_MAX;
    const int64_t nothing_of_much[] = {0, 1ll << 62, 1ll << 62};
    const crew_array_opts unknown = {.scope = 7};
    refuse(CREW_F64, 1, NULL, NULL, CREW_EINVAL, "shape is NULL");
    refuse(CREW_F64, 0, &one, NULL, CREW_EINVAL, "ndim is 0");
    refuse(CREW_F64, -1, &one, NULL, CREW_EINVAL, "ndim is -1");
    refuse(CREW_F64, 9, many, NULL, CREW_EINVAL, "ndim is 9: 1 to 8");
    refuse(0, 1, &one, NULL, CREW_EINVAL, "type 0");
    refuse(CREW_F64 + 1, 1, &one, NULL, CREW_EINVAL, "type 11");
    refuse(CREW_F64, 2, negative, NULL, CREW_EINVAL, "dimension 1 is -1");
    refuse(CREW_F64, 2, over, NULL, CREW_EINVAL, "larger than memory");
    refuse(CREW_U8, 1, &large, NULL, CREW_EINVAL, "larger than memory");
    refuse(CREW_U8, 3, nothing_of_much, NULL, CREW_EINVAL, "larger than memory");
    refuse(CREW_F64, 1, &one, &unknown, CREW_EINVAL, "scope 7");
    assert_int_equal(crew_array_create(NULL, CREW_F64, 1, &one, NULL), CREW_EINVAL);
    assert_text(crew_last_error()->text, "handle is NULL");
}

static void array__unknown_handle__is_refused_in_a_sentence(void **state) {
    (void)state;
    const crew_array none[] = {{0},       {64, 1}, {1ull << 40, 3}, {UINT64_MAX, UINT64_MAX},
                               {4096, 0}, {65, 1}};
    int64_t shape[2], n = 5;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_null(crew_array_data(none[i]));
        assert_text(crew_last_error()->text, "array");
        assert_null(crew_array_row(none[i], 0));
        assert_int_equal(crew_array_shape(none[i], shape, 2), CREW_EINVAL);
        assert_int_equal(crew_array_destroy(none[i]), CREW_EINVAL);
    }
    crew_array a;
    assert_int_equal(crew_array_create(&a, CREW_U16, 1, &n, NULL), 0);
    assert_null(crew_array_row(a, 5));
    assert_text(crew_last_error()->text, "row 5: there are 5");
    assert_null(crew_array_row(a, -1));
    assert_int_equal(crew_array_shape(a, NULL, 1), CREW_EINVAL);
    assert_text(crew_last_error()->text, "shape is NULL");
    assert_int_equal(crew_array_shape(a, NULL, 0), 1);
    crew_array_destroy(a);
}

/* ---- little address space ------------------------------------------------ */

/* A program under `ulimit -v`. */
static int helper_limited(void) {
    const struct rlimit two = {2ull << 30, 2ull << 30};
    crew_finalize();
    crewtest_check(setrlimit(RLIMIT_AS, &two) == 0, "setrlimit");
    crewtest_check(crew_init(NULL, NULL) == 0, "%s", crew_last_error()->text);
    crew_pool_opts opts = crewtest_opts(2);
    crew_error err;
    crew_pool *p = crew_pool_open(&opts, &err);
    crewtest_check(p, "%s", err.text);
    const int64_t fits = 50 << 20, does_not = 1 << 30;
    struct {
        crew_array array;
        int64_t size;
    } c = {.size = fits};
    crewtest_check(crew_array_create(&c.array, CREW_U8, 1, &fits, NULL) == 0, "%s",
                   crew_last_error()->text);
    crew_map_opts map = {.common = &c, .common_size = sizeof c};
    int rc = crew_pool_map(p, fill, NULL, 0, 4, NULL, 0, &map, &err);
    crewtest_check(rc == 0, "%s", err.text);
    crewtest_check(crew_array_create(&c.array, CREW_U8, 1, &does_not, NULL) == CREW_ENOMEM &&
                       strstr(crew_last_error()->text, "ulimit -v"),
                   "%s", crew_last_error()->text);
    crew_pool_free(p);
    return crew_finalize();
}

static void array__under_a_limit_of_address_space__says_what_limits_it(void **state) {
    (void)state;
#ifdef CREWTEST_SANITIZED
    (void)helper_limited;
    skip();
#else
    crewtest_not_on("ranks"); /* which a second session has not */
    char *text;
    int status = crewtest_helper_run("limited", NULL, 50, &text);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("status %#x, said \"%s\"", status, text);
    free(text);
#endif
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return helper_limited();
    const struct CMUnitTest tests[] = {
        CREWTEST(array__of_any_size__is_zero_aligned_and_whole),
        CREWTEST(array__after_array_over_the_same_place__is_whole_everywhere),
        CREWTEST(array__written_past_in_a_task__costs_that_worker_only),
        CREWTEST(array__result_written_past_it__costs_that_worker_only),
        CREWTEST(array__made_in_a_task__is_there_for_all),
        CREWTEST(array__its_maker_is_killed__nothing_is_half_done),
        CREWTEST(array__too_large_for_the_machine__is_refused_with_the_figures),
        CREWTEST(array__interleaved__is_an_array),
        CREWTEST(array__under_a_limit_of_address_space__says_what_limits_it),
        CREWTEST(array__of_a_bad_shape__is_refused_in_a_sentence),
        CREWTEST(array__unknown_handle__is_refused_in_a_sentence),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
