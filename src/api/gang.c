/* Gang tasks: their way from submit to their end. */
#include "api/gang.h"

#include "api/future_impl.h"
#include "api/home.h"
#include "base/error.h"
#include "sched/gang.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One that waits or runs. */
struct entry {
    struct entry *next;
    uint32_t id, number; /* the policy's; its record's */
    cw_off gang;         /* 0: it has not begun */
    bool told;           /* its record has ended, and may be another's */
    int worst; /* the lowest place that failed; -1: none */
    struct cw_failure failure;
};

struct cw_pool_gangs {
    struct cw_gangs *policy; /* NULL: it serves another node's pool */
    struct entry *entries;
    uint32_t ids;
    int count; /* musters */
};

/* Of all pools: what tells communicators apart that have ranks in common. MPI takes tags
 * up to 32767 in any case. */
static _Atomic uint32_t tags;
enum { TAGS = 32767 };

static struct cw_muster *muster(crew_pool *p, int i) {
    return cw_team_muster(&p->maps, p->team, i);
}

int cw_pool_gangs_open(crew_pool *p, const int *by_node, crew_error *err) {
    struct cw_pool_gangs *g = p->gangs = calloc(1, sizeof *g);
    int *nodes = calloc((size_t)p->workers + 1, sizeof *nodes);
    for (int i = 0, node = 0, left = by_node ? by_node[0] : p->workers; nodes && i < p->workers; i++) {
        while (left == 0)
            left = by_node[++node];
        nodes[i] = node;
        left--;
    }
    if (g && nodes && !p->serves)
        g->policy = cw_gangs_make(p->workers, nodes);
    free(nodes);
    if (!g || (!p->serves && !g->policy))
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a pool");
    g->count = p->workers;
    p->team->musters = cw_alloc_zero(&p->maps.arena, (size_t)g->count * sizeof(struct cw_muster),
                                     NULL, err);
    return p->team->musters ? 0 : CREW_ENOMEM;
}

static void forget(crew_pool *p, struct entry *r) {
    struct entry **at = &p->gangs->entries;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    cw_gang_free(&p->maps, r->gang);
    free(r);
}

void cw_pool_gangs_free(crew_pool *p) {
    struct cw_pool_gangs *g = p->gangs;
    if (!g)
        return;
    while (g->entries)
        forget(p, g->entries);
    /* What was being run for another node belongs to the muster. */
    for (int i = 0; p->serves && p->team->musters && i < g->count; i++)
        cw_gang_free(&p->maps, muster(p, i)->gang);
    cw_free(&p->maps.arena, p->team->musters);
    cw_gangs_free(g->policy);
    free(g);
    p->gangs = NULL;
}

int cw_pool_gang_check(crew_pool *p, int ranks, crew_error *err) {
    if (ranks < 0)
        return cw_error_set(err, CREW_EINVAL, 0, "ranks is %d: it may not be negative", ranks);
    if (ranks <= 1)
        return 0;
    if (!p->gangs)
        return cw_error_set(err, CREW_ENOTSUP, 0,
                            "ranks is %d: a task runs on several ranks only where tasks run in the "
                            "ranks of MPI themselves: set CREW_ISOLATE=0 and start the program "
                            "with mpirun or srun",
                            ranks);
    if (ranks > p->workers)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "ranks is %d, but the pool has %d workers, each a rank: a task takes "
                            "so many at most",
                            ranks, p->workers);
    return 0;
}

static struct entry *find(crew_pool *p, uint32_t id) {
    struct entry *r = p->gangs->entries;
    while (r && r->id != id)
        r = r->next;
    return r;
}

static struct entry *of_record(crew_pool *p, uint32_t number) {
    struct entry *r = p->gangs->entries;
    while (r && (r->number != number || r->told))
        r = r->next;
    return r;
}

/* ---- ends ---- */

static void end_record(crew_pool *p, uint32_t number, const struct cw_failure *failure) {
    cw_root_end(&p->maps, p->team, NULL, number, failure ? failure->code : 0, failure);
}

static struct cw_failure failure_of(crew_pool *p, uint32_t number, int code) {
    struct cw_task *task = cw_task_at(&p->maps, p->team, number);
    return (struct cw_failure){
        .code = code, .index = task->index, .worker = -1, .attempt = task->attempt};
}

