/* share/array.h - arrays, and views of them.
 *
 * An array has a block in the arena of arrays, or lies in named memory; a view lies
 * in an array. The block says which array it belongs to; its number is never given
 * to another one.
 *
 * | word        | written by                                                      |
 * |-------------|-----------------------------------------------------------------|
 * | lock        | as in share/lock.h (a view's is never used)                     |
 * | life        | its maker; who destroys it, once                                |
 * | block       | its maker; afterwards who destroys it                           |
 * | use, identity, without | who broadcasts or resets it                          |
 * | abroad      | the agent, before it tells another node of it                   |
 * | stuck       | the agent: MPI may still write to it, its memory is not used again |
 * | held        | the agent, before others know of it, or while it uses the memory;   |
 * |             | who destroys it, 1 to 2                                             |
 * | the others  | its maker, before there is a handle                             |
 *
 * All are read by everybody, also through a handle that is stale while the cell
 * becomes another array: who reads looks at `life` before and after.
 *
 * A death in between: a maker's block is in its hand's cell until the object is
 * there (block and hand then both name it: the object's counts), so `bury` clears
 * the hand's. Who destroys says so in `life`, by which all handles are stale; then
 * the count of ends, the block, the cell: `bury` does what is left of it.
 *
 * What another node's handle means here is an array (or view) of this node's, with the
 * handle in `origin`: it lies and dies as any other, when the node that it was made on
 * says so. Of a PARTITIONED array only [part_from, part_to) lies here; `data` is where
 * its element 0 would be if all did. */
#ifndef CW_SHARE_ARRAY_H
#define CW_SHARE_ARRAY_H

#include "share/lock.h"
#include "team/guard.h"

#include <crew/shared.h>

/* life: number << CW_LIFE_BITS, while it is there; and the hand that destroys it. */
enum { CW_LIFE_BITS = 28 };
_Static_assert(CW_BOLT_HAND >> CW_LIFE_BITS == 0, "a hand fits");

static inline bool cw_life_over(uint64_t life) {
    return life == 0 || (life & CW_BOLT_HAND) != 0;
}

enum { CW_ARRAY_READ = -1 };

struct cw_array {
    struct cw_lock lock; /* the head is its first member */
    _Atomic uint32_t maker; /* hand + 1 */
    _Atomic int32_t type, ndim, scope;
    _Atomic uint64_t life;
    _Atomic cw_off block; /* 0: a view, or in named memory */
    _Atomic uint64_t data; /* of the first element: in the segment, or in named memory */
    _Atomic cw_off guard;  /* of an array that has one */
    _Atomic uint64_t base_place, base_check; /* what it is a view of; 0: none */
    _Atomic uint64_t shm_place, shm_check;   /* the named memory; 0: none */
    _Atomic int64_t shape[CREW_ARRAY_DIMS], strides[CREW_ARRAY_DIMS]; /* in elements */
    /* REPLICATED: the operation that it gathers for (CREW_SUM ..., CREW_OWN); 0: none yet;
     * CW_ARRAY_READ: it was broadcast. */
    _Atomic int32_t use;
    _Atomic uint64_t identity; /* bytes of its element, since it was reset */
    _Atomic uint32_t without;  /* so many nodes had been lost then */
    _Atomic uint32_t abroad, stuck;
    _Atomic uint32_t held; /* 1: its memory is the agent's to free; 2: and it has ended */
    _Atomic uint64_t origin_place, origin_check; /* as another node calls it; 0: made here */
    _Atomic int64_t part_from, part_to;          /* bytes from element 0 on that lie here */
};

/* At the beginning of a block; 64 bytes. */
struct cw_array_block {
    _Alignas(64) _Atomic cw_off array; /* whose it is */
};

/* Gives back what an array has whose life is over; any number of times. */
void cw_array_empty(struct cw_share *share, struct cw_array *array);

#endif
