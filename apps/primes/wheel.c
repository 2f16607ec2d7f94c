/* wheel.c - strikes out multiples.
 *
 * A prime is p = 30 q + r, r one of the eight spokes, and so is what it is multiplied by,
 * k = 30 t + s. Their product 30 (p t + q s) + r s is in byte p t + q s + r s / 30, and its
 * bit depends on r s modulo 30 alone. So while t goes up by one, the eight multiples of a
 * round hit bytes that are q s + r s / 30 from p t, each with a bit of its own, and both
 * r s / 30 and the bit are constants where r is one: there is the same code eight times.
 *
 * Three sizes of primes. The smallest come as patterns, whose bytes are copied. Those up to
 * SMALL_BYTES take turns on blocks that fit the first cache, always whole rounds: they may strike
 * before and behind the block, which does no harm inside the sieve and hits the pads at its
 * ends. The others go through the whole sieve at once. */
#include "wheel.h"
#include <endian.h>
#include <string.h>

enum {
    BLOCK = 1 << 15, /* bytes, some less than the first cache has */
    SMALL_BYTES =
        544, /* smaller primes than 30 times that have two rounds in a block; whole words */
    SMALL_COUNT = 1900, /* and there are no more of them than that */
};

#define INLINE static inline __attribute__((always_inline))

const uint8_t wheel_spokes[WHEEL_SPOKES] = {1, 7, 11, 13, 17, 19, 23, 29};

static const uint8_t bits[WHEEL] = {
    [1] = 1, [7] = 2, [11] = 4, [13] = 8, [17] = 16, [19] = 32, [23] = 64, [29] = 128};

uint8_t wheel_bit(uint64_t number) {
    return bits[number % WHEEL];
}

/* ---- patterns ----------------------------------------------------------- */

/* Primes whose multiples are in one pattern, and its period in bytes: their product. The
 * last ones fill up the period with the largest of the primes. */
static const struct pattern {
    uint8_t primes[3];
    uint16_t period;
} patterns_of[] = {
    {{7, 11, 13}, 1001}, {{17, 19, 23}, 7429}, {{29, 97}, 2813}, {{31, 89}, 2759}, {{37, 83}, 3071},
    {{41, 79}, 3239},    {{43, 73}, 3139},     {{47, 71}, 3337}, {{53, 67}, 3551}, {{59, 61}, 3599},
};
enum { PATTERNS = sizeof patterns_of / sizeof *patterns_of };

void wheel_make_patterns(uint8_t *patterns) {
    for (const struct pattern *p = patterns_of; p < patterns_of + PATTERNS; p++) {
        for (uint32_t i = 0; i < p->period; i++) {
            patterns[i] = 0;
            for (int s = 0; s < WHEEL_SPOKES; s++) {
                uint32_t n = WHEEL * i + wheel_spokes[s];
                if (n % p->primes[0] && n % p->primes[1] && (!p->primes[2] || n % p->primes[2]))
                    patterns[i] |= (uint8_t)(1 << s);
            }
        }
        patterns += p->period;
    }
}

static void keep(uint8_t *restrict to, const uint8_t *restrict pattern, size_t count) {
    for (size_t i = 0; i < count; i++)
        to[i] &= pattern[i];
}

/* Bytes of the sieve from `first` on: what the patterns leave. */
static void lay_patterns(const uint8_t *patterns, uint64_t first, uint8_t *to, size_t count) {
    memset(to, 0xff, count);
    for (const struct pattern *p = patterns_of; p < patterns_of + PATTERNS; p++) {
        size_t from = first % p->period, length;
        for (size_t i = 0; i < count; i += length, from = 0) {
            length = p->period - from < count - i ? p->period - from : count - i;
            keep(to + i, patterns + from, length);
        }
        patterns += p->period;
    }
}

/* The patterns strike their primes out, too. */
static void put_back_small_primes(uint64_t first, uint8_t *sieve, size_t count) {
    for (const struct pattern *p = patterns_of; p < patterns_of + PATTERNS; p++)
        for (int i = 0; i < 3 && p->primes[i]; i++)
            if (p->primes[i] / WHEEL >= first && p->primes[i] / WHEEL - first < count)
                sieve[p->primes[i] / WHEEL - first] |= wheel_bit(p->primes[i]);
}

/* ---- striking ----------------------------------------------------------- */

struct target {
    uint8_t *sieve;
    uint64_t first; /* the number of its first byte */
    int64_t count;
};

/* Where the round begins that is the first to matter: from the prime's square on, or the
 * one that the sieve's beginning lies in. It may begin up to p bytes before the sieve. */
INLINE int64_t first_round(const struct target *t, uint64_t p) {
    uint64_t square = p * (p / WHEEL);
    if (square >= t->first)
        return square - t->first < (uint64_t)t->count ? (int64_t)(square - t->first) : t->count;
    return -(int64_t)(t->first % p);
}

