/* team/head.h - the first page of a segment: what it is, and how it is laid out.
 *
 *     0: cw_segment_head | CW_BELL_AT: the manager's bell | CW_ARENA_START: the arena of
 *     boards | arrays: the arena of arrays
 *
 * Whoever maps a segment that another program made checks the head first: a
 * build whose structures differ has another hash. */
#ifndef CW_TEAM_HEAD_H
#define CW_TEAM_HEAD_H

#include "team/arena.h"

enum { CW_BELL_AT = 64, CW_ARENA_START = 4096 };

struct cw_segment_head {
    _Atomic uint64_t magic;
    uint32_t version, layout;
    uint64_t size;            /* of the segment */
    cw_off arrays;            /* where the arena of arrays begins; 0: there is none */
    cw_off commons;           /* see share/share.h; 0: there are none */
    _Atomic uint64_t numbers; /* (any) the last number of an array that was given out */
    _Atomic uint64_t ends;    /* (any) how many arrays with a guard have been destroyed */
};
_Static_assert(sizeof(struct cw_segment_head) <= CW_BELL_AT, "layout");

static inline struct cw_segment_head *cw_head(const cw_segment *seg) {
    return (struct cw_segment_head *)(void *)seg->base;
}

/* Commits the first page and fills it in. */
int cw_head_make(cw_segment *seg, cw_off arrays, crew_error *err);
/* CREW_EMISMATCH with the reason if another build, or nobody, made this segment. */
int cw_head_check(const cw_segment *seg, crew_error *err);

#endif
