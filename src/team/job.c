/* The parts of a map that its members share: failures, ranges to run again. */
#include "os/futex.h"
#include "os/robust.h"
#include "team/member.h"

#include <crew/pool.h>

#include <errno.h>
#include <string.h>

void cw_job_stop_above(struct cw_job *job, int64_t item) {
    int64_t stop = atomic_load_explicit(&job->stop_at, memory_order_relaxed);
    while (item < stop && !atomic_compare_exchange_weak_explicit(
                              &job->stop_at, &stop, item, memory_order_relaxed,
                              memory_order_relaxed))
        ;
}

void cw_job_ring(const struct cw_maps *m, struct cw_team *t, uint32_t slot) {
    atomic_fetch_add(&t->job_bell[slot].count, 1);
    /* Pairs with the fence of a waiter between `sleeping` and its last look. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&t->job_bell[slot].sleeping, memory_order_relaxed))
        cw_futex_wake(&t->job_bell[slot].count, INT32_MAX);
    if (atomic_load_explicit(&t->job_bell[slot].watched, memory_order_relaxed))
        cw_team_ring(m, t);
}

/* The place of a new failure among those kept; NULL: it is above all of them.
 * Entries without an item (-1) are ones whose writer died; they are used first. */
static struct cw_failure *place_for(struct cw_job *job, struct cw_failure *kept, int64_t item) {
    uint32_t n = atomic_load_explicit(&job->failures_count, memory_order_relaxed);
    struct cw_failure *highest = NULL;
    if (n == job->failures_cap && job->failures_highest >= 0 && item > job->failures_highest)
        return NULL;
    if (n < job->failures_cap)
        return &kept[n];
    for (uint32_t i = 0; i < n; i++) {
        if (kept[i].item < 0 || kept[i].item == item)
            return &kept[i];
        if (!highest || kept[i].item > highest->item)
            highest = &kept[i];
    }
    job->failures_highest = highest->item;
    return highest->item > item ? highest : NULL;
}

static void lock_failures(struct cw_job *job) {
    if (cw_robust_lock(&job->failures_lock) == EOWNERDEAD) {
        job->failures_highest = -1;
        pthread_mutex_consistent(&job->failures_lock);
    }
}

static void keep_failure(const struct cw_maps *m, struct cw_job *job,
                         const struct cw_failure *failure) {
    struct cw_failure *kept = cw_ptr(&m->arena, job->failures);
    lock_failures(job);
    struct cw_failure *to = place_for(job, kept, failure->item);
    if (to) {
        /* An entry is whole once its item is set: a death in between leaves -1.
         * The fences keep the compiler from moving the stores; a death is not a
         * race between processors. */
        to->item = -1;
        atomic_signal_fence(memory_order_seq_cst);
        struct cw_failure copy = *failure;
        copy.item = -1;
        *to = copy;
        atomic_signal_fence(memory_order_seq_cst);
        to->item = failure->item;
        job->failures_highest = -1;
        uint32_t n = atomic_load_explicit(&job->failures_count, memory_order_relaxed);
        if (to == &kept[n])
            atomic_store_explicit(&job->failures_count, n + 1, memory_order_release);
    }
    pthread_mutex_unlock(&job->failures_lock);
}

void cw_job_fail(const struct cw_maps *m, struct cw_job *job, const struct cw_failure *failure) {
    keep_failure(m, job, failure);
    if (job->on_error == CREW_STOP)
        cw_job_stop_above(job, failure->item);
    _Atomic unsigned char *marks = cw_ptr(&m->arena, job->marks);
    /* After the failure is kept: a death in between runs the item again. */
    atomic_store_explicit(&marks[failure->item - job->base],
                          (unsigned char)(CW_MARK_ERROR - failure->code), memory_order_release);
}

bool cw_job_failure(const struct cw_maps *m, struct cw_job *job, int64_t item,
                    struct cw_failure *failure) {
    const struct cw_failure *kept = cw_ptr(&m->arena, job->failures);
    bool is = false;
    lock_failures(job);
    uint32_t n = atomic_load_explicit(&job->failures_count, memory_order_relaxed);
    for (uint32_t i = 0; i < n && !is; i++)
        if ((is = kept[i].item == item))
            *failure = kept[i];
    pthread_mutex_unlock(&job->failures_lock);
    return is;
}

int64_t cw_job_cut(struct cw_job *job, int64_t lo) {
    int64_t end = atomic_load(&job->end);
    if (lo >= end)
        return end;
    /* Pairs with the add and the load in claim_on, all sequentially consistent: either a
     * claim is seen in the cursor here, or its claimer sees the new end. */
    atomic_store(&job->end, lo);
    int64_t at = atomic_load(&job->cursor);
    if (at > lo)
        atomic_store(&job->end, lo = at < end ? at : end);
    return lo;
}

bool cw_job_redo(const struct cw_maps *m, struct cw_team *t, struct cw_job *job, int64_t lo,
                 int64_t hi, int attempt) {
    for (int i = 0; i < CW_REDO_SLOTS; i++) {
        struct cw_redo *redo = &job->redo[i];
        uint32_t none = 0;
        if (atomic_load_explicit(&redo->state, memory_order_relaxed) != 0 ||
            !atomic_compare_exchange_strong(&redo->state, &none, CW_REDO_FILLED))
            continue;
        redo->lo = lo;
        redo->hi = hi;
        redo->attempt = attempt;
        /* Pairs with the swap in cw_job_take_redo: the range. */
        atomic_store_explicit(&redo->state, 1, memory_order_release);
        atomic_store(&job->redo_ready, 1);
        atomic_fetch_or(&t->claimable, 1ull << job->slot);
        cw_team_wake(m, t, 1);
        return true;
    }
    return false;
}

static struct cw_redo *scan_redo(struct cw_job *job, int rank) {
    for (int i = 0; i < CW_REDO_SLOTS; i++) {
        uint32_t ready = 1;
        if (atomic_load(&job->redo[i].state) == 1 &&
            atomic_compare_exchange_strong(&job->redo[i].state, &ready, 2 + (uint32_t)rank))
            return &job->redo[i];
    }
    return NULL;
}

struct cw_redo *cw_job_take_redo(struct cw_job *job, int rank) {
    struct cw_redo *redo = scan_redo(job, rank);
    if (redo)
        return redo;
    /* The flag goes before the last look, a range comes before its flag: one that
     * is added meanwhile is found, or its flag stays. Whoever dies in between
     * leaves a ready range without a flag: the manager puts that right. */
    atomic_store(&job->redo_ready, 0);
    redo = scan_redo(job, rank);
    if (redo)
        atomic_store(&job->redo_ready, 1);
    return redo;
}
