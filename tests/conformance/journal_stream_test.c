/* conformance/journal_stream_test.c - streams and submitted calls that go on from a journal. */
#include "conformance/journals.h"

#include "api/pool_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COUNT = 500, CELL_FAILS = 40 };

static void forget(void) {
    forget_items(COUNT);
}

/* ---- streams ------------------------------------------------------------------- */

static int square(crew_call *call) {
    int64_t n = *CREW_IN(call, int64_t), r = n * n;
    crewtest_add(CELL_ITEM + call->index, 1);
    crewtest_add(CELL_COUNT, 1);
    if (n % 9 == 4 && crewtest_get(CELL_FAILS))
        return crew_fail(call, 6, "not %d", (int)n);
    if (call->out) {
        *CREW_OUT(call, int64_t) = r;
        return 0;
    }
    char text[64];
    return crew_reply(call, text,
                      (size_t)snprintf(text, sizeof text, "%*ld", (int)(n % 40), (long)r));
}

/* Takes `most` items of the stream. Returns how many failed. */
static int64_t drink(crew_pool *p, int64_t first, size_t out_size, const crew_map_opts *opts,
                     int64_t most, crew_error *last) {
    crew_item item = {0};
    crew_error err;
    bool seen[COUNT] = {false};
    int64_t got = 0, bad = 0, out = 0;
    int rc = 1;
    crew_iter *it = crew_imap(p, square, crew_source_range(first, COUNT, 1), out_size, opts, &err);
    if (!it)
        fail_msg("%s", err.text);
    for (; got < most; got++) {
        item.status = 0;
        rc = crew_next(it, &out, &item, 20, &err);
        if (rc == 0 || (rc < 0 && !item.status))
            break;
        assert_false(seen[item.index]);
        seen[item.index] = true;
        if (!opts->unordered)
            assert_int_equal(item.index, got);
        if (rc < 0) {
            bad++;
            assert_text(err.text, "not ");
            assert_int_equal(err.task_code, 6);
            continue;
        }
        int64_t n = first + item.index, want = n * n;
        if (out_size)
            assert_int_equal(out, want);
        char text[64];
        if (!out_size) {
            assert_int_equal(item.size,
                             snprintf(text, sizeof text, "%*ld", (int)(n % 40), (long)want));
            assert_memory_equal(item.data, text, item.size);
        }
    }
    *last = err;
    crew_iter_free(it);
    return rc < 0 && !item.status ? rc : bad;
}

static void stream(bool unordered, size_t out_size, const char *name) {
    crew_error err;
    crew_pool *p = crewtest_open(3);
    crew_map_opts opts = {.journal = fresh(name), .unordered = unordered, .window = 20};
    forget();
    assert_int_equal(drink(p, 5, out_size, &opts, 100, &err), 0);
    crew_journal_info info = info_of(opts.journal);
    assert_int_equal(info.kind, CREW_JOURNAL_STREAM);
    assert_true(info.done >= 100 && info.done <= 121);
    /* The rest, and nothing twice but what was not finished when it was freed. */
    int64_t before = crewtest_get(CELL_COUNT);
    assert_int_equal(drink(p, 5, out_size, &opts, COUNT + 1, &err), 0);
    assert_string_equal(err.text, "");
    assert_int_equal(info_of(opts.journal).done, COUNT);
    assert_int_equal(crewtest_get(CELL_COUNT) - before, COUNT - info.done);
    assert_int_equal(drink(p, 5, out_size, &opts, COUNT + 1, &err), 0);
    assert_int_equal(crewtest_get(CELL_COUNT) - before, COUNT - info.done);
    /* Other items, other sizes. */
    assert_int_equal(drink(p, 6, out_size, &opts, COUNT + 1, &err), CREW_EMISMATCH);
    assert_text(err.text, "item 0 differs");
    assert_null(crew_imap(p, square, crew_source_range(5, COUNT, 1), 24, &opts, &err));
    assert_code(err.code, CREW_EMISMATCH, &err);
    crewtest_free(p);
}

static void stream__in_order__goes_on(void **state) {
    (void)state;
    stream(false, sizeof(int64_t), "ordered");
}

static void stream__unordered__goes_on(void **state) {
    (void)state;
    stream(true, sizeof(int64_t), "unordered");
}

