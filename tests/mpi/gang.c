/* mpi/gang.c - tasks that take several ranks (opts.ranks), under tests/mpi/under with a
 * config of CREW_ISOLATE=0; under another one, what they are refused with.
 *
 * The number of ranks is CREW_TEST_WORKERS. */
#include "crewtest.h"

#include "beside.h"
#include "in_task.h"

#include <crew/mpi.h>
#include <crew/shared.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CELL_OVERLAPS = 24, /* a worker that ran two things at once */
    CELL_CANCELLED,
    CELL_BUSY = CELL_WORKER
};

static int ranks;

/* ---- tasks ------------------------------------------------------------------ */

struct seen {
    int64_t size, sum, item;
};

/* The sum over the gang of (rank + 1) * item, by MPI. */
static int sum_of(crew_call *call) {
    MPI_Comm comm = crew_call_comm(call);
    struct seen seen = {.item = *CREW_IN(call, int64_t)};
    int rank, size;
    if (comm == MPI_COMM_NULL)
        return 1;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    int64_t mine = (rank + 1) * seen.item;
    MPI_Allreduce(&mine, &seen.sum, 1, MPI_INT64_T, MPI_SUM, comm);
    seen.size = size;
    seen.item += rank; /* what others than the first reply is dropped */
    return crew_reply(call, &seen, sizeof seen);
}

/* A token goes round; every rank adds its number to it. */
static int ring_of(crew_call *call) {
    MPI_Comm comm = crew_call_comm(call);
    int64_t token = 0, rounds = *CREW_IN(call, int64_t);
    int rank, size;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    int next = (rank + 1) % size, before = (rank + size - 1) % size;
    for (int64_t i = 0; i < rounds && size > 1; i++) {
        if (rank == 0)
            MPI_Send(&token, 1, MPI_INT64_T, next, 5, comm);
        MPI_Recv(&token, 1, MPI_INT64_T, before, 5, comm, MPI_STATUS_IGNORE);
        token += rank;
        if (rank > 0)
            MPI_Send(&token, 1, MPI_INT64_T, next, 5, comm);
    }
    return crew_reply(call, &token, sizeof token);
}

static int rank_of(crew_call *call, int *size) {
    int rank;
    MPI_Comm comm = crew_call_comm(call);
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, size);
    return rank;
}

/* The ranks from the item's on fail, each with its own code. */
static int fails_from(crew_call *call) {
    int64_t from = *CREW_IN(call, int64_t);
    int size, rank = rank_of(call, &size);
    return rank >= from ? crew_fail(call, 100 + rank, "rank %d of %d", rank, size) : 0;
}

static int large(crew_call *call) {
    size_t n = (size_t)*CREW_IN(call, int64_t);
    char *bytes = malloc(n);
    if (!bytes)
        return 1;
    memset(bytes, 'x', n);
    int rc = crew_reply(call, bytes, n);
    free(bytes);
    return rc;
}

static int until_cancelled(crew_call *call) {
    double limit = crewtest_now() + 30;
    crewtest_add(CELL_STARTED, 1);
    while (!crew_cancelled(call) && crewtest_now() < limit)
        crewtest_pause();
    crewtest_add(CELL_CANCELLED, crewtest_now() < limit);
    return 1;
}

/* Waits until as many workers as the item says are in this task, whatever gangs they are
 * of. */
static int meet(crew_call *call) {
    double limit = crewtest_now() + 30;
    int size;
    rank_of(call, &size);
    crewtest_add(CELL_STARTED, 1);
    while (crewtest_get(CELL_STARTED) < *CREW_IN(call, int64_t) && crewtest_now() < limit)
        crewtest_pause();
    return crewtest_now() < limit ? 0 : crew_fail(call, 1, "alone");
}

static void enter(crew_call *call) {
    if (crewtest_add(CELL_BUSY + call->worker, 1) != 0)
        crewtest_add(CELL_OVERLAPS, 1);
}

static int mixed(crew_call *call) {
    enter(call);
    int rc = sum_of(call);
    crewtest_add(CELL_BUSY + call->worker, -1);
    return rc;
}

