/* The fork backend: workers are processes, brought by a nursery. */
#include "backend/fork/fork.h"

#include "backend/fork/nursery.h"
#include "base/error.h"

#include <crew/pool.h>
#include <stdlib.h>

struct forked {
    struct cw_hands base;
    struct cw_nursery own;      /* START_FORK: this pool's */
    struct cw_nursery *nursery; /* that, or the session's */
};

/* Owner: the session, which starts it in crew_init and stops it at the end. */
static struct cw_nursery session_nursery = {.socket = -1};

int cw_fork_server_start(crew_error *err) {
    return session_nursery.socket >= 0 ? 0 : cw_nursery_start(&session_nursery, err);
}

void cw_fork_server_stop(void) {
    if (session_nursery.socket >= 0)
        cw_nursery_stop(&session_nursery);
}

void cw_fork_server_forget(void) {
    session_nursery.socket = -1;
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
                                               : cw_fork_server_start(err);
    if (rc < 0) {
        free(f);
        return rc;
    }
    *hands = &f->base;
    return 0;
}

static struct cw_nursery_order order_for(struct forked *f, int rank) {
    const struct cw_hands_request *r = &f->base.request;
    return (struct cw_nursery_order){.what = r->start == CREW_START_SPAWN ? CW_NURSE_SPAWN
                                                                          : CW_NURSE_FORK,
                                     .seat = &r->seats[rank],
                                     .bell = r->bell,
                                     .billet = {.team = r->team, .rank = rank},
                                     .segment_fd = r->segment->fd,
                                     .root_fd = r->root->fd,
                                     .enter = r->enter};
}

static int start_fork(struct cw_hands *h, int rank, crew_error *err) {
    struct forked *f = (struct forked *)h;
    struct cw_nursery_order order = order_for(f, rank);
    return cw_nursery_ask(f->nursery, &order, err);
}

static void kill_fork(struct cw_hands *h, int rank) {
    struct forked *f = (struct forked *)h;
    struct cw_nursery_order order = order_for(f, rank);
    order.what = CW_NURSE_KILL;
    /* A nursery that is gone has taken the worker along. */
    crew_error ignored;
    cw_nursery_ask(f->nursery, &order, &ignored);
}

static bool lost_fork(struct cw_hands *h) {
    return cw_nursery_lost(((struct forked *)h)->nursery);
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
    .open = open_fork,
    .start = start_fork,
    .kill = kill_fork,
    .lost = lost_fork,
    .close = close_fork,
};
