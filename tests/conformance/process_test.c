/* conformance/process_test.c - processes of one's own, in each start mode: under
 * the backends serial, threads and fork CREW_START_FORK, under server and spawn
 * those. */
#include "crewtest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CELL_RAN = CELL_OWN, CELL_PID, CELL_SEEN };

static crew_process_opts opts(void) {
    crew_process_opts o = {0};
    if (strcmp(crewtest_backend(), "server") == 0)
        o.start = CREW_START_SERVER;
    if (strcmp(crewtest_backend(), "spawn") == 0)
        o.start = CREW_START_SPAWN;
    return o;
}

static crew_process start(crew_fn *fn, const void *arg, size_t size, const crew_process_opts *o) {
    crew_process_opts plain = opts();
    crew_process p;
    crew_error err;
    assert_ok(crew_process_start(&p, fn, arg, size, o ? o : &plain, &err), &err);
    return p;
}

static int code_of(crew_process p) {
    int code = -1000;
    assert_int_equal(crew_process_join(p, 30), 0);
    if (crew_process_exitcode(p, &code) != 0)
        fail_msg("exit code: %s", crew_last_error()->text);
    return code;
}

static void end(crew_process p) {
    assert_int_equal(crew_process_join(p, 30), 0);
    assert_int_equal(crew_process_close(p), 0);
}

/* ---- what is run, and how it ends ---- */

struct many {
    int64_t n;
    char text[100000];
};

static int look(crew_call *call) {
    const struct many *m = CREW_IN(call, struct many);
    if (call->in_size != sizeof *m || m->n != 42 || strspn(m->text, "x") != sizeof m->text - 1)
        return 9;
    if (call->worker != -1 || call->attempt != 1 || call->index != 0 || crew_cancelled(call) ||
        crew_this_call() != call)
        return 8;
    crewtest_set(CELL_PID, getpid());
    crewtest_add(CELL_RAN, 1);
    return 7;
}

static void process__argument_and_code__travel(void **state) {
    static struct many m = {.n = 42};
    (void)state;
    crewtest_need_fork();
    memset(m.text, 'x', sizeof m.text - 1);
    crewtest_set(CELL_RAN, 0);
    crew_process p = start(look, &m, sizeof m, NULL);
    m.n = 0; /* it was copied */
    assert_int_equal(code_of(p), 7);
    m.n = 42;
    assert_int_equal(crewtest_get(CELL_RAN), 1);
    assert_true(crewtest_get(CELL_PID) > 0 && crewtest_get(CELL_PID) != getpid());
    assert_int_equal(crew_process_pid(p), crewtest_get(CELL_PID));
    assert_int_equal(crew_process_alive(p), 0);
    assert_int_equal(crew_process_close(p), 0);
}

static int with_code(crew_call *call) {
    return *CREW_IN(call, int);
}
static int exits(crew_call *call) {
    exit(*CREW_IN(call, int));
}
static int dies(crew_call *call) {
    raise(*CREW_IN(call, int));
    return 0;
}
static int ends_thread(crew_call *call) {
    (void)call;
    pthread_exit(NULL);
}
static int fails(crew_call *call) {
    return crew_fail(call, 5, "not today");
}

static void process__each_end__has_its_code(void **state) {
    const struct {
        crew_fn *fn;
        int arg, code;
    } ends[] = {{with_code, 0, 0}, {with_code, 255, 255}, {with_code, 256, 1}, {with_code, -3, 1},
                {exits, 3, 3},     {exits, 0, 0},         {dies, SIGKILL, -SIGKILL},
                {dies, SIGTERM, -SIGTERM}, {fails, 0, 5},      {ends_thread, 0, 0}};
    (void)state;
    crewtest_need_fork();
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        crew_process p = start(ends[i].fn, &ends[i].arg, sizeof ends[i].arg, NULL);
        assert_int_equal(code_of(p), ends[i].code);
        assert_int_equal(crew_process_close(p), 0);
    }
}

static int wait_for_gate(crew_call *call) {
    crewtest_add(CELL_STARTED, 1);
    return crewtest_pass(call, CELL_GATE);
}

