/* backend/fork/hands.h - what backends have in common whose members come from
 * nurseries. */
#ifndef CW_BACKEND_FORK_HANDS_H
#define CW_BACKEND_FORK_HANDS_H

#include "backend/fork/nursery.h"

/* For the member of a seat, in words of this process: to be forked, with the signals
 * as they are now. */
struct cw_nursery_order cw_hands_order(const struct cw_hands *h, int rank);

/* Their nursery is gone, and they with it (PR_SET_PDEATHSIG), but nobody is left to say
 * so: ends what may be left and returns when it is gone, or after two seconds. Seats are
 * as they were. of[rank] == which: those members only (of NULL: all). */
void cw_hands_bury(const struct cw_hands *h, const int *of, int which);

#endif
