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
 * half changed. Nobody else is stuck. */
#ifndef CREW_SYNC_H
#define CREW_SYNC_H

#include <crew/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct crew_lock {
    uint64_t place, check;
} crew_lock;
typedef struct crew_rlock {
    uint64_t place, check;
} crew_rlock;

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

#ifdef __cplusplus
}
#endif
#endif
