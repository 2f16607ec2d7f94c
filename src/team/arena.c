/* The arena's lock and recovery, its small and large blocks.
 *
 * A block is handed out and taken back by one store each (a bit, or a span's
 * word), between the writing and the wiping of the undo record. */
#include "team/arena.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "os/futex.h"
#include "os/robust.h"
#include "team/arena_core.h"

static const uint64_t MAGIC = 0x616e657261776300; /* "\0cwarena" */
enum { VERSION = 2 };

/* A lock that is held is mostly held for less than a sleep and a wake cost. */
enum { SPINS = 200 };

/* Committing costs a look at the limits: slabs therefore grow by at least this
 * and by an eighth of what is in use, but not without bound. In granules. */
enum { GROW_MIN = 16, GROW_MAX = 512 };

/* Slabs of more than one granule where a block would not divide one well: at
 * most a sixteenth of a slab is beyond its last block. */
#define CLASS(bytes, n)                                                                            \
    { .size = (bytes), .granules = (n), .count = (n)*CW_GRANULE / (bytes) }
const struct cw_class cw_classes[CW_CLASSES] = {
    CLASS(64, 1),    CLASS(128, 1),   CLASS(192, 1),   CLASS(256, 1),   CLASS(320, 1),
    CLASS(384, 1),   CLASS(448, 1),   CLASS(512, 1),   CLASS(640, 1),   CLASS(768, 1),
    CLASS(896, 1),   CLASS(1024, 1),  CLASS(1280, 1),  CLASS(1536, 1),  CLASS(1792, 1),
    CLASS(2048, 1),  CLASS(2560, 1),  CLASS(3072, 1),  CLASS(3584, 1),  CLASS(4096, 1),
    CLASS(5120, 1),  CLASS(6144, 1),  CLASS(7168, 1),  CLASS(8192, 1),  CLASS(10240, 1),
    CLASS(12288, 1), CLASS(14336, 2), CLASS(16384, 1), CLASS(20480, 1), CLASS(24576, 2),
    CLASS(28672, 4), CLASS(32768, 1),
};

/* ---- laying and finding ---- */

uint32_t cw_layout_hash(const uint64_t *facts, size_t n) {
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ facts[i]) * 0x100000001b3;
    return (uint32_t)(hash ^ hash >> 32);
}

/* A change of any of this makes two builds' arenas strangers. */
static uint32_t layout_hash(void) {
    const uint64_t facts[] = {
        sizeof(struct cw_arena_head),
        sizeof(struct cw_span),
        sizeof(struct cw_slot),
        sizeof(pthread_mutex_t),
        offsetof(struct cw_arena_head, lock),
        offsetof(struct cw_arena_head, undo),
        offsetof(struct cw_arena_head, bins),
        offsetof(struct cw_arena_head, slots),
        CW_GRANULE,
        CW_CLASSES,
        CW_SMALL_MAX,
    };
    return cw_layout_hash(facts, sizeof facts / sizeof *facts);
}

static uint64_t aligned(uint64_t at) {
    return (at + CW_GRANULE - 1) / CW_GRANULE * CW_GRANULE;
}

/* Fills in where everything lies. False if there is no room for a granule. */
static bool lay_out(struct cw_arena_head *h, uint64_t start, uint64_t end) {
    uint64_t at = start + sizeof *h;
    const uint64_t each = CW_GRANULE + sizeof(struct cw_span) + CW_SLAB_WORDS * 8 + 1;
    const uint64_t slack = 9 * (uint64_t)CW_GRANULE; /* what aligning takes, and the gap */
    if (end < at + slack + each)
        return false;
    uint64_t n = (end - at - slack) / each;
    n = n < CW_NONE ? n : CW_NONE - 1;
    uint64_t words = (n + 63) / 64;
    h->end = end;
    h->granules = n;
    h->starts[1] = (at + 63) / 64 * 64;
    h->starts[2] = h->starts[1] + (words + 63) / 64 * 8;
    h->table = aligned(h->starts[2] + ((words + 63) / 64 + 63) / 64 * 8);
    h->starts[0] = aligned(h->table + n * sizeof(struct cw_span));
    h->bits = aligned(h->starts[0] + words * 8);
    h->first = aligned(h->bits + n * CW_SLAB_WORDS * 8) + CW_GRANULE;
    assert(h->first + n * CW_GRANULE <= end);
    return true;
}

