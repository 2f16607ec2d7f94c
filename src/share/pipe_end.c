/* Whose the ends of a pipe are, and what becomes of the pipe. */
#include "share/pipe.h"

#include "base/error.h"
#include "share/kinds.h"

#include <limits.h>
#include <string.h>

#define NOTHING UINT64_MAX
enum { GENERATION_SHIFT = 2 * CW_END_BITS };

/* How much longer than its time limit one waits for a section of somebody else's. */
static const double PATIENCE = 0.1;

_Static_assert(sizeof(struct cw_pipe) == 384, "six lines");

/* ---- making one ---- */

int cw_pipe_init(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err) {
    struct cw_pipe *pipe = (struct cw_pipe *)head;
    const struct cw_pipe_plan *plan = arg;
    uint32_t me = share->party;
    if (me >= CW_END_CLOSED)
        return cw_error_set(err, CREW_ENOMEM, 0, "too many processes for a pipe");
    uint64_t generation = atomic_load(&head->generation) + (uint64_t)1;
    atomic_store(&pipe->owners,
                 generation << GENERATION_SHIFT | (uint64_t)me << CW_END_BITS | me);
    atomic_store(&pipe->creator, (generation & UINT32_MAX) << 32 | me);
    pipe->duplex = plan->duplex;
    pipe->spins = plan->spins;
    for (int end = 0; end < 2; end++) {
        atomic_store(&pipe->note[end], 0);
        atomic_store(&pipe->flow[end].put.at, NOTHING);
        atomic_store(&pipe->flow[end].take.at, NOTHING);
    }
    return 0;
}

/* ---- whose an end is ---- */

static bool change(const struct cw_conn *c, uint64_t *owners, uint32_t word) {
    /* Release: pairs with the acquire in cw_conn_look. */
    return atomic_compare_exchange_strong(&c->pipe->owners, owners,
                                          cw_end_with(*owners, c->end, word));
}

bool cw_conn_is_mine(const struct cw_conn *c) {
    uint64_t owners = atomic_load_explicit(&c->pipe->owners, memory_order_acquire);
    /* First the owner, then the generation: if the pipe is still the handle's it was
     * so when this process was seen to own it, and with a bolt of the end nobody can
     * end that. */
    return (cw_end_of(owners, c->end) & ~CW_END_NEWS) == c->self->share->party &&
           cw_object_same(&c->pipe->head, c->check);
}

static int take_over(const struct cw_conn *c) {
    uint32_t me = c->self->share->party;
    for (;;) {
        uint64_t owners = atomic_load(&c->pipe->owners);
        uint32_t word = cw_end_of(owners, c->end), party = word & CW_END_PARTY;
        if (!cw_object_same(&c->pipe->head, c->check) || cw_end_closed(word))
            return CREW_EINVAL;
        if (party == me)
            return 0;
        /* If its owner is dead its burial comes first, which leaves the far side
         * the news. */
        if (party != CW_END_ORPHAN && cw_party_dead(c->self->share, party))
            continue;
        if (!change(c, &owners, me | (word & CW_END_NEWS)))
            continue;
        cw_note_resume(c);
        return 0;
    }
}

/* The bolts of what the end does: sending, receiving. NULL if it does not. */
static void bolts_of(const struct cw_conn *c, cw_bolt *bolt[2]) {
    bolt[0] = cw_conn_sends(c) ? &c->pipe->flow[!c->end].put.bolt : NULL;
    bolt[1] = cw_conn_receives(c) ? &c->pipe->flow[c->end].take.bolt : NULL;
}

static void leave(const struct cw_conn *c, cw_bolt *bolt[2]) {
    for (int i = 0; i < 2; i++)
        if (bolt[i])
            cw_bolt_release(c->self, bolt[i], c->check);
}

static int acquire(const struct cw_conn *c, cw_bolt *bolt, double timeout) {
    return cw_bolt_acquire(c->self, bolt, c->check, timeout < 0 ? -1 : timeout + PATIENCE);
}

