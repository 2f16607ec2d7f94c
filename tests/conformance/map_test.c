/* conformance/map_test.c - maps: chunks and schedules, index maps, arrays in
 * place, the common argument, limits of time, async maps, and bad requests.
 * What happens when items fail is failure_test.c's. */
#include "crewtest.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static int64_t square(int64_t n) {
    return n * n;
}
CREW_TASK(square, int64_t, int64_t)

/* The same, and counts how often each item has run. */
static int counted(crew_call *call) {
    int64_t n = *CREW_IN(call, int64_t);
    int64_t result = n * n;
    crewtest_add(CELL_ITEM + call->index, 1);
    return crew_task_result(call, &result, sizeof result);
}

static int64_t *ramp(int64_t count) {
    int64_t *in = malloc((size_t)count * sizeof *in);
    assert_non_null(in);
    for (int64_t i = 0; i < count; i++)
        in[i] = 3 * i - 7;
    return in;
}

static void run_and_check(crew_pool *p, int64_t count, const crew_map_opts *opts) {
    int64_t *in = ramp(count), *out = calloc((size_t)count, sizeof *out);
    crew_error err;
    assert_non_null(out);
    assert_ok(crew_map(p, counted, in, count, out, opts, &err), &err);
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(out[i], in[i] * in[i]);
        assert_int_equal(crewtest_get(CELL_ITEM + i), 1);
        crewtest_set(CELL_ITEM + i, 0);
    }
    free(in);
    free(out);
}

/* ---- chunks, schedules, sizes ------------------------------------------- */

static void map__each_schedule_and_chunk__every_item_runs_once_into_its_slot(void **state) {
    static const int64_t counts[] = {1, 2, 97, 1000};
    static const int64_t chunks[] = {0, 1, 2, 7, 64, 999, 1000, 5000};
    (void)state;
    crew_pool *p = crewtest_open(3);
    for (int schedule = CREW_SCHED_AUTO; schedule <= CREW_SCHED_GUIDED; schedule++)
        for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++)
            for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
                crew_map_opts opts = {.schedule = schedule, .chunk = chunks[c]};
                run_and_check(p, counts[n], &opts);
            }
    crewtest_free(p);
}

static void map__random_requests__every_item_runs_once(void **state) {
    (void)state;
    for (int round = 0; round < 8; round++) {
        crew_pool *p = crewtest_open(1 + (int)(crewtest_random() % 5));
        for (int i = 0; i < 10; i++) {
            crew_map_opts opts = {.schedule = (int)(crewtest_random() % 4),
                                  .chunk = (int64_t)(crewtest_random() % 50)};
            run_and_check(p, 1 + (int64_t)(crewtest_random() % 3000), &opts);
        }
        crewtest_free(p);
    }
}

static void map__no_items__succeeds_and_calls_nothing(void **state) {
    int64_t in = 1, out = 5;
    int status = 7;
    crew_error err, errors[2] = {{.code = -99}, {.code = -99}};
    crew_map_opts opts = {.statuses = &status, .errors = errors, .errors_cap = 2};
    (void)state;
    crew_pool *p = crewtest_open(2);
    assert_ok(crew_map(p, counted, &in, 0, &out, &opts, &err), &err);
    assert_ok(crew_map_index(p, counted, 0, &out, NULL, &err), &err);
    assert_ok(crew_pool_map(p, counted, NULL, 0, 0, NULL, 0, NULL, &err), &err);
    assert_ok(crew_pool_map(p, counted, NULL, sizeof in, 0, NULL, sizeof out, NULL, &err), &err);
    assert_int_equal(out, 5);
    assert_int_equal(status, 7);
    assert_int_equal(errors[0].code, 0);
    assert_int_equal(crewtest_get(CELL_ITEM), 0);
    crewtest_free(p);
}

static void map__no_error_struct__succeeds(void **state) {
    int64_t in[3] = {1, 2, 3}, out[3];
    (void)state;
    crew_pool *p = crewtest_open(2);
    assert_int_equal(crew_map(p, square_task, in, 3, out, NULL, NULL), 0);
    assert_int_equal(out[2], 9);
    assert_int_equal(crew_map(p, square_task, in, -3, out, NULL, NULL), CREW_EINVAL);
    crewtest_free(p);
}

