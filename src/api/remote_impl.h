/* api/remote_impl.h - what an agent knows of calls that are on their way.
 *
 * | file         | what                                                        |
 * |--------------|-------------------------------------------------------------|
 * | remote.c     | the pile, long messages part by part, the agent's turns     |
 * | remote_out.c | this node's threads ask others: desks                       |
 * | remote_in.c  | other nodes' threads ask this one: trays                    |
 * | deputies.c   | the processes behind the trays: they come and go            |
 *
 * All of it is the agent's thread's. */
#ifndef CW_API_REMOTE_IMPL_H
#define CW_API_REMOTE_IMPL_H

#include "api/remote.h"
#include "share/desk.h"

enum {
    CW_REMOTE_EAGER = 128 << 10, /* bytes that go with the letter; more wait for room */
    CW_REMOTE_PART = 2 << 20,    /* and then go in parts of so many ... */
    CW_REMOTE_WINDOW = 16 << 20  /* ... while less than this is on its way to the node */
};

/* Bytes of a block that go to a node, part by part. */
struct cw_cargo {
    struct cw_cargo *next;
    int node;
    struct cw_letter letter; /* of each part: but lo, hi */
    uint32_t number;         /* of the desk or tray they lie in */
    const char *from;
    uint64_t size, at;
};

/* A thread of another node, here. */
struct cw_clerk {
    struct cw_clerk *next;
    struct cw_mission *of;
    uint32_t desk, generation; /* there */
    uint32_t tray;             /* number */
    bool busy;                 /* it was asked, and its answer is not away yet */
};

/* A process of another node, here. */
struct cw_mission {
    struct cw_mission *next;
    int node;
    uint32_t party, life; /* there */
    enum { CW_UNBORN, CW_BORN, CW_DYING } stage;
    cw_off at; /* of its record */
    struct cw_deputy *record;
    struct cw_clerk *clerks;
};

extern struct cw_remote {
    struct cw_session *session;
    struct cw_agent *agent;
    struct cw_nursery *nursery; /* that forks deputies */
    struct cw_share *share;
    struct cw_cargo *cargo;
    struct cw_mission *deputies;
    struct cw_clerk **by_tray;
    struct cw_question *by_desk;
    uint32_t trays, desks; /* how many there is room for in these two */
    int asked;             /* questions that are out */
    int unborn, dying;     /* deputies */
    int64_t looked_ns;     /* at deputies */
    int64_t talked_ns;     /* something was asked or answered */
} cw_remote;

/* ---- remote.c ---- */

struct cw_letter cw_remote_about(enum cw_word word, const struct cw_desk *desk);
/* Sends the letter and these. False: the node is lost, or there is no memory. */
bool cw_remote_send(int node, const struct cw_letter *letter, const void *head, size_t size,
                    const void *bytes, size_t count);
/* Begins to send the bytes of that desk or tray; false: no memory. When they are away:
 * cw_in_sent, if it is a tray. */
bool cw_remote_ship(int node, const struct cw_letter *letter, uint32_t number, const char *from,
                    uint64_t size);
/* What was to be sent of it is not. */
void cw_remote_unship(uint32_t number);
/* Part of a long message, into the block of that size. 1: it was the last, 0: it was not,
 * -1: it belongs nowhere. */
int cw_remote_part(const struct cw_letter *letter, struct cw_reader *r, char *to, uint64_t size);
/* Looks at what is on the pile. */
bool cw_remote_pile(void);
/* An array of so many at least, zeroed beyond what there was. False: no memory. */
bool cw_remote_grow(void **array, uint32_t *room, uint32_t want, size_t bytes);

/* ---- remote_out.c ---- */

void cw_out_desk(struct cw_desk *desk);
void cw_out_letter(int node, const struct cw_letter *letter, struct cw_reader *r);
/* Desks that are over. */
bool cw_out_sweep(void);
void cw_out_lost(int node);
/* The agent has ended: frees what is known of desks. */
void cw_out_forget(bool again);

/* ---- remote_in.c ---- */

void cw_in_tray(struct cw_desk *tray);
void cw_in_sent(uint32_t tray);
void cw_in_letter(int node, const struct cw_letter *letter, struct cw_reader *r);
/* Whom that clerk answers is told this. */
void cw_in_refuse(const struct cw_clerk *clerk, const crew_error *why);
/* It is no more; its tray is given back. */
void cw_in_drop(struct cw_clerk *clerk);

/* ---- deputies.c ---- */

struct cw_mission *cw_deputy_find(int node, uint32_t party, uint32_t life);
/* NULL: no memory. It is brought when it can be. */
struct cw_mission *cw_deputy_make(int node, uint32_t party, uint32_t life, crew_error *err);
/* Its process is dead, or its node lost. */
void cw_deputy_dismiss(struct cw_mission *deputy);
/* A tray that has no thread yet. */
void cw_deputy_show(struct cw_mission *deputy, struct cw_desk *tray);
bool cw_deputies_look(void);
/* The agent has ended. again: nothing may stay in the segment. */
void cw_deputies_forget(bool again);

#endif
