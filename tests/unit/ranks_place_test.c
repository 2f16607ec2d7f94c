/* unit/ranks_place_test.c - whose cores are whose among the ranks of a machine, how many
 * workers each has, and how a number of them is spread: on machines that do not exist. */
#include "crewtest.h"

#include "topo/ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };

static cw_topo *machine(const char *description) {
    crew_error err;
    cw_topo *t = cw_topo_synthetic(description, &err);
    if (!t)
        fail_msg("%s", err.text);
    return t;
}

/* "0-3,8|4-7": a mask a rank; returns how many. */
static int masks_of(const char *text, cw_cpuset *masks) {
    int n = 0;
    memset(masks, 0, MOST * sizeof *masks);
    while (*text) {
        char *end;
        long first = strtol(text, &end, 10), last = first;
        if (*end == '-')
            last = strtol(end + 1, &end, 10);
        for (long cpu = first; cpu <= last; cpu++)
            cw_cpuset_add(&masks[n], (int)cpu);
        n += *end != ',';
        text = *end ? end + 1 : end;
    }
    return n;
}

static void print_to(char *text, size_t cap, const char *between, const cw_cpuset *cpus) {
    char set[128];
    cw_cpuset_print(cpus, set, sizeof set);
    snprintf(text + strlen(text), cap - strlen(text), "%s%s", between, *set ? set : "-");
}

/* ---- spread -------------------------------------------------------------- */

static void expect_spread(int whole, int n, const int *weights, const int *want) {
    int parts[MOST];
    memset(parts, 0x55, sizeof parts);
    cw_spread(whole, n, weights, parts);
    for (int i = 0; i < n; i++)
        if (parts[i] != want[i])
            fail_msg("%d over %d: part %d is %d, not %d", whole, n, i, parts[i], want[i]);
    assert_int_equal(parts[n], 0x55555555);
}

static void spread__over_equals__differs_by_one_at_most_the_first_have_more(void **state) {
    (void)state;
    expect_spread(7, 3, NULL, (int[]){3, 2, 2});
    expect_spread(6, 3, NULL, (int[]){2, 2, 2});
    expect_spread(2, 4, NULL, (int[]){1, 1, 0, 0});
    expect_spread(0, 2, NULL, (int[]){0, 0});
    expect_spread(5, 1, NULL, (int[]){5});
    expect_spread(5, 2, (int[]){0, 0}, (int[]){3, 2});
}

static void spread__over_nodes_by_their_ranks__is_even_over_both(void **state) {
    (void)state;
    expect_spread(10, 2, (int[]){4, 4}, (int[]){5, 5});
    expect_spread(2, 2, (int[]){4, 4}, (int[]){1, 1});
    expect_spread(3, 2, (int[]){4, 4}, (int[]){2, 1});
    expect_spread(12, 3, (int[]){2, 1, 1}, (int[]){6, 3, 3});
    expect_spread(4, 3, (int[]){8, 1, 1}, (int[]){3, 1, 0});
    expect_spread(5, 3, (int[]){1, 8, 1}, (int[]){1, 4, 0});
    expect_spread(4096, 3, (int[]){1000000, 1000000, 0}, (int[]){2048, 2048, 0});
}

static void spread__of_anything__adds_up_and_is_off_by_less_than_one(void **state) {
    uint64_t seed = (uint64_t)crewtest_env("CREW_TEST_SEED", 20261121);
    (void)state;
    print_message("CREW_TEST_SEED=%llu\n", (unsigned long long)seed);
    for (int round = 0; round < 20000; round++) {
        int n = 1 + (int)(crewtest_mix(seed + (uint64_t)round) % 40), weights[MOST], parts[MOST];
        int whole = (int)(crewtest_mix(seed ^ (uint64_t)round << 20) % 5000), all = 0;
        int64_t sum = 0;
        for (int i = 0; i < n; i++) {
            weights[i] = (int)(crewtest_mix(seed + (uint64_t)(round * 64 + i)) % 9);
            sum += weights[i];
        }
        cw_spread(whole, n, weights, parts);
        for (int i = 0; i < n; i++) {
            int64_t w = sum ? weights[i] : 1, of = sum ? sum : n;
            int64_t off = parts[i] * of - whole * w;
            all += parts[i];
            if (off <= -of || off >= of)
                fail_msg("round %d: part %d of %d is %d", round, i, whole, parts[i]);
        }
        assert_int_equal(all, whole);
    }
}

/* ---- shares -------------------------------------------------------------- */

