/* Processes on other nodes, at home: what the agent sends and hears about them. */
#include "api/launch.h"
#include "api/objects.h"
#include "api/process_impl.h"
#include "os/descriptor.h"
#include "os/futex.h"

#include <crew/channel.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* One that is to be sent for. */
struct departure {
    struct departure *next;
    int node;
    crew_process p;
    struct cw_parcel parcel;
};

/* Somebody polls for its end: a pipe, of which this end says so. */
struct watch {
    struct watch *next;
    crew_process p;
    int fd;
    struct cw_descriptor_id id;
};

/* Owner: this process's manager. Lock order: innermost. */
static struct {
    struct cw_agent *agent;
    cw_off post; /* struct cw_proc_post */
    pthread_mutex_t lock; /* guards what follows */
    struct departure *first, **last;
    struct watch *watches;
} away = {.lock = PTHREAD_MUTEX_INITIALIZER, .last = &away.first};

int cw_process_home_begin(struct cw_session *s, struct cw_agent *agent, cw_off word,
                          crew_error *err) {
    static uint64_t made; /* the inode of the segment that it is in: of an earlier job, perhaps */
    if (!away.post || made != s->own.id.inode)
        away.post = cw_alloc_zero(&s->arena, sizeof(struct cw_proc_post), NULL, err);
    if (!away.post)
        return err->code;
    made = s->own.id.inode;
    ((struct cw_proc_post *)cw_ptr(&s->arena, away.post))->word = word;
    away.agent = agent;
    return 0;
}

const char *cw_process_home_host(int node, char *buf, size_t cap) {
    if (cw_launch_here() && away.agent)
        snprintf(buf, cap, "%s", away.agent->nodes[node].host);
    else
        snprintf(buf, cap, "%d", node);
    return buf;
}

cw_off cw_process_home_post(void) {
    return away.post;
}

/* ---- starting ---- */

int cw_process_home_check(const struct cw_process_plan *plan, crew_error *err) {
    const crew_process_opts *o = plan->opts;
    const struct cw_launch *launch = cw_launch_here();
    /* Without isolation a rank that is not the manager's may be a worker, too. */
    if (plan->session->depth || (!launch && cw_launch_mpi()))
        return cw_error_set(err, CREW_ENOTSUP, 0,
                            "node is %d: a worker or process starts others on its own node, %d; "
                            "the program itself does on others", o->node, plan->session->node);
    int nodes = launch && away.agent ? away.agent->place.nodes : 1;
    if (nodes == 1)
        return cw_error_set(err, CREW_ENOTSUP, 0, "node is %d: this program runs on one node, 0",
                            o->node);
    if (o->node < 0 || o->node >= nodes)
        return cw_error_set(err, CREW_EINVAL, 0, "node is %d: this program runs on nodes 0 to %d",
                            o->node, nodes - 1);
    if (away.agent->nodes[o->node].lost)
        return cw_error_set(err, CREW_EBROKEN, 0, "node %s (%d) was lost",
                            away.agent->nodes[o->node].host, o->node);
    return 0;
}

int cw_process_home_start(const struct cw_process_plan *plan, struct cw_proc *proc,
                          crew_error *err) {
    struct cw_share *share = cw_share_here();
    struct departure *d = calloc(1, sizeof *d);
    struct cw_process_errand errand = {.fn = plan->name,
                                       .from_place = plan->parent.place,
                                       .from_check = plan->parent.check,
                                       .size = plan->size,
                                       .conns = (uint64_t)plan->opts->nconns};
    if (d) {
        d->node = plan->node;
        d->p = (crew_process){cw_proc_place(share, proc), cw_proc_check(share, proc)};
        snprintf(errand.name, sizeof errand.name, "%s", proc->name);
        cw_parcel_begin(&d->parcel, &(struct cw_letter){.word = CW_W_START,
                                                        .lo = (int64_t)d->p.place,
                                                        .hi = (int64_t)d->p.check});
        cw_parcel_put(&d->parcel, &errand, sizeof errand);
        cw_parcel_put(&d->parcel, plan->arg, plan->size);
        cw_parcel_put(&d->parcel, plan->opts->conns, errand.conns * sizeof *plan->opts->conns);
    }
    if (!d || d->parcel.failed) {
        if (d)
            cw_parcel_drop(&d->parcel);
        free(d);
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory to send a process its argument of %zu "
                            "bytes", plan->size);
    }
    pthread_mutex_lock(&away.lock);
    *away.last = d;
    away.last = &d->next;
    pthread_mutex_unlock(&away.lock);
    cw_agent_wake(away.agent);
    return 0;
}

