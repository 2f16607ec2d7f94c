/* backend/ranks/berths.h - the leader's berths, as its pools use them. */
#ifndef CW_BACKEND_RANKS_BERTHS_H
#define CW_BACKEND_RANKS_BERTHS_H

#include "backend/ranks/ranks.h"

/* Whether that is a quay at all, with a berth of that number for a follower. */
bool cw_quay_is(const struct cw_quay *quay, int mine);

/* The nursery of berth 0; there is one unless `why`, which is its session's word. */
struct cw_nursery *cw_berths_own(struct cw_berths *berths);
int cw_berths_own_there(struct cw_berths *berths, crew_error *why);

/* Puts an order for a follower (not berth 0) into its ring. False: there is no room
 * now; the leader's bell rings when there is. */
bool cw_berth_put(struct cw_berths *berths, int i, const struct cw_berth_order *order);

/* True once that rank's workers are gone, or about to be, and none can be had from it
 * any more; then nobody but the leader writes to their seats. May wait for a second
 * until a nursery has ended whose rank has. */
bool cw_berth_lost(struct cw_berths *berths, int i);

/* Why, in a sentence. Of one that is lost. */
void cw_berth_why(struct cw_berths *berths, int i, crew_error *err);

#endif
