/* Whole dictionaries: counted, copied, cleared, ended, and put right after a
 * death. */
#include "share/dict_core.h"

#include "base/error.h"
#include "share/kinds.h"

#include <time.h>

int cw_dict_init(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err) {
    struct cw_dict *d = (struct cw_dict *)head;
    struct timespec now;
    (void)share, (void)arg, (void)err;
    /* Once in the cell's life: users of an earlier dictionary may still read it. */
    if (d->seed)
        return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    /* What an adversary who chooses the keys does not know. */
    d->seed = ((uint64_t)now.tv_nsec << 34 ^ (uint64_t)now.tv_sec ^ (uintptr_t)&now) | 1;
    return 0;
}

/* ---- all stripes ---- */

static void release_all(const struct cw_self *self, struct cw_dict *d, uint64_t check) {
    for (int i = 0; i < CW_STRIPES; i++)
        cw_bolt_release(self, &d->stripe[i].bolt, check);
}

/* False: the dictionary is gone, and none is held. */
static bool acquire_all(struct cw_self *self, struct cw_dict *d, uint64_t check) {
    for (int i = 0; i < CW_STRIPES; i++)
        if (cw_bolt_acquire(self, &d->stripe[i].bolt, check, CREW_FOREVER) < 0)
            break;
    if (cw_object_same(&d->head, check))
        return true;
    release_all(self, d, check);
    return false;
}

int64_t cw_dict_size(struct cw_self *self, struct cw_dict *d, uint64_t check) {
    uint64_t count = 0;
    if (!acquire_all(self, d, check))
        return CREW_EINVAL;
    for (int i = 0; i < CW_STRIPES; i++)
        count += cw_look(&d->stripe[i].count);
    release_all(self, d, check);
    return (int64_t)count;
}

/* Calls fn with the offset of each entry until it returns false. */
static bool walk(const struct cw_share *share, const struct cw_stripe *stripe,
                 bool (*fn)(void *ctx, cw_off at, const struct cw_dict_entry *e), void *ctx) {
    uint64_t table = cw_look(&stripe->table);
    for (uint64_t i = 0, n = cw_dict_slot_count(table); i < n; i++)
        for (cw_off at = cw_look(&cw_dict_slots(share, table)[i]); at;) {
            const struct cw_dict_entry *e = cw_dict_entry(share, at);
            if (!fn(ctx, at, e))
                return false;
            at = cw_look(&e->next[cw_dict_parity(table)]);
        }
    return true;
}

static bool copy_entry(void *ctx, cw_off at, const struct cw_dict_entry *e) {
    (void)at;
    return cw_copy_add(ctx, (struct cw_bytes){e->bytes + e->vsize, e->ksize},
                       (struct cw_bytes){e->bytes, e->vsize});
}

int cw_dict_copy(struct cw_self *self, struct cw_dict *d, uint64_t check, struct cw_copy *copy) {
    int rc = 0;
    if (!acquire_all(self, d, check))
        return CREW_EINVAL;
    for (int i = 0; i < CW_STRIPES && rc == 0; i++)
        if (!walk(self->share, &d->stripe[i], copy_entry, copy))
            rc = CREW_ENOMEM;
    release_all(self, d, check);
    return rc;
}

/* Frees all that a stripe has, through the hand's cells, which are empty. */
static void drain(struct cw_share *share, struct cw_hand *hand, struct cw_stripe *stripe) {
    uint64_t table = cw_look(&stripe->table);
    for (uint64_t i = 0, n = cw_dict_slot_count(table); i < n; i++) {
        _Atomic cw_off *slot = &cw_dict_slots(share, table)[i];
        for (cw_off at; (at = cw_look(slot)) != 0;) {
            cw_put(&hand->block[CW_DICT_OUT], at);
            cw_put(slot, cw_look(&cw_dict_entry(share, at)->next[cw_dict_parity(table)]));
            cw_free_cell(&share->arena, &hand->block[CW_DICT_OUT]);
        }
    }
    cw_put(&hand->block[CW_DICT_TABLE_OUT], cw_dict_table_at(table));
    cw_put(&stripe->table, 0);
    cw_put(&stripe->count, 0);
    cw_free_cell(&share->arena, &hand->block[CW_DICT_TABLE_OUT]);
}

/* With all bolts. A death after the first store is one after the last: burial
 * goes on with it. */
static void sweep(struct cw_self *self, struct cw_dict *d) {
    atomic_store_explicit(&d->sweeper, self->number + 1, memory_order_release);
    for (int i = 0; i < CW_STRIPES; i++)
        drain(self->share, self->hand, &d->stripe[i]);
    atomic_store_explicit(&d->sweeper, 0, memory_order_release);
}

int cw_dict_clear(struct cw_self *self, struct cw_dict *d, uint64_t check) {
    if (!acquire_all(self, d, check))
        return CREW_EINVAL;
    sweep(self, d);
    release_all(self, d, check);
    return 0;
}

