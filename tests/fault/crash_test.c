/* fault/crash_test.c - tasks that take their worker with them: the item, its
 * worker, pid, signal and attempt are named, everything else is done. */
#include "crewtest.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEGFAULT, ABORT, KILLED, TERMINATED, UNDERSCORE_EXIT, EXIT, EXIT_0, KINDS };

static const struct kind {
    const char *name;
    int signal;
    const char *word; /* in the message */
} kinds[KINDS] = {
    [SEGFAULT] = {"segfault", SIGSEGV, "signal 11"},
    [ABORT] = {"abort", SIGABRT, "signal 6"},
    [KILLED] = {"SIGKILL", SIGKILL, "signal 9"},
    [TERMINATED] = {"SIGTERM", SIGTERM, "signal 15"},
    [UNDERSCORE_EXIT] = {"_exit(3)", 0, "3"},
    [EXIT] = {"exit(3)", 0, "3"},
    [EXIT_0] = {"exit(0)", 0, "0"},
};

/* A page that may not be written: a store there is a true crash. One to NULL would
 * be answered by a sanitizer before it happens. */
static volatile int *forbidden(void) {
    void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        _exit(99);
    return page;
}

static void die(int kind) {
    switch (kind) {
    case SEGFAULT:
        signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would make it an exit */
        *forbidden() = 1;
        break;
    case ABORT:
        signal(SIGABRT, SIG_DFL);
        abort();
    case KILLED:
        kill(getpid(), SIGKILL);
        break;
    case TERMINATED:
        signal(SIGTERM, SIG_DFL);
        kill(getpid(), SIGTERM);
        break;
    case UNDERSCORE_EXIT:
        _exit(3);
    case EXIT:
        exit(3);
    case EXIT_0:
        exit(0);
    default:
        break;
    }
}

/* Who dies: items whose number is rest modulo every, on their first attempts. */
struct plan {
    int64_t every, rest;
    int kind, attempts;
};

/* Notes in the item's cell how often it ran; the answer is the attempt. */
static int mortal(crew_call *call) {
    const struct plan *plan = CREW_COMMON(call, struct plan);
    crewtest_add(CELL_ITEM + call->index, 1);
    if (call->index % plan->every == plan->rest && call->attempt <= plan->attempts) {
        crewtest_set(CELL_OWN, getpid());
        die(plan->kind);
        return crew_fail(call, 1, "still alive");
    }
    int64_t attempt = call->attempt;
    return crew_task_result(call, &attempt, sizeof attempt);
}

static crew_map_opts planned(const struct plan *plan, int on_error) {
    crew_map_opts opts = {.common = plan, .common_size = sizeof *plan, .on_error = on_error};
    return opts;
}

static void check_death(const crew_error *err, int64_t item, int kind, int attempt) {
    assert_int_equal(err->code, CREW_EDIED);
    assert_int_equal(err->item, item);
    assert_int_equal(err->signal, kinds[kind].signal);
    assert_int_equal(err->attempt, attempt);
    assert_text(err->text, kinds[kind].word);
    assert_text(err->text, "mortal");
    char where[64];
    snprintf(where, sizeof where, "in worker %d (pid %d", err->worker, err->pid);
    assert_text(err->text, where);
    snprintf(where, sizeof where, "attempt %d of %d", attempt, attempt);
    assert_text(err->text, where);
}

static void crash__each_kind__names_item_worker_pid_signal_and_attempt(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (int kind = 0; kind < KINDS; kind++) {
        struct plan plan = {100, 41, kind, 99};
        crew_map_opts opts = planned(&plan, CREW_STOP);
        double from = crewtest_now();
        print_message("%s\n", kinds[kind].name);
        assert_code(crew_pool_map(p, mortal, NULL, 0, 100, NULL, 0, &opts, &err), CREW_EDIED, &err);
        assert_within(from, 10);
        check_death(&err, 41, kind, 1);
        assert_int_equal(err.pid, crewtest_get(CELL_OWN));
        assert_in_range(err.worker, 0, 1);
        assert_text(err.text, "item 41 of 100");
        assert_usable(p);
    }
    crewtest_free(p);
}

