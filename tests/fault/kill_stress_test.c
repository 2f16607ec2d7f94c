/* fault/kill_stress_test.c - SIGKILLs at random moments while tiny items are
 * mapped or submitted: every item done, none lost, the result exact. Some kills
 * fall between the claim of a chunk and its publication, some into a result's
 * last byte, some into a worker's first moment. CREW_TEST_KILLS says how many. */
#include "crewtest.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 3, ITEMS = 20000, CALLS = 2000 };

/* A thread that kills whichever worker has shown its pid, once each. */
struct killer {
    pthread_t thread;
    bool runs;
    uint64_t random;
    int64_t most;
    _Atomic int64_t kills;
    _Atomic bool begun, stop;
};

static int show_pid(crew_call *call) {
    crewtest_set(CELL_WORKER + call->worker, getpid());
    return 0;
}

/* Once in each worker, with its first item: deaths in the initializer are not
 * to be survived without end. */
static void show_pid_once(crew_call *call) {
    static pid_t shown;
    if (shown != getpid())
        show_pid(call);
    shown = getpid();
}

static void *kill_at_random(void *arg) {
    struct killer *k = arg;
    atomic_store(&k->begun, true);
    while (atomic_load(&k->kills) < k->most && !atomic_load(&k->stop)) {
        k->random = crewtest_mix(k->random);
        _Atomic int64_t *cell = crewtest_cell(CELL_WORKER + (int64_t)(k->random % WORKERS));
        /* From a few nanoseconds to 1 ms, each size of moment as likely. */
        for (uint64_t n = (k->random >> 20) % (1u << (k->random >> 8) % 20); n > 0; n--)
            __asm__ volatile("" : "+r"(n));
        int64_t pid = atomic_exchange(cell, 0);
        if (pid > 1 && pid != getpid())
            atomic_fetch_add(&k->kills, kill((pid_t)pid, SIGKILL) == 0);
        else
            crewtest_pause();
    }
    return NULL;
}

static struct killer killer;

static void start_killer(void) {
    /* A fresh program takes longer to start than a forked one. */
    bool few = strcmp(crewtest_backend(), "spawn") == 0 || strcmp(crewtest_backend(), "ranks") == 0;
    int64_t kills = few ? 300 : 3000;
    killer.random = crewtest_random();
    killer.most = crewtest_env("CREW_TEST_KILLS", crewtest_many(kills));
    atomic_store(&killer.kills, 0);
    atomic_store(&killer.stop, false);
    atomic_store(&killer.begun, false);
    assert_int_equal(pthread_create(&killer.thread, NULL, kill_at_random, &killer), 0);
    killer.runs = true;
    /* From here on it allocates nothing: see crewtest_need_fork_beside_threads. */
    CREWTEST_WAIT(atomic_load(&killer.begun), 20);
}

static bool killer_has_done(void) {
    return atomic_load(&killer.kills) >= killer.most;
}

static void stop_killer(void) {
    atomic_store(&killer.stop, true);
    if (killer.runs)
        pthread_join(killer.thread, NULL);
    killer.runs = false;
}

static int teardown(void **state) {
    stop_killer();
    return crewtest_teardown(state);
}

static crew_pool *open_many_lives(void) {
    crew_pool_opts opts = crewtest_opts(WORKERS);
    opts.retries = 1000000;
    return crewtest_open_opts(&opts);
}

static int tiny(crew_call *call) {
    int64_t n = *CREW_IN(call, int64_t), result = 3 * n + 1;
    show_pid_once(call);
    crewtest_add(CELL_ITEM + call->index, 1);
    return crew_task_result(call, &result, sizeof result);
}

static void one_map(crew_pool *p, int64_t round) {
    static int64_t out[ITEMS];
    static int statuses[ITEMS];
    crew_map_opts opts = {.first = round,
                          .chunk = (int64_t)(crewtest_random() % 100),
                          .schedule = (int)(crewtest_random() % 4),
                          .on_error = (int)(crewtest_random() % 2),
                          .statuses = statuses};
    crew_error err;
    memset(out, 0x55, sizeof out);
    memset(statuses, 0x55, sizeof statuses);
    assert_ok(crew_map_index(p, tiny, ITEMS, out, &opts, &err), &err);
    for (int64_t i = 0; i < ITEMS; i++) {
        if (out[i] != 3 * (round + i) + 1 || statuses[i] != 0)
            fail_msg("round %ld, chunk %ld, schedule %d: item %ld holds %ld, status %d",
                     (long)round, (long)opts.chunk, opts.schedule, (long)i, (long)out[i],
                     statuses[i]);
        if (crewtest_get(CELL_ITEM + i) < 1)
            fail_msg("round %ld: item %ld never ran", (long)round, (long)i);
        crewtest_set(CELL_ITEM + i, 0);
    }
}