/* Who writes in front of the first block meets a page that is not there. Each
 * mapping has its own; without it all else works. */
static void make_gap(const cw_arena *a) {
    mprotect(a->seg->base + a->head->first - CW_GRANULE, CW_GRANULE, PROT_NONE);
}

int cw_arena_create(cw_arena *a, cw_segment *seg, uint64_t start, uint64_t end, crew_error *err) {
    *a = (cw_arena){0};
    struct cw_arena_head plan = {0};
    if (start % 64)
        return cw_error_set(err, CREW_EINVAL, 0, "an arena cannot start at %llu",
                            (unsigned long long)start);
    end = end < seg->size ? end : seg->size;
    if (start > end || !lay_out(&plan, start, end)) {
        char text[CW_SIZE_TEXT];
        return cw_error_set(err, CREW_ENOMEM, 0, "no room for an arena in a segment of %s (%s)",
                            cw_size_text(start < end ? end - start : 0, text), seg->bound);
    }
    int rc = cw_segment_commit(seg, start, plan.table - start, err);
    if (rc)
        return rc;
    struct cw_arena_head *h = (struct cw_arena_head *)(void *)(seg->base + start);
    memset(h, 0, plan.table - start);
    lay_out(h, start, end);
    h->segment = seg->size;
    h->version = VERSION;
    h->layout = layout_hash();
    h->cap = cw_memory_available() / 16 / CW_GRANULE;
    int sys = cw_robust_init(&h->lock);
    for (int i = 0; i < CW_SLOTS && !sys; i++)
        sys = cw_robust_init(&h->slots[i].lock);
    if (sys)
        return cw_error_set(err, CREW_ENOTSUP, sys, "no robust locks between processes");
    *a = (cw_arena){.seg = seg, .head = h};
    cw_span_rebuild(a);
    make_gap(a);
    /* Pairs with the acquire in cw_arena_attach: the arena is whole. */
    atomic_store_explicit(&h->magic, MAGIC, memory_order_release);
    return cw_error_clear(err);
}

int cw_arena_attach(cw_arena *a, cw_segment *seg, uint64_t start, crew_error *err) {
    *a = (cw_arena){0};
    if (start % 64 || start > seg->size || seg->size - start < sizeof(struct cw_arena_head))
        return cw_error_set(err, CREW_EINVAL, 0, "an arena cannot start at %llu",
                            (unsigned long long)start);
    struct cw_arena_head *h = (struct cw_arena_head *)(void *)(seg->base + start);
    /* Pairs with the release in cw_arena_create. */
    if (atomic_load_explicit(&h->magic, memory_order_acquire) != MAGIC)
        return cw_error_set(err, CREW_EMISMATCH, 0, "there is no arena in this segment");
    if (h->version != VERSION || h->layout != layout_hash())
        return cw_error_set(err, CREW_EMISMATCH, 0,
                            "the segment was laid out by another build of crew");
    if (h->segment != seg->size)
        return cw_error_set(err, CREW_EMISMATCH, 0,
                            "the segment has %llu bytes, its arena was made for %llu",
                            (unsigned long long)seg->size, (unsigned long long)h->segment);
    *a = (cw_arena){.seg = seg, .head = h};
    make_gap(a);
    return cw_error_clear(err);
}

/* ---- the lock, the undo record ---- */

/* A cell in the undo record: 1 + its offset, which may be 0. */
static _Atomic cw_off *cell_at(const cw_arena *a, uint64_t number) {
    return number ? (_Atomic cw_off *)(void *)(a->seg->base + number - 1) : NULL;
}

