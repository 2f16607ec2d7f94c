/* share/lock.h - locks that are objects: lock and rlock.
 *
 * | word        | written by                                      |
 * |-------------|-------------------------------------------------|
 * | bolt        | everybody                                       |
 * | depth       | the hand that holds the bolt                    | */
#ifndef CW_SHARE_LOCK_H
#define CW_SHARE_LOCK_H

#include "share/bolt.h"

struct cw_lock {
    struct cw_head head;
    cw_bolt bolt;
    uint32_t depth; /* rlock: how often it was acquired; means nothing while nobody holds it */
};

/* The slow half. */
int cw_lock_wait(struct cw_self *self, struct cw_lock *lock, uint64_t check, double timeout);

/* 0, CREW_OWNERDEAD or CREW_ETIMEDOUT. If the object was destroyed meanwhile any of
 * these: the caller looks, and lets go. */
static inline int cw_lock_acquire(struct cw_self *self, struct cw_lock *lock, uint64_t check,
                                  double timeout) {
    int rc = cw_bolt_acquire(self, &lock->bolt, 0);
    if (rc == CREW_ETIMEDOUT && timeout != 0)
        rc = cw_lock_wait(self, lock, check, timeout);
    if (rc >= 0)
        self->hand->holds++;
    return rc;
}

/* CREW_EINVAL if nobody holds it. By any hand. */
static inline int cw_lock_release(struct cw_self *self, struct cw_lock *lock) {
    uint32_t holder = cw_bolt_holder(&lock->bolt);
    if (!holder || !cw_bolt_release_of(&lock->bolt, holder))
        return CREW_EINVAL;
    if (holder == self->number + 1)
        self->hand->holds--;
    return 0;
}

/* It was acquired, and turned out to be another object by now: not what a third may
 * hold since. */
static inline void cw_lock_let_go(struct cw_self *self, struct cw_lock *lock) {
    cw_bolt_release_of(&lock->bolt, self->number + 1);
    self->hand->holds--;
}

static inline int cw_rlock_acquire(struct cw_self *self, struct cw_lock *lock, uint64_t check,
                                   double timeout) {
    if (cw_bolt_holder(&lock->bolt) == self->number + 1) {
        lock->depth++;
        return 0;
    }
    int rc = cw_lock_acquire(self, lock, check, timeout);
    if (rc >= 0)
        lock->depth = 1;
    return rc;
}

/* CREW_EPERM if this hand does not hold it. */
static inline int cw_rlock_release(struct cw_self *self, struct cw_lock *lock) {
    if (cw_bolt_holder(&lock->bolt) != self->number + 1)
        return CREW_EPERM;
    if (--lock->depth == 0)
        cw_lock_let_go(self, lock); /* destroyed just now, it may be another's */
    return 0;
}

#endif