/* The result becomes the record's. */
static void succeed(crew_pool *p, struct entry *r) {
    struct cw_gang *gang = cw_ptr(&p->maps.arena, r->gang);
    struct cw_task *task = cw_task_at(&p->maps, p->team, r->number);
    cw_off cell = atomic_load(&gang->out_cell);
    crew_error err;
    void *room = cell ? cw_task_result_room(&p->maps, task, gang->out_size, &err) : NULL;
    if (cell && !room) {
        struct cw_failure f = failure_of(p, r->number, CREW_ENOMEM);
        snprintf(f.text, sizeof f.text, "no memory for its result");
        end_record(p, r->number, &f);
        return;
    }
    if (cell && gang->out_size)
        memcpy(room, cw_ptr(&p->maps.arena, cell), gang->out_size);
    end_record(p, r->number, NULL);
}

static void all_ended(crew_pool *p, struct entry *r) {
    if (!r->told && r->worst < 0)
        succeed(p, r);
    else if (!r->told)
        end_record(p, r->number, &r->failure);
    forget(p, r);
}

/* Those who run it may see that by crew_cancelled. */
static void drop(crew_pool *p, const struct entry *r) {
    if (r->gang)
        atomic_store(&((struct cw_gang *)cw_ptr(&p->maps.arena, r->gang))->cancelled, 1);
}

static void one_lost(crew_pool *p, struct entry *r, int member) {
    bool ending = p->state >= CW_POOL_ENDING || atomic_load(&p->team->quit) != CW_RUN;
    struct cw_failure f = failure_of(p, r->number, ending ? CREW_ECANCELLED : CREW_EDIED);
    f.worker = ending ? -1 : member;
    snprintf(f.text, sizeof f.text, "%s", ending ? "the pool was ended" : "lost with its rank");
    r->told = true;
    end_record(p, r->number, &f);
    drop(p, r);
}

static void too_few(crew_pool *p, struct entry *r) {
    struct cw_task *task = cw_task_at(&p->maps, p->team, r->number);
    uint32_t generation = cw_task_generation(atomic_load(&task->state));
    struct cw_failure f = failure_of(p, r->number, CREW_EDIED);
    snprintf(f.text, sizeof f.text, "in want of ranks, for it takes %d, and %d are left",
             task->ranks, cw_gangs_left(p->gangs->policy));
    cw_task_move(task, generation, CW_TASK_QUEUED, CW_TASK_PREPARED, 0, NULL);
    end_record(p, r->number, &f);
    forget(p, r);
}

/* ---- the beginning ---- */

static cw_off make(crew_pool *p, uint32_t number, const int *members, int count, crew_error *err) {
    struct cw_task *task = cw_task_at(&p->maps, p->team, number);
    const struct cw_gang like = {.fn = task->fn,
                                 .id = number,
                                 .tag = atomic_fetch_add(&tags, 1) % TAGS + 1,
                                 .size = count,
                                 .attempt = task->attempt,
                                 .index = task->index,
                                 .stream = task->stream,
                                 .task_timeout = task->task_timeout,
                                 .in_size = task->in_size,
                                 .common_size = task->common_size};
    int32_t *world = calloc((size_t)count, sizeof *world);
    if (!world) {
        cw_error_set(err, CREW_ENOMEM, 0, "no memory for a task of %d ranks", count);
        return 0;
    }
    for (int i = 0; i < count; i++)
        world[i] = muster(p, members[i])->world;
    cw_off at = cw_gang_make(&p->maps, &like, world, cw_task_item(&p->maps, task),
                             cw_ref_ptr(&p->maps, task->common), err);
    free(world);
    return at;
}

static void begin(crew_pool *p, struct entry *r) {
    struct cw_task *task = cw_task_at(&p->maps, p->team, r->number);
    int count;
    const int *members = cw_gangs_members(p->gangs->policy, r->id, &count);
    crew_error err;
    cw_task_move(task, cw_task_generation(atomic_load(&task->state)), CW_TASK_QUEUED,
                 CW_TASK_RUNNING, 0, NULL);
    r->gang = make(p, r->number, members, count, &err);
    if (!r->gang) {
        r->worst = 0;
        r->failure = failure_of(p, r->number, CREW_ENOMEM);
        snprintf(r->failure.text, sizeof r->failure.text, "%.191s", err.text);
    }
    for (int i = 0; i < count; i++) {
        struct cw_muster *s = muster(p, members[i]);
        s->gang = r->gang;
        s->place = i;
        s->code = 0;
        if (r->gang) {
            cw_muster_move(s, CW_MUSTER_AWAITED, CW_MUSTER_GO); /* not of one that is lost */
        } else {
            cw_muster_dismiss(s);
            cw_gangs_ended(p->gangs->policy, members[i]);
        }
    }
}

/* ---- what happens ---- */

