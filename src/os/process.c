/* Processes of ours: how they come to be, limits, names, ends. */
#include "os/process.h"

#include "base/sanitized.h"
#include "os/clock.h"
#include "os/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- a process that is nobody's child ---- */

struct orphan {
    void (*run)(void *arg);
    void *arg;
    _Atomic int32_t *pid;
};

/* Ends at once, so that the process it forks is nobody's child. Its exit code is
 * fork's errno. */
static int middle(void *arg) {
    const struct orphan *orphan = arg;
    pid_t pid = fork();
    if (pid == 0)
        orphan->run(orphan->arg);
    if (pid > 0 && orphan->pid)
        atomic_store(orphan->pid, pid);
    _exit(pid < 0 ? errno & 0x7f : 0);
}

/* The middle process borrows our memory and this thread's identity, as vfork's
 * child does, while the thread waits: so there is one copy of the memory to make,
 * not two, and fork's own locks are taken in the memory that other threads share
 * with it. Its exit signal is 0, which is what hides it from wait(). The orphan
 * goes on on the stack that is given here. (The kernel's rseq area of its first
 * thread is not registered any more; nothing there asks for it: workers run tasks
 * on threads of their own.) A sanitizer follows neither. */
static pid_t start_middle(struct orphan *orphan, void **stack, size_t size) {
    if (CW_SANITIZED) {
        pid_t pid = fork();
        if (pid == 0)
            middle(orphan);
        return pid;
    }
    *stack =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (*stack == MAP_FAILED) {
        *stack = NULL;
        return -1;
    }
    mprotect(*stack, (size_t)sysconf(_SC_PAGESIZE), PROT_NONE);
    return clone(middle, (char *)*stack + size, CLONE_VM | CLONE_VFORK, orphan);
}

/* The namespace of children is a link that leads nowhere until there is the first. */
bool cw_process_forks_elsewhere(void) {
    static const char name[] = "/proc/self/ns/pid_for_children";
    struct stat own, link, children;
    return lstat(name, &link) == 0 && stat("/proc/self/ns/pid", &own) == 0 &&
           (stat(name, &children) != 0 || own.st_ino != children.st_ino);
}

int cw_process_orphan(void (*run)(void *arg), void *arg, _Atomic int32_t *born) {
    enum { STACK = 256 << 10 };
    struct orphan orphan = {run, arg, born};
    void *stack = NULL;
    int status = 0;
    sigset_t before;
    cw_signals_block(&before);
    pid_t pid = start_middle(&orphan, &stack, STACK);
    int sys = pid < 0 ? errno : 0;
    /* ECHILD: a thread of the program's that waits for everything was faster. */
    while (pid > 0 && waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
        ;
    cw_signals_restore(&before);
    if (stack)
        munmap(stack, STACK);
    return sys ? sys : WIFEXITED(status) ? WEXITSTATUS(status) : EAGAIN;
}

bool cw_process_die_with(pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return getppid() == parent; /* it may have died before the line above */
}

static void write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    /* Without the right to write there, the worker keeps what it has. */
    ssize_t n = write(fd, text, strlen(text));
    (void)n;
    close(fd);
}

void cw_process_expendable(bool core) {
    write_file("/proc/self/oom_score_adj", "500");
    if (!core) {
        struct rlimit none = {0, 0};
        getrlimit(RLIMIT_CORE, &none);
        none.rlim_cur = 0;
        setrlimit(RLIMIT_CORE, &none);
    }
}

int cw_process_thread(pthread_t *thread, void *(*run)(void *arg), void *arg) {
    pthread_attr_t attributes;
    struct rlimit stack;
    pthread_attr_init(&attributes);
    if (getrlimit(RLIMIT_STACK, &stack) == 0 && stack.rlim_cur == RLIM_INFINITY)
        pthread_attr_setstacksize(&attributes, (size_t)64 << 20);
    int rc = pthread_create(thread, &attributes, run, arg);
    pthread_attr_destroy(&attributes);
    return rc;
}

void cw_process_name(const char *name) {
    char buf[16];
    snprintf(buf, sizeof buf, "%s", name);
    prctl(PR_SET_NAME, buf);
}

/* Which of a job's ranks or tasks this is: all that backend/mpi/launcher.c looks at,
 * and what MPI itself would take for its launcher's. And where the manager has its
 * journals, of which another program's would be refused. */
