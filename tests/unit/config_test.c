/* The environment's settings: parsing, messages, and docs/CONFIG.md. */
#include "base/config.h"
#include "topo/topo.h"

#include <crew/pool.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The environment of a test: one variable, or none. */
static const char *set_name, *set_value;

static const char *one_variable(const char *name) {
    return set_name && strcmp(name, set_name) == 0 ? set_value : NULL;
}

static int load(struct cw_config *config, const char *name, const char *value, crew_error *err) {
    set_name = name;
    set_value = value;
    return cw_config_load(config, one_variable, err);
}

static void refused(const char *name, const char *value, const char *text) {
    struct cw_config config = {.workers = 4711};
    crew_error err;
    assert_int_equal(load(&config, name, value, &err), CREW_EINVAL);
    assert_int_equal(err.code, CREW_EINVAL);
    assert_string_equal(err.text, text);
    assert_int_equal(config.workers, 4711);
}

static void config__nothing_set__is_all_defaults(void **state) {
    (void)state;
    struct cw_config config;
    memset(&config, 0x5a, sizeof config);
    crew_error err = {.code = 1};
    assert_int_equal(load(&config, NULL, NULL, &err), 0);
    assert_int_equal(err.code, 0);
    assert_int_equal(config.backend, CREW_AUTO);
    assert_int_equal(config.workers, 0);
    assert_int_equal(config.start, CREW_START_AUTO);
    assert_int_equal(config.bind, -1);
    assert_int_equal(config.order, CW_ORDER_COMPACT);
    assert_int_equal(config.threads, 0);
    assert_int_equal(config.strict, 0);
    assert_int_equal(config.core, 0);
    assert_int_equal(config.isolate, 1);
    assert_int_equal(config.report_binding, 0);
    assert_int_equal(config.progress, -1);
    assert_int_equal(config.segment, 0);
    assert_false(config.has_seed);
    assert_null(config.mpi_module);
    assert_true(config.stop_signals == 0);
    assert_true(config.time_limit == 0);
    assert_true(config.stop_grace == CW_SPAN_UNSET && config.stop_margin == CW_SPAN_UNSET);
}

static void config__when_to_stop__takes_times_and_signals(void **state) {
    (void)state;
    struct cw_config config;
    crew_error err;
    assert_int_equal(load(&config, "CREW_TIME_LIMIT", "3:55:00", &err), 0);
    assert_true(config.time_limit == 14100);
    assert_int_equal(load(&config, "CREW_TIME_LIMIT", "batch", &err), 0);
    assert_true(config.time_limit == CW_LIMIT_OF_BATCH);
    assert_int_equal(load(&config, "CREW_TIME_LIMIT", "none", &err), 0);
    assert_true(config.time_limit == CW_LIMIT_NONE);
    assert_int_equal(load(&config, "CREW_STOP_GRACE", "0", &err), 0);
    assert_true(config.stop_grace == 0);
    assert_int_equal(load(&config, "CREW_STOP_MARGIN", "2:00", &err), 0);
    assert_true(config.stop_margin == 120);
    assert_int_equal(load(&config, "CREW_STOP_SIGNAL", "USR1,15", &err), 0);
    assert_true(config.stop_signals == (1ull << 9 | 1ull << 14));
    refused("CREW_TIME_LIMIT", "4h",
            "CREW_TIME_LIMIT=4h is not accepted: it takes seconds, MM:SS, H:MM:SS or D-HH:MM:SS, "
            "batch for the limit of the batch system, or none");
    refused("CREW_TIME_LIMIT", "0",
            "CREW_TIME_LIMIT=0 is not accepted: it takes seconds, MM:SS, H:MM:SS or D-HH:MM:SS, "
            "batch for the limit of the batch system, or none");
    refused("CREW_STOP_GRACE", "batch",
            "CREW_STOP_GRACE=batch is not accepted: it takes seconds, MM:SS, H:MM:SS or "
            "D-HH:MM:SS");
    refused("CREW_STOP_SIGNAL", "KILL",
            "CREW_STOP_SIGNAL=KILL is not accepted: it takes a list of HUP, INT, QUIT, USR1, USR2, "
            "ALRM, TERM, XCPU, URG, PWR or numbers");
}

