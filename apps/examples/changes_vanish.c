/* Python: results = []; pool.map(lambda i: results.append(i), range(10)); len(results)
 *
 * Ten tasks append to a global. Where workers are processes each appends to a list of
 * its own, and the program's stays empty: prints "appended to a global: 0 seen" (10
 * with CREW_BACKEND=threads or serial). The right way is to return: prints "returned:
 * 0 1 4 9 16 25 36 49 64 81" everywhere. */
#include <crew/crew.h>
#include <stdatomic.h>
#include <stdio.h>

enum { TASKS = 10 };

static int64_t results[TASKS];
static atomic_int length;

static void append(int64_t i) {
    results[atomic_fetch_add(&length, 1)] = i * i;
}
CREW_TASK_VOID(append, int64_t)

static int64_t square(int64_t i) {
    return i * i;
}
CREW_TASK(square, int64_t, int64_t)

int main(int argc, char **argv) {
    int64_t in[TASKS], out[TASKS];
    crew_error err;
    for (int i = 0; i < TASKS; i++)
        in[i] = i;

    crew_init(&argc, &argv);
    crew_pool *pool = crew_pool_open(NULL, &err);
    if (!pool || crew_each(pool, append_task, in, TASKS, NULL, &err) < 0 ||
        crew_map(pool, square_task, in, TASKS, out, NULL, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("appended to a global: %d seen\n", atomic_load(&length));
    printf("returned:");
    for (int i = 0; i < TASKS; i++)
        printf(" %d", (int)out[i]);
    printf("\n");
    crew_pool_free(pool);
    return crew_finalize();
}
