/* fault/init_death_test.c - initializers that kill their worker, every time or
 * from some time on: a clear error within bounds, no endless respawn. */
#include "crewtest.h"

#include <signal.h>
#include <stdlib.h>
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

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (!crewtest_has(CREWTEST_PROCESSES))
        return crewtest_skip_all();
    const struct CMUnitTest tests[] = {
        CREWTEST(init_dies__every_time__open_fails_in_time),
        CREWTEST(init_dies__from_the_first_replacement_on__running_map_fails),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
