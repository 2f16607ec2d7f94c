/* Arrays in the root segment: the same memory for every process of the session. */
#include "api/session.h"
#include "base/error.h"

#include <crew/shared.h>
#include <string.h>
#include <unistd.h>

/* In the segment, before an array's data. A handle names its place and its
 * number: numbers are never used twice, so a stale handle finds another one. */
struct header {
    _Alignas(64) uint64_t magic;
    _Atomic uint64_t number;
    int32_t type, ndim;
    int64_t shape[CREW_ARRAY_DIMS];
    uint64_t row_bytes, bytes;
};
_Static_assert(sizeof(struct header) % 64 == 0, "data starts on a cache line");

#define MAGIC 0x6372657761727261ull

static size_t size_of(int type) {
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

/* The header a handle means; NULL if it means none any more. Works in tasks too:
 * a worker knows the root segment. */
static struct header *find(crew_array a) {
    struct cw_segment root;
    cw_session_segments(&root);
    if (!root.base || a.place == 0 || a.place % 64 || a.place + sizeof(struct header) > root.size)
        return NULL;
    cw_arena arena;
    if (cw_arena_attach(&arena, &root, CW_ARENA_START, NULL) < 0)
        return NULL;
    struct header *h = cw_ptr(&arena, a.place);
    if (!cw_arena_holds(&arena, h, sizeof *h) || h->magic != MAGIC ||
        atomic_load(&h->number) != a.check)
        return NULL;
    return h;
}

static int stale(void) {
    return cw_error_set(NULL, CREW_EINVAL, 0, "there is no such array (any more)");
}

static int measure(struct header *h, int type, int ndim, const int64_t *shape) {
    size_t row = size_of(type), all;
    if (!row)
        return cw_error_set(NULL, CREW_EINVAL, 0, "type %d: CREW_I8 to CREW_F64 are possible",
                            type);
    if (ndim < 1 || ndim > CREW_ARRAY_DIMS || !shape)
        return cw_error_set(NULL, CREW_EINVAL, 0, "ndim is %d: 1 to %d are possible", ndim,
                            CREW_ARRAY_DIMS);
    *h = (struct header){.magic = MAGIC, .type = type, .ndim = ndim};
    for (int i = ndim - 1; i >= 0; i--) {
        if (shape[i] < 0)
            return cw_error_set(NULL, CREW_EINVAL, 0, "dimension %d is %lld", i,
                                (long long)shape[i]);
        h->shape[i] = shape[i];
        if (i > 0 && __builtin_mul_overflow(row, (size_t)shape[i], &row))
            return cw_error_set(NULL, CREW_EINVAL, 0, "the array is larger than memory can be");
    }
    if (__builtin_mul_overflow(row, (size_t)shape[0], &all) || all > PTRDIFF_MAX)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the array is larger than memory can be");
    h->row_bytes = row;
    h->bytes = all;
    return 0;
}

int crew_array_create(crew_array *a, int type, int ndim, const int64_t *shape,
                      const crew_array_opts *opts) {
    static _Atomic uint64_t numbers;
    struct header h;
    if (!a)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the handle is NULL");
    if (opts && (opts->scope != CREW_ARRAY_NODE || opts->over || opts->interleave))
        return cw_error_set(NULL, CREW_ENOTSUP, 0,
                            "this version has arrays of scope CREW_ARRAY_NODE, not over a "
                            "segment, not interleaved");
    int rc = measure(&h, type, ndim, shape);
    if (rc < 0)
        return rc;
    struct cw_session *s = cw_session_get(cw_error_last());
    if (!s)
        return crew_last_error()->code;
    cw_arena arena = s->depth ? s->root_arena : s->arena;
    cw_off at = cw_alloc_zero(&arena, sizeof h + h.bytes, NULL, cw_error_last());
    if (!at)
        return crew_last_error()->code;
    struct header *to = cw_ptr(&arena, at);
    memcpy(to, &h, sizeof h);
    /* Unique among the processes of the session too: who made it, and its how-manieth. */
    uint64_t number = (uint64_t)getpid() << 40 | (atomic_fetch_add(&numbers, 1) + 1);
    atomic_store(&to->number, number);
    *a = (crew_array){.place = at, .check = number};
    return cw_error_clear(NULL);
}

void *crew_array_data(crew_array a) {
    struct header *h = find(a);
    if (!h) {
        stale();
        return NULL;
    }
    return h + 1;
}

void *crew_array_row(crew_array a, int64_t row) {
    struct header *h = find(a);
    if (!h) {
        stale();
        return NULL;
    }
    if (row < 0 || row >= h->shape[0]) {
        cw_error_set(NULL, CREW_EINVAL, 0, "row %lld: there are %lld", (long long)row,
                     (long long)h->shape[0]);
        return NULL;
    }
    return (char *)(h + 1) + (size_t)row * h->row_bytes;
}

int crew_array_shape(crew_array a, int64_t *shape, int cap) {
    struct header *h = find(a);
    if (!h)
        return stale();
    for (int i = 0; i < h->ndim && i < cap; i++)
        shape[i] = h->shape[i];
    return h->ndim;
}

int crew_array_destroy(crew_array a) {
    struct header *h = find(a);
    if (!h)
        return stale();
    uint64_t number = a.check;
    if (!atomic_compare_exchange_strong(&h->number, &number, 0))
        return stale();
    struct cw_segment root;
    cw_session_segments(&root);
    cw_arena arena;
    cw_arena_attach(&arena, &root, CW_ARENA_START, NULL);
    cw_free(&arena, a.place);
    return cw_error_clear(NULL);
}
