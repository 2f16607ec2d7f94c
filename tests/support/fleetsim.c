/* A fleet in virtual time: see fleetsim.h. */
#include "support/fleetsim_parts.h"

#include "sched/chunk.h"
#include "support/fleet_machine.h"

#include <crew/pool.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 16 }; /* at most */

enum kind { WORKER, DELIVER, HANDLE, REPORT, TICK, LOSE, NOTICE, BACK };

struct run {
    int64_t lo, hi;
    int slot;
    bool dropped;
};

enum word { W_LEASE, W_ASK, W_STOP, W_REPORT, W_ANSWER };

struct message {
    enum word word;
    int from, to, slot;
    uint32_t life; /* of the lower of the two nodes */
    int64_t lo, hi;
    int64_t news[SLOTS];
    struct run *runs;
    int runs_count;
    int next_free;
};

struct lease {
    int64_t lo, hi, next; /* next: the first that nobody has claimed */
    int64_t left, news;   /* not finished; finished and not reported */
    uint64_t turn;
};

struct worker {
    int64_t lo, hi, done_at; /* done_at: -1: idle, and in the list */
    int tag, next_idle;
    uint64_t turn; /* of the lease that `seen` is about */
    struct cw_chunk_seen seen;
    int64_t began;
};

struct node {
    int parent, child; /* child: its number with its parent's machine */
    int first_child, children;
    int workers, workers_at, below; /* below: workers of the whole subtree */
    double slow;
    bool dead, cut;
    int64_t heal_at;
    uint32_t life, known; /* known: to its leader; 0: as none */
    int64_t agent_free, agent_busy;
    double debt;
    struct cw_fleet *fleet; /* leaders */
    unsigned char *marks;   /* leaders, if there are any: 0, 1 finished, 2 dropped */
    struct lease leases[SLOTS];
    uint64_t turns;
    int idle, first_idle;
    bool report_due;
    int64_t reported, tick_at, stop;
    struct run *runs;
    int runs_count, runs_cap;
};

struct sim {
    const struct fleetsim *how;
    struct fleetsim_result *result;
    struct node *nodes;
    struct worker *workers;
    struct fleetsim_events events;
    struct message *messages;
    int messages_count, messages_cap, free_message;
    int64_t now, finished_at;
    int64_t added, finished, prefix;
    bool stopped;
    int slots;
};

static void event(struct sim *s, int64_t at, enum kind kind, int arg) {
    fleetsim_at(&s->events, at, (int)kind, arg);
}

static void wrong(struct sim *s, const char *fmt, ...) {
    if (s->result->wrong[0])
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(s->result->wrong, sizeof s->result->wrong, fmt, args);
    va_end(args);
}

/* ---- messages ---- */

static int message(struct sim *s, enum word word, int from, int to) {
    int at = s->free_message;
    if (at >= 0) {
        s->free_message = s->messages[at].next_free;
    } else {
        if (s->messages_count == s->messages_cap) {
            s->messages_cap = s->messages_cap ? 2 * s->messages_cap : 256;
            s->messages = fleetsim_room(s->messages, (size_t)s->messages_cap * sizeof *s->messages);
        }
        at = s->messages_count++;
    }
    int low = s->nodes[to].parent == from ? to : from;
    s->messages[at] = (struct message){.word = word, .from = from, .to = to};
    s->messages[at].life = low == to ? s->nodes[to].known : s->nodes[from].life;
    return at;
}

static void forget(struct sim *s, int at) {
    free(s->messages[at].runs);
    s->messages[at].runs = NULL;
    s->messages[at].next_free = s->free_message;
    s->free_message = at;
}

/* An agent is at a message for so long, after what it is at already. */
static int64_t agent(struct sim *s, struct node *n) {
    int64_t from = n->agent_free > s->now ? n->agent_free : s->now;
    n->agent_free = from + (int64_t)s->how->message_ns;
    n->agent_busy += (int64_t)s->how->message_ns;
    n->debt += s->how->message_ns;
    return n->agent_free;
}

