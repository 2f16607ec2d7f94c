/* Semaphores and events, as their callers see them. */
#include "share/sem.h"

#include "api/far.h"
#include "share/event.h"

#include <crew/sync.h>

/* ---- semaphore ---- */

int crew_sem_create(crew_sem *s, int64_t value, int64_t max) {
    struct cw_sem_plan plan = {.value = value, .max = max};
    if (value < 0 || value > (int64_t)CW_SEM_PERMITS)
        return cw_error_set(NULL, CREW_EINVAL, 0,
                            "a semaphore begins with 0 to %lld permits, not %lld",
                            (long long)CW_SEM_PERMITS, (long long)value);
    if (max < 0 || (max && value > max))
        return cw_error_set(NULL, CREW_EINVAL, 0,
                            "a semaphore of at most %lld permits (0: any number) cannot begin "
                            "with %lld", (long long)max, (long long)value);
    return cw_handle_make(CW_SEM, cw_sem_init, &plan, s ? &s->place : NULL, s ? &s->check : NULL);
}

int crew_sem_acquire(crew_sem s, double timeout) {
    struct cw_self *self;
    struct cw_sem *sem = cw_handle_use(CW_SEM, s.place, s.check, &self);
    if (!sem)
        return cw_far(CW_CALL_SEM_ACQUIRE, s.place, s.check, timeout);
    int rc = cw_sem_acquire(self, sem, s.check, timeout);
    cw_handle_met();
    if (rc == CREW_ETIMEDOUT)
        return cw_error_set(NULL, rc, 0, "the semaphore has no permit left");
    return rc < 0 ? cw_handle_stale(CW_SEM, s.place, s.check) : cw_error_clear(NULL);
}

int crew_sem_release(crew_sem s) {
    struct cw_self *self;
    struct cw_sem *sem = cw_handle_use(CW_SEM, s.place, s.check, &self);
    if (!sem)
        return cw_far(CW_CALL_SEM_RELEASE, s.place, s.check, 0);
    int rc = cw_sem_release(sem, s.check);
    if (rc == CREW_ELIMIT)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the semaphore has all its permits");
    return rc < 0 ? cw_handle_stale(CW_SEM, s.place, s.check) : cw_error_clear(NULL);
}

int64_t crew_sem_value(crew_sem s) {
    struct cw_self *self;
    const struct cw_sem *sem = cw_handle_use(CW_SEM, s.place, s.check, &self);
    if (!sem)
        return cw_far_number(CW_CALL_SEM_VALUE, s.place, s.check, 0);
    uint64_t word = atomic_load(&sem->word);
    if (!cw_sem_is(word, s.check))
        return cw_handle_stale(CW_SEM, s.place, s.check);
    cw_error_clear(NULL);
    return (int64_t)(word & CW_SEM_PERMITS);
}

int crew_sem_destroy(crew_sem s) {
    return cw_handle_end(CW_SEM, s.place, s.check);
}

/* ---- event ---- */

int crew_event_create(crew_event *e) {
    return cw_handle_make(CW_EVENT, cw_event_init, NULL, e ? &e->place : NULL,
                          e ? &e->check : NULL);
}

static int turn(crew_event e, bool on) {
    struct cw_self *self;
    struct cw_event *event = cw_handle_use(CW_EVENT, e.place, e.check, &self);
    if (!event)
        return cw_far(on ? CW_CALL_EVENT_SET : CW_CALL_EVENT_CLEAR, e.place, e.check, 0);
    if (cw_event_turn(event, e.check, on) < 0)
        return cw_handle_stale(CW_EVENT, e.place, e.check);
    return cw_error_clear(NULL);
}

int crew_event_set(crew_event e) {
    return turn(e, true);
}

int crew_event_clear(crew_event e) {
    return turn(e, false);
}

int crew_event_is_set(crew_event e) {
    struct cw_self *self;
    const struct cw_event *event = cw_handle_use(CW_EVENT, e.place, e.check, &self);
    if (!event)
        return cw_far(CW_CALL_EVENT_IS_SET, e.place, e.check, 0);
    int rc = cw_event_is_set(event, e.check);
    if (rc < 0)
        return cw_handle_stale(CW_EVENT, e.place, e.check);
    cw_error_clear(NULL);
    return rc;
}

int crew_event_wait(crew_event e, double timeout) {
    struct cw_self *self;
    struct cw_event *event = cw_handle_use(CW_EVENT, e.place, e.check, &self);
    if (!event)
        return cw_far(CW_CALL_EVENT_WAIT, e.place, e.check, timeout);
    int rc = cw_event_wait(self, event, e.check, timeout);
    cw_handle_met();
    if (rc == CREW_ETIMEDOUT)
        return cw_error_set(NULL, rc, 0, "nobody has set the event");
    return rc < 0 ? cw_handle_stale(CW_EVENT, e.place, e.check) : cw_error_clear(NULL);
}

int crew_event_destroy(crew_event e) {
    return cw_handle_end(CW_EVENT, e.place, e.check);
}
