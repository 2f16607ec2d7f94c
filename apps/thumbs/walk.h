/* walk.h - the pictures in a folder and those below it. */
#ifndef THUMBS_WALK_H
#define THUMBS_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct walk {
    char **names; /* in order, below the folder: a/b.jpg */
    int64_t count, room;
    int64_t failed; /* folders that could not be read, and pictures that have a double */
} walk;

/* The name of a picture's thumbnail: its own, with another ending. For free. */
char *walk_thumb_name(const char *name);

/* The files whose names end as those of pictures do. `without`, a folder that may lie
 * inside, is left out. What it could not read it tells. False if there is not enough
 * memory, or if the folder itself cannot be read, which it tells too. */
bool walk_folder(walk *w, const char *folder, const char *without);
void walk_free(walk *w);

#endif
