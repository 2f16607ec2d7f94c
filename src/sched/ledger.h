/* sched/ledger.h - what is done, what is lost, whom to blame. Pure.
 *
 * The marks (one byte an item, 0: not done) are the truth; what a dead worker's
 * line said it held only tells whom to blame. */
#ifndef CW_SCHED_LEDGER_H
#define CW_SCHED_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

/* The first run [*lo, *hi) of unmarked items in [from, to). False: none. */
bool cw_marks_gap(const unsigned char *marks, int64_t from, int64_t to, int64_t *lo, int64_t *hi);

/* Where the run of marks that are all `mark` ends which begins at `at`. */
int64_t cw_marks_run(const unsigned char *marks, int64_t at, int64_t to, unsigned char mark);

/* How many of [from, to) are marked: progress. */
int64_t cw_marks_count(const unsigned char *marks, int64_t from, int64_t to);

/* RUN_AGAIN counts the attempt, NOT_COUNTED does not. */
enum cw_verdict { CW_RUN_AGAIN, CW_NOT_COUNTED, CW_DIED, CW_OVER_LIMIT, CW_WAS_CANCELLED };

/* Why a worker was ended by the supervisor, if it was. INNOCENT: for something
 * that it had finished before the end came. */
enum cw_reason { CW_NO_REASON, CW_TOO_LONG, CW_TOO_BIG, CW_CANCEL, CW_INNOCENT };

/* What becomes of the item or task a worker died with, in its attempt-th
 * attempt, `retries` further ones being allowed. */
enum cw_verdict cw_judge(enum cw_reason reason, int attempt, int retries);

/* Ends of workers, one after another. Those that never became ready mean that
 * replacing them again is useless; so do many in a row of which none did any
 * work. */
struct cw_respawn {
    int unready, idle; /* in a row */
};
enum cw_life { CW_NEVER_READY, CW_DID_NOTHING, CW_DID_WORK };
/* True: give up. */
bool cw_respawn_useless(struct cw_respawn *r, enum cw_life life);
enum { CW_RESPAWN_UNREADY = 3, CW_RESPAWN_IDLE = 100 };

#endif
