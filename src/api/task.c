/* What a task may call. A frame is found from its call, not from the thread, so
 * any thread of the task may use these. */
#include "base/error.h"
#include "team/member.h"

#include <stdio.h>
#include <string.h>

static struct cw_frame *frame_of(crew_call *call) {
    return (struct cw_frame *)call; /* the call is its first member */
}

crew_call *crew_this_call(void) {
    if (cw_this_member && cw_this_member->top)
        return &cw_this_member->top->call;
    return cw_lone_frame ? &cw_lone_frame->call : NULL;
}

static int fail_with(crew_call *call, int code, const char *fmt, va_list args) {
    struct cw_frame *frame = frame_of(call);
    vsnprintf(frame->text, sizeof frame->text, fmt, args);
    frame->failed = code ? code : 1;
    frame->touched = frame->noted = 1;
    return frame->failed;
}

int crew_fail(crew_call *call, int code, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int rc = fail_with(call, code, fmt, args);
    va_end(args);
    return rc;
}

int crew_fail_at(crew_call *call, int64_t index, int code, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int rc = fail_with(call, code, fmt, args);
    va_end(args);
    frame_of(call)->failed_at = index;
    return rc;
}

static int refuse(struct cw_frame *frame, int code, const char *fmt, ...) CREW_PRINTF(3, 4);
static int refuse(struct cw_frame *frame, int code, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(frame->text, sizeof frame->text, fmt, args);
    va_end(args);
    frame->refused = code;
    frame->touched = frame->noted = 1;
    return code;
}

int crew_task_mismatch(crew_call *call, const char *what, size_t want, size_t have) {
    return refuse(frame_of(call), CREW_EMISMATCH,
                  "its %s has %zu bytes where the function takes %zu", what, have, want);
}

static int reply_bytes(struct cw_frame *frame, const void *data, size_t size) {
    struct cw_member *m = frame->member;
    cw_arena arena = m->maps.arena;
    struct cw_answer *answers = cw_ptr(&arena, frame->job->answers);
    struct cw_answer *answer = answers + (frame->call.index - frame->job->origin);
    cw_free_cell(&arena, &answer->cell);
    crew_error err;
    cw_off off = cw_alloc(&arena, size, &answer->cell, &err);
    if (!off)
        return refuse(frame, CREW_ENOMEM, "%.180s", err.text);
    if (size)
        memcpy(cw_ptr(&arena, off), data, size);
    answer->size = size;
    return 0;
}

/* Whose part this call is; NULL: it is a call of its own. */
static struct cw_gang *gang_of(const struct cw_frame *frame) {
    return frame->job || frame->task || !frame->member ? NULL : frame->member->gang;
}

int crew_reply(crew_call *call, const void *data, size_t size) {
    struct cw_frame *frame = frame_of(call);
    if (call->out_size) {
        if (size != call->out_size)
            return refuse(frame, CREW_EMISMATCH,
                          "its result has %zu bytes where the result slot takes %zu", size,
                          call->out_size);
        memcpy(call->out, data, size);
        return 0;
    }
    if (frame->job)
        return frame->job->kind == CW_JOB_BYTES ? reply_bytes(frame, data, size) : 0;
    struct cw_gang *gang = gang_of(frame);
    crew_error err = {0};
    if (gang && frame->member->place == 0 &&
        cw_gang_reply(&frame->member->maps, gang, data, size, &err) < 0)
        return refuse(frame, CREW_ENOMEM, "%.180s", err.text);
    if (!frame->task || cw_task_is_child(frame->task))
        return 0;
    void *to = cw_task_result_room(&frame->member->maps, frame->task, size, &err);
    if (!to)
        return refuse(frame, CREW_ENOMEM, "%.180s", err.text);
    if (size)
        memcpy(to, data, size);
    return 0;
}

bool crew_cancelled(crew_call *call) {
    struct cw_frame *frame = frame_of(call);
    struct cw_member *m = frame->member;
    if (!m)
        return false; /* a process of its own: it is ended by signals */
    uint64_t over = atomic_load_explicit(&m->line->cancel, memory_order_relaxed);
    if (over && over == cw_line_key(m->line)) {
        frame->touched = frame->noted = 1; /* whatever the task returns now, it is over its limit */
        return true;
    }
    if (atomic_load_explicit(&m->team->quit, memory_order_relaxed) == CW_TERMINATE)
        return true;
    if (frame->job) {
        int64_t stop = atomic_load_explicit(&frame->job->stop_at, memory_order_relaxed);
        /* A map that is only to begin nothing more stops at -1: what runs goes on. */
        return stop < call->index && (stop >= 0 || atomic_load(&frame->job->voided));
    }
    if (!frame->task)
        return gang_of(frame) && atomic_load(&gang_of(frame)->cancelled);
    return (atomic_load_explicit(&frame->task->state, memory_order_relaxed) & CW_TASK_KILL) ||
           (cw_task_is_child(frame->task) && cw_child_void(&m->maps, m->team, frame->task));
}

int crew_spawn(crew_call *call, crew_fn *fn, const void *in, size_t size) {
    struct cw_frame *frame = frame_of(call);
    if (gang_of(frame))
        return refuse(frame, CREW_ENOTSUP, "a task of several ranks cannot spawn tasks");
    if (!frame->job && !frame->task)
        return refuse(frame, CREW_EINVAL,
                      "only tasks can spawn tasks: not init, fini, or a process");
    crew_error err = {0};
    int rc = cw_child_spawn(frame->member, frame, fn, in, size, &err);
    return rc < 0 ? refuse(frame, rc, "crew_spawn: %.170s", err.text) : 0;
}

crew_rng *crew_call_rng(crew_call *call) {
    struct cw_frame *frame = frame_of(call);
    if (!frame->rng_ready) {
        const struct cw_gang *gang = gang_of(frame);
        uint64_t stream = frame->job    ? frame->job->stream
                          : frame->task ? frame->task->stream
                          : gang        ? gang->stream
                                        : 0;
        uint64_t seed = frame->member ? frame->member->team->seed : 0;
        cw_rng_start(&frame->rng, seed, stream, (uint64_t)call->index);
        frame->touched = frame->rng_ready = 1;
    }
    return &frame->rng;
}
