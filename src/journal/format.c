#include "journal/format.h"

#include "journal/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char MAGIC[8] = {'c', 'r', 'e', 'w', 'j', 'n', 'l', '\n'};
enum { RECORD_MAGIC = 0x4a435265, WINDOW = 1 << 16 };
/* Bodies larger than that are not believed: additions must not overflow. */
static const uint64_t MOST = (uint64_t)1 << 60;

_Static_assert(sizeof(struct cw_journal_head) <= CW_JOURNAL_COPY, "the head has 512 bytes");
_Static_assert(CW_JOURNAL_RECORD == 72, "part of the file's format");
_Static_assert(CW_JOURNAL_RECORD % 8 == 0, "records stand at multiples of 8");

uint64_t cw_journal_next(const struct cw_journal_record *record, uint64_t at) {
    return at + CW_JOURNAL_RECORD + ((record->size + 7) & ~(uint64_t)7);
}

static uint64_t check_of_head(const struct cw_journal_head *head) {
    return cw_hash(head, offsetof(struct cw_journal_head, check), CW_JOURNAL_VERSION);
}

void cw_journal_seal_head(struct cw_journal_head *head) {
    memcpy(head->magic, MAGIC, sizeof MAGIC);
    head->version = CW_JOURNAL_VERSION;
    head->check = check_of_head(head);
}

static uint64_t check_of(const struct cw_journal_record *record, uint64_t nonce, uint64_t at) {
    return cw_hash(record, offsetof(struct cw_journal_record, check), nonce + at);
}

void cw_journal_seal(struct cw_journal_record *record, uint64_t nonce, uint64_t at) {
    record->magic = RECORD_MAGIC;
    record->unused = 0;
    record->check = check_of(record, nonce, at);
}

uint64_t cw_journal_body(const void *first, size_t first_size, const void *second,
                         size_t second_size) {
    struct cw_hasher h;
    if (first_size == 0)
        return cw_hash(second, second_size, 0);
    cw_hash_begin(&h, 0);
    cw_hash_add(&h, first, first_size);
    cw_hash_add(&h, second, second_size);
    return cw_hash_end(&h);
}

/* ---- reading ---- */

static bool all_zero(const unsigned char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (bytes[i])
            return false;
    return true;
}

/* From its first byte to its last: its length has outlived its contents. */
static enum cw_journal_state judge_zeros(const struct cw_journal_file *file) {
    unsigned char bytes[4096];
    ptrdiff_t n;
    for (uint64_t at = 0; (n = file->read(file->ctx, at, bytes, sizeof bytes)) > 0;
         at += (uint64_t)n)
        if (!all_zero(bytes, (size_t)n))
            return CW_JOURNAL_ALIEN; /* it is somebody's, or all that is left of a journal */
    return n < 0 ? CW_JOURNAL_UNREADABLE : CW_JOURNAL_EMPTY;
}

/* Neither copy is whole. */
static enum cw_journal_state judge_head(const struct cw_journal_file *file,
                                        const unsigned char *bytes, size_t n) {
    size_t known = n < sizeof MAGIC ? n : sizeof MAGIC;
    struct cw_journal_head head;
    if (all_zero(bytes, n))
        return judge_zeros(file);
    if (memcmp(bytes, MAGIC, known) != 0)
        return CW_JOURNAL_ALIEN;
    if (n < CW_JOURNAL_START)
        return CW_JOURNAL_EMPTY;
    memcpy(&head, bytes, sizeof head);
    return head.version != CW_JOURNAL_VERSION ? CW_JOURNAL_OTHER : CW_JOURNAL_ALIEN;
}

