/* Pools over MPI ranks: jobs of them are started, one after the other, and tell their
 * figures. What runs in such a job is in ranks_inside.c. */
#include "ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HOSTS = 3, FIGURES_MOST = 4 * ROUNDS_MOST };

/* ---- jobs ---- */

static bool hosts_are_up;

static void hosts_name(char text[32]) {
    snprintf(text, 32, "bench-%ld", (long)getpid());
}

/* The folder that this program lies in: its yardsticks lie there, too. */
static bool own_folder(char *path, size_t size) {
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    if (length < 0)
        return false;
    path[length] = 0;
    *strrchr(path, '/') = 0;
    return true;
}

/* False: such jobs cannot be had, and the line says why. */
static bool ready(const struct bench *b, const char *name, bool hosts) {
    char command[4096], why[512] = "", hosts_called[32];
    hosts_name(hosts_called);
    snprintf(command, sizeof command, "bash '%s' %s ready %s %ld", BENCH_RANKS_SH, b->flavour,
             hosts ? hosts_called : "-", (long)getpid());
    FILE *f = popen(command, "r");
    if (f && !fgets(why, sizeof why, f))
        why[0] = 0;
    while (f && fgets(command, sizeof command, f))
        ;
    if (f && pclose(f) == 0) {
        hosts_are_up = hosts_are_up || hosts;
        return true;
    }
    why[strcspn(why, "\n")] = 0;
    report_skipped(name, why[0] ? why : "no job could be started");
    return false;
}

void ranks_end(const struct bench *b) {
    char command[4096], name[32];
    hosts_name(name);
    snprintf(command, sizeof command, "bash '%s' %s down %s >/dev/null 2>&1", BENCH_RANKS_SH,
             b->flavour, name);
    if (hosts_are_up && system(command) != 0)
        fprintf(stderr, "bench: the emulated hosts %s are not down\n", name);
}

/* The figures that a job prints: of `program` beside this one, with settings in its
 * environment. ranks 0: on the hosts. */
static int figures(const struct bench *b, const char *settings, int ranks, const char *program,
                   double *numbers, int n) {
    char folder[2048], command[8192], where[64], name[32];
    if (!own_folder(folder, sizeof folder))
        return -1;
    hosts_name(name);
    if (ranks)
        snprintf(where, sizeof where, "run %d", ranks);
    else
        snprintf(where, sizeof where, "hosts %s", name);
    int length =
        snprintf(command, sizeof command, "BENCH_JOB=%ld %s bash '%s' %s %s '%s'/%s",
                 (long)getpid(), settings, BENCH_RANKS_SH, b->flavour, where, folder, program);
    if (length < 0 || (size_t)length >= sizeof command)
        return -1;
    return command_numbers(command, numbers, n);
}

/* This program in the job, as `what`: see ranks_inside.c. */
static int inside(const struct bench *b, const char *name, const char *settings, int ranks,
                  const char *what, double *numbers, int n) {
    char program[256];
    snprintf(program, sizeof program, "bench %s %s", RANKS_MODE, what);
    return figures(b, settings, ranks, program, numbers, n) == 0
               ? 0
               : broke_because(name, "a job of ranks failed, or told too little");
}

/* Every round has a figure of each side, in turn. */
static void enter(struct race *race, const double *numbers, int rounds) {
    for (int i = 0; i < rounds * race->sides; i++)
        side_add(&race->side[i % race->sides], numbers[i]);
}

/* ---- one node ---- */

int measure_ranks_item(const struct bench *b) {
    const char *name = "mpi-item";
    char what[64];
    double numbers[FIGURES_MOST];
    struct race race = {0};
    if (!ready(b, name, false))
        return 0;
    snprintf(what, sizeof what, "item %d %d 0", b->quick ? 1 << 21 : 1 << 25, b->rounds);
    race_enter(&race, "crew, 2 ranks");
    race_enter(&race, "crew, forked");
    if (inside(b, name, "", 2, what, numbers, 2 * b->rounds))
        return 1;
    enter(&race, numbers, b->rounds);
    report(name, &race.side[0], &race.side[1], UNIT_TIME, (struct bound){BOUND_RATIO, 1.3},
           "an item");
    return 0;
}

