/* Maps of items that do nothing, and a loop a chunk at a time. */
#include "bench.h"
#include "yard.h"

#include <stdio.h>
#include <string.h>

/* As little as an item can do: read its value, write its result. */
static int same_task(crew_call *call) {
    *CREW_OUT(call, int64_t) = *CREW_IN(call, int64_t);
    return 0;
}

enum { PAGE = 4096, PROBES = 64 };

/* Every worker has seen every page: `common` is the array. */
static int warm_task(crew_call *call) {
    crew_array array = *CREW_IN(call, crew_array);
    const volatile char *data = crew_array_data(array);
    int64_t count;
    if (!data || crew_array_shape(array, &count, 1) < 0)
        return crew_fail(call, 1, "the array is gone");
    for (int64_t at = 0; at < count * (int64_t)sizeof(int64_t); at += PAGE)
        (void)data[at];
    return 0;
}

static void clear_probes(int64_t *out, int64_t count) {
    for (int64_t k = 0; k < PROBES; k++)
        out[count / PROBES * k] = -1;
}

static bool probes_are_right(const int64_t *out, int64_t count) {
    for (int64_t k = 0; k < PROBES; k++)
        if (out[count / PROBES * k] != count / PROBES * k)
            return false;
    return true;
}

/* ---- maps ---- */

struct contest {
    const char *name;
    int64_t count;
    int64_t chunk; /* crew's; 0: automatic */
    const struct yard_schedule *schedules;
    int schedule_count;
    struct bound bound;
};

static int turn_of_crew(const struct bench *b, const struct contest *c, int64_t *out,
                        struct side *side) {
    crew_error err;
    crew_map_opts opts = {.chunk = c->chunk};
    clear_probes(out, c->count);
    settle();
    double start = now();
    if (crew_map_index(b->pool, same_task, c->count, out, &opts, &err) < 0)
        return broke(c->name, &err);
    double seconds = now() - start;
    if (side)
        side_add(side, seconds / (double)c->count);
    return probes_are_right(out, c->count) ? 0 : broke_because(c->name, "crew's results are wrong");
}

static int turn_of_openmp(const struct bench *b, const struct contest *c, int s, int64_t *out,
                          struct side *side) {
    clear_probes(out, c->count);
    settle();
    double seconds = yard_map(
        &(struct yard_map){.fn = same_task, .count = c->count, .out = out, .out_size = sizeof *out},
        &c->schedules[s], b->workers);
    if (side)
        side_add(side, seconds / (double)c->count);
    return probes_are_right(out, c->count) ? 0
                                           : broke_because(c->name, "OpenMP's results are wrong");
}

static int race_rounds(const struct bench *b, const struct contest *c, int64_t *out,
                       struct race *race) {
    for (int round = -1; round < b->rounds; round++) { /* -1 warms up */
        if (turn_of_crew(b, c, out, round < 0 ? NULL : &race->side[0]))
            return 1;
        for (int s = 0; s + 1 < race->sides; s++)
            if (turn_of_openmp(b, c, s, out, round < 0 ? NULL : &race->side[s + 1]))
                return 1;
    }
    return 0;
}

static int contest(const struct bench *b, const struct contest *c) {
    crew_array array;
    crew_error err;
    struct race race = {0};
    if (crew_array_create(&array, CREW_I64, 1, &c->count, NULL) < 0)
        return broke(c->name, crew_last_error());
    int64_t *out = crew_array_data(array);
    for (int64_t i = 0; i < c->count; i++)
        out[i] = -1;
    race_enter(&race, "crew");
    for (int s = 0; s < c->schedule_count && yard_available(); s++)
        race_enter(&race, c->schedules[s].name);
    int result = 0;
    if (crew_pool_each(b->pool, warm_task, &array, sizeof array, &err) < 0)
        result = broke(c->name, &err);
    if (!result)
        result = race_rounds(b, c, out, &race);
    crew_array_destroy(array);
    if (!result)
        report(c->name, &race.side[0], race_best(&race), UNIT_TIME, c->bound, "an item");
    return result;
}

int measure_map1(const struct bench *b) {
    static const struct yard_schedule dynamic1[] = {{"OpenMP dynamic,1", YARD_DYNAMIC, 1}};
    return contest(b, &(struct contest){.name = "map1",
                                        .count = b->quick ? 1 << 20 : 1 << 22,
                                        .chunk = 1,
                                        .schedules = dynamic1,
                                        .schedule_count = 1,
                                        .bound = {BOUND_RATIO, 3}});
}

