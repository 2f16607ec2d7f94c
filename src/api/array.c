/* Arrays: made, found by their handles, destroyed. */
#include "api/array_impl.h"
#include "api/objects.h"
#include "share/value.h"

#include <string.h>

/* Arrays from here on have granules of their own and a guard. */
enum { GUARDED_FROM = 32 * 1024 };

/* ---- from a handle to memory ---- */

static bool live(struct cw_array *array, uint64_t *life) {
    /* Pairs with the release in fill. */
    *life = array ? atomic_load_explicit(&array->life, memory_order_acquire) : 0;
    return !cw_life_over(*life);
}

bool cw_array_use(crew_array a, struct cw_array_use *use) {
    struct cw_share *share = cw_share_here();
    uint64_t own = a.check;
    use->share = share;
    use->array = share ? cw_object(share, CW_ARRAY, a.place, a.check) : NULL;
    if (!use->array && share && cw_handle_far(share, a.check) &&
        !(use->array = cw_array_of_another(share, a, &own)))
        return false;
    if (!live(use->array, &use->life)) {
        cw_handle_stale(CW_ARRAY, a.place, a.check);
        return false;
    }
    uint64_t place = atomic_load_explicit(&use->array->base_place, memory_order_relaxed);
    uint64_t check = atomic_load_explicit(&use->array->base_check, memory_order_relaxed);
    use->base = place ? cw_object(share, CW_ARRAY, place, check) : use->array;
    use->base_check = place ? check : own;
    if (!live(use->base, &use->base_life)) {
        cw_error_set(NULL, CREW_EINVAL, 0, "there is no such array any more: this is a view of "
                     "one that was destroyed");
        return false;
    }
    return true;
}

bool cw_array_same(crew_array a, const struct cw_array_use *use) {
    /* Pairs with the change of life by who destroys it, before the cell is used again. */
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&use->array->life, memory_order_relaxed) == use->life &&
        atomic_load_explicit(&use->base->life, memory_order_relaxed) == use->base_life)
        return true;
    cw_handle_stale(CW_ARRAY, a.place, a.check);
    return false;
}

static struct cw_within within(const struct cw_share *share, const struct cw_array *array,
                               uint64_t life) {
    return (struct cw_within){.life = life,
                              .word = cw_share_off(share, &array->life),
                              .guard = atomic_load_explicit(&array->guard, memory_order_relaxed)};
}

char *cw_array_memory(crew_array a, const struct cw_array_use *use) {
    const crew_shm shm = {
        .place = atomic_load_explicit(&use->array->shm_place, memory_order_relaxed),
        .check = atomic_load_explicit(&use->array->shm_check, memory_order_relaxed)};
    uint64_t data = atomic_load_explicit(&use->array->data, memory_order_relaxed);
    const struct cw_within object = within(use->share, use->base, use->base_life);
    if (!cw_array_same(a, use))
        return NULL;
    if (shm.place) {
        char *memory = crew_shm_data(shm);
        return memory ? memory + data : NULL;
    }
    cw_guard_see(use->share->root.base, use->share->root.size, &object);
    return use->share->root.base + data;
}

bool cw_array_at(const void *at, size_t size, struct cw_within *object) {
    struct cw_share *share = cw_share_here();
    cw_off end, from = share ? cw_arena_block(&share->arrays, at, size, &end) : 0;
    *object = (struct cw_within){0};
    if (!from)
        return false;
    cw_guard_catch_up(share->root.base);
    const struct cw_array_block *block = cw_ptr(&share->arrays, from);
    const struct cw_array *array = cw_ptr(&share->arrays, atomic_load(&block->array));
    uint64_t life;
    if (array && live((struct cw_array *)array, &life) && atomic_load(&array->block) == from)
        *object = within(share, array, life);
    return true;
}

/* ---- making ---- */

