/* What a journal costs a map: items of 1 ms with results of 1 KiB, with and without. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RESULT = 1024 };

struct result {
    int64_t index;
    char rest[RESULT - sizeof(int64_t)];
};

static int millisecond_task(crew_call *call) {
    struct result *r = CREW_OUT(call, struct result);
    double end = now() + 1e-3;
    while (now() < end)
        ;
    r->index = call->index;
    memset(r->rest, (int)call->index, sizeof r->rest);
    return 0;
}

static int turn(const struct bench *b, const char *file, int64_t count, struct result *out,
                struct side *side) {
    crew_error err;
    crew_map_opts opts = {.journal = file};
    memset(out, 0xff, (size_t)count * sizeof *out);
    if (file)
        unlink(file);
    settle();
    double start = now();
    if (crew_map_index(b->pool, millisecond_task, count, out, &opts, &err) < 0)
        return broke("journal", &err);
    double seconds = now() - start;
    for (int64_t i = 0; i < count; i++)
        if (out[i].index != i)
            return broke_because("journal", "a result is wrong");
    if (err.text[0])
        return broke_because("journal", err.text);
    if (side)
        side_add(side, seconds * b->workers / (double)count);
    return 0;
}

int measure_journal(const struct bench *b) {
    char file[] = "/var/tmp/bench-journal-XXXXXX"; /* a disk, rather than memory */
    int64_t count = (b->quick ? 200 : 2000) * (int64_t)b->workers;
    struct result *out = malloc((size_t)count * sizeof *out);
    struct race race = {0};
    int fd = mkstemp(file), result = 0;
    if (fd < 0 || !out) {
        if (fd >= 0)
            close(fd);
        free(out);
        return broke_because("journal", "there is no file, or no memory");
    }
    close(fd);
    struct side *with = race_enter(&race, "with a journal"),
                *without = race_enter(&race, "without");
    for (int round = -1; !result && round < b->rounds; round++) { /* -1 warms up */
        result = turn(b, file, count, out, round < 0 ? NULL : with);
        if (!result)
            result = turn(b, NULL, count, out, round < 0 ? NULL : without);
    }
    unlink(file);
    free(out);
    if (!result)
        report("journal", with, without, UNIT_TIME, (struct bound){BOUND_RATIO, 1.03},
               "a worker's time an item of 1 ms, 1 KiB");
    return result;
}
