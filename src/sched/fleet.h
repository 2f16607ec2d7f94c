/* sched/fleet.h - leases: which node of a fleet runs which part of a map. Pure: no
 * clock, no messages, no threads; times come from the caller, in ns of one clock.
 *
 * A node is a team of workers behind an agent. Node 0 is home: the map's cursor lies
 * there and its own workers claim from it without messages. Other nodes get leases,
 * ranges of the map, a few at a time so that the next one lies there before the last
 * is done. They report what they have finished, when a lease is over and now and then
 * before (cw_fleet_report_ns).
 *
 * Two interfaces lie on each other:
 *
 *   the policy    answers "how many items next, for this node" and "who is to give some
 *                 back, and how many". It keeps sums and no ranges. For a home agent,
 *                 which claims from the board and lets the marks there be the truth.
 *   the machine   (struct cw_fleet, below) keeps the ranges too: events in, actions
 *                 out. It asks the policy for every number. Simulated runs and inner
 *                 nodes of a tree, whose work comes in ranges, are machines.
 *
 * How much a lease is:
 *
 * - Nothing is known: one item for each worker, and as many again beforehand.
 * - A lease is to last a quarter of what the whole map still needs by what all nodes
 *   are seen to do, and at most CW_LEASE_MOST_NS; so leases shrink towards the end.
 *   A node has at most about two of them, one that it works on and the next, and never
 *   more than its share of what is left.
 * - It lasts no less than what makes messages matter: two round trips, and so long that
 *   the home agent can serve all nodes in half of that time.
 * - A measurement is trusted so far only: a lease is at most CW_LEASE_GROWTH times what
 *   the node's workers have finished, or what all have finished together. What is dear
 *   at the beginning is so found out in small pieces.
 * - What home's workers will have claimed before a node could answer is not leased.
 * - When nothing is left and some node has idle workers, the node that needs longest
 *   for what it has not begun is asked to give back a part, so that both end together.
 *
 * What a node "is seen to do" is what it reports by the clock of home, between reports
 * while it had work. Transfers and latency are part of it, as they should be: it is what
 * a lease to that node brings.
 *
 * Calls are not synchronised: one thread, or a lock. */
#ifndef CW_SCHED_FLEET_H
#define CW_SCHED_FLEET_H

#include <stdbool.h>
#include <stdint.h>

enum {
    /* Leases a node may have at once, by default: it has two, and a long item holds open
     * each that it is in. More for nodes that are leaders of others: more long items. */
    CW_LEASE_SLOTS = 4,
    CW_LEASE_SLOTS_INNER = 16,
    CW_LEASE_MOST_NS = 25000000, /* no lease is to last longer */
    CW_LEASE_GROWTH = 4,
    CW_FLEET_MESSAGE_NS = 600 /* what a message costs who sends it and who gets it */
};

/* ---- the policy ---------------------------------------------------------- */

/* A node, as home knows it. Zeros: not ready. The caller reads; the functions write. */
struct cw_fleet_node {
    int workers;                /* 0: not ready, or lost */
    int leases;                 /* it has */
    int64_t items;              /* of those, not reported finished */
    int64_t done;               /* reported finished */
    double trip_ns;             /* there and back, without work */
    double speed;               /* items it finishes in a ns; 0: not known */
    double seen_items, seen_ns; /* what the speed comes from: lately */
    int64_t since;              /* from here on the next report counts */
    bool asked;                 /* to give something back; no answer yet */
    bool bare;                  /* it has given back all it could of what it has */
};

/* Sums over all nodes of a map, home included. */
struct cw_fleet_sums {
    int slots; /* leases a node may have */
    double message_ns;
    int nodes;       /* ready, home not counted */
    int64_t workers; /* of all that are ready */
    int64_t known;   /* workers of nodes whose speed is known */
    double speed;    /* of those together */
    int64_t items;   /* leased and not reported finished */
    int64_t idle;    /* workers of nodes, home not counted, beyond the items these have */
    int64_t done;
};

/* slots and message_ns: 0: as above. */
void cw_fleet_sums_init(struct cw_fleet_sums *all, int slots, double message_ns);

/* A node is ready: workers > 0 (home: >= 0). Not called again before it was lost. trip_ns:
 * as agents answer, not only the wire: one that polls every ms has a trip of a ms. */
void cw_fleet_node_ready(struct cw_fleet_sums *all, struct cw_fleet_node *node, bool home,
                         int workers, double trip_ns, int64_t now);
