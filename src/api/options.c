/* What a pool's options come to: the environment over the code, then defaults;
 * and who runs where. */
#include "api/launch.h"
#include "api/node.h"
#include "api/pool_impl.h"
#include "backend/ranks/ranks.h"
#include "base/error.h"
#include "os/process.h"
#include "topo/topo.h"

#include <crew/topology.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int check(const crew_pool_opts *o, crew_error *err) {
    if (o->backend < CREW_AUTO || o->backend > CREW_MPI)
        return cw_error_set(err, CREW_EINVAL, 0, "backend %d: there is none with that number",
                            o->backend);
    if (o->workers < 0 || o->workers > CW_MAX_WORKERS)
        return cw_error_set(err, CREW_EINVAL, 0, "workers is %d: 1 to %d are possible, 0 chooses",
                            o->workers, CW_MAX_WORKERS);
    if (o->threads_per_worker < 0 || o->threads_per_worker > 4096)
        return cw_error_set(err, CREW_EINVAL, 0, "threads_per_worker is %d: 0 to 4096 are possible",
                            o->threads_per_worker);
    if (o->start < CREW_START_AUTO || o->start > CREW_START_SPAWN)
        return cw_error_set(err, CREW_EINVAL, 0, "start %d: there is no such mode", o->start);
    if (o->bind < CREW_BIND_AUTO || o->bind > CREW_BIND_SOCKET)
        return cw_error_set(err, CREW_EINVAL, 0, "bind %d: there is no such binding", o->bind);
    if (o->tasks_per_worker < 0)
        return cw_error_set(err, CREW_EINVAL, 0, "tasks_per_worker is %lld: it may not be negative",
                            (long long)o->tasks_per_worker);
    if (o->retries < 0 || o->retries > CW_MOST_RETRIES)
        return cw_error_set(err, CREW_EINVAL, 0, "retries is %d: 0 to %d are possible", o->retries,
                            CW_MOST_RETRIES);
    if (!(o->task_timeout >= 0))
        return cw_error_set(err, CREW_EINVAL, 0, "task_timeout is %g: it may not be negative",
                            o->task_timeout);
    if (o->init_size && !o->init_arg)
        return cw_error_set(err, CREW_EINVAL, 0, "init_arg is NULL, but init_size is %zu",
                            o->init_size);
    return 0;
}

int cw_pool_can_measure(crew_error *err) {
    if (cw_process_private_bytes(getpid()) > 0)
        return 0;
    return cw_error_set(err, CREW_ENOTSUP, 0,
                        "task_memory is watched over in /proc, which is not mounted here");
}

int cw_depth_here(struct cw_session *s) {
    return cw_this_member ? cw_this_member->team->depth + 1 : s->depth;
}

/* The cores of the member that this thread is. */
static int slice_here(void) {
    struct cw_member *m = cw_this_member;
    return cw_team_place(&m->maps, m->team, m->rank)->cores;
}

/* What the launch says, where neither the environment nor the code does. */
static int choose_backend(const struct cw_session *s, crew_pool_opts *o, crew_error *err) {
    bool top = cw_depth_here((struct cw_session *)s) == 0;
    if (o->backend != CREW_AUTO && o->backend != CREW_MPI)
        return 0;
    if (top && s->berths)
        o->backend = CREW_MPI;
    else if (top && cw_launch_refused()->code)
        return cw_error_copy(err, cw_launch_refused());
    else if (top && cw_mpi_is_the_programs() && o->backend == CREW_MPI)
        return cw_error_set(err, CREW_ENOTSUP, 0,
                            "MPI is this program's own: its pools over ranks are opened with "
                            "crew_mpi_pool (crew/mpi.h)");
    else if (top && !s->by_init && !cw_mpi_is_the_programs() && cw_launch_wanted())
        return cw_error_set(err, CREW_EINVAL, 0,
                            "this is one rank of several: call crew_init first in main, so that "
                            "one of them becomes the manager and the others its workers");
    else if (top && o->backend == CREW_MPI)
        return cw_error_set(err, CREW_ENOTSUP, 0,
                            "there are no MPI ranks here: start the program with mpirun or srun, "
                            "and call crew_init first in main");
    else if (top && !s->config.isolate)
        return cw_error_set(err, CREW_ENOTSUP, 0,
                            "CREW_ISOLATE=0 has tasks run in the ranks of MPI, and there are none: "
                            "start the program with mpirun or srun and call crew_init first in "
                            "main, or unset it");
    else /* in a worker, too: ranks are the top manager's */
        o->backend = CREW_FORK;
    if (o->backend != CREW_MPI)
        return 0;
    if (o->start != CREW_START_AUTO && o->start != CREW_START_SERVER)
        return cw_error_set(err, CREW_ENOTSUP, 0,
                            "start is %s: workers of ranks are forked from what the program was in "
                            "crew_init, which is server",
                            cw_start_word(o->start));
    o->start = CREW_START_SERVER;
    return 0;
}

/* Where tasks run in the ranks, each is one worker. */
static int most_aboard(const struct cw_session *s) {
    return cw_launch_here() ? cw_launch_workers() : cw_berths_count(s->berths);
}

