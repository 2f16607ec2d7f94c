#include "api/array_agent.h"
#include "api/home_impl.h"

#include "api/joint.h"
#include "api/process_impl.h"
#include "api/remote.h"
#include "api/shm_impl.h"
#include "base/error.h"
#include "os/clock.h"

#include <stdlib.h>
#include <string.h>

/* How long a node is waited for that is to say what its workers have done. */
static const double COUNT_SECONDS = 2;

struct cw_homes cw_homes = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void begin_once(void) {
    cw_clocked_init(&cw_homes.changed);
}

void cw_home_wait_a_moment(void) {
    bool drives = cw_joint_drives();
    if (drives) {
        pthread_mutex_unlock(&cw_homes.lock);
        bool did = cw_joint_turn();
        pthread_mutex_lock(&cw_homes.lock);
        if (did)
            return;
    }
    cw_clocked_wait(&cw_homes.changed, &cw_homes.lock, drives ? 500000 : 50000000);
}

/* A node that has not said hello; 0: there is none. */
static int silent_node(void) {
    for (int node = 1; node < cw_homes.agent->place.nodes; node++)
        if (cw_homes.due[node] == 0)
            return node;
    return 0;
}

static int await_hellos(double seconds, crew_error *err) {
    struct cw_deadline d = cw_deadline_in(seconds);
    int silent, rc = 0;
    pthread_mutex_lock(&cw_homes.lock);
    while (rc == 0 && !cw_homes.trouble.code && (silent = silent_node())) {
        const struct cw_agent_node *node = &cw_homes.agent->nodes[silent];
        if (node->lost || cw_deadline_over(&d))
            rc = cw_error_set(err, CREW_EBROKEN, 0, "node %s (rank %d) %s", node->host,
                              cw_agent_told_rank(cw_homes.agent, node->leader),
                              node->lost ? "was lost" : "does not answer");
        else
            cw_home_wait_a_moment();
    }
    if (rc == 0 && cw_homes.trouble.code)
        rc = cw_error_copy(err, &cw_homes.trouble);
    pthread_mutex_unlock(&cw_homes.lock);
    return rc;
}

int cw_home_serve(struct cw_session *s, struct cw_agent *agent, int *due, double seconds,
                  crew_error *err) {
    static const struct cw_agent_ops ops = {.letter = cw_home_letter,
                                            .work = cw_home_work,
                                            .lie_down = cw_home_lie_down,
                                            .get_up = cw_home_get_up,
                                            .lost = cw_home_lost};
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, begin_once);
    cw_homes.word = (cw_off)((char *)cw_remote_word() - s->own.base);
    cw_homes.session = s;
    cw_homes.mustered = 0;
    cw_homes.less = false;
    cw_homes.agent = agent;
    cw_homes.due = due;
    cw_homes.serving = false;
    cw_homes.trouble.code = 0;
    if (cw_process_home_begin(s, agent, cw_homes.word, err) < 0 ||
        cw_array_agent_begin(cw_share_here(), agent, err) < 0)
        return err->code;
    cw_remote_begin(s, agent);
    cw_homes.serving = true;
    cw_agent_serve(agent, &ops, NULL, cw_remote_word());
    return await_hellos(seconds, err);
}

static int envoys_of(int workers) {
    return workers ? 1 + CW_LEASE_SLOTS + workers + CW_TASKS_AHEAD : 0;
}

int cw_home_proxies(const struct cw_agent *agent, const int *workers) {
    int n = 0;
    for (int node = 1; node < agent->place.nodes; node++)
        n += envoys_of(workers[node]);
    return n;
}

static void destroy(struct cw_home *h) {
    for (int k = 0; h->posts && k < h->count; k++) {
        free(h->posts[k].envoys);
        free(h->posts[k].told);
    }
    for (int slot = 0; slot < CW_JOB_SLOTS; slot++)
        free(h->accounts[slot].nodes);
    free(h->counts);
    free(h->places);
    free(h->posts);
    free(h);
}

