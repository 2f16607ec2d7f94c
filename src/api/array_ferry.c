/* Arrays over several nodes, as who uses them sees it: what another node's handle means
 * here, and telling the other nodes. share/ferry.h carries it, array_agent.c is the
 * other end.
 *
 * An array has a home, the node that it was made on. NODE: others make theirs when they
 * first use the handle, after they have asked home what it looks like. REPLICATED and
 * PARTITIONED: all have it before there is a handle. What a node has for another node's
 * handle is found by `origin`. */
#include "api/array_agent.h"
#include "api/array_impl.h"
#include "api/joint.h"
#include "api/objects.h"
#include "os/robust.h"

#include <errno.h>
#include <string.h>

/* ---- who has which rows ---- */

void cw_array_part(int64_t all, int node, int nodes, int64_t *first, int64_t *rows) {
    int64_t each = all / nodes, more = all % nodes;
    *first = node * each + (node < more ? node : more);
    *rows = each + (node < more);
}

int cw_array_owner(int64_t all, int nodes, int64_t row) {
    int64_t each = all / nodes, more = all % nodes, longer = more * (each + 1);
    return (int)(row < longer ? row / (each + 1) : more + (row - longer) / each);
}

/* ---- asking ---- */

/* How long who wants a boat sleeps before it looks again. */
static const double LOOK_AGAIN = 0.01;

struct cw_boat *cw_boat_take(struct cw_self *self, crew_error *err) {
    struct cw_ferry *ferry = cw_ferry(self->share);
    struct cw_boat *boat = NULL;
    while (ferry && !boat) {
        uint32_t freed = atomic_load(&ferry->freed);
        if (!(boat = cw_boat_find(ferry, self->number + 1)))
            cw_joint_wait(&ferry->freed, freed, LOOK_AGAIN);
    }
    if (!boat) {
        cw_error_set(err, CREW_EBROKEN, 0, "the program's other nodes have left");
        return NULL;
    }
    atomic_store(&boat->gone, 0);
    if (!atomic_load(&boat->room) &&
        !cw_alloc(&self->share->arena, CW_BOAT_ROOM, &boat->room, err)) {
        cw_boat_leave(self->share, boat);
        return NULL;
    }
    return boat;
}

int cw_boat_ask(struct cw_self *self, struct cw_boat *boat, crew_error *err) {
    struct cw_ferry *ferry = cw_ferry(self->share);
    uint32_t hand = self->number + 1, back = cw_boat_word(CW_BOAT_BACK, hand), word;
    if (!ferry)
        return cw_error_set(err, CREW_EBROKEN, 0, "the program's other nodes have left");
    cw_boat_post(self->share, boat, hand);
    while ((word = atomic_load(&boat->word)) != back) {
        if (!atomic_load(&ferry->open))
            return cw_error_set(err, CREW_EBROKEN, 0, "the program's other nodes have left");
        cw_joint_wait(&boat->word, word, 1);
    }
    return boat->told.code ? cw_error_copy(err, &boat->told) : 0;
}

/* ---- what a handle of another node means ---- */

static bool means(const struct cw_array *array, crew_array a) {
    return cw_head_live(&array->lock.head) &&
           atomic_load_explicit(&array->origin_check, memory_order_relaxed) == a.check &&
           atomic_load_explicit(&array->origin_place, memory_order_relaxed) == a.place &&
           !cw_life_over(atomic_load_explicit(&array->life, memory_order_acquire));
}

/* What this thread has found of late. Cells are for arrays for ever. */
enum { KNOWN = 8 };
static _Thread_local struct {
    unsigned era;
    struct cw_array *array[KNOWN];
} known;

struct cw_array *cw_array_find(struct cw_share *share, crew_array a, uint64_t *check) {
    struct cw_array **at = &known.array[(a.place >> 6 ^ a.check) % KNOWN];
    if (known.era != cw_share_era)
        memset(&known, 0, sizeof known);
    known.era = cw_share_era;
    struct cw_array *array = *at && means(*at, a) ? *at : NULL;
    for (uint32_t i = 0, n = array ? 0 : cw_cells(share, CW_ARRAY); i < n && !array; i++) {
        struct cw_array *other = (struct cw_array *)cw_cell(share, CW_ARRAY, i);
        if (means(other, a))
            array = other;
    }
    if (!array)
        return NULL;
    *at = array;
    *check = cw_handle_check(share, atomic_load(&array->lock.head.generation));
    return means(array, a) ? array : NULL;
}

static void lock(struct cw_ferry *ferry) {
    /* Who dies in it leaves an array or none: nothing is to be put right. */
    if (cw_robust_lock(&ferry->adopting) == EOWNERDEAD)
        pthread_mutex_consistent(&ferry->adopting);
}

static int make_view(struct cw_self *self, crew_array a, const struct cw_array_card *card,
                     crew_array *made, crew_error *err) {
    struct cw_array_look look = {.origin = a, .form = card->form};
    uint64_t check;
    const struct cw_array *base = cw_array_find(self->share, card->base, &check);
    if (!base)
        return cw_error_set(err, CREW_EINVAL, 0, "there is no such array any more");
    look.of = cw_array_handle(self->share, base, check);
    look.data = atomic_load(&base->data) + (uint64_t)card->beyond;
    return cw_array_make_view(self->share, &look, made, err);
}

