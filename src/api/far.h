/* api/far.h - calls about objects of another node: see share/desk.h.
 *
 * A public call that does not find its object here ends with one of these. If the handle
 * is another node's the same call is made there, and its results, its sentence too, are
 * this thread's; else why the handle means nothing has been said, and is returned.
 *
 * Every call there is has a word; far_sync.c and far_data.c make them at home. */
#ifndef CW_API_FAR_H
#define CW_API_FAR_H

#include "api/objects.h"
#include "share/desk.h"

enum cw_call {
    CW_CALL_NONE,
    /* far_sync.c. timeout where the public call has one; END: a: the kind */
    CW_CALL_END,
    CW_CALL_LOCK_ACQUIRE,
    CW_CALL_LOCK_RELEASE,
    CW_CALL_RLOCK_ACQUIRE,
    CW_CALL_RLOCK_RELEASE,
    CW_CALL_SEM_ACQUIRE,
    CW_CALL_SEM_RELEASE,
    CW_CALL_SEM_VALUE,
    CW_CALL_EVENT_SET,
    CW_CALL_EVENT_CLEAR,
    CW_CALL_EVENT_IS_SET,
    CW_CALL_EVENT_WAIT,
    CW_CALL_COND_CREATE, /* of the lock; gives the condition: a, b */
    CW_CALL_COND_MINE,   /* whether this thread holds its lock */
    CW_CALL_COND_WAIT,
    CW_CALL_COND_NOTIFY, /* a: how many */
    CW_CALL_BARRIER_WAIT, /* gives the index */
    CW_CALL_BARRIER_ABORT,
    CW_CALL_BARRIER_RESET,
    CW_CALL_BARRIER_PARTIES,
    CW_CALL_BARRIER_N_WAITING,
    CW_CALL_BARRIER_BROKEN,
    CW_CALL_VALUE_LOCK,
    CW_CALL_VALUE_UNLOCK,
    CW_CALL_VALUE_GET, /* these four: a, b numbers, or the bits of doubles where ... */
    CW_CALL_VALUE_SET, /* ... cap is 1; give a number in a */
    CW_CALL_VALUE_ADD,
    CW_CALL_VALUE_CAS, /* a: expected, b: next; gives what it was */
    CW_CALLS_SYNC,
    /* far_data.c. Parts are those of the public call, in its order */
    CW_CALL_QUEUE_PUT,
    CW_CALL_QUEUE_GET,
    CW_CALL_QUEUE_SIZE,
    CW_CALL_QUEUE_FULL,
    CW_CALL_QUEUE_TASK_DONE,
    CW_CALL_QUEUE_JOIN,
    CW_CALL_QUEUE_CLOSE,
    CW_CALL_QUEUE_PRODUCE,
    CW_CALL_QUEUE_LEAVE,
    CW_CALL_DICT_SET,
    CW_CALL_DICT_DEL,
    CW_CALL_DICT_CAS, /* key, expected, value */
    CW_CALL_DICT_ADD, /* a: n; gives what it was in a */
    CW_CALL_DICT_GET,
    CW_CALL_DICT_POP,
    CW_CALL_DICT_HAS,
    CW_CALL_DICT_SIZE,
    CW_CALL_DICT_CLEAR,
    CW_CALL_DICT_EACH, /* gives all: cw_far_each */
    CW_CALL_LIST_INSERT, /* a: the place; INT64_MAX: append */
    CW_CALL_LIST_SET,
    CW_CALL_LIST_GET,
    CW_CALL_LIST_POP,
    CW_CALL_LIST_SIZE,
    CW_CALL_LIST_CLEAR,
    CW_CALL_LIST_EACH,
    CW_CALL_CONN_SEND,
    CW_CALL_CONN_RECV,
    CW_CALL_CONN_POLL,
    CW_CALL_CONN_CLOSE,
    CW_CALL_CONN_LOOK, /* whether it can be given to a process */
    CW_CALL_CONN_OWN,  /* it is the caller's from now on */
    CW_CALLS
};

/* ---- the caller's side ---- */

/* True if the handle is one of another node of this program. */
bool cw_far_is(uint64_t check);

/* A call, in both directions. */
struct cw_far {
    struct cw_ask ask; /* call, place, check, timeout, a, b, cap */
    struct cw_bytes in[CW_ASK_PARTS];
    struct cw_out *out; /* where the answer's bytes go; NULL: nowhere */
    int64_t a, b;       /* what it gave */
};
/* What the public call returns. */
int64_t cw_far_call(struct cw_far *far);

/* One that has nothing but a time limit (else 0). */
int cw_far(enum cw_call call, uint64_t place, uint64_t check, double timeout);
/* One with a number. */
int64_t cw_far_number(enum cw_call call, uint64_t place, uint64_t check, int64_t a);
/* What there is no way to have of another node: says so, and what to do instead. Returns
 * CREW_ENOTSUP (or what was said, for a handle that is none). */
int cw_far_not(uint64_t check, const char *what);
/* Calls fn for each pair of bytes that a DICT_EACH or LIST_EACH gave. */
int cw_far_each(enum cw_call call, uint64_t place, uint64_t check,
                int (*fn)(void *ctx, struct cw_bytes key, struct cw_bytes val), void *ctx);

/* ---- at home, on the deputy's thread ---- */

/* What a call gives beside numbers: bytes of malloc, or none. */
struct cw_given {
    void *data;
    size_t size;
};
/* Makes the call of desk->ask: fills told but its bytes. in: the question's. */
void cw_far_make_sync(const struct cw_ask *ask, struct cw_told *told);
void cw_far_make_data(const struct cw_ask *ask, const char *in, struct cw_told *told,
                      struct cw_given *given);

/* A pair of bytes as DICT_EACH gives it; the value follows, then the key, each filled up
 * to 16 bytes. */
struct cw_far_pair {
    uint64_t key, val;
};
static inline size_t cw_far_padded(uint64_t size) {
    return (size_t)(size + 15) / 16 * 16;
}

#endif
