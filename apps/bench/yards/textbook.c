/* textbook - the manager and worker loop of the textbooks, in plain MPI: the manager
 * sends each worker an item, and the next one when the answer is there.
 *
 *     textbook COUNT     prints the seconds an item takes, of COUNT that do nothing */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORK = 1, ENOUGH = 2 };

/* Rank 0. False: an answer was wrong. */
static int manage(long long count, int workers) {
    long long sent = 0, answer, sum = 0;
    int none = 0;
    for (int rank = 1; rank <= workers && sent < count; rank++, sent++)
        MPI_Send(&sent, 1, MPI_LONG_LONG, rank, WORK, MPI_COMM_WORLD);
    for (long long got = 0; got < count; got++) {
        MPI_Status status;
        MPI_Recv(&answer, 1, MPI_LONG_LONG, MPI_ANY_SOURCE, WORK, MPI_COMM_WORLD, &status);
        sum += answer;
        if (sent < count) {
            MPI_Send(&sent, 1, MPI_LONG_LONG, status.MPI_SOURCE, WORK, MPI_COMM_WORLD);
            sent++;
        }
    }
    for (int rank = 1; rank <= workers; rank++)
        MPI_Send(&none, 0, MPI_LONG_LONG, rank, ENOUGH, MPI_COMM_WORLD);
    return sum == count * (count - 1) / 2;
}

static void work(void) {
    long long item;
    for (;;) {
        MPI_Status status;
        MPI_Recv(&item, 1, MPI_LONG_LONG, 0, MPI_ANY_TAG, MPI_COMM_WORLD, &status);
        if (status.MPI_TAG == ENOUGH)
            return;
        MPI_Send(&item, 1, MPI_LONG_LONG, 0, WORK, MPI_COMM_WORLD);
    }
}

int main(int argc, char **argv) {
    int rank, size, right = 1;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    long long count = argc > 1 ? atoll(argv[1]) : 100000;
    for (int round = 0; round < 2; round++) { /* the first one warms up */
        long long items = round ? count : count / 10;
        MPI_Barrier(MPI_COMM_WORLD);
        double start = MPI_Wtime();
        if (rank)
            work();
        else
            right = manage(items, size - 1) && right;
        if (rank == 0 && round)
            printf("%.12g\n", (MPI_Wtime() - start) / (double)items);
    }
    MPI_Finalize();
    return !right;
}
