/* primes - counts or lists the primes of a range, on every core. */
#include "sieve.h"
#include <crew/crew.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

/* Numbers in one run: a count for each segment of more would not fit in memory. */
static const uint64_t LENGTH_MOST = 1000000000000000;

struct request {
    bool compare, list, input;
    enum sieve_method method;
    uint64_t from, to;
};

/* ---- the command line --------------------------------------------------- */

static void help(void) {
    puts("Usage: primes [OPTION]... [FROM [TO]]\n"
         "       primes [OPTION]... -\n"
         "\n"
         "Counts the primes from FROM (1) to TO (10^7) on every core. With - it reads\n"
         "numbers below 2^64, one a line, and prints those that are prime.\n"
         "Numbers may be written 10000000, 10^7 or 1e7; TO is below 2^63.\n"
         "\n"
         "  --compare     first in series, then on all workers: times, speed-up, and\n"
         "                which worker runs where\n"
         "  --list        print the primes, not their count\n"
         "  --each        test every number on its own instead of sieving: slower\n"
         "  --backend=B   serial, threads or fork, as CREW_BACKEND=B\n"
         "  --workers=N   as CREW_WORKERS=N; default: one for each core there is\n"
         "  --help        this\n"
         "  --version     the version");
}

static int usage(const char *problem, const char *what) {
    fprintf(stderr, "primes: %s%s. Try primes --help.\n", problem, what);
    return EXIT_USAGE;
}

static bool digits(const char **at, uint64_t *value) {
    const char *p = *at;
    for (*value = 0; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, (uint64_t)(*p - '0'), value))
            return false;
    bool any = p > *at;
    *at = p;
    return any;
}

static bool times_power(uint64_t *value, uint64_t base, uint64_t exponent) {
    for (; exponent > 0 && *value > 0 && base != 1; exponent--)
        if (__builtin_mul_overflow(*value, base, value))
            return false;
    return true;
}

/* 123, 10^7, 2e9. False if it is none of these or not below 2^64. */
static bool parse(const char *text, uint64_t *value) {
    uint64_t exponent;
    const char *at = text;
    if (!digits(&at, value))
        return false;
    if (*at == '^' || *at == 'e') {
        bool power = *at++ == '^';
        uint64_t base = power ? *value : 10;
        if (power)
            *value = 1;
        if (!digits(&at, &exponent) || !times_power(value, base, exponent))
            return false;
    }
    return *at == 0;
}

static int parse_range(int count, char **words, struct request *r) {
    if (count > 2)
        return usage("there are more than two numbers: ", words[2]);
    if (count == 1 && strcmp(words[0], "-") == 0) {
        r->input = true;
        return r->list || r->compare ? usage("--list and --compare need a range, not -", "") : 0;
    }
    if (count > 0 && !parse(words[0], &r->from))
        return usage("not a number below 2^64: ", words[0]);
    if (count > 1 && !parse(words[1], &r->to))
        return usage("not a number below 2^64: ", words[1]);
    if (r->to > INT64_MAX)
        return usage("the range must end below 2^63: ", words[1]);
    if (r->from > r->to) {
        fprintf(stderr,
                "primes: the range is empty: %" PRIu64 " is above %" PRIu64
                ". Give FROM and then TO.\n",
                r->from, r->to);
        return EXIT_USAGE;
    }
    if (r->to - r->from >= LENGTH_MOST)
        return usage("the range is too long: at most 10^15 numbers in one run", "");
    return 0;
}

/* 0: go on. -1: all is done. Else main's result. */
static int parse_options(int argc, char **argv, struct request *r) {
    static const struct option options[] = {
        {"compare", no_argument, NULL, 'c'},       {"list", no_argument, NULL, 'l'},
        {"each", no_argument, NULL, 'e'},          {"backend", required_argument, NULL, 'b'},
        {"workers", required_argument, NULL, 'w'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},       {0},
    };
    int option, bad = 0;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            r->compare = true;
            break;
        case 'l':
            r->list = true;
            break;
        case 'e':
            r->method = SIEVE_EACH;
            break;
        /* The environment overrides what a program asks for, and a program's
         * options override the environment: so they go there. The library
         * says which words it accepts. */
        case 'b':
            bad = setenv("CREW_BACKEND", optarg, 1);
            break;
        case 'w':
            bad = setenv("CREW_WORKERS", optarg, 1);
            break;
        case 'h':
            help();
            return -1;
        case 'v':
            puts("primes " CREW_VERSION);
            return -1;
        default:
            return usage("no such option, or it lacks its value: ", argv[optind - 1]);
        }
        if (bad)
            return usage("not enough memory", "");
    }
    if (r->list && r->compare)
        return usage("--list and --compare do not go together", "");
    return parse_range(argc - optind, argv + optind, r);
}

