/* Gangs: who is reserved for which, and what happens next. See gang.h. */
#include "sched/gang.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum state { WAITS, GATHERS, RUNS, FAILED };

struct gang {
    struct gang *next; /* in the order in which they came */
    uint32_t id;
    enum state state;
    int size, missing; /* members that have not arrived, or not ended */
    int lost;          /* the member whose loss it has failed by; -1: none that is to be told */
    int members[];
};

struct member {
    int node;
    bool lost, arrived;
    bool dismissed, called; /* it is to be told so: cleared when that was given out */
    struct gang *gang;      /* that it is reserved for */
};

struct cw_gangs {
    int count, left, unreserved;
    int told; /* how many `called` and `dismissed` there are */
    struct gang *first, **last;
    int *of_node; /* scratch: free members, by node */
    int nodes;
    struct member member[];
};

struct cw_gangs *cw_gangs_make(int count, const int *nodes) {
    struct cw_gangs *g = calloc(1, sizeof *g + (size_t)count * sizeof g->member[0]);
    if (!g)
        return NULL;
    g->count = g->left = g->unreserved = count;
    g->nodes = count > 0 ? nodes[count - 1] + 1 : 1;
    g->last = &g->first;
    for (int i = 0; i < count; i++)
        g->member[i].node = nodes[i];
    if (!(g->of_node = calloc((size_t)g->nodes, sizeof *g->of_node))) {
        free(g);
        return NULL;
    }
    return g;
}

static void forget(struct cw_gangs *g, struct gang *gang) {
    struct gang **at = &g->first;
    while (*at != gang)
        at = &(*at)->next;
    *at = gang->next;
    if (!*at)
        g->last = at;
    free(gang);
}

void cw_gangs_free(struct cw_gangs *g) {
    while (g && g->first)
        forget(g, g->first);
    if (g)
        free(g->of_node);
    free(g);
}

int cw_gangs_left(const struct cw_gangs *g) {
    return g->left;
}

bool cw_gangs_none(const struct cw_gangs *g) {
    return !g->first && !g->told;
}

static struct gang *find(const struct cw_gangs *g, uint32_t id) {
    struct gang *gang = g->first;
    while (gang && gang->id != id)
        gang = gang->next;
    return gang;
}

const int *cw_gangs_members(const struct cw_gangs *g, uint32_t id, int *count) {
    const struct gang *gang = find(g, id);
    *count = gang && gang->state != WAITS ? gang->size : 0;
    return gang ? gang->members : NULL;
}

/* ---- who is told what ---- */

static void tell(struct cw_gangs *g, bool *what) {
    assert(!*what);
    *what = true;
    g->told++;
}

static bool take_back(struct cw_gangs *g, bool *what) {
    bool was = *what;
    *what = false;
    g->told -= was;
    return was;
}

static void release(struct cw_gangs *g, struct member *m) {
    m->gang = NULL;
    m->arrived = false;
    if (!m->lost)
        g->unreserved++;
}

/* Its members were called in vain. */
static void scatter(struct cw_gangs *g, struct gang *gang) {
    for (int i = 0; i < gang->size; i++) {
        struct member *m = &g->member[gang->members[i]];
        if (m->gang != gang)
            continue;
        release(g, m);
        if (m->lost)
            continue;
        if (!take_back(g, &m->called)) /* else it has not heard of it yet */
            tell(g, &m->dismissed);
    }
    gang->state = WAITS;
}

/* ---- choosing ---- */

static bool is_free(const struct member *m) {
    return !m->lost && !m->gang;
}

static void count_free(struct cw_gangs *g) {
    memset(g->of_node, 0, (size_t)g->nodes * sizeof *g->of_node);
    for (int i = 0; i < g->count; i++)
        g->of_node[g->member[i].node] += is_free(&g->member[i]);
}

/* The node with the fewest that are enough for `wanted`; if none has so many, the one
 * with the most. */
static int best_node(const struct cw_gangs *g, int wanted) {
    int best = 0;
    for (int n = 1; n < g->nodes; n++) {
        int here = g->of_node[n], there = g->of_node[best];
        bool enough = here >= wanted;
        if (there >= wanted ? enough && here < there : here > there)
            best = n;
    }
    return best;
}

static void reserve(struct cw_gangs *g, struct gang *gang, int node, int *have) {
    for (int i = 0; i < g->count && *have < gang->size; i++) {
        struct member *m = &g->member[i];
        if (m->node != node || !is_free(m))
            continue;
        m->gang = gang;
        g->unreserved--;
        gang->members[(*have)++] = i;
        tell(g, &m->called);
    }
    g->of_node[node] = 0;
}

