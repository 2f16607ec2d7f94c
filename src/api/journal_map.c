/* The journal of a map: what was finished is taken from it, what is finished is put there.
 *
 * The marks are the truth here, too. The journal's thread looks at them, as the manager
 * does: a mark that it sees is final once no task that the map has spawned is left (one
 * that is left may still fail its item), and the result lies in its slot or block. So who
 * runs items does nothing for a journal. A bit for each item of the slice says that it is
 * in the journal. */
#include "api/job_impl.h"
#include "api/journal.h"
#include "base/error.h"
#include "journal/hash.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of results that share a record: what one damaged byte may cost. */
enum { RUN_ITEMS = 65536, RUN_BYTES = 64 << 10 };
/* Put at once, while the journal is locked. */
enum { AT_ONCE = 1 << 20 };

/* A record that was there when the map began. */
struct part {
    int64_t index, n, failed_at;
    uint64_t at, size;
    int status, task_code;
};

struct cw_job_journal {
    crew_pool *pool;
    crew_job *job;
    struct cw_journal *jn;
    struct part *parts;
    size_t count, room;
    uint64_t *written; /* bit an item of the slice; the journal's lock */
    int64_t low;       /* all words before this one are full */
    uint64_t ticket;   /* what it was asked for last; 0: nothing */
};

static bool any_size(const crew_job *j) {
    return j->shared->kind == CW_JOB_BYTES;
}

/* Where the result of item i begins, of those that have one size. */
static char *result_at(const struct cw_job_journal *g, int64_t i) {
    const crew_job *j = g->job;
    char *out = j->out_own ? cw_ptr(&g->pool->maps.arena, j->shared->out) : j->out;
    return (char *)((uintptr_t)out + (uintptr_t)i * j->shared->out_size);
}

/* ---- whose journal it is ---- */

static uint64_t hash_items(const struct cw_job_spec *s) {
    if (!s->bytes)
        return cw_hash(s->in, (size_t)s->count * s->in_size, 0);
    struct cw_hasher h;
    cw_hash_begin(&h, 0);
    for (int64_t i = 0; i < s->count; i++) {
        cw_hash_add(&h, &s->bytes[i].size, sizeof s->bytes[i].size);
        cw_hash_add(&h, s->bytes[i].data, s->bytes[i].size);
    }
    return cw_hash_end(&h);
}

static struct cw_journal_head fingerprint(const crew_pool *p, const crew_job *j,
                                          const struct cw_job_spec *s) {
    static const uint32_t kinds[] = {[CW_JOB_ITEMS] = CW_JOURNAL_MAP,
                                     [CW_JOB_FOR] = CW_JOURNAL_FOR,
                                     [CW_JOB_FOLD] = CW_JOURNAL_FOLD,
                                     [CW_JOB_BYTES] = CW_JOURNAL_BYTES};
    const struct cw_job *job = j->shared;
    struct cw_journal_head h = {.kind = kinds[s->kind],
                                .object = j->fn.object,
                                .offset = j->fn.offset,
                                .count = s->count,
                                .grain = job->grain,
                                .in_size = s->in_size,
                                .out_size = s->out_size,
                                .inputs = hash_items(s),
                                .common_size = s->opts->common_size,
                                .common = cw_hash(s->opts->common, s->opts->common_size, 0),
                                .first = job->is_index ? job->first : 0,
                                .step = job->is_index ? job->step : 0,
                                .seed = p->team->seed,
                                .stream = job->stream};
    cw_fn_describe(s->fn, h.function, sizeof h.function);
    if (s->combine)
        cw_fn_describe(s->combine, h.combine, sizeof h.combine);
    return h;
}

/* ---- what is there ---- */

static int found(void *ctx, const struct cw_journal_record *r, uint64_t at) {
    struct cw_job_journal *g = ctx;
    const struct cw_job *job = g->job->shared;
    bool fits = r->key_size == 0 && r->n <= job->count && r->index <= job->count - r->n &&
                (r->status          ? r->n == 1
                 : any_size(g->job) ? r->n == 1
                                    : r->size == (uint64_t)r->n * job->out_size);
    if (!fits)
        return 0; /* nothing of ours: its items run again */
    if (r->status && g->pool->session->config.resume != CW_RESUME_FINISHED)
        return 0;
    if (g->count == g->room) {
        size_t room = g->room ? 2 * g->room : 256;
        struct part *more = realloc(g->parts, room * sizeof *more);
        if (!more)
            return CREW_ENOMEM;
        g->parts = more;
        g->room = room;
    }
    g->parts[g->count++] = (struct part){.index = r->index,
                                         .n = r->n,
                                         .failed_at = (int64_t)r->input,
                                         .at = at,
                                         .size = r->size,
                                         .status = r->status,
                                         .task_code = r->task_code};
    return 0;
}

