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
/* In this process's memory, for one's own atomics; NULL for a stale handle, and for a value
 * of another node (see crew/sync.h; the calls below work there, too). */
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

/* ---- arrays ----
 *
 * C numbers in memory that every process of the node sees: row-major, zeroed,
 * aligned to 64 bytes. Any process and thread of any node may call these, with any
 * handle: in an item, in `common`, in a result. Where a node that is asked was lost, the
 * call is CREW_EBROKEN and names it; nothing waits for one for longer than
 * CREW_NODE_TIMEOUT.
 *
 * An array lasts until crew_array_destroy or crew_finalize, not until its maker's
 * end: one made by a task that dies before it destroys it stays, too.
 *
 * After crew_array_destroy its handle, and those of its views, are CREW_EINVAL
 * everywhere; who waits for its lock gets that too. Its memory may be another
 * array's at once. An address into it that somebody still has must not be used:
 * nothing stops it, and it reads zeros or another array, and writes into that.
 *
 * Addresses: an array lies in every forked worker and process where it lies in who
 * made its pool or it (not with CREW_START_SPAWN, where each asks with the handle; over
 * named memory neither). So a pointer from crew_array_data is good in the other process
 * if it is in a global when a pool opens, in `common`, in an item or in a result, or
 * comes in a message, a dictionary or a list, or by memory beside an event, a lock or
 * the like. One that a task reads from memory without any such call may, until its next
 * one, meet the guard of an array that was there before. */

typedef struct crew_array {
    uint64_t place, check;
} crew_array;

/* NODE: on each node it is its own, the same for all workers of the node, zeroed when the
 * handle is first used there (where it then may be refused: no room). As a map's results
 * it gets those of all nodes, on the node of the map's caller.
 * REPLICATED: the same on each node, but each node writes to its own copy: either
 * read-only after crew_array_bcast, or an accumulator, see crew_array_reduce.
 * PARTITIONED: one array over all nodes, each has a part of its rows, neighbours, as
 * many as the others or one more. On one node all three are one copy there, and programs
 * for several nodes do the same on one. */
enum { CREW_ARRAY_NODE = 0, CREW_ARRAY_REPLICATED, CREW_ARRAY_PARTITIONED };
enum { CREW_ARRAY_DIMS = 8 }; /* the most dimensions an array may have */

typedef struct crew_array_opts {
    int scope;
    /* The array is what lies in this named memory, from its beginning on, as it is
     * (not zeroed); it needs a scope of CREW_ARRAY_NODE, CREW_ETOOSMALL if it does
     * not fit. Other processes map the memory by its name; it has to be there when
     * they first ask for the address. The array's end leaves the memory alone; the
     * handle of the memory has to last as long as the array is used. */
    const struct crew_shm *over;
    bool interleave; /* its pages go round over all NUMA nodes */
} crew_array_opts;

/* `shape` is copied. Its memory is there when this returns (REPLICATED and PARTITIONED:
 * on all nodes): one for which there is no room is CREW_ENOMEM, with the figures, the
 * setting to change, and the node if it is another one. Each worker of the largest open
 * pool finds its contiguous share on its NUMA node; with opts.interleave all NUMA nodes
 * have parts. Behind an array of 32 KiB and more lies a page that ends who touches it. */
CREW_API int crew_array_create(crew_array *a, int type, int ndim, const int64_t *shape,
                               const crew_array_opts *opts);
CREW_API int crew_array_destroy(crew_array a);

/* Of the first element, in this process's memory; NULL with the reason. Of a
 * PARTITIONED array: of the first element that lies on this node. */
CREW_API void *crew_array_data(crew_array a);
/* Of the first element of that row (index of the first dimension). */
CREW_API void *crew_array_row(crew_array a, int64_t row);
/* How many dimensions; fills the first cap of shape (may be NULL with 0). */
CREW_API int crew_array_shape(crew_array a, int64_t *shape, int cap);
/* The same with how many elements lie between neighbours of each dimension:
 * element (i, j) is data[i * strides[0] + j * strides[1]]. */
CREW_API int crew_array_strides(crew_array a, int64_t *strides, int cap);
/* CREW_I8 to CREW_F64. */
CREW_API int crew_array_type(crew_array a);
/* How many elements. */
CREW_API int64_t crew_array_size(crew_array a);
/* True if its elements lie one behind the other: then a map takes its data as items
 * or results in place, as that of any array. */
CREW_API bool crew_array_contiguous(crew_array a);

/* A lock beside the elements, as crew_value_lock: a thread may take it again; 0, or
 * CREW_OWNERDEAD: its holder died holding it. A view's is that of its array. Each node
 * has one of its own, for what it has of the array. Nothing here takes it. */
CREW_API int crew_array_lock(crew_array a);
CREW_API int crew_array_unlock(crew_array a);

/* A view: the elements from, from + step, ... before `to` of one dimension, and all
 * of the others, as a[from:to:step] is in Python: negative from and to count from
 * the end, what lies outside is cut off, a negative step goes backwards. INT64_MAX is
 * beyond the end, INT64_MIN before the beginning, in either direction. An empty view
 * is possible. It is an array with a handle of its own, over the same memory:
 * usable everywhere, also for another slice (a view of a view is one of the array);
 * destroyed by itself, stale when the array is destroyed. */
CREW_API int crew_array_slice(crew_array *view, crew_array a, int dim, int64_t from, int64_t to,
                              int64_t step);

