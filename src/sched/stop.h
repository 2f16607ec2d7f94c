/* sched/stop.h - when a program that is to stop does what. Pure: what has happened goes
 * in with the time, what is to be done comes out.
 *
 *     NOT ──a signal, or the limit──> DRAIN ──the grace is over, or a second signal──> END
 *
 * DRAIN: nothing new begins, what runs may end by itself. END: what still runs is ended.
 * There is no way back. */
#ifndef CW_SCHED_STOP_H
#define CW_SCHED_STOP_H

#include <stdbool.h>
#include <stdint.h>

enum cw_stop_phase { CW_STOP_NOT = 0, CW_STOP_DRAIN, CW_STOP_END };
enum cw_stop_cause { CW_STOP_BY_NOTHING, CW_STOP_BY_SIGNAL, CW_STOP_BY_LIMIT, CW_STOP_BY_BATCH };

/* Launchers deliver one signal several times, at once: a second one that means it comes
 * no sooner than this. */
enum { CW_STOP_REPEAT_NS = 1000000000 };

struct cw_stop {
    enum cw_stop_phase phase;
    enum cw_stop_cause cause;
    int signal; /* of CW_STOP_BY_SIGNAL */
    double grace;     /* seconds */
    double limit;     /* CREW_TIME_LIMIT as it was given, for sentences */
    int64_t limit_ns; /* when the time is over; 0: never */
    enum cw_stop_cause limit_is;
    int64_t since_ns; /* when DRAIN began */
};

/* The program may run for so many seconds from `now` on. */
void cw_stop_limit(struct cw_stop *s, double seconds, int64_t now);
/* The batch system ends the job in `left` seconds: DRAIN begins `margin` before that, but
 * no sooner than after half of what is left, or a job that is run again and again would
 * never do anything. Has no say beside cw_stop_limit. */
void cw_stop_batch(struct cw_stop *s, double left, double margin, int64_t now);
/* A signal has come. here: to this process, not told by another one, which may have had
 * the same. */
void cw_stop_signalled(struct cw_stop *s, int signal, bool here, int64_t now);
/* Moves on as far as the time goes. Returns in how many seconds it will again; negative:
 * never by itself. */
double cw_stop_look(struct cw_stop *s, int64_t now);

#endif
