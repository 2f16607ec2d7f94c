/* This node's threads ask about objects of others. */
#include "api/remote_impl.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

/* What is known of a desk, by its number. */
struct cw_question {
    int node; /* who was asked, + 1; 0: nothing is out */
    struct cw_ask ask;
    int *nodes; /* who has been asked, ever: they have a deputy of its process */
    int count;
    bool left; /* its thread has ended, and they were told */
    bool theirs;     /* its thread makes room: until the desk is on the pile it is not ours */
    bool broken;     /* and will hear then what desk->told says by now */
    uint64_t coming; /* so many bytes of the answer come in parts */
};

static struct cw_question *question_of(const struct cw_desk *desk) {
    return desk->head.number < cw_remote.desks ? &cw_remote.by_desk[desk->head.number] : NULL;
}

static void over(struct cw_question *q) {
    cw_remote.asked -= q->node != 0;
    q->node = 0;
}

static void answer(struct cw_desk *desk) {
    struct cw_question *q = question_of(desk);
    cw_remote_unship(desk->head.number);
    over(q);
    q->theirs = q->broken = false;
    q->coming = 0;
    cw_desk_turn(desk, CW_DESK_ANSWERED);
}

static void answer_broken(struct cw_desk *desk) {
    desk->told.bytes = 0;
    answer(desk);
}

/* At any time. Where its thread makes room it reads told.bytes yet, and would put a desk on
 * the pile that has been answered: so it hears of it when it has done that. */
static void answer_with(struct cw_desk *desk, const crew_error *why) {
    struct cw_question *q = question_of(desk);
    desk->told.rc = why->code;
    desk->told.error = *why;
    q->broken = q->theirs;
    if (!q->broken)
        answer_broken(desk);
}

static void answer_no_memory(struct cw_desk *desk) {
    crew_error err;
    cw_error_set(&err, CREW_ENOMEM, 0, "no memory for a question to another node");
    answer_with(desk, &err);
}

static void answer_lost(struct cw_desk *desk, int node) {
    crew_error err;
    cw_error_set(&err, CREW_EBROKEN, 0, "node %d (%s), which this object is on, was lost", node,
                 cw_remote.agent->nodes[node].host);
    answer_with(desk, &err);
}

static bool note_node(struct cw_question *q, int node) {
    for (int i = 0; i < q->count; i++)
        if (q->nodes[i] == node)
            return true;
    int *more = realloc(q->nodes, (size_t)(q->count + 1) * sizeof *more);
    if (!more)
        return false;
    q->nodes = more;
    q->nodes[q->count++] = node;
    return true;
}

/* ---- from the desk ---- */

static void ask(struct cw_desk *desk) {
    int node = (int)cw_handle_node(desk->ask.check);
    uint32_t number = desk->head.number;
    crew_error err;
    void *array = cw_remote.by_desk;
    bool room = cw_remote_grow(&array, &cw_remote.desks, number + 1, sizeof(struct cw_question));
    cw_remote.by_desk = array;
    struct cw_question *q = room ? &cw_remote.by_desk[number] : NULL;
    if (!q || !note_node(q, node)) {
        cw_error_set(&err, CREW_ENOMEM, 0, "no memory for a question to another node");
        desk->told = (struct cw_told){.rc = err.code, .error = err};
        cw_desk_turn(desk, CW_DESK_ANSWERED);
        return;
    }
    q->node = node + 1;
    q->ask = desk->ask; /* what is believed of it; its process may write there at any time */
    cw_remote.asked++;
    struct cw_letter letter = cw_remote_about(CW_W_ASK, desk);
    size_t bytes = q->ask.bytes <= CW_REMOTE_EAGER ? q->ask.bytes : 0;
    if (cw_remote.agent->nodes[node].lost)
        answer_lost(desk, node);
    else if (cw_remote_send(node, &letter, &q->ask, sizeof q->ask,
                            cw_desk_in(cw_remote.share, desk), bytes))
        return;
    else if (cw_remote.agent->mpi->broken(node))
        answer_lost(desk, node); /* it is about to be */
    else
        answer_no_memory(desk);
}

/* There is room for the answer, or there was none to be had. */
static void ready(struct cw_desk *desk) {
    struct cw_question *q = question_of(desk);
    if (!q || !q->node)
        return;
    q->theirs = false;
    if (q->broken) {
        answer_broken(desk);
        return;
    }
    struct cw_letter letter = cw_remote_about(CW_W_ANSWER_READY, desk);
    q->coming = desk->told.bytes;
    if (!atomic_load(&desk->out))
        letter.code = CREW_ENOMEM;
    if (!cw_agent_say(cw_remote.agent, q->node - 1, &letter))
        answer_lost(desk, q->node - 1);
    else if (letter.code)
        answer(desk);
}

void cw_out_desk(struct cw_desk *desk) {
    if (atomic_load(&desk->over) != CW_DESK_LASTS)
        return;
    /* Pairs with the release in cw_desk_put. */
    uint32_t state = atomic_load_explicit(&desk->state, memory_order_acquire);
    if (state == CW_DESK_ASKED)
        ask(desk);
    else if (state == CW_DESK_READY)
        ready(desk);
}

/* ---- from the object's node ---- */

/* The desk that the letter is about, if that node was asked and has not answered. */
static struct cw_desk *desk_of(int node, const struct cw_letter *letter) {
    if (letter->slot >= cw_cells(cw_remote.share, CW_DESK) || letter->slot >= cw_remote.desks)
        return NULL;
    struct cw_desk *desk = cw_desk_at(cw_remote.share, letter->slot);
    bool same = atomic_load(&desk->head.generation) == letter->generation && !desk->tray;
    return same && cw_remote.by_desk[letter->slot].node == node + 1 ? desk : NULL;
}

