/* fleet/card.h - what every rank tells all others before anything else.
 *
 * Pure: filling one in is the caller's (api/launch.c), comparing two is here. */
#ifndef CW_FLEET_CARD_H
#define CW_FLEET_CARD_H

#include "backend/ranks/ranks.h"
#include "topo/topo.h"

#include <crew/error.h>

struct cw_card {
    /* The first part is laid out alike in every version and on every machine. */
    unsigned char magic[8];   /* "crewcard" */
    unsigned char pointer;    /* bytes of one */
    unsigned char endian;     /* first byte of the number 1 in 16 bits: 1 little, 0 big */
    char version[22];         /* of the library */
    char host[64];
    char trouble[188];        /* why this rank cannot take part; empty: it can */
    int32_t trouble_code;     /* CREW_E...; 0: CREW_EBROKEN */
    /* The rest is of one version. */
    uint64_t layout;          /* of what lies in segments and travels: see team/head.c */
    uint64_t program;         /* the identity of the program's own object */
    uint64_t library;         /* of the one that holds crew */
    int32_t pid;
    int32_t cores;            /* that this rank may use */
    uint64_t window;          /* bytes of the node's, of the leader's card; 0: it is a memfd */
    int32_t driven;           /* its silence says nothing: see struct cw_agent */
    uint32_t session;         /* what handles of its program carry: see share/share.h */
    int32_t isolate;          /* CREW_ISOLATE */
    int32_t one_sided;        /* CREW_ONE_SIDED; rank 0's counts */
    int32_t rdma;             /* its machine has a network that reads memory by itself */
    struct cw_berth_card berth;
    cw_cpuset mask;
};

/* Bytes of the first part, which ranks exchange before the rest: how long that is, is of
 * one version. */
enum { CW_CARD_FRONT = 288 };

/* The fixed part. The rest of *card is zeroed. */
void cw_card_begin(struct cw_card *card, const char *version, const char *host);
void cw_card_trouble(struct cw_card *card, const crew_error *why);
/* Whether two ranks can understand each other, by the first parts of their cards alone. */
int cw_card_front_fits(const struct cw_card *ours, int our_rank, const struct cw_card *theirs,
                       int their_rank, crew_error *err);
/* Whether they can work together, by the rest: CREW_EMISMATCH says what differs, and on which
 * nodes. */
int cw_card_fits(const struct cw_card *ours, int our_rank, const struct cw_card *theirs,
                 int their_rank, crew_error *err);

#endif
