/* Robust mutexes of the C library, and what they lack.
 *
 * One who sleeps for the mutex may be killed just after it was woken. If a third
 * has taken the mutex by then, nobody knows any more that others sleep too: they
 * sleep until the next one comes who has to wait. So nobody here sleeps for long. */
#include "os/robust.h"

#include <errno.h>
#include <time.h>

static const long SLICE_NS = 20000000;

int cw_robust_init(pthread_mutex_t *mutex) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    int rc = pthread_mutex_init(mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    return rc;
}

int cw_robust_lock(pthread_mutex_t *mutex) {
    int rc = pthread_mutex_trylock(mutex);
    while (rc == EBUSY || rc == ETIMEDOUT) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += SLICE_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        rc = pthread_mutex_timedlock(mutex, &until);
    }
    return rc;
}
