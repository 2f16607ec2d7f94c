/* api/future_impl.h - a submitted call as its manager holds it. */
#ifndef CW_API_FUTURE_IMPL_H
#define CW_API_FUTURE_IMPL_H

#include "api/pool_impl.h"

struct cw_callback {
    void (*done)(void *ctx, crew_future *f);
    void (*failed)(void *ctx, crew_future *f); /* instead, if it failed and `splits` */
    bool splits;
    void *ctx;
    void (*drop)(void *ctx); /* instead, if neither will be called; may be NULL */
    struct cw_callback *next;
};

/* What is left of a record whose pool was freed. */
struct cw_kept {
    crew_error error;
    size_t size;
    _Alignas(16) unsigned char data[];
};

/* Guarded by pool.lock, but for the record's own words. `pool` is NULL once the
 * pool is gone: then `kept` holds what the record said (NULL: there was no memory).
 * One belongs to each record for as long as the pool is there, and serves every
 * call that the record serves; `live` tells whether there is one now. */
struct crew_future {
    crew_pool *pool;
    uint32_t number;
    bool live;
    bool detached;   /* freed by the user: goes when it is done */
    bool calling;    /* its callbacks are being called */
    struct cw_callback *callbacks;
    bool listed;      /* in the pool's list of those to be called back */
    struct crew_future *next;
    struct cw_kept *kept;
};

struct cw_submit {
    crew_fn *fn;
    const void *in;
    size_t size;
    const crew_submit_opts *opts;
    size_t slot_size; /* of the result; 0: any */
    uint64_t stream;
    cw_off stream_at;
    cw_ref common; /* used instead of opts->common, which is copied */
};

/* 0 or the code of a future that is done. */
int cw_future_status(crew_future *f);
/* Takes c; it is called once f is done, at once if it is. Without the lock. */
void cw_future_call_back(crew_future *f, struct cw_callback *c);

/* A record for the call, QUEUED and on its way; its number, or a code. owner, if
 * not NULL, is set to its future. */
int64_t cw_submit(crew_pool *p, const struct cw_submit *what, crew_future **owner,
                  crew_error *err);
/* The same of a function that is known by its name already, options that are checked
 * and settled, and an attempt that need not be the first. */
int64_t cw_submit_named(crew_pool *p, const struct cw_submit *what, const crew_submit_opts *o,
                        cw_fn_name fn, int attempt, crew_future **owner, crew_error *err);
/* What a journal has of a call: `data` is to be freed. */
struct cw_known {
    int status, task_code;
    char *data; /* its result, or its failure's text */
    size_t size;
};
/* The future of a call that need not be made any more: it is done. */
int cw_submit_known(crew_pool *p, const struct cw_submit *what, const struct cw_known *known,
                    crew_future **owner, crew_error *err);

/* The future of a record that has one. With the lock. */
static inline crew_future *cw_record_owner(const crew_pool *p, uint32_t number) {
    crew_future *f = number < p->owners ? p->owner[number] : NULL;
    return f && f->live ? f : NULL;
}

static inline bool cw_record_done(crew_pool *p, uint32_t number) {
    uint64_t state = atomic_load_explicit(&cw_task_at(&p->maps, p->team, number)->state,
                                          memory_order_acquire);
    return cw_task_phase(state) == CW_TASK_DONE;
}
/* The error of a record that is DONE; 0 if there is none. */
int cw_record_error(crew_pool *p, uint32_t number, crew_error *err);
/* Frees a record that is the caller's, and its copy of the common argument. */
void cw_record_free(crew_pool *p, uint32_t number);
/* Waits for a record's end; false: the time is over. Without the lock. */
bool cw_record_wait(crew_pool *p, uint32_t number, double timeout);
/* Ends one that has begun: its worker is killed. 1, 0 if it is done, or
 * CREW_ENOTSUP (it sees crew_cancelled). With the lock. */
int cw_record_kill(crew_pool *p, uint32_t number);
/* 1: it will never begin; 0: too late. With the lock. */
int cw_record_cancel(crew_pool *p, uint32_t number, int code, const crew_error *why);

#endif
