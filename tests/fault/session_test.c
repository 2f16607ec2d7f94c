/* fault/session_test.c - the beginning and the end of everything: crew_init where
 * no process can be forked or none is needed, in a forked child, and crew_finalize
 * while other threads free pools. */
#include "crewtest.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CELL_FAMILY = CELL_COUNT, CELL_ENDS, CELL_NEVER, COULD_NOT = 77 };

static int plain(crew_call *call) {
    (void)call;
    return 0;
}

static int run_map(crew_pool *p) {
    crew_error err;
    int rc = crew_pool_map(p, plain, NULL, 0, 10, NULL, 0, NULL, &err);
    crewtest_check(rc == 0, "%s", err.text);
    return rc;
}

/* ---- a program that needs no processes --------------------------------------- */

static int counts_processes(void) {
    crew_error err;
    crew_pool *p = crew_pool_open(NULL, &err);
    crewtest_check(p, "%s", err.text);
    run_map(p);
    /* The test itself is one of them. */
    int more = crewtest_family(NULL, 0) - (int)crewtest_get(CELL_FAMILY) - 1;
    crewtest_check(more == 0, "%d processes were started", more);
    crew_pool_free(p);
    return crew_finalize();
}

static void init__for_threads_or_in_series__forks_nothing(void **state) {
    static const char *const backends[][2] = {{"CREW_BACKEND=threads"}, {"CREW_BACKEND=serial"}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        crewtest_set(CELL_FAMILY, crewtest_family(NULL, 0));
        int status = crewtest_helper_run("counts_processes", backends[i], 20, NULL);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

/* ---- a program that may not fork ----------------------------------------------- */

/* From now on fork fails with EAGAIN, as where there are too many processes;
 * threads may be started. */
static bool forbid_forks(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff), /* the exit signal */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SIGCHLD, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int may_not_fork(void) {
    crew_error err;
    crewtest_check(crewtest_init_code() == 0, "crew_init: %s", crew_last_error()->text);
    crew_pool_opts threads = {.backend = CREW_THREADS, .workers = 2};
    crew_pool *p = crew_pool_open(&threads, &err);
    crewtest_check(p, "threads: %s", err.text);
    run_map(p);
    crew_pool_free(p);
    crew_pool_opts processes = crewtest_opts(2);
    for (int i = 0; i < 2; i++) {
        p = crew_pool_open(&processes, &err);
        crewtest_check(!p && err.code == CREW_EAGAIN && err.sys == EAGAIN, "processes: %d %s",
                       err.code, err.text);
        crewtest_check(strstr(err.text, "could not be started"), "'%s'", err.text);
        if (processes.start != CREW_START_FORK)
            crewtest_check(strstr(err.text, "in crew_init"), "'%s'", err.text);
    }
    return crew_finalize();
}

static void init__that_cannot_fork__is_told_to_who_needs_it(void **state) {
    (void)state;
    int status = crewtest_helper_run("may_not_fork", NULL, 20, NULL);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == COULD_NOT)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- a child that the program forks ---------------------------------------------- */

static void fork_child__opens_a_pool__works_in_every_start_mode(void **state) {
    (void)state;
    crewtest_need_fork();
    crew_pool *p = crewtest_open(2);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        crew_error err;
        crew_pool_opts opts = crewtest_opts(2);
        alarm(20);
        crew_pool *own = crew_pool_open(&opts, &err);
        crewtest_check(own, "%s", err.text);
        run_map(own);
        crew_pool_free(own);
        _exit(crew_finalize());
    }
    int status = crewtest_helper_wait(pid, 20);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_usable(p);
    crewtest_free(p);
}

/* ---- ends at the same time -------------------------------------------------------- */

enum { POOLS = 3 };
static crew_pool *pools[POOLS];
static pthread_barrier_t together;

static void *free_all(void *unused) {
    (void)unused;
    pthread_barrier_wait(&together);
    for (int i = 0; i < POOLS; i++)
        crew_pool_free(pools[i]);
    crewtest_add(CELL_ENDS, 1);
    return NULL;
}

static void *finalize(void *unused) {
    (void)unused;
    pthread_barrier_wait(&together);
    int code = crew_finalize();
    crewtest_check(code == 0, "crew_finalize: %d", code);
    crewtest_add(CELL_ENDS, 1);
    return NULL;
}

static int ends_together(void) {
    crew_pool_opts processes = crewtest_opts(1), threads = {.backend = CREW_THREADS, .workers = 2};
    for (int round = 0; round < 20; round++) {
        crew_error err;
        pthread_t thread[4];
        crewtest_check(round == 0 || crew_init(NULL, NULL) == 0, "%s", crew_last_error()->text);
        for (int i = 0; i < POOLS; i++) {
            pools[i] = crew_pool_open(i ? &threads : &processes, &err);
            crewtest_check(pools[i], "%s", err.text);
            run_map(pools[i]);
        }
        pthread_barrier_init(&together, NULL, 4);
        for (int i = 0; i < 4; i++)
            pthread_create(&thread[i], NULL, i < 2 ? free_all : finalize, NULL);
        for (int i = 0; i < 4; i++)
            pthread_join(thread[i], NULL);
        pthread_barrier_destroy(&together);
    }
    return 0;
}

static void finalize__while_others_free_and_finalize__each_ends_once(void **state) {
    (void)state;
    crewtest_may_take(120);
    int before = crewtest_family(NULL, 0);
    int status = crewtest_helper_run("ends_together", NULL, 60, NULL);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(crewtest_get(CELL_ENDS), 80);
    CREWTEST_WAIT(crewtest_family(NULL, 0) <= before, 2);
}

static _Atomic int said;

static void in_callback(void *ctx, crew_future *f) {
    (void)ctx, (void)f;
    said = crew_finalize();
}

static void finalize__in_a_callback__is_refused(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    crew_future *f = crew_apply_async(p, plain, NULL, 0, in_callback, NULL, NULL, &err);
    assert_non_null(f);
    assert_ok(crew_future_result(f, NULL, 0, 20, &err), &err);
    assert_int_equal(said, CREW_EINVAL);
    crew_future_free(f);
    assert_usable(p);
    crewtest_free(p);
}

/* ---- threads that wait for what never comes --------------------------------------- */

static struct objects {
    crew_lock lock;
    crew_rlock rlock;
    crew_sem sem, asleep;
    crew_event event;
    crew_barrier barrier;
    crew_queue queue, full;
    crew_conn a, b;
    crew_dict dict;
} objects;

enum { WAITS = 10 };

static int wait_for_ever(const struct objects *o, int what) {
    char byte = 0;
    switch (what) {
    case 0:
        return crew_lock_acquire(o->lock, CREW_FOREVER);
    case 1:
        return crew_rlock_acquire(o->rlock, CREW_FOREVER);
    case 2:
        return crew_sem_acquire(o->sem, CREW_FOREVER);
    case 3:
        return crew_event_wait(o->event, CREW_FOREVER);
    case 4:
        return crew_barrier_wait(o->barrier, CREW_FOREVER);
    case 5:
        return (int)crew_queue_get(o->queue, &byte, 1, CREW_FOREVER);
    case 6:
        return crew_queue_put(o->full, &byte, 1, CREW_FOREVER);
    case 7:
        return crew_queue_join(o->full, CREW_FOREVER);
    case 8:
        return (int)crew_conn_recv(o->a, &byte, 1, CREW_FOREVER);
    default:
        return (int)crew_dict_get(o->dict, "k", 1, &byte, 1, CREW_FOREVER);
    }
}

static void *waiter(void *what) {
    const struct objects mine = objects; /* the next round has others */
    crew_sem_release(mine.asleep);
    wait_for_ever(&mine, (int)(intptr_t)what);
    return NULL;
}

static bool make_objects(void) {
    return crew_lock_create(&objects.lock) == 0 && crew_rlock_create(&objects.rlock) == 0 &&
           crew_sem_create(&objects.sem, 0, 0) == 0 &&
           crew_sem_create(&objects.asleep, 0, 0) == 0 && crew_event_create(&objects.event) == 0 &&
           crew_barrier_create(&objects.barrier, 2, NULL) == 0 &&
           crew_queue_create(&objects.queue, 0, NULL) == 0 &&
           crew_queue_create(&objects.full, 1, NULL) == 0 &&
           crew_queue_put(objects.full, NULL, 0, 0) == 0 &&
           crew_pipe_create(&objects.a, &objects.b, true) == 0 &&
           crew_dict_create(&objects.dict) == 0 && crew_lock_acquire(objects.lock, 0) == 0 &&
           crew_rlock_acquire(objects.rlock, 0) == 0;
}

/* Twice: what they sleep on is still there when another session is. */
static int finalizes_beside_waiters(void) {
    for (int round = 0; round < 2; round++) {
        pthread_t thread;
        crewtest_check(make_objects(), "%s", crew_last_error()->text);
        for (intptr_t i = 0; i < WAITS; i++)
            if (pthread_create(&thread, NULL, waiter, (void *)i) == 0)
                pthread_detach(thread);
        for (int i = 0; i < WAITS; i++)
            crewtest_check(crew_sem_acquire(objects.asleep, 20) == 0, "not all wait");
        crewtest_reached(CELL_NEVER, 1, 0.1); /* time to fall asleep */
        crewtest_check(crew_finalize() == 0, "finalize");
        crewtest_reached(CELL_NEVER, 1, 1.2); /* each has looked again */
    }
    return 42;
}

static void finalize__beside_threads_that_wait_for_ever__leaves_them_asleep(void **state) {
    (void)state;
    crewtest_set(CELL_NEVER, 0);
    int status = crewtest_helper_run("finalizes_beside_waiters", NULL, 30, NULL);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    if (strcmp(mode, "may_not_fork") == 0 && !forbid_forks())
        return COULD_NOT;
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return strcmp(mode, "may_not_fork") == 0       ? may_not_fork()
               : strcmp(mode, "counts_processes") == 0 ? counts_processes()
               : strcmp(mode, "finalizes_beside_waiters") == 0
                   ? finalizes_beside_waiters()
                   : ends_together();
    const struct CMUnitTest tests[] = {
        CREWTEST(init__for_threads_or_in_series__forks_nothing),
        CREWTEST(init__that_cannot_fork__is_told_to_who_needs_it),
        CREWTEST(fork_child__opens_a_pool__works_in_every_start_mode),
        CREWTEST(finalize__while_others_free_and_finalize__each_ends_once),
        CREWTEST(finalize__in_a_callback__is_refused),
        CREWTEST(finalize__beside_threads_that_wait_for_ever__leaves_them_asleep),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
