#include "api/array_agent.h"

#include "api/objects.h"
#include "base/error.h"
#include "os/clock.h"
#include "share/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How often it looks for arrays that have ended and whose destroyer could not say so. */
static const int64_t SWEEP_NS = 1000000000;
/* How long the end waits for threads. */
static const double END_SECONDS = 5;
enum { END_LOOK_NS = 100000000 };

/* A boat that is out. */
struct trip {
    uint32_t turn;
    int pending; /* answers */
    bool sweeps;
    bool *waits; /* by node */
};

/* An array of this node that others know of. */
struct abroad {
    struct abroad *next;
    crew_array a;
    cw_off block; /* 0: not held */
    int told;     /* how many times: see array_reach.c */
    int pending;
    bool *waits; /* by node: has not said that it has forgotten it */
};

/* A question that takes its time. */
struct errand {
    struct errand *next;
    int node;
    struct cw_letter letter;
    struct cw_freight freight;
    crew_error err;
    char data[];
};

/* Owner: the agent's thread; from `lock` on: guarded by it. */
static struct {
    struct cw_share *share;
    struct cw_agent *agent;
    struct cw_ferry *ferry;
    struct trip trips[CW_BOATS];
    bool *waits; /* of all of them */
    uint64_t made; /* which segment has one, and ... */
    cw_off at;     /* ... where */
    struct abroad *abroad;
    bool drains; /* one of them waits for reads of this node's */
    int64_t swept_ns;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct errand *over;
    int threads;
} mine = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int here(void) {
    return mine.agent->place.node;
}

/* ---- what this node calls an array ---- */

struct cw_array *cw_array_agent_find(crew_array a, crew_array *own) {
    uint64_t check = a.check;
    struct cw_array *array = cw_object(mine.share, CW_ARRAY, a.place, a.check);
    if (!array)
        array = cw_array_find(mine.share, a, &check);
    if (array && cw_life_over(atomic_load(&array->life)))
        array = NULL;
    if (array)
        *own = cw_array_handle(mine.share, array, check);
    return array;
}

static int stale(crew_error *err) {
    return cw_error_set(err, CREW_EINVAL, 0, "there is no such array any more");
}

/* ---- boats ---- */

static void trip_over(int i, const crew_error *err) {
    struct trip *trip = &mine.trips[i];
    struct cw_boat *boat = &mine.ferry->boats[i];
    if (err && err->code && !boat->told.code)
        boat->told = *err;
    if (trip->pending > 0)
        return;
    trip->turn++;
    trip->sweeps = false;
    cw_boat_back(mine.ferry, boat);
}

void cw_array_agent_over(int boat, const crew_error *err) {
    mine.trips[boat].pending--;
    trip_over(boat, err);
}

static void node_is_lost(int node, crew_error *err) {
    cw_error_set(err, CREW_EBROKEN, 0, "node %s was lost", mine.agent->nodes[node].host);
}

/* Letter, question, data; false: the node is lost. */
static bool dispatch(int i, int node) {
    const struct cw_boat *boat = &mine.ferry->boats[i];
    const char *room = cw_boat_room(mine.share, boat);
    const uint64_t offered = cw_reach_offers(&boat->ask, room);
    const struct cw_letter letter = {.word = CW_W_FREIGHT,
                                     .slot = (uint32_t)i,
                                     .turn = mine.trips[i].turn,
                                     .lo = (int64_t)offered};
    struct cw_parcel p;
    cw_parcel_begin(&p, &letter);
    cw_parcel_put(&p, &boat->ask, sizeof boat->ask);
    cw_parcel_put(&p, room, offered ? 0 : boat->ask.bytes);
    if (mine.agent->nodes[node].lost || !cw_agent_send(mine.agent, node, &p))
        return false;
    cw_agent_talks(mine.agent);
    mine.trips[i].waits[node] = true;
    mine.trips[i].pending++;
    return true;
}

