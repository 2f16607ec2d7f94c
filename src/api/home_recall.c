/* Calls that wait at a node, where the manager has sent them ahead (most_tasks in
 * home_out.c), are cancelled like those that wait here. */
#include "api/home_impl.h"

#include "os/clock.h"

/* A node that says nothing for so long may have begun it. */
static const double RECALL_SECONDS = 1;

/* Who has it; NULL: no node that is still there. */
static struct cw_envoy *holder(struct cw_home *h, uint32_t number) {
    for (int k = 0; k < h->count; k++)
        for (int i = 0; h->posts[k].state == CW_POST_OPEN && i < h->posts[k].count; i++) {
            struct cw_envoy *e = &h->posts[k].envoys[i];
            if (e->proxy.holds == CW_PROXY_TASK && e->proxy.number == number)
                return e;
        }
    return NULL;
}

/* It came back since somebody looked. Nobody sends it meanwhile: that is done with the lock. */
static bool waits_here(const crew_pool *p, uint32_t number) {
    uint64_t state = atomic_load(&cw_task_at(&p->maps, p->team, number)->state);
    return cw_task_phase(state) == CW_TASK_QUEUED;
}

bool cw_home_recall(crew_pool *p, uint32_t number) {
    struct cw_deadline d = cw_deadline_in(RECALL_SECONDS);
    bool again = true;
    pthread_mutex_lock(&cw_homes.lock);
    struct cw_envoy *e = holder(p->home, number);
    const uint32_t turn = e ? e->turn : 0;
    if (!e) {
        again = waits_here(p, number);
    } else if (e->recall == CW_RECALL_NOT) {
        e->recall = CW_RECALL_WANTED;
        pthread_mutex_unlock(&cw_homes.lock);
        cw_home_wake();
        pthread_mutex_lock(&cw_homes.lock);
    }
    while (again && e && holder(p->home, number) == e && e->turn == turn) {
        again = e->recall == CW_RECALL_WANTED && !cw_deadline_over(&d);
        if (again)
            cw_home_wait_a_moment();
        else if (e->recall == CW_RECALL_WANTED)
            e->recall = CW_RECALL_NOT; /* who hears that it is too late is to be right */
    }
    pthread_mutex_unlock(&cw_homes.lock);
    return again;
}

void cw_home_recall_all(crew_pool *p) {
    if (!p->home)
        return;
    pthread_mutex_lock(&cw_homes.lock);
    for (int k = 0; k < p->home->count; k++)
        for (int i = 0; i < p->home->posts[k].count; i++)
            if (p->home->posts[k].envoys[i].recall == CW_RECALL_NOT)
                p->home->posts[k].envoys[i].recall = CW_RECALL_WANTED;
    pthread_mutex_unlock(&cw_homes.lock);
    cw_home_wake();
}
