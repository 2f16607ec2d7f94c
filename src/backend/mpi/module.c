/* What a module of MPI does: see module.h. Compiled once for each MPI, with that
 * one's mpi.h; it includes nothing of crew's that has a source of its own.
 *
 * A message to a node waits in its peer's list `waiting` until there is room in
 * `sending`, where MPI has it. So what MPI holds of a node that takes nothing is
 * bounded, and the rest is forgotten at once when the node is abandoned. Messages
 * that come are matched as they arrive (MPI_Improbe) and received into memory of
 * their own (MPI_Imrecv), which does not block: a sender that dies in mid-message
 * holds up nobody. They are handed out in the order in which they were matched,
 * node by node.
 *
 * What MPI was in the middle of when a node was abandoned it may still write to or
 * read from at any time: such parcels go to `lost`, and are freed if they complete. */
#include "backend/mpi/module.h"

#include <assert.h>
#include <limits.h>
#include <mpi.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* THREADS: one thread makes all calls, which is MPI_THREAD_FUNNELED. Open MPI 4.1
 * then takes its locks, as with any level but the lowest, and waits for ever for one
 * that it holds itself when the connection to a dead node fails in the middle of a
 * large message (btl/tcp: endpoint_close calls back into endpoint_send). With the
 * lowest level it takes none. Its own threads do not depend on them: all programs
 * that call MPI_Init run so, with threads of OpenMP or without. Where tasks call MPI, too,
 * it has to be MPI_THREAD_MULTIPLE (many_threads), and that is to be borne. */
#ifdef OPEN_MPI
#define FLAVOUR "openmpi"
#define STRANGER "MPICH" /* in the name of a library that was not meant */
#define THREADS MPI_THREAD_SINGLE
#else
#define FLAVOUR "mpich"
#define STRANGER "Open MPI"
#define THREADS MPI_THREAD_FUNNELED
#endif

enum {
    TAG = 1,
    LENT_TAG = 2, /* the first of many */
    SENDING_PARCELS = 16, /* to a node, in MPI's hands */
};
static const size_t SENDING_BYTES = (size_t)CW_MPI_MESSAGE_MOST + (1 << 20);

struct parcel {
    struct parcel *next;
    MPI_Request request;
    void *data;
    size_t size;
};

struct list {
    struct parcel *first, *last;
};

/* What MPI reads from or writes to in the caller's memory. */
struct ticket {
    MPI_Request request;
    int node; /* -1: free */
    bool borrowed;
};

struct peer {
    struct list waiting, sending, coming;
    int sending_parcels;
    size_t sending_bytes;
    size_t unsent; /* bytes and messages of waiting and sending */
    bool abandoned, broken;
    bool busy; /* in the list below */
};

/* MPI is one a process, and so is this. Owner: the thread that makes the calls. */
static struct {
    struct cw_mpi_place place;
    MPI_Comm world;   /* all ranks: for `exchange` */
    MPI_Comm leaders; /* MPI_COMM_NULL: this rank is none. The rank in it is the node */
    struct peer *peers;
    int *busy; /* nodes with parcels under way */
    int busy_count, turn;
    struct list lost;
    bool many_threads;
    bool has_window;
    MPI_Win window; /* of the ranks of a node: */
    MPI_Comm node;
    /* where MPI is the program's own */
    bool joint;
    int key;       /* of the attribute by which MPI_Finalize tells us; MPI_KEYVAL_INVALID */
    bool finalizes; /* it has */
    void (*at_finalize)(void);
    struct ticket *tickets;
    int ticket_count, tag_most;
} mpi;

