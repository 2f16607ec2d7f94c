/* fault/list_kill_test.c - who uses a list is killed. */
#include "crewtest.h"
#include "hammer.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "share/list.h"

enum { CELL_NAMES = CELL_OWN };

static crew_list make(void) {
    crew_list l;
    assert_int_equal(crew_list_create(&l), 0);
    return l;
}

static struct cw_list *inside_of(crew_list l) {
    return cw_object(cw_share_here(), CW_LIST, l.place, l.check);
}

static void check_inside(crew_list l) {
    const char *wrong = cw_list_check(cw_self_if_any(), inside_of(l));
    if (wrong)
        fail_msg("%s", wrong);
}

static void make_and_destroy(void) {
    assert_int_equal(crew_list_destroy(make()), 0);
}

static void destroy_and_compare(crew_list l, uint64_t before) {
    check_inside(l);
    assert_int_equal(crew_list_destroy(l), 0);
    hammer_memory_is(before);
}

/* ---- every call ---- */

enum { WORDS_MOST = 3000 };

struct item {
    int64_t name; /* no two have the same */
    uint64_t words;
    uint64_t word[WORDS_MOST];
};

static size_t size_of(const struct item *item) {
    return offsetof(struct item, word) + 8 * item->words;
}

static size_t new_item(struct item *item, uint64_t random) {
    item->name = crewtest_add(CELL_NAMES, 1);
    item->words = random >> 59 == 0 ? random % WORDS_MOST : random % 30;
    for (uint64_t i = 0; i < item->words; i++)
        item->word[i] = crewtest_mix((uint64_t)item->name + i);
    return size_of(item);
}

static bool is_whole(const struct item *item, size_t size) {
    if (size < offsetof(struct item, word) || item->words > WORDS_MOST || size != size_of(item))
        return false;
    for (uint64_t i = 0; i < item->words; i++)
        if (item->word[i] != crewtest_mix((uint64_t)item->name + i))
            return false;
    return true;
}

struct names {
    int64_t count, name[4096];
};

static int note_name(void *ctx, int64_t place, const void *val, size_t size) {
    struct names *names = ctx;
    if (!is_whole(val, size) || place != names->count || place >= 4096)
        return -1;
    names->name[names->count++] = ((const struct item *)val)->name;
    return 0;
}

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool all_differ(struct names *names) {
    qsort(names->name, (size_t)names->count, sizeof *names->name, ascending);
    for (int64_t i = 1; i < names->count; i++)
        if (names->name[i] == names->name[i - 1])
            return false;
    return true;
}

static int any_call(crew_list l, uint64_t random, struct item *item) {
    static _Thread_local struct names names;
    int64_t size = crew_list_size(l), place = (int64_t)(random % 64) - 32;
    ptrdiff_t got = 0;
    if (size < 0)
        return -1;
    int what = (int)(random >> 32 & 15);
    if (size > 60 && what >= 8)
        what = 4;
    switch (what) {
    case 0:
    case 1:
        got = crew_list_get(l, place, item, sizeof *item);
        return got == CREW_ENOENT || (got > 0 && is_whole(item, (size_t)got)) ? 0 : -10;
    case 2:
        got = crew_list_set(l, place, item, new_item(item, crewtest_mix(random)));
        return got == CREW_ENOENT || got == 0 ? 0 : -11;
    case 3:
        if (random >> 36 & 7) {
            names.count = 0;
            return crew_list_each(l, note_name, &names) == 0 && all_differ(&names) ? 0 : -12;
        }
        return crew_list_clear(l) == 0 ? 0 : -13;
    case 4:
    case 5:
    case 6:
    case 7:
        place = what == 6 ? 0 : what == 7 ? -1 : place;
        got = crew_list_pop(l, place, item, sizeof *item);
        return got == CREW_ENOENT || (got > 0 && is_whole(item, (size_t)got)) ? 0 : -14;
    case 8:
    case 9:
    case 10:
        return crew_list_append(l, item, new_item(item, crewtest_mix(random))) == 0 ? 0 : -15;
    default:
        place = what == 11 ? 0 : place;
        return crew_list_insert(l, place, item, new_item(item, crewtest_mix(random))) == 0 ? 0
                                                                                           : -16;
    }
}

static int hammer_all(crew_call *call) {
    static _Thread_local struct item item;
    crew_list l = *CREW_COMMON(call, crew_list);
    uint64_t random = crewtest_mix((uint64_t)getpid() ^ crewtest_seed());
    while (hammer_on(call)) {
        random = crewtest_mix(random);
        int rc = any_call(l, random, &item);
        if (rc != 0)
            return crew_fail(call, 1, "%d %s", rc, crew_last_error()->text);
    }
    return 0;
}

static void check_all(void *ctx, int64_t kill) {
    static struct names names;
    crew_list l = *(crew_list *)ctx;
    (void)kill;
    names.count = 0;
    check_inside(l);
    assert_int_equal(crew_list_each(l, note_name, &names), 0);
    assert_true(all_differ(&names));
}

