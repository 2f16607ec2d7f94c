#include "api/lease.h"

#include "base/error.h"
#include "os/clock.h"
#include "os/robust.h"

#include <stdlib.h>
#include <string.h>

/* Failures that a lease keeps: home keeps the lowest of all, and asks for no more. */
enum { FAILURES = 4096 };

struct cw_known_job *cw_known_job_make(crew_pool *p, const struct cw_letter *letter,
                                       struct cw_reader *rest, crew_error *err) {
    struct cw_known_job *k = calloc(1, sizeof *k);
    const void *common = NULL;
    if (!k || !cw_read_into(rest, &k->errand, sizeof k->errand) ||
        !(common = cw_read(rest, k->errand.common_size))) {
        cw_error_set(err, k ? CREW_EMISMATCH : CREW_ENOMEM, 0, "a map could not be taken over");
        free(k);
        return NULL;
    }
    k->slot = letter->slot;
    k->generation = letter->generation;
    k->uses = 1;
    if (k->errand.common_size) {
        k->common = cw_alloc(&p->maps.arena, k->errand.common_size, NULL, err);
        if (!k->common) {
            free(k);
            return NULL;
        }
        memcpy(cw_ptr(&p->maps.arena, k->common), common, k->errand.common_size);
    }
    return k;
}

void cw_known_job_drop(crew_pool *p, struct cw_known_job *k) {
    if (--k->uses)
        return;
    cw_free(&p->maps.arena, k->common);
    free(k);
}

/* ---- making ---- */

static void fill(crew_pool *p, struct cw_job *job, const struct cw_known_job *k, int64_t lo,
                 int64_t hi) {
    const struct cw_errand *e = &k->errand;
    job->kind = (enum cw_job_kind)e->kind;
    job->workers = p->members;
    job->fn = e->fn;
    job->combine = e->combine;
    job->count = e->count;
    job->grain = e->grain;
    job->total = e->total;
    job->first = e->first;
    job->step = e->step;
    job->chunk = e->chunk;
    job->schedule = e->schedule;
    job->on_error = e->on_error;
    job->is_index = e->is_index;
    job->retries = e->retries;
    job->task_timeout = e->task_timeout;
    job->stream = e->stream;
    job->in_size = e->in_size;
    job->out_size = e->out_size;
    job->common = k->common;
    job->common_size = e->common_size;
    job->base = job->origin = lo;
    job->end = hi;
    job->failures_cap = (uint32_t)(hi - lo < FAILURES ? hi - lo : FAILURES);
    job->failures_highest = -1;
    atomic_store(&job->cursor, lo);
    atomic_store(&job->stop_at, INT64_MAX);
    cw_robust_init(&job->failures_lock);
}

/* Items of any size: their sizes, then one behind the other. */
static int put_bytes(crew_pool *p, struct cw_job *job, struct cw_reader *r, crew_error *err) {
    cw_arena *a = &p->maps.arena;
    size_t n = (size_t)(job->end - job->base), all = 0;
    const char *sizes = cw_read(r, n * sizeof(uint64_t));
    if (!(job->slices = cw_alloc(a, n * sizeof(struct cw_slice), NULL, err)) ||
        !(job->answers = cw_alloc_zero(a, n * sizeof(struct cw_answer), NULL, err)))
        return CREW_ENOMEM;
    struct cw_slice *slices = cw_ptr(a, job->slices);
    for (size_t i = 0; sizes && i < n; i++) {
        memcpy(&slices[i].size, sizes + i * sizeof(uint64_t), sizeof(uint64_t));
        slices[i].at = all;
        all = (all + slices[i].size + 31) & ~(size_t)15; /* as in job_make.c */
    }
    if (!(job->in = cw_alloc(a, all, NULL, err)))
        return CREW_ENOMEM;
    char *in = cw_ptr(a, job->in);
    for (size_t i = 0; i < n; i++) {
        const void *data = cw_read(r, slices[i].size);
        if (!data)
            return cw_error_set(err, CREW_EMISMATCH, 0, "a range came without its items");
        if (slices[i].size)
            memcpy(in + slices[i].at, data, slices[i].size);
    }
    return 0;
}

/* How many bytes of items a range has. */
static size_t in_bytes(const struct cw_job *job) {
    int64_t to = job->end < job->count ? job->end * job->grain : job->total;
    if (job->kind == CW_JOB_EACH)
        return job->in_size;
    return (size_t)(to - job->base * job->grain) * job->in_size;
}

