/* os/shm.h - named shared memory, as POSIX has it: names in /dev/shm.
 *
 * A segment gets its name only when it is whole: of its full size, committed, so
 * that nobody attaches a part and nobody who is killed leaves one.
 *
 * An owned one goes with the program whose process made it. A program has a file
 * that its first process keeps locked (flock), without a name until it owns
 * something. Beside an owned segment lies a note: a link to that file, whose name
 * says which segment, by name and inode. So whatever becomes of who made it, whoever
 * can lock a note takes away what it names. */
#ifndef CW_OS_SHM_H
#define CW_OS_SHM_H

#include <crew/error.h>
#include <stddef.h>
#include <sys/types.h>

enum { CW_SHM_NAME = 200 }; /* the most bytes of a name */

/* A program, as its processes know it. */
struct cw_shm_owner {
    pid_t pid;
    int fd; /* of that process; -1: it can own nothing */
    dev_t device;
    ino_t inode;
};
void cw_shm_owner_begin(struct cw_shm_owner *owner);
/* What it owned is owned by nobody now. */
void cw_shm_owner_end(struct cw_shm_owner *owner);
/* In a fork child: it must not keep the lock. */
void cw_shm_owner_forked(const struct cw_shm_owner *owner);

/* Makes one; owner NULL: it is nobody's. CREW_EEXIST, CREW_ENOMEM with what there is.
 * Returns its descriptor. */
int cw_shm_make(const char *name, size_t size, const struct cw_shm_owner *owner, crew_error *err);
/* Returns its descriptor. CREW_ENOENT. */
int cw_shm_find(const char *name, size_t *size, crew_error *err);
/* Takes the name away, if it means the memory with that inode. CREW_ENOENT. */
int cw_shm_unlink(const char *name, ino_t inode, crew_error *err);

struct cw_shm_owned {
    char name[CW_SHM_NAME + 1];
    size_t size;
    pid_t owner; /* 0: it is dead */
};
/* Every owned segment of this user. fn returning non-zero ends it; returns that. */
int cw_shm_each_owned(int (*fn)(void *ctx, const struct cw_shm_owned *owned), void *ctx);
/* Takes away those whose owner is dead. How many segments that were. */
int cw_shm_sweep(void);

#endif