static void crash__continue__keeps_all_the_others(void **state) {
    enum { COUNT = 300, EVERY = 31 };
    static int64_t out[COUNT];
    int statuses[COUNT];
    crew_error err, errors[COUNT];
    (void)state;
    crew_pool *p = crewtest_open(3);
    for (int kind = 0; kind < KINDS; kind += 2)
        for (int64_t chunk = 0; chunk <= 50; chunk += 25) {
            struct plan plan = {EVERY, 7, kind, 99};
            crew_map_opts opts = planned(&plan, CREW_CONTINUE);
            int at = 0;
            opts.statuses = statuses;
            opts.errors = errors;
            opts.errors_cap = COUNT;
            opts.chunk = chunk;
            double from = crewtest_now();
            memset(out, 0, sizeof out);
            assert_code(crew_map_index(p, mortal, COUNT, out, &opts, &err), CREW_EFAILED, &err);
            assert_within(from, 20);
            for (int i = 0; i < COUNT; i++) {
                assert_int_equal(statuses[i], i % EVERY == 7 ? CREW_EDIED : 0);
                if (statuses[i])
                    check_death(&errors[at++], i, kind, 1);
                else /* those that died unbegun in a chunk are not to blame */
                    assert_int_equal(out[i], 1);
            }
            assert_int_equal(errors[at].code, 0);
        }
    crewtest_free(p);
}

static void crash__retries__run_it_again_so_often(void **state) {
    enum { COUNT = 60 };
    int64_t out[COUNT];
    crew_error err;
    (void)state;
    for (int retries = 0; retries < 3; retries++) {
        crew_pool_opts opts = crewtest_opts(2);
        opts.retries = retries;
        crew_pool *p = crewtest_open_opts(&opts);
        struct plan plan = {20, 5, KILLED, retries};
        crew_map_opts map = planned(&plan, CREW_STOP);
        assert_ok(crew_map_index(p, mortal, COUNT, out, &map, &err), &err);
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(out[i], i % 20 == 5 ? retries + 1 : 1);
        plan.attempts = 99;
        crewtest_set(CELL_ITEM + 5, 0);
        assert_code(crew_map_index(p, mortal, COUNT, out, &map, &err), CREW_EDIED, &err);
        check_death(&err, 5, KILLED, retries + 1);
        assert_int_equal(crewtest_get(CELL_ITEM + 5), retries + 1);
        crewtest_free(p);
    }
}

static void crash__stop__names_the_lowest_index_in_100_runs(void **state) {
    enum { COUNT = 200 };
    int statuses[COUNT];
    crew_error err;
    (void)state;
    int64_t runs = crewtest_many(100);
    crew_pool *p = crewtest_open(3);
    for (int64_t run = 0; run < runs; run++) {
        struct plan plan = {60, 37, run % 2 ? KILLED : UNDERSCORE_EXIT, 99};
        crew_map_opts opts = planned(&plan, CREW_STOP);
        opts.statuses = statuses;
        opts.chunk = run % 4 * 3;
        assert_code(crew_pool_map(p, mortal, NULL, 0, COUNT, NULL, 0, &opts, &err), CREW_EDIED,
                    &err);
        assert_int_equal(err.item, 37);
        for (int i = 0; i < 37; i++)
            assert_int_equal(statuses[i], 0);
    }
    crewtest_free(p);
}

/* ---- from outside ------------------------------------------------------- */

static int note_pid(crew_call *call) {
    crewtest_set(CELL_WORKER + call->worker, getpid());
    return 0;
}

static int note_and_wait(crew_call *call) {
    note_pid(call);
    crewtest_add(CELL_STARTED, 1);
    return call->attempt > 1 ? 0 : crewtest_pass(call, CELL_GATE);
}

static void kill_workers(crew_pool *p) {
    for (int w = 0; w < crew_pool_workers(p); w++) {
        pid_t pid = (pid_t)crewtest_get(CELL_WORKER + w);
        assert_true(pid > 1 && pid != getpid());
        kill(pid, SIGKILL);
    }
}