static struct cw_home *make(crew_pool *p, struct cw_agent *agent, const int *workers) {
    struct cw_home *h = calloc(1, sizeof *h);
    int nodes = agent->place.nodes, rank = p->natives, first = workers[0];
    if (!h || !(h->posts = calloc((size_t)nodes, sizeof *h->posts)) ||
        !(h->counts = calloc((size_t)p->workers, sizeof *h->counts)) ||
        !(h->places = calloc((size_t)p->workers, sizeof *h->places)))
        goto failed;
    h->pool = p;
    cw_shm_reach(&p->maps); /* items and results may lie in named memory */
    for (int node = 1; node < nodes; first += workers[node], node++) {
        struct cw_outpost *post = &h->posts[h->count];
        if (!workers[node])
            continue;
        h->count++;
        *post = (struct cw_outpost){.node = node, .first = first, .workers = workers[node]};
        post->count = envoys_of(workers[node]);
        if (!(post->envoys = calloc((size_t)post->count, sizeof *post->envoys)) ||
            !(post->told = calloc((size_t)post->workers, sizeof *post->told)))
            goto failed;
        for (int i = 0; i < post->count; i++)
            cw_proxy_init(&post->envoys[i].proxy, &p->maps, p->team, rank++, cw_homes.word);
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
    pthread_mutex_lock(&cw_homes.lock);
    h->id = ++cw_homes.ids;
    h->next = cw_homes.homes;
    cw_homes.homes = h;
    pthread_mutex_unlock(&cw_homes.lock);
    cw_agent_wake(agent);
    return 0;
}

int cw_home_ready(crew_pool *p, crew_error *err) {
    struct cw_home *h = p->home;
    int rc = 1;
    pthread_mutex_lock(&cw_homes.lock);
    for (int k = 0; h && k < h->count && rc >= 0; k++) {
        struct cw_outpost *post = &h->posts[k];
        if (post->state == CW_POST_GONE)
            rc = cw_error_copy(err, &post->error);
        else if (post->state != CW_POST_OPEN)
            rc = 0;
    }
    pthread_mutex_unlock(&cw_homes.lock);
    return rc;
}

void cw_home_close(crew_pool *p) {
    struct cw_home *h = p->home;
    if (!h)
        return;
    pthread_mutex_lock(&cw_homes.lock);
    struct cw_home **at = &cw_homes.homes;
    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    pthread_mutex_unlock(&cw_homes.lock);
    p->home = NULL;
    destroy(h);
}

void cw_home_fail_each(crew_pool *p, struct cw_job *job) {
    struct cw_home *h = p->home;
    pthread_mutex_lock(&cw_homes.lock);
    const _Atomic unsigned char *marks = cw_ptr(&p->maps.arena, job->marks);
    for (int k = 0; h && k < h->count; k++) {
        const struct cw_outpost *post = &h->posts[k];
        for (int64_t i = post->first; post->state == CW_POST_GONE && i < post->first + post->workers; i++) {
            struct cw_failure f = {.item = i, .index = i, .code = CREW_EDIED, .attempt = 1,
                                   .worker = (int)i, .node = post->node};
            memcpy(f.text, "lost with its node", 19);
            if (!atomic_load(&marks[i]))
                cw_job_fail(&p->maps, job, &f);
        }
    }
    pthread_mutex_unlock(&cw_homes.lock);
}

static bool all_counted(const struct cw_home *h) {
    for (int k = 0; k < h->count; k++)
        if (h->posts[k].state == CW_POST_OPEN && h->posts[k].counted != h->asked)
            return false;
    return true;
}

int cw_home_stats(crew_pool *p, int worker, crew_stats *stats) {
    struct cw_home *h = p->home;
    if (!h || (worker >= 0 && worker < p->natives))
        return 0;
    pthread_mutex_lock(&cw_homes.lock);
    h->asked++;
    struct cw_deadline d = cw_deadline_in(COUNT_SECONDS);
    while (!all_counted(h) && !cw_deadline_over(&d)) {
        pthread_mutex_unlock(&cw_homes.lock);
        cw_agent_wake(cw_homes.agent);
        pthread_mutex_lock(&cw_homes.lock);
        if (!all_counted(h))
            cw_home_wait_a_moment();
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
    pthread_mutex_unlock(&cw_homes.lock);
    return 0;
}

void cw_home_wake(void) {
    cw_agent_wake(cw_homes.agent);
}

const char *cw_home_host(crew_pool *p, int node) {
    return p->home ? cw_homes.agent->nodes[node].host : p->session->host;
}

/* With the lock: returns when the agent has said it to all. */
static void have_said(bool *what) {
    *what = true;
    while (*what) {
        pthread_mutex_unlock(&cw_homes.lock);
        cw_agent_wake(cw_homes.agent);
        pthread_mutex_lock(&cw_homes.lock);
        if (*what)
            cw_home_wait_a_moment();
    }
}

static int guests_left(void) {
    int n = 0;
    for (int node = 1; node < cw_homes.agent->place.nodes; node++)
        n += !cw_homes.agent->nodes[node].lost;
    return n;
}

bool cw_home_goodbye(bool less) {
    if (cw_homes.agent->place.nodes == 1)
        return less;
    if (!cw_homes.serving) /* there was no memory to */
        return true;
    pthread_mutex_lock(&cw_homes.lock);
    have_said(&cw_homes.muster);
    /* As long as it takes: who is silent for CREW_NODE_TIMEOUT is lost, and is not waited for
     * (look_after in fleet/agent.c). Who was only slow must not cost a job its orderly end. */
    while (cw_homes.mustered < guests_left())
        cw_home_wait_a_moment();
    cw_homes.less = cw_homes.less || less || cw_homes.mustered < cw_homes.agent->place.nodes - 1 ||
                    !cw_agent_whole(cw_homes.agent);
    have_said(&cw_homes.goodbye);
    less = cw_homes.less;
    pthread_mutex_unlock(&cw_homes.lock);
    return less;
}
