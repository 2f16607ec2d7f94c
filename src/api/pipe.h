/* api/pipe.h - ends of pipes that are given to a process when it starts. */
#ifndef CW_API_PIPE_H
#define CW_API_PIPE_H

#include <crew/channel.h>

/* Whether all of them can be given: by who starts it, before. */
int cw_conns_check(const crew_conn *conns, int count, crew_error *err);
/* By the process: they are its own. One that was closed meanwhile is not. A code: one could
 * not be had of its node. */
int cw_conns_take(const crew_conn *conns, int count);

#endif
