/* The nursery itself: a loop over its socket, its children, and its manager's life. */
#include "backend/fork/nursery.h"
#include "backend/fork/spawn.h"
#include "os/clock.h"
#include "os/descriptor.h"
#include "os/output.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char NAME[] = "crew-nursery";

/* Owner: the nursery's only thread. */
struct child {
    pid_t pid; /* 0: none */
    struct cw_seat *seat;
    struct cw_bell *bell;
};
struct ward {
    pid_t pid;
    int socket, signals, manager; /* descriptors */
    int leader;                   /* the same of another process, whose boards it serves; or -1 */
    struct child *children;
    int count, room;
};

static struct child *room_for_child(struct ward *w) {
    for (int i = 0; i < w->count; i++)
        if (w->children[i].pid == 0)
            return &w->children[i];
    if (w->count == w->room) {
        int room = w->room ? 2 * w->room : 64;
        struct child *more = realloc(w->children, (size_t)room * sizeof *more);
        if (!more)
            return NULL;
        w->children = more;
        w->room = room;
    }
    w->children[w->count] = (struct child){.pid = 0};
    return &w->children[w->count++];
}

/* ---- births ---- */

/* What a child was about when it could not go on: the manager makes a sentence of
 * it. */
static void note(struct cw_seat *seat, enum cw_step step, int sys) {
    atomic_store_explicit(&seat->sys, sys, memory_order_relaxed);
    atomic_store_explicit(&seat->step, step, memory_order_relaxed);
}

static _Noreturn void become_child(struct ward *w, const struct cw_nursery_order *order) {
    struct cw_seat *seat = order->seat;
    if (w->socket >= 0)
        close(w->socket);
    close(w->signals);
    if (w->manager >= 0)
        close(w->manager);
    if (w->leader >= 0)
        close(w->leader);
    /* Nothing is said to the seat: without a nursery it may be another's by now. */
    if (!cw_process_die_with(w->pid))
        _exit(CW_EXIT_SETUP);
    atomic_store_explicit(&seat->pid, getpid(), memory_order_relaxed);
    if (order->what == CW_NURSE_SPAWN) {
        cw_signals_for_exec(&order->signals);
        note(seat, CW_STEP_MAIN, 0);
        note(seat, CW_STEP_EXEC, cw_spawn_exec(order, w->pid));
    } else {
        cw_signals_follow(&order->signals);
        order->enter(&order->billet);
    }
    _exit(CW_EXIT_SETUP);
}

/* Nobody has called it off: the seat may be written to. */
static bool begin(const struct cw_nursery_order *order) {
    return !order->birth || cw_birth_turn(order->birth, order->number, CW_BIRTH_BEGUN);
}

static void bring(struct ward *w, const struct cw_nursery_order *order) {
    struct child *child = room_for_child(w);
    pid_t pid = child ? fork() : -1;
    if (pid == 0)
        become_child(w, order);
    if (pid < 0) {
        note(order->seat, CW_STEP_FORK, child ? errno : ENOMEM);
        cw_seat_end(order->seat, order->bell, 0);
        return;
    }
    *child = (struct child){.pid = pid, .seat = order->seat, .bell = order->bell};
    atomic_store_explicit(&order->seat->pid, pid, memory_order_relaxed);
    /* The manager reads pid once it sees ALIVE. */
    atomic_store_explicit(&order->seat->state, CW_SEAT_ALIVE, memory_order_release);
}

/* ---- ends ---- */

/* swept: with the nursery, whose manager may be gone; the boards need not be its. */
static void end_of_child(struct child *child, int status, bool swept) {
    if (swept && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        atomic_store_explicit(&child->seat->farewell, CW_FAREWELL_SWEPT, memory_order_relaxed);
    cw_seat_end(child->seat, child->bell, status);
}

/* A child that is a zombie: a worker, or what one has left behind. */
static void bury(struct ward *w, pid_t pid) {
    int status = 0;
    cw_process_sweep(pid); /* while nobody else can have its number */
    if (waitpid(pid, &status, 0) != pid)
        return;
    for (int i = 0; i < w->count; i++)
        if (w->children[i].pid == pid) {
            w->children[i].pid = 0;
            end_of_child(&w->children[i], status, false);
        }
}

/* Buries all that have ended. False: there is no child at all. */
static bool reap(struct ward *w) {
    for (;;) {
        siginfo_t info = {.si_pid = 0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0)
            return errno != ECHILD;
        if (info.si_pid == 0)
            return true;
        bury(w, info.si_pid);
    }
}

bool cw_ward_is(const char *pid) {
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%.16s/comm", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, name, sizeof name - 1);
    if (fd >= 0)
        close(fd);
    name[n > 0 ? n : 0] = 0;
    name[strcspn(name, "\n")] = 0;
    return strcmp(name, NAME) == 0;
}

/* A worker that had pools has left their nurseries to us, which end by themselves,
 * and perhaps processes that its tasks have started, which may live on. */
static bool any_nursery_left(void) {
    char path[64], text[4096], *save = NULL;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    for (char *pid = strtok_r(text, " ", &save); pid; pid = strtok_r(NULL, " ", &save))
        if (cw_ward_is(pid))
            return true;
    return false;
}

static void end_all(struct ward *w) {
    int status = 0;
    for (int i = 0; i < w->count; i++)
        if (w->children[i].pid)
            kill(w->children[i].pid, SIGKILL);
    for (int i = 0; i < w->count; i++)
        if (w->children[i].pid) {
            siginfo_t info;
            while (waitid(P_PID, (id_t)w->children[i].pid, &info, WEXITED | WNOWAIT) != 0 &&
                   errno == EINTR)
                ;
            cw_process_sweep(w->children[i].pid);
            waitpid(w->children[i].pid, &status, 0);
            w->children[i].pid = 0;
            end_of_child(&w->children[i], status, true);
        }
    int64_t until = cw_now_ns() + 2000000000;
    while (reap(w) && any_nursery_left() && cw_now_ns() < until)
        poll(NULL, 0, 1);
}

static void kill_seat(struct ward *w, const struct cw_seat *seat) {
    for (int i = 0; i < w->count; i++)
        if (w->children[i].pid && w->children[i].seat == seat)
            kill(w->children[i].pid, SIGKILL);
}

/* ---- the loop ---- */

/* An order, and the descriptors that came with it. */
static ssize_t receive(int socket, struct cw_nursery_order *order, int *fds) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(CW_WARD_DESCRIPTORS * sizeof(int))];
    } control;
    struct iovec data = {.iov_base = order, .iov_len = sizeof *order};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    ssize_t n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = n >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
    return n;
}

