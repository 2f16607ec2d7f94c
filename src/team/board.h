/* team/board.h - what the members of a team share: the board.
 *
 * A team is the workers of one pool on one node. Its members may be threads of
 * the manager, forked processes, or programs of their own that mapped the
 * segment; nothing here can tell. The manager posts work, members claim it.
 *
 * | structure | written by                                             | read by        |
 * |-----------|--------------------------------------------------------|----------------|
 * | cw_team   | the manager; words marked (any) by everybody           | everybody      |
 * | cw_line   | its member; after its death the supervisor             | the supervisor |
 * | cw_seat   | the backend (a nursery, a thread that ends)            | the supervisor |
 * | cw_job    | the manager, until posted; then words marked (any)     | everybody      |
 * | marks     | who ran the item, once; the supervisor for failed ones | the manager    |
 * | cw_task   | its submitter, then who claimed it (see team/task.h)   | both           |
 *
 * Everything is an offset into the segment (cw_off), or a cw_ref where memory
 * of the manager itself may be meant. Who writes a word that others act on says
 * with which load it pairs. */
#ifndef CW_TEAM_BOARD_H
#define CW_TEAM_BOARD_H

#include "backend/seat.h"
#include "base/config.h"
#include "base/rng.h"
#include "os/clock.h"
#include "os/object.h"
#include "os/shm.h"
#include "team/guard.h"
#include "team/ring.h"
#include "topo/topo.h"

#include <crew/task.h>
#include <pthread.h>

enum {
    CW_JOB_SLOTS = 64,  /* maps on the board at once; the rest wait in the manager */
    CW_MOST_RETRIES = 1000000,
    CW_NESTED = 4,      /* maps inside tasks of the same team (threads, serial) */
    CW_REDO_SLOTS = 64, /* ranges to run again, on the board at once */
    CW_PRIORITIES = 7,
    CW_RING_LOG2 = 17,    /* submitted tasks in a ring; the rest wait in the manager */
    CW_TASK_BLOCKS = 4096 /* blocks of task records */
};

/* An address that a member can turn into a pointer: an offset in the team's
 * segment, an offset in the session's root segment, or, for threads, a pointer. */
typedef uint64_t cw_ref;
#define CW_REF_ROOT (1ull << 62)
#define CW_REF_RAW (1ull << 63)
#define CW_REF_BITS (CW_REF_ROOT | CW_REF_RAW)
/* Of a job's items or results alone: see cw_job.named. */
#define CW_REF_NAMED (1ull << 61)

/* Memory with a name that items or results lie in: where, and how a worker finds it
 * that has not mapped it. */
struct cw_named {
    uint64_t place, check; /* the object; 0: none */
    uint64_t offset;       /* of the first item */
    uint64_t size, inode;  /* of all of it */
    int32_t pid, fd;       /* the manager has it open */
    char name[CW_SHM_NAME + 1];
};

/* The mappings of one process. */
struct cw_maps {
    cw_arena arena;   /* the team's segment */
    char *root;       /* the root segment's base */
    uint64_t root_size;
    void *(*named)(const struct cw_named *named); /* where it is here; NULL: out of reach */
};

static inline void *cw_ref_ptr(const struct cw_maps *maps, cw_ref ref) {
    if (!ref)
        return NULL;
    uint64_t at = ref & ~CW_REF_BITS;
    if (ref & CW_REF_RAW)
        return (void *)(uintptr_t)at;
    return (ref & CW_REF_ROOT ? maps->root : maps->arena.seg->base) + at;
}

/* What a call is part of: the call itself, how it answered, its random numbers.
 * The call comes first, so that a frame is found from it by any thread of a
 * task. Pointers in it belong to the member's process. */
struct cw_member;
struct cw_job;
struct cw_task;
struct cw_frame {
    crew_call call;
    int64_t value; /* index maps: what call.in points to */
    struct cw_member *member;
    struct cw_frame *up;
    struct cw_job *job;   /* one of the two is set */
    struct cw_task *task;
    int touched;          /* any of the following was used: what a loop looks at */
    int noted;            /* one of the next two is set */
    int failed;           /* crew_fail's code */
    int64_t failed_at;    /* crew_fail_at's index, -1: none */
    int refused;          /* CREW_E... of an answer that could not be taken */
    int rng_ready;
    uint32_t spawned;     /* the next number of a spawned child */
    crew_rng rng;
    char text[192];       /* crew_fail's message */
};

/* How far a member has come: cw_line.ready. */
enum {
    CW_READY_NOT = 0,
    CW_READY_YES,    /* init has returned */
    CW_READY_NEVER,  /* init has failed, see frame */
    CW_READY_IN_INIT /* init runs */
};

/* A member's own page of the board. Invariant: `doing` names every job whose
 * memory the member may touch (a hazard pointer); see cw_job_leave. */
