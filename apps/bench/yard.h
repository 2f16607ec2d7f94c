/* yard.h - the yardstick: the same loops under OpenMP, calling the same functions
 * through pointers into the same memory. */
#ifndef BENCH_YARD_H
#define BENCH_YARD_H

#include <crew/crew.h>

/* The wait policy that keeps OpenMP's threads from spinning while it is the other
 * side's turn must be in the environment when its runtime starts: sets what is
 * not set, and starts the program anew if anything was not. */
void yard_quieten(char **argv);

bool yard_available(void);
void yard_runtime(char *text, size_t size); /* the runtime's file and version */

enum { YARD_STATIC, YARD_DYNAMIC, YARD_GUIDED };
struct yard_schedule {
    const char *name;
    int kind;
    int64_t chunk; /* DYNAMIC only */
};

/* in NULL: an index loop. out may be NULL with 0. */
struct yard_map {
    crew_fn *fn;
    const void *in;
    size_t in_size;
    int64_t count;
    void *out;
    size_t out_size;
    const void *common;
    size_t common_size;
};

/* Seconds for the whole loop; negative if a call failed. */
double yard_map(const struct yard_map *map, const struct yard_schedule *schedule, int threads);
/* The loop [0, count) in blocks: the schedule deals out blocks. */
double yard_for(int (*body)(crew_call *call, int64_t lo, int64_t hi), int64_t count, int64_t block,
                const void *common, size_t common_size, const struct yard_schedule *schedule,
                int threads);

#endif
