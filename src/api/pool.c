/* Opening pools. */
#include "api/future_impl.h"
#include "api/gang.h"
#include "api/home.h"
#include "api/job_impl.h"
#include "api/joint.h"
#include "api/launch.h"
#include "api/node.h"
#include "api/places.h"
#include "base/error.h"
#include "os/clock.h"

#include <crew/topology.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- building ---- */

static cw_off zeroed(crew_pool *p, size_t size, crew_error *err) {
    return cw_alloc_zero(&p->maps.arena, size, NULL, err);
}

/* What a pool is beside its options: where its workers lie. */
struct cast {
    int natives, members, workers; /* see struct crew_pool */
    int first, node;               /* see struct cw_team */
    const int *by_node;            /* workers of each node; NULL: there is one */
    bool joint;                    /* see struct crew_pool */
    const struct cw_opening *as;   /* it serves another's; NULL: it does not */
    const void *init_arg;
    const _Atomic uint32_t *quit; /* what it serves ends, if not CW_RUN; NULL: it serves none */
};

static int build_team(crew_pool *p, const struct cast *cast, crew_error *err) {
    struct cw_session *s = p->session;
    cw_off at = zeroed(p, sizeof(struct cw_team), err);
    if (!at)
        return CREW_ENOMEM;
    struct cw_team *t = p->team = cw_ptr(&p->maps.arena, at);
    size_t n = (size_t)p->members;
    t->members = p->members;
    t->first = cast->first;
    t->node = cast->node;
    t->backend = p->opts.backend;
    t->threads_per_worker = p->opts.threads_per_worker;
    t->depth = cw_depth_here(s);
    t->processes = p->ops->processes;
    t->spins = crew_cpu_count() > 1;
    t->tasks_per_worker = p->opts.tasks_per_worker;
    t->retries = p->opts.retries;
    t->task_timeout = p->opts.task_timeout;
    t->task_memory = p->opts.task_memory;
    t->seed = p->opts.seed;
    t->bell = (cw_off)((char *)s->bell - s->own.base);
    snprintf(t->name, sizeof t->name, "%s", p->name);
    if (!(t->lines = zeroed(p, n * sizeof(struct cw_line), err)) ||
        !(t->seats = zeroed(p, n * sizeof(struct cw_seat), err)) ||
        !(t->places = zeroed(p, n * sizeof(struct cw_place), err)))
        return CREW_ENOMEM;
    for (int i = 0; i <= CW_PRIORITIES; i++) {
        cw_off ring = zeroed(p, cw_ring_bytes(CW_RING_LOG2), err);
        if (!ring)
            return CREW_ENOMEM;
        cw_ring_init(cw_ptr(&p->maps.arena, ring), CW_RING_LOG2);
        *(i < CW_PRIORITIES ? &t->rings[i] : &t->notify) = ring;
    }
    if (p->opts.init_size) {
        if (!(t->init_arg = zeroed(p, p->opts.init_size, err)))
            return CREW_ENOMEM;
        memcpy(cw_ptr(&p->maps.arena, t->init_arg), cast->as ? cast->init_arg : p->opts.init_arg,
               p->opts.init_size);
        t->init_size = p->opts.init_size;
    }
    int rc = p->ops == &cw_backend_aboard ? cw_pool_gangs_open(p, cast->by_node, err) : 0;
    if (rc < 0)
        return rc;
    t->magic = CW_TEAM_MAGIC;
    struct cw_place *places = cw_ptr(&p->maps.arena, t->places);
    crew_pool_opts own = p->opts;
    own.workers = p->natives;
    return p->natives ? cw_options_place(s, &own, places, err) : 0;
}

/* The records of the last pools that were freed are kept, so that who uses one of them
 * is told so. Debug builds keep more: there it is worth something to be told late. */
#ifdef NDEBUG
enum { GRAVES = 4 };
#else
enum { GRAVES = 64 };
#endif

