/* Says what loading a module comes to in this program: linked statically, it cannot. */
#include "backend/mpi/load.h"

#include <stdio.h>

int main(void) {
    struct cw_launcher launcher = {.kind = CW_LAUNCHER_OPENMPI,
                                   .name = "mpirun of Open MPI",
                                   .flavour = "openmpi",
                                   .rank = 0,
                                   .size = 1};
    const struct cw_mpi *module;
    crew_error err;
    int rc = cw_mpi_load(&launcher, NULL, &module, &err);
    puts(rc == 0 ? "loaded" : err.text);
    return 0;
}
