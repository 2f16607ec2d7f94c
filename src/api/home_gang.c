/* Gang tasks on other nodes: at the manager's musters of their workers the agent is who
 * comes. It tells a worker what has changed there, and what it answers is stored. */
#include "api/home_impl.h"

#include "api/gang.h"

#include <string.h>

static struct cw_muster *muster_of(struct cw_home *h, const struct cw_outpost *post, int i) {
    return cw_team_muster(cw_home_maps(h), h->pool->team, post->first + i);
}

static bool say(struct cw_home *h, struct cw_outpost *post, int i, enum cw_word word) {
    const struct cw_letter letter = {
        .word = word, .pool = h->id, .proxy = (uint32_t)i, .turn = post->told[i].turn};
    return cw_agent_say(cw_homes.agent, post->node, &letter);
}

static void send_gang(struct cw_home *h, struct cw_outpost *post, int i) {
    const struct cw_muster *s = muster_of(h, post, i);
    const struct cw_gang *g = cw_ptr(&cw_home_maps(h)->arena, s->gang);
    /* Its result is being written if place 0 is here: none of that. */
    const struct cw_gang like = {.fn = g->fn,
                                 .id = g->id,
                                 .tag = g->tag,
                                 .size = g->size,
                                 .attempt = g->attempt,
                                 .index = g->index,
                                 .stream = g->stream,
                                 .task_timeout = g->task_timeout,
                                 .in_size = g->in_size,
                                 .common_size = g->common_size};
    const struct cw_letter letter = {.word = CW_W_GANG_GO,
                                     .pool = h->id,
                                     .proxy = (uint32_t)i,
                                     .turn = post->told[i].turn,
                                     .code = s->place};
    struct cw_parcel out;
    cw_parcel_begin(&out, &letter);
    cw_parcel_put(&out, &like, sizeof like);
    cw_parcel_put(&out, cw_gang_world(g), (size_t)g->size * sizeof(int32_t));
    cw_parcel_put(&out, cw_gang_item(g), g->in_size);
    cw_parcel_put(&out, cw_gang_common(g), g->common_size);
    if (!cw_agent_send(cw_homes.agent, post->node, &out)) {
        crew_error err = {.code = CREW_EBROKEN, .item = -1, .worker = -1};
        memcpy(err.text, "a gang task could not be sent to a node", 40);
        cw_home_gone(h, post, &err);
    }
}

static bool tell(struct cw_home *h, struct cw_outpost *post, int i) {
    struct cw_muster *s = muster_of(h, post, i);
    struct cw_told *told = &post->told[i];
    const uint32_t word = atomic_load(&s->word), turn = cw_muster_call(word);
    const enum cw_muster_state state = cw_muster_state(word);
    bool called = state == CW_MUSTER_CALLED || state == CW_MUSTER_HERE ||
                  state == CW_MUSTER_AWAITED;
    if (told->what == CW_TOLD_CALL && (told->turn != turn || state == CW_MUSTER_FREE)) {
        say(h, post, i, CW_W_GANG_DISMISS);
        told->what = CW_TOLD_NOTHING;
        return true;
    }
    if (called && told->turn != turn) {
        *told = (struct cw_told){.turn = turn, .what = CW_TOLD_CALL};
        say(h, post, i, CW_W_GANG_CALL);
        return true;
    }
    if (state != CW_MUSTER_GO)
        return false;
    if (told->what == CW_TOLD_CALL) {
        told->what = CW_TOLD_GO;
        send_gang(h, post, i);
        return true;
    }
    const struct cw_gang *g = cw_ptr(&cw_home_maps(h)->arena, s->gang);
    if (told->what != CW_TOLD_GO || !atomic_load(&g->cancelled))
        return false;
    told->what = CW_TOLD_DROP;
    say(h, post, i, CW_W_GANG_DROP);
    return true;
}

bool cw_home_tell_gangs(struct cw_home *h, struct cw_outpost *post, bool *waits) {
    bool any = false;
    for (int i = 0; h->pool->team->musters && i < post->workers && post->state == CW_POST_OPEN; i++) {
        any = tell(h, post, i) || any;
        *waits =
            *waits || cw_muster_state(atomic_load(&muster_of(h, post, i)->word)) != CW_MUSTER_FREE;
    }
    return any;
}

/* Of place 0: its result; of any: whether it has failed. */
static void over(struct cw_home *h, struct cw_muster *s, int code, struct cw_reader *r) {
    crew_error err;
    s->code = code;
    if (code) {
        s->failure = (struct cw_failure){.code = code, .worker = -1};
        cw_read_into(r, &s->failure, sizeof s->failure);
    } else if (s->place == 0 && r->at < r->end &&
               cw_gang_reply(cw_home_maps(h), cw_ptr(&cw_home_maps(h)->arena, s->gang), r->at,
                             (size_t)(r->end - r->at), &err) < 0) {
        s->code = CREW_ENOMEM;
        s->failure = (struct cw_failure){.code = CREW_ENOMEM, .worker = -1};
        memcpy(s->failure.text, "no memory for its result", 25);
    }
    cw_muster_move(s, CW_MUSTER_GO, CW_MUSTER_OVER);
}

void cw_home_gang(struct cw_home *h, struct cw_outpost *post, const struct cw_letter *letter,
                  struct cw_reader *r) {
    if (letter->proxy >= (uint32_t)post->workers || !h->pool->team->musters)
        return;
    struct cw_muster *s = muster_of(h, post, (int)letter->proxy);
    struct cw_told *told = &post->told[letter->proxy];
    const uint32_t seen = atomic_load(&s->word);
    if (letter->turn != cw_muster_call(seen) || letter->turn != told->turn)
        return; /* it was dismissed since */
    if (letter->word == CW_W_GANG_HERE && cw_muster_state(seen) == CW_MUSTER_CALLED)
        cw_muster_turn(s, seen, CW_MUSTER_HERE);
    else if (told->what >= CW_TOLD_GO && cw_muster_state(seen) == CW_MUSTER_GO)
        over(h, s, letter->code, r);
    cw_team_ring(cw_home_maps(h), h->pool->team);
}

void cw_home_gangs_gone(struct cw_home *h, struct cw_outpost *post) {
    for (int i = 0; h->pool->team->musters && i < post->workers; i++)
        cw_muster_lose(muster_of(h, post, i));
}
