/* unit/stop_test.c - when a program stops: spans of time and signals as they are written,
 * what batch systems tell, and the phases. */
#include "base/stopwords.h"
#include "sched/stop.h"
#include "topo/batch.h"
#include "support/plain.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECOND 1000000000ll
#define assert_near(value, wanted) \
    assert_true((value) > (wanted) - 1e-6 && (value) < (wanted) + 1e-6)

static void span__each_form__is_so_many_seconds(void **state) {
    static const struct {
        const char *text;
        double seconds;
    } rows[] = {{"0", 0},
                {"90", 90},
                {"1.5", 1.5},
                {"0.25", 0.25},
                {"2:30", 150},
                {"59:59", 3599},
                {"600:00", 36000},
                {"3:55:00", 14100},
                {"72:00:00", 259200},
                {"1-00:00:00", 86400},
                {"2-03:04:05", 183845},
                {"0:00:01.5", 1.5},
                {"315360000", 315360000}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double seconds = -1;
        if (!cw_span_parse(rows[i].text, &seconds) || seconds < rows[i].seconds - 1e-9 ||
            seconds > rows[i].seconds + 1e-9)
            fail_msg("%s is %g, not %g", rows[i].text, seconds, rows[i].seconds);
    }
}

static void span__anything_else__is_refused(void **state) {
    static const char *const rows[] = {
        "",        " ",       "-1",      "+1",        "1h",         "3:60",      "1:60:00",
        "1:00:60", "1-24:00:00", "1-00:00", "1-5",    "1:2:3:4",    ":30",       "30:",
        "1.",      ".5",      "1:.5",    "1e3",       "0x10",       " 1",        "1 ",
        "inf",     "nan",     "999999999999999999999", "3661-00:00:00", "1--00:00:00"};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double seconds;
        if (cw_span_parse(rows[i], &seconds))
            fail_msg("\"%s\" is taken for %g s", rows[i], seconds);
    }
}

static void span__printed__is_read_back(void **state) {
    static const double rows[] = {0, 1, 59, 60, 61, 3599, 3600, 14100, 86399, 86400, 183845};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[32];
        double seconds;
        cw_span_print(rows[i], text, sizeof text);
        text[strcspn(text, " ")] = '\0'; /* "59 s" */
        assert_true(cw_span_parse(text, &seconds));
        assert_true(seconds == rows[i]);
    }
}

static uint64_t bit(int signal) {
    return 1ull << (signal - 1);
}

