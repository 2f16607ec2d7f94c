/* mpi/arrays.c - arrays over several nodes: three, see tests/mpi/under. What is lost in the
 * middle: mpi/arrays_lost.c. */
#include "crewtest.h"
#include "in_task.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NODES = 3, WORKERS = 6, CELL_DEATHS = CELL_COUNT, CELL_ON = CELL_COUNT + 1 };

static crew_array make(int type, int scope, int64_t rows, int64_t columns) {
    const int64_t shape[2] = {rows, columns};
    const crew_array_opts opts = {.scope = scope};
    crew_array a;
    assert_ok(crew_array_create(&a, type, 2, shape, &opts), NULL);
    return a;
}

/* On every worker of every node. */
static void everywhere(crew_pool *p, crew_fn *fn, const void *in, size_t size) {
    crew_error err;
    assert_ok(crew_pool_each(p, fn, in, size, &err), &err);
}

/* ---- NODE ----------------------------------------------------------------- */

static int counts_on_its_node(crew_call *call) {
    crew_array a = *CREW_IN(call, crew_array);
    int64_t *data = crew_array_data(a);
    CHECK(data && crew_array_size(a) == NODES * 4 && crew_array_type(a) == CREW_I64);
    CHECK(crew_array_lock(a) == 0);
    data[call->node * 4]++;
    CHECK(crew_array_unlock(a) == 0);
    const int64_t one = 1;
    CHECK(crew_array_add(a, call->node * 4 + 1, 1, &one) == 0);
    CHECK(crew_array_row(a, call->node) == data + call->node * 4);
    CHECK(!crew_array_row(a, NODES) && crew_last_error()->code == CREW_EINVAL);
    return 0;
}

static int sees_its_node(crew_call *call) {
    crew_array a = *CREW_IN(call, crew_array);
    const int64_t *data = crew_array_data(a);
    CHECK(data);
    for (int node = 0; node < NODES; node++)
        for (int i = 0; i < 2; i++)
            CHECK(data[node * 4 + i] == (node == call->node ? WORKERS / NODES : 0));
    return 0;
}

static int finds_it_gone(crew_call *call) {
    crew_array a = *CREW_IN(call, crew_array);
    CHECK(!crew_array_data(a) && crew_last_error()->code == CREW_EINVAL);
    CHECK(strstr(crew_last_error()->text, "no such array"));
    CHECK(crew_array_lock(a) == CREW_EINVAL && crew_array_destroy(a) == CREW_EINVAL);
    return 0;
}

static void node__the_same_handle_on_all_nodes__is_an_array_of_each(void **state) {
    crew_pool *p = crewtest_open(WORKERS);
    crew_array a = make(CREW_I64, CREW_ARRAY_NODE, NODES, 4);
    (void)state;
    everywhere(p, counts_on_its_node, &a, sizeof a);
    everywhere(p, sees_its_node, &a, sizeof a);
    const int64_t *data = crew_array_data(a);
    assert_int_equal(data[0], WORKERS / NODES);
    assert_int_equal(data[4] + data[8], 0);
    assert_ok(crew_array_destroy(a), NULL);
    everywhere(p, finds_it_gone, &a, sizeof a);
    crewtest_free(p);
}

static int twice_or_dies(crew_call *call) {
    int64_t answer = 2 * *CREW_IN(call, int64_t);
    if (call->common && call->attempt == 1 && call->index % 50 == 17) {
        crewtest_add(CELL_DEATHS, 1);
        raise(SIGKILL);
    }
    return crew_task_result(call, &answer, sizeof answer);
}

static void node__as_a_maps_results__brings_the_rows_of_other_nodes_home(void **state) {
    enum { COUNT = 300 };
    static int64_t in[COUNT];
    static const int64_t chunks[] = {0, 1, 7, COUNT};
    crew_pool *p = crewtest_open_opts(&(crew_pool_opts){.workers = WORKERS, .retries = 2});
    crew_array a = make(CREW_I64, CREW_ARRAY_NODE, COUNT, 1);
    int64_t *out = crew_array_data(a);
    crew_error err;
    (void)state;
    for (int64_t i = 0; i < COUNT; i++)
        in[i] = i;
    for (int turn = 0; turn < 5; turn++) {
        const crew_map_opts opts = {.chunk = chunks[turn % 4],
                                    .common = turn == 4 ? "die" : NULL,
                                    .common_size = turn == 4 ? 4 : 0};
        memset(out, 0, COUNT * sizeof *out);
        assert_ok(crew_pool_map(p, twice_or_dies, in, sizeof *in, COUNT, out, sizeof *out, &opts,
                                &err), &err);
        for (int64_t i = 0; i < COUNT; i++)
            assert_int_equal(out[i], 2 * i);
    }
    assert_true(crewtest_get(CELL_DEATHS) >= COUNT / 50);
    assert_ok(crew_array_destroy(a), NULL);
    crewtest_free(p);
}

