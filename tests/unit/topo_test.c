/* Placement, on machines that do not exist and on this one. */
#include "topo/topo.h"

#include "base/config.h"
#include "support/plain.h"

#include <crew/pool.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HYBRID CREW_SOURCE_DIR "/tests/unit/data/hybrid.xml"
#define BIG "pack:2 numa:4 core:8 pu:2" /* 2 sockets x 4 nodes x 8 cores x 2 */

enum { COMPACT = CW_ORDER_COMPACT, SCATTER = CW_ORDER_SCATTER };

static cw_topo *machine(const char *description) {
    crew_error err;
    size_t n = strlen(description);
    cw_topo *t = n > 4 && strcmp(description + n - 4, ".xml") == 0
                     ? cw_topo_xml(description, &err)
                     : cw_topo_synthetic(description, &err);
    if (!t)
        fail_msg("%s", err.text);
    return t;
}

/* "0-3,8" */
static cw_cpuset cpus(const char *list) {
    cw_cpuset set = {0};
    while (*list) {
        char *end;
        long first = strtol(list, &end, 10), last = first;
        if (*end == '-')
            last = strtol(end + 1, &end, 10);
        for (long cpu = first; cpu <= last; cpu++)
            cw_cpuset_add(&set, (int)cpu);
        list = *end ? end + 1 : end;
    }
    return set;
}

/* A request on a machine, and its answer: "0-1/1 2-3/1", the processors and the
 * cores of each worker, "-" for not bound. */
struct placement {
    const char *machine, *mask; /* mask NULL: all */
    int workers, threads, bind, order, quota;
    const char *want;
};

static void expect(struct placement p) {
    cw_topo *t = machine(p.machine);
    cw_cpuset mask = cpus(p.mask ? p.mask : "");
    struct cw_place_request request = {.workers = p.workers,
                                       .threads_per_worker = p.threads,
                                       .bind = p.bind,
                                       .order = p.order,
                                       .quota = p.quota,
                                       .mask = p.mask ? &mask : NULL};
    struct cw_place *places = calloc((size_t)p.workers, sizeof *places);
    assert_non_null(places);
    crew_error err;
    if (cw_place_workers(t, &request, places, &err) != 0)
        fail_msg("%s", err.text);
    char text[4096] = "";
    for (int i = 0; i < p.workers; i++) {
        char set[128];
        cw_cpuset_print(&places[i].cpus, set, sizeof set);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s/%d", i ? " " : "",
                 *set ? set : "-", places[i].cores);
    }
    assert_string_equal(text, p.want);
    free(places);
    cw_topo_free(t);
}

/* ---- sets ---------------------------------------------------------------- */

static void cpuset__printed__is_ranges_and_cut_at_whole_ones(void **state) {
    (void)state;
    char buf[64];
    cw_cpuset set = cpus("0-3,8,10-11,4094-4095");
    assert_int_equal(cw_cpuset_count(&set), 9);
    cw_cpuset_print(&set, buf, sizeof buf);
    assert_string_equal(buf, "0-3,8,10-11,4094-4095");
    cw_cpuset_print(&set, buf, 22);
    assert_string_equal(buf, "0-3,8,10-11,4094-4095");
    cw_cpuset_print(&set, buf, 21);
    assert_string_equal(buf, "0-3,8,10-11...");
    cw_cpuset_print(&set, buf, 8);
    assert_string_equal(buf, "0-3,8..");
    cw_cpuset_print(&set, buf, 1);
    assert_string_equal(buf, "");
    cw_cpuset none = {0};
    cw_cpuset_print(&none, buf, sizeof buf);
    assert_string_equal(buf, "");
}

static void cpuset__numbers_out_of_range__are_not_in_it(void **state) {
    (void)state;
    cw_cpuset set;
    memset(&set, 0xff, sizeof set);
    assert_true(cw_cpuset_has(&set, CW_MAX_CPUS - 1));
    assert_false(cw_cpuset_has(&set, CW_MAX_CPUS));
    assert_false(cw_cpuset_has(&set, -1));
    assert_int_equal(cw_cpuset_count(&set), CW_MAX_CPUS);
}

/* ---- cores --------------------------------------------------------------- */

