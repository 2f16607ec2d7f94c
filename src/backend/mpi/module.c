/* What goes between nodes, and the module's table: see module.h. All of a module is
 * compiled once for each MPI, with that one's mpi.h; it includes nothing of crew's that has
 * a source of its own.
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
#include "backend/mpi/module_impl.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    TAG = 1,
    LENT_TAG = 2,         /* the first of many */
    SENDING_PARCELS = 16, /* to a node, in MPI's hands */
};
static const size_t SENDING_BYTES = (size_t)CW_MPI_MESSAGE_MOST + (1 << 20);

/* ---- lists --------------------------------------------------------------- */

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

/* ---- what is lost -------------------------------------------------------- */

/* Parcels that nobody waits for any more but MPI may. */
static void lose(struct list *list) {
    while (list->first)
        put(&cw_module.lost, take(list));
}

/* Looks at one of them; there may be some that never complete. */
static void look_at_lost(void) {
    if (!cw_module.lost.first)
        return;
    struct parcel *parcel = take(&cw_module.lost);
    int done = 0;
    if (MPI_Test(&parcel->request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS || done)
        drop(parcel);
    else
        put(&cw_module.lost, parcel);
}

static struct peer *peer_of(int node) {
    assert(cw_module.leaders != MPI_COMM_NULL && node >= 0 && node < cw_module.place.nodes);
    return &cw_module.peers[node];
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
    abandon((int)(peer - cw_module.peers));
}

/* ---- sending ------------------------------------------------------------- */

static void keep_busy(int node) {
    if (cw_module.peers[node].busy)
        return;
    cw_module.peers[node].busy = true;
    cw_module.busy[cw_module.busy_count++] = node;
}

/* Takes back what MPI has done with, in order, and gives it what there is room for. */
static void push(struct peer *peer) {
    int node = (int)(peer - cw_module.peers), done = 1;
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
        if (MPI_Isend(next->data, (int)next->size, MPI_BYTE, node, TAG, cw_module.leaders,
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

/* True: a message has arrived. Open MPI looks first and lets come in what has arrived then,
 * so that it is the second look that sees it; else a poll would find what had come before
 * the last one. */
static bool probe(MPI_Message *message, MPI_Status *status) {
    int there = 0;
    for (int look = 0; look < 2 && !there; look++)
        if (MPI_Improbe(MPI_ANY_SOURCE, TAG, cw_module.leaders, &there, message, status) !=
            MPI_SUCCESS)
            return false;
    return there;
}

/* Begins to receive the next message that has arrived. False: there is none. */
static bool match(struct peer **from) {
    MPI_Message message;
    MPI_Status status;
    int size = 0;
    struct parcel *parcel = malloc(sizeof *parcel);
    if (!parcel || !probe(&message, &status)) {
        free(parcel);
        return false;
    }
    MPI_Get_count(&status, MPI_BYTE, &size);
    struct peer *peer = &cw_module.peers[status.MPI_SOURCE];
    *parcel = (struct parcel){.request = MPI_REQUEST_NULL, .size = (size_t)size};
    parcel->data = malloc(parcel->size + !parcel->size);
    *from = peer;
    if (!parcel->data ||
        MPI_Imrecv(parcel->data, size, MPI_BYTE, &message, &parcel->request) != MPI_SUCCESS) {
        drop(parcel);
        breaks(peer);
        return true;
    }
    put(peer->abandoned ? &cw_module.lost : &peer->coming, parcel);
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
    *node = (int)(peer - cw_module.peers);
    *data = parcel->data;
    *size = parcel->size;
    free(parcel);
    return 1;
}

/* Looks once at every node with something under way, from the one after the last. */
static int drive(int *node, void **data, size_t *size) {
    for (int left = cw_module.busy_count; left > 0; left--) {
        if (cw_module.turn >= cw_module.busy_count)
            cw_module.turn = 0;
        int i = cw_module.turn++;
        struct peer *peer = &cw_module.peers[cw_module.busy[i]];
        push(peer);
        if (collect(peer, node, data, size))
            return 1;
        if (!peer->sending.first && !peer->coming.first) {
            peer->busy = false;
            cw_module.busy[i] = cw_module.busy[--cw_module.busy_count];
            cw_module.turn = i;
        }
    }
    return 0;
}

/* Open MPI's, in libopen-pal; another MPI has none. Returns what it was. */
extern bool opal_progress_set_yield_when_idle(bool yields) __attribute__((weak));

/* Where ranks share cores Open MPI gives way (sched_yield) whenever it has looked and found
 * nothing (mpi_yield_when_idle), and is then away for as long as workers like, which is
 * milliseconds. That is right for blocking calls, which look without end; who looks now and
 * then and sleeps in between would only be late. */
static void look_and_sleep(bool begins) {
    if (begins == cw_module.sleeps || cw_module.joint || cw_module.many_threads ||
        !opal_progress_set_yield_when_idle)
        return;
    cw_module.sleeps = begins;
    if (begins)
        cw_module.yields = opal_progress_set_yield_when_idle(false);
    else
        opal_progress_set_yield_when_idle(cw_module.yields);
}

static int receive(int *node, void **data, size_t *size) {
    struct peer *from;
    look_and_sleep(true);
    look_at_lost();
    if (drive(node, data, size))
        return 1;
    while (match(&from)) {
        /* The first that is under way is also the next to be handed out. */
        if (collect(from, node, data, size))
            return 1;
        if (from->coming.first)
            keep_busy((int)(from - cw_module.peers));
    }
    return 0;
}

/* ---- communicators of tasks ----------------------------------------------- */

static int gather(const int32_t *ranks, int count, int tag, void *comm, size_t size,
                  crew_error *err) {
    MPI_Group all = MPI_GROUP_NULL, some = MPI_GROUP_NULL;
    MPI_Comm made = MPI_COMM_NULL;
    if (size != sizeof made)
        return cw_module_refuse(
            err, CREW_EMISMATCH,
            "the program was compiled with the mpi.h of another MPI than " CW_MPI_FLAVOUR);
    int rc =
        count == 1 ? MPI_Comm_dup(MPI_COMM_SELF, &made) : MPI_Comm_group(cw_module.world, &all);
    if (count > 1 && rc == MPI_SUCCESS)
        rc = MPI_Group_incl(all, count, ranks, &some);
    if (count > 1 && rc == MPI_SUCCESS)
        rc = MPI_Comm_create_group(cw_module.world, some, tag, &made);
    if (some != MPI_GROUP_NULL)
        MPI_Group_free(&some);
    if (all != MPI_GROUP_NULL)
        MPI_Group_free(&all);
    if (rc != MPI_SUCCESS)
        return cw_module_failed(err, "MPI_Comm_create_group", rc);
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
    for (int i = 0; i < cw_module.ticket_count; i++)
        if (cw_module.tickets[i].node < 0)
            return i;
    int count = cw_module.ticket_count ? 2 * cw_module.ticket_count : 32;
    struct ticket *more = realloc(cw_module.tickets, (size_t)count * sizeof *more);
    if (!more)
        return CREW_ENOMEM;
    for (int i = cw_module.ticket_count; i < count; i++)
        more[i] = (struct ticket){.request = MPI_REQUEST_NULL, .node = -1};
    cw_module.tickets = more;
    int first = cw_module.ticket_count;
    cw_module.ticket_count = count;
    return first;
}

static int lent_tag(int tag) {
    return LENT_TAG + tag % (cw_module.tag_most - LENT_TAG);
}

static int lend(int node, int tag, const void *data, size_t size) {
    int i = peer_of(node)->abandoned ? CREW_EBROKEN : new_ticket();
    if (i < 0)
        return i;
    if (MPI_Isend(data, (int)size, MPI_BYTE, node, lent_tag(tag), cw_module.leaders,
                  &cw_module.tickets[i].request) != MPI_SUCCESS)
        return CREW_EBROKEN;
    cw_module.tickets[i].node = node;
    cw_module.tickets[i].borrowed = false;
    return i;
}

static int borrow(int node, int tag, void *to, size_t size) {
    int i = peer_of(node)->abandoned ? CREW_EBROKEN : new_ticket();
    if (i < 0)
        return i;
    if (MPI_Irecv(to, (int)size, MPI_BYTE, node, lent_tag(tag), cw_module.leaders,
                  &cw_module.tickets[i].request) != MPI_SUCCESS)
        return CREW_EBROKEN;
    cw_module.tickets[i].node = node;
    cw_module.tickets[i].borrowed = true;
    return i;
}

static int fetch(int node, uint64_t at, void *to, size_t size) {
    int i = !cw_module.reaches || peer_of(node)->abandoned ? CREW_EBROKEN : new_ticket();
    if (i < 0)
        return i;
    if (MPI_Rget(to, (int)size, MPI_BYTE, node, (MPI_Aint)at, (int)size, MPI_BYTE,
                 cw_module.reach, &cw_module.tickets[i].request) != MPI_SUCCESS)
        return CREW_EBROKEN;
    cw_module.tickets[i].node = node;
    cw_module.tickets[i].borrowed = false; /* a read cannot be cancelled */
    return i;
}

/* Nobody asks for that request any more, but MPI may be at it. */
static void lose_request(MPI_Request request) {
    struct parcel *parcel = malloc(sizeof *parcel);
    if (!parcel)
        return;
    *parcel = (struct parcel){.request = request};
    put(&cw_module.lost, parcel);
}

static int settled(int number) {
    struct ticket *ticket = &cw_module.tickets[number];
    int done = 0, rc = MPI_Test(&ticket->request, &done, MPI_STATUS_IGNORE);
    if (rc == MPI_SUCCESS && !done && !cw_module.peers[ticket->node].abandoned)
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
        for (int n = 0; n < cw_module.place.nodes && !entered; n++)
            left += unsent(n);
        if (!entered && left == 0)
            entered = MPI_Ibarrier(cw_module.leaders, &barrier) == MPI_SUCCESS || (done = 1);
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
    if (!orderly && cw_module.joint)
        cw_module_part(false);
    if (!orderly || (MPI_Finalized(&over) == MPI_SUCCESS && over))
        return;
    if (cw_module.leaders != MPI_COMM_NULL && cw_module.place.nodes > 1)
        settle();
    look_and_sleep(false);
    cw_module_hide();
    if (cw_module.has_window) {
        MPI_Win_free(&cw_module.window);
        MPI_Comm_free(&cw_module.node);
    }
    if (cw_module.joint)
        cw_module_part(true);
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
    .flavour = CW_MPI_FLAVOUR,
    .start = cw_module_start,
    .join = cw_module_join,
    .window = cw_module_window,
    .exchange = cw_module_exchange,
    .send = send,
    .receive = receive,
    .unsent = unsent,
    .abandon = abandon,
    .broken = broken,
    .lend = lend,
    .borrow = borrow,
    .settled = settled,
    .expose = cw_module_expose,
    .fetch = fetch,
    .shown = cw_module_shown,
    .one_sided = cw_module_one_sided,
    .end = end,
    .abort = abort_all,
    .many_threads = cw_module_many_threads,
    .gather = gather,
    .disband = disband,
    .library = cw_module_library,
};
