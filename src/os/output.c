/* Flushing standard output at the right moments. */
#include "os/output.h"

#include <stdio.h>
#include <stdio_ext.h>
#include <unistd.h>

void cw_output_flush(void) {
    if (__fpending(stdout))
        fflush(stdout);
    if (__fpending(stderr))
        fflush(stderr);
}

void cw_output_forget(void) {
    __fpurge(stdout);
    __fpurge(stderr);
}

void cw_output_by_line(void) {
    /* A line that fits the buffer is one write, and a write to a pipe of up to
     * PIPE_BUF bytes is not mixed with those of other workers. A file opened for
     * appending behaves alike. */
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
}
