/* Deadlines. A gap in the clock is made by moving seen_ns back; one test stops
 * a real process. */
#include "os/clock.h"
#include "os/futex.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const int64_t second = 1000000000;

static void now__read_twice__never_goes_back(void **state) {
    (void)state;
    int64_t last = cw_now_ns();
    for (int i = 0; i < 100000; i++) {
        int64_t now = cw_now_ns();
        assert_true(now >= last);
        last = now;
    }
}

/* Runs all the time but for moments; counts that from within. */
struct stretches {
    cw_meter meter;
    int64_t inside;
};

static void *start_and_stop(void *arg) {
    struct stretches *s = arg;
    for (int i = 0; i < 500; i++) {
        cw_meter_start(&s->meter);
        int64_t from = cw_now_ns(), now;
        cw_meter_start(&s->meter);
        while ((now = cw_now_ns()) < from + 100000)
            continue;
        s->inside += now - from;
        cw_meter_stop(&s->meter);
        cw_meter_stop(&s->meter);
    }
    return NULL;
}

/* A stretch that was counted twice for a moment would be more than all time. */
static void meter__read_while_it_starts_and_stops__counts_nothing_twice(void **state) {
    static struct stretches s; /* the thread outlives a failure */
    (void)state;
    pthread_t writer;
    int64_t from = cw_now_ns();
    assert_int_equal(cw_meter_ns(&s.meter), 0);
    assert_int_equal(pthread_create(&writer, NULL, start_and_stop, &s), 0);
    for (int i = 0; i < 200000; i++) {
        int64_t so_far = cw_meter_ns(&s.meter);
        assert_true(so_far >= 0 && so_far <= cw_now_ns() - from);
    }
    pthread_join(writer, NULL);
    int64_t total = cw_meter_ns(&s.meter);
    assert_true(total >= s.inside && total <= cw_now_ns() - from);
    assert_int_equal(cw_meter_ns(&s.meter), total);
}

static void deadline__no_limit__is_never_over(void **state) {
    (void)state;
    const double limits[] = {-1, -1e300, -INFINITY, INFINITY, 1e300, 9.2e9};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct cw_deadline d = cw_deadline_in(limits[i]);
        d.seen_ns -= 1000 * second;
        assert_false(cw_deadline_over(&d));
        assert_true(cw_deadline_slice(&d) < 0);
    }
}

static void deadline__zero_or_not_a_number__polls(void **state) {
    (void)state;
    const double limits[] = {0, -0.0, NAN};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct cw_deadline d = cw_deadline_in(limits[i]);
        assert_true(cw_deadline_slice(&d) == 0);
        assert_true(cw_deadline_over(&d));
    }
}

static void deadline__tiny_limit__is_not_a_poll(void **state) {
    (void)state;
    struct cw_deadline d = cw_deadline_in(1e-12);
    assert_int_equal(d.left_ns, 1);
    assert_true(cw_deadline_slice(&d) > 0);
}

static void deadline__long_limit__is_sliced_by_seconds(void **state) {
    (void)state;
    struct cw_deadline d = cw_deadline_in(1e9);
    assert_true(cw_deadline_slice(&d) == 1.0);
    d = cw_deadline_in(0.25);
    assert_true(cw_deadline_slice(&d) == 0.25);
}

static void deadline__time_passes__counts_it_and_ends(void **state) {
    (void)state;
    struct cw_deadline d = cw_deadline_in(5);
    d.seen_ns -= 3 * second / 2;
    assert_false(cw_deadline_over(&d));
    assert_in_range(d.left_ns, 2 * second, 7 * second / 2);
    d.seen_ns -= 3 * second / 2;
    cw_deadline_over(&d);
    d.seen_ns -= 3 * second / 2;
    cw_deadline_over(&d);
    d.seen_ns -= second;
    assert_true(cw_deadline_over(&d));
    assert_int_equal(d.left_ns, 0);
    assert_true(cw_deadline_over(&d)); /* and stays over */
    assert_true(cw_deadline_slice(&d) == 0);
}

static void deadline__long_gap__does_not_count(void **state) {
    (void)state;
    struct cw_deadline d = cw_deadline_in(5);
    for (int i = 0; i < 100; i++) {
        d.seen_ns -= 3600 * second;
        assert_false(cw_deadline_over(&d));
    }
    assert_in_range(d.left_ns, 3 * second, 5 * second);
}

static void deadline__nothing_but_long_gaps__still_ends(void **state) {
    (void)state;
    struct cw_deadline d = cw_deadline_in(1);
    int looks = 0;
    do {
        d.seen_ns -= 10 * second;
        looks++;
    } while (!cw_deadline_over(&d));
    assert_in_range(looks, 2, 100);
}

static void deadline__waited_out__takes_its_time(void **state) {
    (void)state;
    _Atomic uint32_t word = 0;
    int64_t begin = cw_now_ns();
    struct cw_deadline d = cw_deadline_in(0.05);
    while (!cw_deadline_over(&d))
        cw_futex_wait(&word, 0, cw_deadline_slice(&d));
    assert_in_range(cw_now_ns() - begin, second / 20, 10 * second);
}

struct stopped {
    _Atomic uint32_t never;
    _Atomic int64_t took_ns;
};

static void deadline__process_stopped__does_not_count_the_stop(void **state) {
    (void)state;
    struct stopped *s =
        mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(s != MAP_FAILED);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int64_t begin = cw_now_ns();
        struct cw_deadline d = cw_deadline_in(0.5);
        raise(SIGSTOP);
        while (!cw_deadline_over(&d))
            cw_futex_wait(&s->never, 0, cw_deadline_slice(&d));
        atomic_store(&s->took_ns, cw_now_ns() - begin);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));

    /* The state waited for is the clock's own: 2.5 s of stopped time. */
    int64_t stop_began = cw_now_ns(), left;
    while ((left = stop_began + 5 * second / 2 - cw_now_ns()) > 0)
        cw_futex_wait(&s->never, 0, (double)left / 1e9);
    assert_int_equal(kill(child, SIGCONT), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    /* Without the rule the wait would be over with the stop, at 2.5 s. With it
     * the half second is still to come, less the hundredth that a stop counts. */
    assert_in_range(atomic_load(&s->took_ns), 29 * second / 10, 20 * second);
    munmap(s, sizeof *s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(now__read_twice__never_goes_back),
        cmocka_unit_test(meter__read_while_it_starts_and_stops__counts_nothing_twice),
        cmocka_unit_test(deadline__no_limit__is_never_over),
        cmocka_unit_test(deadline__zero_or_not_a_number__polls),
        cmocka_unit_test(deadline__tiny_limit__is_not_a_poll),
        cmocka_unit_test(deadline__long_limit__is_sliced_by_seconds),
        cmocka_unit_test(deadline__time_passes__counts_it_and_ends),
        cmocka_unit_test(deadline__long_gap__does_not_count),
        cmocka_unit_test(deadline__nothing_but_long_gaps__still_ends),
        cmocka_unit_test(deadline__waited_out__takes_its_time),
        cmocka_unit_test(deadline__process_stopped__does_not_count_the_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
