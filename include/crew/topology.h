/* crew/topology.h - what this process may use, and what a pool would make of it. */
#ifndef CREW_TOPOLOGY_H
#define CREW_TOPOLOGY_H

#include <crew/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The processors this process may use: its affinity mask, at most the CPU
 * quota of its cgroup (and of all its ancestors) rounded up, and at most what a batch
 * system has given the job, if its environment tells (docs/PLACEMENT.md). At least 1. */
CREW_API int crew_cpu_count(void);

typedef struct crew_machine {
    int sockets, numa_nodes, cores, processors; /* all of the machine's */
    int usable_cores, usable_processors;        /* those in this process's affinity mask */
    int quota;           /* CPUs its cgroup and their ancestors allow, rounded up; 0: no limit */
    char usable[128];    /* the mask: "0-3,8"; one that does not fit ends in "..." */
    int nodes, ranks;    /* of the job, if a launcher of MPI has started this program; else 1 */
    int batch;           /* processors that a batch system has given the job; 0: nothing tells */
    char batch_says[32]; /* the variable that tells: "SLURM_CPUS_ON_NODE" */
} crew_machine;
/* The machine as hwloc sees it, and the calling thread's part of it. */
CREW_API int crew_machine_look(crew_machine *machine, crew_error *err);

typedef struct crew_place {
    int cores;      /* that are this worker's: the size of its tasks' OpenMP teams */
    char cpus[124]; /* the processors it is bound to: "0-3,8"; empty: not bound */
    int node, rank; /* of the job, that it is on; 0 where there is none */
    char host[64];  /* the node's name */
} crew_place;
/* What crew_pool_open would make of these options here and now, without opening
 * anything. settled (may be NULL) gets the options with the environment's settings
 * and all defaults put in; places (NULL with cap 0) the places of the first `cap`
 * workers, of all nodes of a job, which are asked. Returns how many workers it would be,
 * or why the pool would be refused. */
CREW_API int crew_pool_plan(const crew_pool_opts *opts, crew_pool_opts *settled, crew_place *places,
                            int cap, crew_error *err);

/* The settings that the environment accepts, a paragraph each. 0, or CREW_EINVAL
 * where they cannot be written. */
CREW_API int crew_config_print(FILE *out);

#ifdef __cplusplus
}
#endif
#endif
