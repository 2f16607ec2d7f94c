#include "api/joint.h"

#include "api/guest.h"
#include "api/home.h"
#include "api/launch.h"
#include "api/node.h"
#include "api/pool_impl.h"
#include "api/remote.h"
#include "backend/fork/nursery.h"
#include "backend/mpi/core.h"
#include "backend/ranks/ranks.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/futex.h"
#include "share/share.h"

#include <crew/crew.h>
#include <stdio.h>
#include <stdlib.h>

/* Owner: this process, of which one thread at a time has `taken`. */
static struct {
    _Atomic bool taken, follows;
    struct cw_session *session;
    struct cw_nursery nursery; /* that forks this rank's workers */
    cw_off quay;               /* in the arena; 0: this rank leads no node */
    struct cw_follower *follower; /* that this rank is; NULL: it leads a node */
    crew_pool *pool;           /* the root's */
    uint32_t name, nodes;      /* of the commons, before */
    crew_error trouble;        /* why this rank cannot take part; code 0: it can */
    /* The root's agent, if somebody has to do its work. */
    _Atomic(struct cw_agent *) driven;
} joint;

/* ---- progress ------------------------------------------------------------ */

static struct cw_agent *mine(void) {
    struct cw_agent *a = atomic_load_explicit(&joint.driven, memory_order_acquire);
    return a && pthread_equal(a->driver, pthread_self()) ? a : NULL;
}

bool cw_joint_drives(void) {
    return mine() != NULL;
}

bool cw_joint_turn(void) {
    struct cw_agent *a = mine();
    return a && cw_agent_turn(a);
}

void cw_joint_take_over(void) {
    struct cw_agent *a = atomic_load(&joint.driven);
    if (a)
        a->driver = pthread_self();
}

void cw_joint_wait(_Atomic uint32_t *word, uint32_t seen, double timeout) {
    static const double first = 20e-6, most = 1e-3;
    if (!mine()) {
        cw_futex_wait(word, seen, timeout);
        return;
    }
    struct cw_deadline d = cw_deadline_in(timeout);
    for (double nap = first; atomic_load(word) == seen && !cw_deadline_over(&d);) {
        if (cw_joint_turn())
            nap = first;
        else
            cw_futex_wait(word, seen, nap);
        nap = 2 * nap < most ? 2 * nap : most;
    }
}

bool cw_joint_follows(void) {
    return atomic_load(&joint.follows);
}

struct cw_nursery *cw_joint_nursery(void) {
    return &joint.nursery;
}

/* ---- begin and end ------------------------------------------------------- */

static void finalizing(void) {
    crew_pool_free(joint.pool);
}

/* What may fail in one rank alone comes before anybody serves: so all hear of it at once. */
static int come(crew_error *err) {
    struct cw_berth_post post = cw_launch_post();
    post.nursery = &joint.nursery;
    joint.follower = cw_berth_come(&post, err);
    return joint.follower ? 0 : err->code;
}

static int introduce(void *ctx, const struct cw_mpi_place *place, struct cw_card *card,
                     crew_error *err) {
    (void)ctx;
    if (joint.trouble.code)
        return cw_error_copy(err, &joint.trouble);
    if (cw_launch_state()->agent.acquainted)
        return place->node_rank == 0 ? 0 : come(err);
    int rc = cw_launch_introduce(joint.session, place, card, err);
    struct cw_berths *berths = cw_launch_state()->berths;
    if (rc == 0 && berths) {
        joint.quay = card->berth.at;
        cw_berths_nursery(berths, &joint.nursery);
    }
    return rc;
}

