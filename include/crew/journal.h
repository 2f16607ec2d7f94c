/* crew/journal.h - what a journal holds.
 *
 * Journals are written by maps, streams and submitted calls (crew_map_opts.journal,
 * crew_submit_opts.journal, CREW_JOURNAL); docs/GUIDE.md tells how they are used. */
#ifndef CREW_JOURNAL_H
#define CREW_JOURNAL_H

#include <crew/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a journal is of. */
enum {
    CREW_JOURNAL_MAP = 1, /* crew_map, crew_pool_map, crew_map_async and the like */
    CREW_JOURNAL_BYTES,   /* crew_map_bytes */
    CREW_JOURNAL_FOR,     /* crew_for: its items are blocks of `grain` indices */
    CREW_JOURNAL_REDUCE,  /* crew_reduce: the same, with their partial results */
    CREW_JOURNAL_STREAM,  /* crew_imap */
    CREW_JOURNAL_KEYS     /* submitted calls with a key */
};

typedef struct crew_journal_info {
    int kind;
    char function[128]; /* empty for CREW_JOURNAL_KEYS */
    uint64_t build;     /* tells one build of the program from another */
    int64_t count;      /* items or blocks; -1: not known (streams, keys) */
    int64_t grain;
    size_t in_size, out_size, common_size;
    int64_t done, failed; /* items, each once: with a result, and with a failure only */
    int64_t records, bytes;
    int64_t damaged; /* places that cannot be read; their items run again */
    int64_t damaged_bytes;
    int64_t torn; /* bytes at the end that will be cut off */
} crew_journal_info;

/* Reads the file, also one that is being written, and changes nothing. `item`, if not NULL,
 * is called for each record in the order of the file: items [index, index + n) (of
 * CREW_JOURNAL_KEYS: the key, with index 0 and n 1) ended with this status, 0 or CREW_E...
 * CREW_EMISMATCH: it is no journal, or none that this version knows. */
CREW_API int crew_journal_read(const char *path, crew_journal_info *info,
                               void (*item)(void *ctx, const char *key, int64_t index, int64_t n,
                                            int status),
                               void *ctx, crew_error *err);

#ifdef __cplusplus
}
#endif
#endif
