/* os/object_parts.h - what the object*.c files share. Nobody else includes it. */
#ifndef CW_OS_OBJECT_PARTS_H
#define CW_OS_OBJECT_PARTS_H

#include "os/object.h"

#include <limits.h>

/* Where an address lies. */
struct cw_object_place {
    uint64_t object;     /* 0: in no loaded object */
    uint64_t offset;     /* from the object's load address */
    bool code;           /* in an executable segment */
    char path[PATH_MAX]; /* "" is the main program */
};
void cw_object_place(uintptr_t address, struct cw_object_place *place);

/* The last part of an object's path; the program's own name for "". */
void cw_object_title(const char *path, char *buf, size_t cap);

/* The build-id among ELF notes, folded to 64 bits; 0 if there is none. Reads
 * nothing outside notes[0, size), whatever they say. */
uint64_t cw_object_build_id(const unsigned char *notes, size_t size, size_t align);

/* Says in err why an address in no executable segment is no task. Returns
 * CREW_EINVAL. Slow: reads /proc/self/maps. */
int cw_object_refuse(cw_fn *fn, crew_error *err);

/* The function that holds `offset`, from the symbol tables of the file. False
 * if the file cannot be read, is no ELF file of this machine's class, is another
 * build than `object` (where it has a build-id), or has no such symbol. The file
 * may be damaged or made to do harm. */
bool cw_object_symbol(const char *path, uint64_t object, uint64_t offset, char *buf, size_t cap);

/* The registry of tasks across a fork: see object.c. */
void cw_tasks_before_fork(void);
void cw_tasks_after_fork(void);
/* Sees to it that the fork handlers are in place. */
void cw_object_watch_forks(void);

#endif
