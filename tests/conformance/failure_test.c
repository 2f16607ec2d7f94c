/* conformance/failure_test.c - items that fail: STOP and CONTINUE, statuses,
 * errors, and what the messages say. Workers that die are fault/'s. */
#include "crewtest.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { FAILED = 41 };

/* Fails the last of every so many items as common says (0: none). */
static int fragile(crew_call *call) {
    int64_t n = *CREW_IN(call, int64_t), every = *CREW_COMMON(call, int64_t);
    crewtest_add(CELL_ITEM + call->index, 1);
    if (every && n % every == every - 1)
        return crew_fail(call, FAILED, "number %d is bad", (int)n);
    return crew_task_result(call, &n, sizeof n);
}
static crew_map_opts every(int64_t *n, int on_error) {
    crew_map_opts opts = {.common = n, .common_size = sizeof *n, .on_error = on_error};
    return opts;
}

/* ---- CONTINUE ----------------------------------------------------------- */

static void map__continue__keeps_all_others_and_their_statuses(void **state) {
    enum { COUNT = 500 };
    int64_t out[COUNT], seven = 7;
    int statuses[COUNT];
    crew_map_opts opts = every(&seven, CREW_CONTINUE);
    crew_error err;
    (void)state;
    opts.statuses = statuses;
    crew_pool *p = crewtest_open(3);
    for (opts.schedule = 0; opts.schedule < 4; opts.schedule++) {
        memset(statuses, 0x55, sizeof statuses);
        assert_code(crew_map_index(p, fragile, COUNT, out, &opts, &err), CREW_EFAILED, &err);
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(crewtest_get(CELL_ITEM + i), opts.schedule + 1);
            assert_int_equal(statuses[i], i % 7 == 6 ? CREW_EFAILED : 0);
            if (!statuses[i])
                assert_int_equal(out[i], i);
        }
        assert_int_equal(err.item, 6);
        assert_int_equal(err.task_code, FAILED);
    }
    crewtest_free(p);
}

static void map__continue_without_failures__is_a_success(void **state) {
    enum { COUNT = 50 };
    int64_t out[COUNT], none = 0;
    int statuses[COUNT];
    crew_error err, errors[3];
    crew_map_opts opts = every(&none, CREW_CONTINUE);
    (void)state;
    memset(statuses, 0x55, sizeof statuses);
    memset(errors, 0x55, sizeof errors);
    opts.statuses = statuses;
    opts.errors = errors;
    opts.errors_cap = 3;
    crew_pool *p = crewtest_open(2);
    assert_ok(crew_map_index(p, fragile, COUNT, out, &opts, &err), &err);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(statuses[i], 0);
    assert_int_equal(errors[0].code, 0);
    crewtest_free(p);
}

static void map__errors__are_the_first_ones_in_index_order(void **state) {
    static const int64_t caps[] = {1, 5, 13, 14, 20};
    enum { COUNT = 100, BAD = 14, MOST = 20 }; /* 6, 13, ... 97 */
    int64_t out[COUNT], seven = 7;
    crew_error err, errors[MOST + 1];
    (void)state;
    crew_pool *p = crewtest_open(3);
    for (size_t c = 0; c < sizeof caps / sizeof *caps; c++) {
        crew_map_opts opts = every(&seven, CREW_CONTINUE);
        memset(errors, 0x55, sizeof errors);
        opts.errors = errors;
        opts.errors_cap = caps[c];
        opts.chunk = 1 + (int64_t)c;
        assert_code(crew_map_index(p, fragile, COUNT, out, &opts, &err), CREW_EFAILED, &err);
        int64_t have = caps[c] < BAD ? caps[c] : BAD;
        for (int64_t i = 0; i < have; i++) {
            assert_int_equal(errors[i].code, CREW_EFAILED);
            assert_int_equal(errors[i].item, 7 * i + 6);
            assert_int_equal(errors[i].task_code, FAILED);
            assert_text(errors[i].text, "is bad");
        }
        if (have < caps[c])
            assert_int_equal(errors[have].code, 0);
        assert_int_equal(errors[caps[c]].code, 0x55555555); /* not a step too far */
    }
    crewtest_free(p);
}

