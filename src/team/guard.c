/* Guards: a bit for each granule of the root segment whose last page this process
 * must not touch. */
#include "team/guard.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

/* Each guard parts a mapping in two more, and the kernel allows a process 65,530
 * of them. SEEN is a power of two. */
enum { MOST = 8192, SEEN = 512 };

static struct {
    pthread_mutex_t lock;
    char *base; /* of the segment the bits are for */
    uint64_t *bits;
    size_t bytes;
    int count;
    _Atomic uint64_t seen[SEEN];
} view = {.lock = PTHREAD_MUTEX_INITIALIZER};

uint64_t cw_guard_bytes(void) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return page < CW_ARENA_GRANULE ? page : 0;
}

bool cw_guard_seen(uint64_t number) {
    return atomic_load_explicit(&view.seen[number % SEEN], memory_order_acquire) == number;
}

static void close_view(void) {
    if (view.bits)
        munmap(view.bits, view.bytes);
    view.base = NULL;
    view.bits = NULL;
    view.count = 0;
    for (int i = 0; i < SEEN; i++)
        atomic_store(&view.seen[i], 0);
}

/* With the lock. False: there is no memory for the bits, so no guards. */
static bool open_view(char *base, uint64_t size) {
    if (view.base == base)
        return true;
    close_view(); /* of a session that ended, or is another process's */
    size_t bytes = (size / CW_ARENA_GRANULE + 64) / 64 * 8;
    void *bits = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bits == MAP_FAILED)
        return false;
    view.base = base;
    view.bits = bits;
    view.bytes = bytes;
    return true;
}

static char *guard_of(uint64_t granule) {
    return view.base + (granule + 1) * CW_ARENA_GRANULE - cw_guard_bytes();
}

/* The bit covers the protection at every moment: a child that is forked in between
 * clears what may be there. */
static void set(uint64_t g) {
    if (view.bits[g / 64] >> g % 64 & 1 || view.count >= MOST)
        return;
    view.bits[g / 64] |= 1ull << g % 64;
    view.count++;
    mprotect(guard_of(g), cw_guard_bytes(), PROT_NONE); /* without it all else works */
}

static void clear(uint64_t from, uint64_t end) {
    for (uint64_t g = from; g < end; g++) {
        if (g % 64 == 0 && end - g >= 64 && view.bits[g / 64] == 0) {
            g += 63;
            continue;
        }
        if (!(view.bits[g / 64] >> g % 64 & 1))
            continue;
        mprotect(guard_of(g), cw_guard_bytes(), PROT_READ | PROT_WRITE);
        view.bits[g / 64] &= ~(1ull << g % 64);
        view.count--;
    }
}

void cw_guard_see(char *base, uint64_t size, const struct cw_within *object) {
    if (!object->number || cw_guard_seen(object->number))
        return;
    pthread_mutex_lock(&view.lock);
    if (cw_guard_bytes() && open_view(base, size)) {
        uint64_t from = object->from / CW_ARENA_GRANULE;
        uint64_t end = (object->end + CW_ARENA_GRANULE - 1) / CW_ARENA_GRANULE;
        uint64_t last = object->guarded ? end - 1 : end;
        clear(from, last);
        if (object->guarded)
            set(last);
    }
    /* Pairs with the acquire in cw_guard_seen: the protections. */
    atomic_store_explicit(&view.seen[object->number % SEEN], object->number, memory_order_release);
    pthread_mutex_unlock(&view.lock);
}

void cw_guard_clear(char *base, uint64_t size, cw_off from, cw_off end) {
    pthread_mutex_lock(&view.lock);
    if (cw_guard_bytes() && open_view(base, size))
        clear(from / CW_ARENA_GRANULE, (end + CW_ARENA_GRANULE - 1) / CW_ARENA_GRANULE);
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
