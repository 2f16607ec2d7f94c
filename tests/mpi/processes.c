/* mpi/processes.c - processes that the manager starts on other nodes. Three nodes, see
 * tests/mpi/under. That one is lost with its node: mpi/lost.c. With ends of pipes:
 * mpi/process_conns.c. */
#include "crewtest.h"

#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NODES = 3, CELL_PID = CELL_COUNT, CELL_NODE };
static const double SOON = 20;

static crew_process start(crew_fn *fn, const void *arg, size_t size, int node) {
    const crew_process_opts opts = {.node = node};
    crew_process p;
    crew_error err;
    assert_ok(crew_process_start(&p, fn, arg, size, &opts, &err), &err);
    return p;
}

static int code_of(crew_process p) {
    int code = -1000;
    assert_int_equal(crew_process_wait(p, SOON, &code), 0);
    assert_int_equal(crew_process_close(p), 0);
    return code;
}

/* ---- functions of processes ---------------------------------------------- */

struct given {
    int node, code;
    size_t size;
    unsigned char bytes[];
};

static int looks_around(crew_call *call) {
    const struct given *g = call->in;
    crewtest_set(CELL_PID, getpid());
    if (call->node != g->node || call->worker != -1 || call->in_size != sizeof *g + g->size)
        return 100;
    for (size_t i = 0; i < g->size; i++)
        if (g->bytes[i] != (unsigned char)(i * 7 + g->size))
            return 101;
    return g->code;
}

static int sleeps(crew_call *call) {
    (void)call;
    crewtest_set(CELL_PID, getpid());
    crewtest_add(CELL_STARTED, 1);
    while (crewtest_get(CELL_GATE) == 0) /* which nobody opens */
        pause();
    return 0;
}

static int ends_somehow(crew_call *call) {
    switch (*(const int *)call->in) {
    case 0:
        exit(3);
    case 1:
        return crew_fail(call, 5, "it is meant to");
    case 2:
        raise(SIGKILL);
        break;
    default:
        raise(SIGTERM);
    }
    return 99;
}

/* Who has forked it, and would tell of its end. */
static int kills_its_nursery(crew_call *call) {
    (void)call;
    kill(getppid(), SIGKILL);
    while (crewtest_get(CELL_GATE) == 0) /* it goes, too */
        pause();
    return 0;
}

static int twice(crew_call *call) {
    return *(const int *)call->in * 2;
}

struct talk {
    crew_conn conn;
    crew_queue queue;
};

/* Everything that comes down the pipe goes into the queue; then it ends. */
static int passes_on(crew_call *call) {
    const struct talk *t = call->in;
    ptrdiff_t n;
    char text[64];
    while ((n = crew_conn_recv(t->conn, text, sizeof text, SOON)) > 0)
        if (crew_queue_put(t->queue, text, (size_t)n, SOON) < 0)
            return 96;
    return n == 0 ? 4 : 95;
}

static int says_node(crew_call *call) {
    crewtest_set(CELL_NODE, call->node + 1000);
    return 0;
}

/* Of a process or worker on `call->node`: what it starts is there, too. */
static int starts_one(crew_call *call) {
    crew_process p;
    crew_error err;
    int code;
    crew_process_opts opts = {.node = *(const int *)call->in};
    int rc = crew_process_start(&p, says_node, NULL, 0, &opts, &err);
    if (rc == 0 && (rc = crew_process_wait(p, SOON, &code)) == 0)
        crew_process_close(p);
    if (rc == CREW_ENOTSUP && !strstr(err.text, "its own node"))
        return 98;
    /* Without isolation the program itself is a worker, too; it asks for node 7. */
    if (rc == CREW_EINVAL && call->node == 0 && strcmp(crewtest_backend(), "aboard") == 0)
        rc = CREW_ENOTSUP;
    rc = rc == 0 ? 1 : rc == CREW_ENOTSUP ? 2 : 97;
    return call->out_size ? crew_task_result(call, &rc, sizeof rc) : rc;
}

/* ---- tests --------------------------------------------------------------- */

