/* What others may read of this node's memory: a window over all of its segment, made once,
 * when the leaders start. Later nothing is collective, so nothing waits for a node that is
 * dead; that is also why there is no window for each array.
 *
 * Reading alone is offered. That a plain put has arrived is known by MPI_Win_flush, which
 * waits for a dead node for ever; by MPI_Rget_accumulate, which sends everything back (1 MiB:
 * 5 to 20 times as long as MPI_Rget); and nobody can keep out one that comes late, from a
 * node that was taken for lost. So who is to have something fetches it.
 *
 * Not every MPI_Rget is fit for that. Of Open MPI's one-sided components (4.1), `rdma` over
 * shared memory repeats for ever, inside of MPI_Rget, what a dead rank does not give; what
 * others do is their network's affair. `pt2pt`, which is messages beneath, waits at the
 * first touch of a rank alone, which is why all are touched at the start; afterwards 64 gets from a
 * dead one were begun at once, and the others' went on. Its limit: MPI_THREAD_MULTIPLE it
 * refuses. So it is asked for, where MPI is crew's and nobody has asked for another;
 * MPICH's has no choice, and does not outlive a rank anyway. */
#include "backend/mpi/module_impl.h"

#include <stdlib.h>
#include <string.h>

static const char CHOICE[] = "OMPI_MCA_osc";
static bool chose;

void cw_module_one_sided(void) {
    cw_module.one_sided = true;
}

/* Fit for `fetch`, with what the environment says. */
static bool bears(void) {
#ifdef OPEN_MPI
    const char *osc = getenv(CHOICE);
    return osc && (strcmp(osc, "pt2pt") == 0 || strcmp(osc, "sm,pt2pt") == 0);
#else
    return true;
#endif
}

/* `sm` is for the shared memory of CREW_SEGMENT=window. */
void cw_module_choose(void) {
#ifdef OPEN_MPI
    if (cw_module.one_sided && !cw_module.many_threads && !getenv(CHOICE))
        chose = setenv(CHOICE, "sm,pt2pt", 1) == 0;
#endif
    cw_module.bears = bears();
}

/* Programs that tasks start choose for themselves. */
void cw_module_chosen(void) {
    if (chose)
        unsetenv(CHOICE);
    chose = false;
}

/* The first touch waits, so it is now. */
static int touch_all(void) {
    const struct cw_mpi_place *place = &cw_module.place;
    int rc = MPI_SUCCESS;
    for (int k = 1; k < place->nodes && rc == MPI_SUCCESS; k++) {
        MPI_Request request;
        char byte;
        rc = MPI_Rget(&byte, 1, MPI_BYTE, (place->node + k) % place->nodes, 0, 1, MPI_BYTE,
                      cw_module.reach, &request);
        if (rc == MPI_SUCCESS)
            rc = MPI_Wait(&request, MPI_STATUS_IGNORE);
    }
    return rc;
}

/* The worst of all. */
static int agree(MPI_Comm comm, int rc) {
    int failed = rc != MPI_SUCCESS, any = 1;
    if (MPI_Allreduce(&failed, &any, 1, MPI_INT, MPI_MAX, comm) != MPI_SUCCESS)
        any = 1;
    return any;
}

int cw_module_expose(void *memory, size_t size, bool any, crew_error *err) {
    const bool all = cw_module.many_threads || cw_module.place.nodes == 1;
    MPI_Comm comm = all ? cw_module.world : cw_module.leaders;
    if (comm == MPI_COMM_NULL)
        return cw_module_refuse(err, CREW_ENOTSUP, "this rank leads no node");
    if (cw_module.joint)
        cw_module.bears = bears();
    int rc = MPI_Win_create(memory, (MPI_Aint)size, 1, MPI_INFO_NULL, comm, &cw_module.reach);
    if (agree(comm, rc))
        return cw_module_refuse(
            err, CREW_ENOTSUP,
            "this MPI makes no window over memory (MPI_Win_create), as it is set "
            "here: %.80s",
            cw_module_library());
    MPI_Win_set_errhandler(cw_module.reach, MPI_ERRORS_RETURN);
    if (agree(comm, MPI_Win_lock_all(0, cw_module.reach)))
        return cw_module_refuse(err, CREW_ENOTSUP, "this MPI says no to MPI_Win_lock_all");
    cw_module.exposed = true;
    if (cw_module.many_threads)
        return cw_module_refuse(err, CREW_ENOTSUP, "tasks call MPI, too (CREW_ISOLATE=0)");
    if (!any && !cw_module.bears)
        return cw_module_refuse(
            err, CREW_ENOTSUP,
            "with the one-sided component that Open MPI uses here the loss of a node may end in "
            "a wait for ever; OMPI_MCA_osc=pt2pt bears it");
    if (agree(comm, touch_all()))
        return cw_module_refuse(err, CREW_ENOTSUP, "nodes cannot read each other's memory");
    cw_module.reaches = true;
    return 0;
}

void cw_module_hide(void) {
    if (!cw_module.exposed)
        return;
    MPI_Win_unlock_all(cw_module.reach);
    MPI_Win_free(&cw_module.reach);
    cw_module.exposed = cw_module.reaches = false;
}

int cw_module_shown(void *win, size_t size, crew_error *err) {
    if (!cw_module.exposed)
        return cw_module_refuse(err, CREW_ENOTSUP, "there is no window");
    if (size != sizeof cw_module.reach)
        return cw_module_refuse(
            err, CREW_EMISMATCH,
            "the program was compiled with the mpi.h of another MPI than " CW_MPI_FLAVOUR);
    memcpy(win, &cw_module.reach, size);
    return 0;
}
