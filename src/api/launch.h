/* api/launch.h - a program that an MPI launcher started: what each of its ranks becomes.
 *
 *     rank 0                 the manager: crew_init returns
 *     lowest of other nodes  serves the manager's pools with this node's workers (guest.c)
 *     all others             give their workers to the lowest rank of their node
 *
 * Only the manager comes back from cw_launch. */
#ifndef CW_API_LAUNCH_H
#define CW_API_LAUNCH_H

#include "backend/mpi/mpirun.h"
#include "fleet/agent.h"

struct cw_session;
struct cw_berths;

/* What this process is one rank of: a job of the launcher's, or, while a pool of
 * crew_mpi_pool is open, the ranks of a communicator (joint.h). */
struct cw_launch {
    struct cw_launcher launcher;
    struct cw_mpirun mpirun;
    struct cw_agent agent;
    bool joint; /* the second */
    struct cw_berths *berths;
    int *due;   /* by node: the workers it has if nobody says how many */
    bool alone; /* home is lost */
    bool less;  /* some node or rank is: MPI cannot be ended as all would do it together */
};

/* In crew_init, when the session is made. 0: this is no rank, or it is the manager. */
int cw_launch(struct cw_session *s, crew_error *err);
/* The manager's launch; NULL: there is none. */
struct cw_launch *cw_launch_here(void);
/* The module that this process, a rank, has started; NULL: it has not. */
const struct cw_mpi *cw_launch_mpi(void);
/* This process's rank of all; -1: it is none. */
int cw_launch_own_rank(void);
/* Why pools of MPI cannot be had, code 0: it was not tried. */
const crew_error *cw_launch_refused(void);
/* True if the environment says that this is one rank of several. */
bool cw_launch_wanted(void);
/* On the agent's thread of the manager: that node is lost. Where the launcher ends a job that
 * has lost something, this does not return. */
void cw_launch_lost(int node);
/* The session ends. In the manager: all other ranks do. False: MPI does not end, so the
 * agent's thread is still there, and what it uses has to stay. */
bool cw_launch_end(void);

/* ---- for joint.c ---- */

/* The state; there is one. */
struct cw_launch *cw_launch_state(void);
/* How long the manager waits for the ranks of its node. */
#define CW_LAUNCH_COME 60.0
/* What a leader tells its followers with their end, which is no exit status. ALONE: home is
 * lost (joint.c). */
enum { CW_ENDS_WITH_LESS = 256, CW_ENDS_ALONE };
double cw_launch_timeout(const struct cw_session *s);
void cw_launch_fill_card(struct cw_session *s, struct cw_card *card);
int cw_launch_introduce(void *session, const struct cw_mpi_place *place, struct cw_card *card,
                        crew_error *err);
/* In a leader: its followers have come. */
int cw_launch_gather(crew_error *err);
/* In a follower: what it is to serve. */
struct cw_berth_post cw_launch_post(void);
/* In rank 0: from now on it is the manager. */
int cw_launch_manage(struct cw_session *s, crew_error *err);
/* In rank 0: it is none any more, and all others are told so. */
void cw_launch_dismiss(void);

/* The ranks of this node, from which a pool of CREW_MPI has workers. */
struct cw_berths *cw_launch_berths(const struct cw_session *s);
/* The workers of all nodes if nobody says how many. */
int cw_launch_workers(void);
/* How many of `total` workers are on which node. */
void cw_launch_spread(int total, int *by_node);
/* The rank in the job that is number `berth` of that node's. */
int cw_launch_rank(int node, int berth);

#endif
