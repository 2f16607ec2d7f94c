/* sieve.c - a segmented sieve of Eratosthenes over odd numbers, a bit each. */
#include "sieve.h"
#include <stdlib.h>

enum {
    SPAN_LEAST = 1 << 16,
    SPAN_CACHE = 1 << 19, /* 32 KiB of bits: the first cache level */
    SPAN_MOST = 1 << 22,
    SPAN_EACH = 1 << 12,    /* numbers in an item when each is tested on its own */
    SEGMENTS_WANTED = 128,  /* so that many workers get a share of a short range too */
    ROOT_SIEVED = 1 << 26,  /* beyond it base primes would not pay: they strike little, and */
    ROOT_PARTIAL = 1 << 20, /* what the ones up to here leave is tested one by one */
};

static uint64_t root_of(uint64_t n) {
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 31; bit; bit >>= 1)
        if ((root | bit) * (root | bit) <= n)
            root |= bit;
    return root;
}

/* The odd primes up to limit, into base if it is not NULL; returns how many. */
static uint64_t odd_primes(const uint8_t *composite, uint64_t limit, uint32_t *base) {
    uint64_t count = 0;
    for (uint64_t n = 3; n <= limit; n += 2)
        if (!composite[n / 2]) {
            if (base)
                base[count] = (uint32_t)n;
            count++;
        }
    return count;
}

static uint64_t choose_span(const sieve_plan *plan, uint64_t root) {
    if (plan->method == SIEVE_EACH)
        return SPAN_EACH;
    uint64_t length = plan->to - plan->from + 1;
    /* With many base primes a longer segment makes finding where each begins cheaper. */
    uint64_t most = root > ROOT_PARTIAL || length >> 40 ? SPAN_MOST : SPAN_CACHE;
    uint64_t span = SPAN_LEAST;
    while (span < most && length / (span * 2) >= SEGMENTS_WANTED)
        span *= 2;
    return span;
}

sieve_plan *sieve_plan_create(uint64_t from, uint64_t to, enum sieve_method method) {
    uint64_t root = root_of(to);
    uint64_t limit = root > ROOT_SIEVED ? ROOT_PARTIAL : root;
    if (method == SIEVE_EACH)
        limit = 0;
    uint8_t *composite = calloc(limit / 2 + 1, 1);
    if (!composite)
        return NULL;
    for (uint64_t n = 3; n * n <= limit; n += 2)
        if (!composite[n / 2])
            for (uint64_t k = n * n; k <= limit; k += 2 * n)
                composite[k / 2] = 1;

    uint64_t count = odd_primes(composite, limit, NULL);
    sieve_plan *plan = calloc(1, sizeof *plan + count * sizeof plan->base[0]);
    if (plan) {
        plan->from = from;
        plan->to = to;
        plan->method = method;
        plan->exact = limit == root && method == SIEVE_SEGMENTS;
        plan->count = odd_primes(composite, limit, plan->base);
        plan->span = choose_span(plan, root);
        /* Segments begin at multiples of the span, so that bit 0 is always odd. */
        plan->segments = (int64_t)(to / plan->span - from / plan->span + 1);
    }
    free(composite);
    return plan;
}

size_t sieve_plan_size(const sieve_plan *plan) {
    return sizeof *plan + plan->count * sizeof plan->base[0];
}

/* Sets bit i if begin + 2 * i + 1 is a multiple of a smaller base prime. */
static void strike(const sieve_plan *plan, uint64_t begin, uint64_t *bits) {
    uint64_t end = begin + (plan->span - 1); /* the last number; no overflow below 2^63 */
    for (uint64_t p = 0; p < plan->count; p++) {
        uint64_t prime = plan->base[p];
        uint64_t k = prime * prime;
        if (k > end)
            break;
        if (k < begin) {
            k = begin + (prime - begin % prime) % prime;
            if (k % 2 == 0)
                k += prime;
        }
        for (uint64_t i = (k - begin) / 2; i < plan->span / 2; i += prime)
            bits[i / 64] |= (uint64_t)1 << (i % 64);
    }
}

struct segment {
    uint64_t begin, first, last; /* where its bits begin; its part of the range */
    size_t words;
    uint64_t *bits; /* bit i is set if the odd number begin + 2 * i + 1 is left */
};

static void test_each(const sieve_plan *plan, struct segment *s) {
    for (uint64_t i = 0; i < plan->span / 2; i++) {
        uint64_t n = s->begin + 2 * i + 1;
        bool left = s->bits[i / 64] >> (i % 64) & 1;
        if (left && !is_prime(n))
            s->bits[i / 64] &= ~((uint64_t)1 << (i % 64));
    }
}

/* What is left are the odd primes of the segment. False if there is no memory for it. */
static bool sift(const sieve_plan *plan, int64_t number, struct segment *s) {
    s->begin = (plan->from / plan->span + (uint64_t)number) * plan->span;
    uint64_t end = s->begin + (plan->span - 1);
    s->first = s->begin < plan->from ? plan->from : s->begin;
    s->last = end > plan->to ? plan->to : end;
    s->words = plan->span / 128;
    s->bits = calloc(s->words, sizeof *s->bits);
    if (!s->bits)
        return false;
    strike(plan, s->begin, s->bits);
    if (s->begin == 0)
        s->bits[0] |= 1; /* 1 is no prime */
    for (uint64_t n = s->begin + 1; n < s->first; n += 2)
        s->bits[(n - s->begin) / 128] |= (uint64_t)1 << ((n - s->begin) / 2 % 64);
    for (uint64_t n = (s->last + 1) | 1; n <= end; n += 2)
        s->bits[(n - s->begin) / 128] |= (uint64_t)1 << ((n - s->begin) / 2 % 64);
    for (size_t w = 0; w < s->words; w++)
        s->bits[w] = ~s->bits[w];
    if (!plan->exact)
        test_each(plan, s);
    return true;
}

static bool has_two(const struct segment *s) {
    return s->first <= 2 && s->last >= 2;
}

int64_t sieve_count(const sieve_plan *plan, int64_t number) {
    struct segment s;
    if (!sift(plan, number, &s))
        return -1;
    int64_t count = has_two(&s);
    for (size_t w = 0; w < s.words; w++)
        count += __builtin_popcountll(s.bits[w]);
    free(s.bits);
    return count;
}

uint64_t *sieve_list(const sieve_plan *plan, int64_t number, size_t *count) {
    struct segment s;
    if (!sift(plan, number, &s))
        return NULL;
    uint64_t *primes = malloc((plan->span / 2 + 1) * sizeof *primes); /* odd numbers, and 2 */
    size_t n = 0;
    if (primes && has_two(&s))
        primes[n++] = 2;
    for (size_t w = 0; primes && w < s.words; w++)
        for (uint64_t left = s.bits[w]; left; left &= left - 1)
            primes[n++] = s.begin + 128 * w + 2 * (uint64_t)__builtin_ctzll(left) + 1;
    free(s.bits);
    *count = n;
    return primes;
}
