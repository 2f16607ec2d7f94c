/* unit/error_test.c - codes, sentences, and the error that belongs to a thread. */
#include "crewtest.h"

#include "base/error.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

static void strerror__each_code__has_a_sentence_of_its_own(void **state) {
    static const int codes[] = {
        CREW_OK,
        CREW_OWNERDEAD,
#define CODE(name, value, sentence) CREW_##name,
        CREW_ERROR_CODES(CODE)
#undef CODE
    };
    enum { COUNT = sizeof codes / sizeof *codes };
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        const char *text = crew_strerror(codes[i]);
        assert_true(text && text[0]);
        assert_string_not_equal(text, "unknown error");
        for (int k = 0; k < i; k++) {
            assert_int_not_equal(codes[k], codes[i]);
            assert_string_not_equal(crew_strerror(codes[k]), text);
        }
    }
    assert_string_equal(crew_strerror(-999), "unknown error");
    assert_string_equal(crew_strerror(7), "unknown error");
}

static void set__longer_than_the_field__is_cut_and_terminated(void **state) {
    crew_error err;
    char text[1000];
    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_int_equal(cw_error_set(&err, CREW_EPERM, EACCES, "%s", text), CREW_EPERM);
    assert_int_equal(err.code, CREW_EPERM);
    assert_int_equal(err.sys, EACCES);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_int_equal(cw_error_clear(&err), 0);
    assert_int_equal(err.code, 0);
    assert_string_equal(err.text, "");
}

static void *elsewhere(void *arg) {
    int *code = arg;
    *code = crew_last_error()->code;
    crew_array_destroy((crew_array){0});
    return NULL;
}

static void last_error__of_another_thread__is_not_this_ones(void **state) {
    pthread_t thread;
    int there = 1;
    (void)state;
    assert_null(crew_array_data((crew_array){.place = 7}));
    assert_int_equal(crew_last_error()->code, CREW_EINVAL);
    assert_int_equal(cw_error_clear(NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, elsewhere, &there), 0);
    pthread_join(thread, NULL);
    assert_int_equal(there, 0);
    assert_int_equal(crew_last_error()->code, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strerror__each_code__has_a_sentence_of_its_own),
        cmocka_unit_test(set__longer_than_the_field__is_cut_and_terminated),
        cmocka_unit_test(last_error__of_another_thread__is_not_this_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