static void process__while_it_runs__is_alive_and_has_no_code(void **state) {
    int code;
    (void)state;
    crewtest_need_fork();
    crewtest_set(CELL_GATE, 0);
    crew_process p = start(wait_for_gate, NULL, 0, NULL);
    assert_int_equal(crew_process_alive(p), 1);
    assert_int_equal(crew_process_join(p, 0), CREW_ETIMEDOUT);
    double from = crewtest_now();
    assert_int_equal(crew_process_join(p, 0.05), CREW_ETIMEDOUT);
    assert_true(crewtest_now() - from >= 0.049);
    assert_int_equal(crew_process_exitcode(p, &code), CREW_EAGAIN);
    assert_int_equal(crew_process_close(p), CREW_EAGAIN);
    assert_text(crew_last_error()->text, "still runs");
    crewtest_set(CELL_GATE, 1);
    assert_int_equal(code_of(p), 0);
    assert_int_equal(crew_process_close(p), 0);
    assert_int_equal(crew_process_close(p), CREW_EINVAL);
    assert_int_equal(crew_process_join(p, 0), CREW_EINVAL);
    assert_int_equal(crew_process_alive(p), CREW_EINVAL);
    assert_null(crew_process_name(p));
}

static void process__terminated_or_killed__has_the_signal_as_code(void **state) {
    (void)state;
    crewtest_need_fork();
    crewtest_set(CELL_GATE, 0);
    crewtest_set(CELL_STARTED, 0);
    for (int i = 0; i < 2; i++) {
        crew_process p = start(wait_for_gate, NULL, 0, NULL);
        assert_true(crewtest_reached(CELL_STARTED, i + 1, 20));
        assert_int_equal(i ? crew_process_kill(p) : crew_process_terminate(p), 0);
        assert_int_equal(code_of(p), i ? -SIGKILL : -SIGTERM);
        assert_int_equal(crew_process_kill(p), 0); /* too late, and no error */
        assert_int_equal(crew_process_close(p), 0);
    }
}

static void pass_by(int signal) {
    (void)signal;
}

/* Before its first instruction: no handler of the program's may be in the way. */
static void process__terminated_at_once_by_a_program_with_a_handler__ends(void **state) {
    void (*const handlers[])(int) = {pass_by, SIG_IGN};
    (void)state;
    crewtest_need_fork();
    crewtest_set(CELL_GATE, 0);
    for (int i = 0; i < 20; i++) {
        void (*before)(int) = signal(SIGTERM, handlers[i % 2]);
        crew_process p = start(wait_for_gate, NULL, 0, NULL);
        assert_int_equal(crew_process_terminate(p), 0);
        signal(SIGTERM, before);
        assert_int_equal(crew_process_join(p, 20), 0);
        assert_int_equal(code_of(p), -SIGTERM);
        assert_int_equal(crew_process_close(p), 0);
    }
}

static void process__descriptor__polls_readable_at_the_end(void **state) {
    (void)state;
    crewtest_need_fork();
    crewtest_set(CELL_GATE, 0);
    crew_process p = start(wait_for_gate, NULL, 0, NULL);
    struct pollfd fd = {.fd = crew_process_fd(p), .events = POLLIN};
    assert_true(fd.fd > 2);
    assert_int_equal(poll(&fd, 1, 0), 0);
    crewtest_set(CELL_GATE, 1);
    assert_int_equal(poll(&fd, 1, 20000), 1);
    close(fd.fd);
    assert_int_equal(crew_process_join(p, 20), 0);
    fd.fd = crew_process_fd(p);
    assert_int_equal(poll(&fd, 1, 0), 1);
    close(fd.fd);
    end(p);
}

