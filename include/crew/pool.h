/* crew/pool.h - workers, and maps over them.
 *
 * Callbacks run on the thread that sees to the workers. They may submit, cancel, and
 * ask for what is there; what would wait in one is CREW_EINVAL.
 *
 * Any thread of the manager may use a pool; one thread at a time an iterator or
 * a crew_results. Pointers passed in are copied before the call returns unless
 * the declaration says otherwise. */
#ifndef CREW_POOL_H
#define CREW_POOL_H

#include <crew/task.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- start and end ------------------------------------------------------ */

/* First line of main. Code above it runs in every process, code below it once,
 * in the manager; in spawned workers and in the other ranks of an MPI job it does not
 * return (crew/mpi.h: where MPI is the program's own it does). With neither it may be left
 * out: the first call does it. The arguments are left as they are; NULL is fine. 0 or
 * CREW_E... (crew_last_error): a setting of the environment is not accepted, with those
 * that are, or a launcher's job cannot be joined. */
CREW_API int crew_init(int *argc, char ***argv);

/* Ends what is left of every pool. Returns 0, or 85 after something was stopped
 * (CREW_ESTOPPED): what main should return. A program that returns from main or calls exit
 * without it ends in order as well, with its own code, which is that of an MPI job, too:
 * what still runs is ended, not waited for. A thread of the program that sleeps in a wait
 * for an object (a lock, a queue ...) sleeps on, or until its time is over; no other call
 * may be going on in one that nobody waits for. In a callback, and in a task that runs in
 * the manager (threads, serial), CREW_EINVAL: it would wait for itself. */
CREW_API int crew_finalize(void);

/* A program that is to stop
 *
 * When this signal comes, to whichever process of the program, or the time is over
 * (CREW_TIME_LIMIT), nothing new begins. What runs may go on for CREW_STOP_GRACE (30 s),
 * then it is ended: where workers are processes, elsewhere it sees crew_cancelled. Maps
 * return CREW_ESTOPPED and say how far they got; what was done by then is as it is after
 * any map, and items that were not have the status CREW_ESTOPPED. A stream gives what is
 * done, then CREW_ESTOPPED once, then its end. Futures that had not begun end with
 * CREW_ESTOPPED. A map all of whose items were done all the same has succeeded. Whatever
 * is asked for from then on is refused with CREW_ESTOPPED, and crew_finalize returns 85.
 * What a running item has spawned, and maps inside it, are part of it.
 *
 * Call it once for each signal, before pools are opened: workers let such signals pass
 * from when they are started. Best above crew_init, so that under MPI every rank does it.
 * The same signal again changes nothing within a second (launchers deliver one several
 * times), and ends the grace later. A handler that the program had is called, too; one
 * that it puts in place afterwards replaces crew's. 0; CREW_EINVAL: it cannot be caught,
 * or is a fault's; CREW_ENOTSUP: in a task. */
CREW_API int crew_stop_on(int signal);
/* 0: the program is not to stop, or crew_finalize has been called; else by which signal, or
 * CREW_ETIMEDOUT: its time is over. From then on nothing new begins. For loops around maps,
 * and whoever waits for something else. */
CREW_API int crew_stopped(void);

/* ---- opening and closing ------------------------------------------------ */

/* Backends. AUTO is the launch's choice: CREW_BACKEND, else forked workers. */
enum { CREW_AUTO = 0, CREW_SERIAL, CREW_THREADS, CREW_FORK, CREW_MPI };

/* What a worker process sees of the program's memory. FORK (default of the
 * fork backend): globals as when the pool opened. SERVER: as at crew_init.
 * SPAWN: a fresh program, which ran the code above crew_init. */
enum { CREW_START_AUTO = 0, CREW_START_FORK, CREW_START_SERVER, CREW_START_SPAWN };

/* Binding of workers. AUTO: a core each where there are enough cores in the
 * mask this process was given, else none. */
enum {
    CREW_BIND_AUTO = 0,
    CREW_BIND_NONE,
    CREW_BIND_CORE,
    CREW_BIND_PU,
    CREW_BIND_L3,
    CREW_BIND_NUMA,
    CREW_BIND_SOCKET
};

