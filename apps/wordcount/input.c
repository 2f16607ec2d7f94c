/* input.c - the files of the command line as pieces of work. */
#include "input.h"
#include "../support/tool.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const int64_t LEAST = 256 << 10, MOST = 16 << 20; /* bytes in a piece */
enum { BLOCK = 1 << 20, SHARES = 16 };                   /* pieces for each worker, at best */

struct input {
    char **files;
    int count, next; /* next: the file behind the one that is read */
    int64_t length, pieces;
    bool failed;
    /* The file that is cut up. */
    char *path;
    int64_t at, size;
    /* What is read here, and not by workers: -1 if nothing is. */
    int stream;
    size_t kept; /* bytes behind the last line end, not given yet */
    size_t given;
    struct piece *piece;
    size_t room;
};

/* Its size, if it is a file with a size; else 0: a pipe, or one in /proc. */
static int64_t size_of(const char *file) {
    struct stat s;
    bool known = strcmp(file, "-") != 0 && stat(file, &s) == 0 && S_ISREG(s.st_mode);
    return known ? s.st_size : 0;
}

input *input_open(char **files, int count, int workers) {
    input *in = calloc(1, sizeof *in);
    if (!in)
        return NULL;
    in->files = files;
    in->count = count;
    in->stream = -1;
    int64_t total = 0;
    for (int i = 0; i < count; i++)
        total += size_of(files[i]);
    in->length = total / ((int64_t)workers * SHARES);
    in->length = in->length < LEAST ? LEAST : in->length > MOST ? MOST : in->length;
    for (int i = 0; i < count; i++)
        in->pieces += (size_of(files[i]) + in->length - 1) / in->length;
    return in;
}

void input_close(input *in) {
    if (in->stream > STDIN_FILENO)
        close(in->stream);
    free(in->path);
    free(in->piece);
    free(in);
}

int64_t input_pieces(const input *in) {
    return in->pieces;
}

bool input_failed(const input *in) {
    return in->failed;
}

static bool make_room(input *in, size_t bytes) {
    if (bytes <= in->room)
        return true;
    struct piece *piece = realloc(in->piece, sizeof *piece + bytes);
    if (!piece)
        return false;
    in->piece = piece;
    in->room = bytes;
    return true;
}

static void complain(input *in, const char *file, int error) {
    tool_say("%s cannot be read: %s", file, strerror(error));
    in->failed = true;
}

/* Begins with the next file. Whether it can be read is tried here: that is said once. */
static void begin(input *in) {
    const char *file = in->files[in->next++];
    struct stat s;
    if (strcmp(file, "-") == 0) {
        in->stream = STDIN_FILENO;
        return;
    }
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &s) < 0) {
        complain(in, file, errno);
    } else if (S_ISDIR(s.st_mode)) {
        complain(in, file, EISDIR);
    } else if (!S_ISREG(s.st_mode) || s.st_size == 0) {
        in->stream = fd;
        return;
    } else {
        free(in->path);
        in->path = realpath(file, NULL); /* workers may have another current folder */
        in->at = 0;
        in->size = in->path ? s.st_size : 0;
        if (!in->path)
            complain(in, file, errno);
    }
    if (fd >= 0)
        close(fd);
}

/* As read, but at an end when the program is stopped while it waits: the signal may have
 * come just before, or to another thread, and so need not interrupt a read. */
static ssize_t read_stream(int fd, char *to, size_t size) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (!tool_stopped()) {
        int ready = poll(&wait, 1, 100);
        if (ready == 0 || (ready < 0 && errno == EINTR))
            continue;
        ssize_t n = read(fd, to, size);
        if (n >= 0 || (errno != EINTR && errno != EAGAIN))
            return n;
    }
    return 0;
}

/* The next lines of a stream, as many as a block holds; at least one. 0 at its end. */
static int next_of_stream(input *in, size_t *size) {
    size_t used = in->kept;
    if (in->piece)
        memmove(in->piece->bytes, in->piece->bytes + in->given, used);
    for (in->given = 0; in->given == 0;) {
        if (!make_room(in, used + BLOCK))
            return CREW_ENOMEM;
        ssize_t n = read_stream(in->stream, in->piece->bytes + used, BLOCK);
        if (n < 0)
            complain(in, in->files[in->next - 1], errno);
        if (n <= 0) {
            if (in->stream != STDIN_FILENO)
                close(in->stream);
            in->stream = -1;
            in->given = used;
            break;
        }
        const char *end = memrchr(in->piece->bytes + used, '\n', (size_t)n);
        used += (size_t)n;
        if (end && used >= BLOCK)
            in->given = (size_t)(end + 1 - in->piece->bytes);
    }
    in->kept = used - in->given;
    in->piece->from = 0;
    in->piece->to = -1;
    *size = sizeof *in->piece + in->given;
    in->pieces++;
    return in->given > 0;
}

static int next_of_file(input *in, size_t *size) {
    size_t length = strlen(in->path) + 1;
    if (!make_room(in, length))
        return CREW_ENOMEM;
    int64_t left = in->size - in->at;
    in->piece->from = in->at;
    in->at += left < in->length ? left : in->length;
    in->piece->to = in->at;
    memcpy(in->piece->bytes, in->path, length);
    *size = sizeof *in->piece + length;
    return 1;
}

int input_next(void *ctx, const void **item, size_t *size) {
    input *in = ctx;
    int status = 0;
    while (status == 0 && !tool_stopped()) {
        if (in->stream >= 0)
            status = next_of_stream(in, size);
        else if (in->at < in->size)
            status = next_of_file(in, size);
        else if (in->next < in->count)
            begin(in);
        else
            break;
    }
    *item = in->piece;
    return status;
}
