/* Named memory as an object: nothing of it is held, so nothing is put right. */
#include "share/shm.h"

#include "share/kinds.h"

const struct cw_kind cw_kind_shm = {.name = "shared memory", .bytes = 256};

_Static_assert(sizeof(struct cw_shm) <= 256, "a cell");