static void process__on_each_node__has_its_argument_and_gives_its_code(void **state) {
    static const size_t sizes[] = {0, 1000, 40 << 20};
    (void)state;
    for (int node = 0; node < NODES; node++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            size_t size = sizes[k];
            struct given *g = malloc(sizeof *g + size);
            assert_non_null(g);
            *g = (struct given){.node = node, .code = 10 * node + (int)k, .size = size};
            for (size_t i = 0; i < size; i++)
                g->bytes[i] = (unsigned char)(i * 7 + size);
            crew_process p = start(looks_around, g, sizeof *g + size, node);
            free(g); /* it was copied */
            int code, pid = crew_process_pid(p);
            assert_int_equal(crew_process_join(p, SOON), 0);
            assert_int_equal(crew_process_exitcode(p, &code), 0);
            assert_int_equal(code, 10 * node + (int)k);
            assert_true(pid > 0);
            assert_int_equal(crewtest_get(CELL_PID), pid);
            assert_int_equal(crew_process_alive(p), 0);
            assert_int_equal(crew_process_kill(p), 0);
            assert_int_equal(crew_process_close(p), 0);
            assert_int_equal(crew_process_join(p, 0), CREW_EINVAL);
        }
}

static void process__that_runs__is_told_and_ends_by_a_signal(void **state) {
    (void)state;
    for (int node = 1; node < NODES; node++)
        for (int kill = 0; kill < 2; kill++) {
            crew_process p = start(sleeps, NULL, 0, node), child = {0};
            int code, before = (int)crewtest_get(CELL_STARTED);
            assert_int_equal(crew_process_alive(p), 1);
            assert_int_equal(crew_process_exitcode(p, &code), CREW_EAGAIN);
            assert_int_equal(crew_process_close(p), CREW_EAGAIN);
            assert_int_equal(crew_process_join(p, 0.01), CREW_ETIMEDOUT);
            assert_text(crew_last_error()->text, "node ");
            assert_int_equal(crew_children(&child, 1), 1);
            assert_int_equal(child.place, p.place);
            assert_string_equal(crew_process_name(p), crew_process_name(child));
            if (before == 0)
                assert_true(crewtest_reached(CELL_STARTED, 1, SOON));
            /* else perhaps before it is there */
            assert_int_equal(kill ? crew_process_kill(p) : crew_process_terminate(p), 0);
            assert_int_equal(crew_process_wait(p, SOON, NULL), CREW_EDIED);
            assert_text(crew_last_error()->text, kill ? "signal 9" : "signal 15");
            assert_int_equal(code_of(p), kill ? -SIGKILL : -SIGTERM);
            assert_int_equal(crew_children(NULL, 0), 0);
        }
}

static bool readable(int fd, int ms) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) == 1 && (p.revents & POLLIN);
}

static void descriptor__of_one_far_away__is_readable_once_it_has_ended(void **state) {
    (void)state;
    crew_process p = start(sleeps, NULL, 0, 1);
    int first = crew_process_fd(p), second = crew_process_fd(p);
    assert_true(first > 2 && second > 2 && first != second);
    assert_true(crewtest_reached(CELL_STARTED, 1, SOON));
    assert_false(readable(first, 0));
    close(second);
    assert_int_equal(crew_process_kill(p), 0);
    assert_true(readable(first, (int)(SOON * 1000)));
    assert_int_equal(crew_process_alive(p), 0);
    close(first);
    first = crew_process_fd(p);
    assert_true(readable(first, 0));
    close(first);
    assert_int_equal(code_of(p), -SIGKILL);
}

/* Whoever looks after a process for a week asks for one now and then. */
static void descriptors__asked_for_and_closed__leave_none_behind(void **state) {
    (void)state;
    crew_process p = start(sleeps, NULL, 0, 1);
    int kept = crew_process_fd(p), before = crewtest_descriptors();
    assert_true(kept > 2);
    for (int i = 0; i < 300; i++) {
        int fd = crew_process_fd(p);
        assert_true(fd > 2);
        assert_int_equal(close(fd), 0);
    }
    assert_in_range(crewtest_descriptors(), 1, before + 4);
    assert_false(readable(kept, 0));
    assert_int_equal(crew_process_kill(p), 0);
    assert_true(readable(kept, (int)(SOON * 1000)));
    close(kept);
    assert_int_equal(code_of(p), -SIGKILL);
}

