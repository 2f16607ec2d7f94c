/* The nursery: a loop over its socket, its children, and its manager's life. */
#include "backend/fork/nursery.h"

#include "base/error.h"
#include "os/descriptor.h"
#include "os/futex.h"
#include "os/output.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Two nurseries at once would hold each other's sockets open. */
static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;

/* The nursery's own state. Owner: its only thread. */
struct child {
    pid_t pid; /* 0: none */
    struct cw_seat *seat;
    struct cw_bell *bell;
};
struct ward {
    pid_t pid;
    int socket, signals, manager; /* descriptors */
    struct child *children;
    int count, room;
};

static void ring(struct cw_bell *bell) {
    atomic_fetch_add(&bell->count, 1);
    cw_futex_wake(&bell->count, INT32_MAX);
}

static void seat_ended(struct cw_seat *seat, struct cw_bell *bell, int status, int sys) {
    atomic_store_explicit(&seat->status, status, memory_order_relaxed);
    atomic_store_explicit(&seat->sys, sys, memory_order_relaxed);
    /* Pairs with the supervisor's acquire of the state. */
    atomic_store_explicit(&seat->state, CW_SEAT_ENDED, memory_order_release);
    ring(bell);
}

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
    return &w->children[w->count++];
}

/* In the new process: the same program again. It finds its way by the variable;
 * see cw_session_spawned. Returns only if that failed. */
static void exec_self(const struct cw_nursery_order *order) {
    char value[128], *argv[4096], *at;
    static char args[1 << 18];
    fcntl(order->segment_fd, F_SETFD, 0);
    fcntl(order->root_fd, F_SETFD, 0);
    snprintf(value, sizeof value, "%d,%d,%llu,%d,%d", order->segment_fd, order->root_fd,
             (unsigned long long)order->billet.team, order->billet.rank, (int)getppid());
    setenv(CW_SPAWN_VARIABLE, value, 1);
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, args, sizeof args - 1);
    if (n <= 0)
        return;
    size_t argc = 0;
    for (at = args; at < args + n && argc < sizeof argv / sizeof *argv - 1; at += strlen(at) + 1)
        argv[argc++] = at;
    argv[argc] = NULL;
    execve("/proc/self/exe", argv, environ);
}

static _Noreturn void become_child(struct ward *w, const struct cw_nursery_order *order) {
    close(w->socket);
    close(w->signals);
    if (w->manager >= 0)
        close(w->manager);
    if (!cw_process_die_with(w->pid))
        _exit(0);
    /* A spawned program lets them through when it has its own handlers in place. */
    if (order->what != CW_NURSE_SPAWN)
        cw_process_unblock();
    atomic_store_explicit(&order->seat->pid, getpid(), memory_order_relaxed);
    if (order->what == CW_NURSE_SPAWN)
        exec_self(order);
    else
        order->enter(&order->billet);
    _exit(CW_EXIT_SETUP);
}

static void bring(struct ward *w, const struct cw_nursery_order *order) {
    struct child *child = room_for_child(w);
    pid_t pid = child ? fork() : -1;
    if (pid == 0)
        become_child(w, order);
    if (pid < 0) {
        if (child)
            child->pid = 0;
        seat_ended(order->seat, order->bell, 0, child ? errno : ENOMEM);
        return;
    }
    *child = (struct child){.pid = pid, .seat = order->seat, .bell = order->bell};
    atomic_store_explicit(&order->seat->pid, pid, memory_order_relaxed);
    /* The manager reads pid once it sees ALIVE. */
    atomic_store_explicit(&order->seat->state, CW_SEAT_ALIVE, memory_order_release);
}

static void reap(struct ward *w) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (int i = 0; i < w->count; i++)
            if (w->children[i].pid == pid) {
                w->children[i].pid = 0;
                seat_ended(w->children[i].seat, w->children[i].bell, status, 0);
            }
}