static void post(struct sim *s, int at) {
    struct message *m = &s->messages[at];
    struct node *from = &s->nodes[m->from];
    s->result->messages++;
    int64_t arrives = agent(s, from) + (int64_t)s->how->latency_ns;
    if (from->cut && arrives < from->heal_at)
        arrives = from->heal_at;
    event(s, arrives, DELIVER, at);
}

static void deliver(struct sim *s, int at) {
    struct node *to = &s->nodes[s->messages[at].to];
    if (to->dead || to->cut)
        forget(s, at);
    else
        event(s, agent(s, to), HANDLE, at);
}

/* ---- what is finished ---- */

static void pump(struct sim *s, int node);

static void send_report(struct sim *s, int node) {
    struct node *n = &s->nodes[node];
    int at = -1;
    for (int slot = 0; slot < s->slots; slot++) {
        if (n->leases[slot].news == 0)
            continue;
        if (at < 0)
            at = message(s, W_REPORT, node, n->parent);
        s->messages[at].news[slot] = n->leases[slot].news;
        n->leases[slot].news = 0;
    }
    if (at < 0)
        return;
    s->messages[at].runs = n->runs;
    s->messages[at].runs_count = n->runs_count;
    n->runs = NULL;
    n->runs_count = n->runs_cap = 0;
    n->reported = s->now;
    post(s, at);
}

static void pull(struct sim *s) { /* a stream's input, as far as its window lets it */
    struct cw_fleet *f = s->nodes[0].fleet;
    const struct fleetsim *how = s->how;
    while (how->marks && s->prefix < how->count && s->nodes[0].marks[s->prefix])
        s->prefix++;
    int64_t end = how->window ? (how->ordered ? s->prefix : s->finished) + how->window : how->count;
    end = end < how->count ? end : how->count;
    if (end > s->added)
        cw_fleet_add(f, s->added, end, 0, s->now);
    s->added = end > s->added ? end : s->added;
    if (s->added == how->count)
        cw_fleet_close(f, s->now);
}

static void at_home(struct sim *s, int64_t lo, int64_t hi) {
    s->finished += hi - lo;
    pull(s);
    if (s->how->stop_when >= lo && s->how->stop_when < hi && !s->stopped) {
        s->stopped = true;
        s->nodes[0].stop = s->how->stop_at;
        cw_fleet_stop(s->nodes[0].fleet, s->how->stop_at, s->now);
    }
}

/* [lo, hi) of its lease, or of the map at home. */
static void finished(struct sim *s, int node, int slot, int64_t lo, int64_t hi, bool dropped) {
    struct node *n = &s->nodes[node];
    for (int64_t i = lo; n->marks && i < hi; i++) {
        if (n->marks[i])
            wrong(s, "item %lld was finished twice", (long long)i);
        n->marks[i] = dropped ? 2 : 1;
    }
    if (node == 0) {
        at_home(s, lo, hi);
        return;
    }
    struct lease *l = &n->leases[slot];
    l->news += hi - lo;
    l->left -= hi - lo;
    if (l->left < 0)
        wrong(s, "node %d has finished more than its lease", node);
    if (s->how->marks) {
        if (n->runs_count == n->runs_cap) {
            n->runs_cap = n->runs_cap ? 2 * n->runs_cap : 8;
            n->runs = fleetsim_room(n->runs, (size_t)n->runs_cap * sizeof *n->runs);
        }
        n->runs[n->runs_count++] = (struct run){lo, hi, slot, dropped};
    }
    if (l->left == 0) {
        send_report(s, node);
    } else if (!n->report_due) {
        int64_t at = n->reported + cw_fleet_report_ns(&s->nodes[n->parent].fleet->all);
        n->report_due = true;
        event(s, at > s->now ? at : s->now, REPORT, node);
    }
}

/* ---- workers: what the board does ---- */

