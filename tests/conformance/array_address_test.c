/* conformance/array_address_test.c - addresses of arrays that one process has found
 * and another uses, where an array with a guard was before. */
#include "crewtest.h"

#include <string.h>

/* So large that the memory of what was before is not kept. */
enum { ELEMENTS = 3 << 19, BEFORE = 1 << 20, ITEMS = 16 };

/* An address has no meaning in a worker that is a program of its own, nor in that
 * of another rank. */
static void need_one_place(void) {
    crewtest_not_on("spawn");
    crewtest_not_on("ranks");
    crewtest_not_on("mpi");
}

typedef double *address;

static address global;

static int touch(crew_call *call) {
    double *data = crew_array_data(*CREW_COMMON(call, crew_array));
    if (!data)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    data[call->index] += 1;
    return 0;
}

/* Every worker has come by it, so has its guard. */
static int touch_once(crew_call *call) {
    double *data = crew_array_data(*(const crew_array *)call->in);
    return data ? 0 : crew_fail(call, 1, "%s", crew_last_error()->text);
}

static int write_part(double *data, int64_t index) {
    for (int64_t i = index; i < ELEMENTS; i += ITEMS)
        data[i] = (double)i;
    return 0;
}

static int write_global(crew_call *call) {
    return write_part(global, call->index);
}

static int write_common(crew_call *call) {
    return write_part(*CREW_COMMON(call, address), call->index);
}

static int write_item(crew_call *call) {
    return write_part(*CREW_IN(call, address), call->index);
}

static void check_written(double *data) {
    for (int64_t i = 0; i < ELEMENTS; i++)
        if (data[i] != (double)i)
            fail_msg("element %ld is %g", (long)i, data[i]);
    memset(data, 0, ELEMENTS * sizeof *data);
}

/* An array of which all workers of p have a guard. */
static crew_array guarded(crew_pool *p) {
    const int64_t n = BEFORE;
    crew_array a;
    crew_error err;
    const crew_map_opts opts = {.common = &a, .common_size = sizeof a};
    assert_ok(crew_array_create(&a, CREW_F64, 1, &n, NULL), NULL);
    assert_ok(crew_pool_map(p, touch, NULL, 0, ITEMS, NULL, 0, &opts, &err), &err);
    assert_ok(crew_pool_each(p, touch_once, &a, sizeof a, &err), &err);
    return a;
}

/* One over the place of another that all had a guard of, and whose guard is in its
 * middle. */
static crew_array over_the_place(crew_pool *p, double **data) {
    const int64_t n = ELEMENTS;
    for (int tries = 0; tries < 20; tries++) {
        crew_array before = guarded(p), a;
        double *end = (double *)crew_array_data(before) + BEFORE;
        assert_ok(crew_array_destroy(before), NULL);
        assert_ok(crew_array_create(&a, CREW_F64, 1, &n, NULL), NULL);
        *data = crew_array_data(a);
        if (*data < end && end < *data + ELEMENTS)
            return a;
        assert_ok(crew_array_destroy(a), NULL); /* it came to lie elsewhere */
    }
    fail_msg("no array comes to lie where another was");
    return (crew_array){0};
}

static void address__in_a_global_before_the_pool_opens__is_good_in_its_workers(void **state) {
    (void)state;
    crew_error err;
    need_one_place();
    crewtest_not_on("server"); /* globals as at crew_init */
    crew_pool *first = crewtest_open(2);
    for (int round = 0; round < 3; round++) {
        crew_array a = over_the_place(first, &global);
        crew_pool *p = crewtest_open(2);
        assert_ok(crew_pool_map(p, write_global, NULL, 0, ITEMS, NULL, 0, NULL, &err), &err);
        check_written(global);
        crewtest_free(p);
        assert_ok(crew_array_destroy(a), NULL);
    }
    crewtest_free(first);
}

