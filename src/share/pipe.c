/* Messages through a pipe. */
#include "share/pipe.h"

#include "base/error.h"
#include "os/futex.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* How long one spins before it sleeps: see SPIN_NS in team/member.c. Where that has
 * been in vain of late, since the far side has no core to run on, a sixteenth: an
 * answer of one that is awake still comes in that time. At times the whole: one that
 * was asleep wakes up in that time, and both stay awake from then on. */
enum { SPIN_NS = 20000, SPINS_PER_LOOK = 32, MISSES_MOST = 4, WHOLE_EVERY = 32 };

/* A record's first word: the message's size, and what follows. */
enum { WORD = 8, KIND_SHIFT = 56 };
enum { INLINE = 1, BLOCK, END_OF_FILE };
#define NOTHING UINT64_MAX

enum { AGAIN = -100, NO_BLOCK }; /* results of a try that are no codes */

_Static_assert(CW_PIPE_INLINE + 4 * WORD <= CW_PIPE_RING, "the longest record fits");

static uint64_t rounded(uint64_t size) {
    return (size + WORD - 1) & ~(uint64_t)(WORD - 1);
}

static char *ring_of(const struct cw_conn *c, int flow) {
    return c->self->share->root.base +
           atomic_load_explicit(&c->pipe->ring[flow], memory_order_relaxed);
}

static uint64_t *word_at(char *ring, uint64_t at) {
    return (uint64_t *)(void *)(ring + at % CW_PIPE_RING);
}

static void put_bytes(char *ring, uint64_t at, const void *from, size_t size) {
    size_t begin = at % CW_PIPE_RING, first = CW_PIPE_RING - begin;
    first = size < first ? size : first;
    if (first)
        memcpy(ring + begin, from, first);
    if (size > first)
        memcpy(ring, (const char *)from + first, size - first);
}

static void take_bytes(const char *ring, uint64_t at, void *to, size_t size) {
    size_t begin = at % CW_PIPE_RING, first = CW_PIPE_RING - begin;
    first = size < first ? size : first;
    if (first)
        memcpy(to, ring + begin, first);
    if (size > first)
        memcpy((char *)to + first, ring, size - first);
}

/* ---- waiting ---- */

/* What a sender waits for: anything to have been taken since it saw `tail`. */
static int look_for_room(const struct cw_conn *c, uint64_t tail) {
    uint64_t owners = atomic_load_explicit(&c->pipe->owners, memory_order_acquire);
    if (!cw_object_same(&c->pipe->head, c->check) || cw_end_closed(cw_end_of(owners, c->end)))
        return CREW_EINVAL;
    return cw_end_gone(cw_end_of(owners, !c->end)) ||
           atomic_load_explicit(&c->pipe->flow[!c->end].take.tail, memory_order_acquire) != tail;
}

int cw_conn_look(const struct cw_conn *c) {
    struct cw_pipe *pipe = c->pipe;
    /* The owners first: pairs with the release in bury. Who is gone has sent all it
     * ever will, so that an empty ring is the end then. */
    uint64_t owners = atomic_load_explicit(&pipe->owners, memory_order_acquire);
    if (!cw_object_same(&pipe->head, c->check) || cw_end_closed(cw_end_of(owners, c->end)))
        return CREW_EINVAL;
    uint32_t far = cw_end_of(owners, !c->end);
    const struct cw_flow *flow = &pipe->flow[c->end];
    return atomic_load_explicit(&flow->put.head, memory_order_acquire) !=
               atomic_load_explicit(&flow->take.tail, memory_order_relaxed) ||
           cw_end_gone(far) || far & CW_END_NEWS;
}

struct wait {
    const struct cw_conn *conn;
    bool sends;
    uint64_t tail;
    cw_gate *gate;
    bool timed; /* the deadline has been set: the clock is asked as late as can be */
    double timeout;
    struct cw_deadline deadline;
};

static int look(const struct wait *w) {
    return w->sends ? look_for_room(w->conn, w->tail) : cw_conn_look(w->conn);
}

