/* share/share.h - what the processes of a session share besides work: objects.
 *
 * Objects (locks, queues, dictionaries ...) lie in the root segment, in cells of
 * one size a kind. A cell is used again for the same kind only, never for
 * anything else, so that a stale handle always finds a generation to compare.
 * A handle is (place, check):
 *
 *     place: offset of the cell (48) | kind (8) | 0 (8)
 *     check: generation (32) | node (16) | session (16)
 *
 * The node is the one whose segment the cell is in, of all that the program runs on
 * (0: the manager's); all nodes of a program have the same session. On that node it is
 * found here; what another node's handle means only that node can say (share/desk.h).
 *
 *     commons ── shelf (one a kind) ── chunks of cells: head | the object
 *
 * A **party** is a process that uses objects, a **hand** one of its threads. A
 * party's life hangs on a robust mutex that a lasting thread of it holds: the
 * kernel says when that thread, and so the process, is gone, whoever reaps it.
 * Objects name the hand that holds or changes them; whoever finds a party dead
 * buries it: each kind's `bury` puts right what the party's hands had begun.
 *
 * | what                     | guarded by                                         |
 * |--------------------------|----------------------------------------------------|
 * | shelves, generations     | commons.making (robust), read by all               |
 * | cw_party                 | its process; after its death who holds `alive`     |
 * | cw_hand                  | its thread; after its death who buries the party   |
 * | an object                | its kind: see there                                |
 *
 * Lock order: an object's bolts, then a party's `asked` and `alive`, then commons.making,
 * then the arena. A burial may come while any bolt is held, so `bury` takes none. */
#ifndef CW_SHARE_SHARE_H
#define CW_SHARE_SHARE_H

#include "os/shm.h"
#include "team/arena.h"

#include <pthread.h>
#include <stdbool.h>

enum cw_kind_of {
    CW_PARTY = 1,
    CW_HAND,
    CW_LOCK,
    CW_RLOCK,
    CW_SEM,
    CW_EVENT,
    CW_COND,
    CW_BARRIER,
    CW_QUEUE,
    CW_PIPE,
    CW_VALUE,
    CW_ARRAY,
    CW_DICT,
    CW_LIST,
    CW_PROCESS,
    CW_SHM,
    CW_DESK,
    CW_KINDS
};

enum { CW_CHUNKS = 26, CW_FIRST_CHUNK = 64 }; /* chunk i has CW_FIRST_CHUNK << i cells */

/* First in every cell. */
struct cw_head {
    _Atomic uint32_t generation; /* odd: there is an object */
    uint32_t number;             /* of the cell on its shelf */
    uint32_t next_free;          /* + 1 */
    uint32_t kind;
};

struct cw_shelf {
    _Atomic uint32_t count; /* cells laid out so far */
    uint32_t free;          /* + 1 */
    _Atomic cw_off chunk[CW_CHUNKS];
};

/* Between threads and their node's agent: see share/desk.h. */
struct cw_post {
    _Atomic uint32_t word; /* what the agent sleeps on: not 0 while it may */
    _Atomic uint32_t open; /* there is an agent */
    _Atomic uint32_t pile; /* desks (+ 1) with something for it, the newest first */
    _Atomic uint32_t over; /* there may be desks whose threads have ended */
};

struct cw_commons {
    uint64_t magic;
    uint32_t session;        /* what handles carry: of the program (16) | its node (16) */
    uint32_t nodes;          /* of the program; 0 where nothing was said: one */
    _Atomic cw_off ferry;    /* see share/ferry.h; 0: the program has one node */
    struct cw_shm_owner owner; /* of named memory: the program */
    pthread_mutex_t making;  /* robust */
    struct cw_post post;
    struct cw_shelf shelf[CW_KINDS];
};

/* A process's view of the commons. */
struct cw_share {
    cw_arena arena;
    cw_arena arrays; /* their data */
    cw_segment root;
    struct cw_commons *commons;
    uint32_t party; /* number + 1 of this process's; 0: it has not joined */
    unsigned era;   /* see cw_share_era */
};

