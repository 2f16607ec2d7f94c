/* Tasks that keep a core busy for a given time: balance, and what batching costs. */
#include "bench.h"
#include "yard.h"

#include <math.h>
#include <stdio.h>

/* The empty assembly keeps the compiler from taking the loop away. */
int64_t bench_turns(int64_t n) {
    int64_t i = 0;
    while (i < n) {
        i++;
        __asm__ volatile("" : "+r"(i));
    }
    return i;
}

static int turns_task(crew_call *call) {
    *CREW_OUT(call, int64_t) = bench_turns(*CREW_IN(call, int64_t));
    return 0;
}

/* Turns of the loop in a second: the most of many short tries, measured once. */
double bench_speed(void) {
    static double known;
    enum { TRIES = 50, TURNS = 1000000 };
    for (int i = known > 0 ? TRIES : 0; i < TRIES; i++) {
        double start = now();
        bench_turns(TURNS);
        double rate = TURNS / (now() - start);
        known = rate > known ? rate : known;
    }
    return known;
}

/* The same numbers in every run. */
static double uniform(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return ((double)(*state >> 11) + 0.5) * 0x1p-53;
}

/* ---- items in shared memory ---- */

struct work {
    crew_array in, out;
    int64_t *items, *results;
    int64_t count;
};

static void work_free(struct work *w) {
    crew_array_destroy(w->in);
    crew_array_destroy(w->out);
}

static int work_make(const char *name, struct work *w, int64_t count) {
    w->count = count;
    if (crew_array_create(&w->in, CREW_I64, 1, &count, NULL) < 0)
        return broke(name, crew_last_error());
    if (crew_array_create(&w->out, CREW_I64, 1, &count, NULL) < 0) {
        int result = broke(name, crew_last_error());
        crew_array_destroy(w->in);
        return result;
    }
    w->items = crew_array_data(w->in);
    w->results = crew_array_data(w->out);
    return 0;
}

static bool work_done(struct work *w) {
    bool done = true;
    for (int64_t i = 0; i < w->count; i++) {
        done = done && w->results[i] == w->items[i];
        w->results[i] = -1;
    }
    return done;
}

static int turn_of_crew(const char *name, const struct bench *b, struct work *w, int64_t chunk,
                        struct side *side) {
    crew_error err;
    crew_map_opts opts = {.chunk = chunk};
    settle();
    double start = now();
    if (crew_map(b->pool, turns_task, w->items, w->count, w->results, &opts, &err) < 0)
        return broke(name, &err);
    double seconds = now() - start;
    if (side)
        side_add(side, seconds / (double)w->count);
    return work_done(w) ? 0 : broke_because(name, "crew's results are wrong");
}

static int turn_of_openmp(const char *name, const struct bench *b, struct work *w,
                          const struct yard_schedule *schedule, struct side *side) {
    settle();
    double seconds = yard_map(&(struct yard_map){.fn = turns_task,
                                                 .in = w->items,
                                                 .in_size = sizeof *w->items,
                                                 .count = w->count,
                                                 .out = w->results,
                                                 .out_size = sizeof *w->results},
                              schedule, b->workers);
    if (side)
        side_add(side, seconds / (double)w->count);
    return work_done(w) ? 0 : broke_because(name, "OpenMP's results are wrong");
}

/* ---- fixed and random lengths ---- */

static const struct yard_schedule dynamic[] = {{"OpenMP dynamic,1", YARD_DYNAMIC, 1},
                                               {"OpenMP dynamic,8", YARD_DYNAMIC, 8},
                                               {"OpenMP dynamic,64", YARD_DYNAMIC, 64},
                                               {"OpenMP guided", YARD_GUIDED, 0}};
enum { DYNAMIC = sizeof dynamic / sizeof *dynamic };

static int lengths(const struct bench *b, const char *name, double seconds, bool random) {
    struct work w;
    struct race race = {0};
    uint64_t state = 1;
    int result = 0;
    double mean = seconds * bench_speed();
    int64_t count = (int64_t)((b->quick ? 0.05 : 0.2) * b->workers / seconds);
    if (work_make(name, &w, count))
        return 1;
    for (int64_t i = 0; i < count; i++)
        w.items[i] = (int64_t)(random ? -log(uniform(&state)) * mean : mean);
    race_enter(&race, "crew");
    for (int s = 0; s < DYNAMIC && yard_available(); s++)
        race_enter(&race, dynamic[s].name);
    for (int round = -1; !result && round < b->rounds; round++) {
        result = turn_of_crew(name, b, &w, 0, round < 0 ? NULL : &race.side[0]);
        for (int s = 0; !result && s + 1 < race.sides; s++)
            result = turn_of_openmp(name, b, &w, &dynamic[s], round < 0 ? NULL : &race.side[s + 1]);
    }
    work_free(&w);
    if (!result)
        report(name, &race.side[0], race_best(&race), UNIT_TIME, (struct bound){BOUND_SHARE, 0.97},
               random ? "a task, lengths exponential" : "a task");
    return result;
}

int measure_tasks_10us(const struct bench *b) {
    return lengths(b, "tasks10us", 10e-6, false);
}

int measure_tasks_10us_random(const struct bench *b) {
    return lengths(b, "tasks10us-random", 10e-6, true);
}

int measure_tasks_1us(const struct bench *b) {
    return lengths(b, "tasks1us", 1e-6, false);
}

int measure_tasks_1us_random(const struct bench *b) {
    return lengths(b, "tasks1us-random", 1e-6, true);
}

/* ---- cost that grows along the range ---- */

int measure_auto_skew(const struct bench *b) {
    static const struct {
        const char *name;
        int64_t chunk;
    } fixed[] = {{"chunk 1", 1},   {"chunk 4", 4},     {"chunk 16", 16},
                 {"chunk 64", 64}, {"chunk 256", 256}, {"chunk 1024", 1024}};
    enum { FIXED = sizeof fixed / sizeof *fixed };
    const char *name = "auto-skew";
    struct work w;
    struct race race = {0};
    int result = 0;
    int64_t count = b->quick ? 5000 : 20000;
    if (work_make(name, &w, count))
        return 1;
    /* From 50 ns to 50 us, 7 us in the mean. */
    for (int64_t i = 0; i < count; i++)
        w.items[i] = (int64_t)(50e-9 * bench_speed() * pow(1000, (double)i / (double)count));
    race_enter(&race, "crew auto");
    for (int s = 0; s < FIXED; s++)
        race_enter(&race, fixed[s].name);
    for (int round = -1; !result && round < b->rounds; round++)
        for (int s = 0; !result && s < race.sides; s++)
            result = turn_of_crew(name, b, &w, s ? fixed[s - 1].chunk : 0,
                                  round < 0 ? NULL : &race.side[s]);
    work_free(&w);
    if (!result)
        report(name, &race.side[0], race_best(&race), UNIT_TIME, (struct bound){BOUND_RATIO, 1.05},
               "an item in the mean");
    return result;
}
