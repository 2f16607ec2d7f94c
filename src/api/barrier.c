/* Barriers, as their callers see them; their actions. */
#include "share/barrier.h"

#include "api/far.h"
#include "team/member.h"

#include <crew/sync.h>

int crew_barrier_create(crew_barrier *b, int parties, crew_fn *action) {
    struct cw_barrier_plan plan = {.parties = (uint32_t)parties};
    if (parties < 1 || parties > CW_BARRIER_MOST)
        return cw_error_set(NULL, CREW_EINVAL, 0, "a barrier has 1 to %lld parties, not %d",
                            (long long)CW_BARRIER_MOST, parties);
    int rc = action ? cw_fn_find((cw_fn *)action, NULL, &plan.action, cw_error_last()) : 0;
    if (rc < 0)
        return rc;
    return cw_handle_make(CW_BARRIER, cw_barrier_init, &plan, b ? &b->place : NULL,
                          b ? &b->check : NULL);
}

/* ---- waiting ---- */

/* The call of a process, or none, is this one for as long as the action runs. */
static int call_alone(crew_fn *fn, struct cw_frame *frame) {
    struct cw_frame *outer = cw_lone_frame;
    cw_lone_frame = frame;
    int rc = fn(&frame->call);
    cw_lone_frame = outer;
    return rc;
}

static int call_inside(struct cw_member *member, crew_fn *fn, struct cw_frame *frame) {
    cw_frame_enter(member, frame);
    int rc = fn(&frame->call);
    cw_frame_leave(member, frame);
    return rc;
}

/* In a call of its own, inside that which waits if there is one: a task's or a process's. */
static int run(cw_fn_name action) {
    crew_fn *fn = (crew_fn *)cw_fn_resolve(action);
    if (!fn)
        return cw_error_set(NULL, CREW_EMISMATCH, 0,
                            "the barrier's action is of a library that this process does not have");
    const crew_call *outer = crew_this_call();
    void *state = NULL;
    struct cw_frame frame = {
        .call = {.state = outer ? outer->state : &state,
                 .worker = outer ? outer->worker : 0,
                 .node = outer ? outer->node : 0,
                 .attempt = 1},
        .failed_at = -1};
    int rc = cw_this_member ? call_inside(cw_this_member, fn, &frame) : call_alone(fn, &frame);
    if (frame.refused)
        return cw_error_set(NULL, frame.refused, 0, "the barrier's action: %s", frame.text);
    if (rc == 0)
        return 0;
    cw_error_set(NULL, CREW_EFAILED, 0, "the barrier's action failed with code %d%s%s", rc,
                 frame.text[0] ? ": " : "", frame.text);
    cw_error_last()->task_code = rc;
    return CREW_EFAILED;
}

/* 0, or what the last one is told, whatever else has happened to the round. */
static int act(crew_barrier b, const struct cw_barrier *barrier) {
    struct cw_barrier_state state;
    if (cw_barrier_look(barrier, b.check, &state) < 0)
        return cw_handle_stale(CW_BARRIER, b.place, b.check);
    return state.action.object && !state.broken ? run(state.action) : 0;
}

static int wait_far(crew_barrier b, double timeout, uint32_t *index) {
    int rc = cw_far(CW_CALL_BARRIER_WAIT, b.place, b.check, timeout);
    *index = rc < 0 ? 0 : (uint32_t)rc;
    return rc < 0 ? rc : 0;
}

static int wait(crew_barrier b, double timeout, uint32_t *index) {
    struct cw_self *self;
    struct cw_barrier *barrier = cw_handle_use(CW_BARRIER, b.place, b.check, &self);
    if (!barrier)
        return wait_far(b, timeout, index);
    struct cw_deadline deadline = cw_deadline_in(timeout);
    struct cw_turn turn = {0};
    int rc = cw_barrier_arrive(self, barrier, b.check, &deadline, &turn);
    if (rc == 0 && turn.last) {
        int failed = act(b, barrier);
        rc = cw_barrier_end(self, barrier, b.check, &turn, failed < 0);
        if (failed < 0)
            return failed;
    } else if (rc == 0) {
        rc = cw_barrier_await(self, barrier, b.check, &deadline, &turn);
    }
    *index = turn.index;
    cw_handle_met();
    switch (rc) {
    case 0:
        return cw_error_clear(NULL);
    case CREW_ETIMEDOUT:
        return cw_error_set(NULL, rc, 0, "not all parties have come to the barrier in time");
    case CREW_EBROKEN:
        return cw_error_set(NULL, rc, 0, "the barrier is broken: a party died, was late or failed, "
                            "or somebody has aborted or reset it");
    default:
        return cw_handle_stale(CW_BARRIER, b.place, b.check);
    }
}

int crew_barrier_wait(crew_barrier b, double timeout) {
    uint32_t index = 0;
    return wait(b, timeout, &index);
}

int crew_barrier_wait_index(crew_barrier b, double timeout) {
    uint32_t index = 0;
    int rc = wait(b, timeout, &index);
    return rc < 0 ? rc : (int)index;
}

/* ---- the rest ---- */

int crew_barrier_abort(crew_barrier b) {
    struct cw_self *self;
    struct cw_barrier *barrier = cw_handle_use(CW_BARRIER, b.place, b.check, &self);
    if (!barrier)
        return cw_far(CW_CALL_BARRIER_ABORT, b.place, b.check, 0);
    if (cw_barrier_abort(barrier, b.check) < 0)
        return cw_handle_stale(CW_BARRIER, b.place, b.check);
    return cw_error_clear(NULL);
}

int crew_barrier_reset(crew_barrier b) {
    struct cw_self *self;
    struct cw_barrier *barrier = cw_handle_use(CW_BARRIER, b.place, b.check, &self);
    if (!barrier)
        return cw_far(CW_CALL_BARRIER_RESET, b.place, b.check, 0);
    if (cw_barrier_reset(self, barrier, b.check) < 0)
        return cw_handle_stale(CW_BARRIER, b.place, b.check);
    return cw_error_clear(NULL);
}

/* Of another node's barrier only what that call asks for, in each field. */
static int look(crew_barrier b, struct cw_barrier_state *state, enum cw_call far) {
    struct cw_self *self;
    const struct cw_barrier *barrier = cw_handle_use(CW_BARRIER, b.place, b.check, &self);
    if (!barrier) {
        int answer = cw_far(far, b.place, b.check, 0);
        *state = (struct cw_barrier_state){
            .parties = (uint32_t)answer, .waiting = (uint32_t)answer, .broken = answer > 0};
        return answer < 0 ? answer : 0;
    }
    if (cw_barrier_look(barrier, b.check, state) < 0)
        return cw_handle_stale(CW_BARRIER, b.place, b.check);
    return cw_error_clear(NULL);
}

int crew_barrier_parties(crew_barrier b) {
    struct cw_barrier_state state;
    int rc = look(b, &state, CW_CALL_BARRIER_PARTIES);
    return rc < 0 ? rc : (int)state.parties;
}

int crew_barrier_n_waiting(crew_barrier b) {
    struct cw_barrier_state state;
    int rc = look(b, &state, CW_CALL_BARRIER_N_WAITING);
    return rc < 0 ? rc : (int)state.waiting;
}

int crew_barrier_broken(crew_barrier b) {
    struct cw_barrier_state state;
    int rc = look(b, &state, CW_CALL_BARRIER_BROKEN);
    return rc < 0 ? rc : state.broken;
}

int crew_barrier_destroy(crew_barrier b) {
    return cw_handle_end(CW_BARRIER, b.place, b.check);
}
