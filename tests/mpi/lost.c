/* mpi/lost.c - workers, ranks and hosts that are lost in the middle of a map.
 *
 * A node that is lost stays lost, so a job is one loss: CREW_TEST_LOSS says of what.
 *
 *     workers       one of each node in its turn: its item runs again, or is named
 *     leader N      the lowest rank of that node, with its node
 *     follower N    another rank of that node
 *     kill, unplug  host h1, by tests/mpi/under
 *
 * Nobody is to blame for an item that was lost with its node, so there are no retries
 * but where one worker of several, or a follower's, dies. */
#include "crewtest.h"

#include "beside.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

enum {
    CELL_DEATHS = CELL_GATE + 9,
    CELL_ENOUGH = CELL_GATE + 10,
    CELL_ON = 24,   /* by node: calls that have begun there */
    NODES = 3,
    RANKS = 2, /* of each node, where ranks are killed */
    WORKERS = 6,
    COUNT = 600
};
static const double SOON = 20; /* the silence after which a node is lost is a few seconds */

static char what[16];
static int which = 1;

static bool loses_the_node(void) {
    return strcmp(what, "follower") != 0;
}

/* ---- tasks --------------------------------------------------------------- */

static int held(crew_call *call) {
    int64_t answer = *CREW_COMMON(call, int64_t) + 3 * call->index;
    crewtest_add(CELL_ON + call->node, 1);
    int code = crewtest_pass(call, CELL_GATE);
    return code ? code : crew_task_result(call, &answer, sizeof answer);
}

/* The first that comes to that node dies there, and all others wait for it. */
static int deadly(crew_call *call) {
    int64_t node = *CREW_COMMON(call, int64_t);
    if (call->node == node && crewtest_add(CELL_DEATHS, 1) == 0)
        kill(getpid(), SIGKILL);
    int code = crewtest_pass(call, CELL_DEATHS);
    return code ? code : crew_task_result(call, &call->index, sizeof call->index);
}

static int where(crew_call *call) {
    return crew_task_result(call, &call->node, sizeof call->node);
}

static int stays(crew_call *call) {
    (void)call;
    crewtest_add(CELL_STARTED, 1);
    while (crewtest_get(CELL_ENOUGH) == 0)
        crewtest_pause();
    return 6;
}

/* ---- processes ----------------------------------------------------------- */

struct processes {
    crew_process on[NODES];
    int fd;
};

static crew_process start_on(int node) {
    const crew_process_opts opts = {.node = node};
    crew_process p;
    crew_error err;
    assert_ok(crew_process_start(&p, stays, NULL, 0, &opts, &err), &err);
    return p;
}

static void start_processes(struct processes *all) {
    for (int node = 0; node < NODES; node++)
        all->on[node] = start_on(node);
    assert_true(crewtest_reached(CELL_STARTED, NODES, SOON));
    all->fd = crew_process_fd(all->on[which]);
    assert_true(all->fd > 0);
}

/* That of the lost node has ended as if killed, the others do their work. */
static void check_processes(const struct processes *all) {
    const crew_process_opts opts = {.node = which};
    crew_process p = all->on[which];
    crew_error err;
    int code = 0;
    if (loses_the_node()) {
        struct pollfd end = {.fd = all->fd, .events = POLLIN};
        assert_int_equal(poll(&end, 1, (int)(SOON * 1000)), 1);
        assert_int_equal(crew_process_wait(p, SOON, NULL), CREW_EDIED);
        assert_text(crew_last_error()->text, "was lost with its node, ");
        assert_int_equal(crew_process_exitcode(p, &code), 0);
        assert_int_equal(code, -SIGKILL);
        assert_code(crew_process_start(&p, stays, NULL, 0, &opts, &err), CREW_EBROKEN, &err);
        assert_text(err.text, "was lost");
    }
    close(all->fd);
    crewtest_set(CELL_ENOUGH, 1);
    for (int node = 0; node < NODES; node++) {
        assert_int_equal(crew_process_wait(all->on[node], SOON, &code), 0);
        assert_int_equal(code, node == which && loses_the_node() ? -SIGKILL : 6);
        assert_int_equal(crew_process_close(all->on[node]), 0);
    }
}

/* ---- losing -------------------------------------------------------------- */

/* Has tests/mpi/under do something to a host. */
static void ask(const char *verb) {
    char done[32];
    snprintf(done, sizeof done, "done.%s", verb);
    FILE *file = beside_open("ask", "w");
    assert_non_null(file);
    fprintf(file, "%s\n", verb);
    assert_int_equal(fclose(file), 0);
    CREWTEST_WAIT(beside_has(done), SOON);
}

static void lose(void) {
    if (strcmp(what, "leader") == 0)
        assert_true(beside_kill_rank(RANKS * which));
    else if (strcmp(what, "follower") == 0)
        assert_true(beside_kill_rank(RANKS * which + 1));
    else
        ask(what);
}

static void check(const int64_t *out, int64_t base) {
    for (int i = 0; i < COUNT; i++)
        if (out[i] != base + 3 * (int64_t)i)
            fail_msg("item %d is %ld", i, (long)out[i]);
}

