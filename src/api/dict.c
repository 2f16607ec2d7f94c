/* Dictionaries, as their callers see them. */
#include "share/dict.h"

#include <crew/manager.h>

#include "api/far.h"
#include "api/values.h"

/* The dictionary, and this thread; NULL with the reason. */
static struct cw_dict *enter(crew_dict d, struct cw_self **self) {
    *self = cw_self_get();
    if (!*self)
        return NULL;
    struct cw_dict *dict = cw_object((*self)->share, CW_DICT, d.place, d.check);
    if (!dict)
        cw_handle_stale(CW_DICT, d.place, d.check);
    return dict;
}

/* What share/dict.c said, in a sentence. rc >= 0 is passed on. */
static int told(crew_dict d, int rc) {
    switch (rc) {
    case CREW_EINVAL:
        return cw_handle_stale(CW_DICT, d.place, d.check);
    case CREW_ENOENT:
        return cw_error_set(NULL, rc, 0, "the dictionary has no such key");
    case CREW_ETIMEDOUT:
        return cw_error_set(NULL, rc, 0, "nobody has put a value under this key");
    default:
        if (rc >= 0) {
            cw_handle_met();
            cw_error_clear(NULL);
        }
        return rc;
    }
}

int crew_dict_create(crew_dict *d) {
    return cw_handle_make(CW_DICT, cw_dict_init, NULL, d ? &d->place : NULL, d ? &d->check : NULL);
}

int crew_dict_destroy(crew_dict d) {
    struct cw_self *self;
    struct cw_dict *dict = enter(d, &self);
    return dict ? told(d, cw_dict_end(self, dict, d.place, d.check))
                : (int)cw_far_number(CW_CALL_END, d.place, d.check, CW_DICT);
}

/* ---- one key ---- */

/* The same of another node's. What the public call returns there: 0 where it says so. */
static int change_far(crew_dict d, struct cw_dict_change *c) {
    struct cw_far far = {.ask = {.place = d.place, .check = d.check, .a = c->n},
                         .in = {c->key, c->want}};
    far.ask.call = c->add         ? CW_CALL_DICT_ADD
                   : c->compare   ? CW_CALL_DICT_CAS
                   : c->want.data ? CW_CALL_DICT_SET
                                  : CW_CALL_DICT_DEL;
    if (c->compare) {
        far.in[1] = c->is;
        far.in[2] = c->want;
    }
    int rc = (int)cw_far_call(&far);
    c->before = far.a;
    return rc == 0 && far.ask.call == CW_CALL_DICT_DEL ? 1 : rc;
}

/* 1 or 0 as cw_dict_change, or an error with its sentence. */
static int change(crew_dict d, struct cw_dict_change *c) {
    struct cw_self *self;
    int rc = cw_bytes_check(c->key.data, c->key.size, "key");
    if (rc == 0)
        rc = cw_bytes_check(c->want.data, c->want.size, "value");
    if (rc == 0)
        rc = cw_bytes_check(c->is.data, c->is.size, "expected value");
    if (rc < 0)
        return rc;
    struct cw_dict *dict = enter(d, &self);
    if (!dict)
        return change_far(d, c);
    return told(d, cw_dict_change(self, dict, d.check, c, cw_error_last()));
}

int crew_dict_set(crew_dict d, const void *key, size_t ksize, const void *val, size_t vsize) {
    struct cw_dict_change c = {.key = {key, ksize}, .want = {val, vsize}};
    if (!vsize)
        c.want = cw_bytes_of(val, 0);
    int rc = change(d, &c);
    return rc < 0 ? rc : 0;
}

int crew_dict_del(crew_dict d, const void *key, size_t ksize) {
    struct cw_dict_change c = {.key = {key, ksize}};
    int rc = change(d, &c);
    return rc < 0 ? rc : told(d, rc ? 0 : CREW_ENOENT);
}

int crew_dict_cas(crew_dict d, const void *key, size_t ksize, const void *expected, size_t esize,
                  const void *val, size_t vsize) {
    struct cw_dict_change c = {
        .key = {key, ksize}, .want = {val, vsize}, .compare = true, .is = {expected, esize}};
    return change(d, &c);
}

int crew_dict_add_i64(crew_dict d, const void *key, size_t ksize, int64_t n, int64_t *before) {
    struct cw_dict_change c = {.key = {key, ksize}, .want = {&n, sizeof n}, .add = true, .n = n};
    int rc = change(d, &c);
    if (rc == CREW_EMISMATCH)
        return cw_error_set(NULL, rc, 0,
                            "the value under this key is not an int64_t: it has not "
                            "8 bytes");
    if (rc >= 0 && before)
        *before = c.before;
    return rc < 0 ? rc : 0;
}

static ptrdiff_t get_far(crew_dict d, const void *key, size_t ksize, struct cw_out *out, bool take,
                         double timeout) {
    struct cw_far far = {.ask = {.call = take ? CW_CALL_DICT_POP : CW_CALL_DICT_GET,
                                 .place = d.place,
                                 .check = d.check,
                                 .timeout = timeout,
                                 .cap = out->made ? UINT64_MAX : out->cap},
                         .in = {{key, ksize}},
                         .out = out};
    return (ptrdiff_t)cw_far_call(&far);
}