static void core__threads_not_given__cores_are_divided(void **state) {
    (void)state;
    expect((struct placement){.machine = "pack:2 core:4 pu:2",
                              .workers = 4,
                              .bind = CREW_BIND_CORE,
                              .want = "0-3/2 4-7/2 8-11/2 12-15/2"});
    expect((struct placement){.machine = "pack:2 core:4 pu:2",
                              .workers = 3,
                              .bind = CREW_BIND_CORE,
                              .want = "0-5/3 6-11/3 12-15/2"});
    expect((struct placement){
        .machine = "pack:2 core:4 pu:2", .workers = 1, .bind = CREW_BIND_CORE, .want = "0-15/8"});
    expect((struct placement){
        .machine = BIG, .workers = 2, .bind = CREW_BIND_CORE, .want = "0-63/32 64-127/32"});
}

static void core__one_thread_each__is_one_core_with_all_its_processors(void **state) {
    (void)state;
    expect((struct placement){.machine = BIG,
                              .workers = 3,
                              .threads = 1,
                              .bind = CREW_BIND_CORE,
                              .want = "0-1/1 2-3/1 4-5/1"});
    /* The numbering of most real machines: a core's second processor is n later. */
    expect((struct placement){.machine = "pack:2 core:2 pu:2(indexes=2*4:4*1)",
                              .workers = 4,
                              .threads = 1,
                              .bind = CREW_BIND_CORE,
                              .want = "0,4/1 1,5/1 2,6/1 3,7/1"});
}

static void core__scatter__goes_over_sockets_then_nodes_then_caches(void **state) {
    (void)state;
    expect((struct placement){.machine = BIG,
                              .workers = 10,
                              .threads = 1,
                              .bind = CREW_BIND_CORE,
                              .order = SCATTER,
                              .want = "0-1/1 64-65/1 16-17/1 80-81/1 32-33/1 96-97/1 48-49/1 "
                                      "112-113/1 2-3/1 66-67/1"});
    expect((struct placement){.machine = "pack:2 numa:2 l3:2 core:2 pu:1",
                              .workers = 16,
                              .threads = 1,
                              .bind = CREW_BIND_CORE,
                              .order = SCATTER,
                              .want = "0/1 8/1 4/1 12/1 2/1 10/1 6/1 14/1 "
                                      "1/1 9/1 5/1 13/1 3/1 11/1 7/1 15/1"});
}

static void core__several_threads__are_neighbours_that_share_what_they_can(void **state) {
    (void)state;
    expect((struct placement){.machine = "pack:2 core:4 pu:2",
                              .workers = 2,
                              .threads = 2,
                              .bind = CREW_BIND_CORE,
                              .want = "0-3/2 4-7/2"});
    expect((struct placement){.machine = "pack:2 core:4 pu:2",
                              .workers = 2,
                              .threads = 2,
                              .bind = CREW_BIND_CORE,
                              .order = SCATTER,
                              .want = "0-3/2 8-11/2"});
    /* No group crosses the socket's border while two fit without. */
    expect((struct placement){.machine = "pack:2 core:4 pu:1",
                              .workers = 2,
                              .threads = 3,
                              .bind = CREW_BIND_CORE,
                              .want = "0-2/3 4-6/3"});
    /* A fifth of 5 x 3 = 15 of 16 cores needs to. */
    expect((struct placement){.machine = "pack:2 core:8 pu:1",
                              .workers = 5,
                              .threads = 3,
                              .bind = CREW_BIND_CORE,
                              .want = "0-2/3 3-5/3 6-8/3 9-11/3 12-14/3"});
    expect((struct placement){.machine = "pack:2 core:2 pu:1",
                              .workers = 2,
                              .threads = 9,
                              .bind = CREW_BIND_CORE,
                              .want = "0-3/2 0-3/2"});
}

static void core__more_workers_than_cores__they_go_round(void **state) {
    (void)state;
    expect((struct placement){.machine = "core:2 pu:2",
                              .workers = 5,
                              .bind = CREW_BIND_CORE,
                              .want = "0-1/1 2-3/1 0-1/1 2-3/1 0-1/1"});
    expect((struct placement){.machine = "core:4 pu:1",
                              .workers = 3,
                              .threads = 2,
                              .bind = CREW_BIND_CORE,
                              .want = "0-1/1 2-3/2 0-1/1"});
    expect((struct placement){
        .machine = "core:1 pu:1", .workers = 3, .bind = CREW_BIND_CORE, .want = "0/1 0/1 0/1"});
}

/* ---- processors ---------------------------------------------------------- */

