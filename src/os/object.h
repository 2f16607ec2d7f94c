/* os/object.h - naming a function across processes.
 *
 * A function travels as (identity of its ELF object, offset in it). The
 * identity is the object's build-id, else a hash of its executable segments,
 * folded to 64 bits; found with dl_iterate_phdr, which works in static binaries
 * too. Thread-safe. No global state but a cache of identities by load address
 * that is dropped whenever an object has been loaded or unloaded.
 *
 * A forked child may find, resolve and describe what its parent had loaded,
 * whatever other threads of the parent were doing at the fork. What asks the
 * loader there (cw_objects_take, and names or addresses the parent did not
 * know) waits for ever if another thread was inside dl_iterate_phdr just then:
 * so a child of a threaded process uses the set its parent took (see object.c). */
#ifndef CW_OS_OBJECT_H
#define CW_OS_OBJECT_H

#include <crew/error.h>

typedef struct cw_fn_name {
    uint64_t object; /* 0: none */
    uint64_t offset; /* from the object's load address */
} cw_fn_name;

/* Any function, as data. Cast to the right type before it is called. */
typedef void cw_fn(void);

/* Objects loaded when it was taken: what a process forked then can run. */
typedef struct cw_objects {
    uint64_t *ids;
    int count;
    const char *advice; /* what cw_fn_find's refusal ends with; NULL: what to do usually */
} cw_objects;
int cw_objects_take(cw_objects *set); /* 0 or CREW_ENOMEM */
void cw_objects_free(cw_objects *set);

/* Names fn. CREW_EINVAL with the reason if it is NULL, lies on a stack or the
 * heap ("a nested function's pointer is code on the stack..."), or in no
 * executable segment of a loaded object; or if its object is not in `have`
 * (NULL: any will do): "... from libx.so, which was loaded after the workers
 * were started". CREW_ENOMEM if the list of objects finds no memory. On failure
 * *name is as before. Costs under 100 ns once the identity is cached. */
int cw_fn_find(cw_fn *fn, const cw_objects *have, cw_fn_name *name, crew_error *err);

/* Whether fn is code of the program itself, which is never unloaded: what
 * cw_fn_find says of it stays true. Before the first lookup: false. */
bool cw_fn_in_program(cw_fn *fn);

/* The identity of the program's own object, which the loader names first. 0: no memory. */
uint64_t cw_object_of_program(void);

/* The other way. NULL if this process has no such object or the offset is
 * outside its executable segments. */
cw_fn *cw_fn_resolve(cw_fn_name name);

/* A name for messages: a registered task's (crew_task_register), else from the
 * object's symbol tables (static functions too, a trailing "_task" dropped),
 * else "libx.so+0x1234". Never fails; always terminates buf. */
void cw_fn_describe(cw_fn *fn, char *buf, size_t cap);

/* What a macro registered for fn, NULL if nothing: valid while its object is
 * loaded. */
struct crew_task_info;
const struct crew_task_info *cw_fn_info(cw_fn *fn);
/* Changes whenever one is registered or unregistered. */
uint32_t cw_tasks_generation(void);

#endif
