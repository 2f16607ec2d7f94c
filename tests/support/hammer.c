/* See hammer.h. Cells: the pid and the progress of each worker, and the stop. The pid of
 * one that was chosen is negative until its replacement says its own: for a moment it
 * goes on, and must not be taken for that. */
#include "hammer.h"

#include "share/share.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum {
    CELL_STOP = CELL_OWN + 14,
    CELL_ROUND = CELL_WORKER + 64,    /* one a worker: rounds it has begun */
    CELL_PROCESS = CELL_WORKER + 128, /* one a worker: its pid, -pid once it was chosen */
};

bool hammer_on(crew_call *call) {
    int64_t pid = getpid(), said = crewtest_get(CELL_PROCESS + call->worker);
    if (said != pid && said != -pid)
        crewtest_set(CELL_PROCESS + call->worker, pid);
    crewtest_add(CELL_ROUND + call->worker, 1);
    return !crewtest_get(CELL_STOP) && !crew_cancelled(call);
}

static bool gone_on(const int64_t *seen) {
    for (int w = 0; w < HAMMER_WORKERS; w++)
        if (crewtest_get(CELL_ROUND + w) <= seen[w] + 1 || crewtest_get(CELL_PROCESS + w) <= 0)
            return false;
    return true;
}

/* All workers have begun two more rounds, so that each has ended one. */
static double wait_for_progress(const char *after, int64_t kill) {
    int64_t seen[HAMMER_WORKERS];
    double from = crewtest_now();
    for (int w = 0; w < HAMMER_WORKERS; w++)
        seen[w] = crewtest_get(CELL_ROUND + w);
    while (!gone_on(seen)) {
        if (crewtest_now() - from > HAMMER_LIMIT_S) {
            for (int w = 0; w < HAMMER_WORKERS; w++)
                print_error("worker %d (pid %ld): round %ld, was %ld\n", w,
                            (long)crewtest_get(CELL_PROCESS + w),
                            (long)crewtest_get(CELL_ROUND + w), (long)seen[w]);
            fail_msg("%s %ld: not all go on within %d s", after, (long)kill, HAMMER_LIMIT_S);
        }
        usleep(20);
    }
    return crewtest_now() - from;
}

/* From a few nanoseconds to 1 ms, each size of moment as likely. */
static void wait_a_moment(void) {
    uint64_t random = crewtest_random();
    for (uint64_t n = (random >> 20) % (1u << random % 20); n > 0; n--)
        __asm__ volatile("" : "+r"(n));
}

/* What differs between the ways to start workers is little: forked ones bear the
 * brunt. */
static int64_t usual_kills(void) {
    int64_t kills = crewtest_many(crewtest_long() ? 10000 : 2000);
    return strcmp(crewtest_backend(), "fork") == 0 ? kills : kills / 10;
}

void hammer_run(const struct hammer *h) {
    int64_t kills = h->kills ? h->kills
                             : crewtest_env("CREW_TEST_KILLS", usual_kills());
    crew_pool_opts opts = crewtest_opts(HAMMER_WORKERS);
    opts.retries = 1000000;
    crewtest_may_take(crewtest_long() ? 3600 : 300);
    crewtest_set(CELL_STOP, 0);
    for (int w = 0; w < HAMMER_WORKERS; w++) {
        crewtest_set(CELL_ROUND + w, 0);
        crewtest_set(CELL_PROCESS + w, 0);
    }
    crew_pool *p = crewtest_open_opts(&opts);
    crew_error err;
    crew_map_opts map = {.common = h->common, .common_size = h->common_size, .chunk = 1};
    crew_job *job = crew_map_async(p, h->task, NULL, 0, HAMMER_WORKERS, NULL, 0, &map, &err);
    if (!job)
        fail_msg("crew_map_async: %s", err.text);
    double longest = wait_for_progress("start", 0);
    for (int64_t k = 0; k < kills; k++) {
        int w = (int)(crewtest_random() % HAMMER_WORKERS);
        wait_a_moment();
        int64_t pid = crewtest_get(CELL_PROCESS + w);
        crewtest_set(CELL_PROCESS + w, -pid);
        assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
        double pause = wait_for_progress("kill", k);
        longest = pause > longest ? pause : longest;
        if (h->check)
            h->check(h->ctx, k);
    }
    crewtest_set(CELL_STOP, 1);
    assert_ok(crew_job_get(job, 60, &err), &err);
    crew_job_free(job);
    crew_stats all;
    assert_int_equal(crew_pool_stats(p, -1, &all), 0);
    assert_int_equal(all.restarts, kills); /* each kill was a death */
    crewtest_free(p);
    print_message("%ld kills, the longest pause after one %.3f s\n", (long)kills, longest);
}

uint64_t hammer_memory(void) {
    cw_party_bury(cw_share_here());
    return cw_arena_used(&cw_share_here()->arena);
}

uint64_t hammer_memory_before(void (*once)(void)) {
    crew_pool *p = crewtest_open(HAMMER_WORKERS);
    assert_usable(p);
    crewtest_free(p);
    once();
    return hammer_memory();
}

void hammer_memory_is(uint64_t before) {
    uint64_t now = hammer_memory();
    if (now != before)
        fail_msg("%lld bytes are left", (long long)(now - before));
}
