#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/ledger.h"
#include "support/plain.h"

static uint64_t seed;

static void gap__small_cases__are_the_first_unmarked_runs(void **state) {
    (void)state;
    const unsigned char marks[] = {1, 0, 0, 5, 0, 1};
    int64_t lo = -7, hi = -7;
    assert_true(cw_marks_gap(marks, 0, 6, &lo, &hi));
    assert_int_equal(lo, 1);
    assert_int_equal(hi, 3);
    assert_true(cw_marks_gap(marks, 2, 6, &lo, &hi)); /* from inside a run */
    assert_int_equal(lo, 2);
    assert_int_equal(hi, 3);
    assert_true(cw_marks_gap(marks, 1, 2, &lo, &hi)); /* to inside a run */
    assert_int_equal(lo, 1);
    assert_int_equal(hi, 2);
    assert_true(cw_marks_gap(marks, 3, 6, &lo, &hi));
    assert_int_equal(lo, 4);
    assert_int_equal(hi, 5);
    assert_false(cw_marks_gap(marks, 5, 6, &lo, &hi));
    assert_false(cw_marks_gap(marks, 3, 4, &lo, &hi));
    assert_int_equal(lo, 4); /* as it was */
    assert_int_equal(hi, 5);
}

static void gap__empty_and_inverted_ranges__have_none(void **state) {
    (void)state;
    const unsigned char marks[] = {0, 0, 0};
    int64_t lo, hi;
    assert_false(cw_marks_gap(marks, 0, 0, &lo, &hi));
    assert_false(cw_marks_gap(marks, 2, 2, &lo, &hi));
    assert_false(cw_marks_gap(marks, 3, 1, &lo, &hi));
    assert_int_equal(cw_marks_count(marks, 2, 1), 0);
}

/* Walking from gap to gap meets every unmarked item once and no marked one. */
static void gap__walked_through_random_marks__meets_each_unmarked_item_once(void **state) {
    (void)state;
    for (int round = 0; round < 500; round++) {
        uint64_t s = seed + (uint64_t)round;
        unsigned char marks[300];
        int64_t n = (int64_t)(draw(&s) % 300) + 1;
        uint64_t dense = draw(&s) % 8; /* of 7 marked: from none to all */
        for (int64_t i = 0; i < n; i++)
            marks[i] = draw(&s) % 7 < dense ? (unsigned char)(1 + draw(&s) % 255) : 0;
        int64_t from = (int64_t)(draw(&s) % (uint64_t)n);
        int64_t to = from + (int64_t)(draw(&s) % (uint64_t)(n - from + 1));
        int64_t unmarked = 0, marked = 0, seen = 0, at = from, lo, hi;
        for (int64_t i = from; i < to; i++) {
            unmarked += marks[i] == 0;
            marked += marks[i] != 0;
        }
        assert_int_equal(cw_marks_count(marks, from, to), marked);
        while (cw_marks_gap(marks, at, to, &lo, &hi)) {
            assert_true(at <= lo && lo < hi && hi <= to);
            for (int64_t i = at; i < lo; i++)
                assert_int_not_equal(marks[i], 0);
            for (int64_t i = lo; i < hi; i++)
                assert_int_equal(marks[i], 0);
            assert_true(hi == to || marks[hi] != 0);
            seen += hi - lo;
            at = hi;
        }
        assert_int_equal(seen, unmarked);
    }
}

static void gap__at_each_end_of_a_long_table__is_found(void **state) {
    (void)state;
    const int64_t n = 1 << 20;
    unsigned char *marks = malloc((size_t)n);
    assert_non_null(marks);
    memset(marks, 1, (size_t)n);
    int64_t lo, hi;
    assert_false(cw_marks_gap(marks, 0, n, &lo, &hi));
    assert_int_equal(cw_marks_count(marks, 0, n), n);
    const int64_t holes[] = {0, 1, n / 2, n - 2, n - 1};
    for (size_t i = 0; i < sizeof holes / sizeof *holes; i++) {
        marks[holes[i]] = 0;
        assert_true(cw_marks_gap(marks, 0, n, &lo, &hi));
        assert_int_equal(lo, holes[i]);
        assert_int_equal(hi, holes[i] + 1);
        assert_int_equal(cw_marks_count(marks, 0, n), n - 1);
        marks[holes[i]] = 1;
    }
    free(marks);
}

