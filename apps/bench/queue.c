/* Messages between two processes. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

enum { MESSAGE = 64, HOLDS = 1024, PRODUCE = 0, CONSUME = 1 };

struct traffic {
    crew_queue queue;
    int64_t count;
};

/* The item says which side this is. */
static int side(crew_call *call) {
    const struct traffic *t = CREW_COMMON(call, struct traffic);
    int64_t message[MESSAGE / sizeof(int64_t)] = {0};
    for (int64_t i = 0; i < t->count; i++) {
        if (*CREW_IN(call, int64_t) == PRODUCE) {
            message[0] = i;
            if (crew_queue_put(t->queue, message, sizeof message, CREW_FOREVER) < 0)
                return crew_fail(call, 1, "put: %s", crew_last_error()->text);
            continue;
        }
        if (crew_queue_get(t->queue, message, sizeof message, CREW_FOREVER) != MESSAGE)
            return crew_fail(call, 1, "get: %s", crew_last_error()->text);
        if (message[0] != i)
            return crew_fail(call, 1, "message %ld is number %ld", (long)i, (long)message[0]);
    }
    return 0;
}

/* Seconds a message. */
static int one_round(const struct bench *b, struct traffic *t, double *seconds) {
    static const int64_t sides[] = {PRODUCE, CONSUME};
    crew_error err;
    crew_map_opts opts = {.common = t, .common_size = sizeof *t, .chunk = 1};
    settle();
    double start = now();
    if (crew_pool_map(b->pool, side, sides, sizeof *sides, 2, NULL, 0, &opts, &err) < 0)
        return broke("queue", &err);
    *seconds = (now() - start) / (double)t->count;
    return 0;
}

int measure_queue(const struct bench *b) {
    static const char python[] =
        "import time, multiprocessing as m\n"
        "N = 20000\n"
        "def f(q, e):\n"
        "    e.set()\n"
        "    x = bytes(64)\n"
        "    for i in range(N): q.put(x)\n"
        "q = m.Queue(1024)\n"
        "e = m.Event()\n"
        "p = m.Process(target=f, args=(q, e))\n"
        "p.start()\n"
        "e.wait()\n"
        "t = time.perf_counter()\n"
        "for i in range(N): q.get()\n"
        "print((time.perf_counter() - t) / N)\n"
        "p.join()\n";
    struct traffic t = {.count = b->quick ? 200000 : 2000000};
    struct race race = {0};
    char note[64];
    int result = 0;
    if (b->workers < 2) {
        report_skipped("queue", "it takes two workers");
        return 0;
    }
    if (crew_queue_create(&t.queue, HOLDS, NULL) < 0)
        return broke("queue", crew_last_error());
    race_enter(&race, "crew");
    if (python_available())
        race_enter(&race, "multiprocessing.Queue");
    for (int round = -1; !result && round < b->rounds; round++) {
        double seconds = 0, other;
        result = one_round(b, &t, &seconds);
        if (!result && round >= 0)
            side_add(&race.side[0], seconds);
        if (result || round < 0 || race.sides < 2)
            continue;
        if (python_numbers(python, &other, 1) < 0)
            result = broke_because("queue", "the Python program failed");
        else
            side_add(&race.side[1], other);
    }
    if (crew_queue_destroy(t.queue) < 0)
        result = broke("queue", crew_last_error());
    if (result)
        return result;
    snprintf(note, sizeof note, "%.3g million a second, wanted: 10",
             1e-6 / side_median(&race.side[0]));
    report("queue", &race.side[0], race_best(&race), UNIT_TIME,
           (struct bound){race.sides > 1 ? BOUND_RATIO : BOUND_VALUE,
                          race.sides > 1 ? 1 / 30. : 100e-9},
           note);
    return 0;
}
