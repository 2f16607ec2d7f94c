/* crew/mpi.h - crew in programs that use MPI themselves.
 *
 * Who owns MPI:
 *
 *   - A program that is linked with one of crew's builds for MPI, crew-mpi-openmpi or
 *     crew-mpi-mpich, or has called MPI_Init before crew_init: the program does. crew_init
 *     returns on every rank and does not touch MPI; crew_pool_open opens pools of the
 *     rank's own, and CREW_BACKEND=mpi is CREW_ENOTSUP there.
 *   - Any other program that a launcher of MPI has started: crew does. crew_init starts
 *     MPI and returns in rank 0 alone. MPI_Init is an error in such a program, and one
 *     that would come to it, for it has calls of MPI_Init or MPI_Init_thread, is told by
 *     crew_init: CREW_EINVAL on every rank, with the ways out.
 *
 * Programs are built with `pkg-config --cflags --libs crew-mpi-openmpi` (or crew-mpi-mpich),
 * or in CMake with the target crew::mpi-openmpi (or crew::mpi-mpich), with that MPI's
 * compiler wrapper or without. libcrew itself links no MPI. */
#ifndef CREW_MPI_H
#define CREW_MPI_H

#include <crew/pool.h>
#include <crew/shared.h>
#include <mpi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A pool whose workers are under the ranks of a communicator. Collective over `comm`, an
 * intracommunicator; every rank names the same root.
 *
 *   - In the root it returns 0 with the pool, which is used like any other (crew/pool.h,
 *     crew/future.h), by the program's other threads, too.
 *   - In the other ranks it serves that pool. When the root frees it (crew_pool_free,
 *     crew_finalize, or MPI_Finalize, which frees it first), it returns 0 with *pool NULL.
 *     (crew-mpi-mpich has an MPI_Finalize of its own that calls MPICH's. A program that finds
 *     another first, a tool's or, linked in an unusual order, MPICH's, frees the pool by
 *     itself if it has MPI_THREAD_MULTIPLE: in there it is too late for MPICH.)
 *   - If the pool cannot be opened, all ranks have *pool NULL and the same error: opts are
 *     wrong, an initializer fails, the ranks run different programs (CREW_EMISMATCH), ...
 *
 * opts: of the root alone; NULL is {0}. workers, 0: the cores of each node's ranks; else
 * of all nodes together, evenly over the ranks. Workers are forked in this call, by every
 * rank from what it is then: they see what it has loaded, and its globals. start is
 * CREW_START_FORK or AUTO, backend CREW_MPI or AUTO, whatever CREW_START and CREW_BACKEND
 * say. A task runs in such a process and may not call MPI.
 *
 * What is sent between ranks has communicators of its own, which are freed with the pool:
 * the program's communicators, and what it has on its way in them, are not touched. Pools
 * may be opened one after the other, over any communicators, with any roots; and at the
 * same time over communicators that have no rank in common. A process has, or serves, one
 * at a time: where one of `comm` has one already, all get CREW_EINVAL.
 *
 * Threads. With MPI_THREAD_MULTIPLE a thread of crew's makes the calls of MPI. With less
 * no thread of its own may: other nodes than the root's then get work, and their results
 * come home, only while the thread that has opened the pool is in a call of crew's
 * that waits or asks for work of a pool (crew_map, crew_job_wait, crew_job_ready,
 * crew_future_result, crew_future_done, crew_wait, crew_next, crew_pool_free, ...), and it
 * is to free the pool. That is said once on standard error. Where all ranks are on one
 * node nothing has to be sent, and it makes no difference.
 *
 * What processes share (locks, queues, values, dictionaries, ...): what the root has made, at
 * any time, and what tasks make is used by the root and by tasks on every node. Threads of
 * other ranks can use it, too, where the rank leads its node (the lowest of it, but the
 * root); where it does not, it is CREW_ENOTSUP. What a rank that serves has made before is
 * stale meanwhile; what was made under it is so afterwards, and is freed with its session.
 *
 * A worker that dies is replaced as in any pool. A rank that dies ends the job, unless the
 * launcher was told to go on (mpirun --enable-recovery): then its node's work is done by
 * the others, after CREW_NODE_TIMEOUT. With less than MPI_THREAD_MULTIPLE a root
 * that has died so is not noticed.
 *
 * CREW_EINVAL: MPI is not started, or has ended; root, comm or opts are wrong; this is a
 * task, a callback, or a thread that may not call MPI. CREW_ENOTSUP: another start;
 * CREW_ISOLATE=0; libcrew is linked statically. Others as crew_pool_open. */
