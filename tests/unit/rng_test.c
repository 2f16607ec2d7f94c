/* Philox4x32-10 and the deviates made from it: known answers, exact bits, and
 * the shape of the distributions. Every seed is fixed, so a failure repeats. */
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Words of the next block, computed here from the layout the header states. */
static void expected_block(const crew_rng *rng, uint64_t draw, uint64_t out[2]) {
    uint32_t key[2] = {
        (uint32_t)rng->seed ^ (uint32_t)(rng->stream >> 32) * 0x9e3779b1u,
        (uint32_t)(rng->seed >> 32) ^ (uint32_t)(draw >> 32) * 0x85ebca77u,
    };
    uint32_t counter[4] = {(uint32_t)rng->index, (uint32_t)(rng->index >> 32),
                           (uint32_t)rng->stream, (uint32_t)draw};
    uint32_t word[4];
    cw_philox4x32(key, counter, word);
    out[0] = (uint64_t)word[1] << 32 | word[0];
    out[1] = (uint64_t)word[3] << 32 | word[2];
}

/* A generator whose next 64 bits are u. */
static crew_rng rng_giving(uint64_t u) {
    crew_rng rng;
    cw_rng_start(&rng, 0, 0, 0);
    rng.left = 2;
    rng.block[2] = (uint32_t)u;
    rng.block[3] = (uint32_t)(u >> 32);
    return rng;
}

/* ---- the block function --------------------------------------------------- */

static void philox__published_vectors__gives_the_known_answers(void **state) {
    (void)state;
    /* kat_vectors of the Random123 distribution. */
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < COUNT(known); i++) {
        uint32_t out[4];
        cw_philox4x32(known[i].key, known[i].counter, out);
        assert_memory_equal(out, known[i].out, sizeof out);
    }
}

static void philox__output_over_its_counter__gives_the_same(void **state) {
    (void)state;
    uint32_t key[2] = {1, 2}, words[4] = {3, 4, 5, 6}, apart[4];
    cw_philox4x32(key, words, apart);
    cw_philox4x32(key, words, words);
    assert_memory_equal(words, apart, sizeof words);
}

/* ---- exact bits ----------------------------------------------------------- */

static void u64__first_draws__have_fixed_bits(void **state) {
    (void)state;
    static const uint64_t want[] = {0x345ad0bf68932f51, 0xece5c6a92b50e2c4, 0xf47e43db58826e27,
                                    0xa9a0ff8d31328c97, 0x7553bae6524480ac, 0x5aca3f75332a54f1};
    crew_rng rng;
    cw_rng_start(&rng, 2024, 7, 41);
    for (size_t i = 0; i < COUNT(want); i++)
        assert_int_equal(crew_rng_u64(&rng), want[i]);

    static const uint64_t wide[] = {0x9a2aa2ec5747fc95, 0x01842813f9ee27d0, 0x4ddb040f99332101};
    cw_rng_start(&rng, 0xfedcba9876543210, 0x123456789abcdef0, UINT64_MAX);
    for (size_t i = 0; i < COUNT(wide); i++)
        assert_int_equal(crew_rng_u64(&rng), wide[i]);
}

static void double__first_draws__have_fixed_bits(void **state) {
    (void)state;
    static const double want[] = {0x1.a2d685fb44994p-3, 0x1.d9cb8d5256a1cp-1, 0x1.e8fc87b6b104dp-1,
                                  0x1.5341ff1a62651p-1};
    crew_rng rng;
    cw_rng_start(&rng, 2024, 7, 41);
    for (size_t i = 0; i < COUNT(want); i++)
        assert_int_equal(bits_of(crew_rng_double(&rng)), bits_of(want[i]));
}

