/* fault/dict_kill_test.c - who uses a dictionary, or waits for a key, is killed. */
#include "crewtest.h"
#include "hammer.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "share/dict.h"

enum { CELL_BEGUN = CELL_OWN, CELL_DONE, CELL_CLEARING, CELL_CLEARED, CELL_WAITING };

/* Where not everything but one thing is done. */
static int64_t fewer_kills(int64_t n) {
    n = crewtest_many(crewtest_long() ? 5 * n : n);
    return strcmp(crewtest_backend(), "fork") == 0 ? n : n / 10;
}

static crew_dict make(void) {
    crew_dict d;
    assert_int_equal(crew_dict_create(&d), 0);
    return d;
}

static struct cw_dict *inside_of(crew_dict d) {
    return cw_object(cw_share_here(), CW_DICT, d.place, d.check);
}

static void check_inside(crew_dict d) {
    const char *wrong = cw_dict_check(cw_self_if_any(), inside_of(d));
    if (wrong)
        fail_msg("%s", wrong);
}

static void make_and_destroy(void) {
    assert_int_equal(crew_dict_destroy(make()), 0);
}

static void destroy_and_compare(crew_dict d, uint64_t before) {
    check_inside(d);
    assert_int_equal(crew_dict_destroy(d), 0);
    hammer_memory_is(before);
}

/* ---- every call, values that can be told to be whole ---- */

enum { KEYS = 150, WORDS_MOST = 3000 };

struct value {
    uint64_t key, words, seed;
    uint64_t word[WORDS_MOST];
};

static size_t fill(struct value *v, uint64_t key, uint64_t random) {
    v->key = key;
    v->seed = random;
    v->words = random >> 60 == 0 ? random % WORDS_MOST : random % 30;
    for (uint64_t i = 0; i < v->words; i++)
        v->word[i] = crewtest_mix(random + i);
    return offsetof(struct value, word) + 8 * v->words;
}

static bool is_whole(const struct value *v, size_t size, uint64_t key) {
    if (size < offsetof(struct value, word) || v->key != key || v->words > WORDS_MOST ||
        size != offsetof(struct value, word) + 8 * v->words)
        return false;
    for (uint64_t i = 0; i < v->words; i++)
        if (v->word[i] != crewtest_mix(v->seed + i))
            return false;
    return true;
}

static int visit(void *ctx, const void *key, size_t ksize, const void *val, size_t vsize) {
    uint64_t k;
    if (ksize != sizeof k)
        return -1;
    memcpy(&k, key, sizeof k);
    ++*(int64_t *)ctx;
    return is_whole(val, vsize, k) ? 0 : -2;
}

static int any_call(crew_dict d, uint64_t random, struct value *v, struct value *old) {
    uint64_t key = random % KEYS;
    int64_t count = 0;
    size_t size = fill(v, key, crewtest_mix(random));
    ptrdiff_t got;
    switch (random >> 32 & 15) {
    case 0:
    case 1:
        got = crew_dict_get(d, &key, sizeof key, v, sizeof *v, 0);
        return got == CREW_ENOENT || (got > 0 && is_whole(v, (size_t)got, key)) ? 0 : -10;
    case 2:
    case 3:
        got = crew_dict_pop(d, &key, sizeof key, v, sizeof *v, 0);
        return got == CREW_ENOENT || (got > 0 && is_whole(v, (size_t)got, key)) ? 0 : -11;
    case 4:
        got = crew_dict_del(d, &key, sizeof key);
        return got == CREW_ENOENT || got == 0 ? 0 : -12;
    case 5:
    case 6:
        got = crew_dict_get(d, &key, sizeof key, old, sizeof *old, 0);
        if (got < 0 && got != CREW_ENOENT)
            return -13;
        return crew_dict_cas(d, &key, sizeof key, got < 0 ? NULL : old, got < 0 ? 0 : (size_t)got,
                             v, size) >= 0
                   ? 0
                   : -14;
    case 7:
        if (random >> 36 & 31)
            return crew_dict_size(d) <= KEYS ? 0 : -15;
        return crew_dict_clear(d) == 0 ? 0 : -16;
    case 8:
        if (random >> 36 & 15)
            return 0;
        return crew_dict_each(d, visit, &count) == 0 && count <= KEYS ? 0 : -17;
    default:
        return crew_dict_set(d, &key, sizeof key, v, size) == 0 ? 0 : -18;
    }
}