static void pu__one_each__compact_fills_a_core_and_scatter_does_not(void **state) {
    (void)state;
    expect((struct placement){.machine = "pack:2 core:2 pu:2",
                              .workers = 3,
                              .bind = CREW_BIND_PU,
                              .want = "0/1 1/1 2/1"});
    expect((struct placement){.machine = "pack:2 core:2 pu:2",
                              .workers = 9,
                              .bind = CREW_BIND_PU,
                              .order = SCATTER,
                              .want = "0/1 4/1 2/1 6/1 1/1 5/1 3/1 7/1 0/1"});
}

static void pu__several_threads__are_neighbours(void **state) {
    (void)state;
    expect((struct placement){.machine = "core:4 pu:2",
                              .workers = 2,
                              .threads = 2,
                              .bind = CREW_BIND_PU,
                              .want = "0-1/1 2-3/1"});
    expect((struct placement){.machine = "core:4 pu:2",
                              .workers = 2,
                              .threads = 3,
                              .bind = CREW_BIND_PU,
                              .want = "0-2/2 3-5/2"});
    expect((struct placement){.machine = "core:1 pu:2",
                              .workers = 2,
                              .threads = 3,
                              .bind = CREW_BIND_PU,
                              .want = "0-1/1 0-1/1"});
}

/* ---- objects ------------------------------------------------------------- */

static void object__of_each_kind__is_given_whole(void **state) {
    (void)state;
    const char *m = "pack:2 numa:2 l3:2 core:2 pu:1";
    expect((struct placement){
        .machine = m, .workers = 2, .bind = CREW_BIND_L3, .want = "0-1/2 2-3/2"});
    expect((struct placement){.machine = m,
                              .workers = 3,
                              .bind = CREW_BIND_L3,
                              .order = SCATTER,
                              .want = "0-1/2 8-9/2 4-5/2"});
    expect((struct placement){.machine = m,
                              .workers = 5,
                              .bind = CREW_BIND_NUMA,
                              .want = "0-3/2 4-7/4 8-11/4 12-15/4 0-3/2"});
    expect((struct placement){.machine = m,
                              .workers = 4,
                              .bind = CREW_BIND_NUMA,
                              .order = SCATTER,
                              .want = "0-3/4 8-11/4 4-7/4 12-15/4"});
    expect((struct placement){
        .machine = m, .workers = 3, .bind = CREW_BIND_SOCKET, .want = "0-7/4 8-15/8 0-7/4"});
}

static void object__of_a_kind_the_machine_lacks__is_the_next_enclosing(void **state) {
    (void)state;
    /* no L3: the node; no node of its own: the socket; no socket: the machine */
    expect((struct placement){.machine = "pack:2 numa:2 core:2 pu:1",
                              .workers = 2,
                              .bind = CREW_BIND_L3,
                              .want = "0-1/2 2-3/2"});
    expect((struct placement){.machine = "pack:2 core:2 pu:1",
                              .workers = 2,
                              .bind = CREW_BIND_L3,
                              .want = "0-1/2 2-3/2"});
    expect((struct placement){
        .machine = "core:4 pu:1", .workers = 2, .bind = CREW_BIND_SOCKET, .want = "0-3/2 0-3/2"});
    expect((struct placement){
        .machine = "core:4 pu:1", .workers = 1, .bind = CREW_BIND_NUMA, .want = "0-3/4"});
    /* one node that encloses both sockets */
    expect((struct placement){.machine = "numa:1 pack:2 core:2 pu:1",
                              .workers = 2,
                              .bind = CREW_BIND_NUMA,
                              .want = "0-3/2 0-3/2"});
    expect((struct placement){.machine = "numa:1 pack:2 core:2 pu:1",
                              .workers = 2,
                              .bind = CREW_BIND_L3,
                              .want = "0-1/2 2-3/2"});
    /* no cores either: processors stand for them */
    expect((struct placement){
        .machine = "pu:3", .workers = 3, .bind = CREW_BIND_CORE, .want = "0/1 1/1 2/1"});
}

/* ---- masks --------------------------------------------------------------- */

