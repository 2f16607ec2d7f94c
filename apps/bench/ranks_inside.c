/* What rank 0 of a job measures. It prints figures, one or two a round; what they mean is
 * for ranks.c to say. */
#include "ranks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

struct job {
    int64_t count;
    int rounds, workers;
    crew_pool *pool, *forked; /* of the whole job; of this process's machine alone */
};

static int complain(const char *what) {
    fprintf(stderr, "bench, in a job of ranks: %s\n", what);
    return 1;
}

/* Both with as many workers. */
static int open_pools(struct job *j, bool forked) {
    crew_error err;
    j->pool = crew_pool_open(&(crew_pool_opts){.workers = j->workers, .name = "ranks"}, &err);
    if (!j->pool)
        return complain(err.text);
    j->workers = crew_pool_workers(j->pool);
    if (!forked)
        return 0;
    j->forked = crew_pool_open(
        &(crew_pool_opts){.backend = CREW_FORK, .workers = j->workers, .name = "forked"}, &err);
    return j->forked ? 0 : complain(err.text);
}

/* ---- items that do nothing ---- */

static int nothing(crew_call *call) {
    (void)call;
    return 0;
}

/* Seconds; negative if it failed. */
static double time_nothing(crew_pool *pool, int64_t count) {
    crew_error err;
    settle();
    double start = now();
    if (crew_pool_map(pool, nothing, NULL, 0, count, NULL, 0, NULL, &err) < 0) {
        complain(err.text);
        return -1;
    }
    return now() - start;
}

static int item(struct job *j) {
    if (open_pools(j, true))
        return 1;
    for (int round = -1; round < j->rounds; round++) {
        double ranks = time_nothing(j->pool, j->count), forked = time_nothing(j->forked, j->count);
        if (ranks < 0 || forked < 0)
            return 1;
        if (round >= 0)
            printf("%.12g %.12g\n", ranks / (double)j->count, forked / (double)j->count);
    }
    return 0;
}

static int rate(struct job *j) {
    if (open_pools(j, false))
        return 1;
    for (int round = -1; round < j->rounds; round++) {
        double seconds = time_nothing(j->pool, j->count);
        if (seconds < 0)
            return 1;
        if (round >= 0)
            printf("%.12g\n", seconds / (double)j->count);
    }
    return 0;
}

/* Of the calling process, all its threads. */
static double processor_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int manager(struct job *j) {
    if (open_pools(j, false))
        return 1;
    for (int round = -1; round < j->rounds; round++) {
        double before = processor_seconds();
        if (time_nothing(j->pool, j->count) < 0)
            return 1;
        if (round >= 0)
            printf("%.12g\n", processor_seconds() - before);
    }
    return 0;
}

/* ---- 64 bytes there and back ---- */

struct message {
    int64_t word[8];
};

static int answer(crew_call *call) {
    const struct message *in = CREW_IN(call, struct message);
    struct message *out = CREW_OUT(call, struct message);
    *out = *in;
    out->word[7] = -in->word[0];
    return 0;
}

static int bytes(struct job *j) {
    crew_error err;
    size_t n = (size_t)j->count;
    struct message *in = calloc(n, sizeof *in), *out = calloc(n, sizeof *out);
    if (!in || !out)
        return complain("no memory for the items");
    for (size_t i = 0; i < n; i++)
        in[i].word[0] = (int64_t)i;
    if (open_pools(j, false))
        return 1;
    for (int round = -1; round < j->rounds; round++) {
        memset(out, 0, n * sizeof *out);
        settle();
        double start = now();
        if (crew_map(j->pool, answer, in, j->count, out, NULL, &err) < 0)
            return complain(err.text);
        double seconds = now() - start;
        for (size_t i = 0; i < n; i++)
            if (out[i].word[7] != -(int64_t)i)
                return complain("a result is wrong");
        if (round >= 0)
            printf("%.12g\n", seconds / (double)j->count);
    }
    free(in);
    free(out);
    return 0;
}

/* ---- items that take their time ---- */

