/* conformance/list_test.c - lists between the workers of any backend. */
#include "crewtest.h"

#include <stdlib.h>
#include <string.h>

#include "share/list.h"

enum { CELL_SUM = CELL_OWN, CELL_STOP };

static uint64_t memory_used(void) {
    return cw_arena_used(&cw_share_here()->arena);
}

static crew_list make(void) {
    crew_list l;
    assert_int_equal(crew_list_create(&l), 0);
    return l;
}

static void append(crew_list l, int64_t n) {
    assert_int_equal(crew_list_append(l, &n, sizeof n), 0);
}

static int64_t at(crew_list l, int64_t place) {
    int64_t n;
    assert_int_equal(crew_list_get(l, place, &n, sizeof n), sizeof n);
    return n;
}

static crew_list numbers(int64_t count) {
    crew_list l = make();
    for (int64_t i = 0; i < count; i++)
        append(l, i);
    return l;
}

static void map_over(crew_pool *p, crew_fn *fn, int64_t count, crew_list l) {
    crew_error err;
    crew_map_opts opts = {.common = &l, .common_size = sizeof l, .chunk = 1};
    assert_ok(crew_pool_map(p, fn, NULL, 0, count, NULL, 0, &opts, &err), &err);
}

/* ---- one caller ---- */

