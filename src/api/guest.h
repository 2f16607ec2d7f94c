/* api/guest.h - what the leader of a node that is not the manager's does: it serves the
 * manager's pools with pools of its own.
 *
 * The agent reads letters and never waits; each pool has a thread that opens and closes it,
 * its keeper, which does wait; the session's service thread reports ends. The first thread waits
 * for home to leave. */
#ifndef CW_API_GUEST_H
#define CW_API_GUEST_H

#include "fleet/agent.h"

struct cw_session;

/* How home has left. */
enum cw_parting {
    CW_PART_WHOLE, /* the job is whole */
    CW_PART_LESS,  /* it lacks nodes or ranks */
    CW_PART_LOST   /* home was lost, or takes this node for lost */
};

/* On the first thread: serves until home says goodbye, or is lost. workers: that this
 * node has if nobody says how many; negative: it can have none, and home is told why. */
enum cw_parting cw_guest_serve(struct cw_session *s, struct cw_agent *agent, int workers,
                               const crew_error *why);

/* To home, by any thread; takes it. */
void cw_guest_post(struct cw_parcel *parcel);
/* To home: the pool that serves its pool of that number is broken. Any thread. */
void cw_guest_broken(uint32_t pool, const crew_error *why);

#endif
