/* One key at a time: finding, changing, waiting. What concerns a whole dictionary
 * is in dict_whole.c. */
#include "share/dict_core.h"

#include <string.h>

#include "base/error.h"

enum { FIRST_LOG2 = 3, MOST_LOG2 = 31 };

/* ---- finding ---- */

/* A good 64-bit mix: every bit of x counts for every bit of the result. */
static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93ull;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93ull;
    return x ^ x >> 32;
}

static uint64_t hash_of(const struct cw_dict *d, struct cw_bytes key) {
    const char *at = key.data;
    uint64_t hash = mix(d->seed ^ key.size), word;
    size_t left = key.size;
    for (; left >= sizeof word; left -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        hash = mix(hash ^ word) + word;
    }
    word = 0;
    if (left)
        memcpy(&word, at, left);
    return mix(hash ^ word);
}

static struct cw_stripe *stripe_of(struct cw_dict *d, uint64_t hash) {
    return &d->stripe[hash >> 58];
}

/* The link that leads to the key's entry, NULL if there is none. */
static _Atomic cw_off *find(const struct cw_share *share, uint64_t table, struct cw_bytes key,
                            uint64_t hash) {
    if (!table)
        return NULL;
    _Atomic cw_off *link = cw_dict_slots(share, table) + (hash & (cw_dict_slot_count(table) - 1));
    for (cw_off at; (at = cw_look(link)) != 0;) {
        struct cw_dict_entry *e = cw_dict_entry(share, at);
        if (e->hash == hash && e->ksize == key.size &&
            (key.size == 0 || memcmp(e->bytes + e->vsize, key.data, key.size) == 0))
            return link;
        link = &e->next[cw_dict_parity(table)];
    }
    return NULL;
}

/* ---- changing, each with the stripe's bolt ---- */

/* A new entry in the hand's cell, of nobody's table yet. Without the bolt. */
static int make_entry(struct cw_self *self, const struct cw_dict_change *c, uint64_t hash,
                      crew_error *err) {
    size_t bytes = sizeof(struct cw_dict_entry) + c->want.size + c->key.size;
    cw_off at = cw_alloc(&self->share->arena, bytes, &self->hand->block[CW_DICT_IN], err);
    if (!at)
        return CREW_ENOMEM;
    struct cw_dict_entry *e = cw_dict_entry(self->share, at);
    e->hash = hash;
    e->vsize = c->want.size;
    e->ksize = c->key.size;
    if (c->want.size)
        memcpy(e->bytes, c->want.data, c->want.size);
    if (c->key.size)
        memcpy(e->bytes + c->want.size, c->key.data, c->key.size);
    return 0;
}

/* A table twice as large as there are entries, at least. */
static int grow(struct cw_self *self, struct cw_stripe *stripe, crew_error *err) {
    struct cw_share *share = self->share;
    _Atomic cw_off *block = self->hand->block;
    uint64_t old = cw_look(&stripe->table), log2 = FIRST_LOG2;
    while ((uint64_t)1 << log2 <= cw_look(&stripe->count) && log2 < MOST_LOG2)
        log2++;
    if (!cw_alloc_zero(&share->arena, sizeof(cw_off) << log2, &block[CW_DICT_TABLE_IN], err))
        return CREW_ENOMEM;
    int from = cw_dict_parity(old), to = !from;
    uint64_t fresh = cw_look(&block[CW_DICT_TABLE_IN]) | log2 << 1 | (uint64_t)to;
    _Atomic cw_off *slots = cw_dict_slots(share, fresh);
    for (uint64_t i = 0, n = cw_dict_slot_count(old); i < n; i++)
        for (cw_off at = cw_look(&cw_dict_slots(share, old)[i]); at;) {
            struct cw_dict_entry *e = cw_dict_entry(share, at);
            _Atomic cw_off *slot = &slots[e->hash & (((uint64_t)1 << log2) - 1)];
            cw_put(&e->next[to], cw_look(slot));
            cw_put(slot, at);
            at = cw_look(&e->next[from]);
        }
    cw_put(&block[CW_DICT_TABLE_OUT], cw_dict_table_at(old));
    cw_put(&stripe->table, fresh);
    cw_put(&block[CW_DICT_TABLE_IN], 0);
    cw_free_cell(&share->arena, &block[CW_DICT_TABLE_OUT]);
    return 0;
}

static int insert(struct cw_self *self, struct cw_stripe *stripe, crew_error *err) {
    uint64_t count = cw_look(&stripe->count), table = cw_look(&stripe->table);
    /* A table that cannot grow serves on, with longer chains. */
    if (!table || count % cw_dict_slot_count(table) == 0)
        if (grow(self, stripe, err) < 0 && !table)
            return CREW_ENOMEM;
    table = cw_look(&stripe->table);
    _Atomic cw_off *in = &self->hand->block[CW_DICT_IN];
    cw_off at = cw_look(in);
    struct cw_dict_entry *e = cw_dict_entry(self->share, at);
    _Atomic cw_off *slot =
        cw_dict_slots(self->share, table) + (e->hash & (cw_dict_slot_count(table) - 1));
    cw_put(&e->next[cw_dict_parity(table)], cw_look(slot));
    cw_put(slot, at);
    cw_put(in, 0);
    cw_put(&stripe->count, count + 1);
    /* With the bolt: if this hand dies before, its burial does it. */
    cw_gate_wake(&stripe->gate, INT32_MAX);
    return 1;
}

