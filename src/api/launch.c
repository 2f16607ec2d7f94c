#include "api/launch.h"

#include "api/array_agent.h"
#include "api/guest.h"
#include "api/home.h"
#include "api/node.h"
#include "api/remote.h"
#include "api/session.h"
#include "backend/ranks/ranks.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/object.h"
#include "os/output.h"
#include "os/segment.h"
#include "share/share.h"

#include <crew/crew.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

/* How long each rank waits at the end for the others where all are there, as far as is known:
 * one may be slow, and who goes before MPI has ended makes the whole job a failed one. And
 * where some are missing. */
static const double GO = CW_LAUNCH_COME, GO_WITHOUT = 5;
static const double NODE_TIMEOUT = 30;
/* So soon mpirun may notice a silence that it is waited for before anything is said. */
enum { SOON_S = 60 };

static struct cw_launch launch;
static pid_t launched; /* the process that is the manager, or leads a node; 0: none */
static crew_error refused;

static bool is_manager(void) {
    return launched && launched == getpid() && launch.agent.place.rank == 0;
}

struct cw_launch *cw_launch_state(void) {
    return &launch;
}

struct cw_berths *cw_launch_berths(const struct cw_session *s) {
    return launch.joint ? launch.berths : s->berths;
}

double cw_launch_timeout(const struct cw_session *s) {
    return s->config.node_timeout ? s->config.node_timeout : NODE_TIMEOUT;
}

struct cw_launch *cw_launch_here(void) {
    return is_manager() ? &launch : NULL;
}

const struct cw_mpi *cw_launch_mpi(void) {
    return launch.agent.running ? launch.agent.mpi : NULL;
}

int cw_launch_own_rank(void) {
    return launch.agent.running ? launch.agent.place.rank : -1;
}

const crew_error *cw_launch_refused(void) {
    return &refused;
}

bool cw_launch_wanted(void) {
    struct cw_launcher l;
    crew_error err;
    return cw_launcher_find(environ, &l, &err) < 0 || l.kind != CW_LAUNCHER_NONE;
}

/* ---- who this is ---- */

/* On the agent's thread, once the place is known: what the others must know. */
/* The memory of the node's ranks is to be MPI's: how much. */
static int wish_window(const struct cw_session *s, struct cw_card *card, crew_error *err) {
    card->window = 1;
    if (!s->fresh)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "CREW_SEGMENT=window: call crew_init first in main, before anything "
                            "else of crew's");
    if (!s->config.isolate)
        return cw_error_set(err, CREW_ENOTSUP, 0,
                            "CREW_SEGMENT=window and CREW_ISOLATE=0 do not go together");
    return cw_segment_in_shm((uint64_t)s->config.segment, &card->window, err);
}

/* It is there. */
static int use_window(struct cw_session *s, const struct cw_mpi_place *place, struct cw_card *card,
                      crew_error *err) {
    const struct cw_agent *a = &launch.agent;
    uint64_t size = a->cards[a->nodes[place->node].leader].window;
    int rc = cw_session_move(s, a->window, size, place->node_rank == 0, err);
    if (rc == 0 && place->node_rank == 0)
        card->session = cw_share_here()->commons->session;
    return rc;
}

int cw_launch_introduce(void *session, const struct cw_mpi_place *place, struct cw_card *card,
                        crew_error *err) {
    struct cw_session *s = session;
    card->pid = getpid();
    card->cores = crew_cpu_count();
    int rc = cw_affinity_get(&card->mask);
    if (rc < 0)
        return cw_error_set(err, CREW_ENOTSUP, -rc, "the affinity mask cannot be read");
    card->berth.pid = card->pid;
    if (s->config.window && !launch.joint && !launch.agent.acquainted)
        return wish_window(s, card, err); /* this is called again */
    if (launch.agent.window && (rc = use_window(s, place, card, err)) < 0)
        return rc;
    if (place->node_rank != 0)
        return 0;
    launch.agent.memory = s->own.base;
    launch.agent.memory_size = s->own.size;
    cw_off at = cw_alloc_zero(&s->arena, cw_quay_bytes(place->node_size), NULL, err);
    if (!at)
        return err->code;
    launch.berths =
        cw_berths_make(&s->own, at, s->bell, place->node_size, &card->mask, err);
    if (!launch.berths)
        return err->code;
    card->berth = cw_berths_card(launch.berths);
    if (!launch.joint)
        s->berths = launch.berths;
    return 0;
}

