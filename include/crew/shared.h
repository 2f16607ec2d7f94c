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
