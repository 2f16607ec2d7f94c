/* os/clock.h - monotonic time, and deadlines that do not count stopped time. */
#ifndef CW_OS_CLOCK_H
#define CW_OS_CLOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

int64_t cw_now_ns(void);

/* Time that adds up while a meter runs. One word, so that whoever looks while its
 * one writer starts or stops it never counts a stretch twice, or not at all: twice
 * the time so far; while it runs, twice (the time so far - the clock at its start),
 * plus 1. Who looks while it stops may see it run on for as long as either of the two
 * is interrupted between the clock and the word, so the next look may show less. */
typedef _Atomic int64_t cw_meter;
void cw_meter_start(cw_meter *m); /* no effect while it runs */
void cw_meter_stop(cw_meter *m);  /* no effect while it rests */
int64_t cw_meter_ns(const cw_meter *m);

/* A wait with a limit. While it waits it looks at the clock at least every
 * second; a gap much longer than that is time this program was stopped (Ctrl-Z)
 * and does not count. */
struct cw_deadline {
    int64_t left_ns; /* negative: no limit */
    int64_t seen_ns; /* the clock when left_ns was last brought up to date */
};
/* seconds as in the public interface: negative is no limit, 0 polls. */
struct cw_deadline cw_deadline_in(double seconds);
/* Brings it up to date. True when the time is over. */
bool cw_deadline_over(struct cw_deadline *d);
/* How long to sleep before looking again: at most a second; negative: no limit. */
double cw_deadline_slice(const struct cw_deadline *d);

/* A condition whose waits are by the clock that nobody sets. */
void cw_clocked_init(pthread_cond_t *cond);
/* Sleeps until it is signalled, for so many ns at most. False: they are over. */
bool cw_clocked_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t ns);

#endif