/* Acquires both; after that nobody is inside the end. */
static int enter_both(const struct cw_conn *c, cw_bolt *bolt[2], double timeout) {
    int rc = 0;
    bolts_of(c, bolt);
    for (int i = 0; i < 2; i++)
        if (bolt[i] && (rc = acquire(c, bolt[i], timeout)) < 0) {
            if (i == 1 && bolt[0])
                cw_bolt_release(c->self, bolt[0], c->check);
            return rc;
        }
    return 0;
}

int cw_conn_own(const struct cw_conn *c, double timeout) {
    cw_bolt *bolt[2];
    if (cw_conn_is_mine(c))
        return 0;
    int rc = enter_both(c, bolt, timeout);
    if (rc == 0) {
        rc = take_over(c);
        leave(c, bolt);
    }
    return rc;
}

int cw_conn_enter(const struct cw_conn *c, cw_bolt *bolt, double timeout) {
    for (;;) {
        int rc = acquire(c, bolt, timeout);
        if (rc < 0 || cw_conn_is_mine(c))
            return rc;
        cw_bolt_release(c->self, bolt, c->check);
        if ((rc = cw_conn_own(c, timeout)) < 0)
            return rc;
    }
}

/* ---- its end ---- */

/* All who wait at the pipe, or watch the far end's descriptor. */
static void tell(struct cw_pipe *pipe, int far) {
    for (int i = 0; i < 2; i++) {
        cw_gate_wake(&pipe->data[i], INT_MAX);
        cw_gate_wake(&pipe->room[i], INT_MAX);
    }
    cw_note_poke(pipe, far);
}

static bool idle(uint32_t word) {
    uint32_t party = word & CW_END_PARTY;
    return !(word & CW_END_GOING) && (party == CW_END_ORPHAN || party == CW_END_CLOSED);
}

/* Ends the pipe if nobody is left to use it. Both ends are closed for good by one
 * store, before it is ended: from then on nobody takes one over. */
static void end_if_over(struct cw_share *share, struct cw_pipe *pipe, uint32_t generation) {
    uint64_t closed = cw_end_with((uint64_t)generation << GENERATION_SHIFT, 0, CW_END_CLOSED);
    closed = cw_end_with(closed, 1, CW_END_CLOSED);
    uint64_t owners = atomic_load(&pipe->owners);
    do {
        if (owners >> GENERATION_SHIFT != closed >> GENERATION_SHIFT ||
            !idle(cw_end_of(owners, 0)) || !idle(cw_end_of(owners, 1)))
            return;
        if (owners != closed && atomic_load(&pipe->creator) != 0)
            return;
    } while (!atomic_compare_exchange_weak(&pipe->owners, &owners, closed));
    cw_object_end(share, CW_PIPE, cw_share_off(share, pipe) | (uint64_t)CW_PIPE << 48,
                  cw_handle_check(share, generation));
}

/* By its owner, with its bolts. */
static void close_mine(const struct cw_conn *c) {
    if (cw_conn_receives(c))
        cw_conn_drain(c);
    cw_note_drop(c);
    uint64_t owners = atomic_load(&c->pipe->owners);
    while (!change(c, &owners, c->self->share->party | CW_END_GOING | CW_END_SHUT))
        ;
    tell(c->pipe, !c->end);
    owners = atomic_load(&c->pipe->owners);
    while (!change(c, &owners, CW_END_CLOSED))
        ;
}

/* Who has made the pipe closes an end, which may be another's by now. */
static void let_go(const struct cw_conn *c) {
    const uint64_t made = (c->check & UINT32_MAX) << 32 | c->self->share->party;
    const uint64_t both = CW_PIPE_LET_GO(0) | CW_PIPE_LET_GO(1);
    uint64_t creator = atomic_load(&c->pipe->creator), next;
    do {
        if ((creator & ~both) != made)
            return;
        next = creator | CW_PIPE_LET_GO(c->end);
    } while (!atomic_compare_exchange_weak(&c->pipe->creator, &creator,
                                           (next & both) == both ? 0 : next));
}

