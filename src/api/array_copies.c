/* What several copies of an array do: REPLICATED. */
#include "api/array_impl.h"
#include "api/objects.h"
#include "share/value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* False: the error is set. */
static bool use_copies(crew_array a, struct cw_array_use *use, const char *what) {
    if (!cw_array_use(a, use))
        return false;
    int scope = atomic_load_explicit(&use->base->scope, memory_order_relaxed);
    if (!cw_array_same(a, use))
        return false;
    if (scope != CREW_ARRAY_REPLICATED)
        cw_error_set(NULL, CREW_EINVAL, 0, "%s is for arrays of scope CREW_ARRAY_REPLICATED", what);
    return scope == CREW_ARRAY_REPLICATED;
}

static bool is_whole(const struct cw_array_use *use, const char *what) {
    if (use->array != use->base)
        cw_error_set(NULL, CREW_EINVAL, 0, "%s is for whole arrays, this is a view of one", what);
    return use->array == use->base;
}

/* A whole large one, without copies of it on the way. */
static int cast(const struct cw_array_use *use, const struct cw_array_form *form) {
    struct cw_self *self = cw_self_get();
    struct cw_boat *boat = self ? cw_boat_take(self, cw_error_last()) : NULL;
    if (!boat)
        return crew_last_error()->code;
    const crew_array a = cw_array_known_as(use);
    boat->ask = (struct cw_freight){.op = CW_F_CAST,
                                    .node = CW_TO_AGENT,
                                    .place = a.place,
                                    .check = a.check,
                                    .at = cw_array_beyond(use),
                                    .n = cw_array_count(form) * (int64_t)cw_type_size(form->type),
                                    .code = CW_ARRAY_READ};
    int rc = cw_boat_ask(self, boat, cw_error_last());
    cw_boat_leave(self->share, boat);
    return rc;
}

int crew_array_bcast(crew_array a) {
    struct cw_array_use use;
    struct cw_array_form form;
    if (!use_copies(a, &use, "a broadcast"))
        return CREW_EINVAL;
    int32_t was = 0;
    if (!atomic_compare_exchange_strong(&use.base->use, &was, CW_ARRAY_READ) &&
        was != CW_ARRAY_READ)
        return cw_error_set(NULL, CREW_EINVAL, 0,
                            "the array is an accumulator: each node has its own part of the sum");
    if (use.share->commons->nodes < 2)
        return cw_error_clear(NULL);
    cw_array_form(use.array, &form);
    char *data = cw_array_memory(a, &use);
    if (!data)
        return crew_last_error()->code;
    bool large = cw_array_count(&form) > CW_BOAT_ROOM / (int64_t)cw_type_size(form.type);
    int rc = large && cw_array_contiguous(&form) ? cast(&use, &form)
                                                 : cw_array_tell(&use, data, CW_ARRAY_READ);
    return rc < 0 ? rc : cw_error_clear(NULL);
}

/* ---- identities ---- */

static double real_identity(int op) {
    return op == CREW_MIN ? (double)INFINITY : op == CREW_MAX ? -(double)INFINITY
                                             : op == CREW_PROD ? 1 : 0;
}

static uint64_t whole_identity(int type, int op) {
    size_t bits = 8 * cw_type_size(type);
    bool has_sign = type == CREW_I8 || type == CREW_I16 || type == CREW_I32 || type == CREW_I64;
    uint64_t all = UINT64_MAX >> (64 - bits), top = (uint64_t)1 << (bits - 1);
    if (op == CREW_MIN)
        return has_sign ? all >> 1 : all;
    if (op == CREW_MAX)
        return has_sign ? top : 0;
    return op == CREW_PROD ? 1 : 0;
}

static void identity_of(int type, int op, char element[8]) {
    double d = real_identity(op);
    float f = (float)d;
    uint64_t u = whole_identity(type, op);
    uint32_t u32 = (uint32_t)u;
    uint16_t u16 = (uint16_t)u;
    uint8_t u8 = (uint8_t)u;
    const void *from[9] = {[1] = &u8, [2] = &u16, [4] = &u32, [8] = &u};
    size_t size = cw_type_size(type);
    memcpy(element, type == CREW_F64 ? &d : type == CREW_F32 ? (const void *)&f : from[size], size);
}

static bool is_op(int op, bool own) {
    bool known = op >= CREW_SUM && op <= CREW_OWN;
    if (!known)
        cw_error_set(NULL, CREW_EINVAL, 0, "operation %d: CREW_SUM to CREW_OWN are possible", op);
    else if (own != (op == CREW_OWN))
        cw_error_set(NULL, CREW_EINVAL, 0, op == CREW_OWN ? "CREW_OWN needs what is its own"
                                           : "what is given is for CREW_OWN only");
    return known && own == (op == CREW_OWN);
}

