/* conformance/python_pool_test.c - what CPython tests of multiprocessing.Pool and
 * what no other test here shows: see docs/PYTHON-CASES.md, which names a test for
 * each of its cases. */
#include "crewtest.h"

#include "api/session.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int64_t square(int64_t n) {
    return n * n;
}
CREW_TASK(square, int64_t, int64_t)

static int64_t times(int64_t a, int64_t b) {
    return a * b;
}
CREW_TASK2(times, int64_t, int64_t, int64_t)

static int pid_task(crew_call *call) {
    int64_t pid = getpid();
    return crew_task_result(call, &pid, sizeof pid);
}

static int slow_task(crew_call *call) { /* its item: milliseconds */
    usleep((useconds_t)*CREW_IN(call, int64_t) * 1000);
    return crew_task_result(call, call->in, sizeof(int64_t));
}

static crew_future *submit(crew_pool *p, crew_fn *fn, int64_t n) {
    crew_error err;
    crew_future *f = crew_submit(p, fn, &n, sizeof n, NULL, &err);
    if (!f)
        fail_msg("crew_submit: %s", err.text);
    return f;
}

/* ---- maps --------------------------------------------------------------- */

static void starmap_async__pairs__give_their_results_when_fetched(void **state) {
    enum { COUNT = 500 };
    static times_args in[COUNT];
    int64_t out[COUNT];
    crew_error err;
    (void)state;
    for (int64_t i = 0; i < COUNT; i++)
        in[i] = (times_args){i, i + 1};
    crew_pool *p = crewtest_open(3);
    for (int64_t chunk = 0; chunk <= 20; chunk += 20) {
        const crew_map_opts opts = {.chunk = chunk};
        memset(out, 0xff, sizeof out);
        crew_job *job =
            crew_map_async(p, times_task, in, sizeof *in, COUNT, out, sizeof *out, &opts, &err);
        assert_non_null(job);
        assert_ok(crew_job_get(job, 30, &err), &err);
        for (int64_t i = 0; i < COUNT; i++)
            assert_int_equal(out[i], i * (i + 1));
        crew_job_free(job);
    }
    crewtest_free(p);
}

struct heard {
    _Atomic int calls, good, bad;
};

static void hear(void *ctx, crew_job *job) {
    struct heard *heard = ctx;
    crew_error err;
    int rc = crew_job_get(job, 0, &err);
    atomic_fetch_add(rc == 0 ? &heard->good : &heard->bad, 1);
    atomic_fetch_add(&heard->calls, 1);
}

static int fail_at_7(crew_call *call) {
    return call->index == 7 ? crew_fail(call, 3, "seven") : 0;
}

static void map_async__callback__has_run_once_when_the_wait_returns(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (int fails = 0; fails <= 1; fails++) {
        struct heard heard = {0};
        const crew_map_opts opts = {.done = hear, .ctx = &heard};
        crew_fn *fn = fails ? fail_at_7 : square_task;
        int64_t out[20];
        crew_job *job =
            crew_map_async(p, fn, NULL, 0, 20, fails ? NULL : out, fails ? 0 : 8, &opts, &err);
        assert_non_null(job);
        assert_ok(crew_job_wait(job, 30), NULL);
        assert_int_equal(atomic_load(&heard.calls), 1);
        assert_int_equal(atomic_load(&heard.good), !fails);
        assert_int_equal(atomic_load(&heard.bad), fails);
        assert_code(crew_job_get(job, 0, &err), fails ? CREW_EFAILED : 0, &err);
        crew_job_free(job);
        assert_int_equal(atomic_load(&heard.calls), 1);
    }
    crewtest_free(p);
}