static int hammer_all(crew_call *call) {
    static _Thread_local struct value v, old;
    crew_dict d = *CREW_COMMON(call, crew_dict);
    uint64_t random = crewtest_mix((uint64_t)getpid() ^ crewtest_seed());
    while (hammer_on(call)) {
        random = crewtest_mix(random);
        int rc = any_call(d, random, &v, &old);
        if (rc != 0)
            return crew_fail(call, 1, "call %d: %d %s", (int)(random >> 32 & 15), rc,
                             crew_last_error()->text);
    }
    return 0;
}

static void check_all(void *ctx, int64_t kill) {
    crew_dict d = *(crew_dict *)ctx;
    int64_t count = 0;
    check_inside(d);
    if (kill % 4 == 0)
        assert_int_equal(crew_dict_each(d, visit, &count), 0);
}

static void dict__users_killed_anywhere__it_stays_whole_and_nothing_is_lost(void **state) {
    (void)state;
    uint64_t used = hammer_memory_before(make_and_destroy);
    crew_dict d = make();
    const struct hammer h = {
        .task = hammer_all, .common = &d, .common_size = sizeof d, .check = check_all, .ctx = &d};
    hammer_run(&h);
    destroy_and_compare(d, used);
}

/* ---- growing ---- */

/* Small dictionaries that grow from nothing and are cleared, all the time. */
static int hammer_growth(crew_call *call) {
    crew_dict d = *CREW_COMMON(call, crew_dict);
    uint64_t next = crewtest_mix((uint64_t)getpid());
    while (hammer_on(call)) {
        for (int i = 0; i < 100; i++, next++)
            if (crew_dict_set(d, &next, sizeof next, &next, sizeof next) != 0)
                return crew_fail(call, 1, "%s", crew_last_error()->text);
        int64_t size = crew_dict_size(d);
        if (size < 0 || (size > 30000 && crew_dict_clear(d) != 0))
            return crew_fail(call, 2, "%s", crew_last_error()->text);
    }
    return 0;
}

static void dict__growing_while_users_are_killed__it_stays_whole(void **state) {
    (void)state;
    uint64_t used = hammer_memory_before(make_and_destroy);
    crew_dict d = make();
    const struct hammer h = {
        .task = hammer_growth, .common = &d, .common_size = sizeof d, .kills = fewer_kills(100)};
    hammer_run(&h);
    destroy_and_compare(d, used);
}

/* ---- counters ---- */

enum { COUNTERS = 5 };

/* Half of them by compare and set of values that are not changed in place. */
static int count_one(crew_dict d, uint64_t random) {
    int64_t key = (int64_t)(random % COUNTERS), is[2] = {0}, want[2];
    if (key % 2)
        return crew_dict_add_i64(d, &key, sizeof key, 1, NULL) == 0 ? 0 : -1;
    for (;;) {
        ptrdiff_t got = crew_dict_get(d, &key, sizeof key, is, sizeof is, 0);
        if ((got != sizeof is && got != CREW_ENOENT) || (got > 0 && is[1] != ~is[0]))
            return -2;
        want[0] = got < 0 ? 1 : is[0] + 1;
        want[1] = ~want[0];
        int rc = crew_dict_cas(d, &key, sizeof key, got < 0 ? NULL : is, got < 0 ? 0 : sizeof is,
                               want, sizeof want);
        if (rc != 0)
            return rc == 1 ? 0 : -3;
    }
}

static int hammer_counters(crew_call *call) {
    crew_dict d = *CREW_COMMON(call, crew_dict);
    uint64_t random = crewtest_mix((uint64_t)getpid());
    while (hammer_on(call)) {
        random = crewtest_mix(random);
        crewtest_add(CELL_BEGUN, 1);
        int rc = count_one(d, random);
        if (rc != 0)
            return crew_fail(call, 1, "%d %s", rc, crew_last_error()->text);
        crewtest_add(CELL_DONE, 1);
    }
    return 0;
}

