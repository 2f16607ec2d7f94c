/* Named shared memory, as its callers see it: handles, and this process's
 * mappings. */
#include "share/shm.h"

#include "api/objects.h"
#include "api/shm_impl.h"

#include <crew/shared.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* This process's mappings. An entry whose handle has become stale (closed by
 * another process) is unmapped when the next one is looked for. */
struct mapping {
    struct mapping *next;
    uint64_t place, check;
    void *base;
    size_t size;
    int note;      /* of an owned one: open as long as its owner lives; else -1 */
    pid_t owner;   /* who made it: not a child that inherited this list */
};
static struct mapping *mappings;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void drop(struct mapping **at) {
    struct mapping *m = *at;
    *at = m->next;
    munmap(m->base, m->size);
    if (m->note >= 0)
        close(m->note);
    free(m);
}

/* With the lock. */
static struct mapping **find_mapping(const struct cw_share *share, crew_shm s) {
    for (struct mapping **at = &mappings; *at;) {
        struct mapping *m = *at;
        if (m->place == s.place && m->check == s.check)
            return at;
        if (m->note < 0 && !cw_object(share, CW_SHM, m->place, m->check))
            drop(at);
        else
            at = &m->next;
    }
    return NULL;
}

/* Maps fd, which it takes. With the lock. NULL: the error is set. */
static struct mapping *map(crew_shm s, int fd, size_t size, int note) {
    struct mapping *m = malloc(sizeof *m);
    void *base = m ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    int sys = errno;
    close(fd);
    if (base == MAP_FAILED) {
        free(m);
        cw_error_set(NULL, CREW_ENOMEM, sys, "%zu bytes of shared memory could not be mapped",
                     size);
        return NULL;
    }
    *m = (struct mapping){mappings, s.place, s.check, base, size, note, getpid()};
    mappings = m;
    return m;
}

struct naming {
    const char *name;
    size_t size;
    int fd;
};

static int fill(struct cw_share *share, struct cw_head *head, void *arg, crew_error *err) {
    struct cw_shm *shm = (struct cw_shm *)head;
    const struct naming *naming = arg;
    struct stat st;
    (void)share;
    if (fstat(naming->fd, &st) != 0)
        return cw_error_set(err, CREW_EINVAL, errno, "shared memory named %s", naming->name);
    shm->size = naming->size;
    shm->inode = (uint64_t)st.st_ino;
    memcpy(shm->name, naming->name, strlen(naming->name) + 1);
    return 0;
}

/* A handle for what fd means, mapped here. Takes fd and note. */
static int adopt(crew_shm *s, const char *name, size_t size, int fd, int note) {
    struct naming naming = {name, size, fd};
    int rc = cw_handle_make(CW_SHM, fill, &naming, &s->place, &s->check);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    pthread_mutex_lock(&lock);
    if (!map(*s, fd, size, note))
        rc = crew_last_error()->code;
    pthread_mutex_unlock(&lock);
    if (rc < 0) {
        crew_error why = *crew_last_error();
        cw_handle_end(CW_SHM, s->place, s->check);
        cw_error_copy(NULL, &why);
    }
    return rc;
}

int crew_shm_create(crew_shm *s, const char *name, size_t size, const crew_shm_opts *opts) {
    int note;
    if (!s)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the handle to fill is NULL");
    if (size == 0 || size > PTRDIFF_MAX)
        return cw_error_set(NULL, CREW_EINVAL, 0, "%zu bytes of shared memory: at least 1", size);
    if (!cw_self_get())
        return crew_last_error()->code;
    int fd = cw_shm_make(name, size, opts && opts->owned, &note, cw_error_last());
    if (fd < 0)
        return fd;
    int rc = adopt(s, name, size, fd, note);
    if (rc < 0) {
        crew_error why = *crew_last_error();
        cw_shm_unlink(name, cw_error_last());
        if (note >= 0)
            close(note);
        cw_error_copy(NULL, &why);
    }
    return rc;
}

int crew_shm_attach(crew_shm *s, const char *name) {
    size_t size;
    if (!s)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the handle to fill is NULL");
    if (!cw_self_get())
        return crew_last_error()->code;
    int fd = cw_shm_find(name, &size, cw_error_last());
    return fd < 0 ? fd : adopt(s, name, size, fd, -1);
}

