/* Gangs on the board: their memory, and what a member does that is called. */
#include "team/gang.h"

#include "base/error.h"
#include "os/futex.h"
#include "os/output.h"
#include "team/member.h"

#include <stdio.h>
#include <string.h>

/* ---- memory ---- */

static size_t up16(size_t n) {
    return (n + 15) & ~(size_t)15;
}

static char *behind(const struct cw_gang *g) {
    return (char *)(uintptr_t)g + up16(sizeof *g);
}

const int32_t *cw_gang_world(const struct cw_gang *g) {
    return (const int32_t *)(const void *)behind(g);
}

const void *cw_gang_item(const struct cw_gang *g) {
    return behind(g) + up16((size_t)g->size * sizeof(int32_t));
}

const void *cw_gang_common(const struct cw_gang *g) {
    return (const char *)cw_gang_item(g) + up16(g->in_size);
}

static void copy(const void *to, const void *from, size_t size) {
    if (size)
        memcpy((void *)(uintptr_t)to, from, size);
}

cw_off cw_gang_make(const struct cw_maps *m, const struct cw_gang *like, const int32_t *world,
                    const void *in, const void *common, crew_error *err) {
    cw_arena arena = m->arena;
    size_t size = up16(sizeof *like) + up16((size_t)like->size * sizeof *world) +
                  up16(like->in_size) + like->common_size;
    cw_off at = cw_alloc_zero(&arena, size, NULL, err);
    if (!at)
        return 0;
    struct cw_gang *g = cw_ptr(&arena, at);
    memcpy(g, like, sizeof *g);
    g->out_size = 0;
    g->out_cell = 0;
    copy(cw_gang_world(g), world, (size_t)g->size * sizeof *world);
    copy(cw_gang_item(g), in, g->in_size);
    copy(cw_gang_common(g), common, g->common_size);
    return at;
}

void cw_gang_free(const struct cw_maps *m, cw_off at) {
    cw_arena arena = m->arena;
    if (!at)
        return;
    cw_free_cell(&arena, &((struct cw_gang *)cw_ptr(&arena, at))->out_cell);
    cw_free(&arena, at);
}

int cw_gang_reply(const struct cw_maps *m, struct cw_gang *g, const void *data, size_t size,
                  crew_error *err) {
    cw_arena arena = m->arena;
    g->out_size = 0;
    cw_free_cell(&arena, &g->out_cell);
    cw_off at = cw_alloc(&arena, size, &g->out_cell, err);
    if (!at)
        return CREW_ENOMEM;
    copy(cw_ptr(&arena, at), data, size);
    g->out_size = size;
    return 0;
}

/* ---- musters ---- */

static bool change(struct cw_muster *s, uint32_t seen, uint32_t to) {
    if (!atomic_compare_exchange_strong(&s->word, &seen, to))
        return false;
    cw_futex_wake(&s->word, 1);
    return true;
}

bool cw_muster_turn(struct cw_muster *s, uint32_t seen, enum cw_muster_state to) {
    return change(s, seen, cw_muster_word(cw_muster_call(seen), to));
}

bool cw_muster_move(struct cw_muster *s, enum cw_muster_state from, enum cw_muster_state to) {
    uint32_t seen = atomic_load(&s->word);
    return cw_muster_state(seen) == from && cw_muster_turn(s, seen, to);
}

bool cw_muster_summon(struct cw_muster *s, uint32_t call) {
    uint32_t seen = atomic_load(&s->word);
    return cw_muster_state(seen) == CW_MUSTER_FREE &&
           change(s, seen, cw_muster_word(call, CW_MUSTER_CALLED));
}

void cw_muster_dismiss(struct cw_muster *s) {
    uint32_t seen = atomic_load(&s->word);
    while (cw_muster_state(seen) >= CW_MUSTER_CALLED &&
           cw_muster_state(seen) <= CW_MUSTER_AWAITED && !cw_muster_turn(s, seen, CW_MUSTER_FREE))
        seen = atomic_load(&s->word);
}