/* 0 for no cell; for one outside the segment, too: nobody else can read it. */
static uint64_t cell_number(const cw_arena *a, const _Atomic cw_off *cell) {
    uintptr_t at = (uintptr_t)cell - (uintptr_t)a->seg->base;
    return cell && at < a->seg->size ? 1 + at : 0;
}

/* Truth is written with releases only: their order is what a kill leaves. */
static void put(_Atomic uint64_t *where, uint64_t value) {
    /* Pairs with the acquire of whoever reads a cell to use its block. */
    atomic_store_explicit(where, value, memory_order_release);
}

static void undo_set(const cw_arena *a, uint64_t kind, cw_off block, uint64_t cell, uint64_t span) {
    struct cw_arena_head *h = a->head;
    put(&h->undo.block, block);
    put(&h->undo.cell, cell);
    put(&h->undo.span, span);
    put(&h->undo.kind, kind);
}

static void undo_clear(const cw_arena *a) {
    put(&a->head->undo.kind, CW_UNDO_NONE);
}

static unsigned block_index(const cw_arena *a, cw_off block, uint64_t span, unsigned class) {
    return (uint32_t)(block - cw_span_offset(a, span)) / cw_classes[class].size;
}

static bool slab_bit(const cw_arena *a, uint64_t span, unsigned index) {
    uint64_t word = atomic_load_explicit(&cw_slab_bits(a, span)[index / 64], memory_order_relaxed);
    return word >> index % 64 & 1;
}

static void slab_flip(const cw_arena *a, uint64_t span, unsigned index) {
    _Atomic uint64_t *word = &cw_slab_bits(a, span)[index / 64];
    put(word, atomic_load_explicit(word, memory_order_relaxed) ^ (uint64_t)1 << index % 64);
}

/* Undoes an allocation of which the caller cannot know, finishes a free. Again
 * if that is cut short, too: each store leaves the next attempt nothing to do.
 * The span was a span's start when the record was written, or is by now inside
 * one that swallowed it, where its word does not count. */
static void apply_undo(cw_arena *a) {
    struct cw_arena_head *h = a->head;
    uint64_t kind = atomic_load_explicit(&h->undo.kind, memory_order_relaxed);
    cw_off block = atomic_load_explicit(&h->undo.block, memory_order_relaxed);
    uint64_t span = atomic_load_explicit(&h->undo.span, memory_order_relaxed);
    _Atomic cw_off *cell = cell_at(a, atomic_load_explicit(&h->undo.cell, memory_order_relaxed));
    if (kind == CW_UNDO_NONE)
        return;
    bool told = cell && atomic_load_explicit(cell, memory_order_relaxed) == block;
    if (kind == CW_UNDO_FREE && told)
        put(cell, 0);
    if ((kind == CW_UNDO_FREE || !told) && span < cw_arena_top(a)) {
        uint64_t word = cw_span_word(a, span);
        if (cw_word_state(word) == CW_SPAN_USED)
            cw_span_set(a, span, cw_word(CW_SPAN_WARM, 0, cw_word_granules(word)));
        if (cw_word_state(word) == CW_SPAN_SLAB) {
            unsigned index = block_index(a, block, span, cw_word_aux(word));
            if (slab_bit(a, span, index))
                slab_flip(a, span, index);
        }
    }
    undo_clear(a);
}

static int acquire(struct cw_arena_head *h) {
    for (int i = 0; i < SPINS; i++) {
        if (!atomic_load_explicit(&h->held, memory_order_relaxed)) {
            int rc = pthread_mutex_trylock(&h->lock);
            if (rc != EBUSY)
                return rc;
        }
        cw_relax();
    }
    return cw_robust_lock(&h->lock);
}

