#include "api/journal_keys.h"

#include "api/journal.h"
#include "base/error.h"
#include "journal/hash.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One key. */
struct entry {
    struct entry *next;
    uint64_t at, size; /* the result, or the failure's text, in the file */
    uint64_t input, object;
    int status, task_code;
    char *name; /* of the function; in the same piece of memory as the key */
    char key[];
};

enum { CHAINS = 4096 };

struct cw_keys {
    struct cw_keys *next;
    struct cw_journal *jn;
    char *path; /* from the root: the program's working directory may change */
    int pools; /* guarded by `opening`, as the list is */
    struct entry *chains[CHAINS]; /* the journal's lock */
};

/* A pool's hold on one. */
struct cw_keys_hold {
    struct cw_keys_hold *next;
    struct cw_keys *keys;
};

struct cw_keyed {
    struct cw_keys *keys;
    uint64_t input, object;
    char *name;
    char key[];
};

/* Lock order: `opening`, then a journal's lock. */
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static struct cw_keys *all;

void cw_keys_forked(void) {
    pthread_mutex_init(&opening, NULL);
    all = NULL;
}

/* ---- the table ------------------------------------------------------------------ */

static struct entry **chain_of(struct cw_keys *k, const char *key) {
    return &k->chains[cw_hash(key, strlen(key), 0) % CHAINS];
}

static struct entry *entry_of(struct cw_keys *k, const char *key) {
    struct entry *e = *chain_of(k, key);
    while (e && strcmp(e->key, key) != 0)
        e = e->next;
    return e;
}

/* The entry with this key, put there if need be; its name as given. NULL: no memory. */
static struct entry *set_entry(struct cw_keys *k, const char *key, const char *name) {
    struct entry **at = chain_of(k, key), *old = entry_of(k, key);
    size_t key_size = strlen(key) + 1, name_size = strlen(name) + 1;
    if (old && strcmp(old->name, name) == 0)
        return old;
    struct entry *e = calloc(1, sizeof *e + key_size + name_size);
    if (!e)
        return NULL;
    memcpy(e->key, key, key_size);
    e->name = memcpy(e->key + key_size, name, name_size);
    while (*at && *at != old)
        at = &(*at)->next;
    e->next = old ? old->next : NULL;
    *at = e;
    free(old);
    return e;
}

static int found(void *ctx, const struct cw_journal_record *r, uint64_t at) {
    struct cw_keys *k = ctx;
    if (!r->key_size)
        return 0;
    char *key = malloc((size_t)r->key_size + r->name_size + 2);
    crew_error err;
    if (!key)
        return CREW_ENOMEM;
    char *name = key + r->key_size + 1;
    if (cw_journal_read(k->jn, at, key, r->key_size, &err) < 0 ||
        cw_journal_read(k->jn, at + r->key_size, name, r->name_size, &err) < 0) {
        free(key);
        return 0;
    }
    key[r->key_size] = name[r->name_size] = 0;
    struct entry *old = entry_of(k, key);
    bool kept = old && old->status == 0 && r->status; /* what was done stays done */
    struct entry *e = kept ? old : set_entry(k, key, name);
    free(key);
    if (!e || kept)
        return e ? 0 : CREW_ENOMEM;
    uint64_t head = (uint64_t)r->key_size + r->name_size;
    e->at = at + head;
    e->size = r->size - head;
    e->input = r->input;
    e->object = (uint64_t)r->index;
    e->status = r->status;
    e->task_code = r->task_code;
    return 0;
}

/* ---- opening and closing ----------------------------------------------------------- */

static void release(struct cw_keys *k) {
    cw_journal_close(k->jn, NULL, 0);
    for (int i = 0; i < CHAINS; i++)
        for (struct entry *e = k->chains[i], *next; e; e = next) {
            next = e->next;
            free(e);
        }
    free(k->path);
    free(k);
}

static struct cw_keys *open_keys(crew_pool *p, const char *path, crew_error *err) {
    struct cw_keys *k = calloc(1, sizeof *k);
    if (!k || !(k->path = strdup(path))) {
        free(k);
        cw_error_set(err, CREW_ENOMEM, 0, "no memory for a journal");
        return NULL;
    }
    const struct cw_journal_ask ask = {.session = p->session,
                                       .path = path,
                                       .want = {.kind = CW_JOURNAL_KEYS, .count = -1, .grain = 1},
                                       .found = found,
                                       .found_ctx = k};
    if (cw_journal_open(&ask, &k->jn, err) < 0 || cw_journal_start(k->jn, err) < 0) {
        release(k);
        return NULL;
    }
    return k;
}