static int spin(const struct wait *w) {
    static _Thread_local unsigned misses, turn;
    int64_t now = cw_now_ns(), long_ns = ++turn % WHOLE_EVERY ? SPIN_NS >> misses : SPIN_NS;
    if (w->timeout >= 0 && w->timeout * 1e9 < (double)long_ns)
        long_ns = (int64_t)(w->timeout * 1e9);
    int64_t end = now + long_ns;
    int found = 0;
    do
        for (int i = 0; i < SPINS_PER_LOOK && !found; i++) {
            found = look(w);
            cw_relax();
        }
    while (!found && cw_now_ns() < end);
    if (found)
        misses = 0;
    else if (misses < MISSES_MOST)
        misses++;
    return found;
}

/* 0: what it waits for is there; CREW_EINVAL; CREW_ETIMEDOUT. */
static int await(struct wait *w) {
    int found = look(w);
    if (w->timeout == 0)
        return found < 0 ? found : found ? 0 : CREW_ETIMEDOUT;
    if (!w->timed)
        w->deadline = cw_deadline_in(w->timeout);
    else if (cw_deadline_over(&w->deadline))
        return CREW_ETIMEDOUT;
    w->timed = true;
    if (!found && w->conn->pipe->spins)
        found = spin(w);
    while (!found) {
        uint32_t seen = cw_gate_look(w->gate);
        if (!(found = look(w)) && !cw_gate_wait(w->conn->self, w->gate, seen, &w->deadline))
            return CREW_ETIMEDOUT;
    }
    return found < 0 ? found : 0;
}

/* ---- sending ---- */

/* Bytes in blocks that wait in the flow: those of records from tail on. Only who
 * holds put.bolt writes records, so those taken meanwhile can still be read. */
static uint64_t bytes_ahead(char *ring, uint64_t tail, uint64_t head) {
    uint64_t bytes = 0;
    while (tail != head) {
        uint64_t word = *word_at(ring, tail), kind = word >> KIND_SHIFT;
        uint64_t size = word & (((uint64_t)1 << KIND_SHIFT) - 1);
        bytes += kind == BLOCK ? size : 0;
        tail += WORD + (kind == INLINE ? rounded(size) : kind == BLOCK ? WORD : 0);
    }
    return bytes;
}

static void write_word(char *ring, uint64_t at, uint64_t kind, uint64_t size) {
    *word_at(ring, at) = kind << KIND_SHIFT | size;
}

/* If an owner of this end died and the far side has not read that, it reads it
 * before what is sent now: true. One compare and swap, so that it is read once. If
 * this process dies before the record is sent there is news again. */
static bool claim_news(const struct cw_conn *c) {
    uint64_t owners = atomic_load_explicit(&c->pipe->owners, memory_order_relaxed);
    for (;;) {
        uint32_t mine = cw_end_of(owners, c->end);
        if (!(mine & CW_END_NEWS))
            return false;
        if (atomic_compare_exchange_weak(&c->pipe->owners, &owners,
                                         cw_end_with(owners, c->end, mine & ~CW_END_NEWS)))
            return true;
    }
}

/* With put.bolt, and room for it. */
static void write_record(const struct cw_conn *c, const void *data, size_t size) {
    struct cw_flow *flow = &c->pipe->flow[!c->end];
    char *ring = ring_of(c, !c->end);
    uint64_t at = atomic_load_explicit(&flow->put.head, memory_order_relaxed);
    if (claim_news(c)) {
        write_word(ring, at, END_OF_FILE, 0);
        at += WORD;
    }
    if (size <= CW_PIPE_INLINE) {
        write_word(ring, at, INLINE, size);
        put_bytes(ring, at + WORD, data, size);
        /* Pairs with the acquire in cw_conn_look and try_take: the record. */
        atomic_store_explicit(&flow->put.head, at + WORD + rounded(size), memory_order_release);
        return;
    }
    _Atomic cw_off *block = &c->self->hand->block[0];
    atomic_store_explicit(&flow->put.at, at, memory_order_release);
    write_word(ring, at, BLOCK, size);
    *word_at(ring, at + WORD) = atomic_load_explicit(block, memory_order_relaxed);
    atomic_store_explicit(&flow->put.head, at + 2 * WORD, memory_order_release);
    /* The ring's from here on: see unhold in pipe_end.c. */
    atomic_store_explicit(block, 0, memory_order_release);
    atomic_store_explicit(&flow->put.at, NOTHING, memory_order_release);
}

