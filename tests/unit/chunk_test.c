#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/chunk.h"
#include "support/plain.h"

#include <crew/pool.h>

static uint64_t seed;

/* ---- the fixed schedules ---- */

static const struct cw_chunk_seen nothing;

/* The sizes of one claim after the other, until all is claimed. */
static int64_t claim_all(const struct cw_chunk_rule *rule, int64_t *sizes, int64_t cap) {
    int64_t n = 0;
    for (int64_t at = 0; at < rule->count;) {
        int64_t size = cw_chunk_size(rule, rule->count - at, &nothing);
        assert_true(size >= 1);
        if (n < cap)
            sizes[n] = size;
        n++;
        at += size;
    }
    return n;
}

static void static__no_chunk__is_one_share_each(void **state) {
    (void)state;
    int64_t sizes[64];
    for (int64_t workers = 1; workers <= 64; workers++)
        for (int64_t count = 1; count <= 200; count++) {
            const struct cw_chunk_rule rule = {CREW_SCHED_STATIC, 0, count, workers};
            int64_t n = claim_all(&rule, sizes, 64);
            assert_true(n <= workers);
            assert_int_equal(sizes[0], (count + workers - 1) / workers);
        }
}

static void dynamic__no_chunk__is_one_item(void **state) {
    (void)state;
    const struct cw_chunk_rule rule = {CREW_SCHED_DYNAMIC, 0, 100, 3};
    assert_int_equal(claim_all(&rule, NULL, 0), 100);
}

static void guided__no_chunk__shrinks_with_what_is_left(void **state) {
    (void)state;
    const struct cw_chunk_rule rule = {CREW_SCHED_GUIDED, 0, 1000, 5};
    int64_t sizes[1000], n = claim_all(&rule, sizes, 1000);
    assert_int_equal(sizes[0], 100);
    for (int64_t i = 1; i < n; i++)
        assert_true(sizes[i] <= sizes[i - 1]);
    assert_int_equal(sizes[n - 1], 1);
    assert_true(n < 100);
}

static void guided__chunk_given__is_the_least(void **state) {
    (void)state;
    const struct cw_chunk_rule rule = {CREW_SCHED_GUIDED, 20, 1000, 5};
    int64_t sizes[1000], n = claim_all(&rule, sizes, 1000);
    assert_int_equal(sizes[0], 100);
    for (int64_t i = 0; i < n; i++)
        assert_true(sizes[i] >= 20);
}

static void chunk_given__every_other_schedule__takes_it(void **state) {
    (void)state;
    const int schedules[] = {CREW_SCHED_AUTO, CREW_SCHED_STATIC, CREW_SCHED_DYNAMIC};
    const struct cw_chunk_seen slow = {.items = 7, .ns = INT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        const struct cw_chunk_rule rule = {schedules[i], 7, 1000, 5};
        assert_int_equal(cw_chunk_size(&rule, 1000, &nothing), 7);
        assert_int_equal(cw_chunk_size(&rule, 3, &slow), 7);
    }
}

static void measures__only_for_auto_without_a_chunk(void **state) {
    (void)state;
    const int schedules[] = {CREW_SCHED_STATIC, CREW_SCHED_DYNAMIC, CREW_SCHED_GUIDED};
    for (size_t i = 0; i < 3; i++)
        assert_false(cw_chunk_measures(&(struct cw_chunk_rule){schedules[i], 0, 100, 5}));
    assert_true(cw_chunk_measures(&(struct cw_chunk_rule){CREW_SCHED_AUTO, 0, 100, 5}));
    assert_false(cw_chunk_measures(&(struct cw_chunk_rule){CREW_SCHED_AUTO, 3, 100, 5}));
}

/* ---- AUTO, one step ---- */

static void auto__nothing_seen__is_one_item(void **state) {
    (void)state;
    const struct cw_chunk_rule rule = {CREW_SCHED_AUTO, 0, 1000000, 4};
    assert_int_equal(cw_chunk_size(&rule, 1000000, &nothing), 1);
}

static void auto__cheap_items_seen__are_trusted_so_far_only(void **state) {
    (void)state;
    const struct cw_chunk_rule rule = {CREW_SCHED_AUTO, 0, 1000000, 4};
    for (int64_t items = 1; items <= 1000; items *= 10) {
        const struct cw_chunk_seen cheap = {.items = items, .ns = 1};
        assert_int_equal(cw_chunk_size(&rule, 1000000, &cheap), CW_CHUNK_GROWTH * items);
    }
}

static void auto__items_of_any_cost__are_claimed_for_the_aim(void **state) {
    (void)state;
    const struct cw_chunk_rule rule = {CREW_SCHED_AUTO, 0, 1000000000, 4};
    for (int64_t ns = 1; ns <= 100000000; ns *= 10) {
        /* As many as the aim asks for at most: growth does not hold it back. */
        const int64_t items = CW_CHUNK_AIM_NS;
        const struct cw_chunk_seen seen = {.items = items, .ns = items * ns};
        int64_t want = CW_CHUNK_AIM_NS / ns > 0 ? CW_CHUNK_AIM_NS / ns : 1;
        assert_int_equal(cw_chunk_size(&rule, 500000000, &seen), want);
    }
}

