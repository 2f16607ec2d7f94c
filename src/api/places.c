/* Where the workers of a pool are, or would be: one picture of all nodes. */
#include "api/places.h"

#include "api/home_impl.h"
#include "api/launch.h"
#include "api/node.h"
#include "base/error.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long a node may take to look at its machine. */
static const double LOOK_SECONDS = 20;

/* What is asked of the other nodes: one question at a time. Guarded by cw_homes.lock, but
 * `asking`, which is taken before it. */
static struct {
    pthread_mutex_t asking;
    uint32_t turn;
    bool wanted; /* to be sent */
    const crew_pool_opts *opts;
    const int *by_node;
    struct cw_place *places; /* of all workers; NULL: nobody waits any more */
    bool *answered;          /* by node */
    crew_error err;
} plan = {.asking = PTHREAD_MUTEX_INITIALIZER};

/* ---- what would be ---- */

static void ask(int node) {
    const struct cw_opening o = {.workers = plan.by_node[node],
                                 .threads_per_worker = plan.opts->threads_per_worker,
                                 .bind = plan.opts->bind};
    struct cw_parcel out;
    cw_parcel_begin(&out, &(struct cw_letter){.word = CW_W_PLAN, .turn = plan.turn});
    cw_parcel_put(&out, &o, sizeof o);
    cw_agent_send(cw_homes.agent, node, &out);
}

void cw_places_work(void) {
    if (!plan.wanted)
        return;
    plan.wanted = false;
    for (int node = 1; node < cw_homes.agent->place.nodes; node++)
        if (plan.by_node[node])
            ask(node);
}

void cw_places_planned(int node, const struct cw_letter *letter, struct cw_reader *rest) {
    if (!plan.places || letter->turn != plan.turn || plan.answered[node])
        return;
    int first = 0;
    for (int k = 0; k < node; k++)
        first += plan.by_node[k];
    plan.answered[node] = true;
    if (letter->code)
        cw_read_into(rest, &plan.err, sizeof plan.err);
    else if (!cw_read_into(rest, &plan.places[first],
                           (size_t)plan.by_node[node] * sizeof *plan.places))
        cw_error_set(&plan.err, CREW_EBROKEN, 0, "node %s answered with less than it said",
                     cw_homes.agent->nodes[node].host);
}

/* A node that has not answered; 0: all have that are there. */
static int missing(void) {
    for (int node = 1; node < cw_homes.agent->place.nodes; node++)
        if (plan.by_node[node] && !plan.answered[node])
            return node;
    return 0;
}

static void await_answers(crew_error *err) {
    struct cw_deadline d = cw_deadline_in(LOOK_SECONDS);
    int node;
    plan.err.code = 0;
    plan.turn++;
    plan.wanted = true;
    while ((node = missing()) && !plan.err.code) {
        const struct cw_agent_node *there = &cw_homes.agent->nodes[node];
        if (there->lost || cw_deadline_over(&d)) {
            cw_error_set(&plan.err, CREW_EBROKEN, 0, "node %s %s", there->host,
                         there->lost ? "was lost" : "does not say where its workers would be");
        } else {
            pthread_mutex_unlock(&cw_homes.lock);
            cw_agent_wake(cw_homes.agent);
            pthread_mutex_lock(&cw_homes.lock);
            cw_home_wait_a_moment();
        }
    }
    plan.places = NULL;
    plan.wanted = false;
    *err = plan.err;
}

int cw_places_plan(struct cw_session *s, const crew_pool_opts *o, const int *by_node,
                   struct cw_place *places, crew_error *err) {
    crew_pool_opts own = *o;
    own.workers = by_node[0];
    int rc = own.workers ? cw_node_place(s, &own, NULL, places, err) : 0;
    if (rc < 0 || cw_homes.agent->place.nodes == 1)
        return rc;
    bool *answered = calloc((size_t)cw_homes.agent->place.nodes, sizeof *answered);
    if (!answered)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for %d nodes",
                            cw_homes.agent->place.nodes);
    pthread_mutex_lock(&plan.asking);
    pthread_mutex_lock(&cw_homes.lock);
    plan.opts = o;
    plan.by_node = by_node;
    plan.places = places;
    plan.answered = answered;
    await_answers(err);
    pthread_mutex_unlock(&cw_homes.lock);
    pthread_mutex_unlock(&plan.asking);
    free(answered);
    return err->code;
}

/* ---- what is ---- */

/* Numbers of one width stand below each other. */
static int digits(int most) {
    return snprintf(NULL, 0, "%d", most);
}

static void add_node(FILE *out, const crew_pool *p, int node, const struct cw_place *places,
                     int first, int workers) {
    const struct cw_agent *a = cw_homes.agent;
    for (int i = 0; i < workers; i++) {
        char text[128];
        cw_cpuset_print(&places[i].cpus, text, sizeof text);
        fprintf(out, "crew: node %*d (%s), rank %*d: worker %*d of %d: cpus %s\n",
                digits(a->place.nodes - 1), node, a->nodes[node].host, digits(a->place.size - 1),
                cw_launch_rank(node, places[i].rank), digits(p->workers - 1), first + i, p->workers,
                text[0] ? text : "any");
    }
}

static void add_alone(FILE *out, const crew_pool *p, const struct cw_place *places) {
    for (int i = 0; i < p->natives; i++) {
        char text[128];
        cw_cpuset_print(&places[i].cpus, text, sizeof text);
        fprintf(out, "crew: node %s: worker %d of %d: cpus %s\n", p->session->host, i, p->workers,
                text[0] ? text : "any");
    }
}

/* How elements of PARTITIONED arrays come from other nodes. */
static void add_reach(FILE *out, const struct cw_agent *a) {
    if (a->place.nodes > 1 && a->reaches)
        fprintf(out, "crew: arrays on other nodes: one-sided (MPI_Rget)\n");
    else if (a->place.nodes > 1)
        fprintf(out, "crew: arrays on other nodes: by messages: %s\n", a->unreached.text);
}

void cw_places_report(const crew_pool *p) {
    const struct cw_place *own = cw_ptr(&p->maps.arena, p->team->places);
    const struct cw_home *h = p->home;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return;
    if (p->opts.backend == CREW_MPI && cw_launch_here())
        add_node(out, p, 0, own, 0, p->natives);
    else
        add_alone(out, p, own);
    for (int k = 0; h && k < h->count; k++)
        add_node(out, p, h->posts[k].node, &h->places[h->posts[k].first], h->posts[k].first,
                 h->posts[k].workers);
    if (h)
        add_reach(out, cw_homes.agent);
    if (fclose(out) == 0)
        fwrite(text, 1, size, stderr); /* at once: others may be printing */
    free(text);
}
