/* The machine of leases under virtual time: random fleets, lengths, losses. A failure
 * prints the seed of its run: CREW_TEST_ONE=that repeats it alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/fleetsim.h"
#include "support/plain.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t seed, one;

enum { SEEDS = 1000, NODES = 14, LOSSES = 16 };

/* From lo to hi, evenly in the logarithm. */
static double spread(uint64_t *s, double lo, double hi) {
    return lo * pow(hi / lo, draw_unit(s));
}

static int64_t below(uint64_t *s, int64_t n) {
    return (int64_t)(draw(s) % (uint64_t)n);
}

struct chosen {
    struct fleetsim how;
    int workers[NODES];
    double slowness[NODES];
    struct fleetsim_loss losses[LOSSES];
};

static void choose_fleet(struct chosen *c, uint64_t *s) {
    struct fleetsim *h = &c->how;
    h->nodes = 1 + (int)below(s, NODES);
    h->fanout = below(s, 3) ? 0 : 1 + (int)below(s, 4);
    bool alike = below(s, 2);
    for (int i = 0; i < h->nodes; i++) {
        c->workers[i] = 1 + (int)(alike ? 1 : below(s, 8));
        c->slowness[i] = alike ? 1 : spread(s, 1, 8);
    }
    if (h->nodes > 1 && below(s, 4) == 0)
        c->workers[0] = 0; /* a home that has none */
    h->workers_of = c->workers;
    h->slowness = c->slowness;
    h->slots = below(s, 3) ? 0 : 1 + (int)below(s, 8);
    h->message_ns = spread(s, 100, 20000);
    h->latency_ns = spread(s, 500, 200000);
    h->claim_ns = 100;
}

static void choose_map(struct chosen *c, uint64_t *s) {
    struct fleetsim *h = &c->how;
    h->seed = draw(s);
    h->count = (int64_t)spread(s, 1, 4000) - (below(s, 50) == 0);
    h->cost = (enum fleetsim_cost)below(s, FLEETSIM_COSTS);
    h->mean_ns = spread(s, 50, 1e7);
    h->marks = true;
    h->stop_when = -1;
    if (h->count == 0)
        return;
    if (below(s, 4) == 0) {
        h->window = 1 + below(s, h->count);
        h->ordered = below(s, 2);
    }
    if (below(s, 6) == 0) {
        h->stop_when = below(s, h->count);
        h->stop_at = below(s, 2) ? h->stop_when + 1 : below(s, h->count + 1);
    }
}

static void choose_losses(struct chosen *c, uint64_t *s) {
    struct fleetsim *h = &c->how;
    if (h->nodes == 1 || below(s, 2))
        return;
    int64_t workers = 0;
    for (int i = 0; i < h->nodes; i++)
        workers += c->workers[i];
    double length = h->mean_ns * (double)h->count / (double)workers + 10 * h->latency_ns;
    h->losses = c->losses;
    h->losses_count = 1 + (int)below(s, LOSSES);
    for (int i = 0; i < h->losses_count; i++) {
        struct fleetsim_loss *l = &c->losses[i];
        l->node = 1 + (int)below(s, h->nodes - 1);
        l->at = (int64_t)(1.5 * draw_unit(s) * length);
        l->notice = (int64_t)spread(s, 1, 2 * length + 2);
        l->back = below(s, 2) ? (int64_t)spread(s, 1, length + 2) : 0;
        l->partition = below(s, 2);
    }
    if (c->workers[0] == 0) /* or nobody may be left */
        c->workers[0] = 1;
}

static void choose(struct chosen *c, uint64_t from) {
    *c = (struct chosen){0};
    uint64_t s = from;
    choose_fleet(c, &s);
    choose_map(c, &s);
    choose_losses(c, &s);
}

static void say(const struct chosen *c, const struct fleetsim_result *r) {
    const struct fleetsim *h = &c->how;
    printf(
        "    %d nodes, fan-out %d, %d workers, %lld %s items of %.0f ns, window %lld, %d losses: "
        "%.0f ns, best %.0f, %lld messages, %lld leases, %lld asked, %lld moved, %lld run\n",
        h->nodes, h->fanout, r->workers, (long long)h->count, fleetsim_cost_names[h->cost],
        h->mean_ns, (long long)h->window, h->losses_count, r->makespan, r->best,
        (long long)r->messages, (long long)r->leases, (long long)r->asks, (long long)r->moved,
        (long long)r->executed);
}

/* A lease has an item at least, and each item that is given back or lost may be leased
 * again; a leader below home leases what it was leased. What else is sent are reports,
 * at most one for each item or lease and level, and questions that got nothing: one of
 * a lease at most. */
static void check_bounds(const struct chosen *c, const struct fleetsim_result *r, uint64_t from) {
    int levels = c->how.fanout ? NODES : 1;
    int64_t items =
        levels * (r->executed + r->moved + c->how.losses_count * c->how.count) + c->how.count;
    if (r->leases > items || r->asks > items + r->leases)
        fail_msg("seed %#llx: %lld leases, %lld questions for %lld items", (unsigned long long)from,
                 (long long)r->leases, (long long)r->asks, (long long)c->how.count);
    if (c->how.losses_count == 0 && r->executed > c->how.count)
        fail_msg("seed %#llx: %lld items run for %lld without a loss", (unsigned long long)from,
                 (long long)r->executed, (long long)c->how.count);
}

static void random_fleets__every_item_finishes_once(void **state) {
    (void)state;
    struct chosen c;
    struct fleetsim_result r;
    int64_t runs = one ? 1 : SEEDS;
    double efficiency = 0;
    int64_t counted = 0, lost = 0, stopped = 0, streams = 0;
    for (int64_t i = 0; i < runs; i++) {
        uint64_t from = one ? one : seed * 1000003 + (uint64_t)i;
        choose(&c, from);
        if (!fleetsim_run(&c.how, &r)) {
            say(&c, &r);
            fail_msg("seed %#llx: %s", (unsigned long long)from, r.wrong);
        }
        check_bounds(&c, &r, from);
        if (one)
            say(&c, &r);
        lost += c.how.losses_count > 0;
        stopped += c.how.stop_when >= 0;
        streams += c.how.window > 0;
        if (c.how.losses_count == 0 && c.how.stop_when < 0 && c.how.window == 0 && r.makespan > 0) {
            efficiency += r.efficiency;
            counted++;
        }
    }
    printf("    %lld runs: %lld with losses, %lld stopped, %lld streams; the others reach %.3f of "
           "the best possible on average\n",
           (long long)runs, (long long)lost, (long long)stopped, (long long)streams,
           counted ? efficiency / (double)counted : 0);
}

/* The same seed gives the same run. */
static void random_fleets__same_seed__same_run(void **state) {
    (void)state;
    struct chosen c;
    struct fleetsim_result a, b;
    for (uint64_t i = 0; i < 20; i++) {
        choose(&c, seed + i);
        assert_true(fleetsim_run(&c.how, &a));
        assert_true(fleetsim_run(&c.how, &b));
        assert_true(a.makespan == b.makespan);
        assert_int_equal(a.events, b.events);
    }
}

int main(void) {
    const char *alone = getenv("CREW_TEST_ONE");
    one = alone ? strtoull(alone, NULL, 0) : 0;
    seed = plain_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_fleets__every_item_finishes_once),
        cmocka_unit_test(random_fleets__same_seed__same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
