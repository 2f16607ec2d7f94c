/* What other nodes get to do: the agent is their proxies, and claims for them. */
#include "api/array_agent.h"
#include "api/home_impl.h"
#include "api/remote.h"

#include "api/places.h"
#include "api/process_impl.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/stopsig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of items, or of results, that one range may have. */
enum { RANGE_BYTES = 32 << 20 };
/* What the agent sleeps at most while ranges are out. */
enum { NAP_RANGES_NS = 4 * CW_NAP_WAITING_NS };
/* Tasks may wait at a node that it does in so many ns. */
static const double AHEAD_NS = 1000000;

/* ---- what is sent ---- */

/* What cannot be sent is never answered: the node is out then. */
static void dispatch(struct cw_home *h, struct cw_outpost *post, struct cw_parcel *parcel) {
    crew_error err;
    if (cw_agent_send(cw_homes.agent, post->node, parcel))
        return;
    cw_error_set(&err, CREW_EBROKEN, 0, "nothing could be sent to node %s any more",
                 cw_home_host(h->pool, post->node));
    cw_home_gone(h, post, &err);
}

static struct cw_letter letter_of(const struct cw_home *h, const struct cw_outpost *post,
                                  const struct cw_envoy *e, enum cw_word word) {
    return (struct cw_letter){.word = word,
                              .pool = h->id,
                              .proxy = (uint32_t)(e - post->envoys),
                              .turn = e->turn};
}

static void send_opening(struct cw_home *h, struct cw_outpost *post) {
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
                           .fini = t->fini,
                           .stop_on = cw_stopsig_set(),
                           .pool = h->id};
    memcpy(o.name, t->name, sizeof o.name);
    cw_parcel_begin(&out, &(struct cw_letter){.word = CW_W_OPEN, .pool = h->id});
    cw_parcel_put(&out, &o, sizeof o);
    cw_parcel_put(&out, cw_ptr(&p->maps.arena, t->init_arg), t->init_size);
    dispatch(h, post, &out);
}

static void send_job(struct cw_home *h, struct cw_outpost *post, const struct cw_job *job) {
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
    cw_parcel_put(&out, cw_ptr(&cw_home_maps(h)->arena, job->common), job->common_size);
    dispatch(h, post, &out);
}

static void put_items(struct cw_home *h, const struct cw_job *job, int64_t lo, int64_t hi,
                      struct cw_parcel *out) {
    const char *in = cw_job_memory(cw_home_maps(h), job, 0);
    if (job->kind == CW_JOB_EACH) {
        cw_parcel_put(out, in, job->in_size);
    } else if (job->kind == CW_JOB_BYTES) {
        const struct cw_slice *slices = cw_ptr(&cw_home_maps(h)->arena, job->slices);
        for (int64_t i = lo; i < hi; i++)
            cw_parcel_put(out, &slices[i].size, sizeof slices[i].size);
        for (int64_t i = lo; i < hi; i++)
            cw_parcel_put(out, in + slices[i].at, slices[i].size);
    } else if (!job->is_index && job->in_size) {
        int64_t from = lo * job->grain, to = hi < job->count ? hi * job->grain : job->total;
        cw_parcel_put(out, in + (size_t)from * job->in_size, (size_t)(to - from) * job->in_size);
    }
}

static void send_range(struct cw_home *h, struct cw_outpost *post, struct cw_envoy *e) {
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
    dispatch(h, post, &out);
}

static void send_task(struct cw_home *h, struct cw_outpost *post, struct cw_envoy *e) {
    struct cw_maps *maps = cw_home_maps(h);
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
    e->told_recall = 0;
    e->recall = CW_RECALL_NOT;
    post->busy_tasks++;
    struct cw_letter letter = letter_of(h, post, e, CW_W_TASK);
    cw_parcel_begin(&out, &letter);
    cw_parcel_put(&out, &c, sizeof c);
    cw_parcel_put(&out, cw_task_item(maps, task), task->in_size);
    cw_parcel_put(&out, cw_ref_ptr(maps, task->common), task->common_size);
    dispatch(h, post, &out);
}

