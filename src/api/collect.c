/* What a map leaves behind: results, statuses, errors, its bar. */
#include "api/job_impl.h"
#include "api/journal.h"
#include "api/stop.h"
#include "base/error.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int status_of(const crew_job *j, unsigned char mark) {
    if (mark == CW_MARK_DONE)
        return 0;
    if (mark == CW_MARK_NONE)
        return j->stop_code ? j->stop_code : CREW_ECANCELLED;
    return CW_MARK_ERROR - (int)mark;
}

static int by_item(const void *a, const void *b) {
    int64_t x = ((const struct cw_failure *)a)->item, y = ((const struct cw_failure *)b)->item;
    return (x > y) - (x < y);
}

/* The failures kept, in index order; returns how many are whole. An item that
 * failed twice (its worker died between saying so and marking it) counts once. */
uint32_t cw_job_sort_failures(crew_pool *p, struct cw_job *job) {
    struct cw_failure *kept = cw_ptr(&p->maps.arena, job->failures);
    uint32_t n = atomic_load_explicit(&job->failures_count, memory_order_acquire), whole = 0;
    for (uint32_t i = 0; i < n; i++)
        if (kept[i].item >= 0)
            kept[whole++] = kept[i];
    qsort(kept, whole, sizeof *kept, by_item);
    uint32_t different = 0;
    for (uint32_t i = 0; i < whole; i++)
        if (different == 0 || kept[i].item != kept[different - 1].item)
            kept[different++] = kept[i];
    return different;
}

static void copy_out(crew_pool *p, crew_job *j, const unsigned char *marks) {
    struct cw_job *job = j->shared;
    if (!j->out_own || job->kind == CW_JOB_FOLD || job->end == job->base)
        return; /* without items, `out` may be NULL */
    size_t size = j->out_size, offset = (size_t)job->base * size;
    const char *from = (const char *)cw_ptr(&p->maps.arena, job->out) + offset;
    char *to = (char *)j->out + offset;
    int64_t n = job->end - job->base;
    /* Runs of good items; a failed one's slot is left as it was. */
    for (int64_t i = 0; i < n;) {
        int64_t lo = i;
        i = cw_marks_run(marks, lo, n, CW_MARK_DONE);
        if (i > lo)
            memcpy(to + (size_t)lo * size, from + (size_t)lo * size, (size_t)(i - lo) * size);
        while (i < n && marks[i] != CW_MARK_DONE)
            i++;
    }
}

/* How many of the map's items lie in so many blocks from the first. */
static int64_t items_of(const crew_job *j, int64_t blocks) {
    return blocks < j->shared->count ? blocks * j->shared->grain : j->total;
}

static void give_statuses(const crew_job *j, const unsigned char *marks) {
    const struct cw_job *job = j->shared;
    int64_t to = items_of(j, job->end);
    for (int64_t i = job->base * job->grain; j->opts.statuses && i < to; i++)
        j->opts.statuses[i] = status_of(j, marks[i / job->grain - job->base]);
}

static void count_marks(crew_job *j, const unsigned char *marks) {
    const struct cw_job *job = j->shared;
    int64_t n = job->end - job->base, done = 0, bad = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t end = cw_marks_run(marks, i, n, CW_MARK_DONE);
        done += end - i;
        i = end;
        bad += i < n && marks[i] > CW_MARK_DONE;
        if (i < n && marks[i] == CW_MARK_NONE && !j->has_gap) {
            j->has_gap = true;
            j->first_gap = job->base + i;
        }
    }
    if (bad && !j->bad) {
        int64_t i = 0;
        while (marks[i] <= CW_MARK_DONE)
            i++;
        j->first_bad = job->base + i;
        j->bad_mark = marks[i];
    }
    j->done += done;
    j->bad += bad;
}

void cw_job_collect_slice(crew_pool *p, crew_job *j) {
    const unsigned char *marks = cw_ptr(&p->maps.arena, j->shared->marks);
    atomic_thread_fence(memory_order_acquire);
    copy_out(p, j, marks);
    give_statuses(j, marks);
    count_marks(j, marks);
}

/* Of the slices that were never on the board. */
static void give_statuses_of_the_rest(const crew_job *j) {
    for (int64_t i = items_of(j, j->shared->end); j->opts.statuses && i < j->total; i++)
        j->opts.statuses[i] = status_of(j, CW_MARK_NONE);
}

