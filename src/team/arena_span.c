/* Spans: runs of granules. Finding, splitting, merging, and the walk. */
#include "team/arena_core.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

static uint64_t *level(const cw_arena *a, int i) {
    return (uint64_t *)(void *)(a->seg->base + a->head->starts[i]);
}

/* How many words the levels of start bits take for n granules. */
static uint64_t level_words(int i, uint64_t n) {
    for (; i >= 0; i--)
        n = (n + 63) / 64;
    return n;
}

static void mark_start(cw_arena *a, uint64_t g) {
    for (int i = 0; i < 3; i++, g >>= 6)
        level(a, i)[g >> 6] |= (uint64_t)1 << (g & 63);
}

static void clear_start(cw_arena *a, uint64_t g) {
    for (int i = 0; i < 3; i++, g >>= 6) {
        uint64_t *word = &level(a, i)[g >> 6];
        *word &= ~((uint64_t)1 << (g & 63));
        if (*word)
            return;
    }
}

static uint64_t highest(uint64_t word) {
    return 63 - (uint64_t)__builtin_clzll(word);
}

/* The last start bit at or before g: up the levels until a word has one to the
 * left, then down again. Granule 0 always has one. */
uint64_t cw_span_of(const cw_arena *a, uint64_t g) {
    uint64_t word = level(a, 0)[g >> 6] & ~(uint64_t)0 >> (63 - (g & 63));
    if (word)
        return (g & ~(uint64_t)63) + highest(word);
    int i = 1;
    for (g >>= 6; i < 3; i++, g >>= 6) {
        word = level(a, i)[g >> 6] & (((uint64_t)1 << (g & 63)) - 1);
        if (word) {
            g = (g & ~(uint64_t)63) + highest(word);
            break;
        }
    }
    if (i == 3) {
        while (level(a, 2)[--g] == 0)
            ;
        g = g * 64 + highest(level(a, 2)[g]);
        i = 2;
    }
    while (i-- > 0)
        g = g * 64 + highest(level(a, i)[g]);
    return g;
}

/* Four bins an octave. */
static unsigned bin_of(uint64_t n) {
    if (n < 4)
        return (unsigned)n - 1;
    unsigned log2 = (unsigned)highest(n);
    return (log2 - 2) * 4 + (unsigned)(n >> (log2 - 2) & 3) + 3;
}

void cw_span_link(cw_arena *a, uint32_t *list, uint32_t g) {
    struct cw_span *s = cw_span_at(a, g);
    s->prev = CW_NONE;
    s->next = *list;
    if (*list != CW_NONE)
        cw_span_at(a, *list)->prev = g;
    *list = g;
}

void cw_span_unlink(cw_arena *a, uint32_t *list, uint32_t g) {
    struct cw_span *s = cw_span_at(a, g);
    if (s->next != CW_NONE)
        cw_span_at(a, s->next)->prev = s->prev;
    if (s->prev != CW_NONE)
        cw_span_at(a, s->prev)->next = s->next;
    else
        *list = s->next;
}

static void bin_insert(cw_arena *a, uint64_t g) {
    uint64_t word = cw_span_word(a, g);
    int family = cw_span_family(cw_word_state(word));
    unsigned bin = bin_of(cw_word_granules(word));
    cw_span_link(a, &a->head->bins[family][bin], (uint32_t)g);
    a->head->binmap[family][bin / 64] |= (uint64_t)1 << bin % 64;
    if (family == CW_COMMITTED)
        a->head->warm += cw_word_granules(word);
}

static void bin_remove(cw_arena *a, uint64_t g) {
    uint64_t word = cw_span_word(a, g);
    int family = cw_span_family(cw_word_state(word));
    unsigned bin = bin_of(cw_word_granules(word));
    cw_span_unlink(a, &a->head->bins[family][bin], (uint32_t)g);
    if (a->head->bins[family][bin] == CW_NONE)
        a->head->binmap[family][bin / 64] &= ~((uint64_t)1 << bin % 64);
    if (family == CW_COMMITTED)
        a->head->warm -= cw_word_granules(word);
}

