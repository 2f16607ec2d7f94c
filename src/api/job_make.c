/* Making a map's job: checks, copies, the shared part. */
#include "api/array_impl.h"
#include "api/journal.h"
#include "api/lease.h"
#include "api/shm_impl.h"
#include "base/error.h"
#include "os/robust.h"

#include <stdlib.h>
#include <string.h>

/* Blocks that a crew_for is cut into, unless a chunk is given, by count alone: which
 * block fails must not depend on the workers. Fine enough for balance, few enough
 * that their marks cost nothing; SMALL indices at least, where that leaves FEW. */
enum { FOR_BLOCKS = 65536, FOR_FEW = 4096, FOR_SMALL = 16 };
/* Blocks of a reduce. By count alone: the tree must not depend on workers. */
enum { FOLD_BLOCKS = 4096 };

/* Items of a map: the cursor, which may run over the end, must not overflow. */
static const int64_t MOST = (int64_t)1 << 62;

int cw_map_options_check(const crew_map_opts *o, crew_error *err) {
    if (o->chunk < 0 || o->errors_cap < 0 || o->window < 0)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "chunk is %lld, errors_cap %lld, window %lld: none may be negative",
                            (long long)o->chunk, (long long)o->errors_cap, (long long)o->window);
    if (o->schedule < CREW_SCHED_AUTO || o->schedule > CREW_SCHED_GUIDED)
        return cw_error_set(err, CREW_EINVAL, 0, "schedule %d: there is none with that number",
                            o->schedule);
    if (o->on_error != CREW_STOP && o->on_error != CREW_CONTINUE)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "on_error is %d: CREW_STOP and CREW_CONTINUE are possible",
                            o->on_error);
    if ((o->common_size && !o->common) || (o->errors_cap && !o->errors))
        return cw_error_set(err, CREW_EINVAL, 0, "%s is NULL, but its size is not 0",
                            o->common_size && !o->common ? "common" : "errors");
    if (!(o->timeout >= 0))
        return cw_error_set(err, CREW_EINVAL, 0, "timeout is %g: it may not be negative",
                            o->timeout);
    if (o->journal && !*o->journal)
        return cw_error_set(err, CREW_EINVAL, 0, "the journal's name is empty");
    return 0;
}

static int check_spec(const struct cw_job_spec *s, crew_error *err) {
    size_t bytes;
    if (!s->fn || (s->kind == CW_JOB_FOLD && !s->combine))
        return cw_error_set(err, CREW_EINVAL, 0, "the %sfunction is NULL",
                            s->fn ? "combining " : "");
    if (s->count < 0 || s->count > MOST)
        return cw_error_set(err, CREW_EINVAL, 0, "count is %lld: 0 to %lld are possible",
                            (long long)s->count, (long long)MOST);
    if (__builtin_mul_overflow((size_t)s->count, s->in_size, &bytes) || bytes > PTRDIFF_MAX ||
        __builtin_mul_overflow((size_t)s->count, s->out_size, &bytes) || bytes > PTRDIFF_MAX)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "%lld items of %zu bytes with results of %zu are more than memory "
                            "can hold",
                            (long long)s->count, s->in_size, s->out_size);
    if (s->count && s->kind != CW_JOB_EACH && !s->bytes && (!s->in != (s->in_size == 0)))
        return cw_error_set(err, CREW_EINVAL, 0, "items are at %p, their size is %zu", s->in,
                            s->in_size);
    if (s->count && (!s->out != (s->out_size == 0)))
        return cw_error_set(err, CREW_EINVAL, 0, "results go to %p, their size is %zu", s->out,
                            s->out_size);
    return 0;
}

/* Memory that workers can reach as it is: theirs, or this process's own where
 * they are threads of it. which: 0 items, 1 results. 0: it must be copied. */
static cw_ref reach(crew_pool *p, struct cw_job *job, int which, const void *at, size_t size) {
    struct cw_session *s = p->session;
    if (!p->ops->processes)
        return (uint64_t)(uintptr_t)at | CW_REF_RAW;
    if (cw_arena_holds(&s->arena, at, size))
        return (uint64_t)((const char *)at - s->own.base);
    if (cw_array_at(at, size, &job->within[which]))
        return (uint64_t)((const char *)at - s->root.base) | CW_REF_ROOT;
    return cw_shm_at(at, size, &job->named[which]) ? CW_REF_NAMED : 0;
}

static int64_t parts(int64_t count, int64_t by) {
    return count / by + (count % by != 0);
}

static int64_t block_of_for(int64_t count) {
    int64_t most = parts(count, FOR_BLOCKS), few = parts(count, FOR_FEW);
    int64_t small = few < FOR_SMALL ? few : FOR_SMALL;
    return most > small ? most : small;
}