/* ---- signals ---- */

void cw_process_home_signal(struct cw_share *share, struct cw_proc *proc, int signal) {
    struct cw_proc_post *post = cw_ptr(&share->arena, proc->post);
    _Atomic uint32_t *word = cw_ptr(&share->arena, post->word);
    atomic_fetch_or(&proc->signals, signal == SIGTERM ? CW_PROC_TERM : CW_PROC_KILL);
    /* Pairs with the exchange in cw_process_home_work: the signal. */
    atomic_store(&post->news, 1);
    atomic_store(word, 0);
    cw_futex_wake(word, INT_MAX);
}

static void send_signal(const struct cw_share *share, const struct cw_proc *proc, int signal) {
    cw_agent_say(away.agent, proc->node,
                 &(struct cw_letter){.word = CW_W_SIGNAL,
                                     .code = signal,
                                     .lo = (int64_t)cw_proc_place(share, proc),
                                     .hi = (int64_t)cw_proc_check(share, proc)});
}

static void send_signals(struct cw_share *share) {
    for (uint32_t i = 0, all = cw_cells(share, CW_PROCESS); i < all; i++) {
        struct cw_proc *proc = cw_proc_at(share, i);
        if (!cw_head_live(&proc->head) || !proc->away || !proc->sent || cw_proc_ended(proc))
            continue;
        uint32_t signals = atomic_exchange(&proc->signals, 0);
        if (signals & CW_PROC_TERM)
            send_signal(share, proc, SIGTERM);
        if (signals & CW_PROC_KILL)
            send_signal(share, proc, SIGKILL);
    }
}

/* ---- ends ---- */

static void tell(struct watch *w) {
    /* The program may have closed it; SIGPIPE is blocked here. */
    if (cw_descriptor_is(w->fd, w->id)) {
        ssize_t n = write(w->fd, "", 1);
        (void)n;
        close(w->fd);
    }
    free(w);
}

