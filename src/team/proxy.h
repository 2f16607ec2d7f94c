/* team/proxy.h - a member whose work is done elsewhere.
 *
 * It claims as members do, one range or one task at a time, and what comes back is
 * stored as members store it. So the supervisor cannot tell it from a member that
 * takes long, and its death gives back what it holds. Nothing here says where the work
 * is done, or waits for it. One thread of the manager is all the proxies of a team. */
#ifndef CW_TEAM_PROXY_H
#define CW_TEAM_PROXY_H

#include "team/member.h"

struct cw_proxy {
    struct cw_member member;
    enum { CW_PROXY_IDLE, CW_PROXY_RANGE, CW_PROXY_TASK } holds;
    /* a range: inside this job */
    int slot;
    struct cw_job *job;
    struct cw_redo *redo; /* NULL: from the cursor */
    int64_t lo, hi;
    int64_t passed; /* done items before it that the cursor was moved over */
    int attempt;
    /* a task */
    uint32_t number;
};

/* nap: the word that proxies of this thread sleep on. */
void cw_proxy_init(struct cw_proxy *x, const struct cw_maps *maps, struct cw_team *team, int rank,
                   cw_off nap);

/* Into a job that has something to claim. How much it may claim at most: *left. False:
 * it has nothing. Then claim or leave. */
bool cw_proxy_enter(struct cw_proxy *x, int slot, int64_t *left);
/* Claims up to n items, n > 0 (all of a range that is to run again, whatever n). False:
 * others were faster. */
bool cw_proxy_claim(struct cw_proxy *x, int64_t n);
/* The same of a CW_JOB_EACH: these very items. */
void cw_proxy_claim_each(struct cw_proxy *x, int64_t lo, int64_t hi);
void cw_proxy_leave(struct cw_proxy *x);

/* Results and marks of its range are stored as far as there are any: gives back the
 * rest, and leaves. calls: how many were made. */
void cw_proxy_range_over(struct cw_proxy *x, int64_t calls);

/* Its range ends at `lo` now: the rest, of which nothing was begun, may be claimed by
 * anybody, in so many parts. */
void cw_proxy_give_back(struct cw_proxy *x, int64_t lo, int parts);

/* A submitted task. False: there is none. */
bool cw_proxy_take(struct cw_proxy *x);
/* It was not begun: somebody else may. */
void cw_proxy_task_back(struct cw_proxy *x);
/* It was not begun, and is not to be: it is cancelled. */
void cw_proxy_task_cancelled(struct cw_proxy *x);
/* It has ended: code 0, or with a failure. Its result is stored. */
void cw_proxy_task_over(struct cw_proxy *x, int code, const struct cw_failure *failure);

#endif
