/* How long the items of a simulated map take, and what a list of them takes at best. */
#include "support/fleetsim_parts.h"

#include <math.h>
#include <stdlib.h>

const char *const fleetsim_cost_names[] = {"constant", "uniform", "exponential",
                                           "heavy",    "growing", "falling"};

static double chance(uint64_t seed, int64_t item) {
    uint64_t x = seed * 0xd1342543de82ef95ull + (uint64_t)item * 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    x ^= x >> 31;
    return ((double)(x >> 11) + 0.5) * 0x1p-53;
}

double fleetsim_cost_ns(const struct fleetsim *how, int64_t item) {
    double at = how->count > 1 ? (double)item / (double)(how->count - 1) : 0;
    double grown = 6.907755278982137 / 999; /* ln 1000, through what the mean is otherwise */
    switch (how->cost) {
    case FLEETSIM_UNIFORM:
        return 2 * how->mean_ns * chance(how->seed, item);
    case FLEETSIM_EXPONENTIAL:
        return -log(chance(how->seed, item)) * how->mean_ns;
    case FLEETSIM_HEAVY:
        return how->mean_ns * fmin(pow(chance(how->seed, item), -1 / 1.5) / 3, 1000);
    case FLEETSIM_GROWING:
        return how->mean_ns * grown * exp(6.907755278982137 * at);
    case FLEETSIM_FALLING:
        return how->mean_ns * grown * exp(6.907755278982137 * (1 - at));
    default:
        return how->mean_ns;
    }
}

struct free_worker {
    double at, slow;
};

static void put_back(struct free_worker *heap, size_t count) { /* the first is later now */
    struct free_worker w = heap[0];
    size_t i = 0;
    for (size_t child = 1; child < count; child = 2 * i + 1) {
        if (child + 1 < count && heap[child + 1].at < heap[child].at)
            child++;
        if (heap[child].at >= w.at)
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = w;
}

double fleetsim_list_ns(const struct fleetsim *how) {
    struct free_worker *heap = NULL;
    size_t count = 0;
    double last = 0;
    for (int node = 0; node < how->nodes; node++) {
        int workers = how->workers_of ? how->workers_of[node] : how->workers;
        heap = fleetsim_room(heap, (count + (size_t)workers) * sizeof *heap);
        for (int i = 0; i < workers; i++)
            heap[count++] = (struct free_worker){0, how->slowness ? how->slowness[node] : 1};
    }
    for (int64_t i = 0; i < how->count; i++) {
        heap[0].at += heap[0].slow * fleetsim_cost_ns(how, i);
        last = fmax(last, heap[0].at);
        put_back(heap, count);
    }
    free(heap);
    return last;
}

double fleetsim_range_ns(const struct fleetsim *how, int64_t lo, int64_t hi) {
    if (how->cost == FLEETSIM_CONSTANT)
        return how->mean_ns * (double)(hi - lo);
    double sum = 0;
    for (int64_t i = lo; i < hi; i++)
        sum += fleetsim_cost_ns(how, i);
    return sum;
}
