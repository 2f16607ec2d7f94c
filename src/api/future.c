/* Futures, as the caller sees them. */
#include "api/future_impl.h"
#include "api/home.h"
#include "api/joint.h"
#include "api/journal_keys.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/futex.h"

#include <stdlib.h>
#include <string.h>

static struct cw_task *record(crew_future *f) {
    return cw_task_at(&f->pool->maps, f->pool->team, f->number);
}

static int check(crew_future *f, crew_error *err) {
    if (!f)
        return cw_error_set(err, CREW_EINVAL, 0, "the future is NULL");
    if (f->pool && !f->live)
        return cw_error_set(err, CREW_EINVAL, 0, "the future has been freed");
    return f->pool ? cw_pool_check(f->pool, err) : 0;
}

static bool never(void *unused) {
    (void)unused;
    return false;
}

/* One that a journal has is done already; one that it is to have is put there. */
static int submit_or_find(crew_pool *p, const struct cw_submit *what, crew_future **f,
                          crew_error *err) {
    struct cw_keyed *keyed = NULL;
    struct cw_known known;
    struct cw_callback *c = NULL;
    int rc = cw_keyed_begin(p, what, &keyed, &known, err);
    if (rc == 2) {
        rc = cw_submit_known(p, what, &known, f, err);
        free(known.data);
        return rc;
    }
    if (rc == 1 && !(c = calloc(1, sizeof *c)))
        rc = cw_error_set(err, CREW_ENOMEM, 0, "no memory for a callback");
    if (rc >= 0 && (rc = (int)cw_submit(p, what, f, err)) >= 0 && c) {
        *c = (struct cw_callback){.done = cw_keyed_done, .drop = cw_keyed_drop, .ctx = keyed};
        cw_future_call_back(*f, c);
        return rc;
    }
    free(c);
    cw_keyed_drop(keyed);
    return rc;
}

static crew_future *submit(crew_pool *p, crew_fn *fn, const void *in, size_t size,
                           const crew_submit_opts *opts, struct cw_callback *callback,
                           crew_error *err) {
    crew_error local;
    crew_error *to = err ? err : &local;
    const struct cw_submit what = {.fn = fn, .in = in, .size = size, .opts = opts};
    crew_future *f = NULL;
    if (submit_or_find(p, &what, &f, to) < 0) {
        if (!err)
            cw_error_copy(NULL, to);
        return NULL;
    }
    if (callback)
        cw_future_call_back(f, callback);
    if (p->ops->caller && !cw_pool_member(p))
        cw_pool_help(p, never, NULL); /* serial: it runs now */
    cw_error_clear(err);
    return f;
}

crew_future *crew_submit(crew_pool *p, crew_fn *fn, const void *in, size_t size,
                         const crew_submit_opts *opts, crew_error *err) {
    return submit(p, fn, in, size, opts, NULL, err);
}

/* ---- the end of one ---- */

static void free_callbacks(crew_future *f) {
    while (f->callbacks) {
        struct cw_callback *c = f->callbacks;
        f->callbacks = c->next;
        if (c->drop)
            c->drop(c->ctx);
        free(c);
    }
}

/* With the lock; its record is DONE and nobody is interested. */
static void drop(crew_pool *p, crew_future *f) {
    free_callbacks(f);
    f->live = false;
    cw_record_free(p, f->number);
}

void crew_future_free(crew_future *f) {
    if (!f)
        return;
    crew_pool *p = f->pool;
    if (!p) { /* its pool is gone, it owns itself */
        free(f->kept);
        free(f);
        return;
    }
    if (check(f, NULL) < 0)
        return;
    pthread_mutex_lock(&p->lock);
    f->detached = true;
    bool done = cw_record_done(p, f->number) ||
                cw_task_phase(cw_task_flag(record(f), CW_TASK_NOTIFY)) == CW_TASK_DONE;
    if (done && !f->calling && !f->callbacks && !f->listed)
        drop(p, f);
    pthread_mutex_unlock(&p->lock);
}

static void list_for_call(crew_pool *p, crew_future *f) {
    if (f->listed)
        return;
    f->listed = true;
    f->next = p->to_call;
    p->to_call = f;
}

void cw_future_call_back(crew_future *f, struct cw_callback *c) {
    crew_pool *p = f->pool;
    pthread_mutex_lock(&p->lock);
    struct cw_callback **end = &f->callbacks;
    while (*end)
        end = &(*end)->next;
    *end = c;
    bool done = cw_task_phase(cw_task_flag(record(f), CW_TASK_NOTIFY)) == CW_TASK_DONE;
    if (done)
        list_for_call(p, f);
    pthread_mutex_unlock(&p->lock);
    if (done)
        cw_session_ring(p->session);
}

static void call(crew_future *f, struct cw_callback *c) {
    bool bad = c->splits && cw_future_status(f) != 0;
    void (*fn)(void *ctx, crew_future *f) = bad ? c->failed : c->done;
    if (fn)
        fn(c->ctx, f);
    free(c);
}

