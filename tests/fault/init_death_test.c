/* fault/init_death_test.c - initializers that kill their worker, every time or
 * from some time on: a clear error within bounds, no endless respawn. */
#include "crewtest.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BY_ABORT, BY_KILL, BY_EXIT, WAYS };

static void die(int64_t way) {
    if (way == BY_ABORT) {
        signal(SIGABRT, SIG_DFL);
        abort();
    }
    if (way == BY_KILL)
        raise(SIGKILL);
    _exit(4);
}

struct plan {
    int64_t way, worker; /* worker -1: all */
};

static int dying_init(crew_call *call) {
    const struct plan *plan = CREW_IN(call, struct plan);
    crewtest_add(CELL_COUNT, 1);
    if (plan->worker < 0 || plan->worker == call->worker)
        die(plan->way);
    return 0;
}

static crew_pool_opts with_init(int workers, crew_fn *init, const struct plan *plan) {
    crew_pool_opts opts = crewtest_opts(workers);
    opts.init = init;
    opts.init_arg = plan;
    opts.init_size = sizeof *plan;
    return opts;
}

static void init_dies__every_time__open_fails_in_time(void **state) {
    (void)state;
    for (int way = 0; way < WAYS; way++)
        for (int64_t worker = -1; worker < 3; worker += 2) {
            struct plan plan = {way, worker};
            crew_pool_opts opts = with_init(3, dying_init, &plan);
            crew_error err;
            opts.retries = 2; /* of items, not of initializers without end */
            crewtest_set(CELL_COUNT, 0);
            double from = crewtest_now();
            crew_pool *p = crew_pool_open(&opts, &err);
            assert_within(from, 5);
            crew_pool_free(p);
            assert_null(p);
            assert_true(err.code == CREW_EDIED || err.code == CREW_EBROKEN);
            assert_text(err.text, "init");
            if (way == BY_KILL)
                assert_int_equal(err.signal, SIGKILL);
            assert_in_range(crewtest_get(CELL_COUNT), 1, 30);
        }
}

/* Well at first; once the gate's cell is set it dies, or fails. */
static int turning_init(crew_call *call) {
    const struct plan *plan = CREW_IN(call, struct plan);
    crewtest_add(CELL_COUNT, 1);
    crewtest_set(CELL_WORKER + call->worker, getpid());
    if (crewtest_get(CELL_GATE) == 0)
        return 0;
    if (plan->way < WAYS)
        die(plan->way);
    return crew_fail(call, 5, "turned bad");
}

static int waits_at_gate_1(crew_call *call) {
    crewtest_add(CELL_STARTED, 1);
    return crewtest_pass(call, CELL_GATE + 1);
}

static void init_dies__from_the_first_replacement_on__running_map_fails(void **state) {
    (void)state;
    for (int way = 0; way <= WAYS; way++) {
        struct plan plan = {way, -1};
        crew_pool_opts opts = with_init(2, turning_init, &plan);
        crew_error err;
        for (int cell = CELL_GATE; cell < CELL_WORKER; cell++)
            crewtest_set(cell, 0);
        opts.retries = 1000000; /* the items would wait for ever */
        crew_pool *p = crewtest_open_opts(&opts);
        crew_job *job = crew_map_async(p, waits_at_gate_1, NULL, 0, 10, NULL, 0, NULL, &err);
        assert_non_null(job);
        assert_true(crewtest_reached(CELL_STARTED, 2, 10));
        crewtest_set(CELL_GATE, 1);
        double from = crewtest_now();
        for (int w = 0; w < 2; w++)
            kill((pid_t)crewtest_get(CELL_WORKER + w), SIGKILL);
        int rc = crew_job_get(job, 15, &err);
        assert_within(from, 10);
        assert_true(rc == CREW_EBROKEN || rc == CREW_EDIED || rc == CREW_EFAILED);
        assert_text(err.text, plan.way < WAYS ? "worker" : "turned bad");
        assert_in_range(crewtest_get(CELL_COUNT), 3, 60);
        int64_t runs = crewtest_get(CELL_COUNT);
        assert_true(crew_apply(p, waits_at_gate_1, NULL, 0, NULL, 0, &err) < 0);
        assert_in_range(crewtest_get(CELL_COUNT), runs, runs + 30);
        crew_job_free(job);
        crewtest_free(p);
    }
}

/* ---- initializers that do not return ------------------------------------ */

enum { CELL_HANGS = CELL_GATE + 8 }; /* so many from now on hang */

static int hanging_init(crew_call *call) {
    crewtest_add(CELL_COUNT, 1);
    crewtest_set(CELL_WORKER + call->worker, getpid());
    if (crewtest_get(CELL_HANGS) > 0 && crewtest_add(CELL_HANGS, -1) > 0)
        for (;;)
            pause();
    return 0;
}

static crew_pool_opts hanging(int workers, double task_timeout) {
    static const struct plan unused;
    crew_pool_opts opts = with_init(workers, hanging_init, &unused);
    opts.task_timeout = task_timeout;
    return opts;
}

static int index_of(crew_call *call) {
    return crew_task_result(call, &call->index, sizeof call->index);
}

