/* Barriers: arriving, waiting, breaking, and the ends of objects and users. */
#include "share/barrier.h"

#include "share/kinds.h"
#include "share/nap.h"

enum state { FILLING, ACTING, BROKEN };
enum { STATE_AT = CW_BARRIER_COUNT_BITS, BEFORE_AT = STATE_AT + 2 };
#define STATE_BITS ((uint64_t)3 << STATE_AT)

static uint32_t round_of(uint64_t word) {
    return (uint32_t)(word >> 32);
}
static enum state state_of(uint64_t word) {
    return (enum state)(word >> STATE_AT & 3);
}
static uint32_t count_of(uint64_t word) {
    return (uint32_t)(word & (uint64_t)CW_BARRIER_MOST);
}
static bool broken_before(uint64_t word) {
    return word >> BEFORE_AT & 1;
}

static uint64_t with_state(uint64_t word, enum state state) {
    return (word & ~STATE_BITS) | (uint64_t)state << STATE_AT;
}
static uint64_t next_round(uint64_t word, bool broken) {
    return (uint64_t)(uint32_t)(round_of(word) + 1) << 32 | (uint64_t)broken << BEFORE_AT;
}

/* The hands that have not looked how the round before the word's ended are told.
 * Before a round may end; a death in here leaves less to tell. */
static void tell(struct cw_share *share, uint64_t object, uint64_t word) {
    enum cw_nap answer = broken_before(word) ? CW_NAP_BROKEN : CW_NAP_PASSED;
    for (uint32_t i = 0, n = cw_cells(share, CW_HAND); i < n; i++) {
        struct cw_hand *hand = cw_hand_at(share, i);
        uint32_t nap = atomic_load(&hand->nap);
        /* If it has looked meanwhile, all the better. */
        if (cw_nap_is(hand, nap, CW_NAP_ROUND, object) &&
            (uint32_t)atomic_load(&hand->ticket) == round_of(word) - 1)
            cw_nap_answer(hand, nap, answer);
    }
}

int cw_barrier_init(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err) {
    struct cw_barrier *barrier = (struct cw_barrier *)head;
    const struct cw_barrier_plan *plan = arg;
    (void)err;
    /* Some may still be on their way out of the object before, whose last round had
     * ended: they look at the word no more after this. */
    uint64_t word = atomic_load(&barrier->word);
    tell(share, cw_nap_object(head, atomic_load(&head->generation) - 1), word);
    atomic_store(&barrier->parties, plan->parties);
    atomic_store(&barrier->action_object, plan->action.object);
    atomic_store(&barrier->action_offset, plan->action.offset);
    /* Two rounds on: no thread is in such a round, none can count itself in it. */
    atomic_store(&barrier->word, next_round(next_round(word, true), true));
    return 0;
}

/* ---- arriving ---- */

/* Who has died in the wait of the round that is about to end has not passed it, and
 * whoever knows of the death does not either: its burial breaks the round first. */
static void bury_the_dead(struct cw_share *share, uint64_t object, uint32_t round) {
    for (uint32_t i = 0, n = cw_cells(share, CW_HAND); i < n; i++) {
        const struct cw_hand *hand = cw_hand_at(share, i);
        uint32_t party = atomic_load(&hand->party);
        if (party && party != share->party && cw_head_live(&hand->head) &&
            cw_nap_is(hand, atomic_load(&hand->nap), CW_NAP_ROUND, object) &&
            (uint32_t)atomic_load(&hand->ticket) == round)
            cw_party_dead(share, party);
    }
}

