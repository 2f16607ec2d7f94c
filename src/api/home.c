#include "api/home.h"

#include "api/job_impl.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/futex.h"
#include "sched/fleet.h"
#include "sched/ledger.h"
#include "team/proxy.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of items, or of results, that one range may have. */
enum { RANGE_BYTES = 32 << 20 };
/* What a letter there and one back take, about, before it has been measured. */
static const double TRIP_NS = 100000;
/* Tasks that may wait at a node: what it does in so many ns, at most so many. */
static const double AHEAD_NS = 1000000;
enum { TASKS_AHEAD = 32 };
/* How long a node is waited for that is to say what its workers have done. */
static const double COUNT_SECONDS = 2;

/* A proxy and what is out with it. */
struct envoy {
    struct cw_proxy proxy;
    uint32_t turn;
    int64_t told_stop; /* what the node was told of the job's stop_at */
    bool told_drop;
};

/* Another node, as one pool sees it. The first envoy is for CW_JOB_EACH alone. */
struct outpost {
    int node, first, workers;
    struct envoy *envoys;
    int count, busy_tasks;
    double task_ns; /* 0: not known */
    enum { NEW, ASKED, OPEN, GONE } state;
    crew_error error; /* why it is GONE */
    uint32_t asked, counted; /* which count it was asked for, and has answered */
    uint32_t known[CW_JOB_SLOTS]; /* the generation that it was told of; 0: none */
};

/* One map, as the policy of leases sees it. */
struct ledger {
    uint32_t generation; /* 0: none */
    struct cw_fleet_sums sums;
    struct cw_fleet_node *nodes; /* 0: this one */
    int64_t claimed;             /* by the nodes' proxies, from the cursor */
    int64_t home;                /* by others, as told last */
};

struct cw_home {
    struct cw_home *next;
    crew_pool *pool;
    uint32_t id;
    struct outpost *posts;
    int count; /* of posts */
    struct ledger ledgers[CW_JOB_SLOTS];
    bool told_quit;
    struct cw_count *counts; /* by worker */
    uint32_t asked;          /* how often they were wanted */
};

/* Owner: this process's manager. Lock order: pool.lock is never held with it. */
static struct {
    struct cw_agent *agent;
    struct cw_session *session;
    cw_off word; /* in the segment: what proxies sleep on */
    pthread_mutex_t lock; /* guards the list, and who is in it */
    pthread_cond_t changed;
    struct cw_home *homes;
    uint32_t ids;
    int *due; /* by node: workers it has if nobody says how many; 0: it has not said yet */
    bool goodbye;
} here = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct cw_maps *maps_of(struct cw_home *h) {
    return &h->pool->maps;
}

static void gone(struct cw_home *h, struct outpost *post, const crew_error *why);

/* ---- what is sent ---- */

static struct cw_letter letter_of(const struct cw_home *h, const struct outpost *post,
                                  const struct envoy *e, enum cw_word word) {
    return (struct cw_letter){.word = word,
                              .pool = h->id,
                              .proxy = (uint32_t)(e - post->envoys),
                              .turn = e->turn};
}

static void send_opening(struct cw_home *h, struct outpost *post) {
    crew_pool *p = h->pool;
    const struct cw_team *t = p->team;
    struct cw_parcel out;
    struct cw_opening o = {.workers = post->workers,
                           .first = post->first,
                           .total = p->workers,
                           .node = post->node,
                           .threads_per_worker = t->threads_per_worker,
                           .bind = p->opts.bind,
                           .retries = t->retries,
                           .proxies = post->count,
                           .task_timeout = t->task_timeout,
                           .task_memory = t->task_memory,
                           .seed = t->seed,
                           .init_size = t->init_size,
                           .tasks_per_worker = t->tasks_per_worker,
                           .init = t->init,
                           .fini = t->fini};
    memcpy(o.name, t->name, sizeof o.name);
    cw_parcel_begin(&out, &(struct cw_letter){.word = CW_W_OPEN, .pool = h->id});
    cw_parcel_put(&out, &o, sizeof o);
    cw_parcel_put(&out, cw_ptr(&p->maps.arena, t->init_arg), t->init_size);
    cw_agent_send(here.agent, post->node, &out);
}

