/* Submitted calls from the manager's side of the board: records, hints, ends. */
#include "api/future_impl.h"
#include "api/gang.h"
#include "api/joint.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* How long a waiter spins before it sleeps: see SPIN_NS in team/member.c. */
enum { WAIT_SPIN_NS = 20000, SPINS_PER_LOOK = 32 };

static int check(const struct cw_submit *w, const crew_submit_opts *o, crew_error *err) {
    if (!w->fn)
        return cw_error_set(err, CREW_EINVAL, 0, "the function is NULL");
    if (w->size && !w->in)
        return cw_error_set(err, CREW_EINVAL, 0, "the item is NULL, its size is %zu", w->size);
    if (o->priority < CREW_PRIORITY_MIN || o->priority > CREW_PRIORITY_MAX)
        return cw_error_set(err, CREW_EINVAL, 0, "priority is %d: %d to %d are possible",
                            o->priority, CREW_PRIORITY_MIN, CREW_PRIORITY_MAX);
    if (o->retries < 0 || !(o->task_timeout >= 0))
        return cw_error_set(err, CREW_EINVAL, 0, "retries and task_timeout may not be negative");
    if (o->common_size && !o->common)
        return cw_error_set(err, CREW_EINVAL, 0, "common is NULL, its size is %zu", o->common_size);
    return 0;
}

static int grow_owners(crew_pool *p, uint32_t number, crew_error *err) {
    uint32_t room = p->owners ? 2 * p->owners : CW_TASK_PER_BLOCK;
    while (room <= number)
        room *= 2;
    struct crew_future **more = realloc(p->owner, room * sizeof *more);
    if (!more)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for %u futures", room);
    memset(more + p->owners, 0, (room - p->owners) * sizeof *more);
    p->owner = more;
    p->owners = room;
    return 0;
}

/* The record's future, ready for a call. NULL: no memory. */
static crew_future *own(crew_pool *p, uint32_t number, crew_error *err) {
    if (number >= p->owners && grow_owners(p, number, err) < 0)
        return NULL;
    crew_future *f = p->owner[number];
    if (!f && !(f = p->owner[number] = malloc(sizeof *f))) {
        cw_error_set(err, CREW_ENOMEM, 0, "no memory for a future");
        return NULL;
    }
    *f = (crew_future){.pool = p, .number = number, .live = true};
    return f;
}

static int put_common(crew_pool *p, struct cw_task *task, const struct cw_submit *w,
                      const crew_submit_opts *o, crew_error *err) {
    task->common_size = o->common_size;
    if (w->common) {
        task->common = w->common;
        return 0;
    }
    if (!o->common_size)
        return 0;
    if (!(task->common = cw_alloc(&p->maps.arena, o->common_size, NULL, err)))
        return CREW_ENOMEM;
    task->common_owned = 1;
    memcpy(cw_ptr(&p->maps.arena, task->common), o->common, o->common_size);
    return 0;
}

static int fill(crew_pool *p, struct cw_task *task, const struct cw_submit *w,
                const crew_submit_opts *o, cw_fn_name fn, crew_error *err) {
    task->fn = fn;
    task->retries = o->retries ? o->retries : p->opts.retries;
    task->task_timeout = o->task_timeout > 0 ? o->task_timeout : p->opts.task_timeout;
    task->task_memory = o->task_memory ? o->task_memory : p->opts.task_memory;
    task->index = o->index;
    task->priority = o->priority;
    task->slot_size = w->slot_size;
    task->stream = w->stream;
    task->stream_at = w->stream_at;
    task->ranks = o->ranks > 1 ? o->ranks : 0;
    if (put_common(p, task, w, o, err) < 0)
        return CREW_ENOMEM;
    return cw_task_put_item(&p->maps, task, w->in, w->size, err);
}

void cw_record_free(crew_pool *p, uint32_t number) {
    struct cw_task *task = cw_task_at(&p->maps, p->team, number);
    if (task->common_owned) {
        cw_free(&p->maps.arena, task->common);
        task->common_owned = 0;
    }
    cw_task_release(&p->maps, p->team, number);
}