void cw_launch_fill_card(struct cw_session *s, struct cw_card *card) {
    cw_fn_name here = {0};
    crew_error ignored;
    cw_card_begin(card, CREW_VERSION, s->host);
    card->layout = cw_head(&s->own)->layout;
    card->session = cw_share_here()->commons->session;
    card->isolate = s->config.isolate;
    card->one_sided = s->config.one_sided;
    card->rdma = cw_memory_is_pinned();
    cw_fn_find((cw_fn *)crew_init, NULL, &here, &ignored);
    card->library = here.object;
    card->program = cw_object_of_program();
}

/* The followers of this leader's node have come. */
int cw_launch_gather(crew_error *err) {
    const struct cw_agent *a = &launch.agent;
    const struct cw_agent_node *node = &a->nodes[a->place.node];
    int32_t *pids = calloc((size_t)node->ranks, sizeof *pids);
    if (!pids)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for %d ranks", node->ranks);
    for (int i = 0; i < node->ranks; i++)
        pids[i] = a->cards[a->order[node->first + i]].pid;
    cw_berths_expect(launch.berths, pids);
    free(pids);
    return cw_berths_await(launch.berths, CW_LAUNCH_COME, err);
}

static _Noreturn void leave(int status) {
    cw_output_flush();
    _exit(status);
}

static _Noreturn void give_up(const crew_error *err, int status) {
    fprintf(stderr, "crew: rank %d: %s\n", launch.agent.place.rank, err->text);
    leave(status);
}

/* This process is about to end, for nothing is heard of that node. Before mpirun is made to end
 * the job it is to notice, too, or it waits for its daemon there. */
static void await_mpirun(int node) {
    const struct cw_agent *a = &launch.agent;
    /* The last that it said may be lost, or it had nothing to say yet. */
    cw_mpirun_await(&launch.mpirun, a->nodes[node].heard_ns + (int64_t)(a->timeout * 1e9) / 5);
}

static _Noreturn void lead_a_node(struct cw_session *s) {
    crew_error err;
    s->config.progress = 0; /* the manager's affair */
    s->config.report_binding = 0;
    if (cw_launch_gather(&err) < 0)
        give_up(&err, 1);
    static const crew_pool_opts usual;
    int due = cw_node_workers(s, &usual, &err);
    if (due < 0)
        give_up(&err, 1);
    launched = getpid();
    s->node = launch.agent.place.node;
    enum cw_parting parting = cw_guest_serve(s, &launch.agent, due, NULL);
    launch.alone = parting == CW_PART_LOST;
    launch.less = parting != CW_PART_WHOLE;
    if (launch.alone && !cw_mpirun_ends_after_us(&launch.mpirun))
        await_mpirun(0);
    crew_finalize();
    leave(launch.alone ? 1 : 0);
}

struct cw_berth_post cw_launch_post(void) {
    const struct cw_agent *a = &launch.agent;
    const struct cw_card *leader = &a->cards[a->nodes[a->place.node].leader];
    const bool aboard = !leader->isolate;
    return (struct cw_berth_post){.leader = leader->berth,
                                  .mine = a->place.node_rank,
                                  .mask = a->cards[a->place.rank].mask,
                                  .own = a->window ? &cw_session_self()->own : NULL,
                                  .check = cw_head_check,
                                  .adopt = aboard ? cw_rank_adopt : cw_session_adopt,
                                  .aboard = aboard,
                                  .enter = aboard ? cw_rank_enter : cw_worker_enter};
}