static int single(crew_call *call) {
    enter(call);
    int64_t n = *CREW_IN(call, int64_t);
    crewtest_add(CELL_BUSY + call->worker, -1);
    return crew_task_result(call, &n, sizeof n);
}

/* ---- helpers ---------------------------------------------------------------- */

static crew_future *submit(crew_pool *p, crew_fn *fn, int64_t item, int size) {
    crew_error err;
    const crew_submit_opts opts = {.ranks = size};
    crew_future *f = crew_submit(p, fn, &item, sizeof item, &opts, &err);
    if (!f)
        fail_msg("crew_submit: %s", err.text);
    return f;
}

static void take(crew_future *f, void *out, size_t size) {
    crew_error err;
    if (crew_future_result(f, out, size, 60, &err) < 0)
        fail_msg("a gang failed: %s", err.text);
    crew_future_free(f);
}

static int64_t sum_for(int64_t item, int size) {
    return item * size * (size + 1) / 2;
}

static void take_sum(crew_future *f, int64_t item, int size) {
    struct seen seen;
    take(f, &seen, sizeof seen);
    assert_int_equal(seen.size, size);
    assert_int_equal(seen.item, item);
    assert_int_equal(seen.sum, sum_for(item, size));
}

/* ---- tests ------------------------------------------------------------------ */

static void gang__of_each_size__computes_together(void **state) {
    (void)state;
    crew_pool *p = crewtest_open(0);
    assert_int_equal(crew_pool_workers(p), ranks);
    for (int size = 1; size <= ranks; size++) {
        int64_t token;
        take_sum(submit(p, sum_of, 7, size), 7, size);
        take(submit(p, ring_of, 10, size), &token, sizeof token);
        assert_int_equal(token, 10 * size * (size - 1) / 2);
    }
    crewtest_free(p);
}

static void gang__many_at_once__all_are_right(void **state) {
    enum { MANY = 60 };
    crew_future *f[MANY];
    int size[MANY];
    (void)state;
    crew_pool *p = crewtest_open(0);
    for (int i = 0; i < MANY; i++)
        f[i] = submit(p, sum_of, i, size[i] = 1 + (int)(crewtest_random() % (uint64_t)ranks));
    for (int i = 0; i < MANY; i++)
        take_sum(f[i], i, size[i]);
    crewtest_free(p);
}

static void gang__among_single_tasks_and_a_map__each_worker_is_at_one_thing(void **state) {
    enum { MANY = 120, ITEMS = 3000 };
    crew_future *f[MANY];
    int size[MANY];
    static int64_t in[ITEMS], out[ITEMS];
    crew_error err;
    (void)state;
    for (int64_t i = 0; i < ITEMS; i++)
        in[i] = 3 * i;
    crewtest_set(CELL_OVERLAPS, 0);
    crew_pool *p = crewtest_open(0);
    crew_job *job = crew_map_async(p, single, in, sizeof *in, ITEMS, out, sizeof *out, NULL, &err);
    assert_non_null(job);
    for (int i = 0; i < MANY; i++) {
        size[i] = crewtest_random() % 2 ? 1 : 1 + (int)(crewtest_random() % (uint64_t)ranks);
        f[i] = submit(p, mixed, i, size[i]);
    }
    for (int i = 0; i < MANY; i++)
        take_sum(f[i], i, size[i]);
    assert_int_equal(crew_job_get(job, 60, &err), 0);
    crew_job_free(job);
    for (int64_t i = 0; i < ITEMS; i++)
        assert_int_equal(out[i], 3 * i);
    assert_int_equal(crewtest_get(CELL_OVERLAPS), 0);
    crewtest_free(p);
}

/* The first items wait for one gate, the others for another one, which opens when the gang
 * is over. On other nodes a worker may have begun one of these before it is called. */
