/* Maps, as the caller sees them. */
#include "api/job_impl.h"
#include "api/joint.h"
#include "api/journal.h"
#include "api/lease.h"
#include "base/error.h"
#include "os/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Runs a job to its end in the calling thread's time. The result is copied to
 * err; the job remains, RETIRED and collected. */
static crew_job *run(crew_pool *p, const struct cw_job_spec *spec, crew_error *err) {
    crew_job *j = cw_may_wait("a function that maps", err) < 0 ? NULL : cw_job_make(p, spec, err);
    if (!j)
        return NULL;
    int rc = cw_job_post(p, j, err);
    if (rc < 0) {
        cw_job_destroy(p, j);
        return NULL;
    }
    cw_job_await(p, j);
    cw_job_collect(p, j);
    cw_error_copy(err, &j->result);
    return j;
}

static int run_and_free(crew_pool *p, const struct cw_job_spec *spec, crew_error *err) {
    crew_error local;
    crew_error *to = err ? err : &local;
    crew_job *j = run(p, spec, to);
    if (j)
        cw_job_destroy(p, j);
    if (!err)
        cw_error_copy(NULL, to);
    return to->code;
}

int crew_pool_map(crew_pool *p, crew_fn *fn, const void *in, size_t in_size, int64_t count,
                  void *out, size_t out_size, const crew_map_opts *opts, crew_error *err) {
    return run_and_free(p,
                        &(struct cw_job_spec){.kind = CW_JOB_ITEMS,
                                              .fn = (cw_fn *)fn,
                                              .in = in,
                                              .in_size = in_size,
                                              .count = count,
                                              .out = out,
                                              .out_size = out_size,
                                              .opts = opts},
                        err);
}

int crew_for(crew_pool *p, int (*body)(crew_call *call, int64_t lo, int64_t hi), int64_t count,
             const crew_map_opts *opts, crew_error *err) {
    return run_and_free(p,
                        &(struct cw_job_spec){
                            .kind = CW_JOB_FOR, .fn = (cw_fn *)body, .count = count, .opts = opts},
                        err);
}

int crew_pool_each(crew_pool *p, crew_fn *fn, const void *in, size_t size, crew_error *err) {
    if (cw_pool_check(p, err) < 0)
        return CREW_EINVAL;
    return run_and_free(
        p,
        &(struct cw_job_spec){
            .kind = CW_JOB_EACH, .fn = (cw_fn *)fn, .in = in, .in_size = size, .count = p->workers},
        err);
}

/* ---- reduce ---- */

/* Neighbours, then neighbours of neighbours: a tree by index alone. */
static int fold_tree(char *partials, size_t size, int64_t n,
                     int (*combine)(void *into, const void *from)) {
    for (int64_t width = 1; width < n; width *= 2)
        for (int64_t i = 0; i + width < n; i += 2 * width) {
            int rc = combine(partials + (size_t)i * size, partials + (size_t)(i + width) * size);
            if (rc)
                return rc;
        }
    return 0;
}

int crew_reduce(crew_pool *p, crew_fn *fn, const void *in, size_t in_size, int64_t count,
                void *result, size_t size, int (*combine)(void *into, const void *from),
                const crew_map_opts *opts, crew_error *err) {
    crew_error local;
    crew_error *to = err ? err : &local;
    const struct cw_job_spec spec = {.kind = CW_JOB_FOLD,
                                     .fn = (cw_fn *)fn,
                                     .combine = (cw_fn *)combine,
                                     .in = in,
                                     .in_size = in_size,
                                     .count = count,
                                     .out = result,
                                     .out_size = size,
                                     .opts = opts};
    crew_job *j = NULL;
    if (size == 0 || (opts && opts->on_error == CREW_CONTINUE))
        cw_error_set(to, CREW_EINVAL, 0, "%s",
                     size == 0 ? "the size of the result is 0"
                               : "a reduce needs all its items: on_error must be CREW_STOP");
    else
        j = run(p, &spec, to);
    if (j && to->code == 0 && count > 0) {
        char *partials = cw_ptr(&p->maps.arena, j->shared->out);
        int rc = fold_tree(partials, size, j->shared->count, combine);
        if (rc)
            cw_error_set(to, CREW_EFAILED, 0, "the combining function failed with code %d", rc);
        else
            memcpy(result, partials, size);
        to->task_code = rc;
    }
    if (j)
        cw_job_destroy(p, j);
    if (!err)
        cw_error_copy(NULL, to);
    return to->code;
}

/* ---- items and results of any size ---- */

struct crew_results {
    crew_pool *pool;
    crew_job *job;
};

