/* backend/seat.h - where a member sits: who it is, and how it ended.
 *
 * One a member, in the segment. The manager asks for a member, the backend
 * brings it and says when it is gone.
 *
 *     EMPTY --manager--> ASKED --backend--> ALIVE --backend--> ENDED --manager--> EMPTY
 *                          `------------- (could not) ----------^              */
#ifndef CW_BACKEND_SEAT_H
#define CW_BACKEND_SEAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { CW_SEAT_EMPTY = 0, CW_SEAT_ASKED, CW_SEAT_ALIVE, CW_SEAT_ENDED };

/* Exit codes of a worker process that mean something to the manager. A task's
 * own _exit with the same code is told apart by cw_seat.farewell. */
enum { CW_EXIT_DONE = 0, CW_EXIT_SETUP = 113 };

/* How a member left: cw_seat.farewell. */
enum {
    CW_FAREWELL_NONE = 0,
    CW_FAREWELL_ORDER, /* in order: drained or recycled */
    CW_FAREWELL_SWEPT  /* it had to go with its nursery: not by its own fault */
};

/* What a member was about when it ended before it lived. */
enum cw_step {
    CW_STEP_SETTLED, /* it is past all these */
    CW_STEP_FORK,    /* its process or thread was being made */
    CW_STEP_EXEC,    /* the program was being started again */
    CW_STEP_MAIN,    /* that program was on its way to crew_init */
    CW_STEP_BOARD,   /* finding the board */
    CW_STEP_OBJECTS, /* joining those who share objects */
    CW_STEP_THREAD,  /* making the thread for tasks */
    CW_STEP_MEMBER,  /* becoming a member */
    CW_STEP_NODE,    /* being started for another node */
    CW_STEP_FN,      /* finding its function */
    CW_STEP_CONNS    /* taking the ends of pipes that it was given */
};

struct cw_seat {
    _Atomic uint32_t state; /* futex: woken when it ends */
    _Atomic int32_t pid;      /* 0 for threads, and until there is a process */
    _Atomic int32_t status;   /* as waitpid gives it; valid when ENDED */
    _Atomic int32_t sys;      /* errno of the step that failed, 0 otherwise */
    _Atomic uint32_t step;    /* enum cw_step */
    _Atomic uint32_t farewell; /* CW_FAREWELL_... */
};

/* Whether somebody comes to a seat that may be another's afterwards. Who forks him says
 * so here before anything else, who gives up calls it off: one of the two succeeds.
 * The number, of who asks, is never used again; the word is 0 at first.
 *
 *     number << 2 | ASKED, then | BEGUN or | OFF */
enum { CW_BIRTH_ASKED = 1, CW_BIRTH_BEGUN, CW_BIRTH_OFF };
typedef _Atomic uint64_t cw_birth;
static inline bool cw_birth_turn(cw_birth *birth, uint64_t number, unsigned to) {
    uint64_t asked = number << 2 | CW_BIRTH_ASKED;
    return atomic_compare_exchange_strong(birth, &asked, number << 2 | to);
}

/* What the manager's service thread sleeps on: deaths, ends, room. */
struct cw_bell {
    _Atomic uint32_t count; /* futex */
    _Atomic uint32_t sleeping;
    _Atomic uint32_t deaths; /* processes that have ended */
};

void cw_bell_ring(struct cw_bell *bell);
/* By who brings members: this one has ended, and how. */
void cw_seat_end(struct cw_seat *seat, struct cw_bell *bell, int status);

#endif
