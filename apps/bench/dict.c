/* Dictionaries: sets and gets from one process, and counting by all workers. */
#include "bench.h"

#include <stdio.h>

enum { KEYS = 1000 };

/* A set and a get of each key, over and over. Returns seconds an operation;
 * negative: a call failed, or a result is wrong. */
static double sets_and_gets(crew_dict d, int64_t rounds) {
    double start = now();
    for (int64_t r = 0; r < rounds; r++)
        for (int64_t key = 0; key < KEYS; key++) {
            int64_t val[2] = {r, key}, got[2];
            if (crew_dict_set(d, &key, sizeof key, val, sizeof val) < 0 ||
                crew_dict_get(d, &key, sizeof key, got, sizeof got, 0) != sizeof got ||
                got[0] != r || got[1] != key)
                return -1;
        }
    return (now() - start) / (double)(2 * rounds * KEYS);
}

int measure_dict(const struct bench *b) {
    static const char python[] = "import time, multiprocessing as m\n"
                                 "d = m.Manager().dict()\n"
                                 "d[0] = (0, 0)\n"
                                 "t = time.perf_counter()\n"
                                 "for i in range(3000):\n"
                                 "    d[i % 1000] = (i, i)\n"
                                 "    if d[i % 1000] != (i, i): raise SystemExit(1)\n"
                                 "print((time.perf_counter() - t) / 6000)\n";
    struct race race = {0};
    crew_dict d;
    int result = 0;
    if (crew_dict_create(&d) < 0)
        return broke("dict", crew_last_error());
    race_enter(&race, "crew");
    if (python_available())
        race_enter(&race, "Manager().dict");
    for (int round = -1; !result && round < b->rounds; round++) {
        settle();
        double crew = sets_and_gets(d, b->quick ? 50 : 500), other;
        if (crew < 0)
            result = broke_because("dict", "a call failed, or a result is wrong");
        else if (round >= 0)
            side_add(&race.side[0], crew);
        if (!result && round >= 0 && race.sides > 1) {
            if (python_numbers(python, &other, 1) < 0)
                result = broke_because("dict", "the Python program failed");
            else
                side_add(&race.side[1], other);
        }
    }
    crew_dict_destroy(d);
    if (!result) {
        char note[64];
        snprintf(note, sizeof note, "a set or a get; %.3g million/s",
                 1e-6 / side_median(&race.side[0]));
        report("dict", &race.side[0], race_best(&race), UNIT_TIME, (struct bound){0}, note);
    }
    return result;
}

/* ---- counting, all at once ---- */

struct counting {
    crew_dict dict;
    int64_t rounds;
};

static int count_keys(crew_call *call) {
    const struct counting *c = CREW_IN(call, struct counting);
    for (int64_t r = 0; r < c->rounds; r++)
        for (int64_t key = 0; key < KEYS; key++)
            if (crew_dict_add_i64(c->dict, &key, sizeof key, 1, NULL) < 0)
                return crew_fail(call, 1, "%s", crew_last_error()->text);
    return 0;
}

int measure_dict_count(const struct bench *b) {
    struct counting c = {.rounds = b->quick ? 100 : 1000};
    struct race race = {0};
    struct side *crew = race_enter(&race, "crew");
    crew_error err;
    int64_t key = 7, total = 0;
    int result = 0;
    if (crew_dict_create(&c.dict) < 0)
        return broke("dict-count", crew_last_error());
    for (int round = -1; !result && round < b->rounds; round++) {
        settle();
        double start = now();
        if (crew_pool_each(b->pool, count_keys, &c, sizeof c, &err) < 0)
            result = broke("dict-count", &err);
        else if (round >= 0)
            side_add(crew, (now() - start) / (double)(c.rounds * KEYS * b->workers));
    }
    if (!result && (crew_dict_get(c.dict, &key, sizeof key, &total, sizeof total, 0) < 0 ||
                    total != c.rounds * b->workers * (b->rounds + 1)))
        result = broke_because("dict-count", "a count is wrong");
    crew_dict_destroy(c.dict);
    if (!result)
        report("dict-count", crew, NULL, UNIT_TIME, (struct bound){0},
               "a crew_dict_add_i64, all workers at once, 1,000 keys");
    return result;
}