static void gang__while_a_long_map_runs__does_not_wait_for_its_end(void **state) {
    enum { ITEMS = 64 };
    crew_error err;
    int64_t gates[ITEMS];
    (void)state;
    crewtest_need(CREWTEST_ONE_NODE);
    crewtest_need_workers(2);
    for (int i = 0; i < ITEMS; i++)
        gates[i] = i < ranks ? CELL_GATE : CELL_GATE + 1;
    crewtest_set(CELL_STARTED, 0);
    crewtest_set(CELL_GATE, 0);
    crewtest_set(CELL_GATE + 1, 0);
    crew_pool *p = crewtest_open(0);
    const crew_map_opts opts = {.chunk = 1};
    crew_job *job =
        crew_map_async(p, crewtest_gated_task, gates, sizeof *gates, ITEMS, NULL, 0, &opts, &err);
    assert_non_null(job);
    assert_true(crewtest_reached(CELL_STARTED, ranks, 20));
    crew_future *f = submit(p, sum_of, 1, ranks);
    assert_false(crew_future_done(f));
    crewtest_set(CELL_GATE, 1);
    take_sum(f, 1, ranks);
    assert_false(crew_job_ready(job));
    crewtest_set(CELL_GATE + 1, 1);
    assert_int_equal(crew_job_get(job, 60, &err), 0);
    crew_job_free(job);
    crewtest_free(p);
}

static void gang__two_that_fit__run_at_the_same_time(void **state) {
    (void)state;
    crewtest_need_workers(4);
    crewtest_set(CELL_STARTED, 0);
    crew_pool *p = crewtest_open(0);
    crew_future *a = submit(p, meet, ranks, ranks / 2),
                *b = submit(p, meet, ranks, ranks - ranks / 2);
    take(a, NULL, 0);
    take(b, NULL, 0);
    crewtest_free(p);
}

static void gang__some_ranks_fail__the_lowest_one_counts(void **state) {
    crew_error err;
    (void)state;
    crew_pool *p = crewtest_open(0);
    for (int64_t from = 0; from <= ranks; from++) {
        crew_future *f = submit(p, fails_from, from, ranks);
        int rc = crew_future_result(f, NULL, 0, 60, &err);
        assert_int_equal(rc, from < ranks ? CREW_EFAILED : 0);
        if (from < ranks) {
            char text[64];
            snprintf(text, sizeof text, "rank %d of %d", (int)from, ranks);
            assert_int_equal(err.task_code, 100 + from);
            assert_non_null(strstr(err.text, text));
        }
        crew_future_free(f);
    }
    take_sum(submit(p, sum_of, 2, ranks), 2, ranks);
    crewtest_free(p);
}

static void gang__result_of_a_megabyte__is_there(void **state) {
    enum { BYTES = 1 << 20 };
    size_t size;
    (void)state;
    crew_pool *p = crewtest_open(0);
    crew_future *f = submit(p, large, BYTES, ranks);
    assert_int_equal(crew_future_result(f, NULL, 0, 60, NULL), 0);
    const char *data = crew_future_data(f, &size);
    assert_non_null(data);
    assert_int_equal(size, BYTES);
    assert_int_equal(data[0], 'x');
    assert_int_equal(data[BYTES - 1], 'x');
    crew_future_free(f);
    crewtest_free(p);
}

static void gang__larger_than_the_pool__is_refused_with_the_figures(void **state) {
    crew_error err;
    char text[64];
    int64_t item = 0;
    (void)state;
    crew_pool *p = crewtest_open(0);
    const crew_submit_opts opts = {.ranks = ranks + 1}, negative = {.ranks = -1};
    assert_null(crew_submit(p, sum_of, &item, sizeof item, &opts, &err));
    assert_int_equal(err.code, CREW_EINVAL);
    snprintf(text, sizeof text, "ranks is %d, but the pool has %d workers", ranks + 1, ranks);
    assert_non_null(strstr(err.text, text));
    assert_null(crew_submit(p, sum_of, &item, sizeof item, &negative, &err));
    assert_int_equal(err.code, CREW_EINVAL);
    crewtest_free(p);
}

