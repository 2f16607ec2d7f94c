/* Waiting for a bolt. */
#include "share/bolt.h"

#include "os/futex.h"

/* About what it takes to hand over a short section; then sleep. */
enum { SPINS = 100 };

/* How long a sleeper trusts that somebody else sees the holder's death. */
static const double LOOK_AGAIN = 0.25;

/* Takes a free word. waited: the hand has slept, others may sleep on. */
static bool take(struct cw_self *self, cw_bolt *bolt, uint32_t *word, uint32_t waited) {
    return atomic_compare_exchange_strong_explicit(
        &bolt->word, word, (self->number + 1) | (*word & CW_BOLT_WAITED) | waited,
        memory_order_acquire, memory_order_relaxed);
}

static void sleep_on(struct cw_self *self, cw_bolt *bolt, uint32_t word, double seconds) {
    if (!cw_futex_wait(&bolt->word, word, seconds) && (word & CW_BOLT_HAND))
        cw_hand_dead(self->share, (word & CW_BOLT_HAND) - 1);
}

int cw_bolt_wait(struct cw_self *self, cw_bolt *bolt, double timeout) {
    struct cw_deadline deadline = cw_deadline_in(timeout);
    uint32_t waited = 0;
    int spins = timeout == 0 ? 0 : SPINS, result = CREW_ETIMEDOUT;
    for (;;) {
        uint32_t word = atomic_load_explicit(&bolt->word, memory_order_relaxed);
        if (!(word & CW_BOLT_HAND)) {
            if (!take(self, bolt, &word, waited))
                continue;
            result = word & CW_BOLT_DIED ? CREW_OWNERDEAD : 0;
            break;
        }
        if (spins-- > 0) {
            cw_relax();
            continue;
        }
        if (timeout == 0 || cw_deadline_over(&deadline))
            break;
        /* Before it can be counted on to wake up: see wake_neighbours. */
        atomic_store(&self->hand->at, cw_share_off(self->share, &bolt->word));
        if (!(word & CW_BOLT_WAITED) &&
            !atomic_compare_exchange_strong(&bolt->word, &word, word | CW_BOLT_WAITED))
            continue;
        double slice = cw_deadline_slice(&deadline);
        sleep_on(self, bolt, word | CW_BOLT_WAITED,
                 slice < 0 || slice > LOOK_AGAIN ? LOOK_AGAIN : slice);
        waited = CW_BOLT_WAITED;
    }
    atomic_store_explicit(&self->hand->at, 0, memory_order_release);
    return result;
}

void cw_bolt_wake(cw_bolt *bolt) {
    cw_futex_wake(&bolt->word, 1);
}

bool cw_bolt_is_of(const struct cw_share *share, const cw_bolt *bolt, uint32_t party) {
    uint32_t hand = cw_bolt_holder(bolt);
    return hand && cw_hand_at(share, hand - 1)->party == party;
}

void cw_bolt_bury(cw_bolt *bolt, bool tell) {
    uint32_t word = atomic_load(&bolt->word);
    /* Others may only add that they wait. */
    while (!atomic_compare_exchange_weak(&bolt->word, &word, tell ? CW_BOLT_DIED : 0))
        ;
    cw_futex_wake(&bolt->word, INT32_MAX);
}
