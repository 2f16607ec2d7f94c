/* backend/mpi/launcher.h - who started this process: what an environment says.
 *
 * Pure: it looks at the variables that it is given and nowhere else. It tells a
 * process that is one rank of an MPI job from one that is not, and the one sort
 * that must not go on: one of several tasks that nobody tells about each other,
 * each of which would be a manager of its own. */
#ifndef CW_BACKEND_MPI_LAUNCHER_H
#define CW_BACKEND_MPI_LAUNCHER_H

#include <crew/error.h>

enum {
    CW_LAUNCHER_NONE,    /* a shell, a batch script, srun of one task */
    CW_LAUNCHER_OPENMPI, /* mpirun of Open MPI and of what is built on it; jsrun */
    CW_LAUNCHER_PMIX,    /* srun --mpi=pmix, prun, ... */
    CW_LAUNCHER_PMI,     /* mpiexec of MPICH, Intel MPI; srun --mpi=pmi2; PALS; flux */
    CW_LAUNCHER_MVAPICH, /* mpirun_rsh */
};

struct cw_launcher {
    int kind;            /* CW_LAUNCHER_* */
    const char *name;    /* for sentences: "mpirun of Open MPI" */
    const char *flavour; /* of the module that fits: "openmpi", "mpich"; NULL: none */
    int rank;            /* -1: not told */
    int size;            /* ranks of the job; 0: not told */
};

/* 0, with *launcher filled; the strings are constants. CREW_EINVAL says what to do
 * instead: srun of several tasks without PMI, or variables that contradict each
 * other. `environment` as environ: NULL at its end. */
int cw_launcher_find(char *const *environment, struct cw_launcher *launcher, crew_error *err);

#endif
