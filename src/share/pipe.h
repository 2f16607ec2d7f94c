/* share/pipe.h - pipes: two ends, a flow of messages in one direction or in both.
 *
 * flow[e] is what end e receives; a one-way pipe has flow[0] only. A flow is a ring
 * of bytes in a block of its own, made by the first message. A record is a word
 * (size and kind) and, rounded up to words, its bytes; a message of more than
 * CW_PIPE_INLINE lies in a block of its own, and the record holds where. `head` and
 * `tail` count bytes since the pipe was made: each message is sent by one store of
 * `head`, taken by one store of `tail`.
 *
 * An end is used by the process that owns it. Who uses an end of another's takes it
 * over first: with both its bolts, so that inside a bolt of a live end there is
 * never any hand but its owner's. Hence who owns nothing needs no bolt to know that
 * nobody is inside: that is what an end of the pipe rests on.
 *
 * `owners` holds both ends' owners and 14 bits of the pipe's generation:
 *
 *     party            uses it          GOING: the owner is dead (or closes it: SHUT);
 *     CW_END_ORPHAN    the owner died          the far side is being told
 *     CW_END_CLOSED    for good         NEWS:  an owner died, and the far side has not
 *                                              read that yet
 *
 * The far side reads end-of-file after the last message of an owner that died, also
 * if another has taken the end over by then: who sends first puts a record of it
 * before its message, or the far side, finding the ring empty, takes the NEWS.
 *
 * | word                | written by                | after a death before its store       |
 * |---------------------|---------------------------|--------------------------------------|
 * | owners              | taking over, closing,     | as before; GOING: bury tells again   |
 * |                     | bury: compare and swap    |                                      |
 * | put.head            | who holds put.bolt        | the message was not sent; its block  |
 * |                     |                           | is the hand's                        |
 * | put.at              | the same                  | head > at: sent, the block is the    |
 * |                     |                           | ring's: bury clears the hand's cell  |
 * | take.tail           | who holds take.bolt       | the message is still there; bury     |
 * |                     |                           | clears the hand's cell               |
 * | take.at             | the same                  | tail > at: taken, the block is the   |
 * |                     |                           | hand's and goes with it              |
 * | ring                | who holds put.bolt; scrub | a block without a record             |
 * | note[e]             | end e's owner; whoever    | armed: bury pokes, since the dead    |
 * |                     | disarms it                | one owned the far end                |
 * | creator             | init, its own closing,    | as before                            |
 * |                     | bury: compare and swap    |                                      |
 *
 * The pipe ends when both ends are closed, or have no owner and its creator is dead
 * too, or has closed both, whosever they were then: nobody is left who gives one to
 * somebody.
 *
 * Lock order: put.bolt before take.bolt; no two flows' at once but those of one
 * end: what it sends, then what it receives. */
#ifndef CW_SHARE_PIPE_H
#define CW_SHARE_PIPE_H

#include "share/bolt.h"
#include "share/gate.h"

enum {
    CW_PIPE_RING = 64 << 10,
    CW_PIPE_INLINE = 16 << 10, /* longer messages have blocks of their own ... */
    CW_PIPE_AHEAD = 4 << 20,   /* ... of so many bytes, or one of any size */
};

#define CW_END_PARTY 0x3fffffu
#define CW_END_ORPHAN 0x3fffffu
#define CW_END_CLOSED 0x3ffffeu
#define CW_END_NEWS (1u << 22)
#define CW_END_GOING (1u << 23)
#define CW_END_SHUT (1u << 24)
#define CW_END_BITS 25
#define CW_PIPE_LET_GO(end) ((uint64_t)1 << (30 + (end))) /* has closed it */

struct cw_flow {
    _Alignas(64) struct {
        cw_bolt bolt;
        _Atomic uint64_t head, at;
        uint64_t tail_seen;
    } put;
    _Alignas(64) struct {
        cw_bolt bolt;
        _Atomic uint64_t tail, at;
    } take;
};

struct cw_pipe {
    struct cw_head head;
    _Atomic uint64_t owners;
    _Atomic uint64_t note[2]; /* see share/pipe_note.c */
    _Atomic uint64_t creator; /* generation (32 bits) · CW_PIPE_LET_GO of each end · its party;
                               * 0: it is dead, or has let go of both */
    bool duplex, spins;
    _Alignas(64) cw_gate data[2]; /* of flow i: it has more to take */
    cw_gate room[2];              /* there is more room */
    _Atomic cw_off ring[2];
    struct cw_flow flow[2];
};

