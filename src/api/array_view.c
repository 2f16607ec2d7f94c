/* What an array looks like; and views, which look otherwise at the same memory. */
#include "api/array_impl.h"
#include "api/objects.h"
#include "share/value.h"

void cw_array_form(const struct cw_array *array, struct cw_array_form *form) {
    form->type = atomic_load_explicit(&array->type, memory_order_relaxed);
    form->ndim = atomic_load_explicit(&array->ndim, memory_order_relaxed);
    form->scope = atomic_load_explicit(&array->scope, memory_order_relaxed);
    for (int i = 0; i < CREW_ARRAY_DIMS; i++) {
        form->shape[i] = atomic_load_explicit(&array->shape[i], memory_order_relaxed);
        form->strides[i] = atomic_load_explicit(&array->strides[i], memory_order_relaxed);
    }
}

int64_t cw_array_count(const struct cw_array_form *form) {
    int64_t n = 1;
    for (int i = 0; i < form->ndim; i++)
        n *= form->shape[i];
    return n;
}

bool cw_array_contiguous(const struct cw_array_form *form) {
    int64_t next = 1;
    if (cw_array_count(form) == 0)
        return true;
    for (int i = form->ndim - 1; i >= 0; i--) {
        if (form->shape[i] != 1 && form->strides[i] != next)
            return false;
        next *= form->shape[i];
    }
    return true;
}

/* False: the error is set. */
static bool look(crew_array a, struct cw_array_form *form) {
    struct cw_array_use use;
    if (!cw_array_use(a, &use))
        return false;
    cw_array_form(use.array, form);
    if (!cw_array_same(a, &use))
        return false;
    cw_error_clear(NULL);
    return true;
}

int64_t cw_array_beyond(const struct cw_array_use *use) {
    return (int64_t)(atomic_load_explicit(&use->array->data, memory_order_relaxed) -
                     atomic_load_explicit(&use->base->data, memory_order_relaxed));
}

/* Where the byte so far behind element 0 of the view is; NULL: on another node. */
static char *at_home(const struct cw_array_use *use, char *data, int64_t offset) {
    int64_t from = atomic_load_explicit(&use->base->part_from, memory_order_relaxed);
    int64_t to = atomic_load_explicit(&use->base->part_to, memory_order_relaxed);
    int64_t at = cw_array_beyond(use) + offset;
    if (atomic_load_explicit(&use->base->scope, memory_order_relaxed) != CREW_ARRAY_PARTITIONED ||
        use->share->commons->nodes < 2 || (at >= from && at < to))
        return data + offset;
    cw_error_set(NULL, CREW_EINVAL, 0, "this part of the array lies on another node: "
                 "crew_array_part says what lies here, crew_array_get and put reach all of it");
    return NULL;
}

void *crew_array_data(crew_array a) {
    struct cw_array_use use;
    char *data = cw_array_use(a, &use) ? cw_array_memory(a, &use) : NULL;
    if (data && use.array == use.base)
        data += atomic_load_explicit(&use.base->part_from, memory_order_relaxed);
    else if (data)
        data = at_home(&use, data, 0);
    if (data)
        cw_error_clear(NULL);
    return data;
}

void *crew_array_row(crew_array a, int64_t row) {
    struct cw_array_use use;
    if (!cw_array_use(a, &use))
        return NULL;
    int64_t rows = atomic_load_explicit(&use.array->shape[0], memory_order_relaxed);
    int64_t stride = atomic_load_explicit(&use.array->strides[0], memory_order_relaxed);
    int type = atomic_load_explicit(&use.array->type, memory_order_relaxed);
    char *data = cw_array_memory(a, &use); /* looks whether all that was its own */
    if (!data)
        return NULL;
    if (row < 0 || row >= rows) {
        cw_error_set(NULL, CREW_EINVAL, 0, "row %lld: there are %lld", (long long)row,
                     (long long)rows);
        return NULL;
    }
    data = at_home(&use, data, row * stride * (int64_t)cw_type_size(type));
    if (data)
        cw_error_clear(NULL);
    return data;
}

static int tell(crew_array a, bool strides, int64_t *to, int cap) {
    struct cw_array_form form;
    if (!look(a, &form))
        return CREW_EINVAL;
    if (!to && cap > 0)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the %s is NULL", strides ? "stride" : "shape");
    for (int i = 0; i < form.ndim && i < cap; i++)
        to[i] = strides ? form.strides[i] : form.shape[i];
    return form.ndim;
}

