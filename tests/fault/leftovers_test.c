/* fault/leftovers_test.c - what processes of the library, and those that tasks have
 * started, leave behind, and who sees them end. */
#include "crewtest.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CELL_CHILD = CELL_COUNT, CELL_SEEN, CELL_SIGNALS };

static int plain(crew_call *call) {
    (void)call;
    return 0;
}

/* ---- what the program's own wait() sees ---------------------------------- */

static void count_signal(int number) {
    (void)number;
    crewtest_add(CELL_SIGNALS, 1);
}

static _Atomic int over;

static void *wait_for_anything(void *unused) {
    (void)unused;
    while (!over) {
        pid_t pid = waitpid(-1, NULL, 0);
        if (pid > 0 || errno != ECHILD)
            crewtest_add(CELL_SEEN, 1);
        if (pid > 0)
            fprintf(stderr, "wait() saw process %d\n", (int)pid);
    }
    return NULL;
}

/* All the while another thread waits for any child there is. */
static int opens_and_waits(void) {
    pthread_t thread;
    struct sigaction action = {.sa_handler = count_signal};
    sigaction(SIGCHLD, &action, NULL);
    pthread_create(&thread, NULL, wait_for_anything, NULL);
    for (int i = 0; i < 100; i++) {
        crew_error err;
        crew_pool *p = crewtest_open_here(2);
        int rc = crew_pool_map(p, plain, NULL, 0, 10, NULL, 0, NULL, &err);
        crewtest_check(rc == 0, "%s", err.text);
        crew_pool_free(p);
    }
    over = 1;
    pthread_join(thread, NULL);
    return crew_finalize();
}

static void wait__of_the_program__sees_no_process_of_the_library(void **state) {
    (void)state;
#ifdef CREWTEST_SANITIZED
    skip(); /* there the middle process is a child like any other */
#endif
    int status = crewtest_helper_run("opens_and_waits", NULL, 40, NULL);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(crewtest_get(CELL_SEEN), 0);
    assert_int_equal(crewtest_get(CELL_SIGNALS), 0);
}

/* ---- what an OpenMP runtime leaves of a killed process -------------------- */

static void name_of(char *path, size_t cap, pid_t pid) {
    snprintf(path, cap, "/dev/shm/__KMP_REGISTERED_LIB_%d_%d", (int)pid, (int)getuid());
}

/* LLVM's runtime makes such a file and removes it in its exit handlers. */
static int registers_and_dies(crew_call *call) {
    char path[96];
    name_of(path, sizeof path, getpid());
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return crew_fail(call, 1, "no file");
    close(fd);
    crewtest_set(CELL_WORKER + call->index, getpid());
    crewtest_add(CELL_STARTED, 1);
    if (call->index == 0)
        raise(SIGKILL);
    return call->index == 1 ? 0 : crewtest_pass(call, CELL_GATE);
}

static bool none_left(int count) {
    for (int i = 0; i < count; i++) {
        char path[96];
        name_of(path, sizeof path, (pid_t)crewtest_get(CELL_WORKER + i));
        if (access(path, F_OK) == 0)
            return false;
    }
    return true;
}

static void openmp_registration__of_workers__goes_with_them(void **state) {
    crew_error err;
    (void)state;
    crew_map_opts opts = {.on_error = CREW_CONTINUE};
    crew_pool *p = crewtest_open(2); /* one is killed, one ends in order, one is ended */
    crew_job *job = crew_map_async(p, registers_and_dies, NULL, 0, 3, NULL, 0, &opts, &err);
    assert_non_null(job);
    assert_true(crewtest_reached(CELL_STARTED, 3, 20));
    crew_pool_terminate(p);
    crew_job_free(job);
    crewtest_free(p);
    assert_true(none_left(3));
}

static int finishes(crew_call *call) {
    return call->index < 2 ? 0 : registers_and_dies(call);
}

static int nursery_is_killed_at_work(void) {
    crew_error err;
    crew_pool *p = crewtest_open_here(2);
    crew_job *job = crew_map_async(p, finishes, NULL, 0, 4, NULL, 0, NULL, &err);
    crewtest_check(job && crewtest_reached(CELL_STARTED, 2, 20), "it has not begun");
    pid_t workers[2] = {(pid_t)crewtest_get(CELL_WORKER + 2), (pid_t)crewtest_get(CELL_WORKER + 3)};
    kill(crewtest_parent(workers[0]), SIGKILL);
    int rc = crew_job_get(job, 10, &err);
    crewtest_check(rc == CREW_EBROKEN, "%d %s", rc, err.text);
    for (int i = 0; i < 2; i++) {
        char path[96];
        name_of(path, sizeof path, workers[i]);
        crewtest_check(access(path, F_OK) != 0, "%s is left", path);
        crewtest_check(!crewtest_state(workers[i]) || crewtest_state(workers[i]) == 'Z',
                       "the map has ended, but worker %d lives", i);
    }
    crew_job_free(job);
    crew_pool_free(p);
    return 0;
}