/* n elements from the first-th on, counted row by row, out of or into an array of any
 * scope or view, whose elements lie on whatever node. CREW_EINVAL, and nothing is
 * done, if there are not as many. `add` changes each element in one atomic step, as
 * the others' adds, wherever they call (it is always a processor of the element's node
 * that adds); integers wrap around. `get` and `put` copy: what others write to
 * the same elements meanwhile is theirs or yours, element by element. What lies on another
 * node goes 1 MiB at a time: if a call ends with CREW_EBROKEN, for that node was lost, or its
 * process dies in it, each of these was put (added) as a whole or not at all. When put and add
 * return the caller's memory is its own again, and a get of any process that comes
 * later sees them. */
CREW_API int crew_array_get(crew_array a, int64_t first, int64_t n, void *to);
CREW_API int crew_array_put(crew_array a, int64_t first, int64_t n, const void *from);
CREW_API int crew_array_add(crew_array a, int64_t first, int64_t n, const void *from);
/* Which rows of a PARTITIONED array lie on this node (of the others: all): here
 * crew_array_row gives their addresses. Not of a view. */
CREW_API int crew_array_part(crew_array a, int64_t *first, int64_t *rows);

/* crew_array_win, of <crew/mpi.h>, without the type that comes from mpi.h: into win, which
 * has `size` bytes, an MPI_Win. */
CREW_API int crew_array_win_into(crew_array a, void *win, size_t size);

/* REPLICATED, read-only: this node's copy (of a view: its elements) is every node's
 * when this returns. One process calls; nobody uses the array meanwhile. CREW_EBROKEN: a
 * node was lost in the middle; again, and it is done without that one. */
CREW_API int crew_array_bcast(crew_array a);

/* REPLICATED, as an accumulator: workers add to their node's copy (crew_array_add, or
 * with the lock, or each its own elements), then one process calls crew_array_reduce,
 * while nobody uses the array: the elements of all copies, combined, are in this
 * node's copy, and those of the others are at the identity again. So it may go on,
 * and be reduced again. Combined in the order of the nodes, in the process that calls;
 * `own` (CREW_OWN: anything associative) gets n elements of two copies, puts what they
 * give into the one, and fails the reduce by anything but 0; it is not called where there
 * is one node.
 *
 * What comes out does not depend on how many nodes there are, nor on who did what, to
 * the bit: for CREW_MIN and CREW_MAX (of two zeros -0 is the smaller, NaN stays NaN), for
 * all operations on whole numbers, for CREW_OWN if it is associative, and for CREW_SUM
 * and CREW_PROD of floating point where no step has to round (whole numbers below 2^53,
 * say) or each element is one worker's. Other sums of floating point differ in their
 * last bits with the order of the additions, on one node as on many: where that matters,
 * crew_reduce has one order, by index, on any number of workers.
 *
 * A node that is lost takes its copy with it: CREW_EBROKEN, and crew_array_reset begins
 * anew with the copies that are left. The same after any reduce that has failed.
 *
 * crew_array_reset begins anew: all elements of all copies are the operation's
 * identity (zero, one, the type's largest and smallest number or infinity; for
 * CREW_OWN the element at `identity`, else NULL). A new array is as reset for CREW_SUM.
 * CREW_EINVAL: an array that was broadcast is not reduced, one that was reset or
 * reduced is not broadcast, and it is reduced by what it was reset for. Not of views. */
enum { CREW_SUM = 1, CREW_PROD, CREW_MIN, CREW_MAX, CREW_OWN };
typedef int crew_combine_fn(void *into, const void *from, int64_t n);
CREW_API int crew_array_reset(crew_array a, int op, const void *identity);
CREW_API int crew_array_reduce(crew_array a, int op, crew_combine_fn *own);

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
 * beyond the program's end. An owned one goes with the program, whichever of its
 * processes has made it: at crew_finalize, or, if the program was killed or ended
 * without, when the next one of this user that uses crew starts. */
typedef struct crew_shm_opts {
    bool owned;
} crew_shm_opts;

/* CREW_EEXIST; CREW_ENOMEM with how much there is. */
CREW_API int crew_shm_create(crew_shm *s, const char *name, size_t size, const crew_shm_opts *opts);
/* CREW_ENOENT. Its size is that of the memory. */
CREW_API int crew_shm_attach(crew_shm *s, const char *name);
/* In this process's memory, mapped by the first call in it: a handle that came from
 * another process needs the name to be there still. NULL with the reason. */
CREW_API void *crew_shm_data(crew_shm s);
/* Of a stale handle 0 and NULL. The name is borrowed until the handle is closed. */
CREW_API size_t crew_shm_size(crew_shm s);
CREW_API const char *crew_shm_name(crew_shm s);
/* The handle is stale for all, and this process's mapping gone; the name stays. What
 * other processes have mapped stays good until each has closed it too (0 there as
 * well), or ends; in a worker of a pool at least as long as the map or task that has
 * asked for it. */
CREW_API int crew_shm_close(crew_shm s);
/* Takes the name away; the memory stays for those who have mapped it. CREW_ENOENT also
 * if the name means other memory by now, which keeps it. */
CREW_API int crew_shm_unlink(crew_shm s);

typedef struct crew_shm_info {
    const char *name;
    size_t size; /* 0: it is not there (any more) */
    int owner;   /* the pid of the program that owns it; 0: that is dead */
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
