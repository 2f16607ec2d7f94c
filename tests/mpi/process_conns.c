/* mpi/process_conns.c - ends of pipes that are given to processes on other nodes. Three
 * nodes, see tests/mpi/under; with its node such a process is lost in mpi/remote_lost.c. */
#include "remote.h"

#include "share/share.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

enum { NODES = 3, CELL_BUSY = CELL_VICTIM + 1, LONG = 24 << 20 };

static crew_process start(crew_fn *fn, const void *arg, size_t size, int node,
                          const crew_conn *conns, int nconns) {
    const crew_process_opts opts = {.node = node, .conns = conns, .nconns = nconns};
    crew_process p;
    crew_error err;
    assert_ok(crew_process_start(&p, fn, arg, size, &opts, &err), &err);
    return p;
}

static void expect_code(crew_process p, int wanted) {
    int code = -1000;
    assert_int_equal(crew_process_wait(p, SOON, &code), 0);
    assert_int_equal(code, wanted);
    assert_int_equal(crew_process_close(p), 0);
}

static void make_pipe(crew_conn *mine, crew_conn *its) {
    assert_int_equal(crew_pipe_create(mine, its, true), 0);
}

/* The starter's way with an end that it has given away. */
static void forget(crew_conn its) {
    assert_int_equal(crew_conn_close(its), 0);
}

static void expect_end_of_file(crew_conn mine) {
    char buf[8];
    double from = crewtest_now();
    assert_int_equal(crew_conn_recv(mine, buf, sizeof buf, SOON), CREW_ECLOSED);
    assert_within(from, 10);
    assert_int_equal(crew_conn_send(mine, "x", 1, 0), CREW_ECLOSED);
}

/* ---- functions of processes ---------------------------------------------- */

/* Its argument is the end that it was given: messages of any size come back, until
 * end-of-file. */
static int echo(crew_call *call) {
    crew_conn c = *CREW_IN(call, crew_conn);
    for (;;) {
        void *data;
        ptrdiff_t size = crew_conn_recv_alloc(c, &data, SOON);
        if (size == CREW_ECLOSED)
            return 7;
        WANT(size >= 0, 1);
        TRY(crew_conn_send(c, data, (size_t)size, SOON));
        free(data);
    }
}

/* Does nothing with it for as long as the gate is closed. */
static int echo_later(crew_call *call) {
    crewtest_add(CELL_STARTED, 1);
    while (crewtest_get(CELL_GATE) == 0)
        crewtest_pause();
    return echo(call);
}

/* Closes its end and goes on. */
static int closes(crew_call *call) {
    TRY(crew_conn_send(*CREW_IN(call, crew_conn), "last", 4, SOON));
    TRY(crew_conn_close(*CREW_IN(call, crew_conn)));
    while (crewtest_get(CELL_GATE) == 0)
        crewtest_pause();
    return 8;
}

static int returns(crew_call *call) {
    TRY(crew_conn_send(*CREW_IN(call, crew_conn), "last", 4, SOON));
    return 9;
}

static int at_once(crew_call *call) {
    (void)call;
    return 3;
}

