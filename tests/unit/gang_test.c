/* Gangs: who is reserved for which, by scripts and under random loads and losses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/gang.h"
#include "support/plain.h"

/* ---- scripts ---------------------------------------------------------------- */

/* What is done, and what has to follow it, in that order. */
struct step {
    enum { ADD, CANCEL, ARRIVED, ENDED, LOST, STOP } what;
    int a, b; /* ADD: id, size; CANCEL: id; else: a member */
    const char *follows;
};

static void describe(struct cw_gangs *g, char *text, size_t cap) {
    static const char *const names[] = {"call", "dismiss", "start", "over",
                                        "fail", "drained", "too few"};
    struct cw_gang_action a;
    size_t used = 0;
    text[0] = '\0';
    while (cw_gangs_next(g, &a)) {
        int n = a.what <= CW_GANG_DISMISS ? a.member : (int)a.id;
        used += (size_t)snprintf(text + used, cap - used, "%s%s %d", used ? ", " : "",
                                 names[a.what], n);
    }
}

static void play(int count, const int *nodes, const struct step *steps) {
    struct cw_gangs *g = cw_gangs_make(count, nodes);
    assert_non_null(g);
    for (const struct step *s = steps; s->what != STOP; s++) {
        char text[512];
        if (s->what == ADD)
            assert_true(cw_gangs_add(g, (uint32_t)s->a, s->b));
        else if (s->what == CANCEL)
            assert_int_equal(cw_gangs_cancel(g, (uint32_t)s->a), s->b);
        else if (s->what == ARRIVED)
            cw_gangs_arrived(g, s->a);
        else if (s->what == ENDED)
            cw_gangs_ended(g, s->a);
        else
            cw_gangs_lost(g, s->a);
        describe(g, text, sizeof text);
        if (strcmp(text, s->follows) != 0)
            fail_msg("step %d: \"%s\" follows, not \"%s\"", (int)(s - steps), text, s->follows);
    }
    cw_gangs_free(g);
}

static const int one_node[8];

static void gang__alone__is_called_begins_and_ends(void **state) {
    (void)state;
    play(3, one_node,
         (struct step[]){{ADD, 7, 2, "call 0, call 1"},
                         {ARRIVED, 1, 0, ""},
                         {ARRIVED, 0, 0, "start 7"},
                         {ENDED, 0, 0, ""},
                         {ENDED, 1, 0, "over 7"},
                         {STOP, 0, 0, NULL}});
}

static void gang__told_twice_that_one_is_there__waits_for_the_other(void **state) {
    (void)state;
    play(2, one_node,
         (struct step[]){{ADD, 7, 2, "call 0, call 1"},
                         {ARRIVED, 1, 0, ""},
                         {ARRIVED, 1, 0, ""},
                         {ARRIVED, 0, 0, "start 7"},
                         {STOP, 0, 0, NULL}});
}

/* The calls have not been given out yet. */
static void gang__member_lost_before_it_was_called__is_not_called(void **state) {
    struct cw_gangs *g = cw_gangs_make(3, one_node);
    char text[512];
    (void)state;
    assert_non_null(g);
    assert_true(cw_gangs_add(g, 7, 2));
    struct cw_gang_action first;
    assert_true(cw_gangs_next(g, &first));
    assert_int_equal(first.member, 0);
    cw_gangs_lost(g, 1);
    describe(g, text, sizeof text);
    assert_string_equal(text, "dismiss 0, call 0, call 2");
    cw_gangs_free(g);
}

static void gang__two_that_fit_side_by_side__run_at_the_same_time(void **state) {
    (void)state;
    play(4, one_node,
         (struct step[]){{ADD, 1, 2, "call 0, call 1"},
                         {ADD, 2, 2, "call 2, call 3"},
                         {ARRIVED, 3, 0, ""},
                         {ARRIVED, 2, 0, "start 2"},
                         {ARRIVED, 0, 0, ""},
                         {ARRIVED, 1, 0, "start 1"},
                         {STOP, 0, 0, NULL}});
}

static void gang__behind_a_larger_one__does_not_overtake_it(void **state) {
    (void)state;
    play(4, one_node,
         (struct step[]){{ADD, 1, 3, "call 0, call 1, call 2"},
                         {ADD, 2, 4, ""},
                         {ADD, 3, 1, ""}, /* there would be room */
                         {ARRIVED, 0, 0, ""},
                         {ARRIVED, 1, 0, ""},
                         {ARRIVED, 2, 0, "start 1"},
                         {ENDED, 0, 0, ""},
                         {ENDED, 1, 0, ""},
                         {ENDED, 2, 0, "over 1, call 0, call 1, call 2, call 3"},
                         {STOP, 0, 0, NULL}});
}