struct cw_line {
    struct cw_frame frame; /* the outermost running call */
    _Alignas(64) _Atomic uint32_t doing[CW_NESTED]; /* job slot + 1, 0: none */
    _Atomic int64_t lo, hi;   /* the range it holds in doing[0]'s job */
    _Atomic uint32_t redo;    /* the redo slot + 1 it comes from, 0: the cursor */
    _Atomic uint32_t task;    /* the task record + 1 it runs, 0: none */
    _Atomic uint64_t task_turn; /* counts the changes of `task`: tells one from the next */
    _Atomic double task_timeout; /* the running task's limits, for the supervisor: its */
    _Atomic uint64_t task_memory; /* record may be another's by the time it looks */
    _Atomic uint32_t critical;  /* threads of its in accounting sections, see team/task.h */
    _Atomic uint32_t spawning;  /* futex: one of them makes a child; 2: others wait */
    _Atomic uint32_t nap;       /* (any) futex: 1 while it sleeps */
    cw_off nap_at;              /* the word it sleeps on instead, 0: none. Proxies share one */
    _Atomic uint64_t cancel;    /* supervisor: the key of what is over its limit (crew_cancelled) */
    _Atomic uint32_t generation; /* of the job it is in, for keys */
    _Atomic cw_off spare;       /* of who spawns: a block of records on its way into the team */
    _Atomic uint32_t ready;     /* CW_READY_... */
    _Atomic uint64_t each;      /* bit a CW_JOB_EACH slot it has done */
    _Atomic int64_t items, failures; /* statistics */
    cw_meter busy;  /* runs while a member works */
    cw_meter there; /* runs while there is one that is ready */
    _Atomic uint64_t idle_bytes; /* private memory when it became ready */
};

/* Marks: one byte an item of the slice that is on the board. 0: not done. */
enum {
    CW_MARK_NONE = 0,
    CW_MARK_DONE = 1,
    CW_MARK_ERROR = 2 /* + (-code): failed with CREW_E... */
};

enum cw_job_kind {
    CW_JOB_ITEMS, /* fn(call) for each item */
    CW_JOB_FOR,   /* body(call, lo, hi); an item is a block of `grain` indices */
    CW_JOB_FOLD,  /* reduce: an item is a block of `grain` calls, combined in order */
    CW_JOB_BYTES, /* items and results of any size */
    CW_JOB_EACH   /* item i on worker i of the pool */
};

/* A range to be run again, or elsewhere. state: 0 free, 1 ready, 2 + rank taken. */
struct cw_redo {
    _Atomic uint32_t state;
    int attempt;
    int64_t lo, hi;
};
#define CW_REDO_FILLED UINT32_MAX /* a thread of the manager writes the range */

/* One failure, kept while it is among the lowest `errors_cap`. */
struct cw_failure {
    int64_t item;  /* which mark */
    int64_t index; /* what the user calls it: differs where a mark is a block */
    int code, sys, task_code, worker, node, pid, signal, attempt;
    char text[192];
};

/* An item of any size, and its result: `cell` owns the result's memory. */
struct cw_slice {
    uint64_t at, size;
};
struct cw_answer {
    _Atomic cw_off cell;
    uint64_t size;
};

struct cw_job {
    /* written before it is posted */
    enum cw_job_kind kind;
    uint32_t slot;
    cw_fn_name fn, combine;
    int64_t count, grain, total; /* total: indices of a FOR or FOLD */
    int64_t first, step, chunk;
    int schedule, on_error, is_index;
    int resumed; /* the slice began with items marked: those are passed over */
    int retries;
    double task_timeout;
    uint64_t stream;
    cw_ref in, out;
    uint64_t in_size, out_size;
    struct cw_within within[2]; /* that in and out lie in */
    struct cw_named named[2];   /* the same, where they are CW_REF_NAMED */
    cw_off common;
    uint64_t common_size;
    /* The slice: the items that are on the board now. Changed between slices, when
     * nobody is inside; and the end is lowered by cw_job_cut. */
    int64_t base;
    _Atomic int64_t end;
    /* The item with which in, out, slices and answers begin: not 0 where this is a
     * lease of another node's map. */
    int64_t origin;
    cw_off marks;    /* of the slice: the byte of item i is at i - base */
    cw_off slices;   /* BYTES: cw_slice of each item, relative to in */
    cw_off answers;  /* BYTES: cw_answer of each item */
    cw_off attempts; /* EACH: int32_t of each item of the slice */
    cw_off failures; /* cw_failure[failures_cap] */
    uint32_t failures_cap;
    uint32_t generation;
    int workers; /* of the pool: what chunk sizes go by */

    _Alignas(64) _Atomic uint32_t voided; /* it was stopped: its children are dropped */
    _Atomic uint32_t redo_ready;          /* (any) 1: a redo slot may be ready */
    _Atomic int64_t stop_at;            /* (any) nothing above it starts; only falls */

    _Alignas(64) _Atomic int64_t cursor; /* (any) the next unclaimed item */

    _Alignas(64) _Atomic int64_t children; /* (any) spawned tasks that have not ended */
    pthread_mutex_t failures_lock;      /* robust; guards the three below */
    _Atomic uint32_t failures_count;
    int64_t failures_highest;           /* index of the highest kept, -1: look again */
    struct cw_redo redo[CW_REDO_SLOTS];
};

