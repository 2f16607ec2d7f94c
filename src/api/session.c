/* The session: made once, ended once; the service thread's loop. */
#include "api/session.h"

#include "api/journal.h"
#include "api/journal_keys.h"
#include "api/launch.h"
#include "api/pool_impl.h"
#include "api/shm_impl.h"
#include "api/stop.h"
#include "backend/fork/fork.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/process.h"
#include "share/share.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

unsigned cw_epoch;
_Thread_local bool cw_in_callback;

static struct cw_session session;
static _Atomic bool made;
/* Lock order: ending, making, session.lock. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t ending = PTHREAD_MUTEX_INITIALIZER;
/* It outlives the session: a thread may come to free a pool, or wait
 * for one to be gone, while another ends the session. */
pthread_mutex_t cw_session_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t visited = PTHREAD_COND_INITIALIZER; /* something of the list has changed */

static void in_fork_child(void) {
    cw_epoch++;
    cw_stop_forget();
    cw_guard_after_fork();
    pthread_mutex_init(&making, NULL);
    pthread_mutex_init(&ending, NULL);
    pthread_mutex_init(&cw_session_lock, NULL);
    pthread_cond_init(&visited, NULL);
    cw_shm_forked();
    cw_journals_forked();
    cw_keys_forked();
}

static void watch_forks(void) {
    pthread_atfork(NULL, NULL, in_fork_child);
}

/* Where the arrays' half begins: at a multiple of this. And what it keeps of freed
 * memory: little, so that an array lies on the nodes of who made it. */
enum { HALVES = 2 << 20, KEPT = 4 << 20 };

static int lay_out(struct cw_session *s, crew_error *err) {
    /* Arrays are the top manager's; their half of the addresses is nobody else's. */
    uint64_t half = s->own.size / 2 / HALVES * HALVES;
    int rc = cw_arena_create(&s->arena, &s->own, CW_ARENA_START, s->depth ? s->own.size : half, err);
    if (rc == 0 && s->depth == 0)
        rc = cw_arena_create(&s->arrays, &s->own, half, s->own.size, err);
    if (rc == 0)
        rc = cw_head_make(&s->own, s->depth ? 0 : half, err);
    if (rc < 0) {
        cw_segment_destroy(&s->own);
        return rc;
    }
    if (s->depth == 0)
        cw_arena_shrink(&s->arrays, KEPT);
    s->bell = (struct cw_bell *)(s->own.base + CW_BELL_AT);
    return 0;
}

static int make_segment(struct cw_session *s, crew_error *err) {
    int rc = cw_segment_create(&s->own, (uint64_t)s->config.segment, err);
    return rc < 0 ? rc : lay_out(s, err);
}

static int make_commons(struct cw_session *s, crew_error *err) {
    cw_off at;
    int rc = cw_share_create(&s->arena, &at, err);
    if (rc < 0)
        return rc;
    cw_head(&s->own)->commons = at;
    rc = cw_share_enter(&s->root, CW_ARENA_START, at, err);
    if (rc == 0)
        cw_shm_begin(&cw_share_here()->commons->owner);
    return rc;
}

int cw_session_join_objects(const cw_segment *root, crew_error *err) {
    int rc = cw_share_enter(root, CW_ARENA_START, cw_head(root)->commons, err);
    return rc < 0 ? rc : cw_party_join(cw_share_here(), err);
}

static int make(struct cw_session *s, bool by_init, crew_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    /* What a worker left here is its place in the tree: depth, cores, root. */
    struct cw_session fresh = {.depth = s->depth,
                               .cores = s->cores,
                               .node = s->node,
                               .root = s->root,
                               .self = s->self};
    fresh.by_init = by_init || s->by_init;
    int rc = cw_config_load(&fresh.config, NULL, err);
    if (rc < 0 || (rc = cw_config_names(environ, err)) < 0)
        return rc;
    if ((rc = make_segment(&fresh, err)) < 0)
        return rc;
    fresh.epoch = cw_epoch;
    if (gethostname(fresh.host, sizeof fresh.host - 1) != 0)
        snprintf(fresh.host, sizeof fresh.host, "localhost");
    *s = fresh;
    s->arena.seg = &s->own;
    s->arrays.seg = &s->own;
    if (s->depth == 0) {
        s->root = s->own;
        s->root_arena = s->arena;
        if ((rc = make_commons(s, err)) < 0) {
            cw_segment_destroy(&s->own);
            return rc;
        }
    } else if ((rc = cw_arena_attach(&s->root_arena, &s->root, CW_ARENA_START, err)) < 0 ||
               (rc = cw_arena_attach(&s->arrays, &s->root, cw_head(&s->root)->arrays, err)) < 0) {
        cw_segment_destroy(&s->own);
        return rc;
    }
    cw_objects_take(&s->at_init);
    cw_stop_begin(s);
    /* The image for START_SERVER: as early as there is one. The environment has the
     * last word, so these two will want none. */
    s->fresh = by_init;
    if (by_init && !s->config.window)
        cw_session_prepare(s);
    made = true;
    return 0;
}