static bool claim_of_lease(struct sim *s, struct node *n, struct worker *w) {
    struct lease *first = NULL;
    for (int slot = 0; slot < s->slots; slot++) {
        struct lease *l = &n->leases[slot];
        if (l->next < l->hi && (!first || l->turn < first->turn))
            first = l;
    }
    if (!first)
        return false;
    if (w->turn != first->turn) /* each lease is a map of its own to a member */
        w->seen = (struct cw_chunk_seen){0};
    w->turn = first->turn;
    const struct cw_chunk_rule rule = {CREW_SCHED_AUTO, 0, first->hi - first->lo, n->workers};
    int64_t left = first->hi - first->next;
    int64_t size = cw_chunk_size(&rule, left, &w->seen);
    w->lo = first->next;
    w->hi = first->next += size < left ? size : left;
    w->tag = (int)(first - n->leases);
    return true;
}

static bool claim_of_fleet(struct sim *s, struct node *n, struct worker *w) {
    struct cw_fleet *f = n->fleet;
    const struct cw_chunk_rule rule = {CREW_SCHED_AUTO, 0, s->how->count, f->all.workers};
    struct cw_range r;
    if (!cw_fleet_take(f, cw_chunk_size(&rule, f->left, &w->seen), s->now, &r))
        return false;
    w->lo = r.lo;
    w->hi = r.hi;
    w->tag = r.tag;
    return true;
}

/* The worker takes what there is; false: nothing, and it is idle. */
static bool claim(struct sim *s, int node, int worker) {
    struct node *n = &s->nodes[node];
    struct worker *w = &s->workers[worker];
    if (!(n->fleet ? claim_of_fleet(s, n, w) : claim_of_lease(s, n, w))) {
        w->done_at = -1;
        w->next_idle = n->first_idle;
        n->first_idle = worker;
        n->idle++;
        return false;
    }
    if (w->lo >= n->stop)
        wrong(s, "node %d begins item %lld, which lies behind the stop", node, (long long)w->lo);
    double ns = s->how->claim_ns + n->slow * fleetsim_range_ns(s->how, w->lo, w->hi) + n->debt;
    n->debt = 0;
    s->result->executed += w->hi - w->lo;
    w->began = s->now;
    w->done_at = s->now + (int64_t)ns + 1;
    event(s, w->done_at, WORKER, worker);
    return true;
}

static void wake(struct sim *s, int node) {
    struct node *n = &s->nodes[node];
    while (n->idle > 0) {
        int worker = n->first_idle;
        n->first_idle = s->workers[worker].next_idle;
        n->idle--;
        if (!claim(s, node, worker))
            break;
    }
    if (n->fleet)
        cw_fleet_home_idle(n->fleet, n->idle, s->now);
}

static int node_of(const struct sim *s, int worker) {
    int lo = 0, hi = s->how->nodes - 1;
    if (!s->how->workers_of)
        return worker / s->how->workers;
    while (lo < hi) {
        int mid = (lo + hi + 1) / 2;
        if (s->nodes[mid].workers_at <= worker)
            lo = mid;
        else
            hi = mid - 1;
    }
    return lo;
}

static void worker_done(struct sim *s, int worker) {
    struct worker *w = &s->workers[worker];
    int node = node_of(s, worker);
    struct node *n = &s->nodes[node];
    if (n->dead || w->done_at != s->now)
        return; /* of a former life */
    int64_t lo = w->lo, hi = w->hi;
    w->seen = (struct cw_chunk_seen){hi - lo, s->now - w->began};
    if (n->fleet)
        cw_fleet_home_done(n->fleet, hi - lo, s->now);
    finished(s, node, w->tag, lo, hi, false);
    if (!claim(s, node, worker) && n->fleet)
        cw_fleet_home_idle(n->fleet, n->idle, s->now);
    if (n->fleet)
        pump(s, node);
}

/* ---- agents ---- */

