/* What a program calls that is linked with this module: see crew/mpi.h. */
#include "backend/mpi/core.h"
#include "backend/mpi/module_impl.h"

#include <crew/mpi.h>
#include <stdio.h>

extern const struct cw_mpi cw_mpi_module;

/* Not there in a program that crew was not linked to as a shared library. */
#pragma weak crew_mpi_core

static const char *level_name(int level) {
    return level == MPI_THREAD_SINGLE     ? "MPI_THREAD_SINGLE"
           : level == MPI_THREAD_FUNNELED ? "MPI_THREAD_FUNNELED"
                                          : "MPI_THREAD_SERIALIZED";
}

/* Of this process alone: what would make a collective call impossible. NULL: nothing. */
static const char *trouble(MPI_Comm comm, int *level) {
    int yes = 0;
    MPI_Initialized(&yes);
    if (!yes)
        return "crew_mpi_pool comes after MPI_Init";
    MPI_Finalized(&yes);
    if (yes)
        return "crew_mpi_pool comes before MPI_Finalize";
    if (comm == MPI_COMM_NULL)
        return "the communicator is MPI_COMM_NULL";
    MPI_Comm_test_inter(comm, &yes);
    if (yes)
        return "the communicator is an intercommunicator: merge it first (MPI_Intercomm_merge)";
    MPI_Query_thread(level);
    MPI_Is_thread_main(&yes);
    if (*level <= MPI_THREAD_FUNNELED && !yes)
        return "this thread may not call MPI: ask MPI_Init_thread for more than "
               "MPI_THREAD_FUNNELED";
    return NULL;
}

int crew_mpi_pool(MPI_Comm comm, int root, const crew_pool_opts *opts, crew_pool **pool,
                  crew_error *err) {
    const struct cw_mpi_core *core = &crew_mpi_core;
    int level = 0;
    if (pool)
        *pool = NULL;
    if (!core || core->table != CW_MPI_TABLE || core->size != sizeof *core) {
        static const char text[] = "libcrew-mpi and libcrew are of different versions, or libcrew "
                                   "is not linked as a shared library";
        if (err) {
            *err = (crew_error){.code = CREW_ENOTSUP, .item = -1, .worker = -1};
            snprintf(err->text, sizeof err->text, "%s", text);
        }
        return CREW_ENOTSUP;
    }
    const char *why = pool ? trouble(comm, &level) : "pool is NULL";
    if (why)
        return core->fail(err, CREW_EINVAL, why);
    const struct cw_mpi_joint joint = {.comm = &comm, .root = root};
    return core->pool(&cw_mpi_module, &joint, level == MPI_THREAD_MULTIPLE, level_name(level), opts,
                      pool, err);
}

/* A program that is linked with this module finds this one before MPI's, so the pool goes while MPI
 * is whole. An attribute of MPI_COMM_SELF (module_start.c) comes too late for MPICH: it stops
 * locking for threads before, so a lock that the agent's thread has at that moment stays
 * locked, MPI cannot destroy it, and the rank aborts. */
__attribute__((visibility("default"))) int MPI_Finalize(void) {
    cw_module_free_pool();
    return PMPI_Finalize();
}
