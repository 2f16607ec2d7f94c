#include "api/node.h"
#include "api/pool_impl.h"

#include "api/launch.h"
#include "backend/ranks/ranks.h"
#include "base/error.h"
#include "topo/ranks.h"

#include <stdlib.h>

/* The ranks of this node, and what they make of it. */
struct node {
    cw_topo *topo;
    cw_cpuset *masks;
    int *due; /* workers of each rank if nobody says: what others go by */
    bool aboard; /* the ranks themselves are the workers */
    struct cw_ranks_request request;
};

static void leave(struct node *n) {
    cw_topo_free(n->topo);
    free(n->masks);
    free(n->due);
}

static int look(const struct cw_session *s, const crew_pool_opts *o, struct node *n,
                crew_error *err) {
    int ranks = cw_berths_count(cw_launch_berths(s));
    *n = (struct node){.topo = cw_topo_load(err),
                       .masks = calloc((size_t)ranks, sizeof *n->masks),
                       .due = calloc((size_t)ranks, sizeof *n->due)};
    int rc = n->topo ? 0 : err->code;
    if (rc == 0 && (!n->masks || !n->due))
        rc = cw_error_set(err, CREW_ENOMEM, 0, "no memory for the %d ranks of this node", ranks);
    if (rc == 0) {
        cw_berths_masks(cw_launch_berths(s), n->masks);
        n->request = (struct cw_ranks_request){.ranks = ranks,
                                               .masks = n->masks,
                                               .threads_per_worker = o->threads_per_worker,
                                               .bind = o->bind,
                                               .order = s->config.order,
                                               .quota = cw_quota_of_node()};
        n->aboard = !s->config.isolate;
        for (int i = 0; n->aboard && i < ranks; i++)
            n->due[i] = 1;
        if (!n->aboard)
            rc = cw_rank_workers(n->topo, &n->request, n->due, err);
    }
    if (rc < 0)
        leave(n);
    return rc;
}

int cw_node_workers(const struct cw_session *s, const crew_pool_opts *o, crew_error *err) {
    struct node n;
    int sum = 0, rc = look(s, o, &n, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < n.request.ranks; i++)
        sum += n.due[i];
    leave(&n);
    return sum;
}

/* A rank's thread has all of what is the rank's. */
static int place_aboard(struct node *n, const crew_pool_opts *o, const int *workers,
                        struct cw_place *places, crew_error *err) {
    cw_cpuset *shares = calloc((size_t)n->request.ranks, sizeof *shares);
    if (!shares)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for the places of workers");
    int rc = cw_rank_shares(n->topo, n->masks, n->request.ranks, shares, err);
    for (int i = 0, at = 0; rc == 0 && i < n->request.ranks; i++) {
        if (!workers[i])
            continue;
        struct cw_place *place = &places[at++];
        *place = (struct cw_place){.cores = cw_topo_cores(n->topo, &shares[i])};
        place->cores = place->cores > 0 ? place->cores : 1;
        if (o->bind != CREW_BIND_NONE)
            place->cpus = shares[i];
    }
    free(shares);
    return rc;
}

int cw_node_place(const struct cw_session *s, const crew_pool_opts *o, int *berth,
                  struct cw_place *places, crew_error *err) {
    struct node n;
    int rc = look(s, o, &n, err);
    if (rc < 0)
        return rc;
    int *workers = calloc((size_t)n.request.ranks, sizeof *workers);
    if (workers) {
        cw_spread(o->workers, n.request.ranks, n.due, workers);
        for (int i = 0, at = 0; berth && i < n.request.ranks; i++)
            for (int j = 0; j < workers[i]; j++)
                berth[at++] = i;
        if (places && n.aboard)
            rc = place_aboard(&n, o, workers, places, err);
        else if (places)
            rc = cw_place_ranks(n.topo, &n.request, workers, places, err);
    } else {
        rc = cw_error_set(err, CREW_ENOMEM, 0, "no memory for the places of workers");
    }
    free(workers);
    leave(&n);
    return rc;
}
