#include "fleet/agent.h"

#include "base/config.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/process.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum stage { STARTING, FAILED, JOINED, SERVING, ENDED };

/* Parts of a long message: each letter says where its part belongs and how long the
 * whole is. */
enum { PIECE = 16 << 20, CW_W_PIECE = CW_W_WORDS };

/* How long an agent looks without sleeping after something has happened, or after what
 * belongs to a conversation, and how long it sleeps then: first, and at most. */
enum { EAGER_NS = 30000, TALK_NS = 100000, NAP_NS = 20000, NAP_MOST_NS = 15000000 };

void cw_agent_watch(struct cw_agent *a, int node) {
    struct cw_agent_node *n = &a->nodes[node];
    if (!n->watched)
        n->heard_ns = n->said_ns = cw_now_ns();
    n->watched = true;
}

/* ---- sending ---- */

static bool hand_over(struct cw_agent *a, int node, void *data, size_t size) {
    cw_agent_watch(a, node);
    a->nodes[node].said_ns = cw_now_ns();
    return a->mpi->send(node, data, size) == 0;
}

static bool send_pieces(struct cw_agent *a, int node, const struct cw_parcel *p) {
    for (size_t at = 0; at < p->size; at += PIECE) {
        size_t n = p->size - at < PIECE ? p->size - at : PIECE;
        struct cw_letter letter = {
            .word = CW_W_PIECE, .lo = (int64_t)at, .hi = (int64_t)p->size};
        char *data = malloc(sizeof letter + n);
        if (!data)
            return false;
        memcpy(data, &letter, sizeof letter);
        memcpy(data + sizeof letter, p->data + at, n);
        if (!hand_over(a, node, data, sizeof letter + n))
            return false;
    }
    return true;
}

bool cw_agent_send(struct cw_agent *a, int node, struct cw_parcel *p) {
    bool sent = false;
    if (p->failed || a->nodes[node].lost) {
        cw_parcel_drop(p);
    } else if (p->size <= PIECE) {
        sent = hand_over(a, node, p->data, p->size);
        *p = (struct cw_parcel){0};
    } else {
        sent = send_pieces(a, node, p);
        cw_parcel_drop(p);
    }
    return sent;
}

bool cw_agent_say(struct cw_agent *a, int node, const struct cw_letter *letter) {
    struct cw_parcel p;
    cw_parcel_begin(&p, letter);
    return cw_agent_send(a, node, &p);
}

void cw_agent_talks(struct cw_agent *a) {
    a->talked_ns = cw_now_ns();
}

void cw_agent_abandon(struct cw_agent *a, int node) {
    struct cw_agent_node *n = &a->nodes[node];
    n->dead = n->dead || a->place.node == 0;
    if (n->lost)
        return;
    if (a->place.node == 0 && !a->mpi->broken(node)) /* it may be only that it was away */
        cw_agent_say(a, node, &(struct cw_letter){.word = CW_W_LOST, .lo = node});
    n->lost = true;
    a->mpi->abandon(node);
    free(n->pieces);
    n->pieces = NULL;
    if (a->ops)
        a->ops->lost(a->ctx, node);
}

/* ---- receiving ---- */

static void deliver(struct cw_agent *a, int node, const char *data, size_t size) {
    struct cw_reader r = {.at = data, .end = data + size};
    struct cw_letter letter;
    if (cw_read_into(&r, &letter, sizeof letter) && letter.word != CW_W_BEAT)
        a->ops->letter(a->ctx, node, &letter, r);
}

/* Part of a long message. They come in order. */
static void collect(struct cw_agent *a, int node, const char *data, size_t size) {
    struct cw_agent_node *n = &a->nodes[node];
    struct cw_letter letter;
    memcpy(&letter, data, sizeof letter);
    size -= sizeof letter;
    if (letter.lo == 0) {
        free(n->pieces);
        n->want = (size_t)letter.hi;
        n->have = 0;
        n->pieces = malloc(n->want);
    }
    if (!n->pieces || (size_t)letter.lo != n->have || size > n->want - n->have) {
        /* What it says cannot be had: no memory. Nothing it says later could be
         * believed to be all. */
        cw_agent_abandon(a, node);
        return;
    }
    memcpy(n->pieces + n->have, data + sizeof letter, size);
    n->have += size;
    if (n->have == n->want) {
        char *whole = n->pieces;
        n->pieces = NULL;
        deliver(a, node, whole, n->want);
        free(whole);
    }
}