static void send_to_all(int i, crew_error *err) {
    const struct cw_freight *ask = &mine.ferry->boats[i].ask;
    for (int node = 0; node < mine.agent->place.nodes; node++) {
        if (node == here() || dispatch(i, node))
            continue;
        /* An array that has a part on each node cannot do without; copies can, if nobody has
         * that one: to whom only the way is cut works on with it. */
        const struct cw_array_card *card =
            (const void *)cw_boat_room(mine.share, &mine.ferry->boats[i]);
        if (!mine.agent->nodes[node].dead ||
            (ask->op == CW_F_MAKE && card->form.scope == CREW_ARRAY_PARTITIONED))
            node_is_lost(node, err);
    }
}

/* A question to one. */
static void send_to(int i, int node, crew_error *err) {
    if (dispatch(i, node))
        return;
    if (mine.agent->nodes[node].dead)
        atomic_store(&mine.ferry->boats[i].gone, 1);
    node_is_lost(node, err);
}

static struct abroad *goes_abroad(crew_array a) {
    struct abroad *x = mine.abroad;
    while (x && (x->a.place != a.place || x->a.check != a.check))
        x = x->next;
    if (x || !(x = calloc(1, sizeof *x + (size_t)mine.agent->place.nodes)))
        return x;
    x->waits = (bool *)(x + 1);
    x->a = a;
    x->next = mine.abroad;
    mine.abroad = x;
    return x;
}

/* Whether others may be told of it. made: for the first time. */
static bool lets_go(crew_array a, bool made) {
    struct cw_array *array = cw_object(mine.share, CW_ARRAY, a.place, a.check);
    struct abroad *x = array ? goes_abroad(a) : NULL;
    if (!x)
        return false;
    if (made)
        x->block = cw_reach_hold(array);
    atomic_store(&array->abroad, 1);
    /* Pairs with who destroys it: `life` first, then looks at `abroad`. */
    atomic_thread_fence(memory_order_seq_cst);
    return !cw_life_over(atomic_load(&array->life));
}

/* ---- broadcasts ---- */

static bool begin_cast(const struct cw_cast_order *order, const int32_t *chain, crew_error *err) {
    const struct cw_freight *f = &order->freight;
    crew_array own;
    for (int i = 1; i < order->nodes; i++) { /* what goes from one to the next are no letters */
        if (chain[i] == here())
            cw_agent_watch(mine.agent, chain[i - 1]);
        if (chain[i - 1] == here())
            cw_agent_watch(mine.agent, chain[i]);
    }
    struct cw_array *array = cw_array_agent_find((crew_array){f->place, f->check}, &own);
    return cw_cast_begin(order, chain, here(), array, mine.share->root.base, err) == 0;
}

/* This node's copy to all others. */
static void cast(int i, crew_error *err) {
    int nodes = mine.agent->place.nodes;
    struct trip *trip = &mine.trips[i];
    struct cw_cast_order order = {.freight = mine.ferry->boats[i].ask,
                                  .boat = (uint32_t)i,
                                  .turn = trip->turn,
                                  .from = here()};
    int32_t *chain = calloc((size_t)nodes, sizeof *chain);
    for (int k = 0; chain && k < nodes; k++) {
        int node = (here() + k) % nodes;
        if (!mine.agent->nodes[node].lost)
            chain[order.nodes++] = node;
        else if (!mine.agent->nodes[node].dead)
            node_is_lost(node, err);
    }
    if (!chain || !begin_cast(&order, chain, err)) {
        cw_error_set(err, CREW_ENOMEM, 0, "no memory for a broadcast to %d nodes", nodes);
        free(chain);
        return;
    }
    trip->waits[here()] = true;
    trip->pending++;
    for (int k = 1; k < order.nodes; k++) {
        const struct cw_letter letter = {.word = CW_W_CAST, .slot = order.boat, .turn = order.turn};
        struct cw_parcel p;
        cw_parcel_begin(&p, &letter);
        cw_parcel_put(&p, &order, sizeof order);
        cw_parcel_put(&p, chain, (size_t)order.nodes * sizeof *chain);
        if (!cw_agent_send(mine.agent, chain[k], &p)) {
            node_is_lost(chain[k], err);
            continue;
        }
        trip->waits[chain[k]] = true;
        trip->pending++;
    }
    free(chain);
}

static bool sweep(void);

