/* mpi/pause.h - for loops that look for something, and tasks that take their time. */
#ifndef PAUSE_H
#define PAUSE_H

#include <time.h>

static inline void pause_ms(int ms) {
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

#endif