static void signals__names_and_numbers__are_a_set(void **state) {
    uint64_t set;
    (void)state;
    assert_true(cw_stop_signals_parse("USR1", &set));
    assert_true(set == bit(SIGUSR1));
    assert_true(cw_stop_signals_parse("SIGUSR2,TERM", &set));
    assert_true(set == (bit(SIGUSR2) | bit(SIGTERM)));
    assert_true(cw_stop_signals_parse("10,40,XCPU", &set));
    assert_true(set == (bit(10) | bit(40) | bit(SIGXCPU)));
    static const char *const bad[] = {"",      "USR3",     "usr1",  "USR1,", ",USR1", "KILL", "9",
                                      "STOP",  "SIGCHLD",  "SEGV",  "11",    "0",     "65",   "-1",
                                      "USR1 ", "USR1;TERM", "32"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (cw_stop_signals_parse(bad[i], &set))
            fail_msg("\"%s\" is accepted", bad[i]);
}

static void signals__in_sentences__have_their_names(void **state) {
    char text[32];
    (void)state;
    cw_stop_signal_print(SIGUSR1, text, sizeof text);
    assert_string_equal(text, "SIGUSR1");
    cw_stop_signal_print(40, text, sizeof text);
    assert_string_equal(text, "signal 40");
}

/* ---- phases -------------------------------------------------------------- */

static void phase__nothing_asked_for__is_not_for_ever(void **state) {
    struct cw_stop s = {.grace = 30};
    (void)state;
    assert_true(cw_stop_look(&s, 1000000 * SECOND) < 0);
    assert_int_equal(s.phase, CW_STOP_NOT);
}

static void phase__signal__drains_for_the_grace_then_ends(void **state) {
    struct cw_stop s = {.grace = 30};
    (void)state;
    cw_stop_signalled(&s, SIGUSR1, true, 100 * SECOND);
    assert_near(cw_stop_look(&s, 100 * SECOND), 30);
    assert_int_equal(s.phase, CW_STOP_DRAIN);
    assert_int_equal(s.cause, CW_STOP_BY_SIGNAL);
    assert_int_equal(s.signal, SIGUSR1);
    assert_near(cw_stop_look(&s, 120 * SECOND), 10);
    assert_int_equal(s.phase, CW_STOP_DRAIN);
    assert_true(cw_stop_look(&s, 130 * SECOND) < 0);
    assert_int_equal(s.phase, CW_STOP_END);
}

static void phase__no_grace__ends_at_once(void **state) {
    struct cw_stop s = {.grace = 0};
    (void)state;
    cw_stop_signalled(&s, SIGUSR1, true, 5 * SECOND);
    cw_stop_look(&s, 5 * SECOND);
    assert_int_equal(s.phase, CW_STOP_END);
}

static void phase__same_signal_again__counts_after_a_second_only(void **state) {
    struct cw_stop s = {.grace = 30};
    (void)state;
    cw_stop_signalled(&s, SIGUSR1, true, 100 * SECOND);
    cw_stop_signalled(&s, SIGUSR1, true, 100 * SECOND + CW_STOP_REPEAT_NS - 1);
    assert_int_equal(s.phase, CW_STOP_DRAIN);
    cw_stop_signalled(&s, SIGUSR1, false, 110 * SECOND); /* another rank's, late */
    assert_int_equal(s.phase, CW_STOP_DRAIN);
    cw_stop_signalled(&s, SIGTERM, true, 100 * SECOND + CW_STOP_REPEAT_NS);
    assert_int_equal(s.phase, CW_STOP_END);
    assert_int_equal(s.signal, SIGUSR1);
}

static void limit__is_over__drains_and_says_whose_it_was(void **state) {
    struct cw_stop s = {.grace = 2};
    (void)state;
    cw_stop_limit(&s, 60, 10 * SECOND);
    assert_near(cw_stop_look(&s, 10 * SECOND), 60);
    assert_near(cw_stop_look(&s, 69 * SECOND), 1);
    assert_int_equal(s.phase, CW_STOP_NOT);
    assert_near(cw_stop_look(&s, 70 * SECOND), 2);
    assert_int_equal(s.phase, CW_STOP_DRAIN);
    assert_int_equal(s.cause, CW_STOP_BY_LIMIT);
}

static void limit__of_the_batch_system__is_left_with_a_margin(void **state) {
    struct cw_stop s = {.grace = 30};
    (void)state;
    cw_stop_batch(&s, 3600, 60, 0);
    assert_true(s.limit_ns == 3540 * SECOND);
    /* A margin longer than the job leaves it half of its time. */
    cw_stop_batch(&s, 60, 60, 0);
    assert_true(s.limit_ns == 30 * SECOND);
    cw_stop_batch(&s, -5, 60, 7 * SECOND);
    assert_true(s.limit_ns == 7 * SECOND);
    cw_stop_look(&s, 7 * SECOND);
    assert_int_equal(s.cause, CW_STOP_BY_BATCH);
}

static void limit__given_and_of_the_batch_system__the_given_one_counts(void **state) {
    struct cw_stop s = {.grace = 30};
    (void)state;
    cw_stop_limit(&s, 100, 0);
    cw_stop_batch(&s, 50, 10, 0);
    assert_true(s.limit_ns == 100 * SECOND);
}

/* ---- batch systems ------------------------------------------------------- */

static const char *const *environment;

static const char *get(const char *name) {
    return plain_setting(environment, name);
}

static void batch__its_limit__is_what_its_environment_tells(void **state) {
    static const struct {
        const char *environment[3];
        double left; /* negative: it does not tell */
    } rows[] = {{{NULL}, -1},
                {{"SLURM_JOB_END_TIME=1000600", NULL}, 600},
                {{"SLURM_JOB_END_TIME=999000", NULL}, 0},
                {{"SLURM_JOB_END_TIME=", NULL}, -1},
                {{"SLURM_JOB_END_TIME=Unknown", NULL}, -1},
                {{"PBS_WALLTIME=3600", NULL}, 3600},
                {{"PBS_WALLTIME=0", NULL}, -1},
                {{"PBS_WALLTIME=3600", "SLURM_JOB_END_TIME=1000060", NULL}, 60}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double left = -1;
        environment = rows[i].environment;
        assert_int_equal(cw_batch_seconds_left(get, 1000000, &left), rows[i].left >= 0);
        assert_true(left == rows[i].left);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(span__each_form__is_so_many_seconds),
        cmocka_unit_test(span__anything_else__is_refused),
        cmocka_unit_test(span__printed__is_read_back),
        cmocka_unit_test(signals__names_and_numbers__are_a_set),
        cmocka_unit_test(signals__in_sentences__have_their_names),
        cmocka_unit_test(phase__nothing_asked_for__is_not_for_ever),
        cmocka_unit_test(phase__signal__drains_for_the_grace_then_ends),
        cmocka_unit_test(phase__no_grace__ends_at_once),
        cmocka_unit_test(phase__same_signal_again__counts_after_a_second_only),
        cmocka_unit_test(limit__is_over__drains_and_says_whose_it_was),
        cmocka_unit_test(limit__of_the_batch_system__is_left_with_a_margin),
        cmocka_unit_test(limit__given_and_of_the_batch_system__the_given_one_counts),
        cmocka_unit_test(batch__its_limit__is_what_its_environment_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
