/* fault/nursery_death_test.c - the process that forks the workers is killed:
 * calls end with CREW_EBROKEN within bounds, none waits for ever. Each case is a
 * helper of its own, as under CREW_START_SERVER its session is lost with it. */
#include "crewtest.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int pid_and_wait(crew_call *call) {
    crewtest_set(CELL_WORKER + call->worker, getpid());
    crewtest_add(CELL_STARTED, 1);
    return *CREW_IN(call, int64_t) < 0 ? 0 : crewtest_pass(call, CELL_GATE);
}

static crew_pool *open_here(void) {
    crew_error err;
    crew_pool_opts opts = crewtest_opts(2);
    opts.retries = 3;
    crew_pool *p = crew_pool_open(&opts, &err);
    crewtest_check(p, "%s", err.text);
    return p;
}

/* The workers' parent; what it is not is checked before it is shot at. */
static void kill_nursery(void) {
    pid_t worker = (pid_t)crewtest_get(CELL_WORKER), family[64];
    pid_t nursery = crewtest_parent(worker);
    int n = crewtest_family(family, 64), found = 0;
    for (int i = 0; i < n && i < 64; i++)
        found += family[i] == nursery;
    crewtest_check(worker > 1 && nursery > 1 && nursery != getpid() && found == 1,
                   "worker %d has parent %d", (int)worker, (int)nursery);
    kill(nursery, SIGKILL);
}

static void check_error(const char *what, int rc, const crew_error *err, double from) {
    crewtest_check(rc == CREW_EBROKEN, "%s: %d (%s)", what, rc, err->text);
    crewtest_check(strchr(err->text, ' '), "%s: '%s' is no sentence", what, err->text);
    crewtest_check(crewtest_now() - from < 5, "%s took %g s", what, crewtest_now() - from);
}

/* Everything asked of a broken pool is refused at once. */
static void check_broken(crew_pool *p) {
    crew_error err;
    int64_t n = -1;
    double from = crewtest_now();
    int rc = crew_pool_map(p, pid_and_wait, NULL, 0, 5, NULL, 0, NULL, &err);
    check_error("a map after it", rc, &err, from);
    crewtest_check(!crew_submit(p, pid_and_wait, &n, sizeof n, NULL, &err), "submit was taken");
    check_error("a submit after it", err.code, &err, from);
    rc = crew_pool_each(p, pid_and_wait, &n, sizeof n, &err);
    check_error("each after it", rc, &err, from);
    from = crewtest_now();
    crew_pool_free(p);
    crewtest_check(crewtest_now() - from < 5, "freeing took %g s", crewtest_now() - from);
}

/* Other pools are none the worse where each has its own nursery. */
static int finish(void) {
    if (strcmp(crewtest_backend(), "fork") == 0) {
        crew_error err;
        crewtest_set(CELL_GATE, 1);
        crew_pool *p = open_here();
        int rc = crew_pool_map(p, pid_and_wait, NULL, 0, 5, NULL, 0, NULL, &err);
        crewtest_check(rc == 0, "a new pool: %s", err.text);
        crew_pool_free(p);
    }
    return crew_finalize();
}

static int in_a_map(void) {
    crew_error err;
    crew_pool *p = open_here();
    crew_job *job = crew_map_async(p, pid_and_wait, NULL, 0, 10, NULL, 0, NULL, &err);
    crewtest_check(job && crewtest_reached(CELL_STARTED, 2, 20), "the map has not begun");
    double from = crewtest_now();
    kill_nursery();
    int rc = crew_job_get(job, 10, &err);
    check_error("the map", rc, &err, from);
    crew_job_free(job);
    check_broken(p);
    return finish();
}

static int with_futures(void) {
    crew_error err;
    crew_future *f[10];
    int64_t n = 1;
    crew_pool *p = open_here();
    for (int i = 0; i < 10; i++)
        f[i] = crew_submit(p, pid_and_wait, &n, sizeof n, NULL, &err);
    crewtest_check(crewtest_reached(CELL_STARTED, 2, 20), "no task has begun");
    double from = crewtest_now();
    kill_nursery();
    for (int i = 0; i < 10; i++) {
        int rc = crew_future_result(f[i], NULL, 0, 10, &err);
        check_error("a future", rc, &err, from);
        crew_future_free(f[i]);
    }
    check_broken(p);
    return finish();
}

static int in_a_stream(void) {
    crew_error err;
    crew_pool *p = open_here();
    crew_iter *it = crew_imap(p, pid_and_wait, crew_source_range(0, 1000, 1), 0, NULL, &err);
    crewtest_check(it, "%s", err.text);
    crew_next(it, NULL, NULL, 0, NULL); /* at the latest now it has begun */
    crewtest_check(crewtest_reached(CELL_STARTED, 2, 20), "the stream has not begun");
    double from = crewtest_now();
    kill_nursery();
    int rc = crew_next(it, NULL, NULL, 10, &err);
    check_error("the stream", rc, &err, from);
    crew_iter_free(it);
    check_broken(p);
    return finish();
}

static int while_idle(void) {
    crew_error err;
    int64_t n = -1;
    crew_pool *p = open_here();
    int rc = crew_pool_each(p, pid_and_wait, &n, sizeof n, &err);
    crewtest_check(rc == 0, "%s", err.text);
    pid_t nursery = crewtest_parent((pid_t)crewtest_get(CELL_WORKER));
    kill_nursery();
    double limit = crewtest_now() + 10;
    while (crewtest_state(nursery) && crewtest_state(nursery) != 'Z') {
        crewtest_check(crewtest_now() < limit, "the nursery lives on");
        crewtest_pause();
    }
    check_broken(p);
    return finish();
}

static const struct scene {
    const char *name;
    int (*run)(void);
} scenes[] = {
    {"in_a_map", in_a_map},
    {"with_futures", with_futures},
    {"in_a_stream", in_a_stream},
    {"while_idle", while_idle},
};

static void nursery_killed__in_every_kind_of_work__calls_end_broken(void **state) {
    (void)state;
    int before = crewtest_family(NULL, 0);
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        print_message("%s\n", scenes[i].name);
        for (int cell = 0; cell < CELL_ITEM; cell++)
            crewtest_set(cell, 0);
        int status = crewtest_helper_run(scenes[i].name, NULL, 30, NULL);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        CREWTEST_WAIT(crewtest_family(NULL, 0) <= before, 2);
    }
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    for (size_t i = 0; argc > 1 && i < sizeof scenes / sizeof *scenes; i++)
        if (strcmp(argv[1], scenes[i].name) == 0)
            return scenes[i].run();
    if (!crewtest_has(CREWTEST_PROCESSES))
        return crewtest_skip_all();
    const struct CMUnitTest tests[] = {
        CREWTEST(nursery_killed__in_every_kind_of_work__calls_end_broken),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
