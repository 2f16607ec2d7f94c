/* sieve.h - the primes of a range, a part at a time, and of single numbers.
 *
 * A plan holds what every part needs to know. It is one block of memory without
 * pointers, so it can reach the workers as the map's common argument. */
#ifndef PRIMES_SIEVE_H
#define PRIMES_SIEVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sieve_method { SIEVE_PARTS, SIEVE_EACH }; /* sieve; or test each number on its own */

struct sieve_request {
    uint64_t from, to; /* both belong to the range; 1 <= from <= to < 2^63 */
    enum sieve_method method;
    int workers;
    bool list; /* the primes are wanted, not only how many there are: shorter parts */
};

typedef struct sieve_plan {
    uint64_t from, to;
    uint64_t span; /* numbers in a part; a multiple of 30 */
    int64_t parts;
    uint32_t method;
    uint32_t exact; /* the base primes reach the root of `to`: what they leave is prime */
    uint64_t base_count;
    uint8_t bytes[]; /* the patterns, then base_count bytes of the sieve: see wheel.h */
} sieve_plan;

/* NULL if there is not enough memory. */
sieve_plan *sieve_plan_create(const struct sieve_request *request);
size_t sieve_plan_size(const sieve_plan *plan);

/* How many primes a part has (numbered from 0); -1 if there is not enough memory. */
int64_t sieve_count(const sieve_plan *plan, int64_t part);

/* The primes of a part in order, *count of them; the caller frees them. NULL if there is
 * not enough memory. */
uint64_t *sieve_list(const sieve_plan *plan, int64_t part, size_t *count);

/* Miller-Rabin with bases that are known to leave no composite below 2^64. */
bool is_prime(uint64_t n);

#endif
