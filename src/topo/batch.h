/* topo/batch.h - what batch systems tell a job in its environment. Pure. */
#ifndef CW_TOPO_BATCH_H
#define CW_TOPO_BATCH_H

#include <stdbool.h>

typedef const char *cw_getenv(const char *name);

/* In how many seconds the batch system will end the job, if it tells. now: the time of
 * day, in seconds of the epoch.
 *
 *     SLURM_JOB_END_TIME  seconds of the epoch: sbatch(1), "output environment variables"
 *     PBS_WALLTIME        seconds in all, as asked for: TORQUE's "exported batch environment
 *                         variables"; taken from now on, since it does not tell when the job
 *                         began
 *
 * PBS Professional, LSF and Grid Engine tell nothing; they send signals. */
bool cw_batch_seconds_left(cw_getenv *get, double now, double *left);

#endif
