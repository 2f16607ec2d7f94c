/* backend/fork/fork.h - the session's nursery, for START_SERVER and START_SPAWN. */
#ifndef CW_BACKEND_FORK_FORK_H
#define CW_BACKEND_FORK_FORK_H

#include "backend/fork/nursery.h"

/* Forks it from crew_init's process as it is then, where nobody has asked for it yet: that it
 * could not be is told to whoever does. */
void cw_fork_server_prepare(void);
/* Asks it for something; starts it if need be. */
int cw_fork_server_ask(const struct cw_nursery_order *order, crew_error *err);
/* 0: there is one; else why not. For who must not start it as late as now. */
int cw_fork_server_there(crew_error *err);
/* Itself, of one that was started. */
struct cw_nursery *cw_fork_server(void);
void cw_fork_server_stop(void);
/* In a forked child: it is not this process's. */
void cw_fork_server_forget(void);

#endif