/* A hint, or onto the backlog. With the lock. */
static int queue_up(crew_pool *p, uint32_t number, int priority, crew_error *err) {
    struct cw_backlog *b = &p->backlog[cw_task_level(priority)];
    if (b->head == b->tail) {
        b->head = b->tail = 0;
        if (cw_task_hint(&p->maps, p->team, number, priority))
            return 0;
    }
    if (b->tail == b->room) {
        size_t room = b->room ? 2 * b->room : 4096;
        uint32_t *more = realloc(b->record, room * sizeof *more);
        if (!more)
            return cw_error_set(err, CREW_ENOMEM, 0, "no memory for %zu waiting tasks", room);
        b->record = more;
        b->room = room;
    }
    b->record[b->tail++] = number;
    atomic_store(&p->team->room_wanted, 1);
    return 0;
}

bool cw_pool_has_backlog(const crew_pool *p) {
    for (int level = 0; level < CW_PRIORITIES; level++)
        if (p->backlog[level].head != p->backlog[level].tail)
            return true;
    return false;
}

void cw_pool_drain_backlog(crew_pool *p) {
    bool full = false;
    for (int level = 0; level < CW_PRIORITIES; level++) {
        struct cw_backlog *b = &p->backlog[level];
        int priority = cw_task_level(level); /* its own inverse */
        while (b->head < b->tail &&
               cw_task_hint(&p->maps, p->team, b->record[b->head], priority))
            b->head++;
        full = full || b->head < b->tail;
    }
    if (!full && atomic_load_explicit(&p->team->room_wanted, memory_order_relaxed)) {
        atomic_store(&p->team->room_wanted, 0);
        cw_team_wake_all(&p->maps, p->team);
    }
}

/* The rings are dry: records that are QUEUED have lost their hint with whoever had
 * popped it. A second hint does no harm. */
static void hint_all(crew_pool *p) {
    struct cw_team *t = p->team;
    bool any = false;
    for (uint32_t i = 0, n = atomic_load(&t->task_count); i < n; i++) {
        struct cw_task *task = cw_task_at(&p->maps, t, i);
        if (cw_task_phase(atomic_load(&task->state)) != CW_TASK_QUEUED || task->ranks)
            continue;
        any = true;
        if (!cw_task_hint(&p->maps, t, i, task->priority)) {
            atomic_store(&t->hints_lost, 1);
            break;
        }
    }
    if (any)
        cw_team_wake_all(&p->maps, t);
}

static bool suspect(struct cw_suspects *s, uint32_t number, uint32_t generation) {
    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 256;
        struct cw_suspect *more = realloc(s->record, room * sizeof *more);
        if (!more)
            return false;
        s->record = more;
        s->room = room;
    }
    s->record[s->count++] = (struct cw_suspect){number, generation};
    return true;
}

/* The rings are never dry under a steady stream of calls: notes who waits at these
 * priorities, and how far their rings are filled. */
static void suspect_all(crew_pool *p, uint32_t levels) {
    struct cw_team *t = p->team;
    for (uint32_t i = 0, n = atomic_load(&t->task_count); i < n; i++) {
        struct cw_task *task = cw_task_at(&p->maps, t, i);
        uint64_t state = atomic_load(&task->state);
        int level = cw_task_level(task->priority);
        if (cw_task_phase(state) == CW_TASK_QUEUED && !task->ranks && (levels >> level & 1) &&
            !suspect(&p->suspects[level], i, cw_task_generation(state)))
            p->suspicious |= 1u << level; /* no memory: again next time */
    }
    for (int level = 0; level < CW_PRIORITIES; level++)
        if (levels >> level & 1)
            p->suspects[level].mark = cw_ring_mark(cw_task_ring(&p->maps, t, level));
}

/* Those who go on waiting when their ring has passed its mark get a new hint. */
static void clear_suspects(crew_pool *p, int level) {
    struct cw_suspects *s = &p->suspects[level];
    if (!cw_ring_past(cw_task_ring(&p->maps, p->team, level), s->mark))
        return;
    while (s->count > 0) {
        struct cw_suspect last = s->record[s->count - 1];
        struct cw_task *task = cw_task_at(&p->maps, p->team, last.number);
        uint64_t state = atomic_load(&task->state);
        if (cw_task_generation(state) == last.generation &&
            cw_task_phase(state) == CW_TASK_QUEUED &&
            !cw_task_hint(&p->maps, p->team, last.number, task->priority))
            break;
        s->count--;
    }
    cw_team_wake_all(&p->maps, p->team);
}