static int hears_nothing(crew_call *call) {
    crew_conn c = *CREW_IN(call, crew_conn), own, other, both[2];
    bool ready[2];
    char buf[8], much[10000] = "";
    double from = crewtest_now();
    WANT(crew_conn_recv(c, buf, sizeof buf, 0), CREW_ETIMEDOUT);
    WANT(crew_conn_recv(c, buf, sizeof buf, 0.05), CREW_ETIMEDOUT);
    WANT(crew_conn_poll(c, 0.05), CREW_ETIMEDOUT);
    WANT(crewtest_now() - from >= 0.1, 1);
    TRY(crew_pipe_create(&own, &other, true));
    both[0] = own;
    both[1] = c;
    WANT(crew_conn_wait(both, 2, ready, 0.05), CREW_ETIMEDOUT);
    from = crewtest_now();
    WANT(crew_conn_wait(&c, 1, ready, 0.05), CREW_ETIMEDOUT);
    WANT(crewtest_now() - from >= 0.05, 1);
    WANT(crew_conn_wait(&c, 1, ready, 0), CREW_ETIMEDOUT);
    int rc;
    while ((rc = crew_conn_send(c, much, sizeof much, 0)) == 0)
        ;
    WANT(rc, CREW_ETIMEDOUT);
    WANT(crew_conn_send(c, much, sizeof much, 0.05), CREW_ETIMEDOUT);
    if (call->node) {
        WANT(crew_conn_fd(c), CREW_ENOTSUP);
        WANT(strstr(crew_last_error()->text, "crew_conn_wait") != NULL, 1);
    }
    crewtest_set(CELL_READY, 1);
    WANT(crew_conn_wait(both, 2, ready, SOON), 1);
    WANT(ready[0] == false && ready[1] == true, 1);
    ready[0] = false;
    WANT(crew_conn_wait(&c, 1, ready, CREW_FOREVER), 1);
    WANT(ready[0], 1);
    WANT(crew_conn_recv(c, buf, 1, 0), CREW_ETOOSMALL);
    WANT(crew_conn_recv(c, buf, sizeof buf, 0), 2);
    WANT(crew_conn_wait(both, 2, ready, SOON), 1); /* end-of-file */
    WANT(crew_conn_recv(c, buf, sizeof buf, 0), CREW_ECLOSED);
    WANT(crew_conn_wait(&c, 1, ready, SOON), 1);
    TRY(crew_conn_close(c));
    WANT(crew_conn_wait(&c, 1, ready, SOON), CREW_EINVAL);
    return 4;
}

static int one_way(crew_call *call) {
    const crew_conn *c = call->in; /* one that receives, one that sends */
    char buf[8];
    WANT(crew_conn_send(c[0], "x", 1, 0), CREW_EPERM);
    WANT(crew_conn_recv(c[1], buf, sizeof buf, 0), CREW_EPERM);
    WANT(crew_conn_recv(c[0], buf, sizeof buf, SOON), 4);
    TRY(crew_conn_send(c[1], buf, 4, SOON));
    return 5;
}

/* What it is doing when it is killed: see CELL_BUSY. */
enum { HAS_IT, RECEIVES, SENDS, SENDS_LONG, STATES };
static int is_killed(crew_call *call) {
    static char buf[LONG];
    crew_conn c = *CREW_IN(call, crew_conn);
    int64_t busy = crewtest_get(CELL_BUSY);
    if (busy != HAS_IT)
        TRY(crew_conn_send(c, "here", 4, SOON));
    crewtest_add(CELL_STARTED, 1);
    if (busy == RECEIVES)
        crew_conn_recv(c, buf, sizeof buf, CREW_FOREVER);
    while (busy == SENDS || busy == SENDS_LONG)
        if (crew_conn_send(c, buf, busy == SENDS ? 4 : sizeof buf, CREW_FOREVER) < 0)
            return 1;
    for (;;)
        pause();
}

/* Node 2's: makes a pipe, gives its other end to the manager, and is the echo. */
struct made {
    crew_queue handles;
};
static int makes(crew_call *call) {
    const struct made *m = call->in;
    crew_conn mine, other;
    char buf[16];
    TRY(crew_pipe_create(&mine, &other, true));
    TRY(crew_queue_put(m->handles, &other, sizeof other, SOON));
    for (int i = 0; i < 5; i++) {
        ptrdiff_t size = crew_conn_recv(mine, buf, sizeof buf, SOON);
        WANT(size > 0, 1);
        TRY(crew_conn_send(mine, buf, (size_t)size, SOON));
    }
    WANT(crew_conn_recv(mine, buf, sizeof buf, SOON), CREW_ECLOSED);
    return 6;
}

