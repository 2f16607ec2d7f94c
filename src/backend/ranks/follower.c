/* A follower: it sleeps, passes orders on to its nursery, and sleeps again. */
#include "backend/ranks/aboard.h"
#include "backend/ranks/berths.h"

#include "backend/fork/fork.h"
#include "base/error.h"
#include "os/descriptor.h"
#include "os/futex.h"
#include "os/process.h"
#include "os/stopsig.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often it looks whether the leader and its nursery are still there. */
static const double LOOKS_EVERY = 1.0;

struct cw_follower {
    _Atomic uint32_t *rang; /* by signals that stop the program, before it was the berth */
    struct cw_berth_post post;
    struct cw_nursery *nursery;
    int leader;  /* readable once that process has ended; -1 where the kernel has none */
    int segment; /* descriptor */
    char *base;  /* of what it has mapped: the segment's beginning up to the quay's end */
    size_t mapped;
    char *whole; /* of the whole segment, where members come from: in the nursery, or here */
    struct cw_aboard *aboard;
    struct cw_quay *quay;
    struct cw_berth *berth;
};

/* ---- the leader's segment ---- */

static int leader_gone(const struct cw_follower *f, crew_error *err) {
    return cw_error_set(err, CREW_EBROKEN, 0, "the leader of this node (pid %d) has ended",
                        (int)f->post.leader.pid);
}

static bool is_there(const struct cw_follower *f) {
    struct pollfd end = {.fd = f->leader, .events = POLLIN};
    if (f->leader >= 0)
        return poll(&end, 1, 0) == 0;
    return kill(f->post.leader.pid, 0) == 0 || errno != ESRCH;
}

/* The file itself, opened anew: a leader that has several segments, or another process
 * that has got the number, would show another file. */
static int open_segment(struct cw_follower *f, struct stat *st, crew_error *err) {
    const struct cw_berth_card *card = &f->post.leader;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)card->pid, (int)card->fd);
    f->segment = cw_descriptor_above_standard(open(path, O_RDWR | O_CLOEXEC));
    if (f->segment < 0) {
        int sys = errno;
        if (!is_there(f))
            return leader_gone(f, err);
        return cw_error_set(err, CREW_ENOTSUP, sys,
                            "the shared memory of this node's leader cannot be opened at %s: ranks "
                            "of one node must be of one user and see each other in /proc",
                            path);
    }
    if (fstat(f->segment, st) != 0 || st->st_dev != card->device || st->st_ino != card->inode)
        return cw_error_set(err, CREW_ENOTSUP, 0,
                            "%s is not the shared memory of this node's leader: the ranks of one "
                            "node must see each other under the same pids",
                            path);
    return 0;
}

static int find_berth(struct cw_follower *f, const cw_segment *segment, crew_error *err) {
    int rc = f->post.check(segment, err);
    if (rc < 0)
        return rc;
    f->quay = (struct cw_quay *)(void *)(f->base + f->post.leader.at);
    if (!cw_quay_is(f->quay, f->post.mine))
        return cw_error_set(err, CREW_EMISMATCH, 0,
                            "the leader of this node has no place for its rank %d", f->post.mine);
    f->berth = &f->quay->berth[f->post.mine];
    return 0;
}

/* Of the segment, which may be larger than what a limit leaves of this process's
 * addresses, no more than the quay is needed here. */
static int map_quay(struct cw_follower *f, crew_error *err) {
    struct stat st = {.st_size = 0};
    int rc = open_segment(f, &st, err);
    if (rc < 0)
        return rc;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint64_t size = (uint64_t)st.st_size, at = f->post.leader.at;
    uint64_t end = at + cw_quay_bytes(f->post.mine + 1);
    if (at > size || end > size || at % 64)
        return cw_error_set(err, CREW_EMISMATCH, 0,
                            "the leader of this node speaks of ranks where there can be none");
    f->mapped = (end + page - 1) / page * page;
    f->base = mmap(NULL, f->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, f->segment, 0);
    if (f->base == MAP_FAILED) {
        f->base = NULL;
        f->mapped = 0;
        return cw_error_set(err, CREW_ENOMEM, errno, "the leader's memory cannot be mapped");
    }
    const cw_segment whole = {.base = f->base, .size = size, .fd = f->segment};
    return find_berth(f, &whole, err);
}

