/* crew/sync.h - locks and other ways of waiting for each other, between all
 * processes of a program and their threads.
 *
 * Handles are values of 16 bytes, passed by value: put one into a task's item,
 * into `common`, into a queue. Objects live until they are destroyed or the
 * program's crew_finalize; a handle whose object is gone is CREW_EINVAL. They
 * belong to the program that made them and to the workers and processes it
 * started through crew: a child that it forks by itself cannot use them.
 *
 * Times are seconds, as everywhere: negative waits without limit, 0 polls, and a
 * wait that is over is CREW_ETIMEDOUT. Destroying an object wakes who waits for
 * it, with CREW_EINVAL.
 *
 * When a process dies: a lock it held goes to the next who acquires it, with
 * CREW_OWNERDEAD (1) instead of 0: that one holds it, and what it guards may be
 * half changed. Who dies while it waits takes no wake-up with it. Nobody else is
 * stuck. What happens to permits of a semaphore and to a barrier: see there.
 *
 * On several nodes (MPI) an object is on the node of the process that made it, a condition
 * on that of its lock. Processes of other nodes use it by the same calls, each of which
 * takes a message there and one back; it is made there, on the caller's behalf, by a
 * process of crew's that stands for the caller's, with a thread for each of its threads.
 * So all that is said of deaths holds for a process of any node, as soon as its death is
 * known there; if its node is lost, after CREW_NODE_TIMEOUT. If the object's own node is
 * lost its calls are CREW_EBROKEN. A call that gives an address or a descriptor
 * (crew_value_ptr, crew_conn_fd) is CREW_ENOTSUP of another node's object. */
#ifndef CREW_SYNC_H
#define CREW_SYNC_H

#include <crew/error.h>
#include <crew/task.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct crew_lock {
    uint64_t place, check;
} crew_lock;
typedef struct crew_rlock {
    uint64_t place, check;
} crew_rlock;
typedef struct crew_sem {
    uint64_t place, check;
} crew_sem;
typedef struct crew_event {
    uint64_t place, check;
} crew_event;
typedef struct crew_cond {
    uint64_t place, check;
} crew_cond;
typedef struct crew_barrier {
    uint64_t place, check;
} crew_barrier;

/* ---- lock: one holder; any thread may release it ---- */

CREW_API int crew_lock_create(crew_lock *l);
/* 0, or CREW_OWNERDEAD, or CREW_ETIMEDOUT. By its own holder it waits, as by
 * anybody else. */
CREW_API int crew_lock_acquire(crew_lock l, double timeout);
/* CREW_EINVAL if nobody holds it. */
CREW_API int crew_lock_release(crew_lock l);
CREW_API int crew_lock_destroy(crew_lock l);

/* ---- rlock: its holder, a thread, may acquire it again ---- */

CREW_API int crew_rlock_create(crew_rlock *l);
CREW_API int crew_rlock_acquire(crew_rlock l, double timeout);
/* As often as it was acquired. CREW_EPERM if this thread does not hold it. */
CREW_API int crew_rlock_release(crew_rlock l);
CREW_API int crew_rlock_destroy(crew_rlock l);

/* ---- semaphore: a number of permits that any thread takes and gives ---- */

/* max: the most there may be, a release beyond it is an error (Python's
 * BoundedSemaphore); 0: unbounded. At most 2^40 - 1 in any case.
 *
 * Permits belong to nobody: those that a process holds when it dies are not
 * returned. Where that matters let what survives it release for it, or use a lock. */
CREW_API int crew_sem_create(crew_sem *s, int64_t value, int64_t max);
/* Takes one: 0 or CREW_ETIMEDOUT. Whoever comes first when there is one gets it. */
CREW_API int crew_sem_acquire(crew_sem s, double timeout);
/* Gives one, by any thread. CREW_EINVAL: there are max already. */
CREW_API int crew_sem_release(crew_sem s);
/* How many are left just now, or a negative code. */
CREW_API int64_t crew_sem_value(crew_sem s);
CREW_API int crew_sem_destroy(crew_sem s);

/* ---- event: a flag that threads wait for ---- */