static int measure(struct cw_array_plan *plan, int type, int ndim, const int64_t *shape) {
    size_t row = cw_type_size(type), all;
    if (!row)
        return cw_error_set(NULL, CREW_EINVAL, 0, "type %d: CREW_I8 to CREW_F64 are possible",
                            type);
    if (!shape)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the shape is NULL");
    if (ndim < 1 || ndim > CREW_ARRAY_DIMS)
        return cw_error_set(NULL, CREW_EINVAL, 0, "ndim is %d: 1 to %d are possible", ndim,
                            CREW_ARRAY_DIMS);
    plan->form = (struct cw_array_form){.type = type, .ndim = ndim};
    for (int i = ndim - 1; i >= 0; i--) {
        if (shape[i] < 0)
            return cw_error_set(NULL, CREW_EINVAL, 0, "dimension %d is %lld", i,
                                (long long)shape[i]);
        plan->form.shape[i] = shape[i];
        plan->form.strides[i] = (int64_t)(row / cw_type_size(type));
        if (i > 0 && __builtin_mul_overflow(row, (size_t)shape[i], &row))
            return cw_error_set(NULL, CREW_EINVAL, 0, "the array is larger than memory can be");
    }
    if (__builtin_mul_overflow(row, (size_t)shape[0], &all) ||
        all > PTRDIFF_MAX - 4 * CW_ARENA_GRANULE)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the array is larger than memory can be");
    plan->bytes = all;
    return 0;
}

/* How much of it lies on this node. */
static void divide(const struct cw_share *share, struct cw_array_plan *plan) {
    int64_t first = 0, rows = plan->form.shape[0], all = rows;
    if (plan->form.scope == CREW_ARRAY_PARTITIONED && share->commons->nodes > 1)
        cw_array_part(all, cw_node_here(share), (int)share->commons->nodes, &first, &rows);
    int64_t row = all ? (int64_t)plan->bytes / all : 0;
    plan->part_from = first * row;
    plan->part_to = plan->part_from + rows * row;
}

static int look_at(struct cw_array_plan *plan, const crew_array_opts *opts) {
    if (!opts)
        return 0;
    if (opts->scope < CREW_ARRAY_NODE || opts->scope > CREW_ARRAY_PARTITIONED)
        return cw_error_set(NULL, CREW_EINVAL, 0, "scope %d: there is none with that number",
                            opts->scope);
    plan->form.scope = opts->scope;
    if (!opts->over)
        return 0;
    if (opts->scope != CREW_ARRAY_NODE)
        return cw_error_set(NULL, CREW_ENOTSUP, 0,
                            "an array over named memory is of scope CREW_ARRAY_NODE");
    uint64_t size = crew_shm_size(*opts->over);
    if (size == 0 || !crew_shm_data(*opts->over))
        return crew_last_error()->code;
    plan->shm = *opts->over;
    if (size < plan->bytes)
        return cw_error_set(NULL, CREW_ETOOSMALL, 0,
                            "an array of %llu bytes does not fit the %llu of the shared memory %s",
                            (unsigned long long)plan->bytes, (unsigned long long)size,
                            crew_shm_name(plan->shm));
    return 0;
}

/* Its block, in the hand's cell. Memory that another array has left is not zero. */
static bool make_room(struct cw_self *self, struct cw_array_plan *plan, bool spread,
                      crew_error *err) {
    cw_arena *a = &self->share->arrays;
    const size_t head = sizeof(struct cw_array_block);
    const size_t here = (size_t)(plan->part_to - plan->part_from);
    size_t data = (here + 63) / 64 * 64;
    if (here < GUARDED_FROM) {
        plan->block = cw_alloc(a, head + data, &self->hand->array, err);
        plan->data = plan->block + head;
        if (plan->block) {
            cw_guard_catch_up(a->seg->base);
            memset(cw_ptr(a, plan->block), 0, head + data);
        }
        return plan->block;
    }
    const size_t guard = cw_guard_bytes();
    struct cw_array_commit how = {.session = cw_session_self(), .spread = spread};
    plan->block = cw_alloc_pages(a, head + data + guard, cw_array_commit, &how,
                                 &self->hand->array, err);
    uint64_t granules = (head + data + guard - 1) / CW_ARENA_GRANULE + 1;
    cw_off end = plan->block + granules * CW_ARENA_GRANULE;
    plan->data = end - guard - data;
    plan->guard = guard ? end - guard : 0;
    return plan->block;
}