static int asks(crew_call *call) {
    crew_conn c = *CREW_IN(call, crew_conn);
    char buf[16];
    for (int i = 0; i < 5; i++) {
        TRY(crew_conn_send(c, "question", 8, SOON));
        WANT(crew_conn_recv(c, buf, sizeof buf, SOON), 8);
    }
    return 5;
}

/* A process of its own, on its node, gets the end that is another node's. */
static int passes_it_on(crew_call *call) {
    crew_conn c = *CREW_IN(call, crew_conn);
    const crew_process_opts opts = {.conns = &c, .nconns = 1};
    crew_process p;
    crew_error err;
    int code = 0;
    if (crew_process_start(&p, echo, &c, sizeof c, &opts, &err) < 0)
        return crew_fail(call, 1, "%s", err.text);
    TRY(crew_conn_close(c));
    TRY(crew_process_wait(p, SOON, &code));
    return code + 1;
}

/* ---- tests --------------------------------------------------------------- */

static void pass_around(crew_conn mine, size_t size) {
    char *sent = malloc(size + 1), *got = malloc(size + 1);
    assert_true(sent && got);
    for (size_t i = 0; i < size; i++)
        sent[i] = (char)(i * 31 + size);
    assert_int_equal(crew_conn_send(mine, sent, size, SOON), 0);
    assert_int_equal(crew_conn_recv(mine, got, size, SOON), size);
    assert_memory_equal(got, sent, size);
    free(sent);
    free(got);
}

static void end__given_to_a_process_of_each_node__is_used_by_the_same_calls(void **state) {
    static const size_t sizes[] = {1, 0, 64, 16384, 16385, 200000, 3 << 20, LONG};
    (void)state;
    for (int node = 0; node < NODES; node++) {
        crew_conn mine, its;
        make_pipe(&mine, &its);
        crew_process p = start(echo, &its, sizeof its, node, &its, 1);
        forget(its);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            pass_around(mine, sizes[i]);
        assert_int_equal(crew_conn_close(mine), 0);
        expect_code(p, 7);
    }
}

static void end__given_and_closed_before_it_is_used__is_the_processs(void **state) {
    (void)state;
    for (int node = 0; node < NODES; node++) {
        crew_conn mine, its;
        crewtest_set(CELL_GATE, 0);
        make_pipe(&mine, &its);
        assert_int_equal(crew_conn_send(mine, "early", 5, 0), 0);
        crew_process p = start(echo_later, &its, sizeof its, node, &its, 1);
        forget(its);
        forget(its);
        crewtest_set(CELL_GATE, 1);
        char buf[8];
        assert_int_equal(crew_conn_recv(mine, buf, sizeof buf, SOON), 5);
        pass_around(mine, 10);
        assert_int_equal(crew_conn_close(mine), 0);
        expect_code(p, 7);
    }
}

static void process__closes_or_returns__the_last_message_and_end_of_file(void **state) {
    (void)state;
    for (int node = 1; node < NODES; node++)
        for (int k = 0; k < 2; k++) {
            crew_conn mine, its;
            char buf[8];
            crewtest_set(CELL_GATE, 0);
            make_pipe(&mine, &its);
            crew_process p = start(k ? returns : closes, &its, sizeof its, node, &its, 1);
            assert_int_equal(crew_conn_recv(mine, buf, sizeof buf, SOON), 4);
            expect_end_of_file(mine);
            assert_int_equal(k == 0 ? crew_process_alive(p) : 1, 1);
            crewtest_set(CELL_GATE, 1);
            expect_code(p, k ? 9 : 8);
            assert_int_equal(crew_conn_close(its), k ? 0 : CREW_EINVAL);
            assert_int_equal(crew_conn_close(mine), 0);
        }
}

/* It may have ended before anybody has looked whether it took them. */
static void process__that_ends_at_once__has_had_its_ends(void **state) {
    (void)state;
    for (int i = 0; i < 12; i++) {
        crew_conn mine, its;
        make_pipe(&mine, &its);
        crew_process p = start(at_once, NULL, 0, i % NODES, &its, 1);
        expect_end_of_file(mine);
        expect_code(p, 3);
        assert_int_equal(crew_conn_close(mine), 0);
        crew_conn_close(its);
    }
}

