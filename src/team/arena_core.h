/* team/arena_core.h - what the arena's source files share. Nobody else's.
 *
 * In the segment, from the arena's start on:
 *
 *     head | summary bits | span table | start bits | slab bits | gap | granules
 *
 * Truth: `top`, the words of the span table that a walk from granule 0 meets,
 * the bitmaps of slabs, the undo record. Each change of it is one store, and
 * those stores are releases so that the compiler keeps their order: a killed
 * process leaves a prefix of them. Everything else here is derived and may be
 * torn by a kill; cw_span_rebuild makes it anew.
 *
 * Invariant: from granule 0, word by word, the spans tile [0, top) exactly.
 * Entries inside a span hold anything. Granules from top on have no pages.
 *
 * Lock order: a slot's lock, then the arena's. */
#ifndef CW_TEAM_ARENA_CORE_H
#define CW_TEAM_ARENA_CORE_H

#include "team/arena.h"

#include <pthread.h>
#include <stddef.h>

enum {
    CW_GRANULE_SHIFT = 16,
    CW_GRANULE = CW_ARENA_GRANULE,
    CW_CLASSES = 32,
    CW_SMALL_MAX = 32 * 1024, /* larger blocks are spans of their own */
    CW_SLAB_WORDS = 16,       /* of a slab's bitmap: 65536 / 64 / 64 */
    CW_BINS = 128,
    CW_SLOTS = 64,
};
#define CW_NONE UINT32_MAX

/* What a span is. The first three are free; they differ in what handing them
 * out takes. */
enum cw_span_state {
    CW_SPAN_FRESH = 1, /* free, no pages: commit it, then it is zero */
    CW_SPAN_CLEAN,     /* free, committed, zero */
    CW_SPAN_WARM,      /* free, committed, dirty */
    CW_SPAN_USED,      /* one large block */
    CW_SPAN_SLAB,      /* small blocks of the class `aux` */
    CW_SPAN_BUSY,      /* slot `aux` commits, zeroes or discards it outside the lock */
};

/* Free spans are kept and merged in two families. */
enum { CW_HOLES, CW_COMMITTED };
static inline int cw_span_family(int state) {
    return state == CW_SPAN_FRESH ? CW_HOLES : CW_COMMITTED;
}

/* A span's word: state (8 bits), aux (8 bits), granules. */
static inline uint64_t cw_word(int state, unsigned aux, uint64_t granules) {
    return (uint64_t)state | (uint64_t)aux << 8 | granules << 16;
}
static inline int cw_word_state(uint64_t word) {
    return (int)(word & 0xff);
}
static inline unsigned cw_word_aux(uint64_t word) {
    return (unsigned)(word >> 8 & 0xff);
}
static inline uint64_t cw_word_granules(uint64_t word) {
    return word >> 16;
}
static inline bool cw_word_free(uint64_t word) {
    int state = cw_word_state(word);
    return state == CW_SPAN_FRESH || state == CW_SPAN_CLEAN || state == CW_SPAN_WARM;
}

/* One granule's entry. Only `word` is truth (and bits_ready, which never falls). */
struct cw_span {
    _Atomic uint64_t word;
    uint32_t next, prev; /* in a bin, or among a class's slabs with room */
    uint16_t free;       /* slab: blocks not given out */
    uint16_t scan;       /* slab: the bitmap's words below are full */
    uint16_t clean;      /* slab: blocks from here on were never given out and are zero */
    uint16_t unused;
    uint32_t bits_ready; /* of every CW_READY-th: the slab bitmaps of that chunk have pages */
    uint32_t unused2;
};
_Static_assert(sizeof(struct cw_span) == 32, "layout");
enum { CW_READY = 512 };

/* One classful of work outside the arena's lock. The lock is held as long as
 * the work goes on, so that a dead worker's is noticed. */
struct cw_slot {
    union {
        pthread_mutex_t lock;
        char room[56];
    };
    uint64_t span; /* 1 + the granule of its BUSY span, or 0; under the arena's lock */
};
_Static_assert(sizeof(struct cw_slot) == 64, "layout");
_Static_assert(CW_GRANULE == 1 << CW_GRANULE_SHIFT, "layout");

enum { CW_UNDO_NONE, CW_UNDO_ALLOC, CW_UNDO_FREE };

struct cw_arena_head {
    _Atomic uint64_t magic;
    uint32_t version, layout;
    uint64_t segment;   /* bytes of the segment */
    uint64_t end;       /* of the arena, in it */
    uint64_t granules;  /* there is room for */
    uint64_t table;     /* offsets in the segment: struct cw_span a granule */
    uint64_t starts[3]; /* a bit a granule: a span starts here; a bit a word of it; again */
    uint64_t bits;      /* CW_SLAB_WORDS words a granule */
    uint64_t first;     /* granule 0 */
    uint64_t cap;       /* of committed free memory, in granules */
    _Atomic uint64_t top;
    uint64_t ready; /* table entries that have pages; never falls */
    _Atomic uint32_t turn;

