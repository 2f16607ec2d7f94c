/* Queues, as their callers see them. */
#include "api/far.h"
#include "share/queue.h"

#include <crew/channel.h>
#include <crew/topology.h>
#include <stdlib.h>

/* The queue, and this thread in *self; NULL with the reason in the last error. */
static struct cw_queue *find(crew_queue q, struct cw_self **self) {
    *self = cw_self_get();
    if (!*self)
        return NULL;
    struct cw_queue *queue = cw_object((*self)->share, CW_QUEUE, q.place, q.check);
    if (!queue)
        cw_handle_stale(CW_QUEUE, q.place, q.check);
    return queue;
}

static int not_found(void) {
    return crew_last_error()->code;
}

/* What came of it, in the thread's last error. */
static int end_with(int rc, crew_queue q, const char *in_time) {
    switch (rc) {
    case 0:
        cw_handle_met();
        return cw_error_clear(NULL);
    case CREW_EINVAL:
        return cw_handle_stale(CW_QUEUE, q.place, q.check);
    case CREW_ETIMEDOUT:
        return cw_error_set(NULL, rc, 0, "%s within the time", in_time);
    case CREW_ECLOSED:
        return cw_error_set(NULL, rc, 0, "the queue is closed");
    default: /* whoever detected it has said so */
        return rc;
    }
}

int crew_queue_create(crew_queue *q, int64_t max, const crew_queue_opts *opts) {
    if (max < 0)
        return cw_error_set(NULL, CREW_EINVAL, 0,
                            "a queue cannot hold %lld messages at most; 0 is any number",
                            (long long)max);
    struct cw_queue_opts o = {
        .max = (uint64_t)max, .eof = opts && opts->eof, .spins = crew_cpu_count() > 1};
    return cw_handle_make(CW_QUEUE, cw_queue_init, &o, q ? &q->place : NULL,
                          q ? &q->check : NULL);
}

static int put_far(crew_queue q, const void *data, size_t size, double timeout) {
    struct cw_far far = {.ask = {.call = CW_CALL_QUEUE_PUT,
                                 .place = q.place,
                                 .check = q.check,
                                 .timeout = timeout},
                         .in = {{data, size}}};
    return (int)cw_far_call(&far);
}

static ptrdiff_t get_far(crew_queue q, struct cw_out *out, uint64_t cap, double timeout) {
    struct cw_far far = {.ask = {.call = CW_CALL_QUEUE_GET,
                                 .place = q.place,
                                 .check = q.check,
                                 .timeout = timeout,
                                 .cap = cap},
                         .out = out};
    return (ptrdiff_t)cw_far_call(&far);
}

int crew_queue_put(crew_queue q, const void *data, size_t size, double timeout) {
    struct cw_self *self;
    struct cw_queue *queue = find(q, &self);
    if (!queue && !cw_far_is(q.check))
        return not_found();
    if (!data && size)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the message to put is NULL, but not empty");
    if (size > PTRDIFF_MAX)
        return cw_error_set(NULL, CREW_EINVAL, 0, "a message cannot have %zu bytes", size);
    if (!queue)
        return put_far(q, data, size, timeout);
    int rc = cw_queue_put(self, queue, q.check, data, size, timeout, cw_error_last());
    return end_with(rc, q, "there was no room in the queue");
}

ptrdiff_t crew_queue_get(crew_queue q, void *buf, size_t cap, double timeout) {
    struct cw_self *self;
    struct cw_queue *queue = find(q, &self);
    if (!queue && !cw_far_is(q.check))
        return not_found();
    if (!buf && cap)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the buffer for a message is NULL");
    if (!queue)
        return get_far(q, &(struct cw_out){.buf = buf, .cap = cap}, cap, timeout);
    size_t size = 0;
    int rc = cw_queue_get(self, queue, q.check, buf, cap, timeout, &size);
    if (rc == CREW_ETOOSMALL)
        return cw_error_set(NULL, rc, 0, "the next message has %zu bytes, the buffer %zu", size,
                            cap);
    end_with(rc, q, "there was no message in the queue");
    return rc < 0 ? rc : (ptrdiff_t)size;
}

/* A buffer of that many bytes, which are not kept; NULL: no memory. */
static void *resize(void *buf, size_t size) {
    free(buf);
    return malloc(size);
}

/* Takes a message into *buf, which has room for *cap bytes and grows. */
static int get_growing(struct cw_self *self, struct cw_queue *queue, uint64_t check, void **buf,
                       size_t *cap, size_t *size, double timeout) {
    for (;;) {
        int rc = cw_queue_get(self, queue, check, *buf, *cap, timeout, size);
        if (rc != CREW_ETOOSMALL)
            return rc;
        void *larger = resize(*buf, *size);
        *buf = larger;
        *cap = larger ? *size : 0;
        if (!larger)
            return cw_error_set(
                NULL, CREW_ENOMEM, 0,
                "no memory for the next message of %zu bytes; it stays in the queue", *size);
    }
}

