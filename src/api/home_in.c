/* What other nodes answer, stored as members store it; and that they are lost. */
#include "api/array_agent.h"
#include "api/home_impl.h"
#include "api/launch.h"
#include "api/remote.h"
#include "api/stop.h"

#include "api/places.h"
#include "api/process_impl.h"
#include "base/error.h"
#include "os/clock.h"
#include "sched/ledger.h"

#include <signal.h>
#include <string.h>

/* A journey of a letter is never taken to be longer. */
static const double TRIP_MOST_NS = 10e6;

/* ---- what comes back ---- */

/* Items [lo, hi) of a proxy's range, about which a letter tells. marks NULL: all are done;
 * 0 in them: nothing is told of that item. */
struct part {
    int64_t lo, hi;
    const unsigned char *marks;
};

/* False: the letter is shorter than it says, or there is no way to the results. */
static bool store_results(struct cw_home *h, const struct cw_job *job, const struct part *of,
                          struct cw_reader *r) {
    int64_t n = of->hi - of->lo;
    char *out = cw_job_memory(cw_home_maps(h), job, 1);
    if (!out)
        return false;
    for (int64_t i = 0; i < n;) {
        int64_t end = of->marks ? cw_marks_run(of->marks, i, n, CW_MARK_DONE) : n;
        size_t size = (size_t)(end - i) * job->out_size;
        const void *from = cw_read(r, size);
        if (!from)
            return false;
        if (size)
            memcpy(out + (size_t)(of->lo + i) * job->out_size, from, size);
        i = end + 1;
    }
    return true;
}

static bool store_answers(struct cw_home *h, const struct cw_job *job, const struct part *of,
                          int64_t done, struct cw_reader *r) {
    cw_arena *a = &cw_home_maps(h)->arena;
    struct cw_answer *answers = cw_ptr(a, job->answers);
    const char *sizes = cw_read(r, (size_t)done * sizeof(uint64_t));
    for (int64_t i = of->lo; sizes && i < of->hi; i++) {
        uint64_t size;
        if (of->marks && of->marks[i - of->lo] != CW_MARK_DONE)
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
            cw_job_fail(cw_home_maps(h), x->job, &f);
    }
    return true;
}

static void store_marks(struct cw_home *h, struct cw_job *job, const struct part *of) {
    unsigned char *to = (unsigned char *)cw_ptr(&cw_home_maps(h)->arena, job->marks) + (of->lo - job->base);
    int64_t n = of->hi - of->lo;
    /* Pairs with the acquire of the manager's look at the marks: the results. */
    atomic_thread_fence(memory_order_release);
    for (int64_t i = 0; i < n;) {
        int64_t end = of->marks ? cw_marks_run(of->marks, i, n, CW_MARK_DONE) : n;
        memset(to + i, CW_MARK_DONE, (size_t)(end - i));
        for (i = end; i < n && of->marks[i] != CW_MARK_DONE; i++) {
            if (of->marks[i] > CW_MARK_DONE && job->on_error == CREW_STOP)
                cw_job_stop_above(job, of->lo + i);
            if (of->marks[i])
                to[i] = of->marks[i];
        }
    }
}

/* Of [letter.lo, letter.hi). */
static bool store_part(struct cw_home *h, const struct cw_proxy *x, const struct cw_letter *letter,
                       struct cw_tally *tally, struct cw_reader *r) {
    struct cw_job *job = x->job;
    struct part of = {.lo = letter->lo, .hi = letter->hi};
    if (of.lo < x->lo || of.hi < of.lo || of.hi > x->hi || !cw_read_into(r, tally, sizeof *tally) ||
        (tally->done < of.hi - of.lo && !(of.marks = cw_read(r, (size_t)(of.hi - of.lo)))))
        return false;
    if (job->kind == CW_JOB_BYTES ? !store_answers(h, job, &of, tally->done, r)
                                  : job->out_size && !store_results(h, job, &of, r))
        return false;
    if (!store_failures(h, x, tally->failures, r))
        return false;
    store_marks(h, job, &of);
    return true;
}

