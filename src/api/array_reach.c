/* Elements of other nodes' parts, one-sided: the agent that wants them fetches them out of
 * the other node's memory (cw_mpi.fetch, MPI_Rget), whose agent does nothing for it.
 *
 * A *get* is a read by the asker's agent. Where the part lies it has from the answer to the
 * first get of that array and node, which is a letter. It is not looked at who has the
 * memory then, so it must be the array's until nobody reads it: memory of arrays that others know
 * is `held` by its node's agent. The array's home tells all nodes when it has ended (GONE); each
 * answers when it has forgotten where the parts lie and its own reads are over. When all have, home
 * says so (GONE, 1), and each frees its part. What was not held is never told.
 *
 * A *put* of some length is a letter without its elements, which stay in the asker's boat; the
 * agent of the part fetches them from there, into memory of its own, and then does with
 * them what it does with those that come in a letter. So a boat full (1 MiB) is put as a whole or
 * not at all, into an array that is there, and not by a node that was taken for lost.
 *
 * *Adds*, runs of a view that are no neighbours, and copies (REPLICATED) go by letters. An add is
 * one atomic step of a processor, whoever adds; MPI's accumulates are steps of the target's
 * agent that know nothing of those of the other processes there.
 *
 * All on the agent's thread, but for the hold. */
#include "api/array_agent.h"
#include "base/error.h"
#include "os/clock.h"
#include "share/value.h"

#include <stdlib.h>
#include <string.h>

/* Puts from here on: a letter that says where they are and a read are not worth it before
 * (figures: docs/ARCHITECTURE.md, "One-sided"). */
enum { PULL_LEAST = 512 << 10 };
enum { KNOWN = 1024 };
static const uint64_t PIECE = 1 << 30;
/* A node that is being read looks often for so long after it was told. */
static const int64_t NUDGE_NS = 100000;

/* How long an agent that waits for a read, or whose memory is to be read, does not sleep. */
static const int64_t EAGER_NS = 1000000;

/* Where a node's part of an array lies. */
struct place {
    crew_array a; /* as all call it; {0}: none */
    int node;
    uint64_t data;    /* in that node's segment: where element 0 would be */
    int64_t from, to; /* bytes that are there */
};

struct pull {
    struct pull *next;
    int node, ticket;
    struct cw_letter letter;
    struct cw_freight freight;
    char *elements;
};

/* Memory of another node's array, on this one. */
struct hold {
    struct hold *next;
    crew_array a;
    cw_off block;
};

/* Home is told that an array is forgotten when no read of it is under way. */
struct leave {
    bool waits;
    int node;
    struct cw_letter letter;
};

static struct {
    struct cw_share *share;
    struct cw_agent *agent;
    struct cw_ferry *ferry;
    struct place known[KNOWN];
    int tickets[CW_BOATS], nodes[CW_BOATS]; /* of boats that wait for a read; -1: none */
    int reading;
    struct pull *pulls;
    struct hold *holds;
    struct leave leaves[CW_BOATS]; /* no more arrays than boats are being read */
    int64_t *nudged_ns;            /* by node */
} mine;

static const struct cw_mpi *mpi(void) {
    return mine.agent->mpi;
}

static bool same(crew_array a, crew_array b) {
    return a.place == b.place && a.check == b.check;
}

static struct place *place_of(crew_array a, int node) {
    uint64_t mixed = (a.place >> 6 ^ a.check ^ (uint64_t)node << 17) * 0x9e3779b97f4a7c15u;
    return &mine.known[mixed % KNOWN];
}

/* ---- gets ---- */

uint64_t cw_reach_tell(const struct cw_array *array) {
    return mine.agent->reaches && atomic_load(&array->held) == 1 ? atomic_load(&array->data) + 1
                                                                 : 0;
}

void cw_reach_learn(int node, crew_array a, uint64_t told) {
    crew_array own;
    const struct cw_array *array =
        told && mine.agent->reaches ? cw_array_agent_find(a, &own) : NULL;
    if (!array) /* it has ended: nobody would say when to forget it */
        return;
    struct cw_array_form form;
    int64_t first, rows;
    cw_array_form(array, &form);
    int64_t all = form.shape[0], row = all ? cw_array_count(&form) / all : 0;
    row *= (int64_t)cw_type_size(form.type);
    cw_array_part(all, node, mine.agent->place.nodes, &first, &rows);
    *place_of(a, node) = (struct place){
        .a = a, .node = node, .data = told - 1, .from = first * row, .to = (first + rows) * row};
}

/* What is read comes in some steps of both sides, of some microseconds each. */
static void look_often(void) {
    mine.agent->eager_ns = cw_now_ns() + EAGER_NS;
}

/* MPI reads for others when it is called, and its agent calls it when letters come. */
static void nudge(int node) {
    int64_t now = cw_now_ns();
    if (now - mine.nudged_ns[node] < NUDGE_NS)
        return;
    mine.nudged_ns[node] = now;
    cw_agent_say(mine.agent, node, &(struct cw_letter){.word = CW_W_NUDGE});
}

