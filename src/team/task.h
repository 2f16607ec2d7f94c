/* team/task.h - one submitted call: its record, from hand to hand.
 *
 * The record's state is the truth; the rings carry hints (record numbers). A
 * hint may come twice, or be lost with whoever had popped it: a member runs a
 * task only after it moved the record from QUEUED to RUNNING itself, and when a
 * member has died the supervisor pushes hints again once the rings are empty.
 *
 *     FREE -> PREPARED -> QUEUED -> RUNNING -> (PARENT) -> DONE -> FREE
 *                ^----------'  ^-------'  its runner died
 *              a cancel
 *
 * | transition         | by                                     |
 * |--------------------|----------------------------------------|
 * | FREE -> PREPARED   | who popped it off the free stack       |
 * | PREPARED -> QUEUED | the same                               |
 * | QUEUED -> RUNNING  | a member: its rank enters the state    |
 * | QUEUED -> PREPARED | the manager, cancelling                |
 * | QUEUED -> DONE     | the supervisor, dropping a child       |
 * | RUNNING -> others  | the runner; after its death the supervisor |
 * | PARENT -> DONE     | whoever ends its last child            |
 * | DONE -> FREE       | the future's owner; children: the runner |
 *
 * Children (crew_spawn) belong to a root: a submitted task, or an item of a
 * map. The root counts those that have not ended. Counting and changing a
 * child's state happen in an accounting section (cw_line.critical), and so does
 * taking a record from the free stack and putting it back; if a member dies inside
 * one the supervisor pauses the sections of all, counts anew, and looks for records
 * that are neither on the stack nor anybody's.
 *
 * Children belong to an execution of their root. When that is over without having
 * counted (its member died), those that have not begun are dropped, those that run
 * are VOID: what they say and whom they spawn counts no more. */
#ifndef CW_TEAM_TASK_H
#define CW_TEAM_TASK_H

#include "team/board.h"

enum {
    CW_TASK_FREE = 0,
    CW_TASK_PREPARED,
    CW_TASK_QUEUED,
    CW_TASK_RUNNING,
    CW_TASK_PARENT, /* its own part has ended, children have not */
    CW_TASK_DONE,
    CW_TASK_PHASE = 0xf,
    CW_TASK_WAITED = 1 << 4,  /* somebody sleeps on the state's low half */
    CW_TASK_NOTIFY = 1 << 5,  /* push it onto the notify ring when done */
    CW_TASK_KILL = 1 << 6,    /* nobody wants it any more */
    CW_TASK_VOID = 1 << 7,    /* a child of an execution that does not count */
    CW_TASK_FLAGS = 0xff0,
    CW_TASK_OWNER_SHIFT = 12, /* rank + 1 of the runner */
    CW_TASK_IN = 32, /* bytes of an item, and of a result, that fit into the record */
    CW_TASK_OUT = 16,
    CW_TASK_PER_BLOCK = 1024
};
/* cw_task.teller: a child's failure is there to be read. */
#define CW_TASK_TOLD UINT32_MAX

struct cw_task {
    _Alignas(64) _Atomic uint64_t state; /* generation << 32 | owner << 12 | flags | phase */
    _Atomic uint32_t next_free;
    int attempt, retries, priority; /* attempt: from 1 */
    cw_fn_name fn;
    _Atomic cw_off in_cell; /* owns the item if it is larger than CW_TASK_IN */
    uint64_t in_size;
    cw_ref common;
    uint64_t common_size;
    double task_timeout;
    uint64_t task_memory;
    int64_t index;
    uint64_t stream;

    /* the answer */
    int status;
    int common_owned;        /* `common` is a copy of the record's own */
    uint64_t slot_size;      /* a result slot of so many bytes; 0: any size */
    uint64_t out_size;
    _Atomic cw_off out_cell; /* owns the result if it is larger than CW_TASK_OUT */
    _Atomic cw_off failure;  /* its own: a cw_failure, if status is not 0 */

    /* children: self counts as one until its own part has ended */
    _Atomic int32_t children;
    uint32_t root_task;   /* + 1; 0: no child, or a child of a map */
    uint32_t root_slot;   /* + 1: the job's slot */
    uint32_t root_generation;
    uint32_t parent_task; /* + 1; 0: the item itself */
    uint32_t parent_generation;
    /* The first failure of a child. Owner: while teller is 0 nobody, then the child
     * whose number + 1 it is, from CW_TASK_TOLD on this record. */
    _Atomic uint32_t teller;
    int told_code;
    _Atomic cw_off told; /* a cw_failure; 0: there was no memory for it */
    int64_t root_item;
    int32_t ranks;    /* of a gang, which no ring has a hint of; 0: of one member */
    cw_off stream_at; /* its cw_stream (imap), 0: none */

    _Alignas(16) unsigned char in[CW_TASK_IN];
    _Alignas(16) unsigned char out[CW_TASK_OUT];
};

