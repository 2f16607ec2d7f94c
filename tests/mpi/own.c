/* mpi/own.c LEVEL - a program that has MPI for itself, and opens pools inside: what
 * crew/mpi.h says, from end to end, at one level of threads (single, funneled, serialized,
 * multiple). Run by run.sh; every rank runs all of it. What fails says where and ends the
 * job; rank 0 prints "ok - " when all have come to the end. */
#include "own.h"

#include <crew/crew.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COUNT = 3000, MESSAGES = 64, WORDS = 4096 };
static const double SOON = 30;

static int size;
static bool multiple;
static int64_t factor; /* a global of the program's, of which workers see a copy */

/* ---- tasks ---- */

static int product(crew_call *call) {
    int64_t answer = *CREW_IN(call, int64_t) * factor;
    return crew_task_result(call, &answer, sizeof answer);
}

/* For so long that there are some for each worker. */
static int whose(crew_call *call) {
    for (int i = 0; i < 5; i++)
        pause_ms(1);
    return crew_task_result(call, &factor, sizeof factor);
}

static int deadly(crew_call *call) {
    if (call->index == 7 && call->attempt == 1)
        kill(getpid(), SIGKILL);
    return product(call);
}

static int refuses(crew_call *call) {
    return crew_fail(call, 5, "not today");
}

/* ---- what is the program's own on the way meanwhile ---- */

/* A ring of messages over all ranks, in a communicator of the program's. */
struct traffic {
    MPI_Comm comm;
    MPI_Request requests[2 * MESSAGES];
    int out[MESSAGES][16], in[MESSAGES][16];
};

static void begin_traffic(struct traffic *t, MPI_Comm comm) {
    int me, all;
    t->comm = comm;
    MPI_Comm_rank(comm, &me);
    MPI_Comm_size(comm, &all);
    for (int i = 0; i < MESSAGES; i++) {
        for (int j = 0; j < 16; j++)
            t->out[i][j] = me * 1000 + i;
        MPI_Irecv(t->in[i], 16, MPI_INT, (me + all - 1) % all, i, comm, &t->requests[2 * i]);
        MPI_Isend(t->out[i], 16, MPI_INT, (me + 1) % all, i, comm, &t->requests[2 * i + 1]);
    }
}

static void end_traffic(struct traffic *t) {
    static MPI_Status statuses[2 * MESSAGES];
    int me, all, sum = 0;
    MPI_Comm_rank(t->comm, &me);
    MPI_Comm_size(t->comm, &all);
    MPI_Waitall(2 * MESSAGES, t->requests, statuses);
    for (int i = 0; i < MESSAGES; i++)
        for (int j = 0; j < 16; j++)
            CHECK(t->in[i][j] == (me + all - 1) % all * 1000 + i, "message %d", i);
    MPI_Allreduce(&me, &sum, 1, MPI_INT, MPI_SUM, t->comm);
    CHECK(sum == all * (all - 1) / 2, "sum %d", sum);
}

/* With MPI_THREAD_MULTIPLE: another thread of each rank, all the time. */
struct chatter {
    MPI_Comm comm;
    pthread_t thread;
    _Atomic bool over;
    int rounds;
};

static void *chat(void *arg) {
    struct chatter *c = arg;
    int me, all, over = 0;
    int *out = calloc(WORDS, sizeof *out), *in = calloc(WORDS, sizeof *in);
    CHECK(out && in, "no memory");
    MPI_Comm_rank(c->comm, &me);
    MPI_Comm_size(c->comm, &all);
    while (!over) {
        int mine = atomic_load(&c->over);
        for (int i = 0; i < WORDS; i++)
            out[i] = me + i + c->rounds;
        MPI_Sendrecv(out, WORDS, MPI_INT, (me + 1) % all, 0, in, WORDS, MPI_INT,
                     (me + all - 1) % all, 0, c->comm, MPI_STATUS_IGNORE);
        for (int i = 0; i < WORDS; i++)
            CHECK(in[i] == (me + all - 1) % all + i + c->rounds, "word %d", i);
        MPI_Allreduce(&mine, &over, 1, MPI_INT, MPI_MIN, c->comm);
        c->rounds++;
        pause_ms(1);
    }
    free(out);
    free(in);
    return NULL;
}

