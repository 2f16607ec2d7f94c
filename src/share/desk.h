/* share/desk.h - where a thread asks about an object of another node.
 *
 * Only the object's own node, its home, can say what a handle means. There a **deputy**, a
 * process for each process of another node that has asked for something, makes the call,
 * on a thread for each thread there is: so who holds a lock, waits or produces is a party
 * and a hand like any other, and when the process here ends, in whatever way, its deputy
 * is killed, and buried like any other party.
 *
 *     here: a thread        the agents of both nodes       home: its deputy's thread
 *     desk: ASKED     ──>   ASK ──────────────────────>    tray: ASKED
 *     sleeps on state                                      makes the call
 *     desk: ANSWERED  <──   <──────────────────── ANSWER   tray: DONE
 *
 * Desk and tray are one struct: a cell in the segment of the node it is on. What has to be
 * looked at is on a pile, which the agent takes away whole; it is the one that gives back
 * cells. Long messages lie in blocks, which threads make and never the agent, for it takes
 * its time: their size is announced (ROOM), and they go in parts when there is room for
 * them (READY).
 *
 * | word            | of a desk, written by            | of a tray, by                    |
 * |-----------------|----------------------------------|----------------------------------|
 * | ask, in         | its thread, before ASKED         | the agent, before ROOM or ASKED  |
 * |                 |                                  | (in: its thread, before READY)   |
 * | told, out       | the agent, before ANSWERED       | its thread, before DONE          |
 * |                 | (out: its thread, before READY;  |                                  |
 * |                 | then only rc and error)          |                                  |
 * | state           | its thread: ASKED, READY, IDLE   | its thread: READY, DONE, GONE    |
 * |                 | the agent: ROOM, ANSWERED        | the agent: ROOM, ASKED, LEAVE,   |
 * |                 |                                  | IDLE                             |
 * | next            | who puts it on the pile: who changes the state has it then         |
 * | over            | its thread's end, or its burial  | -                                |
 * | fresh           | -                                | the agent, then the first thread |
 *
 * From ROOM to READY the desk is its thread's, whatever is heard meanwhile: were it answered
 * then, it would be put on the pile when it is there, or not be asked for by anybody.
 *
 * A thread that dies leaves its desk `over`; the agent finds those by looking at all. */
#ifndef CW_SHARE_DESK_H
#define CW_SHARE_DESK_H

#include "backend/seat.h"
#include "share/bytes.h"

enum cw_desk_state {
    CW_DESK_IDLE,
    CW_DESK_ROOM,  /* the size is known: room is wanted */
    CW_DESK_READY, /* for it: there is room (or none could be had) */
    CW_DESK_ASKED,
    CW_DESK_ANSWERED,
    CW_DESK_DONE,  /* tray: the call has returned */
    CW_DESK_LEAVE, /* tray: its thread is to end ... */
    CW_DESK_GONE   /* ... and does */
};
enum cw_desk_over { CW_DESK_LASTS, CW_DESK_LEFT, CW_DESK_DEAD };

enum { CW_ASK_PARTS = 3, CW_DESK_INLINE = 192 };

/* What is asked; enum cw_call is in api/far.h. The bytes of in[] lie one after the other. */
struct cw_ask {
    uint32_t call;
    uint32_t given; /* bit i: part i is not NULL */
    uint64_t place, check;
    double timeout;
    int64_t a, b;
    uint64_t size[CW_ASK_PARTS];
    uint64_t cap;   /* so many bytes of an answer find room; UINT64_MAX: all */
    uint64_t bytes; /* of all parts */
};

struct cw_told {
    int64_t rc, a, b;
    uint64_t bytes;
    crew_error error;
};

struct cw_desk {
    struct cw_head head;
    _Atomic uint32_t state; /* futex; enum cw_desk_state */
    uint32_t next;          /* on the pile; number + 1 */
    uint32_t fresh;         /* tray: the next one that has no thread yet; number + 1 */
    bool tray;
    _Atomic uint32_t over;  /* enum cw_desk_over */
    uint32_t party, life;   /* desk: number + 1 and generation of its process's party */
    _Atomic cw_off in, out; /* what does not find room below */
    struct cw_ask ask;
    struct cw_told told;
    _Alignas(16) char small_in[CW_DESK_INLINE];
    _Alignas(16) char small_out[CW_DESK_INLINE];
};

/* A deputy's record: a block of the agent's, at its node. */
struct cw_deputy {
    struct cw_seat seat;
    _Alignas(64) _Atomic uint32_t news;  /* futex */
    _Atomic uint32_t fresh; /* trays that have no thread yet, the newest first; number + 1 */
};

/* ---- the thread that asks ---- */

/* This thread's desk, made if it has none. Not NULL: it is IDLE. */
struct cw_desk *cw_desk_get(struct cw_self *self, crew_error *err);
/* Its thread ends. */
void cw_desk_leave(struct cw_share *share, struct cw_hand *hand);
/* Asks what desk->ask says, about these bytes, and waits for the answer, by that function: 0,
 * desk->told is there. CREW_ENOMEM, CREW_EBROKEN: nobody was asked, or the answer cannot be
 * had; after CREW_EBROKEN the desk is not this thread's any more. */
typedef void cw_desk_wait(_Atomic uint32_t *word, uint32_t seen, double timeout);
int cw_desk_ask(struct cw_self *self, struct cw_desk *desk, const struct cw_bytes *in,
                cw_desk_wait *sleep_on, crew_error *err);
/* Has read it. */
void cw_desk_clear(struct cw_share *share, struct cw_desk *desk);

/* ---- all ---- */

static inline struct cw_desk *cw_desk_at(const struct cw_share *share, uint32_t number) {
    return (struct cw_desk *)cw_cell(share, CW_DESK, number);
}
/* The bytes of a question and of an answer. */
static inline char *cw_desk_in(const struct cw_share *share, struct cw_desk *desk) {
    cw_off off = atomic_load(&desk->in);
    return off ? cw_ptr(&share->arena, off) : desk->small_in;
}
static inline char *cw_desk_out(const struct cw_share *share, struct cw_desk *desk) {
    cw_off off = atomic_load(&desk->out);
    return off ? cw_ptr(&share->arena, off) : desk->small_out;
}
/* Room for so many: in the desk, or a block in *cell. NULL: no memory. */
char *cw_desk_room(struct cw_share *share, char *small, _Atomic cw_off *cell, uint64_t bytes,
                   crew_error *err);
/* Onto the pile, in this state, and the agent is woken. */
void cw_desk_put(struct cw_share *share, struct cw_desk *desk, enum cw_desk_state state);
/* To the thread that waits at it. */
void cw_desk_turn(struct cw_desk *desk, enum cw_desk_state state);
/* Wakes the agent, if it sleeps. */
void cw_post_wake(struct cw_share *share);

/* ---- the agent ---- */

struct cw_desk *cw_tray_make(struct cw_share *share, crew_error *err);
/* Takes the pile: number + 1 of the oldest, each names the next. */
uint32_t cw_desk_take_pile(struct cw_share *share);
/* A desk or tray that nobody uses any more. */
void cw_desk_end(struct cw_share *share, struct cw_desk *desk);

#endif