void cw_arena_lock(cw_arena *a) {
    struct cw_arena_head *h = a->head;
    int rc = acquire(h);
    atomic_store_explicit(&h->held, 1, memory_order_relaxed);
    if (rc == EOWNERDEAD) {
        apply_undo(a);
        cw_span_rebuild(a);
        pthread_mutex_consistent(&h->lock);
        rc = 0;
    }
    assert(rc == 0);
}

void cw_arena_unlock(cw_arena *a) {
    atomic_store_explicit(&a->head->held, 0, memory_order_relaxed);
    pthread_mutex_unlock(&a->head->lock);
}

/* ---- slots: long work on a span, outside the lock ---- */

static struct cw_slot *slot_at(const cw_arena *a, unsigned slot) {
    return &a->head->slots[slot];
}

/* Gives the slot's span back without its pages: nothing need be known of them.
 * Owner: who holds the slot. */
static void slot_drop(cw_arena *a, unsigned slot) {
    cw_arena_lock(a);
    uint64_t span = slot_at(a, slot)->span;
    uint64_t n = span ? cw_word_granules(cw_span_word(a, span - 1)) : 0;
    cw_arena_unlock(a);
    if (!span)
        return;
    cw_segment_discard(a->seg, cw_span_offset(a, span - 1), n * CW_GRANULE);
    cw_arena_lock(a);
    slot_at(a, slot)->span = 0;
    cw_span_release(a, span - 1, CW_SPAN_FRESH);
    cw_arena_unlock(a);
}

static bool slot_try(cw_arena *a, unsigned slot, bool wait) {
    pthread_mutex_t *lock = &slot_at(a, slot)->lock;
    int rc = wait ? cw_robust_lock(lock) : pthread_mutex_trylock(lock);
    if (rc == EOWNERDEAD) {
        slot_drop(a, slot);
        pthread_mutex_consistent(lock);
        rc = 0;
    }
    assert(rc == 0 || rc == EBUSY);
    return rc == 0;
}

/* Begins elsewhere each time, so that a dead owner's slot is soon come upon. */
static unsigned slot_take(cw_arena *a) {
    unsigned first = atomic_fetch_add_explicit(&a->head->turn, 1, memory_order_relaxed);
    for (unsigned i = 0; i < CW_SLOTS; i++)
        if (slot_try(a, (first + i) % CW_SLOTS, false))
            return (first + i) % CW_SLOTS;
    slot_try(a, first % CW_SLOTS, true);
    return first % CW_SLOTS;
}

static void slot_release(cw_arena *a, unsigned slot) {
    pthread_mutex_unlock(&slot_at(a, slot)->lock);
}

/* Under the lock: makes [g, g + n) of a free span the slot's. */
static void slot_carve(cw_arena *a, unsigned slot, uint64_t g, uint64_t n) {
    cw_span_carve(a, g, n, CW_SPAN_BUSY, slot);
    slot_at(a, slot)->span = 1 + g;
}

/* Under the lock: the slot gets n granules without pages. */
static int slot_fresh(cw_arena *a, unsigned slot, uint64_t n, int tries, uint32_t *g,
                      crew_error *err) {
    *g = cw_span_find(a, CW_HOLES, n, tries);
    if (*g != CW_NONE) {
        slot_carve(a, slot, *g, n);
        return 0;
    }
    int rc = cw_span_extend(a, n, slot, g, err);
    if (rc == 0)
        slot_at(a, slot)->span = 1 + (uint64_t)*g;
    return rc;
}

/* Gives back the pages of free spans, the largest first, until no more than
 * `keep` granules are warm. */
static void trim(cw_arena *a, uint64_t keep) {
    unsigned slot = slot_take(a);
    for (;;) {
        cw_arena_lock(a);
        struct cw_arena_head *h = a->head;
        uint32_t g = h->warm > keep ? cw_span_largest(a, CW_COMMITTED) : CW_NONE;
        if (g != CW_NONE) {
            uint64_t n = cw_word_granules(cw_span_word(a, g));
            uint64_t most = h->warm - keep + GROW_MIN;
            slot_carve(a, slot, g, n < most ? n : most);
        }
        cw_arena_unlock(a);
        if (g == CW_NONE)
            break;
        slot_drop(a, slot);
    }
    slot_release(a, slot);
}

