/* api/home.h - the manager's side of a pool that has workers on other nodes.
 *
 * Each other node has a few proxies in the pool's team (team/proxy.h). The agent's thread
 * is all of them: it claims ranges and tasks there, sends them, and stores what comes
 * back. How much it claims is for sched/fleet.h to say. */
#ifndef CW_API_HOME_H
#define CW_API_HOME_H

#include "api/pool_impl.h"
#include "fleet/agent.h"

struct cw_home;

/* Starts to serve this program's pools; returns when all nodes have said how many workers
 * they have, in due[], or after so many seconds. */
int cw_home_serve(struct cw_session *s, struct cw_agent *agent, int *due, double seconds,
                  crew_error *err);
/* Nothing is left to be served: all guests are told so, and whether the job lacks nodes
 * or ranks, which it does if `less` or if one of them says so. True: it does. */
bool cw_home_goodbye(bool less);

/* How many members a pool has beyond its node's own: workers[node] of each node. */
int cw_home_proxies(const struct cw_agent *agent, const int *workers);
/* Has the other nodes open their parts of the pool. p->home is set. */
int cw_home_open(crew_pool *p, struct cw_agent *agent, const int *workers, crew_error *err);
/* 1: all nodes have their workers, 0: not yet, negative: one will not. */
int cw_home_ready(crew_pool *p, crew_error *err);
/* No member of p is left. */
void cw_home_close(crew_pool *p);

/* With the lock: a job whose items each have a worker of their own; of those whose node is
 * gone, says so. */
void cw_home_fail_each(crew_pool *p, struct cw_job *job);
/* If task `number` waits at another node it is cancelled. False: it has begun, or its node
 * does not say. True: something has become of it. Without the pool's lock. */
bool cw_home_recall(crew_pool *p, uint32_t number);
/* The same of all tasks; does not wait for what comes of it. */
void cw_home_recall_all(crew_pool *p);
/* The worker's statistics, from its node. */
int cw_home_stats(crew_pool *p, int worker, crew_stats *stats);
/* The agent is to look at once at what its pools want. */
void cw_home_wake(void);
/* "n02" */
const char *cw_home_host(crew_pool *p, int node);

#endif
