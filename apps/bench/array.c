/* A large array of doubles, updated in place. */
#include "bench.h"
#include "yard.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCK = 1 << 17 }; /* doubles in an item: 1 MiB */

/* Where the data are: in shared memory, or, for OpenMP, at `plain`. */
struct field {
    crew_array array;
    double *plain;
};

static int update_task(crew_call *call) {
    const struct field *f = CREW_COMMON(call, struct field);
    double *data = f->plain ? f->plain : crew_array_data(f->array);
    if (!data)
        return crew_fail(call, 1, "the array is gone");
    double *x = data + *CREW_IN(call, int64_t) * BLOCK;
    for (int64_t i = 0; i < BLOCK; i++)
        x[i] = 0.5 * x[i] + 1;
    return 0;
}

/* What every element is after so many passes, from 0. */
static double after(int passes) {
    double x = 0;
    for (int i = 0; i < passes; i++)
        x = 0.5 * x + 1;
    return x;
}

static bool is_right(const double *data, int64_t blocks, int passes) {
    double want = after(passes);
    for (int64_t b = 0; b < blocks; b++)
        if (data[b * BLOCK + b * 7919 % BLOCK] != want)
            return false;
    return true;
}

static int crew_pass(const struct bench *b, struct field *f, int64_t blocks, double *seconds) {
    crew_error err;
    crew_map_opts opts = {.common = f, .common_size = sizeof *f};
    settle();
    double start = now();
    if (crew_pool_map(b->pool, update_task, NULL, 0, blocks, NULL, 0, &opts, &err) < 0)
        return broke("array", &err);
    *seconds = now() - start;
    return 0;
}

static int openmp_pass(const struct bench *b, struct field *f, int64_t blocks, double *seconds) {
    static const struct yard_schedule schedule = {"OpenMP static", YARD_STATIC, 0};
    settle();
    *seconds = yard_map(
        &(struct yard_map){
            .fn = update_task, .count = blocks, .common = f, .common_size = sizeof *f},
        &schedule, b->workers);
    return *seconds < 0 ? broke_because("array", "the loop under OpenMP failed") : 0;
}

static int passes(const struct bench *b, struct field *shared, struct field *plain, int64_t blocks,
                  double created) {
    struct race first = {0}, later = {0};
    char note[96], text[24];
    race_enter(&first, "crew");
    race_enter(&later, "crew");
    if (plain->plain) {
        race_enter(&first, "OpenMP static");
        race_enter(&later, "OpenMP static");
    }
    for (int pass = 0; pass <= b->rounds; pass++) {
        double seconds = 0;
        struct race *race = pass ? &later : &first;
        if (crew_pass(b, shared, blocks, &seconds))
            return 1;
        side_add(&race->side[0], seconds);
        if (!plain->plain)
            continue;
        if (openmp_pass(b, plain, blocks, &seconds))
            return 1;
        side_add(&race->side[1], seconds);
    }
    if (!is_right(crew_array_data(shared->array), blocks, b->rounds + 1))
        return broke_because("array", "crew's array is wrong");
    if (plain->plain && !is_right(plain->plain, blocks, b->rounds + 1))
        return broke_because("array", "OpenMP's array is wrong");
    format_value(created, UNIT_TIME, text);
    snprintf(note, sizeof note, "the first pass; crew had made the array in %s", text);
    report("array-first", &first.side[0], race_best(&first), UNIT_TIME, (struct bound){0}, note);
    format_value((double)(blocks * BLOCK) * sizeof(double), UNIT_BYTES, text);
    snprintf(note, sizeof note, "a later pass over %s", text);
    report("array", &later.side[0], race_best(&later), UNIT_TIME, (struct bound){BOUND_SHARE, 0.9},
           note);
    return 0;
}

/* Both arrays take a third of what is free, at most. */
static int64_t blocks_that_fit(int64_t blocks) {
    int64_t room = (int64_t)sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE) / 3;
    while (blocks > 1 && 2 * blocks * BLOCK * (int64_t)sizeof(double) > room)
        blocks /= 2;
    return blocks;
}

int measure_array(const struct bench *b) {
    struct field shared = {0}, plain = {0};
    int64_t blocks = blocks_that_fit(b->quick ? 256 : 2048), count = blocks * BLOCK;
    double start = now();
    if (crew_array_create(&shared.array, CREW_F64, 1, &count, NULL) < 0)
        return broke("array", crew_last_error());
    double created = now() - start;
    int result = 0;
    if (yard_available() && !(plain.plain = calloc((size_t)count, sizeof(double))))
        result = broke_because("array", "no memory for OpenMP's array");
    if (!result)
        result = passes(b, &shared, &plain, blocks, created);
    free(plain.plain);
    crew_array_destroy(shared.array);
    return result;
}
