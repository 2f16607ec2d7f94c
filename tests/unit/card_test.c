/* Cards: each field that differs is a reason to refuse, and is named. */
#include "fleet/card.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cw_card card(const char *host) {
    struct cw_card c;
    cw_card_begin(&c, "1.2.3", host);
    c.layout = 11;
    c.program = 22;
    c.library = 33;
    return c;
}

static int front(const struct cw_card *a, const struct cw_card *b, crew_error *err) {
    return cw_card_front_fits(a, 0, b, 7, err);
}

static int rest(const struct cw_card *a, const struct cw_card *b, crew_error *err) {
    return cw_card_fits(a, 0, b, 7, err);
}

typedef int fits(const struct cw_card *a, const struct cw_card *b, crew_error *err);

/* In whichever of the two it is. */
static void check(fits *fit, const struct cw_card *other, int code, const char *const *parts) {
    const struct cw_card ours = card("n1");
    for (int turn = 0; turn < 2; turn++) {
        crew_error err = {.code = 0};
        int rc = turn ? fit(other, &ours, &err) : fit(&ours, other, &err);
        assert_int_equal(rc, code);
        assert_int_equal(err.code, code);
        for (int i = 0; parts[i]; i++)
            if (!strstr(err.text, parts[i]))
                fail_msg("not in it: '%s': %s", parts[i], err.text);
    }
}
#define CHECK(fit, other, code, ...)                                                               \
    check(fit, other, code, (const char *const[]){__VA_ARGS__, NULL})

static void cards__alike__fit(void **state) {
    struct cw_card a = card("n1"), b = card("n2");
    crew_error err = {.code = 0};
    (void)state;
    b.pid = 5;
    b.cores = 3;
    b.session = 9;
    assert_int_equal(front(&a, &b, &err), 0);
    assert_int_equal(rest(&a, &b, &err), 0);
    assert_int_equal(err.code, 0);
    assert_int_equal(a.pointer, sizeof(void *));
    assert_int_equal(a.endian, __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
}

static void cards__of_machines_of_two_kinds__are_refused(void **state) {
    struct cw_card c = card("n2");
    (void)state;
    c.pointer = 4;
    CHECK(front, &c, CREW_EMISMATCH, "rank 0", "rank 7", "node n1", "node n2",
          "machines of different kinds", "32 bits", "64 bits");
    c = card("n2");
    c.endian = !c.endian;
    CHECK(front, &c, CREW_EMISMATCH, "node n2", "big-endian", "little-endian");
}

static void cards__of_two_versions__are_refused(void **state) {
    struct cw_card c;
    (void)state;
    cw_card_begin(&c, "1.2.4", "n2");
    CHECK(front, &c, CREW_EMISMATCH, "node n1", "node n2", "versions of crew", "1.2.3", "1.2.4");
}

static void card__of_who_does_not_run_crew__is_refused(void **state) {
    struct cw_card c;
    (void)state;
    memset(&c, 0xee, sizeof c);
    CHECK(front, &c, CREW_EMISMATCH, "do not both run crew");
}

static void card__of_who_is_in_trouble__says_which(void **state) {
    struct cw_card c = card("n2");
    (void)state;
    snprintf(c.trouble, sizeof c.trouble, "there is no memory");
    CHECK(front, &c, CREW_EBROKEN, "(node n2): there is no memory");
    cw_card_trouble(&c, &(crew_error){.code = CREW_ENOTSUP, .text = "not here"});
    CHECK(front, &c, CREW_ENOTSUP, "(node n2): not here");
}

static void cards__of_two_builds__are_refused(void **state) {
    struct cw_card c = card("n2");
    (void)state;
    c.layout++;
    CHECK(rest, &c, CREW_EMISMATCH, "node n2", "different builds of crew 1.2.3");
    c = card("n2");
    c.library++;
    CHECK(rest, &c, CREW_EMISMATCH, "node n2", "different builds of crew 1.2.3");
    c = card("n2");
    c.program++;
    CHECK(rest, &c, CREW_EMISMATCH, "node n1", "node n2", "different programs");
    c = card("n2");
    c.isolate = 1;
    CHECK(rest, &c, CREW_EMISMATCH, "CREW_ISOLATE");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cards__alike__fit),
        cmocka_unit_test(cards__of_machines_of_two_kinds__are_refused),
        cmocka_unit_test(cards__of_two_versions__are_refused),
        cmocka_unit_test(card__of_who_does_not_run_crew__is_refused),
        cmocka_unit_test(card__of_who_is_in_trouble__says_which),
        cmocka_unit_test(cards__of_two_builds__are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
