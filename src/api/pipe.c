/* Pipes, as their callers see them. */
#include "api/pipe.h"

#include "api/far.h"
#include "os/clock.h"
#include "share/pipe.h"

#include <crew/channel.h>
#include <crew/topology.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>

/* How long a wait for several trusts that somebody else sees deaths; and how long it does
 * not look at ends of another node's pipes, which have no descriptor here. */
static const double LOOK_AGAIN = 0.5, LOOK_FAR = 0.005;

static int stale(crew_conn c) {
    return cw_handle_stale(CW_PIPE, c.place, c.check);
}

/* The bit that says which end is the lowest of the place. */
static int find(crew_conn handle, struct cw_conn *c) {
    c->self = cw_self_get();
    if (!c->self)
        return crew_last_error()->code;
    c->end = handle.place & 1;
    c->check = handle.check;
    c->pipe = cw_object(c->self->share, CW_PIPE, handle.place & ~(uint64_t)1, handle.check);
    return c->pipe ? 0 : stale(handle);
}

/* The sentence of a code that has none yet. */
static int tell(crew_conn handle, const struct cw_conn *c, int rc, const char *timed_out) {
    switch (rc) {
    case CREW_EINVAL:
        if (!cw_object_same(&c->pipe->head, c->check))
            return stale(handle);
        return cw_error_set(NULL, rc, 0, "this end of the pipe is closed");
    case CREW_EPERM:
        return cw_error_set(NULL, rc, 0, "this end of the pipe only %s",
                            c->end ? "sends" : "receives");
    case CREW_ETIMEDOUT:
        return cw_error_set(NULL, rc, 0, "%s", timed_out);
    default:
        return rc;
    }
}

int crew_pipe_create(crew_conn *a, crew_conn *b, bool duplex) {
    struct cw_pipe_plan plan = {.duplex = duplex, .spins = crew_cpu_count() > 1};
    uint64_t place, check;
    if (!a || !b)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the handle to fill is NULL");
    int rc = cw_handle_make(CW_PIPE, cw_pipe_init, &plan, &place, &check);
    if (rc == 0) {
        *a = (crew_conn){.place = place, .check = check};
        *b = (crew_conn){.place = place | 1, .check = check};
    }
    return rc;
}

static int send_far(crew_conn handle, const void *data, size_t size, double timeout) {
    struct cw_far far = {.ask = {.call = CW_CALL_CONN_SEND,
                                 .place = handle.place,
                                 .check = handle.check,
                                 .timeout = timeout},
                         .in = {{data, size}}};
    return (int)cw_far_call(&far);
}

int crew_conn_send(crew_conn handle, const void *data, size_t size, double timeout) {
    struct cw_conn c;
    if (size && !data)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the message is NULL, its size is %zu", size);
    int rc = find(handle, &c);
    if (rc < 0)
        return send_far(handle, data, size, timeout);
    rc = cw_conn_send(&c, data, size, timeout, cw_error_last());
    if (rc == 0)
        return cw_error_clear(NULL);
    if (rc == CREW_ECLOSED)
        return cw_error_set(NULL, rc, 0, "the process that read from the pipe has closed its end "
                            "or is gone");
    return tell(handle, &c, rc, "the pipe has no room for the message yet");
}

static ptrdiff_t receive_far(crew_conn handle, struct cw_sink *sink, double timeout) {
    void *made = NULL;
    struct cw_out out = {.buf = sink->buf, .cap = sink->cap, .made = sink->alloc ? &made : NULL};
    struct cw_far far = {.ask = {.call = CW_CALL_CONN_RECV,
                                 .place = handle.place,
                                 .check = handle.check,
                                 .timeout = timeout,
                                 .cap = sink->alloc ? UINT64_MAX : sink->cap},
                         .out = &out};
    ptrdiff_t size = (ptrdiff_t)cw_far_call(&far);
    if (size == 0)
        free(made);
    else if (sink->alloc)
        sink->buf = made;
    return size;
}

static ptrdiff_t receive(crew_conn handle, struct cw_sink *sink, double timeout) {
    struct cw_conn c;
    int rc = find(handle, &c);
    if (rc < 0)
        return receive_far(handle, sink, timeout);
    rc = cw_conn_recv(&c, sink, timeout);
    switch (rc) {
    case 0:
        cw_handle_met();
        cw_error_clear(NULL);
        return (ptrdiff_t)sink->size;
    case CREW_ECLOSED:
        return cw_error_set(NULL, rc, 0, "end-of-file: the process that sent has closed its end "
                            "or is gone");
    case CREW_ETOOSMALL:
        return cw_error_set(NULL, rc, 0, "the message has %zu bytes, the buffer %zu", sink->size,
                            sink->cap);
    case CREW_ENOMEM:
        return cw_error_set(NULL, rc, 0, "no memory for a message of %zu bytes", sink->size);
    default:
        return tell(handle, &c, rc, "no message has come");
    }
}

ptrdiff_t crew_conn_recv(crew_conn c, void *buf, size_t cap, double timeout) {
    if (cap && !buf)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the buffer is NULL, its size is %zu", cap);
    struct cw_sink sink = {.buf = buf, .cap = cap};
    return receive(c, &sink, timeout);
}

ptrdiff_t crew_conn_recv_alloc(crew_conn c, void **data, double timeout) {
    if (!data)
        return cw_error_set(NULL, CREW_EINVAL, 0, "there is no place for the message's address");
    struct cw_sink sink = {.alloc = true};
    ptrdiff_t size = receive(c, &sink, timeout);
    *data = size > 0 ? sink.buf : NULL;
    return size;
}

