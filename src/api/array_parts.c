/* Parts of arrays, wherever they lie: here they are read and written as they are, what
 * lies on another node is for that one's agent (array_agent.c), which does the same: so
 * `add` is one atomic step of a processor of the node that has the element, whoever adds. */
#include "api/array_impl.h"
#include "api/objects.h"
#include "share/value.h"

#include <string.h>

/* ---- elements in order ---- */

/* Each: `n` elements `stride` elements apart, from `at` on, and the caller's. */

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

/* ---- elements of other nodes ---- */

void cw_array_run(enum cw_freight_op op, int type, char *at, int64_t stride, char *mine, int64_t n) {
    if (op == CW_F_GET)
        get_run(type, at, stride, mine, n);
    else if (op == CW_F_PUT)
        put_run(type, at, stride, mine, n);
    else
        add_run(type, at, stride, mine, n);
}

/* A way to an array's elements, wherever they lie. */
struct way {
    const struct cw_array_use *use;
    struct cw_self *self;
    struct cw_boat *boat; /* NULL: nothing was asked yet */
    enum cw_freight_op op;
    int type, nodes;
    bool tells;           /* what lies here goes to all other nodes' copies */
    int code;             /* cw_freight's */
    char *data;           /* element 0 of what is used */
    int64_t row, rows, from, to; /* of the array: bytes a row; what lies here */
    int64_t beyond;       /* bytes from the array's element 0 to `data` */
    int rc;
};

static void begin_way(struct way *way, const struct cw_array_use *use, enum cw_freight_op op,
                      int type, char *data) {
    const struct cw_array *base = use->base;
    *way = (struct way){.use = use, .op = op, .type = type, .nodes = 1, .data = data};
    int nodes = (int)use->share->commons->nodes;
    if (nodes < 2)
        return;
    struct cw_array_form all;
    cw_array_form(base, &all);
    if (all.scope == CREW_ARRAY_PARTITIONED)
        way->nodes = nodes;
    way->rows = all.shape[0];
    way->row = way->rows ? cw_array_count(&all) / way->rows * (int64_t)cw_type_size(type) : 0;
    way->from = atomic_load_explicit(&base->part_from, memory_order_relaxed);
    way->to = atomic_load_explicit(&base->part_to, memory_order_relaxed);
    way->beyond = cw_array_beyond(use);
}

static void end_way(struct way *way) {
    if (way->boat)
        cw_boat_leave(way->use->share, way->boat);
}

/* Has the node's agent do it, a boat full at a time. at: from the array's element 0 on. */
static void ferry(struct way *way, int node, int64_t at, int64_t stride, char *mine, int64_t n) {
    int64_t size = (int64_t)cw_type_size(way->type), most = CW_BOAT_ROOM / size;
    const crew_array a = cw_array_known_as(way->use);
    if (!way->boat && (!(way->self = cw_self_get()) ||
                       !(way->boat = cw_boat_take(way->self, cw_error_last()))))
        way->rc = crew_last_error()->code;
    while (n > 0 && way->rc == 0) {
        int64_t now = n < most ? n : most;
        char *room = cw_boat_room(way->use->share, way->boat);
        way->boat->ask = (struct cw_freight){.op = way->op,
                                             .node = node,
                                             .place = a.place,
                                             .check = a.check,
                                             .at = at,
                                             .n = now,
                                             .stride = stride,
                                             .type = way->type,
                                             .code = way->code,
                                             .bytes = way->op == CW_F_GET ? 0
                                                                          : (uint64_t)(now * size)};
        if (way->tells)
            get_run(way->type, way->data + (at - way->beyond), stride, room, now);
        else if (way->op != CW_F_GET)
            memcpy(room, mine, (size_t)(now * size));
        way->rc = cw_boat_ask(way->self, way->boat, cw_error_last());
        if (way->op == CW_F_GET && way->rc == 0)
            memcpy(mine, room, (size_t)(now * size));
        at += now * stride * size;
        mine += now * size;
        n -= now;
    }
}

/* A run of elements, part by part, as they lie on nodes. */
static void follow(struct way *way, int64_t offset, int64_t stride, char *mine, int64_t n) {
    int64_t size = (int64_t)cw_type_size(way->type), step = stride * size;
    if (way->tells) {
        ferry(way, CW_TO_OTHERS, way->beyond + offset, stride, mine, n);
        return;
    }
    if (way->nodes == 1) {
        cw_array_run(way->op, way->type, way->data + offset, stride, mine, n);
        return;
    }
    while (n > 0 && way->rc == 0) {
        int64_t at = way->beyond + offset, from, to;
        int node = cw_array_owner(way->rows, way->nodes, at / way->row);
        cw_array_part(way->rows, node, way->nodes, &from, &to);
        from *= way->row;
        to = from + to * way->row;
        int64_t now = step > 0 ? (to - 1 - at) / step + 1 : (at - from) / -step + 1;
        now = now < n ? now : n;
        if (from == way->from && to == way->to)
            cw_array_run(way->op, way->type, way->data + offset, stride, mine, now);
        else
            ferry(way, node, at, stride, mine, now);
        offset += now * step;
        mine += now * size;
        n -= now;
    }
}

