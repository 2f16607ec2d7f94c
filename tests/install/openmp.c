/* A program with parallel regions of its own and in its tasks, as somebody who uses an
 * installed crew may write it. Prints the sum of all, and how many threads each had. */
#include <crew/crew.h>
#include <omp.h>
#include <stdio.h>

static int64_t sum_to(int64_t n) {
    int64_t sum = 0;
#pragma omp parallel for reduction(+ : sum)
    for (int64_t i = 1; i <= n; i++)
        sum += i;
    return sum;
}

/* The sum, and in the low digits the size of the team. */
static int64_t measured(int64_t n) {
    int64_t threads = 0;
#pragma omp parallel reduction(max : threads)
    threads = omp_get_num_threads();
    return sum_to(n) * 100 + threads;
}
CREW_TASK(measured, int64_t, int64_t)

int main(int argc, char **argv) {
    crew_init(&argc, &argv);
    int64_t out[50], sum = sum_to(10) - 55; /* the program's own regions come first */
    const crew_pool_opts opts = {.workers = 2, .threads_per_worker = 2};
    crew_error err;
    crew_pool *pool = crew_pool_open(&opts, &err);
    if (!pool || crew_map_index(pool, measured_task, 50, out, NULL, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (int64_t i = 0; i < 50; i++) {
        if (out[i] % 100 != 2)
            fprintf(stderr, "item %d had %d threads\n", (int)i, (int)(out[i] % 100));
        sum += out[i] / 100 + sum_to(3) - 6;
    }
    printf("%lld\n", (long long)sum);
    crew_pool_free(pool);
    return crew_finalize();
}