static void no_items__maps_of_every_kind__end_at_once(void **state) {
    crew_error err;
    int64_t out[1] = {5}, in[1] = {0};
    (void)state;
    crew_pool *p = crewtest_open(2);
    double from = crewtest_now();
    for (int64_t chunk = 0; chunk <= 1; chunk++) {
        const crew_map_opts opts = {.chunk = chunk}, loose = {.chunk = chunk, .unordered = true};
        assert_ok(crew_pool_map(p, square_task, in, 8, 0, out, 8, &opts, &err), &err);
        assert_ok(crew_map_index(p, square_task, 0, out, &opts, &err), &err);
        crew_job *job = crew_map_async(p, square_task, in, 8, 0, out, 8, &opts, &err);
        assert_non_null(job);
        assert_ok(crew_job_get(job, 10, &err), &err);
        crew_job_free(job);
        for (int i = 0; i < 2; i++) {
            crew_iter *it =
                crew_imap(p, square_task, crew_source_range(0, 0, 1), 8, i ? &loose : &opts, &err);
            assert_non_null(it);
            assert_int_equal(crew_next(it, out, NULL, 10, &err), 0);
            assert_int_equal(crew_next(it, out, NULL, 10, &err), 0);
            crew_iter_free(it);
        }
        crew_results *r = crew_map_bytes(p, square_task, NULL, 0, &opts, &err);
        assert_non_null(r);
        crew_results_free(r);
    }
    assert_int_equal(out[0], 5);
    assert_within(from, 5);
    crewtest_free(p);
}

static int note_and_wait(crew_call *call) {
    if (call->index == 0)
        usleep(100000);
    crewtest_add(CELL_COUNT, 1);
    char text[400];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    return call->index == 0 ? 0 : crew_fail(call, 9, "%s", text);
}

static void map__items_fail_with_long_texts__close_and_join_wait_for_the_slow_one(void **state) {
    enum { COUNT = 50 };
    crew_error err;
    (void)state;
    const crew_map_opts opts = {.on_error = CREW_CONTINUE};
    crew_pool *p = crewtest_open(3);
    crew_job *job = crew_map_async(p, note_and_wait, NULL, 0, COUNT, NULL, 0, &opts, &err);
    assert_non_null(job);
    crew_pool_close(p);
    assert_ok(crew_pool_join(p, 30, &err), &err);
    assert_int_equal(crewtest_get(CELL_COUNT), COUNT);
    assert_code(crew_job_get(job, 10, &err), CREW_EFAILED, &err);
    crew_job_free(job);
    crewtest_free(p);
}

static void
map_async__never_asked_for__is_carried_out_before_a_waiting_shutdown_returns(void **state) {
    enum { COUNT = 300 };
    crew_error err;
    int64_t out[COUNT];
    (void)state;
    memset(out, 0xff, sizeof out);
    crew_pool *p = crewtest_open(2);
    crew_job *job = crew_map_async(p, square_task, NULL, 0, COUNT, out, 8, NULL, &err);
    assert_non_null(job);
    assert_ok(crew_pool_shutdown(p, true, false), NULL);
    assert_true(crew_job_ready(job));
    for (int64_t i = 0; i < COUNT; i++)
        assert_int_equal(out[i], i * i);
    crew_job_free(job);
    crewtest_free(p);
}

static void mark_later(_Atomic int *mark) {
    usleep(30000); /* its work: long enough to be overtaken by whoever does not wait */
    atomic_fetch_add(mark, 1);
}

static void mark_job(void *ctx, crew_job *job) {
    (void)job;
    mark_later(ctx);
}

static void mark_future(void *ctx, crew_future *f) {
    (void)f;
    mark_later(ctx);
}