/* The eight multiples of a round, by the bytes they are in and what is struck there. */
#define ROUND(DO) DO(1) DO(7) DO(11) DO(13) DO(17) DO(19) DO(23) DO(29)

INLINE void strike_round(uint8_t *at, uint64_t q, uint32_t r) {
#define STRIKE(s) at[q * s + r * s / WHEEL] &= (uint8_t)~bits[r * s % WHEEL];
    ROUND(STRIKE)
#undef STRIKE
}

/* A round that is not all in the sieve. */
INLINE void strike_partly(const struct target *t, int64_t at, int64_t q, uint32_t r) {
#define STRIKE(s)                                                                                  \
    if ((uint64_t)(at + q * s + r * s / WHEEL) < (uint64_t)t->count)                               \
        t->sieve[at + q * s + r * s / WHEEL] &= (uint8_t)~bits[r * s % WHEEL];
    ROUND(STRIKE)
#undef STRIKE
}

/* The base primes with spoke number c, as bits of eight bytes from base[i] on. */
INLINE uint64_t primes_at(const uint8_t *base, size_t i, int c) {
    uint64_t word;
    memcpy(&word, base + i, sizeof word);
    return le64toh(word) & (uint64_t)0x0101010101010101 << c;
}

struct small {
    uint32_t q;
    int32_t at; /* where its next round begins */
};

/* Those of spoke c that strike in the target; returns how many. */
static int gather_small(const struct target *t, const uint8_t *base, size_t count, int c,
                        struct small *small) {
    int n = 0;
    for (size_t i = 0; i < count; i += 8)
        for (uint64_t left = primes_at(base, i, c); left; left &= left - 1) {
            uint64_t q = i + (uint64_t)__builtin_ctzll(left) / 8, p = WHEEL * q + wheel_spokes[c];
            if (p >= WHEEL_FIRST_STRUCK && p * q < t->first + (uint64_t)t->count)
                small[n++] = (struct small){(uint32_t)q, (int32_t)first_round(t, p)};
        }
    return n;
}

INLINE void strike_small(uint8_t *sieve, int32_t end, struct small *small, int n, uint32_t r) {
    for (struct small *s = small; s < small + n; s++) {
        int32_t at = s->at, p = (int32_t)(WHEEL * s->q + r);
        for (; at < end; at += p)
            strike_round(sieve + at, s->q, r);
        s->at = at;
    }
}

INLINE void strike_large(const struct target *t, const uint8_t *base, size_t from, size_t count,
                         int c, uint32_t r) {
    for (size_t i = from; i < count; i += 8)
        for (uint64_t left = primes_at(base, i, c); left; left &= left - 1) {
            uint64_t q = i + (uint64_t)__builtin_ctzll(left) / 8, p = WHEEL * q + r;
            if (p * q >= t->first + (uint64_t)t->count)
                return;
            int64_t at = first_round(t, p);
            if (at < 0) {
                strike_partly(t, at, (int64_t)q, r);
                at += (int64_t)p;
            }
            for (; at + (int64_t)p <= t->count; at += (int64_t)p)
                strike_round(t->sieve + at, q, r);
            if (at < t->count)
                strike_partly(t, at, (int64_t)q, r);
        }
}

/* The same code for each spoke, r and c constants in it. */
#define SPOKES(DO) DO(0, 1) DO(1, 7) DO(2, 11) DO(3, 13) DO(4, 17) DO(5, 19) DO(6, 23) DO(7, 29)

void wheel_sift(const uint8_t *patterns, const uint8_t *base, size_t base_count, uint64_t first,
                uint8_t *sieve, size_t count) {
    struct target t = {sieve, first, (int64_t)count};
    struct small small[SMALL_COUNT];
    int ends[WHEEL_SPOKES + 1] = {0};
    size_t small_bytes = base_count < SMALL_BYTES ? base_count : SMALL_BYTES;

    for (size_t i = 0; i < count; i += BLOCK)
        lay_patterns(patterns, first + i, sieve + i, count - i < BLOCK ? count - i : BLOCK);
    put_back_small_primes(first, sieve, count);
    for (int c = 0; c < WHEEL_SPOKES; c++)
        ends[c + 1] = ends[c] + gather_small(&t, base, small_bytes, c, small + ends[c]);
    for (size_t i = 0; i < count; i += BLOCK) {
        int32_t end = (int32_t)(count - i < BLOCK ? count : i + BLOCK);
#define STRIKE(c, r) strike_small(sieve, end, small + ends[c], ends[c + 1] - ends[c], r);
        SPOKES(STRIKE)
#undef STRIKE
    }
#define STRIKE(c, r) strike_large(&t, base, small_bytes, base_count, c, r);
    SPOKES(STRIKE)
#undef STRIKE
}