static void killed_from_outside__while_idle__costs_nothing(void **state) {
    crew_error err;
    crew_stats stats;
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (int round = 1; round <= 10; round++) {
        assert_ok(crew_pool_each(p, note_pid, NULL, 0, &err), &err);
        kill_workers(p);
        assert_usable(p);
    }
    assert_int_equal(crew_pool_stats(p, -1, &stats), 0);
    assert_in_range(stats.restarts, 10, 20);
    crewtest_free(p);
}

static void killed_from_outside__in_an_item__is_named_or_retried(void **state) {
    crew_error err;
    (void)state;
    for (int retries = 0; retries < 2; retries++) {
        crew_pool_opts opts = crewtest_opts(1);
        opts.retries = retries;
        crew_pool *p = crewtest_open_opts(&opts);
        crewtest_set(CELL_STARTED, 0);
        crew_job *job = crew_map_async(p, note_and_wait, NULL, 0, 3, NULL, 0, NULL, &err);
        assert_non_null(job);
        assert_true(crewtest_reached(CELL_STARTED, 1, 10));
        int64_t pid = crewtest_get(CELL_WORKER);
        double from = crewtest_now();
        kill((pid_t)pid, SIGKILL);
        if (retries == 0) {
            assert_code(crew_job_get(job, 10, &err), CREW_EDIED, &err);
            assert_int_equal(err.item, 0);
            assert_int_equal(err.pid, pid);
            assert_int_equal(err.signal, SIGKILL);
        } else {
            assert_true(crewtest_reached(CELL_STARTED, 2, 10));
            crewtest_set(CELL_GATE, 1);
            assert_ok(crew_job_get(job, 10, &err), &err);
        }
        assert_within(from, 10);
        crew_job_free(job);
        assert_usable(p);
        crewtest_free(p);
    }
}

static void killed_from_outside__submitted_task__is_named_or_retried(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    for (int retries = 0; retries < 2; retries++) {
        crew_submit_opts opts = {.retries = retries};
        crewtest_set(CELL_STARTED, 0);
        crew_future *f = crew_submit(p, note_and_wait, NULL, 0, &opts, &err);
        assert_non_null(f);
        assert_true(crewtest_reached(CELL_STARTED, 1, 10));
        double from = crewtest_now();
        kill_workers(p);
        assert_code(crew_future_result(f, NULL, 0, 10, &err), retries ? 0 : CREW_EDIED, &err);
        assert_int_equal(err.signal, retries ? 0 : SIGKILL);
        assert_within(from, 10);
        crew_future_free(f);
    }
    crewtest_free(p);
}

static void killed_from_outside__several_at_once__all_come_back(void **state) {
    crew_error err;
    (void)state;
    crew_pool_opts opts = crewtest_opts(4);
    opts.retries = 1;
    crew_pool *p = crewtest_open_opts(&opts);
    crew_job *job = crew_map_async(p, note_and_wait, NULL, 0, 4, NULL, 0, NULL, &err);
    assert_non_null(job);
    assert_true(crewtest_reached(CELL_STARTED, 4, 10));
    kill_workers(p);
    assert_ok(crew_job_get(job, 10, &err), &err);
    crew_job_free(job);
    assert_usable(p);
    crewtest_free(p);
}

/* ---- in other kinds of work --------------------------------------------- */

static void crash__in_a_stream__the_other_items_come(void **state) {
    enum { COUNT = 200 };
    struct plan plan = {50, 20, SEGFAULT, 99};
    crew_map_opts opts = planned(&plan, CREW_CONTINUE);
    crew_error err;
    int bad = 0;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_iter *it = crew_imap(p, mortal, crew_source_range(0, COUNT, 1), 8, &opts, &err);
    assert_non_null(it);
    for (int i = 0; i < COUNT; i++) {
        crew_item item;
        int rc = crew_next(it, NULL, &item, 10, &err);
        assert_int_equal(item.index, i);
        assert_code(rc < 0 ? rc : 0, i % 50 == 20 ? CREW_EDIED : 0, &err);
        bad += rc < 0;
    }
    assert_int_equal(crew_next(it, NULL, NULL, 10, &err), 0);
    assert_int_equal(bad, 4);
    crew_iter_free(it);
    crewtest_free(p);
}

