/* share/queue.h - messages from any process to any other, in order.
 *
 * A list of chunks of slots, linked by offsets. Putters hold one bolt, getters
 * another; head and tail count the messages taken and put since the beginning.
 * A short message lies in its slot, a longer one in an arena block that was
 * filled before the bolt was taken, and is copied out after it was let go.
 *
 *     first ─> … ─> here ─> … ─> last        fresh: a chunk on its way in or out
 *       drained    │head      tail│
 *
 * A put is done with the store of tail, a get with that of head. Chunks belong to
 * the putters' bolt: whoever needs one takes the first that the getters have
 * left; a getter only moves `here` on, from which everything before is drained.
 *
 * | word                         | written by                                  |
 * |------------------------------|---------------------------------------------|
 * | max, eof, spins              | whoever makes the queue                     |
 * | closed, producers            | the holder of `put`; producers also `bury`  |
 * | tail, last, first, fresh,    | the holder of `put`                         |
 * | putting, seen_head, links    |                                             |
 * | head, here, taking,          | the holder of `get`                         |
 * | seen_tail, done              |                                             |
 * | a slot at or after tail      | the holder of `put`                         |
 *
 * What a death between two stores leaves, and what `bury` makes of it while the
 * bolt still names the dead hand (the model queue.pml dies at each of them):
 *
 * | after                        | is left                    | bury           |
 * |------------------------------|----------------------------|----------------|
 * | (put) the block's allocation | the hand's block           | frees it       |
 * | fresh = first                | in the list and fresh      | first = next   |
 * | first = next                 | a spare chunk              | it stays one   |
 * | last's link = fresh          | a chunk after the last     | last = fresh   |
 * | last = fresh                 | fresh is no longer spare   | fresh = 0      |
 * | putting = tail + 1, block in | the hand's block           | frees it       |
 * | the slot                     |                            |                |
 * | tail + 1                     | the queue's block, named   | clears the     |
 * |                              | by the hand as well        | hand's cell    |
 * | (get) taking = head + 1,     | the queue's block, named   | clears the     |
 * | block in the hand's cell     | by the hand as well        | hand's cell    |
 * | head + 1                     | the hand's block           | frees it       |
 *
 * So a put that was cut off has not happened; a get has happened once head says
 * so, and what it took dies with it.
 *
 * Whoever destroys a queue holds both bolts: who holds one and sees the generation
 * it came for can count on the queue until it lets go.
 *
 * Lock order: put, then get (a getter only tries `put`). With a bolt held only
 * the arena's lock is taken. */
#ifndef CW_SHARE_QUEUE_H
#define CW_SHARE_QUEUE_H

#include "share/bolt.h"
#include "share/gate.h"

enum {
    CW_QUEUE_SLOTS = 64,   /* in a chunk */
    CW_QUEUE_INLINE = 112, /* bytes that lie in the slot */
    CW_QUEUE_PRODUCERS = 4 /* that are noted in the cell itself */
};

/* Blocks of a hand on their way: see cw_hand.block. */
enum { CW_QUEUE_BLOCK_PUT, CW_QUEUE_BLOCK_GET };

struct cw_slot {
    uint64_t size;
    _Atomic uint64_t link; /* in a chunk's first slot: offset of the next chunk, 0: none;
                              in its second: the chunk's number, from 0 */
    union {
        char bytes[CW_QUEUE_INLINE];
        _Atomic cw_off block; /* of a message that is longer */
    };
};

/* More parties that are producers. Lasts as long as the cell. */
struct cw_producers {
    _Atomic cw_off more;
    _Atomic uint32_t party[30]; /* 0: free */
};

struct cw_queue {
    struct cw_head cell;
    _Atomic uint64_t max; /* messages; 0: any number */
    bool eof;
    _Atomic bool spins; /* before it sleeps */
    _Atomic uint32_t closed;
    _Atomic uint32_t produced; /* there has been a producer */
    _Atomic uint32_t producer[CW_QUEUE_PRODUCERS];
    _Atomic cw_off more; /* cw_producers */

    _Alignas(64) cw_bolt put;
    uint64_t seen_head;       /* head may be further by now */
    _Atomic cw_off first, last, fresh;
    _Atomic uint64_t putting; /* the tail with which the holder's block is the queue's; 0: none */
    _Alignas(64) _Atomic uint64_t tail;

    _Alignas(64) cw_gate filled;
    cw_gate room;

    _Alignas(64) cw_bolt get;
    uint64_t seen_tail;
    _Atomic cw_off here;
    _Atomic uint64_t taking; /* the head with which the block is the getter's; 0: none */
    _Alignas(64) _Atomic uint64_t head;

    _Alignas(64) _Atomic uint64_t done; /* messages that were reported as done */
    cw_gate finished; /* done may have reached tail */
};

/* ---- each with the generation that the caller means: CREW_EINVAL if it is gone ---- */

struct cw_queue_opts {
    uint64_t max;
    bool eof, spins;
};
/* For cw_object_make. */
int cw_queue_init(struct cw_share *share, struct cw_head *cell, void *opts, crew_error *err);
/* Before cw_object_end: takes both bolts and empties the queue. They are let go by
 * the end of the object. */
int cw_queue_end(struct cw_self *self, struct cw_queue *q, uint64_t check);

/* 0, CREW_ECLOSED, CREW_ETIMEDOUT, or CREW_ENOMEM with its reason in err. */
int cw_queue_put(struct cw_self *self, struct cw_queue *q, uint64_t check, const void *data,
                 size_t size, double timeout, crew_error *err);
/* 0 and the message's size; CREW_ETOOSMALL and the size: it stays in the queue. */
int cw_queue_get(struct cw_self *self, struct cw_queue *q, uint64_t check, void *buf, size_t cap,
                 double timeout, size_t *size);

int cw_queue_close(struct cw_self *self, struct cw_queue *q, uint64_t check);
/* This process is a producer, or is none any more. */
int cw_queue_produce(struct cw_self *self, struct cw_queue *q, uint64_t check, crew_error *err);
int cw_queue_leave(struct cw_self *self, struct cw_queue *q, uint64_t check);

/* CREW_EPERM if every message that was put is done. */
int cw_queue_task_done(struct cw_self *self, struct cw_queue *q, uint64_t check);
int cw_queue_join(struct cw_self *self, struct cw_queue *q, uint64_t check, double timeout);

static inline uint64_t cw_queue_size(struct cw_queue *q) {
    /* In this order: a get between the two must not make it negative. */
    uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
    uint64_t size = atomic_load_explicit(&q->tail, memory_order_acquire) - head;
    uint64_t max = atomic_load_explicit(&q->max, memory_order_relaxed);
    return max && size > max ? max : size;
}

#endif
