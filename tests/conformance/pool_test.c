/* conformance/pool_test.c - pools: opening, closing in each form, initializers,
 * recycling, statistics, the descriptor, each, and what several pools, threads
 * and nested pools do together. */
#include "crewtest.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int64_t square(int64_t n) {
    return n * n;
}
CREW_TASK(square, int64_t, int64_t)

static int pid_task(crew_call *call) {
    int64_t pid = getpid();
    return crew_task_result(call, &pid, sizeof pid);
}

static crew_future *submit(crew_pool *p, crew_fn *fn, int64_t n) {
    crew_error err;
    crew_future *f = crew_submit(p, fn, &n, sizeof n, NULL, &err);
    if (!f)
        fail_msg("crew_submit: %s", err.text);
    return f;
}

/* ---- opening ------------------------------------------------------------ */

static void open__bad_requests__are_errors_in_a_sentence(void **state) {
    int arg = 1;
    crew_error err;
    const struct {
        crew_pool_opts opts;
        const char *named;
    } cases[] = {
        {{.workers = -1}, "-1"},
        {{.workers = 100000}, "100000"},
        {{.backend = 77}, "77"},
        {{.start = 55}, "55"},
        {{.bind = 44}, "44"},
        {{.threads_per_worker = -3}, "-3"},
        {{.tasks_per_worker = -8}, "-8"},
        {{.retries = -9}, "-9"},
        {{.init = (crew_fn *)(uintptr_t)&arg}, " "},
        {{.init = pid_task, .init_size = 8}, " "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        crew_pool_opts opts = cases[i].opts;
        if (!opts.backend)
            opts.backend = crewtest_opts(1).backend;
        crew_pool *p = crew_pool_open(&opts, &err);
        crew_pool_free(p);
        if (p)
            fail_msg("case %zu was taken", i);
        assert_code(err.code, CREW_EINVAL, &err);
        assert_text(err.text, cases[i].named);
    }
    crew_pool_opts limited = crewtest_opts(1);
    limited.task_memory = 1 << 20;
    crew_pool *p = crew_pool_open(&limited, &err);
    crew_pool_free(p);
    assert_code(err.code, crewtest_has(CREWTEST_PROCESSES) ? 0 : CREW_ENOTSUP, &err);
    crew_pool_free(NULL);
}

static void open__defaults__are_a_worker_for_each_processor(void **state) {
    crew_error err;
    (void)state;
    crewtest_need_fork(); /* what AUTO is */
    /* Under ranks it is for the launch to say. */
    int64_t workers = crewtest_env("CREW_TEST_WORKERS", crew_cpu_count());
    crew_pool *p = crew_pool_open(NULL, &err);
    assert_non_null(p);
    assert_int_equal(err.code, 0);
    bool ranks = strcmp(crewtest_backend(), "ranks") == 0; /* at least one on each */
    assert_true(ranks ? crew_pool_workers(p) >= 3 : crew_pool_workers(p) == workers);
    assert_usable(p);
    crew_pool_free(p);
    p = crewtest_open(0);
    assert_true(ranks ? crew_pool_workers(p) >= 3
                      : crew_pool_workers(p) == crewtest_workers((int)workers));
    crewtest_free(p);
}

/* A helper that opens a pool as the environment says and prints the outcome. */
static int helper_open(void) {
    crew_error err = *crew_last_error();
    crew_pool *p = crewtest_init_code() < 0 ? NULL : crew_pool_open(NULL, &err);
    printf("%d %d %s\n", p ? 0 : err.code, p ? crew_pool_workers(p) : 0, p ? "" : err.text);
    crew_pool_free(p);
    return crew_finalize();
}

static void open__settings_of_the_environment__override_or_are_named(void **state) {
    static const struct {
        const char *setting;
        int code, workers;
        const char *words[4];
    } cases[] = {
        {"CREW_WORKERS=3", 0, 3, {0}},
        {"CREW_BACKEND=serial", 0, 1, {0}},
        {"CREW_BACKEND=bogus", CREW_EINVAL, 0, {"CREW_BACKEND", "bogus", "threads", "fork"}},
        {"CREW_START=soon", CREW_EINVAL, 0, {"CREW_START", "soon", "server", "spawn"}},
        {"CREW_BIND=glue", CREW_EINVAL, 0, {"CREW_BIND", "glue", "core", "socket"}},
        {"CREW_WORKERS=0", CREW_EINVAL, 0, {"CREW_WORKERS", "0", "1"}},
        {"CREW_WORKERS=-4", CREW_EINVAL, 0, {"CREW_WORKERS", "-4"}},
        {"CREW_WORKERS=many", CREW_EINVAL, 0, {"CREW_WORKERS", "many"}},
        {"CREW_SEED=0x1g", CREW_EINVAL, 0, {"CREW_SEED", "0x1g"}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *settings[] = {cases[i].setting, NULL};
        char *text;
        int status = crewtest_helper_run("open", settings, 20, &text), code = 1, workers = -1;
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_int_equal(sscanf(text, "%d %d", &code, &workers), 2);
        if (code != cases[i].code || workers != cases[i].workers)
            fail_msg("%s: %s", cases[i].setting, text);
        for (int w = 0; w < 4 && cases[i].words[w]; w++)
            assert_text(text, cases[i].words[w]);
        free(text);
    }
}

static int64_t early = 1; /* main sets it above crew_init */
static int64_t late;      /* set before a pool is opened */

static int globals_task(crew_call *call) {
    int64_t both[2] = {early, late};
    return crew_task_result(call, both, sizeof both);
}

static void open__globals__are_seen_as_the_way_of_starting_says(void **state) {
    const char *backend = crewtest_backend();
    int64_t seen[2], n = 0;
    crew_error err;
    (void)state;
    late = 5;
    crew_pool *p = crewtest_open(1);
    late = 6;
    assert_ok(crew_apply(p, globals_task, &n, sizeof n, seen, sizeof seen, &err), &err);
    assert_int_equal(seen[0], 2);
    if (strcmp(backend, "fork") == 0)
        assert_int_equal(seen[1], 5);
    else if (crewtest_has(CREWTEST_PROCESSES))
        assert_int_equal(seen[1], 0);
    else
        assert_int_equal(seen[1], 6);
    crewtest_free(p);
    late = 0;
}

static void open_and_free__fifty_times__leaves_nothing(void **state) {
    (void)state;
    for (int i = 0; i < 50; i++) {
        crew_pool *p = crewtest_open(1 + i % 4);
        if (i % 3)
            assert_usable(p);
        crewtest_free(p);
    }
}

static void free__returned__no_process_is_left(void **state) {
    pid_t pids[64];
    int64_t n = 0, pid = 0;
    crew_error err;
    (void)state;
    int before = crewtest_family(pids, 64);
    crew_pool *p = crewtest_open(4);
    assert_ok(crew_apply(p, pid_task, &n, sizeof n, &pid, sizeof pid, &err), &err);
    /* Aboard a worker is a rank, this one or another. */
    if (strcmp(crewtest_backend(), "aboard") != 0)
        assert_true((pid != getpid()) == crewtest_has(CREWTEST_PROCESSES));
    /* Those on other hosts are not to be seen here; here is one at least. */
    if (crewtest_has(CREWTEST_PROCESSES))
        assert_true(crewtest_family(pids, 64) >=
                    before + (crewtest_has(CREWTEST_ONE_NODE) ? 4 : 1));
    crewtest_free(p);
    assert_true(crewtest_family(pids, 64) <= before);
}

/* ---- closing ------------------------------------------------------------ */

static void assert_closed(crew_pool *p) {
    int64_t out;
    crew_error err;
    assert_code(crew_map_index(p, square_task, 1, &out, NULL, &err), CREW_ECLOSED, &err);
    assert_null(crew_submit(p, square_task, &out, sizeof out, NULL, &err));
    assert_code(err.code, CREW_ECLOSED, &err);
    assert_null(crew_imap(p, square_task, crew_source_range(0, 1, 1), 8, NULL, &err));
    assert_code(err.code, CREW_ECLOSED, &err);
}

static void close_and_join__work_left__is_finished(void **state) {
    crew_future *f[200];
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    assert_true(crew_pool_join(p, 0.1, &err) < 0); /* before close */
    for (int i = 0; i < 200; i++)
        f[i] = submit(p, square_task, i);
    crew_pool_close(p);
    crew_pool_close(p);
    assert_closed(p);
    assert_ok(crew_pool_join(p, 20, &err), &err);
    assert_ok(crew_pool_join(p, 0, &err), &err);
    for (int64_t i = 0; i < 200; i++) {
        int64_t out = -1;
        assert_ok(crew_future_result(f[i], &out, sizeof out, 0, &err), &err);
        assert_int_equal(out, i * i);
        crew_future_free(f[i]);
    }
    crewtest_free(p);
}

static void join__work_that_does_not_end__times_out(void **state) {
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(1);
    crew_future *f = submit(p, crewtest_gated_task, CELL_GATE);
    crew_pool_close(p);
    assert_code(crew_pool_join(p, 0, &err), CREW_ETIMEDOUT, &err);
    assert_code(crew_pool_join(p, 0.05, &err), CREW_ETIMEDOUT, &err);
    crewtest_set(CELL_GATE, 1);
    assert_ok(crew_pool_join(p, 20, &err), &err);
    assert_true(crew_future_done(f));
    crew_future_free(f);
    crewtest_free(p);
}

static void shutdown__wait_and_cancel__is_what_executors_do(void **state) {
    crew_future *f[11];
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    for (int wait = 0; wait < 2; wait++)
        for (int cancel = 0; cancel < 2; cancel++) {
            crewtest_set(CELL_GATE, 0);
            crewtest_set(CELL_STARTED, 0);
            crew_pool *p = crewtest_open(1);
            f[0] = submit(p, crewtest_gated_task, CELL_GATE);
            assert_true(crewtest_reached(CELL_STARTED, 1, 10));
            for (int i = 1; i < 11; i++)
                f[i] = submit(p, square_task, i);
            if (wait) /* one that waits needs the gate open */
                crewtest_set(CELL_GATE, cancel ? 0 : 1);
            assert_int_equal(crew_pool_shutdown(p, wait && !cancel, cancel), 0);
            if (!wait || cancel)
                assert_false(crew_future_done(f[0]));
            assert_closed(p);
            crewtest_set(CELL_GATE, 1);
            assert_int_equal(crew_pool_shutdown(p, true, cancel), 0);
            assert_ok(crew_future_result(f[0], NULL, 0, 0, &err), &err);
            for (int i = 1; i < 11; i++) {
                assert_code(crew_future_result(f[i], NULL, 0, 0, &err),
                            cancel ? CREW_ECANCELLED : 0, &err);
                crew_future_free(f[i]);
            }
            crew_future_free(f[0]);
            crewtest_free(p);
        }
}

static void terminate__running_and_waiting_work__is_cancelled_in_time(void **state) {
    crew_future *f[20];
    crew_error err;
    int ended = 0;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(2);
    for (int i = 0; i < 20; i++)
        f[i] = submit(p, crewtest_gated_task, CELL_GATE);
    assert_true(crewtest_reached(CELL_STARTED, 2, 10));
    double from = crewtest_now();
    crew_pool_terminate(p);
    for (int i = 0; i < 20; i++) {
        int rc = crew_future_result(f[i], NULL, 0, 10, &err);
        /* What runs on a thread is asked to return, and may say how it did. */
        if (rc != CREW_EFAILED || crewtest_has(CREWTEST_PROCESSES))
            assert_code(rc, CREW_ECANCELLED, &err);
        ended += rc == CREW_EFAILED;
        crew_future_free(f[i]);
    }
    assert_in_range(ended, 0, 2);
    assert_ok(crew_pool_join(p, 10, &err), &err);
    assert_within(from, 5);
    assert_closed(p);
    crewtest_free(p);
}

static void free__work_in_the_middle__ends_in_time(void **state) {
    crew_error err;
    int64_t in[50];
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    for (int i = 0; i < 50; i++)
        in[i] = CELL_GATE;
    crew_pool *p = crewtest_open(2);
    crew_job *job = crew_map_async(p, crewtest_gated_task, in, 8, 50, NULL, 0, NULL, &err);
    assert_non_null(job);
    for (int i = 0; i < 50; i++)
        crew_future_free(submit(p, crewtest_gated_task, CELL_GATE));
    assert_true(crewtest_reached(CELL_STARTED, 2, 10));
    double from = crewtest_now();
    crew_job_free(job);
    crewtest_free(p);
    assert_within(from, 5);
}

/* ---- init, fini, recycling ---------------------------------------------- */

static int init_fails(crew_call *call) {
    crewtest_add(CELL_COUNT, 1);
    if (call->worker == (int)*CREW_IN(call, int64_t))
        return crew_fail(call, 23, "no licence for worker %d", call->worker);
    return 0;
}

static void open__init_fails_in_a_worker__fails_with_its_text(void **state) {
    (void)state;
    for (int64_t which = 0; which < crewtest_workers(3); which++) {
        crew_pool_opts opts = crewtest_opts(3);
        crew_error err;
        opts.init = init_fails;
        opts.init_arg = &which;
        opts.init_size = sizeof which;
        double from = crewtest_now();
        crew_pool *p = crew_pool_open(&opts, &err);
        crew_pool_free(p);
        assert_null(p);
        assert_code(err.code, CREW_EFAILED, &err);
        assert_int_equal(err.task_code, 23);
        assert_int_equal(err.worker, which);
        assert_text(err.text, "no licence for worker");
        assert_within(from, 5);
    }
    assert_in_range(crewtest_get(CELL_COUNT), 1, 9); /* not again and again */
}

static int count_init(crew_call *call) {
    crewtest_add(CELL_COUNT, 1);
    crewtest_add(CELL_WORKER + call->worker, 1);
    return 0;
}
static int count_fini(crew_call *call) {
    (void)call;
    crewtest_add(CELL_OWN, 1);
    return 0;
}

/* A worker may count an item a moment after its result is there. */
static int64_t items_so_far(crew_pool *p) {
    crew_stats stats;
    assert_int_equal(crew_pool_stats(p, -1, &stats), 0);
    return stats.items;
}

static void recycling__after_so_many_tasks__a_new_worker_takes_over(void **state) {
    enum { COUNT = 100, EACH = 10 };
    int64_t pids[COUNT];
    crew_pool_opts opts = crewtest_opts(1);
    crew_map_opts map = {.chunk = 1};
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    opts.tasks_per_worker = EACH;
    opts.init = count_init;
    opts.fini = count_fini;
    crew_pool *p = crewtest_open_opts(&opts);
    assert_ok(crew_map_index(p, pid_task, COUNT, pids, &map, &err), &err);
    for (int i = 0; i < COUNT && crewtest_has(CREWTEST_PROCESSES); i++) {
        int same = 0;
        for (int j = 0; j < COUNT; j++)
            same += pids[j] == pids[i];
        assert_in_range(same, 1, EACH);
    }
    assert_in_range(crewtest_get(CELL_COUNT), COUNT / EACH, COUNT / EACH + 1);
    for (int i = 0; i < 25; i++) { /* submitted ones count too */
        int64_t n = i;
        assert_ok(crew_apply(p, square_task, &n, sizeof n, &n, sizeof n, &err), &err);
    }
    assert_true(crewtest_get(CELL_COUNT) >= COUNT / EACH + 2);
    CREWTEST_WAIT(items_so_far(p) == COUNT + 25, 5);
    assert_int_equal(crew_pool_shutdown(p, true, false), 0);
    assert_int_equal(crewtest_get(CELL_OWN), crewtest_get(CELL_COUNT));
    crewtest_free(p);
}

/* ---- stats, each, the descriptor ---------------------------------------- */

static int half_fail(crew_call *call) {
    for (uint64_t i = 0; i < 20000; i++)
        __asm__ volatile("" : "+r"(i));
    return call->index % 2 ? 4 : 0;
}

static void stats__items_and_failures__add_up(void **state) {
    crew_map_opts opts = {.on_error = CREW_CONTINUE};
    crew_stats all, one;
    crew_error err;
    int64_t items = 0, failures = 0, restarts = 0;
    (void)state;
    crew_pool *p = crewtest_open(3);
    assert_int_equal(crew_pool_stats(p, -1, &all), 0);
    assert_true(all.items == 0 && all.failures == 0 && all.restarts == 0);
    assert_code(crew_pool_map(p, half_fail, NULL, 0, 1000, NULL, 0, &opts, &err), CREW_EFAILED,
                &err);
    CREWTEST_WAIT(items_so_far(p) == 1000, 5);
    assert_int_equal(crew_pool_stats(p, -1, &all), 0);
    assert_int_equal(all.failures, 500);
    assert_int_equal(all.restarts, 0);
    assert_true(all.busy > 0 && all.idle >= 0);
    for (int w = 0; w < crew_pool_workers(p); w++) {
        assert_int_equal(crew_pool_stats(p, w, &one), 0);
        items += one.items;
        failures += one.failures;
        restarts += one.restarts;
    }
    assert_true(items == 1000 && failures == 500 && restarts == 0);
    assert_int_equal(crew_pool_stats(p, crew_pool_workers(p), &one), CREW_EINVAL);
    assert_int_equal(crew_pool_stats(p, -2, &one), CREW_EINVAL);
    assert_int_equal(crew_pool_stats(p, -1, NULL), CREW_EINVAL);
    crewtest_free(p);
}

static int on_each(crew_call *call) {
    if (call->in_size != 5 || memcmp(call->in, "hello", 5) != 0)
        return crew_fail(call, 1, "%d bytes", (int)call->in_size);
    crewtest_add(CELL_WORKER + call->worker, 1);
    return 0;
}

static int fails_on_last(crew_call *call) {
    return call->worker == (int)*CREW_IN(call, int64_t) ? crew_fail(call, 9, "the last one") : 0;
}

static void each_worker__runs_it_once__and_reports_failures(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(4);
    int workers = crew_pool_workers(p);
    int64_t last = workers - 1;
    for (int round = 1; round <= 20; round++) {
        assert_ok(crew_pool_each(p, on_each, "hello", 5, &err), &err);
        for (int w = 0; w < workers; w++)
            assert_int_equal(crewtest_get(CELL_WORKER + w), round);
    }
    assert_code(crew_pool_each(p, fails_on_last, &last, sizeof last, &err), CREW_EFAILED, &err);
    assert_int_equal(err.task_code, 9);
    assert_int_equal(err.worker, last);
    assert_text(err.text, "the last one");
    assert_code(crew_pool_each(p, NULL, NULL, 0, &err), CREW_EINVAL, &err);
    assert_usable(p);
    crewtest_free(p);
}

static int readable(int fd, int ms) {
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, ms);
}

static void fd__in_a_poll_loop__tells_of_every_end(void **state) {
    enum { COUNT = 50 };
    crew_future *f[COUNT];
    uint64_t word;
    int done = 0;
    (void)state;
    crew_pool *p = crewtest_open(2);
    int fd = crew_pool_fd(p);
    assert_true(fd >= 0);
    assert_int_equal(crew_pool_fd(p), fd);
    assert_int_equal(readable(fd, 0), 0);
    for (int i = 0; i < COUNT; i++)
        f[i] = submit(p, square_task, i);
    while (done < COUNT) {
        assert_int_equal(readable(fd, 10000), 1);
        assert_int_equal(read(fd, &word, sizeof word), sizeof word);
        for (int i = 0; i < COUNT; i++) {
            if (f[i] && crew_future_done(f[i])) {
                crew_future_free(f[i]);
                f[i] = NULL;
                done++;
            }
        }
    }
    /* Every end has been seen; one that came between is still announced. */
    if (readable(fd, 0))
        assert_int_equal(read(fd, &word, sizeof word), sizeof word);
    crew_error err;
    crew_job *job = crew_map_async(p, square_task, NULL, 0, 10, NULL, 0, NULL, &err);
    assert_non_null(job);
    assert_int_equal(readable(fd, 10000), 1);
    CREWTEST_WAIT(crew_job_ready(job), 10);
    crew_job_free(job);
    crewtest_free(p);
}

static void fd__asked_for_after_an_end__is_readable(void **state) {
    uint64_t word;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_future *f = submit(p, square_task, 3);
    CREWTEST_WAIT(crew_future_done(f), 10);
    int fd = crew_pool_fd(p);
    assert_int_equal(readable(fd, 0), 1);
    assert_int_equal(read(fd, &word, sizeof word), sizeof word);
    crew_future_free(f);
    crewtest_free(p);
}

/* ---- several pools, threads, nesting ------------------------------------ */

static void pools__several_at_once__do_not_mix(void **state) {
    enum { POOLS = 4, COUNT = 500 };
    static int64_t out[POOLS][COUNT];
    crew_pool *pools[POOLS];
    crew_job *jobs[POOLS];
    crew_error err;
    (void)state;
    for (int i = 0; i < POOLS; i++) {
        crew_pool_opts opts = crewtest_opts(1 + i % 2);
        if (i == 3)
            opts.backend = CREW_THREADS, opts.start = CREW_START_AUTO;
        pools[i] = crewtest_open_opts(&opts);
    }
    for (int i = 0; i < POOLS; i++) {
        crew_map_opts opts = {.first = i * 10000};
        jobs[i] = crew_map_async(pools[i], square_task, NULL, 0, COUNT, out[i], 8, &opts, &err);
        assert_non_null(jobs[i]);
    }
    assert_ok(crew_job_get(jobs[0], 20, &err), &err);
    crew_job_free(jobs[0]);
    crewtest_free(pools[0]); /* one goes, the others stay */
    for (int i = POOLS - 1; i >= 0; i--) {
        if (i) {
            assert_ok(crew_job_get(jobs[i], 20, &err), &err);
            crew_job_free(jobs[i]);
            assert_usable(pools[i]);
        }
        for (int64_t n = 0; n < COUNT; n++)
            assert_int_equal(out[i][n], (i * 10000 + n) * (i * 10000 + n));
    }
    for (int i = 1; i < POOLS; i++)
        crewtest_free(pools[i]);
}

struct user {
    pthread_t thread;
    crew_pool *pool;
    int number, wrong;
};

/* Not the test's thread: counts instead of asserting. */
static void *use_pool(void *arg) {
    struct user *u = arg;
    for (int round = 0; round < 30; round++) {
        int64_t out[40] = {0}, n = u->number + round, got = 0;
        crew_map_opts opts = {.first = u->number * 100};
        u->wrong += crew_map_index(u->pool, square_task, 40, out, &opts, NULL) != 0;
        for (int64_t i = 0; i < 40; i++)
            u->wrong += out[i] != (opts.first + i) * (opts.first + i);
        crew_future *f = crew_submit(u->pool, square_task, &n, sizeof n, NULL, NULL);
        u->wrong += !f || crew_future_result(f, &got, sizeof got, 20, NULL) != 0 || got != n * n;
        crew_future_free(f);
        u->wrong += crew_map_index(u->pool, NULL, 1, out, NULL, NULL) != CREW_EINVAL;
        u->wrong += crew_pool_stats(u->pool, -5, NULL) != CREW_EINVAL;
        u->wrong += crew_last_error()->code != CREW_EINVAL;
    }
    return NULL;
}

static void pool__used_by_eight_threads__serves_each(void **state) {
    struct user users[8];
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (int i = 0; i < 8; i++) {
        users[i] = (struct user){.pool = p, .number = i};
        assert_int_equal(pthread_create(&users[i].thread, NULL, use_pool, &users[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(users[i].thread, NULL);
        assert_int_equal(users[i].wrong, 0);
    }
    crewtest_free(p);
}

struct depth {
    int level, code, workers;
    char text[256];
};

/* Opens a pool in a pool in a pool, until that is refused. */
static int dig(crew_call *call) {
    struct depth d = *CREW_IN(call, struct depth);
    int64_t out[10];
    crew_error err;
    crew_pool_opts opts = crewtest_opts(d.level >= 1 ? 1 : 0);
    crew_pool *p = d.level < 12 ? crew_pool_open(&opts, &err) : NULL;
    if (!p) {
        d.code = d.level < 12 ? err.code : 0;
        snprintf(d.text, sizeof d.text, "%s", d.code ? err.text : "no limit in sight");
        return crew_task_result(call, &d, sizeof d);
    }
    int workers = crew_pool_workers(p), rc = crew_map_index(p, square_task, 10, out, NULL, &err);
    if (rc == 0 && out[9] == 81) {
        d.level++;
        rc = crew_apply(p, dig, &d, sizeof d, &d, sizeof d, &err);
    }
    crew_pool_free(p);
    if (rc)
        return crew_fail(call, 1, "level %d: %.150s", d.level, err.text);
    if (workers > d.workers)
        d.workers = workers;
    return crew_task_result(call, &d, sizeof d);
}

static void pool__inside_a_worker__works_to_a_limited_depth(void **state) {
    struct depth d = {0};
    crew_error err;
    (void)state;
    int cores = crew_cpu_count(), share = cores / crewtest_workers(2);
    if (crewtest_on_ranks())
        share = cores; /* on a node of its own a worker has them all */
    crew_pool *p = crewtest_open(2);
    assert_ok(crew_apply(p, dig, &d, sizeof d, &d, sizeof d, &err), &err);
    assert_in_range(d.level, 1, 11);
    assert_true(d.code < 0);
    assert_text(d.text, "pools inside workers may be nested");
    assert_in_range(d.workers, 1, share > 1 ? share : 1); /* its worker's slice */
    assert_usable(p);
    crewtest_free(p);
}

/* ---- output ------------------------------------------------------------- */

enum { LINES = 3000 };

static int print_line(crew_call *call) {
    printf("line %06d %080d end\n", (int)call->index, (int)call->index);
    return 0;
}

/* Output of its own waits in stdio's buffer when the workers are forked. */
static int helper_print(void) {
    crew_error err;
    printf("before\n");
    crew_pool_opts opts = crewtest_opts(3);
    crew_map_opts map = {.chunk = 10};
    crew_pool *p = crew_pool_open(&opts, &err);
    crewtest_check(p, "%s", err.text);
    printf("opened\n");
    int rc = crew_pool_map(p, print_line, NULL, 0, LINES, NULL, 0, &map, &err);
    crewtest_check(rc == 0, "%s", err.text);
    printf("after\n");
    crew_pool_free(p);
    return crew_finalize();
}

static void output__through_a_pipe__comes_once_and_in_whole_lines(void **state) {
    static int seen[LINES];
    char *text, *line, *rest;
    int others = 0;
    (void)state;
    memset(seen, 0, sizeof seen);
    int status = crewtest_helper_run("print", NULL, 30, &text);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        int number = -1, again = -1, length = 0;
        if (sscanf(line, "line %6d %80d end%n", &number, &again, &length) != 2) {
            if (strcmp(line, "before") && strcmp(line, "opened") && strcmp(line, "after"))
                fail_msg("a torn line: %s", line);
            others++;
            continue;
        }
        if (number != again || number < 0 || number >= LINES || (size_t)length != strlen(line))
            fail_msg("a torn line: %s", line);
        seen[number]++;
    }
    assert_int_equal(others, 3);
    for (int i = 0; i < LINES; i++)
        assert_int_equal(seen[i], 1);
    free(text);
}

int main(int argc, char **argv) {
    early = 2;
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return strcmp(argv[1], "open") == 0 ? helper_open() : helper_print();
    const struct CMUnitTest tests[] = {
        CREWTEST(open__bad_requests__are_errors_in_a_sentence),
        CREWTEST(open__defaults__are_a_worker_for_each_processor),
        CREWTEST(open__settings_of_the_environment__override_or_are_named),
        CREWTEST(open__globals__are_seen_as_the_way_of_starting_says),
        CREWTEST(open_and_free__fifty_times__leaves_nothing),
        CREWTEST(free__returned__no_process_is_left),
        CREWTEST(close_and_join__work_left__is_finished),
        CREWTEST(join__work_that_does_not_end__times_out),
        CREWTEST(shutdown__wait_and_cancel__is_what_executors_do),
        CREWTEST(terminate__running_and_waiting_work__is_cancelled_in_time),
        CREWTEST(free__work_in_the_middle__ends_in_time),
        CREWTEST(open__init_fails_in_a_worker__fails_with_its_text),
        CREWTEST(recycling__after_so_many_tasks__a_new_worker_takes_over),
        CREWTEST(stats__items_and_failures__add_up),
        CREWTEST(each_worker__runs_it_once__and_reports_failures),
        CREWTEST(fd__in_a_poll_loop__tells_of_every_end),
        CREWTEST(fd__asked_for_after_an_end__is_readable),
        CREWTEST(pools__several_at_once__do_not_mix),
        CREWTEST(pool__used_by_eight_threads__serves_each),
        CREWTEST(pool__inside_a_worker__works_to_a_limited_depth),
        CREWTEST(output__through_a_pipe__comes_once_and_in_whole_lines),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
