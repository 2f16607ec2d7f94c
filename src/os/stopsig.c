#include "os/stopsig.h"

#include "os/futex.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>

enum { SIGNALS = 65 };

/* Owner: this process. Words that a handler and threads share. */
static _Atomic(_Atomic uint32_t *) rings;
static _Atomic int at_it; /* handlers between their look at `rings` and their last use */
static _Atomic uint32_t came;
static _Atomic int last;
static _Atomic uint64_t on;
static struct sigaction before[SIGNALS]; /* written before its signal is `on` */

static void handle(int signal, siginfo_t *info, void *context) {
    int sys = errno;
    atomic_store(&last, signal);
    atomic_fetch_add(&came, 1);
    atomic_fetch_add(&at_it, 1);
    _Atomic uint32_t *word = atomic_load(&rings);
    if (word) {
        atomic_fetch_add(word, 1);
        cw_futex_wake(word, INT_MAX);
    }
    atomic_fetch_sub(&at_it, 1);
    const struct sigaction *old = &before[signal];
    if (old->sa_flags & SA_SIGINFO)
        old->sa_sigaction(signal, info, context);
    else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN)
        old->sa_handler(signal);
    errno = sys;
}

int cw_stopsig_on(int signal) {
    if (signal < 1 || signal >= SIGNALS)
        return -EINVAL;
    if (atomic_load(&on) >> (signal - 1) & 1)
        return 0; /* whoever has put a handler over it since calls this one, or means to */
    struct sigaction ours = {.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    ours.sa_sigaction = handle;
    sigemptyset(&ours.sa_mask);
    if (sigaction(signal, NULL, &before[signal]) != 0 || sigaction(signal, &ours, NULL) != 0)
        return -errno;
    atomic_fetch_or(&on, 1ull << (signal - 1));
    return 0;
}

void cw_stopsig_on_set(uint64_t set) {
    for (int signal = 1; signal < SIGNALS; signal++)
        if (set >> (signal - 1) & 1 & ~(atomic_load(&on) >> (signal - 1)))
            cw_stopsig_on(signal);
}

uint64_t cw_stopsig_set(void) {
    return atomic_load(&on);
}

int cw_stopsig_seen(uint32_t *count) {
    /* Pairs with the handler's order: who sees the count sees a signal. */
    *count = atomic_load(&came);
    return *count ? atomic_load(&last) : 0;
}

_Atomic uint32_t *cw_stopsig_rings(_Atomic uint32_t *word) {
    /* Sequentially consistent on both sides: a handler that is not seen here sees the
     * new word. */
    _Atomic uint32_t *before_it = atomic_exchange(&rings, word);
    while (atomic_load(&at_it))
        cw_relax();
    return before_it;
}

void cw_stopsig_forget(void) {
    atomic_store(&rings, NULL);
    atomic_store(&at_it, 0);
    atomic_store(&came, 0);
}
