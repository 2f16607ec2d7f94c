/* Processes, as whoever starts them sees them. */
#include "api/objects.h"
#include "api/pipe.h"
#include "api/pool_impl.h"
#include "api/process_impl.h"
#include "backend/fork/fork.h"
#include "os/clock.h"
#include "os/descriptor.h"
#include "os/futex.h"
#include "os/output.h"
#include "os/process.h"
#include "share/proc.h"

#include <crew/process.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_DEPTH = 16 }; /* processes of processes of ...: beyond it is a fork bomb */

/* ---- starting ---- */

static int choose_start(struct cw_process_plan *plan, crew_error *err) {
    const struct cw_config *config = &plan->session->config;
    int usual = plan->away ? CREW_START_SERVER : CREW_START_FORK;
    plan->start = config->start ? config->start : plan->opts->start ? plan->opts->start : usual;
    if (plan->start == CREW_START_FORK && config->strict)
        plan->start = CREW_START_SERVER;
    if (plan->start == CREW_START_SPAWN && !plan->away) {
        int rc = cw_session_may_spawn(plan->session, err);
        if (rc < 0)
            return rc;
    }
    if (plan->away && plan->start != CREW_START_SERVER)
        return cw_error_set(err, CREW_ENOTSUP, 0,
                            "a process on another node (%d) begins as crew_init found the program: "
                            "only CREW_START_SERVER is possible there", plan->node);
    return 0;
}

static int check(struct cw_process_plan *plan, crew_error *err) {
    const crew_process_opts *o = plan->opts;
    if (plan->size && !plan->arg)
        return cw_error_set(err, CREW_EINVAL, 0, "the argument is NULL, its size is %zu",
                            plan->size);
    if (o->start < CREW_START_AUTO || o->start > CREW_START_SPAWN)
        return cw_error_set(err, CREW_EINVAL, 0, "start is %d: CREW_START_AUTO to _SPAWN are "
                            "possible", o->start);
    if (o->nconns < 0 || (o->nconns && !o->conns))
        return cw_error_set(err, CREW_EINVAL, 0, "nconns is %d, conns is %p", o->nconns,
                            (const void *)o->conns);
    int rc = cw_conns_check(o->conns, o->nconns, err);
    if (rc < 0)
        return rc;
    if (plan->session->depth >= MAX_DEPTH)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "processes are nested %d deep already, which is the limit", MAX_DEPTH);
    plan->node = o->node ? o->node : plan->session->node;
    plan->away = plan->node != plan->session->node;
    if ((plan->away && (rc = cw_process_home_check(plan, err)) < 0) ||
        (rc = choose_start(plan, err)) < 0)
        return rc;
    const cw_objects *have =
        plan->start == CREW_START_FORK ? NULL : &plan->session->at_init;
    return cw_fn_find((cw_fn *)plan->fn, have, &plan->name, err);
}

static int put_conns(struct cw_share *share, struct cw_proc *proc,
                     const struct cw_process_plan *plan, crew_error *err) {
    const crew_process_opts *o = plan->opts;
    proc->nconns = (uint32_t)o->nconns;
    if (!o->nconns || plan->away)
        return 0;
    size_t bytes = sizeof *o->conns * (size_t)o->nconns;
    cw_off at = cw_alloc(&share->arena, bytes, &proc->conns, err);
    if (at)
        memcpy(cw_ptr(&share->arena, at), o->conns, bytes);
    return at ? 0 : CREW_ENOMEM;
}

/* Of a record that was another process's before: others may be looking at it, who
 * ask for the generation afterwards. */
static void clear(struct cw_proc *proc) {
    atomic_store(&proc->seat.pid, 0);
    atomic_store(&proc->seat.status, 0);
    atomic_store(&proc->seat.sys, 0);
    atomic_store(&proc->seat.step, CW_STEP_SETTLED);
    atomic_store(&proc->seat.farewell, 0);
    atomic_store(&proc->ready, 0);
    atomic_store(&proc->parent, 0);
    atomic_store(&proc->party, 0);
    atomic_store(&proc->ward, 0);
    atomic_store(&proc->maker, 0);
    atomic_store(&proc->birth, 0);
    atomic_store(&proc->arg, 0);
    atomic_store(&proc->conns, 0);
    atomic_store(&proc->noticed, 0);
    atomic_store(&proc->signals, 0);
    proc->daemon = proc->itself = proc->alone = false;
    proc->away = proc->lost = proc->sent = false;
    proc->nconns = 0;
    proc->node = 0;
    proc->post = 0;
    proc->arg_size = proc->from_place = proc->from_check = 0;
}

