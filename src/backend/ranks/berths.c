/* The leader's view of its berths: who is there, orders, the end. */
#include "backend/ranks/berths.h"

#include "backend/fork/fork.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/descriptor.h"
#include "os/futex.h"
#include "os/process.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAGIC = 0x71756179 };

_Static_assert(sizeof(struct cw_berth_order) == 40, "programs that share a quay are alike");
_Static_assert(offsetof(struct cw_berth, wake) % 64 == 0, "the futex lies alone");
_Static_assert(offsetof(struct cw_berth, tail) % 64 == 0, "and so do both ends of the ring");
_Static_assert(offsetof(struct cw_berth, head) % 64 == 0, "and so do both ends of the ring");
_Static_assert(sizeof(struct cw_berth) % 64 == 0 && sizeof(struct cw_quay) % 64 == 0, "layout");

/* A process, as somebody who is not its parent sees it. */
struct other {
    pid_t pid; /* 0: not known yet */
    int fd;    /* readable once it has ended; -1: there is none, so the number must do */
};

/* What the leader alone knows of a berth. */
struct side {
    pthread_mutex_t lock; /* guards the others, and the ring's producing end */
    struct other rank, nursery;
    bool lost;
};

struct cw_berths {
    const char *base; /* of the segment */
    struct cw_quay *quay;
    struct cw_berth_card card;
    struct cw_nursery *nursery; /* NULL: the session's */
    int count;
    struct side side[];
};

/* ---- processes ---- */

static struct other meet(pid_t pid) {
    return (struct other){.pid = pid,
                          .fd = cw_descriptor_above_standard(cw_process_descriptor(pid))};
}

/* A zombie is gone; by its number alone it is not. */
static bool is_gone(const struct other *o) {
    struct pollfd end = {.fd = o->fd, .events = POLLIN};
    if (o->pid <= 0)
        return false;
    return o->fd >= 0 ? poll(&end, 1, 0) > 0 : kill(o->pid, 0) != 0 && errno == ESRCH;
}

static void part(struct other *o) {
    if (o->fd >= 0)
        close(o->fd);
    *o = (struct other){.fd = -1};
}

/* ---- making ---- */

size_t cw_quay_bytes(int count) {
    return sizeof(struct cw_quay) + (size_t)count * sizeof(struct cw_berth);
}

struct cw_berths *cw_berths_make(const cw_segment *own, uint64_t at, const struct cw_bell *bell,
                                 int count, const cw_cpuset *mask, crew_error *err) {
    struct cw_berths *b = calloc(1, sizeof *b + (size_t)count * sizeof b->side[0]);
    if (!b) {
        cw_error_set(err, CREW_ENOMEM, 0, "no memory for the %d ranks of this node", count);
        return NULL;
    }
    b->base = own->base;
    b->quay = (struct cw_quay *)(void *)(own->base + at);
    b->count = count;
    b->card = (struct cw_berth_card){.pid = getpid(),
                                     .fd = own->fd,
                                     .device = own->id.device,
                                     .inode = own->id.inode,
                                     .at = at};
    for (int i = 0; i < count; i++) {
        pthread_mutex_init(&b->side[i].lock, NULL);
        b->side[i].rank.fd = b->side[i].nursery.fd = -1;
        b->quay->berth[i].mask = *mask;
    }
    b->quay->count = (uint32_t)count;
    b->quay->bell = (uint64_t)((const char *)bell - own->base);
    b->quay->magic = MAGIC;
    atomic_store(&b->quay->berth[0].pid, b->card.pid);
    atomic_store(&b->quay->berth[0].state, CW_BERTH_SERVING);
    return b;
}

void cw_berths_nursery(struct cw_berths *b, struct cw_nursery *nursery) {
    b->nursery = nursery;
}

struct cw_nursery *cw_berths_own(struct cw_berths *b) {
    return b->nursery ? b->nursery : cw_fork_server();
}

int cw_berths_own_there(struct cw_berths *b, crew_error *why) {
    return b->nursery ? 0 : cw_fork_server_there(why);
}