static void list__users_killed_anywhere__it_stays_whole_and_nothing_is_lost(void **state) {
    (void)state;
    uint64_t used = hammer_memory_before(make_and_destroy);
    crew_list l = make();
    crewtest_set(CELL_NAMES, 0);
    const struct hammer h = {
        .task = hammer_all, .common = &l, .common_size = sizeof l, .check = check_all, .ctx = &l};
    hammer_run(&h);
    print_message("%ld items were made\n", (long)crewtest_get(CELL_NAMES));
    destroy_and_compare(l, used);
}

/* ---- nothing is lost but what the dead one held ---- */

enum { BALLS = 200 };

/* Takes a ball from anywhere and puts it elsewhere. */
static int hammer_balls(crew_call *call) {
    crew_list l = *CREW_COMMON(call, crew_list);
    uint64_t random = crewtest_mix((uint64_t)getpid());
    struct item item;
    while (hammer_on(call)) {
        random = crewtest_mix(random);
        int64_t from = (int64_t)(random % 400) - 200, to = (int64_t)(random >> 20 & 511) - 256;
        ptrdiff_t size = crew_list_pop(l, random >> 40 & 1 ? from : -1, &item, sizeof item);
        if (size == CREW_ENOENT)
            continue;
        if (size < 0 || !is_whole(&item, (size_t)size) ||
            crew_list_insert(l, to, &item, (size_t)size) != 0)
            return crew_fail(call, 1, "%d %s", (int)size, crew_last_error()->text);
    }
    return 0;
}

struct balls {
    crew_list list;
    int64_t added;
};

/* Of the balls that were added each kill has cost at most one. */
static void check_balls(void *ctx, int64_t kill) {
    static struct names names;
    static struct item item;
    struct balls *b = ctx;
    names.count = 0;
    assert_int_equal(crew_list_each(b->list, note_name, &names), 0);
    assert_true(all_differ(&names));
    assert_true(names.count >= b->added - (kill + 1) - HAMMER_WORKERS);
    assert_true(names.count <= b->added);
    if (names.count < BALLS / 2) {
        assert_int_equal(crew_list_append(b->list, &item, new_item(&item, 3)), 0);
        b->added++;
    }
}

static void list__balls_moved_by_who_is_killed__none_is_doubled_none_lost(void **state) {
    static struct item item;
    struct balls b = {.list = make(), .added = BALLS};
    (void)state;
    for (int i = 0; i < BALLS; i++)
        assert_int_equal(crew_list_append(b.list, &item, new_item(&item, 3)), 0);
    int64_t kills = crewtest_many(crewtest_long() ? 3000 : 600);
    const struct hammer h = {.task = hammer_balls,
                             .common = &b.list,
                             .common_size = sizeof b.list,
                             .kills = strcmp(crewtest_backend(), "fork") == 0 ? kills : kills / 10,
                             .check = check_balls,
                             .ctx = &b};
    hammer_run(&h);
    print_message("%ld of %ld are left\n", (long)crew_list_size(b.list), (long)b.added);
    check_inside(b.list);
    assert_int_equal(crew_list_destroy(b.list), 0);
}

/* ---- one death, at a given moment ---- */

static int die_inside(crew_call *call) {
    struct cw_list *list = inside_of(*CREW_COMMON(call, crew_list));
    if (call->attempt > 1)
        return 0;
    if (crew_list_size(*CREW_COMMON(call, crew_list)) != 1 || !list)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    cw_bolt_acquire(cw_self_if_any(), &list->bolt, list->head.generation, CREW_FOREVER);
    raise(SIGKILL);
    return 2;
}

static void list__killed_inside__others_go_on_in_bounded_time(void **state) {
    crew_list l = make();
    crew_error err;
    (void)state;
    assert_int_equal(crew_list_append(l, "v", 1), 0);
    crew_pool *p = crewtest_open(1);
    crew_submit_opts opts = {.retries = 1, .common = &l, .common_size = sizeof l};
    crew_future *f = crew_submit(p, die_inside, NULL, 0, &opts, &err);
    assert_non_null(f);
    assert_ok(crew_future_result(f, NULL, 0, 30, &err), &err);
    crew_future_free(f);
    double from = crewtest_now();
    assert_int_equal(crew_list_append(l, "w", 1), 0);
    assert_int_equal(crew_list_size(l), 2);
    assert_within(from, 5);
    check_inside(l);
    crewtest_free(p);
    assert_int_equal(crew_list_destroy(l), 0);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(list__killed_inside__others_go_on_in_bounded_time),
        CREWTEST(list__users_killed_anywhere__it_stays_whole_and_nothing_is_lost),
        CREWTEST(list__balls_moved_by_who_is_killed__none_is_doubled_none_lost),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
