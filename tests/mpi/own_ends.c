/* mpi/own_ends.c LEVEL HOW - pools in a program's own MPI that do not come to be, or do not end
 * as all had wished: nobody is left behind in crew_mpi_pool. Of four ranks of two nodes; run by
 * run.sh. LEVEL: funneled, multiple.
 *
 *     small  one rank cannot have its node's memory, or not find out what its machine is, or has a
 *            setting that does not go together with such pools: all hear of it at once, and
 *            the next pool works
 *     away   a node is silent for longer than CREW_NODE_TIMEOUT while the root works, and comes
 *            back: its ranks return, with the reason, and the root has whole results
 *     open   the root comes to MPI_Finalize with the pool open, and crew's thread is in MPI all
 *            the while
 *     past   the root comes to MPI's own MPI_Finalize so, as by way of a tool that is found before
 *            crew's */
#include "own.h"

#include <crew/crew.h>

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { COUNT = 200, NODE_1 = 2 /* its lowest rank */ };

static bool blind; /* hwloc fails here */

static int doubled(crew_call *call) {
    pause_ms(1);
    *CREW_OUT(call, int64_t) = 2 * *CREW_IN(call, int64_t);
    return 0;
}

static void use(crew_pool *pool) {
    int64_t out[COUNT];
    crew_error err;
    CHECK(crew_map_index(pool, doubled, COUNT, out, NULL, &err) == 0, "%s", err.text);
    for (int64_t i = 0; i < COUNT; i++)
        CHECK(out[i] == 2 * i, "item %d is %d", (int)i, (int)out[i]);
}

/* ---- small ---- */

/* libcrew finds this one before hwloc's. */
__attribute__((visibility("default"))) int hwloc_topology_load(void *topology);
int hwloc_topology_load(void *topology) {
    void *found = dlsym(RTLD_NEXT, "hwloc_topology_load");
    int (*real)(void *);
    memcpy(&real, &found, sizeof found);
    errno = ENOMEM;
    return blind || !found ? -1 : real(topology);
}

static void one_that_does_not_know_its_machine(int which) {
    crew_pool *pool;
    crew_error err;
    blind = rank == which;
    double began = now();
    int rc = crew_mpi_pool(MPI_COMM_WORLD, 0, NULL, &pool, &err);
    CHECK(rc < 0 && err.code == rc && !pool, "all get %d", rc);
    CHECK(strstr(err.text, "hwloc cannot read"), "%s", err.text);
    CHECK(which == 0 || strstr(err.text, "(rank 2)"), "%s", err.text);
    CHECK(now() - began < 10, "only after %g s", now() - began);
    blind = false;
    CHECK(crew_mpi_pool(MPI_COMM_WORLD, 0, NULL, &pool, &err) == 0, "%s", err.text);
    crew_pool_free(pool);
}

/* UCX, which MPICH uses, ends the program where it has no room for itself. */
#ifdef MPICH_VERSION
enum { MPI_BEARS_NO_ROOM = 0 };
#else
enum { MPI_BEARS_NO_ROOM = 1 };
#endif

static void limit_addresses(rlim_t bytes) {
    struct rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = bytes;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0, "no limit can be set");
}

/* A rank that leads no node. */
static void one_that_has_no_room(int which, int root) {
    char who[32];
    crew_pool *pool;
    crew_error err;
    if (rank == which)
        limit_addresses((rlim_t)8 << 30);
    snprintf(who, sizeof who, "rank %d ", which);
    double began = now();
    int rc = crew_mpi_pool(MPI_COMM_WORLD, root, NULL, &pool, &err);
    CHECK(rc < 0 && err.code == rc && !pool, "rank %d cannot, but all get %d", which, rc);
    CHECK(strncmp(err.text, who, strlen(who)) == 0, "%s", err.text);
    CHECK(now() - began < 10, "only after %g s", now() - began);
    if (rank == which)
        limit_addresses(RLIM_INFINITY);
    CHECK(crew_mpi_pool(MPI_COMM_WORLD, 0, NULL, &pool, &err) == 0, "%s", err.text);
    if (pool)
        use(pool);
    crew_pool_free(pool);
}

