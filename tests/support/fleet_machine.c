/* See fleet_machine.h. */
#include "support/fleet_machine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { NOBODY = -1, EVERYBODY = -2 }; /* cw_fleet.changed */

bool cw_fleet_init(struct cw_fleet *f, int nodes, int slots, double message_ns) {
    *f = (struct cw_fleet){
        .count = nodes, .stop = INT64_MAX, .ask_again = INT64_MAX, .changed = NOBODY};
    cw_fleet_sums_init(&f->all, slots, message_ns);
    f->nodes = calloc((size_t)nodes, sizeof *f->nodes);
    f->leases = calloc((size_t)nodes * (size_t)f->all.slots, sizeof *f->leases);
    if (f->nodes && f->leases)
        return true;
    cw_fleet_free(f);
    return false;
}

void cw_fleet_free(struct cw_fleet *f) {
    free(f->nodes);
    free(f->leases);
    free(f->waiting);
    free(f->actions);
    *f = (struct cw_fleet){.failed = true};
}

void cw_fleet_know(struct cw_fleet *f, cw_fleet_gap *gap, void *marks) {
    f->gap = gap;
    f->marks = marks;
}

static struct cw_lease *lease_of(struct cw_fleet *f, int node, int slot) {
    return &f->leases[(size_t)node * (size_t)f->all.slots + (size_t)slot];
}

/* ---- actions ---- */

static void act(struct cw_fleet *f, struct cw_fleet_action action) {
    if (f->actions_count == f->actions_cap) {
        unsigned cap = f->actions_cap ? 2 * f->actions_cap : 16;
        struct cw_fleet_action *more = calloc(cap, sizeof *more);
        if (!more) {
            f->failed = true;
            return;
        }
        for (unsigned i = 0; i < f->actions_count; i++)
            more[i] = f->actions[(f->actions_at + i) & (f->actions_cap - 1)];
        free(f->actions);
        f->actions = more;
        f->actions_at = 0;
        f->actions_cap = cap;
    }
    f->actions[(f->actions_at + f->actions_count++) & (f->actions_cap - 1)] = action;
}

/* ---- what waits: a heap, the lowest range first ---- */

static void swap(struct cw_range *a, struct cw_range *b) {
    struct cw_range kept = *a;
    *a = *b;
    *b = kept;
}

static void sift_down(struct cw_fleet *f, int at) {
    for (;;) {
        int low = at;
        for (int child = 2 * at + 1; child <= 2 * at + 2 && child < f->waiting_count; child++)
            if (f->waiting[child].lo < f->waiting[low].lo)
                low = child;
        if (low == at)
            return;
        swap(&f->waiting[at], &f->waiting[low]);
        at = low;
    }
}

static void sift_up(struct cw_fleet *f, int at) {
    for (; at > 0 && f->waiting[at].lo < f->waiting[(at - 1) / 2].lo; at = (at - 1) / 2)
        swap(&f->waiting[at], &f->waiting[(at - 1) / 2]);
}

static void remove_range(struct cw_fleet *f, int at) {
    f->waiting[at] = f->waiting[--f->waiting_count];
    if (at < f->waiting_count) {
        sift_down(f, at);
        sift_up(f, at);
    }
}

static void came(struct cw_fleet *f, int64_t items) {
    f->left += items;
    f->changed = EVERYBODY;
    f->home_called = f->home_idle > 0;
}

/* [lo, hi) waits from now on, or what of it lies behind the stop is dropped. */
static void put(struct cw_fleet *f, int64_t lo, int64_t hi, int tag) {
    if (hi > f->stop) {
        int64_t from = lo > f->stop ? lo : f->stop;
        if (from < hi)
            act(f, (struct cw_fleet_action){CW_FLEET_DROP, 0, 0, tag, from, hi});
        hi = from;
    }
    if (lo >= hi)
        return;
    if (f->waiting_count == f->waiting_cap) {
        int cap = f->waiting_cap ? 2 * f->waiting_cap : 8;
        struct cw_range *more = realloc(f->waiting, (size_t)cap * sizeof *more);
        if (!more) {
            f->failed = true;
            return;
        }
        f->waiting = more;
        f->waiting_cap = cap;
    }
    f->waiting[f->waiting_count] = (struct cw_range){lo, hi, tag};
    sift_up(f, f->waiting_count++);
    came(f, hi - lo);
}

/* The first `items` of the lowest range. */
static bool take(struct cw_fleet *f, int64_t items, struct cw_range *range) {
    if (f->left == 0 || items <= 0)
        return false;
    struct cw_range *first = &f->waiting[0];
    *range = *first;
    if (range->hi - range->lo > items)
        range->hi = range->lo + items;
    f->left -= range->hi - range->lo;
    first->lo = range->hi;
    if (first->lo == first->hi)
        remove_range(f, 0);
    return true;
}

/* ---- what comes in ---- */

