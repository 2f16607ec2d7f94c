/* crew/channel.h - messages between all processes of a program and their threads.
 *
 * Handles are values of 16 bytes, as those of crew/sync.h: what is said there of
 * who may use them, of times, and of destroying holds here too. Messages are
 * bytes; they are copied in and copied out. */
#ifndef CREW_CHANNEL_H
#define CREW_CHANNEL_H

#include <crew/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- queue: any number of putters and getters ----
 *
 * First in, first out: the messages of one putter arrive in its order, each at one
 * getter. A message is in the queue when the put returns; no thread carries it
 * there later, so a process may end right after its last put. Long messages cost
 * one copy on either side; nobody waits for the other's copying.
 *
 * When a process dies: a put that was cut off has not happened; a get that was
 * cut off before it took its message out leaves it for the next; what was taken
 * out is gone with who took it. Nobody is stuck. */

typedef struct crew_queue {
    uint64_t place, check;
} crew_queue;

typedef struct crew_queue_opts {
    /* When there has been a producer, none is left, and the queue is empty, gets end
     * with CREW_ECLOSED. A producer is a process that has put something or called
     * crew_queue_produce; it is none any more when it has ended, in whatever way, or
     * has called crew_queue_leave. Whoever starts several producers is one until they
     * are (or have ended), else the first may be through before the next has begun, and
     * the queue ends between them. (A worker of a pool is a process that lasts as long
     * as the pool: let its tasks leave, or free the pool.) */
    bool eof;
} crew_queue_opts;

/* max: how many messages it holds before puts wait; 0: any number. opts may be NULL. */
CREW_API int crew_queue_create(crew_queue *q, int64_t max, const crew_queue_opts *opts);

/* Appends a message of any size; (NULL, 0) is one too, often the last one for a
 * getter. CREW_ETIMEDOUT: there was no room; CREW_ECLOSED: the queue was closed;
 * CREW_ENOMEM: the shared memory is full (at once: it does not wait for room). */
CREW_API int crew_queue_put(crew_queue q, const void *data, size_t size, double timeout);

/* Takes the next message and returns its size. CREW_ETOOSMALL if it is larger than
 * cap: it stays the next one. CREW_ETIMEDOUT: there was none; CREW_ECLOSED: none
 * will come any more. */
CREW_API ptrdiff_t crew_queue_get(crew_queue q, void *buf, size_t cap, double timeout);
/* The same into memory that the caller frees with free(). *data is NULL for a
 * message of 0 bytes, and on failure. */
CREW_API ptrdiff_t crew_queue_get_alloc(crew_queue q, void **data, double timeout);

/* How many messages it holds; whether that is max (never, if it is unbounded); none.
 * True at the moment of asking: others may change it before the caller looks. */
CREW_API int64_t crew_queue_size(crew_queue q);
CREW_API int crew_queue_full(crew_queue q);
CREW_API int crew_queue_empty(crew_queue q);

/* Says that one message that was taken has been dealt with. CREW_EINVAL if every
 * message ever put has been. */
CREW_API int crew_queue_task_done(crew_queue q);
/* Waits until that was said of every message ever put. Nobody says it in place of
 * a getter that died: whoever hears of that may, else the wait needs its limit. */
CREW_API int crew_queue_join(crew_queue q, double timeout);

/* No more puts: those that wait or come later are CREW_ECLOSED; gets take what is
 * there and then are CREW_ECLOSED too. Closing again does nothing. */
CREW_API int crew_queue_close(crew_queue q);

/* With opts.eof: this process is a producer before it has put anything, so that
 * getters wait for it; or it is none any more, until it puts again. Without: no
 * effect. */
CREW_API int crew_queue_produce(crew_queue q);
CREW_API int crew_queue_leave(crew_queue q);

/* With what is in it. */
CREW_API int crew_queue_destroy(crew_queue q);

/* ---- pipe: two ends, each used by one process ----
 *
 * Messages arrive whole, once and in order; a message of 0 bytes is one too. A send
 * waits while too much is on its way: 64 KiB of short messages, 4 MiB of long ones,
 * or one of any size. Any number of the owner's threads may use an end at once.
 *
 * An end is owned by one process: who made the pipe, then whom it was given to when
 * that process was started (crew_process_opts.conns), then whoever used it last: any
 * call below but crew_conn_close takes it over. When the owner closes it or ends, in
 * whatever way, the far side reads what was sent before and then end-of-file, and
 * what it sends is CREW_ECLOSED. After a death another process may still take the
 * end over: it goes on with the messages that the dead one had not taken, and the far
 * side, once it has read end-of-file, with the new owner. Of what the dead one was
 * about, a message that was not sent whole was not sent.
 *
 * The pipe is gone when both ends are closed, or have lost their owners and its
 * maker has ended as well, or has closed both, one that it had passed on, too. */

/* An end's number is in its handle. */
typedef struct crew_conn {
    uint64_t place, check;
} crew_conn;

/* Two ends that both send and receive; not duplex: a receives and b sends, and the
 * other calls are CREW_EPERM. */
CREW_API int crew_pipe_create(crew_conn *a, crew_conn *b, bool duplex);

/* A message of any size. CREW_ECLOSED: nobody is left to read it; CREW_ETIMEDOUT: no
 * room; CREW_ENOMEM. */
CREW_API int crew_conn_send(crew_conn c, const void *data, size_t size, double timeout);
/* Takes the next message and returns its size. CREW_ECLOSED: end-of-file.
 * CREW_ETOOSMALL: it is longer than cap; crew_last_error() says how long it is, and it
 * stays the next one. */
CREW_API ptrdiff_t crew_conn_recv(crew_conn c, void *buf, size_t cap, double timeout);
/* The same into memory that the caller frees with free(). *data is NULL for a
 * message of 0 bytes, and on failure. */
CREW_API ptrdiff_t crew_conn_recv_alloc(crew_conn c, void **data, double timeout);
/* 0 when a message or end-of-file can be read without waiting, or CREW_ETIMEDOUT. */
CREW_API int crew_conn_poll(crew_conn c, double timeout);
/* Waits until that is so of at least one of count ends; how many; *ready (count of
 * them) says which. The same end may be there twice. */
CREW_API int crew_conn_wait(const crew_conn *conns, int count, bool *ready, double timeout);
/* A descriptor for poll(2), select and level-triggered epoll: readable in this process
 * while a message or end-of-file waits, now and then without one: so receive with a
 * limit of 0 after it. Nothing but waiting may be done with it. It stays the library's:
 * the same one is returned each time; crew_conn_close by this process closes it, and
 * crew_finalize. While another process owns the end it tells nothing. CREW_ENOTSUP of a
 * pipe of another node (see crew/sync.h): with others, crew_conn_wait looks there every few ms. */
CREW_API int crew_conn_fd(crew_conn c);
/* By its owner, or if there is none: closes the end for good. By another process it is
 * 0 and does nothing to the end: a program that has passed it on may close it. Before
 * the other one has used it, it is still the giver's, unless it was given by
 * crew_process_opts. CREW_EINVAL if it is closed already. */
CREW_API int crew_conn_close(crew_conn c);

#ifdef __cplusplus
}
#endif
#endif
