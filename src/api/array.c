/* Arrays in the root segment: the same memory for every process of the session. */
#include "api/array_impl.h"
#include "base/error.h"

#include <crew/shared.h>
#include <string.h>

/* In the segment, at the beginning of an array's block; a large array's data end
 * where its guard begins, others follow this. A handle names its place and its
 * number: numbers are never used twice, so a stale handle finds another one. */
struct header {
    _Alignas(64) uint64_t magic;
    _Atomic uint64_t number;
    int32_t type, ndim;
    int64_t shape[CREW_ARRAY_DIMS];
    uint64_t row_bytes, bytes;
    cw_off data, from, end; /* the block is [from, end) */
    uint64_t guarded;
};
_Static_assert(sizeof(struct header) == 192, "data starts on a cache line");

#define MAGIC 0x6372657761727261ull

/* Arrays from here on have granules of their own and a guard. */
enum { GUARDED_FROM = 32 * 1024 };

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

static int arrays_of(cw_segment *root, cw_arena *arrays) {
    cw_session_segments(root);
    if (!root->base)
        return CREW_EINVAL;
    return cw_arena_attach(arrays, root, cw_head(root)->arrays, NULL);
}

static struct cw_within within(const struct header *h) {
    return (struct cw_within){atomic_load(&h->number), h->from, h->end, h->guarded};
}

/* The header a handle means; NULL if it means none any more. Works in tasks too:
 * a worker knows the root segment. */
static struct header *find(crew_array a, char **base) {
    cw_segment root;
    cw_session_segments(&root);
    if (!root.base || a.check == 0 || a.place == 0 || a.place % 64 ||
        root.size < sizeof(struct header) || a.place > root.size - sizeof(struct header))
        return NULL;
    *base = root.base;
    struct header *h = (struct header *)(void *)(root.base + a.place);
    /* There was a header once: reading it is harmless, whatever is there now. */
    if (cw_guard_seen(a.check))
        return h->magic == MAGIC && atomic_load(&h->number) == a.check ? h : NULL;
    cw_arena arrays;
    cw_off end;
    if (arrays_of(&root, &arrays) < 0 || cw_arena_block(&arrays, h, sizeof *h, &end) != a.place)
        return NULL;
    cw_guard_clear(root.base, root.size, a.place, a.place + sizeof *h);
    if (h->magic != MAGIC || atomic_load(&h->number) != a.check)
        return NULL;
    const struct cw_within object = within(h);
    cw_guard_see(root.base, root.size, &object);
    return h;
}

bool cw_array_at(struct cw_session *s, const void *at, size_t size, struct cw_within *object) {
    cw_off end, from = cw_arena_block(&s->arrays, at, size, &end);
    *object = (struct cw_within){0};
    if (!from)
        return false;
    const struct header *h = cw_ptr(&s->arrays, from);
    if (h->magic == MAGIC)
        *object = within(h);
    return true;
}

static int stale(void) {
    return cw_error_set(NULL, CREW_EINVAL, 0, "there is no such array (any more)");
}

static int measure(struct header *h, int type, int ndim, const int64_t *shape) {
    size_t row = size_of(type), all;
    if (!row)
        return cw_error_set(NULL, CREW_EINVAL, 0, "type %d: CREW_I8 to CREW_F64 are possible",
                            type);
    if (!shape)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the shape is NULL");
    if (ndim < 1 || ndim > CREW_ARRAY_DIMS)
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
    if (__builtin_mul_overflow(row, (size_t)shape[0], &all) ||
        all > PTRDIFF_MAX - 4 * CW_ARENA_GRANULE)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the array is larger than memory can be");
    h->row_bytes = row;
    h->bytes = all;
    return 0;
}

/* Its block, with the header's places filled in. Memory that another array has left
 * is not zero. */
