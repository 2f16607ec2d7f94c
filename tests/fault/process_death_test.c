/* fault/process_death_test.c - deaths around processes of one's own: theirs,
 * their wards', their parents'. Nothing waits for ever, nothing stays. */
#include "crewtest.h"

#include "api/session.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CELL_PID = CELL_OWN, CELL_WAITED = CELL_OWN + 1, CELL_DONE = CELL_OWN + 2 };

static crew_process_opts opts(void) {
    crew_process_opts o = {0};
    if (strcmp(crewtest_backend(), "server") == 0)
        o.start = CREW_START_SERVER;
    if (strcmp(crewtest_backend(), "spawn") == 0)
        o.start = CREW_START_SPAWN;
    return o;
}

/* In helpers too: says why it could not. */
static crew_process start(crew_fn *fn, const void *arg, size_t size, bool daemon) {
    crew_process_opts o = opts();
    crew_process p = {0};
    crew_error err;
    o.daemon = daemon;
    if (crew_process_start(&p, fn, arg, size, &o, &err) < 0)
        fprintf(stderr, "crew_process_start: %s\n", err.text);
    return p;
}

static int stay(crew_call *call) {
    crewtest_set(CELL_PID, getpid());
    crewtest_add(CELL_STARTED, 1);
    return crewtest_pass(call, CELL_GATE);
}

static int stay_with_child(crew_call *call) {
    start(stay, NULL, 0, false);
    return stay(call);
}

static int stay_deaf(crew_call *call) {
    signal(SIGTERM, SIG_IGN);
    return stay(call);
}

static void clear(void) {
    for (int cell = 0; cell < CELL_WORKER; cell++)
        crewtest_set(cell, 0);
}

/* ---- one process ---- */

static void process__killed__is_joined_at_once_with_the_signal(void **state) {
    int code;
    (void)state;
    clear();
    crew_process p = start(stay, NULL, 0, false);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    double from = crewtest_now();
    kill((pid_t)crewtest_get(CELL_PID), SIGKILL);
    assert_int_equal(crew_process_join(p, 10), 0);
    assert_within(from, 2);
    assert_int_equal(crew_process_exitcode(p, &code), 0);
    assert_int_equal(code, -SIGKILL);
    assert_int_equal(crew_process_close(p), 0);
}

static void process__ward_killed__the_process_ends_and_is_joined(void **state) {
    int code;
    (void)state;
    if (strcmp(crewtest_backend(), "fork") != 0)
        skip(); /* the session's nursery is another test's */
    clear();
    crew_process p = start(stay, NULL, 0, false);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    pid_t ward = crewtest_parent((pid_t)crewtest_get(CELL_PID));
    assert_true(ward > 1 && ward != getpid());
    double from = crewtest_now();
    kill(ward, SIGKILL);
    assert_int_equal(crew_process_join(p, 10), 0);
    assert_within(from, 4);
    assert_int_equal(crew_process_exitcode(p, &code), 0);
    assert_int_equal(code, -SIGKILL);
    assert_int_equal(crew_process_close(p), 0);
}

/* ---- deaths while it is started ---- */

enum { CELL_WARD_MAY_GO_ON = CELL_OWN + 8, CELL_WARD_WAITS };
static _Atomic int armed;
static pid_t program;

/* Who forks the ward for us is killed as soon as it has, and the ward goes on late. */
static void in_who_forks(void) {
    if (armed && getpid() != program)
        kill(getpid(), SIGKILL);
}
static void in_the_ward(void) {
    if (!atomic_exchange(&armed, 0)) /* its own copy */
        return;
    crewtest_set(CELL_WARD_WAITS, getpid());
    crewtest_reached(CELL_WARD_MAY_GO_ON, 1, 30);
}

static int count_itself(crew_call *call) {
    crewtest_add(CELL_STARTED, 1);
    return *CREW_IN(call, int);
}