int cw_barrier_arrive(struct cw_self *self, struct cw_barrier *barrier, uint64_t check,
                      struct cw_deadline *deadline, struct cw_turn *turn) {
    uint64_t object = cw_nap_object(&barrier->head, (uint32_t)check);
    for (;;) {
        uint32_t seen = cw_gate_look(&barrier->gate);
        uint64_t word = atomic_load(&barrier->word);
        uint32_t parties = atomic_load(&barrier->parties);
        if (!cw_object_same(&barrier->head, check))
            return CREW_EINVAL;
        if (state_of(word) == BROKEN)
            return CREW_EBROKEN;
        if (state_of(word) == ACTING) {
            /* One of more threads than there are parties: for the next round. */
            if (!cw_gate_wait(self, &barrier->gate, seen, deadline))
                return CREW_ETIMEDOUT;
            continue;
        }
        *turn = (struct cw_turn){.round = round_of(word), .index = count_of(word)};
        turn->last = turn->index + 1 == parties;
        cw_nap_ask(self->hand, CW_NAP_ROUND, object, turn->round);
        uint64_t next = turn->last ? with_state(word + 1, ACTING) : word + 1;
        if (atomic_compare_exchange_strong(&barrier->word, &word, next)) {
            if (turn->last) {
                atomic_store(&barrier->actor, (uint64_t)turn->round << 32 | (self->number + 1));
                if (atomic_load(&barrier->action_object))
                    bury_the_dead(self->share, object, turn->round);
            }
            return 0;
        }
        cw_nap_end(self->hand);
    }
}

/* Breaks the round if it goes on. */
static bool break_round(struct cw_barrier *barrier, uint32_t round) {
    uint64_t word = atomic_load(&barrier->word);
    while (round_of(word) == round && state_of(word) != BROKEN)
        if (atomic_compare_exchange_weak(&barrier->word, &word, with_state(word, BROKEN)))
            return true;
    return false;
}

int cw_barrier_end(struct cw_self *self, struct cw_barrier *barrier, uint64_t check,
                   const struct cw_turn *turn, bool failed) {
    uint64_t object = cw_nap_object(&barrier->head, (uint32_t)check);
    if (!failed)
        bury_the_dead(self->share, object, turn->round);
    uint64_t word = atomic_load(&barrier->word);
    int rc = CREW_EBROKEN;
    if (failed && break_round(barrier, turn->round))
        rc = 0;
    while (!failed && round_of(word) == turn->round && state_of(word) == ACTING) {
        tell(self->share, object, word);
        if (atomic_compare_exchange_weak(&barrier->word, &word, next_round(word, false))) {
            rc = 0;
            break;
        }
    }
    if (rc == 0)
        cw_gate_wake(&barrier->gate, INT_MAX);
    else if (!cw_object_same(&barrier->head, check))
        rc = CREW_EINVAL;
    cw_nap_end(self->hand);
    return rc;
}

/* ---- waiting ---- */

/* How the turn's round has ended; 1: it goes on. */
static int outcome(struct cw_self *self, struct cw_barrier *barrier, uint64_t check,
                   const struct cw_turn *turn) {
    for (;;) {
        uint32_t nap = atomic_load(&self->hand->nap);
        if (cw_nap_state(nap) != CW_NAP_ROUND)
            return cw_nap_state(nap) == CW_NAP_PASSED ? 0 : CREW_EBROKEN;
        uint64_t word = atomic_load(&barrier->word);
        /* Also if it was destroyed since. */
        if (round_of(word) == turn->round + 1)
            return broken_before(word) ? CREW_EBROKEN : 0;
        if (round_of(word) == turn->round && cw_object_same(&barrier->head, check))
            return state_of(word) == BROKEN ? CREW_EBROKEN : 1;
        /* Another round is over or another object is there: then this hand has been
         * told. If not it was destroyed in the middle of this round. */
        if (!cw_object_same(&barrier->head, check) &&
            cw_nap_answer(self->hand, nap, CW_NAP_NONE))
            return CREW_EINVAL;
    }
}

int cw_barrier_await(struct cw_self *self, struct cw_barrier *barrier, uint64_t check,
                     struct cw_deadline *deadline, const struct cw_turn *turn) {
    int rc;
    for (;;) {
        uint32_t seen = cw_gate_look(&barrier->gate);
        rc = outcome(self, barrier, check, turn);
        if (rc <= 0)
            break;
        if (!cw_gate_wait(self, &barrier->gate, seen, deadline) &&
            break_round(barrier, turn->round)) {
            cw_gate_wake(&barrier->gate, INT_MAX);
            rc = CREW_ETIMEDOUT;
            break;
        }
    }
    cw_nap_end(self->hand);
    return rc;
}

/* ---- breaking and mending ---- */