static void process__names__are_given_or_made(void **state) {
    crew_process_opts o = opts();
    (void)state;
    crewtest_need_fork();
    o.name = "a name of its own";
    crew_process p = start(with_code, &(int){0}, sizeof(int), &o);
    assert_string_equal(crew_process_name(p), "a name of its own");
    end(p);
    p = start(with_code, &(int){0}, sizeof(int), NULL);
    assert_int_equal(strncmp(crew_process_name(p), "process-", 8), 0);
    end(p);
    crew_process self = crew_self();
    assert_string_equal(crew_process_name(self), "main");
    assert_int_equal(crew_process_pid(self), getpid());
    assert_int_equal(crew_process_alive(self), 1);
    assert_int_equal(crew_process_join(self, 0), CREW_EINVAL);
    assert_int_equal(crew_process_close(self), CREW_EAGAIN);
}

static int tell_descriptors(crew_call *call) {
    crewtest_set(CELL_SEEN, crewtest_descriptors());
    return crewtest_get(CELL_SEEN) > 0 ? crewtest_pass(call, CELL_GATE) : 1;
}

static void process__descriptors__do_not_grow_with_processes_before_it(void **state) {
    enum { MANY = 20 };
    crew_process p[MANY];
    int64_t first = 0;
    (void)state;
    crewtest_need_fork();
    crewtest_set(CELL_GATE, 0);
    int here = crewtest_descriptors();
    for (int i = 0; i < MANY; i++) {
        crewtest_set(CELL_SEEN, 0);
        p[i] = start(tell_descriptors, NULL, 0, NULL);
        CREWTEST_WAIT(crewtest_get(CELL_SEEN) > 0, 20);
        first = first ? first : crewtest_get(CELL_SEEN);
        assert_int_equal(crewtest_get(CELL_SEEN), first);
    }
    assert_int_equal(crewtest_descriptors(), here);
    crewtest_set(CELL_GATE, 1);
    for (int i = 0; i < MANY; i++)
        end(p[i]);
}

static int look_at_parent(crew_call *call) {
    const crew_process *p = CREW_IN(call, crew_process);
    crew_process parent = crew_parent(), self = crew_self();
    if (parent.place != p->place || parent.check != p->check)
        return 2;
    if (crew_process_alive(parent) != 1 || strcmp(crew_process_name(parent), "main") != 0)
        return 3;
    if (crew_process_pid(self) != getpid() || strncmp(crew_process_name(self), "process-", 8) != 0)
        return 4;
    return crew_children(NULL, 0);
}

static void process__parent_and_self__are_known(void **state) {
    (void)state;
    crewtest_need_fork();
    crew_process self = crew_self();
    assert_int_equal(crew_parent().place, 0);
    crew_process p = start(look_at_parent, &self, sizeof self, NULL);
    assert_int_equal(code_of(p), 0);
    assert_int_equal(crew_process_close(p), 0);
}

/* Output that cannot be flushed keeps nobody from starting or ending. */
/* What the library opens gets their numbers, if it does not see to that. */
static void process__standard_descriptors_closed__runs_all_the_same(void **state) {
    int kept[3];
    crew_process p[3];
    (void)state;
    crewtest_need_fork();
    fflush(stdout);
    for (int closed = 0; closed < 3; closed++) { /* 0; 0 and 1; all three */
        kept[closed] = fcntl(closed, F_DUPFD_CLOEXEC, 10);
        close(closed);
        crew_process_opts plain = opts();
        if (crew_process_start(&p[closed], with_code, &closed, sizeof closed, &plain, NULL) != 0)
            p[closed] = (crew_process){0};
    }
    for (int i = 0; i < 3; i++) {
        dup2(kept[i], i);
        close(kept[i]);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(code_of(p[i]), i);
        assert_int_equal(crew_process_close(p[i]), 0);
    }
}

static void process__standard_output_closed__runs_all_the_same(void **state) {
    (void)state;
    crewtest_need_fork();
    fflush(stdout);
    int kept = dup(1), full = open("/dev/full", O_WRONLY);
    dup2(full, 1);
    printf("this has no room");
    crew_process p = start(with_code, &(int){4}, sizeof(int), NULL);
    close(1);
    crew_process q = start(with_code, &(int){5}, sizeof(int), NULL);
    dup2(kept, 1);
    close(kept);
    close(full);
    clearerr(stdout);
    assert_int_equal(code_of(p), 4);
    assert_int_equal(code_of(q), 5);
    assert_int_equal(crew_process_close(p), 0);
    assert_int_equal(crew_process_close(q), 0);
}