static void join__callbacks_that_take_their_time__have_returned(void **state) {
    crew_error err;
    int64_t out[5];
    (void)state;
    for (int jobs = 0; jobs <= 1; jobs++) {
        _Atomic int marks = 0;
        const crew_map_opts opts = {.done = mark_job, .ctx = &marks};
        crew_pool *p = crewtest_open(2);
        crew_job *job = NULL;
        crew_future *f = NULL;
        if (jobs) {
            job = crew_map_async(p, square_task, NULL, 0, 5, out, 8, &opts, &err);
            assert_non_null(job);
        } else {
            f = submit(p, square_task, 5);
            assert_ok(crew_future_then(f, mark_future, &marks), NULL);
        }
        crew_pool_close(p);
        assert_ok(crew_pool_join(p, 30, &err), &err);
        assert_int_equal(atomic_load(&marks), 1);
        crew_job_free(job);
        crew_future_free(f);
        crewtest_free(p);
    }
}

static int reply_short(crew_call *call) {
    return crew_reply(call, "abc", 3);
}

static void reply__of_a_wrong_size_twenty_times__costs_no_worker(void **state) {
    int64_t before[64], after[64], out;
    crew_error err;
    crew_stats stats;
    (void)state;
    crew_pool *p = crewtest_open(1);
    assert_ok(crew_map_index(p, pid_task, 1, before, NULL, &err), &err);
    for (int i = 0; i < 20; i++) {
        int64_t n = i;
        assert_code(crew_pool_map(p, reply_short, &n, 8, 1, &out, 8, NULL, &err), CREW_EMISMATCH,
                    &err);
        assert_text(err.text, "3 bytes");
        crew_future *f = submit(p, reply_short, n);
        assert_code(crew_future_result(f, &out, 8, 20, &err), CREW_EMISMATCH, &err);
        crew_future_free(f);
    }
    assert_ok(crew_map_index(p, pid_task, 1, after, NULL, &err), &err);
    assert_int_equal(before[0], after[0]);
    assert_ok(crew_pool_stats(p, -1, &stats), NULL);
    assert_int_equal(stats.restarts, 0);
    crewtest_free(p);
}

/* ---- sources that fail -------------------------------------------------- */

struct breaking {
    int64_t at, breaks_at, item;
};

static int next_or_break(void *ctx, const void **item, size_t *size) {
    struct breaking *b = ctx;
    if (b->at == b->breaks_at)
        return CREW_EPERM;
    b->item = b->at++;
    *item = &b->item;
    *size = sizeof b->item;
    return 1;
}

static void source__fails_at_once_or_later_and_twice__the_pool_goes_on(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (int round = 0; round < 4; round++) {
        struct breaking b = {.breaks_at = round / 2 * 5};
        int64_t out, count = 0;
        crew_iter *it = crew_imap(p, square_task, (crew_source){next_or_break, &b}, 8, NULL, &err);
        assert_non_null(it);
        int rc;
        while ((rc = crew_next(it, &out, NULL, 20, &err)) == 1) {
            assert_int_equal(out, count * count);
            count++;
        }
        assert_code(rc, CREW_EPERM, &err);
        assert_text(err.text, "source");
        assert_int_equal(count, b.breaks_at);
        assert_int_equal(crew_next(it, &out, NULL, 20, &err), 0);
        crew_iter_free(it);
        assert_usable(p);
    }
    crewtest_free(p);
}

static void imap_unordered__source_fails__gives_each_result_once_and_then_the_error(void **state) {
    enum { COUNT = 200 };
    int seen[COUNT] = {0}, rc;
    crew_error err;
    crew_item item;
    int64_t out;
    (void)state;
    struct breaking b = {.breaks_at = COUNT};
    const crew_map_opts opts = {.unordered = true, .window = 16};
    crew_pool *p = crewtest_open(3);
    crew_iter *it = crew_imap(p, square_task, (crew_source){next_or_break, &b}, 8, &opts, &err);
    assert_non_null(it);
    while ((rc = crew_next(it, &out, &item, 20, &err)) == 1) {
        assert_in_range(item.index, 0, COUNT - 1);
        assert_int_equal(out, item.index * item.index);
        assert_int_equal(seen[item.index]++, 0);
    }
    assert_code(rc, CREW_EPERM, &err);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(seen[i], 1);
    crew_iter_free(it);
    crewtest_free(p);
}

