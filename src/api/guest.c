#include "api/guest.h"

#include "api/array_agent.h"
#include "api/future_impl.h"
#include "api/gang.h"
#include "api/launch.h"
#include "api/lease.h"
#include "api/node.h"
#include "api/process_impl.h"
#include "api/remote.h"
#include "api/stop.h"
#include "backend/ranks/ranks.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/process.h"
#include "os/stopsig.h"
#include "sched/fleet.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* A task that waits for so long is sent back. */
enum { BACK_NS = 2000000 };
/* The agent sleeps no longer while ranges run. */
enum { NAP_MOST_NS = 4 * CW_NAP_WAITING_NS };

/* A task of home's that runs here. */
struct chore {
    struct guest_pool *of;
    struct cw_letter letter;
    crew_future *future;
    int64_t came_ns;
    bool back; /* it has not begun, and is to wait at home */
};

/* One of home's pools. The agent's, but where it says otherwise; from the moment when it is to
 * close, its keeper's. */
struct guest_pool {
    struct guest_pool *next;
    uint32_t id;
    struct cw_opening opening;
    void *init_arg;
    /* NULL until it is open. The keeper stores it whole (release), for the agent, which looks
     * without a lock (acquire). */
    _Atomic(crew_pool *) pool;
    struct cw_known_job *known[CW_JOB_SLOTS];
    struct chore **chores; /* by proxy; guarded by guest.lock */
    pthread_t keeper;      /* opens and closes it, which may take its time */
    _Atomic uint32_t quit; /* CW_RUN until it is to close. Written with guest.lock */
    bool over;             /* its keeper has done all; guarded by guest.lock */
};

struct post {
    struct post *next;
    struct cw_parcel parcel;
};

/* Owner: this process, which serves one program. */
static struct guest {
    struct cw_session *session;
    struct cw_agent *agent;
    sigset_t signals;     /* what the first thread has blocked */
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    /* The agent alone changes who is in them, but that all take out those that are over. */
    struct guest_pool *pools, *leaving;
    struct post *first, **last; /* to be sent */
    enum { STAYS, GOODBYE, ALONE } end;
    bool less; /* goodbye was said to a job that lacks nodes or ranks */
    int64_t looked_ns; /* the agent's: for tasks that wait */
    int64_t told_ns, every_ns; /* the agent's: of ranges that run; how often */
    bool running; /* there were such ranges then, or one has come */
    int64_t runs_since_ns;
} guest = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

void cw_guest_post(struct cw_parcel *parcel) {
    struct post *post = malloc(sizeof *post);
    if (!post || parcel->failed) {
        /* Nothing can be told any more. Home takes this node for lost. */
        cw_parcel_drop(parcel);
        free(post);
        pthread_mutex_lock(&guest.lock);
        guest.end = ALONE;
        pthread_cond_broadcast(&guest.changed);
        pthread_mutex_unlock(&guest.lock);
        return;
    }
    *post = (struct post){.parcel = *parcel};
    pthread_mutex_lock(&guest.lock);
    *guest.last = post;
    guest.last = &post->next;
    pthread_mutex_unlock(&guest.lock);
    cw_agent_wake(guest.agent);
}

static void say(const struct cw_letter *letter, const void *more, size_t size) {
    struct cw_parcel p;
    cw_parcel_begin(&p, letter);
    cw_parcel_put(&p, more, size);
    cw_guest_post(&p);
}

static void count(struct guest_pool *g, const struct cw_letter *letter) {
    struct cw_parcel out;
    struct cw_letter answer = *letter;
    answer.word = CW_W_COUNTED;
    cw_parcel_begin(&out, &answer);
    pthread_mutex_lock(&g->pool->lock);
    for (int rank = 0; rank < g->opening.workers; rank++) {
        crew_stats s = {0};
        cw_pool_stats_of(g->pool, rank, &s);
        const struct cw_count c = {.items = s.items,
                                   .failures = s.failures,
                                   .restarts = s.restarts,
                                   .busy_ns = (int64_t)(s.busy * 1e9),
                                   .there_ns = (int64_t)((s.busy + s.idle) * 1e9)};
        cw_parcel_put(&out, &c, sizeof c);
    }
    pthread_mutex_unlock(&g->pool->lock);
    cw_guest_post(&out);
}

/* ---- keepers: what takes its time ---- */

