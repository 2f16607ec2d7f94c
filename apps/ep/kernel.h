/* kernel.h - the "embarrassingly parallel" kernel of the NAS Parallel Benchmarks.
 *
 * From pairs of uniform random numbers it makes pairs of Gaussian ones, adds them up, and
 * counts in which square ring around 0 they lie. The numbers are those of
 * x' = 5^13 x mod 2^46, in which anybody can begin anywhere: so a batch of pairs knows
 * nothing of those before it. As described in NAS report RNR-94-007. */
#ifndef EP_KERNEL_H
#define EP_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

enum { EP_RINGS = 10, EP_BATCH = 1 << 16 /* pairs */ };

struct ep_class {
    char name;
    int log2_pairs;
    double x, y; /* the published sums, to be met within one part in 10^8 */
};
extern const struct ep_class ep_classes[];
/* NULL if there is none with that name. */
const struct ep_class *ep_class_named(const char *name);
int64_t ep_batches(const struct ep_class *c);

struct ep_sums {
    double x, y;
    int64_t ring[EP_RINGS]; /* pairs whose larger number lies in [l, l + 1) */
};

/* The sums of one batch, numbered from 0. */
struct ep_sums ep_batch(int64_t number);
void ep_add(struct ep_sums *into, const struct ep_sums *from);
int64_t ep_gaussian_pairs(const struct ep_sums *sums);
bool ep_verified(const struct ep_class *c, const struct ep_sums *sums);

#endif