static void normal__first_draws__have_fixed_bits(void **state) {
    (void)state;
    static const double want[] = {
        0x1.a6b740dcc1c78p-1, -0x1.8152afb804808p-3, -0x1.ce78debaf6e82p-4, -0x1.f7b1751717976p-1,
        0x1.acd4c8a6ff086p-4, 0x1.7dbf596315d01p-2,  -0x1.d0cb4c00c3c1fp-2, 0x1.2ba3fd7986401p+0,
        0x1.45758594fa5d5p-4, -0x1.8231f40b71d4ap-2, 0x1.13d083745d20bp-3,  -0x1.dbecc4fcb3aap-2,
    };
    crew_rng rng;
    cw_rng_start(&rng, 2024, 7, 41);
    for (size_t i = 0; i < COUNT(want); i++)
        assert_int_equal(bits_of(crew_rng_normal(&rng)), bits_of(want[i]));
}

static void normal__a_million_draws__have_a_fixed_sum_of_bits(void **state) {
    (void)state;
    /* Every branch of the quantile, the tails included: 2^20 deviates folded
     * into one word. */
    crew_rng rng;
    cw_rng_start(&rng, 99, 0, 0);
    uint64_t fold = 0;
    for (int i = 0; i < 1 << 20; i++) {
        fold = (fold ^ bits_of(crew_rng_normal(&rng))) * 0x9e3779b97f4a7c15u;
        fold ^= fold >> 29;
    }
    assert_int_equal(fold, 0x6060777623c07443);
}

/* ---- streams, indices, draws ---------------------------------------------- */

static void rng__same_start__repeats(void **state) {
    (void)state;
    crew_rng a, b;
    cw_rng_start(&a, 5, 6, 7);
    cw_rng_start(&b, 5, 6, 7);
    crew_rng_normal(&b);
    cw_rng_start(&b, 5, 6, 7); /* an attempt that died left nothing behind */
    for (int i = 0; i < 100; i++)
        assert_int_equal(crew_rng_u64(&a), crew_rng_u64(&b));
}

static void rng__any_one_bit_of_its_start__changes_the_draws(void **state) {
    (void)state;
    crew_rng base;
    cw_rng_start(&base, 11, 22, 33);
    uint64_t first = crew_rng_u64(&base);
    for (int bit = 0; bit < 64; bit++) {
        uint64_t flip = (uint64_t)1 << bit;
        crew_rng rng;
        cw_rng_start(&rng, 11 ^ flip, 22, 33);
        assert_int_not_equal(crew_rng_u64(&rng), first);
        cw_rng_start(&rng, 11, 22 ^ flip, 33);
        assert_int_not_equal(crew_rng_u64(&rng), first);
        cw_rng_start(&rng, 11, 22, 33 ^ flip);
        assert_int_not_equal(crew_rng_u64(&rng), first);
        cw_rng_start(&rng, 11, 22, 33);
        rng.draw = flip;
        assert_int_not_equal(crew_rng_u64(&rng), first);
    }
}

static void rng__draws_past_2_to_the_32_blocks__carry_into_the_key(void **state) {
    (void)state;
    crew_rng rng;
    cw_rng_start(&rng, 0xfedcba9876543210, 0x123456789abcdef0, UINT64_MAX);
    uint64_t first = crew_rng_u64(&rng);
    rng.draw = 0xffffffff;
    rng.left = 0;
    static const uint64_t want[] = {0x7a0e3d4e41f5b42a, 0xb2da599c58637af0, 0xce001af922d55104,
                                    0xfb847c001b217e29};
    for (size_t i = 0; i < COUNT(want); i++) {
        uint64_t block[2], got = crew_rng_u64(&rng);
        expected_block(&rng, 0xffffffffu + i / 2, block);
        assert_int_equal(got, block[i % 2]);
        assert_int_equal(got, want[i]);
        assert_int_not_equal(got, first); /* it did not start again */
    }
}

static void rng__neighbouring_indices__are_unrelated(void **state) {
    (void)state;
    /* Bits by which the first draws of items i and i + 1 differ: 32 of 64. */
    enum { ITEMS = 1 << 16 };
    int64_t differ = 0;
    uint64_t last = 0;
    for (int i = 0; i <= ITEMS; i++) {
        crew_rng rng;
        cw_rng_start(&rng, 1, 0, (uint64_t)i);
        uint64_t u = crew_rng_u64(&rng);
        if (i > 0)
            differ += __builtin_popcountll(u ^ last);
        last = u;
    }
    /* 2^22 fair coins: deviation 1024; five of them. */
    assert_in_range(differ, 32 * ITEMS - 5120, 32 * ITEMS + 5120);
}

