/* table.h - words and how often they were seen: a hash table with open addressing. */
#ifndef WORDCOUNT_TABLE_H
#define WORDCOUNT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct table_entry {
    uint64_t count; /* 0: the place is free */
    size_t at;      /* of its word, in the table's text */
    uint32_t length, hash;
} table_entry;

/* {0} is an empty table. */
typedef struct table {
    table_entry *entries;
    size_t used, room; /* places; room is a power of two */
    char *text;        /* the words, one behind the other */
    size_t text_used, text_room;
} table;

void table_free(table *t);
/* False if there is not enough memory. */
bool table_add(table *t, const char *word, uint32_t length, uint64_t count);

/* The table as bytes that can travel, for the caller to free; NULL if there is not enough
 * memory. And adding what has travelled to another table. */
void *table_pack(const table *t, size_t *size);
bool table_unpack(table *t, const void *bytes, size_t size);

/* Moves the entries to the front of their array, the most frequent first, and among
 * equals in the order of their bytes. After that nothing can be added. */
void table_sort(table *t);

#endif
