/* Python: for i, s in enumerate(pool.imap(sum_of_roots, range(0, 10_000_000, 100_000),
 * chunksize=4), 1)
 *
 * Sums of square roots, of which the last takes longest, as they come in order, then as
 * they come. Prints "[1] 0.00" to "[100] 20766413620.34" and "unordered: the same 100 sums";
 * on standard error how much faster it was than in series. With --repeat N all is done N
 * times over, and the first time printed. */
#include <crew/crew.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COUNT = 100, STEP = 100000 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* From left to right: the last digits of a floating-point sum depend on its order. */
static double sum_of_roots(int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += sqrt((double)i);
    return sum;
}
CREW_TASK(sum_of_roots, double, int64_t)

struct measured {
    double seconds, longest; /* in all, and the longest item */
};

static struct measured in_series(double *sums) {
    struct measured m = {0};
    double begin = now(), last = begin;
    for (int64_t i = 0; i < COUNT; i++) {
        sums[i] = sum_of_roots(i * STEP);
        double time = now();
        if (time - last > m.longest)
            m.longest = time - last;
        last = time;
    }
    m.seconds = last - begin;
    return m;
}

/* Fills sums by index. */
static int on_pool(crew_pool *pool, bool unordered, bool print, double *sums, crew_error *err) {
    double sum;
    crew_item item;
    crew_map_opts opts = {.chunk = 4, .unordered = unordered};
    int rc, came = 0;
    crew_iter *it = crew_imap(pool, sum_of_roots_task, crew_source_range(0, COUNT, STEP),
                              sizeof sum, &opts, err);
    if (!it)
        return err->code;
    while ((rc = crew_next(it, &sum, &item, CREW_FOREVER, err)) == 1) {
        if (print)
            printf("[%d] %.2f\n", ++came, sum);
        sums[item.index] = sum;
    }
    crew_iter_free(it);
    return rc;
}

/* Says how many of the sums are those of the series. */
static int run(crew_pool *pool, bool unordered, int repeat, int *same, crew_error *err) {
    double alone[COUNT], sums[COUNT] = {0}, series = 0, took = 0, longest = 0;
    for (int i = 0; i < repeat; i++) {
        struct measured m = in_series(alone);
        series += m.seconds;
        longest = m.longest > longest ? m.longest : longest;
        double begin = now();
        if (on_pool(pool, unordered, !unordered && i == 0, sums, err) < 0)
            return err->code;
        took += now() - begin;
    }
    *same = 0;
    for (int i = 0; i < COUNT; i++)
        *same += sums[i] == alone[i];
    double most = series / repeat / longest;
    if (most > crew_pool_workers(pool))
        most = crew_pool_workers(pool);
    fprintf(stderr, "%s: series %.3f s, pool %.3f s: %.2f times as fast, %.2f are possible\n",
            unordered ? "unordered" : "ordered", series, took, series / took, most);
    return 0;
}

int main(int argc, char **argv) {
    int repeat = argc == 3 && strcmp(argv[1], "--repeat") == 0 ? atoi(argv[2]) : argc == 1;
    int ordered, unordered;
    crew_error err;
    if (repeat < 1 || repeat > 10000) {
        fprintf(stderr, "usage: imap_sums [--repeat N], N up to 10000\n");
        return 2;
    }
    crew_init(&argc, &argv);
    crew_pool *pool = crew_pool_open(NULL, &err);
    if (!pool || run(pool, false, repeat, &ordered, &err) < 0 ||
        run(pool, true, repeat, &unordered, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    if (ordered != COUNT)
        printf("ordered: only %d sums as in series\n", ordered);
    printf("unordered: the same %d sums\n", unordered);
    crew_pool_free(pool);
    return crew_finalize();
}
