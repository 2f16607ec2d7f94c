/* api/pool_impl.h - a pool as its manager holds it.
 *
 * Lock order: session.lock, then pool.lock. Callbacks run with neither.
 * Everything that is not marked is guarded by pool.lock. */
#ifndef CW_API_POOL_IMPL_H
#define CW_API_POOL_IMPL_H

#include "api/session.h"
#include "sched/ledger.h"
#include "team/member.h"

#include <crew/future.h>

#include <limits.h>

enum cw_pool_state { CW_POOL_OPEN, CW_POOL_CLOSED, CW_POOL_ENDING, CW_POOL_ENDED };

enum { CW_LIMIT_VISITS = 100 };
/* Items on the board at once, for each of which there is a mark. */
enum { CW_SLICE = 1 << 27 };

/* What the supervisor remembers of a member. */
struct cw_watch {
    uint64_t key;      /* what it ran when last seen */
    double for_s;      /* for how long, in ticks: stopped time does not count */
    enum cw_reason reason; /* why it was killed, if it was; for the work with that key */
    uint64_t doomed;       /* 0: it was not */
    int64_t items;         /* that its predecessors had done */
};

/* Records whose hint found its ring full, in order. One a priority: what waits at
 * one must not hold up what is more urgent. */
struct cw_backlog {
    uint32_t *record;
    size_t head, tail, room;
};

/* Records that were QUEUED when hints may have been lost, one list a priority. What
 * a ring held then is gone when it has passed the mark: who waits still has lost its
 * hint. */
struct cw_suspects {
    struct cw_suspect {
        uint32_t number, generation;
    } *record;
    size_t count, room;
    uint64_t mark;
};

/* The largest times that statistics gave out: what they show never goes back, though
 * a meter may (os/clock.h). */
struct cw_shown {
    int64_t busy, idle; /* ns */
};

struct crew_pool {
    crew_pool *next; /* guarded by session.lock */
    bool leaving;    /* the same: some thread is freeing it */
    /* written when it opens */
    struct cw_session *session;
    unsigned epoch;
    struct cw_team *team;
    struct cw_maps maps;
    const struct cw_backend *ops;
    struct cw_hands *hands;
    cw_objects have; /* what its workers can run; empty and unused for threads */
    bool checks_objects;
    int workers; /* that users count */
    int members; /* lines of the team: its own workers, then proxies */
    int natives; /* its own workers */
    bool joint;   /* crew_mpi_pool has opened it: with it, that ends */
    uint32_t serves;             /* another node's pool, of that number; 0: it serves none */
    int total;                   /* workers of all nodes, by which messages count them */
    struct cw_pool_gangs *gangs; /* see api/gang.h; NULL: there are none here */
    struct cw_home *home; /* the workers of other nodes; NULL: there are none */
    crew_pool_opts opts;
    char name[48];

    pthread_mutex_t lock;
    pthread_cond_t changed; /* something ended: a job, a watched future, a member */
    enum cw_pool_state state;
    bool opening;
    crew_error broken; /* code 0: it is not */
    bool told_broken;  /* to whom it serves */
    struct cw_watch *watch;
    struct cw_respawn respawn;
    int64_t *restarts;
    struct cw_shown *shown; /* a member */
    int64_t seen_ns; /* the supervisor's last look at the clock */
    double wish;     /* when it wanted to look again */
    bool recount;    /* children must be counted again */
    int limit_visits; /* the service thread looks often for so many visits more */

    crew_job *jobs[CW_JOB_SLOTS]; /* on the board */
    crew_job *waiting, **waiting_end;
    crew_job *async; /* all of them, for the service thread */
    uint32_t generation;
    int64_t slice; /* most items of a map that are on the board at once */