static int replace(struct cw_self *self, uint64_t table, _Atomic cw_off *link) {
    _Atomic cw_off *block = self->hand->block;
    cw_off old = cw_look(link), at = cw_look(&block[CW_DICT_IN]);
    int next = cw_dict_parity(table);
    cw_put(&cw_dict_entry(self->share, at)->next[next],
           cw_look(&cw_dict_entry(self->share, old)->next[next]));
    cw_put(&block[CW_DICT_OUT], old);
    cw_put(link, at);
    cw_put(&block[CW_DICT_IN], 0);
    return 1;
}

static int take_out(struct cw_self *self, struct cw_stripe *stripe, _Atomic cw_off *link) {
    cw_off old = cw_look(link);
    cw_put(&self->hand->block[CW_DICT_OUT], old);
    cw_put(
        link,
        cw_look(&cw_dict_entry(self->share, old)->next[cw_dict_parity(cw_look(&stripe->table))]));
    cw_put(&stripe->count, cw_look(&stripe->count) - 1);
    return 1;
}

static bool is_equal(const struct cw_dict_entry *e, struct cw_bytes is) {
    if (!e || !is.data)
        return !e && !is.data;
    return e->vsize == is.size && (is.size == 0 || memcmp(e->bytes, is.data, is.size) == 0);
}

static int add(struct cw_dict_entry *e, struct cw_dict_change *c) {
    int64_t sum;
    if (e->vsize != sizeof sum)
        return CREW_EMISMATCH;
    memcpy(&c->before, e->bytes, sizeof sum);
    sum = (int64_t)((uint64_t)c->before + (uint64_t)c->n);
    cw_put_in_place(e->bytes, &sum);
    return 1;
}

/* One look at the key with what is at hand. NEEDS_ENTRY: one has to be made. */
enum { NEEDS_ENTRY = 2 };
static int attempt(struct cw_self *self, struct cw_stripe *stripe, uint64_t hash,
                   struct cw_dict_change *c, crew_error *err) {
    uint64_t table = cw_look(&stripe->table);
    _Atomic cw_off *link = find(self->share, table, c->key, hash);
    struct cw_dict_entry *e = link ? cw_dict_entry(self->share, cw_look(link)) : NULL;
    if (c->add && e)
        return add(e, c);
    if (c->compare && !is_equal(e, c->is))
        return 0;
    if (!c->want.data)
        return e ? take_out(self, stripe, link) : c->compare;
    if (e && e->vsize == sizeof(uint64_t) && c->want.size == sizeof(uint64_t)) {
        cw_put_in_place(e->bytes, c->want.data);
        return 1;
    }
    if (!cw_look(&self->hand->block[CW_DICT_IN]))
        return NEEDS_ENTRY;
    return e ? replace(self, table, link) : insert(self, stripe, err);
}

int cw_dict_change(struct cw_self *self, struct cw_dict *d, uint64_t check,
                   struct cw_dict_change *c, crew_error *err) {
    uint64_t hash = hash_of(d, c->key);
    struct cw_stripe *stripe = stripe_of(d, hash);
    _Atomic cw_off *block = self->hand->block;
    int rc = NEEDS_ENTRY;
    /* Copied before others have to wait; of 8 bytes probably none is needed. */
    bool makes = c->want.data && c->want.size != sizeof(uint64_t);
    while (rc == NEEDS_ENTRY) {
        if (makes && (rc = make_entry(self, c, hash, err)) < 0)
            break;
        if ((rc = cw_bolt_acquire(self, &stripe->bolt, check, CREW_FOREVER)) < 0)
            break;
        rc = cw_object_same(&d->head, check) ? attempt(self, stripe, hash, c, err) : CREW_EINVAL;
        cw_bolt_release(self, &stripe->bolt, check);
        makes = true;
    }
    /* Not used; replaced or removed. */
    cw_free_cell(&self->share->arena, &block[CW_DICT_IN]);
    cw_free_cell(&self->share->arena, &block[CW_DICT_OUT]);
    return rc;
}

/* ---- reading ---- */

int cw_dict_get(struct cw_self *self, struct cw_dict *d, uint64_t check, struct cw_bytes key,
                struct cw_out *out, bool take, double timeout) {
    struct cw_deadline deadline = cw_deadline_in(timeout);
    uint64_t hash = hash_of(d, key);
    struct cw_stripe *stripe = stripe_of(d, hash);
    bool waits = false;
    for (;;) {
        uint32_t seen = waits ? cw_gate_look(&stripe->gate) : 0;
        int rc = cw_bolt_acquire(self, &stripe->bolt, check, CREW_FOREVER);
        if (rc < 0)
            return rc;
        rc = CREW_EINVAL;
        if (cw_object_same(&d->head, check)) {
            _Atomic cw_off *link = find(self->share, cw_look(&stripe->table), key, hash);
            const struct cw_dict_entry *e = link ? cw_dict_entry(self->share, cw_look(link)) : NULL;
            rc = e ? cw_out_put(out, e->bytes, e->vsize) : CREW_ENOENT;
            if (rc == 0 && take)
                take_out(self, stripe, link);
        }
        cw_bolt_release(self, &stripe->bolt, check);
        if (rc != CREW_ENOENT) {
            cw_free_cell(&self->share->arena, &self->hand->block[CW_DICT_OUT]);
            return rc;
        }
        if (timeout == 0)
            return CREW_ENOENT;
        if (waits && !cw_gate_wait(self, &stripe->gate, seen, &deadline))
            return CREW_ETIMEDOUT;
        waits = true;
    }
}