typedef struct crew_pool crew_pool;
typedef struct crew_job crew_job;
typedef struct crew_results crew_results;
typedef struct crew_iter crew_iter;

/* {0} and NULL are complete requests. The environment overrides the code:
 * CREW_BACKEND, CREW_WORKERS, CREW_START, CREW_BIND, ... (docs/CONFIG.md). */
typedef struct crew_pool_opts {
    int backend;
    int workers;            /* 0: crew_cpu_count(); inside a worker: that worker's slice */
    int threads_per_worker; /* OpenMP threads of a task; 0: as many cores as the worker was given */
    int start;
    int bind;
    crew_fn *init; /* runs once in each worker, before its first task, with init_arg as `in`. In
                    * one that replaces another, too: while it runs there the other workers go on;
                    * where three in a row end in it the pool breaks (CREW_EBROKEN) */
    const void *init_arg;
    size_t init_size;
    crew_fn *fini;            /* runs in each worker at recycling and orderly ends */
    int64_t tasks_per_worker; /* recycle a worker after so many tasks; 0: never */
    int retries;              /* of items whose worker died or passed a limit; never of failures */
    double task_timeout;      /* seconds one task may take; 0: no limit. Without processes a task
                               * is told by crew_cancelled, and not ended */
    size_t task_memory;       /* bytes by which one task may grow its worker; 0: no limit.
                               * CREW_ENOTSUP without processes */
    uint64_t seed;            /* of the random streams */
    const char *name;         /* in messages and process names */
} crew_pool_opts;

/* Returns when every worker's init has; a failing init fails it with its text, one
 * over task_timeout with CREW_ELIMIT (threads: if it heeds crew_cancelled). */
CREW_API crew_pool *crew_pool_open(const crew_pool_opts *opts, crew_error *err);

CREW_API void crew_pool_close(crew_pool *p); /* no more work; what there is goes on */
/* After close: waits until all work is done, the workers have ended, and callbacks
 * have returned. CREW_EINVAL in a callback and in a task of the pool, as for all that
 * waits for its workers to be gone. */
CREW_API int crew_pool_join(crew_pool *p, double timeout, crew_error *err);
CREW_API void crew_pool_terminate(crew_pool *p); /* end what runs, cancel what waits */
/* Terminates if need be; no process is left when it returns. NULL is fine. In a
 * callback, and in a task of the pool, it does nothing (crew_last_error says so).
 * Its jobs, results and iterators must have been freed before; futures live on:
 * those that were done keep their results, the others are CREW_ECANCELLED. To use a
 * pool that was freed is a mistake, which is CREW_EINVAL while it is remembered: the
 * last 4 of a program are, the last 64 where the library was built without NDEBUG. */
CREW_API void crew_pool_free(crew_pool *p);
/* Executor.shutdown: no more work; cancel: what has not begun never begins;
 * wait: return when all is done and the workers have ended. */
CREW_API int crew_pool_shutdown(crew_pool *p, bool wait, bool cancel);
/* How many workers it has been opened with, those of all nodes together. */
CREW_API int crew_pool_workers(crew_pool *p);
/* A descriptor that polls readable when a future or job of this pool has ended
 * since it was last read (read 8 bytes to reset it). Owned by the pool. */
CREW_API int crew_pool_fd(crew_pool *p);

/* What workers have done since the pool opened.
 *
 * A call is an item of a map or stream, an index of a crew_for or crew_reduce, a
 * submitted task, one that a task has spawned, or a worker's part of a
 * crew_pool_each. Maps and tasks inside a task count beside it. What is cancelled
 * before it begins does not count, nor do init and fini. */
typedef struct crew_stats {
    int64_t items;    /* calls that have returned, failed or not; one that runs again counts again.
                       * A worker adds the items of a map up when it is through a claim */
    int64_t failures; /* calls that failed (of a crew_for: blocks), and those that were lost for
                       * good with their worker: died, or over a limit */
    int64_t restarts; /* how often another worker has taken the place of one that died, was ended
                       * for a limit, or had done its tasks_per_worker */
    double busy;      /* seconds with work, waits in it included */
    double idle;      /* other seconds of workers that were ready */
} crew_stats;
/* worker -1: all together. An item may be waited for a moment before it is counted. */
CREW_API int crew_pool_stats(crew_pool *p, int worker, crew_stats *stats);

