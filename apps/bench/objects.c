/* Processes of one's own, and what it costs to take a lock. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- locks ---- */

static int pairs_of_lock(crew_lock l, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (crew_lock_acquire(l, CREW_FOREVER) != 0 || crew_lock_release(l) != 0)
            return -1;
    return 0;
}

static int pairs_of_rlock(crew_rlock l, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (crew_rlock_acquire(l, CREW_FOREVER) != 0 || crew_rlock_release(l) != 0)
            return -1;
    return 0;
}

int measure_lock(const struct bench *b) {
    const int64_t count = b->quick ? 1000000 : 10000000;
    struct race lock = {0}, rlock = {0};
    crew_lock l;
    crew_rlock r;
    if (crew_lock_create(&l) < 0 || crew_rlock_create(&r) < 0)
        return broke("lock", crew_last_error());
    race_enter(&lock, "lock");
    race_enter(&rlock, "rlock");
    settle();
    for (int round = -1; round < b->rounds; round++) {
        double start = now();
        if (pairs_of_lock(l, count) < 0)
            return broke("lock", crew_last_error());
        double middle = now();
        if (pairs_of_rlock(r, count) < 0)
            return broke("rlock", crew_last_error());
        if (round >= 0) {
            side_add(&lock.side[0], (middle - start) / (double)count);
            side_add(&rlock.side[0], (now() - middle) / (double)count);
        }
    }
    crew_lock_destroy(l);
    crew_rlock_destroy(r);
    report("lock", &lock.side[0], NULL, UNIT_TIME, (struct bound){BOUND_VALUE, 40e-9},
           "acquire and release, nobody else wants it");
    report("rlock", &rlock.side[0], NULL, UNIT_TIME, (struct bound){BOUND_VALUE, 40e-9},
           "the same");
    return 0;
}

/* ---- processes ---- */

static int nothing(crew_call *call) {
    (void)call;
    return 0;
}

/* Seconds for each: all are started, then all joined. */
static int start_and_join(crew_process *p, int count, int start, double *seconds) {
    crew_process_opts opts = {.start = start};
    crew_error err;
    int code;
    double from = now();
    for (int i = 0; i < count; i++)
        if (crew_process_start(&p[i], nothing, NULL, 0, &opts, &err) < 0)
            return broke("processes", &err);
    for (int i = 0; i < count; i++)
        if (crew_process_join(p[i], CREW_FOREVER) < 0 || crew_process_exitcode(p[i], &code) < 0 ||
            code != 0 || crew_process_close(p[i]) < 0)
            return broke("processes", crew_last_error());
    *seconds = (now() - from) / count;
    return 0;
}

/* A manager that is nothing else, as programs are: this one has a pool, and what the
 * measurements before it have left. Prints both ways' seconds. */
int processes_from_here(int argc, char **argv) {
    const int count = argc > 2 ? atoi(argv[2]) : 0;
    double fork = 0, server = 0;
    crew_process *p = malloc((size_t)count * sizeof *p + 1);
    if (crew_init(&argc, &argv) < 0 || !p)
        return broke("processes", crew_last_error());
    for (int round = 0; round < 2; round++) /* the first makes what lasts */
        if (start_and_join(p, count, CREW_START_FORK, &fork) ||
            start_and_join(p, count, CREW_START_SERVER, &server))
            return EXIT_FAILURE;
    printf("%.9f %.9f\n", fork, server);
    free(p);
    return crew_finalize();
}

int measure_processes(const struct bench *b) {
    static const char python[] =
        "import time, multiprocessing as m\n"
        "def f(): pass\n"
        "m.set_start_method(\"fork\")\n"
        "t = time.perf_counter()\n"
        "p = [m.Process(target=f) for i in range(200)]\n"
        "for x in p: x.start()\n"
        "for x in p: x.join()\n"
        "print((time.perf_counter() - t) / 200)\n";
    struct race forked = {0}, served = {0};
    race_enter(&forked, "crew");
    if (python_available())
        race_enter(&forked, "multiprocessing.Process");
    race_enter(&served, "crew");
    for (int round = 0; round < b->rounds; round++) {
        double crew[2], other;
        settle();
        if (own_numbers(b->quick ? PROCESSES_MODE " 100" : PROCESSES_MODE " 1000", crew, 2) < 0)
            return broke_because("processes", "the small manager failed");
        side_add(&forked.side[0], crew[0]);
        side_add(&served.side[0], crew[1]);
        if (forked.sides > 1 && python_numbers(python, &other, 1) < 0)
            return broke_because("processes", "the Python program failed");
        if (forked.sides > 1)
            side_add(&forked.side[1], other);
    }
    report("processes", &forked.side[0], race_best(&forked), UNIT_TIME,
           (struct bound){BOUND_VALUE, 1e-3}, "started and joined, each of 1,000");
    report("processes-server", &served.side[0], NULL, UNIT_TIME, (struct bound){BOUND_VALUE, 1e-3},
           "the same with CREW_START_SERVER");
    return 0;
}