static void address__in_common_or_an_item__is_good_in_workers_that_were_there(void **state) {
    (void)state;
    crew_error err;
    double *data;
    need_one_place();
    crew_pool *p = crewtest_open(2);
    for (int round = 0; round < 3; round++) {
        crew_array a = over_the_place(p, &data);
        const crew_map_opts opts = {.common = &data, .common_size = sizeof data};
        assert_ok(crew_pool_map(p, write_common, NULL, 0, ITEMS, NULL, 0, &opts, &err), &err);
        check_written(data);
        assert_ok(crew_array_destroy(a), NULL);
        a = over_the_place(p, &data);
        double *items[ITEMS];
        for (int i = 0; i < ITEMS; i++)
            items[i] = data;
        assert_ok(crew_pool_map(p, write_item, items, sizeof *items, ITEMS, NULL, 0, NULL, &err),
                  &err);
        check_written(data);
        assert_ok(crew_array_destroy(a), NULL);
    }
    crewtest_free(p);
}

static void address__given_to_a_submitted_task__is_good(void **state) {
    (void)state;
    crew_error err;
    double *data;
    need_one_place();
    crew_pool *p = crewtest_open(2);
    for (int round = 0; round < 3; round++) {
        crew_array a = over_the_place(p, &data);
        for (int64_t i = 0; i < ITEMS; i++) {
            const crew_submit_opts opts = {.index = i};
            crew_future *f = crew_submit(p, write_item, &data, sizeof data, &opts, &err);
            assert_non_null(f);
            assert_ok(crew_future_result(f, NULL, 0, 30, &err), &err);
            crew_future_free(f);
        }
        check_written(data);
        assert_ok(crew_array_destroy(a), NULL);
    }
    crewtest_free(p);
}

struct talk {
    crew_queue down, up;
    crew_dict dict;
    crew_event event;
};

/* Runs all the time: it has the guard, hears that the array was destroyed from
 * nobody, and is then told the address of another. */
static int listen(crew_call *call) {
    const struct talk *talk = CREW_COMMON(call, struct talk);
    for (int round = 0;; round++) {
        crew_array before;
        double *data;
        if (crew_queue_get(talk->down, &before, sizeof before, 30) != sizeof before)
            return 0;
        if (!crew_array_data(before))
            return crew_fail(call, 1, "%s", crew_last_error()->text);
        if (crew_queue_put(talk->up, "", 1, 30) != 0)
            return crew_fail(call, 2, "%s", crew_last_error()->text);
        ptrdiff_t got = round % 2 == 0 ? crew_queue_get(talk->down, &data, sizeof data, 30)
                                       : crew_dict_get(talk->dict, &round, sizeof round, &data,
                                                       sizeof data, 30);
        if (got != sizeof data)
            return crew_fail(call, 3, "%s", crew_last_error()->text);
        for (int i = 0; i < ITEMS; i++)
            write_part(data, i);
        if (crew_queue_put(talk->up, "", 1, 30) != 0)
            return crew_fail(call, 4, "%s", crew_last_error()->text);
    }
}

