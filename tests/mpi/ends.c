/* mpi/ends.c - ways in which programs over ranks end, all of them in the middle of a map
 * and with a daemon on each node.
 * However it is, all of the job is to be gone soon: tests/mpi/under looks after that.
 *
 *     returns    main returns 3, with no crew_finalize
 *     exits      exit(3) in a function
 *     finalizes  crew_finalize, then 3
 *     crashes    SIGSEGV in the manager
 *     killed     SIGKILL of the manager
 *     leader     SIGKILL of rank 1; the launcher is not to go on without it
 *     terminated SIGTERM of the manager */
#include "beside.h"

#include <crew/crew.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

enum { COUNT = 1000, WAIT_MS = 60000 };

static void pause_ms(int ms) {
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

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

static int end(const char *how) {
    beside_make("struck", 1);
    if (strcmp(how, "exits") == 0)
        exit(3);
    if (strcmp(how, "finalizes") == 0)
        crew_finalize();
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

int main(int argc, char **argv) {
    const struct rlimit no_core = {0, 0};
    const char *nodes = getenv("CREW_TEST_SEVERAL_NODES");
    crew_error err;
    setrlimit(RLIMIT_CORE, &no_core);
    beside_sign();
    if (crew_init(&argc, &argv) < 0)
        give_up(crew_last_error()->text);
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
    return end(argc > 1 ? argv[1] : "");
}
