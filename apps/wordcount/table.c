/* table.c - words and how often they were seen. */
#include "table.h"
#include <stdlib.h>
#include <string.h>

void table_free(table *t) {
    free(t->entries);
    free(t->text);
    *t = (table){0};
}

/* FNV-1a, folded so that the lower bits know of the upper ones. */
static uint32_t hash_of(const char *word, uint32_t length) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint32_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)word[i]) * 0x100000001b3u;
    return (uint32_t)(hash ^ hash >> 32);
}

/* The word's place, or the free one where it belongs. */
static table_entry *find(const table *t, const char *word, uint32_t length, uint32_t hash) {
    for (size_t i = hash;; i++) {
        table_entry *e = &t->entries[i & (t->room - 1)];
        if (e->count == 0 ||
            (e->hash == hash && e->length == length && memcmp(t->text + e->at, word, length) == 0))
            return e;
    }
}

static bool grow(table *t) {
    size_t room = t->room ? 2 * t->room : 1024;
    table_entry *entries = calloc(room, sizeof *entries);
    if (!entries)
        return false;
    for (size_t i = 0; i < t->room; i++)
        for (size_t to = t->entries[i].hash; t->entries[i].count; to++)
            if (entries[to & (room - 1)].count == 0) {
                entries[to & (room - 1)] = t->entries[i];
                break;
            }
    free(t->entries);
    t->entries = entries;
    t->room = room;
    return true;
}

static bool grow_text(table *t, size_t more) {
    size_t room = t->text_room ? t->text_room : 4096;
    while (room < t->text_used + more)
        room *= 2;
    char *text = room > t->text_room ? realloc(t->text, room) : t->text;
    if (!text)
        return false;
    t->text = text;
    t->text_room = room;
    return true;
}

bool table_add(table *t, const char *word, uint32_t length, uint64_t count) {
    if (4 * t->used >= 3 * t->room && !grow(t))
        return false;
    uint32_t hash = hash_of(word, length);
    table_entry *e = find(t, word, length, hash);
    if (e->count == 0) {
        if (!grow_text(t, length))
            return false;
        memcpy(t->text + t->text_used, word, length);
        *e = (table_entry){.at = t->text_used, .length = length, .hash = hash};
        t->text_used += length;
        t->used++;
    }
    e->count += count;
    return true;
}

/* ---- as bytes: for each word this, then its letters ---- */

struct head {
    uint64_t count;
    uint32_t length;
};

void *table_pack(const table *t, size_t *size) {
    *size = t->used * sizeof(struct head) + t->text_used;
    char *bytes = malloc(*size + 1), *to = bytes;
    for (size_t i = 0; bytes && i < t->room; i++) {
        const table_entry *e = &t->entries[i];
        struct head head;
        if (e->count == 0)
            continue;
        memset(&head, 0, sizeof head);
        head.count = e->count;
        head.length = e->length;
        memcpy(to, &head, sizeof head);
        memcpy(to + sizeof head, t->text + e->at, e->length);
        to += sizeof head + e->length;
    }
    return bytes;
}

bool table_unpack(table *t, const void *bytes, size_t size) {
    struct head head;
    for (const char *at = bytes, *end = at + size; at < end; at += sizeof head + head.length) {
        memcpy(&head, at, sizeof head);
        if (!table_add(t, at + sizeof head, head.length, head.count))
            return false;
    }
    return true;
}

/* ---- the order of the output ---- */

static int by_count(const void *left, const void *right, void *text) {
    const table_entry *a = left, *b = right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    uint32_t shorter = a->length < b->length ? a->length : b->length;
    int order = memcmp((char *)text + a->at, (char *)text + b->at, shorter);
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

void table_sort(table *t) {
    size_t n = 0;
    for (size_t i = 0; i < t->room; i++)
        if (t->entries[i].count)
            t->entries[n++] = t->entries[i];
    if (n)
        qsort_r(t->entries, n, sizeof *t->entries, by_count, t->text);
}