static void address__told_to_a_task_that_runs__is_good(void **state) {
    (void)state;
    crew_error err;
    struct talk talk;
    char byte;
    const int64_t small = BEFORE, large = ELEMENTS;
    crewtest_need(CREWTEST_ASYNC);
    need_one_place();
    assert_int_equal(crew_queue_create(&talk.down, 0, NULL), 0);
    assert_int_equal(crew_queue_create(&talk.up, 0, NULL), 0);
    assert_int_equal(crew_dict_create(&talk.dict), 0);
    crew_pool *p = crewtest_open(1);
    const crew_submit_opts opts = {.common = &talk, .common_size = sizeof talk};
    crew_future *f = crew_submit(p, listen, NULL, 0, &opts, &err);
    assert_non_null(f);
    for (int round = 0; round < 6; round++) {
        crew_array before, a;
        assert_ok(crew_array_create(&before, CREW_F64, 1, &small, NULL), NULL);
        assert_int_equal(crew_queue_put(talk.down, &before, sizeof before, 30), 0);
        assert_int_equal(crew_queue_get(talk.up, &byte, 1, 30), 1);
        assert_ok(crew_array_destroy(before), NULL);
        assert_ok(crew_array_create(&a, CREW_F64, 1, &large, NULL), NULL);
        double *data = crew_array_data(a);
        if (round % 2 == 0)
            assert_int_equal(crew_queue_put(talk.down, &data, sizeof data, 30), 0);
        else
            assert_int_equal(crew_dict_set(talk.dict, &round, sizeof round, &data, sizeof data), 0);
        if (crew_queue_get(talk.up, &byte, 1, 30) != 1) {
            crew_future_result(f, NULL, 0, 0, &err);
            fail_msg("round %d: %s", round, err.text);
        }
        check_written(data);
        assert_ok(crew_array_destroy(a), NULL);
    }
    assert_int_equal(crew_queue_close(talk.down), 0);
    assert_ok(crew_future_result(f, NULL, 0, 30, &err), &err);
    crew_future_free(f);
    crewtest_free(p);
    crew_queue_destroy(talk.down);
    crew_queue_destroy(talk.up);
    crew_dict_destroy(talk.dict);
}

/* Made by a worker, over the place of one that this process had a guard of. */
static int make_and_tell(crew_call *call) {
    const int64_t n = ELEMENTS;
    struct {
        crew_array array;
        double *data;
    } *out = call->out;
    if (crew_array_destroy(*CREW_IN(call, crew_array)) < 0 ||
        crew_array_create(&out->array, CREW_F64, 1, &n, NULL) < 0)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    out->data = crew_array_data(out->array);
    return 0;
}

static void address__in_a_result__is_good_here(void **state) {
    (void)state;
    crew_error err;
    need_one_place();
    crew_pool *p = crewtest_open(2);
    for (int round = 0; round < 3; round++) {
        crew_array before = guarded(p);
        struct {
            crew_array array;
            double *data;
        } out;
        assert_ok(crew_pool_map(p, make_and_tell, &before, sizeof before, 1, &out, sizeof out,
                                NULL, &err), &err);
        for (int i = 0; i < ITEMS; i++)
            write_part(out.data, i);
        check_written(out.data);
        assert_ok(crew_array_destroy(out.array), NULL);
    }
    crewtest_free(p);
}

/* Guards are still there, of those that are. */
static int write_behind(crew_call *call) {
    volatile double *data = *CREW_IN(call, address);
    data[BEFORE] = 1;
    return 0;
}

static void guard__of_an_array_that_is_there__stays_when_others_go(void **state) {
    (void)state;
    crew_error err;
    crewtest_need(CREWTEST_PROCESSES);
    need_one_place();
    crew_pool *p = crewtest_open(1);
    crew_array kept = guarded(p);
    double *data = crew_array_data(kept);
    assert_int_equal((uintptr_t)(data + BEFORE) % 4096, 0); /* nothing between it and its guard */
    for (int i = 0; i < 20; i++)
        assert_ok(crew_array_destroy(guarded(p)), NULL);
    assert_code(crew_apply(p, write_behind, &data, sizeof data, NULL, 0, &err), CREW_EDIED, &err);
    assert_text(err.text, "signal 11");
    crewtest_free(p);
    assert_ok(crew_array_destroy(kept), NULL);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(address__in_a_global_before_the_pool_opens__is_good_in_its_workers),
        CREWTEST(address__in_common_or_an_item__is_good_in_workers_that_were_there),
        CREWTEST(address__given_to_a_submitted_task__is_good),
        CREWTEST(address__told_to_a_task_that_runs__is_good),
        CREWTEST(address__in_a_result__is_good_here),
        CREWTEST(guard__of_an_array_that_is_there__stays_when_others_go),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
