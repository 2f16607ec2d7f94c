/* bench - what crew costs, beside what others cost, on this machine. */
#include "bench.h"
#include "ranks.h"
#include "yard.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, ROUNDS = 7 };

static const struct measurement {
    const char *name, *what;
    measure *run;
} measurements[] = {
    {"open64", "opening and closing a pool of 64 workers", measure_open64},
    {"idle", "processor time of an idle pool", measure_idle},
    {"idle-memory", "private memory of an idle worker", measure_idle_memory},
    {"imap-memory", "growth of the manager in a long imap", measure_imap_memory},
    {"processes", "1,000 processes of one's own, beside multiprocessing.Process",
     measure_processes},
    {"lock", "a lock that nobody else wants", measure_lock},
    {"map1", "items that do nothing, chunk 1, beside OpenMP's dynamic,1", measure_map1},
    {"map", "items that do nothing, automatic chunks, beside OpenMP's best schedule", measure_map},
    {"for", "a loop a chunk at a time, beside OpenMP's best schedule", measure_for},
    {"submit", "futures in bulk, beside Python's ProcessPoolExecutor", measure_submit},
    {"roundtrip-awake", "submit and wait, the worker awake", measure_roundtrip_awake},
    {"roundtrip-asleep", "submit and wait, the worker asleep, beside a bare futex",
     measure_roundtrip_asleep},
    {"tasks10us", "tasks of 10 us, beside OpenMP's best dynamic schedule", measure_tasks_10us},
    {"tasks10us-random", "the same with random lengths", measure_tasks_10us_random},
    {"tasks1us", "tasks of 1 us, beside OpenMP's best dynamic schedule", measure_tasks_1us},
    {"tasks1us-random", "the same with random lengths", measure_tasks_1us_random},
    {"auto-skew", "items whose cost grows 1000-fold: automatic beside the best fixed chunk",
     measure_auto_skew},
    {"array", "an array of doubles updated in place, beside OpenMP", measure_array},
    {"queue", "64-byte messages between two processes, beside multiprocessing.Queue",
     measure_queue},
    {"pipe", "64-byte messages to another process and back, beside two pipe(2)", measure_pipe},
    {"dict", "a key set and got, beside Python's Manager().dict", measure_dict},
    {"dict-count", "words counted by all workers at once", measure_dict_count},
    {"journal", "items of 1 ms with 1 KiB results, with and without a journal", measure_journal},
    {"speedups", "factorize, imap_sums, primes, ep and uts: a pool beside the series",
     measure_speedups},
    {"sieve", "the program primes beside primesieve, on one core", measure_sieve},
    {"peers", "maps beside multiprocessing.Pool and xargs", measure_peers},
    {"mpi-item", "items that do nothing on 2 ranks of one node, beside forked workers",
     measure_ranks_item},
    {"mpi-textbook", "the same beside a manager and worker loop in plain MPI",
     measure_ranks_textbook},
    {"mpi-hosts", "maps over three emulated hosts: rates, balance, the manager's own time",
     measure_ranks_hosts},
    {"mpi-bcast", "256 MiB to three hosts, and MPI_Bcast of the same", measure_ranks_bcast},
    {"mpi-object", "a lock and a queue of another node, beside a ping-pong of plain MPI",
     measure_ranks_object},
    {"mpi-array", "elements of another node's part got, put, added, beside letters and plain MPI",
     measure_ranks_array},
    {"mpi-idle", "processor time of an idle job of 4 ranks", measure_ranks_idle},
};
enum { MEASUREMENTS = sizeof measurements / sizeof *measurements };

static void help(void) {
    puts("Usage: bench [OPTION]... [NAME]...\n"
         "\n"
         "Measures crew beside what else does the same work on this machine, side by\n"
         "side in turn, and prints a line for each measurement (all, or those named;\n"
         "\"mpi\" for all that begin with \"mpi-\").\n"
         "\n"
         "  --rounds=N   rounds of each measurement, 1 to 99; the median counts (7)\n"
         "  --quick      smaller sizes\n"
         "  --mpich      ranks under MPICH, not Open MPI\n"
         "  --list       the names and what they measure\n"
         "  --help       this");
}

static void list(void) {
    for (int i = 0; i < MEASUREMENTS; i++)
        printf("%-18s %s\n", measurements[i].name, measurements[i].what);
}

static int usage(const char *problem, const char *what) {
    fprintf(stderr, "bench: %s%s. Try bench --help.\n", problem, what);
    return EXIT_USAGE;
}

/* The one of that name, else all whose names begin with it and a "-". */
static bool choose(const char *name, bool *chosen) {
    size_t n = strlen(name);
    bool any = false;
    for (int i = 0; i < MEASUREMENTS; i++)
        if (strcmp(measurements[i].name, name) == 0)
            return chosen[i] = true;
    for (int i = 0; i < MEASUREMENTS; i++)
        if (strncmp(measurements[i].name, name, n) == 0 && measurements[i].name[n] == '-')
            any = chosen[i] = true;
    return any;
}

/* 0: go on. -1: all is done. Else main's result. */
static int parse(int argc, char **argv, struct bench *b, bool *chosen) {
    static const struct option options[] = {{"rounds", required_argument, NULL, 'r'},
                                            {"quick", no_argument, NULL, 'q'},
                                            {"mpich", no_argument, NULL, 'm'},
                                            {"list", no_argument, NULL, 'l'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int option;
    char *end;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'r':
            b->rounds = (int)strtol(optarg, &end, 10);
            if (*end || b->rounds < 1 || b->rounds > ROUNDS_MOST)
                return usage("rounds are 1 to 99, not ", optarg);
            break;
        case 'q':
            b->quick = true;
            break;
        case 'm':
            b->flavour = "mpich";
            break;
        case 'l':
            list();
            return -1;
        case 'h':
            help();
            return -1;
        default:
            return usage("no such option, or it lacks its value: ", argv[optind - 1]);
        }
    }
    for (int i = 0; i < MEASUREMENTS; i++)
        chosen[i] = optind == argc;
    for (int a = optind; a < argc; a++)
        if (!choose(argv[a], chosen))
            return usage("no measurement has this name (see --list): ", argv[a]);
    return 0;
}

int main(int argc, char **argv) {
    struct bench b = {.rounds = ROUNDS, .flavour = "openmpi"};
    bool chosen[MEASUREMENTS];
    crew_error err;
    if (argc > 1 && strcmp(argv[1], PROCESSES_MODE) == 0)
        return processes_from_here(argc, argv);
    if (argc > 1 && strcmp(argv[1], RANKS_MODE) == 0)
        return ranks_inside(argc, argv);
    int result = parse(argc, argv, &b, chosen);
    if (result)
        return result < 0 ? 0 : result;
    yard_quieten(argv);
    if (crew_init(&argc, &argv) < 0)
        return broke("bench", crew_last_error());
    b.pool = crew_pool_open(
        &(crew_pool_opts){.backend = CREW_FORK, .start = CREW_START_FORK, .name = "bench"}, &err);
    if (!b.pool)
        return broke("bench", &err);
    b.workers = crew_pool_workers(b.pool);
    report_machine(&b);
    for (int i = 0; i < MEASUREMENTS; i++)
        if (chosen[i] && measurements[i].run(&b))
            result = EXIT_FAILURE;
    ranks_end(&b);
    crew_pool_free(b.pool);
    int last = crew_finalize();
    return result ? result : last;
}
