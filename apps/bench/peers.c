/* Maps as Python's multiprocessing does them, and a process for each item. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

static int64_t echo(int64_t n) {
    return n;
}
CREW_TASK(echo, int64_t, int64_t)

enum { MAP1, MAP, IMAP, KINDS };

static const char python[] = "import time, multiprocessing as m\n"
                             "def f(n): return n\n"
                             "with m.Pool(2) as p:\n"
                             "    p.map(f, range(100))\n"
                             "    t = time.perf_counter(); p.map(f, range(10000), 1)\n"
                             "    print((time.perf_counter() - t) / 10000)\n"
                             "    t = time.perf_counter(); p.map(f, range(500000))\n"
                             "    print((time.perf_counter() - t) / 500000)\n"
                             "    t = time.perf_counter()\n"
                             "    for x in p.imap_unordered(f, range(10000)): pass\n"
                             "    print((time.perf_counter() - t) / 10000)\n";

static int map_time(const struct bench *b, int64_t chunk, int64_t count, double *each) {
    crew_error err;
    crew_map_opts opts = {.chunk = chunk};
    int64_t *in = malloc((size_t)count * sizeof *in), *out = malloc((size_t)count * sizeof *out);
    int result = in && out ? 0 : broke_because("peers", "no memory");
    for (int64_t i = 0; !result && i < count; i++)
        in[i] = i;
    settle();
    double start = now();
    if (!result && crew_map(b->pool, echo_task, in, count, out, &opts, &err) < 0)
        result = broke("peers", &err);
    *each = (now() - start) / (double)count;
    if (!result && out[count - 1] != count - 1)
        result = broke_because("peers", "crew's results are wrong");
    free(in);
    free(out);
    return result;
}

static int imap_time(const struct bench *b, int64_t count, double *each) {
    crew_error err;
    crew_map_opts opts = {.unordered = true};
    int64_t got = 0, out;
    int status = 0;
    settle();
    double start = now();
    crew_iter *it =
        crew_imap(b->pool, echo_task, crew_source_range(0, count, 1), sizeof out, &opts, &err);
    while (it && (status = crew_next(it, &out, NULL, CREW_FOREVER, &err)) > 0)
        got++;
    *each = (now() - start) / (double)count;
    crew_iter_free(it);
    return it && status == 0 && got == count ? 0 : broke("peers", &err);
}

static int python_lines(const struct bench *b) {
    static const char *const names[][2] = {[MAP1] = {"peers-map1", "Pool.map chunksize 1"},
                                           [MAP] = {"peers-map", "Pool.map"},
                                           [IMAP] = {"peers-imap", "Pool.imap_unordered"}};
    struct race race[KINDS] = {0};
    for (int k = 0; k < KINDS; k++) {
        race_enter(&race[k], "crew");
        race_enter(&race[k], names[k][1]);
    }
    for (int round = 0; round < b->rounds; round++) {
        double crew[KINDS], other[KINDS];
        if (map_time(b, 1, 1000000, &crew[MAP1]) || map_time(b, 0, 1000000, &crew[MAP]) ||
            imap_time(b, 100000, &crew[IMAP]))
            return 1;
        settle();
        if (python_numbers(python, other, KINDS) < 0)
            return broke_because("peers", "the Python program failed");
        for (int k = 0; k < KINDS; k++) {
            side_add(&race[k].side[0], crew[k]);
            side_add(&race[k].side[1], other[k]);
        }
    }
    for (int k = 0; k < KINDS; k++)
        report(names[k][0], &race[k].side[0], &race[k].side[1], UNIT_TIME, (struct bound){0},
               "an item");
    return 0;
}

/* A process for each item. The shell is asked once, so that its own start and
 * the numbers' are a small share. */
static int xargs_line(const struct bench *b) {
    struct race race = {0};
    race_enter(&race, "crew");
    race_enter(&race, "xargs -P 2 true");
    for (int round = 0; round < b->rounds; round++) {
        double crew;
        if (map_time(b, 1, 1000000, &crew))
            return 1;
        double seconds = command_time("seq 500 | xargs -P 2 -n 1 true");
        if (seconds < 0) {
            report_skipped("peers-xargs", "no xargs");
            return 0;
        }
        side_add(&race.side[0], crew);
        side_add(&race.side[1], seconds / 500);
    }
    report("peers-xargs", &race.side[0], &race.side[1], UNIT_TIME, (struct bound){0},
           "an item; a process for each under xargs");
    return 0;
}

int measure_peers(const struct bench *b) {
    int result = 0;
    if (python_available())
        result = python_lines(b);
    else
        report_skipped("peers", "there is no python3 with multiprocessing");
    return xargs_line(b) || result;
}
