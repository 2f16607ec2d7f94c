/* share/dict_core.h - what the dictionary's source files share. Nobody else's. */
#ifndef CW_SHARE_DICT_CORE_H
#define CW_SHARE_DICT_CORE_H

#include "share/dict.h"

/* What the hand's cells hold on its way. */
enum { CW_DICT_IN, CW_DICT_OUT, CW_DICT_TABLE_IN, CW_DICT_TABLE_OUT };
_Static_assert((int)CW_DICT_TABLE_OUT < (int)CW_HAND_BLOCKS, "the hand has a cell for each");

/* A stripe's `table`; blocks of the arena leave its lowest 6 bits to us. */
static inline cw_off cw_dict_table_at(uint64_t table) {
    return table & ~(uint64_t)63;
}
static inline int cw_dict_parity(uint64_t table) {
    return (int)(table & 1);
}
static inline uint64_t cw_dict_slot_count(uint64_t table) {
    return table ? (uint64_t)1 << (table >> 1 & 31) : 0;
}
static inline _Atomic cw_off *cw_dict_slots(const struct cw_share *share, uint64_t table) {
    return cw_ptr(&share->arena, cw_dict_table_at(table));
}
static inline struct cw_dict_entry *cw_dict_entry(const struct cw_share *share, cw_off at) {
    return cw_ptr(&share->arena, at);
}

#endif