struct cw_berth_card cw_berths_card(const struct cw_berths *b) {
    return b->card;
}

bool cw_quay_is(const struct cw_quay *quay, int mine) {
    return quay->magic == MAGIC && mine > 0 && (uint32_t)mine < quay->count;
}

void cw_berths_expect(struct cw_berths *b, const int32_t *pids) {
    for (int i = 1; i < b->count; i++) {
        struct side *s = &b->side[i];
        pthread_mutex_lock(&s->lock);
        if (!s->rank.pid)
            s->rank = meet(pids[i]);
        pthread_mutex_unlock(&s->lock);
    }
}

int cw_berths_count(const struct cw_berths *b) {
    return b->count;
}

void cw_berths_masks(const struct cw_berths *b, cw_cpuset *masks) {
    for (int i = 0; i < b->count; i++) {
        const struct cw_berth *berth = &b->quay->berth[i];
        /* Pairs with the release in cw_berth_serve. */
        bool came = atomic_load_explicit(&berth->state, memory_order_acquire) != CW_BERTH_EMPTY;
        masks[i] = came ? berth->mask : b->quay->berth[0].mask;
    }
}

/* ---- who is there ---- */

static uint32_t state_of(const struct cw_berths *b, int i) {
    return atomic_load_explicit(&b->quay->berth[i].state, memory_order_acquire);
}

/* A nursery ends by itself, its workers first, when its rank has ended. Until it has,
 * it may write to their seats. */
static void see_off(struct other *nursery) {
    if (nursery->pid <= 0)
        return;
    cw_process_await_gone(&nursery->pid, 1, 0.5);
    if (is_gone(nursery))
        return;
    kill(nursery->pid, SIGKILL);
    cw_process_await_gone(&nursery->pid, 1, 0.5);
}

static bool look(struct cw_berths *b, int i) {
    struct side *s = &b->side[i];
    struct cw_berth *berth = &b->quay->berth[i];
    crew_error ignored;
    if (i == 0)
        return cw_berths_own_there(b, &ignored) < 0 || cw_nursery_lost(cw_berths_own(b), &ignored);
    if (!s->nursery.pid && atomic_load(&berth->nursery))
        s->nursery = meet(atomic_load(&berth->nursery));
    bool gone = is_gone(&s->rank);
    if (gone)
        see_off(&s->nursery);
    return gone || state_of(b, i) >= CW_BERTH_LOST || is_gone(&s->nursery);
}

bool cw_berth_lost(struct cw_berths *b, int i) {
    struct side *s = &b->side[i];
    pthread_mutex_lock(&s->lock);
    s->lost = s->lost || look(b, i);
    bool lost = s->lost;
    pthread_mutex_unlock(&s->lock);
    return lost;
}

void cw_berth_why(struct cw_berths *b, int i, crew_error *err) {
    struct side *s = &b->side[i];
    pthread_mutex_lock(&s->lock);
    if (i == 0 && cw_berths_own_there(b, err) == 0)
        cw_nursery_lost(cw_berths_own(b), err);
    else if (i > 0 && is_gone(&s->rank))
        cw_error_set(err, CREW_EBROKEN, 0, "rank %d of this node (pid %d) has ended", i,
                     (int)s->rank.pid);
    else if (i > 0)
        cw_error_set(err, CREW_EBROKEN, 0,
                     "the process that forks the workers of rank %d of this node (pid %d) has "
                     "ended",
                     i, (int)s->nursery.pid);
    pthread_mutex_unlock(&s->lock);
}

int cw_berths_left(struct cw_berths *b) {
    int left = 0;
    for (int i = 0; i < b->count; i++)
        left += !cw_berth_lost(b, i);
    return left;
}

bool cw_berths_whole(struct cw_berths *b) {
    bool whole = true;
    for (int i = 1; i < b->count; i++) {
        struct side *s = &b->side[i];
        pthread_mutex_lock(&s->lock);
        whole = whole && !is_gone(&s->rank);
        pthread_mutex_unlock(&s->lock);
    }
    return whole;
}