static void set_written(struct cw_job_journal *g, int64_t i) {
    i -= g->job->shared->base;
    g->written[i / 64] |= 1ull << (i % 64);
}

static int take_answer(struct cw_job_journal *g, const struct part *part, crew_error *err) {
    cw_arena *a = &g->pool->maps.arena;
    struct cw_answer *answer = (struct cw_answer *)cw_ptr(a, g->job->shared->answers) + part->index;
    cw_free_cell(a, &answer->cell);
    cw_off off = cw_alloc(a, part->size, &answer->cell, err);
    if (!off)
        return CREW_ENOMEM;
    answer->size = part->size;
    return cw_journal_read(g->jn, part->at, cw_ptr(a, off), part->size, err);
}

/* Items [lo, hi) of the slice, which are all in the part. */
static int take_done(struct cw_job_journal *g, const struct part *part, int64_t lo, int64_t hi,
                     crew_error *err) {
    struct cw_job *job = g->job->shared;
    unsigned char *marks = cw_ptr(&g->pool->maps.arena, job->marks);
    uint64_t size = job->out_size;
    int rc = any_size(g->job) ? take_answer(g, part, err)
             : size ? cw_journal_read(g->jn, part->at + (uint64_t)(lo - part->index) * size,
                                      result_at(g, lo), (size_t)(hi - lo) * size, err)
                    : 0;
    if (rc < 0)
        return rc;
    memset(marks + (lo - job->base), CW_MARK_DONE, (size_t)(hi - lo));
    for (int64_t i = lo; i < hi; i++)
        set_written(g, i);
    return 0;
}

static int take_failed(struct cw_job_journal *g, const struct part *part, crew_error *err) {
    struct cw_job *job = g->job->shared;
    const unsigned char *marks = cw_ptr(&g->pool->maps.arena, job->marks);
    struct cw_failure f = {.item = part->index,
                           .index = part->failed_at,
                           .code = part->status,
                           .task_code = part->task_code,
                           .worker = -1,
                           .attempt = 1};
    size_t n = part->size < sizeof f.text ? (size_t)part->size : sizeof f.text - 1;
    if (marks[part->index - job->base])
        return 0; /* it was done later */
    int rc = cw_journal_read(g->jn, part->at, f.text, n, err);
    if (rc < 0)
        return rc;
    cw_job_fail(&g->pool->maps, job, &f);
    set_written(g, part->index);
    return 0;
}

/* What is in the journal of the slice that is to be put up. */
static int fill(struct cw_job_journal *g, crew_error *err) {
    struct cw_job *job = g->job->shared;
    unsigned char *marks = cw_ptr(&g->pool->maps.arena, job->marks);
    int64_t lo, hi;
    int rc = 0;
    g->low = 0;
    memset(g->written, 0, (size_t)(job->end - job->base + 63) / 64 * sizeof *g->written);
    for (int failed = 0; failed < 2; failed++)
        for (size_t k = 0; k < g->count && rc == 0; k++) {
            const struct part *part = &g->parts[k];
            lo = part->index > job->base ? part->index : job->base;
            hi = part->index + part->n < job->end ? part->index + part->n : job->end;
            if (lo < hi && !part->status == !failed)
                rc = failed ? take_failed(g, part, err) : take_done(g, part, lo, hi, err);
        }
    if (rc < 0 || g->count == 0)
        return rc;
    bool gap = cw_marks_gap(marks, 0, job->end - job->base, &lo, &hi);
    atomic_store(&job->cursor, gap ? job->base + lo : job->end);
    job->resumed = 1;
    return 0;
}

/* ---- what is new ---- */

