/* What the machine of leases reaches, in virtual time: a table, and the bounds that are
 * asked of it. Seeds are fixed: the figures are the same everywhere.
 *
 * The largest fleet is run in long tests, where it has two minutes of one core and 4 GiB. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/sanitized.h"
#include "support/crewtest.h"
#include "support/fleetsim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { US = 1000, MS = 1000 * US };

/* Messages of a fabric, as the issue of the fleet has them, and of TCP between hosts that
 * are emulated on one machine. */
static struct fleetsim fabric(int nodes, int workers, int64_t count, enum fleetsim_cost cost,
                              double mean_ns) {
    return (struct fleetsim){.seed = 1,
                             .nodes = nodes,
                             .workers = workers,
                             .count = count,
                             .cost = cost,
                             .mean_ns = mean_ns,
                             .message_ns = 600,
                             .latency_ns = 2000,
                             .claim_ns = 100,
                             .stop_when = -1};
}

static struct fleetsim tcp(int nodes, int workers, int64_t count, enum fleetsim_cost cost,
                           double mean_ns) {
    struct fleetsim how = fabric(nodes, workers, count, cost, mean_ns);
    how.message_ns = 5000;
    how.latency_ns = 17500;
    return how;
}

static void head(void) {
    printf("    %5s %4s %7s %9s %-11s %7s %10s %10s %8s %8s %6s %6s\n", "nodes", "tree", "workers",
           "items", "lengths", "mean", "best", "makespan", "of best", "of list", "agent", "msg/ki");
}

/* One line: the efficiency against the best possible and against list scheduling at no
 * cost; how busy home's agent is; messages for a thousand items. */
static struct fleetsim_result row(const struct fleetsim *how, double *of_list) {
    struct fleetsim_result r;
    char list[16] = "-";
    if (!fleetsim_run(how, &r))
        fail_msg("seed %llu: %s", (unsigned long long)how->seed, r.wrong);
    *of_list = 0;
    if (how->count <= 4000000) {
        *of_list = fleetsim_list_ns(how) / r.makespan;
        snprintf(list, sizeof list, "%.4f", *of_list);
    }
    printf("    %5d %4d %7d %9lld %-11s %4.0f us %7.2f ms %7.2f ms %8.4f %8s %6.3f %6.1f\n",
           how->nodes, how->fanout, r.workers, (long long)how->count,
           fleetsim_cost_names[how->cost], how->mean_ns / US, r.best / MS, r.makespan / MS,
           r.efficiency, list, r.home_agent, 1000.0 * (double)r.messages / (double)how->count);
    fflush(stdout);
    return r;
}

static void at_least(const struct fleetsim *how, double best, double list) {
    double of_list;
    struct fleetsim_result r = row(how, &of_list);
    if (r.efficiency < best || of_list < list)
        fail_msg("%.4f of the best possible, %.4f of list scheduling; at least %.4f and %.4f",
                 r.efficiency, of_list, best, list);
}

/* Exponential lengths, mean 5 ms, 2,000 items, 6 workers on 3 hosts: within 5 % of the
 * best possible makespan. */
static void random_lengths__six_workers_on_three_hosts__within_5_percent(void **state) {
    (void)state;
    head();
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct fleetsim how[] = {fabric(3, 2, 2000, FLEETSIM_EXPONENTIAL, 5 * MS),
                                 tcp(3, 2, 2000, FLEETSIM_EXPONENTIAL, 5 * MS)};
        for (int i = 0; i < 2; i++) {
            how[i].seed = seed;
            if (seed <= 3) {
                at_least(&how[i], 0.95, 0.98);
                continue;
            }
            struct fleetsim_result r;
            if (!fleetsim_run(&how[i], &r) || r.efficiency < 0.95)
                fail_msg("seed %llu: %.4f %s", (unsigned long long)seed, r.efficiency, r.wrong);
        }
    }
}

