/* One line for each measurement, and the first one for the machine. */
#include "bench.h"
#include "yard.h"

#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

void format_value(double value, enum unit unit, char text[24]) {
    static const char *const times[] = {"ns", "us", "ms", "s"};
    static const char *const bytes[] = {"KiB", "MiB", "GiB"};
    int i = 0;
    switch (unit) {
    case UNIT_TIME:
        for (value *= 1e9; i < 3 && value >= 1000; i++)
            value /= 1000;
        snprintf(text, 24, "%.3g %s", value, times[i]);
        return;
    case UNIT_BYTES:
        for (value /= 1024; i < 2 && value >= 1024; i++)
            value /= 1024;
        snprintf(text, 24, "%.3g %s", value, bytes[i]);
        return;
    default:
        snprintf(text, 24, "%.3f %%", value);
        return;
    }
}

static void print_side(const struct side *side, enum unit unit) {
    char median[24], least[24];
    format_value(side_median(side), unit, median);
    format_value(side_least(side), unit, least);
    printf("  %s %s (min %s)", side->name, median, least);
}

static void print_bound(struct bound bound, double value, enum unit unit) {
    char limit[24];
    bool share = bound.kind == BOUND_SHARE;
    snprintf(limit, sizeof limit, "%.3g", bound.limit);
    if (bound.kind == BOUND_VALUE)
        format_value(bound.limit, unit, limit);
    printf("  bound: at %s %s, %s", share ? "least" : "most", limit,
           (share ? value >= bound.limit : value <= bound.limit) ? "reached" : "MISSED");
}

void report(const char *name, const struct side *crew, const struct side *other, enum unit unit,
            struct bound bound, const char *note) {
    double value = side_median(crew), ratio = 0;
    printf("%-18s", name);
    print_side(crew, unit);
    if (other) {
        print_side(other, unit);
        ratio = bound.kind == BOUND_SHARE ? side_median(other) / value : value / side_median(other);
        printf("  %s %.3g", bound.kind == BOUND_SHARE ? "share" : "ratio", ratio);
    }
    if (bound.kind == BOUND_VALUE)
        print_bound(bound, value, unit);
    else if (bound.kind != BOUND_NONE && other)
        print_bound(bound, ratio, unit);
    if (note && *note)
        printf("  [%s]", note);
    putchar('\n');
    fflush(stdout);
}

void report_skipped(const char *name, const char *why) {
    printf("%-18s  not measured: %s\n", name, why);
    fflush(stdout);
}

int broke(const char *name, const crew_error *err) {
    return broke_because(name, err->text);
}

int broke_because(const char *name, const char *why) {
    printf("%-18s  BROKE: %s\n", name, why);
    fflush(stdout);
    return 1;
}

/* ---- the machine ---- */

static void cpu_model(char *text, size_t size) {
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(text, size, "unknown processor");
    while (f && fgets(line, sizeof line, f)) {
        char *value = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (!value)
            continue;
        value[strcspn(value, "\n")] = 0;
        snprintf(text, size, "%s", value + 2);
        break;
    }
    if (f)
        fclose(f);
}

void report_machine(const struct bench *b) {
    struct utsname kernel;
    char model[128], runtime[128];
    const char *policy = getenv("OMP_WAIT_POLICY");
    cpu_model(model, sizeof model);
    yard_runtime(runtime, sizeof runtime);
    if (uname(&kernel) < 0)
        snprintf(kernel.release, sizeof kernel.release, "unknown");
    printf("crew " CREW_VERSION ", %d forked workers; %d cpus (%s), Linux %s, %s, glibc %s, "
           "OpenMP: %s, OMP_WAIT_POLICY=%s; %d rounds%s\n",
           b->workers, crew_cpu_count(), model, kernel.release,
#if defined(__clang__)
           "clang " __clang_version__,
#else
           "gcc " __VERSION__,
#endif
           gnu_get_libc_version(), runtime, policy ? policy : "not set", b->rounds,
           b->quick ? ", quick" : "");
    fflush(stdout);
}
