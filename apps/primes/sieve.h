/* sieve.h - the primes of a range, a segment at a time, and of single numbers.
 *
 * A plan holds what every segment needs to know. It is one block of memory
 * without pointers, so it can reach the workers as the map's common argument. */
#ifndef PRIMES_SIEVE_H
#define PRIMES_SIEVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sieve_method { SIEVE_SEGMENTS, SIEVE_EACH }; /* sieve; or test each number on its own */

typedef struct sieve_plan {
    uint64_t from, to; /* both belong to the range */
    uint64_t span;     /* numbers in a segment; even */
    int64_t segments;
    uint32_t method;
    uint32_t exact; /* the base primes reach the root of `to`: what they leave is prime */
    uint64_t count;
    uint32_t base[]; /* odd primes in order */
} sieve_plan;

/* 1 <= from <= to < 2^63. NULL if there is not enough memory. */
sieve_plan *sieve_plan_create(uint64_t from, uint64_t to, enum sieve_method method);
size_t sieve_plan_size(const sieve_plan *plan);

/* How many primes a segment has (numbered from 0); -1 if there is not enough memory. */
int64_t sieve_count(const sieve_plan *plan, int64_t number);

/* The primes of a segment in order, *count of them; the caller frees them. NULL
 * if there is not enough memory. */
uint64_t *sieve_list(const sieve_plan *plan, int64_t number, size_t *count);

/* Miller-Rabin with bases that are known to leave no composite below 2^64. */
bool is_prime(uint64_t n);

#endif
