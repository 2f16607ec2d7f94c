/* conformance/process_wait_test.c - how a process ended, and why: for its parent, and
 * on standard error. And what starting one costs the others. */
#include "crewtest.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static crew_process_opts opts(const char *name) {
    crew_process_opts o = {.name = name};
    if (strcmp(crewtest_backend(), "server") == 0)
        o.start = CREW_START_SERVER;
    if (strcmp(crewtest_backend(), "spawn") == 0)
        o.start = CREW_START_SPAWN;
    return o;
}

static crew_process start(crew_fn *fn, int arg, const char *name) {
    const crew_process_opts o = opts(name);
    crew_process p = {0};
    crew_error err;
    if (crew_process_start(&p, fn, &arg, sizeof arg, &o, &err) < 0)
        fprintf(stderr, "crew_process_start: %s\n", err.text);
    return p;
}

static int with_code(crew_call *call) {
    return *CREW_IN(call, int);
}
static int dies(crew_call *call) {
    raise(*CREW_IN(call, int));
    return 0;
}
static int stays(crew_call *call) {
    return crewtest_pass(call, *CREW_IN(call, int));
}
static int fails(crew_call *call) {
    return crew_fail(call, 5, "not today");
}
static int returns_what_a_call_said(crew_call *call) {
    const crew_queue none = {0};
    (void)call;
    return crew_queue_put(none, "x", 1, 0);
}

static void process__waited_for__tells_its_code(void **state) {
    int code = -77;
    (void)state;
    crewtest_need_fork();
    crew_process p = start(with_code, 3, NULL);
    assert_int_equal(crew_process_wait(p, 30, &code), 0);
    assert_int_equal(code, 3);
    code = -77;
    assert_int_equal(crew_process_wait(p, 0, &code), 0); /* as often as one likes */
    assert_int_equal(code, 3);
    assert_int_equal(crew_process_close(p), 0);
    assert_int_equal(crew_process_wait(p, 0, &code), CREW_EINVAL);
    p = start(dies, SIGKILL, NULL);
    assert_int_equal(crew_process_wait(p, 30, &code), 0);
    assert_int_equal(code, -SIGKILL);
    assert_int_equal(crew_process_close(p), 0);
}

static void process__waited_for_without_a_code__must_end_well(void **state) {
    (void)state;
    crewtest_need_fork();
    crew_process good = start(with_code, 0, NULL), bad = start(with_code, 9, "the-bad");
    crew_process dead = start(dies, SIGTERM, "the-dead");
    assert_int_equal(crew_process_wait(good, 30, NULL), 0);
    assert_int_equal(crew_last_error()->code, 0);
    assert_int_equal(crew_process_wait(bad, 30, NULL), CREW_EFAILED);
    assert_text(crew_last_error()->text, "the-bad ended with exit code 9");
    assert_int_equal(crew_last_error()->task_code, 9);
    assert_int_equal(crew_process_wait(dead, 30, NULL), CREW_EDIED);
    assert_text(crew_last_error()->text, "the-dead was killed by signal 15");
    assert_int_equal(crew_last_error()->signal, SIGTERM);
    assert_int_equal(crew_process_close(good), 0);
    assert_int_equal(crew_process_close(bad), 0);
    assert_int_equal(crew_process_close(dead), 0);
}

static void process__that_runs__is_waited_for_no_longer_than_asked(void **state) {
    int code = -77;
    (void)state;
    crewtest_need_fork();
    crewtest_set(CELL_GATE, 0);
    crew_process p = start(stays, CELL_GATE, NULL);
    assert_int_equal(crew_process_wait(p, 0, &code), CREW_ETIMEDOUT);
    double from = crewtest_now();
    assert_int_equal(crew_process_wait(p, 0.05, NULL), CREW_ETIMEDOUT);
    assert_true(crewtest_now() - from >= 0.05);
    assert_int_equal(code, -77);
    crewtest_set(CELL_GATE, 1);
    assert_int_equal(crew_process_wait(p, 30, NULL), 0);
    assert_int_equal(crew_process_close(p), 0);
}

/* ---- standard error ---- */

