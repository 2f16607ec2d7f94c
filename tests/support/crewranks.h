/* support/crewranks.h - the ranks of a node without any launcher.
 *
 * The calling process becomes the leader of its node: the others are this program
 * again, nobody's children, which serve in crewtest_begin and never come out of it.
 * What a launcher would tell them of each other travels in the environment. */
#ifndef CREWRANKS_H
#define CREWRANKS_H

#include "backend/ranks/ranks.h"

#include <stdbool.h>
#include <sys/types.h>

/* One a follower, of the cells: what cw_berth_serve has returned; of 0, 1000 and the
 * status. */
enum { CELL_FOLLOWER = 46 };

/* In a process that was started as a follower: never returns. After crew_init. */
void crewranks_serve_if_told(void);

/* Starts so many followers; the session, which there must be, has berths then. Nothing
 * where the environment wants no processes. */
void crewranks_lead(int followers);
/* Ends them with that status; they have left when it returns, or false. Nothing if
 * there are none. */
bool crewranks_end(int status, double seconds);

struct cw_berths *crewranks_berths(void);
/* What followers are told of the leader. */
struct cw_berth_card crewranks_card(void);
/* The leader has found no room in the ring of rank i. */
bool crewranks_is_full(int i);
/* Of rank i of the node: the process, and that which forks its workers. Rank 0: only
 * the latter. */
pid_t crewranks_pid(int i);
pid_t crewranks_nursery(int i);

#endif
