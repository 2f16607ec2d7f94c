/* fault/queue_kill_test.c - who puts, gets, or waits for a queue is killed. */
#include "crewtest.h"
#include "hammer.h"

#include "share/share.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum {
    PRODUCERS = 3,
    MARKS = 1 << 16, /* more than the queue ever holds */
    SIZE_MOST = 100000,
    CELL_TRIED = CELL_OWN,              /* numbers that producers have begun to put */
    CELL_SEEN = CELL_TRIED + PRODUCERS, /* the last ones that arrived */
    CELL_MISSING = CELL_SEEN + PRODUCERS,
    CELL_ARRIVED,
    CELL_MARK = CELL_ITEM /* a producer's number, by its remainder */
};

static char buffer[SIZE_MOST];

/* Most are short; some lie in a block of their own, a few in pages of their own. */
static size_t size_of(int64_t producer, int64_t number) {
    uint64_t random = crewtest_mix((uint64_t)(number * PRODUCERS + producer));
    switch (random % 64) {
    case 0:
        return 16 + (random >> 8) % (SIZE_MOST - 16);
    case 1:
    case 2:
    case 3:
    case 4:
        return 16 + (random >> 8) % 3000;
    default:
        return 16 + (random >> 8) % 96;
    }
}

/* The next message of this producer, one that it never tried before. */
static int put_next(crew_queue q, int64_t producer, double timeout) {
    int64_t number = crewtest_add(CELL_TRIED + producer, 1) + 1;
    size_t size = size_of(producer, number);
    memset(buffer, (int)(number & 127), size);
    memcpy(buffer, &producer, 8);
    memcpy(buffer + 8, &number, 8);
    int rc = crew_queue_put(q, buffer, size, timeout);
    if (rc == CREW_ETIMEDOUT)
        crewtest_add(CELL_MISSING, -1);
    return rc;
}

/* Takes one; 0, a code, or 1 if it is not as it was put. */
static int get_next(crew_queue q, double timeout, int64_t *producer, int64_t *number) {
    ptrdiff_t size = crew_queue_get(q, buffer, sizeof buffer, timeout);
    if (size < 0)
        return (int)size;
    if (size < 16)
        return 1;
    memcpy(producer, buffer, 8);
    memcpy(number, buffer + 8, 8);
    if (*producer < 0 || *producer >= PRODUCERS || (size_t)size != size_of(*producer, *number))
        return 1;
    for (ptrdiff_t i = 16; i < size; i++)
        if (buffer[i] != (char)(*number & 127))
            return 1;
    return 0;
}

static void clear_cells(void) {
    for (int i = CELL_OWN; i <= CELL_ARRIVED; i++)
        crewtest_set(i, 0);
    for (int i = 0; i < PRODUCERS * MARKS; i++)
        crewtest_set(CELL_MARK + i, 0);
}

static int64_t tried(void) {
    int64_t n = 0;
    for (int i = 0; i < PRODUCERS; i++)
        n += crewtest_get(CELL_TRIED + i);
    return n;
}

/* What was begun and did not arrive, as far as the queue is to blame, goes with
 * the kills: at most one each. */
static void check_missing(int64_t kills) {
    int64_t missing = tried() - crewtest_get(CELL_ARRIVED) + crewtest_get(CELL_MISSING);
    print_message("%ld messages, %ld missing\n", (long)tried(), (long)missing);
    assert_in_range(missing, 0, kills);
}

/* Those that are left have put a message for each kill, and go on doing so. */
static void count_kill(void *ctx, int64_t kill) {
    *(int64_t *)ctx = kill + 1;
    CREWTEST_WAIT(tried() > kill + 1, HAMMER_LIMIT_S);
}

/* Runs the task on a queue, takes what is left, and looks for memory that nobody
 * owns any more. */