static void mask__with_holes__is_never_widened(void **state) {
    (void)state;
    const char *m = "pack:2 l3:2 core:2 pu:2"; /* 16 processors, 8 cores */
    expect((struct placement){.machine = m,
                              .mask = "1,4-5,7,12",
                              .workers = 4,
                              .threads = 1,
                              .bind = CREW_BIND_CORE,
                              .want = "1/1 4-5/1 7/1 12/1"});
    expect((struct placement){.machine = m,
                              .mask = "1,4-5,7,12",
                              .workers = 3,
                              .bind = CREW_BIND_L3,
                              .want = "1/1 4-5,7/2 12/1"});
    expect((struct placement){.machine = m,
                              .mask = "1,4-5,7,12",
                              .workers = 2,
                              .bind = CREW_BIND_SOCKET,
                              .want = "1,4-5,7/3 12/1"});
    expect((struct placement){.machine = m,
                              .mask = "1,4-5,7,12",
                              .workers = 3,
                              .bind = CREW_BIND_PU,
                              .want = "1/1 4/1 5/1"});
    expect((struct placement){.machine = m,
                              .mask = "3,9",
                              .workers = 3,
                              .bind = CREW_BIND_SOCKET,
                              .want = "3/1 9/1 3/1"});
    /* processors the machine does not have count for nothing */
    expect((struct placement){
        .machine = m, .mask = "15-4095", .workers = 1, .bind = CREW_BIND_CORE, .want = "15/1"});
}

static void mask__without_a_processor_of_the_machine__cannot_bind(void **state) {
    (void)state;
    cw_topo *t = machine("core:2 pu:1");
    cw_cpuset mask = cpus("2-9");
    struct cw_place place;
    crew_error err;
    struct cw_place_request request = {.workers = 1, .bind = CREW_BIND_NUMA, .mask = &mask};
    assert_int_equal(cw_place_workers(t, &request, &place, &err), CREW_EINVAL);
    assert_non_null(strstr(err.text, "bind=numa"));
    request.bind = CREW_BIND_AUTO;
    assert_int_equal(cw_place_workers(t, &request, &place, &err), 0);
    assert_int_equal(cw_cpuset_count(&place.cpus), 0);
    assert_int_equal(place.cores, 1);
    cw_topo_free(t);
}

/* ---- auto, none, quotas --------------------------------------------------- */

static void auto__enough_cores__binds_to_cores_else_not_at_all(void **state) {
    (void)state;
    expect((struct placement){.machine = "core:4 pu:2",
                              .workers = 4,
                              .want = "0-1/1 2-3/1 4-5/1 "
                                      "6-7/1"});
    expect(
        (struct placement){.machine = "core:4 pu:2", .workers = 5, .want = "-/1 -/1 -/1 -/1 -/1"});
    expect((struct placement){
        .machine = "core:4 pu:2", .mask = "0-3", .workers = 3, .want = "-/1 -/1 -/1"});
    expect((struct placement){
        .machine = "core:4 pu:2", .workers = 2, .threads = 2, .want = "0-3/2 4-7/2"});
    expect((struct placement){
        .machine = "core:4 pu:2", .workers = 2, .threads = 3, .want = "-/2 -/2"});
}

static void none__cores__are_each_ones_share(void **state) {
    (void)state;
    expect((struct placement){
        .machine = "core:8 pu:2", .workers = 3, .bind = CREW_BIND_NONE, .want = "-/3 -/3 -/2"});
    expect((struct placement){.machine = "core:8 pu:2",
                              .mask = "0-3",
                              .workers = 1,
                              .bind = CREW_BIND_NONE,
                              .want = "-/2"});
}

static void quota__smaller_than_the_machine__limits_cores_not_processors(void **state) {
    (void)state;
    expect((struct placement){.machine = "core:8 pu:1",
                              .workers = 2,
                              .bind = CREW_BIND_CORE,
                              .quota = 3,
                              .want = "0-3/2 4-7/1"});
    expect((struct placement){
        .machine = "core:8 pu:1", .workers = 2, .quota = 1, .want = "0-3/1 4-7/1"});
    expect((struct placement){
        .machine = "core:8 pu:1", .workers = 2, .quota = 64, .want = "0-3/4 4-7/4"});
    expect((struct placement){.machine = "core:8 pu:1",
                              .workers = 2,
                              .bind = CREW_BIND_NONE,
                              .quota = 4,
                              .want = "-/2 -/2"});
}

static void auto__quota_and_threads_given__does_not_crowd_the_first_cores(void **state) {
    (void)state;
    expect((struct placement){
        .machine = "core:8 pu:1", .workers = 2, .threads = 1, .quota = 2, .want = "-/1 -/1"});
    expect((struct placement){
        .machine = "core:2 pu:1", .workers = 2, .threads = 1, .quota = 2, .want = "0/1 1/1"});
    expect((struct placement){.machine = "core:8 pu:1",
                              .workers = 2,
                              .threads = 1,
                              .bind = CREW_BIND_CORE,
                              .quota = 2,
                              .want = "0/1 1/1"});
}