/* ---- how much ---- */

/* The map's account with the policy; a new map's is begun. NULL: no memory. */
static struct cw_accounts *accounts_of(struct cw_home *h, const struct cw_job *job) {
    struct cw_accounts *l = &h->accounts[job->slot];
    if (l->generation == job->generation)
        return l;
    size_t n = (size_t)h->count + 1;
    if (!l->nodes && !(l->nodes = calloc(n, sizeof *l->nodes)))
        return NULL;
    int64_t now = cw_now_ns();
    memset(l->nodes, 0, n * sizeof *l->nodes);
    cw_fleet_sums_init(&l->sums, 0, CW_LETTER_NS);
    cw_fleet_node_ready(&l->sums, &l->nodes[0], true, h->pool->natives, 0, now);
    for (int k = 0; k < h->count; k++)
        if (h->posts[k].state == CW_POST_OPEN)
            cw_fleet_node_ready(&l->sums, &l->nodes[k + 1], false, h->posts[k].workers, CW_TRIP_NS,
                                now);
    l->generation = job->generation;
    l->home = 0;
    /* What was done when the map began is nobody's claim. */
    l->claimed = job->resumed ? atomic_load(&job->cursor) - job->base : 0;
    l->out = l->asks = 0;
    return l;
}

/* What others than proxies have claimed since. */
static void tell_home(struct cw_accounts *l, const struct cw_job *job, int64_t now) {
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

static struct cw_envoy *idle_envoy(struct cw_outpost *post) {
    for (int i = 1; i < post->count; i++)
        if (post->envoys[i].proxy.holds == CW_PROXY_IDLE)
            return &post->envoys[i];
    return NULL;
}

/* Named memory that this process cannot map is left to its workers, which may. */
static bool in_reach(struct cw_home *h, const struct cw_job *job) {
    return (job->in != CW_REF_NAMED || cw_job_memory(cw_home_maps(h), job, 0)) &&
           (job->out != CW_REF_NAMED || cw_job_memory(cw_home_maps(h), job, 1));
}

/* The node has so much of that map that it is not heard of soon. */
static bool is_long(const struct cw_fleet_node *node) {
    return node->speed > 0 && (double)node->items / node->speed > NAP_RANGES_NS;
}

/* True: it claimed one. *soon: its end may come at once. */
static bool claim_range(struct cw_home *h, int k, int slot, bool *soon) {
    struct cw_outpost *post = &h->posts[k];
    struct cw_envoy *e = post->state == CW_POST_OPEN ? idle_envoy(post) : NULL;
    int64_t left, now;
    if (!e || !cw_proxy_enter(&e->proxy, slot, &left))
        return false;
    struct cw_job *job = e->proxy.job;
    struct cw_accounts *l = job->kind == CW_JOB_EACH ? NULL : accounts_of(h, job);
    int64_t n = 0;
    if (l && in_reach(h, job)) {
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
        l->claimed += n + e->proxy.passed;
    cw_lease_given(&l->sums, &l->nodes[k + 1], n, now);
    cw_home_range_out(l, e);
    e->sent_ns = now;
    send_range(h, post, e);
    *soon = *soon || !is_long(&l->nodes[k + 1]);
    return true;
}

static bool claim_each(struct cw_home *h, struct cw_outpost *post) {
    struct cw_team *t = h->pool->team;
    struct cw_envoy *e = &post->envoys[0];
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
static int most_tasks(const struct cw_outpost *post) {
    double ahead = post->task_ns > 0 ? AHEAD_NS / post->task_ns : 0;
    return post->workers + (ahead < CW_TASKS_AHEAD ? (int)ahead : CW_TASKS_AHEAD);
}

static bool claim_tasks(struct cw_home *h, struct cw_outpost *post) {
    struct cw_envoy *e;
    bool any = false;
    while (post->state == CW_POST_OPEN && post->busy_tasks < most_tasks(post) &&
           (e = idle_envoy(post)) && cw_proxy_take(&e->proxy)) {
        send_task(h, post, e);
        any = true;
    }
    return any;
}

/* True: of what was claimed some may come back at once. */
static bool claim(struct cw_home *h, int k) {
    struct cw_outpost *post = &h->posts[k];
    bool soon = claim_each(h, post);
    soon = claim_tasks(h, post) || soon;
    uint64_t slots = atomic_load_explicit(&h->pool->team->claimable, memory_order_acquire);
    for (; slots; slots &= slots - 1)
        while (claim_range(h, k, __builtin_ctzll(slots), &soon))
            ;
    return soon;
}

/* ---- what changes while it is out ---- */

static bool tell_of_task(struct cw_home *h, struct cw_outpost *post, struct cw_envoy *e) {
    const struct cw_proxy *x = &e->proxy;
    const struct cw_task *task = cw_task_at(cw_home_maps(h), h->pool->team, x->number);
    bool unwanted = atomic_load_explicit(&task->state, memory_order_relaxed) & CW_TASK_KILL;
    struct cw_letter letter = letter_of(h, post, e, CW_W_DROP);
    if (atomic_load_explicit(&x->member.line->cancel, memory_order_relaxed) && !e->told_drop) {
        e->told_drop = true;
        return cw_agent_say(cw_homes.agent, post->node, &letter);
    }
    int recall = unwanted ? 2 : e->recall == CW_RECALL_WANTED;
    if (recall <= e->told_recall)
        return false;
    e->told_recall = recall;
    letter.word = CW_W_RECALL;
    letter.code = unwanted;
    return cw_agent_say(cw_homes.agent, post->node, &letter);
}

static bool tell_of_range(struct cw_home *h, struct cw_outpost *post, struct cw_envoy *e) {
    const struct cw_proxy *x = &e->proxy;
    int64_t stop = atomic_load_explicit(&x->job->stop_at, memory_order_relaxed);
    bool voided = atomic_load(&x->job->voided);
    if ((stop >= e->told_stop || stop >= x->hi - 1) && !(voided && !e->told_drop))
        return false;
    struct cw_letter letter = letter_of(h, post, e, CW_W_STOP);
    letter.slot = x->job->slot;
    letter.generation = x->job->generation;
    letter.lo = e->told_stop = stop;
    letter.code = voided ? CREW_ECANCELLED : 0;
    e->told_drop = voided;
    return cw_agent_say(cw_homes.agent, post->node, &letter);
}

static bool tell_changes(struct cw_home *h, struct cw_outpost *post, struct cw_envoy *e) {
    switch (e->proxy.holds) {
    case CW_PROXY_TASK:
        return tell_of_task(h, post, e);
    case CW_PROXY_RANGE:
        return tell_of_range(h, post, e);
    default:
        return false;
    }
}

static bool tell_quit(struct cw_home *h) {
    static const crew_error none;
    uint32_t quit = atomic_load(&h->pool->team->quit);
    if (quit <= h->told_quit) /* who drains may be told to end after all */
        return false;
    h->told_quit = quit;
    for (int k = 0; k < h->count; k++)
        if (h->posts[k].state == CW_POST_NEW)
            cw_home_gone(h, &h->posts[k], &none); /* it never heard of it */
        else if (h->posts[k].state != CW_POST_GONE)
            cw_agent_say(cw_homes.agent, h->posts[k].node,
                         &(struct cw_letter){
                             .word = CW_W_CLOSE, .pool = h->id, .code = (int32_t)quit});
    return true;
}

static void sooner(int64_t *nap_ns, int64_t ns) {
    *nap_ns = ns < *nap_ns ? ns : *nap_ns;
}

/* A quarter of the time until a node has done all that it has, as far as is known, or since
 * it should have. */
static void await_ranges(const struct cw_home *h, const struct cw_accounts *l, int64_t now,
                         int64_t *nap_ns) {
    for (int k = 1; k <= h->count; k++) {
        const struct cw_fleet_node *node = &l->nodes[k];
        if (node->items == 0)
            continue;
        double left = node->speed > 0 ? (double)node->items / node->speed : 4.0 * CW_NAP_WAITING_NS;
        left = fabs(left - (double)(now - node->since));
        sooner(nap_ns, left < 4.0 * NAP_RANGES_NS ? (int64_t)left / 4 : NAP_RANGES_NS);
    }
}

static void await(const struct cw_home *h, int64_t *nap_ns) {
    int64_t now = 0;
    for (int slot = 0; slot < CW_JOB_SLOTS; slot++)
        if (h->accounts[slot].out > 0) {
            now = now ? now : cw_now_ns();
            await_ranges(h, &h->accounts[slot], now, nap_ns);
        }
}

static bool work_for(struct cw_home *h, int64_t *nap_ns) {
    bool any = tell_quit(h);
    for (int k = 0; k < h->count; k++) {
        struct cw_outpost *post = &h->posts[k];
        if (post->state == CW_POST_GONE)
            continue;
        if (post->state == CW_POST_NEW && !h->told_quit) {
            post->state = CW_POST_ASKED;
            send_opening(h, post);
            any = true;
        }
        bool soon = h->told_quit || post->state == CW_POST_ASKED || post->counted != h->asked ||
                    post->busy_tasks > 0 || post->envoys[0].proxy.holds != CW_PROXY_IDLE;
        if (soon)
            sooner(nap_ns, CW_NAP_WAITING_NS);
        if (post->state == CW_POST_OPEN && post->asked != h->asked) {
            const struct cw_letter letter = {.word = CW_W_COUNT, .pool = h->id, .turn = h->asked};
            post->asked = h->asked;
            any = cw_agent_say(cw_homes.agent, post->node, &letter) || any;
        }
        for (int i = 0; i < post->count; i++)
            any = tell_changes(h, post, &post->envoys[i]) || any;
        bool gangs = false;
        if (post->state == CW_POST_OPEN)
            any = cw_home_tell_gangs(h, post, &gangs) || any;
        if (gangs)
            sooner(nap_ns, CW_NAP_WAITING_NS);
        if (post->state == CW_POST_OPEN && !h->told_quit)
            any = claim(h, k) || any;
    }
    any = cw_home_split(h) || any;
    await(h, nap_ns);
    return any;
}

static void say_to_all(enum cw_word word, bool *wanted) {
    if (!*wanted)
        return;
    for (int node = 1; node < cw_homes.agent->place.nodes; node++)
        cw_agent_say(cw_homes.agent, node,
                     &(struct cw_letter){.word = word, .code = cw_homes.less});
    *wanted = false;
    pthread_cond_broadcast(&cw_homes.changed);
}

bool cw_home_work(void *ctx, int64_t *nap_ns) {
    bool any = cw_process_home_work(), waits = false;
    any = cw_remote_work(&waits) || any;
    (void)ctx;
    any = cw_array_agent_work(&waits) || any;
    if (waits)
        sooner(nap_ns, CW_NAP_WAITING_NS);
    pthread_mutex_lock(&cw_homes.lock);
    for (struct cw_home *h = cw_homes.homes; h; h = h->next)
        any = work_for(h, nap_ns) || any;
    cw_places_work();
    say_to_all(CW_W_MUSTER, &cw_homes.muster);
    say_to_all(CW_W_BYE, &cw_homes.goodbye);
    pthread_mutex_unlock(&cw_homes.lock);
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
    pthread_mutex_lock(&cw_homes.lock);
    for (struct cw_home *h = cw_homes.homes; h; h = h->next)
        set_asleep(h, asleep);
    pthread_mutex_unlock(&cw_homes.lock);
}

bool cw_home_lie_down(void *ctx) {
    int64_t nap_ns = 0;
    all_asleep(true);
    /* Pairs with the fence in cw_team_wake: what came before is seen now. */
    atomic_thread_fence(memory_order_seq_cst);
    return !cw_home_work(ctx, &nap_ns);
}

void cw_home_get_up(void *ctx) {
    (void)ctx;
    all_asleep(false);
}

