/* share/event.h - events: a flag that threads wait for.
 *
 *     word: generation of the cell (32) | how often it was set and cleared (32)
 *
 * An odd count is set. So a waiter that wakes up late sees that it was set, also if
 * it has been cleared since. Everybody changes the word, by compare-and-swap; a
 * death after that and before the wake-up is made good by burials, which wake all. */
#ifndef CW_SHARE_EVENT_H
#define CW_SHARE_EVENT_H

#include "share/gate.h"

struct cw_event {
    struct cw_head head;
    _Atomic uint64_t word;
    cw_gate gate;
};

int cw_event_init(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err);

/* 1: set, 0: not; CREW_EINVAL: the object was destroyed. */
static inline int cw_event_is_set(const struct cw_event *event, uint64_t check) {
    /* Acquire: pairs with the swap in cw_event_turn. */
    uint64_t word = atomic_load_explicit(&event->word, memory_order_acquire);
    return word >> 32 == (check & 0xffffffff) ? (int)(word & 1) : CREW_EINVAL;
}
/* Sets or clears it: 0 or CREW_EINVAL. */
int cw_event_turn(struct cw_event *event, uint64_t check, bool on);
/* 0, CREW_ETIMEDOUT or CREW_EINVAL. */
int cw_event_wait(struct cw_self *self, struct cw_event *event, uint64_t check, double timeout);

#endif
