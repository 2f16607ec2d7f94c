#include "team/proxy.h"

#include "sched/ledger.h"

void cw_proxy_init(struct cw_proxy *x, const struct cw_maps *maps, struct cw_team *team, int rank,
                   cw_off nap) {
    *x = (struct cw_proxy){.holds = CW_PROXY_IDLE};
    cw_member_init(&x->member, maps, team, rank);
    x->member.own_process = 0;
    x->member.muster = NULL;
    x->member.tasks_left = -1;
    x->member.line->nap_at = nap;
}

static void count(_Atomic int64_t *counter, int64_t n) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* Where nothing is to start any more. */
static int64_t limit(const struct cw_job *job) {
    int64_t stop = atomic_load_explicit(&job->stop_at, memory_order_relaxed);
    return stop < job->end - 1 ? stop + 1 : job->end;
}

bool cw_proxy_enter(struct cw_proxy *x, int slot, int64_t *left) {
    struct cw_job *job = cw_job_enter(&x->member, slot);
    if (!job)
        return false;
    x->slot = slot;
    x->job = job;
    int64_t at = atomic_load_explicit(&job->cursor, memory_order_relaxed), end = limit(job);
    *left = at < end ? end - at : 0;
    if (job->kind == CW_JOB_EACH)
        return true;
    if (atomic_load_explicit(&job->redo_ready, memory_order_relaxed))
        *left += 1;
    if (*left > 0)
        return true;
    cw_job_spent(x->member.team, job);
    cw_proxy_leave(x);
    return false;
}

void cw_proxy_leave(struct cw_proxy *x) {
    x->job = NULL;
    x->holds = CW_PROXY_IDLE;
    cw_job_leave(&x->member, x->slot);
}

static void hold(struct cw_proxy *x, int64_t lo, int64_t hi, int attempt) {
    x->lo = lo;
    x->hi = hi;
    x->attempt = attempt;
    x->holds = CW_PROXY_RANGE;
    cw_line_hold(x->member.line, lo, hi);
}

static bool claim_redo(struct cw_proxy *x) {
    struct cw_job *job = x->job;
    if (!atomic_load_explicit(&job->redo_ready, memory_order_relaxed) ||
        !(x->redo = cw_job_take_redo(job, x->member.rank)))
        return false;
    atomic_store_explicit(&x->member.line->redo, (uint32_t)(x->redo - job->redo) + 1,
                          memory_order_release);
    hold(x, x->redo->lo, x->redo->hi, x->redo->attempt);
    return true;
}

/* Of a map that goes on from a journal: up to n items of the first ones from the cursor
 * on that are not done, with no done ones between. */
static bool claim_undone(struct cw_proxy *x, int64_t n, int64_t end) {
    struct cw_job *job = x->job;
    const unsigned char *marks = cw_ptr(&x->member.maps.arena, job->marks);
    int64_t at = atomic_load_explicit(&job->cursor, memory_order_relaxed), lo, hi;
    while (at < end) {
        bool any = cw_marks_gap(marks, at - job->base, end - job->base, &lo, &hi);
        lo = any ? lo + job->base : end;
        hi = any ? hi + job->base : end;
        hi = hi - lo < n ? hi : lo + n;
        if (!atomic_compare_exchange_weak_explicit(&job->cursor, &at, hi, memory_order_relaxed,
                                                   memory_order_relaxed))
            continue;
        x->passed = lo - at;
        if (any)
            hold(x, lo, hi, 1);
        return any;
    }
    return false;
}

bool cw_proxy_claim(struct cw_proxy *x, int64_t n) {
    struct cw_job *job = x->job;
    x->redo = NULL;
    x->passed = 0;
    if (claim_redo(x))
        return true;
    int64_t at = atomic_load_explicit(&job->cursor, memory_order_relaxed), end = limit(job);
    if (job->resumed && claim_undone(x, n, end))
        return true;
    if (!job->resumed && at < end) {
        n = n < end - at ? n : end - at; /* the cursor must not run over */
        int64_t lo = atomic_fetch_add_explicit(&job->cursor, n, memory_order_relaxed);
        if (lo < job->end) {
            hold(x, lo, lo + n < job->end ? lo + n : job->end, 1);
            return true;
        }
    }
    cw_proxy_leave(x);
    return false;
}

void cw_proxy_claim_each(struct cw_proxy *x, int64_t lo, int64_t hi) {
    x->redo = NULL;
    hold(x, lo, hi, 1);
}

