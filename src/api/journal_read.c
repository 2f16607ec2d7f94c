/* What a journal holds, for whoever asks. */
#include "base/error.h"
#include "journal/format.h"
#include "journal/hash.h"
#include "os/logfile.h"

#include <crew/journal.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(CREW_JOURNAL_MAP == (int)CW_JOURNAL_MAP &&
                   CREW_JOURNAL_BYTES == (int)CW_JOURNAL_BYTES &&
                   CREW_JOURNAL_FOR == (int)CW_JOURNAL_FOR &&
                   CREW_JOURNAL_REDUCE == (int)CW_JOURNAL_FOLD &&
                   CREW_JOURNAL_STREAM == (int)CW_JOURNAL_STREAM &&
                   CREW_JOURNAL_KEYS == (int)CW_JOURNAL_KEYS,
               "kinds of journals are the same inside and out");

/* What became of items [index, index + n), or of a key (by its hash). */
struct seen {
    int64_t index, n;
    int failed;
};

struct reading {
    int fd;
    bool keys;
    void (*item)(void *ctx, const char *key, int64_t index, int64_t n, int status);
    void *ctx;
    struct seen *seen;
    size_t count, room;
    crew_error *err;
};

static ptrdiff_t read_file(void *ctx, uint64_t at, void *to, size_t size) {
    return cw_logfile_read(*(int *)ctx, at, to, size);
}

static int found(void *ctx, const struct cw_journal_record *record, uint64_t at) {
    struct reading *r = ctx;
    char *key = NULL;
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 1024;
        struct seen *more = realloc(r->seen, room * sizeof *more);
        if (!more)
            return CREW_ENOMEM;
        r->seen = more;
        r->room = room;
    }
    if (r->keys) {
        if (!(key = calloc(1, (size_t)record->key_size + 1)))
            return CREW_ENOMEM;
        cw_logfile_read(r->fd, at, key, record->key_size);
    }
    int64_t hash = key ? (int64_t)(cw_hash(key, record->key_size, 0) >> 1) : 0;
    r->seen[r->count++] = (struct seen){key ? hash : record->index, record->n, record->status != 0};
    if (r->item)
        r->item(r->ctx, key, key ? 0 : record->index, record->n, record->status);
    free(key);
    return 0;
}

static int by_index(const void *a, const void *b) {
    const struct seen *x = a, *y = b;
    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    return x->n != y->n ? (x->n > y->n ? -1 : 1) : x->failed - y->failed;
}

/* Items of the records that are (not) failures, each once. Sorted by where they begin. */
static int64_t count_once(const struct seen *seen, size_t count, int failed) {
    int64_t items = 0, end = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t to = seen[i].index + seen[i].n;
        int64_t from = seen[i].index > end ? seen[i].index : end;
        if (seen[i].failed != failed && failed >= 0)
            continue;
        items += to > from ? to - from : 0;
        end = to > end ? to : end;
    }
    return items;
}

static int read_all(struct reading *r, const struct cw_journal_file *file, crew_journal_info *info,
                    crew_error *err) {
    struct cw_journal_head head;
    struct cw_journal_seen seen = {.end = CW_JOURNAL_START};
    enum cw_journal_state state = cw_journal_read_head(file, &head);
    *info = (crew_journal_info){.count = -1};
    if (state == CW_JOURNAL_UNREADABLE)
        return cw_error_set(err, CREW_EINVAL, 0, "it cannot be read");
    if (state != CW_JOURNAL_GOOD)
        return cw_error_set(err, CREW_EMISMATCH, 0, "%s",
                            state == CW_JOURNAL_EMPTY ? "it is empty"
                            : state == CW_JOURNAL_OTHER
                                ? "it was written by another version of crew, or on another kind "
                                  "of machine"
                                : "it is no journal of crew's, or its head is damaged");
    r->keys = head.kind == CW_JOURNAL_KEYS;
    int rc = cw_journal_scan(file, &head, found, r, &seen);
    if (rc < 0)
        return cw_error_set(err, rc == -1 ? CREW_EINVAL : CREW_ENOMEM, 0, "%s",
                            rc == -1 ? "it cannot be read" : "no memory for what it holds");
    bool counted = head.kind != CW_JOURNAL_STREAM && !r->keys;
    *info = (crew_journal_info){.kind = (int)head.kind,
                                .build = head.object,
                                .count = counted && head.grain > 0
                                             ? head.count / head.grain + (head.count % head.grain != 0)
                                             : -1,
                                .grain = head.grain,
                                .in_size = head.in_size,
                                .out_size = head.out_size,
                                .common_size = head.common_size,
                                .records = seen.records,
                                .bytes = (int64_t)(seen.end + seen.torn),
                                .damaged = seen.damaged,
                                .damaged_bytes = (int64_t)seen.damaged_bytes,
                                .torn = (int64_t)seen.torn};
    snprintf(info->function, sizeof info->function, "%s", head.function);
    if (r->count)
        qsort(r->seen, r->count, sizeof *r->seen, by_index);
    info->done = count_once(r->seen, r->count, 0);
    info->failed = count_once(r->seen, r->count, -1) - info->done;
    return cw_error_clear(err);
}

int crew_journal_read(const char *path, crew_journal_info *info,
                      void (*item)(void *ctx, const char *key, int64_t index, int64_t n,
                                   int status),
                      void *ctx, crew_error *err) {
    struct reading r = {.item = item, .ctx = ctx};
    if (!path || !info)
        return cw_error_set(err, CREW_EINVAL, 0, "the %s is NULL", path ? "info" : "journal's name");
    r.fd = cw_logfile_open_to_read(path, err);
    if (r.fd < 0)
        return r.fd;
    const struct cw_journal_file file = {read_file, &r.fd};
    int rc = read_all(&r, &file, info, err);
    cw_logfile_close(r.fd);
    free(r.seen);
    return rc;
}
