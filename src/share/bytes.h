/* share/bytes.h - bytes on their way out of objects: into a caller's buffer, or
 * copied all together to be looked at without a lock. */
#ifndef CW_SHARE_BYTES_H
#define CW_SHARE_BYTES_H

#include "share/share.h"

/* Borrowed for the call. data NULL: none, which is not the same as empty. */
struct cw_bytes {
    const void *data;
    size_t size;
};

/* What no caller can have. */
#define CW_BYTES_MOST ((size_t)PTRDIFF_MAX / 4)

/* Where one value goes. */
struct cw_out {
    void *buf; /* the caller's ... */
    size_t cap;
    void **made; /* ... or, if not NULL, memory of malloc */
    size_t size; /* the value's, also where it had no room */
};
/* 0, CREW_ETOOSMALL, or CREW_ENOMEM. */
int cw_out_put(struct cw_out *out, const void *data, size_t size);
/* It was not to be: frees what was made. */
void cw_out_undo(struct cw_out *out);

/* Pairs of byte strings in this process's own memory, in the order they came. */
struct cw_copy {
    struct cw_copy_chunk *head, *tail;
};
/* False: no memory. */
bool cw_copy_add(struct cw_copy *copy, struct cw_bytes a, struct cw_bytes b);
/* Calls fn for each, until one returns not 0: then that is returned. `b` is
 * aligned as memory of malloc is. */
int cw_copy_each(const struct cw_copy *copy,
                 int (*fn)(void *ctx, struct cw_bytes a, struct cw_bytes b), void *ctx);
void cw_copy_free(struct cw_copy *copy);

/* ---- words that a death may come between ---- */

/* In the order of the program: what a kill leaves is a prefix of these. */
static inline void cw_put(_Atomic uint64_t *word, uint64_t value) {
    /* Pairs with the acquire of the object's bolt; and keeps the order. */
    atomic_store_explicit(word, value, memory_order_release);
}
static inline uint64_t cw_look(const _Atomic uint64_t *word) {
    return atomic_load_explicit(word, memory_order_relaxed);
}
/* An aligned word of bytes, whole before and after. */
static inline void cw_put_in_place(void *where, const void *eight) {
    uint64_t value;
    __builtin_memcpy(&value, eight, sizeof value);
    cw_put((_Atomic uint64_t *)where, value);
}

/* In a burial: the object owns this block, the dead hand's cells do not. */
static inline void cw_hand_disown(struct cw_hand *hand, cw_off block) {
    for (int i = 0; i < CW_HAND_BLOCKS; i++)
        if (block && cw_look(&hand->block[i]) == block)
            cw_put(&hand->block[i], 0);
}

#endif
