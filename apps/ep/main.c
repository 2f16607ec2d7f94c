/* ep - the EP kernel of the NAS Parallel Benchmarks on a pool: a reduction over batches. */
#include "../support/tool.h"
#include "kernel.h"
#include <inttypes.h>
#include <stdlib.h>

struct request {
    const struct ep_class *class;
    bool compare;
};

/* ---- the command line --------------------------------------------------- */

static const char HELP[] =
    "Usage: ep [OPTION]... [CLASS]\n"
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
    "Exit status: 0 if the sums are the published ones, else 1.\n";

static void parse(int argc, char **argv, struct request *r) {
    static const struct option options[] = {{"compare", no_argument, NULL, 'c'}, TOOL_OPTIONS};
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (option == 'c')
            r->compare = true;
        else
            tool_option(option, argv);
    if (argc - optind > 1)
        tool_misuse("there is more than one class: %s", argv[optind + 1]);
    else if (optind < argc && !(r->class = ep_class_named(argv[optind])))
        tool_misuse("the classes are S, W, A, B and C, not %s", argv[optind]);
}

/* ---- what the program does ---------------------------------------------- */

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
    double begin = tool_now(), last = begin;
    for (int64_t i = 0; i < batches; i++) {
        struct ep_sums batch = ep_batch(i);
        ep_add(sums, &batch);
        double time = tool_now();
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
    double begin = tool_now();
    if (crew_reduce(pool, ep_batch_task, NULL, 0, batches, &sums, sizeof sums, combine,
                    &(crew_map_opts){.progress = true}, &err) < 0)
        return tool_failed(&err);
    double took = tool_now() - begin;
    int result = report(r->class, &sums, took);
    if (!r->compare)
        return result;
    if (ep_gaussian_pairs(&alone) != ep_gaussian_pairs(&sums) || !ep_verified(r->class, &alone)) {
        tool_say("in series the sums are others");
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
    parse(argc, argv, &r);
    if (!tool_start(&argc, &argv, HELP))
        return tool_end(0);
    crew_error err;
    crew_pool *pool = crew_pool_open(&(crew_pool_opts){.name = "ep"}, &err);
    int result = pool ? run(pool, &r) : tool_failed(&err);
    crew_pool_free(pool);
    return tool_end(result);
}
