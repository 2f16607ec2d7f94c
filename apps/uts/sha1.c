/* sha1.c - FIPS 180-4, section 6.1. */
#include "sha1.h"
#include <endian.h>
#include <string.h>

static inline uint32_t rotate(uint32_t x, int bits) {
    return x << bits | x >> (32 - bits);
}

struct words {
    uint32_t a, b, c, d, e;
};

/* One step: f is the step's function of b, c and d with its constant and word. */
static inline void step(struct words *s, uint32_t f) {
    uint32_t next = rotate(s->a, 5) + f + s->e;
    s->e = s->d;
    s->d = s->c;
    s->c = rotate(s->b, 30);
    s->b = s->a;
    s->a = next;
}

/* The schedule's word t, of which the last 16 are kept. */
static inline uint32_t word(uint32_t w[16], int t) {
    if (t >= 16)
        w[t % 16] = rotate(w[(t - 3) % 16] ^ w[(t - 8) % 16] ^ w[(t - 14) % 16] ^ w[t % 16], 1);
    return w[t % 16];
}

void sha1_short(const uint8_t *message, size_t size, uint8_t digest[SHA1_SIZE]) {
    static const struct words start = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t block[64] = {0};
    uint32_t w[16];
    memcpy(block, message, size);
    block[size] = 0x80; /* the message ends here; its bits are counted at the end */
    block[62] = (uint8_t)(size * 8 >> 8);
    block[63] = (uint8_t)(size * 8);
    memcpy(w, block, sizeof w);
    for (int t = 0; t < 16; t++)
        w[t] = be32toh(w[t]);

    struct words s = start;
    for (int t = 0; t < 20; t++)
        step(&s, (s.d ^ (s.b & (s.c ^ s.d))) + 0x5a827999 + word(w, t));
    for (int t = 20; t < 40; t++)
        step(&s, (s.b ^ s.c ^ s.d) + 0x6ed9eba1 + word(w, t));
    for (int t = 40; t < 60; t++)
        step(&s, ((s.b & s.c) | (s.d & (s.b | s.c))) + 0x8f1bbcdc + word(w, t));
    for (int t = 60; t < 80; t++)
        step(&s, (s.b ^ s.c ^ s.d) + 0xca62c1d6 + word(w, t));

    const uint32_t sums[5] = {htobe32(start.a + s.a), htobe32(start.b + s.b),
                              htobe32(start.c + s.c), htobe32(start.d + s.d),
                              htobe32(start.e + s.e)};
    memcpy(digest, sums, sizeof sums);
}