static void hammer(crew_fn *task, int64_t max, void (*drain)(crew_queue q)) {
    crew_queue q;
    int64_t kills = 0;
    clear_cells();
    uint64_t before = cw_arena_used(&cw_share_here()->arena);
    assert_int_equal(crew_queue_create(&q, max, NULL), 0);
    const struct hammer h = {
        .task = task, .common = &q, .common_size = sizeof q, .check = count_kill, .ctx = &kills};
    hammer_run(&h);
    drain(q);
    check_missing(kills);
    assert_int_equal(crew_queue_destroy(q), 0);
    /* Pool and hands are gone; the shelves have grown by a chunk each at most. */
    CREWTEST_WAIT(cw_arena_used(&cw_share_here()->arena) <= before + (1 << 17), 5);
}

/* ---- two that put, one that takes ---- */

/* In order: what arrives of a producer rises. */
static int arrive_in_order(int64_t producer, int64_t number) {
    int64_t last = crewtest_get(CELL_SEEN + producer);
    if (number <= last)
        return 1;
    crewtest_set(CELL_SEEN + producer, number);
    crewtest_add(CELL_ARRIVED, 1);
    return 0;
}

static int one_way(crew_call *call) {
    crew_queue q = *CREW_COMMON(call, crew_queue);
    int64_t producer, number;
    while (hammer_on(call)) {
        if (call->index > 0) {
            int rc = put_next(q, call->index, 0.1);
            if (rc != 0 && rc != CREW_ETIMEDOUT)
                return crew_fail(call, 1, "put: %s", crew_last_error()->text);
            continue;
        }
        int rc = get_next(q, 0.1, &producer, &number);
        if (rc == 0)
            rc = arrive_in_order(producer, number);
        if (rc != 0 && rc != CREW_ETIMEDOUT)
            return crew_fail(call, 1, "get gave %d: %s", rc, crew_last_error()->text);
    }
    return 0;
}

static void drain_in_order(crew_queue q) {
    int64_t producer, number;
    while (crew_queue_size(q) > 0) {
        assert_int_equal(get_next(q, 5, &producer, &number), 0);
        assert_int_equal(arrive_in_order(producer, number), 0);
    }
}

static void queue__putters_and_getter_killed_anywhere__numbers_rise_and_one_a_kill_is_lost(
    void **state) {
    (void)state;
    hammer(one_way, 200, drain_in_order);
}

/* ---- all put and take ---- */

/* Each once. */
static int arrive_once(int64_t producer, int64_t number) {
    int64_t mark = CELL_MARK + producer * MARKS + number % MARKS;
    crewtest_add(CELL_ARRIVED, 1);
    return atomic_exchange(crewtest_cell(mark), number) >= number;
}

static int both_ways(crew_call *call) {
    crew_queue q = *CREW_COMMON(call, crew_queue);
    int64_t producer, number, turn = getpid();
    while (hammer_on(call)) {
        int rc;
        /* Runs of one kind: chunks come and go. */
        if (crewtest_mix((uint64_t)turn++ / 100) % 2) {
            rc = put_next(q, call->index, 0.001);
        } else {
            rc = get_next(q, 0.001, &producer, &number);
            if (rc == 0)
                rc = arrive_once(producer, number);
        }
        if (rc != 0 && rc != CREW_ETIMEDOUT)
            return crew_fail(call, 1, "it gave %d: %s", rc, crew_last_error()->text);
    }
    return 0;
}

static void drain_once(crew_queue q) {
    int64_t producer, number;
    while (crew_queue_size(q) > 0) {
        assert_int_equal(get_next(q, 5, &producer, &number), 0);
        assert_int_equal(arrive_once(producer, number), 0);
    }
}

static void queue__users_killed_anywhere__each_message_once_and_one_a_kill_is_lost(void **state) {
    (void)state;
    hammer(both_ways, 500, drain_once);
}

/* ---- waits whose other side dies ---- */

struct two {
    crew_queue q, other;
};

static int produce_and_die(crew_call *call) {
    const struct two *t = CREW_IN(call, struct two);
    int64_t n = 1;
    if (call->attempt > 1)
        return 0;
    if (crew_queue_produce(t->q) != 0 || crew_queue_put(t->q, &n, sizeof n, 0) != 0 ||
        crew_queue_put(t->other, &n, sizeof n, 0) != 0)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    raise(SIGKILL);
    return 0;
}