static int fill(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err) {
    const struct cw_process_plan *plan = arg;
    struct cw_proc *proc = (struct cw_proc *)head;
    clear(proc);
    atomic_store(&proc->seat.state, CW_SEAT_ASKED);
    atomic_store(&proc->parent, share->party);
    proc->daemon = plan->opts->daemon;
    proc->alone = plan->start == CREW_START_FORK;
    proc->away = plan->away;
    proc->post = plan->away ? cw_process_home_post() : 0;
    proc->node = plan->node;
    proc->depth = plan->session->depth;
    proc->cores = plan->session->cores;
    proc->fn = plan->name;
    proc->from_place = plan->parent.place;
    proc->from_check = plan->parent.check;
    if (plan->opts->name)
        snprintf(proc->name, sizeof proc->name, "%s", plan->opts->name);
    else
        snprintf(proc->name, sizeof proc->name, "process-%u", head->number);
    if (put_conns(share, proc, plan, err) < 0)
        return CREW_ENOMEM;
    proc->arg_size = plan->size;
    atomic_store(&proc->maker, plan->self->number + 1);
    atomic_store(&proc->birth,
                 ((uint64_t)atomic_load(&head->generation) + 1) << 2 | CW_BIRTH_ASKED);
    return 0;
}

/* The argument's copy, in the hand's cell: of any size, so while nobody waits. */
static int copy_arg(const struct cw_process_plan *plan, crew_error *err) {
    cw_arena *arena = &plan->self->share->arena;
    cw_off at = 0;
    if (plan->size && !plan->away &&
        !(at = cw_alloc(arena, plan->size, &plan->self->hand->block[0], err)))
        return CREW_ENOMEM;
    if (at)
        memcpy(cw_ptr(arena, at), plan->arg, plan->size);
    return 0;
}

static int make_record(const struct cw_process_plan *plan, crew_process *p, crew_error *err) {
    struct cw_share *share = plan->self->share;
    _Atomic cw_off *block = &plan->self->hand->block[0];
    int rc = cw_object_make(share, CW_PROCESS, fill, (void *)plan, &p->place, &p->check, err);
    if (rc < 0) {
        cw_free_cell(&share->arena, block);
        return rc;
    }
    struct cw_proc *proc = cw_object(share, CW_PROCESS, p->place, p->check);
    atomic_store(&proc->arg, atomic_load(block));
    atomic_store(block, 0);
    return 0;
}

static int bring(const struct cw_process_plan *plan, struct cw_share *share, struct cw_proc *proc,
                 crew_error *err) {
    struct cw_session *s = plan->session;
    if (plan->away)
        return cw_process_home_start(plan, proc, err);
    struct cw_nursery_order order = {.what = plan->start == CREW_START_SPAWN ? CW_NURSE_SPAWN
                                                                             : CW_NURSE_FORK,
                                     .seat = &proc->seat,
                                     .bell = s->bell,
                                     .billet = {.team = cw_share_off(share, proc),
                                                .rank = CW_BILLET_PROCESS},
                                     .segment_fd = s->own.fd,
                                     .root_fd = s->root.fd,
                                     .enter = cw_process_enter,
                                     .ward = &proc->ward,
                                     .birth = &proc->birth,
                                     .number = atomic_load(&proc->head.generation)};
    cw_signals_get(&order.signals);
    /* crew_process_terminate may come before its first instruction. */
    cw_signals_default(&order.signals, SIGTERM);
    if (plan->start == CREW_START_FORK)
        return cw_nursery_single(&order, err);
    cw_output_flush(); /* what was printed before it comes before what it prints */
    return cw_fork_server_ask(&order, err);
}

static void declare_dead(struct cw_share *share, struct cw_head *head) {
    struct cw_proc *proc = (struct cw_proc *)head;
    (void)share;
    if (cw_proc_ended(proc))
        return; /* its ward said so, and ended itself */
    atomic_store(&proc->seat.status, SIGKILL);
    atomic_store(&proc->seat.state, CW_SEAT_ENDED);
    cw_futex_wake(&proc->seat.state, INT_MAX);
}

