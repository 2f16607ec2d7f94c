/* Named shared memory, as its callers see it: handles, and this process's
 * mappings. */
#include "share/shm.h"

#include "api/objects.h"
#include "api/shm_impl.h"
#include "os/descriptor.h"

#include <crew/shared.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* This process's mappings. Of a handle that another process has closed it stays
 * until this one closes it as well: somebody may be using it. */
struct mapping {
    struct mapping *next;
    uint64_t place, check;
    char *base;
    size_t size;
    ino_t inode;
    uint64_t work; /* what this worker was about when it was last asked for */
    char name[CW_SHM_NAME + 1];
};
static struct mapping *mappings;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The program, in its first process. */
static struct cw_shm_owner program = {.fd = -1};

/* A worker of a pool closes nothing that a task has only looked at, and lasts: there
 * a mapping of a handle that is stale goes in the next map or task. */
static const struct cw_line *worker;

static uint64_t work_now(void) {
    uint64_t key = worker ? cw_line_key(worker) : 0;
    return key >> 63 ? key : key & ~(((uint64_t)1 << 40) - 1); /* whichever item of a map */
}

static void drop(struct mapping **at) {
    struct mapping *m = *at;
    *at = m->next;
    munmap(m->base, m->size);
    free(m);
}

/* With the lock. */
static struct mapping **find_mapping(const struct cw_share *share, uint64_t place,
                                     uint64_t check) {
    const uint64_t work = work_now();
    struct mapping **found = NULL;
    for (struct mapping **at = &mappings; *at;) {
        struct mapping *m = *at;
        if (m->place == place && m->check == check) {
            m->work = work;
            found = at;
        } else if (worker && m->work != work && !cw_object(share, CW_SHM, m->place, m->check)) {
            drop(at);
            continue;
        }
        at = &m->next;
    }
    return found;
}

