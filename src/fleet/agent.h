/* fleet/agent.h - this process's place among the ranks of a job, and the thread that
 * alone speaks MPI.
 *
 * The agent loads the module, starts MPI, exchanges cards, and from then on carries
 * letters between the leaders of nodes; what they mean is for its user (cw_agent_ops),
 * whom it calls on its own thread. Where there is one node only there is nobody to write
 * to: the agent sleeps until the end.
 *
 * MPI cannot wake a sleeper, so an agent that waits for letters polls: at once after
 * something has happened, then more and more rarely, up to every 15 ms, or as its user
 * says who awaits an answer. Going to sleep and waking is what that costs, up to 100 us
 * a time on virtual machines. Who wants it to look at once writes 0 to its word.
 *
 * Where MPI is the program's own (cw_agent_join_program) and bears no second thread, there
 * is no agent thread: the thread that joined does its work, as long as it calls
 * cw_agent_turn or cw_agent_drive. Such a process may be silent for any time. */
#ifndef CW_FLEET_AGENT_H
#define CW_FLEET_AGENT_H

#include "backend/mpi/load.h"
#include "fleet/card.h"
#include "fleet/wire.h"

#include <pthread.h>

/* What it sleeps at most while an answer is awaited that may come at any time. */
enum { CW_NAP_WAITING_NS = 1000000 };

struct cw_agent_node {
    int leader; /* its rank */
    int ranks;
    int first;  /* in `order` below */
    char host[64];
    /* The agent's thread says so, any may look. */
    _Atomic bool lost; /* to this node */
    _Atomic bool dead; /* to all: home says so */
    /* the agent's */
    bool watched; /* see cw_agent_watch */
    int64_t heard_ns, said_ns;
    char *pieces; /* of a message that comes in parts */
    size_t have, want;
};

struct cw_agent_ops {
    /* A letter from a node, and what follows it. */
    void (*letter)(void *ctx, int node, const struct cw_letter *letter, struct cw_reader rest);
    /* Looks for something to do. True: did something. *nap_ns: how long it may sleep then;
     * lowered where a letter is awaited sooner. */
    bool (*work)(void *ctx, int64_t *nap_ns);
    /* The word is set: says whom to wake where. False: there is something to do. */
    bool (*lie_down)(void *ctx);
    void (*get_up)(void *ctx);
    /* That node will not be heard of again. */
    void (*lost)(void *ctx, int node);
};

/* Fills in what of the card depends on the place, on the agent's thread. What it fails
 * with is told to all. It is called once more, `acquainted`, and the cards are exchanged
 * again, in two cases: MPI is the program's, or all said `window`, of which there is one by then,
 * in cw_agent.window (or this is its node's one rank). */
typedef int cw_agent_introduce(void *ctx, const struct cw_mpi_place *place, struct cw_card *card,
                               crew_error *err);

struct cw_agent {
    /* written before the agent runs */
    const struct cw_launcher *launcher;
    const char *module;
    const struct cw_mpi_joint *joint; /* MPI is the program's; else NULL */
    int root;                         /* who is rank 0 here, of that; else 0 */
    bool driven;                      /* there is no thread ... */
    pthread_t driver;                 /* ... but this one */
    double timeout; /* of silence, after which a node is lost */
    struct cw_card card;
    cw_agent_introduce *introduce;
    void *introduce_ctx;
    void (*at_finalize)(void);
    /* written when the agent has started MPI */
    const struct cw_mpi *mpi;
    struct cw_mpi_place place;
    bool acquainted;             /* the cards are there */
    struct cw_card *cards;       /* by rank */
    int *order;                  /* ranks, node by node, each node's by node_rank */
    struct cw_agent_node *nodes;
    void *memory;  /* of a leader, by `introduce`: what other nodes may read, ... */
    size_t memory_size;
    bool reaches;          /* ... and they can: cw_mpi.fetch */
    crew_error unreached; /* why not; code 0: nobody tried */
    void *window;  /* what the node's ranks share, of MPI's; NULL: nothing */
    bool running;
    /* given by cw_agent_serve, before which no letter is read */
    const struct cw_agent_ops *ops;
    void *ctx;
    _Atomic uint32_t *word; /* futex */