/* One future's callbacks, in order. With the lock; gives it up meanwhile. */
static void call_all(crew_pool *p, crew_future *f) {
    f->calling = true;
    while (f->callbacks) {
        struct cw_callback *c = f->callbacks;
        f->callbacks = c->next;
        pthread_mutex_unlock(&p->lock);
        bool outer = cw_in_callback;
        cw_in_callback = true;
        call(f, c);
        cw_in_callback = outer;
        pthread_mutex_lock(&p->lock);
    }
    f->calling = false;
    if (f->detached)
        drop(p, f);
}

/* Ends that the rings told of, or all of them when one may have been missed. */
static bool collect_ends(crew_pool *p) {
    struct cw_team *t = p->team;
    cw_ring *ring = cw_ptr(&p->maps.arena, t->notify);
    uint32_t number;
    bool any = false;
    while (cw_ring_pop(ring, &number)) {
        crew_future *f = cw_record_owner(p, number);
        any = true;
        if (f && cw_record_done(p, number))
            list_for_call(p, f);
    }
    if (!atomic_exchange(&t->notify_lost, 0))
        return any;
    for (number = 0; number < p->owners && number < atomic_load(&t->task_count); number++) {
        crew_future *f = cw_record_owner(p, number);
        if (f && (f->callbacks || f->detached) && cw_record_done(p, number))
            list_for_call(p, f);
    }
    return true;
}

void cw_pool_tend_futures(crew_pool *p) {
    pthread_mutex_lock(&p->lock);
    bool any = collect_ends(p);
    while (p->to_call) {
        crew_future *f = p->to_call;
        p->to_call = f->next;
        f->listed = false;
        any = true;
        if (!f->calling)
            call_all(p, f);
    }
    if (any)
        pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    if (any) {
        atomic_fetch_add(&p->session->ended, 1);
        cw_futex_wake(&p->session->ended, INT32_MAX);
    }
}

bool cw_pool_futures_told(crew_pool *p) {
    for (uint32_t number = 0; number < p->owners; number++) {
        crew_future *f = p->owner[number];
        if (f && (f->calling || (f->callbacks && cw_record_done(p, number))))
            return false;
    }
    return true;
}

/* Its callbacks have returned, or this is one of them. */
static void await_callbacks(crew_future *f) {
    crew_pool *p = f->pool;
    /* Without the flag nobody has asked for a call back. */
    if (!(atomic_load(&record(f)->state) & CW_TASK_NOTIFY) || cw_in_callback)
        return;
    struct cw_deadline forever = cw_deadline_in(CREW_FOREVER);
    pthread_mutex_lock(&p->lock);
    while (f->callbacks || f->calling)
        cw_pool_sleep(p, &forever);
    pthread_mutex_unlock(&p->lock);
}

static struct cw_kept *keep(crew_pool *p, uint32_t number) {
    struct cw_task *task = cw_task_at(&p->maps, p->team, number);
    crew_error err;
    if (!cw_record_done(p, number))
        cw_error_set(&err, CREW_ECANCELLED, 0, "its pool was freed");
    else
        cw_record_error(p, number, &err);
    size_t size = err.code ? 0 : task->out_size;
    struct cw_kept *kept = malloc(sizeof *kept + size);
    if (!kept)
        return NULL;
    kept->error = err;
    kept->size = size;
    if (size)
        memcpy(kept->data, cw_task_result(&p->maps, task), size);
    return kept;
}

/* The same of a future whose pool is gone. */
static int kept_error(crew_future *f, crew_error *err) {
    if (!f->kept)
        return cw_error_set(err, CREW_ENOMEM, 0,
                            "there was no memory to keep its result beyond "
                            "its pool");
    return f->kept->error.code ? cw_error_copy(err, &f->kept->error) : cw_error_clear(err);
}

int cw_future_status(crew_future *f) {
    if (f->pool)
        return record(f)->status;
    return f->kept ? f->kept->error.code : CREW_ENOMEM;
}

void cw_pool_orphan_futures(crew_pool *p) {
    cw_pool_tend_futures(p);
    for (uint32_t number = 0; number < p->owners; number++) {
        crew_future *f = p->owner[number];
        if (!f)
            continue;
        free_callbacks(f);
        if (f->live && !f->detached) {
            f->kept = keep(p, number);
            f->pool = NULL;
        } else {
            free(f);
        }
    }
    p->owners = 0;
}

/* ---- asking ---- */

static int give(const void *data, size_t size, void *out, size_t out_size, crew_error *err) {
    if (!out && !out_size)
        return cw_error_clear(err);
    if (size != out_size)
        return cw_error_set(err, CREW_EMISMATCH, 0,
                            "the task answered with %zu bytes where %zu were expected", size,
                            out_size);
    if (size)
        memcpy(out, data, size);
    return cw_error_clear(err);
}