static ptrdiff_t get_alloc_far(crew_queue q, void **data, double timeout) {
    ptrdiff_t size = get_far(q, &(struct cw_out){.made = data}, UINT64_MAX, timeout);
    if (size == 0) {
        free(*data);
        *data = NULL;
    }
    return size;
}

ptrdiff_t crew_queue_get_alloc(crew_queue q, void **data, double timeout) {
    struct cw_self *self;
    struct cw_queue *queue = find(q, &self);
    if (data)
        *data = NULL;
    if (!queue && !cw_far_is(q.check))
        return not_found();
    if (!data)
        return cw_error_set(NULL, CREW_EINVAL, 0, "where to leave the message is NULL");
    if (!queue)
        return get_alloc_far(q, data, timeout);
    size_t cap = CW_QUEUE_INLINE, size = 0;
    void *buf = malloc(cap);
    if (!buf)
        return cw_error_set(NULL, CREW_ENOMEM, 0, "no memory for a message");
    int rc = get_growing(self, queue, q.check, &buf, &cap, &size, timeout);
    if (rc < 0 || size == 0) {
        free(buf);
        buf = NULL;
    } else if (size < cap / 2 && cap > CW_QUEUE_INLINE) {
        /* It had grown for a message that somebody else then took. */
        void *smaller = realloc(buf, size);
        buf = smaller ? smaller : buf;
    }
    *data = buf;
    end_with(rc, q, "there was no message in the queue");
    return rc < 0 ? rc : (ptrdiff_t)size;
}

int64_t crew_queue_size(crew_queue q) {
    struct cw_self *self;
    struct cw_queue *queue = find(q, &self);
    if (!queue)
        return cw_far_number(CW_CALL_QUEUE_SIZE, q.place, q.check, 0);
    int64_t size = (int64_t)cw_queue_size(queue);
    int rc = end_with(cw_object_same(&queue->cell, q.check) ? 0 : CREW_EINVAL, q, "");
    return rc < 0 ? rc : size;
}

int crew_queue_full(crew_queue q) {
    struct cw_self *self;
    struct cw_queue *queue = find(q, &self);
    if (!queue)
        return cw_far(CW_CALL_QUEUE_FULL, q.place, q.check, 0);
    uint64_t max = atomic_load_explicit(&queue->max, memory_order_relaxed);
    bool full = max && cw_queue_size(queue) == max;
    int rc = end_with(cw_object_same(&queue->cell, q.check) ? 0 : CREW_EINVAL, q, "");
    return rc < 0 ? rc : full;
}

int crew_queue_empty(crew_queue q) {
    int64_t size = crew_queue_size(q);
    return size < 0 ? (int)size : size == 0;
}

int crew_queue_task_done(crew_queue q) {
    struct cw_self *self;
    struct cw_queue *queue = find(q, &self);
    if (!queue)
        return cw_far(CW_CALL_QUEUE_TASK_DONE, q.place, q.check, 0);
    int rc = cw_queue_task_done(self, queue, q.check);
    if (rc == CREW_EPERM)
        return cw_error_set(NULL, CREW_EINVAL, 0, "every message that was put is done already");
    return end_with(rc, q, "");
}

int crew_queue_join(crew_queue q, double timeout) {
    struct cw_self *self;
    struct cw_queue *queue = find(q, &self);
    if (!queue)
        return cw_far(CW_CALL_QUEUE_JOIN, q.place, q.check, timeout);
    return end_with(cw_queue_join(self, queue, q.check, timeout), q, "not all messages were done");
}

int crew_queue_close(crew_queue q) {
    struct cw_self *self;
    struct cw_queue *queue = find(q, &self);
    return queue ? end_with(cw_queue_close(self, queue, q.check), q, "")
                 : cw_far(CW_CALL_QUEUE_CLOSE, q.place, q.check, 0);
}

int crew_queue_produce(crew_queue q) {
    struct cw_self *self;
    struct cw_queue *queue = find(q, &self);
    if (!queue)
        return cw_far(CW_CALL_QUEUE_PRODUCE, q.place, q.check, 0);
    return end_with(cw_queue_produce(self, queue, q.check, cw_error_last()), q, "");
}

int crew_queue_leave(crew_queue q) {
    struct cw_self *self;
    struct cw_queue *queue = find(q, &self);
    return queue ? end_with(cw_queue_leave(self, queue, q.check), q, "")
                 : cw_far(CW_CALL_QUEUE_LEAVE, q.place, q.check, 0);
}

int crew_queue_destroy(crew_queue q) {
    struct cw_self *self;
    struct cw_queue *queue = find(q, &self);
    if (!queue)
        return (int)cw_far_number(CW_CALL_END, q.place, q.check, CW_QUEUE);
    if (cw_queue_end(self, queue, q.check) < 0)
        return cw_handle_stale(CW_QUEUE, q.place, q.check);
    return cw_handle_end(CW_QUEUE, q.place, q.check);
}
