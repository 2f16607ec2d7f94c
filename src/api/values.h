/* api/values.h - what goes into dictionaries and lists, and comes out. */
#ifndef CW_API_VALUES_H
#define CW_API_VALUES_H

#include "api/objects.h"
#include "share/bytes.h"

/* 0, or CREW_EINVAL: NULL has a size, or it is larger than memory can be. */
static inline int cw_bytes_check(const void *data, size_t size, const char *what) {
    if (!data && size)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the %s is NULL and has %zu bytes", what, size);
    if (size > CW_BYTES_MOST)
        return cw_error_set(NULL, CREW_EINVAL, 0, "a %s cannot have %zu bytes", what, size);
    return 0;
}

/* Bytes that are there, if only none of them. */
static inline struct cw_bytes cw_bytes_of(const void *data, size_t size) {
    return (struct cw_bytes){data ? data : "", size};
}

/* The same for where a value goes. `made` may be NULL with a buffer. */
static inline int cw_out_check(const struct cw_out *out) {
    if (!out->made && !out->buf && out->cap)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the buffer is NULL and has room for %zu bytes",
                            out->cap);
    return 0;
}

/* The sentences of cw_out_put. */
static inline int cw_out_failed(const struct cw_out *out, int rc) {
    if (rc == CREW_ETOOSMALL)
        return cw_error_set(NULL, rc, 0, "the value has %zu bytes, the buffer room for %zu",
                            out->size, out->cap);
    return cw_error_set(NULL, CREW_ENOMEM, 0, "no memory for a value of %zu bytes", out->size);
}

#endif