/* Before the arena says no: what the dead held, empty slabs, warm spans. The
 * caller holds no slot. */
static void make_room(cw_arena *a) {
    for (unsigned i = 0; i < CW_SLOTS; i++)
        if (slot_try(a, i, false))
            slot_release(a, i);
    cw_arena_lock(a);
    for (unsigned c = 0; c < CW_CLASSES; c++)
        for (uint32_t g = a->head->partial[c], next; g != CW_NONE; g = next) {
            next = cw_span_at(a, g)->next;
            if (cw_span_at(a, g)->free == cw_classes[c].count) {
                cw_span_unlink(a, &a->head->partial[c], g);
                cw_span_release(a, g, CW_SPAN_WARM);
            }
        }
    cw_arena_unlock(a);
    trim(a, 0);
}

/* ---- small blocks ---- */

/* Under the lock: a new slab at the head of its class's list. 0 in *got if
 * there is no committed span for it. */
static int slab_new(cw_arena *a, unsigned class, bool *got, crew_error *err) {
    const struct cw_class *c = &cw_classes[class];
    uint32_t g = cw_span_find(a, CW_COMMITTED, c->granules, 8);
    *got = g != CW_NONE;
    if (!*got)
        return 0;
    int rc = cw_span_bits_commit(a, g, err);
    if (rc)
        return rc;
    for (unsigned i = 0; i < CW_SLAB_WORDS; i++)
        put(&cw_slab_bits(a, g)[i], 0);
    bool clean = cw_word_state(cw_span_word(a, g)) == CW_SPAN_CLEAN;
    cw_span_carve(a, g, c->granules, CW_SPAN_SLAB, class);
    struct cw_span *s = cw_span_at(a, g);
    s->free = c->count;
    s->scan = 0;
    s->clean = clean ? 0 : c->count;
    cw_span_link(a, &a->head->partial[class], g);
    return 0;
}

/* Commits more than n granules at once and leaves them free, with the lock held
 * so that nobody takes them before the caller. On failure the lock is not held. */
static int grow(cw_arena *a, uint64_t n, crew_error *err) {
    int rc = 0;
    for (int attempt = 0; attempt < 3; attempt++) {
        if (attempt == 2)
            make_room(a);
        unsigned slot = slot_take(a);
        uint32_t g;
        cw_arena_lock(a);
        uint64_t more = a->head->used / 8 / CW_GRANULE;
        more = more > GROW_MIN ? more : GROW_MIN;
        more = more < GROW_MAX ? more : GROW_MAX;
        more = attempt == 0 ? more : n;
        rc = slot_fresh(a, slot, more, attempt == 2 ? INT32_MAX : 8, &g, err);
        cw_arena_unlock(a);
        if (rc == 0) {
            rc = cw_segment_commit(a->seg, cw_span_offset(a, g), more * CW_GRANULE, err);
            if (rc)
                slot_drop(a, slot);
        }
        if (rc == 0) {
            cw_arena_lock(a);
            slot_at(a, slot)->span = 0;
            cw_span_release(a, g, CW_SPAN_CLEAN);
        }
        slot_release(a, slot);
        if (rc == 0)
            return 0;
    }
    return rc;
}

