/* os/openmp.h - the OpenMP runtime, if the program has one. libcrew links none. */
#ifndef CW_OS_OPENMP_H
#define CW_OS_OPENMP_H

/* Sets how many threads parallel regions of the calling thread get. Returns how
 * many it was before, 0 if there is no runtime. */
int cw_openmp_threads(int threads);

#endif