uint64_t cw_array_life(const struct cw_share *share) {
    return (atomic_fetch_add(&cw_head(&share->root)->numbers, 1) + 1) << CW_LIFE_BITS;
}

void cw_array_set_form(struct cw_array *array, const struct cw_array_form *form) {
    atomic_store_explicit(&array->type, form->type, memory_order_relaxed);
    atomic_store_explicit(&array->ndim, form->ndim, memory_order_relaxed);
    atomic_store_explicit(&array->scope, form->scope, memory_order_relaxed);
    for (int i = 0; i < CREW_ARRAY_DIMS; i++) {
        atomic_store_explicit(&array->shape[i], form->shape[i], memory_order_relaxed);
        atomic_store_explicit(&array->strides[i], form->strides[i], memory_order_relaxed);
    }
}

static int fill(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err) {
    struct cw_array *array = (struct cw_array *)head;
    const struct cw_array_plan *plan = arg;
    (void)err;
    if (plan->block) {
        struct cw_array_block *block = cw_ptr(&share->arrays, plan->block);
        atomic_store(&block->array, cw_share_off(share, array));
    }
    cw_array_set_form(array, &plan->form);
    cw_array_set_far(array, plan->origin, plan->part_from, plan->part_to);
    atomic_store_explicit(&array->maker, plan->maker, memory_order_relaxed);
    /* Element 0 may lie elsewhere: this is where it would. */
    atomic_store_explicit(&array->data, plan->data - (uint64_t)plan->part_from,
                          memory_order_relaxed);
    atomic_store_explicit(&array->guard, plan->guard, memory_order_relaxed);
    atomic_store_explicit(&array->base_place, 0, memory_order_relaxed);
    atomic_store_explicit(&array->shm_place, plan->shm.place, memory_order_relaxed);
    atomic_store_explicit(&array->shm_check, plan->shm.check, memory_order_relaxed);
    atomic_store_explicit(&array->use, 0, memory_order_relaxed);
    atomic_store_explicit(&array->identity, 0, memory_order_relaxed);
    const struct cw_ferry *ferry = cw_ferry(share);
    atomic_store_explicit(&array->without, ferry ? atomic_load(&ferry->lost) : 0,
                          memory_order_relaxed);
    atomic_store_explicit(&array->block, plan->block, memory_order_relaxed);
    /* Pairs with the acquire in live. */
    atomic_store_explicit(&array->life, cw_array_life(share), memory_order_release);
    return 0;
}

void cw_array_set_far(struct cw_array *array, crew_array origin, int64_t from, int64_t to) {
    atomic_store_explicit(&array->abroad, 0, memory_order_relaxed);
    atomic_store_explicit(&array->stuck, 0, memory_order_relaxed);
    atomic_store_explicit(&array->held, 0, memory_order_relaxed);
    atomic_store_explicit(&array->origin_place, origin.place, memory_order_relaxed);
    atomic_store_explicit(&array->origin_check, origin.check, memory_order_relaxed);
    atomic_store_explicit(&array->part_from, from, memory_order_relaxed);
    atomic_store_explicit(&array->part_to, to, memory_order_relaxed);
}

int cw_array_make(struct cw_self *self, struct cw_array_plan *plan, bool spread, crew_array *made,
                  crew_error *err) {
    divide(self->share, plan);
    plan->maker = self->number + 1;
    if (!plan->shm.place && !make_room(self, plan, spread, err)) {
        cw_arena_shrink(&self->share->arena, UINT64_MAX); /* it may hold what it does not need */
        if (!make_room(self, plan, spread, err))
            return err->code;
    }
    int rc = cw_object_make(self->share, CW_ARRAY, fill, plan, &made->place, &made->check, err);
    if (rc < 0) {
        cw_free_cell(&self->share->arrays, &self->hand->array);
        return rc;
    }
    atomic_store(&self->hand->array, 0);
    return cw_error_clear(err); /* of the first try, too */
}