static void send_job(struct cw_home *h, struct outpost *post, const struct cw_job *job) {
    struct cw_parcel out;
    const struct cw_errand e = {.kind = (int)job->kind,
                                .schedule = job->schedule,
                                .on_error = job->on_error,
                                .is_index = job->is_index,
                                .retries = job->retries,
                                .workers = job->workers,
                                .fn = job->fn,
                                .combine = job->combine,
                                .count = job->count,
                                .grain = job->grain,
                                .total = job->total,
                                .first = job->first,
                                .step = job->step,
                                .chunk = job->chunk,
                                .task_timeout = job->task_timeout,
                                .stream = job->stream,
                                .in_size = job->in_size,
                                .out_size = job->out_size,
                                .common_size = job->common_size};
    post->known[job->slot] = job->generation;
    cw_parcel_begin(&out, &(struct cw_letter){.word = CW_W_JOB,
                                              .pool = h->id,
                                              .slot = job->slot,
                                              .generation = job->generation});
    cw_parcel_put(&out, &e, sizeof e);
    cw_parcel_put(&out, cw_ptr(&maps_of(h)->arena, job->common), job->common_size);
    cw_agent_send(here.agent, post->node, &out);
}

static void put_items(struct cw_home *h, const struct cw_job *job, int64_t lo, int64_t hi,
                      struct cw_parcel *out) {
    const char *in = cw_ref_ptr(maps_of(h), job->in);
    if (job->kind == CW_JOB_EACH) {
        cw_parcel_put(out, in, job->in_size);
    } else if (job->kind == CW_JOB_BYTES) {
        const struct cw_slice *slices = cw_ptr(&maps_of(h)->arena, job->slices);
        for (int64_t i = lo; i < hi; i++)
            cw_parcel_put(out, &slices[i].size, sizeof slices[i].size);
        for (int64_t i = lo; i < hi; i++)
            cw_parcel_put(out, in + slices[i].at, slices[i].size);
    } else if (!job->is_index && job->in_size) {
        int64_t from = lo * job->grain, to = hi < job->count ? hi * job->grain : job->total;
        cw_parcel_put(out, in + (size_t)from * job->in_size, (size_t)(to - from) * job->in_size);
    }
}

static void send_range(struct cw_home *h, struct outpost *post, struct envoy *e) {
    const struct cw_job *job = e->proxy.job;
    struct cw_parcel out;
    if (post->known[job->slot] != job->generation)
        send_job(h, post, job);
    e->turn++;
    e->told_stop = INT64_MAX;
    e->told_drop = false;
    struct cw_letter letter = letter_of(h, post, e, CW_W_RANGE);
    letter.slot = job->slot;
    letter.generation = job->generation;
    letter.lo = e->proxy.lo;
    letter.hi = e->proxy.hi;
    letter.code = e->proxy.attempt;
    cw_parcel_begin(&out, &letter);
    put_items(h, job, letter.lo, letter.hi, &out);
    cw_agent_send(here.agent, post->node, &out);
}

static void send_task(struct cw_home *h, struct outpost *post, struct envoy *e) {
    struct cw_maps *maps = maps_of(h);
    struct cw_task *task = cw_task_at(maps, h->pool->team, e->proxy.number);
    struct cw_parcel out;
    const struct cw_chore c = {.fn = task->fn,
                               .attempt = task->attempt,
                               .retries = task->retries,
                               .priority = task->priority,
                               .task_timeout = task->task_timeout,
                               .task_memory = task->task_memory,
                               .in_size = task->in_size,
                               .common_size = task->common_size,
                               .slot_size = task->slot_size,
                               .stream = task->stream,
                               .index = task->index};
    e->turn++;
    e->told_drop = false;
    post->busy_tasks++;
    struct cw_letter letter = letter_of(h, post, e, CW_W_TASK);
    cw_parcel_begin(&out, &letter);
    cw_parcel_put(&out, &c, sizeof c);
    cw_parcel_put(&out, cw_task_item(maps, task), task->in_size);
    cw_parcel_put(&out, cw_ref_ptr(maps, task->common), task->common_size);
    cw_agent_send(here.agent, post->node, &out);
}

/* ---- how much ---- */

/* The map's account with the policy; a new map's is begun. NULL: no memory. */
static struct ledger *ledger_of(struct cw_home *h, const struct cw_job *job) {
    struct ledger *l = &h->ledgers[job->slot];
    if (l->generation == job->generation)
        return l;
    size_t n = (size_t)h->count + 1;
    if (!l->nodes && !(l->nodes = calloc(n, sizeof *l->nodes)))
        return NULL;
    int64_t now = cw_now_ns();
    memset(l->nodes, 0, n * sizeof *l->nodes);
    cw_fleet_sums_init(&l->sums, 0, 0);
    cw_fleet_node_ready(&l->sums, &l->nodes[0], true, h->pool->natives, 0, now);
    for (int k = 0; k < h->count; k++)
        if (h->posts[k].state == OPEN)
            cw_fleet_node_ready(&l->sums, &l->nodes[k + 1], false, h->posts[k].workers, TRIP_NS,
                                now);
    l->generation = job->generation;
    l->claimed = l->home = 0;
    return l;
}

