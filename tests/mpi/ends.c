/* mpi/ends.c - ways in which programs over ranks end, all but the last of them in the middle of
 * a map and with a daemon on each node.
 * However it is, all of the job is to be gone soon: tests/mpi/under looks after that.
 *
 *     returns    main returns 3, with no crew_finalize
 *     exits      exit(3) in a function
 *     finalizes  crew_finalize, then 3
 *     crashes    SIGSEGV in the manager
 *     killed     SIGKILL of the manager
 *     leader     SIGKILL of rank 1; the launcher is not to go on without it
 *     host       host h1 is killed; the launcher is not to go on without it
 *     silent     host h1 falls silent; the launcher, which does not notice, is not to wait for it
 *     unplugged H   host H falls silent, the manager's, mpirun's or neither's; mpirun looks after
 *                that, and all ends
 *     paused     all ranks are stopped for longer than the silence that is a loss, and go on
 *     last N     of six: SIGKILL of rank N, and at once crew_finalize, which is not held up
 *     terminated SIGTERM of the manager
 *     stalled N MS  rank N is stopped for so long, and at once crew_finalize: that is no loss, and
 *                the job ends in order */
#include "beside.h"
#include "pause.h"

#include <crew/crew.h>
#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum { COUNT = 1000, WAIT_MS = 60000, RANKS = 6 };

static int long_task(crew_call *call) {
    char name[32];
    snprintf(name, sizeof name, "began.%d", call->node);
    beside_make(name, 1);
    pause_ms(WAIT_MS);
    return 0;
}

static int daemon_of(crew_call *call) {
    (void)call;
    pause_ms(WAIT_MS);
    return 0;
}

static void give_up(const char *why) {
    fprintf(stderr, "ends: %s\n", why);
    _exit(97);
}

static int find_real(struct dl_phdr_info *object, size_t size, void *real) {
    void *library = strstr(object->dlpi_name, "/libmpi")
                        ? dlopen(object->dlpi_name, RTLD_NOLOAD | RTLD_LAZY)
                        : NULL;
    void *found = library ? dlsym(library, "PMPI_Finalize") : NULL;
    (void)size;
    memcpy(real, &found, sizeof found);
    return found != NULL;
}

/* MPI's, which whoever ends in order calls: this is found before it. It waits for all
 * ranks, so nobody is to call it where some are missing. */
__attribute__((visibility("default"))) int MPI_Finalize(void) {
    int (*real)(void) = NULL;
    beside_make("finalized", (int)getpid());
    if (!dl_iterate_phdr(find_real, &real))
        give_up("there is no PMPI_Finalize");
    return real();
}

/* The map has begun on every node. */
static void await_nodes(int nodes) {
    for (int node = 0; node < nodes; node++) {
        char name[32];
        snprintf(name, sizeof name, "began.%d", node);
        for (int i = 0; !beside_has(name); i++) {
            if (i == 3000)
                give_up("the map does not begin");
            pause_ms(10);
        }
    }
}

/* Once nobody else is left. */
static void look_who_finalized(void) {
    for (int rank = 1; rank < RANKS; rank++)
        for (int i = 0; beside_rank_is_there(rank); i++) {
            if (i == 400)
                give_up("some rank does not end");
            pause_ms(10);
        }
    if (beside_has("finalized"))
        give_up("MPI was ended as if all ranks were there");
}

/* By tests/mpi/under. */
static void have_done(const char *verb, const char *host, const char *more) {
    FILE *file = beside_open("ask", "w");
    if (!file || fprintf(file, "%s %s %s\n", verb, host, more) < 0 || fclose(file) != 0)
        give_up("there can be no file ask");
    pause_ms(WAIT_MS);
    give_up("the job goes on without a host");
}

/* It counts from when silence is a loss. */
static void strike_later(void) {
    const char *silence = getenv("CREW_NODE_TIMEOUT");
    FILE *file = beside_open("struck", "w");
    struct timespec times[2];
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec += silence ? atoi(silence) : 30;
    times[1] = times[0];
    if (!file || futimens(fileno(file), times) != 0 || fclose(file) != 0)
        give_up("there can be no file struck");
}