static void begin_chat(struct chatter *c) {
    *c = (struct chatter){.rounds = 0};
    if (!multiple)
        return;
    MPI_Comm_dup(MPI_COMM_WORLD, &c->comm);
    CHECK(pthread_create(&c->thread, NULL, chat, c) == 0, "no thread");
}

static void end_chat(struct chatter *c) {
    if (!multiple)
        return;
    atomic_store(&c->over, true);
    pthread_join(c->thread, NULL);
    CHECK(c->rounds > 0, "nothing was said");
    MPI_Comm_free(&c->comm);
}

/* ---- using a pool ---- */

static void use_map(crew_pool *pool) {
    crew_error err;
    static int64_t out[COUNT];
    memset(out, 0x55, sizeof out);
    CHECK(crew_map_index(pool, product, COUNT, out, NULL, &err) == 0, "%s", err.text);
    for (int64_t i = 0; i < COUNT; i++)
        CHECK(out[i] == i * factor, "item %ld is %ld", (long)i, (long)out[i]);
}

static void use_futures(crew_pool *pool) {
    crew_error err;
    crew_future *futures[20];
    for (int64_t i = 0; i < 20; i++) {
        futures[i] = crew_submit(pool, product, &i, sizeof i, NULL, &err);
        CHECK(futures[i], "%s", err.text);
    }
    CHECK(crew_wait(futures, 20, CREW_WAIT_ALL, SOON) == 20, "not all are done");
    for (int64_t i = 0; i < 20; i++) {
        int64_t answer = -1;
        CHECK(crew_future_result(futures[i], &answer, sizeof answer, SOON, &err) == 0, "%s",
              err.text);
        CHECK(answer == i * factor, "call %ld is %ld", (long)i, (long)answer);
        crew_future_free(futures[i]);
    }
}

static void use_stream(crew_pool *pool) {
    crew_error err;
    crew_item item;
    int64_t value;
    crew_iter *it =
        crew_imap(pool, product, crew_source_range(0, 200, 1), sizeof value, NULL, &err);
    CHECK(it, "%s", err.text);
    for (int64_t i = 0; i < 200; i++) {
        CHECK(crew_next(it, &value, &item, SOON, &err) == 1, "%s", err.text);
        CHECK(item.index == i && value == i * factor, "item %ld is %ld", (long)i, (long)value);
    }
    CHECK(crew_next(it, &value, &item, SOON, &err) == 0, "more came");
    crew_iter_free(it);
}

/* The map is done without a wait of ours: by crew's thread, or as we ask. */
static void use_from_aside(crew_pool *pool) {
    crew_error err;
    static int64_t out[COUNT];
    crew_job *job = crew_map_async(pool, product, NULL, 0, COUNT, out, sizeof *out,
                                   &(crew_map_opts){0}, &err);
    double from = now();
    CHECK(job, "%s", err.text);
    while (!crew_job_ready(job)) {
        CHECK(now() - from < SOON, "it is never ready");
        pause_ms(1);
    }
    CHECK(crew_job_get(job, 0, &err) == 0, "%s", err.text);
    crew_job_free(job);
}

static void told(void *ctx, crew_job *job) {
    (void)job;
    atomic_store((_Atomic bool *)ctx, true);
}

/* With MPI_THREAD_MULTIPLE not even a call of crew's is needed. */
static void use_from_afar(crew_pool *pool) {
    crew_error err;
    static int64_t out[COUNT];
    static _Atomic bool done;
    atomic_store(&done, false);
    const crew_map_opts opts = {.done = told, .ctx = (void *)&done};
    crew_job *job = crew_map_async(pool, product, NULL, 0, COUNT, out, sizeof *out, &opts, &err);
    CHECK(job, "%s", err.text);
    for (double from = now(); !atomic_load(&done); pause_ms(1))
        CHECK(now() - from < SOON, "it is never done");
    CHECK(crew_job_get(job, SOON, &err) == 0, "%s", err.text);
    crew_job_free(job);
}

