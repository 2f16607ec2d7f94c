/* fault/ranks_death_test.c - a pool over three ranks of a node, of which some end: a
 * follower, a nursery, the leader. Work goes on with those that are left, and costs no
 * attempt; nobody stays behind. */
#include "crewranks.h"
#include "crewtest.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RANKS = 3, WORKERS = 6, ITEMS = 600 };

/* Waits until nobody of them is there, or only as a zombie. */
static void await_gone(const pid_t *pids, int n, double from, double seconds) {
    for (int i = 0; i < n; i++)
        while (crewtest_state(pids[i]) && crewtest_state(pids[i]) != 'Z') {
            if (crewtest_now() - from > seconds)
                crewtest_die(__FILE__, __LINE__, "pid %d is there after %g s", (int)pids[i],
                             seconds);
            crewtest_pause();
        }
}

/* Those whose parent it is. */
static int children_of(pid_t parent, pid_t *children, int cap) {
    pid_t family[256];
    int n = crewtest_family(family, 256), found = 0;
    for (int i = 0; i < n && i < 256; i++)
        if (crewtest_parent(family[i]) == parent && found < cap)
            children[found++] = family[i];
    return found;
}

static int gated(crew_call *call) {
    int64_t n = *CREW_IN(call, int64_t), result = n * n;
    crewtest_add(CELL_STARTED, 1);
    int code = n < WORKERS ? crewtest_pass(call, CELL_GATE) : 0;
    crewtest_add(CELL_ITEM + n, 1);
    return code ? code : crew_task_result(call, &result, sizeof result);
}

static int say_pid(crew_call *call) {
    crewtest_set(CELL_WORKER + call->worker, getpid());
    return 0;
}

/* All workers of the pool answer. */
static void check_all_there(crew_pool *p) {
    crew_error err;
    int64_t nothing = 0;
    for (int w = 0; w < WORKERS; w++)
        crewtest_set(CELL_WORKER + w, 0);
    int rc = crew_pool_each(p, say_pid, &nothing, sizeof nothing, &err);
    crewtest_check(rc == 0, "%s", err.text);
    for (int w = 0; w < WORKERS; w++)
        crewtest_check(crewtest_get(CELL_WORKER + w) > 0, "worker %d has said nothing", w);
}

/* ---- one rank is lost ---- */

/* Kills one while a worker of each rank is in the middle of an item: it is done all the
 * same, although no retries are allowed. */
static int lose(pid_t victim, int rank) {
    int64_t *out = calloc(ITEMS, sizeof *out);
    crew_error err;
    crew_pool *p = crewtest_open_here(WORKERS);
    pid_t workers[8];
    int n = children_of(crewranks_nursery(rank), workers, 8);
    crewtest_check(out && n == WORKERS / RANKS, "rank %d has %d workers", rank, n);
    crew_map_opts opts = {.chunk = 1};
    crew_job *job = crew_map_async(p, gated, NULL, 0, ITEMS, out, sizeof *out, &opts, &err);
    crewtest_check(job && crewtest_reached(CELL_STARTED, WORKERS, 20), "the map has not begun");
    pid_t gone[10] = {victim, crewranks_nursery(rank)};
    memcpy(gone + 2, workers, (size_t)n * sizeof *workers);
    double from = crewtest_now();
    kill(victim, SIGKILL);
    await_gone(gone, n + 2, from, 2);
    /* What they held has begun anew, on ranks that are left. */
    crewtest_check(crewtest_reached(CELL_STARTED, WORKERS + n, 2), "nobody has taken it over");
    crewtest_set(CELL_GATE, 1);
    int rc = crew_job_get(job, 20, &err);
    crewtest_check(rc == 0, "%d %s", rc, err.text);
    for (int64_t i = 0; i < ITEMS; i++)
        crewtest_check(out[i] == i * i && crewtest_get(CELL_ITEM + i) >= 1, "item %ld", (long)i);
    crew_job_free(job);
    check_all_there(p);
    crewtest_check(cw_berths_left(crewranks_berths()) == RANKS - 1, "%d ranks are left",
                   cw_berths_left(crewranks_berths()));
    crew_pool_free(p);
    p = crewtest_open_here(WORKERS); /* and those of later pools are had from the others at once */
    check_all_there(p);
    crew_pool_free(p);
    free(out);
    crewtest_check(crewranks_end(0, 5), "not all have left");
    return crew_finalize();
}