static int makes_one(crew_call *call) {
    const int64_t n = 1000;
    crew_array a;
    crewtest_add(CELL_ON + call->node, 1);
    for (int node = 0; node < NODES; node++) /* until each node has had one */
        while (!crewtest_get(CELL_ON + node))
            crewtest_pause();
    CHECK(crew_array_create(&a, CREW_U8, 1, &n, NULL) == 0);
    const uint8_t mine = (uint8_t)(call->node + 1);
    CHECK(crew_array_put(a, 999, 1, &mine) == 0);
    struct { crew_array a; int64_t node; } made = {a, call->node};
    return crew_task_result(call, &made, sizeof made);
}

static void node__made_by_tasks_of_other_nodes__is_used_and_destroyed_by_others(void **state) {
    crew_pool *p = crewtest_open(WORKERS);
    struct { crew_array a; int64_t node; } made[WORKERS];
    crew_error err;
    (void)state;
    assert_ok(crew_pool_map(p, makes_one, NULL, 0, WORKERS, made, sizeof *made,
                            &(crew_map_opts){.chunk = 1}, &err), &err);
    for (int i = 0; i < WORKERS; i++) {
        uint8_t was;
        assert_ok(crew_array_get(made[i].a, 999, 1, &was), NULL);
        assert_int_equal(was, made[i].node == 0 ? 1 : 0); /* its own of this node */
        assert_int_equal(crew_array_size(made[i].a), 1000);
        assert_ok(crew_array_destroy(made[i].a), NULL);
        everywhere(p, finds_it_gone, &made[i].a, sizeof made[i].a);
        assert_int_equal(crew_array_size(made[i].a), CREW_EINVAL);
    }
    crewtest_free(p);
}

static int looks_through_a_view(crew_call *call) {
    crew_array view = *CREW_IN(call, crew_array), again;
    int64_t shape[2], strides[2], got[5];
    CHECK(crew_array_shape(view, shape, 2) == 2 && shape[0] == 3 && shape[1] == 5);
    CHECK(crew_array_strides(view, strides, 2) == 2 && strides[0] == -16 && strides[1] == 1);
    const int64_t mine[2] = {call->node * 10 + 1, call->node * 10 + 2};
    CHECK(crew_array_put(view, 4, 2, mine) == 0); /* its last of one row, the first of the next */
    CHECK(crew_array_slice(&again, view, 0, 0, 2, 1) == 0);
    CHECK(crew_array_get(again, 1, 5, got) == 0);
    CHECK(got[0] == 0 && got[3] == mine[0] && got[4] == mine[1]);
    CHECK(crew_array_row(again, 1) == (int64_t *)crew_array_data(view) - 16);
    CHECK(crew_array_lock(again) == 0 && crew_array_unlock(view) == 0);
    CHECK(crew_array_destroy(again) == 0);
    return 0;
}

static void view__of_an_array__is_one_on_each_node_too(void **state) {
    crew_pool *p = crewtest_open(WORKERS);
    crew_array a = make(CREW_I64, CREW_ARRAY_NODE, 6, 8), rows, view;
    (void)state;
    assert_ok(crew_array_slice(&rows, a, 0, 5, INT64_MIN, -2), NULL);
    assert_ok(crew_array_slice(&view, rows, 1, 0, 5, 1), NULL);
    everywhere(p, looks_through_a_view, &view, sizeof view);
    const int64_t *data = crew_array_data(a);
    assert_int_equal(data[5 * 8 + 4], 1);
    assert_int_equal(data[3 * 8], 2);
    assert_ok(crew_array_destroy(a), NULL);
    everywhere(p, finds_it_gone, &a, sizeof a);
    assert_int_equal(crew_array_size(view), CREW_EINVAL);
    assert_ok(crew_array_destroy(rows), NULL);
    assert_ok(crew_array_destroy(view), NULL);
    crewtest_free(p);
}

