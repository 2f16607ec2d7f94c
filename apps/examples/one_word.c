/* Python: ThreadPoolExecutor() -> ProcessPoolExecutor(): "change one word"
 *
 * cpu_task(10,000,000) four times: in series, on threads, on processes; what differs is
 * one word, the backend. Prints for each "333333283333335000000 four times", and the time
 * on standard error: in C threads are as fast as processes. */
#include <crew/crew.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { TIMES = 4 };

__extension__ typedef unsigned __int128 wide; /* the sum has 69 bits */

static wide cpu_task(int64_t count) {
    wide sum = 0;
    for (int64_t i = 0; i < count; i++) {
        __asm__ volatile("" : "+r"(i)); /* else clang puts a formula in the loop's place */
        sum += (wide)i * (wide)i;
    }
    return sum;
}
CREW_TASK(cpu_task, wide, int64_t)

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run(const char *title, int backend, crew_error *err) {
    const int64_t in[TIMES] = {10000000, 10000000, 10000000, 10000000};
    const uint64_t part = 1000000000000000000; /* printf knows no 128 bits: 18 digits each */
    wide out[TIMES];
    int same = 0;
    double begin = now();
    crew_pool *pool = crew_pool_open(&(crew_pool_opts){.backend = backend}, err);
    if (!pool)
        return err->code;
    int rc = crew_map(pool, cpu_task_task, in, TIMES, out, NULL, err);
    crew_pool_free(pool);
    if (rc < 0)
        return rc;
    for (int i = 0; i < TIMES; i++)
        same += out[i] == out[0];
    printf("%s: %" PRIu64 "%018" PRIu64 " %s times\n", title, (uint64_t)(out[0] / part),
           (uint64_t)(out[0] % part), same == TIMES ? "four" : "not four");
    fprintf(stderr, "%s: %.3f s\n", title, now() - begin);
    return 0;
}

int main(int argc, char **argv) {
    crew_error err;
    crew_init(&argc, &argv);
    if (run("series", CREW_SERIAL, &err) < 0 || run("threads", CREW_THREADS, &err) < 0 ||
        run("fork", CREW_FORK, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    return crew_finalize();
}
