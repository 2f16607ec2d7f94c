/* topo/cores.h - the cores of a machine that lie in a mask. Private to topo/. */
#ifndef CW_TOPO_CORES_H
#define CW_TOPO_CORES_H

#include "topo/topo.h"

/* What encloses what, from the outside. */
enum {
    CW_LEVEL_MACHINE,
    CW_LEVEL_SOCKET,
    CW_LEVEL_NUMA,
    CW_LEVEL_L3,
    CW_LEVEL_CORE,
    CW_LEVEL_PU,
    CW_LEVELS
};

/* One core; on machines that tell of none, one processor. */
struct cw_core {
    int kind;                  /* 0: the fastest cores of the machine, 1: the next, ... */
    int id[CW_LEVEL_CORE + 1]; /* number of the object it lies in, by first appearance */
    int pu, pus;               /* its processors in the mask: cw_cores.pus[pu, pu + pus) */
};

struct cw_cores {
    struct cw_core *cores; /* by kind, then as neighbours */
    int *pus;              /* the system's processor numbers */
    int ncores, npus;
};

/* CREW_ENOMEM on failure. No core at all is no failure. */
int cw_cores_list(cw_topo *t, const cw_cpuset *mask, struct cw_cores *list, crew_error *err);
void cw_cores_free(struct cw_cores *list);

#endif
