/* Parts of arrays, wherever they lie; and what several copies of an array do. There
 * is one node, so all of it lies here, and there is one copy. */
#include "api/array_impl.h"
#include "api/objects.h"
#include "share/value.h"

#include <math.h>
#include <string.h>

/* ---- elements in order ---- */

/* `n` elements `stride` elements apart, from `at` on, and the caller's. */
typedef void run_fn(int type, char *at, int64_t stride, char *mine, int64_t n);

static void get_run(int type, char *at, int64_t stride, char *mine, int64_t n) {
    size_t size = cw_type_size(type);
    if (stride == 1)
        memcpy(mine, at, (size_t)n * size);
    else
        for (int64_t i = 0; i < n; i++)
            memcpy(mine + (size_t)i * size, at + i * stride * (int64_t)size, size);
}

static void put_run(int type, char *at, int64_t stride, char *mine, int64_t n) {
    size_t size = cw_type_size(type);
    if (stride == 1)
        memcpy(at, mine, (size_t)n * size);
    else
        for (int64_t i = 0; i < n; i++)
            memcpy(at + i * stride * (int64_t)size, mine + (size_t)i * size, size);
}

#define ADD_WHOLE(T)                                                                               \
    for (int64_t i = 0; i < n; i++) {                                                              \
        T more;                                                                                    \
        memcpy(&more, mine + (size_t)i * sizeof more, sizeof more);                                \
        __atomic_fetch_add((T *)(void *)at + i * stride, more, __ATOMIC_RELAXED);                  \
    }
#define ADD_FLOAT(T, BITS)                                                                         \
    for (int64_t i = 0; i < n; i++) {                                                              \
        BITS *to = (BITS *)(void *)at + i * stride, was = __atomic_load_n(to, __ATOMIC_RELAXED);   \
        T sum, more;                                                                               \
        BITS next;                                                                                 \
        memcpy(&more, mine + (size_t)i * sizeof more, sizeof more);                                \
        do {                                                                                       \
            memcpy(&sum, &was, sizeof sum);                                                        \
            sum += more;                                                                           \
            memcpy(&next, &sum, sizeof next);                                                      \
        } while (!__atomic_compare_exchange_n(to, &was, next, true, __ATOMIC_RELAXED,              \
                                              __ATOMIC_RELAXED));                                  \
    }

static void add_run(int type, char *at, int64_t stride, char *mine, int64_t n) {
    switch (type) {
    case CREW_I8:
    case CREW_U8:
        ADD_WHOLE(uint8_t)
        break;
    case CREW_I16:
    case CREW_U16:
        ADD_WHOLE(uint16_t)
        break;
    case CREW_I32:
    case CREW_U32:
        ADD_WHOLE(uint32_t)
        break;
    case CREW_F32:
        ADD_FLOAT(float, uint32_t)
        break;
    case CREW_F64:
        ADD_FLOAT(double, uint64_t)
        break;
    default:
        ADD_WHOLE(uint64_t)
    }
}

/* Elements [first, first + n), counted row by row, in runs of neighbours. */
static void walk(const struct cw_array_form *form, char *data, int64_t first, int64_t n,
                 char *mine, run_fn *run) {
    int64_t size = (int64_t)cw_type_size(form->type), index[CREW_ARRAY_DIMS];
    int last = form->ndim - 1;
    if (cw_array_contiguous(form)) {
        run(form->type, data + first * size, 1, mine, n);
        return;
    }
    for (int d = last; d >= 0; d--) {
        index[d] = first % form->shape[d];
        first /= form->shape[d];
    }
    while (n > 0) {
        int64_t here = form->shape[last] - index[last], at = 0;
        here = here < n ? here : n;
        for (int d = 0; d <= last; d++)
            at += index[d] * form->strides[d];
        run(form->type, data + at * size, form->strides[last], mine, here);
        mine += here * size;
        n -= here;
        index[last] += here;
        for (int d = last; d > 0 && index[d] == form->shape[d]; d--) {
            index[d] = 0;
            index[d - 1]++;
        }
    }
}