static void map__a_million_small_items__all_are_right(void **state) {
    int64_t count = crewtest_many(1000000), *out = malloc((size_t)count * sizeof *out);
    crew_error err;
    (void)state;
    assert_non_null(out);
    crew_pool *p = crewtest_open(2);
    assert_ok(crew_map_index(p, square_task, count, out, NULL, &err), &err);
    for (int64_t i = 0; i < count; i++)
        if (out[i] != i * i)
            fail_msg("slot %ld holds %ld", (long)i, (long)out[i]);
    crewtest_free(p);
    free(out);
}

struct page {
    int64_t number;
    unsigned char text[5000];
};

static int turn_page(crew_call *call) {
    const struct page *in = CREW_IN(call, struct page);
    struct page *out = CREW_OUT(call, struct page);
    out->number = -in->number;
    for (size_t i = 0; i < sizeof in->text; i++)
        out->text[i] = in->text[sizeof in->text - 1 - i];
    return 0;
}

static void map__big_items_and_results__are_whole(void **state) {
    enum { COUNT = 300 };
    struct page *in = calloc(COUNT, sizeof *in), *out = calloc(COUNT, sizeof *out);
    crew_error err;
    (void)state;
    assert_true(in && out);
    for (int i = 0; i < COUNT; i++) {
        in[i].number = i;
        for (size_t j = 0; j < sizeof in->text; j++)
            in[i].text[j] = (unsigned char)((size_t)i * 31 + j);
    }
    crew_pool *p = crewtest_open(2);
    assert_ok(crew_map(p, turn_page, in, COUNT, out, NULL, &err), &err);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(out[i].number, -i);
        for (size_t j = 0; j < sizeof in->text; j++)
            if (out[i].text[j] != in[i].text[sizeof in->text - 1 - j])
                fail_msg("page %d, byte %zu", i, j);
    }
    crewtest_free(p);
    free(in);
    free(out);
}

/* A call's fields, as a task sees them. */
static int look_around(crew_call *call) {
    int workers = (int)*CREW_COMMON(call, int64_t);
    if (call->in_size != sizeof(int64_t) || *CREW_IN(call, int64_t) != call->index + 10)
        return crew_fail(call, 1, "item %d, size %d", (int)call->index, (int)call->in_size);
    bool elsewhere = !crewtest_has(CREWTEST_ONE_NODE) && call->node > 0;
    if (call->worker < 0 || call->worker >= workers || (call->node != 0 && !elsewhere) ||
        call->attempt != 1)
        return crew_fail(call, 2, "worker %d of %d, node %d, attempt %d", call->worker, workers,
                         call->node, call->attempt);
    if (!call->state || crew_cancelled(call) || crew_this_call() != call)
        return crew_fail(call, 3, "state %p", (void *)call->state);
    if (call->out_size != sizeof(int) || !call->out)
        return crew_fail(call, 4, "a slot of %d", (int)call->out_size);
    *CREW_OUT(call, int) = call->worker;
    return 0;
}

static void map__fields_of_a_call__are_what_the_header_says(void **state) {
    enum { COUNT = 500 };
    int out[COUNT];
    int64_t workers = crewtest_workers(3);
    crew_map_opts opts = {.first = 10, .common = &workers, .common_size = sizeof workers};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(3);
    assert_int_equal(crew_pool_workers(p), workers);
    assert_ok(crew_map_index(p, look_around, COUNT, out, &opts, &err), &err);
    assert_null(crew_this_call());
    crewtest_free(p);
}

/* ---- index maps, no results, common ------------------------------------- */

static int value_and_index(crew_call *call) {
    int64_t *out = CREW_OUT(call, int64_t);
    out[0] = *CREW_IN(call, int64_t);
    out[1] = call->index;
    return 0;
}

static void map_index__first_and_step__give_the_values(void **state) {
    static const struct {
        int64_t first, step;
    } cases[] = {
        {0, 0}, {0, 1}, {5, 0}, {-100, 7}, {10, -3}, {INT64_MIN, 1}, {1ll << 40, 1ll << 30}};
    enum { COUNT = 257 };
    int64_t out[COUNT][2];
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        crew_map_opts opts = {.first = cases[c].first, .step = cases[c].step};
        int64_t step = cases[c].step ? cases[c].step : 1;
        assert_ok(crew_map_index(p, value_and_index, COUNT, out, &opts, &err), &err);
        for (int64_t i = 0; i < COUNT; i++) {
            assert_int_equal(out[i][0], cases[c].first + i * step);
            assert_int_equal(out[i][1], i);
        }
    }
    crewtest_free(p);
}

