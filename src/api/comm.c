/* Communicators for tasks that run in the ranks themselves. */
#include "api/launch.h"
#include "base/error.h"
#include "team/member.h"

#include <crew/task.h>
#include <stdio.h>
#include <string.h>

enum { OF_GANG, OF_SELF };

static void end_of_gang(struct cw_member *m) {
    m->comm_over = NULL;
    if (!(m->comm_made & 1 << OF_GANG))
        return;
    m->comm_made &= ~(1 << OF_GANG);
    cw_launch_mpi()->disband(m->comm[OF_GANG]);
}

void cw_comm_end(struct cw_member *m) {
    if (m->comm_made & 1 << OF_SELF)
        cw_launch_mpi()->disband(m->comm[OF_SELF]);
    m->comm_made = 0;
}

static int make(struct cw_member *m, int which, size_t size, crew_error *err) {
    const struct cw_mpi *mpi = cw_launch_mpi();
    const struct cw_gang *gang = which == OF_GANG ? m->gang : NULL;
    int rc = mpi->gather(gang ? cw_gang_world(gang) : &m->muster->world, gang ? gang->size : 1,
                         gang ? (int)gang->tag : 0, m->comm[which], size, err);
    if (rc < 0)
        return rc;
    m->comm_made |= 1 << which;
    if (gang)
        m->comm_over = end_of_gang;
    return 0;
}

int crew_call_comm_into(crew_call *call, void *comm, size_t size) {
    struct cw_frame *frame = (struct cw_frame *)call;
    struct cw_member *m = frame->member;
    crew_error err = {0};
    int rc = 0;
    if (!m || !m->muster || !cw_launch_mpi())
        rc = cw_error_set(&err, CREW_ENOTSUP, 0,
                          "there is no communicator: tasks call MPI only where they run in its "
                          "ranks, with CREW_ISOLATE=0 under mpirun or srun");
    else if (size > sizeof m->comm[0])
        rc = cw_error_set(&err, CREW_EMISMATCH, 0, "a communicator of %zu bytes", size);
    int which = rc == 0 && m->gang && !frame->task && !frame->job ? OF_GANG : OF_SELF;
    if (rc == 0 && !(m->comm_made >> which & 1))
        rc = make(m, which, size, &err);
    if (rc < 0) {
        snprintf(frame->text, sizeof frame->text, "crew_call_comm: %.170s", err.text);
        frame->refused = rc;
        frame->touched = frame->noted = 1;
        return rc;
    }
    memcpy(comm, m->comm[which], size);
    return 0;
}
