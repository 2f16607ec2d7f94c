/* Descriptors that say when a pipe has something to read.
 *
 * Such a descriptor is a datagram socket of the process that owns the end, bound to
 * an abstract address, which the end's note holds. It is readable while there is a
 * byte in it; what the byte is does not matter.
 *
 *     note: 0: none · number of the address (40 bits) · ARMED · turn (23 bits)
 *
 * Invariant: while something is there to read and no byte is in the socket the note
 * is armed, and whoever made it available has still to look at it. He sends a byte
 * first and disarms then: killed between, he leaves a byte too many. The owner arms
 * it, with the next turn, only after it found nothing and took all bytes out, and
 * looks once more then. A disarming of an earlier turn fails.
 *
 * | operation | by whom                                        | may overlap with |
 * |-----------|------------------------------------------------|------------------|
 * | poke      | the far end's owner, or whoever buries it      | everything       |
 * | settle    | the end's owner, with take.bolt                | poke             |
 * | fd, resume, drop | the same                                | poke             |
 *
 * Sockets lie in a table of this process's. A fork child starts with none. */
#include "share/pipe.h"

#include "base/error.h"
#include "os/descriptor.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NUMBER (((uint64_t)1 << 40) - 1)
#define ARMED ((uint64_t)1 << 40)
enum { TURN_SHIFT = 41 };

struct entry {
    int fd; /* -1: none */
    struct cw_descriptor_id id;
    uint64_t check, number;
};

