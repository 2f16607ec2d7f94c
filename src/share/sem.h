/* share/sem.h - semaphores: one word and a gate.
 *
 *     word: tag of the object (24) | permits (40)
 *
 * | word        | written by                                             |
 * |-------------|--------------------------------------------------------|
 * | word        | everybody, by compare-and-swap                         |
 * | max         | who makes the object                                   |
 *
 * The tag is of the cell's generation, so that no permit of an object is taken by
 * somebody who means the one before it in the same cell. A death before the swap
 * leaves nothing, one after it has happened: who took a permit keeps it for ever,
 * who gave one may not have woken anybody, so burials wake all. */
#ifndef CW_SHARE_SEM_H
#define CW_SHARE_SEM_H

#include "share/gate.h"

struct cw_sem {
    struct cw_head head;
    _Atomic uint64_t word;
    _Atomic int64_t max; /* 0: unbounded */
    cw_gate gate;
};

enum { CW_SEM_BITS = 40 };
#define CW_SEM_PERMITS (((uint64_t)1 << CW_SEM_BITS) - 1) /* the most there can be */

static inline bool cw_sem_is(uint64_t word, uint64_t check) {
    return word >> CW_SEM_BITS == (check & 0xffffff);
}

struct cw_sem_plan {
    int64_t value, max;
};
int cw_sem_init(struct cw_share *share, struct cw_head *head, void *plan, crew_error *err);

/* 0, CREW_ETIMEDOUT, or CREW_EINVAL: the object was destroyed. */
int cw_sem_wait(struct cw_self *self, struct cw_sem *sem, uint64_t check, double timeout);
static inline int cw_sem_acquire(struct cw_self *self, struct cw_sem *sem, uint64_t check,
                                 double timeout) {
    uint64_t word = atomic_load_explicit(&sem->word, memory_order_relaxed);
    /* Acquire: pairs with the release in cw_sem_release. */
    if (cw_sem_is(word, check) && word & CW_SEM_PERMITS &&
        atomic_compare_exchange_strong_explicit(&sem->word, &word, word - 1, memory_order_acquire,
                                                memory_order_relaxed))
        return 0;
    return cw_sem_wait(self, sem, check, timeout);
}

/* 0, CREW_ELIMIT: it has all its permits, or CREW_EINVAL as above. */
static inline int cw_sem_release(struct cw_sem *sem, uint64_t check) {
    uint64_t word = atomic_load_explicit(&sem->word, memory_order_relaxed);
    do {
        int64_t max = atomic_load_explicit(&sem->max, memory_order_relaxed);
        if (!cw_sem_is(word, check))
            return CREW_EINVAL;
        if ((word & CW_SEM_PERMITS) == CW_SEM_PERMITS ||
            (max && (int64_t)(word & CW_SEM_PERMITS) >= max))
            return CREW_ELIMIT;
        /* Pairs with the acquire above: what the releaser did before. */
    } while (!atomic_compare_exchange_weak_explicit(&sem->word, &word, word + 1,
                                                    memory_order_release, memory_order_relaxed));
    cw_gate_wake(&sem->gate, 1);
    return 0;
}

#endif