static void gang__cancelled_while_it_waits__never_begins(void **state) {
    int64_t gate = CELL_GATE + 2;
    (void)state;
    crewtest_set(CELL_STARTED, 0);
    crewtest_set(gate, 0);
    crew_pool *p = crewtest_open(0);
    crew_future *busy = submit(p, crewtest_gated_task, gate, 0);
    assert_true(crewtest_reached(CELL_STARTED, 1, 20));
    crew_future *f = submit(p, until_cancelled, 0, ranks), *next = submit(p, sum_of, 3, ranks);
    assert_int_equal(crew_future_cancel(f), 1);
    assert_true(crew_future_cancelled(f));
    crew_future_free(f);
    crewtest_set(gate, 1);
    take_sum(next, 3, ranks);
    take(busy, &gate, sizeof gate);
    assert_int_equal(crewtest_get(CELL_STARTED), 1);
    crewtest_free(p);
}

static void gang__killed_while_it_runs__sees_that_on_each_rank(void **state) {
    crew_error err;
    (void)state;
    crewtest_set(CELL_STARTED, 0);
    crewtest_set(CELL_CANCELLED, 0);
    crew_pool *p = crewtest_open(0);
    crew_future *f = submit(p, until_cancelled, 0, ranks);
    assert_true(crewtest_reached(CELL_STARTED, ranks, 20));
    assert_int_equal(crew_future_cancel(f), 0);
    assert_int_equal(crew_future_kill(f), CREW_ENOTSUP);
    assert_int_equal(crew_future_result(f, NULL, 0, 20, &err), CREW_ECANCELLED);
    assert_int_equal(crewtest_get(CELL_CANCELLED), ranks);
    crew_future_free(f);
    take_sum(submit(p, sum_of, 2, ranks), 2, ranks);
    crewtest_free(p);
}

static void gang__over_its_time__ends_on_each_rank(void **state) {
    crew_error err;
    int64_t item = 0;
    (void)state;
    crewtest_set(CELL_CANCELLED, 0);
    crew_pool *p = crewtest_open(0);
    const crew_submit_opts opts = {.ranks = ranks, .task_timeout = 0.2};
    crew_future *f = crew_submit(p, until_cancelled, &item, sizeof item, &opts, &err);
    assert_non_null(f);
    assert_int_equal(crew_future_result(f, NULL, 0, 20, &err), CREW_ELIMIT);
    assert_int_equal(crewtest_get(CELL_CANCELLED), ranks);
    crew_future_free(f);
    take_sum(submit(p, sum_of, 2, ranks), 2, ranks);
    crewtest_free(p);
}

static void gang__pool_freed_while_some_run_and_wait__all_end(void **state) {
    crew_future *f[4];
    (void)state;
    crewtest_set(CELL_STARTED, 0);
    crewtest_set(CELL_CANCELLED, 0);
    crew_pool *p = crewtest_open(0);
    for (int i = 0; i < 4; i++)
        f[i] = submit(p, until_cancelled, 0, i ? ranks : ranks > 1 ? ranks - 1 : 1);
    assert_true(crewtest_reached(CELL_STARTED, ranks > 1 ? ranks - 1 : 1, 20));
    crewtest_free(p);
    for (int i = 0; i < 4; i++) {
        crew_error err;
        assert_int_equal(crew_future_result(f[i], NULL, 0, 0, &err), CREW_ECANCELLED);
        crew_future_free(f[i]);
    }
}

static int spawns(crew_call *call) {
    int64_t item = 1;
    return crew_spawn(call, single, &item, sizeof item) == CREW_ENOTSUP ? 0 : 3;
}

static void gang__spawning__is_refused(void **state) {
    crew_error err;
    (void)state;
    crewtest_need_workers(2);
    crew_pool *p = crewtest_open(0);
    crew_future *f = submit(p, spawns, 0, 2);
    assert_int_equal(crew_future_result(f, NULL, 0, 60, &err), CREW_ENOTSUP);
    crew_future_free(f);
    crewtest_free(p);
}

/* ---- a rank is lost (CREW_TEST_LOSS) ------------------------------------- */

