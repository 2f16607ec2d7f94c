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
int cw_mpi_load(const struct cw_launcher *launcher, const char *named,
                const struct cw_mpi **module, crew_error *err);

/* Where the module of that flavour is, without loading it: true, with its path. */
bool cw_mpi_find(const char *flavour, const char *named, char *path, size_t cap);

/* Whether MPI, once started, sees the job that the launcher told of: CREW_EINVAL
 * says that it does not, and why that is so: a module for one MPI, started by the
 * launcher of another, is a job of one rank in each process. */
int cw_mpi_agrees(const struct cw_launcher *launcher, const struct cw_mpi *module,
                  const struct cw_mpi_place *place, crew_error *err);

/* Whether the program has MPI loaded by itself and has started it: then MPI is the
 * program's own, and no module is to be loaded. */
bool cw_mpi_is_the_programs(void);

#endif
