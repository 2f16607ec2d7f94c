/* Processes die inside the arena; what they leave must be whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>

#include "step_kill.h"
#include "team/arena_core.h"

enum { CELLS_PER_WORKER = 64, WORKERS = 4, CELLS = CELLS_PER_WORKER * WORKERS };

/* In front of the arena, in the same segment. */
struct board {
    _Atomic cw_off cells[CELLS];
    _Atomic uint64_t stamps[CELLS]; /* what the block's first and last words hold, or 0 */
    _Atomic uint64_t operations;
    _Atomic uint32_t stop, wrong;
};
enum { ARENA_AT = 16384 };
_Static_assert(sizeof(struct board) <= ARENA_AT, "the board lies before the arena");

struct world {
    cw_segment seg;
    cw_arena arena;
    struct board *board;
    size_t size;
    bool zero;
    cw_off plain;
};

static struct world open_world(void) {
    struct world w = {0};
    crew_error err;
    assert_int_equal(cw_segment_create(&w.seg, (uint64_t)64 << 20, &err), 0);
    assert_int_equal(cw_segment_commit(&w.seg, 0, ARENA_AT, &err), 0);
    w.board = (struct board *)(void *)w.seg.base;
    return w;
}

static void lay_arena(struct world *w) {
    crew_error err;
    assert_int_equal(cw_arena_create(&w->arena, &w->seg, ARENA_AT, UINT64_MAX, &err), 0);
    w->arena.seg = &w->seg;
}

/* What the arena must be, whoever died: whole, with exactly the blocks that the
 * cells name (and `plain`), none of them overlapping. Mends it first. */
static void check_world(struct world *w, uint64_t plain_size) {
    const char *wrong = cw_arena_check(&w->arena);
    if (wrong)
        fail_msg("%s", wrong);
    struct {
        cw_off from, to;
    } held[CELLS];
    int n = 0;
    uint64_t sum = 0;
    for (int i = 0; i < CELLS; i++) {
        cw_off off = w->board->cells[i];
        if (!off)
            continue;
        uint64_t g = (off - w->arena.head->first) / CW_GRANULE;
        assert_true(cw_arena_holds(&w->arena, cw_ptr(&w->arena, off), 1));
        uint64_t word = cw_span_word(&w->arena, cw_span_of(&w->arena, g));
        uint64_t size = cw_word_state(word) == CW_SPAN_SLAB ? cw_classes[cw_word_aux(word)].size
                                                            : cw_word_granules(word) * CW_GRANULE;
        assert_true(cw_arena_holds(&w->arena, cw_ptr(&w->arena, off), size));
        for (int k = 0; k < n; k++)
            assert_true(off >= held[k].to || off + size <= held[k].from);
        held[n].from = off;
        held[n++].to = off + size;
        sum += size;
    }
    uint64_t used = cw_arena_used(&w->arena);
    assert_true(used == sum || (plain_size && used == sum + plain_size));
}

