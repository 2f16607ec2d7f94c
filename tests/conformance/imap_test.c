/* conformance/imap_test.c - streams: in order and as completed, over sources
 * that are read lazily. */
#include "crewtest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t square(int64_t n) {
    return n * n;
}
CREW_TASK(square, int64_t, int64_t)

/* Takes longer for some, so that they complete out of order. */
static int64_t uneven(int64_t n) {
    for (uint64_t i = crewtest_mix((uint64_t)n) % 20000; i > 0; i--)
        __asm__ volatile("" : "+r"(i));
    return n * n;
}
CREW_TASK(uneven, int64_t, int64_t)

static crew_iter *begin(crew_pool *p, crew_fn *fn, crew_source source, size_t out_size,
                        const crew_map_opts *opts) {
    crew_error err;
    crew_iter *it = crew_imap(p, fn, source, out_size, opts, &err);
    if (!it)
        fail_msg("crew_imap: %s", err.text);
    return it;
}

/* ---- order -------------------------------------------------------------- */

static void imap__ordered__yields_every_item_in_order(void **state) {
    static const int64_t windows[] = {0, 1, 2, 100, 100000};
    enum { COUNT = 2000 };
    static int64_t in[COUNT];
    crew_error err;
    (void)state;
    for (int64_t i = 0; i < COUNT; i++)
        in[i] = 5 - i;
    crew_pool *p = crewtest_open(3);
    for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
        crew_map_opts opts = {.window = windows[w], .chunk = (int64_t)w};
        crew_source source = crew_source_array(in, sizeof *in, COUNT);
        crew_iter *it = begin(p, uneven_task, source, sizeof *in, &opts);
        for (int64_t i = 0; i < COUNT; i++) {
            int64_t out = -1;
            crew_item item;
            assert_int_equal(crew_next(it, &out, &item, 20, &err), 1);
            assert_int_equal(item.index, i);
            assert_int_equal(item.status, 0);
            assert_int_equal(out, in[i] * in[i]);
        }
        assert_int_equal(crew_next(it, NULL, NULL, 20, &err), 0);
        assert_int_equal(crew_next(it, NULL, NULL, 20, &err), 0);
        crew_iter_free(it);
    }
    crewtest_free(p);
}

static void imap__unordered__yields_every_item_once(void **state) {
    enum { COUNT = 5000 };
    static char seen[COUNT];
    crew_map_opts opts = {.unordered = true};
    crew_error err;
    (void)state;
    memset(seen, 0, sizeof seen);
    crew_pool *p = crewtest_open(3);
    crew_iter *it = begin(p, uneven_task, crew_source_range(10, COUNT, 3), 8, &opts);
    for (int i = 0; i < COUNT; i++) {
        int64_t out = -1;
        crew_item item;
        assert_int_equal(crew_next(it, &out, &item, 20, &err), 1);
        assert_in_range(item.index, 0, COUNT - 1);
        assert_int_equal(out, (10 + 3 * item.index) * (10 + 3 * item.index));
        assert_int_equal(seen[item.index]++, 0);
    }
    assert_int_equal(crew_next(it, NULL, NULL, 20, &err), 0);
    crew_iter_free(it);
    crewtest_free(p);
}

/* Item 0 waits at the gate, the others do not. */
static int first_waits(crew_call *call) {
    int code = call->index == 0 ? crewtest_pass(call, CELL_GATE) : 0;
    return code ? code : crew_task_result(call, &call->index, sizeof call->index);
}

static void imap__unordered_with_a_slow_item__does_not_wait_for_it(void **state) {
    enum { COUNT = 50 };
    crew_map_opts opts = {.unordered = true, .chunk = 1};
    crew_error err;
    crew_item item;
    (void)state;
    crewtest_need(CREWTEST_MANY);
    crew_pool *p = crewtest_open(2);
    crew_iter *it = begin(p, first_waits, crew_source_range(0, COUNT, 1), 8, &opts);
    for (int i = 1; i < COUNT; i++) {
        assert_int_equal(crew_next(it, NULL, &item, 20, &err), 1);
        assert_int_not_equal(item.index, 0);
    }
    assert_int_equal(crew_next(it, NULL, &item, 0.02, &err), CREW_ETIMEDOUT);
    crewtest_set(CELL_GATE, 1);
    assert_int_equal(crew_next(it, NULL, &item, 20, &err), 1);
    assert_int_equal(item.index, 0);
    assert_int_equal(crew_next(it, NULL, &item, 20, &err), 0);
    crew_iter_free(it);
    crewtest_free(p);
}

