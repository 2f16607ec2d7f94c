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
 * there when this returns: one for which there is no room is CREW_ENOMEM. Each
 * worker of the largest open pool finds its contiguous share on its NUMA node;
 * with opts.interleave all nodes have parts. Behind an array of 32 KiB and more
 * lies a page that ends who touches it. */
CREW_API int crew_array_create(crew_array *a, int type, int ndim, const int64_t *shape,
                               const crew_array_opts *opts);
/* In this process's memory; NULL for a stale handle. Each process asks for itself:
 * an address that another has found may be guarded here. */
CREW_API void *crew_array_data(crew_array a);
CREW_API void *crew_array_row(crew_array a, int64_t row);
/* How many dimensions; fills the first cap of shape (may be NULL with 0). */
CREW_API int crew_array_shape(crew_array a, int64_t *shape, int cap);
CREW_API int crew_array_destroy(crew_array a);

/* ---- named shared memory ---- */

/* Memory with a name, for programs that are not related: as POSIX shm_open has it,
 * so that others (Python's SharedMemory too) find it by the same name. A name is 1 to
 * 200 bytes, without a slash and not beginning with a dot. The memory is zeroed and
 * of exactly the size that was asked for (up to the end of its last page more can be
 * touched), committed, readable and writable by this user only, aligned to pages. */
typedef struct crew_shm {
    uint64_t place, check;
} crew_shm;

/* Who makes memory that nobody owns keeps it until somebody unlinks its name, also
 * beyond the program's end. An owned one goes with the program: at crew_finalize,
 * or, if it was killed, when the next program of this user that uses crew starts. */
typedef struct crew_shm_opts {
    bool owned;
} crew_shm_opts;

/* CREW_EEXIST; CREW_ENOMEM with how much there is. */
CREW_API int crew_shm_create(crew_shm *s, const char *name, size_t size,
                             const crew_shm_opts *opts);
/* CREW_ENOENT. Its size is that of the memory. */
CREW_API int crew_shm_attach(crew_shm *s, const char *name);
/* In this process's memory, mapped by the first call in it: a handle that came from
 * another process needs the name to be there still. NULL with the reason. */
CREW_API void *crew_shm_data(crew_shm s);
CREW_API size_t crew_shm_size(crew_shm s);
CREW_API const char *crew_shm_name(crew_shm s);
/* The handle is stale and this process's mapping gone; the name stays (so does the
 * mapping of an owned one, with its owner). */
CREW_API int crew_shm_close(crew_shm s);
/* Takes the name away; the memory stays for those who have mapped it. */
CREW_API int crew_shm_unlink(crew_shm s);

typedef struct crew_shm_info {
    const char *name;
    size_t size; /* 0: it is not there (any more) */
    int owner;   /* the pid of who made it; 0: that one is dead */
} crew_shm_info;
/* Calls fn for each owned one of this user, until it returns something else than 0;
 * returns that. */
CREW_API int crew_shm_each(int (*fn)(void *ctx, const crew_shm_info *info), void *ctx);
/* Takes away those whose owner is dead: how many. Every program's start does. */
CREW_API int crew_shm_sweep(void);

#ifdef __cplusplus
}
#endif
#endif
