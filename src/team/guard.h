/* team/guard.h - pages behind arrays that nobody may touch.
 *
 * The last page of a large array's last granule belongs to nobody: who writes past
 * the array's end meets it. Protection is each mapping's own, so every process
 * sees to its guards itself, the first time it comes by an array; and takes them
 * away again when it learns that the array was destroyed. It learns that from a
 * count in the segment's head, which it compares with the one it knows whenever it
 * comes by an array, begins a map or a task, has a result, a message or a value, or
 * has waited for another process: before an address that somebody else has found
 * can be used here.
 *
 *     destroy:  the array's word changes · the count · its memory is free
 *     others:   the count, then their guards whose words have changed · memory
 *
 * The state is this process's, like the mapping: the one of the root segment. Any
 * thread may call; fork children inherit protections and state alike. */
#ifndef CW_TEAM_GUARD_H
#define CW_TEAM_GUARD_H

#include "team/arena.h"

/* An array, as far as guards go. */
struct cw_within {
    uint64_t life; /* what its word says as long as it is there; 0: none */
    cw_off word;   /* that word: in memory that is never used for anything else */
    cw_off guard;  /* its guard page; 0: it has none */
};

/* Bytes of a guard; 0: pages are too large for any. */
uint64_t cw_guard_bytes(void);

/* This process may touch the object from now on, and not the guard behind it. base,
 * size: of the root segment. */
void cw_guard_see(char *base, uint64_t size, const struct cw_within *object);

/* How many this process has. */
extern _Atomic int cw_guard_count;
void cw_guard_look(char *base);
/* No guard of an array that is gone is left in this process. */
static inline void cw_guard_catch_up(char *base) {
    if (atomic_load_explicit(&cw_guard_count, memory_order_relaxed))
        cw_guard_look(base);
}

/* The mapping is gone. */
void cw_guard_forget(void);
/* In a fork's child: whoever held the lock is not there. */
void cw_guard_after_fork(void);

#endif
