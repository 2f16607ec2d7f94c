#include "api/stop.h"

#include "api/future_impl.h"
#include "api/job_impl.h"
#include "backend/ranks/ranks.h"
#include "base/error.h"
#include "base/stopwords.h"
#include "os/clock.h"
#include "os/stopsig.h"
#include "topo/batch.h"

#include <crew/crew.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const double GRACE = 30;

/* Lock order: innermost, but for what the handler touches. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    struct cw_stop plan;
    struct cw_stop offer; /* the batch system's limit, for programs with journals */
    uint32_t seen;       /* signals that were looked at */
    _Atomic bool passes_on;
    bool alone;          /* the session ends, and has no followers any more */
    enum cw_stop_phase tended; /* the phase when the service thread looked last ... */
    _Atomic bool begun;        /* ... is not NOT, and all pools have heard of it since */
    _Atomic int told;    /* another process's signal, to be looked at */
    _Atomic bool idle;   /* no signal is caught and there is no limit: nothing to look at */
} stop = {.idle = true};

/* ---- what asks for it ---- */

static const char *from_environment(const char *name) {
    return getenv(name);
}

void cw_stop_begin(struct cw_session *s) {
    if (s->depth)
        return;
    const struct cw_config *c = &s->config;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double left, grace = c->stop_grace >= 0 ? c->stop_grace : GRACE;
    pthread_mutex_lock(&lock);
    stop.plan = (struct cw_stop){.grace = grace};
    stop.offer = (struct cw_stop){0};
    stop.alone = false;
    bool asked = c->time_limit == CW_LIMIT_OF_BATCH; // NOLINT: it was stored as it is
    if (c->time_limit > 0)
        cw_stop_limit(&stop.plan, c->time_limit, cw_now_ns());
    else if ((asked || c->time_limit == 0) && // NOLINT
             cw_batch_seconds_left(from_environment, (double)now.tv_sec, &left) &&
             (asked || left > 0)) /* one that is over is another job's, or is not enforced */
        cw_stop_batch(asked ? &stop.plan : &stop.offer, left,
                      c->stop_margin >= 0 ? c->stop_margin : 2 * grace, cw_now_ns());
    if (stop.plan.limit_ns)
        atomic_store(&stop.idle, false);
    pthread_mutex_unlock(&lock);
    cw_stopsig_on_set(c->stop_signals);
    if (cw_stopsig_set())
        atomic_store(&stop.idle, false);
    cw_stopsig_rings(&s->bell->count);
}

void cw_stop_journalled(struct cw_session *s) {
    if (s->depth)
        return;
    pthread_mutex_lock(&lock);
    bool news = stop.offer.limit_ns && !stop.plan.limit_ns;
    if (news) {
        stop.plan.limit_ns = stop.offer.limit_ns;
        stop.plan.limit_is = stop.offer.limit_is;
        atomic_store(&stop.idle, false);
    }
    pthread_mutex_unlock(&lock);
    if (news)
        cw_session_ring(s);
}

void cw_stop_part(void) {
    pthread_mutex_lock(&lock);
    stop.alone = true;
    pthread_mutex_unlock(&lock);
}

void cw_stop_end(void) {
    cw_stopsig_rings(NULL);
    pthread_mutex_lock(&lock);
    stop.plan = stop.offer = (struct cw_stop){0};
    stop.tended = CW_STOP_NOT;
    atomic_store(&stop.begun, false);
    cw_stopsig_seen(&stop.seen);
    atomic_store(&stop.told, 0);
    pthread_mutex_unlock(&lock);
}

void cw_stop_forget(void) {
    pthread_mutex_init(&lock, NULL);
    cw_stopsig_forget();
    stop.plan = stop.offer = (struct cw_stop){0};
    stop.tended = CW_STOP_NOT;
    stop.begun = false;
    stop.seen = 0;
    stop.told = 0;
}

void cw_stop_passes_on(bool does) {
    atomic_store(&stop.passes_on, does);
}

