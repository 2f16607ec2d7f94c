#include "fleet/card.h"

#include "base/error.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

_Static_assert(offsetof(struct cw_card, layout) == CW_CARD_FRONT, "alike in every version");

static const unsigned char magic[8] = {'c', 'r', 'e', 'w', 'c', 'a', 'r', 'd'};

void cw_card_begin(struct cw_card *card, const char *version, const char *host) {
    const uint16_t one = 1;
    memset(card, 0, sizeof *card);
    memcpy(card->magic, magic, sizeof magic);
    card->pointer = sizeof(void *);
    memcpy(&card->endian, &one, 1);
    snprintf(card->version, sizeof card->version, "%s", version);
    snprintf(card->host, sizeof card->host, "%s", host);
}

void cw_card_trouble(struct cw_card *card, const crew_error *why) {
    snprintf(card->trouble, sizeof card->trouble, "%.187s", why->text);
    card->trouble_code = why->code;
}

static const char *endian(const struct cw_card *card) {
    return card->endian ? "little-endian" : "big-endian";
}

/* "rank 0 (node a) and rank 1 (node b)" */
static const char *whose(const struct cw_card *a, int rank_a, const struct cw_card *b, int rank_b,
                         char *buf, size_t cap) {
    snprintf(buf, cap, "rank %d (node %.60s) and rank %d (node %.60s)", rank_a, a->host, rank_b,
             b->host);
    return buf;
}

int cw_card_front_fits(const struct cw_card *a, int rank_a, const struct cw_card *b, int rank_b,
                       crew_error *err) {
    char where[192];
    whose(a, rank_a, b, rank_b, where, sizeof where);
    if (memcmp(a->magic, magic, sizeof magic) != 0 || memcmp(b->magic, magic, sizeof magic) != 0)
        return cw_error_set(err, CREW_EMISMATCH, 0,
                            "ranks %d and %d do not both run crew, or versions of it that do not "
                            "know each other",
                            rank_a, rank_b);
    const struct cw_card *ill = a->trouble[0] ? a : b;
    if (ill->trouble[0])
        return cw_error_set(err,
                            ill->trouble_code && a->endian == b->endian ? ill->trouble_code
                                                                        : CREW_EBROKEN,
                            0, "rank %d (node %.60s): %.180s",
                            ill == a ? rank_a : rank_b, ill->host, ill->trouble);
    if (a->pointer != b->pointer || a->endian != b->endian)
        return cw_error_set(err, CREW_EMISMATCH, 0,
                            "%s are machines of different kinds: %d bits %s, %d bits %s: a job "
                            "runs on one kind",
                            where, a->pointer * 8, endian(a), b->pointer * 8, endian(b));
    if (strncmp(a->version, b->version, sizeof a->version) != 0)
        return cw_error_set(err, CREW_EMISMATCH, 0,
                            "%s have different versions of crew: %.20s, %.20s: install the same on "
                            "all nodes",
                            where, a->version, b->version);
    return 0;
}

int cw_card_fits(const struct cw_card *a, int rank_a, const struct cw_card *b, int rank_b,
                 crew_error *err) {
    char where[192];
    whose(a, rank_a, b, rank_b, where, sizeof where);
    if (a->layout != b->layout || a->library != b->library)
        return cw_error_set(err, CREW_EMISMATCH, 0,
                            "%s have different builds of crew %.20s: install the same on all nodes",
                            where, a->version);
    if (a->program != b->program)
        return cw_error_set(err, CREW_EMISMATCH, 0,
                            "%s run different programs, or builds of it: start the same file on "
                            "all nodes",
                            where);
    if (!a->window != !b->window)
        return cw_error_set(err, CREW_EMISMATCH, 0,
                            "%s have different settings of CREW_SEGMENT: it is to be the same in all "
                            "ranks (mpirun -x CREW_SEGMENT)",
                            where);
    if (!a->isolate != !b->isolate)
        return cw_error_set(err, CREW_EMISMATCH, 0,
                            "%s do not agree about CREW_ISOLATE=0: set it for all ranks (mpirun -x "
                            "CREW_ISOLATE)",
                            where);
    return 0;
}
