/* sched/fleet.h - leases: which node of a fleet runs which part of a map. Pure: no
 * clock, no messages, no threads; times come from the caller, in ns of one clock.
 *
 * A node is a team of workers behind an agent. Node 0 is home: the map's cursor lies
 * there and its own workers claim from it without messages. Other nodes get leases,
 * ranges of the map, a few at a time so that the next one lies there before the last
 * is done. They report what they have finished, when a lease is over and now and then
 * before (cw_fleet_report_ns).
 *
 * This is policy alone: how many items the next lease of a node has, and who is to give some
 * back, and how many. It keeps sums and no ranges. It is for who claims from a board and lets
 * the marks there be the truth (api/home.h).
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
     * each that it is in. */
    CW_LEASE_SLOTS = 4,
    CW_LEASE_MOST_NS = 25000000, /* no lease is to last longer */
    CW_LEASE_GROWTH = 4,
    CW_FLEET_MESSAGE_NS = 600 /* what a message costs who sends it and who gets it */
};

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

#endif
