/* Names in /dev/shm: made whole or not at all, swept when their owner is dead. */
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
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FOLDER "/dev/shm"
#define NOTE ".crew-owned."

enum { PATH = sizeof FOLDER NOTE + CW_SHM_NAME + 16 };

static void path_of(char *path, const char *prefix, const char *name) {
    snprintf(path, PATH, FOLDER "/%s%s", prefix, name);
}

int cw_shm_check_name(const char *name, crew_error *err) {
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

/* ---- notes ---- */

struct note {
    intmax_t inode;
    pid_t owner;
};

static bool read_note(int fd, struct note *note) {
    char text[64] = "";
    int owner;
    if (pread(fd, text, sizeof text - 1, 0) <= 0 ||
        sscanf(text, "%" SCNdMAX " %d", &note->inode, &owner) != 2)
        return false;
    note->owner = owner;
    return true;
}

static int open_note(const char *path, int flags) {
    return cw_descriptor_above_standard(open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600));
}

static bool still_named(int fd, const char *path) {
    struct stat open_one, named;
    return fstat(fd, &open_one) == 0 && lstat(path, &named) == 0 &&
           open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev;
}

/* A note of our own, locked. -1 with errno; EEXIST: somebody holds it. A sweeper
 * may, for a moment, or may have taken it away between two of these lines. */
static int make_note(const char *name, ino_t inode) {
    char path[PATH], text[64];
    path_of(path, NOTE, name);
    for (int i = 0; i < 20; i++) {
        int fd = open_note(path, O_CREAT);
        if (fd < 0)
            return -1;
        int n = snprintf(text, sizeof text, "%jd %d\n", (intmax_t)inode, (int)getpid());
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && still_named(fd, path) && ftruncate(fd, 0) == 0 &&
            pwrite(fd, text, (size_t)n, 0) == n)
            return fd;
        close(fd);
        poll(NULL, 0, 1);
    }
    errno = EEXIST;
    return -1;
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

static int give_name(int fd, const char *name, crew_error *err) {
    char from[64], to[PATH];
    snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    path_of(to, "", name);
    if (linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno == EEXIST)
        return cw_error_set(err, CREW_EEXIST, 0, "shared memory named %s exists already", name);
    return cw_error_set(err, CREW_EPERM, errno, "shared memory could not be named %s", name);
}

int cw_shm_make(const char *name, size_t size, bool owned, int *note, crew_error *err) {
    char path[PATH];
    struct stat st;
    *note = -1;
    int rc = cw_shm_check_name(name, err);
    if (rc < 0)
        return rc;
    int fd = make_nameless(size, err);
    if (fd < 0)
        return fd;
    path_of(path, "", name);
    if (lstat(path, &st) == 0)
        rc = cw_error_set(err, CREW_EEXIST, 0, "shared memory named %s exists already", name);
    if (rc == 0 && owned) {
        if (fstat(fd, &st) != 0 || (*note = make_note(name, st.st_ino)) < 0)
            rc = errno == EEXIST
                     ? cw_error_set(err, CREW_EEXIST, 0, "shared memory named %s exists already", name)
                     : cw_error_set(err, CREW_EPERM, errno, "no note of who owns %s", name);
    }
    if (rc == 0)
        rc = give_name(fd, name, err);
    if (rc == 0)
        return fd;
    close(fd);
    if (*note >= 0) {
        path_of(path, NOTE, name);
        unlink(path);
        close(*note);
        *note = -1;
    }
    return rc;
}

int cw_shm_find(const char *name, size_t *size, crew_error *err) {
    char path[PATH];
    struct stat st;
    int rc = cw_shm_check_name(name, err);
    if (rc < 0)
        return rc;
    path_of(path, "", name);
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

int cw_shm_unlink(const char *name, crew_error *err) {
    char path[PATH];
    int rc = cw_shm_check_name(name, err);
    if (rc < 0)
        return rc;
    path_of(path, "", name);
    if (unlink(path) != 0)
        return errno == ENOENT
                   ? cw_error_set(err, CREW_ENOENT, 0, "there is no shared memory named %s", name)
                   : cw_error_set(err, CREW_EPERM, errno, "shared memory named %s", name);
    path_of(path, NOTE, name);
    unlink(path);
    return 0;
}

/* ---- owners ---- */

typedef int look(void *ctx, const struct cw_shm_owned *owned);

/* Takes the segment away that a note of a dead owner means, then the note. The lock
 * keeps others out. */
static void take_away(int fd, const char *name) {
    char path[PATH], beside[PATH];
    struct note note;
    struct stat st;
    path_of(path, "", name);
    path_of(beside, NOTE, name);
    if (!still_named(fd, beside))
        return;
    if (read_note(fd, &note) && lstat(path, &st) == 0 && (intmax_t)st.st_ino == note.inode)
        unlink(path);
    unlink(beside);
}

static int look_at(const char *name, bool sweep, look *fn, void *ctx) {
    char path[PATH];
    struct cw_shm_owned owned = {.owner = 0};
    struct note note;
    struct stat st;
    path_of(path, NOTE, name);
    int fd = open_note(path, 0);
    if (fd < 0)
        return 0;
    if (fstat(fd, &st) != 0 || st.st_uid != geteuid()) {
        close(fd);
        return 0;
    }
    bool dead = flock(fd, LOCK_EX | LOCK_NB) == 0;
    snprintf(owned.name, sizeof owned.name, "%s", name);
    path_of(path, "", name);
    if (read_note(fd, &note)) {
        owned.owner = dead ? 0 : note.owner;
        if (lstat(path, &st) == 0 && (intmax_t)st.st_ino == note.inode)
            owned.size = (size_t)st.st_size;
    }
    if (dead && sweep)
        take_away(fd, name);
    close(fd);
    return fn && (!sweep || dead) ? fn(ctx, &owned) : 0;
}

static int look_at_all(bool sweep, look *fn, void *ctx) {
    DIR *folder = opendir(FOLDER);
    int rc = 0;
    for (struct dirent *e; rc == 0 && folder && (e = readdir(folder));) {
        const char *name = e->d_name + sizeof NOTE - 1;
        if (strncmp(e->d_name, NOTE, sizeof NOTE - 1) == 0 && *name &&
            strlen(name) <= CW_SHM_NAME)
            rc = look_at(name, sweep, fn, ctx);
    }
    if (folder)
        closedir(folder);
    return rc;
}

int cw_shm_each_owned(look *fn, void *ctx) {
    return look_at_all(false, fn, ctx);
}

static int count(void *ctx, const struct cw_shm_owned *owned) {
    (void)owned;
    ++*(int *)ctx;
    return 0;
}

int cw_shm_sweep(void) {
    int swept = 0;
    look_at_all(true, count, &swept);
    return swept;
}
