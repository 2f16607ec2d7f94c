/* input.h - the files of the command line as pieces of work. */
#ifndef WORDCOUNT_INPUT_H
#define WORDCOUNT_INPUT_H

#include <crew/crew.h>

/* An item: a piece of a file, that workers read by its name, or text itself, of what has
 * no size and place: standard input and pipes. */
struct piece {
    int64_t from, to; /* to -1: it is text that follows; else the file's name follows */
    char bytes[];
};

typedef struct input input;

/* A source of pieces, for crew_imap. NULL if there is not enough memory. */
input *input_open(char **files, int count, int workers);
int input_next(void *input, const void **item, size_t *size);
void input_close(input *in);

int64_t input_pieces(const input *in); /* how many there are, as far as is known */
bool input_failed(const input *in);    /* a file could not be read; it has been told */

#endif
