/* How much is leased to whom, and who gives back: see fleet.h. */
#include "sched/fleet.h"

#include <assert.h>

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* As many as x, rounded down, if that is not more than `limit`. As a real number:
 * whatever a clock that jumps has made of a speed, nothing overflows. */
static int64_t whole(double x, int64_t limit) {
    return x < (double)limit ? (int64_t)x : limit;
}

void cw_fleet_sums_init(struct cw_fleet_sums *all, int slots, double message_ns) {
    *all = (struct cw_fleet_sums){.slots = slots > 0 ? slots : CW_LEASE_SLOTS,
                                  .message_ns = message_ns > 0 ? message_ns : CW_FLEET_MESSAGE_NS};
}

/* ---- nodes ---- */

static void forget_speed(struct cw_fleet_sums *all, struct cw_fleet_node *node) {
    if (node->speed > 0) {
        all->known -= node->workers;
        all->speed = all->known > 0 ? all->speed - node->speed : 0;
    }
    node->speed = 0;
}

static void learn_speed(struct cw_fleet_sums *all, struct cw_fleet_node *node) {
    forget_speed(all, node);
    if (node->seen_items > 0 && node->workers > 0) {
        node->speed = node->seen_items / (node->seen_ns > 1 ? node->seen_ns : 1);
        all->known += node->workers;
        all->speed += node->speed;
    }
}

void cw_fleet_node_ready(struct cw_fleet_sums *all, struct cw_fleet_node *node, bool home,
                         int workers, double trip_ns, int64_t now) {
    *node = (struct cw_fleet_node){.workers = workers, .trip_ns = trip_ns, .since = now};
    all->workers += workers;
    all->nodes += !home;
}

int64_t cw_fleet_node_lost(struct cw_fleet_sums *all, struct cw_fleet_node *node) {
    int64_t items = node->items;
    forget_speed(all, node);
    all->items -= items;
    all->workers -= node->workers;
    all->nodes--;
    *node = (struct cw_fleet_node){.done = node->done};
    return items;
}

void cw_fleet_node_workers(struct cw_fleet_sums *all, struct cw_fleet_node *node, int workers) {
    double ratio = node->workers > 0 ? (double)workers / node->workers : 0;
    forget_speed(all, node);
    all->workers += workers - node->workers;
    node->workers = workers;
    node->seen_items *= ratio;
    learn_speed(all, node);
}

/* A speed that is not known is taken to be that of the others. Where nobody has
 * finished anything, items are taken to be so long that any message pays. */
static double speed_of(const struct cw_fleet_sums *all, const struct cw_fleet_node *node) {
    if (node->speed > 0)
        return node->speed;
    return (all->known > 0 ? all->speed / (double)all->known : 1e-12) * node->workers;
}

static double speed_of_all(const struct cw_fleet_sums *all) {
    return (all->known > 0 ? all->speed / (double)all->known : 1e-12) * (double)all->workers;
}

/* ---- reports ---- */

void cw_lease_given(struct cw_fleet_sums *all, struct cw_fleet_node *node, int64_t items,
                    int64_t now) {
    if (node->items == 0)
        node->since = now;
    node->items += items;
    node->leases++;
    node->bare = false;
    all->items += items;
}

/* What was seen before counts for half of its weight when as much again has been
 * seen: the last two leases or so. The least that is kept is a few items a worker,
 * or single items would make the speed. */
static void see(struct cw_fleet_node *node, int64_t items, double ns) {
    double keep = (double)most(items, 4 * (int64_t)node->workers);
    if (node->seen_items > keep) {
        node->seen_ns *= keep / node->seen_items;
        node->seen_items = keep;
    }
    node->seen_items += (double)items;
    node->seen_ns += ns > 0 ? ns : 0;
}

void cw_lease_done(struct cw_fleet_sums *all, struct cw_fleet_node *node, int64_t items, int leases,
                   int64_t now) {
    assert(items <= node->items && leases <= node->leases);
    node->items -= items;
    node->leases -= leases;
    node->done += items;
    all->items -= items;
    all->done += items;
    if (items > 0) {
        see(node, items, (double)(now - node->since));
        node->since = now;
        learn_speed(all, node);
    }
}

void cw_lease_home(struct cw_fleet_sums *all, struct cw_fleet_node *home, int64_t items,
                   int64_t now) {
    if (items <= 0)
        return;
    home->done += items;
    all->done += items;
    see(home, items, (double)(now - home->since));
    home->since = now;
    learn_speed(all, home);
}

