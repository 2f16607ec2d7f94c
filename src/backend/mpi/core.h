/* backend/mpi/core.h - what a module asks of crew, in a program that is linked with both.
 *
 * libcrew exports one table, and a module looks for it under its name when it is called:
 * the two are not linked with each other, so that the same module can be loaded by crew. */
#ifndef CW_BACKEND_MPI_CORE_H
#define CW_BACKEND_MPI_CORE_H

#include "backend/mpi/module.h"

#include <crew/pool.h>

struct cw_mpi_core {
    uint32_t table; /* CW_MPI_TABLE */
    uint32_t size;  /* of this struct */
    /* crew_mpi_pool, of which the module has looked at what is MPI's. threads: MPI bears one
     * of crew's; if not, `level` is the name of what it bears. */
    int (*pool)(const struct cw_mpi *module, const struct cw_mpi_joint *joint, bool threads,
                const char *level, const crew_pool_opts *opts, crew_pool **pool, crew_error *err);
    /* An error of the module's; err may be NULL. Returns the code. */
    int (*fail)(crew_error *err, int code, const char *text);
};

extern CREW_API const struct cw_mpi_core crew_mpi_core;

#endif