static void bury(crew_pool *p) {
    static _Atomic(crew_pool *) graves[GRAVES];
    static _Atomic unsigned buried;
    p->epoch = CW_EPOCH_FREED;
    free(atomic_exchange(&graves[atomic_fetch_add(&buried, 1) % GRAVES], p));
}

void cw_pool_release(crew_pool *p) {
    cw_arena *a = &p->maps.arena;
    struct cw_team *t = p->team;
    if (t) {
        for (uint32_t i = 0, n = atomic_load(&t->task_count); i < n; i++) {
            struct cw_task *task = cw_task_at(&p->maps, t, i);
            cw_free_cell(a, &task->in_cell);
            cw_free_cell(a, &task->out_cell);
            cw_free_cell(a, &task->failure);
            cw_free_cell(a, &task->told);
        }
        for (int b = 0; b < CW_TASK_BLOCKS; b++)
            cw_free_cell(a, &t->task_block[b]);
        for (int i = 0; i < CW_PRIORITIES; i++)
            cw_free(a, t->rings[i]);
        cw_pool_gangs_free(p);
        cw_free(a, t->notify);
        cw_free(a, t->init_arg);
        cw_free(a, t->lines);
        cw_free(a, t->seats);
        cw_free(a, t->places);
        cw_free(a, (cw_off)((char *)t - a->seg->base));
    }
    if (p->fd >= 0)
        close(p->fd);
    cw_objects_free(&p->have);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->serial_lock);
    free(p->watch);
    free(p->restarts);
    free(p->shown);
    free(p->owner);
    for (int i = 0; i < CW_PRIORITIES; i++) {
        free(p->backlog[i].record);
        free(p->suspects[i].record);
    }
    free(p->serial);
    bury(p);
}

static crew_pool *allocate(struct cw_session *s, const crew_pool_opts *o, const struct cast *cast,
                           crew_error *err) {
    crew_pool *p = calloc(1, sizeof *p);
    if (!p) {
        cw_error_set(err, CREW_ENOMEM, 0, "no memory for a pool");
        return NULL;
    }
    p->session = s;
    p->epoch = cw_epoch;
    p->opts = *o;
    p->workers = cast->workers;
    p->members = cast->members;
    p->natives = cast->natives;
    p->joint = cast->joint;
    p->serves = cast->as ? cast->as->pool : 0;
    p->total = cast->as ? cast->as->total : cast->workers;
    p->fd = -1;
    p->waiting_end = &p->waiting;
    p->opening = true;
    p->slice = CW_SLICE;
    p->ops = o->backend == CREW_SERIAL    ? &cw_backend_serial
             : o->backend == CREW_THREADS ? &cw_backend_threads
             : o->backend != CREW_MPI     ? &cw_backend_fork
             : s->config.isolate          ? &cw_backend_ranks
                                          : &cw_backend_aboard;
    snprintf(p->name, sizeof p->name, "%s", o->name ? o->name : "crew");
    p->opts.name = p->name;
    p->maps = (struct cw_maps){.arena = s->arena, .root = s->root.base, .root_size = s->root.size};
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->serial_lock, NULL);
    cw_clocked_init(&p->changed);
    p->watch = calloc((size_t)p->members, sizeof *p->watch);
    p->restarts = calloc((size_t)p->members, sizeof *p->restarts);
    p->shown = calloc((size_t)p->members, sizeof *p->shown);
    if (!p->watch || !p->restarts || !p->shown) {
        cw_error_set(err, CREW_ENOMEM, 0, "no memory for %d workers", p->workers);
        cw_pool_release(p);
        return NULL;
    }
    return p;
}