static void start__cut_off_by_a_kill__is_as_if_never_asked_for(void **state) {
    crew_process p, next;
    crew_error err;
    int code = 0, in = 5;
    (void)state;
    if (strcmp(crewtest_backend(), "fork") != 0)
        skip(); /* there the session's nursery forks */
#ifdef CREWTEST_SANITIZED
    skip(); /* there the process in the middle has memory of its own */
#endif
    clear();
    program = getpid();
    pthread_atfork(NULL, in_who_forks, in_the_ward);
    armed = 1;
    assert_code(crew_process_start(&p, count_itself, &in, sizeof in, NULL, &err), CREW_EAGAIN,
                &err);
    armed = 0;
    assert_true(crewtest_reached(CELL_WARD_WAITS, 1, 20));
    /* The next one has the record of the first. */
    in = 6;
    next = start(stay, &in, sizeof in, false);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    int pid = crew_process_pid(next);
    pid_t ward = (pid_t)crewtest_get(CELL_WARD_WAITS);
    crewtest_set(CELL_WARD_MAY_GO_ON, 1);
    CREWTEST_WAIT(!crewtest_state(ward) || crewtest_state(ward) == 'Z', 10);
    assert_int_equal(crewtest_get(CELL_STARTED), 1);
    assert_int_equal(crew_process_pid(next), pid);
    assert_int_equal(crew_process_alive(next), 1);
    crewtest_set(CELL_GATE, 1);
    assert_int_equal(crew_process_wait(next, 20, &code), 0);
    assert_int_equal(code, 0);
    assert_int_equal(crew_process_close(next), 0);
}

/* The same with a ward that is at it before its starter learns of the kill. */
static void start__cut_off_too_late__goes_on(void **state) {
    crew_process p;
    crew_error err;
    int code = 0, in = 5;
    (void)state;
    if (strcmp(crewtest_backend(), "fork") != 0)
        skip();
#ifdef CREWTEST_SANITIZED
    skip();
#endif
    clear();
    crewtest_set(CELL_WARD_MAY_GO_ON, 1);
    for (int i = 0; i < 50; i++) {
        armed = 1;
        int rc = crew_process_start(&p, count_itself, &in, sizeof in, NULL, &err);
        armed = 0;
        assert_true(rc == 0 || rc == CREW_EAGAIN);
        if (rc == 0) {
            assert_ok(crew_process_wait(p, 20, &code), NULL);
            assert_int_equal(code, 5);
            assert_ok(crew_process_close(p), NULL);
        }
    }
    assert_int_equal(crew_children(NULL, 0), 0);
}

static int64_t segment_kib(void) {
    struct stat st;
    assert_int_equal(fstat(cw_session_if_any()->own.fd, &st), 0);
    return (int64_t)st.st_blocks / 2;
}

static int start_many(crew_call *call) {
    enum { SIZE = 4 << 20 };
    static char large[SIZE];
    memset(large, 1, sizeof large);
    for (int i = 0; i < 2; i++)
        start(stay, large, sizeof large, false);
    return stay(call);
}

/* What a dead parent had started ends, and its records and arguments with it. */
static void parents__killed_with_children__leave_no_memory(void **state) {
    enum { ROUNDS = 12 };
    int64_t after_first = 0;
    (void)state;
    crewtest_may_take(120);
    for (int round = 0; round < ROUNDS; round++) {
        int before = crewtest_family(NULL, 0);
        clear();
        crew_process p = start(start_many, NULL, 0, false);
        assert_true(crewtest_reached(CELL_STARTED, 3, 30));
        assert_int_equal(crew_process_kill(p), 0);
        assert_int_equal(crew_process_join(p, 20), 0);
        assert_int_equal(crew_process_close(p), 0);
        CREWTEST_WAIT(crewtest_family(NULL, 0) <= before + 1, 10); /* a nursery may be new */
        if (round == 1)
            after_first = segment_kib();
    }
    if (segment_kib() > after_first + (16 << 10))
        fail_msg("%ld KiB, %ld after the first", (long)segment_kib(), (long)after_first);
}

