/* range.c - the primes of a range: counted, counted and timed, or listed. */
#include "primes.h"
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

static const char no_memory[] = "not enough memory for a part of the range";

/* ---- tasks -------------------------------------------------------------- */

/* One part: the item is its number, the common argument the plan. */
static int count_task(crew_call *call) {
    int64_t count = sieve_count(call->common, *CREW_IN(call, int64_t));
    if (count < 0)
        return crew_fail(call, 1, no_memory);
    *CREW_OUT(call, int64_t) = count;
    return 0;
}

static int add(void *into, const void *from) {
    *(int64_t *)into += *(const int64_t *)from;
    return 0;
}

static int list_task(crew_call *call) {
    size_t count;
    uint64_t *primes = sieve_list(call->common, *CREW_IN(call, int64_t), &count);
    if (!primes)
        return crew_fail(call, 1, no_memory);
    int status = crew_reply(call, primes, count * sizeof *primes);
    free(primes);
    return status;
}

/* What a worker says of itself, under its number in a dictionary: from any node. */
struct place {
    int64_t pid;
    cpu_set_t cpus;
};

static int place_task(crew_call *call) {
    struct place here = {.pid = getpid()};
    sched_getaffinity(0, sizeof here.cpus, &here.cpus);
    if (crew_dict_set(*CREW_IN(call, crew_dict), &call->worker, sizeof call->worker, &here,
                      sizeof here) < 0)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    return 0;
}

/* ---- counting ----------------------------------------------------------- */

static int count_on_pool(crew_pool *pool, const sieve_plan *plan, int64_t *total) {
    crew_error err;
    crew_map_opts opts = {.common = plan, .common_size = sieve_plan_size(plan), .progress = true};
    int status =
        crew_reduce(pool, count_task, NULL, 0, plan->parts, total, sizeof *total, add, &opts, &err);
    return status < 0 ? tool_failed(&err) : 0;
}

int count_range(crew_pool *pool, const sieve_plan *plan) {
    int64_t total;
    int result = count_on_pool(pool, plan, &total);
    if (result == 0)
        printf("%" PRId64 "\n", total);
    return result;
}

struct series {
    int64_t total;
    double seconds, longest; /* in all, and the longest part */
};

static int count_in_series(const sieve_plan *plan, struct series *s) {
    double begin = tool_now(), last = begin;
    *s = (struct series){0};
    for (int64_t i = 0; i < plan->parts; i++) {
        int64_t count = sieve_count(plan, i);
        if (count < 0) {
            tool_say("%s", no_memory);
            return EXIT_FAILURE;
        }
        double time = tool_now();
        s->total += count;
        s->longest = time - last > s->longest ? time - last : s->longest;
        last = time;
    }
    s->seconds = last - begin;
    return 0;
}

/* ---- comparing ---------------------------------------------------------- */

/* 1234567 as 1,234,567. */
static const char *grouped(uint64_t n, char text[32]) {
    char plain[24];
    int length = snprintf(plain, sizeof plain, "%" PRIu64, n);
    char *to = text;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *to++ = ',';
        *to++ = plain[i];
    }
    *to = 0;
    return text;
}

static void print_cpus(const cpu_set_t *cpus) {
    const char *before = "";
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, cpus))
            continue;
        int last = cpu;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, cpus))
            last++;
        printf(last > cpu ? "%s%d-%d" : "%s%d", before, cpu, last);
        before = ",";
        cpu = last;
    }
}

static int print_places(crew_pool *pool) {
    enum { SHOWN = 16 };
    crew_dict places;
    crew_error err;
    int workers = crew_pool_workers(pool);
    if (crew_dict_create(&places) < 0)
        return tool_failed(crew_last_error());
    int status = crew_pool_each(pool, place_task, &places, sizeof places, &err);
    for (int w = 0; status == 0 && w < workers && w < SHOWN; w++) {
        struct place place;
        if (crew_dict_get(places, &w, sizeof w, &place, sizeof place, 0) < 0) {
            err = *crew_last_error();
            status = err.code;
            break;
        }
        printf("worker %-3d process %-8" PRId64 "on cpu ", w, place.pid);
        print_cpus(&place.cpus);
        putchar('\n');
    }
    if (status == 0 && workers > SHOWN)
        printf("and %d more\n", workers - SHOWN);
    crew_dict_destroy(places);
    return status < 0 ? tool_failed(&err) : 0;
}

int compare_range(crew_pool *pool, const sieve_plan *plan) {
    char from[32], to[32], text[32];
    struct series series;
    int64_t together;
    int workers = crew_pool_workers(pool);

    printf("primes from %s to %s, %s\n", grouped(plan->from, from), grouped(plan->to, to),
           plan->method == SIEVE_EACH ? "each number tested on its own" : "by sieving");
    if (print_places(pool))
        return EXIT_FAILURE;
    fflush(stdout);
    if (count_in_series(plan, &series))
        return EXIT_FAILURE;
    printf("in series     %10.3f s   %s primes\n", series.seconds,
           grouped((uint64_t)series.total, text));
    fflush(stdout);
    double begin = tool_now();
    if (count_on_pool(pool, plan, &together))
        return EXIT_FAILURE;
    double took = tool_now() - begin;
    printf("%2d worker%s    %10.3f s   %s primes   speed-up %.2f\n", workers,
           workers == 1 ? " " : "s", took, grouped((uint64_t)together, text),
           series.seconds / took);
    if (series.total != together) {
        tool_say("the two counts differ");
        return EXIT_FAILURE;
    }
    /* Nobody is faster than the longest part, and no more are at work than there are. */
    double possible = series.seconds / series.longest;
    if (possible > workers)
        possible = workers;
    printf("series %.3f s, pool %.3f s: %.2f times as fast, %.2f are possible\n", series.seconds,
           took, series.seconds / took, possible);
    return 0;
}

/* ---- listing ------------------------------------------------------------ */

int list_range(crew_pool *pool, const sieve_plan *plan) {
    crew_map_opts opts = {.common = plan, .common_size = sieve_plan_size(plan)};
    crew_error err;
    crew_iter *it =
        crew_imap(pool, list_task, crew_source_range(0, plan->parts, 1), 0, &opts, &err);
    if (!it)
        return tool_failed(&err);
    crew_item item;
    int status = 0;
    while (!tool_output_fails() && (status = crew_next(it, NULL, &item, CREW_FOREVER, &err)) > 0) {
        const uint64_t *primes = item.data;
        for (size_t i = 0; i < item.size / sizeof *primes; i++)
            printf("%" PRIu64 "\n", primes[i]);
    }
    crew_iter_free(it);
    return status < 0 ? tool_failed(&err) : 0;
}