/* ---- ends of pipes ---- */

/* It has used its end never: all the same its death is end-of-file. */
static void process__killed_with_an_end_of_a_pipe__is_end_of_file(void **state) {
    crew_conn ours, its;
    char byte;
    (void)state;
    crewtest_need_fork();
    crewtest_set(CELL_GATE, 0);
    assert_int_equal(crew_pipe_create(&ours, &its, true), 0);
    crew_process_opts o = opts();
    o.conns = &its;
    o.nconns = 1;
    crew_process p = start(wait_for_gate, NULL, 0, &o);
    assert_int_equal(crew_conn_recv(ours, &byte, 1, 0), CREW_ETIMEDOUT);
    assert_int_equal(crew_process_kill(p), 0);
    assert_int_equal(crew_conn_recv(ours, &byte, 1, 20), CREW_ECLOSED);
    assert_int_equal(code_of(p), -SIGKILL);
    assert_int_equal(crew_process_close(p), 0);
    assert_int_equal(crew_conn_close(ours), 0);
}

static void process__stale_end_of_a_pipe__is_refused(void **state) {
    crew_conn a, b;
    crew_process p;
    crew_error err;
    (void)state;
    assert_int_equal(crew_pipe_create(&a, &b, false), 0);
    assert_int_equal(crew_conn_close(a), 0);
    assert_int_equal(crew_conn_close(b), 0);
    crew_process_opts o = opts();
    o.conns = &a;
    o.nconns = 1;
    assert_code(crew_process_start(&p, wait_for_gate, NULL, 0, &o, &err), CREW_EINVAL, &err);
}

/* ---- many, and families ---- */

static int pass_lock(crew_call *call) {
    crew_lock l = *CREW_IN(call, crew_lock);
    crewtest_add(CELL_STARTED, 1);
    return crew_lock_acquire(l, CREW_FOREVER) == 0 && crew_lock_release(l) == 0 ? 0 : 1;
}

static void process__hundreds_at_once__all_end(void **state) {
    enum { MANY = 500 };
    static crew_process p[MANY];
    crew_lock l;
    int many = strcmp(crewtest_backend(), "spawn") ? (int)crewtest_many(MANY) : 50;
    (void)state;
    crewtest_need_fork();
    crewtest_may_take(120);
    crewtest_set(CELL_STARTED, 0);
    assert_int_equal(crew_lock_create(&l), 0);
    assert_int_equal(crew_lock_acquire(l, 0), 0);
    for (int i = 0; i < many; i++)
        p[i] = start(pass_lock, &l, sizeof l, NULL);
    assert_true(crewtest_reached(CELL_STARTED, many, 60));
    assert_int_equal(crew_children(NULL, 0), many);
    crew_process some[3];
    assert_int_equal(crew_children(some, 3), many);
    assert_int_equal(crew_process_alive(some[2]), 1);
    assert_int_equal(crew_lock_release(l), 0);
    for (int i = 0; i < many; i++) {
        assert_int_equal(code_of(p[i]), 0);
        assert_int_equal(crew_process_close(p[i]), 0);
    }
    assert_int_equal(crew_children(NULL, 0), 0);
    assert_int_equal(crew_lock_destroy(l), 0);
}

static int with_child(crew_call *call) {
    int depth = *CREW_IN(call, int);
    crewtest_add(CELL_RAN, 1);
    if (depth == 0)
        return 0;
    depth--;
    crew_process p;
    crew_error err;
    if (crew_process_start(&p, with_child, &depth, sizeof depth, NULL, &err) < 0)
        return crew_fail(call, 2, "%s", err.text);
    if (depth % 2) /* left to the end of this process, which waits for it */
        return 0;
    int code = -1;
    if (crew_process_join(p, 30) != 0 || crew_process_exitcode(p, &code) != 0 || code != 0)
        return crew_fail(call, 3, "child: %d, %s", code, crew_last_error()->text);
    return crew_process_close(p) == 0 ? 0 : 4;
}