int crew_stop_on(int signal) {
    struct cw_session *s = cw_session_if_any();
    if (cw_session_self()->depth || cw_this_member)
        return cw_error_set(NULL, CREW_ENOTSUP, 0,
                            "crew_stop_on is for the program, and was called in a task");
    if (!cw_stop_signal_may(signal))
        return cw_error_set(NULL, CREW_EINVAL, 0, "a program cannot be stopped by signal %d: %s "
                            "are possible", signal, cw_stop_signal_names());
    int rc = cw_stopsig_on(signal);
    if (rc < 0)
        return cw_error_set(NULL, CREW_EINVAL, -rc, "there can be no handler for signal %d",
                            signal);
    atomic_store(&stop.idle, false);
    if (s && s->berths)
        cw_berths_stop_on(s->berths, cw_stopsig_set());
    return cw_error_clear(NULL);
}

int cw_stop_heard(struct cw_session *s) {
    uint32_t count;
    int signal = cw_stopsig_seen(&count), other = s->berths ? cw_berths_stopped(s->berths) : 0;
    pthread_mutex_lock(&lock); /* the service thread may look, too, until the launch is over */
    bool heard = count != stop.seen;
    stop.seen = count;
    pthread_mutex_unlock(&lock);
    return heard ? signal : other;
}

void cw_stop_told(int signal) {
    struct cw_session *s = cw_session_if_any();
    atomic_store(&stop.told, signal);
    if (s)
        cw_session_ring(s);
}

/* ---- how far it is ---- */

/* With the lock. */
static double look(struct cw_session *s) {
    uint32_t count;
    int64_t now = cw_now_ns();
    int signal = cw_stopsig_seen(&count), told = atomic_exchange(&stop.told, 0);
    int follower = s->berths && !stop.alone ? cw_berths_stopped(s->berths) : 0;
    if (count != stop.seen)
        cw_stop_signalled(&stop.plan, signal, true, now);
    else if (told || follower)
        cw_stop_signalled(&stop.plan, told ? told : follower, false, now);
    stop.seen = count;
    return cw_stop_look(&stop.plan, now);
}

static bool is_elsewhere(const struct cw_session *s) {
    return s->depth || atomic_load(&stop.passes_on) || (atomic_load(&stop.idle) && !s->berths);
}

double cw_stop_tend(struct cw_session *s) {
    if (is_elsewhere(s))
        return 1;
    pthread_mutex_lock(&lock);
    double next = look(s);
    stop.tended = stop.plan.phase;
    pthread_mutex_unlock(&lock);
    return next < 0 || next > 1 ? 1 : next;
}

void cw_stop_tended(void) {
    if (stop.tended != CW_STOP_NOT && !atomic_load(&stop.begun))
        atomic_store(&stop.begun, true);
}

/* How far it has come. Any thread, with any lock. */
static enum cw_stop_phase phase_now(struct cw_session *s) {
    if (is_elsewhere(s))
        return CW_STOP_NOT;
    pthread_mutex_lock(&lock);
    look(s);
    enum cw_stop_phase phase = stop.plan.phase;
    pthread_mutex_unlock(&lock);
    return phase;
}

int crew_stopped(void) {
    struct cw_session *s = cw_session_if_any();
    if (!s || phase_now(s) == CW_STOP_NOT)
        return 0;
    /* Not before the pools have heard of it, unless somebody has been told already. */
    if (cw_session_served(s) && !atomic_load(&stop.begun) && !atomic_load(&s->stopped))
        return 0;
    pthread_mutex_lock(&lock);
    int signal = stop.plan.cause == CW_STOP_BY_SIGNAL ? stop.plan.signal : CREW_ETIMEDOUT;
    pthread_mutex_unlock(&lock);
    return signal;
}

/* ---- in words ---- */

/* "4,120" */
static const char *with_commas(int64_t n, char buf[32]) {
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)n), at = 0;
    for (int i = 0; i < length; i++) {
        buf[at++] = digits[i];
        if ((length - i) % 3 == 1 && i + 1 < length)
            buf[at++] = ',';
    }
    buf[at] = '\0';
    return buf;
}

