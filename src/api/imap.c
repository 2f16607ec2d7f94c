/* imap: a stream of calls, pulled lazily, never further ahead than its window. */
#include "api/stop.h"

#include "api/future_impl.h"
#include "api/joint.h"
#include "api/journal_stream.h"
#include "api/source.h"
#include "base/error.h"
#include "os/clock.h"

#include <stdlib.h>
#include <string.h>

/* Running calls of a stream that is freed early may end by themselves so long. */
static const double GRACE = 0.05;

/* One call in flight. */
struct flight {
    uint32_t number;
    int64_t index;
    /* with a journal */
    bool known;    /* it is finished there: there is no record */
    bool written;  /* it is there by now */
    uint64_t hash; /* of the item */
};

struct crew_iter {
    crew_pool *pool;
    crew_fn *fn;
    crew_source source;
    size_t out_size;
    crew_map_opts opts;
    cw_off common;
    cw_off stream_off;
    struct cw_stream *stream;
    int64_t window, next_index;
    bool source_done;
    crew_error problem; /* the source's, or of sending an item: given when the rest is out */
    bool cut;           /* the program was stopped: some items never began */
    int64_t given;      /* items with results */
    /* Ordered: a queue by index, oldest at head. Unordered: a set. */
    struct flight *flights;
    int64_t head, count;
    bool holds_last; /* last: the record whose data the caller still reads */
    uint32_t last;
    /* `flights`, `head` and `count` change with the journal's lock, if there is one. */
    struct cw_stream_journal journal;
    int64_t known; /* flights that are */
};

static void lock(crew_iter *it) {
    if (it->journal.jn)
        cw_journal_lock(it->journal.jn);
}

static void unlock(crew_iter *it) {
    if (it->journal.jn)
        cw_journal_unlock(it->journal.jn);
}

/* ---- making one ---- */

static int64_t choose_window(crew_pool *p, const crew_map_opts *o) {
    if (p->ops->caller)
        return 1; /* the caller runs it: reading ahead gains nothing */
    if (o->window)
        return o->window;
    int64_t window = 4 * (int64_t)p->workers;
    return window > 64 ? window : 64;
}

static int make(crew_iter *it, crew_error *err) {
    crew_pool *p = it->pool;
    cw_arena *a = &p->maps.arena;
    uint32_t log2 = 1;
    /* A record may be told of twice after a death: room for that. */
    while ((int64_t)1 << log2 < 2 * it->window)
        log2++;
    size_t bytes = sizeof(struct cw_stream) + cw_ring_bytes(log2);
    it->flights = calloc((size_t)it->window, sizeof *it->flights);
    if (!it->flights)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a window of %lld items",
                            (long long)it->window);
    if (!(it->stream_off = cw_alloc_zero(a, bytes, NULL, err)))
        return CREW_ENOMEM;
    it->stream = cw_ptr(a, it->stream_off);
    cw_ring_init(cw_stream_ring(it->stream), log2);
    if (!it->opts.common_size)
        return 0;
    if (!(it->common = cw_alloc(a, it->opts.common_size, NULL, err)))
        return CREW_ENOMEM;
    memcpy(cw_ptr(a, it->common), it->opts.common, it->opts.common_size);
    return 0;
}

static int check_arguments(crew_pool *p, crew_fn *fn, const crew_source *s, size_t out_size,
                           const crew_map_opts *o, crew_error *err) {
    int rc = cw_pool_check(p, err);
    if (rc < 0)
        return rc;
    cw_fn_name name;
    if ((rc = cw_map_options_check(o, err)) < 0 ||
        (rc = cw_pool_function(p, (cw_fn *)fn, -1, (ptrdiff_t)out_size, (ptrdiff_t)o->common_size,
                               &name, err)) < 0)
        return rc;
    if ((rc = cw_source_check(s, err)) < 0)
        return rc;
    if (o->window > 1 << 24)
        return cw_error_set(err, CREW_EINVAL, 0, "window is %lld: 0 to %d are possible",
                            (long long)o->window, 1 << 24);
    pthread_mutex_lock(&p->lock);
    rc = cw_pool_accepts(p, err);
    pthread_mutex_unlock(&p->lock);
    return rc;
}

static void discard(crew_iter *it) {
    cw_arena *a = &it->pool->maps.arena;
    cw_stream_journal_end(&it->journal);
    cw_source_release(&it->source);
    cw_free(a, it->common);
    cw_free(a, it->stream_off);
    free(it->flights);
    free(it);
}

/* ---- running ---- */

static bool never(void *unused) {
    (void)unused;
    return false;
}

