/* os/signals.h - what the processes of ours do about signals.
 *
 * A signal that the program's process group gets is for the program: whether it
 * ends is its affair, and its workers end when it does. So a worker follows its
 * manager: what the manager catches passes by the worker (an empty handler,
 * SA_RESTART), what it ignores is ignored, the rest has its default action. INT
 * and QUIT of the terminal always pass by. Signals of faults (SEGV and its kin)
 * and CHLD keep their default. Every process of ours lets every signal through,
 * but nurseries, which block all of them. */
#ifndef CW_OS_SIGNALS_H
#define CW_OS_SIGNALS_H

#include <signal.h>
#include <stdint.h>

/* Dispositions of a process: bit s - 1 is signal s. Neither: the default. */
struct cw_signals {
    uint64_t caught, ignored;
};

/* Those of the calling process. */
void cw_signals_get(struct cw_signals *signals);

/* From now on they say that this signal has its default action. */
void cw_signals_default(struct cw_signals *signals, int s);

/* Around a fork: no handler of the program's may run in the new process. */
void cw_signals_block(sigset_t *before);
void cw_signals_restore(const sigset_t *before);

/* In a nursery, with all signals blocked: no handler is left. They stay blocked. */
void cw_signals_reset(void);
/* In a worker: as said above; then lets all through. */
void cw_signals_follow(const struct cw_signals *manager);
/* Before exec: the same, but what passes by is ignored until the new program
 * calls cw_signals_follow, for exec drops handlers. */
void cw_signals_for_exec(const struct cw_signals *manager);

#endif