static _Noreturn void follow(void) {
    const struct cw_berth_post post = cw_launch_post();
    int status = 1;
    crew_error err;
    int rc = cw_berth_serve(&post, &status, &err);
    if (rc < 0 && rc != CREW_EBROKEN)
        give_up(&err, 1);
    bool less = rc < 0 || status;
    cw_agent_leave(&launch.agent, !less, less ? GO_WITHOUT : GO);
    leave(rc < 0 ? 1 : status == CW_ENDS_WITH_LESS ? 0 : status);
}

/* ---- the manager ---- */

/* mpirun would end the job by itself if it knew. It does not yet, if ever, of a host that only
 * says nothing any more, for which it then waits, too. If it soon does, it tells: what this
 * process said, its daemon would pass on, and if it is our host that is cut off, that keeps the
 * daemon from noticing. */
void cw_launch_lost(int node) {
    const struct cw_agent_node *n = &launch.agent.nodes[node];
    if (launch.joint || !launch.mpirun.plain || !is_manager())
        return;
    bool helped = cw_mpirun_ends_after_us(&launch.mpirun);
    bool late = !helped && launch.mpirun.notices_s > SOON_S;
    if (!helped && !late)
        await_mpirun(node);
    char more[128] = "";
    if (late)
        snprintf(more, sizeof more,
                 " mpirun, on another host, notices it after %d s (oob_tcp_keepalive_time).",
                 launch.mpirun.notices_s);
    else if (!helped)
        snprintf(more, sizeof more, " mpirun may wait for that host for some 15 minutes.");
    fprintf(stderr,
            "crew: node %s (rank %d) was lost: nothing was heard of it for %.3g s "
            "(CREW_NODE_TIMEOUT). So the job ends; cluster/crewrun lets one go on.%s\n",
            n->host, n->leader, (double)(cw_now_ns() - n->heard_ns) * 1e-9, more);
    if (late)
        await_mpirun(node);
    _exit(1);
}

void cw_launch_dismiss(void) {
    if (is_manager()) {
        launch.less = !cw_agent_whole(&launch.agent) || !cw_berths_whole(launch.berths);
        cw_array_agent_end();
        launch.less = cw_home_goodbye(launch.less);
    }
    launched = 0;
}

/* True: MPI has ended. */
static bool end_job(void) {
    bool manages = is_manager();
    cw_launch_dismiss();
    const double go = launch.less ? GO_WITHOUT : GO;
    if (manages && launch.less && !launch.joint)
        cw_mpirun_ends_after_us(&launch.mpirun); /* where it would wait for who is missing */
    cw_berths_quit(launch.berths, launch.alone ? 1 : launch.less ? CW_ENDS_WITH_LESS : 0, go);
    if (!cw_agent_leave(&launch.agent, !launch.less, go))
        return false;
    cw_remote_end(false);
    return true;
}

/* Without crew_finalize, too, the other ranks end. The memory stays: there may be pools,
 * and the service thread looks after them to the end. */
static void at_exit(int status, void *unused) {
    (void)status;
    (void)unused;
    if (is_manager() && !launch.joint)
        end_job();
}

int cw_launch_manage(struct cw_session *s, crew_error *err) {
    const struct cw_agent *a = &launch.agent;
    static const crew_pool_opts usual;
    crew_error ignored;
    launch.due = calloc((size_t)a->place.nodes, sizeof *launch.due);
    if (!launch.due)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for %d nodes", a->place.nodes);
    int rc = cw_launch_gather(err);
    if (rc == 0)
        rc = launch.due[0] = cw_node_workers(s, &usual, err);
    if (rc < 0 && !launch.joint)
        return rc;
    launched = getpid();
    if (rc >= 0)
        return cw_home_serve(s, &launch.agent, launch.due, CW_LAUNCH_COME, err);
    /* The other nodes' leaders wait for a word. */
    cw_home_serve(s, &launch.agent, launch.due, 0, &ignored);
    return rc;
}

/* How many of total workers the first `ranks` of `size` ranks have. */
static int share(int ranks, int total, int size) {
    return (int)(((int64_t)ranks * total + size - 1) / size);
}

