/* Waiting for several futures: crew_wait and crew_as_completed. */
#include "api/future_impl.h"
#include "api/joint.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/futex.h"

#include <limits.h>
#include <stdlib.h>

static int check_all(crew_future **futures, size_t n) {
    if (n && !futures)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the futures are NULL");
    for (size_t i = 0; i < n; i++) {
        if (!futures[i])
            return cw_error_set(NULL, CREW_EINVAL, 0, "future %zu of %zu is NULL", i, n);
        if (futures[i]->pool && cw_pool_check(futures[i]->pool, NULL) < 0)
            return CREW_EINVAL;
    }
    return 0;
}

/* From now on its end is told to the service thread, which tells `ended`. */
static void watch(crew_future *f) {
    if (f->pool)
        cw_task_flag(cw_task_at(&f->pool->maps, f->pool->team, f->number), CW_TASK_NOTIFY);
}

static bool one_done(void *arg) {
    return crew_future_done(arg);
}

/* Where this thread must run the work itself, it does until f is done. */
static void help(crew_future *f) {
    if (f->pool && cw_pool_helps(f->pool))
        cw_pool_help(f->pool, one_done, f);
}

/* Sleeps until a watched future of any pool ends. seen: `ended` before the
 * caller looked at them. */
static void sleep_ended(struct cw_session *s, uint32_t seen, const struct cw_deadline *d) {
    double slice = cw_deadline_slice(d);
    /* The bound is for what rings nobody: a service thread that died with a fork. */
    cw_joint_wait(&s->ended, seen, slice < 0 || slice > 1 ? 1 : slice);
}

static int count_done(crew_future **futures, size_t n, bool *error) {
    int done = 0;
    for (size_t i = 0; i < n; i++)
        if (crew_future_done(futures[i])) {
            done++;
            *error = *error || cw_future_status(futures[i]) != 0;
        }
    return done;
}

static bool enough(int done, size_t n, int until, bool error) {
    return done == (int)n || (until == CREW_WAIT_FIRST && done > 0) ||
           (until == CREW_WAIT_FIRST_ERROR && error);
}

static int wait_all(crew_future **futures, size_t n, struct cw_deadline *d) {
    for (size_t i = 0; i < n; i++) {
        if (!futures[i]->pool)
            continue;
        double left = d->left_ns < 0 ? CREW_FOREVER : 0;
        if (d->left_ns >= 0 && !cw_deadline_over(d))
            left = (double)d->left_ns * 1e-9;
        crew_error ignored;
        if (crew_future_result(futures[i], NULL, 0, left, &ignored) == CREW_ETIMEDOUT)
            break;
    }
    bool error = false;
    return count_done(futures, n, &error);
}

int crew_wait(crew_future **futures, size_t n, int until, double timeout) {
    int rc = check_all(futures, n);
    if (rc < 0)
        return rc;
    if (until < CREW_WAIT_ALL || until > CREW_WAIT_FIRST_ERROR || n > INT_MAX)
        return cw_error_set(NULL, CREW_EINVAL, 0, "until is %d, there are %zu futures", until, n);
    bool failed = false;
    if (cw_in_callback && timeout != 0 &&
        !enough(count_done(futures, n, &failed), n, until, failed))
        return cw_may_wait("crew_wait", NULL);
    struct cw_deadline d = cw_deadline_in(timeout);
    if (until == CREW_WAIT_ALL)
        return wait_all(futures, n, &d);
    struct cw_session *s = cw_session_if_any();
    for (size_t i = 0; i < n; i++)
        watch(futures[i]);
    for (;;) {
        uint32_t seen = s ? atomic_load(&s->ended) : 0;
        bool error = false;
        int done = count_done(futures, n, &error);
        if (enough(done, n, until, error) || cw_deadline_over(&d) || !s)
            return done;
        for (size_t i = 0; i < n; i++)
            help(futures[i]);
        bool unused = false;
        if (count_done(futures, n, &unused) == done)
            sleep_ended(s, seen, &d);
    }
}

/* ---- as completed ---- */

struct crew_completed {
    crew_future **futures;
    size_t n, given;
    size_t *pending, pending_count; /* not seen done yet */
    size_t *ready, ready_head, ready_tail;
};

crew_completed *crew_as_completed(crew_future **futures, size_t n) {
    if (check_all(futures, n) < 0)
        return NULL;
    crew_completed *c = calloc(1, sizeof *c);
    size_t *both = malloc((2 * n + 1) * sizeof *both);
    if (!c || !both) {
        free(c);
        free(both);
        cw_error_set(NULL, CREW_ENOMEM, 0, "no memory for %zu futures", n);
        return NULL;
    }
    *c = (crew_completed){
        .futures = futures, .n = n, .pending = both, .pending_count = n, .ready = both + n};
    for (size_t i = 0; i < n; i++) {
        c->pending[i] = i;
        watch(futures[i]);
    }
    cw_error_clear(NULL);
    return c;
}

/* Everything that has ended since the last look, in the array's order. */
static void look(crew_completed *c) {
    size_t kept = 0;
    for (size_t i = 0; i < c->pending_count; i++) {
        size_t which = c->pending[i];
        if (crew_future_done(c->futures[which]))
            c->ready[c->ready_tail++] = which;
        else
            c->pending[kept++] = which;
    }
    c->pending_count = kept;
}

int crew_completed_next(crew_completed *c, size_t *which, double timeout) {
    if (!c)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the iterator is NULL");
    struct cw_session *s = cw_session_if_any();
    struct cw_deadline d = cw_deadline_in(timeout);
    for (;;) {
        if (c->ready_head < c->ready_tail) {
            size_t i = c->ready[c->ready_head++];
            if (which)
                *which = i;
            return 1;
        }
        if (c->pending_count == 0)
            return 0;
        uint32_t seen = s ? atomic_load(&s->ended) : 0;
        help(c->futures[c->pending[0]]);
        look(c);
        if (c->ready_head < c->ready_tail)
            continue;
        int rc = timeout != 0 ? cw_may_wait("crew_completed_next", NULL) : 0;
        if (rc < 0)
            return rc;
        if (cw_deadline_over(&d) || !s)
            return cw_error_set(NULL, CREW_ETIMEDOUT, 0, "no further future has ended yet");
        sleep_ended(s, seen, &d);
    }
}

void crew_completed_free(crew_completed *c) {
    if (!c)
        return;
    free(c->pending);
    free(c);
}
