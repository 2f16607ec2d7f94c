/* backend/mpi/load.h - finding the module that speaks MPI, and loading it.
 *
 * Looked for, in this order: what CREW_MPI_MODULE names (a module, or the folder of
 * both; nothing else is tried then); beside the object that holds this code
 * (libcrew.so, or the program where crew is linked statically); where an install
 * puts libraries, seen from there; where this build installs them; the system's
 * search path. Once loaded, a module stays: MPI cannot be unloaded. */
#ifndef CW_BACKEND_MPI_LOAD_H
#define CW_BACKEND_MPI_LOAD_H

#include "backend/mpi/launcher.h"
#include "backend/mpi/module.h"

#include <crew/error.h>
#include <stdbool.h>
#include <stddef.h>

/* Loads the module for that launcher. `named`: CREW_MPI_MODULE's value, or NULL.
 * CREW_ENOTSUP says what is missing and what to do: no launcher; no module; one
 * that is another version's, or whose MPI is not installed; a program that cannot
 * load anything, being static. Starts no MPI. */
int cw_mpi_load(const struct cw_launcher *launcher, const char *named, const struct cw_mpi **module,
                crew_error *err);

/* Where the module of that flavour is, without loading it: true, with its path.
 * False also for one that only the system's search path leads to. */
bool cw_mpi_find(const char *flavour, const char *named, char *path, size_t cap);

/* Whether MPI, once started, sees the job that the launcher told of. CREW_EMISMATCH
 * says that it does not, and why: a module for one MPI under the launcher of another
 * makes of each process a job of its own. */
int cw_mpi_agrees(const struct cw_launcher *launcher, const struct cw_mpi *module,
                  const struct cw_mpi_place *place, crew_error *err);

/* Whether MPI is the program's own, and no module is to be loaded: it has started MPI by
 * itself, or is linked with one of the modules (crew/mpi.h). To be asked before one is
 * loaded. */
bool cw_mpi_is_the_programs(void);

/* Whether the program itself, not only a library of its, has calls of MPI_Init: if crew
 * started MPI, that would end it. False where that cannot be seen. */
bool cw_mpi_is_called(void);

#endif