static ptrdiff_t get(crew_dict d, const void *key, size_t ksize, struct cw_out *out, bool take,
                     double timeout) {
    struct cw_self *self;
    int rc = cw_bytes_check(key, ksize, "key");
    if (rc == 0)
        rc = cw_out_check(out);
    if (rc < 0)
        return rc;
    struct cw_dict *dict = enter(d, &self);
    if (!dict)
        return get_far(d, key, ksize, out, take, timeout);
    rc = cw_dict_get(self, dict, d.check, (struct cw_bytes){key, ksize}, out, take, timeout);
    if (rc == CREW_ETOOSMALL || rc == CREW_ENOMEM)
        return cw_out_failed(out, rc);
    rc = told(d, rc);
    return rc < 0 ? rc : (ptrdiff_t)out->size;
}

static ptrdiff_t get_alloc(crew_dict d, const void *key, size_t ksize, void **val, bool take,
                           double timeout) {
    if (!val)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the pointer to fill is NULL");
    *val = NULL;
    return get(d, key, ksize, &(struct cw_out){.made = val}, take, timeout);
}

ptrdiff_t crew_dict_get(crew_dict d, const void *key, size_t ksize, void *buf, size_t cap,
                        double timeout) {
    return get(d, key, ksize, &(struct cw_out){.buf = buf, .cap = cap}, false, timeout);
}

ptrdiff_t crew_dict_get_alloc(crew_dict d, const void *key, size_t ksize, void **val,
                              double timeout) {
    return get_alloc(d, key, ksize, val, false, timeout);
}

ptrdiff_t crew_dict_pop(crew_dict d, const void *key, size_t ksize, void *buf, size_t cap,
                        double timeout) {
    return get(d, key, ksize, &(struct cw_out){.buf = buf, .cap = cap}, true, timeout);
}

ptrdiff_t crew_dict_pop_alloc(crew_dict d, const void *key, size_t ksize, void **val,
                              double timeout) {
    return get_alloc(d, key, ksize, val, true, timeout);
}

static ptrdiff_t has_far(crew_dict d, const void *key, size_t ksize) {
    struct cw_far far = {
        .ask = {.call = CW_CALL_DICT_HAS, .place = d.place, .check = d.check},
        .in = {{key, ksize}}};
    int rc = cw_bytes_check(key, ksize, "key");
    return rc < 0 ? rc : (ptrdiff_t)cw_far_call(&far);
}

ptrdiff_t crew_dict_has(crew_dict d, const void *key, size_t ksize) {
    struct cw_out out = {0};
    if (cw_far_is(d.check))
        return has_far(d, key, ksize);
    ptrdiff_t rc = get(d, key, ksize, &out, false, 0);
    if (rc != CREW_ETOOSMALL)
        return rc;
    cw_error_clear(NULL);
    return (ptrdiff_t)out.size;
}

/* ---- the whole dictionary ---- */

int64_t crew_dict_size(crew_dict d) {
    struct cw_self *self;
    struct cw_dict *dict = enter(d, &self);
    if (!dict)
        return cw_far_number(CW_CALL_DICT_SIZE, d.place, d.check, 0);
    int64_t n = cw_dict_size(self, dict, d.check);
    told(d, n < 0 ? (int)n : 0);
    return n;
}

int crew_dict_clear(crew_dict d) {
    struct cw_self *self;
    struct cw_dict *dict = enter(d, &self);
    return dict ? told(d, cw_dict_clear(self, dict, d.check))
                : cw_far(CW_CALL_DICT_CLEAR, d.place, d.check, 0);
}

struct visit {
    int (*fn)(void *ctx, const void *key, size_t ksize, const void *val, size_t vsize);
    void *ctx;
};

static int visit(void *ctx, struct cw_bytes key, struct cw_bytes val) {
    const struct visit *v = ctx;
    return v->fn(v->ctx, key.data, key.size, val.data, val.size);
}

int crew_dict_each(crew_dict d,
                   int (*fn)(void *ctx, const void *key, size_t ksize, const void *val,
                             size_t vsize),
                   void *ctx) {
    struct cw_self *self;
    struct cw_copy copy = {0};
    if (!fn)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the function to call is NULL");
    struct cw_dict *dict = enter(d, &self);
    if (!dict)
        return cw_far_each(CW_CALL_DICT_EACH, d.place, d.check, visit,
                           &(struct visit){fn, ctx});
    int rc = told(d, cw_dict_copy(self, dict, d.check, &copy));
    if (rc == 0)
        rc = cw_copy_each(&copy, visit, &(struct visit){fn, ctx});
    else if (rc == CREW_ENOMEM)
        cw_error_set(NULL, rc, 0, "no memory for a copy of the dictionary");
    cw_copy_free(&copy);
    return rc;
}