int cw_launch_workers(void) {
    int sum = 0;
    for (int node = 0; node < launch.agent.place.nodes; node++)
        sum += launch.agent.nodes[node].lost ? 0 : launch.due[node];
    return sum;
}

void cw_launch_spread(int total, int *by_node) {
    const struct cw_agent *a = &launch.agent;
    int ranks = 0, size = 0, due = 0;
    /* A node may be lost meanwhile, or its last nursery: each is looked at once. */
    for (int node = 0; node < a->place.nodes; node++) {
        const int has = a->nodes[node].lost ? 0 : launch.due[node];
        by_node[node] = has ? a->nodes[node].ranks : 0;
        size += by_node[node];
        due += has;
    }
    for (int node = 0; node < a->place.nodes; node++) {
        /* Evenly over ranks, the first ones first. */
        int from = share(ranks, total, size);
        ranks += by_node[node];
        if (by_node[node])
            by_node[node] = due == total ? launch.due[node] : share(ranks, total, size) - from;
    }
}

int cw_launch_rank(int node, int berth) {
    return launch.agent.order[launch.agent.nodes[node].first + berth];
}

bool cw_launch_end(void) {
    if (!launch.agent.running)
        refused.code = 0; /* nothing was started: the next session may try again */
    if (!launched || launched != getpid())
        return true;
    bool ended = end_job();
    if (ended) {
        cw_berths_free(launch.berths);
        free(launch.due);
    }
    cw_error_set(&refused, CREW_EBROKEN, 0, "MPI has ended with crew_finalize, and starts only once "
                                            "in a program");
    return ended;
}

/* ---- crew_init ---- */

static int refuse(const crew_error *err) {
    refused = *err;
    return err->code;
}

/* Better now than when it calls that. */
static int programs_own(crew_error *err) {
    cw_error_set(err, CREW_EINVAL, 0,
                 "this program calls MPI_Init itself, but has not yet, and crew would now start "
                 "MPI: link crew-mpi-%s, or call MPI_Init before crew_init, and MPI is the "
                 "program's; with CREW_BACKEND=mpi it is crew's",
                 launch.launcher.flavour);
    return refuse(err);
}

int cw_launch(struct cw_session *s, crew_error *err) {
    int wish = s->config.backend;
    if (s->depth || launched || refused.code || (wish != CREW_AUTO && wish != CREW_MPI) ||
        cw_mpi_is_the_programs())
        return refused.code ? cw_error_copy(err, &refused) : 0;
    if (cw_launcher_find(environ, &launch.launcher, err) < 0)
        return refuse(err);
    if (launch.launcher.kind == CW_LAUNCHER_NONE && wish == CREW_AUTO)
        return 0;
    cw_mpirun_find(environ, &launch.mpirun);
    if (wish == CREW_AUTO && cw_mpi_is_called())
        return programs_own(err);
    struct cw_card card;
    cw_launch_fill_card(s, &card);
    const struct cw_agent_rank rank = {.card = &card,
                                       .timeout = cw_launch_timeout(s),
                                       .introduce = cw_launch_introduce,
                                       .ctx = s};
    int rc = cw_agent_join(&launch.agent, &rank, &launch.launcher, s->config.mpi_module, err);
    if (rc < 0) {
        cw_agent_leave(&launch.agent, false, GO_WITHOUT);
        return refuse(err);
    }
    const struct cw_mpi_place *place = &launch.agent.place;
    if (place->node_rank == 0)
        cw_share_place(cw_share_here(), launch.agent.cards[0].session, place->node, place->nodes);
    if (s->config.window) /* it could not be forked before there was this memory */
        cw_session_prepare(s);
    if (place->rank == 0) {
        on_exit(at_exit, NULL);
        return (rc = cw_launch_manage(s, err)) < 0 ? refuse(err) : 0;
    }
    if (cw_agent_leads(&launch.agent))
        lead_a_node(s);
    follow();
}
