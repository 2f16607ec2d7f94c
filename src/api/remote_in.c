/* Other nodes' threads ask about objects of this one. */
#include "api/remote_impl.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

static struct cw_desk *tray_of(const struct cw_clerk *clerk) {
    return cw_desk_at(cw_remote.share, clerk->tray);
}

static struct cw_letter about(enum cw_word word, const struct cw_clerk *clerk) {
    return (struct cw_letter){
        .word = word, .slot = clerk->desk, .generation = clerk->generation};
}

/* ---- answers ---- */

static void refuse(int node, struct cw_letter *letter, const crew_error *why) {
    const struct cw_told told = {.rc = why->code, .error = *why};
    letter->word = CW_W_ANSWER;
    cw_remote_send(node, letter, &told, sizeof told, NULL, 0);
}

void cw_in_refuse(const struct cw_clerk *clerk, const crew_error *why) {
    struct cw_letter letter = about(CW_W_ANSWER, clerk);
    refuse(clerk->of->node, &letter, why);
}

static void rest(struct cw_clerk *clerk, struct cw_desk *tray) {
    clerk->busy = false;
    cw_free_cell(&cw_remote.share->arena, &tray->out);
    atomic_store_explicit(&tray->state, CW_DESK_IDLE, memory_order_relaxed);
}

static void refuse_no_memory(struct cw_clerk *clerk, struct cw_desk *tray) {
    crew_error err;
    cw_error_set(&err, CREW_ENOMEM, 0, "no memory for an answer to another node");
    cw_in_refuse(clerk, &err);
    rest(clerk, tray);
}

static void answer(struct cw_clerk *clerk, struct cw_desk *tray) {
    struct cw_letter letter = about(CW_W_ANSWER, clerk);
    size_t bytes = tray->told.bytes <= CW_REMOTE_EAGER ? tray->told.bytes : 0;
    if (!cw_remote_send(clerk->of->node, &letter, &tray->told, sizeof tray->told,
                        cw_desk_out(cw_remote.share, tray), bytes))
        refuse_no_memory(clerk, tray);
    else if (bytes == tray->told.bytes)
        rest(clerk, tray);
}

void cw_in_tray(struct cw_desk *tray) {
    uint32_t number = tray->head.number;
    struct cw_clerk *clerk = number < cw_remote.trays ? cw_remote.by_tray[number] : NULL;
    if (!clerk)
        return;
    struct cw_letter letter = about(CW_W_ASK_READY, clerk);
    /* Pairs with the release in cw_desk_put. */
    switch (atomic_load_explicit(&tray->state, memory_order_acquire)) {
    case CW_DESK_READY:
        cw_agent_say(cw_remote.agent, clerk->of->node, &letter);
        break;
    case CW_DESK_DONE:
        if (clerk->busy) /* else its asker has been told something else */
            answer(clerk, tray);
        break;
    case CW_DESK_GONE:
        cw_in_drop(clerk);
        break;
    default:
        break;
    }
}

void cw_in_sent(uint32_t tray) {
    rest(cw_remote.by_tray[tray], cw_desk_at(cw_remote.share, tray));
}

/* ---- clerks ---- */

void cw_in_drop(struct cw_clerk *clerk) {
    struct cw_clerk **at = &clerk->of->clerks;
    while (*at != clerk)
        at = &(*at)->next;
    *at = clerk->next;
    cw_remote_unship(clerk->tray);
    cw_remote.by_tray[clerk->tray] = NULL;
    cw_desk_end(cw_remote.share, tray_of(clerk));
    free(clerk);
}

static struct cw_clerk *find(const struct cw_mission *deputy, const struct cw_letter *letter) {
    struct cw_clerk *c = deputy ? deputy->clerks : NULL;
    while (c && (c->desk != letter->slot || c->generation != letter->generation))
        c = c->next;
    return c;
}

