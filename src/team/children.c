/* Tasks that tasks make, and counting them so that deaths do not matter. */
#include "base/error.h"
#include "os/clock.h"
#include "os/futex.h"
#include "team/member.h"

#include <stdlib.h>
#include <string.h>

/* Accounting sections. Pairs: each side stores its own word, then loads the
 * other's, both sequentially consistent, so the supervisor never counts while a
 * member changes what is counted. */
/* line NULL: the manager, which counts under the same lock as it does this. */
static void section_enter(struct cw_team *t, struct cw_line *line) {
    if (!line)
        return;
    for (;;) {
        atomic_fetch_add(&line->critical, 1);
        if (!atomic_load(&t->pause))
            return;
        atomic_fetch_sub(&line->critical, 1);
        cw_futex_wait(&t->pause, 1, 1.0);
    }
}

static void section_leave(struct cw_line *line) {
    if (!line)
        return;
    atomic_fetch_sub_explicit(&line->critical, 1, memory_order_release);
}

/* One thread of a task at a time: what is a member's own, or the call's, on the way to
 * a child's record. */
static void spawning_enter(struct cw_line *line) {
    uint32_t none = 0;
    if (atomic_compare_exchange_strong(&line->spawning, &none, 1))
        return;
    while (atomic_exchange(&line->spawning, 2))
        cw_futex_wait(&line->spawning, 2, 1.0);
}

static void spawning_leave(struct cw_line *line) {
    if (atomic_exchange(&line->spawning, 0) == 2)
        cw_futex_wake(&line->spawning, INT32_MAX);
}

static struct cw_job *root_job(const struct cw_maps *m, struct cw_team *t,
                               const struct cw_task *task) {
    cw_off off = atomic_load_explicit(&t->job[task->root_slot - 1], memory_order_acquire);
    return cw_ptr(&m->arena, off);
}

/* SplitMix64's finaliser: children get streams of their own. */
static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

static uint32_t generation_of(struct cw_task *task) {
    return cw_task_generation(atomic_load_explicit(&task->state, memory_order_relaxed));
}

/* What a child of this frame inherits. */
static void inherit(struct cw_member *m, struct cw_frame *frame, struct cw_task *child) {
    const crew_call *call = &frame->call;
    struct cw_task *task = frame->task;
    child->index = call->index;
    child->task_timeout = task ? task->task_timeout : frame->job->task_timeout;
    child->task_memory = task ? task->task_memory : m->team->task_memory;
    child->retries = task ? task->retries : frame->job->retries;
    child->common = task ? task->common : frame->job->common;
    child->common_size = call->common_size;
    child->priority = task ? task->priority : 0;
    child->stream = mix((task ? task->stream : frame->job->stream) * 0x9e3779b97f4a7c15ull +
                        ++frame->spawned);
    frame->touched = 1;
    if (!task) {
        child->root_slot = frame->job->slot + 1;
        child->root_generation = frame->job->generation;
        child->root_item = call->index / frame->job->grain;
        return;
    }
    uint32_t number = atomic_load_explicit(&m->line->task, memory_order_relaxed) - 1;
    if (cw_task_is_child(task)) {
        child->root_task = task->root_task;
        child->root_slot = task->root_slot;
        child->root_generation = task->root_generation;
        child->root_item = task->root_item;
        child->parent_task = number + 1;
        child->parent_generation = generation_of(task);
    } else {
        child->root_task = number + 1;
        child->root_generation = generation_of(task);
    }
}

/* A record of this member's own: in a section, because a record that has left the
 * free stack and names nobody is found only while no other is on its way. */
static int64_t new_child(struct cw_member *m, crew_error *err) {
    section_enter(m->team, m->line);
    int64_t number = cw_task_new(&m->maps, m->team, &m->line->spare, err);
    if (number >= 0) {
        struct cw_task *child = cw_task_at(&m->maps, m->team, (uint32_t)number);
        uint64_t state = atomic_load_explicit(&child->state, memory_order_relaxed);
        atomic_store_explicit(&child->state,
                              state | (uint64_t)(m->rank + 1) << CW_TASK_OWNER_SHIFT,
                              memory_order_relaxed);
    }
    section_leave(m->line);
    return number;
}

static bool disown(const struct cw_maps *m, struct cw_team *t, uint32_t number,
                   uint32_t generation, uint32_t by);