    struct crew_future **owner; /* by task record */
    uint32_t owners;
    struct cw_keys_hold *keys; /* journals of submitted calls; see api/journal_keys.c */
    struct crew_future *to_call; /* futures that are done and want a call back */
    struct cw_backlog backlog[CW_PRIORITIES]; /* indexed as the rings are */
    struct cw_suspects suspects[CW_PRIORITIES];
    uint32_t suspicious; /* bit a priority whose waiting records are to be noted */
    int fd; /* eventfd, -1 until asked for */
    int waits; /* threads in a join */

    struct cw_member *serial; /* the caller's, on the serial backend */
    pthread_mutex_t serial_lock;
    int outer_threads; /* OpenMP's setting of the caller, while it is the member */
};

/* ---- options.c ---- */

/* Checks what the code asks for, puts the environment's word over it, and defaults
 * where neither says anything: nothing is open afterwards. */
int cw_options_settle(struct cw_session *s, crew_pool_opts *o, crew_error *err);
/* The same for a pool of crew_mpi_pool, whatever CREW_BACKEND and CREW_START say. */
int cw_options_settle_joint(struct cw_session *s, crew_pool_opts *o, crew_error *err);
/* Where the workers of settled options run; places[0, o->workers) is filled. */
int cw_options_place(const struct cw_session *s, const crew_pool_opts *o, struct cw_place *places,
                     crew_error *err);
/* The CPU quota, or what a batch system's environment says if that is less; 0: neither.
 * For all of this node's ranks together, and for this process. (topology.c) */
int cw_quota_of_node(void);
int cw_quota_here(void);
/* How deep a pool that is opened here lies: 0 in the program's own threads. */
int cw_depth_here(struct cw_session *s);
/* Can growth be watched over? CREW_ENOTSUP if not. */
int cw_pool_can_measure(crew_error *err);

/* ---- pool.c ---- */

/* The epoch of a pool that was freed: no process's. */
#define CW_EPOCH_FREED UINT_MAX

/* 0 if the caller may use it for new work, else the reason. Not locked. */
int cw_pool_check(crew_pool *p, crew_error *err);
/* With the lock: may new work come? */
int cw_pool_accepts(crew_pool *p, crew_error *err);
/* The function's name across processes, checked against what the workers have
 * and against the sizes that a macro registered. -1: size unknown. */
int cw_pool_function(crew_pool *p, cw_fn *fn, ptrdiff_t in_size, ptrdiff_t out_size,
                     ptrdiff_t common_size, cw_fn_name *name, crew_error *err);
/* A pool that serves another node's: opened as that one's leader says. It is given up when
 * *quit is not CW_RUN any more. NULL with the reason. */
struct cw_opening;
crew_pool *cw_pool_open_guest(struct cw_session *s, const struct cw_opening *as,
                              const void *init_arg, const _Atomic uint32_t *quit, crew_error *err);
/* The one of crew_mpi_pool, in its root. NULL with the reason. */
crew_pool *cw_pool_open_joint(struct cw_session *s, const crew_pool_opts *opts, crew_error *err);
/* The statistics of one of this node's workers (by rank), unchecked. */
void cw_pool_stats_of(crew_pool *p, int rank, crew_stats *stats); /* with p->lock */
/* Frees all that belongs to the team. */
void cw_pool_release(crew_pool *p);

/* This thread as a member of the pool's team, NULL if it is none. It may be a
 * member of another team at the moment, inside a task of this one. */
struct cw_member *cw_pool_member(crew_pool *p);
/* 0 if this thread may wait for others' work; CREW_EINVAL in a callback, which runs on
 * the thread that sees to deaths and ends. `call` is what was called. */
int cw_may_wait(const char *call, crew_error *err);
/* The same for waiting until the pool's workers are gone: not in one's own task. */
int cw_pool_may_wait(crew_pool *p, const char *call, crew_error *err);
/* True if this thread must run work itself while it waits: it is a member of the
 * pool's team, or the pool is serial. */
bool cw_pool_helps(crew_pool *p);
/* Runs tasks here until the condition holds or there is nothing to run. */
void cw_pool_help(crew_pool *p, bool (*until)(void *arg), void *arg);
/* The same for a map that is on the board. */
void cw_pool_help_job(crew_pool *p, struct cw_job *job);

