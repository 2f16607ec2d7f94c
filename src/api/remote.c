#include "api/remote_impl.h"

#include "api/joint.h"
#include "backend/fork/fork.h"
#include "os/clock.h"
#include "os/futex.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* So long after a question or an answer the agent awaits the next. Who waits for something
 * that takes longer, for hours perhaps, can wait for an idle agent's look, too. */
static const int64_t SOON_NS = 1000000000;

struct cw_remote cw_remote;

bool cw_remote_grow(void **array, uint32_t *room, uint32_t want, size_t bytes) {
    if (want <= *room)
        return true;
    uint32_t more = want < 64 ? 64 : 2 * want;
    char *data = realloc(*array, more * bytes);
    if (!data)
        return false;
    memset(data + *room * bytes, 0, (more - *room) * bytes);
    *array = data;
    *room = more;
    return true;
}

/* ---- letters ---- */

struct cw_letter cw_remote_about(enum cw_word word, const struct cw_desk *desk) {
    return (struct cw_letter){.word = word,
                              .pool = desk->party,
                              .turn = desk->life,
                              .slot = desk->head.number,
                              .generation = atomic_load(&desk->head.generation)};
}

bool cw_remote_send(int node, const struct cw_letter *letter, const void *head, size_t size,
                    const void *bytes, size_t count) {
    struct cw_parcel p;
    cw_parcel_begin(&p, letter);
    cw_parcel_put(&p, head, size);
    cw_parcel_put(&p, bytes, count);
    return cw_agent_send(cw_remote.agent, node, &p);
}

bool cw_remote_ship(int node, const struct cw_letter *letter, uint32_t number, const char *from,
                    uint64_t size) {
    struct cw_cargo *c = malloc(sizeof *c), **at = &cw_remote.cargo;
    if (!c)
        return false;
    *c = (struct cw_cargo){
        .node = node, .letter = *letter, .number = number, .from = from, .size = size};
    c->letter.hi = (int64_t)size;
    while (*at)
        at = &(*at)->next;
    *at = c;
    return true;
}

void cw_remote_unship(uint32_t number) {
    for (struct cw_cargo **at = &cw_remote.cargo; *at;)
        if ((*at)->number == number) {
            struct cw_cargo *c = *at;
            *at = c->next;
            free(c);
        } else {
            at = &(*at)->next;
        }
}

/* One part of it. True: there was room on the way. */
static bool carry(struct cw_cargo *c) {
    if (cw_remote.agent->nodes[c->node].lost ||
        cw_remote.agent->mpi->unsent(c->node) > CW_REMOTE_WINDOW)
        return false;
    uint64_t left = c->size - c->at, n = left < CW_REMOTE_PART ? left : CW_REMOTE_PART;
    c->letter.lo = (int64_t)c->at;
    if (!cw_remote_send(c->node, &c->letter, NULL, 0, c->from + c->at, n))
        return false; /* no memory: perhaps later */
    c->at += n;
    return true;
}

static bool carry_all(void) {
    bool any = false;
    for (struct cw_cargo *c = cw_remote.cargo, *next; c; c = next) {
        next = c->next;
        any = carry(c) || any;
        if (c->at < c->size)
            continue;
        uint32_t number = c->number;
        bool answer = c->letter.word == CW_W_ANSWER_PART;
        cw_remote_unship(number);
        if (answer)
            cw_in_sent(number);
    }
    return any;
}

int cw_remote_part(const struct cw_letter *letter, struct cw_reader *r, char *to, uint64_t size) {
    uint64_t n = (uint64_t)(r->end - r->at), at = (uint64_t)letter->lo;
    if (!to || at > size || n > size - at || (uint64_t)letter->hi != size)
        return -1;
    memcpy(to + at, r->at, n);
    return at + n == size;
}

static void talks(void) {
    cw_remote.talked_ns = cw_now_ns();
    cw_agent_talks(cw_remote.agent);
}

bool cw_remote_letter(int node, const struct cw_letter *letter, struct cw_reader *rest) {
    switch (letter->word) {
    case CW_W_ANSWER:
    case CW_W_ANSWER_PART:
    case CW_W_ASK_READY:
        talks();
        cw_out_letter(node, letter, rest);
        return true;
    case CW_W_ASK:
    case CW_W_ASK_PART:
    case CW_W_ANSWER_READY:
    case CW_W_LEFT:
    case CW_W_GONE:
        talks();
        cw_in_letter(node, letter, rest);
        return true;
    default:
        return false;
    }
}

/* ---- the agent's turns ---- */

bool cw_remote_pile(void) {
    uint32_t at = cw_desk_take_pile(cw_remote.share);
    bool any = at != 0;
    while (at) {
        struct cw_desk *desk = cw_desk_at(cw_remote.share, at - 1);
        at = desk->next; /* first: it may be there again soon */
        if (desk->tray)
            cw_in_tray(desk);
        else
            cw_out_desk(desk);
    }
    return any;
}

bool cw_remote_work(bool *waits) {
    if (!cw_remote.share)
        return false;
    bool any = cw_remote_pile();
    if (any)
        talks();
    any = cw_out_sweep() || any;
    any = cw_deputies_look() || any;
    any = carry_all() || any;
    *waits = *waits || cw_remote.cargo || cw_remote.unborn || cw_remote.dying ||
             ((cw_remote.asked || cw_remote.deputies) &&
              cw_now_ns() - cw_remote.talked_ns < SOON_NS);
    return any;
}

bool cw_remote_idle(void) {
    const struct cw_post *post = cw_remote.share ? &cw_remote.share->commons->post : NULL;
    return !post || (!atomic_load(&post->pile) && !atomic_load(&post->over));
}

void cw_remote_lost(int node) {
    if (!cw_remote.share)
        return;
    for (struct cw_cargo *c = cw_remote.cargo, *next; c; c = next) {
        next = c->next;
        if (c->node == node)
            cw_remote_unship(c->number);
    }
    cw_out_lost(node);
    for (struct cw_mission *d = cw_remote.deputies, *next; d; d = next) {
        next = d->next;
        if (d->node == node)
            cw_deputy_dismiss(d);
    }
}

/* ---- from other threads ---- */

_Atomic uint32_t *cw_remote_word(void) {
    return &cw_share_here()->commons->post.word;
}

void cw_remote_begin(struct cw_session *s, struct cw_agent *agent) {
    cw_remote = (struct cw_remote){.session = s, .agent = agent, .share = cw_share_here()};
    cw_remote.nursery = agent->joint ? cw_joint_nursery() : cw_fork_server();
    atomic_store(&cw_remote.share->commons->post.open, 1);
}

void cw_remote_end(bool again) {
    if (!cw_remote.share)
        return;
    atomic_store(&cw_remote.share->commons->post.open, 0);
    while (cw_remote.cargo)
        cw_remote_unship(cw_remote.cargo->number);
    cw_deputies_forget(again);
    cw_out_forget(again);
    free(cw_remote.by_tray);
    cw_remote = (struct cw_remote){0};
}
