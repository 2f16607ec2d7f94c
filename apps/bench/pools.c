/* What a pool costs by being there: to open, while idle, in memory. */
#include "bench.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- opening and closing ---- */

/* Bytes of this process's memory that are resident, shared ones too. */
static double resident(void) {
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f) {
        if (fscanf(f, "%*s %ld", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

int measure_open64(const struct bench *b) {
    const crew_pool_opts opts = {
        .backend = CREW_FORK, .start = CREW_START_FORK, .workers = 64, .name = "open64"};
    struct race race = {0};
    struct side opening = {.name = "opening"};
    char note[128], text[24], manager[24];
    crew_error err;
    int workers = 0;
    race_enter(&race, "crew");
    for (int round = -1; round < b->rounds; round++) {
        double start = now();
        crew_pool *pool = crew_pool_open(&opts, &err);
        if (!pool)
            return broke("open64", &err);
        double opened = now();
        workers = crew_pool_workers(pool);
        crew_pool_free(pool);
        if (round < 0)
            continue;
        side_add(&opening, opened - start);
        side_add(&race.side[0], now() - start);
    }
    format_value(side_median(&opening), UNIT_TIME, text);
    format_value(resident(), UNIT_BYTES, manager);
    snprintf(note, sizeof note, "%d workers, of it opening %s; manager of %s", workers, text,
             manager);
    report("open64", &race.side[0], NULL, UNIT_TIME, (struct bound){BOUND_VALUE, 30e-3}, note);
    return 0;
}

/* ---- idle ---- */

/* Nanoseconds that the threads of a process have run. */
static double ran_ns(const char *pid) {
    char path[64];
    double sum = 0;
    snprintf(path, sizeof path, "/proc/%.16s/task", pid);
    DIR *tasks = opendir(path);
    for (struct dirent *e; tasks && (e = readdir(tasks));) {
        char stat[128];
        uint64_t ns;
        snprintf(stat, sizeof stat, "%s/%.16s/schedstat", path, e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(stat, "r");
        if (!f)
            continue;
        if (fscanf(f, "%" SCNu64, &ns) == 1)
            sum += (double)ns;
        fclose(f);
    }
    if (tasks)
        closedir(tasks);
    return sum;
}

/* Was it started with that in its environment? */
static bool has_setting(const char *pid, const char *setting) {
    char path[64], *line = NULL;
    size_t room = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%.16s/environ", pid);
    FILE *f = fopen(path, "r");
    while (f && !found && getdelim(&line, &room, 0, f) > 0)
        found = strcmp(line, setting) == 0;
    if (f)
        fclose(f);
    free(line);
    return found;
}

/* Is it a process of this run: the same program, in the same process group, or, of a job
 * of ranks, the same job? */
static bool is_ours(const char *pid) {
    char path[64], own[512], other[512];
    snprintf(path, sizeof path, "/proc/%.16s/exe", pid);
    ssize_t a = readlink("/proc/self/exe", own, sizeof own);
    ssize_t b = readlink(path, other, sizeof other);
    if (a <= 0 || a != b || memcmp(own, other, (size_t)a) != 0)
        return false;
    const char *job = getenv("BENCH_JOB");
    if (!job)
        return getpgid((pid_t)atol(pid)) == getpgid(0);
    snprintf(own, sizeof own, "BENCH_JOB=%s", job);
    return has_setting(pid, own);
}

double run_ran_ns(int *processes) {
    double sum = 0;
    DIR *proc = opendir("/proc");
    *processes = 0;
    for (struct dirent *e; proc && (e = readdir(proc));)
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && is_ours(e->d_name)) {
            sum += ran_ns(e->d_name);
            ++*processes;
        }
    if (proc)
        closedir(proc);
    return sum;
}

int measure_idle(const struct bench *b) {
    struct race race = {0};
    char note[96];
    int before_count, count;
    double seconds = b->quick ? 2 : 5;
    race_enter(&race, "crew");
    rest_for(0.2);
    double before = run_ran_ns(&before_count), start = now();
    if (before_count < b->workers + 1) {
        report_skipped("idle", "the pool's processes are not seen in /proc");
        return 0;
    }
    rest_for(seconds);
    double ran = run_ran_ns(&count) - before, passed = now() - start;
    side_add(&race.side[0], 100 * ran * 1e-9 / passed);
    snprintf(note, sizeof note, "of a core, over %.0f s, %d processes together", seconds, count);
    report("idle", &race.side[0], NULL, UNIT_PERCENT, (struct bound){BOUND_VALUE, 0.5}, note);
    return 0;
}

/* ---- memory ---- */

struct memory {
    double private_bytes, anonymous;
};

static bool memory_of(int64_t pid, struct memory *m) {
    char line[256];
    snprintf(line, sizeof line, "/proc/%" PRId64 "/smaps_rollup", pid);
    FILE *f = fopen(line, "r");
    *m = (struct memory){0};
    if (!f)
        return false;
    while (fgets(line, sizeof line, f)) {
        double kib;
        if (sscanf(line, "Private_Clean: %lf", &kib) == 1 ||
            sscanf(line, "Private_Dirty: %lf", &kib) == 1)
            m->private_bytes += kib * 1024;
        else if (sscanf(line, "Anonymous: %lf", &kib) == 1)
            m->anonymous = kib * 1024;
    }
    fclose(f);
    return true;
}

/* The most that a worker of a pool that was just opened has to itself. */
static int idle_memory_round(struct side *private_side, struct side *anonymous) {
    enum { WORKERS = 4 };
    struct place places[WORKERS];
    struct memory m, most = {0};
    crew_error err;
    crew_pool *pool = crew_pool_open(
        &(crew_pool_opts){.backend = CREW_FORK, .start = CREW_START_FORK, .workers = WORKERS},
        &err);
    if (!pool)
        return broke("idle-memory", &err);
    int workers = crew_pool_workers(pool), result = 0;
    if (workers > WORKERS)
        result = broke_because("idle-memory", "CREW_WORKERS asks for more than 4 workers");
    else
        result = places_of("idle-memory", pool, places);
    for (int w = 0; !result && w < workers; w++) {
        if (!memory_of(places[w].pid, &m))
            result = broke_because("idle-memory", "/proc/PID/smaps_rollup cannot be read");
        if (m.private_bytes > most.private_bytes)
            most = m;
    }
    crew_pool_free(pool);
    side_add(private_side, most.private_bytes);
    side_add(anonymous, most.anonymous);
    return result;
}

int measure_idle_memory(const struct bench *b) {
    struct side private_side = {.name = "crew"}, anonymous = {.name = "anonymous"};
    char note[128], text[24];
    for (int round = 0; round < b->rounds; round++)
        if (idle_memory_round(&private_side, &anonymous))
            return 1;
    format_value(side_median(&anonymous), UNIT_BYTES, text);
    snprintf(note, sizeof note,
             "private to the largest worker; anonymous, with what is shared "
             "with its nursery: %s",
             text);
    report("idle-memory", &private_side, NULL, UNIT_BYTES, (struct bound){BOUND_VALUE, 1 << 20},
           note);
    return 0;
}

/* ---- a long stream ---- */

static int64_t echo(int64_t n) {
    return n;
}
CREW_TASK(echo, int64_t, int64_t)

static int stream(crew_pool *pool, int64_t count, double *most) {
    crew_error err;
    crew_map_opts opts = {.window = 1000};
    int64_t out, at = 0;
    int status;
    crew_iter *it =
        crew_imap(pool, echo_task, crew_source_range(0, count, 1), sizeof out, &opts, &err);
    if (!it)
        return broke("imap-memory", &err);
    while ((status = crew_next(it, &out, NULL, CREW_FOREVER, &err)) > 0) {
        if (out != at)
            break;
        if (++at % (count / 100) == 0) {
            double bytes = resident();
            *most = bytes > *most ? bytes : *most;
        }
    }
    crew_iter_free(it);
    if (status < 0)
        return broke("imap-memory", &err);
    return at == count ? 0 : broke_because("imap-memory", "the stream is out of order or short");
}

int measure_imap_memory(const struct bench *b) {
    struct side crew = {.name = "crew"};
    char note[128], text[24];
    crew_error err;
    int64_t count = b->quick ? 1000000 : 10000000;
    crew_pool *pool =
        crew_pool_open(&(crew_pool_opts){.backend = CREW_FORK, .start = CREW_START_FORK}, &err);
    if (!pool)
        return broke("imap-memory", &err);
    double before = resident(), most = before, start = now();
    int result = stream(pool, count, &most);
    double each = (now() - start) / (double)count;
    crew_pool_free(pool);
    if (result)
        return result;
    side_add(&crew, most - before);
    format_value(each, UNIT_TIME, text);
    snprintf(note, sizeof note, "growth of the manager over %" PRId64 " items, %s an item", count,
             text);
    report("imap-memory", &crew, NULL, UNIT_BYTES, (struct bound){BOUND_VALUE, 32 << 20}, note);
    return 0;
}