/* A pool over `comm`, used by its root; all ranks come. */
static void over(MPI_Comm comm, int root, const crew_pool_opts *opts, void (*use)(crew_pool *)) {
    static struct traffic traffic;
    crew_pool *pool = (crew_pool *)&traffic;
    crew_error err;
    int me;
    MPI_Comm_rank(comm, &me);
    begin_traffic(&traffic, comm);
    CHECK(crew_mpi_pool(comm, root, opts, &pool, &err) == 0, "%s", err.text);
    CHECK(err.code == 0, "a success leaves %d", err.code);
    CHECK(!pool == (me != root), "whose pool is it?");
    if (pool) {
        use(pool);
        crew_pool_free(pool);
    }
    end_traffic(&traffic);
}

static void use_all(crew_pool *pool) {
    use_map(pool);
    use_futures(pool);
    use_stream(pool);
    use_from_aside(pool);
    if (multiple)
        use_from_afar(pool);
}

/* ---- objects ---- */

enum { TASKS = 20, SETS = 3 };

struct shared {
    crew_lock lock;
    crew_queue queue;
    crew_dict dict;
    crew_value sum, locked;
};

static int make_shared(struct shared *s) {
    int rc = crew_lock_create(&s->lock);
    /* With less than MPI_THREAD_MULTIPLE who waits for a message does no work for other nodes. */
    rc = rc ? rc : crew_queue_create(&s->queue, multiple ? 8 : 0, NULL);
    rc = rc ? rc : crew_dict_create(&s->dict);
    rc = rc ? rc : crew_value_create(&s->sum, CREW_I64);
    return rc ? rc : crew_value_create(&s->locked, CREW_I64);
}

static int make_in_task(crew_call *call) {
    int rc = make_shared(CREW_OUT(call, struct shared));
    return rc < 0 ? crew_fail(call, 1, "%s", crew_last_error()->text) : 0;
}

/* Not atomic but for the lock. */
static int use_in_task(crew_call *call) {
    const struct shared *s = CREW_COMMON(call, struct shared);
    int64_t key = call->index % 5, item = call->index;
    int rc = crew_value_add_i64(s->sum, call->index) < 0;
    rc = rc ? rc : crew_lock_acquire(s->lock, SOON);
    if (rc == 0)
        rc = crew_value_set_i64(s->locked, crew_value_get_i64(s->locked) + 1);
    rc = rc ? rc : crew_lock_release(s->lock);
    rc = rc ? rc : crew_dict_add_i64(s->dict, &key, sizeof key, 1, NULL);
    rc = rc ? rc : crew_queue_put(s->queue, &item, sizeof item, SOON);
    return rc ? crew_fail(call, 1, "node %d: %d %s", call->node, rc, crew_last_error()->text) : 0;
}

static void use_shared(crew_pool *pool, const struct shared *s) {
    crew_error err;
    int64_t item, n, items = 0;
    const crew_map_opts opts = {.common = s, .common_size = sizeof *s, .chunk = 1};
    crew_job *job = crew_map_async(pool, use_in_task, NULL, 0, TASKS, NULL, 0, &opts, &err);
    CHECK(job, "%s", err.text);
    if (!multiple)
        CHECK(crew_job_get(job, SOON, &err) == 0, "%s", err.text);
    for (int i = 0; i < TASKS; i++, items += item)
        if (crew_queue_get(s->queue, &item, sizeof item, SOON) != sizeof item)
            die(__FILE__, __LINE__, "get", "%d of %d: %s; %s", i, TASKS, crew_last_error()->text,
                crew_job_get(job, 0, &err) ? err.text : "");
    CHECK(crew_job_get(job, SOON, &err) == 0, "%s", err.text);
    crew_job_free(job);
    CHECK(items == TASKS * (TASKS - 1) / 2, "items %ld", (long)items);
    CHECK(crew_value_get_i64(s->sum) == items, "sum %ld", (long)crew_value_get_i64(s->sum));
    n = crew_value_get_i64(s->locked);
    CHECK(n == TASKS, "under the lock %ld", (long)n);
    for (int64_t key = 0; key < 5; key++) {
        CHECK(crew_dict_get(s->dict, &key, sizeof key, &n, sizeof n, 0) == sizeof n, "%s",
              crew_last_error()->text);
        CHECK(n == TASKS / 5, "key %ld: %ld", (long)key, (long)n);
    }
    CHECK(crew_lock_destroy(s->lock) == 0 && crew_queue_destroy(s->queue) == 0 &&
              crew_dict_destroy(s->dict) == 0 && crew_value_destroy(s->sum) == 0 &&
              crew_value_destroy(s->locked) == 0,
          "%s", crew_last_error()->text);
}