/* ---- shapes --------------------------------------------------------------- */

static void u64__every_byte__is_uniform(void **state) {
    (void)state;
    enum { DRAWS = 1 << 20 };
    static int64_t seen[8][256];
    crew_rng rng;
    cw_rng_start(&rng, 3, 1, 4);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t u = crew_rng_u64(&rng);
        for (int b = 0; b < 8; b++)
            seen[b][u >> 8 * b & 255]++;
    }
    for (int b = 0; b < 8; b++) {
        double chi2 = 0, want = DRAWS / 256.0;
        for (int v = 0; v < 256; v++)
            chi2 += ((double)seen[b][v] - want) * ((double)seen[b][v] - want) / want;
        /* 255 degrees of freedom: 1 in 10,000 below 176, 1 in 10,000 above 347. */
        assert_true(chi2 > 176 && chi2 < 347);
    }
}

static void double__a_million_draws__fill_the_unit_interval(void **state) {
    (void)state;
    enum { DRAWS = 1 << 20, BINS = 1000 };
    static int64_t seen[BINS];
    double sum = 0;
    uint64_t low_bit = 0;
    crew_rng rng;
    cw_rng_start(&rng, 8, 0, 0);
    for (int i = 0; i < DRAWS; i++) {
        double x = crew_rng_double(&rng);
        assert_true(x >= 0 && x < 1);
        seen[(int)(x * BINS)]++;
        sum += x;
        low_bit += (uint64_t)(x * 0x1p53) & 1;
    }
    double chi2 = 0, want = (double)DRAWS / BINS;
    for (int b = 0; b < BINS; b++)
        chi2 += ((double)seen[b] - want) * ((double)seen[b] - want) / want;
    assert_true(chi2 > 840 && chi2 < 1173); /* 999 degrees of freedom, 1 in 10,000 */
    double mean = sum / DRAWS;
    assert_true(mean > 0.5 - 0.0015 && mean < 0.5 + 0.0015);
    assert_in_range(low_bit, DRAWS / 2 - 2560, DRAWS / 2 + 2560); /* all 53 bits live */
}

static void double__extreme_words__stay_below_one(void **state) {
    (void)state;
    crew_rng zero = rng_giving(0), ones = rng_giving(UINT64_MAX);
    assert_true(crew_rng_double(&zero) == 0.0);
    assert_true(crew_rng_double(&ones) == 0x1.fffffffffffffp-1);
}

static void normal__chosen_words__give_the_quantiles(void **state) {
    (void)state;
    /* The (k + 1/2) / 2^64 quantile to 40 digits, rounded. The relative
     * accuracy of the tails is what a wrong logarithm or root would spoil. */
    static const struct {
        uint64_t k;
        double z;
    } known[] = {
        {0, 9.155293772686072},
        {1, 9.035918848571939},
        {(uint64_t)1 << 20, 7.423939748863402},
        {(uint64_t)1 << 40, 5.294704084854515},
        {((uint64_t)1 << 52) + 1, 3.487104104114431},
        {(uint64_t)1 << 62, 0.6744897501960817},
        {0x0666666666666666, 1.9599639845400543},
    };
    for (size_t i = 0; i < COUNT(known); i++) {
        crew_rng up = rng_giving(known[i].k), down = rng_giving(known[i].k | (uint64_t)1 << 63);
        double x = crew_rng_normal(&up), relative = (x - known[i].z) / known[i].z;
        assert_true(relative < 4e-15 && relative > -4e-15);
        assert_true(crew_rng_normal(&down) == -x);
    }
    crew_rng middle = rng_giving(INT64_MAX);
    assert_true(crew_rng_normal(&middle) == 0.0);
}

