/* Python: with Pool(4) as pool: pool.map(square, range(10)); pool.apply_async(square, (10,),
 * callback=print)
 *
 * Squares of 0 to 9 by four workers, then one call whose result a callback prints, then
 * squares of 0 to 7. Prints 0 1 4 ... 81, 100, and 0 1 4 ... 49, a line each. */
#include <crew/crew.h>
#include <inttypes.h>
#include <stdio.h>

static int64_t square(int64_t n) {
    return n * n;
}
CREW_TASK(square, int64_t, int64_t)

/* Runs on the library's thread, before the wait for this future ends. */
static void print_result(void *ctx, crew_future *future) {
    int64_t result;
    (void)ctx;
    if (crew_future_result(future, &result, sizeof result, 0, NULL) == 0)
        printf("%" PRId64 "\n", result);
}

static int print_squares(crew_pool *pool, int count, crew_error *err) {
    int64_t out[10];
    if (crew_map_index(pool, square_task, count, out, NULL, err) < 0)
        return err->code;
    for (int i = 0; i < count; i++)
        printf("%" PRId64 "%s", out[i], i + 1 < count ? " " : "\n");
    return 0;
}

static int run(crew_pool *pool, crew_error *err) {
    const int64_t ten = 10;
    if (print_squares(pool, 10, err) < 0)
        return err->code;
    crew_future *future =
        crew_apply_async(pool, square_task, &ten, sizeof ten, print_result, NULL, NULL, err);
    if (!future)
        return err->code;
    int64_t result;
    int rc = crew_future_result(future, &result, sizeof result, CREW_FOREVER, err);
    crew_future_free(future);
    return rc < 0 ? rc : print_squares(pool, 8, err);
}

int main(int argc, char **argv) {
    crew_error err;
    crew_init(&argc, &argv);
    crew_pool *pool = crew_pool_open(&(crew_pool_opts){.workers = 4}, &err);
    if (!pool || run(pool, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    crew_pool_free(pool);
    return crew_finalize();
}
