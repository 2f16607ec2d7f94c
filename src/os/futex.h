/* os/futex.h - sleeping on a 32-bit word that several processes share. */
#ifndef CW_OS_FUTEX_H
#define CW_OS_FUTEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Sleeps while *word == seen; seconds < 0: without limit. Returns when woken,
 * when the word differs, on a signal, or when the time is over: callers look at
 * their condition again. False: the time was over. */
bool cw_futex_wait(_Atomic uint32_t *word, uint32_t seen, double seconds);
/* How many were woken. */
int cw_futex_wake(_Atomic uint32_t *word, int how_many);

/* The same without sleeping, for what is expected within so many ns: for as long as nobody
 * else wants the core. True: the word differs. */
bool cw_futex_expect(_Atomic uint32_t *word, uint32_t seen, int64_t ns);

/* Lets others have the core, for who looks for something again and again. False: others do
 * want it, or did a moment ago. Who gives way then may be away for milliseconds, but who
 * sleeps for a moment comes before them when it wakes: so that is better. */
bool cw_step_aside(void);
/* From now on this thread's short sleeps are as short as they say, and not some 50 us longer. */
void cw_naps_exactly(void);

/* A pause in a spinning loop. */
static inline void cw_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