/* One end, as a thread of its owner uses it. */
struct cw_conn {
    struct cw_self *self;
    struct cw_pipe *pipe;
    uint64_t check;
    int end;
};

static inline uint32_t cw_end_of(uint64_t owners, int end) {
    return (uint32_t)(owners >> (end * CW_END_BITS)) & ((1u << CW_END_BITS) - 1);
}
static inline uint64_t cw_end_with(uint64_t owners, int end, uint32_t word) {
    uint64_t mask = (((uint64_t)1 << CW_END_BITS) - 1) << (end * CW_END_BITS);
    return (owners & ~mask) | (uint64_t)word << (end * CW_END_BITS);
}
/* Nobody will send from there, or receive there, unless somebody takes it over. */
static inline bool cw_end_gone(uint32_t word) {
    uint32_t party = word & CW_END_PARTY;
    return word & CW_END_GOING || party == CW_END_ORPHAN || party == CW_END_CLOSED;
}
static inline bool cw_end_closed(uint32_t word) {
    return word & CW_END_SHUT || (word & CW_END_PARTY) == CW_END_CLOSED;
}
static inline bool cw_conn_receives(const struct cw_conn *c) {
    return c->end == 0 || c->pipe->duplex;
}
static inline bool cw_conn_sends(const struct cw_conn *c) {
    return c->end == 1 || c->pipe->duplex;
}

/* How a new pipe is to be: cw_object_make's arg. */
struct cw_pipe_plan {
    bool duplex, spins;
};
int cw_pipe_init(struct cw_share *share, struct cw_head *head, void *plan, crew_error *err);

/* All of these: CREW_EINVAL if the pipe is gone or this end closed, CREW_ETIMEDOUT.
 * They take the end over if another process owns it. */

/* The end is this process's from now on. */
int cw_conn_own(const struct cw_conn *c, double timeout);
/* CREW_ECLOSED: the far end is gone; CREW_EPERM: this end receives only;
 * CREW_ENOMEM with the reason in err. */
int cw_conn_send(const struct cw_conn *c, const void *data, size_t size, double timeout,
                 crew_error *err);

/* Where a message goes: into buf, or (alloc) into memory from malloc. size is that of
 * the message, also with CREW_ETOOSMALL. */
struct cw_sink {
    void *buf;
    size_t cap, size;
    bool alloc;
};
/* CREW_ECLOSED: end-of-file; CREW_EPERM: this end sends only; CREW_ENOMEM. */
int cw_conn_recv(const struct cw_conn *c, struct cw_sink *sink, double timeout);
/* Waits until a receive would not wait. */
int cw_conn_poll(const struct cw_conn *c, double timeout);
/* The end is closed if it is this process's or nobody's; else 0 all the same. */
int cw_conn_close(const struct cw_conn *c);
/* What is there, without taking anything over: 1: a receive would not wait, 0, or
 * CREW_EINVAL. */
int cw_conn_look(const struct cw_conn *c);
/* Whether c's process owns it; that lasts while it holds a bolt of the end. */
bool cw_conn_is_mine(const struct cw_conn *c);
/* Acquires the bolt with the end this process's. */
int cw_conn_enter(const struct cw_conn *c, cw_bolt *bolt, double timeout);

/* Takes all there is, without looking at it. With take.bolt. */
void cw_conn_drain(const struct cw_conn *c);
/* What scrub and bury do to flow[end]. */
void cw_flow_scrub(struct cw_share *share, struct cw_pipe *pipe, int end);
void cw_flow_bury(struct cw_share *share, struct cw_pipe *pipe, int end, uint32_t party);

/* ---- descriptors: share/pipe_note.c ---- */

/* A descriptor of this process's that is readable while cw_conn_look is not 0; or a
 * code, with err. */
int cw_conn_fd(const struct cw_conn *c, crew_error *err);
/* After something became available at that end, and a fence (cw_gate_wake). */
void cw_note_poke(struct cw_pipe *pipe, int end);
/* With take.bolt, when nothing may be left. empty: nothing was found. */
void cw_note_settle(const struct cw_conn *c, bool empty);
/* With the end's bolts, just taken over: a descriptor that this process has for it
 * is told of news again. */
void cw_note_resume(const struct cw_conn *c);
/* Closes the process's descriptor for that end, if it has one. With its bolts. */
void cw_note_drop(const struct cw_conn *c);
/* The same for all ends. */
void cw_notes_drop(void);

#endif