/* ---- REPLICATED ------------------------------------------------------------ */

static double number(int64_t i) {
    return (double)i * 0.5 + 1;
}

struct part {
    crew_array a;
    int64_t first, n;
};

static int reads_copies(crew_call *call) {
    struct part part = *CREW_IN(call, struct part);
    const double *data = crew_array_data(part.a);
    CHECK(data);
    for (int64_t i = part.first; i < part.first + part.n; i++)
        CHECK(data[i] == number(i));
    CHECK(data[part.first + part.n] == 0);
    return 0;
}

static int casts(crew_call *call) {
    struct part part = *CREW_IN(call, struct part);
    if (call->node != 1 || crewtest_add(CELL_DEATHS, 1) != 0)
        return 0;
    double *data = crew_array_data(part.a);
    CHECK(data);
    for (int64_t i = 0; i < part.n; i++)
        data[i] = number(i);
    CHECK(crew_array_bcast(part.a) == 0);
    return 0;
}

static void bcast__of_any_size__is_on_all_nodes_when_it_returns(void **state) {
    static const int64_t sizes[] = {1, 1000, 131072, 131073, 700001, 1 << 20};
    crew_pool *p = crewtest_open(WORKERS);
    (void)state;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        struct part part = {.a = make(CREW_F64, CREW_ARRAY_REPLICATED, sizes[k] + 1, 1),
                            .n = sizes[k]};
        double *data = crew_array_data(part.a);
        for (int64_t i = 0; i < part.n; i++)
            data[i] = number(i);
        assert_ok(crew_array_bcast(part.a), NULL);
        everywhere(p, reads_copies, &part, sizeof part);
        memset(data, 0, (size_t)part.n * sizeof *data); /* and from another node */
        crewtest_set(CELL_DEATHS, 0);
        everywhere(p, casts, &part, sizeof part);
        everywhere(p, reads_copies, &part, sizeof part);
        assert_int_equal(crew_array_reduce(part.a, CREW_SUM, NULL), CREW_EINVAL);
        assert_text(crew_last_error()->text, "was broadcast");
        assert_ok(crew_array_destroy(part.a), NULL);
    }
    crewtest_free(p);
}

static int reads_column(crew_call *call) {
    const double *data = crew_array_data(*CREW_IN(call, crew_array));
    CHECK(data);
    for (int64_t i = 0; i < 300; i++)
        CHECK(data[i * 3] == 0 && data[i * 3 + 1] == number(i) && data[i * 3 + 2] == 0);
    return 0;
}

static void bcast__of_a_view__is_of_its_elements_alone(void **state) {
    crew_pool *p = crewtest_open(WORKERS);
    crew_array a = make(CREW_F64, CREW_ARRAY_REPLICATED, 300, 3), column;
    double *data = crew_array_data(a);
    (void)state;
    for (int64_t i = 0; i < 300; i++)
        data[i * 3 + 1] = number(i);
    assert_ok(crew_array_slice(&column, a, 1, 1, 2, 1), NULL);
    data[2] = 77; /* which nobody is to see */
    assert_ok(crew_array_bcast(column), NULL);
    data[2] = 0;
    everywhere(p, reads_column, &a, sizeof a);
    assert_ok(crew_array_destroy(column), NULL);
    assert_ok(crew_array_destroy(a), NULL);
    crewtest_free(p);
}

/* Each item adds to some elements; what comes out is known. */
struct gathering {
    crew_array a;
    int type, op;
    int64_t n;
};

static int64_t share_of(int64_t item, int64_t element) {
    return (item * 7 + element * 3) % 11 - 5;
}

static void store(int type, char *at, int64_t value) {
    const int8_t i8 = (int8_t)value;
    const int16_t i16 = (int16_t)value;
    const int32_t i32 = (int32_t)value;
    const float f = (float)value;
    const double d = (double)value;
    switch (type) {
    case CREW_I8:
    case CREW_U8:
        memcpy(at, &i8, 1);
        break;
    case CREW_I16:
    case CREW_U16:
        memcpy(at, &i16, 2);
        break;
    case CREW_I32:
    case CREW_U32:
        memcpy(at, &i32, 4);
        break;
    case CREW_F32:
        memcpy(at, &f, 4);
        break;
    case CREW_F64:
        memcpy(at, &d, 8);
        break;
    default:
        memcpy(at, &value, 8);
    }
}

