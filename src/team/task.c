/* Task records: their stack, items, results and states. */
#include "team/task.h"

#include "base/error.h"
#include "os/futex.h"
#include "team/gang.h"

#include <string.h>

_Static_assert(sizeof(struct cw_task) == 256, "a record is four cache lines");

_Atomic uint32_t *cw_task_futex(struct cw_task *task) {
    uint32_t *words = (uint32_t *)&task->state;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (_Atomic uint32_t *)words;
#else
    return (_Atomic uint32_t *)(words + 1);
#endif
}

/* A record that is soon to be written: where many are outstanding they lie in no
 * cache, and its four lines come one after the other if nobody asks early. */
static void fetch_ahead(const struct cw_task *task) {
    for (size_t line = 0; line < sizeof *task; line += 64)
        __builtin_prefetch((const char *)task + line, 1);
}

static bool pop_free(const struct cw_maps *m, struct cw_team *t, uint32_t *number) {
    uint64_t head = atomic_load_explicit(&t->free_task, memory_order_acquire);
    while ((uint32_t)head) {
        *number = (uint32_t)head - 1;
        uint32_t next =
            atomic_load_explicit(&cw_task_at(m, t, *number)->next_free, memory_order_relaxed);
        /* The count in the high half fails this swap if the record was popped
         * and pushed in between. Pairs with the release in push_free. */
        uint64_t want = ((head >> 32) + 1) << 32 | next;
        if (atomic_compare_exchange_weak_explicit(&t->free_task, &head, want, memory_order_acquire,
                                                  memory_order_acquire)) {
            if (next)
                fetch_ahead(cw_task_at(m, t, next - 1));
            return true;
        }
    }
    return false;
}

static void push_free(const struct cw_maps *m, struct cw_team *t, uint32_t number) {
    struct cw_task *task = cw_task_at(m, t, number);
    uint64_t head = atomic_load_explicit(&t->free_task, memory_order_relaxed), want;
    do {
        atomic_store_explicit(&task->next_free, (uint32_t)head, memory_order_relaxed);
        want = ((head >> 32) + 1) << 32 | (number + 1);
        /* Pairs with the acquire in pop_free: the record's link and contents. */
    } while (!atomic_compare_exchange_weak_explicit(&t->free_task, &head, want,
                                                    memory_order_release, memory_order_relaxed));
}

/* Gives the team the block that record `number` lies in. */
static int need_block(const struct cw_maps *m, struct cw_team *t, uint32_t number,
                      _Atomic cw_off *spare, crew_error *err) {
    uint32_t b = number / CW_TASK_PER_BLOCK;
    if (b >= CW_TASK_BLOCKS)
        return cw_error_set(err, CREW_ENOMEM, 0, "more than %d tasks are outstanding",
                            CW_TASK_BLOCKS * CW_TASK_PER_BLOCK);
    if (atomic_load_explicit(&t->task_block[b], memory_order_acquire))
        return 0;
    cw_arena arena = m->arena;
    cw_off block = cw_alloc_zero(&arena, sizeof(struct cw_task) * CW_TASK_PER_BLOCK, spare, err);
    if (!block)
        return CREW_ENOMEM;
    cw_off none = 0;
    /* Release: whoever finds the block finds it zeroed. */
    bool ours = atomic_compare_exchange_strong_explicit(&t->task_block[b], &none, block,
                                                        memory_order_release, memory_order_relaxed);
    if (spare && ours)
        atomic_store_explicit(spare, 0, memory_order_relaxed);
    else if (spare)
        cw_free_cell(&arena, spare);
    else if (!ours)
        cw_free(&arena, block);
    return 0;
}