/* From a process of its own: SIGSTOP for three times what is a loss, then SIGCONT. */
static void pause_all(int ranks) {
    const char *silence = getenv("CREW_NODE_TIMEOUT");
    pid_t pid = silence ? fork() : -1;
    if (pid < 0)
        give_up("there is nobody to stop the ranks");
    if (pid == 0) {
        for (int rank = 0; rank < ranks; rank++)
            beside_signal_rank(rank, SIGSTOP);
        pause_ms(3000 * atoi(silence));
        for (int rank = 0; rank < ranks; rank++)
            beside_signal_rank(rank, SIGCONT);
        _exit(0);
    }
    if (waitpid(pid, NULL, 0) != pid)
        give_up("who stops the ranks is gone");
    pause_ms(2000 * atoi(silence)); /* who is not heard of now is lost then */
}

/* The rank goes on later, by a process of its own. */
static void stall(int rank, int ms) {
    if (!beside_signal_rank(rank, SIGSTOP))
        give_up("that rank is not to be stopped");
    pid_t pid = fork();
    if (pid < 0)
        give_up("there is nobody to let the rank go on");
    if (pid == 0) {
        pause_ms(ms);
        beside_signal_rank(rank, SIGCONT);
        _exit(0);
    }
}

static int asked(crew_call *call) {
    char name[32];
    snprintf(name, sizeof name, "there.%d", call->node);
    beside_make(name, 1);
    return 0;
}

static void look_for_nodes(int nodes) {
    crew_error err;
    crew_pool *p = crew_pool_open(&(crew_pool_opts){.workers = nodes}, &err);
    if (!p || crew_pool_each(p, asked, NULL, 0, &err) < 0)
        give_up(err.text);
    for (int node = 0; node < nodes; node++) {
        char name[32];
        snprintf(name, sizeof name, "there.%d", node);
        if (!beside_has(name))
            give_up("a node was taken for lost");
    }
    crew_pool_free(p);
}

static int end(const char *how, const char *which) {
    if (strcmp(how, "paused") == 0) {
        pause_all(3);
        look_for_nodes(3);
    }
    if (strcmp(how, "silent") == 0) {
        strike_later();
        have_done("unplug", "h1", "");
    }
    if (strcmp(how, "unplugged") == 0)
        have_done("unplug", which, getenv("CREW_NODE_TIMEOUT"));
    beside_make("struck", 1);
    if (strcmp(how, "host") == 0)
        have_done("kill", "h1", "");
    if (strcmp(how, "exits") == 0)
        exit(3);
    if (strcmp(how, "last") == 0 && !beside_kill_rank(atoi(which)))
        give_up("that rank is not to be killed");
    if (strcmp(how, "finalizes") == 0 || strcmp(how, "last") == 0)
        crew_finalize();
    if (strcmp(how, "last") == 0)
        look_who_finalized();
    if (strcmp(how, "finalizes") == 0 && !beside_has("finalized"))
        give_up("MPI was not ended");
    if (strcmp(how, "crashes") == 0)
        raise(SIGSEGV);
    if (strcmp(how, "killed") == 0)
        raise(SIGKILL);
    if (strcmp(how, "terminated") == 0)
        raise(SIGTERM);
    if (strcmp(how, "leader") == 0) {
        if (!beside_kill_rank(1))
            give_up("rank 1 is not to be killed");
        pause_ms(WAIT_MS);
    }
    return 3;
}

static int end_with_one_that_is_slow(int rank, int ms) {
    look_for_nodes(3);
    stall(rank, ms);
    crew_finalize();
    if (!beside_has("finalized"))
        give_up("MPI was not ended");
    return 0;
}

int main(int argc, char **argv) {
    const struct rlimit no_core = {0, 0};
    const char *nodes = getenv("CREW_TEST_SEVERAL_NODES");
    crew_error err;
    setrlimit(RLIMIT_CORE, &no_core);
    beside_sign();
    if (crew_init(&argc, &argv) < 0)
        give_up(crew_last_error()->text);
    if (argc > 3 && strcmp(argv[1], "stalled") == 0)
        return end_with_one_that_is_slow(atoi(argv[2]), atoi(argv[3]));
    crew_pool *p = crew_pool_open(NULL, &err);
    if (!p || !crew_map_async(p, long_task, NULL, 0, COUNT, NULL, 0, NULL, &err))
        give_up(err.text);
    await_nodes(nodes ? 3 : 1);
    for (int node = 0; node < (nodes ? 3 : 1); node++) {
        const crew_process_opts opts = {.node = node, .daemon = true};
        crew_process daemon;
        if (crew_process_start(&daemon, daemon_of, NULL, 0, &opts, &err) < 0)
            give_up(err.text);
        crew_process_pid(daemon); /* it is there */
    }
    return end(argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : "");
}