static void set_out(int i) {
    struct cw_boat *boat = &mine.ferry->boats[i];
    struct trip *trip = &mine.trips[i];
    const crew_array a = {.place = boat->ask.place, .check = boat->ask.check};
    crew_error err = {0};
    boat->told = (crew_error){0};
    trip->pending = 0;
    trip->sweeps = false;
    if (boat->ask.op == CW_F_MAKE && !lets_go(a, true))
        stale(&err);
    else if (cw_reach_get(i, &boat->ask, cw_boat_room(mine.share, boat)))
        trip->pending = 1;
    else if (boat->ask.op == CW_F_SWEEP)
        trip->sweeps = true;
    else if (boat->ask.op == CW_F_CAST)
        cast(i, &err);
    else if (boat->ask.node == CW_TO_OTHERS)
        send_to_all(i, &err);
    else
        send_to(i, boat->ask.node, &err);
    if (trip->sweeps && sweep())
        return; /* until all have answered */
    trip_over(i, &err);
}

/* ---- the ends of arrays ---- */

/* To all others; they answer. */
static void tell_gone(struct abroad *x) {
    const struct cw_letter gone = {.word = CW_W_ARRAY_GONE,
                                   .code = x->told,
                                   .lo = (int64_t)x->a.place,
                                   .hi = (int64_t)x->a.check};
    x->told++;
    for (int node = 0; node < mine.agent->place.nodes; node++) {
        x->waits[node] = node != here() && cw_agent_say(mine.agent, node, &gone);
        x->pending += x->waits[node];
    }
}

/* It has ended here. True: all know, and its memory is free. */
static bool all_know(struct abroad *x) {
    bool forgotten = cw_reach_forget(x->a);
    if (x->told == 0)
        tell_gone(x);
    if (x->pending == 0 && x->told == 1 && x->block && forgotten) {
        cw_reach_free(x->block);
        x->block = 0;
        tell_gone(x);
    }
    mine.drains = mine.drains || !forgotten;
    return x->pending == 0 && !x->block;
}

/* Tells others of what has ended here. True: some have not answered yet. */
static bool sweep(void) {
    bool waits = false;
    mine.swept_ns = cw_now_ns();
    mine.drains = false;
    for (struct abroad **at = &mine.abroad, *x; (x = *at);) {
        struct cw_array *array = cw_object(mine.share, CW_ARRAY, x->a.place, x->a.check);
        bool over = !array || cw_life_over(atomic_load(&array->life));
        if (over && all_know(x)) {
            *at = x->next;
            free(x);
        } else {
            waits = waits || over;
            at = &x->next;
        }
    }
    return waits;
}

static void swept(void) {
    if (sweep())
        return;
    for (int i = 0; i < CW_BOATS; i++)
        if (mine.trips[i].sweeps)
            trip_over(i, NULL);
}

static void forgotten(int node, const struct cw_letter *letter) {
    const crew_array a = {.place = (uint64_t)letter->lo, .check = (uint64_t)letter->hi};
    for (struct abroad *x = mine.abroad; x; x = x->next)
        if (x->a.place == a.place && x->a.check == a.check && x->waits[node] &&
            x->told == letter->code + 1) {
            x->waits[node] = false;
            x->pending--;
        }
    swept();
}

/* Its memory is not freed by who ends it, but as the agent does that. */
static void end_here(struct cw_self *self, struct cw_array *array, crew_array own) {
    const uint64_t number = atomic_load(&array->life) >> CW_LIFE_BITS;
    cw_off block = 0;
    if (!atomic_load(&array->held) && !atomic_load(&array->stuck))
        block = cw_reach_keep(array);
    cw_array_end(self, array, own);
    if (block)
        cw_reach_release(array, number, block, false);
}

/* Another node's array has ended there. */
static void forget(int node, const struct cw_letter *letter) {
    const crew_array a = {.place = (uint64_t)letter->lo, .check = (uint64_t)letter->hi};
    struct cw_self *self = cw_self_get();
    crew_array own;
    for (int i = 0; i < CW_BOATS; i++) {
        struct cw_boat *boat = &mine.ferry->boats[i];
        if (cw_boat_phase(atomic_load(&boat->word)) == CW_BOAT_BACK &&
            boat->ask.op == CW_F_LOOK && boat->ask.check == a.check && boat->ask.place == a.place)
            atomic_store(&boat->gone, 1);
    }
    /* Pairs with who adopts it: it makes it, then looks at `gone`. */
    atomic_thread_fence(memory_order_seq_cst);
    struct cw_array *array = self ? cw_array_agent_find(a, &own) : NULL;
    if (array)
        end_here(self, array, own);
    cw_reach_gone(node, letter);
}

