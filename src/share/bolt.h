/* share/bolt.h - a lock in one word, whose holder may die.
 *
 * The word names the hand that holds it. A process killed anywhere leaves it
 * held by that hand or not held: its burial passes it on. What a bolt guards is
 * put right by the kind's `bury`, while the word still names the dead hand.
 *
 *     0: free · hand + 1: held · WAITED: somebody sleeps on it
 *     DIED: free, and its last holder died holding it
 *
 * At rest the word is 0, also between two objects of one cell: whoever still
 * waits for the bolt of an object that was destroyed gets it, looks at the
 * generation, and lets go. */
#ifndef CW_SHARE_BOLT_H
#define CW_SHARE_BOLT_H

#include "os/clock.h"
#include "share/share.h"

typedef struct cw_bolt {
    _Atomic uint32_t word;
} cw_bolt;

#define CW_BOLT_HAND 0x0fffffffu
#define CW_BOLT_DIED 0x10000000u
#define CW_BOLT_WAITED 0x80000000u

int cw_bolt_wait(struct cw_self *self, cw_bolt *bolt, double timeout);
void cw_bolt_wake(cw_bolt *bolt);

/* 0, CREW_OWNERDEAD, or CREW_ETIMEDOUT. By a hand that does not hold it. */
static inline int cw_bolt_acquire(struct cw_self *self, cw_bolt *bolt, double timeout) {
    uint32_t free = 0;
    /* Acquire: pairs with the release below, what the last holder wrote. */
    if (atomic_compare_exchange_strong_explicit(&bolt->word, &free, self->number + 1,
                                                memory_order_acquire, memory_order_relaxed))
        return 0;
    return cw_bolt_wait(self, bolt, timeout);
}

static inline void cw_bolt_release(cw_bolt *bolt) {
    /* Sequentially consistent, as gates need it: see cw_gate_wake. */
    if (atomic_exchange(&bolt->word, 0) & CW_BOLT_WAITED)
        cw_bolt_wake(bolt);
}

/* The hand that holds it, + 1. */
static inline uint32_t cw_bolt_holder(const cw_bolt *bolt) {
    return atomic_load_explicit(&bolt->word, memory_order_acquire) & CW_BOLT_HAND;
}

/* The same for that hand (+ 1) alone: false if it does not hold it (any more). Who
 * releases an object's lock may be late: it was destroyed, and is another's. */
static inline bool cw_bolt_release_of(cw_bolt *bolt, uint32_t hand) {
    uint32_t word = hand;
    while (!atomic_compare_exchange_strong(&bolt->word, &word, 0))
        if ((word & CW_BOLT_HAND) != hand)
            return false;
    if (word & CW_BOLT_WAITED)
        cw_bolt_wake(bolt);
    return true;
}

/* True if a hand of this (dead) party holds it. */
bool cw_bolt_is_of(const struct cw_share *share, const cw_bolt *bolt, uint32_t party);
/* Takes it away from such a hand. tell: the next one is told of it. */
void cw_bolt_bury(cw_bolt *bolt, bool tell);

#endif
