#include "os/signals.h"

#include <stdbool.h>
#include <stddef.h>

static uint64_t bit(int s) {
    return 1ull << (s - 1);
}

/* Signals that say something about a process itself: never another's affair. */
static bool own_affair(int s) {
    return s == SIGKILL || s == SIGSTOP || s == SIGSEGV || s == SIGBUS || s == SIGFPE ||
           s == SIGILL || s == SIGTRAP || s == SIGABRT || s == SIGSYS || s == SIGCHLD;
}

void cw_signals_get(struct cw_signals *signals) {
    *signals = (struct cw_signals){0, 0};
    for (int s = 1; s < NSIG && s <= 64; s++) {
        struct sigaction action;
        if (own_affair(s) || sigaction(s, NULL, &action) != 0)
            continue;
        if (!(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_DFL)
            continue;
        if (!(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_IGN)
            signals->ignored |= bit(s);
        else
            signals->caught |= bit(s);
    }
}

void cw_signals_default(struct cw_signals *signals, int s) {
    signals->caught &= ~bit(s);
    signals->ignored &= ~bit(s);
}

void cw_signals_block(sigset_t *before) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

void cw_signals_restore(const sigset_t *before) {
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

static void pass_by(int signal) {
    (void)signal;
}

/* Every signal: as the manager has it, or all as by default. */
static void settle(const struct cw_signals *manager, void (*caught)(int)) {
    const uint64_t terminal = bit(SIGINT) | bit(SIGQUIT);
    for (int s = 1; s < NSIG && s <= 64; s++) {
        struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = SA_RESTART};
        if (manager->ignored & bit(s))
            action.sa_handler = SIG_IGN;
        else if ((manager->caught | terminal) & bit(s))
            action.sa_handler = caught;
        if (s != SIGKILL && s != SIGSTOP)
            sigaction(s, &action, NULL); /* the C library keeps some for itself */
    }
}

static void let_through(void) {
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}

void cw_signals_reset(void) {
    static const struct cw_signals none;
    settle(&none, SIG_DFL);
}

void cw_signals_follow(const struct cw_signals *manager) {
    settle(manager, pass_by);
    let_through();
}

void cw_signals_for_exec(const struct cw_signals *manager) {
    settle(manager, SIG_IGN);
    let_through();
}
