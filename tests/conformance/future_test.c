/* conformance/future_test.c - one call at a time: submit, results, cancel,
 * kill, callbacks, wait, as_completed, priorities. */
#include "crewtest.h"

#include <stdlib.h>
#include <string.h>

static int64_t square(int64_t n) {
    return n * n;
}
CREW_TASK(square, int64_t, int64_t)

static int fails(crew_call *call) {
    return crew_fail(call, 17, "no luck with %d", (int)*CREW_IN(call, int64_t));
}

static crew_future *submit(crew_pool *p, crew_fn *fn, int64_t n, const crew_submit_opts *opts) {
    crew_error err;
    crew_future *f = crew_submit(p, fn, &n, sizeof n, opts, &err);
    if (!f)
        fail_msg("crew_submit: %s", err.text);
    return f;
}

static crew_future *gated(crew_pool *p, int gate) {
    return submit(p, crewtest_gated_task, CELL_GATE + gate, NULL);
}

static void free_all(crew_future **futures, size_t n) {
    for (size_t i = 0; i < n; i++)
        crew_future_free(futures[i]);
}

/* ---- results ------------------------------------------------------------ */

static void submit__result__is_the_tasks_as_often_as_asked(void **state) {
    crew_error err;
    int64_t out = 0;
    size_t size = 0;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_future *f = submit(p, square_task, 12, NULL);
    for (int i = 0; i < 3; i++) {
        assert_ok(crew_future_result(f, &out, sizeof out, 20, &err), &err);
        assert_int_equal(out, 144);
    }
    assert_true(crew_future_done(f));
    assert_false(crew_future_running(f));
    assert_false(crew_future_cancelled(f));
    const int64_t *data = crew_future_data(f, &size);
    assert_non_null(data);
    assert_int_equal(size, sizeof out);
    assert_int_equal(*data, 144);
    assert_ok(crew_future_result(f, NULL, 0, 0, &err), &err);
    crew_future_free(f);
    crewtest_free(p);
}

static void submit__result_of_another_size__is_a_mismatch_and_can_be_asked_again(void **state) {
    crew_error err;
    char small[3] = "ab";
    int64_t out;
    (void)state;
    crew_pool *p = crewtest_open(1);
    crew_future *f = submit(p, square_task, 3, NULL);
    assert_code(crew_future_result(f, small, sizeof small, 20, &err), CREW_EMISMATCH, &err);
    assert_text(err.text, "8");
    assert_text(err.text, "3");
    assert_string_equal(small, "ab");
    assert_ok(crew_future_result(f, &out, sizeof out, 20, &err), &err);
    assert_int_equal(out, 9);
    crew_future_free(f);
    crewtest_free(p);
}

static void submit__failure__is_its_code_and_text(void **state) {
    crew_error err;
    int64_t out = 5;
    (void)state;
    crew_pool *p = crewtest_open(1);
    crew_future *f = submit(p, fails, 6, NULL);
    assert_code(crew_future_result(f, &out, sizeof out, 20, &err), CREW_EFAILED, &err);
    assert_int_equal(err.task_code, 17);
    assert_int_equal(err.attempt, 1);
    assert_text(err.text, "no luck with 6");
    assert_int_equal(out, 5);
    assert_null(crew_future_data(f, NULL));
    assert_true(crew_future_done(f));
    crew_future_free(f);
    crewtest_free(p);
}

static int check_call(crew_call *call) {
    if (call->out || call->out_size || call->index != 31 || call->common_size != 6)
        return crew_fail(call, 1, "out_size %d, index %d, common %d", (int)call->out_size,
                         (int)call->index, (int)call->common_size);
    if (memcmp(call->common, "common", 6) != 0 || crew_this_call() != call)
        return crew_fail(call, 2, "common is %.6s", (const char *)call->common);
    return crew_reply(call, call->in, call->in_size);
}