/* Under the lock: a block of the slab, which has room. */
static cw_off slab_take(cw_arena *a, uint64_t span, unsigned class, bool zero,
                        _Atomic cw_off *cell) {
    struct cw_span *s = cw_span_at(a, span);
    _Atomic uint64_t *bits = cw_slab_bits(a, span);
    unsigned w = s->scan;
    while (atomic_load_explicit(&bits[w], memory_order_relaxed) == UINT64_MAX)
        w++;
    uint64_t word = atomic_load_explicit(&bits[w], memory_order_relaxed);
    unsigned index = w * 64 + (unsigned)__builtin_ctzll(~word);
    cw_off block = cw_span_offset(a, span) + (uint64_t)index * cw_classes[class].size;
    undo_set(a, CW_UNDO_ALLOC, block, cell_number(a, cell), span);
    put(&bits[w], word | (word + 1));
    s->scan = (uint16_t)w;
    if (--s->free == 0)
        cw_span_unlink(a, &a->head->partial[class], (uint32_t)span);
    bool dirty = index < s->clean;
    if (!dirty)
        s->clean = (uint16_t)(index + 1);
    a->head->used += cw_classes[class].size;
    if (zero && dirty)
        memset(cw_ptr(a, block), 0, cw_classes[class].size);
    if (cell)
        put(cell, block);
    undo_clear(a);
    return block;
}

static cw_off alloc_small(cw_arena *a, size_t size, bool zero, _Atomic cw_off *cell,
                          crew_error *err) {
    unsigned class = cw_class_of(size);
    cw_arena_lock(a);
    if (a->head->partial[class] == CW_NONE) {
        bool got = false;
        int rc = slab_new(a, class, &got, err);
        if (rc == 0 && !got) {
            cw_arena_unlock(a);
            if (grow(a, cw_classes[class].granules, err))
                return 0;
            /* Another may have made the slab meanwhile: then it serves, too. */
            if (a->head->partial[class] == CW_NONE)
                rc = slab_new(a, class, &got, err);
        }
        if (rc) {
            cw_arena_unlock(a);
            return 0;
        }
    }
    cw_off block = slab_take(a, a->head->partial[class], class, zero, cell);
    cw_arena_unlock(a);
    return block;
}

/* Under the lock: the block's bit is cleared; brings the counts up to date. A
 * class keeps one empty slab, so that a block that comes and goes costs little. */
static void slab_give(cw_arena *a, uint64_t span, unsigned class, unsigned index) {
    struct cw_span *s = cw_span_at(a, span);
    uint32_t *list = &a->head->partial[class];
    a->head->used -= cw_classes[class].size;
    if (index / 64 < s->scan)
        s->scan = (uint16_t)(index / 64);
    if (++s->free == 1)
        cw_span_link(a, list, (uint32_t)span);
    if (s->free < cw_classes[class].count || (*list == span && s->next == CW_NONE))
        return;
    cw_span_unlink(a, list, (uint32_t)span);
    cw_span_release(a, span, CW_SPAN_WARM);
}

/* ---- large blocks ---- */

/* Under the lock: makes a free committed span (or the slot's) a block. */
static cw_off span_take(cw_arena *a, uint64_t g, uint64_t n, _Atomic cw_off *cell) {
    cw_off block = cw_span_offset(a, g);
    undo_set(a, CW_UNDO_ALLOC, block, cell_number(a, cell), g);
    if (cw_word_free(cw_span_word(a, g)))
        cw_span_carve(a, g, n, CW_SPAN_USED, 0);
    else
        cw_span_set(a, g, cw_word(CW_SPAN_USED, 0, n));
    a->head->used += n * CW_GRANULE;
    if (cell)
        put(cell, block);
    undo_clear(a);
    return block;
}

/* The slot's span at g becomes a block; CW_NONE: there is none. The slot is free then. */
static cw_off slot_hand_over(cw_arena *a, unsigned slot, uint32_t g, uint64_t n,
                             _Atomic cw_off *cell) {
    cw_off block = 0;
    if (g != CW_NONE) {
        cw_arena_lock(a);
        slot_at(a, slot)->span = 0;
        block = span_take(a, g, n, cell);
        cw_arena_unlock(a);
    }
    slot_release(a, slot);
    return block;
}