int crew_future_result(crew_future *f, void *out, size_t out_size, double timeout,
                       crew_error *err) {
    int rc = check(f, err);
    if (rc < 0)
        return rc;
    if (!f->pool)
        return (rc = kept_error(f, err)) < 0
                   ? rc
                   : give(f->kept->data, f->kept->size, out, out_size, err);
    if (timeout != 0 && !crew_future_done(f) && (rc = cw_may_wait("crew_future_result", err)) < 0)
        return rc;
    if (!cw_record_wait(f->pool, f->number, timeout))
        return cw_error_set(err, CREW_ETIMEDOUT, 0, "the task has not ended yet");
    await_callbacks(f);
    if ((rc = cw_record_error(f->pool, f->number, err)) < 0)
        return rc;
    cw_guard_catch_up(f->pool->session->root.base); /* for what its result means */
    struct cw_task *task = record(f);
    return give(cw_task_result(&f->pool->maps, task), task->out_size, out, out_size, err);
}

const void *crew_future_data(crew_future *f, size_t *size) {
    if (size)
        *size = 0;
    if (check(f, NULL) < 0)
        return NULL;
    if (!f->pool) {
        if (cw_future_status(f))
            return NULL;
        if (size)
            *size = f->kept->size;
        return f->kept->data;
    }
    if (!cw_record_done(f->pool, f->number) || record(f)->status)
        return NULL;
    cw_guard_catch_up(f->pool->session->root.base);
    if (size)
        *size = record(f)->out_size;
    return cw_task_result(&f->pool->maps, record(f));
}

bool crew_future_done(crew_future *f) {
    cw_joint_turn(); /* who asks again and again waits for it */
    return check(f, NULL) == 0 && (!f->pool || cw_record_done(f->pool, f->number));
}

bool crew_future_running(crew_future *f) {
    if (check(f, NULL) < 0 || !f->pool)
        return false;
    uint32_t phase = cw_task_phase(atomic_load(&record(f)->state));
    return phase == CW_TASK_RUNNING || phase == CW_TASK_PARENT;
}

bool crew_future_cancelled(crew_future *f) {
    if (!crew_future_done(f))
        return false;
    return cw_future_status(f) == CREW_ECANCELLED;
}

int crew_future_cancel(crew_future *f) {
    int rc = check(f, NULL);
    if (rc < 0 || !f->pool)
        return rc;
    crew_pool *p = f->pool;
    for (;;) {
        pthread_mutex_lock(&p->lock);
        rc = cw_record_cancel(p, f->number, CREW_ECANCELLED, NULL);
        pthread_mutex_unlock(&p->lock);
        if (rc || !p->home || !cw_home_recall(p, f->number))
            return rc;
    }
}

int crew_future_kill(crew_future *f) {
    int rc = check(f, NULL);
    if (rc < 0 || !f->pool)
        return rc;
    crew_pool *p = f->pool;
    pthread_mutex_lock(&p->lock);
    rc = cw_record_cancel(p, f->number, CREW_ECANCELLED, NULL);
    if (rc == 0)
        rc = cw_record_kill(p, f->number);
    pthread_mutex_unlock(&p->lock);
    return rc;
}

int crew_future_then(crew_future *f, void (*done)(void *ctx, crew_future *f), void *ctx) {
    int rc = check(f, NULL);
    if (rc < 0)
        return rc;
    if (!done || !f->pool)
        return cw_error_set(NULL, CREW_EINVAL, 0,
                            done ? "the future's pool has been freed" : "the callback is NULL");
    struct cw_callback *c = calloc(1, sizeof *c);
    if (!c)
        return cw_error_set(NULL, CREW_ENOMEM, 0, "no memory for a callback");
    c->done = done;
    c->ctx = ctx;
    cw_future_call_back(f, c);
    return cw_error_clear(NULL);
}

/* ---- apply ---- */

int crew_apply(crew_pool *p, crew_fn *fn, const void *in, size_t in_size, void *out,
               size_t out_size, crew_error *err) {
    crew_error local;
    crew_error *to = err ? err : &local;
    crew_future *f = NULL;
    if (cw_may_wait("crew_apply", to) == 0)
        f = crew_submit(p, fn, in, in_size, NULL, to);
    if (f)
        crew_future_result(f, out, out_size, CREW_FOREVER, to);
    crew_future_free(f);
    if (!err)
        cw_error_copy(NULL, to);
    return to->code;
}

crew_future *crew_apply_async(crew_pool *p, crew_fn *fn, const void *in, size_t size,
                              void (*done)(void *ctx, crew_future *f),
                              void (*failed)(void *ctx, crew_future *f), void *ctx,
                              crew_error *err) {
    struct cw_callback *c = NULL;
    if (done || failed) {
        c = calloc(1, sizeof *c);
        if (!c) {
            cw_error_set(err, CREW_ENOMEM, 0, "no memory for a callback");
            return NULL;
        }
        *c = (struct cw_callback){.done = done, .failed = failed, .splits = true, .ctx = ctx};
    }
    crew_future *f = submit(p, fn, in, size, NULL, c, err);
    if (!f)
        free(c);
    return f;
}
