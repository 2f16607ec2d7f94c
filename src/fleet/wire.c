#include "fleet/wire.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 256 };

void cw_parcel_begin(struct cw_parcel *p, const struct cw_letter *letter) {
    *p = (struct cw_parcel){0};
    cw_parcel_put(p, letter, sizeof *letter);
}

void *cw_parcel_room(struct cw_parcel *p, size_t size) {
    size_t want;
    if (p->failed || __builtin_add_overflow(p->size, size, &want))
        return NULL;
    if (want > p->room) {
        size_t room = p->room ? p->room : FIRST_ROOM;
        while (room < want)
            room = room < SIZE_MAX / 2 ? 2 * room : want;
        /* What is large is written once: no doubling there. */
        room = want > 1 << 20 ? want : room;
        char *more = realloc(p->data, room);
        if (!more) {
            p->failed = true;
            return NULL;
        }
        p->data = more;
        p->room = room;
    }
    void *at = p->data + p->size;
    p->size = want;
    return at;
}

void cw_parcel_put(struct cw_parcel *p, const void *data, size_t size) {
    void *at = size ? cw_parcel_room(p, size) : NULL;
    if (at)
        memcpy(at, data, size);
}

void cw_parcel_drop(struct cw_parcel *p) {
    free(p->data);
    *p = (struct cw_parcel){0};
}

const void *cw_read(struct cw_reader *r, size_t size) {
    if (!r->at || size > (size_t)(r->end - r->at)) {
        r->at = NULL;
        return NULL;
    }
    const void *at = r->at;
    r->at += size;
    return at;
}

bool cw_read_into(struct cw_reader *r, void *to, size_t size) {
    const void *at = cw_read(r, size);
    if (at && size)
        memcpy(to, at, size);
    return at != NULL;
}
