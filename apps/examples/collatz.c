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
    crew_init(&argc, &argv);
    crew_pool *pool = crew_pool_open(NULL, NULL);
    if (!pool || crew_map_index(pool, steps_task, 1000000, out, NULL, NULL) < 0) {
        fprintf(stderr, "%s\n", crew_last_error()->text);
        return 1;
    }
    printf("837799 takes %d steps\n", (int)out[837799]);
    crew_pool_free(pool);
    return crew_finalize();
}