/* NULL: the error is set. */
static const struct cw_shm *find(crew_shm s, struct cw_self **self) {
    *self = cw_self_get();
    if (!*self)
        return NULL;
    const struct cw_shm *shm = cw_object((*self)->share, CW_SHM, s.place, s.check);
    if (shm)
        cw_error_clear(NULL);
    else
        cw_handle_stale(CW_SHM, s.place, s.check);
    return shm;
}

/* The handle came from another process: here it is mapped by its name, if that
 * still means the same. */
static struct mapping *map_by_name(crew_shm s, const struct cw_shm *shm) {
    size_t size;
    struct stat st;
    int fd = cw_shm_find(shm->name, &size, cw_error_last());
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && (uint64_t)st.st_ino == shm->inode && size >= shm->size)
        return map(s, fd, shm->size, -1);
    close(fd);
    cw_error_set(NULL, CREW_ENOENT, 0, "the name %s means other memory by now", shm->name);
    return NULL;
}

void *crew_shm_data(crew_shm s) {
    struct cw_self *self;
    const struct cw_shm *shm = find(s, &self);
    if (!shm)
        return NULL;
    pthread_mutex_lock(&lock);
    struct mapping **at = find_mapping(self->share, s);
    const struct mapping *m = at ? *at : map_by_name(s, shm);
    pthread_mutex_unlock(&lock);
    if (m)
        cw_error_clear(NULL);
    return m ? m->base : NULL;
}

size_t crew_shm_size(crew_shm s) {
    struct cw_self *self;
    const struct cw_shm *shm = find(s, &self);
    return shm ? (size_t)shm->size : 0;
}

const char *crew_shm_name(crew_shm s) {
    struct cw_self *self;
    const struct cw_shm *shm = find(s, &self);
    return shm ? shm->name : NULL;
}

int crew_shm_close(crew_shm s) {
    struct cw_self *self = cw_self_get();
    if (!self)
        return crew_last_error()->code;
    pthread_mutex_lock(&lock);
    struct mapping **at = find_mapping(self->share, s);
    /* What it owned keeps its name, and its owner, until unlink or the end. */
    bool owned = at && (*at)->note >= 0 && (*at)->owner == getpid();
    if (at && !owned)
        drop(at);
    pthread_mutex_unlock(&lock);
    return cw_handle_end(CW_SHM, s.place, s.check);
}

int crew_shm_unlink(crew_shm s) {
    struct cw_self *self;
    const struct cw_shm *shm = find(s, &self);
    if (!shm)
        return crew_last_error()->code;
    int rc = cw_shm_unlink(shm->name, cw_error_last());
    if (rc < 0)
        return rc;
    /* There is nothing left to own. */
    pthread_mutex_lock(&lock);
    struct mapping **at = find_mapping(self->share, s);
    if (at && (*at)->note >= 0) {
        close((*at)->note);
        (*at)->note = -1;
    }
    pthread_mutex_unlock(&lock);
    return cw_error_clear(NULL);
}

/* ---- owned ones ---- */

void cw_shm_finish(void) {
    pthread_mutex_lock(&lock);
    while (mappings)
        drop(&mappings);
    pthread_mutex_unlock(&lock);
    cw_shm_sweep(); /* what this process owned has no owner any more */
}

void cw_shm_forked(void) {
    pthread_mutex_init(&lock, NULL);
    for (struct mapping *m = mappings; m; m = m->next)
        m->owner = 0;
}

struct visit {
    int (*fn)(void *ctx, const crew_shm_info *info);
    void *ctx;
};

static int tell(void *arg, const struct cw_shm_owned *owned) {
    const struct visit *visit = arg;
    const crew_shm_info info = {.name = owned->name, .size = owned->size, .owner = owned->owner};
    return visit->fn(visit->ctx, &info);
}

int crew_shm_each(int (*fn)(void *ctx, const crew_shm_info *info), void *ctx) {
    struct visit visit = {fn, ctx};
    if (!fn)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the function is NULL");
    cw_error_clear(NULL);
    return cw_shm_each_owned(tell, &visit);
}

int crew_shm_sweep(void) {
    cw_error_clear(NULL);
    return cw_shm_sweep();
}