struct cw_deadline;
/* Sleeps until something of the pool changes, at most as long as the deadline's
 * next slice. With the lock, which it gives up meanwhile. */
void cw_pool_sleep(crew_pool *p, const struct cw_deadline *d);

/* ---- supervise.c ---- */

/* What the service thread does for a pool. Returns within how many seconds it
 * wants to be called again. */
double cw_pool_tend(crew_pool *p);
/* Asks for the member of an empty seat. With the lock. */
int cw_pool_bring(crew_pool *p, int rank, crew_error *err);
/* True: the member is in its initializer, and has been for longer than a task may
 * take. passed: since the last look. With the lock. */
bool cw_pool_init_hangs(crew_pool *p, int rank, double passed);
/* Ends the member that runs the work with that key. With the lock. */
void cw_pool_doom(crew_pool *p, int rank, enum cw_reason reason);
/* Cancels all that waits. With the lock. */
void cw_pool_cancel_all(crew_pool *p, int code);
/* With the lock: no member is left. */
bool cw_pool_empty(crew_pool *p);

/* ---- failure.c ---- */

/* The sentence for one failure: count < 0: a submitted task. */
void cw_failure_explain(crew_pool *p, cw_fn_name fn, const struct cw_failure *failure,
                        int64_t count, int retries, crew_error *err);
/* What became of a member that ended before it lived: "killed by signal ...",
 * "not set up: ...". To follow "was". */
void cw_failure_of_seat(const struct cw_seat *seat, int status, char *buf, size_t cap);

/* ---- job.c: maps as the manager sees them ---- */

int cw_map_options_check(const crew_map_opts *o, crew_error *err);
/* The next one that waits for a place on the board. */
crew_job *cw_job_next(crew_job *j);
/* With the lock. Moves a job on as far as it goes. */
void cw_pool_advance(crew_pool *p, crew_job *j);
/* With the lock: the member of `rank` has ended while in jobs. */
void cw_pool_member_left_jobs(crew_pool *p, int rank, enum cw_reason reason, int status);
/* With the lock: no new items; what runs is ended. */
void cw_pool_stop_job(crew_pool *p, crew_job *j, int code);
/* With the lock, for CREW_ESTOPPED: no new items, unless the map is a task's; what runs
 * goes on. cw_pool_stop_job may follow. */
void cw_pool_drain_job(crew_pool *p, crew_job *j);
/* Called by the service thread without the lock: bars, time limits, results of
 * async jobs, their callbacks. Returns when it wants to be called again. */
double cw_pool_tend_jobs(crew_pool *p, double passed);
/* With the lock: no async job has ended without its results being with the caller
 * and its callback having returned. */
bool cw_pool_jobs_told(crew_pool *p);

/* ---- future.c ---- */

/* With the lock. */
void cw_pool_member_left_tasks(crew_pool *p, int rank, enum cw_reason reason, int status);
void cw_pool_cancel_tasks(crew_pool *p, int code, const crew_error *why);
/* Children of an execution that does not count: see cw_children_disown. Members
 * that run such are ended where they can be. */
void cw_pool_disown(crew_pool *p, const struct cw_origin *from);
void cw_pool_drain_backlog(crew_pool *p);
bool cw_pool_has_backlog(const crew_pool *p);
void cw_pool_restore_hints(crew_pool *p);
/* Called by the service thread without the lock: ends that somebody wants to
 * hear of. */
void cw_pool_tend_futures(crew_pool *p);
/* With the lock: no future has ended without its callbacks having returned. */
bool cw_pool_futures_told(crew_pool *p);
/* The futures of a pool that goes away keep their results. */
void cw_pool_orphan_futures(crew_pool *p);
/* With the lock: lets pollers of crew_pool_fd know. */
void cw_pool_signal_fd(crew_pool *p);

#endif
