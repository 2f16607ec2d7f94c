/* mpi/reach.c - elements of PARTITIONED arrays on other nodes, read one-sided: three nodes of
 * one rank or two, see tests/mpi/under. What is lost in the middle: mpi/arrays_lost.c.
 *
 * CREW_TEST_REACH says what is expected: 1 (the default) that elements come so, 0 that they
 * come by letters, with the same outcome. "reach time": what calls take, for people. */
#include "crewtest.h"
#include "in_task.h"

#include "share/ferry.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES = 3, WORKERS = 6, ROWS = 3000, COLUMNS = 257, CELL_READS = 24, CELL_PULLS = 25 };

static bool one_sided;

static crew_array make(int64_t rows, int64_t columns) {
    const int64_t shape[2] = {rows, columns};
    const crew_array_opts opts = {.scope = CREW_ARRAY_PARTITIONED};
    crew_array a;
    assert_ok(crew_array_create(&a, CREW_I64, 2, shape, &opts), NULL);
    return a;
}

static void everywhere(crew_pool *p, crew_fn *fn, crew_array a) {
    crew_error err;
    assert_ok(crew_pool_each(p, fn, &a, sizeof a, &err), &err);
}

static const struct cw_ferry *ferry(void) {
    return cw_ferry(cw_share_here());
}

/* ---- whose they are ---------------------------------------------------------- */

struct some {
    crew_array a;
    int64_t salt;
};

/* An item's rows, which lie on two nodes or three as it comes, in pieces of all sizes. */
enum { ITEMS = 6 };

static int64_t element(int64_t salt, int64_t i) {
    return salt * 1000000007 + i * 31;
}

static int puts_and_gets(crew_call *call) {
    struct some s = *CREW_COMMON(call, struct some);
    const int64_t each = (int64_t)ROWS * COLUMNS / ITEMS, first = call->index * each;
    int64_t *mine = malloc((size_t)each * 2 * sizeof *mine), *got = mine + each;
    CHECK(mine);
    for (int64_t i = 0; i < each; i++)
        mine[i] = element(s.salt, first + i);
    for (int64_t at = 0, n = 1; at < each; at += n, n = n * 3 + 1) {
        n = n < each - at ? n : each - at;
        CHECK(crew_array_put(s.a, first + at, n, mine + at) == 0);
    }
    for (int64_t at = 0, n = 2; at < each; at += n, n = n * 5 - 1) {
        n = n < each - at ? n : each - at;
        CHECK(crew_array_get(s.a, first + at, n, got + at) == 0);
    }
    CHECK(memcmp(mine, got, (size_t)each * sizeof *mine) == 0);
    free(mine);
    return 0;
}

static int counts(crew_call *call) {
    CHECK(ferry());
    if (crewtest_add(CELL_WORKER + call->node, 1) == 0) {
        crewtest_add(CELL_READS, (int64_t)ferry()->reads);
        crewtest_add(CELL_PULLS, (int64_t)ferry()->pulls);
    }
    return 0;
}

static void elements__put_and_got_by_every_worker__come_one_sided(void **state) {
    crew_pool *p = crewtest_open(WORKERS);
    crew_error err;
    (void)state;
    for (int turn = 0; turn < 3; turn++) {
        struct some s = {.a = make(ROWS, COLUMNS), .salt = turn + 1};
        const crew_map_opts opts = {.common = &s, .common_size = sizeof s, .chunk = 1};
        int64_t all = (int64_t)ROWS * COLUMNS, *got = malloc((size_t)all * sizeof *got);
        assert_non_null(got);
        assert_ok(crew_pool_map(p, puts_and_gets, NULL, 0, ITEMS, NULL, 0, &opts, &err), &err);
        for (int again = 0; again < 2; again++) {
            assert_ok(crew_array_get(s.a, 0, all, got), NULL);
            for (int64_t i = 0; i < all; i++)
                assert_int_equal(got[i], element(s.salt, i));
        }
        free(got);
        assert_ok(crew_array_destroy(s.a), NULL);
    }
    for (int node = 0; node < NODES; node++)
        crewtest_set(CELL_WORKER + node, 0);
    everywhere(p, counts, (crew_array){0});
    if (one_sided) {
        assert_true(ferry()->reads >= 2 * (uint64_t)ROWS * COLUMNS / 3);
        assert_true(crewtest_get(CELL_READS) > (int64_t)ferry()->reads); /* on other nodes, too */
        assert_true(crewtest_get(CELL_PULLS) > 0);
    } else {
        assert_int_equal(crewtest_get(CELL_READS) + crewtest_get(CELL_PULLS), 0);
    }
    crewtest_free(p);
}

