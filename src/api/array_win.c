/* The window of MPI that an array lies in. */
#include "api/array_impl.h"
#include "api/launch.h"
#include "api/objects.h"

#include <crew/shared.h>

static int refuse(const char *why) {
    return cw_error_set(NULL, CREW_ENOTSUP, 0, "crew_array_win: %s", why);
}

int crew_array_win_into(crew_array a, void *win, size_t size) {
    struct cw_array_use use;
    crew_error why;
    if (!win)
        return cw_error_set(NULL, CREW_EINVAL, 0, "crew_array_win: the window is NULL");
    if (!cw_array_use(a, &use))
        return CREW_EINVAL;
    bool named = atomic_load(&use.array->shm_place);
    if (!cw_array_same(a, &use))
        return CREW_EINVAL;
    if (named)
        return refuse("an array over named memory lies in none");
    const struct cw_launch *l = cw_launch_state();
    const struct cw_mpi *mpi = cw_launch_mpi();
    if (!mpi)
        return refuse("this process has no MPI; programs of crew_mpi_pool have, while the pool is "
                      "open, and tasks where they run in ranks (CREW_ISOLATE=0)");
    if (!l->joint && l->agent.card.isolate)
        return refuse("MPI is crew's, whose agent alone may call it: use crew_mpi_pool, or "
                      "CREW_ISOLATE=0");
    int rc = mpi->shown(win, size, &why);
    if (rc == CREW_ENOTSUP && l->agent.unreached.code)
        return refuse(l->agent.unreached.text);
    return rc < 0 ? cw_error_set(NULL, rc, 0, "crew_array_win: %s", why.text)
                  : cw_error_clear(NULL);
}