/* Elements [first, first + n), counted row by row, in runs of neighbours. */
static void walk(struct way *way, const struct cw_array_form *form, int64_t first, int64_t n,
                 char *mine) {
    int64_t size = (int64_t)cw_type_size(form->type), index[CREW_ARRAY_DIMS];
    int last = form->ndim - 1;
    if (cw_array_contiguous(form)) {
        follow(way, first * size, 1, mine, n);
        return;
    }
    for (int d = last; d >= 0; d--) {
        index[d] = first % form->shape[d];
        first /= form->shape[d];
    }
    while (n > 0 && way->rc == 0) {
        int64_t here = form->shape[last] - index[last], at = 0;
        here = here < n ? here : n;
        for (int d = 0; d <= last; d++)
            at += index[d] * form->strides[d];
        follow(way, at * size, form->strides[last], mine, here);
        mine += here * size;
        n -= here;
        index[last] += here;
        for (int d = last; d > 0 && index[d] == form->shape[d]; d--) {
            index[d] = 0;
            index[d - 1]++;
        }
    }
}

static int move(crew_array a, int64_t first, int64_t n, const void *mine, enum cw_freight_op op) {
    struct cw_array_use use;
    struct cw_array_form form;
    struct way way;
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
    begin_way(&way, &use, op, form.type, data);
    if (n > 0)
        walk(&way, &form, first, n, (char *)mine);
    end_way(&way);
    if (way.rc == 0 && op == CW_F_GET && !cw_array_same(a, &use))
        return CREW_EINVAL; /* what was copied here may be another array's */
    return way.rc < 0 ? way.rc : cw_error_clear(NULL);
}

int cw_array_tell(const struct cw_array_use *use, char *data, int code) {
    struct cw_array_form form;
    struct way way;
    cw_array_form(use->array, &form);
    begin_way(&way, use, CW_F_PUT, form.type, data);
    way.tells = true;
    way.code = code;
    if (cw_array_count(&form) > 0)
        walk(&way, &form, 0, cw_array_count(&form), data);
    end_way(&way);
    return way.rc;
}

int cw_array_get_copy(const struct cw_array_use *use, int node, int64_t first, int64_t n,
                      char *to, bool *gone) {
    int type = atomic_load(&use->base->type);
    struct way way;
    begin_way(&way, use, CW_F_GET, type, NULL);
    ferry(&way, node, first * (int64_t)cw_type_size(type), 1, to, n);
    *gone = way.boat && atomic_load(&way.boat->gone);
    end_way(&way);
    return way.rc;
}

int crew_array_get(crew_array a, int64_t first, int64_t n, void *to) {
    /* Pairs with the fence of who has put or added. */
    atomic_thread_fence(memory_order_seq_cst);
    return move(a, first, n, to, CW_F_GET);
}

int crew_array_put(crew_array a, int64_t first, int64_t n, const void *from) {
    int rc = move(a, first, n, from, CW_F_PUT);
    atomic_thread_fence(memory_order_seq_cst);
    return rc;
}

int crew_array_add(crew_array a, int64_t first, int64_t n, const void *from) {
    int rc = move(a, first, n, from, CW_F_ADD);
    atomic_thread_fence(memory_order_seq_cst);
    return rc;
}

int crew_array_part(crew_array a, int64_t *first, int64_t *rows) {
    struct cw_array_use use;
    if (!cw_array_use(a, &use))
        return CREW_EINVAL;
    if (use.array != use.base)
        return cw_error_set(NULL, CREW_EINVAL, 0, "this is a view: ask the array that it is of");
    int64_t all = atomic_load_explicit(&use.array->shape[0], memory_order_relaxed), begin = 0;
    bool parts = atomic_load_explicit(&use.array->scope, memory_order_relaxed) ==
                     CREW_ARRAY_PARTITIONED && use.share->commons->nodes > 1;
    if (!cw_array_same(a, &use))
        return CREW_EINVAL;
    if (parts)
        cw_array_part(all, cw_node_here(use.share),
                      (int)use.share->commons->nodes, &begin, &all);
    if (first)
        *first = begin;
    if (rows)
        *rows = all;
    return cw_error_clear(NULL);
}