static int dying_child(crew_call *call) {
    if (crewtest_add(CELL_COUNT, 1) == 0)
        die(KILLED);
    (void)call;
    return 0;
}

static int parent_of_dying(crew_call *call) {
    return crew_spawn(call, dying_child, NULL, 0) < 0 ? crew_fail(call, 1, "no child") : 0;
}

static void crash__in_a_spawned_child__the_item_that_made_it_dies(void **state) {
    crew_error err;
    (void)state;
    for (int retries = 0; retries < 2; retries++) {
        crew_pool_opts opts = crewtest_opts(2);
        opts.retries = retries;
        crewtest_set(CELL_COUNT, 0);
        crew_pool *p = crewtest_open_opts(&opts);
        double from = crewtest_now();
        assert_code(crew_apply(p, parent_of_dying, NULL, 0, NULL, 0, &err),
                    retries ? 0 : CREW_EDIED, &err);
        assert_within(from, 10);
        assert_usable(p);
        crewtest_free(p);
    }
}

static void crash__in_for_and_bytes__is_reported(void **state) {
    struct plan plan = {10, 3, ABORT, 99};
    crew_map_opts opts = planned(&plan, CREW_CONTINUE);
    crew_bytes in[10] = {{"x", 1}};
    crew_error err;
    (void)state;
    for (int i = 1; i < 10; i++)
        in[i] = in[0];
    crew_pool *p = crewtest_open(2);
    crew_results *r = crew_map_bytes(p, mortal, in, 10, &opts, &err);
    assert_non_null(r);
    for (int64_t i = 0; i < 10; i++) {
        assert_code(crew_results_error(r, i, &err), i == 3 ? CREW_EDIED : 0, &err);
        assert_true((crew_results_at(r, i, NULL) == NULL) == (i == 3));
    }
    crew_results_free(r);
    crewtest_free(p);
}

static void note_exit(void) {
    crewtest_add(CELL_COUNT, 1);
}

/* The program's atexit handlers are the manager's: they run once, at its end. */
static int helper_exits(void) {
    crew_error err;
    struct plan plan = {3, 1, EXIT, 99};
    crew_map_opts map = planned(&plan, CREW_CONTINUE);
    crew_pool_opts opts = crewtest_opts(2);
    atexit(note_exit);
    crew_pool *p = crew_pool_open(&opts, &err);
    crewtest_check(p, "%s", err.text);
    int rc = crew_pool_map(p, mortal, NULL, 0, 9, NULL, 0, &map, &err);
    crewtest_check(rc == CREW_EFAILED, "%s", err.text);
    crewtest_check(crewtest_get(CELL_COUNT) == 0, "a handler ran in a worker");
    crew_pool_free(p);
    return crew_finalize();
}

static void exit__in_a_task__does_not_run_the_programs_handlers(void **state) {
    (void)state;
    int status = crewtest_helper_run("exits", NULL, 20, NULL);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(crewtest_get(CELL_COUNT), 1);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return helper_exits();
    if (!crewtest_has(CREWTEST_PROCESSES))
        return crewtest_skip_all();
    const struct CMUnitTest tests[] = {
        CREWTEST(crash__each_kind__names_item_worker_pid_signal_and_attempt),
        CREWTEST(crash__continue__keeps_all_the_others),
        CREWTEST(crash__retries__run_it_again_so_often),
        CREWTEST(crash__stop__names_the_lowest_index_in_100_runs),
        CREWTEST(killed_from_outside__while_idle__costs_nothing),
        CREWTEST(killed_from_outside__in_an_item__is_named_or_retried),
        CREWTEST(killed_from_outside__submitted_task__is_named_or_retried),
        CREWTEST(killed_from_outside__several_at_once__all_come_back),
        CREWTEST(crash__in_a_stream__the_other_items_come),
        CREWTEST(crash__in_a_spawned_child__the_item_that_made_it_dies),
        CREWTEST(crash__in_for_and_bytes__is_reported),
        CREWTEST(exit__in_a_task__does_not_run_the_programs_handlers),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