static void cut(crew_pool *p, const struct cw_job_spec *s, struct cw_job *job) {
    int64_t chunk = s->opts->chunk;
    job->total = s->count;
    job->grain = 1;
    job->chunk = chunk;
    if (s->kind == CW_JOB_FOR) {
        job->grain = chunk ? chunk : block_of_for(s->count);
        job->chunk = chunk ? 1 : 0;
    } else if (s->kind == CW_JOB_FOLD) {
        job->grain = parts(s->count, FOLD_BLOCKS);
        job->chunk = chunk ? parts(chunk, job->grain) : 0;
    }
    job->grain = job->grain > 0 ? job->grain : 1;
    job->count = parts(s->count, job->grain);
    /* What is kept an item anyway is not cut: results of any size, partial ones. */
    bool whole = s->kind == CW_JOB_BYTES || s->kind == CW_JOB_FOLD || s->kind == CW_JOB_EACH;
    job->end = whole || job->count < p->slice ? job->count : p->slice;
}

static int fill(crew_pool *p, crew_job *j, const struct cw_job_spec *s, crew_error *err) {
    struct cw_job *job = j->shared;
    const crew_map_opts *o = s->opts;
    cut(p, s, job);
    job->kind = s->kind;
    job->workers = p->workers;
    job->fn = j->fn;
    job->first = o->first;
    job->step = o->step ? o->step : 1;
    job->schedule = o->schedule;
    job->on_error = o->on_error;
    job->is_index = !s->in && !s->bytes && s->kind != CW_JOB_EACH;
    job->retries = p->opts.retries;
    job->task_timeout = p->opts.task_timeout;
    job->stream = o->stream;
    job->in_size = s->in_size;
    job->out_size = s->out_size;
    job->common_size = o->common_size;
    int64_t kept = o->errors_cap < s->count ? o->errors_cap : s->count;
    kept = kept < UINT32_MAX ? kept : UINT32_MAX;
    job->failures_cap = kept > 0 ? (uint32_t)kept : 1;
    job->failures_highest = -1;
    atomic_store(&job->stop_at, INT64_MAX);
    if (s->combine && cw_pool_function(p, s->combine, -1, -1, -1, &job->combine, err) < 0)
        return err->code;
    cw_robust_init(&job->failures_lock);
    return 0;
}

/* Items of any size, one behind the other, each aligned to 16. */
static int put_bytes(crew_pool *p, struct cw_job *job, const struct cw_job_spec *s,
                     crew_error *err) {
    cw_arena *a = &p->maps.arena;
    size_t all = 0, n = (size_t)s->count;
    for (size_t i = 0; i < n; i++) {
        if (s->bytes[i].size && !s->bytes[i].data)
            return cw_error_set(err, CREW_EINVAL, 0, "item %zu has %zu bytes at NULL", i,
                                s->bytes[i].size);
        if (__builtin_add_overflow(all, s->bytes[i].size, &all) ||
            __builtin_add_overflow(all, (size_t)31, &all) || all > PTRDIFF_MAX)
            return cw_error_set(err, CREW_EINVAL, 0, "the items together are larger than memory");
        all &= ~(size_t)15;
    }
    if (!(job->slices = cw_alloc(a, n * sizeof(struct cw_slice), NULL, err)) ||
        !(job->answers = cw_alloc_zero(a, n * sizeof(struct cw_answer), NULL, err)) ||
        !(job->in = cw_alloc(a, all, NULL, err)))
        return CREW_ENOMEM;
    struct cw_slice *slices = cw_ptr(a, job->slices);
    char *in = cw_ptr(a, job->in);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        slices[i] = (struct cw_slice){.at = at, .size = s->bytes[i].size};
        if (s->bytes[i].size)
            memcpy(in + at, s->bytes[i].data, s->bytes[i].size);
        at = (at + s->bytes[i].size + 31) & ~(size_t)15;
    }
    return 0;
}

static int put_in(crew_pool *p, crew_job *j, const struct cw_job_spec *s, crew_error *err) {
    struct cw_job *job = j->shared;
    cw_arena *a = &p->maps.arena;
    size_t size = s->kind == CW_JOB_EACH ? s->in_size : (size_t)s->count * s->in_size;
    if (!s->in)
        return 0;
    job->in = s->async ? 0 : reach(p, job, 0, s->in, size);
    if (job->in)
        return 0;
    if (!(job->in = cw_alloc(a, size, NULL, err)))
        return CREW_ENOMEM;
    memcpy(cw_ptr(a, job->in), s->in, size);
    j->in_own = true;
    return 0;
}

