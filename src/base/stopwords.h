/* base/stopwords.h - how spans of time and signals are written in the environment.
 * Pure. */
#ifndef CW_BASE_STOPWORDS_H
#define CW_BASE_STOPWORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What cw_span_parse takes, in words. */
#define CW_SPAN_FORMS "seconds, MM:SS, H:MM:SS or D-HH:MM:SS"

/* "90", "1.5", "3:55:00", "1-00:00:00" in seconds. False: it is written in none of these
 * ways, a part that has one before it is 60 (hours after days: 24) or more, or it is
 * longer than ten years. */
bool cw_span_parse(const char *text, double *seconds);
/* "3:55:00"; whole seconds. */
void cw_span_print(double seconds, char *buf, size_t cap);

/* Signals of a set: bit s - 1 is signal s. */

/* "USR1", "SIGUSR1,TERM", "10": into a set. False: not all of them are signals that a
 * program may be stopped by. */
bool cw_stop_signals_parse(const char *text, uint64_t *set);
/* Whether a program may be stopped by it: not what cannot be caught, what a process
 * raises by its own fault, or what says that a child has ended. */
bool cw_stop_signal_may(int signal);
/* "USR1, USR2, ...": those that have a name. */
const char *cw_stop_signal_names(void);
/* "SIGUSR1", "signal 40". */
void cw_stop_signal_print(int signal, char *buf, size_t cap);

#endif
