/* ranks.h - measurements of pools over MPI ranks. The job is this program again, with
 * RANKS_MODE and what it is to measure; rank 0 prints figures, and the rest are workers. */
#ifndef BENCH_RANKS_H
#define BENCH_RANKS_H

#include "bench.h"

/* RANKS_MODE WHAT COUNT ROUNDS WORKERS */
#define RANKS_MODE "--of-a-job"
int ranks_inside(int argc, char **argv);

/* What mpi-array moves at a time, and by these ways: figures come size by size. */
enum { ARRAY_SIZES = 5, ARRAY_GET = 0, ARRAY_PUT, ARRAY_ADD, ARRAY_WAYS };
extern const int64_t array_sizes[ARRAY_SIZES];

/* Takes down what the measurements have set up. */
void ranks_end(const struct bench *b);

#endif