static void expect_shares(const char *description, const char *masks, const char *want) {
    cw_topo *t = machine(description);
    cw_cpuset mask[MOST], share[MOST];
    char text[2048] = "";
    crew_error err;
    int n = masks_of(masks, mask);
    if (cw_rank_shares(t, mask, n, share, &err) != 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < n; i++)
        print_to(text, sizeof text, i ? "|" : "", &share[i]);
    if (strcmp(text, want) != 0)
        fail_msg("%s under %s: %s, not %s", description, masks, text, want);
    cw_topo_free(t);
}

static void shares__nobody_is_bound__are_neighbours_without_overlap(void **state) {
    (void)state;
    expect_shares("pack:2 core:4 pu:2", "0-15|0-15", "0-7|8-15");
    expect_shares("pack:2 core:4 pu:2", "0-15|0-15|0-15", "0-5|6-11|12-15");
    expect_shares("core:4 pu:1", "0-3|0-3|0-3|0-3", "0|1|2|3");
    expect_shares("core:4 pu:1", "0-3", "0-3");
    /* as most real machines number them */
    expect_shares("pack:2 core:2 pu:2(indexes=2*4:4*1)", "0-7|0-7", "0-1,4-5|2-3,6-7");
    /* under a mask of the job's */
    expect_shares("core:8 pu:1", "2-5|2-5", "2-3|4-5");
}

static void shares__bound_by_the_launcher__are_the_masks(void **state) {
    (void)state;
    expect_shares("core:4 pu:2", "0-1|2-3|4-5|6-7", "0-1|2-3|4-5|6-7");
    expect_shares("pack:2 core:4 pu:1", "4-7|0-3", "4-7|0-3");
    expect_shares("core:8 pu:1", "0|1-6", "0|1-6");
    /* to hardware threads: two ranks on one core */
    expect_shares("core:2 pu:2", "0|1|2|3", "0|1|2|3");
    /* a core that nobody has is nobody's */
    expect_shares("core:8 pu:1", "1|5", "1|5");
}

static void shares__groups_with_one_mask__share_that(void **state) {
    (void)state;
    expect_shares("pack:2 core:4 pu:1", "0-3|4-7|0-3|4-7", "0-1|4-5|2-3|6-7");
    expect_shares("pack:2 core:4 pu:1", "0-3|0-3|4-7", "0-1|2-3|4-7");
}

static void shares__masks_that_overlap_in_part__stay_inside_and_are_even(void **state) {
    (void)state;
    expect_shares("core:6 pu:1", "0-3|2-5", "0-2|3-5");
    expect_shares("core:4 pu:1", "0-3|0-1", "2-3|0-1");
    expect_shares("core:4 pu:1", "0-3|0", "1-3|0");
    expect_shares("core:4 pu:1", "0-3|1|2", "0,3|1|2");
    expect_shares("core:3 pu:1", "0-1|0|1-2", "1|0|2");
}

static void shares__more_ranks_than_cores__go_round(void **state) {
    (void)state;
    expect_shares("core:2 pu:2", "0-3|0-3|0-3|0-3|0-3", "0-1|2-3|0-1|2-3|0-1");
    expect_shares("core:2 pu:1", "0|0|1", "0|0|1");
    /* a mask that means no processor of this machine */
    expect_shares("core:2 pu:1", "0-1|7", "0-1|-");
}

/* ---- how many, and where -------------------------------------------------- */

struct node {
    const char *machine, *masks;
    int threads, bind, order, quota;
    const char *workers; /* "2 1": in, or as wanted */
    const char *want;    /* "0/1 1/1|2-3/2"; NULL: how many workers are asked for */
};

static void expect_node(struct node n) {
    cw_topo *t = machine(n.machine);
    cw_cpuset mask[MOST];
    int workers[MOST], sum = 0;
    char text[2048] = "";
    struct cw_place places[MOST];
    crew_error err;
    struct cw_ranks_request r = {.ranks = masks_of(n.masks, mask),
                                 .masks = mask,
                                 .threads_per_worker = n.threads,
                                 .bind = n.bind,
                                 .order = n.order,
                                 .quota = n.quota};
    const char *at = n.workers;
    for (int i = 0; n.want && i < r.ranks; i++, sum += workers[i - 1])
        workers[i] = (int)strtol(at, (char **)(uintptr_t)&at, 10);
    int rc = n.want ? cw_place_ranks(t, &r, workers, places, &err)
                    : cw_rank_workers(t, &r, workers, &err);
    if (rc != 0)
        fail_msg("%s", err.text);
    for (int i = 0, next = 0; i < r.ranks; i++) {
        for (int j = 0; n.want && j < workers[i]; j++, next++) {
            print_to(text, sizeof text, j ? " " : i ? "|" : "", &places[next].cpus);
            snprintf(text + strlen(text), sizeof text - strlen(text), "/%d", places[next].cores);
        }
        if (!n.want)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d", i ? " " : "",
                     workers[i]);
    }
    assert_string_equal(text, n.want ? n.want : n.workers);
    cw_topo_free(t);
}

