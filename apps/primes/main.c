/* primes - counts or lists the primes of a range, or tests numbers, on every core. */
#include "primes.h"
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>

enum { EXIT_USAGE = 2 };

struct request {
    bool compare, test;
    struct sieve_request range;
    char **files;
    int file_count;
};

static void help(void) {
    puts("Usage: primes [OPTION]... [FROM [TO]]\n"
         "       primes [OPTION]... --test [FILE]...\n"
         "\n"
         "Counts the primes from FROM (1) to TO (10^7) on every core. Numbers may be\n"
         "written 10000000, 10^7 or 1e7; TO is below 2^63.\n"
         "\n"
         "With --test it reads numbers below 2^64, one a line, and prints those that are\n"
         "prime. Without FILE, or where it is -, it reads standard input.\n"
         "\n"
         "  --list        print the primes, not their count\n"
         "  --compare     count in series, then on all workers: times, speed-up, and\n"
         "                which worker runs where\n"
         "  --each        test every number on its own instead of sieving: slower\n"
         "  --test        test the numbers in files; primes - is primes --test -\n"
         "  --backend=B   serial, threads or fork, as CREW_BACKEND=B\n"
         "  --workers=N   as CREW_WORKERS=N; default: one for each core there is\n"
         "  --help        this\n"
         "  --version     the version");
}

static int usage(const char *problem, const char *what) {
    fprintf(stderr, "primes: %s%s. Try primes --help.\n", problem, what);
    return EXIT_USAGE;
}

int failed(const crew_error *err) {
    fprintf(stderr, "primes: %s\n", err->text);
    return EXIT_FAILURE;
}

static int parse_files(int count, char **words, struct request *r) {
    static char standard_input[] = "-", *only[] = {standard_input};
    r->files = count ? words : only;
    r->file_count = count ? count : 1;
    if (r->compare || r->range.list || r->range.method == SIEVE_EACH)
        return usage("--list, --compare and --each are for a range, not for numbers", "");
    return 0;
}

static int parse_range(int count, char **words, struct request *r) {
    struct sieve_request *range = &r->range;
    if (count > 2)
        return usage("there are more than two numbers: ", words[2]);
    if (r->compare && range->list)
        return usage("--list and --compare do not go together", "");
    if (count > 0 && !parse_number(words[0], &range->from))
        return usage("not a number below 2^64: ", words[0]);
    if (count > 1 && !parse_number(words[1], &range->to))
        return usage("not a number below 2^64: ", words[1]);
    if (range->to > INT64_MAX)
        return usage("the range must end below 2^63: ", words[1]);
    if (range->from > range->to) {
        fprintf(stderr,
                "primes: the range is empty: %" PRIu64 " is above %" PRIu64
                ". Give FROM and then TO.\n",
                range->from, range->to);
        return EXIT_USAGE;
    }
    return 0;
}

/* The environment overrides what a program asks for, and a program's options override
 * the environment: so they go there. The library says which words it accepts. */
static int set(const char *name, const char *value) {
    return setenv(name, value, 1) ? usage("not enough memory", "") : 0;
}

/* 0: go on. -1: all is done. Else main's result. */
static int parse_options(int argc, char **argv, struct request *r) {
    static const struct option options[] = {
        {"compare", no_argument, NULL, 'c'},
        {"list", no_argument, NULL, 'l'},
        {"each", no_argument, NULL, 'e'},
        {"test", no_argument, NULL, 't'},
        {"backend", required_argument, NULL, 'b'},
        {"workers", required_argument, NULL, 'w'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {0},
    };
    int option, bad = 0;
    opterr = 0;
    while (!bad && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            r->compare = true;
            break;
        case 'l':
            r->range.list = true;
            break;
        case 'e':
            r->range.method = SIEVE_EACH;
            break;
        case 't':
            r->test = true;
            break;
        case 'b':
            bad = set("CREW_BACKEND", optarg);
            break;
        case 'w':
            bad = set("CREW_WORKERS", optarg);
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
    }
    argc -= optind;
    argv += optind;
    if (argc == 1 && strcmp(argv[0], "-") == 0)
        r->test = true;
    return bad ? bad : r->test ? parse_files(argc, argv, r) : parse_range(argc, argv, r);
}

static int run(crew_pool *pool, struct request *r) {
    if (r->test)
        return test_files(pool, r->files, r->file_count);
    r->range.workers = crew_pool_workers(pool);
    sieve_plan *plan = sieve_plan_create(&r->range);
    if (!plan) {
        fputs("primes: not enough memory for the base primes\n", stderr);
        return EXIT_FAILURE;
    }
    int result = r->range.list ? list_range(pool, plan)
                 : r->compare  ? compare_range(pool, plan)
                               : count_range(pool, plan);
    free(plan);
    return result;
}

int main(int argc, char **argv) {
    struct request r = {.range = {.from = 1, .to = 10000000, .method = SIEVE_PARTS}};
    int result = parse_options(argc, argv, &r);
    if (result)
        return result < 0 ? 0 : result;
    if (crew_init(&argc, &argv) < 0)
        return failed(crew_last_error());
    crew_error err;
    crew_pool *pool = crew_pool_open(&(crew_pool_opts){.name = "primes"}, &err);
    if (!pool)
        return failed(&err);
    result = run(pool, &r);
    crew_pool_free(pool);
    int last = crew_finalize();
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "primes: the output could not be written: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    return result ? result : last;
}