static void time_limits_and_waits__in_the_process__are_as_at_home(void **state) {
    (void)state;
    for (int node = 0; node < NODES; node++) {
        crew_conn mine, its;
        make_pipe(&mine, &its);
        crewtest_set(CELL_READY, 0);
        crew_process p = start(hears_nothing, &its, sizeof its, node, &its, 1);
        assert_true(crewtest_reached(CELL_READY, 1, SOON));
        assert_int_equal(crew_conn_send(mine, "go", 2, SOON), 0);
        assert_int_equal(crew_conn_close(mine), 0);
        expect_code(p, 4);
    }
}

static void ends__of_one_way_pipes__two_for_one_process(void **state) {
    (void)state;
    for (int node = 0; node < NODES; node++) {
        crew_conn down[2], up[2];
        char buf[8];
        assert_int_equal(crew_pipe_create(&down[0], &down[1], false), 0);
        assert_int_equal(crew_pipe_create(&up[0], &up[1], false), 0);
        const crew_conn its[2] = {down[0], up[1]};
        crew_process p = start(one_way, its, sizeof its, node, its, 2);
        assert_int_equal(crew_conn_send(down[1], "word", 4, SOON), 0);
        assert_int_equal(crew_conn_recv(up[0], buf, sizeof buf, SOON), 4);
        expect_code(p, 5);
        assert_int_equal(crew_conn_recv(up[0], buf, sizeof buf, SOON), CREW_ECLOSED);
        assert_int_equal(crew_conn_close(down[1]), 0);
        assert_int_equal(crew_conn_close(up[0]), 0);
    }
}

/* As Python's test of multiprocessing.connection.wait. */
static void wait__for_processes_of_all_nodes__until_each_has_ended(void **state) {
    enum { MANY = 12, EACH = 5 };
    crew_conn mine[MANY], open[MANY];
    crew_process p[MANY];
    int got[MANY] = {0}, left = MANY;
    (void)state;
    for (int i = 0; i < MANY; i++) {
        crew_conn its;
        make_pipe(&mine[i], &its);
        p[i] = start(echo, &its, sizeof its, i % NODES, &its, 1);
        forget(its);
        assert_int_equal(crew_conn_send(mine[i], &i, sizeof i, SOON), 0);
        open[i] = mine[i];
    }
    while (left) {
        bool ready[MANY];
        assert_true(crew_conn_wait(open, left, ready, SOON) > 0);
        for (int i = left - 1; i >= 0; i--) {
            int which;
            if (!ready[i])
                continue;
            ptrdiff_t n = crew_conn_recv(open[i], &which, sizeof which, 0);
            if (n == CREW_ECLOSED) {
                open[i] = open[--left];
                continue;
            }
            assert_int_equal(n, sizeof which);
            if (++got[which] < EACH)
                assert_int_equal(crew_conn_send(mine[which], &which, sizeof which, SOON), 0);
            else
                assert_int_equal(crew_process_kill(p[which]), 0);
        }
    }
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(got[i], EACH);
        assert_int_equal(crew_conn_close(mine[i]), 0);
        expect_code(p[i], -SIGKILL);
    }
}

static void both_ends__given_to_two_nodes__talk_and_hear_of_a_death(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        crew_conn a, b;
        make_pipe(&a, &b);
        crew_process one = start(echo, &a, sizeof a, 1, &a, 1);
        crew_process two = start(k ? echo : asks, &b, sizeof b, 2, &b, 1);
        forget(a);
        forget(b);
        if (k) /* both wait for the other's message */
            assert_int_equal(crew_process_kill(two), 0);
        expect_code(two, k ? -SIGKILL : 5);
        expect_code(one, 7);
    }
}