void cw_pool_restore_hints(crew_pool *p) {
    struct cw_team *t = p->team;
    uint32_t lost = atomic_load(&t->hints_lost), wanted = 0, news = 1, seen = 2;
    if (!lost)
        return;
    /* Members that find the rings dry ring the bell as long as it is not 0. */
    if (atomic_compare_exchange_strong(&t->hints_lost, &news, 2))
        p->suspicious = (1u << CW_PRIORITIES) - 1;
    bool dry = !cw_task_any(&p->maps, t) && !cw_pool_has_backlog(p);
    if (dry) {
        p->suspicious = 0;
        for (int level = 0; level < CW_PRIORITIES; level++)
            p->suspects[level].count = 0;
        hint_all(p);
    }
    bool waiting = false;
    for (int level = 0; level < CW_PRIORITIES; level++) {
        if (p->suspects[level].count)
            clear_suspects(p, level);
        /* First what was lost before. */
        wanted |= p->suspects[level].count ? 0 : p->suspicious & 1u << level;
        waiting = waiting || p->suspects[level].count;
    }
    p->suspicious &= ~wanted;
    if (wanted)
        suspect_all(p, wanted);
    else if (!waiting && !p->suspicious)
        atomic_compare_exchange_strong(&t->hints_lost, &seen, 0);
}

int64_t cw_submit(crew_pool *p, const struct cw_submit *w, crew_future **owner, crew_error *err) {
    static const crew_submit_opts none;
    const crew_submit_opts *o = w->opts ? w->opts : &none;
    cw_fn_name fn;
    int rc;
    if ((rc = cw_pool_check(p, err)) < 0 || (rc = check(w, o, err)) < 0 ||
        (rc = cw_pool_gang_check(p, o->ranks, err)) < 0)
        return rc;
    if (o->task_memory && !p->ops->kills)
        return cw_error_set(err, CREW_ENOTSUP, 0,
                            "task_memory needs workers that are processes (CREW_FORK)");
    if (o->task_memory && (rc = cw_pool_can_measure(err)) < 0)
        return rc;
    if ((rc = cw_pool_function(p, (cw_fn *)w->fn, (ptrdiff_t)w->size, (ptrdiff_t)w->slot_size,
                               (ptrdiff_t)o->common_size, &fn, err)) < 0)
        return rc;
    return cw_submit_named(p, w, o, fn, 1, owner, err);
}

/* With the lock: the number of a record that nobody else has, if the pool takes work. */
static int64_t new_record(crew_pool *p, crew_error *err) {
    int rc = cw_pool_accepts(p, err);
    return rc < 0 ? rc : cw_task_new(&p->maps, p->team, NULL, err);
}

int64_t cw_submit_named(crew_pool *p, const struct cw_submit *w, const crew_submit_opts *o,
                        cw_fn_name fn, int attempt, crew_future **owner, crew_error *err) {
    int rc;
    pthread_mutex_lock(&p->lock);
    int64_t number = new_record(p, err);
    if (number < 0) {
        pthread_mutex_unlock(&p->lock);
        return number;
    }
    struct cw_task *task = cw_task_at(&p->maps, p->team, (uint32_t)number);
    if ((rc = fill(p, task, w, o, fn, err)) == 0 &&
        (!owner || (*owner = own(p, (uint32_t)number, err)))) {
        task->attempt = attempt;
        cw_task_queued(task);
        rc = task->ranks ? cw_pool_gang_add(p, (uint32_t)number, o->ranks, err)
                         : queue_up(p, (uint32_t)number, o->priority, err);
        if (rc < 0 && owner)
            (*owner)->live = false;
    } else if (rc == 0) {
        rc = CREW_ENOMEM;
    }
    if (rc < 0)
        cw_record_free(p, (uint32_t)number);
    bool limits = rc == 0 && (task->task_timeout > 0 || task->task_memory);
    if (limits)
        p->limit_visits = CW_LIMIT_VISITS;
    pthread_mutex_unlock(&p->lock);
    if (rc < 0)
        return rc;
    cw_team_wake(&p->maps, p->team, 1);
    if (limits)
        cw_session_ring(p->session);
    return number;
}

static int put_known(crew_pool *p, struct cw_task *task, const struct cw_known *known,
                     struct cw_failure *f, crew_error *err) {
    if (known->status) {
        *f = (struct cw_failure){.code = known->status,
                                 .task_code = known->task_code,
                                 .index = task->index,
                                 .worker = -1,
                                 .attempt = 1};
        snprintf(f->text, sizeof f->text, "%s", known->data);
        return 0;
    }
    void *room = cw_task_result_room(&p->maps, task, known->size, err);
    if (!room)
        return CREW_ENOMEM;
    if (known->size)
        memcpy(room, known->data, known->size);
    return 0;
}

