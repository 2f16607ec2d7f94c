/* sieve.c - how a range is divided into parts, and what is in one. */
#include "sieve.h"
#include "wheel.h"
#include <endian.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the sieve, 30 numbers each. */
enum {
    PART_LEAST = 1 << 11,
    PART_CACHE = 1 << 21, /* the second cache level */
    PART_MOST = 1 << 26,  /* for large base primes, of which each is looked at for each part */
    PART_LIST = 1 << 17,  /* 4 million numbers, whose primes are at most some MiB */
    PART_EACH = 1 << 7,   /* where each number is tested on its own */
    PARTS_WANTED = 8,     /* for each worker */
    ROOT_FEW = 1 << 20,   /* base primes up to here, if what they leave is tested one by one */
    ROOT_SIMPLE = 1 << 16,
};

static uint64_t root_of(uint64_t n) {
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 31; bit; bit >>= 1)
        if ((root | bit) * (root | bit) <= n)
            root |= bit;
    return root;
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* ---- the plan ----------------------------------------------------------- */

/* Bytes of a part. Short ones, so that no worker is left alone with the last; but finding
 * where each base prime begins takes its time for each part, about as long as to sieve
 * as many numbers as the largest prime. */
static uint64_t choose_part(const struct sieve_request *r, uint64_t root) {
    uint64_t bytes = r->to / WHEEL - r->from / WHEEL + 1, workers = (uint64_t)r->workers;
    if (r->method == SIEVE_EACH)
        return PART_EACH;
    uint64_t part = bytes / (workers * PARTS_WANTED);
    part = most(part, least(bytes / workers + 1, root * 8 / WHEEL));
    part = least(part, r->list ? PART_LIST : most(PART_CACHE, least(root, PART_MOST)));
    return most(part, PART_LEAST);
}

/* Sieves the primes up to ROOT_SIMPLE, or the root, one by one, then the rest with them. */
static bool make_base(sieve_plan *plan, uint64_t limit) {
    uint8_t *base = plan->bytes + WHEEL_PATTERNS;
    uint64_t simple = least(limit, ROOT_SIMPLE);
    uint8_t *composite = calloc(simple + 1, 1);
    uint8_t *sieve = malloc(WHEEL_PAD + plan->base_count + WHEEL_PAD);
    bool made = composite && sieve;
    for (uint64_t n = 2; made && n <= simple; n++) {
        if (composite[n])
            continue;
        base[n / WHEEL] |= wheel_bit(n);
        for (uint64_t k = n * n; k <= simple; k += n)
            composite[k] = 1;
    }
    if (made && limit > simple) {
        wheel_sift(plan->bytes, base, simple / WHEEL / 8 * 8, 0, sieve + WHEEL_PAD,
                   plan->base_count);
        memcpy(base, sieve + WHEEL_PAD, plan->base_count);
        base[0] &= (uint8_t)~wheel_bit(1);
    }
    free(composite);
    free(sieve);
    return made;
}

sieve_plan *sieve_plan_create(const struct sieve_request *r) {
    uint64_t root = root_of(r->to), part = choose_part(r, root), limit = root;
    /* Sieving by all base primes pays if the part is no shorter than a fraction of their
     * range; else what is left by few of them is tested, number for number. */
    bool exact = root <= most(ROOT_FEW, part * WHEEL * 16);
    if (!exact)
        limit = ROOT_FEW;
    if (r->method == SIEVE_EACH)
        limit = 0;
    uint64_t base_count = (limit / WHEEL / 8 + 1) * 8; /* whole words */
    sieve_plan *plan = calloc(1, sizeof *plan + WHEEL_PATTERNS + base_count);
    if (!plan)
        return NULL;
    plan->from = r->from;
    plan->to = r->to;
    plan->span = part * WHEEL;
    plan->parts = (int64_t)((r->to / WHEEL - r->from / WHEEL) / part + 1);
    plan->method = r->method;
    plan->exact = exact;
    plan->base_count = base_count;
    wheel_make_patterns(plan->bytes);
    if (!make_base(plan, limit)) {
        free(plan);
        return NULL;
    }
    return plan;
}

size_t sieve_plan_size(const sieve_plan *plan) {
    return sizeof *plan + WHEEL_PATTERNS + plan->base_count;
}

/* ---- a part ------------------------------------------------------------- */

