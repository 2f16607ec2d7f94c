/* Processes that stand for those of other nodes: brought, dismissed, lost. */
#include "api/deputy.h"
#include "api/pool_impl.h"
#include "api/remote_impl.h"
#include "backend/fork/nursery.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/signals.h"

#include <limits.h>
#include <stdlib.h>

/* So many are asked for at a time: their orders find room in the nursery's socket, and
 * whoever puts them there does not wait. */
enum { BIRTHS = 64 };
/* How often is looked whether one has ended of itself. */
static const int64_t LOOK_NS = 50000000;

struct cw_mission *cw_deputy_find(int node, uint32_t party, uint32_t life) {
    struct cw_mission *d = cw_remote.deputies;
    while (d && (d->node != node || d->party != party || d->life != life || d->stage == CW_DYING))
        d = d->next;
    return d;
}

struct cw_mission *cw_deputy_make(int node, uint32_t party, uint32_t life, crew_error *err) {
    struct cw_mission *d = calloc(1, sizeof *d);
    cw_off at = d ? cw_alloc_zero(&cw_remote.share->arena, sizeof *d->record, NULL, err) : 0;
    if (!at) {
        free(d);
        cw_error_set(err, CREW_ENOMEM, 0, "no memory for a process at the object's node");
        return NULL;
    }
    *d = (struct cw_mission){.next = cw_remote.deputies,
                             .node = node,
                             .party = party,
                             .life = life,
                             .at = at,
                             .record = cw_ptr(&cw_remote.share->arena, at)};
    cw_remote.deputies = d;
    cw_remote.unborn++;
    return d;
}

void cw_deputy_show(struct cw_mission *d, struct cw_desk *tray) {
    uint32_t first = atomic_load(&d->record->fresh);
    do
        tray->fresh = first;
    while (!atomic_compare_exchange_weak(&d->record->fresh, &first, tray->head.number + 1));
    atomic_fetch_add(&d->record->news, 1);
    cw_futex_wake(&d->record->news, INT_MAX);
}

static struct cw_nursery_order order_for(const struct cw_mission *d) {
    struct cw_session *s = cw_remote.session;
    struct cw_nursery_order order = {.what = CW_NURSE_FORK,
                                     .seat = &d->record->seat,
                                     .bell = s->bell,
                                     .billet = {.team = d->at, .rank = CW_BILLET_PROCESS},
                                     .segment_fd = s->own.fd,
                                     .root_fd = s->root.fd,
                                     .enter = cw_deputy_enter};
    cw_signals_get(&order.signals);
    return order;
}

/* Frees it, and what it had. Its process is no more, so nothing of it comes onto the pile. */
static void bury(struct cw_mission *d) {
    struct cw_mission **at = &cw_remote.deputies;
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    while (d->clerks)
        cw_in_drop(d->clerks);
    cw_free(&cw_remote.share->arena, d->at);
    free(d);
}

/* Who waits for an answer of it is told why there will be none. */
static void refuse_all(const struct cw_mission *d, const crew_error *why) {
    for (struct cw_clerk *c = d->clerks; c; c = c->next)
        if (c->busy)
            cw_in_refuse(c, why);
}

void cw_deputy_dismiss(struct cw_mission *d) {
    crew_error ignored;
    if (d->stage == CW_UNBORN) {
        cw_remote.unborn--;
        bury(d);
    } else if (d->stage == CW_BORN) {
        struct cw_nursery_order order = order_for(d);
        order.what = CW_NURSE_KILL;
        cw_nursery_ask(cw_remote.nursery, &order,
                       &ignored); /* a nursery that is gone has taken it along */
        d->stage = CW_DYING;
        cw_remote.dying++;
    }
}

static bool bring(struct cw_mission *d) {
    struct cw_nursery_order order = order_for(d);
    crew_error err;
    cw_remote.unborn--;
    d->stage = CW_BORN;
    atomic_store(&d->record->seat.state, CW_SEAT_ASKED);
    if (cw_remote.nursery->socket < 0)
        cw_error_set(&err, CREW_ENOTSUP, 0, "the object's node has no process that forks others");
    if (cw_remote.nursery->socket < 0 || cw_nursery_ask(cw_remote.nursery, &order, &err) < 0) {
        refuse_all(d, &err);
        bury(d);
        return false;
    }
    return true;
}

static bool bring_some(void) {
    int asked = 0;
    bool any = false;
    for (const struct cw_mission *d = cw_remote.deputies; d; d = d->next)
        asked += d->stage == CW_BORN && atomic_load(&d->record->seat.state) == CW_SEAT_ASKED;
    for (struct cw_mission *d = cw_remote.deputies, *next; d && asked < BIRTHS; d = next) {
        next = d->next;
        if (d->stage == CW_UNBORN) {
            asked += bring(d);
            any = true;
        }
    }
    return any;
}

/* It has ended, as it was told to or by itself. */
static void ended(struct cw_mission *d) {
    crew_error err;
    char how[128];
    /* It may have answered before. */
    cw_remote_pile();
    if (d->stage == CW_DYING) {
        cw_remote.dying--;
    } else {
        cw_failure_of_seat(&d->record->seat, atomic_load(&d->record->seat.status), how, sizeof how);
        cw_error_set(&err, CREW_EBROKEN, 0,
                     "the process that stands for this one at the object's node was %s; what it "
                     "held has passed on", how);
        refuse_all(d, &err);
    }
    bury(d);
}

/* The nursery is gone, and they with it, but nobody says so. What they had stays: they may
 * write to it yet. */
static void lose_all(const crew_error *why) {
    for (struct cw_mission *d = cw_remote.deputies; d; d = d->next) {
        refuse_all(d, why);
        for (struct cw_clerk *c = d->clerks; c; c = c->next) {
            cw_remote_unship(c->tray);
            c->busy = false;
        }
    }
}

bool cw_deputies_look(void) {
    bool any = cw_remote.unborn && bring_some();
    int64_t now = cw_now_ns();
    if (!cw_remote.deputies || (!cw_remote.dying && now - cw_remote.looked_ns < LOOK_NS))
        return any;
    cw_remote.looked_ns = now;
    for (struct cw_mission *d = cw_remote.deputies, *next; d; d = next) {
        next = d->next;
        if (d->stage == CW_UNBORN || atomic_load(&d->record->seat.state) != CW_SEAT_ENDED)
            continue;
        ended(d);
        any = true;
    }
    crew_error err;
    if (cw_remote.deputies && cw_nursery_lost(cw_remote.nursery, &err))
        lose_all(&err);
    return any;
}

void cw_deputies_forget(bool again) {
    while (cw_remote.deputies && again)
        bury(cw_remote.deputies);
    for (struct cw_mission *d; (d = cw_remote.deputies);) {
        cw_remote.deputies = d->next;
        for (struct cw_clerk *c; (c = d->clerks);) {
            d->clerks = c->next;
            free(c);
        }
        free(d);
    }
}