    _Alignas(64) pthread_mutex_t lock;
    _Atomic uint32_t held; /* a hint for those who spin */
    struct {
        _Atomic uint64_t kind, block, cell, span;
    } undo;
    uint64_t used; /* bytes that callers hold */
    uint64_t warm; /* granules free and committed */
    uint64_t binmap[2][CW_BINS / 64];
    uint32_t bins[2][CW_BINS];
    uint32_t partial[CW_CLASSES]; /* slabs with room */
    _Alignas(64) struct cw_slot slots[CW_SLOTS];
};
_Static_assert(offsetof(struct cw_arena_head, lock) == 128, "layout");
_Static_assert(offsetof(struct cw_arena_head, slots) % 64 == 0, "layout");
_Static_assert(sizeof(struct cw_arena_head) % 64 == 0, "layout");

struct cw_class {
    uint16_t size;     /* bytes of a block */
    uint16_t granules; /* of a slab */
    uint16_t count;    /* blocks in a slab */
};
extern const struct cw_class cw_classes[CW_CLASSES];

/* The class of a size from 1 to CW_SMALL_MAX. */
static inline unsigned cw_class_of(size_t size) {
    unsigned last = (unsigned)size - 1;
    if (last < 256)
        return last / 64;
    unsigned log2 = 31 - (unsigned)__builtin_clz(last);
    return 4 + (log2 - 8) * 4 + (last >> (log2 - 2) & 3);
}

static inline struct cw_span *cw_span_at(const cw_arena *a, uint64_t g) {
    return (struct cw_span *)(a->seg->base + a->head->table) + g;
}
static inline uint64_t cw_span_word(const cw_arena *a, uint64_t g) {
    return atomic_load_explicit(&cw_span_at(a, g)->word, memory_order_relaxed);
}
static inline void cw_span_set(const cw_arena *a, uint64_t g, uint64_t word) {
    /* Pairs with nothing: under the lock; a release keeps the stores' order. */
    atomic_store_explicit(&cw_span_at(a, g)->word, word, memory_order_release);
}
static inline _Atomic uint64_t *cw_slab_bits(const cw_arena *a, uint64_t g) {
    return (_Atomic uint64_t *)(a->seg->base + a->head->bits) + g * CW_SLAB_WORDS;
}
static inline cw_off cw_span_offset(const cw_arena *a, uint64_t g) {
    return a->head->first + (g << CW_GRANULE_SHIFT);
}
static inline uint64_t cw_arena_top(const cw_arena *a) {
    return atomic_load_explicit(&a->head->top, memory_order_relaxed);
}

/* All below: the caller holds the arena's lock. */

/* The span that granule g < top lies in. */
uint64_t cw_span_of(const cw_arena *a, uint64_t g);
/* A free span of the family with at least n granules, CW_NONE if there is none.
 * It looks at up to `tries` spans of the bin where some may be too short. */
uint32_t cw_span_find(const cw_arena *a, int family, uint64_t n, int tries);
/* The largest free span of the family (of those in the highest bin, the first). */
uint32_t cw_span_largest(const cw_arena *a, int family);
/* Makes the first n granules of free span g what `state` and `aux` say. */
void cw_span_carve(cw_arena *a, uint64_t g, uint64_t n, int state, unsigned aux);
/* n granules from top, BUSY for `slot`: *g. CREW_ENOMEM. */
int cw_span_extend(cw_arena *a, uint64_t n, unsigned slot, uint32_t *g, crew_error *err);
/* Frees the span at g as `state`, merged with its neighbours of the family. */
void cw_span_release(cw_arena *a, uint64_t g, int state);
/* Pages for the slab bitmap of granule g. */
int cw_span_bits_commit(cw_arena *a, uint64_t g, crew_error *err);
/* Links and unlinks an entry of a list: a class's slabs with room. */
void cw_span_link(cw_arena *a, uint32_t *list, uint32_t g);
void cw_span_unlink(cw_arena *a, uint32_t *list, uint32_t g);

/* Everything derived, anew from the truth. Empty slabs become free spans. */
void cw_span_rebuild(cw_arena *a);

/* Takes the lock itself. NULL if what is derived agrees with the truth, else
 * what does not: for tests and debuggers. */
const char *cw_arena_check(cw_arena *a);

/* The arena's lock. Whoever finds its holder dead has mended the arena. */
void cw_arena_lock(cw_arena *a);
void cw_arena_unlock(cw_arena *a);

#endif
