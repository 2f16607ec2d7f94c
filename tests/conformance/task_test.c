/* conformance/task_test.c - what a task is and has: the macros, spawned
 * children, random streams, and the worker's state with init and fini. */
#include "crewtest.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the macros --------------------------------------------------------- */

struct point {
    double x, y;
    int name;
};

static struct point mirror(struct point p) {
    struct point q = {p.y, p.x, -p.name};
    return q;
}
CREW_TASK(mirror, struct point, struct point)

static void note(int64_t i) {
    crewtest_add(CELL_ITEM + i, 1);
}
CREW_TASK_VOID(note, int64_t)

static int root(const double *in, struct point *out) {
    if (*in < 0)
        return 22;
    out->x = *in / 2;
    return 0;
}
CREW_TASK_REF(root, struct point, double)

struct line {
    double slope, offset;
};
static double on_line(float x, const struct line *line) {
    return line->slope * (double)x + line->offset;
}
CREW_TASK_WITH(on_line, double, float, struct line)

static int64_t add2(int8_t a, int64_t b) {
    return a + b;
}
CREW_TASK2(add2, int64_t, int8_t, int64_t)
static double add3(int a, float b, double c) {
    return a + (double)b + c;
}
CREW_TASK3(add3, double, int, float, double)
static int64_t add4(int8_t a, int16_t b, int32_t c, int64_t d) {
    return a + b + c + d;
}
CREW_TASK4(add4, int64_t, int8_t, int16_t, int32_t, int64_t)
static int64_t add5(int a, int b, int c, int d, struct point e) {
    return a + b + c + d + e.name;
}
CREW_TASK5(add5, int64_t, int, int, int, int, struct point)
static int64_t add6(int a, int b, int c, int d, int e, int f) {
    return a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * f;
}
CREW_TASK6(add6, int64_t, int, int, int, int, int, int)

static void macros__structs_by_value__travel_both_ways(void **state) {
    struct point in[100], out[100];
    crew_error err;
    (void)state;
    for (int i = 0; i < 100; i++)
        in[i] = (struct point){i, 2 * i, i};
    crew_pool *p = crewtest_open(2);
    assert_ok(crew_map(p, mirror_task, in, 100, out, NULL, &err), &err);
    for (int i = 0; i < 100; i++)
        assert_true(out[i].x == 2 * i && out[i].y == i && out[i].name == -i);
    struct point one = {1, 2, 3}, back;
    assert_ok(crew_apply(p, mirror_task, &one, sizeof one, &back, sizeof back, &err), &err);
    assert_true(back.x == 2 && back.y == 1 && back.name == -3);
    crewtest_free(p);
}

static void macros__void_ref_and_with__do_what_they_wrap(void **state) {
    int64_t numbers[20];
    double in[3] = {2, 4, -1}, on[2];
    float x[2] = {1, 2};
    struct point out[3];
    struct line line = {3, 0.5};
    crew_map_opts with = {.common = &line, .common_size = sizeof line};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (int i = 0; i < 20; i++)
        numbers[i] = i;
    assert_ok(crew_each(p, note_task, numbers, 20, NULL, &err), &err);
    assert_ok(crew_apply(p, note_task, numbers, sizeof *numbers, NULL, 0, &err), &err);
    for (int i = 0; i < 20; i++)
        assert_int_equal(crewtest_get(CELL_ITEM + i), i == 0 ? 2 : 1);
    assert_ok(crew_map(p, root_task, in, 2, out, NULL, &err), &err);
    assert_true(out[1].x == 2 && out[1].y == 0 && out[1].name == 0);
    assert_code(crew_map(p, root_task, in, 3, out, NULL, &err), CREW_EFAILED, &err);
    assert_int_equal(err.task_code, 22);
    assert_int_equal(err.item, 2);
    assert_ok(crew_map(p, on_line_task, x, 2, on, &with, &err), &err);
    assert_true(on[0] == 3.5 && on[1] == 6.5);
    crewtest_free(p);
}