static int no_slot(crew_call *call) {
    crewtest_add(CELL_ITEM + call->index, *CREW_IN(call, int));
    return call->out || call->out_size ? crew_fail(call, 1, "there is a slot") : 0;
}

static void each__items__run_without_results(void **state) {
    enum { COUNT = 1000 };
    int in[COUNT];
    crew_error err;
    (void)state;
    for (int i = 0; i < COUNT; i++)
        in[i] = i + 1;
    crew_pool *p = crewtest_open(2);
    assert_ok(crew_each(p, no_slot, in, COUNT, NULL, &err), &err);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(crewtest_get(CELL_ITEM + i), i + 1);
    crewtest_free(p);
}

static int check_common(crew_call *call) {
    const unsigned char *bytes = call->common;
    uint64_t sum = 0;
    for (size_t i = 0; i < call->common_size; i++)
        sum = sum * 31 + bytes[i];
    return crew_task_result(call, &sum, sizeof sum);
}

static void map__common_of_each_size__reaches_every_call(void **state) {
    static const size_t sizes[] = {0, 1, 8, 4096, 1 << 20};
    enum { COUNT = 40 };
    unsigned char *common = malloc(1 << 20);
    uint64_t out[COUNT];
    crew_error err;
    (void)state;
    assert_non_null(common);
    for (size_t i = 0; i < 1 << 20; i++)
        common[i] = (unsigned char)crewtest_random();
    crew_pool *p = crewtest_open(2);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        crew_map_opts opts = {.common = sizes[s] ? common : NULL, .common_size = sizes[s]};
        uint64_t want = 0;
        for (size_t i = 0; i < sizes[s]; i++)
            want = want * 31 + common[i];
        assert_ok(crew_map_index(p, check_common, COUNT, out, &opts, &err), &err);
        for (int i = 0; i < COUNT; i++)
            assert_true(out[i] == want);
    }
    crewtest_free(p);
    free(common);
}

static int answer(crew_call *call) {
    int64_t n = *CREW_IN(call, int64_t), wrong = -1, right = n + 1;
    crew_reply(call, &wrong, sizeof wrong);
    if (n % 2)
        *CREW_OUT(call, int64_t) = -2;
    return crew_reply(call, &right, sizeof right);
}

static int answer_short(crew_call *call) {
    return crew_reply(call, "abc", 3);
}

static void map__replies_in_place_of_slots__count_the_last(void **state) {
    int64_t out[50];
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    assert_ok(crew_map_index(p, answer, 50, out, NULL, &err), &err);
    for (int i = 0; i < 50; i++)
        assert_int_equal(out[i], i + 1);
    assert_code(crew_map_index(p, answer_short, 50, out, NULL, &err), CREW_EMISMATCH, &err);
    assert_int_equal(err.item, 0);
    assert_ok(crew_pool_map(p, answer_short, NULL, 0, 50, NULL, 0, NULL, &err), &err);
    crewtest_free(p);
}

/* ---- arrays in place ---------------------------------------------------- */

struct in_place {
    crew_array array;
    int64_t width; /* numbers an item */
};

/* Its item and its slot are the array's own memory. */
static int double_in_place(crew_call *call) {
    const struct in_place *place = CREW_COMMON(call, struct in_place);
    double *data = crew_array_data(place->array);
    if (!data)
        return crew_fail(call, 1, "no array");
    data += call->index * place->width;
    if (call->in != data || call->out != data)
        return crew_fail(call, 2, "in %p, out %p, not %p", call->in, call->out, (void *)data);
    for (int64_t i = 0; i < place->width; i++)
        data[i] *= 2;
    return 0;
}

static void double_twice(crew_pool *p, struct in_place place, int64_t shape[2]) {
    crew_map_opts opts = {.common = &place, .common_size = sizeof place};
    size_t size = (size_t)shape[1] * sizeof(double);
    double *data = crew_array_data(place.array);
    crew_error err;
    assert_non_null(data);
    assert_int_equal((uintptr_t)data % 64, 0);
    for (int64_t i = 0; i < shape[0] * shape[1]; i++) {
        assert_true(data[i] == 0);
        data[i] = (double)i;
    }
    for (int pass = 0; pass < 2; pass++)
        assert_ok(crew_pool_map(p, double_in_place, data, size, shape[0], data, size, &opts, &err),
                  &err);
    for (int64_t i = 0; i < shape[0] * shape[1]; i++)
        assert_true(data[i] == 4.0 * (double)i);
}

