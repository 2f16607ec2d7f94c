/* The file format of journals: what is damaged is not believed, what is whole is found. */
#include "journal/format.h"
#include "support/plain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 64, ROOM = 1 << 17 };

/* ---- a journal in memory ----------------------------------------------------- */

struct original {
    struct cw_journal_record record;
    uint64_t body;
};
struct journal {
    unsigned char bytes[ROOM];
    size_t size;
    struct cw_journal_head head;
    struct original records[MOST];
    int count;
    bool broken; /* reading fails behind the head */
};

static uint64_t drawn = 1;

static ptrdiff_t read_memory(void *ctx, uint64_t at, void *to, size_t size) {
    const struct journal *j = ctx;
    if (j->broken && at >= CW_JOURNAL_START)
        return -5;
    if (at >= j->size)
        return 0;
    size_t n = size < j->size - at ? size : j->size - (size_t)at;
    memcpy(to, j->bytes + at, n);
    return (ptrdiff_t)n;
}

static void begin(struct journal *j) {
    memset(j, 0, sizeof *j);
    j->head = (struct cw_journal_head){.kind = CW_JOURNAL_MAP,
                                       .nonce = draw(&drawn),
                                       .object = 11,
                                       .offset = 12,
                                       .count = 1000,
                                       .grain = 1,
                                       .in_size = 8,
                                       .out_size = 16,
                                       .inputs = 17,
                                       .common_size = 18,
                                       .common = 19,
                                       .first = 20,
                                       .step = 21,
                                       .seed = 22,
                                       .stream = 23,
                                       .function = "factorize",
                                       .combine = "sum"};
    cw_journal_seal_head(&j->head);
    memcpy(j->bytes, &j->head, sizeof j->head);
    memcpy(j->bytes + CW_JOURNAL_COPY, &j->head, sizeof j->head);
    j->size = CW_JOURNAL_START;
}

static void append(struct journal *j, const void *body, size_t size) {
    struct cw_journal_record r = {.index = 10 * j->count, .n = 1 + j->count % 3, .size = size};
    r.status = j->count % 5 == 4 ? -11 : 0;
    r.body = cw_journal_body(NULL, 0, body, size);
    cw_journal_seal(&r, j->head.nonce, j->size);
    memcpy(j->bytes + j->size, &r, sizeof r);
    if (size)
        memcpy(j->bytes + j->size + sizeof r, body, size);
    j->records[j->count++] = (struct original){r, j->size + sizeof r};
    j->size = cw_journal_next(&r, j->size);
}

static void append_some(struct journal *j, int count, size_t most) {
    unsigned char body[4096];
    for (int i = 0; i < count; i++) {
        size_t size = (size_t)(draw(&drawn) % (most + 1));
        for (size_t k = 0; k < size; k++)
            body[k] = (unsigned char)draw(&drawn);
        append(j, body, size);
    }
}

/* What a scan finds, compared with what was written. */
struct finding {
    const struct journal *original, *read;
    int count;
    bool seen[MOST];
};

static int found(void *ctx, const struct cw_journal_record *record, uint64_t body) {
    struct finding *f = ctx;
    for (int i = 0; i < f->original->count; i++) {
        const struct original *o = &f->original->records[i];
        if (memcmp(&o->record, record, sizeof *record) != 0)
            continue;
        assert_int_equal(body, o->body);
        assert_memory_equal(f->read->bytes + body, f->original->bytes + body, record->size);
        assert_false(f->seen[i]);
        f->seen[i] = true;
        f->count++;
        return 0;
    }
    fail_msg("a record of item %ld was never written", (long)record->index);
    return 0;
}

static struct finding scan(const struct journal *original, struct journal *read,
                           struct cw_journal_seen *seen) {
    const struct cw_journal_file file = {read_memory, read};
    struct finding f = {.original = original, .read = read};
    assert_int_equal(cw_journal_scan(&file, &original->head, found, &f, seen), 0);
    assert_int_equal(seen->records, f.count);
    assert_true(seen->end <= read->size || read->size < CW_JOURNAL_START);
    if (read->size >= CW_JOURNAL_START)
        assert_int_equal(seen->end + seen->torn, read->size);
    return f;
}

static struct journal *copy_of(const struct journal *j) {
    static struct journal copy;
    copy = *j;
    return &copy;
}

static struct journal *small(void) {
    static struct journal j;
    begin(&j);
    append_some(&j, 9, 40);
    append(&j, NULL, 0);
    return &j;
}

/* ---- the tests ----------------------------------------------------------------- */