/* Its ward was killed, which nobody can tell of: the process went with it. */
static void look_for_ward(struct cw_share *share, struct cw_proc *proc, uint64_t check) {
    if (!proc->away && !cw_proc_ended(proc) && cw_process_gone(atomic_load(&proc->ward)) &&
        (!atomic_load(&proc->seat.pid) || cw_process_gone(atomic_load(&proc->seat.pid))))
        cw_object_with(share, CW_PROCESS, cw_proc_place(share, proc), check, declare_dead);
}

/* It has ended, and did not take what it was given. */
static int has_not_taken(const struct cw_proc *proc, crew_error *err) {
    char how[160], host[64];
    if (proc->lost)
        return cw_error_set(err, CREW_EBROKEN, 0, "node %s (%d) was lost before the process had "
                            "taken its ends of pipes",
                            cw_process_home_host(proc->node, host, sizeof host), proc->node);
    cw_failure_of_seat(&proc->seat, atomic_load(&proc->seat.status), how, sizeof how);
    return cw_error_set(err, CREW_EDIED, 0, "the process was %s; it has not taken its ends of "
                        "pipes", how);
}

/* What it was given is its own when crew_process_start returns. (For a node's leader, who
 * starts it for the manager, the manager waits.) */
static int await_conns(struct cw_share *share, struct cw_proc *proc, crew_error *err) {
    while (proc->nconns && !atomic_load(&proc->ready)) {
        if (cw_proc_ended(proc)) /* perhaps it took them, and has done its work */
            return atomic_load(&proc->ready) ? 0 : has_not_taken(proc, err);
        if (!cw_futex_wait(&proc->ready, 0, 0.02))
            look_for_ward(share, proc, cw_proc_check(share, proc));
    }
    return 0;
}

/* It starts, or it is as if it had never been asked for. */
static int start(const struct cw_process_plan *plan, crew_process p, crew_error *err) {
    struct cw_share *share = plan->self->share;
    struct cw_proc *proc = cw_object(share, CW_PROCESS, p.place, p.check);
    int rc = bring(plan, share, proc, err);
    /* If it cannot be called off it goes on all the same: who forked its ward was
     * killed, but only after that. */
    if (rc < 0 && cw_birth_turn(&proc->birth, atomic_load(&proc->head.generation), CW_BIRTH_OFF))
        atomic_store(&proc->seat.state, CW_SEAT_ENDED);
    else if (!plan->waited_for)
        rc = await_conns(share, proc, err);
    if (rc < 0 && (rc != CREW_EDIED || cw_proc_ended(proc)))
        cw_object_end(share, CW_PROCESS, p.place, p.check);
    return rc;
}

int cw_process_begin(struct cw_process_plan *plan, crew_process *p, crew_error *err) {
    int rc = copy_arg(plan, err);
    if (rc == 0 && (rc = make_record(plan, p, err)) == 0)
        rc = start(plan, *p, err);
    return rc;
}

int crew_process_start(crew_process *p, crew_fn *fn, const void *arg, size_t size,
                       const crew_process_opts *opts, crew_error *err) {
    static const crew_process_opts none;
    crew_process made;
    crew_error local, *to = err ? err : &local;
    struct cw_process_plan plan = {.fn = fn, .arg = arg, .size = size, .opts = opts ? opts : &none};
    int rc = p ? 0 : cw_error_set(to, CREW_EINVAL, 0, "the handle to fill is NULL");
    if (rc == 0 && !(plan.session = cw_session_get(to)))
        rc = to->code;
    if (rc == 0 && (rc = cw_session_serve(plan.session, to)) == 0)
        rc = check(&plan, to);
    if (rc == 0 && !(plan.self = cw_self_get()))
        rc = cw_error_copy(to, crew_last_error());
    if (rc == 0)
        plan.parent = crew_self();
    if (rc == 0 && (rc = cw_process_begin(&plan, &made, to)) == 0) {
        *p = made;
        cw_error_clear(to);
    }
    return err ? rc : cw_error_copy(NULL, to);
}

/* ---- one process ---- */

/* NULL: the error is set. */
static struct cw_proc *find(crew_process p, struct cw_self **self) {
    *self = cw_self_get();
    if (!*self)
        return NULL;
    struct cw_proc *proc = cw_object((*self)->share, CW_PROCESS, p.place, p.check);
    if (!proc)
        cw_handle_stale(CW_PROCESS, p.place, p.check);
    return proc;
}