static void list__places_from_both_ends__are_pythons(void **state) {
    crew_list l = numbers(5);
    int64_t n = 70;
    (void)state;
    assert_int_equal(at(l, 2), 2);
    assert_int_equal(at(l, -1), 4);
    assert_int_equal(at(l, -5), 0);
    assert_int_equal(crew_list_get(l, 5, &n, sizeof n), CREW_ENOENT);
    assert_text(crew_last_error()->text, "no item at this place");
    assert_int_equal(crew_list_get(l, -6, &n, sizeof n), CREW_ENOENT);
    assert_int_equal(crew_list_set(l, 5, &n, sizeof n), CREW_ENOENT);
    assert_int_equal(crew_list_get(l, INT64_MIN, &n, sizeof n), CREW_ENOENT);
    assert_int_equal(crew_list_get(l, INT64_MAX, &n, sizeof n), CREW_ENOENT);
    assert_int_equal(crew_list_set(l, -2, &n, sizeof n), 0);
    assert_int_equal(at(l, 3), 70);
    static const struct {
        int64_t place, at;
    } in[] = {{0, 0}, {100, 6}, {-1, 6}, {-100, 0}, {4, 4}};
    for (size_t i = 0; i < sizeof in / sizeof *in; i++) {
        n = 100 + (int64_t)i;
        assert_int_equal(crew_list_insert(l, in[i].place, &n, sizeof n), 0);
        assert_int_equal(at(l, in[i].at), n);
    }
    static const int64_t now[] = {103, 100, 0, 1, 104, 2, 70, 4, 102, 101};
    assert_int_equal(crew_list_size(l), 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(at(l, i), now[i]);
    assert_int_equal(crew_list_pop(l, 4, &n, sizeof n), sizeof n);
    assert_int_equal(n, 104);
    assert_int_equal(crew_list_pop(l, -1, &n, sizeof n), sizeof n);
    assert_int_equal(n, 101);
    assert_int_equal(crew_list_pop(l, 0, &n, sizeof n), sizeof n);
    assert_int_equal(n, 103);
    assert_int_equal(crew_list_pop(l, 7, &n, sizeof n), CREW_ENOENT);
    assert_int_equal(crew_list_size(l), 7);
    assert_int_equal(crew_list_clear(l), 0);
    assert_int_equal(crew_list_size(l), 0);
    assert_int_equal(crew_list_pop(l, -1, &n, sizeof n), CREW_ENOENT);
    assert_int_equal(crew_list_destroy(l), 0);
}

static void list__items_of_any_size__and_errors_in_a_sentence(void **state) {
    crew_list l = make();
    char *big = calloc(1, 3 << 20), buf[8];
    void *made = &l;
    (void)state;
    assert_non_null(big);
    memset(big, 'x', 3 << 20);
    assert_int_equal(crew_list_append(l, NULL, 0), 0);
    assert_int_equal(crew_list_append(l, big, 3 << 20), 0);
    assert_int_equal(crew_list_get(l, 0, NULL, 0), 0);
    assert_int_equal(crew_list_get(l, 1, buf, sizeof buf), CREW_ETOOSMALL);
    assert_text(crew_last_error()->text, "3145728 bytes, the buffer room for 8");
    assert_int_equal(crew_list_pop(l, 1, buf, sizeof buf), CREW_ETOOSMALL);
    assert_int_equal(crew_list_size(l), 2);
    assert_int_equal(crew_list_get_alloc(l, 2, &made), CREW_ENOENT);
    assert_null(made);
    assert_int_equal(crew_list_get_alloc(l, 0, &made), 0);
    assert_non_null(made);
    free(made);
    assert_int_equal(crew_list_pop_alloc(l, -1, &made), 3 << 20);
    assert_memory_equal(made, big, 3 << 20);
    free(made);
    free(big);
    assert_int_equal(crew_list_append(l, NULL, 5), CREW_EINVAL);
    assert_text(crew_last_error()->text, "value is NULL");
    assert_int_equal(crew_list_append(l, "", (size_t)1 << 60), CREW_ENOMEM);
    assert_int_equal(crew_list_append(l, "", SIZE_MAX), CREW_EINVAL);
    assert_int_equal(crew_list_get(l, 0, NULL, 8), CREW_EINVAL);
    assert_int_equal(crew_list_get_alloc(l, 0, NULL), CREW_EINVAL);
    assert_int_equal(crew_list_each(l, NULL, NULL), CREW_EINVAL);
    assert_int_equal(crew_list_create(NULL), CREW_EINVAL);
    assert_int_equal(crew_list_size(l), 1);
    assert_int_equal(crew_list_destroy(l), 0);
}

/* ---- against a model ---- */

enum { MODEL = 400 };
struct model {
    int64_t n;
    int64_t item[MODEL];
};

/* An item is its number, and as many bytes more. */
static size_t bytes_of(int64_t number, char buf[512]) {
    memcpy(buf, &number, sizeof number);
    memset(buf + sizeof number, (int)number, (size_t)(number % 100));
    return sizeof number + (size_t)(number % 100);
}

static int64_t number_in(const char *buf, ptrdiff_t size) {
    int64_t number = -1;
    char want[512];
    if (size >= (ptrdiff_t)sizeof number)
        memcpy(&number, buf, sizeof number);
    if (number < 0 || bytes_of(number, want) != (size_t)size || memcmp(want, buf, (size_t)size))
        return -1;
    return number;
}

static int compare(void *ctx, int64_t place, const void *val, size_t size) {
    const struct model *m = ctx;
    return place < m->n && number_in(val, (ptrdiff_t)size) == m->item[place] &&
                   (uintptr_t)val % 16 == 0
               ? 0
               : 1;
}

static void random_step(crew_list l, struct model *m) {
    uint64_t r = crewtest_random();
    int64_t number = (int64_t)(r >> 40), place = m->n ? (int64_t)(r % (uint64_t)m->n) : 0;
    int64_t named = r >> 33 & 1 ? place : place - m->n; /* from either end */
    char buf[512], got[512];
    size_t size = bytes_of(number, buf);
    int what = (int)(r >> 34 & 7);
    if (m->n == MODEL || (m->n > 0 && what < 3)) {
        if (what == 0) /* at an end */
            place = r & 1 ? 0 : m->n - 1, named = r & 1 ? 0 : -1;
        ptrdiff_t rc = crew_list_pop(l, named, got, sizeof got);
        assert_int_equal(number_in(got, rc), m->item[place]);
        m->n--;
        memmove(&m->item[place], &m->item[place + 1], sizeof *m->item * (size_t)(m->n - place));
    } else if (m->n > 0 && what == 3) {
        assert_int_equal(crew_list_set(l, named, buf, size), 0);
        m->item[place] = number;
    } else if (m->n > 0 && what == 4) {
        assert_int_equal(number_in(got, crew_list_get(l, named, got, sizeof got)), m->item[place]);
    } else if (m->n == 0 || what == 5) {
        assert_int_equal(crew_list_append(l, buf, size), 0);
        m->item[m->n++] = number;
    } else {
        if (what == 7)
            place = named = 0;
        assert_int_equal(crew_list_insert(l, named, buf, size), 0);
        memmove(&m->item[place + 1], &m->item[place], sizeof *m->item * (size_t)(m->n - place));
        m->item[place] = number;
        m->n++;
    }
}

static void list__random_calls__do_what_a_model_does(void **state) {
    static struct model m;
    uint64_t used = memory_used();
    crew_list l = make();
    (void)state;
    crew_list_destroy(l);
    l = make();
    used = memory_used();
    m.n = 0;
    for (int64_t i = 0, n = crewtest_many(60000); i < n; i++) {
        random_step(l, &m);
        if (i % 500 == 0)
            assert_int_equal(crew_list_each(l, compare, &m), 0);
        if (i % 9000 == 8999) {
            assert_int_equal(crew_list_clear(l), 0);
            m.n = 0;
        }
    }
    assert_int_equal(crew_list_size(l), m.n);
    assert_int_equal(crew_list_each(l, compare, &m), 0);
    assert_null(
        cw_list_check(cw_self_if_any(), cw_object(cw_share_here(), CW_LIST, l.place, l.check)));
    assert_int_equal(crew_list_clear(l), 0);
    assert_true(memory_used() == used);
    assert_int_equal(crew_list_destroy(l), 0);
}

/* ---- memory ---- */

static void list__a_million_items__are_there_and_go(void **state) {
    crew_list l = numbers(1);
    int64_t n = crewtest_many(1000000), got;
    (void)state;
    assert_int_equal(crew_list_clear(l), 0);
    uint64_t used = memory_used();
    for (int64_t i = 0; i < n; i++)
        append(l, i);
    assert_int_equal(crew_list_size(l), n);
    for (int64_t i = 0; i < n; i += 997)
        assert_int_equal(at(l, i), i);
    for (int64_t i = 0; i < n / 2; i++) {
        assert_int_equal(crew_list_pop(l, -1, &got, sizeof got), sizeof got);
        assert_int_equal(got, n - 1 - i);
    }
    assert_int_equal(crew_list_clear(l), 0);
    assert_true(memory_used() == used);
    assert_int_equal(crew_list_destroy(l), 0);
}

static void list__as_a_queue__needs_no_more_than_is_in_it(void **state) {
    crew_list l = numbers(100);
    uint64_t most = memory_used() + 64 * 1024;
    (void)state;
    for (int64_t i = 100, got; i < crewtest_many(200000); i++) {
        append(l, i);
        assert_int_equal(crew_list_pop(l, 0, &got, sizeof got), sizeof got);
        assert_int_equal(got, i - 100);
        if (i % 1000 == 0)
            assert_true(memory_used() <= most);
    }
    for (int64_t i = 0, got; i < 10000; i++) { /* the other way round */
        assert_int_equal(crew_list_insert(l, 0, &i, sizeof i), 0);
        assert_int_equal(crew_list_pop(l, -1, &got, sizeof got), sizeof got);
    }
    assert_true(memory_used() <= most);
    assert_int_equal(crew_list_size(l), 100);
    assert_int_equal(crew_list_destroy(l), 0);
}

/* ---- several at once ---- */

enum { TASKS = 8 };

static int64_t each(void) {
    return crewtest_calls(2000);
}

static int append_many(crew_call *call) {
    crew_list l = *CREW_COMMON(call, crew_list);
    for (int64_t i = 0; i < each(); i++) {
        int64_t n = call->index * each() + i;
        if (crew_list_append(l, &n, sizeof n) != 0)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
    }
    return 0;
}

static int in_order(void *ctx, int64_t place, const void *val, size_t size) {
    int64_t *last = ctx, n;
    (void)place;
    if (size != sizeof n)
        return 1;
    memcpy(&n, val, sizeof n);
    bool next = n % each() == last[n / each()];
    last[n / each()]++;
    return next ? 0 : 2;
}

static int pop_ends(crew_call *call) {
    crew_list l = *CREW_COMMON(call, crew_list);
    int64_t n;
    for (ptrdiff_t rc; (rc = crew_list_pop(l, -(call->index % 2), &n, sizeof n)) != CREW_ENOENT;) {
        if (rc != sizeof n)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
        crewtest_add(CELL_SUM, n);
    }
    return 0;
}

static void list__appended_and_popped_by_all__keeps_each_ones_order(void **state) {
    crew_list l = make();
    int64_t last[TASKS] = {0}, all = TASKS * each();
    (void)state;
    crew_pool *p = crewtest_open(4);
    map_over(p, append_many, TASKS, l);
    assert_int_equal(crew_list_size(l), all);
    assert_int_equal(crew_list_each(l, in_order, last), 0);
    crewtest_set(CELL_SUM, 0);
    map_over(p, pop_ends, TASKS, l);
    assert_int_equal(crewtest_get(CELL_SUM), all * (all - 1) / 2);
    assert_int_equal(crew_list_size(l), 0);
    crewtest_free(p);
    assert_int_equal(crew_list_destroy(l), 0);
}

/* A window of following numbers that moves on. */
static int move_window(crew_call *call) {
    crew_list l = *CREW_COMMON(call, crew_list);
    int64_t got;
    for (int64_t n = 0; !crewtest_get(CELL_STOP); n++)
        if (crew_list_append(l, &n, sizeof n) != 0 ||
            (n >= 40 && crew_list_pop(l, 0, &got, sizeof got) != sizeof got))
            return crew_fail(call, 1, "%s", crew_last_error()->text);
    return 0;
}

static int following(void *ctx, int64_t place, const void *val, size_t size) {
    int64_t *next = ctx, n;
    if (size != sizeof n)
        return 1;
    memcpy(&n, val, sizeof n);
    if (place > 0 && n != *next)
        return 2;
    *next = n + 1;
    return 0;
}

static void each__while_others_write__shows_the_list_at_one_moment(void **state) {
    crewtest_need(CREWTEST_ASYNC);
    crew_list l = make();
    crew_error err;
    int64_t next = 0, last = 0, moved = 0, wanted = crewtest_has(CREWTEST_ONE_NODE) ? 300 : 30;
    int rc = 0;
    (void)state;
    crewtest_set(CELL_STOP, 0);
    crew_pool *p = crewtest_open(1);
    crew_map_opts opts = {.common = &l, .common_size = sizeof l};
    crew_job *job = crew_map_async(p, move_window, NULL, 0, 1, NULL, 0, &opts, &err);
    assert_non_null(job);
    for (double until = crewtest_now() + 30; !rc && moved < wanted && crewtest_now() < until;) {
        rc = crew_list_each(l, following, &next);
        moved += next != last;
        last = next;
    }
    crewtest_set(CELL_STOP, 1);
    assert_ok(crew_job_get(job, 30, &err), &err);
    crew_job_free(job);
    assert_int_equal(rc, 0);
    assert_int_equal(moved, wanted);
    crewtest_free(p);
    assert_int_equal(crew_list_destroy(l), 0);
}

static int look(crew_call *call) {
    return crew_list_size(*CREW_IN(call, crew_list)) < 0;
}

static int use_until_gone(crew_call *call) {
    crew_list l = *CREW_COMMON(call, crew_list);
    for (int64_t i = 0, got;; i++) {
        int rc = i % 5 < 3 ? crew_list_insert(l, i % 7 - 3, &i, sizeof i)
                           : (int)crew_list_pop(l, i % 3 - 1, &got, sizeof got);
        crewtest_add(CELL_SUM, 1);
        if (rc == CREW_EINVAL)
            return 0;
        if (rc < 0 && rc != CREW_ENOENT)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
    }
}

static void list__destroyed_under_its_users__they_hear_of_it_and_nothing_is_left(void **state) {
    crewtest_need(CREWTEST_ASYNC);
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(3);
    for (int i = 0; i < 20; i++) {
        crew_list l = make();
        /* All have hands then, and workers of other nodes who stands for them here. */
        assert_ok(crew_pool_each(p, look, &l, sizeof l, &err), &err);
        uint64_t used = memory_used();
        crewtest_set(CELL_SUM, 0);
        crew_map_opts opts = {.common = &l, .common_size = sizeof l, .chunk = 1};
        crew_job *job = crew_map_async(p, use_until_gone, NULL, 0, 3, NULL, 0, &opts, &err);
        assert_non_null(job);
        assert_true(crewtest_reached(CELL_SUM, 1000, 30));
        assert_int_equal(crew_list_destroy(l), 0);
        crew_list next = make();
        assert_ok(crew_job_get(job, 30, &err), &err);
        crew_job_free(job);
        assert_int_equal(next.place, l.place);
        assert_int_equal(crew_list_size(next), 0);
        assert_int_equal(crew_list_destroy(next), 0);
        CREWTEST_WAIT(memory_used() == used, 5);
    }
    crewtest_free(p);
}

static void list__stale_handles__are_errors_in_a_sentence(void **state) {
    crew_list l = numbers(3), none = {0};
    crew_dict other;
    int64_t n;
    (void)state;
    assert_int_equal(crew_list_destroy(l), 0);
    assert_int_equal(crew_list_destroy(l), CREW_EINVAL);
    crew_list next = make();
    assert_int_equal(next.place, l.place);
    assert_int_equal(crew_list_append(l, "a", 1), CREW_EINVAL);
    assert_text(crew_last_error()->text, "no such list");
    assert_int_equal(crew_list_insert(l, 0, "a", 1), CREW_EINVAL);
    assert_int_equal(crew_list_set(l, 0, "a", 1), CREW_EINVAL);
    assert_int_equal(crew_list_get(l, 0, &n, sizeof n), CREW_EINVAL);
    assert_int_equal(crew_list_pop(l, 0, &n, sizeof n), CREW_EINVAL);
    assert_int_equal(crew_list_size(l), CREW_EINVAL);
    assert_int_equal(crew_list_clear(l), CREW_EINVAL);
    assert_int_equal(crew_list_each(l, following, &n), CREW_EINVAL);
    assert_int_equal(crew_list_size(next), 0);
    assert_int_equal(crew_list_size(none), CREW_EINVAL);
    assert_text(crew_last_error()->text, "empty");
    memcpy(&other, &next, sizeof other);
    assert_int_equal(crew_dict_size(other), CREW_EINVAL);
    assert_text(crew_last_error()->text, "handle is that of a list");
    assert_int_equal(crew_list_destroy(next), 0);
}

/* ---- as Python's ---- */

static int append_copy(void *ctx, int64_t place, const void *val, size_t size) {
    (void)place;
    return crew_list_append(*(crew_list *)ctx, val, size);
}

/* test_list: extended, doubled, and lists of lists that are the same lists. */
static void list__extended_by_itself__and_lists_in_lists(void **state) {
    crew_list a = numbers(10), b = numbers(5), e = make(), f = make(), got;
    (void)state;
    assert_int_equal(at(b, 2), 2);
    assert_int_equal(crew_list_each(b, append_copy, &b), 0);
    assert_int_equal(crew_list_size(b), 10);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(at(b, i), i % 5);
        assert_int_equal(at(a, i), i);
    }
    assert_int_equal(crew_list_append(e, &a, sizeof a), 0);
    assert_int_equal(crew_list_append(e, &b, sizeof b), 0);
    assert_int_equal(crew_list_append(f, &a, sizeof a), 0);
    assert_int_equal(crew_list_append(a, "hello", 5), 0);
    assert_int_equal(crew_list_get(f, 0, &got, sizeof got), sizeof got);
    assert_int_equal(crew_list_size(got), 11);
    assert_int_equal(crew_list_get(e, -2, &got, sizeof got), sizeof got);
    char text[5];
    assert_int_equal(crew_list_get(got, -1, text, sizeof text), 5);
    assert_memory_equal(text, "hello", 5);
    assert_int_equal(crew_list_append(f, &f, sizeof f), 0); /* in itself */
    const crew_list all[] = {a, b, e, f};
    for (int i = 0; i < 4; i++)
        assert_int_equal(crew_list_destroy(all[i]), 0);
}

