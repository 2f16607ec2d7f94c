/* topo/topo.h - what this process may use, and who goes where.
 *
 * Placement is a pure function of an hwloc topology, so it is tested on
 * synthetic machines. hwloc.h is included by topo/'s sources only. */
#ifndef CW_TOPO_TOPO_H
#define CW_TOPO_TOPO_H

#include <crew/error.h>

enum { CW_MAX_CPUS = 4096 };

/* A set of the system's processor numbers. */
typedef struct cw_cpuset {
    uint64_t bits[CW_MAX_CPUS / 64];
} cw_cpuset;

static inline bool cw_cpuset_has(const cw_cpuset *set, int cpu) {
    return cpu >= 0 && cpu < CW_MAX_CPUS && (set->bits[cpu / 64] >> (cpu % 64) & 1);
}
static inline void cw_cpuset_add(cw_cpuset *set, int cpu) {
    set->bits[cpu / 64] |= 1ull << (cpu % 64);
}
int cw_cpuset_count(const cw_cpuset *set);
/* "0-3,8"; what does not fit is cut at a whole range and ends in "...". */
void cw_cpuset_print(const cw_cpuset *set, char *buf, size_t cap);

/* The affinity mask of the calling thread. 0 or -errno. */
int cw_affinity_get(cw_cpuset *set);
/* Binds the calling thread (children inherit it). 0 or -errno. */
int cw_affinity_set(const cw_cpuset *set);

/* The CPU quota of this process's cgroup and all its ancestors (v1 and v2),
 * rounded up; 0: none. `root` replaces "/" for tests (NULL: "/"). */
int cw_quota_cpus(const char *root);

/* crew_cpu_count: the affinity mask's processors, at most the quota, at least 1.
 * Asks the kernel and never hwloc. */
int cw_cpu_count(const char *root);

enum { CW_ORDER_COMPACT = 0, CW_ORDER_SCATTER };

/* A request for places. bind is one of CREW_BIND_* (see crew/pool.h):
 *
 *   AUTO    CORE if the mask has workers * max(threads_per_worker, 1) cores,
 *           and no smaller quota would let them use some cores only; else NONE
 *   NONE    no binding
 *   CORE    threads_per_worker neighbouring cores each; with 0 the cores are
 *           divided: contiguous shares that differ by one core at most
 *   PU      threads_per_worker (0: one) neighbouring processors each
 *   L3      all of such an object's processors; where a core has none of its
 *   NUMA    kind, the next enclosing object that exists counts as one, at last
 *   SOCKET  the machine
 *
 * Only processors in the mask count and are given. On hybrid machines the
 * faster cores come first. COMPACT fills neighbours first; SCATTER spreads over
 * sockets, then NUMA nodes, L3 caches, cores, processors. */
struct cw_place_request {
    int workers;
    int threads_per_worker; /* 0: all the cores a worker gets */
    int bind, order;
    int quota;             /* cw_quota_cpus: the shares in `cores` add up to no more; 0: none */
    const cw_cpuset *mask; /* processors that may be used; never widened; NULL: all */
};
struct cw_place {
    cw_cpuset cpus; /* empty: not bound */
    int cores; /* cores in it, or this worker's share of them where several have them; at least 1 */
    int rank;  /* of its node's ranks: see topo/ranks.h. 0 elsewhere */
};

typedef struct cw_topo cw_topo;
/* The machine this runs on, or a synthetic one ("pack:2 numa:4 core:8 pu:2", in
 * hwloc's language), or an XML file of hwloc's. NULL on failure. */
cw_topo *cw_topo_load(crew_error *err);
cw_topo *cw_topo_synthetic(const char *description, crew_error *err);
cw_topo *cw_topo_xml(const char *path, crew_error *err);
void cw_topo_free(cw_topo *t);

/* Fills places[0, request->workers). With more workers than objects of the kind,
 * they go round. CREW_EINVAL for a request that makes no sense, and for one to
 * bind where no processor of the machine lies in the mask. Threads may share t. */
int cw_place_workers(cw_topo *t, const struct cw_place_request *request, struct cw_place *places,
                     crew_error *err);

/* How many cores of the machine have a processor in the mask (NULL: all). */
int cw_topo_cores(cw_topo *t, const cw_cpuset *mask);
/* Of each kind, how many the machine has: at least one socket. */
struct cw_topo_counts {
    int sockets, nodes, cores, pus;
};
struct cw_topo_counts cw_topo_count(cw_topo *t);
/* One line about the machine: "2 sockets, 8 NUMA nodes, 64 cores, 128 PUs". */
void cw_topo_describe(cw_topo *t, char *buf, size_t cap);

#endif
