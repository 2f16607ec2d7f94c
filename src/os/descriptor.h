/* os/descriptor.h - descriptors of the library's own. */
#ifndef CW_OS_DESCRIPTOR_H
#define CW_OS_DESCRIPTOR_H

/* Moves a fresh descriptor away from 0, 1 and 2, which the program may have
 * closed: its printf must not write into our memory. Takes and returns it,
 * close-on-exec; -1 stays -1, errno as it was. */
int cw_descriptor_above_standard(int fd);

#endif