static int64_t load(int type, const char *at) {
    float f;
    double d;
    memcpy(&f, at, 4);
    memcpy(&d, at, 8);
    switch (type) {
    case CREW_I8:
        return *(const int8_t *)at;
    case CREW_U8:
        return *(const uint8_t *)at;
    case CREW_I16:
        return *(const int16_t *)(const void *)at;
    case CREW_U16:
        return *(const uint16_t *)(const void *)at;
    case CREW_I32:
        return *(const int32_t *)(const void *)at;
    case CREW_U32:
        return *(const uint32_t *)(const void *)at;
    case CREW_F32:
        return (int64_t)f;
    case CREW_F64:
        return (int64_t)d;
    default:
        return *(const int64_t *)(const void *)at;
    }
}

static const size_t bytes_of[] = {[CREW_I8] = 1,  [CREW_U8] = 1,  [CREW_I16] = 2, [CREW_U16] = 2,
                                  [CREW_I32] = 4, [CREW_U32] = 4, [CREW_I64] = 8, [CREW_U64] = 8,
                                  [CREW_F32] = 4, [CREW_F64] = 8};

static int64_t combined(int op, int64_t x, int64_t y) {
    return op == CREW_MIN ? (y < x ? y : x) : op == CREW_MAX ? (y > x ? y : x) : x + y;
}

static int gathers(crew_call *call) {
    struct gathering g = *CREW_COMMON(call, struct gathering);
    char *data = crew_array_data(g.a);
    size_t size = bytes_of[g.type];
    CHECK(data && crew_array_lock(g.a) == 0);
    for (int64_t e = 0; e < g.n; e++) {
        char *at = data + (size_t)e * size;
        bool is_unsigned = g.type == CREW_U8 || g.type == CREW_U16 || g.type == CREW_U32 ||
                           g.type == CREW_U64;
        int64_t more = share_of(call->index, e) + (is_unsigned ? 5 : 0);
        char element[8];
        store(g.type, element, more);
        if (g.op == CREW_SUM)
            CHECK(crew_array_add(g.a, e, 1, element) == 0);
        else if (load(g.type, at) != load(g.type, element)) {
            bool less = g.type == CREW_U64 ? (uint64_t)more < *(uint64_t *)(void *)at
                        : g.type == CREW_F32 ? (float)more < *(float *)(void *)at
                        : g.type == CREW_F64 ? (double)more < *(double *)(void *)at
                                             : more < load(g.type, at);
            if (less == (g.op == CREW_MIN))
                memcpy(at, element, size);
        }
    }
    CHECK(crew_array_unlock(g.a) == 0);
    return 0;
}

static int is_reset(crew_call *call) {
    struct gathering g = *CREW_IN(call, struct gathering);
    const char *data = crew_array_data(g.a);
    size_t size = bytes_of[g.type];
    CHECK(data);
    for (int64_t e = 1; e < g.n && call->node != 0; e++)
        CHECK(memcmp(data, data + (size_t)e * size, size) == 0);
    if (call->node != 0 && g.op == CREW_SUM)
        CHECK(load(g.type, data) == 0);
    return 0;
}

static void reduce__of_every_type__is_what_one_node_would_have(void **state) {
    enum { ITEMS = 60, N = 40 };
    crew_pool *p = crewtest_open(WORKERS);
    crew_error err;
    (void)state;
    for (int type = CREW_I8; type <= CREW_F64; type++)
        for (int op = CREW_SUM; op <= CREW_MAX; op++) {
            if (op == CREW_PROD)
                continue;
            struct gathering g = {.a = make(type, CREW_ARRAY_REPLICATED, N, 1),
                                  .type = type, .op = op, .n = N};
            const crew_map_opts opts = {.chunk = 1, .common = &g, .common_size = sizeof g};
            assert_ok(crew_array_reset(g.a, op, NULL), NULL);
            for (int turn = 1; turn <= 2; turn++) { /* it goes on from where it was */
                assert_ok(crew_pool_map(p, gathers, NULL, 0, ITEMS, NULL, 0, &opts, &err), &err);
                assert_ok(crew_array_reduce(g.a, op, NULL), NULL);
                const char *data = crew_array_data(g.a);
                bool is_unsigned = type == CREW_U8 || type == CREW_U16 || type == CREW_U32 ||
                                   type == CREW_U64;
                for (int64_t e = 0; e < N; e++) {
                    int64_t want = share_of(0, e) + (is_unsigned ? 5 : 0);
                    for (int64_t item = 1; item < ITEMS; item++)
                        want = combined(op, want, share_of(item, e) + (is_unsigned ? 5 : 0));
                    char element[8];
                    store(type, element, op == CREW_SUM ? turn * want : want);
                    assert_int_equal(load(type, data + (size_t)e * bytes_of[type]),
                                     load(type, element));
                }
                everywhere(p, is_reset, &g, sizeof g);
            }
            assert_int_equal(crew_array_bcast(g.a), CREW_EINVAL);
            assert_ok(crew_array_destroy(g.a), NULL);
        }
    crewtest_free(p);
}

