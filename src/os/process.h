/* os/process.h - what a process of ours does about signals, limits and its name. */
#ifndef CW_OS_PROCESS_H
#define CW_OS_PROCESS_H

#include <crew/error.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

/* In a nursery or worker that was just forked: drops the handlers that it
 * inherited, lets every signal through, and outlives INT and QUIT of the
 * terminal (an empty handler, which exec resets): it ends when its manager does. */
void cw_process_signals(void);

/* In a worker that a nursery forked, whose handlers are those above already: only
 * lets every signal through. */
void cw_process_unblock(void);

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
 * may start MPI itself. */
void cw_process_clean_environment(void);

/* A descriptor that polls readable once the process has ended; -1 where the
 * kernel has none. */
int cw_process_descriptor(pid_t pid);

/* Private memory of a process in bytes: what it does not share. 0: unknown. */
uint64_t cw_process_private_bytes(pid_t pid);

/* "killed by signal 11 (segmentation fault)" or "exited with code 3". */
void cw_process_describe_status(int status, char *buf, size_t cap);

#endif
