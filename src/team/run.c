/* Running ranges of a map. run_items is the loop that everything is measured by:
 * per item a call, the index published, a mark; no lock, no clock, no system
 * call, and no cache line that another member writes but the marks' own. */
#include "team/member.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNLIKELY(x) __builtin_expect(!!(x), 0)

static void publish(struct cw_frame *frame, int64_t index) {
    /* Relaxed: the supervisor samples it, and reads it after a death. */
    __atomic_store_n(&frame->call.index, index, __ATOMIC_RELAXED);
}

static void begin(struct cw_frame *frame, int64_t index) {
    frame->rng_ready = 0;
    frame->spawned = 0;
    publish(frame, index);
}

/* For calls that may have spawned: a child that has failed already has marked
 * the item, and that stays. */
static void mark_unless(_Atomic unsigned char *mark) {
    unsigned char none = CW_MARK_NONE;
    atomic_compare_exchange_strong_explicit(mark, &none, CW_MARK_DONE, memory_order_release,
                                            memory_order_relaxed);
}

static void set_mark(_Atomic unsigned char *mark) {
    /* Pairs with the acquire of the manager's look at the marks: the result. */
    atomic_store_explicit(mark, CW_MARK_DONE, memory_order_release);
}

/* A call came back with something to say. True: it failed. */
static bool failed(struct cw_member *m, struct cw_job *job, struct cw_frame *frame, int rc,
                   int64_t item) {
    struct cw_failure failure;
    if (!cw_frame_judge(frame, rc, &failure))
        return false;
    /* What gave up because nobody wants it any more has not failed: it has not run. */
    if (failure.code == CREW_EFAILED && atomic_load(&job->voided))
        return true;
    failure.item = item;
    if (job->kind == CW_JOB_FOR && frame->failed_at / job->grain == item &&
        frame->failed_at >= 0 && frame->failed_at < job->total)
        failure.index = frame->failed_at;
    cw_job_fail(&m->maps, job, &failure);
    atomic_store_explicit(&m->line->failures,
                          atomic_load_explicit(&m->line->failures, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    return true;
}

/* After a call that used something of its frame: an answer other than "done",
 * random numbers, children. */
static void settle(const struct cw_run *run, int rc, int64_t i, _Atomic unsigned char *mark) {
    struct cw_frame *const frame = run->frame;
    /* One that has failed is marked so. */
    if (!((rc | frame->noted) && failed(run->member, run->job, frame, rc, i)))
        mark_unless(mark);
    frame->touched = 0;
    frame->spawned = 0;
    frame->rng_ready = 0;
}

/* These return how many calls they made; an index of a block counts as one.
 *
 * Addresses are numbers here, because there may be no input, or no results. The
 * two flags are constants where this is called. */
static inline __attribute__((always_inline)) int64_t run_items_as(const struct cw_run *run,
                                                                  int64_t lo, int64_t hi,
                                                                  const bool again,
                                                                  const bool is_index) {
    struct cw_job *const job = run->job;
    struct cw_frame *const frame = run->frame;
    const struct cw_view v = run->view;
    crew_call *call = &frame->call;
    const uint64_t step = (uint64_t)job->step;
    /* Unsigned: beyond the last item nobody asks for the value. */
    uint64_t value = (uint64_t)job->first + (uint64_t)lo * step;
    _Atomic unsigned char *mark = v.marks + (lo - v.base);
    uintptr_t in = (uintptr_t)v.in + (uintptr_t)lo * v.in_step;
    uintptr_t out = (uintptr_t)v.out + (uintptr_t)lo * v.out_step;
    int64_t skipped = 0, i = lo;
    if (is_index)
        call->in = &frame->value;
    frame->touched = 0;
    frame->spawned = 0;
    frame->rng_ready = 0;
    for (; i < hi; i++, mark++, value += step, in += v.in_step, out += v.out_step) {
        if (UNLIKELY(i > atomic_load_explicit(&job->stop_at, memory_order_relaxed)))
            break;
        if (again && atomic_load_explicit(mark, memory_order_relaxed)) {
            skipped++;
            continue;
        }
        if (is_index)
            frame->value = (int64_t)value;
        else
            call->in = (const void *)in;
        call->out = (void *)out;
        publish(frame, i);
        int rc = v.fn(call);
        if (UNLIKELY(rc | frame->touched))
            settle(run, rc, i, mark);
        else
            set_mark(mark);
    }
    return i - lo - skipped;
}

static int64_t run_items(const struct cw_run *run, int64_t lo, int64_t hi, bool again) {
    if (again)
        return run->job->is_index ? run_items_as(run, lo, hi, true, true)
                                  : run_items_as(run, lo, hi, true, false);
    return run->job->is_index ? run_items_as(run, lo, hi, false, true)
                              : run_items_as(run, lo, hi, false, false);
}

static int64_t run_bytes(const struct cw_run *run, int64_t lo, int64_t hi) {
    struct cw_member *const m = run->member;
    struct cw_job *const job = run->job;
    struct cw_frame *const frame = run->frame;
    const struct cw_view v = run->view;
    const struct cw_slice *slices = cw_ptr(&m->maps.arena, job->slices);
    struct cw_answer *answers = cw_ptr(&m->maps.arena, job->answers);
    const char *in = cw_ref_ptr(&m->maps, job->in);
    int64_t calls = 0;
    for (int64_t i = lo; i < hi; i++) {
        const int64_t at = i - job->origin;
        _Atomic unsigned char *mark = &v.marks[i - v.base];
        if (i > atomic_load_explicit(&job->stop_at, memory_order_relaxed))
            break;
        if (atomic_load_explicit(mark, memory_order_relaxed))
            continue;
        frame->call.in = in + slices[at].at;
        frame->call.in_size = slices[at].size;
        begin(frame, i);
        cw_free_cell(&m->maps.arena, &answers[at].cell); /* of an attempt that died */
        answers[at].size = 0;
        calls++;
        int rc = v.fn(&frame->call);
        if ((rc | frame->noted) && failed(m, job, frame, rc, i))
            continue;
        mark_unless(mark);
    }
    return calls;
}

/* An item is a block of `grain` indices: one call. Which block an index lies in is
 * the same in every run, so a failure is named alike whoever claimed how much. */
static int64_t run_for(const struct cw_run *run, int64_t lo, int64_t hi, bool again) {
    struct cw_member *const m = run->member;
    struct cw_job *const job = run->job;
    struct cw_frame *const frame = run->frame;
    const struct cw_view v = run->view;
    typedef int body(crew_call * call, int64_t lo, int64_t hi);
    int64_t calls = 0;
    frame->call.in = &frame->value;
    for (int64_t b = lo; b < hi; b++) {
        _Atomic unsigned char *mark = &v.marks[b - v.base];
        if (b > atomic_load_explicit(&job->stop_at, memory_order_relaxed))
            break;
        if (again && atomic_load_explicit(mark, memory_order_relaxed))
            continue;
        int64_t from = b * job->grain;
        int64_t to = b + 1 < job->count ? from + job->grain : job->total;
        frame->value = from;
        frame->failed_at = -1;
        begin(frame, from);
        calls += to - from;
        int rc = ((body *)(cw_fn *)v.fn)(&frame->call, from, to);
        if ((rc | frame->noted) && failed(m, job, frame, rc, b))
            continue;
        if (frame->spawned)
            mark_unless(mark);
        else
            set_mark(mark);
    }
    return calls;
}

/* One block of a reduce: its calls in order, combined from the left. */
static bool fold_block(struct cw_member *m, struct cw_job *job, const struct cw_view *v,
                       int64_t block, struct cw_frame *frame, void *one, int64_t *calls) {
    typedef int combine(void *into, const void *from);
    combine *join = (combine *)v->combine;
    char *into = (char *)((uintptr_t)v->out + (uintptr_t)block * v->out_step);
    int64_t from = block * job->grain;
    int64_t to = block + 1 < job->count ? from + job->grain : job->total;
    for (int64_t i = from; i < to; i++) {
        frame->value = (int64_t)((uint64_t)job->first + (uint64_t)i * (uint64_t)job->step);
        frame->call.in = job->is_index ? (void *)&frame->value
                                       : (void *)((uintptr_t)v->in + (uintptr_t)i * v->in_step);
        frame->call.out = i == from ? into : one;
        begin(frame, i);
        ++*calls;
        int rc = v->fn(&frame->call);
        if (rc == 0 && !frame->noted && i != from)
            rc = join(into, one);
        if ((rc | frame->noted) && failed(m, job, frame, rc, block))
            return false;
    }
    return true;
}

static int64_t run_fold(const struct cw_run *run, int64_t lo, int64_t hi) {
    struct cw_member *const m = run->member;
    struct cw_job *const job = run->job;
    struct cw_frame *const frame = run->frame;
    const struct cw_view v = run->view;
    void *one = aligned_alloc(64, (job->out_size + 63) / 64 * 64);
    int64_t calls = 0;
    for (int64_t b = lo; b < hi; b++) {
        if (b > atomic_load_explicit(&job->stop_at, memory_order_relaxed))
            break;
        if (atomic_load_explicit(&v.marks[b - v.base], memory_order_relaxed))
            continue;
        if (!one) {
            frame->refused = CREW_ENOMEM;
            frame->noted = 1;
            failed(m, job, frame, 0, b);
        } else if (fold_block(m, job, &v, b, frame, one, &calls)) {
            mark_unless(&v.marks[b - v.base]);
        }
    }
    free(one);
    return calls;
}

static void refuse(const struct cw_run *run, int64_t lo, int64_t hi) {
    struct cw_job *job = run->job;
    struct cw_frame *frame = run->frame;
    for (int64_t i = lo; i < hi; i++) {
        begin(frame, i * job->grain);
        frame->refused = run->refused;
        frame->noted = 1;
        snprintf(frame->text, sizeof frame->text, "%s", run->why);
        failed(run->member, job, frame, 0, i);
    }
}

/* The object was there when the call was made, so this is a worker that lost it:
 * a spawned program that has not loaded what the manager had. */
static void check_functions(struct cw_run *run) {
    if (run->view.fn && (run->job->kind != CW_JOB_FOLD || run->view.combine))
        return;
    run->refused = CREW_EMISMATCH;
    run->why = "its function is not in the worker's program or libraries";
}

/* Its items (0) or results (1) in this process. */
static void *memory_of(struct cw_run *run, int which) {
    void *at = cw_job_memory(&run->member->maps, run->job, which);
    if (!at && (which ? run->job->out : run->job->in) == CW_REF_NAMED) {
        run->refused = CREW_ENOMEM;
        run->why = which ? "its worker could not map the shared memory for the results"
                         : "its worker could not map the shared memory with the items";
    }
    return at;
}

/* Where item 0 would lie of what begins with item `origin`. */
static char *from_zero(void *at, int64_t origin, uint64_t step) {
    return at ? (char *)((uintptr_t)at - (uintptr_t)origin * step) : NULL;
}

void cw_run_enter(struct cw_run *run, struct cw_member *m, struct cw_job *job,
                  struct cw_frame *frame) {
    run->member = m;
    run->job = job;
    run->frame = frame;
    run->refused = 0;
    cw_guard_catch_up(m->maps.root);
    for (int i = 0; i < 2; i++)
        cw_guard_see(m->maps.root, m->maps.root_size, &job->within[i]);
    run->view = (struct cw_view){.fn = (crew_fn *)cw_member_fn(m, &job->fn),
                                 .marks = cw_ptr(&m->maps.arena, job->marks),
                                 .base = job->base,
                                 .in_step = job->kind == CW_JOB_EACH ? 0 : job->in_size,
                                 .out_step = job->out_size};
    run->view.in = from_zero(memory_of(run, 0), job->origin * job->grain, run->view.in_step);
    run->view.out = from_zero(memory_of(run, 1), job->origin, run->view.out_step);
    if (job->kind == CW_JOB_FOLD)
        run->view.combine = cw_member_fn(m, &job->combine);
    check_functions(run);
    frame->job = job;
    frame->task = NULL;
    cw_call_set(&frame->call,
                &(crew_call){.in_size = job->is_index ? sizeof(int64_t) : job->in_size,
                             .out_size = job->out_size,
                             .common = cw_ptr(&m->maps.arena, job->common),
                             .common_size = job->common_size,
                             .state = &m->state,
                             .worker = m->team->first + m->rank,
                             .node = m->team->node,
                             .attempt = 1,
                             .index = -1});
    cw_frame_enter(m, frame);
}

void cw_run_leave(struct cw_run *run) {
    cw_frame_leave(run->member, run->frame);
}

int64_t cw_run_range(struct cw_run *run, int64_t lo, int64_t hi, int attempt, bool again) {
    run->frame->call.attempt = attempt;
    if (run->refused) {
        refuse(run, lo, hi);
        return 0;
    }
    switch (run->job->kind) {
    case CW_JOB_FOR:
        return run_for(run, lo, hi, again);
    case CW_JOB_FOLD:
        return run_fold(run, lo, hi);
    case CW_JOB_BYTES:
        return run_bytes(run, lo, hi);
    default:
        return run_items(run, lo, hi, again);
    }
}