static void config__every_word__is_its_constant(void **state) {
    (void)state;
    static const struct {
        const char *name, *value;
        size_t field;
        int constant;
    } cases[] = {
#define CASE(name, value, field, constant)                                                         \
    {"CREW_" name, value, offsetof(struct cw_config, field), constant}
        CASE("BACKEND", "auto", backend, CREW_AUTO),
        CASE("BACKEND", "serial", backend, CREW_SERIAL),
        CASE("BACKEND", "threads", backend, CREW_THREADS),
        CASE("BACKEND", "fork", backend, CREW_FORK),
        CASE("BACKEND", "mpi", backend, CREW_MPI),
        CASE("START", "auto", start, CREW_START_AUTO),
        CASE("START", "fork", start, CREW_START_FORK),
        CASE("START", "server", start, CREW_START_SERVER),
        CASE("START", "spawn", start, CREW_START_SPAWN),
        CASE("BIND", "auto", bind, CREW_BIND_AUTO),
        CASE("BIND", "none", bind, CREW_BIND_NONE),
        CASE("BIND", "core", bind, CREW_BIND_CORE),
        CASE("BIND", "pu", bind, CREW_BIND_PU),
        CASE("BIND", "l3", bind, CREW_BIND_L3),
        CASE("BIND", "numa", bind, CREW_BIND_NUMA),
        CASE("BIND", "socket", bind, CREW_BIND_SOCKET),
        CASE("ORDER", "compact", order, CW_ORDER_COMPACT),
        CASE("ORDER", "scatter", order, CW_ORDER_SCATTER),
        CASE("WORKERS", "1", workers, 1),
        CASE("WORKERS", "4096", workers, 4096),
        CASE("THREADS_PER_WORKER", "4096", threads, 4096),
        CASE("STRICT", "1", strict, 1),
        CASE("CORE", "1", core, 1),
        CASE("ONE_SIDED", "auto", one_sided, CW_ONE_SIDED_AUTO),
        CASE("ONE_SIDED", "on", one_sided, CW_ONE_SIDED_ON),
        CASE("ONE_SIDED", "off", one_sided, CW_ONE_SIDED_OFF),
        CASE("REPORT_BINDING", "1", report_binding, 1),
        CASE("PROGRESS", "0", progress, 0),
        CASE("PROGRESS", "1", progress, 1),
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cw_config config;
        assert_int_equal(load(&config, cases[i].name, cases[i].value, NULL), 0);
        int value;
        memcpy(&value, (char *)&config + cases[i].field, sizeof value);
        assert_int_equal(value, cases[i].constant);
    }
}

static void config__empty_value__counts_as_not_set(void **state) {
    (void)state;
    static const char *const names[] = {"CREW_BACKEND", "CREW_WORKERS", "CREW_BIND",
                                        "CREW_SEGMENT_SIZE", "CREW_SEED", "CREW_MPI_MODULE"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct cw_config config;
        assert_int_equal(load(&config, names[i], "", NULL), 0);
        assert_int_equal(config.bind, -1);
        assert_false(config.has_seed);
        assert_null(config.mpi_module);
    }
}

static void config__workers_not_a_number_in_range__is_refused(void **state) {
    (void)state;
    static const char *const values[] = {"0",
                                         "4097",
                                         "-1",
                                         "+1",
                                         " 1",
                                         "1 ",
                                         "4x",
                                         "0x4",
                                         "1.5",
                                         "four",
                                         "1e3",
                                         "4\n",
                                         "99999999999999999999999"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char text[256];
        snprintf(text, sizeof text,
                 "CREW_WORKERS=%s is not accepted: it takes a number from 1 to 4096", values[i]);
        refused("CREW_WORKERS", values[i], text);
    }
}

