/* The manager's side of a nursery: starting it, asking it, hearing of its end. */
#include "backend/fork/nursery.h"

#include "base/error.h"
#include "os/output.h"
#include "os/process.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Two nurseries at once would hold each other's sockets open. */
static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;

struct birth {
    int ours;
    struct cw_ward_start ward;
};

static void be_born(void *arg) {
    const struct birth *birth = arg;
    close(birth->ours);
    cw_nursery_forked(); /* its workers may open pools */
    cw_ward_main(&birth->ward);
}

/* Its first word is its pid. False: it has none to say. */
static bool hear_of(struct cw_nursery *n, int socket) {
    ssize_t got;
    while ((got = recv(socket, &n->pid, sizeof n->pid, 0)) < 0 && errno == EINTR)
        ;
    return got == sizeof n->pid;
}

static int check_numbers(crew_error *err) {
    if (!cw_process_forks_elsewhere())
        return 0;
    return cw_error_set(err, CREW_ENOTSUP, 0,
                        "after unshare(CLONE_NEWPID) this process's children have numbers that are "
                        "others' here: fork first, and use crew in the child");
}

static int start(struct cw_nursery *n, crew_error *err) {
    int pair[2];
    int rc = check_numbers(err);
    if (rc < 0)
        return rc;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return cw_error_set(err, CREW_EAGAIN, errno, "no socket for the nursery");
    pair[0] = cw_descriptor_above_standard(pair[0]);
    pair[1] = cw_descriptor_above_standard(pair[1]);
    int manager = cw_descriptor_above_standard(cw_process_descriptor(getpid()));
    struct birth birth = {.ours = pair[0], .ward = {.socket = pair[1], .manager = manager}};
    cw_output_flush();
    int sys = cw_process_orphan(be_born, &birth, NULL);
    close(pair[1]);
    if (manager >= 0)
        close(manager);
    if (sys || !hear_of(n, pair[0])) {
        close(pair[0]);
        return cw_error_set(err, CREW_EAGAIN, sys ? sys : EAGAIN,
                            "the process that forks workers could not be started");
    }
    n->process = cw_descriptor_above_standard(cw_process_descriptor(n->pid));
    n->id = cw_descriptor_identify(pair[0]);
    n->socket = pair[0];
    return 0;
}

int cw_nursery_start(struct cw_nursery *n, crew_error *err) {
    pthread_mutex_lock(&starting);
    int rc = start(n, err);
    pthread_mutex_unlock(&starting);
    return rc;
}

void cw_nursery_forked(void) {
    pthread_mutex_init(&starting, NULL);
}

struct single_birth {
    struct cw_ward_start ward;
    const struct cw_nursery_order *order;
};

static void be_born_single(void *arg) {
    const struct single_birth *birth = arg;
    cw_nursery_forked();
    cw_ward_single(&birth->ward, birth->order);
}

int cw_nursery_single(const struct cw_nursery_order *order, crew_error *err) {
    int rc = check_numbers(err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&starting);
    int manager = cw_descriptor_above_standard(cw_process_descriptor(getpid()));
    struct single_birth birth = {.ward = {.socket = -1, .manager = manager}, .order = order};
    cw_output_flush();
    int sys = manager < 0 ? errno : cw_process_orphan(be_born_single, &birth, order->ward);
    if (manager >= 0)
        close(manager);
    pthread_mutex_unlock(&starting);
    if (sys)
        return cw_error_set(err, CREW_EAGAIN, sys, "the process could not be started");
    return 0;
}

void cw_nursery_bury(pid_t nursery) {
    siginfo_t info = {.si_pid = 0};
    char number[16];
    if (nursery <= 0 || waitid(P_PID, (id_t)nursery, &info, WEXITED | WNOHANG | WNOWAIT) != 0)
        return; /* as a rule it is nobody's child */
    snprintf(number, sizeof number, "%d", (int)nursery);
    if (!cw_ward_is(number))
        return; /* the program waits for all itself, and the number is another's by now */
    cw_process_await_gone(&nursery, 1, 3);
    waitpid(nursery, NULL, WNOHANG);
}