crew_results *crew_map_bytes(crew_pool *p, crew_fn *fn, const crew_bytes *in, int64_t count,
                             const crew_map_opts *opts, crew_error *err) {
    static const crew_bytes nothing;
    crew_error local;
    crew_error *to = err ? err : &local;
    crew_results *r = NULL;
    if (!in && count > 0) {
        cw_error_set(to, CREW_EINVAL, 0, "the items are NULL, their count is %lld",
                     (long long)count);
    } else if (!(r = calloc(1, sizeof *r))) {
        cw_error_set(to, CREW_ENOMEM, 0, "no memory for the results");
    } else {
        r->pool = p;
        r->job = run(p,
                     &(struct cw_job_spec){.kind = CW_JOB_BYTES,
                                           .fn = (cw_fn *)fn,
                                           .bytes = in ? in : &nothing,
                                           .count = count,
                                           .opts = opts},
                     to);
        bool keep = r->job && (to->code == 0 || (opts && opts->on_error == CREW_CONTINUE));
        if (!keep) {
            if (r->job)
                cw_job_destroy(p, r->job);
            free(r);
            r = NULL;
        }
    }
    if (!err)
        cw_error_copy(NULL, to);
    return r;
}

static unsigned char mark_of(crew_results *r, int64_t i) {
    const unsigned char *marks = cw_ptr(&r->pool->maps.arena, r->job->shared->marks);
    return marks[i];
}

const void *crew_results_at(crew_results *r, int64_t i, size_t *size) {
    if (size)
        *size = 0;
    if (!r || i < 0 || i >= r->job->total) {
        cw_error_set(NULL, CREW_EINVAL, 0, "there is no result %lld", (long long)i);
        return NULL;
    }
    if (mark_of(r, i) != CW_MARK_DONE) {
        crew_results_error(r, i, NULL);
        return NULL;
    }
    struct cw_answer *answers = cw_ptr(&r->pool->maps.arena, r->job->shared->answers);
    cw_off off = atomic_load(&answers[i].cell);
    cw_error_clear(NULL);
    if (!off)
        return ""; /* a task that did not answer: an empty result */
    if (size)
        *size = answers[i].size;
    return cw_ptr(&r->pool->maps.arena, off);
}

int crew_results_error(crew_results *r, int64_t i, crew_error *err) {
    if (!r || i < 0 || i >= r->job->total)
        return cw_error_set(err, CREW_EINVAL, 0, "there is no result %lld", (long long)i);
    unsigned char mark = mark_of(r, i);
    if (mark == CW_MARK_DONE)
        return cw_error_clear(err);
    struct cw_job *job = r->job->shared;
    const struct cw_failure *kept = cw_ptr(&r->pool->maps.arena, job->failures);
    for (uint32_t k = 0; k < atomic_load(&job->failures_count); k++)
        if (kept[k].item == i) {
            crew_error e;
            cw_failure_explain(r->pool, r->job->fn, &kept[k], r->job->total, job->retries, &e);
            return cw_error_copy(err, &e);
        }
    int none = r->job->stop_code == CREW_ESTOPPED ? CREW_ESTOPPED : CREW_ECANCELLED;
    int code = mark == CW_MARK_NONE ? none : CW_MARK_ERROR - (int)mark;
    cw_error_set(err, code, 0, "item %lld of %lld: %s", (long long)i, (long long)r->job->total,
                 crew_strerror(code));
    if (err)
        err->item = i;
    return code;
}

void crew_results_free(crew_results *r) {
    if (!r)
        return;
    cw_job_destroy(r->pool, r->job);
    free(r);
}

/* ---- async ---- */

/* Takes it off its pool's list. */
static void unlist(crew_pool *p, crew_job *j) {
    pthread_mutex_lock(&p->lock);
    for (crew_job **at = &p->async; *at; at = &(*at)->listed)
        if (*at == j) {
            *at = j->listed;
            break;
        }
    pthread_mutex_unlock(&p->lock);
}

crew_job *crew_map_async(crew_pool *p, crew_fn *fn, const void *in, size_t in_size, int64_t count,
                         void *out, size_t out_size, const crew_map_opts *opts, crew_error *err) {
    crew_error local;
    crew_error *to = err ? err : &local;
    const struct cw_job_spec spec = {.kind = CW_JOB_ITEMS,
                                     .fn = (cw_fn *)fn,
                                     .in = in,
                                     .in_size = in_size,
                                     .count = count,
                                     .out = out,
                                     .out_size = out_size,
                                     .opts = opts,
                                     .async = true};
    crew_job *j = cw_job_make(p, &spec, to);
    if (j) {
        pthread_mutex_lock(&p->lock);
        j->listed = p->async;
        p->async = j;
        pthread_mutex_unlock(&p->lock);
        int rc = cw_job_post(p, j, to);
        if (rc < 0) {
            unlist(p, j);
            cw_job_destroy(p, j);
            j = NULL;
        } else {
            if (cw_pool_helps(p))
                cw_job_await(p, j);
            cw_session_ring(p->session);
            cw_error_clear(to);
        }
    }
    if (!err)
        cw_error_copy(NULL, to);
    return j;
}

