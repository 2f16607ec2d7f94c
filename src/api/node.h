/* api/node.h - a pool over the ranks of a node: how many workers, on which rank, where.
 *
 * For a session that is the leader of its node (cw_session.berths). Everything follows
 * from the masks of the ranks and from the options. */
#ifndef CW_API_NODE_H
#define CW_API_NODE_H

#include "api/session.h"
#include "topo/topo.h"

/* How many workers this node has if nobody says. Negative: CREW_E... */
int cw_node_workers(const struct cw_session *s, const crew_pool_opts *o, crew_error *err);
/* berth[i]: on which rank worker i of o->workers is, and places[i], where there. Either
 * may be NULL. */
int cw_node_place(const struct cw_session *s, const crew_pool_opts *o, int *berth,
                  struct cw_place *places, crew_error *err);

#endif
