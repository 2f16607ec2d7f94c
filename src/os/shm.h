/* os/shm.h - named shared memory, as POSIX has it: names in /dev/shm.
 *
 * A segment gets its name only when it is whole: of its full size, committed, so
 * that nobody attaches a part and nobody who is killed leaves one. An owned one
 * goes with the program that made it: beside it lies a note that names it by its
 * inode, locked (flock) as long as its owner, or a process forked from that one,
 * has it open. Whoever can lock a note takes away what it names. */
#ifndef CW_OS_SHM_H
#define CW_OS_SHM_H

#include <crew/error.h>
#include <stddef.h>
#include <sys/types.h>

enum { CW_SHM_NAME = 200 }; /* the most bytes of a name */

/* CREW_EINVAL with the reason if it is no name. */
int cw_shm_check_name(const char *name, crew_error *err);

/* Makes one; *note (owned only, else -1) is the descriptor that has to stay open as
 * long as the owner lives. CREW_EEXIST, CREW_ENOMEM with what there is. Returns its
 * descriptor. */
int cw_shm_make(const char *name, size_t size, bool owned, int *note, crew_error *err);
/* Returns its descriptor. CREW_ENOENT. */
int cw_shm_find(const char *name, size_t *size, crew_error *err);
/* Takes the name away. CREW_ENOENT. */
int cw_shm_unlink(const char *name, crew_error *err);

struct cw_shm_owned {
    char name[CW_SHM_NAME + 1];
    size_t size;
    pid_t owner; /* 0: it is dead */
};
/* Every owned segment of this user. fn returning non-zero ends it; returns that. */
int cw_shm_each_owned(int (*fn)(void *ctx, const struct cw_shm_owned *owned), void *ctx);
/* Takes away those whose owner is dead. How many. */
int cw_shm_sweep(void);

#endif