bool cw_reach_get(int boat, const struct cw_freight *f, char *room) {
    const crew_array a = {f->place, f->check};
    if (!mine.agent->reaches || f->op != CW_F_GET || f->stride != 1 || f->node < 0 ||
        mine.agent->nodes[f->node].lost)
        return false;
    const struct place *there = place_of(a, f->node);
    int64_t size = f->n * (int64_t)cw_type_size(f->type);
    if (!same(there->a, a) || there->node != f->node || f->at < there->from ||
        size > there->to - f->at)
        return false;
    int ticket = mpi()->fetch(f->node, there->data + (uint64_t)f->at, room, (size_t)size);
    if (ticket < 0)
        return false;
    nudge(f->node);
    look_often();
    mine.tickets[boat] = ticket;
    mine.nodes[boat] = f->node;
    mine.reading++;
    return true;
}

static bool reads(crew_array a) {
    for (int i = 0; i < CW_BOATS && mine.reading; i++) {
        const struct cw_freight *f = &mine.ferry->boats[i].ask;
        if (mine.tickets[i] >= 0 && same((crew_array){f->place, f->check}, a))
            return true;
    }
    return false;
}

static void read_is_over(int i, int rc) {
    struct cw_boat *boat = &mine.ferry->boats[i];
    int node = mine.nodes[i];
    crew_error err = {0};
    mine.tickets[i] = -1;
    mine.reading--;
    if (rc == 1) {
        atomic_fetch_add_explicit(&mine.ferry->reads, (uint64_t)boat->ask.n, memory_order_relaxed);
    } else {
        cw_error_set(&err, CREW_EBROKEN, 0,
                     mine.agent->nodes[node].lost ? "node %s was lost"
                                                  : "MPI cannot read from node %s any more",
                     mine.agent->nodes[node].host);
        atomic_store(&boat->room, 0); /* MPI may still write to it */
    }
    cw_array_agent_over(i, &err);
}

static bool look_at_reads(void) {
    bool any = false;
    for (int i = 0; i < CW_BOATS && mine.reading; i++) {
        int rc = mine.tickets[i] < 0 ? 0 : mpi()->settled(mine.tickets[i]);
        if (rc == 0)
            continue;
        read_is_over(i, rc);
        any = true;
    }
    for (int i = 0; i < CW_BOATS && any; i++) {
        struct leave *leave = &mine.leaves[i];
        const crew_array a = {(uint64_t)leave->letter.lo, (uint64_t)leave->letter.hi};
        if (leave->waits && !reads(a)) {
            leave->waits = false;
            cw_agent_say(mine.agent, leave->node, &leave->letter);
        }
    }
    return any;
}

/* ---- puts ---- */

uint64_t cw_reach_offers(const struct cw_freight *f, const char *room) {
    if (!mine.agent->reaches || f->op != CW_F_PUT || f->stride != 1 || f->node < 0 ||
        f->bytes < PULL_LEAST)
        return 0;
    look_often();
    return (uint64_t)(room - (char *)mine.agent->memory) + 1;
}

static void free_pull(struct pull *p) {
    if (p)
        free(p->elements);
    free(p);
}

void cw_reach_pull(int node, const struct cw_letter *letter, const struct cw_freight *f,
                   uint64_t told) {
    struct pull *p = calloc(1, sizeof *p);
    size_t size = (size_t)f->n * cw_type_size(f->type);
    crew_error err;
    int ticket = CREW_ENOMEM;
    if (p && mine.agent->reaches && size <= CW_BOAT_ROOM && (p->elements = malloc(size)))
        ticket = mpi()->fetch(node, told - 1, p->elements, size);
    if (ticket >= 0) {
        look_often();
        p->node = node;
        p->ticket = ticket;
        p->letter = *letter;
        p->freight = *f;
        p->next = mine.pulls;
        mine.pulls = p;
        return;
    }
    free_pull(p);
    cw_error_set(&err, ticket, 0, "%zu bytes could not be fetched", size);
    cw_array_agent_answer(node, letter, &err, NULL, 0);
}

static void pull_is_over(struct pull *p, int rc) {
    crew_array own;
    crew_error err = {0};
    struct cw_array *array =
        cw_array_agent_find((crew_array){p->freight.place, p->freight.check}, &own);
    if (rc < 0) {
        cw_error_set(&err, CREW_EBROKEN, 0, "MPI cannot read from node %s any more",
                     mine.agent->nodes[p->node].host);
        p->elements = NULL; /* MPI may still write to them */
    } else if (!array) {
        cw_error_set(&err, CREW_EINVAL, 0, "there is no such array any more");
    } else if (cw_array_agent_carry(&p->freight, array, p->elements, &err) == 0) {
        atomic_fetch_add_explicit(&mine.ferry->pulls, (uint64_t)p->freight.n, memory_order_relaxed);
    }
    cw_array_agent_answer(p->node, &p->letter, &err, NULL, 0);
    free_pull(p);
}

static bool look_at_pulls(void) {
    bool any = false;
    for (struct pull **at = &mine.pulls, *p; (p = *at);) {
        int rc = mpi()->settled(p->ticket);
        if (rc == 0) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        pull_is_over(p, rc);
        any = true;
    }
    return any;
}

