/* A team of threads over a real segment and arena, with no pool above it: what is
 * posted by hand is claimed, run and ended by members as they are. */
#include "crewtest.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "os/clock.h"
#include "os/futex.h"
#include "support/plain.h"
#include "team/member.h"

#include <crew/pool.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { SLOW = 10 };
#else
enum { SLOW = 1 };
#endif

enum { START = 4096, BELL_AT = 64, MEMBERS = 4, INDICES = 1 << 16 };
static const double PATIENCE = 60;

static uint64_t seed;

/* ---- a team by hand ---- */

struct crowd {
    cw_segment seg;
    struct cw_maps maps;
    struct cw_team *t;
    struct cw_member member[MEMBERS];
    pthread_t thread[MEMBERS];
    int running;
    pthread_mutex_t lock; /* as a pool's: around making and releasing roots, and counting anew */
};

static struct crowd c;
static _Atomic int32_t ran[INDICES]; /* how often the task with that index ran */
static _Atomic int64_t gate;         /* tasks that wait do so until it is 1 */
static _Atomic int64_t inside;

static cw_off room(size_t size) {
    crew_error err;
    cw_off off = cw_alloc_zero(&c.maps.arena, size, NULL, &err);
    if (!off)
        fail_msg("%s", err.text);
    return off;
}

static void build(int workers, uint32_t log2_ring) {
    crew_error err;
    if (c.running)
        fail_msg("members of a test that has failed are still there");
    memset(&c, 0, sizeof c);
    for (int i = 0; i < INDICES; i++)
        atomic_store(&ran[i], 0);
    atomic_store(&gate, 0);
    atomic_store(&inside, 0);
    pthread_mutex_init(&c.lock, NULL);
    assert_int_equal(cw_segment_create(&c.seg, (uint64_t)256 << 20, &err), 0);
    assert_int_equal(cw_arena_create(&c.maps.arena, &c.seg, START, UINT64_MAX, &err), 0);
    assert_int_equal(cw_segment_commit(&c.seg, 0, START, &err), 0);
    c.maps.root = c.seg.base;
    c.maps.root_size = c.seg.size;
    struct cw_team *t = c.t = cw_ptr(&c.maps.arena, room(sizeof *t));
    t->members = workers;
    t->bell = BELL_AT;
    t->lines = room((size_t)workers * sizeof(struct cw_line));
    t->seats = room((size_t)workers * sizeof(struct cw_seat));
    t->places = room((size_t)workers * sizeof(struct cw_place));
    for (int i = 0; i <= CW_PRIORITIES; i++) {
        cw_off ring = room(cw_ring_bytes(log2_ring));
        cw_ring_init(cw_ptr(&c.maps.arena, ring), log2_ring);
        *(i < CW_PRIORITIES ? &t->rings[i] : &t->notify) = ring;
    }
    t->magic = CW_TEAM_MAGIC;
}

static void *live(void *arg) {
    struct cw_member *m = arg;
    bool in_order = cw_member_live(m);
    atomic_store(&cw_team_seat(&c.maps, c.t, m->rank)->state, CW_SEAT_ENDED);
    return in_order ? m : NULL;
}

static void start(void) {
    for (int rank = 0; rank < c.t->members; rank++) {
        struct cw_member *m = &c.member[rank];
        cw_member_init(m, &c.maps, c.t, rank);
        m->spins = rank % 2; /* some spin before they sleep, some do not */
        atomic_store(&cw_team_seat(&c.maps, c.t, rank)->state, CW_SEAT_ALIVE);
        assert_int_equal(pthread_create(&c.thread[rank], NULL, live, m), 0);
        c.running++;
    }
}

/* Members finish what there is and leave; nothing is left in the arena but what
 * the team is made of. */
