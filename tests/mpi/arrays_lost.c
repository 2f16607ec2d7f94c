/* mpi/arrays_lost.c - a node is lost while an array is broadcast, reduced, or read and
 * written: the argument says which. Whoever calls is told, by name, and goes on with what
 * is left. Three nodes that bear it: crewrun3x2, see tests/mpi/under. */
#include "crewtest.h"

#include "beside.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { NODES = 3, RANKS = 2, WORKERS = 6, LOST = 1, LARGE = 16 << 20 };
static const double SOON = 20;

static const char *what;
static _Atomic int begun;

static crew_array make(int scope, int64_t n) {
    const crew_array_opts opts = {.scope = scope};
    crew_array a;
    assert_ok(crew_array_create(&a, CREW_I32, 1, &n, &opts), NULL);
    return a;
}

/* In the middle of what the test's thread does. */
static void *kills(void *arg) {
    double from = crewtest_now(), wait = *(double *)arg;
    while (!begun)
        crewtest_pause();
    for (from = crewtest_now(); crewtest_now() < from + wait;)
        crewtest_pause();
    return beside_kill_rank(RANKS * LOST) ? arg : NULL;
}

static int once(crew_array a, int32_t *memory) {
    if (strcmp(what, "bcast") == 0)
        return crew_array_bcast(a);
    if (strcmp(what, "reduce") == 0)
        return crew_array_reduce(a, CREW_SUM, NULL);
    int rc = crew_array_get(a, 0, LARGE / 4, memory);
    rc = rc ? rc : crew_array_put(a, 0, LARGE / 4, memory);
    return rc ? rc : crew_array_add(a, 0, LARGE / 4, memory);
}

static int is_everywhere(crew_call *call) {
    const int32_t *data = crew_array_data(*CREW_IN(call, crew_array));
    if (!data)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    for (int64_t i = 0; i < LARGE / 4; i++)
        if (data[i] != (int32_t)i)
            return crew_fail(call, 2, "element %d is %d", (int)i, (int)data[i]);
    return 0;
}

static int adds_one(crew_call *call) {
    const int32_t one = 1;
    return crew_array_add(*CREW_COMMON(call, crew_array), LARGE / 4 - 1, 1, &one);
}

/* What goes on without the node. */
static void goes_on(crew_pool *p, crew_array a, int32_t *memory) {
    crew_error err;
    int32_t *data = crew_array_data(a);
    if (strcmp(what, "bcast") == 0) {
        assert_ok(crew_array_bcast(a), NULL);
        assert_ok(crew_pool_map(p, is_everywhere, &a, sizeof a, 1, NULL, 0, NULL, &err), &err);
        crew_pool_free(p);
        p = crewtest_open(4); /* on the nodes that are left */
        assert_ok(crew_pool_each(p, is_everywhere, &a, sizeof a, &err), &err);
    } else if (strcmp(what, "reduce") == 0) {
        const crew_map_opts opts = {.common = &a, .common_size = sizeof a, .chunk = 1};
        assert_ok(crew_array_reset(a, CREW_SUM, NULL), NULL);
        assert_ok(crew_pool_map(p, adds_one, NULL, 0, 50, NULL, 0, &opts, &err), &err);
        assert_ok(crew_array_reduce(a, CREW_SUM, NULL), NULL);
        assert_int_equal(data[LARGE / 4 - 1], 50);
    } else {
        int64_t first, rows;
        assert_ok(crew_array_part(a, &first, &rows), NULL);
        assert_ok(crew_array_get(a, first, rows, memory), NULL);
        assert_ok(crew_array_put(a, LARGE / 4 - rows + 1, rows - 1, memory), NULL); /* the last node's */
        assert_int_equal(crew_array_add(a, rows + 5, 1, memory), CREW_EBROKEN);
        const int64_t n = 100;
        const crew_array_opts parts = {.scope = CREW_ARRAY_PARTITIONED};
        crew_array other;
        assert_int_equal(crew_array_create(&other, CREW_I32, 1, &n, &parts), CREW_EBROKEN);
        assert_text(crew_last_error()->text, "was lost");
    }
    crew_array copies = make(CREW_ARRAY_REPLICATED, 1000);
    assert_ok(crew_array_bcast(copies), NULL);
    assert_ok(crew_array_destroy(copies), NULL);
    crewtest_free(p);
}

static void lost__in_the_middle__is_told_by_name_and_the_rest_goes_on(void **state) {
    static int32_t memory[LARGE / 4];
    bool parts = strcmp(what, "parts") == 0;
    double wait = (double)(crewtest_random() % 100) * 0.001;
    crew_pool *p = crewtest_open(WORKERS);
    crew_array a = make(parts ? CREW_ARRAY_PARTITIONED : CREW_ARRAY_REPLICATED, LARGE / 4);
    int32_t *data = crew_array_data(a);
    pthread_t killer;
    void *killed;
    int rc;
    (void)state;
    for (int64_t i = 0; i < LARGE / 4 && !parts; i++)
        data[i] = (int32_t)i;
    assert_int_equal(pthread_create(&killer, NULL, kills, &wait), 0);
    double from = crewtest_now();
    while ((rc = once(a, memory)) == 0 && crewtest_now() < from + SOON)
        begun = 1;
    begun = 1;
    assert_int_equal(rc, CREW_EBROKEN);
    assert_text(crew_last_error()->text, "node ");
    assert_text(crew_last_error()->text, "was lost");
    assert_within(from, SOON);
    assert_int_equal(pthread_join(killer, &killed), 0);
    assert_non_null(killed);
    goes_on(p, a, memory);
    assert_ok(crew_array_destroy(a), NULL);
    assert_int_equal(crew_array_size(a), CREW_EINVAL);
}

int main(int argc, char **argv) {
    beside_sign();
    what = argc > 1 ? argv[1] : "bcast";
    argc = 1;
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(lost__in_the_middle__is_told_by_name_and_the_rest_goes_on)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    beside_make("struck", 1);
    return crewtest_end(failed);
}