static void journal__whole__all_records_are_found(void **unused) {
    struct journal *j = small();
    struct cw_journal_seen seen;
    (void)unused;
    append_some(j, 20, 4000);
    const struct cw_journal_file file = {read_memory, j};
    struct cw_journal_head head;
    assert_int_equal(cw_journal_read_head(&file, &head), CW_JOURNAL_GOOD);
    assert_memory_equal(&head, &j->head, sizeof head);
    assert_int_equal(scan(j, j, &seen).count, j->count);
    assert_int_equal(seen.end, j->size);
    assert_int_equal(seen.torn + seen.damaged_bytes, 0);
}

static void journal__cut_at_each_byte__its_beginning_is_found(void **unused) {
    const struct journal *j = small();
    (void)unused;
    for (size_t size = 0; size < j->size; size++) {
        struct journal *cut = copy_of(j);
        const struct cw_journal_file file = {read_memory, cut};
        struct cw_journal_head head;
        struct cw_journal_seen seen;
        cut->size = size;
        enum cw_journal_state state = cw_journal_read_head(&file, &head);
        assert_int_equal(state, size < sizeof head ? CW_JOURNAL_EMPTY : CW_JOURNAL_GOOD);
        struct finding f = scan(j, cut, &seen);
        int whole = 0;
        while (cw_journal_next(&j->records[whole].record, j->records[whole].body -
                                                               CW_JOURNAL_RECORD) <= size)
            whole++;
        assert_int_equal(f.count, whole);
        assert_int_equal(seen.damaged, 0);
        for (int i = 0; i < whole; i++)
            assert_true(f.seen[i]);
    }
}

static void journal__each_byte_changed__costs_one_record_at_most(void **unused) {
    static const unsigned char changes[] = {0x01, 0x80, 0xff};
    const struct journal *j = small();
    (void)unused;
    for (size_t at = 0; at < j->size; at++)
        for (size_t c = 0; c < sizeof changes; c++) {
            struct journal *bad = copy_of(j);
            const struct cw_journal_file file = {read_memory, bad};
            struct cw_journal_head head;
            struct cw_journal_seen seen;
            bad->bytes[at] ^= changes[c];
            assert_int_equal(cw_journal_read_head(&file, &head), CW_JOURNAL_GOOD);
            assert_memory_equal(&head, &j->head, sizeof head);
            struct finding f = scan(j, bad, &seen);
            assert_true(f.count >= j->count - 1);
            assert_int_equal(seen.damaged + (seen.torn > 0), j->count - f.count);
        }
}

static void journal__both_heads_damaged__is_no_journal(void **unused) {
    struct journal *j = small();
    const struct cw_journal_file file = {read_memory, j};
    struct cw_journal_head head;
    (void)unused;
    j->bytes[100] ^= 1;
    j->bytes[CW_JOURNAL_COPY + 300] ^= 1;
    assert_int_equal(cw_journal_read_head(&file, &head), CW_JOURNAL_ALIEN);
    j = small();
    for (int k = 0; k < 2; k++)
        j->bytes[k * CW_JOURNAL_COPY + 8] = 77; /* the version */
    assert_int_equal(cw_journal_read_head(&file, &head), CW_JOURNAL_OTHER);
    memset(j->bytes, 0, j->size);
    assert_int_equal(cw_journal_read_head(&file, &head), CW_JOURNAL_EMPTY);
    memcpy(j->bytes, "#!/bin/sh\n", 10);
    assert_int_equal(cw_journal_read_head(&file, &head), CW_JOURNAL_ALIEN);
    j->size = 10;
    assert_int_equal(cw_journal_read_head(&file, &head), CW_JOURNAL_ALIEN);
}

/* A journal is kept as a result in a journal: what lies in a damaged body is none of its
 * records, not even if that body was a copy of this very file. */
static void journal__records_in_a_body__are_not_taken_for_records(void **unused) {
    static struct journal inner, outer;
    struct cw_journal_seen seen;
    (void)unused;
    begin(&inner);
    append_some(&inner, 12, 60);
    begin(&outer);
    append_some(&outer, 3, 30);
    append(&outer, inner.bytes, inner.size);
    outer.head = inner.head; /* the same nonce: the worst */
    append(&outer, inner.bytes, inner.size);
    append_some(&outer, 3, 30);
    for (int which = 3; which < 5; which++)
        for (int part = 0; part < 2; part++) {
            struct journal *bad = copy_of(&outer);
            bad->bytes[outer.records[which].body + (part ? 5 : (size_t)-40)] ^= 1;
            scan(&outer, bad, &seen);
        }
}

static void journal__that_cannot_be_read__is_said(void **unused) {
    struct journal *j = small();
    const struct cw_journal_file file = {read_memory, j};
    struct cw_journal_seen seen;
    (void)unused;
    j->broken = true;
    assert_int_equal(cw_journal_scan(&file, &j->head, NULL, NULL, &seen), -1);
}