/* Sleeps until the berth's state is another than `seen`, or a little. */
static void await_state(struct cw_berths *b, int i, uint32_t seen) {
    cw_futex_wait(&b->quay->berth[i].state, seen, 0.02);
}

int cw_berths_await(struct cw_berths *b, double seconds, crew_error *err) {
    struct cw_deadline deadline = cw_deadline_in(seconds);
    for (int i = 1; i < b->count; i++) {
        while (state_of(b, i) != CW_BERTH_SERVING) {
            if (cw_berth_lost(b, i))
                return cw_error_set(err, CREW_EBROKEN, 0,
                                    "rank %d of this node (pid %d) ended before it could have "
                                    "workers",
                                    i, (int)b->side[i].rank.pid);
            if (cw_deadline_over(&deadline))
                return cw_error_set(err, CREW_EBROKEN, 0,
                                    "rank %d of this node (pid %d) has not come within %g s", i,
                                    (int)b->side[i].rank.pid, seconds);
            await_state(b, i, CW_BERTH_EMPTY);
        }
    }
    return 0;
}

/* ---- orders ---- */

static void wake(struct cw_berth *berth) {
    atomic_fetch_add(&berth->wake, 1);
    cw_futex_wake(&berth->wake, 1);
}

bool cw_berth_put(struct cw_berths *b, int i, const struct cw_berth_order *order) {
    struct side *s = &b->side[i];
    struct cw_berth *berth = &b->quay->berth[i];
    pthread_mutex_lock(&s->lock);
    uint32_t head = atomic_load_explicit(&berth->head, memory_order_relaxed);
    bool room = head - atomic_load(&berth->tail) < CW_BERTH_ORDERS;
    if (!room) {
        /* Pairs with the exchange of `full` in the follower, which comes behind its store
         * of `tail`: one of the two sees the other. */
        atomic_store(&berth->full, 1);
        room = head - atomic_load(&berth->tail) < CW_BERTH_ORDERS;
    }
    if (room) {
        berth->order[head % CW_BERTH_ORDERS] = *order;
        /* Pairs with the acquire in the follower: the order. */
        atomic_store_explicit(&berth->head, head + 1, memory_order_release);
    }
    pthread_mutex_unlock(&s->lock);
    if (room)
        wake(berth);
    return room;
}

/* ---- the end ---- */

static bool has_left(struct cw_berths *b, int i) {
    return state_of(b, i) == CW_BERTH_LEFT || (cw_berth_lost(b, i) && is_gone(&b->side[i].rank));
}

bool cw_berths_quit(struct cw_berths *b, int status, double seconds) {
    struct cw_deadline deadline = cw_deadline_in(seconds);
    atomic_store_explicit(&b->quay->status, status, memory_order_relaxed);
    /* Pairs with the acquire in the follower: the status. */
    atomic_store_explicit(&b->quay->quit, 1, memory_order_release);
    for (int i = 1; i < b->count; i++)
        wake(&b->quay->berth[i]);
    for (int i = 1; i < b->count; i++) {
        uint32_t seen;
        while (seen = state_of(b, i), !has_left(b, i)) {
            if (cw_deadline_over(&deadline))
                return false;
            await_state(b, i, seen);
        }
    }
    return true;
}

void cw_berths_stop_on(struct cw_berths *b, uint64_t signals) {
    atomic_fetch_or(&b->quay->stop_on, signals);
    for (int i = 1; i < b->count; i++)
        wake(&b->quay->berth[i]);
}

int cw_berths_stopped(struct cw_berths *b) {
    return atomic_load(&b->quay->stopped) ? atomic_exchange(&b->quay->stopped, 0) : 0;
}

void cw_berths_free(struct cw_berths *b) {
    if (!b)
        return;
    for (int i = 0; i < b->count; i++) {
        part(&b->side[i].rank);
        part(&b->side[i].nursery);
        pthread_mutex_destroy(&b->side[i].lock);
    }
    free(b);
}
