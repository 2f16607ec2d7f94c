/* fleet/wire.h - what nodes say to each other.
 *
 * A message is a letter and what its word says follows it. All nodes run the same build
 * (that is checked before the first letter), so structs travel as they are. Home is the
 * manager's node, guests are the others: home gives out ranges of maps and tasks, one at
 * a time to each proxy (team/proxy.h), guests run them on a pool of their own. */
#ifndef CW_FLEET_WIRE_H
#define CW_FLEET_WIRE_H

#include "team/board.h"

#include <crew/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cw_word {
    CW_W_NOTHING,
    /* from home */
    CW_W_OPEN,  /* cw_opening, the initializer's argument */
    CW_W_JOB,   /* cw_errand, the common argument: about the ranges that follow */
    CW_W_RANGE, /* [lo, hi) of that job, code: the attempt; its items */
    CW_W_CUT,   /* what nobody has begun of that range from lo on is wanted back */
    CW_W_STOP,  /* nothing above lo of that job starts; code not 0: not at all, and what runs ends */
    CW_W_TASK,  /* cw_chore, its item, its common argument */
    CW_W_DROP,  /* nobody wants that task any more */
    CW_W_RECALL, /* if that task has not begun it is not to; code 1: if it has, nobody wants it */
    CW_W_COUNT, /* how much have your workers done? */
    CW_W_PLAN,  /* where would so many workers be? cw_opening */
    CW_W_START, /* a process, whose handle at home is (lo, hi): cw_process_errand, its argument,
                 * its ends of pipes */
    CW_W_SIGNAL, /* code: for that process */
    CW_W_GANG_CALL,    /* proxy: the worker, of that node; turn: its muster's. It is to come */
    CW_W_GANG_DISMISS, /* the same, and it need not */
    CW_W_GANG_GO,      /* they all are there: struct cw_gang, ranks, item, common; code: the place */
    CW_W_GANG_DROP,    /* nobody wants it any more */
    CW_W_CLOSE, /* code: CW_DRAIN or CW_TERMINATE */
    CW_W_MUSTER, /* the program is about to end: are all your ranks still there? */
    CW_W_BYE,   /* the program ends; code 1: without some of its nodes or ranks */
    /* from guests */
    CW_W_HELLO,      /* lo: workers it has if nobody says how many; code: it can have none, and
                      * crew_error; later, lo -1: it can have none any more */
    CW_W_OPENED,     /* crew_error, whose code is the letter's; if that is 0, cw_place of each worker */
    CW_W_RANGE_PART, /* what is finished of [lo, hi) and not told yet: cw_tally, marks (if not all
                      * are done), results */
    CW_W_RANGE_OVER, /* the same of the rest: [lo, hi) with hi, where the range ends; failures */
    CW_W_RANGE_CUT,  /* that range ends at lo now, which was hi */
    CW_W_TASK_OVER,  /* code, lo: ns from its arrival; cw_failure if code is not 0, then the result */
    CW_W_TASK_BACK,  /* it waits for a worker, and may as well do so elsewhere */
    CW_W_TASK_KEPT,  /* it was recalled, and has begun */
    CW_W_GANG_HERE,  /* proxy, turn: that worker is there */
    CW_W_GANG_OVER,  /* its part has ended: code; cw_failure if it is not 0; the result, of place 0 */
    CW_W_COUNTED,    /* a cw_count for each worker */
    CW_W_PLANNED,    /* a cw_place for each; crew_error if its code, the letter's, is not 0 */
    CW_W_STARTED,    /* code: the pid of that process */
    CW_W_TAKEN,      /* the ends of pipes that it was given are its own */
    CW_W_ENDED,      /* it has: cw_process_end */
    CW_W_BROKEN,     /* the pool cannot go on there: crew_error */
    CW_W_CLOSED,
    CW_W_MUSTERED, /* code 1: some are not */
    CW_W_STOPPED,    /* a process of that node has had the signal of this code */
    /* from any node to any: objects, see share/desk.h. pool, turn: a process there (its party's
     * number + 1 and generation); slot, generation: its thread's desk. What has lo and hi is
     * [lo, ...) of hi bytes. Those that end with _PART follow when a READY came. */
    CW_W_ASK, /* to the home of an object: cw_ask; its bytes if they are few */
    CW_W_ASK_PART,
    CW_W_ANSWER, /* from there: cw_told; its bytes if they are few */
    CW_W_ANSWER_PART,
    CW_W_ASK_READY,    /* from there: there is room for the question's bytes */
    CW_W_ANSWER_READY, /* to there: for those of the answer; code not 0: there is none */
    CW_W_LEFT,         /* to there: that thread has ended */
    CW_W_GONE,         /* to there: that process is dead */
    /* from all, also to each other: arrays (api/array_agent.c) */
    CW_W_FREIGHT,      /* a question: slot, turn: of which boat; cw_freight, its data */
    CW_W_FREIGHT_BACK, /* the answer: the same, code; crew_error if that is not 0, else data */
    CW_W_CAST,         /* slot, turn; cw_cast_order, the nodes of the chain */
    CW_W_ARRAY_GONE,   /* the array (lo, hi) has ended at its home; code 1: nobody reads it any more */
    CW_W_ARRAY_GONE_BACK, /* it is forgotten here; code 1: its memory is free */
    CW_W_NUDGE,        /* that node is being read: look often */
    /* from both */
    CW_W_LOST, /* from home: node lo is lost; also to that node itself, if it can hear */
    CW_W_BEAT, /* still here */
    CW_W_WORDS
};

