/* crew-test: openmp */
/* conformance/openmp_test.c - parallel regions inside tasks, on every backend,
 * also when the manager has run some before it opens the pool. Built without
 * OpenMP every test skips itself. */
#include "crewtest.h"

#ifdef _OPENMP
#include <omp.h>
#else
static int omp_get_num_threads(void) {
    return 1;
}
#endif

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct region {
    int64_t sum;
    int threads;
};

/* Sums [0, n) in a parallel region, and says how many threads did it. */
static struct region run_region(int64_t n) {
    int64_t sum = 0;
    int threads = 0;
#ifdef _OPENMP
#pragma omp parallel reduction(+ : sum) reduction(max : threads)
#endif
    {
        threads = omp_get_num_threads();
#ifdef _OPENMP
#pragma omp for
#endif
        for (int64_t i = 0; i < n; i++)
            sum += i;
    }
    struct region r = {sum, threads};
    return r;
}

static int region_task(crew_call *call) {
    struct region r = run_region(1000 + call->index);
    if (r.sum != (999 + call->index) * (1000 + call->index) / 2)
        return crew_fail(call, 1, "the sum is %ld", (long)r.sum);
    return crew_task_result(call, &r.threads, sizeof r.threads);
}

static void need_openmp(void) {
#ifndef _OPENMP
    skip();
#endif
}

static void run_on(crew_pool *p, int threads) {
    enum { COUNT = 60 };
    int out[COUNT];
    crew_map_opts opts = {.chunk = 1};
    crew_error err;
    for (int round = 0; round < 3; round++) {
        assert_ok(crew_map_index(p, region_task, COUNT, out, &opts, &err), &err);
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(out[i], threads);
    }
    int64_t item = 5;
    assert_ok(crew_apply(p, region_task, &item, sizeof item, out, sizeof *out, &err), &err);
    assert_int_equal(out[0], threads);
}

static void run_with(int workers, int threads_per_worker, int threads) {
    crew_pool_opts opts = crewtest_opts(workers);
    opts.threads_per_worker = threads_per_worker;
    crew_pool *p = crewtest_open_opts(&opts);
    run_on(p, threads);
    crewtest_free(p);
}

static void openmp__threads_per_worker__is_the_size_of_a_tasks_team(void **state) {
    (void)state;
    need_openmp();
    for (int threads = 1; threads <= 3; threads++)
        run_with(2, threads, threads);
}

static void openmp__no_size_asked__a_task_gets_its_workers_cores(void **state) {
    (void)state;
    need_openmp();
    crewtest_not_on("ranks"); /* a rank's workers share that rank's cores */
    crewtest_not_on("mpi");
    int cores = crew_cpu_count();
    run_with(cores, 0, crewtest_has(CREWTEST_MANY) ? 1 : cores);
    run_with(1, 0, cores);
}

static void openmp__manager_has_run_regions__tasks_run_theirs(void **state) {
    (void)state;
    need_openmp();
    assert_int_equal(run_region(1000).sum, 499500);
    run_with(2, 2, 2);
    int before = run_region(1000).threads;
    crew_pool *p = crewtest_open(2);
    assert_int_equal(run_region(1000).sum, 499500);
    assert_usable(p);
    crewtest_free(p);
    assert_int_equal(run_region(1000).threads, before); /* the manager's own team stays */
}

/* Another thread of the manager is in its regions all the while: whatever its runtime
 * had locked when the workers were forked must not matter to them. */
static _Atomic bool stop_regions;
static _Atomic int64_t regions;

static void *run_regions(void *arg) {
    while (!atomic_load(&stop_regions)) {
        if (run_region(1000).sum != 499500)
            return &regions;
        atomic_fetch_add(&regions, 1);
    }
    return arg;
}

static void openmp__manager_has_a_thread_in_regions__tasks_run_theirs(void **state) {
    pthread_t thread;
    void *wrong;
    (void)state;
    need_openmp();
    crewtest_need_fork_beside_threads();
    atomic_store(&stop_regions, false);
    atomic_store(&regions, 0);
    assert_int_equal(pthread_create(&thread, NULL, run_regions, NULL), 0);
    for (int i = 0; i < 10; i++) {
        int64_t so_far = atomic_load(&regions);
        CREWTEST_WAIT(atomic_load(&regions) > so_far, 20);
        run_with(2, 2, 2);
    }
    atomic_store(&stop_regions, true);
    pthread_join(thread, &wrong);
    assert_null(wrong);
}

static int outer_region(crew_call *call) {
    int64_t total = 0;
#ifdef _OPENMP
#pragma omp parallel for reduction(+ : total) schedule(dynamic, 1)
#endif
    for (int i = 0; i < 64; i++)
        total += run_region(100).sum;
    return total == 64 * 4950 ? 0 : crew_fail(call, 1, "the total is %ld", (long)total);
}

static void openmp__nested_regions_in_tasks__are_right(void **state) {
    crew_error err;
    (void)state;
    need_openmp();
    crew_pool_opts opts = crewtest_opts(2);
    opts.threads_per_worker = 2;
    crew_pool *p = crewtest_open_opts(&opts);
    assert_ok(crew_pool_map(p, outer_region, NULL, 0, 20, NULL, 0, NULL, &err), &err);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(openmp__threads_per_worker__is_the_size_of_a_tasks_team),
        CREWTEST(openmp__no_size_asked__a_task_gets_its_workers_cores),
        CREWTEST(openmp__manager_has_run_regions__tasks_run_theirs),
        CREWTEST(openmp__manager_has_a_thread_in_regions__tasks_run_theirs),
        CREWTEST(openmp__nested_regions_in_tasks__are_right),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