static void kills__in_maps_of_tiny_items__lose_nothing(void **state) {
    int64_t rounds = 0;
    crew_stats stats;
    (void)state;
    crewtest_may_take(300);
    crew_pool *p = open_many_lives();
    start_killer();
    for (; !killer_has_done(); rounds++)
        one_map(p, rounds);
    stop_killer();
    one_map(p, rounds);
    assert_int_equal(crew_pool_stats(p, -1, &stats), 0);
    print_message("%ld kills, %ld restarts, %ld maps of %d\n", (long)atomic_load(&killer.kills),
                  (long)stats.restarts, (long)rounds + 1, ITEMS);
    crewtest_free(p);
}

static int tiny_reply(crew_call *call) {
    int64_t result = *CREW_IN(call, int64_t) ^ 0x5555;
    show_pid_once(call);
    crewtest_add(CELL_ITEM + call->index, 1);
    return crew_reply(call, &result, sizeof result);
}

static void one_heap_of_calls(crew_pool *p, int64_t round) {
    static crew_future *f[CALLS];
    crew_error err;
    for (int64_t i = 0; i < CALLS; i++) {
        crew_submit_opts opts = {.index = i};
        int64_t n = round * CALLS + i;
        f[i] = crew_submit(p, tiny_reply, &n, sizeof n, &opts, &err);
        if (!f[i])
            fail_msg("round %ld, call %ld: %s", (long)round, (long)i, err.text);
    }
    for (int64_t i = 0; i < CALLS; i++) {
        int64_t out = -1;
        if (crew_future_result(f[i], &out, sizeof out, 60, &err) != 0)
            fail_msg("round %ld, call %ld: %s", (long)round, (long)i, err.text);
        assert_int_equal(out, (round * CALLS + i) ^ 0x5555);
        assert_true(crewtest_get(CELL_ITEM + i) >= 1);
        crewtest_set(CELL_ITEM + i, 0);
        crew_future_free(f[i]);
    }
}

static void kills__in_submitted_calls__lose_nothing(void **state) {
    int64_t rounds = 0;
    (void)state;
    crewtest_may_take(300);
    crew_pool *p = open_many_lives();
    start_killer();
    for (; !killer_has_done(); rounds++)
        one_heap_of_calls(p, rounds);
    stop_killer();
    one_heap_of_calls(p, rounds);
    print_message("%ld kills, %ld heaps of %d\n", (long)atomic_load(&killer.kills),
                  (long)rounds + 1, CALLS);
    crewtest_free(p);
}

/* Opening and closing under fire: errors are allowed, hangs and litter not. */
static void kills__while_pools_open_and_close__end_in_time(void **state) {
    int64_t opened = 0;
    (void)state;
    crewtest_may_take(300);
    start_killer();
    for (int i = 0; i < 100; i++) {
        crew_pool_opts opts = crewtest_opts(WORKERS);
        crew_error err;
        int64_t out[100];
        opts.init = show_pid;
        opts.retries = 1000000;
        double from = crewtest_now();
        crew_pool *p = crew_pool_open(&opts, &err);
        assert_true(p || err.code == CREW_EDIED || err.code == CREW_EBROKEN);
        opened += p != NULL;
        int rc = p ? crew_map_index(p, tiny, 100, out, NULL, &err) : 0;
        assert_true(rc == 0 || rc == CREW_EDIED || rc == CREW_EBROKEN);
        crew_pool_free(p);
        assert_within(from, 10);
        for (int w = 0; w < WORKERS; w++)
            crewtest_set(CELL_WORKER + w, 0);
    }
    stop_killer();
    assert_true(opened > 0);
    print_message("%ld of 100 opened, %ld kills\n", (long)opened, (long)atomic_load(&killer.kills));
}

#define UNDER_FIRE(f) cmocka_unit_test_setup_teardown(f, crewtest_setup, teardown)

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (!crewtest_has(CREWTEST_PROCESSES))
        return crewtest_skip_all();
    const struct CMUnitTest tests[] = {
        UNDER_FIRE(kills__in_maps_of_tiny_items__lose_nothing),
        UNDER_FIRE(kills__in_submitted_calls__lose_nothing),
        UNDER_FIRE(kills__while_pools_open_and_close__end_in_time),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