/* Items of the word that are marked and not written. */
static uint64_t news_of(const struct cw_job_journal *g, const unsigned char *marks, int64_t n,
                        int64_t word) {
    const uint64_t known = g->written[word];
    int64_t at = word * 64, to = at + 64 < n ? at + 64 : n;
    uint64_t bits = 0;
    if (~known == 0 || cw_marks_run(marks, at, to, CW_MARK_NONE) == to)
        return 0;
    for (int64_t i = at; i < to; i++) /* pairs with the release of who sets a mark: the result */
        bits |= (uint64_t)(__atomic_load_n(&marks[i], __ATOMIC_ACQUIRE) != 0) << (i - at);
    return bits & ~known;
}

/* A task that an item has spawned may still fail it. It was counted before the item was
 * marked, so who sees the mark and then nobody sees the item's last word. */
static bool final(struct cw_job *job) {
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load(&job->children) == 0;
}

static bool put_done(struct cw_job_journal *g, int64_t lo, int64_t hi) {
    struct cw_job *job = g->job->shared;
    struct cw_journal_record r = {.index = lo, .n = hi - lo};
    const void *from = result_at(g, lo);
    size_t size = (size_t)(hi - lo) * job->out_size;
    if (any_size(g->job)) {
        cw_arena *a = &g->pool->maps.arena;
        struct cw_answer *answer = (struct cw_answer *)cw_ptr(a, job->answers) + lo;
        cw_off off = atomic_load(&answer->cell);
        size = off ? answer->size : 0;
        from = cw_ptr(a, off);
    }
    const struct cw_journal_pieces results = {.data = from, .size = size, .borrow = true};
    return cw_journal_put(g->jn, &r, &results, NULL);
}

static bool put_failed(struct cw_job_journal *g, int64_t i, unsigned char mark) {
    struct cw_job *job = g->job->shared;
    int code = CW_MARK_ERROR - (int)mark;
    struct cw_failure f = {.index = i * job->grain};
    if (!cw_journal_keeps(code))
        return true;
    cw_job_failure(&g->pool->maps, job, i, &f);
    struct cw_journal_record r = {.index = i,
                                  .n = 1,
                                  .status = code,
                                  .task_code = f.task_code,
                                  .input = (uint64_t)f.index};
    const struct cw_journal_pieces why = {.data = f.text, .size = strnlen(f.text, sizeof f.text)};
    return cw_journal_put(g->jn, &r, &why, NULL);
}

/* How many items of one result's size go into one record. */
static int64_t run_most(const crew_job *j) {
    uint64_t size = j->shared->out_size;
    int64_t fit = size ? (int64_t)(RUN_BYTES / size) : RUN_ITEMS;
    return any_size(j) || fit < 1 ? 1 : fit < RUN_ITEMS ? fit : RUN_ITEMS;
}

struct sweep {
    int64_t lo, hi, most; /* a run that is to be put; lo == hi: none */
    uint64_t put;         /* bytes so far */
    bool full;
};

static void put_run(struct cw_job_journal *g, struct sweep *s) {
    struct cw_job *job = g->job->shared;
    const unsigned char *marks = cw_ptr(&g->pool->maps.arena, job->marks);
    int64_t lo = s->lo, hi = s->hi;
    s->lo = s->hi = 0;
    if (lo == hi || s->full)
        return;
    if (!final(job)) {
        s->full = true;
        return;
    }
    unsigned char mark = __atomic_load_n(&marks[lo - job->base], __ATOMIC_ACQUIRE);
    if (mark == CW_MARK_DONE)
        hi = job->base + cw_marks_run(marks, lo - job->base, hi - job->base, CW_MARK_DONE);
    else
        hi = lo + 1; /* the others next time */
    if (mark == CW_MARK_DONE ? !put_done(g, lo, hi) : !put_failed(g, lo, mark)) {
        s->full = true;
        return;
    }
    s->put += (uint64_t)(hi - lo) * job->out_size + CW_JOURNAL_RECORD;
    for (int64_t i = lo; i < hi; i++)
        set_written(g, i);
}

static void sweep_word(struct cw_job_journal *g, struct sweep *s, int64_t word, uint64_t bits) {
    const struct cw_job *job = g->job->shared;
    const unsigned char *marks = cw_ptr(&g->pool->maps.arena, job->marks);
    for (; bits && !s->full; bits &= bits - 1) {
        int64_t at = word * 64 + __builtin_ctzll(bits), i = job->base + at;
        bool done = __atomic_load_n(&marks[at], __ATOMIC_RELAXED) == CW_MARK_DONE;
        if (s->lo == s->hi || i != s->hi || s->hi - s->lo >= s->most || !done) {
            put_run(g, s);
            s->lo = i;
        }
        s->hi = i + 1;
        if (!done)
            put_run(g, s);
    }
}

