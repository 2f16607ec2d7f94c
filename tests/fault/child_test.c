/* fault/child_test.c - parents that die over what they have spawned: children of an
 * execution that does not count never begin, hold nobody up when they run, and say
 * nothing. */
#include "crewtest.h"

#include "api/pool_impl.h"

#include <signal.h>
#include <unistd.h>

enum { CHILDREN = 5, CELL_DEATHS = 100, CELL_EXECUTION, CELL_BEGAN = 110, CELL_PID = 120 };

/* Which execution of the parent spawned it. */
static int note_birth(crew_call *call) {
    crewtest_add(CELL_BEGAN + *CREW_IN(call, int64_t), 1);
    return 0;
}

/* The first execution spawns, and dies; the second spawns. Nobody is free to run
 * what the first one spawned before it dies. */
static int twice(crew_call *call) {
    int64_t execution = crewtest_add(CELL_EXECUTION, 1) + 1;
    for (int i = 0; i < CHILDREN; i++)
        if (crew_spawn(call, note_birth, &execution, sizeof execution) < 0)
            return crew_fail(call, 1, "no child");
    if (execution == 1)
        kill(getpid(), SIGKILL);
    crewtest_set(CELL_GATE, 1); /* now the other worker may go on */
    return 0;
}

/* Item 0 keeps one worker busy, item 1 is the parent. */
static int busy_or_twice(crew_call *call) {
    if (call->index == 1) {
        while (!crewtest_reached(CELL_STARTED, 1, 10))
            return crew_fail(call, 2, "nobody was busy");
        return twice(call);
    }
    crewtest_add(CELL_STARTED, 1);
    return crewtest_pass(call, CELL_GATE);
}

static void check_births(void) {
    assert_int_equal(crewtest_get(CELL_EXECUTION), 2);
    assert_int_equal(crewtest_get(CELL_BEGAN + 1), 0);
    assert_int_equal(crewtest_get(CELL_BEGAN + 2), CHILDREN);
}

static crew_pool *open_retrying(int workers) {
    crew_pool_opts opts = crewtest_opts(workers);
    opts.retries = 1;
    return crewtest_open_opts(&opts);
}

static void item__dies_over_its_children__only_the_second_executions_run(void **state) {
    crew_error err;
    (void)state;
    crew_map_opts opts = {.chunk = 1};
    crew_pool *p = open_retrying(2);
    assert_ok(crew_pool_map(p, busy_or_twice, NULL, 0, 2, NULL, 0, &opts, &err), &err);
    check_births();
    assert_usable(p);
    crewtest_free(p);
}

static void task__dies_over_its_children__only_the_second_executions_run(void **state) {
    crew_error err;
    int64_t gate = CELL_GATE;
    (void)state;
    crew_pool *p = open_retrying(2);
    crew_future *busy = crew_submit(p, crewtest_gated_task, &gate, sizeof gate, NULL, &err);
    assert_true(crewtest_reached(CELL_STARTED, 1, 10));
    assert_ok(crew_apply(p, twice, NULL, 0, NULL, 0, &err), &err);
    check_births();
    assert_ok(crew_future_result(busy, NULL, 0, 10, &err), &err);
    crew_future_free(busy);
    crewtest_free(p);
}

static int spawn_twice(crew_call *call) {
    return crew_spawn(call, twice, NULL, 0) < 0 ? crew_fail(call, 1, "no child") : 0;
}

static void child__dies_over_its_children__only_the_second_executions_run(void **state) {
    crew_error err;
    int64_t gate = CELL_GATE;
    (void)state;
    crew_pool *p = open_retrying(2);
    crew_future *busy = crew_submit(p, crewtest_gated_task, &gate, sizeof gate, NULL, &err);
    assert_true(crewtest_reached(CELL_STARTED, 1, 10));
    assert_ok(crew_pool_map(p, spawn_twice, NULL, 0, 1, NULL, 0, NULL, &err), &err);
    check_births();
    assert_ok(crew_future_result(busy, NULL, 0, 10, &err), &err);
    crew_future_free(busy);
    crewtest_free(p);
}

/* A death that is not counted as an attempt: as if it had been meant for what ran
 * there before. */
