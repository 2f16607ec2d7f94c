/* share/value.h - one number, with atomics of its own and a lock beside it.
 *
 * | word  | written by                                                    |
 * |-------|---------------------------------------------------------------|
 * | lock  | as in share/lock.h                                            |
 * | bytes | everybody, atomically, in the width of its type               |
 * | type  | its maker                                                     | */
#ifndef CW_SHARE_VALUE_H
#define CW_SHARE_VALUE_H

#include "share/lock.h"

struct cw_value {
    struct cw_lock lock; /* the head is its first member */
    int32_t type;
    _Alignas(8) unsigned char bytes[8];
};

/* The bytes of a type; 0: there is no such type. */
size_t cw_type_size(int type);

/* As integer and as floating point number, whatever the type: C's conversions. */
int64_t cw_value_load_i64(const struct cw_value *v);
double cw_value_load_f64(const struct cw_value *v);
void cw_value_store_i64(struct cw_value *v, int64_t n);
void cw_value_store_f64(struct cw_value *v, double x);
/* Puts `next` there if it still is what *seen says (in the value's own type). False:
 * it is something else, which *seen says now. */
bool cw_value_swap_i64(struct cw_value *v, int64_t *seen, int64_t next);
bool cw_value_swap_f64(struct cw_value *v, double *seen, double next);

#endif