/* ---- what others ask ---- */

void cw_array_agent_answer(int node, const struct cw_letter *letter, const crew_error *err,
                           const void *data, size_t size) {
    struct cw_letter back = *letter;
    struct cw_parcel p;
    back.word = CW_W_FREIGHT_BACK;
    back.code = err->code;
    cw_parcel_begin(&p, &back);
    if (err->code)
        cw_parcel_put(&p, err, sizeof *err);
    else
        cw_parcel_put(&p, data, size);
    cw_agent_send(mine.agent, node, &p);
}

/* Which node says no. */
static void say_where(crew_error *err) {
    if (err->code) {
        const crew_error why = *err;
        cw_error_set(err, why.code, why.sys, "on node %.40s: %.200s",
                     mine.agent->nodes[here()].host, why.text);
    }
}

static int look(crew_array a, struct cw_array_card *card, crew_error *err) {
    struct cw_array *array = cw_object(mine.share, CW_ARRAY, a.place, a.check);
    memset(card, 0, sizeof *card);
    if (!array || !lets_go(a, false))
        return stale(err);
    if (atomic_load(&array->shm_place))
        return cw_error_set(err, CREW_ENOTSUP, 0, "an array over named memory is of node %s alone",
                            mine.agent->nodes[here()].host);
    cw_array_form(array, &card->form);
    const uint64_t place = atomic_load(&array->base_place), check = atomic_load(&array->base_check);
    if (!place)
        return 0;
    struct cw_array_use use = {.share = mine.share, .base_check = check};
    use.base = cw_object(mine.share, CW_ARRAY, place, check);
    if (!use.base)
        return stale(err);
    card->is_view = true;
    card->base = cw_array_known_as(&use);
    card->beyond = (int64_t)(atomic_load(&array->data) - atomic_load(&use.base->data));
    return 0;
}

/* Elements, in or out. */
int cw_array_agent_carry(const struct cw_freight *f, struct cw_array *array, char *data,
                         crew_error *err) {
    int64_t size = (int64_t)cw_type_size(f->type);
    int64_t last = f->at + (f->n - 1) * f->stride * size, low = last < f->at ? last : f->at;
    int64_t high = (last < f->at ? f->at : last) + size;
    if (low < atomic_load(&array->part_from) || high > atomic_load(&array->part_to))
        return cw_error_set(err, CREW_EINVAL, 0, "these elements do not lie here");
    /* It may be destroyed at any time, and its memory another array's. */
    const bool keeps = !atomic_load(&array->held);
    const uint64_t number = atomic_load(&array->life) >> CW_LIFE_BITS;
    char *memory = mine.share->root.base + atomic_load(&array->data);
    cw_off block = keeps ? cw_reach_keep(array) : 0;
    if (keeps && !block)
        return stale(err);
    cw_array_run((enum cw_freight_op)f->op, f->type, memory + f->at, f->stride, data, f->n);
    if (f->code)
        atomic_store(&array->use, f->code);
    atomic_thread_fence(memory_order_seq_cst);
    if (keeps)
        cw_reach_release(array, number, block, false);
    return 0;
}

