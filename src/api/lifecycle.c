/* Closing, joining, terminating, freeing; and work done by the caller itself. */
#include "api/gang.h"
#include "api/home.h"
#include "api/joint.h"
#include "api/journal.h"
#include "api/journal_keys.h"
#include "api/pool_impl.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/openmp.h"

#include <errno.h>
#include <stdlib.h>

bool cw_pool_empty(crew_pool *p) {
    if (p->ops->caller)
        return true;
    for (int rank = 0; rank < p->members; rank++) {
        uint32_t state = atomic_load_explicit(&cw_team_seat(&p->maps, p->team, rank)->state,
                                              memory_order_acquire);
        if (state == CW_SEAT_ASKED || state == CW_SEAT_ALIVE)
            return false;
    }
    return true;
}

/* With the lock: no job is on the board or waits, no task has not ended. */
static bool is_idle(crew_pool *p) {
    if (p->waiting || cw_pool_has_backlog(p))
        return false;
    for (int slot = 0; slot < CW_JOB_SLOTS; slot++)
        if (p->jobs[slot])
            return false;
    for (uint32_t i = 0, n = atomic_load(&p->team->task_count); i < n; i++) {
        uint64_t state =
            atomic_load_explicit(&cw_task_at(&p->maps, p->team, i)->state, memory_order_acquire);
        uint32_t phase = cw_task_phase(state);
        if (phase == CW_TASK_QUEUED || phase == CW_TASK_RUNNING || phase == CW_TASK_PARENT)
            return false;
    }
    return true;
}

/* With the lock: async jobs have brought their results, callbacks have returned. */
static bool all_told(crew_pool *p) {
    return cw_pool_jobs_told(p) && cw_pool_futures_told(p);
}

void cw_pool_sleep(crew_pool *p, const struct cw_deadline *d) {
    double slice = cw_deadline_slice(d);
    if (cw_joint_drives()) {
        pthread_mutex_unlock(&p->lock);
        bool did = cw_joint_turn();
        pthread_mutex_lock(&p->lock);
        if (did)
            return; /* it may be what is waited for */
        slice = 0.0005;
    }
    if (slice < 0 || slice > 0.5)
        slice = 0.5;
    cw_clocked_wait(&p->changed, &p->lock, (int64_t)(slice * 1e9));
}

int cw_may_wait(const char *call, crew_error *err) {
    if (!cw_in_callback)
        return 0;
    return cw_error_set(err, CREW_EINVAL, 0,
                        "%s was called in a callback, which may not wait: it runs on the thread "
                        "that sees to the workers",
                        call);
}

int cw_pool_may_wait(crew_pool *p, const char *call, crew_error *err) {
    int rc = cw_may_wait(call, err);
    if (rc < 0 || !cw_pool_member(p))
        return rc;
    return cw_error_set(err, CREW_EINVAL, 0,
                        "%s was called in a task of that pool, which would wait for itself: call "
                        "it outside",
                        call);
}

void crew_pool_close(crew_pool *p) {
    if (cw_pool_check(p, NULL) < 0)
        return;
    pthread_mutex_lock(&p->lock);
    if (p->state == CW_POOL_OPEN)
        p->state = CW_POOL_CLOSED;
    pthread_mutex_unlock(&p->lock);
}

/* With the lock: until the work is done, the members have left and callbacks have
 * returned. */
static int drain(crew_pool *p, struct cw_deadline *d, crew_error *err) {
    atomic_fetch_add(&p->team->wants_fd, 1); /* every end rings: the service thread tells us */
    p->waits++;
    int rc = 0;
    while (rc == 0 && p->state == CW_POOL_CLOSED && !p->broken.code && !is_idle(p)) {
        if (cw_deadline_over(d))
            rc = cw_error_set(err, CREW_ETIMEDOUT, 0, "the pool's work is not done yet");
        else
            cw_pool_sleep(p, d);
    }
    if (rc == 0 && atomic_load(&p->team->quit) == CW_RUN) {
        atomic_store(&p->team->quit, CW_DRAIN);
        cw_team_wake_all(&p->maps, p->team);
        if (p->ops->caller && p->state == CW_POOL_CLOSED)
            cw_member_end(p->serial);
    }
    while (rc == 0 && !cw_pool_empty(p) && !p->broken.code) {
        if (cw_deadline_over(d))
            rc = cw_error_set(err, CREW_ETIMEDOUT, 0, "the pool's workers have not ended yet");
        else
            cw_pool_sleep(p, d);
    }
    /* The service thread does that: in a callback, which it runs, nobody can wait for it. */
    while (rc == 0 && !cw_in_callback && !all_told(p)) {
        if (cw_deadline_over(d))
            rc = cw_error_set(err, CREW_ETIMEDOUT, 0, "the pool's callbacks have not returned yet");
        else
            cw_pool_sleep(p, d);
    }
    p->waits--;
    atomic_fetch_sub(&p->team->wants_fd, 1);
    return rc;
}

int crew_pool_join(crew_pool *p, double timeout, crew_error *err) {
    int rc = cw_pool_check(p, err);
    if (rc < 0 || (rc = cw_pool_may_wait(p, "crew_pool_join", err)) < 0)
        return rc;
    struct cw_deadline d = cw_deadline_in(timeout);
    pthread_mutex_lock(&p->lock);
    if (p->state == CW_POOL_OPEN)
        rc = cw_error_set(err, CREW_EINVAL, 0, "the pool is open: close it before joining it");
    else
        rc = drain(p, &d, err);
    if (rc == 0 && p->broken.code)
        rc = cw_error_copy(err, &p->broken);
    pthread_mutex_unlock(&p->lock);
    return rc < 0 ? rc : cw_error_clear(err);
}

