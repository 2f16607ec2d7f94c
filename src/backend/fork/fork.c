/* The fork backend: workers are processes, brought by a nursery. */
#include "backend/fork/fork.h"

#include "backend/fork/hands.h"
#include "base/error.h"

#include <crew/pool.h>
#include <pthread.h>
#include <stdlib.h>

struct forked {
    struct cw_hands base;
    struct cw_nursery own;      /* START_FORK: this pool's */
    struct cw_nursery *nursery; /* that, or the session's */
};

/* Owner: the session, which starts it in crew_init and stops it at the end. */
static struct cw_nursery session_nursery = {.socket = -1, .process = -1};
static crew_error not_started; /* code 0: it was not tried, or it was started */
static pthread_mutex_t serving = PTHREAD_MUTEX_INITIALIZER;

/* Forks it from this process as it is now; nothing if there is one. */
static int start_server(crew_error *err) {
    int rc = 0;
    pthread_mutex_lock(&serving);
    if (not_started.code) /* what it was to be an image of has gone by */
        rc = cw_error_copy(err, &not_started);
    else if (session_nursery.socket < 0)
        rc = cw_nursery_start(&session_nursery, err);
    pthread_mutex_unlock(&serving);
    return rc;
}

int cw_fork_server_ask(const struct cw_nursery_order *order, crew_error *err) {
    int rc = start_server(err);
    return rc < 0 ? rc : cw_nursery_ask(&session_nursery, order, err);
}

int cw_fork_server_there(crew_error *err) {
    int rc = 0;
    pthread_mutex_lock(&serving);
    if (not_started.code)
        rc = cw_error_copy(err, &not_started);
    else if (session_nursery.socket < 0)
        rc = cw_error_set(err, CREW_ENOTSUP, 0,
                          "crew_init has not started the process that forks workers, and now it is "
                          "too late");
    pthread_mutex_unlock(&serving);
    return rc;
}

struct cw_nursery *cw_fork_server(void) {
    return &session_nursery;
}

void cw_fork_server_prepare(void) {
    crew_error err;
    if (start_server(&err) < 0)
        cw_error_set(&not_started, err.code, err.sys,
                     "the process that forks workers of CREW_START_SERVER and CREW_START_SPAWN "
                     "could not be started in crew_init (CREW_START_FORK may work)");
}

void cw_fork_server_stop(void) {
    if (session_nursery.socket >= 0)
        cw_nursery_stop(&session_nursery);
    not_started.code = 0;
}

void cw_fork_server_forget(void) {
    session_nursery.socket = session_nursery.process = -1;
    not_started.code = 0;
    pthread_mutex_init(&serving, NULL);
    cw_nursery_forked();
}

static int open_fork(const struct cw_hands_request *request, struct cw_hands **hands,
                     crew_error *err) {
    struct forked *f = calloc(1, sizeof *f);
    if (!f)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a pool");
    f->base.ops = &cw_backend_fork;
    f->base.request = *request;
    f->nursery = request->start == CREW_START_FORK ? &f->own : &session_nursery;
    int rc = request->start == CREW_START_FORK ? cw_nursery_start(&f->own, err)
                                               : start_server(err);
    if (rc < 0) {
        free(f);
        return rc;
    }
    *hands = &f->base;
    return 0;
}

static int start_fork(struct cw_hands *h, int rank, crew_error *err) {
    struct forked *f = (struct forked *)h;
    struct cw_nursery_order order = cw_hands_order(h, rank);
    return cw_nursery_ask(f->nursery, &order, err);
}

static void kill_fork(struct cw_hands *h, int rank) {
    struct forked *f = (struct forked *)h;
    struct cw_nursery_order order = cw_hands_order(h, rank);
    order.what = CW_NURSE_KILL;
    /* A nursery that is gone has taken the worker along. */
    crew_error ignored;
    cw_nursery_ask(f->nursery, &order, &ignored);
}

static bool lost_fork(struct cw_hands *h, crew_error *err) {
    return cw_nursery_lost(((struct forked *)h)->nursery, err);
}

static void bury_fork(struct cw_hands *h) {
    cw_hands_bury(h, NULL, 0);
}

static void close_fork(struct cw_hands *h) {
    struct forked *f = (struct forked *)h;
    if (f->nursery == &f->own)
        cw_nursery_stop(&f->own);
    free(f);
}

const struct cw_backend cw_backend_fork = {
    .name = "fork",
    .processes = true,
    .kills = true,
    .open = open_fork,
    .start = start_fork,
    .kill = kill_fork,
    .lost = lost_fork,
    .bury = bury_fork,
    .close = close_fork,
};