static void macros__two_to_six_arguments__are_a_starmap(void **state) {
    add2_args two[2] = {{1, 2}, {-3, 1ll << 40}};
    add3_args three = {1, 0.5f, 0.25};
    add4_args four = {1, 2, 3, 4};
    add5_args five = {1, 2, 3, 4, {0, 0, 5}};
    add6_args six = {1, 2, 3, 4, 5, 6};
    int64_t out[2];
    double real;
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    assert_ok(crew_map(p, add2_task, two, 2, out, NULL, &err), &err);
    assert_int_equal(out[0], 3);
    assert_int_equal(out[1], (1ll << 40) - 3);
    assert_ok(crew_map(p, add3_task, &three, 1, &real, NULL, &err), &err);
    assert_true(real == 1.75);
    assert_ok(crew_map(p, add4_task, &four, 1, out, NULL, &err), &err);
    assert_int_equal(out[0], 10);
    assert_ok(crew_map(p, add5_task, &five, 1, out, NULL, &err), &err);
    assert_int_equal(out[0], 15);
    assert_ok(crew_apply(p, add6_task, &six, sizeof six, out, sizeof *out, &err), &err);
    assert_int_equal(out[0], 654321);
    crewtest_free(p);
}

static int mismatched(crew_call *call) {
    return crew_task_mismatch(call, "item", 24, call->in_size);
}

static void macros__mismatch_found_by_a_task__is_its_items_code(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    assert_code(crew_pool_map(p, mismatched, NULL, 0, 3, NULL, 0, NULL, &err), CREW_EMISMATCH,
                &err);
    assert_int_equal(err.item, 0);
    assert_text(err.text, "24");
    assert_text(err.text, "8");
    crewtest_free(p);
}

/* ---- tasks that make tasks ---------------------------------------------- */

struct node {
    int64_t id, count, bad; /* a heap of count nodes; bad fails */
};

/* Three children each, down to the leaves. */
static int grow(crew_call *call) {
    const struct node *node = CREW_IN(call, struct node);
    crewtest_add(CELL_ITEM + node->id, 1);
    if (node->id == node->bad)
        return crew_fail(call, 6, "node %d is rotten", (int)node->id);
    for (int64_t child = 3 * node->id + 1; child <= 3 * node->id + 3 && child < node->count;
         child++) {
        struct node next = {child, node->count, node->bad};
        int rc = crew_spawn(call, grow, &next, sizeof next);
        if (rc < 0)
            return crew_fail(call, 7, "crew_spawn: %s", crew_strerror(rc));
    }
    return crew_reply(call, &node->id, sizeof node->id);
}

static void check_tree(int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        if (crewtest_get(CELL_ITEM + i) != 1)
            fail_msg("node %ld ran %ld times", (long)i, (long)crewtest_get(CELL_ITEM + i));
        crewtest_set(CELL_ITEM + i, 0);
    }
}

static void spawn__tree_of_10000_nodes__has_run_when_map_and_future_are_done(void **state) {
    int64_t count = 10000, result = -1;
    struct node top = {0, count, -1};
    crew_error err;
    (void)state;
    for (int workers = 1; workers <= 3; workers++) {
        crew_pool *p = crewtest_open(workers);
        assert_ok(crew_each(p, grow, &top, 1, NULL, &err), &err);
        check_tree(count);
        assert_ok(crew_apply(p, grow, &top, sizeof top, &result, sizeof result, &err), &err);
        check_tree(count);
        assert_int_equal(result, 0);
        crewtest_free(p);
    }
}

