/* Error texts and the thread's last error. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local crew_error last_error = {.item = -1, .worker = -1};

const crew_error *crew_last_error(void) {
    return &last_error;
}

crew_error *cw_error_last(void) {
    return &last_error;
}

const char *crew_strerror(int code) {
    switch (code) {
    case CREW_OK:
        return "success";
    case CREW_OWNERDEAD:
        return "the last holder died holding it";
#define SENTENCE(name, value, sentence)                                                            \
    case CREW_##name:                                                                              \
        return sentence;
        CREW_ERROR_CODES(SENTENCE)
#undef SENTENCE
    }
    return "unknown error";
}

int cw_error_set(crew_error *err, int code, int sys, const char *fmt, ...) {
    if (!err)
        err = &last_error;
    *err = (crew_error){.code = code, .sys = sys, .item = -1, .worker = -1};
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    if (sys && n >= 0 && (size_t)n + 3 < sizeof err->text)
        snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", strerror(sys));
    return code;
}

int cw_error_clear(crew_error *err) {
    if (!err)
        err = &last_error;
    /* Field by field: every call that succeeds comes by here, and need not write
     * 256 bytes of text for that. */
    err->code = err->sys = err->task_code = 0;
    err->item = -1;
    err->worker = -1;
    err->node = err->pid = err->signal = err->attempt = 0;
    err->text[0] = 0;
    return 0;
}

int cw_error_copy(crew_error *err, const crew_error *from) {
    if (!err)
        err = &last_error;
    if (err != from)
        *err = *from;
    return from->code;
}