static void stream__of_any_size__goes_on(void **state) {
    (void)state;
    stream(false, 0, "bytes");
    stream(true, 0, "unordered-bytes");
}

static void stream__failed_items__run_again_unless_they_are_to_be_kept(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_map_opts opts = {.journal = fresh("failing")};
    const int64_t bad = COUNT / 9;
    crewtest_set(CELL_FAILS, 1);
    assert_int_equal(drink(p, 0, 8, &opts, COUNT + 1, &err), bad + 1);
    forget();
    p->session->config.resume = CW_RESUME_FINISHED;
    assert_int_equal(drink(p, 0, 8, &opts, COUNT + 1, &err), bad + 1);
    p->session->config.resume = CW_RESUME_DONE;
    assert_int_equal(crewtest_get(CELL_COUNT), 0);
    crewtest_set(CELL_FAILS, 0);
    assert_int_equal(drink(p, 0, 8, &opts, COUNT + 1, &err), 0);
    assert_int_equal(crewtest_get(CELL_COUNT), bad + 1);
    crewtest_free(p);
}

static int gated(crew_call *call) {
    crewtest_add(CELL_COUNT, 1);
    int rc = *CREW_IN(call, int64_t) == 0 ? crewtest_pass(call, CELL_GATE) : 0;
    *CREW_OUT(call, int64_t) = 1;
    return rc;
}

/* What is finished is in the journal although nobody has come to take it. */
static void stream__nobody_takes__it_is_in_the_journal(void **state) {
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC | CREWTEST_MANY);
    crew_pool *p = crewtest_open(2);
    crew_map_opts opts = {.journal = fresh("waiting"), .window = 30};
    crew_iter *it = crew_imap(p, gated, crew_source_range(0, COUNT, 1), 8, &opts, &err);
    assert_non_null(it);
    CREWTEST_WAIT(info_of(opts.journal).done == 29, 20);
    crewtest_set(CELL_GATE, 1);
    crew_iter_free(it);
    crewtest_free(p);
}

/* ---- submitted calls -------------------------------------------------------------- */

static int reply_square(crew_call *call) {
    int64_t n = *CREW_IN(call, int64_t),
            r = n * n + (call->common ? *CREW_COMMON(call, int64_t) : 0);
    crewtest_add(CELL_COUNT, 1);
    if (crewtest_get(CELL_FAILS))
        return crew_fail(call, 9, "cannot do %d", (int)n);
    return crew_reply(call, &r, sizeof r);
}

static int other(crew_call *call) {
    return reply_square(call);
}

static int ask(crew_pool *p, crew_fn *fn, int64_t n, const crew_submit_opts *o, int64_t *out,
               crew_error *err) {
    crew_future *f = crew_submit(p, fn, &n, sizeof n, o, err);
    if (!f)
        return err->code;
    int rc = crew_future_result(f, out, sizeof *out, 20, err);
    crew_future_free(f);
    return rc;
}

static void keys__of_finished_calls__are_not_run_again(void **state) {
    const char *path = fresh("keys");
    crew_error err;
    char key[32];
    int64_t out;
    (void)state;
    for (int run = 0; run < 3; run++) {
        crew_pool *p = crewtest_open(2);
        for (int64_t i = 0; i < 50; i++) {
            snprintf(key, sizeof key, "call %ld", (long)i);
            const crew_submit_opts o = {.key = key, .journal = path};
            assert_ok(ask(p, reply_square, i, &o, &out, &err), &err);
            assert_int_equal(out, i * i);
        }
        crewtest_free(p);
        assert_int_equal(crewtest_get(CELL_COUNT), 50);
    }
    assert_int_equal(info_of(path).kind, CREW_JOURNAL_KEYS);
    assert_int_equal(info_of(path).done, 50);
}