static void finish(void) {
    atomic_store(&c.t->quit, CW_DRAIN);
    cw_team_wake_all(&c.maps, c.t);
    for (int rank = 0; rank < c.running; rank++) {
        void *in_order = NULL;
        assert_int_equal(pthread_join(c.thread[rank], &in_order), 0);
        assert_non_null(in_order);
    }
    c.running = 0;
    cw_segment_destroy(&c.seg);
    pthread_mutex_destroy(&c.lock);
}

/* ---- tasks ---- */

static struct cw_task *at(uint32_t number) {
    return cw_task_at(&c.maps, c.t, number);
}

static uint32_t phase_of(uint32_t number) {
    return cw_task_phase(atomic_load(&at(number)->state));
}

static uint32_t generation_of(uint32_t number) {
    return cw_task_generation(atomic_load(&at(number)->state));
}

static cw_fn_name name_of(crew_fn *fn) {
    cw_fn_name name;
    assert_int_equal(cw_fn_find((cw_fn *)fn, NULL, &name, NULL), 0);
    return name;
}

/* QUEUED, with no hint yet. */
static uint32_t post(crew_fn *fn, int64_t index, int64_t item, int priority) {
    crew_error err;
    pthread_mutex_lock(&c.lock);
    int64_t number = cw_task_new(&c.maps, c.t, NULL, &err);
    if (number < 0)
        fail_msg("%s", err.text);
    struct cw_task *task = at((uint32_t)number);
    task->fn = name_of(fn);
    task->index = index;
    task->priority = priority;
    task->slot_size = sizeof(int64_t);
    assert_int_equal(cw_task_put_item(&c.maps, task, &item, sizeof item, &err), 0);
    assert_true(cw_task_move(task, generation_of((uint32_t)number), CW_TASK_PREPARED,
                             CW_TASK_QUEUED, 0, NULL));
    pthread_mutex_unlock(&c.lock);
    return (uint32_t)number;
}

static void hint(uint32_t number, int priority) {
    while (!cw_task_hint(&c.maps, c.t, number, priority))
        sched_yield(); /* the ring is full: members are at it */
}

static uint32_t post_hinted(crew_fn *fn, int64_t index, int64_t item) {
    uint32_t number = post(fn, index, item, 0);
    hint(number, 0);
    cw_team_wake(&c.maps, c.t, 1);
    return number;
}

static void await_done(uint32_t number) {
    const int64_t end = cw_now_ns() + (int64_t)(PATIENCE * 1e9);
    while (phase_of(number) != CW_TASK_DONE) {
        uint32_t seen = (uint32_t)cw_task_flag(at(number), CW_TASK_WAITED) | CW_TASK_WAITED;
        if (cw_task_phase(seen) != CW_TASK_DONE)
            cw_futex_wait(cw_task_futex(at(number)), seen, 0.5);
        if (cw_now_ns() > end)
            fail_msg("record %u is still in phase %u, children %d", number, phase_of(number),
                     atomic_load(&at(number)->children));
    }
}

static void release(uint32_t number) {
    pthread_mutex_lock(&c.lock);
    cw_task_release(&c.maps, c.t, number);
    pthread_mutex_unlock(&c.lock);
}

#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        const int64_t await_end_ = cw_now_ns() + (int64_t)(PATIENCE * 1e9);                        \
        while (!(condition)) {                                                                     \
            if (cw_now_ns() > await_end_)                                                          \
                fail_msg("still not: %s", #condition);                                             \
            sched_yield();                                                                         \
        }                                                                                          \
    } while (0)

static int count_me(crew_call *call) {
    atomic_fetch_add(&ran[call->index], 1);
    *CREW_OUT(call, int64_t) = *CREW_IN(call, int64_t);
    return 0;
}

static int wait_at_gate(crew_call *call) {
    atomic_fetch_add(&inside, 1);
    const int64_t end = cw_now_ns() + (int64_t)(PATIENCE * 1e9);
    while (!atomic_load(&gate)) {
        if (cw_now_ns() > end)
            return 1;
        sched_yield();
    }
    return count_me(call);
}

