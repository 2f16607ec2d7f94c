/* base/rng.h - Philox4x32-10, the random numbers of a call.
 *
 * Key: the pool's seed. Counter: (stream, index, draw). Nothing is shared and
 * nothing is kept between calls, so the same call has the same bits wherever and
 * however often it runs. No libm: the same normal deviates on every machine. */
#ifndef CW_BASE_RNG_H
#define CW_BASE_RNG_H

#include <crew/task.h>

struct crew_rng {
    uint64_t seed, stream, index;
    uint32_t draw;   /* the next block's number */
    uint32_t left;   /* words of `block` not yet given out */
    uint32_t block[4];
};

void cw_rng_start(crew_rng *rng, uint64_t seed, uint64_t stream, uint64_t index);

/* The bare function: ten rounds. */
void cw_philox4x32(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

#endif