/* Without nurseries there can be no workers here any more: later pools do without this node. */
static void tell_if_bare(void) {
    if (cw_berths_left(cw_launch_berths(guest.session)) == 0)
        say(&(struct cw_letter){.word = CW_W_HELLO, .lo = -1}, NULL, 0);
}

static void open_pool(struct guest_pool *g) {
    crew_error err = {0};
    crew_pool *p = cw_pool_open_guest(guest.session, &g->opening, g->init_arg, &g->quit, &err);
    if (!p)
        tell_if_bare();
    atomic_store(&g->pool, p);
    struct cw_parcel out;
    cw_parcel_begin(&out, &(struct cw_letter){
                              .word = CW_W_OPENED, .pool = g->id, .code = p ? 0 : err.code});
    cw_parcel_put(&out, &err, sizeof err);
    for (int rank = 0; p && rank < g->opening.workers; rank++)
        cw_parcel_put(&out, cw_team_place(&p->maps, p->team, rank), sizeof(struct cw_place));
    for (int rank = 0; p && p->team->musters && rank < g->opening.workers; rank++)
        cw_parcel_put(&out, &cw_team_muster(&p->maps, p->team, rank)->world, sizeof(int32_t));
    cw_guest_post(&out);
}

/* How it is to close. */
static uint32_t await_close(const struct guest_pool *g) {
    pthread_mutex_lock(&guest.lock);
    while (atomic_load(&g->quit) == CW_RUN)
        pthread_cond_wait(&guest.changed, &guest.lock);
    uint32_t quit = atomic_load(&g->quit);
    pthread_mutex_unlock(&guest.lock);
    return quit;
}

static void free_pool(struct guest_pool *g) {
    for (int proxy = 0; g->chores && proxy < g->opening.proxies; proxy++)
        free(g->chores[proxy]); /* of a task that the pool's end cut off */
    free(g->chores);
    free(g->init_arg);
    free(g);
}

static void forget_jobs(struct guest_pool *g) {
    pthread_mutex_lock(&g->pool->lock);
    for (int slot = 0; slot < CW_JOB_SLOTS; slot++)
        if (g->known[slot])
            cw_known_job_drop(g->pool, g->known[slot]);
    pthread_mutex_unlock(&g->pool->lock);
}

static void close_pool(struct guest_pool *g, uint32_t quit) {
    crew_pool *p = g->pool;
    if (p)
        forget_jobs(g);
    if (p && quit == CW_DRAIN) {
        crew_pool_close(p);
        crew_pool_join(p, CREW_FOREVER, NULL);
    }
    if (p)
        count(g, &(struct cw_letter){.pool = g->id}); /* for the last time */
    pthread_mutex_lock(&guest.lock);
    g->pool = NULL; /* there is nothing to hasten any more */
    pthread_mutex_unlock(&guest.lock);
    crew_pool_free(p);
    say(&(struct cw_letter){.word = CW_W_CLOSED, .pool = g->id}, NULL, 0);
}

static void *keep(void *arg) {
    struct guest_pool *g = arg;
    /* Where tasks run in the ranks themselves their threads inherit that. */
    pthread_sigmask(SIG_SETMASK, &guest.signals, NULL);
    cw_process_name("crew-keeper");
    open_pool(g);
    close_pool(g, await_close(g));
    pthread_mutex_lock(&guest.lock);
    g->over = true;
    pthread_cond_broadcast(&guest.changed);
    pthread_mutex_unlock(&guest.lock);
    return NULL;
}

/* Those whose keepers have done all are forgotten. */
static void reap(void) {
    struct guest_pool *over = NULL;
    pthread_mutex_lock(&guest.lock);
    for (struct guest_pool **at = &guest.leaving, *g; (g = *at);) {
        if (!g->over) {
            at = &g->next;
            continue;
        }
        *at = g->next;
        g->next = over;
        over = g;
    }
    pthread_mutex_unlock(&guest.lock);
    for (struct guest_pool *g; (g = over);) {
        over = g->next;
        pthread_join(g->keeper, NULL);
        free_pool(g);
    }
}

/* ---- tasks ---- */

