/* Marks and verdicts. */
#include "sched/ledger.h"

/* Marks may be set while they are read. Eight at a time, for speed. */
typedef uint64_t __attribute__((may_alias)) eight;

enum { EIGHT = sizeof(eight) };

/* Pairs with the release of who sets a mark: the result. */
static bool marked(const unsigned char *mark) {
    return __atomic_load_n(mark, __ATOMIC_ACQUIRE) != 0;
}

/* The highest bit of each byte that is not 0. */
static uint64_t marked_eight(const unsigned char *marks) {
    const uint64_t low = 0x7f7f7f7f7f7f7f7full;
    uint64_t x = __atomic_load_n((const eight *)(const void *)marks, __ATOMIC_ACQUIRE);
    return (((x & low) + low) | x) & ~low;
}

static bool aligned(const unsigned char *mark) {
    return (uintptr_t)mark % EIGHT == 0;
}

static int64_t first_unmarked(const unsigned char *marks, int64_t at, int64_t to) {
    for (; at < to; at++) {
        while (to - at >= EIGHT && aligned(marks + at) &&
               marked_eight(marks + at) == 0x8080808080808080ull)
            at += EIGHT;
        if (at < to && !marked(marks + at))
            break;
    }
    return at;
}

bool cw_marks_gap(const unsigned char *marks, int64_t from, int64_t to, int64_t *lo, int64_t *hi) {
    int64_t at = first_unmarked(marks, from, to);
    if (at >= to)
        return false;
    *lo = at;
    while (at < to && !marked(marks + at))
        at++;
    *hi = at;
    return true;
}

int64_t cw_marks_run(const unsigned char *marks, int64_t at, int64_t to, unsigned char mark) {
    const uint64_t all = mark * 0x0101010101010101ull;
    while (at < to && !aligned(marks + at) && __atomic_load_n(marks + at, __ATOMIC_RELAXED) == mark)
        at++;
    if (at < to && aligned(marks + at))
        while (to - at >= EIGHT &&
               __atomic_load_n((const eight *)(const void *)(marks + at), __ATOMIC_RELAXED) == all)
            at += EIGHT;
    while (at < to && __atomic_load_n(marks + at, __ATOMIC_RELAXED) == mark)
        at++;
    return at;
}

int64_t cw_marks_count(const unsigned char *marks, int64_t from, int64_t to) {
    int64_t n = 0;
    while (from < to) {
        if (to - from >= EIGHT && aligned(marks + from)) {
            n += __builtin_popcountll(marked_eight(marks + from));
            from += EIGHT;
        } else {
            n += marked(marks + from++);
        }
    }
    return n;
}

enum cw_verdict cw_judge(enum cw_reason reason, int attempt, int retries) {
    if (reason == CW_CANCEL)
        return CW_WAS_CANCELLED;
    if (reason == CW_INNOCENT)
        return CW_NOT_COUNTED;
    if (attempt <= retries)
        return CW_RUN_AGAIN;
    return reason == CW_NO_REASON ? CW_DIED : CW_OVER_LIMIT;
}

bool cw_respawn_useless(struct cw_respawn *r, enum cw_life life) {
    r->unready = life == CW_NEVER_READY ? r->unready + 1 : 0;
    r->idle = life == CW_DID_NOTHING ? r->idle + 1 : life == CW_DID_WORK ? 0 : r->idle;
    return r->unready >= CW_RESPAWN_UNREADY || r->idle >= CW_RESPAWN_IDLE;
}
