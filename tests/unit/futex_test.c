/* Futexes: one process waits, another wakes it. Every wait here has a bound
 * that only a failure reaches. */
#include "os/clock.h"
#include "os/futex.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { BOUND = 20 }; /* seconds */

struct shared {
    _Atomic uint32_t word;
    _Atomic int woken;
};

static struct shared *share(void) {
    struct shared *s =
        mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(s != MAP_FAILED);
    return s;
}

/* Waits until the process or thread sleeps in the kernel. */
static void until_asleep(const char *stat_path) {
    int64_t end = cw_now_ns() + BOUND * INT64_C(1000000000);
    char state = '?';
    while (state != 'S') {
        assert_true(cw_now_ns() < end);
        FILE *f = fopen(stat_path, "r");
        assert_non_null(f);
        assert_int_equal(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
        fclose(f);
        sched_yield();
    }
}

static void wait__other_value__returns_at_once(void **state) {
    (void)state;
    _Atomic uint32_t word = 1;
    assert_true(cw_futex_wait(&word, 0, BOUND));
    assert_true(cw_futex_wait(&word, 0, -1));
}

static void wait__zero_seconds__polls(void **state) {
    (void)state;
    _Atomic uint32_t word = 1;
    assert_false(cw_futex_wait(&word, 1, 0));
    assert_true(cw_futex_wait(&word, 2, 0));
}

static void wait__short_limit__lasts_that_long(void **state) {
    (void)state;
    _Atomic uint32_t word = 1;
    int64_t begin = cw_now_ns();
    while (cw_futex_wait(&word, 1, 0.05)) /* a signal may end it early */
        begin = cw_now_ns();
    int64_t took = cw_now_ns() - begin;
    assert_in_range(took, 50000000, BOUND * INT64_C(1000000000));
}

static void wait__in_another_process__is_woken(void **state) {
    (void)state;
    struct shared *s = share();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        while (atomic_load(&s->word) == 0)
            if (!cw_futex_wait(&s->word, 0, BOUND))
                _exit(1);
        _exit(0);
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
    until_asleep(path);
    atomic_store(&s->word, 1);
    cw_futex_wake(&s->word, 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    munmap(s, sizeof *s);
}

static void wait__through_another_mapping__is_woken(void **state) {
    (void)state;
    /* Shared futexes match memory, not addresses: what PRIVATE ones would not. */
    int fd = memfd_create("futex", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, sizeof(struct shared)), 0);
    struct shared *a = mmap(NULL, sizeof *a, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct shared *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(a != MAP_FAILED && b != MAP_FAILED && a != b);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(cw_futex_wait(&a->word, 0, BOUND) ? 0 : 1);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
    until_asleep(path);
    atomic_store(&b->word, 1);
    cw_futex_wake(&b->word, 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    munmap(a, sizeof *a);
    munmap(b, sizeof *b);
    close(fd);
}

static void wake__of_two_out_of_three__leaves_one(void **state) {
    (void)state;
    struct shared *s = share();
    pid_t child[3];
    for (int i = 0; i < 3; i++) {
        child[i] = fork();
        assert_true(child[i] >= 0);
        if (child[i] == 0) {
            bool woken = cw_futex_wait(&s->word, 0, BOUND);
            atomic_fetch_add(&s->woken, 1);
            _exit(woken ? 0 : 1);
        }
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/stat", (int)child[i]);
        until_asleep(path);
    }
    cw_futex_wake(&s->word, 2);
    int status;
    for (int i = 0; i < 2; i++) {
        assert_true(waitpid(-1, &status, 0) > 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(waitpid(-1, &status, WNOHANG), 0);
    assert_int_equal(atomic_load(&s->woken), 2);
    cw_futex_wake(&s->word, 1);
    assert_true(waitpid(-1, &status, 0) > 0);
    assert_int_equal(status, 0);
    munmap(s, sizeof *s);
}

/* ---- looking without sleeping ---- */

static void expect__other_value__is_seen_and_else_the_time_is_kept(void **state) {
    (void)state;
    _Atomic uint32_t word = 3;
    assert_true(cw_futex_expect(&word, 2, 0));
    int64_t start = cw_now_ns();
    assert_false(cw_futex_expect(&word, 3, 1000000));
    assert_true(cw_now_ns() - start < BOUND * INT64_C(1000000000));
}

static void step_aside__another_wants_the_core__says_so_and_remembers(void **state) {
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    pid_t busy = fork();
    for (int64_t end = cw_now_ns() + BOUND * INT64_C(1000000000); busy == 0 && cw_now_ns() < end;)
        ;
    if (busy == 0)
        _exit(0);
    assert_true(busy > 0);
    int64_t end = cw_now_ns() + BOUND * INT64_C(1000000000);
    while (cw_step_aside())
        assert_true(cw_now_ns() < end);
    assert_false(cw_step_aside());
    assert_int_equal(kill(busy, SIGKILL), 0);
    assert_int_equal(waitpid(busy, NULL, 0), busy);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void on_signal(int number) {
    (void)number;
}

static void wait__interrupted_by_a_signal__returns_true(void **state) {
    (void)state;
    struct shared *s = share();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sigaction act = {.sa_handler = on_signal};
        sigaction(SIGUSR1, &act, NULL);
        atomic_store(&s->woken, 1);
        _exit(cw_futex_wait(&s->word, 0, BOUND) ? 0 : 1);
    }
    int64_t end = cw_now_ns() + BOUND * INT64_C(1000000000);
    while (!atomic_load(&s->woken)) {
        assert_true(cw_now_ns() < end);
        sched_yield();
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
    until_asleep(path);
    assert_int_equal(kill(child, SIGUSR1), 0);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    munmap(s, sizeof *s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wait__other_value__returns_at_once),
        cmocka_unit_test(wait__zero_seconds__polls),
        cmocka_unit_test(wait__short_limit__lasts_that_long),
        cmocka_unit_test(wait__in_another_process__is_woken),
        cmocka_unit_test(wait__through_another_mapping__is_woken),
        cmocka_unit_test(wake__of_two_out_of_three__leaves_one),
        cmocka_unit_test(expect__other_value__is_seen_and_else_the_time_is_kept),
        cmocka_unit_test(step_aside__another_wants_the_core__says_so_and_remembers),
        cmocka_unit_test(wait__interrupted_by_a_signal__returns_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
