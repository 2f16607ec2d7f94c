/* The machine, as hwloc tells it. */
#include "topo/cores.h"

#include "base/error.h"

#include <errno.h>
#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cw_topo {
    hwloc_topology_t hwloc;
};

/* Sockets, nodes, L3 caches, cores, processors: the rest costs time. Groups
 * stay, because hwloc hangs NUMA nodes into them. */
static int keep_what_matters(hwloc_topology_t hwloc) {
    unsigned long flags = 0;
#if HWLOC_API_VERSION >= 0x00020800
    flags |= HWLOC_TOPOLOGY_FLAG_NO_DISTANCES | HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS;
#endif
    if (hwloc_topology_set_flags(hwloc, flags) != 0 ||
        hwloc_topology_set_io_types_filter(hwloc, HWLOC_TYPE_FILTER_KEEP_NONE) != 0 ||
        hwloc_topology_set_type_filter(hwloc, HWLOC_OBJ_MISC, HWLOC_TYPE_FILTER_KEEP_NONE) != 0 ||
        hwloc_topology_set_cache_types_filter(hwloc, HWLOC_TYPE_FILTER_KEEP_NONE) != 0)
        return -1;
    return hwloc_topology_set_type_filter(hwloc, HWLOC_OBJ_L3CACHE, HWLOC_TYPE_FILTER_KEEP_ALL);
}

/* A topology that knows what to keep and not yet where to look. */
static cw_topo *begin(crew_error *err) {
    cw_topo *t = malloc(sizeof *t);
    if (!t) {
        cw_error_set(err, CREW_ENOMEM, 0, "no memory for the machine's topology");
        return NULL;
    }
    if (hwloc_topology_init(&t->hwloc) != 0) {
        cw_error_set(err, CREW_ENOMEM, errno, "hwloc cannot begin a topology");
        free(t);
        return NULL;
    }
    if (keep_what_matters(t->hwloc) != 0) {
        cw_error_set(err, CREW_ENOTSUP, errno, "hwloc refuses to filter the topology");
        cw_topo_free(t);
        return NULL;
    }
    return t;
}

/* Looks. `source` says where, for the message. Takes t. */
static cw_topo *finish(cw_topo *t, const char *kind, const char *source, crew_error *err) {
    if (hwloc_topology_load(t->hwloc) != 0) {
        cw_error_set(err, CREW_EINVAL, errno, "hwloc cannot read %s%s", kind, source);
        cw_topo_free(t);
        return NULL;
    }
    cw_error_clear(err);
    return t;
}

