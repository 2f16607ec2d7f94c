/* The programs themselves: how much faster a pool makes them, and how fast they are. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where this program lies, with its fellows and the examples. False if nobody knows. */
static bool folder(char *text, size_t size) {
    ssize_t length = readlink("/proc/self/exe", text, size - 1);
    if (length < 0)
        return false;
    text[length] = 0;
    char *slash = strrchr(text, '/');
    if (slash)
        *slash = 0;
    return slash != NULL;
}

/* ---- series beside pool ------------------------------------------------- */

struct program {
    const char *name;
    const char *file;
    const char *arguments, *quick; /* for a second of work or more; for --quick */
    const char *line;              /* how the line with the times begins, before "series" */
    double share;                  /* at least, of what is possible */
};

/* What the program says of itself. The last line of the kind counts. */
struct times {
    double series, pool, faster, possible;
};

static int read_times(const struct program *p, FILE *f, struct times *t) {
    char line[512];
    int found = 0;
    while (fgets(line, sizeof line, f)) {
        size_t skip = strlen(p->line);
        if (strncmp(line, p->line, skip) == 0 &&
            sscanf(line + skip, "series %lf s, pool %lf s: %lf times as fast, %lf are possible",
                   &t->series, &t->pool, &t->faster, &t->possible) == 4)
            found = 1;
    }
    if (pclose(f) != 0)
        return broke_because(p->name, "the program has failed");
    return found ? 0 : broke_because(p->name, "the program does not say how fast it was");
}

static int run_program(const char *command, const struct program *p, struct times *t) {
    FILE *f = popen(command, "r");
    return f ? read_times(p, f, t) : broke_because(p->name, "no process could be started");
}

/* Copies of the series alone, all at once, each on a processor of its own: they share
 * nothing, so what they lose is the machine's doing (clock, caches, neighbours), and no
 * pool can win it back. Sets the mean of their times. */
static int run_copies(const char *command, const struct program *p, int copies, double *mean) {
    char alone[8192 + 64];
    FILE *f[CPU_SETSIZE];
    struct times t;
    cpu_set_t mine;
    int started = 0, result = 0;
    if (sched_getaffinity(0, sizeof mine, &mine) < 0)
        return broke_because(p->name, "where this program may run is not known");
    for (int cpu = 0; cpu < CPU_SETSIZE && started < copies && !result; cpu++) {
        if (!CPU_ISSET(cpu, &mine))
            continue;
        snprintf(alone, sizeof alone, "CREW_BACKEND=serial taskset -c %d %s", cpu, command);
        f[started] = popen(alone, "r");
        if (f[started])
            started++;
        else
            result = broke_because(p->name, "no process could be started");
    }
    *mean = 0;
    for (int i = 0; i < started; i++) {
        if (read_times(p, f[i], &t))
            result = 1;
        *mean += t.series / started;
    }
    return result;
}

/* The pool's time beside the shortest that the series' items allow: the series' time
 * through the number of workers, or the longest item. Both from one run of the program. */
static int measure_program(const struct bench *b, const char *where, const struct program *p) {
    char path[4096], command[8192], note[160];
    struct race race = {0};
    struct side series = {0}, faster = {0}, possible = {0}, apart = {0};
    struct times t;
    int length = snprintf(path, sizeof path, "%s/%s", where, p->file);
    if (length < 0 || (size_t)length >= sizeof path || access(path, X_OK) < 0) {
        report_skipped(p->name, "the program is not there");
        return 0;
    }
    snprintf(command, sizeof command, "'%s' %s 2>&1", path, b->quick ? p->quick : p->arguments);
    race_enter(&race, "pool");
    race_enter(&race, "possible");
    for (int round = 0; round < b->rounds; round++) {
        double copies = 0;
        if (run_program(command, p, &t) || run_copies(command, p, b->workers, &copies))
            return 1;
        side_add(&race.side[0], t.pool);
        side_add(&race.side[1], t.series / t.possible);
        side_add(&series, t.series);
        side_add(&faster, t.faster);
        side_add(&possible, t.possible);
        side_add(&apart, t.series / copies);
    }
    snprintf(note, sizeof note,
             "series %.2f s, %.2f times as fast, %.2f are possible; %d copies of the series at "
             "once each reach %.3f of one alone",
             side_median(&series), side_median(&faster), side_median(&possible), b->workers,
             side_median(&apart));
    report(p->name, &race.side[0], &race.side[1], UNIT_TIME, (struct bound){BOUND_SHARE, p->share},
           note);
    return 0;
}

int measure_speedups(const struct bench *b) {
    static const struct program programs[] = {
        {"speedup-factorize", "examples/factorize", "--repeat 60", "--repeat 10", "", 0.95},
        {"speedup-imap", "examples/imap_sums", "--repeat 2", "", "ordered: ", 0.95},
        {"speedup-unordered", "examples/imap_sums", "--repeat 2", "", "unordered: ", 0.95},
        {"speedup-primes", "primes", "--compare 10^12 1010000000000", "--compare 1 10^9", "", 0.95},
        {"speedup-ep", "ep", "--compare A", "--compare S", "", 0.95},
        {"speedup-uts", "uts", "--compare -t1 -a3 -d10 -b4 -r19 -g3", "--compare T1", "", 0.9},
    };
    char where[2048];
    if (!folder(where, sizeof where))
        return broke_because("speedups", "where this program lies is not known");
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        if (measure_program(b, where, &programs[i]))
            return 1;
    return 0;
}

/* ---- primes beside primesieve ------------------------------------------- */

int measure_sieve(const struct bench *b) {
    struct race race = {0};
    char where[2048], ours[4096];
    static const char theirs[] = "primesieve 1e12 -d1e9 -t1 -q >/dev/null";
    if (!folder(where, sizeof where))
        return broke_because("sieve", "where this program lies is not known");
    snprintf(ours, sizeof ours, "CREW_BACKEND=serial '%s/primes' 10^12 1001000000000 >/dev/null",
             where);
    if (command_time("command -v primesieve >/dev/null") < 0) {
        report_skipped("sieve", "primesieve is not installed");
        return 0;
    }
    race_enter(&race, "primes");
    race_enter(&race, "primesieve");
    for (int round = -1; round < b->rounds; round++)
        for (int s = 0; s < 2; s++) {
            double seconds = command_time(s == 0 ? ours : theirs);
            if (seconds < 0)
                return broke_because("sieve", "a program has failed");
            if (round >= 0)
                side_add(&race.side[s], seconds);
        }
    report("sieve", &race.side[0], &race.side[1], UNIT_TIME, (struct bound){BOUND_RATIO, 4},
           "one core, 10^12 to 10^12 + 10^9");
    return 0;
}