static int set_inner(crew_call *call) {
    crew_list outer = *CREW_IN(call, crew_list), inner;
    int64_t n = 55;
    if (crew_list_get(outer, 0, &inner, sizeof inner) != sizeof inner ||
        crew_list_set(inner, -1, &n, sizeof n) != 0 ||
        crew_list_get(outer, 1, &inner, sizeof inner) != sizeof inner ||
        crew_list_pop(inner, -1, &n, sizeof n) != sizeof n || n != 2)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    return 0;
}

/* test_list_proxy_in_list: three alike, one of them changed. */
static void list__of_three_lists__a_worker_changes_one_of_them(void **state) {
    crew_list outer = make(), inner[3];
    crew_error err;
    (void)state;
    for (int i = 0; i < 3; i++) {
        inner[i] = numbers(3);
        assert_int_equal(crew_list_append(outer, &inner[i], sizeof inner[i]), 0);
    }
    crew_pool *p = crewtest_open(1);
    assert_ok(crew_apply(p, set_inner, &outer, sizeof outer, NULL, 0, &err), &err);
    crewtest_free(p);
    assert_int_equal(at(inner[0], 2), 55);
    assert_int_equal(crew_list_size(inner[1]), 2);
    assert_int_equal(at(inner[2], 2), 2);
    for (int i = 0; i < 3; i++)
        assert_int_equal(crew_list_destroy(inner[i]), 0);
    assert_int_equal(crew_list_destroy(outer), 0);
}

