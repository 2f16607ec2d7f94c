/* Maps of more items than there are marks for: slice after slice on the same
 * place of the board.
 *
 * A slice is over when a whole map would be: everything below stop_at is marked
 * and nobody is inside. Its marks then are read and wiped, and the next slice is
 * put up under a new generation. What belongs to the map as a whole (stop_at,
 * the failures kept, its time limit) stays as it is, so that slices mean nothing
 * to whoever reads the result. */
#include "api/job_impl.h"
#include "api/journal.h"

#include <string.h>

static void move_on(crew_pool *p, struct cw_job *job) {
    int64_t left = job->count - job->end;
    job->base = job->end;
    job->end += left < p->slice ? left : p->slice;
    atomic_store(&job->cursor, job->base);
}

void cw_job_turn(crew_pool *p, crew_job *j) {
    struct cw_job *job = j->shared;
    j->state = CW_J_TURNING;
    pthread_mutex_unlock(&p->lock);
    cw_job_journal_slice_over(j);
    cw_job_collect_slice(p, j);
    memset(cw_ptr(&p->maps.arena, job->marks), 0, (size_t)(job->end - job->base));
    /* Also when it is not to go on: this slice must not be counted again. */
    move_on(p, job);
    cw_job_journal_slice(j);
    pthread_mutex_lock(&p->lock);
    if (j->stop_code)
        cw_job_give_place(p, j);
    else
        cw_job_put_up(p, j, (int)job->slot);
    cw_job_ring(&p->maps, p->team, job->slot);
}