static void task_over(void *ctx, crew_future *f) {
    struct chore *chore = ctx;
    crew_pool *p = f->pool;
    struct cw_task *task = cw_task_at(&p->maps, p->team, f->number);
    struct cw_letter letter = chore->letter;
    struct cw_parcel out;
    pthread_mutex_lock(&guest.lock); /* the agent may just try to take it back */
    bool back = chore->back && task->status == CREW_ECANCELLED;
    chore->of->chores[letter.proxy] = NULL;
    pthread_mutex_unlock(&guest.lock);
    letter.word = back ? CW_W_TASK_BACK : CW_W_TASK_OVER;
    letter.code = task->status;
    letter.lo = cw_now_ns() - chore->came_ns;
    cw_parcel_begin(&out, &letter);
    if (back) {
        ; /* nothing to tell */
    } else if (task->status) {
        cw_off own = atomic_load(&task->failure), told = atomic_load(&task->told);
        const struct cw_failure *known = cw_ptr(&p->maps.arena, own ? own : told);
        struct cw_failure bare = {.code = task->status, .index = task->index, .worker = -1};
        cw_parcel_put(&out, known ? known : &bare, sizeof bare);
    } else {
        cw_parcel_put(&out, cw_task_result(&p->maps, task), task->out_size);
    }
    free(chore);
    crew_future_free(f);
    cw_guest_post(&out);
}

static int begin_task(struct guest_pool *g, const struct cw_letter *letter, struct cw_reader *r,
                      crew_error *err) {
    crew_pool *p = g->pool;
    struct cw_chore c;
    const void *in = NULL, *common = NULL;
    if (!cw_read_into(r, &c, sizeof c) || !(in = cw_read(r, c.in_size)) ||
        !(common = cw_read(r, c.common_size)) || letter->proxy >= (uint32_t)g->opening.proxies)
        return cw_error_set(err, CREW_EMISMATCH, 0, "a task could not be taken over");
    struct chore *chore = calloc(1, sizeof *chore);
    struct cw_callback *callback = calloc(1, sizeof *callback);
    if (!chore || !callback) {
        free(chore);
        free(callback);
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a task");
    }
    *chore = (struct chore){.of = g, .letter = *letter, .came_ns = cw_now_ns()};
    *callback = (struct cw_callback){.done = task_over, .ctx = chore};
    const crew_submit_opts opts = {.retries = c.retries,
                                   .task_timeout = c.task_timeout,
                                   .task_memory = c.task_memory,
                                   .common = common,
                                   .common_size = c.common_size,
                                   .index = c.index,
                                   .priority = c.priority};
    const struct cw_submit what = {.in = in,
                                   .size = c.in_size,
                                   .opts = &opts,
                                   .slot_size = c.slot_size,
                                   .stream = c.stream};
    pthread_mutex_lock(&guest.lock);
    int64_t number = cw_submit_named(p, &what, &opts, c.fn, c.attempt, &chore->future, err);
    g->chores[letter->proxy] = number < 0 ? NULL : chore;
    pthread_mutex_unlock(&guest.lock);
    if (number < 0) {
        free(chore);
        free(callback);
        return (int)number;
    }
    cw_future_call_back(chore->future, callback);
    return 0;
}

/* With guest.lock. False: it has begun. */
static bool take_back(crew_pool *p, struct chore *chore) {
    pthread_mutex_lock(&p->lock);
    chore->back = true; /* before its callback may look */
    chore->back = cw_record_cancel(p, chore->future->number, CREW_ECANCELLED, NULL) != 0;
    pthread_mutex_unlock(&p->lock);
    return chore->back;
}

/* Tasks that have waited here for longer than it takes to send them home. */
static void send_back(struct guest_pool *g, int64_t now) {
    pthread_mutex_lock(&guest.lock);
    for (int i = 0; g->pool && i < g->opening.proxies; i++) {
        struct chore *chore = g->chores[i];
        if (!chore || chore->back || now - chore->came_ns < BACK_NS)
            continue;
        take_back(g->pool, chore);
    }
    pthread_mutex_unlock(&guest.lock);
}

/* With guest.lock. NULL: what there is to tell of it is on its way. */
static struct chore *chore_of(struct guest_pool *g, const struct cw_letter *letter) {
    struct chore *chore =
        letter->proxy < (uint32_t)g->opening.proxies ? g->chores[letter->proxy] : NULL;
    return chore && chore->letter.turn == letter->turn ? chore : NULL;
}