static void elements(int node, const struct cw_letter *letter, const struct cw_freight *f,
                     struct cw_reader *r) {
    crew_array own;
    crew_error err = {0};
    struct cw_array *array = cw_array_agent_find((crew_array){f->place, f->check}, &own);
    size_t size = (size_t)f->n * cw_type_size(f->type);
    if (f->n < 1 || size > CW_BOAT_ROOM || !array) {
        stale(&err);
        cw_array_agent_answer(node, letter, &err, NULL, 0);
    } else if (f->op == CW_F_GET) {
        /* Straight into what is sent. */
        struct cw_letter back = *letter;
        struct cw_parcel p;
        back.word = CW_W_FREIGHT_BACK;
        back.lo = (int64_t)cw_reach_tell(array);
        cw_parcel_begin(&p, &back);
        char *room = cw_parcel_room(&p, size);
        if (!room || cw_array_agent_carry(f, array, room, &err) < 0) {
            if (!room)
                cw_error_set(&err, CREW_ENOMEM, 0, "no memory for %zu bytes", size);
            cw_parcel_drop(&p);
            cw_array_agent_answer(node, letter, &err, NULL, 0);
        } else {
            cw_agent_send(mine.agent, node, &p);
        }
    } else if (f->op == CW_F_PUT && letter->lo) {
        cw_reach_pull(node, letter, f, (uint64_t)letter->lo);
    } else {
        const char *data = cw_read(r, size);
        if (!data)
            cw_error_set(&err, CREW_EMISMATCH, 0, "elements could not be taken over");
        else
            cw_array_agent_carry(f, array, (char *)data, &err);
        cw_array_agent_answer(node, letter, &err, NULL, 0);
    }
}

/* ---- what takes its time ---- */

static int fill_all(const struct cw_freight *f, const char *element, crew_error *err) {
    struct cw_array_use use;
    const crew_array a = {f->place, f->check};
    char *data = cw_array_use(a, &use) ? cw_array_memory(a, &use) : NULL;
    if (!data)
        return cw_error_copy(err, crew_last_error());
    cw_array_fill(&use, data, element, f->code);
    return 0;
}

static void *run(void *arg) {
    struct errand *e = arg;
    const crew_array a = {.place = e->freight.place, .check = e->freight.check};
    struct cw_self *self = cw_self_get();
    if (!self)
        e->err = *crew_last_error();
    else if (e->freight.op == CW_F_MAKE)
        cw_array_adopt(self, a, (const struct cw_array_card *)(const void *)e->data, &e->err);
    else if (e->freight.op == CW_F_RESET)
        fill_all(&e->freight, e->data, &e->err);
    else if (crew_array_destroy(a) < 0)
        e->err = *crew_last_error();
    pthread_mutex_lock(&mine.lock);
    e->next = mine.over;
    mine.over = e;
    pthread_mutex_unlock(&mine.lock);
    cw_agent_wake(mine.agent);
    pthread_mutex_lock(&mine.lock);
    mine.threads--;
    pthread_cond_broadcast(&mine.changed);
    pthread_mutex_unlock(&mine.lock);
    return NULL;
}

static void begin_errand(int node, const struct cw_letter *letter, const struct cw_freight *f,
                         struct cw_reader *r) {
    struct errand *e = calloc(1, sizeof *e + f->bytes + 1);
    const void *data = cw_read(r, f->bytes);
    pthread_t thread;
    crew_error err;
    int rc = ENOMEM;
    if (e && data) {
        *e = (struct errand){.node = node, .letter = *letter, .freight = *f};
        if (f->bytes)
            memcpy(e->data, data, f->bytes);
        pthread_mutex_lock(&mine.lock);
        mine.threads++;
        pthread_mutex_unlock(&mine.lock);
        if ((rc = pthread_create(&thread, NULL, run, e)) == 0) {
            pthread_detach(thread);
            return;
        }
        pthread_mutex_lock(&mine.lock);
        mine.threads--;
        pthread_mutex_unlock(&mine.lock);
    }
    free(e);
    cw_error_set(&err, CREW_ENOMEM, rc, "an array could not be seen to");
    say_where(&err);
    cw_array_agent_answer(node, letter, &err, NULL, 0);
}

static bool errands_over(void) {
    pthread_mutex_lock(&mine.lock);
    struct errand *e = mine.over;
    mine.over = NULL;
    pthread_mutex_unlock(&mine.lock);
    bool any = e != NULL;
    while (e) {
        struct errand *next = e->next;
        if (e->freight.op == CW_F_MAKE && e->err.code == 0)
            cw_reach_hold_part((crew_array){e->freight.place, e->freight.check});
        if (e->freight.op == CW_F_MAKE)
            say_where(&e->err);
        cw_array_agent_answer(e->node, &e->letter, &e->err, NULL, 0);
        free(e);
        e = next;
    }
    return any;
}