/* Its items (0) or results (1) in this process; NULL: none, or out of reach. */
static inline void *cw_job_memory(const struct cw_maps *maps, const struct cw_job *job, int which) {
    cw_ref ref = which ? job->out : job->in;
    if (ref != CW_REF_NAMED)
        return cw_ref_ptr(maps, ref);
    return maps->named ? maps->named(&job->named[which]) : NULL;
}

enum { CW_RUN = 0, CW_DRAIN = 1, CW_TERMINATE = 2 };
enum { CW_TEAM_ENDS = 2 }; /* cw_team.stopping: the grace is over */

struct cw_team {
    /* written before members start */
    uint64_t magic;
    int members, threads_per_worker, backend, depth, processes;
    int first, node; /* the number of member 0 among all workers of the pool; which node */
    int spins; /* members may spin for work: there is a core to spare */
    cw_fn_name init, fini;
    cw_off init_arg;
    uint64_t init_size;
    int64_t tasks_per_worker;
    int retries;
    double task_timeout;
    uint64_t task_memory, seed;
    cw_off lines, seats, places; /* arrays of `members` */
    cw_off rings[CW_PRIORITIES]; /* index 0: the highest priority */
    cw_off musters;              /* of workers that may be in gangs: see team/gang.h; 0: none may */
    cw_off notify;               /* ring of task records whose futures want a call back */
    cw_off bell;                 /* the manager's, see os/futex.h */
    char name[48];

    _Alignas(64) _Atomic uint32_t quit; /* CW_RUN, ... */
    _Atomic uint32_t ready_count;       /* (any) members that became ready: a hint for the opener */
    _Atomic uint32_t rings_used;        /* bit a ring that was ever used */
    _Atomic uint64_t jobs;              /* bit a slot with a posted job */
    _Atomic uint64_t claimable;         /* (any) of these: may have items nobody has claimed */
    _Atomic uint64_t each;              /* a bit a CW_JOB_EACH; cw_line.each: who did it */
    _Atomic cw_off job[CW_JOB_SLOTS];

    _Alignas(64) _Atomic uint32_t spinner; /* (any) rank + 1 of the member that spins for work */
    /* (any) bit a member that sleeps, or is about to; whoever takes the bit away
     * wakes that member. */
    _Atomic uint64_t asleep[CW_MAX_WORKERS / 64];

    /* (any) futexes: a member left the job, or its last child ended. Here, not in
     * the job: who rings last may ring for a job that is already gone. */
    struct {
        _Alignas(64) _Atomic uint32_t count;
        _Atomic uint32_t sleeping; /* somebody waits for the job */
        _Atomic uint32_t watched;  /* the manager's bell is to ring too */
    } job_bell[CW_JOB_SLOTS];

    _Alignas(64) _Atomic uint32_t pause; /* supervisor: nobody may enter an accounting section */
    _Atomic uint32_t hints_lost;         /* (any) 1: one may be missing; 2: the manager is at it */
    _Atomic uint32_t notify_lost;        /* (any) an end was not told: look at all */
    _Atomic uint32_t wants_fd;           /* every end of a task rings the bell */
    _Atomic uint32_t fd_news;            /* (any) one has ended since the descriptor was told */
    _Atomic uint32_t room_wanted;        /* the manager holds tasks that found the ring full */
    _Atomic uint32_t stopping;           /* the manager: how far a stop is; not 0: no task begins */
    char stopped_by[64];                 /* written before `stopping` */

    _Alignas(64) _Atomic uint64_t free_task; /* (any) stack of records: count << 32 | record + 1 */
    _Atomic uint32_t task_count;             /* records that were ever given out */
    _Atomic cw_off task_block[CW_TASK_BLOCKS];
};

#define CW_TEAM_MAGIC 0x6372657774656100ull

static inline struct cw_line *cw_team_line(const struct cw_maps *m, const struct cw_team *t,
                                           int rank) {
    return (struct cw_line *)cw_ptr(&m->arena, t->lines) + rank;
}
/* Tells what a member runs now from what it ran before; never 0. */
static inline uint64_t cw_line_key(const struct cw_line *line) {
    if (atomic_load_explicit(&line->task, memory_order_relaxed))
        return 1ull << 63 | atomic_load_explicit(&line->task_turn, memory_order_relaxed);
    uint64_t index = (uint64_t)__atomic_load_n(&line->frame.call.index, __ATOMIC_RELAXED);
    uint64_t job = atomic_load_explicit(&line->generation, memory_order_relaxed);
    return 1ull << 62 | (job & 0x3fffff) << 40 | ((index + 1) & ((1ull << 40) - 1));
}
static inline struct cw_seat *cw_team_seat(const struct cw_maps *m, const struct cw_team *t,
                                           int rank) {
    return (struct cw_seat *)cw_ptr(&m->arena, t->seats) + rank;
}
static inline struct cw_place *cw_team_place(const struct cw_maps *m, const struct cw_team *t,
                                             int rank) {
    return (struct cw_place *)cw_ptr(&m->arena, t->places) + rank;
}

#endif
