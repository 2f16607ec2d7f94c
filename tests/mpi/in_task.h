/* mpi/in_task.h - checks inside of tasks, which are on other nodes. */
#ifndef IN_TASK_H
#define IN_TASK_H

#include "crewtest.h"

/* Else the task fails: where it went wrong, and what the library says of it. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return crew_fail(call, 1, "line %d, node %d: %s (%s)", __LINE__, call->node,           \
                             #condition, crew_last_error()->text);                                 \
    } while (0)

#endif