static crew_value before; /* made before the pool, by every rank */

static int count_in_task(crew_call *call) {
    int64_t was = crew_value_add_i64(*CREW_COMMON(call, crew_value), 1);
    return was < 100 ? crew_fail(call, 1, "%s", crew_last_error()->text) : 0;
}

/* The root's own, also of before, and those that some worker, of any node, has made. */
static void use_objects(crew_pool *pool) {
    crew_error err;
    struct shared root, made[SETS];
    CHECK(make_shared(&root) == 0, "%s", crew_last_error()->text);
    use_shared(pool, &root);
    CHECK(crew_map_index(pool, make_in_task, SETS, made, &(crew_map_opts){.chunk = 1}, &err) == 0,
          "%s", err.text);
    for (int i = 0; i < SETS; i++)
        use_shared(pool, &made[i]);
    const crew_map_opts opts = {.common = &before, .common_size = sizeof before, .chunk = 1};
    CHECK(crew_pool_map(pool, count_in_task, NULL, 0, TASKS, NULL, 0, &opts, &err) == 0, "%s",
          err.text);
}

/* ---- cases ---- */

static void world__roots_in_turn__have_whole_results(void) {
    for (int root = 0; root < size; root += size - 1)
        over(MPI_COMM_WORLD, root, NULL, use_all);
}

/* Two pools at the same time, several times; and of one rank alone. */
static void halves__at_the_same_time__have_whole_results(void) {
    MPI_Comm half;
    MPI_Comm_split(MPI_COMM_WORLD, rank % 2, -rank, &half);
    for (int i = 0; i < 3; i++) {
        int all;
        MPI_Comm_size(half, &all);
        over(half, i % all, &(crew_pool_opts){.workers = 2}, use_all);
    }
    MPI_Comm_free(&half);
    over(MPI_COMM_SELF, 0, NULL, use_map);
}

static void see_all(crew_pool *pool) {
    crew_error err;
    int items = 4 * crew_pool_workers(pool), seen = 0;
    int64_t *out = calloc((size_t)items, sizeof *out);
    bool *of = calloc((size_t)size, sizeof *of);
    CHECK(out && of, "no memory");
    for (int i = 0; i < 200 && seen < size; i++) {
        CHECK(crew_map_index(pool, whose, items, out, &(crew_map_opts){.chunk = 1}, &err) == 0,
              "%s", err.text);
        for (int k = 0; k < items; k++) {
            int64_t rank_of = out[k] - 700;
            CHECK(rank_of >= 0 && rank_of < size, "a worker sees %ld", (long)out[k]);
            seen += !of[rank_of];
            of[rank_of] = true;
        }
    }
    CHECK(seen == size, "of %d ranks %d have workers that work", size, seen);
    free(out);
    free(of);
}

static void workers__forked_in_the_call__see_what_their_rank_had(void) {
    int64_t before = factor;
    factor = 700 + rank;
    over(MPI_COMM_WORLD, 0, &(crew_pool_opts){.workers = 2 * size}, see_all);
    factor = before;
}

static void lose_workers(crew_pool *pool) {
    crew_error err;
    static int64_t out[COUNT];
    const crew_map_opts opts = {.chunk = 1};
    CHECK(crew_map_index(pool, deadly, COUNT, out, &opts, &err) == 0, "%s", err.text);
    for (int64_t i = 0; i < COUNT; i++)
        CHECK(out[i] == i * factor, "item %ld is %ld", (long)i, (long)out[i]);
    use_map(pool);
}

