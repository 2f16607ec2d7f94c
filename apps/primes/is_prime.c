/* is_prime.c - Miller-Rabin without chance, in Montgomery's arithmetic: products modulo n
 * without a division, of numbers that stand for themselves times 2^64. */
#include "sieve.h"

__extension__ typedef unsigned __int128 wide;

struct modulus {
    uint64_t n, inverse;  /* n is odd; inverse * n is 1 modulo 2^64 */
    uint64_t one, square; /* 2^64 and 2^128 modulo n */
};

static struct modulus modulus_of(uint64_t n) {
    struct modulus m = {.n = n, .inverse = n, .one = -n % n};
    for (int bits = 3; bits < 64; bits *= 2) /* n is its own inverse in the lowest three */
        m.inverse *= 2 - n * m.inverse;
    m.square = (uint64_t)((wide)m.one * m.one % n);
    return m;
}

/* a * b / 2^64 modulo n, for a and b below n. */
static uint64_t multiply(const struct modulus *m, uint64_t a, uint64_t b) {
    wide product = (wide)a * b;
    uint64_t high = (uint64_t)(product >> 64);
    uint64_t less = (uint64_t)((wide)((uint64_t)product * m->inverse) * m->n >> 64);
    return high - less + (high < less ? m->n : 0);
}

/* n - 1 = odd * 2^twos. True if `base` does not show that n is composite. */
static bool passes(const struct modulus *m, uint64_t base, uint64_t odd, int twos) {
    base %= m->n;
    if (base == 0)
        return true;
    uint64_t x = m->one, minus_one = m->n - m->one;
    base = multiply(m, base, m->square);
    for (; odd; odd >>= 1, base = multiply(m, base, base))
        if (odd & 1)
            x = multiply(m, x, base);
    if (x == m->one || x == minus_one)
        return true;
    for (int i = 1; i < twos; i++) {
        x = multiply(m, x, x);
        if (x == minus_one)
            return true;
    }
    return false;
}

bool is_prime(uint64_t n) {
    static const uint8_t small[] = {3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};
    /* Jaeschke 1993: no composite below 3,215,031,751 passes 2, 3, 5 and 7.
     * Sinclair 2011: none below 2^64 passes the seven of the second row. */
    static const uint64_t few[] = {2, 3, 5, 7};
    static const uint64_t many[] = {2, 325, 9375, 28178, 450775, 9780504, 1795265022};

    if (n % 2 == 0)
        return n == 2;
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        if (n % small[i] == 0)
            return n == small[i];
    if (n < 41 * 41)
        return n > 1;
    struct modulus m = modulus_of(n);
    uint64_t odd = n - 1;
    int twos = __builtin_ctzll(odd);
    odd >>= twos;
    bool low = n < 3215031751u;
    const uint64_t *bases = low ? few : many;
    size_t count = low ? sizeof few / sizeof *few : sizeof many / sizeof *many;
    for (size_t i = 0; i < count; i++)
        if (!passes(&m, bases[i], odd, twos))
            return false;
    return true;
}