int cw_session_may_spawn(const struct cw_session *s, crew_error *err) {
    if (s->own.fd >= 0 && s->root.fd >= 0)
        return 0;
    return cw_error_set(err, CREW_ENOTSUP, 0,
                        "CREW_START_SPAWN: a program that is started anew cannot map the memory "
                        "of CREW_SEGMENT=window; take CREW_START_SERVER, or memfd");
}

void cw_session_prepare(const struct cw_session *s) {
    if (s->config.backend != CREW_SERIAL && s->config.backend != CREW_THREADS)
        cw_fork_server_prepare();
}

struct cw_session *cw_session_if_any(void) {
    return made && session.epoch == cw_epoch ? &session : NULL;
}

static struct cw_session *get(bool by_init, crew_error *err) {
    pthread_mutex_lock(&making);
    int rc = 0;
    if (made && session.epoch != cw_epoch) {
        /* A fork child of the program's own: a new session, nothing shared. What
         * holds for the program, that its main calls crew_init, holds here too. */
        bool calls_init = session.by_init;
        made = false;
        memset(&session, 0, sizeof session);
        session.by_init = calls_init;
        cw_fork_server_forget();
    }
    if (!made && cw_worker_was_spawned())
        rc = cw_error_set(err, CREW_EINVAL, 0,
                          "this program was started as a worker: call crew_init first in main");
    else if (!made)
        rc = make(&session, by_init, err);
    else if (by_init)
        session.by_init = true;
    pthread_mutex_unlock(&making);
    return rc < 0 ? NULL : &session;
}

int cw_session_move(struct cw_session *s, void *memory, uint64_t size, bool leads,
                    crew_error *err) {
    cw_segment moved;
    int rc = cw_segment_over(&moved, memory, size, err);
    if (rc < 0)
        return rc;
    cw_stop_end();
    cw_shm_finish();
    cw_share_leave(false);
    cw_segment_destroy(&s->own);
    s->own = s->root = moved;
    s->bell = (struct cw_bell *)(s->own.base + CW_BELL_AT);
    if (leads && (rc = lay_out(s, err)) == 0) {
        s->root = s->own;
        s->root_arena = s->arena;
        rc = make_commons(s, err);
    }
    cw_stop_begin(s);
    return rc;
}

struct cw_session *cw_session_self(void) {
    return &session;
}

int cw_session_adopt(int fd, cw_segment *segment, crew_error *err) {
    cw_segment_destroy(&session.own); /* first: a limit may leave addresses for one only */
    int rc = cw_segment_attach(&session.own, fd, err);
    if (rc == 0)
        rc = cw_head_check(&session.own, err);
    session.root = *segment = session.own;
    return rc;
}

struct cw_session *cw_session_get(crew_error *err) {
    return get(false, err);
}

cw_segment cw_session_segments(cw_segment *root) {
    *root = session.root;
    return session.own;
}

void cw_session_become_worker(const cw_segment *root, int depth, int cores) {
    made = false;
    cw_stop_forget();
    memset(&session, 0, sizeof session);
    session.root = *root;
    session.depth = depth;
    session.cores = cores;
    cw_fork_server_forget();
}

int crew_init(int *argc, char ***argv) {
    (void)argc, (void)argv;
    cw_worker_if_spawned();
    crew_error *err = cw_error_last();
    struct cw_session *s = get(true, err);
    int rc = s ? cw_launch(s, err) : err->code;
    if (s && s->config.window)
        cw_session_prepare(s); /* unless the launch has done so */
    if (s)
        s->fresh = false;
    return rc < 0 ? rc : cw_error_clear(NULL);
}

/* ---- the service thread ---- */

