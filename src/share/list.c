/* Lists: their ends, their middles, and their deaths. */
#include "share/list.h"

#include <string.h>

#include "base/error.h"
#include "share/kinds.h"

/* What the hand's cells hold on its way. */
enum { IN, OUT, VECTOR_IN, VECTOR_OUT };
_Static_assert((int)VECTOR_OUT < (int)CW_HAND_BLOCKS, "the hand has a cell for each");

enum { ROOM_LEAST = 8 };

static struct cw_item *item_at(const struct cw_share *share, cw_off at) {
    return cw_ptr(&share->arena, at);
}

static struct cw_vector *vector_at(const struct cw_share *share, cw_off at) {
    return cw_ptr(&share->arena, at);
}

static struct cw_vector *vector_of(const struct cw_share *share, const struct cw_list *l) {
    return vector_at(share, cw_look(&l->vector));
}

static uint64_t length(const struct cw_vector *v) {
    return v ? cw_look(&v->end) - cw_look(&v->first) : 0;
}

/* False: the list is gone, and not held. */
static bool enter(struct cw_self *self, struct cw_list *l, uint64_t check) {
    if (cw_bolt_acquire(self, &l->bolt, check, CREW_FOREVER) < 0)
        return false;
    if (cw_object_same(&l->head, check))
        return true;
    cw_bolt_release(self, &l->bolt, check);
    return false;
}

/* Lets others in; then frees what came out of the list, or did not go in. */
static int leave(struct cw_self *self, struct cw_list *l, uint64_t check, int rc) {
    cw_bolt_release(self, &l->bolt, check);
    cw_free_cell(&self->share->arena, &self->hand->block[IN]);
    cw_free_cell(&self->share->arena, &self->hand->block[OUT]);
    return rc;
}

/* A copy in the hand's cell, of no list yet. Without the bolt. */
static int make_item(struct cw_self *self, struct cw_bytes bytes, crew_error *err) {
    cw_off at = cw_alloc(&self->share->arena, sizeof(struct cw_item) + bytes.size,
                         &self->hand->block[IN], err);
    if (!at)
        return CREW_ENOMEM;
    struct cw_item *item = item_at(self->share, at);
    item->size = bytes.size;
    if (bytes.size)
        memcpy(item->bytes, bytes.data, bytes.size);
    return 0;
}

/* ---- vectors ---- */

/* What a new vector has that the old one has not, or the other way round. */
struct change {
    uint64_t at;   /* position in the old one */
    uint64_t drop; /* 1: not the item there */
    cw_off add;    /* before it; 0: none */
    bool front;    /* the spare places are in front */
};

/* A new vector with the change; it is the list's when this returns 0, the old one
 * is freed. */
static int renew(struct cw_self *self, struct cw_list *l, struct change c, crew_error *err) {
    struct cw_share *share = self->share;
    _Atomic cw_off *block = self->hand->block;
    struct cw_vector *old = vector_of(share, l);
    uint64_t n = length(old), size = n - c.drop + (c.add != 0),
             from = old ? cw_look(&old->first) : 0;
    uint64_t room = size + size / 2 + ROOM_LEAST;
    if (!cw_alloc(&share->arena, sizeof *old + room * sizeof(cw_off), &block[VECTOR_IN], err))
        return CREW_ENOMEM;
    struct cw_vector *fresh = vector_at(share, cw_look(&block[VECTOR_IN]));
    uint64_t first = c.front ? room - size : 0, to = first;
    fresh->room = room;
    for (uint64_t i = 0; i <= n; i++) {
        if (i == c.at && c.add)
            cw_put(&fresh->item[to++], c.add);
        if (i < n && !(i == c.at && c.drop))
            cw_put(&fresh->item[to++], cw_look(&old->item[from + i]));
    }
    cw_put(&fresh->first, first);
    cw_put(&fresh->end, to);
    cw_put(&block[VECTOR_OUT], cw_look(&l->vector));
    cw_put(&l->vector, cw_look(&block[VECTOR_IN]));
    cw_put(&block[VECTOR_IN], 0);
    cw_free_cell(&share->arena, &block[VECTOR_OUT]);
    return 0;
}

/* Where an index points; false: nowhere. */
static bool position(const struct cw_vector *v, int64_t index, uint64_t *at) {
    uint64_t n = length(v);
    if (index < 0)
        index += (int64_t)n;
    *at = (uint64_t)index;
    return index >= 0 && *at < n;
}

/* ---- items ---- */

