/* unit/gate_test.c - what a burial does at a gate: it wakes those who sleep, and costs
 * nothing where nobody does. */
#include "crewtest.h"

#include "api/objects.h"
#include "share/event.h"

#include <pthread.h>

static struct cw_event *cell_of(crew_event e) {
    return (struct cw_event *)(cw_share_here()->root.base +
                               (e.place & (((uint64_t)1 << 48) - 1)));
}

static void gate__where_nobody_sleeps__is_left_alone_by_burials(void **state) {
    crew_event e;
    (void)state;
    assert_ok(crew_event_create(&e), NULL);
    cw_gate *gate = &cell_of(e)->gate;
    cw_gate_open(gate, INT_MAX);
    uint32_t turn = atomic_load(&gate->turn);
    assert_int_equal(atomic_load(&gate->sleepers), 0);
    cw_gate_bury(gate);
    assert_int_equal(atomic_load(&gate->turn), turn);
    cw_gate_look(gate);
    assert_int_equal(atomic_load(&gate->sleepers), CW_GATE_SOME);
    cw_gate_bury(gate);
    assert_int_not_equal(atomic_load(&gate->turn), turn);
    assert_int_equal(atomic_load(&gate->sleepers), 0);
    assert_ok(crew_event_destroy(e), NULL);
}

static _Atomic bool open_now;

static void *sleep_there(void *arg) {
    cw_gate *gate = arg;
    struct cw_self *self = cw_self_get();
    struct cw_deadline deadline = cw_deadline_in(30);
    for (;;) {
        uint32_t seen = cw_gate_look(gate);
        if (open_now)
            break;
        if (!self || !cw_gate_wait(self, gate, seen, &deadline))
            break;
    }
    return NULL;
}

/* It changed something, and died before the sleeper was woken: before it had begun, or
 * in the middle. */
static void gate__whose_waker_died__is_opened_by_its_burial(void **state) {
    const uint32_t left[] = {CW_GATE_SOME, CW_GATE_WAKING};
    crew_event e;
    (void)state;
    assert_ok(crew_event_create(&e), NULL);
    cw_gate *gate = &cell_of(e)->gate;
    int woken[2] = {0, 0};
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        open_now = false;
        assert_int_equal(pthread_create(&thread, NULL, sleep_there, gate), 0);
        CREWTEST_WAIT(atomic_load(&gate->sleepers) == CW_GATE_SOME, 10);
        open_now = true;
        atomic_store(&gate->sleepers, left[i % 2]);
        double from = crewtest_now();
        cw_gate_bury(gate);
        pthread_join(thread, NULL);
        woken[i % 2] += crewtest_now() - from < 0.3;
    }
    /* Not only when it looks again by itself, after half a second. The machine may pause
     * in one of the rounds, all of which take some milliseconds. */
    print_message("%d and %d of 10 were woken\n", woken[0], woken[1]);
    assert_true(woken[0] >= 9 && woken[1] >= 9);
    assert_ok(crew_event_destroy(e), NULL);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(gate__where_nobody_sleeps__is_left_alone_by_burials),
        CREWTEST(gate__whose_waker_died__is_opened_by_its_burial),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
