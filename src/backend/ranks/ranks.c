/* The backend over the berths of a node. */
#include "backend/ranks/aboard.h"
#include "backend/ranks/berths.h"

#include "backend/fork/fork.h"
#include "backend/fork/hands.h"
#include "base/error.h"

#include <crew/pool.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* What a ring had no room for, until it has. Of each member one thing at most: so this
 * needs no memory that might not be there, and no order can be lost. */
enum { WANTS_NOTHING, WANTS_START, WANTS_KILL };

struct ranked {
    struct cw_hands base;
    struct cw_berths *berths;
    int *of;              /* of each member: the berth it comes from, or came from */
    unsigned char *wants; /* of each member */
    bool *buried;         /* of each berth: it is lost, and this team knows it */
    bool any_wants;
    struct cw_aboard *aboard; /* the leader's own threads, where members are such */
};

static int make(const struct cw_backend *ops, const struct cw_hands_request *request,
                struct cw_hands **hands, crew_error *err) {
    size_t n = (size_t)request->members, berths = (size_t)cw_berths_count(request->berths);
    struct ranked *r = calloc(1, sizeof *r + n * (sizeof *r->of + 1) + berths);
    if (!r)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a pool");
    r->base.ops = ops;
    r->base.request = *request;
    r->berths = request->berths;
    r->of = (int *)(void *)(r + 1);
    r->wants = (unsigned char *)(r->of + n);
    r->buried = (bool *)(r->wants + n);
    memcpy(r->of, request->berth, n * sizeof *r->of);
    r->base.request.berth = r->of;
    *hands = &r->base;
    return 0;
}

static int open_ranks(const struct cw_hands_request *request, struct cw_hands **hands,
                      crew_error *err) {
    bool own = cw_berths_own(request->berths) != cw_fork_server();
    if (request->start != (own ? CREW_START_FORK : CREW_START_SERVER))
        return cw_error_set(err, CREW_ENOTSUP, 0,
                            "workers of ranks are forked as crew_init found the program: only "
                            "CREW_START_SERVER is possible");
    int rc = cw_berths_own_there(request->berths, err);
    return rc < 0 ? rc : make(&cw_backend_ranks, request, hands, err);
}

/* ---- orders ---- */

/* False: the berth's ring is full. */
static bool put(struct ranked *r, int rank, uint32_t what) {
    const struct cw_hands_request *q = &r->base.request;
    struct cw_berth_order order = {
        .what = what,
        .rank = rank,
        .team = q->team,
        .seat = (uint64_t)((const char *)&q->seats[rank] - q->segment->base)};
    cw_signals_get(&order.signals);
    return cw_berth_put(r->berths, r->of[rank], &order);
}

static void flush(struct ranked *r, int rank) {
    if (put(r, rank, r->wants[rank] == WANTS_START ? CW_NURSE_FORK : CW_NURSE_KILL))
        r->wants[rank] = WANTS_NOTHING;
}

static void flush_all(struct ranked *r) {
    if (!r->any_wants)
        return;
    r->any_wants = false;
    for (int i = 0; i < r->base.request.members; i++) {
        if (r->wants[i])
            flush(r, i);
        r->any_wants = r->any_wants || r->wants[i];
    }
}

static void want(struct ranked *r, int rank, unsigned char what) {
    r->wants[rank] = what;
    flush(r, rank);
    r->any_wants = r->any_wants || r->wants[rank];
}

/* The one that is left with the fewest of our members. -1: none is. */
static int least_used(struct ranked *r) {
    int best = -1, fewest = 0;
    for (int b = 0; b < cw_berths_count(r->berths); b++) {
        int members = 0;
        if (r->buried[b] || cw_berth_lost(r->berths, b))
            continue;
        for (int i = 0; i < r->base.request.members; i++)
            members += r->of[i] == b;
        if (best < 0 || members < fewest) {
            best = b;
            fewest = members;
        }
    }
    return best;
}

static int nobody_left(struct ranked *r, crew_error *err) {
    crew_error last;
    cw_berth_why(r->berths, 0, &last);
    return cw_error_set(err, CREW_EBROKEN, 0,
                        "no rank of this node is left to have workers from: %.160s, as have the "
                        "others",
                        last.text);
}

static int start_rank(struct cw_hands *h, int rank, crew_error *err) {
    struct ranked *r = (struct ranked *)h;
    r->wants[rank] = WANTS_NOTHING; /* of its predecessor, which has ended */
    if (r->buried[r->of[rank]] || cw_berth_lost(r->berths, r->of[rank])) {
        int other = least_used(r);
        if (other < 0)
            return nobody_left(r, err);
        r->of[rank] = other;
    }
    if (r->of[rank] > 0) {
        want(r, rank, WANTS_START);
        return 0;
    }
    struct cw_nursery_order order = cw_hands_order(h, rank);
    return cw_nursery_ask(cw_berths_own(r->berths), &order, err);
}