uint32_t cw_span_find(const cw_arena *a, int family, uint64_t n, int tries) {
    const struct cw_arena_head *h = a->head;
    if (n > h->granules)
        return CW_NONE;
    unsigned bin = bin_of(n);
    for (uint32_t g = h->bins[family][bin]; g != CW_NONE && tries > 0; tries--) {
        if (cw_word_granules(cw_span_word(a, g)) >= n)
            return g;
        g = cw_span_at(a, g)->next;
    }
    bin++;
    for (unsigned w = bin / 64; w < CW_BINS / 64; w++) {
        uint64_t map = h->binmap[family][w];
        if (w == bin / 64)
            map &= ~(uint64_t)0 << bin % 64;
        if (map)
            return h->bins[family][w * 64 + (unsigned)__builtin_ctzll(map)];
    }
    return CW_NONE;
}

uint32_t cw_span_largest(const cw_arena *a, int family) {
    for (unsigned w = CW_BINS / 64; w-- > 0;)
        if (a->head->binmap[family][w])
            return a->head->bins[family][w * 64 + highest(a->head->binmap[family][w])];
    return CW_NONE;
}

void cw_span_carve(cw_arena *a, uint64_t g, uint64_t n, int state, unsigned aux) {
    uint64_t word = cw_span_word(a, g);
    uint64_t rest = cw_word_granules(word) - n;
    bin_remove(a, g);
    if (rest) {
        /* Inside the span as long as its word says so: nobody sees this yet. */
        cw_span_set(a, g + n, cw_word(cw_word_state(word), 0, rest));
        mark_start(a, g + n);
        bin_insert(a, g + n);
    }
    cw_span_set(a, g, cw_word(state, aux, n));
}

/* Pages for the table and the start bits up to entry n; more than asked for, so
 * that it is seldom. */
static int table_commit(cw_arena *a, uint64_t n, crew_error *err) {
    struct cw_arena_head *h = a->head;
    enum { STEP = 2048 };
    if (n <= h->ready)
        return 0;
    n = (n + STEP - 1) / STEP * STEP;
    n = n < h->granules ? n : h->granules;
    int rc = cw_segment_commit(a->seg, h->table + h->ready * sizeof(struct cw_span),
                               (n - h->ready) * sizeof(struct cw_span), err);
    if (rc == 0)
        rc = cw_segment_commit(a->seg, h->starts[0] + h->ready / 8, (n - h->ready + 63) / 64 * 8,
                               err);
    if (rc == 0)
        h->ready = n;
    return rc;
}

int cw_span_bits_commit(cw_arena *a, uint64_t g, crew_error *err) {
    struct cw_span *s = cw_span_at(a, g - g % CW_READY);
    if (s->bits_ready)
        return 0;
    uint64_t from = g - g % CW_READY;
    uint64_t left = a->head->granules - from;
    uint64_t bytes = (left < CW_READY ? left : CW_READY) * CW_SLAB_WORDS * 8;
    int rc = cw_segment_commit(a->seg, a->head->bits + from * CW_SLAB_WORDS * 8, bytes, err);
    if (rc == 0)
        s->bits_ready = 1;
    return rc;
}

int cw_span_extend(cw_arena *a, uint64_t n, unsigned slot, uint32_t *g, crew_error *err) {
    struct cw_arena_head *h = a->head;
    uint64_t top = cw_arena_top(a);
    if (n > h->granules - top) {
        char asked[CW_SIZE_TEXT], left[CW_SIZE_TEXT], all[CW_SIZE_TEXT];
        return cw_error_set(
            err, CREW_ENOMEM, 0,
            "%s of shared memory asked for, %s left in one piece of the %s reserved (%s)",
            cw_size_text(n * CW_GRANULE, asked),
            cw_size_text((h->granules - top) * CW_GRANULE, left),
            cw_size_text(h->granules * CW_GRANULE, all), a->seg->bound);
    }
    int rc = table_commit(a, top + n, err);
    if (rc)
        return rc;
    cw_span_set(a, top, cw_word(CW_SPAN_BUSY, slot, n));
    mark_start(a, top);
    *g = (uint32_t)top;
    /* Pairs with nothing: under the lock; keeps the order after the word. */
    atomic_store_explicit(&h->top, top + n, memory_order_release);
    return 0;
}

static int merged(int a, int b) {
    return a == b ? a : CW_SPAN_WARM;
}

