/* Objects as their callers see them: this thread, handles, and what is wrong
 * with one. */
#include "api/objects.h"

#include "api/far.h"
#include "api/joint.h"
#include "api/session.h"

struct cw_self *cw_self_join(crew_error *err) {
    struct cw_share *share = cw_share_here();
    if (!share || !share->party) {
        struct cw_session *s = cw_session_get(err);
        if (!s || cw_session_serve(s, err) < 0)
            return NULL;
        share = cw_share_here();
    }
    if (!share) {
        cw_error_set(err, CREW_ENOTSUP, 0,
                     "a child that a worker or process of crew has forked by itself cannot use "
                     "what the program shares: start it with crew_process_start");
        return NULL;
    }
    return cw_self_make(share, err);
}

int cw_handle_stale(enum cw_kind_of kind, uint64_t place, uint64_t check) {
    const struct cw_share *share = cw_share_here();
    const char *name = cw_kind(kind)->name;
    uint64_t other = place >> 48;
    if (!place && !check)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the handle of the %s is empty", name);
    if (other > 0 && other < CW_KINDS && other != (uint64_t)kind)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the handle is that of a %s, not of a %s",
                            cw_kind((enum cw_kind_of)other)->name, name);
    bool far = share && cw_handle_far(share, check);
    if (far && (kind == CW_PROCESS || kind == CW_SHM))
        return cw_error_set(NULL, CREW_EINVAL, 0, "the %s is on node %u, and of use there only",
                            name, cw_handle_node(check));
    if (share && !far && check >> 32 != share->commons->session && cw_joint_follows())
        return cw_error_set(NULL, CREW_ENOTSUP, 0,
                            "the %s is none of this rank's: while a rank serves a pool without "
                            "leading its node, what the pool's ranks share is for its tasks", name);
    if (share && !far && check >> 32 != share->commons->session)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the %s belongs to another program, or to an "
                            "earlier session of this one", name);
    return cw_error_set(NULL, CREW_EINVAL, 0, "there is no such %s any more", name);
}

int cw_handle_make(enum cw_kind_of kind,
                   int (*init)(struct cw_share *share, struct cw_head *head, void *arg,
                               crew_error *err),
                   void *arg, uint64_t *place, uint64_t *check) {
    if (!place)
        return cw_error_set(NULL, CREW_EINVAL, 0, "the handle to fill is NULL");
    struct cw_self *self = cw_self_get();
    if (!self)
        return crew_last_error()->code;
    int rc = cw_object_make(self->share, kind, init, arg, place, check, cw_error_last());
    return rc < 0 ? rc : cw_error_clear(NULL);
}

int cw_handle_end(enum cw_kind_of kind, uint64_t place, uint64_t check) {
    struct cw_self *self = cw_self_get();
    if (!self)
        return crew_last_error()->code;
    if (cw_object_end(self->share, kind, place, check) < 0)
        return cw_handle_stale(kind, place, check) < 0
                   ? (int)cw_far_number(CW_CALL_END, place, check, kind)
                   : 0;
    return cw_error_clear(NULL);
}