static inline uint32_t cw_task_phase(uint64_t state) {
    return (uint32_t)state & CW_TASK_PHASE;
}
static inline uint32_t cw_task_generation(uint64_t state) {
    return (uint32_t)(state >> 32);
}
static inline uint32_t cw_task_owner(uint64_t state) {
    return (uint32_t)state >> CW_TASK_OWNER_SHIFT;
}
static inline int cw_task_is_child(const struct cw_task *task) {
    return task->root_task != 0 || task->root_slot != 0;
}
/* The futex in a state: its low half. */
_Atomic uint32_t *cw_task_futex(struct cw_task *task);

static inline struct cw_task *cw_task_at(const struct cw_maps *m, const struct cw_team *t,
                                         uint32_t number) {
    cw_off block = atomic_load_explicit(&t->task_block[number / CW_TASK_PER_BLOCK],
                                        memory_order_acquire);
    return (struct cw_task *)cw_ptr(&m->arena, block) + number % CW_TASK_PER_BLOCK;
}

/* Where the records of one stream (imap) go when they are done; a ring of them
 * follows it. */
struct cw_stream {
    _Alignas(64) _Atomic uint32_t count; /* futex */
    _Atomic uint32_t sleeping;
};
static inline cw_ring *cw_stream_ring(struct cw_stream *stream) {
    return (cw_ring *)(stream + 1);
}

/* Returns when no member is still about to tell of a record that is DONE; all of
 * the stream's must be, then its memory may go. Without the manager's lock, under
 * which the lines of dead members are cleared; whoever ends records under that
 * lock is waited for by taking it. */
void cw_stream_await(const struct cw_maps *m, struct cw_team *t);

/* A record of the caller's own, PREPARED, cleared but for its generation.
 * `spare` owns a new block of records until the team does (NULL where the
 * caller's death ends the team). Returns its number, or a negative code. */
int64_t cw_task_new(const struct cw_maps *m, struct cw_team *t, _Atomic cw_off *spare,
                    crew_error *err);
/* Back to the free stack, with what its cells own. Of a record that is the
 * caller's (PREPARED or DONE). */
void cw_task_release(const struct cw_maps *m, struct cw_team *t, uint32_t number);

/* With the sections paused and the manager's lock held: of records [0, n), takes
 * back those that are nobody's since a member died over them. `seen` is room for n
 * bytes. Returns how many there were. */
uint32_t cw_task_reclaim(const struct cw_maps *m, struct cw_team *t, unsigned char *seen,
                         uint32_t n);

/* The item: copied into the record or the arena. */
int cw_task_put_item(const struct cw_maps *m, struct cw_task *task, const void *in, uint64_t size,
                     crew_error *err);
const void *cw_task_item(const struct cw_maps *m, struct cw_task *task);
/* Room for a result of `size` bytes, any earlier one dropped. NULL: no memory. */
void *cw_task_result_room(const struct cw_maps *m, struct cw_task *task, uint64_t size,
                          crew_error *err);
const void *cw_task_result(const struct cw_maps *m, struct cw_task *task);

/* Flags into a state. Returns the state as it was before. */
uint64_t cw_task_flag(struct cw_task *task, uint32_t flag);
/* From one phase to another, keeping flags; owner 0 or rank + 1. False: it is in
 * another phase or generation. *was: the state it had. */
bool cw_task_move(struct cw_task *task, uint32_t generation, uint32_t from, uint32_t to,
                  uint32_t owner, uint64_t *was);

/* From PREPARED to QUEUED: what a member may run once it has the hint. */
void cw_task_queued(struct cw_task *task);

/* Which ring a priority's hints go through. */
static inline int cw_task_level(int priority) {
    return CW_PRIORITIES / 2 - priority;
}
/* A hint onto its ring; false: the ring is full (the caller keeps it). Does not
 * wake anybody. */
bool cw_task_hint(const struct cw_maps *m, struct cw_team *t, uint32_t number, int priority);
static inline cw_ring *cw_task_ring(const struct cw_maps *m, const struct cw_team *t, int level) {
    return cw_ptr(&m->arena, t->rings[level]);
}
bool cw_task_pop(const struct cw_maps *m, struct cw_team *t, uint32_t *number);
bool cw_task_any(const struct cw_maps *m, const struct cw_team *t);

/* Status and failure into the record, then DONE: wakes and notifies whom its
 * flags name. The record is the caller's. A child's failure goes to its root
 * instead and the record is freed. */
void cw_task_end(const struct cw_maps *m, struct cw_team *t, uint32_t number, int status,
                 const struct cw_failure *failure);

/* Wakes so many sleeping members, for work that has just been put where they
 * look for it. One that spins for work counts for one. */
void cw_team_wake(const struct cw_maps *m, struct cw_team *t, int how_many);
/* Wakes that member, for what it alone is to do. */
void cw_team_wake_one(const struct cw_maps *m, struct cw_team *t, int rank);
/* Wakes whoever may sleep, also those whose waker died on its way. */
void cw_team_wake_all(const struct cw_maps *m, struct cw_team *t);
/* Rings the manager's bell. */
void cw_team_ring(const struct cw_maps *m, const struct cw_team *t);

#endif
