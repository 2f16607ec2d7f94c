/* mpi/stop.c - a map over ranks that a signal stops, whichever rank gets it.
 *
 *     rankN   that rank
 *     all     all processes of the job: ranks, nurseries, workers, as srun does it
 *     lateN   rank N, with crew_stop_on only in the manager, after crew_init
 *     long    the manager, in items that last longer than the grace
 *     earlyN  rank N, while it starts
 *
 * Exit code 85, by crew_finalize; 1 and a sentence where something is not as it should be. */
#include "beside.h"
#include "pause.h"

#include <crew/crew.h>
#include <dirent.h>
#include <pthread.h>
#include <time.h>

enum { COUNT = 40000 };

static void give_up(const char *why, const char *more) {
    fprintf(stderr, "stop: %s %s\n", why, more);
    _exit(1);
}

static void tell(crew_call *call) {
    char name[32];
    snprintf(name, sizeof name, "began.%d", call->node);
    if (!beside_has(name))
        beside_make(name, 1);
}

static int slow_task(crew_call *call) {
    if (call->index % 64 == 0)
        tell(call);
    pause_ms(1);
    *CREW_OUT(call, int64_t) = 3 * call->index;
    return 0;
}

static int long_task(crew_call *call) {
    tell(call);
    pause_ms(120000);
    return 0;
}

static bool runs_this_program(int pid) {
    char self[512] = "", other[512] = "", path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        give_up("there is no /proc", "");
    return readlink(path, other, sizeof other - 1) > 0 && strcmp(self, other) == 0;
}

/* So are the launcher and the shells below it. */
static bool is_of_this_job(int pid) {
    char path[64], wanted[512], *text = NULL;
    size_t room = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    snprintf(wanted, sizeof wanted, "CREW_TEST_SCRATCH=%s", getenv("CREW_TEST_SCRATCH"));
    FILE *file = fopen(path, "r");
    while (file && !found && getdelim(&text, &room, '\0', file) > 0)
        found = strcmp(text, wanted) == 0;
    free(text);
    if (file)
        fclose(file);
    return found;
}

static void signal_all(int ranks) {
    DIR *dir = opendir("/proc");
    int found = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        int pid = atoi(entry->d_name);
        if (pid > 1 && runs_this_program(pid) && is_of_this_job(pid))
            found += kill(pid, SIGUSR1) == 0;
    }
    if (dir)
        closedir(dir);
    if (found < 3 * ranks)
        give_up("there are too few processes", "");
}

static int threads_of(pid_t pid) {
    char path[64];
    int found = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        found += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return found;
}

static bool is_rank(const char *rank) {
    const char *openmpi = getenv("OMPI_COMM_WORLD_RANK"), *other = getenv("PMI_RANK");
    const char *mine = openmpi ? openmpi : other;
    return mine && strcmp(mine, rank) == 0;
}

/* Above crew_init, where all ranks come by: that one has a process beside it, which signals it
 * once somebody makes the file strike. It may be on a host where its pid is somebody else's
 * than here. */
static void strike_when_told(const char *rank) {
    pid_t struck = getpid();
    if (!is_rank(rank) || fork() != 0)
        return;
    while (!beside_has("strike")) {
        if (getppid() != struck)
            _exit(0);
        pause_ms(10);
    }
    if (kill(struck, SIGUSR1) == 0)
        beside_make("stricken", (int)struck);
    _exit(0);
}

/* The same, as soon as it has a thread of crew's, long before MPI has started. */
static void strike_early(const char *rank) {
    pid_t struck = getpid();
    if (!is_rank(rank) || fork() != 0)
        return;
    for (int i = 0; i < 100000 && threads_of(struck) == 1; i++)
        usleep(100);
    kill(struck, SIGUSR1);
    _exit(0);
}