/* Between 0 and 1, the same for an index in every run and on every host. */
static double unit_of(int64_t index) {
    uint64_t x = ((uint64_t)index + 1) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return ((double)((x ^ x >> 31) >> 11) + 0.5) * 0x1p-53;
}

struct length {
    double mean; /* turns of the loop, or seconds */
    bool random;
};

static double length_of(const struct length *length, int64_t index) {
    return length->random ? -log(unit_of(index)) * length->mean : length->mean;
}

static int spin(crew_call *call) {
    bench_turns((int64_t)length_of(CREW_COMMON(call, struct length), call->index));
    return 0;
}

static double time_spinning(crew_pool *pool, const struct length *length, int64_t count) {
    crew_error err;
    crew_map_opts opts = {.common = length, .common_size = sizeof *length};
    settle();
    double start = now();
    if (crew_pool_map(pool, spin, NULL, 0, count, NULL, 0, &opts, &err) < 0) {
        complain(err.text);
        return -1;
    }
    return now() - start;
}

static int spinning(struct job *j, bool random) {
    struct length length = {.mean = 100e-6 * bench_speed(), .random = random};
    if (open_pools(j, true))
        return 1;
    for (int round = -1; round < j->rounds; round++) {
        double fleet = time_spinning(j->pool, &length, j->count);
        double here = time_spinning(j->forked, &length, j->count);
        if (fleet < 0 || here < 0)
            return 1;
        if (round >= 0)
            printf("%.12g %.12g\n", fleet / (double)j->count, here / (double)j->count);
    }
    return 0;
}

static int fixed(struct job *j) {
    return spinning(j, false);
}

static int random_lengths(struct job *j) {
    return spinning(j, true);
}

