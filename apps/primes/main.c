/* primes - counts or lists the primes of a range, or tests numbers, on every core. */
#include "primes.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct request {
    bool compare, test;
    struct sieve_request range;
    char **files;
    int file_count;
};

static const char HELP[] =
    "Usage: primes [OPTION]... [FROM [TO]]\n"
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
    "  --version     the version\n";

static void parse_files(int count, char **words, struct request *r) {
    static char standard_input[] = "-", *only[] = {standard_input};
    r->files = count ? words : only;
    r->file_count = count ? count : 1;
    if (r->compare || r->range.list || r->range.method == SIEVE_EACH)
        tool_misuse("--list, --compare and --each are for a range, not for numbers");
}

static void parse_range(int count, char **words, struct request *r) {
    struct sieve_request *range = &r->range;
    if (count > 2)
        tool_misuse("there are more than two numbers: %s", words[2]);
    if (r->compare && range->list)
        tool_misuse("--list and --compare do not go together");
    if (count > 0 && !parse_number(words[0], &range->from))
        tool_misuse("not a number below 2^64: %s", words[0]);
    if (count > 1 && !parse_number(words[1], &range->to))
        tool_misuse("not a number below 2^64: %s", words[1]);
    if (range->to > INT64_MAX)
        tool_misuse("the range must end below 2^63: %s", words[1]);
    if (range->from > range->to)
        tool_misuse("the range is empty: %" PRIu64 " is above %" PRIu64 ". Give FROM and then TO",
                    range->from, range->to);
}

static void parse(int argc, char **argv, struct request *r) {
    static const struct option options[] = {{"compare", no_argument, NULL, 'c'},
                                            {"list", no_argument, NULL, 'l'},
                                            {"each", no_argument, NULL, 'e'},
                                            {"test", no_argument, NULL, 't'},
                                            TOOL_OPTIONS};
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
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
        default:
            tool_option(option, argv);
        }
    argc -= optind;
    argv += optind;
    if (argc == 1 && strcmp(argv[0], "-") == 0)
        r->test = true;
    if (r->test)
        parse_files(argc, argv, r);
    else
        parse_range(argc, argv, r);
}

static int run(crew_pool *pool, struct request *r) {
    if (r->test)
        return test_files(pool, r->files, r->file_count);
    r->range.workers = crew_pool_workers(pool);
    sieve_plan *plan = sieve_plan_create(&r->range);
    if (!plan) {
        tool_say("not enough memory for the base primes");
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
    parse(argc, argv, &r);
    if (!tool_start(&argc, &argv, HELP))
        return tool_end(0);
    crew_error err;
    crew_pool *pool = crew_pool_open(&(crew_pool_opts){.name = "primes"}, &err);
    int result = pool ? run(pool, &r) : tool_failed(&err);
    crew_pool_free(pool);
    return tool_end(result);
}
