/* The supervisor: the service thread's part of a pool. Deaths, limits, lost
 * nurseries, and everything that waits for room. */
#include "api/gang.h"
#include "api/guest.h"
#include "api/stop.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double TICK_LIMITS = 0.01, TICK_BUSY = 0.2, TICK_IDLE = 1.0;
/* A visit this much later than wished for means that the program was stopped. */
static const double STOPPED = 0.5;

/* What a member runs that is in its initializer: unlike every cw_line_key. */
static const uint64_t INIT_KEY = 1;

int cw_pool_bring(crew_pool *p, int rank, crew_error *err) {
    struct cw_seat *seat = cw_team_seat(&p->maps, p->team, rank);
    struct cw_line *line = cw_team_line(&p->maps, p->team, rank);
    atomic_store(&line->ready, CW_READY_NOT);
    atomic_store(&line->cancel, 0);
    atomic_store(&line->each, 0);
    atomic_store(&seat->farewell, 0);
    atomic_store(&seat->sys, 0);
    atomic_store(&seat->pid, 0);
    atomic_store(&seat->step, CW_STEP_SETTLED);
    atomic_store_explicit(&seat->state, CW_SEAT_ASKED, memory_order_release);
    int rc = p->ops->start(p->hands, rank, err);
    if (rc < 0)
        atomic_store(&seat->state, CW_SEAT_EMPTY);
    return rc;
}

static void doom(crew_pool *p, int rank, enum cw_reason reason, uint64_t key) {
    struct cw_watch *w = &p->watch[rank];
    struct cw_line *line = cw_team_line(&p->maps, p->team, rank);
    if (cw_line_key(line) != key)
        return; /* what was judged is over */
    if (!p->ops->kills || rank >= p->natives) {
        atomic_store_explicit(&line->cancel, key, memory_order_relaxed);
        return;
    }
    if (w->reason != CW_NO_REASON && w->doomed == key)
        return; /* it is ended already: the first reason stands */
    w->reason = reason;
    w->doomed = key;
    p->ops->kill(p->hands, rank);
}

void cw_pool_doom(crew_pool *p, int rank, enum cw_reason reason) {
    doom(p, rank, reason, cw_line_key(cw_team_line(&p->maps, p->team, rank)));
}

/* ---- ends ---- */

/* Words of the board that named the dead one. */
static void wipe_line(crew_pool *p, int rank) {
    struct cw_team *t = p->team;
    struct cw_line *line = cw_team_line(&p->maps, t, rank);
    atomic_fetch_and(&t->asleep[rank / 64], ~(1ull << (rank % 64)));
    uint32_t spinner = (uint32_t)rank + 1;
    atomic_compare_exchange_strong(&t->spinner, &spinner, 0);
    if (atomic_exchange(&line->critical, 0))
        p->recount = true;
    atomic_store(&line->spawning, 0);
    for (int level = 0; level < CW_NESTED; level++)
        atomic_store(&line->doing[level], 0);
    atomic_store(&line->lo, 0);
    atomic_store(&line->hi, 0);
    atomic_store(&line->redo, 0);
    atomic_store(&line->task, 0);
    cw_meter_stop(&line->busy);
    cw_meter_stop(&line->there);
    cw_off spare = atomic_load(&line->spare);
    bool used = false;
    for (int b = 0; spare && b < CW_TASK_BLOCKS && !used; b++)
        used = atomic_load(&t->task_block[b]) == spare;
    if (used)
        atomic_store(&line->spare, 0);
    else
        cw_free_cell(&p->maps.arena, &line->spare);
}

/* Nothing can be run any more: everything ends with this error. With the lock. */
static void break_pool(crew_pool *p, const crew_error *err) {
    if (p->broken.code)
        return;
    p->broken = *err;
    atomic_store(&p->team->quit, CW_TERMINATE);
    for (int rank = 0; rank < p->members; rank++) {
        struct cw_seat *seat = cw_team_seat(&p->maps, p->team, rank);
        uint32_t state = atomic_load(&seat->state);
        if (rank < p->natives && (state == CW_SEAT_ALIVE || state == CW_SEAT_ASKED))
            p->ops->kill(p->hands, rank);
    }
    cw_pool_cancel_all(p, err->code);
    cw_pool_gangs_end(p);
    cw_team_wake_all(&p->maps, p->team);
    pthread_cond_broadcast(&p->changed);
}

static void replace(crew_pool *p, int rank, enum cw_life life, bool too_long, int status) {
    struct cw_seat *seat = cw_team_seat(&p->maps, p->team, rank);
    struct cw_line *line = cw_team_line(&p->maps, p->team, rank);
    int pid = atomic_load(&seat->pid);
    crew_error err;
    char how[192];
    if (cw_respawn_useless(&p->respawn, life)) {
        if (life == CW_NEVER_READY && too_long)
            snprintf(how, sizeof how, "ended: its initializer was over the time limit of %g s",
                     p->opts.task_timeout);
        else if (atomic_load(&line->ready) == CW_READY_NEVER)
            snprintf(how, sizeof how, "refused by the initializer, code %d%s%.100s",
                     line->frame.refused, line->frame.text[0] ? ": " : "", line->frame.text);
        else
            cw_failure_of_seat(seat, status, how, sizeof how);
        cw_error_set(&err, CREW_EBROKEN, 0,
                     "the pool gave up: worker after worker ended %s; the last, worker %d (pid "
                     "%d), was %s",
                     life == CW_NEVER_READY ? "before it was ready" : "before it did anything",
                     p->team->first + rank, pid, how);
        err.worker = p->team->first + rank;
        err.node = p->team->node;
        err.pid = pid;
        break_pool(p, &err);
        return;
    }
    p->restarts[rank]++;
    if (cw_pool_bring(p, rank, &err) < 0)
        break_pool(p, &err);
}