/* This process's segment is the leader's, and was when the nursery was forked. */
static int use_own(struct cw_follower *f, crew_error *err) {
    f->base = f->whole = f->post.own->base;
    return find_berth(f, f->post.own, err);
}

static int adopt_there(struct cw_follower *f, crew_error *err) {
    const struct cw_nursery_move move = {
        .segment = f->segment, .leader = f->leader, .adopt = f->post.adopt};
    int rc = f->post.nursery ? 0 : cw_fork_server_there(err);
    return rc < 0 ? rc : cw_nursery_adopt(f->nursery, &move, &f->whole, err);
}

/* Nobody is to be forked from this rank. */
static int adopt_here(struct cw_follower *f, crew_error *err) {
    cw_segment segment;
    cw_fork_server_stop();
    int fd = cw_descriptor_above_standard(fcntl(f->segment, F_DUPFD_CLOEXEC, 0));
    if (fd < 0)
        return cw_error_set(err, CREW_EAGAIN, errno, "no descriptor for the leader's memory");
    int rc = f->post.adopt(fd, &segment, err);
    f->whole = segment.base;
    return rc;
}

static int come(struct cw_follower *f, crew_error *err) {
    const struct cw_berth_card *card = &f->post.leader;
    f->leader = cw_descriptor_above_standard(cw_process_descriptor(card->pid));
    if (f->leader < 0 && errno == ESRCH)
        return cw_error_set(err, CREW_EBROKEN, 0,
                            "the leader of this node has no process %d here: it has ended, or the "
                            "ranks of one node do not see each other under the same pids",
                            (int)card->pid);
    int rc = f->post.own ? use_own(f, err) : map_quay(f, err);
    if (rc < 0)
        return rc;
    if (!f->post.own && (rc = f->post.aboard ? adopt_here(f, err) : adopt_there(f, err)) < 0)
        return rc;
    f->berth->mask = f->post.mask;
    atomic_store(&f->berth->pid, getpid());
    atomic_store(&f->berth->nursery, f->post.aboard ? 0 : f->nursery->pid);
    return 0;
}

void cw_berth_go(struct cw_follower *f) {
    if (!f)
        return;
    if (f->mapped)
        munmap(f->base, f->mapped);
    if (f->segment >= 0)
        close(f->segment);
    if (f->leader >= 0)
        close(f->leader);
    free(f);
}

static void end_nursery(const struct cw_berth_post *post) {
    if (post->nursery)
        cw_nursery_stop(post->nursery);
    else
        cw_fork_server_stop();
}

/* ---- serving ---- */

static void ring_leader(struct cw_follower *f) {
    cw_bell_ring((struct cw_bell *)(void *)(f->base + f->quay->bell));
}

static void turn(struct cw_follower *f, enum cw_berth_state state) {
    /* Pairs with the leader's acquire: mask, pid, nursery. */
    atomic_store_explicit(&f->berth->state, state, memory_order_release);
    cw_futex_wake(&f->berth->state, INT_MAX);
    ring_leader(f);
}

/* That it could not be brought is seen at its seat. */
static void bring(struct cw_follower *f, const struct cw_berth_order *o) {
    const struct cw_aboard_post post = {
        .seat = (struct cw_seat *)(void *)(f->whole + o->seat),
        .bell = (struct cw_bell *)(void *)(f->whole + f->quay->bell),
        .billet = {.team = o->team, .rank = o->rank},
        .enter = f->post.enter};
    crew_error ignored;
    if (o->what == CW_NURSE_FORK)
        cw_aboard_start(&f->aboard, &post, &ignored);
}

