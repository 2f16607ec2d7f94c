/* fault/signals_test.c - what the program handles passes by its workers, whatever
 * moment it comes at; what it does not handle ends them. Programs are helpers in
 * a process group of their own. */
#include "crewtest.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CELL_HANDLED = CELL_COUNT, CELL_ASTRAY, CELL_END, CELL_MASK, COUNT = 12 };

static pid_t program;

static void handler(int number) {
    (void)number;
    crewtest_add(getpid() == program ? CELL_HANDLED : CELL_ASTRAY, 1);
}

static void handle(const int *signals) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    program = getpid();
    for (; *signals; signals++)
        sigaction(*signals, &action, NULL);
}

static const int handled[] = {SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGINT, SIGTSTP, 0};

static int map_gated(void) {
    int64_t in[COUNT], out[COUNT];
    crew_error err;
    crew_pool *p = crewtest_open_here(2);
    for (int i = 0; i < COUNT; i++)
        in[i] = CELL_GATE;
    int rc = crew_map(p, crewtest_gated_task, in, COUNT, out, NULL, &err);
    crewtest_check(rc == 0, "%s", err.text);
    crew_pool_free(p);
    return crew_finalize();
}

/* The handlers are there before crew_init, or only when the pool opens. */
static void pass_by(const char *mode) {
    int before = crewtest_family(NULL, 0);
    for (int cell = 0; cell < CELL_WORKER; cell++)
        crewtest_set(cell, 0);
    pid_t pid = crewtest_helper(mode, NULL, NULL);
    CREWTEST_WAIT(crewtest_get(CELL_STARTED) >= 2, 20);
    for (int round = 0; round < 20; round++)
        for (const int *s = handled; *s; s++) {
            int64_t n = crewtest_get(CELL_HANDLED);
            kill(-pid, *s);
            CREWTEST_WAIT(crewtest_get(CELL_HANDLED) > n, 5);
        }
    crewtest_set(CELL_GATE, 1);
    int status = crewtest_helper_wait(pid, 20);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(crewtest_get(CELL_STARTED), COUNT); /* nothing ran twice */
    assert_int_equal(crewtest_get(CELL_ASTRAY), 0);
    CREWTEST_WAIT(crewtest_family(NULL, 0) <= before, 2);
}

static void signals__that_the_program_handles__pass_by_its_workers(void **state) {
    (void)state;
    pass_by("handles");
    pass_by("handles_later");
}

static int nothing(crew_call *call) {
    (void)call;
    return 0;
}

/* Signals come without pause while pools open and end: no handler of the
 * program's runs in a process of the library's, and none of those dies. */
static int opens_many(void) {
    crew_error err;
    program = getpid();
    crewtest_set(CELL_STARTED, 1);
    for (int i = 0; i < 30 || crewtest_get(CELL_HANDLED) < 1000; i++) {
        crew_pool *p = crewtest_open_here(2);
        int rc = crew_pool_map(p, nothing, NULL, 0, COUNT, NULL, 0, NULL, &err);
        crewtest_check(rc == 0, "%s", err.text);
        crew_pool_free(p);
    }
    crewtest_set(CELL_END, 1);
    return crew_finalize();
}

static void signals__while_pools_open__reach_the_program_alone(void **state) {
    static const int some[] = {SIGINT, SIGTERM, SIGUSR1};
    (void)state;
    crewtest_may_take(120);
    int before = crewtest_family(NULL, 0);
    pid_t pid = crewtest_helper("opens_many", NULL, NULL);
    CREWTEST_WAIT(crewtest_get(CELL_STARTED) == 1, 20);
    for (int i = 0; !crewtest_get(CELL_END) && crewtest_state(pid) != 'Z'; i++) {
        kill(-pid, some[i % 3]);
        crewtest_pause();
    }
    int status = crewtest_helper_wait(pid, 20);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(crewtest_get(CELL_ASTRAY), 0);
    CREWTEST_WAIT(crewtest_family(NULL, 0) <= before, 2);
}