static void check_the_pool(crew_pool *p) {
    crew_error err;
    crew_stats all;
    int node = -1, nodes[COUNT];
    assert_usable(p);
    assert_int_equal(crew_pool_stats(p, -1, &all), 0);
    assert_true(all.items > 0);
    for (int i = 0; i < 20; i++) {
        crew_future *f = crew_submit(p, where, NULL, 0, NULL, &err);
        assert_non_null(f);
        assert_ok(crew_future_result(f, &node, sizeof node, SOON, &err), &err);
        crew_future_free(f);
        assert_false(loses_the_node() && node == which);
    }
    assert_ok(crew_map_index(p, where, COUNT, nodes, NULL, &err), &err);
    for (int i = 0; i < COUNT; i++)
        assert_false(loses_the_node() && nodes[i] == which);
}

/* What comes back must find nothing that takes what it has to say. */
static void come_back(crew_pool *p, int64_t *out) {
    crew_error err;
    memset(out, 0x55, COUNT * sizeof *out);
    ask("plug");
    for (double end = crewtest_now() + 3; crewtest_now() < end;) {
        int64_t mine[COUNT], base = (int64_t)crewtest_random() % 1000;
        crew_map_opts opts = {.common = &base, .common_size = sizeof base};
        assert_ok(crew_map_index(p, held, COUNT, mine, &opts, &err), &err);
        check(mine, base);
    }
    for (size_t i = 0; i < COUNT * sizeof *out; i++)
        assert_int_equal(((unsigned char *)out)[i], 0x55);
    check_the_pool(p);
}

static void lost__in_a_map__the_rest_goes_on_and_the_result_is_whole(void **state) {
    static int64_t out[COUNT];
    const int64_t base = 100;
    crew_error err;
    (void)state;
    crew_pool_opts opts = crewtest_opts(WORKERS);
    opts.retries = loses_the_node() ? 0 : 1;
    crew_pool *p = crewtest_open_opts(&opts);
    struct processes processes;
    start_processes(&processes);
    const crew_map_opts how = {.common = &base, .common_size = sizeof base};
    crew_job *job =
        crew_map_async(p, held, NULL, 0, COUNT, out, sizeof *out, &how, &err);
    assert_non_null(job);
    for (int node = 0; node < NODES; node++)
        assert_true(crewtest_reached(CELL_ON + node, 1, SOON));
    double from = crewtest_now();
    lose();
    crewtest_set(CELL_GATE, 1);
    assert_ok(crew_job_get(job, SOON, &err), &err);
    assert_within(from, SOON);
    crew_job_free(job);
    check(out, base);
    check_processes(&processes);
    check_the_pool(p);
    if (strcmp(what, "unplug") == 0)
        come_back(p, out);
    crewtest_free(p);
    p = crewtest_open(0);
    check_the_pool(p);
    crewtest_free(p);
}

/* ---- workers ------------------------------------------------------------- */

/* Where it died is said with the host's name; pretended nodes are all of one host. */
static void check_named(int rc, int node, const crew_error *err) {
    struct utsname host;
    char there[32];
    uname(&host);
    snprintf(there, sizeof there, strcmp(host.nodename, "h0") == 0 ? "node h%d" : "node ", node);
    assert_true(rc == CREW_EDIED || rc == CREW_EFAILED);
    assert_int_equal(err->code, rc);
    assert_in_range(err->item, 0, COUNT - 1);
    assert_text(err->text, "deadly was killed by signal 9");
    assert_text(err->text, there);
}

static void worker__killed_on_each_node__is_named_and_its_item_runs_again(void **state) {
    static int64_t out[COUNT];
    crew_error err;
    (void)state;
    for (int retries = 0; retries < 2; retries++) {
        crew_pool_opts opts = crewtest_opts(WORKERS);
        opts.retries = retries;
        crew_pool *p = crewtest_open_opts(&opts);
        for (int64_t node = 0; node < NODES; node++) {
            const crew_map_opts how = {
                .common = &node, .common_size = sizeof node, .on_error = CREW_CONTINUE};
            crewtest_set(CELL_DEATHS, 0);
            int rc = crew_map_index(p, deadly, COUNT, out, &how, &err);
            if (!retries) {
                check_named(rc, (int)node, &err);
                continue;
            }
            assert_ok(rc, &err);
            for (int i = 0; i < COUNT; i++)
                assert_int_equal(out[i], i);
        }
        assert_usable(p);
        crewtest_free(p);
    }
}

int main(int argc, char **argv) {
    beside_sign();
    crewtest_begin(&argc, &argv);
    const char *loss = getenv("CREW_TEST_LOSS");
    sscanf(loss ? loss : "workers", "%15s %d", what, &which);
    const struct CMUnitTest of_workers[] = {
        CREWTEST(worker__killed_on_each_node__is_named_and_its_item_runs_again)};
    const struct CMUnitTest of_nodes[] = {
        CREWTEST(lost__in_a_map__the_rest_goes_on_and_the_result_is_whole)};
    int failed = strcmp(what, "workers") == 0
                     ? cmocka_run_group_tests(of_workers, NULL, NULL)
                     : cmocka_run_group_tests(of_nodes, NULL, NULL);
    /* The end is not held up by a rank that is missing. Of a host the launcher waits for
     * longer: its own daemon is missing there. */
    if (what[0] == 'l' || what[0] == 'f')
        beside_make("struck", 1);
    return crewtest_end(failed);
}
