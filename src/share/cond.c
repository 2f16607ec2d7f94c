/* Conditions: waiting, notifying, and the ends of objects and users. */
#include "share/cond.h"

#include "os/futex.h"
#include "share/kinds.h"
#include "share/nap.h"

/* How long a sleeper trusts that somebody else sees deaths, and the lock's end. */
static const double LOOK_AGAIN = 0.5;

int cw_cond_init(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err) {
    struct cw_cond *cond = (struct cw_cond *)head;
    const struct cw_cond_plan *plan = arg;
    (void)share, (void)err;
    atomic_store(&cond->lock_place, plan->lock_place);
    atomic_store(&cond->lock_check, plan->lock_check);
    return 0;
}

/* The lock that a condition goes by. */
struct its_lock {
    struct cw_lock *lock; /* NULL: it is no more */
    uint64_t check;
};

static struct its_lock lock_of(const struct cw_share *share, const struct cw_cond *cond) {
    uint64_t place = atomic_load(&cond->lock_place), check = atomic_load(&cond->lock_check);
    return (struct its_lock){.lock = cw_object(share, CW_LOCK, place, check), .check = check};
}

static int mine(const struct cw_self *self, const struct cw_cond *cond, uint64_t check,
                struct its_lock *its) {
    *its = lock_of(self->share, cond);
    /* Else it may have been the lock of the next object in the cell. */
    if (!cw_object_same(&cond->head, check))
        return CREW_EINVAL;
    if (!its->lock)
        return CREW_ENOENT;
    return cw_bolt_holder_for(&its->lock->bolt, its->check) == self->number + 1 ? 0 : CREW_EPERM;
}

int cw_cond_mine(const struct cw_self *self, const struct cw_cond *cond, uint64_t check) {
    struct its_lock its;
    return mine(self, cond, check, &its);
}

/* ---- notifying ---- */

/* Who has waited longest is answered. False: nobody waits. */
static bool notify_one(struct cw_share *share, uint64_t object) {
    for (;;) {
        struct cw_hand *first = NULL;
        uint64_t lowest = 0;
        uint32_t seen = 0;
        for (uint32_t i = 0, n = cw_cells(share, CW_HAND); i < n; i++) {
            struct cw_hand *hand = cw_hand_at(share, i);
            uint32_t nap = atomic_load(&hand->nap);
            if (!cw_nap_is(hand, nap, CW_NAP_COND, object))
                continue;
            uint64_t ticket = atomic_load(&hand->ticket);
            if (first && ticket >= lowest)
                continue;
            first = hand;
            lowest = ticket;
            seen = nap;
        }
        if (!first)
            return false;
        /* Else its time was over just now: the next. */
        if (cw_nap_answer(first, seen, CW_NAP_NOTIFIED)) {
            cw_futex_wake(&first->nap, 1);
            return true;
        }
    }
}

static void notify_all(struct cw_share *share, uint64_t object) {
    for (uint32_t i = 0, n = cw_cells(share, CW_HAND); i < n; i++) {
        struct cw_hand *hand = cw_hand_at(share, i);
        uint32_t nap = atomic_load(&hand->nap);
        if (cw_nap_is(hand, nap, CW_NAP_COND, object) &&
            cw_nap_answer(hand, nap, CW_NAP_NOTIFIED))
            cw_futex_wake(&hand->nap, 1);
    }
}

int cw_cond_notify(struct cw_self *self, struct cw_cond *cond, uint64_t check, int64_t n) {
    uint64_t object = cw_nap_object(&cond->head, (uint32_t)check);
    int rc = cw_cond_mine(self, cond, check);
    if (rc < 0)
        return rc;
    if (n == INT64_MAX)
        notify_all(self->share, object);
    else
        while (n-- > 0 && notify_one(self->share, object))
            ;
    return 0;
}

/* ---- waiting ---- */