static int open_hands(crew_pool *p, crew_error *err) {
    struct cw_session *s = p->session;
    p->checks_objects = p->ops->processes;
    int rc = 0;
    if (p->checks_objects && p->opts.start == CREW_START_FORK)
        rc = cw_objects_take(&p->have);
    if (rc < 0)
        return cw_error_set(err, rc, 0, "no memory for the list of loaded objects");
    int *berth = calloc((size_t)p->natives + 1, sizeof *berth);
    if (!berth)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a pool");
    crew_pool_opts own = p->opts;
    own.workers = p->natives;
    if (p->opts.backend == CREW_MPI && p->natives)
        rc = cw_node_place(s, &own, berth, NULL, err);
    const struct cw_hands_request request = {.segment = &s->own,
                                             .root = &s->root,
                                             .bell = s->bell,
                                             .seats = cw_team_seat(&p->maps, p->team, 0),
                                             .team = (uint64_t)((char *)p->team - s->own.base),
                                             .members = p->natives,
                                             .start = p->opts.start,
                                             .berths = cw_launch_berths(s),
                                             .berth = berth,
                                             .enter = p->ops->kills ? cw_worker_enter
                                                                    : cw_thread_enter};
    if (rc == 0)
        rc = p->ops->open(&request, &p->hands, err);
    free(berth);
    return rc;
}

static int hooks(crew_pool *p, const struct cw_opening *as, crew_error *err) {
    if (as) {
        p->team->init = as->init;
        p->team->fini = as->fini;
        return 0;
    }
    if (p->opts.init &&
        cw_pool_function(p, (cw_fn *)p->opts.init, -1, -1, -1, &p->team->init, err) < 0)
        return err->code;
    if (p->opts.fini &&
        cw_pool_function(p, (cw_fn *)p->opts.fini, -1, -1, -1, &p->team->fini, err) < 0)
        return err->code;
    return 0;
}

/* ---- waiting for the first members ---- */

static int init_failed(crew_pool *p, int rank, crew_error *err) {
    const struct cw_frame *frame = &cw_team_line(&p->maps, p->team, rank)->frame;
    char name[64] = "the initializer";
    cw_fn *init = cw_fn_resolve(p->team->init);
    if (init)
        cw_fn_describe(init, name, sizeof name);
    int code = frame->failed;
    cw_error_set(err, code, 0, "the initializer %s failed in worker %d with code %d%s%.120s", name,
                 p->team->first + rank, frame->refused, frame->text[0] ? ": " : "", frame->text);
    err->task_code = frame->refused;
    err->worker = p->team->first + rank;
    err->node = p->team->node;
    return code;
}

static int died_early(crew_pool *p, int rank, crew_error *err) {
    struct cw_seat *seat = cw_team_seat(&p->maps, p->team, rank);
    int status = atomic_load(&seat->status), sys = atomic_load(&seat->sys);
    int pid = atomic_load(&seat->pid), number = p->team->first + rank;
    char how[192];
    cw_failure_of_seat(seat, status, how, sizeof how);
    if (sys)
        cw_error_set(err, CREW_EAGAIN, 0, "worker %d of %d was %s", number, p->total, how);
    else
        cw_error_set(err, CREW_EDIED, 0, "worker %d (pid %d) was %s before it was ready%s", number,
                     pid, how, p->team->init.object ? ", in its initializer" : "");
    err->sys = sys;
    err->worker = number;
    err->node = p->team->node;
    err->pid = pid;
    err->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return err->code;
}

/* 1: all are ready, 0: not yet, negative: one will not be. */
static int all_ready(crew_pool *p, crew_error *err) {
    int ready = 0;
    for (int rank = 0; rank < p->natives; rank++) {
        uint32_t state = atomic_load_explicit(&cw_team_line(&p->maps, p->team, rank)->ready,
                                              memory_order_acquire);
        uint32_t seat = atomic_load_explicit(&cw_team_seat(&p->maps, p->team, rank)->state,
                                             memory_order_acquire);
        if (state == CW_READY_NEVER)
            return init_failed(p, rank, err);
        if (state != CW_READY_YES && seat == CW_SEAT_ENDED)
            return died_early(p, rank, err);
        ready += state == CW_READY_YES;
    }
    return ready == p->natives ? cw_home_ready(p, err) : 0;
}