/* Nobody waits for it any more: it need not begin, and may be ended. */
static void drop_task(struct guest_pool *g, const struct cw_letter *letter) {
    pthread_mutex_lock(&guest.lock);
    struct chore *chore = chore_of(g, letter);
    if (chore)
        crew_future_kill(chore->future);
    pthread_mutex_unlock(&guest.lock);
}

/* It is to begin only if it has. */
static void recall_task(struct guest_pool *g, const struct cw_letter *letter) {
    pthread_mutex_lock(&guest.lock);
    struct chore *chore = chore_of(g, letter);
    bool kept = chore && !chore->back && !take_back(g->pool, chore);
    if (kept && letter->code)
        cw_task_flag(cw_task_at(&g->pool->maps, g->pool->team, chore->future->number), CW_TASK_KILL);
    pthread_mutex_unlock(&guest.lock);
    if (!kept)
        return;
    struct cw_letter answer = *letter;
    answer.word = CW_W_TASK_KEPT;
    say(&answer, NULL, 0);
}

/* ---- letters ---- */

static int begin_pool(struct guest_pool *g, const struct cw_letter *letter, struct cw_reader *r,
                      crew_error *err) {
    const void *arg = NULL;
    if (!g || !cw_read_into(r, &g->opening, sizeof g->opening) ||
        !(arg = cw_read(r, g->opening.init_size)) ||
        !(g->chores = calloc((size_t)g->opening.proxies, sizeof(struct chore *))) ||
        !(g->init_arg = malloc(g->opening.init_size + 1)))
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a pool");
    memcpy(g->init_arg, arg, g->opening.init_size);
    g->id = letter->pool;
    /* Before there are workers: they are to let pass what stops the program. */
    if (!guest.agent->joint) /* a program's own ranks have their own signals */
        cw_stopsig_on_set(g->opening.stop_on);
    if (guest.session->berths)
        cw_berths_stop_on(guest.session->berths, g->opening.stop_on);
    int rc = pthread_create(&g->keeper, NULL, keep, g);
    if (rc)
        return cw_error_set(err, CREW_EAGAIN, rc, "no thread could be started for a pool");
    pthread_mutex_lock(&guest.lock);
    g->next = guest.pools;
    guest.pools = g;
    pthread_mutex_unlock(&guest.lock);
    return 0;
}

static void open_letter(const struct cw_letter *letter, struct cw_reader *r) {
    struct guest_pool *g = calloc(1, sizeof *g);
    crew_error err;
    if (begin_pool(g, letter, r, &err) == 0)
        return;
    say(&(struct cw_letter){.word = CW_W_OPENED, .pool = letter->pool, .code = err.code}, &err,
        sizeof err);
    if (g)
        free_pool(g);
}

/* Also of one that still opens: its keeper gives that up. */
static void end_pool(struct guest_pool *g, uint32_t quit) {
    struct guest_pool **at = &guest.pools;
    pthread_mutex_lock(&guest.lock);
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    g->next = guest.leaving;
    guest.leaving = g;
    atomic_store(&g->quit, quit);
    pthread_cond_broadcast(&guest.changed);
    pthread_mutex_unlock(&guest.lock);
    cw_session_ring(guest.session);
}

/* With the lock: what is left of one that drains is not waited for any more. */
static void hasten(struct guest_pool *g) {
    atomic_store(&g->quit, CW_TERMINATE);
    if (g->pool)
        crew_pool_terminate(g->pool);
}

/* A pool that leaves already is asked to once more. */
static void close_sooner(const struct cw_letter *letter) {
    pthread_mutex_lock(&guest.lock);
    for (struct guest_pool *g = guest.leaving; g; g = g->next)
        if (g->id == letter->pool && letter->code == CW_TERMINATE)
            hasten(g);
    pthread_mutex_unlock(&guest.lock);
}

void cw_guest_broken(uint32_t pool, const crew_error *why) {
    tell_if_bare();
    say(&(struct cw_letter){.word = CW_W_BROKEN, .pool = pool, .code = why->code}, why,
        sizeof *why);
}

static struct cw_known_job *known(struct guest_pool *g, const struct cw_letter *letter) {
    struct cw_known_job *k = letter->slot < CW_JOB_SLOTS ? g->known[letter->slot] : NULL;
    return k && k->generation == letter->generation ? k : NULL;
}