/* True: something came that may have an answer. */
static bool receive_all(struct cw_agent *a) {
    int node;
    void *data;
    size_t size;
    bool any = false;
    while (a->mpi->receive(&node, &data, &size) == 1) {
        uint32_t word = 0;
        if (size >= sizeof(struct cw_letter))
            memcpy(&word, data, sizeof word);
        any = any || !cw_word_only_tells(word);
        cw_agent_watch(a, node);
        a->nodes[node].heard_ns = cw_now_ns();
        if (a->nodes[node].lost)
            ; /* it has come back: what it knows is stale */
        else if (word == CW_W_PIECE)
            collect(a, node, data, size);
        else
            deliver(a, node, data, size);
        free(data);
    }
    return any;
}

/* ---- who is still there ---- */

/* Home looks after all guests and guests after home; guests after those of the others that they
 * have to do with, for the way between the two alone may be cut, which home does not see. */
static bool concerns(const struct cw_agent *a, int node) {
    return a->place.node == 0 || node == 0 || a->nodes[node].watched;
}

static void look_after(struct cw_agent *a) {
    int64_t now = cw_now_ns(), limit = (int64_t)(a->timeout * 1e9);
    bool home_may_be_silent = a->place.node != 0 && a->cards[a->nodes[0].leader].driven;
    for (int node = 0; node < a->place.nodes; node++) {
        struct cw_agent_node *n = &a->nodes[node];
        if (node == a->place.node || n->lost)
            continue;
        bool may_be_silent = node == 0 && home_may_be_silent;
        if (a->mpi->broken(node)) /* what waits for one of the other guests, too, hears of it */
            cw_agent_abandon(a, node);
        else if (!concerns(a, node))
            continue;
        else if (now - n->heard_ns > limit && !may_be_silent)
            cw_agent_abandon(a, node);
        else if (now - n->said_ns > limit / 5)
            cw_agent_say(a, node, &(struct cw_letter){.word = CW_W_BEAT});
    }
}

void cw_agent_beat(struct cw_agent *a) {
    for (int node = 0; node < a->place.nodes; node++)
        if (node != a->place.node && !a->nodes[node].lost && concerns(a, node))
            cw_agent_say(a, node, &(struct cw_letter){.word = CW_W_BEAT});
}

/* Who was away for long itself (stopped, as whole jobs are by some batch systems) has not heard
 * what others said, nor knows whether they were stopped, too. */
static void hear_anew(struct cw_agent *a, int64_t now) {
    for (int node = 0; node < a->place.nodes; node++)
        a->nodes[node].heard_ns = now;
}

/* ---- the agent ---- */

