/* api/objects.h - from a handle to the object it means, in any process of the
 * session. */
#ifndef CW_API_OBJECTS_H
#define CW_API_OBJECTS_H

#include "base/error.h"
#include "share/share.h"
#include "team/guard.h"

/* The slow half: joins the session if this thread has not yet. */
struct cw_self *cw_self_join(crew_error *err);

/* This thread; NULL with the reason in its last error. */
static inline struct cw_self *cw_self_get(void) {
    struct cw_self *self = cw_self_if_any();
    return self ? self : cw_self_join(cw_error_last());
}

/* What another process has left for this one, or has told it of, may be an address
 * in an array: see team/guard.h. For calls that have it so. */
static inline void cw_handle_met(void) {
    if (cw_self_now.share)
        cw_guard_catch_up(cw_self_now.share->root.base);
}

/* Why a handle of that kind means nothing. Returns CREW_EINVAL. */
int cw_handle_stale(enum cw_kind_of kind, uint64_t place, uint64_t check);

/* The object of a handle, and this thread; NULL with the reason in its last error. */
static inline void *cw_handle_use(enum cw_kind_of kind, uint64_t place, uint64_t check,
                                  struct cw_self **self) {
    *self = cw_self_get();
    if (!*self)
        return NULL;
    void *object = cw_object((*self)->share, kind, place, check);
    if (!object)
        cw_handle_stale(kind, place, check);
    return object;
}

/* Makes an object and fills its handle. */
int cw_handle_make(enum cw_kind_of kind,
                   int (*init)(struct cw_share *share, struct cw_head *head, void *arg,
                               crew_error *err),
                   void *arg, uint64_t *place, uint64_t *check);
int cw_handle_end(enum cw_kind_of kind, uint64_t place, uint64_t check);

#endif
