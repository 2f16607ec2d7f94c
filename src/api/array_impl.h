/* api/array_impl.h - arrays as the library sees them. */
#ifndef CW_API_ARRAY_IMPL_H
#define CW_API_ARRAY_IMPL_H

#include "api/session.h"

/* True if [at, at + size) lies in one object of the session's; *object: which, for
 * guards. */
bool cw_array_at(struct cw_session *s, const void *at, size_t size, struct cw_within *object);

/* A cw_commit_fn, ctx a struct cw_array_commit: makes memory real on the NUMA nodes
 * of those who will use it. */
struct cw_array_commit {
    struct cw_session *session;
    bool spread; /* over all nodes */
};
int cw_array_commit(void *ctx, cw_segment *seg, uint64_t offset, uint64_t size, crew_error *err);

#endif
