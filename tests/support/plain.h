/* plain.h - what tests that open no pool share: a seed that they print first, random
 * numbers from it, and the time. Tests with pools have crewtest.h. */
#ifndef PLAIN_H
#define PLAIN_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* CREW_TEST_SEED, or another one each time. */
static inline uint64_t plain_seed(void) {
    const char *given = getenv("CREW_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) << 16;
    printf("CREW_TEST_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

/* splitmix64: any seed is as good as another, neighbours too. */
static inline uint64_t draw(uint64_t *s) {
    uint64_t x = *s += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* (0, 1) */
static inline double draw_unit(uint64_t *s) {
    return ((double)(draw(s) >> 11) + 0.5) * 0x1p-53;
}

/* What a list of NAME=value, NULL at its end, says of a name; NULL: nothing. */
static inline const char *plain_setting(const char *const *settings, const char *name) {
    size_t n = strlen(name);
    for (; *settings; settings++)
        if (strncmp(*settings, name, n) == 0 && (*settings)[n] == '=')
            return *settings + n + 1;
    return NULL;
}

#endif
