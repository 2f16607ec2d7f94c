/* Guards: a table of those this process has set. */
#include "team/guard.h"

#include "team/head.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

/* Each guard parts a mapping in two more, and the kernel allows a process 65,530
 * of them. SEEN is a power of two. */
enum { MOST = 8192, SEEN = 512 };

_Atomic int cw_guard_count;

static struct {
    pthread_mutex_t lock;
    _Atomic(char *) base;  /* of the segment they are for */
    struct cw_within *set; /* room for MOST */
    uint64_t *bits;        /* behind it: a bit for each granule that one of them is in */
    size_t bytes;          /* of both */
    _Atomic uint64_t ends; /* of the head: what it has caught up with */
    /* Lives that it has come by lately: then there is nothing to do. */
    _Atomic uint64_t seen[SEEN];
} view = {.lock = PTHREAD_MUTEX_INITIALIZER};

uint64_t cw_guard_bytes(void) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return page < CW_ARENA_GRANULE ? page : 0;
}

static _Atomic uint64_t *seen_at(uint64_t life) {
    return &view.seen[(life * 0x9e3779b97f4a7c15ull) >> 55];
}
_Static_assert(SEEN == 1 << (64 - 55), "a place for each hash");

static bool is_there(char *base, const struct cw_within *object) {
    const _Atomic uint64_t *word = (_Atomic uint64_t *)(void *)(base + object->word);
    return atomic_load(word) == object->life;
}

/* Pairs with the count's increment after an array's word has changed, which comes
 * before its memory is anybody else's. */
static uint64_t ends_of(char *base) {
    return atomic_load(&((struct cw_segment_head *)(void *)base)->ends);
}

static void close_view(void) {
    if (view.set)
        munmap(view.set, view.bytes);
    atomic_store(&view.base, NULL);
    view.set = NULL;
    atomic_store(&cw_guard_count, 0);
    for (int i = 0; i < SEEN; i++)
        atomic_store(&view.seen[i], 0);
}

/* With the lock. False: there is no memory for the table, so no guards. */
static bool open_view(char *base, uint64_t size) {
    if (atomic_load(&view.base) == base)
        return view.set;
    close_view(); /* of a session that ended, or is another process's */
    view.bytes = MOST * sizeof *view.set + (size / CW_ARENA_GRANULE + 64) / 64 * 8;
    void *set = mmap(NULL, view.bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    view.set = set == MAP_FAILED ? NULL : set;
    view.bits = (uint64_t *)(void *)(view.set + MOST);
    atomic_store(&view.ends, ends_of(base));
    atomic_store(&view.base, base);
    return view.set;
}

/* A child that is forked at any moment finds in its table all that is protected. */
static void take_away(char *base, int i) {
    uint64_t granule = view.set[i].guard / CW_ARENA_GRANULE;
    mprotect(base + view.set[i].guard, cw_guard_bytes(), PROT_READ | PROT_WRITE);
    view.bits[granule / 64] &= ~(1ull << granule % 64);
    view.set[i] = view.set[atomic_load(&cw_guard_count) - 1];
    atomic_fetch_sub(&cw_guard_count, 1);
}

static void put_up(char *base, const struct cw_within *object) {
    uint64_t granule = object->guard / CW_ARENA_GRANULE;
    if (view.bits[granule / 64] >> granule % 64 & 1 || atomic_load(&cw_guard_count) == MOST)
        return;
    view.bits[granule / 64] |= 1ull << granule % 64;
    view.set[atomic_load(&cw_guard_count)] = *object;
    atomic_fetch_add(&cw_guard_count, 1);
    mprotect(base + object->guard, cw_guard_bytes(), PROT_NONE); /* without it all else works */
}

/* With the lock and a view of base. */
static void catch_up(char *base) {
    uint64_t ends = ends_of(base);
    if (atomic_load(&view.ends) == ends)
        return;
    for (int i = atomic_load(&cw_guard_count) - 1; i >= 0; i--)
        if (!is_there(base, &view.set[i]))
            take_away(base, i);
    /* What ended since the look above is looked for again next time. */
    atomic_store_explicit(&view.ends, ends, memory_order_release);
}

static bool up_to_date(char *base) {
    return atomic_load_explicit(&view.base, memory_order_relaxed) == base &&
           atomic_load_explicit(&view.ends, memory_order_acquire) == ends_of(base);
}

void cw_guard_see(char *base, uint64_t size, const struct cw_within *object) {
    uint64_t life = object->life;
    if (!life || (up_to_date(base) &&
                  atomic_load_explicit(seen_at(life), memory_order_acquire) == life))
        return;
    pthread_mutex_lock(&view.lock);
    if (cw_guard_bytes() && open_view(base, size)) {
        catch_up(base);
        /* One that ends after this look is counted after it. */
        if (object->guard && is_there(base, object))
            put_up(base, object);
    }
    /* Pairs with the acquire above: the protection. */
    atomic_store_explicit(seen_at(life), life, memory_order_release);
    pthread_mutex_unlock(&view.lock);
}

void cw_guard_look(char *base) {
    /* Without a view of this segment there are none of its guards. */
    if (!base || atomic_load_explicit(&view.base, memory_order_relaxed) != base ||
        up_to_date(base))
        return;
    pthread_mutex_lock(&view.lock);
    if (atomic_load(&view.base) == base)
        catch_up(base);
    pthread_mutex_unlock(&view.lock);
}

void cw_guard_forget(void) {
    pthread_mutex_lock(&view.lock);
    close_view();
    pthread_mutex_unlock(&view.lock);
}

void cw_guard_after_fork(void) {
    pthread_mutex_init(&view.lock, NULL);
}
