/* support/crewranks.c - see crewranks.h. */
#include "crewranks.h"

#include "crewtest.h"

#include "api/session.h"
#include "backend/fork/fork.h"
#include "os/process.h"
#include "team/head.h"

#include <fcntl.h>
#include <signal.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char VARIABLE[] = "CREW_TEST_FOLLOWER";
enum { MOST = 16 };

extern char **environ;

static struct {
    struct cw_berths *berths;
    _Atomic int32_t *pids; /* shared: whoever starts a follower writes it from outside */
    struct cw_quay *quay;
    uint64_t at;
    int count;
} self;

/* ---- a follower ---- */

void crewranks_serve_if_told(void) {
    const char *told = getenv(VARIABLE);
    struct cw_berth_post post = {
        .check = cw_head_check, .adopt = cw_session_adopt, .enter = cw_worker_enter};
    struct cw_berth_card *card = &post.leader;
    crew_error err;
    int status = 0;
    if (!told)
        return;
    if (sscanf(told, "%d,%d,%d,%" SCNu64 ",%" SCNu64 ",%" SCNu64, &post.mine, &card->pid,
               &card->fd, &card->device, &card->inode, &card->at) != 6)
        crewtest_die(__FILE__, __LINE__, "%s=%s", VARIABLE, told);
    unsetenv(VARIABLE);
    cw_affinity_get(&post.mask);
    int rc = cw_berth_serve(&post, &status, &err);
    if (rc < 0 && rc != CREW_EBROKEN)
        fprintf(stderr, "follower %d: %s\n", post.mine, err.text);
    crewtest_set(CELL_FOLLOWER + post.mine, rc < 0 ? rc : 1000 + status);
    crew_finalize();
    _exit(rc < 0 ? 99 : status);
}

/* ---- the leader ---- */

struct start {
    char *argv[3];
    char **environment;
};

static void become(void *arg) {
    const struct start *start = arg;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0); /* as launchers do it */
    execve("/proc/self/exe", start->argv, start->environment);
    _exit(127);
}

static void start_follower(int mine) {
    struct cw_berth_card card = cw_berths_card(self.berths);
    char value[160];
    size_t n = 0;
    while (environ[n])
        n++;
    struct start start = {.argv = {(char *)"follower", (char *)"follower", NULL},
                          .environment = calloc(n + 2, sizeof(char *))};
    snprintf(value, sizeof value, "%s=%d,%d,%d,%" PRIu64 ",%" PRIu64 ",%" PRIu64, VARIABLE, mine,
             card.pid, card.fd, card.device, card.inode, card.at);
    if (!start.environment)
        crewtest_die(__FILE__, __LINE__, "no memory");
    memcpy((void *)(start.environment + 1), (void *)environ, n * sizeof(char *));
    start.environment[0] = value;
    fflush(NULL);
    if (cw_process_orphan(become, &start, &self.pids[mine]) != 0)
        crewtest_die(__FILE__, __LINE__, "no follower could be started");
    free((void *)start.environment);
}

void crewranks_lead(int followers) {
    crew_error err;
    struct cw_session *s = cw_session_get(&err);
    cw_cpuset mask;
    if (s && cw_fork_server_there(&err) < 0)
        return; /* the environment wants threads, or none: so would the followers' */
    if (!s || followers >= MOST)
        crewtest_die(__FILE__, __LINE__, "%s", s ? "too many" : err.text);
    cw_affinity_get(&mask);
    self.count = followers + 1;
    self.pids = mmap(NULL, MOST * sizeof *self.pids, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    self.at = cw_alloc_zero(&s->arena, cw_quay_bytes(self.count), NULL, &err);
    self.quay = cw_ptr(&s->arena, self.at);
    self.berths = cw_berths_make(&s->own, self.at, s->bell, self.count, &mask, &err);
    if (self.pids == MAP_FAILED || !self.at || !self.berths)
        crewtest_die(__FILE__, __LINE__, "%s", err.text);
    for (int i = 1; i < self.count; i++)
        start_follower(i);
    int32_t pids[MOST] = {0};
    for (int i = 1; i < self.count; i++)
        pids[i] = atomic_load(&self.pids[i]);
    cw_berths_expect(self.berths, pids);
    if (cw_berths_await(self.berths, 30, &err) < 0)
        crewtest_die(__FILE__, __LINE__, "%s", err.text);
    s->berths = self.berths;
}

bool crewranks_end(int status, double seconds) {
    struct cw_session *s = cw_session_if_any();
    if (!self.berths)
        return true;
    bool all = true;
    if (s && s->berths == self.berths) {
        all = cw_berths_quit(self.berths, status, seconds);
        s->berths = NULL;
        cw_free(&s->arena, self.at);
    } else { /* the session has ended, and the quay with it */
        for (int i = 1; i < self.count; i++)
            kill(crewranks_pid(i), SIGKILL);
    }
    cw_berths_free(self.berths);
    self.berths = NULL;
    munmap((void *)self.pids, MOST * sizeof *self.pids);
    return all;
}

struct cw_berth_card crewranks_card(void) {
    return cw_berths_card(self.berths);
}

bool crewranks_is_full(int i) {
    return atomic_load(&self.quay->berth[i].full);
}

struct cw_berths *crewranks_berths(void) {
    return self.berths;
}

pid_t crewranks_pid(int i) {
    return atomic_load(&self.pids[i]);
}

pid_t crewranks_nursery(int i) {
    return i ? atomic_load(&self.quay->berth[i].nursery) : cw_fork_server()->pid;
}
