/* backend/backend.h - how members come to be: one table of operations.
 *
 * A backend obtains members for the seats of a team and says when they are
 * gone; what members do is not its business: it calls `enter` in each. The
 * manager's lock is held around every call of the table but `enter`. */
#ifndef CW_BACKEND_BACKEND_H
#define CW_BACKEND_BACKEND_H

#include "backend/seat.h"
#include "os/segment.h"

#include <crew/error.h>
#include <stdbool.h>

enum { CW_BILLET_PROCESS = -1 };

/* What a member is told: whose it is. Offsets, for it may map the segment
 * elsewhere. */
struct cw_billet {
    uint64_t team; /* offset of the cw_team */
    int32_t rank; /* CW_BILLET_PROCESS: `team` is a process's record, in the root segment */
};

struct cw_berths;

struct cw_hands_request {
    cw_segment *segment; /* the manager's own: boards */
    cw_segment *root;    /* the session's: objects; the same in the top manager */
    struct cw_bell *bell;
    struct cw_seat *seats;
    uint64_t team;
    int members;
    int start; /* CREW_START_* */
    struct cw_berths *berths; /* ranks: the node's, see backend/ranks/ranks.h; else NULL */
    const int *berth;         /* ranks: of each member; copied */
    /* Runs the member; returns when it has left (threads), or never (processes). */
    void (*enter)(const struct cw_billet *billet);
};

/* The members of one team, as their manager holds them. A backend embeds this
 * first. */
struct cw_hands {
    const struct cw_backend *ops;
    struct cw_hands_request request;
};

struct cw_backend {
    const char *name;
    bool processes; /* members need not be in the manager's process: they see the segment only */
    bool kills;     /* each is a process: members may be killed, and crash alone */
    bool caller;    /* the caller's thread is the one member (serial) */

    /* Obtains what members will come from. Blocks for a fork or two. */
    int (*open)(const struct cw_hands_request *request, struct cw_hands **hands, crew_error *err);
    /* Asks for the member of a seat that is ASKED. Does not wait: the seat
     * becomes ALIVE, or ENDED with cw_seat.sys set. */
    int (*start)(struct cw_hands *hands, int rank, crew_error *err);
    /* Ends a member at once; its seat becomes ENDED in its time. */
    void (*kill)(struct cw_hands *hands, int rank);
    /* True, with the reason, once members can neither be had nor seen to end any
     * more. */
    bool (*lost)(struct cw_hands *hands, crew_error *err);
    /* After that: ends what may be left of the members and returns when they are
     * gone, or after some seconds. Seats are as they were. */
    void (*bury)(struct cw_hands *hands);
    /* Returns when no member is left: the team has been told to quit; whoever
     * stays is ended. Frees hands. */
    void (*close)(struct cw_hands *hands);
};

extern const struct cw_backend cw_backend_serial, cw_backend_threads, cw_backend_fork,
    cw_backend_ranks, cw_backend_aboard;

#endif
