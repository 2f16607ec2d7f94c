/* Processes of ours: signals, limits, names. */
#include "os/process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void nothing(int signal) {
    (void)signal;
}

void cw_process_signals(void) {
    for (int s = 1; s < NSIG; s++) {
        struct sigaction old;
        if (s == SIGKILL || s == SIGSTOP || sigaction(s, NULL, &old) != 0)
            continue;
        if ((old.sa_flags & SA_SIGINFO) ||
            (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN))
            signal(s, SIG_DFL);
    }
    struct sigaction quiet = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &quiet, NULL);
    sigaction(SIGQUIT, &quiet, NULL);
    cw_process_unblock();
}

void cw_process_unblock(void) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
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

void cw_process_clean_environment(void) {
    static const char *const prefixes[] = {"OMPI_", "PMIX_", "PMI_",   "PMI2_",
                                           "ORTE_", "OPAL_", "HYDRA_", "HYDI_"};
    for (size_t i = 0; environ && environ[i];) {
        const char *equals = strchr(environ[i], '=');
        bool drop = false;
        for (size_t p = 0; p < sizeof prefixes / sizeof *prefixes; p++)
            drop = drop || strncmp(environ[i], prefixes[p], strlen(prefixes[p])) == 0;
        if (!drop || !equals) {
            i++;
            continue;
        }
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)(equals - environ[i]), environ[i]);
        if (unsetenv(name) != 0 || (size_t)(equals - environ[i]) >= sizeof name)
            i++;
    }
}

int cw_process_descriptor(pid_t pid) {
#ifdef SYS_pidfd_open
    return (int)syscall(SYS_pidfd_open, pid, 0);
#else
    (void)pid;
    return -1;
#endif
}

uint64_t cw_process_private_bytes(pid_t pid) {
    char path[64], text[128];
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    unsigned long long size, resident, shared;
    if (sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3 || resident < shared)
        return 0;
    return (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
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