static int by_number(const void *a, const void *b) {
    const int *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void gather(struct cw_gangs *g, struct gang *gang) {
    int have = 0;
    count_free(g);
    while (have < gang->size)
        reserve(g, gang, best_node(g, gang->size - have), &have);
    qsort(gang->members, (size_t)have, sizeof gang->members[0], by_number);
    gang->state = GATHERS;
    gang->missing = gang->size;
}

/* ---- events ---- */

bool cw_gangs_add(struct cw_gangs *g, uint32_t id, int size) {
    struct gang *gang = calloc(1, sizeof *gang + (size_t)size * sizeof gang->members[0]);
    if (!gang)
        return false;
    gang->id = id;
    gang->size = size;
    gang->lost = -1;
    *g->last = gang;
    g->last = &gang->next;
    return true;
}

bool cw_gangs_cancel(struct cw_gangs *g, uint32_t id) {
    struct gang *gang = find(g, id);
    if (!gang || gang->state > GATHERS)
        return false;
    if (gang->state == GATHERS)
        scatter(g, gang);
    forget(g, gang);
    return true;
}

void cw_gangs_arrived(struct cw_gangs *g, int member) {
    struct member *m = &g->member[member];
    if (!m->gang || m->gang->state != GATHERS || m->arrived)
        return;
    m->arrived = true;
    m->gang->missing--;
}

void cw_gangs_ended(struct cw_gangs *g, int member) {
    struct member *m = &g->member[member];
    if (!m->gang || m->gang->state < RUNS)
        return;
    m->gang->missing--;
    release(g, m);
}

void cw_gangs_lost(struct cw_gangs *g, int member) {
    struct member *m = &g->member[member];
    struct gang *gang = m->gang;
    if (m->lost)
        return;
    take_back(g, &m->called);
    take_back(g, &m->dismissed);
    m->lost = true;
    g->left--;
    if (!gang) {
        g->unreserved--;
        return;
    }
    if (gang->state == GATHERS) {
        scatter(g, gang);
        return;
    }
    gang->missing--;
    release(g, m);
    if (gang->state == RUNS) {
        gang->state = FAILED;
        gang->lost = member;
    }
}

/* ---- actions ---- */

static bool give(struct cw_gang_action *a, enum cw_gang_act what, int member, uint32_t id) {
    *a = (struct cw_gang_action){.what = what, .member = member, .id = id};
    return true;
}

/* Who is dismissed may have been chosen anew since: that it is called comes after. */
static bool next_telling(struct cw_gangs *g, struct cw_gang_action *a) {
    for (int i = 0; g->told && i < g->count; i++) {
        struct member *m = &g->member[i];
        if (take_back(g, &m->dismissed))
            return give(a, CW_GANG_DISMISS, i, 0);
        if (take_back(g, &m->called))
            return give(a, CW_GANG_CALL, i, m->gang->id);
    }
    return false;
}

static bool next_of(struct cw_gangs *g, struct gang *gang, struct cw_gang_action *a) {
    uint32_t id = gang->id;
    if (gang->state == FAILED && gang->lost >= 0) {
        int member = gang->lost;
        gang->lost = -1;
        return give(a, CW_GANG_FAIL, member, id);
    }
    if (gang->state == GATHERS && gang->missing == 0) {
        gang->state = RUNS;
        gang->missing = gang->size;
        return give(a, CW_GANG_START, -1, id);
    }
    if (gang->state >= RUNS && gang->missing == 0) {
        enum cw_gang_act what = gang->state == RUNS ? CW_GANG_OVER : CW_GANG_DRAINED;
        forget(g, gang);
        return give(a, what, -1, id);
    }
    if (gang->state == WAITS && gang->size > g->left) {
        forget(g, gang);
        return give(a, CW_GANG_TOO_FEW, -1, id);
    }
    return false;
}

bool cw_gangs_next(struct cw_gangs *g, struct cw_gang_action *a) {
    bool behind = false; /* one that came before still waits */
    for (struct gang *gang = g->first, *next; gang; gang = next) {
        next = gang->next;
        if (next_of(g, gang, a))
            return true;
        if (gang->state == WAITS && !behind && gang->size <= g->unreserved)
            gather(g, gang);
        behind = behind || gang->state == WAITS;
    }
    return next_telling(g, a);
}