/* The same name from the root, as far as there is room for it. */
static const char *from_root(const char *path, char *full, size_t size) {
    if (*path == '/' || !getcwd(full, size))
        return path;
    size_t n = strlen(full);
    if (n + 1 + strlen(path) >= size)
        return path;
    snprintf(full + n, size - n, "%s%s", n > 1 ? "/" : "", path);
    return full;
}

/* With `opening`. */
static struct cw_keys *hold(crew_pool *p, const char *path, crew_error *err) {
    for (struct cw_keys_hold *h = p->keys; h; h = h->next)
        if (strcmp(h->keys->path, path) == 0)
            return h->keys;
    struct cw_keys_hold *h = calloc(1, sizeof *h);
    struct cw_keys *k = all;
    while (k && strcmp(k->path, path) != 0)
        k = k->next;
    if (!h) {
        cw_error_set(err, CREW_ENOMEM, 0, "no memory for a journal");
        return NULL;
    }
    if (!k && (k = open_keys(p, path, err))) {
        k->next = all;
        all = k;
    }
    if (!k) {
        free(h);
        return NULL;
    }
    k->pools++;
    *h = (struct cw_keys_hold){p->keys, k};
    p->keys = h;
    return k;
}

void cw_keys_leave(crew_pool *p) {
    pthread_mutex_lock(&opening);
    while (p->keys) {
        struct cw_keys_hold *h = p->keys;
        struct cw_keys *k = h->keys;
        p->keys = h->next;
        free(h);
        if (--k->pools > 0)
            continue;
        struct cw_keys **at = &all;
        while (*at != k)
            at = &(*at)->next;
        *at = k->next;
        release(k);
    }
    pthread_mutex_unlock(&opening);
}

/* ---- a call ---------------------------------------------------------------------- */

/* The function's object, as records have it: no negative number. */
static uint64_t object_of(cw_fn_name fn) {
    return fn.object & INT64_MAX;
}

static uint64_t hash_input(const struct cw_submit *w) {
    const crew_submit_opts *o = w->opts;
    struct cw_hasher h;
    cw_hash_begin(&h, w->size);
    cw_hash_add(&h, w->in, w->size);
    cw_hash_add(&h, &o->common_size, sizeof o->common_size);
    cw_hash_add(&h, o->common, o->common_size);
    return cw_hash_end(&h);
}

static int compare(const crew_pool *p, const struct entry *e, const struct cw_keyed *keyed,
                   crew_error *err) {
    const char *what = strcmp(e->name, keyed->name) != 0 ? "another function"
                       : e->object != keyed->object && !p->session->config.journal_force
                           ? "another build of the program (CREW_JOURNAL_FORCE=1 takes it all "
                             "the same)"
                       : e->input != keyed->input ? "another item or common argument"
                                                  : NULL;
    return what ? cw_error_set(err, CREW_EMISMATCH, 0,
                               "the journal %.80s has the key %.60s with %s", keyed->keys->path,
                               keyed->key, what)
                : 0;
}

static int read_known(struct cw_keys *k, const struct entry *e, struct cw_known *known,
                      crew_error *err) {
    *known = (struct cw_known){.status = e->status, .task_code = e->task_code, .size = e->size};
    if (!(known->data = malloc(e->size + 1)))
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a result");
    if (cw_journal_read(k->jn, e->at, known->data, e->size, err) < 0) {
        free(known->data);
        return err->code;
    }
    known->data[e->size] = 0;
    return 2;
}

/* What the journal has of it: 1 nothing, 2 all. */
static int look_up(crew_pool *p, struct cw_keyed *keyed, struct cw_known *known, crew_error *err) {
    struct cw_keys *k = keyed->keys;
    cw_journal_lock(k->jn);
    struct entry *e = entry_of(k, keyed->key), copy;
    int rc = e ? compare(p, e, keyed, err) : 1;
    if (e)
        copy = *e;
    cw_journal_unlock(k->jn);
    if (rc != 0)
        return rc;
    if (copy.status && p->session->config.resume != CW_RESUME_FINISHED)
        return 1;
    cw_journal_flush(k->jn); /* it may have ended just now */
    rc = read_known(k, &copy, known, err);
    return rc == CREW_EINVAL ? 1 : rc; /* what cannot be read, or not yet, runs again */
}

