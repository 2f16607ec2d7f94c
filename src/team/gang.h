/* team/gang.h - tasks that run on several members at the same time.
 *
 * Each worker of a pool whose tasks run in ranks has a muster, where it is called and
 * waits until all of its gang are there. Those of other nodes' workers are on the home's
 * board, too, and the agent is who comes there.
 *
 *     FREE ─> CALLED ─> HERE ─> AWAITED ─> GO ─> OVER ─> FREE
 *
 * | transition          | by                                                       |
 * |---------------------|----------------------------------------------------------|
 * | FREE -> CALLED      | the manager; on other nodes the guest's agent             |
 * | CALLED -> HERE      | its member, which waits from then on; or the home's agent |
 * | HERE -> AWAITED     | the service thread: it has taken note                     |
 * | AWAITED -> GO       | the manager, or the guest's agent: the gang begins        |
 * | these four -> FREE  | the same: it is dismissed                                 |
 * | GO -> OVER          | its member, or the home's agent: it has ended there       |
 * | OVER -> FREE        | the service thread: it has taken what is to be told       |
 * | any -> LOST         | the home's agent: that node is gone, for good             |
 *
 * Every change is a compare-and-swap, sequentially consistent, but for GO -> OVER and to
 * LOST. Who makes one wakes whom the next one is up to: the member by the word, which is
 * a futex, the manager by the bell.
 *
 * The state and which call it is about are one word: a member that is dismissed and called
 * again between two looks is not taken for one that has come to the first call. */
#ifndef CW_TEAM_GANG_H
#define CW_TEAM_GANG_H

#include "team/board.h"

enum cw_muster_state {
    CW_MUSTER_FREE,
    CW_MUSTER_CALLED,
    CW_MUSTER_HERE,
    CW_MUSTER_AWAITED,
    CW_MUSTER_GO,
    CW_MUSTER_OVER,
    CW_MUSTER_LOST
};

struct cw_muster {
    _Alignas(64) _Atomic uint32_t word; /* the call, enum cw_muster_state; futex */
    int32_t world;                      /* this worker's rank of MPI. Its member's, or its node's */
    /* written before GO */
    int32_t place;  /* in the gang, from 0 */
    cw_off gang;    /* struct cw_gang */
    /* written before OVER */
    int32_t code; /* 0: it has not failed */
    struct cw_failure failure;
};

enum { CW_MUSTER_BITS = 4, CW_MUSTER_CALLS = 1 << (32 - CW_MUSTER_BITS) };

static inline enum cw_muster_state cw_muster_state(uint32_t word) {
    return (enum cw_muster_state)(word & ((1u << CW_MUSTER_BITS) - 1));
}

/* Which call, below CW_MUSTER_CALLS. */
static inline uint32_t cw_muster_call(uint32_t word) {
    return word >> CW_MUSTER_BITS;
}

static inline uint32_t cw_muster_word(uint32_t call, enum cw_muster_state state) {
    return call << CW_MUSTER_BITS | (uint32_t)state;
}

/* Its member is to come. NULL: there is none. */
static inline bool cw_muster_calls(const struct cw_muster *s) {
    return s && cw_muster_state(atomic_load_explicit(&s->word, memory_order_relaxed)) ==
                    CW_MUSTER_CALLED;
}

/* A gang that runs, as the members of one node see it. Owner: who made it; it stays until
 * they have ended. The members' ranks, the item and the common argument follow it. */
struct cw_gang {
    cw_fn_name fn;
    uint32_t id, tag;    /* home's record; what tells its communicator from others */
    int32_t size, attempt;
    int64_t index;
    uint64_t stream;
    double task_timeout;
    uint64_t in_size, common_size;
    _Atomic uint32_t cancelled; /* nobody wants it any more: for crew_cancelled */
    uint64_t out_size;          /* what the member in place 0 replied */
    _Atomic cw_off out_cell;
};

/* What cw_line.task says while its member runs a part of a gang: no record. */
#define CW_LINE_GANG UINT32_MAX

/* The muster of worker `i` of the pool, from cw_team.first on; of a team that has them. */
static inline struct cw_muster *cw_team_muster(const struct cw_maps *m, const struct cw_team *t,
                                               int i) {
    return (struct cw_muster *)cw_ptr(&m->arena, t->musters) + i;
}

/* With all but out_size and out_cell of *like; world[like->size]. 0 with the reason: no
 * memory. */
cw_off cw_gang_make(const struct cw_maps *m, const struct cw_gang *like, const int32_t *world,
                    const void *in, const void *common, crew_error *err);
void cw_gang_free(const struct cw_maps *m, cw_off gang);
const int32_t *cw_gang_world(const struct cw_gang *gang);
const void *cw_gang_item(const struct cw_gang *gang);
const void *cw_gang_common(const struct cw_gang *gang);
/* The result, by place 0; any earlier one is dropped. */
int cw_gang_reply(const struct cw_maps *m, struct cw_gang *gang, const void *data, size_t size,
                  crew_error *err);

/* Those who run what has begun at that muster, if anything has, may see that nobody wants it.
 * Its owner does not free it meanwhile. */
void cw_gang_unwanted(const struct cw_maps *m, const struct cw_muster *muster);

/* From what was seen to another state of the same call, and its member is woken. False: it has
 * changed since. */
bool cw_muster_turn(struct cw_muster *muster, uint32_t seen, enum cw_muster_state to);
/* The same if it is in that state, whatever the call. */
bool cw_muster_move(struct cw_muster *muster, enum cw_muster_state from, enum cw_muster_state to);
/* Calls one that is free. */
bool cw_muster_summon(struct cw_muster *muster, uint32_t call);
/* Whatever it is called for, it need not come. */
void cw_muster_dismiss(struct cw_muster *muster);
/* Its node or rank is gone. */
void cw_muster_lose(struct cw_muster *muster);

struct cw_member;
/* By a member between its work: if it is called, waits and runs its part. True: it was. */
bool cw_member_muster(struct cw_member *m);

#endif
