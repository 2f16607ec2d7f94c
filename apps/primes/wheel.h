/* wheel.h - sieving numbers that 2, 3 and 5 do not divide, 30 numbers a byte.
 *
 * Byte i stands for the eight numbers 30 i + 1, 7, 11, 13, 17, 19, 23 and 29, its bits for
 * each of them, from the lowest on. A set bit: no divisor has been found. */
#ifndef PRIMES_WHEEL_H
#define PRIMES_WHEEL_H

#include <stddef.h>
#include <stdint.h>

enum {
    WHEEL = 30,
    WHEEL_SPOKES = 8,
    WHEEL_PAD = 1 << 15,      /* bytes that sifting may change before and after what it sifts */
    WHEEL_PATTERNS = 33938,   /* bytes that all patterns take: wheel.c */
    WHEEL_FIRST_STRUCK = 101, /* the first prime that is in no pattern */
};

extern const uint8_t wheel_spokes[WHEEL_SPOKES];
/* The bit of a number, 0 for those that 2, 3 or 5 divides. */
uint8_t wheel_bit(uint64_t number);

/* The multiples of the small primes repeat: what they leave, a period for each few. */
void wheel_make_patterns(uint8_t *patterns);

/* Of bytes [first, first + count) of the sieve, sets the bits of what the base primes do
 * not divide, and of the base primes themselves. base[0, base_count) is the beginning of
 * the sieve, sifted; the primes up to 97 are divided by in any case. sieve[0, count) lies
 * in memory with WHEEL_PAD bytes before it and behind it. */
void wheel_sift(const uint8_t *patterns, const uint8_t *base, size_t base_count, uint64_t first,
                uint8_t *sieve, size_t count);

#endif
