/* Monotonic time and deadlines. */
#include "os/clock.h"

#include <time.h>

enum {
    NS = 1000000000,
    SLICE_NS = NS,            /* the longest sleep between two looks at the clock */
    STOP_COUNTS_NS = 10000000 /* what a stop costs a deadline */
};
/* A gap from here on was a stop: a slice, and a second for a busy machine. */
static const int64_t stopped_from_ns = 2 * (int64_t)SLICE_NS;

int64_t cw_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS + now.tv_nsec;
}

static bool runs(int64_t word) {
    return word & 1;
}

void cw_meter_start(cw_meter *m) {
    int64_t word = atomic_load_explicit(m, memory_order_relaxed);
    if (!runs(word))
        atomic_store_explicit(m, word - 2 * cw_now_ns() + 1, memory_order_relaxed);
}

void cw_meter_stop(cw_meter *m) {
    int64_t word = atomic_load_explicit(m, memory_order_relaxed);
    if (runs(word))
        atomic_store_explicit(m, word - 1 + 2 * cw_now_ns(), memory_order_relaxed);
}

int64_t cw_meter_ns(const cw_meter *m) {
    int64_t word = atomic_load_explicit(m, memory_order_relaxed);
    return runs(word) ? (word - 1) / 2 + cw_now_ns() : word / 2;
}

struct cw_deadline cw_deadline_in(double seconds) {
    struct cw_deadline d = {.left_ns = 0, .seen_ns = cw_now_ns()};
    /* What is longer than the clock lasts (292 years) is no limit; not a number
     * polls, since it compares false with everything. */
    if (seconds < 0 || seconds >= 9.2e9) {
        d.left_ns = -1;
    } else if (seconds > 0) {
        d.left_ns = (int64_t)(seconds * NS);
        if (d.left_ns == 0)
            d.left_ns = 1; /* short, but not a poll */
    }
    return d;
}

bool cw_deadline_over(struct cw_deadline *d) {
    if (d->left_ns < 0)
        return false;
    int64_t now = cw_now_ns(), gap = now - d->seen_ns;
    d->seen_ns = now;
    /* A stop counts a little rather than nothing, so that a wait which never
     * looks in time still ends. */
    if (gap > stopped_from_ns)
        gap = STOP_COUNTS_NS;
    d->left_ns = gap < d->left_ns ? d->left_ns - gap : 0;
    return d->left_ns == 0;
}

double cw_deadline_slice(const struct cw_deadline *d) {
    if (d->left_ns < 0)
        return -1;
    return (double)(d->left_ns < SLICE_NS ? d->left_ns : SLICE_NS) / NS;
}

void cw_clocked_init(pthread_cond_t *cond) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

bool cw_clocked_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t ns) {
    int64_t at = cw_now_ns() + ns;
    const struct timespec until = {at / 1000000000, at % 1000000000};
    return pthread_cond_timedwait(cond, lock, &until) == 0;
}