static void imap__timed_out_and_freed__what_has_not_begun_never_does(void **state) {
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    static const int64_t gates[8] = {CELL_GATE};
    const crew_map_opts opts = {.window = 8};
    crew_pool *p = crewtest_open(1);
    crew_iter *it =
        crew_imap(p, crewtest_gated_task, crew_source_array(gates, 8, 8), 8, &opts, &err);
    assert_non_null(it);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    assert_code(crew_next(it, NULL, NULL, 0.02, &err), CREW_ETIMEDOUT, &err);
    crew_iter_free(it);
    assert_ok(crew_pool_shutdown(p, true, false), NULL);
    assert_int_equal(crewtest_get(CELL_STARTED), 1);
    crewtest_free(p);
}

/* ---- one call ----------------------------------------------------------- */

static void apply_async__slow_call__is_waited_for_as_long_as_it_takes(void **state) {
    crew_error err;
    int64_t out;
    (void)state;
    crew_pool *p = crewtest_open(2);
    double from = crewtest_now();
    crew_future *f = submit(p, slow_task, 150);
    assert_ok(crew_future_result(f, &out, sizeof out, 20, &err), &err);
    assert_int_equal(out, 150);
    assert_true(crewtest_now() - from >= 0.149);
    assert_within(from, 10);
    crew_future_free(f);
    crewtest_free(p);
}

static void result__timed_out_while_the_call_runs__the_pool_can_be_terminated(void **state) {
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(2);
    crew_future *f = submit(p, crewtest_gated_task, CELL_GATE);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    double from = crewtest_now();
    assert_code(crew_future_result(f, NULL, 0, 0.1, &err), CREW_ETIMEDOUT, &err);
    assert_true(crewtest_now() - from >= 0.099);
    assert_within(from, 5);
    from = crewtest_now();
    crew_pool_terminate(p);
    assert_true(crew_future_result(f, NULL, 0, 10, &err) < 0);
    assert_within(from, 10);
    crew_future_free(f);
    crewtest_free(p);
    assert_within(from, 10);
}

/* ---- opening and ending ------------------------------------------------- */

static void open__number_of_workers__is_kept(void **state) {
    (void)state;
    for (int n = 1; n <= 3; n++) {
        crew_pool *p = crewtest_open(n);
        assert_int_equal(crew_pool_workers(p), crewtest_workers(n));
        crewtest_free(p);
    }
}

static void terminate__ten_thousand_items_waiting__is_quick(void **state) {
    enum { COUNT = 10000 };
    static int64_t gates[COUNT]; /* the gate that nobody opens */
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(2);
    crew_job *job = crew_map_async(p, crewtest_gated_task, gates, 8, COUNT, NULL, 0, NULL, &err);
    assert_non_null(job);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    double from = crewtest_now();
    crew_pool_terminate(p);
    assert_code(crew_pool_join(p, 10, &err), 0, &err);
    assert_within(from, 10);
    assert_true(crew_job_get(job, 5, &err) < 0);
    crew_job_free(job);
    crewtest_free(p);
    assert_within(from, 10);
}

static void pool__that_has_ended_in_any_way__refuses_more_work(void **state) {
    crew_error err;
    int64_t n = 1, out;
    (void)state;
    for (int way = 0; way < 4; way++) {
        crew_pool *p = crewtest_open(2);
        if (way == 0)
            crew_pool_close(p);
        else if (way == 1)
            crew_pool_terminate(p);
        else
            assert_ok(crew_pool_shutdown(p, way == 2, false), NULL);
        for (int again = 0; again < 2; again++) {
            assert_null(crew_submit(p, square_task, &n, sizeof n, NULL, &err));
            assert_code(err.code, CREW_ECLOSED, &err);
            assert_code(crew_pool_map(p, square_task, &n, 8, 1, &out, 8, NULL, &err), CREW_ECLOSED,
                        &err);
            assert_null(crew_map_async(p, square_task, &n, 8, 1, &out, 8, NULL, &err));
            assert_code(err.code, CREW_ECLOSED, &err);
            assert_null(crew_imap(p, square_task, crew_source_range(0, 2, 1), 8, NULL, &err));
            assert_code(err.code, CREW_ECLOSED, &err);
            assert_ok(crew_pool_join(p, 20, &err), &err);
        }
        crewtest_free(p);
    }
}