/* A span that must be committed or zeroed first. */
static cw_off alloc_slowly(cw_arena *a, uint64_t n, size_t zero, _Atomic cw_off *cell,
                           crew_error *err) {
    for (int attempt = 0; attempt < 2; attempt++) {
        if (attempt == 1)
            make_room(a);
        int tries = attempt == 1 ? INT32_MAX : 8;
        int rc = 0;
        unsigned slot = slot_take(a);
        cw_arena_lock(a);
        uint32_t g = cw_span_find(a, CW_COMMITTED, n, tries);
        int was = g == CW_NONE ? CW_SPAN_FRESH : cw_word_state(cw_span_word(a, g));
        if (g != CW_NONE)
            slot_carve(a, slot, g, n);
        else
            rc = slot_fresh(a, slot, n, tries, &g, err);
        cw_arena_unlock(a);
        if (rc == 0 && was == CW_SPAN_FRESH) {
            rc = cw_segment_commit(a->seg, cw_span_offset(a, g), n * CW_GRANULE, err);
            if (rc)
                slot_drop(a, slot);
        }
        if (rc == 0 && was == CW_SPAN_WARM && zero)
            memset(cw_ptr(a, cw_span_offset(a, g)), 0, zero);
        cw_off block = slot_hand_over(a, slot, rc == 0 ? g : CW_NONE, n, cell);
        if (block)
            return block;
    }
    return 0;
}

cw_off cw_alloc_pages(cw_arena *a, size_t size, cw_commit_fn *commit, void *ctx,
                      _Atomic cw_off *cell, crew_error *err) {
    uint64_t n = ((uint64_t)(size ? size : 1) - 1) / CW_GRANULE + 1;
    for (int attempt = 0; attempt < 2; attempt++) {
        if (attempt == 1)
            make_room(a);
        unsigned slot = slot_take(a);
        uint32_t g;
        cw_arena_lock(a);
        int rc = slot_fresh(a, slot, n, attempt == 1 ? INT32_MAX : 8, &g, err);
        cw_arena_unlock(a);
        if (rc == 0) {
            rc = commit(ctx, a->seg, cw_span_offset(a, g), n * CW_GRANULE, err);
            if (rc)
                slot_drop(a, slot);
        }
        cw_off block = slot_hand_over(a, slot, rc == 0 ? g : CW_NONE, n, cell);
        if (block)
            return block;
    }
    return 0;
}

static cw_off alloc_large(cw_arena *a, size_t size, bool zero, _Atomic cw_off *cell,
                          crew_error *err) {
    uint64_t n = ((uint64_t)size - 1) / CW_GRANULE + 1;
    cw_arena_lock(a);
    cw_off block = 0;
    uint32_t g = cw_span_find(a, CW_COMMITTED, n, 8);
    if (g != CW_NONE && (!zero || cw_word_state(cw_span_word(a, g)) == CW_SPAN_CLEAN))
        block = span_take(a, g, n, cell);
    cw_arena_unlock(a);
    return block ? block : alloc_slowly(a, n, zero ? size : 0, cell, err);
}

/* ---- the calls ---- */

static cw_off alloc(cw_arena *a, size_t size, bool zero, _Atomic cw_off *cell, crew_error *err) {
    size = size ? size : 1;
    cw_off block = size <= CW_SMALL_MAX ? alloc_small(a, size, zero, cell, err)
                                        : alloc_large(a, size, zero, cell, err);
    if (block)
        (err ? err : cw_error_last())->code = 0;
    return block;
}

cw_off cw_alloc(cw_arena *a, size_t size, _Atomic cw_off *cell, crew_error *err) {
    return alloc(a, size, false, cell, err);
}

cw_off cw_alloc_zero(cw_arena *a, size_t size, _Atomic cw_off *cell, crew_error *err) {
    return alloc(a, size, true, cell, err);
}

/* The span and, in a slab, the index of an allocated block that `off` lies in;
 * *from is where that block begins, *to where it ends. */