/* Nobody has heard of it yet. */
static bool call_off(struct ranked *r, int rank) {
    const struct cw_hands_request *q = &r->base.request;
    if (r->wants[rank] != WANTS_START)
        return false;
    r->wants[rank] = WANTS_NOTHING;
    cw_seat_end(&q->seats[rank], q->bell, SIGKILL);
    return true;
}

static void kill_rank(struct cw_hands *h, int rank) {
    struct ranked *r = (struct ranked *)h;
    if (call_off(r, rank)) {
        ;
    } else if (r->of[rank] > 0) {
        want(r, rank, WANTS_KILL);
    } else {
        struct cw_nursery_order order = cw_hands_order(h, rank);
        crew_error ignored;
        order.what = CW_NURSE_KILL;
        cw_nursery_ask(cw_berths_own(r->berths), &order, &ignored);
    }
}

/* ---- ends of ranks ---- */

/* Its nursery has ended, and has said so of those workers that it could tell of. */
static void bury_berth(struct ranked *r, int berth) {
    const struct cw_hands_request *q = &r->base.request;
    cw_hands_bury(&r->base, r->of, berth);
    for (int i = 0; i < q->members; i++) {
        uint32_t state = atomic_load_explicit(&q->seats[i].state, memory_order_acquire);
        if (r->of[i] != berth)
            continue;
        r->wants[i] = WANTS_NOTHING;
        if (state != CW_SEAT_ASKED && state != CW_SEAT_ALIVE)
            continue;
        atomic_store(&q->seats[i].farewell, CW_FAREWELL_SWEPT);
        cw_seat_end(&q->seats[i], q->bell, SIGKILL);
    }
    r->buried[berth] = true;
}

static bool lost_ranks(struct cw_hands *h, crew_error *err) {
    struct ranked *r = (struct ranked *)h;
    int left = 0;
    for (int b = 0; b < cw_berths_count(r->berths); b++) {
        if (!r->buried[b] && cw_berth_lost(r->berths, b))
            bury_berth(r, b);
        left += !r->buried[b];
    }
    flush_all(r);
    if (left == 0)
        nobody_left(r, err);
    return left == 0;
}

/* Each was buried when it was seen to be lost. */
static void bury_ranks(struct cw_hands *h) {
    (void)h;
}

static void close_ranks(struct cw_hands *h) {
    free(h);
}

const struct cw_backend cw_backend_ranks = {
    .name = "ranks",
    .processes = true,
    .kills = true,
    .open = open_ranks,
    .start = start_rank,
    .kill = kill_rank,
    .lost = lost_ranks,
    .bury = bury_ranks,
    .close = close_ranks,
};

/* ---- members that are threads of the ranks ---- */

static int open_aboard(const struct cw_hands_request *request, struct cw_hands **hands,
                       crew_error *err) {
    return make(&cw_backend_aboard, request, hands, err);
}

static int start_aboard(struct cw_hands *h, int rank, crew_error *err) {
    struct ranked *r = (struct ranked *)h;
    const struct cw_hands_request *q = &h->request;
    int berth = r->of[rank];
    if (berth == 0) {
        const struct cw_aboard_post post = {.seat = &q->seats[rank],
                                            .bell = q->bell,
                                            .billet = {.team = q->team, .rank = rank},
                                            .enter = q->enter};
        return cw_aboard_start(&r->aboard, &post, err);
    }
    if (cw_berth_lost(r->berths, berth)) {
        cw_berth_why(r->berths, berth, err);
        return CREW_EBROKEN;
    }
    want(r, rank, WANTS_START);
    return 0;
}

/* Threads cannot be ended: tasks that run long ask crew_cancelled. */
static void kill_aboard(struct cw_hands *h, int rank) {
    call_off((struct ranked *)h, rank);
}

/* This rank is one that is left. */
static bool lost_aboard(struct cw_hands *h, crew_error *err) {
    struct ranked *r = (struct ranked *)h;
    (void)err;
    for (int b = 1; b < cw_berths_count(r->berths); b++)
        if (!r->buried[b] && cw_berth_lost(r->berths, b))
            bury_berth(r, b);
    flush_all(r);
    return false;
}

static void close_aboard(struct cw_hands *h) {
    cw_aboard_join(&((struct ranked *)h)->aboard);
    free(h);
}

const struct cw_backend cw_backend_aboard = {
    .name = "aboard",
    .processes = true,
    .open = open_aboard,
    .start = start_aboard,
    .kill = kill_aboard,
    .lost = lost_aboard,
    .bury = bury_ranks,
    .close = close_aboard,
};