/* Composition of affine maps: associative, in no order but the right one. */
static int compose(void *into, const void *from, int64_t n) {
    uint64_t *x = into;
    const uint64_t *y = from;
    for (int64_t i = 0; i < n; i++) { /* first x, then y: high half factor, low half summand */
        uint32_t f = (uint32_t)(x[i] >> 32) * (uint32_t)(y[i] >> 32);
        uint32_t s = (uint32_t)(x[i]) * (uint32_t)(y[i] >> 32) + (uint32_t)y[i];
        x[i] = (uint64_t)f << 32 | s;
    }
    return 0;
}

static int refuses(void *into, const void *from, int64_t n) {
    (void)into, (void)from, (void)n;
    return 9;
}

static int sets_its_map(crew_call *call) {
    struct gathering g = *CREW_IN(call, struct gathering);
    uint64_t *data = crew_array_data(g.a);
    CHECK(data);
    for (int64_t e = 0; e < g.n; e++)
        data[e] = (uint64_t)(call->node + 2) << 32 | (uint64_t)(e + call->node);
    return 0;
}

static int reduces_it(crew_call *call) {
    struct gathering g = *CREW_IN(call, struct gathering);
    if (call->node != 2 || crewtest_add(CELL_DEATHS, 1) != 0)
        return 0;
    CHECK(crew_array_reduce(g.a, CREW_OWN, compose) == 0);
    const uint64_t *data = crew_array_data(g.a);
    for (int64_t e = 0; e < g.n; e++) {
        uint64_t want = 2ull << 32 | (uint64_t)e;
        for (int node = 1; node < NODES; node++) {
            uint64_t other = (uint64_t)(node + 2) << 32 | (uint64_t)(e + node);
            compose(&want, &other, 1);
        }
        CHECK(data[e] == want);
    }
    return 0;
}

static void reduce__by_a_function_of_ones_own__is_in_the_order_of_nodes(void **state) {
    const uint64_t identity = 1ull << 32;
    crew_pool *p = crewtest_open(WORKERS);
    struct gathering g = {.a = make(CREW_U64, CREW_ARRAY_REPLICATED, 200000, 1), .n = 200000};
    (void)state;
    assert_int_equal(crew_array_reduce(g.a, CREW_OWN, compose), CREW_EINVAL);
    assert_ok(crew_array_reset(g.a, CREW_OWN, &identity), NULL);
    everywhere(p, sets_its_map, &g, sizeof g);
    crewtest_set(CELL_DEATHS, 0);
    everywhere(p, reduces_it, &g, sizeof g); /* by another node */
    const uint64_t *mine = crew_array_data(g.a);
    assert_true(mine[0] == identity && mine[199999] == identity);
    assert_int_equal(crew_array_reduce(g.a, CREW_OWN, refuses), CREW_EFAILED);
    assert_text(crew_last_error()->text, "returned 9");
    assert_ok(crew_array_destroy(g.a), NULL);
    crewtest_free(p);
}

/* ---- PARTITIONED ----------------------------------------------------------- */

