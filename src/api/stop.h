/* api/stop.h - a program that is to stop: signals, time limits, what pools do then.
 *
 * Signals come to any process of a job. The manager alone decides; the others pass on
 * what they get:
 *
 *     follower ──quay──> leader of its node ──letter──> manager ──> its pools ──> all workers
 *
 * Workers let pass by what their manager catches (os/signals.h). */
#ifndef CW_API_STOP_H
#define CW_API_STOP_H

#include "api/pool_impl.h"
#include "sched/stop.h"

/* The session begins: takes the signals and limits of its settings. */
void cw_stop_begin(struct cw_session *s);
/* Something has a journal from now on, so that the next job goes on where this one ends: the
 * end that the batch system tells of is minded, unless CREW_TIME_LIMIT says otherwise. */
void cw_stop_journalled(struct cw_session *s);
/* It is about to end: the ranks of its node are no more looked at, and may go. */
void cw_stop_part(void);
/* It ends: what has come is forgotten; its bell may go. Signals stay caught. */
void cw_stop_end(void);
/* In a child that was forked, and in workers: none of it is this process's. */
void cw_stop_forget(void);
/* This process leads a node that is not the manager's: while it does, it decides nothing. */
void cw_stop_passes_on(bool does);
/* A signal that this process, or a follower of its node, has had since the last call;
 * 0: none. For those that pass on. */
int cw_stop_heard(struct cw_session *s);
/* In the manager: another node has had that signal. Any thread. */
void cw_stop_told(int signal);

/* On the service thread. Returns in how many seconds it wants to be called again. */
double cw_stop_tend(struct cw_session *s);
/* The same when all pools have been visited since. */
void cw_stop_tended(void);
/* With the lock of a pool: does there what the phase asks for. */
void cw_stop_pool(crew_pool *p);

/* May new work begin in a stopped program? CREW_ESTOPPED if not. A thread that is a member
 * (threads, serial) belongs to what runs already. */
int cw_stop_accepts(struct cw_session *s, crew_error *err);
/* What a map that was stopped says: "stopped by SIGUSR1 after 4,120 of 10,000 items". of
 * negative: "... after 4,120 items". Remembers that something was stopped. */
int cw_stop_sentence(struct cw_session *s, int64_t done, int64_t of, crew_error *err);

#endif
