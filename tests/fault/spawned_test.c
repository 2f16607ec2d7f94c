/* fault/spawned_test.c - programs started again (CREW_START_SPAWN): all of their
 * arguments, and what is said when one does not become a worker. */
#include "crewtest.h"

#include "api/session.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { MANY = 6000, LONG = 100000, CELL_ARGUMENTS = CELL_COUNT };

static int64_t arguments_count, arguments_sum;

static void add_up(int argc, char **argv) {
    arguments_count = argc;
    for (int i = 0; i < argc; i++)
        arguments_sum += (int64_t)(strlen(argv[i]) + 1) * (i + 1);
}

static int report(crew_call *call) {
    int64_t sum = arguments_sum;
    crewtest_set(CELL_ARGUMENTS, arguments_count);
    return crew_task_result(call, &sum, sizeof sum);
}

static crew_pool *open_here(crew_error *err) {
    crew_pool_opts opts = crewtest_opts(1);
    return crew_pool_open(&opts, err);
}

static int has_arguments(void) {
    crew_error err;
    int64_t sum = 0;
    crew_pool *p = open_here(&err);
    crewtest_check(p, "%s", err.text);
    int rc = crew_apply(p, report, NULL, 0, &sum, sizeof sum, &err);
    crewtest_check(rc == 0, "%s", err.text);
    crewtest_check(sum == arguments_sum && crewtest_get(CELL_ARGUMENTS) == arguments_count,
                   "%ld of %ld arguments arrived", (long)crewtest_get(CELL_ARGUMENTS),
                   (long)arguments_count);
    crew_pool_free(p);
    return crew_finalize();
}

/* More than any fixed table would hold, long ones, and empty ones. */
static int run_with_many(const char *mode) {
    char **argv = calloc(MANY + 1, sizeof *argv), *long_one = malloc(LONG + 1);
    memset(long_one, 'x', LONG);
    long_one[LONG] = 0;
    argv[0] = (char *)"program";
    argv[1] = (char *)(uintptr_t)mode;
    for (int i = 2; i < MANY; i++)
        argv[i] = i % 1000 == 0 ? long_one : (char *)(i % 3 ? "an argument of some length" : "");
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        execve("/proc/self/exe", argv, environ);
        _exit(9);
    }
    int status = crewtest_helper_wait(pid, 30);
    free(long_one);
    free((void *)argv);
    return status;
}

static void spawned__program_with_many_arguments__gets_them_all(void **state) {
    (void)state;
    int status = run_with_many("has_arguments");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- programs that do not come to crew_init -------------------------------- */

static void before_init(const char *mode) {
    if (strcmp(mode, "ends") == 0)
        exit(3);
    if (strcmp(mode, "crashes") == 0)
        raise(SIGKILL);
    if (strcmp(mode, "no_room") == 0) {
        struct rlimit some = {.rlim_cur = 1u << 30, .rlim_max = 1u << 30};
        setrlimit(RLIMIT_AS, &some);
    }
}

static int opens(const char *wanted) {
    crew_error err;
    double from = crewtest_now();
    crew_pool *p = open_here(&err);
    crewtest_check(!p, "it opened");
    crewtest_check(crewtest_now() - from < 10, "it took %g s", crewtest_now() - from);
    crewtest_check(err.code == CREW_EDIED || err.code == CREW_EAGAIN, "%d", err.code);
    crewtest_check(strstr(err.text, wanted), "'%s' says nothing of '%s'", err.text, wanted);
    return crew_finalize();
}

static const struct scene {
    const char *mode, *wanted;
} scenes[] = {
    {"ends", "code 3, on its way to crew_init"},
    {"crashes", "signal 9 (killed), on its way to crew_init"},
    {"no_room", "could not map the shared memory"},
    {"too_long", "could not be executed again: Argument list too long"},
};

/* exec takes a quarter of the stack's limit. */
static void limit_arguments(void) {
    struct rlimit stack;
    getrlimit(RLIMIT_STACK, &stack);
    stack.rlim_cur = 1 << 20;
    setrlimit(RLIMIT_STACK, &stack);
}

static void spawned__program_that_does_not_come_to_crew_init__is_told(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        print_message("%s\n", scenes[i].mode);
#ifdef CREWTEST_SANITIZED
        if (strcmp(scenes[i].mode, "no_room") == 0)
            continue; /* a sanitizer needs address space of its own */
#endif
        int status = strcmp(scenes[i].mode, "too_long") == 0
                         ? run_with_many("too_long")
                         : crewtest_helper_run(scenes[i].mode, NULL, 30, NULL);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

/* ---- the variable, set by somebody else -------------------------------------- */

static void spawned_variable__set_by_others__is_told_on_standard_error(void **state) {
    static const char *const values[] = {"CREW_SPAWNED_AS=", "CREW_SPAWNED_AS=yes",
                                         "CREW_SPAWNED_AS=3,4,5",
                                         "CREW_SPAWNED_AS=3,3,4096,0,1,0,0,more",
                                         "CREW_SPAWNED_AS=3,3,4096,0,999999,0,0"};
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const char *const settings[] = {values[i], NULL};
        char *text;
        int status = crewtest_helper_run("nonsense", settings, 20, &text);
        assert_true(WIFEXITED(status));
        assert_int_not_equal(WEXITSTATUS(status), 0);
        assert_text(text, values[i]);
        assert_text(text, "take it out of the environment");
        free(text);
    }
}

/* Everything is right, but at that place there is no team. */
static void spawned_variable__with_a_wrong_place__is_told_on_standard_error(void **state) {
    static const long places[] = {64, 4096, 7, -64};
    int fd = cw_session_if_any()->own.fd;
    char value[120], *text;
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *const settings[] = {value, NULL};
        snprintf(value, sizeof value, "CREW_SPAWNED_AS=%d,%d,%lu,0,%d,0,0", fd, fd,
                 (unsigned long)places[i], (int)getpid());
        assert_int_equal(fcntl(fd, F_SETFD, 0), 0);
        int status = crewtest_helper_run("nonsense", settings, 20, &text);
        assert_int_equal(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
        assert_true(WIFEXITED(status));
        assert_int_not_equal(WEXITSTATUS(status), 0);
        assert_text(text, "found no team where it was told to look");
        free(text);
    }
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    add_up(argc, argv);
    if (strcmp(mode, "nonsense") == 0)
        dup2(STDOUT_FILENO, STDERR_FILENO);
    else if (argc > 1 && getenv("CREW_SPAWNED_AS"))
        before_init(mode);
    else if (strcmp(mode, "too_long") == 0)
        limit_arguments();
    crewtest_begin(&argc, &argv);
    if (strcmp(mode, "has_arguments") == 0)
        return has_arguments();
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
        if (strcmp(mode, scenes[i].mode) == 0)
            return opens(scenes[i].wanted);
    const struct CMUnitTest spawned[] = {
        CREWTEST(spawned__program_with_many_arguments__gets_them_all),
        CREWTEST(spawned__program_that_does_not_come_to_crew_init__is_told),
        CREWTEST(spawned_variable__set_by_others__is_told_on_standard_error),
        CREWTEST(spawned_variable__with_a_wrong_place__is_told_on_standard_error),
    };
    const struct CMUnitTest others[] = {
        CREWTEST(spawned_variable__set_by_others__is_told_on_standard_error),
    };
    return crewtest_end(strcmp(crewtest_backend(), "spawn") == 0
                            ? cmocka_run_group_tests(spawned, NULL, NULL)
                            : cmocka_run_group_tests(others, NULL, NULL));
}
