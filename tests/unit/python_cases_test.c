/* unit/python_cases_test.c - the tests that docs/PYTHON-CASES.md names exist. */
#include "crewtest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_file(const char *folder, const char *name) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s/%s", CREW_SOURCE_DIR, folder, name);
    FILE *f = fopen(path, "re");
    char *text = f ? calloc(1, 1 << 20) : NULL;
    if (text && fread(text, 1, (1 << 20) - 1, f) == 0)
        text[0] = 0;
    if (f)
        fclose(f);
    return text;
}

/* "`file: name`" must be a test of that file. */
static void check_named(const char *named, size_t length) {
    static const char *const folders[] = {"tests/conformance", "tests/fault", "tests/unit",
                                          "tests/install"};
    char file[64], name[256], pattern[300];
    char text[400];
    assert_true(length < sizeof text);
    memcpy(text, named, length);
    text[length] = 0;
    if (sscanf(text, "%63[^:]: %255s", file, name) != 2)
        fail_msg("not \"file: test\": %s", text);
    snprintf(pattern, sizeof pattern, "%s(void **state)", name);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char source[80];
        snprintf(source, sizeof source, "%s%s", file, strchr(file, '.') ? "" : ".c");
        char *code = read_file(folders[i], source);
        bool found = code && strstr(code, strchr(file, '.') ? name : pattern);
        /* A long name's parameters may be on the next line. */
        snprintf(pattern, sizeof pattern, "%s(\n", name);
        found = found || (code && strstr(code, pattern));
        snprintf(pattern, sizeof pattern, "%s(void **state)", name);
        free(code);
        if (found)
            return;
    }
    fail_msg("there is no test %s in %s", name, file);
}

static void docs__python_cases__name_a_test_or_a_reason_each(void **state) {
    (void)state;
    char *page = read_file("docs", "PYTHON-CASES.md");
    assert_non_null(page);
    int rows = 0;
    for (char *line = strtok(page, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "| `", 3) != 0)
            continue;
        rows++;
        char *end = strrchr(line, '|');
        *end = 0;
        char *last = strrchr(line, '|') + 1;
        if (strncmp(last, " none: ", 7) == 0)
            continue;
        char *at = strchr(last, '`');
        if (!at)
            fail_msg("no test and no reason: %s", line);
        for (; at; at = strchr(at, '`')) {
            char *close = strchr(at + 1, '`');
            assert_non_null(close);
            check_named(at + 1, (size_t)(close - at - 1));
            at = close + 1;
        }
    }
    assert_true(rows > 100);
    free(page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(docs__python_cases__name_a_test_or_a_reason_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