static void tasks__posted_one_by_one__run_once_and_answer(void **state) {
    (void)state;
    enum { N = 20000 / SLOW };
    static uint32_t number[N];
    build(MEMBERS, 10);
    uint64_t used = cw_arena_used(&c.maps.arena);
    start();
    for (int64_t i = 0; i < N; i++)
        number[i] = post_hinted(count_me, i, i * 7);
    for (int64_t i = 0; i < N; i++) {
        await_done(number[i]);
        assert_int_equal(at(number[i])->status, 0);
        assert_int_equal(at(number[i])->out_size, sizeof(int64_t));
        assert_int_equal(*(const int64_t *)cw_task_result(&c.maps, at(number[i])), i * 7);
        assert_int_equal(ran[i], 1);
    }
    for (int64_t i = 0; i < N; i++)
        release(number[i]);
    /* Blocks of records stay with the team, nothing else does. */
    uint64_t blocks = (N + CW_TASK_PER_BLOCK - 1) / CW_TASK_PER_BLOCK;
    assert_true(cw_arena_used(&c.maps.arena) <=
                used + blocks * (CW_TASK_PER_BLOCK * sizeof(struct cw_task) + 65536));
    finish();
}

static void tasks__for_all_members_at_once__one_wake_wakes_the_next(void **state) {
    (void)state;
    build(MEMBERS, 10);
    start();
    for (int round = 0; round < 200 / SLOW; round++) {
        uint32_t number[MEMBERS];
        atomic_store(&gate, 0);
        atomic_store(&inside, 0);
        for (int i = 0; i < MEMBERS; i++) {
            number[i] = post(wait_at_gate, i, i, 0);
            hint(number[i], 0);
        }
        cw_team_wake(&c.maps, c.t, 1); /* of the first; it sees that there is more */
        AWAIT(atomic_load(&inside) == MEMBERS);
        atomic_store(&gate, 1);
        for (int i = 0; i < MEMBERS; i++) {
            await_done(number[i]);
            release(number[i]);
        }
    }
    finish();
}

/* ---- hints ---- */

static void hint__given_several_times__runs_the_task_once(void **state) {
    (void)state;
    enum { N = 20000 / SLOW, AHEAD = 16 };
    uint32_t number[AHEAD];
    build(MEMBERS, 6);
    start();
    uint64_t s = seed;
    /* Records are used again at once, so that hints of their former lives come
     * upon them in every phase. */
    for (int64_t i = 0; i < N + AHEAD; i++) {
        if (i >= AHEAD) {
            await_done(number[i % AHEAD]);
            release(number[i % AHEAD]);
        }
        if (i >= N)
            continue;
        uint32_t n = number[i % AHEAD] = post(count_me, i, i, 0);
        for (uint64_t times = 1 + draw(&s) % 3; times > 0; times--)
            hint(n, (int)(draw(&s) % 7) - 3);
        cw_team_wake(&c.maps, c.t, 1);
    }
    finish();
    for (int64_t i = 0; i < N; i++)
        assert_int_equal(ran[i], 1);
}

static void hint__lost__the_task_waits_and_runs_when_hinted_again(void **state) {
    (void)state;
    build(MEMBERS, 6);
    start();
    uint32_t lost = post(count_me, 0, 5, 0);
    uint32_t popped = post(count_me, 1, 6, 0), number;
    hint(popped, 0);
    /* Somebody pops it and is gone: this thread, or a member that runs it. */
    bool ours = cw_task_pop(&c.maps, c.t, &number) && number == popped;
    for (int64_t i = 2; i < 200; i++) {
        uint32_t other = post_hinted(count_me, i, i);
        await_done(other);
        release(other);
    }
    assert_int_equal(phase_of(lost), CW_TASK_QUEUED);
    assert_int_equal(ran[0], 0);
    assert_int_equal(ran[1], ours ? 0 : 1);
    hint(lost, 0);
    if (ours)
        hint(popped, 0);
    cw_team_wake(&c.maps, c.t, 2);
    await_done(lost);
    await_done(popped);
    assert_int_equal(ran[0], 1);
    assert_int_equal(ran[1], 1);
    finish();
}

