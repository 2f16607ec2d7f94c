/* fault/limit_test.c - tasks over their time or memory, tasks that loop for
 * ever and are killed or cancelled. Where workers are not processes limits of
 * time are cooperative and those of memory not supported. */
#include "crewtest.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The items whose number is in common loop until cancelled; a process does not
 * ask, and blocks what can be blocked. The answer is the attempt. */
struct stuck {
    int64_t every, rest, attempts;
};

static void loop_for_ever(crew_call *call) {
    sigset_t all;
    bool polite = !crewtest_has(CREWTEST_PROCESSES);
    if (!polite) {
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
    }
    double limit = crewtest_now() + 40;
    while (!(polite && crew_cancelled(call)) && crewtest_now() < limit)
        __asm__ volatile("" ::: "memory");
}

static int some_stick(crew_call *call) {
    const struct stuck *stuck = CREW_COMMON(call, struct stuck);
    crewtest_add(CELL_ITEM + call->index, 1);
    if (call->index % stuck->every == stuck->rest && call->attempt <= stuck->attempts) {
        crewtest_add(CELL_STARTED, 1);
        loop_for_ever(call);
        return crew_fail(call, 1, "came to an end");
    }
    int64_t attempt = call->attempt;
    return crew_task_result(call, &attempt, sizeof attempt);
}

static crew_map_opts sticking(const struct stuck *stuck, int on_error) {
    crew_map_opts opts = {
        .common = stuck, .common_size = sizeof *stuck, .on_error = on_error, .chunk = 2};
    return opts;
}

static crew_pool *open_limited(int workers, double seconds, size_t memory, int retries) {
    crew_pool_opts opts = crewtest_opts(workers);
    opts.task_timeout = seconds;
    opts.task_memory = memory;
    opts.retries = retries;
    return crewtest_open_opts(&opts);
}

/* Where it ended is in the text as well, if there is a process to name. */
static void check_where(const crew_error *err) {
    char where[64];
    if (!crewtest_has(CREWTEST_PROCESSES))
        return;
    assert_true(err->pid > 1);
    snprintf(where, sizeof where, "in worker %d (pid %d", err->worker, err->pid);
    assert_text(err->text, where);
    assert_text(err->text, "attempt 1 of 1");
}

/* ---- time --------------------------------------------------------------- */

static void time_limit__items_that_loop__are_ended_and_the_others_done(void **state) {
    enum { COUNT = 40 };
    struct stuck stuck = {20, 3, 99};
    crew_map_opts opts = sticking(&stuck, CREW_CONTINUE);
    int statuses[COUNT];
    int64_t out[COUNT];
    crew_error err;
    (void)state;
    opts.statuses = statuses;
    crew_pool *p = open_limited(2, 0.6, 0, 0);
    double from = crewtest_now();
    assert_code(crew_map_index(p, some_stick, COUNT, out, &opts, &err), CREW_EFAILED, &err);
    assert_true(crewtest_now() - from >= 0.59);
    assert_within(from, 10);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(statuses[i], i % 20 == 3 ? CREW_ELIMIT : 0);
        if (!statuses[i])
            assert_int_equal(out[i], 1);
    }
    assert_usable(p);
    crewtest_free(p);
}

static void time_limit__stop__names_the_item_and_what_it_passed(void **state) {
    struct stuck stuck = {100, 7, 99};
    crew_map_opts opts = sticking(&stuck, CREW_STOP);
    crew_error err;
    (void)state;
    crew_pool *p = open_limited(2, 0.6, 0, 0);
    assert_code(crew_pool_map(p, some_stick, NULL, 0, 50, NULL, 0, &opts, &err), CREW_ELIMIT, &err);
    assert_int_equal(err.item, 7);
    assert_int_equal(err.attempt, 1);
    assert_in_range(err.worker, 0, 1);
    assert_text(err.text, "item 7 of 50");
    assert_text(err.text, "time");
    check_where(&err);
    crewtest_free(p);
}

static void time_limit__retries__run_it_again(void **state) {
    enum { COUNT = 10 };
    struct stuck stuck = {COUNT, 4, 1};
    crew_map_opts opts = sticking(&stuck, CREW_STOP);
    int64_t out[COUNT];
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crew_pool *p = open_limited(2, 0.6, 0, 2);
    assert_ok(crew_map_index(p, some_stick, COUNT, out, &opts, &err), &err);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(out[i], i == 4 ? 2 : 1);
    stuck.attempts = 99;
    double from = crewtest_now();
    assert_code(crew_map_index(p, some_stick, COUNT, out, &opts, &err), CREW_ELIMIT, &err);
    assert_int_equal(err.attempt, 3);
    assert_within(from, 10);
    crewtest_free(p);
}