static void give_errors(crew_pool *p, crew_job *j, uint32_t n) {
    const struct cw_failure *kept = cw_ptr(&p->maps.arena, j->shared->failures);
    for (int64_t i = 0; i < j->opts.errors_cap; i++) {
        if (i >= (int64_t)n) {
            j->opts.errors[i] = (crew_error){.item = -1, .worker = -1};
            break;
        }
        cw_failure_explain(p, j->fn, &kept[i], j->total, j->shared->retries, &j->opts.errors[i]);
    }
}

static void stopped_from_outside(crew_pool *p, crew_job *j, int64_t done) {
    crew_error *e = &j->result;
    long long n = done, of = j->total;
    switch (j->stop_code) {
    case CREW_ETIMEDOUT:
        cw_error_set(e, CREW_ETIMEDOUT, 0,
                     "the map was over its time limit of %g s after %lld of %lld items",
                     j->opts.timeout, n, of);
        break;
    case CREW_EBROKEN:
        *e = p->broken;
        break;
    case CREW_ESTOPPED:
        cw_stop_sentence(p->session, n, of, e);
        break;
    default:
        cw_error_set(e, j->stop_code, 0, "the map was cancelled after %lld of %lld items", n, of);
    }
}

/* A stop from outside came too late to make a difference: every item has an end, or one
 * below which all have has failed. */
static bool told_all(const crew_job *j) {
    bool first = j->shared->on_error == CREW_STOP && j->bad && j->first_bad < j->first_gap;
    return j->stop_code == CREW_ESTOPPED && !atomic_load(&j->shared->voided) &&
           (j->done + j->bad == j->shared->count || first);
}

static void give_result(crew_pool *p, crew_job *j, uint32_t failures) {
    struct cw_job *job = j->shared;
    const struct cw_failure *kept = cw_ptr(&p->maps.arena, job->failures);
    cw_error_clear(&j->result);
    if (j->done == job->count)
        return;
    if (failures)
        cw_failure_explain(p, j->fn, &kept[0], j->total, job->retries, &j->result);
    if (!failures && j->bad) { /* who kept the failure died over it: the mark says what it was */
        int code = status_of(j, j->bad_mark);
        int64_t item = j->first_bad * job->grain;
        cw_error_set(&j->result, code, 0, "item %lld of %lld: %s", (long long)item,
                     (long long)j->total, crew_strerror(code));
        j->result.item = item;
    }
    if (j->stop_code && !told_all(j)) {
        stopped_from_outside(p, j, items_of(j, j->done));
    } else if (job->on_error == CREW_CONTINUE && j->bad > 0) {
        char first[sizeof j->result.text];
        snprintf(first, sizeof first, "%s", j->result.text);
        snprintf(j->result.text, sizeof j->result.text, "%lld of %lld items failed: %.200s",
                 (long long)j->bad, (long long)job->count, first);
        j->result.code = CREW_EFAILED;
    }
}

void cw_job_collect(crew_pool *p, crew_job *j) {
    cw_guard_catch_up(p->session->root.base); /* for what its results mean */
    cw_job_journal_end(j);
    uint32_t failures = cw_job_sort_failures(p, j->shared);
    cw_job_collect_slice(p, j);
    give_statuses_of_the_rest(j);
    give_errors(p, j, failures);
    give_result(p, j, failures);
    if (!j->result.code) /* success has nothing to say but this */
        snprintf(j->result.text, sizeof j->result.text, "%s", j->note);
    if (j->drawn >= 0 && (j->opts.progress || p->session->config.progress == 1))
        cw_job_draw(p, j, true);
}

/* ---- the bar ---- */

void cw_job_draw(crew_pool *p, crew_job *j, bool done) {
    int wish = p->session->config.progress;
    if (wish == 0 || (!j->opts.progress && wish != 1) || (wish != 1 && !isatty(STDERR_FILENO)))
        return;
    struct cw_job *job = j->shared;
    const unsigned char *marks = cw_ptr(&p->maps.arena, job->marks);
    int64_t n = j->done + j->bad;
    if (j->state == CW_J_TURNING)
        return; /* its slice is being counted */
    if (!done)
        n += cw_marks_count(marks, 0, job->end - job->base);
    int64_t items = items_of(j, n);
    double part = j->total ? (double)items / (double)j->total : 1;
    char bar[41];
    for (int i = 0; i < 40; i++)
        bar[i] = i < (int)(part * 40) ? '#' : '.';
    bar[40] = 0;
    fprintf(stderr, "\r%s [%s] %5.1f %% %lld of %lld%s", p->name, bar, part * 100, (long long)items,
            (long long)j->total, done ? "\n" : "");
    fflush(stderr);
}
