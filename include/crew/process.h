/* crew/process.h - processes of one's own.
 *
 * A process runs one function of this program and ends with what it returns. It
 * sees of the program's memory what a worker does: under CREW_START_FORK (the
 * default) globals as they are when it starts, under CREW_START_SERVER as they
 * were at crew_init, under CREW_START_SPAWN those of a fresh program, which gets
 * to its crew_init. Objects (locks, queues, arrays ...) are the same for all.
 *
 * Handles are values; any process of the program may use one, also to wait or to
 * kill. Whoever has started a process closes it, else crew_finalize does. A
 * program that ends in any way takes its processes along; crew_finalize, and the
 * end of a process that has started others (its function returns, or exit), waits
 * for them first (daemons are ended). A worker of a pool does not wait: a task
 * joins what it has started, or that ends with its worker. After
 * unshare(CLONE_NEWPID) none can be started (CREW_ENOTSUP). They are no children in
 * the sense of wait(2): a program's own wait() never sees them. */
#ifndef CREW_PROCESS_H
#define CREW_PROCESS_H

#include <crew/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct crew_process {
    uint64_t place, check;
} crew_process;

struct crew_conn;
typedef struct crew_process_opts {
    const char *name;              /* copied, at most 47 bytes; NULL: "process-N". Numbers of closed
                                    * ones are given again */
    bool daemon;                   /* ends with its parent, which does not wait for it */
    int start;                     /* CREW_START_*; 0: CREW_START, else FORK */
    int node;                      /* 0: that of whoever starts it. See crew_process_start */
    const struct crew_conn *conns; /* ends of pipes that are the new process's from now on */
    int nconns;
} crew_process_opts;

/* fn gets a call whose `in` is a copy of arg (size bytes, of any size; NULL with
 * 0), whose index is 0 and whose worker is -1. What it returns is the exit code: 0
 * to 255, others become 1. Why goes to standard error: the message of crew_fail, or,
 * for a negative code of crew's, that of the call which has failed with it.
 *
 * opts.node, in a program over ranks of several nodes: the node that it runs on, numbered
 * as in crew_call.node (0 is the program's own); its call's node is that. CREW_EINVAL:
 * there is none of that number; CREW_EBROKEN: it was lost. Only the program itself can
 * start processes on other nodes, under CREW_START_SERVER (the default there): else
 * CREW_ENOTSUP, as on one node. There it is a process of that node: its
 * crew_self is not this handle, and what it starts is there, too. All calls below are
 * good for it, from processes of the starter's node. If its node is lost it ends as if
 * killed: exit code -9; crew_process_wait says why.
 *
 * opts.conns: when this returns they are the process's, on any node, whatever becomes of
 * the starter's handles (crew/channel.h); CREW_EDIED: it ended before it had taken them. */
CREW_API int crew_process_start(crew_process *p, crew_fn *fn, const void *arg, size_t size,
                                const crew_process_opts *opts, crew_error *err);
/* Waits for its end. CREW_ETIMEDOUT; CREW_EINVAL for a process that waits for
 * itself. */
CREW_API int crew_process_join(crew_process p, double timeout);
/* *code: what fn returned (or gave to exit), or -signal. CREW_EAGAIN while it runs,
 * CREW_EBROKEN with the reason if it never came to run fn. */
CREW_API int crew_process_exitcode(crew_process p, int *code);
/* The two in one: waits for its end, *code as above. With code NULL whatever is not 0
 * is an error: CREW_EFAILED (the code is in task_code) or CREW_EDIED (signal). */
CREW_API int crew_process_wait(crew_process p, double timeout, int *code);
/* 1 or 0. */
CREW_API int crew_process_alive(crew_process p);
/* SIGTERM, SIGKILL. 0 also if it has ended. */
CREW_API int crew_process_terminate(crew_process p);
CREW_API int crew_process_kill(crew_process p);
/* Its pid, on its node; also after its end. 0: it never came to be. */
CREW_API int crew_process_pid(crew_process p);
/* A descriptor that polls readable once it has ended: the caller's to close. Of one on
 * another node in the program itself only, else CREW_ENOTSUP. */
CREW_API int crew_process_fd(crew_process p);
/* Valid until it is closed; NULL for a stale handle. */
CREW_API const char *crew_process_name(crew_process p);
/* Forgets one that has ended: the handle is stale then. CREW_EAGAIN while it runs. */
CREW_API int crew_process_close(crew_process p);

/* This process: the program itself ("main"), a worker, or one that was started. An
 * empty handle if there is no memory. */
CREW_API crew_process crew_self(void);
/* Who has started this process; an empty handle in the program itself and in
 * workers. */
CREW_API crew_process crew_parent(void);
/* Those that this process has started and that still run: how many; fills the
 * first cap. */
CREW_API int crew_children(crew_process *children, int cap);

#ifdef __cplusplus
}
#endif
#endif
