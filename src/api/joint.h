/* api/joint.h - pools inside a program's own MPI: crew_mpi_pool.
 *
 * The ranks of a communicator are for a while what the ranks of a launcher's job are in a
 * program whose MPI is crew's (launch.h): the root is the manager and goes on, the lowest
 * rank of each other node serves it, the rest lend it their nurseries. The nurseries are
 * forked for the pool, as it opens. When the pool is freed, all go home, and every rank is
 * what it was.
 *
 * One at a time in a process: the state of launch.c is used.
 *
 * Where MPI does not bear a thread of crew's, the calling threads do the agent's work: in
 * the ranks that serve, all the time; in the root while it is in a call of crew's that
 * waits. All of those wait by the functions here. */
#ifndef CW_API_JOINT_H
#define CW_API_JOINT_H

#include "backend/fork/nursery.h"

#include <crew/pool.h>
#include <stdatomic.h>
#include <stdint.h>

/* The pool was freed: all ranks go home. why: it could not be opened; else NULL. */
void cw_joint_end(const crew_error *why);

/* What forks this rank's workers meanwhile. */
struct cw_nursery *cw_joint_nursery(void);

/* This rank serves a pool, and another one leads its node: the pool's objects are none of
 * this process's. */
bool cw_joint_follows(void);
/* True on the thread that has to do the agent's work. */
bool cw_joint_drives(void);
/* Some of that work; anywhere, without locks. True: there was some. */
bool cw_joint_turn(void);
/* cw_futex_wait, with that work in between. May return early. */
void cw_joint_wait(_Atomic uint32_t *word, uint32_t seen, double timeout);
/* Until now another thread has done it: this one is to from now on. */
void cw_joint_take_over(void);

#endif