static void gang__that_fits_a_node__is_on_the_one_it_fits_best(void **state) {
    const int nodes[] = {0, 0, 0, 0, 1, 1, 2, 2, 2};
    (void)state;
    play(9, nodes,
         (struct step[]){{ADD, 1, 2, "call 4, call 5"},
                         {ADD, 2, 3, "call 6, call 7, call 8"},
                         {ADD, 3, 4, "call 0, call 1, call 2, call 3"},
                         {STOP, 0, 0, NULL}});
}

static void gang__larger_than_each_node__is_on_few_and_in_order(void **state) {
    const int nodes[] = {0, 0, 1, 1, 1, 2, 2};
    (void)state;
    /* All of node 1, and of those that have room for the last one the first. */
    play(7, nodes,
         (struct step[]){{ADD, 1, 4, "call 0, call 2, call 3, call 4"}, {STOP, 0, 0, NULL}});
}

static void gang__cancelled_while_it_gathers__lets_its_members_go(void **state) {
    (void)state;
    play(3, one_node,
         (struct step[]){{ADD, 1, 2, "call 0, call 1"},
                         {ADD, 2, 3, ""},
                         {ARRIVED, 0, 0, ""},
                         {CANCEL, 1, 1, "dismiss 0, call 0, dismiss 1, call 1, call 2"},
                         {ARRIVED, 0, 0, ""},
                         {ARRIVED, 1, 0, ""},
                         {ARRIVED, 2, 0, "start 2"},
                         {CANCEL, 2, 0, ""},
                         {CANCEL, 9, 0, ""},
                         {STOP, 0, 0, NULL}});
}

static void gang__member_lost_while_it_gathers__takes_another(void **state) {
    (void)state;
    play(3, one_node,
         (struct step[]){{ADD, 1, 2, "call 0, call 1"},
                         {ARRIVED, 1, 0, ""},
                         {LOST, 0, 0, "dismiss 1, call 1, call 2"},
                         {ARRIVED, 2, 0, ""},
                         {ARRIVED, 1, 0, "start 1"},
                         {STOP, 0, 0, NULL}});
}

static void gang__member_lost_while_it_runs__fails_and_others_end_later(void **state) {
    (void)state;
    play(2, one_node,
         (struct step[]){{ADD, 1, 2, "call 0, call 1"},
                         {ARRIVED, 0, 0, ""},
                         {ARRIVED, 1, 0, "start 1"},
                         {ADD, 2, 2, ""},
                         {ADD, 3, 1, ""},
                         {LOST, 1, 0, "fail 1, too few 2"},
                         {ENDED, 0, 0, "drained 1, call 0"},
                         {ARRIVED, 0, 0, "start 3"},
                         {LOST, 0, 0, "fail 3, drained 3"},
                         {STOP, 0, 0, NULL}});
}

/* ---- random loads ------------------------------------------------------------- */

static uint64_t seed;

static int below(uint64_t *s, int n) {
    return (int)(draw(s) % (uint64_t)n);
}

enum { MOST = 24, GANGS = 60 };

/* The members and gangs as an onlooker counts them. */
struct world {
    struct cw_gangs *g;
    int count, left;
    enum { AWAY, CALLED, THERE, BUSY, GONE } member[MOST];
    uint32_t runs[MOST]; /* which gang */
    int size[GANGS], running[GANGS];
    enum { NEW, ADDED, BEGUN, DONE } gang[GANGS];
    int started, last_started; /* in the order of their coming */
    int done, losses;
};

static void begin(struct world *w, uint32_t id) {
    int n;
    const int *members = cw_gangs_members(w->g, id, &n);
    assert_int_equal(w->gang[id], ADDED);
    assert_int_equal(n, w->size[id]);
    for (int i = 0; i < n; i++) {
        assert_true(i == 0 || members[i] > members[i - 1]);
        assert_int_equal(w->member[members[i]], THERE); /* nobody else's */
        w->member[members[i]] = BUSY;
        w->runs[members[i]] = id;
    }
    w->running[id] = n;
    w->gang[id] = BEGUN;
    w->started++;
}