static double visit_all(struct cw_session *s) {
    double next = 1.0;
    pthread_mutex_lock(&cw_session_lock);
    for (crew_pool *p = s->pools; p;) {
        s->visiting = p;
        pthread_mutex_unlock(&cw_session_lock);
        double wish = cw_pool_tend(p);
        next = wish < next ? wish : next;
        pthread_mutex_lock(&cw_session_lock);
        s->visiting = NULL;
        pthread_cond_broadcast(&visited);
        crew_pool *q = s->pools; /* p may have been taken off meanwhile */
        while (q && q != p)
            q = q->next;
        p = q ? q->next : NULL;
    }
    pthread_mutex_unlock(&cw_session_lock);
    return next;
}

static const int64_t TEND_NS = 900000000;

static void *serve(void *arg) {
    struct cw_session *s = arg;
    /* The program's signals are for the program's threads. */
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    /* In a worker its first thread has joined already; a child that a worker has forked
     * by itself has nothing to join. */
    struct cw_share *share = cw_share_here();
    bool joins = s->depth == 0;
    uint32_t seen_deaths = 0;
    int64_t tended = cw_now_ns();
    crew_error err = {0};
    if (joins)
        cw_party_join(share, &err);
    pthread_mutex_lock(&cw_session_lock);
    s->unsettled = err;
    s->settled = true;
    pthread_cond_broadcast(&visited);
    pthread_mutex_unlock(&cw_session_lock);
    while (!atomic_load(&s->quit)) {
        uint32_t seen = atomic_load(&s->bell->count);
        double due = cw_stop_tend(s), next = visit_all(s);
        next = due < next ? due : next;
        cw_stop_tended();
        uint32_t deaths = atomic_load(&s->bell->deaths);
        bool died = atomic_exchange(&s->deaths, false) || deaths != seen_deaths;
        if (died && share)
            cw_party_bury(share);
        /* Now and then in any case: of a ward that was killed nobody tells. */
        if (died || cw_now_ns() - tended > TEND_NS) {
            cw_processes_tend();
            tended = cw_now_ns();
        }
        seen_deaths = deaths;
        atomic_fetch_add(&s->bell->sleeping, 1);
        /* Pairs with the fence in cw_team_ring. */
        atomic_thread_fence(memory_order_seq_cst);
        if (!atomic_load(&s->quit))
            cw_futex_wait(&s->bell->count, seen, next);
        atomic_fetch_sub(&s->bell->sleeping, 1);
    }
    if (joins && share->party)
        cw_party_part(share);
    return NULL;
}

void cw_session_death(struct cw_session *s) {
    atomic_store(&s->deaths, true);
    cw_session_ring(s);
}

void cw_session_ring(struct cw_session *s) {
    atomic_fetch_add(&s->bell->count, 1);
    cw_futex_wake(&s->bell->count, INT32_MAX);
}

bool cw_session_served(struct cw_session *s) {
    pthread_mutex_lock(&cw_session_lock);
    bool serving = s->serving;
    pthread_mutex_unlock(&cw_session_lock);
    return serving;
}

/* This is the service thread. */
static bool is_service(struct cw_session *s) {
    return s->serving && pthread_equal(pthread_self(), s->service);
}

/* With the lock. */
static int start_service(struct cw_session *s, crew_error *err) {
    if (!s->serving) {
        atomic_store(&s->quit, 0);
        s->settled = false;
        int rc = pthread_create(&s->service, NULL, serve, s);
        if (rc != 0)
            return cw_error_set(err, CREW_EAGAIN, rc, "the service thread could not be started%s",
                                cw_process_forks_elsewhere()
                                    ? " (after unshare(CLONE_NEWPID) a process can make no threads)"
                                    : "");
        s->serving = true;
    }
    while (!s->settled)
        pthread_cond_wait(&visited, &cw_session_lock);
    return s->unsettled.code ? cw_error_copy(err, &s->unsettled) : 0;
}

int cw_session_serve(struct cw_session *s, crew_error *err) {
    pthread_mutex_lock(&cw_session_lock);
    int rc = start_service(s, err);
    pthread_mutex_unlock(&cw_session_lock);
    return rc;
}

int cw_session_add(struct cw_session *s, crew_pool *p, crew_error *err) {
    pthread_mutex_lock(&cw_session_lock);
    int rc = start_service(s, err);
    if (rc == 0) {
        p->next = s->pools;
        s->pools = p;
    }
    pthread_mutex_unlock(&cw_session_lock);
    return rc;
}