int cw_barrier_abort(struct cw_barrier *barrier, uint64_t check) {
    uint64_t word = atomic_load(&barrier->word);
    do {
        if (!cw_object_same(&barrier->head, check))
            return CREW_EINVAL;
        if (state_of(word) == BROKEN)
            return 0;
    } while (!atomic_compare_exchange_strong(&barrier->word, &word, with_state(word, BROKEN)));
    cw_gate_wake(&barrier->gate, INT_MAX);
    return 0;
}

int cw_barrier_reset(struct cw_self *self, struct cw_barrier *barrier, uint64_t check) {
    uint64_t object = cw_nap_object(&barrier->head, (uint32_t)check);
    uint64_t word = atomic_load(&barrier->word);
    do {
        if (!cw_object_same(&barrier->head, check))
            return CREW_EINVAL;
        if (state_of(word) == FILLING && count_of(word) == 0)
            return 0;
        tell(self->share, object, word);
    } while (!atomic_compare_exchange_strong(&barrier->word, &word, next_round(word, true)));
    cw_gate_wake(&barrier->gate, INT_MAX);
    return 0;
}

int cw_barrier_look(const struct cw_barrier *barrier, uint64_t check,
                    struct cw_barrier_state *state) {
    uint64_t word = atomic_load(&barrier->word);
    *state = (struct cw_barrier_state){
        .parties = atomic_load(&barrier->parties),
        .waiting = state_of(word) == BROKEN ? 0 : count_of(word),
        .broken = state_of(word) == BROKEN,
        .action = {.object = atomic_load(&barrier->action_object),
                   .offset = atomic_load(&barrier->action_offset)}};
    return cw_object_same(&barrier->head, check) ? 0 : CREW_EINVAL;
}

/* ---- ends ---- */

/* The word tells how the last round ended; nobody counts himself in any more. */
static void scrub(struct cw_share *share, struct cw_head *head) {
    struct cw_barrier *barrier = (struct cw_barrier *)head;
    (void)share;
    break_round(barrier, round_of(atomic_load(&barrier->word)));
}

static void wake(struct cw_share *share, struct cw_head *head) {
    (void)share;
    cw_gate_open(&((struct cw_barrier *)head)->gate, INT_MAX);
}

/* Only if the action runs: its thread has died, that of a round that is over may. */
static void break_acting(struct cw_barrier *barrier, uint32_t round) {
    uint64_t word = atomic_load(&barrier->word);
    if (round_of(word) == round && state_of(word) == ACTING)
        break_round(barrier, round);
}

static void break_now(struct cw_barrier *barrier) {
    uint64_t word = atomic_load(&barrier->word);
    while (state_of(word) != BROKEN &&
           !atomic_compare_exchange_weak(&barrier->word, &word, with_state(word, BROKEN)))
        ;
}

/* A hand that died inside comes to no later round either: so whichever it is now is
 * broken, once for this death (but if who buries it dies as well, in between). */
static void bury_hand(struct cw_barrier *barrier, struct cw_hand *hand, uint64_t object) {
    uint32_t nap = atomic_load(&hand->nap);
    if (!cw_nap_is(hand, nap, CW_NAP_ROUND, object) &&
        !cw_nap_is(hand, nap, CW_NAP_PASSED, object) &&
        !cw_nap_is(hand, nap, CW_NAP_BROKEN, object))
        return;
    break_now(barrier);
    while (!cw_nap_answer(hand, nap, CW_NAP_NONE))
        nap = atomic_load(&hand->nap);
}

static void bury(struct cw_share *share, struct cw_head *head, uint32_t party) {
    struct cw_barrier *barrier = (struct cw_barrier *)head;
    uint64_t object = cw_nap_object(head, atomic_load(&head->generation));
    for (uint32_t i = 0, n = cw_cells(share, CW_HAND); i < n; i++)
        if (cw_nap_of(cw_hand_at(share, i), party))
            bury_hand(barrier, cw_hand_at(share, i), object);
    uint64_t actor = atomic_load(&barrier->actor);
    if ((uint32_t)actor && cw_nap_of(cw_hand_at(share, (uint32_t)actor - 1), party))
        break_acting(barrier, (uint32_t)(actor >> 32));
    cw_gate_bury(&barrier->gate);
}

const struct cw_kind cw_kind_barrier = {
    .name = "barrier", .bytes = 64, .scrub = scrub, .bury = bury, .wake = wake};

_Static_assert(sizeof(struct cw_barrier) <= 64, "a cell");
