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

static int run_program(const char *command, const struct program *p, struct times *t) {
    char line[512];
    int found = 0;
    FILE *f = popen(command, "r");
    if (!f)
        return broke_because(p->name, "no process could be started");
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

/* The pool's time beside the shortest that the series' items allow: the series' time
 * through the number of workers, or the longest item. Both from one run of the program. */
static int measure_program(const struct bench *b, const char *where, const struct program *p) {
    char path[4096], command[8192], note[128];
    struct race race = {0};
    struct side series = {0}, faster = {0}, possible = {0};
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
        if (run_program(command, p, &t))
            return 1;
        side_add(&race.side[0], t.pool);
        side_add(&race.side[1], t.series / t.possible);
        side_add(&series, t.series);
        side_add(&faster, t.faster);
        side_add(&possible, t.possible);
    }
    snprintf(note, sizeof note, "series %.2f s, %.2f times as fast, %.2f are possible",
             side_median(&series), side_median(&faster), side_median(&possible));
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
