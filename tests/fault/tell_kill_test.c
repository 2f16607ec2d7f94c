/* fault/tell_kill_test.c - members killed at each step of spawning a child and of
 * ending one that fails, on a team made by hand: its death leaves every record and
 * every block with one owner, and the root ends. */
#include "crewtest.h"

#include "step_kill.h"
#include "team/member.h"

#include <string.h>

enum { START = 4096, BELL_AT = 64, ROOT_ITEM = 100 };

static struct {
    cw_segment seg;
    struct cw_maps maps;
    struct cw_team *t;
    struct cw_member member;
} c;

static cw_off room(size_t size) {
    cw_off off = cw_alloc_zero(&c.maps.arena, size, NULL, NULL);
    assert_true(off != 0);
    return off;
}

static void build(void) {
    crew_error err;
    memset(&c, 0, sizeof c);
    assert_int_equal(cw_segment_create(&c.seg, (uint64_t)64 << 20, &err), 0);
    assert_int_equal(cw_arena_create(&c.maps.arena, &c.seg, START, UINT64_MAX, &err), 0);
    assert_int_equal(cw_segment_commit(&c.seg, 0, START, &err), 0);
    c.maps.root = c.seg.base;
    c.maps.root_size = c.seg.size;
    struct cw_team *t = c.t = cw_ptr(&c.maps.arena, room(sizeof *t));
    t->members = 1;
    t->bell = BELL_AT;
    t->lines = room(sizeof(struct cw_line));
    t->seats = room(sizeof(struct cw_seat));
    t->places = room(sizeof(struct cw_place));
    for (int i = 0; i <= CW_PRIORITIES; i++) {
        cw_off ring = room(cw_ring_bytes(4));
        cw_ring_init(cw_ptr(&c.maps.arena, ring), 4);
        *(i < CW_PRIORITIES ? &t->rings[i] : &t->notify) = ring;
    }
    t->magic = CW_TEAM_MAGIC;
    cw_member_init(&c.member, &c.maps, t, 0);
}

static struct cw_task *at(uint32_t number) {
    return cw_task_at(&c.maps, c.t, number);
}

static uint32_t phase_of(uint32_t number) {
    return cw_task_phase(atomic_load(&at(number)->state));
}

static int leaf(crew_call *call) {
    (void)call;
    return 0;
}

/* A root that this member runs, as run_task has it. */
static uint32_t begin_root(struct cw_frame *frame) {
    crew_error err;
    int64_t number = cw_task_new(&c.maps, c.t, NULL, &err);
    assert_true(number >= 0);
    struct cw_task *root = at((uint32_t)number);
    cw_task_queued(root);
    uint32_t generation = cw_task_generation(atomic_load(&root->state));
    assert_true(cw_task_move(root, generation, CW_TASK_QUEUED, CW_TASK_RUNNING, 1, NULL));
    atomic_store(&c.member.line->task, (uint32_t)number + 1);
    *frame = (struct cw_frame){.member = &c.member, .task = root};
    return (uint32_t)number;
}

struct spawn {
    struct cw_frame *frame;
    size_t size;
};

static void spawn_one(void *arg) {
    static const char item[2000];
    struct spawn *s = arg;
    crew_error err;
    if (cw_child_spawn(&c.member, s->frame, leaf, item, s->size, &err) < 0)
        _exit(3);
}

/* It has begun to run as another member would have it. */
static uint32_t begin_child(void) {
    uint32_t number;
    assert_true(cw_task_pop(&c.maps, c.t, &number));
    uint32_t generation = cw_task_generation(atomic_load(&at(number)->state));
    assert_true(cw_task_move(at(number), generation, CW_TASK_QUEUED, CW_TASK_RUNNING, 1, NULL));
    atomic_store(&c.member.line->task, number + 1);
    return number;
}

static const struct cw_failure failure = {.code = CREW_EFAILED, .task_code = 7, .text = "no"};

static void fail_child(void *arg) {
    cw_child_end(&c.maps, c.t, c.member.line, *(uint32_t *)arg, &failure);
}

/* What the supervisor does: see cw_pool_member_left_tasks, wipe_line. */
static void bury(void) {
    for (uint32_t i = 0; i < atomic_load(&c.t->task_count); i++) {
        uint64_t state = atomic_load(&at(i)->state);
        uint32_t phase = cw_task_phase(state);
        bool its = cw_task_owner(state) == 1, child = cw_task_is_child(at(i));
        if (phase == CW_TASK_RUNNING && its && child) {
            cw_child_untell(&c.maps, c.t, i);
            cw_child_end(&c.maps, c.t, c.member.line, i, &failure);
        } else if ((phase == CW_TASK_PREPARED || phase == CW_TASK_DONE) && its) {
            cw_task_release(&c.maps, c.t, i);
        }
    }
    atomic_store(&c.member.line->critical, 0);
    atomic_store(&c.member.line->spawning, 0);
    atomic_store(&c.member.line->task, 0);
    assert_int_equal(cw_children_recount(&c.maps, c.t), 0);
}

