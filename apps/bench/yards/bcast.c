/* bcast - MPI_Bcast of so many bytes among all ranks, in memory touched before.
 *
 *     bcast BYTES ROUNDS     prints the seconds of each round, until the last rank has it */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    int rank, right = 1;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    int bytes = argc > 1 ? atoi(argv[1]) : 1 << 20, rounds = argc > 2 ? atoi(argv[2]) : 3;
    unsigned char *memory = malloc((size_t)bytes);
    if (!memory)
        MPI_Abort(MPI_COMM_WORLD, 1);
    memset(memory, 255, (size_t)bytes);
    for (int round = -1; round < rounds; round++) { /* the first one warms up */
        if (rank == 0)
            memory[bytes - 1] = (unsigned char)(round + 1);
        MPI_Barrier(MPI_COMM_WORLD);
        double start = MPI_Wtime();
        MPI_Bcast(memory, bytes, MPI_BYTE, 0, MPI_COMM_WORLD);
        MPI_Barrier(MPI_COMM_WORLD);
        right = right && memory[bytes - 1] == (unsigned char)(round + 1);
        if (rank == 0 && round >= 0)
            printf("%.12g\n", MPI_Wtime() - start);
    }
    free(memory);
    MPI_Finalize();
    return !right;
}