/* ---- the ends of arrays -------------------------------------------------------- */

static _Atomic int reading; /* threads that have begun */
static crew_array victim;

/* Until it is gone: all that comes is the array's own. */
static void *reads_until_gone(void *arg) {
    enum { N = 20000 };
    int64_t *got = malloc(N * sizeof *got), want = *(int64_t *)arg, n = 0;
    int rc = got ? 0 : CREW_ENOMEM;
    const char *wrong = NULL;
    for (; rc == 0 && !wrong; n++) {
        rc = crew_array_get(victim, (n * 7919) % ((int64_t)ROWS * COLUMNS - N), N, got);
        for (int64_t i = 0; i < N && rc == 0; i++)
            if (got[i] != want)
                wrong = "another array's";
        if (n == 2)
            reading++;
    }
    free(got);
    return rc == CREW_EINVAL || wrong ? (void *)wrong : "not ended as it should";
}

static int fills_its_part(crew_call *call) {
    struct some s = *CREW_IN(call, struct some);
    int64_t first, rows;
    CHECK(crew_array_part(s.a, &first, &rows) == 0);
    int64_t *data = crew_array_row(s.a, first);
    for (int64_t i = 0; i < rows * COLUMNS; i++)
        data[i] = s.salt;
    return 0;
}

/* Each takes the memory that the one before has left. */
static void array__destroyed_while_it_is_read__gives_nothing_of_anothers(void **state) {
    enum { READERS = 3, ROUNDS = 6 };
    crew_pool *p = crewtest_open(WORKERS);
    crew_array next = make(ROWS, COLUMNS);
    (void)state;
    for (int64_t round = 1; round <= ROUNDS; round++) {
        struct some s = {.a = next, .salt = round};
        pthread_t readers[READERS];
        crew_error err;
        victim = next;
        reading = 0;
        assert_ok(crew_pool_each(p, fills_its_part, &s, sizeof s, &err), &err);
        for (int i = 0; i < READERS; i++)
            assert_int_equal(pthread_create(&readers[i], NULL, reads_until_gone, &s.salt), 0);
        while (reading < READERS)
            crewtest_pause();
        assert_ok(crew_array_destroy(victim), NULL);
        next = make(ROWS, COLUMNS);
        for (int i = 0; i < READERS; i++) {
            void *wrong;
            assert_int_equal(pthread_join(readers[i], &wrong), 0);
            assert_null(wrong);
        }
    }
    assert_ok(crew_array_destroy(next), NULL);
    crewtest_free(p);
}

/* Node 2 reads what node 1 has, which makes new arrays of that memory as soon as it can. */
static int reads_or_makes_others(crew_call *call) {
    enum { N = 20000 };
    const int64_t n = (int64_t)ROWS * COLUMNS / NODES;
    struct some s = *CREW_IN(call, struct some);
    int64_t *got = malloc((size_t)n * sizeof *got);
    int rc = 0;
    CHECK(got);
    memset(got, 0xee, (size_t)n * sizeof *got);
    while (call->node == 1 && crewtest_get(CELL_GATE) < s.salt) {
        crew_array other;
        CHECK(crew_array_create(&other, CREW_I64, 1, &n, NULL) == 0);
        CHECK(crew_array_put(other, 0, n, got) == 0);
        CHECK(crew_array_destroy(other) == 0);
    }
    for (int64_t turn = 0; call->node == 2 && rc == 0; turn++) {
        rc = crew_array_get(s.a, n + (turn * 7919) % (n - N), N, got);
        for (int64_t i = 0; i < N && rc == 0; i++)
            CHECK(got[i] == s.salt);
        if (turn == 2)
            crewtest_add(CELL_STARTED, 1);
    }
    CHECK(rc == 0 || rc == CREW_EINVAL);
    free(got);
    return 0;
}

struct readers {
    crew_pool *pool;
    struct some some;
    crew_error err;
};