/* ---- ends before the beginning ---- */

static void cancel__against_the_run__one_of_the_two_wins(void **state) {
    (void)state;
    enum { N = 30000 / SLOW };
    build(MEMBERS, 8);
    start();
    uint64_t s = seed;
    static bool cancelled[N];
    int64_t won = 0;
    for (int64_t i = 0; i < N; i++) {
        uint32_t n = post(count_me, i, i, 0);
        uint32_t generation = generation_of(n);
        hint(n, 0);
        cw_team_wake(&c.maps, c.t, 1);
        for (uint64_t spins = draw(&s) % 64; spins > 0; spins--)
            cw_relax();
        cancelled[i] = cw_task_move(at(n), generation, CW_TASK_QUEUED, CW_TASK_PREPARED, 0, NULL);
        if (!cancelled[i])
            await_done(n);
        won += cancelled[i];
        release(n);
        assert_false(cw_task_move(at(n), generation, CW_TASK_DONE, CW_TASK_QUEUED, 0, NULL));
    }
    finish();
    for (int64_t i = 0; i < N; i++)
        assert_int_equal(ran[i], cancelled[i] ? 0 : 1);
    printf("cancelled %lld of %d\n", (long long)won, (int)N);
}

static void kill__before_it_runs__is_cancelled_and_called_never(void **state) {
    (void)state;
    build(1, 6);
    start();
    uint32_t holds = post_hinted(wait_at_gate, 0, 0);
    AWAIT(atomic_load(&inside) == 1);
    uint32_t unwanted = post_hinted(count_me, 1, 1), wanted = post_hinted(count_me, 2, 2);
    uint64_t was = cw_task_flag(at(unwanted), CW_TASK_KILL);
    assert_int_equal(cw_task_phase(was), CW_TASK_QUEUED);
    assert_int_equal(phase_of(holds), CW_TASK_RUNNING);
    assert_int_equal(cw_task_owner(atomic_load(&at(holds)->state)), 1);
    atomic_store(&gate, 1);
    await_done(unwanted);
    await_done(wanted);
    await_done(holds);
    assert_int_equal(at(unwanted)->status, CREW_ECANCELLED);
    assert_int_equal(at(wanted)->status, 0);
    assert_int_equal(ran[1], 0);
    assert_int_equal(ran[2], 1);
    finish();
}

static void quit__terminate__leaves_what_is_queued(void **state) {
    (void)state;
    build(2, 8);
    start();
    uint32_t holds[2] = {post_hinted(wait_at_gate, 0, 0), post_hinted(wait_at_gate, 1, 0)};
    AWAIT(atomic_load(&inside) == 2);
    uint32_t behind = post_hinted(count_me, 2, 0);
    atomic_store(&c.t->quit, CW_TERMINATE);
    cw_team_wake_all(&c.maps, c.t);
    atomic_store(&gate, 1);
    for (int rank = 0; rank < c.running; rank++) {
        void *in_order;
        pthread_join(c.thread[rank], &in_order);
        assert_null(in_order);
    }
    c.running = 0;
    assert_int_equal(phase_of(holds[0]), CW_TASK_DONE);
    assert_int_equal(phase_of(holds[1]), CW_TASK_DONE);
    assert_int_equal(phase_of(behind), CW_TASK_QUEUED);
    assert_int_equal(ran[2], 0);
    finish();
}

/* ---- priorities ---- */

static int64_t order[4096];
static int64_t order_count;

static int note_order(crew_call *call) { /* by one member: no race */
    order[order_count++] = call->index;
    return count_me(call);
}