/* What others than proxies have claimed since. */
static void tell_home(struct ledger *l, const struct cw_job *job, int64_t now) {
    int64_t at = atomic_load_explicit(&job->cursor, memory_order_relaxed);
    int64_t others = at - job->base - l->claimed;
    if (others > l->home) {
        cw_lease_home(&l->sums, &l->nodes[0], others - l->home, now);
        l->home = others;
    }
}

static int64_t fits(const struct cw_job *job, int64_t n) {
    uint64_t in = job->is_index ? 0 : job->in_size * (uint64_t)job->grain;
    uint64_t bytes = in > job->out_size ? in : job->out_size;
    int64_t most = bytes ? (int64_t)(RANGE_BYTES / bytes) : n;
    most = most > 0 ? most : 1;
    return n < most ? n : most;
}

/* ---- claiming ---- */

static struct envoy *idle_envoy(struct outpost *post) {
    for (int i = 1; i < post->count; i++)
        if (post->envoys[i].proxy.holds == CW_PROXY_IDLE)
            return &post->envoys[i];
    return NULL;
}

static bool claim_range(struct cw_home *h, int k, int slot) {
    struct outpost *post = &h->posts[k];
    struct envoy *e = idle_envoy(post);
    int64_t left, now;
    if (!e || !cw_proxy_enter(&e->proxy, slot, &left))
        return false;
    struct cw_job *job = e->proxy.job;
    struct ledger *l = job->kind == CW_JOB_EACH ? NULL : ledger_of(h, job);
    int64_t n = 0;
    if (l) {
        now = cw_now_ns();
        tell_home(l, job, now);
        n = cw_lease_size(&l->sums, &l->nodes[0], &l->nodes[k + 1], left, now);
    }
    if (n <= 0) {
        cw_proxy_leave(&e->proxy);
        return false;
    }
    if (!cw_proxy_claim(&e->proxy, fits(job, n)))
        return false;
    n = e->proxy.hi - e->proxy.lo;
    if (!e->proxy.redo)
        l->claimed += n;
    cw_lease_given(&l->sums, &l->nodes[k + 1], n, now);
    send_range(h, post, e);
    return true;
}

static bool claim_each(struct cw_home *h, struct outpost *post) {
    struct cw_team *t = h->pool->team;
    struct envoy *e = &post->envoys[0];
    struct cw_line *line = e->proxy.member.line;
    uint64_t slots = atomic_load(&t->each) & ~atomic_load(&line->each);
    int64_t left;
    if (!slots || e->proxy.holds != CW_PROXY_IDLE)
        return false;
    int slot = __builtin_ctzll(slots);
    if (!cw_proxy_enter(&e->proxy, slot, &left))
        return false;
    atomic_fetch_or(&line->each, 1ull << slot);
    cw_proxy_claim_each(&e->proxy, post->first, post->first + post->workers);
    send_range(h, post, e);
    return true;
}

/* Where tasks are short a few more than there are workers, so that these do not wait for
 * the next one's journey: as many as take AHEAD_NS. Where they are not, none waits there:
 * one that has not begun begins wherever the next worker is free. */
static int most_tasks(const struct outpost *post) {
    double ahead = post->task_ns > 0 ? AHEAD_NS / post->task_ns : 0;
    return post->workers + (ahead < TASKS_AHEAD ? (int)ahead : TASKS_AHEAD);
}

/* What the tasks took that came back of late. */
static void note_task(struct outpost *post, double ns) {
    post->task_ns = post->task_ns > 0 ? post->task_ns * 0.875 + ns * 0.125 : ns;
}

static bool claim_tasks(struct cw_home *h, struct outpost *post) {
    struct envoy *e;
    bool any = false;
    while (post->busy_tasks < most_tasks(post) && (e = idle_envoy(post)) &&
           cw_proxy_take(&e->proxy)) {
        send_task(h, post, e);
        any = true;
    }
    return any;
}

static bool claim(struct cw_home *h, int k) {
    struct outpost *post = &h->posts[k];
    bool any = claim_each(h, post);
    any = claim_tasks(h, post) || any;
    uint64_t slots = atomic_load_explicit(&h->pool->team->claimable, memory_order_acquire);
    for (; slots; slots &= slots - 1)
        while (claim_range(h, k, __builtin_ctzll(slots)))
            any = true;
    return any;
}