static void mutate(struct journal *j) {
    if (j->size == 0)
        return;
    size_t at = (size_t)(draw(&drawn) % j->size), n = (size_t)(draw(&drawn) % 200), from;
    n = n < j->size - at ? n : j->size - at;
    switch (draw(&drawn) % 6) {
    case 0:
        j->bytes[at] ^= (unsigned char)(1 + draw(&drawn) % 255);
        break;
    case 1: /* zeros */
        memset(j->bytes + at, 0, n);
        break;
    case 2: /* noise */
        for (size_t i = 0; i < n; i++)
            j->bytes[at + i] = (unsigned char)draw(&drawn);
        break;
    case 3: /* bytes are lost */
        memmove(j->bytes + at, j->bytes + at + n, j->size - at - n);
        j->size -= n;
        break;
    case 4: /* a part of it lies elsewhere, too */
        from = (size_t)(draw(&drawn) % j->size) / 8 * 8;
        at = at / 8 * 8;
        n = n < j->size - from ? n : j->size - from;
        n = n < j->size - at ? n : j->size - at;
        memmove(j->bytes + at, j->bytes + from, n);
        break;
    default:
        j->size = at ? at : 1;
    }
}

static void journal__damaged_at_random__nothing_false_is_found(void **unused) {
    static struct journal j;
    struct cw_journal_seen seen;
    (void)unused;
    drawn = plain_seed();
    int64_t kept = 0, all = 0;
    for (int round = 0; round < 3000; round++) {
        begin(&j);
        append_some(&j, 1 + (int)(draw(&drawn) % 30), round % 10 == 0 ? 2000 : 60);
        struct journal *bad = copy_of(&j);
        for (uint64_t times = 1 + draw(&drawn) % 4; times > 0; times--)
            mutate(bad);
        const struct cw_journal_file file = {read_memory, bad};
        struct cw_journal_head head;
        if (cw_journal_read_head(&file, &head) == CW_JOURNAL_GOOD)
            assert_memory_equal(&head, &j.head, sizeof head);
        kept += scan(&j, bad, &seen).count;
        all += j.count;
    }
    assert_true(kept > all / 4); /* and much is */
}

static void differs__each_field__is_named(void **unused) {
    struct journal *j = small();
    char text[240];
    (void)unused;
    const struct cw_journal_head mine = j->head;
    assert_int_equal(cw_journal_differs(&mine, &mine, false, text, sizeof text), 0);
#define CHANGED(change, any_build, part)                                                           \
    do {                                                                                           \
        struct cw_journal_head h = mine;                                                           \
        change;                                                                                    \
        assert_int_equal(cw_journal_differs(&h, &mine, any_build, text, sizeof text), 1);          \
        if (!strstr(text, part))                                                                   \
            fail_msg("%s", text);                                                                  \
    } while (0)
    CHANGED(h.kind = CW_JOURNAL_STREAM, true, "it is of a stream, this is a map");
    CHANGED(strcpy(h.function, "primes"), true, "the function is primes there, factorize here");
    CHANGED(strcpy(h.combine, "max"), true, "the combining function is max there, sum here");
    CHANGED(h.object++, false, "another build");
    CHANGED(h.offset++, true, "another one of the name factorize");
    CHANGED(h.count++, true, "the number of items is 1001 there, 1000 here");
    CHANGED(h.grain++, true, "a block is 2 there, 1 here");
    CHANGED(h.in_size++, true, "the size of an item is 9 there, 8 here");
    CHANGED(h.out_size++, true, "the size of a result is 17 there, 16 here");
    CHANGED(h.inputs++, true, "the items differ");
    CHANGED(h.common_size++, true, "the size of the common argument is 19 there");
    CHANGED(h.common++, true, "contents of the common argument differ");
    CHANGED(h.first++, true, "the first index is 21 there");
    CHANGED(h.step++, true, "the step is 22 there");
    CHANGED(h.seed++, true, "the seed is 23 there");
    CHANGED(h.stream++, true, "the random stream is 24 there");
    struct cw_journal_head rebuilt = mine;
    rebuilt.object++;
    rebuilt.offset++;
    assert_int_equal(cw_journal_differs(&rebuilt, &mine, true, text, sizeof text), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(journal__whole__all_records_are_found),
        cmocka_unit_test(journal__cut_at_each_byte__its_beginning_is_found),
        cmocka_unit_test(journal__each_byte_changed__costs_one_record_at_most),
        cmocka_unit_test(journal__both_heads_damaged__is_no_journal),
        cmocka_unit_test(journal__records_in_a_body__are_not_taken_for_records),
        cmocka_unit_test(journal__that_cannot_be_read__is_said),
        cmocka_unit_test(journal__damaged_at_random__nothing_false_is_found),
        cmocka_unit_test(differs__each_field__is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