enum cw_journal_state cw_journal_read_head(const struct cw_journal_file *file,
                                           struct cw_journal_head *head) {
    unsigned char bytes[CW_JOURNAL_START];
    ptrdiff_t n = file->read(file->ctx, 0, bytes, sizeof bytes);
    if (n < 0)
        return CW_JOURNAL_UNREADABLE;
    for (ptrdiff_t at = 0; at + (ptrdiff_t)sizeof *head <= n; at += CW_JOURNAL_COPY) {
        memcpy(head, bytes + at, sizeof *head);
        if (memcmp(head->magic, MAGIC, sizeof MAGIC) == 0 && head->check == check_of_head(head) &&
            head->version == CW_JOURNAL_VERSION) {
            head->function[sizeof head->function - 1] = 0;
            head->combine[sizeof head->combine - 1] = 0;
            return CW_JOURNAL_GOOD;
        }
    }
    return judge_head(file, bytes, (size_t)n);
}

/* A part of the file that is in memory. */
struct window {
    const struct cw_journal_file *file;
    uint64_t at;
    size_t have;
    bool bad;
    unsigned char bytes[WINDOW];
};

/* n bytes from `at`; NULL: there are not so many. */
static const unsigned char *look(struct window *w, uint64_t at, size_t n) {
    if (at < w->at || at + n > w->at + w->have) {
        ptrdiff_t got = w->file->read(w->file->ctx, at, w->bytes, sizeof w->bytes);
        w->bad = w->bad || got < 0;
        w->at = at;
        w->have = got > 0 ? (size_t)got : 0;
    }
    return n <= w->have - (size_t)(at - w->at) ? w->bytes + (at - w->at) : NULL;
}

static bool record_at(struct window *w, uint64_t nonce, uint64_t at,
                      struct cw_journal_record *record) {
    const unsigned char *bytes = look(w, at, sizeof *record);
    if (!bytes)
        return false;
    memcpy(record, bytes, sizeof *record);
    return record->magic == RECORD_MAGIC && record->check == check_of(record, nonce, at) &&
           record->size < MOST && record->n > 0 && record->index >= 0 &&
           (uint64_t)record->key_size + record->name_size <= record->size;
}

/* WHOLE: the body is what was written. SHORT: the file ends in it. */
enum body { WHOLE, WRONG, SHORT };

static enum body body_of(struct window *w, const struct cw_journal_record *record, uint64_t at) {
    struct cw_hasher h;
    cw_hash_begin(&h, 0);
    for (uint64_t left = record->size; left > 0;) {
        size_t n = left < WINDOW ? (size_t)left : WINDOW;
        const unsigned char *bytes = look(w, at, n);
        if (!bytes)
            return SHORT;
        cw_hash_add(&h, bytes, n);
        at += n;
        left -= n;
    }
    if (record->size % 8 && !look(w, at, 8 - record->size % 8))
        return SHORT; /* so that the next one stands at a multiple of 8 */
    return cw_hash_end(&h) == record->body ? WHOLE : WRONG;
}

static int scan(struct window *w, uint64_t nonce, cw_journal_found *found, void *ctx,
                struct cw_journal_seen *seen) {
    uint64_t at = CW_JOURNAL_START, damage = 0; /* where damage begins; 0: there is none */
    struct cw_journal_record record;
    while (look(w, at, 1)) {
        bool known = record_at(w, nonce, at, &record);
        enum body body = known ? body_of(w, &record, at + CW_JOURNAL_RECORD) : WRONG;
        if (known && body == WHOLE) {
            if (damage) {
                seen->damaged++;
                seen->damaged_bytes += at - damage;
            }
            damage = 0;
            seen->records++;
            int rc = found ? found(ctx, &record, at + CW_JOURNAL_RECORD) : 0;
            if (rc)
                return rc;
            at = seen->end = cw_journal_next(&record, at);
            continue;
        }
        damage = damage ? damage : at;
        if (body == SHORT && w->bad)
            return -1;
        /* A body that is damaged may hold what looks like a record of another time: it
         * is passed over. One that reaches beyond the end is not: its length is right, so
         * nothing comes behind it. */
        if (known && body == SHORT)
            break;
        at = known ? cw_journal_next(&record, at) : at + 8;
    }
    return 0;
}

