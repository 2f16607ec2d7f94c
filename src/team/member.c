/* The member's loop: claim, run, rest. */
#include "team/member.h"

#include "os/clock.h"
#include "os/futex.h"
#include "os/output.h"
#include "os/process.h"
#include "sched/chunk.h"

#include <crew/pool.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

_Thread_local struct cw_member *cw_this_member;
_Thread_local struct cw_frame *cw_lone_frame;

/* How long a member without work spins before it sleeps: about what a wake-up
 * through the kernel costs, so that at worst the wait takes twice as long. */
enum { SPIN_NS = 20000, SPINS_PER_LOOK = 32 };

void cw_member_init(struct cw_member *m, const struct cw_maps *maps, struct cw_team *team,
                    int rank) {
    *m = (struct cw_member){.maps = *maps, .team = team, .rank = rank};
    m->line = cw_team_line(maps, team, rank);
    m->own_process = team->processes;
    m->muster = team->musters ? cw_team_muster(maps, team, rank) : NULL;
    m->tasks_left = team->tasks_per_worker > 0 ? team->tasks_per_worker : -1;
}

cw_fn *cw_member_fn(struct cw_member *m, const cw_fn_name *name) {
    size_t at = (name->offset >> 4 ^ name->object) % (sizeof m->resolved / sizeof *m->resolved);
    if (m->resolved[at].fn && m->resolved[at].name.object == name->object &&
        m->resolved[at].name.offset == name->offset)
        return m->resolved[at].fn;
    cw_fn *fn = cw_fn_resolve(*name);
    m->resolved[at].name = *name;
    m->resolved[at].fn = fn;
    return fn;
}

void cw_frame_enter(struct cw_member *m, struct cw_frame *frame) {
    frame->member = m;
    frame->up = m->top;
    frame->touched = frame->noted = frame->refused = frame->failed = frame->rng_ready = 0;
    m->top = frame;
}

void cw_frame_leave(struct cw_member *m, struct cw_frame *frame) {
    m->top = frame->up;
}

int cw_frame_judge(struct cw_frame *frame, int rc, struct cw_failure *failure) {
    struct cw_line *line = frame->member->line;
    bool over =
        atomic_exchange_explicit(&line->cancel, 0, memory_order_relaxed) == cw_line_key(line);
    int code = over ? CREW_ELIMIT : frame->refused ? frame->refused : rc ? CREW_EFAILED : 0;
    const char *text = frame->failed || frame->refused ? frame->text : "";
    if (code) {
        *failure = (struct cw_failure){.code = code,
                                       .task_code = code == CREW_EFAILED ? rc : 0,
                                       .index = frame->call.index,
                                       .worker = frame->call.worker,
                                       .node = frame->call.node,
                                       .attempt = frame->call.attempt};
        failure->pid = atomic_load_explicit(
            &cw_team_seat(&frame->member->maps, frame->member->team, frame->member->rank)->pid,
            memory_order_relaxed);
        const struct cw_gang *gang = frame->member->gang;
        double limit = frame->task  ? frame->task->task_timeout
                       : frame->job ? frame->job->task_timeout
                       : gang       ? gang->task_timeout
                                    : frame->member->team->task_timeout;
        if (over)
            snprintf(failure->text, sizeof failure->text, "over its time limit of %g s", limit);
        else
            snprintf(failure->text, sizeof failure->text, "%s", text);
    }
    frame->noted = frame->refused = frame->failed = 0;
    return code;
}

/* ---- maps ---- */

/* Pairs with the manager's retirement of a job: it takes the bit away, then
 * looks who is inside; sequentially consistent on both sides, so one of the two
 * sees the other. */
struct cw_job *cw_job_enter(struct cw_member *m, int slot) {
    struct cw_team *t = m->team;
    if (m->level == CW_NESTED)
        return NULL;
    atomic_store(&m->line->doing[m->level], (uint32_t)slot + 1);
    /* Pairs with the fence in cw_pool_stop_job, for the looks at stop_at. */
    atomic_thread_fence(memory_order_seq_cst);
    if (!(atomic_load(&t->jobs) >> slot & 1)) {
        atomic_store_explicit(&m->line->doing[m->level], 0, memory_order_release);
        return NULL;
    }
    m->level++;
    struct cw_job *job = cw_ptr(&m->maps.arena, atomic_load_explicit(&t->job[slot], memory_order_acquire));
    if (m->level == 1)
        atomic_store_explicit(&m->line->generation, job->generation, memory_order_relaxed);
    return job;
}