/* Another process must be able to go on, whatever the dead one held. */
static void use_it(struct world *w) {
    crew_error err;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(10);
        cw_off small = cw_alloc_zero(&w->arena, 100, NULL, &err);
        cw_off large = cw_alloc_zero(&w->arena, 3 * CW_GRANULE, NULL, &err);
        bool good = small && large;
        for (size_t i = 0; good && i < 3 * CW_GRANULE; i += 8)
            good = *(uint64_t *)(void *)(w->seg.base + large + i) == 0;
        cw_free(&w->arena, large);
        cw_free(&w->arena, small);
        _exit(good ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* An arena without blocks that has had to say no has given everything back. */
static void nothing_is_lost(struct world *w) {
    crew_error err;
    assert_int_equal(cw_alloc(&w->arena, w->seg.size, NULL, &err), 0);
    assert_int_equal(err.code, CREW_ENOMEM);
    assert_int_equal(cw_arena_top(&w->arena), 0);
}

/* ---- each step of one operation ---- */

struct trial {
    const char *name;
    void (*prepare)(struct world *w);
    void (*operation)(void *w);
    uint64_t plain_size; /* of a block that no cell holds */
};

static void allocate(void *arg) {
    struct world *w = arg;
    crew_error err;
    cw_off off = w->zero ? cw_alloc_zero(&w->arena, w->size, &w->board->cells[0], &err)
                         : cw_alloc(&w->arena, w->size, &w->board->cells[0], &err);
    if (!off)
        _exit(3);
}
static int commit(void *unused, cw_segment *seg, uint64_t offset, uint64_t size, crew_error *err) {
    (void)unused;
    return cw_segment_commit(seg, offset, size, err);
}
static void allocate_pages(void *arg) {
    struct world *w = arg;
    crew_error err;
    if (!cw_alloc_pages(&w->arena, w->size, commit, NULL, &w->board->cells[0], &err))
        _exit(3);
}
static void free_plain(void *arg) {
    struct world *w = arg;
    cw_free(&w->arena, w->plain);
}
static void free_cell(void *arg) {
    struct world *w = arg;
    cw_free_cell(&w->arena, &w->board->cells[0]);
}

static cw_off get(struct world *w, int cell, size_t size) {
    crew_error err;
    cw_off off = cw_alloc(&w->arena, size, &w->board->cells[cell], &err);
    assert_true(off != 0);
    memset(cw_ptr(&w->arena, off), 0x5a, size);
    return off;
}
static void drop(struct world *w, int cell) {
    cw_free_cell(&w->arena, &w->board->cells[cell]);
}

static void small_first(struct world *w) {
    w->size = 100;
}
static void small_in_slab(struct world *w) {
    w->size = 100;
    w->zero = true;
    get(w, 1, 100);
    get(w, 2, 100);
    drop(w, 1);
}
static void small_last_of_slab(struct world *w) {
    w->size = 30000;
    get(w, 1, 30000);
}
static void small_new_slab(struct world *w) {
    w->size = 5000;
    get(w, 1, 100);
}
static void stale_cell(struct world *w) {
    w->size = 100;
    get(w, 1, 100);
    w->board->cells[0] = get(w, 2, 100);
    drop(w, 2);
}
static void large_first(struct world *w) {
    get(w, 1, 100);
    get(w, 2, 20 * CW_GRANULE); /* what the slab's growth left is too short */
    w->size = 17 * CW_GRANULE;
}
static void large_split(struct world *w) {
    get(w, 1, 20 * CW_GRANULE);
    get(w, 2, CW_GRANULE);
    drop(w, 1);
    w->size = 3 * CW_GRANULE;
}
static void large_zero(struct world *w) {
    large_split(w);
    w->zero = true;
}
static void large_hole(struct world *w) {
    large_split(w);
    w->arena.head->cap = 0;
    get(w, 3, 20 * CW_GRANULE);
    get(w, 4, CW_GRANULE);
    drop(w, 3);
    w->size = 3 * CW_GRANULE;
}
static void free_small_one(struct world *w) {
    get(w, 1, 100);
    w->plain = get(w, 0, 100);
}
static void free_small_full(struct world *w) {
    get(w, 1, 32768);
    w->plain = get(w, 0, 32768);
}
static void free_small_slab(struct world *w) {
    get(w, 1, 32768);
    get(w, 2, 32768);
    get(w, 3, 32768);
    get(w, 4, 32768);
    w->plain = get(w, 0, 32768);
    drop(w, 4);
}
static void free_large_between(struct world *w) {
    get(w, 1, 20 * CW_GRANULE);
    w->plain = get(w, 0, 20 * CW_GRANULE);
    get(w, 2, 20 * CW_GRANULE);
    get(w, 3, CW_GRANULE);
    drop(w, 1);
    drop(w, 2);
}
static void free_large_over(struct world *w) {
    free_large_between(w);
    w->arena.head->cap = 0;
}
static void free_large_last(struct world *w) {
    get(w, 1, CW_GRANULE);
    w->plain = get(w, 0, 20 * CW_GRANULE);
    w->arena.head->cap = 0;
}
/* A child died with the lock inside a free that merges both ways. */
static void half_freed(struct world *w) {
    free_large_between(w);
    const struct watched areas[] = {{w->seg.base, ARENA_AT + sizeof(struct cw_arena_head)},
                                    {cw_span_at(&w->arena, 0), 128 * sizeof(struct cw_span)}};
    assert_int_equal(step_kill(free_cell, w, areas, 2, 12), STEP_KILLED);
    assert_int_equal(w->arena.head->undo.kind, CW_UNDO_FREE);
    w->size = 100;
}

static const struct trial trials[] = {
    {"the first small block of all", small_first, allocate, 0},
    {"a small block, zeroed, of a slab with room", small_in_slab, allocate, 0},
    {"the last block of a slab", small_last_of_slab, allocate, 0},
    {"a small block that needs a slab", small_new_slab, allocate, 0},
    {"a small block into a cell that still names it", stale_cell, allocate, 0},
    {"a large block of new pages", large_first, allocate, 0},
    {"a large block of a free span", large_split, allocate, 0},
    {"a large block to be zeroed", large_zero, allocate, 0},
    {"a large block of a hole", large_hole, allocate, 0},
    {"a block of pages at the end", large_first, allocate_pages, 0},
    {"a block of pages of a hole", large_hole, allocate_pages, 0},
    {"free a small block", free_small_one, free_plain, 128},
    {"free a small block of a full slab", free_small_full, free_plain, 32768},
    {"free the last block of a slab", free_small_slab, free_plain, 32768},
    {"free a large block between free ones", free_large_between, free_plain, 20 * CW_GRANULE},
    {"free a large block, over the cap", free_large_over, free_plain, 20 * CW_GRANULE},
    {"free the last block, over the cap", free_large_last, free_plain, 20 * CW_GRANULE},
    {"free a small block by its cell", free_small_one, free_cell, 0},
    {"free the last block of a slab by its cell", free_small_slab, free_cell, 0},
    {"free a large block by its cell", free_large_between, free_cell, 0},
    {"mend what a dead process left", half_freed, allocate, 0},
};

static void run_trial(const struct trial *t, int *kills) {
    for (int n = 1;; n++) {
        struct world w = open_world();
        lay_arena(&w);
        t->prepare(&w);
        if (t->plain_size)
            w.board->cells[0] = 0; /* the test holds it */
        cw_off stale = w.board->cells[0];
        if (t->prepare == stale_cell) /* it names nothing yet */
            assert_false(cw_arena_holds(&w.arena, cw_ptr(&w.arena, stale), 1));
        const struct watched areas[] = {
            {w.seg.base, ARENA_AT + sizeof(struct cw_arena_head)},
            {cw_span_at(&w.arena, 0), 128 * sizeof(struct cw_span)},
            {cw_slab_bits(&w.arena, 0), cw_arena_top(&w.arena) ? 64 * 128 : 0},
        };
        enum step_result result = step_kill(t->operation, &w, areas, 3, n);
        if (result == STEP_IMPOSSIBLE && n == 1)
            skip();
        assert_int_not_equal(result, STEP_IMPOSSIBLE);
        cw_arena_check(&w.arena);
        cw_off cell = w.board->cells[0];
        if (t->prepare == stale_cell && !cw_arena_holds(&w.arena, cw_ptr(&w.arena, cell), 1))
            w.board->cells[0] = 0; /* killed before the call began */
        check_world(&w, t->plain_size);
        use_it(&w);
        check_world(&w, t->plain_size);
        for (int i = 0; i < CELLS; i++)
            cw_free_cell(&w.arena, &w.board->cells[i]);
        uint64_t left = cw_arena_used(&w.arena);
        assert_true(left == 0 || left == t->plain_size);
        if (left == 0)
            nothing_is_lost(&w);
        cw_segment_destroy(&w.seg);
        if (result == STEP_OVER) {
            print_message("%4d kills: %s\n", n - 1, t->name);
            *kills += n - 1;
            assert_true(n > 3);
            return;
        }
    }
}

static void arena__killed_after_each_step__is_whole_and_leaks_nothing(void **state) {
    (void)state;
    int kills = 0;
    if (STEP_TOO_SLOW)
        skip();
    step_over = (void (*)(void))cw_memory_available;
    for (size_t i = 0; i < sizeof trials / sizeof *trials; i++)
        run_trial(&trials[i], &kills);
    print_message("%4d kills\n", kills);
}

/* ---- many processes, killed at random ---- */

static void worker(struct world *w, int number, uint64_t seed) {
    struct board *b = w->board;
    static const size_t sizes[] = {1, 100, 1000, 5000, 20000, 32768, 70000, 300000};
    crew_error err;
    while (!b->stop) {
        int i = number * CELLS_PER_WORKER + (int)(draw(&seed) % CELLS_PER_WORKER);
        cw_off off = b->cells[i];
        if (off) {
            uint64_t *words = cw_ptr(&w->arena, off);
            uint64_t stamp = b->stamps[i];
            if (stamp && (words[0] != stamp || words[7] != stamp))
                b->wrong = 1;
            b->stamps[i] = 0;
            cw_free_cell(&w->arena, &b->cells[i]);
            if (b->cells[i])
                b->wrong = 2;
        } else {
            size_t size = sizes[draw(&seed) % 8];
            bool pages = draw(&seed) % 8 == 0;
            bool zero = pages || draw(&seed) % 4 == 0;
            off = pages  ? cw_alloc_pages(&w->arena, size, commit, NULL, &b->cells[i], &err)
                  : zero ? cw_alloc_zero(&w->arena, size, &b->cells[i], &err)
                       : cw_alloc(&w->arena, size, &b->cells[i], &err);
            if (!off || b->cells[i] != off)
                _exit(4);
            uint64_t *words = cw_ptr(&w->arena, off);
            if (zero)
                for (size_t k = 0; k < size / 8; k++)
                    if (words[k])
                        b->wrong = 3;
            words[0] = words[7] = draw(&seed) | 1;
            if (size > 64)
                memset((char *)words + size - 8, 0xee, 8);
            b->stamps[i] = words[0];
        }
        b->operations++;
    }
    _exit(0);
}

static pid_t start(struct world *w, int number, uint64_t seed) {
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        signal(SIGSEGV, SIG_DFL); /* not the test library's */
        worker(w, number, seed | 1);
    }
    return pid;
}

static void arena__workers_killed_at_random__is_whole_and_leaks_nothing(void **state) {
    (void)state;
    const char *text = getenv("CREW_TEST_KILLS");
    int kills = text ? atoi(text) : 300;
    uint64_t seed = plain_seed();
    struct world w = open_world();
    lay_arena(&w);
    w.arena.head->cap = 64; /* so that memory is given back now and then */
    pid_t pids[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        pids[i] = start(&w, i, draw(&seed));
    double begin = now();
    int done = 0;
    uint64_t before = 0;
    for (; done < kills && (text || now() - begin < 15); done++) {
        double until = now() + 1e-6 * (double)(draw(&seed) % 4000);
        while (now() < until)
            sched_yield();
        int i = (int)(draw(&seed) % WORKERS);
        int status;
        kill(pids[i], SIGKILL);
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        pids[i] = start(&w, i, draw(&seed));
        double limit = now() + 10; /* the living go on */
        while (w.board->operations == before && now() < limit)
            sched_yield();
        assert_true(w.board->operations != before);
        before = w.board->operations;
    }
    w.board->stop = 1;
    reap(pids, WORKERS);
    print_message("%d kills in %.1f s, %llu operations\n", done, now() - begin,
                  (unsigned long long)w.board->operations);
    assert_int_equal(w.board->wrong, 0);
    check_world(&w, 0);
    for (int i = 0; i < CELLS; i++)
        cw_free_cell(&w.arena, &w.board->cells[i]);
    assert_int_equal(cw_arena_used(&w.arena), 0);
    nothing_is_lost(&w);
    cw_segment_destroy(&w.seg);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena__killed_after_each_step__is_whole_and_leaks_nothing),
        cmocka_unit_test(arena__workers_killed_at_random__is_whole_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