/* ---- letters ---- */

static void answered_by(int i, uint32_t turn, int node, const crew_error *err) {
    if (i >= CW_BOATS || mine.trips[i].turn != turn || !mine.trips[i].waits[node])
        return;
    mine.trips[i].waits[node] = false;
    mine.trips[i].pending--;
    trip_over(i, err);
}

void cw_cast_over(const struct cw_cast_order *order, const crew_error *err) {
    const struct cw_letter letter = {.slot = order->boat, .turn = order->turn};
    if (order->from == here())
        answered_by((int)order->boat, order->turn, here(), err);
    else
        cw_array_agent_answer(order->from, &letter, err, NULL, 0);
}

static void casts_to(int node, struct cw_reader *r) {
    struct cw_cast_order order;
    crew_error err;
    if (!cw_read_into(r, &order, sizeof order) || order.nodes < 1 ||
        order.nodes > mine.agent->place.nodes || order.from != node)
        return;
    size_t size = (size_t)order.nodes * sizeof(int32_t);
    int32_t *chain = malloc(size);
    if (!chain || !cw_read_into(r, chain, size) || !begin_cast(&order, chain, &err)) {
        /* Who follows would wait for ever: better without this node, which all see. */
        abort();
    }
    free(chain);
}

static void asked(int node, const struct cw_letter *letter, struct cw_reader *r) {
    struct cw_freight f;
    struct cw_array_card card;
    crew_error err = {0};
    if (!cw_read_into(r, &f, sizeof f))
        return;
    switch (f.op) {
    case CW_F_LOOK:
        look((crew_array){f.place, f.check}, &card, &err);
        cw_array_agent_answer(node, letter, &err, &card, sizeof card);
        break;
    case CW_F_GET:
    case CW_F_PUT:
    case CW_F_ADD:
        elements(node, letter, &f, r);
        break;
    default:
        begin_errand(node, letter, &f, r);
    }
}

static void answered(int node, const struct cw_letter *letter, struct cw_reader *r) {
    int i = (int)letter->slot;
    if (i >= CW_BOATS || mine.trips[i].turn != letter->turn || !mine.trips[i].waits[node])
        return;
    struct cw_boat *boat = &mine.ferry->boats[i];
    size_t size = (size_t)(r->end - r->at);
    crew_error err = {0};
    if (letter->code)
        cw_read_into(r, &err, sizeof err);
    else if (size && size <= CW_BOAT_ROOM)
        memcpy(cw_boat_room(mine.share, boat), r->at, size);
    if (boat->ask.op == CW_F_GET)
        cw_reach_learn(node, (crew_array){boat->ask.place, boat->ask.check}, (uint64_t)letter->lo);
    answered_by(i, letter->turn, node, &err);
}

bool cw_array_agent_letter(int node, const struct cw_letter *letter, struct cw_reader rest) {
    switch (letter->word) {
    case CW_W_FREIGHT:
        cw_agent_talks(mine.agent);
        asked(node, letter, &rest);
        return true;
    case CW_W_FREIGHT_BACK:
        answered(node, letter, &rest);
        return true;
    case CW_W_CAST:
        casts_to(node, &rest);
        return true;
    case CW_W_ARRAY_GONE:
        forget(node, letter);
        return true;
    case CW_W_ARRAY_GONE_BACK:
        forgotten(node, letter);
        return true;
    case CW_W_NUDGE:
        cw_agent_talks(mine.agent);
        return true;
    default:
        return false;
    }
}

/* ---- the agent ---- */

bool cw_array_agent_work(bool *waits) {
    if (!mine.ferry)
        return false;
    bool any = errands_over(), read;
    any = cw_cast_work(mine.agent, waits) || any;
    any = cw_reach_work(waits, &read) || any;
    if (read && mine.drains)
        swept();
    if (atomic_exchange(&mine.ferry->asked, 0)) {
        struct cw_boat *boat;
        for (int from = 0; (boat = cw_ferry_next(mine.ferry, &from));)
            set_out((int)(boat - mine.ferry->boats));
        any = true;
    }
    if (mine.abroad && cw_now_ns() - mine.swept_ns > SWEEP_NS)
        swept();
    for (int i = 0; i < CW_BOATS && !*waits; i++)
        *waits = mine.trips[i].pending > 0 || mine.trips[i].sweeps;
    if (!*waits)
        mine.agent->eager_ns = 0;
    return any;
}

