/* Keeping clear of standard input and output. */
#include "os/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int cw_descriptor_above_standard(int fd) {
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int sys = errno;
    close(fd);
    errno = sys;
    return moved;
}