static void worker__is_killed__its_item_runs_again(void) {
    over(MPI_COMM_WORLD, 0, &(crew_pool_opts){.retries = 1}, lose_workers);
}

static void refused(MPI_Comm comm, int root, const crew_pool_opts *opts, int code,
                    const char *text) {
    crew_pool *pool = (crew_pool *)&code;
    crew_error err;
    int rc = crew_mpi_pool(comm, root, opts, &pool, &err);
    CHECK(rc == code && err.code == code, "%d %s", rc, err.text);
    CHECK(!pool, "there is a pool");
    CHECK(strstr(err.text, text), "%s", err.text);
    CHECK(crew_mpi_pool(comm, root, opts, &pool, NULL) == code, "another code");
    CHECK(crew_last_error()->code == code, "not kept: %d", crew_last_error()->code);
}

static void errors__of_one_rank__are_known_to_all(void) {
    refused(MPI_COMM_WORLD, rank == 0 ? 0 : 1, NULL, CREW_EINVAL, "several roots");
    refused(MPI_COMM_WORLD, size, NULL, CREW_EINVAL, "the communicator has ranks from 0 to");
    refused(MPI_COMM_NULL, 0, NULL, CREW_EINVAL, "MPI_COMM_NULL");
    refused(MPI_COMM_WORLD, 0, &(crew_pool_opts){.start = CREW_START_SERVER}, CREW_ENOTSUP,
            "start is server");
    refused(MPI_COMM_WORLD, 0, &(crew_pool_opts){.backend = CREW_THREADS}, CREW_EINVAL,
            "backend is threads");
    refused(MPI_COMM_WORLD, size - 1, &(crew_pool_opts){.init = refuses}, CREW_EFAILED,
            "not today");
}

/* A root that has a pool is asked for another by somebody else. */
static void second__while_there_is_one__is_refused_to_all(void) {
    MPI_Comm pair;
    crew_pool *pool = NULL;
    crew_error err;
    MPI_Comm_split(MPI_COMM_WORLD, rank == 0 || rank == size - 1 ? 0 : MPI_UNDEFINED, 0, &pair);
    if (rank == 0)
        CHECK(crew_mpi_pool(MPI_COMM_SELF, 0, NULL, &pool, &err) == 0, "%s", err.text);
    if (pair != MPI_COMM_NULL) {
        refused(pair, 1, NULL, CREW_EINVAL, "has, or serves, another pool");
        MPI_Comm_free(&pair);
    }
    if (rank == 0) {
        use_map(pool);
        crew_pool_free(pool);
    }
    over(MPI_COMM_WORLD, 0, NULL, use_map);
}

/* Also with the next pool: what stood for processes of other nodes went with the first. */
static void objects__of_any_node__are_used_by_all(void) {
    for (int root = 0; root < size; root += size - 1) {
        CHECK(crew_value_create(&before, CREW_I64) == 0, "%s", crew_last_error()->text);
        crew_value_set_i64(before, 100);
        over(MPI_COMM_WORLD, root, &(crew_pool_opts){.workers = 2 * size}, use_objects);
        int64_t n = crew_value_get_i64(before);
        CHECK(n == (rank == root ? 100 + TASKS : 100), "it is %ld", (long)n);
        CHECK(crew_value_destroy(before) == 0, "%s", crew_last_error()->text);
    }
}

/* Beside the pool, another thread of each rank: it tells the root of a value of its own, and
 * adds to the root's. */
static MPI_Comm beside;

static void tell_and_add(crew_value mine, crew_value theirs) {
    static crew_value all[64];
    int added, sum = 0;
    MPI_Bcast(&theirs, sizeof theirs, MPI_BYTE, 0, beside);
    MPI_Gather(&mine, sizeof mine, MPI_BYTE, all, sizeof mine, MPI_BYTE, 0, beside);
    crew_value_add_i64(theirs, 1);
    added = crew_last_error()->code == 0;
    CHECK(added || crew_last_error()->code == CREW_ENOTSUP, "%s", crew_last_error()->text);
    MPI_Reduce(&added, &sum, 1, MPI_INT, MPI_SUM, 0, beside);
    if (rank != 0)
        return;
    int64_t n = crew_value_get_i64(theirs);
    CHECK(n == 500 + sum, "it is %ld, %d added", (long)n, sum);
    for (int r = 0; r < size; r++) { /* what it means, or nothing: never another value */
        n = crew_value_get_i64(all[r]);
        CHECK(n == 70 + r || crew_last_error()->code == CREW_EINVAL, "of rank %d: %ld", r, (long)n);
    }
}

