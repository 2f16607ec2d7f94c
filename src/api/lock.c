/* Locks, as their callers see them. The two kinds differ in who may release, and in
 * what the same thread's next acquire means. */
#include "api/far.h"
#include "share/lock.h"

#include <crew/sync.h>

/* Whichever it is: what its calls have been given, and how they went. */
struct use {
    enum cw_kind_of kind;
    uint64_t place, check;
    struct cw_self *self;
    struct cw_lock *lock;
};

/* False: the error is set. */
static bool find(struct use *use) {
    use->lock = cw_handle_use(use->kind, use->place, use->check, &use->self);
    return use->lock;
}

static int acquired(const struct use *use, int rc) {
    cw_handle_met();
    if (rc == CREW_ETIMEDOUT)
        return cw_error_set(NULL, rc, 0, "somebody else holds it");
    if (rc < 0)
        return cw_handle_stale(use->kind, use->place, use->check);
    cw_error_clear(NULL);
    return rc;
}

/* ---- lock ---- */

int crew_lock_create(crew_lock *l) {
    return cw_handle_make(CW_LOCK, NULL, NULL, l ? &l->place : NULL, l ? &l->check : NULL);
}

int crew_lock_acquire(crew_lock l, double timeout) {
    struct use use = {CW_LOCK, l.place, l.check, NULL, NULL};
    if (!find(&use))
        return cw_far(CW_CALL_LOCK_ACQUIRE, l.place, l.check, timeout);
    return acquired(&use, cw_lock_acquire(use.self, use.lock, l.check, timeout));
}

int crew_lock_release(crew_lock l) {
    struct use use = {CW_LOCK, l.place, l.check, NULL, NULL};
    if (!find(&use))
        return cw_far(CW_CALL_LOCK_RELEASE, l.place, l.check, 0);
    if (cw_lock_release(use.self, use.lock, l.check) == 0)
        return cw_error_clear(NULL);
    return cw_object_same(&use.lock->head, l.check)
               ? cw_error_set(NULL, CREW_EINVAL, 0, "nobody holds the lock")
               : cw_handle_stale(CW_LOCK, l.place, l.check);
}

int crew_lock_destroy(crew_lock l) {
    return cw_handle_end(CW_LOCK, l.place, l.check);
}

/* ---- rlock ---- */

int crew_rlock_create(crew_rlock *l) {
    return cw_handle_make(CW_RLOCK, NULL, NULL, l ? &l->place : NULL, l ? &l->check : NULL);
}

int crew_rlock_acquire(crew_rlock l, double timeout) {
    struct use use = {CW_RLOCK, l.place, l.check, NULL, NULL};
    if (!find(&use))
        return cw_far(CW_CALL_RLOCK_ACQUIRE, l.place, l.check, timeout);
    return acquired(&use, cw_rlock_acquire(use.self, use.lock, l.check, timeout));
}

int crew_rlock_release(crew_rlock l) {
    struct use use = {CW_RLOCK, l.place, l.check, NULL, NULL};
    if (!find(&use))
        return cw_far(CW_CALL_RLOCK_RELEASE, l.place, l.check, 0);
    int rc = cw_rlock_release(use.self, use.lock, l.check);
    if (rc == CREW_EPERM)
        return cw_error_set(NULL, rc, 0, "this thread does not hold the rlock");
    return rc < 0 ? cw_handle_stale(CW_RLOCK, l.place, l.check) : cw_error_clear(NULL);
}

int crew_rlock_destroy(crew_rlock l) {
    return cw_handle_end(CW_RLOCK, l.place, l.check);
}