/* ---- hybrid machines: slow cores 0-3, fast ones 4-5 and 6-7 ---------------- */

static void hybrid__a_core_each__fast_ones_first(void **state) {
    (void)state;
    expect((struct placement){.machine = HYBRID,
                              .workers = 6,
                              .threads = 1,
                              .bind = CREW_BIND_CORE,
                              .want = "4-5/1 6-7/1 0/1 1/1 2/1 3/1"});
    expect((struct placement){.machine = HYBRID,
                              .workers = 6,
                              .threads = 1,
                              .order = SCATTER,
                              .want = "4-5/1 6-7/1 0/1 1/1 2/1 3/1"});
    expect((struct placement){.machine = HYBRID,
                              .workers = 6,
                              .want = "4-5/1 6-7/1 0/1 1/1 2/1 "
                                      "3/1"});
    expect((struct placement){
        .machine = HYBRID, .workers = 2, .bind = CREW_BIND_CORE, .want = "0,4-7/3 1-3/3"});
}

static void hybrid__processors_groups_and_objects__take_the_fast_ones_first(void **state) {
    (void)state;
    expect((struct placement){.machine = HYBRID,
                              .workers = 8,
                              .bind = CREW_BIND_PU,
                              .want = "4/1 5/1 6/1 7/1 0/1 1/1 2/1 3/1"});
    expect((struct placement){.machine = HYBRID,
                              .workers = 8,
                              .bind = CREW_BIND_PU,
                              .order = SCATTER,
                              .want = "4/1 6/1 5/1 7/1 0/1 1/1 2/1 3/1"});
    expect((struct placement){.machine = HYBRID,
                              .mask = "0-6",
                              .workers = 2,
                              .threads = 2,
                              .bind = CREW_BIND_CORE,
                              .want = "4-6/2 0-1/2"});
    expect((struct placement){
        .machine = HYBRID, .workers = 1, .threads = 3, .bind = CREW_BIND_CORE, .want = "0-2/3"});
    expect(
        (struct placement){.machine = HYBRID, .workers = 1, .bind = CREW_BIND_L3, .want = "0-7/6"});
}

/* ---- requests that make no sense ------------------------------------------ */

static void request__senseless__is_refused(void **state) {
    (void)state;
    cw_topo *t = machine("core:2 pu:1");
    struct cw_place place = {.cores = 4711};
    static const struct cw_place_request requests[] = {
        {.workers = 0},
        {.workers = -1},
        {.workers = 1, .threads_per_worker = -1},
        {.workers = 1, .bind = CREW_BIND_SOCKET + 1},
        {.workers = 1, .bind = -1},
        {.workers = 1, .order = 2},
        {.workers = 1, .quota = -1},
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        crew_error err = {0};
        assert_int_equal(cw_place_workers(t, &requests[i], &place, &err), CREW_EINVAL);
        assert_int_equal(err.code, CREW_EINVAL);
        assert_true(err.text[0] != '\0');
        assert_int_equal(place.cores, 4711);
    }
    cw_topo_free(t);
}

static void machine__that_cannot_be_read__is_an_error_with_its_name(void **state) {
    (void)state;
    crew_error err;
    assert_null(cw_topo_synthetic("pack:2 nonsense:3", &err));
    assert_int_equal(err.code, CREW_EINVAL);
    assert_non_null(strstr(err.text, "nonsense:3"));
    assert_null(cw_topo_xml("/nonexistent/machine.xml", &err));
    assert_int_equal(err.code, CREW_EINVAL);
    assert_non_null(strstr(err.text, "/nonexistent/machine.xml"));
    cw_topo_free(NULL);
}

static void machine__described__in_one_line(void **state) {
    (void)state;
    static const struct {
        const char *machine, *want;
    } cases[] = {
        {BIG, "2 sockets, 8 NUMA nodes, 64 cores, 128 PUs"},
        {"core:1 pu:1", "1 socket, 1 NUMA node, 1 core, 1 PU"},
        {HYBRID, "1 socket, 1 NUMA node, 6 cores, 8 PUs"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128];
        cw_topo *t = machine(cases[i].machine);
        cw_topo_describe(t, text, sizeof text);
        assert_string_equal(text, cases[i].want);
        cw_topo_free(t);
    }
    cw_topo *t = machine(HYBRID);
    cw_cpuset mask = cpus("3-5,7");
    assert_int_equal(cw_topo_cores(t, NULL), 6);
    assert_int_equal(cw_topo_cores(t, &mask), 3);
    cw_topo_free(t);
}

