/* unit/plan_test.c - what a pool would be: the options settled, the machine, places. */
#include "crewtest.h"

#include "topo/topo.h"

#include <crew/crew.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int clear(void **state) {
    static const char *const names[] = {"CREW_BACKEND", "CREW_WORKERS", "CREW_START",
                                        "CREW_BIND",    "CREW_STRICT",  "CREW_SEED"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    return crew_finalize(); /* the next call reads the environment anew */
}

static void plan__nothing_asked_for__is_what_a_pool_is(void **state) {
    crew_pool_opts o;
    crew_place places[64];
    crew_error err;
    (void)state;
    int workers = crew_pool_plan(NULL, &o, places, 64, &err);
    assert_int_equal(workers, crew_cpu_count());
    assert_int_equal(o.backend, CREW_FORK);
    assert_int_equal(o.start, CREW_START_FORK);
    assert_int_equal(o.workers, workers);
    for (int i = 0; i < workers && i < 64; i++)
        assert_true(places[i].cores >= 1);
    crew_pool *p = crew_pool_open(NULL, &err);
    assert_non_null(p);
    assert_int_equal(crew_pool_workers(p), workers);
    crew_pool_free(p);
}

static void plan__environment__goes_over_the_code(void **state) {
    const crew_pool_opts asked = {.backend = CREW_SERIAL, .workers = 2, .bind = CREW_BIND_CORE};
    crew_pool_opts o;
    crew_place places[2];
    crew_error err;
    (void)state;
    setenv("CREW_BACKEND", "threads", 1);
    setenv("CREW_WORKERS", "3", 1);
    setenv("CREW_BIND", "none", 1);
    setenv("CREW_SEED", "77", 1);
    memset(places, 0x55, sizeof places);
    assert_int_equal(crew_pool_plan(&asked, &o, places, 1, &err), 3);
    assert_int_equal(o.backend, CREW_THREADS);
    assert_int_equal(o.bind, CREW_BIND_NONE);
    assert_int_equal(o.seed, 77);
    assert_string_equal(places[0].cpus, "");
    assert_int_equal(places[1].cores, 0x55555555); /* beyond cap */
    assert_int_equal(asked.workers, 2);
}

static void plan__strict__is_the_server(void **state) {
    crew_pool_opts o;
    (void)state;
    setenv("CREW_STRICT", "1", 1);
    assert_true(crew_pool_plan(NULL, &o, NULL, 0, NULL) >= 1);
    assert_int_equal(o.start, CREW_START_SERVER);
}

static void plan__what_a_pool_refuses__is_refused_with_the_same_words(void **state) {
    const crew_pool_opts bad[] = {{.workers = -1},
                                  {.backend = CREW_MPI},
                                  {.backend = CREW_THREADS, .task_memory = 1},
                                  {.task_timeout = -1}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        crew_error plan, open;
        crew_pool_opts o = {.workers = 99};
        int rc = crew_pool_plan(&bad[i], &o, NULL, 0, &plan);
        assert_null(crew_pool_open(&bad[i], &open));
        assert_true(rc < 0);
        assert_int_equal(rc, plan.code);
        assert_int_equal(rc, open.code);
        assert_string_equal(plan.text, open.text);
        assert_int_equal(o.workers, 99);
    }
    assert_int_equal(crew_pool_plan(NULL, NULL, NULL, 3, NULL), CREW_EINVAL);
    assert_true(crew_last_error()->text[0]);
    setenv("CREW_WORKERS", "many", 1);
    crew_finalize();
    assert_int_equal(crew_pool_plan(NULL, NULL, NULL, 0, NULL), CREW_EINVAL);
    assert_non_null(strstr(crew_last_error()->text, "CREW_WORKERS=many"));
}

static void machine__of_one_processor__says_so(void **state) {
    crew_machine all, one;
    cw_cpuset mask, first = {0};
    crew_place place;
    crew_error err;
    char text[16];
    int cpu = 0;
    (void)state;
    assert_int_equal(crew_machine_look(&all, &err), 0);
    assert_int_equal(cw_affinity_get(&mask), 0);
    assert_int_equal(all.usable_processors, cw_cpuset_count(&mask));
    assert_true(all.sockets >= 1 && all.cores >= 1 && all.processors >= all.cores);
    assert_true(all.usable_cores >= 1 && all.usable_cores <= all.cores);
    while (!cw_cpuset_has(&mask, cpu))
        cpu++;
    cw_cpuset_add(&first, cpu);
    assert_int_equal(cw_affinity_set(&first), 0);
    assert_int_equal(crew_machine_look(&one, NULL), 0);
    int workers = crew_pool_plan(NULL, NULL, &place, 1, NULL);
    cw_affinity_set(&mask);
    snprintf(text, sizeof text, "%d", cpu);
    assert_int_equal(one.usable_processors, 1);
    assert_int_equal(one.usable_cores, 1);
    assert_int_equal(one.processors, all.processors);
    assert_string_equal(one.usable, text);
    assert_int_equal(workers, 1);
    assert_string_equal(place.cpus, text);
    assert_int_equal(crew_machine_look(NULL, NULL), CREW_EINVAL);
}

static void config__printed__goes_to_the_file_or_fails(void **state) {
    char *text = NULL;
    size_t size = 0;
    (void)state;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    assert_int_equal(crew_config_print(f), 0);
    fclose(f);
    assert_non_null(strstr(text, "CREW_BACKEND"));
    free(text);
    f = fopen("/dev/full", "we");
    assert_non_null(f);
    assert_int_equal(crew_config_print(f), CREW_EINVAL);
    fclose(f);
    assert_int_equal(crew_config_print(NULL), CREW_EINVAL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, clear, clear)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(plan__nothing_asked_for__is_what_a_pool_is),
        TEST(plan__environment__goes_over_the_code),
        TEST(plan__strict__is_the_server),
        TEST(plan__what_a_pool_refuses__is_refused_with_the_same_words),
        TEST(machine__of_one_processor__says_so),
        TEST(config__printed__goes_to_the_file_or_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
