/* The slow half of gates. */
#include "share/gate.h"

#include "os/futex.h"

/* How long a sleeper trusts that somebody else sees deaths. */
static const double LOOK_AGAIN = 0.5;

bool cw_gate_wait(struct cw_self *self, cw_gate *gate, uint32_t seen,
                  struct cw_deadline *deadline) {
    if (cw_deadline_over(deadline))
        return false;
    double slice = cw_deadline_slice(deadline);
    if (slice < 0 || slice > LOOK_AGAIN)
        slice = LOOK_AGAIN;
    /* Before it can take a wake-up: see wake_neighbours in party.c. */
    atomic_store(&self->hand->at, cw_share_off(self->share, &gate->turn));
    bool woken = cw_futex_wait(&gate->turn, seen, slice);
    atomic_store_explicit(&self->hand->at, 0, memory_order_release);
    if (!woken && slice == LOOK_AGAIN)
        cw_party_bury(self->share);
    return true;
}

void cw_gate_open(cw_gate *gate, int how_many) {
    atomic_fetch_add(&gate->turn, 1);
    if (how_many != INT_MAX && cw_futex_wake(&gate->turn, how_many) > 0)
        return;
    /* Nobody sleeps, or all are woken. Who said so before this and has not slept yet
     * finds that the turn has changed, and says so again; who says so after it is
     * not forgotten. A death in between leaves WAKING, to a burial. */
    uint32_t waking = CW_GATE_WAKING;
    atomic_store(&gate->sleepers, waking);
    atomic_fetch_add(&gate->turn, 1);
    cw_futex_wake(&gate->turn, INT_MAX);
    atomic_compare_exchange_strong(&gate->sleepers, &waking, 0);
}