/* Another's boards from now on. False: there is no answering. */
static bool move(struct ward *w, const struct cw_nursery_order *order, const int *fds) {
    struct cw_ward_answer answer = {.base = NULL};
    cw_segment segment;
    w->leader = cw_descriptor_above_standard(fds[1]);
    if (order->adopt(cw_descriptor_above_standard(fds[0]), &segment, &answer.err) == 0)
        answer.base = segment.base;
    return send(w->socket, &answer, sizeof answer, MSG_NOSIGNAL) == sizeof answer;
}

/* False: the manager has no more use for us. */
static bool obey(struct ward *w) {
    struct cw_nursery_order order;
    int fds[CW_WARD_DESCRIPTORS] = {-1, -1};
    ssize_t n = receive(w->socket, &order, fds);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n != sizeof order)
        return false;
    if (order.what == CW_NURSE_ADOPT)
        return move(w, &order, fds);
    if (order.what == CW_NURSE_KILL)
        kill_seat(w, order.seat);
    else if (begin(&order))
        bring(w, &order);
    return true;
}

/* False, with errno: no signals can be heard of. */
static bool settle(struct ward *w) {
    sigset_t child;
    cw_signals_reset();
    cw_output_forget();
    cw_process_name(NAME);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    w->signals = cw_descriptor_above_standard(signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
    return w->signals >= 0;
}

static void listen_to_signals(const struct ward *w) {
    struct signalfd_siginfo info;
    while (read(w->signals, &info, sizeof info) > 0)
        ;
}

_Noreturn void cw_ward_main(const struct cw_ward_start *start) {
    struct ward w = {
        .pid = getpid(), .socket = start->socket, .manager = start->manager, .leader = -1};
    if (!settle(&w) || send(w.socket, &w.pid, sizeof w.pid, MSG_NOSIGNAL) != sizeof w.pid)
        _exit(CW_EXIT_SETUP);
    for (;;) {
        struct pollfd fds[4] = {{.fd = w.socket, .events = POLLIN},
                                {.fd = w.signals, .events = POLLIN},
                                {.fd = w.manager, .events = POLLIN},
                                {.fd = w.leader, .events = POLLIN}};
        if (poll(fds, 4, -1) < 0 && errno != EINTR)
            break;
        listen_to_signals(&w);
        reap(&w);
        if (fds[2].revents || fds[3].revents || (fds[0].revents && !obey(&w)))
            break;
    }
    end_all(&w);
    /* Its end must show even where somebody holds a copy of this socket. */
    shutdown(w.socket, SHUT_RDWR);
    cw_process_sweep(w.pid); /* the runtime registers each fork of a program that has used it */
    _exit(0);
}

static void close_between(unsigned first, unsigned last) {
#ifdef SYS_close_range
    if (first <= last)
        syscall(SYS_close_range, first, last, 0);
#else
    (void)first, (void)last;
#endif
}

/* The descriptors of the program are its own and its child's: an end of a pipe that
 * stayed open here would keep its reader from the end of file. */
static void keep_only(const struct ward *w) {
    unsigned low = (unsigned)(w->signals < w->manager ? w->signals : w->manager);
    unsigned high = (unsigned)(w->signals < w->manager ? w->manager : w->signals);
    close_between(STDERR_FILENO + 1, low - 1);
    close_between(low + 1, high - 1);
    close_between(high + 1, ~0u);
}

_Noreturn void cw_ward_single(const struct cw_ward_start *start,
                              const struct cw_nursery_order *order) {
    struct ward w = {.pid = getpid(), .socket = -1, .manager = start->manager, .leader = -1};
    if (!begin(order))
        _exit(0);
    if (order->ward) /* whoever forked us may have been killed before it could */
        atomic_store(order->ward, w.pid);
    if (settle(&w)) {
        bring(&w, order);
        keep_only(&w);
    } else {
        note(order->seat, CW_STEP_FORK, errno);
        cw_seat_end(order->seat, order->bell, 0);
    }
    while (w.count && w.children[0].pid) {
        struct pollfd fds[2] = {{.fd = w.signals, .events = POLLIN},
                                {.fd = w.manager, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        listen_to_signals(&w);
        reap(&w);
        if (fds[1].revents)
            break;
    }
    end_all(&w);
    _exit(0);
}
