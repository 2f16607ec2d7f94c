/* team/member.h - what a member does: claim work, run it, rest.
 *
 * The same loop serves threads, forked workers, spawned ones, and the thread of
 * the caller on the serial backend. */
#ifndef CW_TEAM_MEMBER_H
#define CW_TEAM_MEMBER_H

#include "team/gang.h"
#include "team/task.h"

#include <stddef.h>
#include <string.h>

struct cw_member {
    struct cw_maps maps;
    struct cw_team *team;
    struct cw_line *line;
    int rank;
    int spins;              /* 1: may spin for work before it sleeps */
    int own_process;        /* flushes its output, may be killed */
    void *state;            /* what call.state points to */
    struct cw_frame *top;   /* innermost running call */
    int level;              /* maps it is inside of */
    int64_t tasks_left;     /* until it is recycled; negative: never */
    struct cw_member *outer; /* the member this thread was before (nested teams, serial) */
    struct cw_muster *muster; /* where it is called for gangs; NULL: it is in none */
    struct cw_gang *gang;     /* whose part it runs */
    int place;                /* ... and which */
    /* What crew_call_comm has made for the gang (api/comm.c): ends it. NULL: nothing */
    void (*comm_over)(struct cw_member *m);
    _Alignas(16) unsigned char comm[2][16]; /* MPI's: the gang's; of this rank alone */
    int comm_made;                          /* bit a comm */
    struct {
        cw_fn_name name;
        cw_fn *fn;
    } resolved[16];
};

/* The member this thread is, NULL if it is none. */
extern _Thread_local struct cw_member *cw_this_member;

/* The call of a process that was started by itself; of no member. */
extern _Thread_local struct cw_frame *cw_lone_frame;

void cw_member_init(struct cw_member *m, const struct cw_maps *maps, struct cw_team *team,
                    int rank);

/* A whole life: init, work until the team drains or it is recycled, fini. True
 * if it left in order. */
bool cw_member_live(struct cw_member *m);

/* Its first part, init, and its last, fini: for the serial backend, whose member
 * lives in between whenever somebody calls. False: init failed. */
bool cw_member_begin(struct cw_member *m);
void cw_member_end(struct cw_member *m);

/* Only tasks; what a waiting task may do meanwhile. */
bool cw_member_run_task(struct cw_member *m);
/* Claims of the job in that slot, until nothing is left to claim. */
bool cw_member_run_job(struct cw_member *m, int slot);

/* ---- what members and proxies (team/proxy.h) do alike ---- */

/* A record to run. A_TASK: it is RUNNING, this member's, and named in its line; A_HINT:
 * it was nothing, or is dealt with. */
enum cw_took { CW_TOOK_NOTHING, CW_TOOK_A_HINT, CW_TOOK_A_TASK };
enum cw_took cw_member_take_task(struct cw_member *m, uint32_t *number);
/* Says in its line which record it runs (+ 1; 0: none). */
void cw_member_name_task(struct cw_member *m, uint32_t named);
/* The same while it runs a part of a gang, with that limit. */
void cw_member_name_gang(struct cw_member *m, double task_timeout);
/* Into the job at that slot; NULL: there is none any more. From then on its memory
 * stays until it is left. */
struct cw_job *cw_job_enter(struct cw_member *m, int slot);
void cw_job_leave(struct cw_member *m, int slot);
/* Nothing is left to claim: says so, unless a range came back meanwhile. */
void cw_job_spent(struct cw_team *t, struct cw_job *job);
/* Says in the line which range its member holds. */
void cw_line_hold(struct cw_line *line, int64_t lo, int64_t hi);

/* The function as a pointer here; cached. NULL: not in this process. */
cw_fn *cw_member_fn(struct cw_member *m, const cw_fn_name *name);

/* A new call in a frame. Its index is stored by itself, because the supervisor
 * samples it at any time. */
static inline void cw_call_set(crew_call *call, const crew_call *as) {
    const size_t after = offsetof(crew_call, index) + sizeof call->index;
    memcpy(call, as, offsetof(crew_call, index));
    __atomic_store_n(&call->index, as->index, __ATOMIC_RELAXED);
    memcpy((char *)call + after, (const char *)as + after, sizeof *call - after);
}

/* Frames: around each call of a user's function. */
void cw_frame_enter(struct cw_member *m, struct cw_frame *frame);
void cw_frame_leave(struct cw_member *m, struct cw_frame *frame);
/* What a call that returned rc comes to: 0, or a CREW_E code with *failure filled
 * in. Clears the frame's notes. */
