/* count.c - the words of a text, or of the lines that begin in a piece of a file. */
#include "count.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 1 << 18 };

/* The byte as it counts, if it belongs to a word; else 0. */
static inline unsigned char lower(unsigned char c) {
    if (c >= 'A' && c <= 'Z')
        return (unsigned char)(c + ('a' - 'A'));
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 128 ? c : 0;
}

static bool add_word(table *t, const char *word, size_t length) {
    return length <= UINT32_MAX && table_add(t, word, (uint32_t)length, 1);
}

/* Adds the words of text[0, size); a word at its end that may go on in what follows is
 * not added: *rest is where it begins. */
static bool add_words(table *t, char *text, size_t size, size_t *rest) {
    size_t begin = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = lower((unsigned char)text[i]);
        if (c) {
            text[i] = (char)c;
        } else {
            if (i > begin && !add_word(t, text + begin, i - begin))
                return false;
            begin = i + 1;
        }
    }
    *rest = begin;
    return true;
}

bool count_text(table *t, char *text, size_t size) {
    size_t rest;
    return add_words(t, text, size, &rest) &&
           (rest == size || add_word(t, text + rest, size - rest));
}

static ssize_t read_at(int fd, char *to, size_t size, int64_t at) {
    ssize_t n;
    do
        n = pread(fd, to, size, at);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Where the first line begins that does so at from or behind it; limit, if none does
 * before. *error is set if the file cannot be read. */
static int64_t line_start(int fd, int64_t from, int64_t limit, int *error) {
    if (from == 0)
        return 0;
    char *block = malloc(BLOCK);
    int64_t found = limit;
    ssize_t n = 0;
    /* A line begins behind a line end. */
    for (int64_t at = from - 1; block && at < limit - 1; at += n) {
        n = read_at(fd, block, BLOCK, at);
        char *end = n > 0 ? memchr(block, '\n', (size_t)n) : NULL;
        if (end && at + (end - block) + 1 < limit)
            found = at + (end - block) + 1;
        if (end || n <= 0)
            break;
    }
    if (!block || n < 0)
        *error = block ? errno : ENOMEM;
    free(block);
    return found;
}

/* Block by block; the beginning of a word that the block's end has cut off is kept. */
static int count_range(table *t, int fd, int64_t at, int64_t to) {
    size_t kept = 0, room = BLOCK;
    char *text = malloc(room);
    ssize_t n = 1;
    int error = text ? 0 : ENOMEM;
    while (!error && at < to && n > 0) {
        size_t most = room - kept, rest = 0;
        if ((int64_t)most > to - at)
            most = (size_t)(to - at);
        n = read_at(fd, text + kept, most, at);
        if (n < 0)
            error = errno;
        else if (!add_words(t, text, kept + (size_t)n, &rest))
            error = ENOMEM;
        if (error || n == 0)
            break;
        at += n;
        kept += (size_t)n - rest;
        memmove(text, text + rest, kept);
        if (kept > room / 2) { /* a very long word */
            char *more = kept < UINT32_MAX / 4 ? realloc(text, room *= 2) : NULL;
            error = more ? 0 : ENOMEM;
            text = more ? more : text;
        }
    }
    if (!error && kept && !add_word(t, text, kept))
        error = ENOMEM;
    free(text);
    return error;
}

int count_piece(table *t, int fd, int64_t from, int64_t to) {
    int error = 0;
    int64_t begin = line_start(fd, from, to, &error);
    if (error || begin == to)
        return error;
    int64_t end = line_start(fd, to, INT64_MAX, &error);
    return error ? error : count_range(t, fd, begin, end);
}
