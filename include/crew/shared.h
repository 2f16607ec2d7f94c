/* crew/shared.h - memory that every worker of the node sees.
 *
 * Handles are values of at most 16 bytes, passed by value: put one into a
 * task's item or into `common`. A stale handle is CREW_EINVAL. */
#ifndef CREW_SHARED_H
#define CREW_SHARED_H

#include <crew/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    CREW_I8 = 1,
    CREW_U8,
    CREW_I16,
    CREW_U16,
    CREW_I32,
    CREW_U32,
    CREW_I64,
    CREW_U64,
    CREW_F32,
    CREW_F64
};

/* ---- values: one number ---- */

typedef struct crew_value {
    uint64_t place, check;
} crew_value;

/* 0, of one of the types above. */
CREW_API int crew_value_create(crew_value *v, int type);
CREW_API int crew_value_destroy(crew_value v);
/* In this process's memory, for one's own atomics; NULL for a stale handle. */
CREW_API void *crew_value_ptr(crew_value v);
/* A lock beside the number, for changes that take more than one step. A thread may
 * take it again. 0, or CREW_OWNERDEAD: its holder died holding it. The calls below
 * do not take it. */
CREW_API int crew_value_lock(crew_value v);
CREW_API int crew_value_unlock(crew_value v);

/* Each is one atomic step, for every type: converted as C converts (a number that
 * an integer type cannot hold wraps around; from floating point it is cut off).
 * A stale handle gives 0 or false and is told by crew_last_error. add gives the
 * number before; cas puts `next` there if it still is *expected, else it fills
 * *expected with what it is. */
CREW_API int64_t crew_value_get_i64(crew_value v);
CREW_API int crew_value_set_i64(crew_value v, int64_t n);
CREW_API int64_t crew_value_add_i64(crew_value v, int64_t n);
CREW_API bool crew_value_cas_i64(crew_value v, int64_t *expected, int64_t next);
CREW_API double crew_value_get_f64(crew_value v);
CREW_API int crew_value_set_f64(crew_value v, double x);
CREW_API double crew_value_add_f64(crew_value v, double x);
CREW_API bool crew_value_cas_f64(crew_value v, double *expected, double next);

/* ---- arrays ---- */

typedef struct crew_array {
    uint64_t place, check;
} crew_array;

enum { CREW_ARRAY_NODE = 0, CREW_ARRAY_REPLICATED, CREW_ARRAY_PARTITIONED };
enum { CREW_ARRAY_DIMS = 8 }; /* the most dimensions an array may have */

typedef struct crew_array_opts {
    int scope; /* CREW_ARRAY_NODE; the others belong to several nodes: CREW_ENOTSUP on one */
    const struct crew_shm *over;
    bool interleave;
} crew_array_opts;

/* An array of C numbers, row-major, zeroed, aligned to 64 bytes. Its memory is
 * there when this returns: one for which there is no room is CREW_ENOMEM. */
CREW_API int crew_array_create(crew_array *a, int type, int ndim, const int64_t *shape,
                               const crew_array_opts *opts);
/* In this process's memory; NULL for a stale handle. */
CREW_API void *crew_array_data(crew_array a);
CREW_API void *crew_array_row(crew_array a, int64_t row);
/* How many dimensions; fills the first cap of shape (may be NULL with 0). */
CREW_API int crew_array_shape(crew_array a, int64_t *shape, int cap);
CREW_API int crew_array_destroy(crew_array a);

#ifdef __cplusplus
}
#endif
#endif
