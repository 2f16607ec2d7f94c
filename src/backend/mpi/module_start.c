/* Who the ranks are: MPI is started, or joined where it is the program's own; nodes, their
 * leaders, and the memory that the ranks of a node may have in common. */
#include "backend/mpi/module_impl.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* THREADS: one thread makes all calls, which is MPI_THREAD_FUNNELED. Open MPI 4.1
 * then takes its locks, as with any level but the lowest, and waits for ever for one
 * that it holds itself when the connection to a dead node fails in the middle of a
 * large message (btl/tcp: endpoint_close calls back into endpoint_send). With the
 * lowest level it takes none. Its own threads do not depend on them: all programs
 * that call MPI_Init run so, with threads of OpenMP or without. Where tasks call MPI, too,
 * it has to be MPI_THREAD_MULTIPLE (many_threads), and that is to be borne. */
#ifdef OPEN_MPI
#define STRANGER "MPICH" /* in the name of a library that was not meant */
#define THREADS MPI_THREAD_SINGLE
#else
#define STRANGER "Open MPI"
#define THREADS MPI_THREAD_FUNNELED
#endif

struct cw_module cw_module;

/* ---- errors -------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) int cw_module_refuse(crew_error *err, int code,
                                                           const char *fmt, ...) {
    if (!err)
        return code;
    *err = (crew_error){.code = code, .item = -1, .worker = -1};
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    return code;
}

int cw_module_failed(crew_error *err, const char *what, int rc) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int length;
    MPI_Error_string(rc, text, &length);
    return cw_module_refuse(err, CREW_EBROKEN, "%s failed: %.180s", what, text);
}

/* ---- start --------------------------------------------------------------- */

/* MPI must not be interrupted, and must not die of a connection that a dead node has
 * left (SIGPIPE goes to the thread that writes). Threads that it starts inherit what
 * is blocked. Faults of its own are faults. */
static void block_signals(void) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t set;
    sigfillset(&set);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&set, faults[i]);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Some of MPI's parts take signals for themselves: those of faults, to print where
 * it happened; MPICH takes SIGUSR1, to be told of dead ranks; Open MPI ignores
 * SIGPIPE. In a program that knows nothing of MPI signals are the program's. */
static int init(int *provided) {
    struct sigaction before[NSIG];
    block_signals();
    for (int s = 1; s < NSIG; s++)
        if (sigaction(s, NULL, &before[s]) != 0)
            before[s].sa_handler = SIG_ERR;
    cw_module_choose();
    int rc = MPI_Init_thread(NULL, NULL, cw_module.many_threads ? MPI_THREAD_MULTIPLE : THREADS,
                             provided);
    cw_module_chosen();
    for (int s = 1; s < NSIG; s++)
        if (before[s].sa_handler != SIG_ERR && s != SIGKILL && s != SIGSTOP)
            sigaction(s, &before[s], NULL);
    return rc;
}

/* The rank's number in CREW_TEST_NODES. -1: the list is not as it should be, which
 * every rank finds alike, so none waits for another that has given up. */
static int test_node(const char *list, int rank) {
    int numbers[256], count = 0;
    while (*list) {
        char *end;
        long number = strtol(list, &end, 10);
        if (end == list || number < 0 || number > INT_MAX || (*end && *end != ',') ||
            count == (int)(sizeof numbers / sizeof *numbers))
            return -1;
        numbers[count++] = (int)number;
        list = end + (*end == ',');
    }
    return numbers[rank % count];
}

static int split_nodes(MPI_Comm *node, crew_error *err) {
    int rank = cw_module.place.rank, rc;
    const char *test = getenv("CREW_TEST_NODES");
    if (test && *test) {
        int colour = test_node(test, rank);
        if (colour < 0)
            return cw_module_refuse(err, CREW_EINVAL, "CREW_TEST_NODES=%.60s is no list of numbers",
                                    test);
        rc = MPI_Comm_split(cw_module.world, colour, rank, node);
    } else {
        rc = MPI_Comm_split_type(cw_module.world, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, node);
    }
    return rc == MPI_SUCCESS ? 0 : cw_module_failed(err, "MPI_Comm_split_type", rc);
}

/* Numbers the nodes. heads: the lowest rank of each rank's node. */
static void number_nodes(struct cw_mpi_place *place, const int *heads) {
    for (int r = 0; r < place->size; r++) {
        place->nodes += heads[r] == r;
        place->node += heads[r] == r && r < heads[place->rank];
    }
}