static void counters__who_counts_is_killed__each_count_counts_once(void **state) {
    crew_dict d = make();
    int64_t sum = 0;
    (void)state;
    crewtest_set(CELL_BEGUN, 0);
    crewtest_set(CELL_DONE, 0);
    const struct hammer h = {
        .task = hammer_counters, .common = &d, .common_size = sizeof d, .kills = fewer_kills(300)};
    hammer_run(&h);
    for (int64_t key = 0; key < COUNTERS; key++) {
        int64_t n[2];
        assert_true(crew_dict_get(d, &key, sizeof key, n, sizeof n, 0) > 0);
        sum += n[0];
    }
    print_message("%ld counts\n", (long)sum);
    assert_true(sum >= crewtest_get(CELL_DONE) && sum <= crewtest_get(CELL_BEGUN));
    check_inside(d);
    assert_int_equal(crew_dict_destroy(d), 0);
}

/* ---- clearing, making, destroying ---- */

struct guarded {
    crew_dict dict;
    crew_lock lock;
};

/* With the lock: who finds that its last holder died while it cleared finds all
 * keys, or none. */
static int hammer_clear(crew_call *call) {
    const struct guarded *g = CREW_COMMON(call, struct guarded);
    while (hammer_on(call)) {
        int rc = crew_lock_acquire(g->lock, CREW_FOREVER);
        int64_t size = crew_dict_size(g->dict);
        if (rc < 0 || size < 0)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
        if (rc == CREW_OWNERDEAD && crewtest_get(CELL_CLEARING)) {
            if (size != 0 && size != KEYS)
                return crew_fail(call, 2, "%ld keys are left", (long)size);
            crewtest_add(CELL_CLEARED, size == 0);
        }
        crewtest_set(CELL_CLEARING, 0);
        for (int64_t key = 0; key < KEYS; key++)
            if (crew_dict_set(g->dict, &key, sizeof key, "a value", 7) != 0)
                return crew_fail(call, 3, "%s", crew_last_error()->text);
        crewtest_set(CELL_CLEARING, 1);
        if (crew_dict_clear(g->dict) != 0)
            return crew_fail(call, 4, "%s", crew_last_error()->text);
        crewtest_set(CELL_CLEARING, 0);
        if (crew_lock_release(g->lock) != 0)
            return crew_fail(call, 5, "%s", crew_last_error()->text);
    }
    return 0;
}

static void clear__who_clears_is_killed__all_keys_are_there_or_none(void **state) {
    struct guarded g;
    (void)state;
    uint64_t used = hammer_memory_before(make_and_destroy);
    g.dict = make();
    assert_int_equal(crew_lock_create(&g.lock), 0);
    assert_int_equal(crew_lock_destroy(g.lock), 0); /* the shelf of locks is there */
    used = hammer_memory();
    assert_int_equal(crew_lock_create(&g.lock), 0);
    crewtest_set(CELL_CLEARING, 0);
    crewtest_set(CELL_CLEARED, 0);
    const struct hammer h = {
        .task = hammer_clear, .common = &g, .common_size = sizeof g, .kills = fewer_kills(150)};
    hammer_run(&h);
    print_message("%ld deaths after the moment at which all was cleared\n",
                  (long)crewtest_get(CELL_CLEARED));
    assert_true(crew_lock_acquire(g.lock, 5) >= 0);
    assert_int_equal(crew_lock_release(g.lock), 0);
    assert_int_equal(crew_lock_destroy(g.lock), 0);
    destroy_and_compare(g.dict, used);
}

/* Makers and destroyers die too; what they leave are dictionaries. */
static int hammer_making(crew_call *call) {
    while (hammer_on(call)) {
        crew_dict d;
        if (crew_dict_create(&d) != 0 || crew_dict_size(d) != 0)
            return crew_fail(call, 1, "a new dictionary is not empty: %s", crew_last_error()->text);
        for (int64_t key = 0; key < 20; key++)
            if (crew_dict_set(d, &key, sizeof key, "some value", 10) != 0)
                return crew_fail(call, 2, "%s", crew_last_error()->text);
        if (crew_dict_destroy(d) != 0 || crew_dict_destroy(d) != CREW_EINVAL)
            return crew_fail(call, 3, "a dictionary was not destroyed once");
    }
    return 0;
}