static void submit__item_and_common__are_copied(void **state) {
    char common[] = "common", item[] = "the item", out[8] = "";
    crew_submit_opts opts = {.common = common, .common_size = 6, .index = 31};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    crew_future *f = crew_submit(p, check_call, item, 8, &opts, &err);
    memset(item, 'x', 8);
    memset(common, 'x', 6);
    assert_non_null(f);
    assert_ok(crew_future_result(f, out, 8, 20, &err), &err);
    assert_memory_equal(out, "the item", 8);
    crew_future_free(f);
    crewtest_free(p);
}

static int echo(crew_call *call) {
    return crew_reply(call, call->in, call->in_size);
}

static void submit__items_of_each_size__come_back_whole(void **state) {
    static const size_t sizes[] = {0, 1, 7, 64, 65, 4096, 100000, 8 << 20};
    unsigned char *in = malloc(8 << 20), *out = malloc(8 << 20);
    crew_error err;
    (void)state;
    assert_true(in && out);
    for (size_t i = 0; i < 8 << 20; i++)
        in[i] = (unsigned char)(i * 7 + i / 251);
    crew_pool *p = crewtest_open(2);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t size = 99;
        crew_future *f = crew_submit(p, echo, sizes[s] ? in : NULL, sizes[s], NULL, &err);
        if (!f)
            fail_msg("%s", err.text);
        assert_ok(crew_future_result(f, sizes[s] ? out : NULL, sizes[s], 20, &err), &err);
        assert_non_null(crew_future_data(f, &size));
        assert_int_equal(size, sizes[s]);
        assert_true(memcmp(in, out, sizes[s]) == 0);
        crew_future_free(f);
    }
    crewtest_free(p);
    free(in);
    free(out);
}

static void submit__timeout_of_result__leaves_the_future_as_it_is(void **state) {
    crew_error err;
    int64_t out;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(1);
    crew_future *f = gated(p, 0);
    assert_code(crew_future_result(f, &out, sizeof out, 0, &err), CREW_ETIMEDOUT, &err);
    assert_true(crewtest_reached(CELL_STARTED, 1, 10));
    CREWTEST_WAIT(crew_future_running(f), 5);
    double from = crewtest_now();
    assert_code(crew_future_result(f, &out, sizeof out, 0.05, &err), CREW_ETIMEDOUT, &err);
    assert_true(crewtest_now() - from >= 0.049);
    assert_within(from, 5);
    assert_false(crew_future_done(f));
    assert_null(crew_future_data(f, NULL));
    crewtest_set(CELL_GATE, 1);
    assert_ok(crew_future_result(f, &out, sizeof out, 20, &err), &err);
    crew_future_free(f);
    crewtest_free(p);
}

static void submit__100000_futures__each_has_its_result(void **state) {
    int64_t count = crewtest_many(100000);
    crew_future **futures = malloc((size_t)count * sizeof *futures);
    crew_error err;
    (void)state;
    assert_non_null(futures);
    crew_pool *p = crewtest_open(2);
    for (int round = 0; round < 2; round++) { /* what the first used is used again */
        for (int64_t i = 0; i < count; i++)
            futures[i] = submit(p, square_task, i, NULL);
        for (int64_t i = 0; i < count; i++) {
            int64_t out = -1;
            assert_ok(crew_future_result(futures[i], &out, sizeof out, 30, &err), &err);
            if (out != i * i)
                fail_msg("future %ld gave %ld", (long)i, (long)out);
            crew_future_free(futures[i]);
        }
    }
    crewtest_free(p);
    free(futures);
}

static int count_call(crew_call *call) {
    (void)call;
    crewtest_add(CELL_COUNT, 1);
    return 0;
}

static void submit__freed_at_once__runs_all_the_same(void **state) {
    enum { COUNT = 2000 };
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (int i = 0; i < COUNT; i++)
        crew_future_free(submit(p, count_call, i, NULL));
    crew_future_free(NULL);
    assert_int_equal(crew_pool_shutdown(p, true, false), 0);
    assert_int_equal(crewtest_get(CELL_COUNT), COUNT);
    crewtest_free(p);
}

/* A freed future stays in memory as long as its pool, so that its use is an error
 * and not a crash. */