/* With the bolt, and the item in the hand's cell. */
static int put_in(struct cw_self *self, struct cw_list *l, uint64_t at, crew_error *err) {
    _Atomic cw_off *in = &self->hand->block[IN];
    const struct cw_vector *v = vector_of(self->share, l);
    uint64_t n = length(v);
    bool front = at == 0 && n > 0, back = at == n;
    if (!front && !back) {
        int rc = renew(self, l, (struct change){.at = at, .add = cw_look(in)}, err);
        if (rc == 0)
            cw_put(in, 0);
        return rc;
    }
    if (!v || (front ? cw_look(&v->first) == 0 : cw_look(&v->end) == v->room))
        if (renew(self, l, (struct change){.front = front}, err) < 0)
            return CREW_ENOMEM;
    struct cw_vector *wide = vector_of(self->share, l);
    uint64_t place = front ? cw_look(&wide->first) - 1 : cw_look(&wide->end);
    cw_put(&wide->item[place], cw_look(in));
    cw_put(front ? &wide->first : &wide->end, front ? place : place + 1);
    cw_put(in, 0);
    return 0;
}

int cw_list_insert(struct cw_self *self, struct cw_list *l, uint64_t check, int64_t index,
                   struct cw_bytes item, crew_error *err) {
    uint64_t at;
    int rc = make_item(self, item, err);
    if (rc < 0)
        return rc;
    if (!enter(self, l, check)) {
        cw_free_cell(&self->share->arena, &self->hand->block[IN]);
        return CREW_EINVAL;
    }
    const struct cw_vector *v = vector_of(self->share, l);
    if (!position(v, index, &at))
        at = index < 0 ? 0 : length(v);
    return leave(self, l, check, put_in(self, l, at, err));
}

int cw_list_set(struct cw_self *self, struct cw_list *l, uint64_t check, int64_t index,
                struct cw_bytes item, crew_error *err) {
    _Atomic cw_off *block = self->hand->block;
    uint64_t at;
    int rc = make_item(self, item, err);
    if (rc < 0)
        return rc;
    if (!enter(self, l, check)) {
        cw_free_cell(&self->share->arena, &block[IN]);
        return CREW_EINVAL;
    }
    struct cw_vector *v = vector_of(self->share, l);
    if (!position(v, index, &at))
        return leave(self, l, check, CREW_ENOENT);
    _Atomic cw_off *place = &v->item[cw_look(&v->first) + at];
    cw_put(&block[OUT], cw_look(place));
    cw_put(place, cw_look(&block[IN]));
    cw_put(&block[IN], 0);
    return leave(self, l, check, 0);
}

/* A vector that is mostly spare places is worth a smaller one. */
static bool is_wide(const struct cw_vector *v) {
    return v->room > 64 && length(v) < v->room / 4;
}

static int take_out(struct cw_self *self, struct cw_list *l, uint64_t at, crew_error *err) {
    _Atomic cw_off *out = &self->hand->block[OUT];
    struct cw_vector *v = vector_of(self->share, l);
    uint64_t first = cw_look(&v->first), end = cw_look(&v->end);
    bool front = at == 0, back = first + at + 1 == end;
    cw_put(out, cw_look(&v->item[first + at]));
    if (!(front || back) || is_wide(v)) {
        int rc = renew(self, l, (struct change){.at = at, .drop = 1}, err);
        if (rc == 0)
            return 0;
        if (!front && !back) {
            cw_put(out, 0);
            return rc;
        }
    }
    cw_put(back ? &v->end : &v->first, back ? end - 1 : first + 1);
    return 0;
}

int cw_list_get(struct cw_self *self, struct cw_list *l, uint64_t check, int64_t index,
                struct cw_out *out, bool take, crew_error *err) {
    uint64_t at;
    if (!enter(self, l, check))
        return CREW_EINVAL;
    const struct cw_vector *v = vector_of(self->share, l);
    if (!position(v, index, &at))
        return leave(self, l, check, CREW_ENOENT);
    const struct cw_item *item = item_at(self->share, cw_look(&v->item[cw_look(&v->first) + at]));
    int rc = cw_out_put(out, item->bytes, item->size);
    if (rc == 0 && take && (rc = take_out(self, l, at, err)) < 0)
        cw_out_undo(out);
    return leave(self, l, check, rc);
}

/* ---- the whole list ---- */

int64_t cw_list_size(struct cw_self *self, struct cw_list *l, uint64_t check) {
    if (!enter(self, l, check))
        return CREW_EINVAL;
    int64_t n = (int64_t)length(vector_of(self->share, l));
    cw_bolt_release(self, &l->bolt, check);
    return n;
}

