/* api/journal_keys.h - submitted calls that are known by a key.
 *
 * All pools of a process that name the same file share its journal, which is closed with
 * the last of them. */
#ifndef CW_API_JOURNAL_KEYS_H
#define CW_API_JOURNAL_KEYS_H

#include "api/future_impl.h"

struct cw_keys;

/* A call with a key: what is needed once it has ended. */
struct cw_keyed;

/* 0: no journal. 1: it is to be run, and *keyed given to cw_keyed_done, or dropped. 2: it
 * is finished: *known. Or the reason why it cannot be. */
int cw_keyed_begin(crew_pool *p, const struct cw_submit *w, struct cw_keyed **keyed,
                   struct cw_known *known, crew_error *err);
/* A callback (ctx: the cw_keyed, which it frees). */
void cw_keyed_done(void *keyed, crew_future *f);
void cw_keyed_drop(void *keyed);
/* When a pool goes, after its futures' callbacks. */
void cw_keys_leave(crew_pool *p);
/* In a forked child. */
void cw_keys_forked(void);

#endif
