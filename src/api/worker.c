/* What a worker process is from its first instruction to its last. */
#include "api/launch.h"
#include "api/shm_impl.h"
#include "api/worker.h"
#include "backend/fork/spawn.h"
#include "base/sanitized.h"
#include "os/openmp.h"
#include "os/output.h"
#include "os/process.h"
#include "team/member.h"

#include <crew/topology.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* exit() in a task: its output, but none of the handlers and buffers that were
 * inherited from the manager, which will run them itself. Registered last, it
 * runs first. */
static void leave(int status, void *unused) {
    (void)unused;
    cw_output_flush();
    _exit(status);
}

static cw_segment worker_segment, worker_root;

/* False: it found no board. */
static bool maps_of(cw_segment *own, const cw_segment *root, struct cw_maps *maps) {
    *maps = (struct cw_maps){.root = root->base, .root_size = root->size};
    crew_error err;
    if (cw_head_check(own, &err) == 0 &&
        cw_arena_attach(&maps->arena, own, CW_ARENA_START, &err) == 0)
        return true;
    fprintf(stderr, "crew: a worker found no board: %s\n", err.text);
    return false;
}

/* A backstop to the limit that the supervisor watches over: what a task asks for
 * between two of its looks. RLIMIT_AS would count the segment; this limit does
 * not. It counts what was asked for rather than what is used, and stacks: those of
 * OpenMP's threads need room. A sanitizer's own memory it would count. */
static void limit_memory(const struct cw_team *team, int cores) {
    struct rlimit data;
    pthread_attr_t attributes;
    size_t stack = 0;
    uint64_t now = cw_process_data_bytes();
    if (CW_SANITIZED || !team->task_memory || !now || getrlimit(RLIMIT_DATA, &data) != 0)
        return;
    if (pthread_getattr_default_np(&attributes) == 0) {
        pthread_attr_getstacksize(&attributes, &stack);
        pthread_attr_destroy(&attributes);
    }
    uint64_t threads = (uint64_t)(team->threads_per_worker ? team->threads_per_worker : cores);
    uint64_t slack = (uint64_t)256 << 20, room;
    if (__builtin_add_overflow(now + slack + threads * stack, team->task_memory, &room))
        return;
    if (data.rlim_max == RLIM_INFINITY || room < data.rlim_max)
        data.rlim_cur = room;
    setrlimit(RLIMIT_DATA, &data);
}

static void settle(struct cw_member *m, const struct cw_place *place) {
    static const cw_cpuset nowhere;
    if (memcmp(&place->cpus, &nowhere, sizeof nowhere) != 0)
        cw_affinity_set(&place->cpus);
    m->spins = m->team->spins;
    cw_openmp_threads(m->team->threads_per_worker ? m->team->threads_per_worker : place->cores);
}

static void live(struct cw_maps *maps, const struct cw_billet *billet) {
    struct cw_team *team = cw_ptr(&maps->arena, billet->team);
    struct cw_seat *seat = cw_team_seat(maps, team, billet->rank);
    struct cw_member *m = calloc(1, sizeof *m);
    if (!m) {
        atomic_store(&seat->sys, ENOMEM);
        return;
    }
    cw_member_init(m, maps, team, billet->rank);
    settle(m, cw_team_place(maps, team, billet->rank));
    if (team->processes && !cw_session_if_any())
        cw_shm_worker(&m->maps, m->line);
    else if (team->processes)
        cw_shm_reach(&m->maps); /* in the leader of ranks, which is the manager */
    if (m->muster)
        m->muster->world = cw_launch_own_rank();
    atomic_store(&seat->step, CW_STEP_SETTLED);
    bool in_order = cw_member_live(m);
    cw_comm_end(m);
    atomic_store(&seat->farewell, in_order ? CW_FAREWELL_ORDER : CW_FAREWELL_NONE);
    free(m);
}

void cw_thread_enter(const struct cw_billet *billet) {
    struct cw_session *s = cw_session_if_any();
    struct cw_maps maps;
    if (maps_of(&s->own, &s->root, &maps))
        live(&maps, billet);
}

void cw_worker_settle(const cw_segment *root, int depth, int cores, const char *name) {
    cw_session_become_worker(root, depth, cores);
    cw_process_expendable(getenv("CREW_CORE") && getenv("CREW_CORE")[0] == '1');
    cw_process_clean_environment();
    cw_process_name(name);
    cw_output_by_line();
    on_exit(leave, NULL);
}

struct life {
    struct cw_maps maps;
    struct cw_billet billet;
};

static void *task_thread(void *arg) {
    struct life *life = arg;
    struct cw_team *team = cw_ptr(&life->maps.arena, life->billet.team);
    struct cw_seat *seat = cw_team_seat(&life->maps, team, life->billet.rank);
    cw_process_name("crew-worker");
    limit_memory(team, cw_team_place(&life->maps, team, life->billet.rank)->cores);
    atomic_store(&seat->step, CW_STEP_MEMBER);
    live(&life->maps, &life->billet);
    return NULL;
}