static void workers__nobody_says_how_many__are_one_a_core_and_one_a_rank_at_least(void **state) {
    (void)state;
    expect_node((struct node){"core:8 pu:2", "0-15|0-15", 0, 0, 0, 0, "4 4", NULL});
    expect_node((struct node){"core:8 pu:2", "0-15|0-15|0-15", 0, 0, 0, 0, "3 3 2", NULL});
    expect_node((struct node){"core:8 pu:2", "0-1|2-7", 0, 0, 0, 0, "1 3", NULL});
    expect_node((struct node){"core:2 pu:1", "0-1|0-1|0-1", 0, 0, 0, 0, "1 1 1", NULL});
    expect_node((struct node){"core:8 pu:2", "0-15|0-15", 0, CREW_BIND_PU, 0, 0, "8 8", NULL});
    expect_node((struct node){"core:8 pu:2", "0-15|0-15", 2, 0, 0, 0, "2 2", NULL});
    expect_node((struct node){"core:8 pu:2", "0-15|0-15", 16, 0, 0, 0, "1 1", NULL});
    expect_node((struct node){"core:8 pu:2", "0-15|0-15", 0, 0, 0, 3, "2 1", NULL});
    expect_node((struct node){"core:8 pu:2", "0-15|0-15|0-15", 0, 0, 0, 1, "1 1 1", NULL});
    expect_node((struct node){"core:2 pu:1", "0-1|9", 0, 0, 0, 0, "2 1", NULL});
}

static void places__of_each_rank__are_in_its_share(void **state) {
    (void)state;
    expect_node((struct node){.machine = "core:4 pu:2",
                              .masks = "0-7|0-7",
                              .threads = 1,
                              .workers = "2 2",
                              .want = "0-1/1 2-3/1|4-5/1 6-7/1"});
    expect_node((struct node){.machine = "core:4 pu:2",
                              .masks = "0-7|0-7",
                              .workers = "1 2",
                              .want = "0-3/2|4-5/1 6-7/1"});
    expect_node((struct node){.machine = "core:4 pu:2",
                              .masks = "0-3|4-7",
                              .workers = "2 2",
                              .bind = CREW_BIND_PU,
                              .want = "0/1 1/1|4/1 5/1"});
    /* as many as there is no room for: not bound, inside what the launcher gave */
    expect_node((struct node){.machine = "core:4 pu:1",
                              .masks = "0-1|2-3",
                              .workers = "3 1",
                              .want = "-/1 -/1 -/1|2-3/2"});
    expect_node((struct node){.machine = "core:4 pu:1",
                              .masks = "0-3|0-3",
                              .workers = "0 2",
                              .want = "|2/1 3/1"});
}

static void places__bound_to_objects__are_whole_as_far_as_the_mask_goes(void **state) {
    (void)state;
    expect_node((struct node){.machine = "pack:2 core:4 pu:1",
                              .masks = "0-7|0-7|0-7|0-7",
                              .workers = "1 1 1 1",
                              .bind = CREW_BIND_SOCKET,
                              .want = "0-3/2|0-3/2|4-7/2|4-7/2"});
    expect_node((struct node){.machine = "pack:2 core:4 pu:1",
                              .masks = "0-1|2-5",
                              .workers = "1 2",
                              .bind = CREW_BIND_SOCKET,
                              .want = "0-1/2|2-3/2 4-5/2"});
}

static void places__quota__is_for_all_ranks_together(void **state) {
    (void)state;
    expect_node((struct node){.machine = "core:8 pu:1",
                              .masks = "0-7|0-7",
                              .workers = "1 1",
                              .bind = CREW_BIND_CORE,
                              .quota = 3,
                              .want = "0-3/2|4-7/1"});
}