static int move(crew_array a, int64_t first, int64_t n, const void *mine, run_fn *run) {
    struct cw_array_use use;
    struct cw_array_form form;
    if (!cw_array_use(a, &use))
        return CREW_EINVAL;
    cw_array_form(use.array, &form);
    char *data = cw_array_memory(a, &use); /* looks whether all that was its own */
    if (!data)
        return crew_last_error()->code;
    int64_t count = cw_array_count(&form);
    if (first < 0 || n < 0 || first > count || n > count - first)
        return cw_error_set(NULL, CREW_EINVAL, 0,
                            "%lld elements from number %lld on: the array has %lld", (long long)n,
                            (long long)first, (long long)count);
    if (n > 0 && !mine)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the memory for %lld elements is NULL",
                            (long long)n);
    if (n > 0)
        walk(&form, data, first, n, (char *)mine, run);
    return cw_error_clear(NULL);
}

int crew_array_get(crew_array a, int64_t first, int64_t n, void *to) {
    /* Pairs with the fence of who has put or added. */
    atomic_thread_fence(memory_order_seq_cst);
    return move(a, first, n, to, get_run);
}

int crew_array_put(crew_array a, int64_t first, int64_t n, const void *from) {
    int rc = move(a, first, n, from, put_run);
    atomic_thread_fence(memory_order_seq_cst);
    return rc;
}

int crew_array_add(crew_array a, int64_t first, int64_t n, const void *from) {
    int rc = move(a, first, n, from, add_run);
    atomic_thread_fence(memory_order_seq_cst);
    return rc;
}

int crew_array_part(crew_array a, int64_t *first, int64_t *rows) {
    struct cw_array_use use;
    if (!cw_array_use(a, &use))
        return CREW_EINVAL;
    if (use.array != use.base)
        return cw_error_set(NULL, CREW_EINVAL, 0, "this is a view: ask the array that it is of");
    int64_t all = atomic_load_explicit(&use.array->shape[0], memory_order_relaxed);
    if (!cw_array_same(a, &use))
        return CREW_EINVAL;
    if (first)
        *first = 0;
    if (rows)
        *rows = all;
    return cw_error_clear(NULL);
}

/* ---- copies ---- */

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

int crew_array_bcast(crew_array a) {
    struct cw_array_use use;
    if (!use_copies(a, &use, "a broadcast"))
        return CREW_EINVAL;
    int32_t was = 0;
    if (!atomic_compare_exchange_strong(&use.base->use, &was, CW_ARRAY_READ) &&
        was != CW_ARRAY_READ)
        return cw_error_set(NULL, CREW_EINVAL, 0,
                            "the array is an accumulator: each node has its own part of the sum");
    return cw_error_clear(NULL);
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

int crew_array_reset(crew_array a, int op, const void *identity) {
    struct cw_array_use use;
    struct cw_array_form form;
    char element[8];
    if (!use_copies(a, &use, "a reset") || !is_whole(&use, "a reset") ||
        !is_op(op, identity != NULL))
        return CREW_EINVAL;
    cw_array_form(use.array, &form);
    char *data = cw_array_memory(a, &use);
    if (!data)
        return crew_last_error()->code;
    size_t size = cw_type_size(form.type);
    if (identity)
        memcpy(element, identity, size);
    else
        identity_of(form.type, op, element);
    for (int64_t i = 0, n = cw_array_count(&form); i < n; i++)
        memcpy(data + (size_t)i * size, element, size);
    atomic_store(&use.array->use, op);
    return cw_error_clear(NULL);
}

int crew_array_reduce(crew_array a, int op, crew_combine_fn *own) {
    struct cw_array_use use;
    if (!use_copies(a, &use, "a reduce") || !is_whole(&use, "a reduce") || !is_op(op, own != NULL))
        return CREW_EINVAL;
    int32_t was = 0; /* as reset for sums */
    if (op == CREW_SUM && atomic_compare_exchange_strong(&use.array->use, &was, op))
        return cw_error_clear(NULL);
    was = atomic_load(&use.array->use);
    if (was != op)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the array %s: crew_array_reset begins anew",
                            was == CW_ARRAY_READ ? "was broadcast" : "is for another operation");
    return cw_error_clear(NULL);
}
