/* api/worker.h - what every process that crew starts does first. */
#ifndef CW_API_WORKER_H
#define CW_API_WORKER_H

#include "api/session.h"

/* Its place in the tree, its environment, name, output and exit; it is the first
 * to go when memory runs out. */
void cw_worker_settle(const cw_segment *root, int depth, int cores, const char *name);

/* process_child.c: a process of crew_process_start that is a fresh program. */
_Noreturn void cw_process_enter_spawned(const cw_segment *root, const struct cw_billet *billet);

#endif
