/* api/gang.h - gang tasks (crew_submit_opts.ranks) as the manager of a pool sees them.
 *
 *     submit ──> policy (sched/gang.h) ──calls──> musters (team/gang.h) <──come── members
 *                   ^                                │
 *                   └── what the service thread ─────┘        those of other nodes: home_gang.c
 *                       finds there
 *
 * A gang's record is QUEUED, in no ring, until all are there; then RUNNING, and nobody's:
 * members work on a struct cw_gang, which is as long as the last of them needs it. On other
 * nodes (guest_gang.c) there are musters alone, and no policy. */
#ifndef CW_API_GANG_H
#define CW_API_GANG_H

#include "api/pool_impl.h"
#include "team/gang.h"

/* When the team is built. by_node: workers of each node, NULL: there is one. */
int cw_pool_gangs_open(crew_pool *p, const int *by_node, crew_error *err);
/* No member is left. */
void cw_pool_gangs_free(crew_pool *p);

/* Whether this pool runs such a task. Without the lock. */
int cw_pool_gang_check(crew_pool *p, int ranks, crew_error *err);

/* All with the lock. */

/* A record that is QUEUED. */
int cw_pool_gang_add(crew_pool *p, uint32_t number, int ranks, crew_error *err);
/* It will not begin. */
void cw_pool_gang_cancel(crew_pool *p, uint32_t number);
/* One that runs is not wanted any more. */
void cw_pool_gang_drop(crew_pool *p, uint32_t number);
/* The pool ends: nobody is to wait for others, and what runs is not wanted. */
void cw_pool_gangs_end(crew_pool *p);
/* That member was lost with its rank. */
void cw_pool_gang_lost(crew_pool *p, int rank);
/* What has changed at the musters, and what follows from it. */
void cw_pool_tend_gangs(crew_pool *p);

/* ---- guest_gang.c; without the lock ---- */

/* On the service thread: tells home what has changed at the musters. */
void cw_pool_relay_gangs(crew_pool *p);
/* On the agent's thread: home wants something of a muster. */
struct cw_letter;
struct cw_reader;
void cw_guest_gang(crew_pool *p, const struct cw_letter *letter, struct cw_reader *r);
/* Whether home is to be heard at once. */
bool cw_guest_gang_waits(crew_pool *p);

#endif
