/* api/session.h - the one global there is: this program's segment, its service
 * thread, its pools.
 *
 * A manager has a segment of its own for the boards of its pools. Objects live
 * in the root segment, which is the top manager's own; a worker that opens
 * pools has both. */
#ifndef CW_API_SESSION_H
#define CW_API_SESSION_H

#include "backend/backend.h"
#include "base/config.h"
#include "os/object.h"
#include "team/board.h"
#include "team/head.h"

#include <crew/pool.h>
#include <pthread.h>

struct cw_proc;

enum { CW_MAX_DEPTH = 4 }; /* pools in workers of pools in workers ... */

struct cw_session {
    struct cw_config config;
    bool by_init;       /* crew_init was called, not only needed */
    bool fresh;         /* crew_init has made it, and has not returned */
    unsigned epoch;     /* cw_epoch when it was made: another one means a fork child */
    int depth;          /* 0: the top manager; 1: a worker of its pools; ... */
    int cores;          /* this worker's slice; 0: all that may be used */
    int node;           /* that this process is on: as in crew_call.node */
    struct cw_proc *_Atomic self; /* this process's own record, once it has been asked for */
    cw_segment own, root;
    cw_arena arena, root_arena;
    cw_arena arrays; /* in the root segment */
    struct cw_bell *bell;
    struct cw_berths *berths; /* the ranks of this node, of which this one is the leader; or NULL */
    cw_objects at_init; /* what a nursery of the session can run */
    char host[64];
    _Atomic bool stopped; /* something was stopped: finalize returns 85 */

    /* From here to `serving`: guarded by cw_session_lock. */
    crew_pool *pools;
    crew_pool *visiting; /* the pool that the service thread is in */
    int leaving;         /* pools that some thread is freeing */
    pthread_t service;
    bool serving;
    bool settled;       /* the service thread has begun ... */
    crew_error unsettled; /* ... code 0: and well */
    _Atomic uint32_t quit;
    _Atomic bool deaths; /* a process of ours has ended: its objects are to be looked at */
    _Atomic uint32_t ended; /* futex of this process: futures that somebody watches ended */
};

/* Of the session's list of pools; "session.lock" where lock orders are told. */
extern pthread_mutex_t cw_session_lock;

/* Counts the forks on the way from the first process to this one: a pool or
 * session that remembers another number belongs to another process. */
extern unsigned cw_epoch;

/* The session, made if there is none yet. NULL with the reason. */
struct cw_session *cw_session_get(crew_error *err);
/* The session if there is one in this process. */
struct cw_session *cw_session_if_any(void);

/* Starts the service thread if need be; the process has joined the objects then. */
int cw_session_serve(struct cw_session *s, crew_error *err);
/* Has what a dead process held in objects put right, soon. */
void cw_session_death(struct cw_session *s);
/* In a worker, on the thread that lasts: this process uses objects too. */
int cw_session_join_objects(const cw_segment *root, crew_error *err);

/* Lists a pool: from now on the service thread looks after it. Starts that
 * thread if need be. */
int cw_session_add(struct cw_session *s, crew_pool *p, crew_error *err);
/* Whoever frees a pool claims it first. False: it is none of this process's, or
 * another thread has claimed it, and now it is gone. Does not look into p. */
bool cw_session_claim(crew_pool *p);
/* Takes it off the list; returns when the service thread is not in it. */
void cw_session_remove(struct cw_session *s, crew_pool *p);
/* Its memory is free. */
void cw_session_left(struct cw_session *s);
/* There is a service thread. */
bool cw_session_served(struct cw_session *s);
/* Set while this thread runs a callback: what it asks for must not wait for that. */
extern _Thread_local bool cw_in_callback;
/* Makes the service thread look at once. */
void cw_session_ring(struct cw_session *s);

/* ---- process.c, process_child.c ---- */

/* On the service thread: children that have ended. */
void cw_processes_tend(void);
/* Daemons are ended, the others waited for; all records are closed. */
void cw_processes_finish(void);
/* In a process that crew_process_start has brought: runs its function, never
 * returns. */
void cw_process_enter(const struct cw_billet *billet);

/* In a worker process, for backends: becomes the member and never returns. */
void cw_worker_enter(const struct cw_billet *billet);
/* In a thread of the manager: returns when the member has left. */
void cw_thread_enter(const struct cw_billet *billet);
/* In a follower whose members are threads: the leader's segment takes the place of its
 * session, which becomes a worker's. On the thread that lasts. */
int cw_rank_adopt(int fd, cw_segment *segment, crew_error *err);
/* In such a thread. */
void cw_rank_enter(const struct cw_billet *billet);

/* In a fresh program: if it was started as a worker (CREW_START_SPAWN), becomes
 * it and never returns. */
void cw_worker_if_spawned(void);
bool cw_worker_was_spawned(void);

/* comm.c: its member ends, and with it what crew_call_comm has made for it. */
struct cw_member;
void cw_comm_end(struct cw_member *m);

/* The segments this process has mapped, as its (or its manager's) session says;
 * in a forked worker the session is still the manager's copy. */
cw_segment cw_session_segments(cw_segment *root);
/* Where this process's session goes on as a worker's. */
void cw_session_become_worker(const cw_segment *root, int depth, int cores);
/* In a follower's nursery: the segment of its leader in place of the session's own, see
 * backend/ranks/ranks.h. */
int cw_session_adopt(int fd, cw_segment *segment, crew_error *err);
/* In crew_init, while nothing uses the session: its memory is that of the node's window
 * from now on, which the leader lays out. Its nursery comes afterwards. */
int cw_session_move(struct cw_session *s, void *memory, uint64_t size, bool leads,
                    crew_error *err);
/* Starts the nursery, if there is to be one. */
void cw_session_prepare(const struct cw_session *s);
/* CREW_START_SPAWN needs memory that another program can map. CREW_ENOTSUP: it is MPI's. */
int cw_session_may_spawn(const struct cw_session *s, crew_error *err);
/* This process's session, made or not: its place in the tree. */
struct cw_session *cw_session_self(void);

#endif
