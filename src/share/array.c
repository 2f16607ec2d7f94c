/* Arrays as objects: what a death leaves of one. */
#include "share/array.h"

#include "share/kinds.h"
#include "team/head.h"

static void turn(struct cw_head *head, uint32_t generation) {
    cw_kind_rlock.turn(head, generation);
}

static bool names(const struct cw_head *head, uint32_t hand) {
    return cw_kind_rlock.names(head, hand);
}

void cw_array_empty(struct cw_share *share, struct cw_array *array) {
    /* Before the memory is anybody else's: see team/guard.h. */
    if (atomic_load(&array->guard))
        atomic_fetch_add(&cw_head(&share->root)->ends, 1);
    /* Other nodes may still be reading it: then the agent frees it (api/array_reach.c). */
    uint32_t held = 1;
    atomic_compare_exchange_strong(&array->held, &held, 2);
    if (held || atomic_load(&array->stuck))
        atomic_store(&array->block, 0);
    cw_free_cell(&share->arrays, &array->block);
}

static struct cw_hand *hand_of(const struct cw_share *share, uint32_t hand, uint32_t party) {
    struct cw_hand *at = hand ? cw_hand_at(share, hand - 1) : NULL;
    return at && at->party == party ? at : NULL;
}

static void bury(struct cw_share *share, struct cw_head *head, uint32_t party) {
    struct cw_array *array = (struct cw_array *)head;
    struct cw_hand *maker = hand_of(share, atomic_load(&array->maker), party);
    cw_off block = atomic_load(&array->block);
    if (maker && block && atomic_load(&maker->array) == block)
        atomic_store(&maker->array, 0);
    if (hand_of(share, (uint32_t)(atomic_load(&array->life) & CW_BOLT_HAND), party)) {
        uint32_t generation = atomic_load(&head->generation);
        cw_array_empty(share, array);
        cw_object_end(share, CW_ARRAY, cw_share_off(share, array) | (uint64_t)CW_ARRAY << 48,
                      cw_handle_check(share, generation));
        return;
    }
    cw_kind_rlock.bury(share, head, party);
}

const struct cw_kind cw_kind_array = {
    .name = "array",
    .bytes = 320,
    .turn = turn,
    .bury = bury,
    .names = names,
};

_Static_assert(sizeof(struct cw_array) <= 320, "a cell");
_Static_assert(sizeof(struct cw_array_block) == 64, "data start on a cache line");