static void add_flight(crew_iter *it, struct flight f) {
    lock(it);
    it->flights[(it->head + it->count++) % it->window] = f;
    it->known += f.known;
    unlock(it);
    it->next_index++;
}

/* True: the journal has it, or (err) another one in its place. */
static bool is_known(crew_iter *it, const void *item, size_t size, struct flight *f,
                     crew_error *err) {
    if (!it->journal.jn)
        return false;
    f->hash = cw_stream_journal_hash(item, size);
    int rc = cw_stream_journal_has(&it->journal, it->next_index, f->hash, err);
    if (rc < 0)
        it->source_done = true;
    f->known = rc == 1;
    if (f->known)
        add_flight(it, *f);
    return rc != 0;
}

/* On the journal's thread, with its lock. */
static bool collect(void *ctx) {
    crew_iter *it = ctx;
    for (int64_t i = 0; i < it->count; i++) {
        struct flight *f = &it->flights[(it->head + i) % it->window];
        if (f->known || f->written || !cw_record_done(it->pool, f->number))
            continue;
        f->written = cw_stream_journal_put(&it->journal, it->pool, f->number, f->index, f->hash);
        if (!f->written)
            break;
    }
    return false;
}

/* Pulls one item and sends it on its way. False: there is none, or it could not
 * be sent (err). */
static bool pull(crew_iter *it, crew_error *err) {
    const void *item = NULL;
    size_t size = 0;
    int rc = it->source.next(it->source.ctx, &item, &size);
    if (rc != 1) {
        it->source_done = true;
        if (rc < 0)
            cw_source_failed(&it->source, it->next_index, rc, err);
        return false;
    }
    struct flight f = {.index = it->next_index};
    if (is_known(it, item, size, &f, err))
        return f.known;
    const crew_submit_opts o = {.index = it->next_index,
                                .common_size = it->opts.common_size,
                                .common = it->opts.common_size ? &it->common : NULL};
    const struct cw_submit what = {.fn = it->fn,
                                   .in = item,
                                   .size = size,
                                   .opts = &o,
                                   .slot_size = it->out_size,
                                   .stream = it->opts.stream,
                                   .stream_at = it->opts.unordered ? it->stream_off : 0,
                                   .common = it->common};
    int64_t number = cw_submit(it->pool, &what, NULL, err);
    if (number < 0) {
        it->source_done = true;
        return false;
    }
    f.number = (uint32_t)number;
    add_flight(it, f);
    if (it->pool->ops->caller)
        cw_pool_help(it->pool, never, NULL);
    return true;
}

static void fill_window(crew_iter *it, crew_error *err) {
    /* An item that is pulled is to be sent: so first whether it may. */
    if (!it->source_done && cw_stop_accepts(it->pool->session, err) < 0)
        it->source_done = it->cut = true;
    while (!it->source_done && it->count < it->window && pull(it, err))
        ;
}

crew_iter *crew_imap(crew_pool *p, crew_fn *fn, crew_source source, size_t out_size,
                     const crew_map_opts *opts, crew_error *err) {
    static const crew_map_opts none;
    crew_error local;
    crew_error *to = err ? err : &local;
    const crew_map_opts *o = opts ? opts : &none;
    crew_iter *it = NULL;
    if (check_arguments(p, fn, &source, out_size, o, to) < 0 || !(it = calloc(1, sizeof *it))) {
        if (to->code == 0)
            cw_error_set(to, CREW_ENOMEM, 0, "no memory for an iterator");
        cw_source_release(&source);
    } else {
        *it = (crew_iter){.pool = p, .fn = fn, .source = source, .out_size = out_size, .opts = *o};
        it->window = choose_window(p, o);
        if (make(it, to) < 0 || cw_stream_journal_begin(&it->journal, p, fn, out_size, o, collect,
                                                        it, to) < 0) {
            discard(it);
            it = NULL;
        } else if (!p->ops->caller) {
            fill_window(it, &it->problem); /* workers begin before anybody asks */
        }
    }
    if (!err)
        cw_error_copy(NULL, to);
    return it;
}

/* ---- yielding ---- */

static void to_head(crew_iter *it, struct flight *f) {
    lock(it);
    struct flight found = *f;
    *f = it->flights[it->head];
    it->flights[it->head] = found;
    unlock(it);
}

/* Unordered: puts the flight of a done record at the head. False: it is none of
 * ours (a second hint), or not done. */