static void dicts__makers_killed_anywhere__making_goes_on_and_all_can_be_destroyed(void **state) {
    (void)state;
    struct cw_share *share = cw_share_here();
    uint64_t used = hammer_memory_before(make_and_destroy);
    const struct hammer h = {.task = hammer_making, .kills = fewer_kills(150)};
    hammer_run(&h);
    uint32_t n = cw_cells(share, CW_DICT);
    for (uint32_t i = 0; i < n; i++) {
        struct cw_head *head = cw_cell(share, CW_DICT, i);
        if (!cw_head_live(head))
            continue;
        crew_dict d = {cw_share_off(share, head) | (uint64_t)CW_DICT << 48,
                       cw_handle_check(share, atomic_load(&head->generation))};
        check_inside(d);
        assert_int_equal(crew_dict_destroy(d), 0);
    }
    /* The shelf has grown by what the dead had made. */
    for (uint32_t chunk = 1, cells = 64; cells < n; cells += 64u << chunk++)
        used += ((sizeof(struct cw_dict) * 64 << chunk) + 65535) / 65536 * 65536;
    print_message("%u cells\n", n);
    assert_true(hammer_memory() == used);
}

/* ---- one death, at a given moment ---- */

/* Dies with the bolts that the item says, as if in the middle of a call. */
static int die_inside(crew_call *call) {
    crew_dict d = *CREW_COMMON(call, crew_dict);
    struct cw_dict *dict = inside_of(d);
    int64_t all = *CREW_IN(call, int64_t);
    if (call->attempt > 1)
        return 0;
    if (crew_dict_size(d) != 1 || !dict)
        return crew_fail(call, 1, "%s", crew_last_error()->text);
    for (int i = 0; i < (all ? CW_STRIPES : CW_STRIPES / 2); i++)
        cw_bolt_acquire(cw_self_if_any(), &dict->stripe[i].bolt, dict->head.generation,
                        CREW_FOREVER);
    raise(SIGKILL);
    return 2;
}

static void dict__killed_with_stripes_held__others_go_on_in_bounded_time(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(1);
    for (int64_t all = 0; all < 2; all++) {
        crew_dict d = make();
        assert_int_equal(crew_dict_set(d, "k", 1, "v", 1), 0);
        crew_submit_opts opts = {.retries = 1, .common = &d, .common_size = sizeof d};
        crew_future *f = crew_submit(p, die_inside, &all, sizeof all, &opts, &err);
        assert_non_null(f);
        assert_ok(crew_future_result(f, NULL, 0, 30, &err), &err);
        crew_future_free(f);
        double from = crewtest_now();
        for (int64_t key = 0; key < 1000; key++)
            assert_int_equal(crew_dict_set(d, &key, sizeof key, "v", 1), 0);
        assert_int_equal(crew_dict_size(d), 1001);
        assert_within(from, 5);
        check_inside(d);
        assert_int_equal(crew_dict_destroy(d), 0);
    }
    crewtest_free(p);
}

/* ---- waiting while others die ---- */

static int wait_for_key(crew_call *call) {
    crew_dict d = *CREW_COMMON(call, crew_dict);
    double timeout = *CREW_IN(call, double);
    char buf[8];
    crewtest_add(CELL_WAITING, 1);
    ptrdiff_t got = crew_dict_get(d, "the key", 7, buf, sizeof buf, timeout);
    return got == (timeout < 0 ? 5 : CREW_ETIMEDOUT)
               ? 0
               : crew_fail(call, 1, "%d %s", (int)got, crew_last_error()->text);
}

/* Sets many keys but that one, and dies among them. */
static int set_others_and_die(crew_call *call) {
    crew_dict d = *CREW_COMMON(call, crew_dict);
    for (int64_t key = 0; key < 1000; key++)
        if (crew_dict_set(d, &key, sizeof key, "v", 1) != 0)
            return crew_fail(call, 1, "%s", crew_last_error()->text);
    if (call->attempt == 1)
        raise(SIGKILL);
    return 0;
}