/* None has workers any more. */
static void nodes_lost(crew_pool *p) {
    crew_error err;
    cw_error_set(&err, CREW_EBROKEN, 0, "the pool has lost all nodes with workers of its own");
    break_pool(p, &err);
}

static void member_ended(crew_pool *p, int rank) {
    cw_session_death(p->session);
    struct cw_seat *seat = cw_team_seat(&p->maps, p->team, rank);
    struct cw_line *line = cw_team_line(&p->maps, p->team, rank);
    struct cw_watch *w = &p->watch[rank];
    int64_t items = atomic_load(&line->items);
    bool swept = atomic_load(&seat->farewell) == CW_FAREWELL_SWEPT;
    enum cw_life life = swept                                     ? CW_DID_WORK
                        : atomic_load(&line->ready) != CW_READY_YES ? CW_NEVER_READY
                        : atomic_load(&seat->farewell) || items > w->items ||
                                atomic_load(&line->task) ||
                                __atomic_load_n(&line->frame.call.index, __ATOMIC_RELAXED) >= 0
                            ? CW_DID_WORK
                            : CW_DID_NOTHING;
    int status = atomic_load(&seat->status);
    /* A member that was ended for something it had finished meanwhile is a plain
     * loss: what it holds now is not to blame. */
    bool meant = w->reason != CW_NO_REASON;
    bool too_long = w->reason == CW_TOO_LONG;
    bool hit = meant && w->doomed == cw_line_key(line);
    bool proxy = rank >= p->natives; /* its node is gone */
    /* Nor is what it held when its nursery had to go, or its node. */
    enum cw_reason reason = hit && !proxy             ? w->reason
                            : meant || swept || proxy ? CW_INNOCENT
                                                      : CW_NO_REASON;
    if (swept && p->gangs)
        cw_pool_gang_lost(p, rank);
    cw_pool_member_left_jobs(p, rank, reason, status);
    cw_pool_member_left_tasks(p, rank, reason, status);
    wipe_line(p, rank);
    *w = (struct cw_watch){.items = items};
    atomic_store(&p->team->hints_lost, 1);
    atomic_store(&p->team->notify_lost, 1);
    atomic_store(&p->team->fd_news, 1);
    atomic_store(&seat->state, CW_SEAT_EMPTY);
    if (atomic_load(&p->team->quit) != CW_RUN || p->broken.code)
        return;
    if (!proxy)
        replace(p, rank, life, too_long, status);
    else if (cw_pool_empty(p))
        nodes_lost(p);
}

static void look_at_seats(crew_pool *p) {
    bool any = false;
    for (int rank = 0; rank < p->members; rank++) {
        struct cw_seat *seat = cw_team_seat(&p->maps, p->team, rank);
        if (atomic_load_explicit(&seat->state, memory_order_acquire) != CW_SEAT_ENDED)
            continue;
        member_ended(p, rank);
        any = true;
    }
    if (any) {
        /* One that died may have been about to wake another. */
        if (atomic_load(&p->team->quit) == CW_RUN)
            cw_team_wake_all(&p->maps, p->team);
        pthread_cond_broadcast(&p->changed);
    }
    if (p->recount && cw_children_recount(&p->maps, p->team) == 0)
        p->recount = false;
}

void cw_pool_cancel_all(crew_pool *p, int code) {
    crew_error why = p->broken;
    if (!why.code)
        cw_error_set(&why, code, 0, "the pool was ended");
    cw_pool_cancel_tasks(p, code, &why);
    for (int slot = 0; slot < CW_JOB_SLOTS; slot++)
        if (p->jobs[slot])
            cw_pool_stop_job(p, p->jobs[slot], code);
    crew_job *next;
    for (crew_job *j = p->waiting; j; j = next) {
        next = cw_job_next(j);
        cw_pool_stop_job(p, j, code);
    }
}

/* Nobody is left to bring members, or to say that they have ended. */
static void nursery_lost(crew_pool *p, const crew_error *why) {
    break_pool(p, why);
    p->ops->bury(p->hands);
    for (int rank = 0; rank < p->natives; rank++) {
        struct cw_seat *seat = cw_team_seat(&p->maps, p->team, rank);
        uint32_t state = atomic_load(&seat->state);
        if (state == CW_SEAT_EMPTY || state == CW_SEAT_ENDED)
            continue;
        atomic_store(&seat->status, SIGKILL);
        atomic_store(&seat->state, CW_SEAT_ENDED);
    }
}