int cw_child_spawn(struct cw_member *m, struct cw_frame *frame, crew_fn *fn, const void *in,
                   uint64_t size, crew_error *err) {
    struct cw_team *t = m->team;
    cw_fn_name name;
    int rc = cw_fn_find((cw_fn *)fn, NULL, &name, err);
    if (rc < 0)
        return rc;
    spawning_enter(m->line);
    int64_t number = new_child(m, err);
    struct cw_task *child = number < 0 ? NULL : cw_task_at(&m->maps, t, (uint32_t)number);
    if (child)
        inherit(m, frame, child);
    spawning_leave(m->line);
    if (!child)
        return (int)number;
    child->fn = name;
    rc = cw_task_put_item(&m->maps, child, in, size, err);
    section_enter(t, m->line);
    if (rc < 0) {
        cw_task_release(&m->maps, t, (uint32_t)number);
        section_leave(m->line);
        return rc;
    }
    if (child->root_task)
        atomic_fetch_add(&cw_task_at(&m->maps, t, child->root_task - 1)->children, 1);
    else
        atomic_fetch_add(&root_job(&m->maps, t, child)->children, 1);
    /* From QUEUED on it is its runner's: a stale hint of the record's may bring one at once. */
    int priority = child->priority;
    uint32_t generation = generation_of(child);
    cw_task_move(child, generation, CW_TASK_PREPARED, CW_TASK_QUEUED, 0, NULL);
    /* Pairs with the swap in disown: either the supervisor, which looks again after
     * it has found a child that runs, sees this one, or this one sees that its
     * parent is VOID. */
    if (frame->task && (atomic_load(&frame->task->state) & CW_TASK_VOID))
        disown(&m->maps, t, (uint32_t)number, generation, (uint32_t)m->rank + 1);
    section_leave(m->line);
    /* A full ring: the record waits without a hint, until the rings have run dry
     * and the supervisor looks for such. */
    if (!cw_task_hint(&m->maps, t, (uint32_t)number, priority))
        atomic_store(&t->hints_lost, 1);
    cw_team_wake(&m->maps, t, 1);
    return 0;
}

bool cw_child_void(const struct cw_maps *m, struct cw_team *t, struct cw_task *task) {
    if (atomic_load(&task->state) & CW_TASK_VOID)
        return true;
    if (!task->root_task)
        return atomic_load(&root_job(m, t, task)->voided);
    uint64_t root = atomic_load(&cw_task_at(m, t, task->root_task - 1)->state);
    return cw_task_generation(root) != task->root_generation || (root & CW_TASK_KILL);
}

/* What a child said of an execution that does not count. `from` is who holds the
 * word now, `as` who takes it. */
static void take_back(const struct cw_maps *m, struct cw_task *root, uint32_t from, uint32_t as) {
    cw_arena arena = m->arena;
    if (!atomic_compare_exchange_strong(&root->teller, &from, as))
        return;
    cw_free_cell(&arena, &root->told);
    atomic_store(&root->teller, 0);
}

/* A child's failure becomes its root's: the first one to fail counts. */
static void tell_root(const struct cw_maps *m, struct cw_team *t, uint32_t number,
                      const struct cw_failure *failure) {
    struct cw_task *task = cw_task_at(m, t, number);
    if (cw_child_void(m, t, task))
        return;
    struct cw_failure told = *failure;
    if (!task->root_task) {
        told.item = task->root_item;
        cw_job_fail(m, root_job(m, t, task), &told);
        return;
    }
    struct cw_task *root = cw_task_at(m, t, task->root_task - 1);
    cw_arena arena = m->arena;
    uint32_t nobody = 0;
    /* Who comes first has the cell to itself; should it die now, the supervisor
     * knows whose the cell is. */
    if (!atomic_compare_exchange_strong(&root->teller, &nobody, number + 1))
        return;
    root->told_code = failure->code;
    cw_off off = cw_alloc(&arena, sizeof told, &root->told, NULL);
    if (off)
        memcpy(cw_ptr(&arena, off), &told, sizeof told);
    atomic_store(&root->teller, CW_TASK_TOLD);
    /* Pairs with cw_root_restart: one of the two sees the other. */
    if (cw_child_void(m, t, task))
        take_back(m, root, CW_TASK_TOLD, number + 1);
}

void cw_child_untell(const struct cw_maps *m, struct cw_team *t, uint32_t number) {
    struct cw_task *task = cw_task_at(m, t, number);
    if (task->root_task)
        take_back(m, cw_task_at(m, t, task->root_task - 1), number + 1, number + 1);
}

