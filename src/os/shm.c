/* Names in /dev/shm: made whole or not at all, swept when the program that owns them
 * is dead. */
#include "os/shm.h"

#include "base/error.h"
#include "os/descriptor.h"
#include "os/signals.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FOLDER "/dev/shm"
/* Beside a segment that is owned: NOTE, its inode, a dot, its name. Every note of a
 * program is a link to the one file that says which program: OWNER, its inode, its pid. */
#define NOTE ".crew-owned."
#define OWNER ".crew-owner."

enum { PATH = sizeof FOLDER NOTE + CW_SHM_NAME + 32 };

static void path_of(char *path, const char *name) {
    snprintf(path, PATH, FOLDER "/%s", name);
}

static void note_of(char *path, ino_t inode, const char *name) {
    snprintf(path, PATH, FOLDER "/" NOTE "%ju.%s", (uintmax_t)inode, name);
}

static void owner_of(char *path, const struct cw_shm_owner *owner) {
    snprintf(path, PATH, FOLDER "/" OWNER "%ju-%d", (uintmax_t)owner->inode, (int)owner->pid);
}

/* CREW_EINVAL with the reason if it is no name. */
static int check_name(const char *name, crew_error *err) {
    if (!name || !*name)
        return cw_error_set(err, CREW_EINVAL, 0, "the name of shared memory is %s",
                            name ? "empty" : "NULL");
    if (strlen(name) > CW_SHM_NAME)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "the name %.40s... has %zu bytes: at most %d are possible", name,
                            strlen(name), CW_SHM_NAME);
    if (strchr(name, '/'))
        return cw_error_set(err, CREW_EINVAL, 0, "the name %s has a slash in it", name);
    if (name[0] == '.')
        return cw_error_set(err, CREW_EINVAL, 0, "the name %s begins with a dot", name);
    return 0;
}

/* ---- programs that own some ---- */

static int open_locked(const char *path, int flags) {
    int fd =
        cw_descriptor_above_standard(open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600));
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    int sys = errno;
    if (fd >= 0)
        close(fd);
    errno = sys;
    return -1;
}

/* Without a name until it owns something. */
void cw_shm_owner_begin(struct cw_shm_owner *owner) {
    char text[16];
    struct stat st;
    *owner = (struct cw_shm_owner){.pid = getpid(), .fd = open_locked(FOLDER, O_TMPFILE)};
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (owner->fd >= 0 && fstat(owner->fd, &st) == 0 && write(owner->fd, text, (size_t)n) == n) {
        owner->device = st.st_dev;
        owner->inode = st.st_ino;
    }
}

static bool is_ours(const struct cw_shm_owner *owner) {
    const struct cw_descriptor_id id = {owner->device, owner->inode};
    return owner->fd >= 0 && owner->pid == getpid() && cw_descriptor_is(owner->fd, id);
}

/* Unlocked: a child that the program has forked may still have it open. */
void cw_shm_owner_end(struct cw_shm_owner *owner) {
    if (!is_ours(owner))
        return;
    flock(owner->fd, LOCK_UN);
    close(owner->fd);
    owner->fd = -1;
}

void cw_shm_owner_forked(const struct cw_shm_owner *owner) {
    const struct cw_descriptor_id id = {owner->device, owner->inode};
    if (owner->fd >= 0 && owner->pid != getpid() && cw_descriptor_is(owner->fd, id))
        close(owner->fd);
}

static bool is_file(const char *path, const struct cw_shm_owner *owner) {
    struct stat st;
    return stat(path, &st) == 0 && st.st_ino == owner->inode && st.st_dev == owner->device;
}

/* The owner's file gets its name, from whichever process of the program; it keeps it
 * to the end. Else errno. */
static bool name_owner(const struct cw_shm_owner *owner, const char *path) {
    char from[64];
    if (owner->pid == getpid())
        snprintf(from, sizeof from, "/proc/self/fd/%d", owner->fd);
    else
        snprintf(from, sizeof from, "/proc/%d/fd/%d", (int)owner->pid, owner->fd);
    errno = EPERM;
    return owner->fd >= 0 && is_file(from, owner) &&
           (linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 || errno == EEXIST);
}