cw_topo *cw_topo_load(crew_error *err) {
    cw_topo *t = begin(err);
    if (!t)
        return NULL;
#if defined(__linux__) && HWLOC_API_VERSION >= 0x00020100
    /* The kernel tells everything. This component would move the calling thread
     * from processor to processor to ask each of them. */
    hwloc_topology_set_components(t->hwloc, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
#endif
    return finish(t, "this machine", "", err);
}

cw_topo *cw_topo_synthetic(const char *description, crew_error *err) {
    cw_topo *t = begin(err);
    if (!t)
        return NULL;
    if (hwloc_topology_set_synthetic(t->hwloc, description) != 0) {
        cw_error_set(err, CREW_EINVAL, errno, "hwloc does not understand the machine \"%s\"",
                     description);
        cw_topo_free(t);
        return NULL;
    }
    return finish(t, "the machine ", description, err);
}

cw_topo *cw_topo_xml(const char *path, crew_error *err) {
    cw_topo *t = begin(err);
    if (!t)
        return NULL;
    if (hwloc_topology_set_xml(t->hwloc, path) != 0) {
        cw_error_set(err, CREW_EINVAL, errno, "hwloc cannot read the file %s", path);
        cw_topo_free(t);
        return NULL;
    }
    return finish(t, "the file ", path, err);
}

void cw_topo_free(cw_topo *t) {
    if (!t)
        return;
    hwloc_topology_destroy(t->hwloc);
    free(t);
}

/* ---- the cores of a mask ------------------------------------------------- */

static hwloc_obj_t next_in_mask(cw_topo *t, const cw_cpuset *mask, hwloc_obj_t pu) {
    do
        pu = hwloc_get_next_obj_by_type(t->hwloc, HWLOC_OBJ_PU, pu);
    while (pu &&
           (pu->os_index >= CW_MAX_CPUS || (mask && !cw_cpuset_has(mask, (int)pu->os_index))));
    return pu;
}

static hwloc_obj_t core_of(cw_topo *t, hwloc_obj_t pu) {
    hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(t->hwloc, HWLOC_OBJ_CORE, pu);
    return core ? core : pu;
}

/* The object of each level that a core lies in. */
struct enclosing {
    hwloc_obj_t at[CW_LEVEL_CORE + 1];
};

/* hwloc 2 hangs NUMA nodes beside the tree, at the object whose processors are
 * local to them. That object stands for the node here. */
static hwloc_obj_t local_to_memory(hwloc_obj_t obj) {
    while (obj && obj->memory_arity == 0)
        obj = obj->parent;
    return obj;
}

static struct enclosing enclose(hwloc_topology_t hwloc, hwloc_obj_t core) {
    hwloc_obj_t machine = hwloc_get_root_obj(hwloc);
    hwloc_obj_t socket = hwloc_get_ancestor_obj_by_type(hwloc, HWLOC_OBJ_PACKAGE, core);
    hwloc_obj_t numa = local_to_memory(core);
    hwloc_obj_t l3 = hwloc_get_ancestor_obj_by_type(hwloc, HWLOC_OBJ_L3CACHE, core);
    if (!socket)
        socket = machine;
    if (!numa)
        numa = socket;
    if (!l3) /* the inner one: hwloc's depths grow downwards */
        l3 = numa->depth > socket->depth ? numa : socket;
    return (struct enclosing){{machine, socket, numa, l3, core}};
}

/* 0 for the fastest kind. Machines with one kind of core, and versions of hwloc
 * that know of none: always 0. */
static int kind_of(hwloc_topology_t hwloc, hwloc_obj_t pu) {
#if HWLOC_API_VERSION >= 0x00020400
    int kinds = hwloc_cpukinds_get_nr(hwloc, 0);
    if (kinds > 1) {
        int kind = hwloc_cpukinds_get_by_cpuset(hwloc, pu->cpuset, 0);
        if (kind < 0)
            return kinds; /* of no known kind: last */
        int efficiency = -1;
        if (hwloc_cpukinds_get_info(hwloc, kind, NULL, &efficiency, NULL, NULL, 0) == 0 &&
            efficiency >= 0)
            return kinds - 1 - kind; /* hwloc begins with the slowest */
    }
#else
    (void)hwloc;
    (void)pu;
#endif
    return 0;
}

/* Numbers the objects of a new core as they appear. An object's cores need not
 * be neighbours (some cores of a socket may lack an L3), so all earlier ones
 * are asked, the nearest first. */
static void number_objects(struct cw_cores *list, const struct enclosing *enclosing) {
    struct cw_core *core = &list->cores[list->ncores];
    for (int level = 0; level < CW_LEVEL_CORE; level++) {
        int before = list->ncores - 1, next = 0;
        while (before >= 0 && enclosing[before].at[level] != enclosing[list->ncores].at[level]) {
            if (list->cores[before].id[level] >= next)
                next = list->cores[before].id[level] + 1;
            before--;
        }
        core->id[level] = before >= 0 ? list->cores[before].id[level] : next;
    }
    core->id[CW_LEVEL_CORE] = list->ncores;
}

static int by_kind_then_place(const void *a, const void *b) {
    const struct cw_core *left = a, *right = b;
    if (left->kind != right->kind)
        return left->kind < right->kind ? -1 : 1;
    return left->id[CW_LEVEL_CORE] < right->id[CW_LEVEL_CORE] ? -1 : 1;
}

/* Orders cores and processors by kind. */
static int sort(struct cw_cores *list) {
    int *pus = malloc((size_t)(list->npus + 1) * sizeof *pus);
    if (!pus)
        return -1;
    qsort(list->cores, (size_t)list->ncores, sizeof *list->cores, by_kind_then_place);
    int filled = 0;
    for (int i = 0; i < list->ncores; i++) {
        struct cw_core *core = &list->cores[i];
        memcpy(pus + filled, list->pus + core->pu, (size_t)core->pus * sizeof *pus);
        core->pu = filled;
        filled += core->pus;
    }
    free(list->pus);
    list->pus = pus;
    return 0;
}

/* The processors that count, and the cores they make. */
static void list_pus(cw_topo *t, const cw_cpuset *mask, struct cw_cores *list,
                     struct enclosing *enclosing) {
    hwloc_obj_t pu = NULL, last = NULL;
    while ((pu = next_in_mask(t, mask, pu)) != NULL) {
        hwloc_obj_t core = core_of(t, pu);
        if (core != last) {
            enclosing[list->ncores] = enclose(t->hwloc, core);
            number_objects(list, enclosing);
            list->cores[list->ncores].kind = kind_of(t->hwloc, pu);
            list->cores[list->ncores].pu = list->npus;
            list->ncores++;
            last = core;
        }
        list->cores[list->ncores - 1].pus++;
        list->pus[list->npus++] = (int)pu->os_index;
    }
}

int cw_cores_list(cw_topo *t, const cw_cpuset *mask, struct cw_cores *list, crew_error *err) {
    int most = hwloc_get_nbobjs_by_type(t->hwloc, HWLOC_OBJ_PU);
    size_t room = most > 0 ? (size_t)most : 1;
    *list = (struct cw_cores){.cores = calloc(room, sizeof *list->cores),
                              .pus = calloc(room, sizeof *list->pus)};
    struct enclosing *enclosing = calloc(room, sizeof *enclosing);
    bool ok = list->cores && list->pus && enclosing;
    if (ok) {
        list_pus(t, mask, list, enclosing);
        ok = sort(list) == 0;
    }
    free(enclosing);
    if (ok)
        return 0;
    cw_cores_free(list);
    return cw_error_set(err, CREW_ENOMEM, 0, "no memory for the places of workers");
}

void cw_cores_free(struct cw_cores *list) {
    free(list->cores);
    free(list->pus);
    *list = (struct cw_cores){0};
}

int cw_topo_cores(cw_topo *t, const cw_cpuset *mask) {
    int count = 0;
    hwloc_obj_t pu = NULL, last = NULL;
    while ((pu = next_in_mask(t, mask, pu)) != NULL) {
        hwloc_obj_t core = core_of(t, pu);
        count += core != last;
        last = core;
    }
    return count;
}

struct cw_topo_counts cw_topo_count(cw_topo *t) {
    int sockets = hwloc_get_nbobjs_by_type(t->hwloc, HWLOC_OBJ_PACKAGE);
    return (struct cw_topo_counts){.sockets = sockets > 1 ? sockets : 1,
                                   .nodes = hwloc_get_nbobjs_by_type(t->hwloc, HWLOC_OBJ_NUMANODE),
                                   .cores = cw_topo_cores(t, NULL),
                                   .pus = hwloc_get_nbobjs_by_type(t->hwloc, HWLOC_OBJ_PU)};
}

void cw_topo_describe(cw_topo *t, char *buf, size_t cap) {
    struct cw_topo_counts n = cw_topo_count(t);
    snprintf(buf, cap, "%d socket%s, %d NUMA node%s, %d core%s, %d PU%s", n.sockets,
             n.sockets == 1 ? "" : "s", n.nodes, n.nodes == 1 ? "" : "s", n.cores,
             n.cores == 1 ? "" : "s", n.pus, n.pus == 1 ? "" : "s");
}