static int wait_for_uncounted_death(crew_call *call) {
    int64_t execution = crewtest_add(CELL_EXECUTION, 1) + 1;
    for (int i = 0; i < CHILDREN; i++)
        if (crew_spawn(call, note_birth, &execution, sizeof execution) < 0)
            return crew_fail(call, 1, "no child");
    if (execution == 1) {
        crewtest_set(CELL_PID, getpid());
        return crewtest_pass(call, CELL_GATE + 1); /* never opened */
    }
    crewtest_set(CELL_GATE, 1);
    return call->attempt == 1 ? 0 : crew_fail(call, 3, "attempt %d", call->attempt);
}

static void kill_uncounted(crew_pool *p) {
    pid_t pid = (pid_t)crewtest_get(CELL_PID);
    int rank = 0;
    while (atomic_load(&cw_team_seat(&p->maps, p->team, rank)->pid) != pid)
        rank++;
    pthread_mutex_lock(&p->lock);
    p->watch[rank].reason = CW_TOO_LONG;
    p->watch[rank].doomed = 1; /* the key of nothing */
    pthread_mutex_unlock(&p->lock);
    kill(pid, SIGKILL);
}

static void uncounted_death__of_item_and_task__drops_the_children_as_well(void **state) {
    crew_error err;
    int64_t gate = CELL_GATE;
    (void)state;
    for (int task = 0; task < 2; task++) {
        for (int cell = CELL_GATE; cell < CELL_PID; cell++)
            crewtest_set(cell, 0);
        crew_pool *p = crewtest_open(2);
        crew_future *busy = crew_submit(p, crewtest_gated_task, &gate, sizeof gate, NULL, &err);
        assert_true(crewtest_reached(CELL_STARTED, 1, 10));
        crewtest_set(CELL_PID, 0);
        crew_future *f = NULL;
        crew_job *j = NULL;
        if (task)
            f = crew_submit(p, wait_for_uncounted_death, NULL, 0, NULL, &err);
        else
            j = crew_map_async(p, wait_for_uncounted_death, NULL, 0, 1, NULL, 0, NULL, &err);
        assert_true(f || j);
        assert_true(crewtest_reached(CELL_PID, 1, 10));
        kill_uncounted(p);
        assert_ok(f ? crew_future_result(f, NULL, 0, 10, &err) : crew_job_get(j, 10, &err), &err);
        check_births();
        crew_future_free(f);
        crew_job_free(j);
        assert_ok(crew_future_result(busy, NULL, 0, 10, &err), &err);
        crew_future_free(busy);
        crewtest_free(p);
    }
}

/* ---- those that run already --------------------------------------------- */

static int hang_about(crew_call *call) {
    crewtest_add(CELL_STARTED, 1);
    int rc = crewtest_pass(call, CELL_GATE); /* 30 seconds: nobody opens it */
    return rc ? rc : crew_fail(call, 9, "it was let through");
}

static int die_once_it_runs(crew_call *call) {
    if (crewtest_add(CELL_DEATHS, 1) > 0)
        return 0;
    if (crew_spawn(call, hang_about, NULL, 0) < 0)
        return crew_fail(call, 1, "no child");
    if (!crewtest_reached(CELL_STARTED, 1, 10))
        return crew_fail(call, 2, "the child did not run");
    kill(getpid(), SIGKILL);
    return 0;
}

static void running_child__of_an_execution_that_died__holds_nobody_up(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = open_retrying(2);
    for (int task = 0; task < 2; task++) {
        crewtest_set(CELL_DEATHS, 0);
        crewtest_set(CELL_STARTED, 0);
        double from = crewtest_now();
        if (task)
            assert_ok(crew_apply(p, die_once_it_runs, NULL, 0, NULL, 0, &err), &err);
        else
            assert_ok(crew_pool_map(p, die_once_it_runs, NULL, 0, 1, NULL, 0, NULL, &err), &err);
        assert_within(from, 8);
    }
    assert_usable(p);
    crewtest_free(p);
}


static int fail_at_once(crew_call *call) {
    crewtest_add(CELL_STARTED, 1);
    return crew_fail(call, 4, "a child failed");
}

static int die_over_a_failure(crew_call *call) {
    bool first = crewtest_add(CELL_DEATHS, 1) == 0;
    if (first && crew_spawn(call, fail_at_once, NULL, 0) < 0)
        return crew_fail(call, 1, "no child");
    if (first && !crewtest_reached(CELL_STARTED, 1, 10))
        return crew_fail(call, 2, "the child did not run");
    if (first)
        kill(getpid(), SIGKILL);
    return 0;
}