/* A communicator of our own: its messages are nobody else's, nor are its errors. */
static int own_world(crew_error *err) {
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    int rc = MPI_Comm_dup(MPI_COMM_WORLD, &cw_module.world);
    if (rc != MPI_SUCCESS)
        return cw_module_failed(err, "MPI_Comm_dup", rc);
    MPI_Comm_set_errhandler(cw_module.world, MPI_ERRORS_RETURN);
    MPI_Comm_rank(cw_module.world, &cw_module.place.rank);
    MPI_Comm_size(cw_module.world, &cw_module.place.size);
    return 0;
}

/* Everybody's node, by the lowest rank of each. */
static int find_nodes(MPI_Comm node, crew_error *err) {
    struct cw_mpi_place *place = &cw_module.place;
    int head = place->rank;
    int *heads = malloc((size_t)place->size * sizeof *heads);
    if (!heads)
        return cw_module_refuse(err, CREW_ENOMEM, "there is no memory for %d ranks", place->size);
    MPI_Comm_rank(node, &place->node_rank);
    MPI_Comm_size(node, &place->node_size);
    int rc = MPI_Bcast(&head, 1, MPI_INT, 0, node);
    if (rc == MPI_SUCCESS)
        rc = MPI_Allgather(&head, 1, MPI_INT, heads, 1, MPI_INT, cw_module.world);
    if (rc == MPI_SUCCESS)
        number_nodes(place, heads);
    free(heads);
    return rc == MPI_SUCCESS ? 0 : cw_module_failed(err, "MPI_Allgather", rc);
}

static int join_leaders(crew_error *err) {
    const struct cw_mpi_place *place = &cw_module.place;
    int colour = place->node_rank == 0 ? 0 : MPI_UNDEFINED;
    int rc = MPI_Comm_split(cw_module.world, colour, place->rank, &cw_module.leaders);
    if (rc != MPI_SUCCESS)
        return cw_module_failed(err, "MPI_Comm_split", rc);
    if (cw_module.leaders == MPI_COMM_NULL)
        return 0;
    MPI_Comm_set_errhandler(cw_module.leaders, MPI_ERRORS_RETURN);
    int *most, known = 0;
    MPI_Comm_get_attr(cw_module.leaders, MPI_TAG_UB, &most, &known);
    cw_module.tag_most = known ? *most : 32767;
    cw_module.peers = calloc((size_t)place->nodes, sizeof *cw_module.peers);
    cw_module.busy = calloc((size_t)place->nodes, sizeof *cw_module.busy);
    if (!cw_module.peers || !cw_module.busy)
        return cw_module_refuse(err, CREW_ENOMEM, "there is no memory for %d nodes", place->nodes);
    return 0;
}

static int place_us(crew_error *err) {
    MPI_Comm node;
    int rc = split_nodes(&node, err);
    if (rc == 0) {
        rc = find_nodes(node, err);
        MPI_Comm_free(&node);
    }
    return rc ? rc : join_leaders(err);
}

const char *cw_module_library(void) {
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length = 0;
    MPI_Get_library_version(text, &length);
    text[strcspn(text, "\n")] = '\0';
    return text;
}

void cw_module_many_threads(void) {
    cw_module.many_threads = true;
}

int cw_module_start(struct cw_mpi_place *place, crew_error *err) {
    int before = 0;
    MPI_Initialized(&before);
    if (before)
        return cw_module_refuse(
            err, CREW_EINVAL,
            "the program has called MPI_Init itself: MPI is its own, use crew_mpi_pool");
    if (strstr(cw_module_library(), STRANGER))
        return cw_module_refuse(
            err, CREW_ENOTSUP,
            "this crew module is built for another MPI than the program has loaded "
            "(%.80s)",
            cw_module_library());
    cw_module.world = cw_module.leaders = MPI_COMM_NULL;
    int provided = MPI_THREAD_SINGLE, rc = init(&provided);
    if (rc != MPI_SUCCESS)
        return cw_module_failed(err, "MPI_Init_thread", rc);
    rc = own_world(err);
    if (rc == 0 && cw_module.many_threads && provided < MPI_THREAD_MULTIPLE)
        rc = cw_module_refuse(err, CREW_ENOTSUP,
                              "CREW_ISOLATE=0 needs an MPI that several threads may call at once "
                              "(MPI_THREAD_MULTIPLE), which this one was built without: %.80s",
                              cw_module_library());
    if (rc == 0)
        rc = place_us(err);
    *place = cw_module.place;
    return rc;
}

