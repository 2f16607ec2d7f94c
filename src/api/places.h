/* api/places.h - where the workers of a pool are, or would be, of all nodes of a job. */
#ifndef CW_API_PLACES_H
#define CW_API_PLACES_H

#include "api/pool_impl.h"
#include "fleet/wire.h"

/* On standard error, a line for each worker of a pool that is ready. */
void cw_places_report(const crew_pool *p);

/* In a job's manager: the places of the workers of settled options, by_node[] of them on
 * each node, whose leaders are asked. */
int cw_places_plan(struct cw_session *s, const crew_pool_opts *o, const int *by_node,
                   struct cw_place *places, crew_error *err);

/* The agent's thread at home, with cw_homes.lock. */
void cw_places_work(void);
void cw_places_planned(int node, const struct cw_letter *letter, struct cw_reader *rest);

#endif
