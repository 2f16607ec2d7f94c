/* Python: with Pool(processes=4) as pool: pool.map(sum_of_squares, [1_000_000, 2_000_000,
 * 3_000_000])
 *
 * Three sums of squares by four workers. Prints 333332833333500000, 2666664666667000000
 * and 8999995500000500000, a line each. */
#include <crew/crew.h>
#include <inttypes.h>
#include <stdio.h>

static int64_t sum_of_squares(int64_t count) {
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i++) {
        __asm__ volatile("" : "+r"(i)); /* else clang puts a formula in the loop's place */
        sum += i * i;
    }
    return sum;
}
CREW_TASK(sum_of_squares, int64_t, int64_t)

int main(int argc, char **argv) {
    const int64_t in[] = {1000000, 2000000, 3000000};
    int64_t out[3];
    crew_error err;
    crew_init(&argc, &argv);
    crew_pool *pool = crew_pool_open(&(crew_pool_opts){.workers = 4}, &err);
    if (!pool || crew_map(pool, sum_of_squares_task, in, 3, out, NULL, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (int i = 0; i < 3; i++)
        printf("%" PRId64 "\n", out[i]);
    crew_pool_free(pool);
    return crew_finalize();
}