static int start_and_leave(crew_call *call) {
    if (!start(stay, NULL, 0, false).place || !crewtest_reached(CELL_STARTED, 1, 20))
        return crew_fail(call, 1, "it does not start");
    return 0;
}

/* Also when the pool ends in order: nobody waits for it. */
static void process__left_by_a_task__ends_with_its_worker(void **state) {
    crew_error err;
    (void)state;
    for (int in_order = 0; in_order < 2; in_order++) {
        clear();
        crew_pool *p = crewtest_open(1);
        assert_ok(crew_apply(p, start_and_leave, NULL, 0, NULL, 0, &err), &err);
        pid_t pid = (pid_t)crewtest_get(CELL_PID);
        assert_usable(p);
        assert_true(pid > 1 && crewtest_state(pid) != 0 && crewtest_state(pid) != 'Z');
        double from = crewtest_now();
        if (in_order) {
            crew_pool_close(p);
            assert_ok(crew_pool_join(p, 20, &err), &err);
        }
        crewtest_free(p);
        CREWTEST_WAIT(!crewtest_state(pid) || crewtest_state(pid) == 'Z', 5);
        assert_within(from, 5);
    }
}

static int hold(crew_call *call) {
    if (crew_lock_acquire(*CREW_IN(call, crew_lock), CREW_FOREVER) != 0)
        return 1;
    return stay(call);
}

static void process__killed_with_a_lock__the_next_is_told(void **state) {
    crew_lock l;
    (void)state;
    clear();
    assert_int_equal(crew_lock_create(&l), 0);
    crew_process p = start(hold, &l, sizeof l, false);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    assert_int_equal(crew_lock_acquire(l, 0), CREW_ETIMEDOUT);
    assert_int_equal(crew_process_kill(p), 0);
    assert_int_equal(crew_lock_acquire(l, 5), CREW_OWNERDEAD);
    assert_int_equal(crew_lock_release(l), 0);
    assert_int_equal(crew_process_join(p, 10), 0);
    assert_int_equal(crew_process_close(p), 0);
    assert_int_equal(crew_lock_destroy(l), 0);
}

static int at_once(crew_call *call) {
    (void)call;
    return 0;
}

/* Kills while they start, run and end: each is joined, each has a code. */
static void processes__killed_at_any_moment__all_are_joined(void **state) {
    int64_t many = crewtest_many(strcmp(crewtest_backend(), "spawn") ? 500 : 50);
    (void)state;
    crewtest_may_take(120);
    for (int64_t i = 0; i < many; i++) {
        crew_process p = start(at_once, NULL, 0, false);
        for (uint64_t n = crewtest_random() % (1u << crewtest_random() % 20); n > 0; n--)
            __asm__ volatile("" : "+r"(n));
        int code = 77;
        assert_int_equal(crew_process_kill(p), 0);
        assert_int_equal(crew_process_join(p, 20), 0);
        int rc = crew_process_exitcode(p, &code);
        if (rc != 0 && rc != CREW_EBROKEN)
            fail_msg("%ld: %s", (long)i, crew_last_error()->text);
        if (rc == 0 && code != 0 && code != -SIGKILL)
            fail_msg("%ld: code %d", (long)i, code);
        assert_int_equal(crew_process_close(p), 0);
    }
}

