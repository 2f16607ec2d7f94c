/* api/journal_stream.h - the journal of a stream: what its items are is known only when they
 * come, so each record has the hash of its item. One thread uses it, as it does the
 * iterator; what the journal's own thread collects is guarded by the journal's lock. */
#ifndef CW_API_JOURNAL_STREAM_H
#define CW_API_JOURNAL_STREAM_H

#include "api/journal.h"

struct cw_stream_journal {
    struct cw_journal *jn;
    struct cw_stream_part *parts; /* by index */
    int64_t count, room;
    bool keeps_failures;
    char *kept; /* the item that was taken last */
    size_t kept_room;
};

/* What the journal's thread does: see cw_journal_ask. */
typedef bool cw_stream_collect(void *ctx);

/* Opens it, if the stream is to have one: 1, else 0, or the reason. */
int cw_stream_journal_begin(struct cw_stream_journal *s, crew_pool *p, crew_fn *fn,
                            size_t out_size, const crew_map_opts *opts, cw_stream_collect *collect,
                            void *ctx, crew_error *err);
void cw_stream_journal_end(struct cw_stream_journal *s);
uint64_t cw_stream_journal_hash(const void *item, size_t size);
/* 1: the item is finished there; 0: it is to be run; CREW_EMISMATCH: another one is. */
int cw_stream_journal_has(const struct cw_stream_journal *s, int64_t index, uint64_t hash,
                          crew_error *err);
/* Its result, until the next call; or its failure in err. 0, the status, or a code. */
int cw_stream_journal_take(struct cw_stream_journal *s, int64_t index, const void **data,
                           size_t *size, crew_error *err);
/* A record that is done. With the journal's lock. False: not now. */
bool cw_stream_journal_put(struct cw_stream_journal *s, crew_pool *p, uint32_t number,
                           int64_t index, uint64_t hash);

#endif
