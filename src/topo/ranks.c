/* Shares of the ranks of one machine. */
#include "topo/ranks.h"

#include "base/error.h"
#include "topo/cores.h"

#include <crew/pool.h>
#include <stdlib.h>
#include <string.h>

void cw_spread(int whole, int n, const int *weights, int *parts) {
    int64_t sum = 0, left = whole;
    for (int i = 0; i < n; i++)
        sum += weights ? weights[i] : 1;
    if (sum == 0) {
        weights = NULL;
        sum = n;
    }
    for (int i = 0; i < n; i++) {
        parts[i] = (int)((int64_t)whole * (weights ? weights[i] : 1) / sum);
        left -= parts[i];
    }
    /* What is left is less than n: to those with the most after the point, each once. */
    for (int64_t least = -1; left > 0;) {
        int64_t most = -1;
        for (int i = 0; i < n; i++) {
            int64_t rest = (int64_t)whole * (weights ? weights[i] : 1) % sum;
            if ((least < 0 || rest < least) && rest > most)
                most = rest;
        }
        for (int i = 0; i < n && left > 0; i++)
            if ((int64_t)whole * (weights ? weights[i] : 1) % sum == most) {
                parts[i]++;
                left--;
            }
        least = most;
    }
}

/* ---- whose cores --------------------------------------------------------- */

/* What of a core the same ranks may use: all of it, as a rule. */
struct piece {
    int first_pu;   /* stands for all: who may use it may use the others */
    cw_cpuset cpus;
    int owners;     /* ranks that may use it */
    int owner;
};

struct division {
    const cw_cpuset *masks;
    int ranks, pieces;
    struct piece *piece;
    int *load; /* pieces of each rank */
};

static bool may_use(const struct division *d, int rank, const struct piece *p) {
    return cw_cpuset_has(&d->masks[rank], p->first_pu);
}

static bool same_ranks(const struct division *d, int pu, int other) {
    for (int r = 0; r < d->ranks; r++)
        if (cw_cpuset_has(&d->masks[r], pu) != cw_cpuset_has(&d->masks[r], other))
            return false;
    return true;
}

static void cut_core(struct division *d, const struct cw_cores *list, const struct cw_core *core) {
    int begin = d->pieces;
    for (int i = core->pu; i < core->pu + core->pus; i++) {
        int pu = list->pus[i], at = begin;
        while (at < d->pieces && !same_ranks(d, pu, d->piece[at].first_pu))
            at++;
        if (at == d->pieces)
            d->piece[d->pieces++] = (struct piece){.first_pu = pu, .owner = -1};
        cw_cpuset_add(&d->piece[at].cpus, pu);
    }
    for (int at = begin; at < d->pieces; at++)
        for (int r = 0; r < d->ranks; r++)
            d->piece[at].owners += may_use(d, r, &d->piece[at]);
}

/* The rank that may have it and has the least. */
static int neediest(const struct division *d, const struct piece *p) {
    int best = -1;
    for (int r = 0; r < d->ranks; r++)
        if (may_use(d, r, p) && (best < 0 || d->load[r] < d->load[best]))
            best = r;
    return best;
}

/* Whoever has the least choice first, each piece to whom it helps most; then they are
 * moved while that evens things out. */
static void share_out(struct division *d) {
    for (int owners = 1, given = 0; owners <= d->ranks && given < d->pieces; owners++)
        for (int i = 0; i < d->pieces; i++) {
            struct piece *p = &d->piece[i];
            if (p->owners != owners)
                continue;
            p->owner = neediest(d, p);
            d->load[p->owner]++;
            given++;
        }
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < d->pieces; i++) {
            struct piece *p = &d->piece[i];
            int to = neediest(d, p);
            if (d->load[to] + 1 >= d->load[p->owner])
                continue;
            d->load[p->owner]--;
            d->load[to]++;
            p->owner = to;
            moved = true;
        }
    }
}

/* Pieces that the same ranks may use are alike: their owners are put in order, so that
 * each gets neighbours. */
static void bring_together(struct division *d) {
    for (int i = 0; i < d->pieces; i++) {
        int lowest = i;
        for (int j = i + 1; j < d->pieces; j++)
            if (d->piece[j].owner < d->piece[lowest].owner &&
                d->piece[j].owners == d->piece[i].owners &&
                same_ranks(d, d->piece[i].first_pu, d->piece[j].first_pu))
                lowest = j;
        int owner = d->piece[lowest].owner;
        d->piece[lowest].owner = d->piece[i].owner;
        d->piece[i].owner = owner;
    }
}

/* One for which there was none: where the fewest are. load counts users here. */
static void squeeze_in(struct division *d, cw_cpuset *shares) {
    int *users = d->load;
    memset(users, 0, (size_t)d->pieces * sizeof *users);
    for (int i = 0; i < d->pieces; i++)
        users[i] = 1;
    for (int r = 0; r < d->ranks; r++) {
        int best = -1;
        if (cw_cpuset_count(&shares[r]) > 0)
            continue;
        for (int i = 0; i < d->pieces; i++)
            if (may_use(d, r, &d->piece[i]) && (best < 0 || users[i] < users[best]))
                best = i;
        if (best < 0)
            continue; /* its mask names no processor of this machine */
        users[best]++;
        shares[r] = d->piece[best].cpus;
    }
}

static void add_all(cw_cpuset *to, const cw_cpuset *from) {
    for (size_t i = 0; i < sizeof to->bits / sizeof to->bits[0]; i++)
        to->bits[i] |= from->bits[i];
}

static int no_memory(crew_error *err) {
    return cw_error_set(err, CREW_ENOMEM, 0, "no memory for the shares of ranks");
}