/* ---- tasks -------------------------------------------------------------- */

/* One segment: the item is its number, the common argument the plan. */
static int count_task(crew_call *call) {
    int64_t count = sieve_count(call->common, *CREW_IN(call, int64_t));
    if (count < 0)
        return crew_fail(call, 1, "not enough memory for a segment");
    *CREW_OUT(call, uint32_t) = (uint32_t)count;
    return 0;
}

static int list_task(crew_call *call) {
    size_t count;
    uint64_t *primes = sieve_list(call->common, *CREW_IN(call, int64_t), &count);
    if (!primes)
        return crew_fail(call, 1, "not enough memory for a segment");
    int status = crew_reply(call, primes, count * sizeof *primes);
    free(primes);
    return status;
}

struct verdict {
    uint64_t number;
    uint64_t prime;
};

/* One line of text. */
static int judge_task(crew_call *call) {
    char text[64];
    struct verdict v;
    size_t size = call->in_size < sizeof text ? call->in_size : sizeof text - 1;
    memcpy(text, call->in, size);
    text[size] = 0;
    if (size < call->in_size || !parse(text, &v.number))
        return crew_fail(call, 1, "\"%s\" is not a number below 2^64", text);
    v.prime = is_prime(v.number);
    memcpy(call->out, &v, sizeof v);
    return 0;
}

/* What a worker says of itself, in its row of a shared array. */
struct place {
    uint64_t pid;
    cpu_set_t cpus;
};
enum { PLACE_WORDS = sizeof(struct place) / sizeof(uint64_t) };

static int place_task(crew_call *call) {
    struct place *here = crew_array_row(*CREW_IN(call, crew_array), call->worker);
    if (!here)
        return crew_fail(call, 1, "the array of places is gone");
    here->pid = (uint64_t)getpid();
    CPU_ZERO(&here->cpus);
    sched_getaffinity(0, sizeof here->cpus, &here->cpus);
    return 0;
}

/* ---- what the program does ---------------------------------------------- */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int failed(const crew_error *err) {
    fprintf(stderr, "primes: %s\n", err->text);
    return EXIT_FAILURE;
}

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

static int print_places(crew_pool *pool, crew_error *err) {
    enum { SHOWN = 16 };
    crew_array places;
    int workers = crew_pool_workers(pool);
    int64_t shape[2] = {workers, PLACE_WORDS};
    if (crew_array_create(&places, CREW_U64, 2, shape, NULL) < 0) {
        *err = *crew_last_error();
        return err->code;
    }
    int status = crew_pool_each(pool, place_task, &places, sizeof places, err);
    for (int w = 0; status == 0 && w < workers && w < SHOWN; w++) {
        const struct place *place = crew_array_row(places, w);
        printf("worker %-3d process %-8" PRIu64 "on cpu ", w, place->pid);
        print_cpus(&place->cpus);
        putchar('\n');
    }
    if (status == 0 && workers > SHOWN)
        printf("and %d more\n", workers - SHOWN);
    crew_array_destroy(places);
    return status;
}

static uint64_t sum(const uint32_t *counts, int64_t n) {
    uint64_t total = 0;
    for (int64_t i = 0; i < n; i++)
        total += counts[i];
    return total;
}

static int count_in_series(const sieve_plan *plan, uint64_t *total) {
    *total = 0;
    for (int64_t i = 0; i < plan->segments; i++) {
        int64_t count = sieve_count(plan, i);
        if (count < 0) {
            fputs("primes: not enough memory for a segment\n", stderr);
            return EXIT_FAILURE;
        }
        *total += (uint64_t)count;
    }
    return 0;
}

static int count_on_pool(crew_pool *pool, const sieve_plan *plan, uint64_t *total,
                         crew_error *err) {
    uint32_t *counts = malloc((size_t)plan->segments * sizeof *counts);
    if (!counts) {
        fputs("primes: not enough memory for the counts of the segments\n", stderr);
        return EXIT_FAILURE;
    }
    crew_map_opts opts = {.common = plan, .common_size = sieve_plan_size(plan), .progress = true};
    int status = crew_map_index(pool, count_task, plan->segments, counts, &opts, err);
    if (status == 0)
        *total = sum(counts, plan->segments);
    free(counts);
    return status < 0 ? failed(err) : 0;
}

