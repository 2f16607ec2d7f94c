/* api/array_impl.h - arrays as the library sees them. */
#ifndef CW_API_ARRAY_IMPL_H
#define CW_API_ARRAY_IMPL_H

#include "api/session.h"
#include "share/array.h"

/* An array (or view) that is there, and whose memory it lies in: itself or what it is
 * a view of. */
struct cw_array_use {
    struct cw_share *share;
    struct cw_array *array, *base;
    uint64_t base_check;
    uint64_t life, base_life;
};
/* False: the error is set. */
bool cw_array_use(crew_array a, struct cw_array_use *use);
/* Whether it has been there all the time: what was read of it is its own. Else the
 * error is set. */
bool cw_array_same(crew_array a, const struct cw_array_use *use);
/* Its first element in this process; guards are seen to. NULL: the error is set. */
char *cw_array_memory(crew_array a, const struct cw_array_use *use);

/* What it looks like. */
struct cw_array_form {
    int type, ndim, scope;
    int64_t shape[CREW_ARRAY_DIMS], strides[CREW_ARRAY_DIMS];
};
void cw_array_form(const struct cw_array *array, struct cw_array_form *form);
/* Before there is a handle. */
void cw_array_set_form(struct cw_array *array, const struct cw_array_form *form);
int64_t cw_array_count(const struct cw_array_form *form);
bool cw_array_contiguous(const struct cw_array_form *form);

/* A number for a new one. */
uint64_t cw_array_life(const struct cw_share *share);

/* True if [at, at + size) lies in an array of the session's; *object: which, for
 * guards. */
bool cw_array_at(const void *at, size_t size, struct cw_within *object);

/* A cw_commit_fn, ctx a struct cw_array_commit: makes memory real on the NUMA nodes
 * of those who will use it. */
struct cw_array_commit {
    struct cw_session *session;
    bool spread; /* over all nodes */
};
int cw_array_commit(void *ctx, cw_segment *seg, uint64_t offset, uint64_t size, crew_error *err);

#endif