int crew_conn_poll(crew_conn handle, double timeout) {
    struct cw_conn c;
    int rc = find(handle, &c);
    if (rc < 0)
        return cw_far(CW_CALL_CONN_POLL, handle.place, handle.check, timeout);
    rc = cw_conn_poll(&c, timeout);
    return rc == 0 ? cw_error_clear(NULL) : tell(handle, &c, rc, "no message has come");
}

int crew_conn_fd(crew_conn handle) {
    struct cw_conn c;
    int rc = find(handle, &c);
    if (rc < 0)
        return cw_far_not(handle.check, "a descriptor tells of a pipe of its own node only: use "
                                        "crew_conn_poll or crew_conn_wait");
    rc = cw_conn_fd(&c, cw_error_last());
    if (rc < 0)
        return tell(handle, &c, rc, "");
    cw_error_clear(NULL);
    return rc;
}

int crew_conn_close(crew_conn handle) {
    struct cw_conn c;
    int rc = find(handle, &c);
    if (rc < 0)
        return cw_far(CW_CALL_CONN_CLOSE, handle.place, handle.check, 0);
    rc = cw_conn_close(&c);
    return rc == 0 ? cw_error_clear(NULL) : tell(handle, &c, rc, "");
}

/* ---- several ---- */

/* How many can be read now, or a code. */
static int look_at_all(const crew_conn *conns, int count, bool *ready) {
    int found = 0;
    for (int i = 0; i < count; i++) {
        int rc = crew_conn_poll(conns[i], 0);
        if (rc < 0 && rc != CREW_ETIMEDOUT)
            return rc;
        ready[i] = rc == 0;
        found += ready[i];
    }
    return found;
}

/* True: some are another node's. */
static bool any_far(const crew_conn *conns, int count) {
    for (int i = 0; i < count; i++)
        if (cw_far_is(conns[i].check))
            return true;
    return false;
}

static int find_descriptors(const crew_conn *conns, int count, struct pollfd *polls) {
    for (int i = 0; i < count; i++) {
        polls[i] = (struct pollfd){.fd = -1};
        if (cw_far_is(conns[i].check))
            continue;
        int fd = crew_conn_fd(conns[i]);
        if (fd < 0)
            return fd;
        polls[i] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    return 0;
}

static int wait_for_any(const crew_conn *conns, int count, bool *ready, double timeout,
                        struct pollfd *polls) {
    struct cw_deadline deadline = cw_deadline_in(timeout);
    int found = 0, rc = find_descriptors(conns, count, polls);
    const double most = any_far(conns, count) ? LOOK_FAR : LOOK_AGAIN;
    while (rc == 0 && found == 0) {
        found = look_at_all(conns, count, ready);
        if (found != 0 || cw_deadline_over(&deadline))
            break;
        double slice = cw_deadline_slice(&deadline);
        if (slice < 0 || slice > most)
            slice = most;
        if (poll(polls, (nfds_t)count, (int)(slice * 1e3) + 1) == 0 && slice == LOOK_AGAIN)
            cw_party_bury(cw_share_here());
    }
    return rc < 0 ? rc : found;
}

/* One that is another node's: a single question, however long it takes. */
static int wait_for_far(crew_conn conn, bool *ready, double timeout) {
    int rc = crew_conn_poll(conn, timeout);
    *ready = rc == 0;
    return rc == CREW_ETIMEDOUT ? 0 : rc < 0 ? rc : 1;
}

int crew_conn_wait(const crew_conn *conns, int count, bool *ready, double timeout) {
    if (count < 1 || !conns || !ready)
        return cw_error_set(NULL, CREW_EINVAL, 0, "%d ends to wait for, conns is %s, ready is %s",
                            count, conns ? "there" : "NULL", ready ? "there" : "NULL");
    bool one_far = count == 1 && cw_far_is(conns[0].check);
    int found = one_far ? wait_for_far(conns[0], ready, timeout)
                        : look_at_all(conns, count, ready);
    if (found == 0 && timeout != 0 && !one_far) {
        struct pollfd *polls = calloc((size_t)count, sizeof *polls);
        if (!polls)
            return cw_error_set(NULL, CREW_ENOMEM, 0, "no memory to wait for %d ends", count);
        found = wait_for_any(conns, count, ready, timeout, polls);
        free(polls);
    }
    if (found == 0)
        return cw_error_set(NULL, CREW_ETIMEDOUT, 0, "no message has come from any of %d", count);
    if (found > 0)
        cw_error_clear(NULL);
    return found;
}

/* ---- for processes that are given some ---- */

int cw_conns_check(const crew_conn *conns, int count, crew_error *err) {
    for (int i = 0; i < count; i++) {
        struct cw_conn c;
        int rc = find(conns[i], &c);
        if (rc < 0)
            rc = cw_far(CW_CALL_CONN_LOOK, conns[i].place, conns[i].check, 0);
        else if (cw_conn_look(&c) < 0)
            rc = tell(conns[i], &c, CREW_EINVAL, "");
        if (rc < 0)
            return cw_error_copy(err, crew_last_error());
    }
    return 0;
}

int cw_conns_take(const crew_conn *conns, int count) {
    for (int i = 0; i < count; i++) {
        struct cw_conn c;
        int rc = find(conns[i], &c);
        rc = rc == 0 ? cw_conn_own(&c, CREW_FOREVER)
                     : cw_far(CW_CALL_CONN_OWN, conns[i].place, conns[i].check, 0);
        if (rc < 0 && rc != CREW_EINVAL)
            return rc;
    }
    return cw_error_clear(NULL);
}