/* ---- inside a program's own MPI ------------------------------------------ */

/* All or none of the ranks go on; alike, without a message between two of them. */
static int agree(MPI_Comm comm, const struct cw_mpi_joint *joint, crew_error *err) {
    int rank, size, say[3], all[3];
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    say[0] = joint->busy ? rank : size;
    say[1] = joint->root;
    say[2] = -joint->root;
    int rc = MPI_Allreduce(say, all, 3, MPI_INT, MPI_MIN, comm);
    if (rc != MPI_SUCCESS)
        return cw_module_failed(err, "MPI_Allreduce", rc);
    if (all[1] != -all[2])
        return cw_module_refuse(err, CREW_EINVAL, "the ranks name several roots, from %d to %d",
                                all[1], -all[2]);
    if (all[1] < 0 || all[1] >= size)
        return cw_module_refuse(err, CREW_EINVAL,
                                "root is %d: the communicator has ranks from 0 to %d", all[1],
                                size - 1);
    if (all[0] < size)
        return cw_module_refuse(
            err, CREW_EINVAL,
            "rank %d has, or serves, another pool of crew_mpi_pool: one at a time is "
            "possible in a process",
            all[0]);
    return 0;
}

void cw_module_free_pool(void) {
    if (cw_module.joint && cw_module.at_finalize)
        cw_module.at_finalize();
}

/* By MPI's own MPI_Finalize, if that is what the program has called (a tool that stands before
 * all libraries may have, and who names MPI first when linking); or by ourselves. */
static int finalizes(MPI_Comm comm, int key, void *value, void *extra) {
    (void)comm, (void)key, (void)value, (void)extra;
    cw_module.finalizes = true;
    cw_module_free_pool();
    return MPI_SUCCESS;
}

static int watch_finalize(crew_error *err) {
    int rc = MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, finalizes, &cw_module.key, NULL);
    if (rc == MPI_SUCCESS)
        rc = MPI_Comm_set_attr(MPI_COMM_SELF, cw_module.key, NULL);
    return rc == MPI_SUCCESS ? 0 : cw_module_failed(err, "MPI_Comm_set_attr", rc);
}

/* `orderly`: all do it, and nobody has anything on its way to another. */
void cw_module_part(bool orderly) {
    void (*none)(void) = NULL;
    cw_module.at_finalize = none;
    if (cw_module.key != MPI_KEYVAL_INVALID && !cw_module.finalizes) {
        MPI_Comm_delete_attr(MPI_COMM_SELF, cw_module.key);
        MPI_Comm_free_keyval(&cw_module.key);
    }
    if (orderly && cw_module.leaders != MPI_COMM_NULL)
        MPI_Comm_free(&cw_module.leaders);
    if (orderly && cw_module.world != MPI_COMM_NULL)
        MPI_Comm_free(&cw_module.world);
    free(cw_module.peers);
    free(cw_module.busy);
    free(cw_module.tickets);
    memset(&cw_module, 0, sizeof cw_module);
}

int cw_module_join(const struct cw_mpi_joint *joint, void (*at_finalize)(void),
                   struct cw_mpi_place *place, crew_error *err) {
    MPI_Comm comm = *(const MPI_Comm *)joint->comm;
    int rank, rc = agree(comm, joint, err);
    if (rc < 0)
        return rc;
    memset(&cw_module, 0, sizeof cw_module);
    cw_module.joint = true;
    cw_module.world = cw_module.leaders = MPI_COMM_NULL;
    cw_module.key = MPI_KEYVAL_INVALID;
    MPI_Comm_rank(comm, &rank);
    rc = MPI_Comm_split(comm, 0, rank == joint->root ? 0 : rank + 1, &cw_module.world);
    if (rc != MPI_SUCCESS)
        return cw_module_failed(err, "MPI_Comm_split", rc);
    MPI_Comm_set_errhandler(cw_module.world, MPI_ERRORS_RETURN);
    MPI_Comm_rank(cw_module.world, &cw_module.place.rank);
    MPI_Comm_size(cw_module.world, &cw_module.place.size);
    rc = place_us(err);
    if (rc == 0 && cw_module.place.rank == 0) {
        cw_module.at_finalize = at_finalize;
        rc = watch_finalize(err);
    }
    *place = cw_module.place;
    if (rc < 0)
        cw_module_part(false);
    return rc;
}

