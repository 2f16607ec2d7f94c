/* pingpong - 8 bytes from rank 0 to rank 1 and back.
 *
 *     pingpong COUNT     prints the seconds that it takes, of COUNT in a row; others wait */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    int rank, size, count = argc > 1 ? atoi(argv[1]) : 1000;
    long long word = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (size < 2)
        MPI_Abort(MPI_COMM_WORLD, 1);
    double start = 0;
    for (int i = -count / 10; i < count && rank < 2; i++) { /* the first ones warm up */
        if (i == 0)
            start = MPI_Wtime();
        if (rank == 0)
            MPI_Send(&word, 1, MPI_LONG_LONG, 1, 0, MPI_COMM_WORLD);
        MPI_Recv(&word, 1, MPI_LONG_LONG, 1 - rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (rank == 1)
            MPI_Send(&word, 1, MPI_LONG_LONG, 0, 0, MPI_COMM_WORLD);
    }
    if (rank == 0)
        printf("%.12g\n", (MPI_Wtime() - start) / count);
    MPI_Finalize();
    return 0;
}
