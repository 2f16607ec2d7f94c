/* Sets of processors, and the calling thread's affinity mask. */
#include "topo/topo.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

/* The kernel refuses a mask shorter than its own, which may be longer than
 * ours on machines built for more processors than we count. */
enum { KERNEL_MAX_CPUS = 65536 };

int cw_cpuset_count(const cw_cpuset *set) {
    int count = 0;
    for (size_t i = 0; i < sizeof set->bits / sizeof set->bits[0]; i++)
        count += __builtin_popcountll(set->bits[i]);
    return count;
}

void cw_cpuset_print(const cw_cpuset *set, char *buf, size_t cap) {
    if (cap == 0)
        return;
    buf[0] = '\0';
    size_t used = 0;
    for (int first = 0; first < CW_MAX_CPUS; first++) {
        if (!cw_cpuset_has(set, first))
            continue;
        int last = first;
        while (cw_cpuset_has(set, last + 1))
            last++;
        char range[32];
        int n = snprintf(range, sizeof range, first == last ? "%s%d" : "%s%d-%d", used ? "," : "",
                         first, last);
        if (used + (size_t)n >= cap) {
            /* Cut at a whole range, so that no number is a wrong one. */
            size_t room = cap - 1 - used;
            memcpy(buf + used, "...", room < 3 ? room : 3);
            buf[used + (room < 3 ? room : 3)] = '\0';
            return;
        }
        memcpy(buf + used, range, (size_t)n + 1);
        used += (size_t)n;
        first = last;
    }
}

int cw_affinity_get(cw_cpuset *set) {
    cpu_set_t kernel[KERNEL_MAX_CPUS / CPU_SETSIZE];
    if (sched_getaffinity(0, sizeof kernel, kernel) != 0)
        return -errno;
    *set = (cw_cpuset){0};
    for (int cpu = 0; cpu < CW_MAX_CPUS; cpu++)
        if (CPU_ISSET_S((size_t)cpu, sizeof kernel, kernel))
            cw_cpuset_add(set, cpu);
    return cw_cpuset_count(set) > 0 ? 0 : -ERANGE;
}

int cw_affinity_set(const cw_cpuset *set) {
    cpu_set_t kernel[CW_MAX_CPUS / CPU_SETSIZE];
    CPU_ZERO_S(sizeof kernel, kernel);
    for (int cpu = 0; cpu < CW_MAX_CPUS; cpu++)
        if (cw_cpuset_has(set, cpu))
            CPU_SET_S((size_t)cpu, sizeof kernel, kernel);
    return sched_setaffinity(0, sizeof kernel, kernel) == 0 ? 0 : -errno;
}