static bool find_block(cw_arena *a, cw_off off, uint64_t *span, cw_off *from, cw_off *to) {
    if (off < a->head->first)
        return false;
    uint64_t g = (off - a->head->first) >> CW_GRANULE_SHIFT;
    if (g >= cw_arena_top(a))
        return false;
    *span = cw_span_of(a, g);
    uint64_t word = cw_span_word(a, *span);
    cw_off start = cw_span_offset(a, *span);
    if (cw_word_state(word) == CW_SPAN_USED) {
        *from = start;
        *to = start + cw_word_granules(word) * CW_GRANULE;
        return true;
    }
    if (cw_word_state(word) != CW_SPAN_SLAB)
        return false;
    const struct cw_class *c = &cw_classes[cw_word_aux(word)];
    unsigned index = block_index(a, off, *span, cw_word_aux(word));
    *from = start + (uint64_t)index * c->size;
    *to = *from + c->size;
    return index < c->count && slab_bit(a, *span, index);
}

/* Under the lock. True if there is now too much memory warm. */
static bool release(cw_arena *a, cw_off block, _Atomic cw_off *cell) {
    struct cw_arena_head *h = a->head;
    uint64_t span = 0;
    cw_off from = 0, to = 0;
    bool good = find_block(a, block, &span, &from, &to) && from == block;
    assert(good); /* freed twice, or never allocated */
    if (!good)
        return false;
    uint64_t word = cw_span_word(a, span);
    if (cell) {
        undo_set(a, CW_UNDO_FREE, block, cell_number(a, cell), span);
        put(cell, 0);
    }
    if (cw_word_state(word) == CW_SPAN_USED) {
        h->used -= to - from;
        cw_span_release(a, span, CW_SPAN_WARM);
        undo_clear(a);
    } else {
        unsigned index = block_index(a, block, span, cw_word_aux(word));
        slab_flip(a, span, index);
        undo_clear(a);
        slab_give(a, span, cw_word_aux(word), index);
    }
    return h->warm > h->cap;
}

static void keep_to_cap(cw_arena *a) {
    trim(a, a->head->cap - a->head->cap / 4);
}

void cw_free(cw_arena *a, cw_off block) {
    if (!block)
        return;
    cw_arena_lock(a);
    bool over = release(a, block, NULL);
    cw_arena_unlock(a);
    if (over)
        keep_to_cap(a);
}

void cw_free_cell(cw_arena *a, _Atomic cw_off *cell) {
    /* Whoever emptied it, alive or dead, sees to the block. */
    if (!atomic_load_explicit(cell, memory_order_relaxed))
        return;
    cw_arena_lock(a);
    /* Pairs with the release of whoever stored it. */
    cw_off block = atomic_load_explicit(cell, memory_order_acquire);
    bool over = block && release(a, block, cell);
    cw_arena_unlock(a);
    if (over)
        keep_to_cap(a);
}

void cw_arena_shrink(cw_arena *a, uint64_t keep_bytes) {
    make_room(a);
    cw_arena_lock(a);
    if (keep_bytes != UINT64_MAX)
        a->head->cap = keep_bytes / CW_GRANULE;
    cw_arena_unlock(a);
}

uint64_t cw_arena_used(cw_arena *a) {
    cw_arena_lock(a);
    uint64_t used = a->head->used;
    cw_arena_unlock(a);
    return used;
}

cw_off cw_arena_block(cw_arena *a, const void *p, size_t size, cw_off *end) {
    uintptr_t off = (uintptr_t)p - (uintptr_t)a->seg->base;
    if (!p || off >= a->seg->size)
        return 0;
    uint64_t span;
    cw_off from;
    cw_arena_lock(a);
    bool held = find_block(a, off, &span, &from, end) && size <= *end - off;
    cw_arena_unlock(a);
    return held ? from : 0;
}

int cw_arena_holds(cw_arena *a, const void *p, size_t size) {
    cw_off end;
    return cw_arena_block(a, p, size, &end) != 0;
}