static int threads_here(void) {
    int n = 0;
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "Threads: %d", &n) == 1)
            break;
    fclose(f);
    return n;
}

static void free__returned__no_worker_thread_is_left(void **state) {
    (void)state;
    assert_usable(crewtest_open(1)); /* the service thread stays; teardown frees the pool */
    crew_pool *first = crewtest_open(1);
    crewtest_free(first);
    int before = threads_here();
    for (int i = 0; i < 5; i++) {
        crew_pool *p = crewtest_open(4);
        assert_usable(p);
        crewtest_free(p);
        /* A joined thread may be in the kernel's list for a moment. */
        CREWTEST_WAIT(threads_here() <= before, 5);
    }
}

/* ---- memory ------------------------------------------------------------- */

static uint64_t used_memory(void) {
    crew_error err;
    struct cw_session *s = cw_session_get(&err);
    assert_non_null(s);
    return cw_arena_used(&s->arena);
}

static int echo(crew_call *call) {
    return crew_reply(call, call->in, call->in_size);
}

static void one_of_everything(crew_pool *p, char *big, size_t size) {
    crew_error err;
    int64_t out[64];
    assert_ok(crew_map_index(p, square_task, 64, out, NULL, &err), &err);
    const crew_bytes items[2] = {{big, size}, {big, 10}};
    crew_results *r = crew_map_bytes(p, echo, items, 2, NULL, &err);
    assert_non_null(r);
    crew_results_free(r);
    crew_future *f = crew_submit(p, echo, big, size, NULL, &err), *g;
    assert_non_null(f);
    assert_ok(crew_future_result(f, NULL, 0, 20, &err), &err);
    crew_future_free(f);
    const crew_submit_opts common = {.common = big, .common_size = size};
    g = crew_submit(p, echo, big, size, &common, &err);
    assert_non_null(g);
    crew_future_free(g); /* nobody keeps it */
    crew_iter *it = crew_imap(p, echo, crew_source_array(big, size / 4, 4), 0, NULL, &err);
    assert_non_null(it);
    while (crew_next(it, NULL, NULL, 20, &err) == 1)
        ;
    crew_iter_free(it);
}

static void memory__of_items_and_results__comes_back(void **state) {
    const size_t size = 1 << 20;
    (void)state;
    char *big = calloc(1, size);
    assert_non_null(big);
    uint64_t before_open = used_memory();
    crew_pool *p = crewtest_open(2);
    uint64_t one = 0;
    for (int i = 0; i < 30; i++) {
        one_of_everything(p, big, size);
        if (i == 5)
            one = used_memory() + 8 * size;
        /* Thirty rounds hold no more than a few: nothing of a round stays. */
        if (i > 5)
            CREWTEST_WAIT(used_memory() <= one, 10);
    }
    crewtest_free(p);
    CREWTEST_WAIT(used_memory() <= before_open, 10);
    free(big);
}

/* ---- workers ------------------------------------------------------------ */

