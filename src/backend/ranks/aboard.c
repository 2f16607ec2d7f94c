/* Threads that are members of a rank. */
#include "backend/ranks/aboard.h"

#include "base/error.h"
#include "os/process.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct cw_aboard {
    struct cw_aboard *next;
    struct cw_aboard_post post;
    pthread_t id;
    _Atomic bool over;
};

static void *run(void *arg) {
    struct cw_aboard *me = arg;
    me->post.enter(&me->post.billet);
    /* Pairs with the supervisor's acquire: all that this member wrote. */
    atomic_store_explicit(&me->post.seat->state, CW_SEAT_ENDED, memory_order_release);
    cw_bell_ring(me->post.bell);
    atomic_store(&me->over, true);
    return NULL;
}

static int failed(const struct cw_aboard_post *post, int sys, crew_error *err) {
    atomic_store(&post->seat->sys, sys);
    atomic_store(&post->seat->step, CW_STEP_FORK);
    atomic_store(&post->seat->state, CW_SEAT_ENDED);
    cw_bell_ring(post->bell);
    return cw_error_set(err, CREW_EAGAIN, sys, "worker %d: no thread could be started",
                        post->billet.rank);
}

int cw_aboard_start(struct cw_aboard **all, const struct cw_aboard_post *post, crew_error *err) {
    cw_aboard_clear(all);
    struct cw_aboard *one = malloc(sizeof *one);
    if (!one)
        return failed(post, ENOMEM, err);
    *one = (struct cw_aboard){.next = *all, .post = *post};
    atomic_store(&post->seat->pid, getpid());
    atomic_store(&post->seat->state, CW_SEAT_ALIVE);
    int rc = cw_process_thread(&one->id, run, one);
    if (rc) {
        free(one);
        return failed(post, rc, err);
    }
    *all = one;
    return 0;
}

static void join(struct cw_aboard **all, bool wait) {
    while (*all) {
        struct cw_aboard *one = *all;
        if (!wait && !atomic_load(&one->over)) {
            all = &one->next;
            continue;
        }
        pthread_join(one->id, NULL);
        *all = one->next;
        free(one);
    }
}

void cw_aboard_clear(struct cw_aboard **all) {
    join(all, false);
}

void cw_aboard_join(struct cw_aboard **all) {
    join(all, true);
}