void cw_root_restart(const struct cw_maps *m, struct cw_task *root) {
    take_back(m, root, CW_TASK_TOLD, CW_TASK_TOLD - 1);
}

/* In a section, when the root's count has come to nothing. */
static void complete_root(const struct cw_maps *m, struct cw_team *t, uint32_t number) {
    struct cw_task *root = cw_task_at(m, t, number);
    if (cw_task_phase(atomic_load(&root->state)) != CW_TASK_PARENT)
        return;
    if (atomic_load(&root->teller) == CW_TASK_TOLD && root->status == 0)
        root->status = root->told_code;
    cw_task_end(m, t, number, root->status, NULL);
}

/* In a section, or by the manager: a child of that root is DONE. */
static void uncount(const struct cw_maps *m, struct cw_team *t, const struct cw_task *child) {
    if (child->root_task) {
        struct cw_task *root = cw_task_at(m, t, child->root_task - 1);
        if (atomic_fetch_sub(&root->children, 1) == 1)
            complete_root(m, t, child->root_task - 1);
    } else if (atomic_fetch_sub(&root_job(m, t, child)->children, 1) == 1) {
        cw_job_ring(m, t, child->root_slot - 1);
    }
}

void cw_child_end(const struct cw_maps *m, struct cw_team *t, struct cw_line *line, uint32_t number,
                  const struct cw_failure *failure) {
    struct cw_task *task = cw_task_at(m, t, number);
    if (failure)
        tell_root(m, t, number, failure);
    section_enter(t, line);
    /* It keeps its owner: should that die here, its record is found by it. */
    uint64_t state = atomic_load(&task->state);
    cw_task_move(task, cw_task_generation(state), cw_task_phase(state), CW_TASK_DONE,
                 cw_task_owner(state), NULL);
    uncount(m, t, task);
    cw_task_release(m, t, number);
    section_leave(line);
}

void cw_root_end(const struct cw_maps *m, struct cw_team *t, struct cw_line *line, uint32_t number,
                 int status, const struct cw_failure *failure) {
    struct cw_task *task = cw_task_at(m, t, number);
    if (atomic_load_explicit(&task->children, memory_order_acquire) == 1 &&
        !atomic_load(&task->teller)) {
        cw_task_end(m, t, number, status, failure);
        return;
    }
    cw_arena arena = m->arena;
    task->status = status;
    if (failure) {
        cw_free_cell(&arena, &task->failure);
        cw_off off = cw_alloc(&arena, sizeof *failure, &task->failure, NULL);
        if (off)
            memcpy(cw_ptr(&arena, off), failure, sizeof *failure);
    }
    section_enter(t, line);
    uint64_t state = atomic_load(&task->state);
    cw_task_move(task, cw_task_generation(state), cw_task_phase(state), CW_TASK_PARENT, 0, NULL);
    if (atomic_fetch_sub(&task->children, 1) == 1)
        complete_root(m, t, number);
    section_leave(line);
}

/* ---- executions that do not count ---- */

/* True: it runs, and is VOID now. One that waits is ended, its record meanwhile
 * being `by`'s (rank + 1; 0: the manager's). */
static bool disown(const struct cw_maps *m, struct cw_team *t, uint32_t number,
                   uint32_t generation, uint32_t by) {
    struct cw_task *task = cw_task_at(m, t, number);
    uint64_t state = atomic_load(&task->state);
    for (;;) {
        uint32_t phase = cw_task_phase(state);
        if (cw_task_generation(state) != generation || (state & CW_TASK_VOID))
            return false;
        if (phase != CW_TASK_QUEUED && phase != CW_TASK_RUNNING)
            return false;
        uint64_t next = phase == CW_TASK_RUNNING
                            ? state | CW_TASK_VOID
                            : (state & ~(uint64_t)CW_TASK_PHASE) | CW_TASK_DONE |
                                  (uint64_t)by << CW_TASK_OWNER_SHIFT;
        if (!atomic_compare_exchange_strong(&task->state, &state, next))
            continue;
        if (phase == CW_TASK_RUNNING)
            return true;
        uncount(m, t, task);
        cw_task_release(m, t, number);
        return false;
    }
}

