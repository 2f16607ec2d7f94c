/* Where a stream's items come from: arrays, ranges, lines. */
#include "api/source.h"

#include "base/error.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

struct array_source {
    const char *in;
    size_t size;
    int64_t count, at;
};

static int next_of_array(void *ctx, const void **item, size_t *size) {
    struct array_source *s = ctx;
    if (s->at >= s->count)
        return 0;
    *item = s->in + (size_t)s->at++ * s->size;
    *size = s->size;
    return 1;
}

crew_source crew_source_array(const void *in, size_t in_size, int64_t count) {
    struct array_source *s = malloc(sizeof *s);
    if (s)
        *s = (struct array_source){in, in_size, count, 0};
    return (crew_source){next_of_array, s};
}

struct range_source {
    int64_t value, step, left;
    int64_t item;
};

static int next_of_range(void *ctx, const void **item, size_t *size) {
    struct range_source *s = ctx;
    if (s->left <= 0)
        return 0;
    s->item = s->value;
    s->value = (int64_t)((uint64_t)s->value + (uint64_t)s->step);
    s->left--;
    *item = &s->item;
    *size = sizeof s->item;
    return 1;
}

crew_source crew_source_range(int64_t first, int64_t count, int64_t step) {
    struct range_source *s = malloc(sizeof *s);
    if (s)
        *s = (struct range_source){first, step ? step : 1, count, 0};
    return (crew_source){next_of_range, s};
}

struct lines_source {
    FILE *file;
    char *line;
    size_t room;
    int error; /* errno of a read that has failed */
};

static int next_of_lines(void *ctx, const void **item, size_t *size) {
    struct lines_source *s = ctx;
    errno = 0;
    ssize_t n = getline(&s->line, &s->room, s->file);
    /* A line that memory has no room for sets no error in the FILE: but it is not its end. */
    if (n < 0 && feof(s->file) && !ferror(s->file))
        return 0;
    if (n < 0) {
        s->error = errno;
        return s->error == ENOMEM ? CREW_ENOMEM : CREW_EINVAL;
    }
    if (n > 0 && s->line[n - 1] == '\n')
        n--;
    if (n > 0 && s->line[n - 1] == '\r')
        n--;
    *item = s->line;
    *size = (size_t)n;
    return 1;
}

crew_source crew_source_lines(FILE *file) {
    struct lines_source *s = calloc(1, sizeof *s);
    if (s)
        s->file = file;
    return (crew_source){next_of_lines, s};
}

void cw_source_release(crew_source *s) {
    if (s->next == next_of_lines && s->ctx)
        free(((struct lines_source *)s->ctx)->line);
    if (s->next == next_of_array || s->next == next_of_range || s->next == next_of_lines)
        free(s->ctx);
    s->ctx = NULL;
}

static int check_array(const struct array_source *s, crew_error *err) {
    size_t bytes;
    if (s->count < 0)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "the source's count is %lld: it may not be negative",
                            (long long)s->count);
    if (s->count && s->size && !s->in)
        return cw_error_set(err, CREW_EINVAL, 0, "the source's items are NULL, their count is %lld",
                            (long long)s->count);
    if (__builtin_mul_overflow((size_t)s->count, s->size, &bytes) || bytes > PTRDIFF_MAX)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "%lld items of %zu bytes are more than memory can hold",
                            (long long)s->count, s->size);
    return 0;
}

int cw_source_check(const crew_source *s, crew_error *err) {
    bool ours = s->next == next_of_array || s->next == next_of_range || s->next == next_of_lines;
    if (!s->next)
        return cw_error_set(err, CREW_EINVAL, 0, "the source has no function");
    if (ours && !s->ctx)
        return cw_error_set(err, CREW_ENOMEM, 0, "no memory for the source");
    if (s->next == next_of_array)
        return check_array(s->ctx, err);
    if (s->next == next_of_range && ((struct range_source *)s->ctx)->left < 0)
        return cw_error_set(err, CREW_EINVAL, 0,
                            "the source's count is %lld: it may not be negative",
                            (long long)((struct range_source *)s->ctx)->left);
    if (s->next == next_of_lines && !((struct lines_source *)s->ctx)->file)
        return cw_error_set(err, CREW_EINVAL, 0, "the source's file is NULL");
    return 0;
}

int cw_source_failed(const crew_source *s, int64_t index, int code, crew_error *err) {
    if (s->next == next_of_lines)
        return cw_error_set(err, code, ((const struct lines_source *)s->ctx)->error,
                            "line %lld cannot be read", (long long)index + 1);
    return cw_error_set(err, code, 0, "the source failed at item %lld with code %d",
                        (long long)index, code);
}