static void *all_nodes_read(void *arg) {
    struct readers *r = arg;
    return crew_pool_each(r->pool, reads_or_makes_others, &r->some, sizeof r->some, &r->err) < 0
               ? r
               : NULL;
}

static void array__destroyed_while_others_read_it__gives_them_nothing_of_anothers(void **state) {
    enum { ROUNDS = 25 };
    struct readers r = {.pool = crewtest_open(WORKERS)};
    (void)state;
    crewtest_set(CELL_GATE, 0);
    for (int64_t round = 1; round <= ROUNDS; round++) {
        pthread_t thread;
        void *failed;
        r.some = (struct some){.a = make(ROWS, COLUMNS), .salt = round};
        assert_ok(crew_pool_each(r.pool, fills_its_part, &r.some, sizeof r.some, &r.err), &r.err);
        crewtest_set(CELL_STARTED, 0);
        assert_int_equal(pthread_create(&thread, NULL, all_nodes_read, &r), 0);
        while (crewtest_get(CELL_STARTED) < WORKERS / NODES)
            crewtest_pause();
        assert_ok(crew_array_destroy(r.some.a), NULL);
        crewtest_set(CELL_GATE, round);
        assert_int_equal(pthread_join(thread, &failed), 0);
        if (failed)
            fail_msg("round %d: %s", (int)round, r.err.text);
    }
    crewtest_free(r.pool);
}

/* The segment has room for a few of them at a time. */
static void memory__of_arrays_that_were_read__is_there_again(void **state) {
    enum { ROUNDS = 40, LARGE = 1 << 20 };
    crew_pool *p = crewtest_open(WORKERS);
    int64_t got[1000];
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        crew_array a = make(NODES * (int64_t)LARGE, 1);
        for (int64_t node = 0; node < NODES; node++) {
            got[0] = round;
            assert_ok(crew_array_put(a, node * LARGE + 5, 1, got), NULL);
            assert_ok(crew_array_get(a, node * LARGE + 5, 1000, got), NULL);
            assert_ok(crew_array_get(a, node * LARGE + 5, 1000, got), NULL);
            assert_int_equal(got[0], round);
        }
        assert_ok(crew_array_destroy(a), NULL);
    }
    crewtest_free(p);
}

/* ---- for people ------------------------------------------------------------------ */

static void time__of_calls__is_told(void **state) {
    static const int64_t sizes[] = {1, 512, 8192, 1 << 17, 1 << 19};
    static int64_t memory[1 << 19];
    crew_pool *p = crewtest_open(WORKERS);
    crew_array a = make(NODES * (1 << 19), 1);
    (void)state;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        int64_t n = sizes[k], reps = n > 100000 ? 100 : 500;
        double took[2], from;
        for (int put = 0; put < 2; put++) {
            crew_array_get(a, 1 << 19, n, memory);
            from = crewtest_now();
            for (int64_t i = 0; i < reps; i++)
                assert_ok((put ? crew_array_put(a, 1 << 19, n, memory)
                               : crew_array_get(a, 1 << 19, n, memory)),
                          NULL);
            took[put] = (crewtest_now() - from) / (double)reps * 1e6;
        }
        printf("%8lld bytes: get %8.1f us, put %8.1f us\n", (long long)n * 8, took[0], took[1]);
    }
    assert_ok(crew_array_destroy(a), NULL);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    bool times = argc > 1 && strcmp(argv[1], "time") == 0;
    setenv("CREW_SEGMENT_SIZE", "256M", 1);
    argc = 1;
    crewtest_begin(&argc, &argv);
    one_sided = crewtest_env("CREW_TEST_REACH", 1) != 0;
    const struct CMUnitTest tests[] = {
        CREWTEST(elements__put_and_got_by_every_worker__come_one_sided),
        CREWTEST(array__destroyed_while_it_is_read__gives_nothing_of_anothers),
        CREWTEST(array__destroyed_while_others_read_it__gives_them_nothing_of_anothers),
        CREWTEST(memory__of_arrays_that_were_read__is_there_again)};
    const struct CMUnitTest people[] = {CREWTEST(time__of_calls__is_told)};
    return crewtest_end(times ? cmocka_run_group_tests(people, NULL, NULL)
                              : cmocka_run_group_tests(tests, NULL, NULL));
}
