/* sweep - a parameter sweep of an ordinary differential equation: the hybrid example.
 *
 * The Lorenz system  x' = s (y - x), y' = x (r - z) - y, z' = x y - b z  with b = 8/3 is
 * followed from many starting points for each pair of r and s. A pair is an item of a
 * map; inside the task OpenMP shares the starting points out to the worker's threads. */
#include "../support/tool.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>

static const char HELP[] =
    "Usage: sweep [OPTION]...\n"
    "\n"
    "Follows the Lorenz system from many starting points, for each pair of its\n"
    "parameters r and s, and writes a line of CSV for each pair: means over time and\n"
    "starting points of z and z squared, and the Lyapunov exponent, by which\n"
    "neighbours part (positive: chaos). The same bits on any number of workers and\n"
    "threads.\n"
    "\n"
    "  --r=FROM:TO:COUNT   values of r (0:50:51)\n"
    "  --s=FROM:TO:COUNT   values of s (10:10:1)\n"
    "  --members=N         starting points for each pair (64)\n"
    "  --time=T            how long each is followed (100), in steps of 0.005\n"
    "  --output=FILE       not to standard output\n"
    "  --threads=N         OpenMP threads in each worker; workers are then as many as\n"
    "                      that leaves cores for (1 thread, a worker for each core)\n"
    "  --stats             says how long it took, with how many threads\n"
    "  --backend=B         serial, threads or fork, as CREW_BACKEND=B\n"
    "  --workers=N         as CREW_WORKERS=N\n"
    "  --help              this\n"
    "  --version           the version\n";

struct range {
    double from, to;
    int64_t count;
};

/* What tasks need: the common argument of the map. */
struct plan {
    struct range r, s;
    int64_t members, steps;
};

struct request {
    struct plan plan;
    int64_t threads;
    bool stats;
    const char *path;
};

/* The result for one pair. Neighbours have parted by  growth * 2^power  in all. */
struct point {
    double r, s, z, zz, growth;
    int64_t power, threads;
};

static const double STEP = 0.005, SETTLE = 20; /* of time; what is before is not counted */
enum { MEMBERS_MOST = 1 << 20, BETWEEN = 8 };  /* steps between two looks at neighbours */

/* ---- one pair of parameters ---- */

/* Where it is, and the direction of a neighbour that is infinitely near. */
enum { X, Y, Z, U, V, W, STATE };

static void slope(const double at[STATE], double r, double s, double to[STATE]) {
    const double b = 8.0 / 3;
    to[X] = s * (at[Y] - at[X]);
    to[Y] = at[X] * (r - at[Z]) - at[Y];
    to[Z] = at[X] * at[Y] - b * at[Z];
    to[U] = s * (at[V] - at[U]);
    to[V] = at[U] * (r - at[Z]) - at[X] * at[W] - at[V];
    to[W] = at[U] * at[Y] + at[X] * at[V] - b * at[W];
}

/* A step of the classical Runge-Kutta method. */
static void advance(double at[STATE], double r, double s) {
    double k[4][STATE], middle[STATE];
    slope(at, r, s, k[0]);
    for (int stage = 1; stage < 4; stage++) {
        for (int i = 0; i < STATE; i++)
            middle[i] = at[i] + (stage == 3 ? STEP : STEP / 2) * k[stage - 1][i];
        slope(middle, r, s, k[stage]);
    }
    for (int i = 0; i < STATE; i++)
        at[i] += STEP / 6 * (k[0][i] + 2 * k[1][i] + 2 * k[2][i] + k[3][i]);
}

/* The product grows beyond any number: so its power of two is kept apart, exactly. And
 * no logarithm is taken here: those of two machines may differ in the last bit. */
static void multiply(struct point *p, double factor, int64_t power) {
    int exponent;
    p->growth = frexp(p->growth * factor, &exponent);
    p->power += exponent + power;
}

/* The neighbour is brought back to distance 1; the product has what it had been. */
static void part(struct point *p, double at[STATE]) {
    double length = sqrt(at[U] * at[U] + at[V] * at[V] + at[W] * at[W]);
    multiply(p, length, 0);
    for (int i = U; i <= W; i++)
        at[i] /= length;
}

static struct point follow(const struct plan *q, double r, double s, int64_t member) {
    double angle = (double)member / (double)q->members;
    double at[STATE] = {[X] = 1 + angle, [Y] = 2 - 3 * angle, [Z] = r / 2 + angle, [U] = 1};
    struct point p = {.growth = 1};
    /* On threads and in series tasks are not killed when the program is stopped. */
    for (int64_t i = 0; i < (int64_t)(SETTLE / STEP) && !tool_stopped(); i++) {
        advance(at, r, s);
        if (i % BETWEEN == BETWEEN - 1)
            part(&(struct point){.growth = 1}, at);
    }
    for (int64_t i = 0; i < q->steps && !tool_stopped(); i++) {
        advance(at, r, s);
        p.z += at[Z];
        p.zz += at[Z] * at[Z];
        if (i % BETWEEN == BETWEEN - 1 || i == q->steps - 1)
            part(&p, at);
    }
    return p;
}

static double value(const struct range *range, int64_t i) {
    return range->count == 1
               ? range->from
               : range->from + (range->to - range->from) * (double)i / (double)(range->count - 1);
}

/* The item is the pair's number. Threads follow members in any order; what they found
 * is added up in the members' order, so that the sum is the same bits always. */