int crew_array_shape(crew_array a, int64_t *shape, int cap) {
    return tell(a, false, shape, cap);
}

int crew_array_strides(crew_array a, int64_t *strides, int cap) {
    return tell(a, true, strides, cap);
}

int crew_array_type(crew_array a) {
    struct cw_array_form form;
    return look(a, &form) ? form.type : CREW_EINVAL;
}

int64_t crew_array_size(crew_array a) {
    struct cw_array_form form;
    return look(a, &form) ? cw_array_count(&form) : CREW_EINVAL;
}

bool crew_array_contiguous(crew_array a) {
    struct cw_array_form form;
    return look(a, &form) && cw_array_contiguous(&form);
}

/* ---- views ---- */

/* As Python's slice.indices: from the end, cut off. Backwards the places outside are
 * before the first and at the last. */
static int64_t place(int64_t i, int64_t n, int64_t step) {
    int64_t low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n;
    if (i < 0)
        i = i < -n ? low : i + n;
    return i < low ? low : i > high ? high : i;
}

static int64_t how_many(int64_t from, int64_t to, int64_t step) {
    /* Unsigned: a step may be INT64_MIN. */
    uint64_t wide = step > 0 ? (uint64_t)to - (uint64_t)from : (uint64_t)from - (uint64_t)to;
    uint64_t by = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    bool none = step > 0 ? from >= to : from <= to;
    return none ? 0 : (int64_t)((wide - 1) / by + 1);
}

static int fill(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err) {
    struct cw_array *array = (struct cw_array *)head;
    const struct cw_array_look *look = arg;
    (void)err;
    cw_array_set_form(array, &look->form);
    cw_array_set_far(array, look->origin, 0, 0);
    atomic_store_explicit(&array->maker, 0, memory_order_relaxed);
    atomic_store_explicit(&array->data, look->data, memory_order_relaxed);
    atomic_store_explicit(&array->guard, 0, memory_order_relaxed);
    atomic_store_explicit(&array->base_place, look->of.place, memory_order_relaxed);
    atomic_store_explicit(&array->base_check, look->of.check, memory_order_relaxed);
    atomic_store_explicit(&array->shm_place, look->shm.place, memory_order_relaxed);
    atomic_store_explicit(&array->shm_check, look->shm.check, memory_order_relaxed);
    atomic_store_explicit(&array->block, 0, memory_order_relaxed);
    /* Pairs with the acquire in live (array.c). */
    atomic_store_explicit(&array->life, cw_array_life(share), memory_order_release);
    return 0;
}

int cw_array_make_view(struct cw_share *share, const struct cw_array_look *look, crew_array *view,
                       crew_error *err) {
    return cw_object_make(share, CW_ARRAY, fill, (void *)look, &view->place, &view->check, err);
}

static bool look_at(crew_array a, struct cw_array_look *look) {
    struct cw_array_use use;
    if (!cw_array_use(a, &use))
        return false;
    const struct cw_array *array = use.array;
    cw_array_form(array, &look->form);
    look->data = atomic_load_explicit(&array->data, memory_order_relaxed);
    look->shm.place = atomic_load_explicit(&array->shm_place, memory_order_relaxed);
    look->shm.check = atomic_load_explicit(&array->shm_check, memory_order_relaxed);
    look->of = cw_array_handle(use.share, use.base, use.base_check);
    look->origin = (crew_array){0};
    return cw_array_same(a, &use);
}

int crew_array_slice(crew_array *view, crew_array a, int dim, int64_t from, int64_t to,
                     int64_t step) {
    struct cw_array_look look;
    if (!view)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the handle is NULL");
    if (!look_at(a, &look))
        return CREW_EINVAL;
    if (dim < 0 || dim >= look.form.ndim)
        return cw_error_set(NULL, CREW_EINVAL, 0, "dimension %d: there are %d", dim,
                            look.form.ndim);
    if (step == 0)
        return cw_error_set(NULL, CREW_EINVAL, 0, "a slice's step is 0");
    int64_t n = look.form.shape[dim], stride = look.form.strides[dim];
    from = place(from, n, step);
    to = place(to, n, step);
    n = how_many(from, to, step);
    look.form.shape[dim] = n;
    if (n > 0) /* a step to nowhere might not fit */
        look.data += (uint64_t)(from * stride) * cw_type_size(look.form.type);
    if (n > 1)
        look.form.strides[dim] = stride * step;
    return cw_handle_make(CW_ARRAY, fill, &look, &view->place, &view->check);
}