/* What has no mark runs again, here or elsewhere, and nobody is to blame. What finds no
 * slot is found by the manager when the rest is over. */
static void give_back(struct cw_proxy *x) {
    struct cw_job *job = x->job;
    const struct cw_maps *maps = &x->member.maps;
    const unsigned char *marks = cw_ptr(&maps->arena, job->marks);
    int64_t end = limit(job), lo, hi, at = x->lo;
    end = x->hi < end ? x->hi : end;
    while (at < end && cw_marks_gap(marks, at - job->base, end - job->base, &lo, &hi)) {
        at = hi + job->base;
        if (!cw_job_redo(maps, x->member.team, job, lo + job->base, at, x->attempt))
            return;
    }
}

void cw_proxy_range_over(struct cw_proxy *x, int64_t calls) {
    struct cw_line *line = x->member.line;
    struct cw_job *job = x->job;
    atomic_store_explicit(&line->hi, 0, memory_order_release);
    count(&line->items, calls);
    if (x->redo) {
        atomic_store_explicit(&line->redo, 0, memory_order_relaxed);
        /* Pairs with the acquire in cw_job_redo: the slot may be filled again. */
        atomic_store_explicit(&x->redo->state, 0, memory_order_release);
    }
    if (job->kind != CW_JOB_EACH)
        give_back(x);
    atomic_store_explicit(&line->cancel, 0, memory_order_relaxed);
    cw_proxy_leave(x);
}

void cw_proxy_give_back(struct cw_proxy *x, int64_t lo, int parts) {
    struct cw_job *job = x->job;
    int64_t end = limit(job), hi = x->hi < end ? x->hi : end;
    x->hi = lo;
    atomic_store_explicit(&x->member.line->hi, lo, memory_order_release);
    for (; lo < hi; parts -= parts > 1) {
        int64_t n = (hi - lo + parts - 1) / parts;
        if (!cw_job_redo(&x->member.maps, x->member.team, job, lo, lo + n, x->attempt))
            return; /* the manager finds what has no mark when the rest is over */
        lo += n;
    }
}

bool cw_proxy_take(struct cw_proxy *x) {
    enum cw_took took;
    while ((took = cw_member_take_task(&x->member, &x->number)) == CW_TOOK_A_HINT)
        ;
    if (took == CW_TOOK_NOTHING)
        return false;
    x->holds = CW_PROXY_TASK;
    return true;
}

static void put_down(struct cw_proxy *x) {
    struct cw_member *m = &x->member;
    cw_member_name_task(m, 0);
    atomic_store_explicit(&m->line->cancel, 0, memory_order_relaxed);
    x->holds = CW_PROXY_IDLE;
}

void cw_proxy_task_back(struct cw_proxy *x) {
    struct cw_member *m = &x->member;
    struct cw_task *task = cw_task_at(&m->maps, m->team, x->number);
    uint32_t generation = cw_task_generation(atomic_load(&task->state));
    cw_task_move(task, generation, CW_TASK_RUNNING, CW_TASK_QUEUED, 0, NULL);
    /* Without a hint it would wait until the rings are dry: then hints are given anew. */
    if (!cw_task_hint(&m->maps, m->team, x->number, task->priority))
        atomic_store(&m->team->hints_lost, 1);
    put_down(x);
    cw_team_wake(&m->maps, m->team, 1);
}

static void end_task(struct cw_proxy *x, int code, const struct cw_failure *failure) {
    struct cw_member *m = &x->member;
    if (cw_task_is_child(cw_task_at(&m->maps, m->team, x->number)))
        cw_child_end(&m->maps, m->team, m->line, x->number, failure);
    else
        cw_root_end(&m->maps, m->team, m->line, x->number, code, failure);
    put_down(x);
}

void cw_proxy_task_cancelled(struct cw_proxy *x) {
    const struct cw_task *task = cw_task_at(&x->member.maps, x->member.team, x->number);
    bool stopped = atomic_load(&x->member.team->stopping) && !cw_task_is_child(task);
    const struct cw_failure f = {.code = stopped ? CREW_ESTOPPED : CREW_ECANCELLED,
                                 .index = task->index,
                                 .worker = -1};
    end_task(x, f.code, &f);
}

void cw_proxy_task_over(struct cw_proxy *x, int code, const struct cw_failure *failure) {
    struct cw_member *m = &x->member;
    count(&m->line->items, 1);
    if (code && code != CREW_ECANCELLED)
        count(&m->line->failures, 1);
    end_task(x, code, failure);
}