static int point_task(crew_call *call) {
    const struct plan *q = call->common;
    int64_t item = *CREW_IN(call, int64_t);
    struct point sum = {.growth = 1};
    struct point *members = malloc((size_t)q->members * sizeof *members);
    if (!members)
        return crew_fail(call, 1, "not enough memory for %lld members", (long long)q->members);
    sum.r = value(&q->r, item / q->s.count);
    sum.s = value(&q->s, item % q->s.count);
#pragma omp parallel
    {
#pragma omp single
        sum.threads = omp_get_num_threads();
#pragma omp for schedule(static)
        for (int64_t m = 0; m < q->members; m++)
            members[m] = follow(q, sum.r, sum.s, m);
    }
    for (int64_t m = 0; m < q->members; m++) {
        sum.z += members[m].z;
        sum.zz += members[m].zz;
        multiply(&sum, members[m].growth, members[m].power);
    }
    free(members);
    if (tool_stopped())
        return crew_fail(call, 1, "stopped");
    if (!isfinite(sum.growth))
        return crew_fail(call, 2, "r = %g, s = %g: it has grown beyond all numbers", sum.r, sum.s);
    *CREW_OUT(call, struct point) = sum;
    return 0;
}

/* ---- the sweep ---- */

static void write_csv(FILE *to, const struct plan *q, const struct point *points, int64_t count) {
    double steps = (double)q->members * (double)q->steps;
    fputs("r,s,z,zz,lyapunov\n", to);
    for (int64_t i = 0; i < count; i++) {
        const struct point *p = &points[i];
        double growth = log(p->growth) + (double)p->power * log(2);
        fprintf(to, "%.10g,%.10g,%.15g,%.15g,%.12g\n", p->r, p->s, p->z / steps, p->zz / steps,
                growth / (steps * STEP));
    }
}

static int sweep(crew_pool *pool, const struct request *request, tool_file *file) {
    crew_error err;
    const struct plan *q = &request->plan;
    int64_t count = q->r.count * q->s.count;
    double start = tool_now();
    struct point *points = calloc((size_t)count, sizeof *points);
    if (!points) {
        tool_say("not enough memory for %lld pairs", (long long)count);
        return -1;
    }
    crew_map_opts opts = {.common = q, .common_size = sizeof *q, .progress = true};
    int status = tool_wait(
        crew_map_async(pool, point_task, NULL, 0, count, points, sizeof *points, &opts, &err),
        &err);
    if (status == 0) {
        write_csv(file->to, q, points, count);
        tool_file_written(file);
    }
    if (status == 0 && request->stats) {
        char what[80];
        snprintf(what, sizeof what, "%lld pairs, OpenMP threads a worker: %lld", (long long)count,
                 (long long)points[0].threads);
        tool_stats(pool, tool_now() - start, what);
    }
    free(points);
    return status;
}

static int run(const struct request *r) {
    crew_error err;
    tool_file file;
    int status = -1, workers = crew_cpu_count() / (int)r->threads;
    if (!tool_file_open(&file, r->path))
        return EXIT_FAILURE;
    crew_pool_opts opts = {.name = "sweep",
                           .workers = workers > 0 ? workers : 1,
                           .threads_per_worker = (int)r->threads};
    crew_pool *pool = crew_pool_open(&opts, &err);
    if (pool)
        status = sweep(pool, r, &file);
    else
        tool_say("%s", err.text);
    crew_pool_free(pool);
    return tool_file_close(&file, status == 0 && !tool_stopped()) < 0 ? EXIT_FAILURE : 0;
}

/* ---- the command line ---- */

/* Within these bounds the steps are short enough. */
static void parse_range(const char *option, const char *text, double most, struct range *range) {
    long count;
    char more;
    if (sscanf(text, "%lf:%lf:%ld%c", &range->from, &range->to, &count, &more) != 3 ||
        !(range->from >= 0 && range->from <= most && range->to >= 0 && range->to <= most) ||
        count < 1 || count > 1000000)
        tool_misuse("--%s takes FROM:TO:COUNT, numbers from 0 to %g and a million of them at "
                    "most, not %s",
                    option, most, text);
    else
        range->count = count;
}

static void parse(int argc, char **argv, struct request *request) {
    struct plan *q = &request->plan;
    static const struct option options[] = {
        {"r", required_argument, NULL, 'r'},       {"s", required_argument, NULL, 's'},
        {"members", required_argument, NULL, 'm'}, {"time", required_argument, NULL, 't'},
        {"output", required_argument, NULL, 'o'},  {"threads", required_argument, NULL, 'n'},
        {"stats", no_argument, NULL, 'a'},         TOOL_OPTIONS};
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'r')
            parse_range("r", optarg, 200, &q->r);
        else if (option == 's')
            parse_range("s", optarg, 100, &q->s);
        else if (option == 'm')
            q->members = tool_integer("members", optarg, 1, MEMBERS_MOST);
        else if (option == 't')
            q->steps = (int64_t)(tool_number("time", optarg, 1, 1e9) / STEP + 0.5);
        else if (option == 'o')
            request->path = optarg;
        else if (option == 'n')
            request->threads = tool_integer("threads", optarg, 1, 4096);
        else if (option == 'a')
            request->stats = true;
        else
            tool_option(option, argv);
    }
    if (optind < argc)
        tool_misuse("there is no argument but options: %s", argv[optind]);
    if (q->r.count * q->s.count > 100000000)
        tool_misuse("more than 10^8 pairs of r and s");
}

int main(int argc, char **argv) {
    struct request r = {.threads = 1};
    r.plan = (struct plan){.r = {0, 50, 51}, .s = {10, 10, 1}, .members = 64};
    r.plan.steps = (int64_t)(100 / STEP);
    parse(argc, argv, &r);
    if (!tool_start(&argc, &argv, HELP))
        return tool_end(0);
    tool_catch_signals();
    return tool_end(run(&r));
}
