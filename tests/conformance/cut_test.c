/* The end of what is on the board is lowered while workers claim it (cw_job_cut): what a
 * node does that gives a part of its range back. Here the part is this map's own next
 * slice, so whatever was lost or claimed twice shows in how often items have run. */
#include "crewtest.h"

#include "api/job_impl.h"

#include <sched.h>

enum { COUNT = 100000, CUTS = 200, MAPS = 30 };

static int once(crew_call *call) {
    crewtest_add(CELL_ITEM + call->index, 1);
    if (call->index % 32 == 0)
        sched_yield(); /* to the one that cuts */
    *CREW_OUT(call, int64_t) = 3 * call->index;
    return 0;
}

/* Cuts whatever is up, now and then behind and now and then before the cursor. */
static int cut_something(crew_pool *p) {
    int cut = 0;
    pthread_mutex_lock(&p->lock);
    for (int slot = 0; slot < CW_JOB_SLOTS; slot++) {
        crew_job *j = p->jobs[slot];
        if (!j || j->state != CW_J_POSTED)
            continue;
        struct cw_job *job = j->shared;
        int64_t at = atomic_load(&job->cursor), end = job->end;
        int64_t lo = at - 50 + (int64_t)(crewtest_random() % 300);
        lo = lo > job->base ? lo : job->base + 1;
        int64_t now = cw_job_cut(job, lo);
        assert_true(now <= end && (now >= lo || now == end));
        cut += now < end;
        cw_job_ring(&p->maps, p->team, job->slot);
    }
    pthread_mutex_unlock(&p->lock);
    return cut;
}

static int map_once(crew_pool *p, int64_t chunk) {
    static int64_t out[COUNT];
    crew_error err;
    crew_map_opts opts = {.chunk = chunk};
    for (int64_t i = 0; i < COUNT; i++)
        crewtest_set(CELL_ITEM + i, 0);
    crew_job *j = crew_map_async(p, once, NULL, 0, COUNT, out, sizeof *out, &opts, &err);
    assert_non_null(j);
    int cut = 0;
    while (!crew_job_ready(j))
        cut += cut_something(p);
    assert_ok(crew_job_get(j, CREW_FOREVER, &err), &err);
    crew_job_free(j);
    for (int64_t i = 0; i < COUNT; i++) {
        if (crewtest_get(CELL_ITEM + i) != 1)
            fail_msg("item %ld ran %ld times", (long)i, (long)crewtest_get(CELL_ITEM + i));
        assert_int_equal(out[i], 3 * i);
    }
    return cut;
}

/* Until it has met claims often enough: as chance has it in few maps or in many. */
static int run(int64_t chunk, int64_t tasks_per_worker) {
    crew_pool_opts how = crewtest_opts(4);
    how.tasks_per_worker = tasks_per_worker;
    crew_pool *p = crewtest_open_opts(&how);
    int cut = 0, maps = 0;
    for (; cut < CUTS && maps < MAPS; maps++)
        cut += map_once(p, chunk);
    print_message("    chunk %ld: cut %d times in %d maps\n", (long)chunk, cut, maps);
    crewtest_free(p);
    return cut;
}

static void cut__while_items_are_claimed__each_runs_once(void **state) {
    (void)state;
    crewtest_need(CREWTEST_ASYNC | CREWTEST_ONE_NODE);
    static const int64_t chunks[] = {1, 7, 0};
    int cut = 0;
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
        cut += run(chunks[i], 0);
    assert_true(cut > 0);
}

static void cut__while_workers_are_replaced__each_runs_once(void **state) {
    (void)state;
    crewtest_need(CREWTEST_ASYNC | CREWTEST_ONE_NODE | CREWTEST_PROCESSES);
    assert_true(run(3, 5000) > 0); /* they come and go */
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {CREWTEST(cut__while_items_are_claimed__each_runs_once),
                                       CREWTEST(cut__while_workers_are_replaced__each_runs_once)};
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
