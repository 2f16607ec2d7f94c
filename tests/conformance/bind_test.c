/* conformance/bind_test.c - where workers really run: as the plan says, and never
 * outside of the mask that the program was started with. The plan itself, on machines
 * of all shapes, is unit/topo_test.c's. */
#include "crewtest.h"

#include <crew/topology.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { MOST = 4 };

/* "0-3,8" */
static cpu_set_t parsed(const char *text) {
    cpu_set_t set;
    CPU_ZERO(&set);
    while (*text) {
        char *end;
        long from = strtol(text, &end, 10), to = from;
        if (*end == '-')
            to = strtol(end + 1, &end, 10);
        for (long cpu = from; cpu <= to; cpu++)
            CPU_SET((size_t)cpu, &set);
        text = *end == ',' ? end + 1 : end;
    }
    return set;
}

static int own_mask(crew_call *call) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return crew_fail(call, 1, "sched_getaffinity");
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        crewtest_set(CELL_ITEM + call->worker * CPU_SETSIZE + cpu, CPU_ISSET((size_t)cpu, &set));
    return 0;
}

static cpu_set_t mask_of(int worker) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (crewtest_get(CELL_ITEM + worker * CPU_SETSIZE + cpu))
            CPU_SET((size_t)cpu, &set);
    return set;
}

/* Opens a pool as the options say, in a program whose mask is `all`. */
static void check(const crew_pool_opts *opts, const cpu_set_t *all) {
    crew_place places[MOST];
    crew_pool_opts settled;
    crew_error err;
    int workers = crew_pool_plan(opts, &settled, places, MOST, &err);
    crewtest_check(workers >= 1 && workers <= MOST, "%d workers: %s", workers, err.text);
    crew_pool *p = crew_pool_open(opts, &err);
    crewtest_check(p && crew_pool_workers(p) == workers, "%s", err.text);
    int rc = crew_pool_each(p, own_mask, NULL, 0, &err);
    crewtest_check(rc == 0, "%s", err.text);
    crew_pool_free(p);
    for (int w = 0; w < workers; w++) {
        cpu_set_t have = mask_of(w), want = *places[w].cpus ? parsed(places[w].cpus) : *all, both;
        crewtest_check(CPU_EQUAL(&have, &want), "bind %d, %d workers of %d: worker %d is not on %s",
                       settled.bind, workers, opts->threads_per_worker, w, places[w].cpus);
        CPU_AND(&both, &have, all);
        crewtest_check(CPU_EQUAL(&both, &have), "worker %d is outside of the mask", w);
        bool whole = settled.bind == CREW_BIND_NONE || settled.bind == CREW_BIND_AUTO;
        crewtest_check(whole || *places[w].cpus || !crewtest_has(CREWTEST_MANY),
                       "bind %d: worker %d is not bound", settled.bind, w);
        if (settled.bind == CREW_BIND_PU && opts->threads_per_worker == 1 && *places[w].cpus)
            crewtest_check(CPU_COUNT(&have) == 1, "a processor each: %d", CPU_COUNT(&have));
    }
}

static int helper(void) {
    static const int binds[] = {CREW_BIND_AUTO, CREW_BIND_NONE, CREW_BIND_CORE,  CREW_BIND_PU,
                                CREW_BIND_L3,   CREW_BIND_NUMA, CREW_BIND_SOCKET};
    cpu_set_t all, after;
    crewtest_check(sched_getaffinity(0, sizeof all, &all) == 0, "no mask");
    for (size_t b = 0; b < sizeof binds / sizeof *binds; b++)
        for (int workers = 1; workers <= 3; workers++)
            for (int threads = 0; threads <= 2; threads++) {
                crew_pool_opts opts = crewtest_opts(workers);
                opts.bind = binds[b];
                opts.threads_per_worker = threads;
                check(&opts, &all);
            }
    if (CPU_COUNT(&all) == 1) { /* nothing was asked for: the mask says how many */
        crew_pool_opts opts = crewtest_opts(0);
        check(&opts, &all);
        crewtest_check(crew_cpu_count() == 1, "%d processors counted", crew_cpu_count());
        int ranks = strcmp(crewtest_backend(), "ranks") == 0 ? 3 : 1; /* one each */
        crewtest_check(crew_pool_plan(&opts, NULL, NULL, 0, NULL) == ranks, "too many workers");
    }
    crewtest_check(sched_getaffinity(0, sizeof after, &after) == 0 && CPU_EQUAL(&all, &after),
                   "the program's own mask has changed");
    return crew_finalize();
}

static void run(const char *order) {
    const char *settings[] = {order, NULL};
    int status = crewtest_helper_run("binds", settings, 50, NULL);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void bind__every_kind_and_order__workers_are_where_the_plan_says(void **state) {
    (void)state;
    run("CREW_ORDER=compact");
    run("CREW_ORDER=scatter");
}

/* As taskset -c does it: the mask is set before the program is started. */
static void bind__program_started_on_one_processor__nobody_leaves_it(void **state) {
    cpu_set_t all, one;
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    for (int last = 0; last < 2; last++) {
        CPU_ZERO(&one);
        for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &all) && (last || CPU_COUNT(&one) == 0)) {
                CPU_ZERO(&one);
                CPU_SET(cpu, &one);
            }
        assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
        int status = crewtest_helper_run("binds", NULL, 50, NULL);
        assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return helper();
    const struct CMUnitTest tests[] = {
        CREWTEST(bind__every_kind_and_order__workers_are_where_the_plan_says),
        CREWTEST(bind__program_started_on_one_processor__nobody_leaves_it),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
