/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy
 * as 1, 2, 3", SC 2011) and the deviates made from it. */
#include "base/rng.h"

#include <float.h>

/* A fused multiply-add rounds once where a product and a sum round twice: with
 * it the last bits of a deviate would depend on the machine and the compiler.
 * The build passes -ffp-contract=off for this file too: clang heeds the pragma
 * only where the command line does not ask for -ffp-contract=fast. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#ifdef __FAST_MATH__
#error "rng.c must not be compiled with -ffast-math: its results are promised to the bit"
#endif
/* 16 is evaluation to the type for _Float16, and so for double as well. */
_Static_assert(FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 1 || FLT_EVAL_METHOD == 16,
               "doubles must be computed as doubles (on 32-bit x86: -msse2 -mfpmath=sse)");

void cw_philox4x32(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]) {
    uint32_t k0 = key[0], k1 = key[1];
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xd2511f53u * c0;
        uint64_t b = (uint64_t)0xcd9e8d57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9e3779b9u; /* the golden ratio */
        k1 += 0xbb67ae85u; /* sqrt(3) - 1 */
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void cw_rng_start(crew_rng *rng, uint64_t seed, uint64_t stream, uint64_t index) {
    *rng = (crew_rng){.seed = seed, .stream = stream, .index = index};
}

static void next_block(crew_rng *rng) {
    uint32_t key[2] = {
        (uint32_t)rng->seed ^ (uint32_t)(rng->stream >> 32) * 0x9e3779b1u,
        (uint32_t)(rng->seed >> 32) ^ (uint32_t)(rng->draw >> 32) * 0x85ebca77u,
    };
    uint32_t counter[4] = {(uint32_t)rng->index, (uint32_t)(rng->index >> 32),
                           (uint32_t)rng->stream, (uint32_t)rng->draw};
    cw_philox4x32(key, counter, rng->block);
    rng->draw++;
    rng->left = 4;
}

uint64_t crew_rng_u64(crew_rng *rng) {
    if (rng->left == 0)
        next_block(rng);
    const uint32_t *word = rng->block + 4 - rng->left;
    rng->left -= 2;
    return (uint64_t)word[1] << 32 | word[0];
}

double crew_rng_double(crew_rng *rng) {
    return (double)(crew_rng_u64(rng) >> 11) * 0x1p-53;
}

/* c[0] + c[1] x + ... + c[7] x^7 */
static double poly7(const double c[8], double x) {
    return ((((((c[7] * x + c[6]) * x + c[5]) * x + c[4]) * x + c[3]) * x + c[2]) * x + c[1]) * x +
           c[0];
}

/* The natural logarithm of a normal positive x, to a few units of the last
 * place: x = m 2^e with m in (0.70, 1.42), log m = 2 atanh((m - 1) / (m + 1)).
 * The series' first missing term is s^24 / 25 < 2e-20 for |s| < 0.172. */
static double log_of(double x) {
    static const double inverse[11] = {1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11,
                                       1.0 / 9,  1.0 / 7,  1.0 / 5,  1.0 / 3,  1.0};
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int e = (int)(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4140625) {
        m *= 0.5;
        e++;
    }
    double s = (m - 1.0) / (m + 1.0), s2 = s * s, sum = 1.0 / 23.0;
    for (int k = 0; k < 11; k++)
        sum = sum * s2 + inverse[k];
    return e * 0x1.62e42fefa39efp-1 + 2.0 * s * sum;
}

/* Newton's iteration for x in [1, 64): from this first guess, at most 12 %
 * off, four steps reach the last place. */
static double sqrt_of(double x) {
    double r = x < 4.0 ? 0.7 + 0.36 * x : x < 16.0 ? 1.4 + 0.18 * x : 2.8 + 0.09 * x;
    for (int i = 0; i < 4; i++)
        r = 0.5 * (r + x / r);
    return r;
}

/* The p-quantile of the standard normal distribution for p in [2^-65, 1/2]:
 * Wichura's algorithm AS 241, PPND16 (Applied Statistics 37, 1988), good to
 * about 1 part in 10^15. */
static double lower_quantile(double p) {
    static const double mid_num[8] = {
        3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
        1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
        3.3430575583588128105e4, 2.5090809287301226727e3,
    };
    static const double mid_den[8] = {
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    };
    static const double near_num[8] = {
        1.42343711074968357734e0,  4.63033784615654529590e0,  5.76949722146069140550e0,
        3.64784832476320460504e0,  1.27045825245236838258e0,  2.41780725177450611770e-1,
        2.27238449892691845833e-2, 7.74545014278341407640e-4,
    };
    static const double near_den[8] = {
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    };
    static const double far_num[8] = {
        6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,
        2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
        2.71155556874348757815e-5, 2.01033439929228813265e-7,
    };
    static const double far_den[8] = {
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    };
    double q = p - 0.5;
    if (q >= -0.425) {
        double r = 0.180625 - q * q;
        return q * poly7(mid_num, r) / poly7(mid_den, r);
    }
    double r = sqrt_of(-log_of(p));
    if (r <= 5.0)
        return -poly7(near_num, r - 1.6) / poly7(near_den, r - 1.6);
    return -poly7(far_num, r - 5.0) / poly7(far_den, r - 5.0);
}

/* By inversion: the top bit is the sign, the 63 others choose the middle of one
 * of 2^63 equal slices of the lower half. The largest deviate is 9.2. */
double crew_rng_normal(crew_rng *rng) {
    uint64_t u = crew_rng_u64(rng);
    double x = lower_quantile(((double)(int64_t)(u & INT64_MAX) + 0.5) * 0x1p-64);
    return u >> 63 ? x : -x;
}
