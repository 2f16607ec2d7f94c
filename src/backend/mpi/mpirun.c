#include "backend/mpi/mpirun.h"

#include "os/clock.h"
#include "os/process.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How long it is given: to end by itself, to remove its files when it is told to, and to end
 * a job when it has noticed a silence. */
enum { BY_ITSELF_MS = 3000, WHEN_TOLD_MS = 1000, HAVING_NOTICED_MS = 3000 };

static const char *value(char *const *environment, const char *name) {
    size_t n = strlen(name);
    for (; *environment; environment++)
        if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=')
            return *environment + n + 1;
    return NULL;
}

static int number(char *const *environment, const char *name, int usual) {
    const char *text = value(environment, name);
    long n = text ? strtol(text, NULL, 10) : usual;
    return n < 0 ? 0 : n > 1000000 ? 1000000 : (int)n;
}

/* The last probe is given as long as all others. What is usual is Open MPI's. */
static int notices_after(char *const *environment) {
    int idle = number(environment, "OMPI_MCA_oob_tcp_keepalive_time", 300);
    int64_t every = number(environment, "OMPI_MCA_oob_tcp_keepalive_intvl", 20),
            probes = number(environment, "OMPI_MCA_oob_tcp_keepalive_probes", 9),
            after = idle + every * probes;
    return idle == 0 ? 0 : after > 1000000 ? 1000000 : (int)after;
}

void cw_mpirun_find(char *const *environment, struct cw_mpirun *mpirun) {
    const char *recovers = value(environment, "OMPI_MCA_orte_enable_recovery");
    *mpirun = (struct cw_mpirun){
        .plain = value(environment, "OMPI_MCA_orte_hnp_uri") &&
                 (!recovers || !*recovers || strchr("0fFnN", *recovers)),
        .notices_s = notices_after(environment),
    };
    /* Its folder for this job is called by its pid, that of a daemon is not. */
    const char *folder = value(environment, "PMIX_SERVER_TMPDIR"), *name;
    char *end;
    if (!mpirun->plain || !folder || !(name = strrchr(folder, '/')) ||
        strncmp(name, "/pid.", 5) != 0)
        return;
    long pid = strtol(name + 5, &end, 10);
    if (pid > 1 && pid <= INT_MAX && !*end)
        mpirun->pid = (pid_t)pid;
}

/* ---- whether it is the one ---- */

static pid_t parent_of(pid_t pid) {
    char path[64], text[512], *name_ends;
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[n] = '\0';
    if (!(name_ends = strrchr(text, ')')) || sscanf(name_ends + 1, " %*c %d", &parent) != 1)
        return 0;
    return (pid_t)parent;
}

static bool is_above_us(pid_t pid) {
    enum { FAR = 64 };
    pid_t at = getppid();
    for (int n = 0; n < FAR && at > 1 && at != pid; n++)
        at = parent_of(at);
    return at == pid;
}

static bool is_called_so(pid_t pid) {
    static const char *const names[] = {"orterun", "mpirun", "mpiexec"};
    char path[64], exe[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t n = readlink(path, exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    const char *name = strrchr(exe, '/');
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (strncmp(name + 1, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* ---- its end ---- */

struct ending {
    int mpirun, us; /* descriptors of processes */
};

static bool ended_within(int process, int ms) {
    struct pollfd end = {.fd = process, .events = POLLIN};
    return poll(&end, 1, ms) != 0; /* if it cannot be told, nothing is done */
}

static void send(int process, int signal) {
#ifdef SYS_pidfd_send_signal
    syscall(SYS_pidfd_send_signal, process, signal, NULL, 0);
#else
    (void)process;
    (void)signal;
#endif
}

/* In a process of its own, out of the group that mpirun ends. It holds nothing of the
 * rank's: while somebody has its output open mpirun would wait for more of it. */
static void await_end(void *arg) {
    const struct ending e = *(const struct ending *)arg;
    setsid();
    cw_process_name("crew-mpirun");
    for (int fd = 0, most = (int)sysconf(_SC_OPEN_MAX); fd < most && fd < 65536; fd++)
        if (fd != e.mpirun && fd != e.us)
            close(fd);
    ended_within(e.us, -1);
    if (!ended_within(e.mpirun, BY_ITSELF_MS))
        send(e.mpirun, SIGTERM);
    if (!ended_within(e.mpirun, WHEN_TOLD_MS))
        send(e.mpirun, SIGKILL);
    _exit(0);
}

bool cw_mpirun_ends_after_us(const struct cw_mpirun *mpirun) {
    if (!mpirun->plain || !mpirun->pid)
        return false;
    /* First the descriptor: whoever it is, it stays that one. */
    struct ending e = {.mpirun = cw_process_descriptor(mpirun->pid),
                       .us = cw_process_descriptor(getpid())};
    bool well = e.mpirun >= 0 && e.us >= 0 && is_called_so(mpirun->pid) &&
                is_above_us(mpirun->pid) && cw_process_orphan(await_end, &e, NULL) == 0;
    if (e.mpirun >= 0)
        close(e.mpirun);
    if (e.us >= 0)
        close(e.us);
    return well;
}

void cw_mpirun_await(const struct cw_mpirun *mpirun, int64_t since_ns) {
    if (!mpirun->plain || !mpirun->notices_s)
        return;
    /* Linux lets a long timer of TCP's run an eighth longer. */
    int64_t until = since_ns + mpirun->notices_s * INT64_C(1125000000), now = cw_now_ns();
    /* It may have noticed just now. */
    until = (until > now ? until : now) + HAVING_NOTICED_MS * INT64_C(1000000);
    while ((now = cw_now_ns()) < until)
        poll(NULL, 0, (int)((until - now) / 1000000 % 1000) + 1);
}
