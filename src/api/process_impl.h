/* api/process_impl.h - how a process is started, here or on another node.
 *
 * | file            | what                                                    |
 * |-----------------|---------------------------------------------------------|
 * | process.c       | as whoever starts one sees it                           |
 * | process_child.c | the process itself                                      |
 * | process_home.c  | the manager's side of those on other nodes              |
 * | process_guest.c | those that this node's leader has started for the manager |
 *
 * One on another node has a record at home, which join, alive, exitcode, close and
 * children go by as for any other, and is a child of the leader there. Between the two go
 * START, SIGNAL, STARTED and ENDED (fleet/wire.h), which name it by its handle at home. */
#ifndef CW_API_PROCESS_IMPL_H
#define CW_API_PROCESS_IMPL_H

#include "api/session.h"
#include "fleet/agent.h"
#include "share/proc.h"

#include <crew/process.h>

struct cw_self;

/* A process that is to be started. */
struct cw_process_plan {
    struct cw_session *session;
    crew_fn *fn; /* or NULL: name is given */
    const void *arg;
    size_t size;
    const crew_process_opts *opts;
    cw_fn_name name;
    int start, node;
    bool away; /* on another node */
    bool waited_for; /* by others, until it has its ends of pipes */
    crew_process parent;
    struct cw_self *self;
};

/* Of one whose session, name, start, node and parent are settled: it starts, or it is as
 * if it had never been asked for. */
int cw_process_begin(struct cw_process_plan *plan, crew_process *p, crew_error *err);

/* ---- process_home.c ---- */

/* Before the agent serves. word: what it sleeps on. */
int cw_process_home_begin(struct cw_session *s, struct cw_agent *agent, cw_off word,
                          crew_error *err);
/* Whether there can be one on that node, which is not this one. */
int cw_process_home_check(const struct cw_process_plan *plan, crew_error *err);
/* What such a record names from its beginning: signals may come at once. */
cw_off cw_process_home_post(void);
/* Has the agent send for it. */
int cw_process_home_start(const struct cw_process_plan *plan, struct cw_proc *proc,
                          crew_error *err);
/* Any process of home's node. */
void cw_process_home_signal(struct cw_share *share, struct cw_proc *proc, int signal);
/* A descriptor that polls readable once it has ended. In the manager; elsewhere -1. */
int cw_process_home_watch(struct cw_proc *proc);
/* "n02", or, where that is not known, its number. Into buf. */
const char *cw_process_home_host(int node, char *buf, size_t cap);

/* The agent's thread. */
bool cw_process_home_work(void);
void cw_process_home_letter(int node, const struct cw_letter *letter, struct cw_reader *rest);
void cw_process_home_lost(int node);

/* ---- process_guest.c ---- */

/* The agent's thread. */
void cw_process_guest_letter(struct cw_session *s, const struct cw_letter *letter,
                             struct cw_reader *rest);
void cw_process_guest_work(void);
/* Home has gone: those that are left are killed. */
void cw_process_guest_end(void);

#endif
