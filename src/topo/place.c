/* Who goes where: a pure function of the machine, the mask and the request.
 *
 * The mask's cores are cut into units (a core, t cores, a share of the cores, a
 * processor, an object), the units are put into the order asked for, and worker
 * i takes unit i modulo their number. */
#include "topo/cores.h"

#include "base/config.h"
#include "base/error.h"

#include <crew/pool.h>
#include <stdlib.h>

struct unit {
    int kind;           /* of its first core */
    int id[CW_LEVELS];  /* of its first core and processor */
    int first, members; /* what of the list it holds: see struct plan */
    int cores;
    int position; /* while being ordered */
    int key[4];
};

/* What first and members of a unit count: cores or processors of the list, or
 * nothing, when a unit is all of an object. */
enum { HOLDS_CORES, HOLDS_PUS, HOLDS_OBJECT };

struct plan {
    struct cw_cores list;
    struct unit *units;
    int nunits;
    int holds;
    int level; /* HOLDS_OBJECT: of which kind */
};

/* ---- units --------------------------------------------------------------- */

static struct unit *add_unit(struct plan *p, int core) {
    struct unit *u = &p->units[p->nunits];
    *u = (struct unit){.kind = p->list.cores[core].kind};
    for (int level = 0; level <= CW_LEVEL_CORE; level++)
        u->id[level] = p->list.cores[core].id[level];
    u->id[CW_LEVEL_PU] = p->nunits++;
    return u;
}

static void add_cores(struct plan *p, int first, int count) {
    struct unit *u = add_unit(p, first);
    u->first = first;
    u->members = u->cores = count;
}

/* Groups of t neighbouring cores, none of which crosses a border of the level
 * or, but for the machine as a whole, mixes kinds of cores. What is left at a
 * border joins no group. */
static void cut_groups(struct plan *p, int level, int t) {
    p->nunits = 0;
    int first = 0;
    for (int i = 0; i < p->list.ncores; i++) {
        const struct cw_core *core = &p->list.cores[i], *begin = &p->list.cores[first];
        if (level != CW_LEVEL_MACHINE &&
            (core->id[level] != begin->id[level] || core->kind != begin->kind))
            first = i;
        if (i - first + 1 == t) {
            add_cores(p, first, t);
            first = i + 1;
        }
    }
}

static void cut_cores(struct plan *p, int workers, int t) {
    int n = p->list.ncores;
    p->holds = HOLDS_CORES;
    if (t == 0) {
        int shares = workers < n ? workers : n;
        for (int i = 0, first = 0; i < shares; i++) {
            int count = n / shares + (i < n % shares);
            add_cores(p, first, count);
            first += count;
        }
        return;
    }
    if (t > n)
        t = n;
    /* A worker's threads share caches and memory if there is room for that. */
    int enough = workers < n / t ? workers : n / t;
    for (int level = CW_LEVEL_L3; level >= CW_LEVEL_MACHINE; level--) {
        cut_groups(p, level, t);
        if (p->nunits >= enough)
            return;
    }
}

static void cut_pus(struct plan *p, int t) {
    p->holds = HOLDS_PUS;
    if (t == 0)
        t = 1;
    if (t > p->list.npus)
        t = p->list.npus;
    int pu = 0, core = 0, end = p->list.cores[0].pus; /* end: of the core's processors */
    while (pu + t <= p->list.npus) {
        while (pu >= end)
            end += p->list.cores[++core].pus;
        struct unit *u = add_unit(p, core);
        u->first = pu;
        u->members = t;
        u->cores = 1;
        pu += t;
        for (int to = core, reach = end; reach < pu; u->cores++)
            reach += p->list.cores[++to].pus;
    }
}

static void cut_objects(struct plan *p, int level) {
    p->holds = HOLDS_OBJECT;
    p->level = level;
    for (int core = 0; core < p->list.ncores; core++) {
        int id = p->list.cores[core].id[level], u = p->nunits - 1;
        while (u >= 0 && p->units[u].id[level] != id)
            u--;
        if (u < 0)
            u = (int)(add_unit(p, core) - p->units);
        p->units[u].cores++;
    }
}

/* ---- order --------------------------------------------------------------- */

static int by_key(const void *a, const void *b) {
    const struct unit *left = a, *right = b;
    for (int i = 0; i < 4; i++)
        if (left->key[i] != right->key[i])
            return left->key[i] < right->key[i] ? -1 : 1;
    return 0;
}

/* Deals the units out like cards, from the inside to the outside: within each
 * object of a level, the first unit of each of its parts, then the second of
 * each, and so on. Cores of another kind are another deal. */
static void scatter(struct plan *p) {
    for (int level = CW_LEVEL_CORE; level >= CW_LEVEL_MACHINE; level--) {
        for (int i = 0; i < p->nunits; i++) {
            struct unit *u = &p->units[i];
            u->key[0] = u->kind;
            u->key[1] = u->id[level];
            u->key[2] = u->position;
            u->key[3] = u->id[level + 1];
        }
        qsort(p->units, (size_t)p->nunits, sizeof *p->units, by_key);
        for (int i = 0; i < p->nunits; i++) {
            struct unit *u = &p->units[i];
            bool first = i == 0 || u[-1].key[0] != u->key[0] || u[-1].key[1] != u->key[1];
            u->position = first ? 0 : u[-1].position + 1;
        }
    }
}

/* ---- places -------------------------------------------------------------- */

