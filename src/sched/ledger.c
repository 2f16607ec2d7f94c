/* Marks and verdicts. */
#include "sched/ledger.h"

#include <string.h>

bool cw_marks_gap(const unsigned char *marks, int64_t from, int64_t to, int64_t *lo, int64_t *hi) {
    if (from >= to)
        return false;
    const unsigned char *p = memchr(marks + from, 0, (size_t)(to - from));
    if (!p)
        return false;
    *lo = p - marks;
    int64_t end = *lo;
    while (end < to && marks[end] == 0)
        end++;
    *hi = end;
    return true;
}

int64_t cw_marks_count(const unsigned char *marks, int64_t from, int64_t to) {
    int64_t n = 0;
    for (int64_t i = from; i < to; i++)
        n += marks[i] != 0;
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