static void *use_beside(void *pool) {
    crew_value mine, theirs = {0};
    if (!pool) /* the root has opened its pool, so this rank serves it */
        MPI_Barrier(beside);
    CHECK(crew_value_create(&mine, CREW_I64) == 0, "%s", crew_last_error()->text);
    crew_value_set_i64(mine, 70 + rank);
    if (pool) {
        CHECK(crew_value_create(&theirs, CREW_I64) == 0, "%s", crew_last_error()->text);
        crew_value_set_i64(theirs, 500);
    }
    tell_and_add(mine, theirs);
    MPI_Barrier(beside);
    crew_value_destroy(mine);
    if (pool)
        crew_value_destroy(theirs);
    return NULL;
}

static void use_with_others(crew_pool *pool) {
    MPI_Barrier(beside);
    use_beside(pool);
}

static void objects__beside_the_pool__are_each_what_they_mean(void) {
    pthread_t thread;
    if (!multiple)
        return;
    MPI_Comm_dup(MPI_COMM_WORLD, &beside);
    if (rank != 0)
        CHECK(pthread_create(&thread, NULL, use_beside, NULL) == 0, "no thread");
    over(MPI_COMM_WORLD, 0, NULL, use_with_others);
    if (rank != 0)
        pthread_join(thread, NULL);
    MPI_Comm_free(&beside);
}

/* A pool of a rank's own beside it. */
static void use_both(crew_pool *pool) {
    crew_error err;
    crew_pool *own = crew_pool_open(NULL, &err);
    CHECK(own, "%s", err.text);
    use_map(own);
    use_map(pool);
    use_map(own);
    crew_pool_free(own);
    own = crew_pool_open(&(crew_pool_opts){.backend = CREW_MPI}, &err);
    CHECK(!own && err.code == CREW_ENOTSUP, "%s", own ? "it was opened" : err.text);
}

static void plain_pool__beside_it__is_the_ranks_own(void) {
    over(MPI_COMM_WORLD, 0, NULL, use_both);
}

static void finalize__before_and_after__frees_the_pool(void) {
    crew_pool *pool;
    crew_error err;
    crew_finalize();
    over(MPI_COMM_WORLD, size - 1, NULL, use_map);
    CHECK(crew_mpi_pool(MPI_COMM_WORLD, 0, NULL, &pool, &err) == 0, "%s", err.text);
    if (pool)
        use_map(pool);
    MPI_Finalize(); /* the root's frees the pool, or the others would still serve it */
    CHECK(crew_mpi_pool(MPI_COMM_WORLD, 0, NULL, &pool, &err) == CREW_EINVAL, "after the end");
    crew_finalize();
}

/* ---- crew_array_win ---- */

/* Workers have no MPI. */
static int has_no_window(crew_call *call) {
    MPI_Win win;
    int rc = crew_array_win(*CREW_IN(call, crew_array), &win);
    if (rc != CREW_ENOTSUP || !strstr(crew_last_error()->text, "no MPI"))
        return crew_fail(call, 1, "%d: %s", rc, crew_last_error()->text);
    const int64_t mine = 41;
    return crew_array_put(*CREW_IN(call, crew_array), 5, 1, &mine);
}

/* Whether MPI makes windows over memory at all, as it is set here: over TCP Open MPI need not. */
static bool windows(void) {
    static int64_t memory[8];
    MPI_Comm comm;
    MPI_Win win;
    MPI_Comm_dup(MPI_COMM_WORLD, &comm);
    MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    bool made = MPI_Win_create(memory, sizeof memory, 1, MPI_INFO_NULL, comm, &win) == MPI_SUCCESS;
    if (made)
        MPI_Win_free(&win);
    MPI_Comm_free(&comm);
    return made;
}

