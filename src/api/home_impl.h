/* api/home_impl.h - what the manager knows of the other nodes of its pools.
 *
 * | file       | what                                              |
 * |------------|---------------------------------------------------|
 * | home.c     | pools: theirs begin, are ready, are counted, end  |
 * | home_out.c | the agent claims for other nodes, and tells them  |
 * | home_in.c  | what they answer is stored; nodes come and go     |
 * | home_gang.c | gang tasks: the musters of other nodes' workers  |
 * | home_recall.c | calls that wait at a node are cancelled          |
 *
 * Everything here is guarded by cw_homes.lock, which is never taken with a pool's lock
 * held by who then takes that, but in cw_home_fail_each: nothing under it takes one. */
#ifndef CW_API_HOME_IMPL_H
#define CW_API_HOME_IMPL_H

#include "api/home.h"
#include "api/job_impl.h"
#include "sched/fleet.h"
#include "team/proxy.h"

/* Tasks that may wait at a node, at most. */
enum { CW_TASKS_AHEAD = 32 };
/* What a letter there and one back take: about that over TCP, agents that poll included. */
enum { CW_TRIP_NS = 100000 };

/* A proxy and what is out with it. */
struct cw_envoy {
    struct cw_proxy proxy;
    uint32_t turn;
    int64_t told_stop; /* what the node was told of the job's stop_at */
    bool told_drop;
    /* a task: */
    int told_recall; /* 2: and that nobody wants it if it has begun */
    /* it is cancelled if it has not begun, where it has that is refused */
    enum { CW_RECALL_NOT, CW_RECALL_WANTED, CW_RECALL_REFUSED } recall;
    /* a range: */
    int64_t told;     /* items that are known to be done */
    int64_t sent_ns;
    uint64_t serial;  /* of a map's ranges the newest has the highest */
    bool asked, bare; /* for its end, no answer yet; and it gave less than was asked for */
    int64_t asked_lo;
};

/* Where a node is with a pool: not told, asked to open its part, open, out. */
enum cw_outpost_state { CW_POST_NEW, CW_POST_ASKED, CW_POST_OPEN, CW_POST_GONE };

/* What a worker was told last about the gang it is called for. */
struct cw_told {
    uint32_t turn; /* of its muster */
    enum { CW_TOLD_NOTHING, CW_TOLD_CALL, CW_TOLD_GO, CW_TOLD_DROP } what;
};

/* Another node, as one pool sees it. The first envoy is for CW_JOB_EACH alone. */
struct cw_outpost {
    int node, first, workers;
    struct cw_envoy *envoys;
    int count, busy_tasks;
    double task_ns; /* 0: not known */
    enum cw_outpost_state state;
    crew_error error; /* why it is GONE */
    uint32_t asked, counted; /* which count it was asked for, and has answered */
    struct cw_told *told; /* by worker, about gangs */
    uint32_t known[CW_JOB_SLOTS]; /* the generation that it was told of; 0: none */
};

/* One map, as the policy of leases sees it. */
struct cw_accounts {
    uint32_t generation; /* 0: none */
    struct cw_fleet_sums sums;
    struct cw_fleet_node *nodes; /* 0: this one */
    int64_t claimed;             /* by the nodes' proxies from the cursor, and passed over */
    int64_t home;                /* by others, as told last */
    struct cw_job *job;          /* valid while ranges are out */
    int out, asks;               /* ranges that are out; of these asked for their end */
    uint64_t serial;
};

struct cw_home {
    struct cw_home *next;
    crew_pool *pool;
    uint32_t id;
    struct cw_outpost *posts;
    int count; /* of posts */
    struct cw_accounts accounts[CW_JOB_SLOTS];
    uint32_t told_quit;      /* CW_RUN: not yet */
    struct cw_place *places; /* by worker: where those of other nodes are */
    struct cw_count *counts; /* by worker */
    uint32_t asked;          /* how often they were wanted */
    int64_t parts, returned; /* for tests: told of ranges that ran on; items given back */
};

/* Owner: this process's manager. */
extern struct cw_homes {
    struct cw_agent *agent;
    struct cw_session *session;
    cw_off word; /* in the segment: what proxies sleep on */
    pthread_mutex_t lock; /* guards the list, and who is in it */
    pthread_cond_t changed;
    struct cw_home *homes;
    uint32_t ids;
    bool serving; /* the agent looks at what follows */
    int *due; /* by node: workers it has if nobody says how many; 0: it has not said yet */
    crew_error trouble; /* why one of them can have none; code 0: nobody has said so */
    bool muster, goodbye; /* to be said; then false */
    int mustered;         /* guests that have answered */
    bool less;            /* nodes or ranks are missing */
} cw_homes;

/* With the lock: sleeps until something changes, at most a moment. */
void cw_home_wait_a_moment(void);

static inline struct cw_maps *cw_home_maps(struct cw_home *h) {
    return &h->pool->maps;
}

/* ---- home_out.c, for the agent ---- */

bool cw_home_work(void *ctx, int64_t *nap_ns);
bool cw_home_lie_down(void *ctx);
void cw_home_get_up(void *ctx);

/* ---- home_split.c ---- */

/* Where nothing is left to claim and workers are idle, asks for some of what nodes have
 * not begun. True: it did. */
bool cw_home_split(struct cw_home *h);
/* The answer: that range ends at `lo` now. The rest may be claimed again. */
void cw_home_cut(struct cw_home *h, struct cw_outpost *post, struct cw_envoy *e, int64_t lo);
/* A range is out; it is over, or lost with its node. */
void cw_home_range_out(struct cw_accounts *l, struct cw_envoy *e);
void cw_home_range_in(struct cw_home *h, struct cw_outpost *post, struct cw_envoy *e);

/* ---- home_gang.c, for the agent ---- */

/* Tells a node what has changed at its workers' musters. True: something had. */
bool cw_home_tell_gangs(struct cw_home *h, struct cw_outpost *post, bool *waits);
/* A GANG_ letter from there. */
void cw_home_gang(struct cw_home *h, struct cw_outpost *post, const struct cw_letter *letter,
                  struct cw_reader *r);
/* That node is gone. */
void cw_home_gangs_gone(struct cw_home *h, struct cw_outpost *post);

/* ---- home_in.c, for the agent ---- */

void cw_home_letter(void *ctx, int node, const struct cw_letter *letter, struct cw_reader rest);
void cw_home_lost(void *ctx, int node);
/* That node has no part in the pool any more: why, code 0: because the pool ends. */
void cw_home_gone(struct cw_home *h, struct cw_outpost *post, const crew_error *why);

#endif
