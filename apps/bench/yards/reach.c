/* reach - MPI_Get, MPI_Put and MPI_Accumulate of 8-byte integers in rank 0's window by rank 1,
 * each with the MPI_Win_flush after which it is done; other ranks wait.
 *
 *     reach COUNT BYTES...     prints the seconds of each, size by size; of COUNT in a row, and of
 *                              fewer where they are long */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { GET, PUT, ADD, WAYS, LONG_BYTES = 64 << 10, FEWEST = 4 };

static void once(int way, long long *mine, int n, MPI_Win win) {
    if (way == GET)
        MPI_Get(mine, n, MPI_LONG_LONG, 0, 0, n, MPI_LONG_LONG, win);
    else if (way == PUT)
        MPI_Put(mine, n, MPI_LONG_LONG, 0, 0, n, MPI_LONG_LONG, win);
    else
        MPI_Accumulate(mine, n, MPI_LONG_LONG, 0, 0, n, MPI_LONG_LONG, MPI_SUM, win);
    MPI_Win_flush(0, win);
}

static double seconds(int way, long long *mine, int n, long long count, MPI_Win win) {
    double start = 0;
    for (long long i = -count / 10 - 1; i < count; i++) { /* the first ones warm up */
        if (i == 0)
            start = MPI_Wtime();
        once(way, mine, n, win);
    }
    return (MPI_Wtime() - start) / (double)count;
}

int main(int argc, char **argv) {
    int rank, size;
    long long most = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (int i = 2; i < argc; i++)
        most = atoll(argv[i]) > most ? atoll(argv[i]) : most;
    long long *memory = calloc(1, (size_t)most), *mine = calloc(1, (size_t)most);
    if (size < 2 || most < 8 || !memory || !mine)
        MPI_Abort(MPI_COMM_WORLD, 1);
    MPI_Win win;
    MPI_Win_create(memory, (MPI_Aint)most, 8, MPI_INFO_NULL, MPI_COMM_WORLD, &win);
    MPI_Win_lock_all(0, win);
    for (int i = 2; i < argc && rank == 1; i++)
        for (int way = 0; way < WAYS; way++) {
            long long bytes = atoll(argv[i]), count = atoll(argv[1]);
            count = bytes > LONG_BYTES ? count * LONG_BYTES / bytes : count;
            count = count < FEWEST ? FEWEST : count;
            printf("%.12g\n", seconds(way, mine, (int)(bytes / 8), count, win));
        }
    MPI_Barrier(MPI_COMM_WORLD); /* MPI does what others ask while a rank is in it */
    MPI_Win_unlock_all(win);
    MPI_Win_free(&win);
    free(memory);
    free(mine);
    MPI_Finalize();
    return 0;
}