static void end_all(struct ward *w) {
    for (int i = 0; i < w->count; i++)
        if (w->children[i].pid)
            kill(w->children[i].pid, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        ;
}

static void kill_seat(struct ward *w, const struct cw_seat *seat) {
    for (int i = 0; i < w->count; i++)
        if (w->children[i].pid && w->children[i].seat == seat)
            kill(w->children[i].pid, SIGKILL);
}

/* False: the manager has no more use for us. */
static bool obey(struct ward *w) {
    struct cw_nursery_order order;
    ssize_t n = recv(w->socket, &order, sizeof order, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n != sizeof order)
        return false;
    if (order.what == CW_NURSE_KILL)
        kill_seat(w, order.seat);
    else
        bring(w, &order);
    return true;
}

static _Noreturn void nursery_main(int socket, pid_t manager) {
    struct ward w = {.pid = getpid(), .socket = socket};
    pthread_mutex_init(&starting, NULL); /* its workers may open pools */
    cw_process_signals();
    cw_process_name("crew-nursery");
    /* If the manager is gone before this line its pid may name another process;
     * then the socket has ended and says so. */
    w.manager = cw_process_descriptor(manager);
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    /* Signals to the program's process group are for the program: whether they end
     * it is its affair, and this process ends when it does. */
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGCHLD, SIG_DFL);
    w.signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    pid_t self = getpid();
    if (w.signals < 0 || send(socket, &self, sizeof self, MSG_NOSIGNAL) != sizeof self)
        _exit(CW_EXIT_SETUP);
    for (;;) {
        struct pollfd fds[3] = {{.fd = socket, .events = POLLIN},
                                {.fd = w.signals, .events = POLLIN},
                                {.fd = w.manager, .events = POLLIN}};
        if (poll(fds, 3, -1) < 0 && errno != EINTR)
            break;
        struct signalfd_siginfo info;
        while (read(w.signals, &info, sizeof info) > 0)
            ;
        reap(&w);
        if (fds[2].revents || (fds[0].revents && !obey(&w)))
            break;
    }
    end_all(&w);
    _exit(0);
}

/* The middle process: it ends at once, so that the nursery is nobody's child. */
static _Noreturn void middle(int ours, int theirs, pid_t manager) {
    close(ours);
    pid_t pid = fork();
    if (pid == 0)
        nursery_main(theirs, manager);
    _exit(pid < 0 ? CW_EXIT_SETUP : 0);
}

static int start(struct cw_nursery *n, crew_error *err) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return cw_error_set(err, CREW_EAGAIN, errno, "no socket for the nursery");
    pair[0] = cw_descriptor_above_standard(pair[0]);
    pair[1] = cw_descriptor_above_standard(pair[1]);
    pid_t manager = getpid();
    cw_output_flush();
    pid_t pid = fork();
    if (pid == 0)
        middle(pair[0], pair[1], manager);
    int sys = errno;
    close(pair[1]);
    if (pid > 0)
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    /* ECHILD means that a handler of the program's reaped it: as good. */
    ssize_t got = -1;
    if (pid > 0)
        while ((got = recv(pair[0], &n->pid, sizeof n->pid, 0)) < 0 && errno == EINTR)
            ;
    if (got != sizeof n->pid) {
        close(pair[0]);
        return cw_error_set(err, CREW_EAGAIN, pid < 0 ? sys : EAGAIN,
                            "the process that forks workers could not be started");
    }
    n->socket = pair[0];
    return 0;
}

int cw_nursery_start(struct cw_nursery *n, crew_error *err) {
    pthread_mutex_lock(&starting);
    int rc = start(n, err);
    pthread_mutex_unlock(&starting);
    return rc;
}

int cw_nursery_ask(struct cw_nursery *n, const struct cw_nursery_order *order, crew_error *err) {
    ssize_t sent;
    while ((sent = send(n->socket, order, sizeof *order, MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
    if (sent == sizeof *order)
        return 0;
    return cw_error_set(err, CREW_EBROKEN, errno, "the process that forks workers (pid %d) is gone",
                        (int)n->pid);
}

void cw_nursery_forked(void) {
    pthread_mutex_init(&starting, NULL);
}

bool cw_nursery_lost(struct cw_nursery *n) {
    char byte;
    return recv(n->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void cw_nursery_stop(struct cw_nursery *n) {
    int fd = cw_process_descriptor(n->pid);
    shutdown(n->socket, SHUT_WR);
    /* It answers by ending, workers first: the end of the socket, and of the
     * process where the kernel can tell. */
    struct pollfd ended = {.fd = n->socket, .events = POLLIN};
    while (!cw_nursery_lost(n))
        poll(&ended, 1, -1);
    if (fd >= 0) {
        struct pollfd gone = {.fd = fd, .events = POLLIN};
        while (poll(&gone, 1, -1) < 0 && errno == EINTR)
            ;
        close(fd);
    }
    /* Nobody's child, unless this process is the one that orphans fall to
     * (pid 1 of a container): then it is ours to bury. */
    waitpid(n->pid, NULL, WNOHANG);
    close(n->socket);
    n->socket = -1;
}