int cw_conn_close(const struct cw_conn *c) {
    cw_bolt *bolt[2];
    struct cw_share *share = c->self->share;
    int rc = enter_both(c, bolt, -1);
    if (rc < 0)
        return rc;
    uint64_t owners = atomic_load(&c->pipe->owners);
    uint32_t party = cw_end_of(owners, c->end) & CW_END_PARTY;
    bool others = party < CW_END_CLOSED && party != share->party && !cw_party_dead(share, party);
    if (!cw_object_same(&c->pipe->head, c->check)) {
        rc = CREW_EINVAL;
    } else if (others) {
        cw_note_drop(c);
    } else if ((rc = take_over(c)) == 0) {
        close_mine(c);
    }
    if (rc == 0)
        let_go(c);
    leave(c, bolt);
    if (rc == 0)
        end_if_over(share, c->pipe, (uint32_t)c->check);
    return rc;
}

static void scrub(struct cw_share *share, struct cw_head *head) {
    for (int end = 0; end < 2; end++)
        cw_flow_scrub(share, (struct cw_pipe *)head, end);
}

static void wake(struct cw_share *share, struct cw_head *head) {
    struct cw_pipe *pipe = (struct cw_pipe *)head;
    (void)share;
    for (int i = 0; i < 2; i++) {
        cw_gate_wake(&pipe->data[i], INT_MAX);
        cw_gate_wake(&pipe->room[i], INT_MAX);
    }
}

/* ---- deaths ---- */

static bool swap(struct cw_pipe *pipe, int end, uint32_t from, uint32_t to) {
    uint64_t owners = atomic_load(&pipe->owners);
    while (cw_end_of(owners, end) == from)
        if (atomic_compare_exchange_weak(&pipe->owners, &owners, cw_end_with(owners, end, to)))
            return true;
    return false;
}

/* In two steps, so that whoever finishes this knows that the far side may not have
 * been told. The first one leaves the news, once. */
static void bury_end(struct cw_pipe *pipe, int end, uint32_t party) {
    for (;;) {
        uint32_t word = cw_end_of(atomic_load(&pipe->owners), end), owner = word & CW_END_PARTY;
        if (owner != party)
            return;
        if (!(word & CW_END_GOING)) {
            swap(pipe, end, word, party | CW_END_GOING | CW_END_NEWS);
        } else {
            atomic_store(&pipe->note[end], 0);
            tell(pipe, !end);
            swap(pipe, end, word,
                 word & CW_END_SHUT ? CW_END_CLOSED : CW_END_ORPHAN | (word & CW_END_NEWS));
        }
    }
}

static void turn(struct cw_head *head, uint32_t generation) {
    struct cw_pipe *pipe = (struct cw_pipe *)head;
    for (int end = 0; end < 2; end++) {
        cw_bolt_turn(&pipe->flow[end].put.bolt, generation);
        cw_bolt_turn(&pipe->flow[end].take.bolt, generation);
    }
}

static void bury(struct cw_share *share, struct cw_head *head, uint32_t party) {
    struct cw_pipe *pipe = (struct cw_pipe *)head;
    uint32_t generation = atomic_load(&head->generation);
    /* The flows first: once both ends have no owner the rings may be freed. (Whoever
     * takes the end over now asks for the owner's death, and waits for this burial.) */
    for (int end = 0; end < 2; end++)
        cw_flow_bury(share, pipe, end, party);
    for (int end = 0; end < 2; end++) {
        bury_end(pipe, end, party);
        cw_gate_bury(&pipe->data[end]);
        cw_gate_bury(&pipe->room[end]);
    }
    uint64_t creator = atomic_load(&pipe->creator);
    while ((creator & CW_END_PARTY) == party &&
           !atomic_compare_exchange_weak(&pipe->creator, &creator, 0))
        ;
    end_if_over(share, pipe, generation);
}

const struct cw_kind cw_kind_pipe = {.name = "pipe",
                                     .bytes = sizeof(struct cw_pipe),
                                     .scrub = scrub,
                                     .turn = turn,
                                     .bury = bury,
                                     .wake = wake};