void cw_span_release(cw_arena *a, uint64_t g, int state) {
    struct cw_arena_head *h = a->head;
    uint64_t n = cw_word_granules(cw_span_word(a, g));
    uint64_t top = cw_arena_top(a);
    int family = cw_span_family(state);
    uint64_t next = g + n;
    if (next < top) {
        uint64_t word = cw_span_word(a, next);
        if (cw_word_free(word) && cw_span_family(cw_word_state(word)) == family) {
            bin_remove(a, next);
            clear_start(a, next);
            n += cw_word_granules(word);
            state = merged(state, cw_word_state(word));
        }
    }
    if (g > 0) {
        uint64_t prev = cw_span_of(a, g - 1);
        uint64_t word = cw_span_word(a, prev);
        if (cw_word_free(word) && cw_span_family(cw_word_state(word)) == family) {
            bin_remove(a, prev);
            clear_start(a, g);
            n += cw_word_granules(word);
            state = merged(state, cw_word_state(word));
            g = prev;
        }
    }
    if (family == CW_HOLES && g + n == top) {
        clear_start(a, g);
        /* Pairs with nothing: under the lock; one store gives it all back. */
        atomic_store_explicit(&h->top, g, memory_order_release);
        return;
    }
    cw_span_set(a, g, cw_word(state, 0, n));
    bin_insert(a, g);
}

static void forget_derived(cw_arena *a) {
    struct cw_arena_head *h = a->head;
    h->used = h->warm = 0;
    memset(h->binmap, 0, sizeof h->binmap);
    memset(h->bins, 0xff, sizeof h->bins);
    memset(h->partial, 0xff, sizeof h->partial);
    for (int i = 0; i < CW_SLOTS; i++)
        h->slots[i].span = 0;
    memset(level(a, 0), 0, level_words(0, h->ready) * 8);
    memset(level(a, 1), 0, level_words(1, h->granules) * 8);
    memset(level(a, 2), 0, level_words(2, h->granules) * 8);
}

/* What a slab's bitmap says. False: it is empty. */
static bool rebuild_slab(cw_arena *a, uint64_t g, unsigned class) {
    struct cw_span *s = cw_span_at(a, g);
    unsigned held = 0;
    for (int w = 0; w < CW_SLAB_WORDS; w++)
        held += (unsigned)__builtin_popcountll(
            atomic_load_explicit(&cw_slab_bits(a, g)[w], memory_order_relaxed));
    if (held == 0)
        return false;
    s->free = (uint16_t)(cw_classes[class].count - held);
    s->scan = 0;
    s->clean = cw_classes[class].count;
    if (s->free)
        cw_span_link(a, &a->head->partial[class], (uint32_t)g);
    a->head->used += (uint64_t)held * cw_classes[class].size;
    return true;
}

/* The span at g during a walk. A word that cannot be (somebody wrote past a
 * block of his) stops the arena from giving out what lies behind it. */
static uint64_t walked_word(cw_arena *a, uint64_t g, uint64_t top) {
    uint64_t word = cw_span_word(a, g);
    uint64_t n = cw_word_granules(word);
    int state = cw_word_state(word);
    bool good = state >= CW_SPAN_FRESH && state <= CW_SPAN_BUSY && n > 0 && n <= top - g &&
                (state != CW_SPAN_SLAB || cw_word_aux(word) < CW_CLASSES) &&
                (state != CW_SPAN_BUSY || cw_word_aux(word) < CW_SLOTS);
    assert(good);
    if (!good) {
        word = cw_word(CW_SPAN_USED, 0, top - g);
        cw_span_set(a, g, word);
    }
    return word;
}

void cw_span_rebuild(cw_arena *a) {
    struct cw_arena_head *h = a->head;
    uint64_t top = cw_arena_top(a);
    forget_derived(a);
    uint64_t run = CW_NONE; /* a free span that the next may be merged with */
    for (uint64_t g = 0, n; g < top; g += n) {
        uint64_t word = walked_word(a, g, top);
        n = cw_word_granules(word);
        int state = cw_word_state(word);
        if (state == CW_SPAN_SLAB && !rebuild_slab(a, g, cw_word_aux(word))) {
            state = CW_SPAN_WARM;
            cw_span_set(a, g, cw_word(state, 0, n));
        } else if (state == CW_SPAN_USED) {
            h->used += n * CW_GRANULE;
        } else if (state == CW_SPAN_BUSY) {
            h->slots[cw_word_aux(word)].span = 1 + g;
        }
        if (!cw_word_free(cw_word(state, 0, n))) {
            mark_start(a, g);
            run = CW_NONE;
            continue;
        }
        uint64_t before = run == CW_NONE ? 0 : cw_span_word(a, run);
        if (run != CW_NONE && cw_span_family(cw_word_state(before)) == cw_span_family(state)) {
            bin_remove(a, run);
            cw_span_set(
                a, run,
                cw_word(merged(cw_word_state(before), state), 0, cw_word_granules(before) + n));
            bin_insert(a, run);
            continue;
        }
        run = g;
        mark_start(a, g);
        bin_insert(a, g);
    }
    if (run != CW_NONE && cw_word_state(cw_span_word(a, run)) == CW_SPAN_FRESH &&
        run + cw_word_granules(cw_span_word(a, run)) == top) {
        bin_remove(a, run);
        clear_start(a, run);
        /* Pairs with nothing: under the lock, one store. */
        atomic_store_explicit(&h->top, run, memory_order_release);
    }
}