int64_t cw_fleet_report_ns(const struct cw_fleet_sums *all) {
    double ns = 20 * all->message_ns * (all->nodes + 1);
    return ns > 1e6 ? (int64_t)ns : 1000000;
}

/* ---- sizes ---- */

/* How long a lease is to last. */
static double lease_ns(const struct cw_fleet_sums *all, int64_t left, double trip_ns) {
    double rest = ((double)left + (double)all->items) / speed_of_all(all);
    double ns = rest / 4 < CW_LEASE_MOST_NS ? rest / 4 : CW_LEASE_MOST_NS;
    double serve = 4 * all->message_ns * (all->nodes + 1); /* two messages, half of the time */
    double floor = serve > 2 * trip_ns ? serve : 2 * trip_ns;
    return ns > floor ? ns : floor;
}

/* Home's workers have moved within the time of a message, and at their speed nothing
 * will be left when an answer could be there. */
static bool home_is_first(const struct cw_fleet_node *home, const struct cw_fleet_node *node,
                          int64_t left, int64_t now) {
    return home->speed > 0 && (double)(now - home->since) < node->trip_ns &&
           (double)left < home->speed * node->trip_ns;
}

int64_t cw_lease_size(const struct cw_fleet_sums *all, const struct cw_fleet_node *home,
                      const struct cw_fleet_node *node, int64_t left, int64_t now) {
    if (node->workers == 0 || left <= 0 || node->leases >= all->slots)
        return 0;
    /* Its share of all that nobody is known to have finished, less what it has. */
    double speed = speed_of(all, node);
    double share = ((double)left + (double)all->items) * (speed / speed_of_all(all));
    share -= (double)node->items;
    int64_t idle = node->workers - node->items;
    int64_t size = 0;
    if (all->known == 0) {
        size = node->items > node->workers ? 0 : node->workers;
    } else {
        if (home_is_first(home, node, left, now))
            return 0;
        double ns = lease_ns(all, left, node->trip_ns);
        size = (double)node->items > ns * speed ? 0 : most(whole(ns * speed, left), 1);
        double average = (double)all->done / (double)all->workers * node->workers;
        double known = average > (double)node->done ? average : (double)node->done;
        known = known > node->workers ? known : node->workers;
        size = least(size, whole(CW_LEASE_GROWTH * known, left));
    }
    int64_t fair = share > 0 ? whole(share, left) : 0;
    size = least(size, fair);
    /* Idle workers are given an item each, if these go round. */
    idle = least(idle, fair + ((double)fair < share));
    return least(most(size, idle), left);
}

/* ---- giving back ---- */

/* How many items in a ns the idle workers could do. */
static double idle_speed(const struct cw_fleet_sums *all, const struct cw_fleet_node *nodes,
                         int count, int idle_home) {
    double sum = 0;
    for (int i = 0; i < count; i++) {
        const struct cw_fleet_node *n = &nodes[i];
        int64_t idle = i == 0 ? idle_home : n->workers - n->items;
        if (n->workers > 0 && idle > 0)
            sum += speed_of(all, n) / n->workers * (double)idle;
    }
    return sum;
}

bool cw_lease_split(const struct cw_fleet_sums *all, struct cw_fleet_node *nodes, int count,
                    int idle, struct cw_lease_split *split) {
    double takers = idle_speed(all, nodes, count, idle);
    if (takers <= 0)
        return false;
    int slowest = -1;
    double longest = 0;
    for (int i = 1; i < count; i++) {
        const struct cw_fleet_node *n = &nodes[i];
        if (n->leases == 0 || n->asked || n->bare || n->items <= n->workers)
            continue;
        double waits = (double)(n->items - n->workers) / speed_of(all, n);
        if (waits > 2 * n->trip_ns && waits > longest) {
            longest = waits;
            slowest = i;
        }
    }
    if (slowest < 0)
        return false;
    struct cw_fleet_node *from = &nodes[slowest];
    double speed = speed_of(all, from);
    double items = (double)from->items * takers / (takers + speed);
    split->node = slowest;
    split->items = most(whole(items, from->items - from->workers), 1);
    from->asked = true;
    return true;
}

void cw_lease_returned(struct cw_fleet_sums *all, struct cw_fleet_node *node, int64_t items,
                       int leases, bool less) {
    assert(items <= node->items && leases <= node->leases);
    node->items -= items;
    node->leases -= leases;
    node->asked = false;
    node->bare = less;
    all->items -= items;
}
