/* backend/ranks/ranks.h - the ranks of one node as one place to have workers from.
 *
 * Several programs of one job run on a node: its ranks. Each has a nursery, forked
 * in its crew_init. One rank, the leader, has pools; their workers come from the
 * nurseries of all ranks, and are members of one team in the leader's segment. The
 * others, the followers, sleep and pass orders on. There is no MPI in here: that
 * ranks know each other's pid is all that is asked for.
 *
 *     leader ── pool ──> berth 0: its own session's nursery
 *       │ segment  ├───> berth 1 ring ──> follower ──> its nursery ──fork──> workers
 *       └──────────┴───> berth 2 ring ──> follower ──> its nursery ──fork──> workers
 *                                                       │ seats, the bell   │ board
 *                  the leader's segment <───────────────┴───────────────────┘
 *
 * How it goes:
 *
 *     leader                                   follower i
 *     cw_berths_make: room for all             -
 *     ------------ the cards of all are exchanged (the caller's business) ----------
 *     cw_berths_expect: the others' pids       cw_berth_serve: maps the leader's
 *     cw_berths_await: all are there             segment, has its nursery map it,
 *     pools over cw_backend_ranks                sleeps, passes orders on, sleeps ...
 *     cw_berths_quit: with the exit status     ... ends its nursery, returns the status
 *     cw_berths_free                           -
 *
 * A nursery writes the seats of its workers, and rings the leader's bell, in the
 * leader's segment, as it does in its own manager's. What travels are offsets: each
 * process may have mapped the segment elsewhere.
 *
 * | what               | written by                          | read by              |
 * |--------------------|-------------------------------------|----------------------|
 * | count, bell        | the leader, before others look      | all                  |
 * | quit, status       | the leader, once                    | followers            |
 * | stop_on            | the leader                          | followers            |
 * | stopped            | followers; the leader clears it     | the leader           |
 * | pid, nursery, mask | its follower, before it serves      | the leader           |
 * | state              | its follower                        | the leader, asleep   |
 * | order[], head      | the leader (a mutex over its threads) | its follower       |
 * | full               | the leader sets, the follower clears | both                |
 * | tail               | its follower                        | the leader           |
 * | wake               | the leader                          | its follower, asleep |
 *
 * Or the members are threads of the ranks themselves (cw_backend_aboard, CREW_ISOLATE=0):
 * then a follower starts a thread where it would pass the order on, and has no nursery.
 *
 * Who is gone is seen by pidfds: a nursery ends, with its workers, when its rank or
 * the leader has ended. A follower looks after the leader and its nursery once a
 * second, the leader after all whenever it visits a pool. A rank that is lost costs
 * its pools its workers, whose seats are ENDED, blameless; the seats are given to
 * the ranks that are left when they are asked for anew. */
#ifndef CW_BACKEND_RANKS_RANKS_H
#define CW_BACKEND_RANKS_RANKS_H

#include "backend/backend.h"
#include "os/signals.h"
#include "topo/topo.h"

#include <stddef.h>

/* What the ranks of a node tell each other. Of a follower's only pid means
 * something. */
struct cw_berth_card {
    int32_t pid, fd;        /* of the leader's segment */
    uint64_t device, inode; /* the same file: another one is refused */
    uint64_t at;            /* offset of the quay */
};

/* ---- in the leader's segment ---- */

enum { CW_BERTH_ORDERS = 128 }; /* in a ring; a power of two */

struct cw_berth_order {
    uint32_t what; /* of struct cw_nursery_order: FORK or KILL */
    int32_t rank;
    uint64_t team, seat; /* offsets */
    struct cw_signals signals;
};

/* Only ever goes on. */
enum cw_berth_state {
    CW_BERTH_EMPTY,   /* nobody has come yet */
    CW_BERTH_SERVING, /* its nursery has mapped the segment */
    CW_BERTH_LOST,    /* its nursery has ended; the follower is there and waits for quit */
    CW_BERTH_LEFT     /* it was told to quit: its workers are gone */
};

struct cw_berth {
    _Atomic uint32_t state; /* enum cw_berth_state; futex */
    _Atomic int32_t pid, nursery;
    cw_cpuset mask; /* the rank's, as it was started */
    _Alignas(64) _Atomic uint32_t head; /* orders put, ever */
    _Atomic uint32_t full;              /* the leader found no room: ring its bell */
    _Alignas(64) _Atomic uint32_t wake; /* futex: something is to be looked at */
    _Alignas(64) _Atomic uint32_t tail; /* orders taken, ever */
    struct cw_berth_order order[CW_BERTH_ORDERS];
};

struct cw_quay {
    uint64_t magic;
    uint32_t count; /* berths, the leader's included: number 0, of which only mask is used */
    uint64_t bell;  /* offset of the leader's cw_bell */
    _Atomic uint32_t quit;
    _Atomic int32_t status;
    _Atomic uint64_t stop_on; /* signals that stop the program: bit s - 1 is signal s */
    _Atomic int32_t stopped;  /* one of them that a follower has had, to be looked at */
    struct cw_berth berth[];
};