static void submit__future_that_was_freed__is_refused_until_the_pool_goes(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_future *f = submit(p, square_task, 3, NULL);
    assert_ok(crew_future_result(f, NULL, 0, 20, &err), &err);
    crew_future_free(f);
    assert_int_equal(crew_future_result(f, NULL, 0, 0, &err), CREW_EINVAL);
    assert_non_null(strstr(err.text, "freed"));
    crew_future_free(f);
    assert_int_equal(crew_last_error()->code, CREW_EINVAL);
    crew_future *next = submit(p, square_task, 4, NULL);
    int64_t out = 0;
    assert_ok(crew_future_result(next, &out, sizeof out, 20, &err), &err);
    assert_int_equal(out, 16);
    crew_future_free(next);
    crewtest_free(p);
}

static void submit__bad_requests__are_errors_in_a_sentence(void **state) {
    int64_t n = 1;
    crew_error err;
    const struct {
        crew_fn *fn;
        const void *in;
        size_t size;
        crew_submit_opts opts;
        int code;
    } cases[] = {
        {NULL, &n, 8, {0}, CREW_EINVAL},
        {square_task, NULL, 8, {0}, CREW_EINVAL},
        {square_task, &n, 4, {0}, CREW_EMISMATCH},
        {square_task, &n, 8, {.priority = CREW_PRIORITY_MAX + 1}, CREW_EINVAL},
        {square_task, &n, 8, {.priority = CREW_PRIORITY_MIN - 1}, CREW_EINVAL},
        {square_task, &n, 8, {.retries = -1}, CREW_EINVAL},
        {square_task, &n, 8, {.common_size = 8}, CREW_EINVAL},
    };
    (void)state;
    crew_pool *p = crewtest_open(1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        crew_future *f =
            crew_submit(p, cases[i].fn, cases[i].in, cases[i].size, &cases[i].opts, &err);
        if (f)
            fail_msg("case %zu was taken", i);
        assert_code(err.code, cases[i].code, &err);
    }
    assert_null(crew_submit(NULL, square_task, &n, 8, NULL, &err));
    assert_code(err.code, CREW_EINVAL, &err);
    assert_usable(p);
    crewtest_free(p);
}

static void apply__result_and_failure__are_the_tasks(void **state) {
    int64_t n = 7, out = 0;
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    assert_ok(crew_apply(p, square_task, &n, sizeof n, &out, sizeof out, &err), &err);
    assert_int_equal(out, 49);
    assert_code(crew_apply(p, fails, &n, sizeof n, &out, sizeof out, &err), CREW_EFAILED, &err);
    assert_int_equal(err.task_code, 17);
    assert_code(crew_apply(p, square_task, &n, sizeof n, &out, 4, &err), CREW_EMISMATCH, &err);
    crewtest_free(p);
}

/* ---- cancel and kill ---------------------------------------------------- */

static void cancel__pending__never_begins(void **state) {
    crew_error err;
    int64_t out;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(1);
    crew_future *running = gated(p, 0), *pending = submit(p, count_call, 1, NULL);
    crew_future *later = submit(p, square_task, 9, NULL);
    assert_true(crewtest_reached(CELL_STARTED, 1, 10));
    assert_int_equal(crew_future_cancel(pending), 1);
    assert_int_equal(crew_future_cancel(pending), 1);
    assert_true(crew_future_cancelled(pending) && crew_future_done(pending));
    assert_code(crew_future_result(pending, &out, 8, 10, &err), CREW_ECANCELLED, &err);
    assert_int_equal(crew_future_cancel(running), 0);
    assert_false(crew_future_cancelled(running));
    crewtest_set(CELL_GATE, 1);
    assert_ok(crew_future_result(later, &out, 8, 10, &err), &err);
    assert_int_equal(out, 81);
    assert_int_equal(crew_future_cancel(later), 0);
    assert_ok(crew_future_result(running, &out, 8, 10, &err), &err);
    assert_int_equal(crewtest_get(CELL_COUNT), 0);
    free_all((crew_future *[]){running, pending, later}, 3);
    crewtest_free(p);
}

