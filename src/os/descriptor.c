#include "os/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
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

struct cw_descriptor_id cw_descriptor_identify(int fd) {
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return (struct cw_descriptor_id){0, 0};
    return (struct cw_descriptor_id){st.st_dev, st.st_ino};
}

bool cw_descriptor_is(int fd, struct cw_descriptor_id id) {
    struct cw_descriptor_id now = cw_descriptor_identify(fd);
    return now.inode != 0 && now.inode == id.inode && now.device == id.device;
}
