/* Python: for i, s in enumerate(pool.imap(sum_of_roots, range(0, 10_000_000, 100_000),
 * chunksize=4), 1)
 *
 * Sums of square roots, of which the last takes longest, as they come in order, then as
 * they come. Prints "[1] 0.00" to "[100] 20766413620.34" and "unordered: the same 100 sums";
 * on standard error how much faster it was than the items one after the other. */
#include <crew/crew.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

enum { COUNT = 100, STEP = 100000 };

struct answer {
    double sum, seconds;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* From left to right: the last digits of a floating-point sum depend on its order. */
static struct answer sum_of_roots(int64_t count) {
    struct answer a = {0, now()};
    for (int64_t i = 0; i < count; i++)
        a.sum += sqrt((double)i);
    a.seconds = now() - a.seconds;
    return a;
}
CREW_TASK(sum_of_roots, struct answer, int64_t)

/* Fills sums by index. */
static int run(crew_pool *pool, bool unordered, double *sums, crew_error *err) {
    struct answer a;
    crew_item item;
    crew_map_opts opts = {.chunk = 4, .unordered = unordered};
    double begin = now(), total = 0, longest = 0;
    int rc, came = 0;
    crew_iter *it =
        crew_imap(pool, sum_of_roots_task, crew_source_range(0, COUNT, STEP), sizeof a, &opts, err);
    if (!it)
        return err->code;
    while ((rc = crew_next(it, &a, &item, CREW_FOREVER, err)) == 1) {
        if (!unordered)
            printf("[%d] %.2f\n", ++came, a.sum);
        sums[item.index] = a.sum;
        total += a.seconds;
        longest = a.seconds > longest ? a.seconds : longest;
    }
    crew_iter_free(it);
    double took = now() - begin, most = total / longest;
    if (most > crew_pool_workers(pool))
        most = crew_pool_workers(pool);
    fprintf(stderr, "%s: %.2f s of work in %.2f s: %.2f times as fast, %.2f are possible\n",
            unordered ? "unordered" : "ordered", total, took, total / took, most);
    return rc;
}

int main(int argc, char **argv) {
    double ordered[COUNT], unordered[COUNT] = {0};
    int same = 0;
    crew_error err;
    crew_init(&argc, &argv);
    crew_pool *pool = crew_pool_open(NULL, &err);
    if (!pool || run(pool, false, ordered, &err) < 0 || run(pool, true, unordered, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (int i = 0; i < COUNT; i++)
        same += ordered[i] == unordered[i];
    printf("unordered: the same %d sums\n", same);
    crew_pool_free(pool);
    return crew_finalize();
}