static bool bring_to_head(crew_iter *it, uint32_t number) {
    for (int64_t i = 0; i < it->count; i++) {
        struct flight *f = &it->flights[(it->head + i) % it->window];
        if (f->known || f->number != number)
            continue;
        if (!cw_record_done(it->pool, number))
            return false;
        to_head(it, f);
        return true;
    }
    return false;
}

static bool any_known(crew_iter *it) {
    for (int64_t i = 0; it->known && i < it->count; i++) {
        struct flight *f = &it->flights[(it->head + i) % it->window];
        if (f->known) {
            to_head(it, f);
            return true;
        }
    }
    return false;
}

static bool any_done(crew_iter *it) {
    uint32_t number;
    if (any_known(it))
        return true;
    while (cw_ring_pop(cw_stream_ring(it->stream), &number))
        if (bring_to_head(it, number))
            return true;
    return false;
}

/* A hint that was lost with its worker: look at all. */
static bool look_at_all(crew_iter *it) {
    for (int64_t i = 0; i < it->count; i++) {
        const struct flight *f = &it->flights[(it->head + i) % it->window];
        if (!f->known && bring_to_head(it, f->number))
            return true;
    }
    return any_known(it);
}

static bool await_any(crew_iter *it, double timeout) {
    struct cw_deadline d = cw_deadline_in(timeout);
    struct cw_stream *s = it->stream;
    for (;;) {
        uint32_t seen = atomic_load(&s->count);
        if (any_done(it))
            return true;
        if (cw_pool_helps(it->pool))
            cw_pool_help(it->pool, never, NULL);
        atomic_fetch_add(&s->sleeping, 1);
        /* Pairs with the fence in the end of a record: see team/task.c. */
        atomic_thread_fence(memory_order_seq_cst);
        double slice = cw_deadline_slice(&d);
        bool woken = any_done(it);
        if (!woken)
            cw_joint_wait(&s->count, seen, slice < 0 || slice > 0.2 ? 0.2 : slice);
        atomic_fetch_sub(&s->sleeping, 1);
        if (woken || any_done(it) || look_at_all(it))
            return true;
        if (cw_deadline_over(&d))
            return false;
    }
}

static void drop_last(crew_iter *it) {
    if (!it->holds_last)
        return;
    pthread_mutex_lock(&it->pool->lock);
    cw_record_free(it->pool, it->last);
    pthread_mutex_unlock(&it->pool->lock);
    it->holds_last = false;
}

static void name_item(crew_error *e, int64_t index) {
    char text[sizeof e->text];
    if (!e->code)
        return;
    snprintf(text, sizeof text, "item %lld: %.230s", (long long)index, e->text);
    memcpy(e->text, text, sizeof text);
}

/* The flight at the head is over. */
static struct flight land(crew_iter *it) {
    lock(it);
    struct flight f = it->flights[it->head];
    if (it->journal.jn && !f.known && !f.written &&
        !cw_stream_journal_put(&it->journal, it->pool, f.number, f.index, f.hash))
        cw_journal_drop(it->journal.jn);
    it->head = (it->head + 1) % it->window;
    it->count--;
    it->known -= f.known;
    unlock(it);
    return f;
}

static int yield_known(crew_iter *it, int64_t index, void *out, crew_item *item, crew_error *err) {
    const void *data = NULL;
    size_t size = 0;
    crew_error e;
    int status = cw_stream_journal_take(&it->journal, index, &data, &size, &e);
    if (!status && it->out_size && size != it->out_size)
        status =
            cw_error_set(&e, CREW_EMISMATCH, 0, "the journal's result of item %lld has %zu bytes",
                         (long long)index, size);
    if (!status && out && it->out_size)
        memcpy(out, data, it->out_size);
    if (item)
        *item = (crew_item){index, status, status ? NULL : data, status ? 0 : size};
    name_item(&e, index);
    cw_error_copy(err, &e);
    return status ? status : 1;
}

static int yield(crew_iter *it, void *out, crew_item *item, crew_error *err) {
    struct flight f = land(it);
    if (f.known) {
        int rc = yield_known(it, f.index, out, item, err);
        it->given += rc == 1;
        return rc;
    }
    struct cw_task *task = cw_task_at(&it->pool->maps, it->pool->team, f.number);
    crew_error e;
    int status = cw_record_error(it->pool, f.number, &e);
    name_item(&e, f.index);
    cw_guard_catch_up(it->pool->session->root.base); /* for what its result means */
    const void *data = status ? NULL : cw_task_result(&it->pool->maps, task);
    if (!status && out && it->out_size)
        memcpy(out, data, it->out_size);
    if (item)
        *item = (crew_item){f.index, status, data, status ? 0 : task->out_size};
    it->holds_last = true;
    it->last = f.number;
    it->given += status == 0;
    cw_error_copy(err, &e);
    return status ? status : 1;
}