int cw_dict_end(struct cw_self *self, struct cw_dict *d, uint64_t place, uint64_t check) {
    if (!acquire_all(self, d, check))
        return CREW_EINVAL;
    /* Not left to `scrub`, for which everybody who makes an object waits. */
    sweep(self, d);
    int rc = cw_object_end(self->share, CW_DICT, place, check);
    release_all(self, d, check);
    return rc;
}

struct tally {
    const struct cw_dict *d;
    const struct cw_stripe *stripe;
    uint64_t count;
};

static bool tally_entry(void *ctx, cw_off at, const struct cw_dict_entry *e) {
    struct tally *t = ctx;
    (void)at;
    t->count++;
    return t->stripe == &t->d->stripe[e->hash >> 58];
}

const char *cw_dict_check(struct cw_self *self, struct cw_dict *d) {
    const char *wrong = NULL;
    uint32_t check = atomic_load_explicit(&d->head.generation, memory_order_acquire);
    if (!acquire_all(self, d, check))
        return "the dictionary is gone";
    for (int i = 0; i < CW_STRIPES && !wrong; i++) {
        struct tally t = {.d = d, .stripe = &d->stripe[i]};
        if (!walk(self->share, t.stripe, tally_entry, &t))
            wrong = "an entry is in another's stripe";
        else if (t.count != cw_look(&t.stripe->count))
            wrong = "a stripe has miscounted";
    }
    if (!wrong && atomic_load_explicit(&d->sweeper, memory_order_relaxed))
        wrong = "somebody has swept and is not there";
    for (int i = 0; i < CW_HAND_BLOCKS && !wrong; i++)
        if (cw_look(&self->hand->block[i]))
            wrong = "a hand has kept a block";
    release_all(self, d, check);
    return wrong;
}

/* ---- deaths ---- */

struct found {
    struct cw_hand *hand;
    uint64_t count;
};

static bool found_entry(void *ctx, cw_off at, const struct cw_dict_entry *e) {
    struct found *found = ctx;
    (void)e;
    cw_hand_disown(found->hand, at);
    found->count++;
    return true;
}

/* The stripe's bolt names the dead hand. */
static void repair(struct cw_share *share, struct cw_stripe *stripe, struct cw_hand *hand) {
    struct found found = {.hand = hand};
    cw_hand_disown(hand, cw_dict_table_at(cw_look(&stripe->table)));
    walk(share, stripe, found_entry, &found);
    cw_put(&stripe->count, found.count);
}

static void turn(struct cw_head *head, uint32_t generation) {
    struct cw_dict *d = (struct cw_dict *)head;
    for (int i = 0; i < CW_STRIPES; i++)
        cw_bolt_turn(&d->stripe[i].bolt, generation);
}

/* The dead hand had all bolts: goes on with what it had begun. Its cells hold
 * nothing that a stripe leads to. */
static void finish_sweep(struct cw_share *share, struct cw_dict *d, struct cw_hand *hand) {
    for (int cell = 0; cell < CW_HAND_BLOCKS; cell++)
        cw_free_cell(&share->arena, &hand->block[cell]);
    for (int i = 0; i < CW_STRIPES; i++)
        drain(share, hand, &d->stripe[i]);
    atomic_store_explicit(&d->sweeper, 0, memory_order_release);
}

static void bury(struct cw_share *share, struct cw_head *head, uint32_t party) {
    struct cw_dict *d = (struct cw_dict *)head;
    for (int i = 0; i < CW_STRIPES; i++) {
        struct cw_stripe *stripe = &d->stripe[i];
        if (!cw_bolt_is_of(share, &stripe->bolt, party))
            continue;
        repair(share, stripe, cw_hand_at(share, cw_bolt_holder(&stripe->bolt) - 1));
        /* What it had put in and told nobody of. */
        cw_gate_bury(&stripe->gate);
    }
    uint32_t sweeper = atomic_load_explicit(&d->sweeper, memory_order_acquire);
    if (sweeper && cw_hand_at(share, sweeper - 1)->party == party)
        finish_sweep(share, d, cw_hand_at(share, sweeper - 1));
    for (int i = 0; i < CW_STRIPES; i++)
        cw_bolt_bury(share, &d->stripe[i].bolt, party, false);
}

static void wake(struct cw_share *share, struct cw_head *head) {
    struct cw_dict *d = (struct cw_dict *)head;
    (void)share;
    for (int i = 0; i < CW_STRIPES; i++)
        cw_gate_wake(&d->stripe[i].gate, INT32_MAX);
}

const struct cw_kind cw_kind_dict = {.name = "dictionary",
                                     .bytes = sizeof(struct cw_dict),
                                     .turn = turn,
                                     .bury = bury,
                                     .wake = wake};

_Static_assert(sizeof(struct cw_stripe) == 64, "a cache line");
_Static_assert(sizeof(struct cw_dict) == 64 * (CW_STRIPES + 1), "cells are whole lines");