static int know(struct guest_pool *g, const struct cw_letter *letter, struct cw_reader *r,
                crew_error *err) {
    if (letter->slot >= CW_JOB_SLOTS)
        return cw_error_set(err, CREW_EMISMATCH, 0, "a map could not be taken over");
    struct cw_known_job *k = cw_known_job_make(g->pool, letter, r, err), *before;
    if (!k)
        return err->code;
    pthread_mutex_lock(&g->pool->lock);
    before = g->known[letter->slot];
    if (before)
        cw_known_job_drop(g->pool, before);
    g->known[letter->slot] = k;
    pthread_mutex_unlock(&g->pool->lock);
    return 0;
}

static int begin_range(struct guest_pool *g, const struct cw_letter *letter, struct cw_reader *r,
                       crew_error *err) {
    struct cw_known_job *k = known(g, letter);
    if (!k || letter->lo < 0 || letter->lo >= letter->hi || letter->hi > k->errand.count)
        return cw_error_set(err, CREW_EMISMATCH, 0, "a range of no map that is known came");
    guest.runs_since_ns = guest.running ? guest.runs_since_ns : cw_now_ns();
    guest.running = true;
    return cw_lease_begin(g->pool, k, letter, r, err);
}

static void about_a_pool(struct guest_pool *g, const struct cw_letter *letter,
                         struct cw_reader *r) {
    crew_error err = {0};
    int rc = 0;
    struct cw_known_job *k;
    switch (letter->word) {
    case CW_W_JOB:
        rc = know(g, letter, r, &err);
        break;
    case CW_W_RANGE:
        rc = begin_range(g, letter, r, &err);
        break;
    case CW_W_CUT:
        if ((k = known(g, letter)))
            cw_known_job_cut(g->pool, k, letter);
        break;
    case CW_W_STOP:
        if ((k = known(g, letter)))
            cw_known_job_stop(g->pool, k, letter->lo, letter->code);
        break;
    case CW_W_TASK:
        rc = begin_task(g, letter, r, &err);
        break;
    case CW_W_DROP:
        drop_task(g, letter);
        break;
    case CW_W_RECALL:
        recall_task(g, letter);
        break;
    case CW_W_COUNT:
        count(g, letter);
        break;
    case CW_W_GANG_CALL:
    case CW_W_GANG_DISMISS:
    case CW_W_GANG_GO:
    case CW_W_GANG_DROP:
        cw_guest_gang(g->pool, letter, r);
        break;
    default:
        break;
    }
    if (rc < 0)
        cw_guest_broken(g->id, &err);
}

/* Where so many workers would be here. */
static void plan_places(const struct cw_letter *letter, struct cw_reader *rest) {
    struct cw_opening o = {0};
    struct cw_parcel out;
    crew_error err = {.code = 0};
    struct cw_place *places = NULL;
    if (!cw_read_into(rest, &o, sizeof o) || o.workers <= 0)
        cw_error_set(&err, CREW_EMISMATCH, 0, "it was not understood who is to be placed");
    else if (!(places = calloc((size_t)o.workers, sizeof *places)))
        cw_error_set(&err, CREW_ENOMEM, 0, "no memory for the places of %d workers", o.workers);
    else
        cw_node_place(guest.session,
                      &(crew_pool_opts){.backend = CREW_MPI,
                                        .workers = o.workers,
                                        .threads_per_worker = o.threads_per_worker,
                                        .bind = o.bind},
                      NULL, places, &err);
    cw_parcel_begin(&out, &(struct cw_letter){
                              .word = CW_W_PLANNED, .turn = letter->turn, .code = err.code});
    if (err.code)
        cw_parcel_put(&out, &err, sizeof err);
    else
        cw_parcel_put(&out, places, (size_t)o.workers * sizeof *places);
    free(places);
    cw_guest_post(&out);
}

static void end(int how) {
    pthread_mutex_lock(&guest.lock);
    guest.end = how == GOODBYE ? GOODBYE : ALONE;
    pthread_cond_broadcast(&guest.changed);
    pthread_mutex_unlock(&guest.lock);
}