static void judge__each_reason_and_attempt__has_its_verdict(void **state) {
    (void)state;
    for (int retries = 0; retries <= 3; retries++)
        for (int attempt = 1; attempt <= 5; attempt++) {
            bool again = attempt <= retries;
            assert_int_equal(cw_judge(CW_NO_REASON, attempt, retries),
                             again ? CW_RUN_AGAIN : CW_DIED);
            assert_int_equal(cw_judge(CW_TOO_LONG, attempt, retries),
                             again ? CW_RUN_AGAIN : CW_OVER_LIMIT);
            assert_int_equal(cw_judge(CW_TOO_BIG, attempt, retries),
                             again ? CW_RUN_AGAIN : CW_OVER_LIMIT);
            /* Whoever cancels is heard at once, and who is innocent pays never. */
            assert_int_equal(cw_judge(CW_CANCEL, attempt, retries), CW_WAS_CANCELLED);
            assert_int_equal(cw_judge(CW_INNOCENT, attempt, retries), CW_NOT_COUNTED);
        }
}

static void judge__retried_until_it_dies__runs_one_time_more_than_retries(void **state) {
    (void)state;
    for (int retries = 0; retries <= 10; retries++) {
        int attempt = 1;
        while (cw_judge(CW_NO_REASON, attempt, retries) == CW_RUN_AGAIN)
            attempt++;
        assert_int_equal(attempt, retries + 1);
    }
}

static void respawn__never_ready_in_a_row__gives_up(void **state) {
    (void)state;
    struct cw_respawn r = {0};
    for (int i = 1; i < CW_RESPAWN_UNREADY; i++)
        assert_false(cw_respawn_useless(&r, CW_NEVER_READY));
    assert_true(cw_respawn_useless(&r, CW_NEVER_READY));
}

static void respawn__one_ready_in_between__starts_the_count_anew(void **state) {
    (void)state;
    const enum cw_life between[] = {CW_DID_NOTHING, CW_DID_WORK};
    for (size_t b = 0; b < 2; b++) {
        struct cw_respawn r = {0};
        for (int round = 0; round < 20; round++) {
            for (int i = 1; i < CW_RESPAWN_UNREADY; i++)
                assert_false(cw_respawn_useless(&r, CW_NEVER_READY));
            assert_false(cw_respawn_useless(&r, between[b]));
        }
    }
}

static void respawn__idle_deaths__give_up_after_many_only(void **state) {
    (void)state;
    struct cw_respawn r = {0};
    for (int i = 1; i < CW_RESPAWN_IDLE; i++)
        assert_false(cw_respawn_useless(&r, CW_DID_NOTHING));
    assert_true(cw_respawn_useless(&r, CW_DID_NOTHING));
    r = (struct cw_respawn){0};
    for (int i = 1; i < CW_RESPAWN_IDLE; i++)
        assert_false(cw_respawn_useless(&r, CW_DID_NOTHING));
    assert_false(cw_respawn_useless(&r, CW_DID_WORK));
    for (int i = 1; i < CW_RESPAWN_IDLE; i++)
        assert_false(cw_respawn_useless(&r, CW_DID_NOTHING));
}

/* One that never got ready says nothing of work: the count of idle ones stays. */
static void respawn__unready_between_idle_deaths__does_not_forgive_them(void **state) {
    (void)state;
    struct cw_respawn r = {0};
    for (int i = 1; i < CW_RESPAWN_IDLE; i++) {
        assert_false(cw_respawn_useless(&r, CW_DID_NOTHING));
        assert_false(cw_respawn_useless(&r, CW_NEVER_READY));
    }
    assert_true(cw_respawn_useless(&r, CW_DID_NOTHING));
}

int main(void) {
    seed = plain_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gap__small_cases__are_the_first_unmarked_runs),
        cmocka_unit_test(gap__empty_and_inverted_ranges__have_none),
        cmocka_unit_test(gap__walked_through_random_marks__meets_each_unmarked_item_once),
        cmocka_unit_test(gap__at_each_end_of_a_long_table__is_found),
        cmocka_unit_test(judge__each_reason_and_attempt__has_its_verdict),
        cmocka_unit_test(judge__retried_until_it_dies__runs_one_time_more_than_retries),
        cmocka_unit_test(respawn__never_ready_in_a_row__gives_up),
        cmocka_unit_test(respawn__one_ready_in_between__starts_the_count_anew),
        cmocka_unit_test(respawn__idle_deaths__give_up_after_many_only),
        cmocka_unit_test(respawn__unready_between_idle_deaths__does_not_forgive_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
