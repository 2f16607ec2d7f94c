/* The table of kinds. */
#include "share/kinds.h"

static const struct cw_kind party = {.name = "party", .bytes = 128};
static const struct cw_kind hand = {.name = "thread", .bytes = 128};
static const struct cw_kind none = {.name = "object", .bytes = 64};

static const struct cw_kind *const kinds[CW_KINDS] = {
    [CW_PARTY] = &party,
    [CW_HAND] = &hand,
    [CW_LOCK] = &cw_kind_lock,
    [CW_RLOCK] = &cw_kind_rlock,
    [CW_SEM] = &cw_kind_sem,
    [CW_EVENT] = &cw_kind_event,
    [CW_COND] = &cw_kind_cond,
    [CW_BARRIER] = &cw_kind_barrier,
    [CW_QUEUE] = &cw_kind_queue,
    [CW_PIPE] = &cw_kind_pipe,
    [CW_DICT] = &cw_kind_dict,
    [CW_LIST] = &cw_kind_list,
    [CW_PROCESS] = &cw_kind_process,
    [CW_VALUE] = &cw_kind_value,
    [CW_ARRAY] = &cw_kind_array,
    [CW_SHM] = &cw_kind_shm,
    [CW_DESK] = &cw_kind_desk,
};

const struct cw_kind *cw_kind(enum cw_kind_of kind) {
    return kinds[kind] ? kinds[kind] : &none;
}