/* A worker whose program does nothing about it dies of SIGTERM as any process. */
static int dies_of_term(crew_call *call) {
    (void)call;
    raise(SIGTERM);
    return crew_fail(call, 1, "still there");
}

static void signals__that_nobody_handles__end_the_worker(void **state) {
    crew_error err;
    (void)state;
    signal(SIGTERM, SIG_DFL);
    crew_pool *p = crewtest_open(1);
    assert_code(crew_apply(p, dies_of_term, NULL, 0, NULL, 0, &err), CREW_EDIED, &err);
    assert_int_equal(err.signal, SIGTERM);
    crewtest_free(p);
}

/* What a worker lets through, and what a program lets through that it starts. */
static int masks(crew_call *call) {
    char line[256];
    int blocked = 0;
    FILE *f = popen("grep -h SigBlk /proc/self/status /proc/$PPID/status", "r");
    while (f && fgets(line, sizeof line, f)) {
        blocked += strtoull(line + strlen("SigBlk:"), NULL, 16) != 0;
        crewtest_add(CELL_MASK, 1);
    }
    if (f)
        pclose(f);
    return blocked ? crew_fail(call, 1, "signals are blocked") : 0;
}

static void signals__blocked_in_the_program__are_not_in_workers(void **state) {
    crew_error err;
    sigset_t all, before;
    (void)state;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    crew_pool *p = crewtest_open(1);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert_ok(crew_apply(p, masks, NULL, 0, NULL, 0, &err), &err);
    assert_int_equal(crewtest_get(CELL_MASK), 2);
    crewtest_free(p);
}

/* A spawned worker's main runs up to crew_init: what it finds there. */
static void look_at_mask(void) {
    sigset_t now;
    if (!getenv("CREW_SPAWNED_AS"))
        return;
    sigprocmask(SIG_SETMASK, NULL, &now);
    int blocked = 0;
    for (int s = 1; s < 32; s++)
        blocked += sigismember(&now, s) == 1;
    fprintf(stdout, "blocked %d\n", blocked);
    fflush(stdout);
}

static int says_mask(void) {
    crew_pool_free(crewtest_open_here(2));
    return crew_finalize();
}

static void spawned_program__before_crew_init__lets_signals_through(void **state) {
    char *text;
    (void)state;
    if (strcmp(crewtest_backend(), "spawn") != 0)
        skip();
    int status = crewtest_helper_run("says_mask", NULL, 20, &text);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_text(text, "blocked 0\n");
    assert_null(strstr(text, "blocked 1"));
    free(text);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "says_mask") == 0)
        look_at_mask();
    bool later = argc > 1 && strcmp(argv[1], "handles_later") == 0;
    if (argc > 1 && strcmp(argv[1], "says_mask") != 0 && getenv("CREW_SPAWNED_AS") == NULL) {
        /* the cells are there only after crewtest_begin: handlers wait for it */
        sigset_t some;
        sigemptyset(&some);
        for (const int *s = handled; *s; s++)
            sigaddset(&some, *s);
        sigprocmask(SIG_BLOCK, &some, NULL);
        if (!later)
            handle(handled);
    }
    crewtest_begin(&argc, &argv);
    if (argc > 1) {
        sigset_t none;
        sigemptyset(&none);
        if (later)
            handle(handled);
        sigprocmask(SIG_SETMASK, &none, NULL);
        return strncmp(argv[1], "handles", 7) == 0  ? map_gated()
               : strcmp(argv[1], "opens_many") == 0 ? opens_many()
                                                    : says_mask();
    }
    if (!crewtest_has(CREWTEST_PROCESSES))
        return crewtest_skip_all();
    const struct CMUnitTest tests[] = {
        CREWTEST(signals__that_the_program_handles__pass_by_its_workers),
        CREWTEST(signals__while_pools_open__reach_the_program_alone),
        CREWTEST(signals__that_nobody_handles__end_the_worker),
        CREWTEST(signals__blocked_in_the_program__are_not_in_workers),
        CREWTEST(spawned_program__before_crew_init__lets_signals_through),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
