/* What this process may use, and what a pool would make of it: for showing. */
#include "api/launch.h"
#include "api/places.h"
#include "api/pool_impl.h"
#include "base/error.h"
#include "topo/batch.h"
#include "topo/topo.h"

#include <crew/topology.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *from_environment(const char *name) {
    return getenv(name);
}

static struct cw_batch_cpus batch(void) {
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    return cw_batch_cpus(from_environment, host);
}

/* The smaller one, of which 0 is none. */
static int least(int a, int b) {
    return b == 0 || (a && a < b) ? a : b;
}

int cw_quota_of_node(void) {
    return least(cw_quota_cpus(NULL), batch().node);
}

int cw_quota_here(void) {
    struct cw_batch_cpus cpus = batch();
    const char *ignored;
    return least(cw_quota_cpus(NULL), cw_batch_limit(&cpus, &ignored));
}

int crew_cpu_count(void) {
    struct cw_batch_cpus cpus = batch();
    const char *ignored;
    return least(cw_cpu_count(NULL), cw_batch_limit(&cpus, &ignored));
}

static int look(crew_machine *machine, crew_error *err) {
    if (!machine)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "machine is NULL: there is no place for the answer");
    cw_cpuset mask;
    int rc = cw_affinity_get(&mask);
    if (rc < 0)
        return cw_error_set(err, CREW_ENOTSUP, -rc, "the affinity mask cannot be read");
    cw_topo *topo = cw_topo_load(err);
    if (!topo)
        return err->code;
    struct cw_topo_counts counts = cw_topo_count(topo);
    *machine = (crew_machine){.sockets = counts.sockets,
                              .numa_nodes = counts.nodes,
                              .cores = counts.cores,
                              .processors = counts.pus,
                              .usable_cores = cw_topo_cores(topo, &mask),
                              .usable_processors = cw_cpuset_count(&mask),
                              .quota = cw_quota_cpus(NULL)};
    const struct cw_launch *launch = cw_launch_here();
    machine->nodes = launch ? launch->agent.place.nodes : 1;
    machine->ranks = launch ? launch->agent.place.size : 1;
    cw_cpuset_print(&mask, machine->usable, sizeof machine->usable);
    const struct cw_batch_cpus cpus = batch();
    const char *says;
    machine->batch = cw_batch_limit(&cpus, &says);
    if (machine->batch)
        snprintf(machine->batch_says, sizeof machine->batch_says, "%s", says);
    cw_topo_free(topo);
    return cw_error_clear(err);
}

int crew_machine_look(crew_machine *machine, crew_error *err) {
    return look(machine, err ? err : cw_error_last());
}

/* node -1: there are no ranks. */
static void show_place(const struct cw_place *found, int node, const char *here,
                       crew_place *place) {
    *place = (crew_place){.cores = found->cores};
    cw_cpuset_print(&found->cpus, place->cpus, sizeof place->cpus);
    if (node >= 0) {
        place->node = node;
        place->rank = cw_launch_rank(node, found->rank);
        here = cw_launch_here()->agent.nodes[node].host;
    }
    snprintf(place->host, sizeof place->host, "%s", here);
}

static int show_places(struct cw_session *s, const crew_pool_opts *o, crew_place *places, int cap,
                       crew_error *err) {
    const struct cw_launch *launch = o->backend == CREW_MPI ? cw_launch_here() : NULL;
    int nodes = launch ? launch->agent.place.nodes : 1;
    struct cw_place *found = calloc((size_t)o->workers, sizeof *found);
    int *by_node = calloc((size_t)nodes, sizeof *by_node);
    int rc = CREW_ENOMEM;
    if (!found || !by_node)
        cw_error_set(err, rc, 0, "no memory for %d workers", o->workers);
    else if (!launch)
        rc = cw_options_place(s, o, found, err);
    else
        rc = (cw_launch_spread(o->workers, by_node), cw_places_plan(s, o, by_node, found, err));
    for (int i = 0, node = 0, left = by_node ? by_node[0] : 0; rc == 0 && i < o->workers && i < cap;
         i++, left--) {
        while (launch && left == 0)
            left = by_node[++node];
        show_place(&found[i], launch ? node : -1, s->host, &places[i]);
    }
    free(by_node);
    free(found);
    return rc;
}

static int plan(const crew_pool_opts *opts, crew_pool_opts *settled, crew_place *places, int cap,
                crew_error *err) {
    if (cap < 0 || (cap > 0 && !places))
        return cw_error_set(err, CREW_EINVAL, 0, "places is %s, but cap %d",
                            places ? "there" : "NULL", cap);
    crew_pool_opts o = opts ? *opts : (crew_pool_opts){0};
    struct cw_session *s = cw_session_get(err);
    if (!s)
        return err->code;
    int rc = cw_options_settle(s, &o, err);
    if (rc == 0)
        rc = show_places(s, &o, places, cap, err);
    if (rc < 0)
        return rc;
    if (settled)
        *settled = o;
    cw_error_clear(err);
    return o.workers;
}

int crew_pool_plan(const crew_pool_opts *opts, crew_pool_opts *settled, crew_place *places, int cap,
                   crew_error *err) {
    return plan(opts, settled, places, cap, err ? err : cw_error_last());
}

int crew_config_print(FILE *out) {
    if (!out)
        return cw_error_set(NULL, CREW_EINVAL, 0, "out is NULL: there is no file to write to");
    cw_config_print(out);
    if (fflush(out) != 0 || ferror(out))
        return cw_error_set(NULL, CREW_EINVAL, errno, "the settings cannot be written");
    return cw_error_clear(NULL);
}
