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
    crew_job *leases;          /* that are not over, by cw_lease.sibling */
};

struct cw_lease {
    struct cw_letter letter; /* what it came with */
    struct cw_known_job *of;
    crew_job *sibling;
    int64_t begun_ns;
};

/* A new one from a home's letter. NULL with the reason. */
struct cw_known_job *cw_known_job_make(crew_pool *p, const struct cw_letter *letter,
                                       struct cw_reader *rest, crew_error *err);
void cw_known_job_drop(crew_pool *p, struct cw_known_job *k);

/* Puts the range onto the board. */
int cw_lease_begin(crew_pool *p, struct cw_known_job *k, const struct cw_letter *letter,
                   struct cw_reader *items, crew_error *err);
/* On the service thread, without the lock: its end is reported, its memory freed. */
void cw_lease_over(crew_pool *p, crew_job *j);
/* Nothing above `item` of that map starts any more; code not 0: nothing at all, and what
 * runs is ended. */
void cw_known_job_stop(crew_pool *p, struct cw_known_job *k, int64_t item, int code);

/* ---- guest.c ---- */

/* Has a message sent home; takes it. Any thread. */
void cw_guest_post(struct cw_parcel *parcel);

#endif
