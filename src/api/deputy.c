/* The process that makes calls at home for a process of another node. */
#include "api/deputy.h"

#include "api/far.h"
#include "api/worker.h"
#include "os/futex.h"
#include "os/process.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Owner: this process, which is a deputy. */
static cw_segment root;
static struct cw_share *share;

/* ---- a thread, for one of theirs ---- */

static void refuse(struct cw_desk *tray, const crew_error *why) {
    tray->told = (struct cw_told){.rc = why->code, .error = *why};
}

/* What the call gave goes where the agent finds it. */
static void hand_over(struct cw_desk *tray, const struct cw_given *given) {
    struct cw_told *told = &tray->told;
    told->error = *crew_last_error();
    if (told->rc < 0 || !given->size)
        return;
    char *to = cw_desk_room(share, tray->small_out, &tray->out, given->size, &told->error);
    if (to)
        memcpy(to, given->data, given->size);
    else
        told->rc = CREW_ENOMEM;
    told->bytes = to ? given->size : 0;
}

static void make(struct cw_desk *tray) {
    struct cw_given given = {0};
    tray->told = (struct cw_told){0};
    cw_error_clear(NULL);
    if (tray->ask.call < CW_CALLS_SYNC)
        cw_far_make_sync(&tray->ask, &tray->told);
    else
        cw_far_make_data(&tray->ask, cw_desk_in(share, tray), &tray->told, &given);
    hand_over(tray, &given);
    free(given.data);
    cw_free_cell(&share->arena, &tray->in);
}

static void make_room(struct cw_desk *tray) {
    crew_error err;
    if (cw_desk_room(share, tray->small_in, &tray->in, tray->ask.bytes, &err)) {
        cw_desk_put(share, tray, CW_DESK_READY);
        return;
    }
    refuse(tray, &err);
    cw_desk_put(share, tray, CW_DESK_DONE);
}

/* So long after an answer the next question is looked for: who asks once often asks again. */
static const int64_t NEXT_NS = 50000;

static void *clerk(void *arg) {
    struct cw_desk *tray = arg;
    uint32_t state;
    while ((state = atomic_load_explicit(&tray->state, memory_order_acquire)) != CW_DESK_LEAVE) {
        if (state == CW_DESK_ASKED) {
            make(tray);
            cw_desk_put(share, tray, CW_DESK_DONE);
        } else if (state == CW_DESK_ROOM) {
            make_room(tray);
        } else if (!cw_futex_expect(&tray->state, state, NEXT_NS)) {
            cw_futex_wait(&tray->state, state, -1);
        }
    }
    cw_desk_put(share, tray, CW_DESK_GONE);
    return NULL;
}

/* ---- the first thread: answers for the life of the process, brings the others ---- */

/* Whoever asks there is told that there is nobody. False: nobody asks (yet). */
static bool cannot(struct cw_desk *tray, int rc) {
    crew_error err;
    uint32_t state = atomic_load_explicit(&tray->state, memory_order_acquire);
    if (state == CW_DESK_LEAVE) {
        cw_desk_put(share, tray, CW_DESK_GONE);
        return true;
    }
    if (state == CW_DESK_ASKED || state == CW_DESK_ROOM) {
        cw_error_set(&err, CREW_EAGAIN, rc, "no thread for the call at the object's node");
        refuse(tray, &err);
        cw_desk_put(share, tray, CW_DESK_DONE);
    }
    return false;
}

/* How often a tray is looked at again that found no thread. */
static const double AGAIN = 0.01;

/* Threads for these; those that find none are added to `kept`, which is returned. */
static uint32_t start(uint32_t trays, uint32_t kept) {
    pthread_t thread;
    for (uint32_t next; trays; trays = next) {
        struct cw_desk *tray = cw_desk_at(share, trays - 1);
        next = tray->fresh;
        int rc = cw_process_thread(&thread, clerk, tray);
        if (rc == 0) {
            pthread_detach(thread);
        } else if (!cannot(tray, rc)) {
            tray->fresh = kept;
            kept = trays;
        }
    }
    return kept;
}

/* The segment as the leader mapped it: its nursery has it at the same place. */
void cw_deputy_enter(const struct cw_billet *billet) {
    crew_error err;
    cw_session_segments(&root);
    struct cw_deputy *record = (struct cw_deputy *)(root.base + billet->team);
    cw_worker_settle(&root, 1, 1, "crew-deputy");
    if (cw_session_join_objects(&root, &err) < 0)
        _exit(CW_EXIT_SETUP);
    share = cw_share_here();
    for (uint32_t kept = 0;;) {
        uint32_t seen = atomic_load(&record->news);
        kept = start(kept, 0);
        kept = start(atomic_exchange(&record->fresh, 0), kept);
        cw_futex_wait(&record->news, seen, kept ? AGAIN : -1);
    }
}
