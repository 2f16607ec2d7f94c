/* os/stopsig.h - signals that stop a program: the one handler of crew's.
 *
 * The handler counts, adds one to a word and wakes who sleeps on it, then calls the
 * handler that was there before, if there was one. All of that may be done in a handler.
 * What the signal means is for whoever looks. */
#ifndef CW_OS_STOPSIG_H
#define CW_OS_STOPSIG_H

#include <stdatomic.h>
#include <stdint.h>

/* From now on this process has the handler for that signal. 0 or -errno. */
int cw_stopsig_on(int signal);
/* The same for each of a set (bit s - 1 is signal s); what cannot be is left out. */
void cw_stopsig_on_set(uint64_t set);
/* For which it has one. */
uint64_t cw_stopsig_set(void);

/* Which has come last, 0: none. count: how often any has. */
int cw_stopsig_seen(uint32_t *count);
/* The word that the handler rings; NULL: none. Returns the one before, at which no handler is
 * any more. */
_Atomic uint32_t *cw_stopsig_rings(_Atomic uint32_t *word);
/* In a child that was forked: what its parent has seen and rings is not its own. */
void cw_stopsig_forget(void);

#endif
