#include "api/journal_stream.h"

#include "api/future_impl.h"
#include "base/error.h"
#include "journal/hash.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cw_stream_part {
    uint64_t at, size, input;
    int status, task_code;
    bool there;
};

static int found(void *ctx, const struct cw_journal_record *r, uint64_t at) {
    struct cw_stream_journal *s = ctx;
    if (r->key_size || r->n != 1)
        return 0;
    if (r->index >= s->room) {
        int64_t room = 2 * s->room > r->index ? 2 * s->room : r->index + 256;
        struct cw_stream_part *more = realloc(s->parts, (size_t)room * sizeof *more);
        if (!more)
            return CREW_ENOMEM;
        memset(more + s->room, 0, (size_t)(room - s->room) * sizeof *more);
        s->parts = more;
        s->room = room;
    }
    struct cw_stream_part *part = &s->parts[r->index];
    if (part->there && part->status == 0 && r->status)
        return 0; /* what was done stays done */
    *part = (struct cw_stream_part){at, r->size, r->input, r->status, r->task_code, true};
    s->count = r->index < s->count ? s->count : r->index + 1;
    return 0;
}

int cw_stream_journal_begin(struct cw_stream_journal *s, crew_pool *p, crew_fn *fn,
                            size_t out_size, const crew_map_opts *opts, cw_stream_collect *collect,
                            void *ctx, crew_error *err) {
    char path[PATH_MAX];
    cw_fn_name name;
    int rc = cw_journal_path(p->session, opts->journal, false, NULL, path, sizeof path, err);
    if (rc <= 0 || (rc = cw_pool_function(p, (cw_fn *)fn, -1, (ptrdiff_t)out_size,
                                          (ptrdiff_t)opts->common_size, &name, err)) < 0)
        return rc;
    struct cw_journal_ask ask = {.session = p->session,
                                 .path = path,
                                 .want = {.kind = CW_JOURNAL_STREAM,
                                          .object = name.object,
                                          .offset = name.offset,
                                          .count = -1,
                                          .grain = 1,
                                          .out_size = out_size,
                                          .common_size = opts->common_size,
                                          .common = cw_hash(opts->common, opts->common_size, 0),
                                          .seed = p->team->seed,
                                          .stream = opts->stream},
                                 .found = found,
                                 .found_ctx = s,
                                 .collect = collect,
                                 .ctx = ctx};
    cw_fn_describe((cw_fn *)fn, ask.want.function, sizeof ask.want.function);
    s->keeps_failures = p->session->config.resume == CW_RESUME_FINISHED;
    if ((rc = cw_journal_open(&ask, &s->jn, err)) < 0 || (rc = cw_journal_start(s->jn, err)) < 0) {
        cw_stream_journal_end(s);
        return rc;
    }
    return 1;
}

void cw_stream_journal_end(struct cw_stream_journal *s) {
    cw_journal_close(s->jn, NULL, 0);
    free(s->parts);
    free(s->kept);
    *s = (struct cw_stream_journal){0};
}

uint64_t cw_stream_journal_hash(const void *item, size_t size) {
    return cw_hash(item, size, size);
}

int cw_stream_journal_has(const struct cw_stream_journal *s, int64_t index, uint64_t hash,
                          crew_error *err) {
    const struct cw_stream_part *part = index < s->count ? &s->parts[index] : NULL;
    if (!part || !part->there)
        return 0;
    if (part->input != hash)
        return cw_error_set(err, CREW_EMISMATCH, 0,
                            "the journal is of other work: item %lld differs from the one there",
                            (long long)index);
    return part->status == 0 || s->keeps_failures;
}

int cw_stream_journal_take(struct cw_stream_journal *s, int64_t index, const void **data,
                           size_t *size, crew_error *err) {
    const struct cw_stream_part *part = &s->parts[index];
    size_t n = (size_t)part->size;
    if (n + 1 > s->kept_room) {
        char *more = realloc(s->kept, n + 1);
        if (!more)
            return cw_error_set(err, CREW_ENOMEM, 0, "no memory for the result of item %lld",
                                (long long)index);
        s->kept = more;
        s->kept_room = n + 1;
    }
    int rc = cw_journal_read(s->jn, part->at, s->kept, n, err);
    if (rc < 0)
        return rc;
    *data = s->kept;
    *size = n;
    if (!part->status)
        return cw_error_clear(err);
    s->kept[n] = 0;
    cw_error_set(err, part->status, 0, "%s", s->kept);
    err->task_code = part->task_code;
    return part->status;
}

bool cw_stream_journal_put(struct cw_stream_journal *s, crew_pool *p, uint32_t number,
                           int64_t index, uint64_t hash) {
    struct cw_task *task = cw_task_at(&p->maps, p->team, number);
    struct cw_journal_record r = {.index = index, .n = 1, .status = task->status, .input = hash};
    crew_error e;
    if (!r.status) {
        const struct cw_journal_pieces result = {.data = cw_task_result(&p->maps, task),
                                                 .size = (size_t)task->out_size};
        return cw_journal_put(s->jn, &r, &result, NULL);
    }
    if (!cw_journal_keeps(r.status))
        return true;
    cw_record_error(p, number, &e);
    r.task_code = e.task_code;
    const struct cw_journal_pieces why = {.data = e.text, .size = strlen(e.text)};
    return cw_journal_put(s->jn, &r, &why, NULL);
}