static int choose_joint(crew_pool_opts *o, crew_error *err) {
    if (o->backend != CREW_AUTO && o->backend != CREW_MPI)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "backend is %s: pools of crew_mpi_pool have workers of the ranks (auto "
                            "or mpi)",
                            cw_backend_word(o->backend));
    if (o->start != CREW_START_AUTO && o->start != CREW_START_FORK)
        return cw_error_set(err, CREW_ENOTSUP, 0,
                            "start is %s: workers of crew_mpi_pool are forked as it is called, "
                            "which is fork",
                            cw_start_word(o->start));
    o->backend = CREW_MPI;
    o->start = CREW_START_FORK;
    return 0;
}

static int settle(struct cw_session *s, crew_pool_opts *o, bool joint, crew_error *err) {
    const struct cw_config *c = &s->config;
    int rc = check(o, err);
    if (rc < 0)
        return rc;
    if (c->backend && !joint)
        o->backend = c->backend;
    if (c->start && !joint)
        o->start = c->start;
    if (c->bind >= 0)
        o->bind = c->bind;
    if (c->threads)
        o->threads_per_worker = c->threads;
    if (c->has_seed)
        o->seed = c->seed;
    if ((rc = joint ? choose_joint(o, err) : choose_backend(s, o, err)) < 0)
        return rc;
    int most = crew_cpu_count(), depth = cw_depth_here(s);
    if (c->workers && depth == 0)
        o->workers = c->workers;
    int slice = cw_this_member ? slice_here() : s->cores;
    if (slice && slice < most)
        most = slice;
    if (o->workers == 0 && o->backend == CREW_MPI &&
        (o->workers = cw_launch_here() ? cw_launch_workers() : cw_node_workers(s, o, err)) < 0)
        return o->workers;
    if (o->backend == CREW_MPI && !c->isolate && o->workers > most_aboard(s))
        o->workers = most_aboard(s);
    if (o->workers == 0)
        o->workers = most;
    if (o->workers > CW_MAX_WORKERS)
        o->workers = CW_MAX_WORKERS; /* a machine with more cores than that */
    if (o->backend == CREW_SERIAL)
        o->workers = 1;
    if (o->backend != CREW_FORK && o->backend != CREW_MPI)
        o->start = CREW_START_AUTO;
    else if (o->start == CREW_START_AUTO)
        o->start = CREW_START_FORK;
    if (c->strict && o->start == CREW_START_FORK && !joint)
        o->start = CREW_START_SERVER;
    if (o->start == CREW_START_SPAWN && !s->by_init && s->depth == 0)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "CREW_START_SPAWN runs this program again in every worker: call "
                            "crew_init first in main, so that it knows what it is");
    if (o->start == CREW_START_SPAWN && (rc = cw_session_may_spawn(s, err)) < 0)
        return rc;
    if (o->task_memory && o->backend != CREW_FORK && (o->backend != CREW_MPI || !c->isolate))
        return cw_error_set(err, CREW_ENOTSUP, 0,
                            "task_memory needs workers that are processes (CREW_FORK, or CREW_MPI "
                            "without CREW_ISOLATE=0)");
    return o->task_memory ? cw_pool_can_measure(err) : 0;
}

int cw_options_settle(struct cw_session *s, crew_pool_opts *o, crew_error *err) {
    return settle(s, o, false, err);
}

int cw_options_settle_joint(struct cw_session *s, crew_pool_opts *o, crew_error *err) {
    return settle(s, o, true, err);
}

/* Nobody is bound: that needs no look at the machine. */
static bool unbound(const struct cw_session *s, const crew_pool_opts *o, const cw_cpuset *mask) {
    return o->bind == CREW_BIND_NONE || o->backend == CREW_SERIAL ||
           (o->bind == CREW_BIND_AUTO && s->config.bind < 0 && o->workers > cw_cpuset_count(mask));
}

static int bind_workers(const struct cw_session *s, const crew_pool_opts *o, const cw_cpuset *mask,
                        struct cw_place *places, crew_error *err) {
    cw_topo *topo = cw_topo_load(err);
    if (!topo)
        return err->code;
    const struct cw_place_request request = {.quota = cw_quota_here(),
                                             .workers = o->workers,
                                             .threads_per_worker = o->threads_per_worker,
                                             .bind = o->bind,
                                             .order = s->config.order,
                                             .mask = mask};
    int rc = cw_place_workers(topo, &request, places, err);
    cw_topo_free(topo);
    return rc;
}

int cw_options_place(const struct cw_session *s, const crew_pool_opts *o, struct cw_place *places,
                     crew_error *err) {
    cw_cpuset mask;
    if (o->backend == CREW_MPI)
        return cw_node_place(s, o, NULL, places, err);
    int rc = cw_affinity_get(&mask);
    if (rc < 0)
        return cw_error_set(err, CREW_ENOTSUP, -rc, "the affinity mask cannot be read");
    if (unbound(s, o, &mask)) {
        int share = (s->cores ? s->cores : crew_cpu_count()) / o->workers;
        for (int i = 0; i < o->workers; i++)
            places[i] = (struct cw_place){.cores = share > 0 ? share : 1};
    } else if ((rc = bind_workers(s, o, &mask, places, err)) < 0) {
        return rc;
    }
    return 0;
}