/* ---- what changes while it is out ---- */

static bool tell_changes(struct cw_home *h, struct outpost *post, struct envoy *e) {
    struct cw_proxy *x = &e->proxy;
    bool cancelled = atomic_load_explicit(&x->member.line->cancel, memory_order_relaxed) != 0;
    struct cw_letter letter = letter_of(h, post, e, CW_W_DROP);
    if (x->holds == CW_PROXY_TASK && cancelled && !e->told_drop) {
        e->told_drop = true;
        return cw_agent_say(here.agent, post->node, &letter);
    }
    if (x->holds != CW_PROXY_RANGE)
        return false;
    int64_t stop = atomic_load_explicit(&x->job->stop_at, memory_order_relaxed);
    bool voided = atomic_load(&x->job->voided);
    if ((stop >= e->told_stop || stop >= x->hi - 1) && !(voided && !e->told_drop))
        return false;
    letter.word = CW_W_STOP;
    letter.slot = x->job->slot;
    letter.generation = x->job->generation;
    letter.lo = e->told_stop = stop;
    letter.code = voided ? CREW_ECANCELLED : 0;
    e->told_drop = voided;
    return cw_agent_say(here.agent, post->node, &letter);
}

static bool tell_quit(struct cw_home *h) {
    static const crew_error none;
    uint32_t quit = atomic_load(&h->pool->team->quit);
    if (quit == CW_RUN || h->told_quit)
        return false;
    h->told_quit = true;
    for (int k = 0; k < h->count; k++)
        if (h->posts[k].state == NEW)
            gone(h, &h->posts[k], &none); /* it never heard of it */
        else if (h->posts[k].state != GONE)
            cw_agent_say(here.agent, h->posts[k].node,
                         &(struct cw_letter){
                             .word = CW_W_CLOSE, .pool = h->id, .code = (int32_t)quit});
    return true;
}

static bool work_for(struct cw_home *h, bool *waits) {
    bool any = tell_quit(h);
    for (int k = 0; k < h->count; k++) {
        struct outpost *post = &h->posts[k];
        if (post->state == GONE)
            continue;
        if (post->state == NEW && !h->told_quit) {
            send_opening(h, post);
            post->state = ASKED;
            any = true;
        }
        *waits = *waits || h->told_quit || post->state == ASKED || post->counted != h->asked;
        if (post->state == OPEN && post->asked != h->asked) {
            post->asked = h->asked;
            any = cw_agent_say(here.agent, post->node,
                               &(struct cw_letter){
                                   .word = CW_W_COUNT, .pool = h->id, .turn = h->asked});
        }
        for (int i = 0; i < post->count; i++) {
            any = tell_changes(h, post, &post->envoys[i]) || any;
            *waits = *waits || post->envoys[i].proxy.holds != CW_PROXY_IDLE;
        }
        if (post->state == OPEN && !h->told_quit)
            any = claim(h, k) || any;
    }
    return any;
}

static bool work(void *ctx, bool *waits) {
    bool any = false;
    (void)ctx;
    pthread_mutex_lock(&here.lock);
    for (struct cw_home *h = here.homes; h; h = h->next)
        any = work_for(h, waits) || any;
    if (here.goodbye) {
        for (int node = 1; node < here.agent->place.nodes; node++)
            cw_agent_say(here.agent, node, &(struct cw_letter){.word = CW_W_BYE});
        here.goodbye = false;
        pthread_cond_broadcast(&here.changed);
    }
    pthread_mutex_unlock(&here.lock);
    return any;
}

static void set_asleep(struct cw_home *h, bool asleep) {
    struct cw_team *t = h->pool->team;
    for (int rank = h->pool->natives; rank < h->pool->members; rank++) {
        uint64_t bit = 1ull << (rank % 64);
        if (asleep)
            atomic_fetch_or(&t->asleep[rank / 64], bit);
        else
            atomic_fetch_and(&t->asleep[rank / 64], ~bit);
    }
}

static void all_asleep(bool asleep) {
    pthread_mutex_lock(&here.lock);
    for (struct cw_home *h = here.homes; h; h = h->next)
        set_asleep(h, asleep);
    pthread_mutex_unlock(&here.lock);
}

static bool lie_down(void *ctx) {
    bool waits = false;
    all_asleep(true);
    /* Pairs with the fence in cw_team_wake: what came before is seen now. */
    atomic_thread_fence(memory_order_seq_cst);
    return !work(ctx, &waits);
}

static void get_up(void *ctx) {
    (void)ctx;
    all_asleep(false);
}

