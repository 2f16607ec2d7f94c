/* share/kinds.h - the kinds there are: each tells what differs in its own file. */
#ifndef CW_SHARE_KINDS_H
#define CW_SHARE_KINDS_H

#include "share/share.h"

extern const struct cw_kind cw_kind_array;
extern const struct cw_kind cw_kind_barrier;
extern const struct cw_kind cw_kind_cond;
extern const struct cw_kind cw_kind_desk;
extern const struct cw_kind cw_kind_dict;
extern const struct cw_kind cw_kind_event;
extern const struct cw_kind cw_kind_list;
extern const struct cw_kind cw_kind_lock;
extern const struct cw_kind cw_kind_pipe;
extern const struct cw_kind cw_kind_process;
extern const struct cw_kind cw_kind_queue;
extern const struct cw_kind cw_kind_rlock;
extern const struct cw_kind cw_kind_sem;
extern const struct cw_kind cw_kind_shm;
extern const struct cw_kind cw_kind_value;

#endif