/* Other nodes are sent short calls before they have a worker for them. */
static void cancel__of_short_calls_while_all_workers_are_held__is_never_too_late(void **state) {
    enum { WORKERS = 3, SHORT = 120, WAITING = 24 };
    const int workers = crewtest_workers(WORKERS);
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    for (int64_t round = 1; round <= crewtest_many(6); round++) {
        crew_future *s[SHORT], *held[WORKERS], *waiting[WAITING];
        crew_pool *p = crewtest_open(WORKERS); /* which knows of no long ones yet */
        for (int i = 0; i < SHORT; i++)
            s[i] = submit(p, square_task, i, NULL);
        assert_int_equal(crew_wait(s, SHORT, CREW_WAIT_ALL, 20), SHORT);
        crewtest_set(CELL_GATE, 0);
        for (int i = 0; i < workers; i++)
            held[i] = gated(p, 0);
        assert_true(crewtest_reached(CELL_STARTED, round * workers, 20));
        for (int i = 0; i < WAITING; i++)
            waiting[i] = submit(p, count_call, i, NULL);
        /* A chance for some to be sent: they count as running then. */
        for (double from = crewtest_now(); crewtest_now() < from + 0.02;)
            if (crew_future_running(waiting[0]))
                break;
        for (int i = 0; i < WAITING; i++)
            assert_int_equal(crew_future_cancel(waiting[i]), 1);
        assert_int_equal(crew_wait(waiting, WAITING, CREW_WAIT_ALL, 0), WAITING);
        crewtest_set(CELL_GATE, 1);
        assert_int_equal(crew_wait(held, workers, CREW_WAIT_ALL, 20), workers);
        free_all(s, SHORT);
        free_all(held, (size_t)workers);
        free_all(waiting, WAITING);
        crewtest_free(p);
    }
    assert_int_equal(crewtest_get(CELL_COUNT), 0);
}

static void kill__running__ends_it_or_is_not_supported(void **state) {
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(2);
    crew_future *f = gated(p, 0);
    assert_true(crewtest_reached(CELL_STARTED, 1, 10));
    double from = crewtest_now();
    bool ends = crewtest_has(CREWTEST_PROCESSES); /* else the task sees crew_cancelled */
    assert_int_equal(crew_future_kill(f), ends ? 1 : CREW_ENOTSUP);
    assert_code(crew_future_result(f, NULL, 0, 10, &err), CREW_ECANCELLED, &err);
    assert_true(crew_future_cancelled(f));
    assert_within(from, 5);
    crew_future_free(f);
    assert_usable(p);
    crewtest_free(p);
}

/* A gated one that never asks crew_cancelled. */
static int heedless_task(crew_call *call) {
    crewtest_add(CELL_STARTED, 1);
    return crewtest_reached(*CREW_IN(call, int64_t), 1, 30) ? 0 : crew_fail(call, 124, "no gate");
}

static void kill__running_and_without_heed__ends_with_its_result(void **state) {
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    if (crewtest_has(CREWTEST_PROCESSES))
        skip();
    crew_pool *p = crewtest_open(2);
    crew_future *f = submit(p, heedless_task, CELL_GATE, NULL);
    assert_true(crewtest_reached(CELL_STARTED, 1, 10));
    assert_int_equal(crew_future_kill(f), CREW_ENOTSUP);
    assert_code(crew_future_result(f, NULL, 0, 0.05, &err), CREW_ETIMEDOUT, &err);
    crewtest_set(CELL_GATE, 1);
    assert_ok(crew_future_result(f, NULL, 0, 10, &err), &err);
    assert_false(crew_future_cancelled(f));
    crew_future_free(f);
    assert_usable(p);
    crewtest_free(p);
}

static void kill__pending_and_done__are_told_apart(void **state) {
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(1);
    crew_future *running = gated(p, 0), *pending = submit(p, count_call, 1, NULL);
    assert_true(crewtest_reached(CELL_STARTED, 1, 10));
    assert_int_equal(crew_future_kill(pending), 1);
    assert_code(crew_future_result(pending, NULL, 0, 10, &err), CREW_ECANCELLED, &err);
    crewtest_set(CELL_GATE, 1);
    assert_ok(crew_future_result(running, NULL, 0, 10, &err), &err);
    assert_int_equal(crew_future_kill(running), 0);
    assert_int_equal(crewtest_get(CELL_COUNT), 0);
    free_all((crew_future *[]){running, pending}, 2);
    crewtest_free(p);
}