int cw_list_copy(struct cw_self *self, struct cw_list *l, uint64_t check, struct cw_copy *copy) {
    int rc = 0;
    if (!enter(self, l, check))
        return CREW_EINVAL;
    const struct cw_vector *v = vector_of(self->share, l);
    for (uint64_t i = 0; i < length(v) && rc == 0; i++) {
        const struct cw_item *item =
            item_at(self->share, cw_look(&v->item[cw_look(&v->first) + i]));
        if (!cw_copy_add(copy, (struct cw_bytes){0}, (struct cw_bytes){item->bytes, item->size}))
            rc = CREW_ENOMEM;
    }
    return leave(self, l, check, rc);
}

/* Frees what is gone, through the hand's cells, which are empty. */
static void drain(struct cw_share *share, struct cw_hand *hand, struct cw_list *l) {
    struct cw_vector *v = vector_at(share, cw_look(&l->gone));
    if (!v)
        return;
    for (uint64_t end; (end = cw_look(&v->end)) != cw_look(&v->first);) {
        cw_put(&hand->block[OUT], cw_look(&v->item[end - 1]));
        cw_put(&v->end, end - 1);
        cw_free_cell(&share->arena, &hand->block[OUT]);
    }
    cw_put(&hand->block[VECTOR_OUT], cw_look(&l->gone));
    cw_put(&l->gone, 0);
    cw_free_cell(&share->arena, &hand->block[VECTOR_OUT]);
}

static void empty(struct cw_self *self, struct cw_list *l) {
    cw_put(&l->gone, cw_look(&l->vector));
    cw_put(&l->vector, 0);
    drain(self->share, self->hand, l);
}

int cw_list_clear(struct cw_self *self, struct cw_list *l, uint64_t check) {
    if (!enter(self, l, check))
        return CREW_EINVAL;
    empty(self, l);
    return leave(self, l, check, 0);
}

int cw_list_end(struct cw_self *self, struct cw_list *l, uint64_t place, uint64_t check) {
    if (!enter(self, l, check))
        return CREW_EINVAL;
    /* Not left to `scrub`, for which everybody who makes an object waits. */
    empty(self, l);
    return leave(self, l, check, cw_object_end(self->share, CW_LIST, place, check));
}

const char *cw_list_check(struct cw_self *self, struct cw_list *l) {
    const char *wrong = NULL;
    uint64_t check = atomic_load_explicit(&l->head.generation, memory_order_acquire);
    if (!enter(self, l, check))
        return "the list is gone";
    const struct cw_vector *v = vector_of(self->share, l);
    if (v && (cw_look(&v->first) > cw_look(&v->end) || cw_look(&v->end) > v->room))
        wrong = "the ends of the vector are not in it";
    for (uint64_t i = 0; i < length(v) && !wrong; i++)
        if (!cw_look(&v->item[cw_look(&v->first) + i]))
            wrong = "there is no item in its place";
    if (!wrong && cw_look(&l->gone))
        wrong = "somebody has cleared it and is not there";
    for (int i = 0; i < CW_HAND_BLOCKS && !wrong; i++)
        if (cw_look(&self->hand->block[i]))
            wrong = "a hand has kept a block";
    cw_bolt_release(self, &l->bolt, check);
    return wrong;
}

/* ---- deaths ---- */

static void disown(const struct cw_share *share, struct cw_hand *hand, cw_off vector) {
    const struct cw_vector *v = vector_at(share, vector);
    cw_hand_disown(hand, vector);
    for (uint64_t i = v ? cw_look(&v->first) : 0, end = v ? cw_look(&v->end) : 0; i < end; i++)
        cw_hand_disown(hand, cw_look(&v->item[i]));
}

static void turn(struct cw_head *head, uint32_t generation) {
    cw_bolt_turn(&((struct cw_list *)head)->bolt, generation);
}

static void bury(struct cw_share *share, struct cw_head *head, uint32_t party) {
    struct cw_list *l = (struct cw_list *)head;
    if (!cw_bolt_is_of(share, &l->bolt, party))
        return;
    struct cw_hand *hand = cw_hand_at(share, cw_bolt_holder(&l->bolt) - 1);
    disown(share, hand, cw_look(&l->vector));
    if (cw_look(&l->gone) == cw_look(&l->vector))
        cw_put(&l->gone, 0);
    if (cw_look(&l->gone)) {
        disown(share, hand, cw_look(&l->gone));
        for (int cell = 0; cell < CW_HAND_BLOCKS; cell++)
            cw_free_cell(&share->arena, &hand->block[cell]);
        drain(share, hand, l);
    }
    cw_bolt_bury(share, &l->bolt, party, false);
}

const struct cw_kind cw_kind_list = {.name = "list", .bytes = 64, .turn = turn, .bury = bury};

_Static_assert(sizeof(struct cw_list) <= 64, "a cell");