int cw_rank_shares(cw_topo *t, const cw_cpuset *masks, int ranks, cw_cpuset *shares,
                   crew_error *err) {
    cw_cpuset all = {0};
    struct cw_cores list;
    for (int r = 0; r < ranks; r++)
        add_all(&all, &masks[r]);
    int code = cw_cores_list(t, &all, &list, err);
    if (code < 0)
        return code;
    size_t room = (size_t)(list.npus + ranks + 1);
    struct division d = {.masks = masks,
                         .ranks = ranks,
                         .piece = calloc(room, sizeof *d.piece),
                         .load = calloc(room, sizeof *d.load)};
    if (d.piece && d.load) {
        for (int i = 0; i < list.ncores; i++)
            cut_core(&d, &list, &list.cores[i]);
        share_out(&d);
        bring_together(&d);
        memset(shares, 0, (size_t)ranks * sizeof *shares);
        for (int i = 0; i < d.pieces; i++)
            add_all(&shares[d.piece[i].owner], &d.piece[i].cpus);
        squeeze_in(&d, shares);
    } else {
        code = no_memory(err);
    }
    free(d.piece);
    free(d.load);
    cw_cores_free(&list);
    return code;
}

/* ---- workers ------------------------------------------------------------- */

static int check(const struct cw_ranks_request *r, crew_error *err) {
    return r->ranks >= 1 ? 0
                         : cw_error_set(err, CREW_EINVAL, 0, "no shares for %d ranks", r->ranks);
}

int cw_rank_workers(cw_topo *t, const struct cw_ranks_request *r, int *workers, crew_error *err) {
    int code = check(r, err);
    size_t n = code == 0 ? (size_t)r->ranks : 0;
    cw_cpuset *shares = calloc(n + 1, sizeof *shares);
    int *due = calloc(n + 1, sizeof *due);
    int64_t sum = 0;
    if (code == 0 && (!shares || !due))
        code = no_memory(err);
    if (code == 0)
        code = cw_rank_shares(t, r->masks, r->ranks, shares, err);
    for (int i = 0; code == 0 && i < r->ranks; i++) {
        int units = r->bind == CREW_BIND_PU ? cw_cpuset_count(&shares[i])
                                            : cw_topo_cores(t, &shares[i]);
        due[i] = r->threads_per_worker > 0 ? units / r->threads_per_worker : units;
        due[i] = due[i] > 0 ? due[i] : 1;
        sum += due[i];
    }
    if (code == 0) {
        cw_spread((int)(r->quota > 0 && r->quota < sum ? r->quota : sum), r->ranks, due, workers);
        for (int i = 0; i < r->ranks; i++)
            workers[i] = workers[i] > 0 ? workers[i] : 1;
    }
    free(shares);
    free(due);
    return code;
}

/* The object of a level that a place lies in, as far as the mask goes. A place of
 * bindings to objects lies in one. */
static int widen(cw_topo *t, const cw_cpuset *mask, int level, cw_cpuset *cpus, crew_error *err) {
    struct cw_cores list;
    int code = cw_cores_list(t, mask, &list, err), id = -1;
    if (code < 0)
        return code;
    for (int i = 0; i < list.ncores && id < 0; i++)
        for (int j = list.cores[i].pu; j < list.cores[i].pu + list.cores[i].pus; j++)
            if (cw_cpuset_has(cpus, list.pus[j]))
                id = list.cores[i].id[level];
    for (int i = 0; i < list.ncores; i++)
        for (int j = list.cores[i].pu; j < list.cores[i].pu + list.cores[i].pus; j++)
            if (list.cores[i].id[level] == id)
                cw_cpuset_add(cpus, list.pus[j]);
    cw_cores_free(&list);
    return 0;
}

static int level_of(int bind) {
    return bind == CREW_BIND_L3       ? CW_LEVEL_L3
           : bind == CREW_BIND_NUMA   ? CW_LEVEL_NUMA
           : bind == CREW_BIND_SOCKET ? CW_LEVEL_SOCKET
                                      : -1;
}

static int place_one(cw_topo *t, const struct cw_ranks_request *r, int rank,
                     const cw_cpuset *share, int workers, int quota, struct cw_place *places,
                     crew_error *err) {
    const struct cw_place_request request = {.workers = workers,
                                             .threads_per_worker = r->threads_per_worker,
                                             .bind = r->bind,
                                             .order = r->order,
                                             .quota = quota,
                                             .mask = share};
    int level = level_of(r->bind), code = cw_place_workers(t, &request, places, err);
    for (int i = 0; code == 0 && level >= 0 && i < workers; i++)
        code = widen(t, &r->masks[rank], level, &places[i].cpus, err);
    return code;
}

int cw_place_ranks(cw_topo *t, const struct cw_ranks_request *r, const int *workers,
                   struct cw_place *places, crew_error *err) {
    int code = check(r, err);
    size_t n = code == 0 ? (size_t)r->ranks : 0;
    cw_cpuset *shares = calloc(n + 1, sizeof *shares);
    int *quotas = calloc(n + 1, sizeof *quotas);
    if (code == 0 && (!shares || !quotas))
        code = no_memory(err);
    if (code == 0)
        code = cw_rank_shares(t, r->masks, r->ranks, shares, err);
    if (code == 0)
        cw_spread(r->quota, r->ranks, workers, quotas);
    for (int i = 0; code == 0 && i < r->ranks; i++) {
        int quota = r->quota == 0 ? 0 : quotas[i] > 0 ? quotas[i] : 1;
        if (workers[i] > 0)
            code = place_one(t, r, i, &shares[i], workers[i], quota, places, err);
        for (int k = 0; k < workers[i]; k++)
            places[k].rank = i;
        places += workers[i];
    }
    free(shares);
    free(quotas);
    return code;
}