static int begin(crew_pool *p, const struct cw_submit *w, struct cw_keys *k, cw_fn_name fn,
                 struct cw_keyed **keyed, struct cw_known *known, crew_error *err) {
    char name[128];
    cw_fn_describe((cw_fn *)w->fn, name, sizeof name);
    size_t key_size = strlen(w->opts->key) + 1, name_size = strlen(name) + 1;
    struct cw_keyed *one = malloc(sizeof *one + key_size + name_size);
    if (!one)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for a key");
    *one = (struct cw_keyed){.keys = k, .input = hash_input(w), .object = object_of(fn)};
    memcpy(one->key, w->opts->key, key_size);
    one->name = memcpy(one->key + key_size, name, name_size);
    int rc = look_up(p, one, known, err);
    if (rc == 1)
        *keyed = one;
    else
        free(one);
    return rc;
}

int cw_keyed_begin(crew_pool *p, const struct cw_submit *w, struct cw_keyed **keyed,
                   struct cw_known *known, crew_error *err) {
    const crew_submit_opts *o = w->opts;
    char path[PATH_MAX], full[2 * PATH_MAX];
    cw_fn_name fn;
    int rc;
    if (!o || (!o->key && !o->journal))
        return 0;
    if (!o->key || !*o->key || (o->journal && !*o->journal))
        return cw_error_set(err, CREW_EINVAL, 0, "%s",
                            o->key && *o->key ? "the journal's name is empty"
                                              : "a submitted call in a journal needs a key");
    if ((rc = cw_pool_check(p, err)) < 0 ||
        (rc = cw_journal_path(p->session, o->journal, false, "keys", path, sizeof path, err)) <= 0)
        return rc;
    if ((o->common_size && !o->common) || (w->size && !w->in))
        return 0; /* what is wrong is said where it is submitted */
    if ((rc = cw_pool_function(p, (cw_fn *)w->fn, (ptrdiff_t)w->size, 0, (ptrdiff_t)o->common_size,
                               &fn, err)) < 0)
        return rc;
    pthread_mutex_lock(&opening);
    struct cw_keys *k = hold(p, from_root(path, full, sizeof full), err);
    pthread_mutex_unlock(&opening);
    return k ? begin(p, w, k, fn, keyed, known, err) : err->code;
}

/* With the journal's lock. */
static bool put(struct cw_keyed *keyed, const void *data, size_t size, int status, int task_code) {
    struct cw_keys *k = keyed->keys;
    size_t key_size = strlen(keyed->key), name_size = strlen(keyed->name);
    size_t head = key_size + name_size;
    char *first = malloc(head);
    struct cw_journal_record r = {.status = status,
                                  .task_code = task_code,
                                  .key_size = (uint32_t)key_size,
                                  .name_size = (uint32_t)name_size,
                                  .index = (int64_t)keyed->object,
                                  .n = 1,
                                  .input = keyed->input};
    uint64_t at = 0;
    if (!first)
        return false;
    memcpy(first, keyed->key, key_size);
    memcpy(first + key_size, keyed->name, name_size);
    const struct cw_journal_pieces body = {
        .front = first, .front_size = head, .data = data, .size = size};
    bool put = cw_journal_put(k->jn, &r, &body, &at);
    free(first);
    /* Without an entry it is in the file all the same, for the next time. */
    struct entry *e = put ? set_entry(k, keyed->key, keyed->name) : NULL;
    if (e) {
        e->at = at + head;
        e->size = size;
        e->input = keyed->input;
        e->object = keyed->object;
        e->status = status;
        e->task_code = task_code;
    }
    return put;
}

void cw_keyed_done(void *ctx, crew_future *f) {
    struct cw_keyed *keyed = ctx;
    crew_pool *p = f->pool;
    struct cw_task *task = cw_task_at(&p->maps, p->team, f->number);
    const struct cw_failure *failure = cw_ptr(&p->maps.arena, atomic_load(&task->failure));
    int status = task->status;
    bool there = !status || cw_journal_keeps(status);
    cw_journal_lock(keyed->keys->jn);
    if (there &&
        !(status ? put(keyed, failure ? failure->text : "",
                       failure ? strnlen(failure->text, sizeof failure->text) : 0, status,
                       failure ? failure->task_code : 0)
                 : put(keyed, cw_task_result(&p->maps, task), (size_t)task->out_size, 0, 0)))
        cw_journal_drop(keyed->keys->jn);
    cw_journal_unlock(keyed->keys->jn);
    free(keyed);
}

void cw_keyed_drop(void *keyed) {
    free(keyed);
}