/* Maps fd, which it takes. With the lock. NULL: the error is set. */
static struct mapping *map(uint64_t place, uint64_t check, const char *name, int fd, size_t size) {
    struct stat st = {.st_ino = 0};
    struct mapping *m = malloc(sizeof *m);
    void *base = m && fstat(fd, &st) == 0
                     ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                     : MAP_FAILED;
    int sys = errno;
    close(fd);
    if (base == MAP_FAILED) {
        free(m);
        cw_error_set(NULL, CREW_ENOMEM, sys, "%zu bytes of shared memory could not be mapped",
                     size);
        return NULL;
    }
    *m = (struct mapping){.next = mappings, .place = place, .check = check, .base = base,
                          .size = size, .inode = st.st_ino, .work = work_now()};
    snprintf(m->name, sizeof m->name, "%s", name);
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

/* A handle for what fd means, mapped here. Takes fd. */
static int adopt(crew_shm *s, const char *name, size_t size, int fd) {
    struct naming naming = {name, size, fd};
    int rc = cw_handle_make(CW_SHM, fill, &naming, &s->place, &s->check);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    pthread_mutex_lock(&lock);
    if (!map(s->place, s->check, name, fd, size))
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
    struct stat st;
    if (!s)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the handle to fill is NULL");
    if (size == 0 || size > PTRDIFF_MAX)
        return cw_error_set(NULL, CREW_EINVAL, 0, "%zu bytes of shared memory: at least 1", size);
    const struct cw_self *self = cw_self_get();
    if (!self)
        return crew_last_error()->code;
    const struct cw_shm_owner *owner = opts && opts->owned ? &self->share->commons->owner : NULL;
    int fd = cw_shm_make(name, size, owner, cw_error_last());
    if (fd < 0)
        return fd;
    ino_t inode = fstat(fd, &st) == 0 ? st.st_ino : 0;
    int rc = adopt(s, name, size, fd);
    if (rc < 0) {
        crew_error why = *crew_last_error();
        cw_shm_unlink(name, inode, cw_error_last());
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
    return fd < 0 ? fd : adopt(s, name, size, fd);
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
        return map(s.place, s.check, shm->name, fd, shm->size);
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
    struct mapping **at = find_mapping(self->share, s.place, s.check);
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
    struct mapping **at = find_mapping(self->share, s.place, s.check);
    bool mapped = at;
    if (at)
        drop(at);
    pthread_mutex_unlock(&lock);
    int rc = cw_handle_end(CW_SHM, s.place, s.check);
    /* Another process has closed it before, and this one's part is done now. */
    return mapped ? cw_error_clear(NULL) : rc;
}

int crew_shm_unlink(crew_shm s) {
    struct cw_self *self;
    const struct cw_shm *shm = find(s, &self);
    if (!shm)
        return crew_last_error()->code;
    int rc = cw_shm_unlink(shm->name, (ino_t)shm->inode, cw_error_last());
    return rc < 0 ? rc : cw_error_clear(NULL);
}

/* ---- input and results of maps that lie in it ---- */

bool cw_shm_at(const void *at, size_t size, struct cw_named *named) {
    const char *from = at;
    size_t whole;
    *named = (struct cw_named){.fd = -1};
    pthread_mutex_lock(&lock);
    const struct mapping *m = mappings;
    while (m && (from < m->base || from >= m->base + m->size ||
                 size > (size_t)(m->base + m->size - from)))
        m = m->next;
    struct stat st;
    crew_error ignored;
    int fd = m ? cw_shm_find(m->name, &whole, &ignored) : -1;
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == m->inode)
        *named = (struct cw_named){.place = m->place,
                                   .check = m->check,
                                   .offset = (uint64_t)(from - m->base),
                                   .size = m->size,
                                   .inode = m->inode,
                                   .pid = getpid(),
                                   .fd = fd};
    else if (fd >= 0)
        close(fd);
    if (named->fd >= 0)
        snprintf(named->name, sizeof named->name, "%s", m->name);
    pthread_mutex_unlock(&lock);
    return named->fd >= 0;
}

void cw_shm_leave(const struct cw_named *named) {
    if (named->place)
        close(named->fd);
}

/* What the manager has open, whatever its name means by now; or by its name, where
 * the manager does not let others look. -1: there is no way. */
static int open_named(const struct cw_named *named) {
    char path[64];
    struct stat st;
    size_t size;
    crew_error ignored;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)named->pid, named->fd);
    int fd = cw_descriptor_above_standard(open(path, O_RDWR | O_CLOEXEC));
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_ino != named->inode) {
        if (fd >= 0)
            close(fd);
        fd = cw_shm_find(named->name, &size, &ignored);
    }
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == named->inode)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void *reach(const struct cw_named *named) {
    const struct cw_share *share = cw_share_here();
    pthread_mutex_lock(&lock);
    struct mapping **at = share ? find_mapping(share, named->place, named->check) : NULL;
    const struct mapping *m = at ? *at : NULL;
    int fd = m ? -1 : open_named(named);
    if (fd >= 0)
        m = map(named->place, named->check, named->name, fd, named->size);
    pthread_mutex_unlock(&lock);
    return m ? m->base + named->offset : NULL;
}

void cw_shm_reach(struct cw_maps *maps) {
    maps->named = reach;
}

void cw_shm_worker(struct cw_maps *maps, const struct cw_line *line) {
    maps->named = reach;
    worker = line;
}

/* ---- owned ones ---- */

void cw_shm_begin(struct cw_shm_owner *shared) {
    cw_shm_owner_begin(&program);
    *shared = program;
    cw_shm_sweep(); /* what a program that was killed has left */
}

void cw_shm_finish(void) {
    pthread_mutex_lock(&lock);
    while (mappings)
        drop(&mappings);
    pthread_mutex_unlock(&lock);
    if (program.fd < 0)
        return;
    cw_shm_owner_end(&program);
    cw_shm_sweep(); /* what it owned */
}

void cw_shm_forked(void) {
    pthread_mutex_init(&lock, NULL);
    cw_shm_owner_forked(&program);
    program.fd = -1;
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