/* Whoever gets it need not expect that soon more comes. Ranges take their time; who sends
 * short ones expects their end (home_out.c). */
static inline bool cw_word_only_tells(uint32_t word) {
    return word == CW_W_BEAT || word == CW_W_JOB || word == CW_W_RANGE || word == CW_W_RANGE_PART ||
           word == CW_W_RANGE_OVER || word == CW_W_STOP;
}

struct cw_letter {
    uint32_t word; /* enum cw_word */
    uint32_t pool; /* which of home's */
    uint32_t proxy, turn;      /* of the guest's proxies, and its which range or task */
    uint32_t slot, generation; /* which job */
    int32_t code;
    uint32_t spare;
    int64_t lo, hi;
};

struct cw_opening {
    int workers, first, total, node; /* of this node; their numbers; of all nodes */
    int threads_per_worker, bind, retries, proxies;
    double task_timeout;
    uint64_t task_memory, seed, init_size;
    int64_t tasks_per_worker;
    cw_fn_name init, fini;
    uint64_t stop_on; /* signals that stop the program */
    uint32_t pool; /* the letters' */
    char name[48];
};

/* A map, as the guest has to know it: see struct cw_job. */
struct cw_errand {
    int kind, schedule, on_error, is_index, retries, workers;
    cw_fn_name fn, combine;
    int64_t count, grain, total, first, step, chunk;
    double task_timeout;
    uint64_t stream, in_size, out_size, common_size;
};

/* A submitted task: see struct cw_task. */
struct cw_chore {
    cw_fn_name fn;
    int attempt, retries, priority;
    double task_timeout;
    uint64_t task_memory, in_size, common_size, slot_size, stream;
    int64_t index;
};

/* A process: see struct cw_proc. */
struct cw_process_errand {
    cw_fn_name fn;
    uint64_t from_place, from_check, size, conns;
    char name[48];
};

/* How it ended: see struct cw_seat. */
struct cw_process_end {
    int status, sys;
    uint32_t step;
};

struct cw_tally {
    int64_t calls;    /* how many were made, of the whole range: at its end */
    int64_t done;     /* items with results; hi - lo: all of them, no marks follow */
    int64_t ns;       /* from the range's arrival to its end */
    int64_t failures; /* so many cw_failure at the end */
};

struct cw_count {
    int64_t items, failures, restarts, busy_ns, there_ns;
};

/* What a letter costs who sends or reads it: about that over TCP. */
enum { CW_LETTER_NS = 5000 };

/* A message that is being written. Memory may run out: then it stays out, and `failed`
 * is set. */
struct cw_parcel {
    char *data;
    size_t size, room;
    bool failed;
};
void cw_parcel_begin(struct cw_parcel *p, const struct cw_letter *letter);
void cw_parcel_put(struct cw_parcel *p, const void *data, size_t size);
/* Room for so many bytes more, to be filled by the caller; NULL: no memory. */
void *cw_parcel_room(struct cw_parcel *p, size_t size);
void cw_parcel_drop(struct cw_parcel *p);

/* A message that is being read. */
struct cw_reader {
    const char *at, *end;
};
/* The next size bytes, NULL if there are not so many. Not aligned. */
const void *cw_read(struct cw_reader *r, size_t size);
/* Into an object of that size. False: the message is too short. */
bool cw_read_into(struct cw_reader *r, void *to, size_t size);

#endif