static void why(char *buf, size_t cap) {
    char span[32];
    pthread_mutex_lock(&lock);
    const struct cw_stop plan = stop.plan;
    pthread_mutex_unlock(&lock);
    switch (plan.cause) {
    case CW_STOP_BY_SIGNAL:
        cw_stop_signal_print(plan.signal, buf, cap);
        break;
    case CW_STOP_BY_LIMIT:
        cw_span_print(plan.limit, span, sizeof span);
        snprintf(buf, cap, "the program's time limit of %s", span);
        break;
    default:
        snprintf(buf, cap, "the time limit of the batch system");
    }
}

int cw_stop_sentence(struct cw_session *s, int64_t done, int64_t of, crew_error *err) {
    char by[64], n[32], all[32];
    why(by, sizeof by);
    atomic_store(&s->stopped, true);
    if (of < 0)
        return cw_error_set(err, CREW_ESTOPPED, 0, "stopped by %s after %s items", by,
                            with_commas(done, n));
    return cw_error_set(err, CREW_ESTOPPED, 0, "stopped by %s after %s of %s items", by,
                        with_commas(done, n), with_commas(of, all));
}

int cw_stop_accepts(struct cw_session *s, crew_error *err) {
    enum cw_stop_phase phase = phase_now(s);
    if (phase == CW_STOP_NOT || (phase == CW_STOP_DRAIN && cw_this_member))
        return 0;
    char by[64];
    why(by, sizeof by);
    atomic_store(&s->stopped, true);
    return cw_error_set(err, CREW_ESTOPPED, 0, "stopped by %s: nothing new begins", by);
}

/* ---- what pools do ---- */

/* What has not begun never does. */
static void drain(crew_pool *p) {
    crew_job *next;
    crew_error err;
    why(p->team->stopped_by, sizeof p->team->stopped_by);
    /* Pairs with the acquire of members: whom they name. */
    atomic_store_explicit(&p->team->stopping, CW_STOP_DRAIN, memory_order_release);
    for (int slot = 0; slot < CW_JOB_SLOTS; slot++)
        if (p->jobs[slot])
            cw_pool_drain_job(p, p->jobs[slot]);
    for (crew_job *j = p->waiting; j; j = next) {
        next = cw_job_next(j);
        cw_pool_stop_job(p, j, CREW_ESTOPPED);
    }
    cw_error_set(&err, CREW_ESTOPPED, 0, "stopped by %s", p->team->stopped_by);
    for (uint32_t i = 0, n = atomic_load(&p->team->task_count); i < n; i++)
        if (!cw_task_is_child(cw_task_at(&p->maps, p->team, i)))
            cw_record_cancel(p, i, CREW_ESTOPPED, &err);
}

/* What runs is ended: where it can be, else it sees crew_cancelled. */
static void end(crew_pool *p) {
    crew_job *next;
    atomic_store(&p->team->stopping, CW_STOP_END);
    for (int slot = 0; slot < CW_JOB_SLOTS; slot++)
        if (p->jobs[slot])
            cw_pool_stop_job(p, p->jobs[slot], CREW_ESTOPPED);
    for (crew_job *j = p->waiting; j; j = next) {
        next = cw_job_next(j);
        cw_pool_stop_job(p, j, CREW_ESTOPPED);
    }
    for (uint32_t i = 0, n = atomic_load(&p->team->task_count); i < n; i++) {
        struct cw_task *task = cw_task_at(&p->maps, p->team, i);
        uint32_t phase = cw_task_phase(atomic_load(&task->state));
        if (!cw_task_is_child(task) && (phase == CW_TASK_RUNNING || phase == CW_TASK_PARENT))
            cw_record_kill(p, i);
    }
}

void cw_stop_pool(crew_pool *p) {
    enum cw_stop_phase phase = phase_now(p->session);
    uint32_t was = atomic_load(&p->team->stopping);
    if (phase <= was || p->opening)
        return;
    /* A pool in a task belongs to what runs: it has the grace, as that has. */
    bool outer = p->team->depth == 0;
    if (was == CW_STOP_NOT && outer)
        drain(p);
    if (phase == CW_STOP_END)
        end(p);
    pthread_cond_broadcast(&p->changed);
}