/* An initializer over the limit of a task: its process ends with the pool, a thread
 * is told (crew_cancelled) and waited for. */
static int end_long_inits(crew_pool *p, double passed, crew_error *err) {
    for (int rank = 0; rank < p->natives; rank++) {
        struct cw_line *line = cw_team_line(&p->maps, p->team, rank);
        if (!cw_pool_init_hangs(p, rank, passed))
            continue;
        if (p->ops->kills) {
            cw_error_set(err, CREW_ELIMIT, 0,
                         "the initializer in worker %d of %d was over the time limit of %g s",
                         p->team->first + rank, p->total, p->opts.task_timeout);
            err->worker = p->team->first + rank;
            err->node = p->team->node;
            return CREW_ELIMIT;
        }
        atomic_store(&line->cancel, cw_line_key(line));
    }
    return 0;
}

static int await_members(crew_pool *p, const _Atomic uint32_t *quit, crew_error *err) {
    struct cw_bell *bell = p->session->bell;
    int64_t before = cw_now_ns();
    for (;;) {
        uint32_t seen = atomic_load(&bell->count);
        atomic_fetch_add(&bell->sleeping, 1);
        atomic_thread_fence(memory_order_seq_cst);
        int rc = all_ready(p, err);
        if (rc == 0 && quit && atomic_load(quit) != CW_RUN)
            rc = cw_error_set(err, CREW_ECANCELLED, 0, "the pool was ended");
        if (rc == 0)
            cw_joint_wait(&bell->count, seen, p->opts.task_timeout > 0 ? 0.01 : 0.25);
        atomic_fetch_sub(&bell->sleeping, 1);
        if (rc != 0)
            return rc < 0 ? rc : 0;
        int64_t now = cw_now_ns();
        double passed = (double)(now - before) * 1e-9;
        before = now;
        /* A long gap: this program was stopped. */
        if ((rc = end_long_inits(p, passed < 0.5 ? passed : 0, err)) < 0)
            return rc;
        if (p->ops->lost(p->hands, err))
            return CREW_EBROKEN;
    }
}

/* A pool that could not be opened: what there is of it goes. */
static void undo(crew_pool *p) {
    if (p->hands) {
        atomic_store(&p->team->quit, CW_TERMINATE);
        cw_team_wake_all(&p->maps, p->team);
        for (int rank = 0; rank < p->natives; rank++)
            p->ops->kill(p->hands, rank);
        struct cw_bell *bell = p->session->bell;
        for (;;) {
            uint32_t seen = atomic_load(&bell->count);
            crew_error ignored;
            if (cw_pool_empty(p))
                break;
            if (p->ops->lost(p->hands, &ignored)) {
                p->ops->bury(p->hands);
                break;
            }
            cw_joint_wait(&bell->count, seen, 0.02);
        }
        p->ops->close(p->hands);
    }
    cw_home_close(p);
    cw_pool_release(p);
}

static int bring_members(crew_pool *p, const struct cast *cast, crew_error *err) {
    int rc = p->members > p->natives ? cw_home_open(p, &cw_launch_here()->agent, cast->by_node, err)
                                     : 0;
    for (int rank = 0; rc == 0 && rank < p->natives; rank++)
        rc = cw_pool_bring(p, rank, err);
    if (rc < 0)
        return rc;
    if (!p->ops->caller)
        return await_members(p, cast->quit, err);
    p->serial = calloc(1, sizeof *p->serial);
    if (!p->serial)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a pool");
    cw_member_init(p->serial, &p->maps, p->team, 0);
    if (!cw_member_begin(p->serial))
        return init_failed(p, 0, err);
    return 0;
}