/* The program's own wait() sees none of them. */
static void process__beside_the_programs_own_children__is_none_of_them(void **state) {
    int status;
    (void)state;
    clear();
    crew_process p = start(stay, NULL, 0, false);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    assert_int_equal(waitpid(-1, &status, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    crewtest_set(CELL_GATE, 1);
    assert_int_equal(crew_process_join(p, 20), 0);
    assert_int_equal(crew_process_close(p), 0);
}

/* ---- parents: helpers ---- */

static void is_killed(void) {
    start(stay, NULL, 0, false);
    start(stay, NULL, 0, true);
    start(stay_with_child, NULL, 0, false);
    crewtest_reached(CELL_WAITED, 1, 40);
}

static void returns(void) {
    start(stay, NULL, 0, false);
    start(stay_with_child, NULL, 0, false);
    crewtest_reached(CELL_STARTED, 3, 20);
    crewtest_add(CELL_STARTED, 1);
}

static int end_later(crew_call *call) {
    crewtest_add(CELL_STARTED, 1);
    int rc = crewtest_pass(call, CELL_GATE);
    crewtest_add(CELL_DONE, 1);
    return rc;
}

/* Joins the one, ends the others, also the one that does not listen. */
static void finalizes(void) {
    start(end_later, NULL, 0, false);
    start(stay, NULL, 0, true);
    start(stay_deaf, NULL, 0, true);
    crewtest_reached(CELL_STARTED, 3, 20);
    crewtest_add(CELL_STARTED, 1);
    crew_finalize();
    crewtest_add(CELL_WAITED, 1);
}

static int says(crew_call *call) {
    printf("%s says something\n", *CREW_IN(call, int) ? "one" : "another");
    return 0;
}

static void prints(void) {
    printf("before\n");
    for (int i = 0; i < 2; i++) {
        crew_process p = start(says, &i, sizeof i, false);
        crew_process_join(p, 20);
        crew_process_close(p);
    }
    printf("after\n");
    crew_finalize();
}

/* Its nursery dies with an order that it has not looked at. */
static void loses_nursery(void) {
    crew_process first = start(stay, NULL, 0, false);
    crewtest_reached(CELL_STARTED, 1, 20);
    pid_t nursery = crewtest_parent(crew_process_pid(first));
    kill(nursery, SIGSTOP);
    crew_process p = start(stay, NULL, 0, false);
    kill(nursery, SIGKILL);
    crewtest_set(CELL_DONE, crew_process_join(p, 10) == 0 && crew_process_join(first, 10) == 0 &&
                                crew_process_terminate(p) == 0);
    crew_finalize();
    crewtest_add(CELL_WAITED, 1);
}

/* In whatever is forked from here. */
static void use_up_descriptors(void) {
    while (dup(0) >= 0)
        ;
}

/* With no descriptor it can end what it has; with one a process is started, whose
 * nursery has none: which is told. */
static void lacks_descriptors(void) {
    enum { MOST = 64 };
    const struct rlimit limit = {MOST, MOST};
    int fd[MOST], n = 0, code = 0;
    crew_process p = start(stay, NULL, 0, false);
    crewtest_reached(CELL_STARTED, 1, 20);
    setrlimit(RLIMIT_NOFILE, &limit);
    while (n < MOST && (fd[n] = dup(0)) >= 0)
        n++;
    bool good = crew_process_kill(p) == 0 && crew_process_join(p, 10) == 0;
    close(fd[--n]);
    pthread_atfork(NULL, NULL, use_up_descriptors);
    p = start(stay, NULL, 0, false);
    good = good && crew_process_join(p, 10) == 0 &&
           crew_process_exitcode(p, &code) == CREW_EBROKEN &&
           strstr(crew_last_error()->text, "Too many open files");
    crewtest_set(CELL_DONE, good);
    crew_finalize();
    crewtest_add(CELL_WAITED, 1);
}

/* As pid 1 of a container: what ends falls to it. */
static void gets_orphans(void) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (int i = 0; i < 20; i++) {
        crew_process p = start(at_once, NULL, 0, false);
        crew_process_join(p, 20);
        crew_process_close(p);
    }
    siginfo_t info = {.si_pid = 0};
    int rc = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
    crewtest_set(CELL_DONE, rc != 0 || info.si_pid == 0);
}

static int seven(crew_call *call) {
    (void)call;
    return 7;
}

static bool ends_with(crew_process p, int wanted) {
    int code = -1;
    return crew_process_wait(p, 20, &code) == 0 && code == wanted && crew_process_close(p) == 0;
}

/* Numbers of its children are others' here: nothing is started that crew could take
 * for one of those, and kill. What it forks itself may use crew. */
static void unshares(void) {
    crew_error err;
    crew_process p;
    bool good = ends_with(start(seven, NULL, 0, false), 7);
    if (unshare(CLONE_NEWPID) != 0) {
        crewtest_set(CELL_DONE, errno == EPERM ? 2 : 0);
        return;
    }
    for (int i = 0; i < 2; i++) {
        int rc = crew_process_start(&p, seven, NULL, 0, NULL, &err);
        good = good && rc == CREW_ENOTSUP && strstr(err.text, "unshare");
    }
    const crew_pool_opts o = {.backend = CREW_FORK, .workers = 1};
    good = good && !crew_pool_open(&o, &err) && err.code == CREW_ENOTSUP;
    crew_process_opts served = {.start = CREW_START_SERVER};
    good = good && crew_process_start(&p, seven, NULL, 0, &served, &err) == 0 && ends_with(p, 7);
    pid_t pid = fork();
    if (pid == 0)
        _exit(ends_with(start(seven, NULL, 0, false), 7) && crew_finalize() == 0 ? 0 : 1);
    int status = 1;
    waitpid(pid, &status, 0);
    crewtest_set(CELL_DONE, good && status == 0);
    crew_finalize();
}

static void has_deaf_daemons(void) {
    for (int i = 0; i < 5; i++)
        start(stay_deaf, NULL, 0, true);
    crewtest_reached(CELL_STARTED, 5, 30);
    double from = crewtest_now();
    crew_finalize();
    crewtest_set(CELL_DONE, crewtest_now() - from < 3);
}

static const struct {
    const char *name;
    void (*run)(void);
} helpers[] = {{"is_killed", is_killed},
               {"returns", returns},
               {"finalizes", finalizes},
               {"prints", prints},
               {"loses_nursery", loses_nursery},
               {"lacks_descriptors", lacks_descriptors},
               {"gets_orphans", gets_orphans},
               {"unshares", unshares},
               {"has_deaf_daemons", has_deaf_daemons}};

static int helper(const char *mode) {
    for (size_t i = 0; i < sizeof helpers / sizeof *helpers; i++)
        if (strcmp(helpers[i].name, mode) == 0)
            helpers[i].run();
    return 3;
}

static void nobody_is_left(int before) {
    CREWTEST_WAIT(crewtest_family(NULL, 0) <= before, 2);
}

static void parent__killed__takes_all_along_within_2_s(void **state) {
    int before = crewtest_family(NULL, 0);
    (void)state;
    for (int i = 0; i < 2; i++) {
        clear();
        pid_t pid = crewtest_helper("is_killed", NULL, NULL);
        assert_true(crewtest_reached(CELL_STARTED, 4, 20));
        kill(i ? -pid : pid, i ? SIGINT : SIGKILL);
        crewtest_helper_wait(pid, 5);
        nobody_is_left(before);
    }
}

static void parent__returns_from_main__its_code_counts_and_nothing_stays(void **state) {
    int before = crewtest_family(NULL, 0);
    (void)state;
    clear();
    pid_t pid = crewtest_helper("returns", NULL, NULL);
    assert_true(crewtest_reached(CELL_STARTED, 4, 30));
    int status = crewtest_helper_wait(pid, 20);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 3);
    nobody_is_left(before);
}