static void *kill_the_child(void *unused) {
    crew_process p;
    (void)unused;
    while (crew_children(&p, 1) == 0)
        ;
    crew_process_kill(p);
    return NULL;
}

/* Its argument is still being copied then. */
static void process__killed_before_it_is_sent_for__ends_all_the_same(void **state) {
    enum { LONG = 60 << 20 };
    char *argument = calloc(1, LONG);
    pthread_t killer;
    (void)state;
    assert_non_null(argument);
    for (int node = 1; node < NODES; node++) {
        assert_int_equal(pthread_create(&killer, NULL, kill_the_child, NULL), 0);
        crew_process p = start(sleeps, argument, LONG, node);
        assert_int_equal(pthread_join(killer, NULL), 0);
        assert_int_equal(code_of(p), -SIGKILL);
    }
    free(argument);
}

static void process__that_ends_in_other_ways__gives_its_code_or_signal(void **state) {
    static const int codes[] = {3, 5, -SIGKILL, -SIGTERM};
    (void)state;
    for (int how = 0; how < 4; how++)
        assert_int_equal(code_of(start(ends_somehow, &how, sizeof how, 1 + how % 2)), codes[how]);
}

static void processes__many_over_all_nodes__each_gives_its_own_code(void **state) {
    enum { MANY = 90 };
    crew_process p[MANY];
    (void)state;
    for (int i = 0; i < MANY; i++)
        p[i] = start(twice, &i, sizeof i, i % NODES);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(code_of(p[i]), 2 * i);
}

static void process__that_starts_one__has_it_on_its_own_node(void **state) {
    int here = 0, other = 2, own = 1, out[12];
    crew_error err;
    (void)state;
    assert_int_equal(code_of(start(starts_one, &here, sizeof here, 1)), 1);
    assert_int_equal(crewtest_get(CELL_NODE), 1001);
    crewtest_set(CELL_NODE, 0);
    assert_int_equal(code_of(start(starts_one, &own, sizeof own, 1)), 1);
    assert_int_equal(crewtest_get(CELL_NODE), 1001);
    assert_int_equal(code_of(start(starts_one, &other, sizeof other, 1)), 2);
    crew_pool *p = crewtest_open(3);
    int items[12];
    for (int i = 0; i < 12; i++)
        items[i] = 7;
    assert_ok(crew_map(p, starts_one, items, 12, out, NULL, &err), &err);
    for (int i = 0; i < 12; i++)
        assert_int_equal(out[i], 2);
    crewtest_free(p);
}

static void process__given_objects_in_its_argument__talks_through_them(void **state) {
    crew_conn far;
    struct talk t;
    char text[64];
    (void)state;
    assert_int_equal(crew_pipe_create(&far, &t.conn, true), 0);
    assert_int_equal(crew_queue_create(&t.queue, 0, NULL), 0);
    crew_process p = start(passes_on, &t, sizeof t, 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(crew_conn_send(far, "across", 7, SOON), 0);
        assert_int_equal(crew_queue_get(t.queue, text, sizeof text, SOON), 7);
        assert_string_equal(text, "across");
    }
    assert_int_equal(crew_conn_send(far, NULL, 0, SOON), 0);
    assert_int_equal(code_of(p), 4);
    crew_conn_close(far);
    crew_queue_destroy(t.queue);
}