static bool has_room(const struct cw_conn *c, size_t size, uint64_t *seen) {
    struct cw_flow *flow = &c->pipe->flow[!c->end];
    /* Room for the record of an end-of-file too. */
    uint64_t need = 2 * WORD + (size <= CW_PIPE_INLINE ? rounded(size) : WORD);
    uint64_t head = atomic_load_explicit(&flow->put.head, memory_order_relaxed);
    if (size > CW_PIPE_INLINE || head - flow->put.tail_seen + need > CW_PIPE_RING)
        /* Pairs with the release in advance: what was there has been read. */
        flow->put.tail_seen = atomic_load_explicit(&flow->take.tail, memory_order_acquire);
    *seen = flow->put.tail_seen;
    if (head - *seen + need > CW_PIPE_RING)
        return false;
    if (size <= CW_PIPE_INLINE)
        return true;
    uint64_t ahead = bytes_ahead(ring_of(c, !c->end), *seen, head);
    return ahead == 0 || (ahead < CW_PIPE_AHEAD && size <= CW_PIPE_AHEAD - ahead);
}

/* With put.bolt. 0, a code, AGAIN: no room since `seen`, NO_BLOCK. */
static int try_put(const struct cw_conn *c, const void *data, size_t size, uint64_t *seen,
                   crew_error *err) {
    struct cw_pipe *pipe = c->pipe;
    int far = !c->end;
    uint64_t owners = atomic_load_explicit(&pipe->owners, memory_order_acquire);
    if (cw_end_gone(cw_end_of(owners, far)))
        return CREW_ECLOSED;
    if (!atomic_load_explicit(&pipe->ring[far], memory_order_relaxed) &&
        !cw_alloc(&c->self->share->arena, CW_PIPE_RING, &pipe->ring[far], err))
        return CREW_ENOMEM;
    if (!has_room(c, size, seen))
        return AGAIN;
    if (size > CW_PIPE_INLINE &&
        !atomic_load_explicit(&c->self->hand->block[0], memory_order_relaxed))
        return NO_BLOCK;
    write_record(c, data, size);
    cw_gate_wake(&pipe->data[far], INT_MAX);
    cw_note_poke(pipe, far);
    return 0;
}

int cw_conn_send(const struct cw_conn *c, const void *data, size_t size, double timeout,
                 crew_error *err) {
    if (!cw_conn_sends(c))
        return CREW_EPERM;
    struct cw_arena *arena = &c->self->share->arena;
    _Atomic cw_off *block = &c->self->hand->block[0];
    struct wait w = {
        .conn = c, .sends = true, .gate = &c->pipe->room[!c->end], .timeout = timeout};
    cw_bolt *bolt = &c->pipe->flow[!c->end].put.bolt;
    int rc;
    do {
        if ((rc = cw_conn_enter(c, bolt, timeout)) < 0)
            break;
        rc = try_put(c, data, size, &w.tail, err);
        cw_bolt_release(c->self, bolt, c->check);
        if (rc == AGAIN) {
            if ((rc = await(&w)) == 0)
                rc = AGAIN;
        } else if (rc == NO_BLOCK) {
            /* Copied without the bolt: others may send meanwhile. */
            if (cw_alloc(arena, size, block, err))
                memcpy(cw_ptr(arena, atomic_load(block)), data, size);
            else
                rc = CREW_ENOMEM;
        }
    } while (rc == AGAIN || rc == NO_BLOCK);
    if (atomic_load_explicit(block, memory_order_relaxed))
        cw_free_cell(arena, block);
    return rc;
}

/* ---- receiving ---- */

/* One store: the message is taken. */
static void advance(struct cw_pipe *pipe, int end, uint64_t tail) {
    /* Pairs with the acquire in has_room. */
    atomic_store_explicit(&pipe->flow[end].take.tail, tail, memory_order_release);
    cw_gate_wake(&pipe->room[end], INT_MAX);
}

