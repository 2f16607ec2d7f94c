/* mpi/pools.c - pools over several nodes that begin and end, in order and not: a node that is
 * slow, hangs, refuses or breaks holds up nothing else, and nothing is left there. */
#include "crewtest.h"

#include "beside.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NODES = 3, WORKERS = 6, THERE = 1, CELL_SLOW = CELL_GATE + 3, CELL_DEAD = 24 };
static const double SOON = 20;

static int waits_there(crew_call *call) {
    return call->node == THERE ? crewtest_pass(call, CELL_SLOW) : 0;
}

/* For ever, and deaf. */
static int hangs_there(crew_call *call) {
    if (call->node == THERE)
        crewtest_add(CELL_STARTED, 1);
    while (call->node == THERE)
        crewtest_pause();
    return 0;
}

static int hangs_there_and_fails_here(crew_call *call) {
    if (call->node == 0 && !crewtest_reached(CELL_STARTED, 1, SOON))
        return crew_fail(call, 8, "nobody has begun there");
    return call->node == 0 ? crew_fail(call, 7, "not here") : hangs_there(call);
}

static int refuses_there(crew_call *call) {
    return call->node == THERE ? crew_fail(call, 7, "not there") : 0;
}

static int where(crew_call *call) {
    return crew_task_result(call, &call->node, sizeof call->node);
}

/* The first on that node takes its nursery along, which is none of it that could be replaced. */
static int kills_its_nursery(crew_call *call) {
    if (call->node == THERE && crewtest_add(CELL_DEAD, 1) == 0)
        kill(getppid(), SIGKILL);
    int code = crewtest_pass(call, CELL_DEAD);
    return code ? code : crew_task_result(call, &call->index, sizeof call->index);
}

/* ---- what a rank has ------------------------------------------------------ */

/* In kB. */
static long memory_of(pid_t pid) {
    char path[64], line[256];
    long size = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "RssAnon: %ld", &size) == 1)
            break;
    if (file)
        fclose(file);
    return size;
}

static int children_of(pid_t rank) {
    pid_t family[256];
    int count = crewtest_family(family, 256), n = 0;
    for (int i = 0; i < count && i < 256; i++)
        for (pid_t up = crewtest_parent(family[i]); up > 1; up = crewtest_parent(up))
            if (up == rank) {
                n++;
                break;
            }
    return n;
}