/* fn once on every worker, with a copy of in[0, size). */
CREW_API int crew_pool_each(crew_pool *p, crew_fn *fn, const void *in, size_t size,
                            crew_error *err);

/* ---- maps --------------------------------------------------------------- */

enum { CREW_SCHED_AUTO = 0, CREW_SCHED_STATIC, CREW_SCHED_DYNAMIC, CREW_SCHED_GUIDED };
/* STOP: when item i fails nothing above it starts, items below it still run,
 * and the failure with the lowest index is returned, the same on every run.
 * CONTINUE: the rest finishes, and the call returns CREW_EFAILED. */
enum { CREW_STOP = 0, CREW_CONTINUE = 1 };

typedef struct crew_map_opts {
    int64_t chunk; /* items a claim takes; crew_for: indices a call takes; 0: crew's choice */
    int schedule;
    const void *common; /* reaches every call; copied once */
    size_t common_size;
    int64_t first, step; /* index maps: the value is first + i * step; step 0 is 1 */
    int on_error;
    int *statuses;      /* count of them: 0 or CREW_E... of each item */
    crew_error *errors; /* the first errors_cap failures in index order, then code 0 */
    int64_t errors_cap;
    bool progress;       /* a bar on standard error, if that is a terminal */
    bool unordered;      /* imap: as completed */
    int64_t window;      /* imap: how far the input is read ahead; 0: 4 a worker, at least 64 */
    double timeout;      /* seconds for the whole map; then CREW_ETIMEDOUT; 0: no limit */
    uint64_t stream;     /* of the random numbers; add one for independent maps */
    const char *journal; /* a file that each finished item is written to, and read from when the
                          * same map is begun again: see below. The environment: CREW_JOURNAL */
    void (*done)(void *ctx, crew_job *job); /* async maps: runs on the library's thread */
    void *ctx;
} crew_map_opts;

/* A map with a journal: what is finished, results included, is in the file within a second
 * or so, also when the program is killed then. Begun again by the same function with the
 * same items, sizes, common argument and random stream, it takes from there what was done,
 * and runs the rest; CREW_RESUME=finished takes failures too. Other work is refused with
 * the difference (CREW_EMISMATCH), CREW_JOURNAL_FORCE=1 lets a program go on that was built
 * anew; so is a journal that another job has open (CREW_EPERM). Handles and pointers in
 * items or in `common` differ from run to run, and so would the items. crew_each, crew_for
 * and other maps without results do not run again what they have run: for tasks whose
 * effects outlast the program. Where the journal was damaged, its end torn, or could not be
 * written (the map goes on), the text of err says so: beside code 0 if the map succeeds. */

/* The general map. in NULL and in_size 0: an index map; out NULL and out_size
 * 0: no results. Input and output in a crew_array or crew_shm are used in place (in a
 * crew_shm whose name is still there). A slot of `out` is valid where its item's status
 * is 0. */
CREW_API int crew_pool_map(crew_pool *p, crew_fn *fn, const void *in, size_t in_size, int64_t count,
                           void *out, size_t out_size, const crew_map_opts *opts, crew_error *err);

#define crew_map(p, fn, in, count, out, opts, err)                                                 \
    crew_pool_map((p), (fn), (in), sizeof *(in), (count), (out), sizeof *(out), (opts), (err))
#define crew_map_index(p, fn, count, out, opts, err)                                               \
    crew_pool_map((p), (fn), NULL, 0, (count), (out), sizeof *(out), (opts), (err))
#define crew_each(p, fn, in, count, opts, err)                                                     \
    crew_pool_map((p), (fn), (in), sizeof *(in), (count), NULL, 0, (opts), (err))

/* A block of indices at a time: body(call, lo, hi) for ranges that tile [0, count).
 * A block has opts->chunk indices, the last one maybe fewer; with chunk 0 their
 * number follows from count alone. What fails is a block: its statuses are alike,
 * and it is named by the index that crew_fail_at has given, else by its first one.
 * So the report is the same in every run, on any number of workers and under any
 * schedule; and also for every chunk where bodies go up through their range and
 * stop with crew_fail_at at the first index that fails. */
