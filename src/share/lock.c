/* Locks that are objects: their ends, and their holders'. */
#include "share/lock.h"

#include "os/futex.h"
#include "share/kinds.h"

#include <limits.h>

/* How long a waiter does not look whether the lock is still there: by then it may be
 * another one, that somebody holds for good. */
static const double LOOK_AGAIN = 0.5;

int cw_lock_wait(struct cw_self *self, struct cw_lock *lock, uint64_t check, double timeout) {
    struct cw_deadline deadline = cw_deadline_in(timeout);
    for (;;) {
        double slice = cw_deadline_slice(&deadline);
        int rc = cw_bolt_acquire(self, &lock->bolt,
                                 slice < 0 || slice > LOOK_AGAIN ? LOOK_AGAIN : slice);
        if (rc != CREW_ETIMEDOUT || cw_deadline_over(&deadline) ||
            !cw_object_same(&lock->head, check))
            return rc;
    }
}

/* Whoever waits gets it, finds that the object is gone, and lets go. It may do so
 * already: the depth is its own. */
static void scrub(struct cw_share *share, struct cw_head *head) {
    struct cw_lock *lock = (struct cw_lock *)head;
    (void)share;
    lock->depth = 0; /* before somebody has it: it is the holder's */
    atomic_store(&lock->bolt.word, 0);
}

static void wake(struct cw_share *share, struct cw_head *head) {
    (void)share;
    cw_futex_wake(&((struct cw_lock *)head)->bolt.word, INT_MAX);
}

static void bury(struct cw_share *share, struct cw_head *head, uint32_t party) {
    struct cw_lock *lock = (struct cw_lock *)head;
    if (cw_bolt_is_of(share, &lock->bolt, party))
        cw_bolt_bury(&lock->bolt, true);
}

static void let_go(struct cw_share *share, struct cw_head *head, uint32_t party) {
    struct cw_lock *lock = (struct cw_lock *)head;
    if (cw_bolt_is_of(share, &lock->bolt, party))
        cw_bolt_bury(&lock->bolt, false);
}

static bool names(const struct cw_head *head, uint32_t hand) {
    return cw_bolt_holder(&((const struct cw_lock *)head)->bolt) == hand;
}

const struct cw_kind cw_kind_lock = {.name = "lock",
                                     .bytes = 64,
                                     .scrub = scrub,
                                     .bury = bury,
                                     .let_go = let_go,
                                     .names = names,
                                     .wake = wake};
const struct cw_kind cw_kind_rlock = {.name = "rlock",
                                      .bytes = 64,
                                      .scrub = scrub,
                                      .bury = bury,
                                      .let_go = let_go,
                                      .names = names,
                                      .wake = wake};

_Static_assert(sizeof(struct cw_lock) <= 64, "a cell");