static void spawn__failing_child__fails_the_item_that_made_it(void **state) {
    struct node in[3] = {{0, 100, -1}, {0, 100, 40}, {0, 100, -1}};
    int64_t out[3];
    int statuses[3];
    crew_map_opts opts = {.on_error = CREW_CONTINUE, .statuses = statuses};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    assert_code(crew_map(p, grow, in, 3, out, &opts, &err), CREW_EFAILED, &err);
    assert_int_equal(err.item, 1);
    assert_int_equal(err.task_code, 6);
    assert_text(err.text, "node 40 is rotten");
    assert_int_equal(statuses[0], 0);
    assert_int_equal(statuses[1], CREW_EFAILED);
    assert_int_equal(statuses[2], 0);
    crew_future *f = crew_submit(p, grow, &in[1], sizeof *in, NULL, &err);
    assert_non_null(f);
    assert_code(crew_future_result(f, NULL, 0, 20, &err), CREW_EFAILED, &err);
    assert_int_equal(err.task_code, 6);
    crew_future_free(f);
    assert_usable(p);
    crewtest_free(p);
}

static int child(crew_call *call) {
    int64_t mine = *CREW_IN(call, int64_t);
    crew_reply(call, &mine, sizeof mine); /* dropped */
    if (call->common_size != sizeof(int64_t) || *CREW_COMMON(call, int64_t) != 77)
        return crew_fail(call, 1, "no common");
    if (call->index != mine)
        return crew_fail(call, 2, "index %d, not %d", (int)call->index, (int)mine);
    crewtest_add(CELL_ITEM + mine, 1);
    return 0;
}

static int parent(crew_call *call) {
    for (int i = 0; i < 5; i++)
        if (crew_spawn(call, child, &call->index, sizeof call->index) < 0)
            return crew_fail(call, 3, "crew_spawn failed");
    int64_t result = call->index + 1000;
    return crew_task_result(call, &result, sizeof result);
}

static void spawn__children__have_the_items_index_and_common_and_no_say(void **state) {
    enum { COUNT = 200 };
    int64_t out[COUNT], common = 77;
    crew_map_opts opts = {.common = &common, .common_size = sizeof common};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(3);
    assert_ok(crew_map_index(p, parent, COUNT, out, &opts, &err), &err);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(out[i], i + 1000);
        assert_int_equal(crewtest_get(CELL_ITEM + i), 5);
    }
    crewtest_free(p);
}

enum { SPAWNERS = 4, EACH = 10000, CHILDREN = SPAWNERS * EACH };

/* Says what is its own: the first of its random numbers. */
static int draw_once(crew_call *call) {
    uint64_t drawn = crew_rng_u64(crew_call_rng(call));
    if (call->in_size != sizeof(int64_t) || *CREW_IN(call, int64_t) != 1)
        return crew_fail(call, 1, "a child's item");
    return crew_queue_put(*CREW_COMMON(call, crew_queue), &drawn, sizeof drawn, CREW_FOREVER);
}

static void *spawn_many(void *arg) {
    crew_call *call = arg;
    crewtest_add(CELL_STARTED, 1);
    while (crewtest_get(CELL_STARTED) < SPAWNERS)
        ;
    for (int64_t i = 0, one = 1; i < EACH; i++)
        if (crew_spawn(call, draw_once, &one, sizeof one) < 0)
            return call;
    return NULL;
}