static int follower_lost(void) {
    return lose(crewranks_pid(1), 1);
}

static int nursery_lost(void) {
    return lose(crewranks_nursery(2), 2);
}

static int own_nursery_lost(void) {
    return lose(crewranks_nursery(0), 0);
}

static int worker_lost(void) {
    crew_error err;
    crew_pool *p = crewtest_open_here(WORKERS);
    check_all_there(p);
    for (int w = 0; w < WORKERS; w++)
        kill((pid_t)crewtest_get(CELL_WORKER + w), SIGKILL);
    check_all_there(p);
    int64_t nothing = 0;
    crewtest_check(crew_pool_each(p, say_pid, &nothing, sizeof nothing, &err) == 0, "%s",
                   err.text);
    crewtest_check(cw_berths_left(crewranks_berths()) == RANKS, "a rank is lost");
    crew_pool_free(p);
    crewtest_check(crewranks_end(0, 5), "not all have left");
    return crew_finalize();
}

static int futures_and_idle_ranks(void) {
    crew_future *f[ITEMS];
    crew_error err;
    crew_pool *p = crewtest_open_here(WORKERS);
    check_all_there(p);
    /* Idle: nobody has anything to blame. */
    double from = crewtest_now();
    pid_t nursery = crewranks_nursery(1);
    kill(crewranks_pid(1), SIGKILL);
    await_gone(&nursery, 1, from, 2);
    for (int64_t i = 0; i < ITEMS; i++) {
        f[i] = crew_submit(p, gated, &i, sizeof i, NULL, &err);
        crewtest_check(f[i], "%s", err.text);
    }
    crewtest_check(crewtest_reached(CELL_STARTED, WORKERS, 20), "no task has begun");
    kill(crewranks_nursery(2), SIGKILL);
    crewtest_set(CELL_GATE, 1);
    for (int64_t i = 0; i < ITEMS; i++) {
        int64_t out = -1;
        int rc = crew_future_result(f[i], &out, sizeof out, 20, &err);
        crewtest_check(rc == 0 && out == i * i, "task %ld: %s", (long)i, err.text);
        crew_future_free(f[i]);
    }
    check_all_there(p);
    crew_pool_free(p);
    crewtest_check(crewranks_end(0, 5), "not all have left");
    return crew_finalize();
}

/* ---- none is left ---- */

static int all_lost(void) {
    crew_error err;
    crew_pool *p = crewtest_open_here(WORKERS);
    crew_job *job = crew_map_async(p, gated, NULL, 0, ITEMS, NULL, 0, NULL, &err);
    crewtest_check(job && crewtest_reached(CELL_STARTED, WORKERS, 20), "the map has not begun");
    double from = crewtest_now();
    for (int i = 0; i < RANKS; i++)
        kill(crewranks_nursery(i), SIGKILL);
    int rc = crew_job_get(job, 10, &err);
    crewtest_check(rc == CREW_EBROKEN && strstr(err.text, "no rank of this node is left"),
                   "%d %s", rc, err.text);
    crewtest_check(crewtest_now() - from < 5, "it took %g s", crewtest_now() - from);
    crew_job_free(job);
    crew_pool_free(p);
    crew_pool_opts opts = crewtest_opts(WORKERS);
    crewtest_check(!crew_pool_open(&opts, &err) && err.code == CREW_EBROKEN, "%s", err.text);
    crewtest_check(crewranks_end(0, 5), "not all have left");
    return crew_finalize();
}