static void eof__producer_killed__a_getter_that_waits_hears_of_it(void **state) {
    struct two t;
    crew_queue_opts eof = {.eof = true};
    crew_error err;
    int64_t n;
    (void)state;
    assert_int_equal(crew_queue_create(&t.q, 0, &eof), 0);
    assert_int_equal(crew_queue_create(&t.other, 0, NULL), 0);
    crew_pool *p = crewtest_open(1);
    crew_future *f = crew_submit(p, produce_and_die, &t, sizeof t, NULL, &err);
    assert_non_null(f);
    assert_int_equal(crew_queue_get(t.q, &n, sizeof n, CREW_FOREVER), sizeof n);
    double from = crewtest_now();
    assert_int_equal(crew_queue_get(t.q, &n, sizeof n, CREW_FOREVER), CREW_ECLOSED);
    assert_within(from, 5);
    /* Without eof a wait ends with its time. */
    assert_int_equal(crew_queue_get(t.other, &n, sizeof n, CREW_FOREVER), sizeof n);
    from = crewtest_now();
    assert_int_equal(crew_queue_get(t.other, &n, sizeof n, 0.2), CREW_ETIMEDOUT);
    assert_within(from, 5);
    assert_code(crew_future_result(f, NULL, 0, 20, &err), CREW_EDIED, &err);
    crew_future_free(f);
    crewtest_free(p);
    assert_int_equal(crew_queue_destroy(t.q), 0);
    assert_int_equal(crew_queue_destroy(t.other), 0);
}

static int take_and_die(crew_call *call) {
    int64_t n;
    if (crew_queue_get(*CREW_IN(call, crew_queue), &n, sizeof n, CREW_FOREVER) < 0)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    raise(SIGKILL);
    return 0;
}

static void join__worker_killed_before_it_was_done__waits_for_who_says_so(void **state) {
    crew_queue q;
    crew_error err;
    int64_t n = 1;
    (void)state;
    assert_int_equal(crew_queue_create(&q, 1, NULL), 0);
    assert_int_equal(crew_queue_put(q, &n, sizeof n, 0), 0);
    crew_pool *p = crewtest_open(1);
    assert_code(crew_apply(p, take_and_die, &q, sizeof q, NULL, 0, &err), CREW_EDIED, &err);
    assert_int_equal(crew_queue_put(q, &n, sizeof n, 5), 0); /* what it took made room */
    assert_int_equal(crew_queue_get(q, &n, sizeof n, 0), sizeof n);
    assert_int_equal(crew_queue_task_done(q), 0);
    assert_int_equal(crew_queue_join(q, 0.05), CREW_ETIMEDOUT);
    assert_int_equal(crew_queue_task_done(q), 0);
    assert_int_equal(crew_queue_join(q, CREW_FOREVER), 0);
    crewtest_free(p);
    assert_int_equal(crew_queue_destroy(q), 0);
}

/* Waits in a get at an empty queue, beside the one that dies. */
static int get_one(crew_call *call) {
    int64_t n;
    crewtest_add(CELL_STARTED, 1);
    return crew_queue_get(*CREW_IN(call, crew_queue), &n, sizeof n, CREW_FOREVER) == sizeof n
               ? 0
               : crew_fail(call, 1, "%s", crew_last_error()->text);
}

static int die_when_told(crew_call *call) {
    crewtest_add(CELL_STARTED, 1);
    if (crewtest_pass(call, CELL_GATE) != 0)
        return 1;
    return take_and_die(call);
}

