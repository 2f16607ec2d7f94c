/* Records of processes: their ends. */
#include "share/proc.h"

#include "os/futex.h"
#include "os/process.h"
#include "share/kinds.h"

#include <limits.h>

static void scrub(struct cw_share *share, struct cw_head *head) {
    struct cw_proc *proc = (struct cw_proc *)head;
    cw_free_cell(&share->arena, &proc->arg);
    cw_free_cell(&share->arena, &proc->conns);
}

/* Of one whose parent is dead: nobody forks it any more, or its ward was killed, and
 * it with that. */
static bool never_ends(struct cw_proc *proc) {
    if (proc->away)
        return false; /* whose parent is the program: it ends with that */
    uint64_t number = atomic_load(&proc->birth) >> 2;
    pid_t pid = atomic_load(&proc->seat.pid);
    return cw_birth_turn(&proc->birth, number, CW_BIRTH_OFF) ||
           (cw_process_gone(atomic_load(&proc->ward)) && (!pid || cw_process_gone(pid)));
}

static void bury(struct cw_share *share, struct cw_head *head, uint32_t party) {
    struct cw_proc *proc = (struct cw_proc *)head;
    uint64_t check = cw_proc_check(share, proc); /* of the one that is looked at below */
    if (proc->itself && atomic_load(&proc->party) == party) {
        atomic_store(&proc->seat.state, CW_SEAT_ENDED);
        atomic_store(&proc->parent, 0);
    }
    uint32_t parent = party, maker = atomic_load(&proc->maker);
    struct cw_hand *hand = maker ? cw_hand_at(share, maker - 1) : NULL;
    if (hand && hand->party == party && atomic_load(&hand->block[0]) == atomic_load(&proc->arg))
        atomic_store(&hand->block[0], 0);
    atomic_compare_exchange_strong(&proc->parent, &parent, 0);
    if (!proc->itself && !atomic_load(&proc->parent) && !cw_proc_ended(proc) && never_ends(proc))
        atomic_store(&proc->seat.state, CW_SEAT_ENDED);
    if (!atomic_load(&proc->parent) && cw_proc_ended(proc))
        cw_object_end(share, CW_PROCESS, cw_proc_place(share, proc), check);
}

static void wake(struct cw_share *share, struct cw_head *head) {
    struct cw_proc *proc = (struct cw_proc *)head;
    (void)share;
    cw_futex_wake(&proc->seat.state, INT_MAX);
    cw_futex_wake(&proc->ready, INT_MAX);
}

const struct cw_kind cw_kind_process = {
    .name = "process", .bytes = 256, .scrub = scrub, .bury = bury, .wake = wake};

_Static_assert(sizeof(struct cw_proc) <= 256, "a cell");
