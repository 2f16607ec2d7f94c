/* os/descriptor.h - descriptors of the library's own. */
#ifndef CW_OS_DESCRIPTOR_H
#define CW_OS_DESCRIPTOR_H

#include <stdbool.h>
#include <sys/types.h>

/* Moves a fresh descriptor away from 0, 1 and 2, which the program may have
 * closed: its printf must not write into our memory. Takes and returns it,
 * close-on-exec; -1 stays -1, errno as it was. */
int cw_descriptor_above_standard(int fd);

/* The program may close a descriptor behind our back (close_range), and its number
 * may then be another file's: this tells them apart. */
struct cw_descriptor_id {
    dev_t device;
    ino_t inode;
};
struct cw_descriptor_id cw_descriptor_identify(int fd);
bool cw_descriptor_is(int fd, struct cw_descriptor_id id);

#endif