/* ---- limits ---- */

static double limit_of(crew_pool *p, struct cw_line *line, uint64_t *bytes) {
    if (atomic_load_explicit(&line->task, memory_order_acquire)) {
        /* Pair with the releases in name_task. */
        *bytes = atomic_load_explicit(&line->task_memory, memory_order_acquire);
        return atomic_load_explicit(&line->task_timeout, memory_order_acquire);
    }
    *bytes = p->opts.task_memory;
    return p->opts.task_timeout;
}

static bool working(struct cw_line *line) {
    return atomic_load_explicit(&line->task, memory_order_relaxed) ||
           (atomic_load_explicit(&line->doing[0], memory_order_relaxed) &&
            __atomic_load_n(&line->frame.call.index, __ATOMIC_RELAXED) >= 0);
}

bool cw_pool_init_hangs(crew_pool *p, int rank, double passed) {
    struct cw_line *line = cw_team_line(&p->maps, p->team, rank);
    struct cw_watch *w = &p->watch[rank];
    bool runs = atomic_load_explicit(&line->ready, memory_order_acquire) == CW_READY_IN_INIT;
    w->for_s = runs && w->key == INIT_KEY ? w->for_s + passed : 0;
    w->key = runs ? INIT_KEY : 0;
    return runs && p->opts.task_timeout > 0 && w->for_s > p->opts.task_timeout;
}

/* True if this member runs something that has a limit. */
static bool watch_member(crew_pool *p, int rank, double passed) {
    struct cw_line *line = cw_team_line(&p->maps, p->team, rank);
    struct cw_seat *seat = cw_team_seat(&p->maps, p->team, rank);
    struct cw_watch *w = &p->watch[rank];
    if (atomic_load_explicit(&line->ready, memory_order_acquire) == CW_READY_IN_INIT) {
        if (w->reason == CW_NO_REASON && cw_pool_init_hangs(p, rank, passed))
            cw_pool_doom(p, rank, CW_TOO_LONG);
        return p->opts.task_timeout > 0;
    }
    if (!working(line) || w->reason != CW_NO_REASON) {
        w->key = 0;
        return false;
    }
    uint64_t key = cw_line_key(line);
    w->for_s = key == w->key ? w->for_s + passed : 0;
    w->key = key;
    uint64_t bytes;
    double seconds = limit_of(p, line, &bytes);
    /* It went on to something else meanwhile, whose limits these may be. */
    if (cw_line_key(line) != key)
        return true;
    if (seconds > 0 && w->for_s > seconds)
        doom(p, rank, CW_TOO_LONG, key);
    if (bytes && p->ops->kills) {
        uint64_t now = cw_process_private_bytes(atomic_load(&seat->pid));
        if (now > atomic_load(&line->idle_bytes) + bytes)
            doom(p, rank, CW_TOO_BIG, key);
    }
    return seconds > 0 || bytes;
}

/* ---- a visit ---- */

static double tend_members(crew_pool *p, double passed) {
    double next = TICK_IDLE;
    look_at_seats(p);
    crew_error why;
    if (!cw_pool_empty(p) && p->ops->lost(p->hands, &why)) {
        nursery_lost(p, &why);
        look_at_seats(p);
    }
    /* What proxies have out is watched where it runs, and waits there before. */
    for (int rank = 0; rank < p->natives; rank++) {
        if (watch_member(p, rank, passed))
            p->limit_visits = CW_LIMIT_VISITS;
        else if (next > TICK_BUSY && working(cw_team_line(&p->maps, p->team, rank)))
            next = TICK_BUSY;
    }
    cw_pool_tend_gangs(p);
    cw_pool_drain_backlog(p);
    cw_pool_restore_hints(p);
    if (p->limit_visits > 0) {
        p->limit_visits--;
        next = TICK_LIMITS;
    }
    if (p->recount || cw_pool_has_backlog(p))
        next = TICK_LIMITS;
    if (p->waits)
        pthread_cond_broadcast(&p->changed);
    return next;
}

double cw_pool_tend(crew_pool *p) {
    pthread_mutex_lock(&p->lock);
    int64_t now = cw_now_ns();
    double passed = p->seen_ns ? (double)(now - p->seen_ns) * 1e-9 : 0;
    /* Much later than it asked for: this program was stopped. */
    if (passed > p->wish + STOPPED)
        passed = p->wish;
    p->seen_ns = now;
    cw_stop_pool(p);
    double next = tend_members(p, passed);
    if (p->fd >= 0 && atomic_exchange(&p->team->fd_news, 0))
        cw_pool_signal_fd(p);
    bool broke = p->broken.code && p->serves && !p->told_broken;
    p->told_broken = p->told_broken || broke;
    pthread_mutex_unlock(&p->lock);
    if (broke)
        cw_guest_broken(p->serves, &p->broken);
    cw_pool_relay_gangs(p);
    cw_pool_tend_futures(p);
    double jobs = cw_pool_tend_jobs(p, passed);
    p->wish = jobs < next ? jobs : next;
    return p->wish;
}