/* At a full queue: who could make room dies without, then one that has made some. */
static void put__getters_die__it_ends_with_its_time_or_when_there_is_room(void **state) {
    crew_queue q;
    crew_error err;
    int64_t n = 1;
    (void)state;
    crewtest_set(CELL_STARTED, 0);
    crewtest_set(CELL_GATE, 0);
    assert_int_equal(crew_queue_create(&q, 1, NULL), 0);
    crew_pool *p = crewtest_open(2);
    crew_future *idle =
        crew_submit(p, crewtest_gated_task, &(int64_t){CELL_GATE + 1}, 8, NULL, &err);
    assert_non_null(idle);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    assert_int_equal(crew_queue_put(q, &n, sizeof n, 0), 0);
    assert_int_equal(crew_future_kill(idle), 1);
    double from = crewtest_now();
    assert_int_equal(crew_queue_put(q, &n, sizeof n, 0.2), CREW_ETIMEDOUT);
    assert_within(from, 5);
    crew_future *f = crew_submit(p, die_when_told, &q, sizeof q, NULL, &err);
    assert_non_null(f);
    assert_true(crewtest_reached(CELL_STARTED, 2, 20));
    crewtest_set(CELL_GATE, 1);
    from = crewtest_now();
    assert_int_equal(crew_queue_put(q, &n, sizeof n, CREW_FOREVER), 0);
    assert_within(from, 5);
    assert_code(crew_future_result(f, NULL, 0, 20, &err), CREW_EDIED, &err);
    crew_future_free(f);
    crew_future_free(idle);
    assert_int_equal(crew_queue_get(q, &n, sizeof n, 0), sizeof n);
    crewtest_free(p);
    assert_int_equal(crew_queue_destroy(q), 0);
}

/* One of two that wait for a message is killed: the other gets it. */
static void get__one_of_two_that_wait_is_killed__the_other_has_the_message(void **state) {
    crew_queue q;
    crew_error err;
    int64_t n = 1;
    int code;
    (void)state;
    for (int round = 0; round < 5; round++) {
        crew_process one, other;
        crewtest_set(CELL_STARTED, 0);
        assert_int_equal(crew_queue_create(&q, 0, NULL), 0);
        assert_ok(crew_process_start(&one, get_one, &q, sizeof q, NULL, &err), &err);
        assert_ok(crew_process_start(&other, get_one, &q, sizeof q, NULL, &err), &err);
        assert_true(crewtest_reached(CELL_STARTED, 2, 20));
        assert_int_equal(crew_process_kill(round % 2 ? one : other), 0);
        assert_int_equal(crew_process_wait(round % 2 ? one : other, 20, &code), 0);
        assert_int_equal(code, -SIGKILL);
        assert_int_equal(crew_queue_put(q, &n, sizeof n, 0), 0);
        double from = crewtest_now();
        assert_int_equal(crew_process_wait(round % 2 ? other : one, 20, &code), 0);
        assert_within(from, 5);
        assert_int_equal(code, 0);
        assert_int_equal(crew_process_close(one), 0);
        assert_int_equal(crew_process_close(other), 0);
        assert_int_equal(crew_queue_destroy(q), 0);
    }
}

/* Makers die too. */
static int make_and_end(crew_call *call) {
    while (hammer_on(call)) {
        crew_queue q;
        if (crew_queue_create(&q, 0, NULL) != 0)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
        for (int i = 0; i < 150; i++)
            if (crew_queue_put(q, buffer, i % 10 ? 10 : 1000, 0) != 0)
                return crew_fail(call, 1, "%s", crew_last_error()->text);
        for (int i = 0; i < 70; i++)
            if (crew_queue_get(q, buffer, sizeof buffer, 0) < 0)
                return crew_fail(call, 1, "%s", crew_last_error()->text);
        if (crew_queue_destroy(q) != 0 || crew_queue_destroy(q) != CREW_EINVAL)
            return crew_fail(call, 1, "a queue was not destroyed once");
    }
    return 0;
}

static void queues__makers_killed_anywhere__making_goes_on(void **state) {
    (void)state;
    const struct hammer h = {.task = make_and_end, .kills = crewtest_many(300)};
    hammer_run(&h);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(queue__putters_and_getter_killed_anywhere__numbers_rise_and_one_a_kill_is_lost),
        CREWTEST(queue__users_killed_anywhere__each_message_once_and_one_a_kill_is_lost),
        CREWTEST(eof__producer_killed__a_getter_that_waits_hears_of_it),
        CREWTEST(join__worker_killed_before_it_was_done__waits_for_who_says_so),
        CREWTEST(put__getters_die__it_ends_with_its_time_or_when_there_is_room),
        CREWTEST(get__one_of_two_that_wait_is_killed__the_other_has_the_message),
        CREWTEST(queues__makers_killed_anywhere__making_goes_on),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
