/* mpi/own.h - what programs share that have MPI for themselves. */
#ifndef OWN_H
#define OWN_H

#include "pause.h"

#include <crew/mpi.h>

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int rank;

/* What fails says where and ends the job. */
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            die(__FILE__, __LINE__, #condition, __VA_ARGS__);                                      \
    } while (0)

__attribute__((format(printf, 4, 5), noreturn)) static inline void
die(const char *file, int line, const char *what, const char *fmt, ...) {
    va_list args;
    fprintf(stderr, "# rank %d, %s:%d: %s: ", rank, file, line, what);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    MPI_Abort(MPI_COMM_WORLD, 1);
    _exit(1);
}

static inline double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#endif