static void keys__again_in_the_same_run_and_of_two_pools__are_known(void **state) {
    const crew_submit_opts o = {.key = "the one", .journal = fresh("twice")};
    crew_error err;
    int64_t out;
    (void)state;
    crew_pool *p = crewtest_open(2), *q = crewtest_open(1);
    for (int i = 0; i < 3; i++) {
        assert_ok(ask(i == 1 ? q : p, reply_square, 7, &o, &out, &err), &err);
        assert_int_equal(out, 49);
    }
    assert_int_equal(crewtest_get(CELL_COUNT), 1);
    crewtest_free(p);
    assert_ok(ask(q, reply_square, 7, &o, &out, &err), &err);
    assert_int_equal(crewtest_get(CELL_COUNT), 1);
    crewtest_free(q);
}

static void keys__of_other_calls__are_refused(void **state) {
    int64_t out, common = 5;
    crew_submit_opts o = {.key = "k", .journal = fresh("mixed")};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    assert_ok(ask(p, reply_square, 3, &o, &out, &err), &err);
    assert_code(ask(p, reply_square, 4, &o, &out, &err), CREW_EMISMATCH, &err);
    assert_text(err.text, "the key k with another item or common argument");
    assert_code(ask(p, other, 3, &o, &out, &err), CREW_EMISMATCH, &err);
    assert_text(err.text, "another function");
    o.common = &common;
    o.common_size = sizeof common;
    assert_code(ask(p, reply_square, 3, &o, &out, &err), CREW_EMISMATCH, &err);
    o.key = "with common";
    assert_ok(ask(p, reply_square, 3, &o, &out, &err), &err);
    assert_int_equal(out, 14);
    o.key = NULL;
    assert_code(ask(p, reply_square, 3, &o, &out, &err), CREW_EINVAL, &err);
    assert_text(err.text, "needs a key");
    o.key = "alone"; /* and no journal: nothing but a name */
    o.journal = NULL;
    assert_ok(ask(p, reply_square, 3, &o, &out, &err), &err);
    crewtest_free(p);
}

static void keys__of_failed_calls__run_again_unless_they_are_to_be_kept(void **state) {
    const crew_submit_opts o = {.key = "failing", .journal = fresh("failed keys")};
    int64_t out;
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crewtest_set(CELL_FAILS, 1);
    assert_code(ask(p, reply_square, 3, &o, &out, &err), CREW_EFAILED, &err);
    p->session->config.resume = CW_RESUME_FINISHED;
    assert_code(ask(p, reply_square, 3, &o, &out, &err), CREW_EFAILED, &err);
    p->session->config.resume = CW_RESUME_DONE;
    assert_text(err.text, "reply_square failed with code 9: cannot do 3");
    assert_int_equal(err.task_code, 9);
    assert_int_equal(crewtest_get(CELL_COUNT), 1);
    crewtest_set(CELL_FAILS, 0);
    assert_ok(ask(p, reply_square, 3, &o, &out, &err), &err);
    assert_int_equal(crewtest_get(CELL_COUNT), 2);
    crewtest_free(p);
    assert_int_equal(info_of(o.journal).done, 1);
    assert_int_equal(info_of(o.journal).failed, 0);
}

static void keys__of_detached_calls__are_in_the_journal_when_the_pool_is_gone(void **state) {
    const char *path = fresh("detached");
    crew_error err;
    char key[32];
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (int64_t i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "%ld", (long)i);
        const crew_submit_opts o = {.key = key, .journal = path};
        crew_future_free(crew_submit(p, reply_square, &i, sizeof i, &o, &err));
    }
    crew_pool_shutdown(p, true, false);
    crewtest_free(p);
    assert_int_equal(info_of(path).done, 20);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (!folder_made())
        return 1;
    const struct CMUnitTest tests[] = {
        CREWTEST(stream__in_order__goes_on),
        CREWTEST(stream__unordered__goes_on),
        CREWTEST(stream__of_any_size__goes_on),
        CREWTEST(stream__failed_items__run_again_unless_they_are_to_be_kept),
        CREWTEST(stream__nobody_takes__it_is_in_the_journal),
        CREWTEST(keys__of_finished_calls__are_not_run_again),
        CREWTEST(keys__again_in_the_same_run_and_of_two_pools__are_known),
        CREWTEST(keys__of_other_calls__are_refused),
        CREWTEST(keys__of_failed_calls__run_again_unless_they_are_to_be_kept),
        CREWTEST(keys__of_detached_calls__are_in_the_journal_when_the_pool_is_gone),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return crewtest_end(failed + folder_gone());
}
