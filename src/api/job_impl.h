/* api/job_impl.h - a map as its manager holds it. Guarded by pool.lock where it
 * does not say otherwise. */
#ifndef CW_API_JOB_IMPL_H
#define CW_API_JOB_IMPL_H

#include "api/pool_impl.h"

/* WAITING for a place on the board, POSTED there, BETWEEN two slices (it keeps its
 * place; somebody must turn it), TURNING (somebody does), RETIRED (no member
 * touches it, nothing more happens to it), COLLECTED (results are with the
 * caller), DONE (its callback has returned). */
enum cw_job_state {
    CW_J_WAITING,
    CW_J_POSTED,
    CW_J_BETWEEN,
    CW_J_TURNING,
    CW_J_RETIRED,
    CW_J_COLLECTED,
    CW_J_DONE
};

struct cw_again {
    int64_t lo, hi;
    int attempt;
};

/* What is asked for. */
struct cw_job_spec {
    enum cw_job_kind kind;
    cw_fn *fn, *combine;
    const void *in;
    size_t in_size;
    const crew_bytes *bytes;
    int64_t count; /* of items; of indices for FOR and FOLD */
    void *out;
    size_t out_size;
    const crew_map_opts *opts;
    bool async;
};

struct crew_job {
    crew_pool *pool;
    crew_job *next;   /* in the queue for the board */
    crew_job *listed; /* in the pool's async jobs */
    /* written when it is made */
    struct cw_job *shared;
    crew_map_opts opts;
    cw_fn_name fn;
    void *out;
    size_t out_size;
    int64_t total;
    bool async, in_own, out_own; /* the segment holds copies of in, out */
    struct cw_job_journal *journal; /* see api/journal.h; NULL: none */
    char note[256];         /* what there is to tell of it in the end */
    struct cw_leased *lease; /* a range of another node's map: see api/lease.h; else NULL */

    enum cw_job_state state;
    int stop_code; /* why it was stopped from outside; 0: it was not */
    bool inner;    /* posted by a task of the same pool */
    bool drains;   /* stopped, but what runs may end by itself */
    double left;   /* seconds of its time limit; negative: none */
    double drawn; /* since the bar was last drawn */
    int64_t done, bad;      /* items of the slices that are over: done, failed */
    int64_t first_bad;      /* the lowest that failed, and its mark */
    unsigned char bad_mark;
    bool has_gap;           /* some item did not run ... */
    int64_t first_gap;      /* ... the lowest of them */
    struct cw_again *again;
    size_t again_count, again_room;

    crew_error result; /* from COLLECTED on */
};

/* Checks, copies what is to be copied, makes the job. NULL with the reason. */
crew_job *cw_job_make(crew_pool *p, const struct cw_job_spec *spec, crew_error *err);
/* Onto the board, or in the queue for it. */
int cw_job_post(crew_pool *p, crew_job *j, crew_error *err);
/* Until it is RETIRED; works along where this thread must. Without the lock. */
void cw_job_await(crew_pool *p, crew_job *j);
/* From one slice to the next, or RETIRED if there is none to come. Of a job that is
 * BETWEEN; with the lock, which it gives up meanwhile. */
void cw_job_turn(crew_pool *p, crew_job *j);
/* Onto its place on the board, with the next slice. With the lock. */
void cw_job_put_up(crew_pool *p, crew_job *j, int slot);
/* Takes a job that is over off its place. With the lock. */
void cw_job_give_place(crew_pool *p, crew_job *j);
/* The slice's results and statuses to the caller. Nobody is inside; without the
 * lock. */
void cw_job_collect_slice(crew_pool *p, crew_job *j);
/* The last slice, statuses and errors to the caller, and the result. Of a RETIRED
 * job, without the lock. */
void cw_job_collect(crew_pool *p, crew_job *j);
/* The failures kept, lowest item first, each item once; returns how many. Of a RETIRED
 * job. */
uint32_t cw_job_sort_failures(crew_pool *p, struct cw_job *job);
/* How many calls the items of [lo, hi) that are marked stand for. */
int64_t cw_job_calls(const struct cw_job *job, const unsigned char *marks, int64_t lo, int64_t hi);
/* Frees it with its memory on the board. */
void cw_job_destroy(crew_pool *p, crew_job *j);
/* The bar; `done` ends its line. */
void cw_job_draw(crew_pool *p, crew_job *j, bool done);

#endif
