/* fault/descriptors_test.c - a program that closes what is not its own, or forks
 * children that keep it open: an error in a sentence, never a hang. Each case is a
 * helper, for its session is lost with it. */
#include "crewtest.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int plain(crew_call *call) {
    (void)call;
    return 0;
}

static int wait_at_gate(crew_call *call) {
    crewtest_add(CELL_STARTED, 1);
    return crewtest_pass(call, CELL_GATE);
}

static void close_from_3(void) {
    DIR *dir = opendir("/proc/self/fd");
    int fds[1024], n = 0, own = dirfd(dir);
    for (struct dirent *e; (e = readdir(dir)) && n < 1024;)
        if (atoi(e->d_name) > 2 && atoi(e->d_name) != own)
            fds[n++] = atoi(e->d_name);
    closedir(dir);
    while (n)
        close(fds[--n]);
}

static int broken_within(crew_pool *p, double from) {
    crew_error err;
    int rc = 0;
    while (rc == 0 && crewtest_now() - from < 5)
        rc = crew_pool_map(p, plain, NULL, 0, 8, NULL, 0, NULL, &err);
    crewtest_check(rc == CREW_EBROKEN, "a map: %d %s", rc, err.text);
    crewtest_check(strstr(err.text, "close"), "'%s'", err.text);
    crew_pool_free(p);
    crewtest_check(crewtest_now() - from < 8, "it took %g s", crewtest_now() - from);
    return crew_finalize();
}

static int closes_all(void) {
    crew_pool *p = crewtest_open_here(2);
    double from = crewtest_now();
    close_from_3();
    return broken_within(p, from);
}

/* The numbers become another file's at once: that one stays as it is. */
static int closes_and_opens(void) {
    crew_pool *p = crewtest_open_here(2);
    double from = crewtest_now();
    int pairs[20][2];
    close_from_3();
    for (int i = 0; i < 20; i++)
        crewtest_check(socketpair(AF_UNIX, SOCK_DGRAM, 0, pairs[i]) == 0, "no socket");
    int code = broken_within(p, from);
    for (int i = 0; i < 40; i++) {
        char c;
        crewtest_check(recv(pairs[i / 2][i % 2], &c, 1, MSG_DONTWAIT) < 0,
                       "socket %d of the program was used or closed", i);
        crewtest_check(fcntl(pairs[i / 2][i % 2], F_GETFD) >= 0, "socket %d was closed", i);
    }
    return code;
}

static int closes_while_work_runs(void) {
    crew_error err;
    crew_pool *p = crewtest_open_here(2);
    crew_job *job = crew_map_async(p, wait_at_gate, NULL, 0, 8, NULL, 0, NULL, &err);
    crewtest_check(job && crewtest_reached(CELL_STARTED, 2, 20), "it has not begun");
    double from = crewtest_now();
    close_from_3();
    int rc = crew_job_get(job, 10, &err);
    crewtest_check(rc == CREW_EBROKEN, "the map: %d %s", rc, err.text);
    crew_job_free(job);
    return broken_within(p, from);
}

/* Children of the program's own come and go while pools open: they hold copies of
 * whatever is open just then, and outlive the pools. */
static _Atomic int begun, over;
static int until_closed[2]; /* a pipe: children end when the program has closed it */

static pid_t fork_child(void) {
    char byte;
    pid_t pid = fork();
    if (pid)
        return pid;
    close(until_closed[1]);
    _exit(read(until_closed[0], &byte, 1) != 0);
}

static void *fork_without_end(void *pids) {
    for (int i = 0; i < 200 && !over; i++) {
        ((pid_t *)pids)[i] = fork_child();
        begun = 1;
        crewtest_pause();
    }
    return NULL;
}

static void end_children(const pid_t *pids, int count) {
    close(until_closed[1]);
    for (int i = 0; i < count && pids[i] > 0; i++)
        waitpid(pids[i], NULL, 0);
}

static int forks_beside(void) {
    static pid_t pids[200];
    pthread_t thread;
    crewtest_check(pipe(until_closed) == 0, "no pipe");
    pthread_create(&thread, NULL, fork_without_end, pids);
    while (!begun) /* see crewtest_need_fork_beside_threads; the helper's time is limited */
        crewtest_pause();
    double from = crewtest_now();
    for (int i = 0; i < 20; i++) {
        crew_error err;
        crew_pool *p = crewtest_open_here(2);
        int rc = crew_pool_map(p, plain, NULL, 0, 8, NULL, 0, NULL, &err);
        crewtest_check(rc == 0, "%s", err.text);
        crew_pool_free(p);
    }
    over = 1;
    pthread_join(thread, NULL);
    int code = crew_finalize();
    crewtest_check(crewtest_now() - from < 20, "it took %g s", crewtest_now() - from);
    end_children(pids, 200);
    return code;
}

/* The nursery is killed while a child of the program's holds all there was. */
static int nursery_dies_beside_a_child(void) {
    crew_error err;
    crew_pool *p = crewtest_open_here(2);
    pid_t family[64];
    int n = crewtest_family(family, 64);
    crewtest_check(pipe(until_closed) == 0, "no pipe");
    pid_t child = fork_child();
    double from = crewtest_now();
    for (int i = 0; i < n; i++) /* the nursery is who has other processes of ours as children */
        for (int k = 0; k < n; k++)
            if (crewtest_parent(family[k]) == family[i] && family[i] != getpid())
                kill(family[i], SIGKILL);
    int rc = 0;
    while (rc == 0 && crewtest_now() - from < 5)
        rc = crew_pool_map(p, plain, NULL, 0, 8, NULL, 0, NULL, &err);
    crewtest_check(rc == CREW_EBROKEN, "a map: %d %s", rc, err.text);
    crew_pool_free(p);
    int code = crew_finalize();
    crewtest_check(crewtest_now() - from < 8, "it took %g s", crewtest_now() - from);
    end_children(&child, 1);
    return code;
}

static const struct scene {
    const char *name;
    int (*run)(void);
} scenes[] = {
    {"closes_all", closes_all},
    {"closes_and_opens", closes_and_opens},
    {"closes_while_work_runs", closes_while_work_runs},
    {"forks_beside", forks_beside},
    {"nursery_dies_beside_a_child", nursery_dies_beside_a_child},
};

static void descriptors__closed_or_kept_by_others__nothing_hangs(void **state) {
    (void)state;
    crewtest_may_take(120);
    int before = crewtest_family(NULL, 0);
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        print_message("%s\n", scenes[i].name);
        for (int cell = 0; cell < CELL_ITEM; cell++)
            crewtest_set(cell, 0);
        int status = crewtest_helper_run(scenes[i].name, NULL, 40, NULL);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        CREWTEST_WAIT(crewtest_family(NULL, 0) <= before, 3);
    }
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    for (size_t i = 0; argc > 1 && i < sizeof scenes / sizeof *scenes; i++)
        if (strcmp(argv[1], scenes[i].name) == 0)
            return scenes[i].run();
#ifdef CREWTEST_TSAN
    return crewtest_skip_all(); /* it would report what is done here on purpose */
#endif
    if (!crewtest_has(CREWTEST_PROCESSES))
        return crewtest_skip_all();
    const struct CMUnitTest tests[] = {
        CREWTEST(descriptors__closed_or_kept_by_others__nothing_hangs),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