int cw_submit_known(crew_pool *p, const struct cw_submit *w, const struct cw_known *known,
                    crew_future **owner, crew_error *err) {
    cw_fn_name fn;
    struct cw_failure f;
    int rc;
    if ((rc = check(w, w->opts, err)) < 0 ||
        (rc = cw_pool_function(p, (cw_fn *)w->fn, (ptrdiff_t)w->size, 0,
                               (ptrdiff_t)w->opts->common_size, &fn, err)) < 0)
        return rc;
    pthread_mutex_lock(&p->lock);
    int64_t number = new_record(p, err);
    if (number < 0) {
        pthread_mutex_unlock(&p->lock);
        return (int)number;
    }
    struct cw_task *task = cw_task_at(&p->maps, p->team, (uint32_t)number);
    task->fn = fn;
    task->index = w->opts->index;
    if ((rc = put_known(p, task, known, &f, err)) == 0 &&
        (*owner = own(p, (uint32_t)number, err)))
        cw_root_end(&p->maps, p->team, NULL, (uint32_t)number, known->status,
                    known->status ? &f : NULL);
    else
        cw_record_free(p, (uint32_t)number);
    pthread_mutex_unlock(&p->lock);
    return rc < 0 || *owner ? rc : CREW_ENOMEM;
}

int cw_record_error(crew_pool *p, uint32_t number, crew_error *err) {
    struct cw_task *task = cw_task_at(&p->maps, p->team, number);
    if (task->status == 0)
        return cw_error_clear(err);
    cw_off own = atomic_load(&task->failure), told = atomic_load(&task->told);
    const struct cw_failure *f = cw_ptr(&p->maps.arena, own ? own : told);
    struct cw_failure bare = {.code = task->status, .index = task->index, .worker = -1};
    crew_error e;
    if (task->status == CREW_ESTOPPED)
        atomic_store(&p->session->stopped, true);
    cw_failure_explain(p, task->fn, f && f->code == task->status ? f : &bare, -1, task->retries,
                       &e);
    return cw_error_copy(err, &e);
}

/* ---- waiting for one ---- */

static bool spin_for(crew_pool *p, uint32_t number, double seconds) {
    if (!p->team->spins)
        return false;
    int64_t end = cw_now_ns() + WAIT_SPIN_NS;
    if (seconds >= 0 && seconds * 1e9 < WAIT_SPIN_NS)
        end = cw_now_ns() + (int64_t)(seconds * 1e9);
    do {
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            if (cw_record_done(p, number))
                return true;
            cw_relax();
        }
    } while (cw_now_ns() < end);
    return false;
}

struct until_done {
    crew_pool *pool;
    uint32_t number;
};

static bool until_done(void *arg) {
    struct until_done *u = arg;
    return cw_record_done(u->pool, u->number);
}

bool cw_record_wait(crew_pool *p, uint32_t number, double timeout) {
    if (cw_record_done(p, number))
        return true;
    struct until_done u = {p, number};
    struct cw_task *task = cw_task_at(&p->maps, p->team, number);
    _Atomic uint32_t *word = cw_task_futex(task);
    bool helps = cw_pool_helps(p);
    if (helps)
        cw_pool_help(p, until_done, &u);
    else if (spin_for(p, number, timeout))
        return true;
    struct cw_deadline d = cw_deadline_in(timeout);
    while (!cw_record_done(p, number)) {
        if (cw_deadline_over(&d))
            return false;
        uint32_t seen = (uint32_t)cw_task_flag(task, CW_TASK_WAITED) | CW_TASK_WAITED;
        if (cw_task_phase(seen) != CW_TASK_DONE)
            cw_joint_wait(word, seen, helps ? 0.01 : cw_deadline_slice(&d));
        if (helps)
            cw_pool_help(p, until_done, &u);
    }
    return true;
}

/* ---- ends that come from the manager ---- */

int cw_record_cancel(crew_pool *p, uint32_t number, int code, const crew_error *why) {
    struct cw_task *task = cw_task_at(&p->maps, p->team, number);
    uint32_t generation = cw_task_generation(atomic_load(&task->state));
    if (!cw_task_move(task, generation, CW_TASK_QUEUED, CW_TASK_PREPARED, 0, NULL))
        return cw_record_done(p, number) && task->status == CREW_ECANCELLED;
    if (task->ranks)
        cw_pool_gang_cancel(p, number);
    struct cw_failure f = {.code = code, .index = task->index, .worker = -1};
    if (why)
        snprintf(f.text, sizeof f.text, "%.191s", why->text);
    if (cw_task_is_child(task))
        cw_child_end(&p->maps, p->team, NULL, number, &f);
    else
        cw_root_end(&p->maps, p->team, NULL, number, code, &f);
    return 1;
}