/* The lowest rank of the last node, which goes with it. What runs fails at once, and its
 * other ranks see that; those that are left go on. */
static void gang__rank_lost__fails_and_the_others_go_on(void **state) {
    crew_error err;
    int64_t item = 0;
    (void)state;
    crewtest_set(CELL_STARTED, 0);
    crewtest_set(CELL_CANCELLED, 0);
    crew_pool *p = crewtest_open(0);
    crew_future *f = submit(p, until_cancelled, 0, ranks);
    assert_true(crewtest_reached(CELL_STARTED, ranks, 20));
    crew_future *next = submit(p, sum_of, 5, ranks - 2), *all = submit(p, sum_of, 5, ranks);
    assert_true(beside_kill_rank(ranks - 2));
    assert_int_equal(crew_future_result(f, NULL, 0, 20, &err), CREW_EDIED);
    assert_non_null(strstr(err.text, "lost with its rank"));
    take_sum(next, 5, ranks - 2);
    assert_int_equal(crew_future_result(all, NULL, 0, 20, &err), CREW_EDIED);
    assert_non_null(strstr(err.text, "4 are left"));
    assert_int_equal(crewtest_get(CELL_CANCELLED), ranks - 2);
    const crew_submit_opts opts = {.ranks = ranks - 1};
    assert_null(crew_submit(p, sum_of, &item, sizeof item, &opts, &err));
    assert_int_equal(err.code, CREW_EINVAL);
    assert_non_null(strstr(err.text, "4 are left"));
    crew_future_free(f);
    crew_future_free(all);
    crewtest_free(p);
}

/* ---- the window of an array ---------------------------------------------------- */

/* Whether MPI makes windows over memory at all, as it is set here: over TCP Open MPI need not. */
static bool windows(MPI_Comm comm) {
    int64_t memory[8];
    MPI_Win win;
    MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    bool made = MPI_Win_create(memory, sizeof memory, 1, MPI_INFO_NULL, comm, &win) == MPI_SUCCESS;
    if (made)
        MPI_Win_free(&win);
    MPI_Comm_set_errhandler(comm, MPI_ERRORS_ARE_FATAL);
    return made;
}

/* All ranks read the array of the manager's node, by MPI. */
static int reads_by_mpi(crew_call *call) {
    crew_array a = *CREW_IN(call, crew_array);
    MPI_Comm comm = crew_call_comm(call);
    MPI_Win win;
    MPI_Group group;
    if (!windows(comm)) {
        CHECK(crew_array_win(a, &win) == CREW_ENOTSUP);
        return 0;
    }
    CHECK(crew_array_win(a, &win) == 0);
    int mine, here, home, there = 0;
    int64_t at = -1, got[2] = {0};
    char *base = NULL, **attribute;
    MPI_Comm_rank(comm, &here);
    MPI_Win_get_group(win, &group);
    MPI_Group_rank(group, &mine);
    MPI_Group_free(&group);
    int claim = mine == 0 ? here : -1;
    MPI_Allreduce(&claim, &home, 1, MPI_INT, MPI_MAX, comm);
    MPI_Win_get_attr(win, MPI_WIN_BASE, &attribute, &there);
    CHECK(there);
    base = (char *)attribute;
    if (mine == 0)
        at = (char *)crew_array_data(a) - base;
    MPI_Bcast(&at, 1, MPI_INT64_T, home, comm);
    MPI_Get(got, 2, MPI_INT64_T, 0, at + 3 * (MPI_Aint)sizeof *got, 2, MPI_INT64_T, win);
    MPI_Win_flush(0, win);
    CHECK(got[0] == 1003 && got[1] == 1004);
    MPI_Barrier(comm); /* the others may need this rank to read */
    return 0;
}

