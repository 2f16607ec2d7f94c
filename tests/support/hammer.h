/* support/hammer.h - kills at any moment, of processes that use one object.
 *
 * Some workers run a task that never ends by itself: in a loop it does something
 * to the object and says that it goes on (hammer_on). A thread of the test kills
 * one after the other at random moments. After each kill all of them, the
 * replacement too, must go on within a bounded time: else the test fails. */
#ifndef HAMMER_H
#define HAMMER_H

#include "crewtest.h"

enum { HAMMER_WORKERS = 3, HAMMER_LIMIT_S = 10 };

/* In the task, each time round: counts, and says which process it is. False: the
 * test is over, the task should return 0. */
bool hammer_on(crew_call *call);

struct hammer {
    crew_fn *task;
    const void *common; /* the handles */
    size_t common_size;
    int64_t kills; /* 0: CREW_TEST_KILLS, else 2,000; 10,000 with CREW_TEST_LONG=1, which some
                    * ten such tests must end under in their stage; a tenth in slow builds,
                    * and where workers are not forked from here */
    /* After each kill, when the survivors have gone on: the object's invariants,
     * as far as they hold while others use it. May be NULL. */
    void (*check)(void *ctx, int64_t kill);
    void *ctx;
};
/* Runs it on a pool of HAMMER_WORKERS processes. Prints how many kills there were
 * and how long the longest pause after one was. */
void hammer_run(const struct hammer *hammer);

/* What objects take once the dead are buried. Before: when a first pool has given the
 * shelves their size, and `once` has made and destroyed an object of each kind. */
uint64_t hammer_memory(void);
uint64_t hammer_memory_before(void (*once)(void));
/* Fails if it is not what it was. */
void hammer_memory_is(uint64_t before);

#endif