struct tally {
    uint64_t used, warm, binned, room;
};

static const char *check_span(cw_arena *a, uint64_t g, uint64_t word, struct tally *t) {
    struct cw_arena_head *h = a->head;
    uint64_t n = cw_word_granules(word);
    int state = cw_word_state(word);
    if (cw_span_of(a, g) != g || cw_span_of(a, g + n - 1) != g)
        return "the start bits do not find a span";
    if (state == CW_SPAN_USED)
        t->used += n * CW_GRANULE;
    if (state == CW_SPAN_BUSY && h->slots[cw_word_aux(word)].span != 1 + g)
        return "a busy span is not in its slot";
    if (cw_word_free(word)) {
        t->binned++;
        if (cw_span_family(state) == CW_COMMITTED)
            t->warm += n;
    }
    if (state != CW_SPAN_SLAB)
        return NULL;
    const struct cw_class *class = &cw_classes[cw_word_aux(word)];
    unsigned held = 0;
    for (unsigned i = 0; i < CW_SLAB_WORDS * 64; i++) {
        uint64_t bits = atomic_load_explicit(&cw_slab_bits(a, g)[i / 64], memory_order_relaxed);
        if (bits >> i % 64 & 1) {
            held++;
            if (i >= class->count)
                return "a slab holds a block that it has no room for";
            if (i >= cw_span_at(a, g)->clean)
                return "a slab takes a block that was given out for fresh";
        }
    }
    t->used += (uint64_t)held * class->size;
    t->room += held < class->count;
    return held + cw_span_at(a, g)->free == class->count ? NULL : "a slab has miscounted";
}

static const char *check_lists(cw_arena *a, struct tally *t) {
    struct cw_arena_head *h = a->head;
    for (int f = 0; f < 2; f++)
        for (unsigned b = 0; b < CW_BINS; b++) {
            if ((h->bins[f][b] != CW_NONE) != (h->binmap[f][b / 64] >> b % 64 & 1))
                return "a bin's bit is wrong";
            for (uint32_t g = h->bins[f][b]; g != CW_NONE; g = cw_span_at(a, g)->next, t->binned--)
                if (!cw_word_free(cw_span_word(a, g)))
                    return "a bin holds what is not free";
        }
    for (unsigned c = 0; c < CW_CLASSES; c++)
        for (uint32_t g = h->partial[c]; g != CW_NONE; g = cw_span_at(a, g)->next, t->room--) {
            uint64_t word = cw_span_word(a, g);
            if (cw_word_state(word) != CW_SPAN_SLAB || cw_word_aux(word) != c)
                return "a class's list holds what is not its slab";
        }
    if (t->binned || t->room)
        return "a list has lost a span";
    return t->used == h->used && t->warm == h->warm ? NULL : "the counts are wrong";
}

const char *cw_arena_check(cw_arena *a) {
    cw_arena_lock(a);
    struct tally t = {0};
    const char *wrong = NULL;
    uint64_t top = cw_arena_top(a);
    int before = -1;
    for (uint64_t g = 0, n; g < top && !wrong; g += n) {
        uint64_t word = walked_word(a, g, top);
        n = cw_word_granules(word);
        wrong = check_span(a, g, word, &t);
        int family = cw_word_free(word) ? cw_span_family(cw_word_state(word)) : -1;
        if (!wrong && family >= 0 && family == before)
            wrong = "two free neighbours are not one";
        before = family;
    }
    if (!wrong)
        wrong = check_lists(a, &t);
    cw_arena_unlock(a);
    return wrong;
}
