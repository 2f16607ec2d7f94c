/* topo/ranks.h - several programs of one job on one machine: whose cores are whose, and
 * how many workers each has. Pure, as placement in topo.h is. */
#ifndef CW_TOPO_RANKS_H
#define CW_TOPO_RANKS_H

#include "topo/topo.h"

/* Divides a whole by weights (all 0, or NULL: equal ones): the parts add up to it, and
 * none is off its due by one or more. Of those who are due as much after the point, the
 * first get more. For the numbers of workers of the nodes, and of the ranks of one. */
void cw_spread(int whole, int n, const int *weights, int *parts);

/* The processors that are each rank's own among those of one machine, given the masks
 * under which they run. No rank's are outside its mask, and nothing is any two's where
 * there are enough cores: what is in several masks (all the same: nobody bound them)
 * is divided between those, neighbours together, so that all have about as much. A rank
 * for which nothing is left shares a core of its mask with as few others as can be. */
int cw_rank_shares(cw_topo *t, const cw_cpuset *masks, int ranks, cw_cpuset *shares,
                   crew_error *err);

struct cw_ranks_request {
    int ranks;
    const cw_cpuset *masks;
    int threads_per_worker, bind, order, quota; /* as in struct cw_place_request */
};
/* How many workers each rank has if nobody says: one for each core of its share (with
 * CREW_BIND_PU: processor), or for each threads_per_worker of them; at least one, and no
 * more in all than the quota, if there is one. */
int cw_rank_workers(cw_topo *t, const struct cw_ranks_request *request, int *workers,
                    crew_error *err);
/* The places of workers[0] workers of rank 0, then those of rank 1, and so on. By the
 * rules of cw_place_workers within each rank's share; where the binding is to objects,
 * they are taken whole, as far as the rank's mask goes. */
int cw_place_ranks(cw_topo *t, const struct cw_ranks_request *request, const int *workers,
                   struct cw_place *places, crew_error *err);

#endif