static int compare(crew_pool *pool, const sieve_plan *plan, crew_error *err) {
    char from[32], to[32], text[32];
    uint64_t alone, together = 0;
    int workers = crew_pool_workers(pool);

    printf("primes from %s to %s, %s\n", grouped(plan->from, from), grouped(plan->to, to),
           plan->method == SIEVE_EACH ? "each number tested on its own" : "by sieving segments");
    if (print_places(pool, err) < 0)
        return failed(err);
    fflush(stdout);
    double start = now();
    if (count_in_series(plan, &alone))
        return EXIT_FAILURE;
    double series = now() - start;
    printf("in series     %10.3f s   %s primes\n", series, grouped(alone, text));
    fflush(stdout);
    start = now();
    if (count_on_pool(pool, plan, &together, err))
        return EXIT_FAILURE;
    double parallel = now() - start;
    printf("%2d worker%s    %10.3f s   %s primes   speed-up %.2f\n", workers,
           workers == 1 ? " " : "s", parallel, grouped(together, text), series / parallel);
    if (alone != together) {
        fputs("primes: the two counts differ\n", stderr);
        return EXIT_FAILURE;
    }
    return 0;
}

static int list(crew_pool *pool, const sieve_plan *plan, crew_error *err) {
    crew_map_opts opts = {.common = plan, .common_size = sieve_plan_size(plan)};
    crew_iter *it =
        crew_imap(pool, list_task, crew_source_range(0, plan->segments, 1), 0, &opts, err);
    if (!it)
        return failed(err);
    crew_item item;
    int status;
    while ((status = crew_next(it, NULL, &item, CREW_FOREVER, err)) > 0 && !ferror(stdout)) {
        const uint64_t *primes = item.data;
        for (size_t i = 0; i < item.size / sizeof *primes; i++)
            printf("%" PRIu64 "\n", primes[i]);
    }
    crew_iter_free(it);
    return status < 0 ? failed(err) : 0;
}

/* Lines that are no numbers are reported, and the rest is read. */
static int judge_input(crew_pool *pool, crew_error *err) {
    crew_map_opts opts = {.on_error = CREW_CONTINUE};
    struct verdict v;
    crew_item item = {0};
    int status, result = 0;
    crew_iter *it = crew_imap(pool, judge_task, crew_source_lines(stdin), sizeof v, &opts, err);
    if (!it)
        return failed(err);
    while ((status = crew_next(it, &v, &item, CREW_FOREVER, err)) != 0) {
        if (status > 0 && v.prime)
            printf("%" PRIu64 "\n", v.number);
        if (status < 0)
            result = failed(err);
        if (status < 0 && item.status == 0)
            break; /* not an item: the stream itself has failed */
        item.status = 0;
    }
    crew_iter_free(it);
    return result;
}

static int run(crew_pool *pool, const struct request *r, crew_error *err) {
    if (r->input)
        return judge_input(pool, err);
    sieve_plan *plan = sieve_plan_create(r->from, r->to, r->method);
    if (!plan) {
        fputs("primes: not enough memory for the base primes\n", stderr);
        return EXIT_FAILURE;
    }
    int result;
    uint64_t total = 0;
    if (r->list) {
        result = list(pool, plan, err);
    } else if (r->compare) {
        result = compare(pool, plan, err);
    } else {
        result = count_on_pool(pool, plan, &total, err);
        if (result == 0)
            printf("%" PRIu64 "\n", total);
    }
    free(plan);
    return result;
}

int main(int argc, char **argv) {
    struct request r = {.from = 1, .to = 10000000, .method = SIEVE_SEGMENTS};
    int result = parse_options(argc, argv, &r);
    if (result)
        return result < 0 ? 0 : result;
    if (crew_init(&argc, &argv) < 0)
        return failed(crew_last_error());
    crew_error err;
    crew_pool *pool = crew_pool_open(&(crew_pool_opts){.name = "primes"}, &err);
    if (!pool)
        return failed(&err);
    result = run(pool, &r, &err);
    crew_pool_free(pool);
    int last = crew_finalize();
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "primes: the output could not be written: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    return result ? result : last;
}