static struct cw_clerk *make(struct cw_mission *deputy, const struct cw_letter *letter,
                             crew_error *err) {
    struct cw_clerk *c = malloc(sizeof *c);
    struct cw_desk *tray = c ? cw_tray_make(cw_remote.share, err) : NULL;
    void *array = cw_remote.by_tray;
    if (!tray || !cw_remote_grow(&array, &cw_remote.trays, tray->head.number + 1, sizeof c)) {
        if (tray)
            cw_desk_end(cw_remote.share, tray);
        free(c);
        cw_error_set(err, CREW_ENOMEM, 0, "no memory for a call at the object's node");
        return NULL;
    }
    cw_remote.by_tray = array;
    *c = (struct cw_clerk){.next = deputy->clerks,
                           .of = deputy,
                           .desk = letter->slot,
                           .generation = letter->generation,
                           .tray = tray->head.number};
    deputy->clerks = c;
    cw_remote.by_tray[c->tray] = c;
    cw_deputy_show(deputy, tray);
    return c;
}

/* ---- letters ---- */

/* Its bytes are with the letter if they are few. */
static int put(struct cw_clerk *clerk, struct cw_reader *r, crew_error *err) {
    struct cw_desk *tray = tray_of(clerk);
    struct cw_ask ask;
    const void *from = NULL;
    bool there = cw_read_into(r, &ask, sizeof ask), eager = there && ask.bytes <= CW_REMOTE_EAGER;
    if (!there || (eager && !(from = cw_read(r, ask.bytes))))
        return cw_error_set(err, CREW_EMISMATCH, 0, "a question was shorter than it said");
    cw_free_cell(&cw_remote.share->arena, &tray->in); /* of one whose bytes never came */
    tray->ask = ask;
    char *to = eager ? cw_desk_room(cw_remote.share, tray->small_in, &tray->in, ask.bytes, err)
                     : NULL;
    if (eager && !to)
        return CREW_ENOMEM;
    if (to && ask.bytes)
        memcpy(to, from, ask.bytes);
    clerk->busy = true;
    cw_desk_turn(tray, eager ? CW_DESK_ASKED : CW_DESK_ROOM);
    return 0;
}

static void asked(int node, struct cw_mission *deputy, const struct cw_letter *letter,
                  struct cw_reader *r) {
    crew_error err;
    struct cw_letter answer = *letter;
    if (!deputy)
        deputy = cw_deputy_make(node, letter->pool, letter->turn, &err);
    struct cw_clerk *clerk = find(deputy, letter);
    if (deputy && !clerk)
        clerk = make(deputy, letter, &err);
    if (!clerk || put(clerk, r, &err) < 0)
        refuse(node, &answer, &err);
}

static void part(struct cw_clerk *clerk, const struct cw_letter *letter, struct cw_reader *r) {
    struct cw_desk *tray = tray_of(clerk);
    if (atomic_load(&tray->state) == CW_DESK_READY &&
        cw_remote_part(letter, r, cw_desk_in(cw_remote.share, tray), tray->ask.bytes) == 1)
        cw_desk_turn(tray, CW_DESK_ASKED);
}

/* There is room for the answer there, or there is none. */
static void ready(struct cw_clerk *clerk, int code) {
    struct cw_desk *tray = tray_of(clerk);
    struct cw_letter letter = about(CW_W_ANSWER_PART, clerk);
    if (atomic_load(&tray->state) != CW_DESK_DONE)
        return;
    if (code)
        rest(clerk, tray);
    else if (!cw_remote_ship(clerk->of->node, &letter, clerk->tray,
                             cw_desk_out(cw_remote.share, tray), tray->told.bytes))
        refuse_no_memory(clerk, tray);
}

void cw_in_letter(int node, const struct cw_letter *letter, struct cw_reader *r) {
    struct cw_mission *deputy = cw_deputy_find(node, letter->pool, letter->turn);
    struct cw_clerk *clerk = find(deputy, letter);
    if (letter->word == CW_W_ASK)
        asked(node, deputy, letter, r);
    else if (letter->word == CW_W_GONE && deputy)
        cw_deputy_dismiss(deputy);
    else if (letter->word == CW_W_ASK_PART && clerk)
        part(clerk, letter, r);
    else if (letter->word == CW_W_ANSWER_READY && clerk)
        ready(clerk, letter->code);
    else if (letter->word == CW_W_LEFT && clerk)
        cw_desk_turn(tray_of(clerk), CW_DESK_LEAVE);
}