static void say(void) {
    const struct {
        crew_fn *fn;
        int arg;
        const char *name;
    } all[] = {{with_code, 0, "silent"},
               {with_code, 7, "quiet"},
               {fails, 0, "failing"},
               {returns_what_a_call_said, 0, "putting"},
               {with_code, CREW_ENOENT, "plain"},
               {with_code, 4711, "large"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        crew_process p = start(all[i].fn, all[i].arg, all[i].name);
        crew_process_wait(p, 30, &(int){0});
    }
    crew_finalize();
}

static void process__that_fails__says_why_on_standard_error(void **state) {
    char *text, plain[200];
    (void)state;
    crewtest_need_fork();
    int status = crewtest_helper_run("say", NULL, 50, &text);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_null(strstr(text, "silent"));
    assert_null(strstr(text, "quiet")); /* a code is an answer */
    assert_text(text, "failing failed with code 5: not today\n");
    assert_text(text, "putting failed: the handle of the queue is empty\n");
    snprintf(plain, sizeof plain, "plain failed: %s\n", crew_strerror(CREW_ENOENT));
    assert_text(text, plain);
    assert_text(text, "large returned 4711, which is no exit code");
    free(text);
}

/* ---- the others ---- */

static _Atomic bool over, reached, was_in_the_way;
static _Atomic int64_t made;
static char *barred; /* the last page of the argument */
static size_t page;

static void *make_locks(void *unused) {
    (void)unused;
    while (!over) {
        crew_lock l;
        if (crew_lock_create(&l) != 0 || crew_lock_destroy(l) != 0)
            break;
        made++;
    }
    return NULL;
}

/* The copy has come to the barred page: it stays there until a lock was made that was
 * not begun before. */
static void hold_the_copy(int number, siginfo_t *info, void *context) {
    (void)context;
    if ((char *)info->si_addr < barred || (char *)info->si_addr >= barred + page) {
        signal(number, SIG_DFL); /* a fault like any other: it comes again */
        return;
    }
    double from = crewtest_now();
    int64_t seen = made;
    reached = true;
    while (made < seen + 2 && !was_in_the_way) {
        crewtest_pause();
        was_in_the_way = crewtest_now() - from > 20;
    }
    mprotect(barred, page, PROT_READ);
}

static int sum(crew_call *call) {
    const char *in = call->in;
    for (size_t i = 0; i < call->in_size; i++)
        if (in[i] != 1)
            return 1;
    return 0;
}

static void process__whose_argument_is_copied__keeps_nobody_waiting(void **state) {
    enum { SIZE = 1 << 20 };
    const crew_process_opts o = opts(NULL);
    struct sigaction hold = {.sa_sigaction = hold_the_copy, .sa_flags = SA_SIGINFO}, before;
    pthread_t thread;
    crew_process p;
    crew_error err;
    (void)state;
    crewtest_need_fork();
    char *arg = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(arg, MAP_FAILED);
    memset(arg, 1, SIZE);
    page = (size_t)sysconf(_SC_PAGESIZE);
    barred = arg + SIZE - page;
    assert_int_equal(mprotect(barred, page, PROT_NONE), 0);
    over = reached = was_in_the_way = false;
    made = 0;
    assert_int_equal(pthread_create(&thread, NULL, make_locks, NULL), 0);
    CREWTEST_WAIT(made > 0, 20);
    assert_int_equal(sigaction(SIGSEGV, &hold, &before), 0);
    int rc = crew_process_start(&p, sum, arg, SIZE, &o, &err);
    assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
    over = true;
    pthread_join(thread, NULL);
    assert_ok(rc, &err);
    assert_true(reached);
    assert_false(was_in_the_way);
    assert_int_equal(munmap(arg, SIZE), 0);
    assert_int_equal(crew_process_wait(p, 50, NULL), 0);
    assert_int_equal(crew_process_close(p), 0);
}

int main(int argc, char **argv) {
    if (argc > 1) /* before the process is there that forks others */
        dup2(STDOUT_FILENO, STDERR_FILENO);
    crewtest_begin(&argc, &argv);
    if (argc > 1) {
        say();
        return 0;
    }
    const struct CMUnitTest tests[] = {
        CREWTEST(process__waited_for__tells_its_code),
        CREWTEST(process__waited_for_without_a_code__must_end_well),
        CREWTEST(process__that_runs__is_waited_for_no_longer_than_asked),
        CREWTEST(process__that_fails__says_why_on_standard_error),
        CREWTEST(process__whose_argument_is_copied__keeps_nobody_waiting),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
