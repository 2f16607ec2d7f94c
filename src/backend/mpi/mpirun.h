/* backend/mpi/mpirun.h - the mpirun of Open MPI that started this process, which has to be
 * helped to its end. When a host has fallen silent it notices that by itself, later, by TCP's
 * keepalive, and then ends at once. But if it ends the job for another reason before, it waits
 * for its daemon there, to which it has sent something, and TCP does not look after a
 * connection that waits for an answer: it gives it up after some 15 minutes. */
#ifndef CW_BACKEND_MPI_MPIRUN_H
#define CW_BACKEND_MPI_MPIRUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct cw_mpirun {
    bool plain;    /* it ends the job when a rank or host is lost: no --enable-recovery */
    pid_t pid;     /* 0: it is not known to be on this machine */
    int notices_s; /* of silence, then it notices; 0: never */
};

/* What an environment says. */
void cw_mpirun_find(char *const *environment, struct cw_mpirun *mpirun);

/* Leaves a process behind that ends it, if it still runs 3 s after the calling process has
 * ended. True: so it will be, for that pid is an mpirun above this process. */
bool cw_mpirun_ends_after_us(const struct cw_mpirun *mpirun);

/* Where it is on another machine: gives it the time to notice a silence that began at that
 * time (cw_now_ns). In that it ends the job, and with it this process; if this returns, it
 * has not. */
void cw_mpirun_await(const struct cw_mpirun *mpirun, int64_t since_ns);

#endif
