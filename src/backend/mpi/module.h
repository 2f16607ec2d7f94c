/* backend/mpi/module.h - what a module that speaks MPI offers: one table.
 *
 * libcrew links no MPI. libcrew-mpi-openmpi.so and libcrew-mpi-mpich.so are the
 * same sources (module*.c) built against either; load.h finds the one that the
 * launcher's environment asks for. A module links no crew, either: all that the
 * two know of each other is this header, and `table` is its version.
 *
 * One thread of the process, the agent's, makes all calls, from `start` to `end`. It
 * need not be the process's first. But where tasks run in ranks (`many_threads`) their
 * threads call `gather` and `disband`, and MPI itself, at the same time.
 *
 * Ranks of one node share memory and have no use for messages. Nodes do: the
 * lowest rank of each is its leader, and only leaders call `send`, `receive`,
 * `unsent`, `abandon` and `broken`. Messages are bytes; those between two nodes
 * come in the order in which they were sent, each whole and once, or not at all.
 * The other ranks call nothing between `exchange` and `end`.
 *
 * Nothing here blocks but `start`, `exchange` and `end`. No call waits for a node
 * that may be dead: MPI does not say who is (a send to it may never complete, and
 * all calls succeed), so that is for the caller to find out, by silence, and to
 * tell with `abandon`. That the others then go on is more than MPI promises. Open MPI
 * over TCP ends a process itself if a *small* message to a node that has just died
 * is caught half-way; large ones it bears. So do not flood a node with small ones:
 * have answers before there are many on the way.
 *
 * MPI has nothing that a sleeping thread could be woken by: the agent of a leader
 * polls `receive`, more rarely the longer nothing comes. `receive` and `unsent`
 * drive what is under way in both directions; nothing moves without either.
 *
 * For tests: CREW_TEST_NODES=0,0,1,1 in the environment of every rank says which
 * ranks `start` takes for one node, instead of what MPI says: rank r has the r-th
 * number, and after the last come the first again. */
#ifndef CW_BACKEND_MPI_MODULE_H
#define CW_BACKEND_MPI_MODULE_H

#include <crew/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CW_MPI_TABLE = 5,               /* the version of this header */
    CW_MPI_MESSAGE_MOST = 64 << 20, /* bytes; what is longer is the caller's to cut */
};

/* The name under which a module exports its table, a `const struct cw_mpi`. */
#define CW_MPI_SYMBOL "cw_mpi_module"

/* Where a rank is. Nodes are numbered by their lowest rank, so the node of rank 0,
 * the manager's, is node 0; ranks of a node (node_rank) by their rank: the leader's
 * is 0. The ranks of a node need not be neighbours. */
struct cw_mpi_place {
    int rank, size;
    int node, nodes;
    int node_rank, node_size;
};

/* Where MPI is the program's own: what crew_mpi_pool was called with, by all ranks. */
struct cw_mpi_joint {
    const void *comm; /* an MPI_Comm */
    int root;         /* who is rank 0 of `place` */
    bool busy;        /* this rank is at another one: all are refused, with CREW_EINVAL */
};

struct cw_mpi {
    uint32_t table;      /* CW_MPI_TABLE. First, for ever: the rest means nothing if it differs */
    uint32_t size;       /* of this struct */
    const char *flavour; /* "openmpi", "mpich" */

    /* Starts MPI. Collective: all ranks. CREW_EINVAL: the program has started it
     * before, or CREW_TEST_NODES is not as it should be. CREW_ENOTSUP: another
     * MPI than the module is for. CREW_EBROKEN: MPI says no;
     * it may also end the process by itself, with a message of its own. What signals
     * do is afterwards as it was; the calling thread has all blocked but those of
     * faults, from then on, and threads of MPI's have, too. */
    int (*start)(struct cw_mpi_place *place, crew_error *err);

    /* Instead of `start`: over a communicator of the program's, of which communicators of
     * our own are made. Collective over it. `end` frees them, and leaves MPI alone; then
     * there may be another one. Until then, `at_finalize` is called if the program calls
     * MPI_Finalize in rank 0, before anything of MPI has gone (the module defines that function,
     * too, and has an attribute of MPI_COMM_SELF besides): it is to come to `end`. */
    int (*join)(const struct cw_mpi_joint *joint, void (*at_finalize)(void),
                struct cw_mpi_place *place, crew_error *err);

    /* Memory that the ranks of a node share: the leader's `size` bytes, zero, somewhat more
     * than that; the others' sizes mean nothing. Collective: all ranks, once, after
     * `exchange`. Until `end`. NULL, and no error, where a node has one rank. */
    int (*window)(size_t size, void **memory, crew_error *err);

    /* Everybody's `mine` to everybody, by rank: `all` has place.size times `size`
     * bytes. Collective: all ranks, with the same size, before the first message. */
    int (*exchange)(const void *mine, size_t size, void *all, crew_error *err);

