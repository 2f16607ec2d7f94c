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

/* All of them: CREW_EINVAL if the object of that handle is gone. */

/* 0, CREW_OWNERDEAD or CREW_ETIMEDOUT. */
static inline int cw_lock_acquire(struct cw_self *self, struct cw_lock *lock, uint64_t check,
                                  double timeout) {
    int rc = cw_bolt_acquire(self, &lock->bolt, check, timeout);
    if (rc >= 0)
        self->hand->holds++;
    return rc;
}

/* CREW_EINVAL also if nobody holds it. By any hand. */
static inline int cw_lock_release(struct cw_self *self, struct cw_lock *lock, uint64_t check) {
    uint32_t holder = cw_bolt_holder_for(&lock->bolt, check);
    if (!holder || !cw_bolt_release_of(&lock->bolt, check, holder))
        return CREW_EINVAL;
    if (holder == self->number + 1)
        self->hand->holds--;
    return 0;
}

static inline int cw_rlock_acquire(struct cw_self *self, struct cw_lock *lock, uint64_t check,
                                   double timeout) {
    if (cw_bolt_holder_for(&lock->bolt, check) == self->number + 1) {
        lock->depth++;
        return 0;
    }
    int rc = cw_lock_acquire(self, lock, check, timeout);
    if (rc >= 0)
        lock->depth = 1;
    return rc;
}

/* CREW_EPERM if this hand does not hold it. */
static inline int cw_rlock_release(struct cw_self *self, struct cw_lock *lock, uint64_t check) {
    if (cw_bolt_holder_for(&lock->bolt, check) != self->number + 1)
        return cw_object_same(&lock->head, check) ? CREW_EPERM : CREW_EINVAL;
    if (--lock->depth == 0)
        cw_lock_release(self, lock, check);
    return 0;
}

#endif