static void map__array_in_and_out__is_used_in_place(void **state) {
    int64_t shape[2] = {40, 1000};
    struct in_place before = {.width = shape[1]}, after = {.width = shape[1]};
    (void)state;
    crewtest_need(CREWTEST_ONE_NODE);
    assert_int_equal(crew_array_create(&before.array, CREW_F64, 2, shape, NULL), 0);
    crew_pool *p = crewtest_open(2);
    assert_int_equal(crew_array_create(&after.array, CREW_F64, 2, shape, NULL), 0);
    double_twice(p, before, shape);
    double_twice(p, after, shape);
    crewtest_free(p);
    assert_int_equal(crew_array_destroy(before.array), 0);
    assert_int_equal(crew_array_destroy(after.array), 0);
    assert_null(crew_array_data(before.array));
    assert_int_equal(crew_array_destroy(after.array), CREW_EINVAL);
}

static int fill_row(crew_call *call) {
    double *row = crew_array_row(*CREW_COMMON(call, crew_array), call->index);
    if (!row)
        return crew_fail(call, 1, "no row");
    for (int i = 0; i < 100; i++)
        row[i] = (double)(call->index * 100 + i);
    return 0;
}

static void map__array_in_common__is_written_by_the_workers(void **state) {
    int64_t shape[2] = {200, 100}, have[3] = {0};
    crew_array array;
    crew_error err;
    crew_map_opts opts = {.common = &array, .common_size = sizeof array};
    (void)state;
    crewtest_need(CREWTEST_ONE_NODE);
    crew_pool *p = crewtest_open(2);
    assert_int_equal(crew_array_create(&array, CREW_F64, 2, shape, NULL), 0);
    assert_int_equal(crew_array_shape(array, have, 3), 2);
    assert_true(have[0] == 200 && have[1] == 100);
    assert_ok(crew_pool_map(p, fill_row, NULL, 0, 200, NULL, 0, &opts, &err), &err);
    const double *data = crew_array_data(array);
    for (int i = 0; i < 200 * 100; i++)
        assert_true(data[i] == (double)i);
    assert_int_equal(crew_array_destroy(array), 0);
    crewtest_free(p);
}

/* ---- time --------------------------------------------------------------- */

/* Runs until nobody wants it any more: with the calling thread alone too. */
static int endless(crew_call *call) {
    double limit = crewtest_now() + 30;
    crewtest_add(CELL_STARTED, 1);
    while (!crew_cancelled(call) && crewtest_now() < limit)
        crewtest_pause();
    return 9;
}

static void map__timeout_passes__ends_it_in_time_and_the_pool_works_on(void **state) {
    int64_t out[20];
    crew_map_opts opts = {.timeout = 0.2, .chunk = 1};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    double begin = crewtest_now();
    assert_code(crew_map_index(p, endless, 20, out, &opts, &err), CREW_ETIMEDOUT, &err);
    assert_true(crewtest_now() - begin >= 0.19);
    assert_within(begin, 5);
    assert_usable(p);
    crewtest_free(p);
}

static void map__timeout_not_reached__changes_nothing(void **state) {
    int64_t out[200];
    crew_map_opts opts = {.timeout = 30};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    assert_ok(crew_map_index(p, square_task, 200, out, &opts, &err), &err);
    assert_int_equal(out[199], 199 * 199);
    crewtest_free(p);
}

/* ---- async maps --------------------------------------------------------- */

struct told {
    _Atomic int calls;
    crew_job *_Atomic job;
};

static void tell(void *ctx, crew_job *job) {
    struct told *told = ctx;
    atomic_store(&told->job, job);
    atomic_fetch_add(&told->calls, 1);
}