static int closed(struct cw_nursery *n, crew_error *err) {
    return cw_error_set(err, CREW_EBROKEN, 0,
                        "the program has closed descriptor %d, which is crew's, and with it lost "
                        "the process that forks workers: close only what is yours",
                        n->socket);
}

static int gone(struct cw_nursery *n, crew_error *err) {
    if (!cw_descriptor_is(n->socket, n->id)) /* since we looked last */
        return closed(n, err);
    return cw_error_set(err, CREW_EBROKEN, 0,
                        "the process that forks and watches workers (pid %d) has ended",
                        (int)n->pid);
}

int cw_nursery_ask(struct cw_nursery *n, const struct cw_nursery_order *order, crew_error *err) {
    if (!cw_descriptor_is(n->socket, n->id))
        return closed(n, err);
    if (order->ward)
        atomic_store(order->ward, n->pid);
    ssize_t sent;
    while ((sent = send(n->socket, order, sizeof *order, MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
    return sent == sizeof *order ? 0 : gone(n, err);
}

/* Descriptors travel beside the order: no path has to be found, and nothing can be
 * meant that is not. */
static ssize_t send_with(int socket, const struct cw_nursery_order *order, const int *fds,
                         int count) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(CW_WARD_DESCRIPTORS * sizeof(int))];
    } control = {.room = {0}};
    struct iovec data = {.iov_base = (void *)(uintptr_t)order, .iov_len = sizeof *order};
    size_t bytes = (size_t)count * sizeof *fds;
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = CMSG_SPACE(bytes)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(header), fds, bytes);
    ssize_t sent;
    while ((sent = sendmsg(socket, &message, MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
    return sent;
}

int cw_nursery_adopt(struct cw_nursery *n, const struct cw_nursery_move *move, char **base,
                     crew_error *err) {
    const struct cw_nursery_order order = {.what = CW_NURSE_ADOPT, .adopt = move->adopt};
    const int fds[CW_WARD_DESCRIPTORS] = {move->segment, move->leader};
    struct cw_ward_answer answer;
    if (!cw_descriptor_is(n->socket, n->id))
        return closed(n, err);
    if (send_with(n->socket, &order, fds, move->leader < 0 ? 1 : 2) != sizeof order)
        return gone(n, err);
    ssize_t got;
    while ((got = recv(n->socket, &answer, sizeof answer, 0)) < 0 && errno == EINTR)
        ;
    if (got != sizeof answer)
        return gone(n, err);
    *base = answer.base;
    return answer.err.code ? cw_error_copy(err, &answer.err) : 0;
}

/* The end of the socket alone is no proof: a child that the program forked at the
 * wrong moment may hold a copy of the nursery's end. */
bool cw_nursery_lost(struct cw_nursery *n, crew_error *err) {
    if (!cw_descriptor_is(n->socket, n->id)) {
        closed(n, err);
        return true;
    }
    bool lost;
    if (n->process >= 0) {
        struct pollfd end = {.fd = n->process, .events = POLLIN};
        lost = poll(&end, 1, 0) > 0;
        if (end.revents & POLLNVAL) {
            closed(n, err);
            return true;
        }
    } else {
        char byte;
        ssize_t got = recv(n->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        lost = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
    }
    if (lost)
        gone(n, err);
    return lost;
}

void cw_nursery_stop(struct cw_nursery *n) {
    if (cw_descriptor_is(n->socket, n->id)) {
        shutdown(n->socket, SHUT_WR);
        /* It answers by ending, workers first. */
        struct pollfd end = {.fd = n->process >= 0 ? n->process : n->socket, .events = POLLIN};
        while (poll(&end, 1, -1) < 0 && errno == EINTR)
            ;
        close(n->socket);
        if (n->process >= 0)
            close(n->process);
        cw_process_sweep(n->pid); /* if it was killed it could not do so itself */
    }
    /* Nobody's child, unless this process is the one that orphans fall to (pid 1 of
     * a container): then it is ours to bury. */
    waitpid(n->pid, NULL, WNOHANG);
    n->socket = n->process = -1;
}
