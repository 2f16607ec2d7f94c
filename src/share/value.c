/* Numbers of every type behind two views: as integers and as floating point. */
#include "share/value.h"

#include "share/kinds.h"

#include <crew/shared.h>
#include <string.h>

size_t cw_type_size(int type) {
    switch (type) {
    case CREW_I8:
    case CREW_U8:
        return 1;
    case CREW_I16:
    case CREW_U16:
        return 2;
    case CREW_I32:
    case CREW_U32:
    case CREW_F32:
        return 4;
    case CREW_I64:
    case CREW_U64:
    case CREW_F64:
        return 8;
    }
    return 0;
}

static bool is_float(int type) {
    return type == CREW_F32 || type == CREW_F64;
}

/* ---- bits: what lies in memory, widened to 64 ---- */

static uint64_t load_bits(const struct cw_value *v) {
    switch (cw_type_size(v->type)) {
    case 1:
        return __atomic_load_n((const uint8_t *)v->bytes, __ATOMIC_SEQ_CST);
    case 2:
        return __atomic_load_n((const uint16_t *)(const void *)v->bytes, __ATOMIC_SEQ_CST);
    case 4:
        return __atomic_load_n((const uint32_t *)(const void *)v->bytes, __ATOMIC_SEQ_CST);
    default:
        return __atomic_load_n((const uint64_t *)(const void *)v->bytes, __ATOMIC_SEQ_CST);
    }
}

static void store_bits(struct cw_value *v, uint64_t bits) {
    void *at = v->bytes;
    switch (cw_type_size(v->type)) {
    case 1:
        __atomic_store_n((uint8_t *)at, (uint8_t)bits, __ATOMIC_SEQ_CST);
        break;
    case 2:
        __atomic_store_n((uint16_t *)at, (uint16_t)bits, __ATOMIC_SEQ_CST);
        break;
    case 4:
        __atomic_store_n((uint32_t *)at, (uint32_t)bits, __ATOMIC_SEQ_CST);
        break;
    default:
        __atomic_store_n((uint64_t *)at, bits, __ATOMIC_SEQ_CST);
    }
}

#define SWAP(type, at, seen, next)                                                                 \
    do {                                                                                           \
        type was_ = (type) * (seen);                                                               \
        bool same_ = __atomic_compare_exchange_n((type *)(at), &was_, (type)(next), false,         \
                                                 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);              \
        *(seen) = was_;                                                                            \
        return same_;                                                                              \
    } while (0)

static bool swap_bits(struct cw_value *v, uint64_t *seen, uint64_t next) {
    void *at = v->bytes;
    switch (cw_type_size(v->type)) {
    case 1:
        SWAP(uint8_t, at, seen, next);
    case 2:
        SWAP(uint16_t, at, seen, next);
    case 4:
        SWAP(uint32_t, at, seen, next);
    default:
        SWAP(uint64_t, at, seen, next);
    }
}

/* ---- what the bits mean ---- */

static double float_of(int type, uint64_t bits) {
    float f;
    double d;
    uint32_t low = (uint32_t)bits;
    memcpy(&f, &low, sizeof f);
    memcpy(&d, &bits, sizeof d);
    return type == CREW_F32 ? (double)f : d;
}

static uint64_t bits_of_float(int type, double x) {
    float f = (float)x;
    uint32_t low;
    uint64_t bits;
    memcpy(&low, &f, sizeof low);
    memcpy(&bits, &x, sizeof bits);
    return type == CREW_F32 ? low : bits;
}

static int64_t integer_of(int type, uint64_t bits) {
    switch (type) {
    case CREW_I8:
        return (int8_t)bits;
    case CREW_I16:
        return (int16_t)bits;
    case CREW_I32:
        return (int32_t)bits;
    default:
        return (int64_t)bits;
    }
}

/* Without the undefined behaviour of a conversion that does not fit. */
static int64_t to_integer(double x) {
    if (x != x)
        return 0;
    return x >= 0x1p63 ? INT64_MAX : x < -0x1p63 ? INT64_MIN : (int64_t)x;
}

static uint64_t encode_i64(int type, int64_t n) {
    return is_float(type) ? bits_of_float(type, (double)n) : (uint64_t)n;
}

static int64_t decode_i64(int type, uint64_t bits) {
    return is_float(type) ? to_integer(float_of(type, bits)) : integer_of(type, bits);
}

static uint64_t encode_f64(int type, double x) {
    if (is_float(type))
        return bits_of_float(type, x);
    if (type == CREW_U64 && x >= 0x1p63)
        return x >= 0x1p64 ? UINT64_MAX : (uint64_t)x;
    return (uint64_t)to_integer(x);
}

static double decode_f64(int type, uint64_t bits) {
    if (is_float(type))
        return float_of(type, bits);
    return type == CREW_U64 ? (double)bits : (double)integer_of(type, bits);
}

/* ---- the two views ---- */

int64_t cw_value_load_i64(const struct cw_value *v) {
    return decode_i64(v->type, load_bits(v));
}

double cw_value_load_f64(const struct cw_value *v) {
    return decode_f64(v->type, load_bits(v));
}

void cw_value_store_i64(struct cw_value *v, int64_t n) {
    store_bits(v, encode_i64(v->type, n));
}

void cw_value_store_f64(struct cw_value *v, double x) {
    store_bits(v, encode_f64(v->type, x));
}

bool cw_value_swap_i64(struct cw_value *v, int64_t *seen, int64_t next) {
    uint64_t bits = load_bits(v);
    while (decode_i64(v->type, bits) == *seen)
        if (swap_bits(v, &bits, encode_i64(v->type, next)))
            return true;
    *seen = decode_i64(v->type, bits);
    return false;
}

bool cw_value_swap_f64(struct cw_value *v, double *seen, double next) {
    uint64_t bits = load_bits(v);
    while (decode_f64(v->type, bits) == *seen)
        if (swap_bits(v, &bits, encode_f64(v->type, next)))
            return true;
    *seen = decode_f64(v->type, bits);
    return false;
}

/* ---- the kind: a lock with something beside it ---- */

static void bury(struct cw_share *share, struct cw_head *head, uint32_t party) {
    cw_kind_rlock.bury(share, head, party);
}
static void turn(struct cw_head *head, uint32_t generation) {
    cw_kind_rlock.turn(head, generation);
}
static bool names(const struct cw_head *head, uint32_t hand) {
    return cw_kind_rlock.names(head, hand);
}

const struct cw_kind cw_kind_value = {
    .name = "value",
    .bytes = 64,
    .turn = turn,
    .bury = bury,
    .names = names,
};

_Static_assert(sizeof(struct cw_value) <= 64, "a cell");