/* NULL: it is not in any account. */
static struct cw_accounts *accounts_of(struct cw_home *h, const struct cw_proxy *x) {
    struct cw_accounts *l = &h->accounts[x->slot];
    return x->job->kind != CW_JOB_EACH && l->generation == x->job->generation ? l : NULL;
}

/* What of the time since it was sent a range has not been there: both agents' sleep is in
 * it, and their wait for a core. One that was late for once is no reason to wait for long. */
static void note_trip(struct cw_fleet_node *node, double ns) {
    ns = ns < CW_TRIP_NS ? CW_TRIP_NS : ns > TRIP_MOST_NS ? TRIP_MOST_NS : ns;
    node->trip_ns += (ns - node->trip_ns) / 8;
}

/* Some of a range is done, or all of it is over. */
static void range_news(struct cw_home *h, struct cw_outpost *post, struct cw_envoy *e,
                       const struct cw_letter *letter, struct cw_reader *r) {
    struct cw_proxy *x = &e->proxy;
    struct cw_tally tally;
    struct cw_accounts *l = accounts_of(h, x);
    struct cw_fleet_node *node = l ? &l->nodes[post - h->posts + 1] : NULL;
    bool over = letter->word == CW_W_RANGE_OVER;
    if (!store_part(h, x, letter, &tally, r)) {
        crew_error err;
        cw_error_set(&err, CREW_EBROKEN, 0, "node %s answered with less than it said, or there was "
                     "no memory for its results", cw_home_host(h->pool, post->node));
        cw_home_gone(h, post, &err);
        return;
    }
    if (!over) {
        e->told += tally.done;
        h->parts++;
        if (l)
            cw_lease_done(&l->sums, node, tally.done, 0, cw_now_ns());
        return;
    }
    if (l) {
        int64_t now = cw_now_ns();
        note_trip(node, (double)(now - e->sent_ns - tally.ns));
        cw_lease_done(&l->sums, node, x->hi - x->lo - e->told, 1, now);
    }
    cw_home_range_in(h, post, e);
    if (tally.failures)
        atomic_fetch_add(&x->member.line->failures, tally.failures);
    cw_proxy_range_over(x, tally.calls);
}

/* What the tasks took that came back of late. */
static void note_task(struct cw_outpost *post, double ns) {
    post->task_ns = post->task_ns > 0 ? post->task_ns * 0.875 + ns * 0.125 : ns;
}

/* It waits here from now on, unless it was cancelled meanwhile. */
static void task_back(struct cw_home *h, struct cw_outpost *post, struct cw_envoy *e) {
    const struct cw_task *task = cw_task_at(cw_home_maps(h), h->pool->team, e->proxy.number);
    post->busy_tasks--;
    if (e->recall == CW_RECALL_WANTED || (atomic_load(&task->state) & CW_TASK_KILL)) {
        cw_proxy_task_cancelled(&e->proxy);
        pthread_cond_broadcast(&cw_homes.changed);
        return;
    }
    post->task_ns = 0;
    cw_proxy_task_back(&e->proxy);
}

static void task_kept(struct cw_envoy *e) {
    e->recall = CW_RECALL_REFUSED;
    pthread_cond_broadcast(&cw_homes.changed);
}