CREW_API int crew_for(crew_pool *p, int (*body)(crew_call *call, int64_t lo, int64_t hi),
                      int64_t count, const crew_map_opts *opts, crew_error *err);

/* fn's results, combined in a fixed tree by index: the same bits on any worker
 * count. count 0 leaves `result` as it is. */
CREW_API int crew_reduce(crew_pool *p, crew_fn *fn, const void *in, size_t in_size, int64_t count,
                         void *result, size_t size, int (*combine)(void *into, const void *from),
                         const crew_map_opts *opts, crew_error *err);

typedef struct crew_bytes {
    const void *data;
    size_t size;
} crew_bytes;
/* Items and results of any size. NULL only if nothing could be run; failed
 * items of a CREW_CONTINUE map are asked for with crew_results_error, err then
 * holds CREW_EFAILED. */
CREW_API crew_results *crew_map_bytes(crew_pool *p, crew_fn *fn, const crew_bytes *in,
                                      int64_t count, const crew_map_opts *opts, crew_error *err);
/* Borrowed until crew_results_free. NULL for a failed item, never for an empty result. */
CREW_API const void *crew_results_at(crew_results *r, int64_t i, size_t *size);
/* The status of item i, and its error. */
CREW_API int crew_results_error(crew_results *r, int64_t i, crew_error *err);
CREW_API void crew_results_free(crew_results *r); /* NULL is fine */

/* As crew_pool_map, but it returns at once: a job, or NULL with the reason. `in` is
 * copied before it returns; out, statuses and errors are borrowed until the job has
 * ended (crew_job_ready). */
CREW_API crew_job *crew_map_async(crew_pool *p, crew_fn *fn, const void *in, size_t in_size,
                                  int64_t count, void *out, size_t out_size,
                                  const crew_map_opts *opts, crew_error *err);
/* Waits until it has ended, well or not: 0, or CREW_ETIMEDOUT. */
CREW_API int crew_job_wait(crew_job *j, double timeout);
/* True once it has ended. */
CREW_API bool crew_job_ready(crew_job *j);
/* The same wait, and the map's result: what crew_pool_map would have returned. */
CREW_API int crew_job_get(crew_job *j, double timeout, crew_error *err);
/* Nothing more starts; what runs is killed where workers are processes. */
CREW_API int crew_job_cancel(crew_job *j);
/* Cancels a job that has not ended, and waits for that. In a callback only of a job
 * that has ended, not the one called back for: else it does nothing. */
CREW_API void crew_job_free(crew_job *j);

/* ---- streams ------------------------------------------------------------ */

/* 1 item (borrowed until the next call), 0 end, negative error. Called in
 * crew_imap and crew_next only. */
typedef struct crew_source {
    int (*next)(void *ctx, const void **item, size_t *size);
    void *ctx;
} crew_source;
/* What they allocate is taken by crew_imap. `in` and `file` are borrowed until
 * crew_iter_free. */
CREW_API crew_source crew_source_array(const void *in, size_t in_size, int64_t count);
CREW_API crew_source crew_source_range(int64_t first, int64_t count, int64_t step);
CREW_API crew_source crew_source_lines(FILE *file); /* without their line ends */

typedef struct crew_item {
    int64_t index;
    int status;
    const void *data; /* results of any size: until the next call */
    size_t size;
} crew_item;

/* With opts->journal a stream goes on as a map does, whatever its source; what its items are
 * is seen when they come, so that one which differs from the journal's ends the stream with
 * CREW_EMISMATCH. What is in the journal is in its place in the order; unordered it comes
 * first, as far as the window reaches. */
CREW_API crew_iter *crew_imap(crew_pool *p, crew_fn *fn, crew_source source, size_t out_size,
                              const crew_map_opts *opts, crew_error *err);
/* 1, 0 at the end, negative; a failed item is negative with item->status set
 * and may be followed by more. `out` and `item` may be NULL. */
CREW_API int crew_next(crew_iter *it, void *out, crew_item *item, double timeout, crew_error *err);
CREW_API void crew_iter_free(crew_iter *it); /* the rest is cancelled; not in a callback */

#ifdef __cplusplus
}
#endif
#endif
