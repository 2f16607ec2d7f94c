/* fault/hints_test.c - a task whose hint was lost with a worker begins in bounded
 * time, also where others keep coming. */
#include "crewtest.h"

#include "api/future_impl.h"

#include <stdlib.h>

static int take_a_while(crew_call *call) {
    double end = crewtest_now() + 0.0005;
    while (crewtest_now() < end)
        ;
    (void)call;
    return 0;
}

static int note(crew_call *call) {
    crewtest_set(CELL_OWN, 1);
    (void)call;
    return 0;
}

/* As a worker does that dies with what it has popped. */
static void lose_hint(crew_pool *p) {
    uint32_t number;
    pthread_mutex_lock(&p->lock);
    assert_true(cw_task_pop(&p->maps, p->team, &number));
    atomic_store(&p->team->hints_lost, 1);
    pthread_mutex_unlock(&p->lock);
}

/* False: the stream was not steady, for this process did not get to run. Nothing was seen then
 * of how a hint fares that others follow. */
static bool stream_past(int priority) {
    enum { AHEAD = 100 };
    crew_future *f[AHEAD] = {NULL};
    crew_error err;
    int64_t gate = CELL_GATE;
    const crew_submit_opts opts = {.priority = priority};
    crewtest_set(CELL_GATE, 0);
    crewtest_set(CELL_STARTED, 0);
    crewtest_set(CELL_OWN, 0);
    crew_pool *p = crewtest_open(1);
    crew_future *busy = crew_submit(p, crewtest_gated_task, &gate, sizeof gate, NULL, &err);
    assert_true(crewtest_reached(CELL_STARTED, 1, 10));
    crew_future *lost = crew_submit(p, note, NULL, 0, &opts, &err);
    lose_hint(p);
    int64_t sent = 0, least = AHEAD;
    double end = crewtest_now() + 10;
    while (!crew_future_done(lost) && crewtest_now() < end) {
        crew_future **at = &f[sent++ % AHEAD];
        if (*at)
            assert_ok(crew_future_result(*at, NULL, 0, 20, &err), &err);
        crew_future_free(*at);
        *at = crew_submit(p, take_a_while, NULL, 0, &opts, &err);
        assert_non_null(*at);
        if (sent == AHEAD)
            crewtest_set(CELL_GATE, 1);
        int64_t left = cw_ring_size(cw_task_ring(&p->maps, p->team, cw_task_level(priority)));
        least = sent > AHEAD && left < least ? left : least;
    }
    assert_int_equal(crewtest_get(CELL_OWN), 1);
    crew_future_free(busy);
    crew_future_free(lost);
    for (int i = 0; i < AHEAD; i++)
        crew_future_free(f[i]);
    crewtest_free(p);
    return least > 0;
}

static void hint__lost_under_a_steady_stream__comes_back_in_time(void **state) {
    enum { TRIES = 20 };
    (void)state;
    for (int priority = -1; priority <= 1; priority++) {
        int tries = 1;
        while (!stream_past(priority))
            assert_true(tries++ < TRIES);
    }
}

/* One whose ring goes on being passed over for a more urgent one is not forgotten. */
static void hint__lost_behind_what_is_urgent__comes_back_when_its_turn_is(void **state) {
    enum { URGENT = 2000 };
    static crew_future *f[URGENT];
    crew_error err;
    int64_t gate = CELL_GATE;
    const crew_submit_opts high = {.priority = 2};
    (void)state;
    crew_pool *p = crewtest_open(1);
    crew_future *busy = crew_submit(p, crewtest_gated_task, &gate, sizeof gate, NULL, &err);
    assert_true(crewtest_reached(CELL_STARTED, 1, 10));
    crew_future *lost = crew_submit(p, note, NULL, 0, NULL, &err);
    lose_hint(p);
    for (int i = 0; i < URGENT; i++)
        f[i] = crew_submit(p, take_a_while, NULL, 0, &high, &err);
    crewtest_set(CELL_GATE, 1);
    assert_ok(crew_future_result(lost, NULL, 0, 20, &err), &err);
    for (int i = 0; i < URGENT; i++) {
        assert_ok(crew_future_result(f[i], NULL, 0, 20, &err), &err);
        crew_future_free(f[i]);
    }
    crew_future_free(busy);
    crew_future_free(lost);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (!crewtest_has(CREWTEST_PROCESSES))
        return crewtest_skip_all();
    const struct CMUnitTest tests[] = {
        CREWTEST(hint__lost_under_a_steady_stream__comes_back_in_time),
        CREWTEST(hint__lost_behind_what_is_urgent__comes_back_when_its_turn_is),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
