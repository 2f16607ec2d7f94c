/* fault/ranks_serve_test.c - how followers come to serve, what they are refused for, what
 * they cost while nothing is to be done. */
#include "crewranks.h"
#include "crewtest.h"

#include "api/session.h"
#include "base/error.h"
#include "team/head.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- refusals ---- */

/* Cells in which a test tells its helper of the leader: itself. */
enum { CELL_CARD = 20 };

static void put_card(struct cw_berth_card card) {
    crewtest_set(CELL_CARD, card.pid);
    crewtest_set(CELL_CARD + 1, card.fd);
    crewtest_set(CELL_CARD + 2, (int64_t)card.device);
    crewtest_set(CELL_CARD + 3, (int64_t)card.inode);
    crewtest_set(CELL_CARD + 4, (int64_t)card.at);
}

static struct cw_berth_card get_card(void) {
    return (struct cw_berth_card){.pid = (int32_t)crewtest_get(CELL_CARD),
                                  .fd = (int32_t)crewtest_get(CELL_CARD + 1),
                                  .device = (uint64_t)crewtest_get(CELL_CARD + 2),
                                  .inode = (uint64_t)crewtest_get(CELL_CARD + 3),
                                  .at = (uint64_t)crewtest_get(CELL_CARD + 4)};
}

static int another_build(const cw_segment *segment, crew_error *err) {
    (void)segment;
    return cw_error_set(err, CREW_EMISMATCH, 0, "another build of crew");
}

static int cannot_adopt(int fd, cw_segment *segment, crew_error *err) {
    (void)segment;
    close(fd);
    return cw_error_set(err, CREW_ENOMEM, 0, "there is no room for it");
}

/* A follower that is refused says why, and leaves nothing behind. */
static int refused(int want, const char *part, struct cw_berth_post post) {
    crew_error err;
    int status = 0;
    post.leader = post.leader.pid ? post.leader : get_card();
    post.check = post.check ? post.check : cw_head_check;
    post.adopt = post.adopt ? post.adopt : cw_session_adopt;
    post.enter = cw_worker_enter;
    double from = crewtest_now();
    int rc = cw_berth_serve(&post, &status, &err);
    crewtest_check(rc == want && strstr(err.text, part), "%d %s", rc, err.text);
    crewtest_check(crewtest_now() - from < 2, "it took %g s", crewtest_now() - from);
    crewtest_check(crewtest_family(NULL, 0) == (int)crewtest_get(CELL_STARTED),
                   "%d processes", crewtest_family(NULL, 0));
    return crew_finalize();
}

static struct cw_berth_card changed(int field, int64_t value) {
    crewtest_set(CELL_CARD + field, value);
    return get_card();
}

static int helper(const char *name) {
    if (strcmp(name, "leader_gone") == 0)
        return refused(CREW_EBROKEN, "has ended",
                       (struct cw_berth_post){.mine = 1, .leader = changed(0, 0x3ffffff)});
    if (strcmp(name, "no_such_descriptor") == 0)
        return refused(CREW_ENOTSUP, "/proc/",
                       (struct cw_berth_post){.mine = 1, .leader = changed(1, 1000)});
    if (strcmp(name, "another_file") == 0)
        return refused(CREW_ENOTSUP, "same pids",
                       (struct cw_berth_post){.mine = 1, .leader = changed(3, 1)});
    if (strcmp(name, "no_quay") == 0)
        return refused(CREW_EMISMATCH, "no place",
                       (struct cw_berth_post){.mine = 1, .leader = changed(4, 0)});
    if (strcmp(name, "far_away") == 0)
        return refused(
            CREW_EMISMATCH, "can be none",
            (struct cw_berth_post){.mine = 1, .leader = changed(4, INT64_MAX / 64 * 64)});
    if (strcmp(name, "no_such_berth") == 0)
        return refused(CREW_EMISMATCH, "rank 7", (struct cw_berth_post){.mine = 7});
    if (strcmp(name, "another_build") == 0)
        return refused(CREW_EMISMATCH, "another build",
                       (struct cw_berth_post){.mine = 3, .check = another_build});
    return refused(CREW_ENOMEM, "no room",
                   (struct cw_berth_post){.mine = 1, .adopt = cannot_adopt});
}

/* The session's ranks serve on while others are turned away. */
static void follower__that_cannot_serve__says_why_and_leaves_nothing(void **state) {
    static const char *const reasons[] = {"leader_gone",   "no_such_descriptor", "another_file",
                                          "no_quay",       "far_away",           "no_such_berth",
                                          "another_build"};
    static const char *const alone[] = {"CREW_TEST_BACKEND=server", NULL};
    (void)state;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        print_message("%s\n", reasons[i]);
        put_card(crewranks_card());
        /* The helper does not count itself, but its parent. */
        crewtest_set(CELL_STARTED, crewtest_family(NULL, 0) + 1);
        int status = crewtest_helper_run(reasons[i], alone, 20, NULL);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    crew_pool *p = crewtest_open(6);
    assert_usable(p);
    crewtest_free(p);
}