static void at_time(struct cw_fleet *f, int64_t now) {
    f->now = now > f->now ? now : f->now;
}

static void look_at(struct cw_fleet *f, int node) {
    f->changed = f->changed == NOBODY || f->changed == node ? node : EVERYBODY;
}

void cw_fleet_add(struct cw_fleet *f, int64_t lo, int64_t hi, int tag, int64_t now) {
    at_time(f, now);
    /* A stream is pulled item by item: these are to be leased together. */
    for (int i = 0; i < f->waiting_count; i++)
        if (f->waiting[i].hi == lo && f->waiting[i].tag == tag && hi <= f->stop) {
            f->waiting[i].hi = hi;
            came(f, hi - lo);
            return;
        }
    put(f, lo, hi, tag);
}

void cw_fleet_close(struct cw_fleet *f, int64_t now) {
    at_time(f, now);
    f->closed = true;
}

void cw_fleet_stop(struct cw_fleet *f, int64_t end, int64_t now) {
    at_time(f, now);
    if (end >= f->stop)
        return;
    f->stop = end;
    int kept = 0;
    for (int i = 0; i < f->waiting_count; i++) {
        struct cw_range r = f->waiting[i];
        int64_t from = r.lo > end ? r.lo : end;
        if (from < r.hi) {
            act(f, (struct cw_fleet_action){CW_FLEET_DROP, 0, 0, r.tag, from, r.hi});
            f->left -= r.hi - from;
            r.hi = from;
        }
        if (r.lo < r.hi)
            f->waiting[kept++] = r;
    }
    f->waiting_count = kept;
    for (int i = kept / 2 - 1; i >= 0; i--)
        sift_down(f, i);
    for (int node = 1; node < f->count; node++)
        for (int slot = 0; slot < f->all.slots; slot++)
            if (lease_of(f, node, slot)->left > 0 && lease_of(f, node, slot)->hi > end) {
                act(f, (struct cw_fleet_action){CW_FLEET_STOP, node, 0, 0, end, end});
                break;
            }
}

void cw_fleet_ready(struct cw_fleet *f, int node, int workers, double trip_ns, int64_t now) {
    at_time(f, now);
    cw_fleet_node_ready(&f->all, &f->nodes[node], node == 0, workers, trip_ns, now);
    look_at(f, node);
}

void cw_fleet_lost(struct cw_fleet *f, int node, int64_t now) {
    at_time(f, now);
    assert(node > 0);
    if (f->nodes[node].workers == 0)
        return;
    cw_fleet_node_lost(&f->all, &f->nodes[node]);
    for (int slot = 0; slot < f->all.slots; slot++) {
        struct cw_lease l = *lease_of(f, node, slot);
        *lease_of(f, node, slot) = (struct cw_lease){0};
        if (l.left == 0)
            continue;
        for (int64_t lo = l.lo, hi = l.hi; lo < l.hi; lo = hi, hi = l.hi) {
            if (f->gap && !f->gap(f->marks, lo, l.hi, &lo, &hi))
                break;
            put(f, lo, hi, l.tag);
        }
    }
    f->changed = EVERYBODY;
}

bool cw_fleet_done(struct cw_fleet *f, int node, int slot, int64_t items, int64_t now) {
    at_time(f, now);
    struct cw_lease *l = lease_of(f, node, slot);
    assert(items <= l->left);
    l->left -= items;
    bool over = items > 0 && l->left == 0;
    cw_lease_done(&f->all, &f->nodes[node], items, over, now);
    look_at(f, node);
    return over;
}

/* No lease of it has anything that may not have been begun. */
static bool all_bare(struct cw_fleet *f, int node) {
    for (int slot = 0; slot < f->all.slots; slot++)
        if (lease_of(f, node, slot)->left > 0 && !lease_of(f, node, slot)->bare)
            return false;
    return true;
}

bool cw_fleet_returned(struct cw_fleet *f, int node, int slot, int64_t lo, int64_t now) {
    at_time(f, now);
    struct cw_lease *l = lease_of(f, node, slot);
    assert(l->asked);
    l->asked = false;
    int64_t items = 0;
    if (l->left > 0) {
        assert(lo >= l->asked_lo && lo <= l->hi && l->hi - lo <= l->left);
        items = l->hi - lo;
        l->bare = lo > l->asked_lo;
        put(f, lo, l->hi, l->tag);
        l->hi = lo;
        l->left -= items;
    }
    bool over = items > 0 && l->left == 0;
    cw_lease_returned(&f->all, &f->nodes[node], items, over, all_bare(f, node));
    look_at(f, node);
    return over;
}

/* ---- home, and the parent ---- */

bool cw_fleet_take(struct cw_fleet *f, int64_t items, int64_t now, struct cw_range *range) {
    at_time(f, now);
    if (!take(f, items, range))
        return false;
    f->home += range->hi - range->lo;
    return true;
}

