/* ep - the EP kernel of the NAS Parallel Benchmarks on a pool: a reduction over batches. */
#include "kernel.h"
#include <crew/crew.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum { EXIT_USAGE = 2 };

struct request {
    const struct ep_class *class;
    bool compare;
};

/* ---- the command line --------------------------------------------------- */

static void help(void) {
    puts("Usage: ep [OPTION]... [CLASS]\n"
         "\n"
         "The EP kernel of the NAS Parallel Benchmarks: pairs of Gaussian random numbers,\n"
         "added up and counted, checked against the published sums. CLASS is S (2^24\n"
         "pairs, the default), W (2^25), A (2^28), B (2^30) or C (2^32).\n"
         "\n"
         "  --compare     first in series, then on all workers: times and speed-up\n"
         "  --backend=B   serial, threads or fork, as CREW_BACKEND=B\n"
         "  --workers=N   as CREW_WORKERS=N; default: one for each core there is\n"
         "  --help        this\n"
         "  --version     the version\n"
         "\n"
         "Exit status: 0 if the sums are the published ones, else 1.");
}

static int usage(const char *problem, const char *what) {
    fprintf(stderr, "ep: %s%s. Try ep --help.\n", problem, what);
    return EXIT_USAGE;
}

/* The environment overrides what a program asks for, and a program's options override
 * the environment: so they go there. The library says which words it accepts. */
static int set(const char *name, const char *value) {
    return setenv(name, value, 1) ? usage("not enough memory", "") : 0;
}

/* 0: go on. -1: all is done. Else main's result. */
static int parse_options(int argc, char **argv, struct request *r) {
    static const struct option options[] = {
        {"compare", no_argument, NULL, 'c'},       {"backend", required_argument, NULL, 'b'},
        {"workers", required_argument, NULL, 'w'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},       {0},
    };
    int option, bad = 0;
    opterr = 0;
    while (!bad && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            r->compare = true;
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
            puts("ep " CREW_VERSION);
            return -1;
        default:
            return usage("no such option, or it lacks its value: ", argv[optind - 1]);
        }
    }
    if (argc - optind > 1)
        return usage("there is more than one class: ", argv[optind + 1]);
    if (optind < argc && !(r->class = ep_class_named(argv[optind])))
        return usage("the classes are S, W, A, B and C, not ", argv[optind]);
    return bad;
}

/* ---- what the program does ---------------------------------------------- */

static int failed(const crew_error *err) {
    fprintf(stderr, "ep: %s\n", err->text);
    return EXIT_FAILURE;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

CREW_TASK(ep_batch, struct ep_sums, int64_t)

static int combine(void *into, const void *from) {
    ep_add(into, from);
    return 0;
}

/* Prints the sums; returns main's result. */
static int report(const struct ep_class *c, const struct ep_sums *sums, double seconds) {
    bool verified = ep_verified(c, sums);
    printf("class %c: 2^%d pairs, %" PRId64 " of them Gaussian, %.3f s, %.2f million numbers a "
           "second\n",
           c->name, c->log2_pairs, ep_gaussian_pairs(sums), seconds,
           (double)((int64_t)2 << c->log2_pairs) / seconds / 1e6);
    printf("sums %.15e %.15e\n", sums->x, sums->y);
    for (int l = 0; l < EP_RINGS; l++)
        printf("%3d %12" PRId64 "\n", l, sums->ring[l]);
    puts(verified ? "verified: the sums are the published ones"
                  : "NOT VERIFIED: the sums are not the published ones");
    return verified ? 0 : EXIT_FAILURE;
}

struct series {
    double seconds, longest; /* in all, and the longest batch */
};

static struct series in_series(int64_t batches, struct ep_sums *sums) {
    struct series s = {0};
    double begin = now(), last = begin;
    for (int64_t i = 0; i < batches; i++) {
        struct ep_sums batch = ep_batch(i);
        ep_add(sums, &batch);
        double time = now();
        s.longest = time - last > s.longest ? time - last : s.longest;
        last = time;
    }
    s.seconds = last - begin;
    return s;
}

static int run(crew_pool *pool, const struct request *r) {
    crew_error err;
    struct series series = {0};
    struct ep_sums sums = {0}, alone = {0};
    int64_t batches = ep_batches(r->class);
    if (r->compare)
        series = in_series(batches, &alone);
    double begin = now();
    if (crew_reduce(pool, ep_batch_task, NULL, 0, batches, &sums, sizeof sums, combine,
                    &(crew_map_opts){.progress = true}, &err) < 0)
        return failed(&err);
    double took = now() - begin;
    int result = report(r->class, &sums, took);
    if (!r->compare)
        return result;
    if (ep_gaussian_pairs(&alone) != ep_gaussian_pairs(&sums) || !ep_verified(r->class, &alone)) {
        fputs("ep: in series the sums are others\n", stderr);
        return EXIT_FAILURE;
    }
    /* Nobody is faster than the longest batch, and no more are at work than there are. */
    double possible = series.seconds / series.longest;
    if (possible > crew_pool_workers(pool))
        possible = crew_pool_workers(pool);
    printf("series %.3f s, pool %.3f s: %.2f times as fast, %.2f are possible\n", series.seconds,
           took, series.seconds / took, possible);
    return result;
}

int main(int argc, char **argv) {
    struct request r = {.class = ep_classes};
    int result = parse_options(argc, argv, &r);
    if (result)
        return result < 0 ? 0 : result;
    if (crew_init(&argc, &argv) < 0)
        return failed(crew_last_error());
    crew_error err;
    crew_pool *pool = crew_pool_open(&(crew_pool_opts){.name = "ep"}, &err);
    if (!pool)
        return failed(&err);
    result = run(pool, &r);
    crew_pool_free(pool);
    int last = crew_finalize();
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "ep: the output could not be written: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    return result ? result : last;
}