static void priority__each_level__runs_before_those_below_and_in_order(void **state) {
    (void)state;
    enum { N = 700 };
    int priority[N];
    uint32_t number[N];
    uint64_t s = seed;
    build(1, 10);
    order_count = 0;
    for (int64_t i = 0; i < N; i++) {
        priority[i] = (int)(draw(&s) % CW_PRIORITIES) - CW_PRIORITIES / 2;
        number[i] = post(note_order, i, i, priority[i]);
        hint(number[i], priority[i]);
    }
    start();
    for (int64_t i = 0; i < N; i++)
        await_done(number[i]);
    finish();
    assert_int_equal(order_count, N);
    for (int64_t i = 1; i < N; i++) {
        int64_t a = order[i - 1], b = order[i];
        assert_true(priority[a] > priority[b] || (priority[a] == priority[b] && a < b));
    }
}

/* ---- children ---- */

enum { FANOUT = 3 };
static int leaf_code; /* what the leaves return; set while nothing runs */

static int grow(crew_call *call) { /* its item: how many levels lie below it */
    int64_t levels = *CREW_IN(call, int64_t) - 1;
    atomic_fetch_add(&ran[call->index], 1);
    struct cw_frame *frame = (struct cw_frame *)call;
    for (int i = 0; i < FANOUT && levels >= 0; i++) {
        crew_error err;
        if (cw_child_spawn(frame->member, frame, grow, &levels, sizeof levels, &err) < 0)
            return 1;
    }
    return levels < 0 ? leaf_code : 0;
}

static int32_t tree_size(int64_t levels) {
    int32_t size = 1, width = 1;
    for (; levels > 0; levels--)
        size += width *= FANOUT;
    return size;
}

static _Atomic int stop_supervisor;
static _Atomic int64_t counted, counted_busy, restored;

/* Records that a full ring had no room for wait without a hint until the rings
 * have run dry: what the supervisor does then. With the lock. */
static void restore_hints(void) {
    if (cw_task_any(&c.maps, c.t) || !atomic_exchange(&c.t->hints_lost, 0))
        return;
    for (uint32_t i = 0, n = atomic_load(&c.t->task_count); i < n; i++) {
        if (phase_of(i) != CW_TASK_QUEUED)
            continue;
        atomic_fetch_add(&restored, 1);
        if (!cw_task_hint(&c.maps, c.t, i, 0)) {
            atomic_store(&c.t->hints_lost, 1);
            break;
        }
    }
    cw_team_wake_all(&c.maps, c.t);
}

/* What the supervisor does after a death in the wrong place, all the time. */
static void *supervise(void *unused) {
    (void)unused;
    while (!atomic_load(&stop_supervisor)) {
        pthread_mutex_lock(&c.lock);
        bool busy = cw_task_any(&c.maps, c.t);
        if (cw_children_recount(&c.maps, c.t) == 0) {
            atomic_fetch_add(&counted, 1);
            /* Before and after it there was something to count. */
            if (busy && cw_task_any(&c.maps, c.t))
                atomic_fetch_add(&counted_busy, 1);
        }
        restore_hints();
        pthread_mutex_unlock(&c.lock);
        sched_yield();
    }
    return NULL;
}

static pthread_t start_supervisor(void) {
    pthread_t thread;
    atomic_store(&stop_supervisor, 0);
    atomic_store(&counted, 0);
    atomic_store(&counted_busy, 0);
    atomic_store(&restored, 0);
    assert_int_equal(pthread_create(&thread, NULL, supervise, NULL), 0);
    return thread;
}

static void end_supervisor(pthread_t thread) {
    atomic_store(&stop_supervisor, 1);
    pthread_join(thread, NULL);
    printf("counted anew %lld times, %lld of them in the middle\n",
           (long long)atomic_load(&counted), (long long)atomic_load(&counted_busy));
}

