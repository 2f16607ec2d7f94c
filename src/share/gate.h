/* share/gate.h - sleeping until something about an object changes.
 *
 *     for (;;) {
 *         uint32_t seen = cw_gate_look(gate);
 *         if (what it waits for is there) ...
 *         if (!cw_gate_wait(self, gate, seen, &deadline)) time is over
 *     }
 *
 * Whoever changes it calls cw_gate_wake afterwards; while nobody sleeps that is a
 * fence and a load. A sleeper that is killed after it was woken took the wake-up
 * with it, and who is killed before or in cw_gate_wake may have woken nobody: so
 * `bury` of a kind with gates calls cw_gate_bury for each, which costs a load where
 * nobody sleeps.
 *
 *     sleepers: 0 none · SOME perhaps · WAKING: somebody is about to wake them all
 *
 * At rest both words may have any value. */
#ifndef CW_SHARE_GATE_H
#define CW_SHARE_GATE_H

#include "os/clock.h"
#include "share/share.h"

#include <limits.h>

typedef struct cw_gate {
    _Atomic uint32_t turn;     /* futex */
    _Atomic uint32_t sleepers;
} cw_gate;

enum { CW_GATE_SOME = 1, CW_GATE_WAKING };

/* Says that this thread may sleep; then the caller looks at its condition. */
static inline uint32_t cw_gate_look(cw_gate *gate) {
    uint32_t turn = atomic_load_explicit(&gate->turn, memory_order_acquire);
    if (atomic_load_explicit(&gate->sleepers, memory_order_relaxed) != CW_GATE_SOME)
        atomic_store_explicit(&gate->sleepers, CW_GATE_SOME, memory_order_relaxed);
    /* Pairs with the fence in cw_gate_wake: either that one sees `sleepers`, or
     * the caller sees what was changed before it. */
    atomic_thread_fence(memory_order_seq_cst);
    return turn;
}

/* Sleeps if nothing happened since `seen`; at most for a while: the caller looks
 * again. False: the time is over. */
bool cw_gate_wait(struct cw_self *self, cw_gate *gate, uint32_t seen, struct cw_deadline *deadline);

void cw_gate_open(cw_gate *gate, int how_many);

/* Wakes so many of those that sleep, INT_MAX: all. */
static inline void cw_gate_wake(cw_gate *gate, int how_many) {
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&gate->sleepers, memory_order_relaxed))
        cw_gate_open(gate, how_many);
}

/* Of a gate at which one who died may have had something to tell, or to pass on. */
static inline void cw_gate_bury(cw_gate *gate) {
    cw_gate_wake(gate, INT_MAX);
}

#endif