static cw_off make_room(struct cw_session *s, struct header *h, bool spread, crew_error *err) {
    cw_arena *a = &s->arrays;
    size_t data = (h->bytes + 63) / 64 * 64;
    if (h->bytes < GUARDED_FROM) {
        h->from = cw_alloc(a, sizeof *h + data, NULL, err);
        h->end = h->from + sizeof *h + data;
        h->data = h->from + sizeof *h;
        if (h->from) {
            cw_guard_clear(a->seg->base, a->seg->size, h->from, h->end);
            memset(cw_ptr(a, h->from), 0, sizeof *h + data);
        }
        return h->from;
    }
    const size_t guard = cw_guard_bytes();
    struct cw_array_commit how = {.session = s, .spread = spread};
    h->from = cw_alloc_pages(a, sizeof *h + data + guard, cw_array_commit, &how, NULL, err);
    uint64_t granules = (sizeof *h + data + guard - 1) / CW_ARENA_GRANULE + 1;
    h->end = h->from + granules * CW_ARENA_GRANULE;
    h->data = h->end - guard - data;
    h->guarded = guard != 0;
    return h->from;
}

int crew_array_create(crew_array *a, int type, int ndim, const int64_t *shape,
                      const crew_array_opts *opts) {
    struct header h;
    crew_error *err = cw_error_last();
    if (!a)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the handle is NULL");
    if (opts && (opts->scope < CREW_ARRAY_NODE || opts->scope > CREW_ARRAY_PARTITIONED))
        return cw_error_set(NULL, CREW_EINVAL, 0, "scope %d: there is none with that number",
                            opts->scope);
    if (opts && (opts->scope != CREW_ARRAY_NODE || opts->over))
        return cw_error_set(NULL, CREW_ENOTSUP, 0,
                            "this version has arrays of scope CREW_ARRAY_NODE, not over a "
                            "segment");
    int rc = measure(&h, type, ndim, shape);
    if (rc < 0)
        return rc;
    struct cw_session *s = cw_session_get(err);
    if (!s)
        return crew_last_error()->code;
    cw_off at = make_room(s, &h, opts && opts->interleave, err);
    if (!at) { /* the boards' arena may hold what it does not need */
        cw_arena_shrink(s->depth ? &s->root_arena : &s->arena, UINT64_MAX);
        at = make_room(s, &h, opts && opts->interleave, err);
    }
    if (!at)
        return crew_last_error()->code;
    struct header *to = cw_ptr(&s->arrays, at);
    memcpy(to, &h, sizeof h);
    uint64_t number = atomic_fetch_add(&cw_head(s->arrays.seg)->numbers, 1) + 1;
    atomic_store(&to->number, number);
    const struct cw_within object = within(to);
    cw_guard_see(s->arrays.seg->base, s->arrays.seg->size, &object);
    *a = (crew_array){.place = at, .check = number};
    return cw_error_clear(NULL);
}

void *crew_array_data(crew_array a) {
    char *base;
    struct header *h = find(a, &base);
    if (!h) {
        stale();
        return NULL;
    }
    return base + h->data;
}

void *crew_array_row(crew_array a, int64_t row) {
    char *base;
    struct header *h = find(a, &base);
    if (!h) {
        stale();
        return NULL;
    }
    if (row < 0 || row >= h->shape[0]) {
        cw_error_set(NULL, CREW_EINVAL, 0, "row %lld: there are %lld", (long long)row,
                     (long long)h->shape[0]);
        return NULL;
    }
    return base + h->data + (size_t)row * h->row_bytes;
}

int crew_array_shape(crew_array a, int64_t *shape, int cap) {
    char *base;
    struct header *h = find(a, &base);
    if (!h)
        return stale();
    if (!shape && cap > 0)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the shape is NULL");
    for (int i = 0; i < h->ndim && i < cap; i++)
        shape[i] = h->shape[i];
    return h->ndim;
}

int crew_array_destroy(crew_array a) {
    char *base;
    struct header *h = find(a, &base);
    if (!h)
        return stale();
    uint64_t number = a.check;
    if (!atomic_compare_exchange_strong(&h->number, &number, 0))
        return stale();
    cw_segment root;
    cw_arena arrays;
    if (arrays_of(&root, &arrays) == 0)
        cw_free(&arrays, a.place);
    return cw_error_clear(NULL);
}