/* By the pipe's number and end. */
static struct {
    pthread_mutex_t lock;
    struct entry *entry;
    size_t count;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the table ---- */

static void close_entry(struct entry *e) {
    if (e->fd >= 0 && cw_descriptor_is(e->fd, e->id))
        close(e->fd);
    e->fd = -1;
}

static void close_all(void) {
    for (size_t i = 0; i < table.count; i++)
        close_entry(&table.entry[i]);
    free(table.entry);
    table.entry = NULL;
    table.count = 0;
}

/* The parent's descriptors are not the child's. (The memory is: free() is not safe
 * there if the parent has other threads.) */
static void in_fork_child(void) {
    pthread_mutex_init(&table.lock, NULL);
    for (size_t i = 0; i < table.count; i++)
        close_entry(&table.entry[i]);
}

static void watch_forks(void) {
    pthread_atfork(NULL, NULL, in_fork_child);
}

static size_t place_of(const struct cw_conn *c) {
    return (size_t)c->pipe->head.number * 2 + (size_t)c->end;
}

/* With the lock. NULL: this process has none for that end. */
static struct entry *find(const struct cw_conn *c) {
    size_t at = place_of(c);
    struct entry *e = at < table.count ? &table.entry[at] : NULL;
    /* The program may have closed it behind our back. */
    return e && e->fd >= 0 && e->check == c->check && cw_descriptor_is(e->fd, e->id) ? e : NULL;
}

/* With the lock. The place for it, empty. */
static struct entry *find_place(const struct cw_conn *c) {
    size_t at = place_of(c);
    if (at >= table.count) {
        size_t count = at + at / 2 + 16;
        struct entry *more = realloc(table.entry, count * sizeof *more);
        if (!more)
            return NULL;
        for (size_t i = table.count; i < count; i++)
            more[i].fd = -1;
        table.entry = more;
        table.count = count;
    }
    close_entry(&table.entry[at]); /* of a pipe that is no more */
    return &table.entry[at];
}

/* ---- sockets ---- */

static socklen_t address_of(uint64_t number, struct sockaddr_un *address) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "crew/pipe/%010llx",
                          (unsigned long long)number);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static int new_socket(void) {
    return cw_descriptor_above_standard(
        socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/* A bound socket; -1 with errno. */
static int open_socket(uint64_t *number) {
    int fd = new_socket(), rc = -1;
    do {
        struct sockaddr_un address;
        if (fd < 0 || getrandom(number, sizeof *number, 0) != (ssize_t)sizeof *number)
            break;
        *number = (*number & NUMBER) | 1; /* not 0 */
        socklen_t length = address_of(*number, &address);
        rc = bind(fd, (struct sockaddr *)&address, length);
    } while (rc < 0 && errno == EADDRINUSE);
    if (rc < 0 && fd >= 0) {
        int sys = errno;
        close(fd);
        errno = sys;
    }
    return rc < 0 ? -1 : fd;
}

static void empty_socket(int fd) {
    char byte;
    while (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0 || errno == EINTR)
        ;
}

/* A full socket is readable, one that is gone has nobody who reads it. */
static bool send_byte(uint64_t number) {
    struct sockaddr_un address;
    socklen_t length = address_of(number, &address);
    int fd = new_socket();
    if (fd < 0)
        return false;
    ssize_t rc;
    do
        rc = sendto(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address, length);
    while (rc < 0 && errno == EINTR);
    close(fd);
    return true;
}

/* ---- notes ---- */

void cw_note_poke(struct cw_pipe *pipe, int end) {
    /* Pairs with the fence in arm: either this sees the armed note, or the owner what
     * was made available before. */
    uint64_t note = atomic_load_explicit(&pipe->note[end], memory_order_relaxed);
    if (note & ARMED && send_byte(note & NUMBER))
        atomic_compare_exchange_strong(&pipe->note[end], &note, note & ~ARMED);
}

static void arm(const struct cw_conn *c, uint64_t number) {
    uint64_t turn = (atomic_load(&c->pipe->note[c->end]) >> TURN_SHIFT) + 1;
    atomic_store(&c->pipe->note[c->end], turn << TURN_SHIFT | ARMED | number);
    atomic_thread_fence(memory_order_seq_cst);
    if (cw_conn_look(c) != 0)
        cw_note_poke(c->pipe, c->end);
}

void cw_note_settle(const struct cw_conn *c, bool empty) {
    uint64_t note = atomic_load_explicit(&c->pipe->note[c->end], memory_order_relaxed);
    if (!note || (note & ARMED && !empty) || cw_conn_look(c) != 0)
        return;
    pthread_mutex_lock(&table.lock);
    const struct entry *e = find(c);
    if (e) {
        empty_socket(e->fd);
        arm(c, e->number);
    }
    pthread_mutex_unlock(&table.lock);
}

void cw_note_resume(const struct cw_conn *c) {
    pthread_mutex_lock(&table.lock);
    const struct entry *e = find(c);
    if (e)
        arm(c, e->number);
    else
        atomic_store(&c->pipe->note[c->end], 0);
    pthread_mutex_unlock(&table.lock);
}

/* With the lock. */
static int make(const struct cw_conn *c, crew_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    struct entry *e = find_place(c);
    if (!e)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a descriptor of the pipe");
    uint64_t number;
    int fd = open_socket(&number);
    if (fd < 0)
        return cw_error_set(err, CREW_EAGAIN, errno, "no descriptor for the pipe");
    *e = (struct entry){
        .fd = fd, .id = cw_descriptor_identify(fd), .check = c->check, .number = number};
    arm(c, number);
    return fd;
}

int cw_conn_fd(const struct cw_conn *c, crew_error *err) {
    if (!cw_conn_receives(c))
        return CREW_EPERM;
    cw_bolt *bolt = &c->pipe->flow[c->end].take.bolt;
    int rc = cw_conn_enter(c, bolt, -1);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&table.lock);
    const struct entry *e = find(c);
    rc = e ? e->fd : make(c, err);
    pthread_mutex_unlock(&table.lock);
    cw_bolt_release(c->self, bolt, c->check);
    return rc;
}

void cw_note_drop(const struct cw_conn *c) {
    pthread_mutex_lock(&table.lock);
    struct entry *e = find(c);
    if (e)
        close_entry(e);
    if (cw_conn_is_mine(c))
        atomic_store(&c->pipe->note[c->end], 0);
    pthread_mutex_unlock(&table.lock);
}

void cw_notes_drop(void) {
    pthread_mutex_lock(&table.lock);
    close_all();
    pthread_mutex_unlock(&table.lock);
}