static void pipe__of_another_node__its_end_is_given_to_any(void **state) {
    struct made m;
    (void)state;
    assert_int_equal(crew_queue_create(&m.handles, 0, NULL), 0);
    for (int node = 0; node < NODES; node++) {
        crew_conn its;
        crew_process maker = start(makes, &m, sizeof m, 2, NULL, 0);
        assert_int_equal(crew_queue_get(m.handles, &its, sizeof its, SOON), sizeof its);
        expect_code(start(asks, &its, sizeof its, node, &its, 1), 5);
        expect_code(maker, 6);
    }
    assert_int_equal(crew_queue_destroy(m.handles), 0);
}

static void end__given_on_by_the_process__to_one_of_its_own(void **state) {
    crew_conn mine, its;
    (void)state;
    make_pipe(&mine, &its);
    crew_process p = start(passes_it_on, &its, sizeof its, 1, &its, 1);
    pass_around(mine, 40000);
    assert_int_equal(crew_conn_close(mine), 0);
    expect_code(p, 8);
}

/* ---- deaths --------------------------------------------------------------- */

static int deputies_now(void) {
    pid_t pids[256];
    return deputies(pids, 256);
}

static void process__killed_in_any_state__the_far_side_reads_end_of_file(void **state) {
    (void)state;
    int before = deputies_now();
    for (int node = 1; node < NODES; node++)
        for (int busy = 0; busy < STATES; busy++) {
            crew_conn mine, its;
            char buf[8];
            make_pipe(&mine, &its);
            crewtest_set(CELL_BUSY, busy);
            crewtest_set(CELL_STARTED, 0);
            crew_process p = start(is_killed, &its, sizeof its, node, &its, 1);
            forget(its);
            int fd = crew_conn_fd(mine);
            struct pollfd news = {.fd = fd, .events = POLLIN};
            assert_true(fd >= 0);
            assert_true(crewtest_reached(CELL_STARTED, 1, SOON));
            if (busy == SENDS_LONG)
                assert_int_equal(crew_conn_poll(mine, SOON), 0);
            if (busy != HAS_IT)
                assert_int_equal(crew_conn_recv(mine, buf, sizeof buf, SOON), 4);
            assert_int_equal(crew_process_kill(p), 0);
            assert_int_equal(poll(&news, 1, (int)(SOON * 1000)), 1);
            for (ptrdiff_t n = 0; n != CREW_ECLOSED;) {
                void *data = NULL;
                double from = crewtest_now();
                n = crew_conn_recv_alloc(mine, &data, SOON);
                assert_true(n == CREW_ECLOSED || n == 4 || n == LONG); /* whole messages */
                assert_within(from, 10);
                free(data);
            }
            expect_code(p, -SIGKILL);
            assert_int_equal(crew_conn_send(mine, "x", 1, 0), CREW_ECLOSED);
            assert_int_equal(crew_conn_close(mine), 0);
        }
    CREWTEST_WAIT(deputies_now() <= before, 10);
}

/* After a start has failed: what the dead one may have had for a moment is read first. */
static void expect_ours(crew_conn mine, crew_conn its) {
    char buf[8];
    assert_int_equal(crew_conn_send(its, "again", 5, SOON), 0);
    ptrdiff_t n = crew_conn_recv(mine, buf, sizeof buf, SOON);
    if (n == CREW_ECLOSED)
        n = crew_conn_recv(mine, buf, sizeof buf, SOON);
    assert_int_equal(n, 5);
    assert_int_equal(crew_conn_close(its), 0);
    assert_int_equal(crew_conn_close(mine), 0);
}

struct starter {
    pthread_t thread;
    crew_conn its;
    int node, rc;
    crew_process p;
    crew_error err;
};

static void *start_it(void *arg) {
    struct starter *s = arg;
    const crew_process_opts opts = {.node = s->node, .conns = &s->its, .nconns = 1};
    s->rc = crew_process_start(&s->p, echo, &s->its, sizeof s->its, &opts, &s->err);
    return NULL;
}

