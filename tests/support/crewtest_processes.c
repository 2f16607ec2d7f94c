/* support/crewtest_processes.c - the processes of a test: whose they are, and helpers, which
 * are this program again. See crewtest.h. */
#include "crewtest.h"

#include "crewtest_parts.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- whose they are --------------------------------------------------------- */

int crewtest_count_records(const char *path, int delimiter, const char *a, const char *b) {
    FILE *file = fopen(path, "re");
    char *record = NULL;
    size_t cap = 0;
    int n = 0;
    while (file && getdelim(&record, &cap, delimiter, file) > 0)
        n += strstr(record, a) || strstr(record, b);
    free(record);
    if (file)
        fclose(file);
    return n;
}

struct process {
    pid_t pid, parent;
    char state;
    bool ours;
};

/* "pid (name) S parent ...", where the name may hold anything. */
static bool read_stat(pid_t pid, struct process *p) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *end = strrchr(text, ')');
    int parent;
    p->pid = pid;
    p->ours = false;
    if (!end || sscanf(end + 1, " %c %d", &p->state, &parent) != 2)
        return false;
    p->parent = parent;
    return true;
}

/* By the mapping of the cells, which forked processes keep, or by the
 * environment, which a spawned one has before it has mapped them. */
static bool has_mark(pid_t pid) {
    char path[64], mapping[256], setting[64];
    int creator = atoi(getenv("CREW_TEST_SCRATCH") + strlen("/proc/"));
    snprintf(mapping, sizeof mapping, "/memfd:crewtest-%d ", creator);
    snprintf(setting, sizeof setting, "CREW_TEST_SCRATCH=/proc/%d/fd/", creator);
    if (crewtest_on_ranks()) /* the launcher has the environment, too */
        snprintf(mapping, sizeof mapping, "%s", getenv("CREW_TEST_SCRATCH"));
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    if (crewtest_count_records(path, '\n', mapping, mapping))
        return true;
    if (crewtest_on_ranks())
        return false;
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    return crewtest_count_records(path, 0, setting, setting) > 0;
}

static int read_processes(struct process *all, int cap) {
    DIR *dir = opendir("/proc");
    int n = 0;
    for (struct dirent *e; dir && n < cap && (e = readdir(dir));)
        if (isdigit((unsigned char)e->d_name[0]) && read_stat(atoi(e->d_name), &all[n]))
            n++;
    if (dir)
        closedir(dir);
    for (int i = 0; i < n; i++)
        all[i].ours = has_mark(all[i].pid);
    return n;
}

/* Children of what is ours are ours: zombies have neither maps nor environment. */
static void mark_descendants(struct process *all, int n) {
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n && !all[i].ours; j++) {
                if (all[j].pid == all[i].parent && all[j].ours) {
                    all[i].ours = true;
                    changed = true;
                }
            }
        }
    }
}

int crewtest_family(pid_t *pids, int cap) {
    enum { MOST = 16384 };
    struct process *all = calloc(MOST, sizeof *all);
    if (!all)
        crewtest_give_up("processes");
    int n = read_processes(all, MOST);
    int found = 0;
    mark_descendants(all, n);
    for (int i = 0; i < n; i++) {
        if (!all[i].ours || all[i].pid == getpid())
            continue;
        if (found < cap)
            pids[found] = all[i].pid;
        found++;
    }
    free(all);
    return found;
}

pid_t crewtest_parent(pid_t pid) {
    struct process p;
    return read_stat(pid, &p) ? p.parent : 0;
}

char crewtest_state(pid_t pid) {
    struct process p;
    return read_stat(pid, &p) ? p.state : 0;
}

/* ---- helpers ------------------------------------------------------------ */

extern char **environ;

/* The environment with the settings first: the first of two equal names counts. */
static char **environment_with(const char *const *settings) {
    size_t n = 0, more = 0;
    while (environ[n])
        n++;
    while (settings && settings[more])
        more++;
    char **all = calloc(n + more + 1, sizeof *all);
    if (!all)
        crewtest_give_up("environment");
    if (more)
        memcpy((void *)all, (const void *)settings, more * sizeof *all);
    memcpy((void *)(all + more), (void *)environ, n * sizeof *all);
    return all;
}

pid_t crewtest_helper(const char *mode, const char *const *settings, int *out) {
    static const int terminal[] = {SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGTSTP, SIGPIPE};
    int ends[2] = {-1, -1};
    crewtest_need_helpers();
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, usual;
    if (out && pipe2(ends, O_CLOEXEC) != 0)
        crewtest_give_up("pipe");
    posix_spawn_file_actions_init(&files);
    if (out)
        posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                        POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&attr, 0);
    /* A shell's background jobs ignore some, which exec would pass on. */
    sigemptyset(&none);
    sigemptyset(&usual);
    for (size_t i = 0; i < sizeof terminal / sizeof *terminal; i++)
        sigaddset(&usual, terminal[i]);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &usual);

    char **env = environment_with(settings);
    char *argv[] = {(char *)"helper", (char *)(uintptr_t)mode, NULL};
    pid_t pid = 0;
    fflush(stdout);
    errno = posix_spawn(&pid, "/proc/self/exe", &files, &attr, argv, env);
    if (errno)
        crewtest_give_up("helper");
    free((void *)env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    if (out) {
        close(ends[1]);
        *out = ends[0];
    }
    return pid;
}

int crewtest_helper_wait(pid_t pid, double seconds) {
    double limit = crewtest_now() + seconds;
    int status = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (crewtest_now() > limit) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            fail_msg("the helper had not ended after %g s", seconds);
        }
        crewtest_pause();
    }
    return status;
}

char *crewtest_read_all(int fd, double seconds, size_t *size) {
    double limit = crewtest_now() + seconds;
    size_t cap = 4096, n = 0;
    char *text = malloc(cap);
    for (;;) {
        if (!text)
            crewtest_give_up("read");
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        double left = limit - crewtest_now();
        if (left <= 0 || poll(&ready, 1, (int)(left * 1000) + 1) <= 0)
            break;
        ssize_t got = read(fd, text + n, cap - n - 1);
        if (got <= 0)
            break;
        n += (size_t)got;
        if (n + 1 == cap)
            text = realloc(text, cap *= 2);
    }
    text[n] = 0;
    close(fd);
    if (size)
        *size = n;
    return text;
}

int crewtest_helper_run(const char *mode, const char *const *settings, double seconds,
                        char **text) {
    int fd;
    pid_t pid = crewtest_helper(mode, settings, &fd);
    char *all = crewtest_read_all(fd, seconds, NULL);
    int status = crewtest_helper_wait(pid, seconds);
    if (text)
        *text = all;
    else
        free(all);
    return status;
}

crew_pool *crewtest_open_here(int workers) {
    crew_error err;
    const crew_pool_opts opts = crewtest_opts(workers);
    crew_pool *p = crew_pool_open(&opts, &err);
    crewtest_check(p, "%s", err.text);
    return p;
}

void crewtest_die(const char *file, int line, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    _exit(1);
}