static void grow_trees(uint32_t log2_ring) {
    enum { LEAST = 300 / SLOW, AHEAD = 8, MIDDLES = 20 };
    uint32_t number[AHEAD];
    static int64_t levels[INDICES];
    uint64_t s = seed;
    build(MEMBERS, log2_ring);
    start();
    pthread_t counter = start_supervisor();
    int64_t posted = 0, ended = 0;
    for (;;) {
        bool more = posted < LEAST || atomic_load(&counted_busy) < MIDDLES;
        if (more && posted - ended < AHEAD) {
            assert_true(posted < INDICES);
            levels[posted] = (int64_t)(draw(&s) % 7);
            number[posted % AHEAD] = post_hinted(grow, posted, levels[posted]);
            posted++;
            continue;
        }
        if (ended == posted)
            break;
        uint32_t n = number[ended % AHEAD];
        await_done(n);
        assert_int_equal(at(n)->status, 0);
        /* The root is not done before its last descendant. */
        assert_int_equal(ran[ended], tree_size(levels[ended]));
        release(n);
        ended++;
    }
    end_supervisor(counter);
    finish();
    for (int64_t i = 0; i < posted; i++)
        assert_int_equal(ran[i], tree_size(levels[i]));
}

static void spawn__trees_while_children_are_counted_anew__end_when_all_have_run(void **state) {
    (void)state;
    grow_trees(12);
}

static void spawn__into_rings_that_are_full__waits_for_a_new_hint(void **state) {
    (void)state;
    grow_trees(3);
    assert_true(atomic_load(&restored) > 0);
}

static void spawn__children_that_fail__their_root_fails_once_with_one_of_them(void **state) {
    (void)state;
    enum { N = 300 / SLOW };
    build(MEMBERS, 12);
    leaf_code = 42;
    start();
    uint64_t used = 0;
    for (int64_t i = 0; i < N; i++) {
        uint32_t n = post_hinted(grow, i, 3);
        await_done(n);
        assert_int_equal(at(n)->status, CREW_EFAILED);
        const struct cw_failure *f = cw_ptr(&c.maps.arena, atomic_load(&at(n)->told));
        assert_non_null(f);
        assert_int_equal(f->code, CREW_EFAILED);
        assert_int_equal(f->task_code, 42);
        assert_int_equal(ran[i], tree_size(3));
        release(n);
        /* A failure nobody kept is freed with its record: after a first round for
         * the blocks, the arena does not grow. Children release just after. */
        if (i == 0)
            used = cw_arena_used(&c.maps.arena);
    }
    AWAIT(cw_arena_used(&c.maps.arena) <= used);
    finish();
    leaf_code = 0;
}

/* ---- maps ---- */

struct map {
    cw_off at, marks, failures, out;
    struct cw_job *job;
};

static struct map make_map(crew_fn *fn, int64_t count, int on_error) {
    struct map m = {.at = room(sizeof(struct cw_job)),
                    .marks = room((size_t)count),
                    .failures = room(sizeof(struct cw_failure)),
                    .out = room((size_t)count * sizeof(int64_t))};
    struct cw_job *job = m.job = cw_ptr(&c.maps.arena, m.at);
    job->kind = CW_JOB_ITEMS;
    job->fn = name_of(fn);
    job->count = job->total = count;
    job->end = count;
    job->grain = job->step = 1;
    job->is_index = 1;
    job->schedule = CREW_SCHED_AUTO;
    job->on_error = on_error;
    job->workers = c.t->members;
    job->out = m.out;
    job->out_size = sizeof(int64_t);
    job->marks = m.marks;
    job->failures = m.failures;
    job->failures_cap = 1;
    job->failures_highest = -1;
    atomic_store(&job->stop_at, INT64_MAX);
    pthread_mutex_init(&job->failures_lock, NULL);
    return m;
}

static void put_map(struct map *m, uint32_t slot) {
    static uint32_t generation;
    m->job->slot = slot;
    m->job->generation = ++generation;
    atomic_store(&c.t->job[slot], m->at);
    atomic_fetch_or(&c.t->jobs, 1ull << slot);
    atomic_fetch_or(&c.t->claimable, 1ull << slot);
    cw_team_wake(&c.maps, c.t, c.t->members);
}

