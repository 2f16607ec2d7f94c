/* The clock, and the sides of a race. */
#include "bench.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void rest_for(double seconds) {
    double until = now() + seconds;
    for (double left = seconds; left > 0; left = until - now()) {
        struct timespec t = {.tv_sec = (time_t)left,
                             .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
        nanosleep(&t, NULL);
    }
}

void settle(void) {
    rest_for(1e-3);
}

struct side *race_enter(struct race *race, const char *name) {
    assert(race->sides < SIDES_MOST);
    struct side *side = &race->side[race->sides++];
    side->name = name;
    side->count = 0;
    return side;
}

void side_add(struct side *side, double value) {
    assert(side->count < ROUNDS_MOST);
    side->value[side->count++] = value;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double side_median(const struct side *side) {
    double sorted[ROUNDS_MOST];
    int n = side->count;
    assert(n > 0);
    for (int i = 0; i < n; i++)
        sorted[i] = side->value[i];
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

double side_least(const struct side *side) {
    double least = side->value[0];
    for (int i = 1; i < side->count; i++)
        least = side->value[i] < least ? side->value[i] : least;
    return least;
}

const struct side *race_best(const struct race *race) {
    const struct side *best = NULL;
    for (int i = 1; i < race->sides; i++)
        if (!best || side_median(&race->side[i]) < side_median(best))
            best = &race->side[i];
    return best;
}
