/* The tasks that the CREW_TASK macros register: a hash table by function, whose
 * links are in the entries, so that a constructor needs no memory. */
#include "os/object_parts.h"

#include <crew/task.h>
#include <pthread.h>
#include <stdatomic.h>

enum { BUCKETS = 1024 };

/* Owner: whoever holds the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static crew_task_info *bucket[BUCKETS];

/* Relaxed: who holds a function of a library has seen the end of its loading,
 * and with it this count. */
static _Atomic uint32_t generation;

static crew_task_info **bucket_of(cw_fn *fn) {
    return &bucket[(uint64_t)(uintptr_t)fn * 0x9e3779b97f4a7c15u >> 54];
}

void crew_task_register(crew_task_info *info) {
    cw_object_watch_forks();
    pthread_mutex_lock(&lock);
    crew_task_info **head = bucket_of((cw_fn *)info->fn), *at = *head;
    while (at && at != info)
        at = at->next;
    if (!at) {
        info->next = *head;
        *head = info;
        atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&lock);
}

void crew_task_unregister(crew_task_info *info) {
    cw_object_watch_forks();
    pthread_mutex_lock(&lock);
    crew_task_info **link = bucket_of((cw_fn *)info->fn);
    while (*link && *link != info)
        link = &(*link)->next;
    if (*link) {
        *link = info->next;
        info->next = NULL;
        atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&lock);
}

const crew_task_info *cw_fn_info(cw_fn *fn) {
    pthread_mutex_lock(&lock);
    const crew_task_info *at = *bucket_of(fn);
    while (at && (cw_fn *)at->fn != fn)
        at = at->next;
    pthread_mutex_unlock(&lock);
    return at;
}

uint32_t cw_tasks_generation(void) {
    return atomic_load_explicit(&generation, memory_order_relaxed);
}

void cw_tasks_before_fork(void) {
    pthread_mutex_lock(&lock);
}

void cw_tasks_after_fork(void) {
    pthread_mutex_unlock(&lock);
}