static void window__of_an_array__is_read_and_written_by_mpi(void) {
    crew_pool *pool;
    crew_error err;
    crew_array a;
    MPI_Win win = MPI_WIN_NULL;
    const int64_t n = 1000;
    bool possible = windows();
    CHECK(crew_mpi_pool(MPI_COMM_WORLD, 0, NULL, &pool, &err) == 0, "%s", err.text);
    if (!pool)
        return;
    CHECK(crew_array_create(&a, CREW_I64, 1, &n, NULL) == 0, "%s", crew_last_error()->text);
    CHECK(crew_pool_map(pool, has_no_window, &a, sizeof a, 1, NULL, 0, NULL, &err) == 0, "%s",
          err.text);
    if (!possible) {
        CHECK(crew_array_win(a, &win) == CREW_ENOTSUP, "%s", crew_last_error()->text);
        crew_pool_free(pool);
        return;
    }
    CHECK(crew_array_win(a, &win) == 0, "%s", crew_last_error()->text);
    char *base;
    int there, me;
    MPI_Group group;
    MPI_Win_get_attr(win, MPI_WIN_BASE, &base, &there);
    CHECK(there, "no base");
    MPI_Win_get_group(win, &group);
    MPI_Group_rank(group, &me);
    MPI_Group_free(&group);
    CHECK(me == 0, "%d", me);
    int64_t *data = crew_array_data(a), got = 0;
    const int64_t put = 43;
    const MPI_Aint at = (char *)data - base;
    data[7] = 42;
    MPI_Win_sync(win);
    MPI_Get(&got, 1, MPI_INT64_T, me, at + 7 * 8, 1, MPI_INT64_T, win);
    MPI_Put(&put, 1, MPI_INT64_T, me, at + 9 * 8, 1, MPI_INT64_T, win);
    MPI_Win_flush(me, win);
    CHECK(got == 42 && data[9] == 43, "%d %d", (int)got, (int)data[9]);
    CHECK(crew_array_destroy(a) == 0, "%s", crew_last_error()->text);
    CHECK(crew_array_win(a, &win) == CREW_EINVAL, "destroyed");
    crew_pool_free(pool);
}

int main(int argc, char **argv) {
    static const char *const names[] = {"single", "funneled", "serialized", "multiple"};
    const int levels[] = {MPI_THREAD_SINGLE, MPI_THREAD_FUNNELED, MPI_THREAD_SERIALIZED,
                          MPI_THREAD_MULTIPLE};
    int wanted = 0, have;
    crew_pool *pool;
    crew_error err;
    while (wanted < 3 && strcmp(names[wanted], argc > 1 ? argv[1] : "") != 0)
        wanted++;
    /* MPI is ours, so it comes before MPI_Init as well as after. */
    if (wanted % 2)
        CHECK(crew_init(&argc, &argv) == 0, "%s", crew_last_error()->text);
    CHECK(crew_mpi_pool(MPI_COMM_WORLD, 0, NULL, &pool, &err) == CREW_EINVAL, "before MPI_Init");
    MPI_Init_thread(&argc, &argv, levels[wanted], &have);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    CHECK(have >= levels[wanted], "MPI has no %s", names[wanted]);
    multiple = have == MPI_THREAD_MULTIPLE;
    factor = 3;
    struct chatter chatter;
    begin_chat(&chatter);
    world__roots_in_turn__have_whole_results();
    halves__at_the_same_time__have_whole_results();
    workers__forked_in_the_call__see_what_their_rank_had();
    worker__is_killed__its_item_runs_again();
    errors__of_one_rank__are_known_to_all();
    second__while_there_is_one__is_refused_to_all();
    objects__of_any_node__are_used_by_all();
    objects__beside_the_pool__are_each_what_they_mean();
    plain_pool__beside_it__is_the_ranks_own();
    window__of_an_array__is_read_and_written_by_mpi();
    end_chat(&chatter);
    finalize__before_and_after__frees_the_pool();
    if (rank == 0)
        printf("ok - own: %s\n", names[wanted]);
    return 0;
}