static bool is_the_managers(const char *variable) {
    static const char *const prefixes[] = {
        "OMPI_",
        "PMIX_",
        "PMI_",
        "PMI2_",
        "ORTE_",
        "OPAL_",
        "PRTE_",
        "HYDRA_",
        "HYDI_",
        "MPI_LOCAL",
        "MPIR_CVAR_CH3_INTERFACE_HOSTNAME=",
        "MV2_COMM_WORLD_",
        "PALS_",
        "ALPS_APP_",
        "JSM_",
        "FLUX_TASK_",
        "SLURM_STEP",
        "SLURM_PROCID=",
        "SLURM_LOCALID=",
        "SLURM_GTIDS=",
        "CREW_JOURNAL=",
    };
    /* The user's: a program that a task starts may need it as this one did. */
    static const char *const kept[] = {"OMPI_ALLOW_RUN_AS_ROOT"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (strncmp(variable, kept[i], strlen(kept[i])) == 0)
            return false;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

void cw_process_clean_environment(void) {
    char **to = environ;
    for (char **from = environ; from && *from; from++)
        if (!is_the_managers(*from))
            *to++ = *from;
    if (to)
        *to = NULL;
}

int cw_process_descriptor(pid_t pid) {
#ifdef SYS_pidfd_open
    return (int)syscall(SYS_pidfd_open, pid, 0);
#else
    (void)pid;
    return -1;
#endif
}

/* The program may be the one to which orphans fall. */
bool cw_process_gone(pid_t pid) {
    if (pid <= 0)
        return false;
    if (kill(pid, 0) != 0)
        return errno == ESRCH;
    struct pollfd end = {.fd = cw_process_descriptor(pid), .events = POLLIN};
    bool gone = end.fd < 0 ? errno == ESRCH : poll(&end, 1, 0) > 0;
    if (end.fd >= 0)
        close(end.fd);
    return gone;
}

/* Pages in the columns of /proc/PID/statm; false: there is none. */
static bool statm(const char *pid, unsigned long long pages[6]) {
    char path[64], text[128];
    snprintf(path, sizeof path, "/proc/%s/statm", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    return sscanf(text, "%llu %llu %llu %llu %llu %llu", &pages[0], &pages[1], &pages[2], &pages[3],
                  &pages[4], &pages[5]) == 6;
}

uint64_t cw_process_private_bytes(pid_t pid) {
    enum { RESIDENT = 1, SHARED = 2 };
    unsigned long long pages[6];
    char number[16];
    snprintf(number, sizeof number, "%d", (int)pid);
    if (!statm(number, pages) || pages[RESIDENT] < pages[SHARED])
        return 0;
    return (pages[RESIDENT] - pages[SHARED]) * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t cw_process_data_bytes(void) {
    enum { DATA = 5 }; /* and the stack */
    unsigned long long pages[6];
    return statm("self", pages) ? pages[DATA] * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* ---- of processes that have ended ---- */

void cw_process_sweep(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/dev/shm/__KMP_REGISTERED_LIB_%d_%d", (int)pid, (int)getuid());
    unlink(path);
}

/* A zombie is gone, but where the kernel has no descriptor of it. */
static void await_one(pid_t pid, int64_t until) {
    int fd = cw_process_descriptor(pid);
    if (fd < 0 && errno == ESRCH)
        return;
    int64_t left;
    while ((left = until - cw_now_ns()) > 0) {
        struct pollfd gone = {.fd = fd, .events = POLLIN};
        int ms = (int)(left / 1000000) + 1;
        if (fd < 0 && kill(pid, 0) != 0 && errno == ESRCH)
            break;
        if (poll(&gone, fd >= 0, fd >= 0 ? ms : 1) > 0)
            break;
    }
    if (fd >= 0)
        close(fd);
}

void cw_process_await_gone(const pid_t *pids, int count, double seconds) {
    int64_t until = cw_now_ns() + (int64_t)(seconds * 1e9);
    for (int i = 0; i < count; i++)
        if (pids[i] > 0)
            await_one(pids[i], until);
}

void cw_process_describe_status(int status, char *buf, size_t cap) {
    if (WIFSIGNALED(status)) {
        char name[64];
        snprintf(name, sizeof name, "%s", strsignal(WTERMSIG(status)));
        if (name[0] >= 'A' && name[0] <= 'Z')
            name[0] = (char)(name[0] - 'A' + 'a');
        snprintf(buf, cap, "killed by signal %d (%s)", WTERMSIG(status), name);
    } else {
        snprintf(buf, cap, "ended by its own exit with code %d", WEXITSTATUS(status));
    }
}
