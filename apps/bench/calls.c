/* Submitted calls: many at once, and one at a time. */
#include "bench.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <signal.h>

static int64_t echo(int64_t n) {
    return n;
}
CREW_TASK(echo, int64_t, int64_t)

/* ---- in bulk ---- */

static int bulk(const struct bench *b, crew_future **futures, int64_t count, double *seconds) {
    crew_error err;
    settle();
    double start = now();
    for (int64_t i = 0; i < count; i++)
        if (!(futures[i] = crew_submit(b->pool, echo_task, &i, sizeof i, NULL, &err)))
            return broke("submit", &err);
    for (int64_t i = 0; i < count; i++) {
        int64_t got;
        if (crew_future_result(futures[i], &got, sizeof got, CREW_FOREVER, &err) < 0)
            return broke("submit", &err);
        if (got != i)
            return broke_because("submit", "a result is wrong");
        crew_future_free(futures[i]);
    }
    *seconds = now() - start;
    return 0;
}

int measure_submit(const struct bench *b) {
    static const char python[] = "import time, concurrent.futures as c\n"
                                 "def f(n): return n\n"
                                 "with c.ProcessPoolExecutor(2) as e:\n"
                                 "    e.submit(f, 1).result()\n"
                                 "    t = time.perf_counter()\n"
                                 "    for x in [e.submit(f, i) for i in range(2000)]: x.result()\n"
                                 "    print((time.perf_counter() - t) / 2000)\n";
    const int64_t count = b->quick ? 20000 : 100000;
    struct race race = {0};
    int result = 0;
    crew_future **futures = malloc((size_t)count * sizeof(crew_future *));
    if (!futures)
        return broke_because("submit", "no memory");
    race_enter(&race, "crew");
    if (python_available())
        race_enter(&race, "ProcessPoolExecutor");
    for (int round = -1; !result && round < b->rounds; round++) {
        double seconds = 0, other;
        result = bulk(b, futures, count, &seconds);
        if (!result && round >= 0)
            side_add(&race.side[0], seconds / (double)count);
        if (!result && round >= 0 && race.sides > 1) {
            if (python_numbers(python, &other, 1) < 0)
                result = broke_because("submit", "the Python program failed");
            else
                side_add(&race.side[1], other);
        }
    }
    free(futures);
    if (!result)
        report("submit", &race.side[0], race_best(&race), UNIT_TIME,
               (struct bound){BOUND_VALUE, 0.4e-6}, "submit and result");
    return result;
}

/* ---- one at a time ---- */

static int round_trip(const struct bench *b, const char *name) {
    crew_error err;
    int64_t n = 7, got = 0;
    crew_future *f = crew_submit(b->pool, echo_task, &n, sizeof n, NULL, &err);
    if (!f || crew_future_result(f, &got, sizeof got, CREW_FOREVER, &err) < 0)
        return broke(name, &err);
    crew_future_free(f);
    return got == n ? 0 : broke_because(name, "a result is wrong");
}

int measure_roundtrip_awake(const struct bench *b) {
    const int calls = b->quick ? 5000 : 20000;
    struct race race = {0};
    struct side *crew = race_enter(&race, "crew");
    for (int round = -1; round < b->rounds; round++) {
        for (int i = 0; i < calls / 10; i++)
            if (round_trip(b, "roundtrip-awake"))
                return 1;
        double start = now();
        for (int i = 0; i < calls; i++)
            if (round_trip(b, "roundtrip-awake"))
                return 1;
        if (round >= 0)
            side_add(crew, (now() - start) / calls);
    }
    report("roundtrip-awake", crew, NULL, UNIT_TIME, (struct bound){BOUND_VALUE, 2e-6}, NULL);
    return 0;
}

/* ---- a bare futex between processes ---- */

/* As many processes as there are workers, bound as they are, all asleep on `ball`;
 * the one that is woken throws it back. */
struct court {
    _Alignas(64) _Atomic uint32_t ball; /* written by the caller */
    _Alignas(64) _Atomic uint32_t back; /* written by who was woken */
    _Alignas(64) _Atomic uint32_t over;
};