/* ---- callbacks ---------------------------------------------------------- */

struct heard {
    crew_pool *pool;
    crew_future *_Atomic last, *_Atomic follower;
    _Atomic int calls, good, bad;
    _Atomic bool done_when_called;
};

static void hear(void *ctx, crew_future *f) {
    struct heard *heard = ctx;
    atomic_store(&heard->done_when_called, crew_future_done(f));
    atomic_store(&heard->last, f);
    atomic_fetch_add(&heard->calls, 1);
}

static void then__before_and_after_done__is_called_once_each(void **state) {
    struct heard heard = {0};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    bool async = crewtest_has(CREWTEST_ASYNC);
    crew_future *f = async ? gated(p, 0) : submit(p, square_task, 1, NULL);
    assert_int_equal(crew_future_then(f, hear, &heard), 0);
    assert_int_equal(crew_future_then(f, hear, &heard), 0);
    if (async)
        assert_int_equal(atomic_load(&heard.calls), 0);
    crewtest_set(CELL_GATE, 1);
    assert_ok(crew_future_result(f, NULL, 0, 10, &err), &err);
    assert_int_equal(atomic_load(&heard.calls), 2); /* returned before the wait did */
    assert_ptr_equal(atomic_load(&heard.last), f);
    assert_true(atomic_load(&heard.done_when_called));
    assert_int_equal(crew_future_then(f, hear, &heard), 0);
    CREWTEST_WAIT(atomic_load(&heard.calls) == 3, 10);
    assert_int_equal(crew_future_then(f, NULL, NULL), CREW_EINVAL);
    crew_future_free(f);
    crewtest_free(p);
}

static void hear_and_free(void *ctx, crew_future *f) {
    crew_future_free(f);
    atomic_fetch_add(&((struct heard *)ctx)->calls, 1);
}

static void then__frees_its_future__is_fine(void **state) {
    enum { COUNT = 500 };
    struct heard heard = {0};
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(crew_future_then(submit(p, square_task, i, NULL), hear_and_free, &heard),
                         0);
    CREWTEST_WAIT(atomic_load(&heard.calls) == COUNT, 20);
    crewtest_free(p);
}

static void hear_and_submit(void *ctx, crew_future *f) {
    struct heard *heard = ctx;
    int64_t n = 0;
    crew_future_result(f, &n, sizeof n, 0, NULL); /* done: no wait */
    atomic_store(&heard->follower, crew_submit(heard->pool, square_task, &n, sizeof n, NULL, NULL));
}

static void then__submits__the_follower_runs(void **state) {
    struct heard heard = {0};
    crew_error err;
    int64_t out = 0;
    (void)state;
    crew_pool *p = crewtest_open(1);
    heard.pool = p;
    crew_future *f = submit(p, square_task, 3, NULL);
    assert_int_equal(crew_future_then(f, hear_and_submit, &heard), 0);
    CREWTEST_WAIT(atomic_load(&heard.follower) != NULL, 10);
    crew_future *follower = atomic_load(&heard.follower);
    assert_ok(crew_future_result(follower, &out, sizeof out, 10, &err), &err);
    assert_int_equal(out, 81);
    free_all((crew_future *[]){f, follower}, 2);
    crewtest_free(p);
}

static void then__cancelled__is_called(void **state) {
    struct heard heard = {0};
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(1);
    crew_future *running = gated(p, 0), *pending = submit(p, square_task, 1, NULL);
    assert_int_equal(crew_future_then(pending, hear, &heard), 0);
    assert_true(crewtest_reached(CELL_STARTED, 1, 10));
    assert_int_equal(crew_future_cancel(pending), 1);
    CREWTEST_WAIT(atomic_load(&heard.calls) == 1, 10);
    crewtest_set(CELL_GATE, 1);
    free_all((crew_future *[]){running, pending}, 2);
    crewtest_free(p);
}

