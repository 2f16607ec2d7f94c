/* Values into buffers, and copies of many. */
#include "share/bytes.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 18 };

struct cw_copy_chunk {
    struct cw_copy_chunk *next;
    size_t used, room; /* of data */
    _Alignas(16) char data[];
};

struct record {
    size_t a, b; /* sizes; the bytes of b follow, then those of a */
};
_Static_assert(sizeof(struct record) % 16 == 0, "b is aligned as its record is");

int cw_out_put(struct cw_out *out, const void *data, size_t size) {
    out->size = size;
    void *to = out->buf;
    if (out->made) {
        to = malloc(size ? size : 1);
        if (!to)
            return CREW_ENOMEM;
        *out->made = to;
    } else if (size > out->cap) {
        return CREW_ETOOSMALL;
    }
    if (size)
        memcpy(to, data, size);
    return 0;
}

void cw_out_undo(struct cw_out *out) {
    if (!out->made)
        return;
    free(*out->made);
    *out->made = NULL;
}

static size_t record_bytes(size_t a, size_t b) {
    return (sizeof(struct record) + a + b + 15) / 16 * 16;
}

bool cw_copy_add(struct cw_copy *copy, struct cw_bytes a, struct cw_bytes b) {
    struct cw_copy_chunk *chunk = copy->tail;
    size_t bytes = record_bytes(a.size, b.size);
    if (!chunk || chunk->room - chunk->used < bytes) {
        size_t room = bytes > CHUNK ? bytes : CHUNK;
        chunk = malloc(sizeof *chunk + room);
        if (!chunk)
            return false;
        *chunk = (struct cw_copy_chunk){.room = room};
        *(copy->tail ? &copy->tail->next : &copy->head) = chunk;
        copy->tail = chunk;
    }
    struct record *record = (struct record *)(void *)(chunk->data + chunk->used);
    *record = (struct record){.a = a.size, .b = b.size};
    char *bytes_of = (char *)(record + 1);
    if (b.size)
        memcpy(bytes_of, b.data, b.size);
    if (a.size)
        memcpy(bytes_of + b.size, a.data, a.size);
    chunk->used += bytes;
    return true;
}

int cw_copy_each(const struct cw_copy *copy,
                 int (*fn)(void *ctx, struct cw_bytes a, struct cw_bytes b), void *ctx) {
    for (const struct cw_copy_chunk *chunk = copy->head; chunk; chunk = chunk->next)
        for (size_t at = 0; at < chunk->used;) {
            const struct record *record = (const struct record *)(const void *)(chunk->data + at);
            const char *bytes = (const char *)(record + 1);
            int rc = fn(ctx, (struct cw_bytes){bytes + record->b, record->a},
                        (struct cw_bytes){bytes, record->b});
            if (rc)
                return rc;
            at += record_bytes(record->a, record->b);
        }
    return 0;
}

void cw_copy_free(struct cw_copy *copy) {
    for (struct cw_copy_chunk *chunk = copy->head, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    *copy = (struct cw_copy){0};
}
