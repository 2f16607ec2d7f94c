/* Locks, as their callers see them. */
#include "api/objects.h"
#include "share/lock.h"

#include <crew/sync.h>

static int timed_out(void) {
    return cw_error_set(NULL, CREW_ETIMEDOUT, 0, "somebody else holds it");
}

/* ---- lock ---- */

int crew_lock_create(crew_lock *l) {
    return cw_handle_make(CW_LOCK, NULL, NULL, l ? &l->place : NULL, l ? &l->check : NULL);
}

int crew_lock_acquire(crew_lock l, double timeout) {
    struct cw_self *self = cw_self_get();
    if (!self)
        return crew_last_error()->code;
    struct cw_lock *lock = cw_object(self->share, CW_LOCK, l.place, l.check);
    if (!lock)
        return cw_handle_stale(CW_LOCK, l.place, l.check);
    int rc = cw_lock_acquire(self, lock, l.check, timeout);
    cw_handle_met();
    if (!cw_object_same(&lock->head, l.check)) {
        if (rc >= 0)
            cw_lock_let_go(self, lock);
        return cw_handle_stale(CW_LOCK, l.place, l.check);
    }
    if (rc < 0)
        return timed_out();
    cw_error_clear(NULL);
    return rc;
}

int crew_lock_release(crew_lock l) {
    struct cw_self *self = cw_self_get();
    if (!self)
        return crew_last_error()->code;
    struct cw_lock *lock = cw_object(self->share, CW_LOCK, l.place, l.check);
    if (!lock)
        return cw_handle_stale(CW_LOCK, l.place, l.check);
    if (cw_lock_release(self, lock) < 0)
        return cw_error_set(NULL, CREW_EINVAL, 0, "nobody holds the lock");
    return cw_error_clear(NULL);
}

int crew_lock_destroy(crew_lock l) {
    return cw_handle_end(CW_LOCK, l.place, l.check);
}

/* ---- rlock ---- */

int crew_rlock_create(crew_rlock *l) {
    return cw_handle_make(CW_RLOCK, NULL, NULL, l ? &l->place : NULL, l ? &l->check : NULL);
}

int crew_rlock_acquire(crew_rlock l, double timeout) {
    struct cw_self *self = cw_self_get();
    if (!self)
        return crew_last_error()->code;
    struct cw_lock *lock = cw_object(self->share, CW_RLOCK, l.place, l.check);
    if (!lock)
        return cw_handle_stale(CW_RLOCK, l.place, l.check);
    int rc = cw_rlock_acquire(self, lock, l.check, timeout);
    cw_handle_met();
    if (!cw_object_same(&lock->head, l.check)) {
        if (rc >= 0)
            cw_rlock_release(self, lock);
        return cw_handle_stale(CW_RLOCK, l.place, l.check);
    }
    if (rc < 0)
        return timed_out();
    cw_error_clear(NULL);
    return rc;
}

int crew_rlock_release(crew_rlock l) {
    struct cw_self *self = cw_self_get();
    if (!self)
        return crew_last_error()->code;
    struct cw_lock *lock = cw_object(self->share, CW_RLOCK, l.place, l.check);
    if (!lock)
        return cw_handle_stale(CW_RLOCK, l.place, l.check);
    if (cw_rlock_release(self, lock) < 0)
        return cw_error_set(NULL, CREW_EPERM, 0, "this thread does not hold the rlock");
    return cw_error_clear(NULL);
}

int crew_rlock_destroy(crew_rlock l) {
    return cw_handle_end(CW_RLOCK, l.place, l.check);
}