static void act(struct sim *s, int node, const struct cw_fleet_action *a) {
    struct node *n = &s->nodes[node];
    int at, to = n->first_child + a->node - 1;
    switch (a->what) {
    case CW_FLEET_LEASE:
    case CW_FLEET_ASK:
    case CW_FLEET_STOP:
        s->result->leases += a->what == CW_FLEET_LEASE;
        s->result->asks += a->what == CW_FLEET_ASK;
        at = message(s,
                     a->what == CW_FLEET_LEASE ? W_LEASE
                     : a->what == CW_FLEET_ASK ? W_ASK
                                               : W_STOP,
                     node, to);
        s->messages[at].slot = a->slot;
        s->messages[at].lo = a->lo;
        s->messages[at].hi = a->hi;
        post(s, at);
        break;
    case CW_FLEET_HOME:
        wake(s, node);
        break;
    case CW_FLEET_DROP:
        finished(s, node, a->tag, a->lo, a->hi, true);
        break;
    case CW_FLEET_FINISH:
        if (s->finished_at >= 0)
            wrong(s, "it has finished twice");
        if (s->finished != s->how->count)
            wrong(s, "it has finished with %lld of %lld items", (long long)s->finished,
                  (long long)s->how->count);
        s->finished_at = s->now;
        break;
    }
}

static void pump(struct sim *s, int node) {
    struct node *n = &s->nodes[node];
    struct cw_fleet_action a;
    while (cw_fleet_next(n->fleet, &a))
        act(s, node, &a);
    int64_t at = cw_fleet_wake_at(n->fleet);
    if (at != INT64_MAX && at != n->tick_at) {
        n->tick_at = at;
        event(s, at, TICK, node);
    }
    int64_t in_flight = n->fleet->all.items + n->fleet->home;
    if (node == 0 && in_flight > s->result->in_flight)
        s->result->in_flight = in_flight;
}

static void stop_node(struct sim *s, int node, int64_t end) {
    struct node *n = &s->nodes[node];
    n->stop = end;
    if (n->fleet) {
        cw_fleet_stop(n->fleet, end, s->now);
        pump(s, node);
        return;
    }
    for (int slot = 0; slot < s->slots; slot++) {
        struct lease *l = &n->leases[slot];
        int64_t from = l->next > end ? l->next : end, hi = l->hi;
        if (from < hi) {
            l->hi = from;
            finished(s, node, slot, from, hi, true);
        }
    }
}

static void lease_node(struct sim *s, int node, const struct message *m) {
    struct node *n = &s->nodes[node];
    struct lease *l = &n->leases[m->slot];
    if (l->left || l->news)
        wrong(s, "node %d got a lease for a slot that is not free", node);
    *l = (struct lease){.lo = m->lo, .hi = m->hi, .next = m->lo, .left = m->hi - m->lo};
    l->turn = ++n->turns;
    if (n->fleet) {
        l->next = l->hi; /* the machine knows */
        cw_fleet_add(n->fleet, m->lo, m->hi, m->slot, s->now);
        wake(s, node);
        pump(s, node);
    } else {
        wake(s, node);
        if (m->hi > n->stop)
            stop_node(s, node, n->stop);
    }
}

static void ask_node(struct sim *s, int node, const struct message *m) {
    struct node *n = &s->nodes[node];
    struct lease *l = &n->leases[m->slot];
    int64_t end = m->hi;
    if (l->left > 0 && n->fleet) {
        end = cw_fleet_surrender(n->fleet, m->slot, m->lo, m->hi, s->now);
    } else if (l->left > 0 && l->hi == m->hi) { /* else the stop has cut it */
        end = l->next > m->lo ? l->next : m->lo;
        l->hi = end;
    }
    l->left -= m->hi - end;
    s->result->moved += m->hi - end;
    /* What is finished is told first: the slot may be another lease's after the answer. */
    if (l->left == 0)
        send_report(s, node);
    int at = message(s, W_ANSWER, node, n->parent);
    s->messages[at].slot = m->slot;
    s->messages[at].lo = end;
    post(s, at);
}