/* What is this rank's own; whatever fails is told to all by its card. */
static void prepare(struct cw_card *card) {
    crew_error *e = &joint.trouble;
    *e = (crew_error){0};
    joint.nursery = (struct cw_nursery){.socket = -1, .process = -1};
    joint.quay = 0;
    joint.follower = NULL;
    joint.pool = NULL;
    joint.session = cw_session_get(e);
    if (!joint.session) {
        cw_card_begin(card, CREW_VERSION, "?");
        return;
    }
    cw_launch_fill_card(joint.session, card);
    joint.name = cw_share_here()->commons->session;
    joint.nodes = cw_share_here()->commons->nodes;
    if (!joint.session->config.isolate)
        cw_error_set(e, CREW_ENOTSUP, 0,
                     "CREW_ISOLATE=0 is for programs whose MPI is crew's: tasks of crew_mpi_pool "
                     "run in processes of their own");
    else if (cw_nursery_start(&joint.nursery, e) == 0)
        e->code = 0;
}

/* All ranks do this, at the end. mine: what this one has to say of it; NULL: nothing. What
 * is returned is the root's word, or that of who had something to say. */
static int leave(const crew_error *mine, bool orderly, crew_error *err) {
    struct cw_launch *l = cw_launch_state();
    struct cw_session *s = joint.session;
    if (mine)
        l->agent.parting = *mine;
    atomic_store(&joint.driven, NULL);
    if (!cw_agent_leave(&l->agent, orderly, CW_LAUNCH_COME)) /* nor may there be another */
        return cw_error_set(err, CREW_EBROKEN, 0, "MPI does not end what was begun for the pool");
    crew_error parting = l->agent.parting;
    cw_berths_free(l->berths);
    free(l->due);
    if (joint.nursery.socket >= 0)
        cw_nursery_stop(&joint.nursery);
    cw_remote_end(true);
    if (s) {
        s->node = 0;
        cw_free(&s->arena, joint.quay);
        cw_share_here()->commons->session = joint.name;
        cw_share_here()->commons->nodes = joint.nodes;
    }
    *l = (struct cw_launch){.joint = false};
    joint.pool = NULL;
    atomic_store(&joint.taken, false);
    return parting.code ? cw_error_copy(err, &parting) : cw_error_clear(err);
}

/* The leader's followers, if it has any. */
static void dismiss_node(int how) {
    cw_berths_quit(cw_launch_state()->berths, how, CW_LAUNCH_COME);
}

void cw_joint_end(const crew_error *why) {
    struct cw_launch *l = cw_launch_state();
    crew_error ignored;
    cw_launch_dismiss();
    dismiss_node(l->less ? CW_ENDS_WITH_LESS : 0);
    leave(why, !l->less, &ignored);
}

/* ---- what the ranks do --------------------------------------------------- */

static int lead(const crew_pool_opts *opts, crew_pool **pool, crew_error *err) {
    struct cw_launch *l = cw_launch_state();
    if (l->agent.driven)
        atomic_store(&joint.driven, &l->agent);
    if (cw_launch_manage(joint.session, err) == 0)
        joint.pool = cw_pool_open_joint(joint.session, opts, err);
    *pool = joint.pool;
    if (joint.pool)
        return 0;
    crew_error why = *err;
    cw_joint_end(&why);
    return cw_error_copy(err, &why);
}

static void lost_root(crew_error *why) {
    cw_error_set(why, CREW_EBROKEN, 0,
                 "the root of the pool was lost, or took this node for lost after %g s of silence "
                 "(CREW_NODE_TIMEOUT)",
                 cw_launch_timeout(joint.session));
}

static int serve_node(crew_error *err) {
    static const crew_pool_opts usual;
    static const int how[] = {
        [CW_PART_WHOLE] = 0, [CW_PART_LESS] = CW_ENDS_WITH_LESS, [CW_PART_LOST] = CW_ENDS_ALONE};
    struct cw_launch *l = cw_launch_state();
    struct cw_session *s = joint.session;
    crew_error why, trouble = {0};
    int due = cw_launch_gather(&why);
    if (due == 0)
        due = cw_node_workers(s, &usual, &why);
    s->node = l->agent.place.node;
    enum cw_parting parting = cw_guest_serve(s, &l->agent, due, &why);
    dismiss_node(how[parting]);
    if (parting == CW_PART_LOST)
        lost_root(&trouble);
    return leave(&trouble, parting == CW_PART_WHOLE, err);
}