static void waiter_beside_the_dying(double timeout) {
    const double forever = CREW_FOREVER;
    crew_dict d = make();
    crew_error err;
    crew_pool *p = crewtest_open(3);
    crew_submit_opts opts = {.retries = 1, .common = &d, .common_size = sizeof d};
    crewtest_set(CELL_WAITING, 0);
    crew_future *waiter = crew_submit(p, wait_for_key, &timeout, sizeof timeout, &opts, &err);
    crew_future *dies = NULL;
    assert_non_null(waiter);
    assert_true(crewtest_reached(CELL_WAITING, 1, 10));
    /* Another who waits, and is killed. */
    opts.retries = 0;
    crew_future *killed = crew_submit(p, wait_for_key, &forever, sizeof forever, &opts, &err);
    assert_non_null(killed);
    assert_true(crewtest_reached(CELL_WAITING, 2, 10));
    assert_int_equal(crew_future_kill(killed), 1);
    crew_future_free(killed);
    opts.retries = 1;
    for (int i = 0; i < 5; i++) {
        dies = crew_submit(p, set_others_and_die, NULL, 0, &opts, &err);
        assert_non_null(dies);
        assert_ok(crew_future_result(dies, NULL, 0, 30, &err), &err);
        crew_future_free(dies);
    }
    if (timeout < 0) {
        assert_false(crew_future_done(waiter));
        assert_int_equal(crew_dict_set(d, "the key", 7, "value", 5), 0);
    }
    double from = crewtest_now();
    assert_ok(crew_future_result(waiter, NULL, 0, 30, &err), &err);
    assert_within(from, 5);
    crew_future_free(waiter);
    crewtest_free(p);
    assert_int_equal(crew_dict_destroy(d), 0);
}

static void get__others_die_around_it__it_gets_the_key_when_it_comes(void **state) {
    (void)state;
    waiter_beside_the_dying(CREW_FOREVER);
}

static void get__others_die_around_it__its_time_is_over_when_it_is(void **state) {
    (void)state;
    waiter_beside_the_dying(1);
}

/* Each waits for the key of its own and answers under another; who is killed takes
 * a ball with it, which the test replaces. */
static int hammer_waiting(crew_call *call) {
    crew_dict d = *CREW_COMMON(call, crew_dict);
    int64_t me = call->worker, ball;
    while (hammer_on(call)) {
        ptrdiff_t got = crew_dict_pop(d, &me, sizeof me, &ball, sizeof ball, 0.2);
        if (got == CREW_ETIMEDOUT) {
            ball = 0; /* it was lost */
            if (me != 0)
                continue;
        } else if (got != sizeof ball) {
            return crew_fail(call, 1, "%s", crew_last_error()->text);
        }
        int64_t next = (me + 1) % HAMMER_WORKERS;
        if (crew_dict_set(d, &next, sizeof next, &ball, sizeof ball) != 0)
            return crew_fail(call, 2, "%s", crew_last_error()->text);
        crewtest_add(CELL_DONE, 1);
    }
    return 0;
}

static void pop__waiters_killed_anywhere__the_ball_goes_round(void **state) {
    crew_dict d = make();
    (void)state;
    crewtest_set(CELL_DONE, 0);
    const struct hammer h = {
        .task = hammer_waiting, .common = &d, .common_size = sizeof d, .kills = fewer_kills(100)};
    hammer_run(&h);
    print_message("%ld throws\n", (long)crewtest_get(CELL_DONE));
    check_inside(d);
    assert_int_equal(crew_dict_destroy(d), 0);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(dict__killed_with_stripes_held__others_go_on_in_bounded_time),
        CREWTEST(get__others_die_around_it__it_gets_the_key_when_it_comes),
        CREWTEST(get__others_die_around_it__its_time_is_over_when_it_is),
        CREWTEST(dict__users_killed_anywhere__it_stays_whole_and_nothing_is_lost),
        CREWTEST(dict__growing_while_users_are_killed__it_stays_whole),
        CREWTEST(counters__who_counts_is_killed__each_count_counts_once),
        CREWTEST(clear__who_clears_is_killed__all_keys_are_there_or_none),
        CREWTEST(dicts__makers_killed_anywhere__making_goes_on_and_all_can_be_destroyed),
        CREWTEST(pop__waiters_killed_anywhere__the_ball_goes_round),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