int64_t cw_task_new(const struct cw_maps *m, struct cw_team *t, _Atomic cw_off *spare,
                    crew_error *err) {
    uint32_t number;
    if (!pop_free(m, t, &number)) {
        number = atomic_load_explicit(&t->task_count, memory_order_relaxed);
        do {
            int rc = need_block(m, t, number, spare, err);
            if (rc < 0)
                return rc;
        } while (!atomic_compare_exchange_weak_explicit(
            &t->task_count, &number, number + 1, memory_order_acq_rel, memory_order_relaxed));
    }
    struct cw_task *task = cw_task_at(m, t, number);
    uint64_t state = atomic_load_explicit(&task->state, memory_order_relaxed);
    size_t head = offsetof(struct cw_task, attempt), body = offsetof(struct cw_task, in);
    memset((char *)task + head, 0, body - head);
    task->attempt = 1;
    atomic_store_explicit(&task->children, 1, memory_order_relaxed);
    atomic_store_explicit(&task->state, (state >> 32) << 32 | CW_TASK_PREPARED,
                          memory_order_relaxed);
    return number;
}

void cw_task_release(const struct cw_maps *m, struct cw_team *t, uint32_t number) {
    struct cw_task *task = cw_task_at(m, t, number);
    cw_arena arena = m->arena;
    cw_free_cell(&arena, &task->in_cell);
    cw_free_cell(&arena, &task->out_cell);
    cw_free_cell(&arena, &task->failure);
    cw_free_cell(&arena, &task->told);
    uint64_t state = atomic_load_explicit(&task->state, memory_order_relaxed);
    /* A new generation: hints that are still about mean nothing any more. */
    atomic_store_explicit(&task->state, ((state >> 32) + 1) << 32 | CW_TASK_FREE,
                          memory_order_release);
    push_free(m, t, number);
}

uint32_t cw_task_reclaim(const struct cw_maps *m, struct cw_team *t, unsigned char *seen,
                         uint32_t n) {
    memset(seen, 0, n);
    uint32_t found = 0, at = (uint32_t)atomic_load(&t->free_task);
    while (at && at <= n && !seen[at - 1]) {
        seen[at - 1] = 1;
        at = atomic_load(&cw_task_at(m, t, at - 1)->next_free);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint64_t state = atomic_load(&cw_task_at(m, t, i)->state);
        if (cw_task_phase(state) == CW_TASK_FREE && !seen[i])
            push_free(m, t, i);
        else if (cw_task_phase(state) == CW_TASK_PREPARED && cw_task_owner(state) == 0)
            cw_task_release(m, t, i);
        else
            continue;
        found++;
    }
    return found;
}

int cw_task_put_item(const struct cw_maps *m, struct cw_task *task, const void *in, uint64_t size,
                     crew_error *err) {
    task->in_size = size;
    void *to = task->in;
    if (size > CW_TASK_IN) {
        cw_arena arena = m->arena;
        cw_off off = cw_alloc(&arena, size, &task->in_cell, err);
        if (!off)
            return CREW_ENOMEM;
        to = cw_ptr(&arena, off);
    }
    if (size)
        memcpy(to, in, size);
    return 0;
}

const void *cw_task_item(const struct cw_maps *m, struct cw_task *task) {
    if (task->in_size <= CW_TASK_IN)
        return task->in;
    return cw_ptr(&m->arena, atomic_load_explicit(&task->in_cell, memory_order_relaxed));
}

void *cw_task_result_room(const struct cw_maps *m, struct cw_task *task, uint64_t size,
                          crew_error *err) {
    cw_arena arena = m->arena;
    cw_free_cell(&arena, &task->out_cell);
    task->out_size = size;
    if (size <= CW_TASK_OUT)
        return task->out;
    cw_off off = cw_alloc(&arena, size, &task->out_cell, err);
    if (!off)
        task->out_size = 0;
    return cw_ptr(&arena, off);
}

const void *cw_task_result(const struct cw_maps *m, struct cw_task *task) {
    if (task->out_size <= CW_TASK_OUT)
        return task->out;
    return cw_ptr(&m->arena, atomic_load_explicit(&task->out_cell, memory_order_acquire));
}

uint64_t cw_task_flag(struct cw_task *task, uint32_t flag) {
    return atomic_fetch_or(&task->state, flag);
}

