/* Loops under OpenMP. This file is compiled apart from the functions it calls, so
 * that no compiler can put them into the loop. */
#include "yard.h"
#include "bench.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef _OPENMP
#include <omp.h>

bool yard_available(void) {
    return true;
}

void yard_quieten(char **argv) {
    static const char *const wanted[][2] = {
        {"OMP_WAIT_POLICY", "passive"}, {"GOMP_SPINCOUNT", "0"}, {"KMP_BLOCKTIME", "0"}};
    bool again = false;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!getenv(wanted[i][0])) {
            again = setenv(wanted[i][0], wanted[i][1], 1) == 0;
            if (!again)
                return; /* no memory for it: the figures say which policy there was */
        }
    if (again) {
        char self[4096];
        ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
        self[length > 0 ? length : 0] = 0;
        execv(self, argv);
        perror("bench: it could not start itself anew with a passive OpenMP");
    }
}

void yard_runtime(char *text, size_t size) {
    Dl_info where = {0};
    int (*any)(void) = omp_get_max_threads;
    void *at;
    memcpy(&at, &any, sizeof at);
    const char *file = dladdr(at, &where) && where.dli_fname ? where.dli_fname : "linked in";
    const char *slash = strrchr(file, '/');
    snprintf(text, size, "%s %d", slash ? slash + 1 : file, _OPENMP);
}

/* What a thread needs to call items: its own call, as a worker has. */
struct hand {
    crew_call call;
    int64_t value;
    int failed;
};

static inline void item(struct hand *hand, const struct yard_map *map, int64_t i) {
    crew_call *call = &hand->call;
    if (map->in) {
        call->in = (const char *)map->in + (size_t)i * map->in_size;
    } else {
        hand->value = i;
    }
    call->out = map->out ? (char *)map->out + (size_t)i * map->out_size : NULL;
    call->index = i;
    hand->failed |= map->fn(call);
}

static inline void block(struct hand *hand, int (*body)(crew_call *, int64_t, int64_t), int64_t i,
                         int64_t size, int64_t count) {
    int64_t lo = i * size, hi = lo + size < count ? lo + size : count;
    hand->call.index = lo;
    hand->failed |= body(&hand->call, lo, hi);
}

static struct hand hand_of(size_t in_size, size_t out_size, const void *common,
                           size_t common_size) {
    return (struct hand){.call = {.in_size = in_size,
                                  .out_size = out_size,
                                  .common = common,
                                  .common_size = common_size,
                                  .worker = omp_get_thread_num(),
                                  .attempt = 1}};
}

/* The schedules are spelt out: one that is chosen at run time costs a little
 * more for each chunk. */
#define LOOP(schedule, count, act)                                                                 \
    switch ((schedule)->kind) {                                                                    \
    case YARD_STATIC:                                                                              \
        _Pragma("omp for schedule(static)") for (int64_t i = 0; i < (count); i++) act;             \
        break;                                                                                     \
    case YARD_DYNAMIC:                                                                             \
        _Pragma("omp for schedule(dynamic, chunk)") for (int64_t i = 0; i < (count); i++) act;     \
        break;                                                                                     \
    default:                                                                                       \
        _Pragma("omp for schedule(guided)") for (int64_t i = 0; i < (count); i++) act;             \
        break;                                                                                     \
    }

double yard_map(const struct yard_map *map, const struct yard_schedule *schedule, int threads) {
    const struct yard_map m = *map;
    const int64_t chunk = schedule->chunk;
    int failed = 0;
    double start = now();
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        struct hand hand =
            hand_of(m.in ? m.in_size : sizeof(int64_t), m.out_size, m.common, m.common_size);
        if (!m.in)
            hand.call.in = &hand.value;
        LOOP(schedule, m.count, item(&hand, &m, i))
        failed |= hand.failed;
    }
    double seconds = now() - start;
    return failed ? -1 : seconds;
}

double yard_for(int (*body)(crew_call *call, int64_t lo, int64_t hi), int64_t count, int64_t size,
                const void *common, size_t common_size, const struct yard_schedule *schedule,
                int threads) {
    const int64_t chunk = schedule->chunk, blocks = count / size + (count % size != 0);
    int failed = 0;
    double start = now();
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        struct hand hand = hand_of(0, 0, common, common_size);
        LOOP(schedule, blocks, block(&hand, body, i, size, count))
        failed |= hand.failed;
    }
    double seconds = now() - start;
    return failed ? -1 : seconds;
}

#else

bool yard_available(void) {
    return false;
}

void yard_quieten(char **argv) {
    (void)argv;
}

void yard_runtime(char *text, size_t size) {
    snprintf(text, size, "none");
}

double yard_map(const struct yard_map *map, const struct yard_schedule *schedule, int threads) {
    (void)map;
    (void)schedule;
    (void)threads;
    return -1;
}

double yard_for(int (*body)(crew_call *call, int64_t lo, int64_t hi), int64_t count, int64_t size,
                const void *common, size_t common_size, const struct yard_schedule *schedule,
                int threads) {
    (void)body;
    (void)count;
    (void)size;
    (void)common;
    (void)common_size;
    (void)schedule;
    (void)threads;
    return -1;
}

#endif