void cw_muster_lose(struct cw_muster *s) {
    atomic_store(&s->word, cw_muster_word(0, CW_MUSTER_LOST));
}

void cw_gang_unwanted(const struct cw_maps *m, const struct cw_muster *s) {
    if (cw_muster_state(atomic_load(&s->word)) == CW_MUSTER_GO && s->gang)
        atomic_store(&((struct cw_gang *)cw_ptr(&m->arena, s->gang))->cancelled, 1);
}

/* ---- the member ---- */

static int call(struct cw_member *m, struct cw_muster *s, struct cw_gang *g) {
    struct cw_frame *frame = &m->line->frame;
    crew_fn *fn = (crew_fn *)cw_member_fn(m, &g->fn);
    cw_guard_catch_up(m->maps.root);
    frame->task = NULL;
    frame->job = NULL;
    frame->spawned = 0;
    cw_call_set(&frame->call, &(crew_call){.in = cw_gang_item(g),
                              .in_size = g->in_size,
                              .common = cw_gang_common(g),
                              .common_size = g->common_size,
                              .state = &m->state,
                              .index = g->index,
                              .worker = m->team->first + m->rank,
                              .node = m->team->node,
                              .attempt = g->attempt});
    cw_frame_enter(m, frame);
    int rc = 0;
    if (fn) {
        rc = fn(&frame->call);
    } else {
        frame->noted = 1;
        frame->refused = CREW_EMISMATCH;
        snprintf(frame->text, sizeof frame->text,
                 "its function is not in the program or libraries of that rank");
    }
    int code = rc | frame->noted ? cw_frame_judge(frame, rc, &s->failure) : 0;
    cw_frame_leave(m, frame);
    return code;
}

static bool unwanted(struct cw_member *m, struct cw_gang *g) {
    return atomic_load(&g->cancelled) ||
           atomic_load_explicit(&m->team->quit, memory_order_relaxed) == CW_TERMINATE;
}

static void run(struct cw_member *m, struct cw_muster *s) {
    struct cw_gang *g = cw_ptr(&m->maps.arena, s->gang);
    struct cw_line *line = m->line;
    m->gang = g;
    m->place = s->place;
    cw_member_name_gang(m, g->task_timeout);
    s->code = call(m, s, g);
    /* One that gave up because nobody wants it any more has not failed. */
    if (s->code == CREW_EFAILED && unwanted(m, g))
        s->failure.code = s->code = CREW_ECANCELLED;
    if (m->comm_over)
        m->comm_over(m);
    m->gang = NULL;
    cw_member_name_task(m, 0);
    cw_output_flush();
    atomic_fetch_add(&line->items, 1);
    if (s->code && s->code != CREW_ECANCELLED)
        atomic_fetch_add(&line->failures, 1);
}

bool cw_member_muster(struct cw_member *m) {
    struct cw_muster *s = m->muster;
    if (!cw_muster_calls(s) || !cw_muster_move(s, CW_MUSTER_CALLED, CW_MUSTER_HERE))
        return false;
    cw_team_ring(&m->maps, m->team);
    /* Whoever woke this one for other work counts on somebody to take it. */
    if (atomic_load(&m->team->claimable) || cw_task_any(&m->maps, m->team))
        cw_team_wake(&m->maps, m->team, 1);
    cw_meter_stop(&m->line->busy);
    uint32_t now;
    while (cw_muster_state(now = atomic_load(&s->word)) == CW_MUSTER_HERE ||
           cw_muster_state(now) == CW_MUSTER_AWAITED)
        cw_futex_wait(&s->word, now, -1);
    cw_meter_start(&m->line->busy);
    if (cw_muster_state(now) != CW_MUSTER_GO)
        return true;
    run(m, s);
    if (m->tasks_left > 0)
        m->tasks_left--;
    /* Release: what it is to tell, and its result. */
    atomic_store(&s->word, cw_muster_word(cw_muster_call(now), CW_MUSTER_OVER));
    cw_team_ring(&m->maps, m->team);
    return true;
}