/* Makes the note. A file that lies there is of a segment that is no more, and whose
 * inode this one has got: nobody needs it. Else errno. */
static bool own(const struct cw_shm_owner *owner, ino_t inode, const char *name) {
    char note[PATH], from[PATH];
    owner_of(from, owner);
    note_of(note, inode, name);
    for (int tries = 0; tries < 4; tries++) {
        if (link(from, note) == 0)
            return true;
        if (errno == EEXIST ? unlink(note) != 0 && errno != ENOENT
                            : errno != ENOENT || !name_owner(owner, from))
            return false;
    }
    return false;
}

/* ---- making ---- */

static int no_room(size_t size, int sys, crew_error *err) {
    struct statvfs fs;
    unsigned long long mib = 0;
    if (statvfs(FOLDER, &fs) == 0)
        mib = (unsigned long long)fs.f_bavail * fs.f_frsize >> 20;
    return cw_error_set(err, CREW_ENOMEM, sys,
                        "%zu MiB of shared memory are wanted, %llu MiB are free in " FOLDER
                        " (an anonymous array needs none of that: crew_array_create)",
                        (size + (1 << 20) - 1) >> 20, mib);
}

/* Without a name yet, of its full size, committed. */
static int make_nameless(size_t size, crew_error *err) {
    int fd = cw_descriptor_above_standard(open(FOLDER, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (fd < 0)
        return cw_error_set(err, CREW_ENOTSUP, errno, "no shared memory can be made in " FOLDER);
    /* A signal would cut it off, and a frequent one time and again. */
    sigset_t before;
    cw_signals_block(&before);
    int sys = posix_fallocate(fd, 0, (off_t)size);
    cw_signals_restore(&before);
    if (sys == 0)
        return fd;
    close(fd);
    if (sys == ENOSPC || sys == EFBIG || sys == ENOMEM)
        return no_room(size, sys, err);
    return cw_error_set(err, CREW_ENOMEM, sys, "%zu bytes of shared memory", size);
}

static int exists(const char *name, crew_error *err) {
    return cw_error_set(err, CREW_EEXIST, 0, "shared memory named %s exists already", name);
}

static int give_name(int fd, const char *name, crew_error *err) {
    char from[64], to[PATH];
    snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    path_of(to, name);
    if (linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno == EEXIST)
        return exists(name, err);
    return cw_error_set(err, CREW_EPERM, errno, "shared memory could not be named %s", name);
}

/* The note first: who is killed in between leaves one that means nothing. */
static int give_name_and_owner(int fd, const char *name, const struct cw_shm_owner *owner,
                               crew_error *err) {
    char note[PATH];
    struct stat st;
    if (fstat(fd, &st) != 0 || !own(owner, st.st_ino, name))
        return cw_error_set(err, CREW_EPERM, errno, "no note of who owns %s", name);
    int rc = give_name(fd, name, err);
    if (rc < 0) {
        note_of(note, st.st_ino, name);
        unlink(note);
    }
    return rc;
}

int cw_shm_make(const char *name, size_t size, const struct cw_shm_owner *owner, crew_error *err) {
    char path[PATH];
    struct stat st;
    int rc = check_name(name, err);
    if (rc < 0)
        return rc;
    path_of(path, name);
    if (lstat(path, &st) == 0)
        return exists(name, err); /* before much memory is made for nothing */
    int fd = make_nameless(size, err);
    if (fd < 0)
        return fd;
    rc = owner ? give_name_and_owner(fd, name, owner, err) : give_name(fd, name, err);
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

int cw_shm_find(const char *name, size_t *size, crew_error *err) {
    char path[PATH];
    struct stat st;
    int rc = check_name(name, err);
    if (rc < 0)
        return rc;
    path_of(path, name);
    int fd = cw_descriptor_above_standard(open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (fd < 0 && errno == ENOENT)
        return cw_error_set(err, CREW_ENOENT, 0, "there is no shared memory named %s", name);
    if (fd < 0)
        return cw_error_set(err, CREW_EPERM, errno, "shared memory named %s", name);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
        *size = (size_t)st.st_size;
        return fd;
    }
    close(fd);
    return cw_error_set(err, CREW_EINVAL, 0, "%s is no shared memory, or empty", name);
}

int cw_shm_unlink(const char *name, ino_t inode, crew_error *err) {
    char path[PATH], note[PATH];
    struct stat st;
    int rc = check_name(name, err);
    if (rc < 0)
        return rc;
    path_of(path, name);
    /* Open, so that no other memory gets the inode, and the note of that. */
    int fd = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0)
        rc = errno == ENOENT
                 ? cw_error_set(err, CREW_ENOENT, 0, "there is no shared memory named %s", name)
                 : cw_error_set(err, CREW_EPERM, errno, "shared memory named %s", name);
    else if (st.st_ino != inode)
        rc = cw_error_set(err, CREW_ENOENT, 0, "the name %s means other memory by now", name);
    else if (unlink(path) != 0)
        rc = cw_error_set(err, errno == ENOENT ? CREW_ENOENT : CREW_EPERM, errno,
                          "shared memory named %s", name);
    /* Also if others, who know of no notes, have taken the name away. */
    note_of(note, inode, name);
    if (rc == 0 || rc == CREW_ENOENT)
        unlink(note);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* ---- looking at all ---- */

typedef int look(void *ctx, const struct cw_shm_owned *owned);

static bool still_named(int fd, const char *path) {
    struct stat open_one, named;
    return fstat(fd, &open_one) == 0 && lstat(path, &named) == 0 &&
           open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev;
}

static bool is_segment(const char *path, ino_t inode, struct stat *st) {
    return lstat(path, st) == 0 && st->st_ino == inode;
}

/* A file of ours: a note, or (name NULL) that of an owner. */
static int look_at(const char *file, ino_t inode, const char *name, bool sweep, look *fn,
                   void *ctx) {
    char note[PATH], path[PATH], text[16] = "";
    struct cw_shm_owned owned = {.owner = 0};
    struct stat st;
    path_of(note, file);
    int fd = cw_descriptor_above_standard(open(note, O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (fd < 0)
        return 0;
    if (fstat(fd, &st) != 0 || st.st_uid != geteuid()) {
        close(fd);
        return 0;
    }
    /* The lock keeps other sweepers out. */
    bool dead = flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (!dead && pread(fd, text, sizeof text - 1, 0) > 0)
        owned.owner = (pid_t)strtol(text, NULL, 10);
    path_of(path, name ? name : file);
    snprintf(owned.name, sizeof owned.name, "%s", name ? name : "");
    if (name && is_segment(path, inode, &st))
        owned.size = (size_t)st.st_size;
    if (dead && sweep && still_named(fd, note)) {
        if (name && is_segment(path, inode, &st))
            unlink(path);
        unlink(note);
    }
    close(fd);
    return name && fn && (!sweep || dead) ? fn(ctx, &owned) : 0;
}

static int look_at_all(bool sweep, look *fn, void *ctx) {
    DIR *folder = opendir(FOLDER);
    int rc = 0;
    for (struct dirent *e; rc == 0 && folder && (e = readdir(folder));) {
        const char *file = e->d_name;
        char *name = NULL;
        if (sweep && strncmp(file, OWNER, sizeof OWNER - 1) == 0)
            look_at(file, 0, NULL, true, NULL, NULL);
        if (strncmp(file, NOTE, sizeof NOTE - 1) != 0)
            continue;
        ino_t inode = (ino_t)strtoumax(file + sizeof NOTE - 1, &name, 10);
        if (*name == '.' && name[1] && strlen(name + 1) <= CW_SHM_NAME)
            rc = look_at(file, inode, name + 1, sweep, fn, ctx);
    }
    if (folder)
        closedir(folder);
    return rc;
}

int cw_shm_each_owned(look *fn, void *ctx) {
    return look_at_all(false, fn, ctx);
}

static int count(void *ctx, const struct cw_shm_owned *owned) {
    *(int *)ctx += owned->size > 0;
    return 0;
}

int cw_shm_sweep(void) {
    int swept = 0;
    look_at_all(true, count, &swept);
    return swept;
}
