/* Nodes give back what they have not begun, when nothing is left and workers are idle. */
#include "api/home_impl.h"

/* What comes back is offered in so many parts, each of which one worker or node takes. */
enum { PARTS = 16 };

static struct cw_fleet_node *node_of(struct cw_home *h, struct cw_accounts *l,
                                     const struct cw_outpost *post) {
    return &l->nodes[post - h->posts + 1];
}

void cw_home_range_out(struct cw_accounts *l, struct cw_envoy *e) {
    l->job = e->proxy.job;
    l->out++;
    e->told = 0;
    e->serial = ++l->serial;
    e->asked = e->bare = false;
}

static bool is_out(const struct cw_accounts *l, const struct cw_envoy *e) {
    return e->proxy.holds == CW_PROXY_RANGE && e->proxy.job == l->job;
}

/* All its ranges have given what they could. */
static bool all_bare(const struct cw_accounts *l, const struct cw_outpost *post) {
    for (int i = 1; i < post->count; i++)
        if (is_out(l, &post->envoys[i]) && !post->envoys[i].bare)
            return false;
    return true;
}

static void answered(struct cw_home *h, struct cw_accounts *l, struct cw_outpost *post,
                     struct cw_envoy *e, int64_t items) {
    e->asked = false;
    l->asks--;
    cw_lease_returned(&l->sums, node_of(h, l, post), items, 0, all_bare(l, post));
}

void cw_home_range_in(struct cw_home *h, struct cw_outpost *post, struct cw_envoy *e) {
    struct cw_accounts *l = &h->accounts[e->proxy.slot];
    if (l->out == 0 || l->generation != e->proxy.job->generation || !is_out(l, e))
        return;
    l->out--;
    e->bare = true; /* it has nothing to give any more */
    if (e->asked)
        answered(h, l, post, e, 0);
}

void cw_home_cut(struct cw_home *h, struct cw_outpost *post, struct cw_envoy *e, int64_t lo) {
    struct cw_proxy *x = &e->proxy;
    struct cw_accounts *l = &h->accounts[x->slot];
    if (!e->asked || lo < e->asked_lo || lo > x->hi)
        return;
    int64_t items = x->hi - lo;
    e->bare = lo > e->asked_lo;
    answered(h, l, post, e, items);
    h->returned += items;
    cw_proxy_give_back(x, lo, PARTS);
}

/* ---- asking ---- */

static int sleepers(const crew_pool *p) {
    int n = 0;
    for (int rank = 0; rank < p->natives; rank++)
        n += atomic_load_explicit(&p->team->asleep[rank / 64], memory_order_relaxed) >> (rank % 64) & 1;
    return n;
}

/* How many ranges could be put there to be claimed again; 0: some are still. */
static int room_for_ranges(const struct cw_job *job) {
    int room = 0;
    for (int i = 0; i < CW_REDO_SLOTS; i++) {
        uint32_t state = atomic_load_explicit(&job->redo[i].state, memory_order_relaxed);
        if (state == 1)
            return 0;
        room += state == 0;
    }
    return room;
}

static bool nothing_left(const struct cw_job *job) {
    int64_t at = atomic_load_explicit(&job->cursor, memory_order_relaxed);
    return at >= job->end || at > atomic_load_explicit(&job->stop_at, memory_order_relaxed);
}

static void ask(struct cw_home *h, struct cw_accounts *l, const struct cw_lease_split *split) {
    struct cw_outpost *post = &h->posts[split->node - 1];
    struct cw_envoy *newest = NULL;
    for (int i = 1; i < post->count; i++) {
        struct cw_envoy *e = &post->envoys[i];
        if (is_out(l, e) && !e->asked && !e->bare && (!newest || e->serial > newest->serial))
            newest = e;
    }
    if (!newest) {
        cw_lease_returned(&l->sums, &l->nodes[split->node], 0, 0, true);
        return;
    }
    struct cw_proxy *x = &newest->proxy;
    int64_t has = x->hi - x->lo - newest->told;
    newest->asked = true;
    newest->asked_lo = x->hi - (split->items < has ? split->items : has);
    l->asks++;
    cw_agent_say(cw_homes.agent, post->node,
                 &(struct cw_letter){.word = CW_W_CUT,
                                     .pool = h->id,
                                     .proxy = (uint32_t)(newest - post->envoys),
                                     .turn = newest->turn,
                                     .slot = x->job->slot,
                                     .generation = x->job->generation,
                                     .lo = newest->asked_lo,
                                     .hi = x->hi});
}

static bool split(struct cw_home *h, struct cw_accounts *l) {
    struct cw_lease_split split;
    bool any = false;
    int idle = sleepers(h->pool);
    if (l->sums.idle + idle <= 0 || !nothing_left(l->job))
        return false;
    int room = room_for_ranges(l->job);
    while (room >= PARTS * (l->asks + 1) &&
           cw_lease_split(&l->sums, l->nodes, h->count + 1, idle, &split)) {
        ask(h, l, &split);
        any = true;
    }
    return any;
}

bool cw_home_split(struct cw_home *h) {
    bool any = false;
    for (int slot = 0; slot < CW_JOB_SLOTS; slot++) {
        struct cw_accounts *l = &h->accounts[slot];
        if (l->out > 0 && l->job->end - l->job->base > 1)
            any = split(h, l) || any;
    }
    return any;
}