struct change {
    crew_list list;
    int seen;
};

/* Its own copy: what is changed meanwhile is not seen, nor are items that come. */
static int change_next(void *ctx, int64_t place, const void *val, size_t size) {
    struct change *c = ctx;
    int64_t n = 100 + place, was;
    (void)size;
    memcpy(&was, val, sizeof was);
    c->seen++;
    if (crew_list_set(c->list, -1, &n, sizeof n) != 0 || crew_list_append(c->list, &n, 8) != 0)
        return 1;
    return was == place ? 0 : 2;
}

static void each__changed_in_the_middle__goes_on_over_its_copy(void **state) {
    struct change c = {.list = numbers(10)};
    (void)state;
    assert_int_equal(crew_list_each(c.list, change_next, &c), 0);
    assert_int_equal(c.seen, 10);
    assert_int_equal(crew_list_size(c.list), 20);
    assert_int_equal(crew_list_destroy(c.list), 0);
}

static int change_kinds(crew_call *call) {
    crew_list l = *CREW_IN(call, crew_list);
    return crew_list_set(l, 4, "changed, and longer than it was", 32) == 0 && crew_list_size(l) == 7
               ? 0
               : 1;
}

/* ShareableList: values of several types side by side, each changed to others of
 * other sizes (there only to such as fit). */