static int last(void) {
    return crew_last_error()->code;
}

static int still_runs(const struct cw_proc *proc, int code) {
    char host[64], where[80] = "";
    if (proc->away)
        snprintf(where, sizeof where, ", node %s",
                 cw_process_home_host(proc->node, host, sizeof host));
    return cw_error_set(NULL, code, 0, "%s (pid %d%s) still runs", proc->name,
                        atomic_load(&proc->seat.pid), where);
}

int crew_process_join(crew_process p, double timeout) {
    struct cw_self *self;
    struct cw_proc *proc = find(p, &self);
    if (!proc)
        return last();
    /* The number of one that has ended may be this one's by now. */
    if (!cw_proc_ended(proc) && !proc->away && atomic_load(&proc->seat.pid) == getpid())
        return cw_error_set(NULL, CREW_EINVAL, 0, "a process cannot wait for its own end");
    struct cw_deadline deadline = cw_deadline_in(timeout);
    while (!cw_proc_ended(proc)) {
        if (cw_deadline_over(&deadline))
            return still_runs(proc, CREW_ETIMEDOUT);
        uint32_t state = atomic_load(&proc->seat.state);
        double slice = cw_deadline_slice(&deadline);
        if (state != CW_SEAT_ENDED &&
            !cw_futex_wait(&proc->seat.state, state, slice < 0 || slice > 0.5 ? 0.5 : slice))
            look_for_ward(self->share, proc, p.check);
        if (!cw_object_same(&proc->head, p.check))
            return cw_handle_stale(CW_PROCESS, p.place, p.check);
    }
    return cw_error_clear(NULL);
}

int crew_process_exitcode(crew_process p, int *code) {
    struct cw_self *self;
    struct cw_proc *proc = find(p, &self);
    if (!proc)
        return last();
    if (!code)
        return cw_error_set(NULL, CREW_EINVAL, 0, "code is NULL");
    if (!cw_proc_ended(proc))
        return still_runs(proc, CREW_EAGAIN);
    int status = atomic_load(&proc->seat.status);
    if (atomic_load(&proc->seat.step) != CW_STEP_SETTLED && !WIFSIGNALED(status)) {
        char how[160];
        cw_failure_of_seat(&proc->seat, status, how, sizeof how);
        return cw_error_set(NULL, CREW_EBROKEN, 0, "%s was %s", proc->name, how);
    }
    *code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    return cw_error_clear(NULL);
}

/* Anything but 0 as an error. */
static int judge(crew_process p, int code) {
    struct cw_self *self;
    const struct cw_proc *proc = find(p, &self);
    if (!proc || code == 0)
        return proc ? cw_error_clear(NULL) : last();
    const char *name = proc->name;
    crew_error *err = cw_error_last();
    char how[128], host[64];
    if (code > 0) {
        cw_error_set(err, CREW_EFAILED, 0, "%s ended with exit code %d", name, code);
        err->task_code = code;
    } else if (proc->lost) {
        cw_error_set(err, CREW_EDIED, 0, "%s was lost with its node, %s", name,
                     cw_process_home_host(proc->node, host, sizeof host));
        err->signal = -code;
    } else {
        cw_process_describe_status(-code, how, sizeof how);
        cw_error_set(err, CREW_EDIED, 0, "%s was %s", name, how);
        err->signal = -code;
    }
    return err->code;
}

int crew_process_wait(crew_process p, double timeout, int *code) {
    int mine, rc = crew_process_join(p, timeout);
    if (rc < 0 || (rc = crew_process_exitcode(p, code ? code : &mine)) < 0)
        return rc;
    return code ? 0 : judge(p, mine);
}

int crew_process_alive(crew_process p) {
    struct cw_self *self;
    struct cw_proc *proc = find(p, &self);
    if (!proc)
        return last();
    look_for_ward(self->share, proc, p.check);
    cw_error_clear(NULL);
    return !cw_proc_ended(proc);
}

static bool over(const struct cw_proc *proc, uint64_t check) {
    return cw_proc_ended(proc) || !cw_object_same(&proc->head, check);
}

/* The number of a process that has ended may be another's, and the record that of
 * another process: a descriptor, opened while the record says that this one lives, is
 * neither. -1: it has ended, or errno says why there is none. */
