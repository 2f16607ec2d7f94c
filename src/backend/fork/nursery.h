/* backend/fork/nursery.h - the process that forks workers.
 *
 * Forked from the manager, single-threaded, and nobody's child: a user's wait()
 * never sees it. It alone forks, so a worker that dies is replaced from the same
 * clean image, and a manager with threads is never forked in mid-work. It ends
 * when its manager does (a pidfd, and the socket between them), and takes its
 * workers along; they in turn end with it (PR_SET_PDEATHSIG, which is safe here
 * because its only thread forks them). It is a subreaper: what its workers leave
 * behind falls to it and not to pid 1.
 *
 * nursery.c is the manager's side, ward.c the process itself, spawn.c how a
 * worker becomes a fresh program. */
#ifndef CW_BACKEND_FORK_NURSERY_H
#define CW_BACKEND_FORK_NURSERY_H

#include "backend/backend.h"
#include "os/descriptor.h"
#include "os/signals.h"

#include <sys/types.h>

struct cw_nursery {
    int socket;  /* the manager's end; -1: there is no nursery */
    int process; /* readable once it has ended; -1 where the kernel has none */
    pid_t pid;
    struct cw_descriptor_id id; /* of the socket */
};

/* Forks one from the calling process, as it is now. */
int cw_nursery_start(struct cw_nursery *n, crew_error *err);

/* What a worker process needs to find its board. Pointers are the nursery's,
 * which are the manager's: it was forked from it with the segment mapped (or has been
 * moved to another one, and said where it has that). */
struct cw_nursery_order {
    enum { CW_NURSE_FORK, CW_NURSE_SPAWN, CW_NURSE_KILL, CW_NURSE_ADOPT } what;
    struct cw_seat *seat;
    struct cw_bell *bell;
    struct cw_billet billet;
    int segment_fd, root_fd;
    struct cw_signals signals; /* the manager's, see os/signals.h */
    void (*enter)(const struct cw_billet *billet);
    _Atomic int32_t *ward; /* in the segment, or NULL: gets the nursery's pid beforehand */
    cw_birth *birth;       /* the same: see backend/seat.h */
    uint64_t number;
    int (*adopt)(int fd, cw_segment *segment, crew_error *err); /* ADOPT: see below */
};
/* A nursery for one child of the calling process as it is now: nobody needs to talk
 * to it, and it holds no descriptor of the caller's. The seat says the rest. */
int cw_nursery_single(const struct cw_nursery_order *order, crew_error *err);
/* Such a one has ended, or is about to: if this process is the one to which orphans
 * fall (pid 1 of a container) it is ours to wait for. */
void cw_nursery_bury(pid_t nursery);
int cw_nursery_ask(struct cw_nursery *n, const struct cw_nursery_order *order, crew_error *err);

/* A move to another segment, whose boards belong to another process: the leader of a
 * node. From then on seats and the bell lie there. */
struct cw_nursery_move {
    int segment; /* descriptor of the segment; stays the caller's */
    int leader;  /* readable once that process has ended: so does the nursery. -1: none */
    /* Called in the nursery, once: makes the segment of fd, which it takes, its session's
     * own and root in place of the one it has. */
    int (*adopt)(int fd, cw_segment *segment, crew_error *err);
};
/* *base: where the nursery has mapped it. On failure the nursery is of no use any
 * more. */
int cw_nursery_adopt(struct cw_nursery *n, const struct cw_nursery_move *move, char **base,
                     crew_error *err);

/* In a fork child of the program: another thread may have been starting one. */
void cw_nursery_forked(void);

/* True, with the reason, once it is gone or cannot be reached any more. */
bool cw_nursery_lost(struct cw_nursery *n, crew_error *err);

/* Ends it and every worker it has; returns when they are gone. */
void cw_nursery_stop(struct cw_nursery *n);

/* ---- ward.c ---- */

/* Descriptors with an ADOPT: the segment's, and the leader's. */
enum { CW_WARD_DESCRIPTORS = 2 };

/* What it answers to an ADOPT. */
struct cw_ward_answer {
    char *base;
    crew_error err; /* code 0: it has moved */
};

/* What a nursery starts with: its end of the socket, and a descriptor that is
 * readable when the manager has ended (-1: there is none). */
struct cw_ward_start {
    int socket, manager;
};
/* Whether that process is a nursery. */
bool cw_ward_is(const char *pid);
_Noreturn void cw_ward_main(const struct cw_ward_start *start);
/* One that has a single child, given with its birth, and ends with it. */
_Noreturn void cw_ward_single(const struct cw_ward_start *start,
                              const struct cw_nursery_order *order);

#endif
