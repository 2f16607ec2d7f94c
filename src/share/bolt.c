/* Waiting for a bolt. */
#include "share/bolt.h"

#include "os/futex.h"

/* About what it takes to hand over a short section; then sleep. */
enum { SPINS = 100 };

/* How long a sleeper trusts that somebody else sees the holder's death, and that it
 * is still the bolt of the object that it means. */
static const double LOOK_AGAIN = 0.25;

/* The half of the word that says who holds it. */
static _Atomic uint32_t *state_of(cw_bolt *bolt) {
    return (_Atomic uint32_t *)(void *)&bolt->word + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
}

/* Takes a free word. waited: the hand has slept, others may sleep on. */
static bool take(struct cw_self *self, cw_bolt *bolt, uint64_t *word, uint64_t waited) {
    uint64_t held = cw_bolt_tag(*word >> 32) | (self->number + 1) | (*word & CW_BOLT_WAITED);
    return atomic_compare_exchange_strong_explicit(&bolt->word, word, held | waited,
                                                   memory_order_acquire, memory_order_relaxed);
}

static void sleep_on(struct cw_self *self, cw_bolt *bolt, uint32_t state, double seconds) {
    if (!cw_futex_wait(state_of(bolt), state, seconds) && (state & CW_BOLT_HAND))
        cw_hand_dead(self->share, (state & CW_BOLT_HAND) - 1);
}

int cw_bolt_wait(struct cw_self *self, cw_bolt *bolt, uint64_t check, double timeout) {
    struct cw_deadline deadline = cw_deadline_in(timeout);
    uint64_t waited = 0;
    int spins = timeout == 0 ? 0 : SPINS, result = CREW_ETIMEDOUT;
    for (;;) {
        uint64_t word = atomic_load_explicit(&bolt->word, memory_order_relaxed);
        if (word >> 32 != (uint32_t)check) {
            result = CREW_EINVAL;
            break;
        }
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
        atomic_store(&self->hand->at, cw_share_off(self->share, state_of(bolt)));
        if (!(word & CW_BOLT_WAITED) &&
            !atomic_compare_exchange_strong(&bolt->word, &word, word | CW_BOLT_WAITED))
            continue;
        double slice = cw_deadline_slice(&deadline);
        sleep_on(self, bolt, (uint32_t)word | CW_BOLT_WAITED,
                 slice < 0 || slice > LOOK_AGAIN ? LOOK_AGAIN : slice);
        waited = CW_BOLT_WAITED;
    }
    atomic_store_explicit(&self->hand->at, 0, memory_order_release);
    /* Who goes without it may have been woken in another's place. */
    if (result < 0 && waited)
        cw_bolt_wake(bolt);
    return result;
}

void cw_bolt_wake(cw_bolt *bolt) {
    cw_futex_wake(state_of(bolt), 1);
}

void cw_bolt_turn(cw_bolt *bolt, uint32_t generation) {
    if (atomic_exchange(&bolt->word, cw_bolt_tag(generation)) & CW_BOLT_WAITED)
        cw_futex_wake(state_of(bolt), INT32_MAX);
}

bool cw_bolt_is_of(const struct cw_share *share, const cw_bolt *bolt, uint32_t party) {
    uint32_t hand = cw_bolt_holder(bolt);
    return hand && cw_hand_at(share, hand - 1)->party == party;
}

void cw_bolt_bury(const struct cw_share *share, cw_bolt *bolt, uint32_t party, bool tell) {
    uint64_t word = atomic_load(&bolt->word), free;
    /* Others may add that they wait, or end the object. */
    do {
        uint32_t hand = (uint32_t)word & CW_BOLT_HAND;
        if (!hand || cw_hand_at(share, hand - 1)->party != party)
            return;
        free = cw_bolt_tag(word >> 32) | (tell ? CW_BOLT_DIED : 0);
    } while (!atomic_compare_exchange_weak(&bolt->word, &word, free));
    cw_futex_wake(state_of(bolt), INT32_MAX);
}