/* Sleeps: workers need no core of their own. */
static int doze(crew_call *call) {
    double seconds = length_of(CREW_COMMON(call, struct length), call->index);
    struct timespec t;
    prctl(PR_SET_TIMERSLACK, 1UL);
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t until = t.tv_sec * 1000000000 + t.tv_nsec + (int64_t)(seconds * 1e9);
    t = (struct timespec){.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
        ;
    return 0;
}

/* What no schedule can beat: all lengths through the workers, or the longest. */
static double best_possible(const struct length *length, int64_t count, int workers) {
    double sum = 0, longest = 0;
    for (int64_t i = 0; i < count; i++) {
        double seconds = length_of(length, i);
        sum += seconds;
        longest = seconds > longest ? seconds : longest;
    }
    return sum / workers > longest ? sum / workers : longest;
}

static int makespan(struct job *j) {
    struct length length = {.mean = 5e-3, .random = true};
    crew_map_opts opts = {.common = &length, .common_size = sizeof length};
    crew_error err;
    if (open_pools(j, false))
        return 1;
    double best = best_possible(&length, j->count, j->workers);
    for (int round = 0; round < j->rounds; round++) {
        settle();
        double start = now();
        if (crew_pool_map(j->pool, doze, NULL, 0, j->count, NULL, 0, &opts, &err) < 0)
            return complain(err.text);
        printf("%.12g %.12g\n", now() - start, best);
    }
    return 0;
}

/* ---- a broadcast ---- */

static int last_byte(crew_call *call) {
    const unsigned char *data = crew_array_data(*CREW_IN(call, crew_array));
    unsigned char last = data ? data[crew_array_size(*CREW_IN(call, crew_array)) - 1] : 0;
    return crew_reply(call, &last, sizeof last);
}

/* COUNT is bytes. */
static int bcast(struct job *j) {
    const crew_array_opts copies = {.scope = CREW_ARRAY_REPLICATED};
    crew_array a;
    if (open_pools(j, false))
        return 1;
    if (crew_array_create(&a, CREW_U8, 1, &j->count, &copies) < 0)
        return complain(crew_last_error()->text);
    unsigned char *data = crew_array_data(a);
    memset(data, 255, (size_t)j->count);
    for (int round = -1; round < j->rounds; round++) { /* the first one warms up */
        data[j->count - 1] = (unsigned char)(round + 1);
        settle();
        double start = now();
        if (crew_array_bcast(a) < 0)
            return complain(crew_last_error()->text);
        double seconds = now() - start;
        for (int i = 0; i < 2 * j->workers; i++) {
            unsigned char last = 255;
            crew_error err;
            if (crew_apply(j->pool, last_byte, &a, sizeof a, &last, 1, &err) < 0 ||
                last != (unsigned char)(round + 1))
                return complain("a node has something else");
        }
        if (round >= 0)
            printf("%.12g\n", seconds);
    }
    return crew_array_destroy(a) < 0;
}

/* ---- objects of another node ---- */

struct asked {
    crew_lock lock;
    crew_queue queue, times;
    int64_t count;
};

static int refused(crew_call *call, const char *what) {
    return crew_fail(call, 1, "%s: %s", what, crew_last_error()->text);
}

/* Tells the seconds of a lock's acquire and release, and of a message put and got. */
static int ask(crew_call *call) {
    const struct asked *a = CREW_IN(call, struct asked);
    struct message m = {{0}};
    double times[2];
    if (call->node == 0)
        return 0;
    double start = now();
    for (int64_t i = 0; i < a->count; i++)
        if (crew_lock_acquire(a->lock, -1) < 0 || crew_lock_release(a->lock) < 0)
            return refused(call, "the lock");
    times[0] = (now() - start) / (double)a->count;
    start = now();
    for (int64_t i = 0; i < a->count; i++)
        if (crew_queue_put(a->queue, &m, sizeof m, -1) < 0 ||
            crew_queue_get(a->queue, &m, sizeof m, -1) < 0)
            return refused(call, "the queue");
    times[1] = (now() - start) / (double)a->count;
    return crew_queue_put(a->times, times, sizeof times, -1) < 0 ? refused(call, "the times") : 0;
}

static int object(struct job *j) {
    struct asked a = {.count = j->count};
    crew_error err;
    double times[2];
    if (open_pools(j, false))
        return 1;
    if (crew_lock_create(&a.lock) < 0 || crew_queue_create(&a.queue, 0, NULL) < 0 ||
        crew_queue_create(&a.times, 0, NULL) < 0)
        return complain(crew_last_error()->text);
    for (int round = -1; round < j->rounds; round++) {
        settle();
        if (crew_pool_each(j->pool, ask, &a, sizeof a, &err) < 0)
            return complain(err.text);
        do
            if (crew_queue_get(a.times, times, sizeof times, 0) < 0)
                return complain("no worker of another node has measured");
        while (crew_queue_size(a.times) > 0);
        if (round >= 0)
            printf("%.12g %.12g\n", times[0], times[1]);
    }
    return crew_lock_destroy(a.lock) || crew_queue_destroy(a.queue) || crew_queue_destroy(a.times);
}

/* ---- a part of an array on another node ---- */

const int64_t array_sizes[ARRAY_SIZES] = {8, 4 << 10, 64 << 10, 256 << 10, 4 << 20};

struct reached {
    crew_array a;
    crew_queue times;
    int64_t count, most; /* elements of the manager's part */
};

static int move(const struct reached *r, int way, int64_t n, int64_t *mine) {
    return way == ARRAY_GET   ? crew_array_get(r->a, 0, n, mine)
           : way == ARRAY_PUT ? crew_array_put(r->a, 0, n, mine)
                              : crew_array_add(r->a, 0, n, mine);
}

/* Seconds; negative if it failed. */
static double time_moving(const struct reached *r, int way, int64_t bytes, int64_t *mine) {
    enum { LONG_BYTES = 64 << 10, FEWEST = 4 };
    int64_t count = bytes > LONG_BYTES ? r->count * LONG_BYTES / bytes : r->count;
    double start = 0;
    count = count < FEWEST ? FEWEST : count;
    for (int64_t i = -count / 10 - 1; i < count; i++) { /* the first ones warm up */
        if (i == 0)
            start = now();
        if (move(r, way, bytes / (int64_t)sizeof *mine, mine) < 0)
            return -1;
    }
    return (now() - start) / (double)count;
}

/* By one worker of node 1: how long each size takes each way. At last that it does what it says. */
static int reach(crew_call *call) {
    const struct reached *r = CREW_IN(call, struct reached);
    double times[ARRAY_SIZES][ARRAY_WAYS];
    if (call->node != 1)
        return 0;
    int64_t *mine = calloc((size_t)r->most, sizeof *mine);
    if (!mine)
        return crew_fail(call, 1, "no memory");
    for (int i = 0; i < ARRAY_SIZES; i++)
        for (int way = 0; way < ARRAY_WAYS; way++)
            if ((times[i][way] = time_moving(r, way, array_sizes[i], mine)) < 0)
                return refused(call, "the array");
    for (int64_t i = 0; i < r->most; i++)
        mine[i] = i;
    if (move(r, ARRAY_PUT, r->most, mine) < 0 || move(r, ARRAY_ADD, r->most, mine) < 0 ||
        move(r, ARRAY_GET, r->most, mine) < 0)
        return refused(call, "the array");
    for (int64_t i = 0; i < r->most; i++)
        if (mine[i] != 2 * i)
            return crew_fail(call, 1, "an element of the array is wrong");
    free(mine);
    return crew_queue_put(r->times, times, sizeof times, -1) < 0 ? refused(call, "the times") : 0;
}

static int array(struct job *j) {
    const crew_array_opts parts = {.scope = CREW_ARRAY_PARTITIONED};
    struct reached r = {.count = j->count,
                        .most = array_sizes[ARRAY_SIZES - 1] / (int64_t)sizeof(int64_t)};
    double times[ARRAY_SIZES * ARRAY_WAYS];
    crew_error err;
    if (open_pools(j, false))
        return 1;
    int64_t all = r.most * j->workers; /* one worker a node */
    if (crew_array_create(&r.a, CREW_I64, 1, &all, &parts) < 0 ||
        crew_queue_create(&r.times, 0, NULL) < 0)
        return complain(crew_last_error()->text);
    for (int round = 0; round < j->rounds; round++) {
        settle();
        if (crew_pool_each(j->pool, reach, &r, sizeof r, &err) < 0)
            return complain(err.text);
        if (crew_queue_get(r.times, times, sizeof times, 0) < 0)
            return complain("no worker of another node has measured");
        for (int i = 0; i < ARRAY_SIZES * ARRAY_WAYS; i++)
            printf("%.12g\n", times[i]);
    }
    return crew_array_destroy(r.a) || crew_queue_destroy(r.times);
}

/* ---- idle ---- */

/* COUNT is seconds. */
static int idle(struct job *j) {
    if (open_pools(j, false) || time_nothing(j->pool, 1000) < 0)
        return 1;
    rest_for(0.5);
    int processes;
    double before = run_ran_ns(&processes), start = now();
    if (processes < j->workers + 1)
        return complain("the job's processes are not seen in /proc");
    rest_for((double)j->count);
    double ran = run_ran_ns(&processes) - before, passed = now() - start;
    printf("%.12g\n", 100 * ran * 1e-9 / passed);
    return 0;
}

int ranks_inside(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(struct job *j);
    } all[] = {{"item", item},      {"rate", rate},   {"manager", manager},
               {"bytes", bytes},    {"fixed", fixed}, {"random", random_lengths},
               {"sleep", makespan}, {"idle", idle},   {"bcast", bcast},
               {"object", object},  {"array", array}};
    if (argc != 6)
        return complain("it is for bench itself to call it so");
    struct job j = {.count = atoll(argv[3]), .rounds = atoi(argv[4]), .workers = atoi(argv[5])};
    if (crew_init(&argc, &argv) < 0)
        return complain(crew_last_error()->text);
    int result = 1;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(argv[2], all[i].name) == 0)
            result = all[i].run(&j);
    fflush(stdout);
    crew_pool_free(j.pool);
    crew_pool_free(j.forked);
    int last = crew_finalize();
    return result ? result : last;
}