bool cw_array_agent_idle(void) {
    if (!mine.ferry)
        return true;
    pthread_mutex_lock(&mine.lock);
    bool idle = !mine.over;
    pthread_mutex_unlock(&mine.lock);
    return idle && !atomic_load(&mine.ferry->asked);
}

void cw_array_agent_lost(int node) {
    crew_error err;
    if (!mine.ferry)
        return;
    node_is_lost(node, &err);
    atomic_fetch_add(&mine.ferry->lost, 1);
    for (int i = 0; i < CW_BOATS; i++) {
        if (!mine.trips[i].waits[node])
            continue;
        mine.trips[i].waits[node] = false;
        mine.trips[i].pending--;
        trip_over(i, &err);
    }
    for (struct abroad *x = mine.abroad; x; x = x->next)
        if (x->waits[node]) {
            x->waits[node] = false;
            x->pending--;
        }
    swept();
}

static void begin_once(void) {
    cw_clocked_init(&mine.changed);
}

/* A session may have one job after the other (crew_mpi_pool), and the program may have
 * one session after the other. What a session has is kept: somebody may still look at it. */
int cw_array_agent_begin(struct cw_share *share, struct cw_agent *agent, crew_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, begin_once);
    size_t nodes = (size_t)agent->place.nodes;
    free(mine.waits);
    mine.waits = calloc(CW_BOATS, nodes);
    if (mine.made != share->root.id.inode)
        mine.at = cw_ferry_make(share, err);
    mine.made = share->root.id.inode;
    if (!mine.waits || !mine.at ||
        !cw_reach_begin(share, agent, cw_ptr(&share->arena, mine.at)))
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for %zu nodes", nodes);
    memset(mine.trips, 0, sizeof mine.trips);
    cw_casts_forget();
    for (size_t i = 0; i < CW_BOATS; i++)
        mine.trips[i].waits = mine.waits + i * nodes;
    for (struct abroad *next; mine.abroad; mine.abroad = next) {
        next = mine.abroad->next;
        free(mine.abroad);
    }
    mine.share = share;
    mine.agent = agent;
    mine.ferry = cw_ptr(&share->arena, mine.at);
    for (int i = 0; i < CW_BOATS; i++)
        atomic_store(&mine.ferry->boats[i].word, 0);
    atomic_store(&mine.ferry->lost, 0);
    atomic_store(&mine.ferry->asked, 0);
    atomic_store(&mine.ferry->open, 1);
    if (nodes > 1)
        atomic_store(&share->commons->ferry, mine.at);
    return 0;
}

/* What other nodes' handles meant here. */
static void end_all_of_others(void) {
    struct cw_self *self = cw_self_get();
    for (uint32_t i = 0, n = self ? cw_cells(mine.share, CW_ARRAY) : 0; i < n; i++) {
        struct cw_array *array = (struct cw_array *)cw_cell(mine.share, CW_ARRAY, i);
        uint32_t generation = atomic_load(&array->lock.head.generation);
        if (generation & 1 && atomic_load(&array->origin_place))
            cw_array_end(self, array,
                         cw_array_handle(mine.share, array, cw_handle_check(mine.share, generation)));
    }
}

void cw_array_agent_end(void) {
    struct cw_deadline d = cw_deadline_in(END_SECONDS);
    if (!mine.ferry)
        return;
    atomic_store(&mine.share->commons->ferry, 0);
    atomic_store(&mine.ferry->open, 0);
    pthread_mutex_lock(&mine.lock);
    while (mine.threads && !cw_deadline_over(&d))
        cw_clocked_wait(&mine.changed, &mine.lock, END_LOOK_NS);
    pthread_mutex_unlock(&mine.lock);
    if (!mine.agent->joint)
        return;
    end_all_of_others(); /* the program goes on */
    cw_reach_end();
    for (struct abroad *x = mine.abroad; x; x = x->next)
        if (x->block && cw_reach_let_go(x->a))
            cw_free(&mine.share->arrays, x->block);
}