bool cw_task_move(struct cw_task *task, uint32_t generation, uint32_t from, uint32_t to,
                  uint32_t owner, uint64_t *was) {
    uint64_t state = atomic_load_explicit(&task->state, memory_order_acquire);
    for (;;) {
        if (cw_task_generation(state) != generation || cw_task_phase(state) != from)
            return false;
        uint64_t next = (state >> 32) << 32 | (uint64_t)owner << CW_TASK_OWNER_SHIFT |
                        (state & CW_TASK_FLAGS) | to;
        /* Release: what the mover wrote into the record; acquire: what the one
         * before wrote. Every move pairs with the next one of the same record.
         * Sequentially consistent for the sleepers' sake (see cw_team_wake). */
        if (atomic_compare_exchange_weak(&task->state, &state, next)) {
            if (was)
                *was = state;
            return true;
        }
    }
}

void cw_task_queued(struct cw_task *task) {
    uint64_t state = atomic_load_explicit(&task->state, memory_order_relaxed);
    /* Nobody else changes a record that is PREPARED. Pairs with the acquire of the
     * move to RUNNING. */
    atomic_store_explicit(&task->state, (state & ~(uint64_t)CW_TASK_PHASE) | CW_TASK_QUEUED,
                          memory_order_release);
}

bool cw_task_hint(const struct cw_maps *m, struct cw_team *t, uint32_t number, int priority) {
    int level = cw_task_level(priority);
    uint32_t bit = 1u << level;
    if (!(atomic_load_explicit(&t->rings_used, memory_order_relaxed) & bit))
        atomic_fetch_or(&t->rings_used, bit);
    return cw_ring_push(cw_task_ring(m, t, level), number);
}

bool cw_task_pop(const struct cw_maps *m, struct cw_team *t, uint32_t *number) {
    uint32_t used = atomic_load_explicit(&t->rings_used, memory_order_acquire), next;
    for (; used; used &= used - 1) {
        const cw_ring *ring = cw_task_ring(m, t, __builtin_ctz(used));
        if (!cw_ring_pop((cw_ring *)ring, number))
            continue;
        if (cw_ring_peek(ring, &next))
            fetch_ahead(cw_task_at(m, t, next));
        return true;
    }
    return false;
}

bool cw_task_any(const struct cw_maps *m, const struct cw_team *t) {
    uint32_t used = atomic_load_explicit(&t->rings_used, memory_order_acquire);
    for (; used; used &= used - 1)
        if (!cw_ring_empty(cw_task_ring(m, t, __builtin_ctz(used))))
            return true;
    return false;
}

/* Called with the record's outcome written and the record still the caller's. */
static void finish(const struct cw_maps *m, struct cw_team *t, uint32_t number, uint32_t phase) {
    struct cw_task *task = cw_task_at(m, t, number);
    uint32_t generation = cw_task_generation(atomic_load(&task->state));
    struct cw_stream *stream = cw_ptr(&m->arena, task->stream_at);
    uint64_t was = 0;
    if (!cw_task_move(task, generation, phase, CW_TASK_DONE, 0, &was))
        return;
    /* From here on the record may be freed and used again: only `was` counts. A
     * wake of a word that is somebody else's by now is harmless. The stream stays
     * until cw_stream_await has seen this member go on. */
    if (was & CW_TASK_WAITED)
        cw_futex_wake(cw_task_futex(task), INT32_MAX);
    bool bell = was & CW_TASK_NOTIFY;
    if (bell && !cw_ring_push(cw_ptr(&m->arena, t->notify), number))
        atomic_store(&t->notify_lost, 1);
    if (stream) {
        cw_ring_push(cw_stream_ring(stream), number);
        atomic_fetch_add(&stream->count, 1);
        /* Pairs with the fence of the iterator before it sleeps. */
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load_explicit(&stream->sleeping, memory_order_relaxed))
            cw_futex_wake(&stream->count, 1);
    }
    /* Pairs with crew_pool_fd, which sets it and then looks at the states: one of
     * the two sees the other. */
    bool pollers = atomic_load(&t->wants_fd);
    if (pollers)
        atomic_store(&t->fd_news, 1);
    if (bell || pollers)
        cw_team_ring(m, t);
}

/* Its last word on a record is said while its line still names it. In its task's
 * function, that is while the record is RUNNING and its own, it tells of none. */
