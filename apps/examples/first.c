#include <crew/crew.h>
#include <stdio.h>
static double heavy_calc(int64_t n) { double s = 0; for (int64_t i = 0; i < n; i++) s += i; return s; }
CREW_TASK(heavy_calc, double, int64_t)
int main(int argc, char **argv) {
    crew_init(&argc, &argv);
    crew_error err;
    crew_pool *pool = crew_pool_open(NULL, &err);
    if (!pool) { fprintf(stderr, "%s\n", err.text); return 1; }
    int64_t in[100]; double out[100];
    for (int i = 0; i < 100; i++) in[i] = i * 1000;
    if (crew_map(pool, heavy_calc_task, in, 100, out, NULL, &err) < 0) { fprintf(stderr, "%s\n", err.text); return 1; }
    printf("%.0f\n", out[99]);
    crew_pool_free(pool);
    return crew_finalize();
}
