/* The head of a segment, and the layout of all that lies in one. */
#include "team/head.h"

#include "backend/ranks/ranks.h"
#include "base/error.h"
#include "team/gang.h"
#include "team/task.h"

#include <stddef.h>

static const uint64_t MAGIC = 0x6772657763776573;
enum { VERSION = 1 };

/* Members and supervisor write these at the same time: each group of words has its
 * own cache lines. And nothing in them may depend on how a program is compiled. */
_Static_assert(offsetof(struct cw_line, frame) == 0, "a call is found from its frame");
_Static_assert(offsetof(struct cw_line, doing) % 64 == 0, "layout");
_Static_assert(sizeof(struct cw_line) == 640, "layout");
_Static_assert(sizeof(struct cw_seat) == 24, "layout");
_Static_assert(sizeof(struct cw_redo) == 24, "layout");
_Static_assert(sizeof(struct cw_failure) == 240, "layout");
_Static_assert(sizeof(struct cw_muster) == 320 && sizeof(struct cw_gang) == 96, "layout");
_Static_assert(sizeof(struct cw_slice) == 16 && sizeof(struct cw_answer) == 16, "layout");
_Static_assert(offsetof(struct cw_job, voided) % 64 == 0, "layout");
_Static_assert(offsetof(struct cw_job, cursor) % 64 == 0, "the cursor lies alone");
_Static_assert(offsetof(struct cw_job, children) == offsetof(struct cw_job, cursor) + 64,
               "the cursor lies alone");
_Static_assert(sizeof(struct cw_job) % 64 == 0, "layout");
_Static_assert(offsetof(struct cw_team, quit) % 64 == 0, "layout");
_Static_assert(offsetof(struct cw_team, spinner) % 64 == 0, "layout");
_Static_assert(offsetof(struct cw_team, job_bell) % 64 == 0, "layout");
_Static_assert(sizeof(((struct cw_team *)0)->job_bell[0]) == 64, "a bell lies alone");
_Static_assert(offsetof(struct cw_team, pause) % 64 == 0, "layout");
_Static_assert(offsetof(struct cw_team, free_task) % 64 == 0, "the free stack lies alone");
_Static_assert(sizeof(struct cw_team) % 64 == 0, "layout");
_Static_assert(sizeof(struct cw_task) == 256, "a record is four cache lines");
_Static_assert(sizeof(struct cw_stream) == 64, "the ring follows it");

static uint32_t layout_hash(void) {
    const uint64_t facts[] = {
        sizeof(struct cw_team),
        offsetof(struct cw_team, lines),
        offsetof(struct cw_team, quit),
        offsetof(struct cw_team, spinner),
        offsetof(struct cw_team, job_bell),
        offsetof(struct cw_team, free_task),
        offsetof(struct cw_team, task_block),
        sizeof(struct cw_line),
        offsetof(struct cw_line, doing),
        offsetof(struct cw_line, idle_bytes),
        sizeof(struct cw_seat),
        sizeof(struct cw_place),
        sizeof(struct cw_job),
        offsetof(struct cw_job, marks),
        offsetof(struct cw_job, cursor),
        offsetof(struct cw_job, redo),
        sizeof(struct cw_task),
        offsetof(struct cw_task, children),
        offsetof(struct cw_task, in),
        sizeof(struct cw_failure),
        sizeof(struct cw_muster),
        sizeof(struct cw_gang),
        sizeof(struct cw_redo),
        sizeof(struct cw_stream),
        sizeof(struct cw_quay),
        sizeof(struct cw_berth),
        offsetof(struct cw_berth, order),
        CW_BERTH_ORDERS,
        CW_JOB_SLOTS,
        CW_NESTED,
        CW_REDO_SLOTS,
        CW_PRIORITIES,
        CW_RING_LOG2,
        CW_TASK_BLOCKS,
        CW_TASK_PER_BLOCK,
        CW_ARENA_START,
    };
    return cw_layout_hash(facts, sizeof facts / sizeof *facts);
}

int cw_head_make(cw_segment *seg, cw_off arrays, crew_error *err) {
    int rc = cw_segment_commit(seg, 0, CW_ARENA_START, err);
    if (rc < 0)
        return rc;
    struct cw_segment_head *h = cw_head(seg);
    h->version = VERSION;
    h->layout = layout_hash();
    h->size = seg->size;
    h->arrays = arrays;
    /* Pairs with the acquire in cw_head_check: the words above. */
    atomic_store_explicit(&h->magic, MAGIC, memory_order_release);
    return 0;
}

int cw_head_check(const cw_segment *seg, crew_error *err) {
    const struct cw_segment_head *h = cw_head(seg);
    if (seg->size < CW_ARENA_START ||
        /* Pairs with the release in cw_head_make. */
        atomic_load_explicit(&h->magic, memory_order_acquire) != MAGIC)
        return cw_error_set(err, CREW_EMISMATCH, 0, "this is no segment of crew's");
    if (h->version != VERSION || h->layout != layout_hash())
        return cw_error_set(err, CREW_EMISMATCH, 0,
                            "the segment was laid out by another build of crew");
    if (h->size != seg->size)
        return cw_error_set(err, CREW_EMISMATCH, 0, "the segment has %llu bytes instead of %llu",
                            (unsigned long long)seg->size, (unsigned long long)h->size);
    return cw_error_clear(err);
}