static void task_over(struct cw_home *h, struct cw_outpost *post, struct cw_envoy *e,
                      const struct cw_letter *letter, struct cw_reader *r) {
    bool ended = letter->code == CREW_ECANCELLED && atomic_load(&h->pool->team->stopping);
    int code = ended ? CREW_ESTOPPED : letter->code;
    struct cw_maps *maps = cw_home_maps(h);
    struct cw_task *task = cw_task_at(maps, h->pool->team, e->proxy.number);
    struct cw_failure f = {.code = code, .index = task->index, .worker = -1};
    note_task(post, (double)letter->lo / post->workers);
    post->busy_tasks--;
    if (code) {
        cw_read_into(r, &f, sizeof f);
        f.code = code;
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
    if (e->recall == CW_RECALL_WANTED)
        pthread_cond_broadcast(&cw_homes.changed);
}

/* ---- nodes come and go ---- */

static void ring(crew_pool *p) {
    cw_team_ring(&p->maps, p->team);
}

static struct cw_seat *seat_of(struct cw_home *h, const struct cw_envoy *e) {
    return cw_team_seat(cw_home_maps(h), h->pool->team, e->proxy.member.rank);
}

static void opened(struct cw_home *h, struct cw_outpost *post, int code, struct cw_reader *r) {
    crew_error err = {.code = code};
    cw_read_into(r, &err, sizeof err);
    if (code) {
        cw_home_gone(h, post, &err);
        return;
    }
    for (int i = 0; i < post->workers; i++)
        cw_read_into(r, &h->places[post->first + i], sizeof *h->places);
    for (int i = 0; i < post->workers && h->pool->team->musters; i++)
        cw_read_into(r, &cw_team_muster(cw_home_maps(h), h->pool->team, post->first + i)->world,
                     sizeof(int32_t));
    for (int i = 0; i < post->count; i++)
        atomic_store_explicit(&seat_of(h, &post->envoys[i])->state, CW_SEAT_ALIVE,
                              memory_order_release);
    post->state = CW_POST_OPEN;
    for (int slot = 0; slot < CW_JOB_SLOTS; slot++) {
        struct cw_accounts *l = &h->accounts[slot];
        if (l->generation) /* a map that has begun without it */
            cw_fleet_node_ready(&l->sums, &l->nodes[post - h->posts + 1], false, post->workers,
                                CW_TRIP_NS, cw_now_ns());
    }
    ring(h->pool);
}

/* Its members' seats end: the service thread sees to what they held. */
void cw_home_gone(struct cw_home *h, struct cw_outpost *post, const crew_error *why) {
    if (post->state == CW_POST_GONE)
        return;
    post->error = *why;
    post->state = CW_POST_GONE;
    if (why->code) /* if it is still there it may end its part, too */
        cw_agent_say(cw_homes.agent, post->node,
                     &(struct cw_letter){.word = CW_W_CLOSE, .pool = h->id, .code = CW_TERMINATE});
    for (int i = 1; i < post->count; i++)
        if (post->envoys[i].proxy.holds == CW_PROXY_RANGE)
            cw_home_range_in(h, post, &post->envoys[i]);
    cw_home_gangs_gone(h, post);
    for (int i = 0; i < post->count; i++) {
        struct cw_seat *seat = seat_of(h, &post->envoys[i]);
        atomic_store_explicit(&seat->status, why->code ? SIGKILL : 0, memory_order_relaxed);
        atomic_store_explicit(&seat->state, CW_SEAT_ENDED, memory_order_release);
    }
    for (int slot = 0; slot < CW_JOB_SLOTS; slot++) {
        struct cw_accounts *l = &h->accounts[slot];
        if (l->generation)
            cw_fleet_node_lost(&l->sums, &l->nodes[post - h->posts + 1]);
    }
    ring(h->pool);
    pthread_cond_broadcast(&cw_homes.changed);
}

void cw_home_lost(void *ctx, int node) {
    crew_error err;
    (void)ctx;
    cw_launch_lost(node);
    cw_error_set(&err, CREW_EBROKEN, 0, "node %s was lost", cw_homes.agent->nodes[node].host);
    cw_process_home_lost(node);
    cw_remote_lost(node);
    cw_array_agent_lost(node);
    for (int other = 1; other < cw_homes.agent->place.nodes; other++)
        cw_agent_say(cw_homes.agent, other, &(struct cw_letter){.word = CW_W_LOST, .lo = node});
    pthread_mutex_lock(&cw_homes.lock);
    for (struct cw_home *h = cw_homes.homes; h; h = h->next)
        for (int k = 0; k < h->count; k++)
            if (h->posts[k].node == node)
                cw_home_gone(h, &h->posts[k], &err);
    pthread_cond_broadcast(&cw_homes.changed);
    pthread_mutex_unlock(&cw_homes.lock);
}

static void counted(struct cw_home *h, struct cw_outpost *post, const struct cw_letter *letter,
                    struct cw_reader *r) {
    for (int i = 0; i < post->workers; i++)
        cw_read_into(r, &h->counts[post->first + i], sizeof *h->counts);
    if (letter->turn) /* else nobody has asked: the pool is closing there */
        post->counted = letter->turn;
    pthread_cond_broadcast(&cw_homes.changed);
}

static void about_a_pool(struct cw_home *h, struct cw_outpost *post, const struct cw_letter *letter,
                         struct cw_reader *r) {
    crew_error err = {0};
    struct cw_envoy *e = letter->proxy < (uint32_t)post->count ? &post->envoys[letter->proxy] : NULL;
    bool current = e && e->turn == letter->turn;
    switch (letter->word) {
    case CW_W_OPENED:
        opened(h, post, letter->code, r);
        break;
    case CW_W_RANGE_PART:
    case CW_W_RANGE_OVER:
        if (current && e->proxy.holds == CW_PROXY_RANGE)
            range_news(h, post, e, letter, r);
        break;
    case CW_W_RANGE_CUT:
        if (current && e->proxy.holds == CW_PROXY_RANGE)
            cw_home_cut(h, post, e, letter->lo);
        break;
    case CW_W_TASK_OVER:
        if (current && e->proxy.holds == CW_PROXY_TASK)
            task_over(h, post, e, letter, r);
        break;
    case CW_W_TASK_BACK:
        if (current && e->proxy.holds == CW_PROXY_TASK)
            task_back(h, post, e);
        break;
    case CW_W_TASK_KEPT:
        if (current && e->proxy.holds == CW_PROXY_TASK)
            task_kept(e);
        break;
    case CW_W_GANG_HERE:
    case CW_W_GANG_OVER:
        cw_home_gang(h, post, letter, r);
        break;
    case CW_W_COUNTED:
        counted(h, post, letter, r);
        break;
    case CW_W_BROKEN:
        cw_read_into(r, &err, sizeof err);
        cw_home_gone(h, post, &err);
        break;
    case CW_W_CLOSED:
        cw_home_gone(h, post, &err);
        break;
    default:
        break;
    }
}

static void hello_with_trouble(int node, struct cw_reader *r) {
    const struct cw_agent_node *n = &cw_homes.agent->nodes[node];
    crew_error why = {.code = CREW_EBROKEN};
    cw_read_into(r, &why, sizeof why);
    cw_error_set(&cw_homes.trouble, why.code, 0, "node %.60s (rank %d): %.170s", n->host,
                 cw_agent_told_rank(cw_homes.agent, n->leader), why.text);
}

void cw_home_letter(void *ctx, int node, const struct cw_letter *letter, struct cw_reader rest) {
    (void)ctx;
    if (letter->word == CW_W_STARTED || letter->word == CW_W_TAKEN || letter->word == CW_W_ENDED) {
        cw_process_home_letter(node, letter, &rest);
        return;
    }
    if (cw_remote_letter(node, letter, &rest) || cw_array_agent_letter(node, letter, rest))
        return;
    pthread_mutex_lock(&cw_homes.lock);
    if (letter->word == CW_W_HELLO) {
        const bool bare = letter->lo < 0 && !letter->code; /* it had said how many before */
        cw_homes.due[node] = letter->lo > 0 ? (int)letter->lo : bare ? 0 : 1;
        if (letter->code && !cw_homes.trouble.code)
            hello_with_trouble(node, &rest);
        pthread_cond_broadcast(&cw_homes.changed);
    }
    if (letter->word == CW_W_PLANNED) {
        cw_places_planned(node, letter, &rest);
        pthread_cond_broadcast(&cw_homes.changed);
    }
    if (letter->word == CW_W_MUSTERED) {
        cw_homes.mustered++;
        cw_homes.less = cw_homes.less || letter->code;
        pthread_cond_broadcast(&cw_homes.changed);
    }
    if (letter->word == CW_W_STOPPED)
        cw_stop_told(letter->code);
    for (struct cw_home *h = cw_homes.homes; h; h = h->next)
        for (int k = 0; h->id == letter->pool && k < h->count; k++)
            if (h->posts[k].node == node && h->posts[k].state != CW_POST_GONE)
                about_a_pool(h, &h->posts[k], letter, &rest);
    pthread_mutex_unlock(&cw_homes.lock);
}