static void map_async__gate_closed__waits_then_gives_the_result(void **state) {
    int64_t in[3] = {CELL_GATE, CELL_GATE, CELL_GATE}, out[3] = {0};
    struct told told = {0};
    crew_map_opts opts = {.done = tell, .ctx = &told};
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(2);
    crewtest_set(CELL_GATE, 0);
    crew_job *job =
        crew_map_async(p, crewtest_gated_task, in, sizeof *in, 3, out, sizeof *out, &opts, &err);
    assert_non_null(job);
    memset(in, 0xff, sizeof in); /* copied: nobody waits at gate -1 */
    assert_int_equal(crew_job_wait(job, 0), CREW_ETIMEDOUT);
    assert_int_equal(crew_job_wait(job, 0.01), CREW_ETIMEDOUT);
    assert_code(crew_job_get(job, 0, &err), CREW_ETIMEDOUT, &err);
    assert_false(crew_job_ready(job));
    assert_int_equal(atomic_load(&told.calls), 0);
    crewtest_set(CELL_GATE, 1);
    assert_ok(crew_job_get(job, 10, &err), &err);
    assert_int_equal(atomic_load(&told.calls), 1);
    assert_ptr_equal(atomic_load(&told.job), job);
    assert_true(crew_job_ready(job));
    assert_int_equal(crew_job_wait(job, 0), 0);
    assert_ok(crew_job_get(job, 0, &err), &err);
    for (int i = 0; i < 3; i++)
        assert_int_equal(out[i], CELL_GATE);
    crew_job_free(job);
    crewtest_free(p);
}

static void map_async__many_at_once__each_has_its_own_results(void **state) {
    enum { JOBS = 40, COUNT = 100 };
    static int64_t out[JOBS][COUNT];
    struct told told = {0};
    crew_job *jobs[JOBS];
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (int j = 0; j < JOBS; j++) {
        crew_map_opts opts = {.first = j * 1000, .done = tell, .ctx = &told};
        jobs[j] = crew_map_async(p, square_task, NULL, 0, COUNT, out[j], sizeof **out, &opts, &err);
        assert_non_null(jobs[j]);
    }
    for (int j = JOBS - 1; j >= 0; j--) {
        assert_ok(crew_job_get(jobs[j], 20, &err), &err);
        for (int64_t i = 0; i < COUNT; i++)
            assert_int_equal(out[j][i], (j * 1000 + i) * (j * 1000 + i));
        crew_job_free(jobs[j]);
    }
    assert_int_equal(atomic_load(&told.calls), JOBS);
    crewtest_free(p);
}

static void map_async__cancelled__ends_in_time(void **state) {
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(2);
    crew_job *job = crew_map_async(p, endless, NULL, 0, 100, NULL, 0, NULL, &err);
    assert_non_null(job);
    assert_true(crewtest_reached(CELL_STARTED, 1, 10));
    double begin = crewtest_now();
    assert_true(crew_job_cancel(job) >= 0);
    assert_code(crew_job_get(job, 10, &err), CREW_ECANCELLED, &err);
    assert_within(begin, 5);
    crew_job_free(job);
    assert_usable(p);
    crewtest_free(p);
}

static void map_async__freed_while_it_runs__is_cancelled_and_ends(void **state) {
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(2);
    crew_job *job = crew_map_async(p, endless, NULL, 0, 100, NULL, 0, NULL, &err);
    assert_non_null(job);
    assert_true(crewtest_reached(CELL_STARTED, 1, 10));
    double begin = crewtest_now();
    crew_job_free(job);
    assert_within(begin, 5);
    assert_usable(p);
    crewtest_free(p);
}

static void map_async__failing_and_empty__have_the_maps_result(void **state) {
    struct told told = {0};
    crew_map_opts opts = {.done = tell, .ctx = &told};
    int64_t in[2] = {1, 2}, out[2];
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_job *job =
        crew_map_async(p, answer_short, in, sizeof *in, 2, out, sizeof *out, &opts, &err);
    assert_non_null(job);
    assert_code(crew_job_get(job, 10, &err), CREW_EMISMATCH, &err);
    assert_int_equal(atomic_load(&told.calls), 1);
    crew_job_free(job);
    job = crew_map_async(p, square_task, in, sizeof *in, 0, out, sizeof *out, &opts, &err);
    assert_non_null(job);
    assert_ok(crew_job_get(job, 10, &err), &err);
    assert_int_equal(atomic_load(&told.calls), 2);
    crew_job_free(job);
    crewtest_free(p);
}

/* ---- bad requests ------------------------------------------------------- */

static int64_t add_common(int64_t n, const int64_t *more) {
    return n + *more;
}
CREW_TASK_WITH(add_common, int64_t, int64_t, int64_t)