/* Who forks those that stand for processes of other nodes. */
static pid_t nursery_here(void) {
    const crew_process_opts opts = {.start = CREW_START_SERVER};
    crew_process p;
    crew_error err;
    assert_ok(crew_process_start(&p, echo_later, NULL, 0, &opts, &err), &err);
    pid_t nursery = crewtest_parent(crew_process_pid(p));
    assert_int_equal(crew_process_kill(p), 0);
    expect_code(p, -SIGKILL);
    assert_true(nursery > 1 && nursery != getpid());
    return nursery;
}

static void process__killed_before_it_has_its_end__start_fails_and_says_so(void **state) {
    (void)state;
    crewtest_set(CELL_GATE, 0);
    pid_t nursery = nursery_here();
    int before = deputies_now();
    for (int node = 1; node < NODES; node++) {
        struct starter s = {.node = node};
        crew_conn mine;
        crew_process p;
        make_pipe(&mine, &s.its);
        assert_int_equal(kill(nursery, SIGSTOP), 0);
        CREWTEST_WAIT(crewtest_state(nursery) == 'T', SOON);
        assert_int_equal(pthread_create(&s.thread, NULL, start_it, &s), 0);
        CREWTEST_WAIT(crew_children(&p, 1) == 1, SOON);
        assert_true(crew_process_pid(p) > 0);
        assert_int_equal(crew_process_kill(p), 0);
        assert_int_equal(pthread_join(s.thread, NULL), 0);
        assert_int_equal(kill(nursery, SIGCONT), 0);
        assert_code(s.rc, CREW_EDIED, &s.err);
        assert_text(s.err.text, "signal 9");
        assert_text(s.err.text, "ends of pipes");
        assert_int_equal(crew_children(NULL, 0), 0);
        expect_ours(mine, s.its);
    }
    CREWTEST_WAIT(deputies_now() <= before, 10);
}

struct killer {
    pthread_t thread;
    uint64_t after_ns;
};

/* Kills whatever the manager has started: as soon as it has a handle, or a little later. */
static void *kill_it(void *arg) {
    const struct killer *k = arg;
    crew_process p;
    while (crew_children(&p, 1) == 0)
        crewtest_pause();
    struct timespec t = {.tv_nsec = (long)k->after_ns};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
    crew_process_kill(p);
    return NULL;
}

/* Before it has taken its end, or just then. Either start fails and the end is nobody
 * else's, or it dies with it. */
static void process__killed_while_it_starts__the_end_is_to_be_had_again(void **state) {
    (void)state;
    int failed = 0, rounds = (int)crewtest_many(crewtest_long() ? 300 : 20);
    for (int i = 0; i < rounds; i++) {
        crew_conn mine, its;
        crew_process p;
        crew_error err;
        struct killer k = {.after_ns = crewtest_random() % 16000000};
        make_pipe(&mine, &its);
        assert_int_equal(pthread_create(&k.thread, NULL, kill_it, &k), 0);
        const crew_process_opts opts = {.node = 1 + i % 2, .conns = &its, .nconns = 1};
        int rc = crew_process_start(&p, echo, &its, sizeof its, &opts, &err);
        if (rc == 0) {
            expect_end_of_file(mine);
            expect_code(p, -SIGKILL);
        } else {
            assert_code(rc, CREW_EDIED, &err);
            failed++;
        }
        assert_int_equal(pthread_join(k.thread, NULL), 0);
        assert_int_equal(crew_children(NULL, 0), 0);
        expect_ours(mine, its);
    }
    printf("%d of %d were killed before\n", failed, rounds);
}