/* More than one block of records, which all of them find missing at once. */
static int spawn_from_threads(crew_call *call) {
    pthread_t thread[SPAWNERS];
    void *bad = NULL, *rc;
    for (int i = 0; i < SPAWNERS; i++)
        if (pthread_create(&thread[i], NULL, spawn_many, call) != 0)
            return crew_fail(call, 2, "no thread");
    for (int i = 0; i < SPAWNERS; i++) {
        pthread_join(thread[i], &rc);
        bad = rc ? rc : bad;
    }
    return bad ? crew_fail(call, 3, "crew_spawn failed") : 0;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void spawn__from_several_threads_of_a_task__each_child_runs_once(void **state) {
    static uint64_t drawn[CHILDREN];
    crew_queue q;
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ONE_NODE); /* for its queue */
    crewtest_may_take(120);
    assert_ok(crew_queue_create(&q, 0, NULL), NULL);
    const crew_map_opts opts = {.common = &q, .common_size = sizeof q};
    for (int round = 0; round < 3; round++) { /* each with records that are new */
        crew_pool *p = crewtest_open(2);
        crewtest_set(CELL_STARTED, 0);
        assert_ok(crew_pool_map(p, spawn_from_threads, NULL, 0, 1, NULL, 0, &opts, &err), &err);
        for (int i = 0; i < CHILDREN; i++)
            assert_int_equal(crew_queue_get(q, &drawn[i], sizeof *drawn, 0), sizeof *drawn);
        assert_int_equal(crew_queue_size(q), 0);
        qsort(drawn, CHILDREN, sizeof *drawn, by_value);
        for (int i = 1; i < CHILDREN; i++)
            assert_true(drawn[i] != drawn[i - 1]); /* no two children are the same one */
        crewtest_free(p);
    }
    assert_ok(crew_queue_destroy(q), NULL);
}

/* A child that could not be made is not lost in silence: the item fails, also
 * when the task looks away. */
static int spawn_badly(crew_call *call) {
    int64_t data = 1;
    crew_fn *fn = *CREW_IN(call, int64_t) ? (crew_fn *)(uintptr_t)&data : NULL;
    if (crew_spawn(call, fn, &data, sizeof data) != CREW_EINVAL)
        return crew_fail(call, 1, "it was taken");
    return 0;
}

static void spawn__no_function__is_refused_and_fails_the_item(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    for (int64_t item = 0; item < 2; item++) {
        assert_code(crew_pool_map(p, spawn_badly, &item, 8, 1, NULL, 0, NULL, &err), CREW_EINVAL,
                    &err);
        assert_text(err.text, "crew_spawn");
        assert_int_equal(err.item, 0);
    }
    assert_usable(p);
    crewtest_free(p);
}

/* ---- random streams ----------------------------------------------------- */

struct draws {
    uint64_t words[5];
    double uniform[3], normal[4];
};

static void draw(crew_call *call, struct draws *d) {
    crew_rng *rng = crew_call_rng(call);
    for (int i = 0; i < 5; i++)
        d->words[i] = crew_rng_u64(rng);
    for (int i = 0; i < 3; i++)
        d->uniform[i] = crew_rng_double(rng);
    for (int i = 0; i < 4; i++)
        d->normal[i] = crew_rng_normal(rng);
}

static int draw_task(crew_call *call) {
    struct draws d;
    draw(call, &d);
    return crew_task_result(call, &d, sizeof d);
}

static int draw_and_die(crew_call *call) {
    struct draws d;
    draw(call, &d);
    if (call->attempt == 1 && call->index % 10 == 3)
        raise(SIGKILL);
    return crew_task_result(call, &d, sizeof d);
}

enum { DRAWS = 60 };

/* What the serial backend gives: the golden values. */
static void golden(uint64_t seed, uint64_t stream, struct draws out[DRAWS]) {
    crew_pool_opts opts = {.backend = CREW_SERIAL, .seed = seed};
    crew_map_opts map = {.stream = stream};
    crew_error err;
    crew_pool *p = crewtest_open_opts(&opts);
    memset(out, 0, DRAWS * sizeof *out);
    assert_ok(crew_map_index(p, draw_task, DRAWS, out, &map, &err), &err);
    crewtest_free(p);
}

