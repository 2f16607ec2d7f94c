/* input.c - numbers, and files of them. */
#include "primes.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* ---- one number --------------------------------------------------------- */

static bool digits(const char **at, uint64_t *value) {
    const char *p = *at;
    for (*value = 0; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, (uint64_t)(*p - '0'), value))
            return false;
    bool any = p > *at;
    *at = p;
    return any;
}

static bool times_power(uint64_t *value, uint64_t base, uint64_t exponent) {
    for (; exponent > 0 && *value > 0 && base != 1; exponent--)
        if (__builtin_mul_overflow(*value, base, value))
            return false;
    return true;
}

bool parse_number(const char *text, uint64_t *value) {
    uint64_t exponent;
    const char *at = text;
    if (!digits(&at, value))
        return false;
    if (*at == '^' || *at == 'e') {
        bool power = *at++ == '^';
        uint64_t base = power ? *value : 10;
        if (power)
            *value = 1;
        if (!digits(&at, &exponent) || !times_power(value, base, exponent))
            return false;
    }
    return *at == 0;
}

/* ---- files -------------------------------------------------------------- */

enum kind { COMPOSITE, PRIME, BLANK, NO_NUMBER };

struct verdict {
    uint64_t number;
    int32_t kind;
    char text[44]; /* how a line begins that has no number */
};

/* One line; blanks around the number do not count. */
static int judge_task(crew_call *call) {
    struct verdict *v = CREW_OUT(call, struct verdict);
    const char *line = call->in;
    size_t size = call->in_size;
    while (size > 0 && isspace((unsigned char)line[size - 1]))
        size--;
    for (; size > 0 && isspace((unsigned char)*line); size--)
        line++;
    size_t kept = size < sizeof v->text ? size : sizeof v->text - 1;
    memset(v, 0, sizeof *v);
    memcpy(v->text, line, kept);
    for (char *zero; (zero = memchr(v->text, 0, kept));)
        *zero = '?'; /* no number, and to be shown */
    if (size == 0)
        v->kind = BLANK;
    else if (kept < size || !parse_number(v->text, &v->number))
        v->kind = NO_NUMBER;
    else
        v->kind = is_prime(v->number) ? PRIME : COMPOSITE;
    return 0;
}

/* Lines without a number are reported, and the rest is read. */
static int test_file(crew_pool *pool, FILE *file, const char *name) {
    struct verdict v;
    crew_item item;
    crew_error err;
    int status = 0, result = 0;
    crew_iter *it = crew_imap(pool, judge_task, crew_source_lines(file), sizeof v, NULL, &err);
    if (!it)
        return tool_failed(&err);
    while (!tool_output_fails() && (status = crew_next(it, &v, &item, CREW_FOREVER, &err)) > 0) {
        if (v.kind == PRIME)
            printf("%" PRIu64 "\n", v.number);
        if (v.kind == NO_NUMBER) {
            tool_say("%s:%" PRId64 ": \"%s\" is not a number below 2^64", name, item.index + 1,
                     v.text);
            result = EXIT_FAILURE;
        }
    }
    crew_iter_free(it);
    if (status < 0)
        tool_say("%s: %s", name, err.text);
    return status < 0 ? EXIT_FAILURE : result;
}

int test_files(crew_pool *pool, char **names, int count) {
    int result = 0;
    for (int i = 0; i < count && !tool_output_fails(); i++) {
        bool standard = strcmp(names[i], "-") == 0;
        FILE *file = standard ? stdin : fopen(names[i], "r");
        if (!file) {
            tool_say("%s: %s", names[i], strerror(errno));
            result = EXIT_FAILURE;
            continue;
        }
        if (test_file(pool, file, standard ? "standard input" : names[i]))
            result = EXIT_FAILURE;
        if (!standard)
            fclose(file);
    }
    return result;
}
