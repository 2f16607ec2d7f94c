/* journal/hash.h - 64 bits of XXH3, whose code comes from the header of xxHash: nothing
 * is linked. Pure. */
#ifndef CW_JOURNAL_HASH_H
#define CW_JOURNAL_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t cw_hash(const void *data, size_t size, uint64_t seed);

/* The same, piece by piece. */
struct cw_hasher {
    _Alignas(64) unsigned char state[640];
};
void cw_hash_begin(struct cw_hasher *h, uint64_t seed);
void cw_hash_add(struct cw_hasher *h, const void *data, size_t size);
uint64_t cw_hash_end(const struct cw_hasher *h);

#endif