int cw_array_plan(struct cw_array_plan *plan, const struct cw_array_form *form) {
    int rc = measure(plan, form->type, form->ndim, form->shape);
    plan->form.scope = form->scope;
    return rc;
}

int crew_array_create(crew_array *a, int type, int ndim, const int64_t *shape,
                      const crew_array_opts *opts) {
    struct cw_array_plan plan = {0};
    crew_array made;
    if (!a)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the handle is NULL");
    int rc = measure(&plan, type, ndim, shape);
    if (rc < 0 || (rc = look_at(&plan, opts)) < 0)
        return rc;
    struct cw_self *self = cw_self_get();
    if (!self)
        return crew_last_error()->code;
    rc = cw_array_make(self, &plan, opts && opts->interleave, &made, cw_error_last());
    if (rc < 0)
        return rc;
    if (plan.form.scope != CREW_ARRAY_NODE && self->share->commons->nodes > 1 &&
        (rc = cw_array_make_elsewhere(self, made, &plan.form)) < 0)
        return rc;
    *a = made;
    if (!plan.shm.place)
        crew_array_data(made); /* its guard */
    return cw_error_clear(NULL);
}

/* From here on it is gone, for all of this node. False: it was before. */
bool cw_array_end(struct cw_self *self, struct cw_array *array, crew_array a) {
    uint64_t life;
    if (!live(array, &life) ||
        !atomic_compare_exchange_strong(&array->life, &life, life | (self->number + 1)))
        return false;
    cw_array_empty(self->share, array);
    cw_object_end(self->share, CW_ARRAY, a.place, a.check);
    return true;
}

int crew_array_destroy(crew_array a) {
    struct cw_share *share = cw_share_here();
    struct cw_array *array = share ? cw_object(share, CW_ARRAY, a.place, a.check) : NULL;
    uint64_t life;
    if (!array && share && cw_handle_far(share, a.check))
        return cw_array_end_at_home(a);
    if (!live(array, &life))
        return cw_handle_stale(CW_ARRAY, a.place, a.check);
    struct cw_self *self = cw_self_get();
    if (!self)
        return crew_last_error()->code;
    if (!cw_array_end(self, array, a))
        return cw_handle_stale(CW_ARRAY, a.place, a.check);
    /* Pairs with the agent's: it sets `abroad`, then looks at `life`. */
    if (atomic_load(&array->abroad))
        return cw_array_end_elsewhere(self);
    return cw_error_clear(NULL);
}

/* ---- the lock ---- */

int crew_array_lock(crew_array a) {
    struct cw_array_use use;
    struct cw_self *self = cw_self_get();
    if (!self)
        return crew_last_error()->code;
    if (!cw_array_use(a, &use))
        return CREW_EINVAL;
    int rc = cw_rlock_acquire(self, &use.base->lock, use.base_check, CREW_FOREVER);
    cw_handle_met();
    if (cw_array_same(a, &use)) {
        cw_error_clear(NULL);
        return rc;
    }
    if (rc >= 0)
        cw_rlock_release(self, &use.base->lock, use.base_check);
    return cw_handle_stale(CW_ARRAY, a.place, a.check);
}

int crew_array_unlock(crew_array a) {
    struct cw_array_use use;
    struct cw_self *self = cw_self_get();
    if (!self)
        return crew_last_error()->code;
    if (!cw_array_use(a, &use))
        return CREW_EINVAL;
    int rc = cw_rlock_release(self, &use.base->lock, use.base_check);
    if (rc == CREW_EINVAL)
        return cw_handle_stale(CW_ARRAY, a.place, a.check);
    if (rc < 0)
        return cw_error_set(NULL, CREW_EPERM, 0, "this thread does not hold the array's lock");
    return cw_error_clear(NULL);
}