/* ---- memory that others read ---- */

cw_off cw_reach_hold(struct cw_array *array) {
    if (!mine.agent->reaches || atomic_load(&array->scope) != CREW_ARRAY_PARTITIONED)
        return 0;
    return cw_reach_keep(array);
}

cw_off cw_reach_keep(struct cw_array *array) {
    cw_off block = atomic_load(&array->block);
    atomic_store(&array->held, 1);
    /* Pairs with who destroys it: `life`, then `held`. */
    atomic_thread_fence(memory_order_seq_cst);
    if (!cw_life_over(atomic_load(&array->life)) || atomic_exchange(&array->held, 0) == 2)
        return block;
    return 0;
}

void cw_reach_release(struct cw_array *array, uint64_t number, cw_off block, bool stuck) {
    bool there = atomic_load(&array->life) >> CW_LIFE_BITS == number;
    /* Pairs with who destroys it: `life`, then `held`, then looks at `stuck`. */
    if (there && stuck)
        atomic_store(&array->stuck, 1);
    bool ended = !there || atomic_exchange(&array->held, 0) != 1;
    if (ended && !stuck)
        cw_reach_free(block);
}

void cw_reach_hold_part(crew_array a) {
    crew_array own;
    struct cw_array *array = mine.agent->reaches ? cw_array_agent_find(a, &own) : NULL;
    struct hold *hold = array ? calloc(1, sizeof *hold) : NULL;
    if (!hold)
        return;
    hold->a = a;
    if (!(hold->block = cw_reach_hold(array))) {
        free(hold);
        return;
    }
    hold->next = mine.holds;
    mine.holds = hold;
}

/* To give back a GiB takes 0.15 s and more, and meanwhile nobody hears of this node. So what is
 * large goes piece by piece, but for its head and its guard. */
void cw_reach_free(cw_off block) {
    cw_arena *arrays = &mine.share->arrays;
    cw_off end, at = cw_arena_block(arrays, cw_ptr(arrays, block), 1, &end) + PIECE;
    for (; at > PIECE && at < end && end - at > PIECE; at += PIECE) {
        cw_segment_discard(arrays->seg, at, PIECE);
        cw_agent_beat(mine.agent);
    }
    cw_free(arrays, block);
}

static void free_part(crew_array a) {
    for (struct hold **at = &mine.holds, *hold; (hold = *at); at = &hold->next)
        if (same(hold->a, a)) {
            *at = hold->next;
            cw_reach_free(hold->block);
            free(hold);
            return;
        }
}

/* ---- the ends of arrays ---- */

bool cw_reach_forget(crew_array a) {
    for (int node = 0; node < mine.agent->place.nodes && mine.agent->reaches; node++) {
        struct place *there = place_of(a, node);
        if (same(there->a, a))
            *there = (struct place){0};
    }
    return !reads(a);
}

void cw_reach_gone(int node, const struct cw_letter *letter) {
    const crew_array a = {(uint64_t)letter->lo, (uint64_t)letter->hi};
    struct cw_letter back = *letter;
    back.word = CW_W_ARRAY_GONE_BACK;
    if (letter->code)
        free_part(a);
    if (cw_reach_forget(a)) {
        cw_agent_say(mine.agent, node, &back);
        return;
    }
    int i = 0;
    while (mine.leaves[i].waits)
        i++;
    mine.leaves[i] = (struct leave){.waits = true, .node = node, .letter = back};
}

/* ---- the agent ---- */

bool cw_reach_work(bool *waits, bool *read) {
    *read = look_at_reads();
    bool any = look_at_pulls() || *read;
    *waits = *waits || mine.reading || mine.pulls;
    return any;
}

/* Of jobs before. */
static void forget_all(void) {
    for (struct pull *next; mine.pulls; mine.pulls = next) {
        next = mine.pulls->next; /* MPI may have the elements */
        free(mine.pulls);
    }
    for (struct hold *next; mine.holds; mine.holds = next) {
        next = mine.holds->next;
        free(mine.holds);
    }
    memset(mine.known, 0, sizeof mine.known);
    memset(mine.leaves, 0, sizeof mine.leaves);
    free(mine.nudged_ns);
}

bool cw_reach_begin(struct cw_share *share, struct cw_agent *agent, struct cw_ferry *ferry) {
    forget_all();
    mine.share = share;
    mine.agent = agent;
    mine.ferry = ferry;
    mine.reading = 0;
    for (int i = 0; i < CW_BOATS; i++)
        mine.tickets[i] = -1;
    mine.nudged_ns = calloc((size_t)agent->place.nodes, sizeof *mine.nudged_ns);
    return mine.nudged_ns;
}

void cw_reach_end(void) {
    for (struct hold *hold = mine.holds; hold; hold = hold->next) {
        cw_free(&mine.share->arrays, hold->block);
        hold->block = 0;
    }
}

bool cw_reach_let_go(crew_array a) {
    struct cw_array *array = cw_object(mine.share, CW_ARRAY, a.place, a.check);
    return !array || atomic_exchange(&array->held, 0) != 1;
}