static uint32_t free_records(void) {
    uint32_t n = 0, next = (uint32_t)atomic_load(&c.t->free_task);
    for (; next; n++)
        next = atomic_load(&at(next - 1)->next_free);
    return n;
}

/* Every record that is QUEUED runs, the root ends and is released: nothing is left. */
static int end_root(uint32_t root) {
    for (uint32_t i = 0; i < atomic_load(&c.t->task_count); i++)
        if (phase_of(i) == CW_TASK_QUEUED) {
            uint32_t generation = cw_task_generation(atomic_load(&at(i)->state));
            cw_task_move(at(i), generation, CW_TASK_QUEUED, CW_TASK_RUNNING, 1, NULL);
            cw_child_end(&c.maps, c.t, c.member.line, i, NULL);
        }
    cw_root_end(&c.maps, c.t, c.member.line, root, 0, NULL);
    assert_int_equal(phase_of(root), CW_TASK_DONE);
    int status = at(root)->status;
    const struct cw_failure *f = cw_ptr(&c.maps.arena, atomic_load(&at(root)->told));
    assert_int_equal(f ? f->task_code : 0, status ? 7 : 0);
    cw_task_release(&c.maps, c.t, root);
    assert_int_equal(free_records(), atomic_load(&c.t->task_count));
    uint32_t stale;
    while (cw_task_pop(&c.maps, c.t, &stale))
        ;
    return status;
}

static void watch(struct watched *areas) {
    cw_off block = atomic_load(&c.t->task_block[0]);
    areas[0] = (struct watched){c.t, sizeof *c.t};
    areas[1] = (struct watched){c.member.line, sizeof(struct cw_line)};
    areas[2] = (struct watched){cw_ptr(&c.maps.arena, block), 16 * sizeof(struct cw_task)};
    areas[3] = (struct watched){c.seg.base + START, 2048}; /* the arena's head */
}

static void spawn__killed_at_each_step__loses_no_record_and_no_block(void **state) {
    static const size_t sizes[] = {8, 2000};
    struct cw_frame frame;
    int kills = 0;
    (void)state;
    if (STEP_TOO_SLOW)
        skip();
    build();
    for (size_t s = 0; s < 2; s++) {
        struct spawn what = {&frame, sizes[s]};
        uint32_t first = begin_root(&frame); /* takes blocks of its classes */
        spawn_one(&what);
        end_root(first);
        const uint64_t used = cw_arena_used(&c.maps.arena);
        enum step_result result = STEP_KILLED;
        for (int n = 1; result == STEP_KILLED; n++) {
            struct watched areas[4];
            uint32_t root = begin_root(&frame);
            watch(areas);
            result = step_kill(spawn_one, &what, areas, 4, n);
            if (result == STEP_IMPOSSIBLE && n == 1)
                skip();
            assert_int_not_equal(result, STEP_IMPOSSIBLE);
            kills += result == STEP_KILLED;
            bury();
            assert_int_equal(phase_of(root), CW_TASK_RUNNING);
            assert_int_equal(end_root(root), 0);
            assert_int_equal(cw_arena_used(&c.maps.arena), used);
        }
    }
    print_message("%d kills\n", kills);
    assert_true(kills > 40);
    cw_segment_destroy(&c.seg);
}

static void failure__killed_at_each_step_of_telling__has_one_owner(void **state) {
    struct cw_frame frame;
    int kills = 0, retold = 0;
    (void)state;
    if (STEP_TOO_SLOW)
        skip();
    build();
    struct spawn what = {&frame, 8};
    uint32_t root = begin_root(&frame), child;
    spawn_one(&what);
    child = begin_child();
    fail_child(&child);
    end_root(root);
    const uint64_t used = cw_arena_used(&c.maps.arena);
    enum step_result result = STEP_KILLED;
    for (int n = 1; result == STEP_KILLED; n++) {
        struct watched areas[4];
        root = begin_root(&frame);
        spawn_one(&what);
        child = begin_child();
        watch(areas);
        result = step_kill(fail_child, &child, areas, 4, n);
        if (result == STEP_IMPOSSIBLE && n == 1)
            skip();
        assert_int_not_equal(result, STEP_IMPOSSIBLE);
        kills += result == STEP_KILLED;
        retold += phase_of(child) == CW_TASK_RUNNING && atomic_load(&at(root)->teller) != 0;
        bury();
        assert_int_equal(end_root(root), CREW_EFAILED);
        assert_int_equal(cw_arena_used(&c.maps.arena), used);
    }
    print_message("%d kills, %d of them while it told\n", kills, retold);
    assert_true(kills > 10 && retold > 3);
    cw_segment_destroy(&c.seg);
}

int main(int argc, char **argv) {
    crewtest_begin(&argc, &argv);
    if (!crewtest_has(CREWTEST_PROCESSES))
        return crewtest_skip_all();
    const struct CMUnitTest tests[] = {
        CREWTEST(spawn__killed_at_each_step__loses_no_record_and_no_block),
        CREWTEST(failure__killed_at_each_step_of_telling__has_one_owner),
    };
    return crewtest_end(cmocka_run_group_tests(tests, NULL, NULL));
}
