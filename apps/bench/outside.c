/* What is outside of this process: the workers, and other programs. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- workers ---- */

enum { PLACE_WORDS = sizeof(struct place) / sizeof(uint64_t) };
_Static_assert(sizeof(struct place) % sizeof(uint64_t) == 0, "a place is a row of words");

static int place_task(crew_call *call) {
    struct place *here = crew_array_row(*CREW_IN(call, crew_array), call->worker);
    if (!here)
        return crew_fail(call, 1, "the array of places is gone");
    here->pid = getpid();
    CPU_ZERO(&here->cpus);
    sched_getaffinity(0, sizeof here->cpus, &here->cpus);
    return 0;
}

int places_of(const char *name, crew_pool *pool, struct place *places) {
    crew_array rows;
    crew_error err;
    int workers = crew_pool_workers(pool), result = 0;
    int64_t shape[2] = {workers, PLACE_WORDS};
    if (crew_array_create(&rows, CREW_U64, 2, shape, NULL) < 0)
        return broke(name, crew_last_error());
    if (crew_pool_each(pool, place_task, &rows, sizeof rows, &err) < 0)
        result = broke(name, &err);
    else
        memcpy(places, crew_array_data(rows), (size_t)workers * sizeof *places);
    crew_array_destroy(rows);
    return result;
}

/* ---- other programs ---- */

int command_numbers(const char *command, double *numbers, int n) {
    int got = 0;
    FILE *f = popen(command, "r");
    if (!f)
        return -1;
    while (got < n && fscanf(f, "%lf", &numbers[got]) == 1)
        got++;
    return pclose(f) == 0 && got == n ? 0 : -1;
}

int python_numbers(const char *program, double *numbers, int n) {
    char command[4096];
    int length = snprintf(command, sizeof command, "python3 -c '%s' 2>/dev/null", program);
    if (length < 0 || (size_t)length >= sizeof command)
        return -1;
    return command_numbers(command, numbers, n);
}

int own_numbers(const char *arguments, double *numbers, int n) {
    char path[2048], command[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length < 0)
        return -1;
    path[length] = 0;
    snprintf(command, sizeof command, "'%s' %s", path, arguments);
    return command_numbers(command, numbers, n);
}

bool python_available(void) {
    static int known = -1;
    double one;
    if (known < 0)
        known = python_numbers("import multiprocessing\nprint(1)", &one, 1) == 0;
    return known;
}

double command_time(const char *command) {
    double start = now();
    return system(command) == 0 ? now() - start : -1;
}
