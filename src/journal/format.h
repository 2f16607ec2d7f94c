/* journal/format.h - what a journal looks like as a file. Pure: no system, no clock.
 *
 *     0     the head, 512 bytes: whose journal this is
 *     512   the head once more
 *     1024  records, one behind the other: 72 bytes, then a body, to a multiple of 8
 *
 * A file only grows. A record is believed if its own checksum is right, which is made with
 * the journal's nonce and the place where the record stands, so that nothing that lies in
 * a body is taken for a record; its body if the body's is. What is neither is damage: the
 * next record that can be believed is looked for behind it, at multiples of 8. Damage up
 * to the end of the file is a torn end, which whoever writes on cuts off. */
#ifndef CW_JOURNAL_FORMAT_H
#define CW_JOURNAL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CW_JOURNAL_VERSION = 1, CW_JOURNAL_COPY = 512, CW_JOURNAL_START = 1024 };

enum cw_journal_kind {
    CW_JOURNAL_MAP = 1, /* items with results of one size, or without */
    CW_JOURNAL_BYTES,   /* items and results of any size */
    CW_JOURNAL_FOR,     /* blocks of `grain` indices */
    CW_JOURNAL_FOLD,    /* the same of a reduce, with partial results */
    CW_JOURNAL_STREAM,  /* a stream: how many items is not known, each has its own hash */
    CW_JOURNAL_KEYS     /* submitted calls, each known by a key */
};

/* The fingerprint of what is to be done. */
struct cw_journal_head {
    char magic[8];
    uint32_t version, kind;
    uint64_t nonce;
    uint64_t object, offset; /* the function: cw_fn_name */
    int64_t count, grain;
    uint64_t in_size, out_size;
    uint64_t inputs; /* hash of all items */
    uint64_t common_size, common;
    int64_t first, step;
    uint64_t seed, stream;
    char function[128], combine[128];
    uint64_t check;
};

struct cw_journal_record {
    uint32_t magic;
    int32_t status;      /* 0, or the CREW_E... code with which it failed */
    int32_t task_code;   /* and the task's own */
    uint32_t key_size;   /* KEYS: the body begins with the key ... */
    uint32_t name_size;  /* ... and the function's name */
    uint32_t unused;
    int64_t index, n;    /* items [index, index + n) */
    uint64_t size;       /* of the body: results, one behind the other, or a failure's text */
    uint64_t input;      /* STREAM, KEYS: the hash of the item; of a failure its index */
    uint64_t body;       /* the body's checksum */
    uint64_t check;      /* of all before it */
};
enum { CW_JOURNAL_RECORD = sizeof(struct cw_journal_record) };

/* Where the record ends that stands at `at`. */
uint64_t cw_journal_next(const struct cw_journal_record *record, uint64_t at);

/* Magic, version, checksum. */
void cw_journal_seal_head(struct cw_journal_head *head);
/* Magic and checksum, which say that it stands at `at` in the journal with this nonce.
 * `body` is to be there already. */
void cw_journal_seal(struct cw_journal_record *record, uint64_t nonce, uint64_t at);

/* The checksum of a body in two pieces. */
uint64_t cw_journal_body(const void *first, size_t first_size, const void *second,
                         size_t second_size);

/* ---- reading ---- */

/* A file, for whoever reads one. Returns how many bytes, fewer than asked for only at the
 * end; negative: it cannot be read. */
struct cw_journal_file {
    ptrdiff_t (*read)(void *ctx, uint64_t at, void *to, size_t size);
    void *ctx;
};

enum cw_journal_state {
    CW_JOURNAL_EMPTY,     /* nothing, or a head that was cut off while it was written */
    CW_JOURNAL_GOOD,
    CW_JOURNAL_ALIEN,     /* some other file */
    CW_JOURNAL_OTHER,     /* of another version, or a machine with another byte order */
    CW_JOURNAL_UNREADABLE
};
enum cw_journal_state cw_journal_read_head(const struct cw_journal_file *file,
                                           struct cw_journal_head *head);

struct cw_journal_seen {
    uint64_t end;     /* where the next record is to be written */
    uint64_t torn;    /* bytes behind that, to be cut off */
    int64_t records;  /* that were good */
    int64_t damaged;  /* places that were not, before the end ... */
    uint64_t damaged_bytes; /* ... and their bytes */
};
/* One good record, whose body lies at `body`. Not 0 ends the scan with that. */
typedef int cw_journal_found(void *ctx, const struct cw_journal_record *record, uint64_t body);
/* All good records in the order in which they were written. 0; what `found` returned; or
 * -1: it cannot be read. */
int cw_journal_scan(const struct cw_journal_file *file, const struct cw_journal_head *head,
                    cw_journal_found *found, void *ctx, struct cw_journal_seen *seen);

/* ---- comparing ---- */

/* 0 if `have`, a file's head, is about what is wanted; else 1 with the difference in words.
 * any_build: that the program was built anew is no difference. */
int cw_journal_differs(const struct cw_journal_head *have, const struct cw_journal_head *want,
                       bool any_build, char *text, size_t size);

#endif