static bool anybody_in(uint32_t slot) {
    for (int rank = 0; rank < c.t->members; rank++)
        for (int level = 0; level < CW_NESTED; level++)
            if (atomic_load(&cw_team_line(&c.maps, c.t, rank)->doing[level]) == slot + 1)
                return true;
    return false;
}

/* Off the board as its manager would take it, and its memory made unusable: a
 * member that still looked at it would trip. */
static void take_map(struct map *m, uint32_t slot) {
    AWAIT(!anybody_in(slot));
    pthread_mutex_lock(&c.lock);
    atomic_fetch_and(&c.t->jobs, ~(1ull << slot));
    atomic_fetch_and(&c.t->claimable, ~(1ull << slot));
    pthread_mutex_unlock(&c.lock);
    AWAIT(!anybody_in(slot));
    pthread_mutex_destroy(&m->job->failures_lock);
    memset(m->job, 0xee, sizeof *m->job);
    cw_free(&c.maps.arena, m->at);
    cw_free(&c.maps.arena, m->marks);
    cw_free(&c.maps.arena, m->failures);
    cw_free(&c.maps.arena, m->out);
}

static _Atomic unsigned char *marks_of(const struct map *m) {
    return cw_ptr(&c.maps.arena, m->marks);
}

static bool all_marked(const struct map *m, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (!atomic_load_explicit(&marks_of(m)[i], memory_order_acquire))
            return false;
    return true;
}

static void map__posted_and_retired_again_and_again__runs_each_item_once(void **state) {
    (void)state;
    build(MEMBERS, 6);
    start();
    uint64_t s = seed;
    for (int round = 0; round < 600 / SLOW; round++) {
        int64_t count = 1 + (int64_t)(draw(&s) % 3000);
        struct map m = make_map(count_me, count, CREW_STOP);
        uint32_t slot = (uint32_t)(draw(&s) % 2);
        put_map(&m, slot);
        AWAIT(all_marked(&m, count));
        const int64_t *out = cw_ptr(&c.maps.arena, m.out);
        for (int64_t i = 0; i < count; i++) {
            assert_int_equal(marks_of(&m)[i], CW_MARK_DONE);
            assert_int_equal(atomic_exchange(&ran[i], 0), 1);
            assert_int_equal(out[i], i);
        }
        take_map(&m, slot);
    }
    finish();
}

static void map__range_that_came_back__runs_what_is_not_marked(void **state) {
    (void)state;
    enum { N = 2000 };
    build(MEMBERS, 6);
    struct map m = make_map(count_me, N, CREW_STOP);
    /* As after deaths: all is claimed, some of it was done. */
    atomic_store(&m.job->cursor, N);
    m.job->slot = 3;
    uint64_t s = seed;
    for (int64_t i = 0; i < N; i++)
        if (draw(&s) % 2)
            marks_of(&m)[i] = CW_MARK_DONE;
    static unsigned char before[N];
    for (int64_t i = 0; i < N; i++)
        before[i] = marks_of(&m)[i];
    for (int64_t i = 0; i < CW_REDO_SLOTS; i++)
        assert_true(cw_job_redo(&c.maps, c.t, m.job, i * 20, i * 20 + 20, 2));
    assert_false(cw_job_redo(&c.maps, c.t, m.job, 1999, 2000, 2)); /* no slot is free */
    start();
    put_map(&m, 3);
    AWAIT(all_marked(&m, CW_REDO_SLOTS * 20));
    AWAIT(!anybody_in(3));
    for (int64_t i = 0; i < N; i++)
        assert_int_equal(ran[i], i < CW_REDO_SLOTS * 20 && !before[i] ? 1 : 0);
    for (int i = 0; i < CW_REDO_SLOTS; i++)
        assert_int_equal(m.job->redo[i].state, 0);
    take_map(&m, 3);
    finish();
}

static int64_t bad_from, bad_every;

static int fail_some(crew_call *call) {
    count_me(call);
    return call->index >= bad_from && (call->index - bad_from) % bad_every == 0 ? 9 : 0;
}