static void answered(struct cw_desk *desk, struct cw_reader *r) {
    struct cw_share *share = cw_remote.share;
    struct cw_question *q = question_of(desk);
    struct cw_told told;
    crew_error err;
    if (!cw_read_into(r, &told, sizeof told))
        return;
    if (q->theirs || q->coming) { /* what was promised does not come */
        answer_with(desk, &told.error);
        return;
    }
    desk->told = told;
    if (told.bytes > CW_REMOTE_EAGER) {
        q->theirs = true;
        cw_desk_turn(desk, CW_DESK_ROOM);
        return;
    }
    const void *from = cw_read(r, told.bytes);
    char *to = cw_desk_room(share, desk->small_out, &desk->out, told.bytes, &err);
    if (!from || !to) {
        if (to)
            cw_error_set(&err, CREW_EBROKEN, 0, "an answer was shorter than it said");
        answer_with(desk, &err);
        return;
    }
    if (told.bytes)
        memcpy(to, from, told.bytes);
    answer(desk);
}

void cw_out_letter(int node, const struct cw_letter *letter, struct cw_reader *r) {
    struct cw_desk *desk = desk_of(node, letter);
    if (!desk || atomic_load(&desk->over) != CW_DESK_LASTS)
        return;
    struct cw_question *q = question_of(desk);
    struct cw_letter part = cw_remote_about(CW_W_ASK_PART, desk);
    switch (letter->word) {
    case CW_W_ANSWER:
        answered(desk, r);
        break;
    case CW_W_ANSWER_PART:
        if (q->coming &&
            cw_remote_part(letter, r, cw_desk_out(cw_remote.share, desk), q->coming) == 1)
            answer(desk);
        break;
    default:
        if (!cw_remote_ship(node, &part, letter->slot, cw_desk_in(cw_remote.share, desk),
                            q->ask.bytes))
            answer_no_memory(desk);
    }
}

void cw_out_lost(int node) {
    for (uint32_t i = 0; i < cw_remote.desks; i++)
        if (cw_remote.by_desk[i].node == node + 1)
            answer_lost(cw_desk_at(cw_remote.share, i), node);
}

/* ---- ends ---- */

static void tell(const struct cw_question *q, const struct cw_desk *desk, enum cw_word word) {
    struct cw_letter letter = cw_remote_about(word, desk);
    for (int i = 0; i < q->count; i++)
        cw_agent_say(cw_remote.agent, q->nodes[i], &letter);
}

static void end(struct cw_desk *desk, struct cw_question *q) {
    cw_remote_unship(desk->head.number);
    if (q) {
        over(q);
        free(q->nodes);
        *q = (struct cw_question){0};
    }
    cw_desk_end(cw_remote.share, desk);
}

/* Another desk of that process. */
static struct cw_desk *beside(const struct cw_desk *desk) {
    for (uint32_t i = 0, n = cw_cells(cw_remote.share, CW_DESK); i < n; i++) {
        struct cw_desk *other = cw_desk_at(cw_remote.share, i);
        if (other != desk && cw_head_live(&other->head) && !other->tray &&
            other->party == desk->party && other->life == desk->life && question_of(other))
            return other;
    }
    return NULL;
}

/* Its thread has ended. The last one of a process stays: it says who is to be told when
 * the process does. */
static void leave(struct cw_desk *desk, struct cw_question *q) {
    if (!q || q->left)
        return;
    q->left = true;
    tell(q, desk, CW_W_LEFT);
    struct cw_desk *heir = beside(desk);
    bool whole = heir != NULL;
    for (int i = 0; whole && i < q->count; i++)
        whole = note_node(question_of(heir), q->nodes[i]);
    if (whole || q->count == 0)
        end(desk, q);
}

bool cw_out_sweep(void) {
    struct cw_share *share = cw_remote.share;
    if (!atomic_load(&share->commons->post.over) ||
        !atomic_exchange(&share->commons->post.over, 0))
        return false;
    /* What they had put there before they ended must not be met after they are no more.
     * First who is over, then the pile: nothing of theirs comes after that. */
    uint32_t n = cw_cells(share, CW_DESK);
    unsigned char *ends = calloc(n ? n : 1, 1);
    if (!ends) {
        atomic_store(&share->commons->post.over, 1); /* later */
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct cw_desk *desk = cw_desk_at(share, i);
        if (cw_head_live(&desk->head) && !desk->tray)
            ends[i] = (unsigned char)atomic_load(&desk->over);
    }
    cw_remote_pile();
    for (uint32_t i = 0; i < n; i++) {
        struct cw_desk *desk = cw_desk_at(share, i);
        struct cw_question *q = ends[i] ? question_of(desk) : NULL;
        if (ends[i] == CW_DESK_LEFT && q)
            leave(desk, q);
        else if (ends[i]) {
            if (q)
                tell(q, desk, CW_W_GONE);
            end(desk, q);
        }
    }
    free(ends);
    return true;
}

void cw_out_forget(bool again) {
    for (uint32_t i = 0; i < cw_remote.desks; i++) {
        if (again && cw_remote.by_desk[i].left) /* the others are their threads' */
            cw_desk_end(cw_remote.share, cw_desk_at(cw_remote.share, i));
        free(cw_remote.by_desk[i].nodes);
    }
    free(cw_remote.by_desk);
}