static void normal__across_its_pieces__never_falls(void **state) {
    (void)state;
    /* The quantile is made of three pieces: nothing may jump back at a seam. */
    double last = -10;
    for (uint64_t step = 0; step < 1 << 16; step++) {
        crew_rng rng = rng_giving((uint64_t)1 << 63 | step << 47);
        double x = crew_rng_normal(&rng);
        assert_true(x > last);
        last = x;
    }
    assert_true(last < 0 && last > -1e-4);
}

static void normal__four_million_draws__have_the_moments_and_tails(void **state) {
    (void)state;
    enum { DRAWS = 1 << 22, BINS = 16 };
    static const double edge[BINS - 1] = {
        -1.5341205443525459, -1.1503493803760079,  -0.8871465590188758,  -0.6744897501960817,
        -0.4887764111146694, -0.31863936396437514, -0.15731068461017067, 0,
        0.15731068461017067, 0.31863936396437514,  0.4887764111146694,   0.6744897501960817,
        0.8871465590188758,  1.1503493803760079,   1.5341205443525459};
    int64_t seen[BINS] = {0}, past3 = 0, past4 = 0;
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
    crew_rng rng;
    cw_rng_start(&rng, 12345, 0, 0);
    for (int i = 0; i < DRAWS; i++) {
        double x = crew_rng_normal(&rng), x2 = x * x;
        m1 += x;
        m2 += x2;
        m3 += x2 * x;
        m4 += x2 * x2;
        past3 += x2 > 9;
        past4 += x2 > 16;
        int bin = 0;
        while (bin < BINS - 1 && x > edge[bin])
            bin++;
        seen[bin]++;
    }
    m1 /= DRAWS, m2 /= DRAWS, m3 /= DRAWS, m4 /= DRAWS;
    printf("mean %g, variance %g, third %g, fourth %g, beyond 3: %lld, beyond 4: %lld\n", m1, m2,
           m3, m4, (long long)past3, (long long)past4);
    /* Five deviations of each over 2^22 draws: 1, sqrt 2, sqrt 15, sqrt 96 / 2048. */
    assert_true(m1 > -0.00245 && m1 < 0.00245);
    assert_true(m2 > 1 - 0.00346 && m2 < 1 + 0.00346);
    assert_true(m3 > -0.00946 && m3 < 0.00946);
    assert_true(m4 > 3 - 0.0240 && m4 < 3 + 0.0240);
    assert_in_range(past3, 11324 - 532, 11324 + 532); /* P = 0.00269980 */
    assert_in_range(past4, 266 - 82, 266 + 82);       /* P = 0.0000633425 */
    double chi2 = 0, want = (double)DRAWS / BINS;
    for (int b = 0; b < BINS; b++)
        chi2 += ((double)seen[b] - want) * ((double)seen[b] - want) / want;
    assert_true(chi2 > 1.9 && chi2 < 44.3); /* 15 degrees of freedom, 1 in 10,000 */
}

int main(void) {
    printf("seeds are fixed in each test\n");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox__published_vectors__gives_the_known_answers),
        cmocka_unit_test(philox__output_over_its_counter__gives_the_same),
        cmocka_unit_test(u64__first_draws__have_fixed_bits),
        cmocka_unit_test(double__first_draws__have_fixed_bits),
        cmocka_unit_test(normal__first_draws__have_fixed_bits),
        cmocka_unit_test(normal__a_million_draws__have_a_fixed_sum_of_bits),
        cmocka_unit_test(rng__same_start__repeats),
        cmocka_unit_test(rng__any_one_bit_of_its_start__changes_the_draws),
        cmocka_unit_test(rng__draws_past_2_to_the_32_blocks__carry_into_the_key),
        cmocka_unit_test(rng__neighbouring_indices__are_unrelated),
        cmocka_unit_test(u64__every_byte__is_uniform),
        cmocka_unit_test(double__a_million_draws__fill_the_unit_interval),
        cmocka_unit_test(double__extreme_words__stay_below_one),
        cmocka_unit_test(normal__chosen_words__give_the_quantiles),
        cmocka_unit_test(normal__across_its_pieces__never_falls),
        cmocka_unit_test(normal__four_million_draws__have_the_moments_and_tails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