void cw_array_fill(const struct cw_array_use *use, char *data, const char *element, int32_t code) {
    struct cw_array *array = use->base;
    size_t size = cw_type_size(atomic_load(&array->type));
    const struct cw_ferry *ferry = cw_ferry(use->share);
    uint64_t identity = 0;
    for (int64_t at = atomic_load(&array->part_from), to = atomic_load(&array->part_to); at < to;
         at += (int64_t)size)
        memcpy(data + at, element, size);
    memcpy(&identity, element, size);
    atomic_store(&array->identity, identity);
    atomic_store(&array->without, ferry ? atomic_load(&ferry->lost) : 0);
    atomic_store(&array->use, code);
}

/* The copies of all other nodes. */
static int fill_others(const struct cw_array_use *use, int type, const char *element, int op) {
    const crew_array a = cw_array_known_as(use);
    struct cw_self *self = cw_self_get();
    struct cw_boat *boat = self ? cw_boat_take(self, cw_error_last()) : NULL;
    if (!boat)
        return crew_last_error()->code;
    boat->ask = (struct cw_freight){.op = CW_F_RESET,
                                    .node = CW_TO_OTHERS,
                                    .place = a.place,
                                    .check = a.check,
                                    .type = type,
                                    .code = op,
                                    .bytes = 8};
    memcpy(cw_boat_room(self->share, boat), element, 8);
    int rc = cw_boat_ask(self, boat, cw_error_last());
    cw_boat_leave(self->share, boat);
    return rc;
}

int crew_array_reset(crew_array a, int op, const void *identity) {
    struct cw_array_use use;
    struct cw_array_form form;
    char element[8] = {0};
    if (!use_copies(a, &use, "a reset") || !is_whole(&use, "a reset") ||
        !is_op(op, identity != NULL))
        return CREW_EINVAL;
    cw_array_form(use.array, &form);
    char *data = cw_array_memory(a, &use);
    if (!data)
        return crew_last_error()->code;
    if (identity)
        memcpy(element, identity, cw_type_size(form.type));
    else
        identity_of(form.type, op, element);
    cw_array_fill(&use, data, element, op);
    if (use.share->commons->nodes > 1) {
        int rc = fill_others(&use, form.type, element, op);
        if (rc < 0)
            return rc;
    }
    return cw_error_clear(NULL);
}

/* ---- combining ---- */

/* Whole numbers wrap around: what comes out does not depend on the order. */
#define COMBINE_WHOLE(T)                                                                           \
    for (int64_t i = 0; i < n; i++) {                                                              \
        T x, y;                                                                                    \
        memcpy(&x, into + (size_t)i * sizeof x, sizeof x);                                         \
        memcpy(&y, from + (size_t)i * sizeof y, sizeof y);                                         \
        x = op == CREW_SUM    ? (T)((uint64_t)x + (uint64_t)y)                                     \
            : op == CREW_PROD ? (T)((uint64_t)x * (uint64_t)y)                                     \
            : op == CREW_MIN  ? (y < x ? y : x)                                                    \
                              : (y > x ? y : x);                                                   \
        memcpy(into + (size_t)i * sizeof x, &x, sizeof x);                                         \
    }
/* A copy in which nothing happened to an element changes nothing: not a zero's sign,
 * either. A NaN stays one; of two zeros the negative is the smaller. */
#define COMBINE_REAL(T)                                                                            \
    for (int64_t i = 0; i < n; i++) {                                                              \
        T x, y;                                                                                    \
        memcpy(&x, into + (size_t)i * sizeof x, sizeof x);                                         \
        memcpy(&y, from + (size_t)i * sizeof y, sizeof y);                                         \
        if (memcmp(&y, identity, sizeof y) == 0)                                                   \
            continue;                                                                              \
        bool less = y < x || isnan(y) || (y == x && signbit(y) && !signbit(x));                    \
        bool more = y > x || isnan(y) || (y == x && !signbit(y) && signbit(x));                    \
        if (memcmp(&x, identity, sizeof x) == 0)                                                   \
            x = y;                                                                                 \
        else                                                                                       \
            x = op == CREW_SUM    ? x + y                                                          \
                : op == CREW_PROD ? x * y                                                          \
                : op == CREW_MIN  ? (less ? y : x)                                                 \
                                  : (more ? y : x);                                                \
        memcpy(into + (size_t)i * sizeof x, &x, sizeof x);                                         \
    }