static void process__children_of_children__are_waited_for(void **state) {
    int depth = 5;
    (void)state;
    crewtest_need_fork();
    crewtest_set(CELL_RAN, 0);
    crew_process p = start(with_child, &depth, sizeof depth, NULL);
    assert_int_equal(code_of(p), 0);
    assert_int_equal(crewtest_get(CELL_RAN), 6);
    assert_int_equal(crew_process_close(p), 0);
}

static int exits_with_child(crew_call *call) {
    crew_process p;
    crew_error err;
    (void)call;
    exit(crew_process_start(&p, wait_for_gate, NULL, 0, NULL, &err) < 0 ? 2 : 3);
}

static void process__that_exits__waits_for_its_children_too(void **state) {
    (void)state;
    crewtest_need_fork();
    crewtest_set(CELL_GATE, 0);
    crewtest_set(CELL_STARTED, 0);
    crew_process p = start(exits_with_child, NULL, 0, NULL);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    assert_int_equal(crew_process_join(p, 0.3), CREW_ETIMEDOUT);
    crewtest_set(CELL_GATE, 1);
    assert_int_equal(code_of(p), 3);
    assert_int_equal(crew_process_close(p), 0);
}

static int too_deep(crew_call *call) {
    crew_process p;
    crew_error err;
    int code;
    int rc = crew_process_start(&p, too_deep, NULL, 0, NULL, &err);
    if (rc < 0)
        return rc == CREW_EINVAL && strstr(err.text, "deep") ? 77 : 1;
    (void)call;
    return crew_process_join(p, 50) || crew_process_exitcode(p, &code) ? 2 : code;
}

static void process__of_itself_for_ever__is_refused_at_some_depth(void **state) {
    (void)state;
    crewtest_need_fork();
    crew_process p = start(too_deep, NULL, 0, NULL);
    assert_int_equal(code_of(p), 77);
    assert_int_equal(crew_process_close(p), 0);
}

static int in_a_task(crew_call *call) {
    int code = 3;
    crew_process p;
    crew_error err;
    if (crew_process_start(&p, with_code, &code, sizeof code, NULL, &err) < 0)
        return crew_fail(call, 1, "%s", err.text);
    if (crew_process_join(p, 30) != 0 || crew_process_exitcode(p, &code) != 0 || code != 3)
        return crew_fail(call, 2, "%d: %s", code, crew_last_error()->text);
    return crew_process_close(p) == 0 ? 0 : 3;
}

static void process__from_workers_of_a_pool__works_too(void **state) {
    crew_error err;
    (void)state;
    crewtest_need_fork();
    crew_pool *p = crewtest_open(2);
    assert_ok(crew_pool_map(p, in_a_task, NULL, 0, 8, NULL, 0, NULL, &err), &err);
    crewtest_free(p);
}

static int count_up(crew_call *call) {
    crew_lock l = *CREW_IN(call, crew_lock);
    for (int i = 0; i < 1000; i++) {
        if (crew_lock_acquire(l, CREW_FOREVER) != 0)
            return 1;
        crewtest_set(CELL_SEEN, crewtest_get(CELL_SEEN) + 1);
        if (crew_lock_release(l) != 0)
            return 2;
    }
    return 0;
}

static void process__lock_as_argument__is_the_same_for_all(void **state) {
    crew_process p[4];
    crew_lock l;
    (void)state;
    crewtest_need_fork();
    crewtest_set(CELL_SEEN, 0);
    assert_int_equal(crew_lock_create(&l), 0);
    for (int i = 0; i < 4; i++)
        p[i] = start(count_up, &l, sizeof l, NULL);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(code_of(p[i]), 0);
        assert_int_equal(crew_process_close(p[i]), 0);
    }
    assert_int_equal(crewtest_get(CELL_SEEN), 4000);
    assert_int_equal(crew_lock_destroy(l), 0);
}