static void map__stop__all_below_the_lowest_failure_have_run(void **state) {
    (void)state;
    enum { N = 5000 };
    build(MEMBERS, 6);
    start();
    uint64_t s = seed;
    for (int round = 0; round < 200 / SLOW; round++) {
        bad_from = (int64_t)(draw(&s) % N);
        bad_every = 1 + (int64_t)(draw(&s) % 50);
        struct map m = make_map(fail_some, N, CREW_STOP);
        put_map(&m, 0);
        AWAIT(atomic_load(&m.job->stop_at) <= bad_from && all_marked(&m, bad_from + 1));
        AWAIT(!anybody_in(0));
        assert_int_equal(m.job->stop_at, bad_from);
        const struct cw_failure *f = cw_ptr(&c.maps.arena, m.failures);
        assert_int_equal(f->item, bad_from);
        assert_int_equal(f->task_code, 9);
        assert_int_equal(marks_of(&m)[bad_from], CW_MARK_ERROR - CREW_EFAILED);
        for (int64_t i = 0; i < N; i++)
            assert_in_range(atomic_exchange(&ran[i], 0), i <= bad_from, 1);
        take_map(&m, 0);
    }
    finish();
}

static _Atomic int64_t grown;

static int item_grows(crew_call *call) {
    int64_t levels = *CREW_IN(call, int64_t) % 4 - 1;
    struct cw_frame *frame = (struct cw_frame *)call;
    crew_error err;
    *CREW_OUT(call, int64_t) = call->index;
    atomic_fetch_add(&grown, 1);
    for (int i = 0; i < FANOUT && levels >= 0; i++)
        if (cw_child_spawn(frame->member, frame, grow, &levels, sizeof levels, &err) < 0)
            return 1;
    return 0;
}

static void map__items_that_spawn_while_counted_anew__has_no_child_left(void **state) {
    (void)state;
    enum { N = 400 / SLOW };
    build(MEMBERS, 8);
    start();
    pthread_t counter = start_supervisor();
    for (int round = 0; round < 3 || atomic_load(&counted_busy) < 5; round++) {
        struct map m = make_map(item_grows, N, CREW_STOP);
        atomic_store(&grown, 0);
        put_map(&m, 5);
        AWAIT(all_marked(&m, N) && !anybody_in(5) && atomic_load(&m.job->children) == 0);
        assert_int_equal(grown, N);
        for (int64_t i = 0; i < N; i++)
            assert_int_equal(atomic_exchange(&ran[i], 0), tree_size(i % 4) - 1);
        take_map(&m, 5);
    }
    end_supervisor(counter);
    finish();
}

int main(void) {
    seed = plain_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks__posted_one_by_one__run_once_and_answer),
        cmocka_unit_test(tasks__for_all_members_at_once__one_wake_wakes_the_next),
        cmocka_unit_test(hint__given_several_times__runs_the_task_once),
        cmocka_unit_test(hint__lost__the_task_waits_and_runs_when_hinted_again),
        cmocka_unit_test(cancel__against_the_run__one_of_the_two_wins),
        cmocka_unit_test(kill__before_it_runs__is_cancelled_and_called_never),
        cmocka_unit_test(quit__terminate__leaves_what_is_queued),
        cmocka_unit_test(priority__each_level__runs_before_those_below_and_in_order),
        cmocka_unit_test(spawn__trees_while_children_are_counted_anew__end_when_all_have_run),
        cmocka_unit_test(spawn__into_rings_that_are_full__waits_for_a_new_hint),
        cmocka_unit_test(spawn__children_that_fail__their_root_fails_once_with_one_of_them),
        cmocka_unit_test(map__posted_and_retired_again_and_again__runs_each_item_once),
        cmocka_unit_test(map__range_that_came_back__runs_what_is_not_marked),
        cmocka_unit_test(map__stop__all_below_the_lowest_failure_have_run),
        cmocka_unit_test(map__items_that_spawn_while_counted_anew__has_no_child_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