static void imap__timeout__is_no_end_and_loses_nothing(void **state) {
    enum { COUNT = 10 };
    crew_error err;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(1);
    crew_iter *it = begin(p, first_waits, crew_source_range(0, COUNT, 1), 8, NULL);
    double from = crewtest_now();
    assert_code(crew_next(it, NULL, NULL, 0, &err), CREW_ETIMEDOUT, &err);
    assert_code(crew_next(it, NULL, NULL, 0.05, &err), CREW_ETIMEDOUT, &err);
    assert_true(crewtest_now() - from >= 0.049);
    assert_within(from, 5);
    crewtest_set(CELL_GATE, 1);
    for (int64_t i = 0; i < COUNT; i++) {
        int64_t out;
        assert_int_equal(crew_next(it, &out, NULL, 20, &err), 1);
        assert_int_equal(out, i);
    }
    assert_int_equal(crew_next(it, NULL, NULL, 20, &err), 0);
    crew_iter_free(it);
    crewtest_free(p);
}

/* ---- laziness ----------------------------------------------------------- */

struct counter {
    int64_t next, end, item; /* end -1: none */
    int64_t yielded, most;   /* most: how far it was read ahead */
    int error_at;
};

static int count_up(void *ctx, const void **item, size_t *size) {
    struct counter *c = ctx;
    if (c->error_at && c->next == c->error_at)
        return CREW_ENOENT;
    if (c->next == c->end)
        return 0;
    c->item = c->next++;
    *item = &c->item;
    *size = sizeof c->item;
    if (c->next - c->yielded > c->most)
        c->most = c->next - c->yielded;
    return 1;
}

static crew_source counting(struct counter *c) {
    crew_source source = {.next = count_up, .ctx = c};
    return source;
}

static void imap__window__bounds_how_far_the_source_is_read_ahead(void **state) {
    static const int64_t windows[] = {1, 2, 10, 64};
    enum { COUNT = 1000 };
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (size_t w = 0; w < 4; w++)
        for (int unordered = 0; unordered < 2; unordered++) {
            struct counter c = {.end = COUNT};
            crew_map_opts opts = {.window = windows[w], .unordered = unordered};
            crew_iter *it = begin(p, square_task, counting(&c), 8, &opts);
            assert_in_range(c.next, 0, windows[w]);
            for (int i = 0; i < COUNT; i++) {
                assert_int_equal(crew_next(it, NULL, NULL, 20, &err), 1);
                c.yielded++;
                /* the item now yielded made room for one */
                assert_in_range(c.most, 0, windows[w] + 1);
                assert_in_range(c.next - c.yielded, 0, windows[w]);
            }
            assert_int_equal(crew_next(it, NULL, NULL, 20, &err), 0);
            crew_iter_free(it);
        }
    crewtest_free(p);
}

static void imap__endless_source_freed_early__cancels_the_rest(void **state) {
    static const int takes[] = {0, 1, 500};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (int i = 0; i < 3; i++) {
        struct counter c = {.end = -1};
        crew_iter *it = begin(p, square_task, counting(&c), 8, NULL);
        for (int64_t n = 0; n < takes[i]; n++) {
            int64_t out;
            assert_int_equal(crew_next(it, &out, NULL, 20, &err), 1);
            assert_int_equal(out, n * n);
        }
        double from = crewtest_now();
        crew_iter_free(it);
        assert_within(from, 5);
        assert_true(c.next < takes[i] + 100000);
        assert_usable(p);
    }
    crewtest_free(p);
}

static void imap__freed_while_items_run__ends_in_time(void **state) {
    int64_t in[8];
    crew_map_opts opts = {.chunk = 1};
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    for (int i = 0; i < 8; i++)
        in[i] = CELL_GATE + 1;
    crew_pool *p = crewtest_open(2);
    crew_iter *it = begin(p, crewtest_gated_task, crew_source_array(in, 8, 8), 8, &opts);
    crew_next(it, NULL, NULL, 0, NULL); /* at the latest now it has begun */
    assert_true(crewtest_reached(CELL_STARTED, 2, 10));
    double from = crewtest_now();
    crew_iter_free(it);
    assert_within(from, 5);
    assert_usable(p);
    crewtest_free(p);
}

static int until_unwanted(crew_call *call) {
    crewtest_add(CELL_STARTED, 1);
    while (!crew_cancelled(call))
        crewtest_pause();
    return 0;
}

/* Before a worker is ended its task has 50 ms to look. A busy machine may take those away,
 * so it is enough that in one round all were over before. */