static void starts__of_what_cannot_be__are_errors_and_change_nothing(void **state) {
    crew_process p;
    crew_conn a, b;
    crew_error err;
    char buf[8];
    (void)state;
    make_pipe(&a, &b);
    crew_process_opts o = {.node = NODES, .conns = &b, .nconns = 1};
    assert_code(crew_process_start(&p, at_once, NULL, 0, &o, &err), CREW_EINVAL, &err);
    assert_text(err.text, "nodes 0 to 2");
    o = (crew_process_opts){.node = 1, .nconns = 1};
    assert_code(crew_process_start(&p, at_once, NULL, 0, &o, &err), CREW_EINVAL, &err);
    assert_int_equal(crew_conn_send(b, "mine", 4, 0), 0);
    assert_int_equal(crew_conn_recv(a, buf, sizeof buf, 0), 4);
    assert_int_equal(crew_conn_close(b), 0);
    o = (crew_process_opts){.node = 1, .conns = &b, .nconns = 1};
    assert_code(crew_process_start(&p, at_once, NULL, 0, &o, &err), CREW_EINVAL, &err);
    assert_text(err.text, "closed");
    assert_int_equal(crew_conn_close(a), 0);
    assert_code(crew_process_start(&p, at_once, NULL, 0, &o, &err), CREW_EINVAL, &err);
    assert_int_equal(crew_children(NULL, 0), 0);
}

/* Week after week. */
static void processes__come_and_go_with_their_ends__and_leave_nothing(void **state) {
    const struct cw_share *share = cw_share_here();
    enum { KINDS = 3 };
    static const enum cw_kind_of kinds[KINDS] = {CW_PIPE, CW_PROCESS, CW_DESK};
    uint32_t cells[KINDS] = {0};
    (void)state;
    int before = deputies_now(), rounds = (int)crewtest_many(crewtest_long() ? 300 : 16);
    for (int i = 0; i < rounds + 4; i++) {
        crew_conn mine, its;
        make_pipe(&mine, &its);
        crew_process p = start(echo, &its, sizeof its, 1 + i % 2, &its, 1);
        forget(its);
        pass_around(mine, i % 3 ? 100 : 100000);
        assert_int_equal(i % 2 ? crew_process_kill(p) : crew_conn_close(mine), 0);
        expect_code(p, i % 2 ? -SIGKILL : 7);
        if (i % 2) /* or it would read end-of-file, perhaps before it is killed */
            assert_int_equal(crew_conn_close(mine), 0);
        for (int k = 0; i == 3 && k < KINDS; k++)
            cells[k] = cw_cells(share, kinds[k]);
    }
    for (int k = 0; k < KINDS; k++)
        assert_in_range(cw_cells(share, kinds[k]), 1, cells[k] + 8);
    CREWTEST_WAIT(deputies_now() <= before, 10);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(end__given_to_a_process_of_each_node__is_used_by_the_same_calls),
        CREWTEST(end__given_and_closed_before_it_is_used__is_the_processs),
        CREWTEST(process__closes_or_returns__the_last_message_and_end_of_file),
        CREWTEST(process__that_ends_at_once__has_had_its_ends),
        CREWTEST(time_limits_and_waits__in_the_process__are_as_at_home),
        CREWTEST(ends__of_one_way_pipes__two_for_one_process),
        CREWTEST(wait__for_processes_of_all_nodes__until_each_has_ended),
        CREWTEST(both_ends__given_to_two_nodes__talk_and_hear_of_a_death),
        CREWTEST(pipe__of_another_node__its_end_is_given_to_any),
        CREWTEST(end__given_on_by_the_process__to_one_of_its_own),
        CREWTEST(process__killed_in_any_state__the_far_side_reads_end_of_file),
        CREWTEST(process__killed_before_it_has_its_end__start_fails_and_says_so),
        CREWTEST(process__killed_while_it_starts__the_end_is_to_be_had_again),
        CREWTEST(starts__of_what_cannot_be__are_errors_and_change_nothing),
        CREWTEST(processes__come_and_go_with_their_ends__and_leave_nothing)};
    return crewtest_end(cmocka_run_group_tests(tests, remote_setup, NULL));
}
