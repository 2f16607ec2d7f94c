/* primes.h - what the parts of the program share. */
#ifndef PRIMES_PRIMES_H
#define PRIMES_PRIMES_H

#include "sieve.h"
#include "../support/tool.h"

/* 123, 10^7, 2e9. False if it is none of these or not below 2^64. */
bool parse_number(const char *text, uint64_t *value);

/* What the program does; each returns main's result, and has said what went wrong. */
int count_range(crew_pool *pool, const sieve_plan *plan);
int compare_range(crew_pool *pool, const sieve_plan *plan); /* in series, then on the pool */
int list_range(crew_pool *pool, const sieve_plan *plan);
/* Prints the primes among the numbers in files, one a line; "-" is standard input. */
int test_files(crew_pool *pool, char **names, int count);

#endif