static void config__name_a_slip_away__is_told(void **state) {
    static const struct {
        const char *setting, *meant;
    } cases[] = {
        {"CREW_WORKRES=4", "CREW_WORKERS"}, /* exchanged */
        {"CREW_WORKER=4", "CREW_WORKERS"},  /* left out */
        {"CREW_NWORKERS=", "CREW_WORKERS"}, /* put in; empty too */
        {"CREW_BACKENT=fork", "CREW_BACKEND"},
        {"CREW_BINDS=core", "CREW_BIND"},
        {"CREW_STRAT=fork", "CREW_START"},
        {"CREW_THREAD_PER_WORKER=2", "CREW_THREADS_PER_WORKER"},
        {"CREW_SEGMENTSIZE=1G", "CREW_SEGMENT_SIZE"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        char *environment[] = {"PATH=/bin", "CREW_WORKERS=1", (char *)(uintptr_t)cases[i].setting,
                               NULL};
        crew_error err;
        assert_int_equal(cw_config_names(environment, &err), CREW_EINVAL);
        snprintf(text, sizeof text,
                 "%.*s is set in the environment, but it is no setting of crew's: is %s meant?",
                 (int)strcspn(cases[i].setting, "="), cases[i].setting, cases[i].meant);
        assert_string_equal(err.text, text);
    }
}

static void config__names_of_others__are_let_alone(void **state) {
    static const char *const settings[] = {
        "CREW_HOME=/x",         "CREW_ID=3",           "CREW_HOOD=7x",     "CREW_=1",
        "CREW_NAME=blue",       "CREW_USED=x",         "CREWS_WORKERS=4",  "crew_workers=4",
        "CREW_TEST_SEED=1",     "CREW_SPAWNED_AS=1",   "CREW_SEGMENT=x",   "CREW_ISOLATE=0",
        "CREW_BACKEND=serial",  "CREW_STRICT=1",       "CREW_START=spawn", "CREW_SEED=9",
        "CREW_A_VERY_LONG_NAME_OF_SOMETHING_ELSE_ALTOGETHER=1", "CREW_WORKERS",
    };
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        char *environment[] = {(char *)(uintptr_t)settings[i], NULL};
        crew_error err = {.code = 1};
        assert_int_equal(cw_config_names(environment, &err), 0);
        assert_int_equal(err.code, 0);
    }
    assert_int_equal(cw_config_names(NULL, NULL), 0);
}

static void config__word_that_is_none__lists_the_accepted_ones(void **state) {
    (void)state;
    refused("CREW_BACKEND", "mip",
            "CREW_BACKEND=mip is not accepted: it takes auto, serial, threads, fork or mpi");
    refused("CREW_BACKEND", "Fork",
            "CREW_BACKEND=Fork is not accepted: it takes auto, serial, threads, fork or mpi");
    refused("CREW_BIND", "cores",
            "CREW_BIND=cores is not accepted: it takes auto, none, core, pu, l3, numa or socket");
    refused("CREW_STRICT", "yes", "CREW_STRICT=yes is not accepted: it takes 0 or 1");
    refused("CREW_STRICT", "01", "CREW_STRICT=01 is not accepted: it takes 0 or 1");
}

