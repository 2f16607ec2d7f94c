/* share/bolt.h - a lock in one word, whose holder may die.
 *
 * The word names the hand that holds it. A process killed anywhere leaves it
 * held by that hand or not held: its burial passes it on. What a bolt guards is
 * put right by the kind's `bury`, while the word still names the dead hand.
 *
 *     generation of the cell (32) | state (32)        the state is a futex
 *
 *     0: free · hand + 1: held · WAITED: somebody sleeps on it
 *     DIED: free, and its last holder died holding it
 *
 * Who acquires and who releases says for which object in the cell: a bolt is never
 * held, taken away or let go by somebody who means the object before. The kind's
 * `turn` gives its bolts to the next object, and to none when one has ended. */
#ifndef CW_SHARE_BOLT_H
#define CW_SHARE_BOLT_H

#include "os/clock.h"
#include "share/share.h"

typedef struct cw_bolt {
    _Atomic uint64_t word;
} cw_bolt;

#define CW_BOLT_HAND 0x0fffffffu
#define CW_BOLT_DIED 0x10000000u
#define CW_BOLT_WAITED 0x80000000u

static inline uint64_t cw_bolt_tag(uint64_t check) {
    return check << 32;
}

int cw_bolt_wait(struct cw_self *self, cw_bolt *bolt, uint64_t check, double timeout);
void cw_bolt_wake(cw_bolt *bolt);

/* 0, CREW_OWNERDEAD, CREW_ETIMEDOUT, or CREW_EINVAL: the object of that handle (its
 * `check`) is gone. By a hand that does not hold it. */
static inline int cw_bolt_acquire(struct cw_self *self, cw_bolt *bolt, uint64_t check,
                                  double timeout) {
    uint64_t free = cw_bolt_tag(check);
    /* Acquire: pairs with the release below, what the last holder wrote. */
    if (atomic_compare_exchange_strong_explicit(&bolt->word, &free, free | (self->number + 1),
                                                memory_order_acquire, memory_order_relaxed))
        return 0;
    return cw_bolt_wait(self, bolt, check, timeout);
}

/* For that hand (+ 1). False if it does not hold it for that object (any more). */
static inline bool cw_bolt_release_of(cw_bolt *bolt, uint64_t check, uint32_t hand) {
    const uint64_t held = cw_bolt_tag(check) | hand;
    uint64_t word = held;
    /* Sequentially consistent, as gates need it: see cw_gate_wake. */
    while (!atomic_compare_exchange_strong(&bolt->word, &word, cw_bolt_tag(check)))
        if ((word & ~(uint64_t)CW_BOLT_WAITED) != held)
            return false;
    if (word & CW_BOLT_WAITED)
        cw_bolt_wake(bolt);
    return true;
}

static inline void cw_bolt_release(const struct cw_self *self, cw_bolt *bolt, uint64_t check) {
    cw_bolt_release_of(bolt, check, self->number + 1);
}

/* The hand that holds it, + 1. */
static inline uint32_t cw_bolt_holder(const cw_bolt *bolt) {
    return (uint32_t)atomic_load_explicit(&bolt->word, memory_order_acquire) & CW_BOLT_HAND;
}

/* The same if it holds it for that object; 0: nobody does. */
static inline uint32_t cw_bolt_holder_for(const cw_bolt *bolt, uint64_t check) {
    uint64_t word = atomic_load_explicit(&bolt->word, memory_order_acquire);
    return word >> 32 == (uint32_t)check ? (uint32_t)word & CW_BOLT_HAND : 0;
}

/* Free, and the generation's; whoever still waits for the one before learns of it. */
void cw_bolt_turn(cw_bolt *bolt, uint32_t generation);

/* True if a hand of this (dead) party holds it. */
bool cw_bolt_is_of(const struct cw_share *share, const cw_bolt *bolt, uint32_t party);
/* Takes it away from such a hand. tell: the next one is told of it. */
void cw_bolt_bury(const struct cw_share *share, cw_bolt *bolt, uint32_t party, bool tell);

#endif
