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
/* "0-3,8" */
void cw_cpuset_print(const cw_cpuset *set, char *buf, size_t cap);

/* The affinity mask of the calling thread. */
int cw_affinity_get(cw_cpuset *set);
/* Binds the calling thread (children inherit it). 0 or -errno. */
int cw_affinity_set(const cw_cpuset *set);

/* The CPU quota of this process's cgroup and all its ancestors (v1 and v2),
 * rounded up; 0: none. `root` replaces "/" for tests (NULL: "/"). */
int cw_quota_cpus(const char *root);

enum { CW_ORDER_COMPACT = 0, CW_ORDER_SCATTER };

/* A request for places. bind is one of CREW_BIND_* (AUTO decides between CORE
 * and NONE, see crew/pool.h). */
struct cw_place_request {
    int workers;
    int threads_per_worker; /* 0: all the cores a worker gets */
    int bind, order;
    const cw_cpuset *mask; /* processors that may be used; never widened */
};
struct cw_place {
    cw_cpuset cpus; /* empty: not bound */
    int cores;      /* cores in it (or this worker's share of them), at least 1 */
};

typedef struct cw_topo cw_topo;
/* The machine this runs on, or a synthetic one ("pack:2 numa:4 core:8 pu:2", in
 * hwloc's language), or an XML file of hwloc's. NULL on failure. */
cw_topo *cw_topo_load(crew_error *err);
cw_topo *cw_topo_synthetic(const char *description, crew_error *err);
cw_topo *cw_topo_xml(const char *path, crew_error *err);
void cw_topo_free(cw_topo *t);

/* Fills places[0, request->workers). With more workers than objects of the kind,
 * they go round. Fails on a request the machine cannot meet (no such object). */
int cw_place_workers(cw_topo *t, const struct cw_place_request *request, struct cw_place *places,
                     crew_error *err);

/* How many cores and processors of the machine lie in the mask. */
int cw_topo_cores(cw_topo *t, const cw_cpuset *mask);
/* One line about the machine: "2 sockets, 8 NUMA nodes, 64 cores, 128 PUs". */
void cw_topo_describe(cw_topo *t, char *buf, size_t cap);

#endif