static void failed_child__of_an_execution_that_died__is_forgotten(void **state) {
    (void)state;
    crew_pool *p = open_retrying(2);
    uint64_t before = 0;
    for (int i = 0; i < 30; i++) {
        crew_error err;
        crewtest_set(CELL_DEATHS, 0);
        crewtest_set(CELL_STARTED, 0);
        /* Whether it told before the death or after: that execution does not count. */
        assert_ok(crew_apply(p, die_over_a_failure, NULL, 0, NULL, 0, &err), &err);
        if (i == 4)
            before = cw_arena_used(&p->maps.arena);
    }
    assert_true(cw_arena_used(&p->maps.arena) <= before + 4096);
    crewtest_free(p);
}

/* ---- records ------------------------------------------------------------ */

/* How many are on the free stack. */
static uint32_t free_records(crew_pool *p) {
    uint32_t n = 0, at = (uint32_t)atomic_load(&p->team->free_task);
    for (; at; n++)
        at = atomic_load(&cw_task_at(&p->maps, p->team, at - 1)->next_free);
    return n;
}

static bool all_free(crew_pool *p) {
    pthread_mutex_lock(&p->lock);
    bool all = !p->recount && free_records(p) == atomic_load(&p->team->task_count);
    pthread_mutex_unlock(&p->lock);
    return all;
}

static int leaf(crew_call *call) {
    (void)call;
    return 0;
}

/* Items of both sizes: within the record, and in the arena. The first byte says how
 * deep it goes on. */
static int branch(crew_call *call) {
    char item[200] = {(char)(*CREW_IN(call, char) - 1)};
    crewtest_set(CELL_PID + call->worker, getpid());
    for (int i = 0; i < 12; i++)
        if (crew_spawn(call, item[0] ? branch : leaf, item, i % 2 ? 8 : sizeof item) < 0)
            return crew_fail(call, 1, "no child");
    return 0;
}

static void kill_somebody(void) {
    int64_t pid = crewtest_get(CELL_PID + (int64_t)(crewtest_random() % 3));
    for (uint64_t n = crewtest_random() % (1u << crewtest_random() % 18); n > 0; n--)
        __asm__ volatile("" : "+r"(n));
    if (pid > 1)
        kill((pid_t)pid, SIGKILL);
}

static void records__of_members_killed_while_they_spawn__come_back(void **state) {
    enum { AT_ONCE = 8 };
    int64_t kills = crewtest_env("CREW_TEST_KILLS", crewtest_many(2000)), rounds = 0;
    crew_pool_opts opts = crewtest_opts(3);
    crew_stats stats = {0};
    crew_error err;
    (void)state;
    crewtest_may_take(300);
    opts.retries = 1000000;
    crew_pool *p = crewtest_open_opts(&opts);
    uint64_t used = 0;
    for (; stats.restarts < kills; rounds++) {
        crew_future *f[AT_ONCE];
        for (int i = 0; i < AT_ONCE; i++) {
            char depth = (char)(1 + i % 2);
            f[i] = crew_submit(p, branch, &depth, 1, NULL, &err);
            assert_non_null(f[i]);
        }
        for (int i = 0; i < AT_ONCE; i++) {
            kill_somebody();
            assert_ok(crew_future_result(f[i], NULL, 0, 60, &err), &err);
            crew_future_free(f[i]);
        }
        if (rounds % 100 == 99)
            CREWTEST_WAIT(all_free(p), 10);
        if (rounds == 99)
            used = cw_arena_used(&p->maps.arena);
        assert_int_equal(crew_pool_stats(p, -1, &stats), 0);
    }
    CREWTEST_WAIT(all_free(p), 10);
    print_message("%ld restarts, %ld rounds, %u records\n", (long)stats.restarts, (long)rounds,
                  atomic_load(&p->team->task_count));
    assert_true(atomic_load(&p->team->task_count) < 10000);
    if (rounds > 200)
        assert_true(cw_arena_used(&p->maps.arena) < used + (4 << 20));
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (!crewtest_has(CREWTEST_PROCESSES))
        return crewtest_skip_all();
    const struct CMUnitTest tests[] = {
        CREWTEST(item__dies_over_its_children__only_the_second_executions_run),
        CREWTEST(task__dies_over_its_children__only_the_second_executions_run),
        CREWTEST(child__dies_over_its_children__only_the_second_executions_run),
        CREWTEST(uncounted_death__of_item_and_task__drops_the_children_as_well),
        CREWTEST(running_child__of_an_execution_that_died__holds_nobody_up),
        CREWTEST(failed_child__of_an_execution_that_died__is_forgotten),
        CREWTEST(records__of_members_killed_while_they_spawn__come_back),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