static void config__very_long_value__is_cut_and_the_list_is_not(void **state) {
    (void)state;
    char value[1000];
    memset(value, 'a', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    struct cw_config config;
    crew_error err;
    assert_int_equal(load(&config, "CREW_BIND", value, &err), CREW_EINVAL);
    assert_non_null(strstr(err.text, "aaa... is not accepted"));
    assert_non_null(strstr(err.text, "numa or socket"));
}

static void config__segment_size__takes_suffixes_and_bounds(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes; /* 0: refused */
    } cases[] = {
        {"16777216", 16 << 20},
        {"16384K", 16 << 20},
        {"16M", 16 << 20},
        {"3G", 3ll << 30},
        {"256T", 256ll << 40},
        {"16777215", 0},
        {"257T", 0},
        {"0", 0},
        {"16m", 0},
        {"16MB", 0},
        {"16 M", 0},
        {"M", 0},
        {"1P", 0},
        {"16777217T", 0},            /* wraps to 1T in 64 bits */
        {"18446744073709551617", 0}, /* wraps to 1 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cw_config config = {0};
        int code = load(&config, "CREW_SEGMENT_SIZE", cases[i].text, NULL);
        assert_int_equal(code, cases[i].bytes ? 0 : CREW_EINVAL);
        assert_true(config.segment == cases[i].bytes);
    }
}

static void config__seed__takes_all_64_bits_and_zero_is_a_seed(void **state) {
    (void)state;
    struct cw_config config;
    assert_int_equal(load(&config, "CREW_SEED", "0", NULL), 0);
    assert_true(config.has_seed && config.seed == 0);
    assert_int_equal(load(&config, "CREW_SEED", "18446744073709551615", NULL), 0);
    assert_true(config.has_seed && config.seed == UINT64_MAX);
    assert_int_equal(load(&config, "CREW_SEED", "18446744073709551616", NULL), CREW_EINVAL);
    assert_int_equal(load(&config, "CREW_SEED", "-1", NULL), CREW_EINVAL);
}

static void config__path__is_absolute_and_handed_on_as_it_is(void **state) {
    (void)state;
    struct cw_config config;
    const char *path = "/opt/crew lib/libcrew-mpi-mpich.so";
    assert_int_equal(load(&config, "CREW_MPI_MODULE", path, NULL), 0);
    assert_ptr_equal(config.mpi_module, path);
    refused("CREW_MPI_MODULE", "lib/libcrew-mpi-mpich.so",
            "CREW_MPI_MODULE=lib/libcrew-mpi-mpich.so is not accepted: it takes the absolute path "
            "of libcrew-mpi-openmpi.so, libcrew-mpi-mpich.so or their folder");
}

static void config__no_getter__reads_the_environment(void **state) {
    (void)state;
    struct cw_config config;
    assert_int_equal(setenv("CREW_WORKERS", "17", 1), 0);
    assert_int_equal(cw_config_load(&config, NULL, NULL), 0);
    assert_int_equal(config.workers, 17);
    assert_int_equal(setenv("CREW_WORKERS", "17a", 1), 0);
    assert_int_equal(cw_config_load(&config, NULL, NULL), CREW_EINVAL);
    assert_non_null(strstr(crew_last_error()->text, "CREW_WORKERS=17a"));
    assert_int_equal(unsetenv("CREW_WORKERS"), 0);
    assert_int_equal(cw_config_load(&config, NULL, NULL), 0);
    assert_int_equal(crew_last_error()->code, 0);
}

static void words__of_constants__and_none_beside_them(void **state) {
    (void)state;
    assert_string_equal(cw_backend_word(CREW_FORK), "fork");
    assert_string_equal(cw_start_word(CREW_START_SPAWN), "spawn");
    assert_string_equal(cw_bind_word(CREW_BIND_SOCKET), "socket");
    assert_null(cw_backend_word(CREW_MPI + 1));
    assert_null(cw_start_word(-1));
    assert_null(cw_bind_word(CREW_BIND_SOCKET + 1));
}

/* ---- the documentation ---------------------------------------------------- */

static char *table(void) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    cw_config_print(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static char *read_page(const char *path) {
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    enum { MOST = 65536 };
    char *text = calloc(1, MOST + 1);
    assert_non_null(text);
    size_t n = fread(text, 1, MOST, file);
    assert_true(n > 0 && n < MOST);
    fclose(file);
    return text;
}

static void docs__config_page__holds_exactly_the_table(void **state) {
    (void)state;
    char *page = read_page(CREW_SOURCE_DIR "/docs/CONFIG.md");
    char *begin = strstr(page, "```text\n");
    assert_non_null(begin);
    begin += strlen("```text\n");
    char *end = strstr(begin, "```\n");
    assert_non_null(end);
    assert_null(strstr(end + 4, "```")); /* the only block of its kind */
    *end = '\0';
    char *text = table();
    assert_string_equal(begin, text);
    free(text);
    free(page);
}

static void config__every_printed_variable__is_parsed(void **state) {
    (void)state;
    char *text = table();
    int names = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        assert_true(strlen(line) <= 80);
        if (strncmp(line, "CREW_", 5) != 0)
            continue;
        names++;
        struct cw_config config;
        crew_error err;
        if (strcmp(line, "CREW_JOURNAL") == 0) { /* any name is one of a folder */
            assert_int_equal(load(&config, line, "?", &err), 0);
            assert_string_equal(config.journal, "?");
            continue;
        }
        assert_int_equal(load(&config, line, "?", &err), CREW_EINVAL);
        assert_int_equal(strncmp(err.text, line, strlen(line)), 0);
    }
    assert_int_equal(names, 24);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config__nothing_set__is_all_defaults),
        cmocka_unit_test(config__every_word__is_its_constant),
        cmocka_unit_test(config__empty_value__counts_as_not_set),
        cmocka_unit_test(config__workers_not_a_number_in_range__is_refused),
        cmocka_unit_test(config__name_a_slip_away__is_told),
        cmocka_unit_test(config__names_of_others__are_let_alone),
        cmocka_unit_test(config__word_that_is_none__lists_the_accepted_ones),
        cmocka_unit_test(config__very_long_value__is_cut_and_the_list_is_not),
        cmocka_unit_test(config__segment_size__takes_suffixes_and_bounds),
        cmocka_unit_test(config__seed__takes_all_64_bits_and_zero_is_a_seed),
        cmocka_unit_test(config__path__is_absolute_and_handed_on_as_it_is),
        cmocka_unit_test(config__when_to_stop__takes_times_and_signals),
        cmocka_unit_test(config__no_getter__reads_the_environment),
        cmocka_unit_test(words__of_constants__and_none_beside_them),
        cmocka_unit_test(docs__config_page__holds_exactly_the_table),
        cmocka_unit_test(config__every_printed_variable__is_parsed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
