/* tests/support/fleetsim.h - a fleet in virtual time: a machine (fleet_machine.h) on every
 * leader, what the board does on every node, messages that cost and take time between.
 *
 * Not modelled: what inputs and results weigh, and a machine's other business. Messages
 * take an agent's time at both ends, one after the other, and the same time is taken
 * from a worker of the node: agents have no core of their own. */
#ifndef FLEETSIM_H
#define FLEETSIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fleetsim_cost {
    FLEETSIM_CONSTANT,
    FLEETSIM_UNIFORM, /* 0 to twice the mean */
    FLEETSIM_EXPONENTIAL,
    FLEETSIM_HEAVY,   /* Pareto, exponent 1.5, at most 1000 times the mean */
    FLEETSIM_GROWING, /* 1000-fold along the range */
    FLEETSIM_FALLING,
    FLEETSIM_COSTS
};
extern const char *const fleetsim_cost_names[];

struct fleetsim_loss {
    int node;
    int64_t at;     /* it dies, or its network does */
    int64_t notice; /* so much later its leader knows */
    int64_t back;   /* so much after that it is ready again; 0: never */
    bool partition; /* it works on, and what it sends arrives after the notice */
};

struct fleetsim {
    uint64_t seed;
    int nodes;              /* home included */
    int fanout;             /* of the tree of leaders; 0: every node is home's own */
    int workers;            /* of each node, */
    const int *workers_of;  /* or of these, if given */
    const double *slowness; /* of each node: what lengths are multiplied by, if given */
    int64_t count;
    enum fleetsim_cost cost;
    double mean_ns;
    double message_ns, latency_ns, claim_ns;
    int slots;                  /* 0: as usual */
    bool marks;                 /* keep account of each item, and check it */
    int64_t window;             /* a stream: no more than so many in flight. 0: a map */
    bool ordered;               /* the window moves with the first item that is not finished */
    int64_t stop_at, stop_when; /* when item stop_when is finished, none from stop_at on is
                                 * begun; stop_when < 0: never */
    const struct fleetsim_loss *losses;
    int losses_count;
};

struct fleetsim_result {
    double makespan, work, longest; /* ns */
    double best;                    /* the best possible makespan: the larger of two bounds */
    double efficiency;              /* best / makespan */
    double home_agent;              /* share of the makespan that it was at messages */
    int workers;
    int64_t messages, leases, asks, moved; /* moved: items that were given back */
    int64_t executed, events, in_flight;   /* in_flight: at most */
    char wrong[256];                       /* "": every check held */
};

/* Runs it to its end. False: something was wrong; result->wrong says what. */
bool fleetsim_run(const struct fleetsim *how, struct fleetsim_result *result);

/* What the same workers would need if they took one item after the other, in the map's
 * order, at no cost: no scheduler that does not know the lengths does much better. */
double fleetsim_list_ns(const struct fleetsim *how);

double fleetsim_cost_ns(const struct fleetsim *how, int64_t item);

#endif