static void handle_up(struct sim *s, const struct message *m) {
    struct node *n = &s->nodes[m->to], *from = &s->nodes[m->from];
    if (m->life != from->known)
        return; /* it was lost meanwhile: what it says is not wanted */
    if (m->word == W_REPORT) {
        int tags[SLOTS];
        for (int slot = 0; slot < s->slots; slot++) {
            tags[slot] = n->fleet->leases[from->child * s->slots + slot].tag;
            if (m->news[slot])
                cw_fleet_done(n->fleet, from->child, slot, m->news[slot], s->now);
        }
        for (int i = 0; i < m->runs_count; i++) {
            const struct run *r = &m->runs[i];
            finished(s, m->to, tags[r->slot], r->lo, r->hi, r->dropped);
        }
        for (int slot = 0; slot < s->slots && !s->how->marks; slot++)
            if (m->news[slot])
                finished(s, m->to, tags[slot], 0, m->news[slot], false);
    } else {
        cw_fleet_returned(n->fleet, from->child, m->slot, m->lo, s->now);
    }
    pump(s, m->to);
}

static void handle(struct sim *s, int at) {
    struct message m = s->messages[at];
    struct node *to = &s->nodes[m.to];
    s->messages[at].runs = NULL;
    forget(s, at);
    if (!to->dead && !to->cut) {
        if (m.word == W_REPORT || m.word == W_ANSWER)
            handle_up(s, &m);
        else if (m.life != to->life)
            ; /* meant for its former life */
        else if (m.word == W_LEASE)
            lease_node(s, m.to, &m);
        else if (m.word == W_ASK)
            ask_node(s, m.to, &m);
        else
            stop_node(s, m.to, m.lo);
    }
    free(m.runs);
}

/* ---- losses ---- */

static void die(struct sim *s, int node) { /* and all below: they have lost their leader */
    s->nodes[node].dead = true;
    for (int i = 0; i < s->nodes[node].children; i++)
        die(s, s->nodes[node].first_child + i);
}

static void lose(struct sim *s, const struct fleetsim_loss *loss) {
    struct node *n = &s->nodes[loss->node];
    if (n->dead || n->cut)
        return;
    if (loss->partition) {
        n->cut = true;
        n->heal_at = s->now + loss->notice + 1000;
    } else {
        die(s, loss->node);
    }
}

static void notice(struct sim *s, const struct fleetsim_loss *loss) {
    struct node *n = &s->nodes[loss->node];
    if (s->nodes[n->parent].dead || n->known == 0)
        return;
    n->known = 0;
    cw_fleet_lost(s->nodes[n->parent].fleet, n->child, s->now);
    pump(s, n->parent);
}

static void all_idle(struct sim *s, struct node *n) {
    n->first_idle = -1;
    n->idle = n->workers;
    for (int i = 0; i < n->workers; i++) {
        struct worker *w = &s->workers[n->workers_at + i];
        *w = (struct worker){.done_at = -1, .next_idle = n->first_idle};
        n->first_idle = n->workers_at + i;
    }
}

static double trip_of(const struct sim *s) {
    return 2 * (s->how->latency_ns + 2 * s->how->message_ns);
}

static void ready(struct sim *s, int node) {
    struct node *n = &s->nodes[node];
    n->known = ++n->life;
    cw_fleet_ready(s->nodes[n->parent].fleet, n->child, n->below, trip_of(s), s->now);
}

static void back(struct sim *s, int node) {
    struct node *n = &s->nodes[node];
    if (s->nodes[n->parent].dead || n->known || n->fleet)
        return;
    n->dead = n->cut = n->report_due = false;
    memset(n->leases, 0, sizeof n->leases);
    n->runs_count = 0;
    n->stop = s->nodes[n->parent].fleet->stop;
    all_idle(s, n);
    ready(s, node);
    pump(s, n->parent);
}

/* ---- the run ---- */