static void nursery_killed__its_workers__are_gone_when_the_calls_end(void **state) {
    (void)state;
    int status = crewtest_helper_run("nursery_is_killed_at_work", NULL, 30, NULL);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- pools in workers that are killed ------------------------------------- */

static int opens_and_dies(crew_call *call) {
    crew_error err;
    crew_pool *p = crewtest_open_here(2);
    crew_pool_map(p, plain, NULL, 0, 10, NULL, 0, NULL, &err);
    crewtest_add(CELL_STARTED, 1);
    if (call->index % 2)
        raise(SIGKILL);
    return crewtest_pass(call, CELL_GATE);
}

/* A program to which orphans fall: what nobody buried would be its child. */
static int nested(void) {
    crew_error err;
    crewtest_check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "no subreaper");
    crew_map_opts opts = {.on_error = CREW_CONTINUE, .chunk = 1};
    crew_pool *p = crewtest_open_here(3);
    crew_job *job = crew_map_async(p, opens_and_dies, NULL, 0, 5, NULL, 0, &opts, &err);
    crewtest_check(job && crewtest_reached(CELL_STARTED, 5, 20), "it has not begun");
    crew_pool_terminate(p); /* three are at the gate */
    crew_job_free(job);
    crew_pool_free(p);
    int code = crew_finalize();
    crewtest_check(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "a process is left");
    return code;
}

static void pools_in_killed_workers__end_without_a_zombie(void **state) {
    (void)state;
    int status = crewtest_helper_run("nested", NULL, 30, NULL);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- programs that tasks start --------------------------------------------- */

static int starts_a_program(crew_call *call) {
    pid_t pid = fork();
    if (pid == 0) {
        execlp("sleep", "sleep", "30", (char *)NULL);
        _exit(127);
    }
    crewtest_set(CELL_CHILD + call->index, pid);
    raise(SIGKILL);
    return 0;
}

static bool gone(pid_t pid) {
    return crewtest_state(pid) == 0;
}

static void program_of_a_task__its_worker_killed__lives_on_and_is_buried(void **state) {
    crew_error err;
    crew_submit_opts second = {.index = 1};
    (void)state;
    crew_pool *p = crewtest_open(1);
    assert_code(crew_apply(p, starts_a_program, NULL, 0, NULL, 0, &err), CREW_EDIED, &err);
    crew_future *f = crew_submit(p, starts_a_program, NULL, 0, &second, &err);
    assert_code(crew_future_result(f, NULL, 0, 20, &err), CREW_EDIED, &err);
    crew_future_free(f);
    pid_t one = (pid_t)crewtest_get(CELL_CHILD), two = (pid_t)crewtest_get(CELL_CHILD + 1);
    assert_usable(p);
    assert_true(one > 1 && two > 1 && !gone(one) && !gone(two));
    kill(one, SIGKILL);
    CREWTEST_WAIT(gone(one), 5); /* not a zombie: the nursery has buried it */
    assert_usable(p);
    double from = crewtest_now();
    crewtest_free(p);
    assert_within(from, 1); /* nobody waits for the other */
    assert_true(!gone(two) && crewtest_state(two) != 'Z');
    kill(two, SIGKILL);
    CREWTEST_WAIT(gone(two) || crewtest_state(two) == 'Z', 5);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return strcmp(argv[1], "nested") == 0            ? nested()
               : strcmp(argv[1], "opens_and_waits") == 0 ? opens_and_waits()
                                                         : nursery_is_killed_at_work();
    if (!crewtest_has(CREWTEST_PROCESSES))
        return crewtest_skip_all();
    const struct CMUnitTest tests[] = {
        CREWTEST(wait__of_the_program__sees_no_process_of_the_library),
        CREWTEST(openmp_registration__of_workers__goes_with_them),
        CREWTEST(nursery_killed__its_workers__are_gone_when_the_calls_end),
        CREWTEST(pools_in_killed_workers__end_without_a_zombie),
        CREWTEST(program_of_a_task__its_worker_killed__lives_on_and_is_buried),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
