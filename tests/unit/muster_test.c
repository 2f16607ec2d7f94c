/* The word of a muster: who changes it means the call that it saw. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "team/gang.h"

static void expect(const struct cw_muster *s, uint32_t call, enum cw_muster_state state) {
    uint32_t word = atomic_load(&s->word);
    assert_int_equal(cw_muster_call(word), call);
    assert_int_equal(cw_muster_state(word), state);
}

static void muster__goes_round__keeps_its_call(void **state) {
    static const enum cw_muster_state way[] = {CW_MUSTER_HERE, CW_MUSTER_AWAITED, CW_MUSTER_GO,
                                               CW_MUSTER_OVER, CW_MUSTER_FREE};
    struct cw_muster s = {.word = 0};
    (void)state;
    for (uint32_t call = CW_MUSTER_CALLS - 3, n = 0; n < 6;
         n++, call = (call + 1) % CW_MUSTER_CALLS) {
        assert_false(cw_muster_calls(&s));
        assert_true(cw_muster_summon(&s, call));
        assert_true(cw_muster_calls(&s));
        assert_false(cw_muster_summon(&s, call + 1)); /* it is not free */
        for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
            assert_true(cw_muster_turn(&s, atomic_load(&s.word), way[i]));
            expect(&s, call, way[i]);
        }
    }
}

static void muster__called_anew_since_it_was_seen__stays_as_it_is(void **state) {
    static const enum cw_muster_state seen_in[] = {CW_MUSTER_CALLED, CW_MUSTER_HERE,
                                                   CW_MUSTER_AWAITED};
    (void)state;
    for (size_t i = 0; i < sizeof seen_in / sizeof *seen_in; i++) {
        struct cw_muster s = {.word = cw_muster_word(7, seen_in[i])};
        uint32_t seen = atomic_load(&s.word);
        cw_muster_dismiss(&s);
        expect(&s, 7, CW_MUSTER_FREE);
        assert_true(cw_muster_summon(&s, 8));
        if (seen_in[i] != CW_MUSTER_CALLED)
            assert_true(cw_muster_move(&s, CW_MUSTER_CALLED, seen_in[i]));
        assert_false(cw_muster_turn(&s, seen, seen_in[i] + 1));
        expect(&s, 8, seen_in[i]);
    }
}

static void muster__that_runs_or_is_lost__is_not_dismissed(void **state) {
    static const enum cw_muster_state stays[] = {CW_MUSTER_FREE, CW_MUSTER_GO, CW_MUSTER_OVER,
                                                 CW_MUSTER_LOST};
    (void)state;
    for (size_t i = 0; i < sizeof stays / sizeof *stays; i++) {
        struct cw_muster s = {.word = cw_muster_word(3, stays[i])};
        cw_muster_dismiss(&s);
        expect(&s, 3, stays[i]);
        cw_muster_lose(&s);
        assert_int_equal(cw_muster_state(atomic_load(&s.word)), CW_MUSTER_LOST);
        assert_false(cw_muster_summon(&s, 4));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(muster__goes_round__keeps_its_call),
        cmocka_unit_test(muster__called_anew_since_it_was_seen__stays_as_it_is),
        cmocka_unit_test(muster__that_runs_or_is_lost__is_not_dismissed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