static void set_stage(struct cw_agent *a, enum stage stage) {
    pthread_mutex_lock(&a->lock);
    a->stage = (int)stage;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

static bool await_stage(struct cw_agent *a, enum stage stage) {
    pthread_mutex_lock(&a->lock);
    while (a->stage < (int)stage)
        pthread_cond_wait(&a->changed, &a->lock);
    bool well = a->stage != FAILED;
    pthread_mutex_unlock(&a->lock);
    return well;
}

static int by_node(const void *p, const void *q) {
    const struct cw_mpi_place *x = p, *y = q;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* Cards, the part that all versions understand first. */
static int exchange_cards(struct cw_agent *a, crew_error *err) {
    int size = a->place.size;
    char *fronts = calloc((size_t)size, CW_CARD_FRONT);
    if (!fronts)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for %d ranks", size);
    int rc = a->mpi->exchange(&a->card, CW_CARD_FRONT, fronts, err);
    for (int rank = 0; rc == 0 && rank < size; rank++)
        memcpy(&a->cards[rank], fronts + (size_t)rank * CW_CARD_FRONT, CW_CARD_FRONT);
    free(fronts);
    for (int rank = 0; rc == 0 && rank < size; rank++)
        rc = cw_card_front_fits(&a->cards[0], a->root, &a->cards[rank], cw_agent_told_rank(a, rank),
                                err);
    if (rc == 0)
        rc = a->mpi->exchange(&a->card, sizeof a->card, a->cards, err);
    for (int rank = 0; rc == 0 && rank < size; rank++)
        rc = cw_card_fits(&a->cards[0], a->root, &a->cards[rank], cw_agent_told_rank(a, rank), err);
    return rc;
}

/* Who is where. */
static int know_all(struct cw_agent *a, crew_error *err) {
    size_t n = (size_t)a->place.size;
    struct cw_mpi_place *places = calloc(n, sizeof *places);
    a->cards = calloc(n, sizeof *a->cards);
    a->order = calloc(n, sizeof *a->order);
    a->nodes = calloc((size_t)a->place.nodes, sizeof *a->nodes);
    int rc = CREW_ENOMEM;
    if (!places || !a->cards || !a->order || !a->nodes)
        cw_error_set(err, rc, 0, "no memory for %d ranks", a->place.size);
    else if ((rc = exchange_cards(a, err)) == 0)
        rc = a->mpi->exchange(&a->place, sizeof a->place, places, err);
    if (rc == 0)
        qsort(places, n, sizeof *places, by_node);
    for (int i = 0; rc == 0 && i < a->place.size; i++) {
        struct cw_agent_node *node = &a->nodes[places[i].node];
        if (node->ranks++ == 0) {
            node->leader = places[i].rank;
            node->first = i;
            node->heard_ns = node->said_ns = cw_now_ns();
            snprintf(node->host, sizeof node->host, "%.63s", a->cards[places[i].rank].host);
        }
        a->order[i] = places[i].rank;
    }
    free(places);
    return rc;
}

static void introduce(struct cw_agent *a) {
    crew_error why;
    if (a->introduce(a->introduce_ctx, &a->place, &a->card, &why) < 0)
        cw_card_trouble(&a->card, &why);
}

/* So many leaders are all connected with each other, no more. */
enum { REACH_MOST = 64 };

static bool too_costly(const struct cw_agent *a, crew_error *why) {
    if (a->place.nodes > REACH_MOST) {
        cw_error_set(why, CREW_ENOTSUP, 0, "there are more than %d nodes (CREW_ONE_SIDED=on)",
                     REACH_MOST);
        return true;
    }
    for (int node = 0; node < a->place.nodes; node++)
        if (a->cards[a->nodes[node].leader].rdma) {
            cw_error_set(why, CREW_ENOTSUP, 0,
                         "node %.60s has an RDMA device, which would pin CREW_SEGMENT_SIZE bytes "
                         "(CREW_ONE_SIDED=on)",
                         a->nodes[node].host);
            return true;
        }
    return false;
}

/* Other nodes may read this one's memory, if they can. All ranks come to the same. */
static void expose(struct cw_agent *a) {
    const struct cw_card *first = &a->cards[0];
    const bool several = a->place.nodes > 1, on = first->one_sided == CW_ONE_SIDED_ON;
    const bool wanted = several || a->joint || !first->isolate;
    const bool all = !several || (!a->joint && !first->isolate);
    if (first->one_sided == CW_ONE_SIDED_OFF)
        cw_error_set(&a->unreached, CREW_ENOTSUP, 0, "CREW_ONE_SIDED=off");
    else if (wanted && (on || !too_costly(a, &a->unreached)) && (all || cw_agent_leads(a)))
        a->reaches = a->mpi->expose(a->memory, a->memory_size, on, &a->unreached) == 0;
    a->reaches = a->reaches && several;
}

static int finish_start(struct cw_agent *a, crew_error *err) {
    crew_error why;
    int rc = 0;
    a->acquainted = true;
    if (a->joint) {
        introduce(a);
        rc = exchange_cards(a, err);
    } else if (a->card.window) {
        size_t size = (size_t)a->cards[a->nodes[a->place.node].leader].window;
        if (a->mpi->window(size, &a->window, &why) < 0)
            cw_card_trouble(&a->card, &why);
        else
            introduce(a);
        rc = exchange_cards(a, err);
    }
    if (rc == 0)
        expose(a);
    return rc;
}

static int start(struct cw_agent *a, crew_error *err) {
    int rc = a->joint ? a->mpi->join(a->joint, a->at_finalize, &a->place, err)
                      : cw_mpi_load(a->launcher, a->module, &a->mpi, err);
    if (rc < 0)
        return rc;
    if (!a->joint && !a->card.isolate)
        a->mpi->many_threads();
    if (!a->joint && a->card.one_sided == CW_ONE_SIDED_AUTO)
        a->mpi->one_sided();
    if (!a->joint && (rc = a->mpi->start(&a->place, err)) < 0)
        return rc;
    a->running = true;
    if (!a->joint && (rc = cw_mpi_agrees(a->launcher, a->mpi, &a->place, err)) < 0)
        return rc;
    introduce(a);
    rc = know_all(a, err);
    return rc < 0 ? rc : finish_start(a, err);
}

static bool all_sent(struct cw_agent *a) {
    for (int node = 0; node < a->place.nodes; node++)
        if (node != a->place.node && !a->nodes[node].lost && a->mpi->unsent(node))
            return false;
    return true;
}

static void rest(struct cw_agent *a, int64_t idle_since, int64_t most) {
    int64_t now = cw_now_ns(), idle = now - idle_since, nap = idle / 2;
    if (now - a->talked_ns < TALK_NS || now < a->eager_ns) {
        if (cw_step_aside())
            return;
        a->talked_ns += cw_now_ns() - now; /* while others had the core nobody was silent */
        nap = NAP_NS;
    } else if (idle < EAGER_NS) {
        sched_yield();
        return;
    }
    nap = nap > most ? most : nap;
    nap = nap < NAP_NS || !all_sent(a) ? NAP_NS : nap;
    atomic_store(a->word, 1);
    if (a->ops->lie_down(a->ctx) && !atomic_load(&a->leaving))
        cw_futex_wait(a->word, 1, a->place.nodes > 1 ? (double)nap * 1e-9 : -1);
    atomic_store(a->word, 0);
    a->ops->get_up(a->ctx);
}

static bool look(struct cw_agent *a, int64_t *nap_ns) {
    bool did = a->place.nodes > 1 && receive_all(a);
    did = a->ops->work(a->ctx, nap_ns) || did;
    int64_t now = cw_now_ns(), passed = now - a->looked_ns, limit = (int64_t)(a->timeout * 1e9);
    if (a->place.nodes > 1 && passed > limit / 10) {
        if (passed > limit / 2)
            hear_anew(a, now);
        a->looked_ns = now;
        look_after(a);
    }
    return did;
}

static void serve(struct cw_agent *a, bool (*over)(void *ctx), void *ctx) {
    int64_t idle_since = cw_now_ns();
    while (!atomic_load(&a->leaving) && !(over && over(ctx))) {
        int64_t nap_ns = NAP_MOST_NS;
        if (look(a, &nap_ns))
            idle_since = cw_now_ns();
        else
            rest(a, idle_since, nap_ns);
    }
}

/* Who was away for long has not heard what others said. */
static const int64_t AWAY_NS = 200000000;

bool cw_agent_turn(struct cw_agent *a) {
    int64_t nap_ns = NAP_MOST_NS;
    int64_t now = cw_now_ns(), away = now - a->turned_ns;
    if (away > AWAY_NS)
        hear_anew(a, now);
    bool did = look(a, &nap_ns);
    a->turned_ns = cw_now_ns();
    return did;
}

void cw_agent_drive(struct cw_agent *a, bool (*over)(void *ctx), void *ctx) {
    serve(a, over, ctx);
}

/* What was said last, BYE among it, must be out before MPI ends. */
static void flush(struct cw_agent *a) {
    int64_t until = cw_now_ns() + 2000000000;
    while (!all_sent(a) && cw_now_ns() < until)
        sched_yield();
}

/* All know why it ended. Whoever else has something to say is heard, too. */
static void tell_parting(struct cw_agent *a) {
    crew_error *all = calloc((size_t)a->place.size, sizeof *all), ignored;
    if (!all) /* the others are not to wait for it */
        abort();
    if (a->mpi->exchange(&a->parting, sizeof *all, all, &ignored) == 0)
        for (int rank = a->place.size - 1; rank >= 0; rank--)
            if (all[rank].code)
                a->parting = all[rank];
    free(all);
}

static void finish(struct cw_agent *a) {
    bool well = a->outcome.code == 0;
    bool orderly = atomic_load(&a->leaving) == 1 && (well || a->joint);
    if (well && cw_agent_leads(a) && a->place.nodes > 1)
        flush(a);
    if (well && orderly && a->joint)
        tell_parting(a);
    if (a->running)
        a->mpi->end(orderly);
    set_stage(a, ENDED);
}

static int begin(struct cw_agent *a) {
    crew_error err = {0};
    int rc = start(a, &err);
    a->outcome = err;
    set_stage(a, rc < 0 ? FAILED : JOINED);
    return rc;
}

static void *run(void *arg) {
    struct cw_agent *a = arg;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    cw_process_name("crew-agent");
    cw_naps_exactly();
    if (begin(a) == 0 && cw_agent_leads(a) && await_stage(a, SERVING))
        serve(a, NULL, NULL);
    while (!atomic_load(&a->leaving))
        cw_futex_wait(&a->leaving, 0, -1);
    finish(a);
    return NULL;
}

/* ---- from other threads ---- */

static void prepare(struct cw_agent *a, const struct cw_agent_rank *rank) {
    *a = (struct cw_agent){.card = *rank->card,
                           .timeout = rank->timeout,
                           .introduce = rank->introduce,
                           .introduce_ctx = rank->ctx};
    a->word = &a->own_word;
    pthread_mutex_init(&a->lock, NULL);
    cw_clocked_init(&a->changed);
}

static int await_begin(struct cw_agent *a, crew_error *err) {
    if (await_stage(a, FAILED))
        return 0;
    cw_error_copy(err, &a->outcome);
    return a->outcome.code;
}

int cw_agent_join(struct cw_agent *a, const struct cw_agent_rank *rank,
                  const struct cw_launcher *launcher, const char *module, crew_error *err) {
    prepare(a, rank);
    a->launcher = launcher;
    a->module = module;
    int rc = pthread_create(&a->agent, NULL, run, a);
    if (rc)
        return cw_error_set(err, CREW_EAGAIN, rc, "the thread that speaks MPI could not be started");
    return await_begin(a, err);
}

int cw_agent_join_program(struct cw_agent *a, const struct cw_agent_rank *rank,
                          const struct cw_mpi *mpi, const struct cw_mpi_joint *joint,
                          crew_error *err) {
    prepare(a, rank);
    a->mpi = mpi;
    a->joint = joint;
    a->root = joint->root;
    a->driver = pthread_self();
    a->at_finalize = rank->at_finalize;
    /* If no thread can be had, it goes without, too. */
    if (!rank->threads || pthread_create(&a->agent, NULL, run, a) != 0) {
        a->driven = true;
        a->card.driven = 1;
        begin(a);
    }
    return await_begin(a, err);
}

void cw_agent_serve(struct cw_agent *a, const struct cw_agent_ops *ops, void *ctx,
                    _Atomic uint32_t *word) {
    a->ops = ops;
    a->ctx = ctx;
    a->word = word;
    set_stage(a, SERVING);
}

void cw_agent_wake(struct cw_agent *a) {
    atomic_store(a->word, 0);
    cw_futex_wake(a->word, INT32_MAX);
}

bool cw_agent_leave(struct cw_agent *a, bool orderly, double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)seconds + 1;
    uint32_t staying = 0;
    atomic_compare_exchange_strong(&a->leaving, &staying, orderly ? 1 : 2);
    cw_futex_wake(&a->leaving, INT32_MAX);
    if (a->driven && a->stage != ENDED)
        finish(a);
    pthread_mutex_lock(&a->lock);
    if (a->stage == JOINED && cw_agent_leads(a))
        a->stage = SERVING; /* it was never told what to do */
    pthread_cond_broadcast(&a->changed);
    int rc = 0;
    while (a->stage != ENDED && rc == 0) {
        pthread_mutex_unlock(&a->lock);
        cw_agent_wake(a);
        pthread_mutex_lock(&a->lock);
        if (a->stage != ENDED)
            rc = pthread_cond_timedwait(&a->changed, &a->lock, &until);
    }
    bool ended = a->stage == ENDED;
    pthread_mutex_unlock(&a->lock);
    if (!ended)
        return false; /* the thread is still there, with all that it uses */
    if (!a->driven)
        pthread_join(a->agent, NULL);
    for (int node = 0; a->nodes && node < a->place.nodes; node++)
        free(a->nodes[node].pieces);
    free(a->nodes);
    free(a->order);
    free(a->cards);
    a->nodes = NULL;
    a->order = NULL;
    a->cards = NULL;
    return true;
}