static int put_memory(crew_pool *p, crew_job *j, const struct cw_job_spec *s, crew_error *err) {
    struct cw_job *job = j->shared;
    cw_arena *a = &p->maps.arena;
    if (!(job->marks = cw_alloc_zero(a, (size_t)job->end, NULL, err)) ||
        !(job->failures = cw_alloc(a, job->failures_cap * sizeof(struct cw_failure), NULL, err)))
        return CREW_ENOMEM;
    if (s->kind == CW_JOB_EACH) {
        if (!(job->attempts = cw_alloc(a, (size_t)s->count * sizeof(int32_t), NULL, err)))
            return CREW_ENOMEM;
        for (int64_t i = 0; i < s->count; i++)
            ((int32_t *)cw_ptr(a, job->attempts))[i] = 1;
    }
    if (s->bytes) {
        j->in_own = true;
        if (put_bytes(p, job, s, err) < 0)
            return err->code;
    } else if (put_in(p, j, s, err) < 0) {
        return err->code;
    }
    if (s->opts->common_size) {
        if (!(job->common = cw_alloc(a, s->opts->common_size, NULL, err)))
            return CREW_ENOMEM;
        memcpy(cw_ptr(a, job->common), s->opts->common, s->opts->common_size);
    }
    if (!s->out_size)
        return 0;
    size_t size = (size_t)job->count * s->out_size;
    job->out = s->kind == CW_JOB_FOLD ? 0 : reach(p, job, 1, s->out, size);
    if (job->out)
        return 0;
    j->out_own = true;
    return (job->out = cw_alloc(a, size, NULL, err)) ? 0 : CREW_ENOMEM;
}

crew_job *cw_job_make(crew_pool *p, const struct cw_job_spec *spec, crew_error *err) {
    static const crew_map_opts none;
    struct cw_job_spec s = *spec;
    s.opts = s.opts ? s.opts : &none;
    if (cw_pool_check(p, err) < 0 || cw_map_options_check(s.opts, err) < 0 ||
        check_spec(&s, err) < 0)
        return NULL;
    ptrdiff_t in_size = s.bytes || s.kind == CW_JOB_EACH ? -1
                        : s.in                           ? (ptrdiff_t)s.in_size
                                                         : (ptrdiff_t)sizeof(int64_t);
    ptrdiff_t out_size = s.bytes || s.kind == CW_JOB_FOR ? -1 : (ptrdiff_t)s.out_size;
    ptrdiff_t common = s.kind == CW_JOB_EACH ? -1 : (ptrdiff_t)s.opts->common_size;
    crew_job *j = calloc(1, sizeof *j);
    if (!j) {
        cw_error_set(err, CREW_ENOMEM, 0, "no memory for a map");
        return NULL;
    }
    j->pool = p;
    j->opts = *s.opts;
    j->opts.common = NULL;
    j->out = s.out;
    j->out_size = s.out_size;
    j->total = s.count;
    j->async = s.async;
    j->left = s.opts->timeout > 0 ? s.opts->timeout : -1;
    cw_off off = 0;
    if (cw_pool_function(p, s.fn, in_size, out_size, common, &j->fn, err) < 0 ||
        !(off = cw_alloc_zero(&p->maps.arena, sizeof(struct cw_job), NULL, err))) {
        free(j);
        return NULL;
    }
    j->shared = cw_ptr(&p->maps.arena, off);
    j->opts.journal = NULL;
    if (fill(p, j, &s, err) < 0 || put_memory(p, j, &s, err) < 0 ||
        cw_job_journal_begin(p, j, &s, err) < 0) {
        cw_job_destroy(p, j);
        return NULL;
    }
    return j;
}

void cw_job_destroy(crew_pool *p, crew_job *j) {
    struct cw_job *job = j->shared;
    cw_arena *a = &p->maps.arena;
    cw_job_journal_end(j);
    if (job->answers) {
        struct cw_answer *answers = cw_ptr(a, job->answers);
        int64_t end = j->lease ? j->lease->letter.hi : atomic_load(&job->end);
        for (int64_t i = job->origin; i < end; i++)
            cw_free_cell(a, &answers[i - job->origin].cell);
    }
    cw_free(a, job->answers);
    cw_free(a, job->slices);
    cw_free(a, job->attempts);
    cw_free(a, job->marks);
    cw_free(a, job->failures);
    cw_free(a, job->common);
    if (j->in_own)
        cw_free(a, job->in);
    if (j->out_own)
        cw_free(a, job->out);
    for (int i = 0; i < 2; i++)
        cw_shm_leave(&job->named[i]);
    pthread_mutex_destroy(&job->failures_lock);
    cw_free(a, (cw_off)((char *)job - a->seg->base));
    free(j->again);
    free(j);
}