static const struct yard_schedule any[] = {{"OpenMP static", YARD_STATIC, 0},
                                           {"OpenMP dynamic,64", YARD_DYNAMIC, 64},
                                           {"OpenMP dynamic,1024", YARD_DYNAMIC, 1024},
                                           {"OpenMP guided", YARD_GUIDED, 0}};
enum { ANY = sizeof any / sizeof *any };

int measure_map(const struct bench *b) {
    return contest(b, &(struct contest){.name = "map",
                                        .count = b->quick ? 1 << 23 : 1 << 25,
                                        .schedules = any,
                                        .schedule_count = ANY,
                                        .bound = {BOUND_RATIO, 2}});
}

/* ---- a chunk at a time ---- */

/* The sum that tends to pi: a row of the array for each worker. */
struct pi {
    crew_array sums;
    double width;
};
enum { ROW = 8 }; /* a cache line of doubles */

static int pi_body(crew_call *call, int64_t lo, int64_t hi) {
    const struct pi *pi = CREW_COMMON(call, struct pi);
    double width = pi->width, sum = 0;
    for (int64_t i = lo; i < hi; i++) {
        double x = ((double)i + 0.5) * width;
        sum += 4 / (1 + x * x);
    }
    double *row = crew_array_row(pi->sums, call->worker);
    if (!row)
        return crew_fail(call, 1, "the array is gone");
    row[0] += sum * width;
    return 0;
}

static bool is_pi(crew_array sums, int workers) {
    double *all = crew_array_data(sums), pi = 0;
    for (int w = 0; w < workers; w++)
        pi += all[w * ROW];
    memset(all, 0, (size_t)workers * ROW * sizeof *all);
    return pi > 3.14159265 && pi < 3.14159266;
}

static int pi_round(const struct bench *b, const struct pi *pi, int64_t count,
                    const struct yard_schedule *schedules, struct race *race, bool counts) {
    crew_error err;
    crew_map_opts opts = {.common = pi, .common_size = sizeof *pi};
    settle();
    double start = now();
    if (crew_for(b->pool, pi_body, count, &opts, &err) < 0)
        return broke("for", &err);
    double seconds = now() - start;
    if (!is_pi(pi->sums, b->workers))
        return broke_because("for", "crew's sum is wrong");
    if (counts)
        side_add(&race->side[0], seconds / (double)count);
    for (int s = 0; s + 1 < race->sides; s++) {
        settle();
        seconds = yard_for(pi_body, count, 4096, pi, sizeof *pi, &schedules[s], b->workers);
        if (seconds < 0 || !is_pi(pi->sums, b->workers))
            return broke_because("for", "OpenMP's sum is wrong");
        if (counts)
            side_add(&race->side[s + 1], seconds / (double)count);
    }
    return 0;
}

int measure_for(const struct bench *b) {
    static const struct yard_schedule blocks[] = {{"OpenMP static", YARD_STATIC, 0},
                                                  {"OpenMP dynamic,4096", YARD_DYNAMIC, 1},
                                                  {"OpenMP dynamic,65536", YARD_DYNAMIC, 16},
                                                  {"OpenMP guided", YARD_GUIDED, 0}};
    int64_t count = b->quick ? 1 << 25 : 1 << 27;
    int64_t shape[2] = {b->workers, ROW};
    struct pi pi = {.width = 1 / (double)count};
    struct race race = {0};
    if (crew_array_create(&pi.sums, CREW_F64, 2, shape, NULL) < 0)
        return broke("for", crew_last_error());
    race_enter(&race, "crew");
    for (size_t s = 0; s < sizeof blocks / sizeof *blocks && yard_available(); s++)
        race_enter(&race, blocks[s].name);
    int result = 0;
    for (int round = -1; !result && round < b->rounds; round++)
        result = pi_round(b, &pi, count, blocks, &race, round >= 0);
    crew_array_destroy(pi.sums);
    if (!result)
        report("for", &race.side[0], race_best(&race), UNIT_TIME, (struct bound){BOUND_RATIO, 1.2},
               "an index");
    return result;
}