/* On the journal's thread, with its lock. */
static bool collect(void *ctx) {
    struct cw_job_journal *g = ctx;
    struct cw_job *job = g->job->shared;
    const unsigned char *marks = cw_ptr(&g->pool->maps.arena, job->marks);
    int64_t n = job->end - job->base, words = (n + 63) / 64;
    struct sweep s = {.most = run_most(g->job)};
    for (int64_t word = g->low; word < words && !s.full && s.put < AT_ONCE; word++) {
        if (word == g->low && ~g->written[word] == 0)
            g->low++;
        uint64_t bits = news_of(g, marks, n, word);
        if (bits)
            sweep_word(g, &s, word, bits);
    }
    bool more = s.put >= AT_ONCE && !s.full;
    put_run(g, &s);
    return more || (s.full && s.put > 0 && final(job));
}

/* ---- from its beginning to its end ---- */

static void discard(struct cw_job_journal *g) {
    free(g->parts);
    free(g->written);
    free(g);
}

static int begin(crew_pool *p, crew_job *j, const struct cw_job_spec *s, const char *path,
                 crew_error *err) {
    struct cw_job_journal *g = calloc(1, sizeof *g);
    int64_t bits = j->shared->end; /* of the first slice, which is the longest */
    if (!g || !(g->written = calloc((size_t)(bits + 63) / 64 + 1, sizeof *g->written))) {
        free(g);
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a journal");
    }
    g->pool = p;
    g->job = j;
    const struct cw_journal_ask ask = {.session = p->session,
                                       .path = path,
                                       .want = fingerprint(p, j, s),
                                       .found = found,
                                       .found_ctx = g,
                                       .collect = collect,
                                       .ctx = g};
    int rc = cw_journal_open(&ask, &g->jn, err);
    if (rc == 0 && ((rc = fill(g, err)) < 0 || (rc = cw_journal_start(g->jn, err)) < 0))
        cw_journal_close(g->jn, NULL, 0);
    if (rc < 0) {
        discard(g);
        return rc;
    }
    j->journal = g;
    return 0;
}

int cw_job_journal_begin(crew_pool *p, crew_job *j, const struct cw_job_spec *s, crew_error *err) {
    char path[PATH_MAX];
    if (s->kind == CW_JOB_EACH)
        return 0;
    /* Without results all that a map leaves is what its tasks do elsewhere: whether that
     * outlasts the program, its author knows. */
    bool effects =
        !s->opts->journal && (s->kind == CW_JOB_FOR || (s->kind == CW_JOB_ITEMS && !s->out_size));
    int rc = cw_journal_path(p->session, s->opts->journal, effects, NULL, path, sizeof path, err);
    if (rc <= 0)
        return rc;
    /* Of a map that is refused no file is left, and none of another's is looked at. */
    pthread_mutex_lock(&p->lock);
    rc = cw_pool_accepts(p, err);
    pthread_mutex_unlock(&p->lock);
    return rc < 0 ? rc : begin(p, j, s, path, err);
}

bool cw_job_journal_settled(crew_job *j) {
    struct cw_job_journal *g = j->journal;
    if (!g)
        return true;
    if (!g->ticket)
        g->ticket = cw_journal_ask(g->jn);
    return cw_journal_answered(g->jn, g->ticket);
}

void cw_job_journal_slice_over(crew_job *j) {
    struct cw_job_journal *g = j->journal;
    if (!g)
        return;
    cw_journal_flush(g->jn);
    cw_journal_hold(g->jn, true);
}

void cw_job_journal_slice(crew_job *j) {
    struct cw_job_journal *g = j->journal;
    crew_error err;
    if (!g)
        return;
    g->ticket = 0;
    if (j->shared->base < j->shared->end)
        fill(g, &err); /* what cannot be read runs again */
    cw_journal_hold(g->jn, false);
}

void cw_job_journal_end(crew_job *j) {
    struct cw_job_journal *g = j->journal;
    if (!g)
        return;
    j->journal = NULL;
    cw_journal_close(g->jn, j->note, sizeof j->note);
    discard(g);
}