static void imap__freed_while_items_run__they_are_told_first(void **state) {
    enum { WORKERS = 3, ROUNDS = 40 };
    const int workers = crewtest_workers(WORKERS);
    bool told = false;
    (void)state;
    crewtest_need(CREWTEST_ASYNC);
    crew_pool *p = crewtest_open(WORKERS);
    for (int64_t round = 1; !told && round <= ROUNDS; round++) {
        crew_iter *it = begin(p, until_unwanted, crew_source_range(0, workers, 1), 0, NULL);
        assert_int_equal(crew_next(it, NULL, NULL, 0, NULL), CREW_ETIMEDOUT);
        assert_true(crewtest_reached(CELL_STARTED, round * workers, 20));
        double from = crewtest_now();
        crew_iter_free(it);
        told = crewtest_now() < from + 0.05;
    }
    assert_true(told);
    crewtest_free(p);
}

/* ---- failures ----------------------------------------------------------- */

static int odd_fails(crew_call *call) {
    int64_t n = *CREW_IN(call, int64_t);
    return n % 2 ? crew_fail(call, 8, "%d is odd", (int)n) : crew_task_result(call, &n, sizeof n);
}

static void imap__continue__failed_items_are_followed_by_more(void **state) {
    enum { COUNT = 300 };
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    for (int unordered = 0; unordered < 2; unordered++) {
        crew_map_opts opts = {.on_error = CREW_CONTINUE, .unordered = unordered};
        int64_t good = 0, bad = 0;
        crew_iter *it = begin(p, odd_fails, crew_source_range(0, COUNT, 1), 8, &opts);
        for (int i = 0; i < COUNT; i++) {
            crew_item item = {.index = -1};
            int64_t out = -1;
            int rc = crew_next(it, &out, &item, 20, &err);
            assert_in_range(item.index, 0, COUNT - 1);
            if (item.index % 2) {
                assert_code(rc, CREW_EFAILED, &err);
                assert_int_equal(item.status, CREW_EFAILED);
                assert_int_equal(err.item, item.index);
                assert_int_equal(err.task_code, 8);
                bad++;
            } else {
                assert_int_equal(rc, 1);
                assert_int_equal(out, item.index);
                good++;
            }
        }
        assert_int_equal(crew_next(it, NULL, NULL, 20, &err), 0);
        assert_true(good == COUNT / 2 && bad == COUNT / 2);
        crew_iter_free(it);
    }
    crewtest_free(p);
}

/* It may be followed by more or not: that is an iterator's reader to decide. */
static void imap__stop__yields_the_failure_and_comes_to_an_end(void **state) {
    enum { COUNT = 3000 };
    crew_error err;
    crew_item item;
    int after = 0;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_iter *it = begin(p, odd_fails, crew_source_range(0, COUNT, 1), 8, NULL);
    assert_int_equal(crew_next(it, NULL, &item, 20, &err), 1);
    assert_code(crew_next(it, NULL, &item, 20, &err), CREW_EFAILED, &err);
    assert_int_equal(item.index, 1);
    assert_int_equal(item.status, CREW_EFAILED);
    while (crew_next(it, NULL, &item, 20, &err) != 0)
        assert_in_range(++after, 0, COUNT - 2);
    crew_iter_free(it);
    assert_usable(p);
    crewtest_free(p);
}

static void imap__source_fails__says_so_after_what_was_read(void **state) {
    struct counter c = {.end = -1, .error_at = 20};
    crew_error err;
    int64_t good = 0;
    int rc;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_iter *it = begin(p, square_task, counting(&c), 8, NULL);
    while ((rc = crew_next(it, NULL, NULL, 20, &err)) == 1)
        good++;
    assert_code(rc, CREW_ENOENT, &err);
    assert_int_equal(good, 20);
    crew_iter_free(it);
    crewtest_free(p);
}