static void init_hangs__in_a_replacement__the_others_go_on_and_free_ends_it(void **state) {
    int64_t out[100];
    crew_error err;
    (void)state;
    for (int way = 0; way < 3; way++) {
        crew_pool_opts opts = hanging(2, 0);
        crewtest_set(CELL_COUNT, 0);
        crewtest_set(CELL_HANGS, 0);
        crew_pool *p = crewtest_open_opts(&opts);
        crewtest_set(CELL_HANGS, 1);
        kill((pid_t)crewtest_get(CELL_WORKER), SIGKILL);
        assert_true(crewtest_reached(CELL_COUNT, 3, 10));
        double from = crewtest_now();
        assert_ok(crew_map_index(p, index_of, 100, out, NULL, &err), &err);
        assert_ok(crew_apply(p, index_of, NULL, 0, NULL, 0, &err), &err);
        if (way == 1)
            crew_pool_terminate(p);
        if (way == 2) {
            crew_pool_close(p);
            assert_code(crew_pool_join(p, 0.2, &err), CREW_ETIMEDOUT, &err);
        }
        crewtest_free(p);
        assert_within(from, 5);
    }
}

static void init_hangs__only_worker__a_map_ends_when_it_is_cancelled(void **state) {
    crew_error err;
    (void)state;
    crew_pool_opts opts = hanging(1, 0);
    crew_pool *p = crewtest_open_opts(&opts);
    crewtest_set(CELL_HANGS, 1);
    kill((pid_t)crewtest_get(CELL_WORKER), SIGKILL);
    assert_true(crewtest_reached(CELL_COUNT, 2, 10));
    crew_job *job = crew_map_async(p, index_of, NULL, 0, 10, NULL, 0, NULL, &err);
    crew_future *f = crew_submit(p, index_of, NULL, 0, NULL, &err);
    assert_true(job && f);
    assert_int_equal(crew_job_wait(job, 0.05), CREW_ETIMEDOUT);
    assert_int_equal(crew_job_cancel(job), 0);
    assert_code(crew_job_get(job, 5, &err), CREW_ECANCELLED, &err);
    assert_int_equal(crew_future_cancel(f), 1);
    crew_job_free(job);
    crew_future_free(f);
    crewtest_free(p);
}

static void init_hangs__with_a_limit__it_is_ended_and_tried_again(void **state) {
    crew_error err;
    crew_stats stats;
    (void)state;
    crew_pool_opts opts = hanging(1, 0.2);
    crew_pool *p = crewtest_open_opts(&opts);
    crewtest_set(CELL_HANGS, 2);
    kill((pid_t)crewtest_get(CELL_WORKER), SIGKILL);
    double from = crewtest_now();
    assert_ok(crew_apply(p, index_of, NULL, 0, NULL, 0, &err), &err);
    assert_within(from, 8);
    assert_int_equal(crewtest_get(CELL_COUNT), 4);
    assert_int_equal(crew_pool_stats(p, 0, &stats), 0);
    assert_int_equal(stats.restarts, 3);
    crewtest_set(CELL_HANGS, 1000);
    from = crewtest_now();
    kill((pid_t)crewtest_get(CELL_WORKER), SIGKILL);
    assert_code(crew_apply(p, index_of, NULL, 0, NULL, 0, &err), CREW_EBROKEN, &err);
    assert_text(err.text, "initializer was over the time limit of 0.2 s");
    assert_within(from, 10);
    crewtest_free(p);
}

static void init_hangs__with_a_limit__open_fails_in_time(void **state) {
    crew_error err;
    (void)state;
    crew_pool_opts opts = hanging(3, 0.2);
    crewtest_set(CELL_HANGS, 1);
    double from = crewtest_now();
    crew_pool *p = crew_pool_open(&opts, &err);
    crew_pool_free(p);
    assert_null(p);
    assert_int_equal(err.code, CREW_ELIMIT);
    assert_text(err.text, "time limit of 0.2 s");
    assert_within(from, 5);
}

/* What init keeps is the worker's, not its tasks'. */
static int large_init(crew_call *call) {
    enum { SIZE = 64 << 20 };
    char *block = malloc(SIZE);
    if (!block)
        return crew_fail(call, 1, "no memory");
    memset(block, 1, SIZE);
    *call->state = block;
    return 0;
}

static int take_half_a_second(crew_call *call) {
    double end = crewtest_now() + 0.5;
    while (crewtest_now() < end)
        crewtest_pause();
    return ((char *)*call->state)[5] == 1 ? 0 : crew_fail(call, 1, "it is gone");
}

static void init_keeps_much__with_a_memory_limit__tasks_run(void **state) {
    crew_error err;
    (void)state;
    crew_pool_opts opts = crewtest_opts(1);
    opts.init = large_init;
    opts.task_memory = 16 << 20;
    crew_pool *p = crewtest_open_opts(&opts);
    assert_ok(crew_apply(p, take_half_a_second, NULL, 0, NULL, 0, &err), &err);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (!crewtest_has(CREWTEST_PROCESSES))
        return crewtest_skip_all();
    const struct CMUnitTest tests[] = {
        CREWTEST(init_dies__every_time__open_fails_in_time),
        CREWTEST(init_dies__from_the_first_replacement_on__running_map_fails),
        CREWTEST(init_hangs__in_a_replacement__the_others_go_on_and_free_ends_it),
        CREWTEST(init_hangs__only_worker__a_map_ends_when_it_is_cancelled),
        CREWTEST(init_hangs__with_a_limit__it_is_ended_and_tried_again),
        CREWTEST(init_hangs__with_a_limit__open_fails_in_time),
        CREWTEST(init_keeps_much__with_a_memory_limit__tasks_run),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
