/* A broadcast: the source sends its copy to the next node in parts, straight from the
 * segment; each node passes on what has come, straight into and out of its own.
 *
 * Nobody waits for a node that was lost: whose forerunner it was passes on what it has,
 * as if the rest had come, and says that it has failed; so every message that was
 * announced is sent, and nothing of this broadcast is left to meet the next one.
 *
 * It goes on to its end when who asked for it has died, and then the array may be destroyed in
 * the middle. So its memory is kept until then, and freed here if it was (cw_reach_keep). */
#include "api/array_agent.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

enum { PART = 512 << 10, AHEAD = 8, TURNS = 4 };

struct cast {
    struct cast *next;
    struct cw_cast_order order;
    int before, after; /* nodes; -1: none */
    char *memory;      /* NULL: there is no such array here (any more) */
    struct cw_array *array;
    uint64_t number; /* of its life */
    cw_off block;
    bool stuck; /* MPI may still write to it */
    int64_t parts, asked, come, sent, gone;
    int in[AHEAD], out[AHEAD]; /* tickets; negative: none */
    crew_error err;
};

/* Owner: the agent's thread. */
static struct cast *casts;
static char nowhere[PART];

static int tag(const struct cast *c) {
    return (c->order.from * CW_BOATS + (int)c->order.boat) * TURNS + (int)(c->order.turn % TURNS);
}

static size_t part_size(const struct cast *c, int64_t part) {
    int64_t left = c->order.freight.n - part * PART;
    return (size_t)(left < PART ? left : PART);
}

static char *part_at(const struct cast *c, int64_t part) {
    return c->memory ? c->memory + part * PART : nowhere;
}

static void lost(struct cw_agent *agent, struct cast *c, int node) {
    if (c->err.code == 0)
        cw_error_set(&c->err, CREW_EBROKEN, 0, "node %s was lost", agent->nodes[node].host);
}

static bool take(struct cw_agent *agent, struct cast *c) {
    bool any = false;
    while (c->asked < c->parts && c->asked - c->come < AHEAD) {
        c->in[c->asked % AHEAD] = agent->mpi->borrow(c->before, tag(c), part_at(c, c->asked),
                                                     part_size(c, c->asked));
        c->asked++;
    }
    while (c->come < c->asked) {
        int ticket = c->in[c->come % AHEAD];
        int rc = ticket < 0 ? CREW_EBROKEN : agent->mpi->settled(ticket);
        if (rc == 0)
            break;
        if (rc < 0) {
            lost(agent, c, c->before);
            c->stuck = c->stuck || ticket >= 0;
        }
        any = true;
        c->come++;
    }
    return any;
}

static bool pass(struct cw_agent *agent, struct cast *c) {
    bool any = false;
    while (c->sent < c->come && c->sent - c->gone < AHEAD) {
        c->out[c->sent % AHEAD] =
            agent->mpi->lend(c->after, tag(c), part_at(c, c->sent), part_size(c, c->sent));
        c->sent++;
        any = true;
    }
    while (c->gone < c->sent) {
        int ticket = c->out[c->gone % AHEAD];
        int rc = ticket < 0 ? CREW_EBROKEN : agent->mpi->settled(ticket);
        if (rc == 0)
            break;
        if (rc < 0)
            lost(agent, c, c->after);
        any = true;
        c->gone++;
    }
    return any;
}

/* The last one that uses the memory. */
static void let_go(struct cast *c) {
    for (struct cast *other = casts; other; other = other->next)
        if (other->block == c->block) {
            other->stuck = other->stuck || c->stuck;
            return;
        }
    cw_reach_release(c->array, c->number, c->block, c->stuck);
}

static void finish(struct cast *c) {
    if (c->memory && c->order.freight.code &&
        atomic_load(&c->array->life) >> CW_LIFE_BITS == c->number)
        atomic_store(&c->array->use, c->order.freight.code);
    if (c->memory)
        let_go(c);
    cw_cast_over(&c->order, &c->err);
    free(c);
}

bool cw_cast_work(struct cw_agent *agent, bool *waits) {
    bool any = false;
    for (struct cast **at = &casts, *c; (c = *at);) {
        bool did = c->before >= 0 && take(agent, c);
        did = (c->after >= 0 && pass(agent, c)) || did;
        any = any || did;
        if (c->come < c->parts || (c->after >= 0 && c->gone < c->parts)) {
            *waits = true;
            at = &c->next;
            continue;
        }
        *at = c->next;
        finish(c);
        any = true;
    }
    return any;
}

/* Until it is over. False: it has ended, or has not what is asked for. */
static bool keep(struct cast *c, struct cw_array *array, char *base) {
    const struct cw_freight *f = &c->order.freight;
    if (!array || f->at < atomic_load(&array->part_from) ||
        f->n > atomic_load(&array->part_to) - f->at)
        return false;
    c->array = array;
    c->number = atomic_load(&array->life) >> CW_LIFE_BITS;
    c->memory = base + atomic_load(&array->data) + f->at;
    c->block = cw_reach_keep(array);
    return c->block;
}

void cw_casts_forget(void) {
    for (struct cast *next; casts; casts = next) {
        next = casts->next; /* MPI may have their memory */
        free(casts);
    }
}

int cw_cast_begin(const struct cw_cast_order *order, const int32_t *chain, int here,
                  struct cw_array *array, char *base, crew_error *err) {
    struct cast *c = calloc(1, sizeof *c);
    if (!c)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a broadcast");
    *c = (struct cast){.next = casts, .order = *order, .before = -1, .after = -1};
    c->parts = (order->freight.n + PART - 1) / PART;
    for (int i = 0; i < order->nodes; i++) {
        if (chain[i] != here)
            continue;
        c->before = i > 0 ? chain[i - 1] : -1;
        c->after = i + 1 < order->nodes ? chain[i + 1] : -1;
    }
    if (c->before < 0)
        c->come = c->parts;
    if (!keep(c, array, base)) {
        c->memory = NULL;
        cw_error_set(&c->err, CREW_EINVAL, 0, "there is no such array any more");
    }
    casts = c;
    return 0;
}