static void recycling__closed_before_the_work_is_done__loses_no_result(void **state) {
    enum { COUNT = 12 };
    crew_future *f[COUNT];
    crew_error err;
    crew_stats stats;
    (void)state;
    crew_pool_opts opts = crewtest_opts(3);
    opts.tasks_per_worker = 1;
    crew_pool *p = crewtest_open_opts(&opts);
    for (int64_t i = 0; i < COUNT; i++)
        f[i] = submit(p, slow_task, 10 + i);
    crew_pool_close(p);
    assert_ok(crew_pool_join(p, 60, &err), &err);
    for (int64_t i = 0; i < COUNT; i++) {
        int64_t out;
        assert_ok(crew_future_result(f[i], &out, sizeof out, 0, &err), &err);
        assert_int_equal(out, 10 + i);
        crew_future_free(f[i]);
    }
    assert_ok(crew_pool_stats(p, -1, &stats), NULL);
    assert_true(stats.restarts >= COUNT - 3);
    crewtest_free(p);
}

static int64_t global_value;

static int global_then_pid_task(crew_call *call) {
    int64_t both[2] = {global_value, getpid()};
    return crew_task_result(call, both, sizeof both);
}

static void recycling__replaced_workers__see_what_the_first_saw(void **state) {
    crew_error err;
    int64_t out[20][2];
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    global_value = 41;
    crew_pool_opts opts = crewtest_opts(1);
    opts.tasks_per_worker = 2;
    crew_pool *p = crewtest_open_opts(&opts);
    global_value = 42; /* too late for any worker, whenever it is brought */
    for (int64_t i = 0; i < 20; i++)
        assert_ok(crew_apply(p, global_then_pid_task, &i, 8, out[i], sizeof *out, &err), &err);
    int64_t want = strcmp(crewtest_backend(), "fork") == 0 ? 41 : 0, changes = 0;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(out[i][0], want);
        changes += i > 0 && out[i][1] != out[i - 1][1];
    }
    assert_true(changes >= 9);
    global_value = 0;
    crewtest_free(p);
}

static int expects_argument(crew_call *call) {
    crewtest_set(CELL_WORKER + call->worker, *CREW_IN(call, int64_t));
    return 0;
}

static int tell_argument(crew_call *call) {
    int64_t value = crewtest_get(CELL_WORKER + call->worker);
    return crew_task_result(call, &value, sizeof value);
}

static void init__with_an_argument__has_run_in_every_worker_before_its_first_call(void **state) {
    int64_t out[100], arg = 7171;
    crew_error err;
    (void)state;
    crew_pool_opts opts = crewtest_opts(3);
    opts.init = expects_argument;
    opts.init_arg = &arg;
    opts.init_size = sizeof arg;
    crew_pool *p = crewtest_open_opts(&opts);
    for (int w = 0; w < crew_pool_workers(p); w++)
        assert_int_equal(crewtest_get(CELL_WORKER + w), arg);
    assert_ok(crew_map_index(p, tell_argument, 100, out, NULL, &err), &err);
    for (int i = 0; i < 100; i++)
        assert_int_equal(out[i], arg);
    crewtest_free(p);
}

static void names__of_worker_processes__say_what_they_are(void **state) {
    pid_t pids[64];
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crew_pool *p = crewtest_open(2);
    assert_usable(p);
    int n = crewtest_family(pids, 64), workers = 0, nurseries = 0;
    for (int i = 0; i < n && i < 64; i++) {
        char path[64], name[64] = "";
        snprintf(path, sizeof path, "/proc/%d/comm", (int)pids[i]);
        FILE *f = fopen(path, "re");
        if (f && fscanf(f, "%63s", name) == 1) {
            workers += strcmp(name, "crew-worker") == 0;
            nurseries += strcmp(name, "crew-nursery") == 0;
        }
        if (f)
            fclose(f);
    }
    /* Those of other hosts are not to be seen here. */
    assert_in_range(workers, crewtest_has(CREWTEST_ONE_NODE) ? 2 : 1, 2);
    assert_true(nurseries >= 1);
    crewtest_free(p);
}

/* ---- programs that end -------------------------------------------------- */

static crew_pool *at_exit_pool;