/* ---- what comes back ---- */

static void *result_at(struct cw_home *h, const struct cw_job *job, int64_t item) {
    return (char *)cw_ref_ptr(maps_of(h), job->out) + (size_t)item * job->out_size;
}

/* marks NULL: all are done. False: the letter is shorter than it says. */
static bool store_results(struct cw_home *h, const struct cw_proxy *x, const unsigned char *marks,
                          struct cw_reader *r) {
    const struct cw_job *job = x->job;
    int64_t n = x->hi - x->lo;
    for (int64_t i = 0; i < n;) {
        int64_t end = marks ? cw_marks_run(marks, i, n, CW_MARK_DONE) : n;
        size_t size = (size_t)(end - i) * job->out_size;
        const void *from = cw_read(r, size);
        if (!from)
            return false;
        if (size)
            memcpy(result_at(h, job, x->lo + i), from, size);
        i = end + 1;
    }
    return true;
}

static bool store_answers(struct cw_home *h, const struct cw_proxy *x, const unsigned char *marks,
                          int64_t done, struct cw_reader *r) {
    cw_arena *a = &maps_of(h)->arena;
    struct cw_answer *answers = cw_ptr(a, x->job->answers);
    const char *sizes = cw_read(r, (size_t)done * sizeof(uint64_t));
    for (int64_t i = x->lo; sizes && i < x->hi; i++) {
        uint64_t size;
        if (marks && marks[i - x->lo] != CW_MARK_DONE)
            continue;
        memcpy(&size, sizes, sizeof size);
        sizes += sizeof size;
        const void *from = cw_read(r, size);
        crew_error err;
        cw_free_cell(a, &answers[i].cell);
        cw_off off = from ? cw_alloc(a, size, &answers[i].cell, &err) : 0;
        if (!off)
            return false;
        if (size)
            memcpy(cw_ptr(a, off), from, size);
        answers[i].size = size;
    }
    return sizes != NULL;
}

/* Failures first: a mark says that its failure is kept. */
static bool store_failures(struct cw_home *h, const struct cw_proxy *x, int64_t n,
                           struct cw_reader *r) {
    struct cw_failure f;
    for (; n > 0; n--) {
        if (!cw_read_into(r, &f, sizeof f))
            return false;
        if (f.item >= x->lo && f.item < x->hi)
            cw_job_fail(maps_of(h), x->job, &f);
    }
    return true;
}

