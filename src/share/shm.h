/* share/shm.h - named memory as an object: its name and size, for every process of
 * the session that maps it. Written by its maker, before anybody has the handle. */
#ifndef CW_SHARE_SHM_H
#define CW_SHARE_SHM_H

#include "os/shm.h"
#include "share/share.h"

struct cw_shm {
    struct cw_head head;
    uint64_t size;
    uint64_t inode; /* of what the name meant */
    char name[CW_SHM_NAME + 1];
};

#endif
