/* A module that is none of ours: the version of its table is FAKE_TABLE. */
#include "backend/mpi/module.h"

extern const struct cw_mpi cw_mpi_module;
const struct cw_mpi cw_mpi_module = {
    .table = FAKE_TABLE, .size = sizeof(struct cw_mpi), .flavour = "fake"};