/* ---- the leader is lost ---- */

enum { CELL_RANK = 30 }; /* the followers' pids */

static int lead_and_wait(void) {
    crew_error err;
    for (int i = 1; i < RANKS; i++)
        crewtest_set(CELL_RANK + i, crewranks_pid(i));
    crew_pool *p = crewtest_open_here(WORKERS);
    crew_job *job = crew_map_async(p, gated, NULL, 0, ITEMS, NULL, 0, NULL, &err);
    crewtest_check(job != NULL, "%s", err.text);
    crew_job_get(job, 50, &err);
    return 1;
}

/* ---- rings ---- */

enum { CROWD = 3 * (CW_BERTH_ORDERS + 40) };

static void *open_crowd(void *arg) {
    static crew_pool *p;
    crew_error err;
    crew_pool_opts opts = crewtest_opts(CROWD);
    (void)arg;
    p = crew_pool_open(&opts, &err);
    crewtest_check(p, "%s", err.text);
    return p;
}

static void await_full(int rank) {
    double limit = crewtest_now() + 20;
    while (!crewranks_is_full(rank)) {
        crewtest_check(crewtest_now() < limit, "the ring is never full");
        crewtest_pause();
    }
}

static int count(crew_call *call) {
    (void)call;
    crewtest_add(CELL_STARTED, 1);
    return 0;
}

/* More orders than the ring of a follower holds, which does not take any for a while. */
static int rings_are_full(void) {
    crew_error err;
    pthread_t opener;
    void *opened;
    int64_t nothing = 0;
    kill(crewranks_pid(1), SIGSTOP);
    crewtest_check(pthread_create(&opener, NULL, open_crowd, NULL) == 0, "no thread");
    await_full(1);
    kill(crewranks_pid(1), SIGCONT);
    pthread_join(opener, &opened);
    crew_pool *p = opened;
    int rc = crew_pool_each(p, count, &nothing, sizeof nothing, &err);
    crewtest_check(rc == 0 && crewtest_get(CELL_STARTED) == CROWD, "%s", err.text);
    /* And as many ends. */
    kill(crewranks_pid(2), SIGSTOP);
    double from = crewtest_now();
    crew_pool_terminate(p);
    crewtest_check(crewtest_now() - from < 2, "terminating took %g s", crewtest_now() - from);
    crewtest_check(crewranks_is_full(2), "the ring is not full");
    kill(crewranks_pid(2), SIGCONT);
    crew_pool_free(p);
    crewtest_check(crewranks_end(0, 5), "not all have left");
    return crew_finalize();
}

/* ---- losses at random moments ---- */

struct shot {
    pid_t pid;
    uint64_t after_us;
};

/* Two of the followers and nurseries, never all that could have workers. */
static void *shoot(void *arg) {
    const struct shot *shots = arg;
    for (int i = 0; i < 2; i++) {
        double from = crewtest_now();
        while (crewtest_now() < from + (double)shots[i].after_us * 1e-6)
            crewtest_pause();
        kill(shots[i].pid, SIGKILL);
    }
    return NULL;
}

static int square(crew_call *call) {
    int64_t n = *CREW_IN(call, int64_t), result = n * n;
    return crew_task_result(call, &result, sizeof result);
}

/* While pools open, work and close. 1: it was opened. */
static int use_a_pool(void) {
    enum { MANY = 20000 };
    static int64_t out[MANY];
    crew_error err;
    crew_pool_opts opts = crewtest_opts(WORKERS);
    double from = crewtest_now();
    crew_pool *p = crew_pool_open(&opts, &err);
    crewtest_check(p || err.code == CREW_EDIED || err.code == CREW_EBROKEN, "%s", err.text);
    memset(out, 0x55, sizeof out);
    int rc = p ? crew_map_index(p, square, MANY, out, NULL, &err) : 0;
    crewtest_check(rc == 0, "%d %s", rc, err.text);
    for (int64_t i = 0; p && i < MANY; i++)
        crewtest_check(out[i] == i * i, "item %ld holds %ld", (long)i, (long)out[i]);
    crew_pool_free(p);
    crewtest_check(crewtest_now() - from < 10, "it took %g s", crewtest_now() - from);
    return p != NULL;
}