static void map__all_fail__every_status_says_so(void **state) {
    enum { COUNT = 3000 };
    static int statuses[COUNT];
    int64_t one = 1;
    crew_map_opts opts = every(&one, CREW_CONTINUE);
    crew_error err;
    (void)state;
    opts.statuses = statuses;
    crew_pool *p = crewtest_open(2);
    assert_code(crew_pool_map(p, fragile, NULL, 0, COUNT, NULL, 0, &opts, &err), CREW_EFAILED,
                &err);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(statuses[i], CREW_EFAILED);
    assert_int_equal(err.item, 0);
    crewtest_free(p);
}

/* ---- STOP --------------------------------------------------------------- */

/* Fails the items whose cell is set, after a while that differs from item to
 * item and run to run, so that higher ones often fail first. */
static int marked(crew_call *call) {
    int64_t run = *CREW_COMMON(call, int64_t);
    uint64_t spin = crewtest_mix((uint64_t)(run * 1000 + call->index)) % 3000;
    for (uint64_t i = 0; i < spin; i++)
        __asm__ volatile("" : "+r"(i));
    if (crewtest_get(CELL_ITEM + call->index))
        return crew_fail(call, FAILED, "mark at %d", (int)call->index);
    return crew_task_result(call, &call->index, sizeof call->index);
}

static void map__stop__names_the_lowest_failing_index_in_100_runs(void **state) {
    enum { COUNT = 400 };
    int64_t out[COUNT];
    int statuses[COUNT];
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(4);
    for (int64_t run = 0; run < 100; run++) {
        int lowest = COUNT;
        crew_map_opts opts = every(&run, CREW_STOP);
        opts.chunk = run % 3 * 5;
        opts.schedule = (int)(run % 4);
        opts.statuses = statuses;
        for (int i = 0; i < COUNT; i++)
            crewtest_set(CELL_ITEM + i, 0);
        for (int i = 0; i < 6; i++) {
            int bad = 20 + (int)(crewtest_random() % (COUNT - 20));
            crewtest_set(CELL_ITEM + bad, 1);
            lowest = bad < lowest ? bad : lowest;
        }
        memset(statuses, 0x55, sizeof statuses);
        assert_code(crew_map_index(p, marked, COUNT, out, &opts, &err), CREW_EFAILED, &err);
        assert_int_equal(err.item, lowest);
        assert_int_equal(err.task_code, FAILED);
        for (int i = 0; i < lowest; i++) {
            assert_int_equal(statuses[i], 0);
            assert_int_equal(out[i], i);
        }
        assert_int_equal(statuses[lowest], CREW_EFAILED);
    }
    crewtest_free(p);
}

static void map__stop__starts_nothing_much_above_the_failure(void **state) {
    enum { COUNT = 100000 };
    int64_t one = 1, ran = 0;
    crew_map_opts opts = every(&one, CREW_STOP);
    crew_error err;
    (void)state;
    opts.chunk = 10;
    crew_pool *p = crewtest_open(2);
    assert_code(crew_pool_map(p, fragile, NULL, 0, COUNT, NULL, 0, &opts, &err), CREW_EFAILED,
                &err);
    assert_int_equal(err.item, 0);
    for (int64_t i = 0; i < COUNT; i++)
        ran += crewtest_get(CELL_ITEM + i);
    assert_in_range(ran, 1, COUNT / 2);
    assert_usable(p);
    crewtest_free(p);
}

static void map__stop_with_errors__the_first_is_the_lowest(void **state) {
    int64_t ten = 10;
    crew_error err, errors[4];
    crew_map_opts opts = every(&ten, CREW_STOP);
    (void)state;
    opts.errors = errors;
    opts.errors_cap = 4;
    crew_pool *p = crewtest_open(2);
    assert_code(crew_pool_map(p, fragile, NULL, 0, 1000, NULL, 0, &opts, &err), CREW_EFAILED, &err);
    assert_int_equal(err.item, 9);
    assert_int_equal(errors[0].code, CREW_EFAILED);
    assert_int_equal(errors[0].item, 9);
    crewtest_free(p);
}

/* ---- what an error says ------------------------------------------------- */