static void act(struct world *w) {
    struct cw_gang_action a;
    while (cw_gangs_next(w->g, &a)) {
        switch (a.what) {
        case CW_GANG_CALL:
            assert_int_equal(w->member[a.member], AWAY);
            w->member[a.member] = CALLED;
            break;
        case CW_GANG_DISMISS:
            assert_true(w->member[a.member] == CALLED || w->member[a.member] == THERE);
            w->member[a.member] = AWAY;
            break;
        case CW_GANG_START:
            begin(w, a.id);
            break;
        case CW_GANG_OVER:
        case CW_GANG_DRAINED:
            assert_int_equal(w->running[a.id], 0);
            w->done += a.what == CW_GANG_OVER;
            assert_int_equal(w->gang[a.id], a.what == CW_GANG_OVER ? BEGUN : DONE);
            w->gang[a.id] = DONE;
            break;
        case CW_GANG_FAIL:
            assert_int_equal(w->gang[a.id], BEGUN);
            assert_int_equal(w->member[a.member], GONE);
            w->gang[a.id] = DONE;
            w->done++;
            break;
        case CW_GANG_TOO_FEW:
            assert_int_equal(w->gang[a.id], ADDED);
            assert_true(w->size[a.id] > w->left);
            w->gang[a.id] = DONE;
            w->done++;
            break;
        }
    }
}

static void happen(struct world *w, uint64_t *s, int m) {
    if (w->member[m] == CALLED) {
        w->member[m] = THERE;
        cw_gangs_arrived(w->g, m);
    } else if (w->member[m] == BUSY) {
        w->member[m] = AWAY;
        w->running[w->runs[m]]--;
        cw_gangs_ended(w->g, m);
    } else if (w->member[m] != GONE && w->left > 1 && w->losses > 0 && below(s, 200) == 0) {
        w->member[m] = GONE;
        w->left--;
        w->losses--;
        cw_gangs_lost(w->g, m);
    }
    if (w->member[m] == BUSY && w->losses > 0 && w->left > 1 && below(s, 20) == 0) {
        w->running[w->runs[m]]--;
        w->member[m] = GONE;
        w->left--;
        w->losses--;
        cw_gangs_lost(w->g, m);
    }
}

static void one_world(uint64_t s) {
    struct world w = {.count = 1 + below(&s, MOST)};
    int nodes[MOST], node = 0, next = 0;
    for (int i = 0; i < w.count; i++)
        nodes[i] = i > 0 && below(&s, 4) == 0 ? ++node : node;
    w.left = w.count;
    w.losses = below(&s, 2) ? below(&s, w.count) : 0;
    w.g = cw_gangs_make(w.count, nodes);
    assert_non_null(w.g);
    for (int steps = 0; w.done < GANGS; steps++) {
        assert_true(steps < 200000); /* none starves, nothing is stuck */
        if (next < GANGS && below(&s, 4) == 0) {
            w.size[next] = 1 + below(&s, w.left);
            w.gang[next] = ADDED;
            assert_true(cw_gangs_add(w.g, (uint32_t)next, w.size[next]));
            next++;
        } else if (next > 0 && below(&s, 40) == 0) {
            int id = below(&s, next);
            bool waits = w.gang[id] == ADDED;
            assert_int_equal(cw_gangs_cancel(w.g, (uint32_t)id), waits);
            w.done += waits;
            w.gang[id] = waits ? DONE : w.gang[id];
        } else {
            happen(&w, &s, below(&s, w.count));
        }
        act(&w);
        assert_int_equal(cw_gangs_left(w.g), w.left);
    }
    /* Those that failed end, too. */
    for (int m = 0; m < w.count; m++)
        if (w.member[m] == BUSY) {
            w.losses = 0;
            happen(&w, &s, m);
            act(&w);
        }
    assert_true(cw_gangs_none(w.g));
    for (int m = 0; m < w.count; m++)
        assert_true(w.member[m] == AWAY || w.member[m] == GONE);
    cw_gangs_free(w.g);
}

static void gang__random_loads_and_losses__each_runs_once_and_none_starves(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        one_world(seed + i);
}

int main(void) {
    seed = plain_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gang__alone__is_called_begins_and_ends),
        cmocka_unit_test(gang__told_twice_that_one_is_there__waits_for_the_other),
        cmocka_unit_test(gang__member_lost_before_it_was_called__is_not_called),
        cmocka_unit_test(gang__two_that_fit_side_by_side__run_at_the_same_time),
        cmocka_unit_test(gang__behind_a_larger_one__does_not_overtake_it),
        cmocka_unit_test(gang__that_fits_a_node__is_on_the_one_it_fits_best),
        cmocka_unit_test(gang__larger_than_each_node__is_on_few_and_in_order),
        cmocka_unit_test(gang__cancelled_while_it_gathers__lets_its_members_go),
        cmocka_unit_test(gang__member_lost_while_it_gathers__takes_another),
        cmocka_unit_test(gang__member_lost_while_it_runs__fails_and_others_end_later),
        cmocka_unit_test(gang__random_loads_and_losses__each_runs_once_and_none_starves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