static int random_losses(void) {
    uint64_t random = (uint64_t)crewtest_get(CELL_OWN);
    int64_t rounds = crewtest_env("CREW_TEST_KILLS", crewtest_long() ? 500 : crewtest_many(20)),
            opened = 0;
    crewtest_check(crewranks_end(0, 5), "not all have left");
    for (int64_t round = 0; round < rounds; round++) {
        struct shot shots[2];
        pthread_t shooter;
        crewranks_lead(2);
        random = crewtest_mix(random);
        int first = (int)(random % 3), second = (first + 1 + (int)(random >> 8) % 2) % 3;
        shots[0].pid = random >> 16 & 1 && first ? crewranks_pid(first) : crewranks_nursery(first);
        shots[1].pid =
            random >> 17 & 1 && second ? crewranks_pid(second) : crewranks_nursery(second);
        for (int i = 0; i < 2; i++)
            shots[i].after_us = (random >> (20 + 16 * i)) % 15000;
        crewtest_check(pthread_create(&shooter, NULL, shoot, shots) == 0, "no thread");
        for (int i = 0; i < 3; i++)
            opened += use_a_pool();
        pthread_join(shooter, NULL);
        opened += use_a_pool();
        crewtest_check(crewranks_end(0, 5), "not all have left");
        /* A session whose nursery was shot has none: the next one has. */
        crewtest_check(crew_finalize() == 0 && crew_init(NULL, NULL) == 0, "%s",
                       crew_last_error()->text);
    }
    printf("%ld of %ld pools were opened\n", (long)opened, 4 * (long)rounds);
    crewtest_check(opened >= 2 * rounds, "hardly any pool was opened");
    return crew_finalize();
}

static void ranks_killed__at_random_moments__lose_nothing(void **state) {
    (void)state;
    crewtest_may_take(300);
    int before = crewtest_family(NULL, 0);
    crewtest_set(CELL_OWN, (int64_t)crewtest_random());
    char *text;
    int status = crewtest_helper_run("random_losses", NULL, 280, &text);
    print_message("%s", text);
    free(text);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    CREWTEST_WAIT(crewtest_family(NULL, 0) <= before, 2);
}

/* ---- the end in order ---- */

static int status_passes(void) {
    crew_pool_free(crewtest_open_here(WORKERS));
    crewtest_check(crewranks_end(42, 5), "not all have left");
    for (int i = 1; i < RANKS; i++)
        crewtest_check(crewtest_reached(CELL_FOLLOWER + i, 1, 5) &&
                           crewtest_get(CELL_FOLLOWER + i) == 1042,
                       "follower %d: %ld", i,
                       (long)crewtest_get(CELL_FOLLOWER + i));
    return crew_finalize();
}

/* ---- scenes ---- */

static const struct scene {
    const char *name;
    int (*run)(void);
} scenes[] = {
    {"follower_lost", follower_lost},
    {"nursery_lost", nursery_lost},
    {"own_nursery_lost", own_nursery_lost},
    {"worker_lost", worker_lost},
    {"futures_and_idle_ranks", futures_and_idle_ranks},
    {"all_lost", all_lost},
    {"rings_are_full", rings_are_full},
    {"random_losses", random_losses},
    {"status_passes", status_passes},
    {"lead_and_wait", lead_and_wait},
};

static void run_scene(const char *name) {
    int before = crewtest_family(NULL, 0);
    int status = crewtest_helper_run(name, NULL, 50, NULL);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    CREWTEST_WAIT(crewtest_family(NULL, 0) <= before, 2);
}