/* The bits themselves: what unit/rng_test.c has for this seed, stream and index. */
static void random__known_seed_stream_and_item__gives_the_known_bits(void **state) {
    static const uint64_t known[] = {0x345ad0bf68932f51, 0xece5c6a92b50e2c4, 0xf47e43db58826e27,
                                     0xa9a0ff8d31328c97, 0x7553bae6524480ac};
    static struct draws have[DRAWS];
    crew_pool_opts opts = crewtest_opts(2);
    crew_map_opts map = {.stream = 7};
    crew_error err;
    (void)state;
    opts.seed = 2024;
    crew_pool *p = crewtest_open_opts(&opts);
    assert_ok(crew_map_index(p, draw_task, DRAWS, have, &map, &err), &err);
    assert_memory_equal(have[41].words, known, sizeof known);
    crewtest_free(p);
}

static void random__any_worker_count_and_chunk__gives_the_serial_bits(void **state) {
    static const uint64_t seeds[] = {0, 1, UINT64_MAX}, streams[] = {0, 5, UINT64_MAX};
    static struct draws want[DRAWS], have[DRAWS];
    crew_error err;
    (void)state;
    for (int workers = 1; workers <= 3; workers++) {
        crew_pool_opts opts = crewtest_opts(workers);
        opts.seed = seeds[workers - 1];
        crew_pool *p = crewtest_open_opts(&opts);
        for (int s = 0; s < 3; s++) {
            crew_map_opts map = {.stream = streams[s], .chunk = s * 3};
            golden(opts.seed, map.stream, want);
            memset(have, 0, sizeof have);
            assert_ok(crew_map_index(p, draw_task, DRAWS, have, &map, &err), &err);
            assert_memory_equal(want, have, sizeof want);
        }
        crewtest_free(p);
    }
}

static void random__second_attempt__gives_the_same_bits(void **state) {
    static struct draws want[DRAWS], have[DRAWS];
    crew_pool_opts opts = crewtest_opts(2);
    crew_map_opts map = {.stream = 2};
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    opts.seed = crewtest_random();
    opts.retries = 1;
    golden(opts.seed, 2, want);
    memset(have, 0, sizeof have);
    crew_pool *p = crewtest_open_opts(&opts);
    assert_ok(crew_map_index(p, draw_and_die, DRAWS, have, &map, &err), &err);
    assert_memory_equal(want, have, sizeof want);
    crew_submit_opts submit = {.index = 13, .retries = 1};
    crew_future *f = crew_submit(p, draw_and_die, NULL, 0, &submit, &err);
    assert_non_null(f);
    assert_ok(crew_future_result(f, &have[0], sizeof *have, 20, &err), &err);
    golden(opts.seed, 0, want); /* calls have stream 0 */
    assert_memory_equal(&want[13], &have[0], sizeof *have);
    crew_future_free(f);
    crewtest_free(p);
}

static void random__seeds_streams_and_items__differ(void **state) {
    static struct draws sets[4][DRAWS];
    static const uint64_t seeds[4] = {1, 1, 2, 2}, streams[4] = {0, 1, 0, 1};
    (void)state;
    for (int i = 0; i < 4; i++)
        golden(seeds[i], streams[i], sets[i]);
    for (int a = 0; a < 4 * DRAWS; a++) {
        const struct draws *x = &sets[a / DRAWS][a % DRAWS];
        for (int i = 0; i < 3; i++)
            assert_true(x->uniform[i] >= 0 && x->uniform[i] < 1);
        for (int b = a + 1; b < 4 * DRAWS; b++)
            assert_true(x->words[0] != sets[b / DRAWS][b % DRAWS].words[0]);
    }
}

static void random__index_of_a_submitted_task__is_its_options(void **state) {
    static struct draws want[DRAWS];
    struct draws have;
    crew_pool_opts opts = crewtest_opts(2);
    crew_error err;
    (void)state;
    memset(&have, 0, sizeof have);
    opts.seed = 99;
    golden(99, 0, want);
    crew_pool *p = crewtest_open_opts(&opts);
    for (int64_t i = 0; i < DRAWS; i += 7) {
        crew_submit_opts submit = {.index = i};
        crew_future *f = crew_submit(p, draw_task, NULL, 0, &submit, &err);
        assert_non_null(f);
        assert_ok(crew_future_result(f, &have, sizeof have, 20, &err), &err);
        assert_memory_equal(&want[i], &have, sizeof have);
        crew_future_free(f);
    }
    crewtest_free(p);
}

