/* Calls that came from other nodes, made at home: locks and the like, values. */
#include "api/far.h"

#include <crew/channel.h>
#include <crew/manager.h>
#include <crew/shared.h>
#include <crew/sync.h>
#include <string.h>

/* Handles are all alike. */
#define HANDLE(type, ask) ((type){(ask)->place, (ask)->check})

static int end(const struct cw_ask *ask) {
    switch ((enum cw_kind_of)ask->a) {
    case CW_QUEUE:
        return crew_queue_destroy(HANDLE(crew_queue, ask));
    case CW_DICT:
        return crew_dict_destroy(HANDLE(crew_dict, ask));
    case CW_LIST:
        return crew_list_destroy(HANDLE(crew_list, ask));
    default:
        return cw_handle_end((enum cw_kind_of)ask->a, ask->place, ask->check);
    }
}

static int64_t make_lock(const struct cw_ask *ask) {
    switch (ask->call) {
    case CW_CALL_END:
        return end(ask);
    case CW_CALL_LOCK_ACQUIRE:
        return crew_lock_acquire(HANDLE(crew_lock, ask), ask->timeout);
    case CW_CALL_LOCK_RELEASE:
        return crew_lock_release(HANDLE(crew_lock, ask));
    case CW_CALL_RLOCK_ACQUIRE:
        return crew_rlock_acquire(HANDLE(crew_rlock, ask), ask->timeout);
    case CW_CALL_RLOCK_RELEASE:
        return crew_rlock_release(HANDLE(crew_rlock, ask));
    case CW_CALL_SEM_ACQUIRE:
        return crew_sem_acquire(HANDLE(crew_sem, ask), ask->timeout);
    case CW_CALL_SEM_RELEASE:
        return crew_sem_release(HANDLE(crew_sem, ask));
    case CW_CALL_SEM_VALUE:
        return crew_sem_value(HANDLE(crew_sem, ask));
    case CW_CALL_EVENT_SET:
        return crew_event_set(HANDLE(crew_event, ask));
    case CW_CALL_EVENT_CLEAR:
        return crew_event_clear(HANDLE(crew_event, ask));
    case CW_CALL_EVENT_IS_SET:
        return crew_event_is_set(HANDLE(crew_event, ask));
    default:
        return crew_event_wait(HANDLE(crew_event, ask), ask->timeout);
    }
}

static bool yes(void *ctx) {
    (void)ctx;
    return true;
}

static int make_cond(const struct cw_ask *ask, struct cw_told *told) {
    crew_cond made;
    int rc = crew_cond_create(&made, HANDLE(crew_lock, ask));
    if (rc == 0) {
        told->a = (int64_t)made.place;
        told->b = (int64_t)made.check;
    }
    return rc;
}

static int64_t make_meeting(const struct cw_ask *ask, struct cw_told *told) {
    const crew_cond cond = HANDLE(crew_cond, ask);
    const crew_barrier barrier = HANDLE(crew_barrier, ask);
    switch (ask->call) {
    case CW_CALL_COND_CREATE:
        return make_cond(ask, told);
    case CW_CALL_COND_MINE:
        return crew_cond_wait_for(cond, yes, NULL, 0);
    case CW_CALL_COND_WAIT:
        return crew_cond_wait(cond, ask->timeout);
    case CW_CALL_COND_NOTIFY:
        return crew_cond_notify(cond, ask->a);
    case CW_CALL_BARRIER_WAIT:
        return crew_barrier_wait_index(barrier, ask->timeout);
    case CW_CALL_BARRIER_ABORT:
        return crew_barrier_abort(barrier);
    case CW_CALL_BARRIER_RESET:
        return crew_barrier_reset(barrier);
    case CW_CALL_BARRIER_PARTIES:
        return crew_barrier_parties(barrier);
    case CW_CALL_BARRIER_N_WAITING:
        return crew_barrier_n_waiting(barrier);
    default:
        return crew_barrier_broken(barrier);
    }
}

/* ---- values ---- */

static double real_of(int64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static int64_t bits_of(double x) {
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static int64_t make_real(const struct cw_ask *ask, struct cw_told *told) {
    const crew_value v = HANDLE(crew_value, ask);
    double expected = real_of(ask->a);
    int64_t rc = 0;
    switch (ask->call) {
    case CW_CALL_VALUE_GET:
        told->a = bits_of(crew_value_get_f64(v));
        break;
    case CW_CALL_VALUE_SET:
        rc = crew_value_set_f64(v, real_of(ask->a));
        break;
    case CW_CALL_VALUE_ADD:
        told->a = bits_of(crew_value_add_f64(v, real_of(ask->a)));
        break;
    default:
        rc = crew_value_cas_f64(v, &expected, real_of(ask->b));
        told->a = bits_of(expected);
    }
    return rc;
}

static int64_t make_whole(const struct cw_ask *ask, struct cw_told *told) {
    const crew_value v = HANDLE(crew_value, ask);
    int64_t rc = 0;
    told->a = ask->a;
    switch (ask->call) {
    case CW_CALL_VALUE_GET:
        told->a = crew_value_get_i64(v);
        break;
    case CW_CALL_VALUE_SET:
        rc = crew_value_set_i64(v, ask->a);
        break;
    case CW_CALL_VALUE_ADD:
        told->a = crew_value_add_i64(v, ask->a);
        break;
    default:
        rc = crew_value_cas_i64(v, &told->a, ask->b);
    }
    return rc;
}

static int64_t make_value(const struct cw_ask *ask, struct cw_told *told) {
    if (ask->call == CW_CALL_VALUE_LOCK)
        return crew_value_lock(HANDLE(crew_value, ask));
    if (ask->call == CW_CALL_VALUE_UNLOCK)
        return crew_value_unlock(HANDLE(crew_value, ask));
    return ask->cap ? make_real(ask, told) : make_whole(ask, told);
}

void cw_far_make_sync(const struct cw_ask *ask, struct cw_told *told) {
    if (ask->call <= CW_CALL_EVENT_WAIT)
        told->rc = make_lock(ask);
    else if (ask->call < CW_CALL_VALUE_LOCK)
        told->rc = make_meeting(ask, told);
    else
        told->rc = make_value(ask, told);
}
