/* share/barrier.h - barriers: parties that wait for each other, round after round.
 *
 *     word: round (32) | the one before was broken (1) | state (2) | count (29)
 *
 * | word            | written by                                          |
 * |-----------------|-----------------------------------------------------|
 * | word            | everybody, by compare-and-swap                      |
 * | parties, action | who makes the object                                |
 * | actor           | the last to arrive: hand + 1, with the round above  |
 *
 *     FILLING ──the last arrives──> ACTING ──the action has run──> FILLING, next round
 *        └────── a time is over, a death, abort ──┴──> BROKEN ──reset──┘
 *
 * A thread says that it is in a round (share/nap.h), then counts itself in the word;
 * if the word has changed it begins anew. So who dies inside has said so. How a round ended is told
 * to its threads by the word, for one round; before the next one may end as well, whoever ends it
 * answers all hands that have not looked yet. (To one that had said it was in the round and was not
 * counted this means nothing: it knows that.)
 *
 * A death anywhere between leaves a hand that is in the wait, and its burial breaks
 * the round, or the one that goes on by then: the dead one comes to none. The last to
 * arrive buries those who have died in the wait, before it acts and before it ends the
 * round: nobody passes who could know of a death in it. A death after
 * the swap that ends a round: it has ended; burials wake all. The action may wait for
 * something else, so that its hand no longer says that it is in the round: `actor`
 * does. */
#ifndef CW_SHARE_BARRIER_H
#define CW_SHARE_BARRIER_H

#include "os/object.h"
#include "share/gate.h"

struct cw_barrier {
    struct cw_head head;
    _Atomic uint64_t word;
    _Atomic uint64_t action_object, action_offset; /* a cw_fn_name */
    _Atomic uint64_t actor;
    _Atomic uint32_t parties;
    cw_gate gate;
};

enum { CW_BARRIER_COUNT_BITS = 29 };
#define CW_BARRIER_MOST (((int64_t)1 << CW_BARRIER_COUNT_BITS) - 1) /* parties */

struct cw_barrier_plan {
    uint32_t parties;
    cw_fn_name action;
};
int cw_barrier_init(struct cw_share *share, struct cw_head *head, void *plan, crew_error *err);

/* A thread's place in a round. */
struct cw_turn {
    uint32_t round;
    uint32_t index; /* as how many-eth it has arrived, from 0 */
    bool last;      /* it runs the action, and ends the round */
};

/* All of them: 0, CREW_EBROKEN, or CREW_EINVAL: the object was destroyed; those that
 * wait CREW_ETIMEDOUT. */

/* Arrives. After 0 either cw_barrier_end follows (the last one), or cw_barrier_await. */
int cw_barrier_arrive(struct cw_self *self, struct cw_barrier *barrier, uint64_t check,
                      struct cw_deadline *deadline, struct cw_turn *turn);
/* The action has run; it failed: the barrier breaks (0 too). */
int cw_barrier_end(struct cw_self *self, struct cw_barrier *barrier, uint64_t check,
                   const struct cw_turn *turn, bool failed);
int cw_barrier_await(struct cw_self *self, struct cw_barrier *barrier, uint64_t check,
                     struct cw_deadline *deadline, const struct cw_turn *turn);

int cw_barrier_abort(struct cw_barrier *barrier, uint64_t check);
int cw_barrier_reset(struct cw_self *self, struct cw_barrier *barrier, uint64_t check);

struct cw_barrier_state {
    uint32_t parties, waiting;
    bool broken;
    cw_fn_name action;
};
int cw_barrier_look(const struct cw_barrier *barrier, uint64_t check,
                    struct cw_barrier_state *state);

#endif