/* In the first and last items of a map no claim is longer than a quarter of a
 * share, but for what is too short to matter. */
static void auto__near_either_end__claims_are_short(void **state) {
    (void)state;
    const struct cw_chunk_rule rule = {CREW_SCHED_AUTO, 0, 1000000, 4};
    const struct cw_chunk_seen seen = {.items = 1000, .ns = 100000};
    assert_int_equal(cw_chunk_size(&rule, 500000, &seen), 200);
    assert_int_equal(cw_chunk_size(&rule, 1600, &seen), 100);
    assert_int_equal(cw_chunk_size(&rule, 1000000 - 1600, &seen), 100);
    assert_int_equal(cw_chunk_size(&rule, 100, &seen), CW_CHUNK_FLOOR_NS / 100);
    assert_int_equal(cw_chunk_size(&rule, 1000000 - 100, &seen), CW_CHUNK_FLOOR_NS / 100);
    assert_int_equal(cw_chunk_size(&rule, 7, &seen), 2);
}

static void auto__extreme_numbers__neither_overflow_nor_exceed_a_share(void **state) {
    (void)state;
    const int64_t numbers[] = {0,
                               1,
                               2,
                               1000,
                               INT32_MAX,
                               INT64_MAX / CW_CHUNK_AIM_NS + 1,
                               INT64_MAX / CW_CHUNK_GROWTH + 1,
                               INT64_MAX - 1,
                               INT64_MAX};
    const size_t n = sizeof numbers / sizeof *numbers;
    const int64_t workers[] = {1, 3, 4096};
    for (size_t w = 0; w < 3; w++)
        for (size_t i = 0; i < n * n * n; i++) {
            const struct cw_chunk_rule rule = {CREW_SCHED_AUTO, 0, INT64_MAX, workers[w]};
            const struct cw_chunk_seen seen = {.items = numbers[i % n], .ns = numbers[i / n % n]};
            int64_t left = numbers[i / n / n];
            int64_t size = cw_chunk_size(&rule, left, &seen);
            assert_true(size >= 1);
            assert_true(size == 1 || size - 1 <= left / workers[w]);
        }
}

/* ---- AUTO, whole maps in virtual time ---- */

enum { CLAIM_NS = 100 };

enum cost { CONSTANT, EXPONENTIAL, GROWING, HUGE_LAST, FALLING, COSTS };
static const char *const cost_names[] = {"constant", "exponential", "growing", "huge last",
                                         "falling"};

/* sum[i]: what items [0, i) cost together, in ns. */
static void fill(double *sum, enum cost cost, int64_t count, double mean, uint64_t *s) {
    sum[0] = 0;
    double rate = count > 1 ? log(1000) / (double)(count - 1) : 0;
    for (int64_t i = 0; i < count; i++) {
        double at = (double)i, last = (double)(count - 1);
        double ns = cost == CONSTANT      ? mean
                    : cost == EXPONENTIAL ? -log(draw_unit(s)) * mean
                    : cost == GROWING     ? mean * exp(rate * at)
                    : cost == FALLING     ? mean * exp(rate * (last - at))
                    : i == count - 1      ? mean * 1000
                                          : mean;
        sum[i + 1] = sum[i] + ns;
    }
}

struct outcome {
    double makespan;
    int64_t claims;
};

struct virtual_worker {
    double now;
    int64_t claims;
    struct cw_chunk_seen seen;
};

/* Each claim is made by the worker that is free first, as with one atomic add. */
static struct outcome simulate(const struct cw_chunk_rule *rule, const double *sum,
                               unsigned char *times, uint64_t *s) {
    struct virtual_worker workers[64] = {{0}};
    struct outcome o = {0};
    memset(times, 0, (size_t)rule->count);
    for (int64_t i = 0; i < rule->workers; i++) /* nobody wakes at the same moment */
        workers[i].now = draw_unit(s) * CLAIM_NS;
    for (int64_t at = 0; at < rule->count;) {
        struct virtual_worker *w = &workers[0];
        for (int64_t i = 1; i < rule->workers; i++)
            if (workers[i].now < w->now)
                w = &workers[i];
        int64_t size = cw_chunk_size(rule, rule->count - at, &w->seen);
        assert_true(size >= 1);
        int64_t hi = size < rule->count - at ? at + size : rule->count;
        for (int64_t i = at; i < hi; i++)
            times[i]++;
        double cost = CLAIM_NS + (sum[hi] - sum[at]);
        w->now += cost;
        w->claims++;
        w->seen = (struct cw_chunk_seen){.items = hi - at, .ns = (int64_t)cost};
        at = hi;
    }
    for (int64_t i = 0; i < rule->workers; i++) {
        o.makespan = workers[i].now > o.makespan ? workers[i].now : o.makespan;
        o.claims += workers[i].claims;
    }
    return o;
}

