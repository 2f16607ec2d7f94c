/* Committing an array: the first to touch a page decides on which NUMA node it
 * lies. So each worker's contiguous share is touched by a thread of the creator's
 * that runs where the worker does. The workers themselves are not asked: they may
 * be busy for hours, with work that waits for this array, and they may die. */
#include "api/array_impl.h"
#include "api/pool_impl.h"
#include "base/error.h"

#include <crew/topology.h>
#include <signal.h>
#include <string.h>

/* Whoever has less to do than this does it faster alone. */
static const uint64_t LEAST = 16 << 20, ALIGN = 2 << 20;
enum { MOST = 64 };

struct share {
    pthread_t thread;
    bool started;
    const cw_segment *seg;
    uint64_t offset, size;
    cw_cpuset cpus; /* empty: anywhere */
    int sys;
};

static void *touch(void *arg) {
    static const cw_cpuset nowhere;
    struct share *s = arg;
    if (memcmp(&s->cpus, &nowhere, sizeof nowhere) != 0)
        cw_affinity_set(&s->cpus);
    s->sys = cw_segment_populate(s->seg, s->offset, s->size);
    return NULL;
}

/* The pool that an array is most likely for: the one with most workers. With the
 * session's lock. */
static crew_pool *largest(struct cw_session *s) {
    crew_pool *best = NULL;
    for (crew_pool *p = s->pools; p; p = p->next)
        if (!best || p->workers > best->workers)
            best = p;
    return best;
}

/* How many shares, and where each is to be touched. Before a pool is open as many
 * as it would have workers, anywhere. */
static int assign(struct cw_session *s, struct share *shares, uint64_t size) {
    int most = size / LEAST < MOST ? (int)(size / LEAST) : MOST;
    pthread_mutex_lock(&cw_session_lock);
    crew_pool *p = largest(s);
    int workers = p ? p->workers : s->cores ? s->cores : crew_cpu_count();
    int n = workers < most ? workers : most;
    for (int i = 0; p && i < n; i++)
        shares[i].cpus = cw_team_place(&p->maps, p->team, (int)((int64_t)i * workers / n))->cpus;
    pthread_mutex_unlock(&cw_session_lock);
    return n;
}

static int touch_all(struct share *shares, int n) {
    sigset_t all, before; /* the program's signals are for its own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < n; i++)
        shares[i].started = pthread_create(&shares[i].thread, NULL, touch, &shares[i]) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    int sys = 0;
    for (int i = 0; i < n; i++) {
        if (shares[i].started)
            pthread_join(shares[i].thread, NULL);
        else
            shares[i].sys = cw_segment_populate(shares[i].seg, shares[i].offset, shares[i].size);
        sys = sys ? sys : shares[i].sys;
    }
    return sys;
}

int cw_array_commit(void *ctx, cw_segment *seg, uint64_t offset, uint64_t size, crew_error *err) {
    const struct cw_array_commit *how = ctx;
    cw_guard_catch_up(seg->base);
    int rc = cw_segment_room(size, err);
    if (rc < 0)
        return rc;
    cw_segment_interleave(seg, offset, size, how->spread);
    struct share shares[MOST] = {0};
    int sys, n = assign(how->session, shares, size);
    if (n < 2) {
        sys = cw_segment_populate(seg, offset, size);
    } else {
        uint64_t at = offset, end = offset + size;
        for (int i = 0; i < n; i++) {
            uint64_t to = (offset + size / (uint64_t)n * (uint64_t)(i + 1)) / ALIGN * ALIGN;
            to = i + 1 < n ? to : end;
            shares[i].seg = seg;
            shares[i].offset = at;
            shares[i].size = to - at;
            at = to;
        }
        sys = touch_all(shares, n);
    }
    return sys ? cw_segment_no_room(size, sys, err) : 0;
}
