/* api/lease.h - a range of another node's map, as a map of this node's pool.
 *
 * It is a slice of that map: the same function, indices, random numbers and failures,
 * with memory for [lo, hi) only. */
#ifndef CW_API_LEASE_H
#define CW_API_LEASE_H

#include "api/job_impl.h"
#include "fleet/wire.h"

/* What all leases of one map share on this node. Guarded by pool.lock. */
struct cw_known_job {
    struct cw_errand errand;
    uint32_t slot, generation; /* of home's board */
    cw_off common;             /* 0: none */
    int uses;                  /* leases, and the guest's list */
    struct cw_known_job *next;
    crew_job *leases;          /* that are not over, by cw_leased.sibling */
};

struct cw_leased {
    struct cw_letter letter; /* what it came with */
    struct cw_known_job *of;
    crew_job *sibling;
    int64_t begun_ns;
    /* The agent's, which has what is finished told now and then, and gives back: */
    unsigned char *told; /* a byte an item: home has its result. NULL: of none */
    int64_t told_items, told_ns;
    /* Guarded by pool.lock. Who holds it may use all of it, and its end waits. */
    bool held, over;
};

/* A new one from a home's letter. NULL with the reason. */
struct cw_known_job *cw_known_job_make(crew_pool *p, const struct cw_letter *letter,
                                       struct cw_reader *rest, crew_error *err);
void cw_known_job_drop(crew_pool *p, struct cw_known_job *k);

/* Puts the range onto the board. */
int cw_lease_begin(crew_pool *p, struct cw_known_job *k, const struct cw_letter *letter,
                   struct cw_reader *items, crew_error *err);
/* Frees its memory, and what it shares with others if it is the last. Without the lock. */
void cw_lease_free(crew_pool *p, crew_job *j);
/* Nothing above `item` of that map starts any more; code not 0: nothing at all, and what
 * runs is ended. */
void cw_known_job_stop(crew_pool *p, struct cw_known_job *k, int64_t item, int code);

/* ---- lease_home.c ---- */

/* On the service thread, without the lock: its end is reported, its memory freed. */
void cw_lease_over(crew_pool *p, crew_job *j);
/* On the agent's thread: home is told what is finished of leases that run, of each when
 * every_ns have passed. True: of some. *running: there are leases. */
bool cw_known_job_tell(crew_pool *p, struct cw_known_job *k, int64_t every_ns, bool *running);
/* On the agent's thread: home wants back what nobody has begun from letter.lo on of that
 * lease. It is told where the lease ends now, if that is not over. */
void cw_known_job_cut(crew_pool *p, struct cw_known_job *k, const struct cw_letter *letter);

/* ---- guest.c ---- */

/* Has a message sent home; takes it. Any thread. */
void cw_guest_post(struct cw_parcel *parcel);

#endif
