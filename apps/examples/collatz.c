#include <crew/crew.h>
#include <stdio.h>

static int64_t steps(int64_t n) {
    int64_t count = 0;
    for (; n > 1; count++)
        n = n % 2 ? 3 * n + 1 : n / 2;
    return count;
}
CREW_TASK(steps, int64_t, int64_t)

int main(int argc, char **argv) {
    static int64_t out[1000000];
    int best = 0;
    crew_error err;
    crew_init(&argc, &argv);
    crew_pool *pool = crew_pool_open(NULL, &err);
    if (!pool || crew_map_index(pool, steps_task, 1000000, out, NULL, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (int i = 1; i < 1000000; i++)
        if (out[i] > out[best])
            best = i;
    printf("%d takes %lld steps\n", best, (long long)out[best]);
    crew_pool_free(pool);
    return crew_finalize();
}