static void imap__bad_requests__are_refused_at_the_call(void **state) {
    crew_source none = {0};
    crew_map_opts window = {.window = -1}, schedule = {.schedule = 9};
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    const struct {
        crew_pool *pool;
        crew_fn *fn;
        crew_source source;
        size_t out_size;
        const crew_map_opts *opts;
        int code;
    } cases[] = {
        {p, NULL, crew_source_range(0, 9, 1), 8, NULL, CREW_EINVAL},
        {NULL, square_task, crew_source_range(0, 9, 1), 8, NULL, CREW_EINVAL},
        {p, square_task, none, 8, NULL, CREW_EINVAL},
        {p, square_task, crew_source_range(0, 9, 1), 8, &window, CREW_EINVAL},
        {p, square_task, crew_source_range(0, 9, 1), 8, &schedule, CREW_EINVAL},
        {p, square_task, crew_source_range(0, 9, 1), 5, NULL, CREW_EMISMATCH},
        {p, square_task, crew_source_range(0, -1, 1), 8, NULL, CREW_EINVAL},
        {p, square_task, crew_source_lines(NULL), 8, NULL, CREW_EINVAL},
        {p, square_task, crew_source_array(NULL, 8, 9), 8, NULL, CREW_EINVAL},
        {p, square_task, crew_source_array(&err, 8, -9), 8, NULL, CREW_EINVAL},
        {p, square_task, crew_source_array(&err, SIZE_MAX, 2), 8, NULL, CREW_EINVAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (crew_imap(cases[i].pool, cases[i].fn, cases[i].source, cases[i].out_size, cases[i].opts,
                      &err))
            fail_msg("case %zu was taken", i);
        assert_code(err.code, cases[i].code, &err);
    }
    assert_int_equal(crew_next(NULL, NULL, NULL, 0, &err), CREW_EINVAL);
    crew_iter_free(NULL);
    crewtest_free(p);
}

/* ---- sources and results of any size ------------------------------------ */

static int shout(crew_call *call) {
    char text[4096];
    if (call->in_size > sizeof text)
        return crew_fail(call, 1, "%d bytes", (int)call->in_size);
    for (size_t i = 0; i < call->in_size; i++) {
        char c = ((const char *)call->in)[i];
        text[i] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
    }
    return crew_reply(call, text, call->in_size);
}

static void imap__lines_of_a_file__come_without_their_ends(void **state) {
    char text[3200], longest[3001];
    crew_error err;
    crew_item item;
    (void)state;
    memset(longest, 'Z', 3000);
    longest[3000] = 0;
    snprintf(text, sizeof text, "one\n\n%s\nlast, without an end", longest);
    const char *want[] = {"ONE", "", longest, "LAST, WITHOUT AN END"};
    FILE *file = fmemopen(text, strlen(text), "r");
    assert_non_null(file);
    crew_pool *p = crewtest_open(2);
    crew_iter *it = begin(p, shout, crew_source_lines(file), 0, NULL);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(crew_next(it, NULL, &item, 20, &err), 1);
        assert_int_equal(item.size, strlen(want[i]));
        assert_non_null(item.data);
        assert_memory_equal(item.data, want[i], item.size);
    }
    assert_int_equal(crew_next(it, NULL, &item, 20, &err), 0);
    crew_iter_free(it);
    crewtest_free(p);
    fclose(file);
}

/* A disk that can be read to the end of a line, and no further. */
static ssize_t read_once(void *cookie, char *to, size_t size) {
    bool *read_before = cookie;
    if (*read_before || size < 4) {
        errno = EIO;
        return -1;
    }
    *read_before = true;
    memcpy(to, "one\n", 4);
    return 4;
}

static void imap__lines_that_cannot_be_read__say_which_and_why(void **state) {
    bool read_before = false;
    char text[16];
    crew_error err;
    crew_item item;
    (void)state;
    FILE *file = fopencookie(&read_before, "r", (cookie_io_functions_t){.read = read_once});
    assert_non_null(file);
    crew_pool *p = crewtest_open(1);
    crew_iter *it = begin(p, shout, crew_source_lines(file), 0, NULL);
    assert_int_equal(crew_next(it, NULL, &item, 20, &err), 1);
    snprintf(text, sizeof text, "%.*s", (int)item.size, (const char *)item.data);
    assert_string_equal(text, "ONE");
    assert_code(crew_next(it, NULL, &item, 20, &err), CREW_EINVAL, &err);
    assert_string_equal(err.text, "line 2 cannot be read: Input/output error");
    assert_int_equal(err.sys, EIO);
    crew_iter_free(it);
    crewtest_free(p);
    fclose(file);
}

static void imap__range_and_array_sources__give_their_items(void **state) {
    static const int64_t steps[] = {1, 7, -3};
    int64_t out;
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    for (int s = 0; s < 3; s++) {
        crew_iter *it = begin(p, square_task, crew_source_range(-4, 20, steps[s]), 8, NULL);
        for (int64_t i = 0; i < 20; i++) {
            assert_int_equal(crew_next(it, &out, NULL, 20, &err), 1);
            assert_int_equal(out, (-4 + i * steps[s]) * (-4 + i * steps[s]));
        }
        assert_int_equal(crew_next(it, &out, NULL, 20, &err), 0);
        crew_iter_free(it);
    }
    crew_iter *it = begin(p, square_task, crew_source_range(0, 0, 1), 8, NULL);
    assert_int_equal(crew_next(it, &out, NULL, 20, &err), 0);
    crew_iter_free(it);
    it = begin(p, square_task, crew_source_array(NULL, 8, 0), 8, NULL);
    assert_int_equal(crew_next(it, &out, NULL, 20, &err), 0);
    crew_iter_free(it);
    crewtest_free(p);
}

