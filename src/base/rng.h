/* base/rng.h - Philox4x32-10, the random numbers of a call.
 *
 * Nothing is shared and nothing is kept between calls, so the same call has the
 * same bits wherever and however often it runs. A block of four words is
 *
 *     Philox(counter = {index low, index high, stream low, draw low},
 *            key     = {seed low  ^ stream high * 0x9e3779b1,
 *                       seed high ^ draw high   * 0x85ebca77})
 *
 * All 64 bits of stream, index and draw count: multiplying by an odd number is
 * a bijection of 32-bit words, so for one seed no two (stream, index, draw)
 * share a block, and the draw that follows 2^32 - 1 carries into the key rather
 * than starting again. Two seeds share blocks only where streams or draws
 * beyond 2^32 are used and the seeds differ by just those products.
 *
 * crew_rng_normal uses neither libm nor fused multiply-adds: its bits are the
 * same on every machine that computes doubles as IEEE 754 does, rounding to
 * nearest. Every deviate takes exactly one 64-bit draw. */
#ifndef CW_BASE_RNG_H
#define CW_BASE_RNG_H

#include <crew/task.h>

struct crew_rng {
    uint64_t seed, stream, index;
    uint64_t draw; /* the next block's number */
    uint32_t left; /* words of `block` not yet given out: 4, 2 or 0 */
    uint32_t block[4];
};

void cw_rng_start(crew_rng *rng, uint64_t seed, uint64_t stream, uint64_t index);

/* The bare function: ten rounds. out may be counter. */
void cw_philox4x32(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

#endif