struct cw_party {
    struct cw_head head;
    _Atomic int32_t pid;
    pthread_mutex_t alive; /* robust; initialised once in the cell's life, as is ... */
    pthread_mutex_t asked; /* ... this: whoever tries `alive` holds it, so that an
                            * `alive` that is taken means just that */
};

enum { CW_HAND_BLOCKS = 4 };
struct cw_hand {
    struct cw_head head;
    _Atomic uint32_t party; /* number + 1 */
    uint32_t holds; /* bolts of lasting objects that it has acquired, less those that it
                     * has released: others may have done so for it */
    uint32_t over;  /* its thread has ended */
    _Atomic cw_off at; /* the futex it sleeps on, or is about to; 0: none */
    _Atomic cw_off block[CW_HAND_BLOCKS]; /* memory of its own, on its way somewhere */
    _Atomic cw_off array; /* the same, of the arrays' arena */
    /* conditions: see share/cond.c */
    _Atomic uint64_t waits_for, ticket;
    _Atomic uint32_t nap;
    uint32_t desk; /* number + 1: where it asks about objects of other nodes */
};

/* This thread, and its process. */
struct cw_self {
    struct cw_share *share;
    struct cw_hand *hand;
    uint32_t number; /* of the hand */
    unsigned era;
};

/* What differs from kind to kind. Calls that a kind does not need are NULL. */
struct cw_kind {
    const char *name;
    size_t bytes; /* of a cell, with its head */
    /* Frees what the object owns; leaves the cell as it was made. With `making`. */
    void (*scrub)(struct cw_share *share, struct cw_head *head);
    /* The party is dead: what its hands held passes on, what they had begun is
     * undone or finished. May come twice for one death. Takes no bolt. */
    void (*bury)(struct cw_share *share, struct cw_head *head, uint32_t party);
    /* Its bolts are free, and those of the object of this generation: one that begins,
     * or (even) none. With `making`. See share/bolt.h. */
    void (*turn)(struct cw_head *head, uint32_t generation);
    /* Whether the object names the hand (number + 1) as its holder. */
    bool (*names)(const struct cw_head *head, uint32_t hand);
    /* Wakes all who sleep at it: the object was destroyed. */
    void (*wake)(struct cw_share *share, struct cw_head *head);
};
const struct cw_kind *cw_kind(enum cw_kind_of kind);

/* ---- the commons ---- */

/* Counts what makes a thread's cw_self stale: forks, and ends of sessions. */
extern unsigned cw_share_era;

/* Lays the commons into a new root segment; *at is where. */
int cw_share_create(cw_arena *arena, cw_off *at, crew_error *err);
/* This is node `node` of a program whose nodes all carry that session, which the first
 * one has said (in its commons.session). Handles made before mean nothing any more, but
 * those of node 0. */
void cw_share_place(struct cw_share *share, uint32_t session, int node, int nodes);
/* This process's view from now on. The segment stays the caller's. */
int cw_share_enter(const cw_segment *root, uint64_t arena_start, cw_off at, crew_error *err);
/* The view ends: no thread may begin to use an object any more. True: other threads of
 * this process have used some, and may sleep in a wait, or `others`, who use it in another way;
 * so the segment has to stay. */
bool cw_share_leave(bool others);
/* The view; NULL if there is none (or it belongs to the parent of a fork). */
struct cw_share *cw_share_here(void);

/* The calling thread, which must last as long as the process uses objects,
 * answers for the life of this process. */
int cw_party_join(struct cw_share *share, crew_error *err);
/* The same thread: in order, nothing of the party's is left behind. */
void cw_party_part(struct cw_share *share);
/* Looks for dead parties and buries them. How many there were. */
int cw_party_bury(struct cw_share *share);
/* False if the party is alive. True: it has been buried (and the number may mean
 * another one by now). If somebody is at that it waits. */
bool cw_party_dead(struct cw_share *share, uint32_t party);
/* True if the hand's process is dead; then it has been buried. */
bool cw_hand_dead(struct cw_share *share, uint32_t hand);

