/* base/error.h - filling a crew_error. The first detector fills it; callers
 * pass it on. Everybody may include this. */
#ifndef CW_BASE_ERROR_H
#define CW_BASE_ERROR_H

#include <crew/error.h>

/* Fills *err (this thread's last error if err is NULL): code, sys, the text,
 * and no item, worker or attempt. Returns code, so that callers can write
 *     return cw_error_set(err, CREW_EINVAL, 0, "count is %d", n); */
int cw_error_set(crew_error *err, int code, int sys, const char *fmt, ...) CREW_PRINTF(4, 5);

/* Leaves code 0 in *err (or in this thread's last error). Returns 0. */
int cw_error_clear(crew_error *err);

/* The struct that a call without a crew_error fills: this thread's last error. */
crew_error *cw_error_last(void);

/* A copy into *err, or into this thread's last error. Returns from->code. */
int cw_error_copy(crew_error *err, const crew_error *from);

#endif
