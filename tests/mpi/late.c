/* mpi/late.c - a program that calls MPI_Init after crew_init and is not linked with crew's
 * build for MPI: crew_init says so, in every rank, instead of taking MPI; and leaves it to
 * the program. Run by run.sh; rank 0 prints "ok - ". */
#include <crew/crew.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

static int rank = -1;

static void check(bool well, const char *what) {
    if (well)
        return;
    fprintf(stderr, "# rank %d: not so: %s: %s\n", rank, what, crew_last_error()->text);
    exit(1);
}

int main(int argc, char **argv) {
    int size = 0;
    crew_error err;
    check(crew_init(&argc, &argv) == CREW_EINVAL, "crew_init refuses");
    check(strstr(crew_last_error()->text, "calls MPI_Init itself") != NULL, "it says why");
    check(strstr(crew_last_error()->text, "link crew-mpi-") != NULL, "it says what to do");
    check(!crew_pool_open(NULL, &err) && err.code == CREW_EINVAL, "nor are there pools");
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    check(size == 2, "both ranks have come here");
    crew_finalize();
    MPI_Finalize();
    if (rank == 0)
        printf("ok - late\n");
    return 0;
}