/* Whether threads of this process but this one have a self, and have not ended. */
bool cw_hands_others(void);
/* The end of a session and a fork: no thread's self is valid any more. */
void cw_hands_stale(void);
void cw_hands_forked(void);

/* This thread's self if it has one that is valid. */
extern _Thread_local struct cw_self cw_self_now __attribute__((tls_model("initial-exec")));
static inline struct cw_self *cw_self_if_any(void) {
    return cw_self_now.hand && cw_self_now.era == cw_share_era ? &cw_self_now : NULL;
}
/* Made if there is none; the process has joined. */
struct cw_self *cw_self_make(struct cw_share *share, crew_error *err);

/* ---- cells and handles ---- */

struct cw_head *cw_cell(const struct cw_share *share, enum cw_kind_of kind, uint32_t number);

static inline uint32_t cw_cells(const struct cw_share *share, enum cw_kind_of kind) {
    return atomic_load_explicit(&share->commons->shelf[kind].count, memory_order_acquire);
}
static inline bool cw_head_live(const struct cw_head *head) {
    return atomic_load_explicit(&head->generation, memory_order_acquire) & 1;
}
static inline struct cw_hand *cw_hand_at(const struct cw_share *share, uint32_t number) {
    return (struct cw_hand *)cw_cell(share, CW_HAND, number);
}

/* Makes an object: `init` fills the cell (its memory may be that of an earlier
 * object that was scrubbed) and may refuse. It has to be short: others wait. */
int cw_object_make(struct cw_share *share, enum cw_kind_of kind,
                   int (*init)(struct cw_share *share, struct cw_head *head, void *arg,
                               crew_error *err),
                   void *arg, uint64_t *place, uint64_t *check, crew_error *err);
/* Ends it: CREW_EINVAL if that has happened already. */
int cw_object_end(struct cw_share *share, enum cw_kind_of kind, uint64_t place, uint64_t check);

/* Calls fn while the object cannot end: nothing that fn does meets another one in
 * the same cell. It has to be short. False: the object has ended. */
bool cw_object_with(struct cw_share *share, enum cw_kind_of kind, uint64_t place, uint64_t check,
                    void (*fn)(struct cw_share *share, struct cw_head *head));

/* The second half of a handle of this node. */
static inline uint64_t cw_handle_check(const struct cw_share *share, uint32_t generation) {
    return generation | (uint64_t)share->commons->session << 32;
}
/* Which of the program's nodes this is. */
static inline int cw_node_here(const struct cw_share *share) {
    return (int)(share->commons->session & 0xffff);
}
/* The node whose handle it is, if it is one of this program. */
static inline uint32_t cw_handle_node(uint64_t check) {
    return (uint32_t)(check >> 32) & 0xffff;
}
/* Of this program, but of another one of its nodes. */
static inline bool cw_handle_far(const struct cw_share *share, uint64_t check) {
    const struct cw_commons *c = share->commons;
    return check >> 48 == c->session >> 16 && check >> 32 != c->session &&
           cw_handle_node(check) < c->nodes;
}

/* The object of a handle, NULL if it is none (any more). */
static inline void *cw_object(const struct cw_share *share, enum cw_kind_of kind, uint64_t place,
                              uint64_t check) {
    uint64_t at = place & (((uint64_t)1 << 48) - 1);
    if (place >> 48 != (uint64_t)kind || at % 64 || at + 64 > share->root.size ||
        check >> 32 != share->commons->session)
        return NULL;
    struct cw_head *head = (struct cw_head *)(share->root.base + at);
    /* Pairs with the release in cw_object_make: what init wrote. */
    if (atomic_load_explicit(&head->generation, memory_order_acquire) != (uint32_t)check ||
        head->kind != (uint32_t)kind)
        return NULL;
    return head;
}
/* Whether the object is still the one that the handle means: asked again after a
 * wait. */
static inline bool cw_object_same(const struct cw_head *head, uint64_t check) {
    return atomic_load_explicit(&head->generation, memory_order_acquire) == (uint32_t)check;
}

static inline cw_off cw_share_off(const struct cw_share *share, const void *p) {
    return (cw_off)((const char *)p - share->root.base);
}

#endif
