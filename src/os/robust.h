/* os/robust.h - mutexes that survive their holder, between processes. */
#ifndef CW_OS_ROBUST_H
#define CW_OS_ROBUST_H

#include <pthread.h>

/* Initialises it so; 0 or an errno. */
int cw_robust_init(pthread_mutex_t *mutex);
/* 0, or EOWNERDEAD: the caller holds it, its last holder died, and what it guards
 * has to be put right before pthread_mutex_consistent. Released as any mutex. */
int cw_robust_lock(pthread_mutex_t *mutex);

#endif
