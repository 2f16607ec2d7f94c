/* The futex system call, shared between processes (so without the PRIVATE
 * flag, which would tell the kernel to match addresses instead of memory). */
#include "os/futex.h"

#include "os/clock.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The kernel's timespec is made of longs. */
_Static_assert(sizeof(((struct timespec *)0)->tv_sec) == sizeof(long), "64-bit systems only");
_Static_assert(sizeof(_Atomic uint32_t) == 4, "the kernel looks at 4 bytes");

bool cw_futex_wait(_Atomic uint32_t *word, uint32_t seen, double seconds) {
    struct timespec limit = {0, 0}, *timeout = &limit;
    if (seconds < 0 || seconds >= 9.2e9) {
        timeout = NULL;
    } else if (seconds > 0) {
        limit.tv_sec = (time_t)seconds;
        limit.tv_nsec = (long)((seconds - (double)limit.tv_sec) * 1e9);
    }
    /* With FUTEX_WAIT the time is relative and monotonic. */
    long r = syscall(SYS_futex, word, FUTEX_WAIT, seen, timeout, NULL, 0);
    /* EAGAIN: the word differs. EINTR: a signal. Anything else but the end of
     * the time is an address that is no futex. */
    assert(r == 0 || errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT);
    return r == 0 || errno != ETIMEDOUT;
}

int cw_futex_wake(_Atomic uint32_t *word, int how_many) {
    long r = syscall(SYS_futex, word, FUTEX_WAKE, how_many, NULL, NULL, 0);
    assert(r >= 0);
    return (int)r;
}

/* ---- looking without sleeping ---- */

/* A turn of others that took so long was work, and not a look like ours, of which there may
 * be some; it is believed for so long that there is more of it. */
enum { A_TURN_NS = 300000, CROWDED_NS = 100000000 };

bool cw_step_aside(void) {
    static _Thread_local int64_t crowded_until;
    int64_t before = cw_now_ns();
    if (before < crowded_until)
        return false;
    sched_yield();
    int64_t after = cw_now_ns();
    if (after - before < A_TURN_NS)
        return true;
    crowded_until = after + CROWDED_NS;
    return false;
}

bool cw_futex_expect(_Atomic uint32_t *word, uint32_t seen, int64_t ns) {
    int64_t until = cw_now_ns() + ns;
    while (atomic_load_explicit(word, memory_order_acquire) == seen)
        if (!cw_step_aside() || cw_now_ns() > until)
            return atomic_load(word) != seen;
    return true;
}

void cw_naps_exactly(void) {
    prctl(PR_SET_TIMERSLACK, 1UL);
}