static int gives_code(crew_call *call) {
    return (int)*CREW_IN(call, int64_t);
}

static void map__codes_of_tasks__arrive_as_they_are(void **state) {
    static const int64_t codes[] = {1, 7, 255, 256, -1, INT_MAX, INT_MIN, CREW_EDIED};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        assert_code(crew_pool_map(p, gives_code, &codes[i], 8, 1, NULL, 0, NULL, &err),
                    CREW_EFAILED, &err);
        assert_int_equal(err.task_code, codes[i]);
        assert_int_equal(err.item, 0);
        assert_int_equal(err.attempt, 1);
        assert_int_equal(err.worker, 0);
        assert_int_equal(err.signal, 0);
    }
    crewtest_free(p);
}

static int long_winded(crew_call *call) {
    char text[5000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    if (*CREW_IN(call, int64_t))
        crew_fail(call, 1, "the first word");
    return crew_fail(call, 3, "begins here %s", text);
}

static void map__message_longer_than_the_field__is_cut_and_terminated(void **state) {
    crew_error err;
    int64_t last = 1;
    (void)state;
    crew_pool *p = crewtest_open(1);
    assert_code(crew_pool_map(p, long_winded, NULL, 0, 1, NULL, 0, NULL, &err), CREW_EFAILED, &err);
    assert_text(err.text, "begins here xxx");
    assert_true(memchr(err.text, 0, sizeof err.text) != NULL);
    assert_code(crew_pool_map(p, long_winded, &last, 8, 1, NULL, 0, NULL, &err), CREW_EFAILED,
                &err);
    assert_int_equal(err.task_code, 3);
    assert_text(err.text, "begins here");
    crewtest_free(p);
}

static int divide(const int64_t *in, double *out) {
    *out = 1.0 / (double)*in;
    return *in == 0 ? 33 : 0;
}
CREW_TASK_REF(divide, double, int64_t)

static void map__message__names_function_and_item(void **state) {
    double out[100];
    int64_t five = 5;
    crew_map_opts opts = {.first = -41}, bad = every(&five, CREW_STOP);
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    assert_code(crew_map_index(p, divide_task, 100, out, &opts, &err), CREW_EFAILED, &err);
    assert_text(err.text, "item 41 of 100");
    assert_text(err.text, "divide");
    assert_text(err.text, "33");
    assert_code(crew_pool_map(p, fragile, NULL, 0, 100, NULL, 0, &bad, &err), CREW_EFAILED, &err);
    assert_text(err.text, "number 4 is bad");
    assert_text(err.text, "item 4 of 100");
    crewtest_free(p);
}

static int says_and_succeeds(crew_call *call) {
    crew_fail(call, 5, "on second thoughts, fine");
    return 0;
}

static void map__zero_after_crew_fail__is_done(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    assert_ok(crew_pool_map(p, says_and_succeeds, NULL, 0, 5, NULL, 0, NULL, &err), &err);
    crewtest_free(p);
}

static int only_once(crew_call *call) {
    int64_t before = crewtest_add(CELL_ITEM + call->index, 1);
    return before == 0 ? crew_fail(call, 4, "not at first") : 0;
}

static void map__retries_of_the_pool__are_not_for_failures(void **state) {
    crew_pool_opts opts = crewtest_opts(2);
    crew_map_opts each = {.on_error = CREW_CONTINUE};
    crew_error err;
    (void)state;
    opts.retries = 3;
    crew_pool *p = crewtest_open_opts(&opts);
    assert_code(crew_pool_map(p, only_once, NULL, 0, 10, NULL, 0, &each, &err), CREW_EFAILED, &err);
    for (int i = 0; i < 10; i++)
        assert_int_equal(crewtest_get(CELL_ITEM + i), 1);
    crewtest_free(p);
}

/* ---- limits ------------------------------------------------------------- */

static int until_cancelled(crew_call *call) {
    const double end = crewtest_now() + 30;
    while (!crew_cancelled(call))
        if (crewtest_now() > end)
            return crew_fail(call, 1, "never told");
    return 0; /* which does not count any more */
}

/* Where it is not ended it ends by itself; where it is, that may come late on a busy machine. */
static int never_asks(crew_call *call) {
    const double end = crewtest_now() + (crewtest_has(CREWTEST_PROCESSES) ? 30 : 0.4);
    (void)call;
    while (crewtest_now() < end)
        ;
    return 0;
}

static void limit__of_time__ends_a_process_and_tells_who_asks_elsewhere(void **state) {
    crew_pool_opts opts = crewtest_opts(1);
    crew_error err;
    (void)state;
    opts.task_timeout = 0.1;
    crew_pool *p = crewtest_open_opts(&opts);
    for (int submitted = 0; submitted <= 1; submitted++)
        for (int asks = 0; asks <= 1; asks++) {
            crew_fn *fn = asks ? until_cancelled : never_asks;
            int64_t n = 0;
            int rc = submitted ? crew_apply(p, fn, &n, sizeof n, NULL, 0, &err)
                               : crew_pool_map(p, fn, NULL, 0, 1, NULL, 0, NULL, &err);
            bool over = asks || crewtest_has(CREWTEST_PROCESSES);
            assert_code(rc, over ? CREW_ELIMIT : 0, &err);
            if (over)
                assert_text(err.text, "time limit of 0.1 s");
        }
    assert_usable(p);
    crewtest_free(p);
}

static int hang(crew_call *call) {
    (void)call;
    for (;;)
        crewtest_pause();
    return 0;
}

/* Replaced workers are not ready for a while: waiting for one is not an item's time. */
static int get_ready_slowly(crew_call *call) {
    (void)call;
    for (double end = crewtest_now() + 0.3; crewtest_now() < end;)
        crewtest_pause();
    return 0;
}

static void limit__of_streamed_items__is_each_ones_own(void **state) {
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crew_pool_opts opts = crewtest_opts(2);
    opts.task_timeout = 0.5;
    opts.init = get_ready_slowly;
    crew_pool *p = crewtest_open_opts(&opts);
    int64_t count = 2 * crew_pool_workers(p);
    crew_map_opts go_on = {.on_error = CREW_CONTINUE, .unordered = true};
    crew_iter *it = crew_imap(p, hang, crew_source_range(0, count, 1), 0, &go_on, &err);
    for (int64_t i = 0; i < count; i++) {
        crew_item item = {.index = -1};
        assert_int_equal(crew_next(it, NULL, &item, 60, &err), CREW_ELIMIT);
        assert_true(item.index >= 0 && item.status == CREW_ELIMIT);
    }
    assert_int_equal(crew_next(it, NULL, &(crew_item){0}, 60, &err), 0);
    crew_iter_free(it);
    crewtest_free(p);
}

static void limit__of_memory__is_refused_without_processes(void **state) {
    crew_pool_opts opts = crewtest_opts(1);
    crew_error err;
    (void)state;
    opts.task_memory = (size_t)1 << 30;
    crew_pool *p = crew_pool_open(&opts, &err);
    assert_code(err.code, crewtest_has(CREWTEST_PROCESSES) ? 0 : CREW_ENOTSUP, &err);
    if (!p)
        assert_text(err.text, "task_memory");
    crew_pool_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(map__continue__keeps_all_others_and_their_statuses),
        CREWTEST(map__continue_without_failures__is_a_success),
        CREWTEST(map__errors__are_the_first_ones_in_index_order),
        CREWTEST(map__all_fail__every_status_says_so),
        CREWTEST(map__stop__names_the_lowest_failing_index_in_100_runs),
        CREWTEST(map__stop__starts_nothing_much_above_the_failure),
        CREWTEST(map__stop_with_errors__the_first_is_the_lowest),
        CREWTEST(map__codes_of_tasks__arrive_as_they_are),
        CREWTEST(map__message_longer_than_the_field__is_cut_and_terminated),
        CREWTEST(map__message__names_function_and_item),
        CREWTEST(map__zero_after_crew_fail__is_done),
        CREWTEST(map__retries_of_the_pool__are_not_for_failures),
        CREWTEST(limit__of_time__ends_a_process_and_tells_who_asks_elsewhere),
        CREWTEST(limit__of_streamed_items__is_each_ones_own),
        CREWTEST(limit__of_memory__is_refused_without_processes),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