static void parent__finalizes__waits_for_all_but_daemons(void **state) {
    int before = crewtest_family(NULL, 0);
    (void)state;
    clear();
    pid_t pid = crewtest_helper("finalizes", NULL, NULL);
    assert_true(crewtest_reached(CELL_STARTED, 4, 30));
    /* The daemons end, also the deaf one; finalize goes on waiting for the other. */
    CREWTEST_WAIT(crewtest_family(NULL, 0) <= before + 4, 10);
    assert_int_equal(crewtest_get(CELL_WAITED), 0);
    crewtest_set(CELL_GATE, 1);
    int status = crewtest_helper_wait(pid, 20);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    assert_int_equal(crewtest_get(CELL_DONE), 1);
    assert_int_equal(crewtest_get(CELL_WAITED), 1);
    nobody_is_left(before);
}

/* The helper says in a cell whether all was as it should be. */
static void helper_is_content(const char *name) {
    int before = crewtest_family(NULL, 0);
    clear();
    pid_t pid = crewtest_helper(name, NULL, NULL);
    int status = crewtest_helper_wait(pid, 50);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    assert_int_equal(crewtest_get(CELL_DONE), 1);
    nobody_is_left(before);
}

static void nursery__killed_with_an_order_unread__nobody_waits_for_ever(void **state) {
    (void)state;
    if (strcmp(crewtest_backend(), "fork") == 0)
        skip(); /* its nurseries have no orders */
    helper_is_content("loses_nursery");
}