static void await_member(const struct cw_maps *m, struct cw_team *t, int rank) {
    struct cw_line *line = cw_team_line(m, t, rank);
    /* Pair with the releases in name_task: what it did for the one before. */
    uint64_t turn = atomic_load_explicit(&line->task_turn, memory_order_acquire);
    uint32_t named = atomic_load_explicit(&line->task, memory_order_acquire);
    while (named && named != CW_LINE_GANG &&
           atomic_load_explicit(&line->task, memory_order_acquire) == named &&
           atomic_load_explicit(&line->task_turn, memory_order_acquire) == turn) {
        uint64_t state = atomic_load(&cw_task_at(m, t, named - 1)->state);
        if (cw_task_phase(state) == CW_TASK_RUNNING && cw_task_owner(state) == (uint32_t)rank + 1)
            return;
        /* It is a few instructions from the end, unless it was interrupted there. */
        _Atomic uint32_t nobody = 0;
        cw_futex_wait(&nobody, 0, 5e-5);
    }
}

void cw_stream_await(const struct cw_maps *m, struct cw_team *t) {
    for (int rank = 0; rank < t->members; rank++)
        await_member(m, t, rank);
}

void cw_task_end(const struct cw_maps *m, struct cw_team *t, uint32_t number, int status,
                 const struct cw_failure *failure) {
    struct cw_task *task = cw_task_at(m, t, number);
    uint32_t phase = cw_task_phase(atomic_load(&task->state));
    task->status = status;
    if (failure) {
        cw_arena arena = m->arena;
        cw_free_cell(&arena, &task->failure);
        cw_off off = cw_alloc(&arena, sizeof *failure, &task->failure, NULL);
        if (off)
            memcpy(cw_ptr(&arena, off), failure, sizeof *failure);
    }
    finish(m, t, number, phase);
}

static void wake_member(const struct cw_maps *m, struct cw_team *t, int rank) {
    struct cw_line *line = cw_team_line(m, t, rank);
    _Atomic uint32_t *nap = line->nap_at ? cw_ptr(&m->arena, line->nap_at) : &line->nap;
    atomic_store(nap, 0);
    cw_futex_wake(nap, 1);
}

void cw_team_wake(const struct cw_maps *m, struct cw_team *t, int how_many) {
    /* Pairs with the fence in rest(): either this sees the sleeper's bit, or the
     * sleeper sees the work that was put there before. */
    atomic_thread_fence(memory_order_seq_cst);
    /* The spinning member takes it, and wakes the next if there is more. */
    if (how_many == 1 && atomic_load_explicit(&t->spinner, memory_order_relaxed))
        return;
    /* Each member once: one that wakes, works and sleeps again meanwhile must not
     * be woken in the place of another. */
    for (int w = 0; w * 64 < t->members; w++) {
        uint64_t bits = atomic_load_explicit(&t->asleep[w], memory_order_relaxed);
        for (; bits && how_many > 0; bits &= bits - 1) {
            uint64_t bit = bits & -bits;
            if (!(atomic_fetch_and(&t->asleep[w], ~bit) & bit))
                continue;
            wake_member(m, t, w * 64 + __builtin_ctzll(bit));
            how_many--;
        }
    }
}

void cw_team_wake_one(const struct cw_maps *m, struct cw_team *t, int rank) {
    atomic_thread_fence(memory_order_seq_cst);
    atomic_fetch_and(&t->asleep[rank / 64], ~(1ull << rank % 64));
    wake_member(m, t, rank);
}

void cw_team_wake_all(const struct cw_maps *m, struct cw_team *t) {
    atomic_thread_fence(memory_order_seq_cst);
    for (int rank = 0; rank < t->members; rank++)
        wake_member(m, t, rank);
}

void cw_team_ring(const struct cw_maps *m, const struct cw_team *t) {
    struct cw_bell *bell = cw_ptr(&m->arena, t->bell);
    /* Pairs with the fence of the service thread before it sleeps. */
    atomic_fetch_add(&bell->count, 1);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&bell->sleeping, memory_order_relaxed))
        cw_futex_wake(&bell->count, INT32_MAX);
}