static void map__sizes_that_do_not_fit_the_task__are_refused_at_the_call(void **state) {
    int64_t in[2] = {1, 2}, out[2] = {-7, -7}, more = 5;
    int small[2] = {1, 2};
    char common = 0;
    crew_map_opts with = {.common = &more, .common_size = sizeof more};
    crew_map_opts wrong = {.common = &common, .common_size = sizeof common};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    assert_code(crew_map(p, square_task, small, 2, out, NULL, &err), CREW_EMISMATCH, &err);
    assert_text(err.text, "8");
    assert_text(err.text, "4");
    assert_code(crew_map(p, square_task, in, 2, small, NULL, &err), CREW_EMISMATCH, &err);
    assert_code(crew_map(p, add_common_task, in, 2, out, NULL, &err), CREW_EMISMATCH, &err);
    assert_code(crew_map(p, add_common_task, in, 2, out, &wrong, &err), CREW_EMISMATCH, &err);
    assert_int_equal(out[0], -7);
    assert_int_equal(small[0], 1);
    assert_ok(crew_map(p, add_common_task, in, 2, out, &with, &err), &err);
    assert_int_equal(out[1], 7);
    crewtest_free(p);
}

static void map__bad_requests__are_errors_in_a_sentence_and_change_nothing(void **state) {
    int64_t in[4] = {1, 2, 3, 4}, out[4] = {-7, -7, -7, -7};
    int status[4] = {5, 5, 5, 5};
    crew_error err;
    const struct {
        crew_fn *fn;
        const void *in;
        size_t in_size;
        int64_t count;
        void *out;
        size_t out_size;
        crew_map_opts opts;
    } cases[] = {
        {NULL, in, 8, 4, out, 8, {0}},
        {counted, in, 8, -1, out, 8, {0}},
        {counted, in, 8, INT64_MIN, out, 8, {0}},
        {counted, in, 8, INT64_MAX, out, 8, {0}},
        {counted, NULL, 0, INT64_MAX, out, 8, {0}},
        {counted, in, SIZE_MAX, 4, out, 8, {0}},
        {counted, in, 8, 4, out, SIZE_MAX, {0}},
        {counted, NULL, 8, 4, out, 8, {0}},
        {counted, in, 8, 4, NULL, 8, {0}},
        {counted, in, 8, 4, out, 8, {.chunk = -1}},
        {counted, in, 8, 4, out, 8, {.schedule = 17}},
        {counted, in, 8, 4, out, 8, {.schedule = -1}},
        {counted, in, 8, 4, out, 8, {.on_error = 2}},
        {counted, in, 8, 4, out, 8, {.errors_cap = -1}},
        {counted, in, 8, 4, out, 8, {.errors_cap = 3}},
        {counted, in, 8, 4, out, 8, {.common_size = 8}},
    };
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        crew_map_opts opts = cases[i].opts;
        opts.statuses = status;
        int rc = crew_pool_map(p, cases[i].fn, cases[i].in, cases[i].in_size, cases[i].count,
                               cases[i].out, cases[i].out_size, &opts, &err);
        if (rc != CREW_EINVAL)
            print_error("case %zu\n", i);
        assert_code(rc, CREW_EINVAL, &err);
        assert_null(crew_map_async(p, cases[i].fn, cases[i].in, cases[i].in_size, cases[i].count,
                                   cases[i].out, cases[i].out_size, &opts, &err));
        assert_int_equal(err.code, CREW_EINVAL);
    }
    assert_code(crew_pool_map(NULL, counted, in, 8, 4, out, 8, NULL, &err), CREW_EINVAL, &err);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(out[i], -7);
        assert_int_equal(status[i], 5);
        assert_int_equal(crewtest_get(CELL_ITEM + i), 0);
    }
    assert_usable(p);
    crewtest_free(p);
}

static void map__pointers_that_are_no_functions__are_refused_with_the_reason(void **state) {
    static int64_t data[4];
    int64_t stack[4] = {0}, *heap = calloc(4, sizeof *heap);
    const struct {
        void *at;
        const char *reason;
    } places[] = {
        {stack, "a nested function's pointer"},
        {heap, "heap"},
        {data, "is data of"},
        {(void *)(uintptr_t)0x1234, "no address of this program's memory"},
    };
    crew_error err;
    (void)state;
    assert_non_null(heap);
    crew_pool *p = crewtest_open(2);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        crew_fn *fn = (crew_fn *)(uintptr_t)places[i].at;
        assert_code(crew_map_index(p, fn, 4, data, NULL, &err), CREW_EINVAL, &err);
        assert_text(err.text, places[i].reason);
        assert_null(crew_submit(p, fn, NULL, 0, NULL, &err));
        assert_int_equal(err.code, CREW_EINVAL);
        assert_text(err.text, places[i].reason);
    }
    assert_usable(p);
    crewtest_free(p);
    free(heap);
}

