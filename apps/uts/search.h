/* search.h - a search by one process, and by a pool. */
#ifndef UTS_SEARCH_H
#define UTS_SEARCH_H

#include "../support/tool.h"
#include "tree.h"

/* Both return main's result, and have said what went wrong. */
int search_in_series(const struct tree *tree, struct counts *counts);
/* A task looks at `grain` nodes, then spawns others for what it has not got to. */
int search_on_pool(crew_pool *pool, const struct tree *tree, int64_t grain, struct counts *counts);

#endif
