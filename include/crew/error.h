/* crew/error.h - what went wrong, and where.
 *
 * An int result is 0 (or a count, or 1 for news such as CREW_OWNERDEAD) on
 * success and one of the negative codes below on failure; constructors return
 * NULL on failure. A crew_error passed in may be NULL; a success leaves code 0
 * in it. Calls that take none, or are given NULL, leave theirs in crew_last_error(),
 * which belongs to the calling thread. */
#ifndef CREW_ERROR_H
#define CREW_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define CREW_API __attribute__((visibility("default")))
#define CREW_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define CREW_API
#define CREW_PRINTF(fmt, args)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, value, sentence): the one list of codes. */
#define CREW_ERROR_CODES(X)                                                                        \
    X(EINVAL, -1, "invalid argument")                                                              \
    X(ENOMEM, -2, "not enough memory")                                                             \
    X(EAGAIN, -3, "the system has no more processes or threads to give")                           \
    X(ETOOSMALL, -4, "the buffer is too small")                                                    \
    X(ETIMEDOUT, -5, "the time is over")                                                           \
    X(ECANCELLED, -6, "cancelled")                                                                 \
    X(ECLOSED, -7, "closed")                                                                       \
    X(EEXIST, -8, "exists already")                                                                \
    X(ENOENT, -9, "does not exist")                                                                \
    X(EPERM, -10, "not permitted")                                                                 \
    X(EFAILED, -11, "a task reported a failure")                                                   \
    X(EDIED, -12, "a task's worker died")                                                          \
    X(ELIMIT, -13, "a task passed its time or memory limit")                                       \
    X(EBROKEN, -14, "broken: the pool has lost its processes, or the barrier was given up")        \
    X(ENOTSUP, -15, "not supported by this backend")                                               \
    X(EMISMATCH, -16, "sizes or programs do not match")                                            \
    X(ESTOPPED, -17, "stopped before the end")

enum {
    CREW_OK = 0,
    CREW_OWNERDEAD = 1, /* news, not an error: you hold it, its last holder died holding it */
#define CREW_ERROR_ENUM(name, value, sentence) CREW_##name = value,
    CREW_ERROR_CODES(CREW_ERROR_ENUM)
#undef CREW_ERROR_ENUM
};

/* Times are seconds. As a parameter: CREW_FOREVER (or any negative number)
 * waits without limit, 0 polls, and a wait that is over is CREW_ETIMEDOUT. */
#define CREW_FOREVER (-1.0)

typedef struct crew_error {
    int code;       /* 0 or CREW_E... */
    int sys;        /* errno, where the system said no; else 0 */
    int task_code;  /* with CREW_EFAILED: what the task returned */
    int64_t item;   /* index in the map, -1 if no item is concerned */
    int worker;     /* the pool's worker, from 0; -1 if none is concerned */
    int node;       /* the node it was on */
    int pid;        /* its process, 0 if none */
    int signal;     /* the signal that ended it, 0 if none */
    int attempt;    /* from 1; 0 if no item is concerned */
    char text[256]; /* for the user; with code 0 empty, unless a journal has to tell something */
} crew_error;

/* This thread's last error of a call that takes no crew_error. Never NULL; the same
 * address each time, so that the next call changes what is there. */
CREW_API const crew_error *crew_last_error(void);

/* The sentence of a code, "unknown error" for a number that is none. */
CREW_API const char *crew_strerror(int code);

#ifdef __cplusplus
}
#endif
#endif
