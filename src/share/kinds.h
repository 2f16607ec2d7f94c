/* share/kinds.h - the kinds there are: each tells what differs in its own file. */
#ifndef CW_SHARE_KINDS_H
#define CW_SHARE_KINDS_H

#include "share/share.h"

extern const struct cw_kind cw_kind_lock, cw_kind_rlock;
extern const struct cw_kind cw_kind_sem, cw_kind_event;
extern const struct cw_kind cw_kind_process, cw_kind_value;

#endif
