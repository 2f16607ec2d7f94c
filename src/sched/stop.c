#include "sched/stop.h"

static int64_t after(int64_t now, double seconds) {
    return now + (int64_t)(seconds * 1e9);
}

void cw_stop_limit(struct cw_stop *s, double seconds, int64_t now) {
    s->limit = seconds;
    s->limit_ns = after(now, seconds);
    s->limit_is = CW_STOP_BY_LIMIT;
}

void cw_stop_batch(struct cw_stop *s, double left, double margin, int64_t now) {
    if (s->limit_is == CW_STOP_BY_LIMIT)
        return;
    left = left > 0 ? left : 0;
    s->limit_ns = after(now, margin < left / 2 ? left - margin : left / 2);
    s->limit_is = CW_STOP_BY_BATCH;
}

static void drain(struct cw_stop *s, enum cw_stop_cause cause, int64_t now) {
    s->phase = CW_STOP_DRAIN;
    s->cause = cause;
    s->since_ns = now;
}

void cw_stop_signalled(struct cw_stop *s, int signal, bool here, int64_t now) {
    if (s->phase == CW_STOP_NOT) {
        drain(s, CW_STOP_BY_SIGNAL, now);
        s->signal = signal;
    } else if (here && now - s->since_ns >= CW_STOP_REPEAT_NS) {
        s->phase = CW_STOP_END;
    }
}

double cw_stop_look(struct cw_stop *s, int64_t now) {
    if (s->phase == CW_STOP_NOT && s->limit_ns && now >= s->limit_ns)
        drain(s, s->limit_is, now);
    int64_t end = after(s->since_ns, s->grace);
    if (s->phase == CW_STOP_DRAIN && now >= end)
        s->phase = CW_STOP_END;
    if (s->phase == CW_STOP_DRAIN)
        return (double)(end - now) * 1e-9;
    return s->phase == CW_STOP_NOT && s->limit_ns ? (double)(s->limit_ns - now) * 1e-9 : -1;
}
