/* Cells: given out, ended, found again after a death. */
#include "share/share.h"

#include "base/error.h"
#include "os/robust.h"
#include "share/pipe.h"
#include "team/head.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x63726577636f6d6dull

_Static_assert(sizeof(struct cw_head) == 16, "heads of programs that share a segment are alike");
_Static_assert(sizeof(struct cw_party) <= 128 && sizeof(struct cw_hand) <= 128, "cells of 128");

unsigned cw_share_era;

static struct cw_share first, *here = &first;

/* ---- the view ---- */

static void watch_forks(void) {
    pthread_atfork(NULL, NULL, cw_hands_forked);
}

/* Not that of an earlier session of this program, whose handle somebody kept, and
 * unlikely that of another program's. */
static uint32_t session_id(uintptr_t seed) {
    static uint32_t last;
    static pid_t of;
    if (of != getpid()) {
        uint64_t id = (uint64_t)seed >> 12;
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        id = id ^ (uint64_t)getpid() << 40 ^ (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20;
        last = (uint32_t)(id * 0x9e3779b97f4a7c15ull >> 48);
        of = getpid();
    }
    return (++last & 0xffff) << 16;
}

int cw_share_create(cw_arena *arena, cw_off *at, crew_error *err) {
    *at = cw_alloc_zero(arena, sizeof(struct cw_commons), NULL, err);
    if (!*at)
        return CREW_ENOMEM;
    struct cw_commons *c = cw_ptr(arena, *at);
    c->session = session_id((uintptr_t)c);
    cw_robust_init(&c->making);
    c->magic = MAGIC;
    return 0;
}

void cw_share_place(struct cw_share *share, uint32_t session, int node, int nodes) {
    share->commons->session = (session & ~0xffffu) | (uint32_t)node;
    share->commons->nodes = (uint32_t)nodes;
}

int cw_share_enter(const cw_segment *root, uint64_t arena_start, cw_off at, crew_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    struct cw_share fresh = {.root = *root, .era = cw_share_era};
    *here = fresh;
    int rc = cw_arena_attach(&here->arena, &here->root, arena_start, err);
    if (rc == 0)
        rc = cw_arena_attach(&here->arrays, &here->root, cw_head(root)->arrays, err);
    if (rc == 0) {
        here->commons = cw_ptr(&here->arena, at);
        if (here->commons->magic != MAGIC)
            rc = cw_error_set(err, CREW_EMISMATCH, 0, "the segment holds no objects of this crew");
    }
    if (rc < 0)
        *here = (struct cw_share){0};
    return rc;
}

bool cw_share_leave(bool others) {
    others = cw_hands_others() || others;
    cw_notes_drop();
    /* Whoever sleeps looks at this one now and then: it is theirs. */
    struct cw_share *next = others ? calloc(1, sizeof *next) : NULL;
    if (next)
        here = next;
    else if (!others)
        *here = (struct cw_share){0};
    cw_hands_stale();
    return others;
}

struct cw_share *cw_share_here(void) {
    return here->commons && here->era == cw_share_era ? here : NULL;
}

/* ---- cells ---- */

struct cw_head *cw_cell(const struct cw_share *share, enum cw_kind_of kind, uint32_t number) {
    uint32_t chunk = 31 - (uint32_t)__builtin_clz(number / CW_FIRST_CHUNK + 1);
    uint32_t first = CW_FIRST_CHUNK * ((1u << chunk) - 1);
    cw_off at = atomic_load_explicit(&share->commons->shelf[kind].chunk[chunk],
                                     memory_order_acquire);
    return (struct cw_head *)(share->root.base + at + (number - first) * cw_kind(kind)->bytes);
}

/* With `making`. Lays out one more cell; NULL: no memory. */
static struct cw_head *lay(struct cw_share *share, enum cw_kind_of kind, crew_error *err) {
    struct cw_shelf *shelf = &share->commons->shelf[kind];
    uint32_t number = atomic_load(&shelf->count);
    uint32_t chunk = 31 - (uint32_t)__builtin_clz(number / CW_FIRST_CHUNK + 1);
    if (chunk >= CW_CHUNKS) {
        cw_error_set(err, CREW_ENOMEM, 0, "too many objects of the kind %s", cw_kind(kind)->name);
        return NULL;
    }
    size_t bytes = (size_t)cw_kind(kind)->bytes * CW_FIRST_CHUNK << chunk;
    if (!atomic_load(&shelf->chunk[chunk]) &&
        !cw_alloc_zero(&share->arena, bytes, &shelf->chunk[chunk], err))
        return NULL;
    struct cw_head *head = cw_cell(share, kind, number);
    head->number = number;
    head->kind = (uint32_t)kind;
    /* Pairs with the acquire in cw_cells: the head. */
    atomic_store_explicit(&shelf->count, number + 1, memory_order_release);
    return head;
}

/* Of a cell that has no object (any more). */
static void put_back(struct cw_share *share, struct cw_head *head) {
    const struct cw_kind *ops = cw_kind((enum cw_kind_of)head->kind);
    if (ops->scrub)
        ops->scrub(share, head);
    if (ops->turn)
        ops->turn(head, atomic_load(&head->generation));
    struct cw_shelf *shelf = &share->commons->shelf[head->kind];
    head->next_free = shelf->free;
    shelf->free = head->number + 1;
}

/* Somebody died inside `making`: whatever has no object is free. */
static void rebuild(struct cw_share *share) {
    for (int kind = 1; kind < CW_KINDS; kind++) {
        share->commons->shelf[kind].free = 0;
        for (uint32_t i = 0, n = cw_cells(share, kind); i < n; i++)
            if (!cw_head_live(cw_cell(share, kind, i)))
                put_back(share, cw_cell(share, kind, i));
    }
}

static void lock_making(struct cw_share *share) {
    if (cw_robust_lock(&share->commons->making) == EOWNERDEAD) {
        rebuild(share);
        pthread_mutex_consistent(&share->commons->making);
    }
}

static void unlock_making(struct cw_share *share) {
    pthread_mutex_unlock(&share->commons->making);
}

int cw_object_make(struct cw_share *share, enum cw_kind_of kind,
                   int (*init)(struct cw_share *share, struct cw_head *head, void *arg,
                               crew_error *err),
                   void *arg, uint64_t *place, uint64_t *check, crew_error *err) {
    struct cw_shelf *shelf = &share->commons->shelf[kind];
    int rc = 0;
    lock_making(share);
    struct cw_head *head = shelf->free ? cw_cell(share, kind, shelf->free - 1) : NULL;
    if (head)
        shelf->free = head->next_free;
    else
        head = lay(share, kind, err);
    if (!head)
        rc = CREW_ENOMEM;
    else if (init && (rc = init(share, head, arg, err)) < 0)
        put_back(share, head);
    if (rc == 0) {
        uint32_t generation = atomic_load_explicit(&head->generation, memory_order_relaxed) + 1;
        *place = cw_share_off(share, head) | (uint64_t)kind << 48;
        *check = cw_handle_check(share, generation);
        if (cw_kind(kind)->turn)
            cw_kind(kind)->turn(head, generation);
        /* Pairs with the acquire in cw_object. */
        atomic_store_explicit(&head->generation, generation, memory_order_release);
    }
    unlock_making(share);
    return rc;
}

bool cw_object_with(struct cw_share *share, enum cw_kind_of kind, uint64_t place, uint64_t check,
                    void (*fn)(struct cw_share *share, struct cw_head *head)) {
    lock_making(share);
    struct cw_head *head = check & 1 ? cw_object(share, kind, place, check) : NULL;
    if (head)
        fn(share, head);
    unlock_making(share);
    return head != NULL;
}

int cw_object_end(struct cw_share *share, enum cw_kind_of kind, uint64_t place, uint64_t check) {
    const struct cw_kind *ops = cw_kind(kind);
    lock_making(share);
    struct cw_head *head = check & 1 ? cw_object(share, kind, place, check) : NULL;
    if (head) {
        atomic_fetch_add(&head->generation, 1);
        put_back(share, head);
    }
    unlock_making(share);
    if (head && ops->wake)
        ops->wake(share, head);
    return head ? 0 : CREW_EINVAL;
}