static void submit_at_exit(void) {
    int64_t n = 3;
    crew_error err;
    crew_future *f = crew_submit(at_exit_pool, square_task, &n, sizeof n, NULL, &err);
    printf("%s\n", f ? "taken" : err.code == CREW_ECLOSED ? "refused" : err.text);
}

/* How a program may end: `how` is the last letter of the mode. */
static int helper_ends(char how) {
    dup2(STDOUT_FILENO, STDERR_FILENO); /* what it says there counts too */
    crew_pool_opts opts = crewtest_opts(2);
    crew_error err;
    if (how == 'x') /* before any other handler that the pool might need */
        atexit(submit_at_exit);
    crew_pool *p = at_exit_pool = crew_pool_open(&opts, &err);
    int64_t n = how == 'x' ? 1 : 200, out;
    if (!p)
        return 3;
    crew_future *f = crew_submit(p, slow_task, &n, sizeof n, NULL, &err);
    if (!f)
        return 4;
    if (how == 'o' && crew_apply(p, square_task, &n, sizeof n, &out, sizeof out, &err) < 0)
        return 5;
    if (how == 'n' || how == 'f')
        crew_pool_shutdown(p, false, false);
    if (how == 'c')
        crew_pool_shutdown(p, false, true);
    if (how == 'x')
        crew_pool_shutdown(p, true, false);
    return how == 'f' ? crew_finalize() : 0;
}

static void program__ends_without_closing_its_pool__quietly_and_leaves_no_process(void **state) {
    const struct {
        const char *mode, *says;
    } ways[] = {{"ends-o", ""},           /* a call runs still, the pool is open */
                {"ends-n", ""},           /* shut down without waiting */
                {"ends-c", ""},           /* and cancelled */
                {"ends-f", ""},           /* and crew_finalize */
                {"ends-x", "refused\n"}}; /* a submit from an exit handler */
    /* What a program leaves on purpose is no news from a sanitizer. */
    static const char *const settings[] = {"TSAN_OPTIONS=report_thread_leaks=0:die_after_fork=0",
                                           "ASAN_OPTIONS=detect_leaks=0", NULL};
    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char *text = NULL;
        pid_t pids[8];
        int before = crewtest_family(pids, 8);
        int status = crewtest_helper_run(ways[i].mode, settings, 20, &text);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || strcmp(text, ways[i].says) != 0)
            fail_msg("%s: status %#x, said \"%s\"", ways[i].mode, status, text);
        free(text);
        CREWTEST_WAIT(crewtest_family(pids, 8) <= before, 10);
    }
}

