/* Gang tasks on a node that is not the manager's: home's agent calls workers to their
 * musters, and hears what happens there. */
#include "api/gang.h"
#include "api/lease.h"
#include "fleet/wire.h"

#include "base/error.h"

#include <string.h>

/* About a worker and the call that was seen at its muster. */
static struct cw_letter letter_of(const crew_pool *p, int worker, uint32_t seen, enum cw_word word,
                                  int code) {
    return (struct cw_letter){.word = word,
                              .pool = p->serves,
                              .proxy = (uint32_t)worker,
                              .turn = cw_muster_call(seen),
                              .code = code};
}

static void post(const struct cw_letter *letter, const void *more, size_t size) {
    struct cw_parcel out;
    cw_parcel_begin(&out, letter);
    cw_parcel_put(&out, more, size);
    cw_guest_post(&out);
}

/* The muster is free before home hears of it, which may call this worker again. */
static void over(crew_pool *p, int worker, uint32_t seen) {
    struct cw_muster *s = cw_team_muster(&p->maps, p->team, worker);
    cw_off at = s->gang;
    const struct cw_gang *g = cw_ptr(&p->maps.arena, at);
    struct cw_failure failure = s->failure;
    int code = s->code;
    bool result = !code && s->place == 0;
    const struct cw_letter letter = letter_of(p, worker, seen, CW_W_GANG_OVER, code);
    pthread_mutex_lock(&p->lock); /* home may just not want it any more */
    s->gang = 0;
    cw_muster_turn(s, seen, CW_MUSTER_FREE);
    pthread_mutex_unlock(&p->lock);
    if (code)
        post(&letter, &failure, sizeof failure);
    else
        post(&letter, cw_ptr(&p->maps.arena, atomic_load(&g->out_cell)), result ? g->out_size : 0);
    cw_gang_free(&p->maps, at);
}

void cw_pool_relay_gangs(crew_pool *p) {
    if (!p->serves || !p->gangs)
        return;
    for (int i = 0; i < p->natives; i++) {
        struct cw_muster *s = cw_team_muster(&p->maps, p->team, i);
        const uint32_t seen = atomic_load(&s->word);
        const struct cw_letter here = letter_of(p, i, seen, CW_W_GANG_HERE, 0);
        if (cw_muster_state(seen) == CW_MUSTER_HERE && cw_muster_turn(s, seen, CW_MUSTER_AWAITED))
            post(&here, NULL, 0);
        else if (cw_muster_state(seen) == CW_MUSTER_OVER)
            over(p, i, seen);
    }
}

static int begin(crew_pool *p, struct cw_muster *s, const struct cw_letter *letter,
                 struct cw_reader *r, crew_error *err) {
    struct cw_gang like;
    const void *world = NULL, *in = NULL, *common = NULL;
    if (!cw_read_into(r, &like, sizeof like) || like.size < 1 ||
        !(world = cw_read(r, (size_t)like.size * sizeof(int32_t))) ||
        !(in = cw_read(r, like.in_size)) || !(common = cw_read(r, like.common_size)))
        return cw_error_set(err, CREW_EMISMATCH, 0, "a gang task could not be taken over");
    like.cancelled = 0;
    if (!(s->gang = cw_gang_make(&p->maps, &like, world, in, common, err)))
        return err->code;
    s->place = letter->code;
    s->code = 0;
    if (cw_muster_move(s, CW_MUSTER_AWAITED, CW_MUSTER_GO))
        return 0;
    cw_gang_free(&p->maps, s->gang); /* the pool ends */
    s->gang = 0;
    return 0;
}

void cw_guest_gang(crew_pool *p, const struct cw_letter *letter, struct cw_reader *r) {
    crew_error err;
    if (!p->gangs || letter->proxy >= (uint32_t)p->natives)
        return;
    struct cw_muster *s = cw_team_muster(&p->maps, p->team, (int)letter->proxy);
    if (letter->word == CW_W_GANG_CALL) {
        if (cw_muster_summon(s, letter->turn))
            cw_team_wake_one(&p->maps, p->team, (int)letter->proxy);
        return;
    }
    const uint32_t seen = atomic_load(&s->word);
    if (cw_muster_call(seen) != letter->turn)
        return;
    if (letter->word == CW_W_GANG_DISMISS) {
        cw_muster_dismiss(s);
    } else if (letter->word == CW_W_GANG_DROP) {
        pthread_mutex_lock(&p->lock);
        cw_gang_unwanted(&p->maps, s);
        pthread_mutex_unlock(&p->lock);
    } else if (letter->word == CW_W_GANG_GO && begin(p, s, letter, r, &err) < 0) {
        struct cw_failure f = {.code = err.code, .worker = -1};
        const struct cw_letter over =
            letter_of(p, (int)letter->proxy, seen, CW_W_GANG_OVER, f.code);
        memcpy(f.text, err.text, sizeof f.text - 1);
        cw_muster_dismiss(s);
        post(&over, &f, sizeof f);
    }
}

bool cw_guest_gang_waits(crew_pool *p) {
    for (int i = 0; p->gangs && i < p->natives; i++)
        if (cw_muster_state(atomic_load(&cw_team_muster(&p->maps, p->team, i)->word)) !=
            CW_MUSTER_FREE)
            return true;
    return false;
}