#ifdef MPICH_VERSION
/* Where a window comes to lie is for the kernel to say. MPICH 4.0 looks for an address that is
 * free in all ranks, and then, in ranks that own none of the window, maps the whole of it as
 * far before that address as it is long: over what lies there (MAP_FIXED), which it has not
 * looked at. How often it tries is a setting of its own; after so many times it asks for no
 * address. So that is none while the window is made. */
static int place_by_kernel(MPI_T_cvar_handle *tries, int *before, crew_error *err) {
    static const char *const names[] = {"MPIR_CVAR_SHM_SYMHEAP_RETRY",
                                        "MPIR_CVAR_CH4_SHM_SYMHEAP_RETRY"};
    const int none = 0;
    int level, index, count, rc = MPI_T_init_thread(MPI_THREAD_SINGLE, &level);
    if (rc != MPI_SUCCESS)
        return cw_module_failed(err, "MPI_T_init_thread", rc);
    rc = MPI_T_cvar_get_index(names[0], &index);
    if (rc != MPI_SUCCESS)
        rc = MPI_T_cvar_get_index(names[1], &index);
    if (rc == MPI_SUCCESS)
        rc = MPI_T_cvar_handle_alloc(index, NULL, tries, &count);
    if (rc == MPI_SUCCESS && MPI_T_cvar_read(*tries, before) == MPI_SUCCESS &&
        MPI_T_cvar_write(*tries, &none) == MPI_SUCCESS)
        return 0;
    MPI_T_finalize();
    return cw_module_refuse(err, CREW_ENOTSUP,
                            "CREW_SEGMENT=window: this MPICH (%.80s) cannot be told to leave the "
                            "place of a window to the kernel: leave CREW_SEGMENT as it is (memfd)",
                            cw_module_library());
}
#endif

static int allocate_shared(MPI_Aint bytes, crew_error *err) {
    void *mine;
#ifdef MPICH_VERSION
    MPI_T_cvar_handle tries;
    int before, trouble = place_by_kernel(&tries, &before, err);
    if (trouble < 0)
        return trouble;
#endif
    int rc = MPI_Win_allocate_shared(bytes, 1, MPI_INFO_NULL, cw_module.node, &mine,
                                     &cw_module.window);
#ifdef MPICH_VERSION
    MPI_T_cvar_write(tries, &before);
    MPI_T_cvar_handle_free(&tries);
    MPI_T_finalize();
#endif
    return rc == MPI_SUCCESS ? 0 : cw_module_failed(err, "MPI_Win_allocate_shared", rc);
}

int cw_module_window(size_t size, void **memory, crew_error *err) {
    *memory = NULL;
    bool alone = cw_module.place.node_size == 1; /* MPI would take private memory */
    size_t guarded = size + 2 * (size_t)getpagesize();
    MPI_Aint bytes = cw_module.place.node_rank == 0 ? (MPI_Aint)guarded : 0;
    /* Of all ranks, also where other nodes have several and this one has not. */
    int unit, rc = MPI_Comm_split(cw_module.world, alone ? MPI_UNDEFINED : cw_module.place.node,
                                  cw_module.place.rank, &cw_module.node);
    if (rc != MPI_SUCCESS)
        return cw_module_failed(err, "MPI_Comm_split", rc);
    if (alone)
        return 0;
    rc = allocate_shared(bytes, err);
    if (rc < 0)
        return rc;
    cw_module.has_window = true;
    rc = MPI_Win_shared_query(cw_module.window, 0, &bytes, &unit, memory);
    return rc == MPI_SUCCESS ? 0 : cw_module_failed(err, "MPI_Win_shared_query", rc);
}

int cw_module_exchange(const void *mine, size_t size, void *all, crew_error *err) {
    if (size > INT_MAX)
        return cw_module_refuse(err, CREW_EINVAL, "%zu bytes a rank are too many to exchange",
                                size);
    int rc = MPI_Allgather(mine, (int)size, MPI_BYTE, all, (int)size, MPI_BYTE, cw_module.world);
    return rc == MPI_SUCCESS ? 0 : cw_module_failed(err, "MPI_Allgather", rc);
}
