/* share/ferry.h - what the processes of a node ask of other nodes about arrays.
 *
 * A **boat** is one question and its answer: a slot in the node's segment with room for
 * data. A thread takes one, fills it in, and sleeps on it; the node's agent carries the
 * question to the agents of other nodes (or to all of them) and brings back what they
 * say. What is in a boat that has been asked is the agent's: it is carried to its end,
 * whatever becomes of the process that has asked.
 *
 *     FREE ──thread──> TAKEN ──thread──> ASKED ──agent──> OUT ──agent──> BACK ──thread──> FREE
 *                                          └── its thread dies: ORPHAN ──agent──> FREE
 *
 * | word         | written by                                                         |
 * |--------------|--------------------------------------------------------------------|
 * | word         | as above; names the hand (+ 1) that has it, so that a death frees it |
 * | ask, room    | its thread while TAKEN; the agent while OUT                        |
 * | told         | the agent, before BACK                                             |
 * | gone         | the agent: the array of a LOOK that is BACK was destroyed meanwhile; |
 * |              | the node that was to be asked had been lost, to all, before         |
 *
 * `adopting` is held by who makes this node's part of an array of another node's. */
#ifndef CW_SHARE_FERRY_H
#define CW_SHARE_FERRY_H

#include "share/share.h"

enum cw_boat_phase {
    CW_BOAT_FREE,
    CW_BOAT_TAKEN,
    CW_BOAT_ASKED,
    CW_BOAT_OUT,
    CW_BOAT_BACK,
    CW_BOAT_ORPHAN
};

enum { CW_BOATS = 64, CW_BOAT_ROOM = 1 << 20 };
enum { CW_TO_OTHERS = -1, CW_TO_AGENT = -2 }; /* cw_freight.node */

enum cw_freight_op {
    CW_F_LOOK = 1, /* its home: what does the array look like? */
    CW_F_MAKE,     /* others: make your part of it */
    CW_F_END,      /* its home: destroy it */
    CW_F_SWEEP,    /* agent: until all nodes know of those that were destroyed here */
    CW_F_GET,      /* elements of a node's part */
    CW_F_PUT,
    CW_F_ADD,
    CW_F_RESET,    /* others: all elements are this one; `use` is `code` */
    CW_F_CAST      /* agent: these bytes of this node's part to all others */
};

/* A question; travels as it is, with `bytes` of data behind it. */
struct cw_freight {
    uint32_t op;
    int32_t node;
    uint64_t place, check; /* of the array, as its home calls it */
    int64_t at;            /* bytes from its element 0 on */
    int64_t n, stride;     /* elements */
    int32_t type, code;
    uint64_t bytes;
};

struct cw_boat {
    _Atomic uint32_t word; /* futex: phase << 28 | hand + 1 */
    _Atomic uint32_t gone;
    struct cw_freight ask;
    crew_error told; /* code 0: well, and `ask.bytes` of data are there */
    _Atomic cw_off room;
};

struct cw_ferry {
    _Atomic uint32_t open;  /* there is an agent */
    _Atomic uint32_t lost;  /* so many nodes have been lost */
    _Atomic uint32_t asked; /* boats, since the agent has looked */
    _Atomic uint32_t freed; /* futex */
    _Atomic uint64_t reads, pulls; /* one-sided: elements that came so, of gets and of puts */
    pthread_mutex_t adopting; /* robust */
    struct cw_boat boats[CW_BOATS];
};

static inline uint32_t cw_boat_word(enum cw_boat_phase phase, uint32_t hand) {
    return (uint32_t)phase << 28 | hand;
}
static inline enum cw_boat_phase cw_boat_phase(uint32_t word) {
    return (enum cw_boat_phase)(word >> 28);
}

/* Of this node; NULL where the program has one node. */
static inline struct cw_ferry *cw_ferry(const struct cw_share *share) {
    return cw_ptr(&share->arena, atomic_load(&share->commons->ferry));
}

/* By the leader of a node of several: where it is. 0: no memory. */
cw_off cw_ferry_make(struct cw_share *share, crew_error *err);

/* ---- the thread that asks: see also api/array_impl.h ---- */

/* A free boat for that hand (+ 1); NULL: there is none now. */
struct cw_boat *cw_boat_find(struct cw_ferry *ferry, uint32_t hand);
/* Asks. */
void cw_boat_post(struct cw_share *share, struct cw_boat *boat, uint32_t hand);
void cw_boat_leave(struct cw_share *share, struct cw_boat *boat);
static inline char *cw_boat_room(const struct cw_share *share, const struct cw_boat *boat) {
    return cw_ptr(&share->arena, atomic_load(&boat->room));
}
/* The hand (+ 1) is nobody's any more. */
void cw_ferry_forget(struct cw_share *share, uint32_t hand);

/* ---- the agent ---- */

/* Takes the next boat that was asked, from *from on. NULL: there is none. */
struct cw_boat *cw_ferry_next(struct cw_ferry *ferry, int *from);
/* It has its answer. */
void cw_boat_back(struct cw_ferry *ferry, struct cw_boat *boat);

#endif