static int looks_at_its_part(crew_call *call) {
    crew_array a = *CREW_IN(call, crew_array);
    int64_t first, rows;
    CHECK(crew_array_part(a, &first, &rows) == 0);
    CHECK(rows == 3 + (call->node == 0) && first == call->node * 3 + (call->node > 0));
    const int64_t *data = crew_array_data(a);
    CHECK(data && crew_array_row(a, first) == data && crew_array_row(a, first + rows - 1));
    CHECK(data[0] == first * 3 && data[rows * 3 - 1] == (first + rows) * 3 - 1);
    if (first > 0)
        CHECK(!crew_array_row(a, first - 1) && crew_last_error()->code == CREW_EINVAL);
    int64_t got[30];
    CHECK(crew_array_get(a, 0, 30, got) == 0);
    for (int64_t i = 0; i < 30; i++)
        CHECK(got[i] == i);
    crew_array column;
    CHECK(crew_array_slice(&column, a, 1, 1, 2, 1) == 0);
    CHECK(crew_array_get(column, 2, 8, got) == 0);
    for (int64_t i = 0; i < 8; i++)
        CHECK(got[i] == (i + 2) * 3 + 1);
    crew_array back;
    CHECK(crew_array_slice(&back, column, 0, INT64_MAX, INT64_MIN, -3) == 0);
    CHECK(crew_array_get(back, 0, 4, got) == 0);
    CHECK(got[0] == 28 && got[1] == 19 && got[2] == 10 && got[3] == 1);
    CHECK(crew_array_destroy(back) == 0 && crew_array_destroy(column) == 0);
    CHECK(crew_array_get(a, 29, 2, got) == CREW_EINVAL);
    return 0;
}

static void partitioned__whoever_asks__has_all_of_it(void **state) {
    crew_pool *p = crewtest_open(WORKERS);
    crew_array a = make(CREW_I64, CREW_ARRAY_PARTITIONED, 10, 3);
    int64_t all[30];
    (void)state;
    for (int64_t i = 0; i < 30; i++)
        all[i] = i;
    assert_ok(crew_array_put(a, 0, 30, all), NULL);
    everywhere(p, looks_at_its_part, &a, sizeof a);
    assert_ok(crew_array_destroy(a), NULL);
    everywhere(p, finds_it_gone, &a, sizeof a);
    a = make(CREW_I64, CREW_ARRAY_PARTITIONED, 2, 2); /* the last node has nothing */
    assert_ok(crew_array_add(a, 0, 4, all), NULL);
    assert_ok(crew_array_get(a, 1, 3, all), NULL);
    assert_int_equal(all[2], 3);
    assert_ok(crew_array_destroy(a), NULL);
    a = make(CREW_I64, CREW_ARRAY_PARTITIONED, 0, 2);
    assert_ok(crew_array_get(a, 0, 0, all), NULL);
    assert_ok(crew_array_destroy(a), NULL);
    crewtest_free(p);
}

static int adds_everywhere(crew_call *call) {
    struct gathering g = *CREW_IN(call, struct gathering);
    int32_t ones[60];
    double halves[60];
    for (int i = 0; i < 60; i++) {
        ones[i] = 1;
        halves[i] = 0.5;
    }
    for (int64_t turn = 0; turn < g.op; turn++)
        for (int64_t at = 0; at < g.n; at += 60)
            CHECK(crew_array_add(g.a, at, 60, g.type == CREW_I32 ? (void *)ones : halves) == 0);
    return 0;
}

static void add__from_all_nodes_at_once__loses_nothing(void **state) {
    enum { TURNS = 40, N = 120 };
    crew_pool *p = crewtest_open(WORKERS);
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct gathering g = {.type = k ? CREW_F64 : CREW_I32, .op = TURNS, .n = N};
        double reals[N];
        int32_t wholes[N];
        g.a = make(g.type, CREW_ARRAY_PARTITIONED, N, 1);
        everywhere(p, adds_everywhere, &g, sizeof g);
        assert_ok(crew_array_get(g.a, 0, N, k ? (void *)reals : wholes), NULL);
        for (int i = 0; i < N; i++)
            if (k)
                assert_true(reals[i] == WORKERS * TURNS * 0.5);
            else
                assert_int_equal(wholes[i], WORKERS * TURNS);
        assert_ok(crew_array_destroy(g.a), NULL);
    }
    crewtest_free(p);
}

static int gets_all(crew_call *call) {
    struct gathering g = *CREW_IN(call, struct gathering);
    uint32_t *all = malloc((size_t)g.n * sizeof *all);
    CHECK(all && crew_array_get(g.a, 0, g.n, all) == 0);
    int64_t wrong = 0;
    for (int64_t i = 0; i < g.n; i++)
        wrong += all[i] != (uint32_t)(i * 2654435761u);
    free(all);
    CHECK(wrong == 0);
    return 0;
}

