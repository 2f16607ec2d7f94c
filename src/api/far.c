/* The caller's side of calls about other nodes' objects. */
#include "api/far.h"

#include "api/joint.h"
#include "os/futex.h"

#include <stdlib.h>
#include <string.h>

bool cw_far_is(uint64_t check) {
    const struct cw_share *share = cw_share_here();
    return share && cw_handle_far(share, check);
}

/* The answer's bytes to where they go. */
static int64_t take(const struct cw_share *share, struct cw_desk *desk, struct cw_out *out) {
    const struct cw_told *told = &desk->told;
    if (told->rc < 0 || !out)
        return told->rc;
    if (cw_out_put(out, cw_desk_out(share, desk), told->bytes) == 0)
        return told->rc;
    return cw_error_set(NULL, CREW_ENOMEM, 0,
                        "no memory for %llu bytes that came from another node",
                        (unsigned long long)told->bytes);
}

/* An answer comes at once, or when somebody else has done something. */
static void await(_Atomic uint32_t *word, uint32_t seen, double timeout) {
    static const int64_t soon_ns = 100000;
    if (cw_joint_drives() || !cw_futex_expect(word, seen, soon_ns))
        cw_joint_wait(word, seen, timeout);
}

int64_t cw_far_call(struct cw_far *far) {
    if (!cw_far_is(far->ask.check))
        return crew_last_error()->code;
    struct cw_self *self = cw_self_get();
    struct cw_desk *desk = self ? cw_desk_get(self, cw_error_last()) : NULL;
    if (!desk)
        return crew_last_error()->code;
    desk->ask = far->ask;
    int rc = cw_desk_ask(self, desk, far->in, await, cw_error_last());
    if (rc == CREW_EBROKEN)
        return rc; /* the desk is gone */
    int64_t result = rc;
    if (rc == 0) {
        far->a = desk->told.a;
        far->b = desk->told.b;
        cw_error_copy(NULL, &desk->told.error);
        result = take(self->share, desk, far->out);
    }
    cw_desk_clear(self->share, desk);
    return result;
}

int cw_far(enum cw_call call, uint64_t place, uint64_t check, double timeout) {
    struct cw_far far = {.ask = {.call = call, .place = place, .check = check, .timeout = timeout}};
    return (int)cw_far_call(&far);
}

int64_t cw_far_number(enum cw_call call, uint64_t place, uint64_t check, int64_t a) {
    struct cw_far far = {.ask = {.call = call, .place = place, .check = check, .a = a}};
    return cw_far_call(&far);
}

int cw_far_not(uint64_t check, const char *what) {
    if (!cw_far_is(check))
        return crew_last_error()->code;
    return cw_error_set(NULL, CREW_ENOTSUP, 0, "%s: this one is on node %u", what,
                        cw_handle_node(check));
}

/* Of a message that its own program's other node has written: but who trusts sizes ... */
static int visit(const char *at, size_t size,
                 int (*fn)(void *ctx, struct cw_bytes key, struct cw_bytes val), void *ctx) {
    const char *end = at + size;
    while ((size_t)(end - at) >= sizeof(struct cw_far_pair)) {
        struct cw_far_pair pair;
        memcpy(&pair, at, sizeof pair);
        const char *val = at + sizeof pair, *key = val + cw_far_padded(pair.val);
        int rc = fn(ctx, (struct cw_bytes){key, pair.key}, (struct cw_bytes){val, pair.val});
        if (rc)
            return rc;
        at = key + cw_far_padded(pair.key);
    }
    return 0;
}

int cw_far_each(enum cw_call call, uint64_t place, uint64_t check,
                int (*fn)(void *ctx, struct cw_bytes key, struct cw_bytes val), void *ctx) {
    void *all = NULL;
    struct cw_out out = {.made = &all};
    struct cw_far far = {
        .ask = {.call = call, .place = place, .check = check, .cap = UINT64_MAX}, .out = &out};
    int rc = (int)cw_far_call(&far);
    if (rc == 0)
        rc = visit(all, out.size, fn, ctx);
    free(all);
    return rc;
}