/* The block of the record at tail becomes the hand's. */
static void take_block(const struct cw_conn *c, uint64_t tail) {
    struct cw_flow *flow = &c->pipe->flow[c->end];
    atomic_store_explicit(&flow->take.at, tail, memory_order_release);
    atomic_store_explicit(&c->self->hand->block[0], *word_at(ring_of(c, c->end), tail + WORD),
                          memory_order_release);
    advance(c->pipe, c->end, tail + 2 * WORD);
    atomic_store_explicit(&flow->take.at, NOTHING, memory_order_release);
}

/* The flow is empty. */
static int find_nothing(const struct cw_conn *c) {
    uint64_t owners = atomic_load_explicit(&c->pipe->owners, memory_order_acquire);
    uint32_t far = cw_end_of(owners, !c->end);
    const struct cw_flow *flow = &c->pipe->flow[c->end];
    if (atomic_load_explicit(&flow->put.head, memory_order_acquire) !=
        atomic_load_explicit(&flow->take.tail, memory_order_relaxed))
        return AGAIN; /* it was sent before the owner of the far end was gone */
    if (far & CW_END_NEWS) {
        if (!atomic_compare_exchange_strong(&c->pipe->owners, &owners,
                                            cw_end_with(owners, !c->end, far & ~CW_END_NEWS)))
            return AGAIN;
    } else if (!cw_end_gone(far)) {
        cw_note_settle(c, true);
        return AGAIN;
    }
    cw_note_settle(c, false);
    return CREW_ECLOSED;
}

static int provide(struct cw_sink *sink, size_t size) {
    sink->size = size;
    if (!sink->alloc)
        return size > sink->cap ? CREW_ETOOSMALL : 0;
    sink->buf = size ? malloc(size) : NULL;
    return size && !sink->buf ? CREW_ENOMEM : 0;
}

/* With take.bolt. 0, a code, or AGAIN. */
static int try_take(const struct cw_conn *c, struct cw_sink *sink) {
    const struct cw_flow *flow = &c->pipe->flow[c->end];
    uint64_t tail = atomic_load_explicit(&flow->take.tail, memory_order_relaxed);
    /* Pairs with the release in write_record. */
    if (atomic_load_explicit(&flow->put.head, memory_order_acquire) == tail)
        return find_nothing(c);
    char *ring = ring_of(c, c->end);
    uint64_t word = *word_at(ring, tail), kind = word >> KIND_SHIFT;
    uint64_t size = word & (((uint64_t)1 << KIND_SHIFT) - 1);
    int rc = kind == END_OF_FILE ? CREW_ECLOSED : provide(sink, size);
    if (rc < 0 && rc != CREW_ECLOSED)
        return rc;
    if (kind == BLOCK) {
        take_block(c, tail);
    } else {
        if (kind == INLINE)
            take_bytes(ring, tail + WORD, sink->buf, size);
        advance(c->pipe, c->end, tail + WORD + rounded(size));
    }
    cw_note_settle(c, false);
    return rc;
}

int cw_conn_recv(const struct cw_conn *c, struct cw_sink *sink, double timeout) {
    if (!cw_conn_receives(c))
        return CREW_EPERM;
    struct wait w = {.conn = c, .gate = &c->pipe->data[c->end], .timeout = timeout};
    cw_bolt *bolt = &c->pipe->flow[c->end].take.bolt;
    for (;;) {
        int rc = cw_conn_enter(c, bolt, timeout);
        if (rc < 0)
            return rc;
        rc = try_take(c, sink);
        cw_bolt_release(c->self, bolt, c->check);
        _Atomic cw_off *block = &c->self->hand->block[0];
        cw_off off = atomic_load_explicit(block, memory_order_relaxed);
        if (off) {
            struct cw_arena *arena = &c->self->share->arena;
            memcpy(sink->buf, cw_ptr(arena, off), sink->size);
            cw_free_cell(arena, block);
        }
        if (rc != AGAIN)
            return rc;
        if ((rc = await(&w)) < 0)
            return rc;
    }
}