int measure_ranks_textbook(const struct bench *b) {
    const char *name = "mpi-textbook";
    char program[64], folder[2048], path[2200];
    struct race race = {0};
    if (!own_folder(folder, sizeof folder) || !ready(b, name, false))
        return 0;
    snprintf(path, sizeof path, "%s/bench-textbook-%s", folder, b->flavour);
    if (access(path, X_OK) < 0) {
        report_skipped(name, "the yardstick was not built: this MPI was not there");
        return 0;
    }
    snprintf(program, sizeof program, "bench-textbook-%s %d", b->flavour,
             b->quick ? 20000 : 400000);
    race_enter(&race, "crew");
    race_enter(&race, "plain MPI, one item a message");
    for (int round = 0; round < b->rounds; round++) {
        double crew[2], plain;
        if (inside(b, name, "", 2, b->quick ? "item 2097152 1 0" : "item 33554432 1 0", crew, 2))
            return 1;
        if (figures(b, "", 2, program, &plain, 1) < 0)
            return broke_because(name, "the job of plain MPI failed");
        side_add(&race.side[0], crew[0]);
        side_add(&race.side[1], plain);
    }
    report(name, &race.side[0], &race.side[1], UNIT_TIME, (struct bound){BOUND_RATIO, 1 / 20.0},
           "an item, 2 ranks");
    return 0;
}

/* ---- three hosts ---- */

/* crew's own figures in a job on the hosts: one a round, and if `beside`, one of the
 * other side after it. */
static int on_hosts(const struct bench *b, const char *name, const char *what, const char *beside,
                    struct race *race) {
    double numbers[FIGURES_MOST];
    race_enter(race, "crew");
    if (beside)
        race_enter(race, beside);
    if (inside(b, name, "", 0, what, numbers, race->sides * b->rounds))
        return 1;
    enter(race, numbers, b->rounds);
    return 0;
}

int measure_ranks_hosts(const struct bench *b) {
    static const struct {
        const char *name, *what, *beside, *note;
        int count, quick;
        enum unit unit;
        struct bound bound;
    } lines[] = {
        {"mpi-hosts", "rate", NULL, "an item that does nothing, 3 workers", 1000000, 100000,
         UNIT_TIME, {BOUND_VALUE, 1 / 5e6}},
        {"mpi-hosts-64b", "bytes", NULL, "an item with input and result of 64 bytes, 3 workers",
         1000000, 100000, UNIT_TIME, {BOUND_VALUE, 1 / 1e6}},
        {"mpi-hosts-100us", "fixed", "on one host", "an item, 3 workers", 20000, 1000, UNIT_TIME,
         {BOUND_SHARE, 0.95}},
        {"mpi-hosts-random", "random", "on one host", "an item, lengths exponential, 3 workers",
         20000, 1000, UNIT_TIME, {BOUND_SHARE, 0.95}},
        {"mpi-makespan", "sleep", "best possible",
         "2,000 items that sleep, 5 ms in the mean, 6 workers", 2000, 200, UNIT_TIME,
         {BOUND_RATIO, 1.05}},
        {"mpi-manager", "manager", NULL,
         "the manager's processor time for a million items, all its threads", 1000000, 100000,
         UNIT_TIME, {BOUND_VALUE, 50e-3}},
    };
    int result = 0;
    for (size_t i = 0; !result && i < sizeof lines / sizeof *lines; i++) {
        struct race race = {0};
        char what[64];
        if (!ready(b, lines[i].name, true))
            continue;
        snprintf(what, sizeof what, "%s %d %d %d", lines[i].what,
                 b->quick ? lines[i].quick : lines[i].count, b->rounds,
                 lines[i].bound.kind == BOUND_RATIO ? 2 * HOSTS : HOSTS);
        result = on_hosts(b, lines[i].name, what, lines[i].beside, &race);
        if (!result)
            report(lines[i].name, &race.side[0], lines[i].beside ? &race.side[1] : NULL,
                   lines[i].unit, lines[i].bound, lines[i].note);
    }
    return result;
}