/* ---- errors and lists ---------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static int refuse(crew_error *err, int code, const char *fmt,
                                                        ...) {
    if (!err)
        return code;
    *err = (crew_error){.code = code, .item = -1, .worker = -1};
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    return code;
}

static int mpi_failed(crew_error *err, const char *what, int rc) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int length;
    MPI_Error_string(rc, text, &length);
    return refuse(err, CREW_EBROKEN, "%s failed: %.180s", what, text);
}

static void put(struct list *list, struct parcel *parcel) {
    parcel->next = NULL;
    if (list->last)
        list->last->next = parcel;
    else
        list->first = parcel;
    list->last = parcel;
}

static struct parcel *take(struct list *list) {
    struct parcel *parcel = list->first;
    list->first = parcel->next;
    if (!list->first)
        list->last = NULL;
    return parcel;
}

static void drop(struct parcel *parcel) {
    free(parcel->data);
    free(parcel);
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
    int rc = MPI_Init_thread(NULL, NULL, mpi.many_threads ? MPI_THREAD_MULTIPLE : THREADS,
                             provided);
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
    int rank = mpi.place.rank, rc;
    const char *test = getenv("CREW_TEST_NODES");
    if (test && *test) {
        int colour = test_node(test, rank);
        if (colour < 0)
            return refuse(err, CREW_EINVAL, "CREW_TEST_NODES=%.60s is no list of numbers", test);
        rc = MPI_Comm_split(mpi.world, colour, rank, node);
    } else {
        rc = MPI_Comm_split_type(mpi.world, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, node);
    }
    return rc == MPI_SUCCESS ? 0 : mpi_failed(err, "MPI_Comm_split_type", rc);
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
    int rc = MPI_Comm_dup(MPI_COMM_WORLD, &mpi.world);
    if (rc != MPI_SUCCESS)
        return mpi_failed(err, "MPI_Comm_dup", rc);
    MPI_Comm_set_errhandler(mpi.world, MPI_ERRORS_RETURN);
    MPI_Comm_rank(mpi.world, &mpi.place.rank);
    MPI_Comm_size(mpi.world, &mpi.place.size);
    return 0;
}

/* Everybody's node, by the lowest rank of each. */
static int find_nodes(MPI_Comm node, crew_error *err) {
    struct cw_mpi_place *place = &mpi.place;
    int head = place->rank;
    int *heads = malloc((size_t)place->size * sizeof *heads);
    if (!heads)
        return refuse(err, CREW_ENOMEM, "there is no memory for %d ranks", place->size);
    MPI_Comm_rank(node, &place->node_rank);
    MPI_Comm_size(node, &place->node_size);
    int rc = MPI_Bcast(&head, 1, MPI_INT, 0, node);
    if (rc == MPI_SUCCESS)
        rc = MPI_Allgather(&head, 1, MPI_INT, heads, 1, MPI_INT, mpi.world);
    if (rc == MPI_SUCCESS)
        number_nodes(place, heads);
    free(heads);
    return rc == MPI_SUCCESS ? 0 : mpi_failed(err, "MPI_Allgather", rc);
}

