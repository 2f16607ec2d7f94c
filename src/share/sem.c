/* Semaphores: waiting, and the ends of objects and users. */
#include "share/sem.h"

#include "share/kinds.h"

#include <limits.h>

static uint64_t tag(uint32_t generation) {
    return (uint64_t)(generation & 0xffffff) << CW_SEM_BITS;
}

int cw_sem_init(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err) {
    struct cw_sem *sem = (struct cw_sem *)head;
    const struct cw_sem_plan *plan = arg;
    (void)share, (void)err;
    atomic_store(&sem->max, plan->max);
    atomic_store(&sem->word, tag(atomic_load(&head->generation) + 1) | (uint64_t)plan->value);
    return 0;
}

int cw_sem_wait(struct cw_self *self, struct cw_sem *sem, uint64_t check, double timeout) {
    struct cw_deadline deadline = cw_deadline_in(timeout);
    for (;;) {
        uint32_t seen = cw_gate_look(&sem->gate);
        uint64_t word = atomic_load_explicit(&sem->word, memory_order_relaxed);
        while (cw_sem_is(word, check) && word & CW_SEM_PERMITS)
            if (atomic_compare_exchange_weak_explicit(&sem->word, &word, word - 1,
                                                      memory_order_acquire, memory_order_relaxed))
                return 0;
        if (!cw_sem_is(word, check))
            return CREW_EINVAL;
        if (!cw_gate_wait(self, &sem->gate, seen, &deadline))
            return CREW_ETIMEDOUT;
    }
}

/* Under another tag: whoever still means the object finds that it is gone. */
static void scrub(struct cw_share *share, struct cw_head *head) {
    (void)share;
    atomic_store(&((struct cw_sem *)head)->word, tag(atomic_load(&head->generation)));
}

static void wake(struct cw_share *share, struct cw_head *head) {
    (void)share;
    cw_gate_open(&((struct cw_sem *)head)->gate, INT_MAX);
}

/* It may have released and woken nobody, or have been woken and taken nothing. */
static void bury(struct cw_share *share, struct cw_head *head, uint32_t party) {
    (void)share, (void)party;
    cw_gate_bury(&((struct cw_sem *)head)->gate);
}

const struct cw_kind cw_kind_sem = {
    .name = "semaphore", .bytes = 64, .scrub = scrub, .bury = bury, .wake = wake};

_Static_assert(sizeof(struct cw_sem) <= 64, "a cell");
