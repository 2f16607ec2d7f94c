/* share/proc.h - a process that was started: its record.
 *
 * | word               | written by                                          |
 * |--------------------|-----------------------------------------------------|
 * | seat               | who starts it, then its ward, until ENDED; if the   |
 * |                    | ward is dead, whoever sees that                     |
 * | ward               | who starts it, or the ward itself                   |
 * | birth              | who starts it; then, once, its ward, or whoever     |
 * |                    | gives up: who starts it, or its burial              |
 * | ready, party       | the process itself                                  |
 * | parent             | who starts it; 0 when that party is dead            |
 * | signals            | who sends some; taken by the agent                  |
 * | arg, conns         | who starts it; freed by the parent after the end    |
 *
 * The argument is in a cell of its starter's hand (maker) until the record is there,
 * and for a moment in both: then it is the record's, and `bury` clears the hand's.
 *
 * A process on another node (away) has a record here, which all of this node go by, and
 * one there, where it is a process like any other. This one's seat is the agent's
 * (api/process_home.c): it has no ward, and its pid is none of this node's.
 *
 * A record whose process has not ended is never used again: its ward writes to it.
 * One whose parent is dead goes with a later burial. */
#ifndef CW_SHARE_PROC_H
#define CW_SHARE_PROC_H

#include "backend/seat.h"
#include "os/object.h"
#include "share/share.h"

/* In the root segment, one a program: how processes reach its agent. */
struct cw_proc_post {
    _Atomic uint32_t news; /* 1: some record has signals */
    cw_off word;           /* what the agent sleeps on, see fleet/agent.h */
};

struct cw_proc {
    struct cw_head head;
    struct cw_seat seat;     /* seat.state is a futex: ENDED wakes all */
    _Atomic uint32_t ready;  /* futex; 1: it has what it was given, and runs */
    _Atomic uint32_t parent; /* number + 1 of the party */
    _Atomic uint32_t party;  /* its own; 0: it has not joined */
    _Atomic int32_t ward;    /* the pid of who forks it and waits for it */
    _Atomic uint32_t maker;  /* hand + 1 */
    cw_birth birth;          /* its number: the generation */
    bool daemon, itself;     /* itself: the record of a process that nobody started so */
    bool alone;              /* it is its ward's only child */
    bool away, lost;         /* lost: with its node */
    bool sent;               /* away: it was sent for; the agent's */
    int node;                /* that it runs on */
    _Atomic uint32_t signals; /* away: to be sent; a bit each, of CW_PROC_TERM ... */
    cw_off post;
    int depth, cores;
    cw_fn_name fn;
    _Atomic cw_off arg;
    uint64_t arg_size;
    _Atomic cw_off conns;
    uint32_t nconns;
    _Atomic uint32_t noticed; /* its parent knows of its end */
    uint64_t from_place, from_check; /* its parent's handle */
    char name[48];
};

enum { CW_PROC_TERM = 1, CW_PROC_KILL = 2 };

static inline struct cw_proc *cw_proc_at(const struct cw_share *share, uint32_t number) {
    return (struct cw_proc *)cw_cell(share, CW_PROCESS, number);
}
static inline bool cw_proc_ended(const struct cw_proc *proc) {
    return atomic_load_explicit(&proc->seat.state, memory_order_acquire) == CW_SEAT_ENDED;
}
/* The handle's first half; the second is the generation and the session. */
static inline uint64_t cw_proc_place(const struct cw_share *share, const struct cw_proc *proc) {
    return cw_share_off(share, proc) | (uint64_t)CW_PROCESS << 48;
}
static inline uint64_t cw_proc_check(const struct cw_share *share, const struct cw_proc *proc) {
    return cw_handle_check(share, atomic_load(&proc->head.generation));
}

#endif
