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

static int64_t idle(const struct cw_fleet_node *node) {
    return most(node->workers - node->items, 0);
}

/* To be called with what a change of its items or workers makes of it. */
static void set_items(struct cw_fleet_sums *all, struct cw_fleet_node *node, int64_t items) {
    all->idle -= idle(node);
    all->items += items - node->items;
    node->items = items;
    all->idle += idle(node);
}

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
    if (!home) {
        all->nodes++;
        all->idle += workers;
    }
}

int64_t cw_fleet_node_lost(struct cw_fleet_sums *all, struct cw_fleet_node *node) {
    if (node->workers == 0)
        return 0; /* it was not ready, or is lost already */
    int64_t items = node->items;
    forget_speed(all, node);
    set_items(all, node, 0);
    all->idle -= node->workers;
    all->workers -= node->workers;
    all->nodes--;
    *node = (struct cw_fleet_node){.done = node->done};
    return items;
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
    set_items(all, node, node->items + items);
    node->leases++;
    node->bare = false;
}

/* What was seen before counts for half when as much has been seen again as it had to
 * do: reports come in bursts, and over two leases or so these even out. The least that
 * is kept is a few items a worker, or single items would make the speed. */
static void see(struct cw_fleet_node *node, int64_t items, double ns) {
    double keep = (double)most(most(items, node->items), 4 * (int64_t)node->workers);
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
    set_items(all, node, node->items - items);
    node->leases -= leases;
    node->done += items;
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
    /* A hundredth of a worker's time at either end, and a twentieth of home's agent. */
    double ns = all->message_ns * (all->nodes < 10 ? 200 : 20 * all->nodes);
    return ns > 1e6 ? (int64_t)ns : 1000000;
}

/* ---- sizes ---- */

/* What is shorter is not worth its messages: home serves all nodes in half of this. */
static double floor_ns(const struct cw_fleet_sums *all, double trip_ns) {
    double serve = 4 * all->message_ns * (all->nodes + 1);
    return serve > 2 * trip_ns ? serve : 2 * trip_ns;
}

/* How long a lease is to last. */
static double lease_ns(const struct cw_fleet_sums *all, int64_t left, double trip_ns) {
    double rest = ((double)left + (double)all->items) / speed_of_all(all);
    double ns = rest / 4 < CW_LEASE_MOST_NS ? rest / 4 : CW_LEASE_MOST_NS;
    double floor = floor_ns(all, trip_ns);
    return ns > floor ? ns : floor;
}

/* Home's workers have moved within the time of a message, and at their speed nothing
 * will be left when an answer could be there. */
static bool home_is_first(const struct cw_fleet_node *home, const struct cw_fleet_node *node,
                          int64_t left, int64_t now) {
    return home->speed > 0 && (double)(now - home->since) < node->trip_ns &&
           (double)left < home->speed * node->trip_ns;
}

/* How many a lease is to have by what has been measured, and trusted so far. */
static double aim(const struct cw_fleet_sums *all, const struct cw_fleet_node *node, int64_t left) {
    if (all->known == 0)
        return node->workers;
    double average = (double)all->done / (double)all->workers * node->workers;
    double trusted = average > (double)node->done ? average : (double)node->done;
    trusted = CW_LEASE_GROWTH * (trusted > node->workers ? trusted : node->workers);
    trusted = trusted > (double)all->done ? trusted : (double)all->done;
    double items = lease_ns(all, left, node->trip_ns) * speed_of(all, node);
    return items < trusted ? items : trusted;
}

/* How long home must have stood still before an idle worker there gets what is left, for
 * which its share would be none: home's workers are at longer items than that. */
static double stands_ns(const struct cw_fleet_node *node) {
    double item_ns = node->speed > 0 ? node->workers / node->speed : 0;
    return item_ns > node->trip_ns ? item_ns : node->trip_ns;
}

int64_t cw_lease_again(const struct cw_fleet_node *home, const struct cw_fleet_node *node,
                       int64_t now) {
    if (node->workers == 0 || idle(node) == 0)
        return INT64_MAX;
    int64_t trip = whole(node->trip_ns, CW_LEASE_MOST_NS) + 1;
    if (node->items == 0)
        return now + trip;
    return most(home->since + whole(stands_ns(node), INT64_MAX / 4) + 1, now + trip);
}

int64_t cw_lease_size(const struct cw_fleet_sums *all, const struct cw_fleet_node *home,
                      const struct cw_fleet_node *node, int64_t left, int64_t now) {
    if (node->workers == 0 || left <= 0 || node->leases >= all->slots ||
        home_is_first(home, node, left, now))
        return 0;
    /* Its share of all that nobody is known to have finished, less what it has. */
    double share = speed_of(all, node) / speed_of_all(all);
    share = share * ((double)left + (double)all->items) - (double)node->items;
    if ((double)(now - home->since) >= stands_ns(node) && share < (double)idle(node))
        return least(idle(node), left);
    if (share <= 0)
        return 0;
    int64_t fair = whole(share, left), size = 0;
    double items = aim(all, node, left);
    if ((double)node->items <= items)
        size = least(most(whole(items, left), 1), fair);
    /* Idle workers are given an item each, if these go round. */
    int64_t first = least(idle(node), fair + ((double)fair < share));
    return least(most(size, first), left);
}

/* ---- giving back ---- */

/* Who needs longest until it has begun all it has. -1: nobody whom it pays to ask. */
static int slowest(const struct cw_fleet_sums *all, const struct cw_fleet_node *nodes, int count) {
    int slowest = -1;
    double longest = 0;
    for (int i = 1; i < count; i++) {
        const struct cw_fleet_node *n = &nodes[i];
        if (n->items <= n->workers || n->asked || n->bare)
            continue;
        double waits = (double)(n->items - n->workers) / speed_of(all, n);
        if (waits > floor_ns(all, n->trip_ns) && waits > longest) {
            longest = waits;
            slowest = i;
        }
    }
    return slowest;
}

bool cw_lease_split(const struct cw_fleet_sums *all, struct cw_fleet_node *nodes, int count,
                    int idle_home, struct cw_lease_split *split) {
    if (all->idle + idle_home <= 0)
        return false;
    int from = slowest(all, nodes, count);
    if (from < 0)
        return false;
    double takers = 0;
    for (int i = 0; i < count; i++)
        if (nodes[i].workers > 0)
            takers += speed_of(all, &nodes[i]) / nodes[i].workers *
                      (double)(i == 0 ? idle_home : idle(&nodes[i]));
    struct cw_fleet_node *node = &nodes[from];
    double items = (double)node->items * takers / (takers + speed_of(all, node));
    split->node = from;
    split->items = most(whole(items, node->items - node->workers), 1);
    node->asked = true;
    return true;
}

void cw_lease_returned(struct cw_fleet_sums *all, struct cw_fleet_node *node, int64_t items,
                       int leases, bool less) {
    assert(items <= node->items && leases <= node->leases);
    set_items(all, node, node->items - items);
    node->leases -= leases;
    node->asked = false;
    node->bare = less;
}
