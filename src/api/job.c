/* A map's way over the board: posted, moved on, retired. */
#include "api/home.h"
#include "api/job_impl.h"
#include "api/joint.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* ---- onto the board ---- */

static int free_slot(crew_pool *p) {
    for (int slot = 0; slot < CW_JOB_SLOTS; slot++)
        if (!p->jobs[slot])
            return slot;
    return -1;
}

void cw_job_put_up(crew_pool *p, crew_job *j, int slot) {
    struct cw_team *t = p->team;
    struct cw_job *job = j->shared;
    job->slot = (uint32_t)slot;
    p->generation += p->generation < UINT32_MAX ? 1 : 2; /* 0 is no map's */
    job->generation = p->generation;
    p->jobs[slot] = j;
    j->state = CW_J_POSTED;
    bool watched = j->async || j->left >= 0 || p->fd >= 0;
    atomic_store(&t->job_bell[slot].watched, watched);
    atomic_store_explicit(&t->job[slot], (cw_off)((char *)job - p->session->own.base),
                          memory_order_release);
    /* Pairs with job_enter: whoever sees the bit sees the job. */
    atomic_fetch_or(&t->jobs, 1ull << slot);
    if (job->kind == CW_JOB_EACH) {
        for (int rank = 0; rank < p->members; rank++)
            atomic_fetch_and(&cw_team_line(&p->maps, t, rank)->each, ~(1ull << slot));
        atomic_fetch_or(&t->each, 1ull << slot);
    } else {
        atomic_fetch_or(&t->claimable, 1ull << slot);
    }
    int64_t items = job->end - job->base;
    bool all = job->kind == CW_JOB_EACH || items > p->members;
    cw_team_wake(&p->maps, t, all ? p->members : (int)items);
}

crew_job *cw_job_next(crew_job *j) {
    return j->next;
}

int cw_job_post(crew_pool *p, crew_job *j, crew_error *err) {
    pthread_mutex_lock(&p->lock);
    int rc = cw_pool_accepts(p, err);
    int slot = rc < 0 ? -1 : free_slot(p);
    struct cw_member *member = cw_pool_member(p);
    if (rc == 0 && member && (member->level >= CW_NESTED || slot < 0))
        rc = cw_error_set(err, slot < 0 ? CREW_EAGAIN : CREW_EINVAL, 0,
                          slot < 0 ? "a map inside a task finds %d maps running"
                                   : "maps inside tasks of the same pool may be nested %d deep",
                          slot < 0 ? CW_JOB_SLOTS : CW_NESTED);
    j->inner = member != NULL;
    if (rc == 0 && j->shared->count == 0) {
        j->state = CW_J_RETIRED;
    } else if (rc == 0 && slot >= 0) {
        cw_job_put_up(p, j, slot);
    } else if (rc == 0) {
        j->next = NULL;
        *p->waiting_end = j;
        p->waiting_end = &j->next;
    }
    /* A lease tells of its end by itself. */
    bool limits = j->left >= 0 || j->opts.progress || p->opts.task_timeout > 0 ||
                  p->opts.task_memory || (j->async && !j->lease) ||
                  p->session->config.progress == 1;
    p->limit_visits = limits ? CW_LIMIT_VISITS : p->limit_visits;
    pthread_mutex_unlock(&p->lock);
    if (rc == 0 && limits)
        cw_session_ring(p->session);
    return rc;
}

static void unqueue(crew_pool *p, crew_job *j) {
    crew_job **at = &p->waiting;
    while (*at && *at != j)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = j->next;
    if (p->waiting_end == &j->next)
        p->waiting_end = at;
}

/* ---- moving on ---- */

static bool inside(crew_pool *p, uint32_t slot) {
    for (int rank = 0; rank < p->members; rank++)
        for (int level = 0; level < CW_NESTED; level++)
            if (atomic_load(&cw_team_line(&p->maps, p->team, rank)->doing[level]) == slot + 1)
                return true;
    return false;
}

static void run_again(crew_job *j, int64_t lo, int64_t hi, int attempt) {
    if (j->again_count == j->again_room) {
        size_t room = j->again_room ? 2 * j->again_room : 16;
        struct cw_again *more = realloc(j->again, room * sizeof *more);
        if (!more)
            return; /* the last look at the marks finds them, if not their attempts */
        j->again = more;
        j->again_room = room;
    }
    j->again[j->again_count++] = (struct cw_again){lo, hi, attempt};
}