/* ---- what holds for every request ----------------------------------------- */

static uint64_t random_state;

static int below(int n) {
    return (int)(draw(&random_state) % (uint64_t)n);
}

static bool subset(const cw_cpuset *a, const cw_cpuset *b) {
    for (size_t i = 0; i < sizeof a->bits / sizeof a->bits[0]; i++)
        if (a->bits[i] & ~b->bits[i])
            return false;
    return true;
}

static int by_bytes(const void *a, const void *b) {
    return memcmp(a, b, sizeof(struct cw_place));
}

static void check_rules(cw_topo *t, const struct cw_place_request *r, struct cw_place *places) {
    int cores = cw_topo_cores(t, r->mask), sum = 0, bound = 0;
    cw_cpuset all = {0};
    for (int i = 0; i < r->workers; i++) {
        assert_true(places[i].cores >= 1);
        assert_true(subset(&places[i].cpus, r->mask));
        sum += places[i].cores;
        bound += cw_cpuset_count(&places[i].cpus);
        for (size_t j = 0; j < sizeof all.bits / sizeof all.bits[0]; j++)
            all.bits[j] |= places[i].cpus.bits[j];
    }
    /* Together no more than there are, but for those that got the least, one. Objects
     * differ in size: where a small one is full, a large one may have cores left. */
    if (r->bind <= CREW_BIND_CORE)
        assert_true(sum <= (cores > r->workers ? cores : r->workers));
    else if (r->bind != CREW_BIND_PU)
        assert_true(sum <= cores + r->workers);
    if (r->bind == CREW_BIND_NONE || r->bind == CREW_BIND_AUTO)
        return;
    for (int i = 0; i < r->workers; i++)
        assert_true(cw_cpuset_count(&places[i].cpus) > 0);
    if (r->bind == CREW_BIND_CORE && r->threads_per_worker == 0 && r->workers <= cores) {
        /* A partition: every processor of the mask once, every core once. */
        assert_int_equal(bound, cw_cpuset_count(r->mask));
        assert_int_equal(cw_cpuset_count(&all), bound);
        assert_int_equal(sum, cores);
    }
    if (r->bind == CREW_BIND_CORE && r->threads_per_worker > 0 &&
        r->workers * r->threads_per_worker <= cores) {
        assert_int_equal(cw_cpuset_count(&all), bound); /* no overlap */
        for (int i = 0; i < r->workers; i++)
            assert_int_equal(cw_topo_cores(t, &places[i].cpus), r->threads_per_worker);
    }
}

static void place__random_machines_masks_and_requests__keep_the_rules(void **state) {
    (void)state;
    static const char *const machines[] = {BIG,
                                           "pack:2 numa:2 l3:2 core:3 pu:2",
                                           "core:5 pu:4",
                                           "pu:7",
                                           "pack:3 core:5 pu:1",
                                           HYBRID,
                                           "pack:2 l3:2 core:2 pu:2(indexes=2*8:8*1)"};
    enum { MACHINES = sizeof machines / sizeof machines[0], WORKERS = 150 };
    random_state = plain_seed();
    static struct cw_place places[WORKERS], scattered[WORKERS];
    for (int m = 0; m < MACHINES; m++) {
        cw_topo *t = machine(machines[m]);
        for (int round = 0; round < 400; round++) {
            cw_cpuset mask = {0};
            int density = 1 + below(10);
            for (int cpu = 0; cpu < 128; cpu++)
                if (below(10) < density)
                    cw_cpuset_add(&mask, cpu);
            cw_cpuset_add(&mask, below(4)); /* never empty on any of these */
            cw_cpuset own = {0};
            for (int cpu = 0; cpu < 128; cpu++) {
                cw_cpuset one = {0};
                cw_cpuset_add(&one, cpu);
                if (cw_cpuset_has(&mask, cpu) && cw_topo_cores(t, &one) == 1)
                    cw_cpuset_add(&own, cpu);
            }
            struct cw_place_request r = {.workers = 1 + below(WORKERS),
                                         .threads_per_worker = below(2) ? 0 : below(9),
                                         .bind = below(CREW_BIND_SOCKET + 1),
                                         .mask = &own};
            if (below(2))
                r.workers = 1 + below(8);
            memset(places, 0, sizeof places);
            memset(scattered, 0, sizeof scattered);
            assert_int_equal(cw_place_workers(t, &r, places, NULL), 0);
            check_rules(t, &r, places);
            r.order = CW_ORDER_SCATTER;
            assert_int_equal(cw_place_workers(t, &r, scattered, NULL), 0);
            check_rules(t, &r, scattered);
            if (r.bind == CREW_BIND_CORE && r.threads_per_worker == 0) {
                /* The same shares, to other workers. */
                size_t n = (size_t)r.workers;
                if (r.workers <= cw_topo_cores(t, &own)) {
                    qsort(places, n, sizeof *places, by_bytes);
                    qsort(scattered, n, sizeof *scattered, by_bytes);
                    assert_memory_equal(places, scattered, n * sizeof *places);
                }
            }
        }
        cw_topo_free(t);
    }
}

