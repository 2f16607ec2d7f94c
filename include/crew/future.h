/* crew/future.h - one call at a time: submit, wait, as_completed.
 *
 * Any thread may use a future; one thread at a time a crew_completed. Callbacks
 * run on one thread of the library and have returned before the wait on their
 * future does; they may submit but not wait. */
#ifndef CREW_FUTURE_H
#define CREW_FUTURE_H

#include <crew/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct crew_future crew_future;
typedef struct crew_completed crew_completed;

enum { CREW_PRIORITY_MIN = -3, CREW_PRIORITY_MAX = 3 };

typedef struct crew_submit_opts {
    int retries; /* 0: the pool's */
    double task_timeout;
    size_t task_memory;
    const void *common; /* copied */
    size_t common_size;
    int64_t index; /* call->index, and the random stream's */
    int priority;  /* CREW_PRIORITY_MIN to _MAX: higher begins first */
    /* 0 or 1: one worker. k: it runs on k workers at the same time, which are ranks of MPI
     * (CREW_ISOLATE=0; elsewhere CREW_ENOTSUP), as a function of the same item. They have
     * crew_call_comm (crew/mpi.h) in common; the answer is what the first of them replies;
     * the failure of any is the task's, of several that of the lowest in the communicator.
     * Such tasks begin in the order in which they came, whatever their priority. One whose
     * rank is lost fails; it is not retried, and cannot spawn tasks. */
    int ranks;
    /* A name for the call, and the file that its result is written to: one that was done is
     * not made again, and its future is done at once (CREW_RESUME=finished: one that failed,
     * too). A key is for one function, item and common argument: others are CREW_EMISMATCH.
     * Many calls share a file, which a program has open until its pools that used it are
     * freed. Without a journal (nor CREW_JOURNAL) a key means nothing. See crew/pool.h. */
    const char *key, *journal;
} crew_submit_opts;

/* NULL with the reason in err. The item is copied. */
CREW_API crew_future *crew_submit(crew_pool *p, crew_fn *fn, const void *in, size_t size,
                                  const crew_submit_opts *opts, crew_error *err);

/* Waits, then copies the result. A result of another size than out_size is
 * CREW_EMISMATCH (out NULL with 0 asks for none); a failure is its code and text. */
CREW_API int crew_future_result(crew_future *f, void *out, size_t out_size, double timeout,
                                crew_error *err);
/* The result of a future that is done, borrowed until it is freed; else NULL. */
CREW_API const void *crew_future_data(crew_future *f, size_t *size);
/* How it is just now. done: it has ended, with a result, a failure, or cancelled. */
CREW_API bool crew_future_done(crew_future *f);
CREW_API bool crew_future_running(crew_future *f);
CREW_API bool crew_future_cancelled(crew_future *f);
CREW_API int crew_future_cancel(crew_future *f); /* 1: it never begins; 0: too late */
/* Also ends a running one, by ending its worker; CREW_ENOTSUP for a running
 * one where workers are not processes: there it sees crew_cancelled, and is
 * cancelled if it then fails. 1: will not finish; 0: was done. */
CREW_API int crew_future_kill(crew_future *f);
/* done(ctx, f) once f is done, at once (on the library's thread) if it is.
 * The future may be freed in its callback. What would wait in one is CREW_EINVAL. */
CREW_API int crew_future_then(crew_future *f, void (*done)(void *ctx, crew_future *f), void *ctx);
CREW_API void crew_future_free(crew_future *f); /* detaches, never cancels; NULL is fine */

enum { CREW_WAIT_ALL = 0, CREW_WAIT_FIRST, CREW_WAIT_FIRST_ERROR };
/* Waits until all are done, or one, or one that failed (else all). How many of the n are
 * done, also when the time is over; negative only for what is no future or in a callback. */
CREW_API int crew_wait(crew_future **futures, size_t n, int until, double timeout);

/* The futures as they complete, each once; NULL with the reason in crew_last_error().
 * The array is borrowed until crew_completed_free. next: 1 with the place of one that is
 * done in *which (failed or cancelled ones too: crew_future_result tells), 0 when all
 * were given, CREW_ETIMEDOUT. */
CREW_API crew_completed *crew_as_completed(crew_future **futures, size_t n);
CREW_API int crew_completed_next(crew_completed *c, size_t *which, double timeout);
CREW_API void crew_completed_free(crew_completed *c); /* NULL is fine; not the futures */

/* crew_submit and crew_future_result in one, without a limit of time. */
CREW_API int crew_apply(crew_pool *p, crew_fn *fn, const void *in, size_t in_size, void *out,
                        size_t out_size, crew_error *err);
/* crew_submit, and done (it has a result) or failed is called when it ends, as by
 * crew_future_then; either may be NULL. */
CREW_API crew_future *crew_apply_async(crew_pool *p, crew_fn *fn, const void *in, size_t size,
                                       void (*done)(void *ctx, crew_future *f),
                                       void (*failed)(void *ctx, crew_future *f), void *ctx,
                                       crew_error *err);

#ifdef __cplusplus
}
#endif
#endif