static int descriptor_of(struct cw_share *share, struct cw_proc *proc, uint64_t check) {
    while (atomic_load(&proc->seat.state) == CW_SEAT_ASKED && !over(proc, check)) {
        cw_futex_wait(&proc->seat.state, CW_SEAT_ASKED, 0.001);
        look_for_ward(share, proc, check);
    }
    if (over(proc, check))
        return -1;
    int fd = cw_descriptor_above_standard(cw_process_descriptor(atomic_load(&proc->seat.pid)));
    if (fd >= 0 && over(proc, check)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int signal_it(crew_process p, int signal) {
    struct cw_self *self;
    struct cw_proc *proc = find(p, &self);
    if (!proc)
        return last();
    if (proc->away) {
        if (!over(proc, p.check))
            cw_process_home_signal(self->share, proc, signal);
        return cw_error_clear(NULL);
    }
    int fd = descriptor_of(self->share, proc, p.check);
    if (fd >= 0 || !over(proc, p.check)) {
        /* Where there are no descriptors left, by its number. */
        long rc = fd >= 0 ? syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0)
                          : kill(atomic_load(&proc->seat.pid), signal);
        int sys = errno;
        if (fd >= 0)
            close(fd);
        if (rc != 0 && sys != ESRCH)
            return cw_error_set(NULL, CREW_EPERM, sys, "%s could not be sent signal %d",
                                proc->name, signal);
    }
    return cw_error_clear(NULL);
}

int crew_process_terminate(crew_process p) {
    return signal_it(p, SIGTERM);
}

int crew_process_kill(crew_process p) {
    return signal_it(p, SIGKILL);
}

int crew_process_pid(crew_process p) {
    struct cw_self *self;
    struct cw_proc *proc = find(p, &self);
    if (!proc)
        return last();
    while (!atomic_load(&proc->seat.pid) && !over(proc, p.check)) {
        cw_futex_wait(&proc->seat.state, CW_SEAT_ASKED, 0.001);
        look_for_ward(self->share, proc, p.check);
    }
    cw_error_clear(NULL);
    return atomic_load(&proc->seat.pid);
}

int crew_process_fd(crew_process p) {
    struct cw_self *self;
    struct cw_proc *proc = find(p, &self);
    if (!proc)
        return last();
    int fd = proc->away ? cw_process_home_watch(proc)
                        : descriptor_of(self->share, proc, p.check);
    if (fd < 0 && proc->away && errno == ENOTSUP)
        return cw_error_set(NULL, CREW_ENOTSUP, 0, "%s runs on another node (%d): of its end the "
                            "program itself alone can have a descriptor", proc->name, proc->node);
    if (fd < 0 && over(proc, p.check)) /* readable at once */
        fd = cw_descriptor_above_standard(eventfd(1, EFD_CLOEXEC));
    if (fd < 0)
        return cw_error_set(NULL, CREW_EAGAIN, errno, "no descriptor for %s", proc->name);
    cw_error_clear(NULL);
    return fd;
}

const char *crew_process_name(crew_process p) {
    struct cw_self *self;
    struct cw_proc *proc = find(p, &self);
    if (proc)
        cw_error_clear(NULL);
    return proc ? proc->name : NULL;
}

static bool is_child(const struct cw_share *share, const struct cw_proc *proc) {
    return cw_head_live(&proc->head) && atomic_load(&proc->parent) == share->party;
}

int crew_process_close(crew_process p) {
    struct cw_self *self;
    struct cw_proc *proc = find(p, &self);
    if (!proc)
        return last();
    look_for_ward(self->share, proc, p.check);
    if (!cw_proc_ended(proc))
        return cw_error_set(NULL, CREW_EAGAIN, 0,
                            proc->itself ? "%s is this very process (pid %d)"
                                         : "%s (pid %d) still runs: join it first",
                            proc->name, atomic_load(&proc->seat.pid));
    if (proc->alone && is_child(self->share, proc))
        cw_nursery_bury(atomic_load(&proc->ward));
    return cw_handle_end(CW_PROCESS, p.place, p.check);
}

/* ---- all of them ---- */

static int fill_self(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err) {
    struct cw_proc *proc = (struct cw_proc *)head;
    const struct cw_session *s = arg;
    (void)err;
    clear(proc);
    atomic_store(&proc->seat.state, CW_SEAT_ALIVE);
    atomic_store(&proc->seat.pid, getpid());
    atomic_store(&proc->party, share->party);
    proc->itself = true;
    snprintf(proc->name, sizeof proc->name, s->depth ? "worker-%d" : "main", getpid());
    return 0;
}

static struct cw_proc *proc_of(const struct cw_share *share, crew_process p) {
    return cw_object(share, CW_PROCESS, p.place, p.check);
}

crew_process crew_self(void) {
    crew_process p = {0};
    struct cw_self *self = cw_self_get();
    struct cw_session *s = self ? cw_session_self() : NULL;
    if (!s)
        return p;
    /* Without a lock: another thread may fork a process at any moment. */
    struct cw_proc *own = atomic_load(&s->self);
    if (!own && cw_object_make(self->share, CW_PROCESS, fill_self, s, &p.place, &p.check,
                               cw_error_last()) < 0)
        return (crew_process){0};
    if (!own && !atomic_compare_exchange_strong(&s->self, &own, proc_of(self->share, p)))
        cw_object_end(self->share, CW_PROCESS, p.place, p.check); /* a thread was faster */
    if (own)
        p = (crew_process){cw_proc_place(self->share, own), cw_proc_check(self->share, own)};
    cw_error_clear(NULL);
    return p;
}

crew_process crew_parent(void) {
    crew_process none = {0};
    if (!crew_self().place)
        return none;
    const struct cw_proc *proc = atomic_load(&cw_session_self()->self);
    return proc->itself ? none : (crew_process){proc->from_place, proc->from_check};
}

int crew_children(crew_process *children, int cap) {
    struct cw_self *self = cw_self_get();
    if (!self)
        return last();
    if (cap < 0 || (cap && !children))
        return cw_error_set(NULL, CREW_EINVAL, 0, "cap is %d, children is %p", cap,
                            (void *)children);
    int n = 0;
    for (uint32_t i = 0, all = cw_cells(self->share, CW_PROCESS); i < all; i++) {
        const struct cw_proc *proc = cw_proc_at(self->share, i);
        if (!is_child(self->share, proc) || cw_proc_ended(proc))
            continue;
        if (n < cap)
            children[n] = (crew_process){cw_proc_place(self->share, proc),
                                         cw_proc_check(self->share, proc)};
        n++;
    }
    cw_error_clear(NULL);
    return n;
}

/* Nobody but the process itself has read these. */
static void free_what_it_was_given(struct cw_share *share, struct cw_head *head) {
    struct cw_proc *proc = (struct cw_proc *)head;
    cw_free_cell(&share->arena, &proc->arg);
    cw_free_cell(&share->arena, &proc->conns);
    atomic_store(&proc->noticed, 1);
}

void cw_processes_tend(void) {
    struct cw_share *share = cw_share_here();
    for (uint32_t i = 0, all = share ? cw_cells(share, CW_PROCESS) : 0; i < all; i++) {
        struct cw_proc *proc = cw_proc_at(share, i);
        /* First: what follows is about this one, who may be closed meanwhile. */
        uint64_t check = cw_proc_check(share, proc);
        if (!is_child(share, proc) || atomic_load(&proc->noticed))
            continue;
        look_for_ward(share, proc, check);
        if (cw_proc_ended(proc))
            cw_object_with(share, CW_PROCESS, cw_proc_place(share, proc), check,
                           free_what_it_was_given);
    }
}

/* How long daemons have to answer SIGTERM, all of them together. */
static const double GRACE = 1.0;

void cw_processes_finish(void) {
    struct cw_share *share = cw_share_here();
    if (!share || !share->party)
        return;
    struct cw_deadline grace = cw_deadline_in(GRACE);
    for (int round = 0; round < 3; round++)
        for (uint32_t i = 0, all = cw_cells(share, CW_PROCESS); i < all; i++) {
            struct cw_proc *proc = cw_proc_at(share, i);
            if (!is_child(share, proc))
                continue;
            crew_process p = {cw_proc_place(share, proc), cw_proc_check(share, proc)};
            if (round == 0 && proc->daemon)
                crew_process_terminate(p);
            cw_deadline_over(&grace);
            if (round == 1 && proc->daemon &&
                crew_process_join(p, cw_deadline_slice(&grace)) == CREW_ETIMEDOUT)
                crew_process_kill(p);
            if (round == 2) {
                crew_process_join(p, CREW_FOREVER);
                crew_process_close(p);
            }
        }
}
