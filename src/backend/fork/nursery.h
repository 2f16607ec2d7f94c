/* backend/fork/nursery.h - the process that forks workers.
 *
 * Double-forked from the manager, single-threaded, and nobody's child: a user's
 * wait() never sees it. It alone forks, so a worker that dies is replaced from
 * the same clean image, and a manager with threads is never forked in mid-work.
 * It ends when its manager does (a pidfd, and the socket between them), and
 * takes its workers along; they in turn end with it (PR_SET_PDEATHSIG, which is
 * safe here because its only thread forks them). */
#ifndef CW_BACKEND_FORK_NURSERY_H
#define CW_BACKEND_FORK_NURSERY_H

#include "backend/backend.h"

#include <sys/types.h>

struct cw_nursery {
    int socket; /* the manager's end */
    pid_t pid;
};

/* Forks one from the calling process, as it is now. */
int cw_nursery_start(struct cw_nursery *n, crew_error *err);

/* What a worker process needs to find its board. Pointers are the nursery's,
 * which are the manager's: it was forked from it with the segment mapped. */
struct cw_nursery_order {
    enum { CW_NURSE_FORK, CW_NURSE_SPAWN, CW_NURSE_KILL } what;
    struct cw_seat *seat;
    struct cw_bell *bell;
    struct cw_billet billet;
    int segment_fd, root_fd;
    void (*enter)(const struct cw_billet *billet);
};
int cw_nursery_ask(struct cw_nursery *n, const struct cw_nursery_order *order, crew_error *err);

/* In a fork child of the program: another thread may have been starting one. */
void cw_nursery_forked(void);

bool cw_nursery_lost(struct cw_nursery *n);

/* Ends it and every worker it has; returns when they are gone. */
void cw_nursery_stop(struct cw_nursery *n);

/* The variable that tells a spawned program what it is. */
#define CW_SPAWN_VARIABLE "CREW_SPAWNED_AS"

#endif