static int follow(crew_error *err) {
    crew_error trouble = {0};
    int status = 0;
    atomic_store(&joint.follows, true);
    int rc = cw_berth_stay(joint.follower, &status, &trouble);
    atomic_store(&joint.follows, false);
    if (rc == 0 && status == CW_ENDS_ALONE)
        lost_root(&trouble);
    return leave(&trouble, rc == 0 && status == 0, err);
}

/* ---- the call ------------------------------------------------------------ */

static void say_once(const char *level) {
    static _Atomic bool said;
    if (!atomic_exchange(&said, true))
        fprintf(stderr,
                "crew: MPI was started with %s: pools of crew_mpi_pool make progress on other "
                "nodes only while the thread that opened them is inside a call of crew's (with "
                "MPI_THREAD_MULTIPLE they always do)\n",
                level);
}

/* All ranks hear that this one is at another pool. */
static int refuse_busy(const struct cw_mpi *module, const struct cw_mpi_joint *what,
                       crew_error *err) {
    struct cw_agent agent;
    struct cw_card card;
    struct cw_mpi_joint busy = *what;
    busy.busy = true;
    cw_card_begin(&card, CREW_VERSION, "?");
    const struct cw_agent_rank rank = {.card = &card, .timeout = 1};
    int rc = cw_agent_join_program(&agent, &rank, module, &busy, err);
    cw_agent_leave(&agent, true, 0);
    return rc;
}

static int join(const struct cw_mpi *module, const struct cw_mpi_joint *what, bool threads,
                crew_error *err) {
    struct cw_launch *l = cw_launch_state();
    struct cw_card card;
    prepare(&card);
    l->joint = true;
    const struct cw_agent_rank rank = {
        .card = &card,
        .timeout = joint.session ? cw_launch_timeout(joint.session) : 1,
        .introduce = introduce,
        .threads = threads,
        .at_finalize = finalizing};
    int rc = cw_agent_join_program(&l->agent, &rank, module, what, err);
    if (rc < 0) {
        crew_error ignored;
        cw_berth_go(joint.follower);
        leave(NULL, true, &ignored);
        return rc;
    }
    const struct cw_mpi_place *place = &l->agent.place;
    /* A follower's own objects would go by the names of its leader's. */
    if (place->node_rank == 0)
        cw_share_place(cw_share_here(), l->agent.cards[0].session, place->node, place->nodes);
    return 0;
}

static int open_pool(const struct cw_mpi *module, const struct cw_mpi_joint *what, bool threads,
                     const char *level, const crew_pool_opts *opts, crew_pool **pool,
                     crew_error *err) {
    *pool = NULL;
    if (cw_session_self()->depth || cw_this_member)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "crew_mpi_pool was called in a task, whose process has no MPI");
    int rc = cw_may_wait("crew_mpi_pool", err);
    if (rc < 0)
        return rc;
    if (atomic_exchange(&joint.taken, true))
        return refuse_busy(module, what, err);
    if ((rc = join(module, what, threads, err)) < 0)
        return rc;
    const struct cw_mpi_place *place = &cw_launch_state()->agent.place;
    if (place->rank == 0 && place->nodes > 1 && !threads)
        say_once(level);
    return place->rank == 0        ? lead(opts, pool, err)
           : place->node_rank == 0 ? serve_node(err)
                                   : follow(err);
}

static int open_or_say(const struct cw_mpi *module, const struct cw_mpi_joint *what, bool threads,
                       const char *level, const crew_pool_opts *opts, crew_pool **pool,
                       crew_error *err) {
    return open_pool(module, what, threads, level, opts, pool, err ? err : cw_error_last());
}

static int fail(crew_error *err, int code, const char *text) {
    return cw_error_set(err, code, 0, "%s", text);
}

const struct cw_mpi_core crew_mpi_core = {
    .table = CW_MPI_TABLE, .size = sizeof crew_mpi_core, .pool = open_or_say, .fail = fail};