static void descriptors__used_up__processes_end_and_starts_are_told(void **state) {
    (void)state;
    if (strcmp(crewtest_backend(), "fork") != 0)
        skip(); /* the session's nursery has its own */
    helper_is_content("lacks_descriptors");
}

static void parent__that_unshares_pids__is_told_and_kills_no_other(void **state) {
    (void)state;
    if (strcmp(crewtest_backend(), "fork") != 0)
        skip(); /* what it starts by itself is looked at */
    if (geteuid() != 0)
        skip(); /* it takes the right to */
#ifdef CREWTEST_SANITIZED
    skip(); /* the search for leaks makes a thread, which such a process cannot */
#endif
    helper_is_content("unshares");
}

static void parent__to_whom_orphans_fall__keeps_no_zombies(void **state) {
    (void)state;
    helper_is_content("gets_orphans");
}

static void daemons__that_do_not_listen__share_one_time_of_grace(void **state) {
    (void)state;
    helper_is_content("has_deaf_daemons");
}

static void output__of_processes__comes_once_and_whole(void **state) {
    char *text;
    (void)state;
    int status = crewtest_helper_run("prints", NULL, 30, &text);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    /* A spawned process runs main up to crew_init, and prints nothing there. */
    assert_string_equal(text, "before\nanother says something\none says something\nafter\n");
    free(text);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return helper(argv[1]);
    const struct CMUnitTest tests[] = {
        CREWTEST(process__killed__is_joined_at_once_with_the_signal),
        CREWTEST(process__ward_killed__the_process_ends_and_is_joined),
        CREWTEST(start__cut_off_by_a_kill__is_as_if_never_asked_for),
        CREWTEST(start__cut_off_too_late__goes_on),
        CREWTEST(parents__killed_with_children__leave_no_memory),
        CREWTEST(process__left_by_a_task__ends_with_its_worker),
        CREWTEST(process__killed_with_a_lock__the_next_is_told),
        CREWTEST(processes__killed_at_any_moment__all_are_joined),
        CREWTEST(process__beside_the_programs_own_children__is_none_of_them),
        CREWTEST(parent__killed__takes_all_along_within_2_s),
        CREWTEST(parent__returns_from_main__its_code_counts_and_nothing_stays),
        CREWTEST(parent__finalizes__waits_for_all_but_daemons),
        CREWTEST(nursery__killed_with_an_order_unread__nobody_waits_for_ever),
        CREWTEST(descriptors__used_up__processes_end_and_starts_are_told),
        CREWTEST(parent__that_unshares_pids__is_told_and_kills_no_other),
        CREWTEST(parent__to_whom_orphans_fall__keeps_no_zombies),
        CREWTEST(daemons__that_do_not_listen__share_one_time_of_grace),
        CREWTEST(output__of_processes__comes_once_and_whole),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
