/* backend/ranks/aboard.h - members that are threads of the rank itself.
 *
 * With CREW_ISOLATE=0 tasks run in the ranks, so that they may call MPI. A rank then has
 * a thread for each member instead of a process. Nothing can end one. */
#ifndef CW_BACKEND_RANKS_ABOARD_H
#define CW_BACKEND_RANKS_ABOARD_H

#include "backend/backend.h"

/* The threads of one owner: a pool of the leader's, or a follower. NULL: none. One thread
 * of the owner's at a time may use it. */
struct cw_aboard;

struct cw_aboard_post {
    struct cw_seat *seat;
    struct cw_bell *bell;
    struct cw_billet billet;
    void (*enter)(const struct cw_billet *billet);
};

/* Brings the member of a seat that is ASKED: it is ALIVE, or ENDED with cw_seat.sys set
 * and CREW_EAGAIN returned. */
int cw_aboard_start(struct cw_aboard **all, const struct cw_aboard_post *post, crew_error *err);
/* Forgets the threads that have ended. */
void cw_aboard_clear(struct cw_aboard **all);
/* Waits for all. */
void cw_aboard_join(struct cw_aboard **all);

#endif