static int short_task(crew_call *call) {
    double end = crewtest_now() + 0.02;
    (void)call;
    while (crewtest_now() < end)
        crewtest_pause();
    return 0;
}

static void time_limit__many_short_items__do_not_add_up(void **state) {
    crew_map_opts opts = {.chunk = 150};
    crew_error err;
    (void)state;
    crew_pool *p = open_limited(1, 2.5, 0, 0); /* all of them take 3 s */
    assert_ok(crew_pool_map(p, short_task, NULL, 0, 150, NULL, 0, &opts, &err), &err);
    crewtest_free(p);
}

static void time_limit__of_a_submitted_task__is_its_own(void **state) {
    struct stuck stuck = {1, 0, 99};
    crew_submit_opts opts = {
        .common = &stuck, .common_size = sizeof stuck, .task_timeout = 0.2, .index = 5};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    double from = crewtest_now();
    crew_future *f = crew_submit(p, some_stick, NULL, 0, &opts, &err);
    assert_non_null(f);
    assert_code(crew_future_result(f, NULL, 0, 20, &err), CREW_ELIMIT, &err);
    assert_true(crewtest_now() - from >= 0.19);
    assert_within(from, 10);
    crew_future_free(f);
    assert_usable(p);
    crewtest_free(p);
}

/* ---- memory ------------------------------------------------------------- */

/* Grows by its item's bytes, and then is in no hurry. */
static int grow(crew_call *call) {
    enum { STEP = 1 << 20 };
    size_t want = *CREW_IN(call, size_t), have = 0;
    while (have < want) {
        char *more = malloc(STEP); /* not freed: a worker's growth is one task's */
        if (!more)
            break;
        memset(more, 1, STEP);
        __asm__ volatile("" ::"r"(more) : "memory");
        have += STEP;
    }
    if (want > (size_t)100 << 20) /* over the limit: wait for what is due */
        return crewtest_pass(call, CELL_GATE);
    return crew_task_result(call, &have, sizeof have);
}

static void memory_limit__task_that_grows__is_ended_and_named(void **state) {
    size_t in[6] = {1 << 20, 2 << 20, (size_t)160 << 20, 1 << 20, 4 << 20, 1 << 20}, out[6];
    int statuses[6];
    crew_map_opts opts = {.on_error = CREW_CONTINUE, .statuses = statuses, .chunk = 1};
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crew_pool *p = open_limited(2, 0, (size_t)64 << 20, 0);
    double from = crewtest_now();
    assert_code(crew_map(p, grow, in, 6, out, &opts, &err), CREW_EFAILED, &err);
    assert_within(from, 15);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(statuses[i], i == 2 ? CREW_ELIMIT : 0);
        if (i != 2)
            assert_int_equal(out[i], in[i]);
    }
    assert_code(crew_map(p, grow, in, 6, out, NULL, &err), CREW_ELIMIT, &err);
    assert_int_equal(err.item, 2);
    assert_text(err.text, "memory limit of 64 MiB");
    check_where(&err);
    assert_usable(p);
    crewtest_free(p);
}

static void memory_limit__of_a_submitted_task__is_its_own_or_not_supported(void **state) {
    size_t big = (size_t)160 << 20;
    crew_submit_opts opts = {.task_memory = (size_t)64 << 20};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    crew_future *f = crew_submit(p, grow, &big, sizeof big, &opts, &err);
    if (crewtest_has(CREWTEST_PROCESSES)) {
        assert_non_null(f);
        assert_code(crew_future_result(f, NULL, 0, 20, &err), CREW_ELIMIT, &err);
        assert_text(err.text, "memory limit of 64 MiB");
    } else {
        assert_null(f);
        assert_code(err.code, CREW_ENOTSUP, &err);
    }
    crew_future_free(f);
    assert_usable(p);
    crewtest_free(p);
}

/* Shared memory is not the task's own: filling an array is no growth. */
static int fill_array(crew_call *call) {
    crew_array array = *CREW_COMMON(call, crew_array);
    unsigned char *data = crew_array_data(array);
    if (!data)
        return crew_fail(call, 1, "no array");
    memset(data, (int)call->index + 1, (size_t)96 << 20);
    return crewtest_reached(CELL_GATE, 1, 0.1) ? 1 : 0; /* time to be sampled in */
}