CREW_API int crew_event_create(crew_event *e); /* not set */
/* Releases all who wait, also those that wake up only after it was cleared again. */
CREW_API int crew_event_set(crew_event e);
CREW_API int crew_event_clear(crew_event e);
CREW_API int crew_event_is_set(crew_event e); /* 1, 0, or a negative code */
/* 0 once it is set, or CREW_ETIMEDOUT. */
CREW_API int crew_event_wait(crew_event e, double timeout);
CREW_API int crew_event_destroy(crew_event e);

/* ---- condition: waiting for what others change under a lock ---- */

/* The lock stays the caller's; the threads that use the condition use it too. */
CREW_API int crew_cond_create(crew_cond *c, crew_lock lock);
/* Gives up the lock, waits for a notify, acquires the lock again (without a limit):
 * 0, or CREW_ETIMEDOUT, and the thread holds the lock again, with errors too. Only if
 * the lock itself was destroyed it does not: CREW_ENOENT. CREW_EPERM: it did not hold
 * it. CREW_OWNERDEAD (1), whatever else there is to say: it holds the lock, whose last
 * holder died holding it; put right what that one left, and look at the condition
 * again.
 *
 * A waiter that was notified and dies before it has the lock passes the notify on to
 * the one who waits longest. When processes die, a wait may end without a notify. */
CREW_API int crew_cond_wait(crew_cond c, double timeout);
/* Waits, with the lock held, until test(ctx) is true, which is called with the lock
 * held: 0; or CREW_ETIMEDOUT if it is false and the time is over. CREW_OWNERDEAD at
 * once, without a test of what may be half changed; otherwise as crew_cond_wait. */
CREW_API int crew_cond_wait_for(crew_cond c, bool (*test)(void *ctx), void *ctx, double timeout);
/* Ends the waits of the n who wait longest, or of all. By the holder of the lock:
 * CREW_EPERM by others. Nobody waits: nothing happens. */
CREW_API int crew_cond_notify(crew_cond c, int64_t n);
CREW_API int crew_cond_notify_all(crew_cond c);
CREW_API int crew_cond_destroy(crew_cond c);

/* ---- barrier: so many parties wait for each other, round after round ---- */

/* parties: at least 1. action (may be NULL) runs in the thread that arrives last,
 * before any is released; its call has no item, no common and no place for a result
 * (crew_fail works, a reply is dropped). It is a function as a task is: one that every
 * process has which may be the last. If that one is of another node than the barrier, it
 * runs on the barrier's node, in the process that stands for it there. */
CREW_API int crew_barrier_create(crew_barrier *b, int parties, crew_fn *action);
/* Waits until all parties are there: 0 for all of them. Otherwise the barrier breaks,
 * and stays so until crew_barrier_reset: CREW_ETIMEDOUT for the one whose time is over,
 * CREW_EFAILED for the one whose action failed (its code in task_code), CREW_EBROKEN
 * for all others, those too who come later. A process that dies inside the wait breaks
 * it, also in the action: nobody passes a round that completes after the death. Of one
 * that dies just as its round ends, or on another node, it may be known only when the
 * others have passed: then it is the next that breaks. One that dies outside is missed by
 * a limit of time only. */
CREW_API int crew_barrier_wait(crew_barrier b, double timeout);
/* The same, and as how many-eth this thread has arrived: 0 to parties - 1, what
 * Python's wait returns. One of them is 0 in each round. */
CREW_API int crew_barrier_wait_index(crew_barrier b, double timeout);
/* Breaks it: all who wait have CREW_EBROKEN. */
CREW_API int crew_barrier_abort(crew_barrier b);
/* As if it were new. Those who wait have CREW_EBROKEN; nobody waits, and it is not
 * broken: nothing happens. */
CREW_API int crew_barrier_reset(crew_barrier b);
/* Each of these, or a negative code. n_waiting: as it is just now. broken: 1 or 0. */
CREW_API int crew_barrier_parties(crew_barrier b);
CREW_API int crew_barrier_n_waiting(crew_barrier b);
CREW_API int crew_barrier_broken(crew_barrier b);
/* Those whose round was complete have 0, though they may wake up only now. */
CREW_API int crew_barrier_destroy(crew_barrier b);

#ifdef __cplusplus
}
#endif
#endif
