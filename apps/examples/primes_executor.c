/* Python: executor.map(is_prime, numbers, chunksize=500); executor.submit(is_prime, n),
 * as_completed(futures)
 *
 * 10,000 numbers from ten million on as a map, then the first 100 of them as futures,
 * looked at as they complete. Prints "614 primes", and "10000019 is prime" and "10000079
 * is prime" in the order in which they were found. */
#include <crew/crew.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST = 10000000, COUNT = 10000, SUBMITTED = 100 };

static bool is_prime(int64_t n) {
    if (n < 4)
        return n > 1;
    for (int64_t d = 2; d * d <= n; d++)
        if (n % d == 0)
            return false;
    return true;
}
CREW_TASK(is_prime, bool, int64_t)

/* Ends the program if a call has failed. */
static void must(bool good) {
    if (!good) {
        fprintf(stderr, "%s\n", crew_last_error()->text);
        exit(EXIT_FAILURE);
    }
}

static void map_all(crew_pool *pool) {
    static bool prime[COUNT];
    int primes = 0;
    crew_map_opts opts = {.first = FIRST, .chunk = 500};
    must(crew_map_index(pool, is_prime_task, COUNT, prime, &opts, NULL) == 0);
    for (int i = 0; i < COUNT; i++)
        primes += prime[i];
    printf("%d primes\n", primes);
}

static void submit_some(crew_pool *pool) {
    crew_future *futures[SUBMITTED];
    for (int i = 0; i < SUBMITTED; i++) {
        int64_t n = FIRST + i;
        futures[i] = crew_submit(pool, is_prime_task, &n, sizeof n, NULL, NULL);
        must(futures[i] != NULL);
    }
    crew_completed *completed = crew_as_completed(futures, SUBMITTED);
    must(completed != NULL);
    for (int i = 0; i < SUBMITTED; i++) {
        size_t which;
        bool prime;
        must(crew_completed_next(completed, &which, CREW_FOREVER) == 1);
        must(crew_future_result(futures[which], &prime, sizeof prime, 0, NULL) == 0);
        if (prime)
            printf("%d is prime\n", FIRST + (int)which);
    }
    crew_completed_free(completed);
    for (int i = 0; i < SUBMITTED; i++)
        crew_future_free(futures[i]);
}

int main(int argc, char **argv) {
    must(crew_init(&argc, &argv) == 0);
    crew_pool *pool = crew_pool_open(NULL, NULL);
    must(pool != NULL);
    map_all(pool);
    submit_some(pool);
    crew_pool_free(pool);
    return crew_finalize();
}
