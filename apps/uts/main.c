/* uts - the Unbalanced Tree Search benchmark on a pool: tasks that make tasks. */
#include "search.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { GRAIN = 2000 };

/* The trees of the original's samples, and what is in them. */
static const struct sample {
    const char *name;
    struct tree tree;
    struct counts counts;
} samples[] = {
    {"T1", {TREE_GEOMETRIC, 19, 4, SHAPE_FIXED, 10, 0, 0, 1, 0}, {4130071, 3305118, 10}},
    {"T5", {TREE_GEOMETRIC, 34, 4, SHAPE_LINEAR, 20, 0, 0, 1, 0}, {4147582, 2181318, 20}},
    {"T2", {TREE_GEOMETRIC, 502, 6, SHAPE_CYCLIC, 16, 0, 0, 1, 0}, {4117769, 2342762, 81}},
    {"T3", {TREE_BINOMIAL, 42, 2000, 0, 0, 0.124875, 8, 1, 0}, {4112897, 3599034, 1572}},
    {"T4", {TREE_HYBRID, 1, 6, SHAPE_LINEAR, 16, 0.234375, 4, 1, 0.5}, {4132453, 3108986, 134}},
    {"T1L", {TREE_GEOMETRIC, 29, 4, SHAPE_FIXED, 13, 0, 0, 1, 0}, {102181082, 81746377, 13}},
    {"T2L", {TREE_GEOMETRIC, 220, 7, SHAPE_CYCLIC, 23, 0, 0, 1, 0}, {96793510, 53791152, 67}},
    {"T3L", {TREE_BINOMIAL, 7, 2000, 0, 0, 0.200014, 5, 1, 0}, {111345631, 89076904, 17844}},
};
enum { SAMPLES = sizeof samples / sizeof *samples };

struct request {
    struct tree tree;
    const struct sample *sample;
    int64_t grain;
    bool compare;
};

/* ---- the command line --------------------------------------------------- */

static const char HELP[] =
    "Usage: uts [OPTION]... [TREE]\n"
    "\n"
    "The Unbalanced Tree Search benchmark: counts the nodes, the leaves and the depth\n"
    "of a tree that nobody has seen before, by tasks that make tasks. TREE is T1, T2,\n"
    "T3, T4, T5, T1L, T2L or T3L: the original's samples, checked against what is\n"
    "known of them. Or a tree is given by the original's options:\n"
    "\n"
    "  -t N          type: 0 binomial, 1 geometric (the default), 2 hybrid, 3 balanced\n"
    "  -r N          the root's seed (0)\n"
    "  -b X          children of the root; of a geometric tree, how many are expected (4)\n"
    "  -a N          geometric: 0 linear, 1 exponential, 2 cyclic, 3 fixed (0)\n"
    "  -d N          geometric and balanced: the depth (6)\n"
    "  -q X          binomial: how likely a node has children (0.234375)\n"
    "  -m N          binomial: how many it then has (4)\n"
    "  -f X          hybrid: the part of the depth that is geometric (0.5)\n"
    "  -g N          how often the digest of each node is computed (1)\n"
    "  -c N          nodes that a task meets before it makes others of the rest (2000)\n"
    "\n"
    "  --compare     first in series, then on all workers: times and speed-up\n"
    "  --backend=B   serial, threads or fork, as CREW_BACKEND=B\n"
    "  --workers=N   as CREW_WORKERS=N; default: one for each core there is\n"
    "  --help        this\n"
    "  --version     the version\n"
    "\n"
    "Exit status: 0, or 1 if something failed or a sample is not as it is known.\n";

static double parse_real(char option, const char *text, double least, double most) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value <= most))
        tool_misuse("-%c is from %.10g to %.10g, not %s", option, least, most, text);
    return value;
}

static int32_t parse_whole(char option, const char *text, int32_t least, int32_t most) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno || value < least || value > most) {
        tool_misuse("-%c is from %d to %d, not %s", option, least, most, text);
        return least;
    }
    return (int32_t)value;
}

