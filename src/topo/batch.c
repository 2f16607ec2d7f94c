#include "topo/batch.h"

#include <stdlib.h>

/* A whole number from 1 up, 0: it is none. */
static long long positive(const char *text) {
    char *end;
    if (!text || *text < '0' || *text > '9')
        return 0;
    long long value = strtoll(text, &end, 10);
    return *end == '\0' ? value : 0;
}

bool cw_batch_seconds_left(cw_getenv *get, double now, double *left) {
    long long end = positive(get("SLURM_JOB_END_TIME")), all = positive(get("PBS_WALLTIME"));
    if (end)
        *left = (double)end > now ? (double)end - now : 0;
    else if (all)
        *left = (double)all;
    return end || all;
}