/* 100 us, fixed and random, 3 workers on 3 hosts: 0.95 of one host. */
static void short_items__three_hosts__nothing_is_lost(void **state) {
    (void)state;
    head();
    struct fleetsim fixed = tcp(3, 1, 100000, FLEETSIM_CONSTANT, 100 * US);
    struct fleetsim random = tcp(3, 1, 100000, FLEETSIM_EXPONENTIAL, 100 * US);
    at_least(&fixed, 0.97, 0.97);
    at_least(&random, 0.97, 0.97);
}

/* Every kind of lengths. Where the longest item is much of the whole, or the longest come
 * last, list scheduling is the measure: the best possible would have to know them. */
static void all_lengths__eight_hosts__near_list_scheduling(void **state) {
    (void)state;
    static const double best[] = {0.98, 0.98, 0.98, 0, 0.98, 0.98};
    head();
    for (int cost = 0; cost < FLEETSIM_COSTS; cost++) {
        struct fleetsim how = fabric(8, 8, 200000, (enum fleetsim_cost)cost, 100 * US);
        at_least(&how, best[cost], 0.97);
    }
}

/* One of four nodes is eight times slower than the others. */
static void slow_node__its_part_is_smaller(void **state) {
    (void)state;
    static const double slowness[] = {1, 1, 8, 1};
    head();
    struct fleetsim how = fabric(4, 4, 20000, FLEETSIM_EXPONENTIAL, 1 * MS);
    how.slowness = slowness;
    at_least(&how, 0.97, 0.97);
}

static void sixty_four_nodes__flat_and_tree(void **state) {
    (void)state;
    const int64_t count = CW_SANITIZED ? 375000 : 3750000;
    const double least = CW_SANITIZED ? 0.85 : 0.98; /* the shorter one has 10 ms */
    static const int fanouts[] = {0, 8};
    head();
    for (int i = 0; i < 2; i++) {
        struct fleetsim how = fabric(64, 56, count, FLEETSIM_CONSTANT, 100 * US);
        how.fanout = fanouts[i];
        at_least(&how, least, least);
    }
}

static double cpu_seconds(void) {
    return (double)clock() / CLOCKS_PER_SEC;
}

#ifdef NDEBUG
enum { RELEASE = 1 };
#else
enum { RELEASE = 0 };
#endif

/* 57,344 workers on 1,024 nodes, 60 million items of 100 us. */
static void thousand_nodes__flat_and_tree(void **state) {
    (void)state;
    static const int fanouts[] = {0, 16, 32, 64};
    static const double least[] = {0.9, 0.95, 0.98, 0.97};
    if (!crewtest_long() || CW_SANITIZED || !RELEASE) {
        printf("    only in long tests (CREW_TEST_LONG=1) of a release build\n");
        skip();
    }
    head();
    for (int i = 0; i < 4; i++) {
        struct fleetsim how = fabric(1024, 56, 60000000, FLEETSIM_CONSTANT, 100 * US);
        how.fanout = fanouts[i];
        double began = cpu_seconds();
        at_least(&how, least[i], 0);
        struct rusage used;
        getrusage(RUSAGE_SELF, &used);
        double seconds = cpu_seconds() - began;
        printf("          simulated in %.1f s of one core with %ld MiB\n", seconds,
               used.ru_maxrss / 1024);
        assert_true(seconds < 120);
        assert_true(used.ru_maxrss < 4l << 20);
    }
    struct fleetsim random = fabric(1024, 56, 60000000, FLEETSIM_EXPONENTIAL, 100 * US);
    random.fanout = 32;
    at_least(&random, 0.93, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_lengths__six_workers_on_three_hosts__within_5_percent),
        cmocka_unit_test(short_items__three_hosts__nothing_is_lost),
        cmocka_unit_test(all_lengths__eight_hosts__near_list_scheduling),
        cmocka_unit_test(slow_node__its_part_is_smaller),
        cmocka_unit_test(sixty_four_nodes__flat_and_tree),
        cmocka_unit_test(thousand_nodes__flat_and_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
