/* sched/gang.h - which members a gang has, and when it begins: pure logic.
 *
 * A gang is a task that runs on several members at the same time. All its members are
 * chosen at once, by one who sees all members, and each is reserved for one gang at most:
 * so no gang holds what another waits for, and there is nothing to deadlock. A member that
 * is reserved finishes what it is at, arrives, and waits for the others; meanwhile and
 * beside them all others do what else there is.
 *
 *     WAITS ──enough are free──> GATHERS ──all have arrived──> RUNS ──all have ended──> over
 *       ^──────a member is lost─────┘                            └─a member is lost─> FAILED
 *
 * First come, first served: a gang waits for those before it to have gathered their
 * members, whatever its size. So none starves: those that run end, and what they free is
 * the first one's. Its members are on one node if some node has enough that are free (the
 * one that has the fewest of these), else on as few as can be. They are in ascending order.
 *
 * Events in, actions out: cw_gangs_next gives the actions one by one, until there is none;
 * to be called after every event. One thread at a time. */
#ifndef CW_SCHED_GANG_H
#define CW_SCHED_GANG_H

#include <stdbool.h>
#include <stdint.h>

struct cw_gangs;

enum cw_gang_act {
    CW_GANG_CALL,    /* member: is to arrive */
    CW_GANG_DISMISS, /* member: need not arrive, or wait, any more */
    CW_GANG_START,   /* id: its members (cw_gangs_members) have all arrived */
    CW_GANG_OVER,    /* id: all its members have ended. It is forgotten */
    CW_GANG_FAIL,    /* id: member was lost while it ran; some may not have ended yet */
    CW_GANG_DRAINED, /* id: it has failed, and now all that are left have ended. Forgotten */
    CW_GANG_TOO_FEW  /* id: it is larger than what is left. It is forgotten */
};
struct cw_gang_action {
    enum cw_gang_act what;
    int member;
    uint32_t id;
};

/* Members 0 to count - 1, each on a node, the nodes in ascending order. NULL: no memory. */
struct cw_gangs *cw_gangs_make(int count, const int *nodes);
void cw_gangs_free(struct cw_gangs *g);

/* How many members there are that were not lost. */
int cw_gangs_left(const struct cw_gangs *g);
/* True: no gang is known. */
bool cw_gangs_none(const struct cw_gangs *g);
/* The members of one that gathers or runs, in ascending order; *count: how many. */
const int *cw_gangs_members(const struct cw_gangs *g, uint32_t id, int *count);

/* A new one: size from 1 to what is left; no other has that id. False: no memory. */
bool cw_gangs_add(struct cw_gangs *g, uint32_t id, int size);
/* True: it had not begun, and is forgotten. */
bool cw_gangs_cancel(struct cw_gangs *g, uint32_t id);
/* A member that was called, and not dismissed since, is there. */
void cw_gangs_arrived(struct cw_gangs *g, int member);
/* Its part of a gang that runs has ended. */
void cw_gangs_ended(struct cw_gangs *g, int member);
void cw_gangs_lost(struct cw_gangs *g, int member);

bool cw_gangs_next(struct cw_gangs *g, struct cw_gang_action *action);

#endif