/* Seconds of a core. */
static double used_by(pid_t pid) {
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[n] = 0;
    const char *rest = strrchr(text, ')');
    assert_non_null(rest);
    assert_int_equal(
        sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* ---- cases ---------------------------------------------------------------- */

struct opening {
    crew_pool_opts opts;
    crew_pool *pool;
    crew_error err;
};

static void *opens(void *arg) {
    struct opening *o = arg;
    o->pool = crew_pool_open(&o->opts, &o->err);
    return NULL;
}

static void opening__slow_on_a_node__holds_up_no_other_pool(void **state) {
    struct opening slow = {.opts = crewtest_opts(WORKERS)};
    pthread_t thread;
    (void)state;
    slow.opts.init = waits_there;
    crew_pool *first = crewtest_open(WORKERS);
    assert_int_equal(pthread_create(&thread, NULL, opens, &slow), 0);
    for (int i = 0; i < 3; i++) {
        double from = crewtest_now();
        crew_pool *p = crewtest_open(WORKERS);
        assert_usable(p);
        crewtest_free(p);
        assert_within(from, SOON);
    }
    crewtest_free(first);
    crewtest_set(CELL_SLOW, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_ok(slow.pool ? 0 : slow.err.code, &slow.err);
    assert_usable(slow.pool);
    crew_pool_free(slow.pool);
}

static void opening__hung_on_a_node__ends_when_another_fails(void **state) {
    crew_pool_opts opts = crewtest_opts(WORKERS);
    crew_error err;
    (void)state;
    opts.init = hangs_there_and_fails_here;
    double from = crewtest_now();
    assert_null(crew_pool_open(&opts, &err));
    assert_within(from, SOON);
    assert_int_equal(err.code, CREW_EFAILED);
    assert_text(err.text, "not here");
    crew_pool *p = crewtest_open(WORKERS);
    assert_usable(p);
    crewtest_free(p);
}

static void opening__refused_by_a_node__leaves_nothing_there(void **state) {
    enum { TIMES = 40, SIZE = 1 << 20 };
    char *argument = calloc(1, SIZE);
    crew_pool_opts opts = crewtest_opts(WORKERS);
    crew_error err;
    pid_t there = beside_pid_of_rank(THERE);
    long before = 0;
    (void)state;
    assert_non_null(argument);
    opts.init = refuses_there;
    opts.init_arg = argument;
    opts.init_size = SIZE;
    for (int i = 0; i < TIMES; i++) {
        assert_null(crew_pool_open(&opts, &err));
        assert_int_equal(err.code, CREW_EFAILED);
        assert_int_equal(err.node, THERE);
        assert_text(err.text, "not there");
        before = i == 2 ? memory_of(there) : before;
    }
    free(argument);
    assert_true(before > 0);
#ifndef CREWTEST_SANITIZED /* its allocator keeps what is freed */
    CREWTEST_WAIT(memory_of(there) < before + TIMES * SIZE / 1024 / 3, SOON);
#endif
}

static void closing__hung_on_a_node__is_ended_when_the_pool_is_freed(void **state) {
    crew_pool_opts opts = crewtest_opts(WORKERS);
    crew_error err;
    (void)state;
    opts.fini = hangs_there;
    crew_pool *p = crewtest_open_opts(&opts);
    crew_pool *other = crewtest_open(WORKERS);
    crew_pool_close(p);
    assert_code(crew_pool_join(p, 0.2, &err), CREW_ETIMEDOUT, &err);
    assert_true(crewtest_reached(CELL_STARTED, 1, SOON));
    assert_usable(other);
    double from = crewtest_now();
    crewtest_free(p);
    assert_within(from, SOON);
    assert_usable(other);
    crewtest_free(other);
}

/* More than the others can begin waits, and nothing of it is offered to that node. */
static void check_idle(crew_pool *p, pid_t there) {
    static const int64_t gates[WORKERS] = {CELL_GATE + 5, CELL_GATE + 5, CELL_GATE + 5,
                                           CELL_GATE + 5, CELL_GATE + 5, CELL_GATE + 5};
    crew_error err;
    crewtest_set(CELL_STARTED, 0);
    crew_job *job =
        crew_map_async(p, crewtest_gated_task, gates, sizeof *gates, WORKERS, NULL, 0, NULL, &err);
    assert_non_null(job);
    assert_true(crewtest_reached(CELL_STARTED, WORKERS / NODES * (NODES - 1), SOON));
    double used = used_by(there);
    for (double end = crewtest_now() + 1; crewtest_now() < end;)
        crewtest_pause();
    assert_true(used_by(there) - used < 0.2);
    crewtest_set(CELL_GATE + 5, 1);
    assert_ok(crew_job_get(job, SOON, &err), &err);
    crew_job_free(job);
}

static void nursery__killed_on_a_node__leaves_the_work_to_the_others(void **state) {
    static int64_t out[600];
    static int nodes[600];
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(WORKERS);
    pid_t there = beside_pid_of_rank(THERE);
    assert_ok(crew_map_index(p, kills_its_nursery, 600, out, NULL, &err), &err);
    for (int64_t i = 0; i < 600; i++)
        assert_int_equal(out[i], i);
    check_idle(p, there);
    CREWTEST_WAIT(children_of(there) == 0, SOON);
    assert_ok(crew_map_index(p, where, 600, nodes, NULL, &err), &err);
    for (int i = 0; i < 600; i++)
        assert_int_not_equal(nodes[i], THERE);
    for (int i = 0; i < 30; i++) {
        int node = -1;
        crew_future *f = crew_submit(p, where, NULL, 0, NULL, &err);
        assert_non_null(f);
        assert_ok(crew_future_result(f, &node, sizeof node, SOON, &err), &err);
        crew_future_free(f);
        assert_int_not_equal(node, THERE);
    }
    crewtest_free(p);
    /* Nor have later pools workers there. */
    p = crewtest_open(WORKERS);
    assert_int_equal(crew_pool_workers(p), WORKERS);
    assert_ok(crew_map_index(p, where, 600, nodes, NULL, &err), &err);
    for (int i = 0; i < 600; i++)
        assert_int_not_equal(nodes[i], THERE);
    crewtest_free(p);
}

/* One after another, used or not, ended in every way: what nodes keep does not grow. */
static void pools__one_after_another__leave_nothing_on_any_node(void **state) {
    const int times = crewtest_long() ? 5000 : 60;
    long before[NODES] = {0};
    crew_error err;
    (void)state;
    if (crewtest_long())
        crewtest_may_take(900);
    for (int i = 0; i < times; i++) {
        crew_pool *p = crewtest_open(WORKERS);
        if (i % 2)
            assert_usable(p);
        if (i % 3 == 0) {
            crew_pool_close(p);
            assert_ok(crew_pool_join(p, SOON, &err), &err);
        }
        crewtest_free(p);
        for (int node = 0; i == times / 2 && node < NODES; node++)
            before[node] = memory_of(beside_pid_of_rank(node));
    }
    for (int node = 0; node < NODES; node++) {
        assert_true(before[node] > 0);
#ifndef CREWTEST_SANITIZED
        assert_in_range(memory_of(beside_pid_of_rank(node)), 0, before[node] + 1000);
#endif
    }
}

int main(int argc, char **argv) {
    beside_sign();
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(opening__slow_on_a_node__holds_up_no_other_pool),
        CREWTEST(opening__hung_on_a_node__ends_when_another_fails),
        CREWTEST(opening__refused_by_a_node__leaves_nothing_there),
        CREWTEST(closing__hung_on_a_node__is_ended_when_the_pool_is_freed),
        CREWTEST(pools__one_after_another__leave_nothing_on_any_node),
        CREWTEST(nursery__killed_on_a_node__leaves_the_work_to_the_others), /* and is no more */
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