/* With options that are settled. */
static crew_pool *open_as(struct cw_session *s, const crew_pool_opts *o, const struct cast *cast,
                          crew_error *err) {
    crew_pool *p = allocate(s, o, cast, err);
    if (!p)
        return NULL;
    if (build_team(p, cast, err) < 0 || hooks(p, cast->as, err) < 0 || open_hands(p, err) < 0 ||
        bring_members(p, cast, err) < 0 || cw_session_add(s, p, err) < 0) {
        undo(p);
        return NULL;
    }
    pthread_mutex_lock(&p->lock);
    p->opening = false;
    pthread_mutex_unlock(&p->lock);
    if (s->config.report_binding)
        cw_places_report(p);
    cw_error_clear(err);
    return p;
}

/* Over the nodes of the job. */
static crew_pool *open_over_nodes(struct cw_session *s, crew_pool_opts *o, bool joint,
                                  crew_error *err) {
    struct cw_launch *l = cw_launch_here();
    int *by_node = calloc((size_t)l->agent.place.nodes, sizeof *by_node);
    if (!by_node) {
        cw_error_set(err, CREW_ENOMEM, 0, "no memory for a pool");
        return NULL;
    }
    struct cast cast = {.by_node = by_node, .workers = o->workers, .joint = joint};
    cw_launch_spread(o->workers, by_node);
    cast.natives = by_node[0];
    cast.members = by_node[0] + cw_home_proxies(&l->agent, by_node);
    crew_pool *p = NULL;
    if (cast.members > CW_MAX_WORKERS)
        cw_error_set(err, CREW_EINVAL, 0,
                     "%d workers on %d nodes are more than a pool may have: %d on the manager's "
                     "node, and those of other nodes with some more for each node",
                     cast.workers, l->agent.place.nodes, CW_MAX_WORKERS);
    else
        p = open_as(s, o, &cast, err);
    free(by_node);
    return p;
}

crew_pool *crew_pool_open(const crew_pool_opts *opts, crew_error *err) {
    crew_error local;
    err = err ? err : &local;
    crew_pool_opts o = opts ? *opts : (crew_pool_opts){0};
    crew_pool *p = NULL;
    struct cw_session *s = cw_session_get(err);
    if (!s || cw_options_settle(s, &o, err) < 0)
        ;
    else if (cw_depth_here(s) >= CW_MAX_DEPTH)
        cw_error_set(err, CREW_EINVAL, 0, "pools inside workers may be nested %d deep",
                     CW_MAX_DEPTH);
    else if (o.backend == CREW_MPI && cw_launch_here())
        p = open_over_nodes(s, &o, false, err);
    else
        p = open_as(s, &o,
                    &(struct cast){
                        .natives = o.workers, .members = o.workers, .workers = o.workers},
                    err);
    if (!p && err == &local)
        cw_error_copy(NULL, err);
    return p;
}

crew_pool *cw_pool_open_joint(struct cw_session *s, const crew_pool_opts *opts, crew_error *err) {
    crew_pool_opts o = opts ? *opts : (crew_pool_opts){0};
    return cw_options_settle_joint(s, &o, err) < 0 ? NULL : open_over_nodes(s, &o, true, err);
}

crew_pool *cw_pool_open_guest(struct cw_session *s, const struct cw_opening *as,
                              const void *init_arg, const _Atomic uint32_t *quit, crew_error *err) {
    const crew_pool_opts o = {.backend = CREW_MPI,
                              .workers = as->workers,
                              .threads_per_worker = as->threads_per_worker,
                              .start = cw_launch_state()->joint ? CREW_START_FORK
                                                                : CREW_START_SERVER,
                              .bind = as->bind,
                              .init_size = as->init_size,
                              .tasks_per_worker = as->tasks_per_worker,
                              .retries = as->retries,
                              .task_timeout = as->task_timeout,
                              .task_memory = as->task_memory,
                              .seed = as->seed,
                              .name = as->name};
    return open_as(s, &o,
                   &(struct cast){.natives = as->workers,
                                  .members = as->workers,
                                  .workers = as->workers,
                                  .first = as->first,
                                  .node = as->node,
                                  .as = as,
                                  .init_arg = init_arg,
                                  .quit = quit},
                   err);
}