int cw_conn_poll(const struct cw_conn *c, double timeout) {
    if (!cw_conn_receives(c))
        return CREW_EPERM;
    struct wait w = {.conn = c, .gate = &c->pipe->data[c->end], .timeout = timeout};
    cw_bolt *bolt = &c->pipe->flow[c->end].take.bolt;
    int rc = cw_conn_enter(c, bolt, timeout);
    if (rc < 0)
        return rc;
    int found = cw_conn_look(c);
    if (!found)
        cw_note_settle(c, true);
    cw_bolt_release(c->self, bolt, c->check);
    return found < 0 ? found : found ? 0 : await(&w);
}

void cw_conn_drain(const struct cw_conn *c) {
    struct cw_arena *arena = &c->self->share->arena;
    struct cw_flow *flow = &c->pipe->flow[c->end];
    uint64_t tail = atomic_load_explicit(&flow->take.tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&flow->put.head, memory_order_acquire);
    while (tail != head) {
        uint64_t word = *word_at(ring_of(c, c->end), tail), kind = word >> KIND_SHIFT;
        uint64_t size = word & (((uint64_t)1 << KIND_SHIFT) - 1);
        if (kind == BLOCK) {
            take_block(c, tail);
            cw_free_cell(arena, &c->self->hand->block[0]);
        } else {
            advance(c->pipe, c->end, tail + WORD + rounded(size));
        }
        tail = atomic_load_explicit(&flow->take.tail, memory_order_relaxed);
    }
}

void cw_flow_scrub(struct cw_share *share, struct cw_pipe *pipe, int end) {
    struct cw_flow *flow = &pipe->flow[end];
    char *ring = cw_ptr(&share->arena, atomic_load(&pipe->ring[end]));
    uint64_t head = atomic_load(&flow->put.head), at = atomic_load(&flow->take.tail);
    while (ring && at != head) {
        uint64_t word = *word_at(ring, at), kind = word >> KIND_SHIFT;
        uint64_t size = word & (((uint64_t)1 << KIND_SHIFT) - 1);
        if (kind == BLOCK) /* frees it once, also if it is begun anew */
            cw_free_cell(&share->arena, (_Atomic cw_off *)(void *)word_at(ring, at + WORD));
        at += WORD + (kind == INLINE ? rounded(size) : kind == BLOCK ? WORD : 0);
    }
    cw_free_cell(&share->arena, &pipe->ring[end]);
    atomic_store(&flow->take.tail, 0);
    atomic_store(&flow->put.head, 0);
    flow->put.tail_seen = 0;
}

/* With the hand that died holding a bolt of the flow: whose block is it? */
static void settle_put(struct cw_share *share, struct cw_pipe *pipe, int end, uint32_t hand) {
    struct cw_flow *flow = &pipe->flow[end];
    _Atomic cw_off *block = &cw_hand_at(share, hand)->block[0];
    char *ring = cw_ptr(&share->arena, atomic_load(&pipe->ring[end]));
    uint64_t at = atomic_load(&flow->put.at);
    if (ring && at != NOTHING && atomic_load(&flow->put.head) > at &&
        *word_at(ring, at + WORD) == atomic_load(block))
        atomic_store(block, 0);
    atomic_store(&flow->put.at, NOTHING);
}

static void settle_take(struct cw_share *share, struct cw_pipe *pipe, int end, uint32_t hand) {
    struct cw_flow *flow = &pipe->flow[end];
    uint64_t at = atomic_load(&flow->take.at);
    if (at != NOTHING && atomic_load(&flow->take.tail) == at)
        atomic_store(&cw_hand_at(share, hand)->block[0], 0);
    atomic_store(&flow->take.at, NOTHING);
}

void cw_flow_bury(struct cw_share *share, struct cw_pipe *pipe, int end, uint32_t party) {
    struct cw_flow *flow = &pipe->flow[end];
    if (cw_bolt_is_of(share, &flow->put.bolt, party)) {
        settle_put(share, pipe, end, cw_bolt_holder(&flow->put.bolt) - 1);
        cw_bolt_bury(share, &flow->put.bolt, party, false);
    }
    if (cw_bolt_is_of(share, &flow->take.bolt, party)) {
        settle_take(share, pipe, end, cw_bolt_holder(&flow->take.bolt) - 1);
        cw_bolt_bury(share, &flow->take.bolt, party, false);
    }
}
