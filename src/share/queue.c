/* Queues: putting, getting, and what a death in the middle of it leaves. */
#include "share/queue.h"

#include "base/error.h"
#include "os/futex.h"
#include "share/kinds.h"

#include <limits.h>
#include <string.h>

enum {
    N = CW_QUEUE_SLOTS,
    CHUNK = N * sizeof(struct cw_slot),
    /* About what it takes to be woken by the kernel. */
    SPIN_NS = 20000,
    /* Pauses between two looks. Who looks less often disturbs the other side less,
     * and finds several messages at once. */
    PAUSE_LEAST = 16,
    PAUSE_MOST = 32,
    /* How many slots ahead are fetched. */
    PUT_AHEAD = 2,
    GET_AHEAD = 4,
};

_Static_assert(sizeof(struct cw_slot) == 128, "two cache lines");
_Static_assert(sizeof(struct cw_queue) == 448, "seven cache lines");

/* Why nothing was put or taken now: never returned to callers. */
enum { NOT_NOW = 1 };

/* A bolt is held for less than a microsecond; longer by who is stopped. */
static const double PATIENCE = 0.05;

static uint64_t get(const _Atomic uint64_t *word) {
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* Release: in the order of the program, which is what a death leaves. */
static void set(_Atomic uint64_t *word, uint64_t value) {
    atomic_store_explicit(word, value, memory_order_release);
}

static struct cw_slot *chunk_at(const struct cw_share *share, cw_off at) {
    return (struct cw_slot *)(share->root.base + at);
}
static _Atomic uint64_t *next_of(const struct cw_share *share, cw_off chunk) {
    return &chunk_at(share, chunk)[0].link;
}
static _Atomic uint64_t *number_of(const struct cw_share *share, cw_off chunk) {
    return &chunk_at(share, chunk)[1].link;
}

/* The slots were last used on another processor: their lines take longer to come
 * than all the rest of a put or get. */
static void fetch_to_write(const struct cw_slot *slot) {
#if defined(__x86_64__)
    /* What __builtin_prefetch for writing gives on a plain x86-64 fetches for
     * reading, and the store waits for the line a second time. */
    __asm__ volatile("prefetchw %0" ::"m"(slot->size));
    __asm__ volatile("prefetchw %0" ::"m"(slot->bytes[64]));
#else
    __builtin_prefetch(&slot->size, 1);
    __builtin_prefetch(&slot->bytes[64], 1);
#endif
}
static void fetch_to_read(const struct cw_slot *slot) {
    __builtin_prefetch(&slot->size);
    __builtin_prefetch(&slot->bytes[64]);
}

static int acquire(struct cw_self *self, cw_bolt *bolt, uint64_t check, double timeout) {
    return cw_bolt_acquire(self, bolt, check,
                           timeout < 0 || timeout > PATIENCE ? timeout : PATIENCE);
}

/* Until the word is no longer as it was seen, for a while. */
static void linger(const _Atomic uint64_t *word, uint64_t seen) {
    int64_t start = 0;
    for (int pause = PAUSE_LEAST;; pause = pause < PAUSE_MOST ? 2 * pause : pause) {
        for (int i = 0; i < pause; i++)
            cw_relax();
        if (get(word) != seen)
            return;
        if (pause < PAUSE_MOST)
            continue;
        int64_t now = cw_now_ns();
        start = start ? start : now;
        if (now - start > SPIN_NS)
            return;
    }
}

/* ---- chunks: with the bolt of the putters ---- */

/* Takes the first chunk out of the list, which has a second one. */
static void detach_first(struct cw_share *share, struct cw_queue *q) {
    cw_off first = get(&q->first);
    set(&q->fresh, first);
    set(&q->first, get(next_of(share, first)));
}

/* Chunks that getters have left. Pairs with the release of whoever moved `here`:
 * its reads were before. */
static uint64_t drained(struct cw_share *share, struct cw_queue *q) {
    cw_off here = atomic_load_explicit(&q->here, memory_order_acquire);
    return get(number_of(share, here)) - get(number_of(share, get(&q->first)));
}

/* A queue that was long gives its memory back; of one that is in use it keeps a
 * few chunks. */
static uint64_t worth_keeping(struct cw_queue *q) {
    return 1 + (get(&q->tail) - get(&q->head)) / (4 * N);
}

static void give_back(struct cw_share *share, struct cw_queue *q) {
    for (uint64_t n = drained(share, q), keep = worth_keeping(q); n > keep; n--) {
        if (!get(&q->fresh))
            detach_first(share, q);
        cw_free_cell(&share->arena, &q->fresh);
    }
}

/* One more chunk at the end of the list. */
static int extend(struct cw_share *share, struct cw_queue *q, uint64_t number, crew_error *err) {
    give_back(share, q);
    if (!get(&q->fresh)) {
        if (drained(share, q) > 0)
            detach_first(share, q);
        else if (!cw_alloc(&share->arena, CHUNK, &q->fresh, err))
            return CREW_ENOMEM;
    }
    cw_off fresh = get(&q->fresh);
    set(next_of(share, fresh), 0);
    set(number_of(share, fresh), number);
    set(next_of(share, get(&q->last)), fresh);
    set(&q->last, fresh);
    set(&q->fresh, 0);
    return 0;
}

/* Whoever held the bolt is dead: what it had begun with the chunks is ended. */
static void settle(struct cw_share *share, struct cw_queue *q) {
    cw_off first = get(&q->first), last = get(&q->last), fresh = get(&q->fresh);
    if (!fresh)
        return;
    if (fresh == first) {
        set(&q->first, get(next_of(share, first)));
    } else if (last && get(next_of(share, last)) == fresh) {
        set(&q->last, fresh);
        set(&q->fresh, 0);
    } else if (last == fresh) {
        set(&q->fresh, 0);
    }
}

/* ---- producers ---- */

struct producer {
    _Atomic uint32_t *party;
    int left; /* in this block */
    _Atomic cw_off *more;
};

/* Steps to the next note of a producer; false at the end. Begins with {0}. */
static bool next_producer(const struct cw_share *share, struct cw_queue *q, struct producer *p) {
    if (!p->party) {
        *p = (struct producer){q->producer, CW_QUEUE_PRODUCERS, &q->more};
        return true;
    }
    p->party++;
    if (--p->left > 0)
        return true;
    /* Pairs with the release of the arena, which stored it: the block is zero. */
    cw_off more = atomic_load_explicit(p->more, memory_order_acquire);
    if (!more)
        return false;
    struct cw_producers *block = cw_ptr(&share->arena, more);
    *p = (struct producer){block->party, sizeof block->party / sizeof *block->party, &block->more};
    return true;
}

static _Atomic uint32_t *find_producer(const struct cw_share *share, struct cw_queue *q,
                                       uint32_t party) {
    for (struct producer p = {0}; next_producer(share, q, &p);)
        if (atomic_load_explicit(p.party, memory_order_acquire) == party)
            return p.party;
    return NULL;
}

static bool any_producer(const struct cw_share *share, struct cw_queue *q) {
    for (struct producer p = {0}; next_producer(share, q, &p);)
        if (atomic_load_explicit(p.party, memory_order_acquire))
            return true;
    return false;
}

/* With the bolt of the putters. A death between the two stores: see forget. */
static int note_producer(struct cw_share *share, struct cw_queue *q, crew_error *err) {
    if (find_producer(share, q, share->party))
        return 0;
    _Atomic uint32_t *place = find_producer(share, q, 0);
    if (!place) {
        struct producer p = {0};
        while (next_producer(share, q, &p))
            ;
        if (!cw_alloc_zero(&share->arena, sizeof(struct cw_producers), p.more, err))
            return CREW_ENOMEM;
        struct cw_producers *block = cw_ptr(&share->arena, get(p.more));
        place = block->party;
    }
    atomic_store_explicit(place, share->party, memory_order_release);
    atomic_store_explicit(&q->produced, 1, memory_order_release);
    return 0;
}

/* The party produces no more. Also by `bury`. */
static void forget_producer(struct cw_share *share, struct cw_queue *q, uint32_t party) {
    _Atomic uint32_t *note = find_producer(share, q, party);
    if (!note)
        return;
    atomic_store_explicit(&q->produced, 1, memory_order_release);
    /* Pairs with the acquire in any_producer: the messages it has put. */
    atomic_store_explicit(note, 0, memory_order_release);
    cw_gate_wake(&q->filled, INT_MAX);
}

/* No message will follow those that are there. */
static bool no_more(const struct cw_share *share, struct cw_queue *q) {
    /* Pairs with the release in cw_queue_close: the last tail. */
    if (atomic_load_explicit(&q->closed, memory_order_acquire))
        return true;
    return q->eof && atomic_load_explicit(&q->produced, memory_order_acquire) &&
           !any_producer(share, q);
}

/* ---- put ---- */

struct put {
    struct cw_self *self;
    struct cw_queue *q;
    uint64_t check;
    const void *data;
    size_t size;
    double timeout;
    crew_error *err;
    uint64_t seen; /* head, when there was no room */
};

static bool is_full(struct cw_queue *q) {
    uint64_t max = get(&q->max);
    return max && get(&q->tail) - get(&q->head) >= max;
}

/* The message lies in a block of the hand. */
static int pack(struct put *p) {
    struct cw_share *share = p->self->share;
    _Atomic cw_off *cell = &p->self->hand->block[CW_QUEUE_BLOCK_PUT];
    cw_off block = cw_alloc(&share->arena, p->size, cell, p->err);
    if (!block)
        return CREW_ENOMEM;
    memcpy(cw_ptr(&share->arena, block), p->data, p->size);
    return 0;
}

static void write_slot(struct put *p, struct cw_slot *slot, uint64_t tail) {
    struct cw_queue *q = p->q;
    slot->size = p->size;
    if (p->size <= CW_QUEUE_INLINE) {
        if (p->size)
            memcpy(slot->bytes, p->data, p->size);
        /* Pairs with the acquire in take: the slot, and the link to its chunk. */
        set(&q->tail, tail + 1);
        return;
    }
    _Atomic cw_off *cell = &p->self->hand->block[CW_QUEUE_BLOCK_PUT];
    set(&q->putting, tail + 1);
    set(&slot->block, get(cell));
    set(&q->tail, tail + 1);
    set(cell, 0);
    set(&q->putting, 0);
}

/* With the bolt. */
static int insert(struct put *p) {
    struct cw_queue *q = p->q;
    struct cw_share *share = p->self->share;
    if (!cw_object_same(&q->cell, p->check))
        return CREW_EINVAL;
    if (atomic_load_explicit(&q->closed, memory_order_relaxed))
        return CREW_ECLOSED;
    uint64_t tail = get(&q->tail), max = get(&q->max);
    if (max && tail - q->seen_head >= max) {
        q->seen_head = p->seen = get(&q->head);
        if (tail - q->seen_head >= max)
            return NOT_NOW;
    }
    int rc = q->eof ? note_producer(share, q, p->err) : 0;
    if (rc == 0 && tail % N == 0 && get(number_of(share, get(&q->last))) != tail / N)
        rc = extend(share, q, tail / N, p->err);
    if (rc < 0)
        return rc;
    struct cw_slot *slot = &chunk_at(share, get(&q->last))[tail % N];
    if (tail % N < N - PUT_AHEAD)
        fetch_to_write(&slot[PUT_AHEAD]);
    write_slot(p, slot, tail);
    return 0;
}

static int try_put(struct put *p) {
    struct cw_queue *q = p->q;
    if (p->size > CW_QUEUE_INLINE && !get(&p->self->hand->block[CW_QUEUE_BLOCK_PUT])) {
        p->seen = get(&q->head);
        if (is_full(q) && cw_object_same(&q->cell, p->check) && !atomic_load(&q->closed))
            return NOT_NOW; /* it need not be copied yet */
        int rc = pack(p);
        if (rc < 0)
            return rc;
    }
    int rc = acquire(p->self, &q->put, p->check, p->timeout);
    if (rc < 0)
        return rc;
    rc = insert(p);
    cw_bolt_release(p->self, &q->put, p->check);
    if (rc == 0)
        cw_gate_wake(&q->filled, 1);
    return rc;
}

static int put_patiently(struct put *p) {
    struct cw_queue *q = p->q;
    struct cw_deadline deadline = cw_deadline_in(p->timeout);
    int rc = NOT_NOW;
    if (p->timeout == 0)
        return CREW_ETIMEDOUT;
    if (atomic_load_explicit(&q->spins, memory_order_relaxed)) {
        linger(&q->head, p->seen);
        rc = try_put(p);
    }
    while (rc == NOT_NOW) {
        uint32_t turn = cw_gate_look(&q->room);
        rc = try_put(p);
        if (rc == NOT_NOW && !cw_gate_wait(p->self, &q->room, turn, &deadline))
            return CREW_ETIMEDOUT;
    }
    if (rc == CREW_ENOMEM) /* it was woken for room that it does not use */
        cw_gate_wake(&q->room, 1);
    return rc;
}

int cw_queue_put(struct cw_self *self, struct cw_queue *q, uint64_t check, const void *data,
                 size_t size, double timeout, crew_error *err) {
    struct put p = {self, q, check, data, size, timeout, err, 0};
    int rc = try_put(&p);
    if (rc == NOT_NOW)
        rc = put_patiently(&p);
    if (size > CW_QUEUE_INLINE && rc != 0)
        cw_free_cell(&self->share->arena, &self->hand->block[CW_QUEUE_BLOCK_PUT]);
    return rc;
}

/* ---- get ---- */

struct take {
    struct cw_self *self;
    struct cw_queue *q;
    uint64_t check;
    void *buf;
    size_t cap;
    double timeout;
    uint64_t size; /* the message's */
    uint64_t seen; /* tail, when there was none */
    bool crossed;  /* it was the first to leave a chunk */
};

/* With the bolt: whether there is a message; and why not. */
static int look(struct take *t, uint64_t head) {
    struct cw_queue *q = t->q;
    if (head != q->seen_tail)
        return 0;
    /* Pairs with the release in write_slot. */
    q->seen_tail = atomic_load_explicit(&q->tail, memory_order_acquire);
    if (head != q->seen_tail)
        return 0;
    bool over = no_more(t->self->share, q);
    /* Only now is it known what had been put before the end. */
    q->seen_tail = t->seen = atomic_load_explicit(&q->tail, memory_order_acquire);
    if (head != q->seen_tail)
        return 0;
    return over ? CREW_ECLOSED : NOT_NOW;
}

/* With the bolt: the slot of message `head`. */
static struct cw_slot *step_to(struct take *t, uint64_t head) {
    const struct cw_share *share = t->self->share;
    struct cw_queue *q = t->q;
    if (head % N == 0 && get(number_of(share, get(&q->here))) != head / N) {
        /* Pairs with the acquire in `drained`: nobody reads the old one any more. */
        set(&q->here, get(next_of(share, get(&q->here))));
        t->crossed = true;
    }
    return &chunk_at(share, get(&q->here))[head % N];
}

/* With the bolt. A long message is then the hand's block. */
static int take(struct take *t) {
    struct cw_queue *q = t->q;
    if (!cw_object_same(&q->cell, t->check))
        return CREW_EINVAL;
    uint64_t head = get(&q->head);
    int rc = look(t, head);
    if (rc)
        return rc;
    struct cw_slot *slot = step_to(t, head);
    /* What is not put yet would be fetched from under the putter's hands. */
    if (head % N < N - GET_AHEAD && head + GET_AHEAD < q->seen_tail)
        fetch_to_read(&slot[GET_AHEAD]);
    t->size = slot->size;
    if (t->size > t->cap)
        return CREW_ETOOSMALL;
    if (t->size <= CW_QUEUE_INLINE) {
        if (t->size && t->buf)
            memcpy(t->buf, slot->bytes, t->size);
        set(&q->head, head + 1);
        return 0;
    }
    set(&q->taking, head + 1);
    set(&t->self->hand->block[CW_QUEUE_BLOCK_GET], get(&slot->block));
    set(&q->head, head + 1);
    set(&q->taking, 0);
    return 0;
}

/* Memory that a queue no longer needs, if no putter is about to use it. */
static void tidy(struct take *t) {
    struct cw_queue *q = t->q;
    if (cw_bolt_acquire(t->self, &q->put, t->check, 0) < 0)
        return;
    if (cw_object_same(&q->cell, t->check))
        give_back(t->self->share, q);
    cw_bolt_release(t->self, &q->put, t->check);
}

static int try_take(struct take *t) {
    struct cw_queue *q = t->q;
    int rc = acquire(t->self, &q->get, t->check, t->timeout);
    if (rc < 0)
        return rc;
    rc = take(t);
    bool bounded = get(&q->max);
    cw_bolt_release(t->self, &q->get, t->check);
    if (rc < 0 || rc == NOT_NOW)
        return rc;
    if (bounded)
        cw_gate_wake(&q->room, 1);
    if (t->crossed)
        tidy(t);
    return 0;
}

static int take_patiently(struct take *t) {
    struct cw_queue *q = t->q;
    struct cw_deadline deadline = cw_deadline_in(t->timeout);
    int rc = NOT_NOW;
    if (t->timeout == 0)
        return CREW_ETIMEDOUT;
    if (atomic_load_explicit(&q->spins, memory_order_relaxed)) {
        linger(&q->tail, t->seen);
        rc = try_take(t);
    }
    while (rc == NOT_NOW) {
        uint32_t turn = cw_gate_look(&q->filled);
        rc = try_take(t);
        if (rc == NOT_NOW && !cw_gate_wait(t->self, &q->filled, turn, &deadline))
            return CREW_ETIMEDOUT;
    }
    return rc;
}

/* The hand's block, outside of the bolt. */
static void unpack(struct take *t) {
    struct cw_share *share = t->self->share;
    _Atomic cw_off *cell = &t->self->hand->block[CW_QUEUE_BLOCK_GET];
    if (t->buf)
        memcpy(t->buf, cw_ptr(&share->arena, get(cell)), t->size);
    cw_free_cell(&share->arena, cell);
}

int cw_queue_get(struct cw_self *self, struct cw_queue *q, uint64_t check, void *buf, size_t cap,
                 double timeout, size_t *size) {
    struct take t = {.self = self, .q = q, .check = check, .buf = buf, .cap = cap,
                     .timeout = timeout};
    int rc = try_take(&t);
    if (rc == NOT_NOW)
        rc = take_patiently(&t);
    if (rc == 0 && t.size > CW_QUEUE_INLINE)
        unpack(&t);
    if (rc == CREW_ETOOSMALL) /* it was woken for a message and leaves it: another's turn */
        cw_gate_wake(&q->filled, 1);
    *size = t.size;
    return rc;
}

/* ---- the rest ---- */

int cw_queue_close(struct cw_self *self, struct cw_queue *q, uint64_t check) {
    if (cw_bolt_acquire(self, &q->put, check, -1) < 0)
        return CREW_EINVAL;
    bool same = cw_object_same(&q->cell, check);
    if (same)
        /* With the bolt, so that no put succeeds after it. Pairs with no_more. */
        atomic_store_explicit(&q->closed, 1, memory_order_release);
    cw_bolt_release(self, &q->put, check);
    cw_gate_wake(&q->filled, INT_MAX);
    cw_gate_wake(&q->room, INT_MAX);
    return same ? 0 : CREW_EINVAL;
}

int cw_queue_produce(struct cw_self *self, struct cw_queue *q, uint64_t check, crew_error *err) {
    int rc = cw_bolt_acquire(self, &q->put, check, -1);
    if (rc < 0)
        return rc;
    rc = CREW_EINVAL;
    if (cw_object_same(&q->cell, check))
        rc = q->eof ? note_producer(self->share, q, err) : 0;
    cw_bolt_release(self, &q->put, check);
    return rc;
}

int cw_queue_leave(struct cw_self *self, struct cw_queue *q, uint64_t check) {
    if (cw_bolt_acquire(self, &q->put, check, -1) < 0)
        return CREW_EINVAL;
    bool same = cw_object_same(&q->cell, check);
    if (same)
        forget_producer(self->share, q, self->share->party);
    cw_bolt_release(self, &q->put, check);
    return same ? 0 : CREW_EINVAL;
}

int cw_queue_task_done(struct cw_self *self, struct cw_queue *q, uint64_t check) {
    if (cw_bolt_acquire(self, &q->get, check, -1) < 0)
        return CREW_EINVAL;
    bool same = cw_object_same(&q->cell, check);
    uint64_t done = get(&q->done), tail = get(&q->tail);
    if (same && done != tail)
        /* Release: who joins sees what was done. */
        set(&q->done, done + 1);
    cw_bolt_release(self, &q->get, check);
    if (!same)
        return CREW_EINVAL;
    if (done == tail)
        return CREW_EPERM;
    if (done + 1 == tail)
        cw_gate_wake(&q->finished, INT_MAX);
    return 0;
}

int cw_queue_join(struct cw_self *self, struct cw_queue *q, uint64_t check, double timeout) {
    struct cw_deadline deadline = cw_deadline_in(timeout);
    for (;;) {
        uint32_t turn = cw_gate_look(&q->finished);
        /* In this order: done never exceeds tail. */
        uint64_t tail = atomic_load_explicit(&q->tail, memory_order_acquire);
        bool all = atomic_load_explicit(&q->done, memory_order_acquire) == tail;
        if (!cw_object_same(&q->cell, check))
            return CREW_EINVAL;
        if (all)
            return 0;
        if (!cw_gate_wait(self, &q->finished, turn, &deadline))
            return CREW_ETIMEDOUT;
    }
}

/* ---- made and ended ---- */

int cw_queue_init(struct cw_share *share, struct cw_head *cell, void *opts, crew_error *err) {
    const struct cw_queue_opts *o = opts;
    struct cw_queue *q = (struct cw_queue *)cell;
    set(&q->max, o->max);
    q->eof = o->eof;
    atomic_store_explicit(&q->spins, o->spins, memory_order_relaxed);
    cw_off fresh = cw_alloc(&share->arena, CHUNK, &q->fresh, err);
    if (!fresh)
        return CREW_ENOMEM;
    set(next_of(share, fresh), 0);
    /* Counters go on from one queue of the cell to the next. */
    set(number_of(share, fresh), get(&q->tail) / N);
    set(&q->first, fresh);
    set(&q->last, fresh);
    set(&q->here, fresh);
    set(&q->fresh, 0);
    return 0;
}

int cw_queue_end(struct cw_self *self, struct cw_queue *q, uint64_t check) {
    struct take t = {.self = self, .q = q, .check = check, .cap = SIZE_MAX};
    if (cw_bolt_acquire(self, &q->put, check, -1) < 0)
        return CREW_EINVAL;
    if (cw_object_same(&q->cell, check) && cw_bolt_acquire(self, &q->get, check, -1) == 0) {
        while (take(&t) == 0)
            if (t.size > CW_QUEUE_INLINE)
                unpack(&t);
        return 0;
    }
    cw_bolt_release(self, &q->put, check);
    return CREW_EINVAL;
}

/* Also of a queue that was never made to its end, or that somebody died while
 * scrubbing: each step leaves what the next time finds its way through. */
static void scrub(struct cw_share *share, struct cw_head *cell) {
    struct cw_queue *q = (struct cw_queue *)cell;
    struct take t = {.self = &(struct cw_self){.share = share}, .q = q};
    settle(share, q);
    for (uint64_t head; (head = get(&q->head)) != get(&q->tail); set(&q->head, head + 1)) {
        struct cw_slot *slot = step_to(&t, head);
        if (slot->size > CW_QUEUE_INLINE)
            cw_free_cell(&share->arena, &slot->block);
    }
    set(&q->last, 0); /* `settle` looks at it no more */
    cw_free_cell(&share->arena, &q->fresh);
    while (get(&q->first)) {
        detach_first(share, q);
        cw_free_cell(&share->arena, &q->fresh);
    }
    for (struct producer p = {0}; next_producer(share, q, &p);)
        atomic_store(p.party, 0);
    set(&q->here, 0);
    atomic_store(&q->closed, 0);
    atomic_store(&q->produced, 0);
    q->seen_head = q->seen_tail = get(&q->tail);
    set(&q->done, get(&q->tail));
    set(&q->putting, 0);
    set(&q->taking, 0);
}

static void turn(struct cw_head *cell, uint32_t generation) {
    struct cw_queue *q = (struct cw_queue *)cell;
    cw_bolt_turn(&q->put, generation);
    cw_bolt_turn(&q->get, generation);
}

static void wake(struct cw_share *share, struct cw_head *cell) {
    struct cw_queue *q = (struct cw_queue *)cell;
    (void)share;
    cw_gate_open(&q->filled, INT_MAX);
    cw_gate_open(&q->room, INT_MAX);
    cw_gate_open(&q->finished, INT_MAX);
}

/* ---- burial ---- */

static void bury(struct cw_share *share, struct cw_head *cell, uint32_t party) {
    struct cw_queue *q = (struct cw_queue *)cell;
    if (cw_bolt_is_of(share, &q->put, party)) {
        struct cw_hand *hand = cw_hand_at(share, cw_bolt_holder(&q->put) - 1);
        if (get(&q->putting)) {
            if (get(&q->tail) >= get(&q->putting))
                set(&hand->block[CW_QUEUE_BLOCK_PUT], 0);
            set(&q->putting, 0);
        }
        settle(share, q);
        cw_bolt_bury(share, &q->put, party, false);
    }
    if (cw_bolt_is_of(share, &q->get, party)) {
        struct cw_hand *hand = cw_hand_at(share, cw_bolt_holder(&q->get) - 1);
        if (get(&q->taking)) {
            if (get(&q->head) < get(&q->taking))
                set(&hand->block[CW_QUEUE_BLOCK_GET], 0);
            set(&q->taking, 0);
        }
        cw_bolt_bury(share, &q->get, party, false);
    }
    forget_producer(share, q, party);
    cw_gate_bury(&q->filled);
    cw_gate_bury(&q->room);
    cw_gate_bury(&q->finished);
}

const struct cw_kind cw_kind_queue = {.name = "queue",
                                      .bytes = sizeof(struct cw_queue),
                                      .scrub = scrub,
                                      .turn = turn,
                                      .bury = bury,
                                      .wake = wake};
