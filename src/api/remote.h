/* api/remote.h - objects used from other nodes: what the agents do about it.
 *
 * On every leader's agent thread, beside what it does about pools. share/desk.h is the
 * account of how a call travels. Any node may ask any other. */
#ifndef CW_API_REMOTE_H
#define CW_API_REMOTE_H

#include "api/session.h"
#include "fleet/agent.h"

/* Before the agent serves: from now on threads may ask. */
void cw_remote_begin(struct cw_session *s, struct cw_agent *agent);
/* Nobody is served any more: who still waits is told. After the agent has ended; again:
 * another one may begin, so nothing may be left in the segment, and the nursery has ended. */
void cw_remote_end(bool again);
/* What the agent sleeps on. */
_Atomic uint32_t *cw_remote_word(void);

/* ---- the agent's ---- */

/* True if the letter was one of these. */
bool cw_remote_letter(int node, const struct cw_letter *letter, struct cw_reader *rest);
/* As cw_agent_ops.work. */
bool cw_remote_work(bool *waits);
/* False: something came meanwhile, so that it must not sleep. */
bool cw_remote_idle(void);
void cw_remote_lost(int node);

#endif