/* ---- this machine --------------------------------------------------------- */

static void *bind_this_thread(void *arg) {
    const cw_cpuset *want = arg;
    cw_cpuset have;
    if (cw_affinity_set(want) != 0 || cw_affinity_get(&have) != 0)
        return NULL;
    return memcmp(want, &have, sizeof have) == 0 ? arg : NULL;
}

static void this_machine__places_of_its_mask__can_be_bound_to(void **state) {
    (void)state;
    crew_error err;
    cw_topo *t = cw_topo_load(&err);
    if (!t)
        fail_msg("%s", err.text);
    cw_cpuset mask, after;
    assert_int_equal(cw_affinity_get(&mask), 0);
    assert_true(cw_topo_cores(t, &mask) >= 1);
    static const int kinds[] = {CREW_BIND_CORE, CREW_BIND_PU, CREW_BIND_L3, CREW_BIND_NUMA,
                                CREW_BIND_SOCKET};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct cw_place places[3];
        struct cw_place_request request = {.workers = 3, .bind = kinds[i], .mask = &mask};
        assert_int_equal(cw_place_workers(t, &request, places, NULL), 0);
        for (int worker = 0; worker < 3; worker++) {
            pthread_t thread;
            void *result;
            assert_int_equal(pthread_create(&thread, NULL, bind_this_thread, &places[worker].cpus),
                             0);
            assert_int_equal(pthread_join(thread, &result), 0);
            assert_non_null(result);
        }
    }
    assert_int_equal(cw_affinity_get(&after), 0); /* of this thread: as it was */
    assert_memory_equal(&mask, &after, sizeof mask);
    cw_topo_free(t);
}

/* ---- docs/PLACEMENT.md ----------------------------------------------------- */

static const struct placement examples[] = {
    {.machine = "pack:2 core:4 pu:2", .workers = 8, .bind = CREW_BIND_AUTO},
    {.machine = "pack:2 core:4 pu:2", .workers = 3, .bind = CREW_BIND_CORE},
    {.machine = "pack:2 core:4 pu:2",
     .workers = 3,
     .threads = 1,
     .bind = CREW_BIND_CORE,
     .order = SCATTER},
    {.machine = "pack:2 core:4 pu:2", .workers = 2, .threads = 3, .bind = CREW_BIND_CORE},
    {.machine = "pack:2 core:4 pu:2", .workers = 3, .bind = CREW_BIND_PU},
    {.machine = "pack:2 core:4 pu:2", .workers = 3, .bind = CREW_BIND_SOCKET},
    {.machine = "pack:2 core:4 pu:2", .workers = 16, .bind = CREW_BIND_AUTO},
    {.machine = "pack:2 core:4 pu:2", .mask = "1-2,8-11", .workers = 2, .bind = CREW_BIND_SOCKET},
    {.machine = HYBRID, .workers = 3, .threads = 1, .bind = CREW_BIND_CORE},
};

