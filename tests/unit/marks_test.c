/* unit/marks_test.c - marks that are read eight at a time, against plain loops. */
#include "crewtest.h"

#include "sched/ledger.h"

#include <string.h>

enum { MARKS = 200, ROOM = MARKS + 16 };

static bool plain_gap(const unsigned char *marks, int64_t from, int64_t to, int64_t *lo,
                      int64_t *hi) {
    while (from < to && marks[from])
        from++;
    *lo = from;
    while (from < to && !marks[from])
        from++;
    *hi = from;
    return *lo < *hi;
}

static int64_t plain_count(const unsigned char *marks, int64_t from, int64_t to) {
    int64_t n = 0;
    for (; from < to; from++)
        n += marks[from] != 0;
    return n;
}

static int64_t plain_run(const unsigned char *marks, int64_t at, int64_t to, unsigned char mark) {
    while (at < to && marks[at] == mark)
        at++;
    return at;
}

static void check_range(unsigned char *marks, int64_t from, int64_t to) {
    int64_t lo = -1, hi = -1, want_lo, want_hi;
    bool want = plain_gap(marks, from, to, &want_lo, &want_hi);
    assert_int_equal(cw_marks_gap(marks, from, to, &lo, &hi), want);
    if (want) {
        assert_int_equal(lo, want_lo);
        assert_int_equal(hi, want_hi);
    }
    assert_int_equal(cw_marks_count(marks, from, to), plain_count(marks, from, to));
    for (unsigned mark = 0; mark < 3; mark++)
        assert_int_equal(cw_marks_run(marks, from, to, (unsigned char)mark),
                         plain_run(marks, from, to, (unsigned char)mark));
}

static void marks__one_unmarked_anywhere__is_the_gap(void **state) {
    _Alignas(8) unsigned char room[ROOM];
    (void)state;
    for (int shift = 0; shift < 8; shift++)
        for (int hole = 0; hole < 40; hole++)
            for (int from = 0; from < 20; from++) {
                memset(room, 1, sizeof room);
                room[shift + hole] = 0;
                check_range(room + shift, from, 40);
                check_range(room + shift, from, hole > from ? hole : from);
            }
}

static void marks__of_every_value__are_marked(void **state) {
    _Alignas(8) unsigned char marks[256];
    int64_t lo, hi;
    (void)state;
    for (int i = 0; i < 256; i++)
        marks[i] = (unsigned char)i;
    assert_true(cw_marks_gap(marks, 0, 256, &lo, &hi));
    assert_true(lo == 0 && hi == 1);
    assert_false(cw_marks_gap(marks, 1, 256, &lo, &hi));
    assert_int_equal(cw_marks_count(marks, 0, 256), 255);
    assert_false(cw_marks_gap(marks, 5, 5, &lo, &hi));
    assert_false(cw_marks_gap(marks, 6, 5, &lo, &hi));
}

static void marks__random_ranges__as_plain_loops_say(void **state) {
    static const unsigned char values[] = {1, 2, 0x7f, 0x80, 0x81, 0xff};
    _Alignas(8) unsigned char room[ROOM];
    (void)state;
    for (int64_t round = 0, rounds = crewtest_many(100000); round < rounds; round++) {
        uint64_t r = crewtest_random();
        unsigned rare = 1 + (unsigned)(r >> 60);
        for (int i = 0; i < ROOM; i++)
            room[i] = crewtest_mix(r + (uint64_t)i) % (4 * rare) == 0
                          ? 0
                          : values[crewtest_mix(r ^ (uint64_t)i) % sizeof values];
        int64_t a = (int64_t)(r % MARKS), b = (int64_t)((r >> 16) % MARKS);
        check_range(room + (r >> 32) % 8, a < b ? a : b, a < b ? b : a);
    }
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        CREWTEST(marks__one_unmarked_anywhere__is_the_gap),
        CREWTEST(marks__of_every_value__are_marked),
        CREWTEST(marks__random_ranges__as_plain_loops_say),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