/* The map ends, though it would take an hour. */
static void stop_early(crew_pool *p) {
    enum { LONG = 64 };
    static int64_t out[LONG];
    crew_error err;
    int rc = crew_map_index(p, long_task, LONG, out, NULL, &err);
    if (rc != CREW_ESTOPPED || !strstr(err.text, "stopped by SIGUSR1"))
        give_up("the map said:", rc ? err.text : "nothing");
}

struct strike {
    const char *whom;
    int ranks, nodes;
};

static void await(const char *name, const char *why) {
    for (int i = 0; !beside_has(name); i++) {
        if (i == 3000)
            give_up(why, "");
        pause_ms(10);
    }
}

/* Once the map has begun on every node. */
static void *strike(void *arg) {
    const struct strike *s = arg;
    for (int node = 0; node < s->nodes; node++) {
        char name[32];
        snprintf(name, sizeof name, "began.%d", node);
        await(name, "the map does not begin");
    }
    if (strcmp(s->whom, "all") == 0) {
        signal_all(s->ranks);
    } else {
        beside_make("strike", 1);
        await("stricken", "a rank cannot be signalled");
    }
    return NULL;
}

/* The statuses tell what was done; what was done has its result. */
static int64_t check(const int *statuses, const int64_t *out) {
    int64_t done = 0;
    for (int64_t i = 0; i < COUNT; i++) {
        if (statuses[i] != 0 && statuses[i] != CREW_ESTOPPED)
            give_up("a status is neither 0 nor CREW_ESTOPPED", "");
        if (statuses[i] == 0 && out[i] != 3 * i)
            give_up("a result is missing", "");
        done += statuses[i] == 0;
    }
    return done;
}

int main(int argc, char **argv) {
    static int statuses[COUNT];
    static int64_t out[COUNT];
    const char *nodes = getenv("CREW_TEST_SEVERAL_NODES"), *all = getenv("OMPI_COMM_WORLD_SIZE");
    struct strike s = {argc > 1 ? argv[1] : "", all ? atoi(all) : 2, nodes ? 3 : 1};
    bool lasts = strcmp(s.whom, "long") == 0, late = strncmp(s.whom, "late", 4) == 0;
    crew_error err;
    pthread_t thread;
    bool early = strncmp(s.whom, "early", 5) == 0;
    beside_sign();
    if (lasts || early)
        setenv("CREW_STOP_GRACE", "0.5", 1);
    if (!late)
        crew_stop_on(SIGUSR1);
    if (early)
        strike_early(s.whom + 5);
    else if (strcmp(s.whom, "all") != 0)
        strike_when_told(lasts ? "0" : s.whom + 4);
    if (crew_init(&argc, &argv) < 0)
        give_up("crew_init:", crew_last_error()->text);
    if (late)
        crew_stop_on(SIGUSR1);
    crew_pool *p = crew_pool_open(NULL, &err);
    if (!p)
        give_up("crew_pool_open:", err.text);
    if (early) {
        stop_early(p);
        crew_pool_free(p);
        beside_make("struck", 1);
        return crew_finalize();
    }
    pthread_create(&thread, NULL, strike, &s);
    const crew_map_opts opts = {.statuses = statuses};
    int rc = crew_map_index(p, lasts ? long_task : slow_task, COUNT, out, &opts, &err);
    pthread_join(thread, NULL);
    if (rc != CREW_ESTOPPED || !strstr(err.text, "stopped by SIGUSR1 after "))
        give_up("the map said:", rc ? err.text : "nothing");
    int64_t done = check(statuses, out);
    if (lasts ? done != 0 : done == 0 || done == COUNT)
        give_up("what was done cannot be:", err.text);
    crew_stats stats;
    crew_pool_stats(p, -1, &stats);
    if (!lasts && (stats.restarts || stats.items != done))
        give_up("workers were lost, or ran what was not counted", "");
    if (crew_map_index(p, slow_task, 4, out, NULL, &err) != CREW_ESTOPPED)
        give_up("a map after the stop said:", err.text);
    crew_pool_free(p);
    beside_make("struck", 1);
    return crew_finalize();
}