struct part {
    uint64_t first;    /* the byte of the whole sieve with which it begins */
    uint64_t from, to; /* the numbers it is about */
    size_t count, words;
    uint8_t *memory, *sieve; /* words * 8 bytes, and the pads */
};

static uint64_t word_at(const struct part *p, size_t word) {
    uint64_t bits;
    memcpy(&bits, p->sieve + word * 8, sizeof bits);
    return le64toh(bits);
}

/* The number of a bit of a word. */
static uint64_t number_at(const struct part *p, size_t word, uint64_t bits) {
    unsigned bit = (unsigned)__builtin_ctzll(bits);
    return WHEEL * (p->first + word * 8 + bit / 8) + wheel_spokes[bit % 8];
}

static void keep_primes(struct part *p) {
    for (size_t w = 0; w < p->words; w++)
        for (uint64_t left = word_at(p, w); left; left &= left - 1)
            if (!is_prime(number_at(p, w, left))) {
                unsigned bit = (unsigned)__builtin_ctzll(left);
                p->sieve[w * 8 + bit / 8] &= (uint8_t) ~(1u << bit % 8);
            }
}

/* The numbers before and behind the part are in its first and last byte. */
static void clear_ends(struct part *p) {
    for (int s = 0; s < WHEEL_SPOKES; s++) {
        uint64_t last = p->first + p->count - 1;
        if (WHEEL * p->first + wheel_spokes[s] < p->from)
            p->sieve[0] &= (uint8_t) ~(1u << s);
        if (WHEEL * last + wheel_spokes[s] > p->to)
            p->sieve[p->count - 1] &= (uint8_t) ~(1u << s);
    }
}

/* What is left are the primes of the part from 7 on. False if there is no memory for it. */
static bool sift(const sieve_plan *plan, int64_t number, struct part *p) {
    uint64_t bytes = plan->span / WHEEL, last = plan->to / WHEEL;
    p->first = plan->from / WHEEL + (uint64_t)number * bytes;
    p->count = (size_t)least(bytes, last - p->first + 1);
    p->from = most(plan->from, WHEEL * p->first);
    p->to = least(plan->to, WHEEL * (p->first + p->count - 1) + WHEEL - 1);
    p->words = (p->count + 7) / 8;
    p->memory = malloc(WHEEL_PAD + p->words * 8 + WHEEL_PAD);
    if (!p->memory)
        return false;
    p->sieve = p->memory + WHEEL_PAD;
    if (plan->method == SIEVE_EACH)
        memset(p->sieve, 0xff, p->count);
    else
        wheel_sift(plan->bytes, plan->bytes + WHEEL_PATTERNS, plan->base_count, p->first, p->sieve,
                   p->count);
    memset(p->sieve + p->count, 0, p->words * 8 - p->count);
    if (p->first == 0)
        p->sieve[0] &= (uint8_t)~wheel_bit(1);
    clear_ends(p);
    if (!plan->exact || plan->method == SIEVE_EACH)
        keep_primes(p);
    return true;
}

static const uint64_t untold[] = {2, 3, 5}; /* they have no bits */
enum { UNTOLD = sizeof untold / sizeof *untold };

int64_t sieve_count(const sieve_plan *plan, int64_t number) {
    struct part p;
    int64_t count = 0;
    if (!sift(plan, number, &p))
        return -1;
    for (int i = 0; i < UNTOLD; i++)
        count += p.from <= untold[i] && untold[i] <= p.to;
    for (size_t w = 0; w < p.words; w++)
        count += __builtin_popcountll(word_at(&p, w));
    free(p.memory);
    return count;
}

uint64_t *sieve_list(const sieve_plan *plan, int64_t number, size_t *count) {
    struct part p;
    size_t n = UNTOLD;
    if (!sift(plan, number, &p))
        return NULL;
    for (size_t w = 0; w < p.words; w++)
        n += (size_t)__builtin_popcountll(word_at(&p, w));
    uint64_t *primes = malloc(n * sizeof *primes);
    n = 0;
    for (int i = 0; primes && i < UNTOLD; i++)
        if (p.from <= untold[i] && untold[i] <= p.to)
            primes[n++] = untold[i];
    for (size_t w = 0; primes && w < p.words; w++)
        for (uint64_t left = word_at(&p, w); left; left &= left - 1)
            primes[n++] = number_at(&p, w, left);
    free(p.memory);
    *count = n;
    return primes;
}
