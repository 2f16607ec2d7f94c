/* mpi/remote_cut.c - the way between two nodes is cut, neither of which is the manager's: home
 * hears both and has lost nobody, but they have lost each other. */
#include "remote.h"

#include "beside.h"

static const int64_t BYTES = 4 << 20;

static int64_t next(crew_call *call) {
    return crewtest_add(CELL_WORKER + call->node, 1);
}

/* A worker of node 1 holds an object of node 2 and waits for another, when the way is cut. */
static int hold_or_inherit(crew_call *call) {
    const struct all *theirs = CREW_IN(call, struct all);
    if (call->node == 0 || next(call) != 0)
        return 0;
    if (call->node == 1) {
        TRY(crew_lock_acquire(theirs->lock, SOON));
        crewtest_add(CELL_READY, 1);
        WANT(crew_event_wait(theirs->event, CREW_FOREVER), CREW_EBROKEN);
        WANT(strstr(crew_last_error()->text, "was lost") != NULL, 1);
    } else {
        while (crewtest_get(CELL_READY) == 0)
            crewtest_pause();
        WANT(crew_lock_acquire(theirs->lock, CREW_FOREVER), CREW_OWNERDEAD);
        TRY(crew_lock_release(theirs->lock));
    }
    return 0;
}

/* Copies, as the cells name it. */
static crew_array copies(void) {
    return (crew_array){.place = (uint64_t)crewtest_get(CELL_SUM),
                        .check = (uint64_t)crewtest_get(CELL_SUM_2)};
}

/* Home's own way to both is whole. And node 2 is not dead: nothing is done without its copy. */
static int use_theirs(crew_call *call) {
    const struct all *theirs = CREW_IN(call, struct all);
    if (call->node == 1) {
        WANT(crew_lock_acquire(theirs->lock, SOON), CREW_EBROKEN);
        WANT(crew_array_reset(copies(), CREW_SUM, NULL), CREW_EBROKEN);
        WANT(crew_array_reduce(copies(), CREW_SUM, NULL), CREW_EBROKEN);
        WANT(strstr(crew_last_error()->text, "was lost") != NULL, 1);
        return 0;
    }
    TRY(crew_lock_acquire(theirs->lock, SOON));
    TRY(crew_lock_release(theirs->lock));
    return 0;
}

static void cut(void) {
    FILE *file = beside_open("ask", "w");
    assert_non_null(file);
    fputs("cut\n", file);
    assert_int_equal(fclose(file), 0);
    CREWTEST_WAIT(beside_has("done.cut"), SOON);
}

static void way__between_two_others_cut__both_go_on_without_each_other(void **state) {
    (void)state;
    crewtest_may_take(120);
    crew_pool *p = crewtest_open(WORKERS);
    struct all theirs = objects_of(p, 2);
    struct beside tasks;
    const crew_array_opts replicated = {.scope = CREW_ARRAY_REPLICATED};
    const int64_t n = 10;
    crew_array a;
    assert_ok(crew_array_create(&a, CREW_I64, 1, &n, &replicated), NULL);
    crewtest_set(CELL_SUM, (int64_t)a.place);
    crewtest_set(CELL_SUM_2, (int64_t)a.check);
    for (int node = 0; node < 3; node++)
        crewtest_set(CELL_WORKER + node, 0);
    crewtest_set(CELL_READY, 0);
    begin_beside(&tasks, p, hold_or_inherit, &theirs);
    assert_true(crewtest_reached(CELL_READY, 1, SOON));
    double from = crewtest_now();
    cut();
    assert_int_equal(pthread_join(tasks.thread, NULL), 0);
    assert_within(from, SOON);
    if (tasks.rc != 0)
        fail_msg("%d %s", tasks.rc, tasks.err.text);
    each(p, use_theirs, &theirs, sizeof theirs);
    assert_int_equal(end_all(&theirs), 0);
    assert_ok(crew_array_reset(a, CREW_SUM, NULL), NULL);
    assert_ok(crew_array_reduce(a, CREW_SUM, NULL), NULL);
    assert_ok(crew_array_destroy(a), NULL);
    crewtest_free(p);
}

/* Its chain is 0, 1, 2: nothing but the parts themselves goes from 1 to 2. */
static void broadcast__whose_way_is_cut__is_an_error(void **state) {
    (void)state;
    crewtest_may_take(120);
    crew_pool *p = crewtest_open(WORKERS);
    const crew_array_opts copies = {.scope = CREW_ARRAY_REPLICATED};
    crew_array a;
    assert_ok(crew_array_create(&a, CREW_U8, 1, &BYTES, &copies), NULL);
    assert_ok(crew_array_bcast(a), NULL);
    cut();
    double from = crewtest_now();
    assert_int_equal(crew_array_bcast(a), CREW_EBROKEN);
    assert_within(from, SOON);
    assert_ok(crew_array_destroy(a), NULL);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    const bool cast = argc > 1 && strcmp(argv[1], "cast") == 0;
    argc = 1;
    beside_sign();
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest objects[] = {
        CREWTEST(way__between_two_others_cut__both_go_on_without_each_other)};
    const struct CMUnitTest arrays[] = {CREWTEST(broadcast__whose_way_is_cut__is_an_error)};
    return crewtest_end(cast ? cmocka_run_group_tests(arrays, NULL, NULL)
                             : cmocka_run_group_tests(objects, NULL, NULL));
}
