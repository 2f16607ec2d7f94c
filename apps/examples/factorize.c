/* Python: with Pool() as pool: results = pool.map(factorize, range(10**12, 10**12 + 100))
 *
 * Prime factors of a hundred numbers, in series and by a pool. Results are lists, of
 * different lengths. Prints "450 factors, the longest list has 24" and "primes at +39 +61
 * +63 +91"; on standard error the speed-up, and that which the items' times allow. With
 * --repeat N each number is taken N times: enough of them make it a second of work. */
#include <crew/crew.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COUNT = 100, FACTORS_MOST = 64 };

static const int64_t FIRST = 1000000000000;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int factors_of(int64_t n, int64_t *factors) {
    int count = 0;
    for (int64_t d = 2; d * d <= n; d++)
        for (; n % d == 0; n /= d)
            factors[count++] = d;
    if (n > 1)
        factors[count++] = n;
    return count;
}

/* A result of any size: the list. */
static int factorize(crew_call *call) {
    int64_t factors[FACTORS_MOST];
    int count = factors_of(*CREW_IN(call, int64_t), factors);
    return crew_reply(call, factors, (size_t)count * sizeof *factors);
}

struct measured {
    double seconds, longest; /* in all, and the longest item */
    int64_t factors;
};

static struct measured in_series(const int64_t *numbers, int64_t count) {
    int64_t factors[FACTORS_MOST];
    struct measured m = {0};
    double begin = now(), last = begin;
    for (int64_t i = 0; i < count; i++) {
        m.factors += factors_of(numbers[i], factors);
        double time = now();
        if (time - last > m.longest)
            m.longest = time - last;
        last = time;
    }
    m.seconds = last - begin;
    return m;
}

/* Of the results for the first COUNT numbers. */
static void print(crew_results *results) {
    char primes[400] = "";
    size_t all = 0, longest = 0;
    for (int i = 0; i < COUNT; i++) {
        size_t size;
        crew_results_at(results, i, &size);
        size_t length = size / sizeof(int64_t);
        all += length;
        longest = length > longest ? length : longest;
        if (length == 1)
            snprintf(primes + strlen(primes), sizeof primes - strlen(primes), " +%d", i);
    }
    printf("%zu factors, the longest list has %zu\nprimes at%s\n", all, longest, primes);
}

static int64_t all_factors(crew_results *results, int64_t count) {
    size_t all = 0, size;
    for (int64_t i = 0; i < count; i++) {
        crew_results_at(results, i, &size);
        all += size / sizeof(int64_t);
    }
    return (int64_t)all;
}

static int run(const int64_t *numbers, const crew_bytes *in, int64_t count, crew_error *err) {
    crew_pool *pool = crew_pool_open(NULL, err);
    if (!pool)
        return err->code;
    struct measured series = in_series(numbers, count);
    double begin = now();
    crew_results *results = crew_map_bytes(pool, factorize, in, count, NULL, err);
    double took = now() - begin, most = series.seconds / series.longest;
    if (results) {
        print(results);
        if (all_factors(results, count) != series.factors)
            printf("which are not as many as in series\n");
        if (most > crew_pool_workers(pool))
            most = crew_pool_workers(pool);
        fprintf(stderr, "series %.3f s, pool %.3f s: %.2f times as fast, %.2f are possible\n",
                series.seconds, took, series.seconds / took, most);
    }
    crew_results_free(results);
    crew_pool_free(pool);
    return results ? 0 : err->code;
}

int main(int argc, char **argv) {
    crew_error err;
    int repeat = argc == 3 && strcmp(argv[1], "--repeat") == 0 ? atoi(argv[2]) : argc == 1;
    if (repeat < 1 || repeat > 10000) {
        fprintf(stderr, "usage: factorize [--repeat N], N up to 10000\n");
        return 2;
    }
    crew_init(&argc, &argv);
    int64_t count = (int64_t)COUNT * repeat;
    int64_t *numbers = calloc((size_t)count, sizeof *numbers);
    crew_bytes *in = calloc((size_t)count, sizeof *in);
    if (!numbers || !in) {
        fprintf(stderr, "no memory for %d numbers\n", COUNT * repeat);
        return 1;
    }
    for (int64_t i = 0; i < count; i++) {
        numbers[i] = FIRST + i % COUNT;
        in[i] = (crew_bytes){&numbers[i], sizeof numbers[i]};
    }
    if (run(numbers, in, count, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    free(in);
    free(numbers);
    return crew_finalize();
}
