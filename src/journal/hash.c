#include "journal/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(sizeof(XXH3_state_t) <= sizeof(struct cw_hasher), "room for the state");

uint64_t cw_hash(const void *data, size_t size, uint64_t seed) {
    return XXH3_64bits_withSeed(size ? data : "", size, seed);
}

void cw_hash_begin(struct cw_hasher *h, uint64_t seed) {
    XXH3_INITSTATE((XXH3_state_t *)(void *)h->state);
    XXH3_64bits_reset_withSeed((XXH3_state_t *)(void *)h->state, seed);
}

void cw_hash_add(struct cw_hasher *h, const void *data, size_t size) {
    if (size)
        XXH3_64bits_update((XXH3_state_t *)(void *)h->state, data, size);
}

uint64_t cw_hash_end(const struct cw_hasher *h) {
    return XXH3_64bits_digest((const XXH3_state_t *)(const void *)h->state);
}