static void push_again(crew_pool *p, crew_job *j) {
    while (j->again_count) {
        struct cw_again *a = &j->again[j->again_count - 1];
        if (!cw_job_redo(&p->maps, p->team, j->shared, a->lo, a->hi, a->attempt))
            return;
        j->again_count--;
    }
}

/* A range that waits or runs. One that is ready is offered again: whoever was
 * about to take it may have died. */
static bool redo_busy(crew_pool *p, struct cw_job *job) {
    bool busy = false, ready = false;
    for (int i = 0; i < CW_REDO_SLOTS; i++) {
        uint32_t state = atomic_load(&job->redo[i].state);
        busy = busy || state != 0;
        ready = ready || state == 1;
    }
    if (ready) {
        atomic_store(&job->redo_ready, 1);
        atomic_fetch_or(&p->team->claimable, 1ull << job->slot);
        cw_team_wake(&p->maps, p->team, 1);
    }
    return busy;
}

static void retire(crew_pool *p, crew_job *j, bool members) {
    struct cw_team *t = p->team;
    uint32_t slot = j->shared->slot;
    /* Pairs with job_enter: nobody comes in any more; who is in leaves by itself. */
    atomic_fetch_and(&t->jobs, ~(1ull << slot));
    atomic_fetch_and(&t->claimable, ~(1ull << slot));
    atomic_fetch_and(&t->each, ~(1ull << slot));
    /* Who came in just now rings when it leaves, or its death does: then again. */
    if (members && inside(p, slot))
        return;
    bool more = !j->lease && j->shared->end < j->shared->count && !j->stop_code &&
                atomic_load(&j->shared->stop_at) >= j->shared->end;
    if (members && more)
        j->state = CW_J_BETWEEN;
    else
        cw_job_give_place(p, j);
}

void cw_job_give_place(crew_pool *p, crew_job *j) {
    uint32_t slot = j->shared->slot;
    p->jobs[slot] = NULL;
    j->state = CW_J_RETIRED;
    crew_job *next = p->waiting;
    if (next) {
        unqueue(p, next);
        cw_job_put_up(p, next, (int)slot);
    }
    pthread_cond_broadcast(&p->changed);
}

/* The first run of unmarked items in [from, to) of the slice. */
static bool gap_in(crew_pool *p, const struct cw_job *job, int64_t from, int64_t to, int64_t *lo,
                   int64_t *hi) {
    const unsigned char *marks = cw_ptr(&p->maps.arena, job->marks);
    if (!cw_marks_gap(marks, from - job->base, to - job->base, lo, hi))
        return false;
    *lo += job->base;
    *hi += job->base;
    return true;
}

void cw_pool_advance(crew_pool *p, crew_job *j) {
    struct cw_job *job = j->shared;
    if (j->state != CW_J_POSTED)
        return;
    bool members = !p->broken.code || !cw_pool_empty(p);
    int64_t stop = atomic_load(&job->stop_at);
    int64_t end = stop < job->end - 1 ? stop + 1 : job->end;
    if (members) {
        push_again(p, j);
        if (job->kind != CW_JOB_EACH && atomic_load(&job->cursor) < end)
            return;
        if (inside(p, job->slot))
            return;
        if (end > job->base && (redo_busy(p, job) || j->again_count))
            return;
        if (atomic_load(&job->children) > 0)
            return;
        /* Everything is claimed and nobody holds anything: what is not marked now
         * was lost with a member between its claim and saying so. */
        atomic_thread_fence(memory_order_acquire);
        int64_t lo, hi;
        if (gap_in(p, job, job->base, end, &lo, &hi)) {
            if (job->kind != CW_JOB_EACH) /* each: the new member of that rank runs it */
                cw_job_redo(&p->maps, p->team, job, lo, hi, 1);
            else if (p->home)
                cw_home_fail_each(p, job);
            return;
        }
    }
    retire(p, j, members);
}

/* What items [lo, hi) have spawned in an execution that does not count. */
static void disown(crew_pool *p, struct cw_job *job, int64_t lo, int64_t hi) {
    const struct cw_origin from = {
        .slot = job->slot + 1, .generation = job->generation, .lo = lo, .hi = hi};
    if (atomic_load(&job->children) > 0)
        cw_pool_disown(p, &from);
}