static void start__of_what_cannot_be__is_an_error_in_a_sentence(void **state) {
    crew_process p;
    crew_error err;
    int i = 0;
    (void)state;
    crew_process_opts o = {.node = NODES};
    assert_code(crew_process_start(&p, twice, &i, sizeof i, &o, &err), CREW_EINVAL, &err);
    assert_text(err.text, "nodes 0 to 2");
    o.node = -1;
    assert_code(crew_process_start(&p, twice, &i, sizeof i, &o, &err), CREW_EINVAL, &err);
    o = (crew_process_opts){.node = 1, .start = CREW_START_FORK};
    assert_code(crew_process_start(&p, twice, &i, sizeof i, &o, &err), CREW_ENOTSUP, &err);
    assert_text(err.text, "CREW_START_SERVER");
    o = (crew_process_opts){.node = 1, .name = "named"};
    assert_ok(crew_process_start(&p, twice, &i, sizeof i, &o, &err), &err);
    assert_string_equal(crew_process_name(p), "named");
    assert_int_equal(code_of(p), 0);
}

/* ---- what another node does not have -------------------------------------- */

static crew_fn *only_here;

/* A library of the manager's alone. */
static void load_it_at_home(void) {
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    rank = rank ? rank : getenv("PMI_RANK");
    void *library = rank && atoi(rank) == 0 ? dlopen(CREW_TEST_PLUGIN, RTLD_NOW) : NULL;
    if (library)
        *(void **)&only_here = dlsym(library, "plugin_square_task");
}

static void function__that_a_node_has_not__is_named_as_the_reason(void **state) {
    (void)state;
    int item = 3, code = 0;
    crew_process p;
    crew_error err;
    crew_conn a, b;
    assert_non_null(only_here);
    p = start(only_here, &item, sizeof item, 1);
    assert_int_equal(crew_process_join(p, SOON), 0);
    assert_int_equal(crew_process_exitcode(p, &code), CREW_EBROKEN);
    assert_text(crew_last_error()->text, "its function is not in the program there");
    assert_int_equal(crew_process_close(p), 0);
    assert_int_equal(crew_pipe_create(&a, &b, true), 0);
    const crew_process_opts opts = {.node = 1, .conns = &b, .nconns = 1};
    int rc = crew_process_start(&p, only_here, &item, sizeof item, &opts, &err);
    assert_code(rc, CREW_EDIED, &err);
    assert_text(err.text, "its function is not in the program there");
    assert_int_equal(crew_conn_close(b), 0);
    assert_int_equal(crew_conn_close(a), 0);
}

/* The last test: nothing can be started there any more. */
static void nursery__of_another_node_killed__its_processes_end_and_none_starts(void **state) {
    (void)state;
    int i = 1, code;
    crew_process p = start(sleeps, NULL, 0, 2);
    assert_true(crewtest_reached(CELL_STARTED, 1, SOON));
    crew_process killer = start(kills_its_nursery, NULL, 0, 2);
    assert_int_equal(code_of(killer), -SIGKILL);
    assert_int_equal(code_of(p), -SIGKILL);
    p = start(twice, &i, sizeof i, 2);
    assert_int_equal(crew_process_join(p, SOON), 0);
    assert_int_equal(crew_process_exitcode(p, &code), CREW_EBROKEN);
    assert_text(crew_last_error()->text, "not started on its node");
    assert_int_equal(crew_process_close(p), 0);
    assert_int_equal(code_of(start(twice, &i, sizeof i, 1)), 2);
}

int main(int argc, char **argv) {
    load_it_at_home();
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(process__on_each_node__has_its_argument_and_gives_its_code),
        CREWTEST(process__that_runs__is_told_and_ends_by_a_signal),
        CREWTEST(descriptor__of_one_far_away__is_readable_once_it_has_ended),
        CREWTEST(descriptors__asked_for_and_closed__leave_none_behind),
        CREWTEST(process__killed_before_it_is_sent_for__ends_all_the_same),
        CREWTEST(process__that_ends_in_other_ways__gives_its_code_or_signal),
        CREWTEST(processes__many_over_all_nodes__each_gives_its_own_code),
        CREWTEST(process__that_starts_one__has_it_on_its_own_node),
        CREWTEST(process__given_objects_in_its_argument__talks_through_them),
        CREWTEST(start__of_what_cannot_be__is_an_error_in_a_sentence),
        CREWTEST(function__that_a_node_has_not__is_named_as_the_reason),
        CREWTEST(nursery__of_another_node_killed__its_processes_end_and_none_starts)};
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
