/* Calls that came from other nodes, made at home: queues, dictionaries, lists, pipes. */
#include "api/far.h"
#include "api/pipe.h"

#include <crew/channel.h>
#include <crew/manager.h>
#include <stdlib.h>
#include <string.h>

#define HANDLE(type, ask) ((type){(ask)->place, (ask)->check})

/* One call, its parts, and where what it gives goes. */
struct made {
    const struct cw_ask *ask;
    const void *part[CW_ASK_PARTS];
    struct cw_told *told;
    struct cw_given *given;
};

/* Room for what the caller has room for. Nothing of it is touched that is not filled. NULL:
 * the error is set. */
static void *room(struct made *m) {
    m->given->data = malloc(m->ask->cap ? m->ask->cap : 1);
    if (!m->given->data)
        cw_error_set(NULL, CREW_ENOMEM, 0, "no memory for an answer to another node");
    return m->given->data;
}

static int64_t gave(struct made *m, ptrdiff_t size) {
    m->given->size = size < 0 ? 0 : (size_t)size;
    return size;
}

static bool takes_all(const struct made *m) {
    return m->ask->cap == UINT64_MAX;
}

static int last(void) {
    return crew_last_error()->code;
}

/* ---- queues ---- */

static int64_t queue_get(struct made *m, crew_queue q) {
    if (takes_all(m))
        return gave(m, crew_queue_get_alloc(q, &m->given->data, m->ask->timeout));
    void *buf = room(m);
    return buf ? gave(m, crew_queue_get(q, buf, m->ask->cap, m->ask->timeout)) : last();
}

static int64_t make_queue(struct made *m) {
    const struct cw_ask *ask = m->ask;
    const crew_queue q = HANDLE(crew_queue, ask);
    switch (ask->call) {
    case CW_CALL_QUEUE_PUT:
        return crew_queue_put(q, m->part[0], ask->size[0], ask->timeout);
    case CW_CALL_QUEUE_GET:
        return queue_get(m, q);
    case CW_CALL_QUEUE_SIZE:
        return crew_queue_size(q);
    case CW_CALL_QUEUE_FULL:
        return crew_queue_full(q);
    case CW_CALL_QUEUE_TASK_DONE:
        return crew_queue_task_done(q);
    case CW_CALL_QUEUE_JOIN:
        return crew_queue_join(q, ask->timeout);
    case CW_CALL_QUEUE_CLOSE:
        return crew_queue_close(q);
    case CW_CALL_QUEUE_PRODUCE:
        return crew_queue_produce(q);
    default:
        return crew_queue_leave(q);
    }
}

/* ---- dictionaries and lists ---- */

/* All pairs, one after the other. */
struct heap {
    char *data;
    size_t size, room;
};

static bool grow(struct heap *h, size_t size) {
    if (h->room - h->size < size) {
        size_t more = 2 * h->room + size + 4096;
        char *data = realloc(h->data, more);
        if (!data)
            return false;
        h->data = data;
        h->room = more;
    }
    return true;
}

static void append(struct heap *h, const void *data, size_t size) {
    size_t padded = cw_far_padded(size);
    if (size)
        memcpy(h->data + h->size, data, size);
    memset(h->data + h->size + size, 0, padded - size);
    h->size += padded;
}

static int add_pair(void *ctx, const void *key, size_t ksize, const void *val, size_t vsize) {
    struct heap *h = ctx;
    const struct cw_far_pair pair = {.key = ksize, .val = vsize};
    if (!grow(h, sizeof pair + cw_far_padded(ksize) + cw_far_padded(vsize)))
        return cw_error_set(NULL, CREW_ENOMEM, 0, "no memory for a copy to send to another node");
    append(h, &pair, sizeof pair);
    append(h, val, vsize);
    append(h, key, ksize);
    return 0;
}

static int add_item(void *ctx, int64_t place, const void *val, size_t size) {
    (void)place;
    return add_pair(ctx, NULL, 0, val, size);
}

static int64_t all_of(struct made *m) {
    struct heap h = {0};
    int rc = m->ask->call == CW_CALL_DICT_EACH
                 ? crew_dict_each(HANDLE(crew_dict, m->ask), add_pair, &h)
                 : crew_list_each(HANDLE(crew_list, m->ask), add_item, &h);
    *m->given = (struct cw_given){.data = h.data, .size = rc == 0 ? h.size : 0};
    return rc;
}