static void array__made_by_the_manager__is_read_by_mpi_from_every_rank(void **state) {
    const int64_t n = 10;
    const crew_submit_opts opts = {.ranks = ranks};
    crew_error err;
    crew_array a;
    MPI_Win win;
    (void)state;
    crew_pool *p = crewtest_open(0);
    assert_ok(crew_array_create(&a, CREW_I64, 1, &n, NULL), NULL);
    int64_t *data = crew_array_data(a);
    for (int64_t i = 0; i < n; i++)
        data[i] = 1000 + i;
    crew_future *f = crew_submit(p, reads_by_mpi, &a, sizeof a, &opts, &err);
    assert_non_null(f);
    assert_ok(crew_future_result(f, NULL, 0, 60, &err), &err);
    crew_future_free(f);
    assert_ok(crew_array_destroy(a), NULL);
    assert_int_equal(crew_array_win(a, &win), CREW_EINVAL);
    crewtest_free(p);
}

/* ---- where workers are processes ---------------------------------------------- */

static int asks(crew_call *call) {
    return crew_call_comm(call) == MPI_COMM_NULL ? 0 : 1;
}

static void gang__where_workers_are_processes__is_refused_with_the_way_out(void **state) {
    crew_error err;
    int64_t item = 0;
    (void)state;
    crew_pool *p = crewtest_open(0);
    const crew_submit_opts opts = {.ranks = 2};
    assert_null(crew_submit(p, sum_of, &item, sizeof item, &opts, &err));
    assert_int_equal(err.code, CREW_ENOTSUP);
    assert_non_null(strstr(err.text, "CREW_ISOLATE=0"));
    crew_future *f = submit(p, asks, 0, 1);
    assert_int_equal(crew_future_result(f, NULL, 0, 60, &err), CREW_ENOTSUP);
    assert_non_null(strstr(err.text, "CREW_ISOLATE=0"));
    crew_future_free(f);
    const int64_t n = 1;
    crew_array a;
    MPI_Win win;
    assert_ok(crew_array_create(&a, CREW_I64, 1, &n, NULL), NULL);
    assert_int_equal(crew_array_win(a, &win), CREW_ENOTSUP);
    assert_non_null(strstr(crew_last_error()->text, "CREW_ISOLATE=0"));
    assert_ok(crew_array_destroy(a), NULL);
    crewtest_free(p);
}

int main(int argc, char **argv) {
    if (getenv("CREW_TEST_LOSS"))
        beside_sign();
    crewtest_begin(&argc, &argv);
    ranks = (int)crewtest_env("CREW_TEST_WORKERS", 1);
    const struct CMUnitTest aboard[] = {
        CREWTEST(gang__of_each_size__computes_together),
        CREWTEST(gang__many_at_once__all_are_right),
        CREWTEST(gang__among_single_tasks_and_a_map__each_worker_is_at_one_thing),
        CREWTEST(gang__while_a_long_map_runs__does_not_wait_for_its_end),
        CREWTEST(gang__two_that_fit__run_at_the_same_time),
        CREWTEST(gang__some_ranks_fail__the_lowest_one_counts),
        CREWTEST(gang__result_of_a_megabyte__is_there),
        CREWTEST(gang__larger_than_the_pool__is_refused_with_the_figures),
        CREWTEST(gang__cancelled_while_it_waits__never_begins),
        CREWTEST(gang__killed_while_it_runs__sees_that_on_each_rank),
        CREWTEST(gang__over_its_time__ends_on_each_rank),
        CREWTEST(gang__pool_freed_while_some_run_and_wait__all_end),
        CREWTEST(gang__spawning__is_refused),
        CREWTEST(array__made_by_the_manager__is_read_by_mpi_from_every_rank),
    };
    const struct CMUnitTest beside[] = {
        CREWTEST(gang__where_workers_are_processes__is_refused_with_the_way_out),
    };
    const struct CMUnitTest lost[] = {
        CREWTEST(gang__rank_lost__fails_and_the_others_go_on),
    };
    if (getenv("CREW_TEST_LOSS"))
        return crewtest_end(cmocka_run_group_tests(lost, NULL, NULL));
    if (crewtest_has(CREWTEST_PROCESSES))
        return crewtest_end(cmocka_run_group_tests(beside, NULL, NULL));
    return crewtest_end(cmocka_run_group_tests(aboard, NULL, NULL));
}