static int pass_on(struct cw_follower *f, const struct cw_berth_order *o, crew_error *err) {
    const struct cw_nursery_order order = {
        .what = o->what,
        .seat = (struct cw_seat *)(void *)(f->whole + o->seat),
        .bell = (struct cw_bell *)(void *)(f->whole + f->quay->bell),
        .billet = {.team = o->team, .rank = o->rank},
        .segment_fd = -1,
        .root_fd = -1,
        .signals = o->signals,
        .enter = f->post.enter};
    return cw_nursery_ask(f->nursery, &order, err);
}

/* All that is in the ring. Negative: the nursery has ended. */
static int take_orders(struct cw_follower *f, crew_error *err) {
    struct cw_berth *berth = f->berth;
    uint32_t tail = atomic_load_explicit(&berth->tail, memory_order_relaxed);
    int rc = 0;
    /* Pairs with the release in cw_berth_put. */
    while (rc == 0 && tail != atomic_load_explicit(&berth->head, memory_order_acquire)) {
        struct cw_berth_order order = berth->order[tail % CW_BERTH_ORDERS];
        atomic_store(&berth->tail, ++tail);
        if (atomic_exchange(&berth->full, 0))
            ring_leader(f);
        if (f->post.aboard)
            bring(f, &order);
        else
            rc = pass_on(f, &order, err);
    }
    return rc;
}

static bool told_to_quit(struct cw_follower *f, int *status) {
    /* Pairs with the release in cw_berths_quit. */
    if (!atomic_load_explicit(&f->quay->quit, memory_order_acquire))
        return false;
    *status = atomic_load_explicit(&f->quay->status, memory_order_relaxed);
    return true;
}

/* Signals that stop the program are for the leader, whoever gets them. */
static void pass_on_signals(struct cw_follower *f, uint32_t *heard) {
    uint32_t count;
    cw_stopsig_on_set(atomic_load(&f->quay->stop_on));
    int signal = cw_stopsig_seen(&count);
    if (count == *heard)
        return;
    *heard = count;
    atomic_store(&f->quay->stopped, signal);
    ring_leader(f);
}

static int serve(struct cw_follower *f, int *status, crew_error *err) {
    bool lost = false;
    uint32_t heard = 0;
    turn(f, CW_BERTH_SERVING);
    f->rang = cw_stopsig_rings(&f->berth->wake);
    for (;;) {
        uint32_t seen = atomic_load(&f->berth->wake);
        pass_on_signals(f, &heard);
        if (told_to_quit(f, status))
            return 0;
        if (!is_there(f))
            return leader_gone(f, err);
        /* It stays: ranks end together. */
        crew_error why;
        if (!lost && (take_orders(f, &why) < 0 ||
                      (!f->post.aboard && cw_nursery_lost(f->nursery, &why)))) {
            lost = true;
            turn(f, CW_BERTH_LOST);
        }
        cw_futex_wait(&f->berth->wake, seen, LOOKS_EVERY);
    }
}

struct cw_follower *cw_berth_come(const struct cw_berth_post *post, crew_error *err) {
    struct cw_follower *f = malloc(sizeof *f);
    if (!f) {
        cw_error_set(err, CREW_ENOMEM, 0, "no memory to serve the leader of this node");
    } else {
        *f = (struct cw_follower){.post = *post, .leader = -1, .segment = -1};
        f->nursery = post->nursery ? post->nursery : cw_fork_server();
        if (come(f, err) == 0)
            return f;
        if (f->berth)
            turn(f, CW_BERTH_LEFT);
    }
    cw_berth_go(f);
    end_nursery(post);
    return NULL;
}

int cw_berth_stay(struct cw_follower *f, int *status, crew_error *err) {
    int rc = serve(f, status, err);
    end_nursery(&f->post);
    cw_aboard_clear(&f->aboard); /* one that is in a task goes with the process */
    cw_stopsig_rings(f->rang);
    turn(f, CW_BERTH_LEFT);
    cw_berth_go(f);
    return rc;
}

int cw_berth_serve(const struct cw_berth_post *post, int *status, crew_error *err) {
    struct cw_follower *f = cw_berth_come(post, err);
    return f ? cw_berth_stay(f, status, err) : err->code;
}