static void one_that_is_set_otherwise(void) {
    crew_pool *pool;
    crew_error err;
    crew_finalize();
    if (rank == 1)
        setenv("CREW_ISOLATE", "0", 1);
    int rc = crew_mpi_pool(MPI_COMM_WORLD, 3, NULL, &pool, &err);
    CHECK(rc == CREW_ENOTSUP && err.code == rc && !pool, "all get %d: %s", rc, err.text);
    CHECK(strstr(err.text, "rank 1 ") && strstr(err.text, "CREW_ISOLATE=0"), "%s", err.text);
}

/* ---- away ---- */

static void one_that_was_away(void) {
    crew_pool *pool;
    crew_error err;
    int pid = (int)getpid();
    MPI_Bcast(&pid, 1, MPI_INT, NODE_1, MPI_COMM_WORLD);
    int rc = crew_mpi_pool(MPI_COMM_WORLD, 0, NULL, &pool, &err);
    if (rank >= NODE_1) {
        CHECK(rc == CREW_EBROKEN && strstr(err.text, "took this node for lost"), "%d %s", rc,
              err.text);
        return;
    }
    CHECK(rc == 0, "%s", err.text);
    if (!pool)
        return;
    use(pool);
    CHECK(kill(pid, SIGSTOP) == 0, "pid %d", pid);
    double began = now();
    use(pool); /* what was sent there is waited for until it is lost */
    CHECK(now() - began > 0.9, "nothing was to be done there");
    CHECK(kill(pid, SIGCONT) == 0, "pid %d", pid);
    use(pool);
    crew_pool_free(pool);
}

/* ---- open ---- */

enum { WORDS = 4 << 20 };
static _Atomic bool ending, inside;
static MPI_Comm alone;

/* Copies, in a call of MPI that has its locks for nearly all of the time. */
static void be_inside(void) {
    static int out[WORDS], in[WORDS];
    double from = now();
    while (now() - from < 0.3) {
        PMPI_Sendrecv(out, WORDS, MPI_INT, 0, 0, in, WORDS, MPI_INT, 0, 0, alone,
                      MPI_STATUS_IGNORE);
        atomic_store(&inside, true);
    }
}

/* The agent looks for messages by this call, and the module finds this one before MPI's. */
__attribute__((visibility("default"))) int MPI_Improbe(int source, int tag, MPI_Comm comm,
                                                       int *flag, MPI_Message *message,
                                                       MPI_Status *status) {
    if (atomic_exchange(&ending, false))
        be_inside();
    return PMPI_Improbe(source, tag, comm, flag, message, status);
}

/* The other ranks serve until it is freed. */
static void one_that_is_open(bool agent) {
    crew_pool *pool;
    crew_error err;
    CHECK(crew_mpi_pool(MPI_COMM_WORLD, 0, NULL, &pool, &err) == 0, "%s", err.text);
    if (!pool)
        return;
    use(pool);
    if (!agent)
        return;
    MPI_Comm_dup(MPI_COMM_SELF, &alone);
    atomic_store(&ending, true);
    for (double from = now(); !atomic_load(&inside);)
        CHECK(now() - from < 10, "the agent does not look");
}

int main(int argc, char **argv) {
    int have, wanted = argc > 1 && strcmp(argv[1], "multiple") == 0 ? MPI_THREAD_MULTIPLE
                                                                     : MPI_THREAD_FUNNELED;
    MPI_Init_thread(&argc, &argv, wanted, &have);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    CHECK(have >= wanted && argc > 2, "LEVEL HOW");
    bool past = strcmp(argv[2], "past") == 0;
    if (strcmp(argv[2], "small") == 0) {
        if (MPI_BEARS_NO_ROOM) {
            one_that_has_no_room(0, 2);
            one_that_has_no_room(3, 0);
        }
        one_that_does_not_know_its_machine(0);
        one_that_does_not_know_its_machine(NODE_1);
        one_that_is_set_otherwise();
    } else if (strcmp(argv[2], "open") == 0) {
        one_that_is_open(true);
    } else if (past) {
        one_that_is_open(false);
    } else {
        one_that_was_away();
    }
    if (past)
        PMPI_Finalize();
    else
        MPI_Finalize();
    if (rank == 0)
        printf("ok - own_ends: %s, %s\n", argv[1], argv[2]);
    return 0;
}