static int open_descriptors(void) {
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Opens with one descriptor more each time, until it works. */
static int helper_refused(void) {
    crew_pool_opts opts = crewtest_opts(2);
    int failures = 0, free_one = dup(STDIN_FILENO);
    close(free_one); /* the limit is on numbers, and there may be gaps below the highest */
    for (rlim_t room = 0; room < 64; room++) {
        int used = open_descriptors();
        const struct rlimit few = {(rlim_t)free_one + room, 4096};
        crew_error err;
        crewtest_check(setrlimit(RLIMIT_NOFILE, &few) == 0, "setrlimit");
        crew_pool *p = crew_pool_open(&opts, &err);
        if (!p) {
            failures++;
            crewtest_check(err.code < 0 && err.text[0], "no reason");
            crewtest_check(open_descriptors() == used, "%d descriptors instead of %d",
                           open_descriptors(), used);
            continue;
        }
        int64_t n = 9, out = 0;
        int rc = crew_apply(p, square_task, &n, sizeof n, &out, sizeof out, &err);
        crewtest_check(rc < 0 ? err.text[0] != 0 : out == 81, "apply");
        crew_pool_free(p);
        if (rc == 0) {
            /* Only a nursery of the pool's own needs any. */
            bool needs = strcmp(crewtest_backend(), "fork") == 0;
            crewtest_check(needs == (failures > 0), "%d failures", failures);
            return crew_finalize();
        }
    }
    return 9;
}

static void open__descriptors_refused_at_each_step__is_an_error_and_no_hang(void **state) {
    char *text;
    (void)state;
    int status = crewtest_helper_run("refused", NULL, 50, &text);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("status %#x, said \"%s\"", status, text);
    free(text);
}

static void *keep_threads_busy(void *arg) {
    crew_pool *p = arg;
    while (!crewtest_get(CELL_OWN)) {
        int64_t n = 3, out = 0;
        if (crew_apply(p, square_task, &n, sizeof n, &out, sizeof out, NULL) < 0 || out != 9)
            return NULL;
    }
    return arg;
}

static void pools_of_processes__opened_while_a_thread_pool_works__do_not_hang(void **state) {
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crewtest_need_fork_beside_threads();
    const crew_pool_opts threads = {.backend = CREW_THREADS, .workers = 2};
    crew_pool *busy = crew_pool_open(&threads, &err);
    assert_non_null(busy);
    pthread_t thread;
    void *good = NULL;
    assert_int_equal(pthread_create(&thread, NULL, keep_threads_busy, busy), 0);
    for (int64_t i = 0; i < crewtest_many(50); i++) {
        crew_pool *p = crewtest_open(2);
        int64_t n = i, out = 0;
        assert_ok(crew_apply(p, square_task, &n, sizeof n, &out, sizeof out, &err), &err);
        assert_int_equal(out, i * i);
        crewtest_free(p);
    }
    crewtest_set(CELL_OWN, 1);
    pthread_join(thread, &good);
    assert_ptr_equal(good, busy);
    crew_pool_free(busy);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return strcmp(argv[1], "refused") == 0 ? helper_refused()
                                               : helper_ends(argv[1][strlen(argv[1]) - 1]);
    const struct CMUnitTest tests[] = {
        CREWTEST(starmap_async__pairs__give_their_results_when_fetched),
        CREWTEST(map_async__callback__has_run_once_when_the_wait_returns),
        CREWTEST(no_items__maps_of_every_kind__end_at_once),
        CREWTEST(map__items_fail_with_long_texts__close_and_join_wait_for_the_slow_one),
        CREWTEST(map_async__never_asked_for__is_carried_out_before_a_waiting_shutdown_returns),
        CREWTEST(join__callbacks_that_take_their_time__have_returned),
        CREWTEST(reply__of_a_wrong_size_twenty_times__costs_no_worker),
        CREWTEST(source__fails_at_once_or_later_and_twice__the_pool_goes_on),
        CREWTEST(imap_unordered__source_fails__gives_each_result_once_and_then_the_error),
        CREWTEST(imap__timed_out_and_freed__what_has_not_begun_never_does),
        CREWTEST(apply_async__slow_call__is_waited_for_as_long_as_it_takes),
        CREWTEST(result__timed_out_while_the_call_runs__the_pool_can_be_terminated),
        CREWTEST(open__number_of_workers__is_kept),
        CREWTEST(terminate__ten_thousand_items_waiting__is_quick),
        CREWTEST(pool__that_has_ended_in_any_way__refuses_more_work),
        CREWTEST(free__returned__no_worker_thread_is_left),
        CREWTEST(memory__of_items_and_results__comes_back),
        CREWTEST(recycling__closed_before_the_work_is_done__loses_no_result),
        CREWTEST(recycling__replaced_workers__see_what_the_first_saw),
        CREWTEST(init__with_an_argument__has_run_in_every_worker_before_its_first_call),
        CREWTEST(names__of_worker_processes__say_what_they_are),
        CREWTEST(program__ends_without_closing_its_pool__quietly_and_leaves_no_process),
        CREWTEST(open__descriptors_refused_at_each_step__is_an_error_and_no_hang),
        CREWTEST(pools_of_processes__opened_while_a_thread_pool_works__do_not_hang),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