int cw_array_adopt(struct cw_self *self, crew_array a, const struct cw_array_card *card,
                   crew_error *err) {
    struct cw_ferry *ferry = cw_ferry(self->share);
    struct cw_array_plan plan = {.origin = a};
    crew_array made;
    uint64_t check;
    int rc = 0;
    lock(ferry);
    if (cw_array_find(self->share, a, &check))
        ; /* somebody else was first */
    else if (card->is_view)
        rc = make_view(self, a, card, &made, err);
    else if ((rc = cw_array_plan(&plan, &card->form)) == 0)
        rc = cw_array_make(self, &plan, false, &made, err);
    pthread_mutex_unlock(&ferry->adopting);
    return rc < 0 ? rc : cw_error_clear(err);
}

static void leave(struct cw_self *self, struct cw_boat *boat) {
    if (boat)
        cw_boat_leave(self->share, boat);
}

/* Asks home. The boat stays out, for the agent to say that it was destroyed. */
static struct cw_boat *ask_home(struct cw_self *self, enum cw_freight_op op, crew_array a) {
    struct cw_boat *boat = cw_boat_take(self, cw_error_last());
    if (!boat)
        return NULL;
    boat->ask = (struct cw_freight){.op = op,
                                    .node = (int32_t)cw_handle_node(a.check),
                                    .place = a.place,
                                    .check = a.check};
    if (cw_boat_ask(self, boat, cw_error_last()) == 0)
        return boat;
    leave(self, boat);
    return NULL;
}

struct cw_array *cw_array_of_another(struct cw_share *share, crew_array a, uint64_t *check) {
    struct cw_array *array = cw_array_find(share, a, check);
    struct cw_self *self = array ? NULL : cw_self_get();
    while (self && !array) {
        struct cw_array_card card;
        uint64_t base;
        struct cw_boat *boat = ask_home(self, CW_F_LOOK, a);
        if (!boat)
            return NULL;
        memcpy(&card, cw_boat_room(share, boat), sizeof card);
        if (card.is_view && !cw_array_find(share, card.base, &base)) {
            /* First what it is a view of; then again, for it may be gone by then. */
            leave(self, boat);
            if (!(cw_object(share, CW_ARRAY, card.base.place, card.base.check)
                      ? NULL : cw_array_of_another(share, card.base, &base)))
                return NULL;
            continue;
        }
        int rc = cw_array_adopt(self, a, &card, cw_error_last());
        array = rc == 0 ? cw_array_find(share, a, check) : NULL;
        /* Pairs with the agent's: it says so, then looks for what there is. */
        bool gone = atomic_load(&boat->gone) || (rc == 0 && !array);
        leave(self, boat);
        if (gone) {
            if (array)
                cw_array_end(self, array, cw_array_handle(share, array, *check));
            cw_handle_stale(CW_ARRAY, a.place, a.check);
            return NULL;
        }
        if (rc < 0)
            return NULL;
    }
    return array;
}

crew_array cw_array_known_as(const struct cw_array_use *use) {
    const crew_array origin = {.place = atomic_load(&use->base->origin_place),
                               .check = atomic_load(&use->base->origin_check)};
    return origin.place ? origin : cw_array_handle(use->share, use->base, use->base_check);
}

/* ---- all nodes ---- */

int cw_array_make_elsewhere(struct cw_self *self, crew_array a, const struct cw_array_form *form) {
    struct cw_boat *boat = cw_boat_take(self, cw_error_last());
    int rc = boat ? 0 : crew_last_error()->code;
    if (boat) {
        const struct cw_array_card card = {.form = *form};
        memcpy(cw_boat_room(self->share, boat), &card, sizeof card);
        boat->ask = (struct cw_freight){.op = CW_F_MAKE,
                                        .node = CW_TO_OTHERS,
                                        .place = a.place,
                                        .check = a.check,
                                        .bytes = sizeof card};
        rc = cw_boat_ask(self, boat, cw_error_last());
        leave(self, boat);
    }
    if (rc < 0) {
        crew_error why = *crew_last_error();
        crew_array_destroy(a);
        *cw_error_last() = why;
    }
    return rc;
}

int cw_array_end_elsewhere(struct cw_self *self) {
    struct cw_boat *boat = cw_boat_take(self, cw_error_last());
    if (!boat)
        return cw_error_clear(NULL); /* the agent will find it by itself */
    boat->ask = (struct cw_freight){.op = CW_F_SWEEP, .node = CW_TO_AGENT};
    cw_boat_ask(self, boat, cw_error_last());
    leave(self, boat);
    return cw_error_clear(NULL);
}

int cw_array_end_at_home(crew_array a) {
    struct cw_self *self = cw_self_get();
    struct cw_boat *boat = self ? ask_home(self, CW_F_END, a) : NULL;
    if (!boat)
        return crew_last_error()->code;
    leave(self, boat);
    return cw_error_clear(NULL);
}
