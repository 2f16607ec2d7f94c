/* share/list.h - lists: byte strings in a row.
 *
 *     cw_list ── vector: [ spare | items first ... end | spare ] ── item, item ...
 *
 * One bolt for everything. At either end items come and go by one store; in the
 * middle, and where there is no room, the change is a new vector.
 *
 * | change            | the store                    | before it               |
 * |-------------------|------------------------------|-------------------------|
 * | add at an end     | vector.first or vector.end   | IN = item; its place    |
 * | take from an end  | vector.first or vector.end   | OUT = item              |
 * | replace           | its place = new item         | IN = new, OUT = old     |
 * | all else          | list.vector = the new one    | VECTOR_IN, VECTOR_OUT,  |
 * |                   |                              | IN or OUT               |
 * | clear             | list.vector = 0              | gone = the vector       |
 *
 * IN, OUT ... are cells of the hand. A death leaves blocks in them that belong to
 * the list, or to nobody: burial takes those out of the cells that the list leads
 * to, the others are freed with the hand. What `gone` leads to is freed by who
 * cleared the list, or its burial, unless it is the vector still. */
#ifndef CW_SHARE_LIST_H
#define CW_SHARE_LIST_H

#include "share/bolt.h"
#include "share/bytes.h"

struct cw_list {
    struct cw_head head;
    cw_bolt bolt;
    _Atomic cw_off vector, gone;
};

struct cw_vector {
    _Atomic uint64_t first, end;
    uint64_t room;
    _Atomic cw_off item[];
};

struct cw_item {
    size_t size;
    char bytes[];
};

/* All below: `check` is the handle's; CREW_EINVAL if the list is gone. err is
 * filled with CREW_ENOMEM only. `index` counts from the end if it is negative;
 * CREW_ENOENT if there is nothing. */

/* An index beyond an end means that end. */
int cw_list_insert(struct cw_self *self, struct cw_list *l, uint64_t check, int64_t index,
                   struct cw_bytes item, crew_error *err);
int cw_list_set(struct cw_self *self, struct cw_list *l, uint64_t check, int64_t index,
                struct cw_bytes item, crew_error *err);
/* To `out`, and if `take`, out of the list. As cw_out_put. */
int cw_list_get(struct cw_self *self, struct cw_list *l, uint64_t check, int64_t index,
                struct cw_out *out, bool take, crew_error *err);
int64_t cw_list_size(struct cw_self *self, struct cw_list *l, uint64_t check);
int cw_list_copy(struct cw_self *self, struct cw_list *l, uint64_t check, struct cw_copy *copy);
int cw_list_clear(struct cw_self *self, struct cw_list *l, uint64_t check);
/* Clears it and ends the object. */
int cw_list_end(struct cw_self *self, struct cw_list *l, uint64_t place, uint64_t check);

/* NULL if the list is whole and nothing is on its way, else what is wrong. For
 * tests and debuggers. */
const char *cw_list_check(struct cw_self *self, struct cw_list *l);

#endif
