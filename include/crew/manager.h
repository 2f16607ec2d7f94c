/* crew/manager.h - dictionaries and lists that all processes of a program share:
 * what Python's Manager keeps in a process of its own lies in shared memory here.
 *
 * Keys and values are bytes, copied in and copied out: of any size, 0 too (then
 * the pointer may be NULL, where nothing else is said). What has pointers in it
 * means nothing elsewhere; handles of other objects, of dictionaries and lists
 * too, may be values and keys. A key is its bytes: structs that are keys should
 * be zeroed first, because of what lies between their members. A Namespace is a
 * dictionary whose keys are names.
 *
 * Handles are values of 16 bytes, passed by value: put one into a task's item,
 * into `common`, into a queue. Objects live until they are destroyed or the
 * program's crew_finalize; a handle whose object is gone is CREW_EINVAL. Any
 * thread of any process of the program may make every call at any time. Each call
 * happens at one moment: nobody sees a half of it, also if the process that
 * makes it is killed in the middle: then it has happened, or it has not. (A
 * process killed while it destroys an object may leave it there, emptied.)
 *
 * Where a value goes into a buffer: the result is the value's size, which may be
 * 0. A buffer with too little room is CREW_ETOOSMALL and the value stays where it
 * is; crew_last_error()->text has both sizes, and the calls whose names end in
 * _alloc need no buffer: they fill a pointer to memory of malloc, which the caller
 * frees (for a value of 0 bytes too; NULL after a failure). The memory of an
 * object grows as it needs; CREW_ENOMEM when there is no more, and nothing has
 * changed.
 *
 * Times are seconds, as everywhere: negative waits without limit, 0 polls.
 * Destroying an object wakes who waits for it, with CREW_EINVAL. */
#ifndef CREW_MANAGER_H
#define CREW_MANAGER_H

#include <crew/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct crew_dict {
    uint64_t place, check;
} crew_dict;
typedef struct crew_list {
    uint64_t place, check;
} crew_list;

/* ---- dictionary ---- */

CREW_API int crew_dict_create(crew_dict *d);
CREW_API int crew_dict_destroy(crew_dict d);

/* Puts the value under the key, in the place of the one that is there. */
CREW_API int crew_dict_set(crew_dict d, const void *key, size_t ksize, const void *val,
                           size_t vsize);

/* The value under the key. If there is none: waits until somebody puts one there;
 * CREW_ETIMEDOUT when the time is over, CREW_ENOENT with a time of 0. */
CREW_API ptrdiff_t crew_dict_get(crew_dict d, const void *key, size_t ksize, void *buf, size_t cap,
                                 double timeout);
CREW_API ptrdiff_t crew_dict_get_alloc(crew_dict d, const void *key, size_t ksize, void **val,
                                       double timeout);
/* The same, and the key is not there any more: of several who pop it one gets it. */
CREW_API ptrdiff_t crew_dict_pop(crew_dict d, const void *key, size_t ksize, void *buf, size_t cap,
                                 double timeout);
CREW_API ptrdiff_t crew_dict_pop_alloc(crew_dict d, const void *key, size_t ksize, void **val,
                                       double timeout);
/* How many bytes the value has, without copying it; CREW_ENOENT if there is none:
 * whether the dictionary has the key. */
CREW_API ptrdiff_t crew_dict_has(crew_dict d, const void *key, size_t ksize);

/* CREW_ENOENT if it is not there. */
CREW_API int crew_dict_del(crew_dict d, const void *key, size_t ksize);

/* Compare and set: if the value is `expected`, byte by byte, puts `val` in its
 * place and returns 1; else changes nothing and returns 0. On both sides NULL
 * means that there is no such key: expected NULL inserts where nothing is (Python's
 * setdefault), val NULL removes. An empty value is a pointer to anything with
 * size 0. */
CREW_API int crew_dict_cas(crew_dict d, const void *key, size_t ksize, const void *expected,
                           size_t esize, const void *val, size_t vsize);

/* Counting: adds n to the value, an int64_t (wrapping around), which begins as 0
 * where there is no such key. *before (may be NULL) is what it was. CREW_EMISMATCH
 * if the value has not 8 bytes. */
CREW_API int crew_dict_add_i64(crew_dict d, const void *key, size_t ksize, int64_t n,
                               int64_t *before);

/* How many keys there are, or a negative code; so too crew_list_size. */
CREW_API int64_t crew_dict_size(crew_dict d);

/* Calls fn for each key and value that the dictionary had at one moment, in no
 * order. They are copied first, all at once, and everybody else waits for that; fn
 * is called with the copies, may do what it likes with the dictionary, and must
 * not leave but by returning. Key and value are borrowed until it returns; the
 * value is aligned as memory of malloc is, the key is not. A result that is not 0
 * ends it and is what crew_dict_each returns. */
CREW_API int crew_dict_each(crew_dict d,
                            int (*fn)(void *ctx, const void *key, size_t ksize, const void *val,
                                      size_t vsize),
                            void *ctx);

/* No keys are left. */
CREW_API int crew_dict_clear(crew_dict d);

/* ---- list ---- */

/* Places count from 0; negative ones from the end, -1 is the last. Where there is
 * no such place: CREW_ENOENT. At both ends adding and taking cost the same however
 * long the list is (a stack, a double-ended queue); in the middle the time grows
 * with its length. */

CREW_API int crew_list_create(crew_list *l);
CREW_API int crew_list_destroy(crew_list l);

CREW_API int crew_list_append(crew_list l, const void *val, size_t size); /* at the end */
/* Before the item at that place. A place beyond an end is that end, as in Python:
 * never CREW_ENOENT. */
CREW_API int crew_list_insert(crew_list l, int64_t place, const void *val, size_t size);
/* In the place of the item at that place. */
CREW_API int crew_list_set(crew_list l, int64_t place, const void *val, size_t size);

/* The item at that place. */
CREW_API ptrdiff_t crew_list_get(crew_list l, int64_t place, void *buf, size_t cap);
CREW_API ptrdiff_t crew_list_get_alloc(crew_list l, int64_t place, void **val);
/* The same, and those behind it move up. Does not wait: that is what queues are
 * for. */
CREW_API ptrdiff_t crew_list_pop(crew_list l, int64_t place, void *buf, size_t cap);
CREW_API ptrdiff_t crew_list_pop_alloc(crew_list l, int64_t place, void **val);

/* How many items there are. */
CREW_API int64_t crew_list_size(crew_list l);
/* As crew_dict_each, in order: for each item that the list had at one moment. */
CREW_API int crew_list_each(crew_list l,
                            int (*fn)(void *ctx, int64_t place, const void *val, size_t size),
                            void *ctx);
/* No items are left. */
CREW_API int crew_list_clear(crew_list l);

#ifdef __cplusplus
}
#endif
#endif