CREW_API int crew_mpi_pool(MPI_Comm comm, int root, const crew_pool_opts *opts, crew_pool **pool,
                           crew_error *err);

/* In a task, where tasks run in the ranks themselves: CREW_ISOLATE=0, in a program whose
 * MPI is crew's (link libcrew and MPI; MPI_Init is not to be called).
 *
 * The communicator of the ranks that run this task, opts.ranks of crew_submit of them: new
 * for each task, so that nothing of another task's can come there. The rank in it is the
 * place in the gang; the answer of rank 0 is the task's. The first call of a task is
 * collective among its ranks: all make it, or none. Of a task of one rank, an item of a
 * map among these, it is a duplicate of MPI_COMM_SELF. It ends with the task: it is
 * crew's to free. Errors in it end the job, as is MPI's default.
 *
 * MPI_COMM_NULL, and the task has failed with the reason whatever it returns: tasks run in
 * processes of their own (CREW_ENOTSUP), the program was compiled with another MPI's mpi.h
 * (CREW_EMISMATCH), or MPI said no (CREW_EBROKEN). */
static inline MPI_Comm crew_call_comm(crew_call *call) {
    MPI_Comm comm = MPI_COMM_NULL;
    crew_call_comm_into(call, &comm, sizeof comm);
    return comm;
}

/* The window that an array lies in (of a PARTITIONED one, this node's part), for calls of MPI
 * in a process that has MPI: the root of crew_mpi_pool, while the pool is open, or a task
 * where tasks run in the ranks (CREW_ISOLATE=0).
 *
 * It is one window over all of the memory that crew shares, the same for all arrays, in
 * bytes (displacement unit 1). Its ranks are the leaders of nodes, the lowest rank of each, in
 * that order, the root's first; where there is one node, or with CREW_ISOLATE=0, all ranks,
 * of which leaders alone have memory in it. In a leader, element 0 of a NODE or REPLICATED
 * array is, of its own rank, at
 *
 *     (char *)crew_array_data(a) - base       base: MPI_Win_get_attr(win, MPI_WIN_BASE, ...)
 *
 * and of a PARTITIONED array the first row of its part, with crew_array_row in place of
 * crew_array_data. Other nodes have other displacements: tell them.
 *
 * It is in an epoch of MPI_Win_lock_all from beginning to end: MPI_Get, MPI_Put,
 * MPI_Rget, MPI_Win_flush, MPI_Win_sync and their like may be called, MPI_Win_lock and
 * MPI_Win_fence may not; nor is it to be freed. Errors in it return. MPI_Accumulate and
 * crew_array_add do not go together. With less than MPI_THREAD_MULTIPLE what is asked of
 * other ranks goes on when these are in calls of MPI, as ever. What MPI writes to an array
 * that was destroyed is somebody else's memory.
 *
 * CREW_EINVAL: there is no such array. CREW_ENOTSUP, with the reason: a process without MPI
 * (tasks, usually), MPI is crew's, the array lies in named memory, MPI makes no such window,
 * or there is none for CREW_ONE_SIDED (off; auto, and a node has an RDMA device).
 * CREW_EMISMATCH: the program was compiled with another MPI's mpi.h. */
static inline int crew_array_win(crew_array a, MPI_Win *win) {
    return crew_array_win_into(a, win, sizeof *win);
}

#ifdef __cplusplus
}
#endif

#endif