/* Where it says what it is about: before it has a board of its own. NULL: what it was
 * told is no team's place. */
static struct cw_seat *seat_in(cw_segment *own, const struct cw_billet *billet) {
    const struct cw_team *team = (const struct cw_team *)(own->base + billet->team);
    if (billet->team % 64 || billet->team > own->size - sizeof *team ||
        team->magic != CW_TEAM_MAGIC || billet->rank < 0 || billet->rank >= team->members)
        return NULL;
    return (struct cw_seat *)(own->base + team->seats) + billet->rank;
}

/* Tasks run on a thread of their own: an OpenMP runtime that the manager had
 * used before it forked works there, and hangs on the first thread. */
static _Noreturn void run_process(cw_segment *own, cw_segment *root,
                                  const struct cw_billet *billet) {
    struct life life = {.billet = *billet};
    struct cw_seat *seat = seat_in(own, billet);
    if (seat)
        atomic_store(&seat->step, CW_STEP_BOARD);
    else
        fprintf(stderr, "crew: a worker found no team where it was told to look\n");
    if (!seat || !maps_of(own, root, &life.maps))
        _exit(CW_EXIT_SETUP);
    const struct cw_team *team = cw_ptr(&life.maps.arena, billet->team);
    int cores = cw_team_place(&life.maps, team, billet->rank)->cores;
    cw_worker_settle(root, team->depth + 1, cores, "crew-worker");
    cw_session_self()->node = team->node;
    atomic_store(&seat->step, CW_STEP_OBJECTS);
    crew_error err;
    if (cw_session_join_objects(root, &err) < 0)
        _exit(CW_EXIT_SETUP);
    atomic_store(&seat->step, CW_STEP_THREAD);
    pthread_t thread;
    int rc = cw_process_thread(&thread, task_thread, &life);
    if (rc) {
        atomic_store(&seat->sys, rc);
        _exit(CW_EXIT_SETUP);
    }
    pthread_join(thread, NULL);
    cw_output_flush();
    _exit(atomic_load(&seat->step) == CW_STEP_SETTLED ? CW_EXIT_DONE : CW_EXIT_SETUP);
}

int cw_rank_adopt(int fd, cw_segment *segment, crew_error *err) {
    int rc = cw_session_adopt(fd, segment, err), cores = crew_cpu_count();
    if (rc < 0)
        return rc;
    worker_segment = cw_session_segments(&worker_root);
    cw_session_become_worker(&worker_root, 1, cores);
    cw_output_by_line();
    return cw_session_join_objects(&worker_root, err);
}

void cw_rank_enter(const struct cw_billet *billet) {
    struct cw_maps maps;
    if (maps_of(&worker_segment, &worker_root, &maps))
        live(&maps, billet);
}

/* The segment as the manager mapped it: a forked worker has it at the same
 * place. The nursery's copy of the session is the manager's at its fork. */
void cw_worker_enter(const struct cw_billet *billet) {
    worker_segment = cw_session_segments(&worker_root);
    run_process(&worker_segment, &worker_root, billet);
}

bool cw_worker_was_spawned(void) {
    return getenv(CW_SPAWN_VARIABLE) != NULL;
}

static _Noreturn void refuse_to_be_spawned(const char *value, const char *why) {
    fprintf(stderr,
            "crew: " CW_SPAWN_VARIABLE "=%.80s %s. crew sets this variable for the workers it "
            "starts; take it out of the environment\n",
            value, why);
    _exit(CW_EXIT_SETUP);
}

void cw_worker_if_spawned(void) {
    const char *value = getenv(CW_SPAWN_VARIABLE);
    struct cw_spawned spawned;
    if (!value)
        return;
    if (!cw_spawn_read(value, &spawned))
        refuse_to_be_spawned(value, "is not one of crew's own");
    if (!cw_process_die_with(spawned.parent))
        refuse_to_be_spawned(value, "was meant for a child of another process");
    bool same = spawned.root_fd == spawned.segment_fd;
    crew_error err;
    if (cw_segment_attach(&worker_segment, spawned.segment_fd, &err) < 0 ||
        (!same && cw_segment_attach(&worker_root, spawned.root_fd, &err) < 0)) {
        fprintf(stderr, "crew: a spawned worker could not map its segment: %s\n", err.text);
        _exit(CW_EXIT_SETUP);
    }
    if (same)
        worker_root = worker_segment;
    unsetenv(CW_SPAWN_VARIABLE);
    cw_signals_follow(&spawned.signals);
    if (spawned.billet.rank == CW_BILLET_PROCESS)
        cw_process_enter_spawned(&worker_root, &spawned.billet);
    run_process(&worker_segment, &worker_root, &spawned.billet);
}
