/* Events: setting, waiting, and the ends of objects and users. */
#include "share/event.h"

#include "share/kinds.h"

#include <limits.h>

int cw_event_init(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err) {
    (void)share, (void)arg, (void)err;
    uint64_t generation = atomic_load(&head->generation) + 1;
    atomic_store(&((struct cw_event *)head)->word, generation << 32);
    return 0;
}

static bool is(uint64_t word, uint64_t check) {
    return word >> 32 == (check & 0xffffffff);
}

/* The count goes round within its half. */
static uint64_t turned(uint64_t word) {
    return (word & ~(uint64_t)0xffffffff) | (uint32_t)(word + 1);
}

int cw_event_turn(struct cw_event *event, uint64_t check, bool on) {
    uint64_t word = atomic_load(&event->word);
    do {
        if (!is(word, check))
            return CREW_EINVAL;
        if ((word & 1) == (on ? 1 : 0))
            return 0;
    } while (!atomic_compare_exchange_weak(&event->word, &word, turned(word)));
    if (on)
        cw_gate_wake(&event->gate, INT_MAX);
    return 0;
}

int cw_event_wait(struct cw_self *self, struct cw_event *event, uint64_t check, double timeout) {
    struct cw_deadline deadline = cw_deadline_in(timeout);
    uint64_t first = 0;
    for (;;) {
        uint32_t seen = cw_gate_look(&event->gate);
        uint64_t word = atomic_load(&event->word);
        if (!is(word, check))
            return CREW_EINVAL;
        if (word & 1 || (first && word != first))
            return 0;
        /* Destroyed, and the cell not used again: scrubbing leaves the word, for those
         * whom setting it has released and who wake up only now. */
        if (!cw_object_same(&event->head, check))
            return CREW_EINVAL;
        first = word;
        if (!cw_gate_wait(self, &event->gate, seen, &deadline))
            return CREW_ETIMEDOUT;
    }
}

static void wake(struct cw_share *share, struct cw_head *head) {
    (void)share;
    cw_gate_open(&((struct cw_event *)head)->gate, INT_MAX);
}

/* It may have set the event and woken nobody. */
static void bury(struct cw_share *share, struct cw_head *head, uint32_t party) {
    (void)share, (void)party;
    cw_gate_bury(&((struct cw_event *)head)->gate);
}

const struct cw_kind cw_kind_event = {.name = "event", .bytes = 64, .bury = bury, .wake = wake};

_Static_assert(sizeof(struct cw_event) <= 64, "a cell");