/* Bytes of a quay with so many berths. */
size_t cw_quay_bytes(int count);

/* ---- the leader ---- */

/* The leader's view: the quay, and who is still there. Opaque; any thread. */
struct cw_berths;

/* Lays the quay into `at` of the leader's own segment, which is zero and at a
 * multiple of 64, with cw_quay_bytes(count); the segment has to stay where it is.
 * mask: the leader's own. NULL: CREW_ENOMEM. */
struct cw_berths *cw_berths_make(const cw_segment *own, uint64_t at, const struct cw_bell *bell,
                                 int count, const cw_cpuset *mask, crew_error *err);
/* Workers of the leader's own berth are forked by this nursery (the caller's, as long as
 * the berths are there) and not by its session's. Before pools are opened. */
struct cw_nursery;
void cw_berths_nursery(struct cw_berths *berths, struct cw_nursery *nursery);
/* The card that is the leader's. A follower's has only its pid. */
struct cw_berth_card cw_berths_card(const struct cw_berths *berths);
/* pids[1, count): the followers'. At once after the exchange: who dies later is seen
 * to be gone. */
void cw_berths_expect(struct cw_berths *berths, const int32_t *pids);
/* Returns when all followers serve. CREW_EBROKEN: one has ended before, or all have
 * not come within so many seconds; the sentence says which. Those that are there can be
 * used all the same. */
int cw_berths_await(struct cw_berths *berths, double seconds, crew_error *err);

int cw_berths_count(const struct cw_berths *berths);
/* masks[0, count), of those that serve or have served; of others: the leader's. */
void cw_berths_masks(const struct cw_berths *berths, cw_cpuset *masks);
/* How many are left: who can be asked for workers (the leader is one, while it has
 * its nursery). */
int cw_berths_left(struct cw_berths *berths);

/* False: some follower has ended. Does not wait. */
bool cw_berths_whole(struct cw_berths *berths);

/* Tells the followers to end and what with; pools over them are closed. Returns when
 * the workers of all are gone, or after so many seconds: false. */
bool cw_berths_quit(struct cw_berths *berths, int status, double seconds);
/* Has the followers catch these signals, too (os/stopsig.h), and tell of them. */
void cw_berths_stop_on(struct cw_berths *berths, uint64_t signals);
/* One that a follower has had since the last call; 0: none. */
int cw_berths_stopped(struct cw_berths *berths);
/* Frees the view; the quay is the caller's. */
void cw_berths_free(struct cw_berths *berths);

/* The backend: cw_backend_ranks, see backend/backend.h. cw_hands_request.berths is
 * the node's; .berth[rank] says from which rank of the node that member comes.
 * CREW_START_SERVER only, or CREW_START_FORK where cw_berths_nursery has given one that was
 * forked as the pool opens: CREW_ENOTSUP otherwise. `lost` is true when no berth is
 * left; those that are lost sooner it buries itself. */

/* cw_backend_aboard: the same with members that are threads of the ranks. None can be
 * killed; one that is lost with its rank is not replaced. */

/* ---- a follower ---- */

struct cw_berth_post {
    struct cw_berth_card leader;
    int mine;      /* number of its berth: its rank on the node, from 1 */
    cw_cpuset mask; /* its affinity, as it was started */
    const cw_segment *own; /* the leader's segment, if this process, and its nursery, have it mapped; else NULL */
    struct cw_nursery *nursery; /* that forks its workers; NULL: its session's */
    /* Whether the segment is what this build of crew understands: cw_head_check. */
    int (*check)(const cw_segment *segment, crew_error *err);
    /* In its nursery, once: makes the segment of fd, which it takes, its session's own
     * and root in place of the one it has; *segment is a copy. cw_session_adopt. */
    int (*adopt)(int fd, cw_segment *segment, crew_error *err);
    bool aboard; /* members are threads of this process: it is here that adopt is called */
    /* In a worker: cw_worker_enter. Aboard: in a thread, returns when it has left. */
    void (*enter)(const struct cw_billet *billet);
};

/* Serves, on the calling thread, until it is told to quit: 0, with the exit status
 * that the leader gave. CREW_EBROKEN: the leader has ended. Others: the leader's
 * segment could not be had, or the session has no nursery; nobody has been served
 * then. In any case no worker of this rank is left, nor that nursery. */
int cw_berth_serve(const struct cw_berth_post *post, int *status, crew_error *err);

/* The same in two steps, for who has something to do in between: all that can fail in this
 * rank alone comes first. NULL, with the reason: it has. Any thread. */
struct cw_follower *cw_berth_come(const struct cw_berth_post *post, crew_error *err);
/* As cw_berth_serve; frees it. */
int cw_berth_stay(struct cw_follower *f, int *status, crew_error *err);
/* Nobody is to be served after all: frees it. NULL is fine. */
void cw_berth_go(struct cw_follower *f);

#endif