static void check_map(enum cost cost, int64_t count, int64_t workers, double mean, uint64_t s) {
    double *sum = malloc((size_t)(count + 1) * sizeof *sum);
    unsigned char *times = malloc((size_t)count);
    assert_non_null(sum);
    assert_non_null(times);
    const uint64_t from = s;
    fill(sum, cost, count, mean, &s);
    double total = sum[count], longest = 0;
    for (int64_t i = 0; i < count; i++)
        longest = sum[i + 1] - sum[i] > longest ? sum[i + 1] - sum[i] : longest;
    const struct cw_chunk_rule rule = {CREW_SCHED_AUTO, 0, count, workers};
    struct outcome o = simulate(&rule, sum, times, &s);
    for (int64_t i = 0; i < count; i++)
        assert_int_equal(times[i], 1);
    double ideal = total / (double)workers > longest ? total / (double)workers : longest;
    double slack = ideal / 100 > longest ? ideal / 100 : longest;
    /* By chance a claim of several items holds two long ones, whatever was measured. */
    if (cost == EXPONENTIAL)
        slack += CW_CHUNK_AIM_NS;
    /* What claiming cost a worker on average, the last claim, and what AUTO does
     * not split further because claims would cost more than the balance gains. */
    double overhead = ((double)o.claims / (double)workers + 3) * CLAIM_NS + CW_CHUNK_FLOOR_NS;
    if (o.makespan > ideal + slack + overhead)
        fail_msg("seed %#llx: %s, %lld items of about %g ns, %lld workers: %.0f ns instead of "
                 "%.0f, longest item %.0f, claims %lld",
                 (unsigned long long)from, cost_names[cost], (long long)count, mean,
                 (long long)workers, o.makespan, ideal, longest, (long long)o.claims);
    /* What a worker needs to find the size at the beginning and to give it up at
     * the end is a few microseconds; a map of some milliseconds does not feel it. */
    double per_worker = total / (double)workers;
    bool cheap = longest < CW_CHUNK_AIM_NS / 10.0;
    if (cheap && per_worker >= 2e6 && (double)o.claims * CLAIM_NS > total / 100)
        fail_msg("seed %#llx: %s, %lld items of about %g ns, %lld workers: %lld claims in %.0f ns "
                 "of work",
                 (unsigned long long)from, cost_names[cost], (long long)count, mean,
                 (long long)workers, (long long)o.claims, total);
    if (cheap && (double)(o.claims / workers) * CLAIM_NS > per_worker / 100 + 10000)
        fail_msg("seed %#llx: %s: %lld claims of %lld workers", (unsigned long long)from,
                 cost_names[cost], (long long)o.claims, (long long)workers);
    free(sum);
    free(times);
}

enum { SEEDS = 200 };

static void auto__simulated_maps__end_together_and_claim_cheaply(void **state) {
    (void)state;
    static const int64_t workers[] = {1, 2, 3, 4, 7, 16, 64};
    for (int round = 0; round < SEEDS; round++)
        for (int cost = 0; cost < COSTS; cost++) {
            uint64_t s = seed * 1000003 + (uint64_t)(round * COSTS + cost);
            int64_t count = (int64_t)pow(10, 5 * draw_unit(&s)) + 1;
            int64_t w = workers[draw(&s) % 7];
            double mean = pow(10, 6 * draw_unit(&s)); /* a nanosecond to a millisecond */
            check_map((enum cost)cost, count, w, mean, s);
        }
}

/* Enough cheap work that claims must be seen to cost nothing. */
static void auto__simulated_maps_of_tiny_items__claim_cheaply(void **state) {
    (void)state;
    for (int round = 0; round < 10; round++)
        for (int cost = 0; cost < COSTS; cost++) {
            uint64_t s = seed * 1000033 + (uint64_t)(round * COSTS + cost);
            int64_t w = (int64_t)(draw(&s) % 8) + 1;
            double mean = cost == CONSTANT || cost == EXPONENTIAL ? 20 : 1;
            check_map((enum cost)cost, 1000000, w, mean * (1 + draw_unit(&s)), s);
        }
}

int main(void) {
    seed = plain_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(static__no_chunk__is_one_share_each),
        cmocka_unit_test(dynamic__no_chunk__is_one_item),
        cmocka_unit_test(guided__no_chunk__shrinks_with_what_is_left),
        cmocka_unit_test(guided__chunk_given__is_the_least),
        cmocka_unit_test(chunk_given__every_other_schedule__takes_it),
        cmocka_unit_test(measures__only_for_auto_without_a_chunk),
        cmocka_unit_test(auto__nothing_seen__is_one_item),
        cmocka_unit_test(auto__cheap_items_seen__are_trusted_so_far_only),
        cmocka_unit_test(auto__items_of_any_cost__are_claimed_for_the_aim),
        cmocka_unit_test(auto__near_either_end__claims_are_short),
        cmocka_unit_test(auto__extreme_numbers__neither_overflow_nor_exceed_a_share),
        cmocka_unit_test(auto__simulated_maps__end_together_and_claim_cheaply),
        cmocka_unit_test(auto__simulated_maps_of_tiny_items__claim_cheaply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