static bool there_is_one(crew_iter *it) {
    return it->opts.unordered ? look_at_all(it)
                              : it->flights[it->head].known ||
                                    cw_record_done(it->pool, it->flights[it->head].number);
}

/* The one at the head, if the program was stopped before it was done. */
static bool passed_over(crew_iter *it) {
    const struct flight *f = &it->flights[it->head];
    if (f->known)
        return false;
    struct cw_task *task = cw_task_at(&it->pool->maps, it->pool->team, f->number);
    if (task->status != CREW_ESTOPPED || !atomic_load(&it->pool->team->stopping))
        return false;
    it->cut = it->holds_last = true;
    it->last = land(it).number;
    return true;
}

/* Nothing is in flight. What went wrong is said once. */
static int at_end(crew_iter *it, crew_error *err) {
    if (it->cut && (!it->problem.code || it->problem.code == CREW_ESTOPPED))
        cw_stop_sentence(it->pool->session, it->given, -1, &it->problem);
    crew_error end;
    cw_error_clear(&end);
    if (it->journal.jn) {
        cw_journal_flush(it->journal.jn);
        cw_journal_note(it->journal.jn, end.text, sizeof end.text);
    }
    int rc = cw_error_copy(err, it->problem.code ? &it->problem : &end);
    it->problem.code = 0;
    it->cut = false;
    return rc;
}

int crew_next(crew_iter *it, void *out, crew_item *item, double timeout, crew_error *err) {
    if (!it)
        return cw_error_set(err, CREW_EINVAL, 0, "the iterator is NULL");
    int rc = cw_pool_check(it->pool, err);
    if (rc < 0)
        return rc;
    struct cw_deadline d = cw_deadline_in(timeout);
    do {
        drop_last(it);
        fill_window(it, &it->problem);
        if (it->count == 0)
            return at_end(it, err);
        if (cw_in_callback && timeout != 0 && !there_is_one(it))
            return cw_may_wait("crew_next", err);
        cw_deadline_over(&d);
        double left = d.left_ns < 0 ? CREW_FOREVER : (double)d.left_ns * 1e-9;
        bool there = it->opts.unordered
                         ? await_any(it, left)
                         : it->flights[it->head].known ||
                               cw_record_wait(it->pool, it->flights[it->head].number, left);
        if (!there)
            return cw_error_set(err, CREW_ETIMEDOUT, 0, "the next item is not done yet");
    } while (passed_over(it));
    return yield(it, out, item, err);
}

/* What has not begun never does; what runs is given a moment, then ended. */
static void abandon(crew_iter *it) {
    crew_pool *p = it->pool;
    struct cw_deadline grace = cw_deadline_in(GRACE);
    pthread_mutex_lock(&p->lock);
    for (int64_t i = 0; i < it->count; i++) {
        uint32_t number = it->flights[(it->head + i) % it->window].number;
        if (!it->flights[(it->head + i) % it->window].known &&
            !cw_record_cancel(p, number, CREW_ECANCELLED, NULL))
            cw_task_flag(cw_task_at(&p->maps, p->team, number), CW_TASK_KILL);
    }
    pthread_mutex_unlock(&p->lock);
    for (; it->count > 0; it->count--) {
        uint32_t number = it->flights[it->head].number;
        bool known = it->flights[it->head].known;
        it->head = (it->head + 1) % it->window;
        if (known)
            continue;
        double left = cw_deadline_over(&grace) ? 0 : (double)grace.left_ns * 1e-9;
        if (!cw_record_wait(p, number, left)) {
            pthread_mutex_lock(&p->lock);
            cw_record_kill(p, number);
            pthread_mutex_unlock(&p->lock);
            cw_record_wait(p, number, CREW_FOREVER);
        }
        pthread_mutex_lock(&p->lock);
        cw_record_free(p, number);
        pthread_mutex_unlock(&p->lock);
    }
}

void crew_iter_free(crew_iter *it) {
    if (!it)
        return;
    crew_pool *p = it->pool;
    /* It waits for what runs, and for members that are on their way out of its
     * records: should one of them die there, the service thread has to say so. */
    if (cw_pool_check(p, NULL) < 0 || cw_may_wait("crew_iter_free", NULL) < 0)
        return;
    drop_last(it);
    cw_stream_journal_end(&it->journal); /* with what is done by now */
    abandon(it);
    if (it->stream_off)
        cw_stream_await(&p->maps, p->team);
    discard(it);
}