static void good(void *ctx, crew_future *f) {
    (void)f;
    atomic_fetch_add(&((struct heard *)ctx)->good, 1);
}
static void bad(void *ctx, crew_future *f) {
    (void)f;
    atomic_fetch_add(&((struct heard *)ctx)->bad, 1);
}

static void apply_async__done_and_failed__hear_what_is_theirs(void **state) {
    enum { COUNT = 40 };
    struct heard heard = {0};
    crew_future *futures[COUNT];
    crew_error err;
    int64_t n = 1;
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (int i = 0; i < COUNT; i++) {
        crew_fn *fn = i % 4 ? square_task : fails;
        futures[i] = crew_apply_async(p, fn, &n, sizeof n, good, bad, &heard, &err);
        assert_non_null(futures[i]);
    }
    for (int i = 0; i < COUNT; i++)
        assert_code(crew_future_result(futures[i], NULL, 0, 20, &err), i % 4 ? 0 : CREW_EFAILED,
                    &err);
    assert_int_equal(atomic_load(&heard.good), COUNT * 3 / 4);
    assert_int_equal(atomic_load(&heard.bad), COUNT / 4);
    free_all(futures, COUNT);
    futures[0] = crew_apply_async(p, fails, &n, sizeof n, good, NULL, &heard, &err);
    futures[1] = crew_apply_async(p, square_task, &n, sizeof n, NULL, bad, &heard, &err);
    assert_int_equal(crew_wait(futures, 2, CREW_WAIT_ALL, 20), 2);
    assert_int_equal(atomic_load(&heard.good) + atomic_load(&heard.bad), COUNT);
    free_all(futures, 2);
    crewtest_free(p);
}

/* ---- wait --------------------------------------------------------------- */

static void wait__all_first_and_polls__count_what_is_done(void **state) {
    crew_future *f[3];
    (void)state;
    crewtest_need(CREWTEST_MANY);
    crew_pool *p = crewtest_open(3);
    for (int i = 0; i < 3; i++)
        f[i] = gated(p, i);
    assert_int_equal(crew_wait(f, 3, CREW_WAIT_FIRST, 0), 0);
    assert_int_equal(crew_wait(f, 3, CREW_WAIT_ALL, 0.02), 0);
    crewtest_set(CELL_GATE + 1, 1);
    assert_int_equal(crew_wait(f, 3, CREW_WAIT_FIRST, 10), 1);
    assert_true(crew_future_done(f[1]));
    assert_int_equal(crew_wait(f, 3, CREW_WAIT_ALL, 0.02), 1);
    assert_int_equal(crew_wait(f, 3, CREW_WAIT_FIRST_ERROR, 0.02), 1);
    crewtest_set(CELL_GATE, 1);
    crewtest_set(CELL_GATE + 2, 1);
    assert_int_equal(crew_wait(f, 3, CREW_WAIT_ALL, 10), 3);
    assert_int_equal(crew_wait(f, 3, CREW_WAIT_FIRST_ERROR, 10), 3); /* no error: all */
    assert_int_equal(crew_wait(f, 0, CREW_WAIT_ALL, 10), 0);
    assert_int_equal(crew_wait(NULL, 0, CREW_WAIT_FIRST, 10), 0);
    assert_int_equal(crew_wait(f, 3, 9, 10), CREW_EINVAL);
    free_all(f, 3);
    crewtest_free(p);
}

static int gated_failure(crew_call *call) {
    int code = crewtest_pass(call, *CREW_IN(call, int64_t));
    return code ? code : crew_fail(call, 3, "as planned");
}

static void wait__first_error__returns_with_the_failure(void **state) {
    crew_future *f[2];
    (void)state;
    crewtest_need(CREWTEST_MANY);
    crew_pool *p = crewtest_open(2);
    f[0] = gated(p, 0);
    f[1] = submit(p, gated_failure, CELL_GATE + 1, NULL);
    assert_int_equal(crew_wait(f, 2, CREW_WAIT_FIRST_ERROR, 0.02), 0);
    crewtest_set(CELL_GATE + 1, 1);
    assert_int_equal(crew_wait(f, 2, CREW_WAIT_FIRST_ERROR, 10), 1);
    assert_false(crew_future_done(f[0]));
    crewtest_set(CELL_GATE, 1);
    assert_int_equal(crew_wait(f, 2, CREW_WAIT_ALL, 10), 2);
    free_all(f, 2);
    crewtest_free(p);
}

