/* crew/topology.h - what this process may use. */
#ifndef CREW_TOPOLOGY_H
#define CREW_TOPOLOGY_H

#include <crew/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The processors this process may use: its affinity mask, at most the CPU
 * quota of its cgroup (and of all its ancestors) rounded up. At least 1. */
CREW_API int crew_cpu_count(void);

#ifdef __cplusplus
}
#endif
#endif