static void partitioned__much_of_it__is_moved_in_parts(void **state) {
    struct gathering g = {.n = 1500007};
    crew_pool *p = crewtest_open(WORKERS);
    uint32_t *all = malloc((size_t)g.n * sizeof *all);
    (void)state;
    assert_non_null(all);
    for (int64_t i = 0; i < g.n; i++)
        all[i] = (uint32_t)(i * 2654435761u);
    g.a = make(CREW_U32, CREW_ARRAY_PARTITIONED, g.n, 1);
    assert_ok(crew_array_put(g.a, 0, g.n, all), NULL);
    free(all);
    everywhere(p, gets_all, &g, sizeof g);
    assert_ok(crew_array_destroy(g.a), NULL);
    crewtest_free(p);
}

/* ---- deaths ------------------------------------------------------------------ */

static void *kills(void *arg) {
    for (double end = crewtest_now() + *(double *)arg; crewtest_now() < end;)
        ;
    raise(SIGKILL);
    return arg;
}

/* It has the whole of some elements, on other nodes, in its hands when it dies. */
static int dies_in_an_add(crew_call *call) {
    struct gathering g = *CREW_COMMON(call, struct gathering);
    static int32_t ones[1000];
    double wait = (double)(crewtest_mix((uint64_t)call->index) % 1000) * 1e-6;
    pthread_t killer;
    if (call->attempt > 1)
        return 0;
    for (int i = 0; i < 1000; i++)
        ones[i] = 1;
    crewtest_add(CELL_DEATHS, 1);
    CHECK(pthread_create(&killer, NULL, kills, &wait) == 0);
    for (int64_t at = (call->node + 1) % NODES * 1000;;)
        CHECK(crew_array_add(g.a, at, 1000, ones) == 0);
}

static void worker__killed_in_an_add__leaves_it_whole(void **state) {
    enum { DEATHS = 80 }; /* more than there are boats: each is free again */
    struct gathering g = {.n = 3000};
    crew_pool *p = crewtest_open_opts(&(crew_pool_opts){.workers = WORKERS, .retries = 3});
    int32_t all[3000];
    crew_error err;
    (void)state;
    g.a = make(CREW_I32, CREW_ARRAY_PARTITIONED, g.n, 1);
    const crew_map_opts opts = {.chunk = 1, .common = &g, .common_size = sizeof g};
    assert_ok(crew_pool_map(p, dies_in_an_add, NULL, 0, DEATHS, NULL, 0, &opts, &err), &err);
    assert_true(crewtest_get(CELL_DEATHS) >= DEATHS);
    assert_ok(crew_array_get(g.a, 0, 3000, all), NULL);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(all[i], all[i / 1000 * 1000]);
    assert_ok(crew_array_destroy(g.a), NULL);
    crewtest_free(p);
}

enum { CAST_BYTES = 64 << 20 };

/* It goes on without who has asked for it. */
static int dies_in_a_broadcast(crew_call *call) {
    crew_array a = *CREW_COMMON(call, crew_array);
    double wait = (double)(crewtest_random() % 30) * 1e-3;
    pthread_t killer;
    void *data = crew_array_data(a);
    CHECK(data);
    memset(data, 0xee, CAST_BYTES);
    CHECK(pthread_create(&killer, NULL, kills, &wait) == 0);
    for (;;)
        CHECK(crew_array_bcast(a) == 0);
}

/* Takes the memory that the array had, and sees whether it stays its own. */
static int has_zeros_for_a_while(crew_call *call) {
    const int64_t bytes = CAST_BYTES;
    crew_array a;
    CHECK(crew_array_create(&a, CREW_U8, 1, &bytes, NULL) == 0);
    const unsigned char *data = crew_array_data(a);
    for (double end = crewtest_now() + 0.1; crewtest_now() < end;)
        for (int64_t i = 0; i < bytes; i += 4096)
            CHECK(data[i] == 0);
    CHECK(crew_array_destroy(a) == 0);
    return 0;
}

static void broadcast__whose_asker_was_killed__writes_to_no_other_array(void **state) {
    crew_pool *p = crewtest_open(WORKERS);
    crew_error err;
    (void)state;
    for (int round = 0; round < 6; round++) {
        crew_array a = make(CREW_U8, CREW_ARRAY_REPLICATED, CAST_BYTES, 1);
        const crew_map_opts opts = {.chunk = 1, .common = &a, .common_size = sizeof a};
        int rc = crew_pool_map(p, dies_in_a_broadcast, NULL, 0, 1, NULL, 0, &opts, &err);
        assert_int_equal(rc, CREW_EDIED);
        assert_ok(crew_array_destroy(a), NULL);
        everywhere(p, has_zeros_for_a_while, NULL, 0);
    }
    crewtest_free(p);
}