static void step(struct sim *s, struct fleetsim_event e) {
    int node = (int)e.arg; /* or something else's number */
    switch ((enum kind)e.kind) {
    case WORKER:
        worker_done(s, (int)e.arg);
        break;
    case DELIVER:
        deliver(s, (int)e.arg);
        break;
    case HANDLE:
        handle(s, (int)e.arg);
        break;
    case REPORT:
        s->nodes[node].report_due = false;
        if (!s->nodes[node].dead)
            send_report(s, node);
        break;
    case TICK:
        if (!s->nodes[node].dead) {
            cw_fleet_time(s->nodes[node].fleet, s->now);
            pump(s, node);
        }
        break;
    case LOSE:
        lose(s, &s->how->losses[e.arg]);
        break;
    case NOTICE:
        notice(s, &s->how->losses[e.arg]);
        break;
    case BACK:
        back(s, s->how->losses[e.arg].node);
        break;
    }
}

static bool gap(void *marks, int64_t from, int64_t to, int64_t *lo, int64_t *hi) {
    const unsigned char *m = marks;
    while (from < to && m[from])
        from++;
    *lo = *hi = from;
    while (*hi < to && !m[*hi])
        ++*hi;
    return *lo < *hi;
}

static void set_up(struct sim *s) {
    const struct fleetsim *how = s->how;
    int fanout = how->fanout ? how->fanout : how->nodes, workers = 0;
    int usual = how->fanout ? CW_LEASE_SLOTS_INNER : CW_LEASE_SLOTS;
    s->slots = how->slots ? how->slots : usual;
    s->nodes = calloc((size_t)how->nodes, sizeof *s->nodes);
    for (int i = 0; i < how->nodes; i++) {
        struct node *n = &s->nodes[i];
        n->parent = i ? (i - 1) / fanout : -1;
        n->child = i ? (i - 1) % fanout + 1 : 0;
        n->first_child = i * fanout + 1;
        int after = how->nodes - n->first_child;
        n->children = after < 0 ? 0 : after < fanout ? after : fanout;
        n->workers = n->below = how->workers_of ? how->workers_of[i] : how->workers;
        n->workers_at = workers;
        n->slow = how->slowness ? how->slowness[i] : 1;
        n->tick_at = -1;
        n->stop = INT64_MAX;
        n->reported = INT64_MIN / 2;
        workers += n->workers;
    }
    s->workers = calloc((size_t)workers + 1, sizeof *s->workers);
    s->result->workers = workers;
    for (int i = how->nodes - 1; i > 0; i--)
        s->nodes[s->nodes[i].parent].below += s->nodes[i].below;
    for (int i = 0; i < how->nodes; i++) {
        struct node *n = &s->nodes[i];
        all_idle(s, n);
        if (n->children == 0 && i > 0)
            continue;
        n->fleet = calloc(1, sizeof *n->fleet);
        if (!cw_fleet_init(n->fleet, n->children + 1, s->slots, how->message_ns))
            abort();
        if (how->marks) {
            n->marks = calloc((size_t)how->count + 1, 1);
            cw_fleet_know(n->fleet, gap, n->marks);
        }
        cw_fleet_ready(n->fleet, 0, n->workers, 0, 0);
    }
    for (int i = 1; i < how->nodes; i++)
        ready(s, i);
    for (int i = 0; i < how->losses_count; i++) {
        const struct fleetsim_loss *l = &how->losses[i];
        event(s, l->at, LOSE, i);
        event(s, l->at + l->notice, NOTICE, i);
        if (l->back)
            event(s, l->at + l->notice + l->back, BACK, i);
    }
}