static void wait__futures_of_two_pools__are_waited_for_together(void **state) {
    crew_future *f[20];
    (void)state;
    crew_pool *a = crewtest_open(1), *b = crewtest_open(1);
    for (int i = 0; i < 20; i++)
        f[i] = submit(i % 2 ? a : b, square_task, i, NULL);
    assert_int_equal(crew_wait(f, 20, CREW_WAIT_ALL, 20), 20);
    free_all(f, 20);
    crewtest_free(a);
    crewtest_free(b);
}

/* ---- as_completed ------------------------------------------------------- */

static void as_completed__gates_opened_one_by_one__give_that_order(void **state) {
    static const size_t order[] = {2, 0, 3, 1};
    crew_future *f[4];
    size_t which = 99;
    (void)state;
    crewtest_need_workers(4);
    crew_pool *p = crewtest_open(4);
    for (int i = 0; i < 4; i++)
        f[i] = gated(p, i);
    crew_completed *c = crew_as_completed(f, 4);
    assert_non_null(c);
    assert_int_equal(crew_completed_next(c, &which, 0), CREW_ETIMEDOUT);
    for (int i = 0; i < 4; i++) {
        crewtest_set(CELL_GATE + (int64_t)order[i], 1);
        assert_int_equal(crew_completed_next(c, &which, 10), 1);
        assert_int_equal(which, order[i]);
        assert_int_equal(crew_completed_next(c, &which, 0.01), i < 3 ? CREW_ETIMEDOUT : 0);
    }
    crew_completed_free(c);
    c = crew_as_completed(f, 4); /* all done before */
    for (int i = 0; i < 4; i++)
        assert_int_equal(crew_completed_next(c, &which, 0), 1);
    assert_int_equal(crew_completed_next(c, &which, 0), 0);
    crew_completed_free(c);
    free_all(f, 4);
    crewtest_free(p);
}

static void as_completed__many_and_none__give_each_once(void **state) {
    enum { COUNT = 3000 };
    static crew_future *f[COUNT];
    static char seen[COUNT];
    size_t which;
    (void)state;
    memset(seen, 0, sizeof seen);
    crew_pool *p = crewtest_open(3);
    for (int i = 0; i < COUNT; i++)
        f[i] = submit(p, i % 5 ? square_task : fails, i, NULL);
    crew_completed *c = crew_as_completed(f, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(crew_completed_next(c, &which, 20), 1);
        assert_true(which < COUNT);
        assert_int_equal(seen[which]++, 0);
        assert_true(crew_future_done(f[which]));
    }
    assert_int_equal(crew_completed_next(c, &which, 20), 0);
    crew_completed_free(c);
    c = crew_as_completed(f, 0);
    assert_int_equal(crew_completed_next(c, &which, 20), 0);
    crew_completed_free(c);
    c = crew_as_completed(f, COUNT);
    assert_int_equal(crew_completed_next(c, &which, 20), 1);
    crew_completed_free(c); /* early */
    free_all(f, COUNT);
    crewtest_free(p);
}

/* ---- priorities --------------------------------------------------------- */

static int take_turn(crew_call *call) {
    int64_t turn = crewtest_add(CELL_COUNT, 1);
    crewtest_set(CELL_ITEM + turn, *CREW_IN(call, int64_t));
    return 0;
}

