/* team/arena.h - an allocator inside a segment.
 *
 * Offsets, never pointers: each process maps the segment where it likes. Any
 * process and thread may allocate and free; one that is killed at any
 * instruction of it leaves the arena whole and leaks nothing that it had not
 * yet been told of.
 *
 * How: one robust lock. The truth is kept so that every change is one store: a
 * table of spans (runs of 64 KiB granules: state and length in one word, so
 * that a walk always finds a tiling) and, in spans of small blocks, a bitmap.
 * Free lists and counts are derived; whoever finds the lock's owner dead
 * rebuilds them by walking. An allocation stores its offset into a cell that
 * the caller names, and an undo record says which block and cell: the next
 * holder frees a block whose cell does not hold it. What takes long (commit,
 * zero, discard) is done outside the lock, on a span that a slot with a robust
 * lock of its own names; whoever finds that slot's owner dead takes it back.
 *
 * A cell belongs to whoever is between a call that names it and its return: only
 * calls of this arena may change it then. It may lie anywhere in the segment.
 *
 * Blocks up to 32 KiB come from size classes (at most 25 % more than asked for),
 * larger ones are whole granules. Freed memory stays committed up to a cap (a
 * sixteenth of what was available at creation).
 *
 * Not for signal handlers: the lock is not recursive. A thread must not be
 * cancelled asynchronously inside.
 *
 * | operation | may overlap with                              |
 * |-----------|-----------------------------------------------|
 * | alloc     | everything                                    |
 * | free      | everything but an access to the same block    |
 * | ptr       | everything (pure arithmetic)                  |          */
#ifndef CW_TEAM_ARENA_H
#define CW_TEAM_ARENA_H

#include "os/segment.h"

#include <stdatomic.h>

/* An offset in the segment; 0 is none. */
typedef uint64_t cw_off;

typedef struct cw_arena {
    cw_segment *seg;            /* this process's mapping */
    struct cw_arena_head *head; /* in it */
} cw_arena;

/* What tells two layouts of shared memory apart: sizes, offsets and numbers of one build. */
uint32_t cw_layout_hash(const uint64_t *facts, size_t n);

/* Lays an arena over the segment's bytes [start, end); start is a multiple of 64. */
int cw_arena_create(cw_arena *a, cw_segment *seg, uint64_t start, uint64_t end, crew_error *err);
/* The arena that another process laid there: checks magic, version and layout. */
int cw_arena_attach(cw_arena *a, cw_segment *seg, uint64_t start, crew_error *err);

/* Allocates size bytes (0 counts as 1), aligned to 64, committed (touching it
 * cannot fail), contents undefined. *cell (in the segment, or NULL where the
 * caller's death ends the arena anyway) holds the offset before the call
 * returns. 0 with the code in err. */
cw_off cw_alloc(cw_arena *a, size_t size, _Atomic cw_off *cell, crew_error *err);
/* The same, zeroed. */
cw_off cw_alloc_zero(cw_arena *a, size_t size, _Atomic cw_off *cell, crew_error *err);
/* A large block of its own pages, zeroed, made real by the caller's function (as
 * cw_segment_commit would; it fills err). Whole granules of CW_ARENA_GRANULE. */
typedef int cw_commit_fn(void *ctx, cw_segment *seg, uint64_t offset, uint64_t size,
                         crew_error *err);
enum { CW_ARENA_GRANULE = 65536 };
cw_off cw_alloc_pages(cw_arena *a, size_t size, cw_commit_fn *commit, void *ctx,
                      _Atomic cw_off *cell, crew_error *err);
/* Frees; 0 is fine. Freeing what is not allocated is caught in debug builds. */
void cw_free(cw_arena *a, cw_off block);
/* Frees what *cell holds, once, and leaves 0 there (also if several try). */
void cw_free_cell(cw_arena *a, _Atomic cw_off *cell);

static inline void *cw_ptr(const cw_arena *a, cw_off off) {
    return off ? a->seg->base + off : NULL;
}

/* Gives back what it holds in reserve; keeps at most so much from now on (for
 * UINT64_MAX as much as before). */
void cw_arena_shrink(cw_arena *a, uint64_t keep_bytes);

/* Bytes that callers hold now (rounded as the arena rounds), for leak tests. */
uint64_t cw_arena_used(cw_arena *a);
/* True if [p, p + size) lies inside one allocated block of the arena. */
int cw_arena_holds(cw_arena *a, const void *p, size_t size);
/* That block's bounds, 0 if it is none. */
cw_off cw_arena_block(cw_arena *a, const void *p, size_t size, cw_off *end);

#endif
