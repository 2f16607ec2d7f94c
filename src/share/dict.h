/* share/dict.h - dictionaries: byte strings under byte strings.
 *
 *     cw_dict ── 64 stripes: bolt | gate | table ── slots ── entry ── entry ...
 *
 * A key's hash names its stripe (the highest bits) and its slot (the lowest).
 * Every access to a stripe holds its bolt; calls about the whole dictionary hold
 * all 64, taken in order.
 *
 * | word              | written by the hand that holds                        |
 * |-------------------|-------------------------------------------------------|
 * | table, count      | the stripe's bolt                                     |
 * | slots, next       | the stripe's bolt                                     |
 * | the rest of entry | its maker, before a link leads to it; a value of 8    |
 * |                   | bytes also in place, by one store, the bolt's holder  |
 * | sweeper           | all bolts                                             |
 *
 * Every change is one store:
 *
 * | change  | the store              | before it              | after it              |
 * |---------|------------------------|------------------------|-----------------------|
 * | insert  | slot = entry           | IN = entry             | IN = 0, count, wake   |
 * | replace | link = new entry       | IN = new, OUT = old    | IN = 0, OUT freed     |
 * | remove  | link = entry's next    | OUT = entry            | count, OUT freed      |
 * | grow    | table = new one        | TABLE_IN, TABLE_OUT    | TABLE_IN = 0, OUT freed |
 * | clear   | sweeper = hand         | all bolts are held     | every stripe drained  |
 *
 * IN, OUT ... are cells of the hand. A death leaves blocks in them that belong to
 * the table, or to nobody. Burial walks the stripe: what it meets is the table's
 * and leaves the cells (what stays there is freed with the hand), and the entries
 * are counted anew. If the dead one was the sweeper, burial drains what it had
 * not. Growing threads the entries into the new table through the other one of
 * their two `next`: until the commit the old table is as it was. */
#ifndef CW_SHARE_DICT_H
#define CW_SHARE_DICT_H

#include "share/bolt.h"
#include "share/bytes.h"
#include "share/gate.h"

enum { CW_STRIPES = 64 };

struct cw_stripe {
    cw_bolt bolt;
    cw_gate gate;           /* who waits for a key */
    _Atomic uint64_t table; /* offset | log2 of its slots << 1 | which `next` */
    _Atomic uint64_t count; /* entries */
    uint64_t unused[4];     /* a cache line a stripe */
};

struct cw_dict {
    struct cw_head head;
    uint64_t seed;            /* of the hash; the same as long as the cell lives */
    _Atomic uint32_t sweeper; /* hand + 1 */
    uint32_t unused[9];
    struct cw_stripe stripe[CW_STRIPES];
};

struct cw_dict_entry {
    _Atomic cw_off next[2];
    uint64_t hash;
    size_t vsize, ksize;
    char bytes[]; /* the value, then the key */
};

/* All below: `check` is the handle's; CREW_EINVAL if the dictionary is gone. err
 * is filled with CREW_ENOMEM only. */

int cw_dict_init(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err);

/* What is to be done with one key. */
struct cw_dict_change {
    struct cw_bytes key;
    struct cw_bytes want; /* none: the key is removed */
    bool compare;         /* only if the value is: */
    struct cw_bytes is;   /* none: if there is no such key */
    bool add;             /* instead: */
    int64_t n, before;    /* added to the value, which was this (filled) */
};
/* 1, or 0 if nothing was changed: it compared unequal, or was to be removed and
 * was not there. CREW_EMISMATCH: add, and the value has not 8 bytes. */
int cw_dict_change(struct cw_self *self, struct cw_dict *d, uint64_t check,
                   struct cw_dict_change *change, crew_error *err);

/* The key's value to `out`, and if `take`, out of the dictionary. CREW_ENOENT if there is none and
 * timeout is 0, else CREW_ETIMEDOUT; or as cw_out_put. */
int cw_dict_get(struct cw_self *self, struct cw_dict *d, uint64_t check, struct cw_bytes key,
                struct cw_out *out, bool take, double timeout);

int64_t cw_dict_size(struct cw_self *self, struct cw_dict *d, uint64_t check);
/* Keys and values as they are at one moment. */
int cw_dict_copy(struct cw_self *self, struct cw_dict *d, uint64_t check, struct cw_copy *copy);
int cw_dict_clear(struct cw_self *self, struct cw_dict *d, uint64_t check);
/* Clears it and ends the object. */
int cw_dict_end(struct cw_self *self, struct cw_dict *d, uint64_t place, uint64_t check);

/* With all bolts: NULL if counts and chains are right and nothing is on
 * its way, else what is wrong. For tests and debuggers. */
const char *cw_dict_check(struct cw_self *self, struct cw_dict *d);

#endif
