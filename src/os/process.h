/* os/process.h - how processes of ours come to be, their limits and names. */
#ifndef CW_OS_PROCESS_H
#define CW_OS_PROCESS_H

#include <crew/error.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Forks the calling process as it is now and runs `run(arg)`, which never
 * returns, in the new one, with every signal blocked. It is nobody's child: it
 * falls to the nearest subreaper or to pid 1 at once. The caller's threads see
 * neither SIGCHLD nor, unless they wait with __WALL or __WCLONE, a child: but
 * under a sanitizer. Returns 0 or errno. *pid (in shared memory, or NULL) is its
 * pid before the call returns. */
int cw_process_orphan(void (*run)(void *arg), void *arg, _Atomic int32_t *pid);

/* True after unshare(CLONE_NEWPID): what this process forks is numbered in another
 * namespace (the numbers are others' here), and it can make no threads. */
bool cw_process_forks_elsewhere(void);

/* Dies with the process whose pid is `parent` (which must be this process's
 * parent and must have forked it from its only thread). False: it is gone. */
bool cw_process_die_with(pid_t parent);

/* A worker is the first to go when memory runs out, and dumps no core. */
void cw_process_expendable(bool core);

/* A thread for tasks: its stack is as large as the program's own may be, 64 MiB
 * where that is unlimited (the system's default would be 2 MiB then). 0 or errno. */
int cw_process_thread(pthread_t *thread, void *(*run)(void *arg), void *arg);

/* For ps and top, at most 15 bytes. Of the calling thread. */
void cw_process_name(const char *name);

/* Takes the MPI launchers' variables away, so that a program started by a task
 * may start MPI itself, and a crew of its own is no rank's; and CREW_JOURNAL, whose
 * files are the manager's. Of a process that has
 * one thread. */
void cw_process_clean_environment(void);

/* It has ended, also if nobody has waited for it yet. False if pid is 0. */
bool cw_process_gone(pid_t pid);

/* A descriptor that polls readable once the process has ended; -1 where the
 * kernel has none. */
int cw_process_descriptor(pid_t pid);

/* Private memory of a process in bytes: what it does not share. 0: unknown,
 * which means that there is no /proc, or no such process. */
uint64_t cw_process_private_bytes(pid_t pid);
/* What the calling process has of what RLIMIT_DATA counts, at least. 0: unknown. */
uint64_t cw_process_data_bytes(void);

/* Takes away what an OpenMP runtime (LLVM's) leaves in /dev/shm of a process
 * that was killed. Only for one that is gone, or a zombie of the caller's. */
void cw_process_sweep(pid_t pid);

/* Returns when none of these is left (0: passed over), or after so many seconds. */
void cw_process_await_gone(const pid_t *pids, int count, double seconds);

/* "killed by signal 11 (segmentation fault)" or "exited with code 3". */
void cw_process_describe_status(int status, char *buf, size_t cap);

#endif
