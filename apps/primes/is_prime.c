/* is_prime.c - Miller-Rabin without chance. */
#include "sieve.h"

__extension__ typedef unsigned __int128 wide;

static uint64_t mul_mod(uint64_t a, uint64_t b, uint64_t n) {
    return (uint64_t)((wide)a * b % n);
}

static uint64_t pow_mod(uint64_t a, uint64_t e, uint64_t n) {
    uint64_t r = 1;
    for (; e; e >>= 1, a = mul_mod(a, a, n))
        if (e & 1)
            r = mul_mod(r, a, n);
    return r;
}

/* n - 1 = odd * 2^twos. True if `base` does not show that n is composite. */
static bool passes(uint64_t n, uint64_t base, uint64_t odd, int twos) {
    base %= n;
    if (base == 0)
        return true;
    uint64_t x = pow_mod(base, odd, n);
    if (x == 1 || x == n - 1)
        return true;
    for (int i = 1; i < twos; i++) {
        x = mul_mod(x, x, n);
        if (x == n - 1)
            return true;
    }
    return false;
}

bool is_prime(uint64_t n) {
    static const uint32_t small[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};
    /* Jaeschke 1993: no composite below 3,215,031,751 passes 2, 3, 5 and 7.
     * Sinclair 2011: none below 2^64 passes the seven of the second row. */
    static const uint64_t few[] = {2, 3, 5, 7};
    static const uint64_t many[] = {2, 325, 9375, 28178, 450775, 9780504, 1795265022};

    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        if (n % small[i] == 0)
            return n == small[i];
    if (n < 41 * 41)
        return n > 1;
    uint64_t odd = n - 1;
    int twos = 0;
    for (; odd % 2 == 0; odd /= 2)
        twos++;
    bool low = n < 3215031751u;
    const uint64_t *bases = low ? few : many;
    size_t count = low ? sizeof few / sizeof *few : sizeof many / sizeof *many;
    for (size_t i = 0; i < count; i++)
        if (!passes(n, bases[i], odd, twos))
            return false;
    return true;
}