/* Until there is an answer, 0; or CREW_ETIMEDOUT, or CREW_EINVAL: it asks no more. */
static int sleep_for_answer(struct cw_self *self, const struct cw_cond *cond, uint64_t check,
                            const struct its_lock *its, struct cw_deadline *deadline) {
    struct cw_hand *hand = self->hand;
    for (;;) {
        uint32_t nap = atomic_load(&hand->nap);
        if (cw_nap_state(nap) != CW_NAP_COND)
            return 0;
        /* After it has asked: either this sees the end, or who ends it sees the hand
         * (cond's wake, below). */
        bool gone = !cw_object_same(&cond->head, check) ||
                    !cw_object_same(&its->lock->head, its->check);
        if (gone || cw_deadline_over(deadline)) {
            if (cw_nap_answer(hand, nap, CW_NAP_NONE))
                return gone ? CREW_EINVAL : CREW_ETIMEDOUT;
            continue;
        }
        double slice = cw_deadline_slice(deadline);
        if (slice < 0 || slice > LOOK_AGAIN)
            slice = LOOK_AGAIN;
        if (!cw_futex_wait(&hand->nap, nap, slice) && slice == LOOK_AGAIN)
            cw_party_bury(self->share);
    }
}

/* CREW_ENOENT: it was destroyed. */
static int take_again(struct cw_self *self, const struct its_lock *its) {
    int rc = cw_lock_acquire(self, its->lock, its->check, -1);
    return rc < 0 ? CREW_ENOENT : rc;
}

int cw_cond_wait(struct cw_self *self, struct cw_cond *cond, uint64_t check,
                 struct cw_deadline *deadline) {
    struct its_lock its;
    int rc = mine(self, cond, check, &its);
    if (rc < 0)
        return rc;
    cw_nap_ask(self->hand, CW_NAP_COND, cw_nap_object(&cond->head, (uint32_t)check),
               atomic_fetch_add(&cond->tickets, 1));
    cw_lock_release(self, its.lock, its.check);
    rc = sleep_for_answer(self, cond, check, &its, deadline);
    int held = take_again(self, &its);
    /* Only now has it taken the notify: until here a burial passes that on. */
    cw_nap_end(self->hand);
    return held ? held : rc;
}

/* ---- ends ---- */

/* Those who wait are not answered: they see that their word has changed. */
static void wake(struct cw_share *share, struct cw_head *head) {
    uint32_t now = atomic_load(&head->generation);
    for (uint32_t i = 0, n = cw_cells(share, CW_HAND); i < n; i++) {
        struct cw_hand *hand = cw_hand_at(share, i);
        uint32_t nap = atomic_load(&hand->nap);
        uint64_t object = atomic_load(&hand->waits_for);
        /* Of this cell, and of an object before the one that is there by now. */
        if (cw_nap_state(nap) == CW_NAP_COND && (uint32_t)object == head->number &&
            (int32_t)(now - (uint32_t)(object >> 32)) > 0 &&
            cw_nap_answer(hand, nap, CW_NAP_COND))
            cw_futex_wake(&hand->nap, 1);
    }
}

static void bury_hand(struct cw_share *share, struct cw_hand *hand, uint64_t object) {
    for (;;) {
        uint32_t nap = atomic_load(&hand->nap);
        if (cw_nap_is(hand, nap, CW_NAP_NOTIFIED, object))
            notify_one(share, object);
        else if (!cw_nap_is(hand, nap, CW_NAP_COND, object))
            return;
        /* Unless it was notified just now. */
        if (cw_nap_answer(hand, nap, CW_NAP_NONE))
            return;
    }
}

static void bury(struct cw_share *share, struct cw_head *head, uint32_t party) {
    uint64_t object = cw_nap_object(head, atomic_load(&head->generation));
    uint32_t n = cw_cells(share, CW_HAND);
    if (!atomic_load(&((struct cw_cond *)head)->tickets))
        return; /* nobody ever waited in this cell */
    for (uint32_t i = 0; i < n; i++)
        if (cw_nap_of(cw_hand_at(share, i), party))
            bury_hand(share, cw_hand_at(share, i), object);
    for (uint32_t i = 0; i < n; i++) {
        struct cw_hand *hand = cw_hand_at(share, i);
        if (cw_nap_is(hand, atomic_load(&hand->nap), CW_NAP_NOTIFIED, object))
            cw_futex_wake(&hand->nap, 1);
    }
}

const struct cw_kind cw_kind_cond = {.name = "condition", .bytes = 64, .bury = bury, .wake = wake};

_Static_assert(sizeof(struct cw_cond) <= 64, "a cell");
