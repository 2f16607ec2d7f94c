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

/* How many processors the job was given, as far as its environment tells. */
struct cw_batch_cpus {
    int node; /* on this node, all of the job's tasks together; 0: it does not tell */
    int task; /* to each task, of which this is one; 0: it does not tell */
    const char *node_says, *task_says; /* the variables */
};

/* host: this node's name, which lists of nodes have with or without its domain.
 *
 *     SLURM_CPUS_ON_NODE    node  sbatch(1), srun(1), "output environment variables"
 *     SLURM_CPUS_PER_TASK   task  the same; where SLURM_STEP_ID says that this is srun's task:
 *                                 the batch script has it, too, and may use all of the node
 *     PBS_NUM_PPN, PBS_NP   node  TORQUE, "exported batch environment variables". PBS_NP is of
 *                                 all nodes together: of one, it is no more
 *     NCPUS                 node  PBS Professional, User's Guide, "PBS environment variables";
 *                                 with PBS_JOBID
 *     LSB_MCPU_HOSTS        node  LSF, "environment variables set for job execution": hosts
 *     LSB_DJOB_NUMPROC      node  and their slots; the slots of all
 *     NSLOTS                node  Grid Engine, qsub(1), of all nodes together; with JOB_ID and
 *                                 SGE_ROOT
 *     PALS_DEPTH            task  HPE's PALS (mpiexec, aprun -d), with PALS_RANKID
 *     ALPS_APP_DEPTH        task  Cray's aprun(1) -d, with ALPS_APP_PE
 *
 * OMP_NUM_THREADS is not among them: it says how many threads a task has, not how many
 * tasks there may be. */
struct cw_batch_cpus cw_batch_cpus(cw_getenv *get, const char *host);
/* What a process may use by that: the smaller of the two, 0: nothing is told. *says: the
 * variable. */
int cw_batch_limit(const struct cw_batch_cpus *cpus, const char **says);

#endif