static void requests__that_make_no_sense__are_refused(void **state) {
    cw_topo *t = machine("core:2 pu:1");
    struct cw_ranks_request r = {.ranks = 0};
    cw_cpuset mask[MOST];
    struct cw_place place;
    crew_error err;
    int workers = 1;
    (void)state;
    assert_int_equal(cw_rank_workers(t, &r, &workers, &err), CREW_EINVAL);
    assert_int_equal(cw_place_ranks(t, &r, &workers, &place, &err), CREW_EINVAL);
    r = (struct cw_ranks_request){.ranks = masks_of("0", mask), .masks = mask, .bind = 77};
    assert_int_equal(cw_place_ranks(t, &r, &workers, &place, &err), CREW_EINVAL);
    r = (struct cw_ranks_request){
        .ranks = masks_of("9", mask), .masks = mask, .bind = CREW_BIND_PU};
    assert_int_equal(cw_place_ranks(t, &r, &workers, &place, &err), CREW_EINVAL);
    assert_non_null(strstr(err.text, "bind=pu"));
    cw_topo_free(t);
}

/* What holds of any masks: inside, everybody something, no overlap while no rank has to
 * share, nothing of the masks unused. */
static void shares__of_any_masks__keep_the_rules(void **state) {
    uint64_t seed = (uint64_t)crewtest_env("CREW_TEST_SEED", 4);
    cw_topo *t = machine("pack:2 core:6 pu:2");
    (void)state;
    print_message("CREW_TEST_SEED=%llu\n", (unsigned long long)seed);
    for (int round = 0; round < 2000; round++) {
        cw_cpuset mask[8] = {{{0}}}, share[8];
        int users[24] = {0}, ranks = 1 + (int)(crewtest_mix(seed++) % 8);
        crew_error err;
        for (int i = 0; i < ranks; i++) {
            int first = (int)(crewtest_mix(seed++) % 24), n = 1 + (int)(crewtest_mix(seed++) % 24);
            for (int cpu = first; cpu < first + n && cpu < 24; cpu++)
                cw_cpuset_add(&mask[i], cpu);
        }
        assert_int_equal(cw_rank_shares(t, mask, ranks, share, &err), 0);
        bool doubled = false, alone = true;
        for (int i = 0; i < ranks; i++) {
            assert_true(cw_cpuset_count(&share[i]) > 0);
            for (int cpu = 0; cpu < CW_MAX_CPUS; cpu++) {
                assert_true(!cw_cpuset_has(&share[i], cpu) || cw_cpuset_has(&mask[i], cpu));
                if (cw_cpuset_has(&share[i], cpu))
                    doubled = ++users[cpu] > 1 || doubled;
            }
        }
        for (int cpu = 0; cpu < 24; cpu++) {
            bool wanted = false;
            for (int i = 0; i < ranks; i++)
                wanted = wanted || cw_cpuset_has(&mask[i], cpu);
            assert_int_equal(users[cpu] > 0, wanted);
        }
        /* Nobody shares while one who might give has more than one core. */
        for (int i = 0; doubled && i < ranks; i++)
            for (int j = 0; j < ranks; j++) {
                bool meets = false;
                for (int cpu = 0; cpu < 24; cpu++)
                    meets = meets || (i != j && cw_cpuset_has(&share[i], cpu) &&
                                      cw_cpuset_has(&share[j], cpu));
                alone = alone && (!meets || cw_topo_cores(t, &share[j]) == 1);
            }
        assert_true(alone);
    }
    cw_topo_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spread__over_equals__differs_by_one_at_most_the_first_have_more),
        cmocka_unit_test(spread__over_nodes_by_their_ranks__is_even_over_both),
        cmocka_unit_test(spread__of_anything__adds_up_and_is_off_by_less_than_one),
        cmocka_unit_test(shares__nobody_is_bound__are_neighbours_without_overlap),
        cmocka_unit_test(shares__bound_by_the_launcher__are_the_masks),
        cmocka_unit_test(shares__groups_with_one_mask__share_that),
        cmocka_unit_test(shares__masks_that_overlap_in_part__stay_inside_and_are_even),
        cmocka_unit_test(shares__more_ranks_than_cores__go_round),
        cmocka_unit_test(shares__of_any_masks__keep_the_rules),
        cmocka_unit_test(workers__nobody_says_how_many__are_one_a_core_and_one_a_rank_at_least),
        cmocka_unit_test(places__of_each_rank__are_in_its_share),
        cmocka_unit_test(places__bound_to_objects__are_whole_as_far_as_the_mask_goes),
        cmocka_unit_test(places__quota__is_for_all_ranks_together),
        cmocka_unit_test(requests__that_make_no_sense__are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