void cw_pool_stop_job(crew_pool *p, crew_job *j, int code) {
    if (j->state == CW_J_WAITING) {
        unqueue(p, j);
        j->stop_code = code;
        j->state = CW_J_RETIRED;
        pthread_cond_broadcast(&p->changed);
        return;
    }
    if (j->state < CW_J_POSTED || j->state > CW_J_TURNING || (j->stop_code && !j->drains))
        return;
    j->stop_code = j->drains ? j->stop_code : code;
    j->drains = false;
    if (j->state != CW_J_POSTED) /* nobody is inside; whoever turns it sees the code */
        return;
    atomic_store(&j->shared->voided, 1);
    cw_job_stop_above(j->shared, -1);
    disown(p, j->shared, 0, INT64_MAX);
    /* Pairs with the fence in job_enter: either it is seen inside here, or it sees
     * that nothing starts any more. */
    atomic_thread_fence(memory_order_seq_cst);
    for (int rank = 0; rank < p->members && p->ops->kills; rank++)
        if (atomic_load(&cw_team_line(&p->maps, p->team, rank)->doing[0]) == j->shared->slot + 1)
            cw_pool_doom(p, rank, CW_CANCEL);
    cw_job_ring(&p->maps, p->team, j->shared->slot);
    cw_session_ring(p->session);
}

void cw_pool_drain_job(crew_pool *p, crew_job *j) {
    if (j->state < CW_J_POSTED || j->state > CW_J_TURNING || j->stop_code || j->inner)
        return;
    j->stop_code = CREW_ESTOPPED;
    j->drains = true;
    if (j->state != CW_J_POSTED)
        return;
    cw_job_stop_above(j->shared, -1);
    cw_job_ring(&p->maps, p->team, j->shared->slot);
    cw_session_ring(p->session);
}

/* ---- a member is gone ---- */

static struct cw_failure lost_with(crew_pool *p, int rank, enum cw_verdict verdict,
                                   enum cw_reason reason, int status) {
    struct cw_line *line = cw_team_line(&p->maps, p->team, rank);
    struct cw_failure f = {.code = verdict == CW_OVER_LIMIT ? CREW_ELIMIT : CREW_EDIED,
                           .index = line->frame.call.index,
                           .worker = p->team->first + rank,
                           .node = p->team->node,
                           .pid = atomic_load(&cw_team_seat(&p->maps, p->team, rank)->pid),
                           .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                           .attempt = line->frame.call.attempt};
    char size[CW_SIZE_TEXT];
    if (reason == CW_TOO_LONG)
        snprintf(f.text, sizeof f.text, "over its time limit of %g s", p->opts.task_timeout);
    else if (reason == CW_TOO_BIG)
        snprintf(f.text, sizeof f.text, "over its memory limit of %s",
                 cw_size_text(p->opts.task_memory, size));
    else
        cw_process_describe_status(status, f.text, sizeof f.text);
    return f;
}

/* The item or block [lo, hi). */
static void sentence(crew_pool *p, crew_job *j, int rank, int64_t lo, int64_t hi, int attempt,
                     enum cw_reason reason, int status) {
    switch (cw_judge(reason, attempt, j->shared->retries)) {
    case CW_RUN_AGAIN:
        run_again(j, lo, hi, attempt + 1);
        break;
    case CW_NOT_COUNTED:
        run_again(j, lo, hi, attempt);
        break;
    case CW_WAS_CANCELLED:
        break; /* stays unmarked: the job was stopped */
    case CW_DIED:
    case CW_OVER_LIMIT: {
        struct cw_failure f =
            lost_with(p, rank, cw_judge(reason, attempt, j->shared->retries), reason, status);
        f.attempt = attempt;
        for (f.item = lo; f.item < hi; f.item++)
            cw_job_fail(&p->maps, j->shared, &f);
        struct cw_line *line = cw_team_line(&p->maps, p->team, rank);
        atomic_fetch_add(&line->failures, 1);
    }
    }
}

int64_t cw_job_calls(const struct cw_job *job, const unsigned char *marks, int64_t lo,
                     int64_t hi) {
    int64_t last = job->count - 1;
    if (lo >= hi)
        return 0;
    int64_t calls = cw_marks_count(marks, lo - job->base, hi - job->base) * job->grain;
    bool has_last = lo <= last && last < hi && marks[last - job->base];
    return has_last ? calls - (job->count * job->grain - job->total) : calls;
}

