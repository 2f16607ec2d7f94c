/* share/cond.h - conditions: waiting for a notify, with a lock given up meanwhile.
 *
 * Each waiting hand takes a ticket and asks (share/nap.h). A notify answers those
 * with the lowest tickets; it is taken when the waiter holds the lock again:
 *
 *     NONE ──ask──> COND ──notify──> NOTIFIED ──has the lock──> NONE
 *                     └──its time is over──> NONE
 *
 * | word        | written by                                             |
 * |-------------|--------------------------------------------------------|
 * | lock        | who makes the object                                   |
 * | tickets     | who waits; never set back, also not for the next object|
 *
 * What a death leaves: a hand that is COND is let go of by its burial; for one that
 * is NOTIFIED the burial notifies the next. If who buries dies too, in between, the
 * next one does that again: a notify may come twice then, never be lost. Who dies
 * notifying may have woken nobody: its burial wakes all that are NOTIFIED. */
#ifndef CW_SHARE_COND_H
#define CW_SHARE_COND_H

#include "os/clock.h"
#include "share/lock.h"

struct cw_cond {
    struct cw_head head;
    _Atomic uint64_t lock_place, lock_check;
    _Atomic uint64_t tickets;
};

struct cw_cond_plan {
    uint64_t lock_place, lock_check;
};
int cw_cond_init(struct cw_share *share, struct cw_head *head, void *plan, crew_error *err);

/* 0 if this thread holds the lock; else CREW_EPERM, or CREW_ENOENT: the lock is no
 * more, or CREW_EINVAL: the condition. */
int cw_cond_mine(const struct cw_self *self, const struct cw_cond *cond, uint64_t check);

/* As cw_cond_mine, or: 0 when notified, CREW_ETIMEDOUT, CREW_EINVAL if it was destroyed
 * meanwhile, each with the lock held again; in place of any of these CREW_OWNERDEAD if
 * that is what the lock says. With CREW_ENOENT it is not held, how could it. */
int cw_cond_wait(struct cw_self *self, struct cw_cond *cond, uint64_t check,
                 struct cw_deadline *deadline);
/* So many at most, INT64_MAX: all. 0, or as cw_cond_mine. */
int cw_cond_notify(struct cw_self *self, struct cw_cond *cond, uint64_t check, int64_t n);

#endif