static void imap__item_of_a_wrong_size__fails_alone(void **state) {
    int32_t in[2] = {1, 2};
    crew_error err;
    crew_item item = {0};
    crew_map_opts opts = {.on_error = CREW_CONTINUE};
    (void)state;
    crew_pool *p = crewtest_open(1);
    crew_iter *it = crew_imap(p, square_task, crew_source_array(in, 4, 2), 8, &opts, &err);
    if (it) {
        assert_code(crew_next(it, NULL, &item, 20, &err), CREW_EMISMATCH, &err);
        crew_iter_free(it);
    } else { /* a source of known size may be refused at once */
        assert_int_equal(err.code, CREW_EMISMATCH);
    }
    assert_usable(p);
    crewtest_free(p);
}

static void imap__two_at_once__do_not_mix(void **state) {
    int64_t a, b;
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(2);
    crew_iter *one = begin(p, square_task, crew_source_range(0, 500, 1), 8, NULL);
    crew_iter *two = begin(p, uneven_task, crew_source_range(1000, 500, 1), 8, NULL);
    for (int64_t i = 0; i < 500; i++) {
        assert_int_equal(crew_next(one, &a, NULL, 20, &err), 1);
        assert_int_equal(crew_next(two, &b, NULL, 20, &err), 1);
        assert_int_equal(a, i * i);
        assert_int_equal(b, (1000 + i) * (1000 + i));
    }
    crew_iter_free(two);
    crew_iter_free(one);
    crewtest_free(p);
}

static long resident_kib(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*s %ld", &pages), 1);
    fclose(file);
    return pages * 4;
}

static void imap__long_stream__holds_no_more_than_its_window(void **state) {
    int64_t count = crewtest_long() ? 10000000 : crewtest_many(300000), sum = 0;
    crew_map_opts opts = {.window = 1000};
    crew_error err;
    (void)state;
    crewtest_may_take(300);
    crew_pool *p = crewtest_open(2);
    crew_iter *it = begin(p, square_task, crew_source_range(0, count, 1), 8, &opts);
    long before = resident_kib(), most = before;
    for (int64_t i = 0; i < count; i++) {
        int64_t out;
        if (crew_next(it, &out, NULL, 20, &err) != 1)
            fail_msg("item %ld: %s", (long)i, err.text);
        sum += out == i * i;
        if (i % 10000 == 0 && resident_kib() > most)
            most = resident_kib();
    }
    assert_int_equal(sum, count);
    assert_int_equal(crew_next(it, NULL, NULL, 20, &err), 0);
    crew_iter_free(it);
#ifndef CREWTEST_SANITIZED
    assert_in_range(most - before, 0, 32 << 10);
#endif
    crewtest_free(p);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(imap__ordered__yields_every_item_in_order),
        CREWTEST(imap__unordered__yields_every_item_once),
        CREWTEST(imap__unordered_with_a_slow_item__does_not_wait_for_it),
        CREWTEST(imap__timeout__is_no_end_and_loses_nothing),
        CREWTEST(imap__window__bounds_how_far_the_source_is_read_ahead),
        CREWTEST(imap__endless_source_freed_early__cancels_the_rest),
        CREWTEST(imap__freed_while_items_run__ends_in_time),
        CREWTEST(imap__freed_while_items_run__they_are_told_first),
        CREWTEST(imap__continue__failed_items_are_followed_by_more),
        CREWTEST(imap__stop__yields_the_failure_and_comes_to_an_end),
        CREWTEST(imap__source_fails__says_so_after_what_was_read),
        CREWTEST(imap__bad_requests__are_refused_at_the_call),
        CREWTEST(imap__lines_of_a_file__come_without_their_ends),
        CREWTEST(imap__lines_that_cannot_be_read__say_which_and_why),
        CREWTEST(imap__range_and_array_sources__give_their_items),
        CREWTEST(imap__item_of_a_wrong_size__fails_alone),
        CREWTEST(imap__two_at_once__do_not_mix),
        CREWTEST(imap__long_stream__holds_no_more_than_its_window),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
