/* Somebody's MPI program: the pool is one step of it. Prints the sum of the squares below
 * 1000, and the number of ranks that served. */
#include <crew/crew.h>
#include <crew/mpi.h>
#include <stdio.h>

static int64_t square(int64_t n) {
    return n * n;
}
CREW_TASK(square, int64_t, int64_t)

int main(int argc, char **argv) {
    int have, rank, served, all;
    int64_t in[1000], out[1000], sum = 0;
    crew_pool *pool;
    crew_error err;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &have);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (crew_mpi_pool(MPI_COMM_WORLD, 0, NULL, &pool, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    if (pool) {
        for (int i = 0; i < 1000; i++)
            in[i] = i;
        if (crew_map(pool, square_task, in, 1000, out, NULL, &err) < 0) {
            fprintf(stderr, "%s\n", err.text);
            MPI_Abort(MPI_COMM_WORLD, 1);
        }
        for (int i = 0; i < 1000; i++)
            sum += out[i];
        crew_pool_free(pool);
    }
    served = !pool;
    MPI_Allreduce(&served, &all, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0)
        printf("%lld %d\n", (long long)sum, all);
    MPI_Finalize();
    return crew_finalize();
}
