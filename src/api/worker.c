/* What a worker process is from its first instruction to its last. */
#include "api/session.h"
#include "backend/fork/nursery.h"
#include "base/sanitized.h"
#include "os/openmp.h"
#include "os/output.h"
#include "os/process.h"
#include "team/member.h"

#include <fcntl.h>
#include <signal.h>
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

static struct cw_maps maps_of(cw_segment *own, const cw_segment *root) {
    struct cw_maps maps = {.root = root->base, .root_size = root->size};
    crew_error err;
    if (cw_arena_attach(&maps.arena, own, CW_ARENA_START, &err) < 0) {
        fprintf(stderr, "crew: a worker found no board: %s\n", err.text);
        _exit(CW_EXIT_SETUP);
    }
    return maps;
}

/* RLIMIT_AS would count the segment; this limit does not. A sanitizer's own memory
 * it would count. */
static void limit_memory(const struct cw_team *team) {
    struct rlimit data;
    if (CW_SANITIZED || !team->task_memory || getrlimit(RLIMIT_DATA, &data) != 0)
        return;
    rlim_t room =
        cw_process_private_bytes(getpid()) + team->task_memory + (rlim_t)256 * 1024 * 1024;
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
    struct cw_member *m = calloc(1, sizeof *m);
    if (!m)
        return;
    cw_member_init(m, maps, team, billet->rank);
    const struct cw_place *place = cw_team_place(maps, team, billet->rank);
    settle(m, place);
    atomic_store(&m->line->idle_bytes, cw_process_private_bytes(getpid()));
    bool in_order = cw_member_live(m);
    atomic_store(&cw_team_seat(maps, team, billet->rank)->farewell, in_order);
    free(m);
}

void cw_thread_enter(const struct cw_billet *billet) {
    struct cw_session *s = cw_session_if_any();
    struct cw_maps maps = maps_of(&s->own, &s->root);
    live(&maps, billet);
}

struct life {
    struct cw_maps maps;
    struct cw_billet billet;
};

static void *task_thread(void *arg) {
    struct life *life = arg;
    cw_process_name("crew-worker");
    live(&life->maps, &life->billet);
    return NULL;
}

/* Tasks run on a thread of their own: an OpenMP runtime that the manager had
 * used before it forked works there, and hangs on the first thread. */
static _Noreturn void run_process(cw_segment *own, cw_segment *root,
                                  const struct cw_billet *billet) {
    struct life life = {.maps = maps_of(own, root), .billet = *billet};
    struct cw_team *team = cw_ptr(&life.maps.arena, billet->team);
    const struct cw_place *place = cw_team_place(&life.maps, team, billet->rank);
    cw_session_become_worker(root, team->depth + 1, place->cores);
    cw_process_expendable(getenv("CREW_CORE") && getenv("CREW_CORE")[0] == '1');
    cw_process_clean_environment();
    cw_process_name("crew-worker");
    cw_output_by_line();
    limit_memory(team);
    on_exit(leave, NULL);
    pthread_t thread;
    int rc = cw_process_thread(&thread, task_thread, &life);
    if (rc == 0)
        pthread_join(thread, NULL);
    cw_output_flush();
    _exit(rc == 0 ? CW_EXIT_DONE : CW_EXIT_SETUP);
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

void cw_worker_if_spawned(void) {
    const char *value = getenv(CW_SPAWN_VARIABLE);
    int segment_fd, root_fd, rank, parent;
    unsigned long long team;
    if (!value)
        return;
    if (sscanf(value, "%d,%d,%llu,%d,%d", &segment_fd, &root_fd, &team, &rank, &parent) != 5 ||
        !cw_process_die_with(parent))
        _exit(CW_EXIT_SETUP);
    unsetenv(CW_SPAWN_VARIABLE);
    bool same = root_fd == segment_fd;
    crew_error err;
    if (cw_segment_attach(&worker_segment, segment_fd, &err) < 0 ||
        (!same && cw_segment_attach(&worker_root, root_fd, &err) < 0)) {
        fprintf(stderr, "crew: a spawned worker could not map its segment: %s\n", err.text);
        _exit(CW_EXIT_SETUP);
    }
    if (same)
        worker_root = worker_segment;
    cw_process_signals();
    struct cw_billet billet = {.team = team, .rank = rank};
    run_process(&worker_segment, &worker_root, &billet);
}