int measure_ranks_bcast(const struct bench *b) {
    const char *name = "mpi-bcast";
    char what[64], program[64], folder[2048], path[2200];
    double crew[FIGURES_MOST], plain[FIGURES_MOST];
    struct race race = {0};
    int bytes = b->quick ? 8 << 20 : 256 << 20;
    if (!own_folder(folder, sizeof folder) || !ready(b, name, true))
        return 0;
    snprintf(path, sizeof path, "%s/bench-bcast-%s", folder, b->flavour);
    if (access(path, X_OK) < 0) {
        report_skipped(name, "the yardstick was not built: this MPI was not there");
        return 0;
    }
    snprintf(what, sizeof what, "bcast %d 1 %d", bytes, HOSTS);
    snprintf(program, sizeof program, "bench-bcast-%s %d 1", b->flavour, bytes);
    race_enter(&race, "crew");
    race_enter(&race, "MPI_Bcast among the leaders");
    for (int round = 0; round < b->rounds; round++) {
        if (inside(b, name, "", 0, what, crew, 1))
            return 1;
        if (figures(b, "", 0, program, plain, 1) < 0)
            return broke_because(name, "the job of plain MPI failed");
        side_add(&race.side[0], crew[0]);
        side_add(&race.side[1], plain[0]);
    }
    report(name, &race.side[0], &race.side[1], UNIT_TIME, (struct bound){BOUND_SHARE, 0.8},
           b->quick ? "8 MiB to 3 hosts" : "256 MiB to 3 hosts");
    return 0;
}

/* ---- objects of another node ---- */

/* Each line's side beside the same job's ping-pong. */
static int object_lines(const struct bench *b, const char *const names[2], const char *settings,
                        int ranks, double bound) {
    static const char *const notes[2] = {"a lock of another node acquired and released",
                                         "64 bytes put into a queue of another node, and got"};
    char what[64], program[64];
    double crew[2], plain;
    struct race race[2] = {{0}};
    int count = b->quick ? 100 : 2000;
    snprintf(what, sizeof what, "object %d 1 %d", count, ranks ? ranks : HOSTS);
    snprintf(program, sizeof program, "bench-pingpong-%s %d", b->flavour, 10 * count);
    for (int i = 0; i < 2; i++) {
        race_enter(&race[i], "crew");
        race_enter(&race[i], "8 bytes there and back");
    }
    for (int round = 0; round < b->rounds; round++) {
        if (inside(b, names[0], settings, ranks, what, crew, 2))
            return 1;
        if (figures(b, "", ranks, program, &plain, 1) < 0)
            return broke_because(names[0], "the job of plain MPI failed");
        for (int i = 0; i < 2; i++) {
            side_add(&race[i].side[0], crew[i]);
            side_add(&race[i].side[1], plain);
        }
    }
    for (int i = 0; i < 2; i++)
        report(names[i], &race[i].side[0], &race[i].side[1], UNIT_TIME,
               (struct bound){BOUND_VALUE, bound}, notes[i]);
    return 0;
}

int measure_ranks_object(const struct bench *b) {
    static const struct {
        const char *names[2], *settings;
        int ranks;
        double bound; /* two calls */
    } lines[] = {{{"mpi-object", "mpi-object-queue"}, "CREW_TEST_NODES=0,1", 2, 200e-6},
                 {{"mpi-object-hosts", "mpi-object-hosts-queue"}, "", 0, 800e-6}};
    char folder[2048], path[2200];
    int result = 0;
    if (!own_folder(folder, sizeof folder))
        return 0;
    snprintf(path, sizeof path, "%s/bench-pingpong-%s", folder, b->flavour);
    for (int i = 0; !result && i < 2; i++) {
        bool built = access(path, X_OK) == 0, hosts = lines[i].ranks == 0;
        if (!built)
            report_skipped(lines[i].names[0],
                           "the yardstick was not built: this MPI was not there");
        if (built && ready(b, lines[i].names[0], hosts))
            result =
                object_lines(b, lines[i].names, lines[i].settings, lines[i].ranks, lines[i].bound);
        else
            report_skipped(lines[i].names[1], "as the line before");
    }
    return result;
}

/* ---- a part of an array on another node ---- */

enum { ARRAY_FIGURES = ARRAY_SIZES * ARRAY_WAYS };

