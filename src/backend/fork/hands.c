#include "backend/fork/hands.h"

#include "os/process.h"

#include <crew/pool.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

struct cw_nursery_order cw_hands_order(const struct cw_hands *h, int rank) {
    const struct cw_hands_request *r = &h->request;
    struct cw_nursery_order order = {.what = r->start == CREW_START_SPAWN ? CW_NURSE_SPAWN
                                                                          : CW_NURSE_FORK,
                                     .seat = &r->seats[rank],
                                     .bell = r->bell,
                                     .billet = {.team = r->team, .rank = rank},
                                     .segment_fd = r->segment->fd,
                                     .root_fd = r->root->fd,
                                     .enter = r->enter};
    cw_signals_get(&order.signals);
    return order;
}

void cw_hands_bury(const struct cw_hands *h, const int *of, int which) {
    const struct cw_hands_request *r = &h->request;
    pid_t *pids = calloc((size_t)r->members, sizeof *pids);
    for (int i = 0; pids && i < r->members; i++) {
        uint32_t state = atomic_load_explicit(&r->seats[i].state, memory_order_acquire);
        if (of && of[i] != which)
            continue;
        if (state == CW_SEAT_ALIVE || state == CW_SEAT_ASKED)
            pids[i] = atomic_load(&r->seats[i].pid);
        if (pids[i] > 0)
            kill(pids[i], SIGKILL);
    }
    if (pids)
        cw_process_await_gone(pids, r->members, 2);
    for (int i = 0; pids && i < r->members; i++)
        if (pids[i] > 0) {
            cw_process_sweep(pids[i]);
            waitpid(pids[i], NULL, WNOHANG); /* ours, if orphans fall to us */
        }
    free(pids);
}