/* With the lock: those that nobody can poll any more. */
static void forget_closed(crew_process p) {
    for (struct watch **at = &away.watches; *at;) {
        struct watch *w = *at;
        struct pollfd reader = {.fd = w->fd};
        if (w->p.place != p.place || w->p.check != p.check ||
            (cw_descriptor_is(w->fd, w->id) && poll(&reader, 1, 0) == 0)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        if (cw_descriptor_is(w->fd, w->id))
            close(w->fd);
        free(w);
    }
}

static void tell_watches(crew_process p) {
    pthread_mutex_lock(&away.lock);
    for (struct watch **at = &away.watches; *at;) {
        struct watch *w = *at;
        if (w->p.place != p.place || w->p.check != p.check) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        tell(w);
    }
    pthread_mutex_unlock(&away.lock);
}

static int ended_already(void) {
    return cw_descriptor_above_standard(eventfd(1, EFD_CLOEXEC));
}

int cw_process_home_watch(struct cw_proc *proc) {
    const struct cw_share *share = cw_share_here();
    int ends[2];
    if (!cw_launch_here()) {
        errno = ENOTSUP;
        return -1;
    }
    struct watch *w = calloc(1, sizeof *w);
    if (!w || pipe2(ends, O_CLOEXEC) != 0) {
        free(w);
        return -1;
    }
    ends[0] = cw_descriptor_above_standard(ends[0]);
    w->fd = cw_descriptor_above_standard(ends[1]);
    w->id = cw_descriptor_identify(w->fd);
    w->p = (crew_process){cw_proc_place(share, proc), cw_proc_check(share, proc)};
    pthread_mutex_lock(&away.lock);
    forget_closed(w->p);
    /* Its end is told with the lock, after it shows here. */
    bool over = cw_proc_ended(proc);
    if (!over) {
        w->next = away.watches;
        away.watches = w;
    }
    pthread_mutex_unlock(&away.lock);
    if (over) {
        close(ends[0]);
        close(w->fd);
        free(w);
        return ended_already();
    }
    return ends[0];
}

static struct cw_proc *of(struct cw_share *share, crew_process p) {
    struct cw_proc *proc = share ? cw_object(share, CW_PROCESS, p.place, p.check) : NULL;
    return proc && proc->away && !cw_proc_ended(proc) ? proc : NULL;
}

/* The agent alone ends these, and a record is not used again before it has. */
static void finish(struct cw_proc *proc, crew_process p, const struct cw_process_end *end,
                   bool lost) {
    proc->lost = lost;
    atomic_store(&proc->seat.sys, end->sys);
    atomic_store(&proc->seat.step, end->step);
    atomic_store(&proc->seat.status, end->status);
    atomic_store_explicit(&proc->seat.state, CW_SEAT_ENDED, memory_order_release);
    cw_futex_wake(&proc->seat.state, INT_MAX);
    tell_watches(p);
}

static const struct cw_process_end with_node = {.status = SIGKILL, .step = CW_STEP_SETTLED};

void cw_process_home_lost(int node) {
    struct cw_share *share = cw_share_here();
    for (uint32_t i = 0, all = share ? cw_cells(share, CW_PROCESS) : 0; i < all; i++) {
        struct cw_proc *proc = cw_proc_at(share, i);
        if (!cw_head_live(&proc->head) || !proc->away || proc->node != node || cw_proc_ended(proc))
            continue;
        finish(proc, (crew_process){cw_proc_place(share, proc), cw_proc_check(share, proc)},
               &with_node, true);
    }
}

/* ---- the agent ---- */

static void send_for(struct departure *d) {
    struct cw_proc *proc = of(cw_share_here(), d->p);
    bool sent = cw_agent_send(away.agent, d->node, &d->parcel);
    if (proc && sent)
        proc->sent = true;
    else if (proc)
        finish(proc, d->p, &with_node, true);
}

static bool depart(void) {
    pthread_mutex_lock(&away.lock);
    struct departure *d = away.first;
    away.first = NULL;
    away.last = &away.first;
    pthread_mutex_unlock(&away.lock);
    bool any = d != NULL;
    while (d) {
        struct departure *next = d->next;
        send_for(d);
        free(d);
        d = next;
    }
    return any;
}

bool cw_process_home_work(void) {
    struct cw_share *share = cw_share_here();
    struct cw_proc_post *post = share ? cw_ptr(&share->arena, away.post) : NULL;
    bool any = depart();
    bool news = post && atomic_load_explicit(&post->news, memory_order_relaxed) &&
                atomic_exchange(&post->news, 0);
    /* Who found its record among the children may have sent one before it was sent for. */
    if (share && (any || news))
        send_signals(share);
    return any || news;
}

void cw_process_home_letter(int node, const struct cw_letter *letter, struct cw_reader *rest) {
    const crew_process p = {(uint64_t)letter->lo, (uint64_t)letter->hi};
    struct cw_proc *proc = of(cw_share_here(), p);
    struct cw_process_end end;
    if (!proc || proc->node != node)
        return;
    if (letter->word == CW_W_STARTED) {
        atomic_store(&proc->seat.pid, letter->code);
        atomic_store(&proc->seat.state, CW_SEAT_ALIVE);
        cw_futex_wake(&proc->seat.state, INT_MAX);
    } else if (letter->word == CW_W_TAKEN) {
        atomic_store(&proc->ready, 1);
        cw_futex_wake(&proc->ready, INT_MAX);
    } else if (cw_read_into(rest, &end, sizeof end)) {
        finish(proc, p, &end, false);
    }
}