/* An option of the original's. */
static void parse_tree_option(int option, const char *text, struct request *r) {
    struct tree *t = &r->tree;
    switch (option) {
    case 't':
        t->type = parse_whole('t', text, 0, TREE_TYPES - 1);
        break;
    case 'a':
        t->shape = parse_whole('a', text, 0, SHAPES - 1);
        break;
    case 'r':
        t->seed = parse_whole('r', text, 0, INT32_MAX);
        break;
    case 'd':
        t->depth = parse_whole('d', text, 1, INT32_MAX);
        break;
    case 'm':
        t->m = parse_whole('m', text, 0, INT32_MAX);
        break;
    case 'g':
        t->effort = parse_whole('g', text, 1, INT32_MAX);
        break;
    case 'b':
        t->branches = parse_real('b', text, 0, INT32_MAX);
        break;
    case 'q':
        t->q = parse_real('q', text, 0, 1);
        break;
    case 'f':
        t->shift = parse_real('f', text, 0, 1);
        break;
    default:
        r->grain = parse_whole('c', text, 1, INT32_MAX);
    }
}

/* The sample, or what the options say: one of the two. */
static void choose_tree(int count, char **words, bool given, struct request *r) {
    if (count > 1)
        tool_misuse("there is more than one tree: %s", words[1]);
    if (count == 0)
        return;
    for (int i = 0; i < SAMPLES; i++)
        if (strcmp(words[0], samples[i].name) == 0)
            r->sample = &samples[i];
    if (!r->sample)
        tool_misuse("there is no sample with the name %s", words[0]);
    else if (given)
        tool_misuse("a sample has its own -t -r -b -a -d -q -m -f -g: %s", words[0]);
    else
        r->tree = r->sample->tree;
}

static void parse(int argc, char **argv, struct request *r) {
    static const struct option options[] = {{"compare", no_argument, NULL, 1}, TOOL_OPTIONS};
    int option;
    bool given = false;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "t:r:b:a:d:q:m:f:g:c:", options, NULL)) != -1) {
        if (option == 1)
            r->compare = true;
        else if (option == '?' || option >= TOOL_BACKEND)
            tool_option(option, argv);
        else
            parse_tree_option(option, optarg, r);
        given |= option > 1 && option < TOOL_BACKEND && option != 'c';
    }
    choose_tree(argc - optind, argv + optind, given, r);
}

/* ---- what the program does ---------------------------------------------- */

static bool same(const struct counts *a, const struct counts *b) {
    return a->nodes == b->nodes && a->leaves == b->leaves && a->depth == b->depth;
}

static void print(const char *who, const struct counts *counts, double seconds) {
    printf("%s: %" PRId64 " nodes, depth %" PRId64 ", %" PRId64
           " leaves, %.3f s, %.2f million nodes a second\n",
           who, counts->nodes, counts->depth, counts->leaves, seconds,
           (double)counts->nodes / seconds / 1e6);
    fflush(stdout);
    tool_output_fails();
}

static int run(crew_pool *pool, const struct request *r) {
    struct counts alone, together;
    double series = 0, begin = tool_now();
    if (r->compare) {
        if (search_in_series(&r->tree, &alone))
            return EXIT_FAILURE;
        series = tool_now() - begin;
        print("series", &alone, series);
    }
    begin = tool_now();
    if (search_on_pool(pool, &r->tree, r->grain, &together))
        return EXIT_FAILURE;
    double took = tool_now() - begin;
    print("pool", &together, took);
    if (r->compare && !same(&alone, &together)) {
        tool_say("the two searches have found different trees");
        return EXIT_FAILURE;
    }
    if (r->compare)
        printf("series %.3f s, pool %.3f s: %.2f times as fast, %.2f are possible\n", series, took,
               series / took, (double)crew_pool_workers(pool));
    if (r->sample)
        puts(same(&together, &r->sample->counts) ? "verified: the tree is as it is known"
                                                 : "NOT VERIFIED: the tree is known to be another");
    return r->sample && !same(&together, &r->sample->counts) ? EXIT_FAILURE : 0;
}

int main(int argc, char **argv) {
    struct request r = {.grain = GRAIN,
                        .tree = {.type = TREE_GEOMETRIC,
                                 .branches = 4,
                                 .shape = SHAPE_LINEAR,
                                 .depth = 6,
                                 .q = 0.234375,
                                 .m = 4,
                                 .effort = 1,
                                 .shift = 0.5}};
    parse(argc, argv, &r);
    if (!tool_start(&argc, &argv, HELP))
        return tool_end(0);
    bool binomial = r.tree.type == TREE_BINOMIAL || r.tree.type == TREE_HYBRID;
    if (binomial && !r.sample && r.tree.q * r.tree.m >= 1)
        tool_say("-q times -m is 1 or more: such a tree may have no end");
    crew_error err;
    crew_pool *pool = crew_pool_open(&(crew_pool_opts){.name = "uts"}, &err);
    int result = pool ? run(pool, &r) : tool_failed(&err);
    crew_pool_free(pool);
    return tool_end(result);
}
