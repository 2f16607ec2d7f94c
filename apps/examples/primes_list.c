/* Python: with Pool() as pool: flags = pool.map(is_prime, range(1, 100_001)); primes = [...]
 *
 * A map answers one question for each number, the program keeps those that are primes.
 * Prints "9592 primes, from 2 to 99991". */
#include <crew/crew.h>
#include <stdio.h>

enum { COUNT = 100000 };

static bool is_prime(int64_t n) {
    if (n < 4)
        return n > 1;
    for (int64_t d = 2; d * d <= n; d++)
        if (n % d == 0)
            return false;
    return true;
}
CREW_TASK(is_prime, bool, int64_t)

int main(int argc, char **argv) {
    static bool prime[COUNT];
    static int list[COUNT];
    int length = 0;
    crew_error err;
    crew_init(&argc, &argv);
    crew_pool *pool = crew_pool_open(NULL, &err);
    crew_map_opts opts = {.first = 1};
    if (!pool || crew_map_index(pool, is_prime_task, COUNT, prime, &opts, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (int i = 0; i < COUNT; i++)
        if (prime[i])
            list[length++] = i + 1;
    printf("%d primes, from %d to %d\n", length, list[0], list[length - 1]);
    crew_pool_free(pool);
    return crew_finalize();
}