static void take_back_redo(struct cw_job *job, int rank, uint32_t held) {
    for (uint32_t i = 0; i < CW_REDO_SLOTS; i++)
        if (atomic_load(&job->redo[i].state) == 2 + (uint32_t)rank)
            atomic_store(&job->redo[i].state, i + 1 == held ? 0 : 1);
}

void cw_pool_member_left_jobs(crew_pool *p, int rank, enum cw_reason reason, int status) {
    struct cw_line *line = cw_team_line(&p->maps, p->team, rank);
    uint32_t doing = atomic_load(&line->doing[0]);
    crew_job *j = doing ? p->jobs[doing - 1] : NULL;
    if (!j)
        return;
    struct cw_job *job = j->shared;
    _Atomic unsigned char *marks = cw_ptr(&p->maps.arena, job->marks);
    int64_t lo = atomic_load(&line->lo), hi = atomic_load(&line->hi);
    int64_t index = __atomic_load_n(&line->frame.call.index, __ATOMIC_RELAXED);
    uint32_t held = atomic_load(&line->redo);
    int32_t *attempts = cw_ptr(&p->maps.arena, job->attempts);
    /* A proxy's are those of workers that nobody replaces. */
    bool ends = attempts && rank >= p->natives;
    int64_t each = attempts && !ends ? p->team->first + rank - job->base : 0;
    int attempt = held ? job->redo[held - 1].attempt : attempts ? attempts[each] : 1;
    if (reason == CW_CANCEL && !j->stop_code)
        reason = CW_INNOCENT; /* it was meant for what ran here before */
    int64_t from = index / job->grain, to = from + 1;
    bool blamed = index >= 0 && lo <= from && to <= hi &&
                  !atomic_load(&marks[from - job->base]);
    atomic_fetch_add(&line->items, cw_job_calls(job, (const unsigned char *)marks, lo, hi));
    take_back_redo(job, rank, held);
    if (blamed) {
        disown(p, job, from, to);
        sentence(p, j, rank, from, to, attempt, reason, status);
    } else {
        from = to = hi;
    }
    /* The rest of its range is nobody's fault. */
    int64_t at = lo, gap_lo, gap_hi;
    while (gap_in(p, job, at, from, &gap_lo, &gap_hi)) {
        run_again(j, gap_lo, gap_hi, attempt);
        at = gap_hi;
    }
    at = to;
    while (gap_in(p, job, at, hi, &gap_lo, &gap_hi)) {
        run_again(j, gap_lo, gap_hi, attempt);
        at = gap_hi;
    }
    if (ends)
        j->again_count = 0;
    else if (attempts && j->again_count) {
        /* The next member of this rank finds its mark missing. */
        attempts[each] = j->again[j->again_count - 1].attempt;
        j->again_count = 0;
    }
    atomic_store(&line->doing[0], 0);
    push_again(p, j);
    cw_job_ring(&p->maps, p->team, doing - 1);
}

/* ---- waiting ---- */

void cw_job_await(crew_pool *p, crew_job *j) {
    bool helps = cw_pool_helps(p);
    struct cw_deadline forever = cw_deadline_in(CREW_FOREVER);
    for (;;) {
        pthread_mutex_lock(&p->lock);
        while (j->state == CW_J_WAITING && !helps)
            cw_pool_sleep(p, &forever);
        cw_pool_advance(p, j);
        if (j->state == CW_J_BETWEEN)
            cw_job_turn(p, j);
        enum cw_job_state state = j->state;
        pthread_mutex_unlock(&p->lock);
        if (state >= CW_J_RETIRED)
            return;
        uint32_t slot = j->shared->slot;
        if (state == CW_J_POSTED && helps)
            cw_pool_help_job(p, j->shared);
        _Atomic uint32_t *count = &p->team->job_bell[slot].count;
        atomic_fetch_add(&p->team->job_bell[slot].sleeping, 1);
        uint32_t seen = atomic_load(count);
        pthread_mutex_lock(&p->lock);
        cw_pool_advance(p, j);
        state = j->state;
        pthread_mutex_unlock(&p->lock);
        /* The bound is for a job that has no place yet; all else rings. */
        if (state < CW_J_RETIRED && state != CW_J_BETWEEN)
            cw_joint_wait(count, seen, 0.25);
        atomic_fetch_sub(&p->team->job_bell[slot].sleeping, 1);
    }
}