/* One async job, on the service thread. With the lock; gives it up meanwhile. */
static void finish_async(crew_pool *p, crew_job *j) {
    j->state = CW_J_COLLECTED;
    pthread_mutex_unlock(&p->lock);
    if (j->lease) {
        unlist(p, j);
        cw_lease_over(p, j);
        pthread_mutex_lock(&p->lock);
        return;
    }
    cw_job_collect(p, j);
    cw_in_callback = true;
    if (j->opts.done)
        j->opts.done(j->opts.ctx, j);
    cw_in_callback = false;
    pthread_mutex_lock(&p->lock);
    j->state = CW_J_DONE;
    if (p->fd >= 0)
        cw_pool_signal_fd(p);
    pthread_cond_broadcast(&p->changed);
}

static crew_job *next_to_finish(crew_pool *p) {
    for (crew_job *j = p->async; j; j = j->listed) {
        cw_pool_advance(p, j);
        if ((j->state == CW_J_BETWEEN || j->state == CW_J_RETIRED) && cw_job_journal_settled(j))
            return j;
    }
    return NULL;
}

double cw_pool_tend_jobs(crew_pool *p, double passed) {
    double next = 1.0;
    pthread_mutex_lock(&p->lock);
    for (int slot = 0; slot < CW_JOB_SLOTS; slot++) {
        crew_job *j = p->jobs[slot];
        if (!j)
            continue;
        if (j->left >= 0 && (j->left -= passed) < 0)
            cw_pool_stop_job(p, j, CREW_ETIMEDOUT);
        if (j->left >= 0)
            next = 0.01 > j->left ? 0.01 : j->left < next ? j->left : next;
        if (j->opts.progress || p->session->config.progress == 1) {
            j->drawn += passed;
            if (j->drawn > 0.1) {
                j->drawn = 0;
                cw_job_draw(p, j, false);
            }
            next = next < 0.1 ? next : 0.1;
        }
    }
    crew_job *later;
    for (crew_job *j = p->waiting; j; j = later) {
        later = j->next;
        if (j->left >= 0 && (j->left -= passed) < 0)
            cw_pool_stop_job(p, j, CREW_ETIMEDOUT);
        next = j->left >= 0 && next > 0.01 ? 0.01 : next;
    }
    crew_job *j;
    while ((j = next_to_finish(p)))
        if (j->state == CW_J_BETWEEN)
            cw_job_turn(p, j);
        else
            finish_async(p, j);
    pthread_mutex_unlock(&p->lock);
    return next;
}

bool cw_pool_jobs_told(crew_pool *p) {
    for (crew_job *j = p->async; j; j = j->listed)
        if (j->state == CW_J_RETIRED || j->state == CW_J_COLLECTED)
            return false;
    return true;
}

static int check_job(crew_job *j, crew_error *err) {
    return j ? cw_pool_check(j->pool, err) : cw_error_set(err, CREW_EINVAL, 0, "the job is NULL");
}

bool crew_job_ready(crew_job *j) {
    if (check_job(j, NULL) < 0)
        return false;
    cw_joint_turn(); /* who asks again and again waits for it */
    pthread_mutex_lock(&j->pool->lock);
    bool done = j->state == CW_J_DONE;
    pthread_mutex_unlock(&j->pool->lock);
    return done;
}

/* In its own callback a job is as good as done. */
static bool ended(crew_job *j) {
    return j->state == CW_J_DONE ||
           (j->state == CW_J_COLLECTED && cw_in_callback);
}

int crew_job_wait(crew_job *j, double timeout) {
    int rc = check_job(j, NULL);
    if (rc < 0)
        return rc;
    crew_pool *p = j->pool;
    struct cw_deadline d = cw_deadline_in(timeout);
    pthread_mutex_lock(&p->lock);
    bool refused = cw_in_callback && timeout != 0 && !ended(j);
    while (!refused && !ended(j) && !cw_deadline_over(&d))
        cw_pool_sleep(p, &d);
    bool done = ended(j);
    pthread_mutex_unlock(&p->lock);
    if (refused)
        return cw_may_wait("crew_job_wait", NULL);
    return done ? cw_error_clear(NULL)
                : cw_error_set(NULL, CREW_ETIMEDOUT, 0, "the job has not ended yet");
}

int crew_job_get(crew_job *j, double timeout, crew_error *err) {
    int rc = crew_job_wait(j, timeout);
    return rc < 0 ? cw_error_copy(err, crew_last_error()) : cw_error_copy(err, &j->result);
}

int crew_job_cancel(crew_job *j) {
    int rc = check_job(j, NULL);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&j->pool->lock);
    cw_pool_stop_job(j->pool, j, CREW_ECANCELLED);
    pthread_mutex_unlock(&j->pool->lock);
    cw_session_ring(j->pool->session);
    return cw_error_clear(NULL);
}

void crew_job_free(crew_job *j) {
    if (!j || check_job(j, NULL) < 0)
        return;
    if (!crew_job_ready(j) && cw_may_wait("crew_job_free", NULL) < 0)
        return;
    crew_job_cancel(j);
    crew_job_wait(j, CREW_FOREVER);
    unlist(j->pool, j);
    cw_job_destroy(j->pool, j);
}
