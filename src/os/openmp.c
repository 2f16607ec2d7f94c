/* Weak references to the runtime that the program may have. */
#include "os/openmp.h"

extern void omp_set_num_threads(int) __attribute__((weak));
extern int omp_get_max_threads(void) __attribute__((weak));

int cw_openmp_threads(int threads) {
    if (!omp_set_num_threads || !omp_get_max_threads)
        return 0;
    int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    return before;
}