bool cw_session_claim(crew_pool *p) {
    pthread_mutex_lock(&cw_session_lock);
    struct cw_session *s = cw_session_if_any();
    crew_pool *at = s ? s->pools : NULL;
    while (at && at != p)
        at = at->next;
    if (at && cw_pool_may_wait(p, "crew_pool_free", NULL) < 0) {
        pthread_mutex_unlock(&cw_session_lock);
        return false;
    }
    bool claimed = at && !p->leaving;
    if (claimed) {
        p->leaving = true;
        s->leaving++;
    }
    /* Another thread is at it: it has to be gone when this one returns, too. The
     * thread that the other one may be waiting for does not. */
    while (!claimed && s && s->leaving && !cw_in_callback && !is_service(s))
        pthread_cond_wait(&visited, &cw_session_lock);
    pthread_mutex_unlock(&cw_session_lock);
    return claimed;
}

void cw_session_remove(struct cw_session *s, crew_pool *p) {
    pthread_mutex_lock(&cw_session_lock);
    for (crew_pool **at = &s->pools; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    while (s->visiting == p && !is_service(s))
        pthread_cond_wait(&visited, &cw_session_lock);
    pthread_mutex_unlock(&cw_session_lock);
}

void cw_session_left(struct cw_session *s) {
    pthread_mutex_lock(&cw_session_lock);
    s->leaving--;
    pthread_cond_broadcast(&visited);
    pthread_mutex_unlock(&cw_session_lock);
}

/* Frees what pools there are; returns when those that others free are gone too. */
static void free_pools(struct cw_session *s) {
    pthread_mutex_lock(&cw_session_lock);
    while (s->pools || s->leaving) {
        crew_pool *p = s->pools;
        while (p && p->leaving)
            p = p->next;
        if (!p) {
            pthread_cond_wait(&visited, &cw_session_lock);
            continue;
        }
        pthread_mutex_unlock(&cw_session_lock);
        crew_pool_free(p); /* nothing, if another thread was faster */
        pthread_mutex_lock(&cw_session_lock);
    }
    pthread_mutex_unlock(&cw_session_lock);
}

static int finalize(struct cw_session *s) {
    free_pools(s);
    cw_processes_finish();
    cw_stop_part();
    bool ended = cw_launch_end();
    pthread_mutex_lock(&cw_session_lock);
    bool serving = s->serving;
    pthread_mutex_unlock(&cw_session_lock);
    if (serving) {
        atomic_store(&s->quit, 1);
        cw_session_ring(s);
        pthread_join(s->service, NULL);
    }
    cw_fork_server_stop();
    cw_stop_end();
    cw_shm_finish();
    bool used = s->depth == 0 && cw_share_leave(!ended);
    int code = s->stopped ? 85 : 0;
    cw_objects_free(&s->at_init);
    pthread_mutex_lock(&making);
    if (s->depth == 0)
        cw_guard_forget();
    if (used)
        cw_segment_abandon(&s->own, cw_head(&s->own)->arrays);
    cw_segment_destroy(&s->own);
    pthread_mutex_lock(&cw_session_lock); /* see cw_session_claim */
    made = false;
    if (s->depth == 0)
        memset(&session, 0, sizeof session);
    else /* its place in the tree stays */
        session = (struct cw_session){.depth = s->depth,
                                      .cores = s->cores,
                                      .node = s->node,
                                      .root = s->root,
                                      .self = s->self};
    pthread_mutex_unlock(&cw_session_lock);
    pthread_mutex_unlock(&making);
    return code;
}

/* Not where it would wait for its caller: in a callback, or in a task of a pool. */
static int may_finalize(struct cw_session *s) {
    int rc = cw_may_wait("crew_finalize", NULL);
    if (!s || rc < 0)
        return rc;
    pthread_mutex_lock(&cw_session_lock);
    for (crew_pool *p = s->pools; p && rc == 0; p = p->next)
        rc = cw_pool_may_wait(p, "crew_finalize", NULL);
    pthread_mutex_unlock(&cw_session_lock);
    return rc;
}

int crew_finalize(void) {
    int rc = may_finalize(cw_session_if_any());
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&ending);
    struct cw_session *s = cw_session_if_any();
    int code = s ? finalize(s) : 0;
    pthread_mutex_unlock(&ending);
    return code;
}
