/* crew/mpi.h - crew in programs that use MPI themselves.
 *
 * Who owns MPI:
 *
 *   - A program that is linked with one of crew's builds for MPI, crew-mpi-openmpi or
 *     crew-mpi-mpich, or has called MPI_Init before crew_init: the program does. crew_init
 *     returns on every rank and does not touch MPI; crew_pool_open opens pools of the
 *     rank's own, and CREW_BACKEND=mpi is CREW_ENOTSUP there.
 *   - Any other program that a launcher of MPI has started: crew does. crew_init starts
 *     MPI and returns in rank 0 alone. MPI_Init is an error in such a program, and one
 *     that would come to it, for it has calls of MPI_Init or MPI_Init_thread, is told by
 *     crew_init: CREW_EINVAL on every rank, with the ways out.
 *
 * Programs are built with `pkg-config --cflags --libs crew-mpi-openmpi` (or crew-mpi-mpich),
 * or in CMake with the target crew::mpi-openmpi (or crew::mpi-mpich), with that MPI's
 * compiler wrapper or without. libcrew itself links no MPI. */
#ifndef CREW_MPI_H
#define CREW_MPI_H

#include <crew/pool.h>
#include <mpi.h>

#endif