static void *start_some(void *arg) {
    (void)arg;
    for (int i = 0; i < 20; i++) {
        crew_process p;
        crew_error err;
        int code = 4;
        crew_process_opts o = opts();
        if (crew_process_start(&p, with_code, &code, sizeof code, &o, &err) < 0 ||
            crew_process_join(p, 30) < 0 || crew_process_exitcode(p, &code) < 0 || code != 4 ||
            crew_process_close(p) < 0)
            return "a process of a thread went wrong";
    }
    return NULL;
}

static void process__from_several_threads__each_has_its_own(void **state) {
    pthread_t threads[4];
    void *wrong;
    (void)state;
    crewtest_need_fork_beside_threads();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, start_some, NULL), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &wrong);
        if (wrong)
            fail_msg("%s", (char *)wrong);
    }
}

static int ends_of_pipe[2];

static int close_pipe(crew_call *call) {
    close(ends_of_pipe[0]);
    close(ends_of_pipe[1]);
    return wait_for_gate(call);
}

/* A pipe(2) that the program has inherited to it: nobody else holds an end. */
static void process__that_closes_a_pipe_it_inherited__was_the_last(void **state) {
    (void)state;
    if (strcmp(crewtest_backend(), "fork") != 0)
        skip(); /* the others inherit none */
    crewtest_set(CELL_GATE, 0);
    assert_int_equal(pipe(ends_of_pipe), 0);
    crew_process p = start(close_pipe, NULL, 0, NULL);
    close(ends_of_pipe[1]);
    struct pollfd end_of_file = {.fd = ends_of_pipe[0], .events = POLLIN};
    assert_int_equal(poll(&end_of_file, 1, 20000), 1);
    assert_int_equal(crew_process_alive(p), 1);
    close(ends_of_pipe[0]);
    crewtest_set(CELL_GATE, 1);
    end(p);
}

static int forks_itself(crew_call *call) {
    int status = 1;
    (void)call;
    pid_t pid = fork();
    if (pid == 0) {
        crew_lock l;
        crew_process p;
        crew_error err;
        alarm(20);
        bool told = crew_lock_create(&l) == CREW_ENOTSUP && crew_self().place == 0 &&
                    crew_process_start(&p, with_code, NULL, 0, NULL, &err) == CREW_ENOTSUP;
        _exit(told ? 0 : 2);
    }
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
}

static void process__that_forks_by_itself__has_a_child_without_objects(void **state) {
    (void)state;
    crewtest_need_fork();
    crew_process p = start(forks_itself, NULL, 0, NULL);
    assert_int_equal(code_of(p), 0);
    end(p);
}

static _Atomic bool enough;

static void *ask_for_self(void *arg) {
    (void)arg;
    while (!enough)
        crew_self();
    return NULL;
}

static int knows_itself(crew_call *call) {
    (void)call;
    return crew_process_pid(crew_self()) == getpid() ? 0 : 1;
}

/* Whatever the others were about when it was forked. */
static void process__forked_beside_busy_threads__knows_itself(void **state) {
    pthread_t threads[2];
    (void)state;
    crewtest_need_fork_beside_threads();
    enough = false;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_for_self, NULL), 0);
    for (int i = 0; i < 60; i++) {
        crew_process p = start(knows_itself, NULL, 0, NULL);
        assert_int_equal(crew_process_join(p, 20), 0);
        assert_int_equal(code_of(p), 0);
        assert_int_equal(crew_process_close(p), 0);
    }
    enough = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

static void process__bad_requests__are_errors_in_a_sentence(void **state) {
    crew_process p, none = {0};
    crew_process_opts o = {.start = 17};
    crew_error err;
    int code;
    (void)state;
    assert_code(crew_process_start(NULL, with_code, NULL, 0, NULL, &err), CREW_EINVAL, &err);
    assert_code(crew_process_start(&p, NULL, NULL, 0, NULL, &err), CREW_EINVAL, &err);
    assert_code(crew_process_start(&p, with_code, NULL, 4, NULL, &err), CREW_EINVAL, &err);
    assert_code(crew_process_start(&p, with_code, NULL, 0, &o, &err), CREW_EINVAL, &err);
    if (crewtest_has(CREWTEST_ONE_NODE)) {
        o = (crew_process_opts){.node = 1};
        assert_code(crew_process_start(&p, with_code, NULL, 0, &o, &err), CREW_ENOTSUP, &err);
    }
    o = (crew_process_opts){.nconns = 1};
    assert_code(crew_process_start(&p, with_code, NULL, 0, &o, &err), CREW_EINVAL, &err);
    assert_int_equal(crew_process_join(none, 0), CREW_EINVAL);
    assert_text(crew_last_error()->text, "empty");
    assert_int_equal(crew_process_exitcode(none, &code), CREW_EINVAL);
    assert_int_equal(crew_children(NULL, 3), CREW_EINVAL);
    assert_int_equal(crew_children(NULL, -1), CREW_EINVAL);
}