static void combine(int type, int op, const char *identity, char *into, const char *from,
                    int64_t n) {
    switch (type) {
    case CREW_I8:
        COMBINE_WHOLE(int8_t)
        break;
    case CREW_U8:
        COMBINE_WHOLE(uint8_t)
        break;
    case CREW_I16:
        COMBINE_WHOLE(int16_t)
        break;
    case CREW_U16:
        COMBINE_WHOLE(uint16_t)
        break;
    case CREW_I32:
        COMBINE_WHOLE(int32_t)
        break;
    case CREW_U32:
        COMBINE_WHOLE(uint32_t)
        break;
    case CREW_I64:
        COMBINE_WHOLE(int64_t)
        break;
    case CREW_U64:
        COMBINE_WHOLE(uint64_t)
        break;
    case CREW_F32:
        COMBINE_REAL(float)
        break;
    default:
        COMBINE_REAL(double)
    }
}

/* No node has been lost since the array was last reset: one that had been before has no copy. */
static bool is_without(const struct cw_array_use *use) {
    const struct cw_ferry *ferry = cw_ferry(use->share);
    return ferry && atomic_load(&ferry->lost) == atomic_load(&use->base->without);
}

/* n elements of all copies, node by node, are in `sum`. `other`: room for as many. */
static int gather(const struct cw_array_use *use, int op, crew_combine_fn *own, const char *data,
                  int64_t first, int64_t n, char *sum, char *other) {
    int type = atomic_load(&use->base->type), nodes = (int)use->share->commons->nodes;
    size_t size = cw_type_size(type), bytes = (size_t)n * size;
    char identity[8];
    uint64_t word = atomic_load(&use->base->identity);
    bool any = false;
    memcpy(identity, &word, sizeof identity);
    for (int node = 0; node < nodes; node++) {
        char *to = any ? other : sum;
        int rc = 0;
        bool gone = false;
        if (node == cw_node_here(use->share))
            memcpy(to, data + (size_t)first * size, bytes);
        else if ((rc = cw_array_get_copy(use, node, first, n, to, &gone)) < 0 &&
                 !(gone && is_without(use)))
            return rc;
        if (rc < 0)
            continue;
        int code = 0;
        if (any && own)
            code = own(sum, other, n);
        else if (any)
            combine(type, op, identity, sum, other, n);
        if (code)
            return cw_error_set(NULL, CREW_EFAILED, 0, "what combines the copies has returned %d",
                                code);
        any = true;
    }
    return 0;
}

static int reduce_all(const struct cw_array_use *use, int op, crew_combine_fn *own, char *data) {
    int type = atomic_load(&use->base->type), rc = 0;
    size_t size = cw_type_size(type);
    int64_t count = (atomic_load(&use->base->part_to) - atomic_load(&use->base->part_from)) /
                    (int64_t)size;
    int64_t most = CW_BOAT_ROOM / (int64_t)size, part = count < most ? count : most;
    char *sum = malloc(2 * (size_t)part * size + 1);
    if (!sum)
        return cw_error_set(NULL, CREW_ENOMEM, 0, "no memory for parts of the copies");
    for (int64_t at = 0; at < count && rc == 0; at += part) {
        int64_t n = count - at < part ? count - at : part;
        rc = gather(use, op, own, data, at, n, sum, sum + (size_t)part * size);
        if (rc == 0)
            memcpy(data + (size_t)at * size, sum, (size_t)n * size);
    }
    free(sum);
    if (rc < 0)
        return rc;
    char element[8];
    uint64_t identity = atomic_load(&use->base->identity);
    memcpy(element, &identity, sizeof element);
    return fill_others(use, type, element, op);
}

int crew_array_reduce(crew_array a, int op, crew_combine_fn *own) {
    struct cw_array_use use;
    if (!use_copies(a, &use, "a reduce") || !is_whole(&use, "a reduce") || !is_op(op, own != NULL))
        return CREW_EINVAL;
    int32_t was = 0; /* as reset for sums */
    if (op != CREW_SUM || !atomic_compare_exchange_strong(&use.array->use, &was, op))
        was = atomic_load(&use.array->use);
    else
        was = op;
    if (was != op)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the array %s: crew_array_reset begins anew",
                            was == CW_ARRAY_READ ? "was broadcast" : "is for another operation");
    if (use.share->commons->nodes > 1) {
        char *data = cw_array_memory(a, &use);
        int rc = data ? reduce_all(&use, op, own, data) : crew_last_error()->code;
        if (rc < 0)
            return rc;
    }
    return cw_error_clear(NULL);
}