static bool descends(const struct cw_maps *m, struct cw_team *t, const struct cw_task *task,
                     const struct cw_origin *from) {
    if (from->task) {
        if (task->root_task == from->task && task->root_generation == from->generation)
            return true;
        if (task->parent_task == from->task && task->parent_generation == from->generation)
            return true;
    } else if (task->root_slot == from->slot && task->root_generation == from->generation &&
               task->root_item >= from->lo && task->root_item < from->hi) {
        return true;
    }
    if (!task->parent_task)
        return false;
    uint64_t parent = atomic_load(&cw_task_at(m, t, task->parent_task - 1)->state);
    return cw_task_generation(parent) == task->parent_generation && (parent & CW_TASK_VOID);
}

bool cw_children_disown(const struct cw_maps *m, struct cw_team *t, const struct cw_origin *from) {
    bool any = false, more = true;
    /* Again after one that runs was found: it may have spawned others meanwhile. */
    while (more) {
        more = false;
        for (uint32_t i = 0; i < atomic_load(&t->task_count); i++) {
            const struct cw_task *task = cw_task_at(m, t, i);
            /* Whom it belongs to holds for the generation seen before; disown
             * changes nothing if there is another by then. */
            uint64_t state = atomic_load(&task->state);
            if (cw_task_phase(state) != CW_TASK_QUEUED && cw_task_phase(state) != CW_TASK_RUNNING)
                continue;
            if (cw_task_is_child(task) && descends(m, t, task, from))
                more = disown(m, t, i, cw_task_generation(state), 0) || more;
        }
        any = any || more;
    }
    return any;
}

/* ---- counting anew ---- */

/* With the sections paused. Counts aside first: a root that ends meanwhile
 * trusts the number it finds. */
static void count_all(const struct cw_maps *m, struct cw_team *t, int32_t *count, uint32_t n) {
    int64_t job_children[CW_JOB_SLOTS] = {0};
    for (uint32_t i = 0; i < n; i++) {
        struct cw_task *task = cw_task_at(m, t, i);
        uint32_t phase = cw_task_phase(atomic_load(&task->state));
        count[i] += phase != CW_TASK_PARENT;
        if (phase != CW_TASK_QUEUED && phase != CW_TASK_RUNNING)
            continue;
        if (task->root_task && task->root_task <= n)
            count[task->root_task - 1]++;
        else if (task->root_slot)
            job_children[task->root_slot - 1]++;
    }
    for (uint32_t i = 0; i < n; i++) {
        atomic_store(&cw_task_at(m, t, i)->children, count[i]);
        if (count[i] == 0)
            complete_root(m, t, i);
    }
    uint64_t jobs = atomic_load(&t->jobs);
    for (int slot = 0; slot < CW_JOB_SLOTS; slot++) {
        if (!(jobs >> slot & 1))
            continue;
        struct cw_job *job = cw_ptr(&m->arena, atomic_load(&t->job[slot]));
        atomic_store(&job->children, job_children[slot]);
        cw_job_ring(m, t, (uint32_t)slot);
    }
}

int cw_children_recount(const struct cw_maps *m, struct cw_team *t) {
    /* One that was stopped or whose end nobody can tell: try again later. */
    const int64_t end = cw_now_ns() + 20000000;
    bool late = false;
    atomic_store(&t->pause, 1);
    /* Sections are a few stores long: members leave them by themselves. One that
     * dies in this moment is seen by its seat. */
    for (int rank = 0; rank < t->members; rank++) {
        struct cw_line *line = cw_team_line(m, t, rank);
        struct cw_seat *seat = cw_team_seat(m, t, rank);
        while (atomic_load(&line->critical) && !late) {
            uint32_t state = atomic_load(&seat->state);
            if (state != CW_SEAT_ALIVE && state != CW_SEAT_ASKED)
                break;
            late = cw_now_ns() > end;
            cw_relax();
        }
    }
    /* Records made from now on are not in anybody's count yet. */
    uint32_t n = atomic_load(&t->task_count);
    int32_t *count = late ? NULL : calloc((size_t)n + 1, sizeof *count);
    unsigned char *seen = late ? NULL : malloc((size_t)n + 1);
    bool ok = count && seen;
    if (ok) {
        count_all(m, t, count, n);
        cw_task_reclaim(m, t, seen, n);
    }
    atomic_store(&t->pause, 0);
    cw_futex_wake(&t->pause, INT32_MAX);
    free(count);
    free(seen);
    return ok ? 0 : CREW_ENOMEM;
}