static void store_marks(struct cw_home *h, const struct cw_proxy *x, const unsigned char *marks) {
    struct cw_job *job = x->job;
    unsigned char *to = (unsigned char *)cw_ptr(&maps_of(h)->arena, job->marks) + (x->lo - job->base);
    size_t n = (size_t)(x->hi - x->lo);
    /* Pairs with the acquire of the manager's look at the marks: the results. */
    atomic_thread_fence(memory_order_release);
    if (!marks) {
        memset(to, CW_MARK_DONE, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (marks[i] > CW_MARK_DONE && job->on_error == CREW_STOP)
            cw_job_stop_above(job, x->lo + (int64_t)i);
    memcpy(to, marks, n);
}

static bool store_range(struct cw_home *h, const struct cw_proxy *x, const struct cw_tally *tally,
                        struct cw_reader *r) {
    const unsigned char *marks = NULL;
    if (tally->done < x->hi - x->lo && !(marks = cw_read(r, (size_t)(x->hi - x->lo))))
        return false;
    if (x->job->kind == CW_JOB_BYTES ? !store_answers(h, x, marks, tally->done, r)
                                     : x->job->out_size && !store_results(h, x, marks, r))
        return false;
    if (!store_failures(h, x, tally->failures, r))
        return false;
    store_marks(h, x, marks);
    return true;
}

static void range_over(struct cw_home *h, struct outpost *post, struct envoy *e,
                       struct cw_reader *r) {
    struct cw_proxy *x = &e->proxy;
    struct cw_tally tally;
    struct ledger *l = &h->ledgers[x->slot];
    int k = (int)(post - h->posts);
    if (!cw_read_into(r, &tally, sizeof tally) || !store_range(h, x, &tally, r)) {
        crew_error err;
        cw_error_set(&err, CREW_EBROKEN, 0, "node %s answered with less than it said, or there was "
                     "no memory for its results", cw_home_host(h->pool, post->node));
        gone(h, post, &err);
        return;
    }
    if (x->job->kind != CW_JOB_EACH && l->generation == x->job->generation)
        cw_lease_done(&l->sums, &l->nodes[k + 1], x->hi - x->lo, 1, cw_now_ns());
    int64_t bad = x->hi - x->lo - tally.done;
    if (bad > 0)
        atomic_fetch_add(&x->member.line->failures, tally.failures);
    cw_proxy_range_over(x, tally.calls);
}

/* It waits here from now on. */
static void task_back(struct outpost *post, struct envoy *e) {
    post->busy_tasks--;
    post->task_ns = 0;
    cw_proxy_task_back(&e->proxy);
}

static void task_over(struct cw_home *h, struct outpost *post, struct envoy *e,
                      const struct cw_letter *letter, struct cw_reader *r) {
    int code = letter->code;
    struct cw_maps *maps = maps_of(h);
    struct cw_task *task = cw_task_at(maps, h->pool->team, e->proxy.number);
    struct cw_failure f = {.code = code, .index = task->index, .worker = -1};
    note_task(post, (double)letter->lo / post->workers);
    post->busy_tasks--;
    if (code) {
        cw_read_into(r, &f, sizeof f);
    } else {
        size_t size = (size_t)(r->end - r->at);
        crew_error err;
        void *room = cw_task_result_room(maps, task, size, &err);
        if (!room) {
            f.code = code = CREW_ENOMEM;
            memcpy(f.text, "no memory for its result", 25);
        } else if (size) {
            memcpy(room, r->at, size);
        }
    }
    cw_proxy_task_over(&e->proxy, code, code ? &f : NULL);
}

/* ---- nodes come and go ---- */

static void ring(crew_pool *p) {
    cw_team_ring(&p->maps, p->team);
}

static struct cw_seat *seat_of(struct cw_home *h, const struct envoy *e) {
    return cw_team_seat(maps_of(h), h->pool->team, e->proxy.member.rank);
}

static void opened(struct cw_home *h, struct outpost *post, int code, struct cw_reader *r) {
    crew_error err = {.code = code};
    if (code) {
        cw_read_into(r, &err, sizeof err);
        gone(h, post, &err);
        return;
    }
    for (int i = 0; i < post->count; i++)
        atomic_store_explicit(&seat_of(h, &post->envoys[i])->state, CW_SEAT_ALIVE,
                              memory_order_release);
    post->state = OPEN;
    ring(h->pool);
}

/* Its members' seats end: the service thread sees to what they held. */
static void gone(struct cw_home *h, struct outpost *post, const crew_error *why) {
    if (post->state == GONE)
        return;
    post->error = *why;
    post->state = GONE;
    for (int i = 0; i < post->count; i++) {
        struct cw_seat *seat = seat_of(h, &post->envoys[i]);
        atomic_store_explicit(&seat->status, why->code ? SIGKILL : 0, memory_order_relaxed);
        atomic_store_explicit(&seat->state, CW_SEAT_ENDED, memory_order_release);
    }
    for (int slot = 0; slot < CW_JOB_SLOTS; slot++) {
        struct ledger *l = &h->ledgers[slot];
        if (l->generation)
            cw_fleet_node_lost(&l->sums, &l->nodes[post - h->posts + 1]);
    }
    ring(h->pool);
    pthread_cond_broadcast(&here.changed);
}

static void lost(void *ctx, int node) {
    crew_error err;
    (void)ctx;
    cw_error_set(&err, CREW_EBROKEN, 0, "node %s was lost", here.agent->nodes[node].host);
    pthread_mutex_lock(&here.lock);
    for (struct cw_home *h = here.homes; h; h = h->next)
        for (int k = 0; k < h->count; k++)
            if (h->posts[k].node == node)
                gone(h, &h->posts[k], &err);
    pthread_cond_broadcast(&here.changed);
    pthread_mutex_unlock(&here.lock);
}

static void counted(struct cw_home *h, struct outpost *post, const struct cw_letter *letter,
                    struct cw_reader *r) {
    for (int i = 0; i < post->workers; i++)
        cw_read_into(r, &h->counts[post->first + i], sizeof *h->counts);
    if (letter->turn) /* else nobody has asked: the pool is closing there */
        post->counted = letter->turn;
    pthread_cond_broadcast(&here.changed);
}

static void about_a_pool(struct cw_home *h, struct outpost *post, const struct cw_letter *letter,
                         struct cw_reader *r) {
    crew_error err = {0};
    struct envoy *e = letter->proxy < (uint32_t)post->count ? &post->envoys[letter->proxy] : NULL;
    bool current = e && e->turn == letter->turn;
    switch (letter->word) {
    case CW_W_OPENED:
        opened(h, post, letter->code, r);
        break;
    case CW_W_RANGE_OVER:
        if (current && e->proxy.holds == CW_PROXY_RANGE)
            range_over(h, post, e, r);
        break;
    case CW_W_TASK_OVER:
        if (current && e->proxy.holds == CW_PROXY_TASK)
            task_over(h, post, e, letter, r);
        break;
    case CW_W_TASK_BACK:
        if (current && e->proxy.holds == CW_PROXY_TASK)
            task_back(post, e);
        break;
    case CW_W_COUNTED:
        counted(h, post, letter, r);
        break;
    case CW_W_BROKEN:
        cw_read_into(r, &err, sizeof err);
        gone(h, post, &err);
        break;
    case CW_W_CLOSED:
        gone(h, post, &err);
        break;
    default:
        break;
    }
}

static void letter(void *ctx, int node, const struct cw_letter *letter, struct cw_reader rest) {
    (void)ctx;
    pthread_mutex_lock(&here.lock);
    if (letter->word == CW_W_HELLO) {
        here.due[node] = letter->lo > 0 ? (int)letter->lo : 1;
        pthread_cond_broadcast(&here.changed);
    }
    for (struct cw_home *h = here.homes; h; h = h->next)
        for (int k = 0; h->id == letter->pool && k < h->count; k++)
            if (h->posts[k].node == node && h->posts[k].state != GONE)
                about_a_pool(h, &h->posts[k], letter, &rest);
    pthread_mutex_unlock(&here.lock);
}

/* ---- for pools ---- */

/* With the lock: sleeps until something changes, at most a moment. */
static void wait_a_moment(void) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 50000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&here.changed, &here.lock, &until);
}