static void terminate(crew_pool *p) {
    if (p->state >= CW_POOL_ENDING)
        return;
    p->state = CW_POOL_ENDING;
    atomic_store(&p->team->quit, CW_TERMINATE);
    cw_pool_cancel_all(p, CREW_ECANCELLED);
    cw_pool_gangs_end(p);
    cw_team_wake_all(&p->maps, p->team);
    if (p->ops->kills)
        for (int rank = 0; rank < p->members; rank++)
            cw_pool_doom(p, rank, CW_CANCEL);
}

void crew_pool_terminate(crew_pool *p) {
    if (cw_pool_check(p, NULL) < 0)
        return;
    pthread_mutex_lock(&p->lock);
    terminate(p);
    pthread_mutex_unlock(&p->lock);
    cw_session_ring(p->session);
}

int crew_pool_shutdown(crew_pool *p, bool wait, bool cancel) {
    int rc = cw_pool_check(p, NULL);
    if (rc < 0 || (wait && (rc = cw_pool_may_wait(p, "crew_pool_shutdown", NULL)) < 0))
        return rc;
    pthread_mutex_lock(&p->lock);
    if (p->state == CW_POOL_OPEN)
        p->state = CW_POOL_CLOSED;
    if (cancel)
        cw_pool_cancel_all(p, CREW_ECANCELLED);
    pthread_mutex_unlock(&p->lock);
    if (cancel)
        cw_home_recall_all(p);
    return wait ? crew_pool_join(p, CREW_FOREVER, NULL) : cw_error_clear(NULL);
}

/* Async jobs that were cancelled just now; those with a journal when that is written. */
static void tell_jobs(crew_pool *p) {
    cw_pool_tend_jobs(p, 0);
    pthread_mutex_lock(&p->lock);
    bool told = cw_pool_jobs_told(p);
    pthread_mutex_unlock(&p->lock);
    if (told)
        return;
    cw_journals_flush();
    cw_pool_tend_jobs(p, 0);
}

void crew_pool_free(crew_pool *p) {
    if (!p || cw_may_wait("crew_pool_free", NULL) < 0 || !cw_session_claim(p))
        return;
    struct cw_session *s = p->session;
    bool joint = p->joint;
    if (joint)
        cw_joint_take_over();
    pthread_mutex_lock(&p->lock);
    terminate(p);
    struct cw_deadline forever = cw_deadline_in(CREW_FOREVER);
    cw_session_ring(s);
    while (!cw_pool_empty(p)) /* seats are the nursery's until their members are reaped */
        cw_pool_sleep(p, &forever);
    cw_pool_tend_gangs(p);
    pthread_mutex_unlock(&p->lock);
    tell_jobs(p);
    cw_session_remove(s, p);
    cw_pool_orphan_futures(p);
    cw_keys_leave(p);
    p->ops->close(p->hands);
    cw_home_close(p);
    cw_pool_release(p);
    if (joint)
        cw_joint_end(NULL);
    cw_session_left(s);
}

/* ---- the caller as a member ---- */

struct cw_member *cw_pool_member(crew_pool *p) {
    struct cw_member *m = cw_this_member;
    while (m && m->team != p->team)
        m = m->outer;
    return m;
}

bool cw_pool_helps(crew_pool *p) {
    return p->ops->caller || cw_pool_member(p);
}

/* Who the caller was before it became a member. */
struct disguise {
    struct cw_member *before;
    bool locked;
};

/* Makes this thread the member it works as. NULL: it may not. */
static struct cw_member *become_member(crew_pool *p, struct disguise *d) {
    struct cw_member *m = cw_pool_member(p);
    *d = (struct disguise){.before = cw_this_member};
    if (m || !p->ops->caller) {
        cw_this_member = m ? m : cw_this_member;
        return m;
    }
    pthread_mutex_lock(&p->serial_lock);
    d->locked = true;
    p->serial->outer = cw_this_member;
    cw_this_member = p->serial;
    cw_meter_start(&p->serial->line->busy);
    if (p->team->threads_per_worker)
        p->outer_threads = cw_openmp_threads(p->team->threads_per_worker);
    return p->serial;
}

static void be_oneself_again(crew_pool *p, const struct disguise *d) {
    cw_this_member = d->before;
    if (!d->locked)
        return;
    cw_meter_stop(&p->serial->line->busy);
    if (p->outer_threads)
        cw_openmp_threads(p->outer_threads);
    pthread_mutex_unlock(&p->serial_lock);
}

/* A serial member that has run its share starts over as a new one would. */
static void recycle(crew_pool *p, struct cw_member *m) {
    if (!p->ops->caller || m->tasks_left != 0 || m->top)
        return;
    cw_member_end(m);
    m->state = NULL;
    m->tasks_left = p->team->tasks_per_worker;
    p->restarts[0]++;
    cw_member_begin(m);
}

void cw_pool_help(crew_pool *p, bool (*until)(void *arg), void *arg) {
    struct disguise d;
    struct cw_member *m = become_member(p, &d);
    while (m && !until(arg) && cw_member_run_task(m))
        recycle(p, m);
    be_oneself_again(p, &d);
}

void cw_pool_help_job(crew_pool *p, struct cw_job *job) {
    struct disguise d;
    struct cw_member *m = become_member(p, &d);
    int slot = (int)job->slot;
    bool claim = job->kind == CW_JOB_EACH, ran = m != NULL;
    while (ran) {
        ran = false;
        /* Tasks first, as workers do: its items may have spawned some. */
        while (cw_member_run_task(m)) {
            ran = true;
            recycle(p, m);
        }
        claim = claim || (atomic_load(&p->team->claimable) >> slot & 1);
        if (claim && cw_member_run_job(m, slot)) {
            ran = true;
            recycle(p, m);
        }
        claim = false;
    }
    be_oneself_again(p, &d);
}
