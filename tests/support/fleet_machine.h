/* tests/support/fleet_machine.h - a home that keeps the ranges, too: events in, actions out.
 * Every number in it is the policy's (sched/fleet.h), which it is there to try: under scripts
 * (unit/fleet_machine_test.c) and under virtual time (fleetsim.h). The library claims from a
 * board instead, where the marks are the truth (api/home_out.c).
 *
 * Events change the state; then cw_fleet_next gives what is to be done, one action after
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
#ifndef FLEET_MACHINE_H
#define FLEET_MACHINE_H

#include "sched/fleet.h"

/* For nodes that are leaders of others: more long items hold leases open there. */
enum { CW_LEASE_SLOTS_INNER = 16 };

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