    pthread_t agent;
    pthread_mutex_t lock; /* guards stage, outcome and how it is to end */
    pthread_cond_t changed;
    int stage;
    crew_error outcome;
    crew_error parting; /* of a joint: why it ends; rank 0's is told to all in the end */
    int64_t eager_ns;   /* until then it does not sleep: what is awaited takes no time */
    int64_t turned_ns;  /* driven: when */
    int64_t looked_ns;  /* after who is still there */
    int64_t talked_ns;  /* see cw_agent_talks */
    _Atomic uint32_t leaving; /* 1: orderly, 2: at once */
    _Atomic uint32_t own_word;
};

/* Who joins; copied. */
struct cw_agent_rank {
    const struct cw_card *card;
    double timeout;                /* of silence, after which a node is lost */
    cw_agent_introduce *introduce; /* NULL: it does not come to that */
    void *ctx;
    /* where MPI is the program's */
    bool threads;              /* it bears one of ours */
    void (*at_finalize)(void); /* the program ends it; NULL: nobody asks */
};

/* Starts the agent, MPI and all. Collective: returns when all ranks have come, with the
 * place and the cards filled in. launcher, module: until the agent has ended. */
int cw_agent_join(struct cw_agent *a, const struct cw_agent_rank *rank,
                  const struct cw_launcher *launcher, const char *module, crew_error *err);
/* The same over a communicator of a program that has MPI for itself, with the module that
 * it is linked with. joint: until this has returned. */
int cw_agent_join_program(struct cw_agent *a, const struct cw_agent_rank *rank,
                          const struct cw_mpi *mpi, const struct cw_mpi_joint *joint,
                          crew_error *err);
/* Where there is no thread, by who joined: one look at everything. True: something was
 * done. And the same until `over`, asleep in between. */
bool cw_agent_turn(struct cw_agent *a);
void cw_agent_drive(struct cw_agent *a, bool (*over)(void *ctx), void *ctx);
/* From now on letters are read. word: what `lie_down` has others write 0 to. */
void cw_agent_serve(struct cw_agent *a, const struct cw_agent_ops *ops, void *ctx,
                    _Atomic uint32_t *word);
/* Any thread: the agent looks at once. */
void cw_agent_wake(struct cw_agent *a);
/* Ends MPI and the agent. orderly: all ranks do it. After `seconds` it is given up. True:
 * it has ended. */
bool cw_agent_leave(struct cw_agent *a, bool orderly, double seconds);

/* On the agent's thread: takes the parcel. False: it could not be sent (the node is
 * lost, no memory). */
bool cw_agent_send(struct cw_agent *a, int node, struct cw_parcel *parcel);
/* The same of a bare letter. */
bool cw_agent_say(struct cw_agent *a, int node, const struct cw_letter *letter);
/* On the agent's thread: what was sent or has come belongs to a conversation, in which a
 * thread waits for each word. The agent expects the next without sleeping, for a moment. */
void cw_agent_talks(struct cw_agent *a);
/* On the agent's thread: from now on that node is lost if it is silent for too long, to this one
 * alone unless home has to say the same. Nodes that send each other letters are watched from the
 * first one on; home and guests always. */
void cw_agent_watch(struct cw_agent *a, int node);
/* On the agent's thread, in the middle of what takes long: it is still there. */
void cw_agent_beat(struct cw_agent *a);
/* On the agent's thread: that node is given up. */
void cw_agent_abandon(struct cw_agent *a, int node);

/* No node has been lost. */
static inline bool cw_agent_whole(const struct cw_agent *a) {
    for (int node = 0; node < a->place.nodes; node++)
        if (a->nodes[node].lost)
            return false;
    return true;
}

/* As the program's communicator numbers that rank, for what people read. */
static inline int cw_agent_told_rank(const struct cw_agent *a, int rank) {
    return rank == 0 ? a->root : rank <= a->root ? rank - 1 : rank;
}

static inline bool cw_agent_leads(const struct cw_agent *a) {
    return a->place.node_rank == 0;
}

#endif
