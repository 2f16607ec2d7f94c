/* Python: with ProcessPoolExecutor() as executor:
 *             results = list(executor.map(compute, [10**6] * 8))
 *
 * Eight times the sum of the square roots below a million. Prints "Done. First result:
 * 666666166.46". */
#include <crew/crew.h>
#include <math.h>
#include <stdio.h>

static double compute(int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += sqrt((double)i);
    return sum;
}
CREW_TASK(compute, double, int64_t)

int main(int argc, char **argv) {
    int64_t in[8];
    double out[8];
    crew_error err;
    for (int i = 0; i < 8; i++)
        in[i] = 1000000;

    crew_init(&argc, &argv);
    crew_pool *pool = crew_pool_open(NULL, &err);
    if (!pool || crew_map(pool, compute_task, in, 8, out, NULL, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("Done. First result: %.2f\n", out[0]);
    crew_pool_free(pool);
    return crew_finalize();
}