static void memory_limit__shared_array__does_not_count(void **state) {
    int64_t size = 96 << 20;
    crew_array array;
    crew_map_opts opts = {.common = &array, .common_size = sizeof array};
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crew_pool *p = open_limited(1, 0, (size_t)32 << 20, 0);
    assert_int_equal(crew_array_create(&array, CREW_U8, 1, &size, NULL), 0);
    assert_ok(crew_pool_map(p, fill_array, NULL, 0, 3, NULL, 0, &opts, &err), &err);
    assert_int_equal(crew_array_destroy(array), 0);
    crewtest_free(p);
}

/* ---- loops that are ended by hand --------------------------------------- */

static void kill__task_that_loops_for_ever__ends_in_time(void **state) {
    struct stuck stuck = {1, 0, 99};
    crew_submit_opts opts = {.common = &stuck, .common_size = sizeof stuck};
    crew_future *f[4];
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_PROCESSES);
    crew_pool *p = crewtest_open(2);
    for (int i = 0; i < 4; i++)
        assert_non_null(f[i] = crew_submit(p, some_stick, NULL, 0, &opts, &err));
    assert_true(crewtest_reached(CELL_STARTED, 2, 10));
    double from = crewtest_now();
    for (int i = 0; i < 4; i++) {
        assert_int_equal(crew_future_kill(f[i]), 1);
        assert_code(crew_future_result(f[i], NULL, 0, 10, &err), CREW_ECANCELLED, &err);
        crew_future_free(f[i]);
    }
    assert_within(from, 5);
    assert_usable(p);
    crewtest_free(p);
}

static void cancel_and_timeout__map_that_loops_for_ever__ends_in_time(void **state) {
    struct stuck stuck = {5, 0, 99};
    crew_map_opts opts = sticking(&stuck, CREW_STOP);
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(2);
    crew_job *job = crew_map_async(p, some_stick, NULL, 0, 100, NULL, 0, &opts, &err);
    assert_non_null(job);
    assert_true(crewtest_reached(CELL_STARTED, 2, 10));
    double from = crewtest_now();
    assert_true(crew_job_cancel(job) >= 0);
    assert_code(crew_job_get(job, 10, &err), CREW_ECANCELLED, &err);
    assert_within(from, 5);
    crew_job_free(job);
    opts.timeout = 0.2;
    from = crewtest_now();
    assert_code(crew_pool_map(p, some_stick, NULL, 0, 100, NULL, 0, &opts, &err), CREW_ETIMEDOUT,
                &err);
    assert_within(from, 5);
    assert_usable(p);
    crewtest_free(p);
}

static void terminate_and_free__tasks_that_loop_for_ever__end_in_time(void **state) {
    struct stuck stuck = {1, 0, 99};
    crew_map_opts opts = sticking(&stuck, CREW_STOP);
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    for (int terminate = 0; terminate < 2; terminate++) {
        crewtest_set(CELL_STARTED, 0);
        crew_pool *p = crewtest_open(2);
        crew_job *job = crew_map_async(p, some_stick, NULL, 0, 100, NULL, 0, &opts, &err);
        assert_non_null(job);
        assert_true(crewtest_reached(CELL_STARTED, 2, 10));
        double from = crewtest_now();
        if (terminate) {
            crew_pool_terminate(p);
            assert_code(crew_job_get(job, 10, &err), CREW_ECANCELLED, &err);
        }
        crew_job_free(job);
        crewtest_free(p);
        assert_within(from, 5);
    }
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(time_limit__items_that_loop__are_ended_and_the_others_done),
        CREWTEST(time_limit__stop__names_the_item_and_what_it_passed),
        CREWTEST(time_limit__retries__run_it_again),
        CREWTEST(time_limit__many_short_items__do_not_add_up),
        CREWTEST(time_limit__of_a_submitted_task__is_its_own),
        CREWTEST(memory_limit__task_that_grows__is_ended_and_named),
        CREWTEST(memory_limit__of_a_submitted_task__is_its_own_or_not_supported),
        CREWTEST(memory_limit__shared_array__does_not_count),
        CREWTEST(kill__task_that_loops_for_ever__ends_in_time),
        CREWTEST(cancel_and_timeout__map_that_loops_for_ever__ends_in_time),
        CREWTEST(terminate_and_free__tasks_that_loop_for_ever__end_in_time),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