/* A node that has not said hello; 0: there is none. */
static int silent_node(void) {
    for (int node = 1; node < here.agent->place.nodes; node++)
        if (here.due[node] == 0)
            return node;
    return 0;
}

static int await_hellos(double seconds, crew_error *err) {
    struct cw_deadline d = cw_deadline_in(seconds);
    int silent, rc = 0;
    pthread_mutex_lock(&here.lock);
    while ((silent = silent_node()) && rc == 0) {
        const struct cw_agent_node *node = &here.agent->nodes[silent];
        if (node->lost || cw_deadline_over(&d))
            rc = cw_error_set(err, CREW_EBROKEN, 0, "node %s (rank %d) %s", node->host,
                              node->leader, node->lost ? "was lost" : "does not answer");
        else
            wait_a_moment();
    }
    pthread_mutex_unlock(&here.lock);
    return rc;
}

int cw_home_serve(struct cw_session *s, struct cw_agent *agent, int *due, double seconds,
                  crew_error *err) {
    static const struct cw_agent_ops ops = {.letter = letter,
                                            .work = work,
                                            .lie_down = lie_down,
                                            .get_up = get_up,
                                            .lost = lost};
    here.word = cw_alloc_zero(&s->arena, sizeof(uint32_t), NULL, err);
    if (!here.word)
        return err->code;
    here.session = s;
    here.agent = agent;
    here.due = due;
    cw_agent_serve(agent, &ops, NULL, cw_ptr(&s->arena, here.word));
    return await_hellos(seconds, err);
}

static int envoys_of(int workers) {
    return workers ? 1 + CW_LEASE_SLOTS + workers + TASKS_AHEAD : 0;
}

int cw_home_proxies(const struct cw_agent *agent, const int *workers) {
    int n = 0;
    for (int node = 1; node < agent->place.nodes; node++)
        n += envoys_of(workers[node]);
    return n;
}

static void destroy(struct cw_home *h) {
    for (int k = 0; h->posts && k < h->count; k++)
        free(h->posts[k].envoys);
    for (int slot = 0; slot < CW_JOB_SLOTS; slot++)
        free(h->ledgers[slot].nodes);
    free(h->counts);
    free(h->posts);
    free(h);
}

static struct cw_home *make(crew_pool *p, struct cw_agent *agent, const int *workers) {
    struct cw_home *h = calloc(1, sizeof *h);
    int nodes = agent->place.nodes, rank = p->natives, first = workers[0];
    if (!h || !(h->posts = calloc((size_t)nodes, sizeof *h->posts)) ||
        !(h->counts = calloc((size_t)p->workers, sizeof *h->counts)))
        goto failed;
    h->pool = p;
    for (int node = 1; node < nodes; first += workers[node], node++) {
        struct outpost *post = &h->posts[h->count];
        if (!workers[node])
            continue;
        h->count++;
        *post = (struct outpost){.node = node, .first = first, .workers = workers[node]};
        post->count = envoys_of(workers[node]);
        if (!(post->envoys = calloc((size_t)post->count, sizeof *post->envoys)))
            goto failed;
        for (int i = 0; i < post->count; i++)
            cw_proxy_init(&post->envoys[i].proxy, &p->maps, p->team, rank++, here.word);
    }
    return h;
failed:
    if (h)
        destroy(h);
    return NULL;
}