/* ---- last at a barrier ---- */

static int note_call(crew_call *call) {
    crewtest_add(CELL_RAN, crew_this_call() == call && call->worker == -1 && call->state &&
                               !call->in && !crew_cancelled(call));
    return call->attempt == 1 ? 0 : crew_fail(call, 1, "the call is none");
}

static int refuse(crew_call *call) {
    return crew_fail(call, 7, "no more %s", "paper");
}

struct pair {
    crew_barrier passed, failed;
};

static int come_last(crew_call *call) {
    const struct pair *b = CREW_IN(call, struct pair);
    if (crew_barrier_wait(b->passed, 30) != 0 || crew_this_call() != call)
        return 8;
    if (crew_barrier_wait(b->failed, 30) != CREW_EFAILED || crew_last_error()->task_code != 7 ||
        !strstr(crew_last_error()->text, "no more paper") || crew_this_call() != call)
        return 9;
    return 0;
}

static void process__last_at_a_barrier__runs_its_action(void **state) {
    struct pair b;
    (void)state;
    crewtest_need_fork();
    crewtest_set(CELL_RAN, 0);
    assert_int_equal(crew_barrier_create(&b.passed, 1, note_call), 0);
    assert_int_equal(crew_barrier_create(&b.failed, 1, refuse), 0);
    crew_process p = start(come_last, &b, sizeof b, NULL);
    assert_int_equal(code_of(p), 0);
    assert_int_equal(crewtest_get(CELL_RAN), 1);
    end(p);
    assert_int_equal(crew_barrier_destroy(b.passed), 0);
    assert_int_equal(crew_barrier_destroy(b.failed), 0);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(process__argument_and_code__travel),
        CREWTEST(process__last_at_a_barrier__runs_its_action),
        CREWTEST(process__each_end__has_its_code),
        CREWTEST(process__while_it_runs__is_alive_and_has_no_code),
        CREWTEST(process__terminated_or_killed__has_the_signal_as_code),
        CREWTEST(process__terminated_at_once_by_a_program_with_a_handler__ends),
        CREWTEST(process__descriptor__polls_readable_at_the_end),
        CREWTEST(process__names__are_given_or_made),
        CREWTEST(process__descriptors__do_not_grow_with_processes_before_it),
        CREWTEST(process__parent_and_self__are_known),
        CREWTEST(process__standard_descriptors_closed__runs_all_the_same),
        CREWTEST(process__standard_output_closed__runs_all_the_same),
        CREWTEST(process__killed_with_an_end_of_a_pipe__is_end_of_file),
        CREWTEST(process__stale_end_of_a_pipe__is_refused),
        CREWTEST(process__hundreds_at_once__all_end),
        CREWTEST(process__children_of_children__are_waited_for),
        CREWTEST(process__that_exits__waits_for_its_children_too),
        CREWTEST(process__of_itself_for_ever__is_refused_at_some_depth),
        CREWTEST(process__from_workers_of_a_pool__works_too),
        CREWTEST(process__lock_as_argument__is_the_same_for_all),
        CREWTEST(process__from_several_threads__each_has_its_own),
        CREWTEST(process__that_closes_a_pipe_it_inherited__was_the_last),
        CREWTEST(process__that_forks_by_itself__has_a_child_without_objects),
        CREWTEST(process__forked_beside_busy_threads__knows_itself),
        CREWTEST(process__bad_requests__are_errors_in_a_sentence),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
