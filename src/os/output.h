/* os/output.h - what tasks print comes out once, and whole. */
#ifndef CW_OS_OUTPUT_H
#define CW_OS_OUTPUT_H

/* stdout and stderr, if anything is pending: before a fork, after a chunk. */
void cw_output_flush(void);
/* In a nursery that was just forked: what another thread of the manager has printed
 * since the flush is the manager's to write. */
void cw_output_forget(void);
/* In a fresh worker: lines leave in one piece each, also into a pipe. */
void cw_output_by_line(void);

#endif