int cw_home_open(crew_pool *p, struct cw_agent *agent, const int *workers, crew_error *err) {
    struct cw_home *h = make(p, agent, workers);
    if (!h)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a pool of %d workers", p->workers);
    p->home = h;
    for (int rank = p->natives; rank < p->members; rank++)
        atomic_store(&cw_team_seat(&p->maps, p->team, rank)->state, CW_SEAT_ASKED);
    pthread_mutex_lock(&here.lock);
    h->id = ++here.ids;
    h->next = here.homes;
    here.homes = h;
    pthread_mutex_unlock(&here.lock);
    cw_agent_wake(agent);
    return 0;
}

int cw_home_ready(crew_pool *p, crew_error *err) {
    struct cw_home *h = p->home;
    int rc = 1;
    pthread_mutex_lock(&here.lock);
    for (int k = 0; h && k < h->count && rc >= 0; k++) {
        struct outpost *post = &h->posts[k];
        if (post->state == GONE)
            rc = cw_error_copy(err, &post->error);
        else if (post->state != OPEN)
            rc = 0;
    }
    pthread_mutex_unlock(&here.lock);
    return rc;
}

void cw_home_close(crew_pool *p) {
    struct cw_home *h = p->home;
    if (!h)
        return;
    pthread_mutex_lock(&here.lock);
    struct cw_home **at = &here.homes;
    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    pthread_mutex_unlock(&here.lock);
    p->home = NULL;
    destroy(h);
}

void cw_home_fail_each(crew_pool *p, struct cw_job *job) {
    struct cw_home *h = p->home;
    pthread_mutex_lock(&here.lock);
    const _Atomic unsigned char *marks = cw_ptr(&p->maps.arena, job->marks);
    for (int k = 0; h && k < h->count; k++) {
        const struct outpost *post = &h->posts[k];
        for (int64_t i = post->first; post->state == GONE && i < post->first + post->workers; i++) {
            struct cw_failure f = {.item = i, .index = i, .code = CREW_EDIED, .attempt = 1,
                                   .worker = (int)i, .node = post->node};
            memcpy(f.text, "lost with its node", 19);
            if (!atomic_load(&marks[i]))
                cw_job_fail(&p->maps, job, &f);
        }
    }
    pthread_mutex_unlock(&here.lock);
}

static bool all_counted(const struct cw_home *h) {
    for (int k = 0; k < h->count; k++)
        if (h->posts[k].state == OPEN && h->posts[k].counted != h->asked)
            return false;
    return true;
}

int cw_home_stats(crew_pool *p, int worker, crew_stats *stats) {
    struct cw_home *h = p->home;
    if (!h || (worker >= 0 && worker < p->natives))
        return 0;
    pthread_mutex_lock(&here.lock);
    h->asked++;
    struct cw_deadline d = cw_deadline_in(COUNT_SECONDS);
    while (!all_counted(h) && !cw_deadline_over(&d)) {
        pthread_mutex_unlock(&here.lock);
        cw_agent_wake(here.agent);
        pthread_mutex_lock(&here.lock);
        if (!all_counted(h))
            wait_a_moment();
    }
    for (int i = p->natives; i < p->workers; i++) {
        const struct cw_count *c = &h->counts[i];
        if (worker >= 0 && worker != i)
            continue;
        stats->items += c->items;
        stats->failures += c->failures;
        stats->restarts += c->restarts;
        stats->busy += (double)c->busy_ns * 1e-9;
        stats->idle += (double)(c->there_ns - c->busy_ns) * 1e-9;
    }
    pthread_mutex_unlock(&here.lock);
    return 0;
}

const char *cw_home_host(crew_pool *p, int node) {
    return p->home ? here.agent->nodes[node].host : p->session->host;
}

void cw_home_goodbye(void) {
    pthread_mutex_lock(&here.lock);
    here.goodbye = true;
    while (here.goodbye && here.agent->place.nodes > 1) {
        pthread_mutex_unlock(&here.lock);
        cw_agent_wake(here.agent);
        pthread_mutex_lock(&here.lock);
        if (here.goodbye)
            wait_a_moment();
    }
    pthread_mutex_unlock(&here.lock);
}