static void list__values_of_several_types__change_type_and_size(void **state) {
    crew_list l = make();
    crew_error err;
    double d = -273.154, got_d;
    int64_t n = 42, got_n;
    char text[32];
    (void)state;
    assert_int_equal(crew_list_append(l, "howdy", 6), 0);
    assert_int_equal(crew_list_append(l, "HoWdY", 5), 0);
    assert_int_equal(crew_list_append(l, &d, sizeof d), 0);
    append(l, 100);
    assert_int_equal(crew_list_append(l, NULL, 0), 0);
    assert_int_equal(crew_list_append(l, &(bool){true}, sizeof(bool)), 0);
    append(l, 42);
    assert_int_equal(crew_list_size(l), 7);
    assert_int_equal(crew_list_get(l, 7, text, sizeof text), CREW_ENOENT);
    assert_int_equal(crew_list_set(l, 7, "x", 1), CREW_ENOENT);
    assert_int_equal(crew_list_get(l, 2, &got_d, sizeof got_d), sizeof d);
    assert_true(got_d == d);
    assert_int_equal(crew_list_set(l, 3, &n, sizeof n), 0);
    assert_int_equal(crew_list_get(l, -4, &got_n, sizeof got_n), sizeof n);
    assert_int_equal(got_n, 42);
    assert_int_equal(crew_list_set(l, 0, "far more than eight bytes", 26), 0);
    assert_int_equal(crew_list_get(l, 1, text, sizeof text), 5); /* no spillage */
    assert_memory_equal(text, "HoWdY", 5);
    crew_pool *p = crewtest_open(1);
    assert_ok(crew_apply(p, change_kinds, &l, sizeof l, NULL, 0, &err), &err);
    crewtest_free(p);
    assert_int_equal(crew_list_get(l, 4, text, sizeof text), 32);
    assert_string_equal(text, "changed, and longer than it was");
    assert_int_equal(crew_list_destroy(l), 0);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(list__places_from_both_ends__are_pythons),
        CREWTEST(list__items_of_any_size__and_errors_in_a_sentence),
        CREWTEST(list__random_calls__do_what_a_model_does),
        CREWTEST(list__a_million_items__are_there_and_go),
        CREWTEST(list__as_a_queue__needs_no_more_than_is_in_it),
        CREWTEST(list__appended_and_popped_by_all__keeps_each_ones_order),
        CREWTEST(each__while_others_write__shows_the_list_at_one_moment),
        CREWTEST(list__destroyed_under_its_users__they_hear_of_it_and_nothing_is_left),
        CREWTEST(list__stale_handles__are_errors_in_a_sentence),
        CREWTEST(list__extended_by_itself__and_lists_in_lists),
        CREWTEST(list__of_three_lists__a_worker_changes_one_of_them),
        CREWTEST(each__changed_in_the_middle__goes_on_over_its_copy),
        CREWTEST(list__values_of_several_types__change_type_and_size),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
