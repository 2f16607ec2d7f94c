/* Conditions, as their callers see them. */
#include "share/cond.h"

#include "api/far.h"

#include <crew/sync.h>

/* Beside its lock. */
static int create_far(crew_cond *c, crew_lock lock) {
    struct cw_far far = {
        .ask = {.call = CW_CALL_COND_CREATE, .place = lock.place, .check = lock.check}};
    if (!c)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the handle to fill is NULL");
    int rc = (int)cw_far_call(&far);
    if (rc == 0)
        *c = (crew_cond){(uint64_t)far.a, (uint64_t)far.b};
    return rc;
}

int crew_cond_create(crew_cond *c, crew_lock lock) {
    struct cw_self *self;
    struct cw_cond_plan plan = {.lock_place = lock.place, .lock_check = lock.check};
    if (!cw_handle_use(CW_LOCK, lock.place, lock.check, &self))
        return create_far(c, lock);
    return cw_handle_make(CW_COND, cw_cond_init, &plan, c ? &c->place : NULL,
                          c ? &c->check : NULL);
}

/* What a result of the kind's is to the caller. */
static int result(crew_cond c, int rc) {
    switch (rc) {
    case CREW_ETIMEDOUT:
        return cw_error_set(NULL, rc, 0, "no notify came");
    case CREW_EPERM:
        return cw_error_set(NULL, rc, 0, "this thread does not hold the condition's lock");
    case CREW_ENOENT:
        return cw_error_set(NULL, rc, 0, "the condition's lock was destroyed");
    case CREW_EINVAL:
        return cw_handle_stale(CW_COND, c.place, c.check);
    default:
        cw_handle_met();
        cw_error_clear(NULL);
        return rc;
    }
}

int crew_cond_wait(crew_cond c, double timeout) {
    struct cw_self *self;
    struct cw_cond *cond = cw_handle_use(CW_COND, c.place, c.check, &self);
    if (!cond)
        return cw_far(CW_CALL_COND_WAIT, c.place, c.check, timeout);
    struct cw_deadline deadline = cw_deadline_in(timeout);
    return result(c, cw_cond_wait(self, cond, c.check, &deadline));
}

/* The test is for here: a wait at a time. */
static int wait_for_far(crew_cond c, bool (*test)(void *ctx), void *ctx, double timeout) {
    struct cw_deadline deadline = cw_deadline_in(timeout);
    int rc = cw_far(CW_CALL_COND_MINE, c.place, c.check, 0);
    while (rc == 0 && !test(ctx)) {
        double left = cw_deadline_over(&deadline) ? 0 : (double)deadline.left_ns * 1e-9;
        rc = cw_far(CW_CALL_COND_WAIT, c.place, c.check, left);
    }
    return rc == CREW_ETIMEDOUT && test(ctx) ? cw_error_clear(NULL) : rc;
}

int crew_cond_wait_for(crew_cond c, bool (*test)(void *ctx), void *ctx, double timeout) {
    struct cw_self *self;
    struct cw_cond *cond = cw_handle_use(CW_COND, c.place, c.check, &self);
    if (!cond && !cw_far_is(c.check))
        return crew_last_error()->code;
    if (!test)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the test to wait for is NULL");
    if (!cond)
        return wait_for_far(c, test, ctx, timeout);
    struct cw_deadline deadline = cw_deadline_in(timeout);
    int rc = cw_cond_mine(self, cond, c.check);
    while (rc == 0 && !test(ctx))
        rc = cw_cond_wait(self, cond, c.check, &deadline);
    if (rc == CREW_ETIMEDOUT && test(ctx))
        rc = 0;
    return result(c, rc);
}

int crew_cond_notify(crew_cond c, int64_t n) {
    struct cw_self *self;
    struct cw_cond *cond = cw_handle_use(CW_COND, c.place, c.check, &self);
    if (!cond)
        return (int)cw_far_number(CW_CALL_COND_NOTIFY, c.place, c.check, n);
    if (n < 0)
        return cw_error_set(NULL, CREW_EINVAL, 0, "%lld is no number to notify", (long long)n);
    return result(c, cw_cond_notify(self, cond, c.check, n));
}

int crew_cond_notify_all(crew_cond c) {
    return crew_cond_notify(c, INT64_MAX);
}

int crew_cond_destroy(crew_cond c) {
    return cw_handle_end(CW_COND, c.place, c.check);
}
