/* What goes home of a lease: what is finished, now and then while it runs and when it is
 * over, and the part that home wants back.
 *
 * Each item is told once, in whichever message: its mark and, if it is done, its result.
 * Those that have failed are told at the end, and so is an item that failed after it was
 * told to be done: one of the children that it spawned did. */
#include "api/lease.h"

#include "os/clock.h"
#include "sched/ledger.h"

#include <stdlib.h>
#include <string.h>

/* How often marks of a long lease are looked through: so that it costs a hundredth. */
enum { LOOK_NS = 100 };

/* What a message tells: marks of [lo, hi), 0 where it tells nothing. */
struct news {
    int64_t lo, hi;
    const unsigned char *marks;
};

static int64_t count_done(const struct news *w) {
    int64_t n = w->hi - w->lo, done = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t end = cw_marks_run(w->marks, i, n, CW_MARK_DONE);
        done += end - i;
        i = end;
    }
    return done;
}

static void put_results(crew_pool *p, struct cw_job *job, const struct news *w,
                        struct cw_parcel *out) {
    int64_t n = w->hi - w->lo;
    const char *from = (const char *)cw_ptr(&p->maps.arena, job->out) +
                       (size_t)(w->lo - job->origin) * job->out_size;
    for (int64_t i = 0; i < n;) {
        int64_t end = cw_marks_run(w->marks, i, n, CW_MARK_DONE);
        cw_parcel_put(out, from + (size_t)i * job->out_size, (size_t)(end - i) * job->out_size);
        i = end + 1;
    }
}

static void put_answers(crew_pool *p, struct cw_job *job, const struct news *w,
                        struct cw_parcel *out) {
    int64_t n = w->hi - w->lo;
    const struct cw_answer *answers =
        (const struct cw_answer *)cw_ptr(&p->maps.arena, job->answers) + (w->lo - job->origin);
    for (int64_t i = 0; i < n; i++)
        if (w->marks[i] == CW_MARK_DONE)
            cw_parcel_put(out, &answers[i].size, sizeof answers[i].size);
    for (int64_t i = 0; i < n; i++)
        if (w->marks[i] == CW_MARK_DONE)
            cw_parcel_put(out, cw_ptr(&p->maps.arena, atomic_load(&answers[i].cell)),
                          answers[i].size);
}

/* The failures come last. */
static void put_news(crew_pool *p, crew_job *j, const struct news *w, struct cw_tally *tally,
                     struct cw_parcel *out) {
    struct cw_job *job = j->shared;
    tally->done = count_done(w);
    tally->ns = cw_now_ns() - j->lease->begun_ns;
    cw_parcel_put(out, tally, sizeof *tally);
    if (tally->done < w->hi - w->lo)
        cw_parcel_put(out, w->marks, (size_t)(w->hi - w->lo));
    if (job->kind == CW_JOB_BYTES)
        put_answers(p, job, w, out);
    else if (job->out_size)
        put_results(p, job, w, out);
    cw_parcel_put(out, cw_ptr(&p->maps.arena, job->failures),
                  (size_t)tally->failures * sizeof(struct cw_failure));
}

/* ---- while it runs ---- */

/* Finished since it was last told, and for good: once no child is left, those of items
 * that were marked before have ended. NULL: nothing; else to be freed. */
static unsigned char *find_news(const crew_job *j, const unsigned char *marks, int64_t n) {
    const struct cw_job *job = j->shared;
    const struct cw_leased *lease = j->lease;
    unsigned char *news = NULL;
    if (cw_marks_count(marks, 0, n) <= lease->told_items || atomic_load(&job->children) > 0 ||
        !(news = malloc((size_t)n)))
        return NULL;
    memcpy(news, marks, (size_t)n);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&job->children) > 0) {
        free(news);
        return NULL;
    }
    /* Pairs with the release of who sets a mark: the result. */
    atomic_thread_fence(memory_order_acquire);
    for (int64_t i = 0; i < n; i++)
        if (news[i] != CW_MARK_DONE || marks[i] != CW_MARK_DONE || (lease->told && lease->told[i]))
            news[i] = CW_MARK_NONE;
    return news;
}

static bool tell(crew_pool *p, crew_job *j) {
    const struct cw_job *job = j->shared;
    struct cw_leased *lease = j->lease;
    const unsigned char *marks = cw_ptr(&p->maps.arena, job->marks);
    int64_t n = job->end - job->base, first = 0, last = n;
    unsigned char *news = find_news(j, marks, n);
    if (news && !lease->told)
        lease->told = calloc((size_t)n, 1);
    while (news && first < n && !news[first])
        first++;
    if (!news || !lease->told || first == n) {
        free(news);
        return false;
    }
    while (!news[last - 1])
        last--;
    for (int64_t i = first; i < last; i++)
        lease->told[i] |= news[i];
    struct cw_tally tally = {0};
    struct cw_parcel out;
    struct cw_letter letter = lease->letter;
    letter.word = CW_W_RANGE_PART;
    letter.lo = job->base + first;
    letter.hi = job->base + last;
    cw_parcel_begin(&out, &letter);
    put_news(p, j, &(struct news){.lo = letter.lo, .hi = letter.hi, .marks = news + first}, &tally,
             &out);
    lease->told_items += tally.done;
    free(news);
    cw_guest_post(&out);
    return true;
}

