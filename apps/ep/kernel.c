/* kernel.c - EP's numbers. */
#include "kernel.h"
#include <math.h>
#include <stddef.h>
#include <string.h>

const struct ep_class ep_classes[] = {
    {'S', 24, -3.247834652034740e3, -6.958407078382297e3},
    {'W', 25, -2.863319731645753e3, -6.320053679109499e3},
    {'A', 28, -4.295875165629892e3, -1.580732573678431e4},
    {'B', 30, 4.033815542441498e4, -2.660669192809235e4},
    {'C', 32, 4.764367927995374e4, -8.084072988043731e4},
    {0},
};

const struct ep_class *ep_class_named(const char *name) {
    for (const struct ep_class *c = ep_classes; c->name; c++)
        if (name[0] == c->name && name[1] == 0)
            return c;
    return NULL;
}

int64_t ep_batches(const struct ep_class *c) {
    return ((int64_t)1 << c->log2_pairs) / EP_BATCH;
}

/* ---- the random numbers ------------------------------------------------- */

static const uint64_t MULTIPLIER = 1220703125; /* 5^13 */
static const uint64_t SEED = 271828183;
static const uint64_t MASK = ((uint64_t)1 << 46) - 1;

/* Modulo 2^64 first does no harm: 2^46 divides it. */
static uint64_t times(uint64_t a, uint64_t b) {
    return a * b & MASK;
}

static uint64_t power(uint64_t a, uint64_t exponent) {
    uint64_t product = 1;
    for (; exponent; exponent >>= 1, a = times(a, a))
        if (exponent & 1)
            product = times(product, a);
    return product;
}

/* The next number, between -1 and 1. */
static double next(uint64_t *state) {
    *state = times(*state, MULTIPLIER);
    return (double)*state * 0x1p-45 - 1;
}

/* ---- a batch ------------------------------------------------------------ */

struct ep_sums ep_batch(int64_t number) {
    struct ep_sums sums = {0};
    /* Each pair takes two numbers. */
    uint64_t state = times(SEED, power(MULTIPLIER, 2 * EP_BATCH * (uint64_t)number));
    for (int i = 0; i < EP_BATCH; i++) {
        double x = next(&state), y = next(&state), t = x * x + y * y;
        if (t > 1)
            continue;
        /* Marsaglia's polar method */
        double factor = sqrt(-2 * log(t) / t);
        x *= factor;
        y *= factor;
        sums.x += x;
        sums.y += y;
        sums.ring[(int)fmax(fabs(x), fabs(y))]++;
    }
    return sums;
}

void ep_add(struct ep_sums *into, const struct ep_sums *from) {
    into->x += from->x;
    into->y += from->y;
    for (int l = 0; l < EP_RINGS; l++)
        into->ring[l] += from->ring[l];
}

int64_t ep_gaussian_pairs(const struct ep_sums *sums) {
    int64_t pairs = 0;
    for (int l = 0; l < EP_RINGS; l++)
        pairs += sums->ring[l];
    return pairs;
}

static bool is_near(double value, double published) {
    return fabs((value - published) / published) <= 1e-8;
}

bool ep_verified(const struct ep_class *c, const struct ep_sums *sums) {
    return is_near(sums->x, c->x) && is_near(sums->y, c->y);
}