int cw_journal_scan(const struct cw_journal_file *file, const struct cw_journal_head *head,
                    cw_journal_found *found, void *ctx, struct cw_journal_seen *seen) {
    struct window w = {.file = file};
    *seen = (struct cw_journal_seen){.end = CW_JOURNAL_START};
    int rc = scan(&w, head->nonce, found, ctx, seen);
    if (rc == 0 && w.bad)
        return -1;
    /* How much lies behind the end. */
    uint64_t at = seen->end;
    while (rc == 0 && look(&w, at, 1))
        at = w.at + w.have;
    seen->torn = at - seen->end;
    return rc == 0 && w.bad ? -1 : rc;
}

/* ---- comparing ---- */

static int differ(char *text, size_t size, const char *what, int64_t have, int64_t want) {
    snprintf(text, size, "%s is %" PRId64 " there, %" PRId64 " here", what, have, want);
    return 1;
}

static const char *kind_text(uint32_t kind) {
    static const char *const kinds[] = {
        [CW_JOURNAL_MAP] = "a map",          [CW_JOURNAL_BYTES] = "a map of bytes",
        [CW_JOURNAL_FOR] = "a crew_for",     [CW_JOURNAL_FOLD] = "a reduce",
        [CW_JOURNAL_STREAM] = "a stream",    [CW_JOURNAL_KEYS] = "submitted calls"};
    return kind < sizeof kinds / sizeof *kinds && kinds[kind] ? kinds[kind] : "something else";
}

static int functions_differ(const struct cw_journal_head *have, const struct cw_journal_head *want,
                            bool any_build, char *text, size_t size) {
    if (strcmp(have->function, want->function) != 0 || strcmp(have->combine, want->combine) != 0) {
        bool first = strcmp(have->function, want->function) != 0;
        snprintf(text, size, "the %sfunction is %.90s there, %.90s here", first ? "" : "combining ",
                 first ? have->function : have->combine, first ? want->function : want->combine);
        return 1;
    }
    if (have->object != want->object && !any_build) {
        snprintf(text, size,
                 "the program is another build: %016" PRIx64 " there, %016" PRIx64
                 " here (CREW_JOURNAL_FORCE=1 goes on all the same)",
                 have->object, want->object);
        return 1;
    }
    if (have->object == want->object && have->offset != want->offset) {
        snprintf(text, size, "the function is another one of the name %.90s", want->function);
        return 1;
    }
    return 0;
}

int cw_journal_differs(const struct cw_journal_head *have, const struct cw_journal_head *want,
                       bool any_build, char *text, size_t size) {
    if (have->kind != want->kind) {
        snprintf(text, size, "it is of %s, this is %s", kind_text(have->kind),
                 kind_text(want->kind));
        return 1;
    }
    if (want->kind == CW_JOURNAL_KEYS)
        return 0; /* each record says it for itself */
    if (functions_differ(have, want, any_build, text, size))
        return 1;
    const struct {
        const char *what;
        int64_t have, want;
    } rows[] = {
        {"the number of items", have->count, want->count},
        {want->kind == CW_JOURNAL_FOR ? "the chunk" : "a block", have->grain, want->grain},
        {"the size of an item", (int64_t)have->in_size, (int64_t)want->in_size},
        {"the size of a result", (int64_t)have->out_size, (int64_t)want->out_size},
        {"the size of the common argument", (int64_t)have->common_size,
         (int64_t)want->common_size},
        {"the first index", have->first, want->first},
        {"the step", have->step, want->step},
        {"the seed", (int64_t)have->seed, (int64_t)want->seed},
        {"the random stream", (int64_t)have->stream, (int64_t)want->stream},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].have != rows[i].want)
            return differ(text, size, rows[i].what, rows[i].have, rows[i].want);
    if (have->inputs != want->inputs || have->common != want->common) {
        snprintf(text, size, "the %s differ", have->inputs != want->inputs
                                                  ? "items"
                                                  : "contents of the common argument");
        return 1;
    }
    return 0;
}