static void letter(void *ctx, int node, const struct cw_letter *letter, struct cw_reader rest) {
    (void)ctx;
    if (cw_remote_letter(node, letter, &rest) || cw_array_agent_letter(node, letter, rest) ||
        node != 0)
        return;
    if (letter->word == CW_W_LOST && letter->lo == guest.agent->place.node) {
        end(ALONE);
    } else if (letter->word == CW_W_LOST && letter->lo > 0 &&
               letter->lo < guest.agent->place.nodes) {
        guest.agent->nodes[letter->lo].dead = true;
        cw_agent_abandon(guest.agent, (int)letter->lo);
    }
    struct guest_pool *g = guest.pools;
    while (g && g->id != letter->pool)
        g = g->next;
    if (letter->word == CW_W_PLAN)
        plan_places(letter, &rest);
    if (letter->word == CW_W_MUSTER) {
        bool whole = cw_berths_whole(cw_launch_berths(guest.session)) && cw_agent_whole(guest.agent);
        say(&(struct cw_letter){.word = CW_W_MUSTERED, .code = whole ? 0 : 1}, NULL, 0);
    }
    if (letter->word == CW_W_BYE) {
        guest.less = letter->code != 0;
        end(GOODBYE);
    }
    if (letter->word == CW_W_START || letter->word == CW_W_SIGNAL)
        cw_process_guest_letter(guest.session, letter, &rest);
    else if (letter->word == CW_W_OPEN)
        open_letter(letter, &rest);
    else if (g && letter->word == CW_W_CLOSE)
        end_pool(g, (uint32_t)letter->code);
    else if (letter->word == CW_W_CLOSE)
        close_sooner(letter);
    else if (g && g->pool)
        about_a_pool(g, letter, &rest);
}

/* Of ranges that run, what is finished. */
static void tell(int64_t now) {
    if (now - guest.told_ns < guest.every_ns / 2)
        return;
    guest.told_ns = now;
    guest.running = false;
    for (struct guest_pool *g = guest.pools; g; g = g->next)
        for (int slot = 0; g->pool && slot < CW_JOB_SLOTS; slot++)
            if (g->known[slot])
                cw_known_job_tell(g->pool, g->known[slot], guest.every_ns, &guest.running);
}

/* Home answers most letters at once, but not what is told of ranges while there are others. */
static bool awaits_answer(const struct cw_parcel *parcel) {
    struct cw_letter letter;
    memcpy(&letter, parcel->data, sizeof letter);
    return letter.word != CW_W_RANGE_PART && letter.word != CW_W_RANGE_CUT &&
           !(letter.word == CW_W_RANGE_OVER && guest.running);
}

/* While ranges run it may be time to tell, or to give back. A look costs some 20 us, and
 * what it may save is more at the end of a short map than of a long one. */
static int64_t nap_while_running(int64_t now) {
    int64_t nap = (now - guest.runs_since_ns) / 64;
    return nap < CW_NAP_WAITING_NS ? CW_NAP_WAITING_NS : nap < NAP_MOST_NS ? nap : NAP_MOST_NS;
}

/* Home has left: pools that it has not closed are ended. */
static void end_all(bool alone) {
    while (guest.pools)
        end_pool(guest.pools, CW_TERMINATE);
    pthread_mutex_lock(&guest.lock);
    for (struct guest_pool *g = guest.leaving; alone && g; g = g->next)
        hasten(g);
    pthread_mutex_unlock(&guest.lock);
}

static bool work(void *ctx, int64_t *nap_ns) {
    (void)ctx;
    int64_t now = cw_now_ns();
    tell(now);
    reap();
    bool waits = false;
    for (struct guest_pool *g = guest.pools; g && !waits; g = g->next)
        waits = g->pool && cw_guest_gang_waits(g->pool);
    cw_process_guest_work();
    bool any = cw_array_agent_work(&waits);
    pthread_mutex_lock(&guest.lock);
    struct post *post = guest.first;
    guest.first = NULL;
    guest.last = &guest.first;
    int left = (int)guest.end;
    pthread_mutex_unlock(&guest.lock);
    if (left != STAYS)
        end_all(left == ALONE);
    int signal = cw_stop_heard(guest.session);
    if (signal)
        cw_agent_say(guest.agent, 0, &(struct cw_letter){.word = CW_W_STOPPED, .code = signal});
    any = any || signal;
    any = cw_remote_work(&waits) || any;
    if (waits || guest.running)
        *nap_ns = waits ? CW_NAP_WAITING_NS : nap_while_running(now);
    for (struct guest_pool *g = guest.pools; g && now - guest.looked_ns > BACK_NS / 4; g = g->next)
        send_back(g, now);
    guest.looked_ns = now - guest.looked_ns > BACK_NS / 4 ? now : guest.looked_ns;
    while (post) {
        struct post *next = post->next;
        any = any || awaits_answer(&post->parcel);
        cw_agent_send(guest.agent, 0, &post->parcel);
        free(post);
        post = next;
    }
    return any;
}