static void futex_wait(_Atomic uint32_t *word, uint32_t seen) {
    syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int how_many) {
    syscall(SYS_futex, word, FUTEX_WAKE, how_many, NULL, NULL, 0);
}

_Noreturn static void play(struct court *court, const cpu_set_t *cpus) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sched_setaffinity(0, sizeof *cpus, cpus);
    /* All words are sequentially consistent: nothing here is measured in less
     * than microseconds. */
    for (uint32_t seen = 0; !atomic_load(&court->over);) {
        uint32_t ball = atomic_load(&court->ball);
        if (ball == seen) {
            futex_wait(&court->ball, seen);
            continue;
        }
        seen = ball;
        atomic_store(&court->back, ball);
        futex_wake(&court->back, 1);
    }
    _exit(0);
}

static double serve(struct court *court, double spin) {
    double start = now();
    uint32_t ball = atomic_load(&court->ball) + 1, back;
    atomic_store(&court->ball, ball);
    futex_wake(&court->ball, 1);
    while (spin > 0 && atomic_load(&court->back) != ball && now() - start < spin)
        ;
    while ((back = atomic_load(&court->back)) != ball)
        futex_wait(&court->back, back);
    return now() - start;
}

struct players {
    struct court *court;
    pid_t pid[256];
    int count;
};

static void players_end(struct players *p) {
    atomic_store(&p->court->over, 1);
    atomic_fetch_add(&p->court->ball, 1);
    futex_wake(&p->court->ball, 256);
    for (int i = 0; i < p->count; i++)
        while (waitpid(p->pid[i], NULL, 0) < 0 && errno == EINTR)
            ;
    munmap(p->court, sizeof *p->court);
}

static int players_start(const struct bench *b, struct players *p) {
    struct place places[256];
    p->count = 0;
    if (b->workers > 256)
        return broke_because("roundtrip-asleep", "it is written for at most 256 workers");
    if (places_of("roundtrip-asleep", b->pool, places))
        return 1;
    p->court =
        mmap(NULL, sizeof *p->court, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p->court == MAP_FAILED)
        return broke_because("roundtrip-asleep", "no memory");
    fflush(stdout);
    for (int i = 0; i < b->workers; i++) {
        pid_t pid = fork();
        if (pid == 0)
            play(p->court, &places[i].cpus);
        if (pid < 0) {
            players_end(p);
            return broke_because("roundtrip-asleep", "no more processes");
        }
        p->pid[p->count++] = pid;
    }
    return 0;
}

/* One round of one side: the median of its calls, each after everybody has gone
 * to sleep. */
static int asleep_round(const struct bench *b, struct court *court, int side, double *median) {
    static const double spins[] = {0, 0, 50e-6};
    struct side calls = {.name = "calls"};
    int n = b->quick ? 33 : ROUNDS_MOST;
    for (int i = 0; i < n; i++) {
        rest_for(2e-3);
        double start = now();
        if (side > 0)
            side_add(&calls, serve(court, spins[side]));
        else if (round_trip(b, "roundtrip-asleep"))
            return 1;
        else
            side_add(&calls, now() - start);
    }
    *median = side_median(&calls);
    return 0;
}

int measure_roundtrip_asleep(const struct bench *b) {
    struct players players;
    struct race race = {0};
    char note[96], spinning[24];
    int result = 0;
    if (players_start(b, &players))
        return 1;
    race_enter(&race, "crew");
    race_enter(&race, "bare futex");
    race_enter(&race, "bare futex, spinning");
    for (int round = 0; !result && round < b->rounds; round++)
        for (int s = 0; !result && s < race.sides; s++) {
            double median = 0;
            result = asleep_round(b, players.court, s, &median);
            side_add(&race.side[s], median);
        }
    players_end(&players);
    if (result)
        return result;
    format_value(side_median(&race.side[2]), UNIT_TIME, spinning);
    snprintf(note, sizeof note, "bare futex whose caller spins up to 50 us: %s", spinning);
    report("roundtrip-asleep", &race.side[0], &race.side[1], UNIT_TIME,
           (struct bound){BOUND_RATIO, 1.3}, note);
    return 0;
}