/* One whose nursery cannot serve: the leader need not wait for it. */
static void follower__whose_nursery_cannot_serve__is_lost_to_the_leader(void **state) {
    static const char *const alone[] = {"CREW_TEST_BACKEND=server", NULL};
    crew_error err;
    struct cw_session *s = cw_session_get(&err);
    cw_cpuset mask = {.bits = {1}};
    cw_off at = cw_alloc_zero(&s->arena, cw_quay_bytes(2), NULL, &err);
    struct cw_berths *b = at ? cw_berths_make(&s->own, at, s->bell, 2, &mask, &err) : NULL;
    (void)state;
    assert_non_null(b);
    put_card(cw_berths_card(b));
    crewtest_set(CELL_STARTED, crewtest_family(NULL, 0) + 1);
    int status = crewtest_helper_run("no_room", alone, 20, NULL);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(cw_berths_await(b, 10, &err), CREW_EBROKEN);
    assert_text(err.text, "ended before");
    cw_berths_free(b);
    cw_free(&s->arena, at);
}

/* ---- little address space ---- */

/* A follower maps no more of the leader's segment than it needs, its nursery puts it in
 * place of the session's own: what was enough for one is enough. */
static int helper_limited(void) {
    const struct rlimit two = {2ull << 30, 2ull << 30};
    crew_error err;
    crewtest_check(crewranks_end(0, 5), "not all have left");
    crew_finalize();
    crewtest_check(setrlimit(RLIMIT_AS, &two) == 0, "setrlimit");
    crewtest_check(crew_init(NULL, NULL) == 0, "%s", crew_last_error()->text);
    crewranks_lead(2);
    crew_pool_opts opts = crewtest_opts(6);
    crew_pool *p = crew_pool_open(&opts, &err);
    crewtest_check(p, "%s", err.text);
    crew_pool_free(p);
    crewtest_check(crewranks_end(0, 5), "not all have left");
    return crew_finalize();
}

static void ranks__under_a_limit_of_address_space__serve(void **state) {
    (void)state;
#ifdef CREWTEST_SANITIZED
    (void)helper_limited;
    skip();
#else
    int status = crewtest_helper_run("limited", NULL, 20, NULL);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
#endif
}

/* ---- a leader without followers ---- */

/* Followers that never come, or end before. */
static void leader__that_waits_in_vain__is_told_which_has_not_come(void **state) {
    crew_error err;
    struct cw_session *s = cw_session_get(&err);
    cw_cpuset mask = {.bits = {1}};
    cw_off at = cw_alloc_zero(&s->arena, cw_quay_bytes(3), NULL, &err);
    (void)state;
    assert_true(at != 0);
    struct cw_berths *b = cw_berths_make(&s->own, at, s->bell, 3, &mask, &err);
    assert_non_null(b);
    cw_berths_expect(b, (int32_t[]){0, getpid(), getpid()});
    double from = crewtest_now();
    assert_int_equal(cw_berths_await(b, 0.2, &err), CREW_EBROKEN);
    assert_text(err.text, "rank 1 of this node");
    assert_within(from, 2);
    assert_int_equal(cw_berths_left(b), 3);
    assert_false(cw_berths_quit(b, 0, 0.1));
    cw_berths_free(b);
    memset(cw_ptr(&s->arena, at), 0, cw_quay_bytes(3));
    b = cw_berths_make(&s->own, at, s->bell, 3, &mask, &err);
    assert_non_null(b);
    cw_berths_expect(b, (int32_t[]){0, 0x3ffffff, 0x3ffffff}); /* no process has that */
    assert_int_equal(cw_berths_await(b, 10, &err), CREW_EBROKEN);
    assert_text(err.text, "ended before");
    assert_int_equal(cw_berths_left(b), 1);
    assert_true(cw_berths_quit(b, 0, 0.1));
    cw_berths_free(b);
    cw_free(&s->arena, at);
    assert_within(from, 5);
}

/* ---- idle ---- */

/* Processor time of a process so far, in ns. */
static int64_t used_ns(pid_t pid) {
    char path[64];
    int64_t ns = 0;
    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f && fscanf(f, "%" SCNd64, &ns) != 1)
        ns = 0;
    if (f)
        fclose(f);
    return ns;
}

static int64_t used_by_all(void) {
    pid_t family[64];
    int n = crewtest_family(family, 64);
    int64_t sum = 0;
    for (int i = 0; i < n && i < 64; i++)
        sum += used_ns(family[i]);
    return sum;
}

/* Three ranks, with and without a pool of idle workers. */
static void ranks__with_nothing_to_do__cost_nothing(void **state) {
    (void)state;
    for (int with_pool = 0; with_pool < 2; with_pool++) {
        crew_pool *p = with_pool ? crewtest_open(6) : NULL;
        if (p)
            assert_usable(p);
        int64_t before = used_by_all();
        double from = crewtest_now();
        while (crewtest_now() < from + 3)
            sleep(1); /* the time is what is measured */
        double part = (double)(used_by_all() - before) * 1e-9 / (crewtest_now() - from);
        print_message("%s a pool: %.4f of a core\n", with_pool ? "with" : "without", part);
        assert_true(before > 0 && part < 0.02);
        if (p)
            crewtest_free(p);
    }
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (argc > 1)
        return strcmp(argv[1], "limited") == 0 ? helper_limited() : helper(argv[1]);
    const struct CMUnitTest tests[] = {
        CREWTEST(follower__that_cannot_serve__says_why_and_leaves_nothing),
        CREWTEST(follower__whose_nursery_cannot_serve__is_lost_to_the_leader),
        CREWTEST(ranks__under_a_limit_of_address_space__serve),
        CREWTEST(leader__that_waits_in_vain__is_told_which_has_not_come),
        CREWTEST(ranks__with_nothing_to_do__cost_nothing),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