/* It is lost: leaves the sums, if it was in them. What it had not finished is for the caller to
 * give out again; how much that is, is returned. */
int64_t cw_fleet_node_lost(struct cw_fleet_sums *all, struct cw_fleet_node *node);
/* Workers were added or have died for good: as it goes on. */
void cw_fleet_node_workers(struct cw_fleet_sums *all, struct cw_fleet_node *node, bool home,
                           int workers);

/* How many items the node's next lease has, when `left` wait at the cursor (together
 * with ranges that came back). 0: none now. Never more than left. Asked again after
 * each report of that node; after work came back, for all nodes; and until it is 0,
 * since a node may need two. `home` is node 0.
 *
 * A node without any lease gets 0 only while home's workers move so fast that they will
 * have claimed all first. A node with idle workers gets an item for each once home has stood
 * still for as long as an item takes there: what home's workers are at may never end before
 * what waits for them has begun. So whoever got 0 and has idle workers asks again at
 * cw_lease_again. */
int64_t cw_lease_size(const struct cw_fleet_sums *all, const struct cw_fleet_node *home,
                      const struct cw_fleet_node *node, int64_t left, int64_t now);
/* INT64_MAX: its reports are soon enough. */
int64_t cw_lease_again(const struct cw_fleet_node *home, const struct cw_fleet_node *node,
                       int64_t now);

/* It was given a lease of so many. */
void cw_lease_given(struct cw_fleet_sums *all, struct cw_fleet_node *node, int64_t items,
                    int64_t now);
/* It reports items more as finished (with whatever outcome; never more than it has), and
 * that so many of its leases are over by it. Several messages that came together are best
 * one report. */
void cw_lease_done(struct cw_fleet_sums *all, struct cw_fleet_node *node, int64_t items, int leases,
                   int64_t now);
/* Home's own workers have finished (or claimed: the same, but for the last moment) items
 * more. Called when it is convenient, best before a size is asked for. */
void cw_lease_home(struct cw_fleet_sums *all, struct cw_fleet_node *home, int64_t items,
                   int64_t now);

/* Which node is to give back how much of what it has not begun. */
struct cw_lease_split {
    int node; /* number in nodes[] */
    int64_t items;
};

/* True: ask that one (and it counts as asked). To be called when nothing is left at the
 * cursor and some node, or home, may have idle workers; until it is false. idle: home's
 * workers that have nothing to do. A walk over all nodes. */
bool cw_lease_split(const struct cw_fleet_sums *all, struct cw_fleet_node *nodes, int count,
                    int idle, struct cw_lease_split *split);
/* Its answer: items that it gave back, and how many leases are over by that (it gave the
 * whole of what was left of them). less: it had not as many as it was asked for; it is
 * asked again only after another lease. What came back is "left" from now on. */
void cw_lease_returned(struct cw_fleet_sums *all, struct cw_fleet_node *node, int64_t items,
                       int leases, bool less);

/* How often a node that works reports what it has finished, if anything, without being
 * at the end of a lease: so that home learns of idle workers, and messages cost little. */
int64_t cw_fleet_report_ns(const struct cw_fleet_sums *all);

/* ---- the machine --------------------------------------------------------- */

/* Events change the state; then cw_fleet_next gives what is to be done, one action after
 * the other, until there is none. `now` never falls.
 *
 *   init ──add──> ready, done, returned, lost, home …  ──close and all finished──> FINISH
 *
 * Ranges have a tag, a number of the caller's that goes with every part of them: an inner
 * node of a tree gives each lease of its parent a tag of its own. Parts of the map are
 * leased from the lowest index on.
 *
 * Invariant: each item that was added is in exactly one of: waiting, one lease, home,
 * finished, dropped, surrendered. */

enum cw_fleet_do {
    CW_FLEET_LEASE, /* send [lo, hi) to the node, as its lease `slot` */
    CW_FLEET_ASK,   /* ask the node for what it has not begun of [lo, hi), the end of its lease
                     * `slot`; it answers with where the lease ends now, always */
    CW_FLEET_STOP,  /* tell the node to begin nothing from lo on; what it therefore does not
                     * run counts as finished */
    CW_FLEET_HOME,  /* something is waiting again: home's idle workers may take it */
    CW_FLEET_DROP,  /* [lo, hi) is not run any more: it was waiting, and lies behind the stop */
    CW_FLEET_FINISH /* all is finished or dropped; comes once */
};

