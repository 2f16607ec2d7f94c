/* Locks that are objects: their ends, and their holders'. */
#include "share/lock.h"

#include "share/kinds.h"

static void turn(struct cw_head *head, uint32_t generation) {
    cw_bolt_turn(&((struct cw_lock *)head)->bolt, generation);
}

static void bury(struct cw_share *share, struct cw_head *head, uint32_t party) {
    cw_bolt_bury(share, &((struct cw_lock *)head)->bolt, party, true);
}

static bool names(const struct cw_head *head, uint32_t hand) {
    return cw_bolt_holder(&((const struct cw_lock *)head)->bolt) == hand;
}

const struct cw_kind cw_kind_lock = {
    .name = "lock", .bytes = 64, .turn = turn, .bury = bury, .names = names};
const struct cw_kind cw_kind_rlock = {
    .name = "rlock", .bytes = 64, .turn = turn, .bury = bury, .names = names};

_Static_assert(sizeof(struct cw_lock) <= 64, "a cell");