static void add_core(const struct plan *p, int core, cw_cpuset *cpus) {
    const struct cw_core *c = &p->list.cores[core];
    for (int i = c->pu; i < c->pu + c->pus; i++)
        cw_cpuset_add(cpus, p->list.pus[i]);
}

static void fill(const struct plan *p, const struct unit *u, cw_cpuset *cpus) {
    *cpus = (cw_cpuset){0};
    switch (p->holds) {
    case HOLDS_CORES:
        for (int core = u->first; core < u->first + u->members; core++)
            add_core(p, core, cpus);
        break;
    case HOLDS_PUS:
        for (int i = u->first; i < u->first + u->members; i++)
            cw_cpuset_add(cpus, p->list.pus[i]);
        break;
    case HOLDS_OBJECT:
        for (int core = 0; core < p->list.ncores; core++)
            if (p->list.cores[core].id[p->level] == u->id[p->level])
                add_core(p, core, cpus);
        break;
    }
}

/* What the i-th of n gets of `whole`. The shares differ by one at most. */
static int share(int whole, int n, int i) {
    int part = whole / n + (i < whole % n);
    return part > 0 ? part : 1;
}

static void fill_all(const struct plan *p, const struct cw_place_request *r,
                     struct cw_place *places) {
    int n = p->nunits;
    for (int i = 0; i < r->workers; i++) {
        const struct unit *u = &p->units[i % n];
        int with = r->workers / n + (i % n < r->workers % n); /* workers on this unit */
        if (i < n)
            fill(p, u, &places[i].cpus);
        else
            places[i].cpus = places[i - n].cpus;
        places[i].cores = share(u->cores, with, i / n);
    }
}

static void leave_unbound(const struct plan *p, const struct cw_place_request *r,
                          struct cw_place *places) {
    for (int i = 0; i < r->workers; i++)
        places[i] = (struct cw_place){.cores = share(p->list.ncores, r->workers, i)};
}

static void cut(struct plan *p, const struct cw_place_request *r, int bind) {
    switch (bind) {
    case CREW_BIND_CORE:
        cut_cores(p, r->workers, r->threads_per_worker);
        break;
    case CREW_BIND_PU:
        cut_pus(p, r->threads_per_worker);
        break;
    case CREW_BIND_L3:
        cut_objects(p, CW_LEVEL_L3);
        break;
    case CREW_BIND_NUMA:
        cut_objects(p, CW_LEVEL_NUMA);
        break;
    default:
        cut_objects(p, CW_LEVEL_SOCKET);
        break;
    }
}

/* What AUTO means. Under a quota others run on the same cores, most likely with
 * the same mask: binding to some of them only would crowd all onto the first. */
static int decide(const struct plan *p, const struct cw_place_request *r) {
    int64_t threads = r->threads_per_worker > 0 ? r->threads_per_worker : 1;
    bool enough = r->workers * threads <= p->list.ncores;
    bool crowded = r->threads_per_worker > 0 && r->quota > 0 && r->quota < p->list.ncores;
    return enough && !crowded ? CREW_BIND_CORE : CREW_BIND_NONE;
}

static int check(const struct cw_place_request *r, crew_error *err) {
    if (r->workers < 1)
        return cw_error_set(err, CREW_EINVAL, 0, "no places for %d workers", r->workers);
    if (r->threads_per_worker < 0)
        return cw_error_set(err, CREW_EINVAL, 0, "threads_per_worker is %d", r->threads_per_worker);
    if (r->bind < CREW_BIND_AUTO || r->bind > CREW_BIND_SOCKET)
        return cw_error_set(err, CREW_EINVAL, 0, "bind is %d, which is no CREW_BIND_ constant",
                            r->bind);
    if (r->order != CW_ORDER_COMPACT && r->order != CW_ORDER_SCATTER)
        return cw_error_set(err, CREW_EINVAL, 0, "the order of places is %d", r->order);
    if (r->quota < 0)
        return cw_error_set(err, CREW_EINVAL, 0, "the CPU quota is %d", r->quota);
    return 0;
}

int cw_place_workers(cw_topo *t, const struct cw_place_request *r, struct cw_place *places,
                     crew_error *err) {
    int code = check(r, err);
    struct plan p = {0};
    if (code == 0)
        code = cw_cores_list(t, r->mask, &p.list, err);
    if (code != 0)
        return code;

    int bind = r->bind == CREW_BIND_AUTO ? decide(&p, r) : r->bind;
    if (bind == CREW_BIND_NONE) {
        leave_unbound(&p, r, places);
    } else if (p.list.ncores == 0) {
        code = cw_error_set(err, CREW_EINVAL, 0,
                            "workers cannot be bound (bind=%s): no processor of the machine lies "
                            "in the mask",
                            cw_bind_word(bind));
    } else if (!(p.units = calloc((size_t)p.list.npus, sizeof *p.units))) {
        code = cw_error_set(err, CREW_ENOMEM, 0, "no memory for the places of workers");
    } else {
        cut(&p, r, bind);
        if (r->order == CW_ORDER_SCATTER)
            scatter(&p);
        fill_all(&p, r, places);
    }
    for (int i = 0; code == 0 && r->quota > 0 && i < r->workers; i++)
        if (places[i].cores > share(r->quota, r->workers, i))
            places[i].cores = share(r->quota, r->workers, i);
    free(p.units);
    cw_cores_free(&p.list);
    return code == 0 ? cw_error_clear(err) : code;
}