    /* Sends to a node's leader; another node than the caller's. `data` is malloc'ed
     * (or NULL, where size is 0), and taken, whatever is returned. Does not block;
     * what the receiver does not take yet is kept. 0; CREW_EINVAL: longer than
     * CW_MPI_MESSAGE_MOST; CREW_ENOMEM; CREW_EBROKEN: the node is abandoned, or MPI
     * failed (see `broken`). */
    int (*send)(int node, void *data, size_t size);

    /* 1: a message, *data is malloc'ed (not NULL) and the caller's to free, the node
     * in *node; 0: there is none now. */
    int (*receive)(int *node, void **data, size_t *size);

    /* Bytes of messages to that node (and one for each) which MPI has not done with
     * yet: 0 says that the caller may forget it, not that it has arrived. */
    size_t (*unsent)(int node);

    /* That node is lost. What is to go there is forgotten, what comes from there is
     * swallowed, also if the node turns out to be alive. */
    void (*abandon)(int node);

    /* True if a message to or from there failed (MPI said so, or there was no memory
     * for one that came): the node has been abandoned. A dead one need not show here. */
    bool (*broken)(int node);

    /* Memory of the caller's own to and from a node, with no copy on the way: what is lent
     * there under a number (`tag`, from 0 on) comes to what was borrowed for it here, in the
     * order of the calls, of the same sizes (up to CW_MPI_MESSAGE_MOST). Neither blocks.
     * A ticket from 0 on, for `settled`; or CREW_EBROKEN, CREW_ENOMEM. The memory is MPI's
     * until the ticket is settled. */
    int (*lend)(int node, int tag, const void *data, size_t size);
    int (*borrow)(int node, int tag, void *to, size_t size);
    /* 1: done. 0: not yet. CREW_EBROKEN: the node was abandoned, or MPI failed: what was
     * borrowed may still be written to at any time. The ticket ends with 1 and CREW_EBROKEN. */
    int (*settled)(int ticket);

    /* Lets other nodes read this one's memory: a window over it and theirs, for as long as MPI
     * goes on, in an epoch of MPI_Win_lock_all. Collective, at most once, after `exchange` (and
     * `window`): all leaders; all ranks where `many_threads`, or where there is one node,
     * those that lead none with NULL. any: by whatever this MPI has. Else only by what never waits
     * for a dead node in a call. 0: `fetch` may be called. Otherwise the reason, on all alike; what
     * is not fit for `fetch` may still be one for `shown`. */
    int (*expose)(void *memory, size_t size, bool any, crew_error *err);
    /* Reads [at, at + size) of that node's memory, up to CW_MPI_MESSAGE_MOST. Returns as
     * `borrow` does, and so does `settled`. The node need not do anything, but it has to
     * be in a call here now and then, where the network does not read by itself. */
    int (*fetch)(int node, uint64_t at, void *to, size_t size);
    /* The window: an MPI_Win of the caller's, `size` bytes. CREW_EMISMATCH: those of this MPI
     * have another size. CREW_ENOTSUP: there is none. */
    int (*shown)(void *win, size_t size, crew_error *err);
    /* Before `start`: `expose` is to have what it needs, with any false. */
    void (*one_sided)(void);

    /* Ends MPI. Orderly: collective, all ranks; messages that are still on their way
     * may be lost, so whoever wants them delivered waits for an answer first; waits
     * for every rank, so for nothing else if one was lost. Not orderly, which is for
     * then: returns at once and leaves MPI as it is; the process is to exit soon. A
     * launcher that was told to bear the loss (mpirun --enable-recovery) bears that,
     * too; another ends what is left of the job. */
    void (*end)(bool orderly);

    /* Ends the whole job, all ranks, with this exit code as far as the launcher
     * heeds it. Does not return. Any time after `start`. */
    void (*abort)(int code);

    /* Before `start`: other threads will make calls of MPI of their own, on communicators
     * from `gather`. `start` is CREW_ENOTSUP if this MPI does not bear that. */
    void (*many_threads)(void);

    /* A communicator of these ranks of all, in that order, for tasks: errors in it are
     * fatal, as is usual in MPI. Collective among them, on any thread of theirs, if there
     * are several: with the same tag, and no other such call with that tag goes on. comm:
     * the caller's MPI_Comm, `size` bytes. CREW_EMISMATCH: those of this MPI have another
     * size. CREW_EBROKEN: MPI says no. */
    int (*gather)(const int32_t *ranks, int count, int tag, void *comm, size_t size,
                  crew_error *err);
    /* Frees it: all of its ranks do. */
    void (*disband)(void *comm);

    /* What MPI says it is: "Open MPI v4.1.4, package: ...". The module's. */
    const char *(*library)(void);
};

#endif
