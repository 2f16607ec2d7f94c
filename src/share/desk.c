/* Desks: their pile, their ends, and asking. */
#include "share/desk.h"

#include "base/error.h"
#include "os/futex.h"
#include "share/kinds.h"

#include <limits.h>
#include <string.h>

/* How long who waits for an answer trusts that there is an agent. */
static const double LOOK_AGAIN = 1;

/* ---- the pile ---- */

void cw_post_wake(struct cw_share *share) {
    struct cw_post *post = &share->commons->post;
    if (atomic_exchange(&post->word, 0))
        cw_futex_wake(&post->word, INT_MAX);
}

/* A thread that is killed before the swap leaves the pile as it was. */
static void push(_Atomic uint32_t *pile, struct cw_desk *desk) {
    uint32_t top = atomic_load(pile);
    do
        desk->next = top;
    while (!atomic_compare_exchange_weak(pile, &top, desk->head.number + 1));
}

void cw_desk_put(struct cw_share *share, struct cw_desk *desk, enum cw_desk_state state) {
    /* Pairs with the acquire of who takes it: question or answer. */
    atomic_store_explicit(&desk->state, state, memory_order_release);
    push(&share->commons->post.pile, desk);
    cw_post_wake(share);
}

void cw_desk_turn(struct cw_desk *desk, enum cw_desk_state state) {
    /* Pairs with the acquire of the thread that waits for it. */
    atomic_store_explicit(&desk->state, state, memory_order_release);
    cw_futex_wake(&desk->state, INT_MAX);
}

uint32_t cw_desk_take_pile(struct cw_share *share) {
    _Atomic uint32_t *pile = &share->commons->post.pile;
    uint32_t at = atomic_load(pile) ? atomic_exchange(pile, 0) : 0, first = 0;
    while (at) {
        struct cw_desk *desk = cw_desk_at(share, at - 1);
        uint32_t next = desk->next;
        desk->next = first;
        first = at;
        at = next;
    }
    return first;
}

/* ---- cells ---- */

static int fill(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err) {
    struct cw_desk *desk = (struct cw_desk *)head;
    (void)err;
    desk->tray = arg != NULL;
    desk->next = 0;
    desk->party = desk->tray ? 0 : share->party;
    if (desk->party)
        desk->life = atomic_load(&cw_cell(share, CW_PARTY, desk->party - 1)->generation);
    atomic_store(&desk->over, CW_DESK_LASTS);
    atomic_store(&desk->state, CW_DESK_IDLE);
    return 0;
}

static struct cw_desk *make(struct cw_share *share, void *tray, crew_error *err) {
    uint64_t place, check;
    if (cw_object_make(share, CW_DESK, fill, tray, &place, &check, err) < 0)
        return NULL;
    return cw_object(share, CW_DESK, place, check);
}

struct cw_desk *cw_tray_make(struct cw_share *share, crew_error *err) {
    return make(share, share, err);
}

struct cw_desk *cw_desk_get(struct cw_self *self, crew_error *err) {
    if (self->hand->desk)
        return cw_desk_at(self->share, self->hand->desk - 1);
    struct cw_desk *desk = make(self->share, NULL, err);
    if (desk)
        self->hand->desk = desk->head.number + 1;
    return desk;
}

void cw_desk_end(struct cw_share *share, struct cw_desk *desk) {
    cw_object_end(share, CW_DESK, cw_share_off(share, desk) | (uint64_t)CW_DESK << 48,
                  cw_handle_check(share, atomic_load(&desk->head.generation)));
}

static void scrub(struct cw_share *share, struct cw_head *head) {
    struct cw_desk *desk = (struct cw_desk *)head;
    cw_free_cell(&share->arena, &desk->in);
    cw_free_cell(&share->arena, &desk->out);
}

static void is_over(struct cw_share *share, struct cw_desk *desk, enum cw_desk_over how) {
    atomic_store(&desk->over, how);
    atomic_store(&share->commons->post.over, 1);
    cw_post_wake(share);
}

void cw_desk_leave(struct cw_share *share, struct cw_hand *hand) {
    is_over(share, cw_desk_at(share, hand->desk - 1), CW_DESK_LEFT);
    hand->desk = 0;
}

static void bury(struct cw_share *share, struct cw_head *head, uint32_t party) {
    struct cw_desk *desk = (struct cw_desk *)head;
    if (!desk->tray && desk->party == party)
        is_over(share, desk, CW_DESK_DEAD);
}

const struct cw_kind cw_kind_desk = {
    .name = "desk", .bytes = 1024, .scrub = scrub, .bury = bury};

_Static_assert(sizeof(struct cw_desk) <= 1024, "a cell");

/* ---- asking ---- */

char *cw_desk_room(struct cw_share *share, char *small, _Atomic cw_off *cell, uint64_t bytes,
                   crew_error *err) {
    if (bytes <= CW_DESK_INLINE)
        return small;
    cw_off off = cw_alloc(&share->arena, bytes, cell, err);
    return off ? cw_ptr(&share->arena, off) : NULL;
}

static int put_bytes(struct cw_self *self, struct cw_desk *desk, const struct cw_bytes *in,
                     crew_error *err) {
    struct cw_ask *ask = &desk->ask;
    ask->bytes = 0;
    ask->given = 0;
    for (int i = 0; i < CW_ASK_PARTS; i++) {
        ask->size[i] = in[i].size;
        ask->bytes += in[i].size;
        ask->given |= (uint32_t)(in[i].data != NULL) << i;
    }
    char *to = cw_desk_room(self->share, desk->small_in, &desk->in, ask->bytes, err);
    for (int i = 0; to && i < CW_ASK_PARTS; to += in[i++].size)
        if (in[i].size)
            memcpy(to, in[i].data, in[i].size);
    return to ? 0 : CREW_ENOMEM;
}

static int nobody_is_there(crew_error *err) {
    return cw_error_set(err, CREW_EBROKEN, 0, "other nodes cannot be asked any more: the program, "
                        "or its pool over them, ends");
}

int cw_desk_ask(struct cw_self *self, struct cw_desk *desk, const struct cw_bytes *in,
                cw_desk_wait *sleep_on, crew_error *err) {
    struct cw_share *share = self->share;
    uint32_t state;
    if (!atomic_load(&share->commons->post.open)) {
        cw_desk_leave(share, self->hand);
        return nobody_is_there(err);
    }
    int rc = put_bytes(self, desk, in, err);
    if (rc < 0)
        return rc;
    cw_desk_put(share, desk, CW_DESK_ASKED);
    while ((state = atomic_load_explicit(&desk->state, memory_order_acquire)) != CW_DESK_ANSWERED) {
        if (state == CW_DESK_ROOM) {
            cw_free_cell(&share->arena, &desk->in);
            if (!cw_desk_room(share, desk->small_out, &desk->out, desk->told.bytes, err))
                rc = CREW_ENOMEM;
            cw_desk_put(share, desk, CW_DESK_READY);
        } else if (atomic_load(&share->commons->post.open)) {
            sleep_on(&desk->state, state, LOOK_AGAIN);
        } else {
            cw_desk_leave(share, self->hand); /* it may be on the pile */
            return nobody_is_there(err);
        }
    }
    return rc;
}

void cw_desk_clear(struct cw_share *share, struct cw_desk *desk) {
    cw_free_cell(&share->arena, &desk->in);
    cw_free_cell(&share->arena, &desk->out);
    atomic_store_explicit(&desk->state, CW_DESK_IDLE, memory_order_relaxed);
}