static void priority__one_worker_kept_busy__higher_ones_begin_first(void **state) {
    enum { COUNT = 70 };
    crew_future *f[COUNT + 1];
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(1);
    f[COUNT] = gated(p, 0);
    assert_true(crewtest_reached(CELL_STARTED, 1, 10));
    for (int i = 0; i < COUNT; i++) {
        crew_submit_opts opts = {.priority = i * 5 % 7 - 3};
        f[i] = submit(p, take_turn, opts.priority, &opts);
    }
    crewtest_set(CELL_GATE, 1);
    assert_int_equal(crew_wait(f, COUNT + 1, CREW_WAIT_ALL, 20), COUNT + 1);
    for (int turn = 0; turn < COUNT; turn++)
        assert_int_equal(crewtest_get(CELL_ITEM + turn), 3 - turn / 10);
    free_all(f, COUNT + 1);
    crewtest_free(p);
}

static int hurry(crew_call *call) {
    crewtest_set(CELL_OWN, crewtest_get(CELL_COUNT));
    (void)call;
    return 0;
}

static int be_patient(crew_call *call) {
    crewtest_add(CELL_COUNT, 1);
    (void)call;
    return 0;
}

/* More wait than a ring holds (2^17): what is urgent passes those, too, of which
 * not even a hint is in a ring. */
static void priority__behind_a_full_ring__waits_for_none_of_it(void **state) {
    enum { MANY = (1 << 17) + 5000 };
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_future **f = malloc(MANY * sizeof *f);
    assert_non_null(f);
    crew_pool *p = crewtest_open(1);
    crew_future *gate = gated(p, 0);
    assert_true(crewtest_reached(CELL_STARTED, 1, 10));
    for (int i = 0; i < MANY; i++)
        f[i] = submit(p, be_patient, 0, NULL);
    crew_submit_opts opts = {.priority = 1};
    crew_future *urgent = submit(p, hurry, 0, &opts);
    crewtest_set(CELL_GATE, 1);
    assert_int_equal(crew_future_result(urgent, NULL, 0, 20, NULL), 0);
    assert_int_equal(crewtest_get(CELL_OWN), 0);
    assert_int_equal(crew_wait(f, MANY, CREW_WAIT_ALL, 30), MANY);
    assert_int_equal(crewtest_get(CELL_COUNT), MANY);
    crew_future_free(gate);
    crew_future_free(urgent);
    free_all(f, MANY);
    free(f);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(submit__result__is_the_tasks_as_often_as_asked),
        CREWTEST(submit__result_of_another_size__is_a_mismatch_and_can_be_asked_again),
        CREWTEST(submit__failure__is_its_code_and_text),
        CREWTEST(submit__item_and_common__are_copied),
        CREWTEST(submit__items_of_each_size__come_back_whole),
        CREWTEST(submit__timeout_of_result__leaves_the_future_as_it_is),
        CREWTEST(submit__100000_futures__each_has_its_result),
        CREWTEST(submit__freed_at_once__runs_all_the_same),
        CREWTEST(submit__future_that_was_freed__is_refused_until_the_pool_goes),
        CREWTEST(submit__bad_requests__are_errors_in_a_sentence),
        CREWTEST(apply__result_and_failure__are_the_tasks),
        CREWTEST(cancel__pending__never_begins),
        CREWTEST(cancel__of_short_calls_while_all_workers_are_held__is_never_too_late),
        CREWTEST(kill__running__ends_it_or_is_not_supported),
        CREWTEST(kill__running_and_without_heed__ends_with_its_result),
        CREWTEST(kill__pending_and_done__are_told_apart),
        CREWTEST(then__before_and_after_done__is_called_once_each),
        CREWTEST(then__frees_its_future__is_fine),
        CREWTEST(then__submits__the_follower_runs),
        CREWTEST(then__cancelled__is_called),
        CREWTEST(apply_async__done_and_failed__hear_what_is_theirs),
        CREWTEST(wait__all_first_and_polls__count_what_is_done),
        CREWTEST(wait__first_error__returns_with_the_failure),
        CREWTEST(wait__futures_of_two_pools__are_waited_for_together),
        CREWTEST(as_completed__gates_opened_one_by_one__give_that_order),
        CREWTEST(as_completed__many_and_none__give_each_once),
        CREWTEST(priority__one_worker_kept_busy__higher_ones_begin_first),
        CREWTEST(priority__behind_a_full_ring__waits_for_none_of_it),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