static int64_t dict_get(struct made *m, crew_dict d) {
    const struct cw_ask *ask = m->ask;
    bool pop = ask->call == CW_CALL_DICT_POP;
    if (takes_all(m))
        return gave(m, (pop ? crew_dict_pop_alloc : crew_dict_get_alloc)(
                           d, m->part[0], ask->size[0], &m->given->data, ask->timeout));
    void *buf = room(m);
    if (!buf)
        return last();
    return gave(m, (pop ? crew_dict_pop : crew_dict_get)(d, m->part[0], ask->size[0], buf,
                                                         ask->cap, ask->timeout));
}

static int64_t make_dict(struct made *m) {
    const struct cw_ask *ask = m->ask;
    const crew_dict d = HANDLE(crew_dict, ask);
    switch (ask->call) {
    case CW_CALL_DICT_SET:
        return crew_dict_set(d, m->part[0], ask->size[0], m->part[1], ask->size[1]);
    case CW_CALL_DICT_DEL:
        return crew_dict_del(d, m->part[0], ask->size[0]);
    case CW_CALL_DICT_CAS:
        return crew_dict_cas(d, m->part[0], ask->size[0], m->part[1], ask->size[1], m->part[2],
                             ask->size[2]);
    case CW_CALL_DICT_ADD:
        return crew_dict_add_i64(d, m->part[0], ask->size[0], ask->a, &m->told->a);
    case CW_CALL_DICT_HAS:
        return crew_dict_has(d, m->part[0], ask->size[0]);
    case CW_CALL_DICT_SIZE:
        return crew_dict_size(d);
    case CW_CALL_DICT_CLEAR:
        return crew_dict_clear(d);
    default:
        return dict_get(m, d);
    }
}

static int64_t list_get(struct made *m, crew_list l) {
    const struct cw_ask *ask = m->ask;
    bool pop = ask->call == CW_CALL_LIST_POP;
    if (takes_all(m))
        return gave(m, (pop ? crew_list_pop_alloc : crew_list_get_alloc)(l, ask->a,
                                                                         &m->given->data));
    void *buf = room(m);
    return buf ? gave(m, (pop ? crew_list_pop : crew_list_get)(l, ask->a, buf, ask->cap)) : last();
}

static int64_t make_list(struct made *m) {
    const struct cw_ask *ask = m->ask;
    const crew_list l = HANDLE(crew_list, ask);
    switch (ask->call) {
    case CW_CALL_LIST_INSERT:
        return crew_list_insert(l, ask->a, m->part[0], ask->size[0]);
    case CW_CALL_LIST_SET:
        return crew_list_set(l, ask->a, m->part[0], ask->size[0]);
    case CW_CALL_LIST_SIZE:
        return crew_list_size(l);
    case CW_CALL_LIST_CLEAR:
        return crew_list_clear(l);
    default:
        return list_get(m, l);
    }
}

/* ---- pipes ---- */

static int64_t conn_recv(struct made *m, crew_conn c) {
    if (takes_all(m))
        return gave(m, crew_conn_recv_alloc(c, &m->given->data, m->ask->timeout));
    void *buf = room(m);
    return buf ? gave(m, crew_conn_recv(c, buf, m->ask->cap, m->ask->timeout)) : last();
}

static int64_t make_conn(struct made *m) {
    const struct cw_ask *ask = m->ask;
    const crew_conn c = HANDLE(crew_conn, ask);
    switch (ask->call) {
    case CW_CALL_CONN_SEND:
        return crew_conn_send(c, m->part[0], ask->size[0], ask->timeout);
    case CW_CALL_CONN_RECV:
        return conn_recv(m, c);
    case CW_CALL_CONN_POLL:
        return crew_conn_poll(c, ask->timeout);
    case CW_CALL_CONN_CLOSE:
        return crew_conn_close(c);
    case CW_CALL_CONN_LOOK:
        return cw_conns_check(&c, 1, cw_error_last());
    default:
        return cw_conns_take(&c, 1);
    }
}

void cw_far_make_data(const struct cw_ask *ask, const char *in, struct cw_told *told,
                      struct cw_given *given) {
    struct made m = {.ask = ask, .told = told, .given = given};
    for (int i = 0; i < CW_ASK_PARTS; in += ask->size[i++])
        m.part[i] = ask->given >> i & 1 ? in : NULL;
    if (ask->call == CW_CALL_DICT_EACH || ask->call == CW_CALL_LIST_EACH)
        told->rc = all_of(&m);
    else if (ask->call <= CW_CALL_QUEUE_LEAVE)
        told->rc = make_queue(&m);
    else if (ask->call <= CW_CALL_DICT_EACH)
        told->rc = make_dict(&m);
    else if (ask->call <= CW_CALL_LIST_EACH)
        told->rc = make_list(&m);
    else
        told->rc = make_conn(&m);
}
