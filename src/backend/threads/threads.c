/* The threads backend: plain pthreads of the manager, each the initial thread of
 * an OpenMP team of its own. */
#include "backend/backend.h"

#include "base/error.h"
#include "os/futex.h"
#include "os/process.h"

#include <pthread.h>
#include <stdlib.h>

struct thread {
    struct threads *all;
    int rank;
    bool started;
    pthread_t id;
};

struct threads {
    struct cw_hands base;
    struct thread thread[];
};

static int open_threads(const struct cw_hands_request *request, struct cw_hands **hands,
                        crew_error *err) {
    size_t n = (size_t)request->members;
    struct threads *all = calloc(1, sizeof *all + n * sizeof all->thread[0]);
    if (!all)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for %zu workers", n);
    all->base.ops = &cw_backend_threads;
    all->base.request = *request;
    for (size_t i = 0; i < n; i++)
        all->thread[i] = (struct thread){.all = all, .rank = (int)i};
    *hands = &all->base;
    return 0;
}

static void *run(void *arg) {
    struct thread *me = arg;
    const struct cw_hands_request *r = &me->all->base.request;
    struct cw_seat *seat = &r->seats[me->rank];
    r->enter(&(struct cw_billet){.team = r->team, .rank = me->rank});
    /* Pairs with the supervisor's acquire: all that this member wrote. */
    atomic_store_explicit(&seat->state, CW_SEAT_ENDED, memory_order_release);
    cw_bell_ring(r->bell);
    return NULL;
}

static int start_thread(struct cw_hands *h, int rank, crew_error *err) {
    struct threads *all = (struct threads *)h;
    struct thread *thread = &all->thread[rank];
    struct cw_seat *seat = &h->request.seats[rank];
    if (thread->started) /* its predecessor has ended: recycled */
        pthread_join(thread->id, NULL);
    atomic_store(&seat->state, CW_SEAT_ALIVE);
    int rc = cw_process_thread(&thread->id, run, thread);
    thread->started = rc == 0;
    if (rc == 0)
        return 0;
    atomic_store(&seat->sys, rc);
    atomic_store(&seat->step, CW_STEP_FORK);
    atomic_store(&seat->state, CW_SEAT_ENDED);
    return cw_error_set(err, CREW_EAGAIN, rc, "worker %d: no thread could be started", rank);
}

/* Threads cannot be ended: tasks that run long ask crew_cancelled. */
static void kill_thread(struct cw_hands *h, int rank) {
    (void)h, (void)rank;
}

static bool lost_threads(struct cw_hands *h, crew_error *err) {
    (void)h, (void)err;
    return false;
}

static void bury_threads(struct cw_hands *h) {
    (void)h;
}

static void close_threads(struct cw_hands *h) {
    struct threads *all = (struct threads *)h;
    for (int i = 0; i < h->request.members; i++)
        if (all->thread[i].started)
            pthread_join(all->thread[i].id, NULL);
    free(all);
}

const struct cw_backend cw_backend_threads = {
    .name = "threads",
    .open = open_threads,
    .start = start_thread,
    .kill = kill_thread,
    .lost = lost_threads,
    .bury = bury_threads,
    .close = close_threads,
};