/* A proxy tells its node, which does what it can. */
static bool can_be_told(const crew_pool *p, int rank) {
    return p->ops->kills || rank >= p->natives;
}

/* Ends the members that run VOID children: their memory may be somebody's who waits
 * for them. Threads see crew_cancelled. */
static void doom_void(crew_pool *p) {
    /* Pairs with the fence in unwanted_child (team/member.c). */
    atomic_thread_fence(memory_order_seq_cst);
    for (int rank = p->ops->kills ? 0 : p->natives; rank < p->members; rank++) {
        struct cw_line *line = cw_team_line(&p->maps, p->team, rank);
        uint32_t current = atomic_load(&line->task);
        struct cw_task *task = current ? cw_task_at(&p->maps, p->team, current - 1) : NULL;
        uint64_t state = task ? atomic_load(&task->state) : 0;
        if (cw_task_phase(state) == CW_TASK_RUNNING && (state & CW_TASK_VOID) &&
            cw_task_owner(state) == (uint32_t)rank + 1)
            cw_pool_doom(p, rank, CW_CANCEL);
    }
}

void cw_pool_disown(crew_pool *p, const struct cw_origin *from) {
    if (cw_children_disown(&p->maps, p->team, from))
        doom_void(p);
}

static void disown_tasks_of(crew_pool *p, uint32_t number) {
    struct cw_task *task = cw_task_at(&p->maps, p->team, number);
    /* A root's count says whether there are any; a child's are counted there. */
    if (!cw_task_is_child(task) && atomic_load(&task->children) <= 1)
        return;
    const struct cw_origin from = {.task = number + 1,
                                   .generation = cw_task_generation(atomic_load(&task->state))};
    cw_pool_disown(p, &from);
}

int cw_record_kill(crew_pool *p, uint32_t number) {
    struct cw_task *task = cw_task_at(&p->maps, p->team, number);
    uint64_t state = cw_task_flag(task, CW_TASK_KILL);
    if (cw_task_phase(state) == CW_TASK_DONE)
        return 0;
    if (cw_task_phase(state) == CW_TASK_PARENT) {
        task->status = p->team->stopping == CW_TEAM_ENDS ? CREW_ESTOPPED : CREW_ECANCELLED;
        disown_tasks_of(p, number);
        return 1;
    }
    if (task->ranks)
        cw_pool_gang_drop(p, number);
    int rank = (int)cw_task_owner(state) - 1;
    if (rank >= 0 && can_be_told(p, rank))
        cw_pool_doom(p, rank, CW_CANCEL);
    if (!p->ops->kills)
        return cw_error_set(NULL, CREW_ENOTSUP, 0,
                            "a running task can be ended only where workers are processes; this "
                            "one sees crew_cancelled");
    return 1;
}

void cw_pool_cancel_tasks(crew_pool *p, int code, const crew_error *why) {
    struct cw_team *t = p->team;
    for (uint32_t i = 0, n = atomic_load(&t->task_count); i < n; i++)
        cw_record_cancel(p, i, code, why);
    for (int level = 0; level < CW_PRIORITIES; level++)
        p->backlog[level].head = p->backlog[level].tail = 0;
    atomic_store(&t->room_wanted, 0);
}

static struct cw_failure lost_with(crew_pool *p, int rank, struct cw_task *task,
                                   enum cw_verdict verdict, enum cw_reason reason, int status) {
    struct cw_failure f = {.index = task->index,
                           .worker = p->team->first + rank,
                           .node = p->team->node,
                           .pid = atomic_load(&cw_team_seat(&p->maps, p->team, rank)->pid),
                           .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                           .attempt = task->attempt};
    bool stopped = verdict == CW_WAS_CANCELLED && atomic_load(&p->team->stopping);
    f.code = stopped                       ? CREW_ESTOPPED
             : verdict == CW_WAS_CANCELLED ? CREW_ECANCELLED
             : verdict == CW_OVER_LIMIT    ? CREW_ELIMIT
                                           : CREW_EDIED;
    char size[CW_SIZE_TEXT];
    if (stopped)
        snprintf(f.text, sizeof f.text, "stopped by %s", p->team->stopped_by);
    else if (reason == CW_TOO_LONG)
        snprintf(f.text, sizeof f.text, "over its time limit of %g s", task->task_timeout);
    else if (reason == CW_TOO_BIG)
        snprintf(f.text, sizeof f.text, "over its memory limit of %s",
                 cw_size_text(task->task_memory, size));
    else if (verdict == CW_DIED)
        cw_process_describe_status(status, f.text, sizeof f.text);
    return f;
}