static bool lie_down(void *ctx) {
    (void)ctx;
    pthread_mutex_lock(&guest.lock);
    bool nothing = !guest.first;
    pthread_mutex_unlock(&guest.lock);
    return nothing && cw_remote_idle() && cw_array_agent_idle();
}

static void get_up(void *ctx) {
    (void)ctx;
}

static void lost(void *ctx, int node) {
    (void)ctx;
    cw_remote_lost(node);
    cw_array_agent_lost(node);
    if (node == 0)
        end(ALONE);
}

static void begin(struct cw_session *s, struct cw_agent *agent) {
    pthread_mutex_lock(&guest.lock);
    guest.session = s;
    guest.agent = agent;
    guest.pools = guest.leaving = NULL;
    guest.first = NULL;
    pthread_sigmask(SIG_SETMASK, NULL, &guest.signals);
    struct cw_fleet_sums sums;
    cw_fleet_sums_init(&sums, 0, CW_LETTER_NS);
    sums.nodes = agent->place.nodes - 1;
    guest.every_ns = 4 * cw_fleet_report_ns(&sums); /* the node works for home and for itself */
    guest.last = &guest.first;
    guest.end = STAYS;
    guest.less = false;
    pthread_mutex_unlock(&guest.lock);
}

/* With the lock: home has left, and all its pools have been closed. */
static bool all_over(void) {
    bool over = guest.end != STAYS && !guest.pools;
    for (const struct guest_pool *g = guest.leaving; over && g; g = g->next)
        over = g->over;
    return over;
}

static void await_end(void) {
    pthread_mutex_lock(&guest.lock);
    while (!all_over())
        pthread_cond_wait(&guest.changed, &guest.lock);
    pthread_mutex_unlock(&guest.lock);
}

/* The same for the thread that is the agent. */
static bool has_ended(void *ctx) {
    (void)ctx;
    pthread_mutex_lock(&guest.lock);
    bool over = all_over();
    pthread_mutex_unlock(&guest.lock);
    return over;
}

/* What was not said any more. */
static void forget_posts(void) {
    pthread_mutex_lock(&guest.lock);
    for (struct post *post = guest.first, *after; post; post = after) {
        after = post->next;
        cw_parcel_drop(&post->parcel);
        free(post);
    }
    guest.first = NULL;
    guest.last = &guest.first;
    pthread_mutex_unlock(&guest.lock);
}

enum cw_parting cw_guest_serve(struct cw_session *s, struct cw_agent *agent, int workers,
                               const crew_error *why) {
    static const struct cw_agent_ops ops = {.letter = letter,
                                            .work = work,
                                            .lie_down = lie_down,
                                            .get_up = get_up,
                                            .lost = lost};
    crew_error err;
    cw_stop_passes_on(true);
    begin(s, agent);
    cw_remote_begin(s, agent);
    if (cw_array_agent_begin(cw_share_here(), agent, &err) < 0)
        return CW_PART_LOST; /* home finds that this node does not answer */
    cw_agent_serve(agent, &ops, NULL, cw_remote_word());
    say(&(struct cw_letter){.word = CW_W_HELLO, .lo = workers, .code = workers < 0 ? why->code : 0},
        why, workers < 0 ? sizeof *why : 0);
    if (agent->driven)
        cw_agent_drive(agent, has_ended, NULL);
    else
        await_end();
    reap();
    pthread_mutex_lock(&guest.lock);
    enum cw_parting parting = guest.end == ALONE ? CW_PART_LOST
                              : guest.less       ? CW_PART_LESS
                                                 : CW_PART_WHOLE;
    pthread_mutex_unlock(&guest.lock);
    cw_process_guest_end();
    cw_array_agent_end();
    cw_stop_passes_on(false);
    if (agent->joint) /* this program goes on */
        forget_posts();
    return parting;
}
