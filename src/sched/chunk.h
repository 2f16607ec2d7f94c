/* sched/chunk.h - how many items a claim takes. Pure: no clock, no memory. */
#ifndef CW_SCHED_CHUNK_H
#define CW_SCHED_CHUNK_H

#include <stdint.h>

struct cw_chunk_rule {
    int schedule;  /* CREW_SCHED_* */
    int64_t chunk; /* the caller's wish, 0: none */
    int64_t count; /* items of the map */
    int64_t workers;
};

/* What a worker knows of its own last claim; zeros before the first. */
struct cw_chunk_seen {
    int64_t items;
    int64_t ns;
};

/* True if cw_chunk_size looks at `seen`, so that a worker need not read the
 * clock for nothing. */
int cw_chunk_measures(const struct cw_chunk_rule *rule);

/* The size of the next claim, at least 1, when `left` items are unclaimed.
 *
 * AUTO aims at claims of CW_CHUNK_AIM_NS, long enough that claiming costs under
 * 1 %, and never more than a quarter of a worker's share of what is left, nor of
 * what has been claimed so far, so that the last worker ends within 1 % or one
 * item of the first. It never makes claims shorter than CW_CHUNK_FLOOR_NS for
 * balance: they would cost more than they save. It trusts a measurement only so
 * far: a claim is at most CW_CHUNK_GROWTH times the last. */
int64_t cw_chunk_size(const struct cw_chunk_rule *rule, int64_t left,
                      const struct cw_chunk_seen *seen);

enum { CW_CHUNK_AIM_NS = 20000, CW_CHUNK_FLOOR_NS = 1000, CW_CHUNK_GROWTH = 2 };

#endif
