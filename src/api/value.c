/* Values, as their callers see them. */
#include "api/far.h"
#include "share/value.h"

#include <crew/shared.h>
#include <string.h>

static int fill(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err) {
    struct cw_value *v = (struct cw_value *)head;
    (void)share, (void)err;
    v->type = *(int *)arg;
    for (int i = 0; i < 8; i++)
        v->bytes[i] = 0;
    return 0;
}

int crew_value_create(crew_value *v, int type) {
    if (!cw_type_size(type))
        return cw_error_set(NULL, CREW_EINVAL, 0, "type %d: CREW_I8 to CREW_F64 are possible",
                            type);
    return cw_handle_make(CW_VALUE, fill, &type, v ? &v->place : NULL, v ? &v->check : NULL);
}

int crew_value_destroy(crew_value v) {
    return cw_handle_end(CW_VALUE, v.place, v.check);
}

/* NULL: the error is set. */
static struct cw_value *find(crew_value v, struct cw_self **self) {
    *self = cw_self_get();
    if (!*self)
        return NULL;
    struct cw_value *value = cw_object((*self)->share, CW_VALUE, v.place, v.check);
    if (value)
        cw_error_clear(NULL);
    else
        cw_handle_stale(CW_VALUE, v.place, v.check);
    return value;
}

/* Of another node's: what the call gave; *rc (may be NULL) is what it returned. */
static int64_t whole(enum cw_call call, crew_value v, int64_t a, int64_t b, int64_t *rc) {
    struct cw_far far = {
        .ask = {.call = call, .place = v.place, .check = v.check, .a = a, .b = b}};
    int64_t result = cw_far_call(&far);
    if (rc)
        *rc = result;
    return far.a;
}

static double real(enum cw_call call, crew_value v, double a, double b, int64_t *rc) {
    struct cw_far far = {
        .ask = {.call = call, .place = v.place, .check = v.check, .cap = 1}};
    double gave;
    memcpy(&far.ask.a, &a, sizeof a);
    memcpy(&far.ask.b, &b, sizeof b);
    int64_t result = cw_far_call(&far);
    if (rc)
        *rc = result;
    memcpy(&gave, &far.a, sizeof gave);
    return gave;
}

void *crew_value_ptr(crew_value v) {
    struct cw_self *self;
    struct cw_value *value = find(v, &self);
    if (!value)
        cw_far_not(v.check, "a value has an address on its own node only; crew_value_get_i64 and "
                            "the like work from every node");
    return value ? value->bytes : NULL;
}

int crew_value_lock(crew_value v) {
    struct cw_self *self;
    struct cw_value *value = find(v, &self);
    if (!value)
        return cw_far(CW_CALL_VALUE_LOCK, v.place, v.check, 0);
    int rc = cw_rlock_acquire(self, &value->lock, v.check, CREW_FOREVER);
    cw_handle_met();
    return rc < 0 ? cw_handle_stale(CW_VALUE, v.place, v.check) : rc;
}

int crew_value_unlock(crew_value v) {
    struct cw_self *self;
    struct cw_value *value = find(v, &self);
    if (!value)
        return cw_far(CW_CALL_VALUE_UNLOCK, v.place, v.check, 0);
    int rc = cw_rlock_release(self, &value->lock, v.check);
    if (rc == CREW_EINVAL)
        return cw_handle_stale(CW_VALUE, v.place, v.check);
    if (rc < 0)
        return cw_error_set(NULL, CREW_EPERM, 0, "this thread does not hold the value's lock");
    return 0;
}

int64_t crew_value_get_i64(crew_value v) {
    struct cw_self *self;
    struct cw_value *value = find(v, &self);
    return value ? cw_value_load_i64(value) : whole(CW_CALL_VALUE_GET, v, 0, 0, NULL);
}

double crew_value_get_f64(crew_value v) {
    struct cw_self *self;
    struct cw_value *value = find(v, &self);
    return value ? cw_value_load_f64(value) : real(CW_CALL_VALUE_GET, v, 0, 0, NULL);
}

int crew_value_set_i64(crew_value v, int64_t n) {
    struct cw_self *self;
    struct cw_value *value = find(v, &self);
    if (!value) {
        int64_t rc;
        whole(CW_CALL_VALUE_SET, v, n, 0, &rc);
        return (int)rc;
    }
    cw_value_store_i64(value, n);
    return 0;
}

int crew_value_set_f64(crew_value v, double x) {
    struct cw_self *self;
    struct cw_value *value = find(v, &self);
    if (!value) {
        int64_t rc;
        real(CW_CALL_VALUE_SET, v, x, 0, &rc);
        return (int)rc;
    }
    cw_value_store_f64(value, x);
    return 0;
}

int64_t crew_value_add_i64(crew_value v, int64_t n) {
    struct cw_self *self;
    struct cw_value *value = find(v, &self);
    if (!value)
        return whole(CW_CALL_VALUE_ADD, v, n, 0, NULL);
    int64_t seen = cw_value_load_i64(value);
    /* Unsigned: it wraps around, as the numbers of the value's type do. */
    while (!cw_value_swap_i64(value, &seen, (int64_t)((uint64_t)seen + (uint64_t)n)))
        ;
    return seen;
}

double crew_value_add_f64(crew_value v, double x) {
    struct cw_self *self;
    struct cw_value *value = find(v, &self);
    if (!value)
        return real(CW_CALL_VALUE_ADD, v, x, 0, NULL);
    double seen = cw_value_load_f64(value);
    while (!cw_value_swap_f64(value, &seen, seen + x))
        if (seen != seen)
            return seen; /* not a number stays one, and equals nothing */
    return seen;
}

bool crew_value_cas_i64(crew_value v, int64_t *expected, int64_t next) {
    struct cw_self *self;
    struct cw_value *value = find(v, &self);
    if (!value && expected) {
        int64_t done;
        int64_t seen = whole(CW_CALL_VALUE_CAS, v, *expected, next, &done);
        if (done == 0)
            *expected = seen;
        return done == 1;
    }
    return value && expected && cw_value_swap_i64(value, expected, next);
}

bool crew_value_cas_f64(crew_value v, double *expected, double next) {
    struct cw_self *self;
    struct cw_value *value = find(v, &self);
    if (!value && expected) {
        int64_t done;
        double seen = real(CW_CALL_VALUE_CAS, v, *expected, next, &done);
        if (done == 0)
            *expected = seen;
        return done == 1;
    }
    return value && expected && cw_value_swap_f64(value, expected, next);
}