static bool others_inside(struct cw_member *m, int slot) {
    for (int rank = 0; rank < m->team->members; rank++) {
        struct cw_line *line = cw_team_line(&m->maps, m->team, rank);
        for (int level = 0; level < CW_NESTED; level++)
            if (atomic_load_explicit(&line->doing[level], memory_order_relaxed) ==
                (uint32_t)slot + 1)
                return true;
    }
    return false;
}

/* After this the job's memory may be gone. The last one out rings: of two that
 * leave at once at least one sees nobody inside, for each stores its own word
 * before it looks (the fence). */
void cw_job_leave(struct cw_member *m, int slot) {
    m->level--;
    if (m->level == 0) {
        atomic_store_explicit(&m->line->lo, 0, memory_order_relaxed);
        atomic_store_explicit(&m->line->hi, 0, memory_order_relaxed);
        atomic_store_explicit(&m->line->redo, 0, memory_order_relaxed);
    }
    atomic_store_explicit(&m->line->doing[m->level], 0, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    if (!others_inside(m, slot))
        cw_job_ring(&m->maps, m->team, (uint32_t)slot);
}

static void add(_Atomic int64_t *counter, int64_t n) {
    /* One writer: no need for a locked instruction. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

void cw_line_hold(struct cw_line *line, int64_t lo, int64_t hi) {
    /* The index first: an old one must not be taken for one of this range. */
    __atomic_store_n(&line->frame.call.index, -1, __ATOMIC_RELAXED);
    atomic_store_explicit(&line->hi, 0, memory_order_release); /* never a new lo with an old hi */
    atomic_store_explicit(&line->lo, lo, memory_order_release);
    atomic_store_explicit(&line->hi, hi, memory_order_release);
}

/* Returns how many calls it made. */
static int64_t run_claim(struct cw_run *run, int64_t lo, int64_t hi, int attempt, bool again) {
    struct cw_member *m = run->member;
    if (m->level == 1)
        cw_line_hold(m->line, lo, hi);
    int64_t calls = cw_run_range(run, lo, hi, attempt, again);
    /* From here on the supervisor does not count what is marked of the range. */
    if (m->level == 1)
        atomic_store_explicit(&m->line->hi, 0, memory_order_release);
    add(&m->line->items, calls);
    if (m->tasks_left > 0)
        m->tasks_left -= hi - lo < m->tasks_left ? hi - lo : m->tasks_left;
    if (m->own_process)
        cw_output_flush();
    return calls;
}

static bool run_redo(struct cw_run *run) {
    struct cw_member *m = run->member;
    struct cw_job *job = run->job;
    struct cw_redo *redo = cw_job_take_redo(job, m->rank);
    if (!redo)
        return false;
    atomic_store_explicit(&m->line->redo, (uint32_t)(redo - job->redo) + 1, memory_order_release);
    run_claim(run, redo->lo, redo->hi, redo->attempt, true);
    atomic_store_explicit(&m->line->redo, 0, memory_order_relaxed);
    /* Pairs with the acquire in cw_job_redo: the slot may be filled again. */
    atomic_store_explicit(&redo->state, 0, memory_order_release);
    return true;
}

/* Nothing is left to claim: says so, unless a range came back meanwhile. */
void cw_job_spent(struct cw_team *t, struct cw_job *job) {
    atomic_fetch_and(&t->claimable, ~(1ull << job->slot));
    if (atomic_load(&job->redo_ready))
        atomic_fetch_or(&t->claimable, 1ull << job->slot);
}

/* True when the member has something better to do than to claim on. */
static bool interrupted(struct cw_member *m) {
    return (m->level == 1 && cw_muster_calls(m->muster)) ||
           atomic_load_explicit(&m->team->quit, memory_order_relaxed) == CW_TERMINATE ||
           (m->tasks_left == 0 && m->level == 1) ||
           (m->level == 1 && cw_task_any(&m->maps, m->team));
}

static void claim_on(struct cw_run *run) {
    struct cw_member *m = run->member;
    struct cw_job *job = run->job;
    const struct cw_chunk_rule rule = {.schedule = job->schedule,
                                       .chunk = job->chunk,
                                       .count = job->end - job->base,
                                       .workers = job->workers};
    const bool measures = cw_chunk_measures(&rule);
    struct cw_chunk_seen seen = {0};
    int64_t at = atomic_load_explicit(&job->cursor, memory_order_relaxed);
    int64_t before = measures ? cw_now_ns() : 0;
    while (!interrupted(m)) {
        if (atomic_load_explicit(&job->redo_ready, memory_order_relaxed) && run_redo(run))
            continue;
        int64_t limit = atomic_load_explicit(&job->stop_at, memory_order_relaxed);
        int64_t end = atomic_load_explicit(&job->end, memory_order_relaxed);
        if (at >= end || at > limit) {
            cw_job_spent(m->team, job);
            return;
        }
        int64_t n = cw_chunk_size(&rule, end - at, &seen);
        n = n < end - at ? n : end - at; /* the cursor must not run over */
        if (m->tasks_left > 0 && n > m->tasks_left)
            n = m->tasks_left;
        /* Pairs with cw_job_cut: the end is looked at after the claim. */
        int64_t lo = atomic_fetch_add(&job->cursor, n);
        end = atomic_load(&job->end);
        at = lo + n;
        if (lo >= end)
            continue;
        int64_t hi = at < end ? at : end;
        int64_t calls = run_claim(run, lo, hi, 1, job->resumed);
        if (measures) {
            int64_t now = cw_now_ns();
            /* What is passed over costs nothing, and says nothing of the others. */
            if (!job->resumed)
                seen = (struct cw_chunk_seen){.items = hi - lo, .ns = now - before};
            else if (calls > 0)
                seen = (struct cw_chunk_seen){.items = (calls - 1) / job->grain + 1,
                                              .ns = now - before};
            before = now;
        }
    }
}

bool cw_member_run_job(struct cw_member *m, int slot) {
    struct cw_frame nested;
    struct cw_frame *frame = m->top ? &nested : &m->line->frame;
    struct cw_job *job = cw_job_enter(m, slot);
    if (!job)
        return false;
    bool did = false;
    /* Whoever posted other work may have counted on this member to take it. */
    if ((atomic_load(&m->team->claimable) & ~(1ull << slot)) || cw_task_any(&m->maps, m->team))
        cw_team_wake(&m->maps, m->team, 1);
    struct cw_run run;
    cw_run_enter(&run, m, job, frame);
    if (job->kind == CW_JOB_EACH) {
        _Atomic unsigned char *marks = cw_ptr(&m->maps.arena, job->marks);
        const int32_t *attempts = cw_ptr(&m->maps.arena, job->attempts);
        int64_t item = m->team->first + m->rank, at = item - job->base;
        if (item < job->end && !marks[at]) {
            run_claim(&run, item, item + 1, attempts[at], false);
            did = true;
        }
        /* Before it leaves: the slot may be another job's then. */
        atomic_fetch_or(&m->line->each, 1ull << slot);
    } else {
        did = true;
        claim_on(&run);
    }
    cw_run_leave(&run);
    cw_job_leave(m, slot);
    return did;
}

static bool run_each_of(struct cw_member *m, uint64_t slots) {
    for (; slots; slots &= slots - 1)
        cw_member_run_job(m, __builtin_ctzll(slots));
    return true;
}

static uint64_t each_left(struct cw_member *m) {
    return atomic_load_explicit(&m->team->each, memory_order_acquire) &
           ~atomic_load_explicit(&m->line->each, memory_order_acquire);
}

static bool run_each(struct cw_member *m) {
    uint64_t slots = each_left(m);
    return slots && run_each_of(m, slots);
}

static bool run_jobs(struct cw_member *m) {
    uint64_t claimable = atomic_load_explicit(&m->team->claimable, memory_order_acquire);
    return claimable && cw_member_run_job(m, __builtin_ctzll(claimable));
}

/* ---- submitted tasks ---- */

static bool unwanted(struct cw_member *m, struct cw_task *task) {
    return (atomic_load_explicit(&task->state, memory_order_relaxed) & CW_TASK_KILL) ||
           atomic_load_explicit(&m->team->quit, memory_order_relaxed) == CW_TERMINATE;
}

static void call_task(struct cw_member *m, uint32_t number, struct cw_task *task,
                      struct cw_frame *frame) {
    crew_fn *fn = (crew_fn *)cw_member_fn(m, &task->fn);
    cw_guard_catch_up(m->maps.root);
    frame->task = task;
    frame->job = NULL;
    frame->spawned = 0;
    cw_call_set(&frame->call, &(crew_call){.in = cw_task_item(&m->maps, task),
                              .in_size = task->in_size,
                              .common = cw_ref_ptr(&m->maps, task->common),
                              .common_size = task->common_size,
                              .state = &m->state,
                              .index = task->index,
                              .worker = m->team->first + m->rank,
                              .node = m->team->node,
                              .attempt = task->attempt});
    cw_frame_enter(m, frame);
    struct cw_failure failure;
    int rc = 0;
    if (task->slot_size) {
        frame->call.out = cw_task_result_room(&m->maps, task, task->slot_size, NULL);
        frame->call.out_size = frame->call.out ? task->slot_size : 0;
    }
    if (!fn || (task->slot_size && !frame->call.out)) {
        frame->noted = 1;
        frame->refused = fn ? CREW_ENOMEM : CREW_EMISMATCH;
        snprintf(frame->text, sizeof frame->text, "%s",
                 fn ? "no memory for its result"
                    : "its function is not in the worker's program or libraries");
    } else {
        rc = fn(&frame->call);
    }
    int code = rc | frame->noted ? cw_frame_judge(frame, rc, &failure) : 0;
    cw_frame_leave(m, frame);
    if (m->own_process)
        cw_output_flush();
    /* One that gave up because nobody wants it any more has not failed. */
    if (code == CREW_EFAILED && unwanted(m, task))
        failure.code = code =
            atomic_load(&m->team->stopping) == CW_TEAM_ENDS ? CREW_ESTOPPED : CREW_ECANCELLED;
    add(&m->line->items, 1);
    if (code && code != CREW_ECANCELLED && code != CREW_ESTOPPED)
        add(&m->line->failures, 1);
    if (cw_task_is_child(task))
        cw_child_end(&m->maps, m->team, m->line, number, code ? &failure : NULL);
    else
        cw_root_end(&m->maps, m->team, m->line, number, code, code ? &failure : NULL);
}

static void drop_task(struct cw_member *m, uint32_t number, struct cw_task *task, int code) {
    struct cw_failure failure = {.code = code, .index = task->index, .worker = -1};
    if (code == CREW_ESTOPPED)
        snprintf(failure.text, sizeof failure.text, "stopped by %s", m->team->stopped_by);
    if (cw_task_is_child(task))
        cw_child_end(&m->maps, m->team, m->line, number, NULL);
    else
        cw_root_end(&m->maps, m->team, m->line, number, code, &failure);
}

/* Says in the line which record it runs (+ 1; 0: none). The turn first: whoever
 * sees a limit of the new task and then looks at the turn sees it changed. */
static void name(struct cw_member *m, uint32_t named, double seconds, uint64_t bytes) {
    struct cw_line *line = m->line;
    uint64_t turn = atomic_load_explicit(&line->task_turn, memory_order_relaxed);
    /* Pairs with the acquires in cw_stream_await: the end of the task before. */
    atomic_store_explicit(&line->task_turn, turn + 1, memory_order_release);
    if (named) {
        /* Pair with the acquires in the supervisor's limit_of. */
        atomic_store_explicit(&line->task_timeout, seconds, memory_order_release);
        atomic_store_explicit(&line->task_memory, bytes, memory_order_release);
    }
    /* Pairs with the acquires of the supervisor and of cw_stream_await. */
    atomic_store_explicit(&line->task, named, memory_order_release);
}

void cw_member_name_task(struct cw_member *m, uint32_t named) {
    if (named == CW_LINE_GANG) { /* again, after a task in which it waited */
        cw_member_name_gang(m, m->gang->task_timeout);
        return;
    }
    const struct cw_task *task = named ? cw_task_at(&m->maps, m->team, named - 1) : NULL;
    name(m, named, task ? task->task_timeout : 0, task ? task->task_memory : 0);
}

void cw_member_name_gang(struct cw_member *m, double task_timeout) {
    name(m, CW_LINE_GANG, task_timeout, 0);
}

static bool unwanted_child(struct cw_member *m, struct cw_task *task) {
    if (!cw_task_is_child(task))
        return false;
    /* Pairs with the fences of the manager between voiding children and its look at
     * who runs them (doom_void in api/submit.c): either it sees this one in our line,
     * or it is void here. */
    atomic_thread_fence(memory_order_seq_cst);
    return cw_child_void(&m->maps, m->team, task);
}

enum cw_took cw_member_take_task(struct cw_member *m, uint32_t *number) {
    struct cw_team *t = m->team;
    if (!cw_task_pop(&m->maps, t, number))
        return CW_TOOK_NOTHING;
    if (atomic_load_explicit(&t->room_wanted, memory_order_relaxed))
        cw_team_ring(&m->maps, t);
    struct cw_task *task = cw_task_at(&m->maps, t, *number);
    uint64_t was = atomic_load_explicit(&task->state, memory_order_acquire);
    /* A hint of a former life may lead to a gang. */
    if (cw_task_phase(was) != CW_TASK_QUEUED || task->ranks)
        return CW_TOOK_A_HINT;
    if (!cw_task_move(task, cw_task_generation(was), CW_TASK_QUEUED, CW_TASK_RUNNING,
                      (uint32_t)m->rank + 1, &was))
        return CW_TOOK_A_HINT;
    uint32_t outer = atomic_load_explicit(&m->line->task, memory_order_relaxed);
    cw_member_name_task(m, *number + 1);
    /* Who spun for this one was spared the wake-up of others: see cw_team_wake. */
    if (cw_task_any(&m->maps, t) || atomic_load(&t->claimable))
        cw_team_wake(&m->maps, t, 1);
    /* Pairs with the release in drain (api/stop.c). What a task has spawned is part of it. */
    bool late = atomic_load_explicit(&t->stopping, memory_order_acquire) && !cw_task_is_child(task);
    if (!(was & CW_TASK_KILL) && !late && !unwanted_child(m, task))
        return CW_TOOK_A_TASK;
    drop_task(m, *number, task, late ? CREW_ESTOPPED : CREW_ECANCELLED);
    cw_member_name_task(m, outer);
    return CW_TOOK_A_HINT;
}

bool cw_member_run_task(struct cw_member *m) {
    uint32_t outer = atomic_load_explicit(&m->line->task, memory_order_relaxed), number;
    switch (cw_member_take_task(m, &number)) {
    case CW_TOOK_NOTHING:
        return false;
    case CW_TOOK_A_HINT:
        return true;
    case CW_TOOK_A_TASK:
        break;
    }
    struct cw_frame nested;
    call_task(m, number, cw_task_at(&m->maps, m->team, number),
              m->top ? &nested : &m->line->frame);
    cw_member_name_task(m, outer);
    if (m->tasks_left > 0)
        m->tasks_left--;
    return true;
}

/* ---- resting ---- */

static bool has_work(struct cw_member *m) {
    struct cw_team *t = m->team;
    return atomic_load_explicit(&t->claimable, memory_order_relaxed) ||
           atomic_load_explicit(&t->quit, memory_order_relaxed) != CW_RUN || each_left(m) ||
           cw_muster_calls(m->muster) || cw_task_any(&m->maps, t);
}

static bool spin(struct cw_member *m) {
    struct cw_team *t = m->team;
    uint32_t nobody = 0;
    if (!m->spins || !atomic_compare_exchange_strong(&t->spinner, &nobody, (uint32_t)m->rank + 1))
        return false;
    bool found = false;
    for (int64_t end = cw_now_ns() + SPIN_NS; !found && cw_now_ns() < end;)
        for (int i = 0; i < SPINS_PER_LOOK && !found; i++) {
            found = has_work(m);
            cw_relax();
        }
    /* Sequentially consistent, and followed by another look at the rings (in
     * run_task or in rest): a submitter that saw us spin woke nobody. */
    atomic_store(&t->spinner, 0);
    return found;
}

static void rest(struct cw_member *m) {
    struct cw_team *t = m->team;
    cw_meter_stop(&m->line->busy);
    if (!spin(m)) {
        if (atomic_load_explicit(&t->hints_lost, memory_order_relaxed))
            cw_team_ring(&m->maps, t); /* the rings are dry: records may wait without a hint */
        uint64_t bit = 1ull << (m->rank % 64);
        _Atomic uint64_t *word = &t->asleep[m->rank / 64];
        atomic_store(&m->line->nap, 1);
        atomic_fetch_or(word, bit);
        /* Pairs with the fence in cw_team_wake. */
        atomic_thread_fence(memory_order_seq_cst);
        if (!has_work(m))
            cw_futex_wait(&m->line->nap, 1, -1);
        atomic_fetch_and(word, ~bit);
    }
    cw_meter_start(&m->line->busy);
}

/* One piece of work: a task, or claims of a map. False: there is none. */
static bool step(struct cw_member *m) {
    return cw_member_muster(m) || run_each(m) || cw_member_run_task(m) || run_jobs(m);
}

/* ---- a life ---- */

/* init or fini: a call that is no item. */
static int call_hook(struct cw_member *m, cw_fn_name name, cw_off arg, uint64_t size,
                     struct cw_failure *failure) {
    struct cw_frame *frame = &m->line->frame;
    frame->job = NULL;
    frame->task = NULL;
    frame->spawned = 0;
    cw_call_set(&frame->call, &(crew_call){.in = cw_ptr(&m->maps.arena, arg),
                              .in_size = size,
                              .state = &m->state,
                              .index = -1,
                              .worker = m->team->first + m->rank,
                              .node = m->team->node,
                              .attempt = 1});
    cw_frame_enter(m, frame);
    crew_fn *fn = (crew_fn *)cw_member_fn(m, &name);
    int code;
    if (fn) {
        code = cw_frame_judge(frame, fn(&frame->call), failure);
    } else {
        *failure = (struct cw_failure){.code = CREW_EMISMATCH};
        snprintf(failure->text, sizeof failure->text,
                 "it is not in the worker's program or libraries");
        code = CREW_EMISMATCH;
    }
    cw_frame_leave(m, frame);
    if (m->own_process)
        cw_output_flush();
    return code;
}

bool cw_member_begin(struct cw_member *m) {
    struct cw_team *t = m->team;
    struct cw_failure failure = {0};
    if (t->init.object)
        atomic_store_explicit(&m->line->ready, CW_READY_IN_INIT, memory_order_release);
    if (t->init.object && call_hook(m, t->init, t->init_arg, t->init_size, &failure)) {
        m->line->frame.failed = failure.code;
        m->line->frame.refused = failure.task_code;
        memcpy(m->line->frame.text, failure.text, sizeof failure.text);
        /* Pairs with the acquire of the opener: the failure above. */
        atomic_store_explicit(&m->line->ready, CW_READY_NEVER, memory_order_release);
        cw_team_ring(&m->maps, t);
        return false;
    }
    /* What init keeps is not its tasks' doing. */
    if (m->own_process && t->task_memory)
        atomic_store(&m->line->idle_bytes, cw_process_private_bytes(getpid()));
    cw_meter_start(&m->line->there);
    atomic_store_explicit(&m->line->ready, CW_READY_YES, memory_order_release);
    /* The opener waits for all of them: the last one says so. */
    if (atomic_fetch_add(&t->ready_count, 1) + 1 >= (uint32_t)t->members)
        cw_team_ring(&m->maps, t);
    return true;
}

void cw_member_end(struct cw_member *m) {
    struct cw_failure ignored; /* nobody is left to hear of it */
    if (m->team->fini.object)
        call_hook(m, m->team->fini, 0, 0, &ignored);
}

bool cw_member_live(struct cw_member *m) {
    struct cw_team *t = m->team;
    m->outer = cw_this_member;
    cw_this_member = m;
    bool in_order = false;
    if (cw_member_begin(m)) {
        cw_meter_start(&m->line->busy);
        for (;;) {
            uint32_t quit = atomic_load_explicit(&t->quit, memory_order_acquire);
            if (quit == CW_TERMINATE)
                break;
            if (m->tasks_left == 0 || (!step(m) && quit == CW_DRAIN)) {
                in_order = true;
                break;
            }
            if (m->tasks_left != 0 && !has_work(m)) /* else its successor comes at once */
                rest(m);
        }
        if (in_order)
            cw_member_end(m);
    }
    cw_this_member = m->outer;
    return in_order;
}
