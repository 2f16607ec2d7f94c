/* mpi/places.c - what crew_pool_plan says of all nodes is what their workers find. */
#include "crewtest.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 12, CPUS = 1024, CELL_NODE = CELL_WORKER, MASKS = CELL_ITEM };

static int looks(crew_call *call) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return crew_fail(call, 1, "sched_getaffinity");
    crewtest_set(CELL_NODE + call->worker, call->node);
    for (int cpu = 0; cpu < CPUS; cpu++)
        crewtest_set(MASKS + call->worker * CPUS + cpu, CPU_ISSET((size_t)cpu, &set));
    return 0;
}

/* "0-3,8" as a worker's mask; empty: as this process's. */
static void check_mask(const char *cpus, int worker, const cpu_set_t *all) {
    cpu_set_t want = *all;
    if (*cpus)
        CPU_ZERO(&want);
    while (*cpus) {
        char *end;
        long from = strtol(cpus, &end, 10), to = *end == '-' ? strtol(end + 1, &end, 10) : from;
        for (; from <= to; from++)
            CPU_SET((size_t)from, &want);
        cpus = *end ? end + 1 : end;
    }
    for (int cpu = 0; cpu < CPUS; cpu++)
        if (crewtest_get(MASKS + worker * CPUS + cpu) != !!CPU_ISSET((size_t)cpu, &want))
            fail_msg("worker %d: processor %d", worker, cpu);
}

static void plan__of_all_nodes__is_where_their_workers_are(void **state) {
    static const int binds[] = {CREW_BIND_NONE, CREW_BIND_CORE, CREW_BIND_PU, CREW_BIND_SOCKET};
    crew_place places[WORKERS];
    crew_machine machine;
    crew_error err;
    cpu_set_t all;
    char host[64] = "";
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    assert_ok(crew_machine_look(&machine, &err), &err);
    assert_true(machine.nodes == 3 && (machine.ranks == 3 || machine.ranks == 6));
    gethostname(host, sizeof host - 1);
    for (size_t k = 0; k < sizeof binds / sizeof *binds; k++)
        for (int workers = WORKERS; workers > 0; workers -= 7) {
            const crew_pool_opts opts = {.backend = CREW_MPI, .workers = workers, .bind = binds[k]};
            assert_int_equal(crew_pool_plan(&opts, NULL, places, WORKERS, &err), workers);
            crew_pool *p = crewtest_open_opts(&opts);
            assert_ok(crew_pool_each(p, looks, NULL, 0, &err), &err);
            crewtest_free(p);
            for (int w = 0; w < workers; w++) {
                int node = (int)crewtest_get(CELL_NODE + w);
                assert_int_equal(places[w].node, node);
                assert_int_equal(places[w].rank * 3 / machine.ranks, node);
                assert_int_equal(places[w].rank, w * machine.ranks / workers);
                assert_true(places[w].cores >= 1 && places[w].host[0]);
                assert_true(node > 0 || strcmp(places[w].host, host) == 0);
                assert_true(binds[k] == CREW_BIND_NONE || places[w].cpus[0]);
                check_mask(places[w].cpus, w, &all);
            }
        }
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {CREWTEST(plan__of_all_nodes__is_where_their_workers_are)};
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
