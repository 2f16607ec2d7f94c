/* share/nap.h - what a thread waits for, written where others see it and answer.
 *
 * A condition and a barrier have no list of who waits: each waiting hand says so
 * itself, and whoever has something to tell looks through the hands.
 *
 *     nap: how often it changed (29) | state (3)      a futex
 *
 * | word              | written by                                            |
 * |-------------------|-------------------------------------------------------|
 * | waits_for, ticket | its thread, while the state is NONE                   |
 * | nap               | its thread; an ASKING state also by others, who answer|
 * |                   | by one compare-and-swap of the nap they have seen      |
 *
 * The count makes sure that an answer is to what was asked. A cell of a hand that
 * died asking keeps that until its next thread asks: what it asked is stale. */
#ifndef CW_SHARE_NAP_H
#define CW_SHARE_NAP_H

#include "share/share.h"

enum cw_nap {
    CW_NAP_NONE,
    CW_NAP_COND, /* asking */
    CW_NAP_NOTIFIED,
    CW_NAP_ROUND, /* asking: how a round of a barrier ended */
    CW_NAP_PASSED,
    CW_NAP_BROKEN
};
enum { CW_NAP_STATE = 7 };

static inline enum cw_nap cw_nap_state(uint32_t nap) {
    return (enum cw_nap)(nap & CW_NAP_STATE);
}
static inline uint32_t cw_nap_next(uint32_t nap, enum cw_nap state) {
    return ((nap & ~(uint32_t)CW_NAP_STATE) + CW_NAP_STATE + 1) | (uint32_t)state;
}

/* The object of a cell in this generation. */
static inline uint64_t cw_nap_object(const struct cw_head *head, uint32_t generation) {
    return (uint64_t)generation << 32 | head->number;
}

/* All of this is sequentially consistent: who looks at the nap and then at the other
 * two, and then at the nap once more, has seen three that belong together. */
static inline void cw_nap_ask(struct cw_hand *hand, enum cw_nap state, uint64_t waits_for,
                              uint64_t ticket) {
    uint32_t nap = cw_nap_next(atomic_load(&hand->nap), CW_NAP_NONE);
    atomic_store(&hand->nap, nap);
    atomic_store(&hand->waits_for, waits_for);
    atomic_store(&hand->ticket, ticket);
    atomic_store(&hand->nap, cw_nap_next(nap, state));
}

/* By its thread, when it has read the answer. */
static inline void cw_nap_end(struct cw_hand *hand) {
    atomic_store(&hand->nap, cw_nap_next(atomic_load(&hand->nap), CW_NAP_NONE));
}

/* By its thread or another, once: false if the nap is another by now. */
static inline bool cw_nap_answer(struct cw_hand *hand, uint32_t nap, enum cw_nap answer) {
    return atomic_compare_exchange_strong(&hand->nap, &nap, cw_nap_next(nap, answer));
}

static inline bool cw_nap_is(const struct cw_hand *hand, uint32_t nap, enum cw_nap state,
                             uint64_t waits_for) {
    return cw_nap_state(nap) == state && atomic_load(&hand->waits_for) == waits_for;
}

/* For burials: a hand of the dead party. */
static inline bool cw_nap_of(const struct cw_hand *hand, uint32_t party) {
    return cw_head_live(&hand->head) && hand->party == party;
}

#endif
