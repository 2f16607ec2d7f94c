/* api/shm_impl.h - named memory, for the session and for maps. */
#ifndef CW_API_SHM_IMPL_H
#define CW_API_SHM_IMPL_H

#include "os/shm.h"
#include "team/board.h"

/* The program's first process: what its processes own is the program's. Fills what
 * they all know of it. */
void cw_shm_begin(struct cw_shm_owner *shared);
/* The end of the session: nothing is mapped any more; the program's owned memory is
 * gone. */
void cw_shm_finish(void);
/* In a process that was forked: it is not the program. */
void cw_shm_forked(void);

/* True if [at, at + size) lies in named memory of this process's that others can map:
 * *named says how, until cw_shm_leave. */
bool cw_shm_at(const void *at, size_t size, struct cw_named *named);
void cw_shm_leave(const struct cw_named *named);
/* Gives maps the way there. */
void cw_shm_reach(struct cw_maps *maps);
/* The same, of a process that is a worker with that line. */
void cw_shm_worker(struct cw_maps *maps, const struct cw_line *line);

#endif