/* ---- room ------------------------------------------------------------------ */

/* All three wait for each other, so each node has one. */
static int one_of_each_node(crew_call *call) {
    const int64_t bytes = 20 << 20;
    crew_array a = {0};
    crewtest_add(CELL_ON, 1);
    while (crewtest_get(CELL_ON) < NODES)
        crewtest_pause();
    if (call->node == 1)
        CHECK(crew_array_create(&a, CREW_U8, 1, &bytes, NULL) == 0);
    return crew_task_result(call, &a, sizeof a);
}

static int cannot_have_it(crew_call *call) {
    crew_array a = *CREW_IN(call, crew_array);
    if (call->node != 1)
        return 0;
    CHECK(!crew_array_data(a) && crew_last_error()->code == CREW_ENOMEM);
    CHECK(strstr(crew_last_error()->text, "CREW_SEGMENT_SIZE"));
    return 0;
}

/* A program of its own, with segments of 64 MiB. */
static int room(void) {
    const int64_t bytes = 16 << 20;
    const crew_array_opts all = {.scope = CREW_ARRAY_REPLICATED};
    crew_array a = {1, 2}, full[NODES] = {{0, 0}};
    crew_error err;
    crew_pool *p = crew_pool_open(&(crew_pool_opts){.workers = NODES}, &err);
    crewtest_check(p, "%s", err.text);
    crewtest_check(crew_pool_map(p, one_of_each_node, NULL, 0, NODES, full, sizeof *full,
                                 &(crew_map_opts){.chunk = 1}, &err) == 0, "%s", err.text);
    crewtest_check(crew_array_create(&a, CREW_U8, 1, &bytes, &all) == CREW_ENOMEM, "it was made");
    const char *why = crew_last_error()->text;
    crewtest_check(a.place == 1 && strstr(why, "on node ") && strstr(why, " MiB") &&
                   strstr(why, "CREW_SEGMENT_SIZE"), "%s", why);
    /* Of this node there is, and the other says so when it is first used there. */
    crewtest_check(crew_array_create(&a, CREW_U8, 1, &bytes, NULL) == 0, "%s", why);
    crewtest_check(crew_pool_each(p, cannot_have_it, &a, sizeof a, &err) == 0, "%s", err.text);
    crewtest_check(crew_array_destroy(a) == 0, "%s", why);
    for (int i = 0; i < NODES; i++)
        crewtest_check(!full[i].place || crew_array_destroy(full[i]) == 0, "%s", why);
    /* What was refused, or was destroyed, has left nothing. */
    for (int i = 0; i < 6; i++) {
        crewtest_check(crew_array_create(&a, CREW_U8, 1, &bytes, &all) == 0, "%d: %s", i, why);
        crewtest_check(crew_array_bcast(a) == 0, "%s", why);
        crewtest_check(crew_array_destroy(a) == 0, "%s", why);
    }
    crew_pool_free(p);
    return crew_finalize();
}

int main(int argc, char **argv) {
    if (argc > 1)
        setenv("CREW_SEGMENT_SIZE", "64M", 1);
    crewtest_begin(&argc, &argv); /* keeps that where there is an argument */
    if (argc > 1)
        return room();
    const struct CMUnitTest tests[] = {
        CREWTEST(node__the_same_handle_on_all_nodes__is_an_array_of_each),
        CREWTEST(node__as_a_maps_results__brings_the_rows_of_other_nodes_home),
        CREWTEST(node__made_by_tasks_of_other_nodes__is_used_and_destroyed_by_others),
        CREWTEST(view__of_an_array__is_one_on_each_node_too),
        CREWTEST(bcast__of_any_size__is_on_all_nodes_when_it_returns),
        CREWTEST(bcast__of_a_view__is_of_its_elements_alone),
        CREWTEST(reduce__of_every_type__is_what_one_node_would_have),
        CREWTEST(reduce__by_a_function_of_ones_own__is_in_the_order_of_nodes),
        CREWTEST(partitioned__whoever_asks__has_all_of_it),
        CREWTEST(add__from_all_nodes_at_once__loses_nothing),
        CREWTEST(partitioned__much_of_it__is_moved_in_parts),
        CREWTEST(worker__killed_in_an_add__leaves_it_whole),
        CREWTEST(broadcast__whose_asker_was_killed__writes_to_no_other_array)};
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
