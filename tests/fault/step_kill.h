/* Kills an operation on shared memory at each of its steps.
 *
 * A forked child runs the operation instruction by instruction, traced by the
 * test. A step is an instruction after which the watched memory differs from
 * before; two kills with the same memory between them would be the same kill.
 * The n-th trial kills the child with SIGKILL right after step n, then checks;
 * n = 1, 2, ... until the operation is over before it gets there.
 *
 * On x86-64 a call of the C library, and of what only reads files, runs at full
 * speed and counts as one instruction: each traced one takes some 20 us. */
#ifndef STEP_KILL_H
#define STEP_KILL_H

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/plain.h"

/* A sanitizer's own code would be stepped through, too, for minutes. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STEP_TOO_SLOW 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STEP_TOO_SLOW 1
#endif
#endif
#ifndef STEP_TOO_SLOW
#define STEP_TOO_SLOW 0
#endif

struct watched {
    const void *at;
    size_t size;
};

struct step_watch {
    struct watched areas[4];
    int count;
    char *shadow;
};

static bool step_changed(struct step_watch *w) {
    bool changed = false;
    char *shadow = w->shadow;
    for (int i = 0; i < w->count; shadow += w->areas[i].size, i++)
        if (memcmp(shadow, w->areas[i].at, w->areas[i].size) != 0) {
            memcpy(shadow, w->areas[i].at, w->areas[i].size);
            changed = true;
        }
    return changed;
}

/* Where the program's own code lies (the linker says), and a function of it that
 * changes nothing we watch. */
extern const char __executable_start[], etext[];
static void (*step_over)(void);

static inline bool step_own_code(unsigned long at) {
    return at >= (unsigned long)__executable_start && at < (unsigned long)etext;
}

/* If the child has just called what is not to be traced: runs it to its return,
 * whose address is then on top of the stack. *own: it was in its own code before
 * this step. False if the child ended meanwhile; its status is in *status. */
static inline bool step_out(pid_t pid, int *status, bool *own) {
#ifdef __x86_64__
    struct user_regs_struct regs;
    if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) != 0)
        return true;
    bool before = *own;
    *own = step_own_code(regs.rip);
    if (*own ? regs.rip != (unsigned long)step_over : !before)
        return true;
    unsigned long back = (unsigned long)ptrace(PTRACE_PEEKDATA, pid, (void *)regs.rsp, NULL);
    if (!step_own_code(back))
        return true;
    long code = ptrace(PTRACE_PEEKTEXT, pid, (void *)back, NULL);
    ptrace(PTRACE_POKETEXT, pid, (void *)back, (void *)((code & ~0xffL) | 0xcc));
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    if (waitpid(pid, status, 0) != pid || !WIFSTOPPED(*status))
        return false;
    ptrace(PTRACE_POKETEXT, pid, (void *)back, (void *)code);
    ptrace(PTRACE_GETREGS, pid, NULL, &regs);
    if (regs.rip == back + 1) {
        *own = true;
        regs.rip = back;
        ptrace(PTRACE_SETREGS, pid, NULL, &regs);
    }
#else
    (void)pid;
    (void)status;
    (void)own;
#endif
    return true;
}

enum step_result { STEP_KILLED, STEP_OVER, STEP_IMPOSSIBLE };

/* One trial: the child dies after step n, or ends. */
static inline enum step_result step_kill(void (*operation)(void *), void *arg,
                                         const struct watched *areas, int count, int n) {
    struct step_watch w = {.count = count};
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        w.areas[i] = areas[i];
        size += areas[i].size;
    }
    w.shadow = calloc(1, size + 1);
    if (!w.shadow)
        return STEP_IMPOSSIBLE;
    step_changed(&w); /* takes the first copy */
    cpu_set_t before, one;
    sched_getaffinity(0, sizeof before, &before); /* taking turns is faster on one */
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL); /* not the test library's */
        signal(SIGILL, SIG_DFL);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(77);
        raise(SIGSTOP);
        operation(arg);
        _exit(0);
    }
    int status = 0, steps = 0;
    bool own = false;
    enum step_result result = STEP_IMPOSSIBLE;
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
        int sig = WSTOPSIG(status);
        if (sig == SIGTRAP && !step_out(pid, &status, &own))
            break;
        if (step_changed(&w) && ++steps == n) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            result = STEP_KILLED;
            break;
        }
        if (sig == SIGSTOP || sig == SIGTRAP)
            sig = 0;
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, (void *)(long)sig) != 0) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            break;
        }
    }
    if (result != STEP_KILLED && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        result = STEP_OVER;
    sched_setaffinity(0, sizeof before, &before);
    free(w.shadow);
    return result;
}

/* All of them end, well, within ten seconds. */
static inline void reap(const pid_t *pids, int n) {
    double limit = now() + 10;
    for (int i = 0; i < n; i++) {
        int status;
        pid_t got;
        while ((got = waitpid(pids[i], &status, WNOHANG)) == 0 && now() < limit)
            sched_yield();
        if (got == 0)
            kill(pids[i], SIGKILL);
        assert_int_equal(got, pids[i]);
        assert_int_equal(status, 0);
    }
}

#endif