#define SCENE(test, name)                                                                          \
    static void test(void **state) {                                                               \
        (void)state;                                                                               \
        run_scene(name);                                                                           \
    }
SCENE(follower_killed__in_a_map__others_do_its_part_unblamed, "follower_lost")
SCENE(nursery_of_a_follower_killed__in_a_map__others_do_its_part_unblamed, "nursery_lost")
SCENE(nursery_of_the_leader_killed__in_a_map__followers_do_its_part, "own_nursery_lost")
SCENE(workers_killed__of_every_rank__are_replaced_there, "worker_lost")
SCENE(ranks_killed__while_idle_and_with_futures__all_are_answered, "futures_and_idle_ranks")
SCENE(all_nurseries_killed__in_a_map__it_ends_broken, "all_lost")
SCENE(rings__that_are_full__lose_no_order, "rings_are_full")
SCENE(quit__with_a_status__is_every_followers, "status_passes")

static void leader_killed__in_a_map__nobody_is_left_within_2_s(void **state) {
    (void)state;
    int before = crewtest_family(NULL, 0);
    for (int round = 0; round < 3; round++) {
        crewtest_set(CELL_STARTED, 0);
        pid_t leader = crewtest_helper("lead_and_wait", NULL, NULL);
        assert_true(crewtest_reached(CELL_STARTED, WORKERS, 20));
        /* the leader, two followers, three nurseries, the workers */
        assert_int_equal(crewtest_family(NULL, 0), before + 1 + 2 + 3 + WORKERS);
        kill(leader, SIGKILL);
        CREWTEST_WAIT(crewtest_family(NULL, 0) <= before + 1, 2);
        crewtest_helper_wait(leader, 1);
        for (int i = 1; i < RANKS; i++)
            assert_int_equal(crewtest_get(CELL_FOLLOWER + i), CREW_EBROKEN);
    }
}

/* Also where followers cannot see to it: nurseries know the leader themselves. */
static void leader_killed__followers_stopped__workers_are_gone_within_2_s(void **state) {
    (void)state;
    int before = crewtest_family(NULL, 0);
    pid_t leader = crewtest_helper("lead_and_wait", NULL, NULL);
    assert_true(crewtest_reached(CELL_STARTED, WORKERS, 20));
    for (int i = 1; i < RANKS; i++)
        kill((pid_t)crewtest_get(CELL_RANK + i), SIGSTOP);
    kill(leader, SIGKILL);
    CREWTEST_WAIT(crewtest_family(NULL, 0) <= before + RANKS, 2);
    for (int i = 1; i < RANKS; i++)
        kill((pid_t)crewtest_get(CELL_RANK + i), SIGCONT);
    CREWTEST_WAIT(crewtest_family(NULL, 0) <= before + 1, 2);
    crewtest_helper_wait(leader, 1);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    for (size_t i = 0; argc > 1 && i < sizeof scenes / sizeof *scenes; i++)
        if (strcmp(argv[1], scenes[i].name) == 0)
            return scenes[i].run();
    const struct CMUnitTest tests[] = {
        CREWTEST(follower_killed__in_a_map__others_do_its_part_unblamed),
        CREWTEST(nursery_of_a_follower_killed__in_a_map__others_do_its_part_unblamed),
        CREWTEST(nursery_of_the_leader_killed__in_a_map__followers_do_its_part),
        CREWTEST(workers_killed__of_every_rank__are_replaced_there),
        CREWTEST(ranks_killed__while_idle_and_with_futures__all_are_answered),
        CREWTEST(all_nurseries_killed__in_a_map__it_ends_broken),
        CREWTEST(rings__that_are_full__lose_no_order),
        CREWTEST(ranks_killed__at_random_moments__lose_nothing),
        CREWTEST(quit__with_a_status__is_every_followers),
        CREWTEST(leader_killed__in_a_map__nobody_is_left_within_2_s),
        CREWTEST(leader_killed__followers_stopped__workers_are_gone_within_2_s),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