static int put_memory(crew_pool *p, struct cw_job *job, struct cw_reader *r, crew_error *err) {
    cw_arena *a = &p->maps.arena;
    size_t n = (size_t)(job->end - job->base);
    if (!(job->marks = cw_alloc_zero(a, n, NULL, err)) ||
        !(job->failures = cw_alloc(a, job->failures_cap * sizeof(struct cw_failure), NULL, err)))
        return CREW_ENOMEM;
    if (job->out_size && !(job->out = cw_alloc(a, n * job->out_size, NULL, err)))
        return CREW_ENOMEM;
    if (job->kind == CW_JOB_BYTES)
        return put_bytes(p, job, r, err);
    if (job->is_index || !job->in_size)
        return 0;
    size_t size = in_bytes(job);
    const void *items = cw_read(r, size);
    if (!items)
        return cw_error_set(err, CREW_EMISMATCH, 0, "a range came without its items");
    if (!(job->in = cw_alloc(a, size, NULL, err)))
        return CREW_ENOMEM;
    memcpy(cw_ptr(a, job->in), items, size);
    return 0;
}

static int put_attempts(crew_pool *p, struct cw_job *job, int attempt, crew_error *err) {
    if (job->kind == CW_JOB_EACH) {
        size_t n = (size_t)(job->end - job->base);
        if (!(job->attempts = cw_alloc(&p->maps.arena, n * sizeof(int32_t), NULL, err)))
            return CREW_ENOMEM;
        for (size_t i = 0; i < n; i++)
            ((int32_t *)cw_ptr(&p->maps.arena, job->attempts))[i] = attempt;
    } else if (attempt > 1) {
        /* All of it is claimed, and is to run again. */
        atomic_store(&job->cursor, job->end);
        job->redo[0] = (struct cw_redo){
            .state = 1, .attempt = attempt, .lo = job->base, .hi = job->end};
        atomic_store(&job->redo_ready, 1);
    }
    return 0;
}

static crew_job *make(crew_pool *p, struct cw_known_job *k, const struct cw_letter *letter,
                      struct cw_reader *items, crew_error *err) {
    crew_job *j = calloc(1, sizeof *j);
    struct cw_leased *lease = calloc(1, sizeof *lease);
    cw_off off = 0;
    if (!j || !lease || !(off = cw_alloc_zero(&p->maps.arena, sizeof(struct cw_job), NULL, err))) {
        cw_error_set(err, CREW_ENOMEM, 0, "no memory for a range of a map");
        free(j);
        free(lease);
        return NULL;
    }
    *lease = (struct cw_leased){.letter = *letter, .of = k, .begun_ns = cw_now_ns()};
    lease->told_ns = lease->begun_ns;
    j->pool = p;
    j->lease = lease;
    j->fn = k->errand.fn;
    j->total = k->errand.total;
    j->out_size = k->errand.out_size;
    j->async = j->in_own = j->out_own = true;
    j->left = -1;
    j->drawn = -1;
    j->shared = cw_ptr(&p->maps.arena, off);
    fill(p, j->shared, k, letter->lo, letter->hi);
    if (put_memory(p, j->shared, items, err) < 0 ||
        put_attempts(p, j->shared, letter->code, err) < 0) {
        j->shared->common = 0;
        cw_job_destroy(p, j);
        free(lease);
        return NULL;
    }
    return j;
}

int cw_lease_begin(crew_pool *p, struct cw_known_job *k, const struct cw_letter *letter,
                   struct cw_reader *items, crew_error *err) {
    crew_job *j = make(p, k, letter, items, err);
    if (!j)
        return err->code;
    pthread_mutex_lock(&p->lock);
    k->uses++;
    j->lease->sibling = k->leases;
    k->leases = j;
    j->listed = p->async;
    p->async = j;
    pthread_mutex_unlock(&p->lock);
    int rc = cw_job_post(p, j, err);
    if (rc < 0) {
        /* The pool is ending, or broken: its end says so; this range, that nothing of it
         * was done. */
        pthread_mutex_lock(&p->lock);
        j->state = CW_J_RETIRED;
        pthread_mutex_unlock(&p->lock);
    }
    return 0;
}

/* ---- its end ---- */

void cw_lease_free(crew_pool *p, crew_job *j) {
    struct cw_leased *lease = j->lease;
    pthread_mutex_lock(&p->lock);
    for (crew_job **at = &lease->of->leases; *at; at = &(*at)->lease->sibling)
        if (*at == j) {
            *at = lease->sibling;
            break;
        }
    cw_known_job_drop(p, lease->of);
    pthread_mutex_unlock(&p->lock);
    j->shared->common = 0; /* the map's */
    cw_job_destroy(p, j);
    free(lease->told);
    free(lease);
}

void cw_known_job_stop(crew_pool *p, struct cw_known_job *k, int64_t item, int code) {
    pthread_mutex_lock(&p->lock);
    for (crew_job *j = k->leases; j; j = j->lease->sibling)
        if (code)
            cw_pool_stop_job(p, j, code);
        else
            cw_job_stop_above(j->shared, item);
    pthread_mutex_unlock(&p->lock);
    cw_session_ring(p->session);
}
