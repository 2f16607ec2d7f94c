/* What is asked of a pool: whether it may be used, which function that is, how many
 * workers it has and what they have done, and a descriptor that tells of ends. */
#include "api/future_impl.h"
#include "api/home.h"
#include "api/job_impl.h"
#include "api/stop.h"
#include "base/error.h"
#include "os/descriptor.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- whether it may be used ---- */

int cw_pool_check(crew_pool *p, crew_error *err) {
    if (!p)
        return cw_error_set(err, CREW_EINVAL, 0, "the pool is NULL");
    if (p->epoch == CW_EPOCH_FREED)
        return cw_error_set(err, CREW_EINVAL, 0, "the pool was freed before");
    if (p->epoch != cw_epoch)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "this pool belongs to another process (pid %d was forked from it); a "
                            "task makes tasks with crew_spawn",
                            (int)getpid());
    return 0;
}

int cw_pool_accepts(crew_pool *p, crew_error *err) {
    if (p->broken.code)
        return cw_error_copy(err, &p->broken);
    if (p->state != CW_POOL_OPEN)
        return cw_error_set(err, CREW_ECLOSED, 0, "the pool is closed");
    return cw_stop_accepts(p->session, err);
}

/* ---- functions ---- */

static int check_size(const char *what, const char *name, ptrdiff_t want, ptrdiff_t have,
                      crew_error *err) {
    if (want < 0 || have < 0 || want == have)
        return 0;
    return cw_error_set(err, CREW_EMISMATCH, 0, "%s takes %s of %td bytes, not of %td", name, what,
                        want, have);
}

static int find_function(crew_pool *p, cw_fn *fn, ptrdiff_t in_size, ptrdiff_t out_size,
                         ptrdiff_t common_size, cw_fn_name *name, crew_error *err) {
    static const char *const advice[] = {
        [CREW_START_FORK] = "load it before, or open the pool after",
        [CREW_START_SERVER] = "under CREW_START_SERVER load it before crew_init",
        [CREW_START_SPAWN] = "under CREW_START_SPAWN load it before crew_init, up to where every "
                             "worker runs main",
    };
    cw_objects have = p->opts.start == CREW_START_FORK ? p->have : p->session->at_init;
    have.advice = advice[p->opts.start];
    int rc = cw_fn_find(fn, p->checks_objects ? &have : NULL, name, err);
    const crew_task_info *info = rc < 0 ? NULL : cw_fn_info(fn);
    if (!info)
        return rc;
    if ((rc = check_size("items", info->name, info->in_size, in_size, err)) < 0 ||
        (rc = check_size("a common argument", info->name, info->common_size, common_size, err)) < 0)
        return rc;
    return check_size("result slots", info->name, info->out_size, out_size ? out_size : -1, err);
}

/* Looking a function up costs as much as submitting it. What was found for one of
 * the program's own stays true, in every pool, until a task is registered. */
struct known_function {
    cw_fn *fn;
    ptrdiff_t in_size, out_size, common_size;
    uint32_t generation;
    cw_fn_name name;
};
static _Thread_local struct known_function known;

int cw_pool_function(crew_pool *p, cw_fn *fn, ptrdiff_t in_size, ptrdiff_t out_size,
                     ptrdiff_t common_size, cw_fn_name *name, crew_error *err) {
    if (fn && known.fn == fn && known.in_size == in_size && known.out_size == out_size &&
        known.common_size == common_size && known.generation == cw_tasks_generation()) {
        *name = known.name;
        return cw_error_clear(err);
    }
    struct known_function now = {.fn = fn,
                                 .in_size = in_size,
                                 .out_size = out_size,
                                 .common_size = common_size,
                                 .generation = cw_tasks_generation()};
    int rc = find_function(p, fn, in_size, out_size, common_size, name, err);
    if (rc == 0 && cw_fn_in_program(fn)) {
        now.name = *name;
        known = now;
    }
    return rc;
}

/* ---- what it says of itself ---- */

int crew_pool_workers(crew_pool *p) {
    if (p && p->epoch != CW_EPOCH_FREED)
        return p->workers;
    return cw_pool_check(p, NULL);
}

/* With the lock: something has ended that nobody has been told of. */
static bool any_ended(crew_pool *p) {
    for (crew_job *j = p->async; j; j = j->listed)
        if (j->state == CW_J_DONE)
            return true;
    for (uint32_t i = 0; i < p->owners && i < atomic_load(&p->team->task_count); i++)
        if (cw_record_owner(p, i) && cw_record_done(p, i))
            return true;
    return false;
}

int crew_pool_fd(crew_pool *p) {
    if (cw_pool_check(p, NULL) < 0)
        return CREW_EINVAL;
    pthread_mutex_lock(&p->lock);
    if (p->fd < 0) {
        p->fd = cw_descriptor_above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        atomic_store(&p->team->fd_news, 0);
        atomic_fetch_add(&p->team->wants_fd, 1);
        /* Pairs with the end of a record (team/task.c): either it tells, or it is
         * seen here. */
        atomic_thread_fence(memory_order_seq_cst);
        if (any_ended(p))
            cw_pool_signal_fd(p);
        for (int slot = 0; slot < CW_JOB_SLOTS; slot++)
            atomic_store(&p->team->job_bell[slot].watched, 1);
    }
    int fd = p->fd;
    pthread_mutex_unlock(&p->lock);
    return fd >= 0 ? fd : cw_error_set(NULL, CREW_EAGAIN, errno, "no descriptor for the pool");
}

void cw_pool_signal_fd(crew_pool *p) {
    uint64_t one = 1;
    if (p->fd >= 0 && write(p->fd, &one, sizeof one) < 0)
        return; /* full: it is readable anyway */
}

/* Neither goes back, and together they are the time that a member was there. */
static void show_times(struct cw_shown *shown, int64_t busy, int64_t there) {
    if (there < shown->busy + shown->idle)
        there = shown->busy + shown->idle;
    if (busy > there - shown->idle)
        busy = there - shown->idle;
    if (busy > shown->busy)
        shown->busy = busy;
    shown->idle = there - shown->busy;
}

void cw_pool_stats_of(crew_pool *p, int rank, crew_stats *stats) {
    struct cw_line *line = cw_team_line(&p->maps, p->team, rank);
    show_times(&p->shown[rank], cw_meter_ns(&line->busy), cw_meter_ns(&line->there));
    stats->items += atomic_load_explicit(&line->items, memory_order_relaxed);
    stats->failures += atomic_load_explicit(&line->failures, memory_order_relaxed);
    stats->restarts += p->restarts[rank];
    stats->busy += (double)p->shown[rank].busy * 1e-9;
    stats->idle += (double)p->shown[rank].idle * 1e-9;
}

int crew_pool_stats(crew_pool *p, int worker, crew_stats *stats) {
    int rc = cw_pool_check(p, NULL);
    if (rc < 0)
        return rc;
    if (!stats || worker < -1 || worker >= p->workers)
        return cw_error_set(NULL, CREW_EINVAL, 0, "worker %d: there are %d, from 0 (-1: all)",
                            worker, p->workers);
    *stats = (crew_stats){0};
    pthread_mutex_lock(&p->lock);
    for (int rank = 0; rank < p->natives; rank++)
        if (worker < 0 || worker == rank)
            cw_pool_stats_of(p, rank, stats);
    pthread_mutex_unlock(&p->lock);
    cw_home_stats(p, worker, stats);
    return cw_error_clear(NULL);
}