void cw_fleet_home_done(struct cw_fleet *f, int64_t items, int64_t now) {
    at_time(f, now);
    assert(items <= f->home);
    f->home -= items;
    cw_lease_home(&f->all, &f->nodes[0], items, now);
}

void cw_fleet_home_idle(struct cw_fleet *f, int workers, int64_t now) {
    at_time(f, now);
    f->home_idle = workers;
    if (workers > 0)
        look_at(f, 0);
}

int64_t cw_fleet_surrender(struct cw_fleet *f, int tag, int64_t lo, int64_t hi, int64_t now) {
    at_time(f, now);
    for (int i = 0; i < f->waiting_count; i++) {
        struct cw_range *r = &f->waiting[i];
        if (r->tag != tag || r->hi != hi)
            continue;
        int64_t end = r->lo > lo ? r->lo : lo;
        f->left -= hi - end;
        r->hi = end;
        if (r->lo == end)
            remove_range(f, i);
        return end;
    }
    return hi;
}

/* ---- what goes out ---- */

/* One more lease for it, if that is right. */
static bool serve(struct cw_fleet *f, int node) {
    struct cw_fleet_node *n = &f->nodes[node];
    struct cw_range r;
    int slot = 0;
    while (slot < f->all.slots && (lease_of(f, node, slot)->left || lease_of(f, node, slot)->asked))
        slot++;
    if (slot == f->all.slots)
        return false;
    if (!take(f, cw_lease_size(&f->all, &f->nodes[0], n, f->left, f->now), &r)) {
        /* Nobody will report for who is idle. */
        int64_t again = cw_lease_again(&f->nodes[0], n, f->now);
        if (f->left > 0 && again < f->ask_again)
            f->ask_again = again;
        return false;
    }
    struct cw_lease *l = lease_of(f, node, slot);
    *l = (struct cw_lease){
        .lo = r.lo, .hi = r.hi, .left = r.hi - r.lo, .tag = r.tag, .turn = ++f->turns};
    cw_lease_given(&f->all, n, l->left, f->now);
    act(f, (struct cw_fleet_action){CW_FLEET_LEASE, node, slot, r.tag, r.lo, r.hi});
    return true;
}

/* One for each before anybody has a second. */
static void serve_all(struct cw_fleet *f) {
    int nodes = f->count - 1;
    for (bool any = true; any && f->left > 0;) {
        any = false;
        for (int i = 0; i < nodes && f->left > 0; i++)
            any |= serve(f, 1 + (f->start + i) % nodes);
    }
    f->start = nodes > 0 ? (f->start + 1) % nodes : 0;
}

static void ask(struct cw_fleet *f, const struct cw_lease_split *split) {
    struct cw_lease *newest = NULL;
    int at = 0;
    for (int slot = 0; slot < f->all.slots; slot++) {
        struct cw_lease *l = lease_of(f, split->node, slot);
        if (l->left > 0 && !l->asked && !l->bare && (!newest || l->turn > newest->turn)) {
            newest = l;
            at = slot;
        }
    }
    if (!newest)
        return;
    int64_t items = split->items < newest->left ? split->items : newest->left;
    newest->asked = true;
    newest->asked_lo = newest->hi - items;
    act(f, (struct cw_fleet_action){CW_FLEET_ASK, split->node, at, newest->tag, newest->asked_lo,
                                    newest->hi});
}

static void plan(struct cw_fleet *f) {
    if (f->home_called) {
        /* They need no message: first. The rest is planned when they have taken. */
        f->home_called = false;
        act(f, (struct cw_fleet_action){.what = CW_FLEET_HOME});
        return;
    }
    int changed = f->changed;
    f->changed = NOBODY;
    if (changed == NOBODY)
        return;
    if (changed == EVERYBODY)
        serve_all(f);
    while (changed > 0 && serve(f, changed))
        ;
    struct cw_lease_split split;
    while (f->left == 0 && cw_lease_split(&f->all, f->nodes, f->count, f->home_idle, &split))
        ask(f, &split);
}

bool cw_fleet_next(struct cw_fleet *f, struct cw_fleet_action *action) {
    if (f->actions_count == 0)
        plan(f);
    if (f->actions_count == 0 && f->closed && !f->finished && f->left + f->home == 0 &&
        f->all.items == 0) {
        f->finished = true;
        act(f, (struct cw_fleet_action){.what = CW_FLEET_FINISH});
    }
    if (f->actions_count == 0 || f->failed)
        return false;
    *action = f->actions[f->actions_at++ & (f->actions_cap - 1)];
    f->actions_count--;
    return true;
}

int64_t cw_fleet_wake_at(const struct cw_fleet *f) {
    return f->ask_again;
}

void cw_fleet_time(struct cw_fleet *f, int64_t now) {
    at_time(f, now);
    if (now >= f->ask_again) {
        f->ask_again = INT64_MAX;
        f->changed = EVERYBODY;
    }
}
