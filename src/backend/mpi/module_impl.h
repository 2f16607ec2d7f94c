/* module_impl.h - what the parts of a module share: who the ranks are (module_start.c)
 * and what goes between them (module.c). */
#ifndef CW_BACKEND_MPI_MODULE_IMPL_H
#define CW_BACKEND_MPI_MODULE_IMPL_H

#include "backend/mpi/module.h"

#include <mpi.h>

#ifdef OPEN_MPI
#define CW_MPI_FLAVOUR "openmpi"
#else
#define CW_MPI_FLAVOUR "mpich"
#endif

struct parcel {
    struct parcel *next;
    MPI_Request request;
    void *data;
    size_t size;
};

struct list {
    struct parcel *first, *last;
};

/* What MPI reads from or writes to in the caller's memory. */
struct ticket {
    MPI_Request request;
    int node; /* -1: free */
    bool borrowed;
};

struct peer {
    struct list waiting, sending, coming;
    int sending_parcels;
    size_t sending_bytes;
    size_t unsent; /* bytes and messages of waiting and sending */
    bool abandoned, broken;
    bool busy; /* in the list below */
};

/* MPI is one a process, and so is this. Owner: the thread that makes the calls. */
struct cw_module {
    struct cw_mpi_place place;
    MPI_Comm world;   /* all ranks: for `exchange` */
    MPI_Comm leaders; /* MPI_COMM_NULL: this rank is none. The rank in it is the node */
    struct peer *peers;
    int *busy; /* nodes with parcels under way */
    int busy_count, turn;
    struct list lost;
    bool many_threads;
    bool sleeps, yields; /* its caller does, between looks; what MPI did before */
    bool has_window;
    MPI_Win window; /* of the ranks of a node: */
    MPI_Comm node;
    /* where MPI is the program's own */
    bool joint;
    int key;        /* of the attribute by which MPI_Finalize tells us; MPI_KEYVAL_INVALID */
    bool finalizes; /* it has */
    void (*at_finalize)(void);
    struct ticket *tickets;
    int ticket_count, tag_most;
    /* what others may read: module_reach.c */
    MPI_Win reach;
    bool exposed, reaches; /* there is one; `fetch` may be called */
    bool bears;            /* it was started so that none of its calls waits for the dead */
    bool one_sided;        /* that was wished */
};
extern struct cw_module cw_module;

/* Both return the error's code. */
__attribute__((format(printf, 3, 4))) int cw_module_refuse(crew_error *err, int code,
                                                           const char *fmt, ...);
int cw_module_failed(crew_error *err, const char *what, int rc);

/* Calls of the table (module.h). */
int cw_module_start(struct cw_mpi_place *place, crew_error *err);
int cw_module_join(const struct cw_mpi_joint *joint, void (*at_finalize)(void),
                   struct cw_mpi_place *place, crew_error *err);
int cw_module_window(size_t size, void **memory, crew_error *err);
int cw_module_exchange(const void *mine, size_t size, void *all, crew_error *err);
void cw_module_many_threads(void);
const char *cw_module_library(void);

int cw_module_expose(void *memory, size_t size, bool any, crew_error *err);
int cw_module_shown(void *win, size_t size, crew_error *err);
void cw_module_one_sided(void);

/* Around MPI_Init: see module_reach.c. */
void cw_module_choose(void);
void cw_module_chosen(void);
/* All that have it, in the end. */
void cw_module_hide(void);

/* The program's MPI ends: what join began, with the pool, if this is its root. */
void cw_module_free_pool(void);

/* The end of what join began. `orderly`: all do it, and nobody has anything on its way
 * to another. */
void cw_module_part(bool orderly);

#endif
