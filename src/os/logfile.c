#include "os/logfile.h"

#include "base/error.h"
#include "os/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Descriptors (+ 1) that forked children close. Where there is no room for one more, a
 * child keeps it, and with it the lock, until it ends. */
enum { MOST = 256 };
static _Atomic int open_ones[MOST];

static void note(int fd) {
    for (int i = 0; i < MOST; i++) {
        int none = 0;
        if (atomic_compare_exchange_strong(&open_ones[i], &none, fd + 1))
            return;
    }
}

static void forget(int fd) {
    for (int i = 0; i < MOST; i++) {
        int it = fd + 1;
        if (atomic_compare_exchange_strong(&open_ones[i], &it, 0))
            return;
    }
}

void cw_logfiles_forked(void) {
    for (int i = 0; i < MOST; i++) {
        int fd = atomic_exchange(&open_ones[i], 0) - 1;
        if (fd >= 0)
            close(fd);
    }
}

static int refuse(const char *path, int sys, crew_error *err) {
    int code = sys == ENOENT || sys == ENOTDIR                     ? CREW_ENOENT
               : sys == EACCES || sys == EPERM || sys == EROFS     ? CREW_EPERM
               : sys == ENOMEM || sys == ENOSPC || sys == EDQUOT   ? CREW_ENOMEM
                                                                   : CREW_EINVAL;
    return cw_error_set(err, code, sys, "the journal %.150s cannot be opened", path);
}

static int open_regular(const char *path, int flags, crew_error *err) {
    int fd = cw_descriptor_above_standard(open(path, flags | O_CLOEXEC | O_NOCTTY, 0666));
    struct stat st;
    if (fd < 0)
        return refuse(path, errno, err);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    return cw_error_set(err, CREW_EINVAL, 0, "the journal %.150s is no regular file", path);
}

/* 0, or errno. */
static int lock(int fd) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int rc;
    do
        rc = fcntl(fd, F_OFD_SETLK, &whole);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? errno : 0;
}

/* Another of those that this process has open is the same file. */
static bool is_ours(int fd) {
    struct stat st, other;
    if (fstat(fd, &st) != 0)
        return false;
    for (int i = 0; i < MOST; i++) {
        int it = atomic_load(&open_ones[i]) - 1;
        if (it >= 0 && it != fd && fstat(it, &other) == 0 && other.st_dev == st.st_dev &&
            other.st_ino == st.st_ino)
            return true;
    }
    return false;
}

int cw_logfile_open(const char *path, bool *locked, crew_error *err) {
    int fd = open_regular(path, O_RDWR | O_CREAT | O_NONBLOCK, err);
    if (fd < 0)
        return fd;
    note(fd);
    int sys = lock(fd);
    *locked = sys == 0;
    if (sys == 0 || sys == ENOSYS || sys == ENOLCK || sys == EOPNOTSUPP || sys == EINVAL)
        return fd;
    bool ours = is_ours(fd);
    cw_logfile_close(fd);
    if (sys != EAGAIN && sys != EACCES)
        return refuse(path, sys, err);
    return cw_error_set(err, CREW_EPERM, 0, "the journal %.150s is in use by %s", path,
                        ours ? "this program already, for other work" : "another job");
}

int cw_logfile_open_to_read(const char *path, crew_error *err) {
    return open_regular(path, O_RDONLY | O_NONBLOCK, err);
}

void cw_logfile_close(int fd) {
    forget(fd);
    close(fd);
}

ptrdiff_t cw_logfile_read(int fd, uint64_t at, void *to, size_t size) {
    size_t have = 0;
    while (have < size) {
        ssize_t n = pread(fd, (char *)to + have, size - have, (off_t)(at + have));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return (ptrdiff_t)have;
}

int cw_logfile_write(int fd, uint64_t at, struct iovec *pieces, int count) {
    while (count > 0) {
        if (pieces->iov_len == 0) {
            pieces++;
            count--;
            continue;
        }
        ssize_t n = pwritev(fd, pieces, count, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        at += (uint64_t)n;
        for (size_t left = (size_t)n; left > 0;) {
            size_t part = left < pieces->iov_len ? left : pieces->iov_len;
            pieces->iov_base = (char *)pieces->iov_base + part;
            pieces->iov_len -= part;
            left -= part;
            if (pieces->iov_len == 0) {
                pieces++;
                count--;
            }
        }
    }
    return 0;
}

int cw_logfile_sync(int fd) {
    int rc;
    do
        rc = fdatasync(fd);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

int cw_logfile_sync_name(int fd) {
    char link[48], path[PATH_MAX];
    int rc = cw_logfile_sync(fd);
    if (rc < 0)
        return rc;
    /* Where it is now: a name may have been meant for another working directory. */
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    char *slash = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;
    if (!slash)
        return 0;
    slash[slash == path] = 0;
    int at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return 0; /* it may be one that nobody may list: the file is there */
    fsync(at);
    close(at);
    return 0;
}

bool cw_logfile_gone(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_nlink == 0;
}

int cw_logfile_cut(int fd, uint64_t size) {
    return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}
