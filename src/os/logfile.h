/* os/logfile.h - a file that one program at a time appends to, and that lasts.
 *
 * The lock belongs to the open file (F_OFD_SETLK, local disks and NFS), so it goes with the
 * program however that ends, and not when the program itself opens and closes the file.
 * Forked children close theirs at once (cw_logfiles_forked), so none keeps it locked. */
#ifndef CW_OS_LOGFILE_H
#define CW_OS_LOGFILE_H

#include <crew/error.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Opens, makes it if there is none, and locks it. *locked false: the file system knows no
 * locks. A descriptor; CREW_EPERM if another program (or another opening of it here) has
 * it locked; or why it cannot be. */
int cw_logfile_open(const char *path, bool *locked, crew_error *err);
/* To read only, beside who may write it. */
int cw_logfile_open_to_read(const char *path, crew_error *err);
void cw_logfile_close(int fd);

/* Up to size bytes; fewer only at the end of the file. -errno. */
ptrdiff_t cw_logfile_read(int fd, uint64_t at, void *to, size_t size);
/* All of the pieces, which it changes, one behind the other. 0 or -errno, when some bytes of
 * them may be there. */
int cw_logfile_write(int fd, uint64_t at, struct iovec *pieces, int count);
/* Returns when what was written is on the disk. 0 or -errno. */
int cw_logfile_sync(int fd);
/* The same, of a file that is new, and of its name. */
int cw_logfile_sync_name(int fd);
/* It has no name any more: what is in it goes with whoever has it open. */
bool cw_logfile_gone(int fd);
int cw_logfile_cut(int fd, uint64_t size);

/* In a child that was forked, whatever other threads were doing: async-signal-safe. */
void cw_logfiles_forked(void);

#endif