/* What a line is called and ends with. */
static void array_line(const struct race *race, const char *line, int size, int way) {
    static const char *const sizes[ARRAY_SIZES] = {"8b", "4k", "64k", "256k", "4m"};
    static const char *const ways[ARRAY_WAYS] = {"get", "put", "add"};
    static const char *const plain[ARRAY_WAYS] = {"MPI_Get", "MPI_Put", "MPI_Accumulate"};
    char name[64], note[128], median[24];
    format_value(side_median(&race->side[2]), UNIT_TIME, median);
    snprintf(name, sizeof name, "%s-%s-%s", line, ways[way], sizes[size]);
    snprintf(note, sizeof note, "%s and MPI_Win_flush: %s", plain[way], median);
    report(name, &race->side[0], &race->side[1], UNIT_TIME, (struct bound){BOUND_RATIO, 1.1}, note);
}

/* Three jobs a round, in turn: as crew does it, by letters alone, and plain MPI with the
 * component of Open MPI that crew asks for. */
static int array_lines(const struct bench *b, const char *name, const char *settings, int ranks) {
    static const char *const names[] = {"crew", "crew, letters alone", "plain MPI"};
    static const char *const one_sided[] = {"on", "off"};
    struct race races[ARRAY_FIGURES] = {{0}};
    double times[ARRAY_FIGURES];
    char what[64], set[128], program[256];
    int count = b->quick ? 50 : 2000;
    snprintf(what, sizeof what, "array %d 1 %d", count, ranks ? ranks : HOSTS);
    int length = snprintf(program, sizeof program, "bench-reach-%s %d", b->flavour, count);
    for (int i = 0; i < ARRAY_SIZES; i++)
        length += snprintf(program + length, sizeof program - (size_t)length, " %lld",
                           (long long)array_sizes[i]);
    for (int i = 0; i < ARRAY_FIGURES; i++)
        for (int side = 0; side < 3; side++)
            race_enter(&races[i], names[side]);
    for (int round = 0; round < b->rounds; round++)
        for (int side = 0; side < 3; side++) {
            snprintf(set, sizeof set, "%s CREW_ONE_SIDED=%s", settings, one_sided[side % 2]);
            if (side < 2 && inside(b, name, set, ranks, what, times, ARRAY_FIGURES))
                return 1;
            if (side == 2 &&
                figures(b, "OMPI_MCA_osc=sm,pt2pt", ranks, program, times, ARRAY_FIGURES) < 0)
                return broke_because(name, "the job of plain MPI failed");
            for (int i = 0; i < ARRAY_FIGURES; i++)
                side_add(&races[i].side[side], times[i]);
        }
    for (int i = 0; i < ARRAY_FIGURES; i++)
        array_line(&races[i], name, i / ARRAY_WAYS, i % ARRAY_WAYS);
    return 0;
}

int measure_ranks_array(const struct bench *b) {
    static const struct {
        const char *name, *settings;
        int ranks;
    } lines[] = {{"mpi-array", "CREW_TEST_NODES=0,1", 2}, {"mpi-array-hosts", "", 0}};
    char folder[2048], path[2200], first[64];
    int result = 0;
    if (!own_folder(folder, sizeof folder))
        return 0;
    snprintf(path, sizeof path, "%s/bench-reach-%s", folder, b->flavour);
    for (int i = 0; !result && i < 2; i++) {
        snprintf(first, sizeof first, "%s-get-8b", lines[i].name);
        if (access(path, X_OK) < 0)
            report_skipped(first, "the yardstick was not built: this MPI was not there");
        else if (ready(b, first, lines[i].ranks == 0))
            result = array_lines(b, lines[i].name, lines[i].settings, lines[i].ranks);
    }
    return result;
}

/* ---- idle ---- */

int measure_ranks_idle(const struct bench *b) {
    static const struct {
        const char *name, *settings, *note;
    } lines[] = {{"mpi-idle", "", "of a core: 4 ranks of one node, all processes together"},
                 {"mpi-idle-nodes", "CREW_TEST_NODES=0,1,2,3",
                  "of a core: 4 nodes of one rank, all processes together"}};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct race race = {0};
        double percent;
        char what[32];
        if (!ready(b, lines[i].name, false))
            continue;
        snprintf(what, sizeof what, "idle %d 1 0", b->quick ? 1 : 10);
        race_enter(&race, "crew");
        if (inside(b, lines[i].name, lines[i].settings, 4, what, &percent, 1))
            return 1;
        side_add(&race.side[0], percent);
        report(lines[i].name, &race.side[0], NULL, UNIT_PERCENT, (struct bound){BOUND_VALUE, 2},
               lines[i].note);
    }
    return 0;
}
