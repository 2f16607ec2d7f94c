/* backend/mpi/mpirun.h - the mpirun of Open MPI that started this process, which has to be
 * helped to its end: when a host has fallen silent it waits for its daemon there until TCP
 * gives that up, some 15 minutes, though all that could be reached has ended. */
#ifndef CW_BACKEND_MPI_MPIRUN_H
#define CW_BACKEND_MPI_MPIRUN_H

#include <stdbool.h>
#include <sys/types.h>

struct cw_mpirun {
    bool plain; /* it ends the job when a rank or host is lost: no --enable-recovery */
    pid_t pid;  /* 0: it is not known to be on this machine */
};

/* What an environment says. */
void cw_mpirun_find(char *const *environment, struct cw_mpirun *mpirun);

/* Leaves a process behind that ends it, if it still runs 3 s after the calling process has
 * ended. True: so it will be, for that pid is an mpirun above this process. */
bool cw_mpirun_ends_after_us(const struct cw_mpirun *mpirun);

#endif