struct cw_fleet_action {
    enum cw_fleet_do what;
    int node, slot, tag;
    int64_t lo, hi;
};

struct cw_range {
    int64_t lo, hi;
    int tag;
};

struct cw_lease {
    int64_t lo, hi;
    int64_t left;     /* of these not finished; 0 and nothing asked: the slot is free */
    int64_t asked_lo; /* where the end that was asked for began */
    uint64_t turn;    /* of a node's leases the one with the highest is the newest */
    int tag;
    bool asked; /* an answer is due */
    bool bare;  /* all that it had not begun was given back */
};

/* What of [from, to) is not known to be finished: the first such run, or false. Asked
 * when a node was lost (the marks, on the board). */
typedef bool cw_fleet_gap(void *marks, int64_t from, int64_t to, int64_t *lo, int64_t *hi);

struct cw_fleet {
    struct cw_fleet_sums all;
    int count;                   /* of nodes, home included */
    struct cw_fleet_node *nodes; /* [count]; 0 is home */
    struct cw_lease *leases;     /* [count][all.slots] */
    struct cw_range *waiting;    /* a heap: the lowest first */
    int waiting_count, waiting_cap;
    struct cw_fleet_action *actions;                 /* a ring */
    unsigned actions_at, actions_count, actions_cap; /* cap: a power of two */
    cw_fleet_gap *gap;
    void *marks;
    int64_t left; /* in `waiting` */
    int64_t home; /* taken by home's workers, not finished */
    int home_idle;
    int64_t stop;           /* what lies from here on is not started any more */
    int64_t now, ask_again; /* INT64_MAX: no need */
    uint64_t turns;
    int start;   /* at which node a walk begins: in turn */
    int changed; /* a node that is to be looked at, or none, or all */
    bool closed, finished, home_called, failed;
};

/* nodes: as many as there may ever be, home included. False: no memory; so may a later
 * event, after which cw_fleet_next gives nothing and `failed` is set. */
bool cw_fleet_init(struct cw_fleet *f, int nodes, int slots, double message_ns);
void cw_fleet_free(struct cw_fleet *f);
/* Without it all of a lost node's leases is given out again. */
void cw_fleet_know(struct cw_fleet *f, cw_fleet_gap *gap, void *marks);

/* [lo, hi) may be started: the map, what a stream has pulled, a lease of the parent. */
void cw_fleet_add(struct cw_fleet *f, int64_t lo, int64_t hi, int tag, int64_t now);
/* Nothing is added any more. */
void cw_fleet_close(struct cw_fleet *f, int64_t now);
/* Nothing from `end` on is begun any more. Only falls. */
void cw_fleet_stop(struct cw_fleet *f, int64_t end, int64_t now);

/* node 0 too, if home has workers. A node that was lost may come again. */
void cw_fleet_ready(struct cw_fleet *f, int node, int workers, double trip_ns, int64_t now);
/* Nothing of what it sent may be handed in after this. */
void cw_fleet_lost(struct cw_fleet *f, int node, int64_t now);
/* items more of the lease have been finished. True: the lease is over, and an action may
 * use the slot again. */
bool cw_fleet_done(struct cw_fleet *f, int node, int slot, int64_t items, int64_t now);
/* The answer to ASK: the lease ends at `lo` now (its old end: nothing is given back; as
 * for a lease that was over when the question came). True: the lease is over. */
bool cw_fleet_returned(struct cw_fleet *f, int node, int slot, int64_t lo, int64_t now);

/* Home's workers: at most `items` of the first waiting range; false: none. What was taken
 * is reported as finished later. */
bool cw_fleet_take(struct cw_fleet *f, int64_t items, int64_t now, struct cw_range *range);
void cw_fleet_home_done(struct cw_fleet *f, int64_t items, int64_t now);
/* So many of them found nothing to take and wait. */
void cw_fleet_home_idle(struct cw_fleet *f, int idle, int64_t now);

/* An inner node was asked by its parent for [lo, hi), the end of what it got with this
 * tag: where its part ends from now on (hi: it can give nothing). */
int64_t cw_fleet_surrender(struct cw_fleet *f, int tag, int64_t lo, int64_t hi, int64_t now);

/* When time itself is an event: cw_fleet_time is to be called then. INT64_MAX: never. */
int64_t cw_fleet_wake_at(const struct cw_fleet *f);
void cw_fleet_time(struct cw_fleet *f, int64_t now);

bool cw_fleet_next(struct cw_fleet *f, struct cw_fleet_action *action);

#endif