/* With the lock. */
static bool is_due(const crew_job *j, int64_t now, int64_t every_ns) {
    const struct cw_leased *lease = j->lease;
    int64_t look = LOOK_NS * (j->shared->end - j->shared->base);
    return !lease->over && j->state == CW_J_POSTED &&
           now - lease->told_ns >= (look > every_ns ? look : every_ns);
}

/* Takes the lock again. */
static void let_go(crew_pool *p, crew_job *j) {
    pthread_mutex_lock(&p->lock);
    j->lease->held = false;
    pthread_cond_broadcast(&p->changed);
}

bool cw_known_job_tell(crew_pool *p, struct cw_known_job *k, int64_t every_ns, bool *running) {
    int64_t now = cw_now_ns();
    bool any = false;
    pthread_mutex_lock(&p->lock);
    *running = *running || k->leases;
    for (crew_job *j = k->leases; j;) {
        if (!is_due(j, now, every_ns)) {
            j = j->lease->sibling;
            continue;
        }
        j->lease->held = true;
        j->lease->told_ns = now;
        pthread_mutex_unlock(&p->lock);
        any = tell(p, j) || any;
        let_go(p, j);
        j = k->leases; /* others may have come and gone */
    }
    pthread_mutex_unlock(&p->lock);
    return any;
}

void cw_known_job_cut(crew_pool *p, struct cw_known_job *k, const struct cw_letter *letter) {
    crew_job *j;
    struct cw_letter answer = *letter;
    struct cw_parcel out;
    pthread_mutex_lock(&p->lock);
    for (j = k->leases; j; j = j->lease->sibling)
        if (j->lease->letter.proxy == letter->proxy && j->lease->letter.turn == letter->turn)
            break;
    if (!j || j->lease->over) {
        pthread_mutex_unlock(&p->lock);
        return; /* that is told, and all that it has not run with it */
    }
    struct cw_job *job = j->shared;
    answer.word = CW_W_RANGE_CUT;
    answer.hi = job->end;
    answer.lo = cw_job_cut(job, letter->lo > job->base ? letter->lo : job->base);
    /* Nobody may be left in it who would say that it is over. */
    if (j->state == CW_J_POSTED)
        cw_job_ring(&p->maps, p->team, job->slot);
    cw_session_ring(p->session);
    j->lease->held = true;
    pthread_mutex_unlock(&p->lock);
    cw_parcel_begin(&out, &answer);
    cw_guest_post(&out);
    let_go(p, j);
    pthread_mutex_unlock(&p->lock);
}

/* ---- its end ---- */

/* Marks of what has not been told, from the first such item on. They are to be freed if
 * they are not those of the board. */
static bool find_rest(const crew_job *j, const unsigned char *marks, struct news *w) {
    const struct cw_job *job = j->shared;
    const unsigned char *told = j->lease->told;
    int64_t n = job->end - job->base, first = 0;
    *w = (struct news){.lo = job->base, .hi = job->end, .marks = marks};
    if (!told)
        return true;
    while (first < n && told[first] && marks[first] == CW_MARK_DONE)
        first++;
    unsigned char *rest = malloc((size_t)(n - first) + 1);
    if (!rest)
        return false;
    for (int64_t i = first; i < n; i++)
        rest[i - first] = told[i] && marks[i] == CW_MARK_DONE ? CW_MARK_NONE : marks[i];
    w->lo += first;
    w->marks = rest;
    return true;
}

static void report(crew_pool *p, crew_job *j) {
    struct cw_job *job = j->shared;
    struct cw_parcel out;
    struct cw_letter letter = j->lease->letter;
    const unsigned char *marks = cw_ptr(&p->maps.arena, job->marks);
    struct news rest;
    atomic_thread_fence(memory_order_acquire);
    bool known = find_rest(j, marks, &rest);
    letter.word = CW_W_RANGE_OVER;
    letter.lo = rest.lo;
    letter.hi = rest.hi;
    struct cw_tally tally = {.calls = cw_job_calls(job, marks, job->base, job->end),
                             .failures = cw_job_sort_failures(p, job)};
    cw_parcel_begin(&out, &letter);
    out.failed = out.failed || !known;
    put_news(p, j, &rest, &tally, &out);
    cw_guest_post(&out);
    if (rest.marks != marks)
        free((void *)(uintptr_t)rest.marks);
}

void cw_lease_over(crew_pool *p, crew_job *j) {
    pthread_mutex_lock(&p->lock);
    while (j->lease->held)
        pthread_cond_wait(&p->changed, &p->lock);
    j->lease->over = true;
    pthread_mutex_unlock(&p->lock);
    report(p, j);
    cw_lease_free(p, j);
}
