/* Python: def amdahl(s, n): return 1 / (s + (1 - s) / n)
 *
 * A program of which about a tenth must be done one step after the other. Measures that
 * share with one worker, and then for 1, 2, ... workers how much faster the whole is than
 * with one, beside what Amdahl's law predicts. Draws a row for each: what was reached as
 * #, the prediction as |.
 *
 * --workers N: up to N (default: as many as there are processors; leave CREW_WORKERS
 * alone). --work N: rounds of an item, by default enough for a second or so. */
#include <crew/crew.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ITEMS = 64, ITEMS_IN_SERIES = 7 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Each round needs the result of the one before it, and a compiler must take the
 * rounds as they are: a loop that it replaces by a formula measures nothing. */
static uint64_t work(int64_t rounds) {
    uint64_t x = 1;
    for (int64_t i = 0; i < rounds; i++) {
        __asm__ volatile("" : "+r"(x));
        x = x * 6364136223846793005u + 1442695040888963407u;
    }
    return x;
}
CREW_TASK(work, uint64_t, int64_t)

struct times {
    double series, parallel;
};

/* 0, or 1 if there are no such pools, or negative. */
static int measure(int workers, int64_t rounds, struct times *times, crew_error *err) {
    int64_t in[ITEMS];
    uint64_t out[ITEMS];
    for (int i = 0; i < ITEMS; i++)
        in[i] = rounds;
    crew_pool *pool = crew_pool_open(&(crew_pool_opts){.workers = workers}, err);
    if (!pool)
        return err->code;
    int rc = crew_pool_workers(pool) == workers ? 0 : 1;
    double begin = now();
    uint64_t x = work(rounds * ITEMS_IN_SERIES);
    times->series = now() - begin;
    if (rc == 0)
        rc = crew_map(pool, work_task, in, ITEMS, out, NULL, err);
    times->parallel = now() - begin - times->series;
    crew_pool_free(pool);
    if (rc == 0 && x == out[0])
        fprintf(stderr, "sums that should differ are the same\n"); /* and x is used */
    return rc;
}

static void draw(int workers, double predicted, double reached, double scale) {
    int bar = (int)(reached * scale + 0.5), mark = (int)(predicted * scale + 0.5);
    printf("%7d %10.2f %8.2f  ", workers, predicted, reached);
    for (int i = 1; i <= bar || i <= mark; i++)
        putchar(i == mark ? '|' : i <= bar ? '#' : ' ');
    putchar('\n');
}

static int run(int workers, int64_t rounds, crew_error *err) {
    struct times one, t;
    int rc = measure(1, rounds, &one, err);
    if (rc != 0)
        return rc;
    double whole = one.series + one.parallel, share = one.series / whole;
    double scale = 50 * (share + (1 - share) / workers); /* the best is 50 columns */
    printf("serial share: %.1f %%\n\nworkers  predicted  reached\n", share * 100);
    draw(1, 1, 1, scale);
    for (int n = 2; n <= workers; n++) {
        if ((rc = measure(n, rounds, &t, err)) != 0)
            return rc;
        draw(n, 1 / (share + (1 - share) / n), whole / (t.series + t.parallel), scale);
    }
    return 0;
}

int main(int argc, char **argv) {
    int64_t rounds = 8000000;
    int workers = 0;
    crew_error err;
    bool known = argc % 2 == 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--workers") == 0)
            workers = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--work") == 0)
            rounds = atoll(argv[i + 1]);
        else
            known = false;
    }
    if (!known || workers < 0 || workers > 1000 || rounds < 1) {
        fprintf(stderr, "usage: amdahl [--workers N] [--work N]\n");
        return 2;
    }
    crew_init(&argc, &argv);
    int rc = run(workers ? workers : crew_cpu_count(), rounds, &err);
    if (rc < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    if (rc > 0)
        puts("and no other number of workers here");
    return crew_finalize();
}
