/* Processes die inside a ring; the others go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>

#include "step_kill.h"
#include "team/ring.h"

static void *shared(size_t size) {
    void *p =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(p != MAP_FAILED);
    return p;
}

/* ---- each step of one operation ---- */

static void push_one(void *arg) {
    if (!cw_ring_push(arg, 1000))
        _exit(3);
}
static void pop_one(void *arg) {
    uint32_t value;
    if (!cw_ring_pop(arg, &value))
        _exit(3);
}

/* With `before` values in it (0 .. before - 1), kills at each step and then runs
 * the ring three times round. Returns how many kills there were. */
static int kill_each_step(uint32_t before, bool push) {
    for (int n = 1;; n++) {
        size_t bytes = cw_ring_bytes(2);
        cw_ring *ring = shared(bytes);
        cw_ring_init(ring, 2);
        for (uint32_t i = 0; i < before; i++)
            assert_true(cw_ring_push(ring, i));
        const struct watched area = {ring, bytes};
        enum step_result result = step_kill(push ? push_one : pop_one, ring, &area, 1, n);
        if (result == STEP_IMPOSSIBLE && n == 1)
            skip();
        assert_int_not_equal(result, STEP_IMPOSSIBLE);
        assert_false(cw_ring_empty(ring) && before > (push ? 0U : 1U));
        uint32_t value, expect = push ? 0 : 1; /* a step is a change: it was popped */
        while (expect < before) {
            assert_true(cw_ring_pop(ring, &value));
            assert_int_equal(value, expect++);
        }
        if (push) {
            assert_true(cw_ring_pop(ring, &value));
            assert_int_equal(value, 1000);
        }
        assert_false(cw_ring_pop(ring, &value));
        assert_true(cw_ring_empty(ring));
        for (int round = 0; round < 3; round++) {
            for (uint32_t i = 0; i < 4; i++)
                assert_true(cw_ring_push(ring, i));
            assert_false(cw_ring_push(ring, 4));
            for (uint32_t i = 0; i < 4; i++) {
                assert_true(cw_ring_pop(ring, &value));
                assert_int_equal(value, i);
            }
        }
        munmap(ring, bytes);
        if (result == STEP_OVER)
            return n - 1;
    }
}

static void ring__killed_after_each_step__goes_on(void **state) {
    (void)state;
    int kills = 0;
    if (STEP_TOO_SLOW)
        skip();
    for (uint32_t before = 0; before < 4; before++) {
        kills += kill_each_step(before, true);
        kills += kill_each_step(before + 1, false);
    }
    print_message("%d kills\n", kills);
    assert_true(kills >= 16);
}

/* ---- many processes, killed at random ---- */

enum { PUSHERS = 4, POPPERS = 4, SEQUENCE = 1 << 24 };

struct board {
    _Atomic uint32_t stop_pushing, stop, wrong;
    _Atomic uint64_t popped;
    _Atomic uint32_t begun[PUSHERS]; /* the number being pushed */
    _Atomic uint64_t sure[PUSHERS][SEQUENCE / 64];
    _Atomic uint64_t seen[PUSHERS][SEQUENCE / 64];
};

static void pusher(cw_ring *ring, struct board *b, uint32_t number) {
    while (!b->stop_pushing) {
        uint32_t i = b->begun[number];
        if (i + 1 >= SEQUENCE)
            break;
        b->begun[number] = i + 1; /* should we die now: that one is in doubt */
        while (!cw_ring_push(ring, number << 24 | i)) {
            if (b->stop_pushing)
                _exit(0);
            sched_yield();
        }
        atomic_fetch_or(&b->sure[number][i / 64], (uint64_t)1 << i % 64);
    }
    _exit(0);
}

static void popper(cw_ring *ring, struct board *b) {
    int64_t last[PUSHERS] = {-1, -1, -1, -1};
    for (;;) {
        uint32_t value;
        bool over = b->stop;
        if (!cw_ring_pop(ring, &value)) {
            if (over)
                _exit(0);
            sched_yield();
            continue;
        }
        uint32_t number = value >> 24, i = value & (SEQUENCE - 1);
        if (number >= PUSHERS || i >= b->begun[number] || (int64_t)i <= last[number]) {
            b->wrong = 1;
            continue;
        }
        last[number] = i;
        uint64_t bit = (uint64_t)1 << i % 64;
        if (atomic_fetch_or(&b->seen[number][i / 64], bit) & bit)
            b->wrong = 2;
        b->popped++;
    }
}

static pid_t start(cw_ring *ring, struct board *b, int number) {
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        signal(SIGSEGV, SIG_DFL); /* not the test library's */
        if (number < PUSHERS)
            pusher(ring, b, (uint32_t)number);
        popper(ring, b);
    }
    return pid;
}

static void ring__ends_killed_at_random__loses_at_most_what_the_dead_had(void **state) {
    (void)state;
    const char *text = getenv("CREW_TEST_KILLS");
    int kills = text ? atoi(text) : 300;
    uint64_t seed = plain_seed();
    cw_ring *ring = shared(cw_ring_bytes(6));
    struct board *b = shared(sizeof *b);
    cw_ring_init(ring, 6);
    pid_t pids[PUSHERS + POPPERS];
    for (int i = 0; i < PUSHERS + POPPERS; i++)
        pids[i] = start(ring, b, i);
    double begin = now();
    int done = 0, dead_poppers = 0;
    for (; done < kills && (text || now() - begin < 10); done++) {
        double until = now() + 1e-6 * (double)(draw(&seed) % 4000);
        while (now() < until)
            sched_yield();
        int i = (int)(draw(&seed) % (PUSHERS + POPPERS));
        int status;
        kill(pids[i], SIGKILL);
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        dead_poppers += i >= PUSHERS && WIFSIGNALED(status);
        pids[i] = start(ring, b, i);
        uint64_t before = b->popped;
        double limit = now() + 10;
        bool spent = true; /* pushers end when their numbers do */
        for (int k = 0; k < PUSHERS; k++)
            spent = spent && b->begun[k] + 1 >= SEQUENCE;
        while (b->popped == before && !spent && now() < limit)
            sched_yield();
        assert_true(b->popped != before || spent);
        if (spent)
            break;
    }
    b->stop_pushing = 1;
    reap(pids, PUSHERS);
    b->stop = 1;
    reap(pids + PUSHERS, POPPERS);
    print_message("%d kills (%d of poppers) in %.1f s, %llu values\n", done, dead_poppers,
                  now() - begin, (unsigned long long)b->popped);
    assert_int_equal(b->wrong, 0);
    int lost = 0;
    for (int k = 0; k < PUSHERS; k++)
        for (int i = 0; i < SEQUENCE / 64; i++)
            lost += __builtin_popcountll(b->sure[k][i] & ~b->seen[k][i]);
    print_message("%d lost\n", lost);
    assert_true(lost <= dead_poppers);
    assert_true(b->popped > 1000);
    assert_true(cw_ring_empty(ring));
    for (uint32_t i = 0; i < 64; i++)
        assert_true(cw_ring_push(ring, i));
    assert_false(cw_ring_push(ring, 64));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring__killed_after_each_step__goes_on),
        cmocka_unit_test(ring__ends_killed_at_random__loses_at_most_what_the_dead_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
