/* count.h - the words of a text, or of the lines that begin in a piece of a file. */
#ifndef WORDCOUNT_COUNT_H
#define WORDCOUNT_COUNT_H

#include "table.h"

/* Words are runs of letters and digits, and of bytes beyond ASCII, so that those of any
 * language in UTF-8 stay whole; the letters A to Z count as a to z. */

/* False if there is not enough memory. Changes the text. */
bool count_text(table *t, char *text, size_t size);

/* The lines that begin at from or behind it and before to: so every line of a file that
 * is cut into pieces is counted once, wherever the cuts are. 0 or errno. */
int count_piece(table *t, int fd, int64_t from, int64_t to);

#endif