static void look_at(crew_pool *p, int i) {
    struct cw_gangs *policy = p->gangs->policy;
    struct cw_muster *s = muster(p, i);
    uint32_t seen = atomic_load(&s->word);
    if (cw_muster_state(seen) == CW_MUSTER_HERE) {
        if (cw_muster_turn(s, seen, CW_MUSTER_AWAITED))
            cw_gangs_arrived(policy, i);
    } else if (cw_muster_state(seen) == CW_MUSTER_LOST) {
        cw_gangs_lost(policy, i);
    } else if (cw_muster_state(seen) == CW_MUSTER_OVER) {
        struct entry *r = p->gangs->entries;
        while (r && r->gang != s->gang)
            r = r->next;
        if (r && s->code && (r->worst < 0 || s->place < r->worst)) {
            r->worst = s->place;
            r->failure = s->failure;
        }
        s->gang = 0;
        cw_muster_turn(s, seen, CW_MUSTER_FREE);
        cw_gangs_ended(policy, i);
    }
}

static void call(crew_pool *p, int i) {
    struct cw_muster *s = muster(p, i);
    uint32_t next = (cw_muster_call(atomic_load(&s->word)) + 1) % CW_MUSTER_CALLS;
    if (cw_muster_summon(s, next) && i < p->natives)
        cw_team_wake_one(&p->maps, p->team, i);
}

static void act(crew_pool *p, const struct cw_gang_action *a) {
    switch (a->what) {
    case CW_GANG_CALL:
        call(p, a->member);
        break;
    case CW_GANG_DISMISS:
        cw_muster_dismiss(muster(p, a->member));
        break;
    case CW_GANG_START:
        begin(p, find(p, a->id));
        break;
    case CW_GANG_OVER:
    case CW_GANG_DRAINED:
        all_ended(p, find(p, a->id));
        break;
    case CW_GANG_FAIL:
        one_lost(p, find(p, a->id), a->member);
        break;
    case CW_GANG_TOO_FEW:
        too_few(p, find(p, a->id));
        break;
    }
}

void cw_pool_tend_gangs(crew_pool *p) {
    if (!p->gangs || !p->gangs->policy || cw_gangs_none(p->gangs->policy))
        return;
    struct cw_gang_action a;
    bool any = false;
    for (int i = 0; i < p->gangs->count; i++)
        look_at(p, i);
    while (cw_gangs_next(p->gangs->policy, &a)) {
        any = true;
        act(p, &a);
    }
    if (any && p->home)
        cw_home_wake();
    if (any)
        pthread_cond_broadcast(&p->changed);
}

int cw_pool_gang_add(crew_pool *p, uint32_t number, int ranks, crew_error *err) {
    struct cw_gangs *policy = p->gangs->policy;
    for (int i = 0; i < p->gangs->count; i++)
        if (cw_muster_state(atomic_load(&muster(p, i)->word)) == CW_MUSTER_LOST)
            cw_gangs_lost(policy, i);
    if (ranks > cw_gangs_left(policy))
        return cw_error_set(err, CREW_EINVAL, 0,
                            "ranks is %d, but of the pool's %d ranks %d are left", ranks,
                            p->workers, cw_gangs_left(policy));
    struct entry *r = calloc(1, sizeof *r);
    if (!r || !cw_gangs_add(policy, ++p->gangs->ids, ranks)) {
        free(r);
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a task of %d ranks", ranks);
    }
    *r = (struct entry){
        .next = p->gangs->entries, .id = p->gangs->ids, .number = number, .worst = -1};
    p->gangs->entries = r;
    cw_pool_tend_gangs(p);
    return 0;
}

void cw_pool_gang_cancel(crew_pool *p, uint32_t number) {
    struct entry *r = of_record(p, number);
    if (!r || !cw_gangs_cancel(p->gangs->policy, r->id))
        return;
    forget(p, r);
    cw_pool_tend_gangs(p);
}

void cw_pool_gang_drop(crew_pool *p, uint32_t number) {
    struct entry *r = of_record(p, number);
    if (r)
        drop(p, r);
    if (r && p->home)
        cw_home_wake();
}

void cw_pool_gang_lost(crew_pool *p, int rank) {
    if (p->gangs->policy)
        cw_muster_lose(muster(p, rank));
}

/* What waits has been cancelled before. */
void cw_pool_gangs_end(crew_pool *p) {
    struct cw_pool_gangs *g = p->gangs;
    for (struct entry *r = g ? g->entries : NULL; r; r = r->next)
        drop(p, r);
    for (int i = 0; g && !g->policy && i < g->count; i++) {
        struct cw_muster *s = muster(p, i);
        cw_muster_dismiss(s);
        cw_gang_unwanted(&p->maps, s);
    }
}