/* ---- state, init, fini -------------------------------------------------- */

enum { CELL_INITS = CELL_OWN, CELL_FINIS, CELL_STATES };

static int init_state(crew_call *call) {
    int64_t *mine = malloc(2 * sizeof *mine);
    if (!mine || *call->state || call->in_size != sizeof(int64_t))
        return crew_fail(call, 1, "state %p, item of %d bytes", *call->state, (int)call->in_size);
    mine[0] = *CREW_IN(call, int64_t);
    mine[1] = 0;
    *call->state = mine;
    crewtest_add(CELL_INITS, 1);
    crewtest_add(CELL_WORKER + call->worker, 1);
    return 0;
}

static int use_state(crew_call *call) {
    int64_t *mine = *call->state;
    if (!mine)
        return crew_fail(call, 2, "no state");
    mine[1]++;
    return crew_task_result(call, &mine[0], sizeof mine[0]);
}

static int fini_state(crew_call *call) {
    int64_t *mine = *call->state;
    crewtest_add(CELL_FINIS, 1);
    crewtest_add(CELL_STATES, mine ? mine[1] : 0);
    free(mine);
    *call->state = NULL;
    return 0;
}

static void init__state__is_the_workers_own_until_fini(void **state) {
    enum { COUNT = 300 };
    int64_t out[COUNT], arg = 4711, workers = crewtest_workers(3);
    crew_pool_opts opts = crewtest_opts(3);
    crew_error err;
    (void)state;
    opts.init = init_state;
    opts.init_arg = &arg;
    opts.init_size = sizeof arg;
    opts.fini = fini_state;
    crew_pool *p = crewtest_open_opts(&opts);
    arg = 0; /* copied */
    assert_int_equal(crewtest_get(CELL_INITS), workers);
    assert_ok(crew_map_index(p, use_state, COUNT, out, NULL, &err), &err);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(out[i], 4711);
    for (int w = 0; w < workers; w++)
        assert_int_equal(crewtest_get(CELL_WORKER + w), 1);
    assert_int_equal(crewtest_get(CELL_FINIS), 0);
    crew_pool_close(p);
    assert_ok(crew_pool_join(p, 20, &err), &err);
    assert_int_equal(crewtest_get(CELL_FINIS), workers);
    assert_int_equal(crewtest_get(CELL_STATES), COUNT);
    crewtest_free(p);
    assert_int_equal(crewtest_get(CELL_INITS), workers);
    assert_int_equal(crewtest_get(CELL_FINIS), workers);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(macros__structs_by_value__travel_both_ways),
        CREWTEST(macros__void_ref_and_with__do_what_they_wrap),
        CREWTEST(macros__two_to_six_arguments__are_a_starmap),
        CREWTEST(macros__mismatch_found_by_a_task__is_its_items_code),
        CREWTEST(spawn__tree_of_10000_nodes__has_run_when_map_and_future_are_done),
        CREWTEST(spawn__failing_child__fails_the_item_that_made_it),
        CREWTEST(spawn__children__have_the_items_index_and_common_and_no_say),
        CREWTEST(spawn__from_several_threads_of_a_task__each_child_runs_once),
        CREWTEST(spawn__no_function__is_refused_and_fails_the_item),
        CREWTEST(random__known_seed_stream_and_item__gives_the_known_bits),
        CREWTEST(random__any_worker_count_and_chunk__gives_the_serial_bits),
        CREWTEST(random__second_attempt__gives_the_same_bits),
        CREWTEST(random__seeds_streams_and_items__differ),
        CREWTEST(random__index_of_a_submitted_task__is_its_options),
        CREWTEST(init__state__is_the_workers_own_until_fini),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
