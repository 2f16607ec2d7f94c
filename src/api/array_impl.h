/* api/array_impl.h - arrays as the library sees them. */
#ifndef CW_API_ARRAY_IMPL_H
#define CW_API_ARRAY_IMPL_H

#include "api/session.h"
#include "share/array.h"
#include "share/ferry.h"

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

/* One that is to be made on this node. */
struct cw_array_plan {
    struct cw_array_form form;
    uint64_t bytes;             /* of all elements */
    crew_array origin;          /* as another node calls it; or {0} */
    int64_t part_from, part_to; /* bytes that lie here: cw_array_make finds them */
    crew_shm shm;
    uint32_t maker;
    cw_off block, data, guard;
};
/* Its form, but strides, decides the rest. */
int cw_array_plan(struct cw_array_plan *plan, const struct cw_array_form *form);
int cw_array_make(struct cw_self *self, struct cw_array_plan *plan, bool spread, crew_array *made,
                  crew_error *err);
/* Before there is a handle. */
void cw_array_set_far(struct cw_array *array, crew_array origin, int64_t from, int64_t to);
/* Ends it here. False: it has ended before. */
bool cw_array_end(struct cw_self *self, struct cw_array *array, crew_array a);
/* The handle of this node for what lies in that cell. */
static inline crew_array cw_array_handle(const struct cw_share *share, const struct cw_array *array,
                                         uint64_t check) {
    return (crew_array){.place = cw_share_off(share, array) | (uint64_t)CW_ARRAY << 48,
                        .check = check};
}

/* A view that is to be made. */
struct cw_array_look {
    crew_array of; /* the array itself, never a view */
    crew_array origin;
    struct cw_array_form form;
    uint64_t data;
    crew_shm shm;
};
int cw_array_make_view(struct cw_share *share, const struct cw_array_look *look, crew_array *view,
                       crew_error *err);

/* ---- several nodes: array_ferry.c ---- */

/* Which rows of so many a node has; and who has that row. */
void cw_array_part(int64_t all, int node, int nodes, int64_t *first, int64_t *rows);
int cw_array_owner(int64_t all, int nodes, int64_t row);
/* What another node's handle means on this one: made if it is used here for the first
 * time. *check: of its own handle here. NULL: the error is set. */
struct cw_array *cw_array_of_another(struct cw_share *share, crew_array a, uint64_t *check);
/* The same if it is here already. */
struct cw_array *cw_array_find(struct cw_share *share, crew_array a, uint64_t *check);
/* REPLICATED and PARTITIONED: all other nodes have it too, or nobody; the error is set. */
int cw_array_make_elsewhere(struct cw_self *self, crew_array a, const struct cw_array_form *form);
/* Other nodes forget those that have ended here. */
int cw_array_end_elsewhere(struct cw_self *self);
int cw_array_end_at_home(crew_array a);
/* Bytes from the array's element 0 to the view's. */
int64_t cw_array_beyond(const struct cw_array_use *use);
/* As all nodes call what `use` means. */
crew_array cw_array_known_as(const struct cw_array_use *use);

/* A boat of this thread's own, with room; waits for one. NULL: the error is set. */
struct cw_boat *cw_boat_take(struct cw_self *self, crew_error *err);
/* Asks boat->ask and waits: boat->told.code, which is in err. The boat is still its own. */
int cw_boat_ask(struct cw_self *self, struct cw_boat *boat, crew_error *err);

/* ---- elements: array_parts.c ---- */

/* The element is every one of an array's part here, and what it gathers for is `use`. */
void cw_array_fill(const struct cw_array_use *use, char *data, const char *element, int32_t code);

/* Elements `stride` apart from `at` on, and somebody's own, one behind the other. */
/* What is used here becomes all other nodes' copies', whose `use` becomes `code`. */
int cw_array_tell(const struct cw_array_use *use, char *data, int code);
/* Elements of another node's copy. *gone: there is none, the node had been lost before. */
int cw_array_get_copy(const struct cw_array_use *use, int node, int64_t first, int64_t n,
                      char *to, bool *gone);
void cw_array_run(enum cw_freight_op op, int type, char *at, int64_t stride, char *mine, int64_t n);

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