static int join_leaders(crew_error *err) {
    const struct cw_mpi_place *place = &mpi.place;
    int colour = place->node_rank == 0 ? 0 : MPI_UNDEFINED;
    int rc = MPI_Comm_split(mpi.world, colour, place->rank, &mpi.leaders);
    if (rc != MPI_SUCCESS)
        return mpi_failed(err, "MPI_Comm_split", rc);
    if (mpi.leaders == MPI_COMM_NULL)
        return 0;
    MPI_Comm_set_errhandler(mpi.leaders, MPI_ERRORS_RETURN);
    int *most, known = 0;
    MPI_Comm_get_attr(mpi.leaders, MPI_TAG_UB, &most, &known);
    mpi.tag_most = known ? *most : 32767;
    mpi.peers = calloc((size_t)place->nodes, sizeof *mpi.peers);
    mpi.busy = calloc((size_t)place->nodes, sizeof *mpi.busy);
    if (!mpi.peers || !mpi.busy)
        return refuse(err, CREW_ENOMEM, "there is no memory for %d nodes", place->nodes);
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

static const char *library(void) {
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length = 0;
    MPI_Get_library_version(text, &length);
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static void many_threads(void) {
    mpi.many_threads = true;
}

static int start(struct cw_mpi_place *place, crew_error *err) {
    int before = 0;
    MPI_Initialized(&before);
    if (before)
        return refuse(err, CREW_EINVAL,
                      "the program has called MPI_Init itself: MPI is its own, use crew_mpi_pool");
    if (strstr(library(), STRANGER))
        return refuse(err, CREW_ENOTSUP,
                      "this crew module is built for another MPI than the program has loaded "
                      "(%.80s)",
                      library());
    mpi.world = mpi.leaders = MPI_COMM_NULL;
    int provided = MPI_THREAD_SINGLE, rc = init(&provided);
    if (rc != MPI_SUCCESS)
        return mpi_failed(err, "MPI_Init_thread", rc);
    rc = own_world(err);
    if (rc == 0 && mpi.many_threads && provided < MPI_THREAD_MULTIPLE)
        rc = refuse(err, CREW_ENOTSUP,
                    "CREW_ISOLATE=0 needs an MPI that several threads may call at once "
                    "(MPI_THREAD_MULTIPLE), which this one was built without: %.80s",
                    library());
    if (rc == 0)
        rc = place_us(err);
    *place = mpi.place;
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
        return mpi_failed(err, "MPI_Allreduce", rc);
    if (all[1] != -all[2])
        return refuse(err, CREW_EINVAL, "the ranks name several roots, from %d to %d", all[1],
                      -all[2]);
    if (all[1] < 0 || all[1] >= size)
        return refuse(err, CREW_EINVAL, "root is %d: the communicator has ranks from 0 to %d",
                      all[1], size - 1);
    if (all[0] < size)
        return refuse(err, CREW_EINVAL,
                      "rank %d has, or serves, another pool of crew_mpi_pool: one at a time is "
                      "possible in a process",
                      all[0]);
    return 0;
}

/* By MPI_Finalize, before anything else of it; or by ourselves. */
static int finalizes(MPI_Comm comm, int key, void *value, void *extra) {
    (void)comm, (void)key, (void)value, (void)extra;
    if (mpi.joint && mpi.at_finalize) {
        mpi.finalizes = true;
        mpi.at_finalize();
    }
    return MPI_SUCCESS;
}

static int watch_finalize(crew_error *err) {
    int rc = MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, finalizes, &mpi.key, NULL);
    if (rc == MPI_SUCCESS)
        rc = MPI_Comm_set_attr(MPI_COMM_SELF, mpi.key, NULL);
    return rc == MPI_SUCCESS ? 0 : mpi_failed(err, "MPI_Comm_set_attr", rc);
}

/* `orderly`: all do it, and nobody has anything on its way to another. */
static void part(bool orderly) {
    void (*none)(void) = NULL;
    mpi.at_finalize = none;
    if (mpi.key != MPI_KEYVAL_INVALID && !mpi.finalizes) {
        MPI_Comm_delete_attr(MPI_COMM_SELF, mpi.key);
        MPI_Comm_free_keyval(&mpi.key);
    }
    if (orderly && mpi.leaders != MPI_COMM_NULL)
        MPI_Comm_free(&mpi.leaders);
    if (orderly && mpi.world != MPI_COMM_NULL)
        MPI_Comm_free(&mpi.world);
    free(mpi.peers);
    free(mpi.busy);
    free(mpi.tickets);
    memset(&mpi, 0, sizeof mpi);
}

static int join(const struct cw_mpi_joint *joint, void (*at_finalize)(void),
                struct cw_mpi_place *place, crew_error *err) {
    MPI_Comm comm = *(const MPI_Comm *)joint->comm;
    int rank, rc = agree(comm, joint, err);
    if (rc < 0)
        return rc;
    memset(&mpi, 0, sizeof mpi);
    mpi.joint = true;
    mpi.world = mpi.leaders = MPI_COMM_NULL;
    mpi.key = MPI_KEYVAL_INVALID;
    MPI_Comm_rank(comm, &rank);
    rc = MPI_Comm_split(comm, 0, rank == joint->root ? 0 : rank + 1, &mpi.world);
    if (rc != MPI_SUCCESS)
        return mpi_failed(err, "MPI_Comm_split", rc);
    MPI_Comm_set_errhandler(mpi.world, MPI_ERRORS_RETURN);
    MPI_Comm_rank(mpi.world, &mpi.place.rank);
    MPI_Comm_size(mpi.world, &mpi.place.size);
    rc = place_us(err);
    if (rc == 0 && mpi.place.rank == 0) {
        mpi.at_finalize = at_finalize;
        rc = watch_finalize(err);
    }
    *place = mpi.place;
    if (rc < 0)
        part(false);
    return rc;
}

static int window(size_t size, void **memory, crew_error *err) {
    MPI_Aint bytes = mpi.place.node_rank == 0 ? (MPI_Aint)(size + 2 * (size_t)getpagesize()) : 0;
    void *mine;
    *memory = NULL;
    if (mpi.place.node_size == 1) /* MPI would take private memory */
        return 0;
#ifdef MPICH_VERSION
    /* 4.0 puts them where it believes a gap to be: for root that was address 0, at which
     * null pointers then point to memory, and after others allocations failed. */
    return refuse(err, CREW_ENOTSUP,
                  "the windows of MPICH are not where memory can safely be (node of %d ranks): leave "
                  "CREW_SEGMENT as it is (memfd)",
                  mpi.place.node_size);
#endif
    int unit, rc = MPI_Comm_split(mpi.world, mpi.place.node, mpi.place.rank, &mpi.node);
    if (rc != MPI_SUCCESS)
        return mpi_failed(err, "MPI_Comm_split", rc);
    rc = MPI_Win_allocate_shared(bytes, 1, MPI_INFO_NULL, mpi.node, &mine, &mpi.window);
    if (rc != MPI_SUCCESS)
        return mpi_failed(err, "MPI_Win_allocate_shared", rc);
    mpi.has_window = true;
    rc = MPI_Win_shared_query(mpi.window, 0, &bytes, &unit, memory);
    return rc == MPI_SUCCESS ? 0 : mpi_failed(err, "MPI_Win_shared_query", rc);
}

static int exchange(const void *mine, size_t size, void *all, crew_error *err) {
    if (size > INT_MAX)
        return refuse(err, CREW_EINVAL, "%zu bytes a rank are too many to exchange", size);
    int rc = MPI_Allgather(mine, (int)size, MPI_BYTE, all, (int)size, MPI_BYTE, mpi.world);
    return rc == MPI_SUCCESS ? 0 : mpi_failed(err, "MPI_Allgather", rc);
}

/* ---- what is lost -------------------------------------------------------- */

/* Parcels that nobody waits for any more but MPI may. */
static void lose(struct list *list) {
    while (list->first)
        put(&mpi.lost, take(list));
}

/* Looks at one of them; there may be some that never complete. */
static void look_at_lost(void) {
    if (!mpi.lost.first)
        return;
    struct parcel *parcel = take(&mpi.lost);
    int done = 0;
    if (MPI_Test(&parcel->request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS || done)
        drop(parcel);
    else
        put(&mpi.lost, parcel);
}

static struct peer *peer_of(int node) {
    assert(mpi.leaders != MPI_COMM_NULL && node >= 0 && node < mpi.place.nodes);
    return &mpi.peers[node];
}

static void abandon(int node) {
    struct peer *peer = peer_of(node);
    peer->abandoned = true;
    while (peer->waiting.first)
        drop(take(&peer->waiting));
    lose(&peer->sending);
    lose(&peer->coming);
    peer->unsent = 0;
}

static bool broken(int node) {
    return peer_of(node)->broken;
}

/* MPI said no: nothing that is whole and in order comes after this. */
static void breaks(struct peer *peer) {
    peer->broken = true;
    abandon((int)(peer - mpi.peers));
}

/* ---- sending ------------------------------------------------------------- */

static void keep_busy(int node) {
    if (mpi.peers[node].busy)
        return;
    mpi.peers[node].busy = true;
    mpi.busy[mpi.busy_count++] = node;
}

/* Takes back what MPI has done with, in order, and gives it what there is room for. */
static void push(struct peer *peer) {
    int node = (int)(peer - mpi.peers), done = 1;
    for (;;) {
        while (peer->sending.first && done) {
            struct parcel *parcel = peer->sending.first;
            if (MPI_Test(&parcel->request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) {
                breaks(peer);
                return;
            }
            if (!done)
                break;
            peer->sending_parcels--;
            peer->sending_bytes -= parcel->size;
            peer->unsent -= parcel->size + 1;
            drop(take(&peer->sending));
        }
        struct parcel *next = peer->waiting.first;
        if (!next || peer->sending_parcels == SENDING_PARCELS ||
            (peer->sending.first && peer->sending_bytes + next->size > SENDING_BYTES))
            return;
        if (MPI_Isend(next->data, (int)next->size, MPI_BYTE, node, TAG, mpi.leaders,
                      &next->request) != MPI_SUCCESS) {
            breaks(peer);
            return;
        }
        put(&peer->sending, take(&peer->waiting));
        peer->sending_parcels++;
        peer->sending_bytes += next->size;
    }
}

static int send(int node, void *data, size_t size) {
    struct peer *peer = peer_of(node);
    struct parcel *parcel = NULL;
    int rc = size > CW_MPI_MESSAGE_MOST ? CREW_EINVAL : peer->abandoned ? CREW_EBROKEN : 0;
    if (rc == 0 && !(parcel = malloc(sizeof *parcel)))
        rc = CREW_ENOMEM;
    if (rc != 0) {
        free(data);
        return rc;
    }
    *parcel = (struct parcel){.request = MPI_REQUEST_NULL, .data = data, .size = size};
    put(&peer->waiting, parcel);
    peer->unsent += size + 1;
    push(peer);
    if (peer->sending.first)
        keep_busy(node);
    return peer->broken ? CREW_EBROKEN : 0;
}

static size_t unsent(int node) {
    struct peer *peer = peer_of(node);
    push(peer);
    return peer->unsent;
}

/* ---- receiving ----------------------------------------------------------- */

/* Begins to receive the next message that has arrived. False: there is none. */
static bool match(struct peer **from) {
    MPI_Message message;
    MPI_Status status;
    int there = 0, size = 0;
    struct parcel *parcel = malloc(sizeof *parcel);
    if (!parcel ||
        MPI_Improbe(MPI_ANY_SOURCE, TAG, mpi.leaders, &there, &message, &status) != MPI_SUCCESS ||
        !there) {
        free(parcel);
        return false;
    }
    MPI_Get_count(&status, MPI_BYTE, &size);
    struct peer *peer = &mpi.peers[status.MPI_SOURCE];
    *parcel = (struct parcel){.request = MPI_REQUEST_NULL, .size = (size_t)size};
    parcel->data = malloc(parcel->size + !parcel->size);
    *from = peer;
    if (!parcel->data ||
        MPI_Imrecv(parcel->data, size, MPI_BYTE, &message, &parcel->request) != MPI_SUCCESS) {
        drop(parcel);
        breaks(peer);
        return true;
    }
    put(peer->abandoned ? &mpi.lost : &peer->coming, parcel);
    return true;
}

/* 1: the peer's next message is there. */
static int collect(struct peer *peer, int *node, void **data, size_t *size) {
    int done = 0;
    if (!peer->coming.first)
        return 0;
    if (MPI_Test(&peer->coming.first->request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) {
        breaks(peer);
        return 0;
    }
    if (!done)
        return 0;
    struct parcel *parcel = take(&peer->coming);
    *node = (int)(peer - mpi.peers);
    *data = parcel->data;
    *size = parcel->size;
    free(parcel);
    return 1;
}

/* Looks once at every node with something under way, from the one after the last. */
static int drive(int *node, void **data, size_t *size) {
    for (int left = mpi.busy_count; left > 0; left--) {
        if (mpi.turn >= mpi.busy_count)
            mpi.turn = 0;
        int i = mpi.turn++;
        struct peer *peer = &mpi.peers[mpi.busy[i]];
        push(peer);
        if (collect(peer, node, data, size))
            return 1;
        if (!peer->sending.first && !peer->coming.first) {
            peer->busy = false;
            mpi.busy[i] = mpi.busy[--mpi.busy_count];
            mpi.turn = i;
        }
    }
    return 0;
}

static int receive(int *node, void **data, size_t *size) {
    struct peer *from;
    look_at_lost();
    if (drive(node, data, size))
        return 1;
    while (match(&from)) {
        /* The first that is under way is also the next to be handed out. */
        if (collect(from, node, data, size))
            return 1;
        if (from->coming.first)
            keep_busy((int)(from - mpi.peers));
    }
    return 0;
}

/* ---- communicators of tasks ----------------------------------------------- */

static int gather(const int32_t *ranks, int count, int tag, void *comm, size_t size,
                  crew_error *err) {
    MPI_Group all = MPI_GROUP_NULL, some = MPI_GROUP_NULL;
    MPI_Comm made = MPI_COMM_NULL;
    if (size != sizeof made)
        return refuse(err, CREW_EMISMATCH,
                      "the program was compiled with the mpi.h of another MPI than " FLAVOUR);
    int rc = count == 1 ? MPI_Comm_dup(MPI_COMM_SELF, &made) : MPI_Comm_group(mpi.world, &all);
    if (count > 1 && rc == MPI_SUCCESS)
        rc = MPI_Group_incl(all, count, ranks, &some);
    if (count > 1 && rc == MPI_SUCCESS)
        rc = MPI_Comm_create_group(mpi.world, some, tag, &made);
    if (some != MPI_GROUP_NULL)
        MPI_Group_free(&some);
    if (all != MPI_GROUP_NULL)
        MPI_Group_free(&all);
    if (rc != MPI_SUCCESS)
        return mpi_failed(err, "MPI_Comm_create_group", rc);
    MPI_Comm_set_errhandler(made, MPI_ERRORS_ARE_FATAL);
    memcpy(comm, &made, sizeof made);
    return 0;
}

static void disband(void *comm) {
    MPI_Comm made;
    memcpy(&made, comm, sizeof made);
    MPI_Comm_free(&made);
}

/* ---- lending ------------------------------------------------------------- */

static int new_ticket(void) {
    for (int i = 0; i < mpi.ticket_count; i++)
        if (mpi.tickets[i].node < 0)
            return i;
    int count = mpi.ticket_count ? 2 * mpi.ticket_count : 32;
    struct ticket *more = realloc(mpi.tickets, (size_t)count * sizeof *more);
    if (!more)
        return CREW_ENOMEM;
    for (int i = mpi.ticket_count; i < count; i++)
        more[i] = (struct ticket){.request = MPI_REQUEST_NULL, .node = -1};
    mpi.tickets = more;
    int first = mpi.ticket_count;
    mpi.ticket_count = count;
    return first;
}

static int lent_tag(int tag) {
    return LENT_TAG + tag % (mpi.tag_most - LENT_TAG);
}

static int lend(int node, int tag, const void *data, size_t size) {
    int i = peer_of(node)->abandoned ? CREW_EBROKEN : new_ticket();
    if (i < 0)
        return i;
    if (MPI_Isend(data, (int)size, MPI_BYTE, node, lent_tag(tag), mpi.leaders,
                  &mpi.tickets[i].request) != MPI_SUCCESS)
        return CREW_EBROKEN;
    mpi.tickets[i].node = node;
    mpi.tickets[i].borrowed = false;
    return i;
}

static int borrow(int node, int tag, void *to, size_t size) {
    int i = peer_of(node)->abandoned ? CREW_EBROKEN : new_ticket();
    if (i < 0)
        return i;
    if (MPI_Irecv(to, (int)size, MPI_BYTE, node, lent_tag(tag), mpi.leaders,
                  &mpi.tickets[i].request) != MPI_SUCCESS)
        return CREW_EBROKEN;
    mpi.tickets[i].node = node;
    mpi.tickets[i].borrowed = true;
    return i;
}

/* Nobody asks for that request any more, but MPI may be at it. */
static void lose_request(MPI_Request request) {
    struct parcel *parcel = malloc(sizeof *parcel);
    if (!parcel)
        return;
    *parcel = (struct parcel){.request = request};
    put(&mpi.lost, parcel);
}

static int settled(int number) {
    struct ticket *ticket = &mpi.tickets[number];
    int done = 0, rc = MPI_Test(&ticket->request, &done, MPI_STATUS_IGNORE);
    if (rc == MPI_SUCCESS && !done && !mpi.peers[ticket->node].abandoned)
        return 0;
    if (rc == MPI_SUCCESS && !done) {
        if (ticket->borrowed)
            MPI_Cancel(&ticket->request);
        lose_request(ticket->request);
    }
    ticket->node = -1;
    return rc == MPI_SUCCESS && done ? 1 : CREW_EBROKEN;
}

/* ---- end ----------------------------------------------------------------- */

/* Between leaders: sends what there is to send and swallows what comes, until all
 * have nothing left to send. Without, a large message to somebody who does not
 * receive any more would hold up both in MPI_Finalize. */
static void settle(void) {
    const struct timespec nap = {.tv_nsec = 100000};
    MPI_Request barrier = MPI_REQUEST_NULL;
    bool entered = false;
    int done = 0;
    while (!done) {
        int node;
        void *data;
        size_t size, left = 0;
        while (receive(&node, &data, &size))
            free(data);
        for (int n = 0; n < mpi.place.nodes && !entered; n++)
            left += unsent(n);
        if (!entered && left == 0)
            entered = MPI_Ibarrier(mpi.leaders, &barrier) == MPI_SUCCESS || (done = 1);
        if (entered && MPI_Test(&barrier, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS)
            done = 1;
        if (!done)
            nanosleep(&nap, NULL);
    }
}

/* Not orderly: MPI is left as it is. MPI_Finalize waits for all ranks that the
 * launcher does not know to be dead; of a silent host it never does, and of a killed
 * rank Open MPI's sometimes does not, either. mpirun --enable-recovery takes a rank
 * that exits so for one that has ended, and removes what it leaves. */
static void end(bool orderly) {
    int over = 0;
    if (!orderly && mpi.joint)
        part(false);
    if (!orderly || (MPI_Finalized(&over) == MPI_SUCCESS && over))
        return;
    if (mpi.leaders != MPI_COMM_NULL && mpi.place.nodes > 1)
        settle();
    if (mpi.has_window) {
        MPI_Win_free(&mpi.window);
        MPI_Comm_free(&mpi.node);
    }
    if (mpi.joint)
        part(true);
    else
        MPI_Finalize();
}

static void abort_all(int code) {
    MPI_Abort(MPI_COMM_WORLD, code);
    _exit(code);
}

__attribute__((visibility("default"))) extern const struct cw_mpi cw_mpi_module;

const struct cw_mpi cw_mpi_module = {
    .table = CW_MPI_TABLE,
    .size = sizeof(struct cw_mpi),
    .flavour = FLAVOUR,
    .start = start,
    .join = join,
    .window = window,
    .exchange = exchange,
    .send = send,
    .receive = receive,
    .unsent = unsent,
    .abandon = abandon,
    .broken = broken,
    .lend = lend,
    .borrow = borrow,
    .settled = settled,
    .end = end,
    .abort = abort_all,
    .many_threads = many_threads,
    .gather = gather,
    .disband = disband,
    .library = library,
};