/* Nothing may be left anywhere that is still part of the fleet. */
static void check_leader(struct sim *s, int node) {
    struct cw_fleet *f = s->nodes[node].fleet;
    if (f->failed || f->left || f->home || f->all.items)
        wrong(s, "leader %d has left %lld, at home %lld, at nodes %lld", node, (long long)f->left,
              (long long)f->home, (long long)f->all.items);
    for (int i = 1; i < f->count; i++) {
        const struct node *n = &s->nodes[s->nodes[node].first_child + i - 1];
        if (f->nodes[i].items || f->nodes[i].leases)
            wrong(s, "node %d of leader %d still has %d leases", i, node, f->nodes[i].leases);
        for (int slot = 0; slot < s->slots; slot++)
            if (f->leases[i * s->slots + slot].left || f->leases[i * s->slots + slot].asked ||
                (n->known && !n->dead && !n->cut && (n->leases[slot].left || n->leases[slot].news)))
                wrong(s, "a lease of node %d of leader %d has leaked", i, node);
        if (n->fleet && n->known && !n->dead && !n->cut)
            check_leader(s, s->nodes[node].first_child + i - 1);
    }
}

static void check(struct sim *s) {
    const struct fleetsim *how = s->how;
    if (s->finished_at < 0)
        wrong(s, "it stands still: %lld of %lld items are finished", (long long)s->finished,
              (long long)how->count);
    if (s->finished != how->count)
        wrong(s, "%lld of %lld items are finished", (long long)s->finished, (long long)how->count);
    for (int64_t i = 0; how->marks && i < how->count; i++)
        if (s->nodes[0].marks[i] != 1 &&
            !(s->nodes[0].marks[i] == 2 && s->stopped && i >= how->stop_at))
            wrong(s, "item %lld: %d", (long long)i, s->nodes[0].marks[i]);
    if (how->window && s->result->in_flight > how->window)
        wrong(s, "%lld in flight in a window of %lld", (long long)s->result->in_flight,
              (long long)how->window);
    check_leader(s, 0);
}

static void sum_up(struct sim *s) {
    const struct fleetsim *how = s->how;
    struct fleetsim_result *r = s->result;
    double speed = 0, fastest = INFINITY;
    for (int i = 0; i < how->nodes; i++)
        if (s->nodes[i].workers) {
            speed += s->nodes[i].workers / s->nodes[i].slow;
            fastest = fmin(fastest, s->nodes[i].slow);
        }
    if (how->cost == FLEETSIM_CONSTANT) {
        r->work = how->mean_ns * (double)how->count;
        r->longest = how->mean_ns;
    }
    for (int64_t i = 0; how->cost != FLEETSIM_CONSTANT && i < how->count; i++) {
        double ns = fleetsim_cost_ns(how, i);
        r->work += ns;
        r->longest = fmax(r->longest, ns);
    }
    r->best = fmax(r->work / speed, r->longest * fastest);
    r->makespan = (double)s->finished_at;
    r->efficiency = r->best / r->makespan;
    r->home_agent = (double)s->nodes[0].agent_busy / r->makespan;
}

static void tear_down(struct sim *s) {
    for (int i = 0; i < s->how->nodes; i++) {
        if (s->nodes[i].fleet)
            cw_fleet_free(s->nodes[i].fleet);
        free(s->nodes[i].fleet);
        free(s->nodes[i].marks);
        free(s->nodes[i].runs);
    }
    for (int i = 0; i < s->messages_count; i++)
        free(s->messages[i].runs);
    free(s->messages);
    free(s->nodes);
    free(s->workers);
    free(s->events.heap);
}

bool fleetsim_run(const struct fleetsim *how, struct fleetsim_result *result) {
    *result = (struct fleetsim_result){0};
    struct sim s = {.how = how, .result = result, .free_message = -1, .finished_at = -1};
    set_up(&s);
    pull(&s);
    wake(&s, 0);
    pump(&s, 0);
    int64_t most = 200 * how->count + 100000;
    while (s.events.count > 0 && !result->wrong[0]) {
        struct fleetsim_event e = fleetsim_first(&s.events);
        s.now = e.at;
        step(&s, e);
        if (++result->events > most)
            wrong(&s, "%lld events for %lld items: it turns in circles", (long long)most,
                  (long long)how->count);
    }
    if (!result->wrong[0])
        check(&s);
    sum_up(&s);
    tear_down(&s);
    return !result->wrong[0];
}
