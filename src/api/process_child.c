/* A process that was started, from its first instruction to its last. */
#include "api/pipe.h"
#include "api/session.h"
#include "api/worker.h"
#include "os/futex.h"
#include "os/output.h"
#include "os/process.h"
#include "share/proc.h"
#include "team/member.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct life {
    struct cw_share *share;
    struct cw_proc *proc;
    int code;
};

/* 0 to 255 as they are; what does not fit is a failure all the same. */
static int exit_code(const struct cw_frame *frame, int rc) {
    int code = frame->refused ? 1 : frame->failed ? frame->failed : rc;
    return code >= 0 && code <= 255 ? code : 1;
}

/* Who started it sees no more than a code. */
static void say_why(const char *name, const struct cw_frame *frame, int rc) {
    const crew_error *last = crew_last_error();
    if (frame->failed || frame->refused)
        fprintf(stderr, "%s failed with code %d: %s\n", name, exit_code(frame, rc), frame->text);
    else if (rc < 0)
        fprintf(stderr, "%s failed: %s\n", name,
                last->code == rc && last->text[0] ? last->text : crew_strerror(rc));
    else if (rc > 255)
        fprintf(stderr, "%s returned %d, which is no exit code (0 to 255): it ends with 1\n", name,
                rc);
}

/* They may be another node's. */
static bool take_conns(const struct life *life) {
    struct cw_proc *proc = life->proc;
    atomic_store(&proc->seat.step, CW_STEP_CONNS);
    int rc = cw_conns_take(cw_ptr(&life->share->arena, atomic_load(&proc->conns)),
                           (int)proc->nconns);
    if (rc < 0)
        fprintf(stderr, "crew: %s has not got the ends of pipes that it was given: %s\n",
                proc->name, crew_last_error()->text);
    return rc == 0;
}

static void *run(void *arg) {
    struct life *life = arg;
    struct cw_proc *proc = life->proc;
    void *state = NULL;
    struct cw_frame frame = {0};
    crew_fn *fn = (crew_fn *)cw_fn_resolve(proc->fn);
    cw_process_name(proc->name);
    if (!fn) {
        atomic_store(&proc->seat.step, CW_STEP_FN);
        fprintf(stderr, "crew: %s: its function is not in this program or its libraries\n",
                proc->name);
        life->code = CW_EXIT_SETUP;
        return NULL;
    }
    cw_call_set(&frame.call,
                &(crew_call){.in = cw_ptr(&life->share->arena, atomic_load(&proc->arg)),
                             .in_size = proc->arg_size,
                             .state = &state,
                             .worker = -1,
                             .node = proc->node,
                             .attempt = 1});
    if (!take_conns(life))
        return NULL;
    atomic_store(&proc->seat.step, CW_STEP_SETTLED);
    atomic_store(&proc->ready, 1);
    cw_futex_wake(&proc->ready, INT_MAX);
    cw_guard_catch_up(life->share->root.base);
    cw_lone_frame = &frame;
    life->code = 0; /* for a function that leaves by pthread_exit */
    int rc = fn(&frame.call);
    cw_lone_frame = NULL;
    say_why(proc->name, &frame, rc);
    life->code = exit_code(&frame, rc);
    /* What it has started itself ends before it does. */
    crew_finalize();
    return NULL;
}

/* exit() in it: what it has started itself ends before it does, as when its function
 * returns. Registered after worker.c's, it runs before that. */
static void leave_in_order(int status, void *unused) {
    (void)status, (void)unused;
    crew_finalize();
}

/* Its function runs on a thread of its own, as tasks do: see worker.c. The first
 * thread lasts, and answers for the life of the process. */
static _Noreturn void live(const cw_segment *root, uint64_t record) {
    static cw_segment mapped;
    mapped = *root;
    struct cw_proc *proc = (struct cw_proc *)(mapped.base + record);
    struct life life = {.proc = proc, .code = CW_EXIT_SETUP};
    crew_error err;
    atomic_store(&proc->seat.step, CW_STEP_OBJECTS);
    cw_worker_settle(&mapped, proc->depth + 1, proc->cores, proc->name);
    cw_session_self()->node = proc->node;
    on_exit(leave_in_order, NULL);
    if (cw_session_join_objects(&mapped, &err) < 0)
        _exit(CW_EXIT_SETUP);
    life.share = cw_share_here();
    atomic_store(&cw_session_self()->self, proc);
    atomic_store(&proc->party, life.share->party);
    atomic_store(&proc->seat.step, CW_STEP_THREAD);
    pthread_t thread;
    int rc = cw_process_thread(&thread, run, &life);
    if (rc) {
        atomic_store(&proc->seat.sys, rc);
        _exit(CW_EXIT_SETUP);
    }
    pthread_join(thread, NULL);
    cw_output_flush();
    _exit(life.code);
}

/* The segment as the parent mapped it: a forked process has it at the same place. */
void cw_process_enter(const struct cw_billet *billet) {
    cw_segment root;
    cw_session_segments(&root);
    live(&root, billet->team);
}

void cw_process_enter_spawned(const cw_segment *root, const struct cw_billet *billet) {
    live(root, billet->team);
}