/* plugin.c's square, from a library that nothing else needs. */
#ifndef CREW_TEST_PLUGIN
#define CREW_TEST_PLUGIN "plugin.so"
#endif
static crew_fn *load_square(void **library) {
    *library = dlopen(CREW_TEST_PLUGIN, RTLD_NOW | RTLD_LOCAL);
    if (!*library)
        fail_msg("%s", dlerror());
    crew_fn *fn = (crew_fn *)(uintptr_t)dlsym(*library, "plugin_square_task");
    assert_non_null(fn);
    return fn;
}

static void map__function_of_a_loaded_library__runs(void **state) {
    void *library = NULL;
    int64_t out[50];
    crew_error err;
    (void)state;
    /* Their workers have what the program had at crew_init. */
    crewtest_not_on("server");
    crewtest_not_on("spawn");
    crewtest_not_on("ranks");
    crewtest_not_on("mpi");
    crew_fn *fn = load_square(&library);
    crew_pool *p = crewtest_open(2);
    assert_ok(crew_map_index(p, fn, 50, out, NULL, &err), &err);
    for (int64_t i = 0; i < 50; i++)
        assert_int_equal(out[i], i * i);
    crewtest_free(p);
    dlclose(library);
}

static void map__function_of_a_library_loaded_later__is_refused_with_the_reason(void **state) {
    void *library = NULL;
    int64_t out[4];
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crew_pool *p = crewtest_open(2);
    crew_fn *fn = load_square(&library);
    assert_code(crew_map_index(p, fn, 4, out, NULL, &err), CREW_EINVAL, &err);
    assert_text(err.text, "loaded after");
    assert_text(err.text, strcmp(crewtest_backend(), "server") == 0 ||
                                  strcmp(crewtest_backend(), "ranks") == 0 ||
                                  crewtest_on_ranks()
                              ? "before crew_init"
                          : strcmp(crewtest_backend(), "spawn") == 0 ? "runs main"
                                                                     : "open the pool after");
    assert_usable(p);
    crewtest_free(p);
    dlclose(library);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(map__each_schedule_and_chunk__every_item_runs_once_into_its_slot),
        CREWTEST(map__random_requests__every_item_runs_once),
        CREWTEST(map__no_items__succeeds_and_calls_nothing),
        CREWTEST(map__no_error_struct__succeeds),
        CREWTEST(map__a_million_small_items__all_are_right),
        CREWTEST(map__big_items_and_results__are_whole),
        CREWTEST(map__fields_of_a_call__are_what_the_header_says),
        CREWTEST(map_index__first_and_step__give_the_values),
        CREWTEST(each__items__run_without_results),
        CREWTEST(map__common_of_each_size__reaches_every_call),
        CREWTEST(map__replies_in_place_of_slots__count_the_last),
        CREWTEST(map__array_in_and_out__is_used_in_place),
        CREWTEST(map__array_in_common__is_written_by_the_workers),
        CREWTEST(map__timeout_passes__ends_it_in_time_and_the_pool_works_on),
        CREWTEST(map__timeout_not_reached__changes_nothing),
        CREWTEST(map_async__gate_closed__waits_then_gives_the_result),
        CREWTEST(map_async__many_at_once__each_has_its_own_results),
        CREWTEST(map_async__cancelled__ends_in_time),
        CREWTEST(map_async__freed_while_it_runs__is_cancelled_and_ends),
        CREWTEST(map_async__failing_and_empty__have_the_maps_result),
        CREWTEST(map__sizes_that_do_not_fit_the_task__are_refused_at_the_call),
        CREWTEST(map__bad_requests__are_errors_in_a_sentence_and_change_nothing),
        CREWTEST(map__pointers_that_are_no_functions__are_refused_with_the_reason),
        CREWTEST(map__function_of_a_loaded_library__runs),
        CREWTEST(map__function_of_a_library_loaded_later__is_refused_with_the_reason),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