/* A record that the dead member was running. Whatever becomes of it, the children of
 * this execution do not count. */
static void sentence(crew_pool *p, int rank, uint32_t number, bool begun, enum cw_reason reason,
                     int status) {
    struct cw_task *task = cw_task_at(&p->maps, p->team, number);
    uint64_t state = atomic_load(&task->state);
    uint32_t generation = cw_task_generation(state);
    bool stopped = cw_task_is_child(task) && cw_child_void(&p->maps, p->team, task);
    if ((state & CW_TASK_KILL) || stopped)
        reason = CW_CANCEL;
    else if (reason == CW_CANCEL && p->state < CW_POOL_ENDING)
        reason = CW_INNOCENT; /* it was meant for what ran here before */
    cw_child_untell(&p->maps, p->team, number);
    if (begun)
        disown_tasks_of(p, number);
    enum cw_verdict verdict = begun || reason == CW_CANCEL
                                  ? cw_judge(reason, task->attempt, task->retries)
                                  : CW_NOT_COUNTED;
    if (p->state >= CW_POOL_ENDING || p->broken.code)
        verdict = verdict == CW_DIED ? CW_DIED : CW_WAS_CANCELLED;
    if (atomic_load(&p->team->stopping) && !cw_task_is_child(task) &&
        (verdict == CW_RUN_AGAIN || verdict == CW_NOT_COUNTED))
        verdict = CW_WAS_CANCELLED; /* to run again is to begin */
    if (verdict == CW_RUN_AGAIN || verdict == CW_NOT_COUNTED) {
        task->attempt += verdict == CW_RUN_AGAIN;
        cw_free_cell(&p->maps.arena, &task->failure);
        cw_root_restart(&p->maps, task);
        cw_task_move(task, generation, CW_TASK_RUNNING, CW_TASK_QUEUED, 0, NULL);
        crew_error err;
        if (queue_up(p, number, task->priority, &err) < 0)
            atomic_store(&p->team->hints_lost, 1);
        return;
    }
    struct cw_failure f = lost_with(p, rank, task, verdict, reason, status);
    if (p->broken.code && !(state & CW_TASK_KILL)) {
        f.code = p->broken.code;
        snprintf(f.text, sizeof f.text, "%.191s", p->broken.text);
    }
    struct cw_line *line = cw_team_line(&p->maps, p->team, rank);
    if (verdict != CW_WAS_CANCELLED)
        atomic_fetch_add(&line->failures, 1);
    /* The dead member's line serves for its accounting: the sections see it. */
    if (cw_task_is_child(task)) {
        cw_child_end(&p->maps, p->team, line, number, &f);
    } else {
        cw_root_end(&p->maps, p->team, line, number, f.code, &f);
    }
}

void cw_pool_member_left_tasks(crew_pool *p, int rank, enum cw_reason reason, int status) {
    struct cw_team *t = p->team;
    struct cw_line *line = cw_team_line(&p->maps, t, rank);
    if (atomic_exchange(&line->critical, 0))
        p->recount = true;
    uint32_t current = atomic_load(&line->task);
    for (uint32_t i = 0, n = atomic_load(&t->task_count); i < n; i++) {
        uint64_t state = atomic_load(&cw_task_at(&p->maps, t, i)->state);
        bool its = cw_task_owner(state) == (uint32_t)rank + 1;
        if (cw_task_phase(state) == CW_TASK_RUNNING && its)
            sentence(p, rank, i, current == i + 1, reason, status);
        /* A child that it was making, or had ended but not put away. */
        if ((cw_task_phase(state) == CW_TASK_PREPARED || cw_task_phase(state) == CW_TASK_DONE) &&
            its)
            cw_task_release(&p->maps, t, i);
        /* It may have died between the end of a record and waking who waits. */
        if (cw_task_phase(state) == CW_TASK_DONE && (state & CW_TASK_WAITED))
            cw_futex_wake(cw_task_futex(cw_task_at(&p->maps, t, i)), INT32_MAX);
    }
}