/* An example as the page shows it. */
static void render(const struct placement *e, char *text, size_t cap) {
    cw_topo *t = machine(e->machine);
    cw_cpuset mask = cpus(e->mask ? e->mask : "");
    struct cw_place places[16];
    struct cw_place_request request = {.workers = e->workers,
                                       .threads_per_worker = e->threads,
                                       .bind = e->bind,
                                       .order = e->order,
                                       .mask = e->mask ? &mask : NULL};
    assert_int_equal(cw_place_workers(t, &request, places, NULL), 0);
    FILE *out = fmemopen(text, cap, "w");
    assert_non_null(out);
    const char *name = strrchr(e->machine, '/');
    fprintf(out, "machine %s%s%s\n", name ? name + 1 : e->machine, e->mask ? ", mask " : "",
            e->mask ? e->mask : "");
    fprintf(out, "CREW_WORKERS=%d CREW_BIND=%s", e->workers, cw_bind_word(e->bind));
    if (e->threads)
        fprintf(out, " CREW_THREADS_PER_WORKER=%d", e->threads);
    fprintf(out, "%s\n", e->order == SCATTER ? " CREW_ORDER=scatter" : "");
    for (int i = 0; i < e->workers;) {
        char set[128];
        cw_cpuset_print(&places[i].cpus, set, sizeof set);
        int last = i; /* workers that are not bound share a line */
        while (!*set && last + 1 < e->workers && places[last + 1].cores == places[i].cores)
            last++;
        fprintf(out, last > i ? "worker %d-%d" : "worker %d", i, last);
        fprintf(out, *set ? ": processors %s" : ": not bound%s", set);
        fprintf(out, " (%d core%s)\n", places[i].cores, places[i].cores == 1 ? "" : "s");
        i = last + 1;
    }
    fputs("```\n", out);
    assert_int_equal(fclose(out), 0);
    cw_topo_free(t);
}

static void docs__placement_page__shows_what_happens(void **state) {
    (void)state;
    FILE *file = fopen(CREW_SOURCE_DIR "/docs/PLACEMENT.md", "r");
    assert_non_null(file);
    char *page = NULL;
    size_t cap = 0;
    assert_true(getdelim(&page, &cap, '\0', file) > 0);
    fclose(file);
    size_t count = sizeof examples / sizeof examples[0], blocks = 0;
    for (size_t i = 0; i < count; i++) {
        char text[1024];
        render(&examples[i], text, sizeof text);
        if (!strstr(page, text))
            fail_msg("docs/PLACEMENT.md lacks the example\n%s", text);
    }
    /* and none that nobody checks */
    for (const char *at = page; (at = strstr(at, "```text\n")); at++)
        blocks++;
    assert_int_equal(blocks, count);
    free(page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpuset__printed__is_ranges_and_cut_at_whole_ones),
        cmocka_unit_test(cpuset__numbers_out_of_range__are_not_in_it),
        cmocka_unit_test(core__threads_not_given__cores_are_divided),
        cmocka_unit_test(core__one_thread_each__is_one_core_with_all_its_processors),
        cmocka_unit_test(core__scatter__goes_over_sockets_then_nodes_then_caches),
        cmocka_unit_test(core__several_threads__are_neighbours_that_share_what_they_can),
        cmocka_unit_test(core__more_workers_than_cores__they_go_round),
        cmocka_unit_test(pu__one_each__compact_fills_a_core_and_scatter_does_not),
        cmocka_unit_test(pu__several_threads__are_neighbours),
        cmocka_unit_test(object__of_each_kind__is_given_whole),
        cmocka_unit_test(object__of_a_kind_the_machine_lacks__is_the_next_enclosing),
        cmocka_unit_test(mask__with_holes__is_never_widened),
        cmocka_unit_test(mask__without_a_processor_of_the_machine__cannot_bind),
        cmocka_unit_test(auto__enough_cores__binds_to_cores_else_not_at_all),
        cmocka_unit_test(none__cores__are_each_ones_share),
        cmocka_unit_test(quota__smaller_than_the_machine__limits_cores_not_processors),
        cmocka_unit_test(auto__quota_and_threads_given__does_not_crowd_the_first_cores),
        cmocka_unit_test(hybrid__a_core_each__fast_ones_first),
        cmocka_unit_test(hybrid__processors_groups_and_objects__take_the_fast_ones_first),
        cmocka_unit_test(request__senseless__is_refused),
        cmocka_unit_test(machine__that_cannot_be_read__is_an_error_with_its_name),
        cmocka_unit_test(machine__described__in_one_line),
        cmocka_unit_test(place__random_machines_masks_and_requests__keep_the_rules),
        cmocka_unit_test(this_machine__places_of_its_mask__can_be_bound_to),
        cmocka_unit_test(docs__placement_page__shows_what_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
