/* backend/fork/spawn.h - CREW_START_SPAWN: a worker that is a fresh program.
 *
 * The nursery forks a process that executes the program again, with its own
 * arguments and one variable more. crew_init finds that variable. */
#ifndef CW_BACKEND_FORK_SPAWN_H
#define CW_BACKEND_FORK_SPAWN_H

#include "backend/fork/nursery.h"

/* The variable that tells a spawned program what it is. */
#define CW_SPAWN_VARIABLE "CREW_SPAWNED_AS"

/* In the process that becomes the program. Returns errno. */
int cw_spawn_exec(const struct cw_nursery_order *order, pid_t nursery);

/* What the variable says. */
struct cw_spawned {
    int segment_fd, root_fd;
    struct cw_billet billet;
    pid_t parent;
    struct cw_signals signals;
};
/* False: it is nothing that cw_spawn_exec has written. */
bool cw_spawn_read(const char *text, struct cw_spawned *spawned);

#endif
