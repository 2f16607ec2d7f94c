/* Python: pool.map(is_prime, range(1_000_000, 1_000_500), chunksize=50)
 *
 * Workers take 50 numbers at a time, then one at a time. Prints "chunk 50: 39 primes" and
 * "chunk 1: 39 primes", and on standard error how long a map of each kind takes. Python
 * sends a message for each chunk and pays dearly for small ones; a claim here is one
 * addition in shared memory. */
#include <crew/crew.h>
#include <stdio.h>
#include <time.h>

enum { COUNT = 500, ROUNDS = 100 };

static bool is_prime(int64_t n) {
    if (n < 4)
        return n > 1;
    for (int64_t d = 2; d * d <= n; d++)
        if (n % d == 0)
            return false;
    return true;
}
CREW_TASK(is_prime, bool, int64_t)

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run(crew_pool *pool, int64_t chunk, crew_error *err) {
    bool prime[COUNT];
    crew_map_opts opts = {.first = 1000000, .chunk = chunk};
    double begin = now();
    int primes = 0;
    for (int round = 0; round < ROUNDS; round++)
        if (crew_map_index(pool, is_prime_task, COUNT, prime, &opts, err) < 0)
            return err->code;
    double seconds = (now() - begin) / ROUNDS;
    for (int i = 0; i < COUNT; i++)
        primes += prime[i];
    printf("chunk %d: %d primes\n", (int)chunk, primes);
    fprintf(stderr, "chunk %d: %.0f microseconds\n", (int)chunk, seconds * 1e6);
    return 0;
}

int main(int argc, char **argv) {
    crew_error err;
    crew_init(&argc, &argv);
    crew_pool *pool = crew_pool_open(NULL, &err);
    if (!pool || run(pool, 50, &err) < 0 || run(pool, 1, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    crew_pool_free(pool);
    return crew_finalize();
}
