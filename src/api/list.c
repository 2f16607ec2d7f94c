/* Lists, as their callers see them. */
#include "share/list.h"

#include <crew/manager.h>

#include "api/far.h"
#include "api/values.h"

/* The list, and this thread; NULL with the reason. */
static struct cw_list *enter(crew_list l, struct cw_self **self) {
    *self = cw_self_get();
    if (!*self)
        return NULL;
    struct cw_list *list = cw_object((*self)->share, CW_LIST, l.place, l.check);
    if (!list)
        cw_handle_stale(CW_LIST, l.place, l.check);
    return list;
}

/* What share/list.c said, in a sentence. */
static int told(crew_list l, int rc) {
    if (rc == CREW_EINVAL)
        return cw_handle_stale(CW_LIST, l.place, l.check);
    if (rc == CREW_ENOENT)
        return cw_error_set(NULL, rc, 0, "the list has no item at this place");
    if (rc >= 0) {
        cw_handle_met();
        cw_error_clear(NULL);
    }
    return rc;
}

int crew_list_create(crew_list *l) {
    return cw_handle_make(CW_LIST, NULL, NULL, l ? &l->place : NULL, l ? &l->check : NULL);
}

int crew_list_destroy(crew_list l) {
    struct cw_self *self;
    struct cw_list *list = enter(l, &self);
    return list ? told(l, cw_list_end(self, list, l.place, l.check))
                : (int)cw_far_number(CW_CALL_END, l.place, l.check, CW_LIST);
}

/* ---- one item ---- */

static int put_far(crew_list l, int64_t place, const void *val, size_t size, enum cw_call call) {
    struct cw_far far = {
        .ask = {.call = call, .place = l.place, .check = l.check, .a = place},
        .in = {cw_bytes_of(val, size)}};
    return (int)cw_far_call(&far);
}

static int put(crew_list l, int64_t place, const void *val, size_t size,
               int (*how)(struct cw_self *self, struct cw_list *list, uint64_t check, int64_t index,
                          struct cw_bytes item, crew_error *err)) {
    struct cw_self *self;
    int rc = cw_bytes_check(val, size, "value");
    if (rc < 0)
        return rc;
    struct cw_list *list = enter(l, &self);
    if (!list)
        return put_far(l, place, val, size,
                       how == cw_list_set ? CW_CALL_LIST_SET : CW_CALL_LIST_INSERT);
    return told(l, how(self, list, l.check, place, cw_bytes_of(val, size), cw_error_last()));
}

int crew_list_append(crew_list l, const void *val, size_t size) {
    return put(l, INT64_MAX, val, size, cw_list_insert);
}

int crew_list_insert(crew_list l, int64_t place, const void *val, size_t size) {
    return put(l, place, val, size, cw_list_insert);
}

int crew_list_set(crew_list l, int64_t place, const void *val, size_t size) {
    return put(l, place, val, size, cw_list_set);
}

static ptrdiff_t get_far(crew_list l, int64_t place, struct cw_out *out, bool take) {
    struct cw_far far = {.ask = {.call = take ? CW_CALL_LIST_POP : CW_CALL_LIST_GET,
                                 .place = l.place,
                                 .check = l.check,
                                 .a = place,
                                 .cap = out->made ? UINT64_MAX : out->cap},
                         .out = out};
    return (ptrdiff_t)cw_far_call(&far);
}

static ptrdiff_t get(crew_list l, int64_t place, struct cw_out *out, bool take) {
    struct cw_self *self;
    int rc = cw_out_check(out);
    if (rc < 0)
        return rc;
    struct cw_list *list = enter(l, &self);
    if (!list)
        return get_far(l, place, out, take);
    rc = cw_list_get(self, list, l.check, place, out, take, cw_error_last());
    if (rc == CREW_ETOOSMALL || rc == CREW_ENOMEM)
        return cw_out_failed(out, rc);
    rc = told(l, rc);
    return rc < 0 ? rc : (ptrdiff_t)out->size;
}

static ptrdiff_t get_alloc(crew_list l, int64_t place, void **val, bool take) {
    if (!val)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the pointer to fill is NULL");
    *val = NULL;
    return get(l, place, &(struct cw_out){.made = val}, take);
}

ptrdiff_t crew_list_get(crew_list l, int64_t place, void *buf, size_t cap) {
    return get(l, place, &(struct cw_out){.buf = buf, .cap = cap}, false);
}

ptrdiff_t crew_list_get_alloc(crew_list l, int64_t place, void **val) {
    return get_alloc(l, place, val, false);
}

ptrdiff_t crew_list_pop(crew_list l, int64_t place, void *buf, size_t cap) {
    return get(l, place, &(struct cw_out){.buf = buf, .cap = cap}, true);
}

ptrdiff_t crew_list_pop_alloc(crew_list l, int64_t place, void **val) {
    return get_alloc(l, place, val, true);
}

/* ---- the whole list ---- */

int64_t crew_list_size(crew_list l) {
    struct cw_self *self;
    struct cw_list *list = enter(l, &self);
    if (!list)
        return cw_far_number(CW_CALL_LIST_SIZE, l.place, l.check, 0);
    int64_t n = cw_list_size(self, list, l.check);
    told(l, n < 0 ? (int)n : 0);
    return n;
}

int crew_list_clear(crew_list l) {
    struct cw_self *self;
    struct cw_list *list = enter(l, &self);
    return list ? told(l, cw_list_clear(self, list, l.check))
                : cw_far(CW_CALL_LIST_CLEAR, l.place, l.check, 0);
}

struct visit {
    int (*fn)(void *ctx, int64_t place, const void *val, size_t size);
    void *ctx;
    int64_t place;
};

static int visit(void *ctx, struct cw_bytes none, struct cw_bytes val) {
    struct visit *v = ctx;
    (void)none;
    return v->fn(v->ctx, v->place++, val.data, val.size);
}

int crew_list_each(crew_list l, int (*fn)(void *ctx, int64_t place, const void *val, size_t size),
                   void *ctx) {
    struct cw_self *self;
    struct cw_copy copy = {0};
    if (!fn)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the function to call is NULL");
    struct cw_list *list = enter(l, &self);
    if (!list)
        return cw_far_each(CW_CALL_LIST_EACH, l.place, l.check, visit,
                           &(struct visit){fn, ctx, 0});
    int rc = told(l, cw_list_copy(self, list, l.check, &copy));
    if (rc == 0)
        rc = cw_copy_each(&copy, visit, &(struct visit){fn, ctx, 0});
    else if (rc == CREW_ENOMEM)
        cw_error_set(NULL, rc, 0, "no memory for a copy of the list");
    cw_copy_free(&copy);
    return rc;
}
