/* team/guard.h - pages behind arrays that nobody may touch.
 *
 * The last page of a large array's last granule belongs to nobody: who writes past
 * the array's end meets it. Protection is each mapping's own, so every process
 * sees to its guards itself, the first time it comes by an array. A guard that a
 * process has set stays when the array goes, until the process comes by another
 * array over that place: therefore nothing but arrays lies in the arena of
 * arrays, and nobody may touch an array's memory before cw_guard_see.
 *
 * The state is this process's, like the mapping: the one of the root segment. Any
 * thread may call; fork children inherit protections and state alike. */
#ifndef CW_TEAM_GUARD_H
#define CW_TEAM_GUARD_H

#include "team/arena.h"

/* An object and the granules it lies in; number 0: none. */
struct cw_within {
    uint64_t number; /* never given to two arrays */
    cw_off from, end;
    uint64_t guarded; /* 1: its last page is a guard */
};

/* Bytes of a guard; 0: pages are too large for any. */
uint64_t cw_guard_bytes(void);

/* True if this process has come by the object with that number (a false no is
 * possible: the newest few hundred are known). */
bool cw_guard_seen(uint64_t number);
/* This process may touch the object from now on, and not the guard behind it. */
void cw_guard_see(char *base, uint64_t size, const struct cw_within *object);
/* No guard of this process's is left in [from, end). */
void cw_guard_clear(char *base, uint64_t size, cw_off from, cw_off end);

/* The mapping is gone. */
void cw_guard_forget(void);
/* In a fork's child: whoever held the lock is not there. */
void cw_guard_after_fork(void);

#endif