int cw_frame_judge(struct cw_frame *frame, int rc, struct cw_failure *failure);

/* ---- running ranges of a job the member is inside of (team/run.c) ---- */

/* The job's offsets as pointers of this process. */
struct cw_view {
    crew_fn *fn;
    cw_fn *combine;
    _Atomic unsigned char *marks; /* of item `base` and those behind it */
    int64_t base;
    char *in, *out;
    size_t in_step, out_step;
};
struct cw_run {
    struct cw_member *member;
    struct cw_job *job;
    struct cw_frame *frame;
    int refused;     /* 0, or why this process cannot run it ... */
    const char *why; /* ... in words */
    struct cw_view view;
};
void cw_run_enter(struct cw_run *run, struct cw_member *m, struct cw_job *job,
                  struct cw_frame *frame);
/* Items [lo, hi); again: some may have been done before. Returns how many it called. */
int64_t cw_run_range(struct cw_run *run, int64_t lo, int64_t hi, int attempt, bool again);
void cw_run_leave(struct cw_run *run);

/* ---- a job's shared ends (team/job.c) ---- */

/* Item's failure: remembered among the lowest, its mark set; a CREW_STOP map
 * starts nothing above it from now on. */
void cw_job_fail(const struct cw_maps *m, struct cw_job *job, const struct cw_failure *failure);
/* The failure of an item, if it is kept. */
bool cw_job_failure(const struct cw_maps *m, struct cw_job *job, int64_t item,
                    struct cw_failure *failure);
/* Ends the slice earlier, at `lo` or behind what is claimed already: nobody claims what lies
 * there and behind. Returns where it ends now. What somebody who was about to claim it has
 * left out is found, unmarked, when the rest is over. Not while the slice is changed. */
int64_t cw_job_cut(struct cw_job *job, int64_t lo);
/* A range to run again. False: no slot is free. By any thread of the manager. */
bool cw_job_redo(const struct cw_maps *m, struct cw_team *t, struct cw_job *job, int64_t lo,
                 int64_t hi, int attempt);
/* Takes a ready range. */
struct cw_redo *cw_job_take_redo(struct cw_job *job, int rank);
/* Nothing starts above `item` from now on (-1: nothing at all). */
void cw_job_stop_above(struct cw_job *job, int64_t item);
void cw_job_ring(const struct cw_maps *m, struct cw_team *t, uint32_t slot);

/* ---- children (team/children.c) ---- */

int cw_child_spawn(struct cw_member *m, struct cw_frame *frame, crew_fn *fn, const void *in,
                   uint64_t size, crew_error *err);
/* True if the record is a child of an execution that does not count, or of one that
 * nobody wants any more: drop it. */
bool cw_child_void(const struct cw_maps *m, struct cw_team *t, struct cw_task *task);
/* The child's member died, maybe while it told: what it had begun to say is gone.
 * By the supervisor. */
void cw_child_untell(const struct cw_maps *m, struct cw_team *t, uint32_t number);
/* The root will run again: what children of this execution have told is gone. After
 * they were disowned, by the supervisor. */
void cw_root_restart(const struct cw_maps *m, struct cw_task *root);

/* Whose children: of a task, or of items of a map. */
struct cw_origin {
    uint32_t task, slot; /* + 1; one of the two is set */
    uint32_t generation; /* the task's or the job's */
    int64_t lo, hi;      /* which items */
};
/* The execution they belong to is over and does not count. Those that have not
 * begun end now, those that run become VOID. True: there are some that run. By the
 * manager, with its lock. */
bool cw_children_disown(const struct cw_maps *m, struct cw_team *t, const struct cw_origin *from);
/* Ends a child that this member (line) runs: tells its root, frees the record.
 * line NULL: one that is PREPARED, by the manager, with its lock. */
void cw_child_end(const struct cw_maps *m, struct cw_team *t, struct cw_line *line, uint32_t number,
                  const struct cw_failure *failure);
/* Ends the root task's own part, after which it is DONE or waits for children.
 * line NULL: by the manager, with its lock. */
void cw_root_end(const struct cw_maps *m, struct cw_team *t, struct cw_line *line, uint32_t number,
                 int status, const struct cw_failure *failure);
/* A member died in an accounting section: counts every root's children anew. The
 * lines of dead members must have been cleared. By the supervisor, which tries
 * again later after CREW_ENOMEM. */
int cw_children_recount(const struct cw_maps *m, struct cw_team *t);

#endif
